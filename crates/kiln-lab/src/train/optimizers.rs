//! Optimizers by name.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{LionConfig, ModuleOptimizer, SgdConfig};
use kiln_optim::{AdamConfig, OptimizerKind, OptimizerSettings};

use super::selector::{Entry, Registry, SelectorError, SettingInfo, Settings};

/// Optimizers by name. The learning rate is not among their settings: it has a flag of its own.
pub const OPTIMIZERS: Registry<ModuleOptimizer> = Registry {
    kind: "optimizer",
    entries: &[
        Entry {
            name: "sgdm",
            summary: "gradient descent with momentum",
            settings: &[SettingInfo { key: "momentum", default: "0.9", about: "in [0, 1)" }, WEIGHT_DECAY, CLIP_NORM],
            build: |settings| standard(OptimizerKind::Sgdm, settings),
        },
        Entry {
            name: "adam",
            summary: "steps scaled by running moments of the gradient",
            settings: &[BETA_1, BETA_2, EPSILON, WEIGHT_DECAY, CLIP_NORM],
            build: |settings| standard(OptimizerKind::Adam, settings),
        },
        Entry {
            name: "amsgrad",
            summary: "Adam over the largest second moment so far",
            settings: &[BETA_1, BETA_2, EPSILON, WEIGHT_DECAY, CLIP_NORM],
            build: |settings| standard(OptimizerKind::AmsGrad, settings),
        },
        Entry {
            name: "diffgrad",
            summary: "Adam whose step shrinks where the gradient has stopped changing",
            settings: &[
                BETA_1,
                BETA_2,
                EPSILON,
                SettingInfo {
                    key: "friction",
                    default: "abs-sigmoid",
                    about: "abs-sigmoid, sigmoid, normalized, or a constant in (0, 1]",
                },
                SettingInfo { key: "eps-placement", default: "authors", about: "authors or paper" },
                SettingInfo {
                    key: "amsgrad",
                    default: "false",
                    about: "true divides by the largest second moment so far",
                },
                SettingInfo {
                    key: "skip-nonfinite",
                    default: "false",
                    about: "true leaves a parameter alone where its gradient is not finite",
                },
                WEIGHT_DECAY,
                CLIP_NORM,
            ],
            build: |settings| standard(OptimizerKind::DiffGrad, settings),
        },
        Entry {
            name: "adagrad",
            summary: "steps scaled by the sum of squared gradients",
            settings: &[SettingInfo { key: "epsilon", default: "1e-10", about: "at least 0" }, WEIGHT_DECAY, CLIP_NORM],
            build: |settings| standard(OptimizerKind::AdaGrad, settings),
        },
        Entry {
            name: "adadelta",
            summary: "steps scaled by running means of squared gradients and squared steps",
            settings: &[
                SettingInfo { key: "rho", default: "0.95", about: "in [0, 1)" },
                SettingInfo { key: "epsilon", default: "1e-6", about: "above 0" },
                WEIGHT_DECAY,
                CLIP_NORM,
            ],
            build: |settings| standard(OptimizerKind::AdaDelta, settings),
        },
        Entry {
            name: "rmsprop",
            summary: "steps scaled by a running mean of squared gradients",
            settings: &[
                SettingInfo { key: "alpha", default: "0.99", about: "in [0, 1)" },
                EPSILON,
                WEIGHT_DECAY,
                CLIP_NORM,
            ],
            build: |settings| standard(OptimizerKind::RmsProp, settings),
        },
        Entry {
            name: "adamw",
            summary: "Adam with decoupled weight decay",
            settings: &[
                BETA_1,
                BETA_2,
                EPSILON,
                SettingInfo { key: "weight-decay", default: "0.01", about: "decoupled, at least 0" },
            ],
            build: adamw,
        },
        Entry {
            name: "sgd",
            summary: "gradient descent, with Nesterov's momentum where momentum is set",
            settings: &[
                SettingInfo { key: "momentum", default: "0", about: "Nesterov's, in [0, 1)" },
                SettingInfo { key: "weight-decay", default: "0", about: "coupled L2 penalty, at least 0" },
            ],
            build: sgd,
        },
        Entry {
            name: "lion",
            summary: "steps of equal size in the direction of the momentum's sign",
            settings: &[
                BETA_1,
                SettingInfo { key: "beta-2", default: "0.99", about: "decay of the momentum, in [0, 1)" },
                SettingInfo { key: "weight-decay", default: "0", about: "decoupled, at least 0" },
            ],
            build: lion,
        },
    ],
};

const BETA_1: SettingInfo =
    SettingInfo { key: "beta-1", default: "0.9", about: "decay of the first moment, in [0, 1)" };
const BETA_2: SettingInfo =
    SettingInfo { key: "beta-2", default: "0.999", about: "decay of the second moment, in [0, 1)" };
const EPSILON: SettingInfo = SettingInfo { key: "epsilon", default: "1e-8", about: "at least 0" };
const WEIGHT_DECAY: SettingInfo =
    SettingInfo { key: "weight-decay", default: "none", about: "coupled L2 penalty, at least 0" };
const CLIP_NORM: SettingInfo =
    SettingInfo { key: "clip-norm", default: "none", about: "bound on the norm of each parameter's gradient, above 0" };

fn adamw(settings: &Settings<'_>) -> Result<ModuleOptimizer, SelectorError> {
    AdamConfig::new()
        .with_beta_1(decay(settings, "beta-1", 0.9)?)
        .with_beta_2(decay(settings, "beta-2", 0.999)?)
        .with_epsilon(non_negative(settings, "epsilon", 1e-8)?.into())
        .with_decoupled_weight_decay(non_negative(settings, "weight-decay", 0.01)?.into())
        .init()
        .map_err(|error| settings.refused(error))
}

fn sgd(settings: &Settings<'_>) -> Result<ModuleOptimizer, SelectorError> {
    let momentum = decay(settings, "momentum", 0.0)?;
    let penalty = non_negative(settings, "weight-decay", 0.0)?;
    let nesterov = MomentumConfig::new().with_momentum(momentum).with_dampening(0.0).with_nesterov(true);
    Ok(SgdConfig::new()
        .with_momentum((momentum > 0.0).then_some(nesterov))
        .with_weight_decay((penalty > 0.0).then(|| WeightDecayConfig::new(penalty)))
        .init())
}

fn lion(settings: &Settings<'_>) -> Result<ModuleOptimizer, SelectorError> {
    Ok(LionConfig::new()
        .with_beta_1(decay(settings, "beta-1", 0.9)? as f32)
        .with_beta_2(decay(settings, "beta-2", 0.99)? as f32)
        .with_weight_decay(non_negative(settings, "weight-decay", 0.0)?)
        .init())
}

fn decay(settings: &Settings<'_>, key: &str, default: f64) -> Result<f64, SelectorError> {
    let value = settings.number(key, default)?;
    if (0.0..1.0).contains(&value) { Ok(value) } else { Err(settings.wrong(key, "in [0, 1)")) }
}

fn non_negative(settings: &Settings<'_>, key: &str, default: f64) -> Result<f32, SelectorError> {
    let value = settings.number(key, default)?;
    if value.is_finite() && value >= 0.0 { Ok(value as f32) } else { Err(settings.wrong(key, "at least 0")) }
}

fn standard(kind: OptimizerKind, settings: &Settings<'_>) -> Result<ModuleOptimizer, SelectorError> {
    let mut chosen = OptimizerSettings::new(kind);
    for key in OptimizerSettings::keys(kind) {
        if let Some(text) = settings.text(&key.replace('_', "-")).filter(|text| *text != "none") {
            chosen.set(key, text).map_err(|error| settings.refused(error))?;
        }
    }
    chosen.init().map_err(|error| settings.refused(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Selector;

    #[test]
    fn every_optimizer_is_built_and_its_settings_are_known_to_it() {
        for entry in OPTIMIZERS.entries {
            OPTIMIZERS.build(&Selector::named(entry.name)).unwrap();
            let Ok(kind) = entry.name.parse::<OptimizerKind>() else { continue };
            let listed: Vec<String> = entry.settings.iter().map(|setting| setting.key.replace('-', "_")).collect();
            assert_eq!(listed, OptimizerSettings::keys(kind), "{}", entry.name);
        }
    }

    #[test]
    fn wrong_settings_are_refused() {
        for wrong in [
            "adam:beta-1=1",
            "diffgrad:friction=2",
            "sgdm:momentum=x",
            "adamw:weight-decay=-1",
            "sgd:momentum=1",
            "lion:beta-2=-1",
            "adan",
        ] {
            assert!(OPTIMIZERS.build(&wrong.parse().unwrap()).is_err(), "{wrong}");
        }
    }
}
