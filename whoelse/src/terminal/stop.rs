//! Ctrl-Z and `fg`: the shell takes the terminal back and leaves it as it likes it, so when the
//! program goes on the terminal is set again for whoever was reading.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Signal;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr,
    tcsetattr,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::hidden;

/// Who is reading from the terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reader {
    /// Nobody: it is as the shell likes it.
    #[default]
    Nobody,
    /// The editor, key by key.
    Editor,
    /// Somebody types a password.
    Secret,
}

/// Who is reading at the moment. Held for one look or one swap.
#[derive(Debug, Clone, Default)]
pub struct Reading(Arc<Mutex<Reader>>);

impl Reading {
    /// Runs something that reads in this way.
    pub fn by<T>(&self, reader: Reader, read: impl FnOnce() -> T) -> T {
        self.set(reader);
        let read = read();
        self.set(Reader::Nobody);
        read
    }

    fn set(&self, reader: Reader) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    fn now(&self) -> Reader {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From now on sets the terminal again whenever the program goes on after a stop, and has the line
/// drawn again that was being typed. To be called inside a runtime.
pub fn go_on_afterwards(reading: Reading, redraw: impl Fn() + Send + 'static) -> io::Result<()> {
    let as_it_was = tcgetattr(io::stdin())?;
    let mut continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    tokio::spawn(async move {
        while continued.recv().await.is_some() {
            let wanted = match reading.now() {
                Reader::Nobody => continue,
                Reader::Editor => by_key(&as_it_was),
                Reader::Secret => hidden::hiding(&as_it_was),
            };
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &wanted);
            if reading.now() == Reader::Editor {
                redraw();
            }
        }
    });
    Ok(())
}

/// What the editor sets: keys come one by one, unechoed, and Ctrl-C among them.
fn by_key(as_it_was: &Termios) -> Termios {
    let mut raw = as_it_was.clone();
    raw.input_modes.remove(
        InputModes::BRKINT
            | InputModes::ICRNL
            | InputModes::INPCK
            | InputModes::ISTRIP
            | InputModes::IXON,
    );
    raw.control_modes.insert(ControlModes::CS8);
    raw.local_modes
        .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG);
    raw.special_codes[SpecialCodeIndex::VMIN] = 1;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    raw
}
