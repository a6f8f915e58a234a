//! What an image network minimises.

use burn::tensor::{Int, Tensor, TensorData};
use kiln_loss::perceptual::{ElVaeLoss, ImageLoss};
use kiln_nn::{Network, VariationalAutoencoder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::super::{Batch, Objective};

/// A dissimilarity between the network's pictures and those that they should be.
#[derive(Debug)]
pub struct ImageObjective {
    /// The dissimilarity.
    pub loss: Box<dyn ImageLoss>,
    /// `[channels, height, width]` of a picture.
    pub shape: [usize; 3],
}

impl Objective for ImageObjective {
    /// Of the inputs to their own pictures; the classes are not looked at.
    fn loss(&self, network: &Network, inputs: Tensor<2>, _targets: Tensor<1, Int>, _step: u64) -> Tensor<1> {
        self.loss.mean_dissimilarity(images(network.forward(inputs.clone()), self.shape), images(inputs, self.shape))
    }

    fn on_batch(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        let outputs = network.forward(batch.inputs.clone());
        let (output, target) = (images(outputs.clone(), self.shape), images(batch.targets.values(), self.shape));
        (self.loss.mean_dissimilarity(output, target), Some(outputs))
    }
}

/// The expected loss of a variational autoencoder, by one sample of each code. The samples of a training are decided by
/// the seed and the step, those of a judgement by its rows, so that two judgements can be compared.
#[derive(Debug)]
pub struct ElVaeObjective {
    /// Divergence of the code and expected dissimilarity.
    pub loss: ElVaeLoss<Box<dyn ImageLoss>>,
    /// `[channels, height, width]` of a picture.
    pub shape: [usize; 3],
    /// Decides the samples.
    pub seed: u64,
}

impl ElVaeObjective {
    fn of(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<2>, draw: Draw) -> Tensor<1> {
        let Some(network) = network.variational() else {
            panic!("el-vae is a loss of variational autoencoders, and the network is none")
        };
        let (mean, log_variance) = network.encode(images(inputs, self.shape));
        let output = self.sample(network, &mean, &log_variance, draw);
        self.loss.forward(images(targets, self.shape), output, mean, log_variance)
    }

    /// The pictures of one sample of each code.
    fn sample(
        &self,
        network: &VariationalAutoencoder,
        mean: &Tensor<2>,
        log_variance: &Tensor<2>,
        draw: Draw,
    ) -> Tensor<4> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(match draw {
            Draw::Step(step) => step << 1,
            Draw::Rows(first) => (first as u64) << 1 | 1,
        });
        let shape = mean.dims();
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| random.sample(StandardNormal)).collect();
        let noise = Tensor::<2>::from_data(TensorData::new(values, shape), &mean.device());
        network.decode(mean.clone() + log_variance.clone().mul_scalar(0.5).exp() * noise)
    }
}

/// What decides a sample besides the seed.
#[derive(Clone, Copy)]
enum Draw {
    /// The step of a training.
    Step(u64),
    /// The first of the rows that are judged.
    Rows(usize),
}

impl Objective for ElVaeObjective {
    /// Of the inputs to their own pictures; the classes are not looked at.
    fn loss(&self, network: &Network, inputs: Tensor<2>, _targets: Tensor<1, Int>, step: u64) -> Tensor<1> {
        self.of(network, inputs.clone(), inputs, Draw::Step(step))
    }

    fn on_batch(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        let draw = Draw::Rows(batch.rows.first().copied().unwrap_or(0));
        (self.of(network, batch.inputs.clone(), batch.targets.values(), draw), None)
    }

    fn training_loss_and_logits(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        (self.of(network, batch.inputs.clone(), batch.targets.values(), Draw::Step(batch.step)), None)
    }

    fn forms_outputs(&self) -> bool {
        false
    }
}

/// Flat rows as pictures.
pub(super) fn images(rows: Tensor<2>, [channels, height, width]: [usize; 3]) -> Tensor<4> {
    let [batch_size, _] = rows.dims();
    rows.reshape([batch_size, channels, height, width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::BatchTargets;
    use burn::tensor::{Device, Distribution};
    use kiln_loss::perceptual::{ElVaeLossConfig, PixelLoss};
    use kiln_nn::{CoderLayers, NetworkConfig};

    fn batch(step: u64, rows: Vec<usize>) -> Batch {
        let device = Device::flex();
        device.seed(1);
        let inputs = Tensor::random([rows.len(), 16], Distribution::Default, &device);
        Batch { targets: BatchTargets::Values(inputs.clone()), inputs, step, epoch: 1, last: false, rows }
    }

    fn network(variational: bool) -> Network {
        let layers = CoderLayers::FullyConnected { hidden: vec![6] };
        let config = NetworkConfig::Autoencoder { layers, code: 3, activation: Default::default(), variational };
        config.init_seeded(&[1, 4, 4], 16, 1, &Device::flex()).unwrap()
    }

    #[test]
    fn the_squared_error_is_that_of_the_pixels() {
        let objective = ImageObjective { loss: Box::new(PixelLoss::L2), shape: [1, 4, 4] };
        let (network, batch) = (network(false), batch(0, vec![0, 1]));
        let (loss, outputs) = objective.on_batch(&network, &batch);
        let expected: f32 = (outputs.unwrap() - batch.inputs).square().mean().into_scalar();
        assert!((loss.into_scalar::<f32>() - expected).abs() < 1e-6);
    }

    #[test]
    fn samples_of_a_training_change_with_the_step_and_those_of_a_judgement_do_not() {
        let loss = ElVaeLossConfig::new(8.0).init::<Box<dyn ImageLoss>>(Box::new(PixelLoss::L2)).unwrap();
        let objective = ElVaeObjective { loss, shape: [1, 4, 4], seed: 5 };
        let network = network(true);
        let judged = |step| objective.on_batch(&network, &batch(step, vec![0, 1])).0.into_scalar::<f32>();
        let trained =
            |step| objective.training_loss_and_logits(&network, &batch(step, vec![0, 1])).0.into_scalar::<f32>();
        assert_eq!(judged(1), judged(2));
        assert_eq!(trained(1), trained(1));
        assert_ne!(trained(1), trained(2));
    }
}
