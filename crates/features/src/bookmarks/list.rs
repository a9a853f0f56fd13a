//! XEP-0048, 2: the list of all bookmarks in one element, as the bytes of whoever wrote it last.
//!
//! Bookmarks of rooms are found in it and changed one by one. Whatever else is in it, bookmarks of pages
//! and what nobody knows, stays as it is.

use std::collections::{HashMap, HashSet};

use whoelse_xmpp::{Edit, Jid, Stanza, ns};

use super::room::{NAME, Words, address};

/// How many times as long as a list its bookmarks may be when each stands alone, with the namespaces
/// that were declared for all (security row 60).
const MULTIPLE: usize = 4;

/// A list of bookmarks.
pub(super) struct List {
    list: Stanza,
    bookmarks: Vec<Bookmark>,
}

/// The bookmark of a room, in a list.
struct Bookmark {
    room: Jid,
    /// Its place among the children of the list.
    place: usize,
    element: Stanza,
}

impl List {
    /// Returns a list without bookmarks.
    pub fn empty() -> List {
        let list = format!("<storage xmlns='{}'/>", ns::BOOKMARKS_LIST);
        // What is written here can be read.
        List::read(list.as_bytes()).unwrap_or_else(|| unreachable!("an empty list is a list"))
    }

    /// Reads a list. `None` if it is none, or far longer when each of its bookmarks stands alone.
    pub fn read(list: &[u8]) -> Option<List> {
        let list = Stanza::parse(list.to_vec()).ok()?;
        if list.name() != "storage" || list.ns() != ns::BOOKMARKS_LIST {
            return None;
        }
        let rooms = list.children().iter().enumerate();
        let rooms = rooms.filter(|(_, child)| child.is(NAME, ns::BOOKMARKS_LIST));
        let (places, children): (Vec<usize>, Vec<_>) =
            rooms.map(|(place, child)| (place, child.clone())).unzip();
        let each = list.apart(&children, list.bytes().len().saturating_mul(MULTIPLE))?;
        let mut bookmarks = Vec::new();
        for (place, bytes) in places.into_iter().zip(each) {
            let element = Stanza::parse(bytes).ok()?;
            let room = element.attr("jid").and_then(|jid| address(&jid));
            bookmarks.extend(room.map(|room| Bookmark { room, place, element }));
        }
        Some(List { list, bookmarks })
    }

    /// The list as it came.
    pub fn bytes(&self) -> &[u8] {
        self.list.bytes()
    }

    /// How many bookmarks of rooms are in it.
    pub fn rooms(&self) -> u64 {
        self.bookmarks.len() as u64
    }

    /// Whether these rooms are all in it.
    pub fn has_all<'a>(&self, mut rooms: impl Iterator<Item = &'a Jid>) -> bool {
        let here: HashSet<&Jid> = self.bookmarks.iter().map(|bookmark| &bookmark.room).collect();
        rooms.all(|room| here.contains(room))
    }

    /// The rooms in it, each once with what the last of its bookmarks says.
    pub fn all(&self) -> Vec<(&Jid, Words)> {
        let mut all: Vec<(&Jid, Words)> = Vec::new();
        let mut places = HashMap::new();
        for bookmark in &self.bookmarks {
            let words = Words::of(&bookmark.element);
            match places.get(&bookmark.room) {
                Some(place) => {
                    let (_, before): &mut (&Jid, Words) = &mut all[*place];
                    *before = words;
                }
                None => {
                    places.insert(&bookmark.room, all.len());
                    all.push((&bookmark.room, words));
                }
            }
        }
        all
    }

    /// Returns the list with these words about a room. `None` if it says so already, or cannot.
    pub fn with(&self, room: &Jid, words: &Words) -> Option<List> {
        self.with_all(&[(room.clone(), words.clone())])
    }

    /// Returns the list with these words about rooms, the last about each. `None` if it says so
    /// already, or cannot.
    pub fn with_all(&self, all: &[(Jid, Words)]) -> Option<List> {
        let words: HashMap<&Jid, &Words> = all.iter().map(|(room, words)| (room, words)).collect();
        let (mut children, mut written) = (Vec::new(), HashSet::new());
        for bookmark in &self.bookmarks {
            if let Some(words) = words.get(&bookmark.room) {
                written.insert(&bookmark.room);
                children.extend(words.put_into(&bookmark.element).map(|it| (bookmark.place, it)));
            }
        }
        let mut add = Vec::new();
        for (room, _) in all {
            if written.insert(room) {
                add.extend(words[room].write(ns::BOOKMARKS_LIST, Some(room.as_str())));
            }
        }
        self.changed(&children, &add)
    }

    /// Returns the list without the rooms for which this is true. `None` if there is none of them in it.
    pub fn without(&self, is_gone: impl Fn(&Jid) -> bool) -> Option<List> {
        let gone = self.bookmarks.iter().filter(|bookmark| is_gone(&bookmark.room));
        let children: Vec<_> = gone.map(|bookmark| (bookmark.place, Vec::new())).collect();
        self.changed(&children, &[])
    }

    /// Returns the list with other addresses for rooms. One that is in it already stays as it is. `None`
    /// if no room gets another.
    pub fn moved(&self, moved: impl Fn(&Jid) -> Option<Jid>) -> Option<List> {
        let rooms = self.bookmarks.iter().map(|bookmark| bookmark.room.clone());
        let mut there: HashSet<Jid> = rooms.collect();
        let mut children = Vec::new();
        for Bookmark { room, place, element } in &self.bookmarks {
            let Some(room) = moved(room) else { continue };
            let attributes = [("jid", Some(room.as_str()))];
            let edit = Edit { attributes: &attributes, ..Edit::default() };
            let written = element.edited(&edit)?;
            children.push((*place, if there.insert(room) { written } else { Vec::new() }));
        }
        self.changed(&children, &[])
    }

    fn changed(&self, children: &[(usize, Vec<u8>)], add: &[u8]) -> Option<List> {
        if children.is_empty() && add.is_empty() {
            return None;
        }
        let edit = Edit { children, add, ..Edit::default() };
        self.list.edited(&edit).and_then(|list| List::read(&list))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn nick(nick: &str) -> Words {
        Words { nick: Some(nick.to_owned()), ..Words::default() }
    }

    fn text(list: &List) -> &str {
        std::str::from_utf8(list.bytes()).unwrap()
    }

    const LIST: &str = "<storage xmlns='storage:bookmarks'>\n<url name='Page' url='http://x'/>\
        <conference jid='One@Rooms.X' name='1'><minimize xmlns='gajim'>true</minimize></conference>\
        <conference name='no address'/><conference jid='rooms.x'/><thing xmlns='urn:x'/>\
        <conference jid='two@rooms.x'><nick>me</nick></conference></storage>";

    #[test]
    fn rooms_move_with_all_that_is_said_of_them_to_where_none_is_yet() {
        let list = List::read(LIST.as_bytes()).unwrap();
        let all_to = |to: &'static str| move |_: &Jid| Some(jid(to));
        let one = |room: &Jid| (*room == jid("one@rooms.x")).then(|| jid("one@new.x"));

        assert!(list.moved(|_| None).is_none());
        let expected = LIST.replace(
            "<conference jid='One@Rooms.X' name='1'>",
            "<conference xmlns='storage:bookmarks' name='1' jid='one@new.x'>",
        );
        assert_eq!(text(&list.moved(one).unwrap()), expected);
        let first = list.moved(all_to("new@x")).unwrap();
        assert_eq!(
            first.all(),
            [(&jid("new@x"), Words { name: Some("1".into()), ..Words::default() })]
        );
        let to_second = |room: &Jid| (*room == jid("one@rooms.x")).then(|| jid("two@rooms.x"));
        let second = list.moved(to_second).unwrap();
        assert_eq!(second.all(), [(&jid("two@rooms.x"), nick("me"))]);
    }

    #[test]
    fn a_list_is_one_element_of_its_namespace() {
        for (xml, rooms) in [
            ("<storage xmlns='storage:bookmarks'/>", Some(0)),
            (LIST, Some(2)),
            (
                "<b:storage xmlns:b='storage:bookmarks'><b:conference jid='a@x'/></b:storage>",
                Some(1),
            ),
            ("<storage xmlns='urn:x'/>", None),
            ("<conference xmlns='storage:bookmarks' jid='a@x'/>", None),
            ("", None),
        ] {
            assert_eq!(List::read(xml.as_bytes()).map(|list| list.rooms()), rooms, "{xml}");
        }
        assert_eq!(List::empty().rooms(), 0);
    }

    #[test]
    fn a_bookmark_that_changes_leaves_the_others_and_what_is_unknown() {
        let list = List::read(LIST.as_bytes()).unwrap();

        let changed = list.with(&jid("one@rooms.x"), &nick("you")).unwrap();

        assert_eq!(
            text(&changed),
            LIST.replace(
                "<conference jid='One@Rooms.X' name='1'><minimize xmlns='gajim'>true</minimize>",
                "<conference xmlns='storage:bookmarks' jid='One@Rooms.X'>\
                 <minimize xmlns='gajim'>true</minimize>\
                 <nick xmlns='storage:bookmarks'>you</nick>"
            )
        );
        assert!(changed.with(&jid("one@rooms.x"), &nick("you")).is_none());
    }

    #[test]
    fn bookmarks_come_and_go() {
        let list = List::read(LIST.as_bytes()).unwrap();

        let three = list.with(&jid("three@rooms.x"), &nick("me")).unwrap();
        let two = three.without(|room| room.local() == Some("two")).unwrap();

        let all: Vec<&str> = two.all().into_iter().map(|(room, _)| room.as_str()).collect();
        assert_eq!(all, ["one@rooms.x", "three@rooms.x"]);
        assert!(text(&two).contains("<url ") && text(&two).contains("no address"));
        assert!(two.without(|room| room.local() == Some("two")).is_none());
        assert_eq!(two.without(|_| true).unwrap().rooms(), 0);
    }

    #[test]
    fn of_two_bookmarks_of_a_room_the_last_counts_and_both_change() {
        let twice = "<storage xmlns='storage:bookmarks'><conference jid='a@x'><nick>1</nick>\
            </conference><conference jid='a@x'><nick>2</nick></conference></storage>";
        let list = List::read(twice.as_bytes()).unwrap();

        assert_eq!(list.all(), [(&jid("a@x"), nick("2"))]);
        let changed = list.with(&jid("a@x"), &nick("3")).unwrap();
        assert_eq!((changed.rooms(), changed.all()), (2, vec![(&jid("a@x"), nick("3"))]));
    }

    #[test]
    fn many_bookmarks_come_and_change_at_once_the_last_words_of_each() {
        let list = List::read(LIST.as_bytes()).unwrap();
        let words = [("three", "1"), ("two", "2"), ("three", "3"), ("four", "4")];
        let words = words.map(|(room, it)| (jid(&format!("{room}@rooms.x")), nick(it)));

        let changed = list.with_all(&words).unwrap();

        let all = changed.all();
        let all: Vec<(&str, Option<&str>)> =
            all.iter().map(|(room, words)| (room.as_str(), words.nick.as_deref())).collect();
        assert_eq!(
            all,
            [
                ("one@rooms.x", None),
                ("two@rooms.x", Some("2")),
                ("three@rooms.x", Some("3")),
                ("four@rooms.x", Some("4"))
            ]
        );
        assert!(changed.with_all(&words).is_none());
    }

    #[test]
    fn bookmarks_that_would_be_many_times_as_long_alone_are_no_list() {
        let many = |count: usize| {
            let declared = format!("urn:{}", "x".repeat(1000));
            let rooms = "<p:conference jid='a@x'/>".repeat(count);
            format!(
                "<p:storage xmlns:p='storage:bookmarks' xmlns:q='{declared}'>{rooms}</p:storage>"
            )
        };
        assert!(List::read(many(100).as_bytes()).is_some());
        let used = many(100).replace("jid='a@x'", "jid='a@x' q:a=''");
        assert!(List::read(used.as_bytes()).is_none());
    }
}
