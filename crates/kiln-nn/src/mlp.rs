//! Multi-layer perceptron.

use burn::config::Config;
use burn::module::Module;
use burn::nn::norm::{Normalization, NormalizationConfig};
use burn::nn::{BatchNormConfig, Dropout, DropoutConfig, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor};
use kiln_autodiff::{Numbers, Values};
use serde::{Deserialize, Serialize};

use crate::{Activation, NetworkError, WeightStream};

/// Configuration of [`Mlp`].
#[derive(Config, Debug)]
pub struct MlpConfig {
    /// Number of values of one input.
    pub num_inputs: usize,
    /// Widths of the hidden layers, first to last. None gives a linear model.
    pub hidden: Vec<usize>,
    /// Number of outputs.
    pub num_outputs: usize,
    /// Activation after every hidden layer.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Probability of dropping a hidden unit during training, in `[0, 1)`.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Normalisation between each hidden layer and its activation.
    #[config(default = "MlpNorm::None")]
    pub norm: MlpNorm,
}

/// Normalisation of the hidden layers of an [`Mlp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MlpNorm {
    /// None.
    #[default]
    None,
    /// Batch normalisation.
    Batch,
    /// Layer normalisation.
    Layer,
}

/// Multi-layer perceptron: hidden layers of `dropout(activation(norm(x W + b)))`, then a linear head.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::MlpConfig;
///
/// let device = Device::flex();
/// let mlp = MlpConfig::new(64, vec![128, 32], 10).init_seeded(1, &device)?;
/// let inputs = Tensor::zeros([5, 64], &device);
/// assert_eq!(mlp.features(inputs.clone()).dims(), [5, 32]);
/// assert_eq!(mlp.forward(inputs).dims(), [5, 10]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
#[derive(Module, Debug)]
pub struct Mlp {
    /// Hidden layers.
    pub layers: Vec<Linear>,
    /// Normalisation after each hidden layer, or empty.
    pub norms: Vec<Normalization>,
    /// Last layer.
    pub head: Linear,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl MlpConfig {
    /// A network with weights from the device's generator: PyTorch's defaults, uniform on `+-1 / sqrt(fan_in)`.
    ///
    /// # Errors
    /// [`NetworkError::OutOfRange`] for a width of zero or a dropout outside `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<Mlp, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A network with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`MlpConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<Mlp, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<Mlp, NetworkError> {
        NetworkError::require_count("inputs", self.num_inputs)?;
        NetworkError::require_count("outputs", self.num_outputs)?;
        NetworkError::require_dropout(self.dropout)?;
        let mut width = self.num_inputs;
        let mut layers = Vec::with_capacity(self.hidden.len());
        let mut norms = Vec::new();
        for &hidden in &self.hidden {
            NetworkError::require_count("hidden", hidden)?;
            NetworkError::require_weights("hidden", &[width, hidden])?;
            layers.push(weights.linear(width, hidden));
            match self.norm {
                MlpNorm::None => {}
                MlpNorm::Batch => {
                    norms.push(NormalizationConfig::Batch(BatchNormConfig::new(hidden)).init(weights.device()));
                }
                MlpNorm::Layer => {
                    norms.push(NormalizationConfig::Layer(LayerNormConfig::new(hidden)).init(weights.device()));
                }
            }
            width = hidden;
        }
        NetworkError::require_weights("outputs", &[width, self.num_outputs])?;
        Ok(Mlp {
            layers,
            norms,
            head: weights.linear(width, self.num_outputs),
            dropout: DropoutConfig::new(self.dropout).init(),
            activation: self.activation,
        })
    }
}

impl Mlp {
    /// The last hidden layer's output, or the inputs where there is no hidden layer.
    ///
    /// # Shapes
    /// - `inputs`: `[batch_size, num_inputs]`
    /// - output: `[batch_size, last hidden width]`
    pub fn features(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.features_in(&Values, inputs)
    }

    /// [`Mlp::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, inputs: N::T<2>) -> N::T<2> {
        let mut hidden = inputs;
        for (index, layer) in self.layers.iter().enumerate() {
            let activated = match self.norms.get(index) {
                None => numbers.linear_activated(&self.activation.function(), layer, hidden),
                Some(Normalization::Batch(norm)) => {
                    numbers.normalised(norm, numbers.linear(layer, hidden), None, Some(self.activation.function()))
                }
                Some(norm) => {
                    let normalised = numbers.normalisation(norm, numbers.linear(layer, hidden));
                    self.activation.forward_in(numbers, normalised)
                }
            };
            hidden = numbers.dropout(&self.dropout, activated);
        }
        hidden
    }

    /// The outputs, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, last hidden width]`
    /// - output: `[batch_size, num_outputs]`
    pub fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.head_in(&Values, features)
    }

    /// [`Mlp::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        numbers.linear(&self.head, features)
    }

    /// `head(features(inputs))`.
    ///
    /// # Shapes
    /// - `inputs`: `[batch_size, num_inputs]`
    /// - output: `[batch_size, num_outputs]`
    pub fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.forward_in(&Values, inputs)
    }

    /// [`Mlp::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, inputs: N::T<2>) -> N::T<2> {
        self.head_in(numbers, self.features_in(numbers, inputs))
    }
}
