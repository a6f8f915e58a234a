//! Who takes the steps of a training, who watches them, and what is left of what was seen.

use std::path::Path;
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Int, Tensor};
use burn::train::ExecutionStrategy;
use kiln_data::{ArrayDataset, DataDir, OpenOptions, Splits, open};
use kiln_lab::train::{
    Backpropagation, Batch, EpochMeans, FitSettings, Fitting, LOSSES, Learned, OPTIMIZERS, Objective, Procedure,
    Schedule, Trainee, Training, TrainingRule, fit, train,
};
use kiln_lab::{Cadence, JobContext, LabError, Probe, ProbeView, Run, RunOptions, Scale, Verdict, probe};
use kiln_loss::ClassificationLoss;
use kiln_nn::{Network, NetworkConfig};

fn digits() -> Splits {
    open("digits", &DataDir::find(None), &OpenOptions::default()).unwrap()
}

fn network() -> Network {
    NetworkConfig::mlp([16]).init_seeded(digits().train.input_shape(), 10, 1, &Device::flex()).unwrap()
}

fn settings(epochs: usize) -> FitSettings {
    // 1024 is no multiple of the batch size: the last batch of an epoch is a remainder.
    FitSettings { epochs, batch_size: 60, learning_rate: 1e-2, schedule: Schedule::Constant, seed: 1 }
}

fn loss() -> Box<dyn ClassificationLoss> {
    LOSSES.build(&"cross-entropy".parse().unwrap()).unwrap()
}

fn optimizer() -> ModuleOptimizer {
    OPTIMIZERS.build(&"adam".parse().unwrap()).unwrap()
}

fn logits(network: &Network, inputs: Tensor<2>) -> Vec<f32> {
    network.forward(inputs).into_data().iter::<f32>().collect()
}

/// Every look: steps, epoch, rows, and what the network makes of the rows.
type Looks = Arc<Mutex<Vec<(u64, u64, usize, Vec<f32>)>>>;

struct Witness {
    cadence: Cadence,
    looks: Looks,
}

impl Witness {
    fn beside(cadence: Cadence) -> (Box<dyn Probe>, Looks) {
        let looks = Looks::default();
        (Box::new(Self { cadence, looks: looks.clone() }), looks)
    }
}

impl Probe for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    fn cadence(&self) -> Cadence {
        self.cadence
    }

    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
        let seen = logits(view.network, view.inputs.clone());
        self.looks.lock().unwrap().push((view.step, view.epoch, view.inputs.dims()[0], seen));
        Ok(())
    }
}

/// The rows that probes look at, given to `network`.
fn seen_by(network: &Network, data: &ArrayDataset) -> Vec<f32> {
    let count = data.len().min(probe::Watch::ROWS);
    let rows: Vec<usize> = (0..count).map(|row| row * data.len() / count).collect();
    logits(network, data.batch(&rows, &Device::flex()).0)
}

#[test]
fn probes_of_a_fit_see_the_network_that_a_step_has_left() {
    let (splits, settings) = (digits(), settings(2));
    let steps = splits.train.len().div_ceil(settings.batch_size) as u64;
    let (epochly, epochs) = Witness::beside(Cadence::Epoch);
    let (often, steps_seen) = Witness::beside(Cadence::Steps(5));
    let fitted = Fitting::new(&loss(), optimizer(), &settings)
        .probe(epochly)
        .probe(often)
        .run(network(), &splits.train, Some(&splits.validation), &JobContext::detached(Device::flex()))
        .unwrap();
    let epochs = epochs.lock().unwrap();
    let moments: Vec<(u64, u64)> = epochs.iter().map(|(step, epoch, ..)| (*step, *epoch)).collect();
    assert_eq!(moments, [(steps, 1), (2 * steps, 2)]);
    assert_eq!(epochs[1].2, splits.validation.len().min(probe::Watch::ROWS));
    assert_eq!(epochs[1].3, seen_by(&fitted.network, &splits.validation));
    let steps_seen: Vec<u64> = steps_seen.lock().unwrap().iter().map(|(step, ..)| *step).collect();
    assert_eq!(steps_seen, (1..=2 * steps).filter(|step| step % 5 == 0).collect::<Vec<_>>());
}

fn training(rule: Box<dyn TrainingRule>, epochs: usize, probes: Vec<Box<dyn Probe>>) -> Training {
    Training {
        network: network(),
        objective: Box::new(loss()),
        rule,
        optimizer: optimizer(),
        settings: settings(epochs),
        patience: None,
        probes,
        strategy: ExecutionStrategy::single(Device::flex()),
    }
}

#[test]
fn probes_of_a_training_see_the_network_that_a_step_has_left() {
    let (splits, folder) = (digits(), tempfile::tempdir().unwrap());
    let (probe, looks) = Witness::beside(Cadence::Epoch);
    let context = Arc::new(JobContext::detached(Device::flex()));
    let trained = train(training(Box::new(Backpropagation), 1, vec![probe]), &splits, folder.path(), context).unwrap();
    let looks = looks.lock().unwrap();
    assert_eq!(looks.len(), 1);
    assert_eq!(looks[0].3, seen_by(&trained.network, &splits.validation));
}

/// Learns as usual and never moves.
#[derive(Debug)]
struct Frozen;

impl TrainingRule for Frozen {
    fn learn(&self, network: &Network, objective: &dyn Objective, batch: &Batch) -> Learned {
        Backpropagation.learn(network, objective, batch)
    }

    fn update(&self, network: Network, _: &mut ModuleOptimizer, _: ModuleLearningRate, _: GradientsParams) -> Network {
        network
    }
}

#[test]
fn both_training_loops_take_their_steps_by_the_rule() {
    let (splits, folder, context) = (digits(), tempfile::tempdir().unwrap(), JobContext::detached(Device::flex()));
    let before = seen_by(&network(), &splits.validation);
    let fitted = Fitting::new(&loss(), optimizer(), &settings(1))
        .rule(&Frozen)
        .run(network(), &splits.train, None, &context)
        .unwrap();
    assert_eq!(seen_by(&fitted.network, &splits.validation), before);
    let trained = train(training(Box::new(Frozen), 1, Vec::new()), &splits, folder.path(), Arc::new(context)).unwrap();
    assert_eq!(seen_by(&trained.network, &splits.validation), before);
}

#[test]
fn pictures_of_probes_stand_in_the_report_and_the_run_in_the_index() {
    let out = tempfile::tempdir().unwrap();
    let mut run = Run::start(
        "train",
        toml::Table::new(),
        vec![1],
        &RunOptions::new(Scale::Smoke, out.path(), DataDir::find(None)),
    )
    .unwrap();
    let splits = digits();
    let job = run.job("train", "seed");
    Fitting::new(&loss(), optimizer(), &settings(6))
        .probe(probe::by_name("confusion").unwrap())
        .run(network(), &splits.train, Some(&splits.validation), &job)
        .unwrap();
    job.finish().unwrap();
    run.finish(&Verdict::new()).unwrap();

    assert_eq!(run.record().pictures.len(), 6);
    for file in ["confusion-epoch-0001.svg", "confusion-epoch-0006.png"] {
        assert!(run.artifacts().join("train/seed").join(file).is_file(), "{file}");
    }
    let html = std::fs::read_to_string(run.folder().join("report.html")).unwrap();
    assert!(html.contains("train/seed/confusion") && html.contains("4 of 6 pictures"), "no course of pictures");
    for shown in ["confusion-epoch-0001", "confusion-epoch-0006"] {
        assert!(html.contains(&format!("<figure id=\"train/seed/{shown}\">")), "{shown}");
    }
    let index = std::fs::read_to_string(out.path().join("index.html")).unwrap();
    assert!(index.contains("/report.html"), "{index}");
}

/// Cross-entropy; from one step on its negative, which makes the network worse; from another on nothing finite.
struct Fragile {
    worse_from: u64,
    infinite_from: u64,
}

impl Objective for Fragile {
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, step: u64) -> Tensor<1> {
        let factor = match step {
            step if step >= self.infinite_from => f64::INFINITY,
            step if step >= self.worse_from => -1.0,
            _ => 1.0,
        };
        loss().forward(network.forward(inputs), targets) * factor
    }
}

#[test]
fn an_objective_without_logits_is_trained_and_its_divergence_names_the_step() {
    let (splits, settings) = (digits(), settings(3));
    let context = JobContext::detached(Device::flex());
    let fragile = Fragile { worse_from: 25, infinite_from: 25 };
    let fitted = fit(network(), &splits.train, None, &fragile, optimizer(), &settings, &context);
    let Err(LabError::Diverged { step, .. }) = fitted else { panic!("it did not diverge") };
    assert_eq!(step, 25);
}

/// Trains until it diverges; gives the epoch of the checkpoint that the error names, and the epochs before.
fn diverged(training: Training) -> (usize, Vec<EpochMeans>) {
    let (splits, folder) = (digits(), tempfile::tempdir().unwrap());
    let context = Arc::new(JobContext::detached(Device::flex()));
    let error = train(training, &splits, folder.path(), context).err().expect("it did not diverge");
    let LabError::Diverged { checkpoint: Some(checkpoint), .. } = error else { panic!("{error}") };
    let name = checkpoint.file_stem().unwrap().to_string_lossy().into_owned();
    assert!(seen_by(&loaded(&checkpoint), &splits.validation).iter().all(|logit| logit.is_finite()), "{name}");
    let course = std::fs::read_to_string(folder.path().join("epochs.jsonl")).unwrap();
    let course = course.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (name.strip_prefix("model-").unwrap().parse().unwrap(), course)
}

fn loaded(checkpoint: &Path) -> Network {
    let context = Arc::new(JobContext::detached(Device::flex()));
    let watch = probe::Watch::new(Vec::new(), &digits().train, &Device::flex());
    let procedure = Procedure::new(Box::new(loss()), Box::new(Backpropagation), context, 1, watch);
    Trainee::new(network(), Arc::new(procedure)).load_record(ModuleRecord::load(checkpoint).unwrap()).network
}

#[test]
fn a_training_that_diverges_names_its_newest_epoch_and_not_its_best() {
    let steps = digits().train.len().div_ceil(settings(6).batch_size) as u64;
    let fragile = Fragile { worse_from: 2 * steps, infinite_from: 5 * steps + 3 };
    let plain = training(Box::new(Backpropagation), 6, Vec::new());
    let (named, course) = diverged(Training { objective: Box::new(fragile), ..plain });
    let best = course.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss)).unwrap();
    assert_eq!((best.epoch, named, course.len()), (2, 5, 5));
}

#[test]
fn a_training_whose_rate_rises_too_far_names_the_newest_epoch_that_was_sound() {
    // The rate rises with every step; where it becomes too large for the network, the loss runs away.
    let rising = FitSettings { learning_rate: 3.0, schedule: Schedule::Linear { warmup: 0.99 }, ..settings(12) };
    let (named, course) = diverged(Training {
        objective: Box::new(LOSSES.build(&"squared-error".parse().unwrap()).unwrap()),
        optimizer: OPTIMIZERS.build(&"sgd".parse().unwrap()).unwrap(),
        settings: rising,
        ..training(Box::new(Backpropagation), 12, Vec::new())
    });
    let sound = |epoch: &&EpochMeans| epoch.train_loss.is_finite() && epoch.validation_loss.is_finite();
    assert_eq!(course.iter().rfind(sound).map(|epoch| epoch.epoch), Some(named), "{course:?}");
}

#[test]
fn a_loss_that_remembers_rows_or_draws_is_resumed_bit_for_bit() {
    for name in ["ldr:variant=adaptive,normalize=l1", "truncated-gce:start=1,every=1,kappa=0.2", "ens-loss"] {
        let (whole, halves) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let splits = digits();
        let run = |folder: &Path, epochs: usize| {
            let objective: Box<dyn Objective> = Box::new(LOSSES.build(&name.parse().unwrap()).unwrap());
            let training = Training { objective, ..training(Box::new(Backpropagation), epochs, Vec::new()) };
            let context = Arc::new(JobContext::detached(Device::flex()));
            train(training, &splits, folder, context).unwrap();
            seen_by(&loaded(&folder.join(format!("model-{epochs}.bpk"))), &splits.validation)
        };
        let uninterrupted = run(whole.path(), 4);
        let half = run(halves.path(), 2);
        assert_ne!(half, uninterrupted, "{name}");
        assert_eq!(run(halves.path(), 4), uninterrupted, "{name}");
        let remembers = halves.path().join("memory-4.bin").is_file();
        assert_eq!(remembers, name != "ens-loss", "{name}");
        assert!(!halves.path().join("memory-1.bin").exists(), "{name}");
    }
}

#[test]
fn every_validation_row_has_the_same_weight() {
    // One row more than a batch: alone in the last batch, it must not count for half.
    let rows: Vec<usize> = (0..257).collect();
    let splits = digits();
    let splits = Splits { validation: splits.train.select(&rows), ..splits };
    let folder = tempfile::tempdir().unwrap();
    let context = Arc::new(JobContext::detached(Device::flex()));
    let training = training(Box::new(Backpropagation), 1, Vec::new());
    let trained = train(training, &splits, folder.path(), context).unwrap();
    let (inputs, classes) = splits.validation.batch(&rows, &Device::flex());
    let expected = loss().forward(trained.network.forward(inputs), classes).into_scalar::<f32>();
    let found = trained.epochs[0].validation_loss;
    assert!((found - f64::from(expected)).abs() < 1e-5 * f64::from(expected), "{found} and {expected}");
}
