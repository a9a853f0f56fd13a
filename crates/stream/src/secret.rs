//! RFC 4013, SASLprep; and passwords, which cannot be printed or compared by accident.
//!
//! The whole program compares secrets only with [`same_secret`].

use aws_lc_rs::constant_time;
use std::fmt;

/// A password, prepared with SASLprep once, when it was received.
///
/// Its `Debug` shows `Password(…)`, it is overwritten when dropped, and it has no `==`:
///
/// ```compile_fail,E0369
/// let password = whoelse_stream::Password::new("pencil").unwrap();
/// assert!(password == password);
/// ```
#[derive(Clone)]
pub struct Password(Vec<u8>);

/// Why a text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPassword {
    /// Nothing is left of it after preparation.
    Empty,
    /// It contains a character that SASLprep forbids: a control character, or one newer than
    /// Unicode 3.2.
    Forbidden,
}

impl fmt::Display for BadPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadPassword::Empty => "the password is empty",
            BadPassword::Forbidden => "the password has a character that passwords cannot have",
        })
    }
}

impl std::error::Error for BadPassword {}

impl Password {
    /// Prepares a text as a "stored string" (RFC 5802, 2.2), so unassigned code points are refused.
    pub fn new(text: &str) -> Result<Password, BadPassword> {
        let prepared = stringprep::saslprep(text).map_err(|_| BadPassword::Forbidden)?;
        if prepared.is_empty() {
            return Err(BadPassword::Empty);
        }
        Ok(Password(prepared.into_owned().into_bytes()))
    }

    /// Returns its length in characters (code points), after SASLprep.
    pub fn length(&self) -> usize {
        // Bytes that do not begin a character are 0b10xx_xxxx; the bytes come from a text.
        self.0.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
    }

    /// The prepared bytes: for key derivation, and for writing to an encrypted stream.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        overwrite(&mut self.0);
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Overwrites a secret that is about to be dropped.
pub(crate) fn overwrite(secret: &mut [u8]) {
    secret.fill(0);
    // This keeps the compiler from removing the overwriting.
    std::hint::black_box(secret);
}

/// Whether two secrets are equal, in a time that depends on their lengths only.
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    #[expect(clippy::disallowed_methods, reason = "the one place where secrets are compared")]
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let password = Password::new("pencil").unwrap();

        assert_eq!(format!("{password:?} {password:#?}"), "Password(…) Password(…)");
    }

    #[test]
    fn a_password_is_prepared_with_saslprep() {
        // The examples of RFC 4013, 3.
        for (typed, prepared) in [
            ("I\u{ad}X", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\u{aa}", "a"),
            ("\u{2168}", "IX"),
            ("two words", "two words"),
        ] {
            assert_eq!(Password::new(typed).unwrap().reveal(), prepared.as_bytes());
        }
    }

    #[test]
    fn a_password_is_as_long_as_its_characters() {
        for (typed, length) in [("pencil", 6), ("pässwört", 8), ("I\u{ad}X", 2), ("日本", 2)] {
            assert_eq!(Password::new(typed).unwrap().length(), length, "{typed}");
        }
    }

    #[test]
    fn a_password_that_cannot_be_prepared_is_refused() {
        for forbidden in ["\u{7}", "\u{627}1", "a\0b", "line\nline"] {
            assert_eq!(Password::new(forbidden).unwrap_err(), BadPassword::Forbidden);
        }
        assert_eq!(Password::new("").unwrap_err(), BadPassword::Empty);
        assert_eq!(Password::new("\u{ad}").unwrap_err(), BadPassword::Empty);
    }

    #[test]
    fn secrets_are_the_same_only_when_every_byte_is() {
        assert!(same_secret(b"abc", b"abc"));
        assert!(!same_secret(b"abc", b"abd"));
        assert!(!same_secret(b"abc", b"ab"));
        assert!(same_secret(b"", b""));
    }
}
