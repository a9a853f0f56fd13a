//! What can go wrong in the store, sorted by what the caller can do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::sqlite;

/// The result of everything but opening.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a question to the store or a change in it may fail with.
///
/// After any of these the transaction has not happened, and the store can be used again.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The disk has no room, or refuses to read or write. It may do so again later.
    Full(Cause),
    /// The database file is damaged.
    Broken(Cause),
    /// There is no own domain of this name.
    NoSuchDomain(String),
    /// There is already an own domain of this name.
    DomainExists(String),
    /// The store has been closed.
    Closed,
    /// Anything else the database said.
    Database(Cause),
}

/// What the database said, for the server's own log.
///
/// It names tables and columns, never what is in them.
pub struct Cause(sqlx::Error);

impl Error {
    /// Tells whether the disk is full or failing, in which case trying later can help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match sqlite::Trouble::of(&error) {
            sqlite::Trouble::Full => Self::Full(Cause(error)),
            sqlite::Trouble::Broken => Self::Broken(Cause(error)),
            _ if matches!(error, sqlx::Error::PoolClosed) => Self::Closed,
            _ => Self::Database(Cause(error)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(cause) => write!(f, "the disk is full or failing: {cause}"),
            Self::Broken(cause) => write!(f, "the database is damaged: {cause}"),
            Self::NoSuchDomain(name) => write!(f, "there is no domain {name} here"),
            Self::DomainExists(name) => write!(f, "there is already a domain {name} here"),
            Self::Closed => f.write_str("the database has been closed"),
            Self::Database(cause) => write!(f, "the database refused: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full(cause) | Self::Broken(cause) | Self::Database(cause) => Some(cause),
            Self::NoSuchDomain(_) | Self::DomainExists(_) | Self::Closed => None,
        }
    }
}

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Cause {}

/// Why a store could not be opened. The text is a whole sentence for the operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file, or the folder it is in, cannot be created, read or written.
    Unwritable {
        /// The database file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is damaged, or no database at all.
    Broken {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        cause: String,
    },
    /// The file is a database, but another program's.
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// The database was written by a newer version of this program.
    Newer {
        /// The version of the schema in the file.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// Another program holds the database.
    Busy {
        /// The database file.
        path: PathBuf,
    },
    /// The disk is full or failing.
    Full {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        cause: String,
    },
    /// Anything else the database said.
    Database {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        cause: String,
    },
}

impl OpenError {
    /// Sorts what the database said while `path` was being opened.
    pub(crate) fn of(path: PathBuf, error: &sqlx::Error) -> Self {
        let cause = error.to_string();
        match sqlite::Trouble::of(error) {
            sqlite::Trouble::Full => Self::Full { path, cause },
            sqlite::Trouble::Broken => Self::Broken { path, cause },
            sqlite::Trouble::Unwritable => {
                Self::Unwritable { path, source: io::Error::other(cause) }
            }
            sqlite::Trouble::Busy => Self::Busy { path },
            sqlite::Trouble::Other => Self::Database { path, cause },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwritable { path, source } => {
                write!(f, "cannot create or write the database {}: {source}", path.display())
            }
            Self::Broken { path, cause } => write!(
                f,
                "the database {} is damaged or not a database ({cause}); restore it from a copy",
                path.display()
            ),
            Self::Foreign { path } => {
                write!(f, "the database {} belongs to another program", path.display())
            }
            Self::Newer { found, known } => write!(
                f,
                "the database was written by a newer version of whoelse (schema {found}, this \
                 program knows {known}); start that version instead"
            ),
            Self::Busy { path } => {
                write!(f, "the database {} is in use by another program", path.display())
            }
            Self::Full { path, cause } => write!(
                f,
                "the disk is full or failing where the database {} is ({cause})",
                path.display()
            ),
            Self::Database { path, cause } => {
                write!(f, "cannot open the database {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unwritable { source, .. } => Some(source),
            _ => None,
        }
    }
}
