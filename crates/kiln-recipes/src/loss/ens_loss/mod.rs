//! Random calibrated losses: a fresh loss at every step against the fixed ones, on small binary tasks that a network can learn
//! by heart.

mod check;
mod compatibility;
mod field;
mod judgement;
mod pairs;
mod pictures;
mod portrait;
mod settings;
mod tasks;
mod training;

use kiln_lab::{LabError, MethodCard, Recipe, Run, Scale, Verdict};

pub use settings::{ContestSettings, Settings};

/// EnsLoss against the logistic, hinge, exponential and focal losses on tables and image pairs, each at the learning rate
/// that suits it and all at one rate.
pub struct EnsLossRecipe;

const CARD: MethodCard = MethodCard {
    id: "ens-loss",
    title: "EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in Classification",
    authors: &["Ben Dai"],
    venue: "ICML",
    year: 2025,
    arxiv: "2409.00908",
    family: "loss",
    summary: "a random convex, calibrated loss at every step, against overfitting in binary classification",
    claim: "Drawing a new calibrated loss at every step gives better test accuracy than any fixed one, on most of 45 pairs of \
            CIFAR-10 classes and of 14 tables.",
    types: &["kiln::loss::ens_loss::EnsLoss", "kiln::loss::ens_loss::DerivativeDist", "kiln::loss::margin::MarginLoss"],
};

/// Names of the parts.
const TABLES: &str = "tables";
const TABLES_LARGE: &str = "tables-384";
const IMAGES: &str = "images";
const PHOTOGRAPHS: &str = "photographs";
const OVERALL: &str = "overall";
const COMPATIBILITY: &str = "compatibility";

impl Recipe for EnsLossRecipe {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &[TABLES, TABLES_LARGE, IMAGES, OVERALL, PHOTOGRAPHS, COMPATIBILITY]
    }

    fn settings(&self, scale: Scale) -> Settings {
        Settings::of(scale)
    }

    fn seeds(&self, scale: Scale) -> Vec<u64> {
        match scale {
            Scale::Smoke => vec![1, 2],
            Scale::Quick => (1..=5).collect(),
            Scale::Full => (1..=10).collect(),
        }
    }

    fn findings(&self, settings: &Settings) -> Vec<String> {
        let together = settings.judged_together().into_iter();
        let mut ids: Vec<String> = together.flat_map(|(part, _)| portrait::finding_ids(part)).collect();
        ids.extend(judgement::finding_ids(OVERALL));
        ids.extend(portrait::finding_ids(PHOTOGRAPHS));
        ids.extend(judgement::finding_ids(PHOTOGRAPHS));
        ids.extend(compatibility::finding_ids());
        ids
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        settings.check()?;
        let mut verdict = Verdict::new();
        for (part, contest) in settings.judged_together() {
            if run.wants(part) {
                let cells = field::cells(part, contest, settings, run)?;
                verdict = verdict.with(portrait::report(part, &cells, settings, run));
            }
        }
        if run.wants(TABLES) {
            pictures::draw(settings, run)?;
        }
        if run.wants(OVERALL) {
            let mut cells = Vec::new();
            for (part, contest) in settings.judged_together() {
                cells.extend(field::cells(part, contest, settings, run)?);
            }
            verdict = verdict.with(judgement::judge(OVERALL, &cells, settings));
        }
        if run.wants(PHOTOGRAPHS) {
            let cells = field::cells(PHOTOGRAPHS, &settings.photographs, settings, run)?;
            verdict = verdict.with(portrait::report(PHOTOGRAPHS, &cells, settings, run));
            verdict = verdict.with(judgement::judge(PHOTOGRAPHS, &cells, settings));
        }
        if run.wants(COMPATIBILITY) {
            verdict = verdict.with(compatibility::run(settings, run)?);
        }
        Ok(verdict)
    }
}

impl Settings {
    /// The parts that are judged together, whose data ships along.
    fn judged_together(&self) -> [(&'static str, &ContestSettings); 3] {
        [(TABLES, &self.tables), (TABLES_LARGE, &self.tables_large), (IMAGES, &self.images)]
    }
}
