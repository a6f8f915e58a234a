use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdaGradConfig, ModuleOptimizer, RmsPropConfig};
use serde::{Deserialize, Serialize};

use crate::hyperparameter::{non_negative, positive, single_precision_fraction};
use crate::{
    AdaDeltaConfig, AdamConfig, DiffGradConfig, DiffGradFriction, EpsPlacement, OptimError, OptimizerKind, SgdConfig,
    clipping,
};

/// An optimizer of the comparison set with its hyperparameters, as a user names them: `adam:beta_1=0.95`.
///
/// A value that is not set has the default of PyTorch's optimizer of the same name, except where the field says otherwise.
/// The learning rate is given to each step, not here.
///
/// ```
/// use kiln_optim::{OptimizerKind, OptimizerSettings};
///
/// let mut settings = OptimizerSettings::new(OptimizerKind::DiffGrad);
/// settings.set("friction", "normalized")?;
/// let optimizer = settings.init()?;
/// # Ok::<(), kiln_optim::OptimError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSettings {
    /// Which optimizer.
    pub kind: OptimizerKind,
    /// Decay of the first moment of AMSGrad, Adam and diffGrad; 0.9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_1: Option<f64>,
    /// Decay of the second moment of AMSGrad, Adam and diffGrad; 0.999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_2: Option<f64>,
    /// Numerical floor of all but SGDM; 1e-10 for AdaGrad, 1e-6 for AdaDelta, 1e-8 for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Momentum of SGDM; 0.9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Decay of RMSProp; 0.99.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Decay of AdaDelta; 0.95, as in its paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rho: Option<f64>,
    /// Friction of diffGrad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friction: Option<DiffGradFriction>,
    /// Place of `epsilon` in diffGrad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps_placement: Option<EpsPlacement>,
    /// Whether diffGrad divides by the largest second moment so far; it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amsgrad: Option<bool>,
    /// Whether diffGrad leaves a parameter alone where its gradient is not finite; it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_nonfinite: Option<bool>,
    /// Coupled L2 penalty; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Bound on the Euclidean norm of each parameter's gradient; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
}

impl OptimizerSettings {
    /// The defaults of an optimizer.
    pub fn new(kind: OptimizerKind) -> Self {
        Self {
            kind,
            beta_1: None,
            beta_2: None,
            epsilon: None,
            momentum: None,
            alpha: None,
            rho: None,
            friction: None,
            eps_placement: None,
            amsgrad: None,
            skip_nonfinite: None,
            weight_decay: None,
            clip_norm: None,
        }
    }

    /// The keys that [`set`](Self::set) accepts for an optimizer.
    pub fn keys(kind: OptimizerKind) -> &'static [&'static str] {
        match kind {
            OptimizerKind::Sgdm => &["momentum", "weight_decay", "clip_norm"],
            OptimizerKind::AdaGrad => &["epsilon", "weight_decay", "clip_norm"],
            OptimizerKind::AdaDelta => &["rho", "epsilon", "weight_decay", "clip_norm"],
            OptimizerKind::RmsProp => &["alpha", "epsilon", "weight_decay", "clip_norm"],
            OptimizerKind::AmsGrad | OptimizerKind::Adam => {
                &["beta_1", "beta_2", "epsilon", "weight_decay", "clip_norm"]
            }
            OptimizerKind::DiffGrad => &[
                "beta_1",
                "beta_2",
                "epsilon",
                "friction",
                "eps_placement",
                "amsgrad",
                "skip_nonfinite",
                "weight_decay",
                "clip_norm",
            ],
        }
    }

    /// Sets one hyperparameter from text.
    ///
    /// `friction` is `abs-sigmoid`, `sigmoid`, `normalized` or a number, the constant; `eps_placement` is `authors` or `paper`;
    /// `amsgrad` and `skip_nonfinite` are `true` or `false`.
    ///
    /// # Errors
    /// [`OptimError::UnknownSetting`] where the optimizer has no such key, [`OptimError::InvalidSetting`] where the text is no
    /// value for it. Ranges are checked by [`init`](Self::init).
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), OptimError> {
        let keys = Self::keys(self.kind);
        if !keys.contains(&key) {
            let (optimizer, key) = (self.kind.name(), key.to_string());
            return Err(OptimError::UnknownSetting { optimizer, hint: hint(&key, keys), key });
        }
        let invalid =
            |expected| OptimError::InvalidSetting { key: key.to_string(), value: value.to_string(), expected };
        if key == "eps_placement" {
            self.eps_placement = Some(match value {
                "authors" => EpsPlacement::Authors,
                "paper" => EpsPlacement::Paper,
                _ => return Err(invalid("authors or paper")),
            });
            return Ok(());
        }
        let flag = match key {
            "amsgrad" => Some(&mut self.amsgrad),
            "skip_nonfinite" => Some(&mut self.skip_nonfinite),
            _ => None,
        };
        if let Some(flag) = flag {
            *flag = Some(value.parse().map_err(|_| invalid("true or false"))?);
            return Ok(());
        }
        let number = value.parse::<f64>();
        if key == "friction" {
            self.friction = Some(match (value, number) {
                ("abs-sigmoid", _) => DiffGradFriction::AbsSigmoid,
                ("sigmoid", _) => DiffGradFriction::Sigmoid,
                ("normalized", _) => DiffGradFriction::Normalized,
                (_, Ok(constant)) => DiffGradFriction::Constant(constant),
                _ => return Err(invalid("abs-sigmoid, sigmoid, normalized or a number")),
            });
            return Ok(());
        }
        let number = number.map_err(|_| invalid("a number"))?;
        let slot = match key {
            "beta_1" => &mut self.beta_1,
            "beta_2" => &mut self.beta_2,
            "epsilon" => &mut self.epsilon,
            "momentum" => &mut self.momentum,
            "alpha" => &mut self.alpha,
            "rho" => &mut self.rho,
            "clip_norm" => &mut self.clip_norm,
            _ => &mut self.weight_decay,
        };
        *slot = Some(number);
        Ok(())
    }

    /// Builds the optimizer.
    ///
    /// # Errors
    /// [`OptimError::InvalidHyperparameter`] where a value is out of its range.
    pub fn init(&self) -> Result<ModuleOptimizer, OptimError> {
        let weight_decay = self.weight_decay.map(|penalty| non_negative("weight_decay", penalty)).transpose()?;
        let weight_decay = weight_decay.map(|penalty| WeightDecayConfig::new(penalty as f32));
        let clip_norm = self.clip_norm.map(|bound| positive("clip_norm", bound)).transpose()?;
        let clipping = clip_norm.map(|bound| GradientClippingConfig::Norm(bound as f32));
        let epsilon = |default: f64| non_negative("epsilon", self.epsilon.unwrap_or(default));
        Ok(match self.kind {
            OptimizerKind::Sgdm => {
                let momentum = self.momentum.unwrap_or(SgdConfig::new().momentum);
                SgdConfig::new()
                    .with_momentum(momentum)
                    .with_weight_decay(weight_decay)
                    .with_grad_clipping(clipping)
                    .init()?
            }
            OptimizerKind::AdaGrad => {
                let config = AdaGradConfig::new().with_epsilon(epsilon(1e-10)? as f32).with_weight_decay(weight_decay);
                clipping::of_module(config.build(), clipping.as_ref())
            }
            OptimizerKind::AdaDelta => {
                let defaults = AdaDeltaConfig::new();
                AdaDeltaConfig::new()
                    .with_rho(self.rho.unwrap_or(defaults.rho))
                    .with_epsilon(self.epsilon.unwrap_or(defaults.epsilon))
                    .with_weight_decay(weight_decay)
                    .with_grad_clipping(clipping)
                    .init()?
            }
            OptimizerKind::RmsProp => {
                let config = RmsPropConfig::new()
                    .with_alpha(single_precision_fraction("alpha", self.alpha.unwrap_or(0.99))?)
                    .with_momentum(0.0)
                    .with_epsilon(epsilon(1e-8)? as f32)
                    .with_weight_decay(weight_decay);
                clipping::of_module(config.build(), clipping.as_ref())
            }
            OptimizerKind::AmsGrad | OptimizerKind::Adam => {
                let defaults = AdamConfig::new();
                AdamConfig::new()
                    .with_beta_1(self.beta_1.unwrap_or(defaults.beta_1))
                    .with_beta_2(self.beta_2.unwrap_or(defaults.beta_2))
                    .with_epsilon(self.epsilon.unwrap_or(defaults.epsilon))
                    .with_amsgrad(self.kind == OptimizerKind::AmsGrad)
                    .with_weight_decay(weight_decay)
                    .with_grad_clipping(clipping)
                    .init()?
            }
            OptimizerKind::DiffGrad => self.diffgrad(weight_decay, clipping).init()?,
        })
    }

    fn diffgrad(
        &self,
        weight_decay: Option<WeightDecayConfig>,
        clipping: Option<GradientClippingConfig>,
    ) -> DiffGradConfig {
        let defaults = DiffGradConfig::new();
        DiffGradConfig::new()
            .with_beta_1(self.beta_1.unwrap_or(defaults.beta_1))
            .with_beta_2(self.beta_2.unwrap_or(defaults.beta_2))
            .with_epsilon(self.epsilon.unwrap_or(defaults.epsilon))
            .with_friction(self.friction.unwrap_or(defaults.friction))
            .with_eps_placement(self.eps_placement.unwrap_or(defaults.eps_placement))
            .with_amsgrad(self.amsgrad.unwrap_or(defaults.amsgrad))
            .with_skip_nonfinite(self.skip_nonfinite.unwrap_or(defaults.skip_nonfinite))
            .with_weight_decay(weight_decay)
            .with_grad_clipping(clipping)
    }
}

/// The nearest of the names where one is near, else all of them.
pub(crate) fn hint(wanted: &str, names: &[&str]) -> String {
    let nearest = names.iter().min_by_key(|name| strsim::damerau_levenshtein(wanted, name));
    match nearest {
        Some(name) if strsim::damerau_levenshtein(wanted, name) <= 1 + name.len() / 4 => {
            format!("did you mean '{name}'?")
        }
        _ => format!("known: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_key_of_every_kind_can_be_set() {
        for kind in OptimizerKind::ALL {
            for key in OptimizerSettings::keys(kind) {
                let mut settings = OptimizerSettings::new(kind);
                let value = match *key {
                    "eps_placement" => "paper",
                    "amsgrad" | "skip_nonfinite" => "true",
                    _ => "0.5",
                };
                settings.set(key, value).unwrap();
                assert_ne!(settings, OptimizerSettings::new(kind), "{kind} {key}");
                settings.init().unwrap();
            }
        }
    }

    #[test]
    fn wrong_keys_values_and_ranges_are_refused() {
        let mut adam = OptimizerSettings::new(OptimizerKind::Adam);
        assert_eq!(
            adam.set("beta1", "0.9").unwrap_err().to_string(),
            "adam has no setting 'beta1'; did you mean 'beta_1'?"
        );
        assert_eq!(
            adam.set("beta_1", "high").unwrap_err().to_string(),
            "'high' is not a value for beta_1: expected a number"
        );
        adam.set("beta_1", "1").unwrap();
        assert_eq!(
            adam.init().err().unwrap(),
            OptimError::InvalidHyperparameter { name: "beta_1", value: 1.0, allowed: "at least 0 and below 1" }
        );
        adam.set("beta_1", "0.9").unwrap();
        adam.set("beta_2", "0.99999999").unwrap();
        assert!(adam.init().is_err(), "one, in single precision");
        let mut diffgrad = OptimizerSettings::new(OptimizerKind::DiffGrad);
        assert!(diffgrad.set("amsgrad", "yes").unwrap_err().to_string().contains("true or false"));
        diffgrad.set("friction", "1.5").unwrap();
        assert_eq!(
            diffgrad.init().err().unwrap().to_string(),
            "friction = 1.5 is out of range: it must be above 0 and at most 1"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(kind in 0usize..7, key in 0usize..10, value in "\\PC{0,12}") {
            let kind = OptimizerKind::ALL[kind];
            let key = OptimizerSettings::keys(OptimizerKind::DiffGrad).get(key).copied().unwrap_or("rho");
            let mut settings = OptimizerSettings::new(kind);
            if settings.set(key, &value).is_ok() {
                let _ = settings.init();
            }
        }

        #[test]
        fn a_value_out_of_range_never_builds(value in prop_oneof![1.0f64..1e6, -1e6f64..-1e-9, Just(f64::NAN)]) {
            for kind in [OptimizerKind::Adam, OptimizerKind::AmsGrad, OptimizerKind::DiffGrad] {
                let settings = OptimizerSettings { beta_2: Some(value), ..OptimizerSettings::new(kind) };
                prop_assert!(settings.init().is_err());
            }
        }
    }
}
