//! Products of the kernel with vectors, without the kernel.

use burn::module::Module;
use burn::tensor::Tensor;

use super::examples::check_pair;
use super::{Examples, NtkError};
use crate::operators::{gradient_at, with_leaves};
use crate::{Duals, LinearOperator, Number, Tangent};

/// The empirical tangent kernel of two batches, known by its products.
///
/// ```text
/// K v = J(left) (J(right)' v)
/// ```
/// A pass backward over the right batch, then one in dual numbers over the left one: about `3 F + B`, whatever the number
/// of outputs and examples. [`NtkOperator::symmetric`] is a [`LinearOperator`], so that spectra and solvers of this crate
/// work on kernels of batches whose matrix would not fit. The module is evaluated as its `valid()`.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::ntk::NtkOperator;
/// use kiln_autodiff::{Arithmetic, Duals, Numbers};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0], [0.0, 1.0]], &device);
/// let network = |layer: &Linear, numbers: &Duals, x| numbers.linear(layer, numbers.constant(x));
/// let operator = NtkOperator::symmetric(&layer, network, &inputs)?;
/// // The kernel is X X' + 1.
/// let product = operator.product(Tensor::from_floats([[1.0], [-1.0]], &device))?;
/// assert_eq!(product.try_into_vec_as::<f32>().unwrap(), [3.0, 1.0]);
/// # Ok::<(), kiln_autodiff::ntk::NtkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NtkOperator<M, I, F> {
    module: M,
    network: F,
    left: I,
    right: I,
    outputs: usize,
    batch_size: usize,
}

impl<M: Module, I: Examples, F: Fn(&M, &Duals, I) -> Number<2>> NtkOperator<M, I, F> {
    /// The kernel of one batch with itself.
    ///
    /// # Errors
    /// As [`NtkOperator::between`].
    pub fn symmetric(module: &M, network: F, examples: &I) -> Result<Self, NtkError> {
        Self::between(module, network, examples, examples)
    }

    /// The kernel of two batches.
    ///
    /// # Shapes
    /// - `left`: `[n, ..]`, `right`: `[m, ..]`
    /// - `network`: `[n, ..]` to `[n, k]`
    ///
    /// # Errors
    /// Empty batches, examples of different shapes, outputs that are not one row an example.
    pub fn between(module: &M, network: F, left: &I, right: &I) -> Result<Self, NtkError> {
        check_pair(left, Some(right))?;
        let (module, left, right) = (module.valid(), left.clone().plain(), right.clone().plain());
        let trial = network(&module, &Duals::new(), left.rows(0..1)).dims();
        if trial[0] != 1 || trial[1] == 0 {
            return Err(NtkError::Outputs { examples: 1, found: trial });
        }
        Ok(Self { module, network, left, right, outputs: trial[1], batch_size: usize::MAX })
    }

    /// At most so many examples in one pass, to hold fewer of them in memory; 0 counts as 1.
    pub fn with_batch_size(self, batch_size: usize) -> Self {
        Self { batch_size: batch_size.max(1), ..self }
    }

    /// `K v`.
    ///
    /// # Shapes
    /// - `vector`: `[m, k]`
    /// - output: `[n, k]`
    ///
    /// # Errors
    /// A vector of another shape.
    pub fn product(&self, vector: Tensor<2>) -> Result<Tensor<2>, NtkError> {
        let expected = [self.right.count(), self.outputs];
        if vector.dims() != expected {
            return Err(NtkError::Vector { found: vector.dims(), expected });
        }
        Ok(self.pushed_forward(&self.pulled_back(vector.inner())))
    }

    /// `J(right)' v`
    fn pulled_back(&self, vector: Tensor<2>) -> Tangent {
        let module = with_leaves(&self.module);
        let pieces = self.blocks(&self.right).map(|(start, count, inputs)| {
            let outputs = (self.network)(&module, &Duals::new(), inputs).value();
            gradient_at(&module, &(outputs * vector.clone().narrow(0, start, count)).sum())
        });
        let sum = |sum: Tangent, piece: Tangent| sum.add(&piece).expect("both are tangents of one module");
        pieces.reduce(sum).expect("a batch is not empty")
    }

    /// `J(left) t`
    fn pushed_forward(&self, tangent: &Tangent) -> Tensor<2> {
        let duals = Duals::new().with_parameters(tangent);
        let pieces = self.blocks(&self.left).map(|(_, _, inputs)| {
            let outputs = (self.network)(&self.module, &duals, inputs);
            duals.tangent(&outputs)
        });
        Tensor::cat(pieces.collect(), 0)
    }

    /// First example, number of examples, and these examples.
    fn blocks<'a>(&'a self, examples: &'a I) -> impl Iterator<Item = (usize, usize, I)> {
        let (total, size) = (examples.count(), self.batch_size.min(examples.count()));
        (0..total).step_by(size).map(move |start| {
            let end = (start + size).min(total);
            (start, end - start, examples.rows(start..end))
        })
    }
}

/// For kernels of one batch with itself: `[n k]`, output `o` of example `i` at `i k + o`.
impl<M: Module, I: Examples, F: Fn(&M, &Duals, I) -> Number<2>> LinearOperator for NtkOperator<M, I, F> {
    fn dimension(&self) -> usize {
        self.left.count() * self.outputs
    }

    /// # Panics
    /// When the vector has another length than [`LinearOperator::dimension`].
    fn apply(&self, vector: Tensor<1>) -> Tensor<1> {
        let dimension = self.dimension();
        let vector = vector.reshape([self.right.count(), self.outputs]);
        self.product(vector).unwrap_or_else(|error| panic!("{error}")).reshape([dimension])
    }
}
