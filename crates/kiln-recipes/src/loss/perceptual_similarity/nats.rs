//! Weights at which the codes of all losses carry the same number of nats, without which their images cannot be compared.

use kiln_lab::statistics::Summary;
use kiln_lab::{Finding, LabError, Outcome, Plot, Series};

use super::VAE;
use super::contenders::ByName;
use super::settings::{VaeContender, VaeSettings};

/// Largest distance from the wanted nats, as a share of these.
const TOLERANCE: f64 = 0.1;
/// How often a search goes on beyond the weights of the settings, where all of them carry more nats than wanted, or fewer.
const STEPS_BEYOND: usize = 4;

/// The search for the weight of a loss on a seed: at the same weight, codes of other seeds carry other numbers of nats.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matching {
    /// Weights that were tried, increasing, and the nats on validation images; nothing where a training diverged.
    tried: Vec<(f64, Option<f64>)>,
    /// The weight at which the code is expected to carry the wanted nats, in the end that of the nearest training.
    pub(super) weight: f64,
    /// Trainings that are left to it between the weights that were tried, and beyond them.
    between: usize,
    beyond: usize,
}

/// A loss by its place and a seed by its place.
pub(super) type Pair = (usize, usize);

/// Tries the weights of the settings, then the one at which a code is expected to carry the wanted nats by all that were
/// tried, `refinements` times between these and a few times beyond them, for each loss on each of so many seeds; and takes
/// the one of all whose nats came nearest: the last guess may be farther off than one before. `nats` gives the nats of each pair at a weight. The searches
/// of a loss stand together, in the order of the seeds.
pub(super) fn match_weights(
    settings: &VaeSettings,
    seeds: usize,
    nats: impl Fn(&[(Pair, f64)]) -> Result<Vec<Option<f64>>, LabError>,
) -> Result<Vec<Vec<Matching>>, LabError> {
    let pairs = || (0..settings.losses.len()).flat_map(|place| (0..seeds).map(move |seed| (place, seed)));
    let weights = |place: usize| settings.losses[place].weights.iter();
    let mut wanted: Vec<(Pair, f64)> =
        pairs().flat_map(|pair| weights(pair.0).map(move |&weight| (pair, weight))).collect();
    let start = |contender: &VaeContender| Matching {
        tried: Vec::new(),
        weight: contender.weights[0],
        between: settings.refinements,
        beyond: STEPS_BEYOND,
    };
    let mut matchings: Vec<Vec<Matching>> = settings.losses.iter().map(|loss| vec![start(loss); seeds]).collect();
    while !wanted.is_empty() {
        for (&((place, seed), weight), nats) in wanted.iter().zip(nats(&wanted)?) {
            matchings[place][seed].add(weight, nats, settings.nats);
        }
        wanted = pairs().filter_map(|(place, seed)| Some(((place, seed), matchings[place][seed].next()?))).collect();
    }
    matchings.iter_mut().flatten().for_each(|matching| matching.take_nearest(settings.nats));
    Ok(matchings)
}

impl Matching {
    fn add(&mut self, weight: f64, nats: Option<f64>, wanted: f64) {
        self.tried.push((weight, nats));
        self.tried.sort_by(|a, b| a.0.total_cmp(&b.0));
        let points = self.points();
        self.weight = weight_for(wanted, &points).unwrap_or(self.tried[0].0);
    }

    fn take_nearest(&mut self, wanted: f64) {
        self.weight = nearest(wanted, &self.points()).unwrap_or(self.weight);
    }

    /// The weight to be tried next, if one is left.
    fn next(&mut self) -> Option<f64> {
        if self.tried.iter().any(|(tried, _)| *tried == self.weight) {
            return None;
        }
        let is_beyond = self.weight < self.tried[0].0 || self.weight > self.tried[self.tried.len() - 1].0;
        let left = if is_beyond { &mut self.beyond } else { &mut self.between };
        *left = left.checked_sub(1)?;
        Some(self.weight)
    }

    fn points(&self) -> Vec<(f64, f64)> {
        self.tried.iter().filter_map(|&(weight, nats)| Some((weight, nats?))).collect()
    }
}

/// Where the nats, between two weights linear in the logarithm of the weight, are those wanted; beyond an end where all lie
/// on one side of these, and nothing without any.
fn weight_for(wanted: f64, points: &[(f64, f64)]) -> Option<f64> {
    let between = points.windows(2).find(|pair| (pair[0].1 - wanted) * (pair[1].1 - wanted) <= 0.0);
    if let Some(&[low, high]) = between {
        return Some(on_the_line(low, high, share_of_the_way(wanted, low, high)));
    }
    match *points {
        [.., inner, end] if end.1 < wanted => Some(beyond(wanted, inner, end)),
        [end, inner, ..] => Some(beyond(wanted, inner, end)),
        _ => nearest(wanted, points),
    }
}

/// The weight on the line through two at the end, but at most as far beyond it as they are apart; so far too where the line
/// leads away from the wanted nats, which follow the weight only roughly.
fn beyond(wanted: f64, inner: (f64, f64), end: (f64, f64)) -> f64 {
    let share = share_of_the_way(wanted, inner, end);
    on_the_line(inner, end, if share > 1.0 { share.min(2.0) } else { 2.0 })
}

fn share_of_the_way(wanted: f64, from: (f64, f64), to: (f64, f64)) -> f64 {
    if to.1 == from.1 { 0.0 } else { (wanted - from.1) / (to.1 - from.1) }
}

fn on_the_line(from: (f64, f64), to: (f64, f64), share: f64) -> f64 {
    rounded((from.0.ln() + share * (to.0 / from.0).ln()).exp())
}

/// The weight whose nats are nearest to those wanted.
fn nearest(wanted: f64, points: &[(f64, f64)]) -> Option<f64> {
    let distance = |point: &&(f64, f64)| (point.1 - wanted).abs();
    points.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).map(|(weight, _)| *weight)
}

/// To four digits: weights are names of trainings.
fn rounded(weight: f64) -> f64 {
    format!("{weight:.3e}").parse().unwrap_or(weight)
}

/// Id of [`matched`].
pub(super) fn finding_id() -> String {
    format!("{VAE}/matched")
}

/// Whether the codes of all losses carry the wanted nats on the test images, on every seed.
pub(super) fn matched(
    description: &str,
    settings: &VaeSettings,
    nats: &ByName<Vec<Option<f64>>>,
    matchings: &[Vec<Matching>],
) -> Finding {
    let text = nats.entries.iter().zip(matchings).map(|((name, nats), matchings)| {
        let summary = Summary::of(&nats.iter().flatten().copied().collect::<Vec<_>>());
        let weights = Summary::of(&matchings.iter().map(|matching| matching.weight).collect::<Vec<_>>());
        format!("{name} {summary} (C = {weights})")
    });
    let distance = |nats: &Option<f64>| nats.map_or(f64::INFINITY, |nats| (nats / settings.nats - 1.0).abs());
    let farthest = nats.entries.iter().flat_map(|(_, nats)| nats).map(distance).fold(0.0, f64::max);
    let apart =
        if farthest.is_finite() { format!("at most {:.1} % off", 100.0 * farthest) } else { "not all ended".into() };
    Finding::new(
        finding_id(),
        format!("{description}: the codes of all losses carry as many nats, so that their images can be compared"),
    )
    .measured(format!("{}; {apart}", text.collect::<Vec<_>>().join(", ")))
    .bound(format!("every loss on every seed within {:.0} % of {} nats", 100.0 * TOLERANCE, settings.nats))
    .held_if(farthest <= TOLERANCE)
}

/// The findings as they are where the losses were `matched`; else none of them can be decided.
pub(super) fn comparable_if(matched: &Finding, findings: Vec<Finding>) -> Vec<Finding> {
    const REASON: &str = "the codes of the losses do not carry the same number of nats";
    let undecided = |finding: Finding| {
        let note = if finding.note.is_empty() { REASON.into() } else { format!("{REASON}; {}", finding.note) };
        finding.outcome(Outcome::NotComparable).note(note)
    };
    match matched.outcome {
        Outcome::Held => findings,
        _ => findings.into_iter().map(undecided).collect(),
    }
}

/// The nats of all weights that were tried, on the first seed.
pub(super) fn plot(settings: &VaeSettings, matchings: &[Vec<Matching>]) -> Plot {
    let plot = Plot::line("Nats of the code over the weight C, first seed", "C", "nats an image").log_x();
    let points = |matchings: &[Matching]| matchings.first().map(Matching::points).unwrap_or_default();
    let plot =
        settings.losses.iter().zip(matchings).fold(plot, |plot, (contender, matchings)| {
            plot.series(Series::new(&contender.name).points(points(matchings)))
        });
    plot.reference(settings.nats, "compared here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::perceptual_similarity::Settings;
    use kiln_lab::Scale;

    #[test]
    fn the_weight_lies_between_those_that_were_tried() {
        let points = [(10.0, 5.0), (100.0, 15.0), (1000.0, 35.0)];
        assert_eq!(weight_for(25.0, &points), Some(316.2));
        assert_eq!(weight_for(5.0, &points), Some(10.0));
    }

    #[test]
    fn outside_of_what_was_tried_the_search_goes_on() {
        let points = [(10.0, 5.0), (1000.0, 35.0)];
        assert_eq!(weight_for(50.0, &points), Some(10_000.0));
        assert_eq!(weight_for(-10.0, &points), Some(1.0));
        assert_eq!(weight_for(500.0, &points), Some(100_000.0), "not farther than the two are apart");
        assert_eq!(weight_for(1.0, &[(10.0, 5.0)]), Some(10.0));
        assert_eq!(weight_for(1.0, &[]), None);
    }

    #[test]
    fn nats_that_do_not_grow_with_the_weight_are_sought_a_whole_step_beyond() {
        assert_eq!(weight_for(50.0, &[(10.0, 5.0), (100.0, 5.0)]), Some(1000.0));
        assert_eq!(weight_for(50.0, &[(10.0, 6.0), (100.0, 5.0)]), Some(1000.0));
    }

    /// Codes whose nats are a curve over the logarithm of the weight.
    fn searched(refinements: usize, curve: impl Fn(f64) -> Option<f64>) -> (Vec<Matching>, usize) {
        let full = Settings::of(Scale::Full).vae;
        let losses = full.losses[..1].to_vec();
        let settings = VaeSettings { losses, refinements, nats: 15.0, ..full };
        let trained = std::cell::Cell::new(0);
        let nats = |wanted: &[(Pair, f64)]| {
            trained.set(trained.get() + wanted.len());
            Ok(wanted.iter().map(|&(_, weight)| curve(weight)).collect())
        };
        (match_weights(&settings, 1, nats).unwrap().remove(0), trained.get())
    }

    #[test]
    fn refinement_comes_nearer_to_the_wanted_nats() {
        // The grid is 500, 2000, 8000; 15 nats are at 1000.
        let curve = |weight: f64| Some(15.0 * (weight / 1000.0).sqrt());
        let off = |refinements| {
            let (matchings, trained) = searched(refinements, curve);
            assert_eq!(trained, 3 + refinements);
            (curve(matchings[0].weight).unwrap() / 15.0 - 1.0).abs()
        };
        assert!(off(0) > 0.02 && off(1) < 0.5 * off(0) && off(2) < 0.5 * off(1), "{} {} {}", off(0), off(1), off(2));
    }

    #[test]
    fn the_wanted_nats_are_found_beyond_the_weights_of_the_settings() {
        // The grid is 500, 2000, 8000; 15 nats are at 100, 20,000 and 200,000.
        for wanted in [100.0, 20_000.0, 200_000.0] {
            let (matchings, trained) = searched(2, |weight| Some(15.0 * (weight / wanted).sqrt()));
            let off = matchings[0].weight / wanted - 1.0;
            assert!(off.abs() < 0.05 && trained <= 3 + 2 + STEPS_BEYOND, "{wanted}: {off} {trained}");
        }
        let (matchings, trained) = searched(2, |weight| Some(1e-9 * weight));
        assert_eq!((trained, matchings[0].weight), (3 + STEPS_BEYOND, 2.048e6));
    }

    #[test]
    fn a_weight_that_diverges_is_not_tried_twice() {
        let (matchings, trained) = searched(3, |_| None);
        assert_eq!((trained, matchings[0].weight), (3, 500.0));
        let (matchings, trained) = searched(3, |weight| (weight <= 8000.0).then_some(weight / 1000.0));
        assert_eq!((trained, matchings[0].weight), (4, 8000.0));
    }

    #[test]
    fn each_seed_has_a_weight_of_its_own() {
        let full = Settings::of(Scale::Full).vae;
        let settings = VaeSettings { losses: full.losses[..1].to_vec(), refinements: 3, nats: 15.0, ..full };
        // 15 nats are at 1000 on the first seed and at 1500 on the second.
        let curve = |seed: usize, weight: f64| 15.0 * (weight / [1000.0, 1500.0][seed]).sqrt();
        let nats =
            |wanted: &[(Pair, f64)]| Ok(wanted.iter().map(|&((_, seed), weight)| Some(curve(seed, weight))).collect());
        let matchings = match_weights(&settings, 2, nats).unwrap().remove(0);
        let off = |seed: usize| (curve(seed, matchings[seed].weight) / 15.0 - 1.0).abs();
        assert!(off(0) < 0.01 && off(1) < 0.01, "{matchings:?}");
    }

    #[test]
    fn a_last_guess_that_is_farther_off_is_not_taken() {
        // The grid is 500, 2000, 8000; whatever lies between is far from the wanted 15 nats.
        let curve = |weight: f64| Some(if weight <= 500.0 { 14.0 } else { 30.0 });
        let (matchings, trained) = searched(2, curve);
        assert_eq!((trained, matchings[0].weight), (5, 500.0));
    }

    fn judged(nats: [[Option<f64>; 2]; 2]) -> Finding {
        let full = Settings::of(Scale::Full).vae;
        let [mse, own] = nats.map(|nats| nats.to_vec());
        let matching = Matching { tried: vec![(100.0, Some(15.0))], weight: 100.0, between: 0, beyond: 0 };
        let entries = vec![("mse".to_string(), mse), ("ms-ssim".to_string(), own)];
        let matchings = vec![vec![matching; 2]; 2];
        matched("a net", &VaeSettings { nats: 20.0, ..full }, &ByName { entries }, &matchings)
    }

    #[test]
    fn nats_are_matched_within_a_tenth_on_every_seed() {
        let near = judged([[Some(20.0), Some(21.9)], [Some(18.1), Some(20.0)]]);
        assert_eq!(near.outcome, Outcome::Held, "{}", near.measured);
        assert!(near.measured.text.ends_with("at most 9.5 % off"), "{}", near.measured);
        // Means of 20 and a ratio of 1, but far off on each seed.
        assert_eq!(judged([[Some(23.0), Some(17.0)], [Some(20.0), Some(20.0)]]).outcome, Outcome::NotHeld);
        // All alike, but not what was wanted.
        assert_eq!(judged([[Some(10.0); 2]; 2]).outcome, Outcome::NotHeld);
        let diverged = judged([[Some(20.0), None], [Some(20.0), Some(20.0)]]);
        assert_eq!(diverged.outcome, Outcome::NotHeld);
        assert!(diverged.measured.text.ends_with("not all ended"), "{}", diverged.measured);
    }

    #[test]
    fn images_at_other_nats_are_not_comparable() {
        let claims = || vec![Finding::new("a", "a").held_if(true), Finding::new("b", "b").note("seen")];
        let matched = judged([[Some(20.0); 2]; 2]);
        assert_eq!(comparable_if(&matched, claims()), claims());
        let apart = comparable_if(&judged([[Some(20.0); 2], [Some(30.0); 2]]), claims());
        assert!(apart.iter().all(|finding| finding.outcome == Outcome::NotComparable));
        assert_eq!(apart[1].note, "the codes of the losses do not carry the same number of nats; seen");
    }
}
