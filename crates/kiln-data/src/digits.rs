//! The 1,797 hand-written digits of the UCI repository, embedded in the library.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use crate::{ArrayDataset, DataError, Preprocessing, Targets};

/// Grey values go from 0 to 16.
const DIVISOR: f32 = 16.0;
const SHAPE: [usize; 3] = [1, 8, 8];
const TABLE: &[u8] = include_bytes!("../assets/digits8x8.csv.gz");

/// All rows, pixels scaled to `0..=1`, in the order of the source.
pub(crate) fn read() -> Result<(ArrayDataset, Preprocessing), DataError> {
    let path = Path::new("digits (embedded)");
    let mut text = String::new();
    GzDecoder::new(TABLE).read_to_string(&mut text).map_err(|source| DataError::io(path, source))?;
    let mut inputs = Vec::new();
    let mut labels = Vec::new();
    for (line, row) in text.lines().enumerate().skip(1) {
        let wrong = |cell: &str| {
            DataError::malformed(path, format!("line {}", line + 1), format!("`{cell}`"), "a number from 0 to 16")
        };
        for cell in row.split(',') {
            inputs.push(cell.parse::<f32>().map_err(|_| wrong(cell))? / DIVISOR);
        }
        let label = inputs.pop().ok_or_else(|| wrong(row))? * DIVISOR;
        labels.push(label as u32);
    }
    let names: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    let preprocessing = Preprocessing::array(&SHAPE, DIVISOR, &names);
    Ok((ArrayDataset::new(inputs, SHAPE.to_vec(), Targets::Classes { labels, names })?, preprocessing))
}
