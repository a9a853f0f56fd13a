//! XEP-0313, 4.2 and 4.3: how a page is sent.

use whoelse_core::Time;
use whoelse_store::LoggedMessage;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Outgoing, ns};

use super::found::Found;
use super::reader::Reader;

/// One message of a page.
pub(super) fn result(reader: &Reader, row: &LoggedMessage, queryid: Option<&str>) -> Outgoing {
    let message = reader.shelf.message(row).with_attributes(b" xmlns='jabber:client'");
    let delay =
        Element::new("delay").xmlns(ns::DELAY).attr("stamp", &Time(row.at).stamp()).finish();
    let forwarded = Element::new("forwarded").xmlns(ns::FORWARD).raw(&delay).raw(&message.bytes);
    let result = Element::new("result")
        .xmlns(ns::MAM)
        .attr_opt("queryid", queryid)
        .attr("id", &reader.id(row.seq))
        .child(forwarded);
    Element::new("message")
        .attr("from", reader.shelf.address().as_str())
        .attr("to", reader.to.as_str())
        .child(result)
        .outgoing(Class::Message)
}

/// The end of a page.
pub(super) fn fin(reader: &Reader, found: &Found) -> Element {
    let mut set = Element::new("set").xmlns(ns::RSM);
    if let (Some(first), Some(last)) = (found.rows.first(), found.rows.last()) {
        set = set
            .child(Element::new("first").text(&reader.id(first.seq)))
            .child(Element::new("last").text(&reader.id(last.seq)));
    }
    if let Some(count) = found.count {
        set = set.child(Element::new("count").text(&count.to_string()));
    }
    let fin = Element::new("fin").xmlns(ns::MAM);
    match found.complete {
        true => fin.attr("complete", "true"),
        false => fin,
    }
    .child(set)
}
