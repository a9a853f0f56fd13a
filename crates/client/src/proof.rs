//! What a session is logged in with, while it lasts: the password that brings it back.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use whoelse_stream::Password;
use whoelse_stream::secret::same_secret;

use crate::error::{PasswordError, RequestError};

/// What a session is logged in with, for as long as it lasts. Held for one look or one swap.
#[derive(Clone, Default)]
pub(crate) struct Proof(Arc<Mutex<Option<Known>>>);

struct Known {
    password: Password,
    /// One that the server has been told, and may have taken.
    next: Option<Password>,
}

impl Proof {
    /// Somebody has logged in with this.
    pub(crate) fn begin(&self, password: Password) {
        *self.lock() = Some(Known { password, next: None });
    }

    /// The session has ended.
    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    /// What to log in with when the connection was lost.
    pub(crate) fn password(&self) -> Option<Password> {
        self.lock().as_ref().map(|known| known.password.clone())
    }

    /// The password is not right any more: tries the one that the server may have taken. Returns
    /// whether there was one.
    pub(crate) fn try_next(&self) -> bool {
        let mut known = self.lock();
        let Some(known) = known.as_mut() else { return false };
        known.next.take().is_some_and(|next| {
            known.password = next;
            true
        })
    }

    /// Notes what the server is about to be told, if this is the present password.
    pub(crate) fn prepare(&self, present: &Password, new: &Password) -> Result<(), PasswordError> {
        match self.lock().as_mut() {
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

    /// The server has taken it, or has not.
    pub(crate) fn settle(&self, new: Option<Password>) {
        if let Some(known) = self.lock().as_mut() {
            known.next = None;
            if let Some(new) = new {
                known.password = new;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
