//! The risk calculator beside linear models on normal features.

use kiln_lab::statistics::Summary;
use kiln_lab::{Finding, LabError, Measured, Plot, Run, Series, Table};
use kiln_loss::aggregate::risk::{BagProblem, asymptotic};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::linear::{BagData, means, product};
use super::settings::SimulationSettings;
use super::{SIMULATION, Settings};

/// Distance from theory that is allowed: so many standard errors, and so large a share of it.
const ERRORS: f64 = 3.0;
const SHARE: f64 = 0.03;

const IDS: [&str; 2] = ["agreement", "best-share"];

pub(super) fn finding_ids() -> Vec<String> {
    IDS.iter().map(|id| format!("{SIMULATION}/{id}")).collect()
}

/// One draw of one problem.
struct Job {
    problem: Problem,
    seed: u64,
}

#[derive(Clone, Copy, PartialEq)]
struct Problem {
    rows_per_feature: f64,
    bag_size: usize,
}

/// A problem, and the risks at each share.
struct Simulated {
    problem: Problem,
    /// Rows for each feature, as whole bags made it.
    rows_per_feature: f64,
    points: Vec<Point>,
}

struct Point {
    rho: f64,
    theory: f64,
    simulated: Summary,
}

impl Point {
    fn agrees(&self) -> bool {
        let apart = (self.simulated.mean - self.theory).abs();
        apart <= ERRORS * self.simulated.standard_error() + SHARE * self.theory
    }

    /// Distance over what is allowed.
    fn strain(&self) -> f64 {
        let allowed = ERRORS * self.simulated.standard_error() + SHARE * self.theory;
        (self.simulated.mean - self.theory).abs() / allowed
    }
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let own = &settings.simulation;
    let problems: Vec<Problem> = own
        .rows_per_feature
        .iter()
        .flat_map(|&rows_per_feature| own.bag_sizes.iter().map(move |&bag_size| Problem { rows_per_feature, bag_size }))
        .collect();
    let seeds = &run.seeds()[..own.seeds];
    let jobs: Vec<Job> =
        problems.iter().flat_map(|&problem| seeds.iter().map(move |&seed| Job { problem, seed })).collect();
    let key = |job: &Job| format!("psi{}-k{}-seed{}", job.problem.rows_per_feature, job.problem.bag_size, job.seed);
    let risks: Vec<Vec<f64>> = run.grid(SIMULATION, &jobs, key, |job, _| risks(own, &settings.rhos, job))?;
    let simulated: Vec<Simulated> = problems
        .iter()
        .zip(risks.chunks(own.seeds))
        .map(|(&problem, draws)| Simulated::of(own, &settings.rhos, problem, draws))
        .collect::<Result<_, _>>()?;
    run.table(table(&simulated));
    for &rows_per_feature in &own.rows_per_feature {
        let name = format!("risk-over-rho-psi-{rows_per_feature}");
        run.plot(&name, &picture(own, rows_per_feature, &simulated)?)?;
    }
    Ok(vec![agreement(&simulated), best_share(&simulated)])
}

/// Bags of one problem, a whole number.
fn num_bags(own: &SimulationSettings, problem: Problem) -> usize {
    ((problem.rows_per_feature * own.features as f64) / problem.bag_size as f64).round().max(1.0) as usize
}

fn risks(own: &SimulationSettings, rhos: &[f64], job: &Job) -> Result<Vec<f64>, LabError> {
    let (width, size) = (own.features, job.problem.bag_size);
    let bags = num_bags(own, job.problem);
    let mut random = ChaCha8Rng::seed_from_u64(job.seed);
    let Draw { features, theta, responses } = draw(&mut random, bags * size, width, own.signal, own.noise);
    let bag_of_row = (0..bags * size).map(|row| row / size).collect();
    let data = BagData { features, width, bag_of_row, responses: means(&responses, size) };
    let distance = |found: Vec<f64>| found.iter().zip(&theta).map(|(a, b)| (a - b).powi(2)).sum();
    Ok(data.path(rhos)?.into_iter().map(distance).collect())
}

/// Normal features and responses of a linear model.
pub(super) struct Draw {
    pub(super) features: Vec<f64>,
    pub(super) theta: Vec<f64>,
    pub(super) responses: Vec<f64>,
}

pub(super) fn draw(random: &mut ChaCha8Rng, rows: usize, width: usize, signal: f64, noise: f64) -> Draw {
    let mut normal = |count: usize| -> Vec<f64> { (0..count).map(|_| StandardNormal.sample(random)).collect() };
    let (features, direction, errors) = (normal(rows * width), normal(width), normal(rows));
    let length = (signal / product(&direction, &direction)).sqrt();
    let theta: Vec<f64> = direction.into_iter().map(|value| value * length).collect();
    let rows = features.chunks(width).zip(errors);
    let responses = rows.map(|(row, error)| product(row, &theta) + noise.sqrt() * error).collect();
    Draw { features, theta, responses }
}

impl Simulated {
    fn of(own: &SimulationSettings, rhos: &[f64], problem: Problem, draws: &[Vec<f64>]) -> Result<Self, LabError> {
        let rows = num_bags(own, problem) * problem.bag_size;
        let rows_per_feature = rows as f64 / own.features as f64;
        let theory = calculator(own, rows_per_feature, problem.bag_size);
        let mut points = Vec::new();
        for (at, &rho) in rhos.iter().enumerate() {
            let risk = asymptotic(&BagProblem { rho, ..theory }).map_err(LabError::method)?.total();
            let draws: Vec<f64> = draws.iter().map(|risks| risks[at]).collect();
            points.push(Point { rho, theory: risk, simulated: Summary::of(&draws) });
        }
        Ok(Self { problem, rows_per_feature, points })
    }

    /// Points whose theory is a number: with as many bags as features the risk at the bag level is infinite.
    fn finite(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(|point| point.theory.is_finite())
    }

    fn name(&self) -> String {
        format!("psi {}, k {}", self.problem.rows_per_feature, self.problem.bag_size)
    }
}

fn calculator(own: &SimulationSettings, rows_per_feature: f64, bag_size: usize) -> BagProblem {
    BagProblem::new(rows_per_feature, bag_size as f64, own.signal, own.noise)
}

fn table(simulated: &[Simulated]) -> Table {
    let headings = ["rows for each feature", "bag size", "rho", "theory", "simulated", "apart, of what is allowed"];
    let mut table = Table::new("Error of the coefficients, theory and simulation", headings);
    for one in simulated {
        for point in &one.points {
            let strain = if point.theory.is_finite() { format!("{:.2}", point.strain()) } else { "-".into() };
            table.push([
                format!("{:.3}", one.rows_per_feature),
                one.problem.bag_size.to_string(),
                point.rho.to_string(),
                kiln_lab::statistics::figure(point.theory),
                point.simulated.to_string(),
                strain,
            ]);
        }
    }
    table
}

fn picture(own: &SimulationSettings, rows_per_feature: f64, simulated: &[Simulated]) -> Result<Plot, LabError> {
    const POINTS: usize = 60;
    let title = format!("Error of the coefficients, {rows_per_feature} rows for each feature");
    let mut plot = Plot::line(title, "rho", "|theta_hat - theta|^2").log_y();
    let own_problems = simulated.iter().filter(|one| one.problem.rows_per_feature == rows_per_feature);
    for (place, one) in own_problems.enumerate() {
        let mut line = Vec::new();
        for step in 0..=POINTS {
            let rho = step as f64 / POINTS as f64;
            let problem = calculator(own, one.rows_per_feature, one.problem.bag_size).with_rho(rho);
            let risk = asymptotic(&problem).map_err(LabError::method)?.total();
            line.extend(risk.is_finite().then_some((rho, risk)));
        }
        let name = format!("bags of {}", one.problem.bag_size);
        plot = plot.series(Series::new(format!("{name}, theory")).points(line).coloured_as(place));
        let dots = one.points.iter().fold(Series::new(format!("{name}, simulated")), |series, point| {
            let mut series = series;
            let Summary { mean, std, .. } = point.simulated;
            series.points.push(kiln_lab::plot::Point { x: point.rho, y: mean, std });
            series
        });
        plot = plot.series(dots.dotted().coloured_as(place));
    }
    Ok(plot)
}

fn agreement(simulated: &[Simulated]) -> Finding {
    let points: Vec<&Point> = simulated.iter().flat_map(Simulated::finite).collect();
    let agree = points.iter().filter(|point| point.agrees()).count();
    let worst = points.iter().map(|point| point.strain()).fold(0.0, f64::max);
    let off: Vec<String> = simulated
        .iter()
        .flat_map(|one| one.finite().filter(|point| !point.agrees()).map(move |point| (one, point)))
        .map(|(one, point)| format!("{} rho {}: {} for {:.4}", one.name(), point.rho, point.simulated, point.theory))
        .collect();
    Finding::new(format!("{SIMULATION}/{}", IDS[0]), "the calculator's risk is that of simulated linear models")
        .paper("theory curves match simulation at d = 100")
        .bound("every mean within 3 standard errors and 3 % of theory")
        .measured(
            Measured::from(worst)
                .text(format!("{agree} of {} points, the farthest at {worst:.2} of what is allowed", points.len())),
        )
        .held_if(agree == points.len())
        .note(off.join("; "))
}

/// Whether theory and simulation agree on where the best share lies, which may be an end.
fn best_share(simulated: &[Simulated]) -> Finding {
    let mut all = true;
    let mut text = Vec::new();
    for one in simulated {
        let least = |error: fn(&Point) -> f64| {
            let places = 0..one.points.len();
            places.min_by(|&a, &b| error(&one.points[a]).total_cmp(&error(&one.points[b]))).unwrap_or(0)
        };
        let (planned, found) = (least(|point| point.theory), least(|point| point.simulated.mean));
        all &= planned.abs_diff(found) <= 1;
        let ends = one.points[0].simulated.mean.min(one.points[one.points.len() - 1].simulated.mean);
        let gain = 100.0 * (1.0 - one.points[found].simulated.mean / ends);
        let (planned, found) = (one.points[planned].rho, one.points[found].rho);
        text.push(format!("{}: rho {found} (planned {planned}), {gain:.1} % below the better end", one.name()));
    }
    Finding::new(
        format!("{SIMULATION}/{}", IDS[1]),
        "the share with the least simulated error is the one that the calculator names, or beside it on the grid",
    )
    .paper("interpolating is better than either end")
    .bound("in every problem")
    .measured(text.join(", "))
    .held_if(all)
    .note("with few rows for each feature and much noise the calculator itself names the instance level")
}
