//! `whoelse store copy FROM TO`: copies everything from one database into another, while no server
//! runs on either.

use std::path::{Path, PathBuf};

use whoelse_server::data_dir::DataDir;
use whoelse_store::{Location, PostgresUrl};

use super::{Fault, say};
use crate::cli::{self, StoreAction};
use crate::say::text;

/// The database in a data directory.
const DATABASE: &str = "whoelse.db";

/// Runs the command.
pub async fn run(options: cli::Store) -> Result<(), Fault> {
    match options.action {
        StoreAction::Copy { from, to } => copy(&from, &to).await,
    }
}

async fn copy(from: &str, to: &str) -> Result<(), Fault> {
    let (source, _held) = held(from, true)?;
    let (target, mut made) = held(to, false)?;
    let copied = whoelse_store::copy(&source, &target).await;
    let rows = copied.map_err(|error| Fault::Say(error.to_string()))?;
    if let Some(made) = &mut made {
        made.keep();
    }
    say(text::line(&format!("copied {rows} rows from {source} to {target}")))
}

/// Returns a location, and holds its data directory so that no server can use it.
fn held(written: &str, is_source: bool) -> Result<(Location, Option<DataDir>), Fault> {
    if let Ok(Location::Postgres(mut url)) = Location::parse(written) {
        with_password(&mut url);
        return Ok((Location::Postgres(url), None));
    }
    let place = Location::parse(written).map_err(|error| Fault::Say(error.to_string()))?;
    let Location::Sqlite(path) = place else {
        return Err(Fault::Say(format!("{written} is no database")));
    };
    let is_file = path.extension().is_some_and(|end| end == "db");
    let file = if is_file { path.clone() } else { path.join(DATABASE) };
    if is_source && !file.exists() {
        return Err(Fault::Say(format!("there is no database {}", file.display())));
    }
    let folder: PathBuf = match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    // A database file outside of a data directory has no lock to hold.
    let is_data = !is_file || folder.join("lock").exists();
    let held = is_data.then(|| DataDir::open(&folder)).transpose();
    Ok((Location::Sqlite(file), held.map_err(|error| Fault::Say(error.to_string()))?))
}

/// Adds the password from the environment, as the configuration does: other users can see command
/// lines.
fn with_password(url: &mut PostgresUrl) {
    if !url.has_password()
        && let Ok(password) = std::env::var(whoelse_server::config::DATABASE_PASSWORD)
    {
        url.set_password(&password);
    }
}
