//! XEP-0030, Service Discovery: what the server, its services and its accounts can do.
//!
//! The features declare their namespaces; the answers are derived from what is wired.

use whoelse_core::Node;
use whoelse_core::kit::service::{self, Service};
use whoelse_core::kit::{ANY_SERVICE, Answer, At, Cx, Feature, Reply, Target};
use whoelse_xmpp::payload::xmpp_parsers::data_forms::DataForm;
use whoelse_xmpp::payload::xmpp_parsers::disco::{
    DiscoInfoQuery, DiscoInfoResult, DiscoItemsQuery, Identity,
};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, StanzaError, ns};

use crate::capabilities;

/// XEP-0030.
pub const FEATURE: Feature = Feature {
    name: "discovery",
    xeps: &[(30, "2.5.0")],
    disco: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    wire: |w| {
        w.get(WHAT_IS_SEEN, info);
        w.get(EVERY_ADDRESS, items);
    },
    ..Feature::PLAIN
};

/// The addresses whose owner the asker may see.
const WHAT_IS_SEEN: At = &[Target::Server, Target::Own, Target::Other, ANY_SERVICE];
/// The same, and bare addresses about which nothing may be told.
const EVERY_ADDRESS: At =
    &[Target::Server, Target::Own, Target::Other, Target::Hidden, ANY_SERVICE];

async fn info(cx: Cx, query: DiscoInfoQuery) -> Answer {
    if let Target::Service(key) = cx.target {
        let service = cx.node.wiring.service_of(key).ok_or_else(unknown)?;
        return match (service.info, &query.node) {
            (_, None) => Ok(Reply::of(&of_service(&cx.node, service))),
            (None, Some(_)) => Err(unknown()),
            (Some(info), Some(_)) => info(cx, query).await,
        };
    }
    let mut answer = Element::new("query").xmlns(ns::DISCO_INFO);
    let is_caps = |node: &String| capabilities::is_offered(&of_node(&cx.node), node);
    if cx.target == Target::Server && query.node.as_ref().is_none_or(is_caps) {
        return Ok(Reply::of(&DiscoInfoResult { node: query.node, ..of_node(&cx.node) }));
    }
    let of_account = cx.node.wiring.of_accounts().filter(|_| cx.target != Target::Server);
    if let Some(node) = &query.node {
        answer = answer.attr("node", node);
        if let Some(about) = of_account {
            return (about.info)(cx, query).await;
        }
        if cx.target != Target::Server {
            return Err(unknown());
        }
        if node == ns::COMMANDS {
            let list = identity("automation", "command-list", Some("Commands"));
            return Ok(Reply::encoded(answer.child(list).finish()));
        }
        let found = cx.commands().find(|command| command.node == node);
        let command = found.ok_or_else(unknown)?;
        let answer = answer
            .child(identity("automation", "command-node", Some(command.name)))
            .child(Element::new("feature").attr("var", ns::COMMANDS))
            .child(Element::new("feature").attr("var", ns::DATA));
        return Ok(Reply::encoded(answer.finish()));
    }
    answer = answer.child(identity("account", "registered", None));
    let mut features = cx.node.wiring.disco().to_vec();
    if let Some(about) = of_account {
        answer = answer.child(identity(about.identity.0, about.identity.1, None));
        features.extend(about.features);
    }
    features.extend(cx.node.wiring.disco_of_accounts());
    features.sort_unstable();
    for feature in features {
        answer = answer.child(Element::new("feature").attr("var", feature));
    }
    Ok(Reply::encoded(answer.finish()))
}

/// What the server says of itself; its capabilities are the hash of this.
pub(crate) fn of_node(node: &Node) -> DiscoInfoResult {
    of_server(&node.disco(), node.wiring.server_forms(node))
}

pub(crate) fn of_server(disco: &[&str], extensions: Vec<DataForm>) -> DiscoInfoResult {
    DiscoInfoResult {
        node: None,
        identities: vec![Identity {
            category: "server".to_owned(),
            type_: "im".to_owned(),
            lang: None,
            name: Some("whoelse".to_owned()),
        }],
        features: disco.iter().map(|&feature| feature.to_owned()).collect(),
        extensions,
    }
}

/// What a service says of itself.
fn of_service(node: &Node, service: &Service) -> DiscoInfoResult {
    let service::Identity { category, type_, name } = service.identity;
    let mut features = [ns::DISCO_INFO, ns::DISCO_ITEMS].to_vec();
    features.extend((service.features)(node));
    features.sort_unstable();
    features.dedup();
    DiscoInfoResult {
        node: None,
        identities: vec![Identity {
            category: category.to_owned(),
            type_: type_.to_owned(),
            lang: None,
            name: Some(name.to_owned()),
        }],
        features: features.into_iter().map(str::to_owned).collect(),
        extensions: Vec::new(),
    }
}

async fn items(cx: Cx, query: DiscoItemsQuery) -> Answer {
    let service = match cx.target {
        Target::Service(key) => cx.node.wiring.service_of(key).and_then(|service| service.items),
        _ => None,
    };
    if let Some(items) = service {
        return items(cx, query).await;
    }
    if let (Some(about), Target::Own | Target::Other) = (cx.node.wiring.of_accounts(), cx.target) {
        return (about.items)(cx, query).await;
    }
    let mut answer =
        Element::new("query").xmlns(ns::DISCO_ITEMS).attr_opt("node", query.node.as_deref());
    match (query.node.as_deref(), cx.target) {
        (None, Target::Server) => {
            for (address, service) in cx.node.services() {
                let item = Element::new("item")
                    .attr("jid", address.as_str())
                    .attr("name", service.identity.name);
                answer = answer.child(item);
            }
        }
        // Section 8: an account answers only those who may see its presence. For others it looks as
        // if there were no account, whatever the node.
        (None, _) | (Some(_), Target::Hidden | Target::HiddenDevice) => {}
        (Some(ns::COMMANDS), Target::Server) => {
            let domain = cx.node.domain_name();
            for command in cx.commands() {
                let item = Element::new("item")
                    .attr("jid", &domain)
                    .attr("node", command.node)
                    .attr("name", command.name);
                answer = answer.child(item);
            }
        }
        (Some(_), _) => return Err(unknown()),
    }
    Ok(Reply::encoded(answer.finish()))
}

fn identity(category: &str, type_: &str, name: Option<&str>) -> Element {
    Element::new("identity").attr("category", category).attr("type", type_).attr_opt("name", name)
}

fn unknown() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound)
}
