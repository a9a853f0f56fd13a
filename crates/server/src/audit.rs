//! `audit.log` in the data directory: what administrators did, one JSON object a line.
//!
//! The file is not part of the database, so a restore does not undo it. When it reaches
//! [`LARGEST`] it is renamed to `audit.log.1`, which replaces the older one. The system's log
//! holds the same lines (target `administration`) and keeps them longer.

use parking_lot::Mutex;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use whoelse_core::Node;
use whoelse_core::audit::{Deed, Writer};
use whoelse_core::kit::BoxFuture;
use whoelse_xmpp::in_words;

/// The file's name in the data directory.
pub const NAME: &str = "audit.log";
/// Largest size in bytes: about forty thousand deeds.
const LARGEST: u64 = 8 << 20;

/// Appends one deed after the other.
struct AuditLog {
    path: PathBuf,
    largest: u64,
    /// Held for one line.
    writing: Mutex<()>,
}

/// Returns the function that the rules call when an administrator has done something.
pub(crate) fn writer(data: &Path, node: Weak<Node>) -> Writer {
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
                Err(ended) if ended.is_panic() => {
                    node.failing("audit_not_written", None, &"writing it broke off");
                }
                // The runtime shuts down.
                Err(_) => {}
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
    format!("{}\n", for_terminals(&object.to_string()))
}

/// Escapes what a terminal would take for a command. serde_json escapes only the control
/// characters below U+0020. The other ones, and those that turn the direction of text or break
/// lines, occur only in strings, where an escape means the same.
fn for_terminals(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

impl AuditLog {
    fn write(&self, line: &str) -> io::Result<()> {
        let _one = self.writing.lock();
        let mut file = self.open()?;
        let mut before = file.metadata()?.len();
        if before + line.len() as u64 > self.largest {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            file = self.open()?;
            before = 0;
        }
        if before > 0 {
            end_line(&mut file, before)?;
            before = file.metadata()?.len();
        }
        whole(&mut file, before, |file| file.write_all(line.as_bytes()))?;
        // The caller is told that the deed is recorded, so the record must survive a crash.
        file.sync_data()?;
        match (before, self.path.parent()) {
            // A new file has no name on the disk until its folder is synced.
            (0, Some(folder)) => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Opens the file for each line, so that a new one is made after somebody has moved it away.
    fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)
    }
}

/// Ends the half of a line that a crash has left at the end of a file of this length.
fn end_line(file: &mut File, length: u64) -> io::Result<()> {
    let mut last = [0];
    file.read_exact_at(&mut last, length.saturating_sub(1))?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// Writes to a file of this length. If that fails, the bytes written are taken back, since the
/// next line would be appended to them.
fn whole(
    file: &mut File,
    length: u64,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    write(file).inspect_err(|_| {
        // If truncating fails too, the next write ends the half line.
        let _ = file.set_len(length);
    })
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
    fn what_a_deed_is_about_does_nothing_to_a_terminal_that_shows_it() {
        let orders = "\u{7f}\u{85}\u{9b}2J\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\
            \u{2066}\u{2069}";
        let name = format!("Zo\u{eb}{orders}\u{1f600}");

        let written = line(&deed(&name));

        assert!(!written.contains(|c| orders.replace("2J", "").contains(c)), "{written:?}");
        assert!(written.contains("Zo\u{eb}") && written.contains("\\u009b2J"));
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["about"][0][1], *name);
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
    fn after_a_failed_write_or_a_crash_a_deed_stands_on_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (log, path) = (log(&folder, LARGEST), folder.path().join(NAME));
        let (first, second) = (line(&deed("bob")), line(&deed("carol")));
        log.write(&first).unwrap();

        let mut file = log.open().unwrap();
        let failed = whole(&mut file, first.len() as u64, |file| {
            file.write_all(b"{\"at\":")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        // A crash has left this half line.
        file.write_all(b"{\"at\":").unwrap();
        log.write(&second).unwrap();

        let read = fs::read_to_string(path).unwrap();
        assert_eq!(read, format!("{first}{{\"at\":\n{second}"));
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
