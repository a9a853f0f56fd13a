//! A port that belongs to somebody else: who that is is said, and at once.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use whoelse_client::{Begin, Client, Config, ConnectError, Stranger};
use whoelse_stream::Transport;
use world::World;

const REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

/// What a server of something else waits for before it says anything.
#[derive(Debug, Clone, Copy)]
enum Waits {
    /// Nothing: it greets.
    Nothing,
    /// Any byte.
    Byte,
    /// The end of a line.
    Line,
    /// An empty line.
    Head,
}

/// A server that says this to whoever comes.
async fn says(what: &'static [u8], waits: Waits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, what, waits));
        }
    });
    address
}

async fn answer(socket: TcpStream, what: &[u8], waits: Waits) {
    let mut socket = BufReader::new(socket);
    match waits {
        Waits::Nothing => {}
        Waits::Byte => drop(socket.fill_buf().await),
        Waits::Line => drop(socket.read_until(b'\n', &mut Vec::new()).await),
        Waits::Head => {
            let mut line = Vec::new();
            while line != b"\r\n" {
                line.clear();
                if !matches!(socket.read_until(b'\n', &mut line).await, Ok(1..)) {
                    return;
                }
            }
        }
    }
    let _ = socket.write_all(what).await;
    // Until the other end has gone.
    let _ = socket.read_to_end(&mut Vec::new()).await;
}

/// Why there is no connection to this address.
async fn met(address: SocketAddr, begin: Begin) -> ConnectError {
    let mut config = Config::new("localhost", address.port());
    config.host = address.ip().to_string();
    config.begin = begin;
    let (client, _events) = Client::start(config);
    client.connect().await.unwrap_err()
}

#[tokio::test]
async fn a_server_of_something_else_is_named_whatever_it_waits_for() {
    for (what, waits, stranger) in [
        (REFUSED, Waits::Byte, Stranger::Http),
        (REFUSED, Waits::Line, Stranger::Http),
        (REFUSED, Waits::Head, Stranger::Http),
        (b"<!DOCTYPE HTML>\n<html lang=\"en\">", Waits::Line, Stranger::Http),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", Waits::Nothing, Stranger::Ssh),
        (b"220 mail.example ESMTP\r\n", Waits::Nothing, Stranger::Greeter),
        (b"-ERR unknown command\r\n", Waits::Line, Stranger::Unknown),
    ] {
        let address = says(what, waits).await;

        let why = met(address, Begin::StartTls).await;

        let named = ConnectError::Stranger { address: address.to_string(), who: stranger };
        assert_eq!(why, named, "{waits:?}");
    }
}

#[tokio::test]
async fn whoever_begins_with_tls_otherwise_is_told_apart() {
    let direct = World::with(Transport::Tls).await.address;
    let asked = World::new().await.address;
    let web = says(REFUSED, Waits::Byte).await;

    for (address, begin, stranger) in [
        (direct, Begin::StartTls, Stranger::Tls),
        (asked, Begin::Direct, Stranger::StartTls),
        (web, Begin::Direct, Stranger::Http),
    ] {
        let named = ConnectError::Stranger { address: address.to_string(), who: stranger };
        assert_eq!(met(address, begin).await, named);
    }
}
