//! RFC 6120, 6, the connecting end of a login: it uses the best mechanism, and does not believe a
//! success without a proof.

use super::{Denied, Machine, Reason, Stage, State, Step, Trust};
use crate::binding::ChannelBindings;
use crate::features::Features;
use crate::plain;
use crate::sasl::{self, Mechanism, Profile, Refusal};
use crate::scram::ScramError;
use crate::scram::client::{Binding, Proved, Started};
use crate::secret::Password;
use whoelse_xmpp::{Stanza, ns};

/// The state of a login.
pub(super) enum Login {
    /// SCRAM: the server's salt and nonce come next.
    Started { exchange: Started, mechanism: Mechanism },
    /// SCRAM: the server's proof comes next.
    Responded { exchange: Proved, mechanism: Mechanism },
    /// Only the server's verdict comes next.
    Told { mechanism: Mechanism },
}

/// Returns the best mechanism on offer, and what it says about channel binding (XEP-0440, 3).
///
/// PLAIN is used only over a channel that may carry a password.
pub fn choose(
    features: &Features,
    channel: &ChannelBindings,
    plain: Plain,
) -> Result<(Mechanism, Binding), Denied> {
    let offered = |mechanism: &&Mechanism| features.offers(**mechanism);
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
    match (features.offers(Mechanism::Plain), plain) {
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
        let (mechanism, binding) = choose(&self.features, &self.channel, plain)?;
        let (data, login) = match mechanism {
            Mechanism::Scram { hash, .. } => {
                let offer = self.features.offer();
                let (exchange, message) = Started::new(hash, localpart, password, &binding, offer)
                    .map_err(|_| Denied::BadName)?;
                (message.into_bytes(), Login::Started { exchange, mechanism })
            }
            Mechanism::Plain | Mechanism::External => {
                if localpart.is_empty() || localpart.contains('\0') {
                    return Err(Denied::BadName);
                }
                (plain::write(localpart, &password), Login::Told { mechanism })
            }
            // A password is none.
            Mechanism::HashedToken(_) => return Err(Denied::NoMechanism),
        };
        self.auth(mechanism, &data);
        self.state = State::Login(login);
        Ok(())
    }

    /// Logs in as the user whom the system names, to act as this account or as the one that the
    /// server chooses.
    pub fn login_external(&mut self, authzid: Option<&str>) -> Result<(), Denied> {
        if !self.is_ready() {
            return Err(Denied::NotReady);
        }
        if !self.features.offers(Mechanism::External) {
            return Err(Denied::NoMechanism);
        }
        self.auth(Mechanism::External, authzid.unwrap_or_default().as_bytes());
        self.state = State::Login(Login::Told { mechanism: Mechanism::External });
        Ok(())
    }

    fn auth(&mut self, mechanism: Mechanism, data: &[u8]) {
        let auth = Profile::Rfc6120.element("auth", None).attr("mechanism", mechanism.name());
        self.pump.say(&sasl::with_data(auth, Some(data)).finish());
    }

    pub(super) fn during_login(&mut self, element: &Stanza, login: Login) -> State {
        if element.ns() != ns::SASL {
            return self.give_up(Reason::Unexpected);
        }
        if element.name() == "failure" {
            self.pump.step(Step::AuthFailed(Refusal::read(element)));
            return State::Ready;
        }
        let Ok(data) = Profile::Rfc6120.data(element) else {
            return self.give_up(Reason::Scram(ScramError::Malformed));
        };
        let data = data.unwrap_or_default();
        match (element.name(), login) {
            ("challenge", Login::Started { exchange, mechanism }) => {
                match exchange.respond(&data) {
                    Ok((exchange, message)) => {
                        self.respond(message.as_bytes());
                        State::Login(Login::Responded { exchange, mechanism })
                    }
                    Err(error) => self.give_up(Reason::Scram(error)),
                }
            }
            ("challenge", Login::Responded { exchange, mechanism }) => match exchange.verify(&data)
            {
                // RFC 6120, 6.3.10: a server may send its proof before it confirms the login.
                Ok(()) => {
                    self.respond(b"");
                    State::Login(Login::Told { mechanism })
                }
                Err(error) => self.give_up(Reason::Scram(error)),
            },
            ("success", Login::Responded { exchange, mechanism }) => match exchange.verify(&data) {
                Ok(()) => self.logged_in(mechanism),
                Err(error) => self.give_up(Reason::Scram(error)),
            },
            ("success", Login::Told { mechanism }) => self.logged_in(mechanism),
            ("success", Login::Started { .. }) => self.give_up(Reason::Unproved),
            _ => self.give_up(Reason::Unexpected),
        }
    }

    fn respond(&mut self, data: &[u8]) {
        let data = (!data.is_empty()).then_some(data);
        self.pump.say(&Profile::Rfc6120.element("response", data).finish());
    }

    fn logged_in(&mut self, mechanism: Mechanism) -> State {
        self.mechanism = Some(mechanism);
        self.start(Stage::Bind);
        State::Header(Stage::Bind)
    }
}
