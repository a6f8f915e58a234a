//! A folder of its own in which the program is run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use tempfile::TempDir;

/// The repository's own data sets.
pub const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data");

/// A temporary folder in which commands are run and files are made.
pub struct Session {
    folder: TempDir,
}

/// What a command printed, with its exit code.
#[derive(Debug)]
pub struct Printed {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Session {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a file, with its folders.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The program, in this folder, with the repository's data.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.args(line.split_whitespace()).current_dir(self.path());
        command.env("NO_COLOR", "1").env("KILN_DATA", DATA);
        command
    }

    /// Runs `kiln` with the arguments of `line`.
    pub fn kiln(&self, line: &str) -> Printed {
        let output = self.command(line).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Printed { code: output.status.code().unwrap(), out: text(&output.stdout), error: text(&output.stderr) }
    }

    /// Runs `line`, a training of less than 25 epochs, and kills it after the third; gives the folder of its run.
    pub fn killed(&self, line: &str) -> PathBuf {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"))
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env("KILN_DATA", DATA)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        let third_epoch_is_kept = || {
            let runs = std::fs::read_dir(self.path().join("runs")).into_iter().flatten();
            let mut folders = runs.map(|run| run.unwrap().path().join("checkpoints"));
            folders.any(|folder| (3..25).any(|epoch| folder.join(format!("model-{epoch}.bpk")).exists()))
        };
        while !third_epoch_is_kept() {
            assert!(Instant::now() < deadline, "no third epoch in two minutes");
            assert!(process.try_wait().unwrap().is_none(), "the training ended before it was killed");
            std::thread::sleep(Duration::from_millis(2));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        let run = self.run("train");
        assert!(!run.join("model.safetensors").exists(), "the training had ended before it was killed");
        run
    }

    /// The one run folder of this session whose name begins with `name`.
    pub fn run(&self, name: &str) -> PathBuf {
        let mut folders = std::fs::read_dir(self.path().join("runs")).unwrap().map(|entry| entry.unwrap().path());
        let is_wanted = |folder: &PathBuf| folder.file_name().unwrap().to_string_lossy().starts_with(name);
        folders.find(is_wanted).unwrap()
    }
}

impl Printed {
    /// The error in one line, whatever the width at which it was wrapped.
    pub fn message(&self) -> String {
        self.error.replace(['×', '│'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.error);
        self
    }
}

/// A text as JSON.
#[track_caller]
pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A table of two numbers and the classes p and q, of `rows` rows.
pub fn table(rows: usize) -> String {
    let line =
        |row: usize| format!("{},{},{}\n", row % 7, (row * row) % 11, if row.is_multiple_of(2) { "p" } else { "q" });
    std::iter::once("a,b,y\n".to_string()).chain((0..rows).map(line)).collect()
}
