//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use kiln_data::DataDir;

use crate::commands::{
    compare, compare_images, completions, data, evaluate, list, noisy_labels, predict, reference, report, reproduce,
    resume, runs, show, train,
};
use crate::failure::{CommandResult, Failure};

/// Gradient-learning methods of published papers: look them up, check their claims on real data, use them on your own.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Examples:\n  kiln list\n  kiln reproduce comp-sum --quick")]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Folder of data sets [default: the environment variable KILN_DATA, then ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON document instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

impl Global {
    /// The data directory that the flag, the environment or the working directory gives.
    pub fn data(&self) -> DataDir {
        DataDir::find(self.data_dir.as_deref())
    }

    /// Refuses a data directory that was named and is not there.
    fn check(&self) -> Result<(), Failure> {
        match &self.data_dir {
            Some(folder) if !folder.is_dir() => {
                Err(Failure::usage(format!("--data-dir {}: there is no such folder", folder.display())))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the methods with their recorded verdicts
    List(list::ListArgs),
    /// Show what a method, a loss, an optimizer, a model or any other name of `train` is and what can be set
    Show(show::ShowArgs),
    /// Check the claims of a paper on real data
    Reproduce(reproduce::ReproduceArgs),
    /// Go on with a run that was interrupted
    Resume(resume::ResumeArgs),
    /// List the runs
    Runs(runs::RunsArgs),
    /// Write the report of a run, or the index over all runs
    Report(report::ReportArgs),
    /// List, show and fetch data sets
    Data(data::DataArgs),
    /// Train a network on a data set or on your own files
    Train(Box<train::TrainArgs>),
    /// Predict with a trained model
    Predict(predict::PredictArgs),
    /// Measure how good a trained model is
    Evaluate(evaluate::EvaluateArgs),
    /// Compare losses and optimizers under one budget
    Compare(compare::CompareArgs),
    /// Measure how much pictures resemble others, or let people judge
    CompareImages(compare_images::CompareImagesArgs),
    /// List the rows of a data set whose labels look wrong
    NoisyLabels(noisy_labels::NoisyLabelsArgs),
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
    /// Print the book's page of commands
    #[command(hide = true)]
    Reference,
}

impl Cli {
    /// Does what was typed.
    pub fn run(self) -> CommandResult {
        let global = &self.global;
        if !matches!(&self.command, Command::Data(args) if args.makes_its_folder()) {
            global.check()?;
        }
        match self.command {
            Command::List(args) => list::run(args, global),
            Command::Show(args) => show::run(args, global),
            Command::Reproduce(args) => reproduce::run(args, global),
            Command::Resume(args) => resume::run(args, global),
            Command::Runs(args) => runs::run(args, global),
            Command::Report(args) => report::run(args, global),
            Command::Data(args) => data::run(args, global),
            Command::Train(args) => train::run(*args, global),
            Command::Predict(args) => predict::run(args, global),
            Command::Evaluate(args) => evaluate::run(args, global),
            Command::Compare(args) => compare::run(args, global),
            Command::CompareImages(args) => compare_images::run(args, global),
            Command::NoisyLabels(args) => noisy_labels::run(args, global),
            Command::Completions(args) => completions::run(args),
            Command::Reference => reference::run(),
        }
    }
}
