//! Learning from the means of bags: whole bags in every batch, the loss on them, their error, and the choice of `rho` by it.

mod choice;
mod evaluation;
mod examples;
mod names;
mod objective;

pub use choice::choose_rho;
pub use evaluation::{BagEvaluation, ProportionEvaluation};
pub use examples::BagExamples;
pub use names::{BAG_LOSSES, Interpolation, bag_loss, default_bag_loss, interpolation};
pub use objective::BagObjective;
