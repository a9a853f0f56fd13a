//! XEP-0441, Message Archive Management Preferences: whose messages an account keeps in its archive.
//!
//! Each of two people decides for their own archive alone. What the recipient does not keep still
//! waits until a device has confirmed it, and is deleted then; no archive shows it meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::keeper::{After, Touches};
use whoelse_core::kit::{Answer, Feature, OWN, Reply, SessionCx, Verb};
use whoelse_core::settings::count;
use whoelse_core::{Node, audience, settings};
use whoelse_store::{DataKey, DataLimit, Put, Store};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Condition, Jid, Stanza, StanzaError, ns};

use crate::unstored;

/// XEP-0441. It names no feature for service discovery.
pub const FEATURE: Feature = Feature {
    name: "archive-preferences",
    xeps: &[(441, "0.2.0")],
    settings: &[Limits::SETTINGS],
    wire: |w| {
        w.account::<Preferences, _>(load);
        w.on(Verb::Get, OWN, (ns::MAM, "prefs"), get);
        w.on(Verb::Set, OWN, (ns::MAM, "prefs"), set);
        w.archive(keeps);
    },
    ..Feature::PLAIN
};

settings! {
    /// Bounds of preferences.
    struct Limits in "limits" {
        /// Addresses in one person's two lists of whose messages are always and never kept in the
        /// archive (XEP-0441): more than anybody looks through.
        archive_preferences: usize = 500, count();
    }
}

/// Where they are stored, in place of those before.
const KEY: DataKey<'_> = DataKey { namespace: ns::MAM, name: "prefs" };
/// As long as a request can be.
const ROOM: DataLimit = DataLimit { values: 1, bytes: 256 << 10 };

/// 2.1.1: what is kept of those who are in no list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Others {
    #[default]
    Always,
    Never,
    /// Where the owner has them in the roster.
    Roster,
}

impl Others {
    const ALL: [(Others, &str); 3] =
        [(Others::Always, "always"), (Others::Never, "never"), (Others::Roster, "roster")];

    fn of(name: &str) -> Option<Others> {
        Others::ALL.iter().find(|(_, known)| *known == name).map(|(others, _)| *others)
    }

    fn name(self) -> &'static str {
        Others::ALL.iter().find(|(others, _)| *others == self).map_or("always", |(_, name)| *name)
    }
}

/// The preferences of an account. Addresses are in their stored form, so that a renamed domain changes
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Preferences {
    others: Others,
    always: BTreeSet<String>,
    never: BTreeSet<String>,
}

impl Preferences {
    /// 2.2: an entry with a resource is about this device alone, and counts before one without.
    fn listed(&self, full: &str, bare: &str) -> Option<bool> {
        [full, bare].into_iter().find_map(|key| match self.never.contains(key) {
            true => Some(false),
            false => self.always.contains(key).then_some(true),
        })
    }

    fn keeps(&self, node: &Node, own: &Account, other: &Jid) -> bool {
        let is_listed = !self.always.is_empty() || !self.never.is_empty();
        let key = |jid: &str| node.key_of(jid);
        let listed =
            || is_listed.then(|| self.listed(&key(other.as_str()), &key(other.bare()))).flatten();
        listed().unwrap_or_else(|| match self.others {
            Others::Always => true,
            Others::Never => false,
            Others::Roster => audience::knows(node, own, other),
        })
    }

    /// One line for each: neither a name nor an address can hold a line break.
    fn encode(&self) -> Vec<u8> {
        let mut text = format!("default {}\n", self.others.name());
        for (list, keys) in [("always", &self.always), ("never", &self.never)] {
            keys.iter().for_each(|key| text.extend([list, " ", key, "\n"]));
        }
        text.into_bytes()
    }

    /// Reads what was stored. What is not understood counts for nothing.
    fn decode(stored: &[u8]) -> Preferences {
        let mut read = Preferences::default();
        for line in String::from_utf8_lossy(stored).lines() {
            match line.split_once(' ') {
                Some(("default", name)) => read.others = Others::of(name).unwrap_or_default(),
                Some(("always", key)) => drop(read.always.insert(key.to_owned())),
                Some(("never", key)) => drop(read.never.insert(key.to_owned())),
                _ => {}
            }
        }
        read
    }

    /// Reads a request to set them.
    fn read(node: &Node, stanza: &Stanza, prefs: &Child) -> Result<Preferences, StanzaError> {
        let others = stanza.child_attr(prefs, "default");
        let others = others
            .as_deref()
            .and_then(Others::of)
            .ok_or_else(|| bad("`default` must be `always`, `never` or `roster`"))?;
        let mut read = Preferences { others, ..Preferences::default() };
        for list in stanza.grandchildren(prefs) {
            let keys = match (list.name(), list.ns()) {
                ("always", ns::MAM) => &mut read.always,
                ("never", ns::MAM) => &mut read.never,
                _ => continue,
            };
            for jid in stanza.grandchildren(&list).iter().filter(|it| it.is("jid", ns::MAM)) {
                let jid = Jid::parse(&stanza.text_of(jid));
                let jid = jid.map_err(|_| StanzaError::new(Condition::JidMalformed))?;
                keys.insert(node.key_of(jid.as_str()));
            }
        }
        let most = node.settings().of::<Limits>().archive_preferences;
        if read.always.len() + read.never.len() > most {
            return Err(too_many(most));
        }
        match read.always.is_disjoint(&read.never) {
            true => Ok(read),
            false => Err(bad("an address is in both lists")),
        }
    }

    fn write(&self, node: &Node) -> Element {
        let list = |name: &'static str, keys: &BTreeSet<String>| {
            keys.iter().fold(Element::new(name), |list, key| {
                list.child(Element::new("jid").text(&node.address_of(key, "")))
            })
        };
        Element::new("prefs")
            .xmlns(ns::MAM)
            .attr("default", self.others.name())
            .child(list("always", &self.always))
            .child(list("never", &self.never))
    }
}

fn bad(text: &str) -> StanzaError {
    StanzaError::new(Condition::BadRequest).with_text(text)
}

fn too_many(most: usize) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint)
        .with_text(format!("these lists hold {most} addresses together at most"))
}

/// Reads the preferences of an account that is loaded.
async fn load(store: Store, account: i64) -> Result<Preferences, whoelse_store::Error> {
    let stored = store.account_data(account, KEY).await?;
    Ok(stored.map(|stored| Preferences::decode(&stored)).unwrap_or_default())
}

/// Whether an account keeps in its archive what passes between it and this address.
fn keeps(node: &Node, own: &Account, other: &Jid) -> bool {
    own.look(|preferences: &Preferences| preferences.keeps(node, own, other)).unwrap_or(true)
}

async fn get(cx: SessionCx, _: Stanza, _: Child) -> Answer {
    let preferences = cx.subject()?.get::<Preferences>().unwrap_or_default();
    Ok(Reply::encoded(preferences.write(&cx.node).finish()))
}

/// Sets them as a whole, and answers with what holds from then on.
async fn set(cx: SessionCx, stanza: Stanza, prefs: Child) -> Answer {
    let own = cx.subject()?.clone();
    let preferences = Preferences::read(&cx.node, &stanza, &prefs)?;
    let (answer, value) = (preferences.write(&cx.node), preferences.encode());
    let changed = cx.node.keeper.change(Touches::AtMost(1), move |tx| {
        Box::pin(async move {
            let put = tx.put_account_data(own.id, KEY, &value, ROOM).await?;
            let mut then = After::new();
            if put == Put::Done {
                then.push(Box::new(move |_: &Arc<Node>| own.put(Arc::new(preferences))));
            }
            Ok((put, then))
        })
    });
    match changed.await {
        Ok(Put::Done) => Ok(Reply::encoded(answer.finish())),
        Ok(Put::Full | Put::TooLong) => {
            Err(too_many(cx.node.settings().of::<Limits>().archive_preferences))
        }
        Err(error) => Err(unstored(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let always = keys(&["bob@#1", "eve@far.example/a b", "far.example"]);
        for (others, _) in Others::ALL {
            let kept = Preferences { others, always: always.clone(), never: keys(&["x@#1"]) };
            assert_eq!(Preferences::decode(&kept.encode()), kept);
        }
        assert_eq!(
            Preferences::decode(b"default later\nsometimes x\n\xff"),
            Preferences::default()
        );
    }

    #[test]
    fn a_device_counts_before_its_account() {
        let preferences = Preferences {
            always: keys(&["bob@#1", "eve@#1/desk"]),
            never: keys(&["bob@#1/desk", "eve@#1"]),
            ..Preferences::default()
        };
        for (full, bare, listed) in [
            ("bob@#1/desk", "bob@#1", Some(false)),
            ("bob@#1/phone", "bob@#1", Some(true)),
            ("bob@#1", "bob@#1", Some(true)),
            ("eve@#1/desk", "eve@#1", Some(true)),
            ("eve@#1", "eve@#1", Some(false)),
            ("mona@#1/desk", "mona@#1", None),
        ] {
            assert_eq!(preferences.listed(full, bare), listed, "{full}");
        }
    }
}
