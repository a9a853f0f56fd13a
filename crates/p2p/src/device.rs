//! The device file of private chats: its own name and key, and the known devices of others. One
//! file for each account, in the user's state directory.
//!
//! Keys are pinned by device, not by person: a new device of somebody is announced as new; a known
//! one with another key is refused until the user trusts it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use whoelse_client::state;
use whoelse_stream::hex;
use whoelse_stream::token::{random, token};
use whoelse_xmpp::BareJid;

use crate::key::Key;

/// Devices of others that are remembered; beyond it the oldest are dropped.
const MAX_PINS: usize = 10_000;

/// This device, for one account.
pub(crate) struct Device {
    /// Its name.
    pub(crate) id: String,
    secret: Secret,
    pins: Vec<Pin>,
    file: Option<PathBuf>,
    /// The lock of the file while this program uses the device; a second program gets another
    /// device.
    _lock: Option<File>,
}

/// A key that is never printed.
struct Secret([u8; 32]);

/// A device of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) who: String,
    pub(crate) device: String,
    pub(crate) key: Key,
}

/// How the key of a device compares with what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyStatus {
    /// The device is known with this key.
    Known,
    /// The device is not known.
    New {
        /// Nor is any other device of that person.
        first: bool,
    },
    /// The device is known with another key.
    Changed,
}

impl Device {
    /// Opens the device of an account, or makes it. Without a directory, or while another program
    /// uses it, the device is temporary, and others see it as new.
    pub(crate) fn open(directory: Option<&Path>, account: &BareJid) -> io::Result<Device> {
        let Some(directory) = directory.map(|it| it.join("private")) else {
            return Ok(Device::temporary(Vec::new()));
        };
        let file = directory.join(state::name_of(account.as_str()));
        let Some(lock) = state::lock(&file)? else {
            let (_, pins) = read(&file)?.unwrap_or_else(|| (new_identity(), Vec::new()));
            return Ok(Device::temporary(pins));
        };
        let found = read(&file)?;
        let is_new = found.is_none();
        let ((id, secret), pins) = found.unwrap_or_else(|| (new_identity(), Vec::new()));
        let device = Device { id, secret, pins, file: Some(file), _lock: Some(lock) };
        if is_new {
            device.save()?;
        }
        Ok(device)
    }

    fn temporary(pins: Vec<Pin>) -> Device {
        let (id, secret) = new_identity();
        Device { id, secret, pins, file: None, _lock: None }
    }

    /// Returns its public key.
    pub(crate) fn key(&self) -> Key {
        Key::of(*iroh::SecretKey::from_bytes(&self.secret.0).public().as_bytes())
    }

    /// Returns the secret key.
    pub(crate) fn secret(&self) -> [u8; 32] {
        self.secret.0
    }

    /// Compares a device of somebody, by name and key, with what is known.
    pub(crate) fn judge(&self, who: &BareJid, device: &str, key: &Key) -> KeyStatus {
        let mut theirs = self.pins_of(who).peekable();
        let first = theirs.peek().is_none();
        match theirs.find(|pin| pin.device == device) {
            Some(pin) if pin.key == *key => KeyStatus::Known,
            Some(_) => KeyStatus::Changed,
            None => KeyStatus::New { first },
        }
    }

    /// Remembers a device of somebody, and replaces what was known of it.
    pub(crate) fn pin(&mut self, who: &BareJid, device: &str, key: &Key) -> io::Result<()> {
        self.pins.retain(|pin| pin.who != who.as_str() || pin.device != device);
        if self.pins.len() >= MAX_PINS {
            self.pins.remove(0);
        }
        self.pins.push(Pin { who: who.to_string(), device: device.to_owned(), key: *key });
        self.save()
    }

    /// Returns the known devices of somebody, the latest last.
    pub(crate) fn pins_of(&self, who: &BareJid) -> impl Iterator<Item = &Pin> {
        self.pins.iter().filter(move |pin| pin.who == who.as_str())
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let secret = hex::encode(&self.secret.0);
        let mut text = format!("device {} {secret}\n", self.id);
        for Pin { who, device, key } in &self.pins {
            text.push_str(&format!("pin {device} {key} {who}\n"));
        }
        state::replace(file, &text)
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("id", &self.id).finish_non_exhaustive()
    }
}

fn new_identity() -> (String, Secret) {
    (token(), Secret(random()))
}

type Kept = ((String, Secret), Vec<Pin>);

/// Reads a file; `None` if there is none. Skips invalid lines, but a file without its own name and
/// key is invalid.
fn read(file: &Path) -> io::Result<Option<Kept>> {
    let Some(text) = state::read(file)? else { return Ok(None) };
    let own = text.lines().next().and_then(|line| {
        let (id, secret) = line.strip_prefix("device ")?.split_once(' ')?;
        Some((id.to_owned(), Secret(hex::decode(secret)?)))
    });
    let broken = || io::Error::other(format!("{} has no key in its first line", file.display()));
    let pins = text.lines().filter_map(|line| {
        let mut words = line.strip_prefix("pin ")?.splitn(3, ' ');
        let (device, key, who) = (words.next()?, words.next()?, words.next()?);
        Some(Pin { who: who.to_owned(), device: device.to_owned(), key: Key::parse(key)? })
    });
    let pins = pins.collect();
    Ok(Some((own.ok_or_else(broken)?, pins)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn bare(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    #[test]
    fn a_device_is_the_same_the_next_time_and_another_one_for_another_account() {
        let state = tempfile::tempdir().unwrap();
        let open = |who: &str| Device::open(Some(state.path()), &bare(who)).unwrap();

        let alice = open("alice@a.example");
        let (id, secret) = (alice.id.clone(), alice.secret());
        drop(alice);

        let again = open("alice@a.example");
        assert_eq!((again.id.as_str(), again.secret()), (id.as_str(), secret));
        assert_ne!(open("bob@a.example").secret(), secret);
    }

    #[test]
    fn a_second_program_is_another_device_that_knows_the_same_people() {
        let state = tempfile::tempdir().unwrap();
        let open = || Device::open(Some(state.path()), &bare("alice@a.example")).unwrap();
        let (bob, key) = (bare("bob@a.example"), Key::of([1; 32]));
        let mut first = open();
        first.pin(&bob, "d1", &key).unwrap();

        let second = open();

        assert_ne!((&first.id, first.secret()), (&second.id, second.secret()));
        assert_eq!(second.judge(&bob, "d1", &key), KeyStatus::Known);
    }

    #[test]
    fn devices_are_pinned_not_persons() {
        let state = tempfile::tempdir().unwrap();
        let (bob, carol) = (bare("bob@a.example"), bare("carol@a.example"));
        let (one, other) = (Key::of([1; 32]), Key::of([2; 32]));
        let mut device = Device::open(Some(state.path()), &bare("alice@a.example")).unwrap();

        assert_eq!(device.judge(&bob, "d1", &one), KeyStatus::New { first: true });
        device.pin(&bob, "d1", &one).unwrap();
        drop(device);

        let mut device = Device::open(Some(state.path()), &bare("alice@a.example")).unwrap();
        assert_eq!(device.judge(&bob, "d1", &one), KeyStatus::Known);
        assert_eq!(device.judge(&bob, "d1", &other), KeyStatus::Changed);
        assert_eq!(device.judge(&bob, "d2", &other), KeyStatus::New { first: false });
        assert_eq!(device.judge(&carol, "d1", &one), KeyStatus::New { first: true });
        device.pin(&bob, "d1", &other).unwrap();
        assert_eq!(device.judge(&bob, "d1", &other), KeyStatus::Known);
        assert_eq!(device.pins_of(&bob).count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().unwrap();

        let device = Device::open(Some(state.path()), &bare("alice@a.example")).unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(device.file.as_ref().unwrap()), 0o600);
        assert_eq!(mode(&state.path().join("private")), 0o700);
    }

    #[test]
    fn a_file_without_a_key_is_an_error_and_left_as_it_is() {
        let state = tempfile::tempdir().unwrap();
        let account = bare("alice@a.example");
        let file = state.path().join("private").join(state::name_of(account.as_str()));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "something else\n").unwrap();

        assert!(Device::open(Some(state.path()), &account).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "something else\n");
    }
}
