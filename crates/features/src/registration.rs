//! XEP-0077, In-Band Registration, for users who are logged in: changes the password, or removes
//! the account.
//!
//! Registration before login is in the crates `stream` and `core`.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::kit::{Answer, Feature, Reply, SERVER_OR_OWN, SessionCx, Verb};
use whoelse_stream::secret::Password;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Child, Class, Condition, Stanza, StanzaError, ns};

/// XEP-0077.
pub const FEATURE: Feature = Feature {
    name: "registration",
    xeps: &[(77, "2.4")],
    disco: &[ns::REGISTER],
    wire: |w| {
        w.on(Verb::Get, SERVER_OR_OWN, (ns::REGISTER, "query"), fields);
        w.on(Verb::Set, SERVER_OR_OWN, (ns::REGISTER, "query"), change);
    },
    ..Feature::PLAIN
};

/// XEP-0077, 3.1: tells a user that they are registered.
async fn fields(cx: SessionCx, _: Stanza, _: Child) -> Answer {
    let fields = Element::new("query")
        .xmlns(ns::REGISTER)
        .child(Element::new("registered"))
        .child(Element::new("username").text(cx.account()?.name()))
        .child(Element::new("password"));
    Ok(Reply::encoded(fields.finish()))
}

async fn change(cx: SessionCx, stanza: Stanza, query: Child) -> Answer {
    let account = cx.account()?;
    let fields = stanza.grandchildren(&query);
    let field = |name: &str| fields.iter().find(|field| field.is(name, ns::REGISTER));
    let text = |name: &str| field(name).map(|field| stanza.text_of(field));
    if field("remove").is_some() {
        return match fields.len() {
            1 => cancel(&cx, account, &stanza).await,
            _ => Err(StanzaError::new(Condition::BadRequest)
                .with_text("<remove/> must be the only element")),
        };
    }
    // XEP-0077, 3.3: the name must be the user's own, and the password must be there.
    let (Some(username), Some(password)) = (text("username"), text("password")) else {
        return Err(StanzaError::new(Condition::BadRequest)
            .with_text("a change of password needs the user name and the new password"));
    };
    let own = account.jid();
    if BareJid::new(Some(&username), own.domain()).as_ref() != Ok(own) {
        return Err(StanzaError::new(Condition::NotAllowed)
            .with_text("you can change your own password only"));
    }
    let password = Password::new(&password)
        .map_err(|error| StanzaError::new(Condition::NotAcceptable).with_text(error.to_string()))?;
    let short = cx.node.judge_password(&password)?;
    cx.node.set_password(account, password, Some(&cx.session)).await?;
    cx.node.warn_of_short_password(own, short.as_deref());
    Ok(Reply::empty())
}

/// XEP-0077, 3.2: sends the result first, then ends the stream.
async fn cancel(cx: &SessionCx, account: &Arc<Account>, stanza: &Stanza) -> Answer {
    let result = Element::new("iq")
        .attr("type", "result")
        .attr_opt("id", stanza.id())
        .attr_opt("from", stanza.to())
        .attr("to", cx.session.jid.as_str())
        .outgoing(Class::IqAnswer);
    let session = cx.session.clone();
    let farewell = move || session.push(result);
    cx.node.remove_account(account, Some(&cx.session), farewell).await?;
    // The result is on its way, and the end of the stream follows it.
    Ok(Reply::sent())
}
