//! Whether images of MS-SSIM are better than those of the pixel losses.

use kiln_lab::statistics::Summary;
use kiln_lab::{Finding, Table};

use super::contenders::{ByName, MAE, MS_SSIM, MSE};
use super::quality::{Measure, Quality};
use crate::loss::seeds::divergence;

/// Qualities of every contender, one a seed; nothing where the training diverged.
pub(super) type Results = ByName<Vec<Option<Quality>>>;

/// Share of the seeds on which a claim has to hold: four of five.
const SHARE: f64 = 0.8;

/// Whether MS-SSIM is better than all `rivals` by `measure`, on four of five seeds.
pub(super) fn better(
    comparison: &str,
    description: &str,
    measure: Measure,
    rivals: &[&str],
    results: &Results,
) -> Finding {
    let seeds = results.of(MS_SSIM).len();
    let is_better = |seed: usize| {
        let figure = |name: &str| results.of(name)[seed].as_ref().map(measure.of);
        // A training that diverged has no images, which are worse than any.
        figure(MS_SSIM).is_some_and(|own| {
            rivals.iter().all(|rival| figure(rival).is_none_or(|other| measure.is_better(own, other)))
        })
    };
    let wins = (0..seeds).filter(|&seed| is_better(seed)).count();
    let needed = (SHARE * seeds as f64).ceil() as usize;
    let names = rivals.join(" and ");
    Finding::new(
        format!("{comparison}/{}", measure.id),
        format!("{description}: trained with MS-SSIM, images have a better {} than with {names}", measure.name),
    )
    .paper("preferred by observers")
    .measured(format!("better on {wins} of {seeds} seeds; {}", figures(measure, results)))
    .bound(format!("better on at least {needed} of {seeds} seeds"))
    .held_if(wins >= needed)
    .note(joined([diverged(results), exceptions(measure, results)]))
}

/// What MS-SSIM costs in decibels against the squared error, which is reported and not judged.
pub(super) fn price(comparison: &str, description: &str, results: &Results) -> Finding {
    let pairs = results.of(MS_SSIM).iter().zip(results.of(MSE));
    let differences: Vec<f64> =
        pairs.filter_map(|(own, other)| Some(other.as_ref()?.psnr - own.as_ref()?.psnr)).collect();
    Finding::new(
        format!("{comparison}/price"),
        format!("{description}: decibels of PSNR that MS-SSIM loses against mse"),
    )
    .measured(Summary::of(&differences))
    .note(joined([figures(Measure::PSNR, results), diverged(results), exceptions(Measure::PSNR, results)]))
}

/// The four findings of a comparison of autoencoders, in order.
pub(super) fn of_autoencoder(comparison: &str, description: &str, results: &Results) -> Vec<Finding> {
    let better = |measure| better(comparison, description, measure, &[MSE, MAE], results);
    vec![
        better(Measure::MS_SSIM),
        better(Measure::GMSD),
        better(Measure::DETAIL),
        price(comparison, description, results),
    ]
}

/// Ids of [`of_autoencoder`].
pub(super) fn autoencoder_ids(comparison: &str) -> Vec<String> {
    let measures = [Measure::MS_SSIM, Measure::GMSD, Measure::DETAIL].map(|measure| measure.id);
    measures.iter().chain(&["price"]).map(|id| format!("{comparison}/{id}")).collect()
}

/// All figures of a comparison.
pub(super) fn table(title: impl Into<String>, results: &Results) -> Table {
    let headings = std::iter::once("trained with").chain(Measure::ALL.map(|measure| measure.name));
    let mut table = Table::new(title, headings);
    for (name, qualities) in &results.entries {
        let cells = Measure::ALL.map(|measure| summary(measure, qualities).to_string());
        table.push(std::iter::once(name.clone()).chain(cells));
    }
    table
}

/// `mse 0.31 +/- 0.02, mae ..`: a figure of every contender.
pub(super) fn figures(measure: Measure, results: &Results) -> String {
    let figure = |(name, qualities): &(String, Vec<Option<Quality>>)| format!("{name} {}", summary(measure, qualities));
    results.entries.iter().map(figure).collect::<Vec<_>>().join(", ")
}

fn summary(measure: Measure, qualities: &[Option<Quality>]) -> Summary {
    Summary::of(&qualities.iter().flatten().map(measure.of).collect::<Vec<_>>())
}

fn diverged(results: &Results) -> String {
    let of_one = |(name, qualities): &(String, Vec<Option<Quality>>)| {
        divergence(qualities).map(|divergence| format!("{name} {divergence}"))
    };
    results.entries.iter().filter_map(of_one).collect::<Vec<_>>().join("; ")
}

/// `mse 3, mae 3 images ..`: how many images a mean does not count as they are, over all seeds, where any.
fn exceptions(measure: Measure, results: &Results) -> String {
    let Some((count, words)) = measure.exceptions else { return String::new() };
    let of_one = |(name, qualities): &(String, Vec<Option<Quality>>)| {
        let images: usize = qualities.iter().flatten().map(count).sum();
        (images > 0).then(|| format!("{name} {images}"))
    };
    let counts: Vec<String> = results.entries.iter().filter_map(of_one).collect();
    if counts.is_empty() { String::new() } else { format!("{words}: {}", counts.join(", ")) }
}

/// The parts that are not empty.
fn joined<const N: usize>(parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_lab::Outcome;

    fn quality(gmsd: f64) -> Option<Quality> {
        let (exact, flat) = (0, 0);
        Some(Quality { psnr: 20.0 - gmsd, ssim: 0.5, ms_ssim: 0.5, gmsd, detail: 1.0, edge_f1: 0.5, exact, flat })
    }

    fn results(own: [Option<Quality>; 5], mse: [Option<Quality>; 5]) -> Results {
        let mae = vec![quality(0.5); 5];
        ByName { entries: vec![(MSE.into(), mse.into()), (MAE.into(), mae), (MS_SSIM.into(), own.into())] }
    }

    #[test]
    fn four_of_five_seeds_are_enough_and_three_are_not() {
        let judged = |own: [f64; 5]| {
            let results = results(own.map(quality), [0.3; 5].map(quality));
            better("net", "a net", Measure::GMSD, &[MSE, MAE], &results)
        };
        assert_eq!(judged([0.1, 0.1, 0.1, 0.1, 0.9]).outcome, Outcome::Held);
        let three = judged([0.1, 0.1, 0.1, 0.4, 0.9]);
        assert_eq!(three.outcome, Outcome::NotHeld);
        assert!(three.measured.text.starts_with("better on 3 of 5 seeds; mse 0.3"), "{}", three.measured);
    }

    #[test]
    fn a_training_that_diverged_is_worse_than_any() {
        let own = [quality(0.1), quality(0.1), None, quality(0.1), None];
        let found = better("net", "a net", Measure::GMSD, &[MSE, MAE], &results(own, [quality(0.3); 5]));
        assert_eq!(found.outcome, Outcome::NotHeld);
        assert_eq!(found.note, "ms-ssim diverged on 2 of 5 seeds");
        let rival = [quality(0.3), None, quality(0.3), quality(0.3), None];
        let found = better("net", "a net", Measure::GMSD, &[MSE, MAE], &results([quality(0.1); 5], rival));
        assert_eq!(found.outcome, Outcome::Held);
    }

    #[test]
    fn images_that_a_mean_counts_otherwise_are_told() {
        let flat = quality(0.1).map(|quality| Quality { flat: 3, exact: 1, ..quality });
        let results = results([flat; 5], [quality(0.3); 5]);
        let note = |measure| better("net", "a net", measure, &[MSE, MAE], &results).note;
        assert_eq!(note(Measure::DETAIL), "images that should have no fine detail are left out: ms-ssim 15");
        assert_eq!(note(Measure::GMSD), "");
        let price = price("net", "a net", &results).note;
        assert!(price.ends_with("images above 100 dB count as 100 dB: ms-ssim 5"), "{price}");
    }

    #[test]
    fn the_price_is_what_the_squared_error_has_more() {
        let found = price("net", "a net", &results([quality(2.0); 5], [quality(1.0); 5]));
        assert_eq!((found.id.as_str(), found.measured.mean), ("net/price", Some(1.0)));
    }
}
