//! The data directory, the database in it, and the file of accounts: whether they exist, and only
//! their owner can read them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::time::timeout;
use whoelse_store::{Found, Heartbeat, Inspection, Location, Store};
use whoelse_xmpp::in_words;

use super::{Finding, system};

/// How long inspecting the database may take. Many gigabytes take longer than anybody waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// A write-ahead log beyond this is not being checkpointed: some process holds the database open.
const LARGE_LOG: u64 = 256 << 20;

/// Checks the directory.
pub fn directory(data: &Path) -> Vec<Finding> {
    let shown = data.display();
    let about = match fs::metadata(data) {
        Ok(about) => about,
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let text = format!("{shown} cannot be looked at: {}", in_words(&error));
            return vec![Finding::problem("data", text, "run doctor as the server's user")];
        }
        Err(_) => {
            let parent = std::path::absolute(data).ok();
            let parent = parent.as_deref().and_then(Path::parent).unwrap_or(data);
            return vec![match rustix::fs::access(parent, rustix::fs::Access::WRITE_OK) {
                Ok(()) => Finding::ok("data", format!("{shown} will be made at the first start")),
                Err(_) => Finding::problem(
                    "data",
                    format!("{shown} is not there and cannot be made"),
                    format!("make it, or let the server's user write {}", parent.display()),
                ),
            }];
        }
    };
    if !about.is_dir() {
        let text = format!("{shown} is not a directory");
        return vec![Finding::problem("data", text, "name another one with `data`")];
    }
    let own = geteuid().as_raw();
    let mut findings = Vec::new();
    if about.permissions().mode() & 0o077 != 0 {
        findings.push(Finding::warning(
            "data",
            format!("others can look into {shown}"),
            format!("`chmod 700 {shown}`"),
        ));
    }
    if about.uid() == own && rustix::fs::access(data, rustix::fs::Access::WRITE_OK).is_err() {
        let text = format!("{shown} cannot be written");
        findings.push(Finding::problem("data", text, format!("`chmod 700 {shown}`")));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("data", format!("{shown} is there, for uid {}", about.uid())));
    }
    findings
}

/// The results for the database.
pub struct Database {
    pub findings: Vec<Finding>,
    /// The domain it serves.
    pub domain: Option<String>,
    /// When a server was last seen alive on it.
    pub heartbeat: Option<Heartbeat>,
}

/// Checks the database.
pub async fn database(place: &Location, running: bool) -> Database {
    let only = |finding| Database { findings: vec![finding], domain: None, heartbeat: None };
    let file = match place {
        Location::Sqlite(file) => file,
        elsewhere => return only(reached(elsewhere).await),
    };
    match file.try_exists() {
        Ok(true) => {}
        Ok(false) => return only(Finding::ok("database", "will be made at the first start")),
        Err(error) => {
            let text = format!("{} cannot be looked at: {}", file.display(), in_words(&error));
            return only(Finding::problem("database", text, "run doctor as the server's user"));
        }
    }
    let mut log = file.clone().into_os_string();
    log.push("-wal");
    let log = fs::metadata(&log).map_or(0, |about| about.len());
    let in_use = running || log > 0;
    let unreadable = |error: whoelse_store::Error| {
        let text = format!("{} cannot be read: {error}", file.display());
        Finding::problem("database", text, "put back a copy of it that is sound")
    };
    let found = match whoelse_store::inspect(file, in_use).await {
        Ok(found) => found,
        Err(error) => return only(unreadable(error)),
    };
    let mut findings = vec![schema(file, &found)];
    match timeout(PATIENCE, whoelse_store::find_faults(file, in_use)).await {
        Ok(Ok(faults)) if faults.is_empty() => findings.push(Finding::ok("database", "sound")),
        Ok(Ok(faults)) => {
            let text = format!("is broken in {} places", faults.len());
            let fix = "stop the server, keep the file, and put back a copy of it that is sound";
            findings.push(Finding::problem("database", text, fix));
        }
        Ok(Err(error)) => findings.push(unreadable(error)),
        Err(_) => {
            let text = format!("too large to be read whole within {} s", PATIENCE.as_secs());
            let fix = "`sqlite3 whoelse.db 'PRAGMA integrity_check'` takes its time";
            findings.push(Finding::warning("database", text, fix));
        }
    }
    for copy in whoelse_store::kept_copies(place) {
        let text = format!(
            "{} is the database as it was before an upgrade; it goes by itself 14 days after the \
             first start that went well",
            copy.display()
        );
        findings.push(Finding::ok("database", text));
    }
    if log > LARGE_LOG {
        let text = format!("its write-ahead log has {} MiB", log >> 20);
        let fix = "something holds the database open: end what reads it, then restart the server";
        findings.push(Finding::warning("database", text, fix));
    }
    let domain = found.domains.into_iter().next();
    Database { findings, domain, heartbeat: found.heartbeat }
}

/// Checks the schema version of a database, and tells what the next start will do about it.
fn schema(file: &Path, found: &Inspection) -> Finding {
    let known = found.known;
    let version = match found.version {
        Some(version) if version < known => version,
        Some(version) if version == known => {
            return Finding::ok("database", format!("is of schema {version}, which is today's"));
        }
        Some(version) => {
            return Finding::problem(
                "database",
                format!("is of schema {version}, this program knows {known}"),
                "upgrade whoelse, or go back as docs/operating.md says",
            );
        }
        None => {
            let text = format!("{} is none of ours", file.display());
            return Finding::problem("database", text, "name another data directory");
        }
    };
    let copy = whoelse_store::copy_of(file, version);
    let free = system::free(copy.parent().unwrap_or(Path::new("."))).unwrap_or(u64::MAX);
    let text = format!(
        "is of schema {version}; the next start brings it to {known}, and first keeps it as it is \
         in {}; together that takes {} of {} that are free",
        copy.display(),
        whoelse_store::amount(found.bytes),
        whoelse_store::amount(free)
    );
    match found.bytes > free {
        true => Finding::problem(
            "database",
            text,
            "make room, or start once with --migrate-without-copy if you have a backup",
        ),
        false => Finding::ok("database", text),
    }
}

/// Checks a database on a server.
async fn reached(place: &Location) -> Finding {
    match timeout(PATIENCE, Store::look(place)).await {
        Ok(Ok(Found { version: 0, .. })) => {
            Finding::ok("database", "can be reached, and is filled at the first start")
        }
        Ok(Ok(Found { version, known, .. })) if version < known => Finding::warning(
            "database",
            format!("is of schema {version}; the next start brings it to {known}"),
            "make a dump first (pg_dump) if you may want to go back: no copy of it is kept",
        ),
        Ok(Ok(_)) => Finding::ok("database", "can be reached, and its schema is today's"),
        Ok(Err(error)) => {
            let fix = "look at `database` in the configuration, and whether that server runs";
            Finding::problem("database", error.to_string(), fix)
        }
        Err(_) => Finding::problem(
            "database",
            format!("does not answer within {} s", PATIENCE.as_secs()),
            "look at the network between here and there",
        ),
    }
}

/// Checks a file of names and passwords.
pub fn credentials(file: &Path, required: bool) -> Vec<Finding> {
    let shown = file.display();
    match fs::metadata(file) {
        Ok(about) if about.permissions().mode() & 0o077 != 0 => vec![Finding::warning(
            "credentials",
            format!("{shown}, which holds passwords, can be read by others"),
            format!("`chmod 600 {shown}`, and remove it once the accounts are made"),
        )],
        Ok(_) => vec![Finding::ok("credentials", format!("{shown} is for its owner alone"))],
        Err(error) if required => vec![Finding::problem(
            "credentials",
            format!("cannot read {shown}: {}", in_words(&error)),
            "take `credentials` out of the configuration if the accounts are made",
        )],
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::State;
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_look_into_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o700);
        assert_eq!(directory(dir.path())[0].state, State::Ok);

        set_mode(dir.path(), 0o755);
        assert_eq!(directory(dir.path())[0].state, State::Warning);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_fine_if_it_can_be_made() {
        let dir = tempfile::tempdir().unwrap();

        assert_eq!(directory(&dir.path().join("data"))[0].state, State::Ok);
        assert_eq!(directory(&dir.path().join("deep/data"))[0].state, State::Problem);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(directory(&dir.path().join("file"))[0].state, State::Problem);
        // It cannot be examined: its content is unknown, so nothing is promised.
        let found = directory(&dir.path().join("file/data"));
        assert!(found[0].text.contains("cannot be looked at"), "{found:?}");
    }

    #[test]
    fn passwords_that_others_can_read_are_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials.txt");
        assert_eq!(credentials(&file, false), []);
        assert_eq!(credentials(&file, true)[0].state, State::Problem);

        fs::write(&file, "alice secret\n").unwrap();
        set_mode(&file, 0o644);
        assert_eq!(credentials(&file, true)[0].state, State::Warning);
        set_mode(&file, 0o600);
        assert_eq!(credentials(&file, true)[0].state, State::Ok);
    }

    #[tokio::test]
    async fn a_database_that_is_none_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        let place = Location::Sqlite(dir.path().join("whoelse.db"));
        let found = database(&place, false).await.findings;
        assert_eq!(found[0].state, State::Ok);

        fs::write(dir.path().join("whoelse.db"), "no database ".repeat(500)).unwrap();
        let found = database(&place, false).await.findings;
        assert_eq!(found[0].state, State::Problem);
    }
}
