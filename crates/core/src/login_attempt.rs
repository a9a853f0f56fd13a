//! Which logins on one connection are one try (behaviour.md, Log in 4).
//!
//! A client that was told a wrong password falls from one mechanism to the next, without asking
//! anybody: to the person before it that was one try.

use whoelse_stream::sasl::Mechanism;

use crate::clock::Steady;
use crate::login_throttle::Reservation;
use crate::principal::Proved;

/// What a connection tries at present.
#[derive(Debug, Default)]
pub struct LoginAttempt {
    /// By what the try is counted.
    account: String,
    used: Vec<Mechanism>,
    /// Those under which a password was compared and was wrong.
    wrong: Vec<Mechanism>,
    /// `None` once it has failed: it is counted, and whatever follows in it costs no more.
    reservation: Option<Reservation>,
    is_counted: bool,
    /// Who it is whoever proves the verifier that was looked up last.
    claimed: Option<Proved>,
}

impl LoginAttempt {
    /// Another login begins. What does not go on with the try before it is a new one, and what was
    /// reserved for that one is free again.
    pub fn next(&mut self, account: &str, mechanism: Mechanism) {
        if self.account != account || self.used.contains(&mechanism) {
            *self = LoginAttempt { account: account.to_owned(), ..LoginAttempt::default() };
        }
        self.used.push(mechanism);
        self.claimed = None;
    }

    /// A verifier was found. Whoever proves it is this account, as it is now.
    pub(crate) fn claim(&mut self, account: Proved) {
        self.claimed = Some(account);
    }

    /// It was proved: who that is. `None` if there was nothing to prove.
    pub(crate) fn proved(&mut self) -> Option<Proved> {
        self.claimed.take()
    }

    /// Whether the password need not be looked at under this mechanism: under the same one with
    /// or without channel binding it was just wrong. To look would give away a guess.
    pub fn is_refuted(&self, mechanism: Mechanism) -> bool {
        self.wrong.iter().any(|wrong| wrong.unbound() == mechanism.unbound())
    }

    /// Whether it may be looked at without a further reservation.
    pub fn is_paid(&self) -> bool {
        self.is_counted || self.reservation.is_some()
    }

    /// Keeps what was reserved for it.
    pub fn keep(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
    }

    /// Nobody is asked for a proof any more: what was reserved for it is free again. It stays the
    /// same try.
    pub fn release(&mut self) {
        self.reservation = None;
    }

    /// Gives up a reservation that has been held for too long. Returns whether there was one: then
    /// something must be reserved anew before the proof is looked at.
    pub fn is_late(&mut self, now: Steady) -> bool {
        self.reservation.take_if(|reservation| reservation.is_late(now)).is_some()
    }

    /// The login failed. Returns what is to be counted for it, if it is not counted already.
    /// `compared`: a password was looked at, and not only a malformed or misbound message.
    pub fn failed(&mut self, account: &str, compared: bool) -> Option<Reservation> {
        // A password that is none was never looked up, so it belongs to no try.
        if self.account != account {
            return None;
        }
        if compared {
            self.wrong.extend(self.used.last());
        }
        self.is_counted = true;
        self.reservation.take()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Steady;
    use crate::login_throttle::testing::{reserve, throttle};

    /// Tries these with a wrong password, one after the other: how many are counted, and how many
    /// passwords were looked at.
    fn fall_through(tries: &[(&str, &str)]) -> (usize, usize) {
        let (throttle, mut attempt) = (throttle(), LoginAttempt::default());
        let (mut counted, mut looked_at) = (0, 0);
        for (account, mechanism) in tries {
            let mechanism = Mechanism::from_name(mechanism).unwrap();
            attempt.next(account, mechanism);
            if !attempt.is_paid() {
                // Each elsewhere, so that nothing is blocked.
                attempt.keep(reserve(&throttle, account, counted as u8, Steady(0)));
            }
            looked_at += usize::from(!attempt.is_refuted(mechanism));
            counted += usize::from(attempt.failed(account, true).is_some());
        }
        (counted, looked_at)
    }

    #[test]
    fn different_mechanisms_that_follow_each_other_are_one_try() {
        let (p512, s512, s256) = ("SCRAM-SHA-512-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-256");
        let (p256, s1, p1) = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS");
        let all_of = |names: &[&'static str]| -> Vec<(&str, &str)> {
            names.iter().map(|name| ("bob", *name)).collect()
        };
        for (tries, wanted) in [
            // Down the list, as slixmpp goes, and binding first, as libstrophe does.
            (all_of(&[p512, s512, p256, s256, p1, s1, "PLAIN"]), (1, 4)),
            (all_of(&[p512, p256, p1, s512, s256, s1, "PLAIN"]), (1, 4)),
            (all_of(&[s512, p512]), (1, 1)),
            (all_of(&[s256, "PLAIN"]), (1, 2)),
            // The same one again is another guess.
            (all_of(&["PLAIN", "PLAIN", "PLAIN"]), (3, 3)),
            (all_of(&[s512, s256, s512, s256]), (2, 4)),
            (all_of(&[p512, s512, p512, s512]), (2, 2)),
            // Nine guesses in three tries: the first of the third is the one that blocks.
            (all_of(&[s512, s256, s1, "PLAIN", s512, s256, s1, "PLAIN", s512]), (3, 9)),
            // Another name is another try.
            (vec![("bob", s512), ("eve", s256), ("bob", s1)], (3, 3)),
        ] {
            assert_eq!(fall_through(&tries), wanted, "{tries:?}");
        }
    }

    #[test]
    fn what_was_not_compared_is_looked_at_under_the_other_form() {
        let bound = Mechanism::from_name("SCRAM-SHA-256-PLUS").unwrap();
        let mut attempt = LoginAttempt::default();
        attempt.next("bob", bound);
        attempt.keep(reserve(&throttle(), "bob", 1, Steady(0)));

        assert!(attempt.failed("bob", false).is_some());

        attempt.next("bob", bound.unbound());
        assert!(attempt.is_paid() && !attempt.is_refuted(bound.unbound()));
    }

    #[test]
    fn what_goes_on_with_a_try_is_not_reserved_twice_unless_it_was_released() {
        let mut attempt = LoginAttempt::default();
        attempt.next("bob", Mechanism::Plain);
        attempt.keep(reserve(&throttle(), "bob", 1, Steady(0)));

        attempt.next("bob", Mechanism::from_name("SCRAM-SHA-1").unwrap());
        assert!(attempt.is_paid());
        attempt.release();
        assert!(!attempt.is_paid(), "nobody is asked for a proof");
        attempt.keep(reserve(&throttle(), "bob", 1, Steady(0)));
        attempt.next("bob", Mechanism::Plain);
        assert!(!attempt.is_paid(), "the same one again is a new try");
        assert!(attempt.failed("eve", true).is_none());
    }
}
