//! Both levels of each kind of loss with their gradients in closed form, outside the graph.
//!
//! A level is a sum over rows or bags; `Part` holds its value and, for each row, its derivative by the prediction. Means are
//! taken over the rows, so that a bag weighs `k_a / n`.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, log_softmax, sigmoid, softplus};

use super::BagLossKind;
use super::grouping::{Grouping, Layout};
use super::proportions;

/// `bag L_bag + instance L_ins` and its gradient.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    pub(super) bag: f64,
    pub(super) instance: f64,
}

/// A loss `[1]` and its gradient `[num_rows, width]`.
pub(super) struct Part {
    pub(super) value: Tensor<1>,
    pub(super) slope: Tensor<2>,
}

impl Part {
    fn new(value: Tensor<1>, slope: Tensor<2>) -> Self {
        Self { value, slope }
    }

    fn times(self, weight: f64) -> Self {
        Self { value: self.value * weight, slope: self.slope * weight }
    }

    fn plus(self, other: Self) -> Self {
        Self { value: self.value + other.value, slope: self.slope + other.slope }
    }
}

/// The weighted loss of one kind.
///
/// # Shapes
/// - `predictions`: `[num_rows, width]`
/// - `responses`: `[num_bags, width]`
pub(super) fn weighted(
    kind: BagLossKind,
    predictions: Tensor<2>,
    layout: Layout,
    responses: Tensor<2>,
    weights: Weights,
) -> Part {
    if kind == BagLossKind::CrossEntropy
        && let Some(part) = proportions::on_processor(&predictions, &layout, &responses, weights)
    {
        return part;
    }
    let bags = &layout.grouping(&predictions);
    let levels = match kind {
        BagLossKind::Squared => return squared(predictions, bags, responses, weights),
        BagLossKind::CrossEntropy => cross_entropy,
        BagLossKind::Logistic => logistic,
        BagLossKind::Poisson => poisson,
    };
    let level = |level: Level| levels(predictions.clone(), bags, responses.clone(), level);
    match weights {
        Weights { bag, instance: 0.0 } => level(Level::Bag).times(bag),
        Weights { bag: 0.0, instance } => level(Level::Instance).times(instance),
        Weights { bag, instance } => level(Level::Bag).times(bag).plus(level(Level::Instance).times(instance)),
    }
}

#[derive(Clone, Copy)]
enum Level {
    Bag,
    Instance,
}

/// `L_ins = L_bag + Reg`, `Reg` the variance of the predictions within the bags: weights `b` and `i` of the levels are weights
/// `b + i` of the bag level and `i` of the variance.
fn squared(predictions: Tensor<2>, bags: &Grouping, responses: Tensor<2>, weights: Weights) -> Part {
    let count = count(&predictions);
    let means = bags.mean(predictions.clone());
    let (level, within) = (weights.bag + weights.instance, weights.instance);
    let misses = means.clone() - responses;
    let value = bags.times_size(misses.clone().square()).sum() * (level / count);
    if within == 0.0 {
        return Part::new(value, bags.spread(misses * (2.0 * level / count)));
    }
    let apart = predictions - bags.spread(means);
    let variance = apart.clone().square().sum() * (within / count);
    let slope = bags.spread(misses * (2.0 * level / count)) + apart * (2.0 * within / count);
    Part::new(value + variance, slope)
}

/// Of logits and class proportions: `- sum_c ybar_c log mean_i softmax(f_i)_c`, and its mean over single rows.
fn cross_entropy(logits: Tensor<2>, bags: &Grouping, responses: Tensor<2>, level: Level) -> Part {
    let rows = logits.dims()[0] as f64;
    let logs = log_softmax(logits, 1);
    let probabilities = logs.clone().exp();
    // The derivative by log p, which becomes one by the logits by way of the softmax.
    let (value, by_logs) = match level {
        Level::Bag => {
            let (log_means, shares) = bags.log_mean_exp(logs);
            let weighed = bags.times_size(responses) / -rows;
            ((weighed.clone() * log_means).sum(), bags.spread(weighed) * shares)
        }
        Level::Instance => {
            let weighed = bags.spread(responses / -rows);
            ((weighed.clone() * logs).sum(), weighed)
        }
    };
    let total = by_logs.clone().sum_dim(1);
    Part::new(value, by_logs - probabilities * total)
}

/// Of logits of one class against the other and its share of a bag: `- ybar log pbar - (1 - ybar) log(1 - pbar)`,
/// `pbar = mean_i sigmoid(f_i)`.
fn logistic(logits: Tensor<2>, bags: &Grouping, responses: Tensor<2>, level: Level) -> Part {
    let count = count(&logits);
    let likely = sigmoid(logits.clone());
    match level {
        Level::Bag => {
            let (log_likely, shares) = bags.log_mean_exp(log_sigmoid(logits.clone()));
            let (log_unlikely, other_shares) = bags.log_mean_exp(log_sigmoid(-logits.clone()));
            let weighed = bags.times_size(responses.clone()) / count;
            let other_weighed = bags.times_size(1.0 - responses) / count;
            let value = -(weighed.clone() * log_likely + other_weighed.clone() * log_unlikely).sum();
            let unlikely = sigmoid(-logits);
            let slope = bags.spread(other_weighed) * other_shares * likely - bags.spread(weighed) * shares * unlikely;
            Part::new(value, slope)
        }
        Level::Instance => {
            let responses = bags.spread(responses);
            let value = (softplus(logits.clone(), 1.0) - responses.clone() * logits).sum() / count;
            Part::new(value, (likely - responses) / count)
        }
    }
}

/// Of logarithms of rates and mean counts: `lambda - ybar log lambda`, at the bag level with the mean rate
/// `lambda = mean_i exp(f_i)`.
fn poisson(log_rates: Tensor<2>, bags: &Grouping, responses: Tensor<2>, level: Level) -> Part {
    let count = count(&log_rates);
    match level {
        Level::Bag => {
            let (log_means, shares) = bags.log_mean_exp(log_rates.clone());
            let weighed = bags.times_size(responses) / count;
            let rates = log_rates.exp() / count;
            let value = rates.clone().sum() - (weighed.clone() * log_means).sum();
            Part::new(value, rates - bags.spread(weighed) * shares)
        }
        Level::Instance => {
            let responses = bags.spread(responses);
            let rates = log_rates.clone().exp();
            let value = (rates.clone() - responses.clone() * log_rates).sum() / count;
            Part::new(value, (rates - responses) / count)
        }
    }
}

/// Numbers that a mean is taken over.
fn count(predictions: &Tensor<2>) -> f64 {
    let [rows, width] = predictions.dims();
    (rows * width) as f64
}
