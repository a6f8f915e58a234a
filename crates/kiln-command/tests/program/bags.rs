//! Means of bags: made, made private, planned, learnt from, judged and refused.

use serde_json::Value;

use crate::session::{Session, json};

/// `rows` rows of `y = 2.5 + 3 a - b` in bags of four, whose rows hold their own target or the mean over the bag.
fn linear(rows: usize, in_bags: bool) -> String {
    let features = |row: usize| [((row * 7) % 11) as f64, ((row * row) % 13) as f64];
    let target = |row: usize| 2.5 + 3.0 * features(row)[0] - features(row)[1];
    let mean = |row: usize| (0..4).map(|place| target(row - row % 4 + place)).sum::<f64>() / 4.0;
    let line = |row: usize| {
        let [a, b] = features(row);
        format!("{},{a},{b},{}\n", row / 4, if in_bags { mean(row) } else { target(row) })
    };
    std::iter::once("id,a,b,y\n".to_string()).chain((0..rows).map(line)).collect()
}

/// Rows of two classes in bags of three, with the proportions of the bag.
fn proportions(rows: usize) -> String {
    let is_high = |row: usize| (row * 5) % 7 > 2;
    let line = |row: usize| {
        let share = (0..3).filter(|place| is_high(row - row % 3 + place)).count() as f64 / 3.0;
        let a = if is_high(row) { 2.0 } else { -2.0 } + 0.1 * (row % 4) as f64;
        format!("bag{},{a},{:.6},{:.6}\n", row / 3, 1.0 - share, share)
    };
    std::iter::once("id,a,low,high\n".to_string()).chain((0..rows).map(line)).collect()
}

const LINEAR: &str = "train --data own.csv --bags id --model linear --epochs 60 --lr 0.05 --batch-size 16";

#[test]
fn a_model_learns_single_rows_from_the_means_of_bags() {
    let session = Session::new();
    session.file("own.csv", linear(400, true));
    let summary = json(&session.kiln(&format!("{LINEAR} --loss aggregate:bag --json")).succeeds().out);
    assert_eq!(summary["loss"], "aggregate:interpolate=0");
    let bags: Vec<u64> = summary["bags"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
    assert_eq!((bags.iter().sum::<u64>(), bags[2]), (100, 20));
    let rows: Vec<u64> = summary["rows"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
    assert!(rows.iter().zip(&bags).all(|(rows, bags)| *rows == 4 * bags), "a bag was cut: {rows:?} {bags:?}");
    assert!(summary["test"]["r2"].as_f64().unwrap() > 0.99, "{summary}");
    assert_eq!(summary.get("test_rows"), None);

    let judged = json(&session.kiln("evaluate train own.csv --json").succeeds().out);
    assert_eq!((&judged["bags"]["rmse"], &judged["bags"]["examples"]), (&summary["test"]["rmse"], &20.into()));
    assert_eq!(judged["rows_used"], "test");
    session.file("new.csv", "a,b\n0,0\n10,0\n0,12\n");
    let lines = session.kiln("predict train new.csv").succeeds().out;
    let found: Vec<f64> = lines.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    for (found, expected) in found.iter().zip([2.5, 32.5, -9.5]) {
        assert!((found - expected).abs() < 2.0, "{lines}");
    }
    // Another file is judged with all its bags, which it has to say.
    session.file("more.csv", linear(40, true));
    let all = json(&session.kiln("evaluate train more.csv --json").succeeds().out);
    assert_eq!((&all["rows_used"], &all["bags"]["examples"]), (&"all".into(), &10.into()));
    let without = session.kiln("evaluate train new.csv");
    assert!(without.code != 0 && without.message().contains("new.csv: no column"), "{}", without.message());
}

#[test]
fn rows_with_targets_of_their_own_are_averaged_and_judged_one_by_one() {
    let session = Session::new();
    session.file("own.csv", linear(400, false));
    let refused = session.kiln(LINEAR);
    let message = refused.message();
    assert_eq!(refused.code, 1, "{message}");
    for part in ["own.csv, line 3, column y", "in bag 0, which has 2.5 in line 2", "--bag-targets row takes the mean"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let rows = session.kiln(&format!("{LINEAR} --bag-targets row --loss aggregate:interpolate=0.01 --json")).succeeds();
    let summary = json(&rows.out);
    assert!(summary["test_rows"]["r2"].as_f64().unwrap() > 0.9, "{summary}");
    assert!(summary["validation"].get("rmse").is_some() && summary.get("validation_rows").is_none(), "{summary}");
    // The training knows no more than it does of the means.
    session.file("means.csv", linear(400, true));
    let means = LINEAR.replace("own.csv", "means.csv");
    let same = json(&session.kiln(&format!("{means} --loss aggregate:interpolate=0.01 --json")).succeeds().out);
    let loss = |summary: &Value| summary["validation_loss"].as_f64().unwrap();
    assert!((loss(&same) / loss(&summary) - 1.0).abs() < 1e-3, "{same} {summary}");
    let shown = session.kiln(&format!("{LINEAR} --bag-targets row --loss aggregate:instance")).succeeds().out;
    assert!(shown.contains("bags        ") && shown.contains("test rows   RMSE"), "{shown}");
    let judged = json(&session.kiln("evaluate train own.csv --json").succeeds().out);
    assert!(judged["rows"]["rmse"].as_f64().unwrap() > 0.0 && judged["bags"]["rmse"].as_f64().unwrap() > 0.0);
    // Rows without bags can be judged one by one.
    session.file("single.csv", "a,b,y\n1,2,3\n4,5,9\n");
    let single = json(&session.kiln("evaluate train single.csv --json").succeeds().out);
    assert_eq!(single["examples"], 2);
}

#[test]
fn classes_are_learnt_from_proportions() {
    let session = Session::new();
    session.file("own.csv", proportions(360));
    let line =
        "train --data own.csv --bags id --task classify --target low,high --model mlp:hidden=8 --epochs 60 --lr 0.02";
    let summary = json(&session.kiln(&format!("{line} --json")).succeeds().out);
    assert_eq!(summary["loss"], "aggregate");
    assert!(summary["test"]["divergence"].as_f64().unwrap() < 0.1, "{summary}");
    session.file("new.csv", "a\n2.2\n-1.9\n");
    let lines = session.kiln("predict train new.csv").succeeds().out;
    let classes: Vec<&str> = lines.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(classes, ["high", "low"], "{lines}");
    let judged = session.kiln("evaluate train own.csv").succeeds().out;
    assert!(judged.contains("share in the wrong class") && judged.contains("means of bags: "), "{judged}");
}

#[test]
fn the_share_is_chosen_by_cross_validation_over_bags() {
    let session = Session::new();
    session.file("own.csv", linear(160, true));
    let line = "train --data own.csv --bags id --model linear --epochs 60 --lr 0.05 --batch-size 16 \
                --loss aggregate:interpolate=auto,folds=2";
    let shown = session.kiln(line).succeeds().out;
    assert_eq!(shown.matches("yes").count(), 1, "{shown}");
    let found = json(&session.kiln(&format!("{line} --json")).succeeds().out);
    let rho = found["choice"]["rho"].as_f64().unwrap();
    assert_eq!(found["loss"], format!("aggregate:interpolate={rho}"));
    let errors = found["choice"]["errors"].as_array().unwrap();
    let mean = |error: &Value| error["mean"].as_f64().unwrap();
    let best = errors.iter().min_by(|a, b| mean(a).total_cmp(&mean(b))).unwrap();
    assert_eq!((best["rho"].as_f64(), best["held_out"].as_array().map(Vec::len)), (Some(rho), Some(2)));
    // A device that is not there is found out before any training, not after forty.
    let printed = session.kiln(&format!("{line} --device cudaa"));
    assert!(printed.code == 2 && !printed.message().contains("cross-validation over"), "{}", printed.message());
    // Without noise the means tell everything, and copying them to the rows shrinks the model.
    let saved = std::fs::read_to_string(session.run("train").join("model.toml")).unwrap();
    let chosen = ["interpolate=0\"", "interpolate=0.0"];
    assert!(chosen.iter().any(|rho| saved.contains(&format!("loss = \"aggregate:{rho}"))), "{saved}");
    let resumed = session.kiln("resume train");
    assert!(resumed.message().contains("finished") || resumed.code == 0, "{}", resumed.message());
}

#[test]
fn a_killed_training_on_bags_goes_on_where_it_stopped() {
    let session = Session::new();
    session.file("own.csv", linear(2000, true));
    let line = "train --data own.csv --bags id --model mlp:hidden=64 --epochs 24 --lr 0.01 --batch-size 8";
    let whole = json(&session.kiln(&format!("{line} --out whole --json")).succeeds().out);
    session.killed(line);
    let resumed = json(&session.kiln("resume train --json").succeeds().out);
    assert_eq!(resumed["validation_loss"], whole["validation_loss"]);
    assert_eq!(resumed["test"], whole["test"]);
}

#[track_caller]
fn refused(session: &Session, line: &str, code: i32, parts: &[&str]) {
    let printed = session.kiln(line);
    let message = printed.message();
    assert_eq!(printed.code, code, "{line}: {message}");
    for part in parts {
        assert!(message.contains(part), "{line}: `{part}` is not in: {message}");
    }
}

#[test]
fn bad_bags_are_refused_with_what_would_be_right() {
    let session = Session::new();
    session.file("own.csv", linear(80, true));
    session.file("half.csv", linear(80, true).replacen("\n3,", "\n3.5,", 1));
    session.file("hole.csv", linear(80, true).replacen("\n3,", "\n,", 1));
    session.file("shares.csv", proportions(60).replacen("0.666667", "0.9", 1));
    session.file("two.csv", linear(8, true));
    let train = |rest: &str| format!("train --epochs 1 --data {rest}");
    refused(
        &session,
        &train("own.csv --bags idd"),
        2,
        &["own.csv: no column `idd` (did you mean `id`?); the columns are"],
    );
    refused(&session, &train("own.csv --bags y --target y"), 2, &["--bags = y", "column to predict"]);
    refused(
        &session,
        &train("half.csv --bags id"),
        1,
        &["half.csv, line 14, column id", "found 3.5", "expected the id of a bag: text, or a whole number"],
    );
    refused(&session, &train("hole.csv --bags id"), 1, &["hole.csv, line 14, column id", "found nothing"]);
    let classes = "shares.csv --bags id --task classify --target low,high";
    refused(
        &session,
        &train(classes),
        1,
        &["shares.csv, line", "proportions that sum to", "expected proportions that sum to 1"],
    );
    session.file("cut/train.csv", linear(80, true));
    session.file("cut/test.csv", linear(8, true));
    refused(
        &session,
        &train("cut --bags id"),
        1,
        &["cut/test.csv, line 2, column id: found bag 0", "cut/train.csv has rows"],
    );
    refused(&session, &train("two.csv --bags id"), 1, &["test split: no bag of 2", "bags are never cut"]);
    refused(&session, &train("digits --bags id"), 2, &["--bags = id", "a column of a table, and digits is none"]);
    let bags = |rest: &str| train(&format!("own.csv --bags id {rest}"));
    refused(&session, &bags("--loss mse"), 2, &["'mse' is for the targets of single rows", "there are: aggregate"]);
    refused(&session, &bags("--loss aggregate:interpolate=-1"), 2, &["interpolate=-1 is not a number of at least 0"]);
    refused(
        &session,
        &bags("--loss aggregate:interpolate=auto,folds=90"),
        2,
        &["`folds` cannot be `90`", "training bags"],
    );
    refused(&session, &bags("--watch sharpness"), 2, &["--watch sharpness", "means of bags"]);
    refused(&session, &bags("--label-noise uniform:0.2"), 2, &["label-noise", "rows in bags have no labels"]);
    refused(&session, &bags("--output-layer factored"), 2, &["output-layer", "dense"]);
    refused(&session, &bags("--bag-targets mine"), 2, &["bag or row is needed"]);
    refused(&session, &train("own.csv --bag-targets row"), 2, &["bag-targets", "--bags"]);
    refused(&session, &train("own.csv --loss aggregate:bag"), 2, &["loss 'aggregate'", "--bags"]);
    assert!(!session.path().join("runs").exists(), "something was left behind");
}

#[test]
fn targets_become_means_of_bags() {
    let session = Session::new();
    session.file("rows.csv", linear(30, false));
    let made = session.kiln("data aggregate rows.csv --bag-size 4 --out bags.csv").succeeds().out;
    assert!(
        made.contains("8 bags of 2 to 4 rows, 30 rows in all") && made.contains("kiln train --data bags.csv"),
        "{made}"
    );
    let text = std::fs::read_to_string(session.path().join("bags.csv")).unwrap();
    assert_eq!((text.lines().count(), text.lines().next()), (31, Some("bag,id,a,b,y")));
    let summary = json(&session.kiln("train --data bags.csv --bags bag --ignore id --epochs 1 --json").succeeds().out);
    assert_eq!(summary["bags"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 8);

    let by = "data aggregate rows.csv --by id --bag-column group --out by.csv --json";
    let document = json(&session.kiln(by).succeeds().out);
    assert_eq!((&document["bags"], &document["privacy"]), (&8.into(), &Value::Null));
    let text = std::fs::read_to_string(session.path().join("by.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // The first four targets are 2.5, 22.5, 7.5 and 23.5.
    assert_eq!((lines[0], lines[1]), ("group,a,b,y", "0,0,0,14"));
    let dropped = session.kiln("data aggregate rows.csv --bag-size 4 --drop-leftover --out d.csv").succeeds().out;
    assert!(dropped.contains("7 bags of 4 to 4 rows, 28 rows in all, 2 left out"), "{dropped}");

    let classes = session.kiln("data aggregate iris --bag-size 10 --out iris.csv").succeeds().out;
    assert!(classes.contains("--task classify"), "{classes}");
    let text = std::fs::read_to_string(session.path().join("iris.csv")).unwrap();
    let shares: Vec<f64> = text.lines().nth(1).unwrap().rsplit(',').take(3).map(|cell| cell.parse().unwrap()).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
}

#[test]
fn private_means_come_with_their_account() {
    let session = Session::new();
    session.file("rows.csv", linear(200, false));
    let line = "data aggregate rows.csv --bag-size 8 --epsilon 1 --clip 0,20";
    let first = session.kiln(&format!("{line} --out one.csv")).succeeds().out;
    for part in [
        "privacy: epsilon 1 (laplace noise)",
        "standard deviation 3.536",
        "clipped: ",
        "This count is exact, no noise covers it",
        "costs the same again",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    session.kiln(&format!("{line} --out two.csv")).succeeds();
    let read = |name: &str| std::fs::read_to_string(session.path().join(name)).unwrap();
    assert_ne!(read("one.csv"), read("two.csv"), "the noise is the same twice");
    let gaussian = format!("{line} --mechanism gaussian --delta 1e-6 --out three.csv --json");
    let document = json(&session.kiln(&gaussian).succeeds().out);
    assert_eq!(
        (&document["privacy"]["mechanism"]["noise"], &document["privacy"]["rows"]),
        (&"gaussian".into(), &200.into())
    );
    // The count is beside the account, which holds nothing that depends on the targets.
    assert!(document["not_private"]["clipped"].as_u64().unwrap() > 0, "{document}");
    assert!(!document["privacy"].to_string().contains("clip"), "{document}");
    refused(&session, &format!("{line} --out one.csv --delta 0.1"), 2, &["--delta 0.1", "laplace noise has none"]);
    refused(&session, &format!("{line} --out one.csv --mechanism gaussian"), 2, &["needs --delta"]);
    let other = |rest: &str| format!("data aggregate rows.csv --out x.csv --bag-size 8 {rest}");
    refused(&session, &other("--epsilon 1"), 2, &["--epsilon needs --clip"]);
    for epsilon in ["0", "-1", "nan", "1e-9"] {
        refused(&session, &other(&format!("--epsilon {epsilon} --clip 0,1")), 2, &["--epsilon", "from 0.001"]);
    }
    refused(&session, &other("--epsilon 1 --clip 3,3"), 2, &["below the upper one"]);
    for clip in ["0,5e-324", "-1e308,1e308"] {
        let parts = ["--clip", clip, "from 1e-140 to 1e140 wide"];
        refused(&session, &other(&format!("--epsilon 1 --clip={clip}")), 2, &parts);
    }
    refused(&session, &other("--epsilon 1 --clip 3"), 2, &["two numbers joined by a comma"]);
    refused(&session, &other("--clip 0,1"), 2, &["--epsilon"]);
    refused(&session, "data aggregate iris --out x.csv --bag-size 8 --epsilon 1 --clip 0,1", 2, &["holds classes"]);
    refused(&session, "data aggregate rows.csv --out x.csv", 2, &["--bag-size K", "--by COLUMN"]);
    refused(&session, "data aggregate rows.csv --out x.csv --bag-size 0", 2, &["bag-size = 0"]);
    refused(&session, "data aggregate rows.csv --out x.csv --bag-size 201", 2, &["at most all 200"]);
    refused(&session, "data aggregate rows.csv --out x.csv --by y", 2, &["--by = y", "column that is averaged"]);
    refused(&session, "data aggregate rows.csv --out x.csv --by idd", 2, &["did you mean `id`?"]);
    refused(&session, "data aggregate rows.csv --out x.csv --bag-size 4 --bag-column a", 2, &["--bag-column = a"]);
    refused(
        &session,
        "data aggregate rows.csv --out x.csv --bag-size 4 --bag-column y",
        2,
        &["--bag-column = y", "means"],
    );
    session.file("commas.csv", "a,y\n1,\"low, wet\"\n2,high\n3,high\n");
    refused(&session, "data aggregate commas.csv --out x.csv --bag-size 3", 2, &["`low, wet` has a comma", "rename"]);
    refused(&session, "data aggregate digits --out x.csv --bag-size 4", 2, &["a table is needed"]);
    assert!(!session.path().join("x.csv").exists());
}

#[test]
fn a_plan_names_the_best_bag_size_and_share() {
    let session = Session::new();
    // The problem of 20 rows for each feature, r2 = 1, s2 = 0.5 and a range of 4, in units of the noise.
    let plan = |epsilon: &str| {
        let line = "data aggregate --plan --rows 2000 --features 100 --signal-to-noise 2 --json";
        let range = 4.0 / 0.5_f64.sqrt();
        json(&session.kiln(&format!("{line} --epsilon {epsilon} --range {range}")).succeeds().out)
    };
    let best = ["0.5", "1", "2", "8"].map(|epsilon| plan(epsilon)["best_bag_size"].as_u64().unwrap());
    assert!(best.is_sorted_by(|a, b| a >= b) && best[0] >= 6 && best[3] == 1, "{best:?}");
    let shown = session.kiln("data aggregate --plan --rows 1000 --features 100 --signal-to-noise 1").succeeds().out;
    assert!(shown.contains("0.134") && shown.contains("0.3637"), "{shown}");
    let refused_plan =
        |rest: &str, parts: &[&str]| refused(&session, &format!("data aggregate --plan {rest}"), 2, parts);
    refused_plan("--rows 100 --features 10", &["--signal-to-noise"]);
    refused_plan("--rows 10 --features 10 --signal-to-noise 1", &["more rows than features"]);
    refused_plan("--rows 100 --features 10 --signal-to-noise 0", &["--signal-to-noise 0"]);
    refused_plan("--rows 100 --features 10 --signal-to-noise 1 --epsilon 1", &["--epsilon needs --range"]);
    refused_plan("--rows 100 --features 10 --signal-to-noise 1 --epsilon 1 --range 0", &["--range 0", "above 0"]);
    refused_plan(
        "--rows 100 --features 10 --signal-to-noise 1 --epsilon 1 --range 1e200",
        &["--range 1e200: it must be"],
    );
}
