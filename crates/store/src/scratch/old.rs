//! Databases and backups of every schema there was, with a row or more in every table.

use std::path::Path;

use super::Scratch;
use crate::{Location, postgres, schema, sqlite, transfer};

/// The data to insert when a database has reached a version, by version.
const DATA: [&str; 5] = [
    include_str!("../../migrations/0001.data.sql"),
    include_str!("../../migrations/0002.data.sql"),
    include_str!("../../migrations/0003.data.sql"),
    include_str!("../../migrations/0004.data.sql"),
    include_str!("../../migrations/0005.data.sql"),
];

/// The statements that make a database of a version as it was once released, for SQLite.
fn old_text(version: i64) -> String {
    let steps = schema::MIGRATIONS[..version as usize].iter().enumerate();
    let steps = steps.map(|(at, step)| format!("{step}\n{}\n", DATA.get(at).unwrap_or(&"")));
    let table = "CREATE TABLE schema_version (version BIGINT NOT NULL);\n".to_owned();
    let set = format!("UPDATE schema_version SET version = {version};\n");
    std::iter::once(table).chain(steps).chain([set]).collect()
}

impl Scratch {
    /// Fills the place with the database of an older version.
    ///
    /// # Errors
    /// The error of the server.
    ///
    /// # Panics
    /// There was no such version.
    pub fn fill_as_of(&self, version: i64) -> Result<(), String> {
        // The declarations are translated as always, and so are the bytes of the data.
        self.alter(&postgres::declaration(&old_text(version)).replace("X'", "'\\x"))
    }
}

/// Makes a file of a version.
///
/// # Errors
/// Why it cannot be made.
///
/// # Panics
/// There was no such version.
pub fn old_file(path: &Path, version: i64) -> Result<(), String> {
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    sqlite::ensure_file(&path).map_err(|error| error.to_string())?;
    let options = sqlite::options(&path).map_err(|error| error.to_string())?;
    super::run_on(options, old_text(version))
}

/// Writes a backup of a database of a version, as made by this version of the program, or by one
/// that did not say its version. A backup of a future version is empty.
///
/// # Errors
/// Why it cannot be made.
pub fn old_backup(path: &Path, version: i64, maker: Option<&str>) -> Result<(), String> {
    let database = path.with_extension("old.db");
    let place = (version <= schema::KNOWN).then(|| Location::Sqlite(database.clone()));
    if place.is_some() {
        old_file(&database, version)?;
    }
    let (to, maker) = (path.to_owned(), maker.map(str::to_owned));
    let write = async move {
        let written = transfer::write_backup(&to, place.as_ref(), version, maker.as_deref()).await;
        written.map_err(|error| error.to_string())
    };
    let written = super::alone(write);
    sqlite::remove_file(&database);
    written
}
