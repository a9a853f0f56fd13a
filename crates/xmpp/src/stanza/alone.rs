//! Elements of a stanza in a form that can be used alone: with the namespaces declared around them.

use std::collections::{HashMap, HashSet};

use super::{Stanza, read as again};
use crate::Child;
use crate::scanner::tag::{MAX_ATTRIBUTES, Tag};

impl Stanza {
    /// Returns elements that have the same parent, one after the other, in a form that means the same
    /// anywhere: the bytes of each as they came, with those of the namespaces declared around it that
    /// it uses, each once. This is how an inner element is kept or passed on; encoding it anew, from a
    /// tree of elements, would write a namespace that was declared once on each element in it.
    ///
    /// One element alone is at most as long as the stanza (and a declaration, if the root has its
    /// prefix from the stream header). Several can be far longer, since each of them gets the
    /// declarations: `limit` says how long. Returns `None` if it is exceeded, or if an element would
    /// have more attributes than the scanner reads.
    pub fn alone(&self, siblings: &[Child], limit: usize) -> Option<Vec<u8>> {
        self.apart(siblings, limit).map(|each| each.concat())
    }

    /// Returns the same elements as [`Stanza::alone`] does, each for itself. `limit` is for all of them
    /// together.
    pub fn apart(&self, siblings: &[Child], limit: usize) -> Option<Vec<Vec<u8>>> {
        let around = siblings.first().map(|first| self.scope_of(first)).unwrap_or_default();
        let mut declared = Declared::default();
        // The innermost declaration counts.
        for outer in around.iter().rev() {
            let Some(tag) = read(outer) else { continue };
            declarations(outer, &tag).for_each(|(name, whole)| declared.add(name, whole));
        }
        let (mut each, mut left) = (Vec::new(), limit);
        for sibling in siblings {
            let bytes = self.slice(sibling);
            let Some(tag) = read(bytes) else { continue };
            let (name, rest) = bytes.split_at_checked(tag.name.span.end as usize)?;
            let own: HashSet<&[u8]> = declarations(bytes, &tag).map(|(name, _)| name).collect();
            let added: Vec<_> =
                declared.used_in(bytes).filter(|(name, _)| !own.contains(name)).collect();
            if added.len() + tag.attributes.len() > MAX_ATTRIBUTES {
                return None;
            }
            let added = added.iter().flat_map(|(_, whole)| [b" ".as_slice(), whole]);
            let mut alone = Vec::new();
            for part in [name].into_iter().chain(added).chain([rest]) {
                left = left.checked_sub(part.len())?;
                alone.extend_from_slice(part);
            }
            each.push(alone);
        }
        Some(each)
    }

    /// Whether a child has nothing but its name: no attributes, no children and no text.
    pub fn says_nothing(&self, child: &Child) -> bool {
        let bytes = self.slice(child);
        let Some(tag) = read(bytes) else { return true };
        declarations(bytes, &tag).count() == tag.attributes.len()
            && self.text_of(child).trim().is_empty()
            && !again::has_children(bytes)
    }
}

/// The declarations around an element: the names of the attributes, and the whole attributes.
#[derive(Default)]
struct Declared<'a> {
    list: Vec<(&'a [u8], &'a [u8])>,
    /// The place of each prefix in the list; the default namespace has none.
    places: HashMap<&'a [u8], usize>,
}

impl<'a> Declared<'a> {
    /// Adds one, unless there is a nearer one.
    fn add(&mut self, name: &'a [u8], whole: &'a [u8]) {
        let prefix = name.strip_prefix(b"xmlns:").unwrap_or_default();
        if !self.places.contains_key(prefix) {
            self.places.insert(prefix, self.list.len());
            self.list.push((name, whole));
        }
    }

    /// Returns those that an element may use.
    fn used_in(&self, element: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut used = vec![false; self.list.len()];
        if !self.list.is_empty() {
            prefixes(element, |prefix| {
                if let Some(place) = self.places.get(prefix) {
                    used[*place] = true;
                }
            });
        }
        self.list.iter().zip(used).filter(|(_, used)| *used).map(|(declared, _)| *declared)
    }
}

/// Finds every prefix of a name in an element; none, for a name of an element without one. What only
/// looks like a prefix, in a text, may be found as well: a declaration too many means nothing.
fn prefixes<'a>(element: &'a [u8], mut found: impl FnMut(&'a [u8])) {
    // Where a name may have begun, and whether it is an element's.
    let mut name: Option<(usize, bool)> = None;
    for (at, byte) in element.iter().enumerate() {
        match (byte, name) {
            (b':', Some((begun, _))) => {
                found(element.get(begun..at).unwrap_or_default());
                name = None;
            }
            (b'<', _) => name = Some((at + 1, true)),
            // The element's name has ended without a prefix; unless this is an end tag.
            (b' ' | b'\t' | b'\n' | b'\r' | b'/' | b'>', Some((begun, true))) => {
                if begun < at {
                    found(b"");
                }
                name = (*byte != b'/').then_some((at + 1, false));
            }
            (b' ' | b'\t' | b'\n' | b'\r' | b'\'' | b'"', _) => name = Some((at + 1, false)),
            (b'=' | b'>' | b'/', _) => name = None,
            _ => {}
        }
    }
}

fn read(bytes: &[u8]) -> Option<Tag> {
    let mut tag = Tag::new(1, false);
    // The bytes have been scanned before, so this does not fail.
    tag.read(bytes).unwrap_or_default().then_some(tag)
}

/// Returns the declarations of a start tag: the name of each, and the whole attribute.
fn declarations<'a, 't>(
    bytes: &'a [u8],
    tag: &'t Tag,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a, 't> {
    tag.attributes.iter().filter_map(move |attribute| {
        let name = attribute.name.span.of(bytes);
        let declares = name == b"xmlns" || name.starts_with(b"xmlns:");
        // The range includes the closing quote.
        let whole = attribute.name.span.start as usize..attribute.value.end as usize + 1;
        declares.then(|| (name, bytes.get(whole).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Returns the innermost children, alone, in at most `limit` bytes.
    fn alone_within(xml: &str, limit: usize) -> Option<String> {
        let stanza = Stanza::parse(xml.to_owned()).unwrap();
        let inner = stanza.grandchildren(stanza.children().first().unwrap());
        let siblings = if inner.is_empty() { stanza.children() } else { &inner };
        stanza.alone(siblings, limit).map(|alone| String::from_utf8(alone).unwrap())
    }

    fn alone(xml: &str) -> String {
        alone_within(xml, xml.len() * 4).unwrap()
    }

    #[test]
    fn what_was_declared_around_an_element_comes_along_the_innermost_alone() {
        for (xml, expected) in [
            ("<iq><q xmlns='urn:q'><a xmlns='urn:a'>x</a></q></iq>", "<a xmlns='urn:a'>x</a>"),
            (
                "<iq xmlns:p='urn:1'><q xmlns='urn:q' xmlns:p='urn:2'><p:a/></q></iq>",
                "<p:a xmlns:p='urn:2'/>",
            ),
            (
                "<iq xmlns:p='urn:1'><q xmlns='urn:q' xmlns:n='urn:n'><p:a><b/></p:a></q></iq>",
                "<p:a xmlns='urn:q' xmlns:p='urn:1'><b/></p:a>",
            ),
            (
                "<iq xmlns:p='urn:1' xmlns:o='urn:o'><q xmlns='urn:q'><a xmlns='urn:b' b='x'\n p:c='y'/></q></iq>",
                "<a xmlns:p='urn:1' xmlns='urn:b' b='x'\n p:c='y'/>",
            ),
            (
                "<iq><q xmlns='urn:q' xmlns:p=\"urn:'1\"><a xmlns='urn:a' p:b='c'><p:d/></a></q></iq>",
                "<a xmlns:p=\"urn:'1\" xmlns='urn:a' p:b='c'><p:d/></a>",
            ),
            ("<iq xmlns:p='urn:p'><p:q/></iq>", "<p:q xmlns:p='urn:p'/>"),
            ("<iq><q xmlns='urn:q'/></iq>", "<q xmlns='urn:q'/>"),
        ] {
            let found = alone(xml);
            assert_eq!(found, expected);
            let again = Stanza::parse(format!("<iq>{found}</iq>")).unwrap();
            assert_eq!(again.children().len(), 1);
        }
    }

    #[test]
    fn each_of_several_elements_gets_what_it_does_not_declare_itself() {
        assert_eq!(
            alone("<iq><q xmlns='urn:q' xmlns:p='urn:p'><a/> <a xmlns:p='1'>x</a><p:a/></q></iq>"),
            "<a xmlns='urn:q'/><a xmlns='urn:q' xmlns:p='1'>x</a><p:a xmlns:p='urn:p'/>"
        );
    }

    #[test]
    fn elements_can_be_had_each_for_itself() {
        let xml = "<iq><q xmlns='urn:q'>1<a/> 2<b><c/></b></q></iq>";
        let stanza = Stanza::parse(xml.to_owned()).unwrap();
        let inner = stanza.grandchildren(&stanza.children()[0]);

        let each = stanza.apart(&inner, xml.len()).unwrap();

        assert_eq!(each, [&b"<a xmlns='urn:q'/>"[..], b"<b xmlns='urn:q'><c/></b>"]);
        assert_eq!(stanza.apart(&inner, each.concat().len() - 1), None);
        assert_eq!(stanza.apart(&[], 0), Some(Vec::new()));
    }

    #[test]
    fn elements_have_so_much_room_and_no_more() {
        let xml = "<iq><q xmlns='urn:q'><a/><b/></q></iq>";
        let whole = alone(xml);
        assert_eq!(alone_within(xml, whole.len()).as_ref(), Some(&whole));
        for less in 0..whole.len() {
            assert_eq!(alone_within(xml, less), None, "{less}");
        }
    }

    /// The declaration written out with each element is 800 MB.
    #[test]
    fn many_elements_in_a_long_declaration_cost_no_more_than_the_room_for_them() {
        let element = "<p:a/>";
        let xml =
            format!("<iq><q xmlns:p='{}'>{}</q></iq>", "x".repeat(50_000), element.repeat(16_000));
        let stanza = Stanza::parse(xml).unwrap();
        let elements = stanza.grandchildren(&stanza.children()[0]);
        assert_eq!(elements.len(), 16_000);
        assert!(elements.iter().all(|element| stanza.says_nothing(element)));
        assert_eq!(stanza.alone(&elements, 1 << 20), None);
        let one = stanza.alone(&elements[..1], 1 << 20).unwrap();
        assert_eq!(one.len(), element.len() + " xmlns:p=''".len() + 50_000);
        let twenty = stanza.alone(&elements[..20], 1 << 20).unwrap();
        assert_eq!(twenty.len(), 20 * one.len());
        assert!(twenty.capacity() <= 2 << 20);
    }

    #[test]
    fn an_element_with_anything_but_its_name_says_something() {
        for (xml, nothing) in [
            ("<iq><a xmlns='urn:a'/></iq>", true),
            ("<iq><a xmlns='urn:a' xmlns:b='urn:b'> </a></iq>", true),
            ("<iq><a xmlns='urn:a' b=''/></iq>", false),
            ("<iq><a xmlns='urn:a'>x</a></iq>", false),
            ("<iq><a xmlns='urn:a'><b/></a></iq>", false),
        ] {
            let stanza = Stanza::parse(xml.to_owned()).unwrap();
            assert_eq!(stanza.says_nothing(&stanza.children()[0]), nothing, "{xml}");
        }
    }

    #[test]
    fn what_an_element_does_not_use_is_not_added_to_it() {
        let prefixes: String =
            (0..60).map(|n| format!(" xmlns:p{n}='{}'", "x".repeat(999))).collect();
        let inner = "<a xmlns='urn:a' p7:b='c' d='p8: q'>p9 :p10</a>".repeat(1000);
        let xml = format!("<iq><q xmlns='urn:q'{prefixes}>{inner}</q></iq>");
        let stanza = Stanza::parse(xml.clone()).unwrap();
        let elements = stanza.grandchildren(&stanza.children()[0]);

        let one = String::from_utf8(stanza.alone(&elements[..1], xml.len()).unwrap()).unwrap();

        // What looks like a prefix counts as one.
        for (prefix, there) in [("p7", true), ("p8", true), ("p9", false), ("p10", false)] {
            assert_eq!(one.contains(&format!("xmlns:{prefix}=")), there, "{prefix}");
        }
    }

    #[test]
    fn an_element_with_more_attributes_than_can_be_read_again_stands_nowhere() {
        let declared: String = (0..40).map(|n| format!(" xmlns:p{n}='urn:{n}'")).collect();
        let used: String = (0..40).map(|n| format!("<p{n}:b/>")).collect();
        let with = |attributes: usize| {
            let own: String = (0..attributes).map(|n| format!(" b{n}=''")).collect();
            let xml = format!("<iq><q xmlns='q'{declared}><a xmlns='a'{own}>{used}</a></q></iq>");
            alone_within(&xml, usize::MAX)
        };

        let most = with(23).unwrap();
        assert!(Stanza::parse(format!("<iq>{most}</iq>")).is_ok());
        assert_eq!(with(24), None);
    }
}
