//! The sets that ship with kiln, read from the project's own data directory.

use std::path::{Path, PathBuf};

use kiln_data::catalogue::{self, Kind};
use kiln_data::text::{Corpus, CorpusOptions, Part};
use kiln_data::{DataDir, DataError, OpenOptions, open};

fn data() -> DataDir {
    DataDir::find(Some(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data")))
}

#[test]
fn every_set_that_ships_opens_with_the_rows_and_classes_that_its_summary_says() {
    let expected = [
        ("digits", 1797, 64, 10),
        ("mnist", 10_000, 784, 10),
        ("fashion-mnist", 13_000, 784, 10),
        ("iris", 150, 4, 3),
        ("wine", 178, 13, 3),
        ("breast_cancer_wdbc", 569, 30, 2),
        ("sonar", 208, 60, 2),
        ("ionosphere", 351, 34, 2),
        ("glass", 214, 9, 6),
        ("vowel", 990, 10, 11),
        ("house_votes_84", 435, 32, 2),
        ("satellite_landsat", 6435, 36, 6),
        ("letter", 6000, 16, 26),
        ("pima_diabetes", 768, 8, 2),
        ("spambase", 4601, 57, 2),
        ("diabetes_efron", 442, 10, 1),
        ("linnerud", 20, 3, 3),
    ];
    for (name, rows, features, classes) in expected {
        let splits = open(name, &data(), &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let all = splits.train.len() + splits.validation.len() + splits.test.len();
        assert_eq!((all, splits.train.num_features(), splits.train.num_classes()), (rows, features, classes), "{name}");
        assert_eq!(splits.train.is_classification(), !matches!(name, "diabetes_efron" | "linnerud"), "{name}");
    }
    for name in ["zoo", "bikeshare_hourly_2011"] {
        open(name, &data(), &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn mnist_keeps_its_last_two_thousand_digits_for_testing() {
    let splits = open("mnist", &data(), &OpenOptions::default()).unwrap();
    assert_eq!(splits.test.len(), 2000);
    assert_eq!(splits.test.input_shape(), [1, 28, 28]);
    assert_eq!(splits.train.len() + splits.validation.len(), 8000);
    assert!((780..=820).contains(&splits.validation.len()));
}

#[test]
fn training_features_are_standardised_and_the_others_by_the_same_figures() {
    let splits = open("wine", &data(), &OpenOptions::default()).unwrap();
    for feature in 0..splits.train.num_features() {
        let mean = |data: &kiln_data::ArrayDataset| {
            (0..data.len()).map(|row| f64::from(data.row(row)[feature])).sum::<f64>() / data.len() as f64
        };
        assert!(mean(&splits.train).abs() < 1e-5);
        assert!(mean(&splits.test).abs() > 1e-4, "test rows must not be centred by their own mean");
    }
}

#[test]
fn rows_in_time_order_are_tested_at_the_end() {
    let splits = open("bikeshare_hourly_2011", &data(), &OpenOptions::default()).unwrap();
    let day = splits.train.feature_names().iter().position(|name| name == "day").unwrap();
    let latest = (0..splits.train.len()).map(|row| splits.train.row(row)[day]).fold(f32::MIN, f32::max);
    let earliest = (0..splits.test.len()).map(|row| splits.test.row(row)[day]).fold(f32::MAX, f32::min);
    assert!(earliest > latest, "{earliest} {latest}");
}

#[test]
fn files_of_the_catalogue_that_ship_have_their_checksums() {
    let shipped: Vec<_> = catalogue::entries()
        .iter()
        .filter(|entry| {
            !matches!(
                entry.name,
                "omniglot-small" | "caltech10" | "pneumoniamnist" | "novels" | "abalone" | "winequality_red"
            )
        })
        .filter(|entry| entry.kind != Kind::Embedded)
        .flat_map(|entry| entry.files)
        .collect();
    assert!(shipped.len() > 20);
    for file in shipped {
        let path = data().get(file.path).unwrap_or_else(|| panic!("{} is missing", file.path));
        assert_eq!(kiln_data::fetch::sha256(Path::new(&path)).unwrap(), file.sha256, "{}", file.path);
    }
}

#[test]
fn a_set_is_found_where_its_files_lie() {
    for entry in catalogue::entries().iter().filter(|entry| !entry.files.is_empty()) {
        let folder = tempfile::tempdir().unwrap();
        for file in entry.files {
            let path = folder.path().join(file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = entry.locate(&DataDir::find(Some(folder.path())));
        assert!(found.is_ok(), "{}: {found:?}", entry.name);
    }
}

#[test]
fn every_set_that_is_in_a_data_directory_opens() {
    let dir = DataDir::find(None);
    for entry in catalogue::entries().iter().filter(|entry| kiln_data::fetch::here(entry, &dir).is_some()) {
        if entry.kind == Kind::Text {
            let corpus = Corpus::open(entry.name, &dir, &CorpusOptions::default()).unwrap();
            assert_eq!(corpus.books().len(), entry.files.len(), "{}", entry.name);
            assert!(corpus.num_tokens(Part::Train) > 200_000 && corpus.vocabulary().len() > 5000, "{}", entry.name);
        } else {
            let splits = open(entry.name, &dir, &OpenOptions::default());
            assert!(splits.as_ref().is_ok_and(|splits| !splits.test.is_empty()), "{}: {splits:?}", entry.name);
        }
    }
}

#[test]
fn austen_takes_an_equal_share_of_each_book() {
    let options = CorpusOptions { max_tokens: Some(150_000), ..CorpusOptions::default() };
    let corpus = Corpus::open("austen", &data(), &options).unwrap();
    assert_eq!(corpus.books(), ["austen-persuasion", "austen-emma", "austen-pride-and-prejudice"]);
    let running = [Part::Train, Part::Validation, Part::Test].map(|part| corpus.num_tokens(part));
    assert_eq!(running.iter().sum::<usize>(), 150_000);
    assert_eq!(running[2], 15_000);
    assert_eq!(corpus.vocabulary().word(1), "the");
}

#[test]
fn a_set_of_books_of_which_some_are_missing_is_refused_with_the_first_of_them() {
    let error = Corpus::open("novels", &data(), &CorpusOptions::default()).unwrap_err();
    let DataError::NotHere { name, file, .. } = error else { panic!("{error}") };
    assert_eq!((name.as_str(), file.as_str()), ("novels", "text/novels/dickens-great-expectations.txt.gz"));
}
