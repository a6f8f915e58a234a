//! Perceptual similarity: the same networks trained with the squared error, the absolute error and MS-SSIM, judged by
//! measures that none of them was trained with.

mod autoencoders;
mod check;
mod codes;
mod contenders;
mod each_image;
mod judgement;
mod nats;
mod photos;
mod pictures;
mod quality;
mod settings;
mod super_resolution;
mod tested;
mod training;
mod tuning;
mod vae;

use kiln_lab::{LabError, MethodCard, Recipe, Run, Scale, Verdict};

pub use settings::Settings;

/// MS-SSIM against pixel losses: autoencoders of photographs, a variational autoencoder at one rate, super-resolution, and
/// what the codes are worth to a classifier.
pub struct PerceptualSimilarityRecipe;

const CARD: MethodCard = MethodCard {
    id: "perceptual-similarity",
    title: "Learning to Generate Images with Perceptual Similarity Metrics",
    authors: &["Jake Snell", "Karl Ridgeway", "Renjie Liao", "Brett D. Roads", "Michael C. Mozer", "Richard S. Zemel"],
    venue: "ICIP",
    year: 2017,
    arxiv: "1511.06409",
    family: "loss",
    summary: "networks that give out images trained with (multi-scale) structural similarity instead of pixel errors",
    claim: "Observers prefer images of networks trained with MS-SSIM to those of the same networks trained with the squared \
            or absolute error: two autoencoders, a variational one, and super-resolution.",
    types: &[
        "kiln::loss::perceptual::MsSsimLoss",
        "kiln::loss::perceptual::Ssim",
        "kiln::loss::perceptual::ElVaeLoss",
        "kiln::nn::Autoencoder",
        "kiln::nn::SrCnn",
    ],
};

/// Names of the parts.
const AUTOENCODERS: &str = "autoencoders";
const VAE: &str = "vae";
const SUPER_RESOLUTION: &str = "super-resolution";
const CODES: &str = "codes";

impl Recipe for PerceptualSimilarityRecipe {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &[AUTOENCODERS, VAE, SUPER_RESOLUTION, CODES]
    }

    fn settings(&self, scale: Scale) -> Settings {
        Settings::of(scale)
    }

    fn seeds(&self, scale: Scale) -> Vec<u64> {
        match scale {
            Scale::Smoke | Scale::Quick => vec![1, 2],
            Scale::Full => (1..=5).collect(),
        }
    }

    fn findings(&self, settings: &Settings) -> Vec<String> {
        let mut ids = autoencoders::finding_ids(settings);
        ids.extend(vae::finding_ids());
        ids.extend(super_resolution::finding_ids(settings));
        ids.extend(codes::finding_ids(settings));
        ids
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        settings.check()?;
        let mut verdict = Verdict::new();
        if run.wants(AUTOENCODERS) {
            verdict = verdict.with(autoencoders::run(settings, run)?);
        }
        if run.wants(VAE) {
            verdict = verdict.with(vae::run(settings, run)?);
        }
        if run.wants(SUPER_RESOLUTION) {
            verdict = verdict.with(super_resolution::run(settings, run)?);
        }
        if run.wants(CODES) {
            verdict = verdict.with(codes::run(settings, run)?);
        }
        Ok(verdict)
    }
}
