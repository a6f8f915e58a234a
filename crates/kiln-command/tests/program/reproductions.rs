//! Methods and their reproductions.

use std::path::Path;
use std::process::Output;

fn kiln(arguments: &[&str], folder: &Path) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn methods_are_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let listed = kiln(&["list", "--markdown"], folder.path());
    assert!(listed.status.success());
    assert!(text(&listed.stdout).starts_with("| method | family |"));
    let json = kiln(&["list", "--json"], folder.path());
    let methods: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    for method in methods.as_array().unwrap() {
        let id = method["method"]["id"].as_str().unwrap();
        assert!(text(&listed.stdout).contains(&format!("| {id} |")), "{id}");
        let shown = kiln(&["show", id], folder.path());
        assert!(shown.status.success() && text(&shown.stdout).contains("claim"), "{id}");
    }
}

#[test]
fn unknown_names_are_usage_errors_with_the_nearest_right_one() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["reproduce", "comp-sun"][..], "did you mean `comp-sum`?"),
        (&["reproduce", "comp-sum", "--only", "nothing"], "unknown part `nothing`"),
        (&["reproduce", "comp-sum", "--set", "nothing=1"], "unknown setting `nothing`"),
        (&["reproduce", "comp-sum", "--set", "nothing"], "key=value"),
        (&["reproduce", "comp-sum", "--seeds", "0"], "at least one seed"),
        (&["reproduce", "comp-sum", "--device", "abacus"], "no device `abacus`"),
        (&["reproduce", "comp-sum", "--record"], "--full"),
        (&["reproduce", "comp-sum", "--full", "--record", "--seeds", "1"], "cannot be used with"),
        (&["reproduce", "comp-sum", "--quick", "--full"], "cannot be used with"),
        (&["reproduce"], "METHOD"),
        (&["list", "--family", "los"], "did you mean `loss`?"),
        (&["show", "diffgrat"], "did you mean `diffgrad`?"),
        (&["resume", "nothing"], "unknown run `nothing`"),
        (&["report", "nothing"], "unknown run `nothing`"),
        (&["report"], "RUN"),
    ] {
        let output = kiln(arguments, folder.path());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?} left something behind");
    }
}

#[test]
fn a_reproduction_leaves_a_run_that_can_be_listed_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let output = kiln(&["reproduce", "comp-sum", "--smoke", "--json"], folder.path());
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", text(&output.stderr));
    let outcomes: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let held = outcomes[0]["held"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(if held { 0 } else { 3 }));
    let run = folder.path().join(outcomes[0]["run"].as_str().unwrap());
    for file in ["run.toml", "verdict.json", "metrics.jsonl", "report.html", "report.json"] {
        assert!(run.join(file).exists(), "{file}");
    }
    assert!(folder.path().join("runs/index.html").exists());
    assert!(text(&kiln(&["runs"], folder.path()).stdout).contains("comp-sum"));
    assert!(kiln(&["report", "comp-sum"], folder.path()).status.success());

    let verdict = std::fs::read(run.join("verdict.json")).unwrap();
    std::fs::remove_file(run.join("verdict.json")).unwrap();
    let resumed = kiln(&["resume", "comp-sum"], folder.path());
    assert_eq!(resumed.status.code(), output.status.code(), "{}", text(&resumed.stderr));
    assert_eq!(std::fs::read(run.join("verdict.json")).unwrap(), verdict);
}

#[test]
fn a_read_only_folder_is_a_failure_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = kiln(&["reproduce", "comp-sum", "--smoke", "--out", "file/runs"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot create file/runs"), "{}", text(&output.stderr));
}
