//! Security row 60: an inner element that stands alone means what it meant inside, and is no longer
//! than what it was taken out of.

use whoelse_xmpp::{Child, Frame, Limits, Scanner, Stanza, ns};

use crate::choices::Choices;
use crate::scanner::grammar;
use crate::scanner::oracle::{self, Element};

/// More than the declaration of a prefix that the stream header makes, which no stanza holds.
const OF_THE_HEADER: usize = 64;

/// Takes elements out of a stream described by `data`, and reads them again elsewhere.
pub fn inner_elements(data: &[u8]) {
    let mut choices = Choices::new(data);
    let limits = Limits::AFTER_LOGIN;
    let stream = grammar::stream(&mut choices, ns::CLIENT, limits);
    let reading = oracle::read(&stream);
    let mut scanner = Scanner::new(ns::CLIENT, limits);
    scanner.push(&stream);
    let mut elements = reading.elements.iter();
    while let Ok(Some(frame)) = scanner.next() {
        let Frame::Element(stanza) = frame else { continue };
        let Some(element) = elements.next() else { panic!("rxml accepts the element") };
        for child in stanza.children() {
            let place = offset(&stanza, child) + element.start;
            let Some(meaning) = element.children.iter().find(|it| it.start == place) else {
                panic!("rxml sees the child")
            };
            stands_alone(&stanza, child, meaning);
            let inner = stanza.grandchildren(child);
            assert_eq!(inner.len(), meaning.children.len());
            for (one, meaning) in inner.iter().zip(&meaning.children) {
                stands_alone(&stanza, one, meaning);
            }
            several(&stanza, &inner);
        }
    }
}

fn offset(stanza: &Stanza, child: &Child) -> usize {
    stanza.slice(child).as_ptr() as usize - stanza.bytes().as_ptr() as usize
}

fn stands_alone(stanza: &Stanza, child: &Child, meaning: &Element) {
    let Some(alone) = stanza.alone(std::slice::from_ref(child), usize::MAX) else {
        assert!(meaning.attributes.len() > 30, "an element that stands nowhere");
        return;
    };
    let (length, most) = (alone.len(), stanza.bytes().len() + OF_THE_HEADER);
    assert!(length <= most, "{length} bytes of {most}");
    let inside = [b"<iq>".as_slice(), &alone, b"</iq>"].concat();
    assert!(Stanza::parse(inside.clone()).is_ok(), "{}", String::from_utf8_lossy(&inside));
    let stream = [grammar::plain_header(ns::CLIENT).as_bytes(), &inside].concat();
    let reading = oracle::read(&stream);
    let again = reading.elements.first().and_then(|iq| iq.children.first());
    let Some(again) = again else { panic!("not read: {}", String::from_utf8_lossy(&inside)) };
    same(again, meaning);
}

fn same(one: &Element, other: &Element) {
    assert_eq!((&one.name, &one.ns, &one.text), (&other.name, &other.ns, &other.text));
    assert_eq!(one.attributes, other.attributes);
    assert_eq!(one.children.len(), other.children.len());
    one.children.iter().zip(&other.children).for_each(|(one, other)| same(one, other));
}

/// Several elements are each of them, one after the other, within the room that there is.
fn several(stanza: &Stanza, siblings: &[Child]) {
    let each: Option<Vec<_>> =
        siblings.iter().map(|one| stanza.alone(std::slice::from_ref(one), usize::MAX)).collect();
    let Some(each) = each.map(|each| each.concat()) else { return };
    assert_eq!(stanza.alone(siblings, each.len()).as_ref(), Some(&each));
    if let Some(less) = each.len().checked_sub(1) {
        assert_eq!(stanza.alone(siblings, less), None);
    }
}
