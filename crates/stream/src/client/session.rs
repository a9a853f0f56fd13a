//! RFC 6120, 7, and XEP-0198, the connecting end: resumes the session, or binds a new one and
//! enables stream management.

use super::{Denied, Machine, Opening, Reason, State, Step};
use crate::{sm, token};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, FullJid, Kind, Stanza, StanzaError, ns};

impl Machine {
    /// Runs after login: resumes the old session if there is one.
    pub(super) fn begin_session(&mut self) -> State {
        match self.config.resume.take() {
            Some(resume) if self.features.sm => {
                let element = sm::Element::Resume { previd: resume.previd.clone(), h: resume.h };
                self.pump.say(&element.encode());
                State::Resuming(resume.previd)
            }
            Some(_) => {
                self.pump.step(Step::NotResumed { h: None });
                self.begin_binding()
            }
            None => self.begin_binding(),
        }
    }

    fn begin_binding(&mut self) -> State {
        if !self.features.bind {
            return self.give_up(Reason::NoBinding);
        }
        let resource = self.config.resource.clone();
        self.ask_to_bind(resource.as_deref())
    }

    /// Answers [`Step::BindRefused`]: asks for another resource, or for one that the server
    /// chooses.
    pub fn bind(&mut self, resource: Option<&str>) -> Result<(), Denied> {
        if !matches!(self.state, State::Unbound) {
            return Err(Denied::NotReady);
        }
        self.state = self.ask_to_bind(resource);
        Ok(())
    }

    fn ask_to_bind(&mut self, resource: Option<&str>) -> State {
        let id = token::token();
        let mut bind = Element::new("bind").xmlns(ns::BIND);
        if let Some(resource) = resource {
            bind = bind.child(Element::new("resource").text(resource));
        }
        let request = Element::new("iq").attr("type", "set").attr("id", &id).child(bind);
        self.pump.say(&request.finish());
        State::Binding(id)
    }

    pub(super) fn during_binding(&mut self, element: Stanza, id: String) -> State {
        if element.kind() != Kind::Iq || element.id() != Some(&id) {
            return self.give_up(Reason::Unexpected);
        }
        match (element.type_(), bound_jid(&element)) {
            (Some("result"), Some(jid)) => self.enable(jid),
            (Some("error"), _) => {
                let error = StanzaError::read(&element)
                    .unwrap_or_else(|| StanzaError::new(Condition::UndefinedCondition));
                self.pump.step(Step::BindRefused(error));
                State::Unbound
            }
            _ => self.give_up(Reason::Unexpected),
        }
    }

    pub(super) fn enable(&mut self, jid: FullJid) -> State {
        if !self.config.want_sm || !self.features.sm {
            return self.opened(Opening::Bound { jid, sm: None });
        }
        self.pump.say(&sm::Element::Enable { resume: true, max: None }.encode());
        State::Enabling(jid)
    }

    /// Handles an element before the answer. A stanza that overtakes the answer is passed on, and
    /// neither side counts it.
    pub(super) fn during_enabling(&mut self, element: Stanza, jid: FullJid) -> State {
        match sm::Element::read(&element) {
            Some(Ok(sm::Element::Enabled(enabled))) => {
                self.opened(Opening::Bound { jid, sm: Some(enabled) })
            }
            Some(Ok(sm::Element::Failed { .. })) => self.opened(Opening::Bound { jid, sm: None }),
            Some(_) => self.give_up(Reason::Unexpected),
            None => self.open(element, State::Enabling(jid)),
        }
    }

    pub(super) fn during_resumption(&mut self, element: &Stanza, previd: String) -> State {
        match sm::Element::read(element) {
            Some(Ok(sm::Element::Resumed { previd: id, h })) if id == previd => {
                self.opened(Opening::Resumed { h })
            }
            Some(Ok(sm::Element::Failed { h, .. })) => {
                self.pump.step(Step::NotResumed { h });
                self.begin_binding()
            }
            _ => self.give_up(Reason::Unexpected),
        }
    }

    pub(super) fn opened(&mut self, opening: Opening) -> State {
        self.pump.step(Step::Open(opening));
        State::Open
    }
}

/// Returns the address in a result of binding.
fn bound_jid(result: &Stanza) -> Option<FullJid> {
    let bind = result.child("bind", ns::BIND)?;
    let inside = result.grandchildren(bind);
    let jid = inside.iter().find(|child| child.name() == "jid" && child.ns() == ns::BIND)?;
    FullJid::parse(&result.text_of(jid)).ok()
}
