//! Whole bags in every batch.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_data::{ArrayDataset, Bags, TargetEncoding};
use kiln_loss::aggregate::BagLossKind;
use kiln_nn::Network;

use super::names::kind_of;
use crate::train::{BatchTargets, Examples};

/// Bags of rows as a training sees them: an example is a bag with all its rows, so that no batch can cut one, and its target
/// is the mean over the bag.
#[derive(Clone, Debug)]
pub struct BagExamples {
    data: ArrayDataset,
    bags: Bags,
    /// `[num_bags, width]`
    responses: Vec<f32>,
    width: usize,
    kind: BagLossKind,
}

impl BagExamples {
    /// The bags of `data`, whose targets `targets` was fitted on: numbers are learnt on the scale of the training rows, of
    /// classes their proportions.
    pub fn new(data: &ArrayDataset, bags: &Bags, targets: &TargetEncoding) -> Self {
        let width = data.num_classes();
        let rows = 0..data.len();
        let values: Vec<f32> = if data.is_classification() {
            rows.flat_map(|row| (0..width).map(move |class| (row, class)))
                .map(|(row, class)| f32::from(data.label(row) == class))
                .collect()
        } else {
            rows.flat_map(|row| data.values(row)).collect()
        };
        let mut responses: Vec<f32> = bags.means(&values, width).into_iter().map(|mean| mean as f32).collect();
        targets.standardise(&mut responses);
        Self { data: data.clone(), bags: bags.clone(), responses, width, kind: kind_of(targets) }
    }

    /// Some of the bags.
    ///
    /// # Panics
    /// Where a bag is not below [`len`](Examples::len).
    pub fn select(&self, bags: &[usize]) -> Self {
        let own = |&bag: &usize| &self.responses[bag * self.width..(bag + 1) * self.width];
        let responses = bags.iter().flat_map(own).copied().collect();
        Self { responses, bags: self.bags.select(bags), ..self.clone() }
    }

    /// How many bags have so many rows together, or nearly.
    pub fn bags_a_batch(&self, rows: usize) -> usize {
        let all = self.bags.rows().len().max(1);
        ((rows * self.bags.len()) as f64 / all as f64).round().max(1.0) as usize
    }

    /// The means of the bags, `[bag][target]`, on the scale on which they are learnt.
    pub fn responses(&self) -> Vec<Vec<f64>> {
        self.responses.chunks(self.width).map(|row| row.iter().map(|&value| value.into()).collect()).collect()
    }

    /// What `network` predicts for the same.
    pub fn predicted(&self, network: &Network, device: &Device) -> Vec<Vec<f64>> {
        const BLOCK: usize = 512;
        let block = |rows: &[usize]| network.forward(self.data.inputs(rows, device));
        let outputs = Tensor::cat(self.bags.rows().chunks(BLOCK).map(block).collect(), 0);
        let means = if self.kind == BagLossKind::CrossEntropy { softmax(outputs, 1) } else { outputs };
        let values: Vec<f32> = means.into_data().iter::<f32>().collect();
        let means = self.bags.renumbered().means(&values, self.width);
        means.chunks(self.width).map(<[f64]>::to_vec).collect()
    }

    /// Rows of each bag.
    pub fn sizes(&self) -> Vec<usize> {
        self.bags.sizes()
    }
}

impl Examples for BagExamples {
    fn len(&self) -> usize {
        self.bags.len()
    }

    /// Of a bag's classes only the proportions are known.
    fn has_classes(&self) -> bool {
        false
    }

    fn examples(&self, bags: &[usize], _epoch: usize, device: &Device) -> (Tensor<2>, BatchTargets) {
        let batch = self.bags.batch(bags);
        let bag_of_row: Vec<i64> = batch.bag_of_row.iter().map(|&bag| bag as i64).collect();
        let responses: Vec<f32> =
            bags.iter().flat_map(|&bag| &self.responses[bag * self.width..(bag + 1) * self.width]).copied().collect();
        let targets = BatchTargets::Bags {
            bag_of_row: Tensor::from_data(TensorData::new(bag_of_row, [batch.rows.len()]), device),
            responses: Tensor::from_data(TensorData::new(responses, [bags.len(), self.width]), device),
        };
        (self.data.inputs(&batch.rows, device), targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::EpochLoader;
    use burn::data::dataloader::DataLoader;
    use kiln_data::Targets;

    fn counted() -> BagExamples {
        let targets = Targets::Values { values: (0..10).map(|row| row as f32).collect(), names: vec!["y".into()] };
        let data = ArrayDataset::new((0..10).map(|row| row as f32).collect(), vec![1], targets).unwrap();
        let bags = Bags::from_ids(&[0, 1, 0, 2, 1, 1, 0, 2, 3, 0]).unwrap();
        let encoding = TargetEncoding::Values { columns: vec!["y".into()], means: vec![1.0], deviations: vec![2.0] };
        BagExamples::new(&data, &bags, &encoding)
    }

    #[test]
    fn no_batch_cuts_a_bag() {
        let examples = counted();
        let responses = examples.responses();
        let loader = EpochLoader::shuffled(examples, 2, 3, 1, Device::flex());
        for batch in loader.iter().map(Result::unwrap) {
            let (bag_of_row, means) = batch.targets.bags();
            let bags: Vec<i64> = bag_of_row.into_data().iter::<i64>().collect();
            let inputs: Vec<f32> = batch.inputs.into_data().iter::<f32>().collect();
            let means: Vec<f32> = means.into_data().iter::<f32>().collect();
            for (place, &bag) in batch.rows.iter().enumerate() {
                let own: Vec<f32> =
                    inputs.iter().zip(&bags).filter(|(_, b)| **b == place as i64).map(|(input, _)| *input).collect();
                let expected: &[f32] = [&[0.0, 2.0, 6.0, 9.0][..], &[1.0, 4.0, 5.0], &[3.0, 7.0], &[8.0]][bag];
                assert_eq!(own, expected);
                let mean = own.iter().sum::<f32>() / own.len() as f32;
                assert_eq!(means[place], (mean - 1.0) / 2.0);
                assert_eq!(f64::from(means[place]), responses[bag][0]);
            }
        }
    }

    #[test]
    fn a_batch_has_about_as_many_rows_as_asked_for() {
        let examples = counted();
        assert_eq!([1, 5, 7, 100].map(|rows| examples.bags_a_batch(rows)), [1, 2, 3, 40]);
        assert_eq!(examples.select(&[2]).responses(), [[2.0]]);
    }

    #[test]
    fn of_classes_the_proportions_are_known() {
        let targets = Targets::Classes { labels: vec![0, 1, 1, 1], names: vec!["a".into(), "b".into()] };
        let data = ArrayDataset::new(vec![0.0; 4], vec![1], targets).unwrap();
        let bags = Bags::from_ids(&["x", "x", "x", "y"]).unwrap();
        let encoding = TargetEncoding::Classes { column: None, names: vec!["a".into(), "b".into()] };
        let examples = BagExamples::new(&data, &bags, &encoding);
        let third = f64::from(1.0_f32 / 3.0);
        assert!((examples.responses()[0][0] - third).abs() < 1e-6 && examples.responses()[1] == [0.0, 1.0]);
        assert!(!examples.has_classes());
    }
}
