//! `kiln predict`: classes or numbers of new rows.

use std::path::PathBuf;
use std::process::ExitCode;

use kiln_data::{Task, catalogue, open_inputs_like};
use kiln_lab::train::{SavedModel, predict_probabilities, predict_scores, predict_values};
use kiln_lab::{device, write_whole};
use serde_json::{Map, Value, json};

use super::evaluate::{ModelArgs, test_rows};
use crate::cli::Global;
use crate::failure::CommandResult;
use crate::output;

/// Which model, for what.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiln train --data data/tabular/wine.csv && kiln predict train data/tabular/wine.csv\n  \
                        kiln train --data digits --epochs 5 && kiln predict train digits --format jsonl --to digits.jsonl\n  \
                        kiln train --data linnerud --epochs 50 && kiln predict train linnerud"
)]
pub struct PredictArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// A file or folder of your own (all rows are used), or the name of a data set (its test rows are used)
    #[arg(value_name = "DATA")]
    data: String,
    /// File to write [default: the standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// One line a row with columns, or one JSON object a row
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: Format,
    /// Device to compute on
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

/// Writes one line a row: the likeliest class, then the probability, or the score, of every class; or the numbers.
pub fn run(args: PredictArgs, global: &Global) -> CommandResult {
    let device = device::parse(&args.device)?;
    let (model, network) = SavedModel::load(&args.model.path()?, &device)?;
    let rows = match catalogue::find(&args.data) {
        Some(_) => test_rows(&model, &args.data, &global.data())?,
        None => open_inputs_like(&args.data, &global.data(), &model.preprocessing)?,
    };
    let names = model.preprocessing.class_names();
    let as_csv = args.format == Format::Csv && !global.json;
    let text = if model.task() == Task::Regress {
        let values = predict_values(&network, &rows, &model.preprocessing.targets, &device);
        if as_csv { values_csv(names, &values) } else { values_jsonl(names, &values) }
    } else {
        let (kind, figures) = if model.gives_probabilities() {
            ("probability", predict_probabilities(&network, &rows, &device))
        } else {
            ("score", predict_scores(&network, &rows, &device))
        };
        if as_csv { csv(kind, names, &figures) } else { jsonl(kind, names, &figures) }
    };
    match &args.to {
        Some(path) => write_whole(path, text.as_bytes())?,
        None => output::print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn csv(kind: &str, names: &[String], figures: &[Vec<f64>]) -> String {
    let heading: Vec<String> = names.iter().map(|name| quoted(&format!("{kind} {name}"))).collect();
    let mut text = format!("class,{}\n", heading.join(","));
    for row in figures {
        let cells: Vec<String> = row.iter().map(|figure| format!("{figure:.6}")).collect();
        text += &format!("{},{}\n", quoted(&names[likeliest(row)]), cells.join(","));
    }
    text
}

fn jsonl(kind: &str, names: &[String], figures: &[Vec<f64>]) -> String {
    let mut text = String::new();
    for row in figures {
        let each: Map<String, Value> = names.iter().cloned().zip(row.iter().map(|figure| json!(figure))).collect();
        text += &json!({ "class": names[likeliest(row)], kind: each }).to_string();
        text.push('\n');
    }
    text
}

fn values_csv(names: &[String], values: &[Vec<f64>]) -> String {
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let heading = line(names.iter().map(|name| quoted(name)).collect());
    // The shortest text that reads back as the network's single-precision number, whatever the units of the target are.
    let rows = values.iter().map(|row| line(row.iter().map(|value| (*value as f32).to_string()).collect()));
    std::iter::once(heading).chain(rows).collect()
}

fn values_jsonl(names: &[String], values: &[Vec<f64>]) -> String {
    let object = |row: &Vec<f64>| -> Map<String, Value> {
        names.iter().cloned().zip(row.iter().map(|value| json!(value))).collect()
    };
    values.iter().map(|row| format!("{}\n", Value::Object(object(row)))).collect()
}

fn likeliest(row: &[f64]) -> usize {
    row.iter().enumerate().fold(0, |best, (class, figure)| if *figure > row[best] { class } else { best })
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_likeliest_class() {
        let names = ["no".to_string(), "yes, \"sure\"".to_string()];
        let text = csv("probability", &names, &[vec![0.25, 0.75]]);
        let expected =
            "class,probability no,\"probability yes, \"\"sure\"\"\"\n\"yes, \"\"sure\"\"\",0.250000,0.750000\n";
        assert_eq!(text, expected);
        let line: Value = serde_json::from_str(&jsonl("score", &names, &[vec![2.0, -1.0]])).unwrap();
        assert_eq!(line["class"], "no");
        assert_eq!(line["score"]["no"], 2.0);
    }
}
