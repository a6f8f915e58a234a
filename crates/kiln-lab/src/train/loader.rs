//! Batches for Burn's training stack, in an order that depends on the seed and the epoch alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::{Device, Tensor};
use kiln_data::split::permutation;
use kiln_loss::TrainingMoment;

use super::fit::epoch_seed;
use super::{BatchTargets, Examples};

/// Examples of one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch_size, num_features]`
    pub inputs: Tensor<2>,
    /// What is to be predicted.
    pub targets: BatchTargets,
    /// Number of the step in the whole training, from 0.
    pub step: u64,
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Whether this is the last batch of its epoch.
    pub last: bool,
    /// Which rows of the training set these are, in order.
    pub rows: Vec<usize>,
}

impl Batch {
    /// Where in the training the batch stands, for losses that draw or remember.
    pub fn moment(&self) -> TrainingMoment<'_> {
        TrainingMoment { step: self.step, epoch: self.epoch, rows: &self.rows }
    }
}

/// A loader whose order of examples in epoch `e` is a function of the seed and of `e`.
///
/// Burn's own shuffling loader carries its generator from epoch to epoch, so that a resumed training would see another
/// order. This one gives a resumed training the batches that the uninterrupted one would have seen.
pub struct EpochLoader {
    data: Arc<dyn Examples>,
    /// Rows of the data that this loader gives.
    rows: Vec<usize>,
    batch_size: usize,
    order: Order,
    device: Device,
    next_epoch: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Shuffled(u64),
    AsStored,
}

impl EpochLoader {
    /// A loader for training, which starts with epoch `first_epoch` (from 1).
    pub fn shuffled(
        data: impl Examples + 'static,
        batch_size: usize,
        seed: u64,
        first_epoch: usize,
        device: Device,
    ) -> Self {
        Self::new(Arc::new(data), batch_size, Order::Shuffled(seed), first_epoch, device)
    }

    /// A loader for validation: the same order in every epoch.
    pub fn ordered(data: impl Examples + 'static, batch_size: usize, device: Device) -> Self {
        Self::new(Arc::new(data), batch_size, Order::AsStored, 1, device)
    }

    fn new(data: Arc<dyn Examples>, batch_size: usize, order: Order, first_epoch: usize, device: Device) -> Self {
        let rows = (0..data.len()).collect();
        Self { data, rows, batch_size, order, device, next_epoch: Arc::new(AtomicUsize::new(first_epoch)) }
    }

    fn on(&self, rows: Vec<usize>, device: &Device) -> Self {
        Self {
            data: self.data.clone(),
            rows,
            batch_size: self.batch_size,
            order: self.order,
            device: device.clone(),
            next_epoch: self.next_epoch.clone(),
        }
    }
}

impl DataLoader<Batch> for EpochLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        let epoch = self.next_epoch.fetch_add(1, Ordering::Relaxed);
        let order = match self.order {
            Order::Shuffled(seed) => {
                // Dropout draws from the device: what it draws must not depend on where a training was resumed.
                self.device.seed(epoch_seed(seed, epoch));
                permutation(self.rows.len(), epoch_seed(seed, epoch)).into_iter().map(|at| self.rows[at]).collect()
            }
            Order::AsStored => self.rows.clone(),
        };
        Box::new(EpochIterator { loader: self, order, epoch, done: 0 })
    }

    fn num_items(&self) -> usize {
        self.rows.len()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(self.on(self.rows.clone(), device))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch>> {
        let mut slice = self.on(self.rows[start..end].to_vec(), &self.device);
        slice.next_epoch = Arc::new(AtomicUsize::new(self.next_epoch.load(Ordering::Relaxed)));
        Arc::new(slice)
    }
}

struct EpochIterator<'a> {
    loader: &'a EpochLoader,
    order: Vec<usize>,
    epoch: usize,
    done: usize,
}

impl Iterator for EpochIterator<'_> {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done == self.order.len() {
            return None;
        }
        let size = self.loader.batch_size;
        let end = (self.done + size).min(self.order.len());
        let rows = self.order[self.done..end].to_vec();
        let (inputs, targets) = self.loader.data.examples(&rows, self.epoch, &self.loader.device);
        let steps_per_epoch = self.order.len().div_ceil(size);
        let step = ((self.epoch - 1) * steps_per_epoch + self.done / size) as u64;
        self.done = end;
        Some(Ok(Batch { inputs, targets, step, epoch: self.epoch, last: end == self.order.len(), rows }))
    }
}

impl DataLoaderIterator<Batch> for EpochIterator<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.order.len(), Some("examples".to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::{ArrayDataset, Targets};

    fn counted(examples: usize) -> ArrayDataset {
        let labels = (0..examples as u32).map(|i| i % 2).collect();
        let names = vec!["even".to_string(), "odd".to_string()];
        let inputs = (0..examples).map(|i| i as f32).collect();
        ArrayDataset::new(inputs, vec![1], Targets::Classes { labels, names }).unwrap()
    }

    fn epoch(loader: &EpochLoader) -> Vec<Vec<f32>> {
        loader.iter().map(|batch| batch.unwrap().inputs.into_data().iter::<f32>().collect()).collect()
    }

    #[test]
    fn an_epoch_does_not_depend_on_where_the_training_began() {
        let device = Device::flex();
        let whole = EpochLoader::shuffled(counted(10), 4, 7, 1, device.clone());
        let (first, second) = (epoch(&whole), epoch(&whole));
        let resumed = EpochLoader::shuffled(counted(10), 4, 7, 2, device);
        assert_eq!(second, epoch(&resumed));
        assert_ne!(first, second);
        let mut seen: Vec<f32> = first.concat();
        seen.sort_by(f32::total_cmp);
        assert_eq!(seen, (0..10).map(|i| i as f32).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_knows_its_rows() {
        let loader = EpochLoader::shuffled(counted(10), 4, 7, 1, Device::flex());
        let whole: Vec<Batch> = loader.iter().map(Result::unwrap).collect();
        let slice = loader.slice(6, 9);
        for batch in whole.into_iter().chain(slice.iter().map(Result::unwrap)) {
            let inputs: Vec<f32> = batch.inputs.into_data().iter::<f32>().collect();
            assert_eq!(inputs, batch.rows.iter().map(|&row| row as f32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn steps_are_counted_over_epochs() {
        let loader = EpochLoader::shuffled(counted(10), 4, 7, 1, Device::flex());
        let steps = |loader: &EpochLoader| -> Vec<(u64, bool)> {
            loader.iter().map(|batch| batch.map(|b| (b.step, b.last)).unwrap()).collect()
        };
        assert_eq!(steps(&loader), vec![(0, false), (1, false), (2, true)]);
        assert_eq!(steps(&loader), vec![(3, false), (4, false), (5, true)]);
    }
}
