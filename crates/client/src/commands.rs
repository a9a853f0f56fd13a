//! XEP-0050 for a client: the server's commands for everybody (docs/protocol.md).
//!
//! Each is run in one step: `execute` with the completed form is answered with `completed`.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Jid, Stanza, ns};

use crate::client::Client;
use crate::error::RequestError;
use crate::nested;
use crate::request::Request;

/// How many a broadcast reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everyone it was meant for.
    Everyone,
    /// Some did not get it; the server does not say who.
    NotEveryone,
    /// There was nobody to reach.
    Nobody,
}

/// Returns everyone else online that I may see, sorted.
pub async fn whoelse(client: &Client) -> Result<Vec<BareJid>, RequestError> {
    accounts(&run(client, "whoelse", &[]).await?)
}

/// Returns everyone else that I may see and who was online in the past `seconds`, sorted.
pub async fn whoelse_since(client: &Client, seconds: u64) -> Result<Vec<BareJid>, RequestError> {
    accounts(&run(client, "whoelsesince", &[("seconds", &seconds.to_string())]).await?)
}

/// Sends to everyone else online that I may see.
pub async fn broadcast(client: &Client, text: &str) -> Result<Reach, RequestError> {
    reach(&run(client, "broadcast", &[("text", text)]).await?)
}

/// Runs one of our commands, and returns the server's answer.
pub(crate) async fn run(
    client: &Client,
    name: &str,
    fields: &[(&str, &str)],
) -> Result<Stanza, RequestError> {
    let server = Jid::parse(&client.domain()).map_err(|_| RequestError::Unreadable)?;
    Ok(client.request(request(name, fields).to(server)).await?.iq)
}

/// Returns the request for one of our commands; it must be addressed to the server.
pub fn request(name: &str, fields: &[(&str, &str)]) -> Request {
    execute(&format!("{}#{name}", ns::WHOELSE_COMMANDS), fields)
}

/// Returns the request that runs any command in one step.
pub(crate) fn execute(node: &str, fields: &[(&str, &str)]) -> Request {
    let mut command =
        Element::new("command").xmlns(ns::COMMANDS).attr("node", node).attr("action", "execute");
    if !fields.is_empty() {
        command = command.child(form(None, fields));
    }
    Request::set(command)
}

/// Returns a completed form (XEP-0004).
pub(crate) fn form(form_type: Option<&str>, fields: &[(&str, &str)]) -> Element {
    let value = |text: &str| Element::new("value").text(text);
    let mut form = Element::new("x").xmlns(ns::DATA).attr("type", "submit");
    if let Some(form_type) = form_type {
        let hidden = Element::new("field").attr("var", "FORM_TYPE").attr("type", "hidden");
        form = form.child(hidden.child(value(form_type)));
    }
    fields.iter().fold(form, |form, (var, text)| {
        form.child(Element::new("field").attr("var", var).child(value(text)))
    })
}

/// Returns the command of an answer, which must be completed, since all of ours take one step.
pub(crate) fn completed(answer: &Stanza) -> Result<Stanza, RequestError> {
    nested::find(answer, "command", ns::COMMANDS)
        .filter(|command| command.attr("status").as_deref() == Some("completed"))
        .ok_or(RequestError::Unreadable)
}

/// Reads the accounts from an answer to `whoelse` or `whoelsesince`.
pub fn accounts(answer: &Stanza) -> Result<Vec<BareJid>, RequestError> {
    let command = completed(answer)?;
    let Some(form) = nested::find(&command, "x", ns::DATA) else { return Ok(Vec::new()) };
    let mut accounts = Vec::new();
    for field in nested::each(&form, "field") {
        if field.attr("var").as_deref() == Some("accounts") {
            for value in nested::each(&field, "value") {
                let account = BareJid::parse(&value.text());
                accounts.push(account.map_err(|_| RequestError::Unreadable)?);
            }
        }
    }
    accounts.sort();
    Ok(accounts)
}

/// Reads the reach from an answer to `broadcast`: a note of type `warn` means "not all", one of
/// type `info` means "nobody".
pub fn reach(answer: &Stanza) -> Result<Reach, RequestError> {
    let command = completed(answer)?;
    let noted = |type_: &str| {
        nested::each(&command, "note").any(|note| note.attr("type").as_deref() == Some(type_))
    };
    Ok(match (noted("warn"), noted("info")) {
        (true, _) => Reach::NotEveryone,
        (false, true) => Reach::Nobody,
        (false, false) => Reach::Everyone,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(inside: &str) -> Stanza {
        let xml = format!(
            "<iq type='result' id='q' from='a.example'>\
             <command xmlns='http://jabber.org/protocol/commands' {inside}</command></iq>"
        );
        Stanza::parse(xml.into_bytes()).unwrap()
    }

    #[test]
    fn a_command_is_run_in_one_step_with_its_form() {
        let request = request("whoelsesince", &[("seconds", "60")]);

        assert_eq!(
            std::str::from_utf8(&request.payload).unwrap(),
            "<command xmlns='http://jabber.org/protocol/commands' \
             node='urn:whoelse:commands:0#whoelsesince' action='execute'>\
             <x xmlns='jabber:x:data' type='submit'>\
             <field var='seconds'><value>60</value></field></x></command>"
        );
    }

    #[test]
    fn accounts_are_read_and_sorted() {
        let answer = answer(
            "status='completed'><x xmlns='jabber:x:data' type='result'>\
             <field var='other'><value>nonsense here</value></field>\
             <field var='accounts' type='jid-multi'><value>carol@a.example</value>\
             <value>bob@a.example</value></field></x>",
        );

        let names: Vec<_> = accounts(&answer).unwrap().iter().map(ToString::to_string).collect();

        assert_eq!(names, ["bob@a.example", "carol@a.example"]);
    }

    #[test]
    fn nobody_online_is_an_answer_too() {
        let empty = "status='completed'><x xmlns='jabber:x:data' type='result'>\
                     <field var='accounts'/></x>";
        assert_eq!(accounts(&answer(empty)), Ok(vec![]));
        assert_eq!(accounts(&answer("status='completed'>")), Ok(vec![]));
    }

    #[test]
    fn an_answer_that_is_not_complete_or_makes_no_sense_is_refused() {
        let unreadable = Err(RequestError::Unreadable);
        assert_eq!(accounts(&answer("status='executing'>")), unreadable);
        assert_eq!(accounts(&answer(">")), unreadable);
        let nonsense = "status='completed'><x xmlns='jabber:x:data' type='result'>\
                        <field var='accounts'><value>@</value></field></x>";
        assert_eq!(accounts(&answer(nonsense)), unreadable);
        let bare = Stanza::parse("<iq type='result' id='q'/>").unwrap();
        assert_eq!(accounts(&bare), unreadable);
        assert_eq!(reach(&bare), Err(RequestError::Unreadable));
    }

    #[test]
    fn a_note_says_that_a_broadcast_did_not_reach_everyone_or_anyone() {
        let of = |note: &str| reach(&answer(&format!("status='completed'>{note}"))).unwrap();

        assert_eq!(of(""), Reach::Everyone);
        assert_eq!(of("<note type='info'>nobody</note>"), Reach::Nobody);
        assert_eq!(of("<note type='warn'>not all</note>"), Reach::NotEveryone);
    }
}
