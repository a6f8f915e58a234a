//! Time of a whole training step of the language model: embedding, hidden layers, Adam on both, and the output layer.

use std::time::Instant;

use kiln_lab::statistics::{figure, median};
use kiln_lab::{Finding, LabError, Measured, Run, Table};

use super::Settings;
use super::corpus::Corpus;
use super::language_model::LanguageModel;
use super::method::Method;

pub(super) const FINDINGS: &[&str] = &["end-to-end"];

const METHODS: [Method; 3] =
    [Method::ZLoss { sharpness: 0.1, margin: 10.0 }, Method::LogSoftmax, Method::HierarchicalSoftmax];

const RATE: f64 = 1e-3;

/// Times real batches of the text under each output layer, in turns.
pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let corpus = Corpus::read(&settings.corpus, run.data(), 0)?;
    let key = |_: &()| "language model".to_string();
    let medians = run.sequential("end-to-end", &[()], key, |_, _| step_seconds(settings, &corpus))?;
    let [z_loss, log_softmax, hierarchical] = medians[0];

    let title =
        format!("A whole training step with {} words, {} examples", corpus.vocabulary, batch(settings, &corpus));
    let mut table = Table::new(title, ["output layer", "milliseconds"]);
    for (method, seconds) in METHODS.iter().zip(medians[0]) {
        table.push([method.name().to_string(), figure(1e3 * seconds)]);
    }
    run.table(table);
    let ratio = log_softmax / z_loss;
    let text = format!(
        "{} ({} words: {} against {} ms; hierarchical softmax {} ms)",
        figure(ratio),
        corpus.vocabulary,
        figure(1e3 * z_loss),
        figure(1e3 * log_softmax),
        figure(1e3 * hierarchical)
    );
    let statement = "ratio of whole training steps, log-softmax to factored Z-loss, at the text's own vocabulary";
    Ok(vec![
        Finding::new("end-to-end", statement)
            .paper("40 (output layer and all, D=793471, on a GPU)")
            .measured(Measured::from(ratio).text(text))
            .note("embedding, hidden layers and their Adam step are the same in all three, and in the time of each"),
    ])
}

fn batch(settings: &Settings, corpus: &Corpus) -> usize {
    settings.quality.batch_size.min(corpus.train.len())
}

/// Median seconds of a step under each of [`METHODS`].
fn step_seconds(settings: &Settings, corpus: &Corpus) -> Result<[f64; 3], LabError> {
    let device = burn::tensor::Device::flex();
    let build =
        |method: &Method| LanguageModel::new(&settings.quality, settings.corpus.context, corpus, method, 1, &device);
    let [z_loss, log_softmax, hierarchical] = &METHODS;
    let mut models = [build(z_loss)?, build(log_softmax)?, build(hierarchical)?];
    let mut seconds = [Vec::new(), Vec::new(), Vec::new()];
    let examples: Vec<usize> = (0..batch(settings, corpus)).collect();
    for round in 0..=settings.speed.slow_steps {
        for (model, seconds) in models.iter_mut().zip(&mut seconds) {
            let started = Instant::now();
            model.step(&corpus.train, &examples, RATE, RATE).map_err(LabError::method)?;
            // The first round makes room, and is not counted.
            if round > 0 {
                seconds.push(started.elapsed().as_secs_f64());
            }
        }
    }
    Ok(seconds.map(|seconds| median(&seconds)))
}
