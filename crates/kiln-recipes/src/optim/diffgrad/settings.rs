//! What the diffGrad reproduction can be told, at its three scales.

use kiln_lab::{LabError, Scale};
use kiln_optim::OptimizerKind;
use serde::{Deserialize, Serialize};

/// What `--set` can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Updates on the functions of one variable.
    pub synthetic_steps: usize,
    /// Where they start.
    pub synthetic_start: f64,
    /// Their learning rate.
    pub synthetic_learning_rate: f64,
    /// The image set, by name or path.
    pub data: String,
    /// Images from which the small network learns.
    pub train_images: usize,
    /// Images to choose learning rates by.
    pub validation_images: usize,
    /// Images to report on.
    pub test_images: usize,
    /// Channels of the small network's three convolutions.
    pub channels: [usize; 3],
    /// Its passes over the training images.
    pub epochs: usize,
    /// Batch sizes of its comparison.
    pub batch_sizes: Vec<usize>,
    /// The comparison on a residual network; absent where there is no time for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resnet: Option<ResNetSettings>,
    /// The paper's learning rate, the same for all optimizers.
    pub learning_rate: f64,
    /// Rates from which RMSProp, AMSGrad, Adam and diffGrad each choose on the validation images; none skips the comparison
    /// at chosen rates.
    pub tuned_rates: Vec<f64>,
    /// Rates from which SGDM chooses.
    pub tuned_rates_sgdm: Vec<f64>,
    /// Rates from which AdaGrad chooses.
    pub tuned_rates_adagrad: Vec<f64>,
    /// Rates from which AdaDelta chooses.
    pub tuned_rates_adadelta: Vec<f64>,
    /// Activation functions of the ablation, at the first batch size; none skips it.
    pub activations: Vec<String>,
}

/// The comparison on a residual network, at batches of 32 and of 128.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResNetSettings {
    /// Layers: 8, 14, 20, ...
    pub depth: usize,
    /// Channels of its first stage.
    pub width: usize,
    /// Images to learn from.
    pub train_images: usize,
    /// Passes over them.
    pub epochs: usize,
}

impl Settings {
    /// The settings of a scale; every scale above the smallest uses a set of images that ships with kiln.
    pub fn of(scale: Scale) -> Self {
        let quick = Self {
            synthetic_steps: 299,
            synthetic_start: -1.0,
            synthetic_learning_rate: 0.1,
            data: "fashion-mnist".into(),
            train_images: 4000,
            validation_images: 500,
            test_images: 1000,
            channels: [8, 16, 32],
            epochs: 4,
            batch_sizes: vec![32],
            resnet: None,
            learning_rate: 1e-3,
            tuned_rates: Vec::new(),
            tuned_rates_sgdm: Vec::new(),
            tuned_rates_adagrad: Vec::new(),
            tuned_rates_adadelta: Vec::new(),
            activations: Vec::new(),
        };
        match scale {
            Scale::Smoke => Self {
                data: "digits".into(),
                train_images: 320,
                validation_images: 64,
                test_images: 128,
                channels: [4, 4, 8],
                epochs: 1,
                resnet: Some(ResNetSettings { depth: 8, width: 4, train_images: 256, epochs: 1 }),
                tuned_rates: vec![1e-3, 3e-3],
                tuned_rates_sgdm: vec![1e-2, 3e-2],
                tuned_rates_adagrad: vec![1e-2, 3e-2],
                tuned_rates_adadelta: vec![1.0, 3.0],
                activations: vec!["relu".into(), "gelu".into()],
                ..quick
            },
            Scale::Quick => quick,
            Scale::Full => Self {
                test_images: 2000,
                resnet: Some(ResNetSettings { depth: 8, width: 8, train_images: 2000, epochs: 6 }),
                tuned_rates: vec![3e-4, 1e-3, 3e-3],
                tuned_rates_sgdm: vec![1e-2, 3e-2, 1e-1],
                tuned_rates_adagrad: vec![3e-3, 1e-2, 3e-2],
                tuned_rates_adadelta: vec![0.3, 1.0, 3.0],
                activations: ["relu", "leaky-relu", "elu", "selu", "gelu"].map(String::from).into(),
                ..quick
            },
        }
    }

    /// Rates from which an optimizer chooses: around its own usual rate, and as many for every optimizer.
    pub fn rates(&self, kind: OptimizerKind) -> &[f64] {
        self.named_rates(kind).1
    }

    fn named_rates(&self, kind: OptimizerKind) -> (&'static str, &[f64]) {
        match kind {
            OptimizerKind::Sgdm => ("tuned_rates_sgdm", &self.tuned_rates_sgdm),
            OptimizerKind::AdaGrad => ("tuned_rates_adagrad", &self.tuned_rates_adagrad),
            OptimizerKind::AdaDelta => ("tuned_rates_adadelta", &self.tuned_rates_adadelta),
            OptimizerKind::RmsProp | OptimizerKind::AmsGrad | OptimizerKind::Adam | OptimizerKind::DiffGrad => {
                ("tuned_rates", &self.tuned_rates)
            }
        }
    }

    /// Whether optimizers are compared at rates of their own, too.
    pub fn tunes(&self) -> bool {
        !self.tuned_rates.is_empty()
    }

    /// Refuses what leaves nothing to train on, and grids that give one optimizer more trials than another.
    ///
    /// # Errors
    /// [`LabError::Setting`] that names the setting.
    pub fn check(&self) -> Result<(), LabError> {
        let resnet_images = self.resnet.as_ref().map_or(1, |resnet| resnet.train_images);
        let counts = [
            ("train_images", self.train_images),
            ("validation_images", self.validation_images),
            ("test_images", self.test_images),
            ("resnet.train_images", resnet_images),
        ];
        if let Some((key, count)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(LabError::setting(key, count, "at least one image"));
        }
        if self.batch_sizes.is_empty() || self.batch_sizes.contains(&0) {
            return Err(LabError::setting("batch_sizes", format!("{:?}", self.batch_sizes), "sizes of at least 1"));
        }
        let trials = self.tuned_rates.len();
        let grids = OptimizerKind::ALL.map(|kind| self.named_rates(kind));
        match grids.into_iter().find(|(_, rates)| self.tunes() && rates.len() != trials) {
            Some((key, rates)) => {
                let expected = format!("{trials} rates, as many as tuned_rates: every optimizer gets the same trials");
                Err(LabError::setting(key, format!("{rates:?}"), expected))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_passes_its_own_check_and_needs_no_download() {
        for scale in [Scale::Smoke, Scale::Quick, Scale::Full] {
            let settings = Settings::of(scale);
            settings.check().unwrap();
            assert!(["digits", "fashion-mnist"].contains(&settings.data.as_str()), "{}", settings.data);
        }
    }

    #[test]
    fn no_optimizer_gets_more_trials_than_another() {
        let settings = Settings { tuned_rates_adadelta: vec![1.0], ..Settings::of(Scale::Full) };
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains("tuned_rates_adadelta") && error.contains("3 rates"), "{error}");
    }

    #[test]
    fn the_grids_lie_around_each_optimizers_usual_rate() {
        let settings = Settings::of(Scale::Full);
        let middle = |kind| settings.rates(kind)[1];
        assert_eq!(middle(OptimizerKind::AdaDelta), 1.0);
        assert_eq!(middle(OptimizerKind::AdaGrad), 1e-2);
        assert_eq!(middle(OptimizerKind::DiffGrad), middle(OptimizerKind::Adam));
    }
}
