//! What the codes of autoencoders, and the images from them, are worth to a classifier.

use burn::tensor::Tensor;
use kiln_data::{ArrayDataset, DataError, ImagePlanes, OpenOptions, Splits, Targets};
use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::{
    AUTOENCODERS as MODELS, Examples, FitSettings, ImageRows, ImageTask, OPTIMIZERS, Schedule, Selector, accuracy, fit,
};
use kiln_lab::{Finding, JobContext, LabError, Measured, Run};
use kiln_loss::CrossEntropyLoss;
use kiln_nn::{Network, NetworkConfig};
use serde::{Deserialize, Serialize};

use super::contenders::{ByName, MS_SSIM, MSE};
use super::training::{Course, objective, outputs, train};
use super::tuning::{self, Judged, Plan, at_best_rates};
use super::{CODES, Settings};
use crate::loss::small_sets::{Sets, first};

/// Width of the hidden layer of the classifier that looks at images.
const HIDDEN: usize = 128;

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    let mut ids: Vec<String> = settings.codes.datasets.iter().flat_map(|dataset| ids(dataset)).collect();
    ids.push(tuning::finding_id(CODES));
    ids
}

/// Of the codes, and of the reconstructions.
fn ids(dataset: &str) -> [String; 2] {
    [format!("{CODES}/{dataset}"), format!("{CODES}/{dataset}/reconstructions")]
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let codes = &settings.codes;
    let sets = Sets::open(&codes.datasets, &OpenOptions::default(), codes.max_judged, run)?;
    let (mut findings, mut choices) = (Vec::new(), Vec::new());
    for dataset in &codes.datasets {
        let Some(place) = sets.position(dataset) else {
            findings.extend(ids(dataset).map(|id| sets.not_comparable(id, dataset)));
            continue;
        };
        let set = Set::new(&sets.here[place], settings)?;
        let work = |plan: &Plan<'_>, context: &JobContext| one(plan, &set, settings, context);
        let compared = at_best_rates(CODES, dataset, settings, run, work)?;
        findings.extend(report(dataset, &compared.results, settings));
        choices.extend(compared.choices);
    }
    findings.push(tuning::report(CODES, &choices));
    run.table(tuning::table(CODES, &choices));
    Ok(findings)
}

/// Accuracies on the test images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Accuracies {
    /// Of a linear classifier of the codes.
    of_codes: f64,
    /// Of a classifier that learnt from the originals, on these.
    of_originals: f64,
    /// Of the same classifier on the reconstructions.
    of_reconstructions: f64,
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

fn one(
    plan: &Plan<'_>,
    set: &Set,
    settings: &Settings,
    context: &JobContext,
) -> Result<Option<Judged<Accuracies>>, LabError> {
    let rows = images(&set.train)?;
    let objective = objective(&plan.contender.loss, rows.shape())?;
    let course =
        Course { epochs: settings.codes.epochs, batch_size: settings.batch_size, rate: plan.rate, seed: plan.seed };
    let network = MODELS.build(&settings.codes.model)?;
    let Some(network) = train(&network, &rows, &objective, &course, context)? else { return Ok(None) };
    let [train, validation, test] = codes(&network, [&set.train, &set.validation, &set.test], context)?;
    let linear = NetworkConfig::mlp([]);
    let of_codes = Probe { settings, seed: plan.seed, context }.accuracies(&linear, [&train, &validation], &[&test])?;
    let seeing = NetworkConfig::mlp([HIDDEN]);
    let reconstructed = reconstructions(&network, &set.test, context)?;
    let of_images = Probe { settings, seed: plan.seed, context }.accuracies(
        &seeing,
        [&set.train, &set.validation],
        &[&set.test, &reconstructed],
    )?;
    let accuracies = Accuracies { of_codes: of_codes[0], of_originals: of_images[0], of_reconstructions: of_images[1] };
    Judged::new(plan.contender, outputs(&network, &images(&set.validation)?, context), accuracies)
}

/// How a classifier is trained.
struct Probe<'a> {
    settings: &'a Settings,
    seed: u64,
    context: &'a JobContext,
}

impl Probe<'_> {
    /// Accuracies on `tests` of a classifier of the first set, at the learning rate that is best on the second.
    fn accuracies(
        &self,
        network: &NetworkConfig,
        [train, validation]: [&ArrayDataset; 2],
        tests: &[&ArrayDataset],
    ) -> Result<Vec<f64>, LabError> {
        let mut best: Option<(f64, Vec<f64>)> = None;
        for &rate in &self.settings.codes.probe_rates {
            let classifier = self.trained(network, train, rate)?;
            let accuracy = |data: &ArrayDataset| accuracy(&classifier, data, &self.context.device());
            let on_validation = accuracy(validation);
            if best.as_ref().is_none_or(|(highest, _)| on_validation > *highest) {
                best = Some((on_validation, tests.iter().map(|data| accuracy(data)).collect()));
            }
        }
        best.map(|(_, tests)| tests).ok_or_else(|| LabError::setting("codes.probe_rates", "[]", "at least one number"))
    }

    fn trained(&self, network: &NetworkConfig, train: &ArrayDataset, learning_rate: f64) -> Result<Network, LabError> {
        let device = self.context.device();
        let network = network
            .init_seeded(train.input_shape(), train.num_classes(), self.seed, &device.clone().autodiff())
            .map_err(LabError::method)?;
        let course = FitSettings {
            epochs: self.settings.codes.probe_epochs,
            batch_size: self.settings.batch_size,
            learning_rate,
            schedule: Schedule::Cosine { warmup: 0.0 },
            seed: self.seed,
        };
        let adam = OPTIMIZERS.build(&Selector::named("adam"))?;
        let detached = JobContext::detached(device);
        let fitted = fit(network, train, None, &CrossEntropyLoss::default(), adam, &course, &detached)?;
        Ok(fitted.network)
    }
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
    Ok([classified(first, sets[0])?, classified(second, sets[1])?, classified(third, sets[2])?])
}

/// What the network makes of images, with their classes.
fn reconstructions(network: &Network, data: &ArrayDataset, context: &JobContext) -> Result<ArrayDataset, LabError> {
    let [reconstructions, _] = outputs(network, &images(data)?, context);
    classified(reconstructions, data)
}

/// Values in place of those of a set, with its classes.
fn classified<const D: usize>(values: Tensor<D>, of: &ArrayDataset) -> Result<ArrayDataset, LabError> {
    let shape = values.dims()[1..].to_vec();
    let labels = (0..of.len()).map(|row| of.label(row) as u32).collect();
    let targets = Targets::Classes { labels, names: of.class_names().to_vec() };
    Ok(ArrayDataset::new(values.into_data().iter::<f32>().collect(), shape, targets)?)
}

/// Accuracies with their intervals. The paper's direction is reported and not judged.
fn report(dataset: &str, accuracies: &ByName<Vec<Option<Accuracies>>>, settings: &Settings) -> [Finding; 2] {
    let model = &settings.codes.model;
    let [of_codes, of_reconstructions] = ids(dataset);
    let codes = percentages(accuracies, |accuracies| accuracies.of_codes);
    let reconstructions = percentages(accuracies, |accuracies| accuracies.of_reconstructions);
    let originals = percentages(accuracies, |accuracies| accuracies.of_originals);
    [
        reported(
            of_codes,
            format!("{dataset}: accuracy of a linear classifier of the codes of {model}, in percent with 95 % intervals"),
            &codes,
        )
        .paper("codes of MS-SSIM classify better in most tasks"),
        reported(
            of_reconstructions,
            format!(
                "{dataset}: accuracy, on what {model} makes of images, of a classifier that learnt from the originals, in \
                 percent with 95 % intervals"
            ),
            &reconstructions,
        )
        .note(format!("on the originals {}", shown(originals.of(MSE)))),
    ]
}

/// In percent, one a seed.
fn percentages(
    accuracies: &ByName<Vec<Option<Accuracies>>>,
    of: impl Fn(&Accuracies) -> f64,
) -> ByName<Vec<Option<f64>>> {
    let percentage = |accuracies: &Option<Accuracies>| accuracies.as_ref().map(|accuracies| 100.0 * of(accuracies));
    let entries = accuracies.entries.iter();
    ByName { entries: entries.map(|(name, of)| (name.clone(), of.iter().map(percentage).collect())).collect() }
}

fn reported(id: String, statement: String, percentages: &ByName<Vec<Option<f64>>>) -> Finding {
    let pairs = percentages.of(MS_SSIM).iter().zip(percentages.of(MSE));
    let (own, other): (Vec<f64>, Vec<f64>) = pairs.filter_map(|(own, other)| Some(((*own)?, (*other)?))).unzip();
    let difference = paired_difference(&own, &other).difference;
    let of_each = percentages.entries.iter().map(|(name, percentages)| format!("{name} {}", shown(percentages)));
    let text = format!("{}; ms-ssim - mse {difference} points", of_each.collect::<Vec<_>>().join(", "));
    Finding::new(id, statement).measured(Measured::from(difference).text(text))
}

fn shown(percentages: &[Option<f64>]) -> String {
    let summary = Summary::of(&percentages.iter().flatten().copied().collect::<Vec<_>>());
    let interval = summary.interval();
    match summary.n {
        0 | 1 => format!("{summary} %"),
        _ => format!("{:.2} % ({:.2} to {:.2})", summary.mean, interval.low, interval.high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_lab::Scale;

    #[test]
    fn accuracies_are_told_with_intervals_and_the_difference_seed_by_seed() {
        let of = |codes: f64| Some(Accuracies { of_codes: codes, of_originals: 0.9, of_reconstructions: codes - 0.1 });
        let mse = vec![of(0.5), of(0.7), None];
        let entries = vec![("mse".to_string(), mse), ("ms-ssim".to_string(), vec![of(0.6), of(0.8), of(0.1)])];
        let [codes, reconstructions] = report("digits", &ByName { entries }, &Settings::of(Scale::Smoke));
        assert_eq!((codes.measured.n, reconstructions.measured.n), (2, 2));
        for found in [&codes, &reconstructions] {
            assert!((found.measured.mean.unwrap() - 10.0).abs() < 1e-9, "{}", found.measured.text);
        }
        assert!(codes.measured.text.starts_with("mse 60.00 % ("), "{}", codes.measured.text);
        assert!(reconstructions.measured.text.starts_with("mse 50.00 % ("), "{}", reconstructions.measured.text);
        assert_eq!(reconstructions.note, "on the originals 90.00 % (90.00 to 90.00)");
    }
}
