//! Networks from image to image: autoencoders, and networks that make enlarged pictures sharp.

mod code_usage;
mod data;
mod figures;
mod losses;
mod models;
mod objective;
mod opening;
mod probe;
mod rows;
mod side_by_side;
mod upscaler;

pub use code_usage::CodeUsage;
pub use data::{ImageData, ImageTask};
pub use figures::{ImageFigures, ImageJudge};
pub use losses::{IMAGE_LOSSES, ImageLossChoice};
pub use models::{AUTOENCODERS, UPSCALERS};
pub use objective::{ElVaeObjective, ImageObjective};
pub use opening::build_image_objective;
pub use probe::ImageQuality;
pub use rows::ImageRows;
pub use side_by_side::SideBySide;
pub use upscaler::Upscaler;
