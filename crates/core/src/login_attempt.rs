//! Which logins on one connection are one try (behaviour.md, Log in 4).
//!
//! A client that was told a wrong password falls back from one mechanism to the next without asking
//! anybody. For the person in front of it, that was one try.

use whoelse_stream::sasl::Mechanism;

use crate::clock::{Steady, Time};
use crate::login_throttle::Reservation;
use crate::principal::Proved;

/// What a connection is trying at present.
#[derive(Debug, Default)]
pub struct LoginAttempt {
    /// The key by which the try is counted.
    account: String,
    used: Vec<Mechanism>,
    /// The mechanisms under which a password was compared and was wrong.
    wrong: Vec<Mechanism>,
    /// The reservation; `None` once the try has failed: it is counted, and whatever follows in it
    /// costs no more.
    reservation: Option<Reservation>,
    is_counted: bool,
    /// The account that is proved by a proof of the last verifier.
    claimed: Option<Proved>,
    /// When its former passwords were changed, as far as a proof of them is recognised.
    former: Vec<Time>,
}

impl LoginAttempt {
    /// Begins another login. If it does not continue the try before it, it is a new try, and the
    /// old reservation is released.
    pub fn next(&mut self, account: &str, mechanism: Mechanism) {
        if self.account != account || self.used.contains(&mechanism) {
            *self = LoginAttempt { account: account.to_owned(), ..LoginAttempt::default() };
        }
        self.used.push(mechanism);
        self.claimed = None;
        self.former.clear();
    }

    /// Notes that a verifier was found. A proof of it stands for this account, as it is now;
    /// `former` is when its former passwords were changed.
    pub(crate) fn claim(&mut self, account: Proved, former: Vec<Time>) {
        self.claimed = Some(account);
        self.former = former;
    }

    /// Returns when a former password was changed.
    pub(crate) fn changed_at(&self, which: usize) -> Option<Time> {
        self.former.get(which).copied()
    }

    /// Returns the account that the proof stands for. `None` if there was nothing to prove.
    pub(crate) fn proved(&mut self) -> Option<Proved> {
        self.claimed.take()
    }

    /// Whether the password need not be checked under this mechanism: it was just wrong under the
    /// same one, with or without channel binding. To check it again would allow another guess for
    /// free.
    pub fn is_refuted(&self, mechanism: Mechanism) -> bool {
        self.wrong.iter().any(|wrong| wrong.unbound() == mechanism.unbound())
    }

    /// Whether the password may be checked without a further reservation.
    pub fn is_paid(&self) -> bool {
        self.is_counted || self.reservation.is_some()
    }

    /// Keeps the reservation for the try.
    pub fn keep(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
    }

    /// Releases the reservation, because nobody is asked for a proof any more. It stays the same
    /// try.
    pub fn release(&mut self) {
        self.reservation = None;
    }

    /// Gives up a reservation that has been held for too long. Returns whether there was one: then
    /// a new reservation is needed before the proof is checked.
    pub fn is_late(&mut self, now: Steady) -> bool {
        self.reservation.take_if(|reservation| reservation.is_late(now)).is_some()
    }

    /// Notes that the login failed. Returns the reservation to count, if it is not counted already.
    /// `compared`: a password was checked, and not only a malformed or misbound message.
    pub fn failed(&mut self, account: &str, compared: bool) -> Option<Reservation> {
        // A malformed password was never looked up, so it belongs to no try.
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

    /// Tries these mechanisms with a wrong password, one after the other. Returns how many tries
    /// are counted, and how many passwords were checked.
    fn fall_through(tries: &[(&str, &str)]) -> (usize, usize) {
        let (throttle, mut attempt) = (throttle(), LoginAttempt::default());
        let (mut counted, mut looked_at) = (0, 0);
        for (account, mechanism) in tries {
            let mechanism = Mechanism::from_name(mechanism).unwrap();
            attempt.next(account, mechanism);
            if !attempt.is_paid() {
                // Each login is from another network, so that nothing is blocked.
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
            // Down the list, as slixmpp does, and channel binding first, as libstrophe does.
            (all_of(&[p512, s512, p256, s256, p1, s1, "PLAIN"]), (1, 4)),
            (all_of(&[p512, p256, p1, s512, s256, s1, "PLAIN"]), (1, 4)),
            (all_of(&[s512, p512]), (1, 1)),
            (all_of(&[s256, "PLAIN"]), (1, 2)),
            // The same mechanism again is another guess.
            (all_of(&["PLAIN", "PLAIN", "PLAIN"]), (3, 3)),
            (all_of(&[s512, s256, s512, s256]), (2, 4)),
            (all_of(&[p512, s512, p512, s512]), (2, 2)),
            // Nine guesses in three tries: the first guess of the third try is the one that blocks.
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
