//! Training a linearised network by gradient flow, in closed form.

use burn::tensor::Tensor;
use faer::Mat;

use super::KernelSpectrum;
use crate::NumericalError;
use crate::linear_operator::epsilon;
use crate::solve::host;

const OPERATION: &str = "kernel gradient flow";

/// Gradient flow on the squared loss `|f - y|^2 / 2`, summed over examples and outputs, of a network that is linear in its
/// parameters, or so wide that its tangent kernel does not move.
///
/// ```text
/// df/dt = -rate K (f - y)
/// f_t(x) = f_0(x) + K(x, X) K^-1 (I - exp(-rate K t)) (y - f_0(X))
/// ```
/// The product `K^-1 (I - exp(-rate K t))` is taken by its eigenvalues `(1 - exp(-rate l t)) / l`, with the limit `rate t`
/// at `l = 0`: a singular kernel needs no ridge. For a mean over `n` examples, divide the rate by `n`.
///
/// The kernel is one that all outputs share, with a column of targets for each, or that of all pairs of outputs
/// ([`NtkOutputs::All`](super::NtkOutputs::All)), with the targets `[n, k]` reshaped to `[n k, 1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::ntk::{FlowTime, GradientFlow};
///
/// let device = Device::flex();
/// let kernel = Tensor::<2>::from_floats([[2.0, 0.0], [0.0, 0.0]], &device);
/// let (initial, targets) = (Tensor::<2>::zeros([2, 1], &device), Tensor::<2>::ones([2, 1], &device));
/// let flow = GradientFlow::new(kernel, initial, targets, 0.5)?;
/// let at_one = flow.on_training_set(FlowTime::At(1.0))?.try_into_vec_as::<f64>().unwrap();
/// assert!((at_one[0] - (1.0 - (-1.0f64).exp())).abs() < 1e-6 && at_one[1] == 0.0);
/// # Ok::<(), kiln_autodiff::NumericalError>(())
/// ```
#[derive(Debug, Clone)]
pub struct GradientFlow {
    spectrum: KernelSpectrum,
    rate: f64,
    initial: Mat<f64>,
    /// `V' (y - f_0)`.
    missing: Mat<f64>,
}

/// When a flow is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FlowTime {
    /// After the time `t >= 0`, finite.
    At(f64),
    /// In the limit, which a singular kernel is refused for.
    Infinity,
    /// In the limit, without the directions whose eigenvalue is at most `cutoff` times the largest: they never move.
    PseudoInverse {
        /// Share of the largest eigenvalue, in `[0, 1)`.
        cutoff: f64,
    },
}

impl GradientFlow {
    /// A flow that starts at `initial`.
    ///
    /// # Shapes
    /// - `kernel`: `[n, n]`
    /// - `initial`, `targets`: `[n, c]`
    ///
    /// # Errors
    /// Those of [`KernelSpectrum::of`], shapes that do not fit, values that are not finite, a rate that is not positive.
    pub fn new(kernel: Tensor<2>, initial: Tensor<2>, targets: Tensor<2>, rate: f64) -> Result<Self, NumericalError> {
        let (size, dims) = (kernel.dims()[0], targets.dims());
        require_shape("initial outputs", initial.dims(), dims)?;
        require_shape("targets", dims, [size, dims[1].max(1)])?;
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(setting("rate", rate, "positive and finite"));
        }
        let spectrum = KernelSpectrum::of(kernel)?;
        let initial = host::matrix(OPERATION, initial)?;
        let missing = spectrum.columns().transpose() * (host::matrix(OPERATION, targets)? - &initial);
        Ok(Self { spectrum, rate, initial, missing })
    }

    /// The kernel's eigenvalues: direction `i` learns at `rate * values[i]`.
    pub fn spectrum(&self) -> &KernelSpectrum {
        &self.spectrum
    }

    /// Outputs on the training set, `[n, c]`.
    ///
    /// # Errors
    /// As [`GradientFlow::on`].
    pub fn on_training_set(&self, time: FlowTime) -> Result<Tensor<2>, NumericalError> {
        let factors = self.factors(time)?;
        let values = self.spectrum.values();
        let progress = self.scaled(|index| factors[index] * values[index]);
        Ok(self.spectrum.tensor(&self.initial + self.spectrum.columns() * progress))
    }

    /// Outputs on other examples.
    ///
    /// # Shapes
    /// - `cross_kernel`: `[m, n]`, of the other examples with the training set
    /// - `initial`: `[m, c]`, the network's outputs on the other examples at time 0
    /// - output: `[m, c]`
    ///
    /// # Errors
    /// Shapes that do not fit, values that are not finite, a time or cutoff out of range, and a kernel that is singular to
    /// the precision of its type where [`FlowTime::Infinity`] is asked for.
    pub fn on(&self, cross_kernel: Tensor<2>, initial: Tensor<2>, time: FlowTime) -> Result<Tensor<2>, NumericalError> {
        let (rows, size) = (cross_kernel.dims()[0].max(1), self.initial.nrows());
        require_shape("cross kernel", cross_kernel.dims(), [rows, size])?;
        require_shape("initial outputs", initial.dims(), [rows, self.initial.ncols()])?;
        let factors = self.factors(time)?;
        let cross_kernel = host::matrix(OPERATION, cross_kernel)?;
        let weights = self.spectrum.columns() * self.scaled(|index| factors[index]);
        Ok(self.spectrum.tensor(host::matrix(OPERATION, initial)? + cross_kernel * weights))
    }

    /// `(1 - exp(-rate l t)) / l` for every eigenvalue.
    fn factors(&self, time: FlowTime) -> Result<Vec<f64>, NumericalError> {
        let values = self.spectrum.values();
        match time {
            FlowTime::At(time) if time >= 0.0 && time.is_finite() => {
                Ok(values.iter().map(|&value| moved_by(value, self.rate * time)).collect())
            }
            FlowTime::At(time) => Err(setting("time", time, "finite and not negative; for the limit see FlowTime")),
            FlowTime::Infinity => {
                let reciprocal_condition = self.spectrum.condition_number().recip();
                let rounding = epsilon(self.spectrum.dtype()) * values.len() as f64;
                // A comparison that NaN, of the zero matrix, fails.
                if reciprocal_condition > rounding {
                    return Ok(values.iter().map(|value| value.recip()).collect());
                }
                let reciprocal_condition = if reciprocal_condition.is_nan() { 0.0 } else { reciprocal_condition };
                Err(NumericalError::Singular { operation: OPERATION, batch: 0, reciprocal_condition })
            }
            FlowTime::PseudoInverse { cutoff } if (0.0..1.0).contains(&cutoff) => {
                let smallest = cutoff * values[0];
                Ok(values.iter().map(|&value| if value > smallest { value.recip() } else { 0.0 }).collect())
            }
            FlowTime::PseudoInverse { cutoff } => Err(setting("cutoff", cutoff, "at least 0 and below 1")),
        }
    }

    fn scaled(&self, factor: impl Fn(usize) -> f64) -> Mat<f64> {
        Mat::from_fn(self.missing.nrows(), self.missing.ncols(), |row, column| {
            self.missing[(row, column)] * factor(row)
        })
    }
}

/// `(1 - exp(-value step)) / value`, which goes to `step` with the value to 0.
fn moved_by(value: f64, step: f64) -> f64 {
    let exponent = value * step;
    if exponent == 0.0 { step } else { -(-exponent).exp_m1() / value }
}

fn require_shape(what: &str, found: [usize; 2], expected: [usize; 2]) -> Result<(), NumericalError> {
    if found == expected {
        return Ok(());
    }
    let [found, expected] = [found, expected].map(|dims| format!("{dims:?}"));
    Err(NumericalError::Shape { operation: OPERATION, found: format!("{what} of shape {found}"), expected })
}

fn setting(name: &'static str, value: f64, expected: &'static str) -> NumericalError {
    NumericalError::Setting { operation: OPERATION, name, value, expected }
}
