//! `kiln resume`: go on with a run that was interrupted.

use std::path::{Path, PathBuf};

use kiln_data::DataDir;
use kiln_lab::{LabError, Manifest, Run, store};
use kiln_recipes::catalogue::{self, RECIPES};

use crate::cli::Global;
use crate::commands::{compare, reproduce, train};
use crate::failure::CommandResult;

/// Which run.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiln reproduce diffgrad --quick --only synthetic --out runs; kiln resume diffgrad\n  \
                  kiln train --data digits --epochs 3; kiln resume train",
    long_about = "Go on with a run that was interrupted.\n\nWhat is finished in the run is not computed again, and the \
                  figures are those of a run that was not interrupted"
)]
pub struct ResumeArgs {
    /// Folder or name of a run, or a method for its newest run
    #[arg(value_name = "RUN")]
    run: String,
    /// Folder with the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

/// Goes on with the run.
pub fn run(args: ResumeArgs, global: &Global) -> CommandResult {
    let folder = store::find(&args.out, &args.run)?;
    let manifest = Manifest::read(&folder)?;
    let run = Run::reopen(&folder, data(&manifest, global))?;
    match manifest.method.as_str() {
        "train" => train::resume(run, global),
        "compare" => compare::resume(run, global),
        method => {
            let recipe = catalogue::find(method)
                .ok_or_else(|| LabError::unknown("method", method, RECIPES.iter().map(|recipe| recipe.card().id)))?;
            reproduce::resume(run, recipe, global)
        }
    }
}

/// The data that the run used: the one folder that it was given, unless the flag names another.
fn data(manifest: &Manifest, global: &Global) -> DataDir {
    match (&global.data_dir, manifest.data_folders.as_slice()) {
        (None, [folder]) if Path::new(folder).is_dir() => DataDir::find(Some(Path::new(folder))),
        _ => global.data(),
    }
}
