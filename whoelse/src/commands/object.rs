//! A line that is a JSON object, for texts that do not fit in a line (docs/scripting.md).

use serde::Deserialize;

use super::{Fault, Obeyed, Seat, broadcast, message, private};

/// Longest id a program may give a message.
const MAX_ID: usize = 128;

/// What can be said as an object.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Object {
    Message { to: String, text: String, id: Option<String> },
    Private { to: String, text: String, id: Option<String> },
    Broadcast { text: String },
}

/// Does what an object says.
pub async fn obey_object(line: &str, seat: &Seat<'_>) -> Obeyed {
    let object = match serde_json::from_str(line) {
        Ok(object) => object,
        Err(why) => return Obeyed { command: None, outcome: Err(unreadable(&why)) },
    };
    match object {
        Object::Message { to, text, id } => Obeyed {
            command: Some(message::COMMAND.name),
            outcome: match id_or_new(id) {
                Ok(id) => message::send(seat, &to, &text, id).await,
                Err(fault) => Err(fault),
            },
        },
        Object::Private { to, text, id } => Obeyed {
            command: Some(private::COMMAND.name),
            outcome: match id_or_new(id) {
                Ok(id) => private::send(seat, &to, &text, id).await,
                Err(fault) => Err(fault),
            },
        },
        Object::Broadcast { text } => Obeyed {
            command: Some(broadcast::COMMAND.name),
            outcome: match seat.me() {
                Ok(_) => broadcast::send(seat, &text).await,
                Err(fault) => Err(fault),
            },
        },
    }
}

fn unreadable(why: &serde_json::Error) -> Fault {
    let why = crate::terminal::text::line(&why.to_string());
    Fault::say("bad-object", format!("that object makes no sense: {why}"))
}

fn id_or_new(id: Option<String>) -> Result<String, Fault> {
    id.map_or_else(|| Ok(whoelse_client::token()), check_id)
}

fn check_id(id: String) -> Result<String, Fault> {
    match id.len() {
        1..=MAX_ID if !id.chars().any(char::is_control) => Ok(id),
        _ => Err(Fault::say("bad-id", format!("an id has 1 to {MAX_ID} bytes and no controls"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(line: &str) -> Option<Object> {
        serde_json::from_str(line).ok()
    }

    #[test]
    fn a_text_may_have_line_breaks_and_a_message_an_id() {
        let text = "two\nlines".to_owned();
        let to = "bob".to_owned();

        assert_eq!(
            read(r#"{"message":{"to":"bob","text":"two\nlines","id":"m1"}}"#),
            Some(Object::Message { to: to.clone(), text: text.clone(), id: Some("m1".to_owned()) })
        );
        assert_eq!(
            read(r#"{"message":{"to":"bob","text":"two\nlines"}}"#),
            Some(Object::Message { to: to.clone(), text: text.clone(), id: None })
        );
        assert_eq!(
            read(r#"{"private":{"to":"bob","text":"two\nlines"}}"#),
            Some(Object::Private { to, text: text.clone(), id: None })
        );
        assert_eq!(
            read(r#"{"broadcast":{"text":"two\nlines"}}"#),
            Some(Object::Broadcast { text })
        );
    }

    #[test]
    fn what_is_no_such_object_is_refused() {
        for line in [
            "{",
            "{}",
            r#"{"message":{"to":"bob"}}"#,
            r#"{"message":{"to":"bob","text":"x","from":"eve"}}"#,
            r#"{"message":{"to":"bob","text":"x"},"broadcast":{"text":"x"}}"#,
            r#"{"message":{"to":"bob","text":1}}"#,
            r#"{"quit":{}}"#,
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn an_id_is_short_and_can_be_written() {
        assert!(check_id("m1".to_owned()).is_ok());
        for bad in ["", "a\u{0}b", "a\nb", &"x".repeat(129)] {
            assert!(check_id(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
