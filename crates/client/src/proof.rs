//! The password of a session, kept for reconnecting. A session that began by a token has none, until a
//! new one is chosen in it.

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
    password: Option<Password>,
    /// A new password that the server may have accepted.
    next: Option<Password>,
}

impl Proof {
    /// Begins with the password of a login, if it was by one.
    pub(crate) fn begin(&self, password: Option<Password>) {
        *self.0.lock() = Some(Known { password, next: None });
    }

    /// Forgets it at the end of the session.
    pub(crate) fn end(&self) {
        *self.0.lock() = None;
    }

    /// Returns the password for reconnecting.
    pub(crate) fn password(&self) -> Option<Password> {
        self.0.lock().as_ref().and_then(|known| known.password.clone())
    }

    /// Switches to the password that the server may have accepted, because the old one is wrong.
    /// Returns whether there was one.
    pub(crate) fn try_next(&self) -> bool {
        let mut known = self.0.lock();
        let Some(known) = known.as_mut() else { return false };
        known.next.take().is_some_and(|next| {
            known.password = Some(next);
            true
        })
    }

    /// Notes a new password before it is sent, if `present` is right. Returns whether that is known
    /// here; if not, the server has to compare it.
    pub(crate) fn prepare(
        &self,
        present: &Password,
        new: &Password,
    ) -> Result<bool, PasswordError> {
        let mut known = self.0.lock();
        let Some(known) = known.as_mut() else {
            return Err(PasswordError::Request(RequestError::NotLoggedIn));
        };
        let password = known.password.as_ref();
        if password.is_some_and(|it| !same_secret(it.reveal(), present.reveal())) {
            return Err(PasswordError::Wrong);
        }
        known.next = Some(new.clone());
        Ok(known.password.is_some())
    }

    /// Takes over the new password, or drops it if the server has refused it.
    pub(crate) fn settle(&self, new: Option<Password>) {
        if let Some(known) = self.0.lock().as_mut() {
            known.next = None;
            if new.is_some() {
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
        proof.begin(Some(password("old")));

        let wrong = Err(PasswordError::Wrong);
        assert_eq!(proof.prepare(&password("new"), &password("new")), wrong);
        assert!(!proof.try_next());
        assert_eq!(proof.prepare(&password("old"), &password("new")), Ok(true));

        assert_eq!(held(&proof).unwrap(), b"old", "until the server has taken it");
        proof.settle(Some(password("new")));
        assert_eq!(held(&proof).unwrap(), b"new");
        proof.end();
        assert!(held(&proof).is_none());
    }

    #[test]
    fn a_password_that_is_not_known_here_is_compared_elsewhere() {
        let proof = Proof::default();
        proof.begin(None);
        assert!(held(&proof).is_none());

        assert_eq!(proof.prepare(&password("any"), &password("new")), Ok(false));
        proof.settle(None);
        assert!(held(&proof).is_none());
        proof.settle(Some(password("new")));
        assert_eq!(held(&proof).unwrap(), b"new");
    }

    #[test]
    fn a_password_that_the_server_may_have_taken_is_tried_once() {
        for known in [Some(password("old")), None] {
            let proof = Proof::default();
            proof.begin(known);
            proof.prepare(&password("old"), &password("new")).unwrap();

            assert!(proof.try_next());
            assert_eq!(held(&proof).unwrap(), b"new");
            assert!(!proof.try_next());
        }
    }
}
