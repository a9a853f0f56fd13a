//! What is known of each server, kept in the user's state directory: its self-signed certificate,
//! whether the user has accepted that by its fingerprint, and whether the server supports SCRAM
//! (XEP-0474, 6).
//!
//! One line each: the server's address, a space, and the fingerprint, `accepted` or `scram`. The
//! directory has mode 0700.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use whoelse_stream::hex;

use crate::state;

/// After the address of a server that supports SCRAM.
const SCRAM: &str = " scram";
/// After the address of a server whose present pin was accepted by its fingerprint.
const ACCEPTED: &str = " accepted";

/// SHA-256 over a whole certificate, as `openssl x509 -fingerprint -sha256` prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Fingerprint(bytes)
    }

    /// Reads 64 hexadecimal digits in either case. Ignores what copying may add between them
    /// (colons, blanks, line breaks, quotes, invisible characters) and the prefix that `openssl`
    /// writes.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let joined: String = text.chars().filter(|c| !is_between(*c)).collect();
        let joined = joined.to_ascii_lowercase();
        let digits = joined.strip_prefix("sha256").unwrap_or(&joined);
        let digits = digits.strip_prefix("fingerprint").unwrap_or(digits);
        hex::decode(digits).map(Fingerprint)
    }

    /// Returns the 64 digits alone: one word, which fits in one line of any terminal.
    pub fn digits(&self) -> String {
        hex::encode(&self.0).to_ascii_uppercase()
    }
}

/// Returns whether a character is ignored in a fingerprint.
fn is_between(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, ':' | '-' | '=' | '.' | ',' | '\'' | '"' | '`' | '’' | '‘' | '“' | '”')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
        || matches!(c, '\u{2010}'..='\u{2015}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The pins of this user. Without a directory they are forgotten when the program ends.
#[derive(Debug, Default)]
pub struct Pins {
    file: Option<PathBuf>,
    known: Vec<(String, Fingerprint)>,
    accepted: Vec<String>,
    scram: Vec<String>,
}

impl Pins {
    /// Pins that are kept in memory only.
    pub fn in_memory() -> Pins {
        Pins::default()
    }

    /// Pins kept in `directory`, which is made with the first pin.
    pub fn in_directory(directory: &Path) -> Pins {
        Pins { file: Some(directory.join("pins")), ..Pins::default() }
    }

    /// Returns the certificate that `server` is pinned to. Reads the file again, since other
    /// clients of this user may have changed it.
    pub fn get(&mut self, server: &str) -> io::Result<Option<Fingerprint>> {
        self.reload()?;
        Ok(self.known.iter().find(|(name, _)| name == server).map(|(_, pin)| *pin))
    }

    /// Pins `server` to a certificate, in place of the one before.
    pub fn set(&mut self, server: &str, pin: Fingerprint) -> io::Result<()> {
        self.reload()?;
        self.replace(server, pin);
        self.save()
    }

    /// Pins `server` to a certificate that the user has accepted by its fingerprint.
    pub fn accept(&mut self, server: &str, pin: Fingerprint) -> io::Result<()> {
        if self.get(server)? == Some(pin) && self.accepted.iter().any(|name| name == server) {
            return Ok(());
        }
        self.replace(server, pin);
        self.accepted.push(server.to_owned());
        self.save()
    }

    /// Whether the pin of `server` was accepted by its fingerprint.
    pub fn is_accepted(&mut self, server: &str) -> io::Result<bool> {
        self.reload()?;
        Ok(self.accepted.iter().any(|name| name == server))
    }

    /// Copies what is known of `from` to `to`, another name of the same server. Does not copy that
    /// its certificate was accepted, since it will have another.
    pub fn copy(&mut self, from: &str, to: &str) -> io::Result<()> {
        let known = self.get(from)?;
        if from == to || self.get(to)?.is_some() {
            return Ok(());
        }
        if let Some(pin) = known {
            self.set(to, pin)?;
        }
        match self.knows_scram(from)? {
            true => self.set_scram(to),
            false => Ok(()),
        }
    }

    /// An acceptance belonged to the old certificate.
    fn replace(&mut self, server: &str, pin: Fingerprint) {
        self.known.retain(|(name, _)| name != server);
        self.accepted.retain(|name| name != server);
        self.known.push((server.to_owned(), pin));
    }

    /// Returns whether there was a login with `server` by SCRAM.
    pub fn knows_scram(&mut self, server: &str) -> io::Result<bool> {
        self.reload()?;
        Ok(self.scram.iter().any(|name| name == server))
    }

    /// Notes a login with `server` by SCRAM.
    pub fn set_scram(&mut self, server: &str) -> io::Result<()> {
        if self.knows_scram(server)? {
            return Ok(());
        }
        self.scram.push(server.to_owned());
        self.save()
    }

    fn reload(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let Some(text) = state::read(file)? else { return Ok(()) };
        self.known = text.lines().filter_map(read_line).collect();
        let marked = |mark| text.lines().filter_map(move |line| line.strip_suffix(mark));
        self.scram = marked(SCRAM).map(String::from).collect();
        self.accepted = marked(ACCEPTED).map(String::from).collect();
        Ok(())
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let pins = self.known.iter().map(|(name, pin)| format!("{name} {pin}\n"));
        let accepted = self.accepted.iter().map(|name| format!("{name}{ACCEPTED}\n"));
        let scram = self.scram.iter().map(|name| format!("{name}{SCRAM}\n"));
        let text: String = pins.chain(accepted).chain(scram).collect();
        state::replace(file, &text)
    }
}

fn read_line(line: &str) -> Option<(String, Fingerprint)> {
    let (name, pin) = line.split_once(' ')?;
    Some((name.to_owned(), Fingerprint::parse(pin)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn some(byte: u8) -> Fingerprint {
        Fingerprint::of(&[byte])
    }

    #[test]
    fn a_fingerprint_reads_back_as_it_was_printed() {
        let print = some(7);

        assert_eq!(Fingerprint::parse(&print.to_string()), Some(print));
        assert_eq!(
            Fingerprint::parse(&print.to_string().replace(':', "").to_lowercase()),
            Some(print)
        );
    }

    #[test]
    fn a_fingerprint_survives_being_copied() {
        let print = some(7);
        let (colons, digits) = (print.to_string(), print.digits());
        let (one, two) = digits.split_at(31);
        for copied in [
            format!(" {digits}\n"),
            format!("`{digits}`"),
            format!("“{colons}”"),
            format!("{one}\n    {two}"),
            format!("{one}\r\n{two}"),
            format!("{one}-\n{two}"),
            format!("{one}\u{a0}\u{200b}{two}"),
            format!("{one}\u{ad}{two}"),
            colons.replace(':', " "),
            colons.replace(':', "-").to_lowercase(),
            format!("{}\n    {}", &colons[..76], &colons[76..]),
            format!("SHA256 Fingerprint={colons}"),
            format!("sha256 Fingerprint={colons}"),
            format!("SHA-256: {colons}"),
        ] {
            assert_eq!(Fingerprint::parse(&copied), Some(print), "{copied:?}");
        }
        assert!(digits.len() == 64 && Fingerprint::parse(&digits) == Some(print));
    }

    #[test]
    fn a_text_that_is_no_fingerprint_is_refused() {
        let long = some(1).digits();
        let marked = format!("{long}+");
        for text in [
            "",
            "AB:CD",
            "zz",
            "sha256",
            &marked,
            &long.replace(['A', 'B', 'C', 'D', 'E', 'F'], "g"),
            &"A".repeat(63),
            &"A".repeat(65),
            &"é".repeat(32),
        ] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pin_is_remembered_by_the_next_client_of_this_user() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("state");

        Pins::in_directory(&place).set("localhost:5222", some(1)).unwrap();
        Pins::in_directory(&place).set("other:5222", some(2)).unwrap();
        Pins::in_directory(&place).set("localhost:5222", some(3)).unwrap();

        let mut pins = Pins::in_directory(&place);
        assert_eq!(pins.get("localhost:5222").unwrap(), Some(some(3)));
        assert_eq!(pins.get("other:5222").unwrap(), Some(some(2)));
        assert_eq!(pins.get("third:5222").unwrap(), None);
    }

    #[test]
    fn that_a_server_knew_scram_is_remembered_beside_the_pins() {
        let directory = tempfile::tempdir().unwrap();
        let pins = || Pins::in_directory(directory.path());

        pins().set("a:1", some(1)).unwrap();
        pins().set_scram("a:1").unwrap();
        pins().set_scram("b:2").unwrap();
        pins().set("a:1", some(2)).unwrap();

        assert!(pins().knows_scram("a:1").unwrap() && pins().knows_scram("b:2").unwrap());
        assert!(!pins().knows_scram("c:3").unwrap());
        assert_eq!(pins().get("a:1").unwrap(), Some(some(2)));
        assert_eq!(pins().get("b:2").unwrap(), None);
    }

    #[test]
    fn what_was_accepted_is_one_certificate_and_not_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let pins = || Pins::in_directory(directory.path());

        pins().set("a:1", some(1)).unwrap();
        assert!(!pins().is_accepted("a:1").unwrap());
        pins().accept("a:1", some(1)).unwrap();
        pins().accept("a:1", some(1)).unwrap();
        pins().set_scram("a:1").unwrap();
        assert!(pins().is_accepted("a:1").unwrap() && !pins().is_accepted("b:2").unwrap());

        pins().set("a:1", some(2)).unwrap();
        assert!(!pins().is_accepted("a:1").unwrap());
        pins().accept("a:1", some(3)).unwrap();
        assert_eq!(pins().get("a:1").unwrap(), Some(some(3)));
        assert!(pins().knows_scram("a:1").unwrap());
    }

    #[test]
    fn a_server_with_another_name_is_known_as_it_was_and_nobody_else_is_overwritten() {
        let mut pins = Pins::in_memory();
        pins.accept("a:1", some(1)).unwrap();
        pins.set_scram("a:1").unwrap();
        pins.set("c:1", some(3)).unwrap();

        pins.copy("a:1", "b:1").unwrap();
        pins.copy("a:1", "c:1").unwrap();
        pins.copy("nobody:1", "d:1").unwrap();

        assert_eq!(pins.get("b:1").unwrap(), Some(some(1)));
        assert!(pins.knows_scram("b:1").unwrap() && !pins.is_accepted("b:1").unwrap());
        assert_eq!(pins.get("c:1").unwrap(), Some(some(3)));
        assert_eq!(pins.get("d:1").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_state_directory_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("state");

        Pins::in_directory(&place).set("localhost:5222", some(1)).unwrap();

        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let good = some(1);
        fs::write(directory.path().join("pins"), format!("nonsense\na:1 {good}\nb:2 12\n"))
            .unwrap();

        assert_eq!(Pins::in_directory(directory.path()).get("a:1").unwrap(), Some(good));
    }
}
