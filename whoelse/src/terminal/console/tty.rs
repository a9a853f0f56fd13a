//! The modes of the terminal that the program was started on: what they were, and what the console
//! needs.
//!
//! Nothing here waits for the terminal, which may be stuck, and nothing changes a terminal that
//! the shell has given to somebody else.

use std::io;

use rustix::process::{getpgrp, getsid};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush,
    tcgetattr, tcgetpgrp, tcsetattr,
};

/// The modes that a terminal had.
#[derive(Clone)]
pub struct Modes {
    as_it_was: Termios,
}

impl Modes {
    /// Those of the standard input, if it is a terminal.
    pub fn now() -> io::Result<Modes> {
        Ok(Modes { as_it_was: tcgetattr(io::stdin())? })
    }

    /// Sets them again.
    pub fn restore(&self) {
        set(&self.as_it_was);
    }

    /// Keys come one by one, and the terminal shows none of them: so nothing that is typed ahead
    /// of a question is ever shown before it is known what is asked. Ctrl-C and Ctrl-Z stay the
    /// system's, which hears them however much has been typed; they take nothing with them that
    /// is on its way to the screen.
    pub fn by_key(&self) {
        let mut modes = self.as_it_was.clone();
        modes.input_modes.remove(
            InputModes::BRKINT
                | InputModes::ICRNL
                | InputModes::INLCR
                | InputModes::INPCK
                | InputModes::ISTRIP
                | InputModes::IXON,
        );
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN);
        modes.local_modes.insert(LocalModes::ISIG | LocalModes::NOFLSH);
        // Nothing typed ends the program but what says so.
        modes.special_codes[SpecialCodeIndex::VQUIT] = DISABLED;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        set(&modes);
    }
}

/// What stands for no character (`_POSIX_VDISABLE`).
const DISABLED: u8 = if cfg!(any(target_os = "linux", target_os = "android")) { 0 } else { 0xff };

/// Forgets what was typed and not read.
pub fn forget_typed() {
    if is_ours() {
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    }
}

/// Whether a shell looks after this program, and lets it go on after a stop. In the group of the
/// one who began the session there is nobody who would.
pub fn is_job() -> bool {
    getsid(None).is_ok_and(|session| session != getpgrp())
}

/// At once: to wait until everything is written is to wait for whoever reads it.
fn set(modes: &Termios) {
    if is_ours() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }
}

/// Whether the shell lets this program use the terminal. Otherwise it would be stopped for trying.
fn is_ours() -> bool {
    // A terminal that controls nobody is everybody's.
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}
