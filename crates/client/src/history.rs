//! XEP-0313, Message Archive Management, for a client: the last messages with somebody.
//!
//! Results count only from the own account (security.md, row 27), and among them only what the two
//! have written to each other.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Jid, Kind, Stanza, ns};

use crate::client::Client;
use crate::commands::form;
use crate::error::RequestError;
use crate::events::Message;
use crate::message::parse_time;
use crate::nested;
use crate::request::Request;

/// Pages that are requested at most, whatever their size, so that no server keeps a client busy
/// for ever.
const MAX_PAGES: usize = 100;

/// Returns the last `count` messages with somebody, oldest first.
pub async fn last(
    client: &Client,
    with: &BareJid,
    count: u16,
) -> Result<Vec<Message>, RequestError> {
    let request = |most, before: &str| page_before(Some(with), most, before);
    let read_page = |results: &[Stanza]| -> Result<Vec<Message>, RequestError> {
        // Read only now: the domain may have been renamed while there was no connection.
        let me = client.me().ok_or(RequestError::NotLoggedIn)?;
        Ok(results.iter().filter_map(|result| read(result, &me, with)).collect())
    };
    last_of(client, count, request, read_page).await
}

/// Returns the last `count` things of an archive, oldest first, a page at a time. `request` makes the
/// request for at most so many before an id ([`page_before`]), and `read_page` reads its results.
pub(crate) async fn last_of<T>(
    client: &Client,
    count: u16,
    request: impl Fn(usize, &str) -> Request,
    read_page: impl Fn(&[Stanza]) -> Result<Vec<T>, RequestError>,
) -> Result<Vec<T>, RequestError> {
    let count = usize::from(count);
    let mut found: Vec<T> = Vec::new();
    let mut before = String::new();
    for _ in 0..MAX_PAGES {
        let answer = client.request(request(count - found.len(), &before)).await?;
        let mut page = read_page(&answer.results)?;
        page.append(&mut found);
        found = page;
        found.drain(..found.len().saturating_sub(count));
        match Page::read(&answer.iq)? {
            Page::More { first } if found.len() < count && first != before => before = first,
            _ => break,
        }
    }
    Ok(found)
}

/// Returns the request for a page of at most `max` messages before an archive id; an empty id
/// means the end. With a person only what was written between them and me.
pub(crate) fn page_before(with: Option<&BareJid>, max: usize, before: &str) -> Request {
    let set = Element::new("set")
        .xmlns(ns::RSM)
        .child(Element::new("max").text(&max.to_string()))
        .child(Element::new("before").text(before));
    let id = whoelse_stream::token();
    let mut query = Element::new("query").xmlns(ns::MAM).attr("queryid", &id);
    if let Some(with) = with {
        query = query.child(form(Some(ns::MAM), &[("with", with.as_str())]));
    }
    Request { collect: Some(id.to_string()), ..Request::set(query.child(set)) }
}

/// Returns the query id of a message with a result. It counts only if [`is_from`] says so.
pub(crate) fn result_of(stanza: &Stanza) -> Option<String> {
    let result = stanza.child("result", ns::MAM).filter(|_| stanza.kind() == Kind::Message)?;
    stanza.child_attr(result, "queryid").map(|id| id.to_string())
}

/// Returns whether a result comes from the archive that was asked: the own account's, or a room's.
pub(crate) fn is_from(stanza: &Stanza, asked: Option<&Jid>, me: &FullJid) -> bool {
    let own = Jid::from(me.to_bare());
    match stanza.from() {
        Some(from) => Jid::parse(from).is_ok_and(|from| from == *asked.unwrap_or(&own)),
        None => asked.is_none_or(|asked| *asked == own),
    }
}

/// Reads one result.
fn read(stanza: &Stanza, me: &FullJid, with: &BareJid) -> Option<Message> {
    let result = nested::find(stanza, "result", ns::MAM)?;
    let forwarded = nested::find(&result, "forwarded", ns::FORWARD)?;
    let delay = nested::find(&forwarded, "delay", ns::DELAY)?;
    let message = nested::find(&forwarded, "message", ns::CLIENT)?;
    let from = Jid::parse(message.from()?).ok()?.to_bare();
    if from != me.to_bare() && from != *with {
        return None;
    }
    let text = message.child_text("body", ns::CLIENT)?.to_string();
    let id = result.attr("id").map(|id| id.to_string());
    Some(Message { from, text, id, at: parse_time(&delay.attr("stamp")?), broadcast: false })
}

/// The end of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// There is nothing before it.
    Complete,
    /// There is more before this id.
    More { first: String },
}

impl Page {
    pub(crate) fn read(answer: &Stanza) -> Result<Page, RequestError> {
        let fin = nested::find(answer, "fin", ns::MAM).ok_or(RequestError::Unreadable)?;
        if fin.attr("complete").is_some_and(|it| it == "true" || it == "1") {
            return Ok(Page::Complete);
        }
        let set = nested::find(&fin, "set", ns::RSM);
        let first = set.and_then(|set| nested::each(&set, "first").next());
        Ok(first.map_or(Page::Complete, |first| Page::More { first: first.text().to_string() }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::order::Order;
    use crate::request::Answer;
    use tokio::sync::mpsc;

    fn me() -> FullJid {
        FullJid::parse("me@a.example/x").unwrap()
    }

    fn bob() -> BareJid {
        BareJid::parse("bob@a.example").unwrap()
    }

    fn result(from: &str, author: &str) -> Stanza {
        let xml = format!(
            "<message {from}><result xmlns='urn:xmpp:mam:2' queryid='q' id='1'>\
             <forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' stamp='2026-11-22T14:03:00Z'/>\
             <message xmlns='jabber:client' from='{author}' to='me@a.example'>\
             <body>hi</body></message></forwarded></result></message>"
        );
        Stanza::parse(xml.into_bytes()).unwrap()
    }

    #[test]
    fn a_query_asks_for_the_end_and_then_for_what_is_before_it() {
        let text =
            |before| String::from_utf8(page_before(Some(&bob()), 20, before).payload).unwrap();

        assert!(text("").contains("<max>20</max><before/>"));
        assert!(text("id7").contains("<before>id7</before>"));
        assert!(text("").contains("<field var='with'><value>bob@a.example</value></field>"));
    }

    /// Plays the server for one page: returns what is asked, and answers with messages of these ids
    /// before which there is more.
    async fn page(ordered: &mut mpsc::Receiver<Order>, ids: &[&str]) -> String {
        let Some(Order::Request(request, reply)) = ordered.recv().await else { panic!() };
        let first = ids.iter().map(|id| format!("<first>{id}</first>")).next();
        let xml = format!(
            "<iq type='result' id='q'><fin xmlns='urn:xmpp:mam:2'>\
             <set xmlns='http://jabber.org/protocol/rsm'>{}</set></fin></iq>",
            first.unwrap_or_default()
        );
        let stanza = |xml: String| Stanza::parse(xml.into_bytes()).unwrap();
        let results = ids.iter().map(|id| stanza(format!("<message id='{id}'/>"))).collect();
        reply.send(Ok(Answer { iq: stanza(xml), results })).unwrap();
        String::from_utf8(request.payload).unwrap()
    }

    /// Asks for the last three, of an archive that is played.
    async fn last_three(client: &Client) -> Vec<String> {
        let request = |most, before: &str| page_before(None, most, before);
        let ids = |results: &[Stanza]| -> Result<Vec<String>, RequestError> {
            Ok(results.iter().map(|it| it.id().unwrap_or_default().to_owned()).collect())
        };
        last_of(client, 3, request, ids).await.unwrap()
    }

    #[tokio::test]
    async fn pages_are_asked_for_from_the_end_until_there_is_enough_or_no_more() {
        let (client, mut ordered) = Client::by_hand(&me());

        let (found, asked) = tokio::join!(last_three(&client), async {
            [page(&mut ordered, &["d", "e"]).await, page(&mut ordered, &["b", "c"]).await]
        });
        assert_eq!(found, ["c", "d", "e"]);
        assert!(asked[0].contains("<max>3</max><before/>"), "{asked:?}");
        assert!(asked[1].contains("<max>1</max><before>d</before>"), "{asked:?}");

        let (found, _) = tokio::join!(last_three(&client), async {
            [page(&mut ordered, &["e"]).await, page(&mut ordered, &[]).await]
        });
        assert_eq!(found, ["e"]);
        // A server that repeats a page keeps nobody here.
        let (found, _) = tokio::join!(last_three(&client), async {
            [page(&mut ordered, &["e"]).await, page(&mut ordered, &["e"]).await]
        });
        assert_eq!(found, ["e", "e"]);
        assert!(ordered.try_recv().is_err(), "nothing else was asked");
    }

    #[test]
    fn a_result_is_read_with_its_time() {
        let message = read(&result("", "bob@a.example/y"), &me(), &bob()).unwrap();

        assert_eq!((message.from, message.text.as_str()), (bob(), "hi"));
        assert_eq!(message.id.as_deref(), Some("1"));
        assert_eq!(message.at, parse_time("2026-11-22T14:03:00Z"));
    }

    // security.md, row 27.
    #[test]
    fn a_result_counts_from_the_own_account_only() {
        let of = |from: &str| is_from(&result(from, "bob@a.example/y"), None, &me());

        assert!(of("") && of("from='me@a.example'"));
        for forged in ["mallory@a.example", "a.example", "me@a.example/z", "@"] {
            assert!(!of(&format!("from='{forged}'")), "{forged}");
        }
        assert_eq!(result_of(&result("", "bob@a.example/y")), Some("q".to_owned()));
    }

    #[test]
    fn a_result_of_a_room_counts_from_the_room_that_was_asked() {
        let room = Jid::parse("lunch@rooms.a.example").unwrap();
        let of = |from: &str| is_from(&result(from, "bob@a.example/y"), Some(&room), &me());

        assert!(of("from='lunch@rooms.a.example'"));
        for forged in [
            "",
            "from='me@a.example'",
            "from='lunch@rooms.a.example/bob'",
            "from='rooms.a.example'",
        ] {
            assert!(!of(forged), "{forged}");
        }
    }

    #[test]
    fn a_result_by_a_third_person_is_left_out() {
        assert!(read(&result("", "me@a.example/z"), &me(), &bob()).is_some());
        assert!(read(&result("", "carol@a.example/z"), &me(), &bob()).is_none());
    }

    #[test]
    fn the_end_of_a_page_says_whether_there_is_more() {
        let page = |fin: &str| {
            let xml = format!("<iq type='result' id='q'>{fin}</iq>");
            Page::read(&Stanza::parse(xml.into_bytes()).unwrap())
        };
        let set =
            "<set xmlns='http://jabber.org/protocol/rsm'><first>a</first><last>b</last></set>";

        assert_eq!(
            page(&format!("<fin xmlns='urn:xmpp:mam:2'>{set}</fin>")),
            Ok(Page::More { first: "a".to_owned() })
        );
        let complete = format!("<fin xmlns='urn:xmpp:mam:2' complete='true'>{set}</fin>");
        assert_eq!(page(&complete), Ok(Page::Complete));
        assert_eq!(page("<fin xmlns='urn:xmpp:mam:2'/>"), Ok(Page::Complete));
        assert_eq!(page(""), Err(RequestError::Unreadable));
    }
}
