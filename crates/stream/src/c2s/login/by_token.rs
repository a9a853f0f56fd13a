//! XEP-0484: the accepting end of a login by a token.
//!
//! It is one message each way, so there is one question to the driver: whether the token is right. It
//! takes the same step for a known and an unknown name.

use super::{Login, Machine, State, Step};
use crate::fast::{self, Fast, TokenLogin};
use crate::ht::{Binding, Initiator};
use crate::sasl::{Condition, Mechanism};
use crate::sasl2::Inline;

impl Machine {
    /// What is offered to be asked for along with a login, on this stream in its present state.
    pub(in crate::c2s) fn offered_inline(&self) -> Option<Inline> {
        let inline = self.allowed_inline()?;
        let tokens = self.offered_tokens().map(|mechanism| mechanism.name().to_owned());
        Some(Inline { fast: tokens.collect(), ..inline.clone() })
    }

    fn allowed_inline(&self) -> Option<&Inline> {
        self.config.sasl2.as_ref().filter(|_| self.offers_sasl2())
    }

    /// The mechanisms of tokens that are offered on this stream in its present state: those whose
    /// binding the channel has.
    pub(super) fn offered_tokens(&self) -> impl Iterator<Item = Mechanism> + '_ {
        let inline = self.allowed_inline();
        Mechanism::OF_TOKENS.into_iter().filter(move |mechanism| match mechanism {
            Mechanism::HashedToken(binding) => {
                inline.is_some_and(|it| it.gives(*mechanism))
                    && binding.data(&self.channel).is_some()
            }
            Mechanism::Scram { .. } | Mechanism::Plain | Mechanism::External => false,
        })
    }

    /// Whether the client has said that its login is by a token.
    pub(super) fn is_by_token(&self) -> bool {
        let request = self.authenticate.as_deref();
        request.is_some_and(|request| Fast::read(request) != Ok(None))
    }

    /// Returns the mechanism for which the client asks for a token, if it was offered here.
    pub fn requested_token(&self) -> Option<Mechanism> {
        let wanted = fast::requested(self.authenticate.as_deref()?)?;
        self.offered_tokens().find(|mechanism| *mechanism == wanted)
    }

    /// Reads the client's one message, and asks the driver.
    pub(super) fn token(&mut self, binding: Binding, message: &[u8]) -> State {
        let mechanism = Mechanism::HashedToken(binding);
        let (Some(request), Some(channel)) =
            (self.authenticate.as_deref(), binding.data(&self.channel))
        else {
            return self.refuse(Condition::InvalidMechanism);
        };
        let device = request.user_agent.as_ref().and_then(|agent| agent.id);
        let (Ok(Some(fast)), Some(device), Ok(Initiator { name, proof })) =
            (Fast::read(request), device, Initiator::parse(message, channel))
        else {
            return self.refuse(Condition::MalformedRequest);
        };
        match self.claimed(&name, None) {
            Ok(account) => {
                let login = TokenLogin { account: account.clone(), device, mechanism, proof, fast };
                self.pump.step(Step::Token(Box::new(login)));
                State::Login(Login::Checking { account })
            }
            Err(condition) => self.refuse(condition),
        }
    }

    /// Answers [`Step::Token`] with consent; `answer` shows the client that the server has the token,
    /// too. What the client asks for along with its login comes next, as after
    /// [`Machine::succeeded`].
    pub fn token_accepted(&mut self, answer: Vec<u8>) {
        let login = self.take_login(|login| matches!(login, Login::Checking { .. }));
        if let Some(Login::Checking { account }) = login {
            self.succeed(account, Some(answer));
        }
    }
}
