//! XEP-0060, 5 to 8: a request, read from its bytes.
//!
//! What is wrong with a request in itself is said here, before anything is looked up. What a
//! publisher sends is taken as bytes (`Stanza::alone`; security row 60).

use whoelse_core::kit::Verb;
use whoelse_core::kit::command::Values;
use whoelse_xmpp::payload::xmpp_parsers::data_forms::{DataForm, DataFormType};
use whoelse_xmpp::payload::xmpp_parsers::rsm::SetQuery;
use whoelse_xmpp::{Child, Condition, Jid, Stanza, StanzaError, ns};

use super::access::{Affiliation, Subscription};
use super::limits::{LONGEST_NAME, MOST_ENTRIES, MOST_IDS};
use super::refusal::{bad, malformed, not_acceptable, unsupported};
use crate::form;

/// A request of somebody to an owner of nodes.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    /// 5.6: the own subscriptions, at one node or at all.
    Subscriptions(Option<String>),
    /// 5.7: the own affiliations, at one node or at all.
    Affiliations(Option<String>),
    /// 6.1.
    Subscribe { node: String, jid: Jid },
    /// 6.2.
    Unsubscribe { node: String, jid: Jid },
    /// 6.5.
    Items { node: String, which: Which },
    /// 7.1.
    Publish(Publication),
    /// 7.2. `notify`: the others are to be told, whatever the node is configured to do.
    Retract { node: String, id: String, notify: bool },
    /// 8.1.
    Create { node: Option<String>, configure: Values },
    /// 8.2.1.
    Configuration { node: String },
    /// 8.2.4; without values it is cancelled.
    Configure { node: String, form: Option<Values> },
    /// 8.3.
    DefaultConfiguration,
    /// 8.4.
    Delete { node: String, redirect: Option<String> },
    /// 8.5.
    Purge { node: String },
    /// 8.8.1.
    SubscriptionsOf { node: String },
    /// 8.8.2.
    SetSubscriptions { node: String, entries: Vec<(Jid, Subscription)> },
    /// 8.9.1.
    AffiliationsOf { node: String },
    /// 8.9.2.
    SetAffiliations { node: String, entries: Vec<(Jid, Affiliation)> },
}

/// Which items of a node.
#[derive(Debug, PartialEq)]
pub(super) enum Which {
    /// Those with these ids.
    Ids(Vec<String>),
    /// The newest, at most so many.
    Newest(Option<usize>),
    /// XEP-0059.
    Page(SetQuery),
}

/// What is to be published.
#[derive(Debug, PartialEq)]
pub(crate) struct Publication {
    pub node: String,
    /// None: only that something has happened.
    pub item: Option<Draft>,
    /// 7.1.5: what the publisher takes for granted.
    pub options: Option<Values>,
}

/// An item as its publisher sends it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    /// None: the server finds one.
    pub id: Option<String>,
    /// Its one element, which stands alone; it may be empty.
    pub payload: Vec<u8>,
}

impl Request {
    /// Reads a request with this `<pubsub/>`.
    pub fn read(verb: Verb, stanza: &Stanza, pubsub: &Child) -> Result<Request, StanzaError> {
        let inside = Inside { stanza, of: pubsub.ns(), children: stanza.grandchildren(pubsub) };
        let own = |child: &&Child| child.ns() == inside.of;
        let Some(first) = inside.children.iter().find(own) else {
            return Err(malformed("there is nothing in the request"));
        };
        match (verb, inside.of == ns::PUBSUB_OWNER, first.name()) {
            (Verb::Get, false, "subscriptions") => {
                Ok(Request::Subscriptions(inside.optional_node(first)?))
            }
            (Verb::Get, false, "affiliations") => {
                Ok(Request::Affiliations(inside.optional_node(first)?))
            }
            (Verb::Get, false, "items") => inside.items(first),
            (_, false, "options") => Err(unsupported("subscription-options")),
            (Verb::Get, false, "default") => Err(unsupported("retrieve-default-sub")),
            (Verb::Set, false, "subscribe") => {
                let (node, jid) = inside.subscriber(first)?;
                Ok(Request::Subscribe { node, jid })
            }
            (Verb::Set, false, "unsubscribe") => {
                let (node, jid) = inside.subscriber(first)?;
                Ok(Request::Unsubscribe { node, jid })
            }
            (Verb::Set, false, "publish") => inside.publish(first),
            (Verb::Set, false, "retract") => inside.retract(first),
            (Verb::Set, false, "create") => inside.create(first),
            (Verb::Get, true, "configure") => {
                Ok(Request::Configuration { node: inside.node(first)? })
            }
            (Verb::Set, true, "configure") => inside.configure(first),
            (Verb::Get, true, "default") => Ok(Request::DefaultConfiguration),
            (Verb::Set, true, "delete") => inside.delete(first),
            (Verb::Set, true, "purge") => Ok(Request::Purge { node: inside.node(first)? }),
            (Verb::Get, true, "subscriptions") => {
                Ok(Request::SubscriptionsOf { node: inside.node(first)? })
            }
            (Verb::Set, true, "subscriptions") => {
                let entries = inside.entries(first, "subscription", Subscription::of)?;
                Ok(Request::SetSubscriptions { node: inside.node(first)?, entries })
            }
            (Verb::Get, true, "affiliations") => {
                Ok(Request::AffiliationsOf { node: inside.node(first)? })
            }
            (Verb::Set, true, "affiliations") => {
                let entries = inside.entries(first, "affiliation", Affiliation::of)?;
                Ok(Request::SetAffiliations { node: inside.node(first)?, entries })
            }
            _ => Err(StanzaError::new(Condition::FeatureNotImplemented)),
        }
    }
}

impl Request {
    /// The name of the node that it is about, if it names one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Request::Subscriptions(node)
            | Request::Affiliations(node)
            | Request::Create { node, .. } => node.as_deref(),
            Request::DefaultConfiguration => None,
            Request::Publish(publication) => Some(&publication.node),
            Request::Subscribe { node, .. }
            | Request::Unsubscribe { node, .. }
            | Request::Items { node, .. }
            | Request::Retract { node, .. }
            | Request::Configuration { node }
            | Request::Configure { node, .. }
            | Request::Delete { node, .. }
            | Request::Purge { node }
            | Request::SubscriptionsOf { node }
            | Request::SetSubscriptions { node, .. }
            | Request::AffiliationsOf { node }
            | Request::SetAffiliations { node, .. } => Some(node),
        }
    }
}

impl Request {
    /// Whether it may change what there is at a node.
    pub fn changes_items(&self) -> bool {
        matches!(
            self,
            Request::Publish(_)
                | Request::Retract { .. }
                | Request::Configure { .. }
                | Request::Delete { .. }
                | Request::Purge { .. }
        )
    }
}

/// What is inside a `<pubsub/>`.
struct Inside<'a> {
    stanza: &'a Stanza,
    /// Its namespace.
    of: &'a str,
    children: Vec<Child>,
}

impl Inside<'_> {
    fn attribute(&self, child: &Child, name: &str) -> Option<String> {
        self.stanza.child_attr(child, name).map(String::from).filter(|value| !value.is_empty())
    }

    fn optional_node(&self, child: &Child) -> Result<Option<String>, StanzaError> {
        self.attribute(child, "node").map(short).transpose()
    }

    /// The name of the node; there is no root node that could be meant without one.
    fn node(&self, child: &Child) -> Result<String, StanzaError> {
        self.optional_node(child)?.ok_or_else(|| bad("nodeid-required"))
    }

    /// The element of this name beside the one that says what is wanted.
    fn beside(&self, name: &str) -> Option<&Child> {
        self.children.iter().find(|child| child.is(name, self.of))
    }

    /// The form inside an element, if there is one.
    fn form(&self, around: &Child) -> Result<Option<DataForm>, StanzaError> {
        let inside = self.stanza.grandchildren(around);
        let form = inside.iter().find(|child| child.is("x", ns::DATA));
        form.map(|form| self.stanza.payload(form)).transpose()
    }

    /// The values of a form about this; forms about something else are refused.
    fn values(&self, around: &Child, about: &str) -> Result<Option<Values>, StanzaError> {
        let Some(form) = self.form(around)? else { return Ok(None) };
        let values = form::values(form);
        match values.get(form::FORM_TYPE).is_none_or(|found| found == about) {
            true => Ok(Some(values)),
            false => Err(malformed("this is not the form that is needed here")),
        }
    }

    fn subscriber(&self, child: &Child) -> Result<(String, Jid), StanzaError> {
        let jid = self.attribute(child, "jid").ok_or_else(|| bad("jid-required"))?;
        let jid = Jid::parse(&jid).map_err(|_| bad("invalid-jid"))?;
        Ok((self.node(child)?, jid))
    }

    fn items(&self, items: &Child) -> Result<Request, StanzaError> {
        let node = self.node(items)?;
        let set = self.children.iter().find(|child| child.is("set", ns::RSM));
        let asked = self.stanza.grandchildren(items);
        if asked.len() > MOST_IDS {
            return Err(not_acceptable(format!("ask for {MOST_IDS} items at most")));
        }
        let ids = asked.iter().map(|item| self.id(item)).collect::<Result<Vec<_>, _>>()?;
        let newest = self.attribute(items, "max_items").map(|number| {
            number.parse::<usize>().map_err(|_| malformed("`max_items` is not a number"))
        });
        let which = match (ids.is_empty(), set) {
            (false, _) => Which::Ids(ids),
            (true, Some(set)) => Which::Page(self.stanza.payload(set)?),
            (true, None) => Which::Newest(newest.transpose()?),
        };
        Ok(Request::Items { node, which })
    }

    /// The id of an item that is there.
    fn id(&self, item: &Child) -> Result<String, StanzaError> {
        let is_item = item.is("item", self.of);
        let id = self.attribute(item, "id").filter(|_| is_item);
        short(id.ok_or_else(|| bad("item-required"))?)
    }

    fn publish(&self, publish: &Child) -> Result<Request, StanzaError> {
        let node = self.node(publish)?;
        let items = self.stanza.grandchildren(publish);
        let item = match items.as_slice() {
            [] => None,
            [item] if item.is("item", self.of) => Some(self.draft(item)?),
            // 7.1.1: not more than one any more.
            _ => return Err(bad("invalid-payload")),
        };
        let options = match self.beside("publish-options") {
            Some(options) => {
                let values = self.values(options, ns::PUBSUB_PUBLISH_OPTIONS)?;
                Some(values.ok_or_else(|| malformed("there is no form in the options"))?)
            }
            None => None,
        };
        Ok(Request::Publish(Publication { node, item, options }))
    }

    fn draft(&self, item: &Child) -> Result<Draft, StanzaError> {
        let id = self.attribute(item, "id").map(short).transpose()?;
        let payload = match self.stanza.grandchildren(item).as_slice() {
            [] if self.stanza.text_of(item).trim().is_empty() => Vec::new(),
            // One element is not longer than the stanza around it.
            [payload] => {
                let payload = self.stanza.alone(std::slice::from_ref(payload), usize::MAX);
                payload.ok_or_else(|| bad("invalid-payload"))?
            }
            _ => return Err(bad("invalid-payload")),
        };
        Ok(Draft { id, payload })
    }

    fn retract(&self, retract: &Child) -> Result<Request, StanzaError> {
        let node = self.node(retract)?;
        let items = self.stanza.grandchildren(retract);
        let [item] = items.as_slice() else { return Err(bad("item-required")) };
        let notify = self.attribute(retract, "notify");
        let notify = notify.is_some_and(|it| it == "true" || it == "1");
        Ok(Request::Retract { node, id: self.id(item)?, notify })
    }

    fn create(&self, create: &Child) -> Result<Request, StanzaError> {
        let node = self.optional_node(create)?;
        let configure = match self.beside("configure") {
            // 8.1.3: it is the node that is made.
            Some(configure) if self.attribute(configure, "node").is_some() => {
                return Err(malformed("the configuration names a node of its own"));
            }
            Some(configure) => self.values(configure, ns::PUBSUB_NODE_CONFIG)?,
            None => None,
        };
        Ok(Request::Create { node, configure: configure.unwrap_or_default() })
    }

    fn configure(&self, configure: &Child) -> Result<Request, StanzaError> {
        let node = self.node(configure)?;
        let form = self.form(configure)?.ok_or_else(|| malformed("there is no form"))?;
        if form.type_ == DataFormType::Cancel {
            return Ok(Request::Configure { node, form: None });
        }
        let form = self.values(configure, ns::PUBSUB_NODE_CONFIG)?;
        Ok(Request::Configure { node, form })
    }

    fn delete(&self, delete: &Child) -> Result<Request, StanzaError> {
        let node = self.node(delete)?;
        let inside = self.stanza.grandchildren(delete);
        let redirect = inside.iter().find(|child| child.is("redirect", self.of));
        let redirect = redirect.and_then(|redirect| self.attribute(redirect, "uri"));
        Ok(Request::Delete { node, redirect })
    }

    /// Reads a list of who is to be what. An entry that says nothing changes nothing; two for one
    /// address are refused.
    fn entries<T>(
        &self,
        list: &Child,
        name: &str,
        of: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<(Jid, T)>, StanzaError> {
        let children = self.stanza.grandchildren(list);
        if children.len() > MOST_ENTRIES {
            return Err(not_acceptable(format!("change {MOST_ENTRIES} entries at most")));
        }
        let mut entries: Vec<(Jid, T)> = Vec::new();
        for child in &children {
            if !child.is(name, self.of) {
                return Err(malformed("there is something else in the list"));
            }
            let jid = self.attribute(child, "jid").ok_or_else(|| bad("jid-required"))?;
            let jid = Jid::parse(&jid).map_err(|_| bad("invalid-jid"))?;
            if entries.iter().any(|(other, _)| *other == jid) {
                return Err(malformed("an address is in the list twice"));
            }
            if let Some(word) = self.attribute(child, name) {
                let value = of(&word);
                entries.push((jid, value.ok_or_else(|| not_acceptable("there is no such state"))?));
            }
        }
        Ok(entries)
    }
}

/// A name of a node or an item that is not too long to be stored.
fn short(name: String) -> Result<String, StanzaError> {
    match name.len() <= LONGEST_NAME {
        true => Ok(name),
        false => Err(not_acceptable(format!("a name has {LONGEST_NAME} bytes at most"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(verb: Verb, of: &str, inside: &str) -> Result<Request, StanzaError> {
        let xml = format!("<iq id='1'><pubsub xmlns='{of}'>{inside}</pubsub></iq>");
        let stanza = Stanza::parse(xml).unwrap();
        Request::read(verb, &stanza, &stanza.children()[0])
    }

    fn set(inside: &str) -> Result<Request, StanzaError> {
        read(Verb::Set, ns::PUBSUB, inside)
    }

    fn get(inside: &str) -> Result<Request, StanzaError> {
        read(Verb::Get, ns::PUBSUB, inside)
    }

    fn owner(verb: Verb, inside: &str) -> Result<Request, StanzaError> {
        read(verb, ns::PUBSUB_OWNER, inside)
    }

    fn form(about: &str, fields: &str) -> String {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
             <value>{about}</value></field>{fields}</x>"
        )
    }

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    #[test]
    fn an_item_is_taken_as_the_bytes_that_came() {
        let xml = "<iq xmlns:p='urn:p'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
            <publish node='n'><item id='i'>\n<e xmlns='urn:e' p:a='1'><p:b/></e></item></publish>\
            </pubsub></iq>";
        let stanza = Stanza::parse(xml).unwrap();

        let request = Request::read(Verb::Set, &stanza, &stanza.children()[0]).unwrap();

        let payload = b"<e xmlns:p='urn:p' xmlns='urn:e' p:a='1'><p:b/></e>".to_vec();
        let item = Some(Draft { id: Some("i".to_owned()), payload });
        assert_eq!(
            request,
            Request::Publish(Publication { node: "n".to_owned(), item, options: None })
        );
    }

    #[test]
    fn every_request_is_read() {
        let node = || "n".to_owned();
        let bob = || jid("bob@x/desk");
        let which = |xml| match get(xml).unwrap() {
            Request::Items { which, .. } => which,
            other => panic!("{other:?}"),
        };
        let config = form(ns::PUBSUB_NODE_CONFIG, "");
        assert_eq!(which("<items node='n'/>"), Which::Newest(None));
        assert_eq!(which("<items node='n' max_items='2'/>"), Which::Newest(Some(2)));
        let ids = which("<items node='n'><item id='a'/><item id='b'/></items>");
        assert_eq!(ids, Which::Ids(vec!["a".to_owned(), "b".to_owned()]));
        let page =
            "<items node='n'/><set xmlns='http://jabber.org/protocol/rsm'><max>3</max></set>";
        assert!(matches!(which(page), Which::Page(SetQuery { max: Some(3), .. })));
        for (found, expected) in [
            (get("<subscriptions/>"), Request::Subscriptions(None)),
            (get("<affiliations node='n'/>"), Request::Affiliations(Some(node()))),
            (
                set("<subscribe node='n' jid='bob@x/desk'/>"),
                Request::Subscribe { node: node(), jid: bob() },
            ),
            (
                set("<unsubscribe node='n' jid='bob@x/desk' subid='1'/>"),
                Request::Unsubscribe { node: node(), jid: bob() },
            ),
            (
                set("<retract node='n' notify='1'><item id='i'/></retract>"),
                Request::Retract { node: node(), id: "i".to_owned(), notify: true },
            ),
            (set("<create/>"), Request::Create { node: None, configure: Values::default() }),
            (
                set("<create node='n'/><configure/>"),
                Request::Create { node: Some(node()), configure: Values::default() },
            ),
            (owner(Verb::Get, "<configure node='n'/>"), Request::Configuration { node: node() }),
            (
                owner(
                    Verb::Set,
                    "<configure node='n'><x xmlns='jabber:x:data' type='cancel'/></configure>",
                ),
                Request::Configure { node: node(), form: None },
            ),
            (owner(Verb::Get, "<default/>"), Request::DefaultConfiguration),
            (
                owner(Verb::Set, "<delete node='n'><redirect uri='xmpp:x'/></delete>"),
                Request::Delete { node: node(), redirect: Some("xmpp:x".to_owned()) },
            ),
            (owner(Verb::Set, "<purge node='n'/>"), Request::Purge { node: node() }),
            (
                owner(Verb::Get, "<subscriptions node='n'/>"),
                Request::SubscriptionsOf { node: node() },
            ),
            (
                owner(
                    Verb::Set,
                    "<subscriptions node='n'><subscription jid='bob@x/desk' \
                     subscription='none'/></subscriptions>",
                ),
                Request::SetSubscriptions {
                    node: node(),
                    entries: vec![(bob(), Subscription::None)],
                },
            ),
            (
                owner(Verb::Get, "<affiliations node='n'/>"),
                Request::AffiliationsOf { node: node() },
            ),
            (
                owner(
                    Verb::Set,
                    "<affiliations node='n'><affiliation jid='bob@x' affiliation='publish-only'/>\
                     <affiliation jid='eve@x'/></affiliations>",
                ),
                Request::SetAffiliations {
                    node: node(),
                    entries: vec![(jid("bob@x"), Affiliation::PublishOnly)],
                },
            ),
        ] {
            assert_eq!(found, Ok(expected));
        }
        let configure = format!("<configure node='n'>{config}</configure>");
        let found = owner(Verb::Set, &configure);
        assert!(matches!(found, Ok(Request::Configure { form: Some(_), .. })), "{found:?}");
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said_by_its_name() {
        let options = form(ns::PUBSUB_NODE_CONFIG, "");
        for (found, condition, app) in [
            (get("<items/>"), Condition::BadRequest, Some("nodeid-required")),
            (get("<items node=''/>"), Condition::BadRequest, Some("nodeid-required")),
            (get("<items node='n'><item/></items>"), Condition::BadRequest, Some("item-required")),
            (get("<items node='n' max_items='x'/>"), Condition::BadRequest, None),
            (get("<default/>"), Condition::FeatureNotImplemented, Some("unsupported")),
            (get("<options node='n'/>"), Condition::FeatureNotImplemented, Some("unsupported")),
            (set("<options node='n'/>"), Condition::FeatureNotImplemented, Some("unsupported")),
            (get("<publish node='n'/>"), Condition::FeatureNotImplemented, None),
            (get(""), Condition::BadRequest, None),
            (get("<items xmlns='urn:x' node='n'/>"), Condition::BadRequest, None),
            (set("<publish/>"), Condition::BadRequest, Some("nodeid-required")),
            (
                set("<publish node='n'><item/><item/></publish>"),
                Condition::BadRequest,
                Some("invalid-payload"),
            ),
            (
                set("<publish node='n'><item><a/><b/></item></publish>"),
                Condition::BadRequest,
                Some("invalid-payload"),
            ),
            (
                set("<publish node='n'><item>text</item></publish>"),
                Condition::BadRequest,
                Some("invalid-payload"),
            ),
            (set("<publish node='n'/><publish-options/>"), Condition::BadRequest, None),
            (
                set(&format!("<publish node='n'/><publish-options>{options}</publish-options>")),
                Condition::BadRequest,
                None,
            ),
            (set("<retract node='n'/>"), Condition::BadRequest, Some("item-required")),
            (
                set("<retract node='n'><item/></retract>"),
                Condition::BadRequest,
                Some("item-required"),
            ),
            (
                set("<retract><item id='i'/></retract>"),
                Condition::BadRequest,
                Some("nodeid-required"),
            ),
            (set("<subscribe node='n'/>"), Condition::BadRequest, Some("jid-required")),
            (set("<subscribe node='n' jid='@'/>"), Condition::BadRequest, Some("invalid-jid")),
            (set("<subscribe jid='a@x'/>"), Condition::BadRequest, Some("nodeid-required")),
            (set("<create node='n'/><configure node='n'/>"), Condition::BadRequest, None),
            (owner(Verb::Get, "<configure/>"), Condition::BadRequest, Some("nodeid-required")),
            (owner(Verb::Set, "<configure node='n'/>"), Condition::BadRequest, None),
            (owner(Verb::Set, "<delete/>"), Condition::BadRequest, Some("nodeid-required")),
            (owner(Verb::Set, "<purge/>"), Condition::BadRequest, Some("nodeid-required")),
            (
                owner(
                    Verb::Set,
                    "<affiliations node='n'><affiliation jid='a@x' affiliation='king'/>\
                     </affiliations>",
                ),
                Condition::NotAcceptable,
                None,
            ),
            (
                owner(
                    Verb::Set,
                    "<affiliations node='n'><affiliation jid='a@x' affiliation='none'/>\
                     <affiliation jid='a@x' affiliation='owner'/></affiliations>",
                ),
                Condition::BadRequest,
                None,
            ),
            (owner(Verb::Set, "<items node='n'/>"), Condition::FeatureNotImplemented, None),
        ] {
            let refused = found.unwrap_err();
            assert_eq!((refused.condition, refused.app.map(|it| it.0)), (condition, app));
        }
    }

    #[test]
    fn names_and_lists_are_bounded() {
        let items = |count: usize| {
            let items: String = (0..count).map(|n| format!("<item id='{n}'/>")).collect();
            get(&format!("<items node='n'>{items}</items>"))
        };
        assert!(items(MOST_IDS).is_ok() && items(MOST_IDS + 1).is_err());
        let named = |length: usize| get(&format!("<items node='{}'/>", "n".repeat(length)));
        assert!(named(LONGEST_NAME).is_ok() && named(LONGEST_NAME + 1).is_err());
        let entries = |count: usize| {
            let entries: String = (0..count)
                .map(|n| format!("<affiliation jid='{n}@x' affiliation='none'/>"))
                .collect();
            owner(Verb::Set, &format!("<affiliations node='n'>{entries}</affiliations>"))
        };
        assert!(entries(MOST_ENTRIES).is_ok() && entries(MOST_ENTRIES + 1).is_err());
    }
}
