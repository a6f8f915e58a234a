//! The temperatures that ALDR-KL leaves on the training rows, and whether wrong labels can be told by them.

use kiln_data::Splits;
use kiln_lab::statistics::{Summary, ranks};
use kiln_lab::train::predict_logits;
use kiln_lab::{Finding, JobContext, LabError, Measured, Outcome, Plot, Run, Series, Table};
use kiln_loss::ldr::AldrKlConfig;
use serde::{Deserialize, Serialize};

use super::network::Perceptron;
use super::noise::corrupted;
use super::ranks::{Separation, precision};
use super::training::train;
use super::{Settings, TEMPERATURES};
use crate::loss::small_sets::Sets;

/// Stiffness of the loss.
const ALPHA: f64 = 2.0;
/// Two-sided 1 % point of the normal distribution.
const SIGNIFICANT: f64 = 2.576;
const AREA: f64 = 0.8;
/// Bins of the histogram.
const BINS: usize = 25;
/// How many rows `kiln noisy-labels` lists unless it is told otherwise.
const LISTED: usize = 20;
const NO_GROUPS: &str = "there is no training with two groups of rows to compare";

const IDS: [&str; 3] = ["differ", "suspicious-labels", "precision"];

pub(super) fn finding_ids(dataset: &str) -> Vec<String> {
    IDS.iter().map(|id| format!("{TEMPERATURES}/{dataset}/{id}")).collect()
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let datasets = &settings.temperatures.datasets;
    let sets = Sets::open(datasets, &settings.open_options(), settings.max_test, run)?;
    let mut findings = Vec::new();
    let mut learnt = Vec::new();
    for dataset in datasets {
        let ids = finding_ids(dataset);
        match sets.position(dataset) {
            None => findings.extend(ids.into_iter().map(|id| sets.not_comparable(id, dataset))),
            Some(at) => {
                let rows = trained(settings, &sets.here[at], run)?;
                let set = Learnt { settings, dataset, rows };
                findings.extend([set.differ(), set.suspicious(), set.precision()]);
                learnt.push(set);
            }
        }
    }
    report(&learnt, run)?;
    Ok(findings)
}

/// Trains with ALDR-KL on every seed; without those trainings that diverged.
fn trained(settings: &Settings, splits: &Splits, run: &Run) -> Result<Vec<Rows>, LabError> {
    let own = &settings.temperatures;
    let network = &Perceptron::named("temperatures.network", &own.network)?;
    let work = |seed: &u64, context: &JobContext| -> Result<Option<Rows>, LabError> {
        let config = AldrKlConfig::paper().with_lambda0(own.lambda0).with_alpha(ALPHA);
        let loss = config.init().map_err(LabError::method)?;
        let (noisy, flipped) = corrupted(splits, &own.noise, *seed)?;
        let Some(network) = train(settings, network, &noisy, &loss, own.rate, *seed, context)? else {
            return Ok(None);
        };
        let device = context.device();
        let logits = predict_logits(&network, &noisy.train, &device);
        let surprise = loss.surprise(logits, noisy.train.all(&device).1).into_data().iter::<f64>().collect();
        Ok(Some(Rows { temperatures: loss.remembered().temperatures().to_vec(), surprise, flipped }))
    };
    let key = |seed: &u64| format!("{}-seed-{seed}", splits.name);
    Ok(run.grid(TEMPERATURES, run.seeds(), key, work)?.into_iter().flatten().collect())
}

/// What a training leaves on its rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rows {
    temperatures: Vec<f32>,
    /// `-log p` of the label that the row was given.
    surprise: Vec<f64>,
    flipped: Vec<bool>,
}

/// What may tell a wrong label.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Score {
    Surprise,
    Temperature,
    SurpriseAndHighTemperature,
    SurpriseAndLowTemperature,
}

const SCORES: [(Score, &str); 4] = [
    (Score::Surprise, "improbable label"),
    (Score::Temperature, "high temperature"),
    (Score::SurpriseAndHighTemperature, "improbable label and high temperature"),
    (Score::SurpriseAndLowTemperature, "improbable label and low temperature"),
];

impl Rows {
    /// A number for each row, the larger the more suspicious; two together are the sum of their ranks.
    fn score(&self, score: Score) -> Vec<f64> {
        let temperatures: Vec<f64> = self.temperatures.iter().map(|&lambda| f64::from(lambda)).collect();
        let together = |sign: f64| {
            let pairs = ranks(&self.surprise).into_iter().zip(ranks(&temperatures));
            pairs.map(|(surprise, temperature)| surprise + sign * temperature).collect()
        };
        match score {
            Score::Surprise => self.surprise.clone(),
            Score::Temperature => temperatures,
            Score::SurpriseAndHighTemperature => together(1.0),
            Score::SurpriseAndLowTemperature => together(-1.0),
        }
    }

    /// Those of the numbers that belong to flipped rows, and the others.
    fn groups(&self, numbers: &[f64]) -> [Vec<f64>; 2] {
        let of = |wanted: bool| {
            let pairs = numbers.iter().zip(&self.flipped);
            pairs.filter(|(_, flipped)| **flipped == wanted).map(|(number, _)| *number).collect()
        };
        [of(true), of(false)]
    }

    fn separation(&self, score: Score) -> Option<Separation> {
        let [flipped, right] = self.groups(&self.score(score));
        Separation::of(&flipped, &right)
    }

    fn flips(&self) -> usize {
        self.flipped.iter().filter(|flipped| **flipped).count()
    }

    /// Share of flipped rows among the first that a score puts forward: as many as are flipped, and as many as are listed.
    fn precisions(&self, score: Score) -> [f64; 2] {
        let numbers = self.score(score);
        [self.flips(), LISTED].map(|first| precision(&numbers, &self.flipped, first))
    }
}

/// The trainings on one set.
struct Learnt<'a> {
    settings: &'a Settings,
    dataset: &'a str,
    rows: Vec<Rows>,
}

impl Learnt<'_> {
    fn finding(&self, id: &str, what: &str) -> Finding {
        let own = &self.settings.temperatures;
        let statement = format!("on {} with {} {what}", self.dataset, own.noise);
        let note = format!("lambda0 = {} and rate {}, not tuned", own.lambda0, own.rate);
        Finding::new(format!("{TEMPERATURES}/{}/{id}", self.dataset), statement).note(note)
    }

    /// How a score separates flipped rows from the others in every training; nothing where there is nothing to compare.
    fn separations(&self, score: Score) -> Option<Vec<Separation>> {
        let all: Option<Vec<Separation>> = self.rows.iter().map(|rows| rows.separation(score)).collect();
        all.filter(|all| !all.is_empty())
    }

    fn differ(&self) -> Finding {
        let finding = self
            .finding(IDS[0], "the temperatures of flipped rows differ")
            .paper("histograms of the temperatures of clean and noisy rows lie apart")
            .bound("Mann-Whitney p < 0.01 on every seed, all in one direction");
        let Some(apart) = self.separations(Score::Temperature) else {
            return finding.outcome(Outcome::NotComparable).note(NO_GROUPS);
        };
        let areas = Summary::of(&apart.iter().map(|apart| apart.area).collect::<Vec<_>>());
        let least = apart.iter().map(|apart| apart.score.abs()).fold(f64::INFINITY, f64::min);
        let one_way = apart.iter().all(|one| one.score > 0.0) || apart.iter().all(|one| one.score < 0.0);
        let text = format!("flipped rows above the others with probability {areas}, least |z| {least:.1}");
        finding.measured(Measured::from(areas).text(text)).held_if(one_way && least > SIGNIFICANT)
    }

    fn suspicious(&self) -> Finding {
        let finding = self
            .finding(IDS[1], "the least probable labels are the flipped ones")
            .bound("area under the curve above 0.8, mean over seeds");
        match self.separations(Score::Surprise) {
            Some(apart) => {
                let areas = Summary::of(&apart.iter().map(|apart| apart.area).collect::<Vec<_>>());
                finding.measured(areas).held_if(areas.mean > AREA)
            }
            None => finding.outcome(Outcome::NotComparable).note(NO_GROUPS),
        }
    }

    fn precision(&self) -> Finding {
        let what = format!("so much of the list of least probable labels is flipped, and of its first {LISTED} rows");
        let finding = self.finding(IDS[2], &what);
        if self.separations(Score::Surprise).is_none() {
            return finding.outcome(Outcome::NotComparable).note(NO_GROUPS);
        }
        let [whole, listed] = self.mean_precisions(Score::Surprise);
        let shares = self.rows.iter().map(|rows| rows.flips() as f64 / rows.flipped.len() as f64);
        let base = Summary::of(&shares.collect::<Vec<_>>());
        let text = format!(
            "{whole} of a list as long as the number of flipped rows, {listed} of the first {LISTED}; {base} of all rows"
        );
        finding.measured(Measured::from(whole).text(text))
    }

    fn mean_precisions(&self, score: Score) -> [Summary; 2] {
        let all: Vec<[f64; 2]> = self.rows.iter().map(|rows| rows.precisions(score)).collect();
        [0, 1].map(|which| Summary::of(&all.iter().map(|both| both[which]).collect::<Vec<_>>()))
    }
}

fn report(learnt: &[Learnt<'_>], run: &mut Run) -> Result<(), LabError> {
    let mut temperatures = Table::new("Learnt temperatures", ["set", "rows", "mean", "standard deviation", "number"]);
    let headings = ["set", "score", "area under the curve", "precision", "precision of the first 20"];
    let mut scores = Table::new("How flipped rows are told from the others", headings);
    for set in learnt {
        let groups = ["flipped labels", "right labels"].into_iter().enumerate().map(|(place, name)| {
            let of_one = |rows: &Rows| rows.groups(&rows.score(Score::Temperature))[place].clone();
            (name, set.rows.iter().flat_map(of_one).collect::<Vec<f64>>())
        });
        let groups: Vec<(&str, Vec<f64>)> = groups.filter(|(_, all)| !all.is_empty()).collect();
        for (name, all) in &groups {
            let Summary { mean, std, n } = Summary::of(all);
            temperatures.push([
                set.dataset.to_string(),
                (*name).to_string(),
                format!("{mean:.4}"),
                format!("{std:.4}"),
                n.to_string(),
            ]);
        }
        run.plot(&format!("temperatures-{}", set.dataset), &histogram(set, &groups))?;
        for (score, name) in SCORES {
            let Some(apart) = set.separations(score) else { continue };
            let areas: Vec<f64> = apart.iter().map(|apart| apart.area).collect();
            let [whole, listed] = set.mean_precisions(score);
            let cells = [Summary::of(&areas), whole, listed].map(|summary| summary.to_string());
            scores.push([set.dataset.to_string(), name.to_string()].into_iter().chain(cells));
        }
    }
    run.table(temperatures);
    run.table(scores);
    Ok(())
}

/// Shares of the temperatures of each group, over the range that they can have.
fn histogram(set: &Learnt<'_>, groups: &[(&str, Vec<f64>)]) -> Plot {
    let lambda0 = set.settings.temperatures.lambda0;
    let least = lambda0 * (1.0 - 1.0 / ALPHA);
    let width = (lambda0 - least) / BINS as f64;
    let title = format!("Temperatures of the training rows of {}", set.dataset);
    let mut plot = Plot::line(title, "temperature", "share of the rows");
    for (name, all) in groups {
        let mut shares = [0.0; BINS];
        for value in all {
            shares[((value - least) / width).clamp(0.0, BINS as f64 - 1.0) as usize] += 1.0 / all.len() as f64;
        }
        let points = shares.into_iter().enumerate().map(|(bin, share)| (least + width * (bin as f64 + 0.5), share));
        plot = plot.series(Series::new(*name).points(points));
    }
    plot
}
