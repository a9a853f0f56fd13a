//! An element with a few of its parts changed. All others stay the bytes that came: encoded anew, from
//! a tree of elements, a namespace that was declared once would stand on each of them.

use super::Stanza;
use crate::scanner::tag::{MAX_ATTRIBUTES, Tag};
use crate::write::{append, attribute};

/// What is different in an element.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edit<'a> {
    /// Attributes of the element itself that have no prefix, with the value that each has from now on;
    /// `None`: there is no such attribute.
    pub attributes: &'a [(&'a str, Option<&'a str>)],
    /// Places in [`Stanza::children`], in order, with what stands there instead, encoded so that it
    /// means the same anywhere; nothing: the child is left out.
    pub children: &'a [(usize, Vec<u8>)],
    /// Children to append, encoded likewise.
    pub add: &'a [u8],
}

impl Stanza {
    /// Returns the bytes of the whole element with these changes. `None` if it would have more
    /// attributes than the scanner reads.
    pub fn edited(&self, edit: &Edit<'_>) -> Option<Vec<u8>> {
        let bytes: &[u8] = self.bytes();
        let head = self.head();
        let slice = |from: u32, to: u32| bytes.get(from as usize..to as usize).unwrap_or_default();
        let mut out = Vec::with_capacity(bytes.len() + edit.add.len() + 64);
        out.extend_from_slice(slice(0, head.after_name));
        self.write_attributes(edit.attributes, &mut out)?;
        out.push(b'>');
        let begun = out.len();
        let mut at = head.tag_end;
        for (place, instead) in edit.children {
            let Some(child) = self.children().get(*place) else { continue };
            append(&mut out, slice(at, child.start));
            out.extend_from_slice(instead);
            at = child.end;
        }
        append(&mut out, slice(at, head.end_tag));
        out.extend_from_slice(edit.add);
        if out.len() == begun {
            out.pop();
            out.extend_from_slice(b"/>");
        } else {
            out.extend_from_slice(b"</");
            out.extend_from_slice(slice(1, head.after_name));
            out.push(b'>');
        }
        Some(out)
    }

    /// Writes the attributes of the element, each with the white space before it.
    fn write_attributes(&self, set: &[(&str, Option<&str>)], out: &mut Vec<u8>) -> Option<()> {
        let mut tag = Tag::new(1, false);
        // The bytes have been scanned before, so this does not fail.
        tag.read(self.bytes()).ok().filter(|whole| *whole)?;
        let mut at = tag.name.span.end;
        let mut count = 0;
        for one in &tag.attributes {
            let name = one.name.span.of(self.bytes());
            // The range includes the closing quote.
            let whole = self.bytes().get(at as usize..one.value.end as usize + 1)?;
            at = one.value.end + 1;
            if !set.iter().any(|(changed, _)| changed.as_bytes() == name) {
                out.extend_from_slice(whole);
                count += 1;
            }
        }
        for (name, value) in set {
            if let Some(value) = value {
                attribute(out, name, value);
                count += 1;
            }
        }
        (count <= MAX_ATTRIBUTES).then_some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn edited(xml: &str, edit: &Edit<'_>) -> String {
        let stanza = Stanza::parse(xml.to_owned()).unwrap();
        let edited = String::from_utf8(stanza.edited(edit).unwrap()).unwrap();
        assert!(Stanza::parse(edited.clone()).is_ok(), "{edited}");
        edited
    }

    #[test]
    fn what_is_not_changed_stays_as_it_came() {
        for xml in [
            "<a xmlns='urn:a'\n b=\"&#x3c;'\"  p:c='d' xmlns:p='urn:p'>t<b/> <p:d>]]&gt;</p:d>\n</a>",
            "<p:a xmlns:p='urn:p'><![CDATA[<]]></p:a>",
            "<a xmlns='urn:a'/>",
        ] {
            assert_eq!(edited(xml, &Edit::default()), xml);
        }
        assert_eq!(edited("<a xmlns='urn:a' ></a >", &Edit::default()), "<a xmlns='urn:a'/>");
    }

    #[test]
    fn attributes_without_a_prefix_are_set_and_taken_away() {
        let attributes = [("b", Some("1 < '2'")), ("c", None), ("d", Some("")), ("e", None)];
        let edit = Edit { attributes: &attributes, ..Edit::default() };
        for (xml, expected) in [
            ("<a xmlns='u'/>", "<a xmlns='u' b='1 &lt; &apos;2&apos;' d=''/>"),
            (
                "<a c='x' xmlns='u' b='x' p:c='y' xmlns:p='p'>t</a>",
                "<a xmlns='u' p:c='y' xmlns:p='p' b='1 &lt; &apos;2&apos;' d=''>t</a>",
            ),
        ] {
            assert_eq!(edited(xml, &edit), expected);
        }
    }

    #[test]
    fn children_are_replaced_left_out_and_added() {
        let children = [(0, b"<n xmlns='n'/>".to_vec()), (2, Vec::new()), (9, b"<no/>".to_vec())];
        let edit = Edit { children: &children, add: b"<z xmlns='z'/>", ..Edit::default() };
        assert_eq!(
            edited("<a xmlns='u'> <b/>x<c>y</c>]<d/>]><e/></a>", &edit),
            "<a xmlns='u'> <n xmlns='n'/>x<c>y</c>]]&gt;<e/><z xmlns='z'/></a>"
        );
        assert_eq!(edited("<a/>", &edit), "<a><z xmlns='z'/></a>");
        let nothing = [(0, Vec::new())];
        let edit = Edit { children: &nothing, ..Edit::default() };
        assert_eq!(edited("<a><b/></a>", &edit), "<a/>");
    }

    #[test]
    fn more_attributes_than_can_be_read_again_are_not_written() {
        let full = |count: usize| {
            let own: String = (0..count).map(|n| format!(" b{n}=''")).collect();
            let stanza = Stanza::parse(format!("<a{own}/>")).unwrap();
            stanza.edited(&Edit { attributes: &[("c", Some(""))], ..Edit::default() })
        };
        assert!(full(63).is_some());
        assert_eq!(full(64), None);
    }
}
