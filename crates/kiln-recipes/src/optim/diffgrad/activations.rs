//! diffGrad against Adam over activation functions.

use kiln_lab::statistics::{Summary, figure, paired_difference};
use kiln_lab::{Finding, LabError, Measured, Plot, Run, Table};

use super::Settings;
use super::comparison::{Method, figures, percent, summary, test_percent};
use super::equal_rates::{ACCURACY_MARGIN, PAPERS_SIZE};
use super::training::{Course, Images, Job, train_all};

const METHODS: [Method; 3] = [Method::DIFFGRAD, Method::ADAM, Method::HALF_RATE_ADAM];

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    if settings.activations.is_empty() { Vec::new() } else { vec!["activations".into()] }
}

/// Trains at the first batch size with each activation function.
pub(super) fn run(settings: &Settings, images: &Images, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let Some(&batch_size) = settings.batch_sizes.first() else { return Ok(Vec::new()) };
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
    let of = |method: Method, activation: &str| results.at(method, |job| job.activation == activation);

    let title = format!("Test accuracy in % by activation function, batches of {batch_size}, {}", images.name());
    let mut table = Table::new(title, ["activation", "diffGrad", "Adam", "Adam, half rate"]);
    let mut plot = Plot::bars(format!("Activation functions, {}", images.name()), "test accuracy, %");
    for activation in &settings.activations {
        let summaries = METHODS.map(|method| summary(&of(method, activation), test_percent));
        table.push(std::iter::once(activation.clone()).chain(summaries.iter().map(ToString::to_string)));
        for (method, summary) in METHODS.iter().zip(&summaries) {
            plot = plot.grouped_bar(activation, method.title(), summary);
        }
    }
    run.table(table);
    run.plot("activations", &plot)?;

    let ahead_of = |other: Method, activation: &str| {
        let percents = |method| figures(&of(method, activation), test_percent);
        paired_difference(&percents(Method::DIFFGRAD), &percents(other)).difference
    };
    let place = format!("three convolutions, batches of {batch_size}; {}", images.words());
    let listed = |other: Method| {
        let each = settings.activations.iter().map(|name| format!("{name} {:+.2}", ahead_of(other, name).mean));
        each.collect::<Vec<_>>().join(", ")
    };
    let differences = settings.activations.iter().map(|name| ahead_of(Method::ADAM, name));
    let worst = differences.min_by(|a, b| a.mean.total_cmp(&b.mean)).unwrap_or(Summary::of(&[]));
    let half = listed(Method::HALF_RATE_ADAM);
    Ok(vec![
        Finding::new(
            "activations",
            format!("diffGrad is as accurate as Adam with every activation function ({place})"),
        )
        .paper("uniformly good over activation functions")
        .measured(Measured::from(worst).text(format!("points above Adam: {}", listed(Method::ADAM))))
        .bound(format!("no activation function more than {} points below Adam", percent(ACCURACY_MARGIN)))
        .held_if(worst.mean >= -percent(ACCURACY_MARGIN))
        .note(format!(
            "the worst is {} points; above Adam at half the rate: {half}; {PAPERS_SIZE}",
            figure(worst.mean)
        )),
    ])
}
