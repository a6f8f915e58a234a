//! Reproductions of optimizers and training rules.

mod diffgrad;

pub use diffgrad::{DiffGradRecipe, Settings as DiffGradSettings};
