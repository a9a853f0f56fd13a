//! The standard output and the standard error, where they may be full, closed or read by nobody.
//!
//! A result that could not be written is a failure, whatever has been done; a sentence that could
//! not be told is none, since there is nobody to hear of it.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use whoelse_xmpp::in_words;

/// How long a sentence may take.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

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

/// A sentence on the standard error, if anybody can be told. Whoever takes too long to read it is
/// not waited for: the program may be on its way out of a terminal that is stuck.
pub fn complain(sentence: impl fmt::Display) {
    let sentence = format!("whoelse: {sentence}\n");
    let (told, done) = mpsc::channel();
    let telling = thread::Builder::new().spawn(move || {
        let _ = told.send(io::stderr().write_all(sentence.as_bytes()));
    });
    if telling.is_ok() {
        let _ = done.recv_timeout(TOLD_WITHIN);
    }
}

fn reason(why: ErrorKind) -> String {
    match why {
        ErrorKind::BrokenPipe => "whoever read it has gone".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "there is no room left".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        other => in_words(&other.into()),
    }
}
