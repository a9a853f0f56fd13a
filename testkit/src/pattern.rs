//! Compares what is expected with what was received: equal except for wildcards, which may
//! remember.
//!
//! In text and attribute values `{any}` matches anything; `{name}` matches anything at first, and
//! later only the same text. As content, `{anything}` allows any further children and text. White
//! space around children and the order of attributes do not matter.

use std::collections::BTreeMap;

use crate::tree::{Content, Tree};

/// The values that wildcards have matched.
pub type Names = BTreeMap<String, String>;

/// The wildcard that does not remember.
const ANY: &str = "any";
/// Before the name of something that is known: anything else.
const NOT: &str = "not-";
/// The wildcard among children.
const ANYTHING: &str = "{anything}";
/// The namespace of `xml:lang`.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Compares an element; remembers the values of its wildcards if it matches.
///
/// The element's own `xml:lang` is compared only if the scene names one, since every stanza has
/// that of the sender's stream.
pub fn matches(expected: &Tree, heard: &Tree, names: &mut Names) -> Result<(), String> {
    let mut heard = heard.clone();
    let lang = (XML.to_owned(), "lang".to_owned());
    if !expected.attributes.contains_key(&lang) {
        heard.attributes.remove(&lang);
    }
    let mut tried = names.clone();
    element(expected, &heard, &mut tried)?;
    *names = tried;
    Ok(())
}

fn element(expected: &Tree, heard: &Tree, names: &mut Names) -> Result<(), String> {
    let name = &expected.name;
    if *name != heard.name {
        return Err(format!("<{}/> where <{name}/> was expected", heard.name));
    }
    if expected.ns != heard.ns {
        return Err(format!("<{name}/> is in `{}`, not in `{}`", heard.ns, expected.ns));
    }
    for (key, value) in &expected.attributes {
        let Some(found) = heard.attributes.get(key) else {
            return Err(format!("<{name}/> has no `{}`", key.1));
        };
        text(value, found, names)
            .map_err(|why| format!("the `{}` of <{name}/> is {why}", key.1))?;
    }
    if let Some(key) = heard.attributes.keys().find(|key| !expected.attributes.contains_key(*key)) {
        return Err(format!("<{name}/> has an unexpected `{}`", key.1));
    }
    content(expected, heard, names)
}

fn content(expected: &Tree, heard: &Tree, names: &mut Names) -> Result<(), String> {
    let name = &expected.name;
    let open = expected.text().contains(ANYTHING);
    let (wanted, found): (Vec<_>, Vec<_>) =
        (expected.children().collect(), heard.children().collect());
    if !open && (wanted.is_empty() || found.is_empty()) {
        let (wanted, found) = (said(expected), said(heard));
        text(&wanted, &found, names).map_err(|why| format!("the text of <{name}/> is {why}"))?;
    }
    let mut found = found.into_iter();
    for wanted in wanted {
        let mut why = format!("<{name}/> holds no <{}/>", wanted.name);
        loop {
            let Some(child) = found.next() else { return Err(why) };
            let mut tried = names.clone();
            match element(wanted, child, &mut tried) {
                Ok(()) => {
                    *names = tried;
                    break;
                }
                // With `{anything}` a later child may match.
                Err(reason) if open => why = reason,
                Err(reason) => return Err(reason),
            }
        }
    }
    match found.next() {
        Some(more) if !open => Err(format!("<{name}/> holds an unexpected <{}/>", more.name)),
        _ => Ok(()),
    }
}

/// Returns the text of an element, without white space around children.
fn said(tree: &Tree) -> String {
    let text = tree.text();
    let blank = text.trim_ascii().is_empty() && tree.children().next().is_some();
    if blank { String::new() } else { text }
}

/// Compares a value; the error says what it is instead.
pub fn text(expected: &str, heard: &str, names: &mut Names) -> Result<(), String> {
    let parts = parts(expected);
    if fits(&parts, heard, names) {
        return Ok(());
    }
    Err(format!("`{heard}`, not `{}`", fill(expected, names)))
}

/// A part of an expected value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Literal(&'a str),
    Wildcard(&'a str),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, name, after)) = wildcard(rest) {
        if !before.is_empty() {
            parts.push(Part::Literal(before));
        }
        parts.push(Part::Wildcard(name));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    parts
}

/// Returns the first `{name}` of a text, with what is before and after it.
fn wildcard(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let name = &text[open + 1..];
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && !"-/_".contains(c));
        if let Some(end) = end.filter(|end| *end > 0 && name[*end..].starts_with('}')) {
            return Some((&text[..open], &name[..end], &name[end + 1..]));
        }
        from = open + 1;
    }
    None
}

fn fits(parts: &[Part<'_>], heard: &str, names: &mut Names) -> bool {
    match parts {
        [] => heard.is_empty(),
        [Part::Literal(literal), rest @ ..] => {
            heard.strip_prefix(literal).is_some_and(|heard| fits(rest, heard, names))
        }
        [Part::Wildcard(name), rest @ ..] => {
            if let Some(known) = names.get(*name).cloned() {
                return heard.strip_prefix(&known).is_some_and(|heard| fits(rest, heard, names));
            }
            let other = name.strip_prefix(NOT).and_then(|name| names.get(name)).cloned();
            let ends = heard.char_indices().map(|(at, _)| at).chain([heard.len()]);
            // The longest first, and never an empty one.
            for end in ends.filter(|end| *end > 0).collect::<Vec<_>>().into_iter().rev() {
                if other.as_deref() == Some(&heard[..end]) {
                    continue;
                }
                let mut tried = names.clone();
                if *name != ANY && other.is_none() {
                    tried.insert((*name).to_owned(), heard[..end].to_owned());
                }
                if fits(rest, &heard[end..], &mut tried) {
                    *names = tried;
                    return true;
                }
            }
            false
        }
    }
}

/// Fills in known values; unknown wildcards stay.
pub fn fill(text: &str, names: &Names) -> String {
    let filled = parts(text).into_iter().map(|part| match part {
        Part::Literal(literal) => literal.to_owned(),
        Part::Wildcard(name) => match names.get(name) {
            Some(value) => value.clone(),
            None => format!("{{{name}}}"),
        },
    });
    filled.collect()
}

/// Returns whether there is text beside the children other than `{anything}`, which is a mistake
/// in a scene.
pub fn has_stray_text(expected: &Tree) -> bool {
    let mut texts = expected.content.iter().filter_map(|content| match content {
        Content::Text(text) => Some(text.replace(ANYTHING, "")),
        Content::Element(_) => None,
    });
    let mixed = expected.children().next().is_some();
    (mixed && texts.any(|text| !text.trim_ascii().is_empty()))
        || expected.children().any(has_stray_text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tree(xml: &str) -> Tree {
        Tree::parse_all(xml).unwrap().remove(0)
    }

    fn fit(expected: &str, heard: &str) -> bool {
        matches(&tree(expected), &tree(heard), &mut Names::new()).is_ok()
    }

    #[test]
    fn equal_is_equal_whatever_the_order_of_attributes() {
        assert!(fit("<a x='1' y='2'><b>t</b></a>", "<a y='2' x='1'><b>t</b></a>"));
        assert!(fit("<a>\n  <b/>\n  <c/>\n</a>", "<a><b/><c/></a>"));
    }

    #[test]
    fn every_difference_is_one() {
        for other in ["<b/>", "<a xmlns='u'/>", "<a x='1'/>", "<a>t</a>", "<a><b/></a>"] {
            assert!(!fit("<a/>", other), "{other}");
            assert!(!fit(other, "<a/>"), "{other}");
        }
        assert!(!fit("<a><b/><c/></a>", "<a><c/><b/></a>"));
        assert!(!fit("<a><b/></a>", "<a><b/><b/></a>"));
        assert!(!fit("<a><b/><b/></a>", "<a><b/></a>"));
        assert!(!fit("<a>t </a>", "<a>t</a>"));
        assert!(!fit("<a><b>1</b></a>", "<a><b>2</b></a>"));
    }

    #[test]
    fn any_stands_for_something_but_not_for_nothing() {
        assert!(fit("<a x='{any}'>{any}</a>", "<a x='1'>t</a>"));
        assert!(fit("<a x='id-{any}-{any}'/>", "<a x='id-1-2'/>"));
        assert!(!fit("<a x='{any}'/>", "<a x=''/>"));
        assert!(!fit("<a x='id-{any}'/>", "<a x='ix-1'/>"));
    }

    #[test]
    fn a_name_stands_for_the_same_thing_everywhere() {
        let mut names = Names::new();

        matches(&tree("<a x='{id}' y='{id}!'/>"), &tree("<a x='7' y='7!'/>"), &mut names).unwrap();

        assert_eq!(names["id"], "7");
        assert!(matches(&tree("<a x='{id}'/>"), &tree("<a x='8'/>"), &mut names).is_err());
        assert_eq!(fill("<b id='{id}' to='{bob}'/>", &names), "<b id='7' to='{bob}'/>");
    }

    #[test]
    fn not_a_name_stands_for_anything_else() {
        let mut names = Names::from([("id".to_owned(), "7".to_owned())]);
        let mut fit = |heard| matches(&tree("<a x='{not-id}'/>"), &tree(heard), &mut names);

        assert!(fit("<a x='8'/>").is_ok() && fit("<a x='77'/>").is_ok());
        assert!(fit("<a x='7'/>").is_err() && fit("<a x=''/>").is_err());
    }

    #[test]
    fn what_does_not_fit_is_not_remembered() {
        let mut names = Names::new();

        assert!(
            matches(&tree("<a x='{id}' y='2'/>"), &tree("<a x='7' y='3'/>"), &mut names).is_err()
        );

        assert!(names.is_empty());
    }

    #[test]
    fn anything_allows_further_content_around_what_is_named() {
        assert!(fit("<a>{anything}</a>", "<a/>"));
        assert!(fit("<a>{anything}</a>", "<a>t<b/></a>"));
        assert!(fit("<a>{anything}<b/>{anything}</a>", "<a><c/><b/><d/></a>"));
        assert!(fit("<a>{anything}<b/><d/></a>", "<a><b/><c/><d/></a>"));
        assert!(!fit("<a>{anything}<b/></a>", "<a><c/></a>"));
        assert!(!fit("<a>{anything}<d/><b/></a>", "<a><b/><d/></a>"));
    }

    #[test]
    fn the_language_of_a_stanza_counts_only_where_it_is_named() {
        assert!(fit("<message/>", "<message xml:lang='en'/>"));
        assert!(fit("<message xml:lang='en'/>", "<message xml:lang='en'/>"));
        assert!(!fit("<message xml:lang='de'/>", "<message xml:lang='en'/>"));
        assert!(!fit("<message><body/></message>", "<message><body xml:lang='en'/></message>"));
    }

    #[test]
    fn braces_that_are_no_wildcard_are_text() {
        assert!(fit("<a>{ any } {</a>", "<a>{ any } {</a>"));
    }
}
