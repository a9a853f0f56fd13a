//! XEP-0049, Private XML Storage: a client stores elements of its own on the server, one set for
//! each namespace.
//!
//! The elements of the last request under a namespace replace those before. An empty element
//! removes what was there and needs no room.

use std::sync::Arc;

use parking_lot::RwLock;
use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_core::keeper::Touches;
use whoelse_core::kit::{Answer, At, BoxFuture, Feature, Reply, SessionCx, Target, Verb};
use whoelse_core::settings;
use whoelse_core::settings::{count, size};
use whoelse_store::{DataKey, DataLimit, Put};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Condition, Stanza, StanzaError, ns};

use crate::readable;

/// XEP-0049.
pub const FEATURE: Feature = Feature {
    name: "private-storage",
    xeps: &[(49, "1.2")],
    disco: &[ns::PRIVATE_STORAGE],
    settings: &[Limits::SETTINGS],
    wire: |w| {
        w.on(Verb::Get, EVERYWHERE, (ns::PRIVATE_STORAGE, "query"), get);
        w.on(Verb::Set, EVERYWHERE, (ns::PRIVATE_STORAGE, "query"), set);
    },
    ..Feature::PLAIN
};

const EVERYWHERE: At =
    &[Target::Server, Target::Own, Target::Other, Target::Hidden, Target::HiddenDevice];

/// How many times as long as the request its elements may be when they are stored: each of them gets
/// the namespaces that were declared for all (security row 60). Elements that need more are hardly
/// those of a client.
const MULTIPLE: usize = 4;

settings! {
    /// Bounds of private storage.
    struct Limits in "limits" {
        /// Namespaces under which one account stores elements: every client that a person has tried
        /// leaves a few.
        private_storage_namespaces: u64 = 200, count();
        /// Bytes of all that one account stores so: preferences and bookmarks, not pictures.
        private_storage_bytes: u64 = 1 << 20, size();
    }
}

/// What is stored, if anything is.
type Stored = BoxFuture<'static, Result<Option<Vec<u8>>, StanzaError>>;

/// What is stored under one namespace is kept by another feature.
pub(crate) struct Elsewhere {
    /// The namespace.
    pub namespace: &'static str,
    /// Returns what is stored.
    pub get: fn(SessionCx) -> Stored,
    /// Stores these elements, one after the other, each of which can stand alone; or none.
    pub set: fn(SessionCx, Vec<u8>) -> BoxFuture<'static, Result<(), StanzaError>>,
}

/// The slot of the server with the features that keep something themselves. Held for a look or a change.
#[derive(Default)]
struct KeptElsewhere(RwLock<Vec<&'static Elsewhere>>);

/// Gives what is stored under a namespace to another feature; called when the server starts.
pub(crate) fn keep_elsewhere(server: &Node, elsewhere: &'static Elsewhere) {
    server.slots.get_or_default::<KeptElsewhere>().0.write().push(elsewhere);
}

fn elsewhere(server: &Node, namespace: &str) -> Option<&'static Elsewhere> {
    let find = |kept: &KeptElsewhere| {
        kept.0.read().iter().find(|elsewhere| elsewhere.namespace == namespace).copied()
    };
    server.slots.look(find).flatten()
}

async fn get(cx: SessionCx, stanza: Stanza, query: Child) -> Answer {
    let own = own_alone(&cx)?;
    let wanted = stanza.grandchildren(&query);
    let [wanted] = wanted.as_slice() else {
        return Err(StanzaError::new(Condition::BadRequest)
            .with_text("ask for exactly one element of one namespace"));
    };
    let name = namespace(std::slice::from_ref(wanted))?;
    let stored = match elsewhere(&cx.node, name) {
        Some(elsewhere) => (elsewhere.get)(cx.clone()).await?,
        None => {
            let stored = cx.in_reading_turn(cx.node.store.account_data(own.id, key(name))).await;
            readable(&cx.node, "private_storage_unreadable", Some(own.jid()), stored)?
        }
    };
    // If nothing is stored, the answer is the element of the request.
    let elements = match stored {
        Some(elements) => elements,
        // One element is not longer than the stanza around it.
        None => stanza.alone(std::slice::from_ref(wanted), usize::MAX).unwrap_or_default(),
    };
    let answer = Element::new("query").xmlns(ns::PRIVATE_STORAGE).raw(&elements);
    Ok(Reply::encoded(answer.finish()))
}

async fn set(cx: SessionCx, stanza: Stanza, query: Child) -> Answer {
    let account = own_alone(&cx)?.id;
    let elements = stanza.grandchildren(&query);
    let name = namespace(&elements)?.to_owned();
    let limits = cx.node.settings().of::<Limits>().clone();
    let most = usize::try_from(limits.private_storage_bytes).unwrap_or(usize::MAX);
    let multiple = stanza.bytes().len().saturating_mul(MULTIPLE);
    let value = match elements.iter().all(|element| stanza.says_nothing(element)) {
        true => Vec::new(),
        false => stanza
            .alone(&elements, most.min(multiple))
            .ok_or_else(|| if multiple < most { multiplied() } else { no_room() })?,
    };
    if let Some(elsewhere) = elsewhere(&cx.node, &name) {
        return (elsewhere.set)(cx, value).await.map(|()| Reply::empty());
    }
    let limit = DataLimit {
        values: limits.private_storage_namespaces,
        bytes: limits.private_storage_bytes,
    };
    let stored = cx.node.keeper.change(Touches::AtMost(1), move |tx| {
        Box::pin(async move {
            let put = match value.is_empty() {
                true => tx.remove_account_data(account, key(&name)).await.map(|_| Put::Done)?,
                false => tx.put_account_data(account, key(&name), &value, limit).await?,
            };
            Ok((put, Vec::new()))
        })
    });
    match stored.await {
        Ok(Put::Done) => Ok(Reply::empty()),
        Ok(Put::Full) => Err(no_room()),
        Ok(Put::TooLong) => Err(too_long()),
        Err(error) if error.is_full() => Err(full("the server cannot store anything right now")),
        Err(_) => Err(StanzaError::new(Condition::InternalServerError)),
    }
}

/// Section 2.3: nobody reads or writes what belongs to somebody else. Returns the own account.
fn own_alone(cx: &SessionCx) -> Result<&Arc<Account>, StanzaError> {
    match cx.target {
        Target::Own => cx.account(),
        Target::Hidden | Target::HiddenDevice => Err(cx.hidden()),
        Target::Server | Target::Service(_) | Target::Other => {
            Err(StanzaError::new(Condition::Forbidden))
        }
    }
}

/// Section 2.3: returns the one namespace of these elements, unless it is reserved.
fn namespace(elements: &[Child]) -> Result<&str, StanzaError> {
    let Some(first) = elements.first() else {
        return Err(not_acceptable("there is no element to store"));
    };
    let name = first.ns();
    // Before it is compared with each of the others.
    if name.len() > DataKey::LONGEST {
        return Err(too_long());
    }
    if elements.iter().any(|element| element.ns() != name) {
        return Err(not_acceptable("store the elements of one namespace at a time"));
    }
    let is_reserved = name.is_empty()
        || name == "vcard-temp"
        || ["jabber:", "http://jabber.org/"].iter().any(|reserved| name.starts_with(reserved));
    match is_reserved {
        true => Err(not_acceptable("this namespace is reserved")),
        false => Ok(name),
    }
}

/// Where the elements of a namespace are, if no other feature keeps them.
pub(crate) const fn key(name: &str) -> DataKey<'_> {
    DataKey { namespace: ns::PRIVATE_STORAGE, name }
}

fn too_long() -> StanzaError {
    not_acceptable("this namespace is too long")
}

fn not_acceptable(text: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(text)
}

fn multiplied() -> StanzaError {
    not_acceptable(
        "the elements would be many times as long as the request, since each of them needs what is \
         declared around all",
    )
}

fn no_room() -> StanzaError {
    full("there is no more room for private storage")
}

fn full(text: &str) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_namespace_that_is_too_long_to_store_is_refused_before_it_is_compared() {
        for (length, refusal) in [
            (DataKey::LONGEST, "store the elements of one namespace at a time"),
            (DataKey::LONGEST + 1, "this namespace is too long"),
        ] {
            let name = "x".repeat(length);
            let xml = format!("<iq><q xmlns='q'><a xmlns='{name}'/><a xmlns='y'/></q></iq>");
            let stanza = Stanza::parse(xml).unwrap();
            let elements = stanza.grandchildren(&stanza.children()[0]);
            assert_eq!(namespace(&elements), Err(not_acceptable(refusal)));
            let sound = namespace(&elements[..1]).is_ok_and(|found| found == name);
            assert_eq!(sound, length <= DataKey::LONGEST);
        }
    }
}
