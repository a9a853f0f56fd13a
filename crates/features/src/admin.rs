//! XEP-0133, Service Administration, and a few commands of our own where the XEP has none: ad-hoc
//! commands for administrators only.
//!
//! Some commands of the XEP are missing here. The configuration file has the lists of
//! administrators and servers, and the messages of welcome and of the day. The operating system
//! restarts and stops the server.

mod accounts;
mod announce;
mod blocks;
mod clock;
mod devices;
mod domain;
mod figures;
mod listening;
mod lockout;
mod maintenance;
mod reload;
mod rights;
mod rooms;
mod sessions;

pub use listening::Listening;
pub use maintenance::{Maintain, Maintenance, MaintenanceRequest};
pub use reload::{ReadAgain, Reload};

use std::sync::Arc;

use whoelse_core::Time;
use whoelse_core::account::Account;
use whoelse_core::kit::command::{Field, FieldKind, Values};
use whoelse_core::kit::{AdminCx, Feature};
use whoelse_stream::secret::Password;
use whoelse_xmpp::{BareJid, Condition, Jid, StanzaError};

/// The administrator's commands.
pub const FEATURE: Feature = Feature {
    name: "administration",
    xeps: &[(133, "1.3.1")],
    disco: &[],
    wire: |w| {
        w.command(&accounts::ADD);
        w.command(&accounts::REMOVE);
        w.command(&accounts::PASSWORD);
        w.command(&accounts::LIST);
        w.command(&sessions::DISABLE);
        w.command(&sessions::REENABLE);
        w.command(&sessions::END);
        w.command(&sessions::LIST);
        w.command(&figures::LAST_LOGIN);
        w.command(&figures::STATISTICS);
        w.command(&figures::REGISTERED_NUM);
        w.command(&figures::DISABLED_NUM);
        w.command(&figures::ONLINE_NUM);
        w.command(&figures::REGISTERED);
        w.command(&figures::DISABLED);
        w.command(&figures::ONLINE);
        w.command(&devices::LIST);
        w.command(&devices::REVOKE);
        w.command(&announce::ANNOUNCE);
        w.command(&blocks::BLOCK);
        w.command(&blocks::UNBLOCK);
        w.command(&blocks::UNBLOCK_ADDRESS);
        w.command(&blocks::LIST_NETWORKS);
        w.command(&rights::GRANT);
        w.command(&rights::REVOKE);
        w.command(&rights::LIST);
        w.command(&rooms::LIST);
        w.command(&rooms::SHOW);
        w.command(&rooms::ADD);
        w.command(&rooms::GRANT);
        w.command(&rooms::DESTROY);
        w.command(&domain::RENAME);
        w.command(&reload::RELOAD);
        w.command(&clock::CLOCK);
        w.command(&listening::LISTENING);
        w.command(&maintenance::BACKUP);
        w.command(&maintenance::RESTORE);
        w.command(&maintenance::PROGRESS);
    },
    ..Feature::PLAIN
};

/// The field of most commands: the account that the command is about.
const ACCOUNT: Field =
    Field { var: "accountjid", label: "The account", kind: FieldKind::JidSingle, required: true };

/// The field of a list that says where it goes on: after the last one of the page before.
const fn after(label: &'static str) -> Field {
    Field { var: "after", label, kind: FieldKind::TextSingle, required: false }
}

/// Returns the account of a field that contains an address of this server, or a name alone.
fn address(cx: &AdminCx, values: &Values, var: &str) -> Result<BareJid, StanzaError> {
    let text = values.need(var)?;
    let malformed = || {
        let shown = text.escape_debug();
        StanzaError::new(Condition::BadRequest).with_text(format!("`{shown}` is not a user name"))
    };
    let domain = cx.node.domain_name();
    let whole = if text.contains('@') { text.to_owned() } else { format!("{text}@{domain}") };
    let jid = Jid::parse(&whole).map_err(|_| malformed())?;
    match (jid.local(), jid.resource()) {
        (Some(_), None) if jid.domain() == domain => Ok(jid.to_bare()),
        (Some(_), None) => Err(StanzaError::new(Condition::ItemNotFound)
            .with_text(format!("this server serves {domain}, not {}", jid.domain()))),
        _ => Err(malformed()),
    }
}

/// Returns the account that a field names.
async fn account(cx: &AdminCx, values: &Values, var: &str) -> Result<Arc<Account>, StanzaError> {
    let address = address(cx, values, var)?;
    cx.node.look_up(&address).await?.ok_or_else(|| {
        let name = address.local().unwrap_or_default();
        StanzaError::new(Condition::ItemNotFound).with_text(format!("there is no user {name}"))
    })
}

/// Returns the password in `password`, which `password-verify` must repeat if it is there.
fn password(values: &Values) -> Result<Password, StanzaError> {
    let text = values.need("password")?;
    if values.get("password-verify").is_some_and(|again| again != text) {
        return Err(
            StanzaError::new(Condition::BadRequest).with_text("the two passwords are not the same")
        );
    }
    Password::new(text)
        .map_err(|error| StanzaError::new(Condition::NotAcceptable).with_text(error.to_string()))
}

/// Formats a moment for a column of a table; empty for none.
fn stamp(time: Time) -> String {
    match time {
        Time(0) => String::new(),
        Time::NEVER => "for ever".to_owned(),
        time => time.stamp(),
    }
}

/// The word for a column of a table.
fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
