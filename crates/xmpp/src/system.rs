//! Errors of the operating system, in plain words that say what to do if something can be done. The
//! system's own texts and error numbers are for programmers.

use std::io::{Error, ErrorKind};

use rustix::io::Errno;

/// Returns words for an error of the system, to follow `cannot read FILE: `. An error of ours that
/// is wrapped in one is a sentence already and is not changed.
pub fn in_words(error: &Error) -> String {
    if let (ErrorKind::Other, Some(ours)) = (error.kind(), error.get_ref()) {
        return ours.to_string();
    }
    let words = match error.kind() {
        ErrorKind::NotFound => "it is not there",
        ErrorKind::PermissionDenied => "this user may not; `ls -l` shows who may",
        ErrorKind::AlreadyExists => "it is there already",
        ErrorKind::IsADirectory => "it is a directory",
        ErrorKind::NotADirectory => "a part of the path is no directory",
        ErrorKind::DirectoryNotEmpty => "the directory is not empty",
        ErrorKind::StorageFull => "the disk is full; make room",
        ErrorKind::QuotaExceeded => "the quota of this user is used up; make room",
        ErrorKind::FileTooLarge => "the file would grow too large; see `ulimit -f`",
        ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only",
        ErrorKind::InvalidFilename => "the name is too long, or none; take another",
        ErrorKind::InvalidData => "it is not the text that it should be",
        ErrorKind::AddrInUse => "another program has it; `ss -lntup` shows which",
        ErrorKind::AddrNotAvailable => "it is no address of this machine; see `ip address`",
        ErrorKind::ConnectionRefused => "nobody listens there",
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::NotConnected
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => "the other end has gone",
        ErrorKind::WriteZero => "not all of it was taken; try again",
        ErrorKind::TimedOut => "no answer came in time",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            "there is no way there; look at the network"
        }
        ErrorKind::OutOfMemory => "there is no memory left",
        _ => return by_number(error),
    };
    words.to_owned()
}

/// An error without a kind has a number, which depends on the system (errno(3)).
fn by_number(error: &Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NFILE | Errno::MFILE) => {
            "no descriptors are left; raise their limit (LimitNOFILE in the unit, or `ulimit -n`)"
                .to_owned()
        }
        Some(Errno::IO) => "the device fails; `journalctl -k` tells more".to_owned(),
        Some(Errno::NOTTY) => "it is no terminal".to_owned(),
        Some(Errno::LOOP) => "its links lead in a circle".to_owned(),
        Some(errno) => {
            let number = errno.raw_os_error();
            format!("the system refuses with error {number}; `journalctl` may tell more")
        }
        // The resolver's errors have neither a kind nor a number.
        None => "it cannot be found under that name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_the_system_has_the_systems_words() {
        for number in 1..=133 {
            let error = Error::from_raw_os_error(number);

            let words = in_words(&error);

            assert!(!words.contains("os error") && words.len() > 10, "{number}: {words}");
            assert!(!words.contains(&error.to_string()), "{number}: {words}");
        }
    }

    #[test]
    fn what_an_operator_meets_says_what_to_do() {
        for (kind, advice) in [
            (ErrorKind::PermissionDenied, "ls -l"),
            (ErrorKind::StorageFull, "make room"),
            (ErrorKind::AddrInUse, "ss -lntup"),
        ] {
            assert!(in_words(&kind.into()).contains(advice), "{kind:?}");
        }
        for (errno, words) in [
            (Errno::MFILE, "LimitNOFILE"),
            (Errno::IO, "the device fails"),
            (Errno::NOTTY, "no terminal"),
            (Errno::LOOP, "in a circle"),
        ] {
            assert!(in_words(&errno.into()).contains(words), "{errno:?}");
        }
    }

    #[test]
    fn a_sentence_of_ours_stays() {
        assert_eq!(in_words(&Error::other("larger than 16 MiB")), "larger than 16 MiB");
    }
}
