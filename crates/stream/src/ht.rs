//! draft-schmaus-kitten-sasl-ht-09, Hashed Token: a login by a token, one message each way.
//!
//! The token is a key that both ends have. Each shows that it has it by an HMAC over a word of its own
//! and what ties it to the channel; neither sends it. How a client comes by a token is XEP-0484
//! ([`crate::fast`]).

use crate::binding::{self, ChannelBindings};
use crate::secret::{overwrite, same_secret};
use crate::token;
use aws_lc_rs::hmac;
use std::fmt;

/// What the client's end signs.
const INITIATOR: &[u8] = b"Initiator";
/// What the server's end signs.
const RESPONDER: &[u8] = b"Responder";
/// The most bytes of a name: as many as the draft demands of everybody (3.1).
const LONGEST_NAME: usize = 255;

/// What a mechanism of the family is bound to: the last part of its name. The hash is SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `-EXPR`: `tls-exporter`.
    Exporter,
    /// `-ENDP`: `tls-server-end-point`.
    EndPoint,
    /// `-NONE`: nothing, for clients that cannot see their channel.
    None,
}

impl Binding {
    /// All of them, the stronger first.
    pub const ALL: [Binding; 3] = [Binding::Exporter, Binding::EndPoint, Binding::None];

    /// Returns the data of a channel; none if the channel has none of this type.
    pub fn data(self, channel: &ChannelBindings) -> Option<&[u8]> {
        match self {
            Binding::Exporter => channel.get(binding::EXPORTER),
            Binding::EndPoint => channel.get(binding::SERVER_END_POINT),
            Binding::None => Some(&[]),
        }
    }
}

/// A token: a key by which a device logs in.
///
/// Its `Debug` shows `Token(…)`, it is overwritten when dropped, and it has no `==`:
///
/// ```compile_fail,E0369
/// let token = whoelse_stream::ht::Token::fresh();
/// assert!(token == token);
/// ```
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl Token {
    /// Makes a new token, of 128 random bits.
    pub fn fresh() -> Token {
        Token::of(token::token())
    }

    /// Takes a token that was given or stored.
    pub fn of(text: String) -> Token {
        Token(text.into_bytes())
    }

    /// The text: for the store, and for writing to an encrypted stream.
    pub fn reveal(&self) -> &str {
        // It was a text when it was made.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn sign(&self, word: &[u8], channel: &[u8]) -> hmac::Tag {
        let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        signed.update(word);
        signed.update(channel);
        signed.sign()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        overwrite(&mut self.0);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Writes the client's message. `channel` is what [`Binding::data`] returned.
pub fn initiate(name: &str, token: &Token, channel: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\0", token.sign(INITIATOR, channel).as_ref()].concat()
}

/// Whether a message is the server's, who has the same token.
pub fn is_responder(message: &[u8], token: &Token, channel: &[u8]) -> bool {
    same_secret(message, token.sign(RESPONDER, channel).as_ref())
}

/// The client's message.
#[derive(Debug, Clone)]
pub struct Initiator {
    /// The name; not normalised.
    pub name: String,
    /// What shows that the client has a token.
    pub proof: Proof,
}

/// The error that a message is not a name and an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Initiator {
    /// Reads a message that came over this channel.
    pub fn parse(message: &[u8], channel: &[u8]) -> Result<Initiator, Malformed> {
        let end = message.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let (name, hashed) = (&message[..end], &message[end + 1..]);
        let length = hmac::HMAC_SHA256.digest_algorithm().output_len();
        if name.is_empty() || name.len() > LONGEST_NAME || hashed.len() != length {
            return Err(Malformed);
        }
        let name = std::str::from_utf8(name).map_err(|_| Malformed)?.to_owned();
        let proof = Proof { hashed: hashed.to_vec(), channel: channel.to_vec() };
        Ok(Initiator { name, proof })
    }
}

/// What shows that a client has a token, over one channel.
#[derive(Clone)]
pub struct Proof {
    hashed: Vec<u8>,
    channel: Vec<u8>,
}

impl Proof {
    /// Whether it was made with this token; in constant time.
    pub fn is_by(&self, token: &Token) -> bool {
        same_secret(&self.hashed, token.sign(INITIATOR, &self.channel).as_ref())
    }

    /// Writes the server's message, which shows that it has the same token.
    pub fn respond(&self, token: &Token) -> Vec<u8> {
        token.sign(RESPONDER, &self.channel).as_ref().to_vec()
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hex;

    fn channel() -> ChannelBindings {
        ChannelBindings { exporter: Some([7; 32]), server_end_point: Some(vec![8; 32]) }
    }

    fn token() -> Token {
        Token::of("WXZzciBwYmFmdmZnZiBqdmd1IGp2eXFhcmZm".to_owned())
    }

    #[test]
    fn each_end_shows_the_other_that_it_has_the_token() {
        for binding in Binding::ALL {
            let channel = channel();
            let data = binding.data(&channel).unwrap();
            let message = initiate("bob", &token(), data);

            let initiator = Initiator::parse(&message, data).unwrap();
            assert_eq!(initiator.name, "bob");
            assert!(initiator.proof.is_by(&token()));
            assert!(is_responder(&initiator.proof.respond(&token()), &token(), data));
        }
    }

    #[test]
    fn the_words_are_those_of_the_draft() {
        // HMAC-SHA-256 as Python computes it, without channel binding.
        let message = initiate("user", &token(), b"");
        let proof = Initiator::parse(&message, b"").unwrap().proof;

        assert_eq!(message[..5], *b"user\0");
        assert_eq!(
            hex::encode(&message[5..]),
            "9097787461a184e0fa84ec00c1381190b6c4d16a8ec4453c7b2ac5e7fcf935ed"
        );
        assert_eq!(
            hex::encode(&proof.respond(&token())),
            "4e513409631474863b986c9f3e8c1e27ca29d1d7ab9ed4097e7afd6007bf9c62"
        );
    }

    #[test]
    fn another_token_another_channel_or_the_other_ends_word_proves_nothing() {
        let message = initiate("bob", &token(), &[7; 32]);
        let proof = |message: &[u8], channel| Initiator::parse(message, channel).unwrap().proof;

        assert!(!proof(&message, &[7; 32]).is_by(&Token::fresh()));
        assert!(!proof(&message, &[8; 32]).is_by(&token()));
        assert!(!proof(&message, b"").is_by(&token()));
        let answer = proof(&message, &[7; 32]).respond(&token());
        assert!(!proof(&[b"bob\0", answer.as_slice()].concat(), &[7; 32]).is_by(&token()));
        assert!(!is_responder(&message[4..], &token(), &[7; 32]));
        assert!(!is_responder(&answer[1..], &token(), &[7; 32]));
        assert!(!is_responder(b"", &token(), &[7; 32]));
    }

    #[test]
    fn a_malformed_message_is_refused() {
        let hashed = [1; 32].as_slice();
        let long = "x".repeat(LONGEST_NAME + 1);
        for bad in [
            b"".to_vec(),
            b"bob".to_vec(),
            b"bob\0".to_vec(),
            hashed.to_vec(),
            [b"\0", hashed].concat(),
            [b"bob\0", &hashed[1..]].concat(),
            [b"bob\0", hashed, b"\0"].concat(),
            [b"\xff\0", hashed].concat(),
            [long.as_bytes(), b"\0", hashed].concat(),
        ] {
            assert_eq!(Initiator::parse(&bad, b"").unwrap_err(), Malformed, "{bad:?}");
        }
        assert!(Initiator::parse(&[&long.as_bytes()[1..], b"\0", hashed].concat(), b"").is_ok());
    }

    #[test]
    fn what_a_channel_does_not_have_binds_nothing() {
        let old = ChannelBindings { exporter: None, server_end_point: Some(vec![8]) };

        assert_eq!(Binding::Exporter.data(&old), None);
        assert_eq!(Binding::EndPoint.data(&old), Some([8].as_slice()));
        assert_eq!(Binding::None.data(&ChannelBindings::default()), Some([].as_slice()));
    }

    #[test]
    fn a_token_is_never_printed_and_never_comes_twice() {
        let (one, other) = (Token::fresh(), Token::fresh());

        assert!(one.reveal() != other.reveal() && one.reveal().len() == 22);
        let message = initiate("bob", &one, b"");
        let shown = format!("{one:?} {:?}", Initiator::parse(&message, b"").unwrap());
        assert_eq!(shown, "Token(…) Initiator { name: \"bob\", proof: Proof(…) }");
    }
}
