//! What both ends of a stream do alike: bytes that arrived become frames, frames become steps, and
//! output waits to be written.

use crate::bodies::Bodies;
use crate::framing::{Framing, Output};
use crate::messages::Messages;
use crate::sm;
use crate::websocket::CloseCode;
use std::collections::VecDeque;
use whoelse_xmpp::{Frame, Kind, Limits, Scanner, Stanza, StreamCondition, StreamError, ns};

/// The input frames and output of one end, and the steps that its driver has not taken yet.
pub(crate) struct Pump<S> {
    scanner: Scanner,
    /// What stands between the bytes and the scanner, or the scanner and the stream. Boxed: on TCP
    /// there is nothing.
    between: Option<Box<Between>>,
    out: Output,
    steps: VecDeque<S>,
}

/// What stands between the bytes of a transport and the frames of a stream.
enum Between {
    WebSocket(Messages),
    Bosh(Bodies),
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
        let (scanner, between) = match framing {
            Framing::Stream => (Scanner::new(ns::CLIENT, limits), None),
            Framing::WebSocket => {
                (Scanner::alone(limits), Some(Between::WebSocket(Messages::default())))
            }
            Framing::Bodies => (Scanner::in_bodies(limits), Some(Between::Bosh(Bodies::default()))),
        };
        Pump {
            scanner,
            between: between.map(Box::new),
            out: Output::new(framing),
            // Seldom more than one step waits, and a step is large.
            steps: VecDeque::with_capacity(1),
        }
    }

    /// Takes bytes that arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.between.as_deref_mut() {
            None | Some(Between::Bosh(_)) => self.scanner.push(bytes),
            Some(Between::WebSocket(messages)) => messages.push(bytes),
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
        match self.between.as_deref_mut() {
            None => match self.scanner.next() {
                Ok(frame) => frame.map(Next::Frame),
                Err(error) => Some(Next::Error(error.into())),
            },
            Some(Between::WebSocket(messages)) => {
                Some(messages.next(&mut self.scanner, &mut self.out)?.into())
            }
            Some(Between::Bosh(bodies)) => Some(bodies.next(&mut self.scanner)?.into()),
        }
    }

    /// Whether the peer has ended its transport without ending the stream: nothing more comes, as
    /// after the end of a connection.
    pub(crate) fn is_cut(&self) -> bool {
        self.messages().is_some_and(Messages::is_cut)
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
        self.scanner.buffered() + self.messages().map_or(0, Messages::buffered)
    }

    /// Expects another header from the peer.
    pub(crate) fn restart(&mut self) {
        self.scanner.restart();
        match self.between.as_deref_mut() {
            None => {}
            Some(Between::WebSocket(messages)) => messages.restart(),
            Some(Between::Bosh(bodies)) => bodies.restart(),
        }
    }

    /// Throws away the bytes that have arrived and are not a frame yet.
    pub(crate) fn discard(&mut self) {
        self.scanner.discard();
        if let Some(Between::WebSocket(messages)) = self.between.as_deref_mut() {
            messages.discard();
        }
    }

    /// Changes the limits of an element.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.scanner.set_limits(limits);
    }

    /// The code with which a WebSocket below the stream is closed.
    pub(crate) fn close_code(&self) -> CloseCode {
        self.messages().map_or(CloseCode::Normal, Messages::code)
    }

    fn messages(&self) -> Option<&Messages> {
        match self.between.as_deref() {
            Some(Between::WebSocket(messages)) => Some(messages),
            Some(Between::Bosh(_)) | None => None,
        }
    }

    /// Ends the stream: writes an error, if there is one, and the end. No input is read after that,
    /// and the driver gets no step about earlier input.
    pub(crate) fn close(&mut self, error: Option<&[u8]>) {
        if let Some(error) = error {
            self.out.element(error);
        }
        self.out.end(self.close_code(), error.is_some());
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
