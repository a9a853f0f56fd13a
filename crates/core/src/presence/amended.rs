//! Presence as others get it: what features add to what a client says, or take out of it; and presence
//! that is said again when that has changed.

use std::sync::Arc;

use whoelse_xmpp::{Class, Outgoing, Stanza};

use super::said::{Said, says_how};
use super::unavailable;
use crate::account::Account;
use crate::audience::Audience;
use crate::delivery;
use crate::kit::taps::Occasion;
use crate::node::Node;
use crate::rewriting;
use crate::route::Origin;
use crate::route::fan_out::fan_out;
use crate::session::Session;

/// Returns a stanza of a session as others get it: an available presence can be amended.
pub(crate) fn amended(node: &Node, session: &Session, stanza: Stanza) -> Stanza {
    if !says_how(&stanza) || stanza.type_().is_some() {
        return stanza;
    }
    let occasion = if stanza.is_addressed() { Occasion::ToOne } else { Occasion::ToAll };
    node.wiring.amend(session, stanza, occasion)
}

/// Says the presence of each available session of an account again, to those who see the account, where
/// features have something else to add to it than before. Directed presence is not said again.
///
/// This is a fan-out for each session, so the caller must have paid for it.
pub fn say_again(node: &Arc<Node>, account: &Arc<Account>) {
    for session in account.sessions() {
        say_again_of(node, account, &session);
    }
}

/// Does so for one session.
pub(super) fn say_again_of(node: &Node, account: &Arc<Account>, session: &Session) {
    let Some(before) = session.presence() else { return };
    let Some(now) = again(node, session, &before) else { return };
    let told = now.with_children(&delivery::delay(node, node.clock.now()));
    if !session.replace_presence(&before, told.clone()) {
        // It has said something else meanwhile, which is amended by itself.
        return;
    }
    let origin = Origin::Account(account.clone());
    fan_out(node, &origin, Audience::Viewers, &now);
    // It may have said something else since, which some have got before this.
    match session.presence() {
        Some(last) if last.bytes == told.bytes => {}
        Some(last) => {
            fan_out(node, &origin, Audience::Viewers, &last);
        }
        None => {
            fan_out(node, &origin, Audience::Viewers, &unavailable(session.jid.as_str()));
        }
    }
}

/// Returns the last presence of a session as it is to be said now; `None` if it would be the same.
fn again(node: &Node, session: &Session, before: &Outgoing) -> Option<Outgoing> {
    let from = session.jid.as_str();
    // What was said once can be read.
    let rewrite = |stanza: &Stanza| {
        let said = Said::read(node, stanza).ok()?;
        let class = Class::Presence;
        Some(rewriting::for_recipient(stanza, from, None, None, &said.drop, class))
    };
    let stanza = Stanza::parse(before.bytes.clone()).ok()?;
    let as_before = rewrite(&stanza)?;
    let now = rewrite(&node.wiring.amend(session, stanza, Occasion::Again))?;
    (now.bytes != as_before.bytes).then_some(now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_store::{Location, Store};
    use whoelse_xmpp::BareJid;

    use super::*;
    use crate::clock::{Clock, Steady, Time};
    use crate::kit::Feature;
    use crate::presence::broadcast;
    use crate::principal::{Principal, Rights};
    use crate::sessions::Hold;
    use crate::settings::{Limits, Settings};

    /// What is added to the presence of an account.
    struct Badge(&'static str);

    const BADGES: Feature = Feature {
        name: "badges",
        wire: |w| {
            w.amend_presence(|session, presence, _| {
                let badge = session.account.as_ref()?.get::<Badge>()?;
                let add = format!("<badge xmlns='urn:badge'>{}</badge>", badge.0);
                let children: Vec<_> = presence
                    .children()
                    .iter()
                    .enumerate()
                    .filter(|(_, child)| child.ns() == "urn:badge")
                    .map(|(place, _)| (place, Vec::new()))
                    .collect();
                let add = add.as_bytes();
                presence.edited(&whoelse_xmpp::Edit { children: &children, add, attributes: &[] })
            });
        },
        ..Feature::PLAIN
    };

    async fn two() -> (Arc<Node>, [Hold; 2]) {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("localhost").await.unwrap();
        for name in ["alice", "bob"] {
            tx.create_account(domain, name, &[], 1).await.unwrap().unwrap();
        }
        tx.commit().await.unwrap();
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let settings = Settings::default();
        let node = Node::start(settings, clock, store, &[BADGES], Some("localhost")).await.unwrap();
        let mut holds = Vec::new();
        for jid in ["alice@localhost", "bob@localhost"] {
            let account = node.account(&BareJid::parse(jid).unwrap()).await.unwrap().unwrap();
            let principal = Principal::of(&account, Rights::Own);
            holds.push(node.bind(&principal, Some("desk")).await.unwrap());
        }
        (node, holds.try_into().ok().unwrap())
    }

    fn says(node: &Arc<Node>, hold: &Hold, xml: &str) {
        let ticket = hold.session.received(hold.epoch).unwrap().unwrap();
        let swaps = hold.session.own().swaps();
        let stanza = amended(node, &hold.session, Stanza::try_from(xml).unwrap());
        let said = Said { swaps, ..Said::read(node, &stanza).unwrap() };
        broadcast(node, (&hold.session, ticket), (&stanza, &said), None);
    }

    fn heard(hold: &Hold) -> String {
        let mut out = whoelse_stream::Output::default();
        let limits = Limits::default();
        hold.session.take(hold.epoch, Steady(0), &limits, &mut out, 1 << 20).unwrap();
        String::from_utf8(out.take()).unwrap()
    }

    #[tokio::test]
    async fn what_is_added_is_said_again_when_it_has_changed_and_only_then() {
        let (node, [alice, bob]) = two().await;
        let account = alice.session.own().clone();
        says(&node, &bob, "<presence/>");
        says(&node, &alice, "<presence><status>here</status></presence>");
        assert!(!heard(&bob).contains("urn:badge"));

        for (badge, told) in [("one", true), ("one", false), ("two", true)] {
            account.put(Arc::new(Badge(badge)));
            say_again(&node, &account);
            let heard = heard(&bob);
            let expected = format!("<status>here</status><badge xmlns='urn:badge'>{badge}</badge>");
            assert_eq!(heard.contains(&expected), told, "{heard}");
            assert_eq!(heard.matches("<presence ").count(), usize::from(told), "{heard}");
            assert!(!heard.contains("<delay"), "{heard}");
        }
        let now = alice.session.presence().unwrap();
        let now = std::str::from_utf8(&now.bytes).unwrap();
        assert_eq!((now.matches("<badge").count(), now.matches("<delay").count()), (1, 1), "{now}");
    }

    #[tokio::test]
    async fn what_changes_while_a_presence_waits_is_said_after_it() {
        let (node, [alice, bob]) = two().await;
        let account = alice.session.own().clone();
        says(&node, &bob, "<presence/>");
        heard(&bob);
        let ticket = alice.session.received(alice.epoch).unwrap().unwrap();
        let stanza = amended(&node, &alice.session, Stanza::try_from("<presence/>").unwrap());
        let said = Said { swaps: account.swaps(), ..Said::default() };

        account.put(Arc::new(Badge("late")));
        say_again(&node, &account);
        broadcast(&node, (&alice.session, ticket), (&stanza, &said), None);

        let heard = heard(&bob);
        let (first, second) = (heard.find("</presence>"), heard.find("late"));
        assert!(first.is_some() && second > first, "{heard}");
    }
}
