//! `audit.log` in the data directory: what administrators did, an object a line.
//!
//! It is no part of the database, so a restore does not take it back. At [`LARGEST`] it is put
//! aside as `audit.log.1`, in place of the one before: what must last longer is in the log as well
//! (`administration`), which the system keeps.

use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use whoelse_core::Node;
use whoelse_core::audit::{Audit, Deed};
use whoelse_core::kit::BoxFuture;
use whoelse_xmpp::in_words;

/// The file's name in the data directory.
pub const NAME: &str = "audit.log";
/// Bytes of it: some forty thousand deeds.
const LARGEST: u64 = 8 << 20;

/// Writes deeds behind each other.
struct AuditLog {
    path: PathBuf,
    largest: u64,
    /// Held for one line.
    writing: Mutex<()>,
}

/// What the rules call when an administrator has done something.
pub(crate) fn writer(data: &Path, node: Weak<Node>) -> Audit {
    let path = data.join(NAME);
    let log = Arc::new(AuditLog { path, largest: LARGEST, writing: Mutex::default() });
    Box::new(move |deed| -> BoxFuture<'static, ()> {
        let (log, line, node) = (log.clone(), line(deed), node.clone());
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || log.write(&line)).await;
            let Some(node) = node.upgrade() else { return };
            match written {
                Ok(Ok(())) => node.works("audit_not_written"),
                Ok(Err(error)) => node.failing("audit_not_written", None, &in_words(&error)),
                Err(_) => node.failing("audit_not_written", None, &"writing it broke off"),
            }
        })
    })
}

fn line(deed: &Deed) -> String {
    let Deed { at, who, from, what, about, end } = deed;
    let about: Vec<_> = about.iter().map(|(name, value)| json!([name, value])).collect();
    let (end, words) = match end {
        Ok(words) => ("done", words),
        Err(words) => ("refused", words),
    };
    let object = json!({
        "at": at.stamp(), "who": who, "from": from, "what": what, "about": about,
        "result": end, "text": words,
    });
    format!("{object}\n")
}

impl AuditLog {
    fn write(&self, line: &str) -> io::Result<()> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.open()?;
        if file.metadata()?.len() + line.len() as u64 > self.largest {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            file = self.open()?;
        }
        file.write_all(line.as_bytes())?;
        // Whoever hears of the end of a deed may rely on it.
        file.sync_data()
    }

    /// Opened for each line: whoever moves it away finds a new one.
    fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use whoelse_core::Time;

    fn deed(name: &str) -> Deed {
        let begun = Deed::of("root@a.example", "192.0.2.1:40000", "add-user", Time(0));
        let about = begun.about("accountjid", &[name.to_owned()]);
        Deed { end: Err("no\nsuch".to_owned()), ..about }
    }

    fn log(folder: &tempfile::TempDir, largest: u64) -> AuditLog {
        AuditLog { path: folder.path().join(NAME), largest, writing: Mutex::default() }
    }

    #[test]
    fn a_deed_is_one_line_whatever_it_is_about() {
        let written = line(&deed("x\n{\"who\":\"eve\"}\u{1b}[2J"));

        assert_eq!(written.matches('\n').count(), 1);
        assert!(!written.contains('\u{1b}'));
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["who"], "root@a.example");
        assert_eq!(read["about"][0][1], "x\n{\"who\":\"eve\"}\u{1b}[2J");
        assert_eq!(read["result"], "refused");
    }

    #[test]
    fn the_file_is_for_its_owner_alone_and_goes_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bob", "carol"] {
            log(&folder, LARGEST).write(&line(&deed(name))).unwrap();
        }

        let path = folder.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 2);
    }

    #[test]
    fn of_old_lines_as_many_are_kept_as_of_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let written: Vec<String> = (0..10).map(|n| line(&deed(&format!("user{n}")))).collect();
        // Room for three of them.
        let log = log(&folder, written[0].len() as u64 * 3 + 1);

        written.iter().for_each(|line| log.write(line).unwrap());

        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("audit.log.1"), written[6..9].concat());
        assert_eq!(read(NAME), written[9]);
    }
}
