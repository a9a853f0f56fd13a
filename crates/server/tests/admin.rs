//! The admin socket over a real one: the server's own user needs no password.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, message};
use tokio::net::UnixStream;
use whoelse_stream::c2s::Transport;
use whoelse_stream::client::{Config as StreamConfig, Machine, Opening, Step};
use whoelse_xmpp::{BareJid, Stanza};

async fn admin(world: &World) -> Client {
    let io = UnixStream::connect(world.server.admin_socket()).await.unwrap();
    let mut config = StreamConfig::new("localhost");
    config.transport = Transport::Trusted;
    let machine = Machine::new(config, None);
    Client { io: Box::new(io), machine, opening: None, received: 0 }.ready().await
}

async fn bound(client: &mut Client) -> String {
    match client.step().await {
        Step::Open(Opening::Bound { jid, .. }) => jid.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_name_the_administrator_is_the_server() {
    let world = World::start().await;
    let mut admin = admin(&world).await;

    admin.machine.login_external(None).unwrap();
    let jid = bound(&mut admin).await;
    assert!(jid.starts_with("localhost/admin-"), "{jid}");

    let mut bob = world.online("bob").await;
    admin.send(&message("bob", "the server says hello")).await;
    assert_eq!(bob.text().await, "the server says hello");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_name_the_administrator_is_that_account_beside_its_session() {
    let world = World::start().await;
    let mut bob = world.online("bob").await;
    let mut admin = admin(&world).await;

    admin.machine.login_external(Some("alice@localhost")).unwrap();
    let jid = bound(&mut admin).await;
    assert!(jid.starts_with("alice@localhost/admin-"), "{jid}");
    admin.send(&message("bob", "from alice")).await;
    assert_eq!(bob.text().await, "from alice");

    let alice = world.login("alice").await;
    assert!(matches!(alice.opening, Some(Opening::Bound { .. })));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_nobody_has_is_refused() {
    let world = World::start().await;
    let mut admin = admin(&world).await;

    admin.machine.login_external(Some("nobody@localhost")).unwrap();

    let refusal = match admin.step().await {
        Step::AuthFailed(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal.text.as_deref(), Some("there is no user nobody"));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_domain_gets_its_certificate_at_once_and_keeps_its_administrators() {
    let world = World::with(|config| config.admins = vec!["bob".to_owned()]).await;
    let before = world.server.fingerprint();
    let node = world.server.node();

    node.rename_domain("localhost".to_owned(), "chat.example".to_owned()).await.unwrap();

    let client = Client::connect(world.address(), StreamConfig::new("chat.example")).await;
    let bob = client.login("bob").await;
    match bob.opening {
        Some(Opening::Bound { jid, .. }) => assert!(jid.as_str().starts_with("bob@chat.example/")),
        other => panic!("{other:?}"),
    }
    assert_ne!(world.server.fingerprint(), before);
    let at_chat = |name| BareJid::new(Some(name), "chat.example").unwrap();
    assert!(node.is_named_administrator(&at_chat("bob")));
    assert!(!node.is_named_administrator(&at_chat("alice")));
    world.server.shutdown().await;
}

/// What a request is answered with.
async fn ask(client: &mut Client, (type_, to): (&str, &str), request: &str) -> String {
    client.send(&format!("<iq type='{type_}' id='q' to='{to}'>{request}</iq>")).await;
    let answer = client.expect(|stanza| stanza.id() == Some("q")).await;
    assert_eq!(answer.type_(), Some("result"), "{request}");
    String::from_utf8(answer.bytes().to_vec()).unwrap()
}

/// Rooms of this server, that is; a stranger who has a name under ours moves nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_in_lists_of_people_get_the_new_name_of_the_domain() {
    let world = World::start().await;
    let node = world.server.node();
    let mut bob = world.online("bob").await;
    for (id, request) in [
        ("1", "<block xmlns='urn:xmpp:blocking'><item jid='loud@conference.localhost'/></block>"),
        ("2", "<block xmlns='urn:xmpp:blocking'><item jid='far@other.localhost'/></block>"),
        ("3", "<query xmlns='jabber:iq:roster'><item jid='lunch@conference.localhost'/></query>"),
    ] {
        bob.send(&format!("<iq type='set' id='{id}'>{request}</iq>")).await;
        let answer = bob.expect(|stanza| stanza.id() == Some(id)).await;
        assert_eq!(answer.type_(), Some("result"));
    }

    node.rename_domain("localhost".to_owned(), "chat.example".to_owned()).await.unwrap();

    let client = Client::connect(world.address(), StreamConfig::new("chat.example")).await;
    let mut bob = client.login("bob").await;
    let blocked =
        ask(&mut bob, ("get", "bob@chat.example"), "<blocklist xmlns='urn:xmpp:blocking'/>").await;
    assert!(blocked.contains("loud@conference.chat.example"), "{blocked}");
    assert!(blocked.contains("far@other.localhost"), "{blocked}");
    let roster =
        ask(&mut bob, ("get", "bob@chat.example"), "<query xmlns='jabber:iq:roster'/>").await;
    assert!(roster.contains("lunch@conference.chat.example"), "{roster}");
    world.server.shutdown().await;
}

/// The presence by which somebody hears that they are in a room.
async fn enter(client: &mut Client, room: &str) -> String {
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    client.send(&format!("<presence to='{room}'>{x}</presence>")).await;
    let has_entered =
        |stanza: &Stanza| String::from_utf8_lossy(stanza.bytes()).contains("<status code='110'/>");
    String::from_utf8(client.expect(has_entered).await.bytes().to_vec()).unwrap()
}

fn occupant_id(presence: &str) -> &str {
    let (_, rest) = presence.split_once("urn:xmpp:occupant-id:0' id='").unwrap();
    rest.split_once('\'').unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_goes_on_under_the_new_name_of_the_domain_with_its_lists_its_archive_and_its_ids() {
    let world = World::start().await;
    let node = world.server.node();
    let mut alice = world.online("alice").await;
    enter(&mut alice, "lunch@conference.localhost/Ali").await;
    let field = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";
    let form = format!("<x xmlns='jabber:x:data' type='submit'>{field}</x>");
    let muc = "http://jabber.org/protocol/muc";
    for request in [
        format!("<query xmlns='{muc}#owner'>{form}</query>"),
        format!(
            "<query xmlns='{muc}#admin'><item affiliation='member' jid='bob@localhost'/></query>"
        ),
    ] {
        ask(&mut alice, ("set", "lunch@conference.localhost"), &request).await;
    }
    let mut bob = world.online("bob").await;
    let before = enter(&mut bob, "lunch@conference.localhost/Bob").await;
    bob.send(
        "<message type='groupchat' to='lunch@conference.localhost'><body>soup?</body></message>",
    )
    .await;
    bob.expect(|stanza| stanza.child_text("body", "jabber:client").is_some()).await;

    node.rename_domain("localhost".to_owned(), "chat.example".to_owned()).await.unwrap();

    let client = Client::connect(world.address(), StreamConfig::new("chat.example")).await;
    let mut bob = client.login("bob").await;
    bob.send("<presence/>").await;
    let after = enter(&mut bob, "lunch@conference.chat.example/Bob").await;
    assert!(after.contains("affiliation='member'"), "{after}");
    assert_eq!(occupant_id(&after), occupant_id(&before));
    let list = format!("<query xmlns='{muc}#admin'><item affiliation='owner'/></query>");
    let client = Client::connect(world.address(), StreamConfig::new("chat.example")).await;
    let mut alice = client.login("alice").await;
    let owners = ask(&mut alice, ("get", "lunch@conference.chat.example"), &list).await;
    assert!(owners.contains("jid='alice@chat.example'"), "{owners}");
    let page = "<query xmlns='urn:xmpp:mam:2'/>";
    let room = "lunch@conference.chat.example";
    bob.send(&format!("<iq type='set' id='q' to='{room}'>{page}</iq>")).await;
    let found = bob.expect(|stanza| stanza.from() == Some(room) && stanza.type_().is_none()).await;
    let found = String::from_utf8(found.bytes().to_vec()).unwrap();
    let said = "from='lunch@conference.chat.example/Bob'";
    assert!(found.contains(said) && found.contains("<body>soup?</body>"), "{found}");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_administrator_takes_no_place_from_a_user() {
    let world = World::start().await;

    let mut links = Vec::new();
    for _ in 0..30 {
        let mut link = admin(&world).await;
        link.machine.login_external(Some("alice@localhost")).unwrap();
        bound(&mut link).await;
        links.push(link);
    }

    let alice = world.login("alice").await;
    assert!(matches!(alice.opening, Some(Opening::Bound { .. })));
    world.server.shutdown().await;
}
