//! The settings and the learning rate that a loss is judged by.

use kiln_lab::LabError;
use kiln_lab::train::Selector;

use super::contenders::Contender;
use super::ranking::{Job, Trainings};

/// The loss and the rate that a contender is judged by, on one set under one noise.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice<'a> {
    pub(super) set: usize,
    pub(super) noise: &'a str,
    pub(super) contender: usize,
    pub(super) loss: &'a Selector,
    pub(super) rate: f64,
}

impl Choice<'_> {
    fn is_of_the_cell_of(&self, other: &Self) -> bool {
        (self.set, self.noise, self.contender) == (other.set, other.noise, other.contender)
    }
}

/// Something to choose, and how good it is.
struct Candidate<'a> {
    choice: Choice<'a>,
    /// Distance to the middle of the grid of settings and rates, in steps.
    off_centre: f64,
    /// Sum of the accuracies on the noisy validation splits.
    merit: f64,
}

/// For each set, noise and contender the settings and the rate with the best mean accuracy on noisy validation splits, over the
/// tuning seeds. Of several that are equally good the one nearest the middle of the grid is taken.
pub(super) fn choose<'a>(
    trainings: &Trainings<'_, '_>,
    contenders: &'a [Contender],
    noises: &'a [String],
) -> Result<Vec<Choice<'a>>, LabError> {
    let seeds = trainings.seeds();
    let seeds = &seeds[..trainings.own.tuning_seeds.min(seeds.len())];
    let mut candidates = candidates(trainings, contenders, noises);
    let job = |choice: &Choice<'a>, seed: u64| {
        let Choice { set, noise, loss, rate, .. } = *choice;
        Job { set, noise, loss, rate, seed }
    };
    let jobs: Vec<Job<'a>> =
        candidates.iter().flat_map(|one| seeds.iter().map(move |&seed| job(&one.choice, seed))).collect();
    let ended = trainings.perform(&jobs)?;
    for (candidate, ended) in candidates.iter_mut().zip(ended.chunks(seeds.len())) {
        // A training that diverged counts as one that learnt nothing.
        candidate.merit = ended.iter().map(|ended| ended.validation.unwrap_or(0.0)).sum();
    }
    let cells = candidates.chunk_by(|a, b| a.choice.is_of_the_cell_of(&b.choice));
    Ok(cells.filter_map(best).map(|best| best.choice.clone()).collect())
}

fn candidates<'a>(
    trainings: &Trainings<'_, '_>,
    contenders: &'a [Contender],
    noises: &'a [String],
) -> Vec<Candidate<'a>> {
    let mut all = Vec::new();
    for set in 0..trainings.sets.len() {
        for noise in noises {
            for (contender, own) in contenders.iter().enumerate() {
                let rates = own.rates(&trainings.own.rates);
                for (row, loss) in own.losses.iter().enumerate() {
                    for (column, &rate) in rates.iter().enumerate() {
                        let choice = Choice { set, noise, contender, loss, rate };
                        let off_centre = off_centre(row, own.losses.len()) + off_centre(column, rates.len());
                        all.push(Candidate { choice, off_centre, merit: 0.0 });
                    }
                }
            }
        }
    }
    all
}

fn off_centre(place: usize, places: usize) -> f64 {
    (place as f64 - 0.5 * (places as f64 - 1.0)).abs()
}

fn best<'a, 'b>(candidates: &'b [Candidate<'a>]) -> Option<&'b Candidate<'a>> {
    /// Sums of the same accuracies in another order differ by rounding.
    const EQUAL: f64 = 1e-9;
    candidates.iter().reduce(|best, one| {
        let better = one.merit > best.merit + EQUAL;
        let as_good = one.merit > best.merit - EQUAL;
        if better || as_good && one.off_centre < best.off_centre { one } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(merits: [f64; 5]) -> f64 {
        let loss: Selector = "mae".parse().unwrap();
        let candidate = |(place, merit): (usize, f64)| {
            let choice = Choice { set: 0, noise: "clean", contender: 0, loss: &loss, rate: place as f64 };
            Candidate { choice, off_centre: off_centre(place, 5), merit }
        };
        let candidates: Vec<Candidate<'_>> = merits.into_iter().enumerate().map(candidate).collect();
        best(&candidates).unwrap().choice.rate
    }

    #[test]
    fn the_best_is_chosen_and_of_equals_the_one_in_the_middle() {
        assert_eq!(chosen([0.1, 0.2, 0.2, 0.3, 0.1]), 3.0);
        assert_eq!(chosen([0.5; 5]), 2.0);
        assert_eq!(chosen([0.5, 0.1, 0.1, 0.5 + 1e-12, 0.5]), 3.0);
    }
}
