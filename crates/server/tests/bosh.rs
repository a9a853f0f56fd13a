//! BOSH over HTTP: what a browser asks and is answered, over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, handshake, until_closed};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use whoelse_server::ingress::Io;

const NS: &str = "http://jabber.org/protocol/httpbind";

async fn world() -> World {
    World::with(|config| {
        config.web.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.settings.limits.negotiation = Duration::from_secs(3);
    })
    .await
}

async fn over_tls(address: SocketAddr) -> Box<dyn Io> {
    handshake(Box::new(TcpStream::connect(address).await.unwrap()), false).await.0
}

/// Sends a request, and returns the whole answer.
async fn ask(world: &World, method: &str, headers: &str, body: &str) -> String {
    let mut io = over_tls(world.server.web_addresses()[0]).await;
    let length = body.len();
    let request = format!(
        "{method} /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    io.write_all(request.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&until_closed(&mut io).await).into_owned()
}

async fn post(world: &World, body: &str) -> String {
    ask(world, "POST", "Content-Type: text/xml; charset=utf-8\r\n", body).await
}

/// Returns the value of an attribute of a body.
fn attribute(answer: &str, name: &str) -> Option<String> {
    let (_, rest) = answer.split_once(&format!(" {name}='"))?;
    rest.split_once('\'').map(|(value, _)| value.to_owned())
}

/// Begins a session: the id, and the whole answer.
async fn begin(world: &World, wait: u32) -> (String, String) {
    let answer = post(
        world,
        &format!(
            "<body xmlns='{NS}' rid='100' to='localhost' wait='{wait}' hold='1' ver='1.6' \
             xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>"
        ),
    )
    .await;
    (attribute(&answer, "sid").unwrap_or_else(|| panic!("{answer}")), answer)
}

fn body(rid: u64, sid: &str, content: &str) -> String {
    format!("<body xmlns='{NS}' rid='{rid}' sid='{sid}'>{content}</body>")
}

/// PLAIN, as alice.
fn auth() -> String {
    // \0alice\0the password of alice
    let text = "AGFsaWNlAHRoZSBwYXNzd29yZCBvZiBhbGljZQ==";
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>")
}

/// Logs in and binds. Returns the id of the session, and the number of its next request.
async fn logged_in(world: &World, wait: u32) -> (String, u64) {
    let (sid, _) = begin(world, wait).await;
    let answer = post(world, &body(101, &sid, &auth())).await;
    assert!(answer.contains("<success "), "{answer}");
    let restart = format!(
        "<body xmlns='{NS}' rid='102' sid='{sid}' to='localhost' xmpp:restart='true' \
         xmlns:xmpp='urn:xmpp:xbosh'/>"
    );
    let answer = post(world, &restart).await;
    assert!(answer.contains("urn:ietf:params:xml:ns:xmpp-bind"), "{answer}");
    let bind = "<iq type='set' id='1' xmlns='jabber:client'>\
                <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let answer = post(world, &body(103, &sid, bind)).await;
    assert!(answer.contains("<jid>alice@localhost/"), "{answer}");
    (sid, 104)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_and_hears_what_comes() {
    let world = world().await;
    let (_, answer) = begin(&world, 60).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: text/xml; charset=utf-8"), "{answer}");
    assert!(answer.contains("<stream:features ") && !answer.contains("-PLUS"), "{answer}");

    let (sid, rid) = logged_in(&world, 60).await;
    let presence = body(rid, &sid, "<presence xmlns='jabber:client'/>");
    let answer = post(&world, &presence).await;
    assert!(answer.contains("<presence xmlns='jabber:client' "), "{answer}");
    // The same is asked again, as after a connection that broke: it is answered alike.
    let again = post(&world, &presence).await;
    assert_eq!(again.split_once("\r\n\r\n").unwrap().1, answer.split_once("\r\n\r\n").unwrap().1);

    let empty = body(rid + 1, &sid, "").replace("></body>", "/>");
    let mut bob = world.online("bob").await;
    let (heard, ()) = tokio::join!(post(&world, &empty), async {
        bob.send(&common::message("alice", "hello")).await;
    });
    assert!(heard.contains("<body>hello</body>") || heard.contains("<presence "), "{heard}");
    let last = format!("<body xmlns='{NS}' rid='{}' sid='{sid}' type='terminate'/>", rid + 2);
    let answer = post(&world, &last).await;
    assert!(answer.contains(" type='terminate'") && !answer.contains("condition"), "{answer}");
    let answer = post(&world, &body(rid + 3, &sid, "")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_held_for_its_wait_and_longer_than_a_login_may_take() {
    let world = world().await;
    let (sid, rid) = logged_in(&world, 5).await;
    let begin = Instant::now();

    let answer = post(&world, &body(rid, &sid, "").replace("></body>", "/>")).await;

    let took = begin.elapsed();
    assert!(answer.contains("<body xmlns='http://jabber.org/protocol/httpbind'/>"), "{answer}");
    assert!(took >= Duration::from_secs(5), "{took:?}");
    assert_eq!(world.server.connections().gate().half_open(), 0);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_is_told_that_it_may_ask() {
    // Where rights follow from loopback it may not.
    let quick = world().await;
    let headers = "Origin: https://chat.example\r\nAccess-Control-Request-Method: POST\r\n\
                   Access-Control-Request-Headers: content-type\r\n";
    let refused = ask(&quick, "OPTIONS", headers, "").await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    quick.server.shutdown().await;

    let world = World::with(|config| {
        config.web.listen = vec!["0.0.0.0:0".parse().unwrap()];
        config.settings.registration = whoelse_core::settings::Registration::Closed;
    })
    .await;
    let address = SocketAddr::from(([127, 0, 0, 1], world.server.web_addresses()[0].port()));
    for (method, status) in [("OPTIONS", "200"), ("GET", "405"), ("PUT", "405")] {
        let mut io = over_tls(address).await;
        let request = format!("{method} /http-bind HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&until_closed(&mut io).await).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        if method == "OPTIONS" {
            for line in [
                "access-control-allow-origin: https://chat.example",
                "access-control-allow-methods: POST, OPTIONS",
                "access-control-allow-headers: Content-Type",
                "vary: Origin",
            ] {
                assert!(answer.contains(line), "{line}: {answer}");
            }
        }
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_as_xep_0124_lists() {
    let world = world().await;
    let (sid, _) = begin(&world, 60).await;
    let long = "x".repeat(20_000);
    for (request, status, condition) in [
        (String::new(), "400", "bad-request"),
        ("hello".to_owned(), "400", "bad-request"),
        (format!("<body xmlns='{NS}' to='localhost'/>"), "400", "bad-request"),
        (format!("<!DOCTYPE x><body xmlns='{NS}' rid='1' to='localhost'/>"), "400", "bad-request"),
        (body(1, "no-such-session", ""), "404", "item-not-found"),
        (body(101, &sid, &format!("<a>{long}</a>")), "403", "policy-violation"),
    ] {
        let answer = post(&world, &request).await;
        let shown: String = request.chars().take(100).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
        let refused = format!("<body type='terminate' condition='{condition}' xmlns='{NS}'/>");
        assert!(answer.ends_with(&refused), "{shown}: {answer}");
    }
    // The session itself goes on, until a number comes that may not.
    let answer = post(&world, &body(101, &sid, &auth())).await;
    assert!(answer.contains("<success "), "{answer}");
    let answer = post(&world, &body(900, &sid, "")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = post(&world, &body(102, &sid, "")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_a_request_takes_a_place_of_its_client() {
    let world = World::with(|config| {
        config.web.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.web.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        config.settings.registration = whoelse_core::settings::Registration::Closed;
        config.settings.limits.half_open_per_network = 2;
    })
    .await;
    let gate = world.server.connections().gate();
    // Their bodies never come.
    let begun = async || {
        let mut io = TcpStream::connect(world.server.web_addresses()[0]).await.unwrap();
        let head = "POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\
                    X-Forwarded-For: 203.0.113.7\r\n\r\n";
        io.write_all(head.as_bytes()).await.unwrap();
        io
    };
    let first = begun().await;
    while gate.half_open() < 1 {
        tokio::task::yield_now().await;
    }
    let _others = [begun().await, begun().await];
    world.until_waiting(1).await;
    assert_eq!(gate.half_open(), 2);

    // Somebody else is answered at once, in places that are given back.
    let first_body =
        format!("<body xmlns='{NS}' rid='1' to='localhost' xmlns:xmpp='urn:xmpp:xbosh'/>");
    let answer = ask(&world, "POST", "X-Forwarded-For: 203.0.113.8\r\n", &first_body).await;
    assert!(attribute(&answer, "sid").is_some(), "{answer}");
    assert_eq!(gate.half_open(), 2);

    drop(first);
    world.until_waiting(0).await;
    assert_eq!(gate.half_open(), 2);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_error_ends_the_session_with_the_stream_error() {
    let world = world().await;
    let (sid, _) = begin(&world, 60).await;
    for content in ["<message/>", "<!-- x -->"] {
        let (sid, _) = begin(&world, 60).await;
        let answer = post(&world, &body(101, &sid, content)).await;
        assert!(answer.contains(" type='terminate' condition='remote-stream-error'"), "{answer}");
        assert!(answer.contains("<stream:error "), "{answer}");
    }
    // Who does not log in in time is told, on a request that is there.
    let answer = post(&world, &body(101, &sid, "")).await;
    assert!(answer.contains(" type='terminate'"), "{answer}");
    world.server.shutdown().await;
}
