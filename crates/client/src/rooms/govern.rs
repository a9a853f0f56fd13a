//! XEP-0045, 8 to 10: what moderators, admins and owners of a room ask for.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Jid, Stanza, ns};

use super::occupant::{Affiliation, Role};
use super::user::Item;
use crate::client::Client;
use crate::error::RequestError;
use crate::nested;
use crate::request::Request;

/// People of one list that are read.
const MAX_LISTED: usize = 10_000;

/// Somebody in a list of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affiliated {
    /// The account, or a whole domain.
    pub who: BareJid,
    /// What they are.
    pub affiliation: Affiliation,
}

/// 8.2, 9.6: gives the occupant of a nickname a role; none puts them out.
pub async fn set_role(
    client: &Client,
    room: &BareJid,
    (nick, role): (&str, Role),
    reason: Option<&str>,
) -> Result<(), RequestError> {
    let item = Element::new("item").attr("nick", nick).attr("role", role.word());
    change(client, room, ns::MUC_ADMIN, with_reason(item, reason)).await
}

/// 9: gives an account an affiliation.
pub async fn set_affiliation(
    client: &Client,
    room: &BareJid,
    (who, affiliation): (&BareJid, Affiliation),
    reason: Option<&str>,
) -> Result<(), RequestError> {
    let item =
        Element::new("item").attr("jid", who.as_str()).attr("affiliation", affiliation.word());
    change(client, room, ns::MUC_ADMIN, with_reason(item, reason)).await
}

/// 9.5: returns everybody of an affiliation.
pub async fn list(
    client: &Client,
    room: &BareJid,
    affiliation: Affiliation,
) -> Result<Vec<Affiliated>, RequestError> {
    let item = Element::new("item").attr("affiliation", affiliation.word());
    let query = Element::new("query").xmlns(ns::MUC_ADMIN).child(item);
    let answer = client.request(Request::get(query).to(Jid::from(room.clone()))).await?;
    let query = nested::find(&answer.iq, "query", ns::MUC_ADMIN);
    let query = query.ok_or(RequestError::Unreadable)?;
    let read = |item: Stanza| {
        let Item { who, affiliation, .. } = Item::read(&item);
        Some(Affiliated { who: who?, affiliation })
    };
    Ok(nested::each(&query, "item").filter_map(read).take(MAX_LISTED).collect())
}

/// 10.2: changes these fields of the configuration, of those that the room has; the rest stays.
pub async fn configure(
    client: &Client,
    room: &BareJid,
    fields: &[(&str, &str)],
) -> Result<(), RequestError> {
    let query = Element::new("query").xmlns(ns::MUC_OWNER);
    let answer = client.request(Request::get(query).to(Jid::from(room.clone()))).await?;
    let query = nested::find(&answer.iq, "query", ns::MUC_OWNER);
    let form = query.and_then(|query| nested::find(&query, "x", ns::DATA));
    let form = filled(&form.ok_or(RequestError::Unreadable)?, fields);
    change(client, room, ns::MUC_OWNER, form).await
}

/// 10.1.4: takes back a room that waits for its first configuration.
pub(super) async fn cancel(client: &Client, room: &BareJid) -> Result<(), RequestError> {
    let form = Element::new("x").xmlns(ns::DATA).attr("type", "cancel");
    change(client, room, ns::MUC_OWNER, form).await
}

/// 10.9: destroys a room.
pub async fn destroy(client: &Client, room: &BareJid) -> Result<(), RequestError> {
    change(client, room, ns::MUC_OWNER, Element::new("destroy")).await
}

async fn change(
    client: &Client,
    room: &BareJid,
    namespace: &str,
    inside: Element,
) -> Result<(), RequestError> {
    let query = Element::new("query").xmlns(namespace).child(inside);
    client.request(Request::set(query).to(Jid::from(room.clone()))).await.map(|_| ())
}

fn with_reason(item: Element, reason: Option<&str>) -> Element {
    reason.into_iter().fold(item, |item, reason| item.text_child("reason", reason))
}

/// Fills in a form (XEP-0004): each field as it is, but for those that are to change.
fn filled(form: &Stanza, changes: &[(&str, &str)]) -> Element {
    let submit = Element::new("x").xmlns(ns::DATA).attr("type", "submit");
    nested::each(form, "field").fold(submit, |submit, field| {
        let Some(var) = field.attr("var") else { return submit };
        let change = changes.iter().find(|(name, _)| *name == var);
        let values: Vec<String> = match change {
            Some((_, value)) => vec![(*value).to_owned()],
            None => nested::each(&field, "value").map(|it| it.text().into()).collect(),
        };
        let filled = Element::new("field").attr("var", &var);
        submit.child(values.iter().fold(filled, |it, value| it.text_child("value", value)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_form_is_filled_in_with_what_changes_and_what_is_so() {
        let form = Stanza::parse(
            "<x xmlns='jabber:x:data' type='form'><title>t</title>\
             <field var='FORM_TYPE' type='hidden'><value>f</value></field>\
             <field var='muc#roomconfig_roomname'><value>a &amp; b</value></field>\
             <field var='muc#roomconfig_membersonly' type='boolean'><value>0</value></field>\
             <field var='muc#roomconfig_presencebroadcast'><value>moderator</value>\
             <value>visitor</value><option><value>participant</value></option></field>\
             <field type='fixed'><value>words</value></field></x>",
        )
        .unwrap();

        let submitted =
            filled(&form, &[("muc#roomconfig_membersonly", "1"), ("muc#roomconfig_fun", "1")]);

        assert_eq!(
            std::str::from_utf8(&submitted.finish()).unwrap(),
            "<x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>f</value></field>\
             <field var='muc#roomconfig_roomname'><value>a &amp; b</value></field>\
             <field var='muc#roomconfig_membersonly'><value>1</value></field>\
             <field var='muc#roomconfig_presencebroadcast'><value>moderator</value>\
             <value>visitor</value></field></x>"
        );
    }

    #[test]
    fn a_reason_goes_with_what_it_is_for() {
        let item = with_reason(Element::new("item").attr("nick", "bob"), Some("a<b"));
        let text = item.finish();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(text, "<item nick='bob'><reason>a&lt;b</reason></item>");
    }
}
