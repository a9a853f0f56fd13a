//! The messages of hashed tokens (draft-schmaus-kitten-sasl-ht): whatever a peer sends, it is read or
//! refused, what is read can be written again, and none of it proves anything.

use whoelse_stream::ht::{Initiator, Token, initiate, is_responder};

use crate::choices::Choices;

const PIECES: &[&str] = &["bob", "\0", "é", "\u{200b}", "x", "0123456789abcdef", "@a.example"];

/// Messages described by `data`, and `data` itself.
pub fn messages(data: &[u8]) {
    read(data, b"");
    let mut choices = Choices::new(data);
    let mut message = Vec::new();
    while !choices.is_empty() && message.len() < 1024 {
        message.extend_from_slice(choices.pick(PIECES).as_bytes());
    }
    read(&message, data);
}

fn read(message: &[u8], channel: &[u8]) {
    let token = Token::of("WXZzciBwYmFmdmZnZiBqdmd1IGp2eXFhcmZm".to_owned());
    assert!(!is_responder(message, &token, channel));
    let Ok(read) = Initiator::parse(message, channel) else { return };
    assert!(!read.name.is_empty() && !read.name.contains('\0'));
    assert!(message.starts_with(read.name.as_bytes()));
    assert!(!read.proof.is_by(&token));
    let right = initiate(&read.name, &token, channel);
    let right = Initiator::parse(&right, channel).expect("what was read can be written");
    assert!(right.proof.is_by(&token) && right.name == read.name);
    // The other end has the same token, and only that one.
    assert!(is_responder(&right.proof.respond(&token), &token, channel));
    assert!(!right.proof.is_by(&Token::fresh()));
}
