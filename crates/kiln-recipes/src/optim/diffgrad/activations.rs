//! diffGrad against Adam over activation functions.

use kiln_lab::statistics::figure;
use kiln_lab::{Finding, LabError, Plot, Run, Table};

use super::Settings;
use super::comparison::{Method, summary};
use super::equal_rates::ACCURACY_MARGIN;
use super::training::{Course, Images, Job, Trained, train_all};

const METHODS: [Method; 3] = [Method::DIFFGRAD, Method::ADAM, Method::HALF_RATE_ADAM];

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    if settings.activations.is_empty() { Vec::new() } else { vec!["activations".into()] }
}

/// Trains at the first batch size with each activation function.
pub(super) fn run(settings: &Settings, images: &Images, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let batch_size = *settings
        .batch_sizes
        .first()
        .ok_or_else(|| LabError::setting("batch_sizes", "[]", "at least one batch size"))?;
    let mut jobs = Vec::new();
    for activation in &settings.activations {
        for method in METHODS {
            for &seed in run.seeds() {
                let learning_rate = method.rate(settings.learning_rate);
                jobs.push(Job { method, learning_rate, batch_size, activation: activation.clone(), seed });
            }
        }
    }
    let results = train_all(&Course::small(settings), images, jobs, run)?;
    let accuracy = |method: Method, activation: &str| {
        summary(&results.at(method, |job| job.activation == activation), |trained: &Trained| {
            100.0 * trained.test_accuracy
        })
    };

    let headings = ["activation", "diffGrad", "Adam", "Adam, half rate"];
    let mut table = Table::new("Test accuracy in % by activation function", headings);
    let mut plot = Plot::bars("Activation functions", "test accuracy, %");
    for activation in &settings.activations {
        let summaries = METHODS.map(|method| accuracy(method, activation));
        table.push(std::iter::once(activation.clone()).chain(summaries.iter().map(ToString::to_string)));
        for (method, summary) in METHODS.iter().zip(&summaries) {
            plot = plot.grouped_bar(activation, method.title(), summary);
        }
    }
    run.table(table);
    run.plot("activations", &plot)?;

    let ahead =
        |activation: &String| accuracy(Method::DIFFGRAD, activation).mean - accuracy(Method::ADAM, activation).mean;
    let differences = settings.activations.iter().map(|name| (name, ahead(name))).collect::<Vec<_>>();
    let worst = differences.iter().map(|(_, points)| *points).fold(f64::INFINITY, f64::min);
    let listed = differences.iter().map(|(name, points)| format!("{name} {points:+.2}")).collect::<Vec<_>>().join(", ");
    Ok(vec![
        Finding::new("activations", "diffGrad is as accurate as Adam with every activation function")
            .paper("uniformly good over activation functions")
            .measured(listed)
            .bound(format!("no activation function more than {} points below Adam", 100.0 * ACCURACY_MARGIN))
            .held_if(worst >= -100.0 * ACCURACY_MARGIN)
            .note(format!("worst difference {} points", figure(worst))),
    ])
}
