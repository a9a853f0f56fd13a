//! RFC 6120 and XEP-0388, the connecting end: from our first byte to an open session.
//!
//! [`Machine`] takes bytes with [`Machine::push`], and returns [`Step`]s with [`Machine::poll`] and
//! bytes to write with [`Machine::take_output`]. It continues by itself up to [`Step::Ready`];
//! there it waits for a name and a password, or a registration. After a login it continues by
//! itself to [`Step::Open`].

use crate::binding::ChannelBindings;
use crate::features::Features;
use crate::header::{self, Attributes};
use crate::pump::{Next, Opened, Pump};
use crate::sasl::Mechanism;
use crate::sasl2::{Bind, UserAgent, UserAgentId};
use crate::sm;
use crate::transport::Transport;
use std::fmt;
use std::mem;
use whoelse_xmpp::{BareJid, Frame, FullJid, Limits, Stanza, StreamError, StreamHeader, ns};

mod by_token;
mod inline;
mod login;
mod register;
mod session;
mod step;
#[cfg(test)]
mod tests;

pub use by_token::HeldToken;
pub use step::{Denied, Opening, Probe, Reason, Resumption, Step};

/// The configuration of the machine.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domain to connect to. It may be empty, for the domain that the server names, if
    /// something other than the name shows that it is the right server.
    pub domain: String,
    /// What lies below the stream.
    pub transport: Transport,
    /// Whether the channel may carry a password or a registration, see
    /// [`Machine::trust_channel`]. A [`Transport::Trusted`] one always may.
    pub trust_channel: bool,
    /// Whether the password itself must not be sent even over a trusted channel, because an earlier
    /// login with this server used SCRAM (XEP-0474, 6).
    pub never_plain: bool,
    /// The language of what we send, for the header.
    pub lang: String,
    /// The resource to ask for; the server chooses if there is none.
    pub resource: Option<String>,
    /// The session to resume, if there was one.
    pub resume: Option<Resumption>,
    /// Whether to enable stream management after binding.
    pub want_sm: bool,
    /// How to log in by SASL2 (XEP-0388), where the server offers it over TLS; `None` for the profile
    /// of RFC 6120 alone.
    pub sasl2: Option<Sasl2>,
    /// Who is going to log in, if that is known already; an encrypted stream is opened in this name.
    pub from: Option<BareJid>,
    /// The limits of an element of the server.
    pub limits: Limits,
}

/// What a client says of itself in a login by SASL2, and what it wants along with it.
#[derive(Debug, Clone, Default)]
pub struct Sasl2 {
    /// This installation.
    pub user_agent: UserAgent,
    /// XEP-0386: what to bind along with the login. Where the server does not offer each of its
    /// features there, and where this is `None`, a resource is bound after the login. Stream management
    /// is not among them: [`Config::want_sm`] asks for it.
    pub bind: Option<Bind>,
}

impl Config {
    /// Makes the configuration for a new session over STARTTLS with stream management, and a
    /// resource that the server chooses.
    pub fn new(domain: impl Into<String>) -> Config {
        Config {
            domain: domain.into(),
            transport: Transport::StartTls,
            trust_channel: false,
            never_plain: false,
            lang: "en".into(),
            resource: None,
            resume: None,
            want_sm: true,
            sasl2: None,
            from: None,
            limits: Limits::FROM_SERVER,
        }
    }
}

/// The connecting end of one stream.
pub struct Machine {
    config: Config,
    channel: ChannelBindings,
    trust: Trust,
    pump: Pump<Step>,
    state: State,
    /// The features of the present stage.
    features: Features,
    /// The mechanism of our login, after the server has confirmed it.
    mechanism: Option<Mechanism>,
    /// Whether logins ask for a token.
    wants_token: bool,
    /// Whether a session is to follow the login.
    wants_session: bool,
    /// The token that the login was given.
    given: Option<HeldToken>,
}

/// The state: what the machine waits for.
enum State {
    /// The server's header.
    Header(Stage),
    /// The server's features.
    Features(Stage),
    /// The server's consent to TLS.
    Proceed,
    /// Our driver's handshake.
    Handshake,
    /// A name and a password, or a registration.
    Ready,
    /// The server's next message in a login.
    Login(login::Login),
    /// The server's answer to a registration.
    Registering(register::Asked),
    /// Its answer to a request to bind, by this id.
    Binding(String),
    /// Another resource to ask for.
    Unbound,
    /// Its answer to a request to resume, by this id of the session.
    Resuming(String),
    /// Its answer to a request to count stanzas.
    Enabling(FullJid),
    /// The features of the stream in which a session was bound along with the login.
    Bound(inline::Bound),
    /// Stanzas.
    Open,
    /// Nothing: we are logged in, and no session was wanted.
    Proved,
    /// Nothing any more: the stream is over.
    Over,
}

/// What the channel may carry besides a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    None,
    Registration,
    Whole,
}

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
            .field("domain", &self.config.domain)
            .field("is_ready", &self.is_ready())
            .field("is_open", &self.is_open())
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Makes a machine for a new connection; its header is in the output at once. `channel` is
    /// given when TLS is already there.
    pub fn new(config: Config, channel: Option<ChannelBindings>) -> Machine {
        let stage = match config.transport {
            Transport::StartTls => Stage::Tls,
            Transport::Tls | Transport::Trusted => Stage::Login,
        };
        let mut machine = Machine {
            channel: channel.unwrap_or_default(),
            trust: match config.trust_channel || config.transport == Transport::Trusted {
                true => Trust::Whole,
                false => Trust::None,
            },
            pump: Pump::new(config.limits, crate::Framing::Stream),
            config,
            state: State::Over,
            features: Features::default(),
            mechanism: None,
            wants_token: false,
            wants_session: true,
            given: None,
        };
        machine.start(stage);
        machine
    }

    /// Takes bytes that arrived. Bytes from before the end of a TLS handshake are thrown away: TLS
    /// did not protect them.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.wants_bytes() {
            self.pump.push(bytes);
        }
    }

    /// Returns the next step; `None` until more bytes or a request come.
    pub fn poll(&mut self) -> Option<Step> {
        loop {
            match self.pump.next(self.wants_bytes())? {
                Next::Step(step) => return Some(step),
                Next::Frame(frame) => self.handle(frame),
                Next::Error(error) => self.end(error),
            }
        }
    }

    /// The bytes to write now.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.pump.output().take()
    }

    /// Whether bytes from the server can be used now: false during the TLS handshake and after
    /// the end.
    pub fn wants_bytes(&self) -> bool {
        !matches!(self.state, State::Handshake | State::Over)
    }

    /// Whether a login or a registration can be asked for now.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Whether the session is open.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether the stream has ended, by either side.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The domain of the server: the one asked for, or else the one that the server named in its
    /// header.
    pub fn domain(&self) -> &str {
        &self.config.domain
    }

    /// What the server offers at the present stage.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Whether the login proved that the server at the other end of this channel holds our
    /// verifier or token: its signature was right and bound to the channel. Then nobody sits in between,
    /// whatever the certificate says.
    pub fn proved_channel(&self) -> bool {
        self.mechanism.is_some_and(Mechanism::is_bound)
    }

    /// The mechanism of our login; `None` before it.
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// Answers [`Step::StartTls`]: the handshake is done, and this is its channel.
    pub fn tls_started(&mut self, channel: ChannelBindings) {
        if matches!(self.state, State::Handshake) {
            self.channel = channel;
            self.start(Stage::Login);
        }
    }

    /// Notes that the server's certificate is valid, pinned, or was just accepted by its
    /// fingerprint: from now on passwords and registrations may go over this channel. SCRAM always
    /// may.
    pub fn trust_channel(&mut self) {
        self.trust = Trust::Whole;
    }

    /// Notes that the server's certificate is only trusted on first use. A new account may be made
    /// over this channel, but the password of an existing account is proved, never sent.
    pub fn trust_channel_to_register(&mut self) {
        self.trust = Trust::Registration;
    }

    /// Says in logins by SASL2 from now on that this is another installation than the configuration has
    /// it: the one to which a token belongs.
    pub fn set_installation(&mut self, id: UserAgentId) {
        if let Some(sasl2) = &mut self.config.sasl2 {
            sasl2.user_agent.id = Some(id);
        }
    }

    /// Returns in whose name the stream is opened, if in anybody's.
    pub fn opener(&self) -> Option<&BareJid> {
        self.config.from.as_ref()
    }

    /// Ends the stream from this side.
    pub fn close(&mut self, error: Option<StreamError>) {
        self.close_with(error.map(|error| error.encode()));
    }

    /// Ends the stream because the server acknowledged more than it was sent.
    pub fn close_bad_ack(&mut self, bad: &sm::BadAck) {
        self.close_with(Some(bad.encode()));
    }

    fn close_with(&mut self, error: Option<Vec<u8>>) {
        if self.is_over() {
            return;
        }
        self.pump.close(error.as_deref());
        self.state = State::Over;
    }

    /// Ends the stream because of something the server did.
    fn end(&mut self, error: StreamError) {
        self.close(Some(error.clone()));
        self.pump.step(Step::Error(error));
    }

    /// Ends the stream because we do not want to go on.
    fn give_up(&mut self, reason: Reason) -> State {
        self.close(None);
        self.pump.step(Step::GaveUp(reason));
        State::Over
    }

    /// Writes a header and waits for the server's.
    fn start(&mut self, stage: Stage) {
        self.pump.restart();
        // RFC 6120, 4.7.1: in clear it would tell whoever listens who is here.
        let is_encrypted = stage != Stage::Tls && self.config.transport != Transport::Trusted;
        let from = self.config.from.as_ref().filter(|_| is_encrypted);
        let attributes = Attributes {
            from: from.map(|from| from.as_str()),
            to: Some(self.config.domain.as_str()).filter(|domain| !domain.is_empty()),
            lang: &self.config.lang,
            ..Attributes::default()
        };
        self.pump.output().header(&attributes);
        self.state = State::Header(stage);
    }

    fn handle(&mut self, frame: Frame) {
        // The methods below may end the stream, so this state in between is not the end.
        let state = mem::replace(&mut self.state, State::Ready);
        let next = match (frame, state) {
            (Frame::Open(header), State::Header(stage)) => self.header(&header, stage),
            (Frame::Element(element), state) => self.element(element, state),
            (Frame::Close, _) => {
                self.close(None);
                self.pump.step(Step::Closed);
                State::Over
            }
            // The scanner returns a header only where one was awaited.
            (Frame::Open(_) | Frame::Body(_), _) => self.give_up(Reason::Unexpected),
        };
        self.state = next;
    }

    fn header(&mut self, header: &StreamHeader, stage: Stage) -> State {
        if let Err(error) = header::check_version(header) {
            self.end(error);
            return State::Over;
        }
        if let (true, Some(from)) = (self.config.domain.is_empty(), &header.from) {
            self.config.domain = from.to_string();
        }
        State::Features(stage)
    }

    fn element(&mut self, element: Stanza, state: State) -> State {
        if let Some(error) = StreamError::read(&element) {
            // RFC 6120, 4.9.1.1: a stream error ends the stream in both directions.
            self.close(None);
            self.pump.step(Step::Error(error));
            return State::Over;
        }
        match state {
            State::Features(stage) => self.offered(&element, stage),
            State::Proceed => self.proceed(&element),
            State::Login(login) => self.during_login(&element, login),
            State::Bound(bound) => self.bound_features(&element, bound),
            State::Registering(asked) => self.during_registration(&element, asked),
            State::Binding(id) => self.during_binding(element, id),
            State::Resuming(previd) => self.during_resumption(&element, previd),
            State::Enabling(jid) => self.during_enabling(element, jid),
            State::Open => self.open(element, State::Open),
            // Nothing was asked of the server, so it has nothing to say.
            State::Ready | State::Unbound => self.give_up(Reason::Unexpected),
            // The features of a session that is not begun.
            State::Proved => State::Proved,
            // No element comes before a header, and none is read during a handshake.
            state @ (State::Header(_) | State::Handshake | State::Over) => state,
        }
    }

    fn offered(&mut self, element: &Stanza, stage: Stage) -> State {
        if (element.name(), element.ns()) != ("features", ns::STREAM) {
            return self.give_up(Reason::Unexpected);
        }
        self.features = Features::read(element);
        match stage {
            Stage::Tls if self.features.starttls => {
                self.pump.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
                State::Proceed
            }
            // An attacker who removes the offer wants us to continue in clear text (security row
            // 21).
            Stage::Tls => self.give_up(Reason::NoTls),
            Stage::Login => {
                self.pump.step(Step::Ready(self.features.clone()));
                State::Ready
            }
            Stage::Bind => self.begin_session(),
        }
    }

    fn proceed(&mut self, element: &Stanza) -> State {
        if (element.name(), element.ns()) != ("proceed", ns::TLS) {
            return self.give_up(Reason::NoTls);
        }
        // What came in clear text after it was perhaps not the server's.
        self.pump.discard();
        self.pump.step(Step::StartTls);
        State::Handshake
    }

    /// Passes an element on to the driver; the state stays.
    fn open(&mut self, element: Stanza, state: State) -> State {
        match Opened::of(element) {
            Ok(opened) => {
                self.pump.step(opened.into());
                state
            }
            Err(error) => {
                self.end(error);
                State::Over
            }
        }
    }
}
