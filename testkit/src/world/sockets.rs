//! A world of sockets: a whole server with TLS, on this machine, with the system's clock.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};

use super::World;
use crate::line::Line;
use crate::scene::{ClockSet, Scene, Server as ServerAct, Way};
use whoelse_client::tls::Tls;
use whoelse_server::ingress::Io;
use whoelse_server::{Config, Server};
use whoelse_stream::ChannelBindings;

/// How long to wait for an answer: longer than a busy machine takes for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Consecutive checks that must find the rules idle.
const LOOKS: usize = 2;

/// The world.
pub struct Sockets {
    config: Config,
    server: Option<Server>,
    runtime: Runtime,
    /// Last, since the data directory is removed after the server has ended.
    _folder: TempDir,
}

impl Sockets {
    /// For a scene: a server with its settings and its accounts.
    pub fn new(scene: &Scene) -> Result<Sockets, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::quick_start();
        config.settings = super::settings(&scene.settings)?;
        config.admins = config.settings.admins.iter().map(ToString::to_string).collect();
        config.domain = Some("localhost".to_owned());
        (config.listen, config.direct_tls, config.web.listen) =
            (vec![free], vec![free], vec![free]);
        config.web.public_url = "https://localhost".parse().ok();
        config.data = folder.path().join("data");
        config.credentials = None;
        let server = runtime.block_on(Server::start(config.clone()));
        let server = server.map_err(|error| error.to_string())?;
        runtime.block_on(super::make_accounts(server.node(), &scene.accounts))?;
        Ok(Sockets { config, server: Some(server), runtime, _folder: folder })
    }

    fn running(&self) -> Result<&Server, String> {
        self.server.as_ref().ok_or_else(|| "the server is stopped".to_owned())
    }
}

async fn tcp(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// RFC 6120, 5: asks for TLS in clear, as every client does.
async fn starttls(stream: &mut TcpStream, injected: &str) -> io::Result<()> {
    let asked = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
                 xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
                 <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    // In one packet, so that it arrives before the handshake begins.
    stream.write_all(format!("{asked}{injected}").as_bytes()).await?;
    let mut heard = Vec::new();
    // The server writes nothing after it before the handshake.
    while !heard.ends_with(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") {
        if stream.read_buf(&mut heard).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// RFC 6455, 4.1, and RFC 7395, 3.1: asks for a WebSocket, as every browser does.
async fn upgrade(stream: &mut (impl Io + ?Sized)) -> io::Result<()> {
    let asked = "GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Protocol: xmpp\r\n\r\n";
    stream.write_all(asked.as_bytes()).await?;
    let mut heard = Vec::new();
    // The server says nothing more before its client does.
    while !heard.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut heard).await? == 0 {
            break;
        }
    }
    match heard.starts_with(b"HTTP/1.1 101") {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&heard).into_owned())),
    }
}

/// Accepts any certificate; another test checks it.
async fn handshake(stream: TcpStream, direct: bool) -> io::Result<(impl Io, ChannelBindings)> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let tls = Tls::with_roots(RootCertStore::empty());
    let (stream, seen) = tls.connect(stream, name, direct).await?;
    Ok((stream, ChannelBindings { exporter: seen.exporter, server_end_point: None }))
}

impl World for Sockets {
    fn connect(&mut self, way: Way, from: Option<IpAddr>, injected: &str) -> Result<Line, String> {
        let server = self.running()?;
        let (starttls_at, direct_at) = (server.addresses().first(), server.direct_tls_addresses());
        let to = match way {
            Way::Direct => direct_at.first(),
            Way::WebSocket => server.web_addresses().first(),
            _ => starttls_at,
        };
        let to = *to.ok_or("the server listens nowhere")?;
        let handle = self.runtime.handle();
        let connected = async {
            let none = ChannelBindings::default();
            if way == Way::Admin {
                let stream = UnixStream::connect(server.admin_socket()).await?;
                return Ok(Line::new(handle, stream, none));
            }
            if way == Way::Bosh {
                return Err(io::Error::other("BOSH is played in memory"));
            }
            let mut stream = tcp(to, from).await?;
            if way == Way::Clear {
                return Ok(Line::new(handle, stream, none));
            }
            if way == Way::Encrypted {
                starttls(&mut stream, injected).await?;
            }
            if way == Way::WebSocket {
                let (mut stream, channel) = handshake(stream, false).await?;
                upgrade(&mut stream).await?;
                return Ok(Line::over_websocket(handle, stream, channel));
            }
            let tls_first = matches!(way, Way::Direct | Way::DirectAtStartTls);
            let (stream, channel) = handshake(stream, tls_first).await?;
            Ok(Line::new(handle, stream, channel))
        };
        let connected =
            self.runtime.block_on(async { tokio::time::timeout(PATIENCE, connected).await });
        let connected = connected.map_err(|_| "the server does not answer".to_owned())?;
        connected.map_err(|error: io::Error| format!("cannot connect: {error}"))
    }

    fn fetch(&mut self, path: &str) -> Result<String, String> {
        let to = self.running()?.web_addresses().first().copied().ok_or("there is no web")?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let fetching = async {
            let (mut stream, _) = handshake(tcp(to, None).await?, false).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            // The end of the answer is not always that of TLS.
            while stream.read_buf(&mut answer).await.unwrap_or(0) > 0 {}
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let fetched =
            self.runtime.block_on(async { tokio::time::timeout(PATIENCE, fetching).await });
        let fetched = fetched.map_err(|_| "the server does not answer".to_owned())?;
        fetched.map_err(|error: io::Error| format!("cannot fetch: {error}"))
    }

    fn settle(&mut self) {
        let Some(server) = &self.server else { return };
        let node = server.node();
        self.runtime.block_on(async {
            let mut looks = 0;
            while looks < LOOKS {
                tokio::time::sleep(Duration::from_micros(300)).await;
                looks = if node.is_idle() { looks + 1 } else { 0 };
            }
        });
    }

    fn wait_for(&mut self, line: &Line) -> bool {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, line.news()).await.is_ok() })
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn pass(&mut self, _: Duration, _: &mut dyn FnMut(&mut dyn World)) -> Result<(), String> {
        Err("the system's clock cannot be moved".to_owned())
    }

    fn set_clock(&mut self, _: ClockSet) -> Result<(), String> {
        Err("the system's clock cannot be set".to_owned())
    }

    fn server(&mut self, what: ServerAct) -> Result<(), String> {
        if what == ServerAct::Crashes {
            return Err("a server in this process cannot crash".to_owned());
        }
        match self.server.take() {
            Some(server) => self.runtime.block_on(server.shutdown()),
            None if what == ServerAct::Starts => {}
            None => return Err("the server is stopped".to_owned()),
        }
        if what != ServerAct::Stops {
            let started = self.runtime.block_on(Server::start(self.config.clone()));
            self.server = Some(started.map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}
