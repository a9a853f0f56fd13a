//! A raw client that sends anything: the connecting machine of `whoelse-stream` over TLS,
//! blocking, with its own counts.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use whoelse_stream::client::{Config, Machine, Opening, Resumption, Step};
use whoelse_stream::sm::Element as Sm;
use whoelse_stream::{ChannelBindings, Password};
use whoelse_xmpp::{Kind, Stanza, ns};

use super::{PATIENCE, password};

/// The connection is closed, or nothing came in time.
#[derive(Debug, PartialEq, Eq)]
pub enum Gone {
    Closed,
    Late,
}

/// A session as its client sees it.
pub struct Raw {
    machine: Machine,
    io: StreamOwned<ClientConnection, TcpStream>,
    pub opening: Option<Opening>,
    /// The id to resume the session with.
    pub session: Option<String>,
    /// Stanzas received since stanzas are counted.
    pub received: u32,
    /// The last count that the server acknowledged.
    pub acknowledged: u32,
}

/// Connects from an address of the loopback net; to the server each is another network.
pub fn socket_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::new(IpAddr::V4(from), 0))?;
    connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

impl Raw {
    /// Connects up to the login.
    pub fn connect(to: SocketAddr, resume: Option<Resumption>) -> Result<Raw, Gone> {
        Raw::over(TcpStream::connect(to).map_err(|_| Gone::Closed)?, resume)
    }

    /// Returns its own address, as the server sees it.
    pub fn local_address(&self) -> SocketAddr {
        self.io.sock.local_addr().unwrap()
    }

    /// Does the same over an existing socket.
    pub fn over(socket: TcpStream, resume: Option<Resumption>) -> Result<Raw, Gone> {
        socket.set_nodelay(true).map_err(|_| Gone::Closed)?;
        let (session, received) =
            resume.clone().map_or((None, 0), |resume| (Some(resume.previd), resume.h));
        let mut machine = Machine::new(Config { resume, ..Config::new("localhost") }, None);
        let mut plain = socket;
        let until = Instant::now() + PATIENCE;
        match step(&mut machine, &mut plain, until)? {
            Step::StartTls => {}
            other => panic!("no TLS: {other:?}"),
        }
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(tls(), name).unwrap();
        let mut io = StreamOwned::new(tls, plain);
        io.sock.set_read_timeout(Some(PATIENCE)).map_err(|_| Gone::Closed)?;
        while io.conn.is_handshaking() {
            io.conn.complete_io(&mut io.sock).map_err(|_| Gone::Closed)?;
        }
        let exporter =
            io.conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
        machine.tls_started(ChannelBindings { exporter: exporter.ok(), server_end_point: None });
        let mut raw = Raw { machine, io, opening: None, session, received, acknowledged: 0 };
        match raw.step(PATIENCE)? {
            Step::Ready(_) => Ok(raw),
            other => panic!("not ready: {other:?}"),
        }
    }

    /// Logs in with the name's [`password`].
    pub fn log_in(self, name: &str) -> Result<Raw, Gone> {
        match self.try_log_in(name, &password(name))? {
            Ok(raw) => Ok(raw),
            Err(refused) => panic!("{name}: {refused:?}"),
        }
    }

    /// Logs in; returns the refusal if the server refuses.
    pub fn try_log_in(mut self, name: &str, password: &str) -> Result<Result<Raw, Step>, Gone> {
        self.machine.login(name, Password::new(password).unwrap()).unwrap();
        loop {
            match self.step(PATIENCE)? {
                Step::NotResumed { .. } => {}
                Step::Open(opening) => {
                    self.opening = Some(opening);
                    return Ok(Ok(self));
                }
                other => return Ok(Err(other)),
            }
        }
    }

    /// The certificate that the server has shown.
    pub fn certificate(&self) -> Vec<u8> {
        self.io.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// Sends a ping, and waits for the answer.
    pub fn ping(&mut self) {
        self.send("<iq type='get' id='alive'><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
        self.stanza(|stanza| stanza.id() == Some("alive")).unwrap();
    }

    /// Logs in and becomes available.
    pub fn online(to: SocketAddr, name: &str) -> Raw {
        let mut raw = Raw::connect(to, None).unwrap().log_in(name).unwrap();
        raw.send("<presence/>").unwrap();
        raw
    }

    /// Returns what is needed to resume this session over another connection.
    pub fn resumption(&self) -> Option<Resumption> {
        let previd = self.session.clone()?;
        Some(Resumption { previd, h: self.received })
    }

    /// Returns whether this connection has resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        matches!(self.opening, Some(Opening::Resumed { .. }))
    }

    pub fn send(&mut self, xml: &str) -> Result<(), Gone> {
        let written = self.io.write_all(xml.as_bytes()).and_then(|()| self.io.flush());
        written.map_err(|_| Gone::Closed)
    }

    /// Asks for the server's count, and waits for the answer.
    pub fn count(&mut self) -> Result<u32, Gone> {
        self.send("<r xmlns='urn:xmpp:sm:3'/>")?;
        loop {
            if let Step::Sm(Sm::Ack { h }) = self.step(PATIENCE)? {
                return Ok(h);
            }
        }
    }

    /// Acknowledges what has been received.
    pub fn acknowledge(&mut self) -> Result<(), Gone> {
        let h = self.received;
        self.send(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"))
    }

    /// Returns the next stanza that fits. Answers `<r/>` meanwhile.
    pub fn stanza(&mut self, fits: impl Fn(&Stanza) -> bool) -> Result<Stanza, Gone> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.step(left)? {
                Step::Stanza(stanza) if fits(&stanza) => return Ok(stanza),
                Step::Stanza(_) => {}
                Step::Sm(Sm::Request) => self.acknowledge()?,
                Step::Sm(_) => {}
                Step::Error(_) | Step::Closed | Step::GaveUp(_) => return Err(Gone::Closed),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Returns the text of the next message with a body.
    pub fn text(&mut self) -> Result<String, Gone> {
        let message = self.stanza(|it| it.kind() == Kind::Message && it.has("body", ns::CLIENT))?;
        Ok(message.child_text("body", ns::CLIENT).unwrap().to_string())
    }

    /// Returns the next step, if one comes in time.
    pub fn step(&mut self, within: Duration) -> Result<Step, Gone> {
        let step = step(&mut self.machine, &mut self.io, Instant::now() + within)?;
        match &step {
            Step::Stanza(_) => self.received = self.received.wrapping_add(1),
            Step::Sm(Sm::Ack { h }) | Step::Open(Opening::Resumed { h }) => {
                self.acknowledged = *h;
            }
            Step::Open(Opening::Bound { sm, .. }) => {
                self.session = sm.as_ref().and_then(|sm| sm.id.clone());
                self.received = 0;
            }
            _ => {}
        }
        Ok(step)
    }

    /// Closes the stream, and waits until the server has closed it too.
    pub fn close(mut self) -> Result<(), Gone> {
        self.send("</stream:stream>")?;
        while !matches!(self.step(PATIENCE)?, Step::Closed) {}
        Ok(())
    }

    /// The socket below everything.
    pub fn socket(&self) -> &TcpStream {
        &self.io.sock
    }
}

/// Bytes that can be waited for.
pub trait Io: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Io for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Io for StreamOwned<ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

fn step(machine: &mut Machine, io: &mut impl Io, until: Instant) -> Result<Step, Gone> {
    loop {
        let step = machine.poll();
        let out = machine.take_output();
        let written = io.write_all(&out).and_then(|()| io.flush());
        if let Some(step) = step {
            return Ok(step);
        }
        written.map_err(|_| Gone::Closed)?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Gone::Late);
        }
        io.socket().set_read_timeout(Some(left)).map_err(|_| Gone::Closed)?;
        let mut buffer = [0; 16 << 10];
        match io.read(&mut buffer) {
            Ok(0) => return Err(Gone::Closed),
            Ok(read) => machine.push(&buffer[..read]),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(Gone::Late),
                io::ErrorKind::Interrupted => {}
                _ => return Err(Gone::Closed),
            },
        }
    }
}

fn tls() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
                .with_no_client_auth();
            Arc::new(config)
        })
        .clone()
}

/// Accepts any certificate, since the server's identity is not tested here.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
