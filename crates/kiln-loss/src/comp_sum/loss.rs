//! The comp-sum loss with its knob tau.

use burn::config::Config;
use burn::tensor::{Int, Tensor, activation::log_softmax};

use super::phi::{CompSumPhi2, NAME, NllClip, Phi1};
use crate::class_targets::{ClassWeights, check_label_smoothing, mix_label_smoothing, reduce};
use crate::error::require;
use crate::target_likelihood::of_likelihood;
use crate::{ClassificationLoss, LossError, Reduction};

/// Configuration of [`CompSumLoss`]. The defaults give cross-entropy.
#[derive(Config, Debug)]
pub struct CompSumLossConfig {
    /// The knob `tau >= 0`: 0 sum-exponential, 1 logistic (cross-entropy), between 1 and 2 generalized cross-entropy
    /// with `q = tau - 1`, 2 mean absolute error.
    #[config(default = 1.0)]
    pub tau: f64,
    /// The inner function of the score differences.
    #[config(default = "CompSumPhi2::Exp")]
    pub phi2: CompSumPhi2,
    /// Where `-log p_y` is cut so that small tau cannot overflow.
    #[config(default = "NllClip::Auto")]
    pub max_nll: NllClip,
    /// Share in `[0, 1]` of the target distribution that is spread over all classes.
    #[config(default = 0.0)]
    pub label_smoothing: f64,
    /// One factor for each class, not negative.
    pub class_weights: Option<Vec<f64>>,
    /// How the losses of a batch become one number.
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,
}

impl CompSumLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a tau that is negative or not finite, a `rho` or a `max_nll` that is not positive, a
    /// smoothing outside `[0, 1]`; [`LossError::WeightValue`] for a negative weight.
    pub fn init(&self) -> Result<CompSumLoss, LossError> {
        self.phi2.check()?;
        Ok(CompSumLoss {
            phi1: Phi1::new(self.tau, self.max_nll)?,
            phi2: self.phi2,
            label_smoothing: check_label_smoothing(NAME, self.label_smoothing)?,
            class_weights: ClassWeights::new(NAME, self.class_weights.clone())?,
            reduction: self.reduction,
        })
    }
}

/// Comp-sum loss: one family that contains sum-exponential loss, cross-entropy, generalized cross-entropy and MAE.
///
/// ```text
/// l_tau(s, y) = Phi^tau( sum_{y' != y} Phi2(s_y - s_y') )
///             = (p_y^(tau - 1) - 1) / (1 - tau)      for Phi2 = exp(-u) and tau != 1, with p = softmax(s)
///             = -log p_y                             for tau = 1
/// dl_tau/ds   = p_y^(tau - 1) (p - e_y)
/// ```
/// Small tau pushes hard on examples that are still wrong, large tau ignores them; at tau = 2 an example whose
/// probability is near zero has no gradient left.
///
/// Source: arXiv 2304.07288, section 3 and equation 5.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::ClassificationLoss;
/// use kiln_loss::comp_sum::CompSumLossConfig;
///
/// let device = Device::flex();
/// let loss = CompSumLossConfig::new().with_tau(1.7).init()?;
/// let logits = Tensor::<2>::from_floats([[2.0, 1.0, 0.5]], &device);
/// let targets = Tensor::<1, Int>::from_ints([1], &device);
/// let value: f32 = loss.forward(logits, targets).into_scalar();
/// assert!((value - 0.91603485).abs() < 1e-6);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CompSumLoss {
    phi1: Phi1,
    phi2: CompSumPhi2,
    label_smoothing: f64,
    class_weights: ClassWeights,
    reduction: Reduction,
}

impl CompSumLoss {
    /// `sum_{y' != y} exp(s_y' - s_y)`, tau = 0.
    pub fn sum_exponential() -> Self {
        Self::exponential(Phi1::sum_exponential())
    }

    /// `-log p_y`, tau = 1: cross-entropy.
    pub fn logistic() -> Self {
        Self::exponential(Phi1::logistic())
    }

    /// `(1 - p_y^q) / q`, tau = 1 + q: generalized cross-entropy.
    ///
    /// # Errors
    /// [`LossError::Setting`] unless `0 < q <= 1`.
    pub fn generalized_cross_entropy(q: f64) -> Result<Self, LossError> {
        require(q > 0.0 && q <= 1.0, NAME, "q", q, "in (0, 1]")?;
        Ok(Self::exponential(Phi1::new(1.0 + q, NllClip::Auto)?))
    }

    /// `1 - p_y`, tau = 2: mean absolute error (half the L1 distance between `p` and the one-hot target).
    pub fn mae() -> Self {
        Self::exponential(Phi1::mae())
    }

    fn exponential(phi1: Phi1) -> Self {
        Self {
            phi1,
            phi2: CompSumPhi2::Exp,
            label_smoothing: 0.0,
            class_weights: ClassWeights::uniform(),
            reduction: Reduction::Mean,
        }
    }

    /// The knob tau.
    pub fn tau(&self) -> f64 {
        self.phi1.tau()
    }

    /// How many examples of the batch lie beyond the cut of [`NllClip`]. Reads back from the device.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    pub fn clipped_count(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> usize {
        let Some(limit) = self.phi1.limit() else { return 0 };
        let nll = self.phi2.log1p_sum(logits.inner(), targets.inner());
        nll.to_data().iter::<f64>().filter(|&value| value > limit).count()
    }
}

impl ClassificationLoss for CompSumLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let [rows, classes] = logits.dims();
        if self.phi2 == CompSumPhi2::Exp && self.label_smoothing == 0.0 {
            let weights = self.class_weights.of_targets(NAME, classes, targets.clone(), logits.dtype());
            let losses = of_likelihood(logits, targets, &self.phi1);
            return match weights {
                Some(weights) => losses * weights,
                None => losses,
            };
        }
        if self.phi2 == CompSumPhi2::Exp {
            let losses = self.phi1.apply(-log_softmax(logits, 1));
            return mix_label_smoothing(NAME, losses, targets, self.label_smoothing, &self.class_weights);
        }
        let loss_of = |class: Tensor<1, Int>| self.phi1.apply(self.phi2.log1p_sum(logits.clone(), class));
        if self.label_smoothing == 0.0 {
            let weights = self.class_weights.of_targets(NAME, classes, targets.clone(), logits.dtype());
            let losses = loss_of(targets);
            return match weights {
                Some(weights) => losses * weights,
                None => losses,
            };
        }
        let every_class = (0..classes).map(|class| loss_of(Tensor::full([rows], class as i64, &targets.device())));
        let losses = Tensor::stack::<2>(every_class.collect(), 1);
        mix_label_smoothing(NAME, losses, targets, self.label_smoothing, &self.class_weights)
    }

    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let [_, classes] = logits.dims();
        let weights = self.class_weights.of_targets(NAME, classes, targets.clone(), logits.dtype());
        reduce(self.forward_no_reduction(logits, targets), weights, self.reduction)
    }

    fn check_classes(&self, num_classes: usize) -> Result<(), LossError> {
        self.class_weights.check_count(NAME, num_classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CrossEntropyLossConfig;
    use burn::tensor::{DType, Device};
    use kiln_check::random::cases;
    use kiln_check::{assert_close, assert_near, check_gradient, gradient, loss_suite, values};
    use proptest::prelude::*;

    fn logits(data: [[f64; 3]; 1]) -> Tensor<2> {
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn target(class: i64) -> Tensor<1, Int> {
        Tensor::from_ints([class], &Device::flex())
    }

    fn family(tau: f64) -> CompSumLoss {
        CompSumLossConfig::new().with_tau(tau).init().unwrap()
    }

    fn value(loss: &CompSumLoss, scores: [f64; 3], class: i64) -> f64 {
        values(&loss.forward_no_reduction(logits([scores]), target(class)))[0]
    }

    #[test]
    fn has_the_worked_values_and_gradients() {
        let cases = [
            (0.0, 3.32481249, Some([std::f64::consts::E, -3.32481249, 0.60653066])),
            (0.5, 2.1592367, Some([1.3071061, -1.59876089, 0.29165479])),
            (1.0, 1.46436878, Some([0.62853172, -0.7687761, 0.14024438])),
            (1.7, 0.91603485, Some([0.22550185, -0.27581811, 0.05031626])),
            (2.0, 0.7687761, None),
            (3.0, 0.47326775, None),
        ];
        for (tau, expected, slopes) in cases {
            let loss = family(tau);
            assert_near(value(&loss, [2.0, 1.0, 0.5], 1), expected, 1e-8);
            let found = gradient(|x| loss.forward_no_reduction(x, target(1)), &[2.0, 1.0, 0.5], [1, 3]);
            if let Some(slopes) = slopes {
                assert_close(&found, &slopes, 1e-8);
            }
            assert_near(found.iter().sum::<f64>(), 0.0, 1e-12);
        }
    }

    #[test]
    fn named_members_are_points_of_the_family() {
        let scores = [0.3, -1.2, 2.2];
        let members = [
            (CompSumLoss::sum_exponential(), 0.0),
            (CompSumLoss::logistic(), 1.0),
            (CompSumLoss::generalized_cross_entropy(0.7).unwrap(), 1.7),
            (CompSumLoss::mae(), 2.0),
        ];
        for (member, tau) in members {
            assert_eq!(member.tau(), tau);
            assert_eq!(value(&member, scores, 0), value(&family(tau), scores, 0));
        }
        let sum_exponential = (-1.2_f64 - 0.3).exp() + (2.2_f64 - 0.3).exp();
        assert_near(value(&CompSumLoss::sum_exponential(), scores, 0), sum_exponential, 1e-12);
    }

    #[test]
    fn passes_the_loss_suite() {
        for tau in [0.0, 0.5, 0.99999, 1.0, 1.3, 2.0, 3.0] {
            let loss = family(tau);
            loss_suite::check(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
        }
        let smoothed = CompSumLossConfig::new().with_tau(0.7).with_label_smoothing(0.2).init().unwrap();
        loss_suite::check(|logits, targets| smoothed.forward_no_reduction(logits, targets), 4);
        let weighted = CompSumLossConfig::new().with_class_weights(Some(vec![0.5, 2.0, 1.0])).init().unwrap();
        loss_suite::check(|logits, targets| weighted.forward_no_reduction(logits, targets), 3);
        let baseline = CrossEntropyLossConfig::new().with_label_smoothing(0.1).init().unwrap();
        loss_suite::check(|logits, targets| baseline.forward_no_reduction(logits, targets), 5);
        let with = |phi2| CompSumLossConfig::new().with_phi2(phi2).with_tau(0.7).init().unwrap();
        let (margin, hinge) = (with(CompSumPhi2::RhoMargin(2.0)), with(CompSumPhi2::Hinge(2.0)));
        // The margin loss has its kink at equal scores, the hinge elsewhere.
        loss_suite::check_except_at_ties(|logits, targets| margin.forward_no_reduction(logits, targets), 5);
        loss_suite::check(|logits, targets| hinge.forward_no_reduction(logits, targets), 5);
    }

    #[test]
    fn passes_the_suite_of_reductions() {
        for phi2 in [CompSumPhi2::Exp, CompSumPhi2::Hinge(2.0)] {
            for smoothing in [0.0, 0.2] {
                let config = CompSumLossConfig::new().with_tau(1.3).with_phi2(phi2).with_label_smoothing(smoothing);
                let [each, mean, sum] = [Reduction::None, Reduction::Mean, Reduction::Sum].map(|reduction| {
                    let loss = config.clone().with_reduction(reduction).init().unwrap();
                    move |logits: Tensor<2>, targets: Tensor<1, Int>| loss.forward(logits, targets)
                });
                loss_suite::check_reductions(each, mean, sum, 5);
            }
        }
    }

    #[test]
    fn is_continuous_in_tau() {
        for scores in [[2.0, 1.0, 0.5], [9.0, -3.0, 0.0], [-4.0, 8.0, 0.1]] {
            for centre in [1.0, 2.0] {
                let middle = value(&family(centre), scores, 1);
                assert_near(value(&family(centre - 1e-7), scores, 1), middle, 1e-5);
                assert_near(value(&family(centre + 1e-7), scores, 1), middle, 1e-5);
            }
        }
        let near = family(1.0 + 1e-7);
        assert_near(value(&near, [2.0, 1.0, 0.5], 1), 1.46436878, 1e-6);
    }

    #[test]
    fn an_example_that_is_certain_keeps_its_small_loss() {
        // p_y = 1 - 2e-9 or so: p^(tau - 1) - 1 would cancel.
        let expected = 2.0 * (-20.0_f64).exp();
        for tau in [0.5, 0.9999, 1.0001, 1.5] {
            let found = value(&family(tau), [0.0, 20.0, 0.0], 1);
            assert!((found / expected - 1.0).abs() < 1e-4, "tau {tau}: {found:e} instead of {expected:e}");
        }
    }

    #[test]
    fn agrees_with_cross_entropy_in_smoothing_weights_and_reductions() {
        let device = Device::flex();
        let scores = Tensor::<2>::from_floats([[2.0, 1.0, 0.5], [-1.0, 0.0, 3.0], [0.2, 0.1, 0.0]], &device);
        let classes = Tensor::<1, Int>::from_ints([1, 2, 0], &device);
        for smoothing in [0.0, 0.3] {
            for weights in [None, Some(vec![0.2, 1.0, 3.0])] {
                for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
                    let ours = CompSumLossConfig::new()
                        .with_label_smoothing(smoothing)
                        .with_class_weights(weights.clone())
                        .with_reduction(reduction);
                    let theirs = CrossEntropyLossConfig::new()
                        .with_label_smoothing(smoothing)
                        .with_class_weights(weights.clone())
                        .with_reduction(reduction);
                    let ours = ours.init().unwrap().forward(scores.clone(), classes.clone());
                    let theirs = theirs.init().unwrap().forward(scores.clone(), classes.clone());
                    assert_close(&values(&ours), &values(&theirs), 1e-6);
                }
            }
        }
    }

    #[test]
    fn smoothing_weights_and_reductions_have_the_values_of_pytorch() {
        // torch.nn.functional.cross_entropy in double precision: smoothing, weighted, mean, sum, one by one
        let cases = [
            (0.0, false, 0.844_065_178_7, 2.532_195_536_1, [1.464_368_784_1, 0.065_883_903_8, 1.001_942_848_2]),
            (0.3, false, 1.070_731_845_4, 3.212_195_536_1, [1.414_368_784_1, 0.765_883_903_8, 1.031_942_848_2]),
            (0.0, true, 0.443_430_729_8, 1.862_409_065_0, [1.464_368_784_1, 0.197_651_711_3, 0.200_388_569_6]),
            (0.3, true, 0.701_716_302_5, 2.947_208_470_7, [1.770_093_038_2, 0.546_027_437_5, 0.631_087_995_0]),
        ];
        let data = [[2.0_f64, 1.0, 0.5], [-1.0, 0.0, 3.0], [0.2, 0.1, 0.0]];
        let scores = Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
        let classes = Tensor::<1, Int>::from_ints([1, 2, 0], &Device::flex());
        for (smoothing, weighted, mean, sum, each) in cases {
            let weights = weighted.then(|| vec![0.2, 1.0, 3.0]);
            let expected =
                [(Reduction::Mean, vec![mean]), (Reduction::Sum, vec![sum]), (Reduction::None, each.to_vec())];
            for (reduction, expected) in expected {
                let comp_sum = CompSumLossConfig::new()
                    .with_label_smoothing(smoothing)
                    .with_class_weights(weights.clone())
                    .with_reduction(reduction);
                let found = comp_sum.init().unwrap().forward(scores.clone(), classes.clone());
                assert_close(&values(&found), &expected, 1e-9);
                let cross_entropy = CrossEntropyLossConfig::new()
                    .with_label_smoothing(smoothing)
                    .with_class_weights(weights.clone())
                    .with_reduction(reduction);
                let found = cross_entropy.init().unwrap().forward(scores.clone(), classes.clone());
                assert_close(&values(&found), &expected, 1e-9);
            }
        }
    }

    #[test]
    fn small_tau_is_cut_and_counted() {
        let device = Device::flex().autodiff();
        let scores = Tensor::<2>::from_floats([[200.0, 0.0], [3.0, 0.0]], &device).require_grad();
        let classes = Tensor::<1, Int>::from_ints([1, 1], &device);
        let loss = CompSumLoss::sum_exponential();
        assert_eq!(loss.clipped_count(scores.clone(), classes.clone()), 1);
        let output = loss.forward_no_reduction(scores.clone(), classes.clone());
        let found = values(&output);
        assert!((found[0] / 60.0_f64.exp() - 1.0).abs() < 1e-4, "{found:?}");
        let slopes = values(&scores.grad(&output.sum().backward()).unwrap());
        assert!(slopes[0] > 1e20 && slopes[0].is_finite() && slopes[1] == -slopes[0], "{slopes:?}");
        let off = CompSumLossConfig::new().with_tau(0.0).with_max_nll(NllClip::Off).init().unwrap();
        assert!(values(&off.forward_no_reduction(scores.clone(), classes.clone()))[0].is_infinite());
        assert_eq!(off.clipped_count(scores, classes), 0);
    }

    #[test]
    fn margin_and_hinge_sum_over_the_other_classes() {
        let scores = [2.0, 1.0, 0.5];
        // differences of class 1: -1 and 0.5
        let of = |phi2, tau| value(&CompSumLossConfig::new().with_phi2(phi2).with_tau(tau).init().unwrap(), scores, 1);
        assert_near(of(CompSumPhi2::RhoMargin(1.0), 1.0), (1.0_f64 + 1.0 + 0.5).ln(), 1e-12);
        assert_near(of(CompSumPhi2::Hinge(1.0), 1.0), (1.0_f64 + 2.0 + 0.5).ln(), 1e-12);
        assert_near(of(CompSumPhi2::Hinge(2.0), 0.0), 1.5 + 0.75, 1e-12);
        assert_near(of(CompSumPhi2::RhoMargin(1.0), 2.0), 1.0 - 1.0 / 2.5, 1e-12);
        for phi2 in [CompSumPhi2::RhoMargin(1.0), CompSumPhi2::Hinge(3.0)] {
            let loss = CompSumLossConfig::new().with_phi2(phi2).with_tau(0.5).init().unwrap();
            check_gradient(|x| loss.forward_no_reduction(x, target(1)), &scores, [1, 3], 1e-7);
            let smoothed = CompSumLossConfig::new().with_phi2(phi2).with_label_smoothing(0.3).init().unwrap();
            let mixed = value(&smoothed, scores, 1);
            let plain = CompSumLossConfig::new().with_phi2(phi2).init().unwrap();
            let every: f64 = (0..3).map(|class| value(&plain, scores, class)).sum();
            assert_near(mixed, 0.7 * value(&plain, scores, 1) + 0.1 * every, 1e-12);
        }
    }

    #[test]
    fn a_class_that_is_masked_out_changes_nothing() {
        let device = Device::flex().autodiff();
        let scores = Tensor::<2>::from_floats([[2.0, 1.0, f32::NEG_INFINITY]], &device).require_grad();
        let output = family(0.5).forward(scores.clone(), Tensor::from_ints([1], &device));
        let slopes = values(&scores.grad(&output.clone().backward()).unwrap());
        let expected = (0.5 * (1.0_f64 + 1.0_f64.exp()).ln()).exp_m1() / 0.5;
        assert_near(values(&output)[0], expected, 1e-6);
        assert!(slopes.iter().all(|slope| slope.is_finite()) && slopes[2] == 0.0, "{slopes:?}");
    }

    #[test]
    fn refuses_what_is_out_of_range() {
        for tau in [-0.1, f64::NAN, f64::INFINITY] {
            let error = CompSumLossConfig::new().with_tau(tau).init().unwrap_err();
            assert!(matches!(error, LossError::Setting { name: "tau", .. }), "{error}");
        }
        for phi2 in [CompSumPhi2::RhoMargin(0.0), CompSumPhi2::Hinge(-1.0), CompSumPhi2::Hinge(f64::NAN)] {
            assert!(CompSumLossConfig::new().with_phi2(phi2).init().is_err());
        }
        assert!(CompSumLossConfig::new().with_max_nll(NllClip::At(0.0)).init().is_err());
        assert!(CompSumLossConfig::new().with_label_smoothing(1.1).init().is_err());
        assert!(CompSumLossConfig::new().with_class_weights(Some(vec![1.0, -1.0])).init().is_err());
        assert!(CompSumLoss::generalized_cross_entropy(0.0).is_err());
        assert!(CompSumLoss::generalized_cross_entropy(1.5).is_err());
    }

    #[test]
    fn try_forward_names_what_is_wrong_with_a_batch() {
        let loss = CompSumLossConfig::new().with_class_weights(Some(vec![1.0, 2.0])).init().unwrap();
        let scores = || logits([[2.0, 1.0, 0.5]]);
        assert!(matches!(
            loss.try_forward(scores(), target(1)),
            Err(LossError::WeightCount { expected: 3, actual: 2, .. })
        ));
        let loss = CompSumLoss::logistic();
        assert!(matches!(loss.try_forward(scores(), target(3)), Err(LossError::Target { row: 0, target: 3, .. })));
        let error = loss.try_forward(logits([[0.0, f64::NAN, 0.0]]), target(1)).unwrap_err();
        assert!(matches!(error, LossError::Logit { row: 0, class: 1, .. }));
        assert!(loss.try_forward(scores(), target(1)).is_ok());
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn losses_are_not_negative_and_do_not_increase_with_tau(
            scores in proptest::array::uniform3(-30.0..30.0_f64),
            class in 0..3_i64,
            low in 0.0..3.0_f64,
            high in 0.0..3.0_f64,
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let (wide, narrow) = (value(&family(low), scores, class), value(&family(high), scores, class));
            prop_assert!(narrow >= 0.0);
            prop_assert!(wide >= narrow * (1.0 - 1e-12), "{wide} at {low}, {narrow} at {high}");
        }
    }
}
