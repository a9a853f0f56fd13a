//! What the database complains about, sorted by what it means to us: each database has result
//! codes of its own, and above this file nobody knows them.

use sqlx::sqlite::SqliteError;

use crate::{postgres, sqlite};

/// What an error means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No room, or the disk fails.
    Full,
    /// The data are damaged, or no database.
    Broken,
    /// What there is may not be opened or written.
    Unwritable,
    /// Somebody else holds it.
    Busy,
    /// The database cannot be reached, or goes away in the middle. It may come back.
    Lost,
    /// Wrong password, or a user who may not come in.
    Refused,
    /// There is no database of this name.
    Missing,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Sorts an error.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let refusal = match error {
            sqlx::Error::Database(refusal) => refusal,
            // Words out of order come from a connection that was cut in the middle of one.
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut => return Self::Lost,
            _ => return Self::Other,
        };
        let code = refusal.code().unwrap_or_default();
        match refusal.try_downcast_ref::<SqliteError>() {
            Some(_) => sqlite::trouble(&code),
            None => postgres::trouble(&code),
        }
    }
}
