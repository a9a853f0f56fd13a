//! Which names a request may come under where rights follow from loopback: any page in a browser on
//! this machine reaches a listener there, also under a name that its author lets lead here (DNS
//! rebinding).

use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Uri};
use std::net::IpAddr;

/// Returns the header whose name is neither ours nor loopback's, if there is one. A request without
/// `Host` has no name that is ours.
pub(crate) fn stranger(headers: &HeaderMap, ours: &[String]) -> Option<&'static str> {
    let is_ours = |name: Option<String>| name.is_some_and(|name| is_ours(&name, ours));
    let mut hosts = headers.get_all(HOST).iter();
    if !is_ours(hosts.next().and_then(host)) || hosts.next().is_some() {
        return Some("Host");
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    if !origins.all(|origin| is_ours(origin_host(origin))) {
        return Some("Origin");
    }
    None
}

/// Returns the name in `name:port`.
fn host(value: &HeaderValue) -> Option<String> {
    let uri: Uri = format!("http://{}/", value.to_str().ok()?).parse().ok()?;
    uri.host().map(str::to_owned)
}

/// Returns the name in `https://name:port`; nothing of `null`.
fn origin_host(value: &HeaderValue) -> Option<String> {
    let uri: Uri = value.to_str().ok()?.parse().ok()?;
    uri.scheme().and(uri.host()).map(str::to_owned)
}

fn is_ours(name: &str, ours: &[String]) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    let name = name.trim_end_matches('.');
    is_loopback
        || name.eq_ignore_ascii_case("localhost")
        || ours.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(lines: &[(&'static str, &str)]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        stranger(&headers, &["chat.example.org".to_owned()])
    }

    #[test]
    fn own_names_and_loopback_are_taken() {
        for host in [
            "chat.example.org",
            "CHAT.example.org:5443",
            "localhost",
            "localhost:5443",
            "127.0.0.1:5443",
            "127.9.9.9",
            "[::1]:5443",
            "localhost.",
        ] {
            assert_eq!(found(&[("host", host)]), None, "{host}");
            let origin = format!("http://{host}");
            assert_eq!(found(&[("host", "localhost"), ("origin", &origin)]), None, "{origin}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "chat.example.org.evil.example",
            "192.0.2.1",
            "",
        ] {
            assert_eq!(found(&[("host", host)]), Some("Host"), "{host}");
        }
        assert_eq!(found(&[]), Some("Host"));
        assert_eq!(found(&[("host", "localhost"), ("host", "evil.example")]), Some("Host"));
        for origin in
            ["http://evil.example", "https://localhost.evil.example", "null", "", "file://"]
        {
            let lines = [("host", "localhost"), ("origin", origin)];
            assert_eq!(found(&lines), Some("Origin"), "{origin}");
        }
        let two = [
            ("host", "localhost"),
            ("origin", "http://localhost"),
            ("origin", "http://evil.example"),
        ];
        assert_eq!(found(&two), Some("Origin"));
    }
}
