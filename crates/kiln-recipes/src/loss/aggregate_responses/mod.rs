//! Learning from aggregate responses: theory beside simulation, tables, pictures of digits, and private means.

mod classification;
mod gains;
mod linear;
mod network;
mod privacy;
mod settings;
mod simulation;
mod table_sets;
mod tables;
mod tables_findings;

use kiln_lab::{LabError, MethodCard, Recipe, Run, Scale, Verdict};

pub use settings::Settings;

/// The loss between bag level and instance level, against both ends.
pub struct AggregateResponsesRecipe;

const CARD: MethodCard = MethodCard {
    id: "aggregate-responses",
    title: "Learning from Aggregate responses: Instance Level versus Bag Level Loss Functions",
    authors: &["Adel Javanmard", "Lin Chen", "Vahab Mirrokni", "Ashwinkumar Badanidiyuru", "Gang Fu"],
    venue: "ICLR",
    year: 2024,
    arxiv: "2401.11081",
    family: "loss",
    summary: "learns from means over groups of rows, between fitting the means and copying them to the rows, also with private means",
    claim: "A loss between the bag-level and the instance-level loss is better than both, by as much as a theory says; under label \
            differential privacy the best bag size follows from the privacy that is asked for.",
    types: &[
        "kiln::loss::aggregate::BagLoss",
        "kiln::loss::aggregate::BagRegression",
        "kiln::loss::aggregate::risk",
        "kiln::loss::aggregate::dp",
        "kiln::data::Bags",
    ],
};

/// How often the bags are divided for the choices that are judged: once, which is the library's default.
const DIVISIONS: usize = 1;

/// Names of the parts.
const SIMULATION: &str = "simulation";
const TABLES: &str = "tables";
const CLASSIFICATION: &str = "classification";
const PRIVACY: &str = "privacy";

impl Recipe for AggregateResponsesRecipe {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &[SIMULATION, TABLES, CLASSIFICATION, PRIVACY]
    }

    fn settings(&self, scale: Scale) -> Settings {
        Settings::of(scale)
    }

    fn seeds(&self, scale: Scale) -> Vec<u64> {
        match scale {
            Scale::Smoke => vec![1, 2, 3],
            Scale::Quick => (1..=10).collect(),
            Scale::Full => (1..=40).collect(),
        }
    }

    fn findings(&self, settings: &Settings) -> Vec<String> {
        let mut ids = simulation::finding_ids();
        ids.extend(tables_findings::finding_ids(&settings.tables));
        ids.extend(network::finding_ids(&settings.network));
        ids.extend(classification::finding_ids(&settings.classification));
        ids.extend(privacy::finding_ids(&settings.privacy));
        ids
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        settings.check(run.seeds().len())?;
        let mut verdict = Verdict::new();
        if run.wants(SIMULATION) {
            verdict = verdict.with(simulation::run(settings, run)?);
        }
        if run.wants(TABLES) {
            verdict = verdict.with(tables::run(settings, run)?).with(network::run(settings, run)?);
        }
        if run.wants(CLASSIFICATION) {
            verdict = verdict.with(classification::run(settings, run)?);
        }
        if run.wants(PRIVACY) {
            verdict = verdict.with(privacy::run(settings, run)?);
        }
        Ok(verdict)
    }
}
