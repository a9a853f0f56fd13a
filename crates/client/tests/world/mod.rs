//! A small server for tests: the real accepting machine over real TLS, and behind it just enough
//! of a server to be logged in to, to lose connections and to be restarted.
// Each test uses its part of this.
#![allow(dead_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use whoelse_client::tls::Tls;
use whoelse_client::{Client, Config, Event, Events, Fingerprint};
use whoelse_stream::c2s::{self, LookupAnswer, Machine, RegisterAnswer, RegisterRequest, Step};
use whoelse_stream::client::HeldToken;
use whoelse_stream::fast::{Given, TokenLogin};
use whoelse_stream::ht::Token;
use whoelse_stream::sasl::{Condition as SaslCondition, Refusal};
use whoelse_stream::sasl2::{Bind, UserAgentId};
use whoelse_stream::scram::{Hash, Verifier};
use whoelse_stream::sm::{Element as Sm, Enabled};
use whoelse_stream::{ChannelBindings, Password, Transport};
use whoelse_xmpp::{BareJid, Condition, Kind, Stanza, StanzaError, StreamError, ns};

const HASHES: [Hash; 3] = Hash::ALL;

/// A server, and what the test wants of it.
#[derive(Clone)]
pub struct World {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    domain: String,
    certificate: Option<CertificateDer<'static>>,
    accounts: HashMap<String, Vec<Verifier>>,
    sessions: HashMap<String, Session>,
    /// Every message that arrived: id and text, repeats included.
    messages: Vec<(String, String)>,
    /// To whom they were, in the same order.
    recipients: Vec<String>,
    live: Vec<mpsc::Sender<Wish>>,
    acceptor: Option<TlsAcceptor>,
    /// Stanzas are handled, but the client is told the old count.
    silent: bool,
    /// The next resource is refused: somebody else is logged in.
    conflict: bool,
    /// So many connections are closed as soon as they are there.
    closes: u32,
    /// So many are closed when somebody logs in.
    hangs_up: u32,
    /// So many logins find too many others that log in.
    crowded: u32,
    /// Logins are by the SASL of RFC 6120 alone.
    no_sasl2: bool,
    /// The domain had this name before.
    former: Vec<String>,
    /// The next question about a name is not answered.
    ignores: bool,
    /// How many there have been.
    questions: u32,
    /// So many end with this, in place of an answer to the first header.
    ends: Option<(u32, StreamError)>,
    connections: u32,
    /// Somebody in between takes these texts out of what the server says.
    taken_out: Vec<&'static str>,
    /// Whoever binds along with a login can be sent what waits.
    sends_what_waits: bool,
    /// What was asked for while binding so, the last time.
    bound: Option<Bind>,
    /// Binding so ends the stream with this, once.
    ends_binding: Option<StreamError>,
    failures: u32,
    logins: u32,
    resumptions: u32,
    /// The tokens of devices, by account and installation.
    tokens: HashMap<(String, UserAgentId), HeldToken>,
    /// No tokens are given or taken.
    no_tokens: bool,
    /// Each login by a token is given another one.
    replaces_tokens: bool,
    /// Logins by a token end with this.
    ends_tokens: Option<StreamError>,
    /// Logins by a token that were let in.
    token_logins: u32,
    /// Logins by a password that were looked at.
    lookups: u32,
    /// The installation of the last login by SASL2.
    installation: Option<UserAgentId>,
    /// In whose name the last encrypted stream was opened.
    opener: Option<String>,
}

/// A session that can be resumed.
#[derive(Default, Clone)]
struct Session {
    handled: u32,
    /// The last count the client was told.
    told: u32,
}

/// What the test does to a connection.
enum Wish {
    /// Breaks it without a word.
    Break,
    /// Writes this.
    Write(Vec<u8>),
    /// Ends the stream.
    End(StreamError),
}

impl World {
    /// A server on a free port of this computer.
    pub async fn new() -> World {
        World::with(Transport::StartTls).await
    }

    /// The same, with TLS from the first byte if it is to be so.
    pub async fn with(transport: Transport) -> World {
        World::of("localhost", transport).await
    }

    /// The server of a domain, on this computer all the same.
    pub async fn of(domain: &str, transport: Transport) -> World {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = World { address, state: Arc::default() };
        world.state().domain = domain.to_owned();
        world.new_certificate();
        let accepting = world.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(socket, transport));
            }
        });
        world
    }

    fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The domain that is served.
    pub fn domain(&self) -> String {
        self.state().domain.clone()
    }

    /// What the server's certificate is known by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.state().certificate.as_ref().unwrap())
    }

    /// Authorities that vouch for the server's certificate and no other.
    pub fn authorities(&self) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(self.state().certificate.clone().unwrap()).unwrap();
        Tls::with_roots(roots)
    }

    /// The server makes itself another certificate, for its domain.
    pub fn new_certificate(&self) {
        self.certificate_for(&self.domain());
    }

    /// The same for this name.
    pub fn certificate_for(&self, name: &str) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::from(key))
            .unwrap();
        let mut state = self.state();
        state.certificate = Some(made.cert.der().clone());
        state.acceptor = Some(TlsAcceptor::from(Arc::new(config)));
    }

    pub fn account(&self, name: &str, password: &str) {
        let password = Password::new(password).unwrap();
        let verifiers = HASHES.iter().map(|hash| Verifier::fresh(*hash, &password)).collect();
        self.state().accounts.insert(name.to_owned(), verifiers);
    }

    /// From now on nothing more is acknowledged, or everything is again.
    pub fn be_silent(&self, silent: bool) {
        self.state().silent = silent;
    }

    /// The next login finds the account in use.
    pub fn refuse_next_session(&self) {
        self.state().conflict = true;
    }

    /// From now on whoever binds along with a login can be sent what waits.
    pub fn send_what_waits(&self) {
        self.state().sends_what_waits = true;
    }

    /// What was asked for while binding along with a login, the last time.
    pub fn bound_along(&self) -> Option<Bind> {
        self.state().bound.take()
    }

    /// The next one who binds along with a login is ended with this.
    pub fn end_next_binding(&self, error: StreamError) {
        self.state().ends_binding = Some(error);
    }

    /// The next so many connections are closed without a word.
    pub fn close_next(&self, connections: u32) {
        self.state().closes = connections;
    }

    /// The next so many logins are answered by closing the connection.
    pub fn hang_up_on_next(&self, logins: u32) {
        self.state().hangs_up = logins;
    }

    /// The next so many logins find too many others that log in.
    pub fn be_crowded_for_next(&self, logins: u32) {
        self.state().crowded = logins;
    }

    /// From now on logins are by the SASL of RFC 6120 alone.
    pub fn speak_no_sasl2(&self) {
        self.state().no_sasl2 = true;
    }

    /// The next question about a name is not answered.
    pub fn ignore_next_question(&self) {
        self.state().ignores = true;
    }

    /// How many questions about a name there have been.
    pub fn questions(&self) -> u32 {
        self.state().questions
    }

    /// The next so many connections end with this error.
    pub fn end_next(&self, connections: u32, error: StreamError) {
        self.state().ends = Some((connections, error));
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u32 {
        self.state().connections
    }

    /// From now on somebody who holds the certificate takes these texts out of what the server says.
    pub fn take_out(&self, texts: &[&'static str]) {
        self.state().taken_out = texts.to_vec();
    }

    /// Forgets the sessions, as a restart does.
    pub fn forget_sessions(&self) {
        self.state().sessions.clear();
    }

    pub fn messages(&self) -> Vec<(String, String)> {
        self.state().messages.clone()
    }

    pub fn texts(&self) -> Vec<String> {
        self.messages().into_iter().map(|(_, text)| text).collect()
    }

    /// To whom the messages were.
    pub fn recipients(&self) -> Vec<String> {
        self.state().recipients.clone()
    }

    /// The domain gets another name, and a certificate for it; every session ends.
    pub async fn rename(&self, domain: &str) {
        let old = std::mem::replace(&mut self.state().domain, domain.to_owned());
        self.state().former.push(old);
        self.new_certificate();
        self.forget_sessions();
        self.end(StreamError::renamed(domain)).await;
    }

    /// The devices that have a token, by account.
    pub fn devices(&self) -> Vec<(String, UserAgentId)> {
        self.state().tokens.keys().cloned().collect()
    }

    /// From now on there are no tokens, or there are again.
    pub fn give_no_tokens(&self, none: bool) {
        self.state().no_tokens = none;
    }

    /// From now on each login by a token is given another one.
    pub fn replace_tokens(&self) {
        self.state().replaces_tokens = true;
    }

    /// No token that was given is any good.
    pub fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }

    /// From now on a login by a token ends with this error.
    pub fn end_token_logins(&self, error: Option<StreamError>) {
        self.state().ends_tokens = error;
    }

    /// How many logins there were by a token, and by a password, right or wrong.
    pub fn proofs(&self) -> (u32, u32) {
        let state = self.state();
        (state.token_logins, state.lookups)
    }

    /// The installation that has logged in last.
    pub fn installation(&self) -> Option<UserAgentId> {
        self.state().installation
    }

    /// In whose name the last encrypted stream was opened.
    pub fn opener(&self) -> Option<String> {
        self.state().opener.clone()
    }

    /// How many sessions were begun, and how many were resumed.
    pub fn counts(&self) -> (u32, u32) {
        let state = self.state();
        (state.logins, state.resumptions)
    }

    pub async fn break_connections(&self) {
        self.each(|| Wish::Break).await;
    }

    pub async fn write(&self, xml: &str) {
        self.each(|| Wish::Write(xml.as_bytes().to_vec())).await;
    }

    pub async fn end(&self, error: StreamError) {
        self.each(|| Wish::End(error.clone())).await;
    }

    async fn each(&self, wish: impl Fn() -> Wish) {
        let live = self.state().live.clone();
        for connection in live {
            let _ = connection.send(wish()).await;
        }
    }

    /// A client of this server, which remembers nothing when it ends.
    pub fn client(&self) -> (Client, Events) {
        Client::start(self.config())
    }

    pub fn config(&self) -> Config {
        let mut config = Config::new("127.0.0.1", self.address.port());
        config.host = "127.0.0.1".to_owned();
        config
    }

    /// A client that is logged in as `alice`.
    pub async fn alice(&self) -> (Client, Events) {
        self.account("alice", "secret");
        let (client, mut events) = self.client();
        client.login("alice", Password::new("secret").unwrap()).await.unwrap();
        assert!(matches!(next(&mut events).await, Event::LoggedIn { .. }));
        (client, events)
    }

    fn ends(&self) -> Option<StreamError> {
        let mut state = self.state();
        let (left, error) = state.ends.as_mut()?;
        one_more(left).then(|| error.clone())
    }

    async fn serve(self, socket: TcpStream, transport: Transport) {
        let former = self.state().former.clone();
        let mut config = c2s::Config {
            registration: c2s::Registration::Open,
            transport,
            former,
            ..c2s::Config::new(self.domain())
        };
        let no_tokens = self.state().no_tokens;
        if let (true, Some(inline)) = (no_tokens, &mut config.sasl2) {
            inline.fast.clear();
        }
        if self.state().no_sasl2 {
            config.sasl2 = None;
        }
        let sends_what_waits = self.state().sends_what_waits;
        if let (true, Some(inline)) = (sends_what_waits, &mut config.sasl2) {
            inline.bind = Some(vec![ns::WHOELSE_WAITING.to_owned(), ns::SM.to_owned()]);
        }
        let config = Arc::new(config);
        let acceptor = self.state().acceptor.clone().unwrap();
        self.state().connections += 1;
        if one_more(&mut self.state().closes) {
            return;
        }
        if let Some(error) = self.ends() {
            let mut machine = Machine::new(config, None);
            machine.close(Some(error));
            let mut socket = socket;
            let _ = socket.write_all(&machine.output().take()).await;
            let _ = socket.read(&mut [0; 512]).await;
            return;
        }
        let (machine, io) = match transport {
            Transport::Tls => {
                let Ok(io) = acceptor.accept(socket).await else { return };
                (Machine::new(config, Some(channel(&io))), io)
            }
            _ => {
                let mut machine = Machine::new(config, None);
                let Some(socket) = until_tls(&mut machine, socket).await else { return };
                let Ok(io) = acceptor.accept(socket).await else { return };
                machine.tls_started(channel(&io));
                (machine, io)
            }
        };
        let (wishes, wished) = mpsc::channel(8);
        self.state().live.push(wishes);
        Connection { world: self, machine, session: None, out: Vec::new() }.run(io, wished).await;
    }
}

/// Counts down. Returns whether there was one left.
fn one_more(left: &mut u32) -> bool {
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}

/// From the first byte to the handshake.
async fn until_tls(machine: &mut Machine, mut socket: TcpStream) -> Option<TcpStream> {
    let mut buffer = [0; 4096];
    loop {
        let step = machine.poll();
        let _ = socket.write_all(&machine.output().take()).await;
        match step {
            Some(Step::StartTls) => return Some(socket),
            Some(_) => return None,
            None => match socket.read(&mut buffer).await {
                Ok(n) if n > 0 => machine.push(&buffer[..n]),
                _ => return None,
            },
        }
    }
}

fn channel(io: &TlsStream<TcpStream>) -> ChannelBindings {
    let label = b"EXPORTER-Channel-Binding";
    let exporter = io.get_ref().1.export_keying_material([0; 32], label, Some(b"")).unwrap();
    ChannelBindings { exporter: Some(exporter), server_end_point: None }
}

/// One encrypted connection.
struct Connection {
    world: World,
    machine: Machine,
    session: Option<String>,
    out: Vec<u8>,
}

impl Connection {
    async fn run<IO>(mut self, mut io: IO, mut wished: mpsc::Receiver<Wish>)
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let mut buffer = [0; 4096];
        loop {
            let mut over = false;
            while let Some(step) = self.machine.poll() {
                over |= self.take(step);
            }
            let mut bytes = self.machine.output().take();
            bytes.append(&mut self.out);
            for text in &self.world.state().taken_out {
                bytes = String::from_utf8(bytes).unwrap().replace(text, "").into_bytes();
            }
            if io.write_all(&bytes).await.is_err() || io.flush().await.is_err() {
                return;
            }
            if over {
                let _ = io.shutdown().await;
                return;
            }
            tokio::select! {
                read = io.read(&mut buffer) => match read {
                    Ok(n) if n > 0 => {
                        self.note_opener(&buffer[..n]);
                        self.machine.push(&buffer[..n]);
                    }
                    _ => return,
                },
                wish = wished.recv() => match wish {
                    None | Some(Wish::Break) => return,
                    Some(Wish::Write(bytes)) => self.out = bytes,
                    Some(Wish::End(error)) => {
                        self.machine.close(Some(error));
                        let _ = io.write_all(&self.machine.output().take()).await;
                        let _ = io.shutdown().await;
                        return;
                    }
                },
            }
        }
    }

    /// Notes who opens a stream, if that is what was said. A client says nothing with it.
    fn note_opener(&self, said: &[u8]) {
        let said = String::from_utf8_lossy(said);
        let Some((_, header)) = said.split_once("<stream:stream ") else { return };
        let from = header.split_once("from='").and_then(|(_, rest)| rest.split_once('\''));
        self.world.state().opener = from.map(|(from, _)| from.to_owned());
    }

    /// Takes a step. Returns whether the connection is over.
    fn take(&mut self, step: Step) -> bool {
        match step {
            Step::Lookup { .. } if one_more(&mut self.world.state().hangs_up) => return true,
            Step::Lookup { .. } if one_more(&mut self.world.state().crowded) => {
                let refusal = Refusal::new(SaslCondition::TemporaryAuthFailure).of_crowd();
                let refusal = refusal.with_text("too many logins at once");
                self.machine.lookup(LookupAnswer::Refused(refusal));
            }
            Step::Token(login) => self.token(&login),
            Step::Complete => self.complete(),
            Step::Lookup { account, mechanism } => {
                self.world.state().lookups += 1;
                let hash = match mechanism {
                    whoelse_stream::sasl::Mechanism::Scram { hash, .. } => hash,
                    _ => Hash::Sha256,
                };
                let name = account.local().unwrap();
                let known = self.world.state().accounts.get(name).cloned();
                let verifier = known.into_iter().flatten().find(|it| it.hash == hash);
                self.machine.lookup(match verifier {
                    Some(verifier) => LookupAnswer::Verifier(verifier),
                    None => LookupAnswer::Fake(Verifier::fake(hash, b"secret", name)),
                });
            }
            Step::Derive { password, verifier } => {
                self.machine.derived(&verifier.derive_like(&password));
            }
            Step::AuthFailed { .. } => {
                let failures = {
                    let mut state = self.world.state();
                    state.failures += 1;
                    state.failures
                };
                let refusal = Refusal::new(SaslCondition::NotAuthorized);
                self.machine.failed(&match failures {
                    3 => refusal.with_text("blocked for 60 s").and_close(),
                    _ => refusal,
                });
            }
            Step::AuthSucceeded => self.machine.succeeded(),
            Step::Register(request) => self.register(request),
            Step::Bind { .. } => {
                if std::mem::take(&mut self.world.state().conflict) {
                    self.machine.bind_refused(&StanzaError::new(Condition::Conflict));
                    return false;
                }
                let name = self.machine.address().and_then(|it| it.local()).map(str::to_owned);
                let account = BareJid::new(name.as_deref(), &self.world.domain()).unwrap();
                self.machine.bound(&account.with_resource("here").unwrap());
                self.world.state().logins += 1;
            }
            Step::BindInline(bind) => self.bind_along(bind),
            Step::Resume { previd, .. } => {
                let known = self.world.state().sessions.get(&previd).cloned();
                match known {
                    Some(session) => {
                        self.world.state().resumptions += 1;
                        self.machine.resumed(session.handled);
                        self.session = Some(previd);
                    }
                    None => self.machine.resume_failed(None, Condition::ItemNotFound),
                }
            }
            Step::Sm(element) => self.count(&element),
            Step::Stanza(stanza) => self.stanza(&stanza),
            Step::Closed => {
                self.machine.close(None);
                return true;
            }
            Step::Error(_) => return true,
            Step::Open | Step::Element(_) => {}
            other => panic!("not expected: {other:?}"),
        }
        false
    }

    /// Binds `TAG/here`, and counts if that is asked for.
    fn bind_along(&mut self, bind: Bind) {
        let end = self.world.state().ends_binding.take();
        if let Some(error) = end {
            self.machine.close(Some(error));
            return;
        }
        let account = self.machine.address().unwrap().clone();
        let resource = format!("{}/here", bind.tag.as_deref().unwrap_or_default());
        let counting = bind.features.iter().filter_map(Sm::read).map(Result::unwrap);
        let inside = counting.filter_map(|element| self.answer(&element)).collect::<Vec<_>>();
        let inside: Vec<u8> = inside.iter().flat_map(Sm::encode).collect();
        let mut state = self.world.state();
        state.logins += 1;
        state.bound = Some(bind);
        drop(state);
        let me = account.to_bare().with_resource(&resource).unwrap();
        self.machine.bound_inline(&me, &inside);
    }

    fn token(&mut self, login: &TokenLogin) {
        let mut state = self.world.state();
        if let Some(error) = state.ends_tokens.clone() {
            self.machine.close(Some(error));
            return;
        }
        let key = (login.account.local().unwrap().to_owned(), login.device);
        match state.tokens.get(&key).cloned() {
            Some(held) if held.mechanism == login.mechanism && login.proof.is_by(&held.token) => {
                state.token_logins += 1;
                if login.fast.invalidate {
                    state.tokens.remove(&key);
                }
                drop(state);
                self.machine.token_accepted(login.proof.respond(&held.token));
            }
            _ => self.machine.failed(&Refusal::new(SaslCondition::CredentialsExpired)),
        }
    }

    /// Gives a token, if one is asked for or due.
    fn complete(&mut self) {
        let request = self.machine.authenticate().unwrap();
        let by_token = request.other("fast", ns::FAST).is_some();
        let device = request.user_agent.as_ref().and_then(|agent| agent.id).unwrap();
        let account = self.machine.address().unwrap().local().unwrap().to_owned();
        let wanted = self.machine.requested_token();
        let mut state = self.world.state();
        state.installation = Some(device);
        let due = by_token && state.replaces_tokens;
        let held = state.tokens.get(&(account.clone(), device));
        let due = held.filter(|_| due).map(|held| held.mechanism);
        let given = wanted.or(due).map(|mechanism| {
            let token = Token::fresh();
            let held = HeldToken { token: token.clone(), mechanism };
            state.tokens.insert((account, device), held);
            Given { token, expiry: String::new() }.encode()
        });
        drop(state);
        self.machine.completed(&given.unwrap_or_default());
    }

    fn register(&mut self, request: RegisterRequest) {
        let answer = match request {
            RegisterRequest::Fields => Ok(RegisterAnswer::Fields { instructions: "x".to_owned() }),
            RegisterRequest::Name(account) => {
                self.world.state().questions += 1;
                if std::mem::take(&mut self.world.state().ignores) {
                    return;
                }
                let known = self.world.state().accounts.contains_key(account.local().unwrap());
                let condition = if known { Condition::Conflict } else { Condition::NotAcceptable };
                Err(StanzaError::new(condition))
            }
            RegisterRequest::Create { account, password } => {
                let verifiers = HASHES.iter().map(|it| Verifier::fresh(*it, &password)).collect();
                self.world.state().accounts.insert(account.local().unwrap().to_owned(), verifiers);
                Ok(RegisterAnswer::Done)
            }
        };
        self.machine.registered(answer);
    }

    fn count(&mut self, element: &Sm) {
        if let Some(answer) = self.answer(element) {
            self.out.extend(answer.encode());
        }
    }

    fn answer(&mut self, element: &Sm) -> Option<Sm> {
        Some(match element {
            Sm::Enable { .. } => {
                let id = whoelse_stream::token();
                self.world.state().sessions.insert(id.clone(), Session::default());
                self.session = Some(id.clone());
                let id = Some(id);
                Sm::Enabled(Enabled { id, resume: true, max: None, location: None })
            }
            Sm::Request => {
                let mut state = self.world.state();
                let silent = state.silent;
                let session = self.session.as_ref().and_then(|id| state.sessions.get_mut(id));
                let session = session?;
                if !silent {
                    session.told = session.handled;
                }
                Sm::Ack { h: session.told }
            }
            _ => return None,
        })
    }

    fn stanza(&mut self, stanza: &Stanza) {
        let mut state = self.world.state();
        if let Some(session) = self.session.as_ref().and_then(|id| state.sessions.get_mut(id)) {
            session.handled += 1;
        }
        if let Some(text) = stanza.child_text("body", ns::CLIENT) {
            let id = stanza.id().unwrap_or_default().to_owned();
            state.messages.push((id, text.to_string()));
            let to = stanza.to().unwrap_or_default().to_owned();
            state.recipients.push(to);
        }
        if stanza.kind() == Kind::Iq && stanza.type_() == Some("get") {
            let id = stanza.id().unwrap_or_default();
            let domain = &state.domain;
            self.out.extend(format!("<iq type='result' from='{domain}' id='{id}'/>").bytes());
        }
    }
}

/// The next event, which has to come soon.
pub async fn next(events: &mut Events) -> Event {
    let soon = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    soon.expect("an event comes soon").expect("the session's task lives")
}

/// Waits until something is true, which has to be soon.
pub async fn until(mut it_is: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if it_is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come true");
}
