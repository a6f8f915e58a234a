//! `kiln predict`: classes or numbers of new rows, next words of the lines of a text.

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use kiln_data::{Task, catalogue, open_inputs_like, open_lines_like};
use kiln_lab::train::{SavedModel, likeliest_words, predict_probabilities, predict_scores, predict_values};
use kiln_lab::{device, write_whole};
use kiln_nn::Network;
use serde_json::{Map, Value, json};

use super::evaluate::{ModelArgs, test_rows};
use super::images::{self, PictureOutput};
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::inputs::Inputs;
use crate::output::{self, quoted};

/// Which model, for what.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiln train --data data/tabular/wine.csv && kiln predict train data/tabular/wine.csv\n  \
                        kiln train --data digits --epochs 5 && kiln predict train digits --format jsonl --to digits.jsonl\n  \
                        kiln train --data linnerud --epochs 50 && kiln predict train linnerud\n  \
                        kiln train --data data/text/austen-persuasion.txt --epochs 3 && kiln predict train \
                        data/text/austen-persuasion.txt --top 3\n  \
                        kiln train --task autoencode --data digits --epochs 3 && kiln predict train digits --to pictures"
)]
pub struct PredictArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// A file or folder of your own (all rows are used), or the name of a data set (its test rows are used); for a language
    /// model a file of text, each line of which is continued; for a model that gives pictures, files or folders of pictures
    #[arg(value_name = "DATA", required = true)]
    data: Vec<String>,
    /// Of an autoencoder: write the codes of the pictures, one line each, instead of pictures
    #[arg(long)]
    codes: bool,
    /// Of a language model: how many of the likeliest next words are listed [default: 5]
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    /// File to write [default: the standard output]; of a model that gives pictures, the folder for them. What is read is not
    /// written over
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

impl PredictArgs {
    /// Refuses what only models that give pictures take, and to write over the rows.
    fn check_rows(&self, global: &Global) -> Result<(), Failure> {
        if self.codes {
            return Err(Failure::usage("--codes: the model is no autoencoder; leave it out"));
        }
        if let [_, second, ..] = &self.data[..] {
            return Err(Failure::usage(format!("{second}: one file or folder at a time")));
        }
        match &self.to {
            Some(file) => Inputs::new(Inputs::of_source(self.source(), &global.data())).refuse(file),
            None => Ok(()),
        }
    }

    /// The one source of rows.
    fn source(&self) -> &str {
        self.data.first().map_or("", String::as_str)
    }
}

fn not_a_language_model(top: usize) -> Failure {
    Failure::usage(format!("--top {top}: the model is no language model; leave it out"))
}

/// Writes one line a row: the likeliest class, then the probability, or the score, of every class; or the numbers; or the
/// likeliest next words, each with its probability or score.
pub fn run(args: PredictArgs, global: &Global) -> CommandResult {
    let device = device::parse(&args.device)?;
    let (model, network) = SavedModel::load(&args.model.path()?, &device)?;
    let as_csv = args.format == Format::Csv && !global.json;
    if model.image_task().is_some() {
        if let Some(top) = args.top {
            return Err(not_a_language_model(top));
        }
        let asked = PictureOutput { sources: &args.data, to: args.to.as_ref(), codes: args.codes, as_csv };
        return images::predict(&model, &network, &asked, global, &device);
    }
    args.check_rows(global)?;
    let text = if model.reads_text() {
        next_words(&args, &model, &network, as_csv, global, &device)?
    } else {
        of_rows(&args, &model, &network, as_csv, global, &device)?
    };
    match &args.to {
        Some(path) => write_whole(path, text.as_bytes())?,
        None => output::print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn of_rows(
    args: &PredictArgs,
    model: &SavedModel,
    network: &Network,
    as_csv: bool,
    global: &Global,
    device: &Device,
) -> Result<String, Failure> {
    if let Some(top) = args.top {
        return Err(not_a_language_model(top));
    }
    let rows = match catalogue::find(args.source()) {
        Some(_) => test_rows(model, args.source(), &global.data())?,
        None => open_inputs_like(args.source(), &global.data(), &model.preprocessing)?,
    };
    let names = model.preprocessing.class_names();
    if model.task() == Task::Regress {
        let values = predict_values(network, &rows, &model.preprocessing.targets, device);
        return Ok(if as_csv { values_csv(names, &values) } else { values_jsonl(names, &values) });
    }
    let (kind, figures) = if model.gives_probabilities() {
        (PROBABILITY, predict_probabilities(network, &rows, device))
    } else {
        (SCORE, predict_scores(network, &rows, device))
    };
    Ok(if as_csv { csv(kind, names, &figures) } else { jsonl(kind, names, &figures) })
}

const PROBABILITY: &str = "probability";
const SCORE: &str = "score";

/// The likeliest next words of every line that has words.
fn next_words(
    args: &PredictArgs,
    model: &SavedModel,
    network: &Network,
    as_csv: bool,
    global: &Global,
    device: &Device,
) -> Result<String, Failure> {
    const TOP: usize = 5;
    let names = model.preprocessing.class_names();
    let top = args.top.unwrap_or(TOP.min(names.len()));
    if !(1..=names.len()).contains(&top) {
        return Err(Failure::usage(format!(
            "--top {top}: at least 1 and at most the {} words of the model",
            names.len()
        )));
    }
    let lines = open_lines_like(args.source(), &global.data(), &model.preprocessing)?;
    let sure = model.gives_probabilities();
    let best = likeliest_words(network, &lines.rows, top, sure, device)?;
    let kind = if sure { PROBABILITY } else { SCORE };
    let words = lines.numbers.iter().zip(&best);
    Ok(if as_csv { words_csv(kind, names, words, top) } else { words_jsonl(kind, names, words) })
}

fn words_csv<'a>(
    kind: &str,
    names: &[String],
    lines: impl Iterator<Item = (&'a usize, &'a Vec<(usize, f64)>)>,
    top: usize,
) -> String {
    let heading: Vec<String> = (1..=top).map(|place| format!(",word {place},{kind} {place}")).collect();
    let mut text = format!("line{}\n", heading.concat());
    for (number, words) in lines {
        let cells = words.iter().map(|(word, figure)| format!(",{},{figure:.6}", quoted(&names[*word])));
        text += &format!("{number}{}\n", cells.collect::<String>());
    }
    text
}

fn words_jsonl<'a>(
    kind: &str,
    names: &[String],
    lines: impl Iterator<Item = (&'a usize, &'a Vec<(usize, f64)>)>,
) -> String {
    let mut text = String::new();
    for (number, words) in lines {
        let next: Vec<Value> =
            words.iter().map(|(word, figure)| json!({ "word": names[*word], kind: figure })).collect();
        text += &format!("{}\n", json!({ "line": number, "next": next }));
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_list_the_likeliest_words() {
        let names = ["the".to_string(), "don't".to_string(), ",".to_string()];
        let (numbers, best) = ([1, 4], [vec![(1, 0.5), (0, 0.25)], vec![(2, 1.0), (1, 0.0)]]);
        let text = words_csv("probability", &names, numbers.iter().zip(&best), 2);
        let expected = "line,word 1,probability 1,word 2,probability 2\n\
                        1,don't,0.500000,the,0.250000\n4,\",\",1.000000,don't,0.000000\n";
        assert_eq!(text, expected);
        let text = words_jsonl("score", &names, numbers.iter().zip(&best));
        let line: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert_eq!(
            (&line["line"], &line["next"][0]["word"], &line["next"][0]["score"]),
            (&json!(4), &json!(","), &json!(1.0))
        );
    }

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
