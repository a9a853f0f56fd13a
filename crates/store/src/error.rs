//! The errors of the store, by what the caller can do about them.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sqlx::sqlite::SqliteError;
use whoelse_xmpp::in_words;

use crate::trouble::Trouble;

/// The result of every operation except opening.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a query or a change.
///
/// After any of these but [`Undecided`](Error::Undecided) the transaction has not happened, and
/// the store can be used again.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The disk has no room, or fails to read or write. It may recover later.
    Full(Cause),
    /// The database file is damaged.
    Broken(Cause),
    /// What it belongs to has been removed: an account, a room.
    Gone(Cause),
    /// There is no own domain of this name.
    NoSuchDomain(String),
    /// There is already an own domain of this name.
    DomainExists(String),
    /// The store has been closed.
    Closed,
    /// The database cannot be reached. It may come back, and the store with it.
    Lost(Cause),
    /// The connection was lost during a commit: the transaction may or may not have happened.
    /// [`Store::decide`](crate::Store::decide) says which, when the database is back.
    Undecided(Undecided),
    /// Another server took the database while we could not reach it. Nothing more is written.
    Taken,
    /// Any other error of the database.
    Database(Cause),
}

/// A transaction of which it is not known yet whether it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// Its number.
    pub(crate) txid: i64,
}

/// The database's message, for the server's own log.
///
/// It names tables and columns, never their content.
pub struct Cause(sqlx::Error);

impl Error {
    /// Returns whether the disk is full or failing, in which case trying later can help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// The error that the database is known to be unreachable, made without asking it.
    #[must_use]
    pub fn lost() -> Self {
        Self::Lost(Cause(sqlx::Error::Io(io::ErrorKind::NotConnected.into())))
    }

    /// Returns whether the database cannot be reached, in which case waiting can help.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        tracing::debug!(?error, "database_said");
        match Trouble::of(&error) {
            Trouble::Full => Self::Full(Cause(error)),
            Trouble::Broken => Self::Broken(Cause(error)),
            Trouble::Lost => Self::Lost(Cause(error)),
            Trouble::Gone => Self::Gone(Cause(error)),
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
            Self::Gone(cause) => write!(f, "what this belongs to has been removed: {cause}"),
            Self::NoSuchDomain(name) => write!(f, "there is no domain {name} here"),
            Self::DomainExists(name) => write!(f, "there is already a domain {name} here"),
            Self::Closed => f.write_str("the database has been closed"),
            Self::Lost(cause) => write!(f, "the database cannot be reached: {cause}"),
            Self::Undecided(_) => f.write_str("the database was lost during a commit"),
            Self::Taken => {
                f.write_str("another server has taken the database; stop one of the two")
            }
            Self::Database(cause) => write!(f, "the database refused: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full(cause)
            | Self::Broken(cause)
            | Self::Gone(cause)
            | Self::Lost(cause)
            | Self::Database(cause) => Some(cause),
            Self::NoSuchDomain(_)
            | Self::DomainExists(_)
            | Self::Closed
            | Self::Undecided(_)
            | Self::Taken => None,
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
        f.write_str(&said(&self.0))
    }
}

impl std::error::Error for Cause {}

/// Why a store could not be opened. The text is a whole sentence for the operator; a place is
/// shown without a password.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file, or the folder it is in, or the tables, cannot be created, read or written.
    Unwritable {
        /// The database.
        place: String,
        /// The message of the operating system or the database.
        source: io::Error,
    },
    /// The file is damaged, or no database at all.
    Broken {
        /// The database.
        place: String,
        /// The message of the database.
        cause: String,
    },
    /// It is a database of another program.
    Foreign {
        /// The database.
        place: String,
    },
    /// The database was written by a newer version of this program.
    Newer {
        /// The version of the schema in it.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The database has an older schema, and no copy of it can be kept.
    NoCopy {
        /// Where the copy would be kept.
        copy: PathBuf,
        /// The version of its schema.
        from: i64,
        /// What prevents it.
        why: String,
    },
    /// Another program holds the database.
    Busy {
        /// The database.
        place: String,
    },
    /// The disk is full or failing.
    Full {
        /// The database.
        place: String,
        /// The message of the database.
        cause: String,
    },
    /// Nobody answers at the address of the database.
    Unreachable {
        /// The database.
        place: String,
        /// The message of the network.
        cause: String,
    },
    /// The database refuses our login.
    Refused {
        /// The database.
        place: String,
        /// The message of the database.
        cause: String,
    },
    /// There is no database of this name.
    Missing {
        /// The database.
        place: String,
    },
    /// The database server has a version that is not supported.
    TooOld {
        /// The database.
        place: String,
        /// Its version.
        found: String,
    },
    /// The database's encoding cannot hold every character.
    Encoding {
        /// The database.
        place: String,
        /// Its encoding.
        found: String,
    },
    /// Any other error of the database.
    Database {
        /// The database.
        place: String,
        /// The message of the database.
        cause: String,
    },
}

impl OpenError {
    /// Sorts an error of the database during opening.
    pub(crate) fn of(place: impl fmt::Display, error: &sqlx::Error) -> Self {
        let (place, cause) = (place.to_string(), said(error));
        match Trouble::of(error) {
            Trouble::Full => Self::Full { place, cause },
            Trouble::Broken => Self::Broken { place, cause },
            Trouble::Unwritable => Self::Unwritable { place, source: io::Error::other(cause) },
            Trouble::Busy => Self::Busy { place },
            Trouble::Lost => Self::Unreachable { place, cause },
            Trouble::Refused => Self::Refused { place, cause },
            Trouble::Missing => Self::Missing { place },
            Trouble::Gone | Trouble::Other => Self::Database { place, cause },
        }
    }
}

/// Returns the message of an error in our own words. Only PostgreSQL's messages tell an operator
/// more. The driver's messages are logged at its level `debug`.
fn said(error: &sqlx::Error) -> String {
    let words = match error {
        sqlx::Error::Io(error) => return in_words(error),
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            return match refusal.try_downcast_ref::<SqliteError>() {
                Some(_) => crate::sqlite::in_words(&code),
                None => format!("PostgreSQL says {code}, \"{}\"", refusal.message()),
            };
        }
        sqlx::Error::Tls(_) => "no encrypted connection; look at sslmode and sslrootcert",
        sqlx::Error::PoolTimedOut => "no answer in time",
        sqlx::Error::PoolClosed => "it has been closed",
        sqlx::Error::Configuration(_) => "its address cannot be understood",
        _ => "its answer cannot be understood",
    };
    words.to_owned()
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwritable { place, source } => {
                write!(f, "cannot create or write the database {place}: {}", in_words(source))
            }
            Self::Broken { place, cause } => write!(
                f,
                "the database {place} is damaged or not a database: {cause}; restore it from a \
                 copy"
            ),
            Self::Foreign { place } => {
                write!(f, "the database {place} belongs to another program")
            }
            Self::Newer { found, known } => write!(
                f,
                "the database was written by a newer version of whoelse (schema {found}, this \
                 program knows {known}); start that version instead"
            ),
            Self::NoCopy { copy, from, why } => write!(
                f,
                "the database is of schema {from} and is to be kept as it is before it is brought \
                 up to date, which cannot be done in {}: {why}; make that possible, or start once \
                 with --migrate-without-copy if you have a backup",
                copy.display()
            ),
            Self::Busy { place } => {
                write!(f, "the database {place} is in use by another server or program")
            }
            Self::Full { place, cause } => {
                write!(f, "the disk is full or failing where the database {place} is ({cause})")
            }
            Self::Unreachable { place, cause } => write!(
                f,
                "cannot reach the database {place}: {cause}; is PostgreSQL running there?"
            ),
            Self::Refused { place, cause } => write!(
                f,
                "the database {place} does not let us in: {cause}; check the user and the \
                 password"
            ),
            Self::Missing { place } => write!(
                f,
                "there is no database {place}; make one with PostgreSQL's `createdb`, encoding \
                 UTF8"
            ),
            Self::TooOld { place, found } => write!(
                f,
                "the database {place} is PostgreSQL {found}; whoelse needs version 13 or newer"
            ),
            Self::Encoding { place, found } => write!(
                f,
                "the database {place} has the encoding {found} and cannot hold every character; \
                 make one with `createdb -E UTF8 -T template0`"
            ),
            Self::Database { place, cause } => {
                write!(f, "cannot open the database {place}: {cause}")
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
