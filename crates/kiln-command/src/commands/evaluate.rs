//! `kiln evaluate`: how good a trained model is.

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use kiln_data::{
    ArrayDataset, BagRows, BagTargets, DataDir, TargetEncoding, Task, catalogue, is_same_source, open_bags_like,
    open_like, open_test_like, open_text_like,
};
use kiln_lab::plot::{HeatMap, Plot, Series};
use kiln_lab::statistics::figure;
use kiln_lab::store::{self, Runs};
use kiln_lab::train::{
    BagEvaluation, BagExamples, Evaluation, Figures, NextWordFigures, RegressionEvaluation, SavedModel, predict_values,
    task_of, true_values,
};
use kiln_lab::{LabError, Status, Table, device};
use kiln_nn::Network;
use serde_json::Value;

use super::{bags, images};
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output;

/// Which model, on what.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln train --data digits --epochs 5 && kiln evaluate train digits\n  \
                        kiln train --data data/tabular/wine.csv && kiln evaluate train data/tabular/wine.csv --json\n  \
                        kiln train --data linnerud --epochs 50 && kiln evaluate train linnerud\n  \
                        kiln train --data data/text/austen-persuasion.txt --epochs 3 && kiln evaluate train \
                        data/text/austen-persuasion.txt\n  \
                        kiln train --task autoencode --data digits --epochs 3 && kiln evaluate train digits")]
pub struct EvaluateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The data of the training or a known data set (the test rows are used), or another file or folder (all rows)
    #[arg(value_name = "DATA")]
    data: String,
    /// File for the picture, ending in .svg or .png: the confusion matrix, predicted against true numbers, or the error over
    /// the number of likeliest words; of a model that gives pictures, some of these [default: confusion.png, predicted.png,
    /// words.png or pictures.png in the model's folder]
    #[arg(long, value_name = "FILE", value_parser = picture_file)]
    picture: Option<PathBuf>,
    /// Device to compute on
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
}

fn picture_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("svg" | "png") => Ok(path),
        _ => Err("the name must end in .svg or .png".into()),
    }
}

/// Which trained model.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// Folder of a trained model or its model.toml, or the name of a run; `train` is the newest finished training
    #[arg(value_name = "MODEL")]
    model: String,
    /// Folder with the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

impl ModelArgs {
    /// Folder of the model, or its description.
    ///
    /// A bare word is a folder of that name where it holds a model, else the newest finished run of that name.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        let path = PathBuf::from(&self.model);
        let holds_model = |folder: &std::path::Path| folder.join(SavedModel::DESCRIPTION).is_file();
        let is_bare = path.components().count() == 1 && path.extension().is_none();
        if path.is_file() || holds_model(&path) || (path.exists() && !is_bare) {
            return Ok(path);
        }
        let runs = Runs::list(&self.out)?.runs;
        let named = || runs.iter().filter(|run| run.name() == self.model || run.manifest.method == self.model);
        let is_finished = |run: &&store::StoredRun| run.manifest.status == Status::Finished && holds_model(&run.folder);
        if let Some(run) = named().find(is_finished) {
            return Ok(run.folder.clone());
        }
        match named().next() {
            Some(run) => Err(Failure::Failed(format!(
                "the run {} has no model: it is {}. `kiln resume {}` goes on with it",
                run.folder.display(),
                run.manifest.status,
                run.name()
            ))),
            None => Ok(store::find(&self.out, &self.model)?),
        }
    }
}

/// Prints the figures and draws a picture: the confusion matrix of classes, predicted against true numbers, errors over
/// the number of likeliest words.
pub fn run(args: EvaluateArgs, global: &Global) -> CommandResult {
    let device = device::parse(&args.device)?;
    let path = args.model.path()?;
    let (model, network) = SavedModel::load(&path, &device)?;
    if model.image_task().is_some() {
        return images::evaluate((&path, &model, &network), &args.data, args.picture, global, &device);
    }
    let rows = Rows::new(&model, &args.data, &global.data())?;
    let (document, table, picture) = if let Some(bags) = &rows.bags {
        of_bags(bags, &model, &network, &device)?
    } else if model.reads_text() {
        of_words(&NextWordFigures::of(&network, &rows.data, model.gives_probabilities(), &device)?)?
    } else {
        of_rows(&Figures::of(&network, &rows.data, &model.preprocessing, &device), &model, &network, &rows, &device)?
    };
    if global.json {
        output::print_line(&rows.described(document).to_string())?;
    } else {
        let title = format!("{} on {}, {}", model.training.model(), args.data, rows.describe());
        output::print_line(&format!("{title}\n{}", table.terminal()))?;
    }
    let asked = args.picture.is_some();
    let file = args.picture.unwrap_or_else(|| SavedModel::folder(&path).join(picture.file));
    match picture.plot.write(&file) {
        Ok(()) if global.json => {}
        Ok(()) => output::print_line(&format!("{}: {}", picture.name, file.display()))?,
        Err(error) if asked => return Err(error.into()),
        // The figures are what was asked for, and they are printed.
        Err(error) => tracing::warn!("the picture of the {} was not written: {error}", picture.name),
    }
    Ok(ExitCode::SUCCESS)
}

/// A picture of the figures.
struct Picture {
    name: &'static str,
    /// Its file in the model's folder.
    file: &'static str,
    plot: Plot,
}

/// Figures as JSON, as a table and as a picture.
type Shown = (Value, Table, Picture);

fn of_rows(
    figures: &Figures,
    model: &SavedModel,
    network: &Network,
    rows: &Rows,
    device: &Device,
) -> Result<Shown, LabError> {
    let (table, picture) = match figures {
        Figures::Classes(found) => {
            let plot = confusion(found, rows.data.class_names());
            let picture = Picture { name: "confusion matrix", file: "confusion.png", plot };
            (table_of_classes(found, model.gives_probabilities()), picture)
        }
        Figures::Values(found) => {
            let targets = &model.preprocessing.targets;
            let plot = agreement(&predict_values(network, &rows.data, targets, device), &rows.data, targets);
            (table_of_values(found), Picture { name: "predicted against true", file: "predicted.png", plot })
        }
    };
    let mut document = serde_json::to_value(figures).map_err(LabError::method)?;
    if let Value::Object(figures) = &mut document
        && !model.gives_probabilities()
    {
        figures.retain(|name, _| !matches!(name.as_str(), "log_loss" | "brier" | "calibration_error"));
    }
    Ok((document, table, picture))
}

/// By the means of the bags and, where the rows have targets of their own, by these as well.
fn of_bags(rows: &BagRows, model: &SavedModel, network: &Network, device: &Device) -> Result<Shown, LabError> {
    let (targets, names) = (&model.preprocessing.targets, model.preprocessing.class_names());
    let examples = BagExamples::new(&rows.data, &rows.bags, targets);
    let found = BagEvaluation::of(network, &examples, targets, names, device);
    let mut table = Table::new("", ["figure", "value"]);
    table.push(["bags".to_string(), rows.bags.len().to_string()]);
    found.figures().into_iter().for_each(|(name, value)| table.push([name.to_string(), value]));
    let mut document = serde_json::json!({ "bags": found });
    if has_own_targets(model) {
        let figures = Figures::of(network, &rows.data, &model.preprocessing, device);
        match &figures {
            Figures::Classes(own) => table.push(["accuracy of the rows".to_string(), format!("{:.4}", own.accuracy)]),
            Figures::Values(own) => table.push(["RMSE of the rows".to_string(), figure(own.rmse)]),
        }
        document["rows"] = serde_json::to_value(figures).map_err(LabError::method)?;
    }
    let plot = bags::agreement(&examples.predicted(network, device), &examples.responses(), names);
    Ok((document, table, Picture { name: "means of bags", file: "bags.png", plot }))
}

/// Whether the model was trained on a table with targets of single rows.
fn has_own_targets(model: &SavedModel) -> bool {
    model.training.bag_targets == Some(BagTargets::Row)
}

fn of_words(found: &NextWordFigures) -> Result<Shown, LabError> {
    let mut table = Table::new("", ["figure", "value"]);
    for (k, error) in found.top_k_errors() {
        table.push([format!("top-{k} error"), format!("{error:.4}")]);
    }
    table.push(["mean reciprocal rank".to_string(), format!("{:.4}", found.mean_reciprocal_rank)]);
    if let Some(perplexity) = found.perplexity {
        table.push(["perplexity".to_string(), format!("{perplexity:.2}")]);
    }
    let points = found.top_k_errors().map(|(k, error)| (k as f64, error));
    let plot = Plot::line("The word is not among the likeliest", "number of likeliest words", "share of the words")
        .series(Series::new("error").points(points));
    let picture = Picture { name: "errors", file: "words.png", plot };
    Ok((serde_json::to_value(found).map_err(LabError::method)?, table, picture))
}

/// Rows to judge the model by.
struct Rows {
    data: ArrayDataset,
    /// The same in bags, where the model learnt from such.
    bags: Option<BagRows>,
    /// Whether they are those that the training kept for the test, or everything that the source has.
    are_test_rows: bool,
    /// Whether the data of the training is no longer what it was.
    have_changed: bool,
}

impl Rows {
    /// The test rows of the set that the model was trained on and of every known set, all rows of another file.
    fn new(model: &SavedModel, source: &str, dir: &DataDir) -> Result<Self, Failure> {
        let is_trained_on = is_same_source(source, &model.training.data, dir);
        let is_all = !is_trained_on && catalogue::find(source).is_none();
        // Rows with targets of their own can be judged without bags.
        let bags = match &model.training.bags {
            Some(_) if !(is_all && has_own_targets(model)) => {
                Some(open_bags_like(source, dir, &model.preprocessing, &model.training.open_options(), !is_all)?)
            }
            _ => None,
        };
        if is_all {
            if let Some(rows) = bags {
                let data = rows.data.clone();
                return Ok(Self { data, bags: Some(rows), are_test_rows: false, have_changed: false });
            }
            if model.reads_text() {
                let data = open_text_like(source, dir, &model.preprocessing, None)?;
                return Ok(Self { data, bags: None, are_test_rows: false, have_changed: false });
            }
            let (data, judged) = open_like(source, dir, &model.preprocessing)?;
            if !judged {
                return Err(unjudgeable(model, source));
            }
            check_task(model, &data, source)?;
            return Ok(Self { data, bags: None, are_test_rows: false, have_changed: false });
        }
        let data = match &bags {
            Some(rows) => rows.data.clone(),
            None => test_rows(model, source, dir)?,
        };
        if bags.is_none() {
            check_task(model, &data, source)?;
        }
        let now = if is_trained_on { kiln_data::fingerprint(source, dir)? } else { None };
        let have_changed = now.is_some() && model.data_sha256.is_some() && now != model.data_sha256;
        if have_changed {
            tracing::warn!(
                "{source} has changed since the training: some of these test rows may have been training rows"
            );
        }
        Ok(Self { data, bags, are_test_rows: true, have_changed })
    }

    /// The figures, and which rows they are of.
    fn described(&self, mut figures: Value) -> Value {
        if let Value::Object(figures) = &mut figures {
            figures.insert("rows_used".into(), if self.are_test_rows { "test".into() } else { "all".into() });
            figures.insert("data_changed".into(), self.have_changed.into());
        }
        figures
    }

    fn describe(&self) -> String {
        let rows = self.data.len();
        if self.are_test_rows { format!("{rows} test rows") } else { format!("all {rows} rows") }
    }
}

/// The rows of `data` that a training with the model's settings would keep for the test, as the model sees them.
pub fn test_rows(model: &SavedModel, data: &str, dir: &DataDir) -> Result<ArrayDataset, Failure> {
    if model.reads_text() {
        return Ok(open_text_like(data, dir, &model.preprocessing, Some(&model.training.corpus_options()))?);
    }
    if model.training.bags.is_some() {
        let options = model.training.open_options();
        return Ok(open_bags_like(data, dir, &model.preprocessing, &options, true)?.data);
    }
    Ok(open_test_like(data, dir, &model.preprocessing, &model.training.open_options())?)
}

/// Refuses rows whose targets are of another kind than those that the model predicts.
fn check_task(model: &SavedModel, data: &ArrayDataset, source: &str) -> Result<(), Failure> {
    if task_of(data) == model.task() { Ok(()) } else { Err(unjudgeable(model, source)) }
}

fn unjudgeable(model: &SavedModel, source: &str) -> Failure {
    let targets = match model.task() {
        Task::Classify => "classes",
        Task::Regress => "numbers",
    };
    Failure::usage(format!("{source}: the rows have no {targets} to judge by"))
}

fn table_of_classes(found: &Evaluation, gives_probabilities: bool) -> Table {
    let mut table = Table::new("", ["figure", "value"]);
    let mut add = |name: &str, value: f64| table.push([name.to_string(), format!("{value:.4}")]);
    add("accuracy", found.accuracy);
    add("macro-F1", found.macro_f1);
    if gives_probabilities {
        add("log-loss", found.log_loss);
        add("Brier score", found.brier);
        add("calibration error", found.calibration_error);
    }
    table
}

/// One row a target and, where there are several, one with the means over them.
fn table_of_values(found: &RegressionEvaluation) -> Table {
    let mut table = Table::new("", ["target", "RMSE", "MAE", "R2"]);
    let share = |r2: Option<f64>| r2.map_or_else(|| "-".to_string(), |r2| format!("{r2:.4}"));
    for target in &found.targets {
        table.push([target.name.clone(), figure(target.rmse), figure(target.mae), share(target.r2)]);
    }
    if found.targets.len() > 1 {
        table.push(["mean".into(), figure(found.rmse), figure(found.mae), share(found.r2)]);
    }
    table
}

/// Predicted against true numbers; several targets are drawn on the scale of the training rows, so that they fit into one
/// picture.
fn agreement(predicted: &[Vec<f64>], data: &ArrayDataset, targets: &TargetEncoding) -> Plot {
    const MOST_POINTS: usize = 2000;
    let names = data.class_names();
    let on_scale = |mut rows: Vec<Vec<f64>>| {
        for row in rows.iter_mut().filter(|_| names.len() > 1) {
            let mut values: Vec<f32> = row.iter().map(|&value| value as f32).collect();
            targets.standardise(&mut values);
            *row = values.into_iter().map(f64::from).collect();
        }
        rows
    };
    let (predicted, truth) = (on_scale(predicted.to_vec()), on_scale(true_values(data)));
    let all = || predicted.iter().chain(&truth).flatten().copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let unit = if names.len() > 1 { ", in standard deviations of the training rows" } else { "" };
    let axis = |what: &str| if names.len() > 1 { what.to_string() } else { format!("{what} {}", names[0]) };
    let mut plot = Plot::scatter(format!("Predicted against true{unit}"), axis("true"), axis("predicted"));
    let stride = data.len().div_ceil(MOST_POINTS).max(1);
    for (target, name) in names.iter().enumerate() {
        let points = truth.iter().zip(&predicted).step_by(stride).map(|(truth, found)| (truth[target], found[target]));
        plot = plot.series(Series::new(name).points(points));
    }
    const DIAGONAL: usize = 60;
    let diagonal = (0..=DIAGONAL).map(|step| low + (high - low) * step as f64 / DIAGONAL as f64);
    plot.series(Series::new("predicted = true").points(diagonal.map(|value| (value, value))))
}

fn confusion(evaluation: &Evaluation, names: &[String]) -> Plot {
    let values = evaluation.confusion.iter().map(|row| row.iter().map(|count| *count as f64).collect()).collect();
    let heat = HeatMap { rows: names.to_vec(), columns: names.to_vec(), values };
    Plot::heat_map("Confusion matrix", "predicted", "true", heat)
}
