//! Files in the user's state directory: readable by their owner alone, bounded, and replaced as a
//! whole.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::digest;
use whoelse_stream::hex;

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Reads a file; `None` if there is none.
pub fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::metadata(file) {
        Ok(found) if found.len() > MAX_FILE => {
            Err(io::Error::other(format!("{} is too large", file.display())))
        }
        Ok(_) => fs::read_to_string(file).map(Some),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Writes a temporary file and renames it, so that no reader sees half of it, even after a power
/// failure.
pub fn replace(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut new = create_private(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, file)
}

/// Takes a file for this process, until what is returned is dropped; `None` if another process has it.
/// The lock is a file beside it that stays, since the file itself is replaced as a whole.
pub fn lock(file: &Path) -> io::Result<Option<File>> {
    let lock = create_private(&file.with_extension("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(fault)) => Err(fault),
    }
}

/// Returns the name of a file about an address: a hash, since an address may be long and hold any
/// character.
pub fn name_of(address: &str) -> String {
    let hash = digest::digest(&digest::SHA256, address.as_bytes());
    hex::encode(hash.as_ref().get(..16).unwrap_or_default())
}

/// Makes a directory for its owner alone; an existing one is left as it is.
#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Makes a directory; on this system the user's profile is private already.
#[cfg(not(unix))]
fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Opens an empty file for its owner alone, in a directory that is made if it is missing.
fn create_private(file: &Path) -> io::Result<File> {
    if let Some(directory) = file.parent() {
        make_private(directory)?;
    }
    open_private(file)
}

#[cfg(unix)]
fn open_private(file: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)
}

#[cfg(not(unix))]
fn open_private(file: &Path) -> io::Result<File> {
    File::create(file)
}
