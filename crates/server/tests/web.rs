//! HTTP where clients connect, and on the listener for operators: what begins decides what is spoken,
//! each listener answers its own routes alone, and whoever asks is bounded.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, PATIENCE, World, handshake, until_closed};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use whoelse_server::config::MetricsConfig;
use whoelse_server::ingress::Io;

/// A server with every kind of listener.
async fn world() -> World {
    World::with(|config| {
        config.direct_tls = vec!["127.0.0.1:0".parse().unwrap()];
        let listen = Some("127.0.0.1:0".parse().unwrap());
        config.metrics = MetricsConfig { listen, public: false };
    })
    .await
}

async fn in_clear(address: SocketAddr) -> Box<dyn Io> {
    Box::new(TcpStream::connect(address).await.unwrap())
}

/// TLS from the first byte.
async fn over_tls(address: SocketAddr) -> Box<dyn Io> {
    handshake(in_clear(address).await, false).await.0
}

async fn answer(mut io: Box<dyn Io>, request: &str) -> String {
    io.write_all(request.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&until_closed(&mut io).await).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_answers_its_own_routes_in_clear_and_over_tls() {
    let world = world().await;
    let (starttls, direct) = (world.address(), world.server.direct_tls_addresses()[0]);
    let operators = world.server.metrics_addresses()[0];

    for path in ["/health", "/metrics"] {
        for io in [in_clear(operators).await, over_tls(operators).await] {
            let answer = answer(io, &get(path)).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        for io in [in_clear(starttls).await, over_tls(starttls).await, over_tls(direct).await] {
            let answer = answer(io, &get(path)).await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        }
    }
    for path in ["/relay", "/ping"] {
        for io in [in_clear(operators).await, over_tls(operators).await, in_clear(starttls).await] {
            let answer = answer(io, &get(path)).await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        }
    }
    // And people log in all the while, on either port.
    Client::connect_direct(starttls).await.login("alice").await;
    Client::connect_direct(direct).await.login("bob").await;
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_long_is_refused_and_so_is_one_that_is_none() {
    let world = world().await;
    let (starttls, operators) = (world.address(), world.server.metrics_addresses()[0]);
    let long = format!("GET /health HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));

    for (request, status) in [(&*long, "431"), (&*many, "431"), ("GET GARBAGE\r\n\r\n", "400")] {
        for io in [in_clear(operators).await, in_clear(starttls).await, over_tls(starttls).await] {
            let answer = answer(io, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_speaks_neither_http_nor_xmpp_gets_the_error_of_a_stream() {
    let world = world().await;

    for said in ["SSH-2.0-OpenSSH_9.9\r\n", "EHLO mail.example\r\n", "HELO mail.example\r\n"] {
        for io in [in_clear(world.address()).await, over_tls(world.address()).await] {
            let answer = answer(io, said).await;
            assert!(answer.contains("<stream:error>"), "{said}: {answer}");
            assert!(!answer.contains("HTTP"), "{said}: {answer}");
        }
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_where_people_log_in_is_half_open_and_in_time_let_go_of() {
    let world = World::with(|config| {
        config.settings.limits.negotiation = Duration::from_secs(4);
        config.settings.limits.half_open_per_network = 3;
    })
    .await;
    let mut asking = Vec::new();
    for mut io in [in_clear(world.address()).await, over_tls(world.address()).await] {
        io.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
        asking.push(io);
    }
    let mut shaking = TcpStream::connect(world.address()).await.unwrap();
    shaking.write_all(&[22, 3, 1]).await.unwrap();

    let _fourth = TcpStream::connect(world.address()).await.unwrap();
    world.until_waiting(1).await;

    for io in &mut asking {
        // Nothing is said: no time is left for an answer to half a question.
        assert_eq!(until_closed(io).await, b"");
    }
    timeout(PATIENCE, shaking.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    world.until_waiting(0).await;
    world.server.shutdown().await;
}
