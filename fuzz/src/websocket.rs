//! RFC 6455: what our server's half takes for frames, tungstenite takes for the same messages; and
//! what it refuses, tungstenite refuses too, but for what XMPP has no use for.

use std::io::{self, Read, Write};

use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};
use whoelse_stream::websocket::{CloseCode, Found, Frames};

use crate::choices::Choices;

/// What came, in order.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Text(Vec<u8>),
    Ping(Vec<u8>),
    Close,
}

/// How reading ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// More bytes were awaited, or the peer had closed.
    Open,
    Refused,
    /// Refused, since XMPP has no use for it.
    NotWanted,
    /// A text that is not UTF-8: who reads it, here the scanner, refuses it by the first byte of a
    /// piece that is wrong.
    NotUtf8,
}

/// Frames, whole or cut off, as a client might send them, or any bytes.
pub fn frames(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (bytes, is_whole) = client(&mut choices);
    let (ours, end) = our_reading(&bytes, &mut choices);
    let (theirs, their_end) = their_reading(&bytes);
    assert!(theirs.starts_with(&ours), "{ours:?} {theirs:?} of {bytes:x?}");
    match end {
        End::Open => assert!(theirs.len() == ours.len(), "{theirs:?} of {bytes:x?}"),
        // Ours refuses by the first byte that is wrong, theirs by the whole frame.
        End::Refused if is_whole => {
            let closed = theirs.get(ours.len()..) == Some(&[Came::Close]);
            assert!(closed || their_end == End::Refused, "{theirs:?} of {bytes:x?}");
        }
        _ => {}
    }
}

/// What a client sends, and whether it is whole frames.
fn client(choices: &mut Choices<'_>) -> (Vec<u8>, bool) {
    let (mut bytes, mut is_whole) = (Vec::new(), true);
    while !choices.is_empty() && bytes.len() < 4096 {
        if choices.once_in(40) {
            is_whole = false;
            let rest = choices.rest();
            bytes.extend_from_slice(&rest[..choices.below(12).min(rest.len())]);
            continue;
        }
        let opcode = choices.pick(&[0_u8, 0, 0, 1, 1, 1, 1, 2, 8, 9, 9, 10, 3, 11]);
        let fin = if choices.once_in(3) { 0 } else { 0x80 };
        let reserved = if choices.once_in(60) { choices.pick(&[0x40, 0x20, 0x10]) } else { 0 };
        let length = choices.pick(&[0, 1, 2, 3, 8, 17, 125, 126, 127, 300]);
        let text = choices.pick(&["<presence/>", "\u{3}\u{7f}", "<é>", "hi"]);
        let payload: Vec<u8> = match opcode {
            8 => choices
                .pick(&[&b""[..], b"\x03\xE8", b"\x03\xE8bye", b"\x00\x01", b"\x03"])
                .to_vec(),
            _ => text.bytes().cycle().take(length).collect(),
        };
        bytes.push(fin | reserved | opcode);
        let masked = if choices.once_in(60) { 0 } else { 0x80 };
        match payload.len() {
            length @ 0..=125 => bytes.push(masked | length as u8),
            length => {
                bytes.push(masked | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
        }
        let mask =
            if masked == 0 { [0; 4] } else { choices.pick(&[[0; 4], [1, 2, 3, 4], [255; 4]]) };
        if masked != 0 {
            bytes.extend(mask);
        }
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    (bytes, is_whole)
}

fn our_reading(bytes: &[u8], choices: &mut Choices<'_>) -> (Vec<Came>, End) {
    let (mut frames, mut came, mut message) = (Frames::default(), Vec::new(), Vec::new());
    let mut left = bytes;
    while !left.is_empty() {
        let (now, then) = left.split_at(choices.pick(&[1, 2, 5, 100, 5000]).min(left.len()));
        left = then;
        frames.push(now);
        loop {
            match frames.next() {
                Ok(None) => break,
                Ok(Some(Found::Piece(piece))) => {
                    message.extend_from_slice(&piece);
                    // An end in the middle of a character is none yet.
                    let wrong = std::str::from_utf8(&message).err();
                    if wrong.is_some_and(|wrong| wrong.error_len().is_some()) {
                        return (came, End::NotUtf8);
                    }
                }
                Ok(Some(Found::End)) if std::str::from_utf8(&message).is_err() => {
                    return (came, End::NotUtf8);
                }
                Ok(Some(Found::End)) => came.push(Came::Text(std::mem::take(&mut message))),
                Ok(Some(Found::Ping(payload))) => came.push(Came::Ping(payload.to_vec())),
                Ok(Some(Found::Close(_))) => {
                    came.push(Came::Close);
                    return (came, End::Open);
                }
                Err(CloseCode::Unsupported) => return (came, End::NotWanted),
                Err(_) if is_long_winded(bytes) => return (came, End::NotWanted),
                Err(_) => return (came, End::Refused),
            }
        }
        assert!(frames.buffered() <= 14 + 125, "more is held than a control frame");
    }
    (came, End::Open)
}

/// Whether a length may be written in more bytes than it needs, which tungstenite takes. Only bytes
/// of no frame can have that here, so it is enough to look for what it begins with.
fn is_long_winded(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|three| matches!(three, [_, 0xFE, 0] | [_, 0x7E, 0] | [_, 0xFF | 0x7F, _]))
}

/// A connection whose client has sent all that it ever will.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.is_empty() {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => self.0.read(buffer),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn their_reading(bytes: &[u8]) -> (Vec<Came>, End) {
    let config = WebSocketConfig::default();
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), Role::Server, Some(config));
    let mut came = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => came.push(Came::Text(text.as_bytes().to_vec())),
            // Ours ends there.
            Ok(Message::Binary(_)) => return (came, End::NotWanted),
            Ok(Message::Ping(payload)) => came.push(Came::Ping(payload.to_vec())),
            Ok(Message::Pong(_) | Message::Frame(_)) => {}
            Ok(Message::Close(_)) => {
                came.push(Came::Close);
                return (came, End::Open);
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (came, End::Open);
            }
            Err(_) => return (came, End::Refused),
        }
    }
}
