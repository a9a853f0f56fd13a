//! RFC 6455: the frames of a WebSocket, as the server reads and writes them, and its opening.
//!
//! [`Frames`] takes bytes and returns pieces of messages, unmasked, as they come. It never waits
//! for a message or for a data frame to be complete: who reads the pieces has the limits. It owns
//! no memory between frames.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes, BytesMut};

/// RFC 6455, 1.3: what a server adds to a client's key.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// RFC 6455, 5.5: the most bytes that a control frame carries.
const CONTROL: u64 = 125;

/// RFC 6455, 4.2.2: returns what proves to a client with this `Sec-WebSocket-Key` that its request
/// was understood; `None` if it is no key.
pub fn accept(key: &str) -> Option<String> {
    let bytes = STANDARD.decode(key).ok()?;
    if bytes.len() != 16 {
        return None;
    }
    let proof = format!("{key}{KEY_SUFFIX}");
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, proof.as_bytes());
    Some(STANDARD.encode(digest))
}

/// The kinds of frames (RFC 6455, 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// The next frame of a message.
    Continuation,
    /// The first frame of a text.
    Text,
    /// The first frame of other data.
    Binary,
    /// The end.
    Close,
    /// A question whether the other end is there.
    Ping,
    /// Its answer.
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// Why a WebSocket ends (RFC 6455, 7.4.1), as far as we say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CloseCode {
    /// Both have said all.
    #[default]
    Normal = 1000,
    /// What came is no frame, or not one that may come now.
    ProtocolError = 1002,
    /// A message that is not text.
    Unsupported = 1003,
    /// A text that is not UTF-8.
    Invalid = 1007,
}

/// Writes the head of a whole frame: the server's are not masked, and no message is in several.
pub(crate) fn head(out: &mut Vec<u8>, opcode: Opcode, length: usize) {
    out.push(0x80 | opcode.bits());
    match length {
        0..=125 => out.push(length as u8),
        126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// What frames bring.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A piece of a message, unmasked.
    Piece(BytesMut),
    /// The message is complete.
    End,
    /// A ping, to be answered with the same content.
    Ping(Bytes),
    /// The client closes; with its code, if it has given one. Nothing comes after it.
    Close(Option<u16>),
}

/// The reader of a client's frames.
#[derive(Debug, Default)]
pub struct Frames {
    /// What has arrived and is not read yet.
    unread: BytesMut,
    state: State,
    /// Whether frames of a message have come and its last one has not.
    in_message: bool,
}

#[derive(Debug, Default)]
enum State {
    /// Before the head of a frame.
    #[default]
    Head,
    /// In the payload of a data frame.
    Payload { left: u64, mask: [u8; 4], is_last: bool },
    /// After a close frame or an error.
    Over,
}

/// The head of a frame.
struct Head {
    is_last: bool,
    opcode: Opcode,
    length: u64,
    mask: [u8; 4],
    /// Its own length.
    bytes: usize,
}

impl Frames {
    /// Takes bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Over) {
            self.unread.extend_from_slice(bytes);
        }
    }

    /// How many bytes are held.
    pub fn buffered(&self) -> usize {
        self.unread.len()
    }

    /// Throws away what has arrived; nothing more is read.
    pub fn discard(&mut self) {
        self.state = State::Over;
        self.unread = BytesMut::new();
    }

    /// Returns what comes next; `None` until more bytes have arrived. After an error or a close
    /// frame nothing comes.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end, this one waits")]
    pub fn next(&mut self) -> Result<Option<Found>, CloseCode> {
        let found = self.find();
        if matches!(found, Err(_) | Ok(Some(Found::Close(_)))) {
            self.discard();
        }
        if self.unread.is_empty() {
            // This frees the memory: an idle connection owns no buffer.
            self.unread = BytesMut::new();
        }
        found
    }

    fn find(&mut self) -> Result<Option<Found>, CloseCode> {
        loop {
            match &mut self.state {
                State::Over => return Ok(None),
                State::Payload { left: 0, is_last, .. } => {
                    let ended = *is_last;
                    self.state = State::Head;
                    if ended {
                        self.in_message = false;
                        return Ok(Some(Found::End));
                    }
                }
                State::Payload { left, mask, .. } => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    let length = self.unread.len().min(most);
                    if length == 0 {
                        return Ok(None);
                    }
                    let mut piece = self.unread.split_to(length);
                    unmask(&mut piece, mask);
                    *left -= length as u64;
                    return Ok(Some(Found::Piece(piece)));
                }
                State::Head => {
                    let Some(head) = self.head()? else { return Ok(None) };
                    if !head.opcode.is_control() {
                        self.unread.advance(head.bytes);
                        self.in_message = true;
                        let Head { length: left, mask, is_last, .. } = head;
                        self.state = State::Payload { left, mask, is_last };
                        continue;
                    }
                    // `head` has checked that it is short.
                    let whole = head.bytes + head.length as usize;
                    if self.unread.len() < whole {
                        return Ok(None);
                    }
                    let mut payload = self.unread.split_to(whole);
                    payload.advance(head.bytes);
                    let mut mask = head.mask;
                    unmask(&mut payload, &mut mask);
                    match head.opcode {
                        Opcode::Ping => return Ok(Some(Found::Ping(payload.freeze()))),
                        Opcode::Close => return close(&payload).map(Some),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Reads the head of a frame, and checks that the frame may come now; `None` if it is not
    /// complete. What is wrong is found by the first byte that is wrong.
    fn head(&self) -> Result<Option<Head>, CloseCode> {
        let bytes = &self.unread[..];
        let Some(first) = bytes.first() else { return Ok(None) };
        let is_last = first & 0x80 != 0;
        let opcode = Opcode::of(first & 0x0F).filter(|_| first & 0x70 == 0);
        let opcode = opcode.ok_or(CloseCode::ProtocolError)?;
        match opcode {
            Opcode::Binary => return Err(CloseCode::Unsupported),
            Opcode::Continuation if !self.in_message => return Err(CloseCode::ProtocolError),
            Opcode::Text if self.in_message => return Err(CloseCode::ProtocolError),
            _ if opcode.is_control() && !is_last => return Err(CloseCode::ProtocolError),
            _ => {}
        }
        let Some(second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            // RFC 6455, 5.1: what a client sends is masked.
            return Err(CloseCode::ProtocolError);
        }
        let (length, bytes_of_length) = match second & 0x7F {
            126 => (bytes.get(2..4).map(number), 2),
            127 => (bytes.get(2..10).map(number), 8),
            short => (Some(u64::from(short)), 0),
        };
        if opcode.is_control() && bytes_of_length > 0 {
            return Err(CloseCode::ProtocolError);
        }
        let Some(length) = length else { return Ok(None) };
        // RFC 6455, 5.2: in as few bytes as possible, and below 2^63.
        let least = match bytes_of_length {
            2 => CONTROL + 1,
            8 => 1 << 16,
            _ => 0,
        };
        if length < least || length >> 63 != 0 {
            return Err(CloseCode::ProtocolError);
        }
        let at = 2 + bytes_of_length;
        let mask = bytes.get(at..at + 4).and_then(|mask| mask.try_into().ok());
        Ok(mask.map(|mask| Head { is_last, opcode, length, mask, bytes: at + 4 }))
    }
}

/// Returns a number in network byte order.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// RFC 6455, 5.3: removes the mask, and turns it to where the next piece begins.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*word) {
            word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
        }
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(bytes.len() % 4);
}

/// RFC 6455, 5.5.1 and 7.4: reads the content of a close frame.
fn close(payload: &[u8]) -> Result<Found, CloseCode> {
    if payload.is_empty() {
        return Ok(Found::Close(None));
    }
    let code = payload.get(..2).map(|code| number(code) as u16);
    let reason = payload.get(2..).unwrap_or_default();
    match code {
        Some(code @ (1000..=1003 | 1007..=1014 | 3000..=4999))
            if std::str::from_utf8(reason).is_ok() =>
        {
            Ok(Found::Close(Some(code)))
        }
        _ => Err(CloseCode::ProtocolError),
    }
}

#[cfg(test)]
pub(crate) mod tests;
