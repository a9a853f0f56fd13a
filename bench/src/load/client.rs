//! RFC 6120, 4 to 7: a client that logs in, and then is only a socket.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use whoelse_stream::ht::{self, Token};

use super::framing::Framing;
use super::scram::{self, Keys};
use super::socket::{Socket, tls};
use crate::Failed;

/// Of every account.
pub const PASSWORD: &str = "a password";
/// More than any server says before it is asked again, to who enters a room of a thousand as well.
const TOO_MUCH: usize = 1 << 20;

/// The name of an account.
pub fn name(account: usize) -> String {
    format!("user{account:04}")
}

/// What is spoken behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// XMPP with STARTTLS.
    Xmpp,
    /// XMPP over a WebSocket under TLS.
    WebSocket,
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
    by: By,
    /// Held for a look or an insertion.
    keys: Mutex<HashMap<usize, Keys>>,
    /// The tokens of sessions, by account and number. Held for a look or an insertion.
    tokens: Mutex<HashMap<(usize, usize), String>>,
}

/// By what an account is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Its password, and SASL as in RFC 6120.
    Password,
    /// A token (XEP-0484) of its own for each session, which is a device; the first time it is asked
    /// for, with the password.
    Token,
}

impl Entrance {
    /// A port of this machine.
    pub fn new(port: u16, language: Language) -> Result<Arc<Entrance>, Failed> {
        let from = [127, 0, 0, 1];
        let (keys, tokens) = (Mutex::default(), Mutex::default());
        let by = By::Password;
        Ok(Arc::new(Entrance { port, from, language, tls: tls()?, by, keys, tokens }))
    }

    /// The same server, entered by tokens. Whoever has none yet is given one.
    pub fn by_tokens(&self) -> Arc<Entrance> {
        Arc::new(Entrance { by: By::Token, ..self.copied() })
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
        Entrance { tls: self.tls.clone(), keys, tokens: Mutex::default(), ..*self }
    }

    /// A connection on which nothing has been said yet.
    pub async fn connect(&self) -> Result<TcpStream, Failed> {
        Socket::connect(self.from, self.port).await
    }

    /// Whether clients can ask for what only XMPP has.
    pub fn is_xmpp(&self) -> bool {
        matches!(self.language, Language::Xmpp | Language::WebSocket)
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
    /// How it writes.
    pub framing: Framing,
}

impl Client {
    /// Logs in with the resource `sN`, or, by a token, as a device of that number.
    pub async fn log_in(
        entrance: &Entrance,
        account: usize,
        session: usize,
    ) -> Result<Client, Failed> {
        let tcp = entrance.connect().await?;
        let (mut socket, framing) = match entrance.language {
            Language::Xmpp => (start_tls(tcp, entrance).await?, Framing::Stream),
            Language::WebSocket => (upgrade(tcp, entrance).await?, Framing::WebSocket),
            Language::Lines { tls: true } => {
                (Socket::secure(tcp, &entrance.tls).await?, Framing::Stream)
            }
            Language::Lines { tls: false } => (Socket::Plain(tcp), Framing::Stream),
        };
        let mut dialogue = Dialogue::over(&mut socket, framing);
        if !entrance.is_xmpp() {
            dialogue.say(&format!("{}\n", name(account))).await?;
            dialogue.hear("ok\n").await?;
        } else if entrance.by == By::Token {
            entrance.enter_by_token(&mut dialogue, account, session).await?;
        } else {
            let known = entrance.known(account);
            entrance.keep(account, dialogue.begin_session(account, session, known).await?);
        }
        Ok(Client { account, socket, framing })
    }

    /// Makes an account by XEP-0077, before any login.
    pub async fn register(entrance: &Entrance, account: usize) -> Result<(), Failed> {
        let mut socket = start_tls(entrance.connect().await?, entrance).await?;
        let mut dialogue = Dialogue::over(&mut socket, Framing::Stream);
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

    /// Sends one element.
    pub async fn say(&mut self, element: &str) -> Result<(), Failed> {
        Dialogue::over(&mut self.socket, self.framing).say(element).await
    }

    /// Sends one element and waits until a text has come. Returns what has come up to its end.
    pub async fn ask(&mut self, element: &str, until: &str) -> Result<String, Failed> {
        let mut dialogue = Dialogue::over(&mut self.socket, self.framing);
        dialogue.say(element).await?;
        dialogue.hear(until).await
    }
}

/// RFC 6120, 5: asks for TLS, and shakes hands.
async fn start_tls(mut tcp: TcpStream, entrance: &Entrance) -> Result<Socket, Failed> {
    let mut dialogue = Dialogue::over(&mut tcp, Framing::Stream);
    dialogue.open().await?;
    dialogue.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
    dialogue.hear("<proceed").await?;
    dialogue.hear(">").await?;
    Socket::secure(tcp, &entrance.tls).await
}

/// RFC 7395, 3.1: shakes hands, and makes a WebSocket of the connection.
async fn upgrade(tcp: TcpStream, entrance: &Entrance) -> Result<Socket, Failed> {
    let mut socket = Socket::secure(tcp, &entrance.tls).await?;
    // What is said before there are frames.
    let mut dialogue = Dialogue::over(&mut socket, Framing::Stream);
    dialogue
        .say(
            "GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: xmpp\r\n\r\n",
        )
        .await?;
    let answer = dialogue.hear("\r\n\r\n").await?;
    match answer.starts_with("HTTP/1.1 101 ") {
        true => Ok(socket),
        false => Err(format!("no WebSocket: {answer}").into()),
    }
}

/// Logs in over a channel that is encrypted already, and gives back what need not be derived again.
pub async fn begin_session<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    account: usize,
    session: usize,
    known: Option<Keys>,
) -> Result<Keys, Failed> {
    Dialogue::over(io, Framing::Stream).begin_session(account, session, known).await
}

/// Texts said in turns.
struct Dialogue<'a, IO> {
    io: &'a mut IO,
    framing: Framing,
    heard: Vec<u8>,
}

impl<'a, IO: AsyncRead + AsyncWrite + Unpin> Dialogue<'a, IO> {
    fn over(io: &'a mut IO, framing: Framing) -> Dialogue<'a, IO> {
        Dialogue { io, framing, heard: Vec::new() }
    }

    async fn say(&mut self, element: &str) -> Result<(), Failed> {
        self.io.write_all(&self.framing.frame(element)).await?;
        Ok(self.io.flush().await?)
    }

    /// Reads up to a text, which is the last of what is given back. Heads of frames are in it.
    async fn hear(&mut self, end: &str) -> Result<String, Failed> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.heard, end.as_bytes()) {
                let rest = self.heard.split_off(at + end.len());
                let heard = std::mem::replace(&mut self.heard, rest);
                return Ok(String::from_utf8_lossy(&heard).into_owned());
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
        self.say(self.framing.opening()).await?;
        self.hear("</stream:features>").await?;
        Ok(())
    }

    /// Logs in by the password and binds `sN`.
    async fn begin_session(
        &mut self,
        account: usize,
        session: usize,
        known: Option<Keys>,
    ) -> Result<Keys, Failed> {
        self.open().await?;
        let keys = self.authenticate(account, known).await?;
        self.open().await?;
        let namespace = self.framing.after_name();
        self.say(&format!(
            "<iq{namespace} type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>s{session}</resource></bind></iq>"
        ))
        .await?;
        self.hear("</iq>").await?;
        Ok(keys)
    }

    /// RFC 6120, 6: proves the password.
    async fn authenticate(&mut self, account: usize, known: Option<Keys>) -> Result<Keys, Failed> {
        self.say(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{}</auth>",
            scram::first(&name(account))
        ))
        .await?;
        let (answer, keys) = self.challenged(account, known).await?;
        self.say(&format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{answer}</response>"
        ))
        .await?;
        self.hear("</success>").await?;
        Ok(keys)
    }

    /// Waits for the challenge, and makes the answer.
    async fn challenged(
        &mut self,
        account: usize,
        known: Option<Keys>,
    ) -> Result<(String, Keys), Failed> {
        let challenge = self.hear("</challenge>").await?;
        let challenge = challenge.trim_end_matches("</challenge>");
        let challenge = challenge.rsplit('>').next().unwrap_or_default();
        scram::answer(&name(account), PASSWORD, challenge, known)
    }
}

impl Entrance {
    /// XEP-0388 and XEP-0386: logs in and binds in one step, by the token of this device, or by the
    /// password if it has none.
    async fn enter_by_token<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<'_, IO>,
        account: usize,
        session: usize,
    ) -> Result<(), Failed> {
        let held = self.tokens.lock().get(&(account, session)).cloned();
        let (mechanism, first, wish) = match &held {
            Some(token) => ("HT-SHA-256-NONE", token_shown(account, token), FAST),
            None => ("SCRAM-SHA-1", scram::first(&name(account)), REQUEST_TOKEN),
        };
        dialogue.open().await?;
        dialogue
            .say(&format!(
                "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'>\
                 <initial-response>{first}</initial-response>\
                 <user-agent id='{account:08x}-{session:04x}-4000-8000-000000000000'/>\
                 <bind xmlns='urn:xmpp:bind:0'/>{wish}</authenticate>"
            ))
            .await?;
        if held.is_none() {
            let (answer, keys) = dialogue.challenged(account, self.known(account)).await?;
            let response = format!("<response xmlns='urn:xmpp:sasl:2'>{answer}</response>");
            dialogue.say(&response).await?;
            self.keep(account, keys);
        }
        // The features of the session follow the success.
        let success = dialogue.hear("</stream:features>").await?;
        let given = success.split_once(" token='").and_then(|(_, rest)| rest.split_once('\''));
        match given {
            Some((token, _)) => {
                self.tokens.lock().insert((account, session), token.to_owned());
                Ok(())
            }
            None if held.is_some() => Ok(()),
            None => Err(format!("no token was given: {success}").into()),
        }
    }
}

/// XEP-0484: what asks for a token, and what says that there is one.
const REQUEST_TOKEN: &str = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>";
const FAST: &str = "<fast xmlns='urn:xmpp:fast:0'/>";

/// The first message of a login by a token.
fn token_shown(account: usize, token: &str) -> String {
    STANDARD.encode(ht::initiate(&name(account), &Token::of(token.to_owned()), &[]))
}
