//! An element that is changed as bytes means what it meant, but for what was changed.

use whoelse_xmpp::{Edit, Frame, Limits, Scanner, Stanza, ns};

use crate::choices::Choices;
use crate::scanner::grammar;
use crate::scanner::oracle::{self, Element};

/// What is put in place of children, and added: it means the same anywhere.
const NEW: &str = "<n:new xmlns:n='urn:new' n:a='&lt;'>t</n:new>";
/// Attributes that are set or taken away.
const NAMES: [&str; 4] = ["id", "to", "from", "new"];

/// Changes elements of a stream that is described by `data`, and reads them again.
pub fn elements(data: &[u8]) {
    let mut choices = Choices::new(data);
    let limits = Limits::AFTER_LOGIN;
    let stream = grammar::stream(&mut choices, ns::CLIENT, limits);
    let mut scanner = Scanner::new(ns::CLIENT, limits);
    scanner.push(&stream);
    while let Ok(Some(frame)) = scanner.next() {
        let Frame::Element(stanza) = frame else { continue };
        for child in stanza.children() {
            let alone = stanza.alone(std::slice::from_ref(child), usize::MAX);
            // Some stand nowhere but where they are.
            let Some(Ok(element)) = alone.map(Stanza::parse) else { continue };
            changed(&element, &mut choices);
        }
    }
}

fn changed(element: &Stanza, choices: &mut Choices<'_>) {
    let before = read(element.bytes());
    let value = choices.pick(&["", "'", "<&>\"", "a b"]);
    let of = |name: &'static str, how: u8| match how % 3 {
        0 => None,
        1 => Some((name, None)),
        _ => Some((name, Some(value))),
    };
    let attributes: Vec<_> =
        NAMES.into_iter().filter_map(|name| of(name, choices.byte())).collect();
    let mut children = Vec::new();
    for place in 0..element.children().len() {
        match choices.byte() % 4 {
            0 => children.push((place, Vec::new())),
            1 => children.push((place, NEW.into())),
            _ => {}
        }
    }
    let add = if choices.once_in(2) { NEW } else { "" };
    let edit = Edit { attributes: &attributes, children: &children, add: add.as_bytes() };

    let Some(edited) = element.edited(&edit) else {
        assert!(before.attributes.len() + attributes.len() > 20, "an element of few attributes");
        return;
    };

    let text = String::from_utf8_lossy(&edited);
    assert!(Stanza::parse(edited.clone()).is_ok(), "{text}");
    let after = read(&edited);
    assert_eq!((&after.name, &after.ns), (&before.name, &before.ns), "{text}");
    assert_eq!(after.text, before.text, "{text}");
    for (ns, name, value) in &before.attributes {
        let is_set = ns.is_empty() && attributes.iter().any(|(set, _)| set == name);
        assert!(is_set || after.attribute(ns, name) == Some(value), "{name} in {text}");
    }
    for (name, value) in &attributes {
        assert_eq!(after.attribute("", name), *value, "{name} in {text}");
    }
    let new = read(NEW.as_bytes());
    let kept = before.children.iter().enumerate().filter_map(|(place, child)| {
        match children.iter().find(|(changed, _)| *changed == place) {
            None => Some(child),
            Some((_, instead)) => (!instead.is_empty()).then_some(&new),
        }
    });
    let expected: Vec<&Element> = kept.chain((!add.is_empty()).then_some(&new)).collect();
    assert_eq!(after.children.len(), expected.len(), "{text}");
    after.children.iter().zip(expected).for_each(|(one, other)| same(one, other));
}

/// What rxml reads in an element that stands alone.
fn read(element: &[u8]) -> Element {
    let stream = [grammar::plain_header(ns::CLIENT).as_bytes(), element].concat();
    let element = oracle::read(&stream).elements.into_iter().next();
    element.unwrap_or_else(|| panic!("not read: {}", String::from_utf8_lossy(&stream)))
}

fn same(one: &Element, other: &Element) {
    assert_eq!((&one.name, &one.ns, &one.text), (&other.name, &other.ns, &other.text));
    assert_eq!(one.attributes, other.attributes);
    assert_eq!(one.children.len(), other.children.len());
    one.children.iter().zip(&other.children).for_each(|(one, other)| same(one, other));
}
