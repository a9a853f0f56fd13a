//! Somebody in a scene: a connection, what was heard on it, and a login under way.

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
    /// Drives a login; gone once the session is open.
    pub machine: Option<Machine>,
    /// What the machine has reached since it was last asked.
    pub reached: VecDeque<Reached>,
    /// Whether the login is to stop when it would bind.
    pub stops_before_bind: bool,
    /// What was in the inbox when the connection was made.
    before: usize,
    /// What was heard and not yet looked at.
    pub inbox: VecDeque<Heard>,
    /// Whether a session is bound and its stream not closed.
    pub open: bool,
    /// The bound address.
    pub jid: Option<String>,
    /// The other end has closed the connection.
    pub ended: bool,
    /// Stream management, once it is on.
    pub managed: Option<Managed>,
    /// Whether requests for acknowledgement are answered.
    pub acknowledging: bool,
    /// A request was heard since this was last looked at.
    pub asked: bool,
    /// Whether the end of the stream was sent from here.
    closing: bool,
}

/// The client's side of XEP-0198.
#[derive(Debug, Clone, Default)]
pub(crate) struct Managed {
    /// By which the session can be resumed.
    pub id: Option<String>,
    /// Stanzas heard.
    pub received: u32,
}

/// How far a login has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Name and password can be given.
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

    /// Takes a fresh connection; what was heard before stays to be looked at.
    pub fn take_line(&mut self, line: Line) {
        self.line = Some(line);
        self.ear = Ear::default();
        self.machine = None;
        self.reached.clear();
        self.before = self.inbox.len();
        (self.open, self.ended, self.closing) = (false, false, false);
    }

    /// The connection is gone, by our doing.
    pub fn drop_line(&mut self) {
        self.line = None;
        self.machine = None;
        (self.open, self.ended) = (false, true);
    }

    /// Sends bytes, and breaks the connection after them.
    pub fn send_and_break(&mut self, bytes: &[u8]) {
        if let Some(line) = self.line.take() {
            line.break_behind(bytes);
        }
        self.drop_line();
    }

    /// Whether the server can be asked for a sign that it has come so far.
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

    /// Sends what the machine has to say. Returns whether there was anything.
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

    /// What was heard on the way there is forgotten.
    fn reach(&mut self, reached: Reached) {
        self.inbox.truncate(self.before);
        self.reached.push_back(reached);
    }

    /// Takes what has come in, and answers what is answered by itself. Returns whether it did.
    pub fn listen(&mut self) -> bool {
        let Some(line) = &self.line else { return false };
        let (bytes, ended) = line.take();
        let mut answered = false;
        // One byte at a time: where a login ends, listening begins.
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

    /// Says how many stanzas were heard.
    pub fn acknowledge(&mut self) {
        if let Some(managed) = &self.managed {
            let ack = sm::Element::Ack { h: managed.received }.encode();
            self.send(&ack);
        }
    }

    /// What an element changes for the session.
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
            Step::StartTls
            | Step::Probed(_)
            | Step::Registered(_)
            | Step::Stanza(_)
            | Step::Sm(_)
            | Step::Element(_) => return,
        };
        match &reached {
            Reached::Over(_) => {
                // What ended a login stays to be heard.
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
