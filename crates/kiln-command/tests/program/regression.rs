//! Numbers instead of classes: trained, judged, compared, predicted, and refused where they do not fit.

use serde_json::Value;

use crate::session::{Session, json, table};

/// `rows` rows of `y = 100 + 30 a - 20 b`, which a line explains.
fn line(rows: usize) -> String {
    let row = |row: usize| {
        let (a, b) = (row % 7, (row * row) % 11);
        format!("{a},{b},{}\n", 100.5 + 30.0 * a as f64 - 20.0 * b as f64)
    };
    std::iter::once("a,b,y\n".to_string()).chain((0..rows).map(row)).collect()
}

const LINEAR: &str = "train --data own.csv --model linear --epochs 60 --lr 0.05";

#[test]
fn a_number_is_learnt_judged_and_predicted_in_its_own_unit() {
    let session = Session::new();
    session.file("own.csv", line(200));
    let summary = json(&session.kiln(&format!("{LINEAR} --json")).succeeds().out);
    assert_eq!(summary["loss"], "mse");
    let figure = |split: &str, name: &str| summary[split][name].as_f64().unwrap();
    // The target's deviation is about 85: an error below 2 is one in its own unit.
    assert!(figure("test", "rmse") < 2.0 && figure("test", "mae") <= figure("test", "rmse"), "{summary}");
    assert!(figure("validation", "r2") > 0.99 && summary.get("test_accuracy").is_none(), "{summary}");
    let run = session.run("train");
    let saved = std::fs::read_to_string(run.join("model.toml")).unwrap();
    assert!(saved.contains("task = \"regress\"") && saved.contains("means = ["), "{saved}");
    assert!(!std::fs::read_to_string(run.join("metrics.jsonl")).unwrap().contains("accuracy"));

    let judged = json(&session.kiln("evaluate train own.csv --json").succeeds().out);
    assert_eq!(judged["rmse"], summary["test"]["rmse"]);
    assert_eq!((&judged["rows_used"], &judged["targets"][0]["name"]), (&"test".into(), &"y".into()));
    assert!(run.join("predicted.png").is_file());
    let shown = session.kiln("evaluate train own.csv").succeeds().out;
    assert!(shown.contains("RMSE") && shown.contains("R2") && shown.contains("predicted against true: "), "{shown}");

    session.file("new.csv", "a,b\n0,0\n1,0\n0,5\n");
    let lines = session.kiln("predict train new.csv").succeeds().out;
    let values: Vec<f64> = lines.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(lines.lines().next(), Some("y"));
    for (found, expected) in values.iter().zip([100.5, 130.5, 0.5]) {
        assert!((found - expected).abs() < 6.0, "{lines}");
    }
    let lines = session.kiln("predict train new.csv --format jsonl").succeeds().out;
    assert!((json(lines.lines().next().unwrap())["y"].as_f64().unwrap() - values[0]).abs() < 1e-4, "{lines}");
}

#[test]
fn every_loss_on_numbers_learns_a_line() {
    let session = Session::new();
    session.file("own.csv", line(150));
    let flags = "--model linear --epochs 40 --lr 0.05 --batch-size 16 --seeds 2 --json";
    let losses = "mse,l1,huber:delta=0.5,log-cosh";
    let rows = json(&session.kiln(&format!("compare --data own.csv --loss {losses} {flags}")).succeeds().out);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 4);
    let means: Vec<f64> = rows.iter().map(|row| row["mean"].as_f64().unwrap()).collect();
    assert!(means.is_sorted() && means[3] < 20.0, "{means:?}");
    let first = rows.iter().find(|row| row["loss"] == "mse").unwrap();
    assert_eq!(first["difference"][0].as_f64(), Some(0.0));
    let shown = session.kiln("compare --data own.csv --model linear --epochs 2 --seeds 2 --metric r2").succeeds().out;
    assert!(shown.contains("mse"), "{shown}");
}

#[test]
fn several_numbers_are_learnt_together() {
    let session = Session::new();
    let summary = json(&session.kiln("train --data linnerud --epochs 3 --json").succeeds().out);
    let names: Vec<&str> =
        summary["test"]["targets"].as_array().unwrap().iter().map(|target| target["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3);
    let shown = session.kiln("evaluate train linnerud").succeeds().out;
    assert!(names.iter().all(|name| shown.contains(name)) && shown.contains("mean"), "{shown}");
    let lines = session.kiln("predict train linnerud").succeeds().out;
    assert_eq!(lines.lines().next(), Some(names.join(",").as_str()));
    let two = format!("train --data linnerud --target {},{} --epochs 2 --json", names[0], names[1]);
    assert_eq!(json(&session.kiln(&two).succeeds().out)["test"]["targets"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_does_not_fit_numbers_is_refused_before_anything_is_written() {
    let session = Session::new();
    session.file("own.csv", line(60));
    session.file("classes.csv", table(60));
    session.file("constant.csv", "a,y\n1,2.5\n2,2.5\n3,2.5\n".to_string() + &"4,2.5\n".repeat(40));
    session.file("holes.csv", line(60).replacen("130.5", "nan", 1));
    session.file("endless.csv", line(60).replacen("130.5", "inf", 1));
    session.file("few.csv", "a,y\n1,2.5\n2,3.5\n");
    for (arguments, code, expected) in [
        ("--data own.csv --loss cross-entropy", 2, "for numbers there are: mse, l1, huber, log-cosh"),
        ("--data own.csv --loss mae", 2, "loss 'mae' is for classes, and the target is numbers"),
        ("--data own.csv --loss hubber", 2, "did you mean 'huber'?"),
        ("--data own.csv --loss huber:delta=0", 2, "delta = 0 is out of range"),
        ("--data classes.csv --loss mse", 2, "loss 'mse' is for numbers, and the target is classes"),
        ("--data classes.csv --task regress", 1, "column y: found `p`, expected a number, for regression"),
        ("--data own.csv --target z", 2, "no column `z`"),
        ("--data own.csv --target y,z", 2, "no column `z`"),
        ("--data own.csv --watch confusion", 2, "for numbers there are: filters"),
        ("--data constant.csv", 1, "every training row has y = 2.5"),
        ("--data holes.csv", 1, "column y: found a missing target, expected a number in every row"),
        ("--data endless.csv", 1, "column y: found `inf`, expected a finite number"),
        ("--data few.csv", 1, "split is empty"),
    ] {
        let printed = session.kiln(&format!("train {arguments}"));
        assert!(printed.message().contains(expected), "{arguments}: {}", printed.message());
        assert_eq!(printed.code, code, "{arguments}: {}", printed.message());
        assert!(!session.path().join("runs").exists(), "{arguments} left a run");
    }
    for (arguments, expected) in [
        ("--data own.csv --metric accuracy", "the target is numbers; use rmse, mae or r2"),
        ("--data classes.csv --metric rmse", "the target is classes; use accuracy"),
        ("--data own.csv --loss mse,gce", "loss 'gce' is for classes"),
    ] {
        let printed = session.kiln(&format!("compare {arguments}"));
        assert_eq!(printed.code, 2, "{arguments}: {}", printed.message());
        assert!(printed.message().contains(expected), "{arguments}: {}", printed.message());
        assert!(!session.path().join("runs").exists(), "{arguments} left a run");
    }
}

#[test]
fn a_model_of_numbers_is_not_judged_on_classes() {
    let session = Session::new();
    session.file("own.csv", line(60));
    session.kiln(&LINEAR.replace("60", "2")).succeeds();
    session.file("classes.csv", table(20));
    let printed = session.kiln("evaluate train classes.csv");
    assert_eq!(printed.code, 1);
    assert!(printed.message().contains("column y: found text such as `p`, expected numbers"), "{}", printed.message());
    session.file("bare.csv", "a,b\n1,2\n");
    let printed = session.kiln("evaluate train bare.csv");
    assert_eq!(printed.code, 2);
    assert!(printed.message().contains("no numbers to judge by"), "{}", printed.message());
}

#[test]
fn a_resumed_training_of_numbers_has_its_course() {
    let session = Session::new();
    session.file("own.csv", line(80));
    session.kiln(&LINEAR.replace("60", "3")).succeeds();
    let before = std::fs::read(session.run("train").join("model.safetensors")).unwrap();
    let summary: Value = json(&session.kiln("resume train --json").succeeds().out);
    assert_eq!(summary["epochs"], 3);
    assert!(before == std::fs::read(session.run("train").join("model.safetensors")).unwrap());
}

#[test]
fn small_units_are_not_rounded_away() {
    let session = Session::new();
    // y = 3e-9 a, for a from 0 to 6.
    let rows: String = (0..80).map(|row| format!("{},{}e-9\n", row % 7, 3 * (row % 7))).collect();
    session.file("own.csv", format!("a,y\n{rows}"));
    let shown = session.kiln("train --data own.csv --model linear --epochs 40 --lr 0.05").succeeds().out;
    assert!(shown.contains("RMSE ") && shown.contains("e-"), "{shown}");
    session.file("new.csv", "a\n6\n");
    let lines = session.kiln("predict train new.csv").succeeds().out;
    let value: f64 = lines.lines().nth(1).unwrap().parse().unwrap();
    assert!((value - 18e-9).abs() < 2e-9, "{lines}");
    let object = session.kiln("predict train new.csv --format jsonl").succeeds().out;
    assert!((json(object.lines().next().unwrap())["y"].as_f64().unwrap() - value).abs() < 1e-6 * value, "{object}");
}

#[test]
fn a_description_without_its_scale_predicts_nothing() {
    let session = Session::new();
    session.file("own.csv", line(60));
    session.kiln("train --data own.csv --model linear --epochs 2").succeeds();
    let path = session.run("train").join("model.toml");
    let whole = std::fs::read_to_string(&path).unwrap();
    let scale = whole.lines().find(|line| line.starts_with("deviations = [")).unwrap();
    for changed in ["deviations = [0.0]", "deviations = []"] {
        std::fs::write(&path, whole.replace(scale, changed)).unwrap();
        let printed = session.kiln("predict train own.csv");
        assert_eq!(printed.code, 1, "{}", printed.out);
        assert!(printed.message().contains("deviations above 0 are needed"), "{}", printed.message());
    }
}
