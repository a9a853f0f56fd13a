//! RFC 6120 and XEP-0388, the accepting end: from a client's first byte to its open session.
//!
//! [`Machine`] takes bytes with [`Machine::push`], and returns [`Step`]s with [`Machine::poll`] and
//! the bytes to write with [`Machine::output`]. A step that asks something waits for its answer, a
//! method named after it; until then `poll` returns nothing and the driver reads nothing more, see
//! [`Machine::wants_bytes`]. An unexpected answer changes nothing.
//!
//! The machine keeps no time and counts no failures beyond one connection: its driver has the
//! deadlines, blocks and quotas.

use crate::binding::ChannelBindings;
use crate::framing::{Framing, Output};
use crate::header::{self, Attributes};
use crate::pump::{Next, Opened, Pump};
use crate::sasl::{Mechanism, Profile, Refusal};
use crate::sasl2::{Authenticate, Inline as OfferedInline};
use crate::scram::Hash;
use crate::{fast, features, sm, token};
use compact_str::CompactString;
use std::fmt;
use std::mem;
use std::sync::Arc;
use whoelse_xmpp::{
    BareJid, Frame, Jid, Limits, Stanza, StreamCondition, StreamError, StreamHeader, ns,
};

mod bind;
mod inline;
mod login;
mod register;
mod step;
#[cfg(test)]
mod tests;

pub use crate::transport::Transport;
pub use step::{LookupAnswer, RegisterAnswer, RegisterRequest, Step};

/// The most tries of one kind (logins, bindings, registrations) on one connection, after which it
/// ends. RFC 6120, 6.4.5 wants at least two logins; the driver may block a guesser earlier.
const TRIES: u8 = 10;

/// The most bytes that may wait for the driver beside one stanza: what one more read can bring
/// before the driver stops reading.
pub(crate) const ONE_READ: usize = 64 << 10;

/// What the machine needs to know of its server; shared by all connections of a listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domains served, normalised.
    pub domains: Vec<String>,
    /// Former names of the first domain; a client that asks for one is told the present name.
    pub former: Vec<String>,
    /// What lies below the stream.
    pub transport: Transport,
    /// How that carries its parts.
    pub framing: Framing,
    /// Whether strangers may make accounts.
    pub registration: Registration,
    /// The hashes of which every account has a verifier: SCRAM is offered with these. A client
    /// takes the strongest on offer, so one that some accounts lack would lock them out.
    pub hashes: Vec<Hash>,
    /// XEP-0388: what can be asked for along with a login; `None` offers the profile of RFC 6120
    /// alone.
    pub sasl2: Option<OfferedInline>,
    /// What the server's features add to the stream features after login, encoded.
    pub offers: Vec<u8>,
    /// The limits of an element until a resource is bound.
    pub before_login: Limits,
    /// The limits of an element after that.
    pub after_login: Limits,
    /// Seconds without a byte after which the driver may disconnect or ask for a sign of life,
    /// before and after login (XEP-0478).
    pub idle_seconds: (Option<u32>, Option<u32>),
}

impl Config {
    /// Makes the configuration for one domain over STARTTLS, registration closed, every hash, SASL2
    /// with resumption, binding and tokens, the usual limits.
    pub fn new(domain: impl Into<String>) -> Config {
        Config {
            domains: vec![domain.into()],
            former: Vec::new(),
            transport: Transport::StartTls,
            framing: Framing::Stream,
            registration: Registration::Closed,
            hashes: Hash::ALL.to_vec(),
            sasl2: Some(OfferedInline {
                resume: true,
                bind: Some(Vec::new()),
                fast: fast::names(),
            }),
            offers: Vec::new(),
            before_login: Limits::BEFORE_LOGIN,
            after_login: Limits::AFTER_LOGIN,
            idle_seconds: (None, None),
        }
    }
}

/// XEP-0077: who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Everybody.
    Open,
    /// Nobody.
    Closed,
}

/// The accepting end of one stream.
pub struct Machine {
    config: Arc<Config>,
    channel: ChannelBindings,
    encrypted: bool,
    pump: Pump<Step>,
    state: State,
    has_header: bool,
    /// The domain of the first header; no later header can change it (security row 16).
    domain: Option<String>,
    lang: Option<CompactString>,
    /// Who the client said it is when it opened the stream, until it is somebody; a claim.
    from: Option<Box<BareJid>>,
    /// The account that has logged in.
    address: Option<BareJid>,
    /// The profile of the present or last login.
    profile: Profile,
    mechanism: Option<Mechanism>,
    /// What the present login asks for, if it is one of SASL2.
    authenticate: Option<Box<Authenticate>>,
    logins: u8,
    binds: u8,
    registrations: u8,
}

/// The state: what the machine waits for.
enum State {
    /// A header; these features are sent after it.
    Header(Stage),
    /// `<starttls/>`.
    BeforeTls,
    /// The driver's handshake.
    Handshake,
    /// `<auth/>`, or a registration.
    BeforeLogin,
    /// The next part of a login, from the client or the driver.
    Login(login::Login),
    /// The driver's answer about what a proved login of SASL2 asks for.
    Inline(inline::Inline),
    /// The driver's answer to a registration.
    Registering(register::Pending),
    /// A request to bind, or to resume.
    BeforeBind,
    /// The driver's answer to a request to bind.
    Binding(Stanza),
    /// The driver's answer to a request to resume.
    Resuming(String),
    /// Stanzas.
    Open,
    /// What the driver still has to say: the client has closed its stream.
    Closed,
    /// Nothing any more: the stream is over.
    Over,
}

/// The stage of a stream when a header starts or restarts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Tls,
    Login,
    Bind,
}

impl fmt::Debug for Machine {
    /// Shows nothing of the conversation: there may be a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("domain", &self.domain)
            .field("address", &self.address)
            .field("mechanism", &self.mechanism)
            .field("is_open", &self.is_open())
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Makes a machine for a new connection. `channel` is given when TLS is already there.
    pub fn new(config: Arc<Config>, channel: Option<ChannelBindings>) -> Machine {
        let stage = match config.transport {
            Transport::StartTls => Stage::Tls,
            Transport::Tls | Transport::Trusted => Stage::Login,
        };
        Machine {
            encrypted: config.transport == Transport::Tls,
            channel: channel.unwrap_or_default(),
            pump: Pump::new(config.before_login, config.framing),
            config,
            state: State::Header(stage),
            has_header: false,
            domain: None,
            lang: None,
            from: None,
            address: None,
            profile: Profile::default(),
            mechanism: None,
            authenticate: None,
            logins: 0,
            binds: 0,
            registrations: 0,
        }
    }

    /// Takes bytes that arrived. Bytes that arrive while they are not wanted are kept within a
    /// bound, except for those before a TLS handshake, which are thrown away (security row 22).
    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Closed | State::Over | State::Handshake) {
            return;
        }
        let held = self.pump.buffered().saturating_add(bytes.len());
        if held > self.limits().bytes.saturating_add(ONE_READ) {
            self.end(StreamError::new(StreamCondition::PolicyViolation));
            return;
        }
        self.pump.push(bytes);
    }

    /// Returns the next step; `None` until more bytes or an answer come.
    pub fn poll(&mut self) -> Option<Step> {
        loop {
            match self.pump.next(self.wants_bytes())? {
                Next::Step(step) => return Some(step),
                Next::Frame(frame) => self.handle(frame),
                Next::Error(error) => self.end(error),
            }
        }
    }

    /// Returns the output to write. The owner of an open stream adds its stanzas here, too.
    pub fn output(&mut self) -> &mut Output {
        self.pump.output()
    }

    /// Whether bytes from the client can be used now: no answer is awaited, and the stream is not
    /// over.
    pub fn wants_bytes(&self) -> bool {
        match &self.state {
            State::Header(_)
            | State::BeforeTls
            | State::BeforeLogin
            | State::BeforeBind
            | State::Open => true,
            State::Login(login) => login.waits_for_client(),
            State::Handshake
            | State::Inline(_)
            | State::Registering(_)
            | State::Binding(_)
            | State::Resuming(_)
            | State::Closed
            | State::Over => false,
        }
    }

    /// Returns how many of the client's bytes are held and not parsed yet: never more than one
    /// element may have, and 64 KiB.
    pub fn buffered(&self) -> usize {
        self.pump.buffered()
    }

    /// Whether the client has ended its transport and not its stream: no bytes come any more, though
    /// the connection may stand.
    pub fn is_cut(&self) -> bool {
        self.pump.is_cut()
    }

    /// Whether a resource is bound or a session resumed.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether the stream has ended, by either side.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Over)
    }

    /// The domain this stream is for, from its first header on.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The `xml:lang` of the last header: the language of the client's stanzas that have none.
    pub fn lang(&self) -> Option<&str> {
        self.lang.as_deref()
    }

    /// The bare address that has logged in: an account's, or the domain's for the server itself.
    pub fn address(&self) -> Option<&BareJid> {
        self.address.as_ref()
    }

    /// The mechanism of the login that is under way or has succeeded, for the log.
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// Answers [`Step::StartTls`]: the handshake is done, and this is its channel.
    pub fn tls_started(&mut self, channel: ChannelBindings) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.channel = channel;
        self.encrypted = true;
        self.restart(Stage::Login);
    }

    /// Ends the stream from this side: writes the error, if there is one, and the closing tag.
    pub fn close(&mut self, error: Option<StreamError>) {
        self.close_with(error.map(|error| error.encode()));
    }

    /// Ends the stream because the client acknowledged more than it was sent.
    pub fn close_bad_ack(&mut self, bad: &sm::BadAck) {
        self.close_with(Some(bad.encode()));
    }

    fn close_with(&mut self, error: Option<Vec<u8>>) {
        if matches!(self.state, State::Over) {
            return;
        }
        self.write_missing_header();
        // A client that has closed its stream gets no error any more.
        let error = error.filter(|_| !matches!(self.state, State::Closed));
        self.pump.close(error.as_deref());
        self.state = State::Over;
    }

    /// Ends the stream because of something the client did.
    fn end(&mut self, error: StreamError) {
        self.close(Some(error.clone()));
        self.pump.step(Step::Error(error));
    }

    /// Ends the stream in the same way, as a transition: returns the state after it.
    fn fail(&mut self, condition: StreamCondition) -> State {
        self.end(StreamError::new(condition));
        State::Over
    }

    /// Handles that the client has closed its stream, or must be treated as if it had. The driver
    /// closes our stream, because it may still have answers to what came before.
    fn peer_closed(&mut self) -> State {
        self.pump.discard();
        self.pump.step(Step::Closed);
        State::Closed
    }

    fn limits(&self) -> Limits {
        if self.is_open() { self.config.after_login } else { self.config.before_login }
    }

    fn handle(&mut self, frame: Frame) {
        // The methods below may end the stream, so this state in between is not the end.
        let state = mem::replace(&mut self.state, State::BeforeTls);
        let next = match (frame, state) {
            (Frame::Open(header), State::Header(stage)) => match self.header(&header, stage) {
                Ok(next) => next,
                Err(error) => {
                    self.end(error);
                    State::Over
                }
            },
            (Frame::Element(element), state) => self.element(element, state),
            (Frame::Close, _) => self.peer_closed(),
            // The scanner returns a header only where one was awaited.
            (Frame::Open(_) | Frame::Body(_), _) => self.fail(StreamCondition::BadFormat),
        };
        self.state = next;
    }

    /// Checks a header, answers it, and sends the features that are due.
    fn header(&mut self, header: &StreamHeader, stage: Stage) -> Result<State, StreamError> {
        // An error about the header is sent on a stream of ours (RFC 6120, 4.9.1.2).
        self.has_header = false;
        let asked = header::domain(header, &self.config.domains, &self.config.former);
        let domain = match (&self.domain, asked) {
            (Some(pinned), _) if header.to.is_none() => pinned.clone(),
            (Some(pinned), Ok(asked)) if asked == *pinned => asked,
            (Some(_), Ok(_)) if stage == Stage::Bind => {
                return Err(StreamError::new(StreamCondition::NotAuthorized));
            }
            (Some(_), Ok(_)) => return Err(StreamError::new(StreamCondition::HostUnknown)),
            (_, asked) => asked?,
        };
        self.domain = Some(domain);
        header::check_version(header)?;
        self.lang = header.lang.clone();
        let from = self.check_from(header, stage)?;
        self.write_header(from.as_ref().map(|from| from.as_str()));
        self.from = from.filter(|_| stage == Stage::Login).map(Box::new);

        let (features, state) = match stage {
            Stage::Tls => (features::before_tls(), State::BeforeTls),
            Stage::Login => {
                let limits = (&self.config.before_login, self.config.idle_seconds.0);
                let (offered, bindings) = (self.offered(Profile::Rfc6120), self.bindings());
                let (others, inline) = (self.offered(Profile::Sasl2), self.offered_inline());
                let sasl2 = inline.as_ref().map(|inline| (others.as_slice(), inline));
                let features =
                    features::before_login(&offered, bindings, sasl2, self.registers(), limits);
                (features, State::BeforeLogin)
            }
            Stage::Bind => {
                // No features follow binding, so these limits are those of the open session.
                let limits = (&self.config.after_login, self.config.idle_seconds.1);
                (features::before_bind(&self.config.offers, limits), State::BeforeBind)
            }
        };
        self.pump.say(&features);
        Ok(state)
    }

    /// Returns the client's own address, if it gave one: our header's `to` (RFC 6120, 4.7.2). After
    /// login it must be the same (4.9.3.9); before it, it must be of this domain where SASL2 is
    /// offered (XEP-0388, 2.1).
    fn check_from(
        &self,
        header: &StreamHeader,
        stage: Stage,
    ) -> Result<Option<BareJid>, StreamError> {
        let Some(from) = &header.from else { return Ok(None) };
        let from = Jid::parse(from)
            .map_err(|_| StreamError::new(StreamCondition::ImproperAddressing))?
            .to_bare();
        let fits = match stage {
            Stage::Tls => true,
            Stage::Login => !self.offers_sasl2() || Some(from.domain()) == self.domain.as_deref(),
            Stage::Bind => self.address.as_ref().is_none_or(|own| *own == from),
        };
        if fits { Ok(Some(from)) } else { Err(StreamError::new(StreamCondition::InvalidFrom)) }
    }

    fn write_header(&mut self, to: Option<&str>) {
        let served = self.config.domains.first();
        let from = self.domain.as_deref().or(served.map(String::as_str));
        let id = token::token();
        let attributes = Attributes { from, to, id: Some(&id), lang: "en" };
        self.pump.output().header(&attributes);
        self.has_header = true;
    }

    fn write_missing_header(&mut self) {
        if !self.has_header {
            self.write_header(None);
        }
    }

    /// Waits for a header again, as after TLS and after login.
    fn restart(&mut self, stage: Stage) {
        self.pump.restart();
        self.has_header = false;
        self.state = State::Header(stage);
    }

    fn element(&mut self, element: Stanza, state: State) -> State {
        if element.name() == "error" && element.ns() == ns::STREAM {
            // RFC 6120, 4.9.1.1: a stream error ends the stream in both directions.
            return self.peer_closed();
        }
        match state {
            State::BeforeTls => self.before_tls(&element),
            State::BeforeLogin => self.before_login(element),
            State::Login(login) => self.during_login(&element, login),
            State::BeforeBind => self.before_bind(element),
            State::Open => self.open(element),
            // No element comes before a header, and none is asked for while an answer is awaited.
            state @ (State::Header(_)
            | State::Handshake
            | State::Inline(_)
            | State::Registering(_)
            | State::Binding(_)
            | State::Resuming(_)
            | State::Closed
            | State::Over) => state,
        }
    }

    fn before_tls(&mut self, element: &Stanza) -> State {
        match (element.name(), element.ns()) {
            ("starttls", ns::TLS) => {
                self.pump.say(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
                // What came in clear text after the request was perhaps not the client's (row 22).
                self.pump.discard();
                self.pump.step(Step::StartTls);
                State::Handshake
            }
            ("auth", ns::SASL) => {
                let refusal = Refusal::new(crate::sasl::Condition::EncryptionRequired);
                self.refuse_login(&refusal, State::BeforeTls)
            }
            // RFC 6120, 4.9.3.12.
            _ => self.fail(StreamCondition::NotAuthorized),
        }
    }

    /// Answers a request for TLS where TLS is not available (RFC 6120, 5.4.2.2).
    fn refuse_tls(&mut self) -> State {
        self.pump.say(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        self.peer_closed()
    }

    /// XEP-0198, 3: answers stream management in the wrong place.
    fn refuse_sm(&mut self, state: State) -> State {
        self.write_sm(&sm::Element::Failed {
            h: None,
            condition: Some(whoelse_xmpp::Condition::UnexpectedRequest),
        });
        state
    }

    fn write_sm(&mut self, element: &sm::Element) {
        self.pump.say(&element.encode());
    }

    /// Passes an element on to the driver.
    fn open(&mut self, element: Stanza) -> State {
        match Opened::of(element) {
            Ok(opened) => {
                self.pump.step(opened.into());
                State::Open
            }
            Err(error) => {
                self.end(error);
                State::Over
            }
        }
    }
}
