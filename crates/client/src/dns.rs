//! RFC 2782, asked as RFC 1035 and RFC 7766 say: the SRV records of a name, from the name servers
//! of the system.
//!
//! Nothing here is proved: whoever sits on the way can answer in the name server's place. So an
//! answer only says where to knock, and what opens there is judged as if nobody had been asked.

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

/// How long one name server may take for one try.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long they may take all together.
const WITHIN: Duration = Duration::from_secs(6);
/// How often each is asked: a question or its answer may get lost.
const ROUNDS: usize = 2;
/// Name servers that are asked, as resolv.conf(5) has it.
const MAX_SERVERS: usize = 3;
/// Records that are read from one answer.
const MAX_TARGETS: usize = 32;
/// Other names that a name may lead through.
const MAX_ALIASES: usize = 8;
/// The longest answer over UDP. We say nothing of our room, so servers send 512 bytes at most.
const LONGEST: usize = 4096;

/// What is known of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Srv {
    /// There is no record.
    None,
    /// The service is decidedly not there: the one target is `.`.
    NotOffered,
    /// It is there.
    At(Vec<Target>),
}

/// One record: where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The computer.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Lower ones come first.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
}

/// Whoever knows name servers.
#[derive(Debug, Clone)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    patience: Duration,
}

impl Resolver {
    /// One that asks the name servers of `/etc/resolv.conf`.
    pub fn of_system() -> io::Result<Resolver> {
        let servers = name_servers(&fs::read_to_string("/etc/resolv.conf")?);
        match servers.is_empty() {
            true => Err(io::Error::other("there is no name server in /etc/resolv.conf")),
            false => Ok(Resolver::asking(servers)),
        }
    }

    /// One that asks these, the first one first.
    pub fn asking(servers: Vec<SocketAddr>) -> Resolver {
        Resolver { servers, patience: PATIENCE }
    }

    /// The same, when no name server may take longer than this for one try.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Resolver {
        Resolver { patience, ..self }
    }

    /// The records of a name such as `_xmpp-client._tcp.a.example`. The error is that no name
    /// server has answered within 6 s, or why the last one did not.
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

/// One question to one name server.
async fn ask(server: SocketAddr, name: &str) -> io::Result<Srv> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    // The system drops what others send.
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
            // Perhaps somebody guesses at our question; the answer may still come.
            Reading::Nonsense => {}
        }
    }
}

/// RFC 7766: the same question where an answer has room.
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

/// Numbers from the system's generator, so that nobody guesses them.
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

/// What came back.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    Answer(Srv),
    /// The name server does not know, and says so.
    Refusal(String),
    /// There is more than one packet has room for.
    CutOff,
    /// Not an answer to this question.
    Nonsense,
}

fn read(id: u16, name: &str, bytes: &[u8]) -> Reading {
    // An answer that was cut off may end inside a record, so that the whole cannot be read.
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

/// Why a name server does not answer (RFC 1035, 4.1.1).
fn in_words(rcode: RCODE) -> &'static str {
    match rcode {
        RCODE::FormatError => "does not understand the question",
        RCODE::ServerFailure => "has trouble finding the answer",
        RCODE::NotImplemented => "does not know such questions",
        RCODE::Refused => "refuses to answer",
        _ => "gives no answer",
    }
}

/// The records of the name, or of the name it is an alias of.
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
        // RFC 2782: a dot alone. A host that cannot be one is no better.
        (false, true) => Srv::NotOffered,
        (false, false) => Srv::At(there),
    }
}

/// Names come from strangers; what is none is not handed to the system.
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
