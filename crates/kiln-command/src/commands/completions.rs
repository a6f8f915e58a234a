//! `kiln completions`: completion scripts.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::CommandResult;

/// Which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln completions bash > ~/.local/share/bash-completion/completions/kiln\n  \
                        kiln completions fish > ~/.config/fish/completions/kiln.fish")]
pub struct CompletionsArgs {
    /// The shell to write for
    shell: Shell,
}

/// Prints the script.
pub fn run(args: CompletionsArgs) -> CommandResult {
    clap_complete::generate(args.shell, &mut Cli::command(), "kiln", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
