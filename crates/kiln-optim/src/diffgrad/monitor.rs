use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::portable;
use super::{DiffGrad, DiffGradState, FrictionHistogram};

/// Records the friction coefficients of every n-th step of a [`DiffGrad`], all its parameters together.
///
/// The handle is shared: keep a clone, give the other to [`DiffGrad::with_monitor`], read [`records`](Self::records) whenever
/// wanted. For figures of one parameter group, give that group an optimizer of its own with its own monitor.
///
/// ```
/// use burn::optim::ModuleOptimizer;
/// use kiln_optim::{DiffGradConfig, FrictionMonitor};
///
/// let monitor = FrictionMonitor::every(100);
/// let optimizer = ModuleOptimizer::from(DiffGradConfig::new().build()?.with_monitor(monitor.clone()));
/// assert!(monitor.records().is_empty());
/// # Ok::<(), kiln_optim::OptimError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FrictionMonitor {
    interval: usize,
    histograms: Arc<Mutex<BTreeMap<usize, FrictionHistogram>>>,
}

/// The friction coefficients of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrictionRecord {
    /// The step, counted from one.
    pub step: usize,
    /// The coefficients of all coordinates.
    pub histogram: FrictionHistogram,
}

impl FrictionMonitor {
    /// A monitor that records steps 2, `interval`, `2 interval`, ...; an interval of 0 counts as 1.
    ///
    /// Step 2 is the first that compares two gradients.
    pub fn every(interval: usize) -> Self {
        Self { interval: interval.max(1), histograms: Arc::default() }
    }

    /// What was recorded so far, in order of steps.
    pub fn records(&self) -> Vec<FrictionRecord> {
        let histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        histograms.iter().map(|(&step, histogram)| FrictionRecord { step, histogram: histogram.clone() }).collect()
    }

    /// Records the coefficients of the step that is about to be made; `state.time` is already its own.
    pub(super) fn observe<const D: usize>(
        &self,
        optimizer: &DiffGrad,
        tensor: &Tensor<D>,
        grad: &Tensor<D>,
        state: &DiffGradState<D>,
    ) {
        if state.time < 2 || (state.time != 2 && !state.time.is_multiple_of(self.interval)) {
            return;
        }
        let coefficients = optimizer.coefficients(0.0, state.time);
        let grad = match coefficients.weight_decay {
            0.0 => grad.clone(),
            penalty => grad.clone() + tensor.clone() * penalty,
        };
        let moment_2 =
            state.moment_2.clone() * coefficients.beta_2 + grad.clone().square() * (1.0 - coefficients.beta_2);
        let largest = state.max_moment_2.clone().map(|largest| largest.max_pair(moment_2.clone()));
        let updated = DiffGradState { moment_2, max_moment_2: largest, ..state.clone() };
        let denominator = portable::denominator(optimizer, coefficients.epsilon, &updated);
        let change = state.previous_grad.clone() - grad;
        let mut histogram = FrictionHistogram::new();
        match portable::friction(optimizer.friction, change, denominator, coefficients.correction_2_sqrt) {
            Some(xi) => xi.into_data().iter::<f64>().for_each(|xi| histogram.add(xi)),
            None => (0..tensor.shape().num_elements()).for_each(|_| histogram.add(optimizer.friction.common_factor())),
        }
        let mut histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        histograms.entry(state.time).or_default().merge(&histogram);
    }
}

#[cfg(test)]
mod tests {
    use super::super::DiffGradConfig;
    use super::*;
    use burn::optim::Optimizer;
    use burn::tensor::Device;

    #[test]
    fn the_coefficients_are_those_of_the_step_with_the_largest_moment_too() {
        let monitor = FrictionMonitor::every(1);
        let config = DiffGradConfig::new().with_beta_2(0.5).with_amsgrad(true).with_epsilon(0.0);
        let config = config.with_friction(crate::DiffGradFriction::Normalized);
        let optimizer = config.build().unwrap().with_monitor(monitor.clone());
        let device = Device::flex();
        let (mut tensor, mut state) = (Tensor::<1>::zeros([1], &device), None);
        for grad in [2.0, 0.1] {
            (tensor, state) = optimizer.step(0.1, tensor, Tensor::full([1], grad, &device), state);
        }
        // v is 2, then 1.005; the larger one, bias corrected, is 2 / 0.75, and xi = sigmoid(1.9 / sqrt(2 / 0.75)).
        let stats = monitor.records()[0].histogram.stats().unwrap();
        assert!((stats.mean - 0.761_985).abs() < 1e-4, "{}", stats.mean);
        // The same xi moved the coordinate: step 1 by 0.1 sigmoid(2 / 2), step 2 by 0.1 / 1.632993 xi.
        let moved = f64::from(tensor.into_scalar::<f32>());
        assert!((moved + 0.073_105_86 + 0.1 / 1.632_993 * stats.mean).abs() < 1e-5, "{moved}");
    }

    #[test]
    fn the_second_step_and_every_nth_are_recorded() {
        let monitor = FrictionMonitor::every(3);
        let optimizer = DiffGradConfig::new().build().unwrap().with_monitor(monitor.clone());
        let device = Device::flex();
        let (mut tensor, mut state) = (Tensor::<1>::zeros([4], &device), None);
        for step in 0..7 {
            let grad = Tensor::full([4], f64::from(step), &device);
            (tensor, state) = optimizer.step(0.1, tensor, grad, state);
        }
        let records = monitor.records();
        assert_eq!(records.iter().map(|record| record.step).collect::<Vec<_>>(), [2, 3, 6]);
        // The gradient grows by one a step, so xi is sigmoid(1) everywhere.
        for record in records {
            let stats = record.histogram.stats().unwrap();
            assert_eq!(record.histogram.total(), 4);
            assert!((stats.mean - 0.731_058_6).abs() < 1e-6 && (stats.p50 - 0.7315).abs() < 1e-9);
        }
    }
}
