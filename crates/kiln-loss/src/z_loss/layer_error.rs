//! What an output layer refuses, and why.

use thiserror::Error;

use crate::LossError;

/// A configuration, a batch or a file that an output layer cannot work with.
#[derive(Debug, Error)]
pub enum LayerError {
    /// A setting lies outside its range.
    #[error("{name} = {value} is out of range, it must be {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would be right, in words.
        expected: &'static str,
    },
    /// An initial weight is infinite or not a number.
    #[error("weight {value} of class {class}, feature {feature} is not finite")]
    Weight {
        /// Class, from 0.
        class: usize,
        /// Feature, from 0; the bias comes last.
        feature: usize,
        /// The value.
        value: f64,
    },
    /// All initial weights are zero.
    #[error(
        "all weights are zero, or so small that their squares vanish: every class has the same score, and a loss that \
         compares scores has no gradient; start from random weights"
    )]
    ZeroWeights,
    /// The loss itself was configured wrongly.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The batch has no examples, or an example has no target.
    #[error("the batch is empty: {examples} examples with {targets} targets each")]
    EmptyBatch {
        /// Number of examples.
        examples: usize,
        /// Targets of each example.
        targets: usize,
    },
    /// The hidden vectors have another width than the layer.
    #[error("hidden vectors of width {actual} do not fit a layer of width {expected}")]
    HiddenWidth {
        /// `d_hidden` of the layer.
        expected: usize,
        /// Width given.
        actual: usize,
    },
    /// The number of targets differs from the number of examples (times the targets of each).
    #[error("{targets} targets do not fit {examples} examples")]
    TargetCount {
        /// Number of examples.
        examples: usize,
        /// Number of targets.
        targets: usize,
    },
    /// A target names a class that does not exist.
    #[error("target {target} of example {example} is not one of the {num_classes} classes 0..{num_classes}")]
    Target {
        /// Example, from 0.
        example: usize,
        /// The target.
        target: usize,
        /// Number of classes.
        num_classes: usize,
    },
    /// A class listed in a request does not exist.
    #[error("class {class} is not one of the {num_classes} classes 0..{num_classes}")]
    Class {
        /// The class.
        class: usize,
        /// Number of classes.
        num_classes: usize,
    },
    /// A hidden value is infinite or not a number.
    #[error("hidden value {value} of example {example}, feature {feature} is not finite")]
    Hidden {
        /// Example, from 0.
        example: usize,
        /// Feature, from 0.
        feature: usize,
        /// The value.
        value: f64,
    },
    /// A loss value or one of its partial derivatives is infinite or not a number.
    #[error("the loss of example {example} is not finite ({loss}); the weights have probably diverged")]
    LossValue {
        /// Example, from 0.
        example: usize,
        /// The value.
        loss: f64,
    },
    /// One example alone makes the update singular, so no splitting of the batch helps.
    #[error(
        "the step is too long: 2 lr beta |h|^2 = {bound} for a single example, it must stay below {limit}; \
         use a smaller learning rate or smaller hidden vectors"
    )]
    StepTooLong {
        /// The bound on the largest eigenvalue of the update.
        bound: f64,
        /// The largest value allowed.
        limit: f64,
    },
    /// The small matrices of the factored layer stopped being finite or invertible.
    #[error("the factored layer became singular after {steps} steps; use a smaller learning rate")]
    Singular {
        /// Steps taken so far.
        steps: u64,
    },
    /// A score is not a number.
    #[error("score {value} of example {example}, class {class} is not a number")]
    Score {
        /// Example, from 0.
        example: usize,
        /// Class, from 0.
        class: usize,
        /// The value.
        value: f64,
    },
    /// A tensor could not be read back to the host.
    #[error("could not read the {what} back from the device: {reason}")]
    ReadBack {
        /// What was read.
        what: &'static str,
        /// The device's message.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// The system's message.
        source: std::io::Error,
    },
    /// A file is not a saved factored layer.
    #[error("{path}: not a saved factored layer: {reason}")]
    Format {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// `value` if `valid`, otherwise the error that names it.
pub(super) fn require(valid: bool, name: &'static str, value: f64, expected: &'static str) -> Result<f64, LayerError> {
    if valid { Ok(value) } else { Err(LayerError::Setting { name, value, expected }) }
}
