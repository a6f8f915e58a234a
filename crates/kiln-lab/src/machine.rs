//! What a measurement was taken on.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Processor, number of cores, operating system and architecture, as in `AMD EPYC 7B13, 2 cores, linux x86_64`.
pub fn describe() -> String {
    let cores = cores();
    let processor = processor().unwrap_or_else(|| "unknown processor".to_string());
    let plural = if cores == 1 { "core" } else { "cores" };
    format!("{processor}, {cores} {plural}, {} {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// What of the repository decides a figure. Documents and the ledger do not: recording one method must not make the
/// next one look like uncommitted code.
const DECISIVE: [&str; 5] = ["crates", "data", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"];

/// The commit of the sources from which the program was built, with `-dirty` where code or data differ from it; empty
/// where these are no repository.
pub fn commit() -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ask = |arguments: &[&str]| {
        // Asking must not take the lock of somebody who is committing.
        let mut git = Command::new("git");
        git.arg("--no-optional-locks").arg("-C").arg(&sources).args(arguments);
        git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
    };
    let answer = |asked: Option<Child>| {
        let output = asked?.wait_with_output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    // Both questions at once.
    let head = ask(&["rev-parse", "--short=12", "HEAD"]);
    let changes = ask(&[&["status", "--porcelain", "--untracked-files=no", "--"], &DECISIVE[..]].concat());
    match (answer(head), answer(changes)) {
        (None, _) => String::new(),
        (Some(commit), Some(changes)) if !changes.is_empty() => format!("{commit}-dirty"),
        (Some(commit), _) => commit,
    }
}
