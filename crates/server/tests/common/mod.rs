//! A server on a free port in a directory of its own, and clients that speak to it over sockets.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use whoelse_client::tls::Tls;
use whoelse_server::ingress::Io;
use whoelse_server::{Config, Server, StartError};
use whoelse_stream::client::{Config as StreamConfig, Machine, Opening, Resumption, Step};
use whoelse_stream::{ChannelBindings, Password};
use whoelse_xmpp::{BareJid, Kind, Stanza};

/// Longer than anything here takes, shorter than a person waits for a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is true.
pub async fn eventually(what: &str, is_true: impl Fn() -> bool) {
    let tried = timeout(PATIENCE, async {
        while !is_true() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    tried.await.unwrap_or_else(|_| panic!("{what}"));
}

/// A server that runs, and the folder it lives in.
pub struct World {
    pub server: Server,
    pub folder: tempfile::TempDir,
}

/// The quick start on a free port, in a folder of its own.
pub fn config(folder: &Path) -> Config {
    let mut config = Config::quick_start();
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.data = folder.join("data");
    config.credentials = None;
    config
}

impl World {
    pub async fn start() -> World {
        World::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        for name in ["alice", "bob"] {
            let made = server.node().create_account(&jid(name), password(name)).await;
            made.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        World { server, folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    /// Waits until so many connections wait for their turn to log in.
    pub async fn until_waiting(&self, count: usize) {
        let gate = self.server.connections().gate();
        let waiting = async {
            while gate.waiting() != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("so many wait");
    }

    /// Logs in and sends presence.
    pub async fn online(&self, name: &str) -> Client {
        let mut client = self.login(name).await;
        client.send("<presence/>").await;
        client.expect(|stanza| stanza.kind() == Kind::Presence).await;
        client
    }

    pub async fn login(&self, name: &str) -> Client {
        let client = Client::connect(self.address(), StreamConfig::new("localhost")).await;
        client.login(name).await
    }

    /// The same where the session may be gone.
    pub async fn resume_or_bind(&self, name: &str, resume: Resumption) -> Client {
        let mut config = StreamConfig::new("localhost");
        config.resume = Some(resume);
        let mut client = Client::connect(self.address(), config).await;
        client.machine.login(name, password(name)).unwrap();
        loop {
            match client.step().await {
                Step::NotResumed { .. } => {}
                Step::Open(opening) => {
                    client.opening = Some(opening);
                    return client;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn resume(&self, name: &str, resume: Resumption) -> Client {
        let mut config = StreamConfig::new("localhost");
        config.resume = Some(resume);
        Client::connect(self.address(), config).await.login(name).await
    }
}

/// The address of an account of the quick start.
pub fn jid(name: &str) -> BareJid {
    BareJid::new(Some(name), "localhost").unwrap()
}

pub async fn start_error(config: Config) -> String {
    match Server::start(config).await {
        Ok(_) => panic!("the server has started"),
        Err(error) => {
            let _: &StartError = &error;
            error.to_string()
        }
    }
}

pub fn password(name: &str) -> Password {
    Password::new(&format!("the password of {name}")).unwrap()
}

/// One client's end of a stream.
pub struct Client {
    pub io: Box<dyn Io>,
    pub machine: Machine,
    pub opening: Option<Opening>,
    /// Stanzas received since stream management was enabled.
    pub received: u32,
}

impl Client {
    /// Up to the point where it can log in.
    pub async fn connect(address: SocketAddr, config: StreamConfig) -> Client {
        let io = TcpStream::connect(address).await.unwrap();
        Client::over_with(Box::new(io), config).await
    }

    /// The same over a socket that is connected already.
    pub async fn over(io: Box<dyn Io>) -> Client {
        Client::over_with(io, StreamConfig::new("localhost")).await
    }

    async fn over_with(io: Box<dyn Io>, config: StreamConfig) -> Client {
        let mut client =
            Client { io, machine: Machine::new(config, None), opening: None, received: 0 };
        match client.step().await {
            Step::StartTls => {}
            other => panic!("{other:?}"),
        }
        let io = std::mem::replace(&mut client.io, Box::new(tokio::io::duplex(1).0));
        let (io, channel) = handshake(io, false).await;
        client.io = io;
        client.machine.tls_started(channel);
        client.ready().await
    }

    /// The same over TLS from the first byte.
    pub async fn connect_direct(address: SocketAddr) -> Client {
        let io = Box::new(TcpStream::connect(address).await.unwrap());
        let (io, channel) = handshake(io, true).await;
        let mut config = StreamConfig::new("localhost");
        config.transport = whoelse_stream::c2s::Transport::Tls;
        let machine = Machine::new(config, Some(channel));
        Client { io, machine, opening: None, received: 0 }.ready().await
    }

    pub async fn ready(mut self) -> Client {
        match self.step().await {
            Step::Ready(_) => self,
            other => panic!("{other:?}"),
        }
    }

    pub async fn login(self, name: &str) -> Client {
        self.login_as(name, password(name)).await
    }

    pub async fn login_as(mut self, name: &str, password: Password) -> Client {
        self.machine.login(name, password).unwrap();
        match self.step().await {
            Step::Open(opening) => self.opening = Some(opening),
            other => panic!("{other:?}"),
        }
        self
    }

    /// The next step, whatever it takes.
    pub async fn step(&mut self) -> Step {
        timeout(PATIENCE, self.next_step()).await.expect("the server has something to say")
    }

    async fn next_step(&mut self) -> Step {
        loop {
            let step = self.machine.poll();
            self.flush().await;
            if let Some(step) = step {
                if matches!(step, Step::Stanza(_)) {
                    self.received += 1;
                }
                return step;
            }
            let mut buffer = [0; 4096];
            let read = self.io.read(&mut buffer).await.unwrap_or(0);
            assert!(read > 0, "the server has closed the connection");
            self.machine.push(&buffer[..read]);
        }
    }

    pub async fn flush(&mut self) {
        let out = self.machine.take_output();
        // A server that has gone is seen when reading.
        let _ = self.io.write_all(&out).await;
        let _ = self.io.flush().await;
    }

    pub async fn send(&mut self, xml: &str) {
        self.flush().await;
        self.io.write_all(xml.as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Says how much was received.
    pub async fn acknowledge(&mut self) {
        let h = self.received;
        self.send(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")).await;
    }

    /// The next stanza that fits.
    pub async fn expect(&mut self, fits: impl Fn(&Stanza) -> bool) -> Stanza {
        loop {
            match self.step().await {
                Step::Stanza(stanza) if fits(&stanza) => return stanza,
                Step::Stanza(_) | Step::Sm(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The text of the next message.
    pub async fn text(&mut self) -> String {
        let message = self.expect(|stanza| stanza.kind() == Kind::Message).await;
        message.child_text("body", whoelse_xmpp::ns::CLIENT).unwrap().to_string()
    }

    /// Where to go on with this session.
    pub fn resumption(&self) -> Resumption {
        match &self.opening {
            Some(Opening::Bound { sm: Some(enabled), .. }) => {
                Resumption { previd: enabled.id.clone().unwrap(), h: self.received }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the server has closed the connection, whatever it says before.
    pub async fn closed(&mut self) {
        until_closed(&mut self.io).await;
    }
}

/// What comes until the other end closes, well or badly.
pub async fn until_closed(io: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut heard = Vec::new();
    let reading = async { while io.read_buf(&mut heard).await.unwrap_or(0) > 0 {} };
    timeout(PATIENCE, reading).await.expect("the server closes the connection");
    heard
}

pub fn message(to: &str, text: &str) -> String {
    format!("<message to='{to}@localhost' type='chat'><body>{text}</body></message>")
}

/// Whose certificate it is, is not what is tested here.
pub async fn handshake(io: Box<dyn Io>, direct: bool) -> (Box<dyn Io>, ChannelBindings) {
    let tls = Tls::with_roots(RootCertStore::empty());
    let name = ServerName::try_from("localhost").unwrap();
    let (io, seen) = tls.connect(io, name, direct).await.unwrap();
    if direct {
        assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"xmpp-client"[..]));
    }
    let channel =
        ChannelBindings { exporter: seen.exporter, server_end_point: seen.end_point.clone() };
    (Box::new(io), channel)
}
