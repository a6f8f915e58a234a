//! Variational autoencoders whose codes carry the same number of nats.

use burn::tensor::Tensor;
use kiln_data::{ImageOptions, ImagePlanes, open_images};
use kiln_lab::statistics::Summary;
use kiln_lab::train::{AUTOENCODERS as MODELS, ElVaeObjective, Examples, ImageRows, ImageTask, scalar};
use kiln_lab::{Finding, JobContext, LabError, Plot, Run, Series};
use kiln_loss::perceptual::{ElVaeLossConfig, kl_divergence};
use kiln_nn::Network;
use serde::{Deserialize, Serialize};

use super::autoencoders::{Tested, taken_apart};
use super::contenders::{ByName, loss_of};
use super::settings::{Settings, VaeContender};
use super::training::{Course, outputs, train};
use super::{VAE, judgement, pictures};

/// Largest ratio between the rates of two losses at which their images can be compared.
const MATCHED: f64 = 1.15;

/// Images to learn from, to choose weights on and to test on.
struct Images {
    train: ImageRows,
    validation: ImageRows,
    test: ImageRows,
}

/// A training with a weight of the dissimilarity.
struct Plan<'a> {
    contender: &'a VaeContender,
    weight: f64,
    seed: u64,
    /// Whether some of its images are drawn: those of the first seed.
    is_drawn: bool,
}

/// What it leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ended {
    /// Divergence of the codes of the validation and the test images, in nats an image.
    validation_nats: f64,
    test_nats: f64,
    tested: Tested,
}

pub(super) fn finding_ids() -> Vec<String> {
    let mut ids = vec![format!("{VAE}/matched")];
    ids.extend(judgement::autoencoder_ids(VAE));
    ids
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let images = Images::open(settings, run)?;
    let sweep = sweep(settings, &images, run)?;
    run.plot("rate-over-weight", &sweep_plot(settings, &sweep))?;
    let weights =
        settings.vae.losses.iter().map(|contender| {
            (contender.name.clone(), weight_for(settings.vae.nats, contender, sweep.of(&contender.name)))
        });
    let weights = ByName { entries: weights.collect() };
    let seeds = run.seeds().to_vec();
    let mut plans = Vec::new();
    for contender in &settings.vae.losses {
        let weight = *weights.of(&contender.name);
        plans.extend(seeds.iter().map(|&seed| Plan::new(contender, weight, seed, &seeds)));
    }
    let ended = run.grid(VAE, &plans, Plan::key, |plan, context| one(plan, settings, &images, context))?;
    let ended = ByName {
        entries: settings
            .vae
            .losses
            .iter()
            .map(|contender| contender.name.clone())
            .zip(by_seeds(&ended, &seeds))
            .collect(),
    };
    let tested = ended.entries.iter().map(|(name, ended)| {
        (name.clone(), ended.iter().map(|ended| ended.as_ref().map(|ended| ended.tested.clone())).collect())
    });
    let (results, shown) = taken_apart(&ByName { entries: tested.collect() });
    let description = format!("{} on {} at {} nats", settings.vae.model, settings.vae.dataset, settings.vae.nats);
    let mut findings = vec![matched(&description, &ended, &weights)];
    findings.extend(judgement::of_autoencoder(VAE, &description, &results));
    run.plot("reconstructions-vae", &pictures::rows(&description, &shown))?;
    run.table(judgement::table(description, &results));
    Ok(findings)
}

fn by_seeds(ended: &[Option<Ended>], seeds: &[u64]) -> Vec<Vec<Option<Ended>>> {
    ended.chunks(seeds.len().max(1)).map(<[_]>::to_vec).collect()
}

impl Images {
    fn open(settings: &Settings, run: &Run) -> Result<Self, LabError> {
        let vae = &settings.vae;
        let options = ImageOptions { channels: Some(1), ..ImageOptions::default() };
        let splits = open_images(&vae.dataset, run.data(), &options)?;
        let rows = |pictures: &[ImagePlanes], most: usize| {
            let pictures = &pictures[..most.min(pictures.len())];
            let size = pictures.first().map_or([1, 1], |picture| [picture.shape[1], picture.shape[2]]);
            ImageRows::new(pictures, size, ImageTask::Autoencode)
        };
        Ok(Self {
            train: rows(&splits.train, vae.train_rows)?,
            validation: rows(&splits.validation, vae.max_judged)?,
            test: rows(&splits.test, vae.max_judged)?,
        })
    }
}

impl<'a> Plan<'a> {
    fn new(contender: &'a VaeContender, weight: f64, seed: u64, seeds: &[u64]) -> Self {
        Self { contender, weight, seed, is_drawn: seeds.first() == Some(&seed) }
    }

    fn key(&self) -> String {
        format!("{}-weight-{}-seed-{}", self.contender.name, self.weight, self.seed)
    }
}

/// Nats on the validation images at each weight, means over the tuning seeds; nothing where one diverged.
fn sweep(settings: &Settings, images: &Images, run: &Run) -> Result<ByName<Vec<Option<f64>>>, LabError> {
    let tuning = &run.seeds()[..settings.tuning_seeds.min(run.seeds().len())];
    let mut plans = Vec::new();
    for contender in &settings.vae.losses {
        for &weight in &contender.weights {
            plans.extend(tuning.iter().map(|&seed| Plan::new(contender, weight, seed, run.seeds())));
        }
    }
    let ended = run.grid(VAE, &plans, Plan::key, |plan, context| one(plan, settings, images, context))?;
    let mut nats = ended.chunks(tuning.len().max(1)).map(|ended| {
        let nats: Option<Vec<f64>> =
            ended.iter().map(|ended| ended.as_ref().map(|ended| ended.validation_nats)).collect();
        nats.map(|nats| Summary::of(&nats).mean)
    });
    let entries = settings
        .vae
        .losses
        .iter()
        .map(|contender| (contender.name.clone(), nats.by_ref().take(contender.weights.len()).collect()));
    Ok(ByName { entries: entries.collect() })
}

/// The weight at which the code is expected to carry `nats`: between two that were tried, linear in its logarithm; the
/// nearest where `nats` lies outside.
fn weight_for(nats: f64, contender: &VaeContender, tried: &[Option<f64>]) -> f64 {
    let points: Vec<(f64, f64)> =
        contender.weights.iter().zip(tried).filter_map(|(&weight, nats)| Some((weight, (*nats)?))).collect();
    let between = points.windows(2).find(|pair| (pair[0].1 - nats) * (pair[1].1 - nats) <= 0.0);
    if let Some(&[(low, below), (high, above)]) = between {
        let share = if above == below { 0.0 } else { (nats - below) / (above - below) };
        return (low.ln() + share * (high / low).ln()).exp();
    }
    let distance = |point: &&(f64, f64)| (point.1 - nats).abs();
    let nearest = points.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.map_or(contender.weights[0], |(weight, _)| *weight)
}

fn one(plan: &Plan<'_>, settings: &Settings, images: &Images, context: &JobContext) -> Result<Option<Ended>, LabError> {
    let shape = images.train.shape();
    let dissimilarity = loss_of(&plan.contender.loss, [shape[1], shape[2]])?;
    let loss = ElVaeLossConfig::new(plan.weight).init(dissimilarity).map_err(LabError::method)?;
    let objective = ElVaeObjective { loss, shape, seed: plan.seed };
    let course = Course {
        epochs: settings.vae.epochs,
        batch_size: settings.batch_size,
        rate: settings.vae.rate,
        seed: plan.seed,
    };
    let network = MODELS.build(&settings.vae.model)?;
    let Some(network) = train(&network, &images.train, &objective, &course, context)? else { return Ok(None) };
    Ok(Some(Ended {
        validation_nats: nats(&network, &images.validation, context)?,
        test_nats: nats(&network, &images.test, context)?,
        tested: Tested::new(outputs(&network, &images.test, context), plan.is_drawn)?,
    }))
}

/// Mean divergence of the codes of images.
fn nats(network: &Network, rows: &ImageRows, context: &JobContext) -> Result<f64, LabError> {
    let network = network.variational().ok_or_else(|| LabError::setting("vae.model", "", "vae or conv-vae"))?;
    let all: Vec<usize> = (0..rows.len()).collect();
    let [channels, height, width] = rows.shape();
    let (inputs, _) = rows.examples(&all, 1, &context.device());
    let inputs: Tensor<4> = inputs.reshape([all.len(), channels, height, width]);
    let (mean, log_variance) = network.encode(inputs);
    Ok(scalar(&kl_divergence(mean, log_variance).mean()))
}

/// Whether the codes of all losses carry the same number of nats.
fn matched(description: &str, ended: &ByName<Vec<Option<Ended>>>, weights: &ByName<f64>) -> Finding {
    let nats =
        |ended: &[Option<Ended>]| Summary::of(&ended.iter().flatten().map(|ended| ended.test_nats).collect::<Vec<_>>());
    let rates: Vec<(String, Summary)> = ended.entries.iter().map(|(name, ended)| (name.clone(), nats(ended))).collect();
    let means = || rates.iter().map(|(_, rate)| rate.mean);
    let ratio = means().fold(f64::NAN, f64::max) / means().fold(f64::NAN, f64::min);
    let text = rates.iter().map(|(name, rate)| format!("{name} {rate} (C = {:.0})", weights.of(name)));
    Finding::new(
        format!("{VAE}/matched"),
        format!("{description}: the codes of all losses carry as many nats, so that their images can be compared"),
    )
    .measured(text.collect::<Vec<_>>().join(", "))
    .bound(format!("largest mean over smallest at most {MATCHED}"))
    .held_if(ratio <= MATCHED)
}

fn sweep_plot(settings: &Settings, sweep: &ByName<Vec<Option<f64>>>) -> Plot {
    let plot = Plot::line("Nats of the code over the weight C", "C", "nats an image").log_x();
    let plot = settings.vae.losses.iter().fold(plot, |plot, contender| {
        let points = contender.weights.iter().zip(sweep.of(&contender.name));
        let points = points.filter_map(|(&weight, nats)| Some((weight, (*nats)?)));
        plot.series(Series::new(&contender.name).points(points))
    });
    plot.reference(settings.vae.nats, "compared here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender() -> VaeContender {
        VaeContender { name: "mse".into(), loss: "mse".parse().unwrap(), weights: vec![10.0, 100.0, 1000.0] }
    }

    #[test]
    fn the_weight_lies_between_those_that_were_tried() {
        let tried = [Some(5.0), Some(15.0), Some(35.0)];
        assert!((weight_for(25.0, &contender(), &tried) - 10_f64.powf(2.5)).abs() < 1e-9);
        assert!((weight_for(5.0, &contender(), &tried) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn outside_of_what_was_tried_the_nearest_is_taken() {
        let tried = [Some(5.0), None, Some(35.0)];
        assert_eq!(weight_for(50.0, &contender(), &tried), 1000.0);
        assert_eq!(weight_for(1.0, &contender(), &tried), 10.0);
        assert_eq!(weight_for(1.0, &contender(), &[None; 3]), 10.0);
    }
}
