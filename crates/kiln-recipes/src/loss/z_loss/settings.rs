//! What the reproduction of the Z-loss can be told.

use kiln_lab::{LabError, Scale};
use serde::{Deserialize, Serialize};

use super::method::Method;
use super::ranking::NEEDED_KS;

/// Settings of [`super::ZLossRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The text.
    pub corpus: CorpusSettings,
    /// The speed part.
    pub speed: SpeedSettings,
    /// The equality part.
    pub equality: EqualitySettings,
    /// The quality part.
    pub quality: QualitySettings,
    /// The dense quality part.
    pub quality_dense: DenseSettings,
}

/// The text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CorpusSettings {
    /// `austen`, which ships with kiln, `novels` of a data directory, or a file or folder of plain text.
    pub source: String,
    /// At most this many running words; 0 for all.
    pub words: usize,
    /// Preceding words that the model sees.
    pub context: usize,
}

/// Settings of the speed part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpeedSettings {
    /// Numbers of classes of the curve.
    pub classes: Vec<usize>,
    /// Slopes are fitted from this number of classes on.
    pub slope_from: usize,
    /// Hidden width of the curve.
    pub hidden: usize,
    /// Examples a step of the curve.
    pub batch_size: usize,
    /// Burn's dense Z-loss is timed up to this many classes.
    pub burn_up_to: usize,
    /// Classes of the ratio to log-softmax.
    pub ratio_classes: usize,
    /// Hidden width of that ratio.
    pub ratio_hidden: usize,
    /// Examples a step of that ratio.
    pub ratio_batch_size: usize,
    /// Classes of the ratio to hierarchical softmax, with the hidden width of the curve.
    pub hierarchical_classes: usize,
    /// Learning rate of every timed step.
    pub learning_rate: f64,
    /// Steps timed of the factored layer, whose bookkeeping is recomputed every 1000 steps.
    pub steps: usize,
    /// Steps timed of hierarchical softmax.
    pub hierarchical_steps: usize,
    /// Steps timed of a layer that touches every weight.
    pub dense_steps: usize,
}

/// Settings of the equality part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EqualitySettings {
    /// The most frequent words of the text, as classes.
    pub classes: usize,
    /// Hidden width.
    pub hidden: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// SGD steps.
    pub steps: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Learning rate of squared error, whose gradient grows with the logits.
    pub squared_error_learning_rate: f64,
}

/// Settings of the quality part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QualitySettings {
    /// Width of a word's embedding.
    pub embedding: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Standard deviation of the output layer's initial weights.
    pub init_std: f64,
    /// Learning rates of Adam below the output layer to choose from, with every method.
    pub encoder_rates: Vec<f64>,
    /// Centres of the output layer's learning rates.
    pub rates: RateCentres,
    /// Learning rates of the output layer to choose from, as factors of each method's centre.
    pub rate_factors: Vec<f64>,
    /// Factors to choose from for each pair of the Z-loss and each `eps` of spherical softmax; there must be as many
    /// trials as others have.
    pub coarse_rate_factors: Vec<f64>,
    /// Sharpness `a` of the Z-loss to choose from, each with the margin in the same place.
    pub sharpness: Vec<f64>,
    /// Margin `b` of the Z-loss to choose from.
    pub margin: Vec<f64>,
    /// `eps` of spherical softmax to choose from.
    pub spherical_eps: Vec<f64>,
    /// How long a training is.
    pub budget: Budget,
}

/// Settings of the dense quality part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DenseSettings {
    /// The most frequent words of the text, as classes.
    pub classes: usize,
    /// Width of a word's embedding.
    pub embedding: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Learning rates of Adam to choose from.
    pub learning_rates: Vec<f64>,
    /// Learning rates to choose from for each pair of the Z-loss and each `eps` of spherical softmax; there must be as
    /// many trials as others have.
    pub coarse_learning_rates: Vec<f64>,
    /// Sharpness `a` of the Z-loss to choose from, each with the margin in the same place.
    pub sharpness: Vec<f64>,
    /// Margin `b` of the Z-loss to choose from.
    pub margin: Vec<f64>,
    /// `eps` of spherical softmax to choose from.
    pub spherical_eps: Vec<f64>,
    /// How long a training is.
    pub budget: Budget,
}

/// What one training of a quality part may use; the same for every method.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Budget {
    /// Examples a step.
    pub batch_size: usize,
    /// Passes over the training examples.
    pub epochs: usize,
    /// Training examples of a pass, drawn anew for each; 0 for all.
    pub examples: usize,
    /// Training examples of a tuning run, which is one pass.
    pub tuning_examples: usize,
    /// Validation examples at most, of which a tuning run is scored.
    pub validation_examples: usize,
    /// Test examples at most.
    pub test_examples: usize,
    /// Values of k.
    pub ks: Vec<usize>,
}

/// Learning rates of the output layer around which a method is tuned. A quick run takes them as they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RateCentres {
    /// Dense log-softmax.
    pub log_softmax: f64,
    /// Hierarchical softmax.
    pub hierarchical_softmax: f64,
    /// Z-loss.
    pub z_loss: f64,
    /// Taylor softmax.
    pub taylor_softmax: f64,
    /// Spherical softmax.
    pub spherical_softmax: f64,
    /// Squared error.
    pub squared_error: f64,
}

impl RateCentres {
    /// The centre of a method.
    pub(super) fn of(&self, method: &Method) -> f64 {
        match method {
            Method::LogSoftmax => self.log_softmax,
            Method::HierarchicalSoftmax => self.hierarchical_softmax,
            Method::ZLoss { .. } => self.z_loss,
            Method::TaylorSoftmax => self.taylor_softmax,
            Method::SphericalSoftmax { .. } => self.spherical_softmax,
            Method::SquaredError => self.squared_error,
        }
    }
}

impl Settings {
    /// The settings of a scale.
    pub fn of(scale: Scale) -> Self {
        let full = Self::full();
        match scale {
            Scale::Full => full,
            Scale::Quick => full.quick(),
            Scale::Smoke => full.smoke(),
        }
    }

    /// Refuses settings with which nothing can be compared.
    pub(super) fn check(&self) -> Result<(), LabError> {
        if self.corpus.context == 0 {
            return Err(LabError::setting("corpus.context", 0, "at least one word"));
        }
        self.speed.check()?;
        self.quality.check()?;
        self.quality_dense.check()
    }

    fn full() -> Self {
        let ks = vec![1, 5, 10, 20, 50, 100];
        Self {
            corpus: CorpusSettings { source: "austen".to_string(), words: 0, context: 5 },
            speed: SpeedSettings {
                classes: vec![10_000, 30_000, 100_000, 300_000, 1_000_000],
                slope_from: 10_000,
                hidden: 128,
                batch_size: 128,
                burn_up_to: 100_000,
                ratio_classes: 200_000,
                ratio_hidden: 256,
                ratio_batch_size: 100,
                hierarchical_classes: 793_471,
                learning_rate: 1.0,
                steps: 1000,
                hierarchical_steps: 100,
                dense_steps: 10,
            },
            equality: EqualitySettings {
                classes: 2_000,
                hidden: 64,
                batch_size: 50,
                steps: 200,
                learning_rate: 0.5,
                squared_error_learning_rate: 0.01,
            },
            quality: QualitySettings {
                embedding: 64,
                hidden: vec![128, 128],
                init_std: 0.05,
                encoder_rates: vec![2e-3, 4e-3, 8e-3],
                rates: RateCentres {
                    log_softmax: 20.0,
                    hierarchical_softmax: 10.0,
                    z_loss: 24.0,
                    taylor_softmax: 100.0,
                    spherical_softmax: 1.0,
                    squared_error: 1.5,
                },
                rate_factors: vec![0.1, 0.175, 0.25, 0.375, 0.5, 0.75, 1.0, 2.0, 4.0],
                coarse_rate_factors: vec![0.25, 1.0, 4.0],
                sharpness: vec![0.1, 0.1, 0.3],
                margin: vec![10.0, 28.0, 10.0],
                spherical_eps: vec![1e-3, 1e-1, 1e1],
                budget: Budget {
                    batch_size: 200,
                    epochs: 2,
                    examples: 0,
                    tuning_examples: 50_000,
                    validation_examples: 10_000,
                    test_examples: 40_000,
                    ks: ks.clone(),
                },
            },
            quality_dense: DenseSettings {
                classes: 2_000,
                embedding: 32,
                hidden: vec![64],
                learning_rates: vec![2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2],
                coarse_learning_rates: vec![4e-3, 1.6e-2, 6.4e-2],
                sharpness: vec![0.1, 0.1],
                margin: vec![10.0, 28.0],
                spherical_eps: vec![1e-3, 1e-1],
                budget: Budget {
                    batch_size: 200,
                    epochs: 2,
                    examples: 80_000,
                    tuning_examples: 40_000,
                    validation_examples: 5_000,
                    test_examples: 20_000,
                    ks,
                },
            },
        }
    }

    fn quick(self) -> Self {
        let quality = self.quality.with_one_trial();
        let dense = self.quality_dense.with_one_trial();
        Self {
            corpus: CorpusSettings { words: 150_000, ..self.corpus },
            speed: SpeedSettings {
                classes: vec![1_000, 10_000, 100_000],
                slope_from: 1_000,
                burn_up_to: 10_000,
                steps: 200,
                hierarchical_steps: 20,
                dense_steps: 5,
                ..self.speed
            },
            equality: self.equality,
            quality: QualitySettings { budget: Budget { test_examples: 5_000, ..quality.budget }, ..quality },
            quality_dense: DenseSettings {
                budget: Budget { examples: 30_000, test_examples: 5_000, ..dense.budget },
                ..dense
            },
        }
    }

    fn smoke(self) -> Self {
        let quality = self.quality.with_one_trial();
        let dense = self.quality_dense.with_one_trial();
        let short = |budget: Budget| Budget { batch_size: 50, epochs: 1, test_examples: 500, ..budget };
        Self {
            corpus: CorpusSettings { words: 12_000, ..self.corpus },
            speed: SpeedSettings {
                classes: vec![1_000, 8_000],
                slope_from: 1_000,
                hidden: 16,
                batch_size: 16,
                burn_up_to: 1_000,
                ratio_classes: 10_000,
                ratio_hidden: 16,
                ratio_batch_size: 16,
                hierarchical_classes: 10_000,
                steps: 15,
                hierarchical_steps: 5,
                dense_steps: 3,
                ..self.speed
            },
            equality: EqualitySettings { classes: 200, hidden: 16, batch_size: 8, steps: 50, ..self.equality },
            quality: QualitySettings { embedding: 16, hidden: vec![32], budget: short(quality.budget), ..quality },
            quality_dense: DenseSettings {
                classes: 200,
                embedding: 16,
                hidden: vec![32],
                budget: Budget { examples: 2_000, ..short(dense.budget) },
                ..dense
            },
        }
    }
}

impl QualitySettings {
    /// One trial for each method, so that nothing is tuned.
    fn with_one_trial(self) -> Self {
        Self {
            encoder_rates: vec![4e-3],
            rate_factors: vec![1.0],
            coarse_rate_factors: vec![1.0],
            sharpness: vec![0.1],
            margin: vec![10.0],
            spherical_eps: vec![1e-3],
            ..self
        }
    }
}

impl DenseSettings {
    /// One trial for each method, so that nothing is tuned.
    fn with_one_trial(self) -> Self {
        Self {
            learning_rates: vec![1.6e-2],
            coarse_learning_rates: vec![1.6e-2],
            sharpness: vec![0.1],
            margin: vec![10.0],
            spherical_eps: vec![1e-1],
            ..self
        }
    }
}

impl SpeedSettings {
    fn check(&self) -> Result<(), LabError> {
        let steps = [
            ("speed.steps", self.steps),
            ("speed.hierarchical_steps", self.hierarchical_steps),
            ("speed.dense_steps", self.dense_steps),
        ];
        match steps.iter().find(|(_, steps)| *steps == 0) {
            Some((name, steps)) => Err(LabError::setting(name, steps, "at least one step")),
            None => Ok(()),
        }
    }
}

impl QualitySettings {
    fn check(&self) -> Result<(), LabError> {
        self.budget.check("quality.budget")?;
        check_pairs("quality.sharpness", &self.sharpness, &self.margin)?;
        if self.encoder_rates.is_empty() {
            return Err(LabError::setting("quality.encoder_rates", "[]", "at least one rate"));
        }
        let variants = [("sharpness", self.sharpness.len()), ("spherical_eps", self.spherical_eps.len())];
        check_trials("quality", &self.rate_factors, ("coarse_rate_factors", &self.coarse_rate_factors[..]), variants)
    }
}

impl DenseSettings {
    fn check(&self) -> Result<(), LabError> {
        self.budget.check("quality_dense.budget")?;
        check_pairs("quality_dense.sharpness", &self.sharpness, &self.margin)?;
        let variants = [("sharpness", self.sharpness.len()), ("spherical_eps", self.spherical_eps.len())];
        let coarse = ("coarse_learning_rates", &self.coarse_learning_rates[..]);
        check_trials("quality_dense", &self.learning_rates, coarse, variants)
    }
}

impl Budget {
    fn check(&self, name: &str) -> Result<(), LabError> {
        let counts = [
            ("batch_size", self.batch_size),
            ("epochs", self.epochs),
            ("tuning_examples", self.tuning_examples),
            ("validation_examples", self.validation_examples),
            ("test_examples", self.test_examples),
        ];
        if let Some((count, value)) = counts.iter().find(|(_, value)| *value == 0) {
            return Err(LabError::setting(&format!("{name}.{count}"), value, "at least 1"));
        }
        if NEEDED_KS.iter().any(|k| !self.ks.contains(k)) {
            let expected = format!("a list with all of {NEEDED_KS:?}");
            return Err(LabError::setting(&format!("{name}.ks"), format!("{:?}", self.ks), expected));
        }
        Ok(())
    }
}

fn check_pairs(name: &str, sharpness: &[f64], margin: &[f64]) -> Result<(), LabError> {
    if sharpness.len() != margin.len() || sharpness.is_empty() {
        let lengths = format!("{} and {} values", sharpness.len(), margin.len());
        return Err(LabError::setting(name, lengths, "as many values as margin has, at least 1"));
    }
    Ok(())
}

/// That the methods with variants of their own, at the coarse rates, have as many trials as the others at all rates.
fn check_trials(
    part: &str,
    rates: &[f64],
    (coarse_name, coarse): (&str, &[f64]),
    variants: [(&str, usize); 2],
) -> Result<(), LabError> {
    let trials = rates.len();
    match variants.iter().find(|(_, variants)| trials == 0 || variants * coarse.len() != trials) {
        Some((name, variants)) => {
            let found = format!("{variants} values, with {} {coarse_name}", coarse.len());
            let expected = format!("such that they give {trials} trials, as many as of the other methods, at least 1");
            Err(LabError::setting(&format!("{part}.{name}"), found, expected))
        }
        None => Ok(()),
    }
}
