//! RFC 6120, 3 and 5, and XEP-0368: from a domain to an encrypted stream with an identified
//! server, ready for a login.
//!
//! This file has everything that may be sent before a certificate is trusted: the stream header
//! and STARTTLS. If a pinned certificate has changed, nothing more is sent unless the caller says
//! so.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;
use whoelse_stream::client::{self, Resumption, Sasl2};
use whoelse_stream::sasl2::{Bind, UserAgent, UserAgentId};
use whoelse_stream::{ChannelBindings, Transport};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Stanza, in_words, ns};

use crate::config::{Begin, Config};
use crate::error::ConnectError;
use crate::faults;
use crate::pins::{Fingerprint, Pins};
use crate::reached::Reached;
use crate::remembered::{Place, Wanted};
use crate::route::{self, Endpoint};
use crate::stranger::{Expected, First};
use crate::tls::{self, CertificateTrust, Seen, Standing, Tls};
use crate::wire::{Io, Wire};

/// Time from the first packet to a stream that is ready for a login.
const WITHIN: Duration = Duration::from_secs(20);
/// The same time for each endpoint, if there are others to try.
const WITHIN_EACH: Duration = Duration::from_secs(8);

/// The name of this program, for people who look at a list of their devices.
const SOFTWARE: &str = "whoelse";

/// What to do if a pinned certificate has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfChanged {
    /// Fail.
    Refuse,
    /// Connect, but mark the channel as untrusted: for a login by SCRAM-PLUS and nothing else.
    Prove,
}

/// Who comes, if that is known, and back to what.
#[derive(Debug, Clone)]
pub(crate) struct Coming {
    /// In whose name the stream is opened.
    pub(crate) who: Option<BareJid>,
    /// The session to resume.
    pub(crate) resume: Option<Resumption>,
}

/// Makes connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) config: Config,
    /// The endpoint of the server when its domain was renamed.
    at: Option<Endpoint>,
    /// The state before the domain was renamed, while there has been no session under the new
    /// name.
    before: Option<Before>,
    tls: Tls,
    /// Held while the file is read or written.
    pins: Arc<Mutex<Pins>>,
    /// This process, to servers that speak SASL2, where no place of a remembered login logs in.
    pub(crate) process: UserAgentId,
}

/// What was used before a rename.
#[derive(Debug, Clone)]
struct Before {
    domain: String,
    host: String,
    at: Option<Endpoint>,
}

impl Connector {
    pub(crate) fn new(config: Config) -> Connector {
        let pins = match &config.state {
            Some(directory) => Pins::in_directory(directory),
            None => Pins::in_memory(),
        };
        let tls = config.authorities.clone().unwrap_or_default();
        let pins = Arc::new(Mutex::new(pins));
        Connector { config, at: None, before: None, tls, pins, process: UserAgentId::fresh() }
    }

    /// Connects, encrypts and judges the certificate. Takes the first endpoint that gives a
    /// stream.
    pub(crate) async fn connect(
        &self,
        if_changed: IfChanged,
        coming: Option<&Coming>,
    ) -> Result<Wire, ConnectError> {
        if let Some(endpoint) = &self.at {
            let tried = self.connect_to(endpoint, if_changed, coming);
            match timeout(WITHIN_EACH, tried).await {
                Ok(Err(fault)) if fault.is_temporary() && !fault.is_passing() => {}
                Ok(done) => return done,
                Err(_) => {}
            }
        }
        let endpoints = route::endpoints(&self.config).await?;
        let within = if endpoints.len() > 1 { WITHIN_EACH } else { WITHIN };
        let mut faults = Vec::new();
        for endpoint in &endpoints {
            let tried = timeout(within, self.connect_to(endpoint, if_changed, coming)).await;
            let late = ConnectError::TimedOut { address: endpoint.address() };
            match tried.unwrap_or(Err(late)) {
                Err(fault) => faults.push(fault),
                found => return found,
            }
        }
        // A fault that the user must fix is reported before one that will pass.
        let lasting = faults.iter().position(|fault| !fault.is_temporary());
        let passing = || faults.iter().position(ConnectError::is_passing);
        let telling = lasting.or_else(passing).unwrap_or_default();
        match faults.is_empty() {
            true => Err(ConnectError::Ended),
            false => Err(faults.swap_remove(telling)),
        }
    }

    async fn connect_to(
        &self,
        endpoint: &Endpoint,
        if_changed: IfChanged,
        coming: Option<&Coming>,
    ) -> Result<Wire, ConnectError> {
        let Config { domain, resource, .. } = &self.config;
        let transport = match endpoint.begin {
            Begin::Direct => Transport::Tls,
            Begin::StartTls => Transport::StartTls,
        };
        let resource = resource.clone();
        let never_plain = self.pins.lock().knows_scram(&self.config.address()).map_err(state)?;
        let stream = client::Config {
            transport,
            resource,
            resume: coming.and_then(|it| it.resume.clone()),
            from: coming.and_then(|it| it.who.clone()),
            sasl2: Some(self.sasl2()),
            never_plain,
            ..client::Config::new(domain)
        };
        let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|fault| unreachable(endpoint, &fault))?;
        let _ = socket.set_nodelay(true);
        let address = socket.peer_addr().map_err(|fault| unreachable(endpoint, &fault))?;
        // Anybody can lead us here by a DNS record of some kind.
        let loopback = address.ip().to_canonical().is_loopback() && !endpoint.by_record;
        let reached = |seen: &Seen| Reached {
            address,
            domain: domain.clone(),
            certificate: seen.fingerprint,
            endpoint: endpoint.clone(),
            tls: self.tls.clone(),
        };

        let first = First::default();
        let stranger =
            |first: &First, expected, fault| first.instead_of(expected, endpoint.address(), fault);
        match endpoint.begin {
            Begin::Direct => {
                let encrypted = self.encrypt(Box::new(first.of(socket)), true).await;
                let (io, seen) =
                    encrypted.map_err(|fault| stranger(&first, Expected::Tls, fault))?;
                let inside = First::default();
                let io = Box::new(inside.of(io));
                let standing = self.judge(&seen, loopback, if_changed)?;
                let mut wire = Wire::over_tls(io, stream, bindings(&seen), standing);
                wire.note_reached(reached(&seen));
                let ready = wire.until_ready().await;
                ready.map_err(|fault| stranger(&inside, Expected::Xmpp, fault))?;
                Ok(wire)
            }
            Begin::StartTls => {
                let wire = Wire::new(Box::new(first.of(socket)), stream);
                let begun = wire.until_tls().await;
                let (plain, suspended) =
                    begun.map_err(|fault| stranger(&first, Expected::Xmpp, fault))?;
                let (io, seen) = self.encrypt(plain, false).await?;
                let standing = self.judge(&seen, loopback, if_changed)?;
                let mut wire = suspended.over(io, bindings(&seen), standing);
                wire.note_reached(reached(&seen));
                wire.until_ready().await?;
                Ok(wire)
            }
        }
    }

    /// Shakes hands with whoever shows a certificate, at any endpoint; the name to check is the
    /// domain.
    async fn encrypt(
        &self,
        socket: Box<dyn Io>,
        direct: bool,
    ) -> Result<(Box<dyn Io>, Seen), ConnectError> {
        let failed = |fault: io::Error| match faults::is_end(&fault) {
            true => ConnectError::Ended,
            false => ConnectError::Handshake(faults::of_handshake(&fault)),
        };
        let name = tls::server_name(&self.config.domain).map_err(failed)?;
        let (stream, seen) = self.tls.connect(socket, name, direct).await.map_err(failed)?;
        Ok((Box::new(stream), seen))
    }

    /// Decides what the certificate allows; pins one that is trusted without an authority.
    fn judge(
        &self,
        seen: &Seen,
        loopback: bool,
        if_changed: IfChanged,
    ) -> Result<Standing, ConnectError> {
        let server = self.config.address();
        let mut pins = self.pins.lock();
        let pinned = pins.get(&server).map_err(state)?;
        let fingerprint = seen.fingerprint;
        let accepted = self.config.accepted;
        match tls::judge(seen, pinned, accepted, loopback) {
            CertificateTrust::Trusted if seen.valid => Ok(Standing::Trusted),
            CertificateTrust::Trusted if accepted == Some(fingerprint) => {
                pins.accept(&server, fingerprint).map_err(state)?;
                Ok(Standing::Trusted)
            }
            CertificateTrust::Trusted => match pins.is_accepted(&server).map_err(state)? {
                true => Ok(Standing::Trusted),
                false => Ok(Standing::Met(fingerprint)),
            },
            CertificateTrust::FirstOnLoopback => {
                pins.set(&server, fingerprint).map_err(state)?;
                Ok(Standing::Met(fingerprint))
            }
            CertificateTrust::Unknown => Err(ConnectError::Unknown {
                fingerprint,
                fault: seen.fault.clone().unwrap_or_default(),
            }),
            CertificateTrust::Changed { pinned } => match if_changed {
                IfChanged::Refuse => Err(ConnectError::Changed { fingerprint, pinned }),
                IfChanged::Prove => Ok(Standing::Untrusted(fingerprint)),
            },
        }
    }

    /// Follows the domain to another name, at the server's present endpoint. The pin is kept, so
    /// another certificate counts as a changed one. [`Connector::turn_back`] undoes this if there
    /// is no session under the new name.
    pub(crate) fn follow(&mut self, domain: String, endpoint: Option<Endpoint>) {
        let before = self.config.address();
        let Config { domain: old, host, .. } = &self.config;
        let at = self.at.clone();
        self.before.get_or_insert(Before { domain: old.clone(), host: host.clone(), at });
        if self.config.host == self.config.domain && !route::is_nearby(&self.config.domain) {
            self.config.host.clone_from(&domain);
        }
        self.config.domain = domain;
        self.at = endpoint.or(self.at.take());
        // If nothing can be written, the certificate counts as unknown, which is reported.
        let _ = self.pins.lock().copy(&before, &self.config.address());
    }

    /// Returns whether the domain was renamed and there has been no session under the new name.
    pub(crate) fn is_following(&self) -> bool {
        self.before.is_some()
    }

    /// Takes note of a session. Returns whether it is the first under the new name.
    pub(crate) fn has_followed(&mut self) -> bool {
        self.before.take().is_some()
    }

    /// Returns to the old name, since there will be no session under the new one. The server that
    /// answers there decides what follows.
    pub(crate) fn turn_back(&mut self) {
        if let Some(Before { domain, host, at }) = self.before.take() {
            self.config.domain = domain;
            self.config.host = host;
            self.at = at;
        }
    }

    /// Pins this certificate as one of first use, which nobody has accepted by its fingerprint.
    pub(crate) fn meet(&self, fingerprint: Fingerprint) -> Result<(), ConnectError> {
        self.pins.lock().set(&self.config.address(), fingerprint).map_err(state)
    }

    /// Remembers that this server supports SCRAM: from then on the password is never sent,
    /// whatever is offered (XEP-0474, 6).
    pub(crate) fn remember_login(&self, wire: &Wire) {
        if wire.used_scram() {
            // If nothing can be written, the next login is as safe as this one was.
            let _ = self.pins.lock().set_scram(&self.config.address());
        }
    }

    /// Returns what servers that speak SASL2 are told.
    fn sasl2(&self) -> Sasl2 {
        let Config { resource, tag, device, .. } = &self.config;
        let user_agent = UserAgent {
            // Each login says which installation it is.
            id: None,
            software: Some(SOFTWARE.to_owned()),
            device: device.clone(),
        };
        // Along with a login the server makes the resource. Where it cannot be asked to send what waits,
        // it would leave that to the archive, so the session is bound after the login.
        let along = tag.is_some() || resource.is_none();
        let wish = send_what_waits().filter(|_| along);
        let bind = wish.map(|wish| Bind { tag: tag.clone(), features: vec![wish] });
        Sasl2 { user_agent, bind }
    }

    /// Returns the address of an account of this server.
    pub(crate) fn account(&self, name: &str) -> Option<BareJid> {
        BareJid::new(Some(name), &self.config.domain).ok()
    }

    /// Takes a place in which the login of this account is remembered, or can be. If nothing can be read
    /// or written there, nothing is remembered.
    pub(crate) fn place(&self, name: &str, wanted: Wanted) -> Option<Place> {
        let (state, account) = (self.config.state.as_ref()?, self.account(name)?);
        Place::take(state, &self.config.address(), &account, wanted).ok()?
    }

    /// Returns the error for a server that did not answer in time.
    pub(crate) fn timed_out(&self) -> ConnectError {
        ConnectError::TimedOut { address: self.config.address() }
    }
}

/// Ours, docs/protocol.md: asks for what waits, though the archive shows it.
fn send_what_waits() -> Option<Stanza> {
    Stanza::parse(Element::new("send").xmlns(ns::WHOELSE_WAITING).finish()).ok()
}

fn unreachable(endpoint: &Endpoint, fault: &io::Error) -> ConnectError {
    let address = endpoint.address();
    match fault.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused { address },
        io::ErrorKind::TimedOut => ConnectError::TimedOut { address },
        _ => ConnectError::Unreachable { address, why: in_words(fault) },
    }
}

fn state(fault: io::Error) -> ConnectError {
    ConnectError::State(in_words(&fault))
}

fn bindings(seen: &Seen) -> ChannelBindings {
    ChannelBindings { exporter: seen.exporter, server_end_point: seen.end_point.clone() }
}
