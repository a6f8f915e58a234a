//! A fair comparison of methods: tuned with equal numbers of trainings on the validation text, then trained on every
//! seed and scored on the test text.

use kiln_lab::statistics::{Summary, figure};
use kiln_lab::{Finding, JobContext, LabError, Plot, Run, Series, Table};

use super::Budget;
use super::method::Method;
use super::training::{Purpose, Scores, Trial};

/// The score for which a method is tuned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    TopTen,
    TopHundred,
    ReciprocalRank,
}

impl Target {
    /// Smaller is better.
    pub(super) fn cost(self, scores: &Scores) -> f64 {
        match self {
            Self::TopTen => scores.error_at(10),
            Self::TopHundred => scores.error_at(100),
            Self::ReciprocalRank => 1.0 - scores.mean_reciprocal_rank,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TopTen => "top-10",
            Self::TopHundred => "top-100",
            Self::ReciprocalRank => "MRR",
        }
    }
}

/// All trials of one method, and the scores that it is tuned for.
pub(super) struct Contender {
    pub name: &'static str,
    pub trials: Vec<Trial>,
    pub targets: Vec<Target>,
}

impl Contender {
    /// Every method with every encoder rate and every output rate.
    pub(super) fn new(methods: &[Method], encoder_rates: &[Option<f64>], output_rates: &[f64]) -> Self {
        let mut trials = Vec::new();
        for &method in methods {
            for &encoder_rate in encoder_rates {
                trials.extend(output_rates.iter().map(|&output_rate| Trial { method, output_rate, encoder_rate }));
            }
        }
        Self { name: methods[0].name(), trials, targets: vec![Target::TopTen, Target::ReciprocalRank] }
    }

    /// As the above, tuned for one more score.
    pub(super) fn tuned_for(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }
}

/// Test scores of a method tuned for each target, one for each seed; `None` where training diverged.
pub(super) struct Outcome {
    pub name: &'static str,
    pub chosen: Vec<(Target, Trial, Vec<Option<Scores>>)>,
}

impl Outcome {
    /// A value of each seed's scores for a target, if every seed has some.
    pub(super) fn values(&self, target: Target, value: impl Fn(&Scores) -> f64) -> Option<Vec<f64>> {
        let scores = self.all(target)?;
        scores.iter().map(|scores| scores.as_ref().map(&value)).collect()
    }

    /// How many seeds diverged, of how many, in words.
    pub(super) fn divergence(&self, target: Target) -> String {
        match self.all(target) {
            None => format!("{} was not tuned for {}", self.name, target.name()),
            Some(scores) => {
                let diverged = scores.iter().filter(|scores| scores.is_none()).count();
                format!("{} diverged on {diverged} of {} seeds", self.name, scores.len())
            }
        }
    }

    fn all(&self, target: Target) -> Option<&[Option<Scores>]> {
        self.chosen.iter().find(|(found, ..)| *found == target).map(|(.., scores)| scores.as_slice())
    }
}

/// Trains a trial with a seed; `None` when it diverged.
pub(super) type Training<'a> =
    &'a (dyn Fn(&Trial, u64, Purpose, &JobContext) -> Result<Option<Scores>, LabError> + Sync);

/// A comparison of contenders.
pub(super) struct Contest<'a> {
    /// The part of the recipe.
    pub part: &'static str,
    pub contenders: Vec<Contender>,
    pub training: Training<'a>,
    pub budget: &'a Budget,
}

impl Contest<'_> {
    /// The outcomes, and a finding that tells which settings were chosen.
    pub(super) fn run(&self, run: &mut Run) -> Result<(Vec<Outcome>, Finding), LabError> {
        let chosen = self.tune(run)?;
        let settings = self.settings(&chosen);
        let outcomes = self.test(chosen, run)?;
        self.report(&outcomes, run)?;
        Ok((outcomes, settings))
    }

    fn is_tuned(&self) -> bool {
        self.contenders.iter().any(|contender| contender.trials.len() > 1)
    }

    /// The best trial of each method for each target, on the validation text and the first seed.
    fn tune(&self, run: &mut Run) -> Result<Vec<Vec<(Target, Trial)>>, LabError> {
        let first = |contender: &Contender, target: Target| (target, contender.trials[0].clone());
        if !self.is_tuned() {
            let all = self.contenders.iter();
            let one =
                |contender: &Contender| contender.targets.iter().map(|&target| first(contender, target)).collect();
            return Ok(all.map(one).collect());
        }
        let trials: Vec<&Trial> = self.contenders.iter().flat_map(|contender| &contender.trials).collect();
        let seed = run.seeds().first().copied().unwrap_or(1);
        let part = format!("{}-tuning", self.part);
        let key = |trial: &&Trial| trial.key();
        let scores =
            run.grid(&part, &trials, key, |trial, context| (self.training)(trial, seed, Purpose::Tuning, context))?;
        let title = format!("{}: tuning on the validation text", self.part);
        let headings = ["method", "output lr", "encoder lr", "top-10 error", "top-100 error", "MRR"];
        let mut table = Table::new(title, headings);
        for (trial, scores) in trials.iter().zip(&scores) {
            let encoder_rate = trial.encoder_rate.map(figure).unwrap_or_default();
            let settings = [trial.method.label(), figure(trial.output_rate), encoder_rate];
            let cells = match scores {
                Some(scores) => {
                    [percent(scores.error_at(10)), percent(scores.error_at(100)), figure(scores.mean_reciprocal_rank)]
                }
                None => ["diverged", "", ""].map(String::from),
            };
            table.push(settings.into_iter().chain(cells));
        }
        run.table(table);

        let mut rest = scores.as_slice();
        let mut chosen = Vec::new();
        for contender in &self.contenders {
            let (own, others) = rest.split_at(contender.trials.len());
            rest = others;
            let best = |&target: &Target| {
                let trials = contender.trials.iter().zip(own);
                let alive = trials.filter_map(|(trial, scores)| Some((trial, scores.as_ref()?)));
                let best = alive.min_by(|left, right| target.cost(left.1).total_cmp(&target.cost(right.1)));
                best.map_or_else(|| first(contender, target), |(trial, _)| (target, trial.clone()))
            };
            chosen.push(contender.targets.iter().map(best).collect());
        }
        Ok(chosen)
    }

    /// Which settings were chosen, and which of them lie at the edge of what was tried.
    fn settings(&self, chosen: &[Vec<(Target, Trial)>]) -> Finding {
        let mut texts = Vec::new();
        let mut edges: Vec<String> = Vec::new();
        for (contender, chosen) in self.contenders.iter().zip(chosen) {
            let mut distinct: Vec<(&Trial, Vec<&str>)> = Vec::new();
            for (target, trial) in chosen {
                match distinct.iter_mut().find(|(known, _)| known.key() == trial.key()) {
                    Some((_, names)) => names.push(target.name()),
                    None => distinct.push((trial, vec![target.name()])),
                }
            }
            for (trial, names) in distinct {
                texts.push(format!("{} ({})", trial.key(), names.join(", ")));
                for rate in at_edge(trial, &contender.trials) {
                    if !edges.contains(&rate) {
                        edges.push(rate);
                    }
                }
            }
        }
        let note = if !self.is_tuned() {
            "one setting for each method; nothing was tuned at this scale".to_string()
        } else if edges.is_empty() {
            "no chosen rate lies at the edge of those tried".to_string()
        } else {
            format!("at the edge of the rates tried: {}", edges.join(", "))
        };
        let trials = self.contenders.iter().map(|contender| contender.trials.len()).max().unwrap_or(0);
        let statement = format!("settings chosen on the validation text among {trials} trials for each method");
        Finding::new(format!("{}/settings", self.part), statement).measured(texts.join("; ")).note(note)
    }

    /// Trains the chosen trials on every seed; a trial that won for several targets is trained once.
    fn test(&self, chosen: Vec<Vec<(Target, Trial)>>, run: &Run) -> Result<Vec<Outcome>, LabError> {
        let mut jobs: Vec<(&Trial, u64)> = Vec::new();
        for (_, trial) in chosen.iter().flatten() {
            if !jobs.iter().any(|(known, _)| known.key() == trial.key()) {
                jobs.extend(run.seeds().iter().map(|&seed| (trial, seed)));
            }
        }
        let key = |(trial, seed): &(&Trial, u64)| format!("{} seed={seed}", trial.key());
        let scores = run.grid(&format!("{}-test", self.part), &jobs, key, |(trial, seed), context| {
            (self.training)(trial, *seed, Purpose::Testing, context)
        })?;
        let of_trial = |trial: &Trial| {
            let own = jobs.iter().zip(&scores).filter(|((known, _), _)| known.key() == trial.key());
            own.map(|(_, scores)| scores.clone()).collect::<Vec<_>>()
        };
        let outcome = |(contender, chosen): (&Contender, &Vec<(Target, Trial)>)| Outcome {
            name: contender.name,
            chosen: chosen.iter().map(|(target, trial)| (*target, trial.clone(), of_trial(trial))).collect(),
        };
        Ok(self.contenders.iter().zip(&chosen).map(outcome).collect())
    }

    fn report(&self, outcomes: &[Outcome], run: &mut Run) -> Result<(), LabError> {
        let ks = &self.budget.ks;
        let headings = ["method", "tuned for", "settings"].map(String::from).into_iter();
        let headings = headings.chain(ks.iter().map(|k| format!("top-{k} error")));
        let headings = headings.chain(["MRR", "training s"].map(String::from));
        let mut table = Table::new(format!("{}: test text", self.part), headings);
        let mut plot = Plot::line("Errors on the test text, tuned for top-10", "k", "top-k error").log_x();
        for outcome in outcomes {
            for (target, trial, _) in &outcome.chosen {
                let mut row = vec![outcome.name.to_string(), target.name().to_string(), trial.key()];
                let cell = |values: Option<Vec<f64>>| match values {
                    Some(values) => Summary::of(&values).to_string(),
                    None => "diverged".to_string(),
                };
                row.extend(ks.iter().map(|&k| cell(outcome.values(*target, |scores| scores.error_at(k)))));
                row.push(cell(outcome.values(*target, |scores| scores.mean_reciprocal_rank)));
                row.push(cell(outcome.values(*target, |scores| scores.seconds)));
                table.push(row);
            }
            let mut series = Series::new(outcome.name);
            for &k in ks {
                if let Some(values) = outcome.values(Target::TopTen, |scores| scores.error_at(k)) {
                    series = series.seeds(k as f64, &values);
                }
            }
            if !series.points.is_empty() {
                plot = plot.series(series);
            }
        }
        run.table(table);
        let name =
            if self.part == "quality" { "top-k-error".to_string() } else { format!("top-k-error-{}", self.part) };
        run.plot(&name, &plot)
    }
}

/// Which rates are the smallest or the largest of those tried with the same method.
fn at_edge(chosen: &Trial, trials: &[Trial]) -> Vec<String> {
    let alike = || trials.iter().filter(|trial| trial.method == chosen.method);
    let outputs: Vec<f64> = alike().map(|trial| trial.output_rate).collect();
    let encoders: Vec<f64> = alike().filter_map(|trial| trial.encoder_rate).collect();
    let is_end = |rate: f64, rates: &[f64]| {
        let below = rates.iter().any(|&other| other < rate);
        let above = rates.iter().any(|&other| other > rate);
        below != above
    };
    let output = is_end(chosen.output_rate, &outputs).then(|| format!("lr={}", chosen.output_rate));
    let encoder = chosen.encoder_rate.filter(|&rate| is_end(rate, &encoders)).map(|rate| format!("encoder={rate}"));
    let label = chosen.method.label();
    output.into_iter().chain(encoder).map(|rate| format!("{label} {rate}")).collect()
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_at_either_end_of_those_tried_is_named() {
        let methods = [Method::SphericalSoftmax { eps: 0.1 }, Method::SphericalSoftmax { eps: 1.0 }];
        let trials = Contender::new(&methods, &[Some(0.002), Some(0.004), Some(0.008)], &[1.0, 2.0, 3.0]).trials;
        let edges = |output_rate: f64, encoder_rate: Option<f64>| {
            at_edge(&Trial { method: methods[0], output_rate, encoder_rate }, &trials)
        };
        assert!(edges(2.0, Some(0.004)).is_empty());
        assert_eq!(edges(3.0, Some(0.004)), ["spherical softmax eps=0.1 lr=3"]);
        assert_eq!(
            edges(1.0, Some(0.008)),
            ["spherical softmax eps=0.1 lr=1", "spherical softmax eps=0.1 encoder=0.008"]
        );
        let single = Contender::new(&[Method::SquaredError], &[None], &[1.0]).trials;
        assert!(at_edge(&single[0], &single).is_empty());
    }
}
