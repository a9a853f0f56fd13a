//! What one account and one network may cost everybody (docs/design/ledger.md; security row 50).
//!
//! An entry for each account, and for each site with new accounts, says what they have spent
//! lately. It outlives sessions, so whoever logs in again finds it as it was. Paying never fails:
//! it says when what was paid is covered, and the payer waits until then. Time is handed in.

mod book;
mod bucket;
mod rates;

use std::sync::Arc;

use crate::clock::Steady;
use crate::network::Site;
use crate::turns::OwnTurn;
pub(crate) use book::What;
use book::{Book, Entry};
pub(crate) use rates::NEW;
use rates::Rates;

/// The ledger of a node.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: Book<i64>,
    sites: Book<Site>,
}

/// Who pays for what a session does: its account, and together with others like it the site of its
/// connection, as long as the account is new.
#[derive(Debug, Clone)]
pub struct Payer {
    account: Arc<Entry>,
    /// Until when the account is new.
    new_until: Steady,
    /// None if nothing is counted for the site.
    site: Option<(Site, Arc<Entry>)>,
}

impl Ledger {
    /// Returns who pays for an account that is new until then. `site`: where it is connected from,
    /// if that is to pay as well.
    pub fn payer(
        &self,
        (account, new_until): (i64, Steady),
        site: Option<Site>,
        bytes_per_second: u64,
        now: Steady,
    ) -> Payer {
        let of_accounts = Rates::of_new_account(bytes_per_second);
        let of_sites = Rates::of_site(bytes_per_second);
        let site = site.filter(|_| now < new_until);
        Payer {
            account: self.accounts.entry(account, of_accounts, now),
            new_until,
            site: site.map(|site| (site, self.sites.entry(site, of_sites, now))),
        }
    }
}

impl Payer {
    fn each(
        &self,
        bytes_per_second: u64,
        now: Steady,
        ask: impl Fn(&Entry, Rates) -> Steady,
    ) -> Steady {
        if now >= self.new_until {
            return ask(&self.account, Rates::of_account(bytes_per_second));
        }
        let own = ask(&self.account, Rates::of_new_account(bytes_per_second));
        let of_site = Rates::of_site(bytes_per_second);
        self.site.as_ref().map_or(own, |(_, site)| own.max(ask(site, of_site)))
    }

    /// Returns the turn to read much that it shares with the other new accounts of its site, if it
    /// does.
    pub fn reading_turn(&self, now: Steady) -> Option<&OwnTurn> {
        let (_, site) = self.site.as_ref().filter(|_| now < self.new_until)?;
        Some(&site.reading)
    }

    /// Returns the site whose new accounts share what they may have, if it is one of them.
    pub(crate) fn shares_with(&self, now: Steady) -> Option<Site> {
        self.site.as_ref().filter(|_| now < self.new_until).map(|(site, _)| *site)
    }

    /// Pays so much; returns when it is covered.
    pub(crate) fn pay(&self, what: What, cost: f64, bytes_per_second: u64, now: Steady) -> Steady {
        self.each(bytes_per_second, now, |entry, rates| entry.spend(what, cost, rates, now))
    }

    /// Returns when so much would be covered, and pays nothing.
    fn would_be_covered(
        &self,
        what: What,
        cost: f64,
        bytes_per_second: u64,
        now: Steady,
    ) -> Steady {
        let ask = |entry: &Entry, rates| entry.would_be_covered(what, cost, rates, now);
        self.each(bytes_per_second, now, ask)
    }

    /// Pays so much unless it would be covered later than this; returns when it is.
    pub(crate) fn pay_by(
        &self,
        latest: Steady,
        (what, cost): (What, f64),
        bytes_per_second: u64,
        now: Steady,
    ) -> Result<Steady, Steady> {
        let covered = self.would_be_covered(what, cost, bytes_per_second, now);
        match covered <= latest {
            true => Ok(self.pay(what, cost, bytes_per_second, now)),
            false => Err(covered),
        }
    }
}

#[cfg(test)]
mod tests;
