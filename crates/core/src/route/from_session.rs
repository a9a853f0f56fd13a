//! What a session sent, on its own side: checked, and told apart by whom it is for.

use whoelse_xmpp::{Condition, Jid, Kind, StanzaError, ns};

use super::*;

impl InFlight {
    /// RFC 6120, 8.2.3: an id, a known type, and exactly one payload in a request. Beside it our
    /// own clients may put the mark that a person typed it.
    pub(super) fn check_iq(&self) -> Result<(), StanzaError> {
        if self.stanza.kind() != Kind::Iq {
            return Ok(());
        }
        let payloads = self.payloads().count();
        let sound = self.stanza.id().is_some()
            && match self.stanza.type_() {
                Some("get" | "set") => payloads == 1,
                Some("result") => payloads <= 1,
                Some("error") => true,
                _ => false,
            };
        if sound { Ok(()) } else { Err(StanzaError::new(Condition::BadRequest)) }
    }

    pub(super) fn payloads(&self) -> impl Iterator<Item = &whoelse_xmpp::Child> {
        self.stanza.children().iter().filter(|child| child.ns() != ns::WHOELSE_ACTIVITY)
    }

    pub(super) fn for_server(self) -> Routed {
        match (self.stanza.kind(), self.stanza.type_()) {
            (Kind::Iq, Some("get" | "set")) => self.request(Target::Server, None),
            (Kind::Message, None | Some("chat" | "normal" | "groupchat")) => {
                self.refuse_with(Condition::ServiceUnavailable)
            }
            _ => self.done(),
        }
    }

    pub(super) fn broadcast(self) -> Routed {
        match self.stanza.type_() {
            None | Some("unavailable") => {}
            Some("error") => return self.done(),
            Some(_) => return self.refuse_with(Condition::BadRequest),
        }
        let bytes = self.stanza.bytes().len();
        if self.session.spend_fanout(bytes, self.node.clock.steady()).is_err() {
            return Routed::Waits(Box::pin(async move {
                self.session.fan_out(bytes, &self.node.clock).await;
                self.say_presence();
            }));
        }
        self.say_presence()
    }

    pub(super) fn say_presence(self) -> Routed {
        if self.stanza.type_() == Some("unavailable") {
            let words = self.stanza.child_text("status", ns::CLIENT).map(|text| text.to_string());
            self.session.account.set_parting_words(words);
        }
        let presence = (&self.stanza, &self.said);
        presence::broadcast(&self.node, &self.session, presence, self.lang.as_deref());
        self.done()
    }

    pub(super) fn for_account(self, to: Jid) -> Routed {
        // What the sender's own account says to it depends on nobody else, whoever that is.
        let from = Jid::from(self.session.jid.clone());
        let strip = self.said.drop.clone();
        let strip = match self.taps(Way::Out, (&from, &to), &self.session.account, strip) {
            Ok(strip) => strip,
            Err(Flow::Refuse(error)) => return self.refuse(&error),
            Err(_) => return self.done(),
        };
        if let Err(error) = presence::directed::note(&self.node, &self.session, &self.stanza, &to) {
            return self.refuse(&error);
        }
        let bare = to.to_bare();
        match self.node.seek(&bare) {
            Seek::Here(account) => self.deliver(&from, to, &account, strip),
            Seek::Missing => self.nobody(&to),
            Seek::NotLoaded => Routed::Waits(Box::pin(async move {
                match self.node.account(&bare).await {
                    Ok(Some(account)) => finish(self.deliver(&from, to, &account, strip)).await,
                    Ok(None) => finish(self.nobody(&to)).await,
                    Err(error) => {
                        self.node.store_failing("account_not_loaded", Some(&bare), &error);
                        self.refuse_with(Condition::InternalServerError);
                    }
                }
            })),
        }
    }
}
