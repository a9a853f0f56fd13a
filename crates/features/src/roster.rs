//! RFC 6121, 2: a client requests its roster and changes it. With the shared roster, all accounts
//! of the server are in it, with the names and groups that the user has set.
//!
//! Subscriptions are not set here but by presence, which the rules handle (crate `core`, module
//! `roster`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_core::kit::{Answer, At, Feature, Reply, SessionCx, Target, Verb};
use whoelse_core::roster::item::{item, push_to, version_name};
use whoelse_core::roster::outbound::{Wish, change};
use whoelse_core::roster::{Contact, Interested, Roster};
use whoelse_core::settings;
use whoelse_core::settings::count;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Child, Class, Condition, Jid, Stanza, StanzaError, ns};

use crate::readable;

/// RFC 6121, 2.
pub const FEATURE: Feature = Feature {
    name: "roster",
    xeps: &[],
    disco: &[],
    settings: &[Limits::SETTINGS],
    wire: |w| {
        w.on(Verb::Get, ANY_ACCOUNT, (ns::ROSTER, "query"), get);
        w.on(Verb::Set, ANY_ACCOUNT, (ns::ROSTER, "query"), set);
        w.accounts(tell_everybody);
        w.offer_if(has_subscriptions, "<ver xmlns='urn:xmpp:features:rosterver'/>");
        w.offer_if(has_subscriptions, "<sub xmlns='urn:xmpp:features:pre-approval'/>");
    },
    ..Feature::PLAIN
};

settings! {
    /// Bounds of what a client may write into a roster.
    struct Limits in "limits" {
        /// Groups one contact can be in: more than anybody sorts by.
        roster_groups: usize = 50, count();
        /// Bytes of the name of a contact or a group: more than anybody reads.
        roster_name: usize = 1_023, count();
    }
}

/// RFC 6121, 2.6 and 3.4: the shared roster has no versions, and no subscription to approve.
fn has_subscriptions(settings: &whoelse_core::settings::Settings) -> bool {
    !settings.contacts.are_shared()
}

/// Requests for somebody else's roster are answered here as well, without telling whether there is
/// one.
const ANY_ACCOUNT: At = &[Target::Own, Target::Other, Target::Hidden];
/// The most changes that are pushed one by one to a client with an older roster. Past it the whole
/// roster is shorter.
const MOST_CHANGES: usize = 100;

// --- asked for ---

async fn get(cx: SessionCx, stanza: Stanza, query: Child) -> Answer {
    own_alone(&cx)?;
    cx.session.slots.put(Arc::new(Interested));
    // The server itself, as which an administrator acts, has an empty one.
    let roster = cx.account().map(|own| own.roster()).unwrap_or_default();
    if cx.node.contacts.are_shared() {
        return shared(&cx, &roster).await;
    }
    let known = stanza.child_attr(&query, "ver").and_then(|ver| ver.parse().ok());
    let changed = known.and_then(|known| roster.changed_since(known));
    if let Some(changed) = changed.filter(|changed| changed.len() <= MOST_CHANGES) {
        return Ok(catch_up(&cx, &stanza, &changed));
    }
    let version = version_name(&cx.node, roster.version());
    let query = Element::new("query").xmlns(ns::ROSTER).attr_opt("ver", version.as_deref());
    let items = roster.contacts().map(|(jid, contact)| item(&cx.node, jid, contact, false));
    Ok(Reply::encoded(items.fold(query, Element::child).finish()))
}

/// RFC 6121, 2.6.3: sends an empty result, and then what the client has missed, as pushes.
fn catch_up(cx: &SessionCx, stanza: &Stanza, changed: &[(&BareJid, &Contact)]) -> Reply {
    if changed.is_empty() {
        return Reply::empty();
    }
    let result = Element::new("iq")
        .attr("type", "result")
        .attr_opt("id", stanza.id())
        .attr_opt("from", stanza.to())
        .attr("to", cx.session.jid.as_str());
    cx.session.push(result.outgoing(Class::IqAnswer));
    for (jid, contact) in changed {
        push_to(&cx.session, item(&cx.node, jid, contact, false), Some(contact.version));
    }
    Reply::sent()
}

/// Answers with everybody on the server but the user, with the user's names and groups for them,
/// and the user's other contacts.
async fn shared(cx: &SessionCx, roster: &Roster) -> Answer {
    let items = cx.node.everybody.items(&cx.node).await;
    let items = readable(&cx.node, "accounts_unreadable", None, items)?;
    let mut others: BTreeMap<&BareJid, &Contact> = roster.contacts().collect();
    let own = cx.from.to_bare();
    let here = others.keys().copied().filter(|jid| jid.domain() == own.domain()).chain([&own]);
    let instead = here.filter_map(|jid| Some((jid.local()?, jid))).collect();
    let query = Element::new("query").xmlns(ns::ROSTER).raw_by(items.bytes(), |out| {
        items.write(out, &instead, |out, jid| {
            if let Some(contact) = others.remove(jid) {
                out.extend_from_slice(&item(&cx.node, jid, contact, true).finish());
            }
        });
    });
    let others = others.into_iter().map(|(jid, contact)| item(&cx.node, jid, contact, false));
    Ok(Reply::encoded(others.fold(query, Element::child).finish()))
}

// --- changed ---

async fn set(cx: SessionCx, stanza: Stanza, query: Child) -> Answer {
    own_alone(&cx)?;
    let own = cx.account()?;
    let (jid, wish) = read(&cx, &stanza, &query)?;
    if matches!(wish, Wish::Remove)
        && cx.node.contacts.are_shared()
        && !own.roster().get(&jid).is_some_and(|contact| contact.listed)
        && exists(&cx, &jid).await?
    {
        return Err(StanzaError::new(Condition::NotAllowed)
            .with_text("everyone on this server is in the roster"));
    }
    change(&cx.node, own, &jid, wish).await?;
    Ok(Reply::empty())
}

/// RFC 6121, 2.3.3 and 2.5.3: nobody else's roster can be read or changed.
fn own_alone(cx: &SessionCx) -> Result<(), StanzaError> {
    match cx.target {
        Target::Own => Ok(()),
        Target::Hidden | Target::HiddenDevice => Err(cx.hidden()),
        Target::Other | Target::Server | Target::Service(_) => {
            Err(StanzaError::new(Condition::Forbidden))
        }
    }
}

/// RFC 6121, 2.3.1 and 2.3.3: reads one item, for an address that is somebody else's. Ignores a
/// subscription other than `remove`, and `ask` and `approved`.
fn read(cx: &SessionCx, stanza: &Stanza, query: &Child) -> Result<(BareJid, Wish), StanzaError> {
    let refuse = |condition, text: String| Err(StanzaError::new(condition).with_text(text));
    let inside = stanza.grandchildren(query);
    let mut items = inside.iter().filter(|child| child.is("item", ns::ROSTER));
    let (Some(item), None) = (items.next(), items.next()) else {
        return refuse(Condition::BadRequest, "a roster is changed one item at a time".to_owned());
    };
    let Some(jid) = stanza.child_attr(item, "jid") else {
        return refuse(Condition::BadRequest, "the item has no address".to_owned());
    };
    let jid = Jid::parse(&jid).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
    if !jid.is_bare() {
        return refuse(Condition::BadRequest, "a contact has no resource".to_owned());
    }
    let jid = jid.to_bare();
    if jid.as_str() == cx.from.bare() {
        return refuse(Condition::NotAllowed, "you are no contact of your own".to_owned());
    }
    if stanza.child_attr(item, "subscription").as_deref() == Some("remove") {
        return Ok((jid, Wish::Remove));
    }
    let settings = cx.node.settings();
    let limits = settings.of::<Limits>();
    let name = stanza.child_attr(item, "name").unwrap_or_default();
    let inside = stanza.grandchildren(item);
    let groups = inside.iter().filter(|child| child.is("group", ns::ROSTER));
    let groups: Vec<String> = groups.map(|group| stanza.text_of(group).into()).collect();
    let most = limits.roster_name;
    if name.len() > most || groups.iter().any(|group| group.len() > most) {
        return refuse(Condition::NotAcceptable, format!("a name has {most} bytes at most"));
    }
    if groups.iter().any(String::is_empty) {
        return refuse(Condition::NotAcceptable, "a group needs a name".to_owned());
    }
    let most = limits.roster_groups;
    if groups.len() > most {
        return refuse(Condition::NotAcceptable, format!("a contact is in {most} groups at most"));
    }
    if groups.iter().collect::<HashSet<_>>().len() != groups.len() {
        return refuse(Condition::BadRequest, "a group is named twice".to_owned());
    }
    Ok((jid, Wish::Set { name: name.into(), groups }))
}

/// Whether the contact is an account of this server.
async fn exists(cx: &SessionCx, jid: &BareJid) -> Result<bool, StanzaError> {
    if !cx.node.is_local(jid) {
        return Ok(false);
    }
    Ok(cx.node.look_up(jid).await?.is_some())
}

/// With the shared roster: tells every client that has requested its roster that an account was
/// made or removed.
fn tell_everybody(node: &Arc<Node>, account: &Arc<Account>, exists: bool) {
    if !node.contacts.are_shared() {
        return;
    }
    let jid = account.jid();
    let nobody = Contact::default();
    for session in node.sessions() {
        let own = session.account.as_ref();
        if session.slots.has::<Interested>() && own.is_none_or(|own| own.id != account.id) {
            let roster = own.map(|own| own.roster()).unwrap_or_default();
            let contact = roster.get(jid).filter(|_| exists).unwrap_or(&nobody);
            push_to(&session, item(node, jid, contact, exists), None);
        }
    }
}
