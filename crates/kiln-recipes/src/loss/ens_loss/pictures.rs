//! How the losses learn by heart, and what the drawn losses look like.

use burn::module::Module;
use kiln_lab::statistics::Summary;
use kiln_lab::train::accuracy;
use kiln_lab::{JobContext, LabError, Plot, Run, Series};
use kiln_loss::ens_loss::{EnsLossConfig, implied_loss, population_loss};
use serde::{Deserialize, Serialize};

use super::tasks::Task;
use super::training::{Plan, train_observed};
use super::{Settings, TABLES};

/// Random losses in the picture, margins at which their derivatives are drawn, and draws of the mean.
const SHOWN: u64 = 30;
const MARGINS: usize = 64;
const AVERAGED: u64 = 500;

pub(super) fn draw(settings: &Settings, run: &mut Run) -> Result<(), LabError> {
    run.plot("random-losses", &random_losses()?)?;
    course(settings, run)
}

/// Drawn losses over the margin, with their mean and two fixed losses.
fn random_losses() -> Result<Plot, LabError> {
    let loss = EnsLossConfig::new().init().map_err(LabError::method)?;
    let margins: Vec<f64> = (0..MARGINS).map(|at| -2.0 + 5.0 * at as f64 / (MARGINS - 1) as f64).collect();
    let grid: Vec<f64> = (0..=100).map(|at| -2.0 + 0.05 * f64::from(at)).collect();
    let line = |name: &str, values: Vec<f64>| Series::new(name).points(grid.iter().copied().zip(values));
    let title = format!("{SHOWN} losses that EnsLoss draws (faint)");
    let mut plot = Plot::line(title, "margin z = y f", "loss, shifted to 1 at 0");
    for step in 0..SHOWN {
        plot = plot.series(line("", implied_loss(&margins, &loss.derivatives_at(&margins, step, 1), &grid)).faint());
    }
    let logistic = grid.iter().map(|z| (-z).exp().ln_1p() / std::f64::consts::LN_2).collect();
    let named = [
        ("mean of the drawn", population_loss(&loss, &margins, &grid, AVERAGED)),
        ("hinge", grid.iter().map(|z| (1.0 - z).max(0.0)).collect()),
        ("logistic", logistic),
    ];
    let named = named.into_iter().enumerate();
    Ok(named.fold(plot, |plot, (at, (name, values))| plot.series(line(name, values).coloured_as(at))))
}

/// Accuracies of one training after each epoch; fewer where it diverged.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Course {
    train: Vec<f64>,
    test: Vec<f64>,
}

/// Training and test accuracy over the epochs on the first task of the tables at the shared rate, means over the seeds.
fn course(settings: &Settings, run: &mut Run) -> Result<(), LabError> {
    let contest = &settings.tables;
    let tasks = Task::open_all(TABLES, contest, run)?;
    let Some(task) = tasks.first() else { return Ok(()) };
    let (model, seeds) = (&contest.models[contest.models.len() / 2], contest.seeds_of(run));
    let plan = |loss, seed| Plan {
        task,
        model,
        loss,
        rate: settings.shared_rate,
        weight_decay: settings.weight_decay,
        augmentations: &[],
        seed,
    };
    let plans: Vec<Plan<'_>> =
        settings.losses.iter().flat_map(|loss| seeds.iter().map(move |&seed| plan(loss, seed))).collect();
    let key = |plan: &Plan<'_>| format!("course-{}-seed-{}", plan.loss, plan.seed);
    let courses = run.grid(TABLES, &plans, key, |plan, context| {
        let mut course = Course { train: Vec::new(), test: Vec::new() };
        watch(settings, plan, context, &mut course).map(|()| course)
    })?;
    let title = format!("Accuracy on {}, mean of {} seeds (training dotted)", task.name, seeds.len());
    let mut plot = Plot::line(title, "epoch", "accuracy (%)");
    for (at, (loss, courses)) in settings.losses.iter().zip(courses.chunks(seeds.len().max(1))).enumerate() {
        let test = Series::new(loss.to_string()).points(mean(courses, |course| &course.test)).coloured_as(at);
        let train = Series::new("").points(mean(courses, |course| &course.train)).coloured_as(at).dotted();
        plot = plot.series(test).series(train);
    }
    run.plot("accuracy-per-epoch", &plot)
}

fn watch(settings: &Settings, plan: &Plan<'_>, context: &JobContext, course: &mut Course) -> Result<(), LabError> {
    let (splits, device) = (plan.task.splits(plan.seed), context.device());
    let observe = |_, network: &kiln_nn::Network| {
        let network = network.valid();
        course.train.push(accuracy(&network, &splits.train, &device));
        course.test.push(accuracy(&network, &splits.test, &device));
        Ok(())
    };
    train_observed(&settings.tables, plan, context, observe).map(drop)
}

/// Epoch and mean accuracy in percent over the trainings that reached it.
fn mean<'a>(
    courses: &'a [Course],
    of: impl Fn(&'a Course) -> &'a Vec<f64> + 'a,
) -> impl Iterator<Item = (f64, f64)> + 'a {
    let epochs = courses.iter().map(|course| of(course).len()).max().unwrap_or(0);
    (0..epochs).map(move |epoch| {
        let reached: Vec<f64> = courses.iter().filter_map(|course| of(course).get(epoch).copied()).collect();
        ((epoch + 1) as f64, 100.0 * Summary::of(&reached).mean)
    })
}
