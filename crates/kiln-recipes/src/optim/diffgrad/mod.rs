//! diffGrad against six other optimizers: on functions of one variable, on images, over activation functions.

mod activations;
mod comparison;
mod equal_rates;
mod images;
mod resnet;
mod synthetic;
mod training;

use kiln_lab::{LabError, MethodCard, Recipe, Run, Scale, Verdict};
use serde::{Deserialize, Serialize};

/// The reproduction of diffGrad (arXiv 1909.11015).
///
/// Besides the paper's seven optimizers every comparison has Adam at half the rate: where gradients are small, diffGrad's
/// friction coefficient is close to 0.5 everywhere, and only this shows whether it does more than halve the rate.
#[derive(Debug, Clone, Copy)]
pub struct DiffGradRecipe;

/// What `--set` can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Updates on the functions of one variable.
    pub synthetic_steps: usize,
    /// Where they start.
    pub synthetic_start: f64,
    /// Their learning rate.
    pub synthetic_learning_rate: f64,
    /// The image set; where it is not found, `fallback_data` stands in.
    pub data: String,
    /// The image set of every machine.
    pub fallback_data: String,
    /// Images to learn from.
    pub train_images: usize,
    /// Images to choose learning rates by.
    pub validation_images: usize,
    /// Images to report on.
    pub test_images: usize,
    /// Channels of the small network's three convolutions.
    pub channels: [usize; 3],
    /// Passes over the training images.
    pub epochs: usize,
    /// The comparison on a residual network; absent where there is no time for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resnet: Option<ResNetSettings>,
    /// Batch sizes of the comparison.
    pub batch_sizes: Vec<usize>,
    /// The paper's learning rate, the same for all optimizers.
    pub learning_rate: f64,
    /// Rates to choose from on the validation images; none skips the tuned comparison.
    pub tuned_rates: Vec<f64>,
    /// Rates to choose from for SGDM.
    pub tuned_rates_sgdm: Vec<f64>,
    /// Activation functions of the ablation, at the first batch size; none skips it.
    pub activations: Vec<String>,
}

/// The comparison on a residual network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResNetSettings {
    /// Layers: 8, 14, 20, ...
    pub depth: usize,
    /// Channels of its first stage.
    pub width: usize,
    /// Images to learn from.
    pub train_images: usize,
    /// Passes over them.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
}

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
const RESNET: &str = "resnet";
const ACTIVATIONS: &str = "activations";

impl Recipe for DiffGradRecipe {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &[SYNTHETIC, IMAGES, RESNET, ACTIVATIONS]
    }

    fn settings(&self, scale: Scale) -> Settings {
        let quick = Settings {
            synthetic_steps: 299,
            synthetic_start: -1.0,
            synthetic_learning_rate: 0.1,
            data: "fashion-mnist".into(),
            fallback_data: "fashion-mnist".into(),
            train_images: 4000,
            validation_images: 500,
            test_images: 1000,
            channels: [8, 16, 32],
            epochs: 4,
            resnet: None,
            batch_sizes: vec![32],
            learning_rate: 1e-3,
            tuned_rates: Vec::new(),
            tuned_rates_sgdm: Vec::new(),
            activations: Vec::new(),
        };
        match scale {
            Scale::Smoke => Settings {
                data: "digits".into(),
                fallback_data: "digits".into(),
                train_images: 320,
                validation_images: 64,
                test_images: 128,
                channels: [4, 4, 8],
                epochs: 1,
                resnet: Some(ResNetSettings { depth: 8, width: 4, train_images: 128, epochs: 1, batch_size: 32 }),
                tuned_rates: vec![3e-3],
                tuned_rates_sgdm: vec![3e-2],
                activations: vec!["relu".into(), "gelu".into()],
                ..quick
            },
            Scale::Quick => quick,
            Scale::Full => Settings {
                data: "cifar10".into(),
                // Enough passes to come near the end of training; more images would not fit the time.
                train_images: 3000,
                test_images: 2000,
                epochs: 12,
                resnet: Some(ResNetSettings { depth: 8, width: 16, train_images: 2000, epochs: 12, batch_size: 32 }),
                batch_sizes: vec![32, 128],
                tuned_rates: vec![3e-4, 1e-3, 3e-3],
                tuned_rates_sgdm: vec![1e-2, 3e-2, 1e-1],
                activations: ["relu", "leaky-relu", "elu", "selu", "gelu"].map(String::from).into(),
                ..quick
            },
        }
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
        ids.extend(settings.resnet.iter().flat_map(|_| resnet::finding_ids()));
        ids.extend(activations::finding_ids(settings));
        ids
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        let mut verdict = Verdict::new();
        if run.wants(SYNTHETIC) {
            verdict = verdict.with(synthetic::run(settings, run)?);
        }
        let resnet = settings.resnet.as_ref().filter(|_| run.wants(RESNET));
        let wants_activations = run.wants(ACTIVATIONS) && !settings.activations.is_empty();
        if run.wants(IMAGES) || resnet.is_some() || wants_activations {
            let images = training::Images::open(settings, run)?;
            if run.wants(IMAGES) {
                verdict = verdict.with(images::run(settings, &images, run)?);
            }
            if let Some(resnet) = resnet {
                verdict = verdict.with(resnet::run(settings, resnet, &images, run)?);
            }
            if wants_activations {
                verdict = verdict.with(activations::run(settings, &images, run)?);
            }
        }
        Ok(verdict)
    }
}
