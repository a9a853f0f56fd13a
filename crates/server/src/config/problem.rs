//! Errors in a configuration: a sentence for its author, with the file and the line.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    file: Option<PathBuf>,
    line: Option<usize>,
    text: String,
}

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Problem {
        Problem { file: None, line: None, text: text.into() }
    }

    pub(super) fn in_file(self, file: &Path, line: Option<usize>) -> Problem {
        Problem { file: Some(file.to_owned()), line, ..self }
    }

    /// Returns the line, from 1, if the error has one.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write_line(f, &file.to_string_lossy())?;
            if let Some(line) = self.line {
                write!(f, ", line {line}")?;
            }
            f.write_str(": ")?;
        }
        write_line(f, &self.text)
    }
}

/// Why there is no configuration: at least one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<Problem>);

impl ConfigError {
    pub(super) fn new(problem: Problem) -> ConfigError {
        ConfigError(vec![problem])
    }

    /// Returns the problems as an error, if there are any.
    pub(super) fn of(problems: Vec<Problem>) -> Result<(), ConfigError> {
        match problems.is_empty() {
            true => Ok(()),
            false => Err(ConfigError(problems)),
        }
    }

    /// All of them, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else { return Ok(()) };
        first.fmt(f)?;
        match self.0.len() {
            1 => Ok(()),
            n => write!(f, " (and {} more: `whoelse config check` says all of them)", n - 1),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Writes a message as one line, escaped: a quotation may hold characters that act on a terminal.
fn write_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| match c.is_control() {
        true => write!(f, "{}", c.escape_unicode()),
        false => f.write_char(c),
    })
}
