//! XEP-0077, In-Band Registration before a login: a stranger makes an account, or asks whether a
//! name is free.
//!
//! With registration closed, every request gets the same answer, whatever its name.

use super::{Machine, RegisterAnswer, RegisterRequest, Registration, State, Step, TRIES};
use crate::secret::Password;
use std::mem;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Condition, Kind, Stanza, StanzaError, StreamCondition, ns};

/// A request that the driver has not answered yet; there may be a password in it.
pub(super) struct Pending(Stanza);

impl Machine {
    pub(super) fn registers(&self) -> bool {
        // Never in clear text: the request contains a password.
        self.config.registration == Registration::Open && self.encrypted
    }

    /// Handles a stanza before login: a registration; anything else ends the stream (RFC 6120,
    /// 4.9.3.12).
    pub(super) fn before_login_stanza(&mut self, stanza: Stanza) -> State {
        let to_us = stanza.to().is_none_or(|to| Some(to) == self.domain.as_deref());
        let request = matches!(stanza.type_(), Some("get" | "set"));
        if stanza.kind() != Kind::Iq || !to_us || !request || !stanza.has("query", ns::REGISTER) {
            return self.fail(StreamCondition::NotAuthorized);
        }
        self.registrations = self.registrations.saturating_add(1);
        if self.registrations > TRIES {
            return self.fail(StreamCondition::PolicyViolation);
        }
        if !self.registers() {
            // XEP-0077, 3.1.
            let refusal = StanzaError::new(Condition::ServiceUnavailable);
            return self.refuse_stanza(&stanza, &refusal, State::BeforeLogin);
        }
        match read(&stanza, self.domain.as_deref().unwrap_or_default()) {
            Ok(request) => {
                self.pump.step(Step::Register(request));
                State::Registering(Pending(stanza))
            }
            Err(refusal) => self.refuse_stanza(&stanza, &refusal, State::BeforeLogin),
        }
    }

    /// Answers [`Step::Register`].
    pub fn registered(&mut self, answer: Result<RegisterAnswer, StanzaError>) {
        self.state = match mem::replace(&mut self.state, State::BeforeLogin) {
            State::Registering(Pending(request)) => {
                match answer {
                    Ok(answer) => {
                        let result =
                            Element::new("iq").attr("type", "result").attr_opt("id", request.id());
                        let result = match answer {
                            RegisterAnswer::Fields { instructions } => {
                                result.child(fields(&instructions))
                            }
                            RegisterAnswer::Done => result,
                        };
                        self.pump.say(&result.finish());
                    }
                    Err(refusal) => self.write_error(&request, &refusal),
                }
                State::BeforeLogin
            }
            state => state,
        };
    }

    pub(super) fn refuse_stanza(
        &mut self,
        stanza: &Stanza,
        error: &StanzaError,
        back: State,
    ) -> State {
        self.write_error(stanza, error);
        back
    }

    fn write_error(&mut self, stanza: &Stanza, error: &StanzaError) {
        if let Some(answer) = error.answer(stanza, None, None) {
            self.pump.say(&answer.bytes);
        }
    }
}

fn fields(instructions: &str) -> Element {
    Element::new("query")
        .xmlns(ns::REGISTER)
        .child(Element::new("instructions").text(instructions))
        .child(Element::new("username"))
        .child(Element::new("password"))
}

/// Returns what is asked at this domain, or why it is refused.
fn read(stanza: &Stanza, domain: &str) -> Result<RegisterRequest, StanzaError> {
    let refuse = |condition| Err(StanzaError::new(condition));
    if stanza.id().is_none() {
        return refuse(Condition::BadRequest);
    }
    if stanza.type_() == Some("get") {
        return Ok(RegisterRequest::Fields);
    }
    let query = stanza.child("query", ns::REGISTER);
    let fields = query.map(|query| stanza.grandchildren(query)).unwrap_or_default();
    let field = |name| fields.iter().find(|f| f.name() == name && f.ns() == ns::REGISTER);
    if field("remove").is_some() {
        // XEP-0077, 3.2: nobody has logged in whose account could be removed.
        return refuse(Condition::UnexpectedRequest);
    }
    let given = |name| field(name).map(|f| stanza.text_of(f)).filter(|text| !text.is_empty());
    let Some(username) = given("username") else { return refuse(Condition::NotAcceptable) };
    let malformed = |_| StanzaError::new(Condition::JidMalformed);
    let Some(password) = given("password") else {
        let asked = BareJid::new(Some(&username), domain).map_err(malformed)?;
        return Ok(RegisterRequest::Name(asked));
    };
    let password = Password::new(&password)
        .map_err(|bad| StanzaError::new(Condition::NotAcceptable).with_text(bad.to_string()))?;
    let account = BareJid::of_new_account(&username, domain).map_err(malformed)?;
    Ok(RegisterRequest::Create { account, password })
}
