//! Some inputs for each fuzz target, the same ones each time; the program runs many more.

use std::fs;
use std::path::Path;

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
fn the_final_dot_of_a_domain_goes() {
    // bob@a.b./x, which was found late.
    whoelse_fuzz::run("jid", &[0xb0, 0x0a, 0x07]);
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

#[test]
fn cargo_fuzz_has_every_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cargo-fuzz");
    let read = |path: &str| {
        let path = folder.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let manifest = read("Cargo.toml");
    for Target { name, .. } in ALL {
        let file = name.replace('-', "_");
        assert!(manifest.contains(&format!("\nname = \"{file}\"\n")), "{name}");
        let target = read(&format!("fuzz_targets/{file}.rs"));
        assert!(target.contains(&format!("run(\"{name}\", data)")), "{name}");
    }
}
