//! behaviour.md, Start: `credentials.txt`, a name and a password a line.
//!
//! Accounts that do not exist are created, existing ones are left alone. A bad line is named by
//! its number, never by what stands in it, and skipped.

use compact_str::CompactString;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs, io};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use whoelse_core::Node;
use whoelse_stream::Password;
use whoelse_xmpp::{BareJid, Condition, jid};

/// Larger than any list of accounts that people keep by hand.
const LARGEST: u64 = 16 << 20;
/// Passwords in derivation at once: far below what the node allows, so that a login meanwhile
/// finds room.
const AT_ONCE: usize = 16;

/// What was made of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Accounts that were created.
    pub created: usize,
    /// Accounts that were there.
    pub existing: usize,
    /// What the operator should know, a sentence each.
    pub warnings: Vec<String>,
}

/// A line that can be used.
#[derive(Debug)]
struct Line {
    number: usize,
    name: CompactString,
    password: Password,
}

/// Why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BadLine {
    number: usize,
    why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} skipped: {}", self.number, self.why)
    }
}

/// Reads a file and creates its accounts.
pub async fn import(node: &Arc<Node>, path: &Path) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let shown = path.display();
    let about = fs::metadata(path)?;
    if about.len() > LARGEST {
        return Err(io::Error::other(format!("larger than {} MiB", LARGEST >> 20)));
    }
    if about.permissions().mode() & 0o077 != 0 {
        outcome.warnings.push(format!("{shown} can be read by others; `chmod 600 {shown}` helps"));
    }
    let text = fs::read(path)?;
    let (lines, bad) = parse(&text);
    outcome.warnings.extend(bad.iter().map(|bad| format!("{shown}: {bad}")));

    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut creating = JoinSet::new();
    for Line { number, name, password } in lines {
        if is_known(node, &name).await? {
            outcome.existing += 1;
            continue;
        }
        // The semaphore is never closed.
        let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
        let node = node.clone();
        creating.spawn(async move {
            let created = node.create_account(&name, password).await;
            drop(permit);
            (number, created)
        });
    }
    while let Some(created) = creating.join_next().await {
        match created.map_err(io::Error::other)? {
            (_, Ok(())) => outcome.created += 1,
            // Made meanwhile by somebody else.
            (_, Err(error)) if error.condition == Condition::Conflict => outcome.existing += 1,
            (number, Err(error)) => {
                let why = error.text.unwrap_or_else(|| error.condition.name().to_owned());
                outcome.warnings.push(format!("{shown}: {}", BadLine { number, why }));
            }
        }
    }
    Ok(outcome)
}

async fn is_known(node: &Node, name: &str) -> io::Result<bool> {
    let found = node.store.find_account(node.domain().id, name).await;
    Ok(found.map_err(io::Error::other)?.is_some())
}

fn parse(text: &[u8]) -> (Vec<Line>, Vec<BadLine>) {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut lines, mut bad) = (Vec::new(), Vec::new());
    // Accounts are made at once, so without this chance would choose between two passwords.
    let mut first_with = HashMap::new();
    for (i, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let number = i + 1;
        match parse_line(line) {
            Ok((name, password)) => match first_with.entry(name.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(number);
                    lines.push(Line { number, name, password });
                }
                Entry::Occupied(first) => {
                    let why = format!("line {} has the same name", first.get());
                    bad.push(BadLine { number, why });
                }
            },
            Err(why) => bad.push(BadLine { number, why }),
        }
    }
    (lines, bad)
}

fn parse_line(line: &[u8]) -> Result<(CompactString, Password), String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let (name, password) = line
        .split_once(' ')
        .ok_or_else(|| "it must be a name, one space, and a password".to_owned())?;
    // Neither is told to anybody: a line in disorder may hold the password in front.
    let name = jid::new_localpart(name).map_err(|_| "the name is not valid".to_owned())?;
    let password = Password::new(password).map_err(|error| error.to_string())?;
    // A name in the localpart's place of an address of ours: cannot fail after the check above.
    BareJid::new(Some(&name), "localhost").map_err(|error| error.to_string())?;
    Ok((name, password))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> (Vec<(usize, String, String)>, Vec<usize>) {
        let (lines, bad) = parse(text.as_bytes());
        let lines = lines.into_iter().map(|line| {
            let password = String::from_utf8(line.password.reveal().to_vec()).unwrap();
            (line.number, line.name.to_string(), password)
        });
        (lines.collect(), bad.into_iter().map(|bad| bad.number).collect())
    }

    #[test]
    fn a_password_runs_to_the_end_of_the_line() {
        let (lines, bad) = read("bob  two spaces \r\nAlice pencil\n\ncarol x");

        assert_eq!(
            lines,
            [
                (1, "bob".into(), " two spaces ".into()),
                (2, "alice".into(), "pencil".into()),
                (4, "carol".into(), "x".into()),
            ]
        );
        assert!(bad.is_empty());
    }

    #[test]
    fn of_two_lines_with_one_name_the_first_counts() {
        let (lines, bad) = read("alice pencil\nbob x\nALICE other");

        assert_eq!(lines, [(1, "alice".into(), "pencil".into()), (2, "bob".into(), "x".into())]);
        assert_eq!(bad, [3]);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_skipped() {
        let (lines, bad) = read("bob\nalice \n bob x\na@b x\nbo\u{7}b x\ncarol x");

        assert_eq!(lines.len(), 1);
        assert_eq!(bad, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_bad() {
        let (lines, bad) = parse(b"bob \xff\nalice x");

        assert_eq!((lines.len(), bad[0].number), (1, 1));
    }

    #[test]
    fn a_complaint_never_holds_what_stands_in_the_line() {
        let (_, bad) = parse(b"se cret\x07\nsecret\n secret x\nsecret\xff x");

        assert_eq!(bad.len(), 4);
        assert!(bad.iter().all(|bad| !bad.to_string().contains("cret")), "{bad:?}");
    }
}
