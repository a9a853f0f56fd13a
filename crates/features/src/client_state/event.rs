//! Events of publish-subscribe (XEP-0060, 7.1.2 and 8) that wait while nobody looks at a client: of
//! each item the latest, that it was taken back included.
//!
//! When a node is purged or deleted, the items that wait are over. A new configuration ends nothing
//! but an older one.

use whoelse_core::session::Waits;
use whoelse_xmpp::{Child, Jid, Stanza, ns};

/// Returns as what a message waits, if it is an event and nothing else.
///
/// An event of an account or a service comes from its bare address, which no client can put on a
/// message of its own.
pub(super) fn waits_as(message: &Stanza) -> Option<Waits> {
    let from = message.from().filter(|from| Jid::parse(from).is_ok_and(|from| from.is_bare()))?;
    let event = event_in(message)?;
    let [happened] = <[Child; 1]>::try_from(message.grandchildren(event)).ok()?;
    let node = message.child_attr(&happened, "node")?;
    // No address and no name has this character.
    let of_node = format!("event {from}\0{node}\0");
    let items = format!("{of_node}item\0");
    match happened.name() {
        "items" => {
            let id = id_in(message, &happened)?;
            Some(Waits::under(items + &id))
        }
        "configuration" => Some(Waits::under(of_node + "configuration")),
        "purge" => Some(Waits { key: of_node + "purge", ends: Some(items) }),
        "delete" => Some(Waits { key: format!("{of_node}delete"), ends: Some(of_node) }),
        _ => None,
    }
}

/// Returns the event in a message, if there is one and nothing else to read.
fn event_in(message: &Stanza) -> Option<&Child> {
    let beside = [ns::HINTS, ns::STANZA_ID, ns::DELAY];
    let mut children = message.children().iter().filter(|child| !beside.contains(&child.ns()));
    let event = children.next().filter(|child| child.is("event", ns::PUBSUB_EVENT));
    event.filter(|_| children.next().is_none() && message.type_() != Some("error"))
}

/// Returns the id of the one item that is told or taken back; empty if none is named.
fn id_in(message: &Stanza, items: &Child) -> Option<String> {
    match message.grandchildren(items).as_slice() {
        [] => Some(String::new()),
        [item] if matches!(item.name(), "item" | "retract") => {
            message.child_attr(item, "id").map(Into::into)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn waits(from: &str, children: &str) -> Option<Waits> {
        let xml = format!("<message type='headline' from='{from}'>{children}</message>");
        waits_as(&Stanza::parse(xml).unwrap())
    }

    /// As what an event of alice's waits.
    fn event(happened: &str) -> Option<Waits> {
        let event = format!("<event xmlns='{}'>{happened}</event>", ns::PUBSUB_EVENT);
        waits("alice@a.example", &event)
    }

    fn items(node: &str, what: &str) -> Waits {
        event(&format!("<items node='{node}'>{what}</items>")).unwrap()
    }

    #[test]
    fn of_each_item_the_latest_waits_taken_back_or_not() {
        let mood = items("mood", "<item id='1'><mood xmlns='urn:mood'/></item>");

        assert_eq!(mood.ends, None);
        assert_eq!(items("mood", "<item id='1'/>"), mood);
        assert_eq!(items("mood", "<retract id='1'/>"), mood);
        for other in [
            items("mood", "<item id='2'/>"),
            items("tune", "<item id='1'/>"),
            items("mood", ""),
            event("<configuration node='mood'/>").unwrap(),
        ] {
            assert_ne!(other.key, mood.key);
        }
        let of_bob = format!(
            "<event xmlns='{}'><items node='mood'><item id='1'/></items></event>",
            ns::PUBSUB_EVENT
        );
        assert_ne!(waits("bob@a.example", &of_bob).unwrap().key, mood.key);
        let later = format!("{of_bob}<delay xmlns='urn:xmpp:delay' stamp='x'/>");
        assert_eq!(waits("bob@a.example", &later), waits("bob@a.example", &of_bob));
    }

    #[test]
    fn a_purge_ends_the_items_and_a_deletion_all_of_the_node() {
        let [purge, delete, configuration] = ["purge", "delete", "configuration"]
            .map(|what| event(&format!("<{what} node='mood'/>")).unwrap());
        let item = items("mood", "<item id='1'/>");
        let ends = |one: &Waits, other: &Waits| {
            one.ends.as_ref().is_some_and(|ends| other.key.starts_with(ends))
        };

        for (one, other, is_over) in [
            (&purge, &item, true),
            (&purge, &configuration, false),
            (&purge, &delete, false),
            (&delete, &item, true),
            (&delete, &purge, true),
            (&delete, &configuration, true),
            (&configuration, &item, false),
            (&delete, &items("moods", "<item id='1'/>"), false),
            (&purge, &items("tune", "<item id='1'/>"), false),
        ] {
            assert_eq!(ends(one, other), is_over, "{one:?} {other:?}");
        }
    }

    #[test]
    fn whatever_says_more_than_an_event_of_one_thing_does_not_wait() {
        let one = "<items node='mood'><item id='1'/></items>";
        for happened in [
            "".to_owned(),
            "<items node='mood'><item id='1'/><item id='2'/></items>".to_owned(),
            "<items node='mood'><item/></items>".to_owned(),
            "<items node='mood'><other id='1'/></items>".to_owned(),
            "<items><item id='1'/></items>".to_owned(),
            format!("{one}{one}"),
            "<subscription node='mood' jid='bob@a.example' subscription='subscribed'/>".to_owned(),
        ] {
            assert_eq!(event(&happened), None, "{happened}");
        }
        let event = format!("<event xmlns='{}'>{one}</event>", ns::PUBSUB_EVENT);
        assert_eq!(waits("alice@a.example", &format!("<body>hi</body>{event}")), None);
        // Somebody's client has sent it.
        assert_eq!(waits("alice@a.example/desk", &event), None);
        assert!(waits("alice@a.example", &event).is_some());
    }
}
