//! Hours of faults in memory, by seeds; see `whoelse_testkit::faults`.
//!
//! `WHOELSE_FAULTS=200` plays this many seeds of each kind (default 1); `WHOELSE_SEED` is the
//! first seed.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use whoelse_testkit::faults::{Plan, run};

/// One device for each account, and no faults.
const FAIR: Plan = Plan {
    seed: 0,
    steps: 300,
    accounts: &[1, 1, 1, 1],
    wires: false,
    disk: false,
    restarts: false,
    crashes: false,
    history: true,
    rosters: false,
};

const EVERYTHING: Plan = Plan {
    wires: true,
    disk: true,
    restarts: true,
    crashes: true,
    accounts: &[1, 2, 1, 2],
    ..FAIR
};

/// Plays some seeds, and a few more where too little has happened to prove anything: how far a seed
/// comes depends on how fast the disk is.
#[track_caller]
fn live_through(plan: Plan) {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let first: u64 = setting("WHOELSE_SEED").unwrap_or(1);
    let count: u64 = setting("WHOELSE_FAULTS").unwrap_or(1);
    let (mut passed, mut messages, mut refused, mut repeats) = (Duration::ZERO, 0, 0, 0);
    let (mut logins, mut resumed) = (0, 0);
    let (mut lists, mut looks, mut events) = (0, 0, 0);
    let (mut said, mut heard, mut taken) = (0, 0, 0);
    for seed in first..first + count + 5 {
        let enough = is_enough(plan, messages, (said, heard), [lists, looks, events]);
        if enough && seed >= first + count {
            break;
        }
        let tally = run(&Plan { seed, ..plan }).unwrap_or_else(|why| panic!("{why}"));
        passed += tally.passed;
        messages += tally.messages;
        refused += tally.refused;
        repeats += tally.repeats;
        logins += tally.logins;
        resumed += tally.resumed;
        lists += tally.lists;
        looks += tally.looks;
        events += tally.events;
        said += tally.talk.0;
        heard += tally.talk.1;
        taken += tally.talk.2;
    }
    println!(
        "{} h of faults: {messages} messages, {refused} refused, {repeats} came again; {logins} \
         logins, {resumed} of them resumed; {lists} lists, read {looks} times and told {events} times; \
         {said} said in a room, heard {heard} times, {taken} taken back",
        passed.as_secs() / 3600
    );
    let enough = is_enough(plan, messages, (said, heard), [lists, looks, events]);
    assert!(
        enough,
        "{messages} messages; {said} said, heard {heard} times; {lists} lists, read {looks}, told {events}"
    );
}

/// Whether so many messages, so much said and heard in a room, and so many lists published, read and told
/// prove anything.
fn is_enough(
    plan: Plan,
    messages: usize,
    (said, heard): (usize, usize),
    lists: [usize; 3],
) -> bool {
    let is_room_used = said > 5 && heard > said || !plan.history;
    messages > 100 && is_room_used && lists.iter().all(|count| *count > 5)
}

#[test]
fn without_faults_everything_arrives() {
    live_through(FAIR);
}

#[test]
fn over_bad_wires_everything_arrives_once_and_in_order() {
    live_through(Plan { wires: true, ..FAIR });
}

#[test]
fn over_bad_wires_to_several_devices_everything_arrives() {
    live_through(Plan { wires: true, accounts: &[1, 2, 3], ..FAIR });
}

#[test]
fn without_a_history_everything_arrives() {
    live_through(Plan { wires: true, restarts: true, history: false, ..FAIR });
}

#[test]
fn on_a_failing_disk_what_is_acknowledged_arrives_and_what_is_refused_does_not() {
    live_through(Plan { disk: true, ..FAIR });
}

#[test]
fn over_bad_wires_on_a_failing_disk_with_restarts_nothing_acknowledged_is_lost() {
    live_through(Plan { wires: true, disk: true, restarts: true, ..FAIR });
}

#[test]
fn a_server_that_is_killed_amid_faults_loses_nothing() {
    live_through(Plan { wires: true, restarts: true, crashes: true, ..FAIR });
}

#[test]
fn with_rosters_everybody_is_told_the_last_list_of_everybody_in_the_end() {
    let accounts = &[1, 2, 1, 2];
    live_through(Plan {
        wires: true,
        restarts: true,
        crashes: true,
        rosters: true,
        accounts,
        ..FAIR
    });
}

#[test]
fn everything_at_once() {
    live_through(EVERYTHING);
}

/// What a session leaves behind is stored once more, and the disk failed then, too.
#[test]
fn what_is_left_behind_while_the_disk_fails_is_stored_when_it_works_again() {
    let tally = run(&Plan { seed: 7003, ..EVERYTHING }).unwrap_or_else(|why| panic!("{why}"));
    assert!(tally.messages > 100);
}
