//! Flags that say how data is read.

use kiln_data::{OpenOptions, Task, text::Unit};
use serde::{Deserialize, Serialize};

/// How rows are read, for every command that opens some to learn from or to look at.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
pub struct ReadingArgs {
    /// Whether the target is a class or a number [default: text, and whole numbers of at most 20 values, are classes]
    #[arg(long, value_name = "TASK", value_parser = task)]
    pub task: Option<Task>,
    /// Columns and pictures.
    #[command(flatten)]
    #[serde(flatten)]
    pub rows: RowArgs,
}

/// Which columns of a table are read, and how pictures are.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
pub struct RowArgs {
    /// Column to predict, or several joined by commas for numbers [default: the last one]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Columns that are left out, joined by commas
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Height and width to which picture files are resized, as in 32x32
    #[arg(long, value_name = "HxW", value_parser = image_size)]
    pub image_size: Option<(usize, usize)>,
    /// The first line of a table is a row, not the names of the columns
    #[arg(long)]
    pub no_header: bool,
}

impl ReadingArgs {
    /// The same for the library.
    pub fn options(&self) -> OpenOptions {
        let rows = self.rows.clone();
        OpenOptions {
            target: rows.target,
            task: self.task,
            ignore: rows.ignore,
            image_size: rows.image_size,
            header: rows.no_header.then_some(false),
            ..OpenOptions::default()
        }
    }
}

/// A class or a number.
pub fn task(text: &str) -> Result<Task, String> {
    match text {
        "classify" => Ok(Task::Classify),
        "regress" => Ok(Task::Regress),
        _ => Err("classify or regress is needed".into()),
    }
}

/// Words or bytes.
pub fn unit(text: &str) -> Result<Unit, String> {
    match text {
        "words" => Ok(Unit::Words),
        "bytes" => Ok(Unit::Bytes),
        _ => Err("words or bytes is needed".into()),
    }
}

/// Height and width from text such as `32x32`.
pub fn image_size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(height, width)| Some((height.parse().ok()?, width.parse().ok()?)));
    sides.ok_or_else(|| "height and width joined by x are needed, as in 32x32".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!(image_size("28x32"), Ok((28, 32)));
        for wrong in ["28", "x", "28x", "28X32", "-1x3", "a x b"] {
            assert!(image_size(wrong).is_err(), "{wrong}");
        }
    }
}
