//! What a loss refuses, and why.

use thiserror::Error;

/// A configuration or a batch that a loss cannot work with.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LossError {
    /// A setting lies outside the range in which the method is defined.
    #[error("{loss}: {name} = {value} is out of range, it must be {expected}")]
    Setting {
        /// The loss that was configured.
        loss: &'static str,
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would be right, in words.
        expected: &'static str,
    },
    /// An inner ascent would start where its objective has no gradient, and never move.
    #[error(
        "{loss}: random_start = false starts the ascent at the input itself, where its gradient is zero, so that nothing \
         adversarial is found; use random_start = true, or gamma = 0 or {weight} = 0 for the clean loss alone"
    )]
    StartWithoutGradient {
        /// The loss that was configured.
        loss: &'static str,
        /// The setting that weights the adversarial term.
        weight: &'static str,
    },
    /// There is not one weight for each class.
    #[error("{loss}: {actual} class weights given for {expected} classes")]
    WeightCount {
        /// The loss that was configured.
        loss: &'static str,
        /// Number of classes of the logits.
        expected: usize,
        /// Number of weights given.
        actual: usize,
    },
    /// A class weight is negative or not a number.
    #[error("{loss}: the weight of class {class} is {value}, it must be finite and not negative")]
    WeightValue {
        /// The loss that was configured.
        loss: &'static str,
        /// The class.
        class: usize,
        /// Its weight.
        value: f64,
    },
    /// Logits and targets do not describe the same batch, or there are too few classes.
    #[error("{loss}: logits of shape [{rows}, {classes}] do not fit {targets} targets (at least 2 classes needed)")]
    Shape {
        /// The loss.
        loss: &'static str,
        /// Rows of the logits.
        rows: usize,
        /// Columns of the logits.
        classes: usize,
        /// Number of targets.
        targets: usize,
    },
    /// A target names a class that does not exist.
    #[error("{loss}: target {target} in row {row} is not one of the {classes} classes 0..{classes}")]
    Target {
        /// The loss.
        loss: &'static str,
        /// Row of the batch, from 0.
        row: usize,
        /// The target.
        target: i64,
        /// Number of classes.
        classes: usize,
    },
    /// A logit is infinite or not a number.
    #[error("{loss}: logit {value} in row {row}, class {class} is not finite")]
    Logit {
        /// The loss.
        loss: &'static str,
        /// Row of the batch, from 0.
        row: usize,
        /// Class, from 0.
        class: usize,
        /// The value found.
        value: f64,
    },
    /// Every row of the logits is a probability distribution.
    #[error(
        "{loss}: every row of the logits lies in [0, 1] and sums to one, as probabilities do; the scores before the softmax are wanted"
    )]
    Probabilities {
        /// The loss.
        loss: &'static str,
    },
    /// A row of the training set that a loss with a memory has no place for.
    #[error("{loss}: row {row} is not one of the {rows} training rows 0..{rows}")]
    Row {
        /// The loss.
        loss: &'static str,
        /// The row as given.
        row: i64,
        /// Number of training rows.
        rows: usize,
    },
    /// A row of the training set stands twice in one batch.
    #[error("{loss}: row {row} stands twice in the batch, every row must stand there once")]
    RepeatedRow {
        /// The loss.
        loss: &'static str,
        /// The row.
        row: i64,
    },
    /// Numbers that a loss is to go on with cannot be what it remembers of the training rows.
    #[error("{loss}: this is not what it remembered: {reason}")]
    Memory {
        /// The loss.
        loss: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Two things that should describe the same examples have different lengths.
    #[error("{loss}: {actual} {what} do not fit {expected} examples")]
    Length {
        /// The loss.
        loss: &'static str,
        /// What was given.
        what: &'static str,
        /// Number of examples.
        expected: usize,
        /// Number that was given.
        actual: usize,
    },
    /// A binary loss was given other labels than 0 and 1.
    #[error("{loss}: the targets must be 0 or 1, found {found}")]
    NotBinary {
        /// The loss.
        loss: &'static str,
        /// The values found, in increasing order.
        found: String,
    },
    /// A batch without examples.
    #[error("{loss}: the batch is empty, at least one example is needed")]
    Empty {
        /// The loss.
        loss: &'static str,
    },
    /// A score is infinite or not a number.
    #[error("{loss}: score {value} in row {row} is not finite")]
    Score {
        /// The loss.
        loss: &'static str,
        /// Row of the batch, from 0.
        row: usize,
        /// The value found.
        value: f64,
    },
    /// Images without room for the windows of a perceptual measure.
    #[error(
        "{loss}: images of {size} have no room for a window of {window} at {scales} scale(s): every side must be at least \
         {least}. {}", fitting_scales(*.fitting)
    )]
    ImageSize {
        /// The measure.
        loss: &'static str,
        /// Sides of the images, in words.
        size: String,
        /// Number of scales.
        scales: usize,
        /// Side of the window.
        window: usize,
        /// The smallest side that fits.
        least: usize,
        /// Number of scales that fit these images with this window.
        fitting: usize,
    },
    /// A vector that should be a probability distribution is not one.
    #[error("{what} is not a probability distribution: {reason}")]
    Distribution {
        /// What was given.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

fn fitting_scales(fitting: usize) -> String {
    match fitting {
        0 => "Take a smaller window".to_string(),
        _ => format!("With this window, at most {fitting} scale(s) fit"),
    }
}

/// `value` if `valid`, otherwise the error that names it.
pub(crate) fn require(
    valid: bool,
    loss: &'static str,
    name: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<f64, LossError> {
    if valid { Ok(value) } else { Err(LossError::Setting { loss, name, value, expected }) }
}
