//! Using a trained model: which rows are judged, what new data may lack, and where results go.

use serde_json::Value;

use crate::session::{Session, json, table};

fn idx(dimensions: &[u32], values: usize) -> Vec<u8> {
    let magic = 0x800 + dimensions.len() as u32;
    let numbers = std::iter::once(&magic).chain(dimensions).flat_map(|number| number.to_be_bytes());
    numbers.chain((0..values).map(|value| (value % 2) as u8)).collect()
}

#[test]
fn the_rows_that_are_judged_do_not_depend_on_the_spelling_of_the_path() {
    let session = Session::new();
    session.file("own.csv", table(100));
    let summary = json(&session.kiln("train --data own.csv --epochs 2 --json").succeeds().out);
    for path in ["own.csv", "./own.csv", "runs/../own.csv"] {
        let judged = json(&session.kiln(&format!("evaluate train {path} --json")).succeeds().out);
        assert_eq!((&judged["rows_used"], &judged["examples"]), (&"test".into(), &summary["rows"][2]), "{path}");
        assert_eq!(judged["accuracy"], summary["test_accuracy"], "{path}");
        assert_eq!(judged["data_changed"], Value::Bool(false), "{path}");
    }
    let shown = session.kiln("evaluate train ./own.csv").succeeds().out;
    assert!(shown.contains("20 test rows"), "{shown}");
    session.file("copy.csv", table(100));
    let shown = session.kiln("evaluate train copy.csv").succeeds().out;
    assert!(shown.contains("all 100 rows"), "{shown}");
}

#[test]
fn data_that_has_changed_is_encoded_as_in_training_and_said_to_have_changed() {
    let session = Session::new();
    session.file("own.csv", table(100));
    session.kiln("train --data own.csv --epochs 2").succeeds();
    let before = json(&session.kiln("evaluate train own.csv --json").succeeds().out);
    // A hundred times as wide in one row: a new standardisation would move all others.
    session.file("own.csv", table(100).replacen("\n2,", "\n200000,", 1));
    let printed = session.kiln("evaluate train own.csv --json").succeeds();
    assert_eq!(json(&printed.out)["data_changed"], Value::Bool(true));
    assert!(printed.message().contains("own.csv has changed since the training"), "{}", printed.message());
    let after = json(&printed.out);
    let (before, after) = (before["log_loss"].as_f64().unwrap(), after["log_loss"].as_f64().unwrap());
    assert!((before - after).abs() < 0.5 || after > before, "{before} {after}");
}

#[test]
fn targets_are_not_needed_to_predict() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.kiln("train --data own.csv --epochs 1").succeeds();
    session.file("blank.csv", "a,b,y\n1,2,\n3,4,\n");
    session.file("new.csv", "a,b,y\n1,2,zebra\n");
    assert_eq!(session.kiln("predict train blank.csv").succeeds().out.lines().count(), 3);
    assert_eq!(session.kiln("predict train new.csv").succeeds().out.lines().count(), 2);
    let printed = session.kiln("evaluate train blank.csv");
    assert_eq!(printed.code, 1);
    assert!(printed.message().contains("line 2, column y: found a missing target"), "{}", printed.message());
}

#[test]
fn all_rows_of_what_was_trained_on_are_predicted() {
    let session = Session::new();
    session.file("own/train-images-idx3-ubyte", idx(&[40, 4, 4], 640));
    session.file("own/train-labels-idx1-ubyte", idx(&[40], 40));
    session.file("own/t10k-images-idx3-ubyte", idx(&[10, 4, 4], 160));
    session.file("own/t10k-labels-idx1-ubyte", idx(&[10], 10));
    session.kiln("train --data own --epochs 1").succeeds();
    assert_eq!(session.kiln("predict train own").succeeds().out.lines().count(), 51);
    let file = "own/t10k-images-idx3-ubyte";
    assert_eq!(session.kiln(&format!("predict train {file}")).succeeds().out.lines().count(), 11);
    let judged = json(&session.kiln(&format!("evaluate train {file} --json")).succeeds().out);
    assert_eq!((&judged["rows_used"], &judged["examples"]), (&"all".into(), &10.into()));
    let judged = json(&session.kiln("evaluate train own --json").succeeds().out);
    assert_eq!((&judged["rows_used"], &judged["examples"]), (&"test".into(), &10.into()));
}

#[test]
fn figures_of_probabilities_are_left_out_where_there_are_none() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.kiln("train --data own.csv --epochs 1 --loss z-loss").succeeds();
    let judged = json(&session.kiln("evaluate train own.csv --json").succeeds().out);
    for figure in ["log_loss", "brier", "calibration_error"] {
        assert!(judged.get(figure).is_none(), "{judged}");
    }
    assert!(judged["accuracy"].is_number() && judged["macro_f1"].is_number(), "{judged}");
}

#[test]
fn figures_are_printed_although_the_picture_cannot_be_written() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.kiln("train --data own.csv --epochs 1").succeeds();
    session.file("occupied", "");
    let printed = session.kiln("evaluate train own.csv --picture occupied/confusion.png");
    assert_eq!(printed.code, 1, "a picture that was asked for is missing");
    assert!(printed.out.contains("accuracy"), "{}", printed.out);
    assert!(printed.message().contains("cannot create occupied"), "{}", printed.message());
    assert_eq!(session.kiln("evaluate train own.csv --picture confusion.gif").code, 2);
}

#[test]
fn a_word_is_a_model_only_where_the_folder_holds_one() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.file("train/notes.txt", "no model");
    session.kiln("train --data own.csv --epochs 1").succeeds();
    session.kiln("evaluate train own.csv").succeeds();
    // A newer run without a model is passed over.
    let run = session.run("train");
    let name = run.file_name().unwrap().to_string_lossy().replace("train-", "train-9");
    let text = std::fs::read_to_string(run.join("run.toml")).unwrap();
    let unfinished =
        text.replace("status = \"finished\"", "status = \"running\"").replace("started = \"20", "started = \"99");
    session.file(&format!("runs/{name}/run.toml"), &unfinished);
    session.kiln("evaluate train own.csv").succeeds();
    let printed = session.kiln(&format!("evaluate {name} own.csv"));
    assert_eq!(printed.code, 1);
    assert!(printed.message().contains("has no model"), "{}", printed.message());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    use std::process::Stdio;
    let session = Session::new();
    for line in ["data list", "data show spambase --json"] {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"))
            .args(line.split_whitespace())
            .current_dir(session.path())
            .env("KILN_DATA", crate::session::DATA)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_set_is_shown_with_its_features_and_a_text_with_its_words() {
    let session = Session::new();
    let shown = session.kiln("data show wine").succeeds().out;
    assert!(shown.contains("Features") && shown.contains("classes: "), "{shown}");
    let shown = json(&session.kiln("data show digits --json").succeeds().out);
    assert_eq!(shown["sheet"], "contact-sheet.png");
    let sheet = image::open(session.path().join("contact-sheet.png")).unwrap();
    assert_eq!(sheet.height(), 10 * 34 + 2, "a row for each of the ten digits");
    let shown = json(&session.kiln("data show linnerud --json").succeeds().out);
    assert_eq!(shown["targets"]["columns"].as_array().map(Vec::len), Some(3));
    let shown = session.kiln("data show austen").succeeds().out;
    for part in ["austen-emma", "vocabulary", "most frequent: the "] {
        assert!(shown.contains(part), "{shown}");
    }
    let printed = session.kiln("data show digits --sheet nowhere/../occupied.png");
    assert!(printed.out.contains("rows of shape"), "{}", printed.message());
}

#[test]
fn flags_say_how_data_is_read() {
    let session = Session::new();
    let rows: String = (0..300).map(|row| format!("id{row},{},{}\n", row % 7, row % 30)).collect();
    session.file("own.csv", format!("id,a,y\n{rows}"));
    let shown = |flags: &str| json(&session.kiln(&format!("data show own.csv --json {flags}")).succeeds().out);
    assert_eq!(shown("--ignore id")["task"], "values");
    assert_eq!(shown("--ignore id --task classify")["classes"].as_array().map(Vec::len), Some(30));
    assert_eq!(shown("--ignore id")["features"].as_array().map(Vec::len), Some(1));
    session.file("bare.csv", "x,p\ny,q\n".repeat(30));
    let bare = json(&session.kiln("data show bare.csv --no-header --json").succeeds().out);
    assert_eq!(bare["features"][0]["name"], "column1=x");
    assert_eq!(session.kiln("data show own.csv --image-size 3").code, 2);
    assert_eq!(session.kiln("data show own.csv --ignore other").code, 2);
}
