//! Where accounts pay for what their sessions do, into the [ledger](crate::ledger)
//! (docs/design/ledger.md; security row 50): for what a connection reads, for what goes to everybody,
//! and for logins.

pub mod cost;

use std::time::Duration;

use whoelse_xmpp::Stanza;

use crate::account::Account;
use crate::clock::Steady;
use crate::ledger::{Payer, What};
use crate::network::Network;
use crate::node::Node;
use crate::session::Session;

/// How long a login waits at most until it is covered. A client still waits for its answer then, and
/// the connection is still allowed to be half open.
const LONGEST: Duration = Duration::from_secs(10);

impl Node {
    /// Returns who pays for the sessions of an account that are connected from this network.
    pub(crate) fn payer(&self, account: &Account, network: Network) -> Payer {
        let site =
            (!network.is_loopback() && !self.is_own_network(network)).then(|| network.site());
        let (now, limits) = (self.clock.steady(), &self.settings().limits);
        self.ledger.payer((account.id, account.new_until()), site, limits.bytes_per_second, now)
    }

    /// Pays for what a connection has read and for what its stanzas count as ([`cost`]). Returns
    /// until when nothing more may be read, if that is not now.
    pub fn pay_for_work(&self, payer: &Payer, bytes: u64) -> Option<Steady> {
        self.pay(payer, (What::Work, bytes as f64), "work")
    }

    /// Pays for work that a stanza of a session makes beyond its own bytes. Returns until when that is not
    /// covered, if it is not now.
    pub fn pay_for_work_of(&self, session: &Session, bytes: u64) -> Option<Steady> {
        self.pay_for_work(&session.payer()?, bytes)
    }

    /// Pays for an answer of this length that a session gets. It gets it now: whoever owes has to wait
    /// before they ask more.
    pub(crate) fn pay_for_answer(&self, session: &Session, bytes: usize) {
        let _ = self.pay_for_work_of(session, cost::of_reading(bytes));
    }

    /// Pays for an account that is read from the store because a session has named it.
    pub(crate) fn pay_for_loading(&self, session: &Session) {
        let _ = self.pay_for_work_of(session, cost::LOADING);
    }

    /// Pays for a presence to everybody of this length. Returns when it may be said, if that is not
    /// now.
    pub(crate) fn pay_for_presence(&self, session: &Session, stanza: &Stanza) -> Option<Steady> {
        let becomes_available = stanza.type_().is_none() && !session.is_available();
        self.pay_for_fan_out(session, cost::of_presence(stanza.bytes().len(), becomes_available))
    }

    /// Pays for a fan-out of a session that counts as so many. Returns when it may begin, if that is
    /// not now.
    fn pay_for_fan_out(&self, session: &Session, count: f64) -> Option<Steady> {
        self.pay(&session.payer()?, (What::FanOuts, count), "fan-out")
    }

    fn pay(&self, payer: &Payer, (what, cost): (What, f64), why: &'static str) -> Option<Steady> {
        let (now, rate) = (self.clock.steady(), self.settings().limits.bytes_per_second);
        self.wait(payer.pay(what, cost, rate, now), now, why)
    }

    /// Pays for a fan-out of so many bytes, and waits until it may begin.
    pub async fn fan_out_turn(&self, session: &Session, bytes: usize) {
        if let Some(covered) = self.pay_for_fan_out(session, cost::of_fan_out(bytes)) {
            self.clock.sleep_until(covered).await;
        }
    }

    /// Pays for work that a request of a session makes beyond its own bytes, and waits until it is
    /// covered.
    pub async fn work_turn(&self, session: &Session, bytes: u64) {
        if let Some(covered) = self.pay_for_work_of(session, bytes) {
            self.clock.sleep_until(covered).await;
        }
    }

    /// Pays for a change of many rows, and makes it when the account's turn has come: one after the other,
    /// so that no account fills the lane with changes of this size.
    pub async fn large_change<T>(
        &self,
        session: &Session,
        rows: u64,
        change: impl Future<Output = T>,
    ) -> T {
        self.work_turn(session, cost::of_rows(rows)).await;
        session.one_by_one(change).await
    }

    /// Pays for a password that a session sets or proves, which has to be hashed, and waits until that is
    /// covered. Whoever acts over the admin socket pays nothing.
    pub async fn password_turn(&self, session: &Session) {
        if let Some(covered) = self.pay_for_fan_out(session, cost::OF_PASSWORD) {
            self.clock.sleep_until(covered).await;
        }
    }

    /// Pays for a login, for the session that it begins or resumes and for its end, and waits until
    /// that is covered.
    ///
    /// # Errors
    /// When it would be covered, if that would take too long. Nothing is paid then.
    pub(crate) async fn login_turn(
        &self,
        account: &Account,
        network: Network,
    ) -> Result<(), Steady> {
        let (payer, now) = (self.payer(account, network), self.clock.steady());
        let rate = self.settings().limits.bytes_per_second;
        let login = (What::FanOuts, cost::OF_LOGIN);
        match payer.pay_by(now.after(LONGEST), login, rate, now) {
            Ok(covered) => {
                if let Some(covered) = self.wait(covered, now, "begin") {
                    self.clock.sleep_until(covered).await;
                }
                Ok(())
            }
            Err(covered) => {
                self.counters.held_up.inc(["refused"]);
                Err(covered)
            }
        }
    }

    /// Counts that somebody has to wait, if they have to.
    fn wait(&self, covered: Steady, now: Steady, why: &'static str) -> Option<Steady> {
        let waits = covered > now;
        if waits {
            self.counters.held_up.inc([why]);
        }
        waits.then_some(covered)
    }
}

#[cfg(test)]
mod tests;
