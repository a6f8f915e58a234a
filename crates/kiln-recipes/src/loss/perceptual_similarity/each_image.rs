//! Which images are reconstructed well, and on which MS-SSIM is worth more than the squared error.

use burn::tensor::Tensor;
use kiln_lab::statistics::{Summary, rank_correlation};
use kiln_lab::{Finding, Plot, Series};
use serde::{Deserialize, Serialize};

use super::contenders::{ByName, MS_SSIM, MSE};
use super::pictures::{self, Shown};
use super::quality::gmsd_of_each;

/// Images from the best to the worst that are drawn.
const RANKED: usize = 8;

/// Figures of each test image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct EachImage {
    /// Gradient magnitude similarity deviation of the reconstruction, which no loss was trained with: less is better.
    gmsd: Vec<f64>,
    /// Standard deviation of the pixels of the original.
    contrast: Vec<f64>,
    /// Some from the best to the worst, of the first seed.
    ranked: Option<Shown>,
}

impl EachImage {
    /// # Shapes
    /// - outputs, targets: `[batch_size, 1, height, width]`
    pub(super) fn new([outputs, targets]: &[Tensor<4>; 2], is_drawn: bool) -> Self {
        let gmsd = gmsd_of_each(outputs.clone(), targets.clone());
        let pixels = targets.clone().flatten::<2>(1, 3);
        let contrast = (pixels.clone() - pixels.mean_dim(1)).square().mean_dim(1).sqrt();
        let ranked = is_drawn.then(|| Shown::at(outputs, targets, best_to_worst(&gmsd, RANKED).into_iter()));
        Self { contrast: contrast.into_data().iter::<f64>().collect(), gmsd, ranked }
    }
}

/// Places of `count` numbers, spread evenly from the smallest to the largest, both ends included.
fn best_to_worst(numbers: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let count = count.min(order.len());
    (0..count).map(|at| order[at * (order.len() - 1) / (count - 1).max(1)]).collect()
}

/// Id of [`contrast`].
pub(super) fn finding_id(comparison: &str) -> String {
    format!("{comparison}/contrast")
}

/// Whether MS-SSIM is worth more on images of high or of low contrast, which is reported and not judged.
pub(super) fn contrast(comparison: &str, description: &str, each: &ByName<Vec<Option<EachImage>>>) -> Finding {
    let correlation = |seed: usize| {
        let (contrast, advantage) = advantages(each, seed)?.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        let correlation = rank_correlation(&contrast, &advantage);
        correlation.is_finite().then_some(correlation)
    };
    let correlations: Vec<f64> = (0..each.of(MS_SSIM).len()).filter_map(correlation).collect();
    Finding::new(
        finding_id(comparison),
        format!(
            "{description}: rank correlation, over test images, of the contrast and of how much better GMSD is trained with \
             MS-SSIM than with {MSE}"
        ),
    )
    .measured(Summary::of(&correlations))
}

/// Contrast of each image, and how much better it is with MS-SSIM; nothing where a training diverged.
fn advantages(each: &ByName<Vec<Option<EachImage>>>, seed: usize) -> Option<Vec<(f64, f64)>> {
    let (own, other) = (each.of(MS_SSIM)[seed].as_ref()?, each.of(MSE)[seed].as_ref()?);
    let advantages = other.gmsd.iter().zip(&own.gmsd).map(|(other, own)| other - own);
    Some(own.contrast.iter().copied().zip(advantages).collect())
}

/// A point for each test image.
pub(super) fn contrast_plot(description: &str, seeds: &[u64], each: &ByName<Vec<Option<EachImage>>>) -> Plot {
    let title = format!("{description}: what MS-SSIM is worth over the contrast of the image");
    let plot = Plot::scatter(title, "standard deviation of the pixels", "GMSD with mse - GMSD with MS-SSIM");
    let plot = seeds.iter().enumerate().fold(plot, |plot, (at, seed)| match advantages(each, at) {
        Some(points) => plot.series(Series::new(format!("seed {seed}")).points(points)),
        None => plot,
    });
    plot.reference(0.0, "equally good")
}

/// Test images of the first seed from the best to the worst of each network.
pub(super) fn ranking_plot(description: &str, each: &ByName<Vec<Option<EachImage>>>) -> Plot {
    let ranked = each.entries.iter().filter_map(|(name, each)| {
        let ranked = each.first()?.as_ref()?.ranked.clone()?;
        Some((name.clone(), ranked))
    });
    pictures::pairs(
        &format!("{description}: from the best to the worst by GMSD"),
        &ByName { entries: ranked.collect() },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn images(count: usize) -> Tensor<4> {
        let device = Device::flex();
        device.seed(2);
        Tensor::random([count, 1, 12, 12], Distribution::Default, &device)
    }

    #[test]
    fn an_advantage_that_grows_with_the_contrast_has_correlation_one() {
        let each = |gmsd: [f64; 4]| EachImage { gmsd: gmsd.into(), contrast: vec![0.1, 0.2, 0.3, 0.4], ranked: None };
        let mse = vec![Some(each([0.2, 0.3, 0.4, 0.5])), Some(each([0.2; 4])), None];
        let own = vec![Some(each([0.2, 0.25, 0.3, 0.35])), Some(each([0.1, 0.11, 0.12, 0.13])), Some(each([0.1; 4]))];
        let each = ByName { entries: vec![("mse".into(), mse), ("ms-ssim".into(), own)] };
        let found = contrast("net", "a net", &each);
        // 1 on the first seed, -1 on the second, and nothing on the third.
        assert_eq!((found.measured.mean, found.measured.n), (Some(0.0), 2));
        let plot = contrast_plot("a net", &[1, 2, 3], &each);
        assert_eq!((plot.series.len(), plot.series[0].points.len()), (2, 4));
        let last = plot.series[0].points[3];
        assert!((last.x - 0.4).abs() < 1e-12 && (last.y - 0.15).abs() < 1e-12);
    }

    #[test]
    fn contrast_is_the_deviation_of_the_pixels() {
        let target = images(2);
        let faint = target.clone() * 0.5;
        let each = EachImage::new(&[target.clone(), target], false).contrast;
        let half = EachImage::new(&[faint.clone(), faint], false).contrast;
        assert!((each[0] - 12.0_f64.sqrt().recip()).abs() < 0.05, "{each:?}");
        assert!(each.iter().zip(&half).all(|(all, half)| (all - 2.0 * half).abs() < 1e-5));
    }

    #[test]
    fn images_are_drawn_from_the_best_to_the_worst() {
        assert_eq!(best_to_worst(&[0.3, 0.1, 0.2, 0.5, 0.4], 3), [1, 0, 3]);
        assert_eq!(best_to_worst(&[0.3, 0.1], 8), [1, 0]);
        assert_eq!(best_to_worst(&[0.3], 8), [0]);
        assert!(best_to_worst(&[], 8).is_empty());
    }
}
