//! Files of one set: which are for training, validation and testing, and that none is lost in silence.

use std::path::{Path, PathBuf};

use kiln_data::{DataDir, OpenOptions, Splits, Task, open, open_like};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn open(&self, name: &str, options: &OpenOptions) -> Result<Splits, String> {
        let path = self.0.path().join(name).display().to_string();
        open(&path, &DataDir::find(Some(self.0.path())), options).map_err(|error| error.to_string())
    }

    fn opened(&self, name: &str) -> Splits {
        self.open(name, &OpenOptions::default()).unwrap()
    }

    fn all_rows(&self, name: &str, splits: &Splits) -> usize {
        let path = self.0.path().join(name).display().to_string();
        open_like(&path, &DataDir::find(Some(self.0.path())), &splits.preprocessing).unwrap().0.len()
    }
}

fn learnt(splits: &Splits) -> usize {
    splits.train.len() + splits.validation.len()
}

/// `rows` rows of two numbers and a class.
fn table(rows: usize) -> String {
    let row = |row: usize| format!("{},{},{}\n", row % 7, row * row % 11, ["p", "q"][row % 2]);
    std::iter::once("a,b,y\n".to_owned()).chain((0..rows).map(row)).collect()
}

fn idx(dimensions: &[u32], values: usize) -> Vec<u8> {
    let magic = 0x800 + dimensions.len() as u32;
    let numbers = std::iter::once(&magic).chain(dimensions).flat_map(|number| number.to_be_bytes());
    numbers.chain((0..values).map(|value| (value % 2) as u8)).collect()
}

#[test]
fn shards_of_a_table_are_read_one_after_the_other() {
    let folder = Folder::new();
    for shard in 0..3 {
        folder.file(&format!("own/train-{shard}.csv"), table(20));
    }
    folder.file("own/test.csv", table(10));
    let splits = folder.opened("own");
    assert_eq!((learnt(&splits), splits.test.len()), (60, 10));
    assert_eq!(folder.all_rows("own", &splits), 70);
    folder.file("own/train-1.csv", "b,a,z\n1,2,p\n");
    let message = folder.open("own", &OpenOptions::default()).unwrap_err();
    assert!(message.contains("train-1.csv: found a column `z`"), "{message}");
}

#[test]
fn the_part_is_a_word_anywhere_in_the_name() {
    let folder = Folder::new();
    for (part, rows) in [("train", 40), ("test", 10)] {
        folder.file(&format!("emnist/emnist-letters-{part}-images-idx3-ubyte"), idx(&[rows, 2, 2], rows as usize * 4));
        folder.file(&format!("emnist/emnist-letters-{part}-labels-idx1-ubyte"), idx(&[rows], rows as usize));
    }
    let splits = folder.opened("emnist");
    assert_eq!((learnt(&splits), splits.test.len()), (40, 10));
    assert_eq!(folder.all_rows("emnist", &splits), 50);
    let train = "emnist/emnist-letters-train-images-idx3-ubyte";
    let alone = folder.opened(train);
    assert_eq!((learnt(&alone) + alone.test.len(), folder.all_rows(train, &alone)), (40, 40));
}

#[test]
fn which_of_several_files_is_meant_is_asked() {
    let folder = Folder::new();
    folder.file("own/one.csv", table(20));
    folder.file("own/two.csv", table(20));
    let message = folder.open("own", &OpenOptions::default()).unwrap_err();
    assert!(message.contains("2 files that could be meant: one.csv, two.csv"), "{message}");
    folder.file("own/train.csv", table(30));
    let splits = folder.opened("own");
    assert_eq!(learnt(&splits) + splits.test.len(), 30);
    assert!(splits.notes[0].contains("left out are one.csv, two.csv"), "{:?}", splits.notes);
}

#[test]
fn the_row_numbers_of_pandas_are_no_feature() {
    let folder = Folder::new();
    let rows: String = (0..40).map(|row| format!("{row},{}.5,{},{}\n", row % 5, row % 3, row / 20)).collect();
    folder.file("own.csv", format!(",0,1,target\n{rows}"));
    let splits = folder.opened("own.csv");
    assert_eq!(learnt(&splits) + splits.test.len(), 40);
    assert_eq!(splits.train.feature_names(), ["0", "1"]);
    assert!(splits.notes[0].contains("only counts the rows"), "{:?}", splits.notes);
    assert_eq!(folder.all_rows("own.csv", &splits), 40);
    // One new row: its number is no count, and nobody asks for it.
    folder.file("new.csv", ",0,1\n17,2.5,1\n");
    assert_eq!(folder.all_rows("new.csv", &splits), 1);
    let shard =
        |from: usize| -> String { (0..20).map(|row| format!("{row},{},{},{}\n", row % 5, row % 3, from)).collect() };
    folder.file("shards/train-1.csv", format!(",0,1,target\n{}", shard(0)));
    folder.file("shards/train-2.csv", format!(",0,1,target\n{}", shard(1)));
    assert_eq!(folder.opened("shards").train.feature_names(), ["0", "1"]);
}

#[test]
fn a_header_is_found_above_numbers_or_said() {
    let folder = Folder::new();
    let names = |text: &str, header: Option<bool>| {
        folder.file("own.csv", text);
        let options = OpenOptions { header, ..OpenOptions::default() };
        folder.open("own.csv", &options).map(|splits| splits.train.feature_names().to_vec())
    };
    let numbers: String = (0..40).map(|row| format!("{},{},{}\n", row % 7, row % 3, row % 2)).collect();
    assert_eq!(names(&format!("1990,2000,class\n{numbers}"), None).unwrap(), ["1990", "2000"]);
    assert_eq!(names(&numbers, None).unwrap(), ["column1", "column2"]);
    assert_eq!(names(&format!("1,2,0\n{numbers}"), Some(true)).unwrap(), ["1", "2"]);
    let texts: String = (0..40).map(|row| format!("{},{}\n", ["r", "s"][row % 2], ["p", "q"][row % 2])).collect();
    assert_eq!(names(&texts, Some(false)).unwrap(), ["column1=r", "column1=s"]);
    // What was said at training holds for new rows.
    let options = OpenOptions { header: Some(false), ..OpenOptions::default() };
    let splits = folder.open("own.csv", &options).unwrap();
    assert_eq!(folder.all_rows("own.csv", &splits), 40);
    let written = toml::to_string(&splits.preprocessing).unwrap();
    assert_eq!(toml::from_str::<kiln_data::Preprocessing>(&written).unwrap(), splits.preprocessing, "{written}");
}

#[test]
fn decimal_commas_are_numbers_between_semicolons() {
    let folder = Folder::new();
    let rows: String =
        (0..40).map(|row| format!("{},{};{};{}\n", row % 7, row % 10, row, ["p", "q"][row % 2])).collect();
    folder.file("own.csv", format!("size;n;kind\n{rows}"));
    let options = OpenOptions { standardise: false, ..OpenOptions::default() };
    let splits = folder.open("own.csv", &options).unwrap();
    assert_eq!(splits.train.feature_names(), ["size", "n"]);
    let row = (0..splits.train.len()).find(|&row| splits.train.row(row)[1] == 12.0).unwrap();
    assert_eq!(splits.train.row(row)[0], 5.2);
    // The first thousand rows have no comma: the file is read again.
    let rows: String =
        (0..2000).map(|row| format!("{}{};{}\n", row, if row > 1500 { ",5" } else { "" }, row % 2)).collect();
    folder.file("late.csv", format!("size;kind\n{rows}"));
    assert_eq!(folder.opened("late.csv").train.feature_names(), ["size"]);
}

#[test]
fn ignored_columns_may_hold_anything() {
    let folder = Folder::new();
    let rows: String = (0..70_000).map(|row| format!("id-{row},{},{}\n", row % 9, ["p", "q"][row % 2])).collect();
    folder.file("own.csv", format!("id,a,y\n{rows}"));
    let message = folder.open("own.csv", &OpenOptions::default()).unwrap_err();
    assert!(message.contains("column id") && message.contains("--ignore"), "{message}");
    let options = OpenOptions { ignore: vec!["id".into()], ..OpenOptions::default() };
    let splits = folder.open("own.csv", &options).unwrap();
    assert_eq!(splits.train.feature_names(), ["a"]);
    assert_eq!(folder.all_rows("own.csv", &splits), 70_000);
    let unknown = OpenOptions { ignore: vec!["ib".into()], ..OpenOptions::default() };
    folder.file("few.csv", "id,a,y\n1,2,p\n3,4,q\n");
    let message = folder.open("few.csv", &unknown).unwrap_err();
    assert!(message.contains("no column `ib` (did you mean `id`?); the columns are"), "{message}");
    let target = OpenOptions { ignore: vec!["y".into()], target: Some("y".into()), ..OpenOptions::default() };
    assert!(folder.open("own.csv", &target).unwrap_err().contains("the column to predict"));
}

#[test]
fn numbers_are_targets_with_the_scale_of_the_training_rows() {
    let folder = Folder::new();
    let rows: String = (0..100).map(|row| format!("{},{}\n", row % 9, row)).collect();
    folder.file("own.csv", format!("a,y\n{rows}"));
    let splits = folder.opened("own.csv");
    let kiln_data::TargetEncoding::Values { columns, means, deviations } = &splits.preprocessing.targets else {
        panic!("numbers")
    };
    assert_eq!(columns, &["y"]);
    let values: Vec<f64> = (0..splits.train.len()).map(|row| f64::from(splits.train.values(row)[0])).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((f64::from(means[0]) - mean).abs() < 1e-3 && (f64::from(deviations[0]) - variance.sqrt()).abs() < 1e-3);
    let classify = OpenOptions { task: Some(Task::Classify), ..OpenOptions::default() };
    let rows: String = (0..1000).map(|row| format!("{},{}\n", row % 9, row % 100)).collect();
    folder.file("hundred.csv", format!("a,y\n{rows}"));
    assert_eq!(folder.open("hundred.csv", &classify).unwrap().train.num_classes(), 100);
    folder.file("few.csv", "a,y\n".to_owned() + &"1,0\n2,1\n3,2\n".repeat(20));
    let regress = OpenOptions { task: Some(Task::Regress), ..OpenOptions::default() };
    assert!(!folder.open("few.csv", &regress).unwrap().train.is_classification());
}

#[test]
fn a_missing_target_is_named_by_its_line_whatever_stands_before_it() {
    let folder = Folder::new();
    folder.file("own.csv", "a,y\n\n1,p\n\"2\n\",q\n\n3,\n4,q\n");
    let message = folder.open("own.csv", &OpenOptions::default()).unwrap_err();
    assert!(message.contains("own.csv, line 7, column y: found a missing target"), "{message}");
    folder.file("shards/train-1.csv", table(5));
    folder.file("shards/train-2.csv", "a,b,y\n1,2,p\n3,4,\n");
    let message = folder.open("shards", &OpenOptions::default()).unwrap_err();
    assert!(message.contains("train-2.csv, line 3, column y: found a missing target"), "{message}");
}

#[test]
fn a_size_is_for_picture_files() {
    let folder = Folder::new();
    for class in ["cat", "dog"] {
        for at in 0..10_u32 {
            let path = folder.file(&format!("own/{class}/{at}.png"), "");
            image::RgbImage::new(3 + at, 4).save(path).unwrap();
        }
    }
    let message = folder.open("own", &OpenOptions::default()).unwrap_err();
    assert!(message.contains("--image-size 4x3"), "{message}");
    let options = OpenOptions { image_size: Some((5, 6)), ..OpenOptions::default() };
    assert_eq!(folder.open("own", &options).unwrap().train.input_shape(), [3, 5, 6]);
    folder.file("own.csv", table(40));
    assert!(folder.open("own.csv", &options).unwrap_err().starts_with("--image-size = 5x6"));
    let nothing = OpenOptions { image_size: Some((0, 6)), ..OpenOptions::default() };
    assert!(folder.open("own", &nothing).unwrap_err().starts_with("--image-size = 0x6"));
    assert!(Path::new(folder.0.path()).exists());
}
