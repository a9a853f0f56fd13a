//! XEP-0191, Blocking Command: a user decides whom they hear nothing from, and who sees nothing of
//! them.

use std::collections::BTreeSet;
use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::hosts::Host;
use whoelse_core::keeper::{After, Touches};
use whoelse_core::kit::{Answer, Feature, Flow, OWN, Passing, Reply, SessionCx, When, Wiring};
use whoelse_core::paying::cost;
use whoelse_core::settings;
use whoelse_core::settings::count;
use whoelse_core::{Node, presence, storage_policy};
use whoelse_store::{Store, from_key};
use whoelse_xmpp::payload::xmpp_parsers::blocking::{Block, BlocklistRequest, Unblock};
use whoelse_xmpp::payload::xmpp_parsers::jid;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, ErrorType, Jid, Kind, StanzaError, ns};

use crate::unstored;

/// XEP-0191.
pub const FEATURE: Feature = Feature {
    name: "blocking",
    xeps: &[(191, "1.3")],
    disco: &[ns::BLOCKING],
    settings: &[Limits::SETTINGS],
    wire,
    ..Feature::PLAIN
};

settings! {
    /// Bounds of block lists.
    struct Limits in "limits" {
        /// Entries of one person's block list: more than anybody looks through.
        blocks: usize = 1_000, count();
    }
}

fn wire(w: &mut Wiring) {
    w.account::<Blocks, _>(load);
    w.get(OWN, list);
    w.set(OWN, block);
    w.set(OWN, unblock);
    w.outgoing(When::Guard, refuse_to_blocked);
    w.incoming(When::Guard, refuse_from_blocked);
    w.visibility(shows);
}

/// The block list of an account: bare and full addresses, and whole domains.
#[derive(Debug, Default)]
pub struct Blocks(BTreeSet<String>);

impl Blocks {
    /// XEP-0191, 2.1: matches the full address, the bare one, the domain with the resource, or the
    /// domain.
    pub fn has(&self, jid: &Jid) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let domain = jid.domain();
        self.0.contains(jid.as_str())
            || self.0.contains(jid.to_bare().as_str())
            || self.0.contains(domain)
            || jid.resource().is_some_and(|r| self.0.contains(&format!("{domain}/{r}")))
    }
}

/// Whether `account` has blocked `other`.
pub fn has_blocked(account: &Account, other: &Jid) -> bool {
    account.look(|blocks: &Blocks| blocks.has(other)).unwrap_or_default()
}

async fn load(store: Store, account: i64) -> Result<Blocks, whoelse_store::Error> {
    let own = store.domains().await?;
    let keys = store.blocks(account).await?;
    Ok(Blocks(keys.iter().filter_map(|key| from_key(key, &own)).collect()))
}

// --- the requests ---

/// In the slot of a session whose client has requested the list, and so gets pushes (XEP-0191,
/// 3.2).
struct Interested;

async fn list(cx: SessionCx, _: BlocklistRequest) -> Answer {
    cx.session.slots.put(Arc::new(Interested));
    let mut list = Element::new("blocklist").xmlns(ns::BLOCKING);
    if let Some(blocks) = cx.account()?.get::<Blocks>() {
        for jid in &blocks.0 {
            list = list.child(Element::new("item").attr("jid", jid));
        }
    }
    Ok(Reply::encoded(list.finish()))
}

async fn block(cx: SessionCx, wish: Block) -> Answer {
    let wanted = addresses(&wish.items)?;
    if wanted.is_empty() {
        return Err(StanzaError::new(Condition::BadRequest).with_text("whom to block is missing"));
    }
    let own = cx.account()?;
    let have = own.get::<Blocks>().unwrap_or_default();
    // Each check costs a look-up in the store, so their number is checked first.
    bound(&cx, have.0.len() + wanted.len())?;
    for jid in &wanted {
        if jid.to_bare() == *own.jid() {
            return Err(
                StanzaError::new(Condition::NotAllowed).with_text("you cannot block yourself")
            );
        }
        check(&cx, jid).await?;
    }
    change(&cx, wanted, What::Block).await
}

async fn unblock(cx: SessionCx, wish: Unblock) -> Answer {
    let have = cx.account()?.get::<Blocks>().unwrap_or_default();
    if wish.items.is_empty() {
        let all = have.0.iter().filter_map(|jid| Jid::parse(jid).ok()).collect();
        return change(&cx, all, What::UnblockAll).await;
    }
    let wanted = addresses(&wish.items)?;
    bound(&cx, wanted.len())?;
    // An address on the list can be removed from it, even if its account is gone.
    for jid in wanted.iter().filter(|jid| !have.0.contains(jid.as_str())) {
        check(&cx, jid).await?;
    }
    change(&cx, wanted, What::Unblock).await
}

fn bound(cx: &SessionCx, count: usize) -> Result<(), StanzaError> {
    let most = cx.node.settings().of::<Limits>().blocks;
    match count > most {
        true => Err(StanzaError::new(Condition::ResourceConstraint)
            .with_text(format!("a block list holds {most} addresses at most"))),
        false => Ok(()),
    }
}

/// A change of a block list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Block,
    Unblock,
    /// XEP-0191, 3.5: an empty list means everybody.
    UnblockAll,
}

fn addresses(items: &[jid::Jid]) -> Result<Vec<Jid>, StanzaError> {
    let parse = |jid: &jid::Jid| {
        Jid::parse(jid.as_str()).map_err(|_| StanzaError::new(Condition::JidMalformed))
    };
    items.iter().map(parse).collect()
}

/// Refuses a name that does not exist where all people see each other: there it is a typing error.
async fn check(cx: &SessionCx, jid: &Jid) -> Result<(), StanzaError> {
    // Elsewhere this would tell a stranger which accounts exist.
    if cx.node.contacts.hide_who_exists()
        || jid.domain() != cx.node.domain_name()
        || jid.local().is_none()
    {
        return Ok(());
    }
    match cx.node.look_up(&jid.to_bare()).await? {
        Some(_) => Ok(()),
        None => Err(StanzaError::new(Condition::ItemNotFound)
            .with_text(format!("there is no user {}", jid.local().unwrap_or_default()))
            .with_app("no-such-user", ns::WHOELSE_ERRORS)),
    }
}

async fn change(cx: &SessionCx, wanted: Vec<Jid>, what: What) -> Answer {
    let keys: Vec<String> = wanted.iter().map(|jid| cx.node.key_of(jid.as_str())).collect();
    cx.node.work_turn(&cx.session, cost::of_rows(keys.len() as u64)).await;
    let account = cx.account()?.clone();
    let (id, rows) = (account.id, Touches::AtMost(keys.len() as u64));
    let changed = cx.node.keeper.change(rows, move |tx| {
        Box::pin(async move {
            match what {
                What::Block => tx.block(id, &keys).await?,
                What::Unblock | What::UnblockAll => tx.unblock(id, &keys).await?,
            };
            let then: After =
                vec![Box::new(move |node: &Arc<Node>| apply(node, &account, &wanted, what))];
            Ok(((), then))
        })
    });
    changed.await.map_err(|error| unstored(&error))?;
    Ok(Reply::empty())
}

/// Runs after the commit: swaps the snapshot, then sends the pushes, then presence.
fn apply(node: &Arc<Node>, account: &Arc<Account>, changed: &[Jid], what: What) {
    let mut list = account.get::<Blocks>().map(|blocks| blocks.0.clone()).unwrap_or_default();
    let mut news = changed.to_vec();
    news.retain(|jid| match what {
        What::Block => list.insert(jid.to_string()),
        What::Unblock | What::UnblockAll => list.remove(jid.as_str()),
    });
    account.put(Arc::new(Blocks(list)));
    match what {
        What::Block => push(account, "block", changed),
        What::Unblock => push(account, "unblock", changed),
        What::UnblockAll => push(account, "unblock", &[]),
    }
    // Contacts whose entry has not changed see as much as before.
    for jid in &news {
        match what {
            // One nickname of a room is not the room.
            What::Block if jid.resource().is_some() && is_of_a_service(node, jid) => {}
            What::Block => presence::hide(node, account, &jid.to_bare()),
            What::Unblock | What::UnblockAll => {
                presence::show_again(node, account, &jid.to_bare());
            }
        }
    }
}

/// XEP-0191, 3.3: pushes the change to the user's own devices that have requested the list.
fn push(account: &Account, name: &'static str, changed: &[Jid]) {
    for session in account.sessions() {
        if !session.slots.has::<Interested>() {
            continue;
        }
        let items = changed.iter().fold(Element::new(name).xmlns(ns::BLOCKING), |list, jid| {
            list.child(Element::new("item").attr("jid", jid.as_str()))
        });
        let push = Element::new("iq")
            .attr("type", "set")
            .attr("id", &whoelse_stream::token::token())
            .attr("to", session.jid.as_str())
            .child(items);
        // Nobody waits for its answer, so nobody is told when it is lost with the session.
        session.push(push.outgoing(Class::IqAnswer));
    }
}

// --- the taps ---

/// XEP-0191, 3.3: refuses a stanza to a contact whom the sender has blocked.
fn refuse_to_blocked(passing: &mut Passing<'_>) -> Flow {
    // A user who blocks a whole domain must not lock himself out of his own account.
    let Some(own) = passing.account else { return Flow::On };
    let is_own = passing.to.bare() == own.jid().as_str();
    if is_own || !has_blocked(own, passing.to) {
        return Flow::On;
    }
    match (passing.stanza.kind(), passing.stanza.type_()) {
        (_, Some("error")) | (Kind::Iq, Some("result")) => Flow::Drop,
        (Kind::Presence, Some("unavailable")) => Flow::On,
        _ => Flow::Refuse(blocked_by_you(name(passing.to))),
    }
}

/// XEP-0191, 3.3: what somebody hears who says something to whom they have blocked.
pub fn blocked_by_you(whom: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable)
        .with_type(ErrorType::Cancel)
        .with_text(format!("you have blocked {whom}"))
        .with_app("blocked", ns::BLOCKING_ERRORS)
}

/// XEP-0191, 3.3: returns messages and requests of a blocked contact, and drops their presence.
/// With the shared roster, the sender is told why (behaviour.md, `message`).
fn refuse_from_blocked(passing: &mut Passing<'_>) -> Flow {
    let Some(own) = passing.account else { return Flow::On };
    if passing.from.bare() == own.jid().as_str() || !has_blocked(own, passing.from) {
        return Flow::On;
    }
    let refused = StanzaError::new(Condition::ServiceUnavailable);
    let hides = passing.node.contacts.hide_who_exists();
    match (passing.stanza.kind(), passing.stanza.type_()) {
        (_, Some("error")) | (Kind::Iq, Some("result")) => Flow::Drop,
        (Kind::Message, Some("headline")) | (Kind::Presence, _) => Flow::Drop,
        // Where it is hidden who exists, it is answered as for nobody.
        (Kind::Message, type_)
            if hides
                && type_ != Some("groupchat")
                && !storage_policy::comes_back(passing.stanza) =>
        {
            Flow::Drop
        }
        (Kind::Message, _) if !hides => Flow::Refuse(
            refused
                .with_text(format!("{} has blocked you", own.name()))
                .with_app("blocked-you", ns::WHOELSE_ERRORS),
        ),
        _ => Flow::Refuse(refused),
    }
}

fn name(jid: &Jid) -> &str {
    jid.local().unwrap_or(jid.domain())
}

/// A blocked contact sees nothing of the account that blocked them.
fn shows(subject: &Account, viewer: &Jid) -> bool {
    !has_blocked(subject, viewer)
}

/// Whether an address is one at a service, such as a room.
fn is_of_a_service(node: &Node, jid: &Jid) -> bool {
    matches!(node.host_of(&jid.to_bare()), Host::Service(_))
}
