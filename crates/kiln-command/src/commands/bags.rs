//! Training and judging by the means of bags, for `kiln train` and `kiln evaluate`.

use std::sync::Arc;

use burn::tensor::Device;
use kiln_data::{BagTargets, SplitBags, Splits, TargetEncoding};
use kiln_lab::plot::{Plot, Series};
use kiln_lab::statistics::{Summary, figure};
use kiln_lab::train::{
    BagEvaluation, BagExamples, BagObjective, Figures, FitSettings, Interpolation, OPTIMIZERS, Objective, TrainConfig,
    bag_loss, choose_rho, fit, interpolation,
};
use kiln_lab::{JobContext, LabError, Table, device};
use kiln_loss::aggregate::{BagCrossValidationConfig, CrossValidated};
use kiln_nn::Network;
use serde::Serialize;

use crate::failure::Failure;

/// The bags of a training.
pub struct BagParts {
    pub train: Arc<BagExamples>,
    pub validation: Arc<BagExamples>,
    pub test: BagExamples,
    targets: TargetEncoding,
}

impl BagParts {
    /// Nothing for data without bags.
    pub fn of(splits: &Splits) -> Option<Self> {
        let SplitBags { train, validation, test } = splits.bags.as_ref()?;
        let targets = splits.preprocessing.targets.clone();
        let examples = |data, bags| BagExamples::new(data, bags, &targets);
        Some(Self {
            train: Arc::new(examples(&splits.train, train)),
            validation: Arc::new(examples(&splits.validation, validation)),
            test: examples(&splits.test, test),
            targets,
        })
    }

    /// What `config` minimises on them.
    pub fn objective(&self, config: &TrainConfig) -> Result<Box<dyn Objective>, Failure> {
        let rho = match interpolation(&config.loss())? {
            Interpolation::At(rho) => rho,
            Interpolation::Auto { .. } => {
                return Err(Failure::Failed("rho was not chosen before the training".into()));
            }
        };
        Ok(Box::new(BagObjective::new(bag_loss(&self.targets, rho)?)?))
    }

    /// The settings with as many bags a step as have the wanted number of rows.
    pub fn steps(&self, settings: FitSettings) -> FitSettings {
        FitSettings { batch_size: self.train.bags_a_batch(settings.batch_size), ..settings }
    }
}

/// Replaces `interpolate=auto` by what cross-validation over the training bags chooses, on the first of the devices.
pub fn settle(
    mut config: TrainConfig,
    splits: &Splits,
    devices: &str,
) -> Result<(TrainConfig, Option<CrossValidated>), Failure> {
    let Some(parts) = BagParts::of(splits) else { return Ok((config, None)) };
    let Interpolation::Auto { folds } = interpolation(&config.loss())? else { return Ok((config, None)) };
    let device = device::parse_all(devices)?.swap_remove(0);
    let context = JobContext::detached(device.clone());
    let settings = parts.steps(config.fit_settings()?);
    let network_config = config.network()?;
    let (shape, outputs) = (splits.train.input_shape(), splits.train.num_classes());
    let cross_validation = BagCrossValidationConfig::new().with_folds(folds).init().map_err(LabError::from)?;
    eprintln!(
        "cross-validation over {} training bags, {} trainings",
        num_training_bags(&parts),
        cross_validation.trainings()
    );
    let train = |objective: &BagObjective, kept: &BagExamples| {
        let network = network_config.init_seeded(shape, outputs, config.seed, &device).map_err(LabError::method)?;
        let optimizer = OPTIMIZERS.build(&config.optimizer)?;
        Ok(fit(network, kept, None, objective, optimizer, &settings, &context)?.network)
    };
    let found = choose_rho(&bag_loss(&parts.targets, 0.0)?, &parts.train, &cross_validation, config.seed, train)?;
    let rho = found.rho.ok_or_else(|| {
        Failure::Failed("no training of the cross-validation reached its end: lower the learning rate, --lr".into())
    })?;
    config.loss = Some(config.loss().without("folds").with("interpolate", rho));
    Ok((config, Some(found)))
}

fn num_training_bags(parts: &BagParts) -> usize {
    kiln_lab::train::Examples::len(parts.train.as_ref())
}

/// The errors that chose `rho`.
pub fn choice_table(found: &CrossValidated) -> Table {
    let mut table = Table::new("Error of held-out bags' means by rho", ["rho", "error", "chosen"]);
    for error in &found.errors {
        let shown =
            if error.mean.is_finite() { Summary::of(&error.held_out).to_string() } else { "diverged".to_string() };
        let chosen = if Some(error.rho) == found.rho { "yes" } else { "" };
        table.push([error.rho.to_string(), shown, chosen.to_string()]);
    }
    table
}

/// How good a network is: by the bags' means and, where each row has a target of its own, by these.
#[derive(Debug, Serialize)]
pub struct BagQuality {
    /// Training, validation and test bags.
    pub bags: [usize; 3],
    pub validation: BagEvaluation,
    pub test: BagEvaluation,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_rows: Option<Figures>,
}

impl BagQuality {
    pub fn of(network: &Network, config: &TrainConfig, splits: &Splits, parts: &BagParts, device: &Device) -> Self {
        let names = splits.preprocessing.class_names();
        let judge = |examples: &BagExamples| BagEvaluation::of(network, examples, &parts.targets, names, device);
        let has_rows = config.bag_targets == Some(BagTargets::Row);
        let len = kiln_lab::train::Examples::len;
        Self {
            bags: [len(parts.train.as_ref()), len(parts.validation.as_ref()), len(&parts.test)],
            validation: judge(&parts.validation),
            test: judge(&parts.test),
            test_rows: has_rows.then(|| Figures::of(network, &splits.test, &splits.preprocessing, device)),
        }
    }

    /// The figures of the test rows, one by one, in words.
    pub fn rows_line(&self) -> Option<String> {
        Some(match self.test_rows.as_ref()? {
            Figures::Classes(found) => format!("accuracy {:.4}, log-loss {:.4}", found.accuracy, found.log_loss),
            Figures::Values(found) => {
                format!("RMSE {}, MAE {}, R2 {}", figure(found.rmse), figure(found.mae), found.shown_r2())
            }
        })
    }
}

/// Predicted against true means, of numbers in the units of the data.
pub fn agreement(predicted: &[Vec<f64>], truth: &[Vec<f64>], names: &[String]) -> Plot {
    let mut plot = Plot::scatter("Means of bags", "true", "predicted");
    for (target, name) in names.iter().enumerate() {
        let points = truth.iter().zip(predicted).map(|(truth, found)| (truth[target], found[target]));
        plot = plot.series(Series::new(name).points(points));
    }
    let all = || predicted.iter().chain(truth).flatten().copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    const DIAGONAL: usize = 60;
    let diagonal = (0..=DIAGONAL).map(|step| low + (high - low) * step as f64 / DIAGONAL as f64);
    plot.series(Series::new("predicted = true").points(diagonal.map(|value| (value, value))))
}
