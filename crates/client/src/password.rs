//! XEP-0077, 3.3, from a client: another password for the own account.
//!
//! The server asks for nothing but the new one, of whoever is logged in. Here the present one has to
//! be said as well: whoever passes by a terminal that is left alone has no right to the account.

use whoelse_stream::Password;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Jid, ns};

use crate::client::Client;
use crate::error::{PasswordError, RequestError};
use crate::request::Request;

/// Changes the password of whoever is logged in. The session goes on; when its connection is lost
/// before the server's answer, it comes back with whichever password the server knows.
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
        // Nobody knows.
        Err(_) => {}
    }
    answer.map(drop).map_err(PasswordError::Request)
}
