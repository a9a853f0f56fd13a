//! Presence, events, and news of the roster, told anew: a session had no room when it came, and has room now
//! (`docs/design/shares.md`).

use std::collections::BTreeSet;
use std::sync::Arc;

use whoelse_xmpp::{BareJid, FullJid, Outgoing};

use super::{present_state, unavailable};
use crate::account::Account;
use crate::audience;
use crate::node::Node;
use crate::roster::{SubscriptionType, addressed, missed, plain};
use crate::session::{Anew, Session, Whose};

impl Node {
    /// Tells a session anew how those are whose presence it missed, and who asks to see its owner,
    /// as fast as it reads. What events are told anew, features know.
    pub async fn tell_anew(self: &Arc<Node>, session: &Arc<Session>) {
        let Some(own) = &session.account else { return };
        let mut anew = session.take_anew();
        let events_of = std::mem::take(&mut anew.events_of);
        if !events_of.is_nobodys() {
            self.wiring.tell_missed(self, session, &events_of);
        }
        let whose = match anew.whose {
            Whose::These(these) => these,
            Whose::Everybody => match everybody_seen(self, own).await {
                Ok(all) => all,
                Err(error) => {
                    // It is asked for again when the session has written something.
                    self.store_failing("presence_not_told", Some(own.jid()), &error);
                    return session.put_anew_back(anew);
                }
            },
        };
        let mut whose = whose.into_iter();
        while let Some(who) = whose.next() {
            if !session.room_for_presence().await {
                anew.whose = Whose::These([who].into_iter().chain(whose).collect());
                return session.put_anew_back(anew);
            }
            tell_how(self, own, session, &who);
        }
        for who in anew.withdrawn {
            tell_withdrawal(self, own, session, &who);
        }
        if let Some(after) = session.begin_roster() {
            missed::tell(self, session, after).await;
        }
        if let Some(from) = anew.requests_from {
            tell_requests(self, own, session, from).await;
        }
    }
}

/// Tells a session that somebody no longer asks to see its owner, if it is still so.
fn tell_withdrawal(node: &Node, own: &Account, session: &Session, who: &BareJid) {
    let roster = own.roster();
    let is_pending = roster.get(who).is_some_and(|it| it.state.asked || it.state.from);
    if !is_pending && audience::hears(node, own, who) {
        let word = plain(SubscriptionType::Unsubscribe);
        session.push_withdrawal(addressed(word, who, own.jid()), who);
    }
}

/// Everybody whose presence the owner may get, online or not: who has gone must be said, too.
async fn everybody_seen(
    node: &Node,
    own: &Account,
) -> Result<BTreeSet<BareJid>, whoelse_store::Error> {
    let mut seen: BTreeSet<BareJid> = match node.contacts.are_shared() {
        true => node.everybody.items(node).await?.addresses(&node.domain_name()).collect(),
        false => own.roster().subscriptions().cloned().collect(),
    };
    audience::each_subject(node, Some(own), |subject| {
        seen.insert(subject.jid().clone());
    });
    Ok(seen)
}

/// Tells a session how somebody is: that the account is gone, since it is not known what the client
/// was told last, and then each device that is there.
///
/// What they say meanwhile can pass what was read here, so it is read again until nothing has
/// changed.
fn tell_how(node: &Node, own: &Account, session: &Session, who: &BareJid) {
    let push = |presence: &Outgoing| session.push_presence(presence, &own.to_attribute);
    push(&unavailable(who.as_str()));
    if !audience::hears(node, own, who) {
        // It was told that they are gone when they were blocked, or is told when they go.
        return;
    }
    let mut told: Vec<(FullJid, Outgoing)> = Vec::new();
    loop {
        let state = node.here(who).and_then(|subject| present_state(node, &subject, own.jid()));
        let state = state.unwrap_or_default();
        let is_told = |one: &(FullJid, Outgoing), of: &[(FullJid, Outgoing)]| {
            of.iter().any(|(device, said)| *device == one.0 && said.bytes == one.1.bytes)
        };
        let is_there = |device: &FullJid| state.iter().any(|(there, _)| there == device);
        if state.len() == told.len() && state.iter().all(|one| is_told(one, &told)) {
            return;
        }
        for (device, _) in told.iter().filter(|(device, _)| !is_there(device)) {
            push(&unavailable(device.as_str()));
        }
        for (_, presence) in state.iter().filter(|one| !is_told(one, &told)) {
            push(presence);
        }
        told = state;
    }
}

/// Tells a session of the requests to see its owner from this address on.
async fn tell_requests(node: &Node, own: &Account, session: &Session, from: BareJid) {
    let roster = own.roster();
    for (asker, contact) in roster.requests().filter(|(asker, _)| **asker >= from) {
        let request = addressed(contact.request.clone(), asker, own.jid());
        if !session.room_for_request(request.bytes.len()).await {
            let requests_from = Some(asker.clone());
            return session.put_anew_back(Anew { requests_from, ..Anew::default() });
        }
        if audience::hears(node, own, asker) && !session.push_request(request, asker) {
            return;
        }
    }
}
