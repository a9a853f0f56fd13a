//! XEP-0004: the forms of a node: its configuration to fill in, and what it is.

use whoelse_xmpp::ns;
use whoelse_xmpp::write::Element;

use super::config::{Config, FIELDS, Field, Kind, PREFIX};
use crate::form::begun;

/// XEP-0060, 8.2.2: a configuration to fill in.
pub(super) fn to_configure(config: &Config) -> Element {
    let form = begun("form", None, Some(ns::PUBSUB_NODE_CONFIG));
    FIELDS.iter().fold(form, |form, field| form.child(filled_in(field, config)))
}

/// XEP-0060, 8.2.5.3: a configuration that is told.
pub(super) fn of_config(config: &Config) -> Element {
    let form = begun("result", None, Some(ns::PUBSUB_NODE_CONFIG));
    FIELDS.iter().fold(form, |form, field| form.child(values(field.name, &(field.get)(config))))
}

/// The fields of a configuration that say what a node is, to anybody who may read it.
const TOLD: [&str; 7] =
    ["title", "description", "type", "language", "access_model", "publish_model", "max_items"];

/// XEP-0060, 5.4: what a node is, and who owns it.
pub(super) fn of_node(config: &Config, owners: &[String]) -> Element {
    let form = begun("result", None, Some(ns::PUBSUB_META_DATA));
    let told = FIELDS.iter().filter(|field| TOLD.contains(&field.name));
    let form = told.fold(form, |form, field| {
        let said = (field.get)(config);
        if said.is_empty() { form } else { form.child(values(field.name, &said)) }
    });
    form.child(values("owner", owners))
}

fn filled_in(field: &Field, config: &Config) -> Element {
    let (type_, options) = match field.kind {
        Kind::Boolean => ("boolean", Vec::new()),
        Kind::OneOf(words) => ("list-single", words()),
        Kind::Line => ("text-single", Vec::new()),
        Kind::Lines => ("text-multi", Vec::new()),
    };
    let element = Element::new("field")
        .attr("var", &format!("{PREFIX}{}", field.name))
        .attr("type", type_)
        .attr("label", field.label);
    let element = with_values(element, &(field.get)(config));
    options.iter().fold(element, |element, word| {
        element.child(Element::new("option").attr("label", word).text_child("value", word))
    })
}

fn values(name: &str, values: &[String]) -> Element {
    with_values(Element::new("field").attr("var", &format!("{PREFIX}{name}")), values)
}

fn with_values(element: Element, values: &[String]) -> Element {
    values.iter().fold(element, |element, value| element.text_child("value", value))
}
