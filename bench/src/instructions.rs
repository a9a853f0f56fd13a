//! Instructions per unit of work, counted by callgrind: a budget that a busy machine cannot move.
//!
//! Each case runs in a process of its own. It does its work some times uncounted, so that the start
//! and all first uses are over, and then so often that what is left of chance (hash seeds, salts,
//! the order of threads) is less than [`CHANGE`]. `bench/instructions.txt` has the saved counts.

mod cases;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use crate::{Failed, valgrind};
use cases::Case;

/// The counts that were saved.
const SAVED: &str = "bench/instructions.txt";
/// A change smaller than this, in percent, is noise: mostly the state in which the allocator is.
const CHANGE: f64 = 2.0;

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

/// Counts each case three times, and compares the median with what was saved.
pub fn run(options: &Options) -> Result<(), Failed> {
    let cases = if options.only.is_empty() { Case::ALL.to_vec() } else { options.only.clone() };
    if let Some(times) = options.times {
        return cases.iter().try_for_each(|case| cases::run(*case, times));
    }
    let saved = read(&fs::read_to_string(SAVED).unwrap_or_default());
    let mut counts = saved.clone();
    println!(
        "{:<16} {:>12} {:>8} {:>12} {:>8}  what",
        "case", "instructions", "spread", "saved", "change"
    );
    for case in cases {
        let mut runs = [0; 3];
        for count in &mut runs {
            let times = case.times().to_string();
            let arguments = ["instructions", "--only", case.name(), "--times", &times];
            *count = valgrind::instructions(&arguments)? / (case.times() * case.units());
        }
        runs.sort_unstable();
        let [least, each, most] = runs;
        let before = saved.get(case.name()).copied();
        let change = before.map(|before| percent(each, before));
        println!(
            "{:<16} {each:>12} {:>8} {:>12} {:>8}  {}",
            case.name(),
            format!("{:.1} %", percent(most, least)),
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

/// By how much this is more than `than`.
fn percent(this: u64, than: u64) -> f64 {
    100.0 * (this as f64 / than as f64 - 1.0)
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
