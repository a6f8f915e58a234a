//! Rows for a trained model: all of a source, with or without targets, and the rows that training kept for the test.

use std::io::Write;
use std::path::Path;

use kiln_data::{DataDir, OpenOptions, Splits, TargetEncoding, open, open_inputs_like, open_like, open_test_like};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> DataDir {
        DataDir::find(Some(self.0.path()))
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn open(&self, source: &str) -> Splits {
        open(source, &self.dir(), &OpenOptions::default()).unwrap()
    }

    fn inputs(&self, source: &str, splits: &Splits) -> usize {
        open_inputs_like(source, &self.dir(), &splits.preprocessing).unwrap().len()
    }

    fn labelled(&self, source: &str, splits: &Splits) -> (usize, bool) {
        let (rows, labelled) = open_like(source, &self.dir(), &splits.preprocessing).unwrap();
        (rows.len(), labelled)
    }

    /// The test rows, read again, are those that the splits have.
    #[track_caller]
    fn keeps_its_test_rows(&self, source: &str, splits: &Splits) {
        let test = open_test_like(source, &self.dir(), &splits.preprocessing, &OpenOptions::default()).unwrap();
        assert_eq!(test.len(), splits.test.len());
        for row in 0..test.len() {
            assert_eq!((test.row(row), test.values(row)), (splits.test.row(row), splits.test.values(row)));
        }
    }
}

fn table(rows: usize) -> String {
    let row = |row: usize| format!("{},{},{}\n", row % 7, ["r", "s", "t"][row % 3], ["p", "q"][row % 2]);
    std::iter::once("a,b,y\n".to_owned()).chain((0..rows).map(row)).collect()
}

fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn floats(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

fn picture(path: &str, shade: u8) {
    image::GrayImage::from_pixel(4, 4, image::Luma([shade])).save(path).unwrap();
}

#[test]
fn the_models_own_encoding_is_used_and_not_a_new_one() {
    let folder = Folder::new();
    let source = folder.file("own.csv", table(60));
    let splits = folder.open(&source);
    folder.keeps_its_test_rows(&source, &splits);
    // With values a hundred times as large in the training rows, the encoding stays what it was.
    let larger = table(60).replace("\n6,", "\n600,");
    folder.file("own.csv", larger);
    let test = open_test_like(&source, &folder.dir(), &splits.preprocessing, &OpenOptions::default()).unwrap();
    let small = (0..test.len()).filter(|&row| test.row(row)[0] < 5.0);
    assert!(small.clone().count() > 5);
    for row in small {
        assert_eq!(test.row(row), splits.test.row(row));
    }
}

#[test]
fn targets_that_are_not_asked_for_may_be_anything() {
    let folder = Folder::new();
    let source = folder.file("own.csv", table(60));
    let splits = folder.open(&source);
    let blank = folder.file("blank.csv", "a,b,y\n1,r,\n2,s,\n");
    let unknown = folder.file("unknown.csv", "a,b,y,more\n1,r,zebra,x\n");
    let without = folder.file("without.csv", "b,a\nr,1\n");
    assert_eq!([&blank, &unknown, &without].map(|source| folder.inputs(source, &splits)), [2, 1, 1]);
    assert_eq!(folder.labelled(&without, &splits), (1, false));
    let message = open_like(&blank, &folder.dir(), &splits.preprocessing).unwrap_err().to_string();
    assert!(message.contains("line 2, column y: found a missing target"), "{message}");
}

#[test]
fn pictures_need_no_classes_to_be_predicted() {
    let folder = Folder::new();
    for class in ["cat", "dog"] {
        for at in 0..10 {
            picture(&folder.file(&format!("own/{class}/{at}.png"), ""), at * 20);
        }
    }
    let source = folder.0.path().join("own").display().to_string();
    let splits = folder.open(&source);
    folder.keeps_its_test_rows(&source, &splits);
    assert_eq!((folder.inputs(&source, &splits), folder.labelled(&source, &splits)), (20, (20, true)));
    for at in 0..3 {
        picture(&folder.file(&format!("unsorted/{at}.png"), ""), 7);
    }
    let unsorted = folder.0.path().join("unsorted").display().to_string();
    assert_eq!((folder.inputs(&unsorted, &splits), folder.labelled(&unsorted, &splits)), (3, (3, false)));
    let list = folder.file("list.csv", "path\nunsorted/0.png\nunsorted/2.png\n");
    assert_eq!((folder.inputs(&list, &splits), folder.labelled(&list, &splits)), (2, (2, false)));
    let others = folder.file("others.csv", "path,label\nunsorted/0.png,bird\n");
    assert_eq!(folder.inputs(&others, &splits), 1);
    let message = open_like(&others, &folder.dir(), &splits.preprocessing).unwrap_err().to_string();
    assert!(message.contains("label `bird` is not in the training set"), "{message}");
    assert_eq!(folder.inputs(&format!("{unsorted}/0.png"), &splits), 1);
    // Folders of parts, of which the last has no classes.
    for class in ["cat", "dog"] {
        (0..10).for_each(|at| picture(&folder.file(&format!("parts/train/{class}/{at}.png"), ""), at * 20));
    }
    (0..4).for_each(|at| picture(&folder.file(&format!("parts/test/{at}.png"), ""), 9));
    let parts = folder.0.path().join("parts").display().to_string();
    assert_eq!((folder.inputs(&parts, &splits), folder.labelled(&parts, &splits)), (24, (24, false)));
    let message = open(&parts, &folder.dir(), &OpenOptions::default()).unwrap_err().to_string();
    assert!(message.contains("test: found 4 pictures without classes"), "{message}");
}

#[test]
fn archives_are_read_whole() {
    let folder = Folder::new();
    let x = |rows: usize| npy("<f4", &format!("({rows}, 2, 3)"), &floats((0..rows * 6).map(|value| value as f32)));
    let y = |rows: usize| npy("|u1", &format!("({rows},)"), &(0..rows).map(|row| (row % 2) as u8).collect::<Vec<_>>());
    let text = npy("<U2", "(1,)", &[0; 8]);
    let members = [("x_train", x(20)), ("y_train", y(20)), ("x_test", x(6)), ("y_test", y(6)), ("names", text.clone())];
    let source = folder.file("own.npz", npz(&members));
    let splits = folder.open(&source);
    assert_eq!((splits.train.input_shape(), splits.test.len()), ([1, 2, 3].as_slice(), 6));
    folder.keeps_its_test_rows(&source, &splits);
    assert_eq!((folder.inputs(&source, &splits), folder.labelled(&source, &splits)), (26, (26, true)));
    let new = folder.file("new.npz", npz(&[("x", x(3))]));
    assert_eq!((folder.inputs(&new, &splits), folder.labelled(&new, &splits)), (3, (3, false)));
    let single = folder.file("new.npy", x(5));
    assert_eq!(folder.inputs(&single, &splits), 5);
    let wrong = folder.file("wrong.npz", npz(&[("x", text), ("y", y(1))]));
    let message = open(&wrong, &folder.dir(), &OpenOptions::default()).unwrap_err().to_string();
    assert!(message.contains("values of type <U2"), "{message}");
}

#[test]
fn labels_stored_as_floats_are_classes_where_they_are_few_whole_numbers() {
    let folder = Folder::new();
    let x = |rows: usize| npy("<f4", &format!("({rows}, 2, 3)"), &floats((0..rows * 6).map(|value| value as f32)));
    let whole = npy("<f4", "(40,)", &floats((0..40).map(|row| (row % 3) as f32)));
    let splits = folder.open(&folder.file("classes.npz", npz(&[("x", x(40)), ("y", whole)])));
    assert_eq!(splits.train.class_names(), ["0", "1", "2"]);
    let many = npy("<f4", "(40,)", &floats((0..40).map(|row| row as f32 / 4.0)));
    let splits = folder.open(&folder.file("numbers.npz", npz(&[("x", x(40)), ("y", many)])));
    let TargetEncoding::Values { means, deviations, .. } = &splits.preprocessing.targets else { panic!("numbers") };
    assert!((3.0..7.0).contains(&means[0]) && (2.0..4.0).contains(&deviations[0]), "{means:?} {deviations:?}");
}

#[test]
fn flat_archives_are_tables() {
    let folder = Folder::new();
    let x = |rows: usize| npy("<f4", &format!("({rows}, 3)"), &floats((0..rows * 3).map(|value| value as f32)));
    let y = |rows: usize| {
        npy("<i8", &format!("({rows},)"), &(0..rows as i64).flat_map(|row| (row % 2).to_le_bytes()).collect::<Vec<_>>())
    };
    let source = folder.file("own.npz", npz(&[("x", x(30)), ("y", y(30))]));
    let splits = folder.open(&source);
    folder.keeps_its_test_rows(&source, &splits);
    assert_eq!((folder.inputs(&source, &splits), folder.labelled(&source, &splits)), (30, (30, true)));
    assert_eq!(folder.inputs(&folder.file("new.npy", x(4)), &splits), 4);
}

#[test]
fn records_are_read_whole() {
    let folder = Folder::new();
    let records = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|at| [vec![(at % 2) as u8], vec![(at * 9 % 256) as u8; 3072]].concat()).collect()
    };
    folder.file("own/data_batch_1.bin", records(12));
    folder.file("own/data_batch_2.bin", records(12));
    folder.file("own/test_batch.bin", records(5));
    let source = folder.0.path().join("own").display().to_string();
    let splits = folder.open(&source);
    folder.keeps_its_test_rows(&source, &splits);
    assert_eq!(splits.train.len() + splits.validation.len(), 24);
    assert_eq!((folder.inputs(&source, &splits), folder.labelled(&source, &splits)), (29, (29, true)));
    assert_eq!(folder.labelled(&format!("{source}/test_batch.bin"), &splits), (5, true));
}

#[test]
fn the_labels_of_idx_files_lie_beside_them() {
    let folder = Folder::new();
    let idx = |dimensions: &[u32], values: usize| -> Vec<u8> {
        let magic = 0x800 + dimensions.len() as u32;
        let numbers = std::iter::once(&magic).chain(dimensions).flat_map(|number| number.to_be_bytes());
        numbers.chain((0..values).map(|value| (value % 2) as u8)).collect()
    };
    let source = folder.file("own/train-images-idx3-ubyte", idx(&[30, 2, 2], 120));
    folder.file("own/train-labels-idx1-ubyte", idx(&[30], 30));
    let splits = folder.open(&source);
    folder.keeps_its_test_rows(&source, &splits);
    assert_eq!((folder.inputs(&source, &splits), folder.labelled(&source, &splits)), (30, (30, true)));
    let alone = folder.file("new/images-idx3-ubyte", idx(&[4, 2, 2], 16));
    assert_eq!((folder.inputs(&alone, &splits), folder.labelled(&alone, &splits)), (4, (4, false)));
}

#[test]
fn a_category_may_be_a_number_in_new_rows() {
    let folder = Folder::new();
    let rows: String = (0..60).map(|row| format!("{},{},{}\n", row % 5, ["1", "2.0", "x"][row % 3], row % 2)).collect();
    let source = folder.file("own.csv", format!("a,b,y\n{rows}"));
    let splits = folder.open(&source);
    assert_eq!(splits.train.feature_names(), ["a", "b=1", "b=2.0", "b=x"]);
    let new = folder.file("new.csv", "a,b\n1,2\n1,1\n1,7\n");
    let rows = open_inputs_like(&new, &folder.dir(), &splits.preprocessing).unwrap();
    let groups: Vec<&[f32]> = (0..3).map(|row| &rows.row(row)[1..]).collect();
    assert_eq!(groups, [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]);
}

#[test]
fn known_sets_keep_their_test_rows() {
    let folder = Folder::new();
    let data = DataDir::find(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")));
    for name in ["digits", "wine", "mnist", "linnerud", "bikeshare"] {
        let splits = open(name, &data, &OpenOptions::default()).unwrap();
        let test = open_test_like(name, &data, &splits.preprocessing, &OpenOptions::default()).unwrap();
        assert_eq!((test.len(), test.row(0)), (splits.test.len(), splits.test.row(0)), "{name}");
    }
    assert!(open_test_like("wine", &data, &folder.open("digits").preprocessing, &OpenOptions::default()).is_err());
}
