//! Sums, largest values and shares over the rows of each bag, for bags of any sizes and for bags of one size.

use std::ops::Range;

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

/// How rows lie in bags.
#[derive(Clone)]
pub(super) enum Layout {
    /// Each row says its bag, `[num_rows]`; outside the graph.
    Ragged { bag_of_row: Box<Tensor<1, Int>>, bags: usize },
    /// Bags of one size, one after the other.
    Uniform { bags: usize, size: usize },
}

impl Layout {
    /// For tensors on the device and of the float type of `like`.
    pub(super) fn grouping(self, like: &Tensor<2>) -> Grouping {
        match self {
            Self::Ragged { bag_of_row, bags } => Grouping::ragged(*bag_of_row, bags, like),
            Self::Uniform { bags, size } => Grouping::Uniform { bags, size },
        }
    }

    /// For slices on the processor.
    pub(super) fn members(&self) -> Members {
        match self {
            Self::Ragged { bag_of_row, bags } => {
                let data = Tensor::clone(bag_of_row).into_data().convert::<i64>();
                Members::of(data.as_slice::<i64>().expect("whole numbers"), *bags)
            }
            Self::Uniform { bags, size } => {
                Members { starts: (0..=*bags).map(|bag| bag * size).collect(), order: None }
            }
        }
    }
}

/// The rows of each bag, on the processor.
pub(super) struct Members {
    /// Where each bag begins, counted in rows bag after bag, and where the last one ends.
    starts: Vec<usize>,
    /// Rows bag after bag, where that is not their order.
    order: Option<Vec<usize>>,
}

impl Members {
    fn of(bag_of_row: &[i64], bags: usize) -> Self {
        let mut starts = vec![0; bags + 1];
        for (row, &bag) in bag_of_row.iter().enumerate() {
            let bag = usize::try_from(bag).ok().filter(|&bag| bag < bags);
            let bag = bag.unwrap_or_else(|| panic!("row {row} is in bag {}, of {bags}", bag_of_row[row]));
            starts[bag + 1] += 1;
        }
        for bag in 0..bags {
            starts[bag + 1] += starts[bag];
        }
        if bag_of_row.is_sorted() {
            return Self { starts, order: None };
        }
        let (mut next, mut order) = (starts.clone(), vec![0; bag_of_row.len()]);
        for (row, &bag) in bag_of_row.iter().enumerate() {
            order[next[bag as usize]] = row;
            next[bag as usize] += 1;
        }
        Self { starts, order: Some(order) }
    }

    /// Number of bags.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Places of the rows of consecutive bags, bag after bag.
    pub(super) fn places(&self, bags: Range<usize>) -> Range<usize> {
        self.starts[bags.start]..self.starts[bags.end]
    }

    /// The row at a place.
    pub(super) fn row(&self, place: usize) -> usize {
        self.order.as_ref().map_or(place, |order| order[place])
    }

    /// Numbers `[num_rows, width]` that lie bag after bag, in the order of the rows.
    pub(super) fn in_order_of_rows(&self, values: Vec<f32>, width: usize) -> Vec<f32> {
        let Some(order) = &self.order else { return values };
        let mut ordered = vec![0.0; values.len()];
        for (own, &row) in values.chunks_exact(width).zip(order) {
            ordered[row * width..(row + 1) * width].copy_from_slice(own);
        }
        ordered
    }
}

/// How rows lie in bags, for operations on tensors; all of these are outside the graph.
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
    fn ragged(bag_of_row: Tensor<1, Int>, bags: usize, like: &Tensor<2>) -> Self {
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
