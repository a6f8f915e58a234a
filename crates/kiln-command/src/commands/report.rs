//! `kiln report`: the page of a run, and the index over all runs.

use std::path::PathBuf;
use std::process::ExitCode;

use kiln_lab::{report, store};
use serde_json::json;

use crate::cli::Global;
use crate::failure::CommandResult;
use crate::output::print_line;

/// Which run, or all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln train --data digits --epochs 3 && kiln report train\n  kiln report --all")]
pub struct ReportArgs {
    /// Folder or name of a run, or a method for its newest run
    #[arg(value_name = "RUN", required_unless_present = "all", conflicts_with = "all")]
    run: Option<String>,
    /// Write the reports of all runs, and `index.html` over them
    #[arg(long)]
    all: bool,
    /// Folder with the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

/// Writes the pages and prints where they lie.
pub fn run(args: ReportArgs, global: &Global) -> CommandResult {
    let path = match &args.run {
        Some(name) => report::write(&store::find(&args.out, name)?)?,
        None => {
            for run in store::Runs::list(&args.out)?.runs {
                report::write(&run.folder)?;
            }
            report::write_index(&args.out)?
        }
    };
    if global.json {
        print_line(&json!({ "report": path.to_string_lossy() }).to_string())?;
    } else {
        print_line(&path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
