//! Training: the loop of the recipes, the training of `kiln train` on Burn's stack, and everything by name.

mod augmentations;
mod bags;
mod checkpoint;
mod config;
mod disk_queue;
mod evaluation;
mod examples;
mod figures;
mod fit;
mod history;
mod images;
mod loader;
mod loss_memory;
mod loss_picture;
mod losses;
mod models;
mod next_words;
mod objective;
mod opening;
mod optimizers;
mod output_layer;
mod regression_evaluation;
mod renderer;
mod rule;
mod saved_model;
mod schedule;
mod selector;
mod supervised;
mod task;
mod trainee;

pub use augmentations::{AUGMENTATIONS, build_augmentations, check_colours};
pub use bags::{
    BAG_LOSSES, BagEvaluation, BagExamples, BagObjective, Interpolation, ProportionEvaluation, bag_loss, choose_rho,
    default_bag_loss, interpolation,
};
pub use config::TrainConfig;
pub use evaluation::Evaluation;
pub use examples::{BatchTargets, Examples, PreparedRows};
pub use figures::{Figures, true_values};
pub use fit::{
    EpochRecord, Fit, FitSettings, Fitting, accuracy, epoch_seed, fit, fit_observed, predict_logits, scalar,
};
pub use history::{EpochChoice, EpochMeans, History};
pub use images::{
    AUTOENCODERS, CodeUsage, ElVaeObjective, IMAGE_LOSSES, ImageData, ImageFigures, ImageJudge, ImageLossChoice,
    ImageObjective, ImageQuality, ImageRows, ImageTask, SideBySide, UPSCALERS, Upscaler, build_image_objective,
};
pub use loader::{Batch, EpochLoader};
pub use loss_picture::loss_pictures;
pub use losses::{LOSSES, gives_probabilities};
pub use models::{LANGUAGE_MODELS, MODELS};
pub use next_words::{NextWordFigures, likeliest_words};
pub use objective::{Objective, RegressionObjective};
pub use optimizers::OPTIMIZERS;
pub use output_layer::{
    BothForms, FactoredObjective, FactoredSettings, HierarchicalObjective, OUTPUT_LAYERS, OutputLayer,
    SPHERICAL_LOSSES, is_divergence,
};
pub use regression_evaluation::{RegressionEvaluation, TargetFigures};
pub use rule::{Backpropagation, Learned, TrainingRule};
pub use saved_model::{SavedModel, predict_probabilities, predict_scores, predict_values};
pub use schedule::{SCHEDULES, Schedule, ScheduledRate};
pub use selector::{Entry, Registry, Selector, SelectorError, SettingInfo, Settings};
pub use supervised::{Trained, Training, train, train_on};
pub use task::{REGRESSION_LOSSES, TrainingTask, build_objective, default_loss, task_of};
pub use trainee::{Procedure, Trainee};
