//! Pictures of losses: what they make of a margin, of three logits, of an error.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::selector::{Selector, SelectorError};
use super::{LOSSES, REGRESSION_LOSSES};
use crate::plot::HeatMap;
use crate::{Plot, Series};

/// Margins and errors from `-REACH` to `REACH`.
const REACH: f64 = 4.0;
const STEPS: usize = 160;
/// Cells on a side of a surface.
const CELLS: usize = 33;

/// Pictures of some losses, each with what its name should say: the losses over one axis, their slopes over the same, and for
/// each loss on classes its surface.
///
/// Losses on classes are drawn over the margin `z = f_y - f_k` of two classes, at the logits `(z / 2, -z / 2)`, and over the two
/// margins of three classes; losses on numbers over the error of a prediction. A loss that draws at random in training is
/// drawn as it is evaluated.
///
/// # Errors
/// Those of [`Registry::build`](super::Registry::build), [`SelectorError::OtherTask`] where losses on classes and on numbers
/// are mixed, and [`SelectorError::Refused`] for a loss that is set for another number of classes.
pub fn loss_pictures(losses: &[Selector]) -> Result<Vec<(String, Plot)>, SelectorError> {
    let on_numbers = |loss: &Selector| REGRESSION_LOSSES.entries.iter().any(|entry| entry.name == loss.name());
    let Some(first) = losses.first() else { return Ok(Vec::new()) };
    let numbers = on_numbers(first);
    if let Some(other) = losses.iter().find(|loss| on_numbers(loss) != numbers) {
        let (fits, targets) = if numbers {
            (REGRESSION_LOSSES.entries.iter().map(|entry| entry.name).collect::<Vec<_>>(), "numbers")
        } else {
            (LOSSES.entries.iter().map(|entry| entry.name).collect(), "classes")
        };
        let message = format!("{first} is a loss on {targets}, and only such losses go beside it: {}", fits.join(", "));
        return Err(SelectorError::Refused { kind: LOSSES.kind, name: other.name().to_string(), message });
    }
    let of = if numbers { over_error } else { over_margin };
    let axis = if numbers { "prediction - target" } else { "margin of two classes" };
    let mut values = Plot::line("Loss", axis, "loss");
    let mut slopes = Plot::line("Slope", axis, "derivative of the loss");
    for loss in losses {
        let curve = of(loss)?;
        let points = |height: &[f64]| -> Vec<(f64, f64)> {
            let drawn = places().into_iter().zip(height.iter().copied());
            drawn.filter(|(_, height)| height.is_finite()).collect()
        };
        values = values.series(Series::new(loss.to_string()).points(points(&curve.values)));
        slopes = slopes.series(Series::new(loss.to_string()).points(points(&curve.slopes)));
    }
    let mut pictures = vec![("loss".to_string(), values), ("slope".to_string(), slopes)];
    if !numbers {
        for loss in losses {
            let name = crate::files::file_name(&loss.to_string().replace([':', ','], "-"));
            pictures.push((format!("surface-{name}"), surface(loss)?));
        }
    }
    Ok(pictures)
}

/// Values and derivatives at [`places`].
struct Curve {
    values: Vec<f64>,
    slopes: Vec<f64>,
}

fn places() -> Vec<f64> {
    (0..=STEPS).map(|step| REACH * (2.0 * step as f64 / STEPS as f64 - 1.0)).collect()
}

fn over_margin(loss: &Selector) -> Result<Curve, SelectorError> {
    let logits: Vec<f64> = places().into_iter().flat_map(|margin| [margin / 2.0, -margin / 2.0]).collect();
    let (values, gradients) = on_logits(loss, logits, 2)?;
    // dz = df_y - df_k, each of which moves by half of it.
    let slopes = gradients.chunks_exact(2).map(|gradient| (gradient[0] - gradient[1]) / 2.0).collect();
    Ok(Curve { values, slopes })
}

fn over_error(loss: &Selector) -> Result<Curve, SelectorError> {
    let device = Device::flex().autodiff();
    let places = places();
    let predictions = Tensor::<2>::from_data(TensorData::new(places, [STEPS + 1, 1]), &device).require_grad();
    let targets = Tensor::zeros([STEPS + 1, 1], &device);
    let losses = REGRESSION_LOSSES.build(loss)?.forward_no_reduction(predictions.clone(), targets);
    let slopes = predictions.grad(&losses.clone().sum().backward());
    Ok(Curve { values: numbers(losses), slopes: slopes.map(numbers).unwrap_or_default() })
}

/// The loss over both margins of three classes, the larger of the second upwards.
fn surface(loss: &Selector) -> Result<Plot, SelectorError> {
    let place = |cell: usize| REACH * (2.0 * cell as f64 / (CELLS - 1) as f64 - 1.0);
    // Logits that add up to zero, as a network's would around its mean.
    let logits = |up: usize, right: usize| {
        let (first, second) = (place(right), place(CELLS - 1 - up));
        let own = (first + second) / 3.0;
        [own, own - first, own - second]
    };
    let all = (0..CELLS).flat_map(|up| (0..CELLS).flat_map(move |right| logits(up, right))).collect();
    let (values, _) = on_logits(loss, all, 3)?;
    let label = |cell: usize| if cell.is_multiple_of(4) { format!("{:.0}", place(cell)) } else { String::new() };
    let heat = HeatMap {
        rows: (0..CELLS).rev().map(label).collect(),
        columns: (0..CELLS).map(label).collect(),
        values: values.chunks(CELLS).map(<[f64]>::to_vec).collect(),
    };
    Ok(Plot::heat_map(loss.to_string(), "margin over the second class", "margin over the third class", heat))
}

/// Loss of each row of logits whose class is the first, and its gradient.
fn on_logits(loss: &Selector, logits: Vec<f64>, classes: usize) -> Result<(Vec<f64>, Vec<f64>), SelectorError> {
    let built = LOSSES.build(loss)?;
    built.check_classes(classes).map_err(|error| SelectorError::Refused {
        kind: LOSSES.kind,
        name: loss.name().to_string(),
        message: error.to_string(),
    })?;
    let device = Device::flex().autodiff();
    let rows = logits.len() / classes;
    let logits = Tensor::<2>::from_data(TensorData::new(logits, [rows, classes]), &device).require_grad();
    let targets = Tensor::<1, Int>::zeros([rows], &device);
    let losses = built.forward_no_reduction(logits.clone(), targets);
    let gradient = logits.grad(&losses.clone().sum().backward());
    Ok((numbers(losses), gradient.map(numbers).unwrap_or_default()))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Selector> {
        Selector::list(text).unwrap()
    }

    #[test]
    fn cross_entropy_is_the_softplus_of_the_margin() {
        let curve = over_margin(&"cross-entropy".parse().unwrap()).unwrap();
        for ((z, value), slope) in places().into_iter().zip(curve.values).zip(curve.slopes) {
            assert!((value - (-z).exp().ln_1p()).abs() < 1e-5, "{z}: {value}");
            assert!((slope + 1.0 / (1.0 + z.exp())).abs() < 1e-5, "{z}: {slope}");
        }
    }

    #[test]
    fn every_loss_has_its_pictures() {
        for name in LOSSES.entries.iter().map(|entry| entry.name) {
            let pictures = loss_pictures(&list(name)).unwrap();
            assert_eq!(pictures.len(), 3, "{name}");
            let values = &pictures[0].1.series[0].points;
            assert_eq!(values.len(), STEPS + 1, "{name} has values that are not finite");
            let heat = &pictures[2].1.heat;
            assert!(heat.values.len() == CELLS && heat.values.iter().all(|row| row.len() == CELLS), "{name}");
        }
        for name in REGRESSION_LOSSES.entries.iter().map(|entry| entry.name) {
            let pictures = loss_pictures(&list(name)).unwrap();
            assert_eq!(pictures.len(), 2, "{name}");
            let values = &pictures[0].1.series[0].points;
            assert!(values[STEPS / 2].y.abs() < 1e-6 && values[0].y > 1.0, "{name}");
        }
    }

    #[test]
    fn the_surface_is_highest_where_both_margins_are_negative() {
        let pictures = loss_pictures(&list("cross-entropy")).unwrap();
        let heat = &pictures[2].1.heat.values;
        // Rows run from the largest margin down, columns from the smallest up.
        let (worst, best) = (heat[CELLS - 1][0], heat[0][CELLS - 1]);
        assert!((worst - (1.0 + 2.0 * REACH.exp()).ln()).abs() < 1e-4, "{worst}");
        assert!((best - (1.0 + 2.0 * (-REACH).exp()).ln()).abs() < 1e-4, "{best}");
    }

    #[test]
    fn losses_of_two_kinds_do_not_share_an_axis() {
        let message = loss_pictures(&list("cross-entropy,mse")).unwrap_err().to_string();
        assert!(message.contains("cross-entropy is a loss on classes"), "{message}");
        assert!(loss_pictures(&list("cross-entropi")).unwrap_err().to_string().contains("did you mean"));
        assert!(loss_pictures(&list("cross-entropy:weights=1/2/3/4")).is_err());
    }
}
