//! Whether the server is well, with the reasons: what `/health` answers.
//!
//! A task of its own makes the checks at its own pace. So a caller who asks often costs nothing,
//! and a caller who asks a stuck server gets an answer.

use parking_lot::Mutex;

use crate::ingress::Connections;
use crate::liveness::Liveness;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use whoelse_core::Steady;
use whoelse_core::keeper::Touches;

/// How often the signs of life are checked.
const LOOK: Duration = Duration::from_secs(5);
/// How many checks in a row must find something stuck: a machine that is very busy for a moment is
/// no fault.
const IN_A_ROW: u32 = 3;
/// How often something is written to the database. An idle server should not keep a disk awake
/// for this, a broken one should be noticed within a minute.
const WRITE: Duration = Duration::from_secs(30);
/// The database is unhealthy if it has not been written for this long.
const WRITTEN: Duration = Duration::from_secs(90);
/// The name under which the check writes to the database.
const NAME: &str = "health.written";

/// What is known about the server's health.
pub struct Health {
    connections: Arc<Connections>,
    /// Held for a look or a change.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    stuck: Vec<&'static str>,
    written: Option<Steady>,
    write_failed: Option<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was looked at, each with the reason if it is not well.
    pub checks: Vec<(&'static str, Option<String>)>,
}

impl Report {
    /// Whether all is well.
    pub fn is_well(&self) -> bool {
        self.checks.iter().all(|(_, reason)| reason.is_none())
    }

    /// As JSON: `{"status": "ok", "checks": {"database": "ok", …}}`, where a check that is not
    /// well has its reason instead.
    pub fn to_json(&self) -> String {
        let checks: Map<String, Value> = self
            .checks
            .iter()
            .map(|(name, reason)| {
                let text = reason.clone().unwrap_or_else(|| "ok".to_owned());
                ((*name).to_owned(), Value::String(text))
            })
            .collect();
        let status = if self.is_well() { "ok" } else { "failing" };
        json!({ "status": status, "checks": checks }).to_string()
    }
}

impl Health {
    pub(crate) fn new(connections: Arc<Connections>) -> Arc<Health> {
        let now = connections.node().clock.steady();
        // The database has just been opened, and opening writes.
        let known = Known { written: Some(now), ..Known::default() };
        Arc::new(Health { connections, known: Mutex::new(known) })
    }

    /// How the server is.
    pub fn report(&self) -> Report {
        let now = self.connections.node().clock.moment();
        let known = self.known.lock();
        let keeper = known.stuck.contains(&"keeper");
        let acceptors: Vec<&str> =
            known.stuck.iter().copied().filter(|name| *name != "keeper").collect();
        let database = match (&known.write_failed, known.written) {
            (Some(error), _) => Some(format!("cannot be written: {error}")),
            (None, Some(at)) if now.steady.since(at) < WRITTEN => None,
            (None, _) => Some("has not written for more than 90 s".to_owned()),
        };
        drop(known);
        let certificate = self.connections.certificate_ends().is_some_and(|end| end <= now.wall);
        let closing = self.connections.is_closing();
        Report {
            checks: vec![
                ("database", database),
                ("keeper", keeper.then(|| "does not get on with what it has to write".to_owned())),
                (
                    "listeners",
                    (!acceptors.is_empty())
                        .then(|| format!("nobody accepts: {}", acceptors.join(", "))),
                ),
                ("certificate", certificate.then(|| "has expired".to_owned())),
                ("running", closing.then(|| "is shutting down".to_owned())),
            ],
        }
    }

    /// Looks, until the server goes away.
    pub(crate) async fn keep_looking(self: Arc<Health>, liveness: Arc<Liveness>) {
        let clock = self.connections.node().clock.clone();
        let mut watch = liveness.watch();
        let mut write_at = clock.steady().after(WRITE);
        let mut writing: Option<tokio::task::JoinHandle<()>> = None;
        let mut in_a_row = 0;
        loop {
            tokio::select! {
                () = self.connections.closing() => return,
                () = clock.sleep(LOOK) => {}
            }
            let stuck = watch.look();
            in_a_row = if stuck.is_empty() { 0 } else { in_a_row + 1 };
            if in_a_row == IN_A_ROW {
                tracing::error!(stuck = stuck.join(", "), "no_sign_of_life");
            }
            if in_a_row == 0 || in_a_row >= IN_A_ROW {
                self.known.lock().stuck = stuck;
            }
            // On a task of its own, because a stuck keeper must not block the checks.
            let idle = writing.as_ref().is_none_or(|writing| writing.is_finished());
            if idle && clock.steady() >= write_at {
                write_at = clock.steady().after(WRITE);
                let health = self.clone();
                writing = Some(tokio::spawn(async move { health.write().await }));
            }
        }
    }

    async fn write(&self) {
        let node = self.connections.node();
        let now = node.clock.now();
        let written = node.keeper.change(Touches::AtMost(1), move |tx| {
            Box::pin(async move {
                tx.set_setting(NAME, now.stamp().as_bytes()).await?;
                Ok(((), Vec::new()))
            })
        });
        let written = written.await;
        let mut known = self.known.lock();
        match written {
            Ok(()) => {
                known.written = Some(node.clock.steady());
                known.write_failed = None;
            }
            // The keeper has said so in the log.
            Err(error) => known.write_failed = Some(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_json_with_a_reason_for_what_is_not_well() {
        let well = Report { checks: vec![("database", None), ("keeper", None)] };
        let ill = Report { checks: vec![("database", Some("says \"no\"".to_owned()))] };

        let expected = r#"{"checks":{"database":"ok","keeper":"ok"},"status":"ok"}"#;
        assert_eq!(well.to_json(), expected);
        let expected = r#"{"checks":{"database":"says \"no\""},"status":"failing"}"#;
        assert_eq!(ill.to_json(), expected);
        assert!(well.is_well() && !ill.is_well());
    }
}
