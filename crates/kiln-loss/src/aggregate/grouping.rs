//! Sums, largest values and shares over the rows of each bag, for bags of any sizes and for bags of one size.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

/// How rows lie in bags; all tensors are outside the graph.
// One of these lives for one loss, on the stack.
#[allow(clippy::large_enum_variant)]
pub(super) enum Grouping {
    /// Each row says its bag.
    Ragged {
        /// `[num_rows]`
        bag_of_row: Tensor<1, Int>,
        /// Rows of each bag, `[num_bags, 1]`.
        sizes: Tensor<2>,
    },
    /// Bags of one size, one after the other.
    Uniform { bags: usize, size: usize },
}

impl Grouping {
    /// # Shapes
    /// - `bag_of_row`: `[num_rows]`
    /// - `like`: any tensor of the float type and device of the predictions
    pub(super) fn ragged(bag_of_row: Tensor<1, Int>, bags: usize, like: &Tensor<2>) -> Self {
        let bag_of_row = bag_of_row.inner();
        let [rows] = bag_of_row.dims();
        let options = (&like.device(), like.dtype());
        let (ones, none) = (Tensor::ones([rows, 1], options), Tensor::zeros([bags, 1], options));
        let sizes = none.select_assign(0, bag_of_row.clone(), ones, IndexingUpdateOp::Add);
        Self::Ragged { bag_of_row, sizes }
    }

    /// Sum over the rows of each bag.
    ///
    /// # Shapes
    /// - `values`: `[num_rows, width]`
    /// - output: `[num_bags, width]`
    pub(super) fn sum(&self, values: Tensor<2>) -> Tensor<2> {
        let [_, width] = values.dims();
        match self {
            Self::Ragged { bag_of_row, sizes } => {
                let none = Tensor::zeros([sizes.dims()[0], width], (&values.device(), values.dtype()));
                none.select_assign(0, bag_of_row.clone(), values, IndexingUpdateOp::Add)
            }
            Self::Uniform { bags, size } => values.reshape([*bags, *size, width]).sum_dim(1).squeeze_dim(1),
        }
    }

    /// Mean over the rows of each bag, `[num_bags, width]`.
    pub(super) fn mean(&self, values: Tensor<2>) -> Tensor<2> {
        self.over_size(self.sum(values))
    }

    /// Values of bags over the sizes of these.
    pub(super) fn over_size(&self, values: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Ragged { sizes, .. } => values / sizes.clone(),
            Self::Uniform { size, .. } => values / *size as f64,
        }
    }

    /// Values of bags times the sizes of these.
    pub(super) fn times_size(&self, values: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Ragged { sizes, .. } => values * sizes.clone(),
            Self::Uniform { size, .. } => values * *size as f64,
        }
    }

    /// What a bag has, for each of its rows.
    ///
    /// # Shapes
    /// - `values`: `[num_bags, width]`
    /// - output: `[num_rows, width]`
    pub(super) fn spread(&self, values: Tensor<2>) -> Tensor<2> {
        let [_, width] = values.dims();
        match self {
            Self::Ragged { bag_of_row, .. } => values.select(0, bag_of_row.clone()),
            Self::Uniform { bags, size } => {
                values.reshape([*bags, 1, width]).expand([*bags, *size, width]).reshape([bags * size, width])
            }
        }
    }

    /// Logarithm of the mean of `exp(values)` over each bag, `[num_bags, width]`, and each row's share of that sum,
    /// `[num_rows, width]`. Nothing overflows, and a bag that is far below the others keeps its digits.
    pub(super) fn log_mean_exp(&self, values: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let largest = self.largest(values.clone());
        let powers = (values - self.spread(largest.clone())).exp();
        let sums = self.sum(powers.clone());
        let shares = powers / self.spread(sums.clone());
        (largest + self.over_size(sums).log(), shares)
    }

    fn largest(&self, values: Tensor<2>) -> Tensor<2> {
        let [_, width] = values.dims();
        match self {
            Self::Ragged { bag_of_row, sizes } => {
                let options = (&values.device(), values.dtype());
                let none = Tensor::full([sizes.dims()[0], width], f64::NEG_INFINITY, options);
                none.select_assign(0, bag_of_row.clone(), values, IndexingUpdateOp::Max)
            }
            Self::Uniform { bags, size } => values.reshape([*bags, *size, width]).max_dim(1).squeeze_dim(1),
        }
    }
}
