//! One connection: the socket with its stream machine.
//!
//! It reads and writes concurrently, so that neither end can block the other for ever, and holds
//! no read buffer while idle. Every `async` method here is cancel safe.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{sleep, timeout};
use whoelse_stream::client::{self, Denied, HeldToken, Machine, Reason, Step};
use whoelse_stream::sasl::{Mechanism, Profile};
use whoelse_stream::sasl2::UserAgentId;
use whoelse_stream::sm::Element as Sm;
use whoelse_stream::{ChannelBindings, Features, Password, binding};
use whoelse_xmpp::{BareJid, Stanza, StreamCondition, StreamError};

use crate::ending;
use crate::entry::{By, Entry};
use crate::error::{ConnectError, RegisterError};
use crate::pins::Fingerprint;
use crate::reached::Reached;
use crate::register::{self, Probe};
use crate::tls::Standing;

/// How long a server may be silent before it is tested whether it is another kind of server.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a clean close may take.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// What a connection runs over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// The connection is gone without a stream error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// What arrived on an open stream.
#[derive(Debug)]
pub(crate) enum Received {
    /// A stanza.
    Stanza(Box<Stanza>),
    /// An element of stream management.
    Counting(Sm),
    /// Something that is ignored.
    Nothing,
    /// The server ended the stream for a reason.
    Error(StreamError),
    /// The server ended the stream.
    Closed,
}

/// A connection.
pub(crate) struct Wire {
    io: Box<dyn Io>,
    machine: Machine,
    out: BytesMut,
    /// Whether written bytes may still be in the TLS layer.
    unflushed: bool,
    /// Whether writing has failed. What the server sent before it closed may still be read.
    deaf: bool,
    heard_at: Instant,
    /// Whether anything has arrived at all.
    has_heard: bool,
    /// Whether the channel has an exporter for channel binding.
    binds: bool,
    standing: Standing,
    reached: Option<Reached>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("standing", &self.standing).finish_non_exhaustive()
    }
}

/// A stream that waits for the TLS handshake on its connection.
pub(crate) struct Suspended(Machine);

impl Wire {
    /// Makes a stream on a bare connection, or on one that the system vouches for.
    pub(crate) fn new(io: Box<dyn Io>, config: client::Config) -> Wire {
        Wire::with(io, Machine::new(config, None), false, Standing::Trusted)
    }

    /// Makes a stream on an encrypted connection.
    pub(crate) fn over_tls(
        io: Box<dyn Io>,
        config: client::Config,
        channel: ChannelBindings,
        standing: Standing,
    ) -> Wire {
        let binds = channel.exporter.is_some();
        let mut wire = Wire::with(io, Machine::new(config, Some(channel)), binds, standing);
        wire.trust();
        wire
    }

    /// Tells the machine what the certificate allows.
    fn trust(&mut self) {
        match self.standing {
            Standing::Trusted => self.machine.trust_channel(),
            Standing::Met(_) => self.machine.trust_channel_to_register(),
            Standing::Untrusted(_) => {}
        }
    }

    fn with(io: Box<dyn Io>, machine: Machine, binds: bool, standing: Standing) -> Wire {
        Wire {
            io,
            machine,
            out: BytesMut::new(),
            unflushed: false,
            deaf: false,
            heard_at: Instant::now(),
            has_heard: false,
            binds,
            standing,
            reached: None,
        }
    }

    /// Notes where the server was found.
    pub(crate) fn note_reached(&mut self, reached: Reached) {
        self.reached = Some(reached);
    }

    /// Returns the server at the other end, if it is one on a network.
    pub(crate) fn reached(&self) -> Option<&Reached> {
        self.reached.as_ref()
    }

    /// Returns the certificate if it is not trusted: then only a login by SCRAM-PLUS may be tried.
    pub(crate) fn untrusted(&self) -> Option<Fingerprint> {
        match self.standing {
            Standing::Untrusted(fingerprint) => Some(fingerprint),
            Standing::Trusted | Standing::Met(_) => None,
        }
    }

    /// Returns the certificate if it was only trusted on first use.
    pub(crate) fn only_met(&self) -> Option<Fingerprint> {
        match self.standing {
            Standing::Met(fingerprint) => Some(fingerprint),
            Standing::Trusted | Standing::Untrusted(_) => None,
        }
    }

    /// Returns the stream features of the present stage.
    pub(crate) fn features(&self) -> &Features {
        self.machine.features()
    }

    /// Returns whether a login can authenticate the server by channel binding.
    pub(crate) fn can_be_proved(&self) -> bool {
        let features = self.features();
        let listed = features.channel_bindings.as_deref();
        self.binds
            && [Profile::Rfc6120, Profile::Sasl2]
                .iter()
                .flat_map(|profile| features.mechanisms_of(*profile))
                .any(|name| name.ends_with("-PLUS"))
            && listed.is_none_or(|types| types.iter().any(|type_| type_ == binding::EXPORTER))
    }

    /// Returns whether the login did that.
    pub(crate) fn is_proved(&self) -> bool {
        self.machine.proved_channel()
    }

    /// Returns whether the login was by SCRAM.
    pub(crate) fn used_scram(&self) -> bool {
        matches!(self.machine.mechanism(), Some(Mechanism::Scram { .. }))
    }

    // ---- before the login ----

    /// The domain of the server.
    pub(crate) fn domain(&self) -> &str {
        self.machine.domain()
    }

    /// Runs until the server is ready for the handshake; returns the connection for it.
    pub(crate) async fn until_tls(self) -> Result<(Box<dyn Io>, Suspended), ConnectError> {
        self.until_tls_patient_for(sleep(PATIENCE)).await
    }

    /// Does the same; a server that is silent for this long is tested.
    async fn until_tls_patient_for(
        mut self,
        patience: impl Future<Output = ()>,
    ) -> Result<(Box<dyn Io>, Suspended), ConnectError> {
        let in_time = tokio::select! {
            biased;
            step = self.step() => Some(step),
            () = patience => None,
        };
        // An XMPP server ignores white space before `<starttls/>` (RFC 6120, 11.7). For HTTP and
        // other servers it ends a head, which they wait for before they answer. If the server has
        // spoken, STARTTLS was sent already, and white space is forbidden after it (5.3.3).
        if in_time.is_none() && !self.has_heard {
            self.write(b"\r\n\r\n");
        }
        let step = match in_time {
            Some(step) => step,
            None => self.step().await,
        };
        match step {
            Ok(Step::StartTls) => Ok((self.io, Suspended(self.machine))),
            other => Err(no_connection(other)),
        }
    }

    /// Runs until the server waits for a login.
    pub(crate) async fn until_ready(&mut self) -> Result<(), ConnectError> {
        match self.step().await {
            Ok(Step::Ready(_)) => Ok(()),
            other => Err(no_connection(other)),
        }
    }

    /// Asks whether a name is taken.
    pub(crate) async fn probe(&mut self, name: &str) -> Result<Probe, RegisterError> {
        if !self.machine.features().register {
            return Ok(Probe::Closed);
        }
        self.machine.probe(name).map_err(not_asked)?;
        match self.step().await {
            Ok(Step::Probed(client::Probe::Known)) => Ok(Probe::Known),
            Ok(Step::Probed(client::Probe::Free)) => Ok(Probe::Free),
            Ok(Step::Probed(client::Probe::Refused(error))) => register::probed(&error),
            other => Err(RegisterError::Connect(no_connection(other))),
        }
    }

    /// Makes an account.
    pub(crate) async fn register(
        &mut self,
        name: &str,
        password: &Password,
    ) -> Result<(), RegisterError> {
        self.machine.register(name, password).map_err(not_asked)?;
        match self.step().await {
            Ok(Step::Registered(answer)) => answer.map_err(|error| register::refused(&error)),
            other => Err(RegisterError::Connect(no_connection(other))),
        }
    }

    /// Begins a login; [`Wire::step`] continues it.
    pub(crate) fn login(&mut self, entry: &Entry) -> Result<(), Denied> {
        if let Some(installation) = entry.installation {
            self.machine.set_installation(installation);
        }
        self.machine.want_token(entry.wants_token);
        match &entry.by {
            By::Password(password) => self.machine.login(&entry.name, password.clone()),
            By::Token(held) => self.machine.login_by_token(&entry.name, held),
        }
    }

    /// Begins to take a token back; [`Wire::step`] continues it, up to [`Step::Proved`].
    pub(crate) fn revoke(
        &mut self,
        name: &str,
        installation: UserAgentId,
        held: &HeldToken,
    ) -> Result<(), Denied> {
        self.machine.set_installation(installation);
        self.machine.revoke_token(name, held)
    }

    /// Returns in whose name the stream was opened, if in anybody's.
    pub(crate) fn opener(&self) -> Option<&BareJid> {
        self.machine.opener()
    }

    /// Returns whether the server gives tokens over this connection.
    pub(crate) fn gives_tokens(&self) -> bool {
        self.machine.gives_tokens()
    }

    /// Returns the token that the login was given.
    pub(crate) fn take_token(&mut self) -> Option<HeldToken> {
        self.machine.take_token()
    }

    /// Begins a login by EXTERNAL: the system vouches for us.
    pub(crate) fn login_external(&mut self, authzid: Option<&str>) -> Result<(), Denied> {
        self.machine.login_external(authzid)
    }

    /// Runs until the connection ends, or the server sends something unasked.
    pub(crate) async fn until_gone(&mut self) {
        let _ = self.step().await;
    }

    // ---- on an open stream ----

    /// Returns what arrives next.
    pub(crate) async fn next(&mut self) -> Result<Received, Broken> {
        Ok(match self.step().await? {
            Step::Stanza(stanza) => Received::Stanza(Box::new(stanza)),
            Step::Sm(element) => Received::Counting(element),
            Step::Error(error) => Received::Error(error),
            Step::Closed | Step::GaveUp(_) => Received::Closed,
            _ => Received::Nothing,
        })
    }

    /// Queues bytes for writing.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Returns how many bytes the server has not taken.
    pub(crate) fn backlog(&self) -> usize {
        self.out.len()
    }

    /// Returns when anything arrived last.
    pub(crate) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Closes the stream, and waits until the server has read everything and closed too, within
    /// this time.
    pub(crate) async fn close(mut self, within: Duration) {
        self.machine.close(None);
        let bytes = self.machine.take_output();
        self.out.extend_from_slice(&bytes);
        let goodbye = async {
            self.io.write_all_buf(&mut self.out).await?;
            self.io.flush().await?;
            let mut rest = [0; 1024];
            while self.io.read(&mut rest).await? > 0 {}
            self.io.shutdown().await
        };
        let _ = timeout(within, goodbye).await;
    }

    // ---- bytes ----

    /// Returns the machine's next step.
    pub(crate) async fn step(&mut self) -> Result<Step, Broken> {
        loop {
            let step = self.machine.poll();
            let bytes = self.machine.take_output();
            self.out.extend_from_slice(&bytes);
            if let Some(step) = step {
                return Ok(step);
            }
            match poll_fn(|cx| self.poll_io(cx)).await {
                Ok(0) | Err(_) => return Err(Broken),
                Ok(_) => {
                    self.heard_at = Instant::now();
                    self.has_heard = true;
                }
            }
        }
    }

    /// Writes and reads what is possible. Ready when something was read.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.deaf
            && let Poll::Ready(Err(_)) = self.poll_write(cx)
        {
            self.deaf = true;
            self.out.clear();
        }
        let mut buffer = [0; 8 << 10];
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                self.machine.push(buffer.filled());
                Poll::Ready(Ok(buffer.filled().len()))
            }
            Poll::Ready(Err(fault)) => Poll::Ready(Err(fault)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &self.out) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.out.advance(written),
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => return Poll::Pending,
            }
            self.unflushed = true;
        }
        if self.unflushed {
            std::task::ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl Suspended {
    /// Continues the stream over the encrypted connection.
    pub(crate) fn over(
        self,
        io: Box<dyn Io>,
        channel: ChannelBindings,
        standing: Standing,
    ) -> Wire {
        let binds = channel.exporter.is_some();
        let mut wire = Wire::with(io, self.0, binds, standing);
        wire.machine.tls_started(channel);
        wire.trust();
        wire
    }
}

/// Returns the error for an unexpected step.
pub(crate) fn no_connection(step: Result<Step, Broken>) -> ConnectError {
    match step {
        Ok(Step::Error(error)) => match error.condition {
            StreamCondition::HostGone => match ending::renamed(&error) {
                Some(domain) => ConnectError::Renamed { domain },
                None => ConnectError::Server(said(&error)),
            },
            StreamCondition::ConnectionTimeout
            | StreamCondition::InternalServerError
            | StreamCondition::Reset
            | StreamCondition::ResourceConstraint
            | StreamCondition::SystemShutdown => ConnectError::Busy(said(&error)),
            _ => ConnectError::Server(said(&error)),
        },
        Ok(Step::GaveUp(Reason::NoTls)) => ConnectError::NoEncryption,
        Ok(Step::GaveUp(reason)) => ConnectError::Server(reason.to_string()),
        Ok(_) | Err(Broken) => ConnectError::Ended,
    }
}

/// Puts a stream error into words.
fn said(error: &StreamError) -> String {
    let words = match error.condition {
        StreamCondition::HostUnknown => "the server does not know the domain asked for".to_owned(),
        StreamCondition::SystemShutdown => "the server is shutting down".to_owned(),
        StreamCondition::ResourceConstraint => "the server has no room for more".to_owned(),
        other => format!("the server ended the connection: {}", other.name()),
    };
    error.text.clone().unwrap_or(words)
}

fn not_asked(denied: Denied) -> RegisterError {
    match denied {
        Denied::Untrusted => RegisterError::Untrusted,
        Denied::BadName => RegisterError::NotAName,
        Denied::NotReady => RegisterError::Connect(ConnectError::Ended),
        other => RegisterError::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future;
    use std::pin::pin;

    use tokio::io::{DuplexStream, duplex};
    use tokio::sync::oneshot;

    use super::*;

    const GREETING: &[u8] = b"<?xml version='1.0'?><stream:stream from='a.example' id='x' \
        version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    const FEATURES: &[u8] = b"<stream:features><starttls \
        xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
    const PROCEED: &[u8] = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

    fn pair() -> (Wire, DuplexStream) {
        let (ours, theirs) = duplex(4096);
        (Wire::new(Box::new(ours), client::Config::new("a.example")), theirs)
    }

    /// Polls something until it waits.
    async fn go_on<T>(mut something: Pin<&mut impl Future<Output = T>>) {
        let over = poll_fn(|cx| Poll::Ready(something.as_mut().poll(cx).is_ready())).await;
        assert!(!over, "it came to an end");
    }

    /// Returns what has arrived until now.
    async fn arrived(theirs: &mut DuplexStream) -> String {
        let mut bytes = [0; 4096];
        let length = tokio::select! {
            biased;
            read = theirs.read(&mut bytes) => read.unwrap(),
            () = future::ready(()) => 0,
        };
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_server_that_is_slow_after_it_has_spoken_is_sent_nothing_before_the_handshake() {
        for spoken in [GREETING.to_vec(), [GREETING, FEATURES].concat()] {
            let (wire, mut theirs) = pair();
            let (over, patience) = oneshot::channel();
            let patience = async { patience.await.unwrap() };
            let mut begun = pin!(wire.until_tls_patient_for(patience));
            theirs.write_all(&spoken).await.unwrap();
            go_on(begun.as_mut()).await;

            over.send(()).unwrap();
            go_on(begun.as_mut()).await;

            if !spoken.ends_with(FEATURES) {
                theirs.write_all(FEATURES).await.unwrap();
                go_on(begun.as_mut()).await;
            }
            let said = arrived(&mut theirs).await;
            let wish = said.find("<starttls").unwrap();
            assert!(said[wish..].ends_with('>') && !said.contains('\r'), "{said}");
            theirs.write_all(PROCEED).await.unwrap();
            assert!(begun.await.is_ok());
            assert_eq!(arrived(&mut theirs).await, "");
        }
    }

    #[tokio::test]
    async fn who_says_nothing_for_a_while_is_sent_the_end_of_a_head_once() {
        let (wire, mut theirs) = pair();
        let mut begun = pin!(wire.until_tls_patient_for(future::ready(())));

        go_on(begun.as_mut()).await;
        go_on(begun.as_mut()).await;

        let said = arrived(&mut theirs).await;
        assert!(said.ends_with("\r\n\r\n") && said.matches('\r').count() == 2, "{said:?}");
        // It was an XMPP server after all.
        theirs.write_all(&[GREETING, FEATURES].concat()).await.unwrap();
        go_on(begun.as_mut()).await;
        assert!(arrived(&mut theirs).await.starts_with("<starttls"));
        theirs.write_all(PROCEED).await.unwrap();
        assert!(begun.await.is_ok());
    }
}
