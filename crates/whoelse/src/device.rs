//! RFC 6120, 7: the resource of this session, which tells it from the account's others.
//!
//! Everybody who may see me online reads it, so it holds nothing about the computer that its owner
//! has not chosen to say: neither its name nor its system.

use whoelse_xmpp::BareJid;

/// Longest name of a device, in characters.
const LONGEST: usize = 32;
/// Letters and digits by which sessions are told apart: more than 30 bits, so that no stranger
/// guesses an address to send to.
const TAIL: usize = 6;

/// Returns `whoelse.laptop`, or `whoelse` for a device without a name: what a server that makes the
/// resource is to begin it with.
pub fn tag(device: Option<&str>) -> String {
    match device {
        Some(device) => format!("whoelse.{device}"),
        None => "whoelse".to_owned(),
    }
}

/// Returns `whoelse.laptop-7f3a2c`, or `whoelse-7f3a2c`, for a server that lets the client choose. It
/// stays the same while the program runs, so that a client that reconnects takes the place of its lost
/// session.
pub fn session_name(device: Option<&str>) -> String {
    let token = whoelse_client::token();
    let readable = token.chars().filter(char::is_ascii_alphanumeric).take(TAIL);
    let tail = readable.collect::<String>().to_lowercase();
    format!("{}-{tail}", tag(device))
}

/// Checks that a name is allowed in an address and readable for people.
pub fn check(name: &str) -> Result<&str, String> {
    let length = name.chars().count();
    let is_plain = name.trim() == name && !name.contains(['/', '@']);
    let somebody = BareJid::parse("a@a.example");
    let fits = || somebody.is_ok_and(|it| it.with_resource(name).is_ok());
    match (1..=LONGEST).contains(&length) && is_plain && fits() {
        true => Ok(name),
        false => Err(format!(
            "the name of a device has 1 to {LONGEST} characters, no controls, `/` or `@`, and no \
             blanks around it"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_xmpp::FullJid;

    #[test]
    fn a_session_has_a_name_that_people_can_read_and_no_other_session_has() {
        let (one, other) = (session_name(Some("laptop")), session_name(Some("laptop")));

        assert!(one.starts_with("whoelse.laptop-") && one.len() == 21, "{one}");
        assert_ne!(one, other);
        assert_eq!(
            (tag(Some("laptop")).as_str(), tag(None).as_str()),
            ("whoelse.laptop", "whoelse")
        );
        let unnamed = session_name(None);
        assert!(unnamed.starts_with("whoelse-") && unnamed.len() == 14, "{unnamed}");
        assert!(FullJid::parse(&format!("a@a.example/{unnamed}")).is_ok());
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused() {
        for name in ["laptop", "Büro 2", "机", "x"] {
            assert_eq!(check(name), Ok(name));
        }
        for bad in ["", " ", " x", "a/b", "a@b", "a\u{1b}b", "a\nb", &"x".repeat(33)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
