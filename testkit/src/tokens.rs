//! The proof of a token in a scene: `{alice proves t1}` is the message by which alice shows that she
//! has the token that was remembered as `t1`, bound to nothing; `{alice proves t1 over EXPR}` and
//! `… over ENDP`, bound to the actor's channel (draft-schmaus-kitten-sasl-ht).

use base64::{Engine, engine::general_purpose::STANDARD};
use whoelse_stream::ChannelBindings;
use whoelse_stream::ht::{Binding, Token, initiate};

use crate::pattern::Names;

/// What stands between the name and the token.
const PROVES: &str = " proves ";
/// What stands between the token and its binding.
const OVER: &str = " over ";

/// Fills in the proofs of a text that is sent over this channel.
pub(crate) fn fill(text: &str, names: &Names, channel: &ChannelBindings) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(PROVES) {
        let Some(open) = rest[..at].rfind('{') else { return Err(mistake(rest)) };
        let Some(close) = rest[at..].find('}').map(|end| at + end) else {
            return Err(mistake(rest));
        };
        let (name, proved) = (&rest[open + 1..at], &rest[at + PROVES.len()..close]);
        let (token, binding) = match proved.split_once(OVER) {
            None => (proved, Binding::None),
            Some((token, "EXPR")) => (token, Binding::Exporter),
            Some((token, "ENDP")) => (token, Binding::EndPoint),
            Some(_) => return Err(mistake(&rest[open..])),
        };
        let known = names.get(token).ok_or(format!("there is no token {token} yet"))?;
        let channel = binding.data(channel).ok_or("the channel has no such binding")?;
        filled.push_str(&rest[..open]);
        let message = initiate(name, &Token::of(known.clone()), channel);
        filled.push_str(&STANDARD.encode(message));
        rest = &rest[close + 1..];
    }
    Ok(filled + rest)
}

fn mistake(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    format!("`{line}` is not `{{NAME proves TOKEN}}` or `{{NAME proves TOKEN over EXPR}}`")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_proof_takes_the_place_of_its_words_and_nothing_else_changes() {
        let names = Names::from([("t1".to_owned(), "secret".to_owned())]);
        let channel = ChannelBindings { exporter: Some([7; 32]), server_end_point: None };
        let proof = |channel: &[u8]| {
            STANDARD.encode(initiate("alice", &Token::of("secret".to_owned()), channel))
        };
        let filled = |text: &str| fill(text, &names, &channel);

        assert_eq!(
            filled("<a>{alice proves t1}</a>{b}").unwrap(),
            format!("<a>{}</a>{{b}}", proof(b""))
        );
        let two = filled("{alice proves t1} {alice proves t1 over EXPR}").unwrap();
        assert_eq!(two, format!("{} {}", proof(b""), proof(&[7; 32])));
        for bad in [
            "{alice proves t2}",
            "{alice proves t1 over ENDP}",
            "{alice proves t1 over X}",
            "alice proves t1",
            "{alice proves t1",
        ] {
            assert!(filled(bad).is_err(), "{bad}");
        }
    }
}
