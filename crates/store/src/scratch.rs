//! For tests: a private schema on a PostgreSQL server, removed when it is dropped, and databases as
//! older versions have left them.
//!
//! The server is the one that `WHOELSE_TEST_POSTGRES` names. Each test has a schema of its own in
//! that database, so tests run side by side.

mod between;
mod old;

pub use between::{Between, Line};
pub use old::{old_backup, old_file};

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};

use crate::{Location, PostgresUrl};

/// The variable that names the server.
pub const VARIABLE: &str = "WHOELSE_TEST_POSTGRES";

/// A schema for one test.
#[derive(Debug)]
pub struct Scratch {
    server: PostgresUrl,
    schema: String,
}

impl Scratch {
    /// Returns the test server, if there is one.
    #[must_use]
    pub fn server() -> Option<String> {
        std::env::var(VARIABLE).ok().filter(|url| !url.is_empty())
    }

    /// Makes a schema; `None` if there is no test server.
    ///
    /// # Errors
    /// The error of the server, if the schema cannot be made.
    pub fn new() -> Option<Result<Scratch, String>> {
        Some(Scratch::on(&Scratch::server()?))
    }

    fn on(server: &str) -> Result<Scratch, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let schema = format!("test_{}_{next}_{now}", std::process::id());
        let server: PostgresUrl = server.parse().map_err(|error| format!("{VARIABLE}: {error}"))?;
        run(&server, format!("CREATE SCHEMA {schema}"))?;
        Ok(Scratch { server, schema })
    }

    /// Returns the location.
    #[must_use]
    pub fn place(&self) -> Location {
        Location::Postgres(self.server.with("options[search_path]", &self.schema))
    }

    /// The name of the schema.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Runs statements in the schema, behind the store's back.
    ///
    /// # Errors
    /// The error of the server.
    pub fn alter(&self, text: &str) -> Result<(), String> {
        run(&self.server.with("options[search_path]", &self.schema), text.to_owned())
    }
}

impl Scratch {
    /// Ends the connection that holds the database's lock, as a restart of PostgreSQL, or the end
    /// of the process at its other end, would.
    ///
    /// # Errors
    /// The error of the server.
    pub fn end_connection(&self) -> Result<(), String> {
        self.alter(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_namespace n \
            ON CAST(n.oid AS BIGINT) = CAST(l.objid AS BIGINT) \
            WHERE l.locktype = 'advisory' AND n.nspname = current_schema()",
        )
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let text =
            format!("SET lock_timeout = '3s'; DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        // A schema that is left over harms nobody, and anybody who looks into the server can see
        // it.
        let _ = run(&self.server, text);
    }
}

fn run(url: &PostgresUrl, text: String) -> Result<(), String> {
    run_on(url.options(), text)
}

/// Runs a statement on the database of these options.
fn run_on(options: AnyConnectOptions, text: String) -> Result<(), String> {
    sqlx::any::install_default_drivers();
    alone(async move {
        let done = async {
            let mut conn = AnyConnection::connect_with(&options).await?;
            conn.execute(sqlx::raw_sql(AssertSqlSafe(text))).await?;
            conn.close().await
        };
        done.await.map_err(|error: sqlx::Error| error.to_string())
    })
}

/// Runs a future on a thread and a runtime of its own, so that it can be called anywhere.
fn alone(work: impl Future<Output = Result<(), String>> + Send + 'static) -> Result<(), String> {
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(work)
    };
    std::thread::spawn(work).join().map_err(|_| "the thread panicked".to_owned())?
}
