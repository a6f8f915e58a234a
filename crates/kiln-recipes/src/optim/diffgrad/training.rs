//! Training one convolutional network with one optimizer.

use burn::optim::ModuleOptimizer;
use kiln_data::{ArrayDataset, OpenOptions, Splits, open};
use kiln_lab::train::{FitSettings, Schedule, accuracy, fit};
use kiln_lab::{JobContext, LabError, Run};
use kiln_loss::CrossEntropyLossConfig;
use kiln_nn::{Activation, NetworkConfig};
use kiln_optim::{DiffGradConfig, FrictionMonitor, FrictionStats, OptimizerKind, check_learning_rate};
use serde::{Deserialize, Serialize};

use super::comparison::{Method, Results};
use super::{ResNetSettings, Settings};

/// A set of images, divided into those to learn from, to choose rates by, and to report on.
pub(super) struct Images {
    name: String,
    train: ArrayDataset,
    validation: ArrayDataset,
    test: ArrayDataset,
}

impl Images {
    /// Opens the image set with all its training images.
    pub fn open(settings: &Settings, run: &Run) -> Result<Self, LabError> {
        let Splits { name, train, validation, test, .. } = open(&settings.data, run.data(), &OpenOptions::default())?;
        let (validation, test) = (first(&validation, settings.validation_images), first(&test, settings.test_images));
        Ok(Self { name, train, validation, test })
    }

    /// The same images, with at most `count` to learn from.
    pub fn with_train_images(&self, count: usize) -> Self {
        let Self { name, train, validation, test } = self;
        Self { name: name.clone(), train: first(train, count), validation: validation.clone(), test: test.clone() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn train_images(&self) -> usize {
        self.train.len()
    }

    pub fn validation_images(&self) -> usize {
        self.validation.len()
    }

    /// The set's name and how many of its images are used.
    pub fn words(&self) -> String {
        format!("{}, {} training and {} test images", self.name, self.train.len(), self.test.len())
    }
}

fn first(data: &ArrayDataset, count: usize) -> ArrayDataset {
    data.select(&(0..data.len().min(count)).collect::<Vec<_>>())
}

/// What is trained, and for how long.
#[derive(Debug, Clone)]
pub(super) struct Course {
    /// Where the runs are kept; parts that name the same place share them.
    pub name: &'static str,
    pub architecture: Architecture,
    pub epochs: usize,
}

/// A network but for its activation function.
#[derive(Debug, Clone)]
pub(super) enum Architecture {
    ConvNet { channels: [usize; 3] },
    ResNet { depth: usize, width: usize },
}

impl Course {
    /// The small network of the comparison and of the ablation.
    pub fn small(settings: &Settings) -> Self {
        let architecture = Architecture::ConvNet { channels: settings.channels };
        Self { name: "training", architecture, epochs: settings.epochs }
    }

    /// The residual network.
    pub fn residual(settings: &ResNetSettings) -> Self {
        let architecture = Architecture::ResNet { depth: settings.depth, width: settings.width };
        Self { name: "resnet", architecture, epochs: settings.epochs }
    }
}

impl Architecture {
    fn with(&self, activation: Activation) -> NetworkConfig {
        match *self {
            Self::ConvNet { channels } => NetworkConfig::ConvNet { channels, activation, dropout: 0.0 },
            Self::ResNet { depth, width } => {
                NetworkConfig::ResNet { depth, shortcut: None, width: Some(width), activation }
            }
        }
    }
}

/// One training.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub method: Method,
    pub learning_rate: f64,
    pub batch_size: usize,
    pub activation: String,
    pub seed: u64,
}

impl Job {
    /// Names the training by all that decides it, so that two parts of the recipe share one that both need.
    fn key(&self) -> String {
        let Self { method, learning_rate, batch_size, activation, seed } = self;
        format!("{}-lr{learning_rate}-b{batch_size}-{activation}-s{seed}", method.kind)
    }
}

/// What a training ended with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trained {
    /// Mean loss of the batches of the last epoch; nothing where training diverged.
    pub train_loss: Option<f64>,
    /// Validation accuracy after each epoch, in `[0, 1]`.
    pub validation_accuracy: Vec<f64>,
    /// Accuracy on the test images at the end, in `[0, 1]`; 0 where training diverged.
    pub test_accuracy: f64,
    /// diffGrad's friction coefficients over the training; empty for the others.
    pub friction: Vec<FrictionAt>,
}

/// diffGrad's friction coefficients at one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FrictionAt {
    /// The step, counted from one.
    pub step: usize,
    /// Statistics over all coordinates.
    pub stats: FrictionStats,
    /// Counts of coordinates in bins 0.001 wide, from `xi = 0.5`.
    pub counts: Vec<u64>,
}

impl Trained {
    /// Accuracy that rates are chosen by; 0 where training diverged.
    pub fn last_validation_accuracy(&self) -> f64 {
        self.validation_accuracy.last().copied().unwrap_or(0.0)
    }

    /// Infinite where training diverged.
    pub fn loss_or_infinity(&self) -> f64 {
        self.train_loss.unwrap_or(f64::INFINITY)
    }
}

/// Runs all jobs, over the cores; those that were run before are read back.
pub(super) fn train_all(course: &Course, images: &Images, mut jobs: Vec<Job>, run: &Run) -> Result<Results, LabError> {
    // Where half of one method's rate is another's rate, the training is the same: it is run once and shared.
    let mut distinct: Vec<Job> = Vec::new();
    for job in &jobs {
        check_learning_rate(job.learning_rate).map_err(LabError::method)?;
        if distinct.iter().all(|other| other.key() != job.key()) {
            distinct.push(job.clone());
        }
    }
    let trained = run.grid(course.name, &distinct, Job::key, |job, context| train(course, images, job, context))?;
    let of = |job: &Job| distinct.iter().position(|other| other.key() == job.key()).map(|at| trained[at].clone());
    let shared = jobs.iter().filter_map(of).collect::<Vec<_>>();
    jobs.truncate(shared.len());
    Ok(Results::new(jobs, shared))
}

fn train(course: &Course, images: &Images, job: &Job, context: &JobContext) -> Result<Trained, LabError> {
    let activation: Activation = job.activation.parse().map_err(LabError::method)?;
    let network = course
        .architecture
        .with(activation)
        .init_seeded(images.train.input_shape(), images.train.num_classes(), job.seed, &context.device().autodiff())
        .map_err(LabError::method)?;
    let steps_per_epoch = images.train.len().div_ceil(job.batch_size);
    let monitor = FrictionMonitor::every(steps_per_epoch);
    let fit_settings = FitSettings {
        epochs: course.epochs,
        batch_size: job.batch_size,
        learning_rate: job.learning_rate,
        schedule: Schedule::Constant,
        seed: job.seed,
    };
    let objective = CrossEntropyLossConfig::new().init().map_err(LabError::method)?;
    let optimizer = optimizer(job.method.kind, &monitor)?;
    let fitted = fit(network, &images.train, Some(&images.validation), &objective, optimizer, &fit_settings, context);
    let fitted = match fitted {
        Ok(fitted) => fitted,
        // A rate that is too high for an optimizer is a result, not a failure of the run.
        Err(LabError::Diverged { .. }) => return Ok(Trained::diverged()),
        Err(error) => return Err(error),
    };
    Ok(Trained {
        train_loss: fitted.history.last().map(|epoch| epoch.train_loss),
        validation_accuracy: fitted.history.iter().filter_map(|epoch| epoch.validation_accuracy).collect(),
        test_accuracy: accuracy(&fitted.network, &images.test, &context.device()),
        friction: friction(&monitor),
    })
}

impl Trained {
    fn diverged() -> Self {
        Self { train_loss: None, validation_accuracy: Vec::new(), test_accuracy: 0.0, friction: Vec::new() }
    }
}

/// The optimizer with its defaults; diffGrad's friction is recorded.
fn optimizer(kind: OptimizerKind, monitor: &FrictionMonitor) -> Result<ModuleOptimizer, LabError> {
    if kind == OptimizerKind::DiffGrad {
        let diffgrad = DiffGradConfig::new().build().map_err(LabError::method)?;
        return Ok(ModuleOptimizer::from(diffgrad.with_monitor(monitor.clone())));
    }
    kind.init().map_err(LabError::method)
}

fn friction(monitor: &FrictionMonitor) -> Vec<FrictionAt> {
    let records = monitor.records().into_iter();
    let at = records.filter_map(|record| {
        let stats = record.histogram.stats()?;
        let counts = record.histogram.counts();
        Some(FrictionAt { step: record.step, stats, counts: counts[counts.len() / 2..].to_vec() })
    });
    at.collect()
}
