//! Runs this program once more under valgrind (Debian: `apt install valgrind`), which counts what a
//! busy machine cannot move: instructions, and bytes on the heap.

use std::fs;
use std::hint::black_box;
use std::process::Command;

use crate::Failed;

/// Instructions are counted from the first call of this function to the second. Valgrind finds it by
/// its name.
#[inline(never)]
pub fn count_boundary() {
    black_box(());
}

/// Runs this program with these arguments. Returns how many instructions all its threads executed
/// between the two calls of [`count_boundary`], without the kernel's.
pub fn instructions(arguments: &[&str]) -> Result<u64, Failed> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let options = [
        "--tool=callgrind".to_owned(),
        "--dump-before=*valgrind::count_boundary*".to_owned(),
        format!("--callgrind-out-file={}", counts.display()),
    ];
    let said = valgrind(&options, arguments)?;
    // The first file has what came before, and the second what was counted.
    let dump = fs::read_to_string(counts.with_extension("2"))
        .map_err(|error| format!("callgrind counted nothing ({error}): {said}"))?;
    let total = dump.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    total.ok_or_else(|| format!("callgrind gave no total: {said}").into())
}

/// Runs this program with these arguments. Returns how many bytes of the heap it still held when it
/// ended.
pub fn bytes_held(arguments: &[&str]) -> Result<u64, Failed> {
    let options = ["--tool=dhat".to_owned(), "--dhat-out-file=/dev/null".to_owned()];
    let said = valgrind(&options, arguments)?;
    let held = said.lines().find_map(|line| line.split("At t-end:").nth(1));
    let held = held.and_then(|held| held.split_whitespace().next());
    let held = held.and_then(|bytes| bytes.replace(',', "").parse().ok());
    held.ok_or_else(|| format!("dhat gave no total: {said}").into())
}

/// Returns what valgrind said.
fn valgrind(options: &[String], arguments: &[&str]) -> Result<String, Failed> {
    let output = Command::new("valgrind")
        .args(options)
        .arg(std::env::current_exe()?)
        .args(arguments)
        .output()
        .map_err(|error| format!("valgrind (Debian: apt install valgrind): {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("{arguments:?} failed under valgrind: {said}").into()),
    }
}
