//! The standard output and the standard error, where they may be full, closed or read by nobody.
//!
//! A result that could not be written is a failure, whatever has been done; a sentence that could
//! not be told is none, since there is nobody to hear of it.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use whoelse_xmpp::in_words;

/// Writes a result and a line break. The error is a sentence.
pub fn result(text: impl fmt::Display) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|why| not_written(why.kind()))
}

/// That something could not be written, as a sentence.
pub fn not_written(why: ErrorKind) -> String {
    format!("cannot write the output: {}", reason(why))
}

/// That something could not be read, as a sentence.
pub fn not_read(why: ErrorKind) -> String {
    format!("cannot read the input: {}", reason(why))
}

/// A sentence on the standard error, if anybody can be told.
pub fn complain(sentence: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "whoelse: {sentence}");
}

fn reason(why: ErrorKind) -> String {
    match why {
        ErrorKind::BrokenPipe => "whoever read it has gone".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "there is no room left".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        other => in_words(&other.into()),
    }
}
