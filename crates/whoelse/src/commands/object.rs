//! A line that is a JSON object, for texts that do not fit in a line (docs/scripting.md).

use crate::slip::Slip;
use serde::Deserialize;
use serde_json::Value;

use super::join::{self, Join};
use super::{Answer, Fault, Obeyed, Seat, broadcast, message, password, private, topic};

/// Longest id a program may give a message.
const MAX_ID: usize = 128;

/// A request in the form of an object.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Object {
    Message { to: String, text: String, id: Option<String> },
    Private { to: String, text: String, id: Option<String> },
    Broadcast { text: String },
    Password(password::Change),
    Join(Join),
    Topic { room: String, text: String },
}

/// Runs an object. If it is refused, the result still has its id.
pub async fn obey_object(line: &str, seat: &Seat<'_>) -> Obeyed {
    let object = match serde_json::from_str(line) {
        Ok(object) => object,
        Err(why) => {
            return Obeyed { command: None, id: any_id(line), outcome: Err(unreadable(&why)) };
        }
    };
    match object {
        Object::Message { to, text, id } => {
            let outcome = under_id(seat, id.clone(), |id| message::send(seat, &to, &text, id));
            let outcome = outcome.await;
            Obeyed { command: Some(message::COMMAND.name), id, outcome }
        }
        Object::Private { to, text, id } => {
            let outcome = under_id(seat, id.clone(), |id| private::send(seat, &to, &text, id));
            let outcome = outcome.await;
            Obeyed { command: Some(private::COMMAND.name), id, outcome }
        }
        Object::Password(change) => Obeyed {
            command: Some(password::COMMAND.name),
            id: None,
            outcome: password::change(seat, &change).await,
        },
        Object::Join(wanted) => Obeyed {
            command: Some(join::COMMAND.name),
            id: None,
            outcome: join::join(seat, wanted).await,
        },
        Object::Topic { room, text } => Obeyed {
            command: Some(topic::COMMAND.name),
            id: None,
            outcome: topic::set(seat, &room, &text).await,
        },
        Object::Broadcast { text } => Obeyed {
            command: Some(broadcast::COMMAND.name),
            id: None,
            outcome: match seat.me() {
                Ok(_) => broadcast::send(seat, &text).await,
                Err(fault) => Err(fault),
            },
        },
    }
}

/// Sends something under the id that the program gave, which must be free, or under a new one.
async fn under_id<F: Future<Output = Result<Answer, Fault>>>(
    seat: &Seat<'_>,
    given: Option<String>,
    send: impl FnOnce(String) -> F,
) -> Result<Answer, Fault> {
    let Some(id) = given else { return send(whoelse_client::token()).await };
    let id = check_id(id)?;
    if !seat.ids.take(&id) {
        let words = "that id stands for another message already; give each its own";
        return Err(Fault::say("used-id", words));
    }
    let sent = send(id.clone()).await;
    if sent.is_err() {
        seat.ids.give_back(&id);
    }
    sent
}

/// Finds the id in a line that is otherwise invalid, so that its program can relate the error.
pub fn any_id(line: &str) -> Option<String> {
    let value: Value = serde_json::from_str(line).ok()?;
    let top = value.as_object()?;
    let inside = top.values().filter_map(Value::as_object).find_map(|object| object.get("id"));
    match top.get("id").or(inside)? {
        Value::String(id) => Some(id.clone()),
        id @ Value::Number(_) => Some(id.to_string()),
        _ => None,
    }
}

fn unreadable(why: &serde_json::Error) -> Fault {
    let said = why.to_string();
    let why = match Slip::of(&said, &[]) {
        Slip::Unknown { key, .. } => format!("there is no `{key}` in such an object"),
        Slip::Missing(key) => format!("`{key}` is missing"),
        Slip::Twice(key) => format!("`{key}` stands there twice"),
        // People who write objects do not know the word that configuration files have for it.
        Slip::Kind("a table") => "a value must be an object".to_owned(),
        Slip::Kind(kind) => format!("a value must be {kind}"),
        Slip::Said(_) | Slip::Unreadable => "this line is no JSON object".to_owned(),
    };
    let why = crate::say::text::line(&why);
    Fault::say("bad-object", format!("{why}; docs/scripting.md has the objects there are"))
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
    fn what_must_be_an_object_is_called_so() {
        let why = serde_json::from_str::<Object>(r#"{"message":"x"}"#).unwrap_err();

        let Fault::Say { words, .. } = unreadable(&why) else { panic!("{why}") };

        assert!(words.starts_with("a value must be an object;"), "{words}");
    }

    #[test]
    fn a_line_that_makes_no_sense_is_known_by_its_id_if_it_has_one() {
        for (line, id) in [
            (r#"{"message":{"to":"bob","id":"m1"}}"#, Some("m1")),
            (r#"{"dance":{"id":"m1"}}"#, Some("m1")),
            (r#"{"id":"m1","message":{"to":"bob","text":"x"}}"#, Some("m1")),
            (r#"{"message":{"to":"bob","text":"x","id":5}}"#, Some("5")),
            (r#"{"message":{"to":"bob","text":"x","id":null,"more":1}}"#, None),
            (r#"{"message":"id"}"#, None),
            (r#"{"message":{"id":"m1""#, None),
        ] {
            assert_eq!(any_id(line).as_deref(), id, "{line}");
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
