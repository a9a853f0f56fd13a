//! Strangers who connect and leave use up nothing: no memory, no descriptor, no place
//! (docs/security.md, 5).
//!
//! `WHOELSE_STRANGERS=20000 cargo test -p whoelse --test strangers -- --nocapture` sets their
//! number (default 2000).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use common::raw::socket_from;
use common::{Home, Raw, Server, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long a stranger may take to log in, in this test.
const NEGOTIATION: &str = "2s";
/// Strangers at the same time.
const AT_ONCE: usize = 400;
const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// KiB by which memory may differ before and after, for pages that the allocator keeps. State of
/// any kind would be more for two thousand strangers, and so would a leak of 400 bytes for 20,000.
const SLACK: u64 = 8 << 10;
/// The first crowds bring the allocator to its full size, which may take one or two more. What is
/// left behind is left by every crowd.
const CROWDS_BEFORE: usize = 2;
const CROWDS: usize = 5;

#[test]
fn strangers_who_come_and_go_leave_nothing_behind() {
    let count = std::env::var("WHOELSE_STRANGERS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(2_000);
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let home = Home::with_people(&["alice"]);
    let settings = format!(
        "listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\n[limits]\n\
         connections_per_second = 100000\nnegotiation = \"{NEGOTIATION}\"\n"
    );
    home.write("whoelse.toml", &settings);
    let mut server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut after_each = Vec::new();
    let leaves_nothing = (0..CROWDS).any(|crowd| {
        let descriptors = server.descriptors();
        come_and_go(&server, count, crowd * count);
        nobody_is_left(&server);
        assert!(crowd == 0 || server.descriptors() <= descriptors, "descriptors are left");
        after_each.push(server.memory());
        crowd >= CROWDS_BEFORE && after_each[crowd] < after_each[crowd - 1] + SLACK
    });
    println!("KiB after each {count} strangers: {after_each:?}");
    assert!(leaves_nothing, "KiB after each {count} strangers: {after_each:?}");
    assert!(server.is_running());
    Raw::online(server.address, "alice").close().unwrap();
}

/// Lets this many connect and disconnect, each from another network and in another manner.
fn come_and_go(server: &Server, count: usize, first: usize) {
    let mut here = VecDeque::new();
    for n in first..first + count {
        here.push_back(stranger(server.address, n));
        if here.len() > AT_ONCE {
            here.pop_front();
        }
    }
}

fn stranger(to: SocketAddr, n: usize) -> TcpStream {
    // Twenty at once may come from one network; here each comes from another.
    let place =
        Ipv4Addr::new(127, 2 + (n / 60_000) as u8, (n / 240 % 250) as u8, (n % 240) as u8 + 1);
    let mut socket = eventually("a stranger comes in", || socket_from(place, to).ok());
    let words: &[&[u8]] = match n % 6 {
        // Says nothing.
        0 => &[],
        // Something else.
        1 => &[b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        2 => &[&[0; 300]],
        // Begins, and stops half-way.
        3 => &[HEADER.as_bytes()],
        4 => &[HEADER.as_bytes(), b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"],
        // What follows is no TLS.
        _ => &[
            HEADER.as_bytes(),
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0],
        ],
    };
    for word in words {
        // The server may have closed it already.
        let _ = socket.write_all(word);
    }
    socket
}

/// Waits until every connection is gone. The silent ones are closed by their deadline.
fn nobody_is_left(server: &Server) {
    let mut last = socket_from(Ipv4Addr::new(127, 1, 1, 1), server.address).unwrap();
    last.set_read_timeout(Some(common::PATIENCE)).unwrap();
    // It came last, so the deadlines of the others are earlier.
    while last.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    drop(last);
    let mut before = usize::MAX;
    eventually("the descriptors are closed", || {
        let now = server.descriptors();
        std::thread::sleep(Duration::from_millis(50));
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
}
