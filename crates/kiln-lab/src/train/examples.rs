//! What a training learns from, batch by batch.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_data::augment::{Augmentation, apply_in_place};
use kiln_data::{ArrayDataset, TargetEncoding};

use super::fit::epoch_seed;

/// Rows to learn from, or to judge by.
pub trait Examples: Send + Sync {
    /// Number of rows.
    fn len(&self) -> usize;

    /// Whether there is no row.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the targets are classes, as opposed to numbers.
    fn has_classes(&self) -> bool;

    /// Inputs `[rows, features]` and targets of the given rows, as `epoch` (from 1) sees them: rows that are changed at
    /// random are changed anew in every epoch, and in the same way whenever that epoch is repeated.
    fn examples(&self, rows: &[usize], epoch: usize, device: &Device) -> (Tensor<2>, BatchTargets);
}

/// What is to be predicted for the rows of a batch.
#[derive(Clone, Debug)]
// One of these lives for one batch.
#[allow(clippy::large_enum_variant)]
pub enum BatchTargets {
    /// Class of each row, `[batch_size]`.
    Classes(Tensor<1, Int>),
    /// Numbers of each row, `[batch_size, num_targets]`.
    Values(Tensor<2>),
    /// The means of whole bags: of which bag each row is, and what is known of it.
    Bags {
        /// `[batch_size]`, in `0..num_bags`
        bag_of_row: Tensor<1, Int>,
        /// `[num_bags, num_targets]`
        responses: Tensor<2>,
    },
}

impl BatchTargets {
    /// Class of each row, `[batch_size]`.
    ///
    /// # Panics
    /// Where the targets are numbers: what looks at classes is kept from such data before.
    pub fn classes(&self) -> Tensor<1, Int> {
        match self {
            Self::Classes(classes) => classes.clone(),
            Self::Values(values) => panic!("classes are needed, and the targets are numbers {:?}", values.dims()),
            Self::Bags { .. } => panic!("classes are needed, and the targets are means of bags"),
        }
    }

    /// Numbers of each row, `[batch_size, num_targets]`; of a class, its index; of a row in a bag, those of the bag.
    pub fn values(&self) -> Tensor<2> {
        match self {
            Self::Classes(classes) => classes.clone().float().unsqueeze_dim(1),
            Self::Values(values) => values.clone(),
            Self::Bags { bag_of_row, responses } => responses.clone().select(0, bag_of_row.clone()),
        }
    }

    /// Bag of each row `[batch_size]` and means of the bags `[num_bags, num_targets]`; of numbers without bags, each row is one.
    ///
    /// # Panics
    /// Where the targets are classes.
    pub fn bags(&self) -> (Tensor<1, Int>, Tensor<2>) {
        match self {
            Self::Bags { bag_of_row, responses } => (bag_of_row.clone(), responses.clone()),
            Self::Values(values) => (Tensor::arange(0..values.dims()[0] as i64, &values.device()), values.clone()),
            Self::Classes(_) => panic!("means of bags are needed, and the targets are classes"),
        }
    }
}

impl Examples for ArrayDataset {
    fn len(&self) -> usize {
        self.len()
    }

    fn has_classes(&self) -> bool {
        self.is_classification()
    }

    fn examples(&self, rows: &[usize], _epoch: usize, device: &Device) -> (Tensor<2>, BatchTargets) {
        if self.is_classification() {
            let (inputs, classes) = self.batch(rows, device);
            (inputs, BatchTargets::Classes(classes))
        } else {
            let (inputs, values) = self.batch_values(rows, device);
            (inputs, BatchTargets::Values(values))
        }
    }
}

impl<E: Examples + ?Sized> Examples for Arc<E> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn has_classes(&self) -> bool {
        (**self).has_classes()
    }

    fn examples(&self, rows: &[usize], epoch: usize, device: &Device) -> (Tensor<2>, BatchTargets) {
        (**self).examples(rows, epoch, device)
    }
}

/// Rows of a data set as a training sees them: numbers to predict have mean 0 and deviation 1 over the training rows, and
/// pictures may be changed at random.
#[derive(Clone, Debug)]
pub struct PreparedRows {
    data: ArrayDataset,
    targets: TargetEncoding,
    augmentations: Vec<Augmentation>,
    seed: u64,
}

impl PreparedRows {
    /// The rows of `data`, whose targets `targets` was fitted on.
    pub fn new(data: &ArrayDataset, targets: &TargetEncoding) -> Self {
        Self { data: data.clone(), targets: targets.clone(), augmentations: Vec::new(), seed: 0 }
    }

    /// Changes the pictures: how is decided by `seed`, by the epoch and by the row, so that neither the order of the rows
    /// nor a resumption makes a difference.
    ///
    /// # Panics
    /// Where the rows are no pictures.
    pub fn augmented(mut self, augmentations: Vec<Augmentation>, seed: u64) -> Self {
        let shape = self.data.input_shape();
        assert!(augmentations.is_empty() || shape.len() == 3, "pictures are changed, not rows of shape {shape:?}");
        self.augmentations = augmentations;
        self.seed = seed;
        self
    }

    fn inputs(&self, rows: &[usize], epoch: usize, device: &Device) -> Tensor<2> {
        let &[channels, height, width] = self.data.input_shape() else { return self.data.inputs(rows, device) };
        if self.augmentations.is_empty() {
            return self.data.inputs(rows, device);
        }
        let mut values: Vec<f32> = rows.iter().flat_map(|&row| self.data.row(row)).copied().collect();
        // Another stream than that of the order of the rows, which the same seed and epoch decide.
        let seed = epoch_seed(self.seed, epoch).rotate_left(32);
        apply_in_place(&mut values, [channels, height, width], rows, &self.augmentations, seed);
        Tensor::from_data(TensorData::new(values, [rows.len(), channels * height * width]), device)
    }
}

impl Examples for PreparedRows {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn has_classes(&self) -> bool {
        self.data.is_classification()
    }

    fn examples(&self, rows: &[usize], epoch: usize, device: &Device) -> (Tensor<2>, BatchTargets) {
        let inputs = self.inputs(rows, epoch, device);
        if self.has_classes() {
            let classes: Vec<i64> = rows.iter().map(|&row| self.data.label(row) as i64).collect();
            let classes = Tensor::from_data(TensorData::new(classes, [rows.len()]), device);
            return (inputs, BatchTargets::Classes(classes));
        }
        let mut values: Vec<f32> = rows.iter().flat_map(|&row| self.data.values(row)).collect();
        self.targets.standardise(&mut values);
        let shape = [rows.len(), self.data.num_classes()];
        let values = Tensor::from_data(TensorData::new(values, shape), device);
        (inputs, BatchTargets::Values(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::Targets;

    #[test]
    fn a_changed_picture_depends_on_the_epoch_and_the_row_alone() {
        let names = vec!["a".to_string(), "b".to_string()];
        let targets = Targets::Classes { labels: vec![0, 1, 0], names: names.clone() };
        let inputs = (0..3 * 16).map(|value| value as f32 / 48.0).collect();
        let data = ArrayDataset::new(inputs, vec![1, 4, 4], targets).unwrap();
        let encoding = TargetEncoding::Classes { column: None, names };
        let rows = |seed| {
            let changes = vec![Augmentation::Crop { padding: 1 }, Augmentation::Noise { deviation: 0.1 }];
            PreparedRows::new(&data, &encoding).augmented(changes, seed)
        };
        let seen = |seed, order: &[usize], epoch| -> Vec<f32> {
            rows(seed).examples(order, epoch, &Device::flex()).0.into_data().iter::<f32>().collect()
        };
        let (first, turned) = (seen(1, &[0, 1, 2], 1), seen(1, &[2, 1], 1));
        assert_eq!(first[16..32], turned[16..32]);
        assert_eq!(first[32..], turned[..16]);
        assert_ne!(first, seen(1, &[0, 1, 2], 2));
        assert_ne!(first, seen(2, &[0, 1, 2], 1));
    }

    #[test]
    fn numbers_to_predict_are_seen_on_the_scale_of_the_training_rows() {
        let names = vec!["price".to_string(), "weight".to_string()];
        let targets = Targets::Values { values: vec![10.0, 1.0, 14.0, 3.0], names: names.clone() };
        let data = ArrayDataset::new(vec![0.0, 1.0], vec![1], targets).unwrap();
        let encoding = TargetEncoding::Values { columns: names, means: vec![10.0, 2.0], deviations: vec![2.0, 0.5] };
        let (_, seen) = PreparedRows::new(&data, &encoding).examples(&[1, 0], 1, &Device::flex());
        let seen: Vec<f32> = seen.values().into_data().iter::<f32>().collect();
        assert_eq!(seen, [2.0, 2.0, 0.0, -2.0]);
    }
}
