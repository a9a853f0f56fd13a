//! Ours, docs/protocol.md, `urn:whoelse:relay:0`: the tokens of the relay for private chats, and
//! the rule by which a token admits an endpoint. Both are pure: time is handed in.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use whoelse_core::Time;
use whoelse_core::devices::DeviceMark;
use whoelse_stream::secret::same_secret;
use whoelse_xmpp::BareJid;

/// How long a token can be used for the first time: from the introduction to the first packet.
pub const FIRST_USE: Duration = Duration::from_secs(120);
/// How long an admitted endpoint may reconnect after its connection went: a change of network.
pub const COMING_BACK: Duration = Duration::from_secs(15 * 60);
/// How old a token may be if the server has started since it was issued, and so remembers nothing
/// of its use.
pub const ACROSS_RESTART: Duration = Duration::from_secs(86_400);

/// The public key of an endpoint: Ed25519.
pub type EndpointKey = [u8; 32];

/// The content of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// When it was issued.
    pub issued: Time,
    /// The account's number.
    pub account: i64,
    /// The generation of the password by which the session came that has asked.
    pub generation: i64,
    /// The device of that session, if it can be logged out.
    pub device: Option<DeviceMark>,
    /// Its address, by which it is looked up.
    pub address: BareJid,
    /// The introduction for which it was requested.
    pub sid: String,
    /// The only endpoint that it admits.
    pub key: EndpointKey,
}

/// Why an endpoint is not admitted. The text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There was no token.
    NoToken,
    /// The token was not made here, or not for this purpose.
    Forged,
    /// It admits another endpoint.
    OtherKey,
    /// It was not used in time, or too long ago.
    Expired,
    /// The account is gone, locked out, or has another password since.
    NoAccount,
    /// The relay is full.
    Full,
    /// The account has as many connections as it may have.
    AccountFull,
    /// Nothing is relayed here.
    Off,
}

impl Denied {
    /// Returns one word, for the counter.
    pub fn name(self) -> &'static str {
        match self {
            Denied::NoToken => "no_token",
            Denied::Forged => "forged",
            Denied::OtherKey => "other_key",
            Denied::Expired => "expired",
            Denied::NoAccount => "no_account",
            Denied::Full => "full",
            Denied::AccountFull => "account_full",
            Denied::Off => "off",
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denied::NoToken => "this relay wants a token of its server",
            Denied::Forged => "this token is not of this server",
            Denied::OtherKey => "this token is for another key",
            Denied::Expired => "this token has expired; ask the server for another",
            Denied::NoAccount => "the account of this token may not use the relay",
            Denied::Full => "the relay is full",
            Denied::AccountFull => "this account has too many connections to the relay",
            Denied::Off => "this server relays nothing",
        })
    }
}

impl Token {
    /// Whether it admits an endpoint that has proved `key`. `remembered`: this server has admitted
    /// an endpoint by this token, which is still connected or left within [`COMING_BACK`].
    pub fn admits(
        &self,
        key: &EndpointKey,
        remembered: bool,
        started: Time,
        now: Time,
    ) -> Result<(), Denied> {
        if *key != self.key {
            return Err(Denied::OtherKey);
        }
        // If the wall was set back since, the token is not valid for longer either.
        let fresh = now < self.issued.after(FIRST_USE) && self.issued <= now.after(FIRST_USE);
        let forgotten = started > self.issued && now < self.issued.after(ACROSS_RESTART);
        match remembered || fresh || forgotten {
            true => Ok(()),
            false => Err(Denied::Expired),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let (id, since) = match &self.device {
            Some(device) => (device.id.as_str(), device.since.0),
            None => ("", 0),
        };
        let mut bytes = self.issued.0.to_be_bytes().to_vec();
        bytes.extend(self.account.to_be_bytes());
        bytes.extend(self.generation.to_be_bytes());
        bytes.extend(since.to_be_bytes());
        bytes.extend(self.key);
        for text in [id, self.address.as_str()] {
            bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(self.sid.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Token> {
        let (issued, rest) = bytes.split_first_chunk()?;
        let (account, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (since, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (id, rest) = text(rest)?;
        let (address, sid) = text(rest)?;
        let device = (!id.is_empty())
            .then(|| DeviceMark { id: id.to_owned(), since: Time(i64::from_be_bytes(*since)) });
        Some(Token {
            issued: Time(i64::from_be_bytes(*issued)),
            account: i64::from_be_bytes(*account),
            generation: i64::from_be_bytes(*generation),
            device,
            address: BareJid::parse(address).ok()?,
            sid: String::from_utf8(sid.to_vec()).ok()?,
            key: *key,
        })
    }
}

/// Reads a text behind its length.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Makes and reads tokens, with a key of this installation.
///
/// Its `Debug` does not show the key:
///
/// ```
/// let tokens = whoelse_features::relay::Tokens::new(b"secret");
/// assert_eq!(format!("{tokens:?}"), "Tokens(…)");
/// ```
pub struct Tokens(hmac::Key);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    /// Makes them from the installation's secret for this purpose.
    pub fn new(secret: &[u8]) -> Tokens {
        Tokens(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Encodes a token: letters, digits, `-` and `_`.
    pub fn seal(&self, token: &Token) -> String {
        let mut bytes = token.to_bytes();
        let tag = hmac::sign(&self.0, &bytes);
        bytes.extend(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token, if it was made here.
    pub fn open(&self, text: &str) -> Option<Token> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, tag) = bytes.split_last_chunk::<32>()?;
        let ours = same_secret(hmac::sign(&self.0, said).as_ref(), tag);
        ours.then(|| Token::from_bytes(said)).flatten()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOON: Time = Time(1_767_268_800_000_000);
    const KEY: EndpointKey = [7; 32];

    fn token() -> Token {
        Token {
            issued: NOON,
            account: 3,
            generation: 1,
            device: Some(DeviceMark { id: "d-1".to_owned(), since: NOON }),
            address: BareJid::parse("bób@a.example").unwrap(),
            sid: "s-1".to_owned(),
            key: KEY,
        }
    }

    fn at(seconds: i64) -> Time {
        Time(NOON.0 + seconds * 1_000_000)
    }

    #[test]
    fn a_token_comes_back_as_it_was_made() {
        let tokens = Tokens::new(b"secret");

        assert_eq!(tokens.open(&tokens.seal(&token())), Some(token()));
        let address = BareJid::new(Some(&"ä".repeat(511)), "a.example").unwrap();
        let longest = Token { address, device: None, sid: "s".repeat(128), ..token() };
        assert_eq!(tokens.open(&tokens.seal(&longest)), Some(longest));
    }

    #[test]
    fn a_token_is_good_whole_and_where_it_was_made() {
        let tokens = Tokens::new(b"secret");
        let sealed = tokens.seal(&token());

        assert_eq!(Tokens::new(b"other").open(&sealed), None);
        for place in 0..sealed.len() {
            let mut other = sealed.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(tokens.open(&String::from_utf8(other).unwrap()), None, "{place}");
            assert_eq!(tokens.open(&sealed[..place]), None, "{place}");
        }
        for text in ["", "=", "ä", &format!("{sealed}="), &format!("{sealed}A")] {
            assert_eq!(tokens.open(text), None, "{text}");
        }
        assert_eq!(tokens.open(&URL_SAFE_NO_PAD.encode(hmac::sign(&tokens.0, b"").as_ref())), None);
    }

    #[test]
    fn who_may_come_in_by_a_token() {
        let (before, same) = (at(-1000), KEY);
        for (why, key, remembered, started, now, may) in [
            ("at once", same, false, before, at(0), Ok(())),
            ("in time", same, false, before, at(119), Ok(())),
            ("too late", same, false, before, at(120), Err(Denied::Expired)),
            ("another key", [8; 32], false, before, at(1), Err(Denied::OtherKey)),
            ("another key, later", [8; 32], true, before, at(300), Err(Denied::OtherKey)),
            ("back again", same, true, before, at(7200), Ok(())),
            ("back after a restart", same, false, at(200), at(300), Ok(())),
            ("the last second of it", same, false, at(200), at(86_399), Ok(())),
            ("a day after", same, false, at(200), at(86_400), Err(Denied::Expired)),
            ("still there after a day", same, true, at(200), at(90_000), Ok(())),
            ("started as it was given", same, false, at(0), at(300), Err(Denied::Expired)),
            ("a clock that went back", same, false, before, at(-50), Ok(())),
            ("a clock that went far back", same, false, before, at(-121), Err(Denied::Expired)),
        ] {
            assert_eq!(token().admits(&key, remembered, started, now), may, "{why}");
        }
    }
}
