//! Training with the factored output layer: the layer takes its own steps, the network below those of its optimizer.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Int, Tensor, TensorData};
use kiln_loss::{FactoredSphericalLayer, LayerError};
use kiln_nn::Network;

use super::BothForms;
use crate::LabError;
use crate::train::{Batch, Objective, ScheduledRate};

/// A spherical loss on a [`FactoredSphericalLayer`] in the place of the network's last layer.
///
/// A training step updates the factored layer by exact SGD and sends its gradient into the network. At the end of an epoch
/// the layer is multiplied out into the network's own last layer, so that the network is judged, kept and used as any
/// other is. The steps come one after the other: a training on several devices would take them in an order of its own.
#[derive(Debug)]
pub struct FactoredObjective {
    layer: Mutex<FactoredSphericalLayer>,
    loss: Box<dyn BothForms>,
    rate: ScheduledRate,
}

impl FactoredObjective {
    /// An objective whose layer learns at `rate`.
    pub fn new(layer: FactoredSphericalLayer, loss: Box<dyn BothForms>, rate: ScheduledRate) -> Self {
        Self { layer: Mutex::new(layer), loss, rate }
    }

    fn lock(&self) -> MutexGuard<'_, FactoredSphericalLayer> {
        self.layer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objective for FactoredObjective {
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, step: u64) -> Tensor<1> {
        self.loss_and_logits(network, inputs, targets, step).0
    }

    fn loss_and_logits(
        &self,
        network: &Network,
        inputs: Tensor<2>,
        targets: Tensor<1, Int>,
        _step: u64,
    ) -> (Tensor<1>, Option<Tensor<2>>) {
        let logits = network.forward(inputs);
        (self.loss.forward(logits.clone(), targets), Some(logits))
    }

    /// The value is the mean loss, the gradient that of the layer.
    ///
    /// # Panics
    /// Where the batch does not fit the layer.
    fn training_loss_and_logits(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        let hidden = network.features(batch.inputs.clone());
        let classes = batch.targets.classes().into_data();
        let classes: Vec<usize> = classes.iter::<i64>().map(|class| class as usize).collect();
        // A schedule may reach 0; the layer takes positive rates, the smallest of which changes nothing.
        let rate = self.rate.at(batch.step as usize).max(f64::MIN_POSITIVE);
        let stepped = self.lock().step(hidden.clone(), &classes, self.loss.as_ref(), rate);
        let loss = match stepped {
            Ok(out) => out.surrogate.clone() - out.surrogate.detach() + out.loss_mean,
            Err(error) if is_divergence(&error) => hidden.sum() * f64::NAN,
            Err(error) => panic!("the batch does not fit the factored layer: {error}"),
        };
        (loss, None)
    }

    fn forms_outputs(&self) -> bool {
        false
    }

    fn finish_epoch(&self, network: Network) -> Network {
        let Some(head) = network.linear_head().cloned() else { return network };
        network.with_linear_head(multiplied_out(&self.lock(), head))
    }

    fn has_memory(&self) -> bool {
        true
    }

    fn save_memory(&self, file: &Path) -> Result<(), LabError> {
        self.lock().save(file).map_err(|error| in_words_of_the_lab(error, "write", file))
    }

    fn load_memory(&self, file: &Path) -> Result<(), LabError> {
        let found = FactoredSphericalLayer::load(file).map_err(|error| in_words_of_the_lab(error, "read", file))?;
        let mut layer = self.lock();
        if found.config() != layer.config() {
            let reason = "it has other settings than this training";
            return Err(LabError::corrupt("factored layer", file, reason));
        }
        *layer = found;
        Ok(())
    }
}

/// Whether an error of an output layer means that its weights, or those below, grew without bound.
pub fn is_divergence(error: &LayerError) -> bool {
    matches!(
        error,
        LayerError::LossValue { .. }
            | LayerError::StepTooLong { .. }
            | LayerError::Singular { .. }
            | LayerError::Hidden { .. }
            | LayerError::Score { .. }
    )
}

/// `head` with the layer's weights `W = V U + 1 omega`.
fn multiplied_out(layer: &FactoredSphericalLayer, head: Linear) -> Linear {
    /// Classes that are multiplied out together.
    const BLOCK: usize = 4096;
    let (width, classes) = (layer.config().d_hidden, layer.config().n_classes);
    let (mut weights, mut biases) = (vec![0.0_f32; width * classes], vec![0.0_f32; classes]);
    let all: Vec<usize> = (0..classes).collect();
    for block in all.chunks(BLOCK) {
        // All classes of the block exist.
        let rows = layer.weight_rows(block).unwrap_or_default();
        for (&class, row) in block.iter().zip(&rows) {
            for (feature, weight) in row[..width].iter().enumerate() {
                weights[feature * classes + class] = *weight as f32;
            }
            biases[class] = row.get(width).map_or(0.0, |bias| *bias as f32);
        }
    }
    Linear {
        weight: replaced(head.weight, TensorData::new(weights, [width, classes])),
        bias: head.bias.map(|bias| replaced(bias, TensorData::new(biases, [classes]))),
    }
}

/// The same parameter with other values.
fn replaced<const D: usize>(parameter: Param<Tensor<D>>, values: TensorData) -> Param<Tensor<D>> {
    parameter.map(|old| {
        let new = Tensor::from_data(values.convert_dtype(old.dtype()), (&old.device(), old.dtype()));
        new.set_require_grad(old.is_require_grad())
    })
}

fn in_words_of_the_lab(error: LayerError, action: &'static str, file: &Path) -> LabError {
    match error {
        LayerError::File { source, .. } => LabError::io(action, file, source),
        LayerError::Format { reason, .. } => LabError::corrupt("factored layer", file, reason),
        other => LabError::method(other),
    }
}
