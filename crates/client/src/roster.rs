//! RFC 6121, 2 and 3, for a client: my contacts, the state of each subscription, and who asks.
//!
//! The server owns the roster; this is a copy, updated by pushes. A push counts only from the own
//! account (RFC 6121, 2.1.6; security.md, row 25), because anybody can send an iq that looks like
//! one. There is a roster only if the server keeps subscriptions, which it announces by roster
//! versioning; if everybody sees everybody, nothing here is used.

use std::collections::{BTreeMap, BTreeSet};

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Jid, Kind, Stanza, ns};

use crate::events::Event;
use crate::nested;
use crate::request::Request;
use crate::subscription::SubscriptionType;

/// Contacts that are kept. Further ones that a server pushes are ignored.
const MAX_CONTACTS: usize = 50_000;
/// Requests that are remembered; further ones are shown but forgotten.
const MAX_ASKING: usize = 1_000;

/// Somebody in my roster, or somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub jid: BareJid,
    /// What I call them.
    pub name: Option<String>,
    /// Whether they are in my roster; somebody who only asks is not.
    pub listed: bool,
    /// The groups.
    pub groups: Vec<String>,
    /// Whether I see when they are online.
    pub seen: bool,
    /// Whether they see when I am online.
    pub sees_me: bool,
    /// Whether I have asked to see them and there is no answer yet.
    pub asked: bool,
    /// Whether they ask to see me and I have not answered yet.
    pub asks: bool,
    /// Whether they may see me as soon as they ask (RFC 6121, 3.4).
    pub approved: bool,
    /// Whether they are online, as far as I may see.
    pub online: bool,
}

/// Returns the request that removes somebody and ends the subscriptions in both directions.
pub fn remove(who: &BareJid) -> Request {
    let item = Element::new("item").attr("jid", who.as_str()).attr("subscription", "remove");
    Request::set(query().child(item))
}

/// Returns the request that renames a contact; the groups stay.
pub fn rename(contact: &Contact, name: &str) -> Request {
    let item = Element::new("item").attr("jid", contact.jid.as_str()).attr("name", name);
    let group = |group: &String| Element::new("group").text(group);
    let item = contact.groups.iter().fold(item, |item, name| item.child(group(name)));
    Request::set(query().child(item))
}

fn query() -> Element {
    Element::new("query").xmlns(ns::ROSTER)
}

/// An item as the server keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Item {
    name: Option<String>,
    seen: bool,
    sees_me: bool,
    asked: bool,
    approved: bool,
    groups: Vec<String>,
}

/// The copy of the roster.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    items: BTreeMap<BareJid, Item>,
    /// The server's version of this state.
    version: Option<String>,
    asking: BTreeSet<BareJid>,
}

impl Roster {
    /// Returns the request for changes since this copy.
    pub(crate) fn ask(&self) -> Request {
        Request::get(query().attr("ver", self.version.as_deref().unwrap_or_default())).by_itself()
    }

    /// Takes the answer: a whole roster, or nothing if this copy is current (RFC 6121, 2.6.3).
    pub(crate) fn handle_answer(&mut self, answer: &Stanza) {
        let Some(query) = nested::find(answer, "query", ns::ROSTER) else { return };
        self.items = nested::each(&query, "item").filter_map(|item| read(&item)).collect();
        self.version = query.attr("ver").map(|ver| ver.to_string());
    }

    /// Takes a push; returns false if it is none, or not from the own account.
    pub(crate) fn handle_push(&mut self, stanza: &Stanza, me: &FullJid) -> bool {
        if !is_push(stanza, me) {
            return false;
        }
        let Some(query) = nested::find(stanza, "query", ns::ROSTER) else { return false };
        // RFC 6121, 2.1.6: one item; further ones are ignored.
        let Some(item) = nested::each(&query, "item").next() else { return true };
        let removed = item.attr("subscription").as_deref() == Some("remove");
        let Some((jid, item)) = read(&item) else { return true };
        if removed {
            self.items.remove(&jid);
        } else if self.items.len() < MAX_CONTACTS || self.items.contains_key(&jid) {
            self.items.insert(jid, item);
        }
        if let Some(version) = query.attr("ver") {
            self.version = Some(version.to_string());
        }
        true
    }

    /// Takes a subscription presence, and returns the event if it is news.
    pub(crate) fn handle_presence(&mut self, stanza: &Stanza, me: &BareJid) -> Option<Event> {
        let who = Jid::parse(stanza.from()?).ok()?.to_bare();
        if who == *me {
            return None;
        }
        match stanza.type_()? {
            // The server repeats pending requests at every login.
            "subscribe" => {
                let room = self.asking.len() < MAX_ASKING;
                let new = !self.asking.contains(&who);
                if new && room {
                    self.asking.insert(who.clone());
                }
                new.then_some(Event::Asks(who))
            }
            "unsubscribe" => {
                self.asking.remove(&who);
                None
            }
            "subscribed" => Some(Event::Allowed(who)),
            "unsubscribed" => Some(Event::Denied(who)),
            _ => None,
        }
    }

    /// Takes note of a subscription stanza of mine.
    pub(crate) fn handle_said(&mut self, word: SubscriptionType, whom: &BareJid) {
        match word {
            SubscriptionType::Subscribe => {}
            SubscriptionType::Subscribed | SubscriptionType::Unsubscribed => {
                self.asking.remove(whom);
            }
        }
    }

    /// Returns everybody, sorted by address; `is_online` tells who is online.
    pub(crate) fn contacts(&self, is_online: impl Fn(&BareJid) -> bool) -> Vec<Contact> {
        let nobody = Item::default();
        let asking = self.asking.iter().filter(|who| !self.items.contains_key(*who));
        let all = self.items.iter().chain(asking.map(|who| (who, &nobody)));
        let mut contacts: Vec<Contact> = all
            .map(|(jid, item)| Contact {
                jid: jid.clone(),
                name: item.name.clone(),
                listed: self.items.contains_key(jid),
                groups: item.groups.clone(),
                seen: item.seen,
                sees_me: item.sees_me,
                asked: item.asked,
                asks: self.asking.contains(jid),
                approved: item.approved,
                online: is_online(jid),
            })
            .collect();
        contacts.sort_by(|a, b| a.jid.cmp(&b.jid));
        contacts
    }
}

/// Returns whether this is a roster push. It counts only from the own account, not even from the
/// server or from another device of mine.
fn is_push(stanza: &Stanza, me: &FullJid) -> bool {
    let from_own_account = stanza
        .from()
        .is_none_or(|from| Jid::parse(from).is_ok_and(|from| from == Jid::from(me.to_bare())));
    stanza.kind() == Kind::Iq
        && stanza.type_() == Some("set")
        && from_own_account
        && stanza.has("query", ns::ROSTER)
}

/// Reads an item; an invalid one is left out.
fn read(item: &Stanza) -> Option<(BareJid, Item)> {
    let jid = BareJid::parse(&item.attr("jid")?).ok()?;
    let subscription = item.attr("subscription").unwrap_or_default();
    Some((
        jid,
        Item {
            name: item.attr("name").filter(|name| !name.is_empty()).map(|name| name.to_string()),
            seen: matches!(&*subscription, "to" | "both"),
            sees_me: matches!(&*subscription, "from" | "both"),
            asked: item.attr("ask").as_deref() == Some("subscribe"),
            approved: matches!(item.attr("approved").as_deref(), Some("true" | "1")),
            groups: nested::each(item, "group").map(|group| group.text().to_string()).collect(),
        },
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stanza(xml: &str) -> Stanza {
        Stanza::parse(xml.as_bytes().to_vec()).unwrap()
    }

    fn me() -> FullJid {
        FullJid::parse("me@a.example/x").unwrap()
    }

    fn bob() -> BareJid {
        BareJid::parse("bob@a.example").unwrap()
    }

    fn push(from: &str, item: &str) -> Stanza {
        stanza(&format!(
            "<iq type='set' id='p' {from}><query xmlns='jabber:iq:roster' ver='v2'>{item}</query></iq>"
        ))
    }

    fn filled() -> Roster {
        let mut roster = Roster::default();
        roster.handle_answer(&stanza(
            "<iq type='result' id='q'><query xmlns='jabber:iq:roster' ver='v1'>\
             <item jid='bob@a.example' name='Bob &amp; co' subscription='both'><group>work</group></item>\
             <item jid='carol@a.example' subscription='none' ask='subscribe' approved='true'/>\
             <item jid='@'/></query></iq>",
        ));
        roster
    }

    fn names(roster: &Roster) -> Vec<String> {
        roster.contacts(|_| false).iter().map(|it| it.jid.to_string()).collect()
    }

    #[test]
    fn a_roster_is_read_with_how_things_stand() {
        let contacts = filled().contacts(|who| *who == bob());

        assert_eq!(
            contacts[0],
            Contact {
                jid: bob(),
                name: Some("Bob & co".to_owned()),
                listed: true,
                groups: vec!["work".to_owned()],
                seen: true,
                sees_me: true,
                asked: false,
                asks: false,
                approved: false,
                online: true,
            }
        );
        assert!(contacts[1].asked && contacts[1].approved);
        assert!(!contacts[1].seen && !contacts[1].sees_me);
        assert_eq!(contacts.len(), 2);
    }

    #[test]
    fn a_push_changes_one_item_and_the_version() {
        let mut roster = filled();

        assert!(
            roster
                .handle_push(&push("", "<item jid='bob@a.example' subscription='remove'/>"), &me())
        );
        assert!(
            roster.handle_push(&push("from='me@a.example'", "<item jid='dave@a.example'/>"), &me())
        );

        assert_eq!(names(&roster), ["carol@a.example", "dave@a.example"]);
        assert!(String::from_utf8(roster.ask().payload).unwrap().contains("ver='v2'"));
    }

    // security.md, row 25.
    #[test]
    fn a_forged_push_changes_nothing() {
        let mut roster = filled();
        let before = names(&roster);
        for from in [
            "mallory@a.example",
            "mallory@a.example/x",
            "a.example",
            "me@a.example/x",
            "me@b.example",
            "@",
        ] {
            let forged = push(
                &format!("from='{from}'"),
                "<item jid='mallory@a.example' subscription='both'/>",
            );
            assert!(!roster.handle_push(&forged, &me()), "{from}");
            let forged = push(
                &format!("from='{from}'"),
                "<item jid='bob@a.example' subscription='remove'/>",
            );
            assert!(!roster.handle_push(&forged, &me()), "{from}");
        }

        assert_eq!(names(&roster), before);
        assert!(String::from_utf8(roster.ask().payload).unwrap().contains("ver='v1'"));
    }

    #[test]
    fn an_empty_answer_leaves_the_copy_as_it_is() {
        let mut roster = filled();

        roster.handle_answer(&stanza("<iq type='result' id='q'/>"));

        assert_eq!(names(&roster).len(), 2);
    }

    #[test]
    fn who_asks_is_told_once_and_listed_until_answered() {
        let mut roster = Roster::default();
        let asks = stanza("<presence type='subscribe' from='bob@a.example/x'/>");
        let me = me().to_bare();

        assert_eq!(roster.handle_presence(&asks, &me), Some(Event::Asks(bob())));
        assert_eq!(roster.handle_presence(&asks, &me), None);
        assert!(roster.contacts(|_| false)[0].asks);
        roster.handle_said(SubscriptionType::Subscribed, &bob());

        assert_eq!(roster.contacts(|_| false), []);
        assert_eq!(roster.handle_presence(&asks, &me), Some(Event::Asks(bob())));
    }

    #[test]
    fn an_answer_is_told_and_nonsense_is_not() {
        let mut roster = Roster::default();
        let mut told = |xml: &str| roster.handle_presence(&stanza(xml), &me().to_bare());

        let allowed = "<presence type='subscribed' from='bob@a.example'/>";
        assert_eq!(told(allowed), Some(Event::Allowed(bob())));
        let denied = "<presence type='unsubscribed' from='bob@a.example'/>";
        assert_eq!(told(denied), Some(Event::Denied(bob())));
        for nothing in [
            "<presence from='bob@a.example/x'/>",
            "<presence type='subscribe'/>",
            "<presence type='subscribe' from='me@a.example'/>",
            "<presence type='subscribe' from='@'/>",
            "<presence type='probe' from='bob@a.example'/>",
        ] {
            assert_eq!(told(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_crowd_that_asks_fills_no_memory() {
        let mut roster = Roster::default();
        for n in 0..MAX_ASKING + 10 {
            let asks = format!("<presence type='subscribe' from='u{n}@a.example'/>");
            assert!(roster.handle_presence(&stanza(&asks), &me().to_bare()).is_some());
        }
        assert_eq!(roster.contacts(|_| false).len(), MAX_ASKING);
    }

    #[test]
    fn another_name_leaves_the_groups_as_they_are() {
        let bob = filled().contacts(|_| false).remove(0);

        let request = rename(&bob, "Robert");

        let payload = String::from_utf8(request.payload).unwrap();
        assert!(payload.contains("name='Robert'") && payload.contains("<group>work</group>"));
    }
}
