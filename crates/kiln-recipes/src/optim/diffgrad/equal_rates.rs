//! All optimizers at one rate on one network: the table, the pictures and the findings.

use kiln_lab::statistics::{figure, paired_difference};
use kiln_lab::{Finding, LabError, Measured, Plot, Run, Series, Table};

use super::comparison::{Method, Results, figures, summary};
use super::training::{Course, Images, Job, Trained, train_all};

/// The network's activation function outside the ablation.
const ACTIVATION: &str = "relu";

/// How far diffGrad's accuracy may lie below Adam's, in `[0, 1]`.
pub(super) const ACCURACY_MARGIN: f64 = 0.005;

/// How many times Adam's training loss diffGrad's may be.
const LOSS_RATIO: f64 = 1.05;

/// One comparison at equal rates.
pub(super) struct EqualRates<'a> {
    /// Ends the names of findings and pictures.
    pub tag: String,
    /// Where it takes place, in words that end a sentence.
    pub place: String,
    pub course: &'a Course,
    pub learning_rate: f64,
    pub batch_size: usize,
}

impl EqualRates<'_> {
    pub fn finding_ids(tag: &str) -> Vec<String> {
        ["accuracy", "train-loss", "rank", "half-rate", "friction"].map(|name| format!("{name}-{tag}")).to_vec()
    }

    /// Trains with every optimizer, and compares accuracies and losses over the seeds.
    pub fn run(&self, images: &Images, run: &mut Run) -> Result<Vec<Finding>, LabError> {
        let results = train_all(self.course, images, self.jobs(run.seeds()), run)?;
        let Self { tag, .. } = self;
        run.table(self.table(&results));
        run.plot(&format!("accuracy-per-epoch-{tag}"), &self.accuracy_per_epoch(&results))?;
        run.plot(&format!("friction-{tag}"), &self.friction_histogram(&results.of(Method::DIFFGRAD)))?;
        Ok(vec![
            self.accuracy(&results),
            self.train_loss(&results),
            rank(format!("rank-{tag}"), format!("at equal rates, {}", self.place), &results),
            self.half_rate(&results),
            self.friction(&results.of(Method::DIFFGRAD)),
        ])
    }

    fn jobs(&self, seeds: &[u64]) -> Vec<Job> {
        let of = |method: Method| {
            seeds.iter().map(move |&seed| job(method, method.rate(self.learning_rate), self.batch_size, seed))
        };
        Method::ALL.into_iter().flat_map(of).collect()
    }

    fn table(&self, results: &Results) -> Table {
        let title = format!("Rate {} for all, {}", self.learning_rate, self.place);
        let headings = ["optimizer", "test accuracy, %", "training loss", "against Adam, points", "95 % interval"];
        let adam = figures(&results.of(Method::ADAM), test_percent);
        let mut table = Table::new(title, headings);
        for method in Method::ALL {
            let runs = results.of(method);
            let against = paired_difference(&figures(&runs, test_percent), &adam);
            table.push([
                method.title().to_string(),
                summary(&runs, test_percent).to_string(),
                summary(&runs, Trained::loss_or_infinity).to_string(),
                format!("{:+.2}", against.difference.mean),
                match against.difference.n {
                    0 | 1 => "unknown".to_string(),
                    _ => format!("{:.2} to {:.2}", against.interval.low, against.interval.high),
                },
            ]);
        }
        table
    }

    /// diffGrad's accuracy is not below Adam's.
    fn accuracy(&self, results: &Results) -> Finding {
        let of = |method| summary(&results.of(method), test_percent);
        let (ours, theirs) = (of(Method::DIFFGRAD), of(Method::ADAM));
        Finding::new(
            format!("accuracy-{}", self.tag),
            format!("at equal rates diffGrad is as accurate as Adam, {}", self.place),
        )
        .paper("diffGrad is more accurate than Adam")
        .measured(Measured::from(ours).text(format!("{ours} %, Adam {theirs} %")))
        .bound(format!("at least Adam's mean less {} points", percent(ACCURACY_MARGIN)))
        .held_if(ours.mean >= theirs.mean - percent(ACCURACY_MARGIN))
    }

    /// diffGrad's training loss is not above Adam's.
    fn train_loss(&self, results: &Results) -> Finding {
        let of = |method| summary(&results.of(method), Trained::loss_or_infinity);
        let (ours, theirs) = (of(Method::DIFFGRAD), of(Method::ADAM));
        Finding::new(
            format!("train-loss-{}", self.tag),
            format!("at equal rates diffGrad brings the training loss as low as Adam does, {}", self.place),
        )
        .paper("lower than Adam's")
        .measured(Measured::from(ours).text(format!("{ours}, Adam {theirs}")))
        .bound(format!("at most {LOSS_RATIO} times Adam's mean"))
        .held_if(ours.mean <= LOSS_RATIO * theirs.mean)
    }

    /// What is left of diffGrad's advantage when Adam runs at half the rate.
    fn half_rate(&self, results: &Results) -> Finding {
        let (diffgrad, half) = (results.of(Method::DIFFGRAD), results.of(Method::HALF_RATE_ADAM));
        let difference = paired_difference(&figures(&diffgrad, test_percent), &figures(&half, test_percent));
        let loss = |runs: &[&Trained]| summary(runs, Trained::loss_or_infinity).mean;
        Finding::new(
            format!("half-rate-{}", self.tag),
            format!("diffGrad's accuracy less that of Adam at half the rate, in points, {}", self.place),
        )
        .paper("not tried")
        .measured(difference.difference)
        .note(format!("training loss {} against {}", figure(loss(&diffgrad)), figure(loss(&half))))
    }

    fn accuracy_per_epoch(&self, results: &Results) -> Plot {
        let title = format!("Accuracy while training, {}", self.place);
        let plot = Plot::line(title, "epoch", "validation accuracy, %");
        Method::ALL.into_iter().fold(plot, |plot, method| {
            let series = (0..self.course.epochs).fold(Series::new(method.title()), |series, epoch| {
                let values = results
                    .of(method)
                    .into_iter()
                    .filter_map(|trained| trained.validation_accuracy.get(epoch).copied());
                let values = values.map(percent).collect::<Vec<_>>();
                if values.is_empty() { series } else { series.seeds((epoch + 1) as f64, &values) }
            });
            plot.series(series)
        })
    }

    /// Shares of coordinates over `xi`, at the first step that compares two gradients and at the last recorded one.
    fn friction_histogram(&self, runs: &[&Trained]) -> Plot {
        /// Bins of 0.001 that make one of the picture's.
        const WIDTH: usize = 10;
        let title = format!("diffGrad's friction coefficients, {}", self.place);
        let plot = Plot::line(title, "xi", "share of coordinates").log_y();
        let records = runs.first().map_or(&[][..], |trained| &trained.friction);
        [records.first(), records.last()].into_iter().flatten().fold(plot, |plot, record| {
            let total = record.counts.iter().sum::<u64>().max(1) as f64;
            let bins = record.counts.chunks(WIDTH).enumerate();
            let points = bins.map(|(bin, counts)| {
                let centre = 0.5 + (bin as f64 + 0.5) * WIDTH as f64 * 1e-3;
                (centre, counts.iter().sum::<u64>() as f64 / total)
            });
            plot.series(Series::new(format!("step {}", record.step)).points(points))
        })
    }

    /// Whether the friction does anything but halve the rate.
    fn friction(&self, runs: &[&Trained]) -> Finding {
        let last = |trained: &Trained| trained.friction.last().map_or(f64::NAN, |record| record.stats.share_near_half);
        let share = summary(runs, last);
        let course = runs.first().map_or(&[][..], |trained| &trained.friction).iter().map(|record| {
            let stats = record.stats;
            format!("step {}: mean {:.4}, 90th percentile {:.4}", record.step, stats.mean, stats.p90)
        });
        Finding::new(
            format!("friction-{}", self.tag),
            format!("share of coordinates with a friction coefficient below 0.505 at the end, {}", self.place),
        )
        .paper("not given")
        .measured(share)
        .note(course.collect::<Vec<_>>().join("; "))
    }
}

/// A training with the activation function of the comparisons.
pub(super) fn job(method: Method, learning_rate: f64, batch_size: usize, seed: u64) -> Job {
    Job { method, learning_rate, batch_size, activation: ACTIVATION.into(), seed }
}

pub(super) fn test_percent(trained: &Trained) -> f64 {
    percent(trained.test_accuracy)
}

fn percent(accuracy: f64) -> f64 {
    100.0 * accuracy
}

/// Where diffGrad stands among the paper's seven.
pub(super) fn rank(id: String, how: String, results: &Results) -> Finding {
    let mean = |method| summary(&results.of(method), test_percent).mean;
    let mut order = Method::ALL.into_iter().filter(|method| !method.half_rate).collect::<Vec<_>>();
    order.sort_by(|a, b| mean(*b).total_cmp(&mean(*a)));
    let place = order.iter().position(|method| *method == Method::DIFFGRAD).map_or(0, |at| at + 1);
    let listed = order.iter().map(|method| format!("{} {}", method.title(), figure(mean(*method))));
    Finding::new(id, format!("{how}, diffGrad is number {place} of the seven optimizers"))
        .paper("number 1")
        .measured(listed.collect::<Vec<_>>().join(", "))
}
