//! Opens an existing database of any schema to look at and read it, without making, migrating or
//! repairing anything.

use sqlx::{AnyConnection, Connection};

use crate::dialect::Dialect;
use crate::schema::{self, Refusal};
use crate::{Domain, Location, OpenError, Store, domains, postgres, sqlite};

/// The state of a database before anything is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The version of its schema; 0 if it is empty.
    pub version: i64,
    /// The newest version this program knows.
    pub known: i64,
    /// The domains in it, oldest first.
    pub domains: Vec<Domain>,
}

impl Store {
    /// Looks at a location as [`open`](Store::open) would find it, without taking its lock, and
    /// without making or changing anything: a server may be running on it.
    ///
    /// # Errors
    /// The error with which an opening would fail, as far as can be seen.
    pub async fn look(place: &Location) -> Result<Found, OpenError> {
        let nothing = Found { version: 0, known: schema::KNOWN, domains: Vec::new() };
        match place {
            Location::Memory => return Ok(nothing),
            Location::Sqlite(path) if !path.exists() => return Ok(nothing),
            Location::Sqlite(_) | Location::Postgres(_) => {}
        }
        let Original { mut conn, version, .. } = Original::open(place, false).await?;
        let domains = match version {
            0 => Ok(Vec::new()),
            _ => domains::domains(&mut conn).await.map_err(Refusal::from),
        };
        // Nothing was changed, so an error of closing does not matter.
        let _ = conn.close().await;
        Ok(Found { version, domains: domains.map_err(|refusal| refusal.at(place))?, ..nothing })
    }
}

/// A database that was opened as it is.
pub(crate) struct Original {
    pub conn: AnyConnection,
    pub dialect: Dialect,
    /// The version of its schema; 0 if it is empty.
    pub version: i64,
}

impl Original {
    /// Opens an existing database, and keeps servers off it as long as the connection lives. (A
    /// file is protected by the lock on its directory instead.)
    pub async fn hold(place: &Location) -> Result<Self, OpenError> {
        Self::open(place, true).await
    }

    async fn open(place: &Location, hold: bool) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let (mut conn, dialect) = match place {
            Location::Postgres(url) if hold => {
                (postgres::open_writer(url).await?.conn, Dialect::Postgres)
            }
            Location::Postgres(url) => (postgres::look(url).await?, Dialect::Postgres),
            Location::Sqlite(_) | Location::Memory => {
                let options = place.options().map_err(|error| Refusal::from(error).at(place))?;
                let conn = AnyConnection::connect_with(&options).await;
                let mut conn = conn.map_err(|error| OpenError::of(place, &error))?;
                let prepared = sqlite::prepare_reader(&mut conn).await;
                prepared.map_err(|error| OpenError::of(place, &error))?;
                (conn, Dialect::Sqlite)
            }
        };
        match schema::version(&mut conn, dialect).await {
            Ok(version) => Ok(Self { conn, dialect, version }),
            Err(refusal) => {
                let _ = conn.close().await;
                Err(refusal.at(place))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scratch;
    use crate::testing::{Dir, place};

    #[tokio::test]
    async fn a_look_finds_version_and_domains_and_changes_nothing() {
        let dir = Dir::of_files();
        let file = dir.path().join("store.db");
        let there = Store::look(&place(&dir)).await.unwrap();
        assert_eq!((there.version, there.domains.len(), file.exists()), (0, 0, false));

        for version in 1..=schema::KNOWN {
            let _ = std::fs::remove_file(&file);
            scratch::old_file(&file, version).unwrap();
            let before = std::fs::read(&file).unwrap();

            let there = Store::look(&place(&dir)).await.unwrap();

            assert_eq!((there.version, there.known), (version, schema::KNOWN));
            assert_eq!(there.domains[0].name, "chat.example");
            assert_eq!(std::fs::read(&file).unwrap(), before);
        }
    }
}
