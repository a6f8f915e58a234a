//! `kiln list`: the methods, with what the ledger says about them.

use std::process::ExitCode;

use kiln_lab::{AnyRecipe, ledger};
use kiln_recipes::catalogue::RECIPES;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::CommandResult;
use crate::output::{print, print_line};
use crate::selection;

/// Which methods, and in which form.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln list\n  kiln list --family loss --markdown")]
pub struct ListArgs {
    /// Only the methods of one family
    #[arg(long, value_name = "FAMILY")]
    family: Option<String>,
    /// Print a Markdown table, as in the README
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Prints the table of methods.
pub fn run(args: ListArgs, global: &Global) -> CommandResult {
    let recipes: Vec<&dyn AnyRecipe> = match &args.family {
        Some(family) => selection::family(family)?,
        None => RECIPES.to_vec(),
    };
    let results = ledger::folder();
    let mut listed = Vec::new();
    for recipe in recipes {
        listed.push((recipe.card(), ledger::Entry::read(&results, recipe.card().id)?));
    }
    if global.json {
        let methods: Vec<Value> =
            listed.iter().map(|(card, entry)| json!({ "method": card, "recorded": entry })).collect();
        print_line(&Value::from(methods).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let table = ledger::methods_table(listed.iter().map(|(card, entry)| (*card, entry.as_ref())));
    if args.markdown {
        print(&table.markdown())?;
    } else {
        print_line(&table.terminal().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
