//! What the codes of autoencoders are worth to a linear classifier.

use burn::tensor::Tensor;
use kiln_data::{ArrayDataset, DataError, ImagePlanes, OpenOptions, Splits, Targets};
use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::{
    AUTOENCODERS as MODELS, Examples, FitSettings, ImageRows, ImageTask, OPTIMIZERS, Schedule, Selector, accuracy, fit,
};
use kiln_lab::{Finding, JobContext, LabError, Run};
use kiln_loss::CrossEntropyLoss;
use kiln_nn::{Network, NetworkConfig};

use super::contenders::{ByName, MS_SSIM, MSE};
use super::pictures;
use super::training::{Course, Judged, Plan, at_best_rates, objective, outputs, train};
use super::{CODES, Settings};
use crate::loss::small_sets::{Sets, first};

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    settings.codes.datasets.iter().map(|dataset| id(dataset)).collect()
}

fn id(dataset: &str) -> String {
    format!("{CODES}/{dataset}")
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let codes = &settings.codes;
    let sets = Sets::open(&codes.datasets, &OpenOptions::default(), codes.max_judged, run)?;
    let mut findings = Vec::new();
    for dataset in &codes.datasets {
        let Some(place) = sets.position(dataset) else {
            findings.push(sets.not_comparable(id(dataset), dataset));
            continue;
        };
        let set = &sets.here[place];
        let set = Set::new(set, settings)?;
        let work = |plan: &Plan<'_>, context: &JobContext| one(plan, &set, settings, context);
        let compared = at_best_rates(CODES, dataset, settings, run, work)?;
        findings.push(report(dataset, &compared.results, settings));
        run.note(pictures::rates(dataset, &compared.rates));
    }
    Ok(findings)
}

/// Images with classes.
struct Set {
    train: ArrayDataset,
    validation: ArrayDataset,
    test: ArrayDataset,
}

impl Set {
    fn new(splits: &Splits, settings: &Settings) -> Result<Self, LabError> {
        let is_grey = matches!(splits.train.input_shape(), [1, _, _]);
        if !is_grey || !splits.train.is_classification() {
            return Err(LabError::setting("codes.datasets", &splits.name, "grey images with classes"));
        }
        Ok(Self {
            train: first(&splits.train, settings.codes.train_rows),
            validation: first(&splits.validation, settings.codes.max_judged),
            test: splits.test.clone(),
        })
    }
}

/// The images of a set, without their classes.
fn images(data: &ArrayDataset) -> Result<ImageRows, LabError> {
    let &[channels, height, width] = data.input_shape() else {
        return Err(DataError::Shape {
            what: "images".into(),
            found: format!("{:?}", data.input_shape()),
            expected: "[channels, height, width]".into(),
        }
        .into());
    };
    let shape = [channels, height, width];
    let picture = |row: usize| ImagePlanes { name: format!("row {row}"), shape, values: data.row(row).to_vec() };
    let pictures: Vec<ImagePlanes> = (0..data.len()).map(picture).collect();
    ImageRows::new(&pictures, [height, width], ImageTask::Autoencode)
}

/// Test accuracy of the classifier.
fn one(plan: &Plan<'_>, set: &Set, settings: &Settings, context: &JobContext) -> Result<Option<Judged<f64>>, LabError> {
    let rows = images(&set.train)?;
    let objective = objective(&plan.contender.loss, rows.shape())?;
    let course =
        Course { epochs: settings.codes.epochs, batch_size: settings.batch_size, rate: plan.rate, seed: plan.seed };
    let network = MODELS.build(&settings.codes.model)?;
    let Some(network) = train(&network, &rows, &objective, &course, context)? else { return Ok(None) };
    let accuracy = probe(&network, set, settings, plan.seed, context)?;
    Ok(Some(Judged::new(plan.contender, outputs(&network, &images(&set.validation)?, context), accuracy)?))
}

/// Test accuracy of a linear classifier of the codes, at the learning rate that is best on the validation images.
fn probe(network: &Network, set: &Set, settings: &Settings, seed: u64, context: &JobContext) -> Result<f64, LabError> {
    let [train, validation, test] = codes(network, [&set.train, &set.validation, &set.test], context)?;
    let mut best: Option<[f64; 2]> = None;
    for &learning_rate in &settings.codes.probe_rates {
        let linear = NetworkConfig::mlp([])
            .init_seeded(train.input_shape(), train.num_classes(), seed, &context.device().autodiff())
            .map_err(LabError::method)?;
        let course = FitSettings {
            epochs: settings.codes.probe_epochs,
            batch_size: settings.batch_size,
            learning_rate,
            schedule: Schedule::Cosine { warmup: 0.0 },
            seed,
        };
        let adam = OPTIMIZERS.build(&Selector::named("adam"))?;
        let loss = CrossEntropyLoss::default();
        let detached = JobContext::detached(context.device());
        let fitted = fit(linear, &train, None, &loss, adam, &course, &detached)?;
        let found = [&validation, &test].map(|data| accuracy(&fitted.network, data, &context.device()));
        if best.is_none_or(|best| found[0] > best[0]) {
            best = Some(found);
        }
    }
    best.map(|[_, test]| test).ok_or_else(|| LabError::setting("codes.probe_rates", "[]", "at least one number"))
}

/// The codes of sets with their classes, on the scale of those of the first.
fn codes(network: &Network, sets: [&ArrayDataset; 3], context: &JobContext) -> Result<[ArrayDataset; 3], LabError> {
    let of = |data: &ArrayDataset| {
        let all: Vec<usize> = (0..data.len()).collect();
        network.features(Examples::examples(data, &all, 1, &context.device()).0)
    };
    let raw = sets.map(of);
    let mean = raw[0].clone().mean_dim(0);
    let deviation = (raw[0].clone() - mean.clone()).square().mean_dim(0).sqrt().clamp_min(1e-6);
    let [first, second, third] = raw.map(|codes| (codes - mean.clone()) / deviation.clone());
    let classes = |codes: Tensor<2>, data: &ArrayDataset| {
        let size = codes.dims()[1];
        let labels = (0..data.len()).map(|row| data.label(row) as u32).collect();
        let targets = Targets::Classes { labels, names: data.class_names().to_vec() };
        ArrayDataset::new(codes.into_data().iter::<f32>().collect(), vec![size], targets)
    };
    Ok([classes(first, sets[0])?, classes(second, sets[1])?, classes(third, sets[2])?])
}

/// Accuracies with their intervals. The paper's direction is reported and not judged.
fn report(dataset: &str, accuracies: &ByName<Vec<Option<f64>>>, settings: &Settings) -> Finding {
    let percent = |accuracies: &[Option<f64>]| {
        Summary::of(&accuracies.iter().flatten().map(|accuracy| 100.0 * accuracy).collect::<Vec<_>>())
    };
    let shown = accuracies.entries.iter().map(|(name, accuracies)| {
        let summary = percent(accuracies);
        let interval = summary.interval();
        match summary.n {
            0 | 1 => format!("{name} {summary} %"),
            _ => format!("{name} {:.2} % ({:.2} to {:.2})", summary.mean, interval.low, interval.high),
        }
    });
    let pairs = accuracies.of(MS_SSIM).iter().zip(accuracies.of(MSE));
    let (own, other): (Vec<f64>, Vec<f64>) =
        pairs.filter_map(|(own, other)| Some((100.0 * (*own)?, 100.0 * (*other)?))).unzip();
    let difference = paired_difference(&own, &other);
    let text = format!("{}; ms-ssim - mse {} points", shown.collect::<Vec<_>>().join(", "), difference.difference);
    Finding::new(
        id(dataset),
        format!(
            "{dataset}: accuracy of a linear classifier of the codes of {}, in percent with 95 % intervals",
            settings.codes.model
        ),
    )
    .paper("codes of MS-SSIM classify better in most tasks")
    .measured(kiln_lab::Measured::from(difference.difference).text(text))
}
