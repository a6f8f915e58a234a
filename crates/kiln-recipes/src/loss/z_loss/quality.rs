//! Ranking quality of language models that differ only in their output layer.

use kiln_lab::statistics::{Summary, figure, paired_difference};
use kiln_lab::{Finding, LabError, Plot, Run, Series, Table};

use super::corpus::Corpus;
use super::language_model::{Purpose, Scores, Trial, train};
use super::method::Method;
use super::{QualitySettings, Settings};

pub(super) const FINDINGS: &[&str] =
    &["beats-spherical-top-10", "beats-spherical-mrr", "near-log-softmax", "top-1", "hierarchical"];

/// The score for which a method is tuned.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    TopTen,
    ReciprocalRank,
}

const TARGETS: [Target; 2] = [Target::TopTen, Target::ReciprocalRank];

impl Target {
    /// Smaller is better.
    fn cost(self, scores: &Scores) -> f64 {
        match self {
            Self::TopTen => scores.error_at(10),
            Self::ReciprocalRank => 1.0 - scores.mean_reciprocal_rank,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::TopTen => "top-10",
            Self::ReciprocalRank => "MRR",
        }
    }
}

/// All trials of one method.
struct Contender {
    name: &'static str,
    trials: Vec<Trial>,
}

/// Test scores of a method tuned for each target, one for each seed; `None` where training diverged.
struct Outcome {
    name: &'static str,
    chosen: Vec<(Target, Trial, Vec<Option<Scores>>)>,
}

impl Outcome {
    /// Scores of all seeds for a target, if every seed has some.
    fn scores(&self, target: Target) -> Option<Vec<&Scores>> {
        let (_, _, scores) = self.chosen.iter().find(|(found, ..)| *found == target)?;
        scores.iter().map(Option::as_ref).collect()
    }

    fn values(&self, target: Target, value: impl Fn(&Scores) -> f64) -> Option<Vec<f64>> {
        Some(self.scores(target)?.into_iter().map(value).collect())
    }
}

/// Tunes every method on the validation text with equal numbers of trainings, trains the chosen ones on every seed, and
/// compares them on the test text.
pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let quality = &settings.quality;
    check(quality)?;
    let corpus = Corpus::read(&settings.corpus, run.data(), 0)?;
    run.note(format!(
        "quality: {} running words, {} classes, {} training, {} validation and {} test examples",
        corpus.words,
        corpus.vocabulary,
        corpus.train.len(),
        corpus.validation.len(),
        corpus.test.len()
    ));
    let contenders = contenders(quality);
    let chosen = tune(&contenders, &corpus, settings, run)?;
    let outcomes = test(&contenders, chosen, &corpus, settings, run)?;
    report(&outcomes, quality, run)?;
    Ok(findings(&outcomes))
}

fn check(quality: &QualitySettings) -> Result<(), LabError> {
    if quality.sharpness.len() != quality.margin.len() || quality.sharpness.is_empty() {
        let lengths = format!("{} and {} values", quality.sharpness.len(), quality.margin.len());
        return Err(LabError::setting(
            "quality.sharpness",
            lengths,
            "as many values as quality.margin has, at least 1",
        ));
    }
    let trials = quality.rate_factors.len() * quality.encoder_rates.len();
    if trials == 0 || quality.batch_size == 0 || quality.epochs == 0 {
        return Err(LabError::setting("quality", "", "at least one rate, one example a step and one epoch"));
    }
    let z_trials = quality.sharpness.len() * quality.z_rate_factors.len();
    if z_trials != trials {
        let expected = format!("{trials} trials of the Z-loss, as many as of the other methods");
        return Err(LabError::setting("quality.z_rate_factors", format!("{z_trials} trials"), expected));
    }
    if quality.spherical_eps.len() != quality.encoder_rates.len() {
        let values = format!("{:?}", quality.spherical_eps);
        return Err(LabError::setting("quality.spherical_eps", values, "as many values as quality.encoder_rates has"));
    }
    if !quality.ks.contains(&1) || !quality.ks.contains(&10) {
        return Err(LabError::setting("quality.ks", format!("{:?}", quality.ks), "a list with 1 and 10"));
    }
    Ok(())
}

/// The methods with their trials: the same number for each. The centres of the learning rates were found in a coarse
/// search on the validation text.
fn contenders(quality: &QualitySettings) -> Vec<Contender> {
    let contender = |methods: &[Method], centre: f64, encoder_rates: &[f64], factors: &[f64]| {
        let mut trials = Vec::new();
        for &method in methods {
            for &encoder_rate in encoder_rates {
                trials.extend(factors.iter().map(|rate| Trial { method, output_rate: centre * rate, encoder_rate }));
            }
        }
        Contender { name: methods[0].name(), trials }
    };
    let (every, first) = (&quality.encoder_rates[..], &quality.encoder_rates[..1]);
    let factors = &quality.rate_factors;
    let pairs = quality.sharpness.iter().zip(&quality.margin);
    let z_losses: Vec<Method> = pairs.map(|(&sharpness, &margin)| Method::ZLoss { sharpness, margin }).collect();
    let spherical: Vec<Method> = quality.spherical_eps.iter().map(|&eps| Method::SphericalSoftmax { eps }).collect();
    vec![
        contender(&[Method::LogSoftmax], 20.0, every, factors),
        contender(&[Method::HierarchicalSoftmax], 10.0, every, factors),
        contender(&z_losses, 6.0, first, &quality.z_rate_factors),
        contender(&[Method::TaylorSoftmax], 100.0, every, factors),
        contender(&spherical, 1.0, first, factors),
        contender(&[Method::SquaredError], 0.6, every, factors),
    ]
}

/// The best trial of each method for each target, on the validation text and the first seed.
fn tune(
    contenders: &[Contender],
    corpus: &Corpus,
    settings: &Settings,
    run: &mut Run,
) -> Result<Vec<Vec<(Target, Trial)>>, LabError> {
    if contenders.iter().all(|contender| contender.trials.len() == 1) {
        run.note("quality: one setting for each method, as a coarse search found it; nothing was tuned");
        return Ok(contenders
            .iter()
            .map(|one| TARGETS.map(|target| (target, one.trials[0].clone())).to_vec())
            .collect());
    }
    let trials: Vec<&Trial> = contenders.iter().flat_map(|contender| &contender.trials).collect();
    let seed = run.seeds().first().copied().unwrap_or(1);
    let both = (&settings.corpus, &settings.quality);
    let scores = run.grid(
        "tuning",
        &trials,
        |trial| trial.key(),
        |trial, context| train(trial, seed, Purpose::Tuning, corpus, both, context),
    )?;
    let mut table =
        Table::new("Tuning on the validation text", ["method", "output lr", "encoder lr", "top-10 error", "MRR"]);
    for (trial, scores) in trials.iter().zip(&scores) {
        let (error, rank) = scores.as_ref().map_or(("diverged".into(), String::new()), |scores| {
            (percent(scores.error_at(10)), figure(scores.mean_reciprocal_rank))
        });
        table.push([trial.method.label(), figure(trial.output_rate), figure(trial.encoder_rate), error, rank]);
    }
    run.table(table);

    let mut rest = scores.as_slice();
    let mut chosen = Vec::new();
    for contender in contenders {
        let (own, others) = rest.split_at(contender.trials.len());
        rest = others;
        let best = |target: Target| {
            let alive = contender.trials.iter().zip(own).filter_map(|(trial, scores)| Some((trial, scores.as_ref()?)));
            alive
                .min_by(|left, right| target.cost(left.1).total_cmp(&target.cost(right.1)))
                .map_or_else(|| contender.trials[0].clone(), |(trial, _)| trial.clone())
        };
        chosen.push(TARGETS.map(|target| (target, best(target))).to_vec());
    }
    Ok(chosen)
}

/// Trains the chosen trials on every seed; a trial that won for both targets is trained once.
fn test(
    contenders: &[Contender],
    chosen: Vec<Vec<(Target, Trial)>>,
    corpus: &Corpus,
    settings: &Settings,
    run: &Run,
) -> Result<Vec<Outcome>, LabError> {
    let mut jobs: Vec<(&Trial, u64)> = Vec::new();
    for (_, trial) in chosen.iter().flatten() {
        if !jobs.iter().any(|(known, _)| known.key() == trial.key()) {
            jobs.extend(run.seeds().iter().map(|&seed| (trial, seed)));
        }
    }
    let both = (&settings.corpus, &settings.quality);
    let key = |(trial, seed): &(&Trial, u64)| format!("{} seed={seed}", trial.key());
    let scores = run.grid("test", &jobs, key, |(trial, seed), context| {
        train(trial, *seed, Purpose::Testing, corpus, both, context)
    })?;
    let of_trial = |trial: &Trial| {
        let own = jobs.iter().zip(&scores).filter(|((known, _), _)| known.key() == trial.key());
        own.map(|(_, scores)| scores.clone()).collect::<Vec<_>>()
    };
    Ok(contenders
        .iter()
        .zip(&chosen)
        .map(|(contender, chosen)| Outcome {
            name: contender.name,
            chosen: chosen.iter().map(|(target, trial)| (*target, trial.clone(), of_trial(trial))).collect(),
        })
        .collect())
}

fn report(outcomes: &[Outcome], quality: &QualitySettings, run: &mut Run) -> Result<(), LabError> {
    let headings = ["method", "tuned for", "settings"].map(String::from).into_iter();
    let headings = headings.chain(quality.ks.iter().map(|k| format!("top-{k} error")));
    let mut table = Table::new("Test text", headings.chain(["MRR", "training s"].map(String::from)));
    let mut plot = Plot::line("Errors on the test text, tuned for top-10", "k", "top-k error").log_x();
    for outcome in outcomes {
        for (target, trial, _) in &outcome.chosen {
            let settings = format!("{} lr={} {}", trial.method.label(), figure(trial.output_rate), trial.encoder_rate);
            let mut row = vec![outcome.name.to_string(), target.name().to_string(), settings];
            let cell = |values: Option<Vec<f64>>| match values {
                Some(values) => Summary::of(&values).to_string(),
                None => "diverged".to_string(),
            };
            row.extend(quality.ks.iter().map(|&k| cell(outcome.values(*target, |scores| scores.error_at(k)))));
            row.push(cell(outcome.values(*target, |scores| scores.mean_reciprocal_rank)));
            row.push(cell(outcome.values(*target, |scores| scores.seconds)));
            table.push(row);
        }
        if outcome.scores(Target::TopTen).is_some() {
            let series = quality.ks.iter().fold(Series::new(outcome.name), |series, &k| {
                let values = outcome.values(Target::TopTen, |scores| scores.error_at(k)).unwrap_or_default();
                series.seeds(k as f64, &values)
            });
            plot = plot.series(series);
        }
    }
    run.table(table);
    run.plot("top-k-error", &plot)
}

fn findings(outcomes: &[Outcome]) -> Vec<Finding> {
    let by_name = |name: &str| outcomes.iter().find(|outcome| outcome.name == name);
    let Some(z) = by_name("Z-loss") else { return Vec::new() };
    let others: Vec<&Outcome> =
        ["Taylor softmax", "spherical softmax", "squared error"].iter().filter_map(|name| by_name(name)).collect();
    let mut found = vec![
        against_spherical(z, &others, Target::TopTen, "beats-spherical-top-10"),
        against_spherical(z, &others, Target::ReciprocalRank, "beats-spherical-mrr"),
    ];
    if let (Some(log_softmax), Some(hierarchical)) = (by_name("log-softmax"), by_name("hierarchical softmax")) {
        found.push(near_log_softmax(z, log_softmax));
        found.push(top_one(z, log_softmax));
        found.push(against_hierarchical(z, hierarchical));
    }
    found
}

/// Better than each of the other members of the family on every seed.
fn against_spherical(z: &Outcome, others: &[&Outcome], target: Target, id: &str) -> Finding {
    let finding = Finding::new(
        id,
        format!("the Z-loss has a better {} than Taylor softmax, spherical softmax and squared error", target.name()),
    )
    .paper("better than all of them (Penn Treebank)")
    .bound("on every seed");
    let Some(own) = z.values(target, |scores| target.cost(scores)) else {
        return finding.measured("the Z-loss diverged").held_if(false);
    };
    let mut margins = Vec::new();
    let mut texts = vec![format!("Z-loss {}", shown(target, &own))];
    for other in others {
        match other.values(target, |scores| target.cost(scores)) {
            Some(costs) => {
                texts.push(format!("{} {}", other.name, shown(target, &costs)));
                margins.extend(costs.iter().zip(&own).map(|(other, own)| other - own));
            }
            None => texts.push(format!("{} diverged", other.name)),
        }
    }
    let smallest = margins.iter().copied().fold(f64::INFINITY, f64::min);
    finding.measured(texts.join(", ")).held_if(smallest > 0.0)
}

fn shown(target: Target, costs: &[f64]) -> String {
    match target {
        Target::TopTen => format!("{} error", percent(Summary::of(costs).mean)),
        Target::ReciprocalRank => figure(1.0 - Summary::of(costs).mean),
    }
}

/// No more than half a point behind at top-5 to top-50.
fn near_log_softmax(z: &Outcome, log_softmax: &Outcome) -> Finding {
    let ks = [5, 10, 20, 50];
    let finding = Finding::new("near-log-softmax", "the Z-loss ranks as well as log-softmax at top-5 to top-50")
        .paper("better for larger k (Penn Treebank)")
        .bound("mean error at most 0.5 points above at every k of 5, 10, 20, 50");
    let differences: Option<Vec<f64>> = ks
        .iter()
        .map(|&k| {
            let own = z.values(Target::TopTen, |scores| scores.error_at(k))?;
            let other = log_softmax.values(Target::TopTen, |scores| scores.error_at(k))?;
            Some(100.0 * paired_difference(&own, &other).difference.mean)
        })
        .collect();
    let Some(differences) = differences else {
        return finding.measured("one of them diverged").held_if(false);
    };
    let texts = ks.iter().zip(&differences).map(|(k, points)| format!("top-{k} {points:+.2}")).collect::<Vec<_>>();
    let worst = differences.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    finding
        .measured(format!("{} points", texts.join(", ")))
        .held_if(worst <= 0.5)
        .note("difference of the errors, Z-loss less log-softmax; both tuned for top-10")
}

fn top_one(z: &Outcome, log_softmax: &Outcome) -> Finding {
    let finding = Finding::new("top-1", "log-softmax keeps the best top-1 error").paper("log-softmax best at top-1");
    let values = |outcome: &Outcome| outcome.values(Target::ReciprocalRank, |scores| scores.error_at(1));
    let (Some(own), Some(other)) = (values(z), values(log_softmax)) else {
        return finding.measured("one of them diverged");
    };
    let (own, other) = (Summary::of(&own), Summary::of(&other));
    finding.measured(format!("log-softmax {}, Z-loss {}", percent(other.mean), percent(own.mean))).note("tuned for MRR")
}

fn against_hierarchical(z: &Outcome, hierarchical: &Outcome) -> Finding {
    let finding = Finding::new("hierarchical", "top-10 error of the Z-loss beside that of hierarchical softmax");
    let values = |outcome: &Outcome| outcome.values(Target::TopTen, |scores| scores.error_at(10));
    let (Some(own), Some(other)) = (values(z), values(hierarchical)) else {
        return finding.measured("one of them diverged");
    };
    let (own, other) = (Summary::of(&own), Summary::of(&other));
    finding.measured(format!("Z-loss {}, hierarchical softmax {}", percent(own.mean), percent(other.mean)))
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
