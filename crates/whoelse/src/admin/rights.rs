//! `whoelse admin grant|revoke|list`: who may administer the server over the network.

use serde_json::json;
use whoelse_client::admin::{self, Administrator};

use super::table::{minute, rfc3339, table};
use super::{Fault, say, socket, user};
use crate::cli::{self, AdminAction};
use crate::say::name;

const HEADINGS: [&str; 3] = ["NAME", "GRANTED", "IN THE CONFIGURATION"];

/// Runs the command.
pub async fn run(options: cli::Admin) -> Result<(), Fault> {
    let running = &options.running;
    match options.action {
        AdminAction::Grant { name } => {
            user::change(running, &name, async |link, account| {
                admin::grant_right(link, account).await
            })
            .await
        }
        AdminAction::Revoke { name } => {
            user::change(running, &name, async |link, account| {
                admin::revoke_right(link, account).await
            })
            .await
        }
        AdminAction::List { json } => {
            let (all, domain) = socket::with(running, None, async |link| {
                Ok((admin::list_administrators(link).await?, link.me().domain().to_owned()))
            })
            .await?;
            match json {
                true => all.iter().try_for_each(|one| say(object(one, &domain))),
                false => say(shown(&all, &domain)),
            }
        }
    }
}

fn shown(all: &[Administrator], domain: &str) -> String {
    if all.is_empty() {
        return "nobody administers this server over the network; `whoelse admin grant NAME` lets \
                somebody"
            .to_owned();
    }
    let rows: Vec<[String; 3]> = all.iter().map(|one| cells(one, domain)).collect();
    let mut lines = vec![table(HEADINGS, &rows)];
    for one in all.iter().filter(|one| !one.exists) {
        let name = name::of(&one.account, domain);
        lines.push(format!("there is no user {name}; `whoelse user add {name}` makes one"));
    }
    lines.join("\n")
}

fn cells(one: &Administrator, domain: &str) -> [String; 3] {
    [
        name::of(&one.account, domain),
        one.granted.map_or_else(|| "no".to_owned(), minute),
        if one.is_named { "yes" } else { "no" }.to_owned(),
    ]
}

/// Returns a row for programs (docs/scripting.md).
fn object(one: &Administrator, domain: &str) -> String {
    json!({
        "user": name::of(&one.account, domain),
        "address": one.account.as_str(),
        "granted": one.granted.map(rfc3339),
        "configured": one.is_named,
        "exists": one.exists,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};
    use whoelse_xmpp::BareJid;

    fn two() -> [Administrator; 2] {
        let account = |name| BareJid::new(Some(name), "a.example").unwrap();
        let then = UNIX_EPOCH + Duration::from_secs(1_795_356_200);
        [
            Administrator {
                account: account("alice"),
                granted: Some(then),
                is_named: false,
                exists: true,
            },
            Administrator {
                account: account("boss"),
                granted: None,
                is_named: true,
                exists: false,
            },
        ]
    }

    #[test]
    fn the_table_says_by_what_and_who_is_only_a_name() {
        assert_eq!(
            shown(&two(), "a.example"),
            "NAME   GRANTED               IN THE CONFIGURATION\n\
             alice  2026-11-22 14:03 UTC  no\n\
             boss   no                    yes\n\
             there is no user boss; `whoelse user add boss` makes one"
        );
        assert_eq!(
            shown(&[], "a.example"),
            "nobody administers this server over the network; `whoelse admin grant NAME` lets \
             somebody"
        );
    }

    #[test]
    fn a_program_is_given_an_object_for_each() {
        let said = two().map(|one| object(&one, "a.example"));

        assert_eq!(
            said,
            [
                r#"{"address":"alice@a.example","configured":false,"exists":true,"granted":"2026-11-22T14:03:20.000Z","user":"alice"}"#,
                r#"{"address":"boss@a.example","configured":true,"exists":false,"granted":null,"user":"boss"}"#,
            ]
        );
    }
}
