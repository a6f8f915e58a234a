//! The user's own files: from a path to splits, and new rows for a trained model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_data::{ColumnEncoder, DataDir, DataError, InputEncoding, OpenOptions, Task, open, open_like};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};

fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, DataDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let dir = DataDir::find(Some(folder.path()));
    (folder, dir)
}

fn rows(count: usize) -> String {
    let mut text = String::from("size,colour,kind\n");
    for row in 0..count {
        let size = if row % 7 == 0 { String::new() } else { (row % 10).to_string() };
        text.push_str(&format!("{size},{},{}\n", ["red", "blue"][row % 2], ["yes", "no", "maybe"][row % 3]));
    }
    text
}

#[test]
fn a_table_becomes_standardised_numbers_and_one_hot_groups() {
    let (_folder, dir) = folder(&[("tabular/own.csv", &rows(60))]);
    let splits = open("own", &dir, &OpenOptions::default()).unwrap();
    assert_eq!(splits.train.feature_names(), ["size", "colour=blue", "colour=red"]);
    assert_eq!(splits.train.class_names(), ["maybe", "no", "yes"]);
    let text = serde_json::to_string(&splits.preprocessing).unwrap();
    assert_eq!(serde_json::from_str::<kiln_data::Preprocessing>(&text).unwrap(), splits.preprocessing);
    assert_eq!(
        toml::from_str::<kiln_data::Preprocessing>(&toml::to_string(&splits.preprocessing).unwrap()).unwrap(),
        splits.preprocessing
    );
    let InputEncoding::Table { columns, .. } = &splits.preprocessing.inputs else { panic!("a table") };
    assert!(matches!(&columns[0], ColumnEncoder::Number { mean, .. } if (3.0..6.0).contains(mean)));
}

#[test]
fn new_rows_get_what_the_training_rows_got() {
    let (folder, dir) = folder(&[
        ("tabular/own.csv", &rows(60)),
        ("new.csv", "colour,size\nred,4\ngreen,\n"),
        ("wrong.csv", "colour,size,kind\nred,4,perhaps\n"),
        ("fewer.csv", "colour\nred\n"),
        ("text.csv", "colour,size\nred,large\n"),
    ]);
    let splits = open("own", &dir, &OpenOptions::default()).unwrap();
    let like = |name: &str| open_like(&folder.path().join(name).display().to_string(), &dir, &splits.preprocessing);
    let (new, has_targets) = like("new.csv").unwrap();
    let InputEncoding::Table { columns, .. } = &splits.preprocessing.inputs else { panic!("a table") };
    let ColumnEncoder::Number { mean, deviation, .. } = &columns[0] else { panic!("a number") };
    assert_eq!(new.row(0), [(4.0 - mean) / deviation, 0.0, 1.0]);
    assert_eq!(new.row(1), [0.0, 0.0, 0.0]);
    assert!(!has_targets);
    let message = like("wrong.csv").unwrap_err().to_string();
    assert!(message.contains("line 2, column kind: label `perhaps` is not in the training set"), "{message}");
    let message = like("fewer.csv").unwrap_err().to_string();
    assert!(message.contains("no column `size`"), "{message}");
    let message = like("text.csv").unwrap_err().to_string();
    assert!(message.contains("column size: found `large`, expected a number, as in training"), "{message}");
    let (known, has_targets) = open_like("own", &dir, &splits.preprocessing).unwrap();
    assert!(known.len() == 60 && has_targets);
}

#[test]
fn what_cannot_be_learnt_from_is_refused() {
    let (folder, dir) = folder(&[
        ("tabular/own.csv", &rows(60)),
        ("tabular/one.csv", "a,b\n1,x\n2,x\n3,x\n4,x\n5,x\n6,x\n"),
        ("tabular/few.csv", "a,b\n1,x\n2,y\n"),
        ("tabular/gap.csv", "a,b\n1,x\n2,\n3,y\n"),
        ("tabular/only.csv", &format!("b\n{}", "x\ny\n".repeat(20))),
        ("pair/train.csv", "a,b\n1,x\n2,y\n3,x\n4,y\n"),
        ("pair/test.csv", "a,b\n1,z\n"),
    ]);
    let refused = |name: &str, options: &OpenOptions| open(name, &dir, options).unwrap_err();
    let default = OpenOptions::default();
    assert!(matches!(refused("one", &default), DataError::OneClass { class, .. } if class == "x"));
    assert!(matches!(refused("few", &default), DataError::EmptySplit { .. }));
    assert!(refused("gap", &default).to_string().contains("line 3, column b: found a missing target"));
    assert!(refused("only", &default).to_string().contains("no column besides the target"));
    let target = OpenOptions { target: Some("knid".into()), ..default.clone() };
    assert!(refused("own", &target).to_string().contains("no column `knid` (did you mean `kind`?)"));
    let regress = OpenOptions { task: Some(Task::Regress), ..default.clone() };
    assert!(refused("own", &regress).to_string().contains("expected a number, for regression"));
    let pair = folder.path().join("pair").display().to_string();
    let mut options = default.clone();
    options.split.validation = 0.0;
    let message = refused(&pair, &options).to_string();
    assert!(message.contains("line 2, column b: label `z` is not in the training set"), "{message}");
    assert!(refused("./nowhere.csv", &default).to_string().starts_with("./nowhere.csv: no such file"));
    assert!(refused("irsi", &default).to_string().contains("did you mean `iris`?"));
    assert!(refused("irsi", &default).is_usage() && !refused("few", &default).is_usage());
}

#[test]
fn numbers_are_predicted_where_the_target_has_many() {
    let text: String = (0..50).map(|row| format!("{row},{}\n", f64::from(row) * 0.5)).collect();
    let (_folder, dir) = folder(&[("tabular/line.csv", &format!("x,y\n{text}"))]);
    let splits = open("line", &dir, &OpenOptions::default()).unwrap();
    assert!(!splits.train.is_classification());
    assert_eq!(splits.train.class_names(), ["y"]);
}

#[test]
fn arrays_are_read_with_the_parts_that_they_bring() {
    let (folder, dir) = folder(&[]);
    let x: Vec<u8> = (0..24_u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    let y: Vec<u8> = (0..12_i64).flat_map(|value| (value % 2).to_le_bytes()).collect();
    use safetensors::tensor::{Dtype, TensorView};
    let path = folder.path().join("arrays.safetensors");
    let view = |kind, shape: Vec<usize>, data| TensorView::new(kind, shape, data).unwrap();
    let arrays = [("x", view(Dtype::F32, vec![12, 2], &x)), ("y", view(Dtype::I64, vec![12], &y))];
    std::fs::write(&path, safetensors::serialize(arrays, None).unwrap()).unwrap();
    let source = path.display().to_string();
    let splits = open(&source, &dir, &OpenOptions::default()).unwrap();
    assert_eq!((splits.train.num_classes(), splits.train.num_features()), (2, 2));
    let nan: Vec<u8> = x[..92].iter().copied().chain(f32::NAN.to_le_bytes()).collect();
    let arrays = [("x", view(Dtype::F32, vec![12, 2], &nan)), ("y", view(Dtype::I64, vec![12], &y))];
    std::fs::write(&path, safetensors::serialize(arrays, None).unwrap()).unwrap();
    let message = open(&source, &dir, &OpenOptions::default()).unwrap_err().to_string();
    assert!(message.contains("arrays.safetensors, row 12, feature `x1`: NaN is not a finite number"), "{message}");
}

fn write_parquet(path: &Path, rows: usize) {
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    let schema = "message schema { REQUIRED DOUBLE x; OPTIONAL INT32 n; REQUIRED BYTE_ARRAY kind (UTF8); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<f64> = (0..rows).map(|row| row as f64 / 2.0).collect();
    column.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let levels: Vec<i16> = (0..rows).map(|row| i16::from(row % 3 != 0)).collect();
    let values: Vec<i32> = (0..rows).filter(|row| row % 3 != 0).map(|row| row as i32).collect();
    column.typed::<Int32Type>().write_batch(&values, Some(&levels), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = (0..rows).map(|row| ByteArray::from(["no", "yes"][row % 2])).collect();
    column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_tables_come_back_and_no_part_of_one_is_accepted() {
    let (folder, dir) = folder(&[]);
    let path: PathBuf = folder.path().join("own.parquet");
    write_parquet(&path, 40);
    let source = path.display().to_string();
    let splits = open(&source, &dir, &OpenOptions::default()).unwrap();
    assert_eq!(
        (splits.train.num_features(), splits.train.class_names()),
        (2, ["no".to_owned(), "yes".to_owned()].as_slice())
    );
    let kiln_data::parquet_file::ParquetData::Table(table) = kiln_data::parquet_file::read(&path).unwrap() else {
        panic!("a table")
    };
    let kiln_data::Cells::Numbers(n) = &table.columns[1].cells else { panic!("numbers") };
    assert!(n[0].is_nan() && n[1] == 1.0 && n[3].is_nan() && n[4] == 4.0);
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(open(&source, &dir, &OpenOptions::default()).is_err(), "{length} bytes");
    }
}
