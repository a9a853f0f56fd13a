//! XEP-0388, 2.6.1: what a client has asked for along with its login is done once the login is proved,
//! before the client is told of either.
//!
//! A resumption comes first; if it succeeds, nothing is bound (XEP-0198, 9.2). Then comes the resource
//! (XEP-0386), then what else the driver has to say. All of it is one `<success/>`.

use super::{Machine, State, Step};
use crate::features;
use crate::sasl2::{self, Bind, Resume};
use crate::sm;
use std::mem;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{FullJid, Jid, ns};

/// A proved login whose client has not been told.
pub(super) struct Inline {
    so_far: SoFar,
    awaits: Awaits,
}

/// What the success will contain, as far as that is known.
struct SoFar {
    /// The mechanism's last message.
    proof: Option<Vec<u8>>,
    /// The children of other specifications, encoded.
    others: Vec<u8>,
    opened: Opened,
}

/// The session that the login has led to.
enum Opened {
    /// None: the client binds a resource in the way of RFC 6120.
    Nothing,
    Resumed,
    Bound(FullJid),
}

/// What the driver answers next.
enum Awaits {
    /// [`Step::Resume`]; what is to be bound if that fails.
    Resumption { previd: String, bind: Option<Bind> },
    /// [`Step::BindInline`].
    Binding,
    /// [`Step::Complete`].
    Completion,
}

impl Machine {
    /// Goes on with a login that was proved.
    pub(super) fn begin_inline(&mut self, proof: Option<Vec<u8>>) -> State {
        let so_far = SoFar { proof, others: Vec::new(), opened: Opened::Nothing };
        let request = self.authenticate.as_deref_mut();
        let (resume, bind) = request.map_or((None, None), |it| (it.resume.take(), it.bind.take()));
        match resume {
            Some(Resume { previd, h }) => {
                self.pump.step(Step::Resume { previd: previd.clone(), h });
                State::Inline(Inline { so_far, awaits: Awaits::Resumption { previd, bind } })
            }
            None => self.ask_to_bind(so_far, bind),
        }
    }

    fn ask_to_bind(&mut self, so_far: SoFar, bind: Option<Bind>) -> State {
        let Some(bind) = bind else { return self.ask_to_complete(so_far) };
        self.pump.step(Step::BindInline(bind));
        State::Inline(Inline { so_far, awaits: Awaits::Binding })
    }

    fn ask_to_complete(&mut self, so_far: SoFar) -> State {
        self.pump.step(Step::Complete);
        State::Inline(Inline { so_far, awaits: Awaits::Completion })
    }

    pub(super) fn resumed_inline(&mut self, inline: Inline, h: u32) -> State {
        match inline {
            Inline { mut so_far, awaits: Awaits::Resumption { previd, .. } } => {
                so_far.others.extend(sm::Element::Resumed { previd, h }.encode());
                so_far.opened = Opened::Resumed;
                self.ask_to_complete(so_far)
            }
            inline => State::Inline(inline),
        }
    }

    pub(super) fn resume_failed_inline(&mut self, inline: Inline, failed: &sm::Element) -> State {
        match inline {
            Inline { mut so_far, awaits: Awaits::Resumption { bind, .. } } => {
                so_far.others.extend(failed.encode());
                self.ask_to_bind(so_far, bind)
            }
            inline => State::Inline(inline),
        }
    }

    /// Answers [`Step::BindInline`] with success; `inside` is what `<bound/>` contains, encoded.
    pub fn bound_inline(&mut self, jid: &FullJid, inside: &[u8]) {
        self.state = match mem::replace(&mut self.state, State::BeforeBind) {
            State::Inline(Inline { mut so_far, awaits: Awaits::Binding }) => {
                let bound = Element::new("bound").xmlns(ns::BIND2).raw(inside);
                so_far.others.extend_from_slice(&bound.finish());
                so_far.opened = Opened::Bound(jid.clone());
                self.ask_to_complete(so_far)
            }
            state => state,
        };
    }

    /// Answers [`Step::Complete`]: tells the client that it has logged in. `others` are further
    /// children of `<success/>`, encoded.
    pub fn completed(&mut self, others: &[u8]) {
        self.state = match mem::replace(&mut self.state, State::BeforeBind) {
            State::Inline(Inline { mut so_far, awaits: Awaits::Completion }) => {
                so_far.others.extend_from_slice(others);
                self.tell_success(&so_far)
            }
            state => state,
        };
    }

    fn tell_success(&mut self, so_far: &SoFar) -> State {
        let SoFar { proof, others, opened } = so_far;
        let who: Option<&Jid> = match opened {
            Opened::Bound(jid) => Some(jid),
            Opened::Nothing | Opened::Resumed => self.address.as_deref(),
        };
        if let Some(who) = who {
            let success = sasl2::success(proof.as_deref(), who, others);
            self.pump.say(&success);
        }
        (self.authenticate, self.from) = (None, None);
        // No other features follow those that are said now, so the limits are those of the session.
        let limits = (&self.config.after_login, self.config.idle_seconds.1);
        match opened {
            Opened::Nothing => {
                self.pump.say(&features::before_bind(&self.config.offers, limits));
                State::BeforeBind
            }
            Opened::Bound(_) => {
                self.pump.say(&features::when_bound(&self.config.offers, limits));
                self.open_now()
            }
            // XEP-0198, 9.2: the stream is the one that was lost, so nothing is offered anew.
            Opened::Resumed => self.open_now(),
        }
    }
}
