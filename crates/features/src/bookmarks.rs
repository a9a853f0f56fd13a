//! XEP-0402, PEP Native Bookmarks, XEP-0048 and XEP-0411: the rooms that a person wants to find again,
//! for clients of every age.
//!
//! One node has an item for each room (XEP-0402). The list of all in one element (XEP-0048) is the item
//! of another node; it is what old clients read and write there, or in private XML (XEP-0049). Whichever
//! of the two is changed, the other follows in the same transaction (docs/design/views.md).

mod following;
mod list;
mod private;
mod renamed;
mod room;

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_core::kit::{BoxFuture, Feature};
use whoelse_core::settings;
use whoelse_core::settings::{count, size};
use whoelse_xmpp::{StanzaError, ns};

use crate::private_storage::{self, Elsewhere};
use crate::pubsub::views::{self, View};
use crate::pubsub::{Draft, bad, no_room, pay_for};
use list::List;

/// XEP-0402, XEP-0048 and XEP-0411.
pub const FEATURE: Feature = Feature {
    name: "bookmarks",
    xeps: &[(48, "1.2"), (402, "1.2.0"), (411, "1.1.0")],
    settings: &[Limits::SETTINGS],
    wire: |w| {
        for namespace in [ns::BOOKMARKS_COMPAT, ns::BOOKMARKS_COMPAT_PEP, ns::BOOKMARKS_CONVERSION]
        {
            w.account_disco(namespace);
        }
        w.started(begin);
    },
    ..Feature::PLAIN
};

settings! {
    /// Bounds of bookmarks.
    pub struct Limits in "limits" {
        /// Rooms that one account has bookmarks of: old clients send and get all of them at once, and
        /// change as many.
        bookmarks: u64 = 250, count().from(1).to(500);
        /// Bytes of the list of all of them: it is written whenever one changes.
        bookmarks_bytes: u64 = 64 << 10, size();
    }
}

/// The node with an item for each room.
const ROOMS: View = View {
    node: ns::BOOKMARKS,
    ready,
    pay: |cx, visitor| Box::pin(pay_for(cx, visitor, ns::BOOKMARKS_LIST)),
    follow: |nodes, found, what| Box::pin(following::rooms_changed(nodes, found, what)),
    ..View::PLAIN
};

/// The node with the list of all.
const LIST: View = View {
    node: ns::BOOKMARKS_LIST,
    ready,
    pay: |cx, visitor| Box::pin(pay_for(cx, visitor, ns::BOOKMARKS)),
    rows: |draft| List::read(&draft.payload).map_or(0, |list| rows_of(&list)),
    check: check_list,
    follow: |nodes, found, what| Box::pin(following::list_changed(nodes, found, what)),
};

/// The list of all in private XML.
const PRIVATE: Elsewhere =
    Elsewhere { namespace: ns::BOOKMARKS_LIST, get: private::get, set: private::set };

fn begin(server: Arc<Node>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        views::add(&server, &ROOMS);
        views::add(&server, &LIST);
        private_storage::keep_elsewhere(&server, &PRIVATE);
    })
}

/// In the slot of an account: that its bookmarks are where its clients look for them. A domain that is
/// renamed takes all accounts out of memory.
#[derive(Default)]
struct Ready;

/// Brings the bookmarks of an account to where its clients look for them. What fails is tried again
/// when they are next asked for.
fn ready(server: Arc<Node>, account: Arc<Account>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        if account.get::<Ready>().is_some() {
            return;
        }
        let is_moved = private::moved(&server, &account).await;
        let has_followed = renamed::followed(&server, &account).await;
        if is_moved && has_followed {
            account.get_or_default::<Ready>();
        }
    })
}

/// The rows of a change of all bookmarks: an item for each room that was there or is there, the list, and
/// the two nodes.
fn rows(server: &Node) -> u64 {
    2 * server.settings().of::<Limits>().bookmarks + 3
}

/// What the list of all makes to be written, in rows: each room has an item, which is retracted, counted
/// and written anew.
fn rows_of(list: &List) -> u64 {
    4 * list.rooms()
}

/// The id of the item that is the list (XEP-0048, 3.1).
const CURRENT: &str = "current";

/// What somebody wants to publish as the list has to be one. It needs no id of its own.
fn check_list(server: &Node, draft: &mut Draft) -> Result<(), StanzaError> {
    draft.id.get_or_insert_with(|| CURRENT.to_owned());
    let list = List::read(&draft.payload).ok_or_else(|| bad("invalid-payload"))?;
    fits(server, &list)
}

/// Whether a list is as short as it has to be.
fn fits(server: &Node, list: &List) -> Result<(), StanzaError> {
    let limits = server.settings().of::<Limits>().clone();
    match list.rooms() <= limits.bookmarks && list.bytes().len() as u64 <= limits.bookmarks_bytes {
        true => Ok(()),
        false => Err(no_room("there are too many bookmarks")),
    }
}
