//! Tokens of the relay (docs/protocol.md, `urn:whoelse:relay:0`): a token that was not made here
//! is refused, and one that was made here is read back unchanged, whatever its content.

use std::sync::LazyLock;

use whoelse_core::Time;
use whoelse_core::devices::DeviceMark;
use whoelse_features::relay::{Token, Tokens};
use whoelse_xmpp::BareJid;

use crate::choices::Choices;

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| Tokens::new(b"the secret of an installation"));

/// Reads what a stranger brings, and what the server has made of the same bytes.
pub fn opened(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert_eq!(TOKENS.open(&text), None, "{text:?} is a token");

    let mut choices = Choices::new(input);
    let [account, generation, issued, since] = std::array::from_fn(|_| i64::from(choices.byte()));
    let key = [choices.byte(); 32];
    let rest = String::from_utf8_lossy(choices.rest()).into_owned();
    let (name, sid) = rest.split_at(rest.floor_char_boundary(rest.len() / 2));
    let Ok(address) = BareJid::new(Some(name), "a.example") else { return };
    let (issued, sid) = (Time(issued), sid.to_owned());
    let id = sid.chars().rev().collect::<String>();
    let device = (!id.is_empty()).then_some(DeviceMark { id, since: Time(since) });
    let token = Token { issued, account, generation, device, address, sid, key };

    let sealed = TOKENS.seal(&token);

    assert_eq!(TOKENS.open(&sealed), Some(token));
    let shorter = sealed.get(1..).unwrap_or_default();
    assert_eq!(TOKENS.open(shorter), None, "a part of {sealed:?} is a token");
}
