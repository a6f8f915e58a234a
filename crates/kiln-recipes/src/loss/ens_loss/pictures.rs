//! How the losses learn by heart, and what the drawn losses look like.

use burn::module::Module;
use kiln_lab::train::accuracy;
use kiln_lab::{LabError, Plot, Run, Series};
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
    let mut plot = Plot::line("Losses that EnsLoss draws", "margin z = y f", "loss, shifted to 1 at 0");
    for step in 0..SHOWN {
        let name = if step == 0 { "drawn" } else { "" };
        plot = plot.series(line(name, implied_loss(&margins, &loss.derivatives_at(&margins, step, 1), &grid)));
    }
    plot = plot.series(line("mean of the drawn", population_loss(&loss, &margins, &grid, AVERAGED)));
    plot = plot.series(line("hinge", grid.iter().map(|z| (1.0 - z).max(0.0)).collect()));
    let logistic = grid.iter().map(|z| (-z).exp().ln_1p() / std::f64::consts::LN_2).collect();
    Ok(plot.series(line("logistic", logistic)))
}

/// Accuracies of one loss after each epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Course {
    train: Vec<f64>,
    test: Vec<f64>,
}

/// Training and test accuracy over the epochs on the first task, at the shared rate, first seed.
fn course(settings: &Settings, run: &mut Run) -> Result<(), LabError> {
    let tasks = Task::open_all(&settings.tables, run)?;
    let models = &settings.tables.models;
    let (Some(task), Some(model)) = (tasks.first(), models.get(models.len() / 2)) else { return Ok(()) };
    let seed = run.seeds().first().copied().unwrap_or(1);
    let splits = task.drawn(settings.tables.train_rows, seed);
    let courses = run.grid(
        TABLES,
        &settings.losses,
        |loss| format!("course-{loss}"),
        |loss, context| {
            let device = context.device();
            let mut course = Course { train: Vec::new(), test: Vec::new() };
            let (rate, weight_decay) = (settings.shared_rate, settings.weight_decay);
            let plan = Plan { model, loss, rate, weight_decay, seed };
            let trained = train_observed(&settings.tables, &splits, &plan, context, |_, network| {
                let network = network.valid();
                course.train.push(accuracy(&network, &splits.train, &device));
                course.test.push(accuracy(&network, &splits.test, &device));
                Ok(())
            });
            match trained {
                Ok(_) | Err(LabError::Diverged { .. }) => Ok(course),
                Err(error) => Err(error),
            }
        },
    )?;
    let mut plot = Plot::line(format!("Accuracy on {}", task.name), "epoch", "accuracy (%)");
    for (loss, course) in settings.losses.iter().zip(&courses) {
        for (split, accuracies) in [("training", &course.train), ("test", &course.test)] {
            let points = accuracies.iter().enumerate().map(|(epoch, accuracy)| ((epoch + 1) as f64, 100.0 * accuracy));
            plot = plot.series(Series::new(format!("{loss}, {split}")).points(points));
        }
    }
    run.plot("accuracy-per-epoch", &plot)
}
