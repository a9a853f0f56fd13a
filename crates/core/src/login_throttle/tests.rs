//! The rules of behaviour.md, Log in 4, one by one.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::counts::block_after;
use super::testing::{network, reserve, stranger, throttle};
use super::*;
use crate::clock::{Moment, Time};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = FORGET;
const NOW: Steady = Steady(7_000_000);

/// Fails once. Returns until when the account is then blocked for the network.
fn fail(throttle: &Arc<LoginThrottle>, account: &str, last: u8, now: Steady) -> Option<Steady> {
    reserve(throttle, account, last, now).fail(MINUTE, now).0
}

/// Fails from a network repeatedly, until a try is refused.
fn fail_from(throttle: &Arc<LoginThrottle>, who: &Who<'_>, now: Steady) -> usize {
    let mut failures = 0;
    while let Begun::Reserved(reservation) = throttle.begin(who, now) {
        reservation.fail(MINUTE, now);
        failures += 1;
    }
    failures
}

/// The answer to a try, in a word.
fn of(throttle: &Arc<LoginThrottle>, who: &Who<'_>, now: Steady) -> &'static str {
    match throttle.begin(who, now) {
        Begun::Reserved(_) => "reserved",
        Begun::UnlessKnown => "unless known",
        Begun::Wait(..) => "waits",
        Begun::Blocked(Blocked::Until(_)) => "blocked",
        Begun::Blocked(Blocked::OnlyKnown) => "only known",
        Begun::Blocked(Blocked::Crowded) => "crowded",
    }
}

fn known<'a>(account: &'a str, network: Network) -> Who<'a> {
    Who { is_known: Some(true), ..stranger(account, network) }
}

fn v6(text: &str) -> Network {
    text.parse().unwrap()
}

// --- one account, one network ---

#[test]
fn the_third_failure_in_a_row_blocks_the_account_for_the_network() {
    let throttle = throttle();

    assert_eq!(fail(&throttle, "bob", 1, NOW), None);
    assert_eq!(fail(&throttle, "bob", 1, NOW), None);
    assert_eq!(fail(&throttle, "bob", 1, NOW), Some(NOW.after(MINUTE)));

    let half = NOW.after(MINUTE / 2);
    assert_eq!(of(&throttle, &stranger("bob", network(1)), half), "blocked");
    assert_eq!(of(&throttle, &stranger("bob", network(2)), half), "reserved");
    assert_eq!(of(&throttle, &stranger("carol", network(1)), half), "reserved");
    assert_eq!(of(&throttle, &stranger("bob", network(1)), NOW.after(MINUTE)), "reserved");
    assert_eq!(throttle.blocks_of("bob", half), [(Some(network(1)), NOW.after(MINUTE))]);
    assert_eq!(throttle.blocked(half), 1);
}

#[test]
fn a_block_doubles_each_time_up_to_an_hour_or_to_the_setting() {
    for (setting, wanted) in [
        (60, [60, 120, 240, 480, 960, 1920, 3600, 3600]),
        (1, [1, 2, 4, 8, 16, 32, 64, 128]),
        (2400, [2400, 3600, 3600, 3600, 3600, 3600, 3600, 3600]),
        (86_400, [86_400; 8]),
    ] {
        let setting = Duration::from_secs(setting);
        let blocks = (1..=8).map(|n| block_after(n * IN_A_ROW, setting).as_secs());
        assert_eq!(blocks.collect::<Vec<_>>(), wanted, "{setting:?}");
    }
    assert_eq!(block_after(u32::MAX, MINUTE), HOUR);
    assert_eq!(block_after(u32::MAX, DAY), DAY);
}

#[test]
fn after_a_block_has_run_out_three_more_block_for_twice_as_long() {
    let throttle = throttle();
    let mut now = NOW;
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(fail(&throttle, "bob", 1, now), None);
        assert_eq!(fail(&throttle, "bob", 1, now), None);
        let until = fail(&throttle, "bob", 1, now).unwrap();
        assert_eq!(until.since(now), MINUTE * minutes);
        now = until;
    }
}

#[test]
fn a_success_a_new_password_the_administrator_and_a_quiet_day_lift_block_and_growth() {
    type Lift = fn(&Arc<LoginThrottle>);
    let lifts: [(&str, Lift, Duration); 4] = [
        // This holds for a login from elsewhere too: whoever knows the password is no guesser.
        ("success", |throttle| drop(throttle.succeeded("bob", network(9))), Duration::ZERO),
        ("password", |throttle| drop(throttle.forgive("bob")), Duration::ZERO),
        ("unblock", |throttle| drop(throttle.unblock("bob")), Duration::ZERO),
        ("day", |_| {}, DAY),
    ];
    for (what, lift, later) in lifts {
        let throttle = throttle();
        for last in [1, 2] {
            for now in [NOW, NOW.after(MINUTE)] {
                fail_from(&throttle, &stranger("bob", network(last)), now);
            }
        }
        let now = NOW.after(MINUTE);
        assert_eq!(throttle.blocks_of("bob", now).len(), 2, "{what}");

        lift(&throttle);

        let now = now.after(later);
        assert_eq!(throttle.blocks_of("bob", now), [], "{what}");
        for last in [1, 2] {
            assert_eq!(fail(&throttle, "bob", last, now), None, "{what}");
            assert_eq!(fail(&throttle, "bob", last, now), None, "{what}");
            assert_eq!(fail(&throttle, "bob", last, now), Some(now.after(MINUTE)), "{what}");
        }
    }
}

#[test]
fn failures_with_less_than_a_day_between_them_are_in_a_row() {
    let throttle = throttle();
    let step = DAY - MINUTE;

    assert_eq!(fail(&throttle, "bob", 1, NOW), None);
    assert_eq!(fail(&throttle, "bob", 1, NOW.after(step)), None);
    assert!(fail(&throttle, "bob", 1, NOW.after(step * 2)).is_some());
}

// --- in flight ---

#[test]
fn tries_made_at_once_do_not_outrun_the_count_and_none_has_failed_before_it_has() {
    let throttle = throttle();
    let bob = stranger("bob", network(1));
    let mut flying: Vec<_> = (0..3).map(|_| reserve(&throttle, "bob", 1, NOW)).collect();
    let Begun::Wait(mut turn, until) = throttle.begin(&bob, NOW) else { panic!() };
    assert_eq!(until, NOW.after(HELD));
    assert!(turn.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Empty));

    // One is resolved: its waiters ask anew.
    drop(flying.pop());
    assert!(turn.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Closed));
    flying.push(reserve(&throttle, "bob", 1, NOW));
    assert_eq!(of(&throttle, &bob, NOW), "waits");
    assert_eq!(throttle.blocked(NOW), 0);

    // They fail: the last of them blocks, and a fourth is not checked.
    let until: Vec<_> = flying.into_iter().map(|one| one.fail(MINUTE, NOW).0).collect();
    assert_eq!(until, [None, None, Some(NOW.after(MINUTE))]);
    assert_eq!(of(&throttle, &bob, NOW), "blocked");
}

#[test]
fn three_silent_challenges_keep_nobody_out_for_longer_than_a_challenge_holds() {
    for who in [known("bob", network(1)), stranger("bob", network(1))] {
        let throttle = throttle();
        let Begun::Reserved(first) = throttle.begin(&who, NOW) else { panic!() };
        let soon = NOW.after(HELD / 2);
        let _silent: Vec<_> = (0..2).map(|_| throttle.begin(&who, soon)).collect();
        let Begun::Wait(_, until) = throttle.begin(&who, soon) else { panic!() };

        assert_eq!(
            (until, first.is_late(soon), first.is_late(until)),
            (NOW.after(HELD), false, true)
        );
        assert_eq!(of(&throttle, &who, until), "reserved");
        // Late tries that are still open do not count among those that are resolved in time.
        let _in_its_stead = throttle.begin(&who, until);
        assert_eq!(of(&throttle, &who, until), "waits");
        drop(first);
        assert_eq!(of(&throttle, &who, until), "waits");
    }
}

#[test]
fn silent_challenges_from_seven_networks_keep_no_traveller_out() {
    let throttle = throttle();
    let silent = (1..=7).flat_map(|last| std::iter::repeat_n(last, 3));
    let _silent: Vec<_> =
        silent.map(|last| throttle.begin(&stranger("bob", network(last)), NOW)).collect();

    let traveller = stranger("bob", network(100));
    let Begun::Wait(_, until) = throttle.begin(&traveller, NOW) else { panic!() };
    assert_eq!(of(&throttle, &traveller, until), "reserved");
}

#[test]
fn thirty_silent_challenges_keep_nobody_out_of_their_network() {
    let throttle = throttle();
    let names: Vec<String> = (0..PER_NETWORK).map(|n| format!("name{n}")).collect();
    let _silent: Vec<_> = names.iter().map(|name| reserve(&throttle, name, 1, NOW)).collect();

    let bob = stranger("bob", network(1));
    let Begun::Wait(_, until) = throttle.begin(&bob, NOW) else { panic!() };
    assert_eq!(of(&throttle, &bob, until), "reserved");
}

#[test]
fn what_has_failed_leaves_less_room_for_what_is_in_flight() {
    let throttle = throttle();
    fail(&throttle, "bob", 1, NOW);
    fail(&throttle, "bob", 1, NOW);

    let _third = reserve(&throttle, "bob", 1, NOW);

    assert_eq!(of(&throttle, &stranger("bob", network(1)), NOW), "waits");
    assert_eq!(of(&throttle, &stranger("bob", network(2)), NOW), "reserved");
}

#[test]
fn five_devices_of_one_person_at_once_are_all_in() {
    let throttle = throttle();
    let first: Vec<_> = (0..3).map(|_| reserve(&throttle, "bob", 1, NOW)).collect();
    assert_eq!(of(&throttle, &stranger("bob", network(1)), NOW), "waits");

    for device in first {
        throttle.succeeded("bob", network(1));
        drop(device);
    }

    let _rest: Vec<_> = (0..2).map(|_| reserve(&throttle, "bob", 1, NOW)).collect();
}

#[test]
fn sixty_people_at_one_address_at_once_are_all_in() {
    let throttle = throttle();
    let names: Vec<String> = (0..60).map(|n| format!("user{n}")).collect();
    let mut flying: Vec<Reservation> = Vec::new();
    for name in &names {
        match throttle.begin(&stranger(name, network(1)), NOW) {
            Begun::Reserved(reservation) => flying.push(reservation),
            Begun::Wait(..) => {
                let one = flying.remove(0);
                throttle.succeeded(&one.account, one.network);
                drop(one);
                flying.push(reserve(&throttle, name, 1, NOW));
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    assert_eq!(flying.len(), PER_NETWORK);
    assert_eq!(throttle.blocked(NOW), 0);
}

#[test]
fn so_many_wait_and_one_more_is_told_so() {
    let throttle = throttle();
    let bob = stranger("bob", network(1));
    let _flying: Vec<_> = (0..3).map(|_| reserve(&throttle, "bob", 1, NOW)).collect();

    let mut waiting: Vec<Begun> = (0..WAITING).map(|_| throttle.begin(&bob, NOW)).collect();

    assert!(waiting.iter().all(|one| matches!(one, Begun::Wait(..))));
    assert_eq!(of(&throttle, &bob, NOW), "crowded");
    // A waiter that has gone makes room.
    waiting.pop();
    assert_eq!(of(&throttle, &bob, NOW), "waits");
}

#[test]
fn what_goes_on_with_a_counted_try_waits_for_nobody_but_a_block_stops_it() {
    let throttle = throttle();
    let bob = stranger("bob", network(1));
    fail(&throttle, "bob", 1, NOW);
    let flying: Vec<_> = (0..2).map(|_| reserve(&throttle, "bob", 1, NOW)).collect();

    assert_eq!(throttle.may_go_on(&bob, NOW), Ok(()));
    flying.into_iter().for_each(|one| drop(one.fail(MINUTE, NOW)));
    let until = Blocked::Until(NOW.after(MINUTE));
    assert_eq!(throttle.may_go_on(&bob, NOW), Err(Some(until)));
}

// --- an account, over all networks ---

#[test]
fn twenty_failures_from_everywhere_leave_only_known_networks() {
    let throttle = throttle();
    for last in 1..=19 {
        fail(&throttle, "bob", last, NOW);
    }
    assert_eq!(of(&throttle, &stranger("bob", network(100)), NOW), "reserved");
    fail(&throttle, "bob", 20, NOW);

    let from_100 = stranger("bob", network(100));
    assert_eq!(of(&throttle, &Who { is_known: None, ..from_100 }, NOW), "unless known");
    assert_eq!(of(&throttle, &from_100, NOW), "only known");
    assert_eq!(of(&throttle, &known("bob", network(100)), NOW), "reserved");
    // This holds for a network with one mistyped password, too: the block is the doing of others.
    assert_eq!(of(&throttle, &known("bob", network(20)), NOW), "reserved");
    assert_eq!(of(&throttle, &stranger("carol", network(100)), NOW), "reserved");
    assert_eq!(of(&throttle, &from_100, NOW.after(WINDOW)), "reserved");
}

#[test]
fn one_attacker_elsewhere_does_not_lock_the_traveller_out() {
    for attacker in ["192.0.2.66", "2001:db8:1:2::1"] {
        let throttle = throttle();
        // All that he can do in an hour.
        let mut now = NOW;
        let mut failures = 0;
        while now < NOW.after(HOUR) {
            failures += fail_from(&throttle, &stranger("bob", v6(attacker)), now);
            assert_eq!(of(&throttle, &stranger("bob", network(1)), now), "reserved");
            now = now.after(MINUTE / 2);
        }
        assert!(failures > 9, "{failures}");
    }
}

#[test]
fn one_site_adds_no_more_than_three_to_an_account() {
    let throttle = throttle();
    let hotel = stranger("bob", network(1));
    // Six attackers, each with a whole /48.
    for site in 1..=6 {
        for last in 1..=9 {
            let from = v6(&format!("2001:db8:{site}:{last}::1"));
            fail_from(&throttle, &stranger("bob", from), NOW);
        }
    }
    assert_eq!(of(&throttle, &hotel, NOW), "reserved");

    // A seventh attacker is one too many.
    fail_from(&throttle, &stranger("bob", v6("2001:db8:7::1")), NOW);
    assert_eq!(of(&throttle, &hotel, NOW), "only known");
}

#[test]
fn tries_at_once_from_everywhere_do_not_outrun_the_count_of_the_account() {
    let throttle = throttle();
    let _flying: Vec<_> = (1..=20).map(|last| reserve(&throttle, "bob", last, NOW)).collect();

    let from_100 = stranger("bob", network(100));
    assert_eq!(of(&throttle, &from_100, NOW), "waits");
    assert_eq!(of(&throttle, &Who { is_known: None, ..from_100 }, NOW), "unless known");
    assert_eq!(of(&throttle, &known("bob", network(100)), NOW), "reserved");
}

#[test]
fn a_48_of_ipv6_is_one_network_to_an_account_unless_a_part_of_it_is_known() {
    let throttle = throttle();
    let from = |last: u32| v6(&format!("2001:db8:1:{last:x}::1"));
    for last in 1..=3 {
        let begun = throttle.begin(&stranger("bob", from(last)), NOW);
        let Begun::Reserved(one) = begun else { panic!("{begun:?}") };
        assert_eq!(one.fail(MINUTE, NOW).0.is_some(), last == 3);
    }

    assert_eq!(of(&throttle, &stranger("bob", from(4)), NOW), "blocked");
    assert_eq!(of(&throttle, &stranger("bob", v6("2001:db8:2::1")), NOW), "reserved");
    // An account that is known there is blocked by its own failures alone.
    assert_eq!(of(&throttle, &known("bob", from(4)), NOW), "reserved");
    assert_eq!(of(&throttle, &known("bob", from(3)), NOW), "blocked");
    let Begun::Reserved(one) = throttle.begin(&known("bob", from(4)), NOW) else { panic!() };
    assert_eq!(one.fail(MINUTE, NOW).0, None);
}

// --- a network, over all accounts ---

/// Tries one name after the other from a network, until it is blocked.
fn sprayed(throttle: &Arc<LoginThrottle>, last: u8) {
    let names = (0..).map(|n| format!("name{n}"));
    for name in names.take_while(|_| throttle.blocked_places(NOW).is_empty()) {
        fail(throttle, &name, last, NOW);
    }
}

#[test]
fn thirty_failures_from_one_network_block_the_network() {
    let throttle = throttle();
    sprayed(&throttle, 1);

    let somebody = |last| stranger("somebody", network(last));
    assert_eq!(of(&throttle, &somebody(1), NOW), "blocked");
    assert_eq!(of(&throttle, &somebody(2), NOW), "reserved");
    assert_eq!(throttle.blocked_places(NOW), [(Place::Network(network(1)), NOW.after(WINDOW))]);
    assert_eq!(of(&throttle, &somebody(1), NOW.after(WINDOW)), "reserved");
    assert_eq!(throttle.blocked_places(NOW.after(WINDOW)), []);
}

#[test]
fn who_is_known_in_a_blocked_network_is_not_blocked_by_others() {
    let throttle = throttle();
    fail(&throttle, "mistyped", 1, NOW);
    sprayed(&throttle, 1);

    let unseen = Who { is_known: None, ..stranger("bob", network(1)) };
    assert_eq!(of(&throttle, &unseen, NOW), "unless known");
    assert_eq!(of(&throttle, &known("bob", network(1)), NOW), "reserved");
    // An account with failures of its own may be the one that guesses.
    assert_eq!(of(&throttle, &known("mistyped", network(1)), NOW), "blocked");
    let unseen = Who { is_known: None, ..stranger("mistyped", network(1)) };
    assert_eq!(of(&throttle, &unseen, NOW), "blocked", "nobody need look");
}

#[test]
fn ten_who_mistype_three_times_do_not_block_the_twenty_beside_them() {
    let throttle = throttle();
    for n in 0..10 {
        let name = format!("clumsy{n}");
        assert_eq!(fail_from(&throttle, &stranger(&name, network(1)), NOW), 3);
    }

    for n in 0..20 {
        let name = format!("user{n}");
        assert_eq!(of(&throttle, &stranger(&name, network(1)), NOW), "reserved");
        throttle.succeeded(&name, network(1));
    }
}

#[test]
fn a_success_takes_back_what_its_account_added_to_its_network() {
    let throttle = throttle();
    fail(&throttle, "bob", 1, NOW);
    fail(&throttle, "bob", 1, NOW);
    for n in 0..PER_NETWORK - 2 {
        fail(&throttle, &format!("name{n}"), 1, NOW);
    }
    assert_eq!(throttle.blocked_places(NOW).len(), 1);

    // A success elsewhere takes back nothing here.
    throttle.succeeded("bob", network(2));
    assert_eq!(throttle.blocked_places(NOW).len(), 1);
    let gone = throttle.succeeded("bob", network(1));

    assert_eq!(gone, [Scope::Place(Place::Network(network(1)))]);
    assert_eq!(throttle.blocked_places(NOW), []);
    assert_eq!(of(&throttle, &stranger("somebody", network(1)), NOW), "reserved");
}

#[test]
fn after_a_restart_a_success_does_not_lift_the_block_of_its_network() {
    let before = throttle();
    sprayed(&before, 1);
    let now = crate::clock::Moment { wall: crate::clock::Time(1_000_000_000_000_000), steady: NOW };
    let rows = before.rows(&[Scope::Place(Place::Network(network(1)))], now).into_iter();
    let after = throttle();
    after.restore(rows.filter_map(|(key, row)| Some((key, row?))), MINUTE, now);

    assert_eq!(after.succeeded("bob", network(1)), []);

    assert_eq!(after.blocked_places(NOW).len(), 1);
}

#[test]
fn logins_that_succeed_never_block_a_network() {
    let throttle = throttle();
    for n in 0..100 {
        let name = format!("user{n}");
        let one = reserve(&throttle, &name, 1, NOW);
        throttle.succeeded(&name, network(1));
        drop(one);
    }
    assert!(throttle.tables.lock().accounts.is_empty() && throttle.tables.lock().places.is_empty());
}

#[test]
fn in_a_network_of_ones_own_failures_count_by_account_alone() {
    let throttle = throttle();
    let from = |account| Who { is_own: true, ..stranger(account, network(1)) };
    let names: Vec<String> = (0..100).map(|n| format!("user{n}")).collect();
    for name in &names {
        assert_eq!(fail_from(&throttle, &from(name), NOW), 3, "{name}");
    }

    assert_eq!(of(&throttle, &from("somebody"), NOW), "reserved");
    assert_eq!(of(&throttle, &from("user7"), NOW), "blocked");
    assert_eq!(throttle.blocked_places(NOW), []);
}

#[test]
fn names_that_are_asked_about_have_a_count_of_their_own() {
    let throttle = throttle();
    for n in 0..QUESTIONS {
        throttle.ask(&format!("name{n}"), network(1), NOW).unwrap();
    }

    assert_eq!(throttle.ask("bob", network(1), NOW), Err(NOW.after(WINDOW)));
    assert_eq!(throttle.ask("bob", network(2), NOW), Ok(()));
    assert_eq!(of(&throttle, &stranger("bob", network(1)), NOW), "reserved");
    assert_eq!(throttle.blocked(NOW), 0);
    // The question about a name stops counting when the account is made.
    throttle.made("name7", network(1));
    assert_eq!(throttle.ask("bob", network(1), NOW), Ok(()));
    assert_eq!(throttle.ask("bob", network(1), NOW.after(WINDOW)), Ok(()));
    // A network that is blocked for guesses may still ask.
    sprayed(&throttle, 3);
    assert_eq!(throttle.ask("bob", network(3), NOW), Ok(()));
}

#[test]
fn a_hundred_who_ask_for_the_name_first_can_all_register() {
    let throttle = throttle();
    let names: Vec<String> = (0..NEW_ACCOUNTS).map(|n| format!("pupil{n}")).collect();
    for name in &names {
        throttle.ask(name, network(1), NOW).unwrap();
    }
    for name in &names {
        throttle.ask(name, network(1), NOW).unwrap();
        throttle.make(network(1), NOW).unwrap();
    }

    assert_eq!(throttle.ask("one more", network(1), NOW), Err(NOW.after(WINDOW)));
}

#[test]
fn a_hundred_accounts_from_one_network_are_enough_for_ten_minutes() {
    let throttle = throttle();
    for _ in 0..NEW_ACCOUNTS {
        throttle.make(network(1), NOW).unwrap();
    }

    assert_eq!(throttle.make(network(1), NOW), Err(NOW.after(WINDOW)));
    assert_eq!(throttle.make(network(2), NOW), Ok(()));
    assert_eq!(throttle.make(network(1), NOW.after(WINDOW)), Ok(()));
}

// --- a site, over all its networks ---

/// A network of one /48, each in a /56 of its own as far as there are such.
fn in_the_site(n: usize) -> Network {
    let (home, network) = (n % 256, n / 256);
    v6(&format!("2001:db8:1:{:x}::1", home << 8 | network))
}

#[test]
fn a_site_may_fail_as_often_as_sixteen_networks_however_many_it_has() {
    let throttle = throttle();
    // Each guess has its own name and its own network.
    for n in 0..PER_NETWORK * OF_A_SITE {
        let name = format!("name{n}");
        match throttle.begin(&stranger(&name, in_the_site(n)), NOW) {
            Begun::Reserved(one) => drop(one.fail(MINUTE, NOW)),
            other => panic!("{n}: {other:?}"),
        }
    }

    let elsewhere = in_the_site(60_001);
    assert_eq!(of(&throttle, &stranger("somebody", elsewhere), NOW), "blocked");
    assert_eq!(of(&throttle, &known("bob", elsewhere), NOW), "reserved");
    assert_eq!(of(&throttle, &stranger("somebody", v6("2001:db8:2::1")), NOW), "reserved");
    assert_eq!(of(&throttle, &stranger("somebody", elsewhere), NOW.after(WINDOW)), "reserved");
    let site: Place = "2001:db8:1::/48".parse().unwrap();
    assert_eq!(throttle.blocked_places(NOW), [(site, NOW.after(WINDOW))]);
    assert_eq!(throttle.blocked(NOW), 1);

    // The block survives a restart.
    let now = Moment { wall: Time(1_000_000_000_000_000), steady: NOW };
    let rows = throttle.rows(&[Scope::Place(site)], now).into_iter();
    let after = self::throttle();
    after.restore(rows.filter_map(|(key, row)| Some((key, row?))), MINUTE, now);
    assert_eq!(of(&after, &stranger("somebody", elsewhere), NOW), "blocked");

    // Any of its addresses unblocks it.
    let (lifted, gone) = throttle.unblock_site(elsewhere.site(), NOW);
    assert_eq!((lifted, gone.contains(&Scope::Place(site))), (1, true));
    assert_eq!(of(&throttle, &stranger("somebody", elsewhere), NOW), "reserved");
}

#[test]
fn one_home_of_a_site_uses_up_a_quarter_of_what_its_neighbours_may() {
    let throttle = throttle();
    // Somebody with a whole /56 does all that they can, again and again.
    let own = |n: usize| v6(&format!("2001:db8:1:7{:02x}::1", n % 256));
    for round in 0..10 {
        let mut flying: Vec<Reservation> = Vec::new();
        for n in 0..1_000 {
            let name = format!("name{n}");
            if let Begun::Reserved(one) = throttle.begin(&stranger(&name, own(n)), NOW) {
                flying.push(one);
            }
            let _ = throttle.ask(&format!("{name} {round}"), own(n), NOW);
            let _ = throttle.make(own(n), NOW);
            let _ = throttle.former(own(n), NOW);
        }
        // What is in flight holds up nobody beside them, either.
        assert_eq!(of(&throttle, &stranger("somebody", in_the_site(8)), NOW), "reserved");
        flying.into_iter().for_each(|one| drop(one.fail(MINUTE, NOW)));
    }

    assert_eq!(of(&throttle, &stranger("somebody", own(200)), NOW), "blocked");
    let home: Place = "2001:db8:1:700::/56".parse().unwrap();
    assert_eq!(throttle.blocked_places(NOW), [(home, NOW.after(WINDOW))]);
    let neighbour = in_the_site(8);
    assert_eq!(of(&throttle, &stranger("somebody", neighbour), NOW), "reserved");
    assert_eq!(throttle.ask("somebody", neighbour, NOW), Ok(()));
    assert_eq!(throttle.make(neighbour, NOW), Ok(()));
    assert_eq!(throttle.former(neighbour, NOW), Ok(()));
}

#[test]
fn tries_at_once_do_not_outrun_the_count_of_a_site() {
    let throttle = throttle();
    let names: Vec<String> = (0..PER_NETWORK * OF_A_SITE).map(|n| format!("name{n}")).collect();
    let mut flying: Vec<Reservation> = Vec::new();
    for (n, name) in names.iter().enumerate() {
        match throttle.begin(&stranger(name, in_the_site(n)), NOW) {
            Begun::Reserved(one) => flying.push(one),
            other => panic!("{n}: {other:?}"),
        }
    }

    let one_more = stranger("somebody", in_the_site(60_001));
    let Begun::Wait(mut turn, _) = throttle.begin(&one_more, NOW) else { panic!() };
    assert!(turn.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
    flying.pop();
    assert!(turn.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    assert_eq!(of(&throttle, &one_more, NOW), "reserved");
    flying.clear();
    assert!(throttle.tables.lock().places.is_empty());
}

#[test]
fn a_success_takes_back_what_its_account_added_to_its_site() {
    let throttle = throttle();
    for n in 0..PER_NETWORK * OF_A_SITE {
        let name = format!("name{n}");
        let Begun::Reserved(one) = throttle.begin(&stranger(&name, in_the_site(n)), NOW) else {
            panic!()
        };
        one.fail(MINUTE, NOW);
    }
    assert_eq!(throttle.blocked_places(NOW).len(), 1);

    throttle.succeeded("name7", in_the_site(7));

    assert_eq!(throttle.blocked_places(NOW), []);
}

#[test]
fn a_site_may_ask_register_and_prove_former_passwords_as_sixteen_networks_may() {
    let throttle = throttle();
    let (last, site_of_another) = (in_the_site(60_001), v6("2001:db8:2::1"));
    for n in 0..OF_A_SITE * NEW_ACCOUNTS {
        assert_eq!(throttle.ask(&format!("name{n}"), in_the_site(n), NOW), Ok(()), "{n}");
        assert_eq!(throttle.make(in_the_site(n), NOW), Ok(()), "{n}");
        assert_eq!(throttle.former(in_the_site(n), NOW), Ok(()), "{n}");
    }

    let later = NOW.after(WINDOW);
    assert_eq!(throttle.ask("bob", last, NOW), Err(later));
    assert_eq!(throttle.make(last, NOW), Err(later));
    assert_eq!(throttle.former(last, NOW), Err(later));
    // What is refused is counted nowhere.
    assert!(throttle.tables.lock().places[&Place::Network(last)].is_empty());
    assert_eq!(throttle.ask("bob", site_of_another, NOW), Ok(()));
    assert_eq!(throttle.make(site_of_another, NOW), Ok(()));
    assert_eq!(throttle.former(site_of_another, NOW), Ok(()));
    // The question about a name stops counting for the site, too, when the account is made.
    throttle.made("name7", in_the_site(7));
    assert_eq!(throttle.ask("bob", last, NOW), Ok(()));
    assert_eq!(throttle.make(last, later), Ok(()));
}

#[test]
fn ones_own_network_adds_nothing_to_its_site() {
    let throttle = throttle();
    let mut flying: Vec<Reservation> = Vec::new();
    for n in 0..PER_NETWORK * OF_A_SITE {
        let name = format!("name{n}");
        let who = Who { is_own: true, ..stranger(&name, in_the_site(n)) };
        let Begun::Reserved(one) = throttle.begin(&who, NOW) else { panic!() };
        flying.push(one);
    }
    assert_eq!(of(&throttle, &stranger("somebody", in_the_site(60_001)), NOW), "reserved");
    flying.into_iter().for_each(|one| drop(one.fail(MINUTE, NOW)));

    assert_eq!(throttle.blocked_places(NOW), []);
    assert_eq!(of(&throttle, &stranger("somebody", in_the_site(60_001)), NOW), "reserved");
}

// --- the administrator ---

#[test]
fn the_administrators_block_holds_everywhere_until_they_lift_it() {
    let throttle = throttle();
    throttle.block("bob", Steady::NEVER, NOW);
    throttle.succeeded("bob", network(1));
    throttle.forgive("bob");
    assert!(throttle.is_disabled("bob", NOW));
    assert_eq!(throttle.blocks_of("bob", NOW), [(None, Steady::NEVER)]);

    assert_eq!(throttle.unblock("bob"), [Scope::Account("bob".to_owned())]);
    assert!(!throttle.is_disabled("bob", NOW));

    throttle.block("bob", NOW.after(MINUTE), NOW);
    assert!(!throttle.is_disabled("bob", NOW.after(MINUTE)));
}

#[test]
fn an_address_that_is_unblocked_is_blocked_for_nobody() {
    let throttle = throttle();
    sprayed(&throttle, 1);
    assert_eq!(fail_from(&throttle, &stranger("bob", network(2)), NOW), 3);
    let at_home = v6("2001:db8:1:2::1");
    assert_eq!(fail_from(&throttle, &stranger("carol", v6("2001:db8:1:9::1")), NOW), 3);

    assert_eq!(throttle.unblock_site(network(1).site(), NOW).0, 1);
    assert_eq!(of(&throttle, &stranger("somebody", network(1)), NOW), "reserved");
    assert_eq!(of(&throttle, &stranger("bob", network(2)), NOW), "blocked");

    // An account that has failed once is not blocked, but starts anew.
    fail(&throttle, "dave", 2, NOW);
    let (lifted, mut gone) = throttle.unblock_site(network(2).site(), NOW);
    gone.sort_by_key(Scope::key);
    let pair = |account: &str| Scope::Pair(account.to_owned(), network(2));
    assert_eq!((lifted, gone), (1, vec![pair("bob"), pair("dave")]));
    assert!(!throttle.tables.lock().accounts.contains_key("dave"), "nothing is left of it");
    assert_eq!(of(&throttle, &stranger("bob", network(2)), NOW), "reserved");
    throttle.unblock_site(at_home.site(), NOW);
    assert_eq!(of(&throttle, &stranger("carol", at_home), NOW), "reserved");
    assert_eq!(throttle.blocked(NOW), 0);
}

// --- bounds ---

#[test]
fn the_tables_are_bounded_and_what_ends_soonest_goes_first() {
    let throttle = throttle();
    let at = |n: usize| Network::of(std::net::Ipv4Addr::from_bits(n as u32).into());
    let last = ENTRIES + 10;
    for n in 0..last {
        // Each failure has its own account and network, and is a little later.
        let (name, now) = (format!("name{n}"), Steady(n as i64));
        match throttle.begin(&stranger(&name, at(n)), now) {
            Begun::Reserved(one) => drop(one.fail(MINUTE, now)),
            other => panic!("{other:?}"),
        }
    }

    let tables = throttle.tables.lock();
    assert!(tables.accounts.len() <= ENTRIES && tables.places.len() <= ENTRIES);
    assert!(tables.pairs <= ENTRIES);
    assert!(
        !tables.accounts.contains_key("name0")
            && !tables.places.contains_key(&Place::Network(at(0)))
    );
    assert!(tables.accounts.contains_key(&format!("name{}", last - 1)));
}

#[test]
fn what_is_dropped_to_make_room_is_deleted_where_it_is_stored() {
    let throttle = throttle();
    let mut stored = HashSet::new();
    for n in 0..ENTRIES + 10 {
        let (name, now) = (format!("name{n}"), Steady(n as i64));
        let network = Network::of(std::net::Ipv4Addr::from_bits(n as u32).into());
        let Begun::Reserved(one) = throttle.begin(&stranger(&name, network), now) else { panic!() };
        let changed = one.fail(MINUTE, now).1;
        for (key, count) in throttle.rows(&changed, Moment { wall: Time(1), steady: now }) {
            match count {
                Some(_) => stored.insert(key),
                None => stored.remove(&key),
            };
        }
    }

    assert_eq!(stored.len(), throttle.tables.lock().pairs);
    assert!(stored.len() < ENTRIES);
}

#[test]
fn networks_from_which_nothing_has_failed_lately_do_not_stay() {
    let throttle = throttle();
    for n in 0..20 * FEW_PLACES {
        // As many in each window.
        let now = NOW.after(WINDOW * (n / FEW_PLACES) as u32);
        let network = Network::of(std::net::Ipv4Addr::from_bits(n as u32).into());
        let name = format!("name{n}");
        let Begun::Reserved(one) = throttle.begin(&stranger(&name, network), now) else { panic!() };
        one.fail(MINUTE, now);
    }

    assert!(throttle.tables.lock().places.len() <= 4 * FEW_PLACES);
}

#[test]
fn the_bound_holds_however_many_networks_a_name_was_tried_from_and_leaves_room_for_many_tries() {
    for networks_of_each in [2, ENTRIES as u32 + 10] {
        let throttle = throttle();
        // The account that has all of them is tried all the while.
        let _flying = reserve(&throttle, "name0", 1, NOW);
        let mut tables = throttle.tables.lock();
        for n in 0..ENTRIES as u32 {
            let network = Network::of(std::net::Ipv4Addr::from_bits(n).into());
            let pair = counts::Pair { failures: 1, last: NOW, until: None };
            tables.account(&format!("name{}", n / networks_of_each)).restore(network, pair);
            tables.pairs += 1;
        }
        drop(tables);

        throttle.ask("somebody", network(2), NOW).unwrap();

        let tables = throttle.tables.lock();
        let counted: usize = tables.accounts.values().map(AccountCount::pairs).sum();
        assert_eq!((tables.pairs, counted), (ENTRIES - ENTRIES / 16, ENTRIES - ENTRIES / 16));
        assert_eq!(tables.accounts["name0"].in_flight(NOW, |_| true), 1);
    }
}

#[test]
fn a_failure_after_those_of_its_site_are_over_leaves_fewer_pairs_to_remember() {
    let throttle = throttle();
    let from = |last: u32| stranger("bob", v6(&format!("2001:db8:1:{last:x}::1")));
    for (last, now) in [(1, NOW), (2, NOW), (3, NOW.after(DAY * 2))] {
        let Begun::Reserved(one) = throttle.begin(&from(last), now) else { panic!() };
        one.fail(MINUTE, now);
    }

    assert_eq!(throttle.tables.lock().pairs, 1);
}

#[test]
fn what_is_in_flight_is_never_forgotten_and_what_is_over_goes() {
    let throttle = throttle();
    let _flying = reserve(&throttle, "bob", 1, Steady(0));
    let later = Steady(0).after(DAY * 2);
    for n in 0..1000 {
        fail(&throttle, &format!("name{n}"), (n % 250) as u8, Steady(0));
    }

    let mut tables = throttle.tables.lock();
    assert_eq!(thin_pairs(&mut tables.accounts, &mut Vec::new(), later), 0);
    thin(&mut tables.places, later, PlaceCount::ends);
    assert_eq!(tables.accounts.keys().collect::<Vec<_>>(), ["bob"]);
    assert_eq!(tables.places.keys().collect::<Vec<_>>(), [&Place::Network(network(1))]);
}
