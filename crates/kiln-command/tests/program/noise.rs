//! Wrong labels, put in on purpose and looked for.

use serde_json::Value;

use crate::session::Session;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Two classes far apart on a line; the labels of `wrong` rows are the other one's.
fn apart(rows: usize, wrong: &[usize]) -> String {
    let line = |row: usize| {
        let right = row.is_multiple_of(2);
        let place = if right { row as f64 / 100.0 } else { 5.0 + row as f64 / 100.0 };
        format!("{place},{}\n", if right != wrong.contains(&row) { "low" } else { "high" })
    };
    std::iter::once("x,y\n".to_string()).chain((0..rows).map(line)).collect()
}

#[test]
fn corrupted_labels_are_written_and_read_as_those_of_an_annotator() {
    let session = Session::new();
    let line = "data corrupt digits --label-noise uniform:0.4 --out labels.csv --json";
    let summary = json(&session.kiln(line).succeeds().out);
    let table = std::fs::read_to_string(session.path().join("labels.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    let rows = summary["rows"].as_u64().unwrap();
    assert_eq!((lines[0], lines.len() as u64), ("row,label,noisy,flipped", rows + 1));
    let flipped = lines.iter().filter(|line| line.ends_with(",1")).count() as u64;
    assert_eq!(summary["flipped"].as_u64().unwrap(), flipped);
    assert!((flipped as f64 / rows as f64 - 0.36).abs() < 0.05, "{flipped} of {rows}");
    session.kiln("train --data digits --epochs 1 --label-noise annotators:labels.csv").succeeds();
    let refused = session.kiln("train --data digits --seed 2 --epochs 1 --label-noise annotators:labels.csv");
    // Another seed splits the rows in another way, which the labels betray.
    assert_eq!(refused.code, 1);
    assert!(refused.message().contains("labels.csv"), "{}", refused.message());
}

#[test]
fn noise_costs_accuracy_and_robust_losses_less_of_it() {
    let session = Session::new();
    let line = "compare --data digits --label-noise uniform:0.6 --loss cross-entropy,gce --optimizer sgdm \
                --lr 0.1 --epochs 25 --seeds 1 --json";
    let printed = session.kiln(line).succeeds().out;
    let rows = json(&printed);
    let rows = rows.as_array().or_else(|| rows["rows"].as_array()).unwrap_or_else(|| panic!("{printed}"));
    let accuracy = |loss: &str| {
        let row = rows.iter().find(|row| row["loss"].as_str().unwrap().starts_with(loss)).unwrap();
        row["mean"].as_f64().unwrap_or_else(|| panic!("{printed}"))
    };
    assert!(accuracy("gce") > accuracy("cross-entropy") + 0.03, "{printed}");
}

#[test]
fn noise_that_cannot_be_is_refused() {
    let session = Session::new();
    for (noise, part) in [("uniform:2", "[0, 1]"), ("unifrom:0.3", "is needed"), ("asymmetric:0.3:0/x", "no class")] {
        let printed = session.kiln(&format!("train --data digits --epochs 1 --label-noise {noise}"));
        assert_eq!(printed.code, 2, "{noise}: {}", printed.message());
        assert!(printed.message().contains(part), "{noise}: {}", printed.message());
    }
    let printed = session.kiln("data corrupt diabetes_efron --label-noise uniform:0.3");
    assert_eq!(printed.code, 2, "{}", printed.message());
    assert!(!session.path().join("runs").exists());
}

#[test]
fn labels_that_look_wrong_are_listed_first() {
    let session = Session::new();
    let wrong = [6, 31, 58, 77];
    session.file("own.csv", apart(120, &wrong));
    let printed = session.kiln("noisy-labels own.csv --rows 4 --json").succeeds().out;
    let mut rows: Vec<usize> = json(&printed)["suspects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|suspect| suspect["row"].as_u64().unwrap() as usize - 1)
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, wrong, "{printed}");
    let shown = session.kiln("noisy-labels own.csv --rows 2").succeeds().out;
    assert!(shown.contains("2 of 120 training rows"), "{shown}");
    let refused = session.kiln("noisy-labels own.csv --lambda0 0");
    assert_eq!(refused.code, 2);
    assert!(refused.message().contains("lambda0 = 0"), "{}", refused.message());
    let refused = session.kiln("noisy-labels own.csv --rows 0");
    assert_eq!(refused.code, 2);
    assert!(refused.message().contains("rows") && refused.message().contains("above 0"), "{}", refused.message());
}
