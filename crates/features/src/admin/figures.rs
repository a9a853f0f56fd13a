//! XEP-0133, 4.9, 4.10, 4.13 to 4.15 and 4.18 to 4.20: facts about accounts: how many and which
//! there are, when a user last logged in, and with which devices they are online.

use whoelse_core::kit::command::{
    Command, CommandDone, CommandNote, Field, FieldKind, Right, Values,
};
use whoelse_core::kit::{AdminCx, SessionCx};
use whoelse_core::{Time, audience};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use super::sessions::{ACCOUNTS, accounts};
use super::{ACCOUNT, account, stamp};
use crate::readable;

/// Accounts read from the store at once.
const PAGE: i64 = 500;
/// The most addresses in one answer: half a megabyte, a tenth of what a session may hold. An
/// operator with more accounts pages through `list-users`.
const MOST: usize = 10_000;

/// A set of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Registered,
    Disabled,
    Online,
}

/// Returns what was read from the store, or the error to answer with.
fn stored<T>(cx: &SessionCx, read: Result<T, whoelse_store::Error>) -> Result<T, StanzaError> {
    readable(&cx.node, "accounts_unreadable", None, read)
}

/// Returns `most` of the addresses, sorted, and how many there are.
async fn find(
    cx: &AdminCx,
    which: Which,
    most: usize,
) -> Result<(Vec<String>, usize), StanzaError> {
    if which == Which::Online {
        let online = audience::online(&cx.node);
        let mut found: Vec<String> = online.iter().map(ToString::to_string).collect();
        found.sort_unstable();
        let all = found.len();
        found.truncate(most);
        return Ok((found, all));
    }
    let domain = cx.node.domain();
    let (mut found, mut all, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = cx.node.store.list_accounts(domain.id, &after, PAGE).await;
        let page = stored(cx, page)?;
        let Some(last) = page.last() else { return Ok((found, all)) };
        after = last.localpart.clone();
        for row in &page {
            let Ok(account) = BareJid::new(Some(&row.localpart), &domain.name) else { continue };
            if which == Which::Disabled && !cx.node.is_disabled(&account) {
                continue;
            }
            all += 1;
            if found.len() < most {
                found.push(account.to_string());
            }
        }
    }
}

async fn count(cx: SessionCx, which: Which, var: &'static str) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let count = match which {
        Which::Registered => {
            let count = cx.node.store.count_accounts(cx.node.domain().id).await;
            stored(&cx, count)?.to_string()
        }
        Which::Disabled | Which::Online => find(&cx, which, 0).await?.1.to_string(),
    };
    Ok(CommandDone::field(var, FieldKind::TextSingle, vec![count]))
}

/// The field of every list. XEP-0133, 4.18: a number, or none for no bound except ours.
const MAX_ITEMS: Field = Field {
    var: "max_items",
    label: "Maximum number of items to show",
    kind: FieldKind::ListSingle(&[
        ("25", "25"),
        ("50", "50"),
        ("75", "75"),
        ("100", "100"),
        ("150", "150"),
        ("200", "200"),
        ("None", "none"),
    ]),
    required: false,
};

async fn list(
    cx: SessionCx,
    values: Values,
    which: Which,
    var: &'static str,
) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let most = match values.get(MAX_ITEMS.var) {
        None | Some("none") => MOST,
        Some(number) => number.parse::<usize>().map_err(|_| {
            StanzaError::new(Condition::BadRequest)
                .with_text("`max_items` must be a whole number or `none`")
        })?,
    };
    let (found, all) = find(&cx, which, most.min(MOST)).await?;
    let shown = found.len();
    let mut done = CommandDone::field(var, FieldKind::JidMulti, found);
    if shown < all {
        done.note = Some(CommandNote::Info(format!("{shown} of {all}")));
    }
    Ok(done)
}

/// XEP-0133, 4.13.
pub(super) const REGISTERED_NUM: Command = Command {
    node: "http://jabber.org/protocol/admin#get-registered-users-num",
    name: "Count the accounts",
    right: Right::Look,
    fields: &[],
    run: |cx, _| Box::pin(count(cx, Which::Registered, "registeredusersnum")),
};

/// XEP-0133, 4.14.
pub(super) const DISABLED_NUM: Command = Command {
    node: "http://jabber.org/protocol/admin#get-disabled-users-num",
    name: "Count the disabled accounts",
    right: Right::Look,
    fields: &[],
    run: |cx, _| Box::pin(count(cx, Which::Disabled, "disabledusersnum")),
};

/// XEP-0133, 4.15.
pub(super) const ONLINE_NUM: Command = Command {
    node: "http://jabber.org/protocol/admin#get-online-users-num",
    name: "Count who is online",
    right: Right::Look,
    fields: &[],
    run: |cx, _| Box::pin(count(cx, Which::Online, "onlineusersnum")),
};

/// XEP-0133, 4.18.
pub(super) const REGISTERED: Command = Command {
    node: "http://jabber.org/protocol/admin#get-registered-users-list",
    name: "Name the accounts",
    right: Right::Look,
    fields: &[MAX_ITEMS],
    run: |cx, values| Box::pin(list(cx, values, Which::Registered, "registereduserjids")),
};

/// XEP-0133, 4.19.
pub(super) const DISABLED: Command = Command {
    node: "http://jabber.org/protocol/admin#get-disabled-users-list",
    name: "Name the disabled accounts",
    right: Right::Look,
    fields: &[MAX_ITEMS],
    run: |cx, values| Box::pin(list(cx, values, Which::Disabled, "disableduserjids")),
};

/// XEP-0133, 4.20.
pub(super) const ONLINE: Command = Command {
    node: "http://jabber.org/protocol/admin#get-online-users-list",
    name: "Name who is online",
    right: Right::Look,
    fields: &[MAX_ITEMS],
    run: |cx, values| Box::pin(list(cx, values, Which::Online, "onlineuserjids")),
};

/// XEP-0133, 4.9: returns one value for each account, in their order; nothing for users who never
/// logged in.
pub(super) const LAST_LOGIN: Command = Command {
    node: "http://jabber.org/protocol/admin#get-user-lastlogin",
    name: "When accounts last logged in",
    right: Right::Look,
    fields: &[ACCOUNTS],
    run: |cx, values| Box::pin(last_login(cx, values)),
};

async fn last_login(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let (mut jids, mut times) = (Vec::new(), Vec::new());
    for account in accounts(&cx, &values).await? {
        let row = stored(&cx, cx.node.account_row(account.jid()).await)?;
        // A new account starts with the time at which it was made, although nobody was active then.
        let at =
            row.filter(|row| row.last_active != row.created_at).map_or(0, |row| row.last_active);
        jids.push(account.jid().to_string());
        times.push(stamp(Time(at)));
    }
    let mut done = CommandDone::field(ACCOUNTS.var, FieldKind::JidMulti, jids);
    done.fields.push(("lastlogin", FieldKind::TextMulti, times));
    Ok(done)
}

/// XEP-0133, 4.10: returns the known part of the statistics. Addresses and rates are in the log and
/// the metrics.
pub(super) const STATISTICS: Command = Command {
    node: "http://jabber.org/protocol/admin#user-stats",
    name: "Figures of an account",
    right: Right::Look,
    fields: &[ACCOUNT],
    run: |cx, values| Box::pin(statistics(cx, values)),
};

async fn statistics(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let account = account(&cx, &values, ACCOUNT.var).await?;
    let mut here: Vec<String> =
        account.sessions().iter().map(|session| session.resource().to_owned()).collect();
    here.sort_unstable();
    let contacts = account.roster().contacts().count().to_string();
    let mut done = CommandDone::field("rostersize", FieldKind::TextSingle, vec![contacts]);
    done.fields.push(("onlineresources", FieldKind::TextMulti, here));
    Ok(done)
}
