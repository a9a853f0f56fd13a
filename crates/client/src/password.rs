//! XEP-0077, 3.3, for a client: changes the password of the own account.
//!
//! This client requires the present password, so that somebody at an unattended terminal cannot take
//! the account. The server is told it only if it asks for it, by the form of the XEP.

use whoelse_stream::Password;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Condition, Jid, ns};

use crate::client::Client;
use crate::error::{PasswordError, RequestError};
use crate::request::Request;

/// Changes the password of the session's account. The session goes on; if its connection is lost
/// before the answer, it reconnects with whichever password the server knows.
pub async fn change(
    client: &Client,
    present: &Password,
    new: Password,
) -> Result<(), PasswordError> {
    let me = client.me().ok_or(PasswordError::Request(RequestError::NotLoggedIn))?;
    let proof = client.proof();
    proof.prepare(present, &new)?;
    let me = me.to_bare();
    let server = Jid::parse(me.domain()).ok();
    let ask = |query| client.request(Request { to: server.clone(), ..Request::set(query) });
    let mut answer = ask(plainly(&me, &new)).await;
    if let Err(RequestError::Refused(error)) = &answer
        && error.condition == Condition::NotAuthorized
    {
        answer = ask(by_form(&me, present, &new)).await;
    }
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

/// The submitted form of XEP-0077, 3.3.
fn by_form(me: &BareJid, present: &Password, new: &Password) -> Element {
    let form = Element::new("x").xmlns(ns::DATA).attr("type", "submit");
    let fields = [
        ("FORM_TYPE", "jabber:iq:register:changepassword".to_owned()),
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
