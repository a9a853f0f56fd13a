//! Who pays, and that nothing gives anybody more than the bound.

#![allow(clippy::unwrap_used)]
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::network::Network;

const BEGIN: Steady = Steady(1_000_000_000);
/// Bytes a second.
const RATE: u64 = 128 << 10;
const OLD: Steady = Steady(0);
const NEW: Steady = Steady::NEVER;

fn site(n: u32) -> Site {
    Network::of(Ipv4Addr::from_bits(0xC000_0200 + n).into()).site()
}

fn after(seconds: f64) -> Steady {
    BEGIN.after(Duration::from_secs_f64(seconds))
}

/// How many times so much can be paid at once until somebody has to wait.
fn times_at_once(payers: &[Payer], what: What, cost: f64) -> usize {
    let pays = |n: usize| payers[n % payers.len()].pay(what, cost, RATE, BEGIN);
    (0..100_000).position(|n| pays(n) > BEGIN).unwrap()
}

#[test]
fn who_pays_from_what() {
    let payers = |new_until, sites: [Option<Site>; 2]| {
        let ledger = Ledger::default();
        let one = |(n, site)| ledger.payer((n, new_until), site, RATE, BEGIN);
        (1..101).zip(sites.into_iter().cycle()).map(one).collect::<Vec<_>>()
    };
    let mib = f64::from(1 << 20);
    let (here, there) = (Some(site(1)), Some(site(2)));
    for (new_until, sites, work, fan_outs) in [
        // A hundred accounts from one address, each for itself.
        (OLD, [here, here], 1_600, 6_000),
        (OLD, [here, there], 1_600, 6_000),
        // The same, of which strangers have made all today.
        (NEW, [here, here], 64, 1_200),
        (NEW, [here, there], 128, 2_400),
        // The same in one of the operator's own networks.
        (NEW, [None, None], 1_600, 3_000),
    ] {
        assert_eq!(times_at_once(&payers(new_until, sites), What::Work, mib), work);
        assert_eq!(times_at_once(&payers(new_until, sites), What::FanOuts, 1.0), fan_outs);
    }
}

#[test]
fn logging_in_again_refills_nothing() {
    for (new_until, at_once, each_second) in [(OLD, 60, 2.0), (NEW, 30, 0.5)] {
        let ledger = Ledger::default();
        let log_in = || ledger.payer((1, new_until), Some(site(1)), RATE, BEGIN);
        for _ in 0..at_once {
            assert_eq!(log_in().pay(What::FanOuts, 1.0, RATE, BEGIN), BEGIN);
        }

        for n in 1..=10 {
            let covered = log_in().pay(What::FanOuts, 1.0, RATE, BEGIN);
            assert_eq!(covered, after(f64::from(n) / each_second));
        }
    }
}

#[test]
fn a_new_account_becomes_one_like_any_other_after_a_day() {
    let ledger = Ledger::default();
    let payer = ledger.payer((1, after(86_400.0)), Some(site(1)), RATE, BEGIN);
    let a_mib_more = |at: f64| {
        let covered = payer.would_be_covered(What::Work, f64::from(17 << 20), RATE, after(at));
        covered.since(after(at)).as_secs()
    };

    assert_eq!(a_mib_more(86_399.0), 64);
    assert_eq!(a_mib_more(86_400.0), 8);
    assert_eq!(payer.shares_with(after(86_399.0)), Some(site(1)));
    assert_eq!(payer.shares_with(after(86_400.0)), None);
}

#[test]
fn who_would_have_to_wait_for_too_long_pays_nothing() {
    let ledger = Ledger::default();
    let payer = ledger.payer((1, OLD), None, RATE, BEGIN);
    payer.pay(What::FanOuts, 80.0, RATE, BEGIN);
    let begin = (What::FanOuts, 1.0);

    for _ in 0..100 {
        assert_eq!(payer.pay_by(after(10.0), begin, RATE, BEGIN), Err(after(10.5)));
    }
    assert_eq!(payer.pay_by(after(10.5), begin, RATE, after(0.5)), Ok(after(10.5)));
}

/// A generator that gives the same numbers for the same seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// What somebody was let do, and when.
#[derive(Default)]
struct Done(Vec<(Steady, f64)>);

impl Done {
    /// Checks that between any two moments it was no more than this at once and each second.
    fn check(&self, rate: bucket::Rate, more: f64, what: &str) {
        let mut spent: f64 = 0.0;
        let mut last = BEGIN;
        for (at, cost) in &self.0 {
            let back = rate.per_second * at.since(last).as_secs_f64();
            spent = (spent - back).max(0.0) + cost;
            last = *at;
            assert!(spent <= rate.at_once + more + 1e-3, "{what}: {spent} at {at:?}");
        }
    }
}

/// The most that one read counts as here.
const MOST_OF_READ: f64 = 131_072.0;
const SESSIONS: usize = 3;

/// Ten accounts, of which half are new, at three sites. They log in, do something whenever they
/// may, go, and come again from elsewhere, as chance has it.
fn live(seed: u64) -> HashMap<(&'static str, u64), [Done; 2]> {
    let (mut chance, ledger) = (Chance(seed), Ledger::default());
    let mut done: HashMap<(&'static str, u64), [Done; 2]> = HashMap::new();
    // Of each session: who pays, from where, when it may read again.
    let mut sessions: HashMap<(u64, usize), (Payer, u64, Steady)> = HashMap::new();
    let mut now = BEGIN;
    // Work is handled in the order of time; a fan-out begins when it is covered.
    let mut fan_outs: Vec<(Steady, u64, u64, f64)> = Vec::new();
    for _ in 0..20_000 {
        now = now.after(Duration::from_micros(chance.below(40_000)));
        let (account, nth) = (chance.below(10), chance.below(SESSIONS as u64) as usize);
        let new_until = if account < 5 { NEW } else { OLD };
        let from = chance.below(3);
        let log_in = || {
            let site = Some(site(u32::try_from(from).unwrap()));
            let key = i64::try_from(account).unwrap();
            let payer = ledger.payer((key, new_until), site, RATE, now);
            // Whoever owes something reads nothing before it is covered.
            let covered = payer.pay(What::Work, 0.0, RATE, now);
            (payer, from, covered)
        };
        let session = sessions.entry((account, nth)).or_insert_with(log_in);
        if session.2 > now {
            continue;
        }
        match chance.below(10) {
            0 => {
                let again = log_in();
                sessions.insert((account, nth), again);
            }
            1 => {
                sessions.remove(&(account, nth));
            }
            2 | 3 => {
                let cost = 1.0 + chance.below(5) as f64;
                let at = session.0.pay(What::FanOuts, cost, RATE, now);
                fan_outs.push((at, account, session.1, cost));
                session.2 = at;
            }
            _ => {
                let cost = MOST_OF_READ / 8.0 * (1 + chance.below(8)) as f64;
                done.entry(("account", account)).or_default()[0].0.push((now, cost));
                if account < 5 {
                    done.entry(("site", session.1)).or_default()[0].0.push((now, cost));
                }
                session.2 = session.0.pay(What::Work, cost, RATE, now);
            }
        }
    }
    fan_outs.sort_by_key(|(at, ..)| *at);
    for (at, account, from, cost) in fan_outs {
        done.entry(("account", account)).or_default()[1].0.push((at, cost));
        if account < 5 {
            done.entry(("site", from)).or_default()[1].0.push((at, cost));
        }
    }
    done
}

#[test]
fn no_sequence_of_logins_gives_more_than_the_bound_of_the_account_and_the_site_by_seed() {
    for seed in 1..=50 {
        for ((whose, n), [work, fan_outs]) in live(seed) {
            let (rates, sessions) = match whose {
                "site" => (Rates::of_site(RATE), 5 * SESSIONS),
                _ if n < 5 => (Rates::of_new_account(RATE), SESSIONS),
                _ => (Rates::of_account(RATE), SESSIONS),
            };
            // What is read is paid for after it was handled.
            let unpaid = MOST_OF_READ * sessions as f64;
            let what = format!("seed {seed}, {whose} {n}");
            work.check(rates.work, unpaid, &what);
            fan_outs.check(rates.fan_outs, 0.0, &what);
        }
    }
}
