//! XEP-0484, the connecting end: logs in by a token, takes one back, and asks for one along with any
//! login by SASL2.

use super::login::{Exchange, Login};
use super::{Denied, Machine, Trust};
use crate::fast::{self, Fast, Given};
use crate::ht::{self, Binding, Token};
use crate::sasl::{Mechanism, Profile};
use crate::sasl2::Success;
use whoelse_xmpp::Stanza;

/// A token as a client keeps it.
#[derive(Debug, Clone)]
pub struct HeldToken {
    /// The token.
    pub token: Token,
    /// The mechanism for which it was given; it is no good under another one.
    pub mechanism: Mechanism,
}

impl Machine {
    /// Whether a login can be remembered by a token: the server gives them, and the channel may carry
    /// one.
    pub fn gives_tokens(&self) -> bool {
        self.best_for_tokens().is_some()
    }

    /// Says whether logins ask for a token from now on. It is given along with their success
    /// ([`Machine::take_token`]).
    pub fn want_token(&mut self, wanted: bool) {
        self.wants_token = wanted;
    }

    /// Takes the token that the login was given, in place of the one before.
    pub fn take_token(&mut self) -> Option<HeldToken> {
        self.given.take()
    }

    /// Logs in by a token. The answer is that of [`Machine::login`].
    pub fn login_by_token(&mut self, localpart: &str, held: &HeldToken) -> Result<(), Denied> {
        self.use_token(localpart, held, Fast::default())
    }

    /// Takes a token back, by a login with it that begins no session. The answer is
    /// [`Step::Proved`](super::Step::Proved), and only the end of the stream is left to do.
    pub fn revoke_token(&mut self, localpart: &str, held: &HeldToken) -> Result<(), Denied> {
        self.wants_session = false;
        self.use_token(localpart, held, Fast { invalidate: true, ..Fast::default() })
    }

    fn use_token(&mut self, localpart: &str, held: &HeldToken, fast: Fast) -> Result<(), Denied> {
        if !self.is_ready() {
            return Err(Denied::NotReady);
        }
        if localpart.is_empty() || localpart.contains('\0') {
            return Err(Denied::BadName);
        }
        let HeldToken { token, mechanism } = held;
        if !self.offered_for_tokens().any(|offered| offered == *mechanism) {
            return Err(Denied::NoMechanism);
        }
        let Some(channel) = self.token_data(*mechanism).map(<[u8]>::to_vec) else {
            return Err(Denied::Untrusted);
        };
        let message = ht::initiate(localpart, token, &channel);
        let exchange = Exchange::Token { token: token.clone(), channel };
        let login = Login { profile: Profile::Sasl2, mechanism: *mechanism, exchange };
        self.begin(login, &message, Some(fast));
        Ok(())
    }

    /// Returns what a login by SASL2 says of tokens.
    pub(super) fn about_tokens(&self, fast: Option<Fast>) -> Vec<Stanza> {
        let fast = fast.map(|fast| fast.encode());
        let wanted = self.best_for_tokens().filter(|_| self.wants_token && self.wants_session);
        let request = wanted.map(fast::request);
        fast.into_iter().chain(request).filter_map(|it| Stanza::parse(it).ok()).collect()
    }

    /// Keeps the token that comes with a success.
    pub(super) fn keep_token(&mut self, success: &Success, mechanism: Mechanism) {
        let is_for = match mechanism {
            // XEP-0484, 3.5: the next one, unasked.
            Mechanism::HashedToken(_) if !self.wants_token => Some(mechanism),
            _ => self.best_for_tokens(),
        };
        let given = Given::read(success).map(|given| given.token);
        self.given = given.zip(is_for).map(|(token, mechanism)| HeldToken { token, mechanism });
    }

    /// Returns the mechanism for which a token is asked for.
    fn best_for_tokens(&self) -> Option<Mechanism> {
        // Only over a channel that is trusted, if perhaps at first sight: the token itself is told.
        let is_trusted = self.trust != Trust::None;
        self.offered_for_tokens().find(|it| is_trusted && self.token_data(*it).is_some())
    }

    /// The mechanisms of tokens that the server offers, the strongest first.
    fn offered_for_tokens(&self) -> impl Iterator<Item = Mechanism> + '_ {
        let offered = self.offered_inline();
        Mechanism::OF_TOKENS.into_iter().filter(move |it| offered.is_some_and(|o| o.gives(*it)))
    }

    /// Returns the data to which a mechanism is bound; `None` if the channel has none, or if the
    /// mechanism is not to be used over it: without a binding, whoever sits in between could use what
    /// we send.
    fn token_data(&self, mechanism: Mechanism) -> Option<&[u8]> {
        let Mechanism::HashedToken(binding) = mechanism else { return None };
        let is_safe = match self.trust {
            Trust::Whole => true,
            Trust::Registration => binding != Binding::None,
            Trust::None => binding == Binding::Exporter,
        };
        binding.data(&self.channel).filter(|_| is_safe)
    }
}
