//! XEP-0202, Entity Time: the server's time, always in UTC.

use whoelse_core::kit::{Answer, Cx, Feature, Reply, SERVER};
use whoelse_xmpp::ns;
use whoelse_xmpp::payload::xmpp_parsers::time::TimeQuery;
use whoelse_xmpp::write::Element;

/// XEP-0202.
pub const FEATURE: Feature = Feature {
    name: "time",
    xeps: &[(202, "2.0")],
    disco: &[ns::TIME],
    wire: |w| w.get(SERVER, time),
    ..Feature::PLAIN
};

async fn time(cx: Cx, _: TimeQuery) -> Answer {
    let time = Element::new("time")
        .xmlns(ns::TIME)
        .child(Element::new("tzo").text("+00:00"))
        .child(Element::new("utc").text(&cx.now.stamp()));
    Ok(Reply::encoded(time.finish()))
}
