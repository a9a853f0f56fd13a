//! XEP-0004 and XEP-0050: forms of strangers. Whatever is in one, an administrator's command is
//! refused, and a command that checks its field accepts exactly the valid values.

use crate::choices::Choices;
use crate::house::House;
use whoelse_xmpp::{Stanza, StanzaError, ns, write::Element};

const WHOELSE: &str = "urn:whoelse:commands:0#";
const ADMIN: &str = "http://jabber.org/protocol/admin#";

/// Commands of which alice, who is no administrator, may run none.
const FORBIDDEN: &[&str] = &[
    "add-user",
    "delete-user",
    "change-user-password",
    "end-user-session",
    "list-users",
    "block-user",
    "unblock-user",
    "rename-domain",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "5",
    "2147483648",
    "2147483649",
    "-1",
    "+5",
    " 5",
    "5.0",
    "٥",
    "18446744073709551616",
    "bob@localhost",
    "alice@localhost/desk",
    "'; DROP TABLE accounts; --",
    "\u{1f600}",
    "a\u{301}",
    "true",
];
const VARS: &[&str] = &[
    "seconds",
    "text",
    "after",
    "accountjid",
    "accountjids",
    "password",
    "password-verify",
    "FORM_TYPE",
    "old",
    "new",
    "unknown",
    "",
];

/// A command with a form described by `data`.
pub fn commands(data: &[u8]) {
    let mut choices = Choices::new(data);
    let forbidden = choices.once_in(3);
    let node = match (forbidden, choices.pick(FORBIDDEN)) {
        (true, name) if choices.once_in(2) => format!("{ADMIN}{name}"),
        (true, name) => format!("{WHOELSE}{name}"),
        (false, _) => format!("{WHOELSE}{}", choices.pick(&["whoelsesince", "whoelse", "nothing"])),
    };
    let action = choices.pick(&["execute", "complete", "next", "prev", "cancel", "dance", ""]);
    let type_ = choices.pick(&["submit", "form", "result", "cancel", "strange"]);
    let mut form = Element::new("x").xmlns(ns::DATA).attr("type", type_);
    let (mut seconds, mut names_its_kind) = (None, false);
    for _ in 0..choices.below(5) {
        let var = choices.pick(VARS);
        let mut field = Element::new("field").attr("var", var);
        let values: Vec<_> = (0..choices.below(3)).map(|_| choices.pick(VALUES)).collect();
        for value in &values {
            field = field.child(Element::new("value").text(value));
        }
        names_its_kind |= var == "FORM_TYPE";
        if var == "seconds" {
            seconds.get_or_insert(values.first().copied().unwrap_or_default());
        }
        form = form.child(field);
    }
    let mut command = Element::new("command").xmlns(ns::COMMANDS).attr("node", &node);
    if !action.is_empty() {
        command = command.attr("action", action);
    }
    // A form may be refused for what it says of its own kind (XEP-0068), whatever else is in it.
    let is_plain = action == "execute" && type_ == "submit" && !names_its_kind;
    let request = Element::new("iq").attr("type", "set").attr("id", "f").attr("to", "localhost");
    let request = request.child(command.child(form)).finish().to_vec();
    let request = String::from_utf8(request).expect("what we write is UTF-8");

    House::with(|house| {
        let (answer, rest) = house.ask("f", &request);
        if forbidden {
            assert!(StanzaError::read(&answer).is_some(), "{request} ran");
            assert!(rest.is_empty(), "{request} did something: {rest:?}");
        }
        if let (true, true, Some(seconds)) =
            (is_plain, node.ends_with("#whoelsesince"), seconds.filter(|text| !text.is_empty()))
        {
            let taken = status(&answer) == Some("completed");
            assert_eq!(taken, is_number_of_seconds(seconds), "{request}");
        }
    });
}

/// docs/protocol.md: a whole number from 0 to 2147483648.
fn is_number_of_seconds(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u64>().is_ok_and(|n| n <= 1 << 31)
}

fn status(answer: &Stanza) -> Option<&'static str> {
    let command = answer.child("command", ns::COMMANDS)?;
    let status = answer.child_attr(command, "status")?;
    ["completed", "executing", "canceled"].into_iter().find(|known| *known == status)
}
