//! What the reproduction of the Z-loss can be told.

use kiln_lab::Scale;
use serde::{Deserialize, Serialize};

/// Settings of [`super::ZLossRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The text of the quality and equality parts.
    pub corpus: CorpusSettings,
    /// The speed part.
    pub speed: SpeedSettings,
    /// The equality part.
    pub equality: EqualitySettings,
    /// The quality part.
    pub quality: QualitySettings,
}

/// The text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CorpusSettings {
    /// `novels`, another text of the data directory, or a file or folder of plain text.
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
    /// Classes of a real vocabulary, with the hidden width of the curve.
    pub vocabulary: usize,
    /// Steps timed of a fast layer.
    pub steps: usize,
    /// Steps timed of a slow layer.
    pub slow_steps: usize,
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
}

/// Settings of the quality part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QualitySettings {
    /// Width of a word's embedding.
    pub embedding: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Examples a step.
    pub batch_size: usize,
    /// Passes over the training text.
    pub epochs: usize,
    /// Standard deviation of the output layer's initial weights.
    pub init_std: f64,
    /// Learning rates of Adam below the output layer to choose from. The Z-loss and spherical softmax, which have
    /// hyperparameters of their own to choose, take the first.
    pub encoder_rates: Vec<f64>,
    /// Learning rates of the output layer to choose from, as factors of each method's own centre.
    pub rate_factors: Vec<f64>,
    /// Sharpness `a` of the Z-loss to choose from, each with the margin in the same place.
    pub sharpness: Vec<f64>,
    /// Margin `b` of the Z-loss to choose from.
    pub margin: Vec<f64>,
    /// Learning rates of the Z-loss to choose from for each pair, as factors; there must be as many trials as others have.
    pub z_rate_factors: Vec<f64>,
    /// `eps` of spherical softmax to choose from, as many as encoder rates.
    pub spherical_eps: Vec<f64>,
    /// Examples of a tuning run.
    pub tuning_examples: usize,
    /// Test and validation examples at most.
    pub evaluation_examples: usize,
    /// Values of k.
    pub ks: Vec<usize>,
}

impl Settings {
    /// The settings of a scale.
    pub fn of(scale: Scale) -> Self {
        let full = Self::full();
        match scale {
            Scale::Full => full,
            Scale::Quick => Self {
                corpus: CorpusSettings { words: 150_000, ..full.corpus },
                speed: SpeedSettings {
                    classes: vec![1_000, 10_000, 100_000],
                    slope_from: 1_000,
                    burn_up_to: 10_000,
                    steps: 40,
                    slow_steps: 5,
                    ..full.speed
                },
                equality: full.equality,
                quality: QualitySettings { evaluation_examples: 5_000, ..full.quality.with_one_trial() },
            },
            Scale::Smoke => Self {
                corpus: CorpusSettings { words: 12_000, ..full.corpus },
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
                    vocabulary: 2_000,
                    steps: 5,
                    slow_steps: 3,
                },
                equality: EqualitySettings { classes: 200, hidden: 16, batch_size: 8, steps: 50, ..full.equality },
                quality: QualitySettings {
                    embedding: 16,
                    hidden: vec![32],
                    batch_size: 50,
                    epochs: 1,
                    evaluation_examples: 500,
                    ..full.quality.with_one_trial()
                },
            },
        }
    }

    fn full() -> Self {
        Self {
            corpus: CorpusSettings { source: "novels".to_string(), words: 0, context: 5 },
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
                vocabulary: 10_000,
                steps: 200,
                slow_steps: 10,
            },
            equality: EqualitySettings { classes: 2_000, hidden: 64, batch_size: 50, steps: 200, learning_rate: 0.5 },
            quality: QualitySettings {
                embedding: 64,
                hidden: vec![128, 128],
                batch_size: 200,
                epochs: 2,
                init_std: 0.05,
                encoder_rates: vec![2e-3, 4e-3],
                rate_factors: vec![0.25, 0.5, 1.0, 2.0],
                sharpness: vec![0.1, 0.1, 0.3, 0.05],
                margin: vec![10.0, 28.0, 10.0, 20.0],
                z_rate_factors: vec![0.5, 2.0],
                spherical_eps: vec![1e-3, 1e-1],
                tuning_examples: 60_000,
                evaluation_examples: 40_000,
                ks: vec![1, 5, 10, 20, 50, 100],
            },
        }
    }
}

impl QualitySettings {
    /// One trial for each method, so that nothing is tuned.
    fn with_one_trial(self) -> Self {
        Self {
            encoder_rates: vec![2e-3],
            rate_factors: vec![1.0],
            sharpness: vec![0.1],
            margin: vec![10.0],
            z_rate_factors: vec![1.0],
            spherical_eps: vec![1e-3],
            ..self
        }
    }
}
