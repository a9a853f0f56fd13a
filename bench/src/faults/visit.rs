//! One connection of a person, from the socket to its end: the connecting machine of
//! `whoelse-stream` over TLS, which counts stanzas and answers requests to count (XEP-0198).

use std::net::SocketAddr;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use whoelse_client::tls::Tls;
use whoelse_stream::binding::ChannelBindings;
use whoelse_stream::client::{Config, Machine, Opening, Resumption, Step};
use whoelse_stream::secret::Password;
use whoelse_stream::sm::Element as Sm;

use crate::Failed;

const DOMAIN: &str = "localhost";
/// The system holds little for a client that does not read, so that the server has to.
const RECEIVE_BUFFER: u32 = 16 << 10;
/// Longer than a login takes in the worst of storms.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session that is open.
pub struct Visit {
    machine: Machine,
    io: TlsStream<TcpStream>,
    /// By which it can be resumed.
    id: Option<String>,
    /// Stanzas received since they are counted.
    received: u32,
    pub resumed: bool,
}

impl Visit {
    /// Logs `userN` in from a place; makes the account first, if it is `new`.
    pub async fn begin(
        port: u16,
        place: [u8; 4],
        me: usize,
        new: bool,
        resume: Option<Resumption>,
    ) -> Result<Visit, Failed> {
        let begun = tokio::time::timeout(PATIENCE, Visit::log_in(port, place, me, new, resume));
        begun.await.map_err(|_| "no session within a minute")?
    }

    async fn log_in(
        port: u16,
        place: [u8; 4],
        me: usize,
        new: bool,
        resume: Option<Resumption>,
    ) -> Result<Visit, Failed> {
        let mut tcp = connect(port, place).await?;
        let (mut id, mut received) = match &resume {
            Some(resume) => (Some(resume.previd.clone()), resume.h),
            None => (None, 0),
        };
        let mut machine = Machine::new(Config { resume, ..Config::new(DOMAIN) }, None);
        until(&mut machine, &mut tcp, |step| matches!(step, Step::StartTls)).await?;
        let server = ServerName::try_from(DOMAIN)?;
        // The server made its certificate a moment ago, on this machine; nobody vouches for it.
        let (mut io, _) =
            Tls::with_roots(RootCertStore::empty()).connect(tcp, server, false).await?;
        machine.tls_started(ChannelBindings::default());
        machine.trust_channel();
        until(&mut machine, &mut io, |step| matches!(step, Step::Ready(_))).await?;
        let (name, password) = (format!("user{me}"), || Password::new("a password"));
        let bad = |error| format!("{error:?}");
        if new {
            let password = password().map_err(|error| error.to_string())?;
            machine.register(&name, &password).map_err(bad)?;
            until(&mut machine, &mut io, |step| matches!(step, Step::Registered(_))).await?;
        }
        let password = password().map_err(|error| error.to_string())?;
        machine.login(&name, password).map_err(bad)?;
        let open = until(&mut machine, &mut io, |step| matches!(step, Step::Open(_))).await?;
        let resumed = matches!(open, Step::Open(Opening::Resumed { .. }));
        if let Step::Open(Opening::Bound { sm, .. }) = open {
            (id, received) = (sm.and_then(|sm| sm.id), 0);
        }
        Ok(Visit { machine, io, id, received, resumed })
    }

    /// What is needed to come back to this session.
    pub fn resumption(&self) -> Option<Resumption> {
        Some(Resumption { previd: self.id.clone()?, h: self.received })
    }

    /// Writes.
    pub async fn say(&mut self, xml: &str) -> Result<(), Failed> {
        self.io.write_all(xml.as_bytes()).await?;
        Ok(self.io.flush().await?)
    }

    /// Reads what there is into the buffer. Nothing is lost when this is not waited for.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failed> {
        match self.io.read(buffer).await? {
            0 => Err("the server has closed the connection".into()),
            read => Ok(read),
        }
    }

    /// Takes what was read, and answers what is to be answered. Returns how many messages came.
    pub async fn hear(&mut self, bytes: &[u8]) -> Result<u64, Failed> {
        self.machine.push(bytes);
        let (mut messages, mut asked) = (0, false);
        while let Some(step) = self.machine.poll() {
            match step {
                Step::Stanza(stanza) => {
                    self.received = self.received.wrapping_add(1);
                    messages += u64::from(stanza.kind() == whoelse_xmpp::Kind::Message);
                }
                Step::Sm(Sm::Request) => asked = true,
                Step::Sm(_) => {}
                over => return Err(format!("the stream ends: {over:?}").into()),
            }
        }
        if asked {
            let h = self.received;
            self.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")).await?;
        }
        Ok(messages)
    }

    /// Goes as one should, not waiting for an answer for long.
    pub async fn leave(mut self) {
        let bye = async {
            self.say("</stream:stream>").await?;
            self.io.shutdown().await?;
            let mut rest = [0; 4096];
            while self.io.read(&mut rest).await? > 0 {}
            Ok::<_, Failed>(())
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), bye).await;
    }
}

/// A socket from this place.
pub async fn connect(port: u16, place: [u8; 4]) -> Result<TcpStream, Failed> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((place, 0)))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let tcp = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Drives the machine until it says what is waited for.
async fn until<IO: AsyncRead + AsyncWrite + Unpin>(
    machine: &mut Machine,
    io: &mut IO,
    wanted: impl Fn(&Step) -> bool,
) -> Result<Step, Failed> {
    let mut buffer = vec![0; 8 << 10];
    loop {
        let step = machine.poll();
        io.write_all(&machine.take_output()).await?;
        io.flush().await?;
        match step {
            Some(step) if wanted(&step) => return Ok(step),
            Some(step) if machine.is_over() => return Err(format!("refused: {step:?}").into()),
            Some(_) => {}
            None => {
                let read = io.read(&mut buffer).await?;
                if read == 0 {
                    return Err("the server has closed the connection".into());
                }
                machine.push(buffer.get(..read).unwrap_or_default());
            }
        }
    }
}
