//! `whoelse sessions [NAME]`: who is connected, from where, and since when.

use serde_json::json;
use whoelse_client::admin::{self, SessionRow};

use super::table::{minute, rfc3339, table};
use super::{Fault, say, socket};
use crate::cli;
use crate::commands;
use crate::say::{name, text};

const HEADINGS: [&str; 6] = ["NAME", "RESOURCE", "FROM", "STATE", "SINCE", "LAST ACTIVE"];

/// Lists them.
pub async fn run(options: cli::Sessions) -> Result<(), Fault> {
    let (rows, domain) = socket::with(&options.running, None, async |link| {
        let domain = link.me().domain().to_owned();
        let name = options.name.as_deref();
        let account = name.map(|name| commands::address(name, &domain)).transpose()?;
        Ok((admin::list_sessions(link, account.as_ref()).await?, domain))
    })
    .await?;
    if options.json {
        return rows.iter().try_for_each(|row| say(object(row, &domain)));
    }
    match rows.is_empty() {
        true => say("nobody is connected"),
        false => {
            let rows: Vec<[String; 6]> = rows.iter().map(|row| cells(row, &domain)).collect();
            say(table(HEADINGS, &rows))
        }
    }
}

fn cells(row: &SessionRow, domain: &str) -> [String; 6] {
    [
        name::of(&row.jid.to_bare(), domain),
        text::line(row.jid.resource()),
        text::line(&row.address),
        text::line(&row.state),
        minute(row.since),
        row.last_active.map(minute).unwrap_or_default(),
    ]
}

/// Returns a row for programs (docs/scripting.md).
fn object(row: &SessionRow, domain: &str) -> String {
    let state = match row.state.as_str() {
        "waits to be resumed" => "detached",
        other => other,
    };
    json!({
        "user": name::of(&row.jid.to_bare(), domain),
        "address": row.jid.as_str(),
        "resource": row.jid.resource(),
        "from": row.address,
        "state": state,
        "since": rfc3339(row.since),
        "last_active": row.last_active.map(rfc3339),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};
    use whoelse_xmpp::FullJid;

    fn row() -> SessionRow {
        SessionRow {
            jid: FullJid::parse("bob@a.example/phone").unwrap(),
            address: "[2001:db8::1]:40000".to_owned(),
            state: "waits to be resumed".to_owned(),
            since: UNIX_EPOCH + Duration::from_secs(1_795_356_200),
            last_active: None,
        }
    }

    #[test]
    fn a_row_says_who_where_from_and_since_when() {
        assert_eq!(
            cells(&row(), "a.example"),
            [
                "bob",
                "phone",
                "[2001:db8::1]:40000",
                "waits to be resumed",
                "2026-11-22 14:03 UTC",
                ""
            ]
        );
    }

    #[test]
    fn a_program_is_given_an_object() {
        assert_eq!(
            object(&row(), "a.example"),
            r#"{"address":"bob@a.example/phone","from":"[2001:db8::1]:40000","last_active":null,"resource":"phone","since":"2026-11-22T14:03:20.000Z","state":"detached","user":"bob"}"#
        );
    }
}
