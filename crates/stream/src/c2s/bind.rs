//! RFC 6120, 7, and XEP-0198, 5: binds a session, or resumes one that lost its connection.

use super::{Machine, State, Step, TRIES};
use crate::sm;
use std::mem;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, FullJid, Kind, Stanza, StanzaError, StreamCondition, ns};

impl Machine {
    pub(super) fn before_bind(&mut self, element: Stanza) -> State {
        if element.kind() == Kind::Iq && element.has("bind", ns::BIND) {
            return self.bind(element);
        }
        match sm::Element::read(&element) {
            Some(Ok(sm::Element::Resume { previd, h })) => self.resume(previd, h),
            Some(Err(sm::element::Malformed)) if element.name() == "resume" => {
                self.write_sm(&failed(None, Condition::BadRequest));
                self.count_bind(State::BeforeBind)
            }
            Some(_) => self.refuse_sm(State::BeforeBind),
            None if element.ns() == ns::TLS => self.refuse_tls(),
            // RFC 6120, 7.1: nothing else may be sent before a resource is bound.
            None => self.fail(StreamCondition::NotAuthorized),
        }
    }

    fn bind(&mut self, request: Stanza) -> State {
        let wish = self.read_bind(&request);
        let state = self.count_bind(State::BeforeBind);
        if matches!(state, State::Over) {
            return state;
        }
        match wish {
            Ok(resource) => {
                self.pump.step(Step::Bind { resource });
                State::Binding(request)
            }
            Err(refusal) => self.refuse_stanza(&request, &refusal, State::BeforeBind),
        }
    }

    /// Returns the requested resource, normalised.
    fn read_bind(&self, request: &Stanza) -> Result<Option<String>, StanzaError> {
        let bad = || StanzaError::new(Condition::BadRequest);
        if request.type_() != Some("set") || request.id().is_none() {
            return Err(bad());
        }
        let bind = request.child("bind", ns::BIND).ok_or_else(bad)?;
        let inside = request.grandchildren(bind);
        let wish = inside.iter().find(|c| c.name() == "resource" && c.ns() == ns::BIND);
        let wish = wish.map(|wish| request.text_of(wish)).filter(|text| !text.is_empty());
        let Some(wish) = wish else { return Ok(None) };
        let own = self.address.as_ref().ok_or_else(bad)?;
        // RFC 6120, 7.7.2.1.
        let full = own.with_resource(&wish).map_err(|_| bad())?;
        Ok(Some(full.resource().to_owned()))
    }

    /// RFC 6120, 7.7.2: a client gets several tries, but not endlessly many.
    fn count_bind(&mut self, back: State) -> State {
        self.binds = self.binds.saturating_add(1);
        if self.binds > TRIES { self.fail(StreamCondition::PolicyViolation) } else { back }
    }

    /// Answers [`Step::Bind`] with success.
    pub fn bound(&mut self, jid: &FullJid) {
        self.state = match mem::replace(&mut self.state, State::BeforeBind) {
            State::Binding(request) => {
                let bind = Element::new("bind")
                    .xmlns(ns::BIND)
                    .child(Element::new("jid").text(jid.as_str()));
                let result = Element::new("iq")
                    .attr("type", "result")
                    .attr_opt("id", request.id())
                    .child(bind);
                self.pump.say(&result.finish());
                self.open_now()
            }
            state => state,
        };
    }

    /// Answers [`Step::Bind`] with an error; the client may try again.
    pub fn bind_refused(&mut self, error: &StanzaError) {
        self.state = match mem::replace(&mut self.state, State::BeforeBind) {
            State::Binding(request) => self.refuse_stanza(&request, error, State::BeforeBind),
            state => state,
        };
    }

    fn resume(&mut self, previd: String, h: u32) -> State {
        let state = self.count_bind(State::BeforeBind);
        if matches!(state, State::Over) {
            return state;
        }
        self.pump.step(Step::Resume { previd: previd.clone(), h });
        State::Resuming(previd)
    }

    /// Answers [`Step::Resume`] with success: `h` is how many of the client's stanzas we have
    /// handled. The stanzas that the client has not handled must be written next.
    pub fn resumed(&mut self, h: u32) {
        self.state = match mem::replace(&mut self.state, State::BeforeBind) {
            State::Resuming(previd) => {
                self.write_sm(&sm::Element::Resumed { previd, h });
                self.open_now()
            }
            State::Inline(inline) => self.resumed_inline(inline, h),
            state => state,
        };
    }

    /// Answers [`Step::Resume`] with an error, and with how many stanzas we had handled if we know;
    /// the client may bind.
    pub fn resume_failed(&mut self, h: Option<u32>, condition: Condition) {
        self.state = match mem::replace(&mut self.state, State::BeforeBind) {
            State::Resuming(_) => {
                self.write_sm(&failed(h, condition));
                State::BeforeBind
            }
            State::Inline(inline) => self.resume_failed_inline(inline, &failed(h, condition)),
            state => state,
        };
    }

    pub(super) fn open_now(&mut self) -> State {
        self.pump.set_limits(self.config.after_login);
        self.pump.step(Step::Open);
        State::Open
    }
}

fn failed(h: Option<u32>, condition: Condition) -> sm::Element {
    sm::Element::Failed { h, condition: Some(condition) }
}
