//! Rooms are as they were written, and one that goes leaves nothing that anybody sees.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{fresh, fresh_file, in_room, message};
use crate::{Appended, NewMessage, RoomAffiliation};

async fn room(tx: &mut Tx, name: &str) -> RoomRow {
    tx.create_room(1, name, None, b"config", b"secret").await.unwrap().unwrap()
}

/// Something that is said in a room.
fn said(n: i64, archive: i64) -> NewMessage {
    NewMessage { second: None, ..message(n, ("bob", archive), ("bob", archive)) }
}

#[tokio::test]
async fn a_room_has_its_name_once_in_a_domain_and_is_found_by_it() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    let other = tx.ensure_domain("other.example").await.unwrap();

    let lunch = room(&mut tx, "lunch").await;
    assert_eq!(tx.create_room(1, "lunch", None, b"", b"").await.unwrap(), None);
    let elsewhere = tx.create_room(other, "lunch", None, b"", b"").await.unwrap().unwrap();
    assert_ne!((lunch.id, lunch.archive), (elsewhere.id, elsewhere.archive));
    let config = RoomConfig { persistent: true, listed: false, title: "Lunch", bytes: b"\0new" };
    tx.configure_room(lunch.id, config).await.unwrap();
    let subject = RoomSubject { stanza: b"<message/>".to_vec(), by: "B".into(), at: 5 };
    tx.set_room_subject(lunch.id, &subject).await.unwrap();
    tx.commit().await.unwrap();

    let found = store.room(1, "lunch").await.unwrap().unwrap();
    let config = b"\0new".to_vec();
    assert_eq!(found, RoomRow { persistent: true, config, subject: Some(subject), ..lunch });
    assert_eq!(store.room(1, "Lunch").await.unwrap(), None);
}

#[tokio::test]
async fn strangers_find_the_rooms_that_are_listed_page_by_page() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    for (name, listed) in [("d", true), ("b", true), ("c", false), ("a", true)] {
        let room = room(&mut tx, name).await;
        let config = RoomConfig { persistent: true, listed, title: name, bytes: b"" };
        tx.configure_room(room.id, config).await.unwrap();
    }
    tx.commit().await.unwrap();

    let of = |names: &[&str]| -> Vec<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect()
    };
    let after = |name: &str| RoomPage::After(name.to_owned());
    let before = |name: &str| RoomPage::Before(name.to_owned());
    for (page, most, expected) in [
        (after(""), 9, &["a", "b", "d"][..]),
        (after(""), 2, &["a", "b"]),
        (after("b"), 9, &["d"]),
        (before("d"), 1, &["b"]),
        (before("d"), 9, &["a", "b"]),
        (RoomPage::Last, 2, &["b", "d"]),
    ] {
        assert_eq!(store.listed_rooms(1, &page, most).await.unwrap(), of(expected), "{page:?}");
    }
    assert_eq!(store.count_listed_rooms(1, 9).await.unwrap(), 3);
    assert_eq!(store.count_listed_rooms(1, 2).await.unwrap(), 2);
    assert_eq!(store.count_listed_rooms(2, 9).await.unwrap(), 0);
}

#[tokio::test]
async fn who_is_what_is_kept_and_forgotten_in_pieces() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    let rooms = [room(&mut tx, "a").await.id, room(&mut tx, "b").await.id];
    for room in rooms {
        tx.set_room_affiliation(room, &in_room("bob@#1", 1)).await.unwrap();
        tx.set_room_affiliation(room, &in_room("bob@#1", 4)).await.unwrap();
    }
    let eve = RoomAffiliation { nick: None, since: 9, ..in_room("eve@#1", 3) };
    let mal = RoomAffiliation { since: 7, ..in_room("mal@far.example", 3) };
    for one in [&eve, &mal] {
        tx.set_room_affiliation(rooms[0], one).await.unwrap();
    }

    assert_eq!(tx.eldest_in_room(rooms[0], 3).await.unwrap(), Some(mal.clone()));
    assert_eq!(tx.forget_room_name("bob@#1", 1).await.unwrap().len(), 1);
    assert_eq!(tx.forget_room_name("bob@#1", 5).await.unwrap().len(), 1);
    assert_eq!(tx.forget_room_name("bob@#1", 5).await.unwrap(), [0; 0]);
    assert!(!tx.has_room_affiliation(rooms[0], 4).await.unwrap());
    assert!(tx.has_room_affiliation(rooms[0], 3).await.unwrap());
    tx.remove_room_affiliation(rooms[0], "eve@#1").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.room_affiliations(rooms[0]).await.unwrap(), [mal]);
    assert_eq!(store.room_affiliations(rooms[1]).await.unwrap(), []);
}

#[tokio::test]
async fn a_domain_that_becomes_an_own_one_is_a_number_in_the_lists() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    let lunch = room(&mut tx, "lunch").await.id;
    for who in ["mal@far.example", "mal@not.far.example", "far.example"] {
        tx.set_room_affiliation(lunch, &in_room(who, 3)).await.unwrap();
    }
    tx.set_room_affiliation(lunch, &in_room("mal@#2", 1)).await.unwrap();

    assert_eq!(tx.ensure_domain("far.example").await.unwrap(), 2);
    tx.commit().await.unwrap();

    let expected = [in_room("#2", 3), in_room("mal@#2", 1), in_room("mal@not.far.example", 3)];
    assert_eq!(store.room_affiliations(lunch).await.unwrap(), expected);
}

#[tokio::test]
async fn what_is_said_in_a_room_is_in_its_archive_and_goes_with_it_in_pieces() {
    let (_dir, store) = fresh_file().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    let (lunch, tea) = (room(&mut tx, "lunch").await, room(&mut tx, "tea").await);
    let batch: Vec<NewMessage> =
        (1..=5).flat_map(|n| [said(n, lunch.archive), said(n, tea.archive)]).collect();
    let stored = tx.append(&batch).await.unwrap();
    assert_eq!(stored[9], Appended::Stored { first: 5, second: None });
    for n in 0..4 {
        tx.set_room_affiliation(lunch.id, &in_room(&format!("m{n}@#1"), 1)).await.unwrap();
    }

    assert!(tx.remove_room(lunch.id).await.unwrap());
    assert!(!tx.remove_room(lunch.id).await.unwrap());
    assert_eq!(tx.append(&[said(6, lunch.archive)]).await.unwrap(), [Appended::Gone]);
    let again = room(&mut tx, "lunch").await;
    assert_ne!((again.id, again.archive), (lunch.id, lunch.archive));
    tx.commit().await.unwrap();

    assert!(store.is_gone_room_left().await.unwrap());
    for removed in [3, 3, 3, 1] {
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.remove_gone_rooms(3).await.unwrap(), removed);
        tx.commit().await.unwrap();
    }
    assert!(!store.is_gone_room_left().await.unwrap());
    for (table, rows) in [("archive_rows", 5), ("bodies", 5), ("room_affiliations", 0)] {
        assert_eq!(store.count_rows(table).await, rows, "{table}");
    }
    store.assert_bytes_are_right().await;
}

#[tokio::test]
async fn a_room_counts_for_who_made_it_until_it_goes() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    for (name, maker) in [("lunch", Some(7)), ("tea", Some(7)), ("dinner", None)] {
        tx.create_room(1, name, maker, b"", b"").await.unwrap().unwrap();
    }
    // One that is there already is nobody's anew.
    assert_eq!(tx.create_room(1, "tea", Some(8), b"", b"").await.unwrap(), None);

    assert_eq!(tx.count_rooms_made(7).await.unwrap(), 2);
    assert_eq!(tx.count_rooms_made(8).await.unwrap(), 0);
    let tea = tx.room(1, "tea").await.unwrap().unwrap();
    assert!(tx.remove_room(tea.id).await.unwrap());
    assert_eq!(tx.count_rooms_made(7).await.unwrap(), 1);
}

#[tokio::test]
async fn rooms_that_pass_go_at_a_start() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    for name in ["a", "b", "c"] {
        room(&mut tx, name).await;
    }
    let stays = room(&mut tx, "d").await;
    let config = RoomConfig { persistent: true, listed: true, title: "", bytes: b"" };
    tx.configure_room(stays.id, config).await.unwrap();

    for removed in [2, 1, 0] {
        assert_eq!(tx.remove_passing_rooms(2).await.unwrap(), removed);
    }
    tx.commit().await.unwrap();
    assert_eq!(store.count_rows("rooms").await, 1);
}

#[tokio::test]
async fn a_room_shows_the_last_card_and_takes_it_along_when_it_goes() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    let lunch = room(&mut tx, "lunch").await;
    let tea = room(&mut tx, "tea").await;
    assert_eq!(lunch.photos, None);
    for (photos, card) in [("a", &b"<old/>"[..]), ("a b", b"<new/>")] {
        tx.set_room_card(lunch.id, photos, card).await.unwrap();
    }
    tx.set_room_card(tea.id, "", b"<tea/>").await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(store.room(1, "lunch").await.unwrap().unwrap().photos.as_deref(), Some("a b"));
    assert_eq!(store.room_card(lunch.id).await.unwrap().unwrap(), b"<new/>");
    assert_eq!(store.room(1, "tea").await.unwrap().unwrap().photos.as_deref(), Some(""));

    let mut tx = store.begin().await.unwrap();
    tx.remove_room_card(tea.id).await.unwrap();
    tx.remove_room(lunch.id).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(store.room(1, "tea").await.unwrap().unwrap().photos, None);
    for room in [lunch.id, tea.id] {
        assert_eq!(store.room_card(room).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_operator_sees_all_rooms_page_by_page_and_who_owns_them() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    tx.ensure_domain("localhost").await.unwrap();
    for name in ["c", "a", "b"] {
        let room = room(&mut tx, name).await;
        let listed = name == "b";
        let config = RoomConfig { persistent: !listed, listed, title: "T", bytes: b"" };
        tx.configure_room(room.id, config).await.unwrap();
        for who in ["eve@#1", "bob@#1"] {
            tx.set_room_affiliation(room.id, &in_room(who, if name == "c" { 1 } else { 4 }))
                .await
                .unwrap();
        }
        tx.append(&[said(1, room.archive)]).await.unwrap();
    }
    tx.fold(crate::journal::Folded::Everything).await.unwrap();
    tx.commit().await.unwrap();

    let first = store.all_rooms(1, "", 4, 2).await.unwrap();
    let names: Vec<&str> = first.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(first[0].owner.as_deref(), Some("bob@#1"));
    assert_eq!((first[0].persistent, first[0].listed), (true, false));
    assert_eq!((first[1].persistent, first[1].listed, &*first[1].title), (false, true, "T"));
    assert!(first[0].bytes > 0);
    let last = store.all_rooms(1, "b", 4, 2).await.unwrap();
    assert_eq!(last.len(), 1);
    assert_eq!((last[0].name.as_str(), last[0].owner.as_deref()), ("c", None));
    assert!(store.all_rooms(2, "", 4, 2).await.unwrap().is_empty());
}
