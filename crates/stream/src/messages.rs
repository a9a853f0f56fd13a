//! RFC 7395: what comes over a WebSocket, as frames of a stream.
//!
//! `<open/>` stands for the stream's header and `<close/>` for its end; every other element comes
//! alone, too, in a text message of its own. The scanner is that of every stream: here its bytes
//! are only unwrapped, and pings are answered.

use crate::framing::Output;
use crate::websocket::{CloseCode, Found, Frames, Opcode};
use whoelse_xmpp::{
    Frame, ScanError, Scanner, Stanza, StreamCondition, StreamError, StreamHeader, ns,
};

/// The messages of one WebSocket.
#[derive(Debug)]
pub(crate) struct Messages {
    frames: Frames,
    /// Whether nothing but `<open/>` may come.
    awaits_header: bool,
    /// Whether the client has closed the WebSocket.
    is_cut: bool,
    /// The code with which we close.
    code: CloseCode,
}

impl Default for Messages {
    fn default() -> Messages {
        let frames = Frames::default();
        Messages { frames, awaits_header: true, is_cut: false, code: CloseCode::Normal }
    }
}

impl Messages {
    /// Takes bytes that arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    /// How many bytes are held that are not unwrapped yet.
    pub(crate) fn buffered(&self) -> usize {
        self.frames.buffered()
    }

    /// Whether the client has closed the WebSocket, and perhaps not its stream.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The code with which to close the WebSocket.
    pub(crate) fn code(&self) -> CloseCode {
        self.code
    }

    /// Expects another header.
    pub(crate) fn restart(&mut self) {
        self.awaits_header = true;
    }

    /// Reads nothing more.
    pub(crate) fn discard(&mut self) {
        self.frames.discard();
    }

    /// Returns the next frame of the stream, or why it must end; `None` until more bytes have
    /// arrived.
    pub(crate) fn next(
        &mut self,
        scanner: &mut Scanner,
        out: &mut Output,
    ) -> Option<Result<Frame, StreamError>> {
        loop {
            match scanner.next() {
                Ok(Some(Frame::Element(element))) => return Some(self.meant(element)),
                // There are none in a scanner for elements that come alone.
                Ok(Some(Frame::Open(_) | Frame::Body(_) | Frame::Close)) | Ok(None) => {}
                Err(error) => return Some(Err(self.refused(error))),
            }
            match self.frames.next() {
                Ok(None) => return None,
                Ok(Some(Found::Piece(piece))) => scanner.push_owned(piece),
                Ok(Some(Found::End)) => {
                    if let Err(error) = scanner.end_frame() {
                        return Some(Err(error.into()));
                    }
                }
                Ok(Some(Found::Ping(payload))) => out.control(Opcode::Pong, &payload),
                Ok(Some(Found::Close(code))) => {
                    // RFC 7395, 3.6: without <close/> before it, the client is lost, not gone.
                    out.close_frame(code);
                    self.is_cut = true;
                    return None;
                }
                Err(code) => {
                    self.code = code;
                    return Some(Err(StreamError::new(StreamCondition::BadFormat)));
                }
            }
        }
    }

    /// Returns the error of the stream; notes that of the WebSocket.
    fn refused(&mut self, error: ScanError) -> StreamError {
        if error == ScanError::Encoding {
            self.code = CloseCode::Invalid;
        }
        error.into()
    }

    /// Returns what an element means to the stream.
    fn meant(&mut self, element: Stanza) -> Result<Frame, StreamError> {
        match (element.name(), element.ns()) {
            ("open", ns::FRAMING) => {
                self.awaits_header = false;
                Ok(Frame::Open(header(&element)))
            }
            ("close", ns::FRAMING) => Ok(Frame::Close),
            // RFC 7395, 3.4. A stream's own header is none here: it would never end.
            _ if self.awaits_header => Err(ScanError::InvalidNamespace.into()),
            _ => Ok(Frame::Element(element)),
        }
    }
}

fn header(open: &Stanza) -> StreamHeader {
    StreamHeader {
        to: open.to().map(Into::into),
        from: open.from().map(Into::into),
        id: open.id().map(Into::into),
        version: open.attr("version"),
        lang: open.lang().map(Into::into),
    }
}
