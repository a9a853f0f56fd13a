//! The dialect: which of the two databases a store uses. What differs between them is here, in
//! `sqlite` and in `postgres`, in how `rows` names parameters, and in two words of `journal`. Who has
//! to take one way or the other asks for the dialect or the location: `open`, `look` and `inspect`
//! (how a database is reached), `tx` (how a transaction begins, ends and is found to have ended),
//! `upgrade` (the copy that is kept of a file) and `transfer` (snapshots, and what is put aside).

use std::borrow::Cow;

use sqlx::AnyConnection;

use crate::{postgres, sqlite};

/// One of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Returns which database a connection leads to.
    pub(crate) fn of(conn: &AnyConnection) -> Self {
        match conn.backend_name() {
            "PostgreSQL" => Self::Postgres,
            _ => Self::Sqlite,
        }
    }

    /// Counts the existing tables.
    pub(crate) fn count_tables(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::COUNT_TABLES,
            Self::Postgres => postgres::COUNT_TABLES,
        }
    }

    /// Looks for one table by name.
    pub(crate) fn has_table(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite::HAS_TABLE,
            Self::Postgres => postgres::HAS_TABLE,
        }
    }

    /// Translates a schema change, which is written for SQLite, for this database.
    pub(crate) fn declaration(self, text: &'static str) -> Cow<'static, str> {
        match self {
            Self::Sqlite => Cow::Borrowed(text),
            Self::Postgres => Cow::Owned(postgres::declaration(text)),
        }
    }
}
