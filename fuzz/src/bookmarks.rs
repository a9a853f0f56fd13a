//! Bookmarks say the same in every form, whichever of them is changed, and however it is written.

use std::collections::BTreeMap;

use whoelse_xmpp::{Stanza, ns};

use crate::choices::Choices;
use crate::house::House;

const ROOMS: [&str; 4] = ["one@rooms.x", "two@rooms.x", "three@rooms.y", "four@rooms.y"];
const TEXTS: [&str; 4] = ["me", "&lt;&amp;>", "&apos;&quot;", "&#x1F600; x"];

/// What both forms say of a room.
#[derive(Debug, Default, PartialEq)]
struct Words {
    name: Option<String>,
    autojoin: bool,
    nick: Option<String>,
    password: Option<String>,
}

/// By room.
type Bookmarks = BTreeMap<String, Words>;

/// Changes the bookmarks of somebody as `data` describes, and reads all forms after each change.
pub fn changes(data: &[u8]) {
    let mut choices = Choices::new(data);
    House::with(|house| {
        set(house, &list(&mut choices));
        for _ in 0..4 {
            match choices.byte() % 4 {
                0 => set(house, &list(&mut choices)),
                1 => {
                    let list = list(&mut choices);
                    let item = format!("<item id='current'>{list}</item>");
                    pubsub(house, &format!("<publish node='{}'>{item}</publish>", LIST));
                }
                2 => {
                    let room = choices.pick(&ROOMS);
                    let bookmark = bookmark(&mut choices, ns::BOOKMARKS, None);
                    let item = format!("<item id='{room}'>{bookmark}</item>");
                    let node = ns::BOOKMARKS;
                    pubsub(house, &format!("<publish node='{node}'>{item}</publish>"));
                }
                _ => {
                    let (room, node) = (choices.pick(&ROOMS), ns::BOOKMARKS);
                    let item = format!("<item id='{room}'/>");
                    pubsub(house, &format!("<retract node='{node}'>{item}</retract>"));
                }
            }
            agree(house);
        }
    });
}

const LIST: &str = ns::BOOKMARKS_LIST;

/// A list with some rooms, written in one of the ways that there are to write one.
fn list(choices: &mut Choices<'_>) -> String {
    let mut inside = String::new();
    for _ in 0..choices.below(5) {
        let room = choices.pick(&ROOMS);
        inside += &bookmark(choices, LIST, Some(room));
        inside +=
            choices.pick(&["", "\n ", "<url name='x' url='http://x'/>", "<x xmlns='urn:x'/>"]);
    }
    format!("<storage xmlns='{LIST}' xmlns:u='urn:u'>{inside}</storage>")
}

fn bookmark(choices: &mut Choices<'_>, namespace: &str, room: Option<&str>) -> String {
    let prefix = choices.pick(&["", "p:"]);
    let declared = if prefix.is_empty() { "xmlns" } else { "xmlns:p" };
    let mut attributes = room.map(|room| format!(" jid='{room}'")).unwrap_or_default();
    if choices.once_in(2) {
        attributes += &format!(" name=\"{}\"", choices.pick(&TEXTS));
    }
    attributes += choices.pick(&["", " autojoin='true'", " autojoin='1'", " autojoin='false'"]);
    let mut inside = String::new();
    for name in ["nick", "password"] {
        if choices.once_in(2) {
            let text = choices.pick(&TEXTS);
            inside += &format!("<{prefix}{name}>{text}</{prefix}{name}>");
        }
    }
    inside += choices.pick(&["", "<o xmlns='urn:o'><nick/></o>", " t "]);
    format!(
        "<{prefix}conference {declared}='{namespace}'{attributes}>{inside}</{prefix}conference>"
    )
}

fn set(house: &mut House, list: &str) {
    let query = format!("<query xmlns='{}'>{list}</query>", ns::PRIVATE_STORAGE);
    let (answer, _) = house.ask("s", &format!("<iq type='set' id='s'>{query}</iq>"));
    assert_eq!(answer.type_(), Some("result"), "{list}");
}

fn pubsub(house: &mut House, what: &str) {
    let pubsub = format!("<pubsub xmlns='{}'>{what}</pubsub>", ns::PUBSUB);
    let (answer, _) = house.ask("p", &format!("<iq type='set' id='p'>{pubsub}</iq>"));
    // What is retracted may not be there; everything else is taken.
    let is_taken = answer.type_() == Some("result");
    assert!(is_taken || what.starts_with("<retract"), "{what}: {answer:?}");
}

fn agree(house: &mut House) {
    let query = format!("<query xmlns='{}'><storage xmlns='{LIST}'/></query>", ns::PRIVATE_STORAGE);
    let (answer, _) = house.ask("g", &format!("<iq type='get' id='g'>{query}</iq>"));
    let private = in_list(&inside(&answer).remove(0));
    let lists = items(house, LIST);
    let of_node = lists.first().map(|(_, list)| in_list(list)).unwrap_or_default();
    let one_by_one: Bookmarks = items(house, ns::BOOKMARKS)
        .into_iter()
        .map(|(room, bookmark)| (room, words(&bookmark)))
        .collect();

    assert_eq!(private, of_node);
    assert_eq!(private, one_by_one);
}

/// The items of a node, with their ids.
fn items(house: &mut House, node: &str) -> Vec<(String, Stanza)> {
    let pubsub = format!("<pubsub xmlns='{}'><items node='{node}'/></pubsub>", ns::PUBSUB);
    let (answer, _) = house.ask("i", &format!("<iq type='get' id='i'>{pubsub}</iq>"));
    if answer.type_() == Some("error") {
        return Vec::new();
    }
    let items = inside(&answer).remove(0);
    let item = |child| {
        let item = alone(&items, child);
        let id = item.attr("id").expect("an id").into_string();
        (id, alone(&item, &item.children()[0]))
    };
    items.children().iter().map(item).collect()
}

/// What is in the one element of an answer.
fn inside(answer: &Stanza) -> Vec<Stanza> {
    let payload = alone(answer, &answer.children()[0]);
    payload.children().iter().map(|child| alone(&payload, child)).collect()
}

fn alone(stanza: &Stanza, child: &whoelse_xmpp::Child) -> Stanza {
    let alone = stanza.alone(std::slice::from_ref(child), usize::MAX).expect("it stands alone");
    Stanza::parse(alone).expect("it can be read")
}

/// The rooms of a list; the last bookmark of a room counts.
fn in_list(list: &Stanza) -> Bookmarks {
    let bookmarks = list.children().iter().filter(|child| child.is("conference", LIST));
    let bookmarks = bookmarks.map(|child| alone(list, child));
    bookmarks.map(|it| (it.attr("jid").expect("a room").into_string(), words(&it))).collect()
}

fn words(bookmark: &Stanza) -> Words {
    let text =
        |name| bookmark.child(name, bookmark.ns()).map(|it| bookmark.text_of(it).to_string());
    Words {
        name: bookmark.attr("name").map(String::from),
        autojoin: matches!(bookmark.attr("autojoin").as_deref(), Some("true" | "1")),
        nick: text("nick"),
        password: text("password"),
    }
}
