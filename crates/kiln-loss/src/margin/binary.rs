//! Losses `phi(y f)` of the binary margin.

use burn::config::Config;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use kiln_autodiff::with_known_gradient;

use super::MarginPhi;
use super::phi::NAME;
use crate::{ClassificationLoss, LossError};

/// Configuration of [`MarginLoss`].
#[derive(Config, Debug)]
pub struct MarginLossConfig {
    /// The function of the margin.
    #[config(default = "MarginPhi::Logistic")]
    pub phi: MarginPhi,
}

impl MarginLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a focus that is negative or not finite.
    pub fn init(&self) -> Result<MarginLoss, LossError> {
        Ok(MarginLoss { phi: self.phi.check()? })
    }
}

/// A loss of the margin: hinge, logistic, exponential and the others of [`MarginPhi`].
///
/// ```text
/// two classes:   L = phi(y (s_1 - s_0))             y = 2 target - 1
/// more classes:  L = sum_k phi(y_k s_k)             y_k = 1 for the target, -1 otherwise
/// ```
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::margin::{MarginLossConfig, MarginPhi};
///
/// let device = Device::flex();
/// let loss = MarginLossConfig::new().with_phi(MarginPhi::Hinge).init()?;
/// let scores = Tensor::<1>::from_floats([0.25, -2.0], &device);
/// let targets = Tensor::<1, Int>::from_ints([1, 0], &device);
/// let value: f32 = loss.forward_scores(scores, targets)?.into_scalar();
/// assert_eq!(value, 0.375);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginLoss {
    phi: MarginPhi,
}

impl MarginLoss {
    /// The function of the margin.
    pub fn phi(&self) -> MarginPhi {
        self.phi
    }

    /// Mean loss of one score an example, after a check of the batch on the host.
    ///
    /// # Shapes
    /// - `scores`: `[batch_size]`, positive for class 1
    /// - `targets`: `[batch_size]`, 0 or 1
    /// - output: `[1]`
    ///
    /// # Errors
    /// [`LossError::Empty`], [`LossError::Length`], [`LossError::NotBinary`] or [`LossError::Score`].
    pub fn forward_scores(&self, scores: Tensor<1>, targets: Tensor<1, Int>) -> Result<Tensor<1>, LossError> {
        let margins = binary_margins(NAME, scores, targets)?;
        Ok(self.forward_margins(margins).mean())
    }

    /// Loss of each margin.
    ///
    /// # Shapes
    /// - `margins`: `[batch_size]`
    /// - output: `[batch_size]`
    pub fn forward_margins(&self, margins: Tensor<1>) -> Tensor<1> {
        let plain = margins.clone().inner();
        let values = self.phi.value(plain.clone());
        with_known_gradient(margins.unsqueeze_dim(1), values, || self.phi.slope(plain).unsqueeze_dim(1))
    }
}

impl ClassificationLoss for MarginLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_margins(logits, targets, |z| (self.phi.value(z.clone()), self.phi.slope(z)))
    }
}

/// The margins `y f` of one score an example, in the graph.
///
/// # Errors
/// What [`MarginLoss::forward_scores`] says.
pub(crate) fn binary_margins(
    loss: &'static str,
    scores: Tensor<1>,
    targets: Tensor<1, Int>,
) -> Result<Tensor<1>, LossError> {
    let ([examples], [count]) = (scores.dims(), targets.dims());
    if examples == 0 {
        return Err(LossError::Empty { loss });
    }
    if examples != count {
        return Err(LossError::Length { loss, what: "targets", expected: examples, actual: count });
    }
    let mut found: Vec<i64> = targets.to_data().iter::<i64>().collect();
    if found.iter().any(|target| !(0..=1).contains(target)) {
        found.sort_unstable();
        found.dedup();
        let found: Vec<String> = found.iter().map(i64::to_string).collect();
        return Err(LossError::NotBinary { loss, found: found.join(", ") });
    }
    for (row, value) in scores.clone().inner().to_data().iter::<f64>().enumerate() {
        if !value.is_finite() {
            return Err(LossError::Score { loss, row, value });
        }
    }
    let signs = targets.inner().float().cast(scores.dtype()) * 2.0 - 1.0;
    Ok(scores * signs)
}

/// Loss of each example from its margins, with the gradient in closed form.
///
/// `function` is given the margins, `[batch_size, 1]` for two classes and `[batch_size, num_classes]` for more, outside
/// the graph, and answers with the loss of each and its derivative.
///
/// # Shapes
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`
/// - output: `[batch_size]`
pub(crate) fn of_margins(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    function: impl FnOnce(Tensor<2>) -> (Tensor<2>, Tensor<2>),
) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let margins = Margins::of(logits.clone().inner(), targets.inner());
    let (values, slopes) = function(margins.values.clone());
    with_known_gradient(logits, values.sum_dim(1).reshape([rows]), || margins.gradient(slopes))
}

/// The margins of a batch and how they follow from the logits.
struct Margins {
    /// `[batch_size, 1]` for two classes, `[batch_size, num_classes]` for more.
    values: Tensor<2>,
    /// 1 for the target, -1 for the other classes, `[batch_size, num_classes]`.
    signs: Tensor<2>,
}

impl Margins {
    /// The margins of `scores`, outside the graph.
    fn of(scores: Tensor<2>, targets: Tensor<1, Int>) -> Self {
        let [rows, classes] = scores.dims();
        let targets = targets.reshape([rows, 1]);
        let twos = scores.clone().slice([0..rows, 0..1]).ones_like() * 2.0;
        let signs = (scores.zeros_like() - 1.0).scatter(1, targets, twos, IndexingUpdateOp::Add);
        let signed = scores * signs.clone();
        let values = if classes == 2 { signed.sum_dim(1) } else { signed };
        Self { values, signs }
    }

    /// Derivatives by the logits from those by the margins.
    fn gradient(&self, slopes: Tensor<2>) -> Tensor<2> {
        self.signs.clone() * slopes
    }
}
