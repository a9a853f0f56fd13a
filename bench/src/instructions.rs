//! Instructions per unit of work, counted by callgrind: a budget that a busy machine cannot move.
//!
//! Each case runs in processes of its own, with two different counts; their difference cancels
//! what both have in common (the start, the database, first uses). `bench/instructions.txt` has
//! the saved counts.

mod cases;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::Failed;
use cases::Case;

/// The counts that were saved.
const SAVED: &str = "bench/instructions.txt";
/// Each count is repeated this often; the median is used.
const RUNS: usize = 3;
/// A change smaller than this, in percent, is noise: addresses, hash seeds, salts, and the order
/// of threads.
const CHANGE: f64 = 10.0;

/// What is counted.
#[derive(clap::Args)]
pub struct Options {
    /// Only these cases.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Case>,
    /// Save the counts as those to compare with.
    #[arg(long)]
    save: bool,
    /// Run one case here, so many times, and count nothing.
    #[arg(long, hide = true)]
    times: Option<u64>,
}

/// Counts, and compares with what was saved.
pub fn run(options: &Options) -> Result<(), Failed> {
    let cases = if options.only.is_empty() { Case::ALL.to_vec() } else { options.only.clone() };
    if let Some(times) = options.times {
        return cases.iter().try_for_each(|case| cases::run(*case, times));
    }
    let saved = read(&fs::read_to_string(SAVED).unwrap_or_default());
    let mut counts = saved.clone();
    println!("{:<16} {:>12} {:>12} {:>8}  what", "case", "instructions", "saved", "change");
    for case in cases {
        let mut all = Vec::new();
        for _ in 0..RUNS {
            let few = callgrind(case, case.times())?;
            let many = callgrind(case, case.times() * 3)?;
            all.push(many.saturating_sub(few) / (case.times() * 2 * case.units()));
        }
        all.sort_unstable();
        let each = all.get(RUNS / 2).copied().unwrap_or_default();
        let before = saved.get(case.name()).copied();
        let change = before.map(|before| 100.0 * (each as f64 / before as f64 - 1.0));
        println!(
            "{:<16} {each:>12} {:>12} {:>8}  {}",
            case.name(),
            before.map_or_else(|| "–".to_owned(), |before| before.to_string()),
            change.map_or_else(String::new, |change| match change.abs() < CHANGE {
                true => "same".to_owned(),
                false => format!("{change:+.1} %"),
            }),
            case.what(),
        );
        counts.insert(case.name().to_owned(), each);
    }
    if options.save {
        fs::write(SAVED, write(&counts))?;
        println!("saved to {SAVED}");
    }
    Ok(())
}

/// The instructions of one run, in all threads, without the kernel's.
fn callgrind(case: Case, times: u64) -> Result<u64, Failed> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["instructions", "--only", case.name(), "--times", &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind (Debian: apt install valgrind): {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split("Collected :").nth(1));
    match collected.and_then(|count| count.trim().parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("{} could not be counted: {said}", case.name()).into()),
    }
}

fn read(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).fold(BTreeMap::new(), |mut all, (name, count)| {
        if let Ok(count) = count.trim().parse() {
            all.insert(name.to_owned(), count);
        }
        all
    })
}

fn write(counts: &BTreeMap<String, u64>) -> String {
    let mut text =
        "# Instructions per unit of work: `whoelse-bench instructions --save`.\n".to_owned();
    for (name, count) in counts {
        let _ = writeln!(text, "{name} {count}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_can_be_read_again() {
        let counts = BTreeMap::from([("route".to_owned(), 3000), ("scan".to_owned(), 900)]);

        assert_eq!(read(&write(&counts)), counts);
    }
}
