//! An actor of a scene: a connection, what it has received, and a running login.

use std::collections::VecDeque;

use crate::line::Line;
use crate::tree::{Ear, Heard, Tree};
use whoelse_stream::client::{Machine, Opening, Step};
use whoelse_stream::sm;
use whoelse_xmpp::{StreamError, ns};

/// An actor, whether connected or not.
pub(crate) struct Actor {
    /// The connection.
    pub line: Option<Line>,
    ear: Ear,
    /// Drives a login; `None` once the session is open.
    pub machine: Option<Machine>,
    /// Stages that the machine has reached since the last check.
    pub reached: VecDeque<Reached>,
    /// Whether the login must stop before binding.
    pub stops_before_bind: bool,
    /// What was in the inbox when the connection was made.
    before: usize,
    /// Received elements that the scene has not checked yet.
    pub inbox: VecDeque<Heard>,
    /// Whether a session is bound and its stream not closed.
    pub open: bool,
    /// The bound address.
    pub jid: Option<String>,
    /// Whether the other end has closed the connection.
    pub ended: bool,
    /// Stream management, once it is on.
    pub managed: Option<Managed>,
    /// Whether `<r/>` is answered.
    pub acknowledging: bool,
    /// Whether an `<r/>` has arrived since the last check.
    pub asked: bool,
    /// Whether this end has closed the stream.
    closing: bool,
}

/// The client's side of XEP-0198.
#[derive(Debug, Clone, Default)]
pub(crate) struct Managed {
    /// The id to resume the session with.
    pub id: Option<String>,
    /// Stanzas received.
    pub received: u32,
}

/// A stage of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The server is ready for a name and a password.
    Ready,
    /// The password was right.
    Authenticated,
    /// The session is open.
    Open(Opening),
    /// The session to resume is gone; a new one is being bound.
    NotResumed,
    /// Refused: the condition and the text.
    Refused(String, Option<String>),
    /// The stream is over.
    Over(String),
}

impl Actor {
    pub fn new() -> Actor {
        Actor {
            line: None,
            ear: Ear::default(),
            machine: None,
            reached: VecDeque::new(),
            stops_before_bind: false,
            before: 0,
            inbox: VecDeque::new(),
            open: false,
            jid: None,
            ended: false,
            managed: None,
            acknowledging: true,
            asked: false,
            closing: false,
        }
    }

    /// Takes a new connection; what was received before stays in the inbox.
    pub fn take_line(&mut self, line: Line) {
        self.line = Some(line);
        self.ear = Ear::default();
        self.machine = None;
        self.reached.clear();
        self.before = self.inbox.len();
        (self.open, self.ended, self.closing) = (false, false, false);
    }

    /// Takes note that we have broken the connection.
    pub fn drop_line(&mut self) {
        self.line = None;
        self.machine = None;
        (self.open, self.ended) = (false, true);
    }

    /// Sends bytes, and then breaks the connection.
    pub fn send_and_break(&mut self, bytes: &[u8]) {
        if let Some(line) = self.line.take() {
            line.break_behind(bytes);
        }
        self.drop_line();
    }

    /// Returns whether the server can be asked for a sign of progress.
    pub fn can_ask(&self) -> bool {
        let reads = self.line.as_ref().is_some_and(Line::is_reading);
        self.open && reads && !self.ended && !self.closing
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        if contains(bytes, b"<stream:stream") {
            self.ear.restart();
        }
        self.closing |= contains(bytes, b"</stream:stream>");
        if let Some(line) = &self.line {
            line.write(bytes);
        }
    }

    /// Sends the machine's output. Returns whether there was any.
    pub fn send_machine(&mut self) -> bool {
        let Some(machine) = &mut self.machine else { return false };
        let out = machine.take_output();
        if self.stops_before_bind && contains(&out, b"<bind ") {
            self.machine = None;
            self.reach(Reached::Authenticated);
            return false;
        }
        self.send(&out);
        !out.is_empty()
    }

    /// Takes note of a stage; discards what was received on the way.
    fn reach(&mut self, reached: Reached) {
        self.inbox.truncate(self.before);
        self.reached.push_back(reached);
    }

    /// Takes what has arrived, and sends automatic answers. Returns whether anything arrived.
    pub fn listen(&mut self) -> bool {
        let Some(line) = &self.line else { return false };
        let (bytes, ended) = line.take();
        let mut answered = false;
        // One byte at a time, since elements after the login go to the inbox.
        for byte in bytes {
            for heard in self.ear.hear(&[byte]) {
                answered |= self.hear(heard);
            }
            if let Some(machine) = &mut self.machine {
                machine.push(&[byte]);
                while let Some(step) = self.machine.as_mut().and_then(Machine::poll) {
                    self.step(&step);
                }
                answered |= self.send_machine();
            }
        }
        if ended && !self.ended {
            self.ended = true;
            self.open = false;
            if self.machine.take().is_some() {
                self.reached.push_back(Reached::Over("the connection ended".to_owned()));
            }
        }
        answered
    }

    fn hear(&mut self, heard: Heard) -> bool {
        match &heard {
            Heard::Element(tree) if tree.is("r", ns::SM) => {
                self.asked = true;
                if self.acknowledging {
                    self.acknowledge();
                }
                return self.acknowledging;
            }
            Heard::Element(tree) => self.note(tree),
            Heard::Close => self.open = false,
            Heard::Header(_) | Heard::Broken(_) => {}
        }
        self.inbox.push_back(heard);
        false
    }

    /// Sends the number of received stanzas.
    pub fn acknowledge(&mut self) {
        if let Some(managed) = &self.managed {
            let ack = sm::Element::Ack { h: managed.received }.encode();
            self.send(&ack);
        }
    }

    /// Updates the session by an element.
    fn note(&mut self, tree: &Tree) {
        let counted =
            tree.ns == ns::CLIENT && matches!(tree.name.as_str(), "message" | "presence" | "iq");
        if let Some(managed) = self.managed.as_mut().filter(|_| counted && self.open) {
            managed.received = managed.received.wrapping_add(1);
        }
        if tree.is("enabled", ns::SM) {
            let id = tree.attribute("id").map(str::to_owned);
            self.managed = Some(Managed { id, received: 0 });
        }
        if tree.is("resumed", ns::SM) {
            self.open = true;
        }
        if tree.is("success", ns::SASL2) {
            self.note_success(tree);
        }
        let bound = tree.children().find(|child| child.is("bind", ns::BIND));
        if let Some(jid) = bound.and_then(|bind| bind.children().find(|c| c.name == "jid"))
            && tree.attribute("type") == Some("result")
        {
            self.jid = Some(jid.text());
            self.open = true;
            self.managed = None;
        }
        if tree.is("error", ns::STREAM) {
            self.open = false;
        }
    }

    /// Updates the session by the end of a login that says what became of its wishes (XEP-0388).
    fn note_success(&mut self, success: &Tree) {
        let named = |tree: &Tree, name| tree.children().find(|child| child.name == name).cloned();
        if let Some(bound) = named(success, "bound") {
            self.jid = named(success, "authorization-identifier").map(|jid| jid.text());
            self.open = true;
            self.managed = named(&bound, "enabled").map(|enabled| Managed {
                id: enabled.attribute("id").map(str::to_owned),
                received: 0,
            });
        }
        self.open |= success.children().any(|child| child.is("resumed", ns::SM));
    }

    fn step(&mut self, step: &Step) {
        let reached = match step {
            Step::Ready(_) => Reached::Ready,
            Step::AuthFailed(refusal) => {
                Reached::Refused(refusal.condition.name().to_owned(), refusal.text.clone())
            }
            Step::BindRefused(error) => {
                Reached::Refused(error.condition.name().to_owned(), error.text.clone())
            }
            Step::NotResumed { .. } => Reached::NotResumed,
            Step::Open(opening) => Reached::Open(opening.clone()),
            Step::Closed => Reached::Over("the server closed the stream".to_owned()),
            Step::Error(StreamError { condition, text, .. }) => {
                Reached::Over(format!("{} {}", condition.name(), text.as_deref().unwrap_or("")))
            }
            Step::GaveUp(reason) => Reached::Over(reason.to_string()),
            // No actor takes a token back by its machine.
            Step::StartTls
            | Step::Proved
            | Step::Probed(_)
            | Step::Registered(_)
            | Step::Stanza(_)
            | Step::Sm(_)
            | Step::Element(_) => return,
        };
        match &reached {
            Reached::Over(_) => {
                // The element that ended a login stays in the inbox.
                self.machine = None;
                self.reached.push_back(reached);
                return;
            }
            Reached::Open(_) => self.machine = None,
            _ => {}
        }
        self.reach(reached);
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
