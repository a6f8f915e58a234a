//! `kiln noisy-labels`: the rows whose labels look wrong.

use std::process::ExitCode;

use kiln_data::{ArrayDataset, OpenOptions, SplitOptions, open};
use kiln_lab::train::{FitSettings, MODELS, OPTIMIZERS, Schedule, Selector, fit, predict_logits};
use kiln_lab::{JobContext, LabError, Table};
use kiln_loss::ldr::{AldrKl, AldrKlConfig};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::{print, print_line};
use crate::reading::ReadingArgs;

/// Whose labels to look at. A network learns the training rows with the adaptive robust loss ALDR-KL, which lets go of labels
/// that contradict the rest; data without a split of its own is learnt whole.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
#[command(after_help = "Examples:\n  kiln noisy-labels data/tabular/wine.csv\n  \
                        kiln noisy-labels my.csv --target kind --rows 50 --json")]
pub struct NoisyLabelsArgs {
    /// Name of a data set, or a file or folder of your own
    #[arg(value_name = "DATA")]
    data: String,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Rows that are listed, from the most suspicious on
    #[arg(long, value_name = "N", default_value_t = 20)]
    rows: usize,
    /// Network, as NAME or NAME:key=value,...
    #[arg(long, value_name = "MODEL", default_value = "mlp")]
    model: Selector,
    /// Largest temperature of the loss: larger values believe less in single labels
    #[arg(long, value_name = "LAMBDA", default_value_t = 1.0)]
    lambda0: f64,
    /// Passes over the rows
    #[arg(long, value_name = "N", default_value_t = 30)]
    epochs: usize,
    /// Learning rate of SGD with momentum, which falls along a cosine
    #[arg(long, value_name = "RATE", default_value_t = 0.03)]
    lr: f64,
    /// Decides weights and order of the rows
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// A row and what speaks against its label.
struct Suspect {
    row: usize,
    probability: f64,
    predicted: usize,
    temperature: f32,
}

/// Trains and lists.
pub fn run(args: NoisyLabelsArgs, global: &Global) -> CommandResult {
    for (flag, valid, value) in [
        ("rows", args.rows >= 1, args.rows as f64),
        ("epochs", args.epochs >= 1, args.epochs as f64),
        ("lr", args.lr > 0.0 && args.lr.is_finite(), args.lr),
    ] {
        if !valid {
            return Err(LabError::setting(flag, value, "above 0").into());
        }
    }
    let loss = AldrKlConfig::paper().with_lambda0(args.lambda0).init();
    let loss = loss.map_err(|error| Failure::usage(format!("--lambda0: {error}")))?;
    // Nothing is held back where the data has no split of its own.
    let split = SplitOptions { test: 0.0, validation: 0.0, ..SplitOptions::default() };
    let splits = open(&args.data, &global.data(), &OpenOptions { split, ..args.reading.options() })?;
    splits.notes.iter().for_each(|note| eprintln!("{note}"));
    if !splits.train.is_classification() {
        return Err(Failure::usage(format!("{}: the target is a number, and only classes can be wrong", args.data)));
    }
    let suspects = suspects(&args, &splits.train, &loss)?;
    show(&args, &splits.train, &suspects[..args.rows.min(suspects.len())], global)
}

/// All rows, the least probable labels first.
fn suspects(args: &NoisyLabelsArgs, data: &ArrayDataset, loss: &AldrKl) -> Result<Vec<Suspect>, Failure> {
    let context = JobContext::detached(burn::tensor::Device::default());
    let device = context.device();
    let network = MODELS
        .build(&args.model)?
        .init_seeded(data.input_shape(), data.num_classes(), args.seed, &device)
        .map_err(|error| Failure::usage(format!("--model {}: {error}", args.model)))?;
    let optimizer = OPTIMIZERS.build(&Selector::named("sgdm").with("weight-decay", 1e-3))?;
    let settings = FitSettings {
        epochs: args.epochs,
        batch_size: 64,
        learning_rate: args.lr,
        schedule: Schedule::Cosine { warmup: 0.0 },
        seed: args.seed,
    };
    let fitted = fit(network, data, None, loss, optimizer, &settings, &context)?;
    let logits = predict_logits(&fitted.network, data, &device);
    let predicted = logits.clone().argmax(1).into_data();
    let surprise = loss.surprise(logits, data.all(&device).1).into_data();
    let remembered = loss.remembered();
    let of_row = |(row, (surprise, predicted)): (usize, (f64, i64))| Suspect {
        row,
        probability: (-surprise).exp(),
        predicted: predicted as usize,
        temperature: remembered.temperatures()[row],
    };
    let rows = surprise.iter::<f64>().zip(predicted.iter::<i64>()).enumerate();
    let mut suspects: Vec<Suspect> = rows.map(of_row).collect();
    suspects.sort_by(|a, b| a.probability.total_cmp(&b.probability).then(a.row.cmp(&b.row)));
    Ok(suspects)
}

fn show(args: &NoisyLabelsArgs, data: &ArrayDataset, suspects: &[Suspect], global: &Global) -> CommandResult {
    let names = data.class_names();
    if global.json {
        let rows: Vec<Value> = suspects
            .iter()
            .map(|suspect| {
                json!({ "row": suspect.row + 1, "label": names[data.label(suspect.row)],
                        "predicted": names[suspect.predicted], "probability": suspect.probability,
                        "temperature": suspect.temperature })
            })
            .collect();
        print_line(&json!({ "name": args.data, "rows": data.len(), "suspects": rows }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new("Suspicious labels", ["row", "label", "predicted", "share of the label", "temperature"]);
    for suspect in suspects {
        table.push([
            (suspect.row + 1).to_string(),
            names[data.label(suspect.row)].clone(),
            names[suspect.predicted].clone(),
            format!("{:.4}", suspect.probability),
            format!("{:.4}", suspect.temperature),
        ]);
    }
    print(&format!("{}: {} of {} training rows, counted from 1\n", args.data, suspects.len(), data.len()))?;
    print_line(&table.terminal())?;
    Ok(ExitCode::SUCCESS)
}
