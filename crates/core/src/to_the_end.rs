//! Work that is finished though whoever waits for it is gone: a connection can be put out, or run
//! out of time, at any moment at which it waits.

use std::panic::resume_unwind;

/// Runs work on a task of its own and returns its output. The work goes on if the caller is dropped
/// meanwhile. If it panics, so does the caller.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tokio::spawn(work).await {
        Ok(output) => output,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is shutting down, and drops the caller next.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::task::Poll;

    use whoelse_store::{Location, Query, Store};
    use whoelse_stream::c2s::RegisterRequest;
    use whoelse_stream::secret::Password;
    use whoelse_xmpp::{Class, Kind, Outgoing, StreamCondition, StreamError};

    use crate::account::Account;
    use crate::clock::{Clock, Time};
    use crate::keeper::tests::{busy, fill, quiet};
    use crate::kit::{Feature, Wiring};
    use crate::network::Network;
    use crate::node::Node;
    use crate::principal::{Principal, Rights};
    use crate::route::tests::{device, jid, node};
    use crate::settings::Settings;

    /// Lets work go on until something holds, and drops it there.
    async fn dropped_when(work: impl Future, mut holds: impl FnMut() -> bool) {
        let mut work = Box::pin(work);
        while !holds() {
            let polled = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
            assert!(polled.is_pending(), "it ended before it could be dropped");
            tokio::task::yield_now().await;
        }
    }

    /// A message that was passed on and is in no log yet.
    fn passed_on(text: &str) -> Outgoing {
        let stanza = format!(
            "<message from='alice@localhost/desk' to='bob@localhost' type='chat'>\
             <body>{text}</body></message>"
        );
        Outgoing::from_encoded(Kind::Message, stanza.into(), Class::Kept(0))
    }

    #[tokio::test]
    async fn what_an_ended_session_leaves_is_kept_though_whoever_ended_it_is_dropped() {
        let node = node(&["alice", "bob"]).await;
        let old = device(&node, "bob", "desk").await;
        let bob = old.session.own().clone();
        for text in ["one", "two", "three"] {
            old.session.push(passed_on(text));
        }
        let go = busy(&node).await;
        fill(&node);

        let principal = Principal::of(&bob, Rights::Own);
        let binding = node.bind(&principal, Some("desk"));
        dropped_when(binding, || old.session.is_gone()).await;

        go.send(()).unwrap();
        quiet(&node).await;
        let kept = node.store.count(bob.archive, &Query::default(), i64::MAX).await.unwrap();
        assert_eq!(kept, Some(3));
        assert!(!bob.arriving.is_open(), "nobody waits for ever for what has arrived");
    }

    #[tokio::test]
    async fn a_stop_waits_for_what_a_session_without_a_connection_has_left() {
        let node = node(&["alice", "bob"]).await;
        let old = device(&node, "bob", "desk").await;
        let bob = old.session.own().clone();
        let many = 3 * i64::from(crate::keeper::SHARE);
        old.session.enable(Some("token".to_owned()));
        for n in 0..many {
            old.session.push(passed_on(&n.to_string()));
        }
        assert_eq!(old.session.detach(old.epoch), Ok(true));

        node.end_all(&StreamError::new(StreamCondition::SystemShutdown));
        while !old.session.is_gone() {
            tokio::task::yield_now().await;
        }
        node.stop().await;

        let kept = node.store.count(bob.archive, &Query::default(), i64::MAX).await.unwrap();
        assert_eq!(kept, Some(many));
    }

    /// In the slot of an account: the features were told of it.
    struct Told;

    fn wire(w: &mut Wiring) {
        w.accounts(|_, account: &Arc<Account>, _| account.put(Arc::new(Told)));
    }

    const FEATURE: Feature = Feature { name: "test", wire, ..Feature::PLAIN };

    #[tokio::test]
    async fn everybody_is_told_of_an_account_though_whoever_made_it_is_dropped() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let starting =
            Node::start(Settings::default(), clock, store, &[FEATURE], Some("localhost"));
        let node = starting.await.unwrap();
        let go = busy(&node).await;
        let busy_with = node.keeper.waiting();

        let password = Password::new("a long password").unwrap();
        let asked = RegisterRequest::Create { account: jid("bob"), password };
        let making = node.register(asked, Network::Local);
        dropped_when(making, || node.keeper.waiting() > busy_with).await;

        go.send(()).unwrap();
        quiet(&node).await;
        let bob = node.account(&jid("bob")).await.unwrap().unwrap();
        assert!(bob.look(|_: &Told| ()).is_some());
        assert_eq!(node.counters.registered.get(), 1);
    }
}
