//! A descriptor that is waited for: the standard streams, for a thread that may block.
//!
//! Other programs share them, and any of these may have made them non-blocking. So `WouldBlock` is
//! neither an error nor the end.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Reads and writes without a buffer, for as long as it takes.
pub struct Patient<F>(pub F);

impl<F: AsFd> Patient<F> {
    fn until_done(
        &self,
        ready: PollFlags,
        mut attempt: impl FnMut(&F) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        loop {
            match attempt(&self.0) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&self.0, ready)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(why) => return Err(why.into()),
                },
                done => return Ok(done?),
            }
        }
    }
}

impl<F: AsFd> Read for Patient<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.until_done(PollFlags::IN, |from| rustix::io::read(from, &mut *buffer))
    }
}

impl<F: AsFd> Write for Patient<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until_done(PollFlags::OUT, |to| rustix::io::write(to, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn who_has_nothing_to_say_yet_is_waited_for() {
        let (one, mut other) = UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 8];
            let read = Patient(one).read(&mut bytes).unwrap();
            bytes[..read].to_vec()
        });

        other.write_all(b"hello").unwrap();

        assert_eq!(reading.join().unwrap(), b"hello");
    }

    #[test]
    fn who_does_not_read_yet_is_waited_for() {
        let (one, mut other) = UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        // More than any buffer between the two holds.
        let much = vec![b'x'; 8 << 20];
        let length = much.len();
        let writing = std::thread::spawn(move || Patient(one).write_all(&much));

        let mut read = Vec::new();
        other.read_to_end(&mut read).unwrap();

        assert!(writing.join().unwrap().is_ok());
        assert_eq!(read.len(), length);
    }
}
