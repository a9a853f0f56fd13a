//! Some inputs for each fuzz target, the same ones each time; the program runs many more.

use whoelse_fuzz::{ALL, Target};

fn run(name: &str, count: u64) {
    let target = Target::named(name).expect("a target of that name");
    target.run_seeded(1, count);
}

#[test]
fn the_scanner_means_what_rxml_means() {
    run("scanner", 2000);
}

#[test]
fn an_address_is_read_alike_on_every_path() {
    run("jid", 1000);
}

#[test]
fn no_payload_makes_a_type_panic() {
    run("payload", 3000);
}

#[test]
fn every_other_target_holds() {
    for target in ALL {
        target.run_seeded(2, 200);
    }
}
