//! The choice of a learning rate for each loss, on validation images and by the loss itself.

use burn::tensor::Tensor;
use kiln_lab::train::scalar;
use kiln_lab::{Finding, JobContext, LabError, Run, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::contenders::{ByName, loss_of};
use super::settings::{Contender, Settings};
use crate::loss::seeds::{Merit, best_rate};

/// A loss with a learning rate and a seed.
pub(super) struct Plan<'a> {
    pub(super) contender: &'a Contender,
    pub(super) rate: f64,
    pub(super) seed: u64,
    /// Whether some of its images are drawn: those of the first seed.
    pub(super) is_drawn: bool,
}

/// What a training leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Judged<T> {
    /// Mean of the training's own loss over the validation images.
    validation_loss: f64,
    pub(super) test: T,
}

impl<T> Judged<T> {
    /// Judges by the loss itself, whose outputs and targets on the validation images these are; nothing where it is no
    /// number, as after a training that diverged.
    pub(super) fn new(contender: &Contender, validation: [Tensor<4>; 2], test: T) -> Result<Option<Self>, LabError> {
        let [outputs, targets] = validation;
        let [_, _, height, width] = targets.dims();
        let loss = loss_of(&contender.loss, [height, width])?;
        let validation_loss = scalar(&loss.mean_dissimilarity(outputs, targets));
        Ok(validation_loss.is_finite().then_some(Self { validation_loss, test }))
    }
}

/// Results at the learning rates that were chosen.
pub(super) struct Compared<T> {
    /// One for each seed; nothing where the training diverged.
    pub(super) results: ByName<Vec<Option<T>>>,
    /// What was chosen for each contender.
    pub(super) choices: Vec<Choice>,
}

/// The results of every contender at the learning rate that its own loss on the validation images of the tuning seeds
/// chooses.
///
/// `work` trains and judges, and gives nothing where a training diverged.
pub(super) fn at_best_rates<T: Clone + Serialize + DeserializeOwned + Send>(
    part: &str,
    comparison: &str,
    settings: &Settings,
    run: &Run,
    work: impl Fn(&Plan<'_>, &JobContext) -> Result<Option<Judged<T>>, LabError> + Sync,
) -> Result<Compared<T>, LabError> {
    let seeds = run.seeds();
    let tuning = tuning_seeds(settings, run);
    let key = |plan: &Plan<'_>| format!("{comparison}-{}-rate-{}-seed-{}", plan.contender.name, plan.rate, plan.seed);
    let plan = |contender, rate, seed| Plan { contender, rate, seed, is_drawn: seeds.first() == Some(&seed) };
    let merits = |wanted: &[(usize, f64)]| {
        let mut plans = Vec::new();
        for &(place, rate) in wanted {
            plans.extend(tuning.iter().map(|&seed| plan(&settings.losses[place], rate, seed)));
        }
        let judged = run.grid(part, &plans, key, &work)?;
        let score = |judged: &Option<Judged<T>>| judged.as_ref().map(|judged| -judged.validation_loss);
        let of_rate = |judged: &[Option<Judged<T>>]| Merit::of(&judged.iter().map(score).collect::<Vec<_>>());
        Ok(judged.chunks(tuning.len().max(1)).map(of_rate).collect())
    };
    let starts = settings.losses.iter().map(|contender| (contender.name.as_str(), contender.rates.as_slice()));
    let choices = choose(comparison, starts, settings.further_rates, merits)?;
    let mut plans = Vec::new();
    for (contender, choice) in settings.losses.iter().zip(&choices) {
        plans.extend(seeds.iter().map(|&seed| plan(contender, choice.chosen, seed)));
    }
    let judged = run.grid(part, &plans, key, &work)?;
    let tested = judged.into_iter().map(|judged| judged.map(|judged| judged.test)).collect::<Vec<_>>();
    let entries = settings.losses.iter().map(|contender| contender.name.clone());
    let entries = entries.zip(tested.chunks(seeds.len().max(1)).map(<[_]>::to_vec)).collect();
    Ok(Compared { results: ByName { entries }, choices })
}

/// The seeds on which rates and weights are chosen.
pub(super) fn tuning_seeds<'a>(settings: &Settings, run: &'a Run) -> &'a [u64] {
    &run.seeds()[..settings.tuning_seeds.min(run.seeds().len())]
}

/// The learning rate of a loss in a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// What is compared.
    comparison: String,
    /// The loss.
    name: String,
    /// The rates that were tried, increasing.
    tried: Vec<f64>,
    pub(super) chosen: f64,
}

impl Choice {
    /// Whether a better rate may lie beyond those that were tried.
    fn is_at_an_end(&self) -> bool {
        [self.tried.first(), self.tried.last()].contains(&Some(&self.chosen))
    }

    /// The rate beyond the end at which the chosen one lies. One rate alone was not to be chosen from.
    fn beyond(&self) -> Option<f64> {
        match self.tried.as_slice() {
            [] | [_] => None,
            [first, ..] if *first == self.chosen => Some(first / 2.0),
            [.., last] if *last == self.chosen => Some(last * 2.0),
            _ => None,
        }
    }
}

/// Chooses a rate for each loss, from rates that are continued beyond an end at which the best one lies, at most `further`
/// times. `merits` gives the merit of each pair of a loss, by its place, and a rate.
pub(super) fn choose<'a>(
    comparison: &str,
    starts: impl Iterator<Item = (&'a str, &'a [f64])>,
    further: usize,
    merits: impl Fn(&[(usize, f64)]) -> Result<Vec<Merit>, LabError>,
) -> Result<Vec<Choice>, LabError> {
    let mut wanted: Vec<(usize, f64)> = Vec::new();
    let mut names = Vec::new();
    for (place, (name, rates)) in starts.enumerate() {
        names.push(name);
        wanted.extend(rates.iter().map(|&rate| (place, rate)));
    }
    let mut known: Vec<Vec<(f64, Merit)>> = vec![Vec::new(); names.len()];
    let mut left = further;
    loop {
        for (&(place, rate), merit) in wanted.iter().zip(merits(&wanted)?) {
            known[place].push((rate, merit));
            known[place].sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let choices: Vec<Choice> =
            names.iter().zip(&known).map(|(name, known)| best(comparison, name, known)).collect::<Result<_, _>>()?;
        wanted = choices.iter().enumerate().filter_map(|(place, choice)| Some((place, choice.beyond()?))).collect();
        if left == 0 || wanted.is_empty() {
            return Ok(choices);
        }
        left -= 1;
    }
}

fn best(comparison: &str, name: &str, known: &[(f64, Merit)]) -> Result<Choice, LabError> {
    let tried: Vec<f64> = known.iter().map(|(rate, _)| *rate).collect();
    let merit =
        |rate: f64| known.iter().find(|(known, _)| *known == rate).map_or(Merit::of(&[None]), |(_, merit)| *merit);
    let chosen = best_rate(&tried, merit)?;
    Ok(Choice { comparison: comparison.into(), name: name.into(), tried, chosen })
}

/// Id of [`report`].
pub(super) fn finding_id(part: &str) -> String {
    format!("{part}/rates")
}

/// How often the best learning rate lies at an end of those that were tried, where a better one may lie beyond.
pub(super) fn report(part: &str, choices: &[Choice]) -> Finding {
    let at_ends = choices.iter().filter(|choice| choice.is_at_an_end()).count();
    let text = |choice: &Choice| format!("{} {} {}", choice.comparison, choice.name, choice.chosen);
    Finding::new(
        finding_id(part),
        "learning rates, each chosen on validation images by the loss itself, that lie at an end of those tried",
    )
    .measured(kiln_lab::Measured::from(at_ends as f64).text(format!("{at_ends} of {}", choices.len())))
    .note(choices.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// What was tried and what was chosen.
pub(super) fn table(part: &str, choices: &[Choice]) -> Table {
    let mut table =
        Table::new(format!("Learning rates of {part}"), ["comparison", "loss", "tried", "chosen", "at an end"]);
    for choice in choices {
        let tried = choice.tried.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        let at_an_end = if choice.is_at_an_end() { "yes" } else { "no" };
        table.push([&choice.comparison, &choice.name, &tried, &choice.chosen.to_string(), at_an_end]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Chooses for losses whose validation loss is the distance of the logarithm of the rate from that of the best one.
    fn chosen(best: &[f64], start: &[f64], further: usize) -> (Vec<Choice>, usize) {
        let trained = RefCell::new(0);
        let merits = |wanted: &[(usize, f64)]| {
            *trained.borrow_mut() += wanted.len();
            Ok(wanted.iter().map(|&(place, rate)| Merit::of(&[Some(-(rate / best[place]).ln().abs())])).collect())
        };
        let choices = choose("a", best.iter().map(|_| ("mse", start)), further, merits).unwrap();
        (choices, trained.into_inner())
    }

    #[test]
    fn rates_go_on_beyond_an_end_until_the_best_one_lies_inside() {
        let (choices, trained) = chosen(&[2.0, 16.0, 0.25], &[1.0, 2.0, 4.0], 5);
        assert_eq!(choices[0].tried, [1.0, 2.0, 4.0]);
        assert_eq!(choices[1].tried, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]);
        assert_eq!(choices[2].tried, [0.125, 0.25, 0.5, 1.0, 2.0, 4.0]);
        assert_eq!(choices.iter().map(|choice| choice.chosen).collect::<Vec<_>>(), [2.0, 16.0, 0.25]);
        assert_eq!(trained, 3 + 6 + 6);
        let found = report("part", &choices);
        assert_eq!((found.id.as_str(), found.measured.text.as_str()), ("part/rates", "0 of 3"));
        assert_eq!(found.note, "a mse 2, a mse 16, a mse 0.25");
    }

    #[test]
    fn an_end_that_is_still_the_best_is_reported() {
        let (choices, _) = chosen(&[2.0, 100.0], &[1.0, 2.0, 4.0], 1);
        assert_eq!(choices[1].tried, [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(report("part", &choices).measured.text, "1 of 2");
        let table = table("part", &choices);
        assert_eq!(table.rows[1], ["a", "mse", "1 2 4 8", "8", "yes"]);
    }

    #[test]
    fn one_rate_is_taken_as_it_is() {
        let (choices, trained) = chosen(&[100.0], &[1.0], 3);
        assert_eq!((choices[0].chosen, trained), (1.0, 1));
        assert_eq!(report("part", &choices).measured.text, "1 of 1");
    }

    #[test]
    fn rates_at_which_trainings_diverge_lead_to_smaller_ones() {
        let score = |rate: f64| (rate < 1.0).then_some(-(rate - 0.5).abs());
        let merits = |wanted: &[(usize, f64)]| Ok(wanted.iter().map(|&(_, rate)| Merit::of(&[score(rate)])).collect());
        let choices = choose("a", [("mse", [1.0, 2.0].as_slice())].into_iter(), 3, merits).unwrap();
        assert_eq!((choices[0].chosen, choices[0].tried.as_slice()), (0.5, [0.25, 0.5, 1.0, 2.0].as_slice()));
    }
}
