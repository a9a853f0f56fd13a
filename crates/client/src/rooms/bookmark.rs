//! XEP-0402, PEP Native Bookmarks, for a client: which rooms are entered at every login.
//!
//! A bookmark is an item by the room's address. What of it this client does not know (extensions of
//! other clients) stays as it is when the bookmark is changed.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Stanza, ns};

use super::private_node;
use crate::client::Client;
use crate::error::RequestError;
use crate::nested;
use crate::request::{Answer, Request};

/// Bookmarks that are read: more than a server of ours keeps.
const MAX_BOOKMARKS: usize = 500;

/// A bookmark of a room.
#[derive(Clone, PartialEq, Eq)]
pub struct Bookmark {
    /// The room.
    pub room: BareJid,
    /// How its owner calls it.
    pub name: Option<String>,
    /// The nickname to enter by.
    pub nick: Option<String>,
    /// The room's password.
    pub password: Option<String>,
    /// Whether the room is entered at every login.
    pub autojoin: bool,
    /// What other clients have put there, encoded.
    extensions: Vec<u8>,
}

/// It has a password, which nobody prints.
impl std::fmt::Debug for Bookmark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bookmark({}, autojoin: {})", self.room, self.autojoin)
    }
}

/// What another device has done to the bookmarks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Set(Bookmark),
    Removed(BareJid),
    /// All of them are gone.
    Cleared,
}

/// Returns all bookmarks.
pub async fn all(client: &Client) -> Result<Vec<Bookmark>, RequestError> {
    read_all(client.request(ask()).await)
}

/// The request of [`all`].
pub(super) fn ask() -> Request {
    private_node::ask(ns::BOOKMARKS, &[])
}

/// Reads its answer.
pub(super) fn read_all(
    answer: Result<Answer, RequestError>,
) -> Result<Vec<Bookmark>, RequestError> {
    let Some(items) = private_node::items(answer)? else { return Ok(Vec::new()) };
    let bookmarks = nested::each(&items, "item").filter_map(|it| read(&it));
    Ok(bookmarks.take(MAX_BOOKMARKS).collect())
}

/// Returns the bookmark of a room, if there is one.
pub async fn find(client: &Client, room: &BareJid) -> Result<Option<Bookmark>, RequestError> {
    let found = read_all(client.request(private_node::ask(ns::BOOKMARKS, &[room.as_str()])).await)?;
    // A server may return all of them instead.
    Ok(found.into_iter().find(|it| it.room == *room))
}

/// Notes that a room is entered at every login, by this nickname and password. What else is in the
/// bookmark as it is `known` ([`find`]) stays.
pub async fn note(
    client: &Client,
    room: &BareJid,
    known: Option<Bookmark>,
    (nick, password): (&str, Option<&str>),
) -> Result<(), RequestError> {
    let before = known.unwrap_or_else(|| Bookmark::new(room.clone()));
    let bookmark = Bookmark {
        autojoin: true,
        nick: Some(nick.to_owned()),
        password: password.map(str::to_owned).or_else(|| before.password.clone()),
        ..before.clone()
    };
    if bookmark == before {
        return Ok(());
    }
    client.request(publish(&bookmark)).await.map(|_| ())
}

/// Takes back that a room is entered at every login. Returns whether it was noted.
pub async fn unnote(client: &Client, room: &BareJid) -> Result<bool, RequestError> {
    let noted = find(client, room).await?.filter(|it| it.autojoin);
    let Some(noted) = noted else { return Ok(false) };
    client.request(publish(&Bookmark { autojoin: false, ..noted })).await.map(|_| true)
}

/// 3.1.1: an item, and what its node has to be.
fn publish(bookmark: &Bookmark) -> Request {
    let item = Element::new("item").attr("id", bookmark.room.as_str()).child(bookmark.write());
    private_node::publish(ns::BOOKMARKS, item)
}

/// Reads what the own account tells of a change. Others' bookmarks are nobody's business.
pub(super) fn changes(stanza: &Stanza, me: &FullJid) -> Option<Vec<Change>> {
    let event = private_node::event(stanza, me)?;
    let of = |name| {
        let found = nested::find(&event, name, ns::PUBSUB_EVENT)?;
        (found.attr("node").as_deref() == Some(ns::BOOKMARKS)).then_some(found)
    };
    if of("purge").is_some() || of("delete").is_some() {
        return Some(vec![Change::Cleared]);
    }
    let items = of("items")?;
    let set = nested::each(&items, "item").filter_map(|it| read(&it)).map(Change::Set);
    let gone = nested::each(&items, "retract");
    let gone = gone.filter_map(|it| Some(Change::Removed(BareJid::parse(&it.attr("id")?).ok()?)));
    Some(set.chain(gone).take(MAX_BOOKMARKS).collect())
}

/// Reads an item; `None` if it is no bookmark of a room.
fn read(item: &Stanza) -> Option<Bookmark> {
    let room = BareJid::parse(&item.attr("id")?).ok().filter(|room| room.local().is_some())?;
    let conference = nested::find(item, "conference", ns::BOOKMARKS)?;
    let text = |name| {
        let text = nested::each(&conference, name).next()?.text();
        (!text.is_empty()).then(|| String::from(text))
    };
    let extensions = conference.child("extensions", ns::BOOKMARKS);
    Some(Bookmark {
        room,
        name: conference.attr("name").filter(|name| !name.is_empty()).map(String::from),
        nick: text("nick"),
        password: text("password"),
        autojoin: conference.attr("autojoin").is_some_and(|it| it == "true" || it == "1"),
        extensions: extensions.map(|it| conference.slice(it).to_vec()).unwrap_or_default(),
    })
}

impl Bookmark {
    fn new(room: BareJid) -> Bookmark {
        let (name, nick, password) = (None, None, None);
        Bookmark { room, name, nick, password, autojoin: false, extensions: Vec::new() }
    }

    fn write(&self) -> Element {
        let conference = Element::new("conference")
            .xmlns(ns::BOOKMARKS)
            .attr_opt("name", self.name.as_deref())
            .attr("autojoin", if self.autojoin { "true" } else { "false" });
        let conference = self.nick.iter().fold(conference, |it, nick| it.text_child("nick", nick));
        let conference =
            self.password.iter().fold(conference, |it, word| it.text_child("password", word));
        conference.raw(&self.extensions)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::order::Order;
    use tokio::sync::mpsc;
    use whoelse_xmpp::{Condition, StanzaError};

    fn me() -> FullJid {
        FullJid::parse("me@a.example/x").unwrap()
    }

    fn stanza(xml: &str) -> Stanza {
        Stanza::parse(xml.as_bytes().to_vec()).unwrap()
    }

    fn event(from: &str, inside: &str) -> Option<Vec<Change>> {
        let xml = format!(
            "<message {from}><event xmlns='http://jabber.org/protocol/pubsub#event'>{inside}\
             </event></message>"
        );
        changes(&stanza(&xml), &me())
    }

    // XEP-0402, example 1, with the extensions of its section 3.
    const ITEM: &str = "<item id='orchard@rooms.a.example'><conference \
        xmlns='urn:xmpp:bookmarks:1' name='The Orchard' autojoin='true'><nick>JC</nick>\
        <extensions><state xmlns='urn:x' minimized='true'/></extensions></conference></item>";

    #[test]
    fn what_this_client_does_not_know_stays_in_a_bookmark() {
        let before = read(&stanza(&ITEM.replacen("<item", "<item xmlns='urn:x'", 1))).unwrap();
        assert!(before.autojoin && before.nick.as_deref() == Some("JC"));

        let request = publish(&Bookmark { autojoin: false, ..before });

        let text = String::from_utf8(request.payload).unwrap();
        assert!(text.contains("name='The Orchard' autojoin='false'><nick>JC</nick>"), "{text}");
        assert!(text.contains("<state xmlns='urn:x' minimized='true'/>"), "{text}");
        assert!(text.contains("<item id='orchard@rooms.a.example'>"));
        assert!(text.contains("<value>whitelist</value>"));
    }

    /// Plays the server for one request: returns what is asked, and answers with these items.
    async fn answered(ordered: &mut mpsc::Receiver<Order>, items: &str) -> String {
        let Some(Order::Request(request, reply)) = ordered.recv().await else { panic!() };
        let xml = format!(
            "<iq type='result' id='q'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <items node='urn:xmpp:bookmarks:1'>{items}</items></pubsub></iq>"
        );
        reply.send(Ok(Answer { iq: stanza(&xml), results: Vec::new() })).unwrap();
        String::from_utf8(request.payload).unwrap()
    }

    #[tokio::test]
    async fn of_a_room_only_its_own_bookmark_is_read_and_written_only_if_it_changes() {
        let (client, mut ordered) = Client::by_hand(&me());
        let orchard = BareJid::parse("orchard@rooms.a.example").unwrap();

        let (unnoted, asked) = tokio::join!(unnote(&client, &orchard), async {
            [answered(&mut ordered, ITEM).await, answered(&mut ordered, "").await]
        });
        assert_eq!(unnoted, Ok(true));
        assert!(asked[0].contains("<item id='orchard@rooms.a.example'/>"), "{asked:?}");
        assert!(asked[1].contains("autojoin='false'><nick>JC</nick>"), "{asked:?}");

        let (unnoted, _) = tokio::join!(unnote(&client, &orchard), answered(&mut ordered, ""));
        assert_eq!(unnoted, Ok(false));
        let (known, _) = tokio::join!(find(&client, &orchard), answered(&mut ordered, ITEM));
        let known = known.unwrap();
        assert_eq!(note(&client, &orchard, known.clone(), ("JC", None)).await, Ok(()));
        let (noted, asked) = tokio::join!(
            note(&client, &orchard, known, ("Jay", Some("sesame"))),
            answered(&mut ordered, "")
        );
        assert_eq!(noted, Ok(()));
        assert!(asked.contains("<nick>Jay</nick><password>sesame</password>"), "{asked}");
        assert!(asked.contains("name='The Orchard' autojoin='true'"), "{asked}");
        assert!(ordered.try_recv().is_err(), "nothing else was asked");
    }

    #[test]
    fn only_where_there_is_no_node_is_nothing_noted() {
        let refused = |condition| read_all(Err(RequestError::Refused(StanzaError::new(condition))));

        for none in [
            Condition::ItemNotFound,
            Condition::FeatureNotImplemented,
            Condition::ServiceUnavailable,
        ] {
            assert_eq!(refused(none), Ok(vec![]), "{none:?}");
        }
        for why in [
            Condition::ResourceConstraint,
            Condition::InternalServerError,
            Condition::Forbidden,
            Condition::PolicyViolation,
        ] {
            assert!(refused(why).is_err(), "{why:?}");
        }
        assert_eq!(read_all(Err(RequestError::TimedOut)), Err(RequestError::TimedOut));
    }

    #[test]
    fn a_change_by_another_device_is_read() {
        let items = |inside: &str| format!("<items node='urn:xmpp:bookmarks:1'>{inside}</items>");

        let set = event("from='me@a.example'", &items(ITEM)).unwrap();
        assert!(matches!(&set[..], [Change::Set(it)] if it.autojoin));
        let gone = event("", &items("<retract id='orchard@rooms.a.example'/>")).unwrap();
        assert!(matches!(&gone[..], [Change::Removed(_)]));
        let cleared = event("", "<purge node='urn:xmpp:bookmarks:1'/>").unwrap();
        assert_eq!(cleared, [Change::Cleared]);
    }

    #[test]
    fn what_others_say_of_bookmarks_moves_nobody() {
        let items = format!("<items node='urn:xmpp:bookmarks:1'>{ITEM}</items>");
        for from in ["mallory@a.example", "a.example", "me@a.example/y", "@"] {
            assert_eq!(event(&format!("from='{from}'"), &items), None, "{from}");
        }
        assert_eq!(event("", &items.replace("bookmarks:1'>", "other'>")), None);
        assert_eq!(event("", &format!("<items node='urn:x'>{ITEM}</items>")), None);
    }

    #[test]
    fn a_password_is_not_printed() {
        let bookmark = Bookmark {
            password: Some("sesame".to_owned()),
            ..Bookmark::new(BareJid::parse("r@x").unwrap())
        };
        assert!(!format!("{bookmark:?}").contains("sesame"));
    }
}
