//! XEP-0077, the connecting end: asks whether a name is known, and makes an account.

use super::{Denied, Machine, Probe, Reason, State, Step, Trust};
use crate::secret::Password;
use crate::token;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, Kind, Stanza, StanzaError, ns};

/// The request, with its id.
pub(super) struct Asked {
    id: String,
    what: What,
}

enum What {
    Name,
    Account,
}

impl Machine {
    /// Asks whether an account exists, by a registration of the name alone. The answer is
    /// [`Step::Probed`].
    pub fn probe(&mut self, username: &str) -> Result<(), Denied> {
        self.ask(What::Name, username, None)
    }

    /// Makes an account. The answer is [`Step::Registered`].
    pub fn register(&mut self, username: &str, password: &Password) -> Result<(), Denied> {
        if self.trust == Trust::None {
            return Err(Denied::Untrusted);
        }
        // Prepared text was UTF-8 and still is.
        let password = String::from_utf8_lossy(password.reveal());
        self.ask(What::Account, username, Some(&password))
    }

    fn ask(&mut self, what: What, username: &str, password: Option<&str>) -> Result<(), Denied> {
        if !self.is_ready() {
            return Err(Denied::NotReady);
        }
        if username.is_empty() {
            return Err(Denied::BadName);
        }
        let username = Element::new("username").text(username);
        let mut query = Element::new("query").xmlns(ns::REGISTER).child(username);
        if let Some(password) = password {
            query = query.child(Element::new("password").text(password));
        }
        let id = token::token();
        let request = Element::new("iq")
            .attr("type", "set")
            .attr("id", &id)
            .attr("to", &self.config.domain)
            .child(query);
        self.pump.say(&request.finish());
        self.state = State::Registering(Asked { id, what });
        Ok(())
    }

    pub(super) fn during_registration(&mut self, element: &Stanza, asked: Asked) -> State {
        if element.kind() != Kind::Iq || element.id() != Some(&asked.id) {
            return self.give_up(Reason::Unexpected);
        }
        let answer = match element.type_() {
            Some("result") => Ok(()),
            Some("error") => Err(StanzaError::read(element)
                .unwrap_or_else(|| StanzaError::new(Condition::UndefinedCondition))),
            _ => return self.give_up(Reason::Unexpected),
        };
        self.pump.step(match asked.what {
            What::Account => Step::Registered(answer),
            What::Name => Step::Probed(match answer {
                Err(error) if error.condition == Condition::Conflict => Probe::Known,
                Err(error) if error.condition == Condition::NotAcceptable => Probe::Free,
                Err(error) => Probe::Refused(error),
                // An account without a password is not what was asked for.
                Ok(()) => Probe::Refused(StanzaError::new(Condition::UndefinedCondition)),
            }),
        });
        State::Ready
    }
}
