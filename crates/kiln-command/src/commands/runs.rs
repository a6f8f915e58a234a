//! `kiln runs`: what was run.

use std::path::PathBuf;
use std::process::ExitCode;

use kiln_lab::store::Runs;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::CommandResult;
use crate::output::print_line;

/// Where the runs lie.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln runs\n  kiln runs --out runs --json")]
pub struct RunsArgs {
    /// Folder with the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

/// Prints the table of runs, the newest first.
pub fn run(args: RunsArgs, global: &Global) -> CommandResult {
    let runs = Runs::list(&args.out)?;
    for error in &runs.broken {
        eprintln!("left out: {error}");
    }
    if global.json {
        let listed = runs.runs.iter().map(|run| {
            json!({ "run": run.name(), "folder": run.folder.to_string_lossy(), "manifest": run.manifest,
                    "outcome": run.outcome(), "findings": run.verdict.as_ref().map(|verdict| &verdict.findings) })
        });
        print_line(&Value::from(listed.collect::<Vec<_>>()).to_string())?;
    } else if runs.runs.is_empty() {
        print_line(&format!("no runs in {}; `kiln reproduce METHOD` makes one", args.out.display()))?;
    } else {
        print_line(&runs.table().terminal().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
