//! Training on one's own data, and what is done with the model.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::session::{Session, json, table};

#[test]
fn a_model_is_trained_judged_and_used() {
    let session = Session::new();
    let summary = json(&session.kiln("train --data digits --epochs 8 --model mlp:hidden=64 --json").succeeds().out);
    let accuracy = summary["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.85, "{accuracy}");
    let run = session.run("train");
    for file in ["model.safetensors", "model.toml", "run.toml", "metrics.jsonl", "report.html", "artifacts/loss.png"] {
        assert!(run.join(file).is_file(), "{file}");
    }

    let judged = json(&session.kiln("evaluate train digits --json").succeeds().out);
    assert_eq!(judged["accuracy"], summary["test_accuracy"]);
    assert!(run.join("confusion.png").is_file());
    let shown = session.kiln("evaluate train digits").succeeds().out;
    for figure in ["accuracy", "macro-F1", "log-loss", "Brier score", "calibration error"] {
        assert!(shown.contains(figure), "{shown}");
    }

    let lines = session.kiln("predict train digits --format jsonl").succeeds().out;
    let rows: Vec<Value> = lines.lines().map(json).collect();
    assert_eq!(rows.len() as u64, summary["rows"][2].as_u64().unwrap());
    let sum: f64 = rows[0]["probability"].as_object().unwrap().values().map(|value| value.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

#[test]
fn a_step_may_be_spread_over_devices() {
    let session = Session::new();
    let line = "train --data digits --epochs 12 --model mlp:hidden=64 --lr 0.003 --device cpu,cpu --json";
    let summary = json(&session.kiln(line).succeeds().out);
    let accuracy = summary["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.85, "{accuracy}");
    let printed = session.kiln("train --data digits --device cpu,abacus");
    assert_eq!(printed.code, 2);
    assert!(printed.message().contains("no device `abacus`"), "{}", printed.message());
}

#[test]
fn curvature_and_slope_are_watched_from_epoch_to_epoch() {
    let session = Session::new();
    session.kiln("train --data digits --epochs 2 --model mlp:hidden=8 --watch sharpness,gradient-norm,ntk").succeeds();
    let metrics = std::fs::read_to_string(session.run("train").join("metrics.jsonl")).unwrap();
    let of_the_kernel = ["ntk/alignment", "ntk/largest", "ntk/effective-rank"];
    for name in ["sharpness/value", "sharpness/residual", "gradient-norm/value"].into_iter().chain(of_the_kernel) {
        let looks = metrics.lines().map(json).filter(|metric| metric["name"] == name);
        let values: Vec<f64> = looks.map(|metric| metric["value"].as_f64().unwrap()).collect();
        assert!(values.len() == 2 && values.iter().all(|value| *value > 0.0), "{name}: {values:?}");
    }
}

#[test]
fn predictions_stand_in_the_order_of_the_rows_of_a_file() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.kiln("train --data own.csv --epochs 2").succeeds();
    session.file("new.csv", "a,b\n1,1\n2,4\n3,9\n");
    let all = session.kiln("predict train own.csv").succeeds().out;
    assert_eq!(all.lines().count(), 61);
    assert_eq!(all.lines().next(), Some("class,probability p,probability q"));
    let new = session.kiln("predict train new.csv").succeeds().out;
    // The rows of the table are a = row mod 7 and b = row squared mod 11: new.csv repeats its rows 1 to 3.
    assert_eq!(new.lines().collect::<Vec<_>>()[1..], all.lines().collect::<Vec<_>>()[2..5]);
    session.kiln("predict train new.csv --to out/new.csv").succeeds();
    assert_eq!(std::fs::read_to_string(session.path().join("out/new.csv")).unwrap(), new);
}

#[test]
fn a_training_does_not_go_on_with_other_data() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.kiln("train --data own.csv --epochs 2").succeeds();
    let model = session.run("train").join("model.toml");
    let before = std::fs::read_to_string(&model).unwrap();
    session.kiln("resume train").succeeds();
    session.file("own.csv", table(61));
    let printed = session.kiln("resume train");
    assert_eq!(printed.code, 1, "{}", printed.out);
    assert!(printed.message().contains("own.csv has changed since the run"), "{}", printed.message());
    assert_eq!(std::fs::read_to_string(&model).unwrap(), before);
}

#[test]
fn a_configuration_gives_the_same_as_flags_and_flags_win() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.file("train.toml", "data = \"own.csv\"\nepochs = 3\nloss = \"comp-sum:tau=1.5\"\nlr = 0.01\n");
    let figures = |line: &str| {
        let summary = json(&session.kiln(line).succeeds().out);
        [&summary["loss"], &summary["epochs"], &summary["validation_loss"]].map(Value::to_string)
    };
    let from_file = figures("train --config train.toml --json");
    assert_eq!(from_file, figures("train --data own.csv --epochs 3 --loss comp-sum:tau=1.5 --lr 0.01 --json"));
    assert_eq!(figures("train --config train.toml --epochs 1 --loss mae --json")[..2], ["\"mae\"", "1"]);
    session.file("wrong.toml", "data = \"own.csv\"\nepoch = 3\n");
    let printed = session.kiln("train --config wrong.toml");
    assert_eq!(printed.code, 2);
    assert!(printed.message().contains("wrong.toml: unknown key `epoch`; did you mean `epochs`?"), "{printed:?}");
    session.file("wrong.toml", "data = \"own.csv\"\nepochs = \"many\"\n");
    let printed = session.kiln("train --config wrong.toml");
    assert_eq!(printed.code, 2);
    assert!(printed.message().contains("line 2") && printed.message().contains("\"many\""), "{printed:?}");
}

#[test]
fn pictures_are_changed_in_training_and_not_in_judging() {
    let session = Session::new();
    let line = "train --data digits --epochs 3 --lr 0.003 --augment crop:padding=1,rotation:degrees=10";
    let summary = json(&session.kiln(&format!("{line} --json")).succeeds().out);
    let saved = std::fs::read_to_string(session.run("train").join("model.toml")).unwrap();
    assert!(saved.contains("augment = [\"crop:padding=1\", \"rotation:degrees=10\"]"), "{saved}");
    let judged = json(&session.kiln("evaluate train digits --json").succeeds().out);
    assert_eq!(judged["accuracy"], summary["test_accuracy"]);
    session.file(
        "train.toml",
        "data = \"digits\"\nepochs = 3\nlr = 0.003\naugment = [\"crop:padding=1\", \"rotation:degrees=10\"]\n",
    );
    let from_file = json(&session.kiln("train --config train.toml --json").succeeds().out);
    assert_eq!(from_file["validation_loss"], summary["validation_loss"]);
    let plain = json(&session.kiln("train --data digits --epochs 3 --lr 0.003 --json").succeeds().out);
    assert_ne!(plain["validation_loss"], summary["validation_loss"]);
}

#[test]
fn every_name_that_can_be_typed_is_shown_with_its_settings() {
    let session = Session::new();
    for (name, parts) in [
        ("cosine", &["schedule cosine", "warmup", "--schedule cosine:warmup=0"][..]),
        ("crop", &["augmentation crop", "padding", "--augment crop:padding=4"]),
        ("confusion", &["probe confusion", "--watch confusion"]),
        ("huber", &["loss huber", "delta", "--data bikeshare --loss huber:delta=1"]),
        ("resnet", &["model resnet", "depth"]),
        ("diffgrad", &["optimizer diffgrad", "friction"]),
    ] {
        let shown = session.kiln(&format!("show {name}")).succeeds().out;
        assert!(parts.iter().all(|part| shown.contains(part)), "{name}: {shown}");
    }
    let printed = session.kiln("show cosin");
    assert_eq!(printed.code, 2);
    assert!(printed.message().contains("unknown name `cosin`; did you mean `cosine`?"), "{}", printed.message());
}

#[test]
fn losses_and_optimizers_are_compared() {
    let session = Session::new();
    session.file("own.csv", table(80));
    let line = "compare --data own.csv --epochs 2 --seeds 2 --optimizer adam,diffgrad \
                --loss cross-entropy,comp-sum:tau=1.5,label-smoothing=0.1 --metric log-loss --json";
    let rows = json(&session.kiln(line).succeeds().out);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 4);
    let means: Vec<f64> = rows.iter().map(|row| row["mean"].as_f64().unwrap()).collect();
    assert!(means.is_sorted(), "{means:?}");
    let first = rows.iter().find(|row| row["loss"] == "cross-entropy" && row["optimizer"] == "adam").unwrap();
    assert_eq!(first["difference"][0].as_f64(), Some(0.0));
    assert!(session.run("compare").join("artifacts/comparison.png").is_file());
}

#[test]
fn a_comparison_repeats_itself_with_dropout_and_draws_and_can_divide_the_rows_for_each_seed() {
    let line = "compare --data sonar --model mlp:hidden=16,dropout=0.5 --loss ens-loss,logistic --optimizer sgdm \
                --lr 0.01 --epochs 3 --seeds 3";
    let rows = |flags: &str| json(&Session::new().kiln(&format!("{line} {flags} --json")).succeeds().out);
    let plain = rows("");
    assert_eq!(rows(""), plain);
    let divided = rows("--resplit");
    assert_eq!(rows("--resplit"), divided);
    assert_ne!(divided, plain);
    let session = Session::new();
    let printed = session.kiln(&format!("{line} --resplit")).succeeds().out;
    let report = std::fs::read_to_string(session.run("compare").join("report.html")).unwrap();
    let remark = "significant at 5 % (two-sided paired t over the seeds, rows divided anew for each seed)";
    assert!(printed.contains(remark) && report.contains(remark), "{printed}");
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_is_written() {
    let session = Session::new();
    session.file("own.csv", table(60));
    for (arguments, code, expected) in [
        ("--data nowhere.csv", 1, "nowhere.csv: no such file or folder"),
        ("--data own.csv --lr 0.01,1e-2", 2, "setting `lr` cannot be `0.01`: each one once"),
        ("--data own.csv --loss mae,mae", 2, "setting `loss` cannot be `mae`: each one once"),
        ("--data own.csv --lr -1,0.1", 2, "setting `lr` cannot be `-1`: a learning rate above 0"),
        ("--data own.csv --device cpu,cpu", 2, "cpu,cpu"),
        ("--data own.csv --model lenet", 2, "for rows of a table use an MLP"),
        ("--data own.csv --loss mae,z-loss --metric brier", 2, "z-loss gives no probabilities"),
        ("--data own.csv --metric f1", 2, "invalid value 'f1'"),
        ("--data own.csv --loss cross-entropy:weights=1/2/3", 2, "3 class weights given for 2 classes"),
    ] {
        let printed = session.kiln(&format!("compare {arguments}"));
        assert_eq!(printed.code, code, "{arguments}: {}", printed.message());
        assert!(printed.message().contains(expected), "{arguments}: {}", printed.message());
        assert!(!session.path().join("runs").exists(), "{arguments} left a run");
    }
}

#[test]
fn trainings_that_diverge_are_told_and_rank_last() {
    let session = Session::new();
    session.file("own.csv", table(80));
    let line = "compare --data own.csv --epochs 8 --seeds 2 --lr 1e4 --optimizer sgd";
    let printed = session.kiln(&format!("{line} --loss squared-error,mae --json"));
    let rows = json(&printed.succeeds().out);
    assert_eq!(rows[1]["loss"], "squared-error");
    assert_eq!((&rows[1]["mean"], rows[1]["diverged"].as_u64()), (&Value::Null, Some(2)));
    let printed = session.kiln(&format!("{line} --loss squared-error"));
    assert_eq!(printed.code, 1);
    assert!(printed.message().contains("every training diverged"), "{}", printed.message());
    assert!(printed.out.contains("(2 diverged)"), "{}", printed.out);
}

#[test]
fn what_cannot_be_trained_is_a_usage_error_with_the_right_value() {
    let session = Session::new();
    session.file("own.csv", table(60));
    for (arguments, expected) in [
        ("", "--data"),
        ("--data own.csv --target z", "no column `z`"),
        ("--data own.csv --model mpl", "did you mean 'mlp'?"),
        ("--data own.csv --model lenet", "for rows of a table use an MLP"),
        ("--data own.csv --loss comp-sum:tau=-1", "tau = -1 is out of range"),
        ("--data own.csv --loss comp-sum:tua=1", "did you mean 'tau'?"),
        ("--data own.csv --optimizer adan", "did you mean 'adam'?"),
        ("--data own.csv --loss cross-entropy:weights=1/2/3", "3 class weights given for 2 classes"),
        ("--data own.csv --epochs 0", "at least 1"),
        ("--data own.csv --lr nan", "a learning rate above 0"),
        ("--data own.csv --lr -1", "setting `lr` cannot be `-1`"),
        ("--data own.csv --validation -0.1", "a fraction above 0 and below 1"),
        ("--data own.csv --schedule cosin", "did you mean 'cosine'?"),
        ("--data own.csv --watch confusio", "did you mean `confusion`?"),
        ("--data own.csv --device abacus", "no device `abacus`"),
        ("--data own.csv --device cudaa", "no device `cudaa`: did you mean `cuda`?"),
        ("--data own.csv --augment flip", "augmentation 'flip': pictures are changed, and the rows are a table of 2"),
        ("--data digits --augment crop:paddin=2", "did you mean 'padding'?"),
        ("--data digits --augment flop", "did you mean 'flip'?"),
        ("--data digits --augment cutout:size=16", "hides pictures of 8x8 whole"),
    ] {
        let printed = session.kiln(&format!("train {arguments}"));
        assert_eq!(printed.code, 2, "{arguments}: {}", printed.message());
        assert!(printed.message().contains(expected), "{arguments}: {}", printed.message());
        assert!(!session.path().join("runs").exists(), "{arguments} left a run");
    }
}

#[test]
fn a_comparison_goes_on_where_one_training_breaks_at_its_last_step() {
    let session = Session::new();
    let line = "compare --data iris --epochs 1 --batch-size 1000 --optimizer sgd,adam --lr 1e38 --seeds 1 --json";
    let printed = session.kiln(line);
    assert_eq!(printed.code, 1, "{}", printed.out);
    assert!(printed.message().contains("every training diverged"), "{}", printed.message());
    let rows = json(&session.kiln(&line.replace("--lr 1e38", "--lr 0.01,1e38")).succeeds().out);
    assert!(rows.as_array().unwrap().iter().all(|row| row["learning_rate"] == 0.01), "{rows}");
}

#[test]
fn a_training_whose_last_step_diverges_leaves_no_model() {
    let session = Session::new();
    let printed = session.kiln("train --data iris --epochs 1 --batch-size 1000 --lr 1e38 --optimizer sgd");
    assert_eq!(printed.code, 1, "{}", printed.out);
    assert!(printed.message().contains("training diverged: the loss is NaN at step 0"), "{}", printed.message());
    assert!(!session.run("train").join("model.safetensors").exists());
}

#[test]
fn a_training_that_diverges_says_where_and_what_to_try() {
    let session = Session::new();
    session.file("own.csv", table(200));
    let printed = session.kiln("train --data own.csv --epochs 6 --lr 1e30 --optimizer sgd --loss squared-error");
    let message = printed.message();
    assert_eq!(printed.code, 1, "{message}");
    for part in ["training diverged", "at step", "smaller learning rate"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!session.run("train").join("model.safetensors").exists());
    let runs = json(&session.kiln("runs --json").succeeds().out);
    let outcome = runs[0]["outcome"].as_str().unwrap();
    assert!(outcome.starts_with("failed: training diverged: the loss is"), "{outcome}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.file("occupied", "");
    let printed = session.kiln("train --data own.csv --epochs 1 --out occupied/runs");
    assert_eq!(printed.code, 1);
    assert!(printed.message().contains("cannot create occupied/runs"), "{}", printed.message());
}

#[test]
fn a_model_that_does_not_fit_is_refused() {
    let session = Session::new();
    session.file("own.csv", table(60));
    session.kiln("train --data own.csv --epochs 1").succeeds();
    let run = session.run("train");
    let refused = |line: &str, code: i32, expected: &str| {
        let printed = session.kiln(line);
        assert_eq!(printed.code, code, "{line}: {}", printed.message());
        assert!(printed.message().contains(expected), "{line}: {}", printed.message());
        assert!(printed.out.is_empty(), "{line}");
    };
    session.file("fewer.csv", "a\n1\n");
    session.file("zebra.csv", "a,b,y\n1,2,zebra\n");
    refused("predict train fewer.csv", 2, "fewer.csv: no column `b`");
    refused("evaluate train zebra.csv", 1, "zebra.csv, line 2, column y: label `zebra` is not in the training set");
    refused("evaluate train wine", 2, "wine.csv: no column `a`");
    refused("predict nothing own.csv", 2, "unknown run `nothing`");

    let weights = std::fs::read(run.join("model.safetensors")).unwrap();
    session.file("cut/model.safetensors", &weights[..weights.len() / 2]);
    std::fs::copy(run.join("model.toml"), session.path().join("cut/model.toml")).unwrap();
    refused("predict cut own.csv", 1, "cut/model.safetensors");
    session.file("garbled/model.toml", "x = [");
    refused("predict garbled own.csv", 1, "garbled/model.toml is not a valid model description");
}

const LONG: &str = "train --data digits --model mlp:hidden=96-96 --epochs 25 --batch-size 16 --watch confusion \
                    --augment crop:padding=1,noise";

#[test]
fn a_killed_training_goes_on_to_the_same_bytes() {
    let (interrupted, whole) = (Session::new(), Session::new());
    let run = interrupted.killed(LONG);
    interrupted.kiln("resume train").succeeds();
    whole.kiln(LONG).succeeds();
    let same = |file: &str| {
        let read = |run: &Path| std::fs::read(run.join(file)).unwrap();
        assert!(read(&run) == read(&whole.run("train")), "{file} differs");
    };
    for file in ["model.safetensors", "model.toml", "metrics.jsonl", "artifacts/loss.json"] {
        same(file);
    }
}

#[test]
fn probes_that_compare_looks_go_on_where_a_killed_training_stopped() {
    let line =
        "train --data digits --model mlp:hidden=16 --epochs 25 --batch-size 16 --watch sharpness,gradient-norm,ntk";
    let (interrupted, whole) = (Session::new(), Session::new());
    let run = interrupted.killed(line);
    interrupted.kiln("resume train").succeeds();
    whole.kiln(line).succeeds();
    let whole = whole.run("train");
    let last = |probe: &str| format!("artifacts/train/seed/{probe}-epoch-0025.svg");
    for file in ["metrics.jsonl".to_string(), last("sharpness"), last("gradient-norm"), last("ntk")] {
        let [resumed, plain] = [&run, &whole].map(|run| std::fs::read(run.join(&file)).unwrap());
        assert!(resumed == plain, "{file} differs");
    }
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let session = Session::new();
    let checkpoints = session.killed(LONG).join("checkpoints");
    let is_network = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("model-");
    let files = std::fs::read_dir(&checkpoints).unwrap().map(|entry| entry.unwrap().path()).filter(is_network);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(file, &bytes[..bytes.len() / 3]).unwrap();
    }
    let printed = session.kiln("resume train");
    assert_eq!(printed.code, 1, "{}", printed.message());
    assert!(printed.message().contains(".bpk is not a valid checkpoint"), "{}", printed.message());
}
