//! Batches of examples of any shape.

use std::ops::Range;

use burn::tensor::{Int, Tensor};

use super::NtkError;

/// A batch of examples: a tensor of any rank, of floating-point numbers or integers, whose leading axis counts them.
///
/// Implemented here only.
pub trait Examples: Clone + sealed::Sealed {
    /// Number of examples.
    fn count(&self) -> usize;

    /// Shape of one example.
    fn example_dims(&self) -> Vec<usize>;

    /// Some of the examples.
    #[doc(hidden)]
    fn rows(&self, range: Range<usize>) -> Self;

    /// The first example, `count` times.
    #[doc(hidden)]
    fn first_repeated(&self, count: usize) -> Self;

    /// The same examples outside of any graph.
    #[doc(hidden)]
    fn plain(self) -> Self;
}

mod sealed {
    use super::{Int, Tensor};

    pub trait Sealed {}

    impl<const D: usize> Sealed for Tensor<D> {}
    impl<const D: usize> Sealed for Tensor<D, Int> {}
}

macro_rules! examples_of_kind {
    ($($kind:ty),+) => {$(
        impl<const D: usize> Examples for Tensor<D, $kind> {
            fn count(&self) -> usize {
                self.dims()[0]
            }

            fn example_dims(&self) -> Vec<usize> {
                self.dims()[1..].to_vec()
            }

            fn rows(&self, range: Range<usize>) -> Self {
                self.clone().narrow(0, range.start, range.len())
            }

            fn first_repeated(&self, count: usize) -> Self {
                Tensor::cat(vec![self.rows(0..1); count], 0)
            }

            fn plain(self) -> Self {
                self.inner()
            }
        }
    )+};
}

examples_of_kind!(burn::tensor::Float, Int);

/// That neither batch is empty, and that their examples have the same shape.
pub(super) fn check_pair<I: Examples>(left: &I, right: Option<&I>) -> Result<(), NtkError> {
    let right = right.unwrap_or(left);
    for (batch, examples) in [("left", left), ("right", right)] {
        if examples.count() == 0 {
            return Err(NtkError::Empty { batch });
        }
    }
    if left.example_dims() != right.example_dims() {
        return Err(NtkError::DifferentExamples { left: left.example_dims(), right: right.example_dims() });
    }
    Ok(())
}
