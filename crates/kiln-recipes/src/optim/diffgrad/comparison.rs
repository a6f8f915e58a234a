//! The compared methods, and what becomes of their runs.

use kiln_lab::statistics::Summary;
use kiln_optim::OptimizerKind;

use super::training::{Job, Trained};

/// An optimizer at the common rate or at a fraction of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method {
    pub kind: OptimizerKind,
    /// Whether it runs at half of the rate that the others have.
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

    pub fn title(self) -> &'static str {
        if self.half_rate { "Adam, half rate" } else { self.kind.title() }
    }

    pub fn rate(self, common: f64) -> f64 {
        if self.half_rate { common / 2.0 } else { common }
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
}

/// A figure of each run.
pub(super) fn figures(runs: &[&Trained], figure: impl Fn(&Trained) -> f64) -> Vec<f64> {
    runs.iter().map(|trained| figure(trained)).collect()
}

/// Mean and spread of a figure over runs.
pub(super) fn summary(runs: &[&Trained], figure: impl Fn(&Trained) -> f64) -> Summary {
    Summary::of(&figures(runs, figure))
}
