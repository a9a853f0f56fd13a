//! behaviour.md, Start: the data directory, held by one server at a time.
//!
//! The lock is taken before anything in the directory is opened, and kept as long as [`DataDir`]
//! lives. Until [`DataDir::keep`] is called, dropping it removes what this start has made, so a
//! start that fails leaves nothing half-made.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use whoelse_xmpp::in_words;

/// What a start that failed may leave in a data directory: each file with the files that belong to
/// it. They are removed together, and only if the first one was missing when the start began.
const OURS: [&[&str]; 4] = [
    &["whoelse.db", "whoelse.db-wal", "whoelse.db-shm"],
    &["certificate.pem", "certificate.new"],
    &["key.pem", "key.new"],
    &["admin.sock"],
];

/// The data directory of a running server.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Locked; the system unlocks it when the process ends, however it ends.
    lock: File,
    /// Whether this start made the directory.
    made: bool,
    /// Whether this start made the file of the lock.
    made_lock: bool,
    /// What this start did not find in it.
    missing: Vec<&'static str>,
    kept: bool,
}

/// Why there is no data directory. The text is a whole sentence for the operator.
#[derive(Debug)]
pub enum DataDirError {
    /// It cannot be made or written.
    Unwritable(PathBuf, io::Error),
    /// Another server has it; with its process number, if it says so.
    InUse(PathBuf, Option<u32>),
}

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataDirError::Unwritable(path, error) if error.kind() == io::ErrorKind::NotFound => {
                let path = path.display();
                write!(f, "cannot write the data directory {path}: make the folder it is in first")
            }
            DataDirError::Unwritable(path, error) => {
                let words = in_words(error);
                write!(f, "cannot write the data directory {}: {words}", path.display())
            }
            DataDirError::InUse(path, Some(pid)) => {
                let path = path.display();
                write!(f, "the data directory {path} is in use by another server (pid {pid})")
            }
            DataDirError::InUse(path, None) => {
                write!(f, "the data directory {} is in use by another server", path.display())
            }
        }
    }
}

impl std::error::Error for DataDirError {}

impl DataDir {
    /// Takes the directory, making it if it is not there.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let unwritable = |error: io::Error| DataDirError::Unwritable(path.to_owned(), error);
        let path_now = std::path::absolute(path).map_err(unwritable)?;
        let made = match DirBuilder::new().mode(0o700).create(&path_now) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(unwritable(error)),
        };
        let taken = take_lock(&path_now.join("lock"));
        match taken {
            Ok(Ok((lock, made_lock))) => {
                // Looked at under the lock: nobody else creates any of it now.
                let is_missing = |files: &&[&str]| {
                    fs::symlink_metadata(path_now.join(files[0]))
                        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
                };
                let missing = OURS.into_iter().filter(is_missing).flatten().copied().collect();
                Ok(DataDir { path: path_now, lock, made, made_lock, missing, kept: false })
            }
            Ok(Err(pid)) => Err(DataDirError::InUse(path.to_owned(), pid)),
            Err(error) => {
                if made {
                    // The directory is empty except for the lock, which could not be taken.
                    let _ = fs::remove_file(path_now.join("lock"));
                    let _ = fs::remove_dir(&path_now);
                }
                Err(unwritable(error))
            }
        }
    }

    /// Where it is, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this start made it.
    pub fn is_new(&self) -> bool {
        self.made
    }

    /// Returns whether users other than the owner can read it. It is made readable for its owner
    /// alone, so somebody must have changed that.
    pub fn is_open_to_others(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path.join(crate::config::DATABASE)
    }

    /// The start has succeeded: everything stays.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

/// Takes the lock, or says who has it. Also returns whether this made the file.
fn take_lock(path: &Path) -> io::Result<Result<(File, bool), Option<u32>>> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let (mut lock, made) = match options.clone().create_new(true).open(path) {
            Ok(lock) => (lock, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match options.open(path) {
                    Ok(lock) => (lock, false),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            // A start that failed has removed the file meanwhile: the lock of what it was holds
            // nobody off.
            Ok(()) if !is_at(path, &lock)? => {}
            Ok(()) => {
                lock.set_len(0)?;
                lock.rewind()?;
                writeln!(lock, "{}", std::process::id())?;
                return Ok(Ok((lock, made)));
            }
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The holder may be writing its number just now; then none is read.
                let _ = lock.read_to_string(&mut pid);
                return Ok(Err(pid.trim().parse().ok()));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Whether the open file is the one at this path.
fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    let identity = |about: &Metadata| (about.dev(), about.ino());
    let open = identity(&file.metadata()?);
    Ok(fs::metadata(path).is_ok_and(|found| identity(&found) == open))
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if !self.kept {
            for name in &self.missing {
                let _ = fs::remove_file(self.path.join(name));
            }
            // Whoever is about to take this very file sees that it is gone, and makes another.
            if self.made_lock {
                let _ = fs::remove_file(self.path.join("lock"));
            }
            if self.made {
                // Fails, and so leaves the directory, if somebody else has put something in.
                let _ = fs::remove_dir(&self.path);
            }
        }
        // Explicit for the reader; closing the file unlocks it as well.
        let _ = self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        (dir, path)
    }

    #[test]
    fn a_new_directory_is_for_its_owner_alone() {
        let (_dir, path) = place();
        let mut data = DataDir::open(&path).unwrap();
        data.keep();

        assert!(data.is_new());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_that_others_may_look_into_is_noticed() {
        let (_dir, path) = place();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();

        assert!(DataDir::open(&path).unwrap().is_open_to_others());
    }

    #[test]
    fn a_second_server_is_refused_and_told_who_has_it() {
        let (_dir, path) = place();
        let _first = DataDir::open(&path).unwrap();

        let refused = DataDir::open(&path).unwrap_err().to_string();

        let pid = std::process::id();
        assert!(
            refused.ends_with(&format!("is in use by another server (pid {pid})")),
            "{refused}"
        );
        assert!(path.exists());
    }

    #[test]
    fn a_directory_can_be_taken_again_when_its_server_is_gone() {
        let (_dir, path) = place();
        DataDir::open(&path).unwrap().keep();

        let again = DataDir::open(&path).unwrap();

        assert!(!again.is_new());
    }

    #[test]
    fn a_start_that_fails_leaves_nothing_behind() {
        let (_dir, path) = place();
        let data = DataDir::open(&path).unwrap();
        fs::write(data.path().join("key.pem"), "half").unwrap();
        drop(data);

        assert!(!path.exists());
    }

    #[test]
    fn a_start_that_fails_removes_nothing_it_has_found() {
        let (_dir, path) = place();
        DataDir::open(&path).unwrap().keep();
        fs::write(path.join("key.pem"), "precious").unwrap();
        fs::write(path.join("whoelse.db"), "precious").unwrap();

        let data = DataDir::open(&path).unwrap();
        fs::write(path.join("whoelse.db-wal"), "part of it").unwrap();
        drop(data);

        for (name, holds) in
            [("key.pem", "precious"), ("whoelse.db", "precious"), ("whoelse.db-wal", "part of it")]
        {
            assert_eq!(fs::read_to_string(path.join(name)).unwrap(), holds, "{name}");
        }
    }

    #[test]
    fn a_start_that_fails_leaves_nothing_in_a_directory_it_has_found() {
        let (_dir, path) = place();
        fs::create_dir(&path).unwrap();

        let data = DataDir::open(&path).unwrap();
        fs::write(path.join("whoelse.db"), "half").unwrap();
        fs::write(path.join("whoelse.db-wal"), "half").unwrap();
        drop(data);

        let left: Vec<_> = fs::read_dir(&path).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_lock_whose_file_was_removed_meanwhile_is_not_taken_for_the_lock() {
        let (_dir, path) = place();
        fs::create_dir(&path).unwrap();
        let at = path.join("lock");
        let failed = DataDir::open(&path).unwrap();
        let opened_before = File::open(&at).unwrap();
        drop(failed);
        assert!(!is_at(&at, &opened_before).unwrap());

        let _next = DataDir::open(&path).unwrap();

        assert!(!is_at(&at, &opened_before).unwrap());
        assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse(..))));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let (_dir, path) = place();
        let below = path.join("deep");

        let refused = DataDir::open(&below).unwrap_err().to_string();

        let named = format!("cannot write the data directory {}", below.display());
        assert!(refused.starts_with(&named), "{refused}");
        assert!(!path.exists());
    }
}
