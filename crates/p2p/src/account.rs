//! The state of the present or last account: its introductions, this device, and the known devices
//! of others.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use whoelse_xmpp::{BareJid, FullJid, Stanza, in_words, ns};

use crate::device::{Device, KeyStatus};
use crate::events::{Fingerprint, Refused};
use crate::introduction::Introductions;
use crate::jingle::{self, Transport};
use crate::key::Key;

/// People whose changed devices are remembered until the user trusts them.
const MAX_DISTRUSTED: usize = 100;
/// Changed devices of one person.
const MAX_DEVICES: usize = 16;

/// One account on this device.
pub(crate) struct Account {
    pub(crate) jid: BareJid,
    pub(crate) introductions: Introductions,
    /// Whether the session receives changes of the block list.
    pub(crate) watches_blocklist: bool,
    /// The error says why there is no key.
    device: Result<Device, String>,
    distrusted: HashMap<BareJid, Vec<Transport>>,
}

impl Account {
    /// Opens the account that has just logged in, with the keys kept in this directory.
    pub(crate) fn open(me: &FullJid, state: Option<&Path>) -> Account {
        let jid = me.to_bare();
        let device = Device::open(state, &jid).map_err(|why| in_words(&why));
        Account {
            jid,
            introductions: Introductions::new(me.clone()),
            watches_blocklist: false,
            device,
            distrusted: HashMap::new(),
        }
    }

    /// Returns this device, if it has a key.
    pub(crate) fn device(&self) -> Result<&Device, Refused> {
        self.device.as_ref().map_err(|why| Refused::State(why.clone()))
    }

    /// Handles a stanza under one of our namespaces.
    pub(crate) fn handle_stanza(&mut self, stanza: &Stanza, now: Instant) {
        let Account { introductions, device, .. } = self;
        if stanza.child("jingle", ns::JINGLE).is_some() {
            let judge = |whom: &BareJid, theirs: &Transport| match &device {
                Ok(device) => (
                    device.judge(whom, &theirs.device, &theirs.key),
                    device.key().code(&theirs.key),
                ),
                // Without a key of its own this device has agreed to nothing.
                Err(_) => (KeyStatus::Changed, String::new()),
            };
            introductions.handle_request(stanza, &judge, now);
        } else if let Some(said) = jingle::said(stanza) {
            introductions.handle_said(&said, now);
        } else {
            introductions.handle_other(stanza);
        }
    }

    /// Returns the known devices of somebody, with the codes to compare.
    pub(crate) fn fingerprints(&self, whom: &BareJid) -> Result<Vec<Fingerprint>, Refused> {
        let device = self.device()?;
        let mine = device.key();
        let of = |device: &str, key: &Key, changed| Fingerprint {
            device: device.to_owned(),
            code: mine.code(key),
            changed,
        };
        let known = device.pins_of(whom).map(|pin| of(&pin.device, &pin.key, false));
        let changed = self.distrusted.get(whom).into_iter().flatten();
        let changed = changed.map(|it| of(&it.device, &it.key, true));
        let all: Vec<Fingerprint> = known.chain(changed).collect();
        if all.is_empty() { Err(Refused::NoDevice) } else { Ok(all) }
    }

    /// Remembers a device with a changed key until the user trusts it.
    pub(crate) fn distrust(&mut self, whom: BareJid, theirs: Transport) {
        if self.distrusted.len() >= MAX_DISTRUSTED && !self.distrusted.contains_key(&whom) {
            return;
        }
        let known = self.distrusted.entry(whom).or_default();
        known.retain(|it| it.device != theirs.device);
        if known.len() < MAX_DEVICES {
            known.push(theirs);
        }
    }

    /// Trusts the changed keys of somebody's devices.
    pub(crate) fn trust(&mut self, whom: &BareJid) -> Result<(), Refused> {
        self.device()?;
        let theirs = self.distrusted.remove(whom).ok_or(Refused::NothingToTrust)?;
        theirs.iter().try_for_each(|it| self.pin(whom, it)).map_err(Refused::State)
    }

    /// Remembers a device of somebody. The error is the system's text.
    pub(crate) fn pin(&mut self, whom: &BareJid, theirs: &Transport) -> Result<(), String> {
        match &mut self.device {
            Ok(device) => {
                device.pin(whom, &theirs.device, &theirs.key).map_err(|why| in_words(&why))
            }
            Err(_) => Ok(()),
        }
    }
}
