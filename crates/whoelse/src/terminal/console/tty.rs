//! The modes of the terminal that the program was started on: what they were, and what the console
//! needs.
//!
//! Nothing here waits for the terminal, which may be stuck, and nothing changes a terminal that
//! the shell has given to somebody else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{getpgrp, getsid};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush,
    tcgetattr, tcgetpgrp, tcsetattr,
};

/// The modes that a terminal had. It has them again when this is dropped, at a panic too.
pub struct Modes {
    terminal: OwnedFd,
    as_it_was: Termios,
}

impl Modes {
    /// Those of the standard input, if it is a terminal.
    pub fn now() -> io::Result<Modes> {
        Modes::of(io::stdin().as_fd())
    }

    fn of(terminal: BorrowedFd<'_>) -> io::Result<Modes> {
        let as_it_was = tcgetattr(terminal)?;
        Ok(Modes { terminal: terminal.try_clone_to_owned()?, as_it_was })
    }

    /// Sets them again.
    pub fn restore(&self) {
        self.set(&self.as_it_was);
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
        self.set(&modes);
    }

    /// At once: to wait until everything is written is to wait for whoever reads it.
    fn set(&self, modes: &Termios) {
        if is_ours(self.terminal.as_fd()) {
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, modes);
        }
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        self.restore();
    }
}

/// What stands for no character (`_POSIX_VDISABLE`).
const DISABLED: u8 = if cfg!(any(target_os = "linux", target_os = "android")) { 0 } else { 0xff };

/// Forgets what was typed and not read.
pub fn forget_typed() {
    if is_ours(io::stdin().as_fd()) {
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    }
}

/// Whether a shell looks after this program, and lets it go on after a stop. In the group of the
/// one who began the session there is nobody who would.
pub fn is_job() -> bool {
    getsid(None).is_ok_and(|session| session != getpgrp())
}

/// Whether the shell lets this program use the terminal. Otherwise it would be stopped for trying.
fn is_ours(terminal: BorrowedFd<'_>) -> bool {
    // A terminal that controls nobody is everybody's.
    tcgetpgrp(terminal).map_or(true, |group| group == getpgrp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    #[test]
    fn a_panic_gives_the_terminal_back_as_it_was() {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let line = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let now = || tcgetattr(&line).unwrap().local_modes;
        let (before, mut meanwhile) = (now(), None);

        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let modes = Modes::of(line.as_fd()).unwrap();
            modes.by_key();
            meanwhile = Some(now());
            panic!("as the program might");
        }));

        assert!(panicked.is_err());
        assert!(meanwhile.is_some_and(|modes| !modes.contains(LocalModes::ICANON)));
        assert_eq!(now(), before);
    }
}
