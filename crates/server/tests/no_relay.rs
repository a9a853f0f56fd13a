//! docs/protocol.md, `urn:whoelse:relay:0`, of a server that was built without it.
#![cfg(not(feature = "relay"))]
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, handshake, until_closed};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use whoelse_xmpp::{Condition, StanzaError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_offered_and_nothing_is_there() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    let key = "0".repeat(64);
    alice
        .send(&format!(
            "<iq type='set' id='relay' to='localhost'>\
             <relay xmlns='urn:whoelse:relay:0' sid='s' key='{key}'/></iq>"
        ))
        .await;

    let answer = alice.expect(|stanza| stanza.id() == Some("relay")).await;

    let error = StanzaError::read(&answer).unwrap();
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    let socket = Box::new(TcpStream::connect(world.address()).await.unwrap());
    let (mut io, _) = handshake(socket, false).await;
    io.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let said = until_closed(&mut io).await;
    assert!(said.starts_with(b"HTTP/1.1 404"), "{said:?}");
    world.server.shutdown().await;
}
