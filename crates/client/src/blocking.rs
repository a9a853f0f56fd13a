//! XEP-0191, Blocking Command, for a client.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Jid, Kind, Stanza, ns};

use crate::client::Client;
use crate::error::RequestError;
use crate::nested;
use crate::request::{Answer, Request};

/// Returns whom I have blocked, sorted.
pub async fn list(client: &Client) -> Result<Vec<BareJid>, RequestError> {
    read(client.request(Request::get(element("blocklist"))).await)
}

/// Returns the same on the program's own behalf; from then on the server pushes changes of the
/// list ([`Event::Blocked`](crate::Event::Blocked)).
pub async fn watch(client: &Client) -> Result<Vec<BareJid>, RequestError> {
    read(client.request(ask()).await)
}

/// The request of [`watch`].
pub(crate) fn ask() -> Request {
    Request::get(element("blocklist")).by_itself()
}

/// Blocks somebody; does nothing if they are blocked already.
pub async fn block(client: &Client, whom: &BareJid) -> Result<(), RequestError> {
    change(client, "block", whom).await
}

/// Unblocks somebody; does nothing if they are not blocked.
pub async fn unblock(client: &Client, whom: &BareJid) -> Result<(), RequestError> {
    change(client, "unblock", whom).await
}

async fn change(client: &Client, name: &'static str, who: &BareJid) -> Result<(), RequestError> {
    let item = Element::new("item").attr("jid", who.as_str());
    client.request(Request::set(element(name).child(item))).await.map(|_| ())
}

fn element(name: &'static str) -> Element {
    Element::new(name).xmlns(ns::BLOCKING)
}

/// Reads a block list. Leaves out whole domains and single devices, which other clients may have
/// blocked, since they are no persons.
pub(crate) fn read(answer: Result<Answer, RequestError>) -> Result<Vec<BareJid>, RequestError> {
    let answer = answer?.iq;
    let list = nested::find(&answer, "blocklist", ns::BLOCKING).ok_or(RequestError::Unreadable)?;
    let mut people = people(&list);
    people.sort();
    Ok(people)
}

fn people(list: &Stanza) -> Vec<BareJid> {
    nested::each(list, "item")
        .filter_map(|item| BareJid::parse(&item.attr("jid")?).ok())
        .filter(|jid| jid.local().is_some())
        .collect()
}

/// Returns whether this is a push of the block list; it counts only from the own account.
pub(crate) fn is_push(stanza: &Stanza, me: &FullJid) -> bool {
    let from_own_account = stanza
        .from()
        .is_none_or(|from| Jid::parse(from).is_ok_and(|from| from == Jid::from(me.to_bare())));
    stanza.kind() == Kind::Iq
        && stanza.type_() == Some("set")
        && from_own_account
        && (stanza.has("block", ns::BLOCKING) || stanza.has("unblock", ns::BLOCKING))
}

/// Returns whom the own account has just blocked or unblocked (`name`), if this is such a push. Nobody
/// stands for everybody: an unblocking without items (3.5). One whose items are whole domains or single
/// devices alone says nothing about persons, and is none.
pub(crate) fn pushed(stanza: &Stanza, me: &FullJid, name: &str) -> Option<Vec<BareJid>> {
    if !is_push(stanza, me) {
        return None;
    }
    let list = nested::find(stanza, name, ns::BLOCKING)?;
    let people = people(&list);
    (!people.is_empty() || list.children().is_empty()).then_some(people)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stanza(xml: &str) -> Stanza {
        Stanza::parse(xml.as_bytes().to_vec()).unwrap()
    }

    fn answer(xml: &str) -> Result<Answer, RequestError> {
        Ok(Answer { iq: stanza(xml), results: Vec::new() })
    }

    #[test]
    fn a_list_is_read_and_sorted_and_holds_persons_only() {
        let answer = answer(
            "<iq type='result' id='q'><blocklist xmlns='urn:xmpp:blocking'>\
             <item jid='carol@a.example'/><item jid='bob@a.example'/><item jid='b.example'/>\
             <item jid='eve@a.example/x'/><item jid='@'/><item/></blocklist></iq>",
        );

        let names: Vec<_> = read(answer).unwrap().iter().map(ToString::to_string).collect();

        assert_eq!(names, ["bob@a.example", "carol@a.example"]);
    }

    #[test]
    fn an_empty_list_is_a_list_and_nothing_is_none() {
        let empty = "<iq type='result' id='q'><blocklist xmlns='urn:xmpp:blocking'/></iq>";
        assert_eq!(read(answer(empty)), Ok(vec![]));
        assert_eq!(read(answer("<iq type='result' id='q'/>")), Err(RequestError::Unreadable));
    }

    #[test]
    fn a_push_counts_from_the_own_account_only() {
        let me = FullJid::parse("me@a.example/x").unwrap();
        let push = |from: &str| {
            let xml = format!(
                "<iq type='set' id='p' {from}><block xmlns='urn:xmpp:blocking'>\
                 <item jid='bob@a.example'/></block></iq>"
            );
            is_push(&stanza(&xml), &me)
        };

        assert!(push("") && push("from='me@a.example'"));
        for forged in ["mallory@a.example", "me@b.example", "a.example", "me@a.example/y", "@"] {
            assert!(!push(&format!("from='{forged}'")), "{forged}");
        }
    }

    #[test]
    fn an_unblocking_is_of_everybody_only_where_it_names_nobody_at_all() {
        let me = FullJid::parse("me@a.example/x").unwrap();
        let of = |name: &str, items: &str| {
            let xml = format!(
                "<iq type='set' id='p'><{name} xmlns='urn:xmpp:blocking'>{items}</{name}></iq>"
            );
            pushed(&stanza(&xml), &me, name).map(|people| people.len())
        };
        let (bob, domain) = ("<item jid='bob@a.example'/>", "<item jid='b.example'/>");
        let device = "<item jid='eve@a.example/x'/>";

        assert_eq!(of("unblock", ""), Some(0));
        for name in ["block", "unblock"] {
            assert_eq!(of(name, bob), Some(1));
            assert_eq!(of(name, &format!("{domain}{bob}")), Some(1));
            for no_person in [domain, device, "<item/>", "<item jid='@'/>"] {
                assert_eq!(of(name, no_person), None, "{name} {no_person}");
            }
        }
        let block = "<iq type='set' id='p'><block xmlns='urn:xmpp:blocking'/></iq>";
        assert_eq!(pushed(&stanza(block), &me, "unblock"), None);
    }
}
