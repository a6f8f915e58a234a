//! Texts, lists of pictures, folders and Parquet pictures against arbitrary contents: refused or read, never a panic,
//! and what was written comes back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_data::parquet_file::{self, ParquetData};
use kiln_data::text::{Corpus, CorpusOptions, Part, Unit};
use kiln_data::{DataDir, OpenOptions, open, open_like};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use proptest::prelude::*;

fn anywhere() -> DataDir {
    DataDir::find(Some(Path::new(".")))
}

fn png(width: u32, height: u32, shade: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::GrayImage::from_pixel(width, height, image::Luma([shade]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A Parquet file as the hub has them: `image: {bytes, path}` and `label`.
fn parquet_pictures(path: &Path, pictures: &[Vec<u8>], labels: &[i64]) {
    let schema = "message schema {
        OPTIONAL group image { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (UTF8); }
        OPTIONAL INT64 label;
    }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let rows = pictures.len();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = pictures.iter().map(|bytes| ByteArray::from(bytes.clone())).collect();
    column.typed::<ByteArrayType>().write_batch(&values, Some(&vec![2; rows]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; rows]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(labels, Some(&vec![1; rows]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

fn folder_with(files: &[(String, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

/// Names with every meaning that a name can have.
fn any_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "train.csv",
        "test.csv",
        "val.tsv",
        "list.csv",
        "own.csv",
        "train-1.parquet",
        "test.parquet",
        "data_batch_1.bin",
        "test_batch.bin",
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte.gz",
        "cat/1.png",
        "dog/1.png",
        "dog/2.jpg",
        "train/cat/1.png",
        "test/1.png",
        "1.png",
        "book.txt",
        "book.txt.gz",
        "classes.txt",
        "classes.csv",
        "x.npy",
        "x.npz",
        "x.safetensors",
        ".hidden",
        "notes.md",
    ])
    .prop_map(str::to_owned)
}

fn any_contents() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(prop::sample::select(b"0123456789.,;-e\"\n\r ab?\xff".to_vec()), 0..200),
        Just(b"path,label\n1.png,a\ncat/1.png,b\n".to_vec()),
        Just(b"a,b,y\n1,2,p\n3,4,q\n5,6,p\n7,8,q\n".to_vec()),
        (1_u32..4, 1_u32..4, any::<u8>()).prop_map(|(width, height, shade)| png(width, height, shade)),
        Just(
            [[0_u8, 0, 8, 3].as_slice(), &2_u32.to_be_bytes(), &1_u32.to_be_bytes(), &1_u32.to_be_bytes(), &[1, 2]]
                .concat()
        ),
        Just([[0_u8, 0, 8, 1].as_slice(), &2_u32.to_be_bytes(), &[0, 1]].concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn folders_of_anything_never_panic(files in prop::collection::vec((any_name(), any_contents()), 0..6)) {
        let folder = folder_with(&files);
        let source = folder.path().display().to_string();
        let model = open("digits", &anywhere(), &OpenOptions::default()).unwrap().preprocessing;
        let _ = open(&source, &anywhere(), &OpenOptions::default());
        let _ = open_like(&source, &anywhere(), &model);
        let _ = Corpus::open(&source, &anywhere(), &CorpusOptions::default());
        for (name, _) in files {
            let source = folder.path().join(name).display().to_string();
            let _ = open(&source, &anywhere(), &OpenOptions::default());
            let _ = open_like(&source, &anywhere(), &model);
        }
    }

    #[test]
    fn texts_are_read_whole_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), words in prop::collection::vec("[a-z]{1,6}", 0..80)) {
        let folder = folder_with(&[("bytes.txt".into(), bytes), ("words.txt".into(), words.join(" ").into_bytes())]);
        let open = |name: &str, unit: Unit| {
            let options = CorpusOptions { unit, min_count: 1, ..CorpusOptions::default() };
            Corpus::open(&folder.path().join(name).display().to_string(), &anywhere(), &options)
        };
        let _ = open("bytes.txt", Unit::Words);
        let _ = open("bytes.txt", Unit::Bytes);
        if let Ok(corpus) = open("words.txt", Unit::Words) {
            let parts = [Part::Train, Part::Validation, Part::Test];
            prop_assert_eq!(parts.iter().map(|&part| corpus.num_tokens(part)).sum::<usize>(), words.len());
        }
    }

    #[test]
    fn a_list_of_pictures_comes_back_in_its_order(shades in prop::collection::vec((any::<u8>(), 0_usize..3), 2..12), cut in 0_usize..40) {
        let names = ["ant", "bee", "cow"];
        let mut list = String::from("label,path\n");
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for (at, (shade, class)) in shades.iter().enumerate() {
            list.push_str(&format!("{},{at}.png\n", names[*class]));
            files.push((format!("{at}.png"), png(2, 2, *shade)));
        }
        files.push(("list.csv".into(), list.clone().into_bytes()));
        let folder = folder_with(&files);
        let path = folder.path().join("list.csv");
        let pictures = kiln_data::image_folder::read_list(&path, Default::default()).unwrap();
        for (row, (shade, class)) in shades.iter().enumerate() {
            prop_assert_eq!(pictures.array.values[row * 4], f32::from(*shade));
            prop_assert_eq!(pictures.names[pictures.labels[row] as usize].as_str(), names[*class]);
        }
        // A list that ends early names a row that is not whole, or has fewer rows.
        std::fs::write(&path, &list[..list.len().saturating_sub(cut)]).unwrap();
        let _ = kiln_data::image_folder::read_list(&path, Default::default());
    }

    #[test]
    fn pictures_in_parquet_come_back_and_no_part_of_them_is_accepted(shades in prop::collection::vec(any::<u8>(), 1..8), step in 5_usize..40) {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("train.parquet");
        let encoded: Vec<Vec<u8>> = shades.iter().map(|&shade| png(3, 2, shade)).collect();
        let labels: Vec<i64> = (0..shades.len() as i64).map(|row| row % 3).collect();
        parquet_pictures(&path, &encoded, &labels);
        let ParquetData::Pictures(pictures) = parquet_file::read(&path).unwrap() else { panic!("pictures") };
        prop_assert_eq!(&pictures.array.shape, &[shades.len(), 1, 2, 3]);
        prop_assert!(shades.iter().enumerate().all(|(row, &shade)| pictures.array.values[row * 6] == f32::from(shade)));
        let whole = std::fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(step) {
            std::fs::write(&path, &whole[..length]).unwrap();
            prop_assert!(parquet_file::read(&path).is_err());
        }
        // A damaged picture in a whole file.
        let mut damaged = encoded;
        let half = damaged[0].len() / 2;
        damaged[0].truncate(half);
        parquet_pictures(&path, &damaged, &labels);
        let message = parquet_file::read(&path).unwrap_err().to_string();
        prop_assert!(message.contains("row 1") && message.contains("unreadable picture"), "{}", message);
    }
}
