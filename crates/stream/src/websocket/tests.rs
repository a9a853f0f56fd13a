//! Tests of the frames: what RFC 6455 allows a client, in pieces of any size, and what it forbids.
#![allow(clippy::unwrap_used)]

use super::*;

/// A frame of a client, which begins with this byte.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 0xA4];
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Reads bytes that arrive in pieces; pieces of a message are put together.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<Found>, CloseCode> {
    let mut frames = Frames::default();
    let mut all = Vec::new();
    let mut held = BytesMut::new();
    for bytes in bytes.chunks(piece) {
        frames.push(bytes);
        while let Some(found) = frames.next()? {
            match found {
                Found::Piece(piece) => held.extend_from_slice(&piece),
                Found::End => {
                    all.push(Found::Piece(std::mem::take(&mut held)));
                    all.push(Found::End);
                }
                other => all.push(other),
            }
        }
        assert!(frames.buffered() <= 14 + 125, "{} bytes", frames.buffered());
    }
    Ok(all)
}

/// Reads bytes in pieces of many sizes: the result is the same.
fn read_in_any_pieces(bytes: &[u8]) -> Result<Vec<Found>, CloseCode> {
    let whole = read(bytes, usize::MAX);
    for piece in [1, 2, 3, 7, 130] {
        assert_eq!(read(bytes, piece), whole, "in pieces of {piece}");
    }
    whole
}

fn message(text: &str) -> [Found; 2] {
    [Found::Piece(text.as_bytes().into()), Found::End]
}

#[test]
fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
    // RFC 6455, 1.3.
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    assert_eq!(accept(key).as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for none in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQAA", "?"] {
        assert_eq!(accept(none), None, "{none}");
    }
}

#[test]
fn a_message_comes_whole_or_in_frames_with_control_frames_between() {
    let bytes = [
        frame(0x81, b"one"),
        frame(0x01, b"tw"),
        frame(0x89, b"there?"),
        frame(0x00, b"o"),
        frame(0x8A, b"unasked"),
        frame(0x80, b""),
        frame(0x81, b""),
        frame(0x88, b"\x03\xE8bye"),
    ];

    let found = read_in_any_pieces(&bytes.concat()).unwrap();

    let mut expected = Vec::from(message("one"));
    expected.push(Found::Ping(Bytes::from_static(b"there?")));
    expected.extend(message("two"));
    expected.extend(message(""));
    expected.push(Found::Close(Some(1000)));
    assert_eq!(found, expected);
}

#[test]
fn messages_of_every_length_of_head_are_unmasked() {
    for length in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_001] {
        let text: String = (0..length).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
        assert_eq!(read_in_any_pieces(&frame(0x81, &text)).unwrap(), message(&text));
    }
}

#[test]
fn what_is_no_frame_or_may_not_come_now_is_refused_by_its_first_wrong_byte() {
    let long = [0; 126];
    for (bytes, code) in [
        // Reserved bits and opcodes.
        (vec![0xC1], CloseCode::ProtocolError),
        (vec![0xA1], CloseCode::ProtocolError),
        (vec![0x91], CloseCode::ProtocolError),
        (vec![0x83], CloseCode::ProtocolError),
        (vec![0x8B], CloseCode::ProtocolError),
        // Not text.
        (vec![0x82], CloseCode::Unsupported),
        (vec![0x02], CloseCode::Unsupported),
        // Not masked.
        (vec![0x81, 0x01], CloseCode::ProtocolError),
        (vec![0x89, 0x00], CloseCode::ProtocolError),
        // No message has begun, or one has.
        (vec![0x80], CloseCode::ProtocolError),
        (vec![0x00], CloseCode::ProtocolError),
        ([frame(0x01, b"a"), vec![0x81]].concat(), CloseCode::ProtocolError),
        ([frame(0x01, b"a"), vec![0x01]].concat(), CloseCode::ProtocolError),
        ([frame(0x81, b"a"), vec![0x80]].concat(), CloseCode::ProtocolError),
        // Control frames are short and whole.
        (vec![0x09], CloseCode::ProtocolError),
        (vec![0x08], CloseCode::ProtocolError),
        (frame(0x89, long), CloseCode::ProtocolError),
        (vec![0x8A, 0xFF], CloseCode::ProtocolError),
        // Lengths have the shortest form, and an end.
        (vec![0x81, 0xFE, 0, 125], CloseCode::ProtocolError),
        (vec![0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], CloseCode::ProtocolError),
        (vec![0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], CloseCode::ProtocolError),
        // Close frames without a code that one may send, or with a reason that is no text.
        (frame(0x88, b"\x03"), CloseCode::ProtocolError),
        (frame(0x88, b"\x00\x01"), CloseCode::ProtocolError),
        (frame(0x88, b"\x03\xED"), CloseCode::ProtocolError),
        (frame(0x88, b"\x03\xEE"), CloseCode::ProtocolError),
        (frame(0x88, b"\x0B\x00"), CloseCode::ProtocolError),
        (frame(0x88, b"\x03\xE8\xFF"), CloseCode::ProtocolError),
    ] {
        assert_eq!(read_in_any_pieces(&bytes), Err(code), "{bytes:x?}");
    }
}

#[test]
fn nothing_is_read_after_a_close_frame_or_an_error() {
    for first in [frame(0x88, b""), vec![0xC1]] {
        let mut frames = Frames::default();
        frames.push(&first);
        frames.push(&frame(0x81, b"late"));
        let _ = frames.next();
        frames.push(&frame(0x81, b"later"));
        assert_eq!((frames.next(), frames.buffered()), (Ok(None), 0));
    }
}

#[test]
fn a_frame_that_says_it_is_huge_is_handed_on_and_not_held() {
    let mut frames = Frames::default();
    frames.push(&[0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    assert_eq!((frames.next(), frames.buffered()), (Ok(None), 0));
    frames.push(b"abc");
    assert_eq!(frames.next(), Ok(Some(Found::Piece(b"abc"[..].into()))));
    assert_eq!((frames.next(), frames.unread.capacity()), (Ok(None), 0));
}
