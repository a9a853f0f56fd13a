//! XEP-0198, the elements of stream management: read and written.

use whoelse_xmpp::{Condition, Stanza, ns, write};

/// An element in the namespace of stream management.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// `<enable/>`: the client wants its stanzas counted.
    Enable {
        /// Whether it wants to resume after a lost connection.
        resume: bool,
        /// For how many seconds it would like to be able to resume.
        max: Option<u32>,
    },
    /// `<enabled/>`: stanzas are counted from now on.
    Enabled(Enabled),
    /// `<resume/>`: the client resumes.
    Resume {
        /// The id that `<enabled/>` gave.
        previd: String,
        /// How many of our stanzas it has handled.
        h: u32,
    },
    /// `<resumed/>`: the session is resumed.
    Resumed {
        /// The id of `<resume/>`.
        previd: String,
        /// How many of its stanzas we have handled.
        h: u32,
    },
    /// `<failed/>`: neither enabled nor resumed.
    Failed {
        /// How many of its stanzas we had handled, if we still know.
        h: Option<u32>,
        /// The condition, if it is one of those in use.
        condition: Option<Condition>,
    },
    /// `<r/>`: how many have you handled?
    Request,
    /// `<a/>`: I have handled this many.
    Ack {
        /// The count.
        h: u32,
    },
}

/// The attributes of `<enabled/>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enabled {
    /// The id to resume with.
    pub id: Option<String>,
    /// Whether the stream can be resumed.
    pub resume: bool,
    /// For how many seconds after a lost connection it can be resumed.
    pub max: Option<u32>,
    /// Where to connect for that.
    pub location: Option<String>,
}

/// The error that an element in this namespace is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Element {
    /// Reads an element; `None` if it is in another namespace.
    pub fn read(element: &Stanza) -> Option<Result<Element, Malformed>> {
        (element.ns() == ns::SM).then(|| Element::read_own(element))
    }

    fn read_own(element: &Stanza) -> Result<Element, Malformed> {
        let text = |name| element.attr(name).map(String::from);
        Ok(match element.name() {
            "enable" => Element::Enable { resume: flag(element)?, max: number(element, "max")? },
            "enabled" => Element::Enabled(Enabled {
                id: text("id"),
                resume: flag(element)?,
                max: number(element, "max")?,
                location: text("location"),
            }),
            "resume" => Element::Resume {
                previd: text("previd").ok_or(Malformed)?,
                h: number(element, "h")?.ok_or(Malformed)?,
            },
            "resumed" => Element::Resumed {
                previd: text("previd").ok_or(Malformed)?,
                h: number(element, "h")?.ok_or(Malformed)?,
            },
            "failed" => Element::Failed { h: number(element, "h")?, condition: condition(element) },
            "r" => Element::Request,
            "a" => Element::Ack { h: number(element, "h")?.ok_or(Malformed)? },
            _ => return Err(Malformed),
        })
    }

    /// Encodes the element.
    pub fn encode(&self) -> Vec<u8> {
        let number = |n: &Option<u32>| n.map(|n| n.to_string());
        let start = |name| write::Element::new(name).xmlns(ns::SM);
        let yes = |flag: &bool| flag.then_some("true");
        let element = match self {
            Element::Enable { resume, max } => start("enable")
                .attr_opt("resume", yes(resume))
                .attr_opt("max", number(max).as_deref()),
            Element::Enabled(enabled) => start("enabled")
                .attr_opt("id", enabled.id.as_deref())
                .attr_opt("resume", yes(&enabled.resume))
                .attr_opt("max", number(&enabled.max).as_deref())
                .attr_opt("location", enabled.location.as_deref()),
            Element::Resume { previd, h } => {
                start("resume").attr("h", &h.to_string()).attr("previd", previd)
            }
            Element::Resumed { previd, h } => {
                start("resumed").attr("h", &h.to_string()).attr("previd", previd)
            }
            Element::Failed { h, condition } => {
                let failed = start("failed").attr_opt("h", number(h).as_deref());
                match condition {
                    Some(condition) => {
                        failed.child(write::Element::new(condition.name()).xmlns(ns::STANZA_ERRORS))
                    }
                    None => failed,
                }
            }
            Element::Request => start("r"),
            Element::Ack { h } => start("a").attr("h", &h.to_string()),
        };
        element.finish().to_vec()
    }
}

/// Reads `xs:boolean`; absent is false.
fn flag(element: &Stanza) -> Result<bool, Malformed> {
    match element.attr("resume").as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(Malformed),
    }
}

/// Reads `xs:unsignedInt`.
fn number(element: &Stanza, name: &str) -> Result<Option<u32>, Malformed> {
    let Some(text) = element.attr(name) else { return Ok(None) };
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Malformed);
    }
    text.parse().map(Some).map_err(|_| Malformed)
}

fn condition(element: &Stanza) -> Option<Condition> {
    element
        .children()
        .iter()
        .filter(|child| child.ns() == ns::STANZA_ERRORS)
        .find_map(|child| Condition::from_name(child.name()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(xml: &'static str) -> Option<Result<Element, Malformed>> {
        Element::read(&Stanza::parse(xml.as_bytes()).unwrap())
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        let enabled =
            |resume| Enabled { id: Some("some-long-sm-id".into()), resume, ..Enabled::default() };
        for (xml, element) in [
            ("<enable xmlns='urn:xmpp:sm:3'/>", Element::Enable { resume: false, max: None }),
            (
                "<enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>",
                Element::Enable { resume: true, max: Some(60) },
            ),
            (
                "<enabled xmlns='urn:xmpp:sm:3' id='some-long-sm-id' resume='true'/>",
                Element::Enabled(enabled(true)),
            ),
            (
                "<enabled xmlns='urn:xmpp:sm:3' id='some-long-sm-id' location='[2001:db8::1]:9222' resume='1'/>",
                Element::Enabled(Enabled {
                    location: Some("[2001:db8::1]:9222".into()),
                    ..enabled(true)
                }),
            ),
            (
                "<resume xmlns='urn:xmpp:sm:3' h='5' previd='some-long-sm-id'/>",
                Element::Resume { previd: "some-long-sm-id".into(), h: 5 },
            ),
            (
                "<resumed xmlns='urn:xmpp:sm:3' h='4294967295' previd='x'/>",
                Element::Resumed { previd: "x".into(), h: u32::MAX },
            ),
            (
                "<failed xmlns='urn:xmpp:sm:3' h='7'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
                Element::Failed { h: Some(7), condition: Some(Condition::ItemNotFound) },
            ),
            ("<failed xmlns='urn:xmpp:sm:3'/>", Element::Failed { h: None, condition: None }),
            ("<r xmlns='urn:xmpp:sm:3'/>", Element::Request),
            ("<a xmlns='urn:xmpp:sm:3' h='1'/>", Element::Ack { h: 1 }),
        ] {
            assert_eq!(read(xml), Some(Ok(element)), "{xml}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for element in [
            Element::Enable { resume: true, max: Some(600) },
            Element::Enabled(Enabled {
                id: Some("a<'\"&b".into()),
                resume: true,
                max: Some(600),
                location: Some("x:1".into()),
            }),
            Element::Resume { previd: "a b".into(), h: 3 },
            Element::Resumed { previd: "x".into(), h: 0 },
            Element::Failed { h: Some(1), condition: Some(Condition::UnexpectedRequest) },
            Element::Failed { h: None, condition: None },
            Element::Request,
            Element::Ack { h: 12 },
        ] {
            let stanza = Stanza::parse(element.encode()).unwrap();
            assert_eq!(Element::read(&stanza), Some(Ok(element)));
        }
    }

    #[test]
    fn what_makes_no_sense_is_malformed() {
        for xml in [
            "<a xmlns='urn:xmpp:sm:3'/>",
            "<a xmlns='urn:xmpp:sm:3' h=''/>",
            "<a xmlns='urn:xmpp:sm:3' h='-1'/>",
            "<a xmlns='urn:xmpp:sm:3' h='+1'/>",
            "<a xmlns='urn:xmpp:sm:3' h='4294967296'/>",
            "<resume xmlns='urn:xmpp:sm:3' h='1'/>",
            "<resume xmlns='urn:xmpp:sm:3' previd='1'/>",
            "<enable xmlns='urn:xmpp:sm:3' resume='yes'/>",
            "<enable xmlns='urn:xmpp:sm:3' max='x'/>",
            "<x xmlns='urn:xmpp:sm:3'/>",
        ] {
            assert_eq!(read(xml), Some(Err(Malformed)), "{xml}");
        }
    }

    #[test]
    fn another_namespace_is_none_of_ours() {
        assert_eq!(read("<a xmlns='urn:xmpp:sm:2' h='1'/>"), None);
    }
}
