//! Where a store is: a file, or a database on a PostgreSQL server, named by one text.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;

/// The location of a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Location {
    /// A SQLite file; its folder must exist.
    Sqlite(PathBuf),
    /// A database on a PostgreSQL server.
    Postgres(PostgresUrl),
    /// A temporary place, for tests: gone with the last handle. (It is a file in a temporary folder
    /// of its own, because SQLite's in-memory databases do not let readers and the writer work side
    /// by side.)
    Memory,
}

impl Location {
    /// Reads a location as people write it: `postgres://user@host/name`, or the path of a file.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        if PostgresUrl::is_one(text) {
            return text.parse().map(Self::Postgres);
        }
        match text.split_once("://") {
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some((scheme, _)) if scheme.chars().all(|letter| letter.is_ascii_alphanumeric()) => {
                Err(PlaceError(format!(
                    "{scheme}:// is no database that whoelse knows; write postgres://… or the \
                     path of a file"
                )))
            }
            _ => Ok(Self::Sqlite(Path::new(text).to_owned())),
        }
    }
}

impl Location {
    /// Returns the driver's options for a connection that makes no file.
    pub(crate) fn options(&self) -> crate::Result<AnyConnectOptions> {
        match self {
            Self::Postgres(url) => Ok(url.options()),
            Self::Sqlite(path) => {
                let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
                Ok(crate::sqlite::options(&path)?)
            }
            // A temporary place has no file here: its store knows where the file is.
            Self::Memory => Err(crate::Error::Closed),
        }
    }
}

/// Formats the location for anybody to see: without a password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
            Self::Memory => f.write_str("in memory"),
        }
    }
}

/// The URL of a database on a PostgreSQL server, as libpq reads it:
/// `postgres://user:password@host:port/name?sslmode=verify-full&sslrootcert=…`.
///
/// It may contain a password, so it is never shown whole.
#[derive(Clone)]
pub struct PostgresUrl {
    options: AnyConnectOptions,
}

impl PostgresUrl {
    /// Returns whether a text is meant to be such a URL.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Returns whether it contains a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.options.database_url.password().is_some()
    }

    /// Sets the password, in place of any that is there.
    pub fn set_password(&mut self, password: &str) {
        // This fails only for a URL without a host; such a URL is on this machine.
        let _ = self.options.database_url.set_password(Some(password));
    }

    /// Returns the URL with one more parameter.
    #[cfg(any(test, feature = "scratch"))]
    pub(crate) fn with(&self, key: &str, value: &str) -> Self {
        let mut with = self.clone();
        with.options.database_url.query_pairs_mut().append_pair(key, value);
        with
    }

    /// Returns its host and port.
    #[cfg(any(test, feature = "scratch"))]
    pub(crate) fn address(&self) -> (String, u16) {
        let url = &self.options.database_url;
        (url.host_str().unwrap_or("localhost").to_owned(), url.port().unwrap_or(5432))
    }

    /// Sets another host and port.
    #[cfg(any(test, feature = "scratch"))]
    pub(crate) fn set_address(&mut self, host: &str, port: u16) {
        let url = &mut self.options.database_url;
        // This fails only for a URL without a host, which leads to this machine anyway.
        let _ = url.set_host(Some(host)).is_ok() && url.set_port(Some(port)).is_ok();
    }

    /// Returns the driver's options.
    pub(crate) fn options(&self) -> AnyConnectOptions {
        let mut options = self.options.clone();
        let given: Vec<String> =
            options.database_url.query_pairs().map(|(key, _)| key.into_owned()).collect();
        // An administrator of PostgreSQL sees this name. The capacity is greater than the number of
        // statements, so that each is prepared once.
        for (key, value) in [("application_name", "whoelse"), ("statement-cache-capacity", "500")] {
            if !given.iter().any(|known| known == key) {
                options.database_url.query_pairs_mut().append_pair(key, value);
            }
        }
        options.disable_statement_logging()
    }
}

impl FromStr for PostgresUrl {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        // The driver's error may quote the text, and with it the password.
        let broken = || {
            PlaceError(
                "that is not the URL of a PostgreSQL database; it looks like \
                 postgres://user@host:5432/name"
                    .to_owned(),
            )
        };
        if !Self::is_one(text) {
            return Err(broken());
        }
        let options: AnyConnectOptions = text.parse().map_err(|_| broken())?;
        let driver = sqlx::postgres::PgConnectOptions::from_url(&options.database_url);
        driver.map_err(|_| broken())?;
        Ok(Self { options })
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.options.database_url;
        f.write_str("postgres://")?;
        if !url.username().is_empty() {
            write!(f, "{}@", url.username())?;
        }
        f.write_str(url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// The error for a text that names no location. It is a whole sentence, without what might be a
/// password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceError(String);

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PlaceError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_is_a_path_or_a_url() {
        for text in ["whoelse.db", "/var/lib/whoelse/whoelse.db", "sqlite://whoelse.db", "a:b"] {
            assert!(matches!(Location::parse(text).unwrap(), Location::Sqlite(_)), "{text}");
        }
        for text in ["postgres://bob@localhost/chat", "postgresql:///chat?host=/run/postgresql"] {
            assert!(matches!(Location::parse(text).unwrap(), Location::Postgres(_)), "{text}");
        }
        for text in ["mysql://localhost/chat", "http://x"] {
            assert!(
                Location::parse(text).unwrap_err().to_string().contains("postgres://"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = "postgres://bob:sesame@db.example:5433/chat?sslmode=require&password=sesame";
        let place = Location::parse(url).unwrap();

        assert_eq!(place.to_string(), "postgres://bob@db.example:5433/chat");
        assert!(!format!("{place:?}").contains("sesame"));
        for broken in ["postgres://bob:sesame@:99999999/x", "postgres://bob:sesame@h/x?sslmode=no"]
        {
            let said = Location::parse(broken).unwrap_err().to_string();
            assert!(!said.contains("sesame"), "{said}");
        }
    }

    #[test]
    fn a_password_of_any_characters_can_be_put_in() {
        let mut url: PostgresUrl = "postgres://bob@localhost/chat".parse().unwrap();
        assert!(!url.has_password());

        url.set_password("p@ss/w:ö%");

        assert!(url.has_password());
        assert_eq!(url.to_string(), "postgres://bob@localhost/chat");
    }
}
