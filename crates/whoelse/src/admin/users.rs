//! The output of `whoelse user list`: a table for people, with a row for each account, or JSON
//! with an object a line.

use serde_json::json;
use whoelse_client::admin::{Block, BlockedNetwork, User};

use super::table::{self, minute, rfc3339, utc};
use crate::say::{name, text};

const HEADINGS: [&str; 4] = ["NAME", "ONLINE", "BLOCKED", "LAST ACTIVE"];

/// Returns the whole table without the last line end.
pub fn table(users: &[User], networks: &[BlockedNetwork], domain: &str) -> String {
    let mut lines = match users {
        [] => vec![format!(
            "{} has no accounts; add one with `whoelse user add NAME`",
            text::line(domain)
        )],
        _ => accounts(users, domain),
    };
    for BlockedNetwork { network, until } in networks {
        lines.push(format!(
            "network {} is blocked until {}; `whoelse user unblock {0}` lifts it",
            text::line(network),
            utc(*until, "%Y-%m-%d %H:%M:%S UTC")
        ));
    }
    lines.join("\n")
}

fn accounts(users: &[User], domain: &str) -> Vec<String> {
    let rows: Vec<[String; 4]> = users.iter().map(|user| row(user, domain)).collect();
    vec![table::table(HEADINGS, &rows)]
}

/// Returns an object for each account, and for each blocked network (docs/scripting.md).
pub fn objects(users: &[User], networks: &[BlockedNetwork], domain: &str) -> Vec<String> {
    let object = |user: &User| {
        let blocked = user
            .blocked
            .as_ref()
            .map(|block| json!({ "until": block.until.map(rfc3339), "network": block.network }));
        json!({
            "user": name::of(&user.account, domain),
            "address": user.account.as_str(),
            "online": user.online,
            "blocked": blocked,
            "last_active": user.last_active.map(rfc3339),
        })
        .to_string()
    };
    let network = |blocked: &BlockedNetwork| {
        json!({ "network": blocked.network, "blocked": { "until": rfc3339(blocked.until) } })
            .to_string()
    };
    users.iter().map(object).chain(networks.iter().map(network)).collect()
}

fn row(user: &User, domain: &str) -> [String; 4] {
    [
        name::of(&user.account, domain),
        if user.online { "yes" } else { "no" }.to_owned(),
        user.blocked.as_ref().map_or_else(|| "no".to_owned(), blocked),
        user.last_active.map_or_else(|| "never".to_owned(), minute),
    ]
}

/// Says until when, and where. A block after wrong passwords is short, so seconds are shown.
fn blocked(block: &Block) -> String {
    let until = match block.until {
        Some(until) => format!("until {}", utc(until, "%Y-%m-%d %H:%M:%S UTC")),
        None => "for ever".to_owned(),
    };
    match &block.network {
        Some(network) => format!("{until} (for {})", text::line(network)),
        None => until,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};
    use whoelse_xmpp::BareJid;

    /// 2026-11-22 14:03:20 UTC.
    const THEN: Duration = Duration::from_secs(1_795_356_200);

    fn user(name: &str) -> User {
        let account = BareJid::new(Some(name), "a.example").unwrap();
        User { account, online: false, blocked: None, last_active: None }
    }

    #[test]
    fn the_table_is_aligned_and_says_what_an_operator_asks_first() {
        let then = UNIX_EPOCH + THEN;
        let network = Some("127.0.0.1".to_owned());
        let users = [
            User { online: true, last_active: Some(then), ..user("alice") },
            User { blocked: Some(Block { until: Some(then), network }), ..user("bob") },
            User { blocked: Some(Block { until: None, network: None }), ..user("günther") },
        ];

        let network = BlockedNetwork { network: "192.0.2.7".to_owned(), until: then };

        let shown = table(&users, &[network], "a.example");

        let expected = "\
NAME     ONLINE  BLOCKED                                        LAST ACTIVE
alice    yes     no                                             2026-11-22 14:03 UTC
bob      no      until 2026-11-22 14:03:20 UTC (for 127.0.0.1)  never
günther  no      for ever                                       never
network 192.0.2.7 is blocked until 2026-11-22 14:03:20 UTC; `whoelse user unblock 192.0.2.7` lifts it";
        assert_eq!(shown, expected);
    }

    #[test]
    fn without_accounts_it_is_said_how_to_make_one() {
        let said = table(&[], &[], "a.example");

        assert_eq!(said, "a.example has no accounts; add one with `whoelse user add NAME`");
    }

    #[test]
    fn a_program_is_given_an_object_for_each_account() {
        let then = UNIX_EPOCH + THEN;
        let block = Block { until: Some(then), network: None };

        let network = BlockedNetwork { network: "192.0.2.7".to_owned(), until: then };
        let users = [User { blocked: Some(block), ..user("bob") }, user("eve")];

        let said = objects(&users, &[network], "a.example");

        assert_eq!(
            said,
            [
                r#"{"address":"bob@a.example","blocked":{"network":null,"until":"2026-11-22T14:03:20.000Z"},"last_active":null,"online":false,"user":"bob"}"#,
                r#"{"address":"eve@a.example","blocked":null,"last_active":null,"online":false,"user":"eve"}"#,
                r#"{"blocked":{"until":"2026-11-22T14:03:20.000Z"},"network":"192.0.2.7"}"#,
            ]
        );
    }

    #[test]
    fn text_of_the_server_cannot_act_on_the_terminal() {
        let block = Block { until: None, network: Some("\u{1b}[2J\n* x".to_owned()) };

        assert_eq!(blocked(&block), "for ever (for \\u{1b}[2J\\u{a}* x)");
    }
}
