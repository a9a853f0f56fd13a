//! Where clients connect: whether the ports are free for a server, or ours and answering.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use whoelse_server::Config;

use super::Finding;

/// How long a listener may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// What a client says first (RFC 6120, 4.7).
const HELLO: &[u8] = b"<?xml version='1.0'?><stream:stream version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// Looks at every address of the configuration.
pub async fn listeners(config: &Config, running: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in &config.listen {
        findings.push(match running {
            _ if address.port() == 0 => any_port("listen"),
            true => answers(*address, true).await,
            false => is_free("listen", *address),
        });
    }
    for address in &config.direct_tls {
        findings.push(match running {
            _ if address.port() == 0 => any_port("direct_tls"),
            true => answers(*address, false).await,
            false => is_free("direct_tls", *address),
        });
    }
    if let Some(metrics) = &config.metrics
        && !running
    {
        findings.push(is_free("metrics", metrics.listen));
    }
    findings
}

fn any_port(about: &'static str) -> Finding {
    Finding::ok(about, "takes a free port, another one at each start")
}

fn is_free(about: &'static str, address: SocketAddr) -> Finding {
    // Nothing is accepted from it, and it is closed at once.
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(about, format!("{address} is free")),
        Err(error) => cannot_listen(about, address, &error),
    }
}

fn cannot_listen(about: &'static str, address: SocketAddr, error: &io::Error) -> Finding {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => Finding::problem(
            about,
            format!("{address} is in use by another program"),
            format!("`ss -ltnp 'sport = :{port}'` tells which; end it, or choose another port"),
        ),
        io::ErrorKind::AddrNotAvailable if address.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST) => {
            Finding::ok(about, format!("{address} is left out: this machine has no IPv6"))
        }
        io::ErrorKind::AddrNotAvailable => Finding::problem(
            about,
            format!("{} is no address of this machine", address.ip()),
            "`ip address` lists them; 0.0.0.0 and [::] mean all",
        ),
        io::ErrorKind::PermissionDenied => Finding::problem(
            about,
            format!("{address} may not be listened on"),
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        ),
        _ => Finding::problem(about, format!("{address}: {error}"), "choose another address"),
    }
}

/// Whether our server answers there.
async fn answers(address: SocketAddr, in_clear: bool) -> Finding {
    let about = if in_clear { "listen" } else { "direct_tls" };
    match timeout(PATIENCE, greet(reached_at(address), in_clear)).await {
        Ok(Ok(true)) => Finding::ok(about, format!("{address} answers")),
        Ok(Ok(false)) => Finding::problem(
            about,
            format!("{address} answers, but not as an XMPP server"),
            "another program has the port: choose another one, then restart",
        ),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Finding::warning(
            about,
            format!("nobody listens on {address}, though a server runs"),
            "if it was started with a port on its command line, all is well; else name its file \
             with --config, or restart it to apply what has changed",
        ),
        Ok(Err(error)) => Finding::problem(
            about,
            format!("{address} cannot be reached: {error}"),
            "look at the firewall of this machine",
        ),
        Err(_) => Finding::problem(
            about,
            format!("{address} does not answer within {} s", PATIENCE.as_secs()),
            "look at the firewall of this machine, then at the server's log",
        ),
    }
}

async fn greet(address: SocketAddr, in_clear: bool) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    if !in_clear {
        // Whose certificate it is, is looked at elsewhere.
        return Ok(true);
    }
    stream.write_all(HELLO).await?;
    let mut heard = Vec::new();
    while heard.len() < 4096 && !is_stream(&heard) {
        if stream.read_buf(&mut heard).await? == 0 {
            break;
        }
    }
    Ok(is_stream(&heard))
}

fn is_stream(heard: &[u8]) -> bool {
    heard.windows(14).any(|window| window == b"<stream:stream")
}

/// Every address means this machine as well.
fn reached_at(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::State;
    use super::*;

    #[tokio::test]
    async fn a_port_is_free_or_in_use() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();

        let found = is_free("listen", address);
        assert_eq!(found.state, State::Problem);
        assert!(found.fix.unwrap().contains(&address.port().to_string()));

        drop(taken);
        assert_eq!(is_free("listen", address).state, State::Ok);
        assert_eq!(answers(address, true).await.state, State::Warning);
    }

    #[tokio::test]
    async fn another_program_on_the_port_is_noticed() {
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = other.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = other.accept().await.unwrap();
            stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });

        let found = answers(address, true).await;

        assert_eq!(found.state, State::Problem, "{found:?}");
    }

    #[test]
    fn an_address_for_everybody_is_reached_on_this_machine() {
        assert_eq!(reached_at(([0, 0, 0, 0], 1).into()), ([127, 0, 0, 1], 1).into());
        let here = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 1);
        assert_eq!(reached_at(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 1)), here);
    }
}
