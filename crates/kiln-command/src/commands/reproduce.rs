//! `kiln reproduce`: the claims of a paper, checked on real data.

use std::path::PathBuf;
use std::process::ExitCode;

use kiln_lab::{AnyRecipe, LabError, Run, RunOptions, Scale, Verdict, ledger};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::{CommandResult, DONE, Failure, NOT_HELD};
use crate::output::print_line;
use crate::selection;

/// What to reproduce, and how much to spend on it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiln reproduce comp-sum --quick\n  kiln reproduce diffgrad z-loss --quick --seeds 2 --json",
    long_about = "Check the claims of a paper on real data.\n\nExit code: 0 when every finding held, 3 where one did not \
                  or could not be decided, 1 for a failure to run, 2 for a usage error"
)]
pub struct ReproduceArgs {
    /// Methods, families, or `all`
    #[arg(value_name = "METHOD", required = true)]
    methods: Vec<String>,
    /// At most two minutes a method on two cores; the default
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// What the evidence needs: up to half an hour a part
    #[arg(long)]
    full: bool,
    /// Seconds a method, for tests: too little for evidence
    #[arg(long, hide = true, conflicts_with_all = ["quick", "full"])]
    smoke: bool,
    /// Run only this part (see `kiln show METHOD`); may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Number of seeds [default: the scale's own]
    #[arg(long, value_name = "N")]
    seeds: Option<usize>,
    /// Change a setting (see `kiln show METHOD`); may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Device to compute on
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Folder in which the run's folder is made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Record the verdict of a full run in the ledger, `results/<method>.json`
    #[arg(long, requires = "full", conflicts_with_all = ["set", "seeds"])]
    record: bool,
}

/// Runs the methods one after the other and shows their verdicts.
pub fn run(args: ReproduceArgs, global: &Global) -> CommandResult {
    let recipes = selection::methods(&args.methods)?;
    let options = options(&args, global);
    // Everything that can be refused is refused before the first run starts.
    for recipe in &recipes {
        Run::check(*recipe, &options)?;
    }
    let mut outcomes = Vec::new();
    let mut failures: Vec<(&str, Failure)> = Vec::new();
    for recipe in &recipes {
        match reproduce(*recipe, &options, args.record, global) {
            Ok(outcome) => outcomes.push(outcome),
            Err(failure) if recipes.len() == 1 => return Err(failure),
            Err(failure) => {
                failure.show();
                failures.push((recipe.card().id, failure));
            }
        }
    }
    if global.json {
        print_line(&Value::from(outcomes.iter().map(Outcome::json).collect::<Vec<_>>()).to_string())?;
    }
    if !failures.is_empty() {
        let names: Vec<&str> = failures.iter().map(|(name, _)| *name).collect();
        return Err(Failure::Failed(format!(
            "{} of {} methods could not be run: {}",
            names.len(),
            recipes.len(),
            names.join(", ")
        )));
    }
    Ok(ExitCode::from(if outcomes.iter().all(|outcome| outcome.verdict.held()) { DONE } else { NOT_HELD }))
}

fn options(args: &ReproduceArgs, global: &Global) -> RunOptions {
    let scale = match (args.full, args.smoke) {
        (true, _) => Scale::Full,
        (_, true) => Scale::Smoke,
        _ => Scale::Quick,
    };
    RunOptions {
        seeds: args.seeds,
        parts: args.only.clone(),
        overrides: args.set.clone(),
        device: args.device.clone(),
        show_progress: !global.json,
        ..RunOptions::new(scale, &args.out, global.data())
    }
}

/// A verdict with the run that it came from.
struct Outcome {
    method: &'static str,
    folder: PathBuf,
    scale: Option<Scale>,
    seconds: f64,
    verdict: Verdict,
}

impl Outcome {
    fn json(&self) -> Value {
        json!({
            "method": self.method,
            "run": self.folder.to_string_lossy(),
            "scale": self.scale,
            "seconds": self.seconds,
            "held": self.verdict.held(),
            "findings": self.verdict.findings,
        })
    }
}

fn reproduce(
    recipe: &'static dyn AnyRecipe,
    options: &RunOptions,
    record: bool,
    global: &Global,
) -> Result<Outcome, Failure> {
    let mut run = Run::create(recipe, options)?;
    let outcome = perform(&mut run, recipe, global)?;
    if record {
        let path = ledger::Entry::new(&run, &outcome.verdict).record(&ledger::folder(), recipe)?;
        eprintln!("recorded in {}", path.display());
    }
    Ok(outcome)
}

/// Goes on with a reproduction that was interrupted.
pub fn resume(mut run: Run, recipe: &'static dyn AnyRecipe, global: &Global) -> CommandResult {
    let outcome = perform(&mut run, recipe, global)?;
    if global.json {
        print_line(&outcome.json().to_string())?;
    }
    Ok(ExitCode::from(if outcome.verdict.held() { DONE } else { NOT_HELD }))
}

fn perform(run: &mut Run, recipe: &'static dyn AnyRecipe, global: &Global) -> Result<Outcome, Failure> {
    let card = recipe.card();
    if !global.json {
        eprintln!("{} ({}), {}", card.id, card.citation(), run.folder().display());
    }
    let verdict = run.execute(recipe)?;
    let outcome = Outcome {
        method: card.id,
        folder: run.folder().to_path_buf(),
        scale: run.manifest().scale,
        seconds: run.elapsed_seconds(),
        verdict,
    };
    if !global.json {
        print(run, &outcome)?;
    }
    Ok(outcome)
}

fn print(run: &Run, outcome: &Outcome) -> Result<(), LabError> {
    for table in &run.record().tables {
        print_line(&format!("\n{}\n{}", table.title, table.terminal()))?;
    }
    for note in &run.record().notes {
        print_line(&format!("\n{note}"))?;
    }
    let verdict = ledger::findings_table("Verdict", &outcome.verdict);
    print_line(&format!("\nVerdict on {}: {}\n{}", outcome.method, outcome.verdict.tally(), verdict.terminal()))?;
    for finding in outcome.verdict.findings.iter().filter(|finding| !finding.note.is_empty()) {
        print_line(&format!("{}: {}", finding.id, finding.note))?;
    }
    print_line(&format!("\nreport: {}", outcome.folder.join("report.html").display()))?;
    for name in &run.record().figures {
        let file = format!("{}.png", kiln_lab::files::file_name(name));
        print_line(&format!("picture: {}", run.artifacts().join(file).display()))?;
    }
    Ok(())
}
