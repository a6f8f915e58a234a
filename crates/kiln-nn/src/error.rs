//! What can be wrong with the description of a network.

use thiserror::Error;

/// A network that cannot be built, with the value that is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// A name that stands for nothing.
    #[error("unknown {kind} `{name}`: did you mean `{nearest}`? (known: {known})")]
    Unknown {
        /// What was looked for, such as `activation`.
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The known name nearest to it.
        nearest: String,
        /// All known names.
        known: String,
    },
    /// A setting outside its range.
    #[error("{setting} = {value} is out of range: {right}")]
    OutOfRange {
        /// The setting, such as `dropout`.
        setting: &'static str,
        /// The value that was given.
        value: String,
        /// What would be right.
        right: String,
    },
    /// Inputs that the network cannot take.
    #[error("{network} cannot take inputs of shape {shape:?}: {right}")]
    InputShape {
        /// The network.
        network: &'static str,
        /// The shape of one input.
        shape: Vec<usize>,
        /// What would be right.
        right: String,
    },
}

impl NetworkError {
    pub(crate) fn out_of_range(setting: &'static str, value: impl ToString, right: impl Into<String>) -> Self {
        Self::OutOfRange { setting, value: value.to_string(), right: right.into() }
    }

    pub(crate) fn input_shape(network: &'static str, shape: &[usize], right: impl Into<String>) -> Self {
        Self::InputShape { network, shape: shape.to_vec(), right: right.into() }
    }

    pub(crate) fn unknown<'a>(kind: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        let nearest = known
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
            .copied()
            .unwrap_or_default();
        Self::Unknown { kind, name: name.to_string(), nearest: nearest.to_string(), known: known.join(", ") }
    }

    /// Refuses a count of zero, and one that no memory holds.
    pub(crate) fn require_count(setting: &'static str, value: usize) -> Result<(), Self> {
        const MOST: usize = 1 << 24;
        if (1..=MOST).contains(&value) {
            Ok(())
        } else {
            Err(Self::out_of_range(setting, value, format!("at least 1 and at most {MOST}")))
        }
    }

    /// Refuses a number of blocks that no network has.
    pub(crate) fn require_depth(value: usize) -> Result<(), Self> {
        const MOST: usize = 4096;
        if value <= MOST { Ok(()) } else { Err(Self::out_of_range("depth", value, format!("at most {MOST} blocks"))) }
    }

    /// Refuses a tensor of weights that no memory holds. Its sides may be products of settings.
    pub(crate) fn require_weights(setting: &'static str, sides: &[usize]) -> Result<(), Self> {
        const MOST: u128 = 1 << 34;
        let count = sides.iter().try_fold(1u128, |count, &side| count.checked_mul(side as u128));
        if count.is_some_and(|count| count <= MOST) {
            return Ok(());
        }
        let shape: Vec<String> = sides.iter().map(usize::to_string).collect();
        Err(Self::out_of_range(setting, shape.join(" x "), format!("one tensor has at most {MOST} weights")))
    }

    /// Refuses a probability outside `[0, 1)`.
    pub(crate) fn require_dropout(value: f64) -> Result<(), Self> {
        if (0.0..1.0).contains(&value) {
            Ok(())
        } else {
            Err(Self::out_of_range("dropout", value, "0 (none) or more, and below 1"))
        }
    }
}
