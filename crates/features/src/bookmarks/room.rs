//! A bookmark of one room: what both forms of it say, and how one of them is changed to say the same as
//! the other.
//!
//! Whatever else a bookmark has, only one of the forms can express, or nobody knows it. It stays.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Edit, Jid, Stanza};

/// The name of the element in either form.
pub(super) const NAME: &str = "conference";

/// Reads the address of a room. A host alone is none.
pub(super) fn address(text: &str) -> Option<Jid> {
    Jid::parse(text).ok().filter(|room| room.local().is_some())
}

/// What a bookmark says in either form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub name: Option<String>,
    /// Whether clients enter the room by themselves.
    pub autojoin: bool,
    pub nick: Option<String>,
    pub password: Option<String>,
}

impl Words {
    /// Reads the words of a bookmark, in whichever of the two namespaces it is.
    pub fn of(bookmark: &Stanza) -> Words {
        let text = |name| bookmark.child_text(name, bookmark.ns()).map(String::from);
        let autojoin = bookmark.attr("autojoin");
        Words {
            name: bookmark.attr("name").map(String::from),
            autojoin: autojoin.is_some_and(|it| it == "true" || it == "1"),
            nick: text("nick"),
            password: text("password"),
        }
    }

    /// Writes a bookmark with these words and no others. Only in the list it says of which room it is.
    pub fn write(&self, namespace: &'static str, room: Option<&str>) -> Vec<u8> {
        let mut bookmark = Element::new(NAME)
            .xmlns(namespace)
            .attr_opt("jid", room)
            .attr_opt("name", self.name.as_deref())
            .attr_opt("autojoin", self.autojoin.then_some("true"));
        for (name, text) in self.texts() {
            if let Some(text) = text {
                bookmark = bookmark.text_child(name, text);
            }
        }
        bookmark.finish().to_vec()
    }

    /// Returns a bookmark with these words instead of its own. `None` if it has these already, or so
    /// many attributes that it can have no more.
    pub fn put_into(&self, bookmark: &Stanza) -> Option<Vec<u8>> {
        let present = Words::of(bookmark);
        if present == *self {
            return None;
        }
        let mut attributes = Vec::new();
        if present.name != self.name {
            attributes.push(("name", self.name.as_deref()));
        }
        if present.autojoin != self.autojoin {
            attributes.push(("autojoin", self.autojoin.then_some("true")));
        }
        let (mut children, mut add) = (Vec::new(), Vec::new());
        for ((name, text), (_, before)) in self.texts().into_iter().zip(present.texts()) {
            if text == before {
                continue;
            }
            let mut written = text.map(|text| written(name, bookmark.ns(), text));
            for (place, child) in bookmark.children().iter().enumerate() {
                if child.is(name, bookmark.ns()) {
                    children.push((place, written.take().unwrap_or_default()));
                }
            }
            add.extend(written.unwrap_or_default());
        }
        children.sort_unstable();
        bookmark.edited(&Edit { attributes: &attributes, children: &children, add: &add })
    }

    fn texts(&self) -> [(&'static str, Option<&String>); 2] {
        [("nick", self.nick.as_ref()), ("password", self.password.as_ref())]
    }
}

fn written(name: &'static str, namespace: &str, text: &str) -> Vec<u8> {
    Element::new(name).xmlns(namespace).text(text).finish().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_xmpp::ns;

    use super::*;

    fn parse(xml: &str) -> Stanza {
        Stanza::parse(xml.to_owned()).unwrap()
    }

    fn words(xml: &str) -> Words {
        Words::of(&parse(xml))
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    const NEW: &str = "<conference xmlns='urn:xmpp:bookmarks:1' name='The Play' autojoin='1'>\
        <nick>JC</nick><password>Gl0b3</password></conference>";

    #[test]
    fn both_forms_say_the_same() {
        let old = "<conference xmlns='storage:bookmarks' jid='play@x' name='The Play' \
            autojoin='true'><nick>JC</nick><password>Gl0b3</password></conference>";

        assert_eq!(words(NEW), words(old));
        assert_eq!(text(words(NEW).write(ns::BOOKMARKS_LIST, Some("play@x"))), old);
        assert_eq!(words(&text(words(old).write(ns::BOOKMARKS, None))), words(old));
        let least = "<conference xmlns='urn:xmpp:bookmarks:1'/>";
        assert_eq!(words(least), Words::default());
        assert_eq!(text(Words::default().write(ns::BOOKMARKS, None)), least);
    }

    #[test]
    fn a_nick_of_another_namespace_is_not_the_nick() {
        let other = "<conference xmlns='urn:xmpp:bookmarks:1'><nick xmlns='urn:x'>no</nick>\
            </conference>";
        assert_eq!(words(other), Words::default());
    }

    #[test]
    fn only_what_differs_is_changed() {
        let bookmark = "<b:conference xmlns:b='urn:xmpp:bookmarks:1' color='red' name='Old'>\
            <b:nick>me</b:nick><b:extensions><state xmlns='urn:s' min='1'/></b:extensions>\
            </b:conference>";
        let wanted = Words { nick: None, password: Some("<x>".to_owned()), ..words(NEW) };

        let changed = text(wanted.put_into(&parse(bookmark)).unwrap());

        assert_eq!(
            changed,
            "<b:conference xmlns:b='urn:xmpp:bookmarks:1' color='red' name='The Play' \
             autojoin='true'><b:extensions><state xmlns='urn:s' min='1'/></b:extensions>\
             <password xmlns='urn:xmpp:bookmarks:1'>&lt;x&gt;</password></b:conference>"
        );
        assert_eq!(words(&changed), wanted);
        assert_eq!(wanted.put_into(&parse(&changed)), None);
        assert_eq!(words(NEW).put_into(&parse(NEW)), None);
    }

    #[test]
    fn a_text_that_is_there_twice_is_there_once_when_it_was_changed() {
        let twice = "<conference xmlns='storage:bookmarks' jid='a@x'><nick>a</nick><nick>b</nick>\
            </conference>";
        let wanted = Words { nick: Some("c".to_owned()), ..Words::default() };

        let changed = text(wanted.put_into(&parse(twice)).unwrap());

        assert_eq!(
            changed,
            "<conference xmlns='storage:bookmarks' jid='a@x'>\
             <nick xmlns='storage:bookmarks'>c</nick></conference>"
        );
    }
}
