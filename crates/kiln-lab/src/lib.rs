//! The runner: seeds, progress, metrics, artifacts, verdicts, reports, training.

mod card;
pub mod device;
mod error;
pub mod files;
pub mod ledger;
pub mod machine;
pub mod metrics;
mod picture;
pub mod plot;
pub mod probe;
pub mod progress;
mod recipe;
pub mod report;
pub mod run;
pub mod settings;
pub mod statistics;
pub mod store;
mod table;
pub mod train;
mod verdict;

pub use card::{MethodCard, Scale};
pub use error::LabError;
pub(crate) use error::panic_message;
pub use files::write_whole;
pub use picture::Picture;
pub use plot::{Plot, Series};
pub use probe::{Cadence, Probe, ProbeView};
pub use recipe::{AnyRecipe, Recipe};
pub use run::{JobContext, Manifest, Run, RunOptions, Status};
pub use table::{Table, escape_html};
pub use verdict::{Finding, Measured, Outcome, Verdict};
