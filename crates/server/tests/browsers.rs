//! `[web] listen`: WebSockets over real sockets, who is let in to them, and whose address counts
//! behind a proxy (docs/design/web.md).
#![allow(clippy::unwrap_used)]

mod common;

use common::{PATIENCE, World, handshake, until_closed};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use whoelse_server::Config;
use whoelse_server::config::{Forwarded, Source};
use whoelse_server::ingress::Io;

/// A server with a listener for browsers, whose rights do not follow from loopback.
async fn world(change: impl FnOnce(&mut Config)) -> World {
    World::with(|config| {
        config.web.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.web.public_url = Some("https://chat.example.org".parse().unwrap());
        change(config);
    })
    .await
}

fn proxied(config: &mut Config, forwarded: Forwarded) {
    config.web.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    config.web.forwarded = forwarded;
    config.settings.registration = whoelse_core::settings::Registration::Closed;
}

fn web(world: &World) -> SocketAddr {
    world.server.web_addresses()[0]
}

async fn in_clear(address: SocketAddr) -> Box<dyn Io> {
    Box::new(TcpStream::connect(address).await.unwrap())
}

async fn over_tls(address: SocketAddr) -> Box<dyn Io> {
    handshake(in_clear(address).await, false).await.0
}

/// Asks for a path, and returns the whole answer.
async fn get(mut io: Box<dyn Io>, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&until_closed(&mut io).await).into_owned()
}

/// A client in a browser.
struct Browser {
    io: Box<dyn Io>,
    heard: Vec<u8>,
}

impl Browser {
    /// Asks for a WebSocket. Fails with the answer.
    async fn ask(mut io: Box<dyn Io>, headers: &str) -> Result<Browser, String> {
        let request = format!(
            "GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\
             {headers}\r\n"
        );
        io.write_all(request.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        let reading = async {
            while !heard.ends_with(b"\r\n\r\n") && io.read_buf(&mut heard).await.unwrap_or(0) > 0 {}
        };
        timeout(PATIENCE, reading).await.unwrap();
        let answer = String::from_utf8_lossy(&heard).into_owned();
        if !answer.starts_with("HTTP/1.1 101") {
            let rest = until_closed(&mut io).await;
            return Err(answer + &String::from_utf8_lossy(&rest));
        }
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        let lines = answer.to_lowercase();
        assert!(lines.contains("sec-websocket-protocol: xmpp"), "{answer}");
        // A proxy that reads `close` there as well takes the line out, and then it is no WebSocket.
        assert!(lines.contains("\r\nconnection: upgrade\r\n"), "{answer}");
        Ok(Browser { io, heard: Vec::new() })
    }

    async fn say(&mut self, text: &str) {
        let mut frame = vec![0x81];
        match text.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.io.write_all(&frame).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// The next message.
    async fn hear(&mut self) -> String {
        let reading = async {
            loop {
                if let Some((text, length)) = message(&self.heard) {
                    self.heard.drain(..length);
                    return text;
                }
                let read = self.io.read_buf(&mut self.heard).await.unwrap_or(0);
                assert!(read > 0, "the server has closed the connection");
            }
        };
        timeout(PATIENCE, reading).await.expect("the server has something to say")
    }

    /// Opens the stream. Returns the features.
    async fn open(&mut self) -> String {
        self.say(
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>",
        )
        .await;
        let open = self.hear().await;
        assert!(open.starts_with("<open from='localhost'"), "{open}");
        self.hear().await
    }

    /// Logs in by PLAIN. Returns the answer.
    async fn log_in(&mut self, name: &str, password: &str) -> String {
        let text = base64(format!("\0{name}\0{password}").as_bytes());
        let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
        self.say(&format!("<auth xmlns='{sasl}' mechanism='PLAIN'>{text}</auth>")).await;
        self.hear().await
    }
}

fn message(bytes: &[u8]) -> Option<(String, usize)> {
    assert!(bytes.first().is_none_or(|first| *first == 0x81), "{bytes:x?}");
    let (length, head) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        short => (usize::from(short), 2),
    };
    let text = bytes.get(head..head + length)?;
    Some((String::from_utf8(text.to_vec()).unwrap(), head + length))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |n, i| n << 8 | usize::from(*three.get(i).unwrap_or(&0)));
        for digit in 0..4 {
            match digit <= three.len() {
                true => text.push(char::from(DIGITS[number >> (18 - 6 * digit) & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_over_tls_and_on_loopback_without() {
    let world = world(|_| {}).await;

    for (io, is_bound) in
        [(over_tls(web(&world)).await, true), (in_clear(web(&world)).await, false)]
    {
        let mut browser = Browser::ask(io, "").await.unwrap();
        let features = browser.open().await;
        assert_eq!(features.contains("SCRAM-SHA-256-PLUS"), is_bound, "{features}");
        assert!(browser.log_in("alice", "wrong").await.starts_with("<failure "));
        let password = "the password of alice";
        assert!(browser.log_in("alice", password).await.starts_with("<success "));
        let features = browser.open().await;
        assert!(features.contains("urn:ietf:params:xml:ns:xmpp-bind"), "{features}");
        browser
            .say("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            .await;
        let bound = browser.hear().await;
        assert!(bound.starts_with("<iq xmlns='jabber:client' type='result' id='1'>"), "{bound}");
        browser.say("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>").await;
        let end = until_closed(&mut browser.io).await;
        assert!(
            end.ends_with(b"'urn:ietf:params:xml:ns:xmpp-framing'/>\x88\x02\x03\xE8"),
            "{end:?}"
        );
    }
    world.server.shutdown().await;
}

/// Security rows 16, 17 and 22.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_websocket_nobody_changes_the_host_the_mechanisms_or_the_channel() {
    let world = world(|_| {}).await;
    let new = async || {
        let mut browser = Browser::ask(over_tls(web(&world)).await, "").await.unwrap();
        browser.open().await;
        browser
    };
    let open = |attributes: &str| {
        format!("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' {attributes}/>")
    };

    let mut browser = new().await;
    browser.log_in("alice", "the password of alice").await;
    browser.say(&open("to='other.example'")).await;
    browser.hear().await;
    let end = browser.hear().await;
    assert!(end.contains("<host-unknown "), "{end}");

    let mut browser = new().await;
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    browser.say(&format!("<auth xmlns='{sasl}' mechanism='EXTERNAL'>=</auth>")).await;
    let refused = browser.hear().await;
    assert!(refused.contains("<invalid-mechanism/>"), "{refused}");

    browser.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    let refused = browser.hear().await;
    assert_eq!(refused, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    until_closed(&mut browser.io).await;
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_two_host_meta_files_are_for_every_page() {
    let world = world(|_| {}).await;

    for io in [over_tls(web(&world)).await, in_clear(web(&world)).await] {
        let xml = get(io, "/.well-known/host-meta", "").await;
        assert!(xml.starts_with("HTTP/1.1 200"), "{xml}");
        assert!(xml.contains("access-control-allow-origin: *"), "{xml}");
        assert!(xml.contains("application/xrd+xml"), "{xml}");
        let link = "<Link rel='urn:xmpp:alt-connections:websocket' \
                    href='wss://chat.example.org/xmpp-websocket'/>";
        assert!(xml.contains(link), "{xml}");
    }
    let json = get(over_tls(web(&world)).await, "/.well-known/host-meta.json", "").await;
    assert!(json.contains("access-control-allow-origin: *"), "{json}");
    assert!(json.contains("\"wss://chat.example.org/xmpp-websocket\""), "{json}");
    for path in ["/", "/xmpp-websocket", "/metrics", "/health", "/relay", "/.well-known/"] {
        let answer = get(in_clear(web(&world)).await, path, "").await;
        let status = if path == "/xmpp-websocket" { "HTTP/1.1 426" } else { "HTTP/1.1 404" };
        assert!(answer.starts_with(status), "{path}: {answer}");
        assert!(!answer.contains("access-control"), "{path}: {answer}");
    }
    world.server.shutdown().await;

    let world = self::world(|config| config.web.public_url = None).await;
    for path in ["/.well-known/host-meta", "/.well-known/host-meta.json"] {
        let answer = get(in_clear(web(&world)).await, path, "").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_rights_follow_from_loopback_other_sites_are_refused() {
    let world = world(|_| {}).await;
    for (headers, refused) in [
        ("", None),
        ("Origin: https://localhost\r\n", None),
        ("Origin: http://127.0.0.1:8000\r\n", None),
        ("Origin: https://evil.example\r\n", Some("Origin")),
        ("Origin: null\r\n", Some("Origin")),
        ("Host: evil.example\r\n", Some("Host")),
    ] {
        let asked = Browser::ask(over_tls(web(&world)).await, headers).await;
        match (asked, refused) {
            (Ok(_), None) => {}
            (Err(answer), Some(header)) => {
                assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
                assert!(answer.contains(&format!("the {header} of this request")), "{answer}");
            }
            (asked, refused) => panic!("{headers}: {:?} {refused:?}", asked.err()),
        }
    }
    world.server.shutdown().await;

    // Elsewhere any page may come.
    let world = self::world(|config| {
        config.settings.registration = whoelse_core::settings::Registration::Closed;
        config.direct_tls = vec!["0.0.0.0:0".parse().unwrap()];
    })
    .await;
    let headers = "Origin: https://elsewhere.example\r\n";
    assert!(Browser::ask(over_tls(web(&world)).await, headers).await.is_ok());
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_registers_over_the_web_on_a_server_without_a_configuration() {
    for (source, offered) in
        [(Source::QuickStart, false), (Source::File("whoelse.toml".into()), true)]
    {
        let world = world(|config| config.source = source).await;
        let mut browser = Browser::ask(over_tls(web(&world)).await, "").await.unwrap();
        let features = browser.open().await;
        assert_eq!(features.contains("http://jabber.org/features/iq-register"), offered);
        browser.say("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>").await;
        let answer = browser.hear().await;
        assert_eq!(answer.contains("type='result'"), offered, "{answer}");
        world.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_not_listed_is_refused_and_told_the_setting_and_its_address() {
    let world = world(|_| {}).await;
    for header in ["X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7", "Via: 1.1 x"] {
        for path in ["/.well-known/host-meta", "/xmpp-websocket", "/none"] {
            let answer = get(in_clear(web(&world)).await, path, &format!("{header}\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{header}: {answer}");
            assert!(answer.contains("127.0.0.1 is not in trusted_proxies under [web]"), "{answer}");
        }
    }
    let signature = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xCB\0\x71\x07\x7F\0\0\x01\x01\x02\x03\x04";
    for header in [&signature[..], b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n"] {
        let mut io = in_clear(web(&world)).await;
        io.write_all(header).await.unwrap();
        io.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let reading = async {
            while !answer.contains("[web]") {
                let mut some = [0; 1024];
                let read = io.read(&mut some).await.unwrap();
                assert!(read > 0, "{answer}");
                answer += &String::from_utf8_lossy(&some[..read]);
            }
        };
        timeout(PATIENCE, reading).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("127.0.0.1 is not in trusted_proxies under [web]"), "{answer}");
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_refused_and_stays_holds_up_no_shutdown() {
    let world =
        world(|config| config.settings.limits.negotiation = Duration::from_secs(3600)).await;
    let mut io = in_clear(web(&world)).await;
    io.write_all(b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n").await.unwrap();
    io.read_exact(&mut [0; 12]).await.unwrap();

    world.server.connections().close();

    timeout(PATIENCE, world.server.connections().gone()).await.expect("nobody is left");
    drop(io);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_proxy_has_to_say_whose_request_it_is() {
    let world = world(|config| proxied(config, Forwarded::XForwardedFor)).await;
    for headers in ["", "Forwarded: for=203.0.113.7\r\n", "X-Forwarded-For: unknown\r\n"] {
        let answer = Browser::ask(in_clear(web(&world)).await, headers).await.err().unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("the proxy 127.0.0.1 is in trusted_proxies"), "{answer}");
    }
    let headers = "X-Forwarded-For: 203.0.113.7\r\n";
    for io in [in_clear(web(&world)).await, over_tls(web(&world)).await] {
        let mut browser = Browser::ask(io, headers).await.unwrap();
        let features = browser.open().await;
        // The TLS of the client is not ours.
        assert!(features.contains(">SCRAM-SHA-256<") && !features.contains("-PLUS"), "{features}");
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_clients_behind_one_proxy_a_guesser_is_locked_out_alone() {
    let world = world(|config| proxied(config, Forwarded::XForwardedFor)).await;
    let headers = |n: usize| format!("X-Forwarded-For: 198.51.100.{n}\r\n");
    // All of them at once: none has to wait for another.
    let mut browsers = Vec::new();
    for n in 1..=60 {
        let mut browser = Browser::ask(in_clear(web(&world)).await, &headers(n)).await.unwrap();
        browser.open().await;
        browsers.push(browser);
    }
    assert_eq!(world.server.connections().gate().half_open(), 60);
    assert_eq!(world.server.connections().gate().waiting(), 0);

    let mut guesser = browsers.remove(6);
    assert!(guesser.log_in("alice", "one").await.contains("not-authorized"));
    assert!(guesser.log_in("alice", "two").await.contains("not-authorized"));
    let third = guesser.log_in("alice", "three").await;
    assert!(third.contains("blocked") || third.contains("seconds"), "{third}");
    // From there it is blocked, with the right password as well.
    let mut again = Browser::ask(in_clear(web(&world)).await, &headers(7)).await.unwrap();
    again.open().await;
    let answer = again.log_in("alice", "the password of alice").await;
    assert!(answer.starts_with("<failure "), "{answer}");

    for browser in &mut browsers {
        let answer = browser.log_in("alice", "the password of alice").await;
        assert!(answer.starts_with("<success "), "{answer}");
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_a_client_takes_the_places_of_its_own_address() {
    let world = world(|config| {
        proxied(config, Forwarded::XForwardedFor);
        config.settings.limits.half_open_per_network = 2;
    })
    .await;
    let mut browsers = Vec::new();
    for _ in 0..2 {
        let headers = "X-Forwarded-For: 203.0.113.7\r\n";
        let mut browser = Browser::ask(in_clear(web(&world)).await, headers).await.unwrap();
        browser.open().await;
        browsers.push(browser);
    }
    let headers = "X-Forwarded-For: 203.0.113.7\r\n";
    let mut third = Browser::ask(in_clear(web(&world)).await, headers).await.unwrap();
    world.until_waiting(1).await;
    let other = "X-Forwarded-For: 203.0.113.8\r\n";
    Browser::ask(in_clear(web(&world)).await, other).await.unwrap().open().await;

    browsers.pop();

    third.open().await;
    world.server.shutdown().await;
}

/// A header of PROXY, version 2.
fn proxy_header(command: u8, source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, 0x11, 0, 12]);
    header.extend(source);
    header.extend([127, 0, 0, 1, 1, 2, 3, 4]);
    header
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_says_whose_a_connection_is() {
    let world = world(|config| proxied(config, Forwarded::ProxyV2)).await;
    let after = async |header: &[u8]| {
        let mut io = in_clear(web(&world)).await;
        io.write_all(header).await.unwrap();
        io
    };
    // Three guesses from one address block it there, and nobody else.
    let guesser = proxy_header(1, [203, 0, 113, 7]);
    let mut browser = Browser::ask(after(&guesser).await, "").await.unwrap();
    browser.open().await;
    for password in ["one", "two", "three"] {
        assert!(browser.log_in("alice", password).await.starts_with("<failure "));
    }
    for (source, answered) in [([203, 0, 113, 7], "<failure "), ([203, 0, 113, 8], "<success ")] {
        // The other header is not believed.
        let headers = "X-Forwarded-For: 192.0.2.1\r\n";
        let io = after(&proxy_header(1, source)).await;
        let mut browser = Browser::ask(io, headers).await.unwrap();
        browser.open().await;
        let answer = browser.log_in("alice", "the password of alice").await;
        assert!(answer.starts_with(answered), "{source:?}: {answer}");
    }
    // A proxy's own check is answered, and opens no stream.
    let check = proxy_header(0, [0; 4]);
    assert!(get(after(&check).await, "/", "").await.starts_with("HTTP/1.1 404"));
    let refused = Browser::ask(after(&check).await, "").await.err().unwrap();
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    // Without a header, nobody knows who it is.
    let refused = get(in_clear(web(&world)).await, "/.well-known/host-meta", "").await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("127.0.0.1"), "{refused}");
    // TLS within is carried on.
    let io = handshake(after(&proxy_header(1, [203, 0, 113, 9])).await, false).await.0;
    let features = Browser::ask(io, "").await.unwrap().open().await;
    assert!(!features.contains("-PLUS"), "{features}");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_log_in_is_let_go_of_in_time_before_the_websocket_and_after() {
    let world = world(|config| {
        config.settings.limits.negotiation = Duration::from_secs(2);
        config.settings.limits.half_open_per_network = 3;
    })
    .await;
    let mut head = in_clear(web(&world)).await;
    head.write_all(b"GET /xmpp-websocket HT").await.unwrap();
    let mut silent = Browser::ask(over_tls(web(&world)).await, "").await.unwrap();
    let mut nothing = in_clear(web(&world)).await;
    // The three places of this network are taken.
    let mut fourth = in_clear(web(&world)).await;
    world.until_waiting(1).await;

    until_closed(&mut head).await;
    until_closed(&mut nothing).await;
    let last = until_closed(&mut silent.io).await;
    assert!(String::from_utf8_lossy(&last).contains("<close "), "{last:?}");
    until_closed(&mut fourth).await;
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_is_told_over_a_websocket() {
    let world = world(|_| {}).await;
    let mut browser = Browser::ask(over_tls(web(&world)).await, "").await.unwrap();
    browser.open().await;

    world.server.shutdown().await;

    let said = String::from_utf8_lossy(&until_closed(&mut browser.io).await).into_owned();
    assert!(said.contains("<system-shutdown ") && said.contains("<close "), "{said}");
}
