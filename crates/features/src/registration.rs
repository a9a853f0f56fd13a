//! XEP-0077, In-Band Registration, for users who are logged in: changes the password, or removes
//! the account.
//!
//! Registration before login is in the crates `stream` and `core`.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::kit::command::{Field, FieldKind};
use whoelse_core::kit::{Answer, Feature, Reply, SERVER_OR_OWN, SessionCx, Verb};
use whoelse_stream::secret::Password;
use whoelse_xmpp::payload::xmpp_parsers::data_forms::{DataForm, DataFormType};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{
    BareJid, Child, Class, Condition, ErrorType, Outgoing, Stanza, StanzaError, ns,
};

use crate::form;

/// The form to change a password, with the present one (XEP-0077, 3.3).
const CHANGE_FORM: &str = "jabber:iq:register:changepassword";
/// The form to remove the account, with its password (XEP-0077, 3.2).
const REMOVAL_FORM: &str = "jabber:iq:register:cancel";

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

/// A change of the own account that somebody asks for.
struct Wish {
    what: Change,
    /// The present password, if it was given.
    present: Option<Password>,
}

enum Change {
    /// XEP-0077, 3.2.
    Remove,
    /// XEP-0077, 3.3.
    Password(Password),
}

async fn change(cx: SessionCx, stanza: Stanza, query: Child) -> Answer {
    let account = cx.account()?;
    let fields = stanza.grandchildren(&query);
    let Wish { what, present } = match fields.iter().find(|field| field.is("x", ns::DATA)) {
        Some(form) => in_a_form(account, &stanza, form)?,
        None => in_fields(account, &stanza, &fields)?,
    };
    // A password that will not do costs no try.
    let short = match &what {
        Change::Password(new) => cx.node.judge_password(new)?,
        Change::Remove => None,
    };
    if present.is_some() || matches!(what, Change::Password(_)) {
        cx.node.password_turn(&cx.session).await;
    }
    // Passwords are hashed for one session of an account at a time: there are few places for that.
    match present {
        Some(present) => {
            let checked = cx.node.check_password(&cx.session, account, present);
            cx.session.one_by_one(checked).await?;
        }
        None if cx.node.has_proved_lately(&cx.session) => {}
        None => {
            cx.session.push(ask_for_the_password(&cx, &stanza, &what));
            return Ok(Reply::sent());
        }
    }
    match what {
        Change::Remove => cancel(&cx, account, &stanza).await,
        Change::Password(new) => {
            let set = cx.node.set_password(account, new, Some(&cx.session));
            cx.session.one_by_one(set).await?;
            cx.node.warn_of_short_password(account.jid(), short.as_deref());
            Ok(Reply::empty())
        }
    }
}

fn in_fields(account: &Account, stanza: &Stanza, fields: &[Child]) -> Result<Wish, StanzaError> {
    let field = |name: &str| fields.iter().find(|field| field.is(name, ns::REGISTER));
    let text = |name: &str| field(name).map(|field| stanza.text_of(field));
    if field("remove").is_some() {
        return match fields.len() {
            1 => Ok(Wish { what: Change::Remove, present: None }),
            _ => Err(StanzaError::new(Condition::BadRequest)
                .with_text("<remove/> must be the only element")),
        };
    }
    // XEP-0077, 3.3: the name must be the user's own, and the password must be there.
    let username = given(text("username"), "the user name")?;
    let password = given(text("password"), "the new password")?;
    own_name(account, &username)?;
    Ok(Wish { what: Change::Password(acceptable(&password)?), present: None })
}

/// Reads one of the two forms that [`ask_for_the_password`] sends.
fn in_a_form(account: &Account, stanza: &Stanza, form: &Child) -> Result<Wish, StanzaError> {
    let form = stanza.payload::<DataForm>(form)?;
    if form.type_ != DataFormType::Submit {
        return Err(StanzaError::new(Condition::BadRequest).with_text("the form is not submitted"));
    }
    let is_removal = match form.form_type() {
        Some(CHANGE_FORM) => false,
        Some(REMOVAL_FORM) => true,
        _ => return Err(StanzaError::new(Condition::BadRequest).with_text("no such form")),
    };
    let values = form::values(form);
    own_name(account, given(values.get("username"), "the user name")?)?;
    if is_removal {
        let present = given(values.get("password"), "the password")?;
        return Ok(Wish { what: Change::Remove, present: Some(acceptable(present)?) });
    }
    let present = given(values.get("old_password"), "the present password")?;
    let password = given(values.get("password"), "the new password")?;
    let what = Change::Password(acceptable(password)?);
    Ok(Wish { what, present: Some(acceptable(present)?) })
}

/// The name may be the whole address, as in the forms of the XEP.
fn own_name(account: &Account, given: &str) -> Result<(), StanzaError> {
    let own = account.jid();
    let is_own = BareJid::new(Some(given), own.domain()).as_ref() == Ok(own)
        || BareJid::parse(given).as_ref() == Ok(own);
    match is_own {
        true => Ok(()),
        false => Err(StanzaError::new(Condition::NotAllowed)
            .with_text("you can change your own account only")),
    }
}

fn acceptable(password: &str) -> Result<Password, StanzaError> {
    Password::new(password)
        .map_err(|error| StanzaError::new(Condition::NotAcceptable).with_text(error.to_string()))
}

fn given<T>(value: Option<T>, what: &str) -> Result<T, StanzaError> {
    let missing =
        || StanzaError::new(Condition::BadRequest).with_text(format!("{what} is missing"));
    value.ok_or_else(missing)
}

/// Makes the error that asks for the present password, with the form that the XEP has for it.
fn ask_for_the_password(cx: &SessionCx, stanza: &Stanza, what: &Change) -> Outgoing {
    const NAME: Field =
        Field { var: "username", label: "User name", kind: FieldKind::TextSingle, required: true };
    const PASSWORD: Field =
        Field { var: "password", label: "Password", kind: FieldKind::TextPrivate, required: true };
    const OLD: Field = Field { var: "old_password", label: "Present password", ..PASSWORD };
    const NEW: Field = Field { label: "New password", ..PASSWORD };
    let (title, about, fields, condition) = match what {
        Change::Remove => (
            "Remove the account",
            REMOVAL_FORM,
            &[NAME, PASSWORD][..],
            // The conditions are those of the XEP's examples.
            StanzaError::new(Condition::NotAllowed),
        ),
        Change::Password(_) => (
            "Change the password",
            CHANGE_FORM,
            &[NAME, OLD, NEW][..],
            StanzaError::new(Condition::NotAuthorized).with_type(ErrorType::Modify),
        ),
    };
    let error = condition.with_text(
        "confirm this with your present password, or log out and in again, then repeat this",
    );
    let form = form::to_fill_in(title, Some(about), fields);
    Element::new("iq")
        .attr("type", "error")
        .attr_opt("id", stanza.id())
        .attr_opt("from", stanza.to())
        .attr("to", cx.session.jid.as_str())
        .child(Element::new("query").xmlns(ns::REGISTER).child(form))
        .raw(&error.encode())
        .outgoing(Class::IqAnswer)
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
