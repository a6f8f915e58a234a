//! Learning rates over the course of a training.

use std::f64::consts::PI;

use burn::optim::LearningRate;
use burn::optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use serde::{Deserialize, Serialize};

use super::selector::{Entry, Registry, SettingInfo};

/// How the learning rate changes from the first step to the last.
///
/// With `s` the fraction of the steps that are done, in `[0, 1)`, and `r` the rate given by the user:
/// ```text
/// constant: r     linear: r (1 - s)     cosine: r (1 + cos(pi s)) / 2     step: r factor^floor(s parts)
/// ```
/// A warm-up replaces the first fraction of the steps by a linear rise from 0 to `r`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Schedule {
    /// The same rate throughout.
    #[default]
    Constant,
    /// Falls in a straight line to 0.
    Linear {
        /// Fraction of the steps that warm up, in `[0, 1)`.
        warmup: f64,
    },
    /// Half a cosine from the rate to 0.
    Cosine {
        /// Fraction of the steps that warm up, in `[0, 1)`.
        warmup: f64,
    },
    /// Multiplied by `factor` at equal distances.
    Step {
        /// Multiplier in `(0, 1]`.
        factor: f64,
        /// Number of equally long parts, at least 1.
        parts: usize,
    },
}

impl Schedule {
    /// The rate of step `step` (from 0) of `total` steps.
    pub fn rate(&self, base: f64, step: usize, total: usize) -> f64 {
        let done = step as f64 / total.max(1) as f64;
        match *self {
            Self::Constant => base,
            Self::Linear { warmup } => warmed(base, done, warmup, |s| 1.0 - s),
            Self::Cosine { warmup } => warmed(base, done, warmup, |s| 0.5 * (1.0 + (PI * s).cos())),
            Self::Step { factor, parts } => base * factor.powf((done * parts as f64).floor()),
        }
    }

    /// The schedule as a Burn scheduler.
    pub fn scheduler(self, base: f64, total: usize) -> ScheduledRate {
        ScheduledRate { schedule: self, base, total, step: 0 }
    }
}

fn warmed(base: f64, done: f64, warmup: f64, shape: impl Fn(f64) -> f64) -> f64 {
    if done < warmup { base * done / warmup } else { base * shape((done - warmup) / (1.0 - warmup)) }
}

/// A [`Schedule`] on its way through a training, for Burn's training stack.
#[derive(Clone, Debug)]
pub struct ScheduledRate {
    schedule: Schedule,
    base: f64,
    total: usize,
    step: usize,
}

impl ScheduledRate {
    /// The rate of a step, from 0.
    pub fn at(&self, step: usize) -> f64 {
        self.schedule.rate(self.base, step, self.total)
    }
}

impl LrScheduler for ScheduledRate {
    fn step(&mut self) -> LearningRate {
        let rate = self.at(self.step);
        self.step += 1;
        rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("step", self.step)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(step) = record.scalar("step") {
            self.step = step;
        }
    }
}

const WARMUP: SettingInfo =
    SettingInfo { key: "warmup", default: "0", about: "fraction of the steps that warm up, in [0, 1)" };

/// Schedules by name.
pub const SCHEDULES: Registry<Schedule> = Registry {
    kind: "schedule",
    entries: &[
        Entry {
            name: "constant",
            summary: "the same rate throughout",
            settings: &[],
            build: |_| Ok(Schedule::Constant),
        },
        Entry {
            name: "cosine",
            summary: "half a cosine down to 0",
            settings: &[WARMUP],
            build: |settings| {
                let warmup = settings.number("warmup", 0.0)?;
                if !(0.0..1.0).contains(&warmup) {
                    return Err(settings.wrong("warmup", "a fraction in [0, 1)"));
                }
                Ok(Schedule::Cosine { warmup })
            },
        },
        Entry {
            name: "linear",
            summary: "a straight line down to 0",
            settings: &[WARMUP],
            build: |settings| {
                let warmup = settings.number("warmup", 0.0)?;
                if !(0.0..1.0).contains(&warmup) {
                    return Err(settings.wrong("warmup", "a fraction in [0, 1)"));
                }
                Ok(Schedule::Linear { warmup })
            },
        },
        Entry {
            name: "step",
            summary: "multiplied by a factor at equal distances",
            settings: &[
                SettingInfo { key: "factor", default: "0.1", about: "multiplier in (0, 1]" },
                SettingInfo { key: "parts", default: "3", about: "number of equally long parts" },
            ],
            build: |settings| {
                let factor = settings.number("factor", 0.1)?;
                if !(factor > 0.0 && factor <= 1.0) {
                    return Err(settings.wrong("factor", "a multiplier in (0, 1]"));
                }
                let parts = settings.whole("parts", 3)?;
                if parts == 0 {
                    return Err(settings.wrong("parts", "at least 1"));
                }
                Ok(Schedule::Step { factor, parts })
            },
        },
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_at_the_ends() {
        let cosine = Schedule::Cosine { warmup: 0.1 };
        assert_eq!(cosine.rate(2.0, 0, 100), 0.0);
        assert!((cosine.rate(2.0, 10, 100) - 2.0).abs() < 1e-12);
        assert!((cosine.rate(2.0, 55, 100) - 1.0).abs() < 1e-12);
        assert!((Schedule::Linear { warmup: 0.0 }.rate(1.0, 75, 100) - 0.25).abs() < 1e-12);
        assert!((Schedule::Step { factor: 0.1, parts: 2 }.rate(1.0, 50, 100) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_restored_scheduler_goes_on() {
        let mut scheduler = Schedule::Linear { warmup: 0.0 }.scheduler(1.0, 10);
        for _ in 0..4 {
            scheduler.step();
        }
        let mut restored = Schedule::Linear { warmup: 0.0 }.scheduler(1.0, 10);
        restored.load_record(scheduler.to_record());
        assert_eq!(restored.step(), scheduler.step());
    }
}
