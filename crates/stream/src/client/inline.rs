//! XEP-0388, 2.6.1, the connecting end: what a client asks for along with its login, and what has become
//! of it. The outcome is the same as that of the steps of RFC 6120, one after the other.

use super::{Machine, Opening, Reason, Stage, State, Step};
use crate::fast::Fast;
use crate::features::Features;
use crate::sasl::Mechanism;
use crate::sasl2::{Authenticate, Bind, Inline, Resume, Success, parts};
use crate::sm;
use whoelse_xmpp::{FullJid, Stanza, ns};

/// A session that was bound along with a login. The features of its stream come next.
pub(super) struct Bound {
    jid: FullJid,
    counting: Counting,
}

/// What has become of stream management.
enum Counting {
    /// It was asked for while binding, and granted or not.
    Settled(Option<sm::Enabled>),
    /// It was not asked for yet.
    Open,
}

impl Machine {
    /// Begins a login by SASL2, with everything that is wanted along with it.
    pub(super) fn authenticate(&mut self, mechanism: Mechanism, data: &[u8], fast: Option<Fast>) {
        let request = Authenticate {
            mechanism: mechanism.name().to_owned(),
            initial_response: Some(data.to_vec()),
            user_agent: self.config.sasl2.as_ref().map(|sasl2| sasl2.user_agent.clone()),
            resume: self.resume_inline(),
            bind: self.bind_inline(),
            others: self.about_tokens(fast),
        };
        self.pump.say(&request.encode());
    }

    fn resume_inline(&self) -> Option<Resume> {
        let resume = self.config.resume.as_ref().filter(|_| self.wants_session)?;
        self.offered_inline().filter(|inline| inline.resume)?;
        Some(Resume { previd: resume.previd.clone(), h: resume.h })
    }

    fn bind_inline(&self) -> Option<Bind> {
        let sasl2 = self.config.sasl2.as_ref().filter(|_| self.wants_session)?;
        let mut bind = sasl2.bind.clone()?;
        if self.config.resume.is_some() && self.resume_inline().is_none() {
            // It is resumed after the login: a new session would take its place.
            return None;
        }
        let offered = self.offered_to_bind()?;
        if !bind.features.iter().all(|feature| is_among(offered, feature.ns())) {
            return None;
        }
        if self.counts_inline() {
            let enable = sm::Element::Enable { resume: true, max: None };
            bind.features.extend(Stanza::parse(enable.encode()));
        }
        Some(bind)
    }

    /// Whether stream management is wanted, and can be asked for while binding.
    fn counts_inline(&self) -> bool {
        self.config.want_sm && is_among(self.offered_to_bind().unwrap_or_default(), ns::SM)
    }

    /// Returns the features that can be enabled while binding, if that can be asked for.
    fn offered_to_bind(&self) -> Option<&[String]> {
        self.offered_inline()?.bind.as_deref()
    }

    /// Returns what can be asked for along with a login by SASL2, if that is spoken.
    pub(super) fn offered_inline(&self) -> Option<&Inline> {
        let offered = self.features.sasl2.as_ref().filter(|_| self.speaks_sasl2())?;
        Some(&offered.inline)
    }

    /// Goes on after a proved success, with what it says about the wishes of the login.
    pub(super) fn succeeded_inline(&mut self, success: Success) -> State {
        if !self.wants_session {
            self.pump.step(Step::Proved);
            return State::Proved;
        }
        if let Some(resume) = self.resume_inline() {
            let answer = success.others.iter().find_map(sm::Element::read);
            match answer {
                Some(Ok(sm::Element::Resumed { previd, h })) if previd == resume.previd => {
                    // XEP-0198, 9.2: no features follow.
                    return self.opened(Opening::Resumed { h });
                }
                Some(Ok(sm::Element::Failed { h, .. })) => self.not_resumed(h),
                None => self.not_resumed(None),
                Some(_) => return self.give_up(Reason::Unexpected),
            }
        }
        let Some(bound) = success.other("bound", ns::BIND2) else {
            return State::Features(Stage::Bind);
        };
        let Ok(jid) = FullJid::parse(success.authorization_identifier.as_str()) else {
            return self.give_up(Reason::Unexpected);
        };
        let counting = match self.counts_inline() {
            true => Counting::Settled(parts(bound).find_map(|part| enabled(&part))),
            false => Counting::Open,
        };
        State::Bound(Bound { jid, counting })
    }

    /// Reads the features after a success that has bound a session.
    pub(super) fn bound_features(&mut self, element: &Stanza, bound: Bound) -> State {
        if (element.name(), element.ns()) != ("features", ns::STREAM) {
            return self.give_up(Reason::Unexpected);
        }
        self.features = Features::read(element);
        match bound.counting {
            Counting::Settled(sm) => self.opened(Opening::Bound { jid: bound.jid, sm }),
            Counting::Open => self.enable(bound.jid),
        }
    }

    fn not_resumed(&mut self, h: Option<u32>) {
        self.config.resume = None;
        self.pump.step(Step::NotResumed { h });
    }
}

fn is_among(offered: &[String], namespace: &str) -> bool {
    offered.iter().any(|it| it == namespace)
}

fn enabled(answer: &Stanza) -> Option<sm::Enabled> {
    match sm::Element::read(answer) {
        Some(Ok(sm::Element::Enabled(enabled))) => Some(enabled),
        _ => None,
    }
}
