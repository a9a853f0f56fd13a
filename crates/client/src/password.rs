//! XEP-0077, 3.3, for a client: changes the password of the own account.
//!
//! The server asks only for the new password of a logged-in user. This client requires the present
//! one as well, so that somebody at an unattended terminal cannot take the account.

use whoelse_stream::Password;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Jid, ns};

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
    let text = String::from_utf8_lossy(new.reveal()).into_owned();
    let query = Element::new("query")
        .xmlns(ns::REGISTER)
        .child(Element::new("username").text(me.to_bare().local().unwrap_or_default()))
        .child(Element::new("password").text(&text));
    let server = Jid::parse(me.domain()).ok();
    let answer = client.request(Request { to: server, ..Request::set(query) }).await;
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
