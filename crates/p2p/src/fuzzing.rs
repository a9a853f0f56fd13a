//! For `fuzz/` only: properties that must hold for any bytes from the peer of a line or from the
//! server.

use std::time::{Duration, Instant};

use whoelse_client::token;
use whoelse_xmpp::{BareJid, FullJid, Stanza};

use crate::device::KeyStatus;
use crate::introduction::{Action, Introductions};
use crate::jingle;
use crate::line::{Ends, Line};

/// Bytes that a line may hold of a peer that sends without end.
const BOUND: usize = 1 << 20;

/// Feeds bytes from the peer to an open line, in pieces.
///
/// # Panics
/// If the line holds more than it may.
pub fn line(bytes: &[u8]) {
    let (Some(me), Some(them)) = (bare("bob@a.example"), bare("alice@a.example")) else { return };
    let now = Instant::now();
    let mut line = Line::new(Ends { sid: "s".to_owned(), me, them }, false, now);
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/\
                   streams' from='alice@a.example' to='bob@a.example' id='s' version='1.0'>";
    assert!(line.push(header, now).is_ok() && line.is_greeted());
    line.send(token(), "hi".to_owned(), now);
    let size = usize::from(bytes.first().copied().unwrap_or_default()) + 1;
    for (n, piece) in bytes.chunks(size).enumerate() {
        let now = now + Duration::from_millis(u64::try_from(n).unwrap_or(0));
        if line.push(piece, now).is_err() {
            break;
        }
        line.handle_time(now);
        while line.poll_event().is_some() {}
        assert!(line.output().len() < BOUND, "it answers without end");
    }
    line.close();
    assert!(line.into_unconfirmed().len() <= 1);
}

/// Feeds a stanza to a device that has asked one person and was asked by another.
///
/// # Panics
/// If it makes the device reveal its addresses to anybody.
pub fn introduction(bytes: &[u8]) {
    let Ok(stanza) = Stanza::parse(bytes.to_vec()) else { return };
    let (Ok(me), Some(bob)) = (FullJid::parse("alice@a.example/x"), bare("bob@a.example")) else {
        return;
    };
    let now = Instant::now();
    let mut introductions = Introductions::new(me);
    let _ = introductions.ask(&bob, now);
    match jingle::said(&stanza) {
        Some(said) => introductions.handle_said(&said, now),
        None => {
            introductions.handle_request(&stanza, &|_, _| (KeyStatus::Known, String::new()), now);
        }
    }
    introductions.handle_time(now + Duration::from_secs(300));
    while let Some(action) = introductions.poll_action() {
        let tells = matches!(action, Action::Connect { .. });
        assert!(!tells, "nobody has agreed to anything");
    }
}

fn bare(text: &str) -> Option<BareJid> {
    BareJid::parse(text).ok()
}
