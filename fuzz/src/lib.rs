//! Fuzz targets: plain functions over bytes, which panic when something is wrong.
//!
//! This crate makes inputs and checks properties of the other crates; the program beside it, the
//! tests and cargo-fuzz run the targets. Read first: [`Target`], [`scanner::differential`] (one
//! parser against another), and [`house::House`] (a whole server to send requests to).

pub mod alone;
pub mod bookmarks;
pub mod bosh;
pub mod choices;
pub mod configuration;
pub mod edited;
pub mod hashed_token;
pub mod house;
pub mod jid;
pub mod pair;
pub mod payload;
pub mod private;
pub mod random;
pub mod requests;
pub mod sasl2;
pub mod scanner;
pub mod scram;
pub mod stream;
pub mod token;
pub mod websocket;

use random::Random;

/// Something that can be fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Takes any bytes, and panics if it finds a fault.
    pub run: fn(&[u8]),
}

/// All of them.
pub const ALL: &[Target] = &[
    Target { name: "scanner", run: scanner::differential },
    Target { name: "alone", run: alone::inner_elements },
    Target { name: "edited", run: edited::elements },
    Target { name: "jid", run: jid::address },
    Target { name: "payload", run: payload::typed },
    Target { name: "scram", run: scram::messages },
    Target { name: "sasl2", run: sasl2::elements },
    Target { name: "hashed-token", run: hashed_token::messages },
    Target { name: "stream-server", run: stream::accepting },
    Target { name: "stream-client", run: stream::connecting },
    Target { name: "stream-pair", run: pair::tampered },
    Target { name: "websocket", run: websocket::frames },
    Target { name: "bosh", run: bosh::requests },
    Target { name: "configuration", run: configuration::file },
    Target { name: "paging", run: requests::paging::archive },
    Target { name: "forms", run: requests::forms::commands },
    Target { name: "requests", run: requests::any },
    Target { name: "multiplied", run: requests::multiplied::hostile },
    Target { name: "bookmarks", run: bookmarks::changes },
    Target { name: "line", run: private::line },
    Target { name: "introduction", run: private::introduction },
    Target { name: "token", run: token::opened },
];

impl Target {
    /// The target of that name.
    pub fn named(name: &str) -> Option<Target> {
        ALL.iter().copied().find(|target| target.name == name)
    }

    /// Runs on `count` inputs made from `seed`: the same ones each time.
    pub fn run_seeded(self, seed: u64, count: u64) {
        for i in 0..count {
            (self.run)(&Random::new(seed.wrapping_add(i)).bytes());
        }
    }
}

/// Runs the target of that name on an input, for drivers that bring their own.
pub fn run(name: &str, input: &[u8]) {
    match Target::named(name) {
        Some(target) => (target.run)(input),
        None => panic!("there is no fuzz target {name}"),
    }
}
