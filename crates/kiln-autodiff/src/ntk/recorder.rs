//! Plain values that note what goes into each layer, and catch what comes back to its outputs.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;

use crate::map_gradient;
use crate::numbers::{Arithmetic, Elementwise};

/// Plain values whose dense layers, convolutions and normalisations note their inputs, and the gradients that arrive at
/// their outputs.
///
/// One pass forward and one backward then give every such layer's inputs and output sensitivities for all examples of a
/// batch at once, from which [`empirical_ntk`](super::empirical_ntk) makes kernels without forming Jacobians. A network
/// meets these numbers in the closure that it is given as; everything else is computed as [`Values`](crate::Values) does.
#[derive(Debug)]
pub struct Recorder {
    task: Task,
    state: RefCell<State>,
}

/// What a recorder is there for.
#[derive(Debug)]
enum Task {
    /// Notes every layer, and the parameters that are used elsewhere.
    Survey,
    /// Catches the sensitivities of the layers all of whose parameters are among these.
    Sensitivities(Arc<HashSet<ParamId>>),
    /// Nothing.
    Pass,
}

#[derive(Debug, Default)]
struct State {
    layers: Vec<RecordedLayer>,
    elsewhere: HashSet<ParamId>,
}

/// A layer that was run.
#[derive(Debug)]
pub(super) struct RecordedLayer {
    /// The weight, and the bias where there is one; or the scale and the offset.
    pub(super) parameters: Vec<ParamId>,
    pub(super) form: Form,
    /// Rows of the leading axis.
    pub(super) rows: usize,
    /// See [`Form`] for the shape.
    pub(super) input: Tensor<4>,
    pub(super) output_dims: [usize; 4],
    sensitivity: Slot,
}

/// How a layer depends on its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `x W + b`: input `[n, 1, positions, inputs]`, output `[n, 1, positions, outputs]`.
    Dense {
        /// Whether there is a bias.
        bias: bool,
    },
    /// A convolution: input `[n, channels, height, width]`, output alike.
    Convolution {
        /// Where the kernel goes.
        window: Window,
        /// Whether there is a bias.
        bias: bool,
    },
    /// `x gamma + beta`: both `[n, before, channels, after]`.
    Scale {
        /// Whether there is a scale.
        gamma: bool,
        /// Whether there is an offset.
        beta: bool,
    },
}

/// The places of a convolution's kernel, height before width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) padding: [(usize, usize); 2],
    pub(super) groups: usize,
}

type Slot = Arc<Mutex<Option<Tensor<4>>>>;

impl RecordedLayer {
    /// The gradient that arrived at the output, zero where none did.
    pub(super) fn take_sensitivity(&self) -> Tensor<4> {
        let caught = self.sensitivity.lock().expect("a backward pass that panicked").take();
        caught.unwrap_or_else(|| Tensor::zeros(self.output_dims, (&self.input.device(), self.input.dtype())))
    }
}

impl Recorder {
    pub(super) fn survey() -> Self {
        Self { task: Task::Survey, state: RefCell::default() }
    }

    pub(super) fn sensitivities(of: Arc<HashSet<ParamId>>) -> Self {
        Self { task: Task::Sensitivities(of), state: RefCell::default() }
    }

    pub(super) fn pass() -> Self {
        Self { task: Task::Pass, state: RefCell::default() }
    }

    /// The layers in the order in which they ran, and the parameters that were used in other ways too.
    pub(super) fn into_layers(self) -> (Vec<RecordedLayer>, HashSet<ParamId>) {
        let state = self.state.into_inner();
        (state.layers, state.elsewhere)
    }

    /// Notes that a parameter was used, and not in a recorded layer.
    pub(super) fn note_elsewhere(&self, parameter: ParamId) {
        self.state.borrow_mut().elsewhere.insert(parameter);
    }

    /// Whether a layer with these parameters is to be recorded.
    pub(super) fn records(&self, parameters: &[ParamId]) -> bool {
        match &self.task {
            Task::Survey => true,
            Task::Sensitivities(wanted) => parameters.iter().all(|parameter| wanted.contains(parameter)),
            Task::Pass => false,
        }
    }

    /// Notes a layer that made `output` of `input`; gives the output, which catches its gradient.
    pub(super) fn record<const D: usize>(
        &self,
        parameters: Vec<ParamId>,
        form: Form,
        input: Tensor<4>,
        output: Tensor<D>,
        output_dims: [usize; 4],
    ) -> Tensor<D> {
        let sensitivity = Slot::default();
        let output = match self.task {
            Task::Sensitivities(_) => catching(output, output_dims, sensitivity.clone()),
            Task::Survey | Task::Pass => output,
        };
        let rows = output.dims()[0];
        let layer = RecordedLayer { parameters, form, rows, input: input.inner(), output_dims, sensitivity };
        self.state.borrow_mut().layers.push(layer);
        output
    }
}

/// The same tensor, tracked; its gradient is put into the slot on its way back.
fn catching<const D: usize>(output: Tensor<D>, dims: [usize; 4], slot: Slot) -> Tensor<D> {
    let tracked = if output.is_tracked() { output } else { output.inner().autodiff().require_grad() };
    map_gradient(tracked, move |gradient| {
        *slot.lock().expect("nothing else holds the slot") = Some(gradient.clone().reshape(dims));
        gradient
    })
}

/// As [`Values`](crate::Values), and notes parameters that are used outside of recorded layers.
impl Arithmetic for Recorder {
    type T<const D: usize> = Tensor<D>;

    fn order(&self) -> usize {
        0
    }

    fn constant<const D: usize>(&self, value: Tensor<D>) -> Tensor<D> {
        value
    }

    fn parameter<const D: usize>(&self, parameter: &Param<Tensor<D>>) -> Tensor<D> {
        self.note_elsewhere(parameter.id);
        parameter.val()
    }

    fn value<const D: usize>(&self, x: &Tensor<D>) -> Tensor<D> {
        x.clone()
    }

    fn dims<const D: usize>(&self, x: &Tensor<D>) -> [usize; D] {
        x.dims()
    }

    fn linear_map<const D: usize, const E: usize>(
        &self,
        x: Tensor<D>,
        map: impl Fn(Tensor<D>) -> Tensor<E>,
    ) -> Tensor<E> {
        map(x)
    }

    fn row_map<const D: usize, const E: usize>(&self, x: Tensor<D>, map: impl Fn(Tensor<D>) -> Tensor<E>) -> Tensor<E> {
        map(x)
    }

    fn value_map<const D: usize, const E: usize, L: Fn(Tensor<D>) -> Tensor<E>>(
        &self,
        x: Tensor<D>,
        map: impl FnOnce(Tensor<D>) -> (Tensor<E>, L),
    ) -> Tensor<E> {
        map(x).0
    }

    fn bilinear<const D: usize, const E: usize, const F: usize>(
        &self,
        left: Tensor<D>,
        right: Tensor<E>,
        map: impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Tensor<F> {
        map(left, right)
    }

    fn affine<const D: usize, const E: usize>(
        &self,
        x: Tensor<D>,
        weight: Tensor<E>,
        bias: Option<Tensor<1>>,
        _bias_axis: usize,
        map: impl Fn(Tensor<D>, Tensor<E>, Option<Tensor<1>>) -> Tensor<D>,
    ) -> Tensor<D> {
        map(x, weight, bias)
    }

    fn apply<const D: usize>(&self, function: &impl Elementwise, x: Tensor<D>) -> Tensor<D> {
        function.value(x)
    }

    fn add<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        left + right
    }

    fn sub<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        left - right
    }

    fn mul<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        left * right
    }

    fn div<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        left / right
    }

    fn scale<const D: usize>(&self, x: Tensor<D>, factor: f64) -> Tensor<D> {
        x * factor
    }

    fn shift<const D: usize>(&self, x: Tensor<D>, offset: f64) -> Tensor<D> {
        x + offset
    }

    fn reshape<const D: usize, const E: usize>(&self, x: Tensor<D>, dims: [usize; E]) -> Tensor<E> {
        x.reshape(dims)
    }

    fn expand<const D: usize>(&self, x: Tensor<D>, dims: [usize; D]) -> Tensor<D> {
        x.expand(dims)
    }

    fn cat<const D: usize>(&self, tensors: Vec<Tensor<D>>, dim: usize) -> Tensor<D> {
        Tensor::cat(tensors, dim)
    }

    fn sum_dim<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        x.sum_dim(dim)
    }

    fn mean_dim<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        x.mean_dim(dim)
    }

    fn sum<const D: usize>(&self, x: Tensor<D>) -> Tensor<1> {
        x.sum()
    }

    fn mean<const D: usize>(&self, x: Tensor<D>) -> Tensor<1> {
        x.mean()
    }
}
