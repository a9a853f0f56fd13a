//! XEP-0156: where else this server is reached, as XML (RFC 6415) and as JSON.
//!
//! A page of any origin may read these two, and nothing else of this server: they are what a client
//! in a browser reads first, and everybody is told the same.

use super::{Answer, of_type};
use crate::config::PublicUrl;
use hyper::StatusCode;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue};
use serde_json::json;

/// The path of the XML.
pub(crate) const XML: &str = "/.well-known/host-meta";
/// The path of the JSON.
pub(crate) const JSON: &str = "/.well-known/host-meta.json";

/// The relation of a WebSocket (XEP-0156, 3).
const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
/// The relation of BOSH.
const BOSH: &str = "urn:xmpp:alt-connections:xbosh";

/// Answers with the XML.
pub(crate) fn xml(url: &PublicUrl) -> Answer {
    let links = links(url).map(|(relation, address)| {
        // An address has no character that would have to be escaped.
        format!("  <Link rel='{relation}' href='{address}'/>\n")
    });
    let text = format!(
        "<?xml version='1.0' encoding='utf-8'?>\n\
         <XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n{}</XRD>\n",
        links.concat()
    );
    for_everybody("application/xrd+xml", text)
}

/// Answers with the JSON.
pub(crate) fn json(url: &PublicUrl) -> Answer {
    let links = links(url).map(|(relation, address)| json!({ "rel": relation, "href": address }));
    for_everybody("application/jrd+json", json!({ "links": links }).to_string() + "\n")
}

fn links(url: &PublicUrl) -> [(&'static str, String); 2] {
    [(WEBSOCKET, url.websocket_at(super::websocket::PATH)), (BOSH, url.at(super::bosh::PATH))]
}

fn for_everybody(kind: &'static str, text: String) -> Answer {
    let mut answer = of_type(StatusCode::OK, kind, text);
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // It changes with the configuration; clients ask once a login.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    answer
}
