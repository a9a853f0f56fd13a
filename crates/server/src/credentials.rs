//! behaviour.md, Start: `credentials.txt`, a name and a password a line.
//!
//! Accounts that do not exist are created; existing ones are left alone. A bad line is skipped and
//! reported by its number, never by its content.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Take};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use whoelse_core::{Clock, Node, Steady};
use whoelse_stream::Password;
use whoelse_xmpp::{BareJid, Condition, StanzaError};

/// Larger than any list of accounts that people keep by hand.
const LARGEST: u64 = 16 << 20;
/// Passwords derived at once: far below what the node allows, so that a login meanwhile finds
/// room.
const AT_ONCE: usize = 16;
/// How often progress is reported. A password takes about a hundredth of a second.
const HEARD_EVERY: Duration = Duration::from_secs(2);
/// Line numbers that a warning names; the remaining ones are counted.
const NAMED: usize = 5;

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
    account: BareJid,
    password: Password,
    /// The password begins or ends with a blank, which nobody sees.
    blank: bool,
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

/// A file of accounts, opened and as long as it is now, with what the system says about it.
pub(crate) fn readable(path: &Path) -> io::Result<(Take<File>, Metadata)> {
    // Looked at before it is opened, because opening a pipe waits for its writer.
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if about.len() > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    Ok((File::open(path)?.take(about.len()), about))
}

/// Reads a file and creates its accounts. Calls `tell` with a sentence about the progress if it
/// takes long.
pub async fn import(
    node: &Arc<Node>,
    path: &Path,
    tell: &(dyn Fn(&str) + Sync),
) -> io::Result<Outcome> {
    let shown = path.display().to_string();
    let (mut file, about) = readable(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut warnings = Vec::new();
    if about.permissions().mode() & 0o077 != 0 {
        warnings.push(format!("{shown} can be read by others; `chmod 600 {shown}` helps"));
    }
    let (lines, bad) = parse(&text, &node.domain_name());
    warnings.extend(bad.iter().map(|bad| format!("{shown}: {bad}")));

    let mut importing = Importing::new(&shown, lines.len(), node.clock.steady());
    let mut creating = JoinSet::new();
    for line in lines {
        if is_known(node, &line.account).await? {
            importing.existing += 1;
            importing.tell(&node.clock, tell);
            continue;
        }
        if creating.len() >= AT_ONCE
            && let Some(created) = creating.join_next().await
        {
            importing.note(created.map_err(io::Error::other)?);
        }
        importing.look_at(&line, node.settings().limits.password_min);
        let making = node.clone();
        creating.spawn(async move {
            (line.number, making.create_account(&line.account, line.password).await)
        });
        importing.tell(&node.clock, tell);
    }
    while let Some(created) = creating.join_next().await {
        importing.note(created.map_err(io::Error::other)?);
        importing.tell(&node.clock, tell);
    }
    Ok(importing.outcome(warnings, node.settings().limits.password_min))
}

/// The result of the lines so far.
struct Importing<'a> {
    shown: &'a str,
    lines: usize,
    created: usize,
    existing: usize,
    refused: Vec<BadLine>,
    /// Lines whose account is new and whose password begins or ends with a blank.
    blank: Vec<usize>,
    short: Vec<usize>,
    heard_at: Steady,
}

impl Importing<'_> {
    fn new(shown: &str, lines: usize, now: Steady) -> Importing<'_> {
        Importing {
            shown,
            lines,
            created: 0,
            existing: 0,
            refused: Vec::new(),
            blank: Vec::new(),
            short: Vec::new(),
            heard_at: now,
        }
    }

    fn look_at(&mut self, line: &Line, least: usize) {
        if line.blank {
            self.blank.push(line.number);
        }
        if line.password.length() < least {
            self.short.push(line.number);
        }
    }

    fn note(&mut self, (number, created): (usize, Result<(), StanzaError>)) {
        match created {
            Ok(()) => self.created += 1,
            // Somebody else has created the account meanwhile.
            Err(error) if error.condition == Condition::Conflict => self.existing += 1,
            Err(error) => {
                let why = error.text.unwrap_or_else(|| error.condition.name().to_owned());
                self.refused.push(BadLine { number, why });
            }
        }
    }

    fn tell(&mut self, clock: &Clock, tell: &(dyn Fn(&str) + Sync)) {
        if let Some(words) = self.heard(clock.steady()) {
            tell(&words);
        }
    }

    /// Returns a sentence about the progress, if it is time for one.
    fn heard(&mut self, now: Steady) -> Option<String> {
        if now.since(self.heard_at) < HEARD_EVERY {
            return None;
        }
        self.heard_at = now;
        let done = self.created + self.existing + self.refused.len();
        Some(format!("{}: {done} of {} accounts are there", self.shown, self.lines))
    }

    fn outcome(self, mut warnings: Vec<String>, least: usize) -> Outcome {
        let Importing { shown, created, existing, refused, blank, short, .. } = self;
        warnings.extend(refused.iter().map(|bad| format!("{shown}: {bad}")));
        for (lines, what) in [
            (blank, "the password begins or ends with a blank, which is part of it".to_owned()),
            (short, format!("the password is shorter than {least} characters")),
        ] {
            if !lines.is_empty() {
                warnings.push(format!("{shown}, {}: {what}", named(&lines)));
            }
        }
        Outcome { created, existing, warnings }
    }
}

/// `line 3`, or `lines 3, 5 and 12 more`.
fn named(lines: &[usize]) -> String {
    let numbers: Vec<String> = lines.iter().take(NAMED).map(usize::to_string).collect();
    let numbers = numbers.join(", ");
    match (lines.len(), lines.len().saturating_sub(NAMED)) {
        (1, _) => format!("line {numbers}"),
        (_, 0) => format!("lines {numbers}"),
        (_, more) => format!("lines {numbers} and {more} more"),
    }
}

async fn is_known(node: &Node, account: &BareJid) -> io::Result<bool> {
    let found = node.account_row(account).await;
    Ok(found.map_err(io::Error::other)?.is_some())
}

fn parse(text: &[u8], domain: &str) -> (Vec<Line>, Vec<BadLine>) {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut lines, mut bad) = (Vec::new(), Vec::new());
    // Accounts are created concurrently: without this check, chance would choose between two
    // passwords for one name.
    let mut first_with = HashMap::new();
    for (i, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A line that was commented out is no account.
        if matches!(line.trim_ascii_start().first(), None | Some(b'#')) {
            continue;
        }
        let number = i + 1;
        match parse_line(line, domain) {
            Ok((account, password, blank)) => match first_with.entry(account.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(number);
                    lines.push(Line { number, account, password, blank });
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

/// Returns the account, the password, and whether the password begins or ends with a blank.
fn parse_line(line: &[u8], domain: &str) -> Result<(BareJid, Password, bool), String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let (name, password) = line
        .split_once(' ')
        .ok_or_else(|| "it must be a name, one space, and a password".to_owned())?;
    // The error quotes neither field: in a malformed line the password may come first.
    let account =
        BareJid::of_new_account(name, domain).map_err(|_| "the name is not valid".to_owned())?;
    let blank = password.trim() != password;
    let password = Password::new(password).map_err(|error| error.to_string())?;
    Ok((account, password, blank))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> (Vec<(usize, String, String)>, Vec<usize>) {
        let (lines, bad) = parse(text.as_bytes(), "localhost");
        let lines = lines.into_iter().map(|line| {
            let password = String::from_utf8(line.password.reveal().to_vec()).unwrap();
            (line.number, line.account.local().unwrap().to_owned(), password)
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
    fn a_line_that_begins_with_a_hash_is_a_comment() {
        let (lines, bad) = read("# name password\n#\n  # bob x\n#alice pencil\n \t\ncarol #x");

        assert_eq!(lines, [(6, "carol".into(), "#x".into())]);
        assert!(bad.is_empty());
    }

    fn looked_at(text: &str) -> Vec<String> {
        let (lines, _) = parse(text.as_bytes(), "localhost");
        let mut importing = Importing::new("c.txt", lines.len(), Steady(0));
        lines.iter().for_each(|line| importing.look_at(line, 8));
        importing.outcome(Vec::new(), 8).warnings
    }

    #[test]
    fn passwords_that_somebody_should_look_at_are_named_by_their_lines_alone() {
        let ends = "a 12345678 \nb  12345678\nc 12345678\td\ne 12345678\t\n";
        let all = "a 1\nb 12\nc 1\nd 1\ne 1\nf 1\ng 1\nh päßwörte";

        assert_eq!(
            looked_at(ends),
            ["c.txt, lines 1, 2: the password begins or ends with a blank, which is part of it"]
        );
        assert_eq!(
            looked_at(all),
            ["c.txt, lines 1, 2, 3, 4, 5 and 2 more: the password is shorter than 8 characters"]
        );
        assert_eq!(
            looked_at("bob 1234567\nalice 12345678"),
            ["c.txt, line 1: the password is shorter than 8 characters"]
        );
    }

    #[test]
    fn who_waits_for_a_thousand_accounts_hears_how_far_it_is() {
        let mut importing = Importing::new("c.txt", 1000, Steady(0));
        let mut said = Vec::new();

        for number in 0..1000 {
            importing.note((number, Ok(())));
            // Twelve seconds, all in all.
            said.extend(importing.heard(Steady(number as i64 * 12_000)));
        }

        assert_eq!(said.len(), 5, "{said:?}");
        assert_eq!(said[0], "c.txt: 168 of 1000 accounts are there");
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_bad() {
        let (lines, bad) = parse(b"bob \xff\nalice x", "localhost");

        assert_eq!((lines.len(), bad[0].number), (1, 1));
    }

    #[test]
    fn a_complaint_never_holds_what_stands_in_the_line() {
        let (_, bad) = parse(b"se cret\x07\nsecret\n secret x\nsecret\xff x", "localhost");

        assert_eq!(bad.len(), 4);
        assert!(bad.iter().all(|bad| !bad.to_string().contains("cret")), "{bad:?}");
    }
}
