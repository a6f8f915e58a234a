//! Comp-sum losses: accuracy over tau, adversarial training, and the guarantee on a problem that is known exactly.

mod adversarial;
mod finite_problem;
mod settings;
mod standard;
mod theory;

use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig, decay::WeightDecayConfig};
use kiln_lab::{LabError, MethodCard, Recipe, Run, Scale, Verdict};

pub use settings::Settings;

/// The comp-sum family on data with few and many classes, its smooth adversarial loss against TRADES and PGD training,
/// and its H-consistency bound.
pub struct CompSumRecipe;

const CARD: MethodCard = MethodCard {
    id: "comp-sum",
    title: "Cross-Entropy Loss Functions: Theoretical Analysis and Applications",
    authors: &["Anqi Mao", "Mehryar Mohri", "Yutao Zhong"],
    venue: "ICML",
    year: 2023,
    arxiv: "2304.07288",
    family: "loss",
    summary: "one loss with one knob: sum-exponential, cross-entropy, generalized cross-entropy, MAE",
    claim: "Cross-entropy (tau = 1) balances the loss's guarantee against its minimizability gap and gives the best \
            accuracy; its smooth adversarial version beats TRADES in clean and in robust accuracy.",
    types: &[
        "kiln::loss::comp_sum::CompSumLoss",
        "kiln::loss::comp_sum::SmoothAdvCompSum",
        "kiln::loss::comp_sum::h_consistency",
        "kiln::loss::comp_sum::minimizability",
    ],
};

impl Recipe for CompSumRecipe {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &["standard", "adversarial", "adversarial-images", "theory"]
    }

    fn settings(&self, scale: Scale) -> Settings {
        Settings::of(scale)
    }

    fn seeds(&self, scale: Scale) -> Vec<u64> {
        match scale {
            Scale::Smoke => vec![1],
            Scale::Quick => vec![1, 2],
            Scale::Full => (1..=5).collect(),
        }
    }

    fn findings(&self, settings: &Settings) -> Vec<String> {
        let mut ids = standard::finding_ids(settings);
        ids.extend(settings.adversarial_problems().flat_map(|(part, _)| adversarial::finding_ids(part)));
        ids.extend(theory::finding_ids());
        ids
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        let mut verdict = Verdict::new();
        if run.wants("standard") {
            verdict = verdict.with(standard::run(settings, run)?);
        }
        for (part, problem) in settings.adversarial_problems() {
            if run.wants(part) {
                verdict = verdict.with(adversarial::run(part, problem, settings.weight_decay, run)?);
            }
        }
        if run.wants("theory") {
            verdict = verdict.with(theory::run(&settings.theory, run)?);
        }
        Ok(verdict)
    }
}

/// The paper's optimizer: SGD with Nesterov momentum 0.9 and weight decay.
fn nesterov(weight_decay: f64) -> ModuleOptimizer {
    SgdConfig::new()
        .with_momentum(Some(MomentumConfig::new().with_momentum(0.9).with_dampening(0.0).with_nesterov(true)))
        .with_weight_decay(Some(WeightDecayConfig::new(weight_decay as f32)))
        .init()
}
