//! RFC 6121, 3 and 4.3: words of subscription, and probes.

use std::sync::Arc;

use whoelse_xmpp::{Condition, Jid, StanzaError};

use super::in_flight::InFlight;
use super::{Origin, Routed, finish, refused, to_account};
use crate::account::Account;
use crate::kit::Flow;
use crate::node::{Node, Seek};
use crate::presence;
use crate::rewriting;
use crate::roster::change::Wish;
use crate::roster::{self, SubscriptionType};
use crate::session::{Session, Ticket};

/// A word of subscription, or a probe, from a session to whoever has this address.
pub(super) fn say(
    node: &Arc<Node>,
    (session, ticket): (Arc<Session>, Ticket),
    flight: InFlight,
) -> Routed {
    let bare = flight.to.to_bare();
    let word = Word { node: node.clone(), session, ticket, flight };
    match node.seek(&bare) {
        Seek::Here(account) => word.heard_by(&account),
        Seek::Missing => word.hand_on(None),
        Seek::NotLoaded => Routed::Waits(Box::pin(async move {
            match word.node.account(&bare).await {
                Ok(Some(account)) => finish(word.heard_by(&account)).await,
                Ok(None) => finish(word.hand_on(None)).await,
                Err(error) => {
                    word.node.store_failing("account_not_loaded", Some(&bare), &error);
                    word.refuse(&StanzaError::new(Condition::InternalServerError));
                }
            }
        })),
    }
}

struct Word {
    node: Arc<Node>,
    session: Arc<Session>,
    ticket: Ticket,
    flight: InFlight,
}

impl Word {
    fn done(&self) -> Routed {
        self.session.done(self.ticket);
        Routed::Done
    }

    fn refuse(self, error: &StanzaError) -> Routed {
        let origin = Origin::Session { session: self.session, ticket: self.ticket };
        refused(&self.node, &origin, &self.flight.stanza, error)
    }

    /// The recipient may not want to hear it. A request and a probe look then as if there were no
    /// such account; the rest changes what is, and nobody is told.
    fn heard_by(mut self, account: &Arc<Account>) -> Routed {
        match to_account::taps(&self.node, account, &mut self.flight) {
            Flow::On => return self.hand_on(Some(account)),
            Flow::Refuse(error) => return self.refuse(&error),
            Flow::Drop => {}
        }
        let is_shared = self.node.settings().contacts.are_shared();
        match SubscriptionType::of(self.flight.stanza.type_()) {
            Some(SubscriptionType::Subscribe) if is_shared => self.done(),
            Some(SubscriptionType::Subscribe) => self.hand_on(None),
            None | Some(_) => self.hand_on(Some(account)),
        }
    }

    /// To an account of this server, or to a name that nobody has.
    fn hand_on(self, account: Option<&Arc<Account>>) -> Routed {
        let to: &Jid = &self.flight.to;
        let Some(word) = SubscriptionType::of(self.flight.stanza.type_()) else {
            if self.flight.stanza.type_() == Some("probe") {
                let (own, subject) = (&self.session.account, account.map(AsRef::as_ref));
                for presence in presence::probe::answer(&self.node, subject, to, own.jid()) {
                    self.session.push_addressed(&presence, &own.to_attribute);
                }
            }
            return self.done();
        };
        let contact = to.to_bare();
        if contact == *self.session.account.jid() || account.is_some_and(|it| it.is_server()) {
            // Everybody is subscribed to themselves; the server has no presence.
            return self.done();
        }
        if self.node.settings().contacts.are_shared() {
            if word == SubscriptionType::Subscribe && account.is_some() {
                presence::grant(&self.session, &contact);
            }
            return self.done();
        }
        let said = rewriting::for_roster(&self.flight.stanza, self.flight.lang.as_deref(), &[]);
        let said = said.bytes;
        let other = account.cloned();
        Routed::Waits(Box::pin(async move {
            // It reaches another person's devices and the disk, so a flood is slowed down.
            self.session.fan_out(said.len(), &self.node.clock).await;
            let wish = Wish::Say(word, said);
            let (node, own) = (&self.node, &self.session.account);
            match roster::change::change(node, own, &contact, other, wish).await {
                Ok(()) => self.done(),
                Err(error) => self.refuse(&error),
            };
        }))
    }
}
