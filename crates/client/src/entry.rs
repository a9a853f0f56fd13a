//! Who logs in, and by what.

use whoelse_stream::Password;
use whoelse_stream::client::HeldToken;
use whoelse_stream::sasl2::UserAgentId;

use crate::remembered::Place;

/// One attempt to log in.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) by: By,
    /// The installation that logs in, if it is not just this process.
    pub(crate) installation: Option<UserAgentId>,
    /// Whether to ask for a token for the next time.
    pub(crate) wants_token: bool,
}

/// What lets somebody in.
#[derive(Debug, Clone)]
pub(crate) enum By {
    Password(Password),
    Token(HeldToken),
}

impl Entry {
    /// A login by password, to be forgotten.
    pub(crate) fn by_password(name: &str, password: Password) -> Entry {
        Entry {
            name: name.to_owned(),
            by: By::Password(password),
            installation: None,
            wants_token: false,
        }
    }

    /// The same, to be remembered in a place if there is one; otherwise it is this process that logs in.
    pub(crate) fn for_place(self, place: Option<&Place>, process: UserAgentId) -> Entry {
        let installation = Some(place.map_or(process, Place::installation));
        Entry { installation, wants_token: place.is_some(), ..self }
    }

    /// A login by the token of a place, if it has one.
    pub(crate) fn by_token(name: &str, place: &Place) -> Option<Entry> {
        Some(Entry {
            name: name.to_owned(),
            by: By::Token(place.held()?.clone()),
            installation: Some(place.installation()),
            wants_token: false,
        })
    }

    /// Returns the password, if it is by one.
    pub(crate) fn password(&self) -> Option<Password> {
        match &self.by {
            By::Password(password) => Some(password.clone()),
            By::Token(_) => None,
        }
    }
}
