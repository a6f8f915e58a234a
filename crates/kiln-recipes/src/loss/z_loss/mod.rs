//! Z-loss: speed of the factored output layer, its equality with dense SGD, and ranking quality on English
//! novels.

mod contest;
mod corpus;
mod end_to_end;
mod equality;
mod language_model;
mod method;
mod quality;
mod quality_dense;
mod ranking;
mod settings;
mod speed;
mod training;

use kiln_lab::{LabError, MethodCard, Recipe, Run, Scale, Verdict};

use corpus::Corpus;
pub use settings::Settings;
use settings::{Budget, CorpusSettings, DenseSettings, QualitySettings, SpeedSettings};

/// Z-loss against log-softmax, hierarchical softmax and the other spherical losses.
pub struct ZLossRecipe;

const CARD: MethodCard = MethodCard {
    id: "z-loss",
    title: "The Z-loss: a shift and scale invariant classification loss belonging to the Spherical Family",
    authors: &["Alexandre de Brébisson", "Pascal Vincent"],
    venue: "arXiv",
    year: 2016,
    arxiv: "1604.08859",
    family: "loss",
    summary: "output layer for very many classes whose exact training step does not depend on their number",
    claim: "Training with the Z-loss is 40 times faster than with log-softmax and more than 4 times faster than with \
            hierarchical softmax on 793,471 words; it ranks better than the other spherical losses, and better than \
            log-softmax in top-k for larger k.",
    types: &[
        "kiln::loss::ZLoss",
        "kiln::loss::FactoredSphericalLayer",
        "kiln::loss::SphericalLoss",
        "kiln::loss::HierarchicalSoftmax2",
        "kiln::loss::LogSoftmaxLayer",
    ],
};

impl Recipe for ZLossRecipe {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &["speed", "equality", "quality", "quality-dense"]
    }

    fn settings(&self, scale: Scale) -> Settings {
        Settings::of(scale)
    }

    fn seeds(&self, scale: Scale) -> Vec<u64> {
        match scale {
            Scale::Smoke | Scale::Quick => vec![1],
            Scale::Full => (1..=3).collect(),
        }
    }

    fn findings(&self, _settings: &Settings) -> Vec<String> {
        let parts =
            [speed::FINDINGS, end_to_end::FINDINGS, equality::FINDINGS, quality::FINDINGS, quality_dense::FINDINGS];
        parts.concat().iter().map(ToString::to_string).collect()
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        settings.check()?;
        let mut verdict = Verdict::new();
        if run.wants("speed") {
            let corpus = Corpus::read(&settings.corpus, run.data(), 0)?;
            verdict = verdict.with(speed::run(&settings.speed, corpus.vocabulary, run)?);
            verdict = verdict.with(end_to_end::run(settings, &corpus, run)?);
        }
        if run.wants("equality") {
            verdict = verdict.with(equality::run(settings, run)?);
        }
        if run.wants("quality") {
            verdict = verdict.with(quality::run(settings, run)?);
        }
        if run.wants("quality-dense") {
            verdict = verdict.with(quality_dense::run(settings, run)?);
        }
        Ok(verdict)
    }
}
