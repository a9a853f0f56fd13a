//! Runs fuzz targets: `whoelse-fuzz [TARGET…] [--seconds N] [--seed S] [FILE…]`.
//!
//! Without a target all run; with files, the targets run on these instead of on inputs of our own
//! making. An input that fails is written to `fuzz/artifacts`, and the program says how to run it
//! again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, panic, thread};

use whoelse_fuzz::random::Random;
use whoelse_fuzz::{ALL, Target};

const USAGE: &str = "usage: whoelse-fuzz [TARGET…] [--seconds N] [--seed S] [FILE…]";

struct Plan {
    targets: Vec<Target>,
    seconds: u64,
    seed: u64,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let plan = match plan(env::args().skip(1)) {
        Ok(plan) => plan,
        Err(message) => {
            let names: Vec<_> = ALL.iter().map(|target| target.name).collect();
            eprintln!("{message}\n{USAGE}\ntargets: {}", names.join(", "));
            return ExitCode::from(2);
        }
    };
    let all_well = if plan.files.is_empty() {
        fuzz_all(&plan)
    } else {
        plan.targets.iter().all(|target| replay(*target, &plan.files))
    };
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs as many targets at once as there are processors, until one fails.
fn fuzz_all(plan: &Plan) -> bool {
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let (next, all_well) = (AtomicUsize::new(0), AtomicBool::new(true));
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while all_well.load(Ordering::Relaxed)
                    && let Some(target) = plan.targets.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    all_well.fetch_and(fuzz(*target, plan), Ordering::Relaxed);
                }
            });
        }
    });
    all_well.into_inner()
}

fn plan(arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut plan = Plan { targets: Vec::new(), seconds: 10, seed: 0, files: Vec::new() };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().and_then(|value| value.parse().ok());
            value.ok_or_else(|| format!("{argument} wants a number"))
        };
        match argument.as_str() {
            "--seconds" => plan.seconds = number()?,
            "--seed" => plan.seed = number()?,
            name => match Target::named(name) {
                Some(target) => plan.targets.push(target),
                None if Path::new(name).is_file() => plan.files.push(name.into()),
                None => return Err(format!("{name} is neither a target nor a file")),
            },
        }
    }
    if plan.targets.is_empty() {
        plan.targets = ALL.to_vec();
    }
    Ok(plan)
}

/// Runs until the time is over; whether nothing failed.
fn fuzz(target: Target, plan: &Plan) -> bool {
    let end = Instant::now() + Duration::from_secs(plan.seconds);
    let mut executions = 0;
    let mut random = Random::new(plan.seed);
    while Instant::now() < end {
        // A little at a time, so that the clock is not asked too often.
        for _ in 0..64 {
            let input = random.bytes();
            executions += 1;
            if panic::catch_unwind(|| (target.run)(&input)).is_err() {
                report(target, &input);
                return false;
            }
        }
    }
    println!("{}: {executions} executions in {} s, seed {}", target.name, plan.seconds, plan.seed);
    true
}

fn report(target: Target, input: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    let path = folder.join(format!("{}-{:016x}", target.name, fingerprint(input)));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input));
    match written {
        Ok(()) => eprintln!(
            "{} failed; run it again with\n  cargo run -p whoelse-fuzz -- {} {}",
            target.name,
            target.name,
            path.display()
        ),
        Err(error) => eprintln!("{} failed on {input:?}, not written: {error}", target.name),
    }
}

/// FNV-1a, to name a file.
fn fingerprint(input: &[u8]) -> u64 {
    let step = |hash: u64, b: &u8| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01B3);
    input.iter().fold(0xCBF2_9CE4_8422_2325, step)
}

fn replay(target: Target, files: &[PathBuf]) -> bool {
    files.iter().all(|file| match fs::read(file) {
        Ok(input) => {
            let well = panic::catch_unwind(|| (target.run)(&input)).is_ok();
            println!("{} {}: {}", target.name, file.display(), if well { "ok" } else { "failed" });
            well
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            false
        }
    })
}
