//! Derivatives of single examples and outputs, one pass backward each.

use std::collections::HashMap;
use std::ops::Range;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, Gradients, Tensor};

use super::Examples;
use crate::operators::SharedLeaves;

/// The rows of a Jacobian with respect to some parameters of a module.
#[derive(Debug)]
pub(super) struct JacobianRows<M> {
    module: M,
    places: HashMap<ParamId, Range<usize>>,
    length: usize,
}

impl<M: Module> JacobianRows<M> {
    /// With respect to these parameters, of so many values each; the others are constants.
    pub(super) fn new(module: &M, parameters: &[(ParamId, usize)]) -> Self {
        let mut length = 0;
        let places: HashMap<ParamId, Range<usize>> = parameters
            .iter()
            .map(|&(id, count)| {
                length += count;
                (id, length - count..length)
            })
            .collect();
        let module = module.clone().map(&mut SomeLeaves { places: &places, leaves: SharedLeaves::default() });
        Self { module, places, length }
    }

    /// Derivatives of every example's outputs, `[examples, outputs, parameters]`.
    ///
    /// A pass forward and one backward each.
    pub(super) fn of<I: Examples>(
        &self,
        network: &impl Fn(&M, I) -> Tensor<2>,
        examples: &I,
        outputs: &Range<usize>,
    ) -> Tensor<3> {
        let row = |example: usize, output: usize| {
            let value = network(&self.module, examples.rows(example..example + 1)).narrow(1, output, 1).sum();
            self.gradient(&value).reshape([1, 1, self.length])
        };
        let rows = (0..examples.count())
            .map(|example| Tensor::cat(outputs.clone().map(|output| row(example, output)).collect(), 1));
        Tensor::cat(rows.collect(), 0)
    }

    fn gradient(&self, value: &Tensor<1>) -> Tensor<1> {
        let (device, dtype) = (value.device().inner(), value.dtype());
        if !value.is_tracked() {
            return Tensor::zeros([self.length], (&device, dtype));
        }
        let mut reader = Reader { rows: self, gradients: value.backward(), found: Vec::new() };
        self.module.visit(&mut reader);
        reader.into_row(&device, dtype)
    }
}

/// Makes leaves of the chosen parameters.
struct SomeLeaves<'a> {
    places: &'a HashMap<ParamId, Range<usize>>,
    leaves: SharedLeaves,
}

impl ModuleMapper for SomeLeaves<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.places.contains_key(&param.id) { self.leaves.leaf(param) } else { param }
    }
}

/// Reads the gradients of the chosen parameters.
struct Reader<'a, M> {
    rows: &'a JacobianRows<M>,
    gradients: Gradients,
    found: Vec<(Range<usize>, Tensor<1>)>,
}

impl<M> ModuleVisitor for Reader<'_, M> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(place) = self.rows.places.get(&param.id)
            && let Some(gradient) = param.val().grad(&self.gradients)
        {
            self.found.push((place.clone(), gradient.inner().reshape([place.len()])));
        }
    }
}

impl<M> Reader<'_, M> {
    /// The gradients in their places, zeros between them.
    fn into_row(mut self, device: &Device, dtype: DType) -> Tensor<1> {
        self.found.sort_by_key(|(place, _)| place.start);
        // A parameter that the module holds in several places is met, with one gradient, in each of them.
        self.found.dedup_by_key(|(place, _)| place.start);
        let mut pieces: Vec<Tensor<1>> = Vec::new();
        let mut filled = 0;
        for (place, gradient) in self.found {
            if place.start > filled {
                pieces.push(Tensor::zeros([place.start - filled], (device, dtype)));
            }
            pieces.push(gradient);
            filled = place.end;
        }
        if filled < self.rows.length {
            pieces.push(Tensor::zeros([self.rows.length - filled], (device, dtype)));
        }
        Tensor::cat(pieces, 0)
    }
}
