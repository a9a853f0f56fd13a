//! RFC 4616, PLAIN: the mechanism that sends the password itself, so only over an encrypted or a
//! trusted stream.

use crate::secret::Password;
use std::fmt;

/// The content of a PLAIN message.
pub struct Plain {
    /// The authzid: as whom the client wants to act, if it says.
    pub authzid: Option<String>,
    /// The name whose password it is; not normalised.
    pub authcid: String,
    /// The password; `None` if it cannot be a password.
    pub password: Option<Password>,
}

/// The error that the message is not two names and a password with zero bytes between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Plain {
    /// Reads the message.
    pub fn parse(message: &[u8]) -> Result<Plain, Malformed> {
        let text = std::str::from_utf8(message).map_err(|_| Malformed)?;
        let mut parts = text.split('\0');
        let (Some(authzid), Some(authcid), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed);
        };
        if authcid.is_empty() || password.is_empty() {
            return Err(Malformed);
        }
        Ok(Plain {
            authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
            authcid: authcid.to_owned(),
            password: Password::new(password).ok(),
        })
    }
}

/// Writes the message, without an authzid.
pub fn write(username: &str, password: &Password) -> Vec<u8> {
    [b"\0", username.as_bytes(), b"\0", password.reveal()].concat()
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("authcid", &self.authcid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let message = write("bob", &Password::new("two words").unwrap());

        let plain = Plain::parse(&message).unwrap();

        assert_eq!(plain.authzid, None);
        assert_eq!(plain.authcid, "bob");
        assert_eq!(plain.password.unwrap().reveal(), b"two words");
    }

    #[test]
    fn an_authzid_is_seen() {
        let plain = Plain::parse(b"eve@a.example\0bob\0secret").unwrap();

        assert_eq!(plain.authzid.as_deref(), Some("eve@a.example"));
    }

    #[test]
    fn a_malformed_message_is_refused() {
        for bad in [
            &b""[..],
            b"\0",
            b"\0\0",
            b"bob\0secret",
            b"\0bob\0",
            b"\0\0secret",
            b"\0a\0b\0c",
            b"\0\xff\0x",
        ] {
            assert_eq!(Plain::parse(bad).unwrap_err(), Malformed, "{bad:?}");
        }
    }

    #[test]
    fn a_password_nobody_can_have_is_nobodys() {
        assert!(Plain::parse("\0bob\0\u{7}".as_bytes()).unwrap().password.is_none());
    }

    #[test]
    fn a_plain_message_is_printed_without_its_password() {
        let plain = Plain::parse(b"\0bob\0secret").unwrap();

        assert!(!format!("{plain:?}").contains("secret"));
    }
}
