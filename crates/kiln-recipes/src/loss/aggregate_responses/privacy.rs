//! Private means: the bag size that the calculator plans, and the one that simulation and a table show.

use kiln_data::DataError;
use kiln_lab::statistics::Summary;
use kiln_lab::{Finding, LabError, Outcome, Plot, Run, Series, Table};
use kiln_loss::aggregate::dp::{Mechanism, release_reproducibly};
use kiln_loss::aggregate::risk::{BagProblem, RhoChoice, plans};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::linear::{BagData, means, squared_error};
use super::settings::PrivacySettings;
use super::simulation::{Draw, draw};
use super::table_sets::{NumberTable, open_options};
use super::{PRIVACY, Settings};
use crate::loss::small_sets::absence;

const IDS: [&str; 4] = ["bag-size", "phase", "clipped", "table"];

pub(super) fn finding_ids(settings: &PrivacySettings) -> Vec<String> {
    let [size, phase, clipped, table] = IDS;
    let simulated = [size, phase, clipped].map(|id| format!("{PRIVACY}/{id}"));
    simulated.into_iter().chain([format!("{PRIVACY}/{}/{table}", settings.dataset)]).collect()
}

#[derive(Clone, Copy)]
struct Job {
    epsilon: f64,
    bag_size: usize,
    seed: u64,
}

/// What one draw with private means showed.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Shown {
    /// Error with the noise of the release and nothing clipped, as in the formula.
    error: f64,
    /// Error with the release as it is.
    clipped_error: f64,
    /// Share of the responses outside the range.
    clipped: f64,
}

/// One bag size at one loss of privacy.
struct Cell {
    bag_size: usize,
    rho: f64,
    /// What the calculator expects.
    planned: f64,
    error: Summary,
    clipped_error: Summary,
    clipped: f64,
}

/// All bag sizes at one loss of privacy.
struct Level {
    epsilon: f64,
    cells: Vec<Cell>,
}

impl Level {
    fn best(&self, error: impl Fn(&Cell) -> f64) -> usize {
        (0..self.cells.len()).min_by(|&a, &b| error(&self.cells[a]).total_cmp(&error(&self.cells[b]))).unwrap_or(0)
    }

    fn planned(&self) -> usize {
        self.best(|cell| cell.planned)
    }

    fn simulated(&self) -> usize {
        self.best(|cell| cell.error.mean)
    }
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let own = &settings.privacy;
    let problem = BagProblem::new(own.rows_per_feature, 1.0, own.signal, own.noise);
    let simulated = levels(PRIVACY, own, &problem, own.range, run, |job, rho| simulate(own, job, rho))?;
    run.table(table("Private means, simulated: error of the coefficients", &simulated));
    run.plot("risk-over-bag-size", &picture("Error of the coefficients with private means", &simulated))?;
    let mut findings = vec![bag_size(&simulated), phase(&simulated), clipped(&simulated)];
    findings.push(on_table(own, run)?);
    Ok(findings)
}

/// Every bag size at every loss of privacy, at the share that the calculator finds best for it.
fn levels(
    part: &str,
    own: &PrivacySettings,
    problem: &BagProblem,
    range: f64,
    run: &Run,
    work: impl Fn(Job, f64) -> Result<Shown, LabError> + Sync,
) -> Result<Vec<Level>, LabError> {
    let seeds = &run.seeds()[..own.seeds];
    let mut planned = Vec::new();
    for &epsilon in &own.epsilons {
        let release = Some((Mechanism::laplace(epsilon).map_err(LabError::method)?, range));
        let plans = plans(problem, &own.bag_sizes, RhoChoice::Optimal, release).map_err(LabError::method)?;
        planned.extend(plans.into_iter().map(|plan| (epsilon, plan)));
    }
    let jobs: Vec<(Job, f64)> = planned
        .iter()
        .flat_map(|&(epsilon, plan)| {
            seeds.iter().map(move |&seed| (Job { epsilon, bag_size: plan.bag_size, seed }, plan.rho))
        })
        .collect();
    let key = |(job, _): &(Job, f64)| format!("epsilon{}-k{}-seed{}", job.epsilon, job.bag_size, job.seed);
    let shown: Vec<Shown> = run.grid(part, &jobs, key, |&(job, rho), _| work(job, rho))?;
    let cells = planned.iter().zip(shown.chunks(seeds.len())).map(|((_, plan), shown)| {
        let summary = |of: fn(&Shown) -> f64| Summary::of(&shown.iter().map(of).collect::<Vec<f64>>());
        Cell {
            bag_size: plan.bag_size,
            rho: plan.rho,
            planned: plan.risk.total(),
            error: summary(|one| one.error),
            clipped_error: summary(|one| one.clipped_error),
            clipped: summary(|one| one.clipped).mean,
        }
    });
    let mut cells = cells;
    let level = |&epsilon: &f64| Level { epsilon, cells: cells.by_ref().take(own.bag_sizes.len()).collect() };
    Ok(own.epsilons.iter().map(level).collect())
}

fn simulate(own: &PrivacySettings, job: Job, rho: f64) -> Result<Shown, LabError> {
    let (width, size) = (own.features, job.bag_size);
    let bags = (own.rows_per_feature * width as f64 / size as f64).round() as usize;
    let mut random = ChaCha8Rng::seed_from_u64(job.seed);
    let Draw { features, theta, responses } = draw(&mut random, bags * size, width, own.signal, own.noise);
    let bag_of_row: Vec<usize> = (0..bags * size).map(|row| row / size).collect();
    let half = 0.5 * own.range;
    let released = Released::of(&responses, &bag_of_row, size, (-half, half), job)?;
    let error = |responses: Vec<f64>| -> Result<f64, LabError> {
        let data = BagData { features: features.clone(), width, bag_of_row: bag_of_row.clone(), responses };
        Ok(data.path(&[rho])?[0].iter().zip(&theta).map(|(a, b)| (a - b).powi(2)).sum())
    };
    Ok(Shown { error: error(released.unclipped)?, clipped_error: error(released.means)?, clipped: released.clipped })
}

/// Means of bags as they are released, and with the same noise on means of which nothing was clipped.
struct Released {
    means: Vec<f64>,
    unclipped: Vec<f64>,
    clipped: f64,
}

impl Released {
    fn of(responses: &[f64], bag_of_row: &[usize], size: usize, range: (f64, f64), job: Job) -> Result<Self, LabError> {
        let mechanism = Mechanism::laplace(job.epsilon).map_err(LabError::method)?;
        let release = |responses: &[f64]| {
            release_reproducibly(responses, bag_of_row, range, mechanism, job.seed).map_err(LabError::method)
        };
        let released = release(responses)?;
        let middle = 0.5 * (range.0 + range.1);
        // One seed draws one noise, whatever the responses are.
        let noise = release(&vec![middle; responses.len()])?.means;
        let unclipped = means(responses, size).iter().zip(noise).map(|(mean, noisy)| mean + noisy - middle).collect();
        Ok(Self { clipped: released.clipped_share(), means: released.means, unclipped })
    }
}

/// The same on a real table, with noise and signal as all rows show them.
fn on_table(own: &PrivacySettings, run: &mut Run) -> Result<Finding, LabError> {
    /// Share of the rows that is learnt from.
    const TRAIN: f64 = 0.8;
    let finding = Finding::new(
        format!("{PRIVACY}/{}/{}", own.dataset, IDS[3]),
        format!("on {} the planned bag size for private means is the best one or beside it", own.dataset),
    )
    .bound("at every loss of privacy, among the bag sizes that were tried");
    let splits = match kiln_data::open(&own.dataset, run.data(), &open_options()) {
        Ok(splits) => splits,
        Err(error @ DataError::NotHere { .. }) => {
            let reason = absence(&own.dataset, &error).unwrap_or_default();
            return Ok(finding.outcome(Outcome::NotComparable).note(reason));
        }
        Err(error) => return Err(error.into()),
    };
    let table_of_rows = NumberTable::of(&splits);
    let whole = table_of_rows.draw(1, TRAIN, 0)?;
    let single = whole.bags();
    let theta = &single.path(&[1.0])?[0];
    let noise = squared_error(theta, &whole.test_features, &whole.test_responses);
    let rows_per_feature = whole.responses.len() as f64 / whole.width() as f64;
    let problem = BagProblem::new(rows_per_feature, 1.0, (1.0 - noise).max(1e-3), noise);
    // Responses within three deviations of the mean.
    let range = (-3.0, 3.0);
    let levels = levels("privacy-table", own, &problem, range.1 - range.0, run, |job, rho| {
        let drawn = table_of_rows.draw(job.bag_size, TRAIN, job.seed)?;
        let released = Released::of(&drawn.responses, &drawn.bag_of_row(), job.bag_size, range, job)?;
        let error = |responses: Vec<f64>| -> Result<f64, LabError> {
            let theta = &drawn.bags_with(responses).path(&[rho])?[0];
            Ok(squared_error(theta, &drawn.test_features, &drawn.test_responses) - noise)
        };
        Ok(Shown {
            error: error(released.unclipped)?,
            clipped_error: error(released.means)?,
            clipped: released.clipped,
        })
    })?;
    run.table(table(&format!("Private means on {}: test error above that of all single rows", own.dataset), &levels));
    run.plot(
        &format!("risk-over-bag-size-{}", own.dataset),
        &picture(&format!("Test error on {} with private means", own.dataset), &levels),
    )?;
    let text: Vec<String> = levels
        .iter()
        .map(|level| {
            let best = level.best(|cell| cell.clipped_error.mean);
            let [planned, found] = [level.planned(), best].map(|at| level.cells[at].bag_size);
            format!("epsilon {}: planned {planned}, best {found}", level.epsilon)
        })
        .collect();
    let near = levels.iter().all(|level| level.planned().abs_diff(level.best(|cell| cell.clipped_error.mean)) <= 1);
    let clipped = 100.0 * levels[0].cells[0].clipped;
    Ok(finding.measured(text.join(", ")).held_if(near).note(format!(
        "responses within three deviations of the mean, {clipped:.1} % clipped; noise and signal for the plan are taken from all \
         single rows, which a release of one's own would not have"
    )))
}

fn table(title: &str, levels: &[Level]) -> Table {
    let headings = ["epsilon", "bag size", "rho", "planned", "measured", "with clipping", "clipped (%)"];
    let mut table = Table::new(title, headings);
    for level in levels {
        for cell in &level.cells {
            table.push([
                level.epsilon.to_string(),
                cell.bag_size.to_string(),
                format!("{:.3}", cell.rho),
                kiln_lab::statistics::figure(cell.planned),
                cell.error.to_string(),
                cell.clipped_error.to_string(),
                format!("{:.1}", 100.0 * cell.clipped),
            ]);
        }
    }
    table
}

fn picture(title: &str, levels: &[Level]) -> Plot {
    let mut plot = Plot::line(title, "rows of a bag", "error").log_x().log_y();
    for (place, level) in levels.iter().enumerate() {
        let planned = level.cells.iter().map(|cell| (cell.bag_size as f64, cell.planned));
        let name = format!("epsilon {}", level.epsilon);
        plot = plot.series(Series::new(format!("{name}, planned")).points(planned).coloured_as(place));
        let mut measured = Series::new(format!("{name}, measured"));
        for cell in &level.cells {
            let (x, y) = (cell.bag_size as f64, cell.error.mean);
            measured.points.push(kiln_lab::plot::Point { x, y, std: cell.error.std });
        }
        plot = plot.series(measured.dotted().coloured_as(place));
    }
    plot
}

fn bag_size(levels: &[Level]) -> Finding {
    let text: Vec<String> = levels
        .iter()
        .map(|level| {
            let [planned, found] = [level.planned(), level.simulated()].map(|at| level.cells[at].bag_size);
            format!("epsilon {}: planned {planned}, best {found}", level.epsilon)
        })
        .collect();
    Finding::new(
        format!("{PRIVACY}/{}", IDS[0]),
        "the bag size that the calculator plans for private means is the one with the least simulated error, or beside it",
    )
    .paper("the best bag size depends on epsilon and on the share of the instance level")
    .bound("at every loss of privacy, among the bag sizes that were tried")
    .measured(text.join(", "))
    .held_if(levels.iter().all(|level| level.planned().abs_diff(level.simulated()) <= 1))
}

fn phase(levels: &[Level]) -> Finding {
    let sizes: Vec<usize> = levels.iter().map(|level| level.cells[level.simulated()].bag_size).collect();
    let falls = sizes.windows(2).all(|pair| pair[1] <= pair[0]);
    let differs = sizes.first() > sizes.last();
    let text: Vec<String> =
        levels.iter().zip(&sizes).map(|(level, size)| format!("epsilon {}: {size}", level.epsilon)).collect();
    Finding::new(format!("{PRIVACY}/{}", IDS[1]), "the more privacy is asked for, the larger the best bags are")
        .paper("a phase transition: small epsilon wants larger bags")
        .bound(
            "the best simulated bag size never rises with epsilon, and is larger at the smallest than at the largest",
        )
        .measured(text.join(", "))
        .held_if(falls && differs)
}

fn clipped(levels: &[Level]) -> Finding {
    let text: Vec<String> = levels
        .iter()
        .map(|level| {
            let at = level.simulated();
            let cell = &level.cells[at];
            format!(
                "epsilon {}, bags of {}: {:.4} with clipping, {:.4} without, {:.1} % clipped",
                level.epsilon,
                cell.bag_size,
                cell.clipped_error.mean,
                cell.error.mean,
                100.0 * cell.clipped
            )
        })
        .collect();
    Finding::new(format!("{PRIVACY}/{}", IDS[2]), "what clipping to the range costs, which the formula leaves out")
        .measured(text.join("; "))
}
