//! RFC 6120, 4 to 7: a client that logs in, and then is only a socket.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::scram::{self, Keys};
use super::socket::{Socket, tls};
use crate::Failed;

/// Of every account.
pub const PASSWORD: &str = "a password";
/// More than any server says before it is asked again.
const TOO_MUCH: usize = 64 << 10;

/// The name of an account.
pub fn name(account: usize) -> String {
    format!("user{account:04}")
}

/// What is spoken behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// XMPP with STARTTLS.
    Xmpp,
    /// The bare relay's lines.
    Lines {
        /// Under TLS.
        tls: bool,
    },
}

/// Where a server is entered, and what is remembered for the next time.
pub struct Entrance {
    port: u16,
    /// From which address of this machine.
    from: [u8; 4],
    language: Language,
    tls: Arc<ClientConfig>,
    /// Held for a look or an insertion.
    keys: Mutex<HashMap<usize, Keys>>,
}

impl Entrance {
    /// A port of this machine.
    pub fn new(port: u16, language: Language) -> Result<Arc<Entrance>, Failed> {
        let from = [127, 0, 0, 1];
        Ok(Arc::new(Entrance { port, from, language, tls: tls()?, keys: Mutex::default() }))
    }

    /// The same server, which has started again, at another port.
    pub fn moved(&self, port: u16) -> Arc<Entrance> {
        Arc::new(Entrance { port, ..self.copied() })
    }

    /// The same server, entered from another address of this machine.
    pub fn from(&self, from: [u8; 4]) -> Arc<Entrance> {
        Arc::new(Entrance { from, ..self.copied() })
    }

    fn copied(&self) -> Entrance {
        let keys = Mutex::new(self.keys.lock().clone());
        Entrance { tls: self.tls.clone(), keys, ..*self }
    }

    /// A connection on which nothing has been said yet.
    pub async fn connect(&self) -> Result<TcpStream, Failed> {
        Socket::connect(self.from, self.port).await
    }

    /// Whether clients can ask for what only XMPP has.
    pub fn is_xmpp(&self) -> bool {
        self.language == Language::Xmpp
    }

    fn known(&self, account: usize) -> Option<Keys> {
        self.keys.lock().get(&account).cloned()
    }

    fn keep(&self, account: usize, keys: Keys) {
        self.keys.lock().insert(account, keys);
    }
}

/// A client that is logged in.
pub struct Client {
    /// Which account.
    pub account: usize,
    /// Its connection.
    pub socket: Socket,
}

impl Client {
    /// Logs in with the resource `sN`.
    pub async fn log_in(
        entrance: &Entrance,
        account: usize,
        session: usize,
    ) -> Result<Client, Failed> {
        let tcp = entrance.connect().await?;
        let (tls, login) = match entrance.language {
            Language::Xmpp => (true, true),
            Language::Lines { tls } => (tls, false),
        };
        if !login {
            let mut socket = match tls {
                true => Socket::secure(tcp, &entrance.tls).await?,
                false => Socket::Plain(tcp),
            };
            let mut dialogue = Dialogue::over(&mut socket);
            dialogue.say(&format!("{}\n", name(account))).await?;
            dialogue.hear("ok\n").await?;
            return Ok(Client { account, socket });
        }
        let mut tcp = tcp;
        let mut dialogue = Dialogue::over(&mut tcp);
        dialogue.open().await?;
        dialogue.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        dialogue.hear("<proceed").await?;
        dialogue.hear(">").await?;
        let mut socket = Socket::secure(tcp, &entrance.tls).await?;
        let keys = begin_session(&mut socket, account, session, entrance.known(account)).await?;
        entrance.keep(account, keys);
        Ok(Client { account, socket })
    }

    /// Makes an account by XEP-0077, before any login.
    pub async fn register(entrance: &Entrance, account: usize) -> Result<(), Failed> {
        let mut tcp = entrance.connect().await?;
        let mut dialogue = Dialogue::over(&mut tcp);
        dialogue.open().await?;
        dialogue.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        dialogue.hear("<proceed").await?;
        dialogue.hear(">").await?;
        let mut socket = Socket::secure(tcp, &entrance.tls).await?;
        let mut dialogue = Dialogue::over(&mut socket);
        dialogue.open().await?;
        let name = name(account);
        dialogue
            .say(&format!(
                "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}\
                 </username><password>{PASSWORD}</password></query></iq>"
            ))
            .await?;
        let answer = dialogue.hear(">").await?;
        if !answer.contains("type='result'") && !answer.contains("type=\"result\"") {
            return Err(format!("{name} was not made: {answer}").into());
        }
        socket.write_all(b"</stream:stream>").await?;
        Ok(())
    }

    /// Sends one request and reads its answer to the end, however long it is. Returns how many bytes
    /// came.
    pub async fn request(&mut self, stanza: &str) -> Result<usize, Failed> {
        self.socket.write_all(stanza.as_bytes()).await?;
        self.socket.flush().await?;
        let (mut buffer, mut bytes, mut end) = (vec![0; 64 << 10], 0, Vec::new());
        while !end.ends_with(b"</iq>") {
            let read = self.socket.read(&mut buffer).await?;
            if read == 0 {
                return Err("the server has closed the connection".into());
            }
            bytes += read;
            end.extend_from_slice(buffer.get(read.saturating_sub(5)..read).unwrap_or_default());
            end.drain(..end.len().saturating_sub(5));
        }
        Ok(bytes)
    }

    /// Sends one stanza and waits until a text has come.
    pub async fn ask(&mut self, stanza: &str, until: &str) -> Result<(), Failed> {
        let mut dialogue = Dialogue::over(&mut self.socket);
        dialogue.say(stanza).await?;
        dialogue.hear(until).await?;
        Ok(())
    }
}

/// Logs in over a channel that is encrypted already, and gives back what need not be derived again.
pub async fn begin_session<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    account: usize,
    session: usize,
    known: Option<Keys>,
) -> Result<Keys, Failed> {
    let mut dialogue = Dialogue::over(io);
    dialogue.open().await?;
    let keys = dialogue.authenticate(account, known).await?;
    dialogue.open().await?;
    dialogue
        .say(&format!(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>\
             s{session}</resource></bind></iq>"
        ))
        .await?;
    dialogue.hear("</iq>").await?;
    Ok(keys)
}

/// Texts said in turns.
struct Dialogue<'a, IO> {
    io: &'a mut IO,
    heard: Vec<u8>,
}

impl<'a, IO: AsyncRead + AsyncWrite + Unpin> Dialogue<'a, IO> {
    fn over(io: &'a mut IO) -> Dialogue<'a, IO> {
        Dialogue { io, heard: Vec::new() }
    }

    async fn say(&mut self, text: &str) -> Result<(), Failed> {
        self.io.write_all(text.as_bytes()).await?;
        Ok(self.io.flush().await?)
    }

    /// Reads up to a text, which is the last of what is given back.
    async fn hear(&mut self, end: &str) -> Result<String, Failed> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.heard, end.as_bytes()) {
                let rest = self.heard.split_off(at + end.len());
                let heard = std::mem::replace(&mut self.heard, rest);
                return Ok(String::from_utf8(heard)?);
            }
            let mut buffer = [0; 4 << 10];
            let read = self.io.read(&mut buffer).await?;
            self.heard.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let refused = ["<failure", "<stream:error", "<not-authorized"]
                .iter()
                .any(|word| memchr::memmem::find(&self.heard, word.as_bytes()).is_some());
            if read == 0 || refused || self.heard.len() > TOO_MUCH {
                let heard = String::from_utf8_lossy(&self.heard);
                return Err(format!("waited for {end} and heard: {heard}").into());
            }
        }
    }

    /// Opens a stream and waits for its features.
    async fn open(&mut self) -> Result<(), Failed> {
        self.say(
            "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        )
        .await?;
        self.hear("</stream:features>").await?;
        Ok(())
    }

    async fn authenticate(&mut self, account: usize, known: Option<Keys>) -> Result<Keys, Failed> {
        let name = name(account);
        self.say(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{}</auth>",
            scram::first(&name)
        ))
        .await?;
        let challenge = self.hear("</challenge>").await?;
        let challenge = challenge.trim_end_matches("</challenge>");
        let challenge = challenge.rsplit('>').next().unwrap_or_default();
        let (answer, keys) = scram::answer(&name, PASSWORD, challenge, known)?;
        self.say(&format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{answer}</response>"
        ))
        .await?;
        self.hear("</success>").await?;
        Ok(keys)
    }
}
