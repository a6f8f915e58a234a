//! Losses by name.

use kiln_loss::comp_sum::{CompSumLoss, CompSumLossConfig, CompSumPhi2};
use kiln_loss::{
    ClassificationLoss, CrossEntropyLossConfig, LossError, SphericalSoftmaxLossConfig, SquaredSphericalLossConfig,
    TaylorSoftmaxLossConfig, ZLossConfig,
};

use super::Selector;
use super::selector::{Entry, Registry, SelectorError, SettingInfo, Settings};

/// Losses by name.
pub const LOSSES: Registry<Box<dyn ClassificationLoss>> = Registry {
    kind: "loss",
    entries: &[
        Entry {
            name: "cross-entropy",
            summary: "negative log-probability of the class",
            settings: &[SMOOTHING, WEIGHTS],
            build: |settings| {
                let config = CrossEntropyLossConfig::new()
                    .with_label_smoothing(settings.number("label-smoothing", 0.0)?)
                    .with_class_weights(weights(settings)?);
                boxed(settings, config.init())
            },
        },
        Entry {
            name: "comp-sum",
            summary: "sum-exponential (tau 0), cross-entropy (1), generalized cross-entropy (between 1 and 2), MAE (2)",
            settings: &[
                SettingInfo { key: "tau", default: "1", about: "at least 0" },
                SettingInfo { key: "phi", default: "exp", about: "inner function: exp, margin or hinge" },
                SettingInfo { key: "rho", default: "1", about: "scale of margin and hinge, above 0" },
                SMOOTHING,
                WEIGHTS,
            ],
            build: comp_sum,
        },
        Entry {
            name: "gce",
            summary: "generalized cross-entropy, robust to label noise",
            settings: &[SettingInfo { key: "q", default: "0.7", about: "in (0, 1): 0 is cross-entropy, 1 is MAE" }],
            build: |settings| {
                let q = settings.number("q", 0.7)?;
                boxed(settings, CompSumLoss::generalized_cross_entropy(q))
            },
        },
        Entry {
            name: "mae",
            summary: "mean absolute error of the class's probability, 1 - p",
            settings: &[],
            build: |_| Ok(Box::new(CompSumLoss::mae())),
        },
        Entry {
            name: "z-loss",
            summary: "softplus of the class's standardised score; ranks, gives no probabilities",
            settings: &[
                SettingInfo { key: "sharpness", default: "0.1", about: "a, above 0" },
                SettingInfo { key: "margin", default: "10", about: "b, on the scale of a standardised score" },
            ],
            build: |settings| {
                let config = ZLossConfig::new()
                    .with_sharpness(settings.number("sharpness", 0.1)?)
                    .with_margin(settings.number("margin", 10.0)?);
                boxed(settings, config.init())
            },
        },
        Entry {
            name: "taylor-softmax",
            summary: "log of the second-order Taylor softmax",
            settings: &[],
            build: |settings| boxed(settings, TaylorSoftmaxLossConfig::new().init()),
        },
        Entry {
            name: "spherical-softmax",
            summary: "log of the squared scores' share",
            settings: &[SettingInfo { key: "eps", default: "0.001", about: "added to each squared score, above 0" }],
            build: |settings| {
                let config = SphericalSoftmaxLossConfig::new().with_eps(settings.number("eps", 1e-3)?);
                boxed(settings, config.init())
            },
        },
        Entry {
            name: "squared-error",
            summary: "squared distance of the scores to the one-hot class",
            settings: &[],
            build: |settings| boxed(settings, SquaredSphericalLossConfig::new().init()),
        },
    ],
};

/// Whether the softmax of a network trained with `loss` is a probability. The spherical family ranks classes, or has
/// probabilities of its own.
pub fn gives_probabilities(loss: &Selector) -> bool {
    !matches!(loss.name(), "z-loss" | "taylor-softmax" | "spherical-softmax" | "squared-error")
}

const SMOOTHING: SettingInfo = SettingInfo {
    key: "label-smoothing",
    default: "0",
    about: "share of the target that is spread over all classes, in [0, 1]",
};

const WEIGHTS: SettingInfo =
    SettingInfo { key: "weights", default: "none", about: "one factor a class joined by '/', such as 1/2.5" };

fn comp_sum(settings: &Settings<'_>) -> Result<Box<dyn ClassificationLoss>, SelectorError> {
    let rho = settings.number("rho", 1.0)?;
    let phis = [("exp", CompSumPhi2::Exp), ("margin", CompSumPhi2::RhoMargin(rho)), ("hinge", CompSumPhi2::Hinge(rho))];
    let config = CompSumLossConfig::new()
        .with_tau(settings.number("tau", 1.0)?)
        .with_phi2(settings.choice("phi", &phis)?)
        .with_label_smoothing(settings.number("label-smoothing", 0.0)?)
        .with_class_weights(weights(settings)?);
    boxed(settings, config.init())
}

fn weights(settings: &Settings<'_>) -> Result<Option<Vec<f64>>, SelectorError> {
    let Some(text) = settings.text("weights").filter(|text| *text != "none") else { return Ok(None) };
    let weights: Option<Vec<f64>> = text.split('/').map(|part| part.parse().ok()).collect();
    weights.map(Some).ok_or_else(|| settings.wrong("weights", WEIGHTS.about))
}

fn boxed<L: ClassificationLoss + 'static>(
    settings: &Settings<'_>,
    loss: Result<L, LossError>,
) -> Result<Box<dyn ClassificationLoss>, SelectorError> {
    Ok(Box::new(loss.map_err(|error| settings.refused(error))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Int, Tensor};

    #[test]
    fn every_loss_is_finite_on_a_batch() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_data([[2.0, 1.0, 0.5], [-1.0, 0.0, 3.0]], &device);
        let targets = Tensor::<1, Int>::from_data([1, 2], &device);
        for name in LOSSES.names() {
            let loss = LOSSES.build(&Selector::named(name)).unwrap();
            let value: f32 = loss.forward(logits.clone(), targets.clone()).into_scalar();
            assert!(value.is_finite(), "{name}: {value}");
        }
    }

    #[test]
    fn wrong_values_are_refused_with_the_loss() {
        let error = LOSSES.build(&"comp-sum:tau=-1".parse().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("loss 'comp-sum'") && error.contains("-1"), "{error}");
        assert!(LOSSES.build(&"cross-entropy:weights=1/x".parse().unwrap()).is_err());
        let error = LOSSES.build(&"cross-entropi".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("did you mean 'cross-entropy'?"), "{error}");
    }
}
