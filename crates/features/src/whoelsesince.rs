//! `whoelsesince`: lists who was online at any time in the past so many seconds, across restarts.
//!
//! Intervals are stored as accounts come and go, in even time, so that setting the clock changes
//! nothing. After a crash an open interval ends at the last heartbeat, at most 30 s before the
//! crash.

use std::sync::Arc;
use std::time::Duration;

use whoelse_core::account::Account;
use whoelse_core::keeper::Touches;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_core::kit::{BoxFuture, Feature, SessionCx};
use whoelse_core::{Node, audience};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use crate::{readable, whoelse};

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
        w.started(recover);
        w.online(note);
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
    let (domain, own) = (cx.node.domain(), cx.from.to_bare());
    let rows = cx.node.store.online_since(domain.id, from.0).await;
    let rows = readable(&cx.node, "intervals_unreadable", None, rows)?;
    let mut found = std::collections::BTreeSet::new();
    for (_, name) in rows {
        let Ok(jid) = BareJid::new(Some(&name), &domain.name) else { continue };
        if let Ok(Some(other)) = cx.node.account(&jid).await
            && jid != own
            && audience::sees(&cx.node, &other, &own)
        {
            found.insert(jid);
        }
    }
    // The interval of a user who came a moment ago may not be stored yet.
    let here = audience::seen_online(&cx.node, &cx.session);
    found.extend(here);
    Ok(whoelse::accounts(&Vec::from_iter(found)))
}

fn note(node: &Arc<Node>, account: &Arc<Account>, online: bool) {
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
    if node.clock_doubt().is_none() {
        let before = node.even_time().before(REMEMBERED);
        node.keeper.submit(Touches::All, move |tx| {
            Box::pin(async move {
                tx.purge_intervals(before.0).await?;
                Ok(((), Vec::new()))
            })
        });
    }
    Box::pin(std::future::ready(()))
}

/// Closes the intervals that a crash left open, at the last heartbeat before it.
fn recover(node: Arc<Node>) -> BoxFuture<'static, ()> {
    let last = node.last_alive().unwrap_or_else(|| node.even_time());
    node.keeper.submit(Touches::AtMost(2), move |tx| {
        Box::pin(async move {
            tx.close_open_intervals(last.0).await?;
            Ok(((), Vec::new()))
        })
    });
    Box::pin(std::future::ready(()))
}
