//! `whoelse backup FILE` and `whoelse restore FILE`: copies everything that a running server
//! remembers into a file, and back.
//!
//! The server reads and writes only in its data directory. This command, which needs access to the
//! server anyway, moves the file to and from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use whoelse_client::{RequestError, admin};
use whoelse_server::maintenance::PREFIX;
use whoelse_store::check_backup;
use whoelse_xmpp::in_words;

use super::{Fault, ask, say, socket};
use crate::cli::{self, Running};
use crate::say::text;

/// How often the server is asked for its progress.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a restoring server may take: it answers nobody meanwhile.
const AWAY: Duration = Duration::from_secs(24 * 3600);
/// How long the lock may be free between the end of one server and the start of the next.
const BETWEEN: Duration = Duration::from_secs(3);

/// Makes a backup.
pub async fn backup(options: cli::Backup) -> Result<(), Fault> {
    let (file, running) = (&options.file, &options.running);
    if file.exists() {
        return Err(fault(file, "is there already and is not overwritten"));
    }
    if let Some(folder) = missing_folder(file) {
        let shown = folder.display();
        return Err(fault(folder, format!("there is no such folder; `mkdir -p {shown}` makes it")));
    }
    // Created before the work begins, so that a folder that cannot be written is noticed now.
    let taken = create(file).map_err(|error| fault(file, in_words(&error)))?;
    let between = Between::new(running);
    let made = async {
        let mut link = socket::open(running, None).await?;
        admin::backup(&mut link, &between.name).await?;
        let done = ended(&mut link).await;
        link.close().await;
        let rows = done?;
        bring(&between.path, taken).map_err(|error| fault(file, in_words(&error)))?;
        Ok(rows)
    };
    match made.await {
        Ok(rows) => say(text::line(&format!("{} holds {rows}", file.display()))),
        Err(why) => {
            let _ = fs::remove_file(file);
            Err(why)
        }
    }
}

/// Restores a backup.
pub async fn restore(options: cli::Restore) -> Result<(), Fault> {
    let (file, running) = (&options.file, &options.running);
    check_backup(file).map_err(|error| Fault::Say(error.to_string()))?;
    socket::check(running).await?;
    let shown = text::line(&file.display().to_string());
    let question = format!("Put {shown} in place of everything this server remembers?");
    ask::confirm(options.yes, question, "nothing was restored").await?;
    let between = Between::new(running);
    let put = create(&between.path).and_then(|there| {
        let owner = fs::metadata(&running.data)?;
        bring(file, there)?;
        match rustix::process::geteuid().is_root() {
            // The server may run as another user.
            true => chown(&between.path, Some(owner.uid()), Some(owner.gid())),
            false => Ok(()),
        }
    });
    put.map_err(|error| fault(&between.path, in_words(&error)))?;
    let mut link = socket::open(running, None).await?;
    let done = async {
        admin::restore(&mut link, &between.name).await?;
        ended(&mut link).await
    };
    let rows = match done.await {
        // The restore ends every session, perhaps before this one hears that it has begun.
        Err(Lost::Connection) => again(running).await?,
        done => done?,
    };
    link.close().await;
    say(text::line(&format!("{} is restored, {rows}; everybody logs in again", file.display())))
}

/// Why the result is not known.
enum Lost {
    Connection,
    Fault(Fault),
}

impl From<RequestError> for Lost {
    fn from(why: RequestError) -> Lost {
        match why {
            RequestError::ConnectionLost => Lost::Connection,
            why => Lost::Fault(why.into()),
        }
    }
}

impl From<Lost> for Fault {
    fn from(lost: Lost) -> Fault {
        match lost {
            Lost::Connection => RequestError::ConnectionLost.into(),
            Lost::Fault(fault) => fault,
        }
    }
}

/// Waits for the end, and returns how much was transferred.
async fn ended(link: &mut whoelse_client::Link) -> Result<String, Lost> {
    loop {
        let said = admin::maintenance(link).await?;
        if let Some(rows) = said.strip_prefix("done: ") {
            return Ok(rows.to_owned());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits again after the server has ended every session: asks the next server.
async fn again(running: &Running) -> Result<String, Fault> {
    let (begun, mut held) = (Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(PAUSE).await;
        let last = match socket::open(running, None).await {
            Ok(mut link) => {
                let done = ended(&mut link).await;
                link.close().await;
                match done {
                    Ok(rows) => return Ok(rows),
                    Err(Lost::Fault(fault)) => return Err(fault),
                    Err(lost) => lost.into(),
                }
            }
            Err(fault) => fault,
        };
        // A working server holds the lock; it is free only for a moment between two servers.
        if is_held(&running.data) {
            held = Instant::now();
        }
        if begun.elapsed() > AWAY || held.elapsed() > BETWEEN {
            return Err(last);
        }
    }
}

/// Returns whether a server holds the lock of the data directory.
fn is_held(data: &Path) -> bool {
    let lock = OpenOptions::new().write(true).open(data.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// A file in the data directory; dropping it removes the file.
struct Between {
    name: String,
    path: PathBuf,
}

impl Between {
    fn new(running: &Running) -> Between {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{PREFIX}{}-{now}", std::process::id());
        Between { path: running.data.join(&name), name }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let _ = say(text::line(&format!(
                    "{} is left behind: {}",
                    self.path.display(),
                    in_words(&error)
                )));
            }
            _ => {}
        }
    }
}

/// Returns the folder that this file would be in, if it is not there.
fn missing_folder(file: &Path) -> Option<&Path> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    matches!(folder.try_exists(), Ok(false)).then_some(folder)
}

/// Creates a file for its owner alone; fails if it exists.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Copies a file into an open one and syncs it.
fn bring(from: &Path, mut to: File) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut to)?;
    to.sync_all()
}

fn fault(path: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::Say(format!("{}: {why}", path.display()))
}
