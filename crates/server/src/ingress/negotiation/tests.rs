//! Connections that end in the middle of their negotiation leave nothing behind.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::ingress::gate::{Entry, Standing};
use crate::ingress::until_put_out;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use whoelse_core::clock::{Clock, Time};
use whoelse_core::network::Network;
use whoelse_core::settings::{Limits, Settings};
use whoelse_store::{Location, Store};

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
/// The password of bob, as PLAIN has it.
const PLAIN: &str = "AGJvYgBwZW5jaWw=";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
/// A login that binds along with it (XEP-0386).
const INLINE: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>\
                      AGJvYgBwZW5jaWw=</initial-response><bind xmlns='urn:xmpp:bind:0'/>\
                      </authenticate>";
/// The two ways to bind.
const WAYS: [Way; 2] = [Way::Older, Way::Inline];
/// What the pipe holds: less than the answer to BIND.
const PIPE: usize = 32;

#[derive(Debug, Clone, Copy)]
enum Way {
    Older,
    Inline,
}

/// A server with room for one half-open connection, where bob has an account.
async fn connections() -> Arc<Connections> {
    let store = Store::open(&Location::Memory).await.unwrap();
    let limits = Limits { half_open: 1, ..Limits::default() };
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let settings = Settings { limits, ..Settings::default() };
    let node = Node::start(settings, clock, store, &[], Some("localhost")).await.unwrap();
    let bob = BareJid::parse("bob@localhost").unwrap();
    node.create_account(&bob, Password::new("pencil").unwrap()).await.unwrap();
    Connections::new(node, None)
}

/// Lets a stranger in.
fn arrive(connections: &Connections) -> crate::ingress::gate::Permit {
    let now = connections.node.clock.steady();
    match connections.gate.arrive(Network::Local, Standing::Stranger, now) {
        Entry::In(permit) => permit,
        _ => panic!("there is room"),
    }
}

async fn say(io: &mut DuplexStream, text: &str, until: &str) {
    let mut heard = String::new();
    io.write_all(text.as_bytes()).await.unwrap();
    while !heard.contains(until) {
        let mut buffer = [0; PIPE];
        let n = io.read(&mut buffer).await.unwrap();
        assert!(n > 0, "closed after {heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

/// A client that has bound a session and does not read the answer.
async fn bound(connections: &Arc<Connections>, way: Way) -> (DuplexStream, JoinHandle<()>) {
    let (mut client, io) = tokio::io::duplex(PIPE);
    let peer = Peer { network: Network::Local, address: "a pipe".to_owned() };
    let permit = arrive(connections);
    let (arrived, put_out) = connections.arrived_half_open(Ingress::Pipe, peer, permit);
    let task = tokio::spawn(until_put_out(put_out, run(arrived, io)));
    let auth =
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{PLAIN}</auth>");
    say(&mut client, HEADER, "</stream:features>").await;
    match way {
        Way::Older => {
            say(&mut client, &auth, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
            say(&mut client, HEADER, "</stream:features>").await;
            client.write_all(BIND.as_bytes()).await.unwrap();
        }
        Way::Inline => client.write_all(INLINE.as_bytes()).await.unwrap(),
    }
    while connections.node.sessions().is_empty() {
        tokio::task::yield_now().await;
    }
    (client, task)
}

#[tokio::test]
async fn whoever_is_put_out_before_its_session_is_open_leaves_none() {
    for way in WAYS {
        let connections = connections().await;
        let (_client, task) = bound(&connections, way).await;

        let _next = arrive(&connections);

        task.await.unwrap();
        connections.gone().await;
        assert!(connections.node.sessions().is_empty(), "{way:?}");
    }
}

#[tokio::test]
async fn whoever_runs_out_of_time_before_its_session_is_open_leaves_none() {
    for way in WAYS {
        let connections = connections().await;
        let (_client, task) = bound(&connections, way).await;

        // Once for the time to log in, and once for the last word, which is not read either.
        while !task.is_finished() {
            let clock = &connections.node.clock;
            clock.advance_to(clock.steady().after(Duration::from_secs(60)));
            tokio::task::yield_now().await;
        }

        connections.gone().await;
        assert!(connections.node.sessions().is_empty(), "{way:?}");
    }
}
