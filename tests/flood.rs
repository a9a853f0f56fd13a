//! A terminal on which keys are pressed at random while a thousand messages a second arrive.
//!
//! It runs for seconds in the gate, and longer in `./check --soak`. `WHOELSE_SOAK_SECONDS` is the
//! duration (2), `WHOELSE_SOAK_SEED` decides which keys are pressed (1).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::screen::Screen;
use common::{Chance, Client, Home, Server, Terminal};
use rustix::process::Signal;

/// Messages that are sent per second, if the machine can.
const RATE: u64 = 1_000;
/// Rows in which the last message is searched: more than are written after it.
const RECENT: usize = 2_000;
/// Ends a paste, a sequence or a search, and clears the line.
const CLEAR: &str = "\u{1b}[201~\u{7}\u{5}\u{15}";

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// A server for alice and bob, which lets an account send without end.
fn started() -> Server {
    let home = Home::with_people(&["alice", "bob"]);
    home.write(
        "whoelse.toml",
        "listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\nsessions = \"one\"\n[limits]\n\
         bytes_per_second = \"1 GiB\"\n",
    );
    home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"])
}

/// Bob, who sends numbered messages to Alice until he is told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    sending: JoinHandle<(Client, u64)>,
}

impl Flood {
    fn begin(mut bob: Client) -> Flood {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let sending = std::thread::spawn(move || {
            let began = Instant::now();
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                let due = began.elapsed().as_millis() as u64 * RATE / 1_000;
                while sent < due {
                    bob.say(&format!("message alice m{sent}."));
                    sent += 1;
                }
                // The pace of the load; nothing is waited for.
                std::thread::sleep(Duration::from_millis(2));
            }
            (bob, sent)
        });
        Flood { stop, sending }
    }

    /// Returns Bob, and how many messages he has sent, all of them stored.
    fn end(self) -> (Client, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut bob, sent) = self.sending.join().unwrap();
        bob.meanwhile();
        (bob, sent)
    }
}

/// Returns some keys, except those that end or stop the program.
fn some_keys(chance: &mut Chance) -> Vec<u8> {
    const WORDS: &[&str] = &[
        "\r",
        "\r",
        "\n",
        "x",
        "y z",
        "message bob hello",
        "help",
        "whoelse",
        "\t",
        "ä",
        "漢字",
        "👍🏽",
        "e\u{301}",
        "\u{1b}",
        "\u{1b}[A",
        "\u{1b}[B",
        "\u{1b}[C",
        "\u{1b}[D",
        "\u{1b}[H",
        "\u{1b}[F",
        "\u{1b}[3~",
        "\u{1b}[1;5D",
        "\u{1b}[1;",
        "\u{1b}O",
        "\u{1b}b",
        "\u{1b}d",
        "\u{1b}\u{7f}",
        "\u{1b}[200~",
        "\u{1b}[201~",
        "\u{7f}",
        "\u{7f}\u{7f}\u{7f}",
        "\u{12}",
        "\u{7}",
    ];
    match chance.number(0, 9) {
        0 => vec![chance.number(0x80, 0xff) as u8; chance.number(1, 3) as usize],
        // Any control character but Ctrl-C, Ctrl-D and Ctrl-Z.
        1 => match chance.number(0, 0x1f) as u8 {
            3 | 4 | 26 => Vec::new(),
            control => vec![control],
        },
        2 => "x".repeat(chance.number(1, 200) as usize).into_bytes(),
        _ => WORDS[chance.number(0, WORDS.len() as u64 - 1) as usize].as_bytes().to_vec(),
    }
}

/// Presses keys, changes the size, or stalls the terminal for a moment.
fn play(alice: &mut Terminal, chance: &mut Chance) {
    for _ in 0..chance.number(1, 20) {
        alice.press_bytes(&some_keys(chance));
    }
    match chance.number(0, 30) {
        0 => alice.resize(chance.number(40, 200) as u16, chance.number(0, 1) == 0),
        1 => {
            alice.is_stuck(true);
            std::thread::sleep(chance.millis(1, 200));
            alice.is_stuck(false);
        }
        _ => std::thread::sleep(chance.millis(1, 20)),
    }
}

/// Checks that the program answers.
#[track_caller]
fn answers(alice: &mut Terminal, n: u64) {
    // However much arrives before the answer. Each row is read about once.
    let seen = Cell::new(alice.rows());
    alice.enter(&format!("{CLEAR}history nobody{n}"));
    let answer = format!("no messages with nobody{n}");
    alice.until(&answer, |screen| {
        let from = seen.replace(screen.rows());
        screen.since(from.saturating_sub(10)).any(|row| row == answer)
    });
}

fn logged_in(server: &Server) -> (Terminal, Client) {
    let mut alice = Terminal::start(server);
    alice.log_in("alice");
    (alice, server.online("bob"))
}

/// The number of the message that a line tells. What was typed may stand before it, where the terminal
/// has wrapped that into a second row and the program has erased the second one alone.
fn told(line: &str) -> Option<u64> {
    line.split_once("bob: m")?.1.trim_end().strip_suffix('.')?.parse().ok()
}

#[test]
fn a_message_is_read_whole_however_the_terminal_wraps_it() {
    let mut screen = Screen::new(100);
    screen.write("x".repeat(80).as_bytes());
    screen.reflow(50);
    screen.write(b"\r\x1b[Jbob: m7.\r\n");
    screen.reflow(53);

    assert!(!screen.lines().iter().any(|row| row.contains("bob: m7.")), "it is in two rows");
    assert_eq!(screen.whole_lines().iter().find_map(|line| told(line)), Some(7));
}

#[test]
fn no_message_is_missing_whatever_is_pressed_while_a_thousand_a_second_arrive() {
    let seconds = setting("WHOELSE_SOAK_SECONDS", 2);
    let mut chance = Chance::new(setting("WHOELSE_SOAK_SEED", 1), 1);
    let server = started();
    let (mut alice, bob) = logged_in(&server);

    let until = Instant::now() + Duration::from_secs(seconds);
    let flood = Flood::begin(bob);
    let mut asked = 0;
    while Instant::now() < until {
        (0..20).for_each(|_| play(&mut alice, &mut chance));
        answers(&mut alice, asked);
        asked += 1;
    }
    let (_bob, sent) = flood.end();

    // Now the client must take what it has not taken yet.
    let last = format!("bob: m{}.", sent - 1);
    alice.until(&last, |screen| screen.recent(RECENT).any(|row| row.ends_with(&last)));
    let lines = alice.whole_lines();
    let mut next = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        if let Some(number) = told(line) {
            assert_eq!(number, next.1, "in order, each once; {:#?}", &lines[next.0..=at]);
            next = (at, number + 1);
        }
    }
    assert_eq!(next.1, sent, "every one; at the end {:#?}", &lines[next.0..]);
    alice.until("nothing was drawn above", |screen| screen.went_up() == 0);
    println!("{sent} messages in {seconds} s, {asked} answers");

    alice.enter(&format!("{CLEAR}quit"));
    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn the_program_ends_when_it_is_told_to_whatever_is_pressed_and_arrives() {
    let rounds = setting("WHOELSE_SOAK_SECONDS", 4);
    let mut chance = Chance::new(setting("WHOELSE_SOAK_SEED", 1), 2);
    let mut server = started();
    for round in 0..rounds {
        // Each login probes a name, which a server limits.
        if round % 12 == 11 {
            server = started();
        }
        let (mut alice, bob) = logged_in(&server);
        let flood = Flood::begin(bob);
        (0..chance.number(0, 20)).for_each(|_| play(&mut alice, &mut chance));

        match round % 4 {
            0 => alice.press("\u{3}"),
            1 => alice.enter(&format!("{CLEAR}quit")),
            2 => common::signal(&alice.child, Signal::TERM),
            _ => common::signal(&alice.child, Signal::HUP),
        }

        assert_eq!(alice.ends().code(), Some(0), "round {round}");
        flood.end();
    }
}
