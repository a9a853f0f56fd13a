//! RFC 6120, 3.2.1, and XEP-0368: the SRV records by which clients find the server of a domain.
//!
//! One question for each service over UDP to the first name server of the system, and no answer is
//! an answer too. Only asked with --dns: everything else here works without the network.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use whoelse_server::Config;

use super::Finding;

/// How long the name server may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer over UDP that we say we take, which is none beyond the first RFC's.
const LONGEST: usize = 4096;

/// Looks for the records of a domain.
pub async fn check(config: &Config, domain: &str) -> Vec<Finding> {
    if domain == "localhost" || domain.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        let text = format!("{domain} needs no records");
        return vec![Finding::ok("dns", text)];
    }
    let direct = !config.direct_tls.is_empty();
    let mut findings =
        vec![service("_xmpp-client._tcp", domain, config.listen.first(), "listen").await];
    if direct {
        let first = config.direct_tls.first();
        findings.push(service("_xmpps-client._tcp", domain, first, "direct_tls").await);
    }
    findings
}

async fn service(
    service: &str,
    domain: &str,
    listens: Option<&SocketAddr>,
    setting: &str,
) -> Finding {
    let name = format!("{service}.{domain}");
    let port = listens.map_or(5222, SocketAddr::port);
    match timeout(PATIENCE, ask(&name)).await {
        Ok(Ok(found)) => judge(&name, &found, port, setting),
        Ok(Err(error)) => {
            let fix = "look at /etc/resolv.conf";
            Finding::warning("dns", format!("{name} cannot be asked for: {error}"), fix)
        }
        Err(_) => Finding::warning(
            "dns",
            format!("the name server does not answer within {} s", PATIENCE.as_secs()),
            "look at /etc/resolv.conf",
        ),
    }
}

/// A record: where clients are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
}

fn judge(name: &str, found: &[Target], port: u16, setting: &str) -> Finding {
    let all: Vec<String> =
        found.iter().map(|target| format!("{}:{}", target.host, target.port)).collect();
    if found.iter().any(|target| target.port == port) {
        return Finding::ok("dns", format!("{name} leads to {}", all.join(", ")));
    }
    if found.is_empty() && port == 5222 {
        let text = format!("there is no {name}; clients try port 5222 of the domain itself");
        return Finding::ok("dns", text);
    }
    let fix = format!("publish `{name}. SRV 0 5 {port} HOST.`, with the name of this machine");
    match found.is_empty() {
        true => Finding::warning("dns", format!("there is no {name}"), fix),
        false => Finding::warning(
            "dns",
            format!("{name} leads to {}, and `{setting}` is port {port}", all.join(", ")),
            fix,
        ),
    }
}

async fn ask(name: &str) -> io::Result<Vec<Target>> {
    let server = name_server(&fs::read_to_string("/etc/resolv.conf")?)
        .ok_or_else(|| io::Error::other("there is no name server in /etc/resolv.conf"))?;
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    // The kernel drops what others send.
    socket.connect(server).await?;
    let id = question_id();
    socket.send(&question(id, name)?).await?;
    let mut answer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut answer).await?;
        if let Some(found) = read(id, answer.get(..length).unwrap_or_default())? {
            return Ok(found);
        }
    }
}

/// Numbers from the system's generator, so that nobody guesses them.
fn question_id() -> u16 {
    let [high, low] = whoelse_stream::token::random::<2>();
    u16::from_be_bytes([high, low])
}

fn question(id: u16, name: &str) -> io::Result<Vec<u8>> {
    let name = Name::new(name).map_err(io::Error::other)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        name,
        QTYPE::TYPE(TYPE::SRV),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().map_err(io::Error::other)
}

/// The records of an answer; `None` if it is an answer to something else.
fn read(id: u16, bytes: &[u8]) -> io::Result<Option<Vec<Target>>> {
    let packet = Packet::parse(bytes).map_err(io::Error::other)?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return Ok(None);
    }
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        other => return Err(io::Error::other(format!("the name server says {other:?}"))),
    }
    let records = packet.answers.iter().filter_map(|record| match &record.rdata {
        // RFC 2782: a dot alone means that the service is not there.
        RData::SRV(srv) if !srv.target.to_string().is_empty() => {
            Some(Target { host: srv.target.to_string(), port: srv.port })
        }
        _ => None,
    });
    Ok(Some(records.collect()))
}

/// resolv.conf(5).
fn name_server(text: &str) -> Option<SocketAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let mut ips = servers.filter_map(|rest| rest.trim().parse::<IpAddr>().ok());
    ips.next().map(|ip| SocketAddr::new(ip, 53))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::State;
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::SRV;

    fn target(port: u16) -> Target {
        Target { host: "host.a.example".to_owned(), port }
    }

    #[test]
    fn records_must_lead_to_the_port() {
        let state = |found: &[Target], port| judge("_x.a.example", found, port, "listen").state;

        assert_eq!(state(&[target(5222)], 5222), State::Ok);
        assert_eq!(state(&[target(1), target(5222)], 5222), State::Ok);
        assert_eq!(state(&[], 5222), State::Ok);
        assert_eq!(state(&[target(1)], 5222), State::Warning);
        assert_eq!(state(&[], 5223), State::Warning);
    }

    #[test]
    fn an_answer_is_read_and_a_strangers_is_not() {
        let mut packet = Packet::new_reply(7);
        let srv = SRV {
            priority: 0,
            weight: 5,
            port: 5222,
            target: Name::new("host.a.example").unwrap(),
        };
        let name = Name::new("_xmpp-client._tcp.a.example").unwrap();
        packet.answers.push(ResourceRecord::new(name, CLASS::IN, 60, RData::SRV(srv)));
        let bytes = packet.build_bytes_vec().unwrap();

        assert_eq!(read(7, &bytes).unwrap(), Some(vec![target(5222)]));
        assert_eq!(read(8, &bytes).unwrap(), None);
        assert_eq!(read(7, &question(7, "a.example").unwrap()).unwrap(), None);
        assert!(read(7, &bytes[..5]).is_err());
    }

    #[test]
    fn the_first_name_server_is_asked() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver ::1\n";

        assert_eq!(name_server(text), Some(([192, 0, 2, 1], 53).into()));
        assert_eq!(name_server("search example\n"), None);
    }

    #[tokio::test]
    async fn a_machine_for_itself_needs_no_records() {
        for domain in ["localhost", "192.0.2.1", "[::1]"] {
            let found = check(&Config::quick_start(), domain).await;
            assert_eq!(found[0].state, State::Ok, "{domain}");
        }
    }
}
