//! A change of an owner's nodes: some steps in one transaction, and afterwards the events.
//!
//! Other features change nodes by it, too: whatever is one deed is one change, over as many nodes as
//! it takes. If a step is refused, none has happened.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::keeper::{Then, Touches};
use whoelse_core::kit::BoxFuture;
use whoelse_store::{PubsubNode, Tx};
use whoelse_xmpp::{BareJid, Condition, Jid, Outgoing, StanzaError};

use super::access::{Affiliation, Asker, Subscription};
use super::config::Config;
use super::events::{AtNode, Audience, Event, What, tell};
use super::found::Found;
use super::limits::Limits;
use super::owner::{Owner, Visitor};
use super::refusal::no_room;

/// Why a change is not made.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused.
    Refused(StanzaError),
    /// The store has failed.
    Failed(whoelse_store::Error),
}

impl From<StanzaError> for Stop {
    fn from(error: StanzaError) -> Stop {
        Stop::Refused(error)
    }
}

impl From<whoelse_store::Error> for Stop {
    fn from(error: whoelse_store::Error) -> Stop {
        Stop::Failed(error)
    }
}

/// The nodes of an owner in a transaction of the keeper.
pub(crate) struct Nodes<'a> {
    pub tx: &'a mut Tx,
    pub server: &'a Node,
    pub owner: &'a Owner,
    /// Whether there is more than before.
    grows: bool,
    events: Vec<Event>,
    /// Those who are on the lists of nodes, as far as they were read and have not changed since.
    audiences: Vec<(i64, Arc<Audience>)>,
    then: Vec<Then>,
}

/// Makes a change of at most so many rows; then tells of it.
pub(crate) async fn change<T, F>(
    server: &Arc<Node>,
    owner: &Owner,
    rows: u64,
    steps: F,
) -> Result<T, StanzaError>
where
    T: Send + 'static,
    F: for<'a, 'b> FnOnce(&'a mut Nodes<'b>) -> BoxFuture<'a, Result<T, Stop>> + Send + 'static,
{
    let (node, owner) = (server.clone(), owner.clone());
    let made = server.keeper.change(Touches::AtMost(rows), move |tx| {
        Box::pin(async move {
            tx.begin_part().await?;
            let mut nodes = Nodes::new(tx, &node, &owner);
            let made = match steps(&mut nodes).await {
                Ok(value) => nodes.is_within_bounds().await.map(|()| value),
                Err(stop) => Err(stop),
            };
            let Nodes { events, then, .. } = nodes;
            match made {
                Ok(value) => {
                    tx.keep_part().await?;
                    let told = (!events.is_empty()).then(|| tell(&owner, events));
                    Ok((Ok(value), then.into_iter().chain(told).collect()))
                }
                Err(Stop::Refused(error)) => {
                    tx.undo_part().await?;
                    Ok((Err(error), Vec::new()))
                }
                Err(Stop::Failed(error)) => Err(error),
            }
        })
    });
    made.await.unwrap_or_else(|error| {
        Err(match error.is_full() {
            true => no_room("the server cannot store anything right now"),
            false => StanzaError::new(Condition::InternalServerError),
        })
    })
}

impl<'a> Nodes<'a> {
    fn new(tx: &'a mut Tx, server: &'a Node, owner: &'a Owner) -> Nodes<'a> {
        Nodes {
            tx,
            server,
            owner,
            grows: false,
            events: Vec::new(),
            audiences: Vec::new(),
            then: Vec::new(),
        }
    }

    /// Finds a node of this name.
    pub async fn find(&mut self, name: &str) -> Result<Option<Found>, whoelse_store::Error> {
        Ok(self.tx.pubsub_node(self.owner.id(), name).await?.map(Found::of))
    }

    /// Finds a node of this name for somebody, who is told if there is none.
    pub async fn expect(&mut self, name: &str, by: &Visitor) -> Result<Found, Stop> {
        let found = self.find(name).await?;
        found.ok_or_else(|| Stop::Refused(by.not_found()))
    }

    /// Makes a node, which somebody owns; `None` if there is one of this name.
    pub async fn make(
        &mut self,
        name: &str,
        config: Config,
        by: &Visitor,
    ) -> Result<Option<Found>, Stop> {
        let made = self.make_own(name, config).await?;
        if let Some(found) = made.as_ref().filter(|_| !by.is_oneself()) {
            self.account_of(by).await?;
            let who = self.server.key_of(by.from.bare());
            self.has_room_for_node_of(&who).await?;
            self.put_affiliation(found, &who, Affiliation::Owner).await?;
        }
        Ok(made)
    }

    /// Makes a node of the owner's; `None` if there is one of this name.
    pub async fn make_own(&mut self, name: &str, config: Config) -> Result<Option<Found>, Stop> {
        let written = config.written();
        let Some(id) = self.tx.create_pubsub_node(self.owner.id(), name, &written).await? else {
            return Ok(None);
        };
        // A node that was removed in the same change may have had this number.
        self.forget_audience(id);
        self.grows = true;
        let row = PubsubNode {
            id,
            owner: self.owner.id(),
            name: name.to_owned(),
            config: written,
            items: 0,
            bytes: 0,
        };
        Ok(Some(Found { row, config }))
    }

    /// Whether somebody may own one more node that is not their account's.
    async fn has_room_for_node_of(&mut self, who: &str) -> Result<(), Stop> {
        let rows = self.tx.pubsub_affiliations_of(self.owner.id(), who).await?;
        let own = rows.iter().filter(|(_, number)| *number == Affiliation::Owner.number()).count();
        match own as u64 >= self.server.settings().of::<Limits>().pubsub_nodes {
            true => Err(no_room("you have too many nodes").into()),
            false => Ok(()),
        }
    }

    /// Notes that items have come.
    pub fn note_growth(&mut self) {
        self.grows = true;
    }

    /// The number of the account that asks; 0: it is of none here. One that has gone meanwhile is told
    /// what strangers are: its name is forgotten in all lists already, and must not come into one,
    /// whoever has it now.
    pub async fn account_of(&mut self, by: &Visitor) -> Result<i64, Stop> {
        if by.is_oneself() {
            return Ok(self.owner.id());
        }
        let address = by.from.to_bare();
        if self.server.stored_at(&address).is_none() {
            return Ok(0);
        }
        let there = self.server.account_number(self.tx, &address).await?;
        let account = there.filter(|there| by.account == Some(*there));
        Ok(account.ok_or_else(|| by.not_found())?)
    }

    /// What somebody is at a node.
    pub async fn asker(&mut self, found: &Found, who: &Jid) -> Result<Asker, Stop> {
        let bare = who.to_bare();
        let relation = self.owner.relation(self.server, &bare, &found.config.roster_groups_allowed);
        let key = self.server.key_of(bare.as_str());
        let affiliation = self.tx.pubsub_affiliation(found.row.id, &key).await?;
        let affiliation = affiliation.and_then(Affiliation::of_number).unwrap_or(Affiliation::None);
        let mut subscription = self.subscription(found, &bare).await?;
        if subscription == Subscription::None && !who.is_bare() {
            subscription = self.subscription(found, who).await?;
        }
        Ok(Asker { affiliation, subscription, relation })
    }

    /// The state of the subscription of exactly this address.
    pub async fn subscription(&mut self, found: &Found, who: &Jid) -> Result<Subscription, Stop> {
        let key = self.server.key_of(who.as_str());
        let state = self.tx.pubsub_subscription(found.row.id, &key).await?;
        let state = state.and_then(|(state, _)| Subscription::of_number(state));
        Ok(state.unwrap_or(Subscription::None))
    }

    /// Notes what is told of a node when the change is made, to those who hear it.
    pub async fn tell(&mut self, found: &Found, what: What) -> Result<(), Stop> {
        if found.config.deliver_notifications {
            let audience = self.audience(found).await?;
            let (name, config) = (found.row.name.clone(), found.config.clone());
            let event = AtNode { name, config, what, audience };
            self.events.push(Event::AtNode(Box::new(event)));
        }
        Ok(())
    }

    /// Notes what is done when the change is made, before anybody is told of it.
    pub fn then(&mut self, then: Then) {
        self.then.push(then);
    }

    /// Notes a word to somebody alone, if they are there.
    pub fn say(&mut self, to: Jid, message: Outgoing) {
        self.events.push(Event::Word { to, message, waits: false });
    }

    /// Notes a question to somebody, for whom it waits.
    pub fn ask(&mut self, to: Jid, message: Outgoing) {
        self.events.push(Event::Word { to, message, waits: true });
    }

    /// Sets what somebody is at a node, by their key.
    pub async fn put_affiliation(
        &mut self,
        found: &Found,
        key: &str,
        affiliation: Affiliation,
    ) -> Result<(), Stop> {
        self.forget_audience(found.row.id);
        let number = (affiliation != Affiliation::None).then(|| affiliation.number());
        Ok(self.tx.set_pubsub_affiliation(found.row.id, key, number).await?)
    }

    /// Notes that the lists of a node change.
    pub fn forget_audience(&mut self, id: i64) {
        self.audiences.retain(|(node, _)| *node != id);
    }

    /// Those who are on the lists of a node. They are read once, however much is told of it.
    pub async fn audience(&mut self, found: &Found) -> Result<Arc<Audience>, Stop> {
        if let Some((_, audience)) = self.audiences.iter().find(|(node, _)| *node == found.row.id) {
            return Ok(audience.clone());
        }
        let affiliations = self.tx.pubsub_affiliations(found.row.id).await?;
        let affiliations = affiliations.into_iter().filter_map(|(who, affiliation)| {
            let who = BareJid::parse(&self.server.address_of(&who, "")).ok()?;
            Some((who, Affiliation::of_number(affiliation)?))
        });
        let affiliations = affiliations.collect();
        let subscriptions = self.tx.pubsub_subscriptions(found.row.id).await?;
        let subscriptions = subscriptions.into_iter().filter_map(|row| {
            let who = Jid::parse(&self.server.address_of(&row.who, "")).ok()?;
            Some((who, Subscription::of_number(row.state)?))
        });
        let subscriptions = subscriptions.collect();
        let audience = Arc::new(Audience { affiliations, subscriptions });
        self.audiences.push((found.row.id, audience.clone()));
        Ok(audience)
    }

    /// Whether the owner may have what there is now, where it is more than before.
    async fn is_within_bounds(&mut self) -> Result<(), Stop> {
        if !self.grows {
            return Ok(());
        }
        let usage = self.tx.pubsub_usage(self.owner.id()).await?;
        let bounds = self.owner.bounds(self.server);
        let over = match () {
            () if usage.nodes > bounds.nodes => "there are too many nodes",
            () if usage.items > bounds.items => "there are too many items in all nodes",
            () if usage.bytes > bounds.bytes => "there is no more room for items",
            () => return Ok(()),
        };
        Err(no_room(over).into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_core::account::Account;
    use whoelse_core::kit::command::Values;
    use whoelse_core::settings::Settings;
    use whoelse_core::{Clock, Time};
    use whoelse_store::{Location, PubsubPage, Store};

    use super::super::refusal::precondition_not_met;
    use super::super::request::{Draft, Publication};

    async fn alice() -> (Arc<Node>, Arc<Account>) {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("localhost").await.unwrap();
        tx.create_account(domain, "alice", &[], 1).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let (settings, clock) = (Settings::default(), Clock::manual(Time(1_767_225_600_000_000)));
        let server =
            Node::start(settings, clock, store, crate::ALL, Some("localhost")).await.unwrap();
        let alice = BareJid::parse("alice@localhost").unwrap();
        let alice = server.account(&alice).await.unwrap().unwrap();
        (server, alice)
    }

    fn publication(node: &str, text: &str, access: &str) -> Publication {
        let payload = format!("<e xmlns='urn:e'>{text}</e>").into_bytes();
        Publication {
            node: node.to_owned(),
            item: Some(Draft { id: Some("i".to_owned()), payload }),
            options: Some(Values(vec![(
                "pubsub#access_model".to_owned(),
                vec![access.to_owned()],
            )])),
        }
    }

    /// Publishes all of these, or none.
    async fn publish(
        server: &Arc<Node>,
        alice: &Arc<Account>,
        all: Vec<Publication>,
    ) -> Result<(), StanzaError> {
        let owner = Owner::Account(alice.clone());
        let by = Visitor::seeing(owner.clone(), alice.jid().clone().into(), Some(alice.id));
        change(server, &owner, 10, move |nodes| {
            Box::pin(async move {
                for publication in all {
                    nodes.publish(&by, publication, 1).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// What is in a node.
    async fn texts(server: &Node, alice: &Account, name: &str) -> Option<Vec<String>> {
        let node = server.store.pubsub_node(alice.id, name).await.unwrap()?;
        let page = PubsubPage { most: 10, ..PubsubPage::default() };
        let items = server.store.pubsub_page(node.id, &page).await.unwrap();
        let text = |payload: Vec<u8>| {
            String::from_utf8(payload)
                .unwrap()
                .trim_end_matches("</e>")
                .rsplit('>')
                .next()
                .unwrap()
                .to_owned()
        };
        Some(items.into_iter().map(|item| text(item.payload)).collect())
    }

    #[tokio::test]
    async fn two_who_make_a_node_at_the_same_moment_both_succeed() {
        let (server, alice) = alice().await;

        let (one, other) = tokio::join!(
            publish(&server, &alice, vec![publication("n", "one", "open")]),
            publish(&server, &alice, vec![publication("n", "other", "open")]),
        );

        assert_eq!((one, other), (Ok(()), Ok(())));
        assert_eq!(texts(&server, &alice, "n").await.unwrap(), ["other"]);
    }

    #[tokio::test]
    async fn a_request_that_is_under_way_when_its_account_is_removed_lists_the_name_nowhere() {
        let (server, alice) = alice().await;
        publish(&server, &alice, vec![publication("n", "before", "open")]).await.unwrap();
        let owner = Owner::Account(alice.clone());
        for (name, removed) in [("bob", true), ("carol", false), ("dave", true)] {
            let mut tx = server.store.begin().await.unwrap();
            let id = tx.create_account(1, name, &[], 1).await.unwrap().unwrap();
            tx.commit().await.unwrap();
            // Whoever asks is read.
            let by: Jid = Jid::parse(&format!("{name}@localhost/desk")).unwrap();
            let by = Visitor::seeing(owner.clone(), by, Some(id));
            if removed {
                let mut tx = server.store.begin().await.unwrap();
                assert!(tx.remove_account(id).await.unwrap());
                tx.commit().await.unwrap();
            }
            if name == "dave" {
                // Nobody has the name in a list any more, and somebody else makes an account of it.
                let mut tx = server.store.begin().await.unwrap();
                while let Some(left) = tx.next_removal().await.unwrap() {
                    match left.holder {
                        Some(_) => tx.note_holder(left.account, None).await.unwrap(),
                        None => drop(tx.remove_piece(&left, 500).await.unwrap()),
                    }
                }
                tx.create_account(1, name, &[], 1).await.unwrap().unwrap();
                tx.commit().await.unwrap();
            }

            let subscribed = change(&server, &owner, 10, move |nodes| {
                Box::pin(async move { nodes.subscribe(&by, "n", &by.from.to_bare().into()).await })
            });

            let expected = match removed {
                true => Err(super::super::refusal::not_found()),
                false => Ok(Subscription::Subscribed),
            };
            assert_eq!(subscribed.await, expected, "{name}");
        }
        let node = server.store.pubsub_node(alice.id, "n").await.unwrap().unwrap();
        let listed = server.store.pubsub_subscriptions(node.id).await.unwrap();
        let listed: Vec<_> = listed.into_iter().map(|row| row.who).collect();
        assert_eq!(listed, [server.key_of("carol@localhost")]);
    }

    #[tokio::test]
    async fn a_step_that_is_refused_undoes_those_before_it() {
        let (server, alice) = alice().await;
        publish(&server, &alice, vec![publication("n", "before", "open")]).await.unwrap();

        let steps = vec![
            publication("n", "after", "open"),
            publication("m", "new", "open"),
            publication("n", "refused", "whitelist"),
        ];
        let refused = publish(&server, &alice, steps).await;

        assert_eq!(refused, Err(precondition_not_met()));
        assert_eq!(texts(&server, &alice, "n").await.unwrap(), ["before"]);
        assert_eq!(texts(&server, &alice, "m").await, None);
        let all = vec![publication("n", "after", "open"), publication("m", "new", "open")];
        publish(&server, &alice, all).await.unwrap();
        assert_eq!(texts(&server, &alice, "n").await.unwrap(), ["after"]);
        assert_eq!(texts(&server, &alice, "m").await.unwrap(), ["new"]);
    }
}
