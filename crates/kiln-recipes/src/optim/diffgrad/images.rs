//! The comparison on images, at the paper's rate and at rates chosen for each optimizer.

use kiln_lab::{Finding, LabError, Run, Table};
use kiln_optim::OptimizerKind;

use super::Settings;
use super::comparison::{Method, Results, summary};
use super::equal_rates::{EqualRates, job, rank, test_percent};
use super::training::{Course, Images, Trained, train_all};

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    let mut ids = Vec::new();
    for batch_size in &settings.batch_sizes {
        ids.extend(EqualRates::finding_ids(&format!("b{batch_size}")));
        if !settings.tuned_rates.is_empty() {
            ids.push(format!("tuned-rank-b{batch_size}"));
        }
    }
    ids
}

/// Trains with every optimizer at each batch size.
pub(super) fn run(settings: &Settings, images: &Images, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let seeds = run.seeds().to_vec();
    let course = Course::small(settings);
    let mut findings = Vec::new();
    for &batch_size in &settings.batch_sizes {
        let comparison = EqualRates {
            tag: format!("b{batch_size}"),
            place: format!("batches of {batch_size}"),
            course: &course,
            learning_rate: settings.learning_rate,
            batch_size,
        };
        findings.extend(comparison.run(images, run)?);
        if !settings.tuned_rates.is_empty() {
            findings.push(tuned(settings, images, batch_size, &seeds, run)?);
        }
    }
    Ok(findings)
}

/// The rank when every optimizer has the rate that is best for it on the validation images.
fn tuned(
    settings: &Settings,
    images: &Images,
    batch_size: usize,
    seeds: &[u64],
    run: &mut Run,
) -> Result<Finding, LabError> {
    let first_seed = &seeds[..seeds.len().min(1)];
    let grid = Method::ALL.into_iter().filter(|method| !method.half_rate).flat_map(|method| {
        let rates = rates(settings, method).iter();
        rates.flat_map(move |&rate| first_seed.iter().map(move |&seed| job(method, rate, batch_size, seed)))
    });
    let course = Course::small(settings);
    let searched = train_all(&course, images, grid.collect(), run)?;
    let chosen = Method::ALL.map(|method| (method, best_rate(settings, method, &searched)));
    let jobs =
        chosen.iter().flat_map(|&(method, rate)| seeds.iter().map(move |&seed| job(method, rate, batch_size, seed)));
    let results = train_all(&course, images, jobs.collect(), run)?;

    let mut table = Table::new(
        format!("Rate chosen on validation images, batches of {batch_size}"),
        ["optimizer", "rate", "test accuracy, %", "training loss"],
    );
    for (method, rate) in chosen.iter().filter(|(method, _)| !method.half_rate) {
        let runs = results.of(*method);
        let (accuracy, loss) = (summary(&runs, test_percent), summary(&runs, Trained::loss_or_infinity));
        table.push([method.title().to_string(), rate.to_string(), accuracy.to_string(), loss.to_string()]);
    }
    run.table(table);
    let id = format!("tuned-rank-b{batch_size}");
    let how = format!("with a rate chosen for each, batches of {batch_size}");
    Ok(rank(id, how, &results).note("each rate is chosen on validation images with the first seed"))
}

fn rates(settings: &Settings, method: Method) -> &[f64] {
    if method.kind == OptimizerKind::Sgdm { &settings.tuned_rates_sgdm } else { &settings.tuned_rates }
}

/// The rate with the best validation accuracy; Adam at half the rate halves the common one here, too.
fn best_rate(settings: &Settings, method: Method, searched: &Results) -> f64 {
    let accuracy = |rate: f64| {
        let runs = searched.at(method, |job| job.learning_rate == rate);
        summary(&runs, Trained::last_validation_accuracy).mean
    };
    let common = method.rate(settings.learning_rate);
    if method.half_rate {
        return common;
    }
    rates(settings, method).iter().copied().max_by(|a, b| accuracy(*a).total_cmp(&accuracy(*b))).unwrap_or(common)
}
