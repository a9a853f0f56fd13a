//! Plays every scene of `scenes/` in memory and over sockets, and over a PostgreSQL for tests if there
//! is one; those of [`OVER_THE_WEB`] over WebSockets and BOSH, too, and with `WHOELSE_SCENES=all` every
//! one. A test for each file and each world. Takes the usual arguments (`cargo test -p
//! whoelse-testkit --test scenes -- blocking`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use whoelse_store::scratch::Scratch;
use whoelse_testkit::play::play;
use whoelse_testkit::scene::{self, Scene};
use whoelse_testkit::world::Kind;

/// A scene that took longer than this, in milliseconds, is reported with its time.
const SLOW: u128 = 1000;

/// The folders of what a framing could change: streams, logins, counting, attacks.
const OVER_THE_WEB: [&str; 12] = [
    "behaviour/log-in",
    "rfc-6120/",
    "rfc-7395/",
    "security/",
    "xep-0124/",
    "xep-0198/",
    "xep-0206/",
    "xep-0386/",
    "xep-0388/",
    "xep-0440/",
    "xep-0474/",
    "xep-0484/",
];

/// One scene in one world.
struct Test {
    name: String,
    path: PathBuf,
    kind: Kind,
}

/// The result.
enum Outcome {
    Good,
    Skipped(String),
    Bad(String),
}

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenes");
    let found = folder.canonicalize().and_then(|folder| scene::find(&folder));
    let files = match found {
        Ok(files) => files,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    };
    let mut kinds = vec![
        (Kind::Memory, "memory"),
        (Kind::WebSocket, "websocket"),
        (Kind::Bosh, "bosh"),
        (Kind::Sockets, "sockets"),
    ];
    if Scratch::server().is_some() {
        kinds.push((Kind::MemoryOnPostgres, "postgres"));
    }
    let all = std::env::var_os("WHOELSE_SCENES").is_some_and(|value| value == "all");
    let tests = kinds.into_iter().flat_map(|(kind, world)| {
        let is_web = matches!(kind, Kind::WebSocket | Kind::Bosh);
        let names = files.iter().map(|path| (path, scene::name(path)));
        let played = move |name: &str| {
            all || !is_web || OVER_THE_WEB.iter().any(|folder| name.starts_with(folder))
        };
        names.filter(move |(_, name)| played(name)).map(move |(path, name)| Test {
            name: format!("{world}/{name}"),
            path: path.clone(),
            kind,
        })
    });
    let tests: Vec<Test> = tests.filter(|test| arguments.wants(&test.name)).collect();
    if arguments.list {
        tests.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    note_panics();
    // Fails only if a subscriber is already set, and none is.
    let _ = tracing::subscriber::set_global_default(Alarms);
    run(tests)
}

/// Panics in tasks of the server, which tokio would hide.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics: nothing that arrives from a network may panic, so one fails the whole run.
fn note_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(panic);
    }));
}

/// Log events that need an operator, each with the scenes that were being played; no scene has a
/// reason for one, so one fails the whole run.
static ALARMS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The scenes that are being played.
static PLAYING: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes such events in the server's log.
struct Alarms;

impl Subscriber for Alarms {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && *metadata.level() == Level::ERROR
            && metadata.target().starts_with("whoelse")
    }

    fn event(&self, event: &Event<'_>) {
        let playing = PLAYING.lock().join(", ");
        ALARMS.lock().push(format!("an error was logged while playing {playing}: {event:?}"));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn run(tests: Vec<Test>) -> ExitCode {
    println!("\nplaying {} scenes", tests.len());
    let begin = Instant::now();
    let (queue, results) = (Mutex::new(VecDeque::from(tests)), Mutex::new(Vec::new()));
    // As in every other test program.
    let set = std::env::var("RUST_TEST_THREADS")
        .ok()
        .and_then(|threads| threads.parse().ok())
        .filter(|threads| *threads > 0);
    let threads: usize =
        set.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, |n| n.get()));
    // Not in the head of the loop: what is locked there stays so until the test is over.
    let next = || queue.lock().pop_front();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(test) = next() {
                    let begin = Instant::now();
                    PLAYING.lock().push(test.name.clone());
                    let outcome = run_one(&test);
                    PLAYING.lock().retain(|name| *name != test.name);
                    let took = begin.elapsed();
                    let word = match &outcome {
                        Outcome::Good => "ok".to_owned(),
                        Outcome::Skipped(why) => format!("ignored, {why}"),
                        Outcome::Bad(_) => "FAILED".to_owned(),
                    };
                    let slow = match took.as_millis() > SLOW {
                        true => format!(", after {:.1} s", took.as_secs_f64()),
                        false => String::new(),
                    };
                    println!("test {} ... {word}{slow}", test.name);
                    results.lock().push((test.name, outcome));
                }
            });
        }
    });
    report(results.into_inner(), begin)
}

fn run_one(test: &Test) -> Outcome {
    let scene = match Scene::open(&test.path) {
        Ok(scene) => scene,
        Err(fault) => return Outcome::Bad(format!("{}, {fault}", test.path.display())),
    };
    if let Some(why) = scene.skipped(test.kind) {
        return Outcome::Skipped(why);
    }
    match catch_unwind(AssertUnwindSafe(|| play(&scene, test.kind))) {
        Ok(Ok(())) => Outcome::Good,
        Ok(Err(failure)) => Outcome::Bad(failure.to_string()),
        Err(_) => Outcome::Bad("it panicked; see above".to_owned()),
    }
}

fn report(mut results: Vec<(String, Outcome)>, begin: Instant) -> ExitCode {
    results.sort_by(|one, other| one.0.cmp(&other.0));
    let count = |wanted: fn(&Outcome) -> bool| results.iter().filter(|r| wanted(&r.1)).count();
    let bad = count(|outcome| matches!(outcome, Outcome::Bad(_)));
    for (name, outcome) in &results {
        if let Outcome::Bad(why) = outcome {
            println!("\n---- {name} ----\n{why}");
        }
    }
    let panics = PANICS.load(Ordering::Relaxed);
    if panics > 0 {
        println!("\n{panics} panics; see above");
    }
    let alarms = ALARMS.lock();
    alarms.iter().for_each(|alarm| println!("\n{alarm}"));
    let bad = bad + panics + alarms.len();
    println!(
        "\ntest result: {}. {} passed; {bad} failed; {} ignored; finished in {:.2}s\n",
        if bad == 0 { "ok" } else { "FAILED" },
        count(|outcome| matches!(outcome, Outcome::Good)),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        begin.elapsed().as_secs_f64(),
    );
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The usual arguments of a test binary that are supported here.
#[derive(Default)]
struct Arguments {
    list: bool,
    exact: bool,
    ignored: bool,
    wanted: Vec<String>,
    skipped: Vec<String>,
}

impl Arguments {
    fn read() -> Arguments {
        let mut read = Arguments::default();
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--list" => read.list = true,
                "--exact" => read.exact = true,
                "--ignored" => read.ignored = true,
                "--skip" => read.skipped.extend(given.next()),
                "--test-threads" | "--format" | "--color" | "--logfile" => drop(given.next()),
                flag if flag.starts_with('-') => {}
                name => read.wanted.push(name.to_owned()),
            }
        }
        read
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |wanted: &String| match self.exact {
            true => name == wanted,
            false => name.contains(wanted.as_str()),
        };
        let wanted = self.wanted.is_empty() || self.wanted.iter().any(fits);
        wanted && !self.skipped.iter().any(fits) && !self.ignored
    }
}
