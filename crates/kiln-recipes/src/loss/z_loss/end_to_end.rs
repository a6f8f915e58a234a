//! Time of a whole training step of the language model: embedding, hidden layers, Adam on both, and the output layer.

use std::time::Instant;

use kiln_lab::statistics::figure;
use kiln_lab::{Finding, LabError, Measured, Run, Table};

use super::Settings;
use super::corpus::Corpus;
use super::language_model::LanguageModel;
use super::method::Method;
use super::speed::{Ratio, Timing};
use super::training::{Learner, Trial};

pub(super) const FINDINGS: &[&str] = &["speed/end-to-end"];

const METHODS: [Method; 3] =
    [Method::ZLoss { sharpness: 0.1, margin: 10.0 }, Method::LogSoftmax, Method::HierarchicalSoftmax];

/// Times batches of the text under each output layer, in turns.
pub(super) fn run(settings: &Settings, corpus: &Corpus, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let key = |_: &()| "language model".to_string();
    let timings = run.sequential("end-to-end", &[()], key, |_, _| step_seconds(settings, corpus))?;
    let [z_loss, log_softmax, hierarchical] = &timings[0];

    let examples = settings.quality.budget.batch_size;
    let title = format!("Milliseconds of a whole training step, {} words, {examples} examples", corpus.vocabulary);
    let mut table = Table::new(title, ["output layer", "mean", "median", "steps"]);
    for (method, timing) in METHODS.iter().zip(&timings[0]) {
        let times = [timing.mean, timing.median].map(|seconds| figure(1e3 * seconds));
        table.push([method.name().to_string()].into_iter().chain(times).chain([timing.steps.to_string()]));
    }
    run.table(table);
    let ratio = Ratio::new(z_loss, log_softmax);
    let text = format!(
        "{} by the mean step, {} by the median ({} words: {} against {} ms; hierarchical softmax {} ms)",
        figure(ratio.mean),
        figure(ratio.median),
        corpus.vocabulary,
        figure(1e3 * z_loss.mean),
        figure(1e3 * log_softmax.mean),
        figure(1e3 * hierarchical.mean)
    );
    let statement = "ratio of whole training steps, log-softmax to factored Z-loss, at the text's own vocabulary";
    Ok(vec![
        Finding::new("speed/end-to-end", statement)
            .paper("40 (output layer and all, D=793471, on a GPU)")
            .measured(Measured::from(ratio.mean).text(text))
            .note(format!(
                "embedding, hidden layers and their Adam step are the same in all three, and in the time of each; {}",
                z_loss.maintenance()
            )),
    ])
}

/// Times of a step under each of [`METHODS`].
fn step_seconds(settings: &Settings, corpus: &Corpus) -> Result<[Timing; 3], LabError> {
    let device = burn::tensor::Device::flex();
    let quality = &settings.quality;
    let build = |method: &Method| {
        let (output_rate, encoder_rate) = (quality.rates.of(method), Some(quality.encoder_rates[0]));
        let trial = Trial { method: *method, output_rate, encoder_rate };
        LanguageModel::new(quality, settings.corpus.context, corpus, &trial, 1, &device)
    };
    let [z_loss, log_softmax, hierarchical] = &METHODS;
    let mut models = [build(z_loss)?, build(log_softmax)?, build(hierarchical)?];
    let turns = settings.speed.hierarchical_steps;
    let steps = [settings.speed.steps.div_ceil(turns), 1, 1];
    let mut seconds = [Vec::new(), Vec::new(), Vec::new()];
    let examples: Vec<usize> = (0..corpus.train.len()).collect();
    let mut batches = examples.chunks(quality.budget.batch_size).cycle();
    for turn in 0..=turns {
        for ((model, seconds), steps) in models.iter_mut().zip(&mut seconds).zip(steps) {
            for _ in 0..if turn == 0 { 1 } else { steps } {
                let batch = batches.next().unwrap_or_default();
                let started = Instant::now();
                model.step(&corpus.train, batch, 1.0).map_err(LabError::method)?;
                // The first turn makes room, and is not counted.
                if turn > 0 {
                    seconds.push(started.elapsed().as_secs_f64());
                }
            }
        }
    }
    let [own, dense, tree] = seconds;
    let [z_loss, log_softmax, hierarchical] = &models;
    Ok([
        Timing::new(&own, Some(z_loss.output())),
        Timing::new(&dense, Some(log_softmax.output())),
        Timing::new(&tree, Some(hierarchical.output())),
    ])
}
