//! Adversarial training: the smooth comp-sum loss against PGD training, TRADES and no defence.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use kiln_data::{ArrayDataset, OpenOptions};
use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::{FitSettings, Objective, Schedule, fit_observed};
use kiln_lab::{Finding, JobContext, LabError, Measured, Outcome, Plot, Run, Series, Table};
use kiln_loss::ClassificationLoss;
use kiln_loss::adversarial::{PgdTraining, TradesLoss, TradesLossConfig};
use kiln_loss::attack::{PerturbationConfig, Pgd, PgdConfig};
use kiln_loss::comp_sum::{CompSumLoss, SmoothAdvCompSum, SmoothAdvCompSumConfig};
use kiln_nn::{Activation, Network, NetworkConfig};
use serde::{Deserialize, Serialize};

use super::black_box::{margins, survives};
use super::nesterov;
use super::settings::AdversarialSettings;
use super::standard::first;

/// The two places where adversarial training is tried; each is a part of the recipe.
pub(super) const PARTS: [&str; 2] = ["adversarial", "adversarial-images"];

const BEATS_CE: &str = "robust-at-little-cost";
const BEATS_TRADES: &str = "beats-trades";
const FRONTIER: &str = "frontier";
const NO_MASKING: &str = "no-hidden-gradients";

pub(super) fn finding_ids(part: &str) -> Vec<String> {
    [BEATS_CE, BEATS_TRADES, FRONTIER, NO_MASKING].map(|name| id(part, name)).to_vec()
}

fn id(part: &str, name: &str) -> String {
    format!("{part}/{name}")
}

pub(super) fn run(
    part: &str,
    settings: &AdversarialSettings,
    weight_decay: f64,
    run: &mut Run,
) -> Result<Vec<Finding>, LabError> {
    let problem = Problem::open(settings, weight_decay, run)?;
    let methods = methods(settings);
    let jobs: Vec<Job> = jobs(&methods, settings, run.seeds());
    let judged = run.grid(part, &jobs, Job::key, |job, context| problem.train_and_judge(job, context))?;
    let outcomes = best_rates(&methods, settings, &jobs, &judged);
    report(part, settings, &outcomes, run)?;
    let findings = [beats_ce(&outcomes), beats_trades(&outcomes), frontier(&outcomes), no_masking(&outcomes)];
    let place = format!("{} on {}", settings.network, settings.dataset);
    Ok(findings
        .into_iter()
        .map(|finding| Finding {
            id: id(part, &finding.id),
            statement: format!("{} ({place})", finding.statement),
            ..finding
        })
        .collect())
}

/// How a network is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    CrossEntropy,
    PgdTraining,
    Trades { beta: f64 },
    SmoothCompSum { nu: f64 },
}

impl Method {
    fn family(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross-entropy",
            Self::PgdTraining => "PGD training",
            Self::Trades { .. } => "TRADES",
            Self::SmoothCompSum { .. } => "smooth comp-sum",
        }
    }

    fn label(self) -> String {
        match self {
            Self::Trades { beta } => format!("TRADES beta {beta}"),
            Self::SmoothCompSum { nu } => format!("smooth comp-sum nu {nu}"),
            plain => plain.family().to_string(),
        }
    }
}

fn methods(settings: &AdversarialSettings) -> Vec<Method> {
    let mut methods = vec![Method::CrossEntropy, Method::PgdTraining];
    methods.extend(settings.trades_betas.iter().map(|&beta| Method::Trades { beta }));
    methods.extend(settings.nus.iter().map(|&nu| Method::SmoothCompSum { nu }));
    methods
}

struct Job {
    method: Method,
    rate: f64,
    seed: u64,
}

impl Job {
    fn key(&self) -> String {
        format!("{}-rate-{}-seed-{}", self.method.label().replace(' ', "-").to_lowercase(), self.rate, self.seed)
    }
}

fn jobs(methods: &[Method], settings: &AdversarialSettings, seeds: &[u64]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &method in methods {
        for &rate in &settings.rates {
            jobs.extend(seeds.iter().take(settings.seeds).map(|&seed| Job { method, rate, seed }));
        }
    }
    jobs
}

/// Accuracy on clean and on attacked inputs.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Quality {
    clean: f64,
    robust: f64,
}

impl Quality {
    fn score(self) -> f64 {
        0.5 * (self.clean + self.robust)
    }
}

/// One trained network, judged. All zero where the training diverged.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Judged {
    /// Epoch whose network was kept.
    epoch: usize,
    validation: Quality,
    test: Quality,
    /// Test accuracy under the attack without gradients.
    black_box: f64,
}

struct Problem<'a> {
    settings: &'a AdversarialSettings,
    weight_decay: f64,
    train: ArrayDataset,
    validation: ArrayDataset,
    test: ArrayDataset,
}

impl<'a> Problem<'a> {
    fn open(settings: &'a AdversarialSettings, weight_decay: f64, run: &Run) -> Result<Self, LabError> {
        let options = OpenOptions { max_train: Some(settings.max_train), standardise: false, ..OpenOptions::default() };
        let splits = kiln_data::open(&settings.dataset, run.data(), &options)?;
        Ok(Self {
            settings,
            weight_decay,
            train: splits.train,
            validation: first(&splits.validation, settings.max_judged),
            test: first(&splits.test, settings.max_judged),
        })
    }

    fn train_and_judge(&self, job: &Job, context: &JobContext) -> Result<Judged, LabError> {
        let own = self.settings;
        let device = context.device();
        let network = network_config(own)?
            .init_seeded(self.train.input_shape(), self.train.num_classes(), job.seed, &device.clone().autodiff())
            .map_err(LabError::method)?;
        let objective = Defence::new(job, own)?;
        let course = FitSettings {
            epochs: own.epochs,
            batch_size: own.batch_size,
            learning_rate: job.rate,
            schedule: Schedule::Cosine { warmup: 0.0 },
            seed: job.seed,
        };
        let optimizer = nesterov(self.weight_decay);
        let quick_judge = judge(own, own.attack_steps, 1)?;
        let mut best: Option<(Network, Judged)> = None;
        let fitted =
            fit_observed(network, &self.train, None, &objective, optimizer, &course, context, |epoch, network, _| {
                if epoch % own.evaluate_every != 0 && epoch != own.epochs {
                    return Ok(());
                }
                let network = network.valid();
                let validation = quality(&network, &self.validation, &quick_judge, &device);
                context.metric(epoch as u64, "validation_clean", validation.clean);
                context.metric(epoch as u64, "validation_robust", validation.robust);
                if best.as_ref().is_none_or(|(_, kept)| validation.score() > kept.validation.score()) {
                    best = Some((network, Judged { epoch, validation, ..Judged::default() }));
                }
                Ok(())
            });
        match fitted {
            Ok(_) => {}
            Err(LabError::Diverged { .. }) => return Ok(Judged::default()),
            Err(error) => return Err(error),
        }
        let Some((network, judged)) = best else { return Ok(Judged::default()) };
        let test = quality(&network, &self.test, &judge(own, own.evaluation_steps, own.evaluation_restarts)?, &device);
        let black_box = black_box_accuracy(&network, &self.test, own, &device);
        Ok(Judged { test, black_box, ..judged })
    }
}

fn network_config(settings: &AdversarialSettings) -> Result<NetworkConfig, LabError> {
    match settings.network.as_str() {
        "mlp" => Ok(NetworkConfig::mlp(settings.widths.clone())),
        "lenet" => Ok(NetworkConfig::LeNet { activation: Activation::Relu }),
        other => Err(LabError::unknown("network", other, ["mlp", "lenet"])),
    }
}

fn perturbation(settings: &AdversarialSettings) -> PerturbationConfig {
    PerturbationConfig::new().with_gamma(settings.gamma).with_steps(settings.attack_steps).with_clip(Some((0.0, 1.0)))
}

/// The attack that judges: margin objective, best point of all restarts.
fn judge(settings: &AdversarialSettings, steps: usize, restarts: usize) -> Result<Pgd, LabError> {
    PgdConfig::new(perturbation(settings).with_steps(steps))
        .with_restarts(restarts)
        .with_keep_best(true)
        .init()
        .map_err(LabError::method)
}

const BLOCK: usize = 256;

/// An example counts as robust where it is right without and with the attack.
fn quality(network: &Network, data: &ArrayDataset, attack: &Pgd, device: &Device) -> Quality {
    let (mut clean, mut robust) = (0, 0);
    let model = |inputs: Tensor<2>| network.forward(inputs);
    let rows: Vec<usize> = (0..data.len()).collect();
    for (block, rows) in rows.chunks(BLOCK).enumerate() {
        let (inputs, targets) = data.batch(rows, device);
        let adversarial = attack.run(&model, inputs.clone(), targets.clone(), block as u64);
        let before = margins(model(inputs), targets.clone());
        let after = margins(model(adversarial), targets);
        clean += before.iter().filter(|&&margin| margin < 0.0).count();
        robust += before.iter().zip(&after).filter(|(before, after)| **before < 0.0 && **after < 0.0).count();
    }
    let count = data.len() as f64;
    Quality { clean: clean as f64 / count, robust: robust as f64 / count }
}

fn black_box_accuracy(network: &Network, data: &ArrayDataset, settings: &AdversarialSettings, device: &Device) -> f64 {
    let mut right = 0;
    let rows: Vec<usize> = (0..data.len()).collect();
    for (block, rows) in rows.chunks(BLOCK).enumerate() {
        let (inputs, targets) = data.batch(rows, device);
        let before = margins(network.forward(inputs.clone()), targets.clone());
        let after = survives(network, inputs, targets, settings.gamma, settings.black_box_queries, block as u64);
        right += before.iter().zip(after).filter(|(before, after)| **before < 0.0 && *after).count();
    }
    right as f64 / data.len() as f64
}

/// The objective of a method.
enum Defence {
    None,
    Pgd(PgdTraining, u64),
    Trades(TradesLoss, u64),
    Smooth(SmoothAdvCompSum, u64),
}

impl Defence {
    fn new(job: &Job, settings: &AdversarialSettings) -> Result<Self, LabError> {
        let perturbation = perturbation(settings);
        let seed = job.seed;
        Ok(match job.method {
            Method::CrossEntropy => Self::None,
            Method::PgdTraining => Self::Pgd(PgdTraining::new(perturbation).map_err(LabError::method)?, seed),
            Method::Trades { beta } => {
                let config = TradesLossConfig::new(perturbation).with_beta(beta);
                Self::Trades(config.init().map_err(LabError::method)?, seed)
            }
            Method::SmoothCompSum { nu } => {
                let config = SmoothAdvCompSumConfig::new()
                    .with_nu(nu)
                    .with_gamma(settings.gamma)
                    .with_steps(settings.attack_steps)
                    .with_clip(Some((0.0, 1.0)));
                Self::Smooth(config.init().map_err(LabError::method)?, seed)
            }
        })
    }
}

impl Objective for Defence {
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, step: u64) -> Tensor<1> {
        let fixed = network.valid();
        let model = |inputs: Tensor<2>| network.forward(inputs);
        let frozen = |inputs: Tensor<2>| fixed.forward(inputs);
        let noise = |seed: u64| seed.wrapping_mul(1_000_003).wrapping_add(step);
        match self {
            Self::None => CompSumLoss::logistic().forward(model(inputs), targets),
            Self::Pgd(loss, seed) => loss.forward(&model, &frozen, inputs, targets, noise(*seed)).loss,
            Self::Trades(loss, seed) => loss.forward(&model, &frozen, inputs, targets, noise(*seed)).loss,
            Self::Smooth(loss, seed) => loss.forward_frozen(&model, &frozen, inputs, targets, noise(*seed)).loss,
        }
    }
}

/// All seeds of a method at its best rate.
struct MethodOutcome {
    method: Method,
    rate: f64,
    seeds: Vec<Judged>,
}

impl MethodOutcome {
    fn values(&self, of: impl Fn(&Judged) -> f64) -> Vec<f64> {
        self.seeds.iter().map(of).collect()
    }

    fn clean(&self) -> Vec<f64> {
        self.values(|judged| judged.test.clean)
    }

    fn robust(&self) -> Vec<f64> {
        self.values(|judged| judged.test.robust)
    }

    fn validation_score(&self) -> f64 {
        Summary::of(&self.values(|judged| judged.validation.score())).mean
    }
}

/// Each method at the rate with the best mean validation score.
fn best_rates(
    methods: &[Method],
    settings: &AdversarialSettings,
    jobs: &[Job],
    judged: &[Judged],
) -> Vec<MethodOutcome> {
    let at = |method: Method, rate: f64| {
        let matching = jobs.iter().zip(judged).filter(|(job, _)| job.method == method && job.rate == rate);
        MethodOutcome { method, rate, seeds: matching.map(|(_, judged)| *judged).collect() }
    };
    methods
        .iter()
        .filter_map(|&method| {
            let tried = settings.rates.iter().map(|&rate| at(method, rate));
            tried.max_by(|a, b| a.validation_score().total_cmp(&b.validation_score()))
        })
        .collect()
}

fn report(
    part: &str,
    settings: &AdversarialSettings,
    outcomes: &[MethodOutcome],
    run: &mut Run,
) -> Result<(), LabError> {
    let mut table = Table::new(
        format!("Adversarial training: {} on {}", settings.network, settings.dataset),
        [
            "method",
            "learning rate",
            "clean (%)",
            "robust, gradient attack (%)",
            "robust, random search (%)",
            "validation score",
        ],
    );
    let percent = |values: Vec<f64>| Summary::of(&values.iter().map(|value| 100.0 * value).collect::<Vec<_>>());
    let mut plot = Plot::scatter(table.title.clone(), "clean test accuracy (%)", "robust test accuracy (%)");
    for family in ["cross-entropy", "PGD training", "TRADES", "smooth comp-sum"] {
        let mut series = Series::new(family);
        for outcome in outcomes.iter().filter(|outcome| outcome.method.family() == family) {
            let (clean, robust) = (percent(outcome.clean()), percent(outcome.robust()));
            series = series.point(clean.mean, robust.mean);
            table.push([
                outcome.method.label(),
                outcome.rate.to_string(),
                clean.to_string(),
                robust.to_string(),
                percent(outcome.values(|judged| judged.black_box)).to_string(),
                format!("{:.4}", outcome.validation_score()),
            ]);
        }
        plot = plot.series(series);
    }
    run.table(table);
    run.plot(&format!("clean-against-robust-{part}"), &plot)
}

/// The member of a family with the best validation score.
fn chosen<'a>(outcomes: &'a [MethodOutcome], family: &str) -> Option<&'a MethodOutcome> {
    let members = outcomes.iter().filter(|outcome| outcome.method.family() == family);
    members.max_by(|a, b| a.validation_score().total_cmp(&b.validation_score()))
}

fn beats_ce(outcomes: &[MethodOutcome]) -> Finding {
    let finding =
        Finding::new(BEATS_CE, "smooth comp-sum training makes a network robust at little cost in clean accuracy")
            .bound("robust accuracy at least 20 points above cross-entropy, clean accuracy at most 1 point below");
    let (Some(ours), Some(plain)) = (chosen(outcomes, "smooth comp-sum"), chosen(outcomes, "cross-entropy")) else {
        return finding.outcome(Outcome::NotComparable).note("one of the two was not trained");
    };
    let gain = paired_difference(&ours.robust(), &plain.robust()).difference;
    let cost = paired_difference(&plain.clean(), &ours.clean()).difference;
    let text = format!(
        "{}: robust {:+.1} points, clean {:+.1} points",
        ours.method.label(),
        100.0 * gain.mean,
        -100.0 * cost.mean
    );
    finding.measured(Measured::from(gain).text(text)).held_if(gain.mean >= 0.20 && cost.mean <= 0.01)
}

fn beats_trades(outcomes: &[MethodOutcome]) -> Finding {
    let finding = Finding::new(BEATS_TRADES, "smooth comp-sum training beats TRADES in robust and in clean accuracy")
        .paper("WRN on CIFAR-10: about 1 point more robust, clean about 86.2 against 85.3 %")
        .bound("both differences above 0");
    let (Some(ours), Some(trades)) = (chosen(outcomes, "smooth comp-sum"), chosen(outcomes, "TRADES")) else {
        return finding.outcome(Outcome::NotComparable).note("one of the two was not trained");
    };
    let robust = paired_difference(&ours.robust(), &trades.robust()).difference;
    let clean = paired_difference(&ours.clean(), &trades.clean()).difference;
    let text = format!(
        "{} against {}: robust {:+.1} points, clean {:+.1} points",
        ours.method.label(),
        trades.method.label(),
        100.0 * robust.mean,
        100.0 * clean.mean
    );
    finding
        .measured(Measured::from(robust).text(text))
        .held_if(robust.mean > 0.0 && clean.mean > 0.0)
        .note("a small network on a small set, not the paper's scale; both members chosen on the validation split")
}

fn frontier(outcomes: &[MethodOutcome]) -> Finding {
    let mean = |values: Vec<f64>| 100.0 * Summary::of(&values).mean;
    let points: Vec<String> = outcomes
        .iter()
        .map(|o| format!("{} {:.1}/{:.1}", o.method.label(), mean(o.clean()), mean(o.robust())))
        .collect();
    Finding::new(FRONTIER, "clean and robust accuracy of every method").measured(points.join(", "))
}

/// A gradient attack that is weaker than a search without gradients says nothing about robustness.
fn no_masking(outcomes: &[MethodOutcome]) -> Finding {
    let gap = |outcome: &MethodOutcome| {
        Summary::of(&outcome.values(|judged| judged.black_box)).mean - Summary::of(&outcome.robust()).mean
    };
    let least = outcomes.iter().map(gap).fold(f64::INFINITY, f64::min);
    Finding::new(NO_MASKING, "no method owes its robustness to hidden gradients")
        .measured(Measured::from(least).text(format!("smallest margin {:+.1} points", 100.0 * least)))
        .bound("accuracy under random search never below that under the gradient attack")
        .held_if(least >= 0.0)
}
