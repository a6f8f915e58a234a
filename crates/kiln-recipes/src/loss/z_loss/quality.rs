//! Ranking quality of language models that differ only in their output layer.

use kiln_lab::{Finding, LabError, Run};

use super::contest::{Contender, Contest, Target};
use super::corpus::Corpus;
use super::language_model::LanguageModel;
use super::method::Method;
use super::ranking::{against_spherical, ahead_for_large_k, beside, near_log_softmax, top_one};
use super::settings::{QualitySettings, Settings};
use super::training::{Purpose, Trial, train};

pub(super) const FINDINGS: &[&str] = &[
    "quality/settings",
    "quality/beats-spherical-top-10",
    "quality/beats-spherical-mrr",
    "quality/near-log-softmax",
    "quality/beats-log-softmax-large-k",
    "quality/top-1",
    "quality/hierarchical",
];

/// Tunes every method with equal numbers of trainings, and compares them on the test text.
pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let quality = &settings.quality;
    let corpus = Corpus::read(&settings.corpus, run.data(), 0)?;
    run.note(format!("quality: {}", corpus.described()));
    let training = |trial: &Trial, seed: u64, purpose: Purpose, context: &kiln_lab::JobContext| {
        let device = context.device();
        let model = LanguageModel::new(quality, settings.corpus.context, &corpus, trial, seed, &device)?;
        train(model, seed, purpose, &corpus, &quality.budget, context)
    };
    let contenders = contenders(quality);
    let contest = Contest { part: "quality", contenders, training: &training, budget: &quality.budget };
    let (outcomes, chosen) = contest.run(run)?;
    Ok(vec![
        chosen,
        against_spherical(&outcomes, Target::TopTen, "quality/beats-spherical-top-10"),
        against_spherical(&outcomes, Target::ReciprocalRank, "quality/beats-spherical-mrr"),
        near_log_softmax(&outcomes, "quality/near-log-softmax"),
        ahead_for_large_k(&outcomes, "quality/beats-log-softmax-large-k"),
        top_one(&outcomes, "quality/top-1"),
        beside(&outcomes, "hierarchical softmax", &[1, 10, 100], "quality/hierarchical"),
    ])
}

/// The methods with their trials: the same number for each.
fn contenders(quality: &QualitySettings) -> Vec<Contender> {
    let encoder_rates: Vec<Option<f64>> = quality.encoder_rates.iter().copied().map(Some).collect();
    let contender = |methods: &[Method], factors: &[f64]| {
        let centre = quality.rates.of(&methods[0]);
        let rates: Vec<f64> = factors.iter().map(|factor| rounded(centre * factor)).collect();
        Contender::new(methods, &encoder_rates, &rates)
    };
    let (factors, coarse) = (&quality.rate_factors, &quality.coarse_rate_factors);
    vec![
        contender(&[Method::LogSoftmax], factors).tuned_for(Target::TopHundred),
        contender(&[Method::HierarchicalSoftmax], factors),
        contender(&z_losses(&quality.sharpness, &quality.margin), coarse).tuned_for(Target::TopHundred),
        contender(&[Method::TaylorSoftmax], factors),
        contender(&spherical_softmaxes(&quality.spherical_eps), coarse),
        contender(&[Method::SquaredError], factors),
    ]
}

/// The Z-loss with each pair of sharpness and margin.
pub(super) fn z_losses(sharpness: &[f64], margin: &[f64]) -> Vec<Method> {
    sharpness.iter().zip(margin).map(|(&sharpness, &margin)| Method::ZLoss { sharpness, margin }).collect()
}

/// Spherical softmax with each `eps`.
pub(super) fn spherical_softmaxes(eps: &[f64]) -> Vec<Method> {
    eps.iter().map(|&eps| Method::SphericalSoftmax { eps }).collect()
}

/// To ten digits, so that `1.5 * 0.1` is called 0.15.
fn rounded(rate: f64) -> f64 {
    format!("{rate:.9e}").parse().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_lab::Scale;

    #[test]
    fn every_method_has_as_many_trials_as_the_others() {
        for scale in [Scale::Smoke, Scale::Quick, Scale::Full] {
            let contenders = contenders(&Settings::of(scale).quality);
            assert!(contenders.iter().all(|contender| contender.trials.len() == contenders[0].trials.len()));
        }
    }

    #[test]
    fn a_rate_is_called_by_its_short_name() {
        assert_eq!(rounded(1.5 * 0.1).to_string(), "0.15");
    }
}
