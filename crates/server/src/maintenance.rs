//! `whoelse backup` and `whoelse restore` beside a running server.
//!
//! The files go through the data directory, which both the server and the administrator at the
//! admin socket can read and write; so the server touches no other path on a client's behalf. The
//! client polls for the result, because a backup may take longer than a request may.
//!
//! A backup is first loaded into a database aside, which shows whether it is consistent. To
//! replace the live database, the server must be doing nothing else:
//! [`Server::restore`](crate::Server::restore) ends this server, and its caller starts the next
//! one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use whoelse_core::Node;
use whoelse_core::audit::Deed;
use whoelse_core::kit::BoxFuture;
use whoelse_features::admin::{Maintenance, MaintenanceRequest};
use whoelse_store::{Aside, Store};

/// The prefix of the files that the server may write or read here.
pub const PREFIX: &str = "transfer-";
/// The file in the data directory into which a backup is loaded first.
const ASIDE: &str = "transfer-aside.db";

/// What is under way.
#[derive(Debug)]
enum State {
    Idle,
    /// Running. The deed is audited with the result when it ends, unless that was done already.
    Running(Option<Deed>),
    /// Finished, with its result.
    Ended(Outcome),
}

/// A result: how much was transferred, or in words why it failed.
pub type Outcome = Result<String, String>;

/// Runs backups and restores, one at a time.
#[derive(Debug)]
pub(crate) struct Transfers {
    folder: PathBuf,
    store: Store,
    node: Weak<Node>,
    /// Held for a look or a change.
    state: Mutex<State>,
    /// The loaded backup that is to replace the database.
    wanted: Mutex<Option<Aside>>,
    wish: Notify,
}

impl Transfers {
    /// `before`: the result of the restore for which the previous server was ended.
    pub fn new(
        folder: &Path,
        store: Store,
        node: Weak<Node>,
        before: Option<Outcome>,
    ) -> Arc<Transfers> {
        // Left by a server that was killed.
        Aside::remove_left_over(&folder.join(ASIDE));
        Arc::new(Transfers {
            folder: folder.to_owned(),
            store,
            node,
            state: Mutex::new(before.map_or(State::Idle, State::Ended)),
            wanted: Mutex::default(),
            wish: Notify::new(),
        })
    }

    /// Returns the function that the rules call when an administrator asks.
    pub fn answer(self: Arc<Transfers>) -> Maintenance {
        Maintenance(Box::new(move |wish| -> BoxFuture<'static, Result<String, String>> {
            let transfers = self.clone();
            Box::pin(async move {
                match wish {
                    MaintenanceRequest::Backup(name, end) => transfers.backup(&name, end),
                    MaintenanceRequest::Restore(name, end) => transfers.restore(&name, end),
                    MaintenanceRequest::Progress => transfers.progress(),
                }
            })
        }))
    }

    fn backup(self: &Arc<Transfers>, name: &str, end: Deed) -> Result<String, String> {
        let path = self.begin(name, end)?;
        let transfers = self.clone();
        self.work(async move {
            let done = transfers.store.backup(&path).await;
            match &done {
                Ok(rows) => tracing::info!(rows, "backed_up"),
                Err(error) => tracing::error!(%error, "not_backed_up"),
            }
            done.map(|rows| Some(format!("{rows} rows"))).map_err(|error| error.to_string())
        });
        Ok("begun".to_owned())
    }

    fn restore(self: &Arc<Transfers>, name: &str, end: Deed) -> Result<String, String> {
        let path = self.begin(name, end)?;
        let transfers = self.clone();
        self.work(async move {
            tracing::info!("restore_begins");
            let there = transfers.folder.join(ASIDE);
            match Aside::of_backup(&path, &there).await {
                Ok(aside) => {
                    *transfers.wanted.lock() = Some(aside);
                    transfers.wish.notify_one();
                    // It ends when this server does.
                    Ok(None)
                }
                Err(error) => {
                    tracing::warn!(%error, "restore_refused");
                    Err(error.to_string())
                }
            }
        });
        Ok("begun".to_owned())
    }

    /// Runs the work on a thread of its own, since files are written without an await. If it fails
    /// or panics it is over as well; only `Ok(None)` says that it goes on elsewhere.
    fn work(
        self: &Arc<Transfers>,
        job: impl Future<Output = Result<Option<String>, String>> + Send + 'static,
    ) -> JoinHandle<()> {
        let (transfers, runtime) = (self.clone(), Handle::current());
        tokio::spawn(async move {
            let done = tokio::task::spawn_blocking(move || runtime.block_on(job)).await;
            let done = done.unwrap_or_else(|_| Err("it broke off; the log says why".to_owned()));
            if let Some(end) = done.transpose() {
                transfers.ends(end).await;
            }
        })
    }

    fn progress(&self) -> Result<String, String> {
        match &*self.state.lock() {
            State::Idle => Err("nothing is under way".to_owned()),
            State::Running(_) => Ok("running".to_owned()),
            State::Ended(Ok(what)) => Ok(format!("done: {what}")),
            State::Ended(Err(why)) => Err(why.clone()),
        }
    }

    /// Takes the one place for running work.
    fn begin(&self, name: &str, end: Deed) -> Result<PathBuf, String> {
        let is_ours = name.strip_prefix(PREFIX).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        if !is_ours {
            return Err(format!("{name} is not the name of a file for this"));
        }
        let mut state = self.state.lock();
        if let State::Running(_) = *state {
            return Err("a backup or restore is under way; wait for its end".to_owned());
        }
        *state = State::Running(Some(end));
        Ok(self.folder.join(name))
    }

    /// Ends the running work with this result. The audit log gets it once, before anybody is told.
    pub async fn ends(&self, how: Outcome) {
        let deed = match &mut *self.state.lock() {
            State::Running(deed) => deed.take(),
            State::Idle | State::Ended(_) => None,
        };
        // `None`: somebody else has already ended it.
        let Some(deed) = deed else { return };
        if let Some(node) = self.node.upgrade() {
            node.record(Deed { end: how.clone(), ..deed }).await;
        }
        *self.state.lock() = State::Ended(how);
    }

    /// Waits until a backup is to be restored.
    pub async fn wanted(&self) -> Aside {
        loop {
            self.wish.notified().await;
            let wanted = self.wanted.lock().take();
            if let Some(aside) = wanted {
                return aside;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_core::settings::Settings;
    use whoelse_core::{Clock, Time};
    use whoelse_store::Location;

    /// Transfers of a node of its own, and the deeds that were audited.
    async fn transfers(folder: &Path) -> (Arc<Node>, Arc<Transfers>, Arc<Mutex<Vec<Deed>>>) {
        let store = Store::open(&Location::Memory).await.unwrap();
        let clock = Clock::manual(Time(0));
        let node = Node::start(Settings::default(), clock, store.clone(), &[], None).await.unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let to = written.clone();
        let audit = node.audit.set(Box::new(move |deed| -> BoxFuture<'static, ()> {
            to.lock().push(deed.clone());
            Box::pin(async {})
        }));
        assert!(audit.is_ok());
        let transfers = Transfers::new(folder, store, Arc::downgrade(&node), None);
        (node, transfers, written)
    }

    fn end() -> Deed {
        Deed::of("root@a.example", "192.0.2.1:40000", "ended", Time(0))
    }

    #[tokio::test]
    async fn a_name_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (_node, transfers, written) = transfers(dir.path()).await;

        for name in ["", "transfer-", "x", "../transfer-1", "transfer-/../x", "transfer-a/b", "/x"]
        {
            assert!(transfers.backup(name, end()).is_err(), "{name}");
            assert!(transfers.restore(name, end()).is_err(), "{name}");
        }
        assert!(transfers.progress().is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(written.lock().is_empty());
    }

    #[tokio::test]
    async fn one_thing_is_under_way_at_a_time_and_its_end_is_written_down_once() {
        let dir = tempfile::tempdir().unwrap();
        let (_node, transfers, written) = transfers(dir.path()).await;
        transfers.begin("transfer-1", end()).unwrap();

        assert!(transfers.backup("transfer-1", end()).unwrap_err().contains("under way"));
        assert_eq!(transfers.progress().unwrap(), "running");
        assert!(written.lock().is_empty());
        transfers.ends(Ok("7 rows".into())).await;
        transfers.ends(Err("stopped".into())).await;

        for _ in 0..2 {
            assert_eq!(transfers.progress().unwrap(), "done: 7 rows");
        }
        assert_eq!(*written.lock(), [Deed { end: Ok("7 rows".into()), ..end() }]);
    }

    #[tokio::test]
    async fn what_panics_is_over_and_the_next_thing_may_begin() {
        let dir = tempfile::tempdir().unwrap();
        let (_node, transfers, written) = transfers(dir.path()).await;
        transfers.begin("transfer-1", end()).unwrap();

        transfers.work(async { panic!("a backup that nobody has thought of") }).await.unwrap();

        assert!(transfers.progress().unwrap_err().contains("broke off"));
        assert!(written.lock()[0].end.is_err());
        transfers.begin("transfer-2", end()).unwrap();
    }

    #[tokio::test]
    async fn the_next_server_says_how_the_restore_before_it_ended_from_its_first_moment() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Memory).await.unwrap();

        let next = Transfers::new(dir.path(), store, Weak::new(), Some(Ok("7 rows".into())));

        assert_eq!(next.progress().unwrap(), "done: 7 rows");
    }
}
