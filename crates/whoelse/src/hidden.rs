//! A password as it is typed: the terminal shows nothing of it.
//!
//! Nothing is shown from before the prompt appears, however fast somebody types at it.

use std::fs::OpenOptions;
use std::io::{self, BufRead, ErrorKind, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr,
};

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 4096;

/// Asks for a line on the terminal and reads it from there without showing it. What was typed
/// before is forgotten, unless there is a [`Hidden`] around it. Bytes that are not UTF-8 are
/// replaced: by a character that no password can have. Who stops waiting for it, as at Ctrl-C, has
/// to make the terminal what it was: with a [`Hidden`] around it, for one.
pub fn ask(prompt: &str, from: &mut impl BufRead) -> io::Result<String> {
    let _hidden = Hidden::begin()?;
    show(prompt)?;
    let mut line = Vec::new();
    let read = from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if read == 0 {
        // What comes next begins on a line of its own.
        show("\n")?;
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let line = String::from_utf8_lossy(&line);
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// The prompt goes to the terminal, wherever the output goes.
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

/// A terminal that shows line ends alone, until this is dropped.
pub struct Hidden {
    as_it_was: Termios,
}

impl Hidden {
    /// Hides what is typed from now on. What was typed before could be seen, so it is no secret:
    /// it is forgotten, unless it was hidden already.
    pub fn begin() -> io::Result<Hidden> {
        let as_it_was = tcgetattr(io::stdin())?;
        if as_it_was.local_modes.contains(LocalModes::ECHO) {
            tcflush(io::stdin(), QueueSelector::IFlush)?;
        }
        tcsetattr(io::stdin(), OptionalActions::Now, &hiding(&as_it_was))?;
        Ok(Hidden { as_it_was })
    }
}

/// The settings of such a terminal.
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
