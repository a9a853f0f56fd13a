//! Errors of the databases, sorted by what they mean for the store: each database has its own
//! result codes, and only the lower modules know them.

use sqlx::sqlite::SqliteError;

use crate::{postgres, sqlite};

/// The meaning of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No room, or the disk fails.
    Full,
    /// The data are damaged, or it is no database.
    Broken,
    /// The database may not be opened or written.
    Unwritable,
    /// Another program holds it.
    Busy,
    /// The database cannot be reached, or was lost in the middle. It may come back.
    Lost,
    /// Wrong password, or a user without access.
    Refused,
    /// There is no database of this name.
    Missing,
    /// What a row belongs to is not there.
    Gone,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Sorts an error.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let refusal = match error {
            sqlx::Error::Database(refusal) => refusal,
            // Messages out of order come from a connection that was cut in the middle of one.
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut => return Self::Lost,
            _ => return Self::Other,
        };
        if refusal.is_foreign_key_violation() {
            return Self::Gone;
        }
        let code = refusal.code().unwrap_or_default();
        match refusal.try_downcast_ref::<SqliteError>() {
            Some(_) => sqlite::trouble(&code),
            None => postgres::trouble(&code),
        }
    }
}
