//! RFC 6120, 6, and XEP-0388: the accepting end of a login.
//!
//! One exchange for both profiles: they differ in how a message is wrapped ([`Profile`]), and in what
//! follows a success.
//!
//! A known and an unknown name take the same steps with the same messages, whatever the mechanism
//! (security row 14).

mod by_token;

use super::{LookupAnswer, Machine, Stage, State, Step, TRIES, Transport};
use crate::plain::Plain;
use crate::sasl::{self, Condition, Mechanism, Profile, Refusal};
use crate::sasl2::Authenticate;
use crate::scram::downgrade::Offer;
use crate::scram::message::ClientFirst;
use crate::scram::server::{Challenged, Started};
use crate::scram::{FormerKey, Hash, ScramError, Verifier};
use crate::secret::Password;
use std::mem;
use whoelse_xmpp::{BareJid, Stanza, StreamCondition, StreamError, ns};

/// What is said of a login that could not be looked at.
const NOT_NOW: &str = "the server cannot check logins right now, try again later";

/// The state of a login.
pub(super) enum Login {
    /// The mechanism is chosen; the client's first message comes next.
    Chosen(Mechanism),
    /// The driver's verifier comes next.
    LookingUp { account: BareJid, claim: Claim },
    /// The client's proof comes next.
    Challenged { account: BareJid, exchange: Challenged },
    /// What the driver derives from the password comes next.
    Deriving { account: BareJid, verifier: Verifier, genuine: bool, former: Vec<FormerKey> },
    /// The driver's answer about a peer for whom the system vouches comes next.
    External,
    /// The driver's text for the failure comes next.
    Failing,
    /// The driver's answer about a token comes next.
    Checking { account: BareJid },
    /// The driver's consent comes next; then this is sent with the success.
    Succeeding { account: BareJid, proof: Option<Vec<u8>> },
}

/// What the client has sent before its verifier is looked up.
pub(super) enum Claim {
    Scram(Hash, Started),
    Plain(Password),
}

impl Login {
    pub(super) fn waits_for_client(&self) -> bool {
        matches!(self, Login::Chosen(_) | Login::Challenged { .. })
    }
}

/// Why an element of a login is answered with `<failure/>` at once.
impl From<ScramError> for Condition {
    fn from(error: ScramError) -> Condition {
        match error {
            ScramError::Malformed | ScramError::Extension => Condition::MalformedRequest,
            ScramError::Downgrade
            | ScramError::Binding
            | ScramError::Nonce
            | ScramError::Proof
            | ScramError::Former(_)
            | ScramError::Iterations
            | ScramError::Peer => Condition::NotAuthorized,
        }
    }
}

impl Machine {
    /// The mechanisms offered in a profile on this stream in its present state. In SASL2 they are the
    /// `<mechanism/>` children of the feature itself, which XEP-0474 protects.
    pub(super) fn offered(&self, profile: Profile) -> Vec<Mechanism> {
        if profile == Profile::Sasl2 && !self.offers_sasl2() {
            return Vec::new();
        }
        let trusted = self.config.transport == Transport::Trusted;
        let mut offered = Mechanism::ALL.to_vec();
        offered.retain(|mechanism| match mechanism {
            Mechanism::Scram { hash, plus } => {
                self.config.hashes.contains(hash) && (!plus || self.offers_binding())
            }
            Mechanism::Plain => self.encrypted || trusted,
            Mechanism::External => trusted,
            // Of these there is a list of its own.
            Mechanism::HashedToken(_) => false,
        });
        offered
    }

    /// XEP-0388, 4: SASL2 is for encrypted streams alone. Whoever is at the other end of a trusted one
    /// needs no round trip less.
    pub(super) fn offers_sasl2(&self) -> bool {
        self.encrypted && self.config.sasl2.is_some()
    }

    /// Whether a login may use a mechanism: it must have been offered on this very stream; that we
    /// know it is not enough (row 17).
    fn may_use(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::HashedToken(_) => {
                self.is_by_token() && self.offered_tokens().any(|it| it == mechanism)
            }
            Mechanism::Scram { .. } | Mechanism::Plain | Mechanism::External => {
                self.offered(self.profile).contains(&mechanism)
            }
        }
    }

    /// XEP-0440: the types of channel binding offered on this stream in its present state.
    pub(super) fn bindings(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.channel.types().filter(|_| self.encrypted)
    }

    fn offers_binding(&self) -> bool {
        self.bindings().next().is_some()
    }

    /// XEP-0474: the same two lists as in the features that were sent, for the profile in use.
    pub(super) fn offer(&self) -> Offer {
        let mechanisms = self.offered(self.profile).into_iter().map(Mechanism::name);
        Offer::new(mechanisms, self.offers_binding().then(|| self.bindings()))
    }

    /// The `<authenticate/>` of the login that is under way, if it is one of SASL2, until its
    /// `<success/>` is written: what the client says of itself, and what else it asks for. Its initial
    /// response is taken out.
    pub fn authenticate(&self) -> Option<&Authenticate> {
        self.authenticate.as_deref()
    }

    pub(super) fn before_login(&mut self, element: Stanza) -> State {
        if let Some(profile) = Profile::of(element.ns()) {
            return self.begin_login(&element, profile);
        }
        match (element.name(), element.ns()) {
            ("starttls", ns::TLS) => self.refuse_tls(),
            (_, ns::SM) => self.refuse_sm(State::BeforeLogin),
            _ => self.before_login_stanza(element),
        }
    }

    fn begin_login(&mut self, element: &Stanza, profile: Profile) -> State {
        self.profile = profile;
        match (element.name(), profile) {
            ("auth", Profile::Rfc6120) => {
                let name = element.attr("mechanism").unwrap_or_default();
                match profile.data(element) {
                    Ok(data) => self.choose(&name, data),
                    Err(sasl::IncorrectEncoding) => self.refuse(Condition::IncorrectEncoding),
                }
            }
            ("authenticate", Profile::Sasl2) => match Authenticate::read(element) {
                Ok(mut request) => {
                    let data = request.initial_response.take();
                    let request = self.authenticate.insert(Box::new(request));
                    let name = request.mechanism.clone();
                    self.choose(&name, data)
                }
                Err(condition) => self.refuse(condition),
            },
            ("abort", _) => self.refuse(Condition::Aborted),
            _ => self.refuse(Condition::MalformedRequest),
        }
    }

    pub(super) fn during_login(&mut self, element: &Stanza, login: Login) -> State {
        match (element.name(), Profile::of(element.ns()).filter(|it| *it == self.profile)) {
            ("response", Some(_)) => {}
            ("abort", Some(_)) => return self.refuse(Condition::Aborted),
            (_, Some(Profile::Rfc6120)) => return self.refuse(Condition::MalformedRequest),
            // XEP-0388, 2.4: anything else ends the stream.
            _ => return self.fail(StreamCondition::NotAuthorized),
        }
        let Ok(data) = self.profile.data(element) else {
            return self.refuse(Condition::IncorrectEncoding);
        };
        let data = data.unwrap_or_default();
        match login {
            Login::Chosen(mechanism) => self.first_message(mechanism, &data),
            Login::Challenged { account, exchange } => match exchange.finish(&data) {
                Ok(proof) => self.proved(account, Some(proof)),
                Err(ScramError::Former(which)) => self.proved_former(account, which),
                Err(error) => self.not_proved(account, error == ScramError::Proof),
            },
            // While the driver owes an answer, no element is read.
            login @ (Login::LookingUp { .. }
            | Login::Deriving { .. }
            | Login::External
            | Login::Checking { .. }
            | Login::Failing
            | Login::Succeeding { .. }) => State::Login(login),
        }
    }

    /// Begins the exchange of a mechanism, perhaps with the client's first message.
    fn choose(&mut self, name: &str, data: Option<Vec<u8>>) -> State {
        let named = Mechanism::from_name(name).filter(|mechanism| self.may_use(*mechanism));
        let Some(mechanism) = named else { return self.refuse(Condition::InvalidMechanism) };
        self.mechanism = Some(mechanism);
        match data {
            Some(data) => self.first_message(mechanism, &data),
            // XEP-0484, 3.1: it is one message, which comes at once.
            None if matches!(mechanism, Mechanism::HashedToken(_)) => {
                self.refuse(Condition::MalformedRequest)
            }
            None => {
                self.pump.say(&self.profile.element("challenge", None).finish());
                State::Login(Login::Chosen(mechanism))
            }
        }
    }

    fn first_message(&mut self, mechanism: Mechanism, data: &[u8]) -> State {
        match mechanism {
            Mechanism::Scram { hash, plus } => {
                let offered = self.offers_binding();
                let started = ClientFirst::parse(data)
                    .and_then(|first| Started::new(first, plus, offered, &self.channel));
                match started {
                    Ok(started) => {
                        let (name, authzid) =
                            (started.username().to_owned(), started.authzid().map(str::to_owned));
                        let claim = Some(Claim::Scram(hash, started));
                        self.look_up(&name, authzid.as_deref(), claim, mechanism)
                    }
                    Err(error) => self.refuse(error.into()),
                }
            }
            Mechanism::Plain => match Plain::parse(data) {
                Ok(Plain { authzid, authcid, password }) => {
                    let claim = password.map(Claim::Plain);
                    self.look_up(&authcid, authzid.as_deref(), claim, mechanism)
                }
                Err(crate::plain::Malformed) => self.refuse(Condition::MalformedRequest),
            },
            Mechanism::External => self.external(data),
            Mechanism::HashedToken(binding) => self.token(binding, data),
        }
    }

    /// Asks the driver for the verifier of a name; without a valid name the login has already
    /// failed.
    fn look_up(
        &mut self,
        name: &str,
        authzid: Option<&str>,
        claim: Option<Claim>,
        mechanism: Mechanism,
    ) -> State {
        let account = match self.claimed(name, authzid) {
            Ok(account) => account,
            Err(condition) => return self.refuse(condition),
        };
        let Some(claim) = claim else { return self.not_proved(account, false) };
        self.pump.step(Step::Lookup { account: account.clone(), mechanism });
        State::Login(Login::LookingUp { account, claim })
    }

    /// Returns the address that a client claims by a name and an authzid.
    fn claimed(&self, name: &str, authzid: Option<&str>) -> Result<BareJid, Condition> {
        // A malformed name can be nobody's; to say so reveals nothing about which names exist.
        let domain = self.domain.as_deref().unwrap_or_default();
        let account = BareJid::new(Some(name), domain).map_err(|_| Condition::NotAuthorized)?;
        // The authzid must be the whole bare address of the same account (security rows 15 and 18).
        if let Some(authzid) = authzid
            && BareJid::parse(authzid).as_ref() != Ok(&account)
        {
            return Err(Condition::InvalidAuthzid);
        }
        // XEP-0388, 2.3: nor may the stream have been opened in the name of somebody else.
        if self.profile == Profile::Sasl2 && self.from.as_ref().is_some_and(|it| **it != account) {
            return Err(Condition::InvalidAuthzid);
        }
        Ok(account)
    }

    fn external(&mut self, data: &[u8]) -> State {
        let authzid = match data {
            [] => None,
            _ => {
                let parsed = std::str::from_utf8(data).ok().and_then(|t| BareJid::parse(t).ok());
                let own = parsed.filter(|wanted| Some(wanted.domain()) == self.domain.as_deref());
                let Some(authzid) = own else { return self.refuse(Condition::InvalidAuthzid) };
                Some(authzid)
            }
        };
        self.pump.step(Step::External { authzid });
        State::Login(Login::External)
    }

    /// Answers [`Step::Lookup`].
    pub fn lookup(&mut self, answer: LookupAnswer) {
        let login = self.take_login(|login| matches!(login, Login::LookingUp { .. }));
        if let Some(Login::LookingUp { account, claim }) = login {
            self.state = self.looked_up(account, claim, answer);
        }
    }

    fn looked_up(&mut self, account: BareJid, claim: Claim, answer: LookupAnswer) -> State {
        let (verifier, genuine, former) = match answer {
            LookupAnswer::Verifier(verifier) => (verifier, true, Vec::new()),
            LookupAnswer::Changed { verifier, former } => (verifier, true, former),
            LookupAnswer::Fake(verifier) => (verifier, false, Vec::new()),
            LookupAnswer::Refused(refusal) => {
                return self.refuse_login(&refusal, State::BeforeLogin);
            }
        };
        match claim {
            Claim::Scram(hash, started) => {
                // A verifier of another hash could prove nothing here.
                let genuine = genuine && verifier.hash == hash;
                let (exchange, message) = started.challenge(verifier, genuine, &self.offer());
                let challenge = self.profile.element("challenge", Some(message.as_bytes()));
                self.pump.say(&challenge.finish());
                let exchange = exchange.recognising(former);
                State::Login(Login::Challenged { account, exchange })
            }
            Claim::Plain(password) => {
                self.pump.step(Step::Derive { password, verifier: verifier.clone() });
                State::Login(Login::Deriving { account, verifier, genuine, former })
            }
        }
    }

    /// Whether the proof of a challenged client is still missing.
    pub fn awaits_proof(&self) -> bool {
        matches!(self.state, State::Login(Login::Challenged { .. }))
    }

    /// Answers [`Step::Derive`].
    pub fn derived(&mut self, derived: &Verifier) {
        let login = self.take_login(|login| matches!(login, Login::Deriving { .. }));
        if let Some(Login::Deriving { account, verifier, genuine, former }) = login {
            // Not `&&`: a fake verifier must cost the same time.
            self.state = if verifier.is_same(derived) & genuine {
                self.proved(account, None)
            } else if let Some(which) = former.iter().position(|former| former.is_of(derived)) {
                self.proved_former(account, which)
            } else {
                self.not_proved(account, true)
            };
        }
    }

    fn proved(&mut self, account: BareJid, proof: Option<String>) -> State {
        let proof = proof.map(String::into_bytes);
        self.pump.step(Step::AuthSucceeded);
        State::Login(Login::Succeeding { account, proof })
    }

    fn not_proved(&mut self, account: BareJid, compared: bool) -> State {
        self.pump.step(Step::AuthFailed { account, compared });
        State::Login(Login::Failing)
    }

    fn proved_former(&mut self, account: BareJid, which: usize) -> State {
        self.pump.step(Step::FormerPassword { account, which });
        State::Login(Login::Failing)
    }

    /// Answers [`Step::AuthFailed`] and [`Step::FormerPassword`], and [`Step::Token`] with a refusal.
    pub fn failed(&mut self, refusal: &Refusal) {
        let fits = |login: &Login| matches!(login, Login::Failing | Login::Checking { .. });
        if self.take_login(fits).is_some() {
            self.state = self.refuse_login(refusal, State::BeforeLogin);
        }
    }

    /// Answers [`Step::AuthSucceeded`] with consent: tells the client, with our own proof. In SASL2 what
    /// the client asks for along with its login comes first.
    pub fn succeeded(&mut self) {
        let login = self.take_login(|login| matches!(login, Login::Succeeding { .. }));
        if let Some(Login::Succeeding { account, proof }) = login {
            self.succeed(account, proof);
        }
    }

    /// Answers [`Step::External`] with consent: the peer has this address, an account's or the
    /// domain's own.
    pub fn succeeded_as(&mut self, address: BareJid) {
        if self.take_login(|login| matches!(login, Login::External)).is_some() {
            self.succeed(address, None);
        }
    }

    /// Answers [`Step::AuthSucceeded`], [`Step::External`] and [`Step::BindInline`] with a refusal.
    pub fn refused(&mut self, refusal: &Refusal) {
        let fits = |login: &Login| matches!(login, Login::Succeeding { .. } | Login::External);
        if self.take_login(fits).is_some() || matches!(self.state, State::Inline(_)) {
            self.address = None;
            self.state = self.refuse_login(refusal, State::BeforeLogin);
        }
    }

    fn succeed(&mut self, address: BareJid, proof: Option<Vec<u8>>) {
        self.address = Some(address);
        match self.profile {
            Profile::Rfc6120 => {
                self.pump.say(&self.profile.element("success", proof.as_deref()).finish());
                self.restart(Stage::Bind);
            }
            Profile::Sasl2 => self.state = self.begin_inline(proof),
        }
    }

    /// Takes the login out, if its state is one that an answer fits.
    fn take_login(&mut self, fits: fn(&Login) -> bool) -> Option<Login> {
        if !matches!(&self.state, State::Login(login) if fits(login)) {
            return None;
        }
        match mem::replace(&mut self.state, State::BeforeLogin) {
            State::Login(login) => Some(login),
            _ => None,
        }
    }

    fn refuse(&mut self, condition: Condition) -> State {
        self.refuse_login(&Refusal::new(condition), State::BeforeLogin)
    }

    /// Sends `<failure/>`; the stream continues with `back`, or ends.
    ///
    /// Clients of SASL2 may throw a token away at any `<failure/>` (XEP-0484, 4.1). So one that says
    /// nothing about the credentials is an error of the stream there.
    pub(super) fn refuse_login(&mut self, refusal: &Refusal, back: State) -> State {
        let ended_by = match refusal.is_crowd {
            true => StreamCondition::ResourceConstraint,
            false => StreamCondition::PolicyViolation,
        };
        if self.profile == Profile::Sasl2 && refusal.condition == Condition::TemporaryAuthFailure {
            let error = StreamError::new(match refusal.close {
                true => ended_by,
                false => StreamCondition::InternalServerError,
            });
            let text = refusal.text.clone().unwrap_or_else(|| NOT_NOW.to_owned());
            self.end(error.with_text(text));
            return State::Over;
        }
        self.pump.say(&refusal.encode(self.profile));
        self.mechanism = None;
        self.authenticate = None;
        self.logins = self.logins.saturating_add(1);
        if refusal.close || self.logins >= TRIES {
            return self.fail(ended_by);
        }
        back
    }
}
