//! The standard output and the standard error, which may be full, closed or unread.
//!
//! Failing to write a result is an error, even if the work was done. Failing to write a remark is
//! none, since nobody would read that error either.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use whoelse_xmpp::in_words;

/// How long writing a remark may take.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// Writes a result and a line break. The error is a sentence.
pub fn result(text: impl fmt::Display) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|why| not_written(why.kind()))
}

/// Returns a sentence which says that something could not be written.
pub fn not_written(why: ErrorKind) -> String {
    format!("cannot write the output: {}", reason(why))
}

/// Returns a sentence which says that something could not be read.
pub fn not_read(why: ErrorKind) -> String {
    format!("cannot read the input: {}", reason(why))
}

/// Writes a sentence to the standard error, if possible. Does not wait for a slow reader: the
/// program may be ending on a terminal that is stuck.
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
