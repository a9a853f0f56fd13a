//! RFC 6455, 4.2, and RFC 7395, 3.1: a request to go on as a WebSocket that carries XMPP.

use super::{Answer, switched, text};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, StatusCode, Version};
use whoelse_stream::websocket;

/// The path.
pub(crate) const PATH: &str = "/xmpp-websocket";
/// RFC 7395, 3.1: the name of the protocol over it.
const XMPP: &str = "xmpp";
/// The version of RFC 6455.
const VERSION: &str = "13";

/// Answers a request. If the connection goes on as a WebSocket, it is handed back by
/// [`super::serve`].
pub(crate) fn answer(request: Request<Incoming>) -> Answer {
    let accept = match accept(request.version(), request.headers()) {
        Ok(accept) => accept,
        Err(refused) => return *refused,
    };
    let mut answer = switched(request);
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(XMPP));
    answer
}

/// Checks a request, and returns the answer to its key.
fn accept(version: Version, headers: &HeaderMap) -> Result<HeaderValue, Box<Answer>> {
    let bad = |why| Err(Box::new(text(StatusCode::BAD_REQUEST, why)));
    if version != Version::HTTP_11
        || !has(headers, &CONNECTION, "upgrade")
        || !has(headers, &UPGRADE, "websocket")
    {
        let mut refused =
            text(StatusCode::UPGRADE_REQUIRED, "this is where WebSockets that speak XMPP begin\n");
        refused.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(refused));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        let mut refused = text(StatusCode::UPGRADE_REQUIRED, "only version 13 is spoken\n");
        let version = HeaderValue::from_static(VERSION);
        refused.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
        return Err(Box::new(refused));
    }
    if !has(headers, &SEC_WEBSOCKET_PROTOCOL, XMPP) {
        return bad("only the protocol \"xmpp\" is spoken\n");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let accept = key.and_then(websocket::accept).and_then(|accept| accept.try_into().ok());
    accept.map_or_else(|| bad("there is no Sec-WebSocket-Key\n"), Ok)
}

/// Whether a header lists a word.
fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let mut words = lines.flat_map(|line| line.split(','));
    words.any(|listed| listed.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat, xmpp"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ];

    fn status(version: Version, lines: &[(&'static str, &str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        match accept(version, &headers) {
            Ok(accept) => {
                assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
                101
            }
            Err(refused) => refused.status().as_u16(),
        }
    }

    #[test]
    fn a_browsers_request_is_accepted_and_every_part_of_it_is_needed() {
        assert_eq!(status(Version::HTTP_11, &GOOD), 101);
        assert_eq!(status(Version::HTTP_10, &GOOD), 426);
        for (without, refused) in [(0, 426), (1, 426), (2, 426), (3, 400), (4, 400), (5, 101)] {
            let mut lines = GOOD.to_vec();
            let (name, _) = lines.remove(without);
            assert_eq!(status(Version::HTTP_11, &lines), refused, "without {name}");
        }
        for (which, other, refused) in
            [(1, "h2c", 426), (2, "8", 426), (3, "c2hvcnQ=", 400), (4, "xmpp-framing", 400)]
        {
            let mut lines = GOOD;
            lines[which].1 = other;
            assert_eq!(status(Version::HTTP_11, &lines), refused, "{other}");
        }
    }
}
