//! All optimizers at the paper's rate: the table, the pictures and the findings.

use kiln_lab::{Finding, LabError, Measured, Plot, Run, Series, Table};

use super::comparison::{Comparison, Method, Results, percent, summary, test_percent};
use super::training::{FrictionAt, Trained, train_all};

/// How far diffGrad's accuracy may lie below Adam's, in `[0, 1]`.
pub(super) const ACCURACY_MARGIN: f64 = 0.005;

/// How many times Adam's training loss diffGrad's may be.
const LOSS_RATIO: f64 = 1.05;

/// What the paper trains on, for the notes of findings on less.
pub(super) const PAPERS_SIZE: &str = "the paper trains a ResNet-50 on the 50,000 images of CIFAR-10 and of CIFAR-100";

/// Names of the findings, before the comparison's tag.
pub(super) const FINDINGS: [&str; 5] = ["accuracy", "train-loss", "rank", "half-rate", "friction"];

/// Trains with every optimizer on every seed, and compares accuracies and losses.
pub(super) fn run(comparison: &Comparison<'_>, learning_rate: f64, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let of =
        |method: Method| run.seeds().iter().map(move |&seed| comparison.job(method, method.rate(learning_rate), seed));
    let jobs = Method::ALL.into_iter().flat_map(of).collect();
    let results = train_all(comparison.course, comparison.images, jobs, run)?;
    let diffgrad = results.of(Method::DIFFGRAD);

    let how = format!("rate {learning_rate} for all");
    run.table(comparison.table(&how, &results));
    run.plot(&comparison.id("accuracy-per-epoch"), &comparison.accuracy_per_epoch(&how, &results))?;
    if let Some(first) = diffgrad.first() {
        run.table(friction_table(comparison, first));
        run.plot(&comparison.id("friction"), &friction_histogram(comparison, first))?;
    }
    let starved = format!(
        "a rate of {learning_rate} starves AdaDelta, whose own is 1, and AdaGrad and SGDM, whose own are 0.01 and more; the \
         place with a rate chosen for each is the fair one"
    );
    Ok(vec![
        accuracy(comparison, &results),
        train_loss(comparison, &results),
        comparison.rank("rank", "at equal rates", &results).note(starved),
        comparison.half_rate("half-rate", "at equal rates", &results),
        friction(comparison, &diffgrad),
    ])
}

/// diffGrad's accuracy is not below Adam's.
fn accuracy(comparison: &Comparison<'_>, results: &Results) -> Finding {
    let of = |method| summary(&results.of(method), test_percent);
    let (ours, theirs) = (of(Method::DIFFGRAD), of(Method::ADAM));
    let statement = comparison.statement("at equal rates diffGrad is as accurate as Adam");
    Finding::new(comparison.id("accuracy"), statement)
        .paper("diffGrad is more accurate than Adam")
        .measured(Measured::from(ours).text(format!("{ours} %, Adam {theirs} %")))
        .bound(format!("at least Adam's mean less {} points", percent(ACCURACY_MARGIN)))
        .held_if(ours.mean >= theirs.mean - percent(ACCURACY_MARGIN))
        .note(PAPERS_SIZE)
}

/// diffGrad's training loss is not above Adam's.
fn train_loss(comparison: &Comparison<'_>, results: &Results) -> Finding {
    let of = |method| summary(&results.of(method), Trained::loss_or_infinity);
    let (ours, theirs) = (of(Method::DIFFGRAD), of(Method::ADAM));
    let statement = comparison.statement("at equal rates diffGrad brings the training loss as low as Adam does");
    Finding::new(comparison.id("train-loss"), statement)
        .measured(Measured::from(ours).text(format!("{ours}, Adam {theirs}")))
        .bound(format!("at most {LOSS_RATIO} times Adam's mean"))
        .held_if(ours.mean.is_finite() && ours.mean <= LOSS_RATIO * theirs.mean)
}

/// Whether the friction does anything but halve the rate.
fn friction(comparison: &Comparison<'_>, runs: &[&Trained]) -> Finding {
    let last = |trained: &Trained| trained.friction.last().map_or(f64::NAN, |record| record.stats.share_near_half);
    let claim = "share of coordinates with a friction coefficient below 0.505 at the end, at equal rates";
    let course =
        runs.first().map_or_else(Vec::new, |trained| landmarks(comparison, trained)).into_iter().map(|record| {
            let FrictionAt { step, stats, .. } = record;
            format!("step {step} mean {:.4}, 90th percentile {:.4}", stats.mean, stats.p90)
        });
    let course = course.collect::<Vec<_>>().join("; ");
    Finding::new(comparison.id("friction"), comparison.statement(claim))
        .measured(summary(runs, last))
        .note(format!("those coordinates move by half of Adam's step; first seed, over the training: {course}"))
}

/// Friction coefficients over the training, beside the accuracy that was reached by then.
fn friction_table(comparison: &Comparison<'_>, trained: &Trained) -> Table {
    let title = format!("diffGrad's friction coefficients, {}, first seed", comparison.place);
    let headings = [
        "step",
        "after epoch",
        "mean",
        "least",
        "median",
        "90th percentile",
        "below 0.505, %",
        "validation accuracy, %",
    ];
    let steps_per_epoch = comparison.steps_per_epoch();
    let mut table = Table::new(title, headings);
    for FrictionAt { step, stats, .. } in &trained.friction {
        let epoch = step / steps_per_epoch;
        let reached = epoch.checked_sub(1).and_then(|before| trained.validation_accuracy.get(before));
        table.push([
            step.to_string(),
            epoch.to_string(),
            format!("{:.4}", stats.mean),
            format!("{:.4}", stats.min),
            format!("{:.4}", stats.p50),
            format!("{:.4}", stats.p90),
            format!("{:.1}", percent(stats.share_near_half)),
            reached.map_or_else(String::new, |&accuracy| format!("{:.2}", percent(accuracy))),
        ]);
    }
    table
}

/// The first step that compares two gradients, and the ends of the first and of the last epoch.
fn landmarks<'a>(comparison: &Comparison<'_>, trained: &'a Trained) -> Vec<&'a FrictionAt> {
    let (records, first_epoch) = (&trained.friction, comparison.steps_per_epoch());
    let last = records.len().saturating_sub(1);
    let wanted = |at: usize| at == 0 || at == last || records[at].step == first_epoch;
    records.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, record)| record).collect()
}

/// Shares of coordinates over `xi`, early and late in the training.
fn friction_histogram(comparison: &Comparison<'_>, trained: &Trained) -> Plot {
    /// Bins of 0.001 that make one of the picture's.
    const WIDTH: usize = 2;
    let title = format!("diffGrad's friction coefficients, {}, {}", comparison.place, comparison.images.name());
    let plot = Plot::line(title, "xi", "share of coordinates").log_y();
    let steps_per_epoch = comparison.steps_per_epoch();
    landmarks(comparison, trained).into_iter().fold(plot, |plot, record| {
        let total = record.counts.iter().sum::<u64>().max(1) as f64;
        let bins = record.counts.chunks(WIDTH).map(|counts| counts.iter().sum::<u64>()).enumerate();
        let points = bins.filter(|(_, count)| *count > 0).map(|(bin, count)| {
            let centre = 0.5 + (bin as f64 + 0.5) * WIDTH as f64 * 1e-3;
            (centre, count as f64 / total)
        });
        let epoch = record.step.div_ceil(steps_per_epoch);
        plot.series(Series::new(format!("step {}, epoch {epoch}", record.step)).points(points))
    })
}
