//! XEP-0004, Data Forms, as the server writes them.

use whoelse_core::kit::command::{CommandDone, Field, FieldKind, Values};
use whoelse_xmpp::ns;
use whoelse_xmpp::payload::xmpp_parsers::data_forms::DataForm;
use whoelse_xmpp::write::Element;

/// The name of the field for the FORM_TYPE.
pub(crate) const FORM_TYPE: &str = "FORM_TYPE";

/// The name of a field's type (XEP-0004, 3.3).
fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::TextSingle => "text-single",
        FieldKind::TextPrivate => "text-private",
        FieldKind::TextMulti => "text-multi",
        FieldKind::JidSingle => "jid-single",
        FieldKind::JidMulti => "jid-multi",
        FieldKind::ListSingle(_) => "list-single",
        FieldKind::Hidden => "hidden",
    }
}

/// Begins a form of this type, with its FORM_TYPE (XEP-0068), if it has one.
pub(crate) fn begun(type_: &str, title: Option<&str>, about: Option<&str>) -> Element {
    let form = Element::new("x").xmlns(ns::DATA).attr("type", type_);
    let form = title.into_iter().fold(form, |form, title| form.text_child("title", title));
    about.into_iter().fold(form, |form, about| {
        let field = Element::new("field").attr("var", FORM_TYPE).attr("type", "hidden");
        form.child(with_value(field, about))
    })
}

/// Writes a field to fill in, with what a person reads beside it, and a value.
pub(crate) fn field(var: &str, type_: &str, label: &str, value: &str) -> Element {
    let field = Element::new("field").attr("var", var).attr("type", type_).attr("label", label);
    with_value(field, value)
}

/// Writes a form to fill in. `about` is its FORM_TYPE, if it has one.
pub(crate) fn to_fill_in(title: &str, about: Option<&str>, fields: &[Field]) -> Element {
    let form = begun("form", Some(title), about);
    fields.iter().fold(form, |form, field| {
        let mut element = Element::new("field")
            .attr("var", field.var)
            .attr("type", kind(field.kind))
            .attr("label", field.label);
        if let FieldKind::ListSingle(options) = field.kind {
            element = options.iter().fold(element, |element, (label, value)| {
                element.child(with_value(Element::new("option").attr("label", label), value))
            });
        }
        if field.required {
            element = element.child(Element::new("required"));
        }
        form.child(element)
    })
}

/// Writes a form of results; `None` when there is nothing to show.
pub(crate) fn of_results(done: &CommandDone, about: Option<&str>) -> Option<Element> {
    if done.fields.is_empty() && done.table.is_none() {
        return None;
    }
    let mut form = begun("result", None, about);
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
    field.text_child("value", value)
}

/// Reads a submitted form.
pub(crate) fn values(form: DataForm) -> Values {
    let fields = form.fields.into_iter();
    Values(fields.filter_map(|field| Some((field.var?, field.values))).collect())
}
