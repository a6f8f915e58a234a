//! Operations on components that are stacked along the leading axis.
//!
//! A block of `w` components of shape `[n, ..]` is one tensor `[w * n, ..]`, so that one tensor operation works on all
//! directions at once.

use burn::tensor::{Int, Tensor};

use super::algebra::pairs;

/// Components stacked along the leading axis.
#[derive(Debug, Clone)]
pub(crate) struct Stacked<const D: usize> {
    pub(crate) tensor: Tensor<D>,
    pub(crate) width: usize,
}

/// An element-wise operation of two operands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
}

impl Binary {
    pub(crate) fn apply<const D: usize>(self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Add => left + right,
            Self::Sub => left - right,
            Self::Mul => left * right,
        }
    }
}

/// Expands to one call of `$function` with the rank after `D`.
macro_rules! with_one_more_axis {
    ($rank:expr, $function:ident::<$($generics:tt),*>($($argument:expr),* $(,)?)) => {
        match $rank {
            1 => $function::<$($generics,)* 2>($($argument),*),
            2 => $function::<$($generics,)* 3>($($argument),*),
            3 => $function::<$($generics,)* 4>($($argument),*),
            4 => $function::<$($generics,)* 5>($($argument),*),
            5 => $function::<$($generics,)* 6>($($argument),*),
            6 => $function::<$($generics,)* 7>($($argument),*),
            rank => panic!("components of rank {rank} cannot be stacked: at most rank 6"),
        }
    };
}

impl<const D: usize> Stacked<D> {
    pub(crate) fn new(tensor: Tensor<D>, width: usize) -> Self {
        Self { tensor, width }
    }

    /// Shape of one component.
    pub(crate) fn component_dims(&self) -> [usize; D] {
        let mut dims = self.tensor.dims();
        dims[0] /= self.width;
        dims
    }

    /// The components, one by one.
    pub(crate) fn components(&self) -> Vec<Tensor<D>> {
        if self.width == 1 {
            return vec![self.tensor.clone()];
        }
        let rows = self.component_dims()[0];
        (0..self.width).map(|index| self.tensor.clone().narrow(0, index * rows, rows)).collect()
    }

    /// Element by element, with a component for each of the wider operand's; shapes broadcast as Burn's.
    pub(crate) fn combine(self, other: Self, operation: Binary) -> Tensor<D> {
        if self.width == 1 && other.width == 1 {
            return operation.apply(self.tensor, other.tensor);
        }
        let (left, right) = (self.component_dims(), other.component_dims());
        if left == right && self.width == other.width {
            return operation.apply(self.tensor, other.tensor);
        }
        if left == right {
            let width = self.width.max(other.width);
            let mut dims = left;
            dims[0] *= width;
            return operation.apply(self.flat(), other.flat()).reshape(dims);
        }
        with_one_more_axis!(D, combine_broadcast::<D>(self, other, operation))
    }

    /// Every component in the shape `dims`, to which it broadcasts.
    pub(crate) fn expand(self, dims: [usize; D]) -> Tensor<D> {
        if self.component_dims() == dims {
            return self.tensor;
        }
        if self.width == 1 {
            return self.tensor.expand(dims);
        }
        with_one_more_axis!(D, expand_components::<D>(self, dims))
    }

    /// `[width, number of elements]`
    pub(crate) fn flat(self) -> Tensor<2> {
        let total = self.component_dims().iter().product::<usize>();
        self.tensor.reshape([self.width, total])
    }

    /// The sum of the components.
    pub(crate) fn sum(self) -> Tensor<D> {
        if self.width == 1 {
            return self.tensor;
        }
        let dims = self.component_dims();
        self.flat().sum_dim(0).reshape(dims)
    }

    /// The components at `indices`.
    fn pick(self, indices: Vec<usize>) -> Tensor<D> {
        let mut dims = self.component_dims();
        dims[0] *= indices.len();
        let indices: Vec<i64> = indices.into_iter().map(|index| index as i64).collect();
        let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &self.tensor.device().inner());
        self.flat().select(0, indices).reshape(dims)
    }
}

/// `sum_i a_i b_i`.
pub(crate) fn trace<const D: usize>(left: Stacked<D>, right: Stacked<D>) -> Tensor<D> {
    let width = left.width;
    Stacked::new(left.combine(right, Binary::Mul), width).sum()
}

/// `a_i b_j + a_j b_i` for `i <= j`.
pub(crate) fn symmetric_pairs<const D: usize>(left: Stacked<D>, right: Stacked<D>) -> Tensor<D> {
    let width = left.width;
    let (first, second): (Vec<usize>, Vec<usize>) = pairs(width).unzip();
    let count = first.len();
    let product = |a: &Stacked<D>, i: &[usize], b: &Stacked<D>, j: &[usize]| {
        let a = Stacked::new(a.clone().pick(i.to_vec()), count);
        a.combine(Stacked::new(b.clone().pick(j.to_vec()), count), Binary::Mul)
    };
    product(&left, &first, &right, &second) + product(&left, &second, &right, &first)
}

/// `[width, 1 .. 1, dims]`: the components along an axis of their own.
fn with_axis<const D: usize, const E: usize>(stacked: Stacked<D>) -> Tensor<E> {
    let mut dims = [stacked.width; E];
    dims[1..].copy_from_slice(&stacked.component_dims());
    stacked.tensor.reshape(dims)
}

/// The inverse of [`with_axis`].
fn without_axis<const D: usize, const E: usize>(tensor: Tensor<E>) -> Tensor<D> {
    let lifted = tensor.dims();
    let mut dims = [0; D];
    dims.copy_from_slice(&lifted[1..]);
    dims[0] *= lifted[0];
    tensor.reshape(dims)
}

fn combine_broadcast<const D: usize, const E: usize>(
    left: Stacked<D>,
    right: Stacked<D>,
    operation: Binary,
) -> Tensor<D> {
    without_axis(operation.apply(with_axis::<D, E>(left), with_axis::<D, E>(right)))
}

fn expand_components<const D: usize, const E: usize>(stacked: Stacked<D>, dims: [usize; D]) -> Tensor<D> {
    let mut lifted = [stacked.width; E];
    lifted[1..].copy_from_slice(&dims);
    without_axis(with_axis::<D, E>(stacked).expand(lifted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_check::{assert_close, values};

    fn block(values: &[f32], dims: [usize; 2], width: usize) -> Stacked<2> {
        let tensor = Tensor::<1>::from_floats(values, &Device::flex());
        Stacked::new(tensor.reshape([width * dims[0], dims[1]]), width)
    }

    #[test]
    fn components_broadcast_each_on_its_own() {
        let row = block(&[1.0, 2.0, 10.0, 20.0], [1, 2], 2);
        let matrix = block(&[1.0, 1.0, 2.0, 3.0], [2, 2], 1);
        let product = row.combine(matrix, Binary::Mul);
        assert_eq!(product.dims(), [4, 2]);
        assert_close(&values(&product), &[1.0, 2.0, 2.0, 6.0, 10.0, 20.0, 20.0, 60.0], 0.0);
    }

    #[test]
    fn expanding_repeats_within_a_component() {
        let expanded = block(&[1.0, 2.0], [1, 1], 2).expand([2, 1]);
        assert_close(&values(&expanded), &[1.0, 1.0, 2.0, 2.0], 0.0);
    }

    #[test]
    fn pairs_and_trace_are_their_formulas() {
        let left = block(&[2.0, 3.0], [1, 1], 2);
        let right = block(&[5.0, 7.0], [1, 1], 2);
        assert_close(&values(&trace(left.clone(), right.clone())), &[31.0], 0.0);
        assert_close(&values(&symmetric_pairs(left, right)), &[20.0, 29.0, 42.0], 0.0);
    }
}
