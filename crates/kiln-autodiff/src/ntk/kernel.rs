//! The empirical tangent kernel of a network, as a matrix.

use std::ops::Range;

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::{Assembly, BlockSize, Footprint, Side, Unit};
use super::contraction::{Features, Part};
use super::examples::check_pair;
use super::jacobians::JacobianRows;
use super::plan::{Extent, Plan};
use super::recorder::Recorder;
use super::sensitivities::{Recorded, check_outputs, one_after_another};
use super::{Examples, NtkError};
use crate::Tangent;

/// Settings of [`empirical_ntk`] and [`empirical_ntk_by_jacobians`].
#[derive(Config, Debug)]
pub struct NtkConfig {
    /// Which outputs.
    #[config(default = "NtkOutputs::Trace")]
    pub outputs: NtkOutputs,
    /// Bytes that may be held beside the kernel itself: what is kept of two blocks of examples, and their block of the
    /// kernel. Smaller limits cost repeated passes, not accuracy.
    #[config(default = 1_073_741_824)]
    pub memory_limit: u64,
}

/// The outputs of which a kernel is made.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum NtkOutputs {
    /// The sum over the outputs of each one's kernel, `[n, m]`.
    Trace,
    /// All pairs of outputs, `[n k, m k]`: row `i k + o` is output `o` of example `i`.
    All,
    /// One output alone, `[n, m]`.
    One(usize),
}

/// The empirical neural tangent kernel `K(x, x') = J(x) J(x')'`, with the Jacobian `J` of the outputs with respect to all
/// parameters of the module.
///
/// No Jacobian of the network is formed. One pass forward and one backward for each output give, for all examples at
/// once, each layer's inputs `a_p` and the sensitivities `s_p` of its outputs at every position `p` at which the layer
/// uses its weight (one for a dense layer on vectors, all pixels for a convolution, whose `a_p` are patches). The layer's
/// part of the kernel is then the cheaper one of
///
/// | mode | computes | multiplications |
/// |---|---|---|
/// | factors | `sum_pq (a_p . a_q + 1) (s_p . s_q)` | `n m P^2 (D + k^2 (c O + 1))` |
/// | derivatives | `G = sum_p s_p a_p'`, then `G . G'` | `(n + m) k c P O D + n m k^2 c O D` |
///
/// for `P` positions, `D` inputs and `O` outputs of the weight, and a kernel of `k` outputs, each summed over `c`: factors
/// for a dense layer, derivatives for a convolution over many positions. Scales and offsets of normalisations are always
/// taken by their derivatives. Parameters that are used in any other way (embeddings, transposed convolutions, a weight
/// that is used twice) are differentiated by a pass forward and one backward for each example and output.
///
/// The module is evaluated as its `valid()`: without dropout, and with the running statistics of batch normalisation. The
/// network has to take its parameters by way of the [`Recorder`], as it does for any
/// [`Numbers`](crate::Numbers), and to treat the examples apart. The kernel is over the parameters of `module`: pass a part
/// of a network to have its share. Without a `right` batch both sides are `left`, which takes about half the time.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::Numbers;
/// use kiln_autodiff::ntk::{NtkConfig, Recorder, empirical_ntk};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0], [0.0, 1.0]], &device);
/// let network = |layer: &Linear, numbers: &Recorder, x| numbers.linear(layer, x);
/// // X X' + 1
/// let kernel = empirical_ntk(&layer, network, &inputs, None, &NtkConfig::new())?;
/// assert_eq!(kernel.try_into_vec_as::<f32>().unwrap(), [6.0, 3.0, 3.0, 2.0]);
/// # Ok::<(), kiln_autodiff::ntk::NtkError>(())
/// ```
///
/// # Shapes
/// - `left`: `[n, ..]`, `right`: `[m, ..]`
/// - `network`: `[n, ..]` to `[n, outputs]`
/// - result: see [`NtkOutputs`]
///
/// # Errors
/// Empty batches, examples of different shapes, outputs that are not one row an example, an output that does not exist,
/// values that are not finite, a memory limit that not even one example on either side keeps, and layers that other
/// batches run otherwise.
pub fn empirical_ntk<M: Module, I: Examples>(
    module: &M,
    network: impl Fn(&M, &Recorder, I) -> Tensor<2>,
    left: &I,
    right: Option<&I>,
    config: &NtkConfig,
) -> Result<Tensor<2>, NtkError> {
    let request = Request::new(left, right, config)?;
    let module = module.valid();
    let survey = |inputs: I| network(&module, &Recorder::pass(), inputs);
    let trial = request.trial(survey)?;
    let plan = Plan::of(&module, &network, &request.left.rows(0..1), request.extent(&trial))?;
    let recorded = Recorded::new(&module, &network, &plan, request.separate());
    request.assemble(&trial, plan.footprint(request.separate()), |side, examples, unit| {
        recorded.features(side, examples, unit)
    })
}

/// The same kernel as [`empirical_ntk`], from the Jacobian of every example.
///
/// A pass forward and one backward for each example and output, and `n m p` multiplications for `p` parameters; works for
/// any module, written over numbers or not.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::ntk::{NtkConfig, empirical_ntk_by_jacobians};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0], [0.0, 1.0]], &device);
/// let network = |layer: &Linear, x| layer.forward(x);
/// let kernel = empirical_ntk_by_jacobians(&layer, network, &inputs, None, &NtkConfig::new())?;
/// assert_eq!(kernel.try_into_vec_as::<f32>().unwrap(), [6.0, 3.0, 3.0, 2.0]);
/// # Ok::<(), kiln_autodiff::ntk::NtkError>(())
/// ```
///
/// # Shapes
/// As [`empirical_ntk`].
///
/// # Errors
/// As [`empirical_ntk`].
pub fn empirical_ntk_by_jacobians<M: Module, I: Examples>(
    module: &M,
    network: impl Fn(&M, I) -> Tensor<2>,
    left: &I,
    right: Option<&I>,
    config: &NtkConfig,
) -> Result<Tensor<2>, NtkError> {
    let request = Request::new(left, right, config)?;
    let module = module.valid();
    let trial = request.trial(|inputs: I| network(&module, inputs))?;
    let parameters: Vec<_> = Tangent::zeros_like(&module).sizes().collect();
    if parameters.is_empty() {
        return Err(NtkError::NoParameters);
    }
    let count = parameters.iter().map(|(_, count)| count).sum();
    let separate = request.separate();
    let footprint = Footprint { once_an_example: 0, each_output: count, each_pair: 0, separate };
    let jacobians = JacobianRows::new(&module, &parameters);
    request.assemble(&trial, footprint, |side, examples, unit| {
        let outputs = network(&module, examples.clone());
        check_outputs(&outputs, examples.count(), side, unit)?;
        let rows = jacobians.of(&network, examples, &unit.outputs);
        Ok(Features(vec![Part::Gradients(if separate { rows } else { one_after_another(rows) })]))
    })
}

/// What was asked for, with everything checked that can be before the network runs.
struct Request<'a, I> {
    left: I,
    right: Option<I>,
    config: &'a NtkConfig,
}

/// What one example shows of the network.
struct Trial {
    outputs: Range<usize>,
    value_bytes: usize,
}

impl<'a, I: Examples> Request<'a, I> {
    fn new(left: &I, right: Option<&I>, config: &'a NtkConfig) -> Result<Self, NtkError> {
        check_pair(left, right)?;
        Ok(Self { left: left.clone().plain(), right: right.map(|right| right.clone().plain()), config })
    }

    fn separate(&self) -> bool {
        self.config.outputs == NtkOutputs::All
    }

    fn trial(&self, network: impl Fn(I) -> Tensor<2>) -> Result<Trial, NtkError> {
        let outputs = network(self.left.rows(0..1));
        check_outputs(&outputs, 1, Side::Left, &Unit { examples: 0..1, outputs: 0..1 })?;
        let count = outputs.dims()[1];
        let chosen = match self.config.outputs {
            NtkOutputs::Trace | NtkOutputs::All => 0..count,
            NtkOutputs::One(output) if output < count => output..output + 1,
            NtkOutputs::One(output) => return Err(NtkError::NoSuchOutput { output, outputs: count }),
        };
        Ok(Trial { outputs: chosen, value_bytes: outputs.dtype().size() })
    }

    fn extent(&self, trial: &Trial) -> Extent {
        let outputs = trial.outputs.len();
        let (separate, summed) = if self.separate() { (outputs, 1) } else { (1, outputs) };
        Extent { left: self.left.count(), right: self.right.as_ref().map(I::count), separate, summed }
    }

    fn assemble(
        &self,
        trial: &Trial,
        footprint: Footprint,
        features: impl Fn(Side, &I, &Unit) -> Result<Features, NtkError>,
    ) -> Result<Tensor<2>, NtkError> {
        let right = self.right.as_ref().map(I::count);
        let most = self.left.count().max(right.unwrap_or(0));
        let limit = self.config.memory_limit;
        let size = BlockSize::within(limit, trial.value_bytes, &footprint, most, trial.outputs.len())?;
        let features = |side: Side, unit: &Unit| {
            let batch = match (side, &self.right) {
                (Side::Right, Some(right)) => right,
                _ => &self.left,
            };
            features(side, &batch.rows(unit.examples.clone()), unit)
        };
        let outputs = trial.outputs.clone();
        Assembly { size, left: self.left.count(), right, outputs, selection: self.config.outputs, features }.kernel()
    }
}
