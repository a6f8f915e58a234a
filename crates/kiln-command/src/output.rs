//! What goes to the standard output: tables and figures for a person, JSON and rows for other programs.

use std::io::{ErrorKind, Write};
use std::path::Path;

use kiln_lab::LabError;
use serde::Serializer;

/// Prints a text as it is.
///
/// A reader that has seen enough closes the pipe, as `head` does; that is no failure.
///
/// # Errors
/// [`LabError::Io`] where the output cannot take it, as on a full disk.
pub fn print(text: &str) -> Result<(), LabError> {
    write(std::io::stdout().lock(), text.as_bytes())
}

/// Prints a text and a line end.
///
/// # Errors
/// As [`print`].
pub fn print_line(text: &str) -> Result<(), LabError> {
    print(&format!("{text}\n"))
}

/// A cell of a CSV file.
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

/// A path in a JSON document, which holds Unicode alone: what else a name has becomes `\u{fffd}`, as it is shown elsewhere.
pub fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn write(mut to: impl Write, bytes: &[u8]) -> Result<(), LabError> {
    match to.write_all(bytes).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(LabError::io("write", Path::new("the standard output"), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is_one() {
        assert!(write(Refusing(ErrorKind::BrokenPipe), b"text").is_ok());
        let message = write(Refusing(ErrorKind::StorageFull), b"text").unwrap_err().to_string();
        assert!(message.starts_with("cannot write the standard output"), "{message}");
    }
}
