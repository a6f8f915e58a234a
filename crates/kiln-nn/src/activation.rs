//! Element-wise activation functions, chosen by name.

use burn::tensor::Tensor;
use kiln_autodiff::{Function, Numbers, Values};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::NetworkError;

/// An element-wise activation function `f`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::Activation;
///
/// let activation: Activation = "leaky-relu".parse()?;
/// let output = activation.forward(Tensor::<1>::from_floats([-1.0, 2.0], &Device::flex()));
/// assert_eq!(output.into_data().try_to_vec::<f32>().unwrap(), [-0.01, 2.0]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(0, x)`
    #[default]
    Relu,
    /// `max(x, 0.01 x)`
    LeakyRelu,
    /// `x` for `x > 0`, else `exp(x) - 1`
    Elu,
    /// `1.0507 (x` for `x > 0`, else `1.6733 (exp(x) - 1))`, which keeps mean 0 and variance 1 in deep networks
    /// (arXiv 1706.02515)
    Selu,
    /// `x Phi(x)` with the normal distribution function `Phi`
    Gelu,
    /// `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, the approximation of GELU that GPT-2 uses
    GeluTanh,
    /// `x sigmoid(x)`
    Silu,
    /// `tanh(x)`
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `log(1 + exp(x))`
    Softplus,
}

impl Activation {
    /// Every activation, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::Relu,
        Self::LeakyRelu,
        Self::Elu,
        Self::Selu,
        Self::Gelu,
        Self::GeluTanh,
        Self::Silu,
        Self::Tanh,
        Self::Sigmoid,
        Self::Softplus,
    ];

    /// Applies the function to every element.
    ///
    /// # Shapes
    /// - `input`: any
    /// - output: that of `input`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.forward_in(&Values, input)
    }

    /// [`Activation::forward`] over any kind of number.
    pub fn forward_in<N: Numbers, const D: usize>(&self, numbers: &N, input: N::T<D>) -> N::T<D> {
        numbers.apply(&self.function(), input)
    }

    /// The same function by the name that numbers of all kinds know it by.
    pub(crate) fn function(&self) -> Function {
        match self {
            Self::Relu => Function::Relu,
            Self::LeakyRelu => Function::LeakyRelu(0.01),
            Self::Elu => Function::Elu(1.0),
            Self::Selu => Function::Selu,
            Self::Gelu => Function::Gelu,
            Self::GeluTanh => Function::GeluTanh,
            Self::Silu => Function::Silu,
            Self::Tanh => Function::Tanh,
            Self::Sigmoid => Function::Sigmoid,
            Self::Softplus => Function::Softplus,
        }
    }

    /// Name on the command line and in files, such as `leaky-relu`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::LeakyRelu => "leaky-relu",
            Self::Elu => "elu",
            Self::Selu => "selu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu-tanh",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = NetworkError;

    fn from_str(name: &str) -> Result<Self, NetworkError> {
        Self::ALL
            .into_iter()
            .find(|activation| activation.name() == name)
            .ok_or_else(|| NetworkError::unknown("activation", name, Self::ALL.iter().map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData, Tolerance};

    #[test]
    fn values_are_those_of_pytorch() {
        let expected: [(Activation, [f64; 3]); 10] = [
            (Activation::Relu, [0.0, 0.5, 3.0]),
            (Activation::LeakyRelu, [-0.02, 0.5, 3.0]),
            (Activation::Elu, [-0.864_664_716_763, 0.5, 3.0]),
            (Activation::Selu, [-1.520_166_468_596, 0.525_350_493_679, 3.152_102_962_073]),
            (Activation::Gelu, [-0.045_500_263_896, 0.345_731_230_630, 2.995_950_305_910]),
            (Activation::GeluTanh, [-0.045_402_305_912, 0.345_714_009_825, 2.996_362_607_918]),
            (Activation::Silu, [-0.238_405_844_044, 0.311_229_665_601, 2.857_722_380_476]),
            (Activation::Tanh, [-0.964_027_580_076, 0.462_117_157_260, 0.995_054_753_687]),
            (Activation::Sigmoid, [0.119_202_922_022, 0.622_459_331_202, 0.952_574_126_822]),
            (Activation::Softplus, [0.126_928_011_043, 0.974_076_984_180, 3.048_587_351_574]),
        ];
        let device = Device::flex();
        for (activation, values) in expected {
            let input = Tensor::<1>::from_data(TensorData::from([-2.0f64, 0.5, 3.0]), (&device, DType::F64));
            let tolerance = if matches!(activation, Activation::Selu) { 1e-6 } else { 1e-9 };
            activation
                .forward(input)
                .into_data()
                .assert_approx_eq::<f64>(&TensorData::from(values), Tolerance::absolute(tolerance));
        }
    }

    #[test]
    fn softplus_neither_overflows_nor_underflows() {
        let device = Device::flex();
        let output = Activation::Softplus.forward(Tensor::<1>::from_floats([-60.0, 500.0], &device));
        let values = output.into_data().try_to_vec::<f32>().unwrap();
        assert!((values[0] / (-60.0f32).exp() - 1.0).abs() < 1e-4, "{values:?}");
        assert_eq!(values[1], 500.0);
    }

    #[test]
    fn the_slope_of_softplus_is_the_sigmoid_at_zero_too() {
        let device = Device::flex().autodiff();
        let input = Tensor::<1>::from_floats([-1.0, 0.0, 50.0], &device).require_grad();
        let gradients = Activation::Softplus.forward(input.clone()).sum().backward();
        let slopes = input.grad(&gradients).unwrap().into_data();
        slopes.assert_approx_eq::<f32>(&TensorData::from([0.268_941_43f32, 0.5, 1.0]), Tolerance::absolute(1e-6));
    }

    #[test]
    fn names_parse_back_and_unknown_ones_are_refused_with_the_nearest() {
        for activation in Activation::ALL {
            assert_eq!(activation.name().parse::<Activation>().unwrap(), activation);
            assert_eq!(serde_json::to_string(&activation).unwrap(), format!("\"{activation}\""));
        }
        let message = "leakyrelu".parse::<Activation>().unwrap_err().to_string();
        assert!(message.contains("`leakyrelu`") && message.contains("did you mean `leaky-relu`"), "{message}");
    }
}
