//! Label-distributionally robust losses: fifteen losses under seven kinds of label noise, the temperatures that the adaptive
//! one learns, and which losses order the classes right.

mod choice;
mod comparison;
mod contenders;
mod network;
mod noise;
mod ranking;
mod ranks;
mod settings;
mod temperatures;
mod theory;
mod training;

use kiln_lab::{LabError, MethodCard, Recipe, Run, Scale, Verdict};

use settings::RankingSettings;
pub use settings::Settings;

/// The label-distributionally robust losses against thirteen others, on small real sets with noise of a known kind.
pub struct LdrRecipe;

const CARD: MethodCard = MethodCard {
    id: "ldr",
    title: "Label Distributionally Robust Losses for Multi-class Classification: Consistency, Robustness and Adaptivity",
    authors: &["Dixian Zhu", "Yiming Ying", "Tianbao Yang"],
    venue: "ICML",
    year: 2023,
    arxiv: "2112.14869",
    family: "loss",
    summary: "between cross-entropy and the hinge with one temperature, or with a temperature for every training row",
    claim: "Over seven data sets and seven kinds of label noise the adaptive loss ALDR-KL has the best average rank of fifteen \
            losses, LDR-KL the second.",
    types: &[
        "kiln::loss::ldr::LdrKl",
        "kiln::loss::ldr::LdrTopK",
        "kiln::loss::ldr::AldrKl",
        "kiln::loss::ldr::consistency",
        "kiln::loss::robust",
    ],
};

/// Names of the parts.
const TABLES: &str = "tables";
const IMAGES: &str = "images";
const TEMPERATURES: &str = "temperatures";
const THEORY: &str = "theory";

impl Recipe for LdrRecipe {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &[TABLES, IMAGES, TEMPERATURES, THEORY]
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
        let comparisons = comparisons(settings).into_iter().filter(|(_, own)| !own.datasets.is_empty());
        let mut ids: Vec<String> = comparisons.flat_map(|(part, _)| comparison::finding_ids(part)).collect();
        ids.extend(settings.temperatures.datasets.iter().flat_map(|dataset| temperatures::finding_ids(dataset)));
        ids.extend(theory::finding_ids());
        ids
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        settings.check()?;
        let mut verdict = Verdict::new();
        for (part, own) in comparisons(settings) {
            if run.wants(part) && !own.datasets.is_empty() {
                verdict = verdict.with(ranking::run(part, settings, own, run)?);
            }
        }
        if run.wants(TEMPERATURES) {
            verdict = verdict.with(temperatures::run(settings, run)?);
        }
        if run.wants(THEORY) {
            verdict = verdict.with(theory::run(run)?);
        }
        Ok(verdict)
    }
}

/// The parts that compare all losses, with their settings.
fn comparisons(settings: &Settings) -> [(&'static str, &RankingSettings); 2] {
    [(TABLES, &settings.tables), (IMAGES, &settings.images)]
}
