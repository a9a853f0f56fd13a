//! RFC 2782, RFC 1035 and RFC 7766: asks the system's name servers for the SRV records of a name.
//!
//! Nothing here is authenticated: anybody on the path can forge an answer. So an answer only says
//! where to connect, and the certificate there is judged as without it.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use whoelse_stream::token;

/// How long one name server may take for one attempt.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long all of them may take together.
const WITHIN: Duration = Duration::from_secs(6);
/// How often each is asked, because a question or its answer may be lost.
const ROUNDS: usize = 2;
/// Name servers that are asked at most, as in resolv.conf(5).
const MAX_SERVERS: usize = 3;
/// Records that are read from one answer at most.
const MAX_TARGETS: usize = 32;
/// Aliases that are followed at most.
const MAX_ALIASES: usize = 8;
/// The longest answer over UDP. We announce no buffer size, so servers send 512 bytes at most.
const LONGEST: usize = 4096;

/// The records of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Srv {
    /// There is no record.
    None,
    /// The service explicitly does not exist: the one target is `.`.
    NotOffered,
    /// The service is at these targets.
    At(Vec<Target>),
}

/// One record: an endpoint of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Lower ones come first.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
}

/// Asks name servers.
#[derive(Debug, Clone)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    patience: Duration,
}

impl Resolver {
    /// Makes one that asks the name servers of `/etc/resolv.conf`.
    pub fn of_system() -> io::Result<Resolver> {
        let servers = name_servers(&fs::read_to_string("/etc/resolv.conf")?);
        match servers.is_empty() {
            true => Err(io::Error::other("there is no name server in /etc/resolv.conf")),
            false => Ok(Resolver::asking(servers)),
        }
    }

    /// Makes one that asks these, in this order.
    pub fn asking(servers: Vec<SocketAddr>) -> Resolver {
        Resolver { servers, patience: PATIENCE }
    }

    /// Sets how long a name server may take for one attempt.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Resolver {
        Resolver { patience, ..self }
    }

    /// Returns the records of a name such as `_xmpp-client._tcp.a.example`. Fails if no name
    /// server has answered within 6 s, with the reason of the last one.
    pub async fn srv(&self, name: &str) -> io::Result<Srv> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no name server answers");
        timeout(WITHIN, self.ask_each(name)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn ask_each(&self, name: &str) -> io::Result<Srv> {
        let mut fault = io::Error::other("there is no name server");
        for _ in 0..ROUNDS {
            for server in &self.servers {
                match timeout(self.patience, ask(*server, name)).await {
                    Ok(Ok(found)) => return Ok(found),
                    Ok(Err(why)) => fault = why,
                    Err(_) => {
                        let words = format!("{} does not answer", server.ip());
                        fault = io::Error::new(io::ErrorKind::TimedOut, words);
                    }
                }
            }
        }
        Err(fault)
    }
}

/// Sends one question to one name server.
async fn ask(server: SocketAddr, name: &str) -> io::Result<Srv> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    // The kernel drops packets from other addresses.
    socket.connect(server).await?;
    let id = question_id();
    let question = question(id, name)?;
    socket.send(&question).await?;
    let mut answer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut answer).await?;
        match read(id, name, answer.get(..length).unwrap_or_default()) {
            Reading::Answer(found) => return Ok(found),
            Reading::Refusal(why) => return Err(io::Error::other(why)),
            Reading::CutOff => return ask_at_length(server, id, name, &question).await,
            // Perhaps a forged answer; the real one may still come.
            Reading::Nonsense => {}
        }
    }
}

/// RFC 7766: sends the same question over TCP, where a long answer fits.
async fn ask_at_length(
    server: SocketAddr,
    id: u16,
    name: &str,
    question: &[u8],
) -> io::Result<Srv> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    match read(id, name, &answer) {
        Reading::Answer(found) => Ok(found),
        Reading::Refusal(why) => Err(io::Error::other(why)),
        Reading::CutOff | Reading::Nonsense => {
            Err(io::Error::other("the name server's answer makes no sense"))
        }
    }
}

/// Returns a random number that nobody can guess.
fn question_id() -> u16 {
    u16::from_be_bytes(token::random::<2>())
}

fn question(id: u16, name: &str) -> io::Result<Vec<u8>> {
    let unfit = || io::Error::other("that is no name to ask for");
    let name = Name::new(name).map_err(|_| unfit())?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        name,
        QTYPE::TYPE(TYPE::SRV),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().map_err(|_| unfit())
}

/// The result of reading an answer.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    Answer(Srv),
    /// The name server refused.
    Refusal(String),
    /// The answer is longer than a packet.
    CutOff,
    /// Not an answer to this question.
    Nonsense,
}

fn read(id: u16, name: &str, bytes: &[u8]) -> Reading {
    // A truncated answer may end inside a record, so parsing it whole may fail.
    let Some([high, low, flags, ..]) = bytes.first_chunk::<12>() else { return Reading::Nonsense };
    if u16::from_be_bytes([*high, *low]) != id || flags & 0x80 == 0 {
        return Reading::Nonsense;
    }
    if flags & 0x02 != 0 {
        return Reading::CutOff;
    }
    let Ok(packet) = Packet::parse(bytes) else { return Reading::Nonsense };
    let is_ours = |asked: &Question<'_>| asked.qname.to_string().eq_ignore_ascii_case(name);
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => match packet.questions.as_slice() {
            [asked] if is_ours(asked) => Reading::Answer(records(&packet, name)),
            _ => Reading::Nonsense,
        },
        other => Reading::Refusal(format!("the name server {}", in_words(other))),
    }
}

/// Says why a name server does not answer (RFC 1035, 4.1.1).
fn in_words(rcode: RCODE) -> &'static str {
    match rcode {
        RCODE::FormatError => "does not understand the question",
        RCODE::ServerFailure => "has trouble finding the answer",
        RCODE::NotImplemented => "does not know such questions",
        RCODE::Refused => "refuses to answer",
        _ => "gives no answer",
    }
}

/// Returns the records of the name, or of the name that it is an alias of.
fn records(packet: &Packet<'_>, name: &str) -> Srv {
    let mut name = name.to_owned();
    for _ in 0..MAX_ALIASES {
        let alias = packet.answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(other) if record.name.to_string().eq_ignore_ascii_case(&name) => {
                Some(other.0.to_string())
            }
            _ => None,
        });
        let Some(alias) = alias else { break };
        name = alias;
    }
    let own = packet.answers.iter().filter_map(|record| match &record.rdata {
        RData::SRV(srv) if record.name.to_string().eq_ignore_ascii_case(&name) => Some(Target {
            host: srv.target.to_string(),
            port: srv.port,
            priority: srv.priority,
            weight: srv.weight,
        }),
        _ => None,
    });
    let own: Vec<Target> = own.take(MAX_TARGETS).collect();
    let there: Vec<Target> = own.iter().filter(|target| is_host(&target.host)).cloned().collect();
    match (own.is_empty(), there.is_empty()) {
        (true, _) => Srv::None,
        // RFC 2782: the target is a dot. An invalid host is treated like it.
        (false, true) => Srv::NotOffered,
        (false, false) => Srv::At(there),
    }
}

/// Returns whether a name from a stranger is a valid host; an invalid one is not passed to the
/// system.
fn is_host(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.bytes().all(letter)
}

/// resolv.conf(5).
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let ips = servers.filter_map(|rest| rest.trim().parse::<IpAddr>().ok());
    ips.take(MAX_SERVERS).map(|ip| SocketAddr::new(ip, 53)).collect()
}

#[cfg(test)]
mod tests;
