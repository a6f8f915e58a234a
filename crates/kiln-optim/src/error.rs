use std::path::PathBuf;

/// What can be wrong with an optimizer's settings or with a restored state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimError {
    /// A hyperparameter outside its range.
    #[error("{name} = {value} is out of range: it must be {allowed}")]
    InvalidHyperparameter {
        /// The hyperparameter, as it is spelt in the configuration.
        name: &'static str,
        /// The value that was given.
        value: f64,
        /// The values that are accepted, in words.
        allowed: &'static str,
    },
    /// No optimizer has this name.
    #[error("unknown optimizer '{name}'; {hint}")]
    UnknownOptimizer {
        /// The name that was given.
        name: String,
        /// The nearest name, or all of them.
        hint: String,
    },
    /// The optimizer does not have this setting.
    #[error("{optimizer} has no setting '{key}'; {hint}")]
    UnknownSetting {
        /// The optimizer's name.
        optimizer: &'static str,
        /// The key that was given.
        key: String,
        /// The nearest key, or all of them.
        hint: String,
    },
    /// A setting's value could not be read.
    #[error("'{value}' is not a value for {key}: expected {expected}")]
    InvalidSetting {
        /// The setting.
        key: String,
        /// The text that was given.
        value: String,
        /// What would be right, in words.
        expected: &'static str,
    },
    /// A restored state tensor does not have its parameter's shape.
    #[error(
        "optimizer state '{field}' of parameter '{parameter}' in `{}` has shape {state_shape:?}, but the parameter has shape {parameter_shape:?}",
        path.display()
    )]
    StateShape {
        /// The file.
        path: PathBuf,
        /// Path of the parameter inside the module.
        parameter: String,
        /// Name of the state tensor.
        field: String,
        /// Shape of the parameter.
        parameter_shape: Vec<usize>,
        /// Shape of the restored tensor.
        state_shape: Vec<usize>,
    },
    /// A restored state tensor does not have its parameter's type.
    #[error(
        "optimizer state '{field}' of parameter '{parameter}' in `{}` is {state_type}, but the parameter is {parameter_type}",
        path.display()
    )]
    StateType {
        /// The file.
        path: PathBuf,
        /// Path of the parameter inside the module.
        parameter: String,
        /// Name of the state tensor.
        field: String,
        /// Type of the parameter.
        parameter_type: &'static str,
        /// Type of the restored tensor.
        state_type: &'static str,
    },
    /// An entry of the state contradicts the rest of the file.
    #[error("entry `{entry}` of the optimizer state in `{}` cannot be used: {reason}", path.display())]
    StateEntry {
        /// The file.
        path: PathBuf,
        /// The entry, a number of a parameter and the name of a state tensor.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state was left by another optimizer.
    #[error(
        "`{}` holds the state of another optimizer: this one takes {taken} of its {total} tensors",
        path.display()
    )]
    StateForeign {
        /// The file.
        path: PathBuf,
        /// Number of tensors that the optimizer takes.
        taken: usize,
        /// Number of tensors in the file.
        total: usize,
    },
    /// The state could not be read at all.
    #[error("cannot read the optimizer state: {0}")]
    StateUnreadable(String),
}
