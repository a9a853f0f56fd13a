//! What both ends of a stream do alike: bytes that arrived become frames, frames become steps, and
//! output waits to be written.

use crate::framing::{Framing, Output};
use crate::messages::Messages;
use crate::sm;
use crate::websocket::CloseCode;
use std::collections::VecDeque;
use whoelse_xmpp::{Frame, Kind, Limits, Scanner, Stanza, StreamCondition, StreamError, ns};

/// The input frames and output of one end, and the steps that its driver has not taken yet.
pub(crate) struct Pump<S> {
    scanner: Scanner,
    /// What unwraps the bytes for the scanner, over a WebSocket. Boxed: most have none.
    messages: Option<Box<Messages>>,
    out: Output,
    steps: VecDeque<S>,
}

/// What comes next.
pub(crate) enum Next<S> {
    /// A step for the driver.
    Step(S),
    /// A frame for the machine.
    Frame(Frame),
    /// An error: what arrived is no frame, and the stream must end.
    Error(StreamError),
}

impl<S> From<Result<Frame, StreamError>> for Next<S> {
    fn from(came: Result<Frame, StreamError>) -> Next<S> {
        came.map_or_else(Next::Error, Next::Frame)
    }
}

impl<S> Pump<S> {
    pub(crate) fn new(limits: Limits, framing: Framing) -> Pump<S> {
        let (scanner, messages) = match framing {
            Framing::Stream => (Scanner::new(ns::CLIENT, limits), None),
            Framing::WebSocket => (Scanner::alone(limits), Some(Box::default())),
        };
        Pump {
            scanner,
            messages,
            out: Output::new(framing),
            // Seldom more than one step waits, and a step is large.
            steps: VecDeque::with_capacity(1),
        }
    }

    /// Takes bytes that arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match &mut self.messages {
            None => self.scanner.push(bytes),
            Some(messages) => messages.push(bytes),
        }
    }

    /// Returns the next step; or the next frame if no step waits and the machine wants one.
    pub(crate) fn next(&mut self, wants_frame: bool) -> Option<Next<S>> {
        if let Some(step) = self.steps.pop_front() {
            return Some(Next::Step(step));
        }
        if !wants_frame {
            return None;
        }
        match &mut self.messages {
            None => match self.scanner.next() {
                Ok(frame) => frame.map(Next::Frame),
                Err(error) => Some(Next::Error(error.into())),
            },
            Some(messages) => Some(messages.next(&mut self.scanner, &mut self.out)?.into()),
        }
    }

    /// Whether the peer has ended its transport without ending the stream: nothing more comes, as
    /// after the end of a connection.
    pub(crate) fn is_cut(&self) -> bool {
        self.messages.as_ref().is_some_and(|messages| messages.is_cut())
    }

    /// Queues a step for the driver.
    pub(crate) fn step(&mut self, step: S) {
        self.steps.push_back(step);
    }

    /// Returns the output.
    pub(crate) fn output(&mut self) -> &mut Output {
        &mut self.out
    }

    /// Writes one element.
    pub(crate) fn say(&mut self, element: &[u8]) {
        self.out.element(element);
    }

    /// How many bytes are held that are not a frame yet.
    pub(crate) fn buffered(&self) -> usize {
        self.scanner.buffered() + self.messages.as_ref().map_or(0, |messages| messages.buffered())
    }

    /// Expects another header from the peer.
    pub(crate) fn restart(&mut self) {
        self.scanner.restart();
        if let Some(messages) = &mut self.messages {
            messages.restart();
        }
    }

    /// Throws away the bytes that have arrived and are not a frame yet.
    pub(crate) fn discard(&mut self) {
        self.scanner.discard();
        if let Some(messages) = &mut self.messages {
            messages.discard();
        }
    }

    /// Changes the limits of an element.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.scanner.set_limits(limits);
    }

    /// The code with which a WebSocket below the stream is closed.
    pub(crate) fn close_code(&self) -> CloseCode {
        self.messages.as_ref().map_or(CloseCode::Normal, |messages| messages.code())
    }

    /// Ends the stream: writes an error, if there is one, and the end. No input is read after that,
    /// and the driver gets no step about earlier input.
    pub(crate) fn close(&mut self, error: Option<&[u8]>) {
        if let Some(error) = error {
            self.out.element(error);
        }
        self.out.end(self.close_code());
        self.steps.clear();
        self.discard();
    }
}

/// The kinds of elements of an open stream.
pub(crate) enum Opened {
    /// A stanza, which counts for stream management.
    Stanza(Stanza),
    /// An element of stream management.
    Sm(sm::Element),
    /// Another element.
    Element(Stanza),
}

impl Opened {
    /// Sorts an element. Fails if it belongs to stream management and is malformed.
    pub(crate) fn of(element: Stanza) -> Result<Opened, StreamError> {
        match (element.kind(), sm::Element::read(&element)) {
            (Kind::Message | Kind::Presence | Kind::Iq, _) => Ok(Opened::Stanza(element)),
            (Kind::Other, None) => Ok(Opened::Element(element)),
            (Kind::Other, Some(Ok(element))) => Ok(Opened::Sm(element)),
            (Kind::Other, Some(Err(sm::element::Malformed))) => {
                Err(StreamError::new(StreamCondition::BadFormat))
            }
        }
    }
}
