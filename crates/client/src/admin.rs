//! XEP-0133 and docs/protocol.md: an administrator's requests over a [`Link`]. They make, change,
//! block, list and remove accounts, and rename the domain.
//!
//! Each is an ad-hoc command run in one step. It returns the server's own sentence about the
//! result, which is not made safe for a terminal.

pub mod rooms;

use std::net::SocketAddr;
use std::time::SystemTime;

use whoelse_stream::Password;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Stanza, ns};

use crate::commands::{completed, execute};
use crate::devices::Device;
use crate::error::RequestError;
use crate::link::Link;
use crate::nested;
use crate::request::Request;
use crate::table::{Row, read_rows};

const ADD: &str = "http://jabber.org/protocol/admin#add-user";
const REMOVE: &str = "http://jabber.org/protocol/admin#delete-user";
const PASSWORD: &str = "http://jabber.org/protocol/admin#change-user-password";
const LIST: &str = "urn:whoelse:commands:0#list-users";
const SESSIONS: &str = "urn:whoelse:commands:0#list-sessions";
const END: &str = "http://jabber.org/protocol/admin#end-user-session";
const ANNOUNCE: &str = "http://jabber.org/protocol/admin#announce";
const LISTENING: &str = "urn:whoelse:commands:0#listening";
const BLOCK: &str = "urn:whoelse:commands:0#block-user";
const UNBLOCK: &str = "urn:whoelse:commands:0#unblock-user";
const UNBLOCK_ADDRESS: &str = "urn:whoelse:commands:0#unblock-address";
const NETWORKS: &str = "urn:whoelse:commands:0#list-blocked-networks";
const GRANT: &str = "urn:whoelse:commands:0#grant-administrator";
const REVOKE: &str = "urn:whoelse:commands:0#revoke-administrator";
const ADMINISTRATORS: &str = "urn:whoelse:commands:0#list-administrators";
const LIST_DEVICES: &str = "urn:whoelse:commands:0#list-devices";
const REVOKE_DEVICES: &str = "urn:whoelse:commands:0#revoke-devices";
const RELOAD: &str = "urn:whoelse:commands:0#reload";
const CLOCK: &str = "urn:whoelse:commands:0#clock";
const BACKUP: &str = "urn:whoelse:commands:0#backup";
const RESTORE: &str = "urn:whoelse:commands:0#restore";
const MAINTENANCE: &str = "urn:whoelse:commands:0#upkeep";
const RENAME: &str = "urn:whoelse:commands:0#rename-domain";

/// The server's text for a block without an end.
const FOR_EVER: &str = "for ever";

/// Makes the server read its configuration again. Returns what has changed, a line each.
pub async fn reload(link: &mut Link) -> Result<String, RequestError> {
    note(&run(link, RELOAD, &[]).await?)
}

/// The state of a server's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockStands {
    /// Whether the server trusts it.
    pub is_believed: bool,
    /// The state in the server's words, with the reason and the end of a doubt.
    pub words: String,
}

/// Returns the state of the server's clock; `trust` first vouches for it.
pub async fn clock(link: &mut Link, trust: bool) -> Result<ClockStands, RequestError> {
    // Without a value the server would ask for one.
    let answer = run(link, CLOCK, &[("trust", if trust { "1" } else { "0" })]).await?;
    let form = nested::find(&answer, "x", ns::DATA).ok_or(RequestError::Unreadable)?;
    let believed = nested::each(&form, "field")
        .find(|field| field.attr("var").is_some_and(|var| var == "believed"))
        .and_then(|field| nested::each(&field, "value").next().map(|it| it.text().to_string()));
    Ok(ClockStands { is_believed: believed.as_deref() == Some("1"), words: note(&answer)? })
}

/// XEP-0092: returns the server's version.
pub async fn version(link: &mut Link) -> Result<String, RequestError> {
    let server = BareJid::new(None, link.me().domain()).map_err(|_| RequestError::Unreadable)?;
    let question = Request::get(Element::new("query").xmlns(ns::VERSION));
    let answer = link.request(question.to(server.into())).await?;
    let query = nested::find(&answer, "query", ns::VERSION).ok_or(RequestError::Unreadable)?;
    let version = nested::each(&query, "version").next();
    version.map(|version| version.text().to_string()).ok_or(RequestError::Unreadable)
}

/// Starts a backup into a file in the data directory.
pub async fn backup(link: &mut Link, file: &str) -> Result<String, RequestError> {
    note(&run(link, BACKUP, &[("file", file)]).await?)
}

/// Starts to restore a backup from the data directory. The server then ends every session,
/// including this one.
pub async fn restore(link: &mut Link, file: &str) -> Result<String, RequestError> {
    note(&run(link, RESTORE, &[("file", file)]).await?)
}

/// Returns the progress of a backup or restore: `running`, or `done: ` and how much. A failure is
/// an error with its reason.
pub async fn maintenance(link: &mut Link) -> Result<String, RequestError> {
    note(&run(link, MAINTENANCE, &[]).await?)
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

/// Sets the password of an account.
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

/// Locks an account, for a number of seconds or for ever, and ends its sessions.
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

/// Removes all locks of an account.
pub async fn unblock_user(link: &mut Link, account: &BareJid) -> Result<String, RequestError> {
    note(&run(link, UNBLOCK, &[("accountjid", account.as_str())]).await?)
}

/// Removes all blocks that wrong passwords have caused for an address.
pub async fn unblock_address(link: &mut Link, address: &str) -> Result<String, RequestError> {
    note(&run(link, UNBLOCK_ADDRESS, &[("address", address)]).await?)
}

/// Grants an account an administrator's right.
pub async fn grant_right(link: &mut Link, account: &BareJid) -> Result<String, RequestError> {
    note(&run(link, GRANT, &[("accountjid", account.as_str())]).await?)
}

/// Takes back an administrator's right that was granted.
pub async fn revoke_right(link: &mut Link, account: &BareJid) -> Result<String, RequestError> {
    note(&run(link, REVOKE, &[("accountjid", account.as_str())]).await?)
}

/// Ends every session of an account, or the one with this resource.
pub async fn end_sessions(
    link: &mut Link,
    account: &BareJid,
    resource: Option<&str>,
) -> Result<String, RequestError> {
    let who = match resource {
        Some(resource) => format!("{account}/{resource}"),
        None => account.to_string(),
    };
    note(&run(link, END, &[("accountjids", &who)]).await?)
}

/// Logs out the device of an account with this number, or all of its devices: their tokens are taken
/// back, and their sessions end.
pub async fn revoke_devices(
    link: &mut Link,
    account: &BareJid,
    device: Option<u32>,
) -> Result<String, RequestError> {
    let device = device.map(|number| number.to_string());
    let mut fields = vec![("accountjid", account.as_str())];
    fields.extend(device.as_deref().map(|number| ("device", number)));
    note(&run(link, REVOKE_DEVICES, &fields).await?)
}

/// Sends a message from the server itself to everybody who is online.
pub async fn announce(link: &mut Link, text: &str) -> Result<String, RequestError> {
    note(&run(link, ANNOUNCE, &[("announcement", text)]).await?)
}

/// Returns the addresses on which the server listens for clients.
pub async fn listening(link: &mut Link) -> Result<Vec<SocketAddr>, RequestError> {
    let done = run(link, LISTENING, &[]).await?;
    let form = nested::find(&done, "x", ns::DATA).ok_or(RequestError::Unreadable)?;
    let mut addresses = Vec::new();
    for field in nested::each(&form, "field") {
        if field.attr("var").as_deref() == Some("addresses") {
            for value in nested::each(&field, "value") {
                addresses.push(value.text().parse().map_err(|_| RequestError::Unreadable)?);
            }
        }
    }
    Ok(addresses)
}

/// Renames the domain. The server then ends every session, including this one, so the result may
/// be [`RequestError::ConnectionLost`] although it was done: the domain of the next session tells.
pub async fn rename_domain(link: &mut Link, old: &str, new: &str) -> Result<String, RequestError> {
    note(&run(link, RENAME, &[("old", old), ("new", new)]).await?)
}

/// One account, as an operator sees it.
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
    /// When it ends; `None` means never.
    pub until: Option<SystemTime>,
    /// The network for which it holds; `None` means all.
    pub network: Option<String>,
}

/// A network that is blocked as a whole after wrong passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedNetwork {
    /// The server's text for it: an IPv4 address, or an IPv6 /64, /56 or /48.
    pub network: String,
    /// When it ends.
    pub until: SystemTime,
}

/// Returns the networks that are blocked as a whole.
pub async fn blocked_networks(link: &mut Link) -> Result<Vec<BlockedNetwork>, RequestError> {
    list(link, NETWORKS, &[], read_network, |blocked| blocked.network.clone()).await
}

fn read_network(row: &Row) -> Result<BlockedNetwork, RequestError> {
    match (row.cell("network"), row.time("blocked-until")?) {
        (Some(network), Some(until)) => Ok(BlockedNetwork { network: network.to_owned(), until }),
        _ => Err(RequestError::Unreadable),
    }
}

/// One administrator, as an operator sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    /// The account.
    pub account: BareJid,
    /// When the right was granted, if it was.
    pub granted: Option<SystemTime>,
    /// Whether the configuration names the account.
    pub is_named: bool,
    /// Whether there is such an account.
    pub exists: bool,
}

/// Returns the administrators, ordered by address.
pub async fn list_administrators(link: &mut Link) -> Result<Vec<Administrator>, RequestError> {
    list(link, ADMINISTRATORS, &[], read_administrator, |one| one.account.to_string()).await
}

fn read_administrator(row: &Row) -> Result<Administrator, RequestError> {
    let account = row.cell("account").and_then(|text| BareJid::parse(text).ok());
    Ok(Administrator {
        account: account.ok_or(RequestError::Unreadable)?,
        granted: row.time("granted")?,
        is_named: row.cell("named") == Some("yes"),
        exists: row.cell("exists") == Some("yes"),
    })
}

/// One session, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its full address.
    pub jid: FullJid,
    /// The present or last address of its connection.
    pub address: String,
    /// Its state in the server's words: online, or waiting to be resumed.
    pub state: String,
    /// When it began.
    pub since: SystemTime,
    /// When its user last did something.
    pub last_active: Option<SystemTime>,
}

/// Returns the devices that log in to an account by a token, by number.
pub async fn list_devices(link: &mut Link, account: &BareJid) -> Result<Vec<Device>, RequestError> {
    let answer = run(link, LIST_DEVICES, &[("accountjid", account.as_str())]).await?;
    read_rows(&answer, Device::read)
}

/// Returns all accounts, in the server's order.
pub async fn list_users(link: &mut Link) -> Result<Vec<User>, RequestError> {
    let name = |user: &User| user.account.local().unwrap_or_default().to_owned();
    list(link, LIST, &[], read_user, name).await
}

/// Returns all sessions, or those of one account, ordered by address.
pub async fn list_sessions(
    link: &mut Link,
    account: Option<&BareJid>,
) -> Result<Vec<SessionRow>, RequestError> {
    let only: Vec<(&str, &str)> =
        account.map(|account| ("accountjid", account.as_str())).into_iter().collect();
    list(link, SESSIONS, &only, read_session, |row| row.jid.to_string()).await
}

/// Returns all rows of a paged command.
async fn list<T>(
    link: &mut Link,
    node: &str,
    fields: &[(&str, &str)],
    read: fn(&Row) -> Result<T, RequestError>,
    key: impl Fn(&T) -> String,
) -> Result<Vec<T>, RequestError> {
    let mut rows: Vec<T> = Vec::new();
    let take = |page: Vec<T>| {
        rows.extend(page);
        true
    };
    pages(link, (node, fields), read, key, take).await?;
    Ok(rows)
}

/// Calls `take` with each page of a command, until there is no more or it wants none; each page is asked
/// for with the last key of the previous one.
async fn pages<T>(
    link: &mut Link,
    (node, fields): (&str, &[(&str, &str)]),
    read: fn(&Row) -> Result<T, RequestError>,
    key: impl Fn(&T) -> String,
    mut take: impl FnMut(Vec<T>) -> bool,
) -> Result<(), RequestError> {
    let mut after = String::new();
    loop {
        let asked = [fields, &[("after", after.as_str())]].concat();
        let page = read_rows(&run(link, node, &asked).await?, read)?;
        let Some(last) = page.last().map(&key) else { return Ok(()) };
        // A server that repeats a page would keep us here for ever.
        if last == after {
            return Err(RequestError::Unreadable);
        }
        if !take(page) {
            return Ok(());
        }
        after = last;
    }
}

async fn run(link: &mut Link, node: &str, fields: &[(&str, &str)]) -> Result<Stanza, RequestError> {
    let server = BareJid::new(None, link.me().domain()).map_err(|_| RequestError::Unreadable)?;
    let answer = link.request(execute(node, fields).to(server.into())).await?;
    completed(&answer)
}

/// Returns the server's sentence.
fn note(command: &Stanza) -> Result<String, RequestError> {
    let first = nested::each(command, "note").next();
    first.map(|note| note.text().to_string()).ok_or(RequestError::Unreadable)
}

fn read_user(row: &Row) -> Result<User, RequestError> {
    let account = row.cell("account").and_then(|text| BareJid::parse(text).ok());
    let blocked = match row.cell("blocked-until") {
        None => None,
        Some(FOR_EVER) => {
            Some(Block { until: None, network: row.cell("blocked-network").map(str::to_owned) })
        }
        Some(_) => Some(Block {
            until: row.time("blocked-until")?,
            network: row.cell("blocked-network").map(str::to_owned),
        }),
    };
    Ok(User {
        account: account.ok_or(RequestError::Unreadable)?,
        online: row.cell("online") == Some("yes"),
        blocked,
        last_active: row.time("last-active")?,
    })
}

fn read_session(row: &Row) -> Result<SessionRow, RequestError> {
    let jid = row.cell("session").and_then(|text| FullJid::parse(text).ok());
    Ok(SessionRow {
        jid: jid.ok_or(RequestError::Unreadable)?,
        address: row.cell("address").unwrap_or_default().to_owned(),
        state: row.cell("state").unwrap_or_default().to_owned(),
        since: row.time("since")?.ok_or(RequestError::Unreadable)?,
        last_active: row.time("last-active")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::parse_time;

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
        read_rows(&table(rows), read_user)
    }

    fn table(rows: &[String]) -> Stanza {
        command(&format!(
            "<x xmlns='jabber:x:data' type='result'>\
             <reported><field var='account' label='Account'/></reported>{}</x>",
            rows.concat()
        ))
    }

    #[test]
    fn a_row_says_who_is_online_blocked_and_when_they_were_last_here() {
        let read = users(&[
            row(&[
                ("account", "alice@a.example"),
                ("online", "yes"),
                ("blocked-until", ""),
                ("blocked-network", ""),
                ("last-active", "2026-11-22T14:03:00.123Z"),
            ]),
            row(&[
                ("account", "bob@a.example"),
                ("online", "no"),
                ("blocked-until", "2026-11-22T14:04:00.000Z"),
                ("blocked-network", "127.0.0.1"),
                ("last-active", ""),
            ]),
            row(&[("account", "carol@a.example"), ("blocked-until", "for ever")]),
        ]);

        let [alice, bob, carol] = <[User; 3]>::try_from(read.unwrap()).unwrap();
        assert!(alice.online && alice.blocked.is_none());
        assert_eq!(alice.last_active, parse_time("2026-11-22T14:03:00.123Z"));
        let until = parse_time("2026-11-22T14:04:00Z");
        assert!(until.is_some());
        assert_eq!(bob.blocked, Some(Block { until, network: Some("127.0.0.1".to_owned()) }));
        assert_eq!((bob.online, bob.last_active), (false, None));
        assert_eq!(carol.blocked, Some(Block { until: None, network: None }));
    }

    #[test]
    fn a_blocked_network_is_named_with_its_end() {
        let table = |row: String| command(&format!("<x xmlns='jabber:x:data'>{row}</x>"));
        let whole = row(&[("network", "192.0.2.7"), ("blocked-until", "2026-11-22T14:04:00Z")]);
        let network = BlockedNetwork {
            network: "192.0.2.7".to_owned(),
            until: parse_time("2026-11-22T14:04:00Z").unwrap(),
        };

        assert_eq!(read_rows(&table(whole), read_network), Ok(vec![network]));
        assert_eq!(read_rows(&table(String::new()), read_network), Ok(vec![]));
        for bad in [row(&[("network", "192.0.2.7")]), row(&[("blocked-until", "for ever")])] {
            assert_eq!(read_rows(&table(bad), read_network), Err(RequestError::Unreadable));
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
        let no_table = command("<note>no table</note>");
        assert_eq!(read_rows(&no_table, read_user), Err(RequestError::Unreadable));
    }

    #[test]
    fn a_session_says_where_it_comes_from_and_since_when() {
        let then = ("since", "2026-11-22T14:03:00.123Z");
        let whole = row(&[
            ("session", "alice@a.example/desk"),
            ("address", "192.0.2.1:40000"),
            ("state", "online"),
            then,
        ]);

        let read = read_rows(&table(&[whole]), read_session).unwrap();

        assert_eq!((read[0].jid.resource(), read[0].address.as_str()), ("desk", "192.0.2.1:40000"));
        assert_eq!((read[0].state.as_str(), read[0].last_active), ("online", None));
        for bad in [row(&[then]), row(&[("session", "alice@a.example/desk")])] {
            assert_eq!(read_rows(&table(&[bad]), read_session), Err(RequestError::Unreadable));
        }
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
