//! Who gets whose presence, and who may see whom: one answer for both roster modes.
//!
//! Each question is about one account, whose snapshots are at hand, and the address of somebody
//! else, whose account may be anywhere. The visibility taps ([`crate::kit::Wiring::visibility`])
//! decide what a blocked user may not see or does not hear.

use whoelse_xmpp::{BareJid, Jid};

use crate::account::Account;
use crate::node::Node;
use crate::session::Session;
use crate::settings::Contacts;

impl Contacts {
    /// Whether there is one roster for the whole server. If so, everybody is in it and subscribed
    /// to everybody else: nobody asks for or grants a subscription, and the roster has no versions.
    /// Otherwise each account has its own.
    pub fn are_shared(self) -> bool {
        self == Contacts::Everyone
    }

    /// Whether a requester may be a stranger, who must not learn which accounts exist.
    pub fn hide_who_exists(self) -> bool {
        self == Contacts::Roster
    }
}

/// The recipients of a broadcast, seen from its speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who is online.
    Everybody,
    /// Those who see the speaker, the speaker included (RFC 6121, 4.2.2).
    Viewers,
    /// Those whom the speaker sees, without the speaker.
    Seen,
}

/// Whether `viewer` is subscribed to the presence of `subject`, which is so for all in the shared
/// roster. Every account is subscribed to itself; the server, as which an administrator acts, to
/// all.
pub fn is_subscribed(node: &Node, subject: &Account, viewer: &BareJid) -> bool {
    subject.jid() == viewer
        || node.contacts.are_shared() && node.is_local(viewer)
        || node.is_server(viewer)
        || subject.roster().shows_to(viewer)
}

/// Whether `viewer` may see `subject` (behaviour.md): it is subscribed and not blocked, or the
/// same.
pub fn sees(node: &Node, subject: &Account, viewer: &BareJid) -> bool {
    subject.jid() == viewer
        || node.wiring.shows(subject, viewer) && is_subscribed(node, subject, viewer)
}

/// Whether `listener` hears what `speaker` says: a listener who has blocked the speaker hears
/// nothing of them, and one who has blocked a device nothing of that device. Nobody can block
/// themselves or the server.
pub fn hears(node: &Node, listener: &Account, speaker: &Jid) -> bool {
    node.wiring.shows(listener, speaker)
        || speaker.bare() == listener.jid().as_str()
        || node.is_server(speaker)
}

/// Whether `own` knows `speaker`, and so does not count them among the strangers, who share what
/// room there is for all of them. The server is nobody's stranger, and nobody is their own.
pub fn knows(node: &Node, own: &Account, speaker: &Jid) -> bool {
    lists(node, own, speaker) || own.jid().as_str() == speaker.bare() || node.is_server(speaker)
}

/// Whether `own` has `speaker` in the roster that its owner sees; in the shared roster everybody is.
pub fn lists(node: &Node, own: &Account, speaker: &Jid) -> bool {
    node.contacts.are_shared() || own.lists(speaker.bare())
}

/// Calls `tell` for each account in memory that belongs to the audience from the speaker's side.
/// The server itself, which is no account, speaks to everybody. Whether an account wants to hear
/// it is for its own half to say: [`hears`].
pub(crate) fn each(
    node: &Node,
    speaker: Option<&Account>,
    audience: Audience,
    mut tell: impl FnMut(&Account),
) {
    let (Some(speaker), Audience::Viewers | Audience::Seen) = (speaker, audience) else {
        return node.online.all().iter().for_each(|it| tell(it));
    };
    let is_speaker = |it: &Account| it.jid() == speaker.jid();
    let shows = |it: &Account| is_speaker(it) || node.wiring.shows(speaker, it.jid());
    if audience == Audience::Seen {
        each_subject(node, Some(speaker), |it| {
            if !is_speaker(it) && shows(it) {
                tell(it);
            }
        });
    } else if node.contacts.are_shared() {
        node.online.all().iter().filter(|it| shows(it)).for_each(|it| tell(it));
    } else {
        tell(speaker);
        let roster = speaker.roster();
        let viewers = roster.subscribers().filter_map(|jid| node.here(jid));
        viewers.filter(|it| shows(it)).for_each(|it| tell(&it));
    }
}

/// Calls `look` for each online account to whose presence `viewer` is subscribed, and for itself:
/// the others by address. The server itself, which is no account, is subscribed to everybody.
pub(crate) fn each_subject(node: &Node, viewer: Option<&Account>, mut look: impl FnMut(&Account)) {
    let Some(viewer) = viewer.filter(|_| !node.contacts.are_shared()) else {
        return node.online.all().iter().for_each(|it| look(it));
    };
    look(viewer);
    let roster = viewer.roster();
    let subjects = roster.subscriptions().filter_map(|jid| node.here(jid));
    let shown = |it: &Account| it.is_online() && it.roster().shows_to(viewer.jid());
    subjects.filter(|it| shown(it)).for_each(|it| look(&it));
}

/// Lists whose events an account gets: its own, and those of everybody whose presence it gets, online
/// or not. Where everybody is everybody's contact only those who are online are listed.
pub fn heard_by(node: &Node, listener: &Account) -> Vec<BareJid> {
    let mut heard = vec![listener.jid().clone()];
    if node.contacts.are_shared() {
        let online = node.online.all();
        heard
            .extend(online.iter().map(|it| it.jid()).filter(|jid| *jid != listener.jid()).cloned());
    } else {
        heard.extend(listener.roster().subscriptions().filter(|jid| node.is_local(jid)).cloned());
    }
    heard
}

/// Lists the other online accounts that the owner of a session may see, sorted.
pub fn seen_online(node: &Node, viewer: &Session) -> Vec<BareJid> {
    let (mut seen, own) = (Vec::new(), viewer.jid.to_bare());
    each_subject(node, viewer.account.as_deref(), |it| {
        if *it.jid() != own && sees(node, it, &own) {
            seen.push(it.jid().clone());
        }
    });
    seen.dedup();
    seen
}

/// Lists all online accounts, sorted, for an administrator.
pub fn online(node: &Node) -> Vec<BareJid> {
    node.online.all().iter().map(|it| it.jid().clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use std::sync::Arc;

    use whoelse_store::{Location, RosterRow, Store};

    use crate::clock::{Clock, Time};
    use crate::kit::Feature;
    use crate::settings::Settings;

    /// Makes a rule by which whoever is called `blocked` sees nobody.
    const BLOCKS: Feature = Feature {
        name: "blocks",
        wire: |w| w.visibility(|_, viewer| viewer.local() != Some("blocked")),
        ..Feature::PLAIN
    };

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    /// Alice, and a server on which she has these subscribers.
    async fn alice(contacts: Contacts, subscribers: &[&str]) -> (Arc<Node>, Arc<Account>) {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("localhost").await.unwrap();
        let id = tx.create_account(domain, "alice", &[], 1).await.unwrap().unwrap();
        for subscriber in subscribers {
            let contact = subscriber.replace("@localhost", &format!("@#{domain}"));
            let row =
                RosterRow { contact, listed: true, from: true, version: 1, ..RosterRow::default() };
            tx.write_roster_row(id, &row).await.unwrap();
        }
        tx.commit().await.unwrap();
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let settings = Settings { contacts, ..Settings::default() };
        let node = Node::start(settings, clock, store, &[BLOCKS], Some("localhost")).await.unwrap();
        let alice = node.account(&jid("alice@localhost")).await.unwrap().unwrap();
        (node, alice)
    }

    #[tokio::test]
    async fn every_cell_of_who_may_see_alice() {
        let subscribers = ["bob@localhost", "blocked@localhost", "mona@far.example"];
        // The same questions, with her own roster and with the shared roster.
        let cells = [
            ("alice@localhost", true, true),
            ("localhost", true, true),
            ("bob@localhost", true, true),
            ("carol@localhost", false, true),
            ("blocked@localhost", false, false),
            ("mona@far.example", true, true),
            // "Everybody" means everybody on this server, not in the world.
            ("zoe@far.example", false, false),
            ("far.example", false, false),
        ];
        for (shared, contacts) in [(false, Contacts::Roster), (true, Contacts::Everyone)] {
            let (node, alice) = alice(contacts, &subscribers).await;
            for (who, own, everyone) in cells {
                let expected = if shared { everyone } else { own };
                assert_eq!(sees(&node, &alice, &jid(who)), expected, "{who} {contacts:?}");
            }
        }
    }

    #[tokio::test]
    async fn who_is_blocked_is_not_heard_and_the_server_always_is() {
        let (node, alice) = alice(Contacts::Roster, &["blocked@localhost"]).await;

        for (who, heard) in [
            ("alice@localhost", true),
            ("localhost", true),
            ("bob@localhost", true),
            ("blocked@localhost", false),
            ("blocked@far.example", false),
            ("zoe@far.example", true),
        ] {
            assert_eq!(hears(&node, &alice, &jid(who)), heard, "{who}");
        }
    }

    #[test]
    fn either_the_roster_is_shared_or_it_is_hidden_who_exists() {
        for contacts in [Contacts::Everyone, Contacts::Roster] {
            assert_ne!(contacts.are_shared(), contacts.hide_who_exists());
        }
    }
}
