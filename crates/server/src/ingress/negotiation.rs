//! RFC 6120, 5 to 7: from the accepted socket to the open session, within a deadline.

use super::driver::{self, Opened};
use super::link::{LAST_WORD, Link};
use super::{Arrived, Connections, Ingress, Peer, until};
use crate::byte_stream::Io;
use std::io;
use std::sync::Arc;
use whoelse_core::audit::Deed;
use whoelse_core::login::by_token::LetIn;
use whoelse_core::login_attempt::LoginAttempt;
use whoelse_core::principal::{Principal, Proof, Rights};
use whoelse_core::session::Session;
use whoelse_core::sessions::Hold;
use whoelse_core::{Node, Steady};
use whoelse_stream::c2s::{LookupAnswer, Machine, Step};
use whoelse_stream::fast::{Given, TokenLogin};
use whoelse_stream::sasl::{Condition as SaslCondition, Mechanism, Refusal};
use whoelse_stream::sasl2;
use whoelse_stream::scram::Hash;
use whoelse_stream::{ChannelBindings, Password, token};
use whoelse_xmpp::{BareJid, Condition, StanzaError, StreamCondition, StreamError};

/// A connection that negotiates.
struct Negotiation {
    connections: Arc<Connections>,
    ingress: Ingress,
    peer: Peer,
    deadline: Steady,
    /// The authenticated identity, after SASL has succeeded.
    principal: Option<Principal>,
    /// The mechanism of the present attempt, for the count.
    mechanism: &'static str,
    /// The present attempt and what is reserved for it.
    attempt: LoginAttempt,
    /// The session, from the moment at which it is bound or resumed until it is handed over.
    hold: Option<Hold>,
    /// The token for the client's next login, after a login by one.
    given: Option<Given>,
    /// The password being checked, if its account may lack a verifier that can be made from it.
    told: Option<Password>,
}

/// How a part of the negotiation ended.
enum Outcome {
    /// The client waits for a TLS handshake.
    StartTls,
    /// A session is open.
    Open(Hold),
    /// The stream has ended; the reason is for the count.
    Over(&'static str),
}

/// Drives one connection to its open session, and hands it over.
pub(super) async fn run<S: Io>(arrived: Arrived, io: S) {
    let mut negotiation = Negotiation::new(&arrived);
    let machine = || Machine::new(arrived.running.stream(arrived.ingress), None);
    let opened = match arrived.ingress {
        Ingress::StartTls => negotiation.starttls(Link::new(io, machine())).await,
        Ingress::DirectTls => negotiation.direct_tls(io).await,
        Ingress::Pipe | Ingress::Web | Ingress::Bosh | Ingress::Admin => {
            negotiation.log_in(Link::new(io, machine())).await
        }
    };
    hand_over(arrived, opened);
}

/// Does the same for a connection whose handshake is done.
pub(super) async fn run_encrypted<S: Io>(arrived: Arrived, io: S, channel: ChannelBindings) {
    let mut negotiation = Negotiation::new(&arrived);
    let opened = negotiation.encrypted(io, channel).await;
    hand_over(arrived, opened);
}

/// Does the same for a WebSocket that has been agreed on. `read` is what came behind the request.
pub(super) async fn run_websocket<S: Io>(
    arrived: Arrived,
    io: S,
    read: &[u8],
    channel: Option<ChannelBindings>,
) {
    let mut negotiation = Negotiation::new(&arrived);
    let mut machine = Machine::new(arrived.running.stream(Ingress::Web), channel);
    machine.push(read);
    let opened = Box::pin(negotiation.log_in(Link::new(io, machine))).await;
    hand_over(arrived, opened);
}

/// Does the same for a connection whose transport has to know when it has logged in.
pub(super) async fn run_telling<S: Io>(arrived: Arrived, io: S, logged_in: impl FnOnce()) {
    let mut negotiation = Negotiation::new(&arrived);
    let machine = Machine::new(arrived.running.stream(arrived.ingress), None);
    let opened = Box::pin(negotiation.log_in(Link::new(io, machine))).await;
    if opened.is_ok() {
        logged_in();
    }
    hand_over(arrived, opened);
}

/// Waits for a handshake until the deadline. A handshake that has begun when the server shuts down
/// may still finish, because it may already be finished for the client, which can then be told.
pub(super) async fn handshake<T>(
    connections: &Connections,
    peer: &Peer,
    deadline: Steady,
    shaking: impl Future<Output = io::Result<T>>,
) -> Result<T, &'static str> {
    let node = &connections.node;
    let gone = async {
        connections.closing().await;
        let never = std::future::pending::<()>();
        until(node, node.clock.steady().after(LAST_WORD), never).await
    };
    let shaken = tokio::select! {
        biased;
        shaken = until(node, deadline, shaking) => shaken,
        _ = gone => return Err("shutdown"),
    };
    if !matches!(shaken, Some(Ok(_))) {
        connections.node.counters.handshakes_failed.inc();
    }
    match shaken {
        Some(Ok(done)) => Ok(done),
        Some(Err(error)) => {
            tracing::debug!(address = %peer.address, %error, "handshake_failed");
            Err("no handshake")
        }
        None => Err("no handshake in time"),
    }
}

/// An open session and its link, or why there is none.
type Opening = Result<(Hold, Link), &'static str>;

/// Ends the half-open state: an open session goes on in a task of its own.
fn hand_over(arrived: Arrived, opened: Opening) {
    let Arrived { running, peer, half_open, .. } = arrived;
    drop(half_open);
    match opened {
        // In a task of its own, since this one is as large as a handshake.
        Ok((hold, link)) => driver::spawn(Opened { running, link, hold, peer }),
        Err(reason) => running.note_unopened(&peer, reason),
    }
}

impl Drop for Negotiation {
    /// Gives up a session that was begun or resumed and not handed over: the stream broke, the time
    /// was up, the connection was put out or its task has failed. Nobody else would, and its user
    /// would stay online until the server stops.
    fn drop(&mut self) {
        // Without a runtime, the server has ended.
        if let Some(hold) = self.hold.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let running = self.connections.begin();
            runtime.spawn(async move {
                running.node.connection_lost(&hold).await;
                drop(running);
            });
        }
    }
}

impl Negotiation {
    fn new(arrived: &Arrived) -> Negotiation {
        let connections = arrived.running.clone();
        Negotiation {
            connections,
            ingress: arrived.ingress,
            peer: arrived.peer.clone(),
            deadline: arrived.deadline,
            principal: None,
            mechanism: Mechanism::External.name(),
            attempt: LoginAttempt::default(),
            hold: None,
            told: None,
            given: None,
        }
    }

    async fn starttls<S: Io>(&mut self, mut link: Link<S>) -> Opening {
        match self.converse(&mut link).await {
            Outcome::StartTls => {}
            Outcome::Over(reason) => return Err(reason),
            // Without TLS no machine opens a session.
            Outcome::Open(_) => return Err("internal error"),
        }
        let Some(certificate) = &self.connections.tls else { return Err("no certificate") };
        let (io, mut machine) = link.into_parts();
        let shaking = certificate.tls.accept(io, false);
        let (io, channel) =
            handshake(&self.connections, &self.peer, self.deadline, shaking).await?;
        machine.tls_started(channel);
        self.log_in(Link::new(io, machine)).await
    }

    async fn direct_tls<S: Io>(&mut self, io: S) -> Opening {
        let connections = self.connections.clone();
        let Some(certificate) = &connections.tls else { return Err("no certificate") };
        let shaking = certificate.tls.accept(io, true);
        let (io, channel) = handshake(&connections, &self.peer, self.deadline, shaking).await?;
        self.encrypted(io, channel).await
    }

    /// Negotiates a stream over a connection that begins with TLS, so nothing is said before the
    /// handshake.
    async fn encrypted<S: Io>(&mut self, io: S, channel: ChannelBindings) -> Opening {
        let config = self.connections.stream(Ingress::DirectTls);
        self.log_in(Link::new(io, Machine::new(config, Some(channel)))).await
    }

    async fn log_in<S: Io>(&mut self, mut link: Link<S>) -> Opening {
        match self.converse(&mut link).await {
            Outcome::Open(hold) => Ok((hold, link.boxed())),
            Outcome::StartTls => Err("internal error"),
            Outcome::Over(reason) => Err(reason),
        }
    }

    /// Converses until TLS is wanted, a session is open or the stream is over.
    async fn converse<S: Io>(&mut self, link: &mut Link<S>) -> Outcome {
        let connections = self.connections.clone();
        let node = connections.node.clone();
        let deadline = self.deadline;
        let conversed = tokio::select! {
            biased;
            conversed = until(&node, deadline, self.exchange(link)) => conversed.ok_or(
                StreamError::new(StreamCondition::ConnectionTimeout)
                    .with_text("logging in took too long"),
            ),
            () = connections.closing() => Err(StreamError::new(StreamCondition::SystemShutdown)
                .with_text("the server is shutting down")),
        };
        let (reason, open) = match conversed {
            Ok(Ok(outcome @ (Outcome::StartTls | Outcome::Open(_)))) => return outcome,
            Ok(Ok(Outcome::Over(reason))) => (reason, true),
            Ok(Err(_)) => ("connection lost", false),
            Err(error) => {
                let reason = error.condition.name();
                link.machine().close(Some(error));
                (reason, true)
            }
        };
        if open {
            let bye = async {
                link.flush(&node).await?;
                link.shut_down().await
            };
            // The last bytes are a courtesy; a failure does not matter.
            let _ = until(&node, node.clock.steady().after(LAST_WORD), bye).await;
        }
        Outcome::Over(reason)
    }

    async fn exchange<S: Io>(&mut self, link: &mut Link<S>) -> io::Result<Outcome> {
        let node = self.connections.node.clone();
        loop {
            while let Some(step) = link.next() {
                if let Some(outcome) = self.step(link.machine(), step).await {
                    if matches!(outcome, Outcome::StartTls) {
                        link.flush(&node).await?;
                    }
                    return Ok(outcome);
                }
                link.flush(&node).await?;
            }
            // A login that was cut short for any reason must not block others.
            if !link.machine().awaits_proof() {
                self.attempt.release();
            }
            link.flush(&node).await?;
            if link.read(&node).await? == 0 {
                return Ok(Outcome::Over("connection lost"));
            }
        }
    }

    /// Counts how a login attempt ended.
    fn count_login(&self, outcome: &'static str) {
        self.connections.node.counters.logins.inc([self.mechanism, outcome]);
    }

    async fn step(&mut self, machine: &mut Machine, step: Step) -> Option<Outcome> {
        let node = self.connections.node.clone();
        match step {
            Step::StartTls => return Some(Outcome::StartTls),
            Step::Lookup { account, mechanism } => {
                self.mechanism = mechanism.name();
                let (attempt, network) = (&mut self.attempt, self.peer.network);
                let answer = node.lookup(attempt, &account, mechanism, network).await;
                if let LookupAnswer::Refused(_) = answer {
                    self.count_login("blocked");
                }
                machine.lookup(answer);
            }
            Step::Derive { password, verifier } => {
                self.told = (node.hashes() != Hash::ALL).then(|| password.clone());
                match node.hash(move || verifier.derive_like(&password)).await {
                    Some(derived) => machine.derived(&derived),
                    None => {
                        let busy = StreamError::new(StreamCondition::ResourceConstraint);
                        machine.close(Some(busy.with_text("too many logins at once")));
                        return Some(Outcome::Over("too many logins"));
                    }
                }
            }
            Step::AuthFailed { account, compared } => {
                self.count_login("wrong");
                self.told = None;
                let (attempt, network) = (&mut self.attempt, self.peer.network);
                let refusal = node.login_failed(attempt, &account, compared, network).await;
                machine.failed(&refusal);
            }
            Step::FormerPassword { account, which } => {
                self.count_login("former");
                self.told = None;
                let (attempt, network) = (&mut self.attempt, self.peer.network);
                let refusal = node.login_outdated(attempt, &account, which, network).await;
                machine.failed(&refusal);
            }
            Step::Token(login) => self.by_token(&node, machine, &login).await,
            Step::AuthSucceeded => {
                let attempt = std::mem::take(&mut self.attempt);
                let device = machine.authenticate().and_then(|it| it.user_agent.as_ref()?.id);
                let (rights, network) = (self.rights(), self.peer.network);
                match node.login_succeeded(attempt, device, rights, network).await {
                    Ok(principal) => {
                        self.count_login("ok");
                        machine.succeeded();
                        if let Some(password) = self.told.take() {
                            node.complete_verifiers(&principal, password);
                        }
                        self.principal = Some(principal);
                    }
                    Err(refusal) => {
                        self.count_login("refused");
                        machine.refused(&refusal);
                    }
                }
            }
            Step::External { authzid } => self.external(&node, machine, authzid).await,
            Step::Register(request) => {
                let answer = node.register(request, self.peer.network).await;
                machine.registered(answer);
            }
            Step::Bind { resource } => self.bind(&node, machine, resource).await,
            Step::Resume { previd, h } => return self.resume(&node, machine, &previd, h).await,
            Step::BindInline(wish) => return self.bind_inline(&node, machine, wish).await,
            Step::Complete => {
                let given = self.give_token(&node, machine).await;
                machine.completed(&given.map(|given| given.encode()).unwrap_or_default());
            }
            Step::Open => match self.hold.take() {
                Some(hold) => return Some(Outcome::Open(hold)),
                None => return Some(Outcome::Over("internal error")),
            },
            Step::Closed => {
                machine.close(None);
                return Some(Outcome::Over("closed by the client"));
            }
            Step::Error(error) => return Some(Outcome::Over(error.condition.name())),
            // These come only on an open stream.
            Step::Stanza(_) | Step::Sm(_) | Step::Element(_) => {
                return Some(Outcome::Over("internal error"));
            }
        }
        None
    }

    /// XEP-0484: a login by a token.
    async fn by_token(&mut self, node: &Arc<Node>, machine: &mut Machine, login: &TokenLogin) {
        self.mechanism = login.mechanism.name();
        let agent = machine.authenticate().and_then(|request| request.user_agent.clone());
        let (agent, wanted) = (agent.unwrap_or_default(), machine.requested_token());
        let way = (self.rights(), self.peer.network);
        match node.login_by_token(&mut self.attempt, login, &agent, wanted, way).await {
            Ok(LetIn { principal, answer, given }) => {
                self.count_login("ok");
                self.principal = Some(principal);
                self.given = given;
                machine.token_accepted(answer);
            }
            Err(refusal) => {
                self.count_login(match refusal.condition {
                    SaslCondition::NotAuthorized => "wrong",
                    SaslCondition::CredentialsExpired => "former",
                    _ => "blocked",
                });
                machine.failed(&refusal);
            }
        }
    }

    /// XEP-0484: returns the token for the client's next login, if it asks for one or it is time.
    async fn give_token(&mut self, node: &Arc<Node>, machine: &Machine) -> Option<Given> {
        let principal = self.principal.as_ref()?;
        if matches!(principal.proof, Proof::Token { .. }) {
            return self.given.take();
        }
        let (request, wanted) = (machine.authenticate()?, machine.requested_token()?);
        node.give_token(principal, request.user_agent.as_ref()?, wanted).await
    }

    /// Returns the rights that this ingress gives.
    fn rights(&self) -> Rights {
        match self.ingress {
            Ingress::Admin => Rights::Operator,
            Ingress::StartTls
            | Ingress::DirectTls
            | Ingress::Web
            | Ingress::Bosh
            | Ingress::Pipe => Rights::Own,
        }
    }

    /// EXTERNAL: the kernel vouches for an administrator, who acts as the server itself unless a
    /// name is given.
    async fn external(
        &mut self,
        node: &Arc<Node>,
        machine: &mut Machine,
        authzid: Option<BareJid>,
    ) {
        let Some(wanted) = authzid.filter(|wanted| wanted.local().is_some()) else {
            self.count_login("ok");
            self.principal = Some(Principal::server());
            machine.succeeded_as(node.address());
            return;
        };
        match node.look_up(&wanted).await {
            Ok(Some(account)) => {
                self.count_login("ok");
                let deed =
                    Deed::of(&node.domain_name(), &self.peer.address, "act-as", node.clock.now())
                        .about("accountjid", &[account.jid().to_string()]);
                node.record(Deed { end: Ok("done".to_owned()), ..deed }).await;
                self.principal = Some(Principal::of(&account, self.rights()));
                machine.succeeded_as(wanted);
            }
            Ok(None) => {
                self.count_login("refused");
                let name = wanted.local().unwrap_or_default();
                let refusal = Refusal::new(SaslCondition::InvalidAuthzid);
                machine.refused(&refusal.with_text(format!("there is no user {name}")));
            }
            Err(_) => {
                machine.refused(&Refusal::new(SaslCondition::TemporaryAuthFailure));
            }
        }
    }

    async fn bind(&mut self, node: &Arc<Node>, machine: &mut Machine, resource: Option<String>) {
        let is_operator = self.principal.as_ref().is_some_and(|it| it.rights == Rights::Operator);
        let named = || format!("admin-{}", token());
        let resource = resource.or_else(|| is_operator.then(named));
        let bound = match self.principal() {
            Ok(principal) => node.bind(principal, resource.as_deref()).await,
            Err(error) => Err(error),
        };
        match self.take_place(node, bound).await {
            Ok(session) => machine.bound(&session.jid),
            Err(error) => machine.bind_refused(&error),
        }
    }

    /// Keeps a session that has begun or was resumed, unless the client's token was taken back
    /// meanwhile (XEP-0484).
    async fn take_place(
        &mut self,
        node: &Arc<Node>,
        begun: Result<Hold, StanzaError>,
    ) -> Result<Arc<Session>, StanzaError> {
        let hold = begun?;
        let session = hold.session.clone();
        // Kept before anything is waited for, or nobody would give it up if that is cut short.
        self.hold = Some(hold);
        if let Some(principal) = &self.principal
            && let Err(error) = node.keep_place(principal, &session).await
        {
            self.hold = None;
            return Err(error);
        }
        Ok(session)
    }

    /// Returns who has logged in.
    fn principal(&self) -> Result<&Principal, StanzaError> {
        self.principal.as_ref().ok_or_else(|| StanzaError::new(Condition::NotAuthorized))
    }

    /// XEP-0386: binds along with the login.
    async fn bind_inline(
        &mut self,
        node: &Arc<Node>,
        machine: &mut Machine,
        wish: sasl2::Bind,
    ) -> Option<Outcome> {
        let bound = match self.principal() {
            Ok(principal) => node.bind_inline(principal, &wish).await,
            Err(error) => Err(error),
        };
        match self.take_place(node, bound).await {
            Ok(session) => {
                let inside = node.begin_in(&session, &wish.features).await;
                machine.bound_inline(&session.jid, &inside);
                None
            }
            // The account was removed, or has another password, since the proof.
            Err(error) if error.condition == Condition::NotAuthorized => {
                self.principal = None;
                machine.refused(&Refusal::new(SaslCondition::NotAuthorized));
                None
            }
            // Clients throw tokens away at a failure, so what is not about the credentials is none.
            Err(error) => {
                let condition = match error.condition {
                    Condition::Conflict => StreamCondition::Conflict,
                    Condition::ResourceConstraint => StreamCondition::ResourceConstraint,
                    _ => StreamCondition::InternalServerError,
                };
                let text = error.text.unwrap_or_else(|| "no session can begin now".to_owned());
                machine.close(Some(StreamError::new(condition).with_text(text)));
                Some(Outcome::Over(condition.name()))
            }
        }
    }

    async fn resume(
        &mut self,
        node: &Arc<Node>,
        machine: &mut Machine,
        previd: &str,
        h: u32,
    ) -> Option<Outcome> {
        let resumed = match self.principal() {
            Ok(principal) => node.resume(principal, previd, h).await,
            Err(_) => Err((None, StanzaError::new(Condition::ItemNotFound))),
        };
        match resumed {
            Ok((hold, handled)) => match self.take_place(node, Ok(hold)).await {
                Ok(_) => machine.resumed(handled),
                Err(_) => machine.resume_failed(Some(handled), Condition::ItemNotFound),
            },
            Err((handled, error)) => machine.resume_failed(handled, error.condition),
        }
        None
    }
}

#[cfg(test)]
mod tests;
