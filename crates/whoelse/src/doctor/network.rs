//! Listening addresses: whether they are free for a server, or our server answers there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use whoelse_server::Config;
use whoelse_server::config::Source;
use whoelse_xmpp::in_words;

use super::Finding;

/// How long a listener may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take to close.
const GOODBYE: Duration = Duration::from_millis(300);
/// How much is read of its answer, before it is identified and after.
const MOST: u64 = 4 << 10;
/// The first words of a client (RFC 6120, 4.7).
const HELLO: &[u8] = b"<?xml version='1.0'?><stream:stream version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// Checks every address of the configuration. `ours` are the addresses on which the running server
/// listens, if it has told them.
pub async fn listeners(
    config: &Config,
    running: bool,
    ours: Option<&[SocketAddr]>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Without a file nobody has said where to listen, and a server may have been given another port
    // on its command line: where it listens is where it should.
    let listen = match ours {
        Some(ours) if config.source == Source::QuickStart && !ours.is_empty() => ours,
        _ => config.listen.as_slice(),
    };
    for (about, addresses) in [
        ("listen", listen),
        ("direct_tls", config.direct_tls.as_slice()),
        ("web.listen", config.web.listen.as_slice()),
    ] {
        let mut unheard = Vec::new();
        for address in addresses.iter().copied() {
            findings.extend(match running {
                _ if address.port() == 0 => Some(any_port(about)),
                true => answers(about, address, ours).await.or_else(|| {
                    unheard.push(address);
                    None
                }),
                false => Some(is_free(about, address).await),
            });
        }
        if !unheard.is_empty() {
            findings.push(nobody_listens(about, &unheard, ours));
        }
    }
    if let Some(listen) = config.metrics.listen
        && !running
    {
        findings.push(is_free("metrics", listen).await);
    }
    findings
}

fn any_port(about: &'static str) -> Finding {
    Finding::ok(about, "takes a free port, another one at each start")
}

async fn is_free(about: &'static str, address: SocketAddr) -> Finding {
    // The socket accepts nothing and is closed at once.
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(about, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let met = meet(reached_at(address), about).await;
            strangers(about, address, met.ok().and_then(Result::ok))
        }
        Err(error) => cannot_listen(about, address, &error),
    }
}

/// Returns the finding for an address that another program has.
fn strangers(about: &'static str, address: SocketAddr, who: Option<Met>) -> Finding {
    let text = match who {
        Some(Met::Xmpp(Some(domain))) => {
            format!("{address} is in use by another XMPP server, which serves {domain}")
        }
        Some(Met::Xmpp(None)) => format!("{address} is in use by another XMPP server"),
        Some(Met::Other | Met::Silent) | None => format!("{address} is in use by another program"),
    };
    let port = address.port();
    let fix = format!("`ss -ltnp 'sport = :{port}'` tells which; end it, or choose another port");
    Finding::problem(about, text, fix)
}

fn cannot_listen(about: &'static str, address: SocketAddr, error: &io::Error) -> Finding {
    match error.kind() {
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
        _ => Finding::problem(
            about,
            format!("{address}: {}", in_words(error)),
            "choose another address",
        ),
    }
}

/// Returns whether our server or another program answers there; `None` if nothing does.
async fn answers(
    about: &'static str,
    address: SocketAddr,
    ours: Option<&[SocketAddr]>,
) -> Option<Finding> {
    let met = meet(reached_at(address), about).await;
    let is_ours = ours.is_none_or(|ours| ours.contains(&address));
    Some(match met {
        Ok(Ok(who)) if !is_ours => strangers(about, address, Some(who)),
        Ok(Ok(Met::Xmpp(_) | Met::Silent)) => Finding::ok(about, format!("{address} answers")),
        Ok(Ok(Met::Other)) => Finding::problem(
            about,
            format!("{address} answers, but not as an XMPP server"),
            "another program has the port: choose another one, then restart",
        ),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return None,
        Ok(Err(error)) => Finding::problem(
            about,
            format!("{address} cannot be reached: {}", in_words(&error)),
            "look at the firewall of this machine",
        ),
        Err(_) if !is_ours => strangers(about, address, None),
        Err(_) => Finding::problem(
            about,
            format!("{address} does not answer within {} s", PATIENCE.as_secs()),
            "look at the firewall of this machine, then at the server's log",
        ),
    })
}

/// Reported once for all addresses: a server on another port listens on none of them.
fn nobody_listens(
    about: &'static str,
    addresses: &[SocketAddr],
    ours: Option<&[SocketAddr]>,
) -> Finding {
    let list = |all: &[SocketAddr]| {
        all.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ")
    };
    let elsewhere = match ours {
        Some(ours) if !ours.is_empty() => format!(" and listens on {}", list(ours)),
        _ => String::new(),
    };
    Finding::warning(
        about,
        format!("nobody listens on {}, though a server runs{elsewhere}", list(addresses)),
        "if it was started with a port on its command line, all is well; else name its file \
         with --config, or restart it to apply what has changed",
    )
}

/// What answers at an address.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// A server that speaks XMPP, and the domain that it says it serves.
    Xmpp(Option<String>),
    /// Something else.
    Other,
    /// Nothing was said; another check examines the certificate.
    Silent,
}

/// Connects and listens for a bounded time, since the peer may never stop talking or never close.
async fn meet(address: SocketAddr, about: &str) -> Result<io::Result<Met>, Elapsed> {
    let (mut stream, met) = match timeout(PATIENCE, hear(address, about)).await? {
        Ok(heard) => heard,
        Err(error) => return Ok(Err(error)),
    };
    if let Met::Xmpp(_) = met {
        // So that the server's log does not report a lost connection.
        let goodbye = async {
            stream.write_all(b"</stream:stream>").await?;
            stream.take(MOST).read_to_end(&mut Vec::new()).await
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
    Ok(Ok(met))
}

async fn hear(address: SocketAddr, about: &str) -> io::Result<(TcpStream, Met)> {
    let mut stream = TcpStream::connect(address).await?;
    if about != "listen" {
        return Ok((stream, Met::Silent));
    }
    stream.write_all(HELLO).await?;
    let mut heard = Vec::new();
    let mut from_it = (&mut stream).take(MOST);
    while header(&heard).is_none() {
        if from_it.read_buf(&mut heard).await? == 0 {
            break;
        }
    }
    let met = header(&heard).map_or(Met::Other, |header| Met::Xmpp(from(header)));
    Ok((stream, met))
}

/// Returns the header of a stream (RFC 6120, 4.7), once it is complete.
fn header(heard: &[u8]) -> Option<&str> {
    let heard = std::str::from_utf8(heard).ok()?;
    let (_, begun) = heard.split_once("<stream:stream")?;
    begun.split_once('>').map(|(header, _)| header)
}

/// Returns the domain in the header's `from`.
fn from(header: &str) -> Option<String> {
    let (_, behind) = header.split_once(" from=")?;
    let quote = behind.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    let domain = behind.get(1..)?.split(quote).next()?;
    Some(domain.to_owned()).filter(|domain| !domain.is_empty())
}

/// Returns the address to connect to; an unspecified one includes this machine.
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

    /// A program that says this to every client.
    async fn program(says: &'static str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(says.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        address
    }

    const MAIL: &str = "220 mail.example ESMTP\r\n";
    const XMPP: &str = "<?xml version='1.0'?><stream:stream id='x' from='b.example' version='1.0' \
                        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

    #[tokio::test]
    async fn a_port_is_free_or_in_use_and_by_whom() {
        let mail = program(MAIL).await;
        let other = program(XMPP).await;

        let found = is_free("listen", mail).await;
        assert_eq!(found.state, State::Problem);
        assert!(found.text.ends_with("by another program"), "{found:?}");
        assert!(found.fix.unwrap().contains(&mail.port().to_string()));
        let found = is_free("listen", other).await;
        assert!(found.text.ends_with("another XMPP server, which serves b.example"), "{found:?}");
    }

    #[tokio::test]
    async fn a_stranger_that_never_stops_talking_is_known_by_its_first_words() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let talking = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(XMPP.as_bytes()).await.unwrap();
            let mut said = 0;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {
                said += 4096;
                assert!(said < 64 << 20, "all of it is read");
            }
        });

        let found = is_free("listen", address).await;

        assert!(found.text.ends_with("another XMPP server, which serves b.example"), "{found:?}");
        talking.await.unwrap();
    }

    #[tokio::test]
    async fn who_answers_is_ours_only_where_our_server_says_that_it_listens() {
        let (xmpp, mail) = (program(XMPP).await, program(MAIL).await);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let state = async |address, ours: Option<&[SocketAddr]>| {
            answers("listen", address, ours).await.expect("somebody answers")
        };

        assert_eq!(state(xmpp, Some(&[xmpp])).await.state, State::Ok);
        let found = state(xmpp, Some(&[free])).await;
        assert_eq!(found.state, State::Problem);
        assert!(found.text.contains("another XMPP server, which serves b.example"), "{found:?}");
        // Without the addresses of the running server, an XMPP server is assumed to be it.
        assert_eq!(state(xmpp, None).await.state, State::Ok);
        assert_eq!(state(mail, None).await.state, State::Problem);
        assert_eq!(state(mail, Some(&[mail])).await.state, State::Problem);
        assert!(answers("listen", free, Some(&[xmpp])).await.is_none());
    }

    #[tokio::test]
    async fn without_a_file_a_server_listens_wherever_its_command_line_says() {
        let xmpp = program(XMPP).await;
        let config = Config::quick_start();
        assert!(!config.listen.contains(&xmpp));

        let found = listeners(&config, true, Some(&[xmpp])).await;

        let texts: Vec<&str> = found.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, [format!("{xmpp} answers")]);
        assert_eq!(found[0].state, State::Ok);
    }

    #[test]
    fn a_server_on_another_port_is_one_warning_however_many_addresses_it_does_not_have() {
        let (one, other) = (([127, 0, 0, 1], 5222).into(), ([127, 0, 0, 2], 5222).into());
        let ours: SocketAddr = ([127, 0, 0, 1], 5333).into();

        let found = nobody_listens("listen", &[one, other], Some(&[ours]));

        assert_eq!(found.state, State::Warning);
        let said = "nobody listens on 127.0.0.1:5222, 127.0.0.2:5222, though a server runs and \
                    listens on 127.0.0.1:5333";
        assert_eq!(found.text, said);
    }

    #[test]
    fn a_server_says_in_its_header_which_domain_it_serves() {
        let domain = |heard: &str| header(heard.as_bytes()).map(from);

        assert_eq!(domain(XMPP), Some(Some("b.example".to_owned())));
        assert_eq!(domain("<stream:stream from=\"a\">"), Some(Some("a".to_owned())));
        assert_eq!(domain("<stream:stream id='x'>"), Some(None));
        assert_eq!(domain("<stream:stream id='x'"), None);
        assert_eq!(domain("HTTP/1.1 400 Bad Request"), None);
    }

    #[test]
    fn an_address_for_everybody_is_reached_on_this_machine() {
        assert_eq!(reached_at(([0, 0, 0, 0], 1).into()), ([127, 0, 0, 1], 1).into());
        let here = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 1);
        assert_eq!(reached_at(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 1)), here);
    }
}
