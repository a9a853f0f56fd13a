//! An element of a stanza in a form that can be used alone: with the namespaces declared around it.

use super::Stanza;
use crate::Child;
use crate::scanner::tag::Tag;

impl Stanza {
    /// Returns a child or a deeper element in a form that means the same anywhere: its bytes, with
    /// the namespaces that were declared around it.
    pub fn alone(&self, child: &Child) -> Vec<u8> {
        let bytes = self.slice(child);
        let Some(own) = read(bytes) else { return Vec::new() };
        let mut declared: Vec<&[u8]> = declarations(bytes, &own).map(|(name, _)| name).collect();
        let mut added = Vec::new();
        let around = self.scope_of(child);
        // The innermost declaration counts.
        for outer in around.iter().rev() {
            let Some(tag) = read(outer) else { continue };
            for (name, whole) in declarations(outer, &tag) {
                if !declared.contains(&name) {
                    declared.push(name);
                    added.push(b' ');
                    added.extend_from_slice(whole);
                }
            }
        }
        let mut alone = bytes.to_vec();
        let at = own.name.span.end as usize;
        alone.splice(at..at, added);
        alone
    }

    /// Whether a child has nothing but its name: no attributes, no children and no text.
    pub fn says_nothing(&self, child: &Child) -> bool {
        let bytes = self.slice(child);
        let Some(tag) = read(bytes) else { return true };
        declarations(bytes, &tag).count() == tag.attributes.len()
            && self.text_of(child).trim().is_empty()
            && self.grandchildren(child).is_empty()
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

    /// Returns the innermost first child, alone.
    fn alone(xml: &str) -> String {
        let stanza = Stanza::parse(xml.to_owned()).unwrap();
        let query = stanza.children().first().unwrap();
        let inner = stanza.grandchildren(query);
        String::from_utf8(stanza.alone(inner.first().unwrap_or(query))).unwrap()
    }

    #[test]
    fn what_was_declared_around_an_element_comes_along_the_innermost_alone() {
        for (xml, expected) in [
            ("<iq><q xmlns='urn:q'><a xmlns='urn:a'>x</a></q></iq>", "<a xmlns='urn:a'>x</a>"),
            (
                "<iq xmlns:p='urn:1'><q xmlns='urn:q' xmlns:p='urn:2'><p:a/></q></iq>",
                "<p:a xmlns='urn:q' xmlns:p='urn:2'/>",
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
}
