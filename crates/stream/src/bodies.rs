//! XEP-0206: what comes in bodies of BOSH, as frames of a stream.
//!
//! The first body, and one with `xmpp:restart`, stand for the stream's header; one of the type
//! `terminate` for its end, after what is in it. Which body comes when is `crate::bosh`'s.

use whoelse_xmpp::{Body, Frame, ScanError, Scanner, StreamError, StreamHeader};

/// The bodies of one session.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// Whether nothing may come before a header.
    awaits_header: bool,
    /// Whether this body is the last.
    is_last: bool,
    /// Whether the stream has to be closed next.
    closes: bool,
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies { awaits_header: true, is_last: false, closes: false }
    }
}

impl Bodies {
    /// Expects another header.
    pub(crate) fn restart(&mut self) {
        self.awaits_header = true;
    }

    /// Returns the next frame of the stream, or why it must end; `None` until more bytes have
    /// arrived.
    pub(crate) fn next(&mut self, scanner: &mut Scanner) -> Option<Result<Frame, StreamError>> {
        loop {
            if std::mem::take(&mut self.closes) {
                return Some(Ok(Frame::Close));
            }
            match scanner.next() {
                Ok(None) => return None,
                Ok(Some(Frame::Body(body))) => {
                    self.is_last = body.type_.as_deref() == Some("terminate");
                    self.closes = self.is_last && body.is_empty;
                    if body.sid.is_none() || body.restart {
                        self.awaits_header = false;
                        return Some(Ok(Frame::Open(header(*body))));
                    }
                }
                Ok(Some(Frame::Close)) => self.closes = self.is_last,
                Ok(Some(Frame::Element(_))) if self.awaits_header => {
                    return Some(Err(ScanError::BadFormat.into()));
                }
                Ok(Some(frame)) => return Some(Ok(frame)),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// Returns what a body says of its stream. Where it does not say a version, there was one version
/// when clients began to leave it out.
fn header(body: Body) -> StreamHeader {
    StreamHeader {
        to: body.to,
        from: body.from,
        id: None,
        version: Some(body.version.unwrap_or_else(|| "1.0".into())),
        lang: body.lang,
    }
}
