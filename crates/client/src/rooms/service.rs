//! XEP-0030 and XEP-0045, 6: where rooms are, which ones strangers find, and what a room says of itself.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Condition, Jid, Stanza, ns};

use crate::client::Client;
use crate::error::RequestError;
use crate::nested;
use crate::request::Request;

/// Services of a domain that are asked what they are.
const MAX_SERVICES: usize = 50;
/// Rooms of a list that are read, and the pages that are asked for.
const MAX_ROOMS: usize = 1_000;
const MAX_PAGES: usize = 20;

/// A room that strangers find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its address.
    pub room: BareJid,
    /// Its name.
    pub name: Option<String>,
}

/// What a room says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its features: namespaces, and what kind of room it is.
    pub features: Vec<String>,
}

impl RoomInfo {
    /// Returns whether what is said is kept and can be read (XEP-0313).
    pub fn keeps_history(&self) -> bool {
        self.has(ns::MAM)
    }

    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|it| it == feature)
    }
}

/// Returns the domain of the service where the own server has its rooms; `None` if it has none. If none
/// says that it has rooms, and one has not said what it is, it is not known whether there are any.
pub(super) async fn find(client: &Client) -> Result<Option<String>, RequestError> {
    let server = Jid::parse(&client.domain()).map_err(|_| RequestError::Unreadable)?;
    let answer = match client.request(ask(ns::DISCO_ITEMS, None).by_itself().to(server)).await {
        Err(why) if is_for_good(&why) => return Ok(None),
        answer => answer?,
    };
    let query = nested::find(&answer.iq, "query", ns::DISCO_ITEMS);
    let query = query.ok_or(RequestError::Unreadable)?;
    let services: Vec<Jid> = nested::each(&query, "item")
        .filter_map(|item| Jid::parse(&item.attr("jid")?).ok())
        .filter(|jid| jid.local().is_none() && jid.resource().is_none())
        .take(MAX_SERVICES)
        .collect();
    let mut silent = None;
    for service in services {
        let info = client.request(ask(ns::DISCO_INFO, None).by_itself().to(service.clone())).await;
        match info {
            Ok(info) if has_rooms(&info.iq) => return Ok(Some(service.domain().to_owned())),
            Ok(_) => {}
            Err(why) if is_for_good(&why) => {}
            Err(why @ (RequestError::Refused(_) | RequestError::TimedOut)) => silent = Some(why),
            Err(why) => return Err(why),
        }
    }
    silent.map_or(Ok(None), Err)
}

/// Returns whether somebody who is asked what they are has refused and would do so again.
fn is_for_good(why: &RequestError) -> bool {
    matches!(why, RequestError::Refused(error) if !matches!(
        error.condition,
        Condition::ResourceConstraint
            | Condition::InternalServerError
            | Condition::RemoteServerTimeout
    ))
}

/// Asks a room anything: its answer comes after what it has to say about what was sent before.
pub(super) fn ping(room: Jid) -> Request {
    ask(ns::DISCO_INFO, None).by_itself().to(room)
}

/// Returns what a room says of itself; `None` if there is no such room.
pub async fn info(client: &Client, room: &BareJid) -> Result<Option<RoomInfo>, RequestError> {
    match client.request(ask(ns::DISCO_INFO, None).to(Jid::from(room.clone()))).await {
        Ok(answer) => Ok(Some(RoomInfo { features: features(&answer.iq) })),
        Err(RequestError::Refused(error)) if error.condition == Condition::ItemNotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Returns the rooms of a service that strangers find, in its order.
pub async fn listed(client: &Client, service: &str) -> Result<Vec<Listed>, RequestError> {
    let to = Jid::parse(service).map_err(|_| RequestError::Unreadable)?;
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let request = ask(ns::DISCO_ITEMS, Some(after.as_deref())).to(to.clone());
        let answer = client.request(request).await?;
        let query = nested::find(&answer.iq, "query", ns::DISCO_ITEMS);
        let query = query.ok_or(RequestError::Unreadable)?;
        let before = found.len();
        let items = nested::each(&query, "item").filter_map(|item| {
            let room = BareJid::parse(&item.attr("jid")?).ok()?;
            Some(Listed { room, name: item.attr("name").map(String::from) })
        });
        found.extend(items.take(MAX_ROOMS.saturating_sub(before)));
        let last = nested::find(&query, "set", ns::RSM)
            .and_then(|set| nested::each(&set, "last").next().map(|last| last.text().to_string()));
        match last {
            Some(last) if found.len() > before && after.as_ref() != Some(&last) => {
                after = Some(last);
            }
            _ => break,
        }
    }
    Ok(found)
}

/// Returns a question of service discovery; with a page (XEP-0059) that begins after an id.
fn ask(namespace: &str, page: Option<Option<&str>>) -> Request {
    let mut query = Element::new("query").xmlns(namespace);
    if let Some(after) = page {
        let set = Element::new("set").xmlns(ns::RSM).text_child("max", "100");
        let set = after.into_iter().fold(set, |set, after| set.text_child("after", after));
        query = query.child(set);
    }
    Request::get(query)
}

fn has_rooms(info: &Stanza) -> bool {
    let Some(query) = nested::find(info, "query", ns::DISCO_INFO) else { return false };
    let is_conference = nested::each(&query, "identity")
        .any(|it| it.attr("category").as_deref() == Some("conference"));
    is_conference && features(info).iter().any(|it| it == ns::MUC)
}

fn features(info: &Stanza) -> Vec<String> {
    let Some(query) = nested::find(info, "query", ns::DISCO_INFO) else { return Vec::new() };
    nested::each(&query, "feature").filter_map(|it| it.attr("var")).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn info(inside: &str) -> Stanza {
        let xml = format!(
            "<iq type='result' id='q'><query xmlns='http://jabber.org/protocol/disco#info'>{inside}\
             </query></iq>"
        );
        Stanza::parse(xml.into_bytes()).unwrap()
    }

    #[test]
    fn a_service_with_rooms_is_told_from_others() {
        let muc = "<feature var='http://jabber.org/protocol/muc'/>";
        let conference = "<identity category='conference' type='text'/>";

        assert!(has_rooms(&info(&format!("{conference}{muc}"))));
        assert!(!has_rooms(&info(&format!("<identity category='pubsub' type='service'/>{muc}"))));
        assert!(!has_rooms(&info(conference)));
        assert!(!has_rooms(&Stanza::parse("<iq type='result' id='q'/>").unwrap()));
    }

    #[test]
    fn a_list_is_asked_for_in_pages() {
        let text = |page| String::from_utf8(ask(ns::DISCO_ITEMS, page).payload).unwrap();

        assert!(!text(None).contains("rsm"));
        assert!(text(Some(None)).contains("<max>100</max></set>"));
        assert!(text(Some(Some("r@x"))).contains("<after>r@x</after>"));
    }
}
