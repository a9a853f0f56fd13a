//! `whoelsesince`: lists who was online at any time in the past so many seconds, across restarts.
//!
//! Intervals are stored as accounts come and go, in even time, so that setting the clock changes
//! nothing. After a crash an open interval ends at the last heartbeat, at most 30 s before the
//! crash. The latest departures are in memory, too.

mod departures;

use std::sync::Arc;
use std::time::Duration;

use whoelse_core::account::Account;
use whoelse_core::clock::Time;
use whoelse_core::keeper::Touches;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_core::kit::{BoxFuture, Feature, SessionCx};
use whoelse_core::{Node, audience};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use crate::{readable, whoelse};
use departures::{Basis, Departures, Gone};

/// 2^31, the most seconds one may look back.
const MOST: u64 = 1 << 31;
/// Intervals are remembered for this long.
const REMEMBERED: Duration = Duration::from_secs(400 * 86_400);

/// The command, and the intervals that it reads.
pub const FEATURE: Feature = Feature {
    name: "whoelsesince",
    xeps: &[],
    disco: &[],
    wire: |w| {
        w.command(&COMMAND);
        w.server(|_| async { Ok(Departures::default()) });
        w.started(recover);
        w.online(note);
        w.accounts(forget_removed);
        w.every(Duration::from_secs(3600), forget);
    },
    ..Feature::PLAIN
};

/// docs/protocol.md: asks for `seconds`, answers with the bare addresses, sorted.
pub const COMMAND: Command = Command {
    node: "urn:whoelse:commands:0#whoelsesince",
    name: "Who else was online since",
    right: Right::Everybody,
    fields: &[Field {
        var: "seconds",
        label: "Seconds to look back",
        kind: FieldKind::TextSingle,
        required: true,
    }],
    run: |cx, values| Box::pin(since(cx, values)),
};

async fn since(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let text = values.need("seconds")?;
    // Only digits: Rust's parser would accept `+5`, too.
    let digits = text.bytes().all(|b| b.is_ascii_digit()).then_some(text);
    let seconds = digits.and_then(|digits| digits.parse().ok()).filter(|it| *it <= MOST);
    let seconds: u64 = seconds.ok_or_else(|| {
        StanzaError::new(Condition::BadRequest)
            .with_text("`seconds` must be a whole number from 0 to 2147483648")
    })?;
    let from = cx.node.even_time().before(Duration::from_secs(seconds));
    // Others may have to be loaded for it.
    let reading = cx.session.in_reading_turn(cx.node.clock.steady(), seen_since(&cx, from));
    let mut found = reading.await?;
    found.sort_unstable();
    // Two sorted lists are one after the other, which a stable sort merges.
    found.extend(audience::seen_online(&cx.node, &cx.session));
    found.sort();
    found.dedup();
    Ok(whoelse::accounts(&found))
}

/// Returns those of the accounts that went since then whom the asker sees.
async fn seen_since(cx: &SessionCx, from: Time) -> Result<Vec<BareJid>, StanzaError> {
    let (mut found, own) = (Vec::new(), cx.from.to_bare());
    for (id, jid) in gone_since(cx, from).await? {
        if jid != own
            && may_be_subscribed(cx, &jid)
            && let Ok(Some(other)) = cx.node.account(&jid).await
            && other.id == id
            && audience::sees(&cx.node, &other, &own)
        {
            found.push(jid);
        }
    }
    Ok(found)
}

/// Whether the asker can be subscribed to somebody, as far as the asker's own roster says: a look
/// that spares loading the accounts of strangers.
fn may_be_subscribed(cx: &SessionCx, other: &BareJid) -> bool {
    cx.node.contacts.are_shared()
        || cx
            .session
            .account
            .as_ref()
            .is_none_or(|own| own.roster().get(other).is_some_and(|contact| contact.state.to))
}

/// Returns the accounts that are gone, and went at this time or later.
async fn gone_since(cx: &SessionCx, from: Time) -> Result<Gone, StanzaError> {
    let node: &Node = &cx.node;
    let Some(departures) = node.slots.get::<Departures>() else { return Ok(Gone::new()) };
    let (basis, now) = even(node);
    let to = match departures.since(basis.clone(), now, from) {
        Ok(gone) => return Ok(gone),
        Err(to) => to,
    };
    let domain = node.domain();
    // All who were there in the last months can be many.
    let rows = node.piece(node.store.gone_between(domain.id, from.0, to.0)).await;
    let rows = readable(node, "intervals_unreadable", None, rows)?;
    let rows = rows.into_iter().filter_map(|row| {
        let jid = BareJid::new(Some(&row.localpart), &domain.name).ok()?;
        Some((row, jid))
    });
    let is_here = |jid: &BareJid| node.is_online(jid);
    Ok(departures.take(basis, now, (from, to), rows.collect(), is_here))
}

/// What departures are counted from, and the present even time.
fn even(node: &Node) -> (Basis, Time) {
    let now = node.even_moment();
    (Basis::new(&node.domain_name(), now), now.wall)
}

/// An account that is removed was never there.
fn forget_removed(node: &Arc<Node>, account: &Arc<Account>, exists: bool) {
    if !exists && let Some(departures) = node.slots.get::<Departures>() {
        departures.forget(account.id);
    }
}

fn note(node: &Arc<Node>, account: &Arc<Account>, online: bool) {
    if let Some(departures) = node.slots.get::<Departures>() {
        let (basis, now) = even(node);
        match online || account.is_removed() {
            true => departures.forget(account.id),
            false => departures.note(basis, now, account.id, account.jid()),
        }
    }
    let (id, writer) = (account.id, node.clone());
    node.keeper.submit(Touches::AtMost(2), move |tx| {
        Box::pin(async move {
            // Read in the keeper's turn: even time jumps ahead when a doubt of the clock ends.
            let now = writer.even_time();
            match online {
                true => tx.came_online(id, now.0).await.map(drop)?,
                false => tx.went_offline(id, now.0).await?,
            }
            Ok(((), Vec::new()))
        })
    });
}

/// Removes what is too old, unless the clock is in doubt.
fn forget(node: Arc<Node>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        if node.clock_doubt().is_some() {
            return;
        }
        let before = node.even_time().before(REMEMBERED).0;
        let purge =
            node.keeper.in_pieces(move |tx, most| Box::pin(tx.purge_intervals(before, most)));
        if let Err(error) = purge.await {
            node.store_failing("intervals_not_forgotten", None, &error);
        }
    })
}

/// Closes the intervals that a crash left open, at the last heartbeat before it. Waits for it:
/// whoever asks finds them closed.
fn recover(node: Arc<Node>) -> BoxFuture<'static, ()> {
    let last = node.last_alive().unwrap_or_else(|| node.even_time());
    Box::pin(async move {
        let close =
            node.keeper.in_pieces(move |tx, most| Box::pin(tx.close_open_intervals(last.0, most)));
        if let Err(error) = close.await {
            node.store_failing("intervals_not_closed", None, &error);
        }
    })
}
