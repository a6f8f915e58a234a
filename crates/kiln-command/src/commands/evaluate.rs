//! `kiln evaluate`: how good a trained model is.

use std::path::PathBuf;
use std::process::ExitCode;

use kiln_data::{ArrayDataset, DataDir, OpenOptions, SplitOptions, catalogue, open, open_like};
use kiln_lab::plot::{HeatMap, Plot};
use kiln_lab::train::{Evaluation, SavedModel, predict_probabilities};
use kiln_lab::{LabError, Table, device, store};

use crate::cli::Global;
use crate::failure::{CommandResult, Failure};

/// Which model, on what.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln train --data digits --epochs 5 && kiln evaluate train digits\n  \
                        kiln train --data data/tabular/wine.csv && kiln evaluate train data/tabular/wine.csv --json")]
pub struct EvaluateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Name of a data set (its test rows are used), or a file or folder of your own (all rows are used)
    #[arg(value_name = "DATA")]
    data: String,
    /// Where the picture of the confusion matrix goes, as SVG and PNG [default: the model's folder]
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Device to compute on
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
}

/// Which trained model.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// Folder of a trained model or its model.toml, or the name of a run; `train` is the newest training
    #[arg(value_name = "MODEL")]
    model: String,
    /// Folder with the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

impl ModelArgs {
    /// Folder of the model, or its description.
    pub fn path(&self) -> Result<PathBuf, LabError> {
        let path = PathBuf::from(&self.model);
        if path.exists() { Ok(path) } else { store::find(&self.out, &self.model) }
    }
}

/// Prints the figures and draws the confusion matrix.
pub fn run(args: EvaluateArgs, global: &Global) -> CommandResult {
    let device = device::parse(&args.device)?;
    let path = args.model.path()?;
    let (model, network) = SavedModel::load(&path, &device)?;
    let (rows, judged) = new_rows(&model, &args.data, &global.data())?;
    if !judged {
        return Err(Failure::usage(format!("{}: the rows have no classes to judge by", args.data)));
    }
    let evaluation = Evaluation::new(&predict_probabilities(&network, &rows, &device), &rows.labels());
    let picture = args.picture.unwrap_or_else(|| SavedModel::folder(&path).join("confusion.png"));
    confusion(&evaluation, rows.class_names()).write(&picture)?;
    if global.json {
        println!("{}", serde_json::to_string(&evaluation).map_err(LabError::method)?);
    } else {
        println!("{}", table(&evaluation, &model, &args.data).terminal());
        println!("confusion matrix: {}", picture.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Rows to judge the model by, and whether they have their classes: the test rows of the set that it was trained on and of
/// every known set, all rows of another file.
fn new_rows(model: &SavedModel, data: &str, dir: &DataDir) -> Result<(ArrayDataset, bool), Failure> {
    if data == model.training.data || catalogue::find(data).is_some() {
        Ok((test_rows(model, data, dir)?, true))
    } else {
        Ok(open_like(data, dir, &model.preprocessing)?)
    }
}

/// The rows of `data` that a training with the model's settings would keep for the test.
pub fn test_rows(model: &SavedModel, data: &str, dir: &DataDir) -> Result<ArrayDataset, Failure> {
    let training = &model.training;
    let split = SplitOptions {
        test: training.test,
        validation: training.validation,
        seed: training.seed,
        ..Default::default()
    };
    let target = if data == training.data { training.target.clone() } else { None };
    let splits = open(data, dir, &OpenOptions { target, split, ..Default::default() })?;
    if splits.preprocessing.input_shape() != model.preprocessing.input_shape()
        || splits.preprocessing.class_names() != model.preprocessing.class_names()
    {
        return Err(Failure::usage(format!(
            "{data} has rows of shape {:?} with {} classes, and the model takes {:?} with {}",
            splits.preprocessing.input_shape(),
            splits.preprocessing.class_names().len(),
            model.preprocessing.input_shape(),
            model.preprocessing.class_names().len(),
        )));
    }
    Ok(splits.test)
}

fn table(evaluation: &Evaluation, model: &SavedModel, data: &str) -> Table {
    let mut table =
        Table::new(format!("{} on {data}, {} rows", model.training.model, evaluation.examples), ["figure", "value"]);
    let mut add = |name: &str, value: f64| table.push([name.to_string(), format!("{value:.4}")]);
    add("accuracy", evaluation.accuracy);
    add("macro-F1", evaluation.macro_f1);
    if model.gives_probabilities() {
        add("log-loss", evaluation.log_loss);
        add("Brier score", evaluation.brier);
        add("calibration error", evaluation.calibration_error);
    }
    table
}

fn confusion(evaluation: &Evaluation, names: &[String]) -> Plot {
    let values = evaluation.confusion.iter().map(|row| row.iter().map(|count| *count as f64).collect()).collect();
    let heat = HeatMap { rows: names.to_vec(), columns: names.to_vec(), values };
    Plot::heat_map("Confusion matrix", "predicted", "true", heat)
}
