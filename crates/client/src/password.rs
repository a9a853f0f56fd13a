//! XEP-0077, 3.3, for a client: changes the password of the own account.
//!
//! This client requires the present password, so that somebody at an unattended terminal cannot take
//! the account. The server is told it only by the form of the XEP: if it asks for that, or if the session
//! began by a token, so that only the server knows whether it is right.

use whoelse_stream::Password;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Jid, Stanza, ns};

use crate::client::Client;
use crate::error::{PasswordError, RequestError};
use crate::nested;
use crate::request::Request;

const CHANGE_FORM: &str = "jabber:iq:register:changepassword";

/// Changes the password of the session's account. The session goes on; if its connection is lost
/// before the answer, it reconnects with whichever password the server knows.
pub async fn change(
    client: &Client,
    present: &Password,
    new: Password,
) -> Result<(), PasswordError> {
    let me = client.me().ok_or(PasswordError::Request(RequestError::NotLoggedIn))?;
    let proof = client.proof();
    let is_known = proof.prepare(present, &new)?;
    let me = me.to_bare();
    let server = Jid::parse(me.domain()).ok();
    let ask = |query| Request { to: server.clone(), ..Request::set(query) };
    let plainly = Request { asks_back: Some(asks_for_present), ..ask(plainly(&me, &new)) };
    let told_plainly = match is_known {
        true => Some(client.request(plainly).await),
        false => None,
    };
    let answer = match told_plainly {
        Some(answer) if !answer.as_ref().is_ok_and(|it| asks_for_present(&it.iq)) => answer,
        // The server wants to compare the present password, or is the only one that can.
        _ => client.request(ask(by_form(&me, present, &new))).await,
    };
    match answer {
        Ok(_) => proof.settle(Some(new)),
        Err(RequestError::Refused(_) | RequestError::NotLoggedIn | RequestError::TooMany) => {
            proof.settle(None);
        }
        // It is unknown whether the password was changed.
        Err(_) => {}
    }
    answer.map(drop).map_err(PasswordError::Request)
}

fn plainly(me: &BareJid, new: &Password) -> Element {
    Element::new("query")
        .xmlns(ns::REGISTER)
        .child(Element::new("username").text(me.local().unwrap_or_default()))
        .child(Element::new("password").text(&text(new)))
}

/// Whether this refusal asks for the present password by the form of XEP-0077, 3.3. Any other one,
/// whatever its condition is, is not told it.
fn asks_for_present(answer: &Stanza) -> bool {
    let query = nested::find(answer, "query", ns::REGISTER);
    let form = query.and_then(|query| nested::find(&query, "x", ns::DATA));
    let is_of = |field: Stanza| {
        field.attr("var").as_deref() == Some("FORM_TYPE")
            && nested::each(&field, "value").any(|value| value.text() == CHANGE_FORM)
    };
    answer.type_() == Some("error")
        && form.is_some_and(|form| nested::each(&form, "field").any(is_of))
}

/// The submitted form of XEP-0077, 3.3.
fn by_form(me: &BareJid, present: &Password, new: &Password) -> Element {
    let form = Element::new("x").xmlns(ns::DATA).attr("type", "submit");
    let fields = [
        ("FORM_TYPE", CHANGE_FORM.to_owned()),
        ("username", me.local().unwrap_or_default().to_owned()),
        ("old_password", text(present)),
        ("password", text(new)),
    ];
    let form = fields.iter().fold(form, |form, (var, value)| {
        let value = Element::new("value").text(value);
        form.child(Element::new("field").attr("var", var).child(value))
    });
    Element::new("query").xmlns(ns::REGISTER).child(form)
}

fn text(password: &Password) -> String {
    String::from_utf8_lossy(password.reveal()).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_present_password_is_told_to_whoever_asks_for_it_by_the_form_and_to_nobody_else() {
        let form = |about: &str| {
            format!(
                "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='form'>\
                 <field var='FORM_TYPE' type='hidden'><value>{about}</value></field>\
                 <field var='old_password' type='text-private'/></x></query>"
            )
        };
        let asked = form("jabber:iq:register:changepassword");
        let bare = "<query xmlns='jabber:iq:register'/>".to_owned();
        for (type_, payload, wanted) in [
            ("error", &asked, true),
            ("result", &asked, false),
            ("error", &form("jabber:iq:register:cancel"), false),
            ("error", &bare, false),
            ("error", &String::new(), false),
        ] {
            let xml = format!(
                "<iq type='{type_}' id='q1'>{payload}<error type='modify'>\
                 <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            );
            let answer = Stanza::parse(xml.into_bytes()).unwrap();
            assert_eq!(asks_for_present(&answer), wanted, "{type_} {payload}");
        }
    }
}
