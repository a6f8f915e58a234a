//! Every reader against arbitrary bytes, cut files and round trips.

use std::io::Write;
use std::path::{Path, PathBuf};

use kiln_data::delimited::{self, DelimitedOptions};
use kiln_data::{ArrayKind, Cells, DataDir, DataError, OpenOptions, cifar, idx, image_folder, numpy, open, tensors};
use proptest::prelude::*;

fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read_csv(text: &[u8]) -> Result<kiln_data::Table, DataError> {
    let (_folder, path) = write("table.csv", text);
    delimited::read(&path, DelimitedOptions::default())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A source as `kiln train --data` would open it.
fn open_file(path: &Path) -> Result<kiln_data::Splits, DataError> {
    open(&path.display().to_string(), &DataDir::find(Some(Path::new("."))), &OpenOptions::default())
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        // Text that looks like a table most of the time.
        prop::collection::vec(prop::sample::select(b"0123456789.,;-e\"\n\r ab?\xff".to_vec()), 0..400),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in any_bytes()) {
        let path = Path::new("bytes");
        let _ = idx::parse(path, &bytes);
        let _ = cifar::parse(path, &bytes);
        let _ = numpy::parse(path, &bytes);
        let _ = numpy::parse_archive(path, &bytes);
        let _ = tensors::parse(path, &bytes);
        let _ = image_folder::decode(path, &bytes, None);
        for name in ["a.csv", "a.tsv", "a.parquet", "a.npy", "a.npz", "a.safetensors", "a.bin", "a-images-idx3-ubyte"] {
            let (_folder, path) = write(name, &bytes);
            let _ = open_file(&path);
        }
    }

    #[test]
    fn arbitrary_bytes_behind_a_right_beginning_never_panic(bytes in any_bytes()) {
        let path = Path::new("bytes");
        let _ = idx::parse(path, &[&[0, 0, 8, 3], bytes.as_slice()].concat());
        let _ = numpy::parse(path, &[b"\x93NUMPY\x01\x00\x40\x00".as_slice(), &bytes].concat());
        let _ = numpy::parse_archive(path, &[b"PK\x03\x04".as_slice(), &bytes].concat());
        let _ = tensors::parse(path, &[&(bytes.len() as u64 / 2).to_le_bytes(), bytes.as_slice()].concat());
        let _ = image_folder::decode(path, &[b"\x89PNG\r\n\x1a\n".as_slice(), &bytes].concat(), None);
        let (_folder, path) = write("a.parquet", &[b"PAR1", bytes.as_slice(), b"PAR1"].concat());
        let _ = open_file(&path);
        let (_folder, path) = write("a.csv.gz", &[b"\x1f\x8b\x08\x00", bytes.as_slice()].concat());
        let _ = open_file(&path);
    }

    #[test]
    fn an_idx_file_comes_back_and_no_part_of_it_is_accepted(
        rows in 1_usize..5, height in 1_usize..5, width in 1_usize..5, seed in any::<u8>(), zipped in any::<bool>(),
    ) {
        let pixels: Vec<u8> = (0..rows * height * width).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let mut bytes = vec![0, 0, 8, 3];
        for length in [rows, height, width] {
            bytes.extend((length as u32).to_be_bytes());
        }
        bytes.extend(&pixels);
        let file = if zipped { gzip(&bytes) } else { bytes.clone() };
        let (_folder, path) = write("images-idx3-ubyte", &file);
        let array = idx::read(&path).unwrap();
        prop_assert_eq!(&array.shape, &[rows, height, width]);
        prop_assert_eq!(array.kind, ArrayKind::Bytes);
        prop_assert!(array.values.iter().zip(&pixels).all(|(&value, &pixel)| value == f32::from(pixel)));
        for length in 0..bytes.len() {
            prop_assert!(idx::parse(&path, &bytes[..length]).is_err());
        }
        let cut = file.len() * 2 / 3;
        std::fs::write(&path, &file[..cut]).unwrap();
        prop_assert!(idx::read(&path).is_err());
    }

    #[test]
    fn a_table_of_numbers_comes_back(
        rows in prop::collection::vec(prop::collection::vec(-1e6_f32..1e6, 3), 1..40), missing in any::<bool>(),
    ) {
        let mut text = String::from("a,b,\"c d\"\n");
        for row in &rows {
            let b = if missing { String::new() } else { row[1].to_string() };
            text.push_str(&format!("{},{b}, {} \r\n", row[0], row[2]));
        }
        for file in [text.clone().into_bytes(), gzip(text.as_bytes())] {
            let table = read_csv(&file).unwrap();
            prop_assert_eq!(table.rows, rows.len());
            prop_assert_eq!(table.columns[2].name.as_str(), "c d");
            for (column, at) in table.columns.iter().zip(0..) {
                let Cells::Numbers(values) = &column.cells else { panic!("numbers read as text") };
                for (value, row) in values.iter().zip(&rows) {
                    let same = if missing && at == 1 { value.is_nan() } else { *value == row[at] };
                    prop_assert!(same);
                }
            }
        }
    }

    #[test]
    fn text_cells_come_back_whatever_they_hold(cells in prop::collection::vec("[a-z ,\"\n\u{e9}]{1,8}x", 1..20)) {
        let mut text = String::from("n,t\n");
        for (row, cell) in cells.iter().enumerate() {
            text.push_str(&format!("{row},\"{}\"\n", cell.replace('"', "\"\"")));
        }
        let table = read_csv(text.as_bytes()).unwrap();
        let Cells::Text { codes, levels } = &table.columns[1].cells else { panic!("text read as numbers") };
        prop_assert!(levels.is_sorted());
        for (cell, &code) in cells.iter().zip(codes) {
            prop_assert_eq!(cell.trim(), &levels[code as usize]);
        }
    }

    #[test]
    fn a_row_with_another_number_of_cells_is_refused_with_its_line(rows in 1_usize..30, at in 0_usize..30, more in any::<bool>()) {
        let at = at % rows;
        let lines = (0..rows).map(|row| if row == at { if more { "1,2,3,4" } else { "1,2" } } else { "1,2,3" });
        let text = format!("a,b,c\n{}\n", lines.collect::<Vec<_>>().join("\n"));
        let message = read_csv(text.as_bytes()).unwrap_err().to_string();
        let cells = if more { 4 } else { 2 };
        prop_assert!(message.ends_with(&format!("line {}: found {cells} cells, expected 3 as in the first line", at + 2)), "{}", message);
    }
}

#[test]
fn what_a_table_may_not_hold_is_refused_with_its_place() {
    let refused = |text: &str, part: &str| {
        let message = read_csv(text.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    refused("", "an empty file");
    refused("a,b\n", "no rows");
    refused("a,a\n1,2\n", "two columns `a`");
    refused("a,b\n1,inf\n", "line 2, column b: found `inf`, expected a finite number");
    refused("a,b\n1,1e99\n", "line 2, column b: found `1e99`");
    refused("a,b\n1,\"2\n", "line 2, column b");
    refused("a,b\n1,\"2\"3\n", "a separator after the closing quote");
    let message = read_csv(b"a,b\nx,\xff\n").unwrap_err().to_string();
    assert!(message.contains("line 2, column b") && message.contains("UTF-8"), "{message}");
}

#[test]
fn text_below_many_numbers_makes_the_column_text() {
    let mut text = String::from("a,b\n");
    (0..5000).for_each(|row| text.push_str(&format!("{row},{row}\n")));
    text.push_str("1,none of these\n");
    let table = read_csv(text.as_bytes()).unwrap();
    assert!(matches!(table.columns[0].cells, Cells::Numbers(_)));
    assert!(matches!(&table.columns[1].cells, Cells::Text { levels, .. } if levels.len() == 5001));
}

#[test]
fn a_quote_inside_a_cell_is_a_letter_and_quoted_line_ends_stay_whole() {
    // Larger than a block, so that the reader has to find the ends of records by itself.
    let row = |row: usize| match row {
        0 => "5\" pipe".to_string(),
        _ if row.is_multiple_of(3) => "\"two\nlines, \"\"quoted\"\"\"".to_string(),
        _ => "6\" pipe".to_string(),
    };
    let rows = 150_000;
    let mut text = String::from("what,count\n");
    (0..rows).for_each(|at| text.push_str(&format!("{},{at}\n", row(at))));
    let table = read_csv(text.as_bytes()).unwrap();
    let Cells::Text { levels, codes } = &table.columns[0].cells else { panic!("a column of text") };
    assert_eq!(codes.len(), rows);
    assert_eq!(levels.len(), 3, "{levels:?}");
    assert!(levels.iter().any(|level| level == "two\nlines, \"quoted\""), "{levels:?}");
}

#[test]
fn separators_and_headers_are_found() {
    let names = |text: &str| read_csv(text.as_bytes()).unwrap().columns.into_iter().map(|c| c.name).collect::<Vec<_>>();
    assert_eq!(names("a;b\n1,5;2\n"), ["a", "b"]);
    assert_eq!(names("a\tb\n1\t2\n"), ["a", "b"]);
    assert_eq!(names("5.1,3.5,setosa\n4.9,3.0,setosa\n"), ["column1", "column2", "column3"]);
    assert_eq!(names("\u{feff}x,y\n\n1,2\n"), ["x", "y"]);
    assert_eq!(names(",x\n0,2\n"), ["column1", "x"]);
}

#[test]
fn blocks_of_many_lines_keep_their_order() {
    let mut text = String::from("a,b,c\n");
    for row in 0..400_000 {
        text.push_str(&format!("{row},{},{}\n", row * 2, ["x", "y", "z"][row % 3]));
    }
    let table = read_csv(text.as_bytes()).unwrap();
    assert_eq!(table.rows, 400_000);
    let (Cells::Numbers(a), Cells::Text { codes, levels }) = (&table.columns[0].cells, &table.columns[2].cells) else {
        panic!("wrong kinds")
    };
    assert!(a.iter().enumerate().all(|(row, &value)| value == row as f32));
    assert_eq!(levels, &["x", "y", "z"]);
    assert!(codes.iter().enumerate().all(|(row, &code)| code as usize == row % 3));
    let text = text.replace("399999,", "399999,1,");
    let message = read_csv(text.as_bytes()).unwrap_err().to_string();
    assert!(message.contains("line 400001: found 4 cells"), "{message}");
}
