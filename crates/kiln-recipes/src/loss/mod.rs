//! Reproductions of objectives for labelled data.

mod comp_sum;
mod z_loss;

pub use comp_sum::CompSumRecipe;
pub use z_loss::ZLossRecipe;
