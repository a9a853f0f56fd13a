//! The modes of the terminal that the program was started on: the original ones, and those that
//! the console needs.
//!
//! Nothing here waits for the terminal, which may be stuck, and nothing changes a terminal that
//! the shell has given to another program.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{getpgrp, getsid};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush,
    tcgetattr, tcgetpgrp, tcsetattr,
};

/// The original modes of a terminal, which are restored when this is dropped, also in a panic.
pub struct Modes {
    terminal: OwnedFd,
    as_it_was: Termios,
}

impl Modes {
    /// Reads the modes of the standard input, if it is a terminal.
    pub fn now() -> io::Result<Modes> {
        Modes::of(io::stdin().as_fd())
    }

    fn of(terminal: BorrowedFd<'_>) -> io::Result<Modes> {
        let as_it_was = tcgetattr(terminal)?;
        Ok(Modes { terminal: terminal.try_clone_to_owned()?, as_it_was })
    }

    /// Restores them.
    pub fn restore(&self) {
        self.set(&self.as_it_was);
    }

    /// Switches to single keys without echo, so that input typed ahead of a question is never
    /// shown before it is known whether it is a secret. The system still handles Ctrl-C and
    /// Ctrl-Z, however much has been typed, and they discard no pending output.
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
        // No key ends the program except the documented ones.
        modes.special_codes[SpecialCodeIndex::VQUIT] = DISABLED;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        self.set(&modes);
    }

    /// Sets the modes at once; waiting for pending output would wait for its reader.
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

/// The value that disables a special character (`_POSIX_VDISABLE`).
const DISABLED: u8 = if cfg!(any(target_os = "linux", target_os = "android")) { 0 } else { 0xff };

/// Discards unread input.
pub fn forget_typed() {
    if is_ours(io::stdin().as_fd()) {
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    }
}

/// Returns whether a job-control shell runs this program and can continue it after a stop. A
/// program in the session leader's process group has no such shell.
pub fn is_job() -> bool {
    getsid(None).is_ok_and(|session| session != getpgrp())
}

/// Returns whether this program is in the terminal's foreground. Otherwise changing modes would
/// stop it.
fn is_ours(terminal: BorrowedFd<'_>) -> bool {
    // A terminal that controls no session may be used by anybody.
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
