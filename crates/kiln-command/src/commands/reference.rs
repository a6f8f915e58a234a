//! `kiln reference`: the book's page of commands, made from the commands themselves.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;
use crate::failure::CommandResult;
use crate::output::print;

/// Prints the page in Markdown.
pub fn run() -> CommandResult {
    print(&page())?;
    Ok(ExitCode::SUCCESS)
}

fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = String::from(
        "# Commands\n\nThis page is made by `kiln reference`; a test compares it with the program.\n\n\
         Exit codes: 0 done and every finding held, 1 a failure, 2 a mistake in what was typed, \
         3 a finding that did not hold or could not be decided.\n",
    );
    for command in root.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        section(&mut page, &format!("kiln {}", command.get_name()), command);
    }
    page
}

fn section(page: &mut String, path: &str, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, "\n## `{path}`\n\n{about}.");
    let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let arguments: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if !arguments.is_empty() {
        page.push_str("\n| argument | meaning |\n|---|---|\n");
        for argument in arguments {
            let _ = writeln!(page, "| `{}` | {} |", spelling(argument), meaning(argument));
        }
    }
    if let Some(examples) = command.get_after_help() {
        let lines: Vec<String> = examples.to_string().lines().skip(1).map(|line| line.trim().to_string()).collect();
        let _ = writeln!(page, "\n```sh\n{}\n```", lines.join("\n"));
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        section(page, &format!("{path} {}", inner.get_name()), inner);
    }
}

fn spelling(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default();
    let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
    let takes_value = argument.get_action().takes_values();
    match argument.get_long() {
        Some(long) if takes_value => format!("--{long} {}", values.join(" ")),
        Some(long) => format!("--{long}"),
        None if argument.is_required_set() => values.join(" "),
        None => format!("[{}]", values.join(" ")),
    }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && argument.get_action().takes_values() {
        let _ = write!(text, " (default: `{}`)", defaults.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_holds_this_page() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/commands.md");
        let book = std::fs::read_to_string(path).unwrap();
        assert!(book == page(), "docs/src/commands.md is stale: run `cargo run -- reference > docs/src/commands.md`");
    }

    #[test]
    fn every_command_ends_with_two_examples() {
        let mut root = Cli::command();
        root.build();
        for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
            let with_examples = |command: &Command| {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                help.starts_with("Examples:\n") && help.lines().count() >= 3
            };
            let inner: Vec<&Command> = command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
            assert!(
                command.is_hide_set()
                    || with_examples(command)
                    || (!inner.is_empty() && inner.iter().all(|c| with_examples(c))),
                "`kiln {} --help` lacks examples",
                command.get_name()
            );
        }
    }
}
