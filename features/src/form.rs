//! XEP-0004, Data Forms, as our answers write them.

use whoelse_core::kit::command::{CommandDone, Field, FieldKind, Values};
use whoelse_xmpp::ns;
use whoelse_xmpp::payload::xmpp_parsers::data_forms::DataForm;
use whoelse_xmpp::write::Element;

/// The name of a field's type (XEP-0004, 3.3).
fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::TextSingle => "text-single",
        FieldKind::TextPrivate => "text-private",
        FieldKind::TextMulti => "text-multi",
        FieldKind::JidSingle => "jid-single",
        FieldKind::JidMulti => "jid-multi",
    }
}

/// A form to fill in.
pub(crate) fn to_fill_in(title: &str, fields: &[Field]) -> Element {
    let form = Element::new("x")
        .xmlns(ns::DATA)
        .attr("type", "form")
        .child(Element::new("title").text(title));
    fields.iter().fold(form, |form, field| {
        let mut element = Element::new("field")
            .attr("var", field.var)
            .attr("type", kind(field.kind))
            .attr("label", field.label);
        if field.required {
            element = element.child(Element::new("required"));
        }
        form.child(element)
    })
}

/// A form of results; `None` when there is nothing to show.
pub(crate) fn of_results(done: &CommandDone) -> Option<Element> {
    if done.fields.is_empty() && done.table.is_none() {
        return None;
    }
    let mut form = Element::new("x").xmlns(ns::DATA).attr("type", "result");
    for (var, type_, values) in &done.fields {
        let field = Element::new("field").attr("var", var).attr("type", kind(*type_));
        form = form.child(values.iter().fold(field, |field, value| with_value(field, value)));
    }
    if let Some(table) = &done.table {
        let mut reported = Element::new("reported");
        for (var, label) in table.columns {
            reported = reported.child(Element::new("field").attr("var", var).attr("label", label));
        }
        form = form.child(reported);
        for row in &table.rows {
            let mut item = Element::new("item");
            for ((var, _), value) in table.columns.iter().zip(row) {
                item = item.child(with_value(Element::new("field").attr("var", var), value));
            }
            form = form.child(item);
        }
    }
    Some(form)
}

fn with_value(field: Element, value: &str) -> Element {
    field.child(Element::new("value").text(value))
}

/// What was filled in.
pub(crate) fn values(form: DataForm) -> Values {
    let fields = form.fields.into_iter();
    Values(fields.filter_map(|field| Some((field.var?, field.values))).collect())
}
