//! Reproductions of objectives for labelled data.

mod comp_sum;
mod ens_loss;
mod ldr;
mod perceptual_similarity;
mod seeds;
mod small_sets;
mod z_loss;

pub use comp_sum::CompSumRecipe;
pub use ens_loss::EnsLossRecipe;
pub use ldr::LdrRecipe;
pub use perceptual_similarity::PerceptualSimilarityRecipe;
pub use z_loss::ZLossRecipe;
