//! What the first layer looks for.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};

use super::{Probe, ProbeView, draw};
use crate::{LabError, Plot};

/// At most this many filters are drawn.
const SHOWN: usize = 64;

/// Weights of the first layer as pictures, and their norm as metric `filters/norm`.
///
/// A dense layer on square inputs is drawn as one picture a unit, on others as one row a unit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filters;

impl Probe for Filters {
    fn name(&self) -> &str {
        "filters"
    }

    fn sees_images(&self) -> bool {
        true
    }

    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
        let mut first = FirstWeights::default();
        view.network.visit(&mut first);
        let Some((shape, values)) = first.found else { return Ok(()) };
        let norm = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        view.context.metric(view.step, "filters/norm", norm);
        let (values, filter) = filters(&shape, &values);
        let shown = &values[..values.len().min(SHOWN * filter.iter().product::<usize>())];
        draw(view, "filters", &Plot::filters(format!("First layer, epoch {}", view.epoch), 16, shown, filter))
    }
}

/// The filters one after the other, and the shape `[channels, height, width]` of one.
fn filters(shape: &[usize], values: &[f32]) -> (Vec<f32>, [usize; 3]) {
    match shape {
        // A convolution holds [output, input, height, width].
        [_, channels, height, width] => (values.to_vec(), [*channels, *height, *width]),
        // A dense layer holds [input, output].
        [inputs, outputs] => {
            let column = |unit: usize| (0..*inputs).map(move |input| values[input * outputs + unit]);
            ((0..*outputs).flat_map(column).collect(), picture_shape(*inputs))
        }
        _ => (values.to_vec(), [1, 1, values.len()]),
    }
}

fn picture_shape(inputs: usize) -> [usize; 3] {
    let side = |pixels: usize| pixels.isqrt();
    match inputs {
        n if side(n).pow(2) == n => [1, side(n), side(n)],
        n if n % 3 == 0 && side(n / 3).pow(2) == n / 3 => [3, side(n / 3), side(n / 3)],
        n => [1, 1, n],
    }
}

/// Finds the first parameter with more than one dimension.
#[derive(Default)]
struct FirstWeights {
    found: Option<(Vec<usize>, Vec<f32>)>,
}

impl ModuleVisitor for FirstWeights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_some() || D < 2 {
            return;
        }
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        if let Ok(values) = tensor.into_data().convert::<f32>().try_into_vec() {
            self.found = Some((shape, values));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_weights_are_one_picture_a_unit() {
        let (values, shape) = filters(&[4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!((values, shape), (vec![1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0], [1, 2, 2]));
        assert_eq!(picture_shape(3072), [3, 32, 32]);
        assert_eq!(picture_shape(13), [1, 1, 13]);
    }
}
