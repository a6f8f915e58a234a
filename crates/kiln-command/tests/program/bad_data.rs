//! Files that cannot be learnt from: one error that names file and place, and nothing left behind.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

use crate::session::{Session, table};

/// IDX bytes: a magic number, dimensions, and values that need not fit them.
fn idx(magic: u32, dimensions: &[u32], values: usize) -> Vec<u8> {
    let numbers = std::iter::once(&magic).chain(dimensions).flat_map(|number| number.to_be_bytes());
    numbers.chain((0..values).map(|value| (value % 2) as u8)).collect()
}

const IMAGES: u32 = 0x803;
const LABELS: u32 = 0x801;

#[track_caller]
fn refused(session: &Session, data: &str, code: i32, expected: &[&str]) {
    let before = std::fs::read_dir(session.path()).unwrap().count();
    for line in [format!("train --epochs 1 --data {data}"), format!("data show {data}")] {
        let printed = session.kiln(&line);
        let message = printed.message();
        assert_eq!(printed.code, code, "{line}: {message}");
        for part in expected {
            assert!(message.contains(part), "{line}: `{part}` is not in: {message}");
        }
        assert!(printed.out.is_empty(), "{line} printed {}", printed.out);
    }
    assert_eq!(std::fs::read_dir(session.path()).unwrap().count(), before, "{data} left something behind");
}

#[test]
fn tables_are_refused_with_file_and_line() {
    let session = Session::new();
    session.file("ragged.csv", "a,b,y\n1,2,x\n3,4\n");
    session.file("infinite.csv", table(40).replacen("\n1,1,", "\n1,inf,", 1));
    session.file("empty.csv", "a,b,y\n");
    session.file("nothing.csv", "");
    session.file("twice.csv", "a,a,y\n1,2,p\n3,4,q\n");
    session.file("one-class.csv", table(40).replace('q', "p"));
    session.file("two-rows.csv", table(2));
    refused(&session, "missing.csv", 1, &["missing.csv: no such file or folder"]);
    refused(&session, "ragged.csv", 1, &["ragged.csv, line 3", "2 cells", "expected 3"]);
    refused(&session, "infinite.csv", 1, &["infinite.csv, line 3, column b", "`inf`", "finite number"]);
    refused(&session, "empty.csv", 1, &["empty.csv", "no rows"]);
    refused(&session, "nothing.csv", 1, &["nothing.csv", "empty file"]);
    refused(&session, "twice.csv", 1, &["twice.csv, line 1", "two columns `a`"]);
    refused(&session, "one-class.csv", 1, &["one-class.csv", "class `p`", "two classes"]);
    refused(&session, "two-rows.csv", 1, &["split is empty", "2 rows"]);
    refused(&session, "mnost", 2, &["mnost", "did you mean `mnist`?"]);
}

#[test]
fn binary_files_are_refused_with_what_they_should_hold() {
    let session = Session::new();
    let whole_labels = idx(LABELS, &[10], 10);
    session.file("short/train-images-idx3-ubyte", idx(IMAGES, &[10, 4, 4], 100));
    session.file("short/train-labels-idx1-ubyte", &whole_labels);
    session.file("magic/train-images-idx3-ubyte", idx(0x1234_5678, &[10, 4, 4], 160));
    session.file("magic/train-labels-idx1-ubyte", &whole_labels);
    session.file("fewer/train-images-idx3-ubyte", idx(IMAGES, &[10, 4, 4], 160));
    session.file("fewer/train-labels-idx1-ubyte", idx(LABELS, &[9], 9));
    session.file("cut.parquet", [b"PAR1".as_slice(), &[0; 50]].concat());
    session.file("cifar/data_batch_1.bin", [0; 3000]);
    session.file("pictures/cat/1.png", b"\x89PNG\r\n\x1a\nbroken");
    session.file("pictures/dog/1.png", b"hello");
    session.file("array.npy", b"\x93NUMPY\x01\x00v\x00bad");
    std::fs::create_dir(session.path().join("nothing")).unwrap();
    refused(&session, "short", 1, &["short/train-images-idx3-ubyte", "160"]);
    refused(&session, "short/train-images-idx3-ubyte", 1, &["short/train-images-idx3-ubyte", "160"]);
    refused(&session, "magic", 1, &["magic/train-images-idx3-ubyte"]);
    refused(&session, "fewer", 1, &["fewer/", "9", "10"]);
    refused(&session, "cut.parquet", 1, &["cut.parquet", "damaged or truncated"]);
    refused(&session, "cifar", 1, &["cifar/data_batch_1.bin", "3000 bytes", "3073"]);
    refused(&session, "pictures", 1, &["pictures/cat/1.png", "unreadable picture"]);
    refused(&session, "array.npy", 1, &["array.npy", "truncated"]);
    refused(&session, "nothing", 1, &["nothing", "expected IDX pairs"]);
}

#[test]
fn a_gzipped_file_that_ends_early_is_refused() {
    let session = Session::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(table(4000).as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    session.file("cut.csv.gz", &whole[..whole.len() / 2]);
    refused(&session, "cut.csv.gz", 1, &["cut.csv.gz"]);
}

#[test]
fn a_bare_file_name_of_an_idx_pair_is_read() {
    let session = Session::new();
    session.file("train-images-idx3-ubyte", idx(IMAGES, &[40, 4, 4], 640));
    session.file("train-labels-idx1-ubyte", idx(LABELS, &[40], 40));
    let shown = session.kiln("data show train-images-idx3-ubyte").succeeds();
    assert!(shown.out.contains("[1, 4, 4]"), "{}", shown.out);
}

#[test]
fn a_data_directory_that_is_not_there_is_named() {
    let session = Session::new();
    for line in ["data list", "data show digits", "train --data iris", "list"] {
        let printed = session.kiln(&format!("{line} --data-dir nowhere/at-all"));
        assert_eq!(printed.code, 2, "{line}: {}", printed.message());
        assert!(printed.message().contains("--data-dir nowhere/at-all: there is no such folder"), "{line}");
        assert!(printed.out.is_empty(), "{line}");
    }
}
