//! Runs this program once more under valgrind (Debian: `apt install valgrind`), which counts what a
//! busy machine cannot move: instructions, and bytes on the heap.

use std::fs;
use std::hint::black_box;
use std::process::Command;

use serde_json::Value;

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
/// ended, without those of SQLite: how large its caches are depends on when it opens a connection.
pub fn bytes_held(arguments: &[&str]) -> Result<u64, Failed> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let options = ["--tool=dhat".to_owned(), format!("--dhat-out-file={}", counts.display())];
    let said = valgrind(&options, arguments)?;
    let counts: Value = serde_json::from_slice(&fs::read(counts)?)?;
    let list = |of: &Value, key: &str| of.get(key).and_then(Value::as_array).cloned();
    let (functions, points) = list(&counts, "ftbl")
        .zip(list(&counts, "pps"))
        .ok_or_else(|| format!("dhat counted nothing: {said}"))?;
    let is_of_sqlite = |function: &Value| {
        let name = function.as_u64().and_then(|at| functions.get(usize::try_from(at).ok()?));
        name.and_then(Value::as_str).is_some_and(|name| name.contains("sqlite3Mem"))
    };
    let ours = points
        .iter()
        .filter(|point| list(point, "fs").is_none_or(|called| !called.iter().any(is_of_sqlite)));
    Ok(ours.filter_map(|point| point.get("eb")?.as_u64()).sum())
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
