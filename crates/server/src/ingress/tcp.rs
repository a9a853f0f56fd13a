//! Listening sockets for clients: bound before anything else is created, and accepting until the
//! server shuts down.

use super::{Browsers, Connections, Ingress, Peer};
use crate::liveness::Beat;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use whoelse_core::network::Network;
use whoelse_xmpp::in_words;

/// How long accepting pauses when the system has no descriptor or memory for another socket.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// Connections that the system holds for us until we accept them.
const BACKLOG: u32 = 1024;
/// Ports tried to find one that is free on every address.
const TRIES: usize = 16;
/// Idle time before the first keepalive probe, time between probes, and probes without an answer.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// Binds every address. Where one port 0 stands, all addresses with port 0 get the same free one.
///
/// An IPv6 loopback that this machine does not have is left out, unless it stands alone.
pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut tries = 0;
    loop {
        tries += 1;
        match bind_once(addresses) {
            // The port that was free on the first address is taken on another.
            Err((address, error))
                if address.port() == 0
                    && error.kind() == io::ErrorKind::AddrInUse
                    && tries < TRIES => {}
            done => return done,
        }
    }
}

fn bind_once(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(addresses.len());
    let mut free = None;
    for wanted in addresses {
        let mut address = *wanted;
        if let (0, Some(port)) = (wanted.port(), free) {
            address.set_port(port);
        }
        match bind_one(address) {
            Ok(listener) => {
                if wanted.port() == 0 {
                    free = listener.local_addr().ok().map(|bound| bound.port());
                }
                listeners.push(listener);
            }
            Err(error) if is_missing_loopback(wanted, &error) && addresses.len() > 1 => {}
            Err(error) => return Err((*wanted, error)),
        }
    }
    Ok(listeners)
}

fn is_missing_loopback(address: &SocketAddr, error: &io::Error) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST)
        && (error.kind() == io::ErrorKind::AddrNotAvailable
            || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => {
            let socket = TcpSocket::new_v6()?;
            // An IPv6 address does not include IPv4; an operator who wants both names both.
            rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
            socket
        }
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What a listener is for.
#[derive(Clone)]
pub(crate) enum Accepting {
    /// Clients that ask for STARTTLS, and whoever comes to the same port.
    StartTls,
    /// Clients that begin with TLS.
    DirectTls,
    /// Browsers.
    Browsers(Arc<Browsers>),
}

impl Accepting {
    /// Its name, for the signs of life.
    pub fn name(&self) -> &'static str {
        match self {
            Accepting::StartTls => Ingress::StartTls.name(),
            Accepting::DirectTls => Ingress::DirectTls.name(),
            Accepting::Browsers(_) => Ingress::Web.name(),
        }
    }
}

/// Accepts connections until the server shuts down.
pub(crate) async fn serve(
    listener: TcpListener,
    accepting: Accepting,
    connections: Arc<Connections>,
    mut beat: Beat,
) {
    let mut paused = false;
    loop {
        let accepted = tokio::select! {
            () = connections.closing() => return,
            () = beat.answer() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, address)) => {
                paused = false;
                welcome(&connections, socket, &accepting, address);
            }
            // The client has closed before we accepted it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !paused {
                    connections.node().counters.accepting_paused.inc();
                }
                connections.node().failing("accepting_paused", None, &in_words(&error));
                paused = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn welcome(
    connections: &Arc<Connections>,
    socket: TcpStream,
    accepting: &Accepting,
    address: SocketAddr,
) {
    // Both options only improve the connection; failing is fine.
    let _ = socket.set_nodelay(true);
    let _ = keep_alive(&socket);
    let peer = Peer { network: Network::of(address.ip()), address: address.to_string() };
    match accepting {
        Accepting::StartTls => connections.welcome_socket(socket, Ingress::StartTls, peer),
        Accepting::DirectTls => connections.welcome_socket(socket, Ingress::DirectTls, peer),
        Accepting::Browsers(browsers) => connections.welcome_browser(browsers, socket, address),
    }
}

fn keep_alive(socket: &TcpStream) -> rustix::io::Result<()> {
    use rustix::net::sockopt;
    let (idle, interval, count) = KEEPALIVE;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, idle)?;
    sockopt::set_tcp_keepintvl(socket, interval)?;
    sockopt::set_tcp_keepcnt(socket, count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_free_port_is_the_same_on_both_loopbacks() {
        let both = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];

        let listeners = bind(&both).unwrap();

        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_address() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let taken = first[0].local_addr().unwrap();

        let (address, error) = bind(&[taken]).unwrap_err();

        assert_eq!((address, error.kind()), (taken, io::ErrorKind::AddrInUse));
    }
}
