//! XEP-0077, 3.3, from a client: another password for the own account.
//!
//! The server asks for nothing but the new one, of whoever is logged in. Here the present one has to
//! be said as well: whoever passes by a terminal that is left alone has no right to the account.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use whoelse_stream::Password;
use whoelse_stream::secret::same_secret;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Jid, ns};

use crate::client::Client;
use crate::request::{Request, RequestError};

/// Why the password was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordError {
    /// What was said to be the present one is not.
    Wrong,
    /// The server did not do it; where the connection was lost, nobody knows.
    Request(RequestError),
}

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
    fn prepare(&self, present: &Password, new: &Password) -> Result<(), PasswordError> {
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
    fn settle(&self, new: Option<Password>) {
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

/// Changes the password of whoever is logged in. The session goes on; when its connection is lost
/// before the server's answer, it comes back with whichever password the server knows.
pub async fn change(
    client: &Client,
    present: &Password,
    new: Password,
) -> Result<(), PasswordError> {
    let me = client.me().ok_or(PasswordError::Request(RequestError::NotLoggedIn))?;
    let proof = client.proof();
    proof.prepare(present, &new)?;
    let text = String::from_utf8_lossy(new.reveal()).into_owned();
    let query = Element::new("query")
        .xmlns(ns::REGISTER)
        .child(Element::new("username").text(me.to_bare().local().unwrap_or_default()))
        .child(Element::new("password").text(&text));
    let server = Jid::parse(me.domain()).ok();
    let answer = client.request(Request { to: server, ..Request::set(query) }).await;
    match answer {
        Ok(_) => proof.settle(Some(new)),
        Err(RequestError::Refused(_) | RequestError::NotLoggedIn | RequestError::TooMany) => {
            proof.settle(None);
        }
        // Nobody knows.
        Err(_) => {}
    }
    answer.map(drop).map_err(PasswordError::Request)
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
