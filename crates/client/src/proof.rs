//! The password of a session, kept for reconnecting.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use whoelse_stream::Password;
use whoelse_stream::secret::same_secret;

use crate::error::{PasswordError, RequestError};

/// The password of a session while it lasts. Locked for one look or one swap.
#[derive(Clone, Default)]
pub(crate) struct Proof(Arc<Mutex<Option<Known>>>);

struct Known {
    password: Password,
    /// A new password that the server may have accepted.
    next: Option<Password>,
}

impl Proof {
    /// Begins with the password of a login.
    pub(crate) fn begin(&self, password: Password) {
        *self.0.lock() = Some(Known { password, next: None });
    }

    /// Forgets it at the end of the session.
    pub(crate) fn end(&self) {
        *self.0.lock() = None;
    }

    /// Returns the password for reconnecting.
    pub(crate) fn password(&self) -> Option<Password> {
        self.0.lock().as_ref().map(|known| known.password.clone())
    }

    /// Switches to the password that the server may have accepted, because the old one is wrong.
    /// Returns whether there was one.
    pub(crate) fn try_next(&self) -> bool {
        let mut known = self.0.lock();
        let Some(known) = known.as_mut() else { return false };
        known.next.take().is_some_and(|next| {
            known.password = next;
            true
        })
    }

    /// Notes a new password before it is sent, if `present` is right.
    pub(crate) fn prepare(&self, present: &Password, new: &Password) -> Result<(), PasswordError> {
        match self.0.lock().as_mut() {
            None => Err(PasswordError::Request(RequestError::NotLoggedIn)),
            Some(known) if !same_secret(known.password.reveal(), present.reveal()) => {
                Err(PasswordError::Wrong)
            }
            Some(known) => {
                known.next = Some(new.clone());
                Ok(())
            }
        }
    }

    /// Takes over the new password, or drops it if the server has refused it.
    pub(crate) fn settle(&self, new: Option<Password>) {
        if let Some(known) = self.0.lock().as_mut() {
            known.next = None;
            if let Some(new) = new {
                known.password = new;
            }
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn held(proof: &Proof) -> Option<Vec<u8>> {
        proof.password().map(|it| it.reveal().to_vec())
    }

    #[test]
    fn only_the_present_password_changes_anything() {
        let proof = Proof::default();
        let not_in = Err(PasswordError::Request(RequestError::NotLoggedIn));
        assert_eq!(proof.prepare(&password("old"), &password("new")), not_in);
        proof.begin(password("old"));

        let wrong = Err(PasswordError::Wrong);
        assert_eq!(proof.prepare(&password("new"), &password("new")), wrong);
        assert!(!proof.try_next());
        assert_eq!(proof.prepare(&password("old"), &password("new")), Ok(()));

        assert_eq!(held(&proof).unwrap(), b"old", "until the server has taken it");
        proof.settle(Some(password("new")));
        assert_eq!(held(&proof).unwrap(), b"new");
        proof.end();
        assert!(held(&proof).is_none());
    }

    #[test]
    fn a_password_that_the_server_may_have_taken_is_tried_once() {
        let proof = Proof::default();
        proof.begin(password("old"));
        proof.prepare(&password("old"), &password("new")).unwrap();

        assert!(proof.try_next());
        assert_eq!(held(&proof).unwrap(), b"new");
        assert!(!proof.try_next());
    }
}
