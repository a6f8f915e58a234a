//! diffGrad against six other optimizers: on functions of one variable, on images, over activation functions.

mod activations;
mod comparison;
mod equal_rates;
mod images;
mod own_rates;
mod resnet;
mod settings;
mod synthetic;
mod training;

use kiln_lab::{LabError, MethodCard, Recipe, Run, Scale, Verdict};

pub use settings::{ResNetSettings, Settings};

/// The reproduction of diffGrad (arXiv 1909.11015).
///
/// Besides the paper's seven optimizers every comparison has Adam at half the rate: where gradients are small, diffGrad's
/// friction coefficient is close to 0.5 everywhere, and only this shows whether it does more than halve the rate.
#[derive(Debug, Clone, Copy)]
pub struct DiffGradRecipe;

const CARD: MethodCard = MethodCard {
    id: "diffgrad",
    title: "diffGrad: An Optimization Method for Convolutional Neural Networks",
    authors: &["S. R. Dubey", "S. Chakraborty", "S. K. Roy", "S. Mukherjee", "S. K. Singh", "B. B. Chaudhuri"],
    venue: "IEEE TNNLS",
    year: 2020,
    arxiv: "1909.11015",
    family: "optim",
    summary: "Adam whose step shrinks where the gradient has stopped changing",
    claim: "damping each coordinate's step by the change of its gradient finds global minima that Adam overshoots, and trains \
            convolutional networks to the best accuracy of seven optimizers",
    types: &["kiln::optim::DiffGradConfig", "kiln::optim::DiffGrad", "kiln::optim::OptimizerKind"],
};

/// Names of the parts.
const SYNTHETIC: &str = "synthetic";
const IMAGES: &str = "images";
const ACTIVATIONS: &str = "activations";

impl Recipe for DiffGradRecipe {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &[SYNTHETIC, IMAGES, resnet::PARTS[0].0, resnet::PARTS[1].0, ACTIVATIONS]
    }

    fn settings(&self, scale: Scale) -> Settings {
        Settings::of(scale)
    }

    fn seeds(&self, scale: Scale) -> Vec<u64> {
        match scale {
            Scale::Smoke => vec![1],
            Scale::Quick => vec![1, 2],
            Scale::Full => vec![1, 2, 3],
        }
    }

    fn findings(&self, settings: &Settings) -> Vec<String> {
        let mut ids = synthetic::finding_ids();
        ids.extend(images::finding_ids(settings));
        ids.extend(resnet::finding_ids(settings));
        ids.extend(activations::finding_ids(settings));
        ids
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        settings.check()?;
        let mut verdict = Verdict::new();
        if run.wants(SYNTHETIC) {
            verdict = verdict.with(synthetic::run(settings, run)?);
        }
        if ![IMAGES, resnet::PARTS[0].0, resnet::PARTS[1].0, ACTIVATIONS].iter().any(|part| run.wants(part)) {
            return Ok(verdict);
        }
        let images = training::Images::open(settings, run)?;
        let few = images.with_train_images(settings.train_images);
        if run.wants(IMAGES) {
            verdict = verdict.with(images::run(settings, &few, run)?);
        }
        if let Some(own) = &settings.resnet {
            let images = images.with_train_images(own.train_images);
            for (part, batch_size) in resnet::PARTS {
                if run.wants(part) {
                    verdict = verdict.with(resnet::run(part, batch_size, own, settings, &images, run)?);
                }
            }
        }
        if run.wants(ACTIVATIONS) && !settings.activations.is_empty() {
            verdict = verdict.with(activations::run(settings, &few, run)?);
        }
        Ok(verdict)
    }
}
