//! Optimizers and training rules, on the Burn framework.
//!
//! Every optimizer implements Burn's [`Optimizer`](burn::optim::Optimizer) and is used as Burn's own are: a configuration,
//! `init`, and a [`ModuleOptimizer`](burn::optim::ModuleOptimizer) whose `step` takes the rate, the module and the gradients.
//!
//! - [`DiffGradConfig`]: Adam whose step shrinks where the gradient has stopped changing.
//! - [`AdamConfig`]: Adam, AMSGrad and AdamW in one pass over the parameters.
//! - [`SgdConfig`]: stochastic gradient descent with momentum in one pass over the parameters.
//! - [`AdaDeltaConfig`]: the one classical adaptive method that Burn does not have.
//! - [`OptimizerKind`] and [`OptimizerSettings`]: the comparison set behind one type, each with its standard update.
//! - [`step`]: the step of a whole module, shared out among all threads.
//! - [`functions`] and [`trace_1d`]: one-dimensional test functions, and the same optimizers on a single `f64`.

mod adadelta;
mod adam;
mod clipping;
mod diffgrad;
mod error;
pub mod functions;
mod hyperparameter;
mod kind;
mod scalar;
mod settings;
mod sgd;
mod state_record;
mod step;
mod widest_vectors;

pub use adadelta::{AdaDelta, AdaDeltaConfig, AdaDeltaState};
pub use adam::{Adam, AdamConfig};
pub use diffgrad::{
    DiffGrad, DiffGradConfig, DiffGradFriction, DiffGradState, EpsPlacement, FrictionHistogram, FrictionMonitor,
    FrictionRecord, FrictionStats, SkippedSteps, friction_stats,
};
pub use error::OptimError;
pub use hyperparameter::check_learning_rate;
pub use kind::OptimizerKind;
pub use scalar::{Hyper1d, ScalarEpsilon, trace_1d};
pub use settings::OptimizerSettings;
pub use sgd::{Sgd, SgdConfig, SgdState};
pub use state_record::load_state;
pub use step::step;
