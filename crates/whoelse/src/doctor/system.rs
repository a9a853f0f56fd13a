//! Disk space and descriptors, which run out first on a small machine.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use whoelse_core::settings::Limits;

use super::Finding;

/// With less free space than this, the write-ahead log alone may fill the disk.
const NO_ROOM: u64 = 64 << 20;
/// With less free space than this, somebody should find out what uses it.
const LITTLE_ROOM: u64 = 1 << 30;
/// Descriptors that the server needs besides its connections: database, log, listeners.
const OWN_FILES: u64 = 256;

/// Checks the disk of the data directory.
pub fn disk(data: &Path) -> Vec<Finding> {
    let place = existing(data);
    let about = match rustix::fs::statvfs(&place) {
        Ok(about) => about,
        Err(error) => return vec![Finding::unseen("disk", &place, &error.into())],
    };
    let free = bytes_free(&about);
    // Some file systems create inodes on demand and report none.
    let files = (about.f_files > 0).then_some((about.f_favail, about.f_files));
    vec![room(&place, free), inodes(&place, files)]
}

/// Returns how many bytes are free where a directory is.
pub fn free(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    rustix::fs::statvfs(&folder).ok().as_ref().map(bytes_free)
}

fn bytes_free(about: &rustix::fs::StatVfs) -> u64 {
    about.f_bavail.saturating_mul(about.f_frsize)
}

/// Returns the directory, or the existing one in which it will be made.
fn existing(data: &Path) -> PathBuf {
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    // A path that cannot be examined may exist.
    let found = data.ancestors().find(|path| path.try_exists().unwrap_or(true));
    found.unwrap_or(Path::new("/")).to_owned()
}

fn room(place: &Path, free: u64) -> Finding {
    let text = format!("{} MiB free at {}", free >> 20, place.display());
    match free {
        0..NO_ROOM => Finding::problem(
            "disk",
            text,
            "make room: messages are refused when nothing can be stored",
        ),
        NO_ROOM..LITTLE_ROOM => {
            Finding::warning("disk", text, "make room, or keep less with `history`")
        }
        _ => Finding::ok("disk", text),
    }
}

fn inodes(place: &Path, files: Option<(u64, u64)>) -> Finding {
    let shown = place.display();
    match files {
        Some((left, of)) if left < of / 100 && left < 1000 => Finding::problem(
            "disk",
            format!("only {left} files can still be made at {shown}"),
            "remove small files there",
        ),
        _ => Finding::ok("disk", format!("files can be made at {shown}")),
    }
}

/// Checks how many connections the system allows, to the running server or to one started from
/// here.
pub fn descriptors(limits: &Limits, pid: Option<u32>) -> Vec<Finding> {
    let of_server = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok());
    let of_server = of_server.as_deref().and_then(soft_limit);
    // A server raises its limit to the maximum.
    let most = of_server.or_else(|| getrlimit(Resource::Nofile).maximum);
    vec![enough(most, limits)]
}

fn enough(most: Option<u64>, limits: &Limits) -> Finding {
    let Some(most) = most else { return Finding::ok("descriptors", "are not limited") };
    let people = most.saturating_sub(OWN_FILES);
    let text = format!("{most}, enough for about {people} connections");
    let strangers = limits.half_open.saturating_add(limits.waiting());
    let strangers = u64::try_from(strangers).unwrap_or(u64::MAX);
    if people > strangers {
        return Finding::ok("descriptors", text);
    }
    Finding::warning(
        "descriptors",
        format!("{text}; {strangers} strangers who do not log in could take them all"),
        "raise the limit (LimitNOFILE=1048576 in the unit of systemd, or `ulimit -n`), or lower \
         `half_open` under [limits]",
    )
}

/// proc(5), `/proc/PID/limits`.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_disk_has_room_or_little_or_none() {
        let state = |free| room(Path::new("/"), free).state;

        assert_eq!((state(0), state(100 << 20)), (State::Problem, State::Warning));
        assert_eq!(state(2 << 30), State::Ok);
    }

    #[test]
    fn inodes_run_out_only_where_they_are_counted() {
        let state = |files| inodes(Path::new("/"), files).state;

        assert_eq!((state(None), state(Some((500_000, 1_000_000)))), (State::Ok, State::Ok));
        assert_eq!(state(Some((10, 1_000_000))), State::Problem);
    }

    #[test]
    fn strangers_alone_must_not_take_every_descriptor() {
        let state = |most| enough(most, &Limits::default()).state;

        assert_eq!((state(Some(1024)), state(Some(20_000))), (State::Warning, State::Ok));
        assert_eq!(state(None), State::Ok);
    }

    #[test]
    fn the_limit_of_a_process_is_read() {
        let text = "Limit           Soft Limit   Hard Limit  Units\n\
                    Max open files  1048576      1048576     files\n";

        assert_eq!(soft_limit(text), Some(1_048_576));
        assert_eq!(soft_limit("Max open files  unlimited  unlimited  files\n"), None);
    }

    #[test]
    fn the_disk_of_a_directory_to_be_made_is_that_of_its_parent() {
        assert_eq!(existing(Path::new("/nowhere/deep/data")), Path::new("/"));
        // It cannot be seen whether it exists.
        assert_eq!(existing(Path::new("/dev/null/data")), Path::new("/dev/null/data"));
    }
}
