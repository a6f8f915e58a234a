//! The `kiln` program: gradient-learning methods from the command line.
//!
//! [`cli`] says what can be typed, [`commands`] holds one file a command, [`failure`] says how a failure is shown,
//! [`output`] how everything else is. No science in here: commands call the library crates.

mod cli;
mod commands;
mod failure;
mod inline_picture;
mod inputs;
mod output;
mod reading;
mod selection;

use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::cli::Cli;
use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("KILN_LOG").unwrap_or_else(|_| "warn,burn_train=error".into()),
        )
        .with_ansi(std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
    let cli = Cli::parse();
    if let Err(error) = kiln_kernels::join_pool() {
        return Failure::Failed(format!("the threads cannot be started: {error}")).show();
    }
    match catch_unwind(AssertUnwindSafe(|| cli.run())) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => failure.show(),
        // The panic hook has shown what and where.
        Err(_) => Failure::Failed("this is a defect of kiln: please report the message above".into()).show(),
    }
}
