//! A client that costs little: it logs in by the book, then only counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use whoelse_client::tls::Tls;
use whoelse_stream::binding::ChannelBindings;
use whoelse_stream::client::{Config, Machine, Step};
use whoelse_stream::secret::Password;

use crate::Failed;

const DOMAIN: &str = "localhost";

/// A client that is logged in.
pub struct Client {
    /// Which account.
    pub account: usize,
    io: TlsStream<TcpStream>,
}

impl Client {
    /// Logs `userN` in, after making the account for its first session.
    pub async fn log_in(port: u16, account: usize, session: usize) -> Result<Client, Failed> {
        let name = format!("user{account}");
        let password = || Password::new("a password").map_err(|error| error.to_string());
        let mut machine = Machine::new(
            Config { want_sm: false, resource: Some(format!("s{session}")), ..Config::new(DOMAIN) },
            None,
        );
        // Many places, so that no limit for one place is met.
        let socket = TcpSocket::new_v4()?;
        let place = [127, 0, 1 + (account / 200) as u8, 1 + (account % 200) as u8];
        socket.bind(SocketAddr::from((place, 0)))?;
        let mut tcp = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        tcp.set_nodelay(true)?;
        until(&mut machine, &mut tcp, |step| matches!(step, Step::StartTls)).await?;
        let server = ServerName::try_from(DOMAIN)?;
        // The server made its certificate a moment ago, on this machine; nobody vouches for it.
        let (mut io, _) =
            Tls::with_roots(RootCertStore::empty()).connect(tcp, server, false).await?;
        machine.tls_started(ChannelBindings::default());
        machine.trust_channel();
        until(&mut machine, &mut io, |step| matches!(step, Step::Ready(_))).await?;
        if session == 0 {
            machine.register(&name, &password()?).map_err(|denied| format!("{denied:?}"))?;
            until(&mut machine, &mut io, |step| matches!(step, Step::Registered(_))).await?;
        }
        machine.login(&name, password()?).map_err(|denied| format!("{denied:?}"))?;
        until(&mut machine, &mut io, |step| matches!(step, Step::Open(_))).await?;
        Ok(Client { account, io })
    }

    /// Keeps `window` messages in flight to another user: one is written for each that comes.
    pub async fn write_and_read(
        mut self,
        to: usize,
        window: usize,
        received: Arc<AtomicU64>,
        stop: Arc<AtomicBool>,
    ) -> Result<(), Failed> {
        // 350 bytes and three children, as in docs/performance.md.
        let message = format!(
            "<message to='user{to}@{DOMAIN}/s0' id='{:0>20}' type='chat'><body>{}</body><active \
             xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
             </message>",
            self.account,
            "x".repeat(170),
        );
        let end = b"</message>";
        let (mut buffer, mut matched) = (vec![0; 64 << 10], 0);
        let mut due = window;
        while !stop.load(Ordering::Relaxed) {
            if due > 0 {
                self.io.write_all(message.repeat(due).as_bytes()).await?;
                self.io.flush().await?;
            }
            let read = self.io.read(&mut buffer).await?;
            if read == 0 {
                return Err("the server has closed the connection".into());
            }
            due = 0;
            for byte in buffer.iter().take(read) {
                matched = match *byte == end[matched] {
                    true => matched + 1,
                    false => usize::from(*byte == end[0]),
                };
                if matched == end.len() {
                    (matched, due) = (0, due + 1);
                }
            }
            received.fetch_add(due as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Drives the machine until it says what is waited for.
async fn until<IO: AsyncRead + AsyncWrite + Unpin>(
    machine: &mut Machine,
    io: &mut IO,
    wanted: impl Fn(&Step) -> bool,
) -> Result<(), Failed> {
    let mut buffer = vec![0; 8 << 10];
    loop {
        while let Some(step) = machine.poll() {
            if wanted(&step) {
                io.write_all(&machine.take_output()).await?;
                io.flush().await?;
                return Ok(());
            }
            if machine.is_over() {
                return Err(format!("refused: {step:?}").into());
            }
        }
        io.write_all(&machine.take_output()).await?;
        io.flush().await?;
        let read = io.read(&mut buffer).await?;
        if read == 0 {
            return Err("the server has closed the connection".into());
        }
        machine.push(buffer.get(..read).unwrap_or_default());
    }
}
