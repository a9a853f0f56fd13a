//! RFC 6120, 6, and XEP-0388, the connecting end of a login: it uses the best mechanism, and does not
//! believe a success without a proof.
//!
//! As at the accepting end, it is one exchange in two profiles. They differ in how a message is wrapped,
//! and in what follows a success ([`super::inline`]).

use super::{Denied, Machine, Reason, Stage, State, Step, Trust};
use crate::binding::ChannelBindings;
use crate::fast::Fast;
use crate::features::Features;
use crate::ht::{self, Token};
use crate::plain;
use crate::sasl::{self, Mechanism, Profile, Refusal};
use crate::sasl2::Success;
use crate::scram::ScramError;
use crate::scram::client::{Binding, Proved, Started};
use crate::secret::Password;
use crate::transport::Transport;
use whoelse_xmpp::Stanza;

/// A login under way.
pub(super) struct Login {
    pub(super) profile: Profile,
    pub(super) mechanism: Mechanism,
    pub(super) exchange: Exchange,
}

/// What comes next in it.
pub(super) enum Exchange {
    /// SCRAM: the server's salt and nonce.
    Started(Started),
    /// SCRAM: the server's proof.
    Responded(Proved),
    /// A token: the server's proof that it has the same one, over the same channel.
    Token { token: Token, channel: Vec<u8> },
    /// Only the server's verdict.
    Told,
}

/// Returns the best mechanism on offer in a profile, and what it says about channel binding (XEP-0440,
/// 3).
///
/// PLAIN is used only over a channel that may carry a password.
pub fn choose(
    features: &Features,
    profile: Profile,
    channel: &ChannelBindings,
    plain: Plain,
) -> Result<(Mechanism, Binding), Denied> {
    let offered = |mechanism: &&Mechanism| features.offers(**mechanism, profile);
    let bound = Mechanism::ALL.iter().filter(|mechanism| mechanism.is_bound()).find(offered);
    let listed = features.channel_bindings.as_deref();
    let lists = |type_: &str| listed.is_none_or(|types| types.iter().any(|t| t == type_));

    let binding = match bound {
        _ if channel.is_empty() => Binding::None,
        Some(bound) => {
            let common = channel.types().find(|type_| lists(type_));
            if let Some((type_, data)) = common.and_then(|t| Some((t, channel.get(t)?))) {
                return Ok((*bound, Binding::Bound(type_, data.to_vec())));
            }
            // Rule 6 of XEP-0440, as changed by XEP-0474: an attacker may have removed our type
            // from the list.
            Binding::NoneInCommon
        }
        // Rule 5: the server lists types without a mechanism that uses them.
        None if listed.is_some() => return Err(Denied::Downgrade),
        None => Binding::NotOffered,
    };

    let scram = |mechanism: &&Mechanism| matches!(mechanism, Mechanism::Scram { plus: false, .. });
    if let Some(best) = Mechanism::ALL.iter().filter(scram).find(offered) {
        return Ok((*best, binding));
    }
    match (features.offers(Mechanism::Plain, profile), plain) {
        (false, _) => Err(Denied::NoMechanism),
        // With PLAIN, nobody signs the list of mechanisms.
        (true, _) if binding == Binding::NoneInCommon => Err(Denied::Downgrade),
        (true, Plain::Allowed) => Ok((Mechanism::Plain, binding)),
        (true, Plain::Untrusted) => Err(Denied::Untrusted),
        (true, Plain::Pinned) => Err(Denied::OnlyPlain),
    }
}

/// Whether the password itself may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// It may, if there is nothing better.
    Allowed,
    /// It may not: the channel is not trusted with it.
    Untrusted,
    /// It may not: this server has offered better before (XEP-0474, 6).
    Pinned,
}

impl Machine {
    /// Logs in with the best mechanism on offer. The answer is [`Step::Open`] at the end, or
    /// [`Step::AuthFailed`], or [`Step::GaveUp`].
    ///
    /// With SCRAM, the key is derived inside a later [`Machine::poll`], which takes milliseconds.
    pub fn login(&mut self, localpart: &str, password: Password) -> Result<(), Denied> {
        if !self.is_ready() {
            return Err(Denied::NotReady);
        }
        let plain = match (self.config.never_plain, self.trust) {
            (true, _) => Plain::Pinned,
            (false, Trust::Whole) => Plain::Allowed,
            (false, Trust::Registration | Trust::None) => Plain::Untrusted,
        };
        let (profile, mechanism, binding) = self.choose(plain)?;
        let (data, exchange) = match mechanism {
            Mechanism::Scram { hash, .. } => {
                let offer = self.features.offer(profile);
                let (exchange, message) = Started::new(hash, localpart, password, &binding, offer)
                    .map_err(|_| Denied::BadName)?;
                (message.into_bytes(), Exchange::Started(exchange))
            }
            Mechanism::Plain | Mechanism::External => {
                if localpart.is_empty() || localpart.contains('\0') {
                    return Err(Denied::BadName);
                }
                (plain::write(localpart, &password), Exchange::Told)
            }
            // A password is none.
            Mechanism::HashedToken(_) => return Err(Denied::NoMechanism),
        };
        self.begin(Login { profile, mechanism, exchange }, &data, None);
        Ok(())
    }

    /// Logs in as the user whom the system names, to act as this account or as the one that the
    /// server chooses.
    pub fn login_external(&mut self, authzid: Option<&str>) -> Result<(), Denied> {
        if !self.is_ready() {
            return Err(Denied::NotReady);
        }
        let (profile, mechanism) = (Profile::Rfc6120, Mechanism::External);
        if !self.features.offers(mechanism, profile) {
            return Err(Denied::NoMechanism);
        }
        let login = Login { profile, mechanism, exchange: Exchange::Told };
        self.begin(login, authzid.unwrap_or_default().as_bytes(), None);
        Ok(())
    }

    /// Chooses a profile and its best mechanism: SASL2 if both do as well.
    fn choose(&self, plain: Plain) -> Result<(Profile, Mechanism, Binding), Denied> {
        let choose = |profile| {
            let chosen = choose(&self.features, profile, &self.channel, plain);
            chosen.map(|(mechanism, binding)| (profile, mechanism, binding))
        };
        let older = choose(Profile::Rfc6120);
        if !self.speaks_sasl2() {
            return older;
        }
        match (choose(Profile::Sasl2), older) {
            (Err(Denied::NoMechanism), older) => older,
            // It has nothing but PLAIN. A list that is shorter than the other one was perhaps cut.
            (
                Ok((_, Mechanism::Plain, _)) | Err(Denied::Untrusted | Denied::OnlyPlain),
                Ok(older),
            ) => Ok(older),
            (newer, _) => newer,
        }
    }

    /// Whether SASL2 is wanted and offered. XEP-0388, 4: over TLS alone.
    pub(super) fn speaks_sasl2(&self) -> bool {
        let is_encrypted = self.config.transport != Transport::Trusted;
        is_encrypted && self.config.sasl2.is_some() && self.features.sasl2.is_some()
    }

    pub(super) fn begin(&mut self, login: Login, data: &[u8], fast: Option<Fast>) {
        match login.profile {
            Profile::Rfc6120 => {
                let auth = login.profile.element("auth", None);
                let auth = auth.attr("mechanism", login.mechanism.name());
                self.pump.say(&sasl::with_data(auth, Some(data)).finish());
            }
            Profile::Sasl2 => self.authenticate(login.mechanism, data, fast),
        }
        self.state = State::Login(login);
    }

    pub(super) fn during_login(&mut self, element: &Stanza, login: Login) -> State {
        let Login { profile, mechanism, exchange } = login;
        if Profile::of(element.ns()) != Some(profile) {
            return self.give_up(Reason::Unexpected);
        }
        if element.name() == "failure" {
            self.pump.step(Step::AuthFailed(Refusal::read(element)));
            return State::Ready;
        }
        let Ok(message) = Message::read(element, profile) else {
            return self.give_up(Reason::Scram(ScramError::Malformed));
        };
        let data = message.data;
        match (element.name(), exchange) {
            ("challenge", Exchange::Started(exchange)) => match exchange.respond(&data) {
                Ok((exchange, response)) => {
                    self.respond(profile, response.as_bytes());
                    let exchange = Exchange::Responded(exchange);
                    State::Login(Login { profile, mechanism, exchange })
                }
                Err(error) => self.give_up(Reason::Scram(error)),
            },
            ("challenge", Exchange::Responded(exchange)) => match exchange.verify(&data) {
                // RFC 6120, 6.3.10: a server may send its proof before it confirms the login.
                Ok(()) => {
                    self.respond(profile, b"");
                    State::Login(Login { profile, mechanism, exchange: Exchange::Told })
                }
                Err(error) => self.give_up(Reason::Scram(error)),
            },
            ("success", Exchange::Responded(exchange)) => match exchange.verify(&data) {
                Ok(()) => self.logged_in(mechanism, message.success),
                Err(error) => self.give_up(Reason::Scram(error)),
            },
            ("success", Exchange::Token { token, channel }) => {
                match ht::is_responder(&data, &token, &channel) {
                    true => self.logged_in(mechanism, message.success),
                    false => self.give_up(Reason::Unproved),
                }
            }
            ("success", Exchange::Told) => self.logged_in(mechanism, message.success),
            ("success", Exchange::Started(_)) => self.give_up(Reason::Unproved),
            _ => self.give_up(Reason::Unexpected),
        }
    }

    fn respond(&mut self, profile: Profile, data: &[u8]) {
        let data = (!data.is_empty()).then_some(data);
        self.pump.say(&profile.element("response", data).finish());
    }

    fn logged_in(&mut self, mechanism: Mechanism, success: Option<Success>) -> State {
        self.mechanism = Some(mechanism);
        match success {
            Some(success) => {
                self.keep_token(&success, mechanism);
                self.succeeded_inline(success)
            }
            None => {
                self.start(Stage::Bind);
                State::Header(Stage::Bind)
            }
        }
    }
}

/// What the server says in a login.
struct Message {
    /// The mechanism's message.
    data: Vec<u8>,
    /// What else a success of SASL2 says.
    success: Option<Success>,
}

impl Message {
    fn read(element: &Stanza, profile: Profile) -> Result<Message, Malformed> {
        if (profile, element.name()) != (Profile::Sasl2, "success") {
            let data = profile.data(element).map_err(|_| Malformed)?;
            return Ok(Message { data: data.unwrap_or_default(), success: None });
        }
        let mut success = Success::read(element).ok_or(Malformed)?;
        let data = success.additional_data.take().unwrap_or_default();
        Ok(Message { data, success: Some(success) })
    }
}

/// The error that a message cannot be read.
struct Malformed;
