//! RFC 6121, 3 and 4.3: subscription presence and probes.

use std::sync::Arc;

use whoelse_xmpp::{BareJid, Condition, Jid, StanzaError};

use super::in_flight::InFlight;
use super::{Origin, Routed, refused};
use crate::account::Account;
use crate::node::{Node, Seek};
use crate::presence;
use crate::rewriting;
use crate::roster::SubscriptionType;
use crate::roster::outbound::{self, Wish};
use crate::session::{Session, Ticket};

/// Takes a subscription presence, or a probe, from a session to this address.
pub(super) fn say(
    node: &Arc<Node>,
    (session, ticket): (Arc<Session>, Ticket),
    flight: InFlight,
) -> Routed {
    let speech = Speech { node: node.clone(), session, ticket, flight };
    match SubscriptionType::of(speech.flight.stanza.type_()) {
        Some(type_) => speech.subscription(type_),
        None if speech.flight.stanza.type_() == Some("probe") => speech.probe(),
        None => speech.done(),
    }
}

/// Returns what an account, if it exists, answers at this address to somebody.
type Answers = fn(&Node, Option<&Account>, &Jid, &BareJid) -> presence::Answer;

struct Speech {
    node: Arc<Node>,
    session: Arc<Session>,
    ticket: Ticket,
    flight: InFlight,
}

impl Speech {
    fn done(&self) -> Routed {
        self.session.done(self.ticket);
        Routed::Done
    }

    fn refuse(self, error: &StanzaError) -> Routed {
        let origin = Origin::Session { session: self.session, ticket: self.ticket };
        refused(&self.node, &origin, &self.flight.stanza, error)
    }

    /// RFC 6121, 3: takes subscription presence to an address of this server, whether or not the
    /// account exists. The roster decides the result; no account is looked at here.
    fn subscription(self, type_: SubscriptionType) -> Routed {
        let contact = self.flight.to.to_bare();
        if self.flight.is_to_oneself() || self.node.is_server(&contact) {
            // Everybody is subscribed to themselves; the server has no presence.
            return self.done();
        }
        if self.node.contacts.are_shared() {
            return match type_ {
                SubscriptionType::Subscribe => self.ask(contact, presence::granted),
                _ => self.done(),
            };
        }
        let Some(own) = self.session.account.clone() else {
            // The server has no roster.
            return self.refuse(&StanzaError::new(Condition::NotAllowed));
        };
        let said = rewriting::for_roster(&self.flight.stanza, self.flight.lang.as_deref(), &[]);
        let said = said.bytes;
        Routed::Waits(Box::pin(async move {
            let wish = Wish::Say(type_, said);
            match outbound::change(&self.node, &own, &contact, wish).await {
                Ok(()) => self.done(),
                Err(error) => self.refuse(&error),
            };
        }))
    }

    fn probe(self) -> Routed {
        let bare = self.flight.to.to_bare();
        self.ask(bare, presence::probe::answer)
    }

    /// Asks the account of an address, loaded if necessary, and passes on what it answers.
    fn ask(self, bare: BareJid, answer: Answers) -> Routed {
        let (to, asker) = (self.flight.to.clone(), self.session.jid.to_bare());
        let asked =
            move |node: &Node, account: Option<&Account>| answer(node, account, &to, &asker);
        match self.node.seek(&bare) {
            Seek::Here(account) => self.hear(&asked(&self.node, Some(&account))),
            Seek::Missing => self.hear(&asked(&self.node, None)),
            Seek::NotLoaded => Routed::Waits(Box::pin(async move {
                match self.node.look_up(&bare).await {
                    Ok(account) => self.hear(&asked(&self.node, account.as_deref())),
                    Err(error) => self.refuse(&error),
                };
            })),
        }
    }

    /// Passes on what the other account has answered.
    fn hear(&self, answers: &presence::Answer) -> Routed {
        let (session, to) = (&self.session, self.session.to_attribute());
        match answers {
            presence::Answer::Nothing => {}
            presence::Answer::State(state) => {
                state.iter().for_each(|presence| session.push_presence(presence, &to));
            }
            presence::Answer::Word(word) => session.push(word.with_attributes(&to)),
        }
        self.done()
    }
}
