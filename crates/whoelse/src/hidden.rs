//! Reading a password: the terminal does not echo it.
//!
//! Echo is off before the prompt appears, so even early typing is not shown.

use std::fs::OpenOptions;
use std::io::{self, BufRead, ErrorKind, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr,
};

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 4096;

/// Asks for a line on the terminal and reads it without echo. Input typed before the prompt is
/// discarded, unless a [`Hidden`] is active. Bytes that are not UTF-8 are replaced by a character
/// that no password can have. A caller that stops waiting, for instance at Ctrl-C, has to restore
/// the terminal; an outer [`Hidden`] does it.
pub fn ask(prompt: &str, from: &mut impl BufRead) -> io::Result<String> {
    let _hidden = Hidden::begin()?;
    show(prompt)?;
    let mut line = Vec::new();
    let read = from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if read == 0 {
        // The next output begins on a line of its own.
        show("\n")?;
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let line = String::from_utf8_lossy(&line);
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Writes the prompt to the terminal, wherever the standard output goes.
fn show(prompt: &str) -> io::Result<()> {
    let shown = OpenOptions::new()
        .write(true)
        .open("/dev/tty")
        .and_then(|mut terminal| terminal.write_all(prompt.as_bytes()));
    shown.or_else(|_| {
        let mut screen = io::stderr();
        screen.write_all(prompt.as_bytes())?;
        screen.flush()
    })
}

/// A terminal that echoes only line ends, until this is dropped.
pub struct Hidden {
    as_it_was: Termios,
}

impl Hidden {
    /// Turns echo off. Input typed before was visible, so it is no secret: it is discarded, unless
    /// echo was off already.
    pub fn begin() -> io::Result<Hidden> {
        let as_it_was = tcgetattr(io::stdin())?;
        if as_it_was.local_modes.contains(LocalModes::ECHO) {
            tcflush(io::stdin(), QueueSelector::IFlush)?;
        }
        tcsetattr(io::stdin(), OptionalActions::Now, &hiding(&as_it_was))?;
        Ok(Hidden { as_it_was })
    }
}

/// Returns the settings of a terminal without echo.
fn hiding(as_it_was: &Termios) -> Termios {
    let mut hiding = as_it_was.clone();
    hiding.local_modes.remove(LocalModes::ECHO);
    hiding.local_modes.insert(LocalModes::ECHONL);
    hiding
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.as_it_was);
    }
}
