//! XEP-0490, Message Displayed Synchronization, for a client: up to where chats were read by one's own
//! devices. Only rooms are read here.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Stanza, ns};

use super::private_node;
use crate::client::Client;
use crate::error::RequestError;
use crate::nested;
use crate::request::{Answer, Request};

/// Marks that are read.
const MAX_MARKS: usize = 1_000;

/// Up to where a chat was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Displayed {
    pub room: BareJid,
    /// The number of a message in the room's archive.
    pub id: String,
}

/// Returns the request for all marks.
pub(super) fn ask() -> Request {
    private_node::ask(ns::MDS_DISPLAYED, &[])
}

/// Reads its answer: the marks of rooms.
pub(super) fn read_all(
    answer: Result<Answer, RequestError>,
) -> Result<Vec<Displayed>, RequestError> {
    Ok(private_node::items(answer)?.map(|items| read(&items)).unwrap_or_default())
}

/// Marks that a room was read.
pub(super) async fn publish(client: &Client, mark: &Displayed) -> Result<(), RequestError> {
    let id = Element::new("stanza-id")
        .xmlns(ns::STANZA_ID)
        .attr("by", mark.room.as_str())
        .attr("id", &mark.id);
    let displayed = Element::new("displayed").xmlns(ns::MDS_DISPLAYED).child(id);
    let item = Element::new("item").attr("id", mark.room.as_str()).child(displayed);
    let request = private_node::publish(ns::MDS_DISPLAYED, item).by_itself();
    client.request(request).await.map(|_| ())
}

/// Reads what the own account tells of marks; `None`: it is about something else.
pub(super) fn changes(stanza: &Stanza, me: &FullJid) -> Option<Vec<Displayed>> {
    let event = private_node::event(stanza, me)?;
    let items = nested::find(&event, "items", ns::PUBSUB_EVENT)?;
    (items.attr("node").as_deref() == Some(ns::MDS_DISPLAYED)).then(|| read(&items))
}

fn read(items: &Stanza) -> Vec<Displayed> {
    let mark = |item: Stanza| {
        let room = BareJid::parse(&item.attr("id")?).ok()?;
        let displayed = nested::find(&item, "displayed", ns::MDS_DISPLAYED)?;
        let id = nested::find(&displayed, "stanza-id", ns::STANZA_ID)?;
        // Of a chat of two the own account gives the numbers.
        let is_rooms = id.attr("by").as_deref() == Some(room.as_str());
        Some(Displayed { id: id.attr("id").filter(|_| is_rooms)?.into(), room })
    };
    nested::each(items, "item").filter_map(mark).take(MAX_MARKS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LUNCH: &str = "lunch@rooms.a.example";

    fn item(chat: &str, by: &str) -> String {
        format!(
            "<item id='{chat}'><displayed xmlns='urn:xmpp:mds:displayed:0'>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='1'/></displayed></item>"
        )
    }

    fn told(from: &str, node: &str, items: &str) -> Option<Vec<Displayed>> {
        let xml = format!(
            "<message {from}><event xmlns='http://jabber.org/protocol/pubsub#event'>\
             <items node='{node}'>{items}</items></event></message>"
        );
        let me = FullJid::parse("me@a.example/x").unwrap();
        changes(&Stanza::parse(xml.into_bytes()).unwrap(), &me)
    }

    #[test]
    fn marks_of_rooms_are_read_and_those_of_others_are_not() {
        let lunch = Displayed { room: BareJid::parse(LUNCH).unwrap(), id: "1".to_owned() };
        let items = item(LUNCH, LUNCH) + &item("bob@a.example", "me@a.example") + "<item/>";

        assert_eq!(told("", ns::MDS_DISPLAYED, &items), Some(vec![lunch]));
        assert_eq!(told("", ns::BOOKMARKS, &items), None);
        assert_eq!(told("from='mallory@a.example'", ns::MDS_DISPLAYED, &items), None);
    }
}
