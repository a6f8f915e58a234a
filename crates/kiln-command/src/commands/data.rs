//! `kiln data`: list, show and fetch data sets.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use kiln_data::fetch::{FetchProgress, Fetched, here};
use kiln_data::{ArrayDataset, OpenOptions, catalogue, contact_sheet, fetch, open};
use kiln_lab::{LabError, Table, write_whole};
use serde_json::json;

use crate::cli::Global;
use crate::failure::CommandResult;

/// What to do with data sets.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the data sets that are known by name
    #[command(after_help = "Examples:\n  kiln data list\n  kiln data list --json")]
    List,
    /// Show shape, classes, split sizes, value range and a contact sheet of a data set
    #[command(
        after_help = "Examples:\n  kiln data show digits\n  kiln data show data/tabular/wine.csv --target target"
    )]
    Show(ShowArgs),
    /// Download a data set from the Hugging Face hub into the data directory
    #[command(after_help = "Examples:\n  kiln data fetch cifar10\n  kiln data fetch mnist --data-dir ~/data")]
    Fetch {
        /// Name of the data set
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Name of a data set, or a file or folder of your own
    #[arg(value_name = "DATA")]
    data: String,
    /// Column to predict [default: the last one]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Where the contact sheet of images goes, as PNG
    #[arg(long, value_name = "FILE", default_value = "contact-sheet.png")]
    sheet: PathBuf,
}

/// Does what was asked.
pub fn run(args: DataArgs, global: &Global) -> CommandResult {
    match args.action {
        Action::List => list(global),
        Action::Show(args) => show(&args, global),
        Action::Fetch { name } => bring(&name, global),
    }
}

fn list(global: &Global) -> CommandResult {
    let data = global.data();
    let present = |entry: &catalogue::Entry| entry.kind == catalogue::Kind::Embedded || here(entry, &data).is_some();
    if global.json {
        let entries: Vec<_> = catalogue::entries()
            .iter()
            .map(|entry| {
                json!({ "name": entry.name, "kind": entry.kind.name(), "summary": entry.summary,
                        "licence": entry.licence, "here": present(entry) })
            })
            .collect();
        println!("{}", serde_json::Value::from(entries));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new("Data sets", ["name", "kind", "here", "what", "licence"]);
    for entry in catalogue::entries() {
        let here = if present(entry) { "yes" } else { "no" };
        table.push([entry.name, entry.kind.name(), here, entry.summary, entry.licence]);
    }
    println!("{}", table.terminal());
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs, global: &Global) -> CommandResult {
    let options = OpenOptions { target: args.target.clone(), standardise: false, ..Default::default() };
    let splits = open(&args.data, &global.data(), &options)?;
    let parts = [("train", &splits.train), ("validation", &splits.validation), ("test", &splits.test)];
    let classes = if splits.train.is_classification() { splits.train.class_names().to_vec() } else { Vec::new() };
    let sheet = contact_sheet(&splits.train, 16, 8);
    if let Some(sheet) = &sheet {
        let mut png = std::io::Cursor::new(Vec::new());
        sheet.write_to(&mut png, image::ImageFormat::Png).map_err(LabError::method)?;
        write_whole(&args.sheet, png.get_ref())?;
    }
    if global.json {
        let parts: Vec<_> = parts.iter().map(|(name, part)| part_json(name, part)).collect();
        let shape = splits.train.input_shape();
        println!("{}", json!({ "name": splits.name, "shape": shape, "classes": classes, "splits": parts }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}: rows of shape {:?}", splits.name, splits.train.input_shape());
    let mut table = Table::new("Splits", ["split", "rows", "smallest", "largest", "rows a class"]);
    for (name, part) in parts {
        let (low, high) = range(part);
        let counts: Vec<String> = class_counts(part).iter().map(ToString::to_string).collect();
        table.push([name.to_string(), part.len().to_string(), low.to_string(), high.to_string(), counts.join(" ")]);
    }
    println!("{}", table.terminal());
    if !classes.is_empty() {
        println!("classes: {}", classes.join(", "));
    }
    if sheet.is_some() {
        println!("contact sheet: {}", args.sheet.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn part_json(name: &str, part: &ArrayDataset) -> serde_json::Value {
    let (low, high) = range(part);
    json!({ "name": name, "rows": part.len(), "range": [low, high], "class_counts": class_counts(part) })
}

fn class_counts(part: &ArrayDataset) -> Vec<usize> {
    if part.is_classification() { part.class_counts() } else { Vec::new() }
}

fn range(part: &ArrayDataset) -> (f32, f32) {
    (0..part.len())
        .flat_map(|row| part.row(row))
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}

fn bring(name: &str, global: &Global) -> CommandResult {
    let mut progress = Bar::default();
    let (fetched, files) = match fetch(name, &global.data(), &mut progress)? {
        Fetched::AlreadyHere(files) => (false, files),
        Fetched::Downloaded(files) => (true, files),
    };
    if global.json {
        println!("{}", json!({ "name": name, "downloaded": fetched, "files": files }));
    } else {
        let what = if fetched { "downloaded" } else { "already here" };
        println!("{name}: {what}");
        for file in files {
            println!("  {}", file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A bar for each file.
#[derive(Default)]
struct Bar {
    bar: Option<ProgressBar>,
}

impl FetchProgress for Bar {
    fn start(&mut self, file: &str, bytes: u64) {
        let bar = ProgressBar::new(bytes);
        let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(file.to_string());
        self.bar = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
