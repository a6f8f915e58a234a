//! Reads a CSV file of 1 million rows by 20 columns: what `peers/data/csv_read.py` does.

use std::path::PathBuf;

use kiln::data::delimited::{self, DelimitedOptions};
use kiln::data::{Cells, DataDir, OpenOptions, Splits, open};
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock};

/// The cases: `frame` stops at the columns, `array` goes on to the data set that a training takes.
pub fn bench() -> Bench {
    Bench::new("data/csv_read", values)
        .case("frame", 1, || {
            Ok(move || {
                let mut table = None;
                let duration = clock(|| table = Some(delimited::read(&file(), DelimitedOptions::default())));
                table.transpose()?;
                Ok(duration)
            })
        })
        .case("array", 1, || {
            Ok(move || {
                let mut splits = None;
                let duration = clock(|| splits = Some(read_splits()));
                splits.transpose()?;
                Ok(duration)
            })
        })
}

/// f32 rows, labels and splits, but no standardisation, as in the script.
fn read_splits() -> Outcome<Splits> {
    let options = OpenOptions { standardise: false, ..OpenOptions::default() };
    let path = file();
    let source = path.to_str().ok_or("the temporary folder has a name that is not text")?;
    Ok(open(source, &DataDir::find(None), &options)?)
}

/// Where `peers/compare.py` has it written.
fn file() -> PathBuf {
    std::env::temp_dir().join("kiln-peer-1000000x20.csv")
}

fn values() -> Outcome<Value> {
    let table = delimited::read(&file(), DelimitedOptions::default())?;
    let sums: Vec<f64> = table.columns.iter().map(|column| sum(&column.cells)).collect();
    Ok(json!({ "rows": table.rows, "columns": table.columns.len(), "sums": sums }))
}

fn sum(cells: &Cells) -> f64 {
    match cells {
        Cells::Numbers(numbers) => numbers.iter().map(|&number| f64::from(number)).sum(),
        Cells::Text { .. } => f64::NAN,
    }
}
