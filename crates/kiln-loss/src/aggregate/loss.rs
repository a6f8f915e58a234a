//! The loss between bag level and instance level.

use burn::config::Config;
use burn::tensor::{Int, Tensor};
use kiln_autodiff::custom_gradient;
use serde::{Deserialize, Serialize};

use super::AggregateError;
use super::bag_rows::{bag_sizes, require_finite};
use super::error::require;
use super::formulas::{Part, Weights, weighted};
use super::grouping::Layout;

/// Configuration of [`BagLoss`].
#[derive(Config, Debug)]
pub struct BagLossConfig {
    /// Share of the instance-level loss: 0 is the bag level, 1 the instance level, more than 1 shrinks the predictions within a
    /// bag towards their mean even more. Not negative.
    #[config(default = 0.1)]
    pub rho: f64,
    /// What is averaged.
    #[config(default = "BagLossKind::Squared")]
    pub kind: BagLossKind,
}

impl BagLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`AggregateError::Setting`] for a `rho` that is negative, infinite or not a number.
    pub fn init(&self) -> Result<BagLoss, AggregateError> {
        let rho = require(self.rho >= 0.0 && self.rho.is_finite(), "rho", self.rho, "at least 0, usually at most 1")?;
        Ok(BagLoss { rho, kind: self.kind })
    }
}

/// What predictions and responses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BagLossKind {
    /// Numbers, and their means: squared error, a mean over the targets too.
    Squared,
    /// Logits `[num_rows, num_classes]`, and class proportions.
    CrossEntropy,
    /// Logits of one class against the other, and its share.
    Logistic,
    /// Logarithms of rates, and mean counts; the loss is without the constant `log ybar!`.
    Poisson,
}

/// The interpolating loss on bags.
///
/// ```text
/// L_bag = (1/n) sum_a k_a loss(ybar_a, mean_{i in a} mu_i)        L_ins = (1/n) sum_a sum_{i in a} loss(ybar_a, mu_i)
/// L_rho = (1 - rho) L_bag + rho L_ins
/// ```
/// `mu` is the predicted mean: the prediction itself, `softmax`, `sigmoid` or `exp` of it. For squared error
/// `L_ins = L_bag + Reg`, where `Reg = (1/n) sum_i (f_i - fbar_a(i))^2`; the other losses are convex in `mu`, so that
/// `L_ins >= L_bag`.
///
/// Every bag has to be in the batch with all its rows, see [`check_batch`](Self::check_batch).
///
/// Source: arXiv 2401.11081, sections 2 and 4.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::aggregate::BagLossConfig;
///
/// let device = Device::flex();
/// let loss = BagLossConfig::new().with_rho(0.5).init()?;
/// let predictions = Tensor::<2>::from_floats([[3.0], [5.0]], &device);
/// let bag_of_row = Tensor::<1, Int>::from_ints([0, 0], &device);
/// let responses = Tensor::<2>::from_floats([[4.0]], &device);
/// let value: f32 = loss.forward(predictions, bag_of_row, responses).into_scalar();
/// assert_eq!(value, 0.5);
/// # Ok::<(), kiln_loss::aggregate::AggregateError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BagLoss {
    rho: f64,
    kind: BagLossKind,
}

/// The parts of the loss on one batch, each `[1]` with its own graph.
#[derive(Debug, Clone)]
pub struct BagTerms {
    /// `L_bag`.
    pub bag: Tensor<1>,
    /// `L_ins`.
    pub instance: Tensor<1>,
    /// `L_ins - L_bag`, not negative: for squared error the variance of the predictions within the bags.
    pub reg: Tensor<1>,
}

impl BagLoss {
    /// Share of the instance-level loss.
    pub fn rho(&self) -> f64 {
        self.rho
    }

    /// What is averaged.
    pub fn kind(&self) -> BagLossKind {
        self.kind
    }

    /// The same kind at another share of the instance-level loss.
    ///
    /// # Errors
    /// As [`BagLossConfig::init`].
    pub fn at(&self, rho: f64) -> Result<Self, AggregateError> {
        BagLossConfig::new().with_kind(self.kind).with_rho(rho).init()
    }

    /// `L_rho` of a batch of whole bags of any sizes.
    ///
    /// # Shapes
    /// - `predictions`: `[num_rows, width]`
    /// - `bag_of_row`: `[num_rows]`, in `0..num_bags`, every bag at least once
    /// - `responses`: `[num_bags, width]`
    /// - output: `[1]`
    pub fn forward(&self, predictions: Tensor<2>, bag_of_row: Tensor<1, Int>, responses: Tensor<2>) -> Tensor<1> {
        let layout = ragged(&predictions, bag_of_row, &responses);
        self.of_bags(predictions, layout, responses, self.weights())
    }

    /// `L_rho` of bags of one size, without an index.
    ///
    /// # Shapes
    /// - `predictions`: `[num_bags, bag_size, width]`
    /// - `responses`: `[num_bags, width]`
    /// - output: `[1]`
    pub fn forward_uniform(&self, predictions: Tensor<3>, responses: Tensor<2>) -> Tensor<1> {
        let [bags, size, width] = predictions.dims();
        assert_eq!([bags, width], responses.dims(), "one response [num_bags, width] for each bag is needed");
        assert!(bags * size > 0, "a bag has at least one row");
        let predictions = predictions.reshape([bags * size, width]);
        self.of_bags(predictions, Layout::Uniform { bags, size }, responses, self.weights())
    }

    /// Both levels and their difference.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward).
    pub fn terms(&self, predictions: Tensor<2>, bag_of_row: Tensor<1, Int>, responses: Tensor<2>) -> BagTerms {
        let layout = ragged(&predictions, bag_of_row, &responses);
        let term = |bag, instance| {
            self.of_bags(predictions.clone(), layout.clone(), responses.clone(), Weights { bag, instance })
        };
        BagTerms { bag: term(1.0, 0.0), instance: term(0.0, 1.0), reg: term(-1.0, 1.0) }
    }

    /// Refuses what no forward pass can make sense of; for what comes from outside.
    ///
    /// # Shapes
    /// - `responses`: `[num_bags, width]`, row after row
    ///
    /// # Errors
    /// A bag without rows, a row without a bag, responses that are not finite, class proportions that do not sum to 1,
    /// shares outside `[0, 1]`, negative mean counts.
    pub fn check_batch(&self, bag_of_row: &[usize], responses: &[f64], width: usize) -> Result<(), AggregateError> {
        /// Proportions are given with a few decimals.
        const ROUNDING: f64 = 1e-3;
        require_finite("response", responses)?;
        if !responses.len().is_multiple_of(width.max(1)) {
            let expected = responses.len().div_ceil(width.max(1)) * width;
            return Err(AggregateError::Shape { what: "responses", found: responses.len(), expected });
        }
        bag_sizes(bag_of_row, responses.len() / width.max(1))?;
        let is_share = |value: f64| (0.0..=1.0).contains(&value);
        for (bag, own) in responses.chunks(width.max(1)).enumerate() {
            let sum: f64 = own.iter().sum();
            let refuse = |valid: fn(f64) -> bool, expected| match own.iter().copied().find(|&value| !valid(value)) {
                Some(value) => Err(AggregateError::Response { bag, value, expected }),
                None => Ok(()),
            };
            match self.kind {
                BagLossKind::Squared => {}
                BagLossKind::CrossEntropy if (sum - 1.0).abs() > ROUNDING || !own.iter().all(|&v| is_share(v)) => {
                    return Err(AggregateError::Proportions { bag, sum });
                }
                BagLossKind::CrossEntropy => {}
                BagLossKind::Logistic => refuse(|value| (0.0..=1.0).contains(&value), "a share from 0 to 1")?,
                BagLossKind::Poisson => refuse(|value| value >= 0.0, "a mean count of at least 0")?,
            }
        }
        Ok(())
    }

    fn weights(&self) -> Weights {
        Weights { bag: 1.0 - self.rho, instance: self.rho }
    }

    fn of_bags(&self, predictions: Tensor<2>, layout: Layout, responses: Tensor<2>, weights: Weights) -> Tensor<1> {
        let kind = self.kind;
        let responses = responses.inner();
        custom_gradient(
            (predictions,),
            |(predictions,)| {
                let Part { value, slope } = weighted(kind, predictions, layout, responses, weights);
                (value, slope)
            },
            |slope, upstream, _wanted| (Some(slope * upstream.unsqueeze_dim(1)),),
        )
    }
}

fn ragged(predictions: &Tensor<2>, bag_of_row: Tensor<1, Int>, responses: &Tensor<2>) -> Layout {
    let ([rows, width], [bags, targets]) = (predictions.dims(), responses.dims());
    assert_eq!(width, targets, "as many responses of a bag as predictions of a row are needed");
    assert_eq!([rows], bag_of_row.dims(), "one bag for each row is needed");
    Layout::Ragged { bag_of_row: Box::new(bag_of_row.inner()), bags }
}
