//! `kiln data`: list, show, fetch and prepare data sets.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use kiln_data::fetch::{Checked, FetchProgress, Fetched, here};
use kiln_data::text::{Corpus, CorpusOptions, Part, UNKNOWN};
use kiln_data::{
    ArrayDataset, LabelNoise, OpenOptions, Splits, Summary, TargetEncoding, catalogue, contact_sheet, fetch, is_text,
    label_noise, open,
};
use kiln_lab::{LabError, Table, write_whole};
use serde_json::{Value, json};

use super::aggregate;
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::reading::ReadingArgs;
use crate::{inline_picture, output};

/// What to do with data sets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln data list\n  kiln data show digits")]
pub struct DataArgs {
    #[command(subcommand)]
    action: Action,
}

impl DataArgs {
    /// Whether the data directory need not be there yet.
    pub fn makes_its_folder(&self) -> bool {
        matches!(self.action, Action::Fetch { .. })
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the data sets that are known by name
    #[command(after_help = "Examples:\n  kiln data list\n  kiln data list --json")]
    List,
    /// Show shape, classes, split sizes, value ranges and a contact sheet of a data set, or the words of a text
    #[command(
        after_help = "Examples:\n  kiln data show digits\n  kiln data show data/tabular/wine.csv --target target"
    )]
    Show(ShowArgs),
    /// Write the labels of the training rows before and after noise as a table, which annotators:FILE reads
    #[command(after_help = "Examples:\n  kiln data corrupt digits --label-noise uniform:0.4\n  kiln data corrupt \
                      data/tabular/wine.csv --target target --label-noise pair:0.3 --out noisy.csv")]
    Corrupt(CorruptArgs),
    /// Replace the target of a table by its mean over bags of rows, also with noise that makes the means private; or plan how
    /// large the bags should be
    #[command(after_help = aggregate::EXAMPLES)]
    Aggregate(aggregate::AggregateArgs),
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
    #[command(flatten)]
    reading: ReadingArgs,
    /// Where the contact sheet of pictures goes, as PNG [default: contact-sheet.png]
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
struct CorruptArgs {
    /// Name of a data set, or a file or folder of your own
    #[arg(value_name = "DATA")]
    data: String,
    #[command(flatten)]
    reading: ReadingArgs,
    /// uniform:RATE, pair:RATE (to the next class), asymmetric:RATE:FROM/TO,..., matrix:FILE or annotators:FILE
    #[arg(long, value_name = "NOISE")]
    label_noise: LabelNoise,
    /// Decides which rows are training rows, as `--seed` of `kiln train` does (`kiln compare` has 0), and which labels are
    /// changed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the table goes
    #[arg(long, value_name = "FILE", default_value = "labels.csv")]
    out: PathBuf,
}

/// Pictures of a class on the contact sheet, and classes on it.
const SHEET: (usize, usize) = (16, 20);
/// Features and words that are printed; JSON has all features.
const SHOWN_FEATURES: usize = 30;
const SHOWN_WORDS: usize = 12;

/// Does what was asked.
pub fn run(args: DataArgs, global: &Global) -> CommandResult {
    match args.action {
        Action::List => list(global),
        Action::Show(args) if is_text(&args.data, &global.data()) => show_text(&args, global),
        Action::Show(args) => show(&args, global),
        Action::Corrupt(args) => corrupt(&args, global),
        Action::Aggregate(args) => aggregate::run(&args, global),
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
        output::print_line(&Value::from(entries).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new("Data sets", ["name", "kind", "here", "what", "licence"]);
    for entry in catalogue::entries() {
        let here = if present(entry) { "yes" } else { "no" };
        table.push([entry.name, entry.kind.name(), here, entry.summary, entry.licence]);
    }
    output::print_line(&table.terminal())?;
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs, global: &Global) -> CommandResult {
    let options = OpenOptions { standardise: false, ..args.reading.options() };
    let splits = open(&args.data, &global.data(), &options)?;
    let summary = Summary::of(&splits);
    if !global.json {
        output::print(&described(&splits, &summary))?;
    }
    let (sheet, failure) = match write_sheet(args, &splits.train, global) {
        Ok(sheet) => (sheet, None),
        Err(failure) => (None, Some(failure)),
    };
    if global.json {
        output::print_line(&document(&splits, &summary, sheet.as_deref()).to_string())?;
    } else if let Some(sheet) = sheet {
        output::print_line(&format!("contact sheet: {}", sheet.display()))?;
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Draws the pictures of the training rows, where they are pictures. Only a file that was asked for has to be written.
fn write_sheet(args: &ShowArgs, train: &ArrayDataset, global: &Global) -> Result<Option<PathBuf>, Failure> {
    let Some(sheet) = contact_sheet(train, SHEET.0, SHEET.1) else { return Ok(None) };
    let mut png = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut png, image::ImageFormat::Png).map_err(LabError::method)?;
    if !global.json
        && let Some(escape) = inline_picture::escape(png.get_ref())
    {
        output::print(&escape)?;
    }
    let path = args.sheet.clone().unwrap_or_else(|| "contact-sheet.png".into());
    match write_whole(&path, png.get_ref()) {
        Ok(()) => Ok(Some(path)),
        Err(error) if args.sheet.is_some() => Err(error.into()),
        Err(error) => {
            tracing::warn!("the contact sheet was not written: {error}; --sheet names another file");
            Ok(None)
        }
    }
}

fn parts(splits: &Splits) -> [(&'static str, &ArrayDataset); 3] {
    [("train", &splits.train), ("validation", &splits.validation), ("test", &splits.test)]
}

fn described(splits: &Splits, summary: &Summary) -> String {
    let mut text = format!("{}: rows of shape {:?}\n", splits.name, summary.input_shape);
    let mut table = Table::new("Splits", ["split", "rows", "smallest", "largest", "rows a class"]);
    for ((name, part), split) in parts(splits).into_iter().zip(&summary.splits) {
        let (low, high) =
            range(part).map_or(("-".into(), "-".into()), |[low, high]| (low.to_string(), high.to_string()));
        let counts: Vec<String> = split.class_counts.iter().map(ToString::to_string).collect();
        table.push([name.to_string(), split.rows.to_string(), low, high, counts.join(" ")]);
    }
    text += &format!("{}\n{}\n", table.title, table.terminal());
    if splits.train.is_classification() {
        text += &format!("classes: {}\n", summary.class_names.join(", "));
    }
    if let TargetEncoding::Values { columns, means, deviations } = &splits.preprocessing.targets {
        for ((column, mean), deviation) in columns.iter().zip(means).zip(deviations) {
            text += &format!("target {column}: mean {mean}, standard deviation {deviation} over the training rows\n");
        }
    }
    if splits.train.input_shape().len() == 1 {
        let mut table = Table::new("Features", ["feature", "smallest", "largest", "mean", "deviation"]);
        for feature in summary.features.iter().take(SHOWN_FEATURES) {
            let figures = [feature.min, feature.max, feature.mean, feature.deviation];
            let [low, high, mean, deviation] = figures.map(|figure| figure.to_string());
            table.push([feature.name.clone(), low, high, mean, deviation]);
        }
        text += &format!("{}\n{}\n", table.title, table.terminal());
        let more = summary.features.len().saturating_sub(SHOWN_FEATURES);
        if more > 0 {
            text += &format!("and {more} more features (--json lists all)\n");
        }
    }
    for note in &splits.notes {
        text += &format!("note: {note}\n");
    }
    text
}

fn document(splits: &Splits, summary: &Summary, sheet: Option<&Path>) -> Value {
    let classes = if splits.train.is_classification() { summary.class_names.clone() } else { Vec::new() };
    let parts: Vec<Value> = parts(splits)
        .into_iter()
        .zip(&summary.splits)
        .map(|((name, part), split)| {
            json!({ "name": name, "rows": split.rows, "range": range(part), "class_counts": split.class_counts })
        })
        .collect();
    json!({
        "name": splits.name,
        "shape": summary.input_shape,
        "task": summary.task,
        "classes": classes,
        "splits": parts,
        "features": summary.features,
        "targets": splits.preprocessing.targets,
        "notes": splits.notes,
        "sheet": sheet.map(Path::to_string_lossy),
    })
}

/// Smallest and largest value; none without rows.
fn range(part: &ArrayDataset) -> Option<[f32; 2]> {
    let values = (0..part.len()).flat_map(|row| part.row(row)).copied();
    values.fold(None, |range: Option<[f32; 2]>, value| {
        Some(range.map_or([value; 2], |[low, high]| [low.min(value), high.max(value)]))
    })
}

fn show_text(args: &ShowArgs, global: &Global) -> CommandResult {
    let corpus = Corpus::open(&args.data, &global.data(), &CorpusOptions::default())?;
    let vocabulary = corpus.vocabulary();
    let parts = [("train", Part::Train), ("validation", Part::Validation), ("test", Part::Test)];
    // The vocabulary is sorted by frequency, the unknown word in front.
    let known = UNKNOWN as usize + 1;
    let frequent: Vec<(&str, u64)> =
        (known..vocabulary.len()).map(|token| (vocabulary.word(token as u32), vocabulary.counts()[token])).collect();
    if global.json {
        let words: Vec<Value> =
            frequent.iter().take(SHOWN_WORDS).map(|(word, count)| json!({ "word": word, "count": count })).collect();
        let splits: Vec<Value> =
            parts.iter().map(|(name, part)| json!({ "name": name, "tokens": corpus.num_tokens(*part) })).collect();
        let document = json!({
            "name": args.data, "books": corpus.books(), "splits": splits, "vocabulary": vocabulary.len(),
            "frequent_words": words,
        });
        output::print_line(&document.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{}: running text in {} books\n", args.data, corpus.books().len());
    let mut table = Table::new("Books", ["book", "train", "validation", "test"]);
    for (at, book) in corpus.books().into_iter().enumerate() {
        let [train, validation, test] = parts.map(|(_, part)| corpus.tokens(part)[at].len().to_string());
        table.push([book.to_string(), train, validation, test]);
    }
    let [train, validation, test] = parts.map(|(_, part)| corpus.num_tokens(part).to_string());
    table.push(["all words".to_string(), train, validation, test]);
    text += &format!("{}\n{}\n", table.title, table.terminal());
    text += &format!("vocabulary: {} words, the unknown one among them\n", vocabulary.len());
    let words: Vec<String> = frequent.iter().take(SHOWN_WORDS).map(|(word, count)| format!("{word} {count}")).collect();
    text += &format!("most frequent: {}\n", words.join(", "));
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn corrupt(args: &CorruptArgs, global: &Global) -> CommandResult {
    let mut options = args.reading.options();
    options.split.seed = args.seed;
    let splits = open(&args.data, &global.data(), &options)?;
    splits.notes.iter().for_each(|note| eprintln!("{note}"));
    if !splits.train.is_classification() {
        return Err(Failure::usage(format!("{}: the target is a number, and only classes can be wrong", args.data)));
    }
    let (noisy, flipped) = args.label_noise.corrupt(&splits.train, args.seed)?;
    write_whole(&args.out, label_noise::table(&splits.train, &noisy).as_bytes())?;
    let (wrong, rows) = (flipped.iter().filter(|flipped| **flipped).count(), flipped.len());
    if global.json {
        let document = json!({ "name": args.data, "label_noise": args.label_noise.to_string(), "rows": rows,
                               "flipped": wrong, "table": args.out });
        output::print_line(&document.to_string())?;
    } else {
        let share = 100.0 * wrong as f64 / rows.max(1) as f64;
        output::print_line(&format!("{wrong} of {rows} training labels changed ({share:.1} %)"))?;
        output::print_line(&format!("table: {}", args.out.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn bring(name: &str, global: &Global) -> CommandResult {
    let mut progress = Bar::default();
    let (fetched, files) = match fetch(name, &global.data(), &mut progress)? {
        Fetched::AlreadyHere(files) => (false, files.into_iter().map(|file| (file, None)).collect()),
        Fetched::Downloaded(files) => {
            (true, files.into_iter().map(|file| (file.path, Some(file.checked))).collect::<Vec<_>>())
        }
    };
    for (file, _) in files.iter().filter(|(_, checked)| *checked == Some(Checked::Not)) {
        tracing::warn!("{}: no checksum is known of it, so that it was not compared with any", file.display());
    }
    if global.json {
        let files: Vec<Value> = files
            .iter()
            .map(|(file, checked)| json!({ "file": file.to_string_lossy(), "checksum_of": checked.map(Checked::name) }))
            .collect();
        output::print_line(&json!({ "name": name, "downloaded": fetched, "files": files }).to_string())?;
    } else {
        let mut text = format!("{name}: {}\n", if fetched { "downloaded" } else { "already here" });
        for (file, checked) in files {
            text += &match checked {
                Some(checked) => format!("  {} (sha256 compared with: {})\n", file.display(), checked.name()),
                None => format!("  {}\n", file.display()),
            };
        }
        output::print(&text)?;
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
