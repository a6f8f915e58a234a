//! One file a command: what it takes, and what it does.

pub mod aggregate;
pub mod bags;
pub mod compare;
pub mod compare_images;
pub mod completions;
pub mod data;
pub mod evaluate;
mod images;
pub mod list;
pub mod noisy_labels;
pub mod predict;
pub mod reference;
pub mod report;
pub mod reproduce;
pub mod resume;
pub mod runs;
pub mod show;
pub mod train;
