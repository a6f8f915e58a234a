//! The compared methods, where they are compared, and what becomes of their runs.

use kiln_lab::statistics::{Paired, Summary, paired_difference};
use kiln_lab::{Finding, Measured, Plot, Series, Table};
use kiln_optim::OptimizerKind;

use super::training::{Course, Images, Job, Trained};

/// The network's activation function outside the ablation.
const ACTIVATION: &str = "relu";

/// An optimizer, or Adam at half the rate that diffGrad has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method {
    pub kind: OptimizerKind,
    /// Whether it runs at half of diffGrad's rate.
    pub half_rate: bool,
}

impl Method {
    pub const DIFFGRAD: Self = Self { kind: OptimizerKind::DiffGrad, half_rate: false };
    pub const ADAM: Self = Self { kind: OptimizerKind::Adam, half_rate: false };
    pub const HALF_RATE_ADAM: Self = Self { kind: OptimizerKind::Adam, half_rate: true };

    /// The paper's seven, and Adam at half the rate.
    pub const ALL: [Self; 8] = {
        let mut all = [Self::HALF_RATE_ADAM; 8];
        let mut i = 0;
        while i < 7 {
            all[i] = Self { kind: OptimizerKind::ALL[i], half_rate: false };
            i += 1;
        }
        all
    };

    /// The paper's seven.
    pub fn seven() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|method| !method.half_rate)
    }

    pub fn title(self) -> &'static str {
        if self.half_rate { "Adam, half rate" } else { self.kind.title() }
    }

    pub fn rate(self, common: f64) -> f64 {
        if self.half_rate { common / 2.0 } else { common }
    }
}

/// One network, one set of images and one batch size, on which all optimizers are compared.
pub(super) struct Comparison<'a> {
    /// Ends the names of findings and pictures.
    pub tag: String,
    /// The network and the batch size, in words.
    pub place: String,
    pub course: &'a Course,
    pub images: &'a Images,
    pub batch_size: usize,
}

impl Comparison<'_> {
    pub fn id(&self, name: &str) -> String {
        format!("{name}-{}", self.tag)
    }

    /// A claim, and on what it was tried.
    pub fn statement(&self, claim: &str) -> String {
        format!("{claim} ({}; {})", self.place, self.images.words())
    }

    pub fn steps_per_epoch(&self) -> usize {
        self.images.train_images().div_ceil(self.batch_size).max(1)
    }

    /// A training with the activation function of the comparisons.
    pub fn job(&self, method: Method, learning_rate: f64, seed: u64) -> Job {
        Job { method, learning_rate, batch_size: self.batch_size, activation: ACTIVATION.into(), seed }
    }

    /// Accuracies and losses of all methods, each beside Adam.
    pub fn table(&self, how: &str, results: &Results) -> Table {
        let title = format!("{how}, {}, {}", self.place, self.images.name());
        let headings =
            ["optimizer", "rate", "test accuracy, %", "training loss", "against Adam, points", "95 % interval"];
        let adam = figures(&results.of(Method::ADAM), test_percent);
        let mut table = Table::new(title, headings);
        for method in Method::ALL {
            let runs = results.of(method);
            let against = paired_difference(&figures(&runs, test_percent), &adam);
            table.push([
                method.title().to_string(),
                results.rate(method).map_or_else(String::new, |rate| rate.to_string()),
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

    /// Validation accuracy after each epoch, a line for each method.
    pub fn accuracy_per_epoch(&self, how: &str, results: &Results) -> Plot {
        let title = format!("Accuracy while training, {how}, {}, {}", self.place, self.images.name());
        let plot = Plot::line(title, "epoch", "validation accuracy, %");
        Method::ALL.into_iter().fold(plot, |plot, method| {
            let runs = results.of(method);
            let series = (0..self.course.epochs).fold(Series::new(method.title()), |series, epoch| {
                let reached = runs.iter().filter_map(|trained| trained.validation_accuracy.get(epoch).copied());
                let values = reached.map(percent).collect::<Vec<_>>();
                if values.is_empty() { series } else { series.seeds((epoch + 1) as f64, &values) }
            });
            plot.series(series)
        })
    }

    /// Where diffGrad stands among the paper's seven. The figure is diffGrad's accuracy.
    pub fn rank(&self, name: &str, how: &str, results: &Results) -> Finding {
        let of = |method| summary(&results.of(method), test_percent);
        let mut order = Method::seven().map(|method| (method, of(method))).collect::<Vec<_>>();
        order.sort_by(|(_, a), (_, b)| b.mean.total_cmp(&a.mean));
        let place = order.iter().position(|(method, _)| *method == Method::DIFFGRAD).map_or(0, |at| at + 1);
        let listed = order.iter().map(|(method, accuracy)| format!("{} {accuracy}", method.title()));
        let text = format!("number {place}: {} %", listed.collect::<Vec<_>>().join(", "));
        let claim = format!("diffGrad's place by test accuracy among the seven optimizers, {how}");
        Finding::new(self.id(name), self.statement(&claim))
            .paper("the most accurate of the seven")
            .measured(Measured::from(of(Method::DIFFGRAD)).text(text))
    }

    /// What is left of diffGrad's advantage when Adam runs at half of diffGrad's rate.
    pub fn half_rate(&self, name: &str, how: &str, results: &Results) -> Finding {
        let (diffgrad, half) = (results.of(Method::DIFFGRAD), results.of(Method::HALF_RATE_ADAM));
        let Paired { difference, interval } =
            paired_difference(&figures(&diffgrad, test_percent), &figures(&half, test_percent));
        let mut text = format!("{difference} points");
        if difference.n > 1 {
            text = format!("{text}, 95 % interval {:.2} to {:.2}", interval.low, interval.high);
        }
        let loss = |runs: &[&Trained]| summary(runs, Trained::loss_or_infinity);
        let claim = format!("diffGrad's test accuracy less that of Adam at half of diffGrad's rate, {how}");
        Finding::new(self.id(name), self.statement(&claim))
            .measured(Measured::from(difference).text(text))
            .note(format!("training loss {} against {}", loss(&diffgrad), loss(&half)))
    }
}

/// Finished runs, to be picked from.
pub(super) struct Results {
    runs: Vec<(Job, Trained)>,
}

impl Results {
    pub fn new(jobs: Vec<Job>, trained: Vec<Trained>) -> Self {
        Self { runs: jobs.into_iter().zip(trained).collect() }
    }

    /// The runs of a method, in the order of the seeds.
    pub fn of(&self, method: Method) -> Vec<&Trained> {
        self.at(method, |_| true)
    }

    /// The runs of a method that satisfy `wanted`, in the order of the seeds.
    pub fn at(&self, method: Method, wanted: impl Fn(&Job) -> bool) -> Vec<&Trained> {
        self.runs.iter().filter(|(job, _)| job.method == method && wanted(job)).map(|(_, trained)| trained).collect()
    }

    /// The rate of a method's first run.
    pub fn rate(&self, method: Method) -> Option<f64> {
        self.runs.iter().find(|(job, _)| job.method == method).map(|(job, _)| job.learning_rate)
    }
}

/// A figure of each run.
pub(super) fn figures(runs: &[&Trained], figure: impl Fn(&Trained) -> f64) -> Vec<f64> {
    runs.iter().map(|trained| figure(trained)).collect()
}

/// Mean and spread of a figure over runs.
pub(super) fn summary(runs: &[&Trained], figure: impl Fn(&Trained) -> f64) -> Summary {
    Summary::of(&figures(runs, figure))
}

pub(super) fn test_percent(trained: &Trained) -> f64 {
    percent(trained.test_accuracy)
}

pub(super) fn percent(accuracy: f64) -> f64 {
    100.0 * accuracy
}
