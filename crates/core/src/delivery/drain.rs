//! Draining the log (catch-up): a session gets the messages that waited for it page by page, and
//! after that everything new comes live.
//!
//! Pages are read outside the keeper, which has others to serve. Only a fence goes through the
//! keeper, before the page that may be the last: whatever is committed before the fence is in that
//! page, and whatever comes live after it is set aside until the page is queued. So no message is
//! missed and none comes twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SemaphorePermit, oneshot};
use whoelse_store::{Error, LoggedMessage, READERS_OF_MAILBOXES, Undelivered};
use whoelse_xmpp::{Jid, StreamCondition, StreamError};

use super::from_log;
use crate::account::Account;
use crate::audience;
use crate::keeper::Stopped;
use crate::node::Node;
use crate::session::{Drain, LogPage, Pushed, Session};

/// How many sessions read at once: fewer than the store has readers of mailboxes, since one is needed
/// where an account is loaded. Further sessions wait for their turn.
pub(crate) const READERS: usize = READERS_OF_MAILBOXES - 1;
/// The most messages and bytes that are read at once.
const PAGE: usize = 100;
const PAGE_BYTES: usize = 512 << 10;
/// How long to wait for an unreachable database, and how often to try it.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

impl Node {
    /// Hands a session the next page of the log.
    pub async fn read_log(self: &Arc<Node>, session: &Arc<Session>) {
        let Some(own) = &session.account else { return };
        let Drain::After { more, .. } = session.drain_state() else { return };
        let mut swaps = own.swaps();
        let fence = match more {
            true => None,
            false => match fence(self, session).await {
                Ok(fence) => fence,
                Err(Stopped) => return,
            },
        };
        let Some(_reader) = reader(self, own).await else { return };
        let Drain::After { seq: after, .. } = session.drain_state() else { return };
        let left = session.left_to_archive().filter(|left| *left > after);
        match waiting(self, own.archive, after, left).await {
            Ok(waiting) => {
                let now = self.clock.steady();
                loop {
                    let is_live = |age| session.is_live(age, now);
                    let page = page(self, own, (after, fence, swaps), &waiting, is_live);
                    let messages = page.stanzas.len();
                    match session.push_page(page) {
                        Pushed::Queued(confirmed) => {
                            self.counters.messages.caught_up.add(messages);
                            self.confirm(session, confirmed);
                            break;
                        }
                        Pushed::Outdated => swaps = own.swaps(),
                        Pushed::TooLate => break,
                    }
                }
            }
            Err(error) => {
                self.store_failing("log_unreadable", Some(own.jid()), &error);
                // To go live now would let the session's confirmations skip what could not be read.
                session.order_end(StreamError::new(StreamCondition::InternalServerError));
            }
        }
    }
}

/// Waits until everything that was posted before is committed; from then on the session sets aside
/// what comes live.
async fn fence(node: &Arc<Node>, session: &Arc<Session>) -> Result<Option<u32>, Stopped> {
    let (tell, told) = oneshot::channel();
    let session = session.clone();
    node.keeper
        .follow(move |_| {
            // The session may be over by then; then nobody waits for the result.
            let _ = tell.send(session.fence());
        })
        .await?;
    told.await.map_err(|_| Stopped)
}

/// Waits for a turn to read the log of an account. `None` if there are no more turns.
pub(super) async fn reader<'a>(node: &'a Node, own: &Account) -> Option<SemaphorePermit<'a>> {
    // This may wait for a transaction. Nobody else must wait for that, so it comes first.
    node.store.settle(own.archive).await;
    node.log_readers.acquire().await.ok()
}

/// Reads what waits after a number, but for what is left to the archive: what that shows up to the
/// number `left`.
pub(super) async fn waiting(
    node: &Node,
    archive: i64,
    after: i64,
    left: Option<i64>,
) -> Result<Undelivered, Error> {
    let deadline = node.clock.steady().after(PATIENCE);
    loop {
        let read = match left {
            Some(left) => node.store.undelivered_but_shown(archive, after, left, PAGE as i64).await,
            None => {
                let rows = node.store.undelivered(archive, after, PAGE as i64).await;
                rows.map(|rows| Undelivered { rows, shown: None })
            }
        };
        match read {
            Err(error) if error.is_lost() && node.clock.steady() < deadline => {
                node.clock.sleep(PAUSE).await;
            }
            read => return read,
        }
    }
}

/// Makes a page of what was read, up to its weight.
fn page(
    node: &Node,
    own: &Account,
    (after, fence, swaps): (i64, Option<u32>, u64),
    Undelivered { rows, shown }: &Undelivered,
    is_live: impl Fn(Duration) -> bool,
) -> LogPage {
    let more = rows.len() >= PAGE;
    let (stanzas, left_out) = (Vec::new(), *shown);
    let mut page = LogPage { after, fence, stanzas, last: after, more, left_out, swaps };
    let mut bytes = 0;
    for row in rows {
        if bytes > PAGE_BYTES {
            page.more = true;
            break;
        }
        bytes += row.stanza.len();
        page.last = row.seq;
        if is_wanted(node, own, row) {
            page.stanzas.push(from_log(node, own, row.clone(), &is_live));
        }
    }
    if let (Some((_, last)), false) = (page.left_out, page.more) {
        page.last = page.last.max(last);
    }
    page
}

/// Whether the account still wants to hear from this sender, whom it may have blocked since.
pub(super) fn is_wanted(node: &Node, own: &Account, row: &LoggedMessage) -> bool {
    match Jid::parse(&node.address_of(&row.peer, row.resource.as_deref().unwrap_or_default())) {
        Ok(sender) => audience::hears(node, own, &sender),
        Err(_) => true,
    }
}
