//! All optimizers, each at the rate that suits it best on the validation images.

use kiln_lab::{Finding, LabError, Run};

use super::Settings;
use super::comparison::{Comparison, Method, Results, summary};
use super::training::{Trained, train_all};

/// Names of the findings, before the comparison's tag.
pub(super) const FINDINGS: [&str; 3] = ["tuned-rank", "tuned-half-rate", "tuned-rates"];

/// Chooses a rate for every optimizer by the first seed, and compares the optimizers at these rates on `seeds`.
pub(super) fn run(
    comparison: &Comparison<'_>,
    settings: &Settings,
    seeds: &[u64],
    run: &mut Run,
) -> Result<Vec<Finding>, LabError> {
    let chosen = Chosen::search(comparison, settings, run)?;
    let of = |method: Method| {
        let rate = chosen.rate(method);
        seeds.iter().filter_map(move |&seed| Some(comparison.job(method, rate?, seed)))
    };
    let jobs = Method::ALL.into_iter().flat_map(of).collect();
    let results = train_all(comparison.course, comparison.images, jobs, run)?;

    let how = "with a rate chosen for each";
    run.table(comparison.table(how, &results));
    run.plot(&comparison.id("accuracy-per-epoch-tuned"), &comparison.accuracy_per_epoch(how, &results))?;
    let count = match seeds.len() {
        1 => "one seed, whose validation images also chose the rates".to_string(),
        count => format!("{count} seeds; the first one's validation images chose the rates"),
    };
    Ok(vec![
        comparison.rank("tuned-rank", how, &results).note(count),
        comparison.half_rate("tuned-half-rate", how, &results),
        chosen.finding(comparison),
    ])
}

/// The rate of each optimizer that has the best validation accuracy.
struct Chosen {
    rates: Vec<ChosenRate>,
}

struct ChosenRate {
    method: Method,
    rate: f64,
    /// How many rates were tried.
    trials: usize,
    /// Whether no lower or no higher one was.
    at_edge: bool,
}

impl Chosen {
    fn search(comparison: &Comparison<'_>, settings: &Settings, run: &Run) -> Result<Self, LabError> {
        let Some(&first_seed) = run.seeds().first() else { return Ok(Self { rates: Vec::new() }) };
        let trials = |method: Method| settings.rates(method.kind).iter().map(move |&rate| (method, rate));
        let jobs = Method::seven().flat_map(trials).map(|(method, rate)| comparison.job(method, rate, first_seed));
        let searched = train_all(comparison.course, comparison.images, jobs.collect(), run)?;
        let best = |method: Method| ChosenRate::best(method, settings.rates(method.kind), &searched);
        Ok(Self { rates: Method::seven().filter_map(best).collect() })
    }

    /// A method's rate; Adam at half the rate has half of diffGrad's.
    fn rate(&self, method: Method) -> Option<f64> {
        let model = if method.half_rate { Method::DIFFGRAD } else { method };
        self.rates.iter().find(|chosen| chosen.method == model).map(|chosen| method.rate(chosen.rate))
    }

    fn finding(&self, comparison: &Comparison<'_>) -> Finding {
        let listed = |wanted: &dyn Fn(&ChosenRate) -> bool| {
            let rates = self.rates.iter().filter(|chosen| wanted(chosen));
            rates
                .map(|ChosenRate { method, rate, .. }| format!("{} {rate}", method.title()))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let trials = self.rates.first().map_or(0, |chosen| chosen.trials);
        let images = comparison.images.validation_images();
        let how = format!("the best of {trials} rates for each by {images} validation images and the first seed");
        let edge = listed(&|chosen| chosen.at_edge);
        let note = match edge.as_str() {
            "" => format!("{how}; none lies at the edge of what was tried"),
            edge => format!("{how}; at the edge of what was tried, so that a better rate may lie outside: {edge}"),
        };
        Finding::new(comparison.id("tuned-rates"), comparison.statement("the rate chosen for each optimizer"))
            .measured(listed(&|_| true))
            .note(note)
    }
}

impl ChosenRate {
    /// The first of the best rates; nothing where there are none.
    fn best(method: Method, rates: &[f64], searched: &Results) -> Option<Self> {
        let accuracy = |rate: f64| {
            let runs = searched.at(method, |job| job.learning_rate == rate);
            summary(&runs, Trained::last_validation_accuracy).mean
        };
        let rate = rates.iter().copied().rev().max_by(|a, b| accuracy(*a).total_cmp(&accuracy(*b)))?;
        let at_edge = rates.iter().all(|other| rate <= *other) || rates.iter().all(|other| rate >= *other);
        Some(Self { method, rate, trials: rates.len(), at_edge })
    }
}

#[cfg(test)]
mod tests {
    use super::super::training::Job;
    use super::*;

    fn searched(accuracies: &[(f64, f64)]) -> Results {
        let job = |&(learning_rate, _): &(f64, f64)| Job {
            method: Method::ADAM,
            learning_rate,
            batch_size: 1,
            activation: "relu".into(),
            seed: 1,
        };
        let trained = |&(_, accuracy): &(f64, f64)| Trained {
            train_loss: None,
            validation_accuracy: vec![0.0, accuracy],
            test_accuracy: 1.0 - accuracy,
            friction: Vec::new(),
        };
        Results::new(accuracies.iter().map(job).collect(), accuracies.iter().map(trained).collect())
    }

    #[test]
    fn the_rate_is_chosen_by_validation_accuracy_and_an_edge_is_noticed() {
        let best = |accuracies: &[(f64, f64)]| {
            let rates = accuracies.iter().map(|(rate, _)| *rate).collect::<Vec<_>>();
            let chosen = ChosenRate::best(Method::ADAM, &rates, &searched(accuracies)).unwrap();
            (chosen.rate, chosen.at_edge)
        };
        assert_eq!(best(&[(0.1, 0.5), (0.3, 0.7), (1.0, 0.6)]), (0.3, false));
        assert_eq!(best(&[(0.1, 0.5), (0.3, 0.7), (1.0, 0.8)]), (1.0, true));
        assert_eq!(best(&[(0.3, 0.7), (1.0, 0.6), (0.1, 0.7)]), (0.3, false));
        assert!(ChosenRate::best(Method::ADAM, &[], &searched(&[])).is_none());
    }

    #[test]
    fn adam_at_half_the_rate_has_half_of_diffgrads_own() {
        let of = |method, rate| ChosenRate { method, rate, trials: 3, at_edge: false };
        let chosen = Chosen { rates: vec![of(Method::ADAM, 1e-3), of(Method::DIFFGRAD, 3e-3)] };
        assert_eq!(chosen.rate(Method::HALF_RATE_ADAM), Some(1.5e-3));
        assert_eq!(chosen.rate(Method::ADAM), Some(1e-3));
    }
}
