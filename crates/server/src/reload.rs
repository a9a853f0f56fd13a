//! SIGHUP and `whoelse reload`: the configuration read again while the server runs.
//!
//! The whole file is checked before any of it is applied, so a broken file changes nothing. A
//! setting that can change takes effect at once; one that cannot is named, and takes effect at the
//! next start.

use crate::config::{self, CertificateFiles, Config, LogConfig, Problem, Row};
use crate::ingress::Connections;
use crate::renewal;
use crate::tls::{OwnFiles, Tls};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::Mutex;
use whoelse_core::settings::Settings;

/// Changes what the program logs. Fails with a sentence if the level is not valid.
pub type ChangeLog = Box<dyn Fn(&LogConfig) -> Result<(), String> + Send + Sync>;

/// Reads the configuration again.
pub struct Reloader {
    connections: Arc<Connections>,
    data: PathBuf,
    /// The settings in effect. Locked for one reload: a second waits for the first.
    running: Mutex<Config>,
    log: OnceLock<ChangeLog>,
}

/// The result of a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Names of the settings that have changed.
    pub changed: Vec<String>,
    /// Names of the settings that take effect at the next start.
    pub waiting: Vec<String>,
}

impl Reloaded {
    /// A sentence for each.
    pub fn lines(&self) -> Vec<String> {
        let changed = self.changed.iter().map(|name| format!("{name} has changed"));
        let waiting =
            self.waiting.iter().map(|name| format!("{name} has changed: restart to apply"));
        let lines: Vec<String> = changed.chain(waiting).collect();
        match lines.is_empty() {
            true => vec!["nothing has changed".to_owned()],
            false => lines,
        }
    }
}

impl Reloader {
    pub(crate) fn new(connections: Arc<Connections>, data: PathBuf, running: Config) -> Reloader {
        let (running, log) = (Mutex::new(running), OnceLock::new());
        Reloader { connections, data, running, log }
    }

    /// Returns the settings in effect.
    pub async fn running(&self) -> Config {
        self.running.lock().await.clone()
    }

    /// Sets the function that changes the log, which belongs to the program.
    pub fn changes_log_by(&self, change: ChangeLog) {
        // Setting it twice would be a bug of ours; the first one goes on working.
        let _ = self.log.set(change);
    }

    /// Reads the configuration again. Fails with a sentence for each error, and then nothing has
    /// changed.
    pub async fn reload(&self) -> Result<Reloaded, Vec<String>> {
        let reloaded = self.try_reload().await;
        match &reloaded {
            Ok(reloaded) => {
                let changed = reloaded.changed.join(", ");
                tracing::info!(changed, "settings_reloaded");
                for name in &reloaded.waiting {
                    tracing::warn!(setting = name, "restart_to_apply");
                }
            }
            Err(reasons) => {
                for reason in reasons {
                    tracing::error!(reason, "settings_not_reloaded");
                }
            }
        }
        reloaded
    }

    async fn try_reload(&self) -> Result<Reloaded, Vec<String>> {
        let mut running = self.running.lock().await;
        let old = running.clone();
        let read = tokio::task::spawn_blocking({
            let old = old.clone();
            move || old.read_again()
        });
        let read = match read.await {
            Ok(read) => read,
            // The server ends, and drops the caller next.
            Err(ended) if ended.is_cancelled() => std::future::pending().await,
            Err(_) => return Err(vec!["reading it broke off".to_owned()]),
        };
        let sentences = |problems: &[Problem]| problems.iter().map(Problem::to_string).collect();
        let wanted = read.map_err(|error| sentences(error.problems()))?;
        let problems = wanted.check();
        if !problems.is_empty() {
            return Err(sentences(&problems));
        }
        let files = self.certificate_files(&wanted);
        Tls::open(&files.certificate, &files.key).map_err(|error| vec![error.to_string()])?;
        let mut reloaded = differences(&old, &wanted);
        if wanted.log.level != old.log.level
            && let Some(change) = self.log.get()
        {
            change(&wanted.log).map_err(|error| vec![error])?;
        }
        // Nothing fails after this point.
        if self.take_certificate(&wanted, &files) {
            reloaded.changed.push("the certificate itself".to_owned());
        }
        *running = self.take_settings(&old, wanted);
        Ok(reloaded)
    }

    /// Returns where the files of the wanted certificate are.
    fn certificate_files(&self, wanted: &Config) -> OwnFiles {
        match wanted.certificate_files() {
            Some(CertificateFiles { certificate, key }) => OwnFiles { certificate, key },
            None => OwnFiles::of(&self.data),
        }
    }

    /// Takes over the wanted certificate. Returns whether it differs from the one before.
    fn take_certificate(&self, wanted: &Config, files: &OwnFiles) -> bool {
        let Some(certificate) = self.connections.certificate() else { return false };
        let own = wanted.certificate.is_none().then(|| Arc::new(files.clone()));
        certificate.own.store(own);
        // It was valid a moment ago; if it no longer is, the log says so and the old one stays in
        // use.
        renewal::take_over(&certificate.tls, &files.certificate, &files.key).unwrap_or(false)
    }

    /// Applies what can change. Returns the settings in effect.
    fn take_settings(&self, old: &Config, wanted: Config) -> Config {
        let mut holds = wanted;
        for row in config::table().iter().filter(|row| row.about().at_start) {
            row.keep(&mut holds, old);
        }
        let node = self.connections.node();
        let domain = node.domain_name();
        let admins = holds.admins.iter().filter_map(|name| config::admin(name, &domain));
        node.change_settings(Settings { admins: admins.collect(), ..holds.settings.clone() });
        self.connections.settings_changed();
        holds
    }
}

/// The names of what differs.
fn differences(old: &Config, new: &Config) -> Reloaded {
    let differing = config::table().iter().filter(|row| row.say(old) != row.say(new));
    let (waiting, changed): (Vec<&Row>, Vec<&Row>) =
        differing.partition(|row| row.about().at_start);
    let keys = |rows: Vec<&Row>| rows.into_iter().map(Row::key).collect();
    Reloaded { changed: keys(changed), waiting: keys(waiting) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use whoelse_features::relay;

    #[test]
    fn what_can_change_and_what_cannot_are_told_apart() {
        let old = Config::quick_start();
        let mut new = old.clone();
        new.settings.registration = whoelse_core::settings::Registration::Closed;
        new.settings.limits.half_open = 7;
        new.settings.limits.probe = Duration::from_secs(9);
        new.log.level = Some("debug".to_owned());
        new.log.format = crate::config::LogFormat::Json;
        new.listen.clear();
        new.settings.change(|limits: &mut relay::Limits| limits.relay_clients = 9);

        let found = differences(&old, &new);

        let changed = [
            "registration",
            "log.level",
            "limits.half_open",
            "limits.probe",
            "limits.relay_clients",
        ];
        assert_eq!(found.changed, changed);
        assert_eq!(found.waiting, ["listen", "log.format"]);
        assert_eq!(
            found.lines().last().map(String::as_str),
            Some("log.format has changed: restart to apply")
        );
    }

    #[test]
    fn nothing_new_is_said_in_a_sentence() {
        let old = Config::quick_start();

        let found = differences(&old, &old.clone());

        assert_eq!(found.lines(), ["nothing has changed"]);
    }
}
