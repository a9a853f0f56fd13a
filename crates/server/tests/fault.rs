//! A fault of ours that ends one connection's task: everybody else goes on, and nothing is left of
//! it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, eventually, jid};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use whoelse_core::network::Network;
use whoelse_server::ingress::{Ingress, Peer};

/// A pipe whose server end fails when it is told to.
struct Faulty {
    io: DuplexStream,
    fails: Arc<AtomicBool>,
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(!self.fails.load(Ordering::Acquire), "a fault, as was wished for");
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Sends, and reads until this is there.
async fn say(io: &mut DuplexStream, text: &str, until: &str) {
    io.write_all(text.as_bytes()).await.unwrap();
    let mut heard = String::new();
    while !heard.contains(until) {
        let mut buffer = [0; 4096];
        let n = io.read(&mut buffer).await.unwrap();
        assert!(n > 0, "closed after {heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_fails_leaves_no_session_behind() {
    let world = World::start().await;
    let node = world.server.node().clone();
    let (mut client, io) = tokio::io::duplex(1 << 16);
    let fails = Arc::new(AtomicBool::new(false));
    let peer = Peer { network: Network::Local, address: "a pipe".to_owned() };
    let faulty = Faulty { io, fails: fails.clone() };
    world.server.connections().welcome(faulty, Ingress::Pipe, peer);
    let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    // The password of bob, as PLAIN has it.
    let plain = "AGJvYgB0aGUgcGFzc3dvcmQgb2YgYm9i";
    let auth =
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>");
    say(&mut client, header, "</stream:features>").await;
    say(&mut client, &auth, "<success").await;
    say(&mut client, header, "</stream:features>").await;
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    say(&mut client, &format!("{bind}<presence/>"), "<presence").await;
    let bob = node.account(&jid("bob")).await.unwrap().unwrap();
    assert!(bob.is_online());

    fails.store(true, Ordering::Release);
    client.write_all(b" ").await.unwrap();

    // It leaves the list, and then those who are online.
    eventually("it is gone", || (bob.session_count(), node.census().online) == (0, 0)).await;
    world.online("bob").await;
    world.server.shutdown().await;
}
