//! Language models on running text: trained, judged, asked, resumed, and what is refused.

use std::path::Path;

use serde_json::Value;

use crate::session::{DATA, Session, json, table};

/// A folder with the beginning of a novel as `novel.txt`.
fn reader() -> Session {
    let session = Session::new();
    let novel = std::fs::read_to_string(Path::new(DATA).join("text/austen-persuasion.txt")).unwrap();
    session.file("novel.txt", novel.chars().take(120_000).collect::<String>());
    session
}

const SMALL: &str = "--model ngram:embedding=32,hidden=64 --context 3 --min-count 5 --lr 0.004";

fn number(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {figures}"))
}

#[test]
fn a_novel_is_learnt_judged_and_continued() {
    let session = reader();
    let line = format!("train --data novel.txt {SMALL} --epochs 3 --watch gradient-norm,sharpness --json");
    let summary = json(&session.kiln(&line).succeeds().out);
    let (test, frequencies) = (&summary["test"], &summary["frequencies_alone"]);
    assert!(number(test, "perplexity") < number(frequencies, "perplexity"), "{summary}");
    assert!(number(test, "mean_reciprocal_rank") > 1.1 * number(frequencies, "mean_reciprocal_rank"), "{summary}");
    for k in [5, 10, 50] {
        let error = format!("top_{k}_error");
        assert!(number(test, &error) < number(frequencies, &error), "{error}: {summary}");
    }
    let saved = std::fs::read_to_string(session.run("train").join("model.toml")).unwrap();
    for part in ["task = \"language-model\"", "context = 3", "min-count = 5", "kind = \"text\"", "kind = \"ngram\""] {
        assert!(saved.contains(part), "{part}: {saved}");
    }

    let judged = json(&session.kiln("evaluate train ./novel.txt --json").succeeds().out);
    assert_eq!((&judged["rows_used"], &judged["data_changed"]), (&"test".into(), &false.into()));
    assert_eq!((&judged["perplexity"], &judged["examples"]), (&test["perplexity"], &summary["rows"][2]));
    let shown = session.kiln("evaluate train novel.txt").succeeds().out;
    for part in ["top-1 error", "top-50 error", "mean reciprocal rank", "perplexity", "test rows", "words.png"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    session.file("other.txt", "Anne was not at home; she had been at the house of Lady Russell.");
    let judged = json(&session.kiln("evaluate train other.txt --json").succeeds().out);
    assert_eq!(judged["rows_used"], "all");

    session.file("lines.txt", "She did not\n\nto be\n");
    let lines = session.kiln("predict train lines.txt --top 2").succeeds().out;
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], "line,word 1,probability 1,word 2,probability 2");
    assert!(lines.len() == 3 && lines[1].starts_with("1,") && lines[2].starts_with("3,"), "{lines:?}");
    let rows = session.kiln("predict train lines.txt --format jsonl").succeeds().out;
    let row = json(rows.lines().next().unwrap());
    let likeliest: Vec<f64> = row["next"].as_array().unwrap().iter().map(|word| number(word, "probability")).collect();
    assert!(likeliest.len() == 5 && likeliest.is_sorted_by(|a, b| a >= b) && likeliest[0] < 1.0, "{row}");
}

#[test]
fn every_output_layer_is_saved_with_the_model() {
    for (arguments, loss, sure) in [
        ("--output-layer factored", "z-loss", false),
        ("--output-layer factored:lr=2 --loss taylor-softmax", "taylor-softmax", false),
        ("--output-layer hierarchical", "cross-entropy", true),
        ("--loss z-loss", "z-loss", false),
    ] {
        let session = reader();
        let line = format!("train --data novel.txt {SMALL} --epochs 2 --json {arguments}");
        let summary = json(&session.kiln(&line).succeeds().out);
        assert_eq!(summary["loss"], loss, "{arguments}");
        let (test, frequencies) = (&summary["test"], &summary["frequencies_alone"]);
        assert!(number(test, "top_50_error") < number(frequencies, "top_50_error"), "{arguments}: {summary}");
        let judged = json(&session.kiln("evaluate train novel.txt --json").succeeds().out);
        for figure in ["top_1_error", "top_10_error", "mean_reciprocal_rank", "perplexity"] {
            assert_eq!(judged[figure], test[figure], "{arguments}: {figure}");
        }
        assert_eq!(judged["perplexity"].is_number(), sure, "{arguments}: {judged}");
        session.file("lines.txt", "She did not\n");
        let lines = session.kiln("predict train lines.txt --top 1").succeeds().out;
        let heading = if sure { "line,word 1,probability 1" } else { "line,word 1,score 1" };
        assert_eq!(lines.lines().next(), Some(heading), "{arguments}");
    }
}

#[test]
fn a_decoder_and_bytes_are_learnt_too() {
    let session = reader();
    let line = "train --data novel.txt --model decoder:dimension=32,depth=1,heads=2 --context 8 --min-count 20 \
                --lr 0.004 --epochs 1 --json";
    let summary = json(&session.kiln(line).succeeds().out);
    let (test, frequencies) = (&summary["test"], &summary["frequencies_alone"]);
    assert!(number(test, "perplexity") < number(frequencies, "perplexity"), "{summary}");

    let session = Session::new();
    session.file("bytes.txt", "to be or not to be, that is the question; ".repeat(60));
    let line = "train --task language-model --data bytes.txt --unit bytes --context 6 --lr 0.01 --epochs 12 --json";
    let summary = json(&session.kiln(line).succeeds().out);
    assert_eq!(summary["words"], 256);
    assert!(number(&summary["test"], "top_1_error") < 0.05, "{summary}");
    session.file("lines.txt", "that is the questio\n");
    let lines = session.kiln("predict train lines.txt --top 1").succeeds().out;
    assert!(lines.lines().nth(1).unwrap().starts_with("1,n,"), "{lines}");
}

#[test]
fn a_killed_training_with_the_factored_layer_goes_on_to_the_same_bytes() {
    let line = format!("train --data novel.txt {SMALL} --output-layer factored --epochs 12 --schedule cosine");
    let (interrupted, whole) = (reader(), reader());
    let run = interrupted.killed(&line);
    interrupted.kiln("resume train").succeeds();
    whole.kiln(&line).succeeds();
    for file in ["model.safetensors", "model.toml", "metrics.jsonl", "artifacts/loss.json"] {
        let read = |run: &Path| std::fs::read(run.join(file)).unwrap();
        assert!(read(&run) == read(&whole.run("train")), "{file} differs");
    }
}

#[test]
fn rows_of_a_table_may_have_the_factored_layer_too() {
    let session = Session::new();
    let line = "train --data digits --output-layer factored --loss z-loss --epochs 10 --lr 0.003 --json";
    let summary = json(&session.kiln(line).succeeds().out);
    assert!(number(&summary, "test_accuracy") > 0.85, "{summary}");
    let judged = json(&session.kiln("evaluate train digits --json").succeeds().out);
    assert_eq!(judged["accuracy"], summary["test_accuracy"]);
}

#[test]
fn what_no_language_model_can_be_made_of_is_refused() {
    let session = reader();
    session.file("own.csv", table(60));
    session.file("same.txt", "word ".repeat(100));
    session.file("short.txt", "one two ".repeat(12));
    session.file("latin.txt", b"caf\xe9 caf\xe9");
    for (arguments, code, expected) in [
        ("--data digits --task language-model", 2, "classify or regress, for digits has rows with a target"),
        ("--data own.csv --task language-model", 2, "classify or regress, for own.csv has rows with a target"),
        ("--data novel.txt --task classify", 2, "language-model, for novel.txt is running text"),
        ("--data novel.txt --task translate", 2, "classify, regress, language-model, autoencode or upscale is needed"),
        ("--data novel.txt --target y", 2, "`target` cannot be `y`: left out"),
        ("--data own.csv --context 4", 2, "`context` cannot be `4`: left out"),
        ("--data novel.txt --context 0", 2, "`context` cannot be `0`: at least 1"),
        ("--data novel.txt --unit letters", 2, "words or bytes is needed"),
        ("--data novel.txt --model mlp", 2, "there are: ngram, decoder"),
        ("--data own.csv --model ngram", 2, "model 'ngram' is for running text"),
        ("--data novel.txt --model decoder:heads=3", 2, "it must divide the dimension"),
        ("--data novel.txt --model ngram:hidden=none", 2, "at least one hidden layer"),
        ("--data novel.txt --output-layer factord", 2, "did you mean 'factored'?"),
        ("--data novel.txt --output-layer factored:lr=0", 2, "lr=0 is not a number above 0"),
        ("--data novel.txt --output-layer factored:lr=2,weight-decay=0.5", 2, "their product must be below 1"),
        ("--data novel.txt --output-layer factored --loss mae", 2, "exact for the losses z-loss, taylor-softmax"),
        ("--data novel.txt --output-layer factored --loss z-loss:weights=1/2", 2, "has no setting 'weights'"),
        ("--data novel.txt --output-layer hierarchical --loss z-loss", 2, "it learns by cross-entropy"),
        ("--data novel.txt --output-layer factored --device cpu,cpu", 2, "name one device"),
        ("--data own.csv --output-layer hierarchical", 2, "classes in the order of their frequency"),
        ("--data bikeshare --output-layer factored", 2, "it is for classes, and the target is a number"),
        ("--data novel.txt --loss huber", 2, "for classes there are"),
        ("--data novel.txt --watch confusion", 2, "there are: calibration, gradient-norm, sharpness"),
        ("--data novel.txt --augment flip", 2, "pictures are changed"),
        ("--data same.txt", 1, "same.txt, training text: found 1 different words"),
        ("--data short.txt --context 30", 1, "no window of 30 words"),
        ("--data latin.txt", 1, "latin.txt, byte 3: found text that is not UTF-8"),
        ("--data missing.txt --task language-model", 1, "missing.txt: no such file"),
    ] {
        let printed = session.kiln(&format!("train --epochs 1 {arguments}"));
        assert_eq!(printed.code, code, "{arguments}: {}", printed.message());
        assert!(printed.message().contains(expected), "{arguments}: {}", printed.message());
        assert!(!session.path().join("runs").exists(), "{arguments} left a run");
    }
}

#[test]
fn a_model_of_text_is_asked_about_text_alone() {
    let session = reader();
    session.file("own.csv", table(60));
    session.file("blank.txt", "\n--\n");
    session.kiln(&format!("train --data novel.txt {SMALL} --epochs 1")).succeeds();
    let refused = |line: &str, code: i32, expected: &str| {
        let printed = session.kiln(line);
        assert_eq!(printed.code, code, "{line}: {}", printed.message());
        assert!(printed.message().contains(expected), "{line}: {}", printed.message());
    };
    refused("evaluate train own.csv", 2, "running text is needed");
    refused("evaluate train digits", 2, "running text is needed");
    refused("predict train own.csv", 2, "running text is needed");
    refused("predict train austen", 2, "one file, whose lines are continued");
    refused("predict train blank.txt", 1, "no words");
    refused("predict train novel.txt --top 0", 2, "--top 0: at least 1 and at most the");
    refused("predict train novel.txt --top 100000", 2, "words of the model");
    session.kiln("train --data own.csv --epochs 1").succeeds();
    refused("predict train own.csv --top 3", 2, "--top 3: the model is no language model");
    refused("evaluate train austen", 2, "running text is for language models");
}

#[test]
fn a_training_that_diverges_stops() {
    let session = reader();
    let line = format!("train --data novel.txt {SMALL} --epochs 2 --output-layer factored:lr=1e6 --loss squared-error");
    let printed = session.kiln(&line);
    assert_eq!(printed.code, 1, "{}", printed.message());
    assert!(printed.message().contains("training diverged: the loss is NaN at step"), "{}", printed.message());
    assert!(!session.run("train").join("model.safetensors").exists());
}
