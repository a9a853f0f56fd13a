//! `whoelse backup` and `whoelse restore` beside a running server.
//!
//! The files travel through the data directory, where the server and whoever may talk to it over
//! the admin socket can both read and write; so the server touches no other place on anybody's
//! behalf. What is under way is asked for again and again: it may take longer than a request may.
//!
//! A backup is put aside first, where it has to show that it fits together. Only then is a server
//! needed that does nothing else: [`Server::restore`](crate::Server::restore) ends this one; whoever
//! runs it starts the next.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use whoelse_core::kit::BoxFuture;
use whoelse_core::node::{Upkeep, Wish};
use whoelse_store::{Aside, Store};

/// How the names of files begin that are ours to write or read.
pub const PREFIX: &str = "transfer-";
/// Where a backup is put aside in the data directory.
const ASIDE: &str = "transfer-aside.db";

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Running,
    /// It ended so, well or not.
    Ended(Result<String, String>),
}

/// Does what it is asked to, one thing at a time.
#[derive(Debug)]
pub(crate) struct Transfers {
    folder: PathBuf,
    store: Store,
    /// Held for a look or a change.
    state: Mutex<State>,
    /// What is to take the place of everything.
    wanted: Mutex<Option<Aside>>,
    wish: Notify,
}

impl Transfers {
    pub fn new(folder: &Path, store: Store) -> Arc<Transfers> {
        // Of a server that was killed.
        Aside::remove_left_over(&folder.join(ASIDE));
        Arc::new(Transfers {
            folder: folder.to_owned(),
            store,
            state: Mutex::new(State::Idle),
            wanted: Mutex::default(),
            wish: Notify::new(),
        })
    }

    /// What the rules call when an administrator asks.
    pub fn answer(self: Arc<Transfers>) -> Upkeep {
        Box::new(move |wish| -> BoxFuture<'static, Result<String, String>> {
            let transfers = self.clone();
            Box::pin(async move {
                match wish {
                    Wish::Backup(name) => transfers.backup(&name),
                    Wish::Restore(name) => transfers.restore(&name),
                    Wish::Progress => transfers.progress(),
                }
            })
        })
    }

    fn backup(self: &Arc<Transfers>, name: &str) -> Result<String, String> {
        let path = self.begin(name)?;
        let (transfers, runtime) = (self.clone(), tokio::runtime::Handle::current());
        // On a thread of its own, since files are written without an await.
        tokio::task::spawn_blocking(move || {
            let done = runtime.block_on(transfers.store.backup(&path));
            match &done {
                Ok(rows) => tracing::info!(rows, "backed_up"),
                Err(error) => tracing::error!(%error, "not_backed_up"),
            }
            let done = done.map(|rows| format!("{rows} rows")).map_err(|error| error.to_string());
            transfers.set(State::Ended(done));
        });
        Ok("begun".to_owned())
    }

    fn restore(self: &Arc<Transfers>, name: &str) -> Result<String, String> {
        let path = self.begin(name)?;
        let (transfers, runtime) = (self.clone(), tokio::runtime::Handle::current());
        // As above.
        tokio::task::spawn_blocking(move || {
            tracing::info!("restore_begins");
            let there = transfers.folder.join(ASIDE);
            match runtime.block_on(Aside::of_backup(&path, &there)) {
                Ok(aside) => {
                    *transfers.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(aside);
                    transfers.wish.notify_one();
                }
                Err(error) => {
                    tracing::warn!(%error, "restore_refused");
                    transfers.set(State::Ended(Err(error.to_string())));
                }
            }
        });
        Ok("begun".to_owned())
    }

    fn progress(&self) -> Result<String, String> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Idle => Err("nothing is under way".to_owned()),
            State::Running => Ok("running".to_owned()),
            State::Ended(Ok(what)) => Ok(format!("done: {what}")),
            State::Ended(Err(why)) => Err(why.clone()),
        }
    }

    /// Takes the one place for something under way.
    fn begin(&self, name: &str) -> Result<PathBuf, String> {
        let is_ours = name.strip_prefix(PREFIX).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        if !is_ours {
            return Err(format!("{name} is not the name of a file for this"));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Running {
            return Err("a backup or restore is under way; wait for its end".to_owned());
        }
        *state = State::Running;
        Ok(self.folder.join(name))
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// How the restore ended for which the server before this one was ended.
    pub fn restored(&self, how: Result<String, String>) {
        self.set(State::Ended(how));
    }

    /// Waits until a backup is to be restored.
    pub async fn wanted(&self) -> Aside {
        loop {
            self.wish.notified().await;
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take();
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
    use whoelse_store::Place;

    #[tokio::test]
    async fn a_name_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Place::Memory).await.unwrap();
        let transfers = Transfers::new(dir.path(), store);

        for name in ["", "transfer-", "x", "../transfer-1", "transfer-/../x", "transfer-a/b", "/x"]
        {
            assert!(transfers.backup(name).is_err(), "{name}");
            assert!(transfers.restore(name).is_err(), "{name}");
        }
        assert!(transfers.progress().is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn one_thing_is_under_way_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Place::Memory).await.unwrap();
        let transfers = Transfers::new(dir.path(), store);
        transfers.set(State::Running);

        assert!(transfers.backup("transfer-1").unwrap_err().contains("under way"));
        assert_eq!(transfers.progress().unwrap(), "running");
        transfers.restored(Ok("7 rows".into()));
        assert_eq!(transfers.progress().unwrap(), "done: 7 rows");
    }
}
