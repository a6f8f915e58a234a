//! A folder of its own in which the program is run.

use std::path::{Path, PathBuf};

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
