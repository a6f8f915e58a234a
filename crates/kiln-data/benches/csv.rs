//! Reading a CSV file of 1,000,000 rows by 20 columns.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use divan::Bencher;
use kiln_data::delimited::{self, DelimitedOptions};

const ROWS: usize = 1_000_000;
const COLUMNS: usize = 20;

fn main() {
    divan::main();
}

/// Numbers with six decimals and a last column of ten classes.
fn generate(path: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("x{column}")).collect();
    writeln!(file, "{}", names.join(","))?;
    let mut state = 1_u64;
    let mut line = String::new();
    for _ in 0..ROWS {
        line.clear();
        for _ in 1..COLUMNS {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let value = (state >> 40) as f64 / (1 << 20) as f64 - 8.0;
            let _ = write!(line, "{value:.6},");
        }
        writeln!(file, "{line}{}", state >> 60)?;
    }
    file.flush()
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn csv(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("table.csv");
    generate(&path).expect("room for 200 MB");
    bencher.bench_local(|| delimited::read(&path, DelimitedOptions::default()).expect("a table"));
}
