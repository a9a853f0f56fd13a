//! Rooms and the lane (docs/design/rooms.md): a room or an account with very much goes in pieces, between
//! which others write, and an account that is removed is in no list, whatever is written down meanwhile; and
//! what is said to one alone is looked at again when it is kept. And whoever has a room tell something
//! pays for everybody who is told (docs/design/ledger.md).
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio::sync::oneshot;
use whoelse_core::keeper::{PIECE, Touches};
use whoelse_core::principal::{Principal, Rights};
use whoelse_core::route::{self, Routed};
use whoelse_core::sessions::Hold;
use whoelse_core::settings::{Sessions, Settings};
use whoelse_core::{Clock, Node, Time};
use whoelse_store::{Location, RoomAffiliation, RoomConfig, Store, Tx};
use whoelse_stream::{Output, Password};
use whoelse_xmpp::{BareJid, Stanza};

/// So much that it goes in many pieces: in the lists of one room, and rooms that have one account in
/// theirs, of which each takes longer to make.
const LISTED: usize = 10_000;
const ROOMS: usize = 2_000;
const MEMBER: i64 = 2;
const ADMIN: i64 = 3;
const OWNER: i64 = 4;

fn jid(name: &str) -> BareJid {
    BareJid::new(Some(name), "localhost").unwrap()
}

async fn server() -> Arc<Node> {
    let store = Store::open(&Location::Memory).await.unwrap();
    let settings = Settings { sessions: Sessions::Many, ..Settings::default() };
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let features = whoelse_features::ALL;
    let node = Node::start(settings, clock, store, features, Some("localhost")).await.unwrap();
    for name in ["alice", "bob", "carol"] {
        make_account(&node, name).await;
    }
    node
}

async fn make_account(node: &Arc<Node>, name: &str) {
    node.create_account(&jid(name), Password::new("a long secret").unwrap()).await.unwrap();
}

async fn online(node: &Arc<Node>, name: &str) -> Hold {
    let account = node.account(&jid(name)).await.unwrap().unwrap();
    let hold = node.bind(&Principal::of(&account, Rights::Own), Some("desk")).await.unwrap();
    say(node, &hold, "<presence/>").await;
    heard(node, &hold);
    // As its connection does.
    node.read_log(&hold.session).await;
    heard(node, &hold);
    hold
}

/// Says something; returns what is still to be waited for.
fn begin(node: &Arc<Node>, hold: &Hold, xml: &str) -> Routed {
    route::handle(node, hold, Stanza::parse(xml.to_owned()).unwrap(), None)
}

async fn finish(routed: Routed) {
    match routed {
        Routed::Done => {}
        Routed::Waits(rest) => rest.await,
        Routed::End(_) | Routed::Superseded => panic!("the stream ends"),
    }
}

async fn say(node: &Arc<Node>, hold: &Hold, xml: &str) {
    finish(begin(node, hold, xml)).await;
}

fn heard(node: &Node, hold: &Hold) -> String {
    let mut out = Output::default();
    let (now, limits) = (node.clock.steady(), &node.settings().limits);
    hold.session.take(hold.epoch, now, limits, &mut out, 1 << 20).unwrap();
    String::from_utf8(out.take()).unwrap()
}

/// Makes a room that stays, with these in its lists.
async fn make_room(node: &Node, name: &str, lists: &[(String, i64)]) -> i64 {
    let mut tx = node.store.begin().await.unwrap();
    let room = write_room(node, &mut tx, name, lists).await;
    tx.commit().await.unwrap();
    room
}

async fn write_room(node: &Node, tx: &mut Tx, name: &str, lists: &[(String, i64)]) -> i64 {
    let room = tx.create_room(1, name, None, b"", b"secret").await.unwrap().unwrap();
    let config = b"configured=1\npersistent=1\n";
    let config = RoomConfig { persistent: true, listed: false, title: "", bytes: config };
    tx.configure_room(room.id, config).await.unwrap();
    for (who, affiliation) in lists {
        let who = node.key_of(who);
        let row = RoomAffiliation { who, affiliation: *affiliation, nick: None, since: 1 };
        tx.set_room_affiliation(room.id, &row).await.unwrap();
    }
    room.id
}

/// Holds up the lane until it is told to go on; what is posted from now on comes after that.
async fn hold_up(node: &Arc<Node>) -> oneshot::Sender<()> {
    let (go, waits) = oneshot::channel::<()>();
    let (holds, is_held) = oneshot::channel::<()>();
    let node = node.clone();
    tokio::spawn(async move {
        let held = node.keeper.change(Touches::AtMost(0), move |_| {
            Box::pin(async move {
                let _ = holds.send(());
                let _ = waits.await;
                Ok(((), Vec::new()))
            })
        });
        held.await.unwrap();
    });
    is_held.await.unwrap();
    go
}

/// Lets whatever is ready run, so that it posts what it has to post.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Has two say something while the lane is held up, so that the second is let in before the first has
/// changed anything, and lets both be done.
async fn one_behind_the_other(node: &Arc<Node>, first: (&Hold, &str), second: (&Hold, &str)) {
    let go = hold_up(node).await;
    let first = tokio::spawn(finish(begin(node, first.0, first.1)));
    settle().await;
    let second = tokio::spawn(finish(begin(node, second.0, second.1)));
    settle().await;
    go.send(()).unwrap();
    first.await.unwrap();
    second.await.unwrap();
    node.keeper.caught_up().await;
}

/// Watches how rows go: while the lane works piece by piece, bob writes to carol, who hears it though much is
/// left. Returns how many rows each piece has taken.
async fn pieces<F>(
    node: &Arc<Node>,
    (bob, carol): (&Hold, &Hold),
    mut go: oneshot::Sender<()>,
    left: impl Fn() -> F,
) -> Vec<usize>
where
    F: Future<Output = usize>,
{
    heard(node, carol);
    let (mut before, mut took) = (left().await, Vec::new());
    while before > 0 {
        settle().await;
        say(node, bob, "<message to='carol@localhost' type='chat'><body>hi</body></message>").await;
        let own = node.clone();
        let next = tokio::spawn(async move { hold_up(&own).await });
        settle().await;
        go.send(()).unwrap();
        go = next.await.unwrap();
        while !heard(node, carol).contains("<body>hi</body>") {
            tokio::task::yield_now().await;
        }
        let now = left().await;
        took.extend((now < before).then(|| before - now));
        before = now;
    }
    go.send(()).unwrap();
    took
}

/// The most rows that go at once, and that they do so in as many pieces as it takes.
fn assert_in_pieces(took: &[usize], all: usize) {
    assert_eq!(took.iter().sum::<usize>(), all);
    assert!(took.iter().all(|rows| *rows <= PIECE as usize), "{took:?}");
    assert!(took.len() >= all / PIECE as usize, "{took:?}");
}

#[tokio::test]
async fn a_room_of_ten_thousand_is_destroyed_in_pieces_between_which_others_write() {
    let node = server().await;
    let mut lists: Vec<(String, i64)> =
        (1..LISTED).map(|n| (format!("m{n}@far.example"), MEMBER)).collect();
    lists.push(("alice@localhost".to_owned(), OWNER));
    let room = make_room(&node, "lunch", &lists).await;
    let alice = online(&node, "alice").await;
    let destroy = "<iq type='set' id='d' to='lunch@conference.localhost'>\
        <query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>";
    let (bob, carol) = (online(&node, "bob").await, online(&node, "carol").await);
    let go = hold_up(&node).await;
    let destroying = tokio::spawn(finish(begin(&node, &alice, destroy)));
    let left = || async { node.store.room_affiliations(room).await.unwrap().len() };
    let took = pieces(&node, (&bob, &carol), go, left).await;
    destroying.await.unwrap();

    assert!(heard(&node, &alice).contains("type='result'"));
    assert_eq!(node.store.room(1, "lunch").await.unwrap(), None);
    assert_in_pieces(&took, LISTED);
}

#[tokio::test]
async fn an_account_in_the_lists_of_two_thousand_rooms_is_removed_in_pieces() {
    let node = server().await;
    make_account(&node, "mal").await;
    let mut tx = node.store.begin().await.unwrap();
    // Of some of them mal is the owner, with heirs.
    for n in 0..ROOMS {
        let (who, heir) = match n % 10 {
            0 => (OWNER, ADMIN),
            _ => (MEMBER, OWNER),
        };
        let lists = [("mal@localhost".to_owned(), who), ("alice@localhost".to_owned(), heir)];
        write_room(&node, &mut tx, &format!("r{n:05}"), &lists).await;
    }
    tx.commit().await.unwrap();
    let mal = node.account(&jid("mal")).await.unwrap().unwrap();
    let key = node.key_of("mal@localhost");
    let left = || async {
        let mut left = 0;
        for affiliation in [OWNER, MEMBER] {
            let all = node.store.all_rooms(1, "", affiliation, u32::MAX).await.unwrap();
            left += all.iter().filter(|room| room.owner.as_deref() == Some(&key)).count();
        }
        left
    };
    let (bob, carol) = (online(&node, "bob").await, online(&node, "carol").await);
    let go = hold_up(&node).await;
    let removing = tokio::spawn({
        let node = node.clone();
        async move { node.remove_account(&mal, None, || {}).await }
    });
    let took = pieces(&node, (&bob, &carol), go, left).await;
    removing.await.unwrap().unwrap();

    assert_in_pieces(&took, ROOMS);
    assert!(
        took.iter().all(|rooms| 2 * rooms <= PIECE as usize),
        "each may have an heir: {took:?}"
    );
    let all = node.store.all_rooms(1, "", OWNER, u32::MAX).await.unwrap();
    assert_eq!(all.len(), ROOMS);
    let alice = node.key_of("alice@localhost");
    assert!(all.iter().all(|room| room.owner.as_ref() == Some(&alice)), "every room has an heir");
}

/// In whose lists a name is: by the rooms.
async fn lists_with(node: &Node, name: &str) -> Vec<String> {
    let key = node.key_of(&format!("{name}@localhost"));
    let mut with = Vec::new();
    for room in node.store.all_rooms(1, "", OWNER, 1_000).await.unwrap() {
        let row = node.store.room(1, &room.name).await.unwrap().unwrap();
        let lists = node.store.room_affiliations(row.id).await.unwrap();
        if lists.iter().any(|one| one.who == key) {
            with.push(room.name);
        }
    }
    with
}

fn registers(room: &str) -> String {
    format!(
        "<iq type='set' id='r' to='{room}@conference.localhost'>\
         <query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>\
         <field var='muc#register_roomnick'><value>M</value></field></x></query></iq>"
    )
}

#[tokio::test]
async fn an_account_that_is_removed_is_in_no_list_whatever_it_has_under_way() {
    let node = server().await;
    make_account(&node, "mal").await;
    let owner = [("alice@localhost".to_owned(), OWNER)];
    for room in ["a", "b", "c"] {
        make_room(&node, room, &owner).await;
    }
    let mal = online(&node, "mal").await;
    say(&node, &mal, &registers("a")).await;
    assert_eq!(lists_with(&node, "mal").await, ["a"]);

    // One is before the removal, one behind it, and one is said before and begins when all is over.
    let account = node.account(&jid("mal")).await.unwrap().unwrap();
    let go = hold_up(&node).await;
    let before = tokio::spawn(finish(begin(&node, &mal, &registers("b"))));
    settle().await;
    let removing = tokio::spawn({
        let node = node.clone();
        async move { node.remove_account(&account, None, || {}).await }
    });
    settle().await;
    let behind = tokio::spawn(finish(begin(&node, &mal, &registers("c"))));
    settle().await;
    let makes = "<presence to='new@conference.localhost/M'>\
        <x xmlns='http://jabber.org/protocol/muc'/></presence>";
    let late = begin(&node, &mal, makes);
    go.send(()).unwrap();
    removing.await.unwrap().unwrap();
    before.await.unwrap();
    behind.await.unwrap();
    node.keeper.caught_up().await;
    while node.store.is_removal_left().await.unwrap() {
        tokio::task::yield_now().await;
    }
    finish(late).await;
    node.keeper.caught_up().await;

    assert_eq!(lists_with(&node, "mal").await, [""; 0]);
    assert_eq!(node.store.room(1, "new").await.unwrap(), None);
    // Whoever has the name now has inherited nothing.
    make_account(&node, "mal").await;
    let anew = online(&node, "mal").await;
    heard(&node, &anew);
    let asks = "<iq type='get' id='q' to='a@conference.localhost'>\
        <query xmlns='jabber:iq:register'/></iq>";
    say(&node, &anew, asks).await;
    let answer = heard(&node, &anew);
    assert!(answer.contains("roomnick") && !answer.contains("registered"), "{answer}");
}

const PSST: &str = "<message id='m' to='lunch@conference.localhost/Bob' type='chat'>\
    <body>psst</body></message>";

/// Alice, bob and carol in a room that carol owns.
async fn lunch(node: &Arc<Node>) -> [Hold; 3] {
    make_room(node, "lunch", &[("carol@localhost".to_owned(), OWNER)]).await;
    let all = [
        (online(node, "alice").await, "Ali"),
        (online(node, "bob").await, "Bob"),
        (online(node, "carol").await, "Carol"),
    ];
    for (hold, nick) in &all {
        let enters = format!(
            "<presence to='lunch@conference.localhost/{nick}'>\
             <x xmlns='http://jabber.org/protocol/muc'/></presence>"
        );
        say(node, hold, &enters).await;
    }
    for (hold, _) in &all {
        heard(node, hold);
    }
    all.map(|(hold, _)| hold)
}

/// Whether anything is in somebody's archive.
async fn has_anything(node: &Node, name: &str) -> bool {
    let archive = node.account(&jid(name)).await.unwrap().unwrap().archive;
    node.store.archive_ends(archive).await.unwrap().is_some()
}

#[tokio::test]
async fn what_is_said_to_one_alone_after_a_block_or_a_ban_comes_back_and_is_kept_nowhere() {
    let block = "<iq type='set' id='c'><block xmlns='urn:xmpp:blocking'>\
        <item jid='alice@localhost'/></block></iq>";
    let ban = |whom: &str| {
        format!(
            "<iq type='set' id='c' to='lunch@conference.localhost'>\
             <query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item affiliation='outcast' jid='{whom}@localhost'/></query></iq>"
        )
    };
    for (by, change, answer) in [
        (1, block.to_owned(), "service-unavailable"),
        (2, ban("bob"), "item-not-found"),
        (2, ban("alice"), "not-acceptable"),
    ] {
        let node = server().await;
        let all = lunch(&node).await;
        one_behind_the_other(&node, (&all[by], &change), (&all[0], PSST)).await;

        let (told, reached) = (heard(&node, &all[0]), heard(&node, &all[1]));
        assert!(told.contains(answer) && told.contains("id='m'"), "{change}: {told}");
        assert!(!reached.contains("psst"), "{change}: {reached}");
        assert!(!has_anything(&node, "alice").await && !has_anything(&node, "bob").await);
        node.stop().await;
    }
}

#[tokio::test]
async fn whoever_says_something_to_one_alone_and_leaves_is_heard_before_they_are_gone() {
    let node = server().await;
    let [alice, bob, carol] = lunch(&node).await;
    let go = hold_up(&node).await;
    say(&node, &alice, PSST).await;
    let leaves = "<presence to='lunch@conference.localhost/Ali' type='unavailable'/>";
    let leaving = tokio::spawn(finish(begin(&node, &alice, leaves)));
    settle().await;
    assert_eq!(heard(&node, &bob), "", "it is not on the disk yet");

    go.send(()).unwrap();
    leaving.await.unwrap();

    let reached = heard(&node, &bob);
    let (said, gone) = (reached.find("psst"), reached.find("unavailable"));
    assert!(said.is_some() && said < gone, "{reached}");
    let seen = heard(&node, &carol);
    assert!(seen.contains("unavailable") && !seen.contains("psst"), "{seen}");
    assert!(has_anything(&node, "alice").await && has_anything(&node, "bob").await);
    node.stop().await;
}

#[tokio::test]
async fn whoever_loses_the_right_to_invite_while_they_invite_has_invited_nobody() {
    let owners = |what: &str| {
        format!(
            "<iq type='set' id='o' to='lunch@conference.localhost'>\
             <query xmlns='http://jabber.org/protocol/muc#{what}</query></iq>"
        )
    };
    let members_only = owners(
        "owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
         <field var='muc#roomconfig_membersonly'><value>1</value></field></x>",
    );
    let alice_is =
        |what: &str| owners(&format!("admin'><item jid='alice@localhost' affiliation='{what}'/>"));
    let invites = "<message id='i' to='lunch@conference.localhost'>\
        <x xmlns='http://jabber.org/protocol/muc#user'><invite to='dave@localhost'/></x></message>";
    for loses in [false, true] {
        let node = server().await;
        make_account(&node, "dave").await;
        let [alice, _bob, carol] = lunch(&node).await;
        let dave = online(&node, "dave").await;
        say(&node, &carol, &alice_is("admin")).await;
        say(&node, &carol, &members_only).await;
        heard(&node, &alice);
        let changes = alice_is(if loses { "member" } else { "admin" });
        one_behind_the_other(&node, (&carol, &changes), (&alice, invites)).await;

        let (told, reached) = (heard(&node, &alice), heard(&node, &dave));
        assert_eq!(told.contains("forbidden"), loses, "{told}");
        assert_eq!(reached.contains("<invite"), !loses, "{reached}");
        assert_eq!(lists_with(&node, "dave").await.is_empty(), loses);
        node.stop().await;
    }
}

/// What each who is told of something counts as.
const BYTES_OF_ONE: u64 = 64;

/// More bytes than anybody may send at once.
const EVERYTHING: u64 = 1 << 30;

/// Spends the budget of somebody's account.
fn spend_everything(node: &Node, who: &Hold) {
    let network = whoelse_core::network::Network::of([192, 0, 2, 7].into());
    node.note_peer(&who.session, "192.0.2.7:1", network).unwrap();
    assert!(node.pay_for_work_of(&who.session, EVERYTHING).is_some());
}

/// What somebody whose budget is spent owes for what is done meanwhile, in bytes.
async fn owed(node: &Arc<Node>, who: &Hold, what: impl Future<Output = ()>) -> u64 {
    let until = || node.pay_for_work_of(&who.session, 1).unwrap();
    let before = until();
    what.await;
    let (micros, rate) =
        (until().since(before).as_micros(), node.settings().limits.bytes_per_second);
    // What was asked with is a byte.
    (micros as u64 * rate).div_ceil(1_000_000) - 1
}

#[tokio::test]
async fn whoever_has_a_room_tell_something_pays_for_everybody_who_is_told() {
    let to_room = |id: &str, what: &str| {
        format!("<iq type='set' id='{id}' to='lunch@conference.localhost'>{what}</iq>")
    };
    let admin = |items: &str| {
        format!("<query xmlns='http://jabber.org/protocol/muc#admin'>{items}</query>")
    };
    let voice = |fields: &str| {
        format!(
            "<message to='lunch@conference.localhost'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field>\
             {fields}</x></message>"
        )
    };
    let field =
        |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
    let configure = format!(
        "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' \
         type='submit'>{}{}</x></query>",
        field("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig"),
        field("muc#roomconfig_roomname", "Lunch"),
    );
    let moderate = "<moderate xmlns='urn:xmpp:message-moderate:1' id='ID'>\
        <retract xmlns='urn:xmpp:message-retract:1'/></moderate>";
    let card = "<vCard xmlns='vcard-temp'><DESC>Lunch</DESC></vCard>";
    let (alice, carol) = (0, 2);
    // Who does it, and how many are told how much of it: each of three, or the moderator alone.
    for (by, xml, told) in [
        (carol, to_room("m", moderate), 3),
        (carol, to_room("c", &configure), 3),
        (carol, to_room("p", card), 3),
        (carol, to_room("k", &admin("<item nick='Bob' role='visitor'/>")), 3),
        (carol, to_room("a", &admin("<item jid='bob@localhost' affiliation='member'/>")), 3),
        (
            carol,
            to_room(
                "b",
                &admin(
                    "<item jid='x@far.example' affiliation='outcast'/>\
                     <item jid='y@far.example' affiliation='outcast'/>",
                ),
            ),
            6,
        ),
        (carol, voice(&(field("muc#roomnick", "Ali") + &field("muc#request_allow", "true"))), 3),
        (alice, voice(&field("muc#role", "participant")), 1),
    ] {
        let node = server().await;
        let all = lunch(&node).await;
        let id = "<message to='lunch@conference.localhost' type='groupchat' id='s'>\
            <body>hello</body></message>";
        say(&node, &all[1], id).await;
        let silence = to_room("v", &admin("<item nick='Ali' role='visitor'/>"));
        say(&node, &all[2], &silence).await;
        node.keeper.caught_up().await;
        let told_of = heard(&node, &all[by]);
        let stanza_id = told_of.split("by='lunch@conference.localhost'").next().unwrap();
        let stanza_id = stanza_id.rsplit("id='").next().unwrap().split('\'').next().unwrap();
        let xml = xml.replace("'ID'", &format!("'{stanza_id}'"));
        spend_everything(&node, &all[by]);

        let owes = owed(&node, &all[by], say(&node, &all[by], &xml)).await;

        assert!(owes >= told * BYTES_OF_ONE, "{xml}: {owes}");
        assert!(!heard(&node, &all[by]).contains("type='error'"), "{xml}");
        node.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_written_of_a_room_that_ends_meanwhile() {
    let to_lunch = |id: &str, what: &str| {
        format!("<iq type='set' id='{id}' to='lunch@conference.localhost'>{what}</iq>")
    };
    let destroy =
        to_lunch("d", "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>");
    for late in [
        "<vCard xmlns='vcard-temp'><DESC>Lunch</DESC></vCard>",
        "<query xmlns='http://jabber.org/protocol/muc#admin'>\
         <item jid='bob@localhost' affiliation='member'/></query>",
    ] {
        let node = server().await;
        let [_alice, _bob, carol] = lunch(&node).await;
        let room = node.store.room(1, "lunch").await.unwrap().unwrap().id;
        one_behind_the_other(&node, (&carol, &destroy), (&carol, &to_lunch("w", late))).await;

        assert!(heard(&node, &carol).contains("type='error'"), "{late}");
        assert_eq!(node.store.room_card(room).await.unwrap(), None);
        while node.store.is_gone_room_left().await.unwrap() {
            settle().await;
        }
        assert_eq!(node.store.room_affiliations(room).await.unwrap(), []);
        node.stop().await;
    }
}

#[tokio::test]
async fn whoever_blocks_a_room_or_leaves_it_while_they_enter_it_does_not_sit_in_it() {
    let block = "<iq type='set' id='c'><block xmlns='urn:xmpp:blocking'>\
        <item jid='lunch@conference.localhost'/></block></iq>";
    let leave = "<presence to='lunch@conference.localhost/Ali' type='unavailable'/>";
    let enter = "<presence to='lunch@conference.localhost/Ali'>\
        <x xmlns='http://jabber.org/protocol/muc'/></presence>";
    for meanwhile in [block, leave] {
        let node = server().await;
        let alice = online(&node, "alice").await;
        // The room has to be made.
        one_behind_the_other(&node, (&alice, enter), (&alice, meanwhile)).await;
        settle().await;
        node.keeper.caught_up().await;

        // It was not made to stay, so it is gone if nobody is in it.
        assert_eq!(node.store.room(1, "lunch").await.unwrap(), None, "{meanwhile}");
        node.stop().await;
    }
}

#[tokio::test]
async fn who_loads_a_room_to_enter_it_pays_for_that() {
    let node = server().await;
    let lists: Vec<(String, i64)> =
        (0..1_000).map(|n| (format!("m{n}@far.example"), MEMBER)).collect();
    make_room(&node, "dinner", &lists).await;
    let alice = online(&node, "alice").await;
    spend_everything(&node, &alice);
    let enters = "<presence to='dinner@conference.localhost/Ali'>\
        <x xmlns='http://jabber.org/protocol/muc'/></presence>";
    let enters = begin(&node, &alice, enters);

    let owes = owed(&node, &alice, async {
        // Whoever enters says nothing more until that is paid.
        let waits = tokio::spawn(finish(enters));
        while heard(&node, &alice).is_empty() {
            tokio::task::yield_now().await;
        }
        settle().await;
        assert!(!waits.is_finished());
        waits.abort();
    });

    assert!(owes.await >= 1_000 * BYTES_OF_ONE);
    node.stop().await;
}
