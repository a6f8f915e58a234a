//! The Z-loss as an ordinary loss: a small language model on the most frequent words, wholly under Adam.

use kiln_lab::{Finding, JobContext, LabError, Run};

use super::contest::{Contender, Contest, Target};
use super::corpus::Corpus;
use super::language_model::DenseLanguageModel;
use super::method::Method;
use super::quality::{spherical_softmaxes, z_losses};
use super::ranking::{against_spherical, beside};
use super::settings::{DenseSettings, Settings};
use super::training::{Purpose, Trial, train};

const PART: &str = "quality-dense";

pub(super) const FINDINGS: &[&str] = &[
    "quality-dense/settings",
    "quality-dense/beats-spherical-top-10",
    "quality-dense/beats-spherical-mrr",
    "quality-dense/log-softmax",
];

/// Tunes every loss with equal numbers of trainings, and compares them on the test text.
pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let dense = &settings.quality_dense;
    let corpus = Corpus::read(&settings.corpus, run.data(), dense.classes)?;
    run.note(format!("{PART}: {}", corpus.described()));
    let training = |trial: &Trial, seed: u64, purpose: Purpose, context: &JobContext| {
        let device = context.device();
        let model = DenseLanguageModel::new(dense, settings.corpus.context, &corpus, trial, seed, &device)?;
        train(model, seed, purpose, &corpus, &dense.budget, context)
    };
    let contest = Contest { part: PART, contenders: contenders(dense), training: &training, budget: &dense.budget };
    let (outcomes, chosen) = contest.run(run)?;
    Ok(vec![
        chosen,
        against_spherical(&outcomes, Target::TopTen, "quality-dense/beats-spherical-top-10"),
        against_spherical(&outcomes, Target::ReciprocalRank, "quality-dense/beats-spherical-mrr"),
        beside(&outcomes, "log-softmax", &[1, 5, 10, 50, 100], "quality-dense/log-softmax").note(
            "for comparison, top-10 errors of an earlier NumPy trial on Persuasion alone (2,427 words, two passes, \
             untuned): log-softmax 54.5 %, Z-loss 54.6 %, Taylor softmax 63.9 %, spherical softmax 83.1 %",
        ),
    ])
}

/// The losses with their trials: the same number for each.
fn contenders(dense: &DenseSettings) -> Vec<Contender> {
    let contender = |methods: &[Method], rates: &[f64]| Contender::new(methods, &[None], rates);
    vec![
        contender(&[Method::LogSoftmax], &dense.learning_rates),
        contender(&z_losses(&dense.sharpness, &dense.margin), &dense.coarse_learning_rates),
        contender(&[Method::TaylorSoftmax], &dense.learning_rates),
        contender(&spherical_softmaxes(&dense.spherical_eps), &dense.coarse_learning_rates),
        contender(&[Method::SquaredError], &dense.learning_rates),
    ]
}
