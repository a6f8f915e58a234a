//! The training of the digits network and of the MNIST convnet, as `peers/train/supervised.py` does it.

use std::time::Duration;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kiln::data::{ArrayDataset, DataDir, OpenOptions, Splits, open, split::permutation};
use kiln::loss::{ClassificationLoss, CrossEntropyLossConfig};
use kiln::nn::{Network, NetworkConfig};
use kiln::optim::{AdamConfig, step};

use crate::measure::{Outcome, clock, wave};

/// Rows of a step.
const BATCH_SIZE: usize = 64;

/// Trains a new network with Adam every time: validation after every epoch, test at the end.
pub fn training(
    source: &str,
    config: NetworkConfig,
    epochs: usize,
) -> Outcome<impl FnMut() -> Outcome<Duration> + use<>> {
    let splits = open(source, &DataDir::find(None), &OpenOptions::default())?;
    let device = Device::flex().autodiff();
    Ok(move || {
        let network = config.init_seeded(splits.train.input_shape(), splits.train.num_classes(), 1, &device)?;
        let mut outcome = Ok(0.0);
        let duration = clock(|| outcome = train(network, &splits, epochs, &device));
        let accuracy = outcome?;
        if accuracy < 0.8 {
            return Err(format!("the network did not learn: accuracy {accuracy}").into());
        }
        Ok(duration)
    })
}

fn train(mut network: Network, splits: &Splits, epochs: usize, device: &Device) -> Outcome<f64> {
    let loss = CrossEntropyLossConfig::new().init()?;
    let mut optimizer = AdamConfig::new().init()?;
    for epoch in 0..epochs {
        for rows in permutation(splits.train.len(), epoch as u64).chunks(BATCH_SIZE) {
            let (inputs, targets) = splits.train.batch(rows, device);
            let value = loss.forward(network.forward(inputs), targets);
            let gradients = GradientsParams::from_grads(value.backward(), &network);
            network = step(&mut optimizer, 1e-3, network, gradients);
        }
        accuracy(&network, &splits.validation)?;
    }
    accuracy(&network, &splits.test)
}

fn accuracy(network: &Network, data: &ArrayDataset) -> Outcome<f64> {
    let network = network.valid();
    let device = Device::flex();
    let mut right = 0;
    for rows in (0..data.len()).collect::<Vec<_>>().chunks(1024) {
        let (inputs, targets) = data.batch(rows, &device);
        let guesses: Tensor<1, Int> = network.forward(inputs).argmax(1).squeeze_dim(1);
        right += guesses.equal(targets).int().sum().into_scalar::<i64>();
    }
    Ok(right as f64 / data.len() as f64)
}

/// Loss before each of `count` steps on batches of waves.
pub fn loss_curve<M: Module, const D: usize>(
    mut network: M,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<2>,
    shape: [usize; D],
    count: usize,
    mut optimizer: ModuleOptimizer,
    learning_rate: f64,
) -> Outcome<Vec<f64>> {
    let loss = CrossEntropyLossConfig::new().init()?;
    let device = Device::flex().autodiff();
    let mut losses = Vec::new();
    for batch in 0..count {
        let numbers = wave(shape.iter().product(), 0.5, 0.37, batch as f64);
        let inputs = Tensor::<D>::from_data(TensorData::new(numbers, shape), (&device, DType::F64));
        let classes: Vec<i64> = (0..shape[0]).map(|row| ((3 * row + batch) % 10) as i64).collect();
        let targets = Tensor::<1, Int>::from_data(classes.as_slice(), &device);
        let value = loss.forward(forward(&network, inputs), targets);
        losses.push(value.clone().into_scalar::<f64>());
        let gradients = GradientsParams::from_grads(value.backward(), &network);
        network = optimizer.step(learning_rate, network, gradients);
    }
    Ok(losses)
}

/// Hands out one wave over all parameters, in PyTorch's order and layout.
pub struct WaveWeights {
    numbers: std::vec::IntoIter<f64>,
}

impl WaveWeights {
    /// Enough for the parameters of `module`.
    pub fn for_module<M: Module>(module: &M) -> Self {
        Self { numbers: wave(module.num_params(), 0.1, 0.7, 0.0).into_iter() }
    }

    /// The next parameter.
    pub fn parameter<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_tensor(self.tensor(shape))
    }

    /// Weight, `[outputs, inputs]` in the wave, and bias of a linear layer.
    pub fn linear(&mut self, layer: &mut Linear) {
        let [inputs, outputs] = layer.weight.dims();
        layer.weight = Param::from_tensor(self.tensor([outputs, inputs]).transpose());
        layer.bias = Some(self.parameter([outputs]));
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        let numbers: Vec<f64> = self.numbers.by_ref().take(shape.iter().product()).collect();
        Tensor::from_data(TensorData::new(numbers, shape), (&Device::flex().autodiff(), DType::F64))
    }
}
