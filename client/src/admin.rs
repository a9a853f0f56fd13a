//! XEP-0133 and docs/protocol.md, asked by an administrator over a [`Link`]: accounts are made,
//! changed, blocked, listed and removed, and the domain gets another name.
//!
//! Each is an ad-hoc command run in one step. What comes back is the server's own sentence about
//! what it has done: text from elsewhere, not made safe for a terminal.

use std::time::SystemTime;

use whoelse_stream::Password;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Stanza, ns};

use crate::commands::{completed, execute};
use crate::link::Link;
use crate::message::parse_time;
use crate::nested;
use crate::request::{Request, RequestError};

const ADD: &str = "http://jabber.org/protocol/admin#add-user";
const REMOVE: &str = "http://jabber.org/protocol/admin#delete-user";
const PASSWORD: &str = "http://jabber.org/protocol/admin#change-user-password";
const LIST: &str = "urn:whoelse:commands:0#list-users";
const BLOCK: &str = "urn:whoelse:commands:0#block-user";
const UNBLOCK: &str = "urn:whoelse:commands:0#unblock-user";
const UNBLOCK_ADDRESS: &str = "urn:whoelse:commands:0#unblock-address";
const NETWORKS: &str = "urn:whoelse:commands:0#list-blocked-networks";
const RELOAD: &str = "urn:whoelse:commands:0#reload";
const CLOCK: &str = "urn:whoelse:commands:0#clock";
const BACKUP: &str = "urn:whoelse:commands:0#backup";
const RESTORE: &str = "urn:whoelse:commands:0#restore";
const UPKEEP: &str = "urn:whoelse:commands:0#upkeep";
const RENAME: &str = "urn:whoelse:commands:0#rename-domain";

/// How the server writes a block without an end.
const FOR_EVER: &str = "for ever";

/// Has the configuration read again. What has changed comes back, a line each.
pub async fn reload(link: &mut Link) -> Result<String, RequestError> {
    note(&run(link, RELOAD, &[]).await?)
}

/// How a server's clock stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockStands {
    /// Whether the server believes it.
    pub is_believed: bool,
    /// The same in the server's words, with why not and until when.
    pub words: String,
}

/// How the server's clock stands; `trust` says first that it is right.
pub async fn clock(link: &mut Link, trust: bool) -> Result<ClockStands, RequestError> {
    let fields: &[(&str, &str)] = if trust { &[("trust", "1")] } else { &[] };
    let answer = run(link, CLOCK, fields).await?;
    let form = nested::find(&answer, "x", ns::DATA).ok_or(RequestError::Unreadable)?;
    let believed = nested::each(&form, "field")
        .find(|field| field.attr("var").is_some_and(|var| var == "believed"))
        .and_then(|field| nested::each(&field, "value").next().map(|it| it.text().to_string()));
    Ok(ClockStands { is_believed: believed.as_deref() == Some("1"), words: note(&answer)? })
}

/// XEP-0092: which version the server runs.
pub async fn version(link: &mut Link) -> Result<String, RequestError> {
    let server = BareJid::new(None, link.me().domain()).map_err(|_| RequestError::Unreadable)?;
    let question = Request::get(Element::new("query").xmlns(ns::VERSION));
    let answer = link.request(question.to(server.into())).await?;
    let query = nested::find(&answer, "query", ns::VERSION).ok_or(RequestError::Unreadable)?;
    let version = nested::each(&query, "version").next();
    version.map(|version| version.text().to_string()).ok_or(RequestError::Unreadable)
}

/// Begins a backup into a file in the data directory.
pub async fn backup(link: &mut Link, file: &str) -> Result<String, RequestError> {
    note(&run(link, BACKUP, &[("file", file)]).await?)
}

/// Begins to restore a backup that lies in the data directory. The server ends every session for
/// it, this one among them.
pub async fn restore(link: &mut Link, file: &str) -> Result<String, RequestError> {
    note(&run(link, RESTORE, &[("file", file)]).await?)
}

/// How far a backup or a restore is: `running`, or `done: ` and how much that was. Why it failed is
/// the refusal.
pub async fn upkeep(link: &mut Link) -> Result<String, RequestError> {
    note(&run(link, UPKEEP, &[]).await?)
}

/// Makes an account.
pub async fn add_user(
    link: &mut Link,
    account: &BareJid,
    password: &Password,
) -> Result<String, RequestError> {
    let password = String::from_utf8_lossy(password.reveal());
    let fields =
        [("accountjid", account.as_str()), ("password", &password), ("password-verify", &password)];
    note(&run(link, ADD, &fields).await?)
}

/// Gives an account another password.
pub async fn set_password(
    link: &mut Link,
    account: &BareJid,
    password: &Password,
) -> Result<String, RequestError> {
    let password = String::from_utf8_lossy(password.reveal());
    let fields = [("accountjid", account.as_str()), ("password", &password)];
    note(&run(link, PASSWORD, &fields).await?)
}

/// Removes an account and everything it holds.
pub async fn remove_user(link: &mut Link, account: &BareJid) -> Result<String, RequestError> {
    note(&run(link, REMOVE, &[("accountjids", account.as_str())]).await?)
}

/// Locks an account out, for so many seconds or for ever, and ends its sessions.
pub async fn block_user(
    link: &mut Link,
    account: &BareJid,
    seconds: Option<u32>,
) -> Result<String, RequestError> {
    let seconds = seconds.map(|seconds| seconds.to_string());
    let mut fields = vec![("accountjid", account.as_str())];
    fields.extend(seconds.as_deref().map(|seconds| ("seconds", seconds)));
    note(&run(link, BLOCK, &fields).await?)
}

/// Lifts every lock of an account.
pub async fn unblock_user(link: &mut Link, account: &BareJid) -> Result<String, RequestError> {
    note(&run(link, UNBLOCK, &[("accountjid", account.as_str())]).await?)
}

/// Lifts what wrong passwords have earned everybody who comes from an address.
pub async fn unblock_address(link: &mut Link, address: &str) -> Result<String, RequestError> {
    note(&run(link, UNBLOCK_ADDRESS, &[("address", address)]).await?)
}

/// Gives the domain another name. The server ends every session for it, this one among them, so
/// the answer may be [`RequestError::ConnectionLost`] although it was done: then the domain of
/// the next session says which.
pub async fn rename_domain(link: &mut Link, old: &str, new: &str) -> Result<String, RequestError> {
    note(&run(link, RENAME, &[("old", old), ("new", new)]).await?)
}

/// One account, as an operator looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its address.
    pub account: BareJid,
    /// Whether a session of it is available.
    pub online: bool,
    /// The lock that lasts longest, if there is one.
    pub blocked: Option<Block>,
    /// When it was last seen, if ever.
    pub last_active: Option<SystemTime>,
}

/// An account's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// When it ends; never, if there is no end.
    pub until: Option<SystemTime>,
    /// The network it holds for; everywhere, if there is none.
    pub place: Option<String>,
}

/// A network that is blocked as a whole after wrong passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedNetwork {
    /// The server's text for it: an IPv4 address, or an IPv6 /64.
    pub network: String,
    /// When it ends.
    pub until: SystemTime,
}

/// The networks that are blocked as a whole.
pub async fn blocked_networks(link: &mut Link) -> Result<Vec<BlockedNetwork>, RequestError> {
    read_networks(&run(link, NETWORKS, &[]).await?)
}

fn read_networks(command: &Stanza) -> Result<Vec<BlockedNetwork>, RequestError> {
    let form = nested::find(command, "x", ns::DATA).ok_or(RequestError::Unreadable)?;
    let read = |item: Stanza| {
        let cells = Cells::of(&item);
        let until = cells.get("blocked-until").and_then(parse_time);
        match (cells.get("network"), until) {
            (Some(network), Some(until)) => {
                Ok(BlockedNetwork { network: network.to_owned(), until })
            }
            _ => Err(RequestError::Unreadable),
        }
    };
    nested::each(&form, "item").map(read).collect()
}

/// All accounts, in the server's order.
pub async fn list_users(link: &mut Link) -> Result<Vec<User>, RequestError> {
    let mut users: Vec<User> = Vec::new();
    loop {
        let last = users.last().map(|user| user.account.clone());
        let after = last.as_ref().and_then(|jid| jid.local()).unwrap_or_default();
        let page = read_users(&run(link, LIST, &[("after", after)]).await?)?;
        match page.last() {
            None => return Ok(users),
            // A server that does not get on would keep us here for ever.
            Some(user) if Some(&user.account) == last.as_ref() => {
                return Err(RequestError::Unreadable);
            }
            Some(_) => users.extend(page),
        }
    }
}

async fn run(link: &mut Link, node: &str, fields: &[(&str, &str)]) -> Result<Stanza, RequestError> {
    let server = BareJid::new(None, link.me().domain()).map_err(|_| RequestError::Unreadable)?;
    let answer = link.request(execute(node, fields).to(server.into())).await?;
    completed(&answer)
}

/// The server's sentence.
fn note(command: &Stanza) -> Result<String, RequestError> {
    let first = nested::each(command, "note").next();
    first.map(|note| note.text().to_string()).ok_or(RequestError::Unreadable)
}

/// The rows of a table (XEP-0004, 3.4).
fn read_users(command: &Stanza) -> Result<Vec<User>, RequestError> {
    let Some(form) = nested::find(command, "x", ns::DATA) else {
        return Err(RequestError::Unreadable);
    };
    nested::each(&form, "item").map(|item| read_user(&item)).collect()
}

/// One row, by the names of its columns.
struct Cells(Vec<(String, String)>);

impl Cells {
    fn of(item: &Stanza) -> Cells {
        let cell = |field: Stanza| {
            let value = nested::each(&field, "value").next();
            let value = value.map(|value| value.text().to_string()).unwrap_or_default();
            Some((field.attr("var")?.to_string(), value))
        };
        Cells(nested::each(item, "field").filter_map(cell).collect())
    }

    /// What stands in a column, if it is not empty.
    fn get(&self, var: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == var);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

fn read_user(item: &Stanza) -> Result<User, RequestError> {
    let cells = Cells::of(item);
    let cell = |var: &str| cells.get(var);
    let time = |text: &str| parse_time(text).ok_or(RequestError::Unreadable);
    let account = cell("account").and_then(|text| BareJid::parse(text).ok());
    let blocked = match cell("blocked-until") {
        None => None,
        Some(text) => Some(Block {
            until: if text == FOR_EVER { None } else { Some(time(text)?) },
            place: cell("blocked-place").map(str::to_owned),
        }),
    };
    Ok(User {
        account: account.ok_or(RequestError::Unreadable)?,
        online: cell("online") == Some("yes"),
        blocked,
        last_active: cell("last-active").map(time).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn command(inside: &str) -> Stanza {
        let xml = format!(
            "<iq type='result' id='q' from='a.example'>\
             <command xmlns='http://jabber.org/protocol/commands' status='completed'>\
             {inside}</command></iq>"
        );
        completed(&Stanza::parse(xml.into_bytes()).unwrap()).unwrap()
    }

    fn row(cells: &[(&str, &str)]) -> String {
        let cell = |(var, value): &(&str, &str)| {
            format!("<field var='{var}'><value>{value}</value></field>")
        };
        format!("<item>{}</item>", cells.iter().map(cell).collect::<String>())
    }

    fn users(rows: &[String]) -> Result<Vec<User>, RequestError> {
        read_users(&command(&format!(
            "<x xmlns='jabber:x:data' type='result'>\
             <reported><field var='account' label='Account'/></reported>{}</x>",
            rows.concat()
        )))
    }

    #[test]
    fn a_row_says_who_is_online_blocked_and_when_they_were_last_here() {
        let read = users(&[
            row(&[
                ("account", "alice@a.example"),
                ("online", "yes"),
                ("blocked-until", ""),
                ("blocked-place", ""),
                ("last-active", "2026-11-22T14:03:00.123Z"),
            ]),
            row(&[
                ("account", "bob@a.example"),
                ("online", "no"),
                ("blocked-until", "2026-11-22T14:04:00.000Z"),
                ("blocked-place", "127.0.0.1"),
                ("last-active", ""),
            ]),
            row(&[("account", "carol@a.example"), ("blocked-until", "for ever")]),
        ]);

        let [alice, bob, carol] = <[User; 3]>::try_from(read.unwrap()).unwrap();
        assert!(alice.online && alice.blocked.is_none());
        assert_eq!(alice.last_active, parse_time("2026-11-22T14:03:00.123Z"));
        let until = parse_time("2026-11-22T14:04:00Z");
        assert!(until.is_some());
        assert_eq!(bob.blocked, Some(Block { until, place: Some("127.0.0.1".to_owned()) }));
        assert_eq!((bob.online, bob.last_active), (false, None));
        assert_eq!(carol.blocked, Some(Block { until: None, place: None }));
    }

    #[test]
    fn a_blocked_network_is_named_with_its_end() {
        let table = |row: String| command(&format!("<x xmlns='jabber:x:data'>{row}</x>"));
        let whole = row(&[("network", "192.0.2.7"), ("blocked-until", "2026-11-22T14:04:00Z")]);
        let network = BlockedNetwork {
            network: "192.0.2.7".to_owned(),
            until: parse_time("2026-11-22T14:04:00Z").unwrap(),
        };

        assert_eq!(read_networks(&table(whole)), Ok(vec![network]));
        assert_eq!(read_networks(&table(String::new())), Ok(vec![]));
        for bad in [row(&[("network", "192.0.2.7")]), row(&[("blocked-until", "for ever")])] {
            assert_eq!(read_networks(&table(bad)), Err(RequestError::Unreadable));
        }
    }

    #[test]
    fn a_table_without_rows_is_no_mistake() {
        assert_eq!(users(&[]), Ok(vec![]));
    }

    #[test]
    fn a_row_that_makes_no_sense_is_refused() {
        for bad in [
            row(&[]),
            row(&[("account", "@")]),
            row(&[("account", "bob@a.example"), ("blocked-until", "tomorrow")]),
            row(&[("account", "bob@a.example"), ("last-active", "never")]),
        ] {
            assert_eq!(users(&[bad]), Err(RequestError::Unreadable));
        }
        assert_eq!(read_users(&command("<note>no table</note>")), Err(RequestError::Unreadable));
    }

    #[test]
    fn the_servers_sentence_is_handed_on() {
        assert_eq!(
            note(&command("<note type='info'>bob is added</note>")).unwrap(),
            "bob is added"
        );
        assert_eq!(note(&command("")), Err(RequestError::Unreadable));
    }
}
