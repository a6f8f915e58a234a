//! What the reproduction of perceptual similarity can be told.

use kiln_lab::Scale;
use kiln_lab::train::Selector;
use serde::{Deserialize, Serialize};

/// Settings of [`super::PerceptualSimilarityRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Photographs in a data directory, each once. Seed `s` is tested on the photograph `s`, counted around, and learns
    /// from all others.
    pub photographs: Vec<String>,
    /// The photograph on which every seed chooses. It is none of `photographs`: what one seed chooses on, no other is
    /// tested on.
    pub validation_photograph: String,
    /// Side in pixels to which the middle of every photograph is cut; photographs with shorter sides keep these.
    pub side: usize,
    /// The losses; `mse`, `mae` and `ms-ssim` are among them, each once.
    pub losses: Vec<Contender>,
    /// Images a step, of all but super-resolution.
    pub batch_size: usize,
    /// Seeds, of all, on which learning rates and weights are chosen.
    pub tuning_seeds: usize,
    /// How often the learning rates of a loss are continued, to twice the largest or half the smallest, while the best of
    /// them lies at that end. A single rate is taken as it is.
    pub further_rates: usize,
    /// Autoencoders of patches of photographs.
    pub autoencoders: AutoencoderSettings,
    /// The variational autoencoder.
    pub vae: VaeSettings,
    /// Super-resolution of photographs.
    pub super_resolution: SuperResolutionSettings,
    /// What the codes are worth to a classifier.
    pub codes: CodeSettings,
}

/// A loss, and learning rates to choose from on the validation images by the loss itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contender {
    /// Its name in tables.
    pub name: String,
    /// The loss.
    pub loss: Selector,
    /// Learning rates of Adam.
    pub rates: Vec<f64>,
}

/// Settings of the autoencoders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AutoencoderSettings {
    /// Networks, one comparison each.
    pub models: Vec<Selector>,
    /// Side of a patch.
    pub patch: usize,
    /// Passes over as many random patches as fit beside each other into the photographs.
    pub epochs: usize,
}

/// Settings of the variational autoencoder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VaeSettings {
    /// Set of images.
    pub dataset: String,
    /// Images to learn from.
    pub train_rows: usize,
    /// At most this many validation and test images.
    pub max_judged: usize,
    /// The network.
    pub model: Selector,
    /// Passes over the training images.
    pub epochs: usize,
    /// Learning rates of Adam to choose from, for each loss at the middle one of its weights.
    pub rates: Vec<f64>,
    /// Divergence of the code, in nats an image, at which the losses are compared.
    pub nats: f64,
    /// Trainings of each loss at a weight between those that were tried, each nearer to `nats`.
    pub refinements: usize,
    /// The losses, each with the weights among which the one for `nats` lies.
    pub losses: Vec<VaeContender>,
}

/// A dissimilarity of the variational autoencoder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VaeContender {
    /// Its name in tables.
    pub name: String,
    /// The dissimilarity.
    pub loss: Selector,
    /// Weights to try, increasing.
    pub weights: Vec<f64>,
}

/// Settings of super-resolution.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SuperResolutionSettings {
    /// Factors by which photographs are made smaller, one comparison each.
    pub factors: Vec<usize>,
    /// The network.
    pub model: Selector,
    /// Side of a training patch.
    pub patch: usize,
    /// Patches a step. Every pixel of a patch is an example of what the network learns, so that few patches are enough.
    pub batch_size: usize,
    /// Passes over as many random patches as fit beside each other into the photographs.
    pub epochs: usize,
}

/// Settings of the part on codes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodeSettings {
    /// Sets of images with classes.
    pub datasets: Vec<String>,
    /// Images that the autoencoder and the classifier learn from.
    pub train_rows: usize,
    /// At most this many validation and test images.
    pub max_judged: usize,
    /// The autoencoder.
    pub model: Selector,
    /// Passes over the training images.
    pub epochs: usize,
    /// Passes of a classifier over the codes, and of another over the images.
    pub probe_epochs: usize,
    /// Learning rates of the classifiers, to choose from on the validation images.
    pub probe_rates: Vec<f64>,
}

impl Settings {
    /// The settings of a scale.
    pub fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Self::smoke(),
            Scale::Quick => Self::quick(),
            Scale::Full => Self::full(),
        }
    }

    fn full() -> Self {
        let photographs = ["camera.png", "astronaut.png", "chelsea.png", "rocket.jpg", "retina512.jpg"];
        let rates = vec![1e-3, 2e-3, 4e-3];
        let contender =
            |name: &str, loss: &str| Contender { name: name.into(), loss: selector(loss), rates: rates.clone() };
        let weighted = |name: &str, loss: &str, weights: &[f64]| VaeContender {
            name: name.into(),
            loss: selector(loss),
            weights: weights.to_vec(),
        };
        Self {
            photographs: photographs.map(|name| format!("photos/{name}")).to_vec(),
            validation_photograph: "photos/coffee.png".into(),
            side: 512,
            losses: vec![
                contender("mse", "mse"),
                contender("mae", "mae"),
                contender("ms-ssim", "ms-ssim"),
                contender("mixture", "ms-ssim:share=0.84"),
            ],
            batch_size: 32,
            tuning_seeds: 1,
            further_rates: 3,
            autoencoders: AutoencoderSettings {
                models: ["autoencoder", "conv-autoencoder"].map(selector).to_vec(),
                patch: 32,
                epochs: 60,
            },
            vae: VaeSettings {
                dataset: "fashion-mnist".into(),
                train_rows: 4000,
                max_judged: 1000,
                model: selector("vae:hidden=256,code=32"),
                epochs: 30,
                rates,
                nats: 15.0,
                refinements: 2,
                losses: vec![
                    weighted("mse", "mse", &[500.0, 2000.0, 8000.0]),
                    weighted("mae", "mae", &[150.0, 600.0, 2400.0]),
                    weighted("ms-ssim", "ms-ssim", &[30.0, 120.0, 480.0]),
                    weighted("mixture", "ms-ssim:share=0.84", &[30.0, 120.0, 480.0]),
                ],
            },
            super_resolution: SuperResolutionSettings {
                factors: vec![2, 3],
                model: selector("srcnn"),
                patch: 48,
                batch_size: 8,
                epochs: 20,
            },
            codes: CodeSettings {
                datasets: vec!["fashion-mnist".into(), "mnist".into()],
                train_rows: 4000,
                max_judged: 2000,
                model: selector("autoencoder:hidden=256,code=32"),
                epochs: 30,
                probe_epochs: 40,
                probe_rates: vec![0.003, 0.03],
            },
        }
    }

    fn quick() -> Self {
        let full = Self::full();
        Self {
            side: 256,
            losses: full.losses.into_iter().map(|loss| Contender { rates: vec![1e-3], ..loss }).collect(),
            autoencoders: AutoencoderSettings {
                models: vec![selector("autoencoder")],
                epochs: 40,
                ..full.autoencoders
            },
            vae: VaeSettings {
                train_rows: 1000,
                max_judged: 300,
                epochs: 8,
                rates: vec![1e-3],
                refinements: 1,
                ..full.vae
            },
            super_resolution: SuperResolutionSettings { factors: vec![2], epochs: 5, ..full.super_resolution },
            codes: CodeSettings {
                datasets: vec!["fashion-mnist".into()],
                train_rows: 1000,
                max_judged: 500,
                epochs: 8,
                ..full.codes
            },
            ..full
        }
    }

    fn smoke() -> Self {
        let quick = Self::quick();
        Self {
            side: 96,
            losses: quick.losses[..3].to_vec(),
            batch_size: 8,
            autoencoders: AutoencoderSettings {
                models: vec![selector("autoencoder:hidden=48,code=24")],
                patch: 16,
                epochs: 200,
            },
            vae: VaeSettings {
                dataset: "digits".into(),
                train_rows: 100,
                max_judged: 50,
                model: selector("vae:hidden=16,code=4"),
                epochs: 2,
                nats: 2.0,
                losses: quick.vae.losses[..3].to_vec(),
                ..quick.vae
            },
            super_resolution: SuperResolutionSettings {
                model: selector("srcnn:kernels=5-1-3,channels=8-4"),
                patch: 16,
                epochs: 2,
                ..quick.super_resolution
            },
            codes: CodeSettings {
                datasets: vec!["digits".into()],
                train_rows: 200,
                max_judged: 100,
                model: selector("autoencoder:hidden=32,code=16"),
                epochs: 5,
                probe_epochs: 20,
                ..quick.codes
            },
            ..quick
        }
    }
}

fn selector(text: &str) -> Selector {
    text.parse().expect("the recipe's own selectors are well-formed")
}
