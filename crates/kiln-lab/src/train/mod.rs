//! Training: the loop of the recipes, the training of `kiln train` on Burn's stack, and everything by name.

mod checkpoint;
mod config;
mod disk_queue;
mod evaluation;
mod fit;
mod history;
mod loader;
mod loss_memory;
mod losses;
mod models;
mod objective;
mod optimizers;
mod renderer;
mod rule;
mod saved_model;
mod schedule;
mod selector;
mod supervised;
mod trainee;

pub use config::TrainConfig;
pub use evaluation::Evaluation;
pub use fit::{
    EpochRecord, Fit, FitSettings, Fitting, accuracy, epoch_seed, fit, fit_observed, predict_logits, scalar,
};
pub use history::{EpochMeans, History};
pub use loader::{Batch, EpochLoader};
pub use losses::{LOSSES, gives_probabilities};
pub use models::MODELS;
pub use objective::Objective;
pub use optimizers::OPTIMIZERS;
pub use rule::{Backpropagation, Learned, TrainingRule};
pub use saved_model::{SavedModel, predict_probabilities, predict_scores};
pub use schedule::{SCHEDULES, Schedule, ScheduledRate};
pub use selector::{Entry, Registry, Selector, SelectorError, SettingInfo, Settings};
pub use supervised::{Trained, Training, train};
pub use trainee::{Procedure, Trainee};
