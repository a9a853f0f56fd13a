//! XEP-0352, Client State Indication: while nobody looks at a client, stanzas that can wait are
//! held back.
//!
//! Presence waits, the latest of each sender, and so do chat states and events of publish-subscribe,
//! the latest of each item ([`event`]). Any other stanza is important: it is sent at once, after
//! everything that waits. A message that is kept in the log never waits, and a long stanza neither.

mod event;

use whoelse_core::kit::Feature;
use whoelse_core::session::Waits;
use whoelse_xmpp::{Child, Class, Kind, Outgoing, Stanza, ns};

/// XEP-0352. It is offered among the stream features, not in service discovery.
pub const FEATURE: Feature = Feature {
    name: "client-state",
    xeps: &[(352, "1.0.0")],
    disco: &[],
    wire: |w| {
        w.offer("<csi xmlns='urn:xmpp:csi:0'/>");
        w.element((ns::CLIENT_STATE, "inactive"), |session| session.hold_back(waits_as));
        w.element((ns::CLIENT_STATE, "active"), |session| session.let_go());
        w.bind((ns::CLIENT_STATE, "inactive"), |session| session.hold_back(waits_as));
        w.bind((ns::CLIENT_STATE, "active"), |session| session.let_go());
    },
    ..Feature::PLAIN
};

/// Returns as what a stanza can wait. `None`: it cannot.
fn waits_as(stanza: &Outgoing) -> Option<Waits> {
    if !matches!(stanza.class, Class::Presence | Class::Message) {
        return None;
    }
    let stanza = Stanza::parse(stanza.bytes.clone()).ok()?;
    let from = stanza.from().unwrap_or_default();
    match (stanza.kind(), stanza.type_()) {
        // Subscription presence wants an answer.
        (Kind::Presence, None | Some("unavailable")) => {
            Some(Waits::under(format!("presence {from}")))
        }
        (Kind::Message, _) => {
            let children: Vec<&Child> = stanza.children().iter().collect();
            match children.as_slice() {
                [copy] if copy.ns() == ns::CARBONS => {
                    state_in_copy(&stanza, copy).map(Waits::under)
                }
                children if is_state(children) => Some(Waits::under(format!("state {from}"))),
                _ => event::waits_as(&stanza),
            }
        }
        _ => None,
    }
}

/// Returns the key of a carbon copy (XEP-0280): the direction and both ends of what was copied.
fn state_in_copy(stanza: &Stanza, copy: &Child) -> Option<String> {
    let inside = |of: &Child, name, ns| {
        stanza.grandchildren(of).into_iter().find(|child: &Child| child.is(name, ns))
    };
    let message = inside(&inside(copy, "forwarded", ns::FORWARD)?, "message", ns::CLIENT)?;
    let children = stanza.grandchildren(&message);
    let end = |name| stanza.child_attr(&message, name).unwrap_or_default();
    is_state(&children.iter().collect::<Vec<_>>())
        .then(|| format!("{} {} {}", copy.name(), end("from"), end("to")))
}

/// Whether a message with these children has nothing but a chat state (XEP-0085, 5.5).
fn is_state(children: &[&Child]) -> bool {
    let beside = [ns::HINTS, ns::STANZA_ID, ns::DELAY];
    children.iter().any(|child| child.ns() == ns::CHAT_STATES)
        && children.iter().all(|child| {
            child.ns() == ns::CHAT_STATES
                || beside.contains(&child.ns())
                || child.is("thread", ns::CLIENT)
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn waits(xml: &str, class: Class) -> Option<String> {
        let kind = Stanza::parse(xml.to_owned()).unwrap().kind();
        let waits = waits_as(&Outgoing::from_encoded(kind, xml.to_owned().into(), class))?;
        assert_eq!(waits.ends, None);
        Some(waits.key)
    }

    const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";

    fn copy(children: &str) -> String {
        format!(
            "<message from='a@b'><sent xmlns='urn:xmpp:carbons:2'><forwarded \
             xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='a@b/1' \
             to='c@d'>{children}</message></forwarded></sent></message>"
        )
    }

    #[test]
    fn presence_and_chat_states_wait_as_what_their_sender_says_last() {
        for (xml, class, key) in [
            ("<presence from='a@b/1'></presence>", Class::Presence, "presence a@b/1"),
            (
                "<presence from='a@b/1' type='unavailable'></presence>",
                Class::Presence,
                "presence a@b/1",
            ),
            (
                &format!("<message from='a@b/1' type='chat'>{STATE}</message>"),
                Class::Message,
                "state a@b/1",
            ),
            (
                &format!(
                    "<message from='a@b/1'>{STATE}<thread>t</thread><no-store \
                     xmlns='urn:xmpp:hints'/></message>"
                ),
                Class::Message,
                "state a@b/1",
            ),
            (&copy(STATE), Class::Message, "sent a@b/1 c@d"),
        ] {
            assert_eq!(waits(xml, class).as_deref(), Some(key), "{xml}");
        }
    }

    #[test]
    fn whatever_says_something_or_wants_an_answer_does_not_wait() {
        let body = format!("<body>hi</body>{STATE}");
        for (xml, class) in [
            (format!("<message from='a@b/1' type='chat'>{body}</message>"), Class::Kept(7)),
            (format!("<message from='a@b/1' type='chat'>{body}</message>"), Class::Message),
            (format!("<message from='a@b/1' type='chat'>{STATE}</message>"), Class::Kept(7)),
            (format!("<message from='a@b/1' type='groupchat'>{STATE}</message>"), Class::Groupchat),
            (
                format!(
                    "<message from='a@b/1' type='error'>{STATE}<error type='cancel'></error>\
                     </message>"
                ),
                Class::Message,
            ),
            ("<message from='a@b/1'></message>".to_owned(), Class::Message),
            (copy(&body), Class::Message),
            ("<presence from='a@b' type='subscribe'></presence>".to_owned(), Class::Presence),
            ("<presence from='a@b' type='error'></presence>".to_owned(), Class::Presence),
            ("<iq type='result' id='1'></iq>".to_owned(), Class::IqAnswer),
        ] {
            assert_eq!(waits(&xml, class), None, "{xml}");
        }
    }
}
