//! Which layers are contracted from their factors, how, and what remains.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;

use super::blocks::Footprint;
use super::patches::Sizes;
use super::recorder::{Form, RecordedLayer, Recorder};
use super::{Examples, NtkError};
use crate::Tangent;

/// How the kernel of a network is made.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Layers whose inputs and sensitivities are enough, in the order in which they run.
    pub(super) layers: Vec<PlannedLayer>,
    /// All parameters of these layers.
    pub(super) recorded: Arc<HashSet<ParamId>>,
    /// All other parameters, and how many values each has.
    pub(super) remaining: Vec<(ParamId, usize)>,
    /// Values that a pass keeps for one example.
    activations: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlannedLayer {
    pub(super) form: Form,
    pub(super) mode: Mode,
    sizes: Option<Sizes>,
    /// Values of one example's output.
    outputs: usize,
    /// Parameters, counting every value.
    parameters: usize,
}

/// From what a layer's part of the kernel is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// From products of inputs and products of sensitivities at every pair of positions.
    Factors,
    /// From the derivatives of every example, made from inputs and sensitivities.
    Gradients,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Examples on the left.
    pub(super) left: usize,
    /// Examples on the right; none where both sides are one batch.
    pub(super) right: Option<usize>,
    /// Outputs that have rows of their own in the kernel.
    pub(super) separate: usize,
    /// Outputs that each of these is summed over.
    pub(super) summed: usize,
}

impl Plan {
    /// Runs the network on one and on two copies of an example, to see which layers there are and that their rows are
    /// the examples.
    pub(super) fn of<M: Module, I: Examples>(
        module: &M,
        network: &impl Fn(&M, &Recorder, I) -> Tensor<2>,
        example: &I,
        extent: Extent,
    ) -> Result<Self, NtkError> {
        let run = |copies: usize| {
            let recorder = Recorder::survey();
            network(module, &recorder, example.first_repeated(copies));
            recorder.into_layers()
        };
        let ((single, elsewhere), (double, _)) = (run(1), run(2));
        let mut uses: HashMap<ParamId, usize> = HashMap::new();
        for parameter in single.iter().flat_map(|layer| &layer.parameters) {
            *uses.entry(*parameter).or_insert(0) += 1;
        }
        let parameters: HashMap<ParamId, usize> = Tangent::zeros_like(module).sizes().collect();
        let by_rows = |index: usize| {
            let rows = double.get(index).map(|layer| layer.rows);
            single.len() == double.len() && single[index].rows == 1 && rows == Some(2)
        };
        let alone = |parameter: &ParamId| {
            parameters.contains_key(parameter) && uses[parameter] == 1 && !elsewhere.contains(parameter)
        };
        let mut plan = Self {
            layers: Vec::new(),
            recorded: Arc::default(),
            remaining: Vec::new(),
            activations: single.iter().map(values_of_a_pass).sum(),
        };
        let mut recorded = HashSet::new();
        for (index, layer) in single.iter().enumerate() {
            if by_rows(index) && layer.parameters.iter().all(alone) {
                recorded.extend(&layer.parameters);
                let count = layer.parameters.iter().map(|parameter| parameters[parameter]).sum();
                plan.layers.push(PlannedLayer::of(layer, count, extent));
            }
        }
        let sizes = Tangent::zeros_like(module);
        plan.remaining = sizes.sizes().filter(|(parameter, _)| !recorded.contains(parameter)).collect();
        plan.recorded = Arc::new(recorded);
        if parameters.is_empty() { Err(NtkError::NoParameters) } else { Ok(plan) }
    }

    /// What blocks take.
    pub(super) fn footprint(&self, separate: bool) -> Footprint {
        let remaining: usize = self.remaining.iter().map(|(_, count)| count).sum();
        let layers = || self.layers.iter();
        Footprint {
            once_an_example: layers().map(PlannedLayer::inputs).sum::<usize>() + self.activations,
            each_output: remaining + layers().map(PlannedLayer::values_of_an_output).sum::<usize>(),
            each_pair: layers().map(PlannedLayer::values_of_a_pair).max().unwrap_or(0),
            separate,
        }
    }
}

/// What is kept of a layer during a pass forward and backward on one example: what went in, what came out, and its
/// gradient.
fn values_of_a_pass(layer: &RecordedLayer) -> usize {
    let count = |dims: [usize; 4]| dims.iter().product::<usize>();
    count(layer.input.dims()) + 2 * count(layer.output_dims)
}

impl PlannedLayer {
    fn of(layer: &RecordedLayer, parameters: usize, extent: Extent) -> Self {
        let sizes = Sizes::of(layer);
        let mode = match sizes {
            Some(sizes) if factor_operations(sizes, extent) <= gradient_operations(sizes, extent) => Mode::Factors,
            _ => Mode::Gradients,
        };
        Self { form: layer.form, mode, sizes, outputs: layer.output_dims.iter().product(), parameters }
    }

    fn inputs(&self) -> usize {
        self.sizes.map_or(self.outputs, |sizes| sizes.groups * sizes.positions * sizes.inputs)
    }

    fn values_of_an_output(&self) -> usize {
        // Sensitivities lie beside the derivatives that are made of them.
        self.outputs + if self.mode == Mode::Gradients { self.parameters } else { 0 }
    }

    fn values_of_a_pair(&self) -> usize {
        match (self.mode, self.sizes) {
            // Products of inputs, of sensitivities, and of both.
            (Mode::Factors, Some(sizes)) if sizes.positions > 1 => 3 * sizes.groups * sizes.positions.pow(2),
            _ => 1,
        }
    }
}

/// Multiplications that the factors of a layer take: `n m P^2 (D + k^2 (c O + 1))` for `P` positions, `D` inputs, `O`
/// outputs, and kernels of `k` outputs summed over `c` each.
fn factor_operations(sizes: Sizes, extent: Extent) -> f64 {
    let pairs = extent.left as f64 * extent.right.unwrap_or(extent.left) as f64;
    let [inputs, outputs] = [sizes.inputs, extent.summed * sizes.outputs].map(|size| size as f64);
    let places = sizes.groups as f64 * (sizes.positions as f64).powi(2);
    pairs * places * (inputs + (extent.separate as f64).powi(2) * (outputs + 1.0))
}

/// Multiplications that the derivatives take: `(n + m) k c P O D` to make them and `n m k^2 c O D` to multiply them.
fn gradient_operations(sizes: Sizes, extent: Extent) -> f64 {
    let [left, right] = [extent.left, extent.right.unwrap_or(extent.left)].map(|count| count as f64);
    let examples = left + extent.right.map_or(0.0, |_| right);
    let derivatives = (sizes.groups * sizes.outputs * sizes.inputs * extent.summed) as f64;
    let separate = extent.separate as f64;
    derivatives * (examples * separate * sizes.positions as f64 + left * right * separate * separate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(examples: usize, separate: usize, summed: usize) -> Extent {
        Extent { left: examples, right: Some(examples), separate, summed }
    }

    #[test]
    fn a_dense_layer_is_cheaper_by_its_factors_and_a_convolution_of_many_positions_by_its_derivatives() {
        let dense = Sizes { groups: 1, positions: 1, inputs: 100, outputs: 50 };
        assert_eq!(factor_operations(dense, extent(10, 1, 1)), 100.0 * (100.0 + 51.0));
        assert_eq!(gradient_operations(dense, extent(10, 1, 1)), 5000.0 * (20.0 + 100.0));
        let convolution = Sizes { groups: 1, positions: 196, inputs: 9, outputs: 8 };
        assert!(
            factor_operations(convolution, extent(256, 1, 10)) > gradient_operations(convolution, extent(256, 1, 10))
        );
        // Few positions and wide channels: the other way round.
        let deep = Sizes { groups: 1, positions: 4, inputs: 2304, outputs: 256 };
        assert!(factor_operations(deep, extent(256, 1, 10)) < gradient_operations(deep, extent(256, 1, 10)));
    }

    #[test]
    fn one_batch_on_both_sides_makes_its_derivatives_once() {
        let sizes = Sizes { groups: 2, positions: 3, inputs: 5, outputs: 7 };
        let both = Extent { right: None, ..extent(4, 2, 1) };
        let difference = gradient_operations(sizes, extent(4, 2, 1)) - gradient_operations(sizes, both);
        assert_eq!(difference, (2 * 7 * 5 * 4 * 2 * 3) as f64);
    }
}
