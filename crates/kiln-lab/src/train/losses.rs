//! Losses by name.

mod builders;

use kiln_loss::ClassificationLoss;
use kiln_loss::comp_sum::CompSumLoss;
use kiln_loss::margin::{
    CrammerSingerLossConfig, LogisticMarginLossConfig, MarginPhi, SmoothHingeLossConfig, SquaredHingeLossConfig,
    WestonWatkinsLossConfig,
};
use kiln_loss::robust::{
    ActivePassiveLossConfig, AsymmetricCrossEntropyLossConfig, AsymmetricUnhingedLossConfig, BrierLossConfig,
    CappedGceLossConfig, FocalLossConfig, JensenShannonLossConfig, NormalizedCrossEntropyLossConfig, PassiveLoss,
    ReverseCrossEntropyLossConfig, RobustLogLossConfig, SymmetricCrossEntropyLossConfig, TruncatedGceLossConfig,
};
use kiln_loss::{SquaredSphericalLossConfig, TaylorSoftmaxLossConfig};

use super::Selector;
use super::output_layer::{EPS, MARGIN as Z_MARGIN, SHARPNESS, spherical_softmax, z_loss};
use super::selector::{Entry, Registry, SelectorError, SettingInfo};
use builders::{boxed, comp_sum, cross_entropy, ens_loss, ldr, margin, margin_loss};

type Built = Result<Box<dyn ClassificationLoss>, SelectorError>;

/// Losses on classes by name.
pub const LOSSES: Registry<Box<dyn ClassificationLoss>> = Registry {
    kind: "loss",
    entries: &[
        Entry {
            name: "cross-entropy",
            summary: "negative log-probability of the class",
            settings: &[SMOOTHING, WEIGHTS, IGNORE],
            build: cross_entropy,
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
                IGNORE,
            ],
            build: comp_sum,
        },
        Entry {
            name: "gce",
            summary: "generalized cross-entropy, robust to label noise",
            settings: &[
                SettingInfo { key: "q", default: "0.7", about: "in (0, 1]: towards 0 it is cross-entropy, 1 is MAE" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| boxed(settings, CompSumLoss::generalized_cross_entropy(settings.number("q", 0.7)?)),
        },
        Entry {
            name: "capped-gce",
            summary: "generalized cross-entropy, constant where the class is improbable",
            settings: &[
                SettingInfo { key: "q", default: "0.7", about: "in (0, 1]" },
                SettingInfo {
                    key: "kappa",
                    default: "0.5",
                    about: "probability of the class below which a row is given up, in [0, 1)",
                },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                boxed(
                    settings,
                    CappedGceLossConfig::new()
                        .with_q(settings.number("q", 0.7)?)
                        .with_kappa(settings.number("kappa", 0.5)?)
                        .init(),
                )
            },
        },
        Entry {
            name: "truncated-gce",
            summary: "generalized cross-entropy of the training rows that are still believed",
            settings: &[
                SettingInfo { key: "q", default: "0.7", about: "in (0, 1]" },
                SettingInfo {
                    key: "kappa",
                    default: "0.5",
                    about: "probability of the class below which a row is given up, in [0, 1)",
                },
                SettingInfo { key: "start", default: "10", about: "epochs in which every row counts" },
                SettingInfo {
                    key: "every",
                    default: "10",
                    about: "epochs from one decision about the rows to the next, at least 1",
                },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                let config = TruncatedGceLossConfig::new()
                    .with_q(settings.number("q", 0.7)?)
                    .with_kappa(settings.number("kappa", 0.5)?)
                    .with_start(settings.whole("start", 10)?)
                    .with_every(settings.whole("every", 10)?);
                boxed(settings, config.init())
            },
        },
        Entry {
            name: "mae",
            summary: "mean absolute error of the class's probability, 1 - p",
            settings: &[WEIGHTS, IGNORE],
            build: |settings| boxed(settings, Ok(CompSumLoss::mae())),
        },
        Entry {
            name: "focal",
            summary: "cross-entropy that lets go of rows that are right already",
            settings: &[SettingInfo { key: "gamma", default: "2", about: "focus, at least 0" }, WEIGHTS, IGNORE],
            build: |settings| boxed(settings, FocalLossConfig::new().with_gamma(settings.number("gamma", 2.0)?).init()),
        },
        Entry {
            name: "symmetric-cross-entropy",
            summary: "cross-entropy and its reverse, robust to label noise",
            settings: &[
                SettingInfo { key: "balance", default: "0.5", about: "share of the reverse term, in [0, 1]" },
                SettingInfo { key: "log-zero", default: "4", about: "what stands for -log 0, above 0" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                boxed(
                    settings,
                    SymmetricCrossEntropyLossConfig::new()
                        .with_balance(settings.number("balance", 0.5)?)
                        .with_log_zero(settings.number("log-zero", 4.0)?)
                        .init(),
                )
            },
        },
        Entry {
            name: "reverse-cross-entropy",
            summary: "a multiple of MAE",
            settings: &[
                SettingInfo { key: "log-zero", default: "9.210340371976182", about: "what stands for -log 0, above 0" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                boxed(
                    settings,
                    ReverseCrossEntropyLossConfig::new()
                        .with_log_zero(settings.number("log-zero", 9.210_340_371_976_182)?)
                        .init(),
                )
            },
        },
        Entry {
            name: "normalized-cross-entropy",
            summary: "cross-entropy over its sum for all classes",
            settings: &[WEIGHTS, IGNORE],
            build: |settings| boxed(settings, NormalizedCrossEntropyLossConfig::new().init()),
        },
        Entry {
            name: "active-passive",
            summary: "normalized cross-entropy and a loss that lowers the other classes",
            settings: &[
                SettingInfo { key: "active", default: "5", about: "weight of normalized cross-entropy, at least 0" },
                SettingInfo { key: "passive", default: "5", about: "weight of the other loss, at least 0" },
                SettingInfo { key: "loss", default: "rce", about: "the other loss: rce, mae, aul or agce" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                let passive = [
                    ("rce", PassiveLoss::ReverseCrossEntropy),
                    ("mae", PassiveLoss::Mae),
                    ("aul", PassiveLoss::AsymmetricUnhinged),
                    ("agce", PassiveLoss::AsymmetricCrossEntropy),
                ];
                let config = ActivePassiveLossConfig::new()
                    .with_active(settings.number("active", 5.0)?)
                    .with_passive(settings.number("passive", 5.0)?)
                    .with_loss(settings.choice("loss", &passive)?);
                boxed(settings, config.init())
            },
        },
        Entry {
            name: "asymmetric-unhinged",
            summary: "AUL: ((a - p)^q - (a - 1)^q) / q",
            settings: &[
                SettingInfo { key: "a", default: "6", about: "above 1" },
                SettingInfo { key: "q", default: "1.5", about: "above 0" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                boxed(
                    settings,
                    AsymmetricUnhingedLossConfig::new()
                        .with_a(settings.number("a", 6.0)?)
                        .with_q(settings.number("q", 1.5)?)
                        .init(),
                )
            },
        },
        Entry {
            name: "asymmetric-gce",
            summary: "AGCE: ((a + 1)^q - (a + p)^q) / q",
            settings: &[
                SettingInfo { key: "a", default: "3", about: "above 0" },
                SettingInfo { key: "q", default: "1.5", about: "above 0" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                boxed(
                    settings,
                    AsymmetricCrossEntropyLossConfig::new()
                        .with_a(settings.number("a", 3.0)?)
                        .with_q(settings.number("q", 1.5)?)
                        .init(),
                )
            },
        },
        Entry {
            name: "jensen-shannon",
            summary: "divergence between class and prediction, between cross-entropy and MAE",
            settings: &[
                SettingInfo { key: "weight", default: "0.5", about: "weight of the class, in (0, 1)" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                boxed(settings, JensenShannonLossConfig::new().with_weight(settings.number("weight", 0.5)?).init())
            },
        },
        Entry {
            name: "brier",
            summary: "squared distance between the class and the probabilities",
            settings: &[WEIGHTS, IGNORE],
            build: |settings| boxed(settings, BrierLossConfig::new().init()),
        },
        Entry {
            name: "robust-log",
            summary: "RLL: logarithms with an offset, made symmetric",
            settings: &[
                SettingInfo { key: "offset", default: "1", about: "inside the logarithms, above 0" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                boxed(settings, RobustLogLossConfig::new().with_offset(settings.number("offset", 1.0)?).init())
            },
        },
        Entry {
            name: "crammer-singer",
            summary: "hinge of the strongest rival",
            settings: &[MARGIN, WEIGHTS, IGNORE],
            build: |settings| {
                boxed(settings, CrammerSingerLossConfig::new().with_margin(settings.number("margin", 1.0)?).init())
            },
        },
        Entry {
            name: "weston-watkins",
            summary: "mean hinge of all rivals",
            settings: &[MARGIN, WEIGHTS, IGNORE],
            build: |settings| {
                boxed(settings, WestonWatkinsLossConfig::new().with_margin(settings.number("margin", 1.0)?).init())
            },
        },
        Entry {
            name: "squared-hinge",
            summary: "mean squared hinge of all rivals",
            settings: &[MARGIN, WEIGHTS, IGNORE],
            build: |settings| {
                boxed(settings, SquaredHingeLossConfig::new().with_margin(settings.number("margin", 1.0)?).init())
            },
        },
        Entry {
            name: "smooth-hinge",
            summary: "mean hinge of all rivals with its kink rounded off",
            settings: &[MARGIN, WEIGHTS, IGNORE],
            build: |settings| {
                boxed(settings, SmoothHingeLossConfig::new().with_margin(settings.number("margin", 1.0)?).init())
            },
        },
        Entry {
            name: "logistic-margin",
            summary: "mean logistic loss of all rivals",
            settings: &[
                SettingInfo { key: "margin", default: "0", about: "by which the class has to win, at least 0" },
                WEIGHTS,
                IGNORE,
            ],
            build: |settings| {
                boxed(settings, LogisticMarginLossConfig::new().with_margin(settings.number("margin", 0.0)?).init())
            },
        },
        Entry {
            name: "hinge",
            summary: "max(0, 1 - z) of the margin z = y f; more than two classes: each against the rest",
            settings: &[WEIGHTS, IGNORE],
            build: |settings| margin_loss(settings, MarginPhi::Hinge),
        },
        Entry {
            name: "logistic",
            summary: "log(1 + exp(-z)) of the margin: binary cross-entropy",
            settings: &[WEIGHTS, IGNORE],
            build: |settings| margin_loss(settings, MarginPhi::Logistic),
        },
        Entry {
            name: "exponential",
            summary: "exp(-z) of the margin; clip the gradients",
            settings: &[WEIGHTS, IGNORE],
            build: |settings| margin_loss(settings, MarginPhi::Exponential),
        },
        Entry {
            name: "margin",
            summary: "any loss of the margin z = y f; more than two classes: each against the rest",
            settings: &[
                SettingInfo {
                    key: "phi",
                    default: "logistic",
                    about: "logistic, hinge, exponential, squared, squared-hinge, focal, or a hinge with a tail: exp-tail, inverse-tail, inverse-log-tail, log-tail, sqrt-tail",
                },
                SettingInfo { key: "gamma", default: "2", about: "focus of focal, at least 0" },
                WEIGHTS,
                IGNORE,
            ],
            build: margin,
        },
        Entry {
            name: "ldr",
            summary: "label-distributionally robust: between cross-entropy and the hinge, or a temperature for each row",
            settings: &[
                SettingInfo {
                    key: "variant",
                    default: "kl",
                    about: "kl (one temperature), top-k or adaptive (a temperature for each row)",
                },
                SettingInfo {
                    key: "lambda",
                    default: "1",
                    about: "temperature of kl, above 0, and of top-k, where 0 is the default",
                },
                SettingInfo { key: "lambda0", default: "1", about: "largest temperature of adaptive, above 0" },
                SettingInfo { key: "alpha", default: "2", about: "stiffness of adaptive, above 1" },
                SettingInfo { key: "k", default: "5", about: "classes that share the weight in top-k, at least 1" },
                SettingInfo { key: "margin", default: "0.1", about: "by which the class has to win, at least 0" },
                SettingInfo { key: "normalize", default: "none", about: "scaling of the logits: none, softplus or l1" },
                SettingInfo {
                    key: "mode",
                    default: "alternating",
                    about: "temperatures of adaptive: alternating, exact or joint",
                },
                WEIGHTS,
                IGNORE,
            ],
            build: ldr,
        },
        Entry {
            name: "ens-loss",
            summary: "a random calibrated loss at every step, for two classes; more: each against the rest",
            settings: &[
                SettingInfo {
                    key: "dist",
                    default: "inv-box-cox",
                    about: "sizes of the derivatives: inv-box-cox, exponential, gamma, half-normal or beta",
                },
                SettingInfo { key: "lam", default: "0", about: "parameter of inv-box-cox, finite" },
                SettingInfo { key: "rate", default: "1", about: "of exponential, above 0" },
                SettingInfo { key: "shape", default: "1", about: "of gamma, above 0" },
                SettingInfo { key: "scale", default: "1", about: "of gamma and half-normal, above 0" },
                SettingInfo { key: "alpha", default: "1", about: "of beta, above 0" },
                SettingInfo { key: "beta", default: "1", about: "of beta, above 0" },
                SettingInfo {
                    key: "period",
                    default: "none",
                    about: "epochs after which another lam is drawn, at least 1",
                },
                SettingInfo { key: "lam-low", default: "-1", about: "least lam that is drawn" },
                SettingInfo { key: "lam-high", default: "1", about: "largest lam that is drawn" },
                SettingInfo { key: "clip", default: "1", about: "largest size, above 0" },
                SettingInfo { key: "tail", default: "inverse", about: "beyond the margin 1: inverse or none" },
                SettingInfo { key: "floor", default: "1e-6", about: "added to every size, above 0" },
                SettingInfo {
                    key: "seed",
                    default: "0",
                    about: "decides the draws; in kiln train and compare the training's",
                },
                WEIGHTS,
                IGNORE,
            ],
            build: ens_loss,
        },
        Entry {
            name: "z-loss",
            summary: "softplus of the class's standardised score; ranks, gives no probabilities",
            settings: &[SHARPNESS, Z_MARGIN, WEIGHTS, IGNORE],
            build: |settings| boxed(settings, z_loss(settings)?.init()),
        },
        Entry {
            name: "taylor-softmax",
            summary: "log of the second-order Taylor softmax",
            settings: &[WEIGHTS, IGNORE],
            build: |settings| boxed(settings, TaylorSoftmaxLossConfig::new().init()),
        },
        Entry {
            name: "spherical-softmax",
            summary: "log of the squared scores' share",
            settings: &[EPS, WEIGHTS, IGNORE],
            build: |settings| boxed(settings, spherical_softmax(settings)?.init()),
        },
        Entry {
            name: "squared-error",
            summary: "squared distance of the scores to the one-hot class",
            settings: &[WEIGHTS, IGNORE],
            build: |settings| boxed(settings, SquaredSphericalLossConfig::new().init()),
        },
    ],
};

/// Whether the softmax of a network trained with `loss` is a probability. The spherical family ranks classes or has
/// probabilities of its own; losses of a margin and label-distributionally robust ones only decide.
pub fn gives_probabilities(loss: &Selector) -> bool {
    const DECIDES: [&str; 15] = [
        "z-loss",
        "taylor-softmax",
        "spherical-softmax",
        "squared-error",
        "crammer-singer",
        "weston-watkins",
        "squared-hinge",
        "smooth-hinge",
        "logistic-margin",
        "hinge",
        "logistic",
        "exponential",
        "margin",
        "ldr",
        "ens-loss",
    ];
    !DECIDES.contains(&loss.name())
}

const SMOOTHING: SettingInfo = SettingInfo {
    key: "label-smoothing",
    default: "0",
    about: "share of the target that is spread over all classes, in [0, 1]",
};

const MARGIN: SettingInfo =
    SettingInfo { key: "margin", default: "1", about: "by which the class has to win, at least 0" };

const WEIGHTS: SettingInfo =
    SettingInfo { key: "weights", default: "none", about: "one factor a class joined by '/', such as 1/2.5" };

const IGNORE: SettingInfo =
    SettingInfo { key: "ignore", default: "none", about: "number of a class whose rows count for nothing, from 0" };

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Int, Tensor};
    use kiln_loss::TrainingMoment;

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
    fn every_loss_takes_weights_and_an_ignored_class() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_data([[2.0, 1.0, 0.5], [-1.0, 0.0, 3.0]], &device);
        let targets = Tensor::<1, Int>::from_data([1, 2], &device);
        for name in LOSSES.names() {
            let value = |settings: &str, rows: usize| -> f32 {
                let loss = LOSSES.build(&format!("{name}{settings}").parse().unwrap()).unwrap();
                let batch = (logits.clone().slice([0..rows, 0..3]), targets.clone().slice(0..rows));
                loss.forward(batch.0, batch.1).into_scalar()
            };
            assert!((value(":ignore=2", 2) - value("", 1)).abs() < 1e-6, "{name}");
            assert!((value(":weights=1/3/0", 2) - value("", 1)).abs() < 1e-6, "{name}");
        }
        let loss = LOSSES.build(&"focal:weights=1/2".parse().unwrap()).unwrap();
        assert!(loss.check_classes(3).is_err());
    }

    #[test]
    fn an_ignored_row_counts_for_nothing_in_training_either() {
        let device = Device::flex();
        let targets = Tensor::<1, Int>::from_data([1, 0, 1], &device);
        let moment = TrainingMoment { step: 3, epoch: 1, rows: &[0, 1, 2] };
        for name in ["ens-loss", "hinge"] {
            let loss = LOSSES.build(&format!("{name}:ignore=0").parse().unwrap()).unwrap();
            // The ignored margin is the largest in both batches, so that the others keep their ranks and sizes.
            let value = |ignored: f32| -> f32 {
                let logits = Tensor::<2>::from_data([[0.2, 0.5], [ignored, 0.0], [1.0, 0.3]], &device);
                loss.forward_in_training(logits, targets.clone(), &moment).into_scalar()
            };
            assert_eq!(value(5.0), value(9.0), "{name}");
            assert!(value(5.0).is_finite() && value(5.0) != 0.0, "{name}");
        }
    }

    #[test]
    fn variants_and_functions_are_chosen_by_name() {
        for text in [
            "ldr:variant=kl,lambda=10,normalize=softplus",
            "ldr:variant=top-k,k=2,lambda=0.5",
            "ldr:variant=adaptive,lambda0=0.1,mode=exact,normalize=l1",
            "ens-loss:dist=gamma,shape=2,scale=0.5",
            "ens-loss:lam=0.5,period=5,lam-low=0",
            "margin:phi=focal,gamma=1",
            "margin:phi=log-tail",
            "active-passive:loss=agce,active=0.1,passive=9.9",
            "cross-entropy:label-smoothing=0.1,weights=1/2",
        ] {
            assert!(LOSSES.build(&text.parse().unwrap()).is_ok(), "{text}");
        }
        for (text, part) in [
            ("ldr:lambda=0", "lambda = 0"),
            ("ldr:variant=adaptive,alpha=1", "could reach 0"),
            ("ldr:variant=adaptive,lambda=2", "lambda is no setting of this variant"),
            ("ldr:variant=top-k,k=0", "k = 0"),
            ("ens-loss:clip=0", "clip = 0"),
            ("ens-loss:period=0", "period = 0"),
            ("ens-loss:dist=gamma,period=5", "period = 5"),
            ("ens-loss:dist=exponential,lam=3", "lam is no setting of this dist"),
            ("ens-loss:lam-low=0", "need a period"),
            ("ens-loss:period=2,lam-high=-2", "lam-high = -2"),
            ("margin:phi=hinge,gamma=5", "gamma is no setting of this phi"),
            ("focal:gamma=-1", "gamma = -1"),
            ("focal:ignore=x", "ignore=x"),
            ("cross-entropy:label-smoothing=0.1,ignore=1", "ignore does not go"),
            ("capped-gce:kappa=1", "kappa = 1"),
        ] {
            let error = LOSSES.build(&text.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
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
