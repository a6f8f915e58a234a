//! How a failure is shown, and with which exit code the program ends.

use std::error::Error;
use std::process::ExitCode;

use kiln_data::DataError;
use kiln_lab::LabError;
use kiln_lab::train::SelectorError;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

/// What ends a command before its work is done.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Failure {
    /// What was typed cannot be done: exit code 2.
    #[error("{message}")]
    Usage {
        /// What is wrong, with the value.
        message: String,
        /// What would be right.
        #[help]
        help: Option<String>,
    },
    /// The work failed: exit code 1.
    #[error("{0}")]
    Failed(String),
}

/// Result of a command.
pub type CommandResult = Result<ExitCode, Failure>;

/// Every finding held, or the command had none to check.
pub const DONE: u8 = 0;
/// The work was done and a finding did not hold.
pub const NOT_HELD: u8 = 3;

impl Failure {
    /// A usage error without further advice.
    pub fn usage(message: impl ToString) -> Self {
        Self::Usage { message: message.to_string(), help: None }
    }

    /// Shows the failure on the standard error stream and gives the exit code.
    pub fn show(&self) -> ExitCode {
        let plain = std::env::var_os("NO_COLOR").is_some() || !std::io::IsTerminal::is_terminal(&std::io::stderr());
        let theme = if plain { GraphicalTheme::unicode_nocolor() } else { GraphicalTheme::unicode() };
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
        if handler.render_report(&mut text, self).is_err() {
            text = self.to_string();
        }
        eprintln!("{}", text.trim_end());
        ExitCode::from(match self {
            Self::Usage { .. } => 2,
            Self::Failed(_) => 1,
        })
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        if error.is_usage() { Self::usage(with_causes(&error)) } else { Self::Failed(with_causes(&error)) }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        LabError::from(error).into()
    }
}

impl From<SelectorError> for Failure {
    fn from(error: SelectorError) -> Self {
        Self::usage(error)
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
