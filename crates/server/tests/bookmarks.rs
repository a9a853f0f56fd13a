//! XEP-0411: bookmarks that an older release has in private XML are found in every form.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, jid};
use whoelse_features::bookmarks;
use whoelse_store::{DataKey, DataLimit, Put};
use whoelse_stream::client::Config as StreamConfig;
use whoelse_xmpp::ns;

const KEY: DataKey<'_> = DataKey { namespace: ns::PRIVATE_STORAGE, name: ns::BOOKMARKS_LIST };
const LIST: &str = "<storage xmlns='storage:bookmarks'><url name='Page' url='http://x'/>\
    <conference jid='play@rooms.x' name='Play' autojoin='true'><nick>JC</nick></conference>\
    <conference jid='orchard@rooms.x'/></storage>";

/// Stores a list in private XML as a release did that knew no other form.
async fn store(world: &World, list: &str) {
    let node = world.server.node();
    let account = node.account(&jid("alice")).await.unwrap().unwrap().id;
    let mut tx = node.store.begin().await.unwrap();
    let limit = DataLimit { values: 200, bytes: 1 << 20 };
    let put = tx.put_account_data(account, KEY, list.as_bytes(), limit).await.unwrap();
    assert_eq!(put, Put::Done);
    tx.commit().await.unwrap();
}

async fn what_is_left(world: &World) -> Option<String> {
    let node = world.server.node();
    let account = node.account(&jid("alice")).await.unwrap().unwrap().id;
    let left = node.store.account_data(account, KEY).await.unwrap();
    left.map(|left| String::from_utf8(left).unwrap())
}

fn items(node: &str) -> String {
    format!(
        "<iq type='get' id='{node}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <items node='{node}'/></pubsub></iq>"
    )
}

const PRIVATE: &str = "<iq type='get' id='private'><query xmlns='jabber:iq:private'>\
    <storage xmlns='storage:bookmarks'/></query></iq>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookmarks_in_private_xml_are_moved_when_their_owner_asks() {
    let world = World::start().await;
    store(&world, LIST).await;
    let mut alice = world.online("alice").await;
    // One of the rooms she has already, as a new client put it there.
    alice
        .send(
            "<iq type='set' id='1'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='urn:xmpp:bookmarks:1'><item id='orchard@rooms.x'>\
             <conference xmlns='urn:xmpp:bookmarks:1' name='Orchard'/></item></publish></pubsub></iq>",
        )
        .await;
    alice.expect(|stanza| stanza.id() == Some("1")).await;

    alice.send(&items(ns::BOOKMARKS)).await;
    let rooms = alice.expect(|stanza| stanza.id() == Some(ns::BOOKMARKS)).await;
    alice.send(&items(ns::BOOKMARKS_LIST)).await;
    let list = alice.expect(|stanza| stanza.id() == Some(ns::BOOKMARKS_LIST)).await;
    alice.send(PRIVATE).await;
    let private = alice.expect(|stanza| stanza.id() == Some("private")).await;

    let text = |stanza: &whoelse_xmpp::Stanza| String::from_utf8(stanza.bytes().to_vec()).unwrap();
    let expected = LIST.replace("jid='orchard@rooms.x'", "jid='orchard@rooms.x' name='Orchard'");
    assert!(text(&rooms).contains("<item id='play@rooms.x'>"), "{}", text(&rooms));
    assert_eq!(text(&rooms).matches("<item ").count(), 2);
    for list in [&list, &private] {
        let found = text(list).replace("<conference xmlns='storage:bookmarks'", "<conference");
        assert!(found.contains(&expected), "{found}");
    }
    assert_eq!(what_is_left(&world).await, None);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_too_long_stays_where_it_is_and_is_read_there() {
    let world = World::with(|config| {
        config.settings.change(|limits: &mut bookmarks::Limits| limits.bookmarks = 1);
    })
    .await;
    store(&world, LIST).await;
    let mut alice = world.online("alice").await;

    alice.send(PRIVATE).await;
    let private = alice.expect(|stanza| stanza.id() == Some("private")).await;

    let text = String::from_utf8(private.bytes().to_vec()).unwrap();
    assert!(text.contains(LIST), "{text}");
    assert_eq!(what_is_left(&world).await.as_deref(), Some(LIST));
    world.server.shutdown().await;
}

/// Publishes a bookmark of a room as clients of today do.
async fn bookmarks(alice: &mut Client, room: &str) {
    alice
        .send(&format!(
            "<iq type='set' id='b'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='urn:xmpp:bookmarks:1'><item id='{room}'>\
             <conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'><nick>Al</nick>\
             <extensions><mine xmlns='urn:mine'/></extensions></conference></item></publish>\
             </pubsub></iq>"
        ))
        .await;
    let answer = alice.expect(|stanza| stanza.id() == Some("b")).await;
    assert_eq!(answer.type_(), Some("result"));
}

/// What is bookmarked, in each of the three forms.
async fn forms(alice: &mut Client) -> [String; 3] {
    let requests = [items(ns::BOOKMARKS), items(ns::BOOKMARKS_LIST), PRIVATE.to_owned()];
    let mut answers = [ns::BOOKMARKS, ns::BOOKMARKS_LIST, "private"].map(str::to_owned);
    for (request, answer) in requests.iter().zip(&mut answers) {
        alice.send(request).await;
        let found = alice.expect(|stanza| stanza.id() == Some(answer.as_str())).await;
        *answer = String::from_utf8(found.bytes().to_vec()).unwrap();
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_of_a_domain_that_is_renamed_stay_bookmarked_and_a_strangers_are_left_alone() {
    let world = World::start().await;
    let node = world.server.node();
    let rename = async |old: &str, new: &str| {
        node.rename_domain(old.to_owned(), new.to_owned()).await.unwrap();
        Client::connect(world.address(), StreamConfig::new(new)).await.login("alice").await
    };
    let mut alice = world.online("alice").await;
    for room in ["lunch@conference.localhost", "far@rooms.x"] {
        bookmarks(&mut alice, room).await;
    }

    let mut alice = rename("localhost", "chat.example").await;

    for form in forms(&mut alice).await {
        assert!(form.contains("'lunch@conference.chat.example'"), "{form}");
        assert!(form.contains("'far@rooms.x'"), "{form}");
        assert!(!form.contains("localhost"), "{form}");
        assert!(form.contains("<nick>Al</nick>"), "{form}");
    }
    let [rooms, ..] = forms(&mut alice).await;
    assert_eq!(rooms.matches("urn:mine").count(), 2, "{rooms}");

    // Whoever has the name now has rooms there.
    bookmarks(&mut alice, "tea@conference.localhost").await;
    let mut alice = rename("chat.example", "talk.example").await;

    for form in forms(&mut alice).await {
        assert!(form.contains("'lunch@conference.talk.example'"), "{form}");
        assert!(form.contains("'tea@conference.localhost'"), "{form}");
        assert!(!form.contains("chat.example"), "{form}");
    }
    world.server.shutdown().await;
}
