//! SIGHUP and `whoelse reload`: the configuration read again while the server runs.
//!
//! All of it is checked before any of it counts, so a broken file changes nothing. What can change
//! does, at once; what cannot is named, and holds from the next start on.

use crate::config::{self, Config, LogConfig};
use crate::ingress::Connections;
use crate::renewal;
use crate::tls::{OwnFiles, Tls};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::Mutex;
use whoelse_core::settings::{Limits, Settings};

/// Changes what the program logs. Fails with a sentence if it cannot be read as a level.
pub type ChangeLog = Box<dyn Fn(&LogConfig) -> Result<(), String> + Send + Sync>;

/// Reads the configuration again.
pub struct Reloader {
    connections: Arc<Connections>,
    data: PathBuf,
    /// What holds now. Locked for one reload: a second waits for the first.
    running: Mutex<Config>,
    log: OnceLock<ChangeLog>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Settings that hold now, by their names.
    pub changed: Vec<String>,
    /// Settings that hold from the next start on.
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

    /// What holds now.
    pub async fn running(&self) -> Config {
        self.running.lock().await.clone()
    }

    /// The log is the program's; by this it is changed.
    pub fn changes_log_by(&self, change: ChangeLog) {
        // A second one would be a mistake of ours, and the first goes on working.
        let _ = self.log.set(change);
    }

    /// Reads the configuration again. Fails with a sentence for each thing that is wrong, and
    /// then nothing has changed.
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
        let read = read.await.map_err(|_| vec!["reading it broke off".to_owned()])?;
        let wanted = read.map_err(|error| vec![error.to_string()])?;
        let problems = wanted.check();
        if !problems.is_empty() {
            return Err(problems.iter().map(ToString::to_string).collect());
        }
        let files = self.certificate_files(&wanted);
        Tls::open(&files.certificate, &files.key).map_err(|error| vec![error.to_string()])?;
        let mut reloaded = differences(&old, &wanted);
        if wanted.log.level != old.log.level
            && let Some(change) = self.log.get()
        {
            change(&wanted.log).map_err(|error| vec![error])?;
        }
        // From here on nothing is refused any more.
        if self.take_certificate(&wanted, &files) {
            reloaded.changed.push("the certificate itself".to_owned());
        }
        *running = self.take_settings(&old, wanted);
        Ok(reloaded)
    }

    /// Where the certificate lies that is wanted.
    fn certificate_files(&self, wanted: &Config) -> OwnFiles {
        match &wanted.certificate {
            Some(files) => {
                OwnFiles { certificate: files.certificate.clone(), key: files.key.clone() }
            }
            None => OwnFiles::of(&self.data),
        }
    }

    /// Returns whether it is another one than before.
    fn take_certificate(&self, wanted: &Config, files: &OwnFiles) -> bool {
        let Some(certificate) = self.connections.certificate() else { return false };
        let own = wanted.certificate.is_none().then(|| Arc::new(files.clone()));
        certificate.own.store(own);
        // It was good a moment ago; if not any more, the log says so and the old one stays.
        renewal::take_over(&certificate.tls, &files.certificate, &files.key).unwrap_or(false)
    }

    /// Sets what can be set. Returns what holds now.
    fn take_settings(&self, old: &Config, wanted: Config) -> Config {
        let node = self.connections.node();
        let domain = node.domain_name();
        let admins = wanted.admins.iter().filter_map(|name| config::admin(name, &domain));
        node.change_settings(Settings {
            admins: admins.collect(),
            // What is built at the start.
            contacts: old.settings.contacts,
            features_off: old.settings.features_off.clone(),
            ..wanted.settings.clone()
        });
        self.connections.settings_changed();
        Config {
            admins: wanted.admins,
            certificate: wanted.certificate,
            log: LogConfig { level: wanted.log.level, format: old.log.format },
            settings: Settings {
                contacts: old.settings.contacts,
                features_off: old.settings.features_off.clone(),
                ..wanted.settings
            },
            ..old.clone()
        }
    }
}

/// The names of what differs. Every field is named here, so that a new one cannot be forgotten.
fn differences(old: &Config, new: &Config) -> Reloaded {
    let mut found = Reloaded::default();
    let mut now = |name: &str, same: bool| {
        if !same {
            found.changed.push(name.to_owned());
        }
    };
    let Config {
        domain,
        listen,
        direct_tls,
        data,
        database,
        certificate,
        credentials,
        admins,
        metrics,
        log,
        // There is nothing to migrate in a server that runs.
        migrate_without_copy: _,
        settings,
        source: _,
        overrides: _,
    } = new;
    let Settings {
        registration,
        contacts,
        sessions,
        broadcast,
        // The names above are the ones that are written.
        admins: _,
        block_duration,
        idle_timeout,
        history,
        // It goes with where the settings come from, and that stays.
        short_passwords: _,
        relay,
        features_off,
        limits,
    } = settings;
    let was = &old.settings;
    now("certificate", *certificate == old.certificate);
    now("admins", *admins == old.admins);
    now("log.level", log.level == old.log.level);
    now("registration", *registration == was.registration);
    now("sessions", *sessions == was.sessions);
    now("broadcast", *broadcast == was.broadcast);
    now("block_duration", *block_duration == was.block_duration);
    now("timeout", *idle_timeout == was.idle_timeout);
    now("history", *history == was.history);
    now("private.relay", *relay == was.relay);
    found.changed.extend(limits_that_differ(&was.limits, limits));

    let mut later = |name: &str, same: bool| {
        if !same {
            found.waiting.push(name.to_owned());
        }
    };
    later("domain", *domain == old.domain);
    later("listen", *listen == old.listen);
    later("direct_tls", *direct_tls == old.direct_tls);
    later("data", *data == old.data);
    // By what it shows, which is all but the password.
    let shown = |config: &Config| config.database.as_ref().map(ToString::to_string);
    later("database", database.as_ref().map(ToString::to_string) == shown(old));
    later("credentials", *credentials == old.credentials);
    later("metrics", *metrics == old.metrics);
    later("log.format", log.format == old.log.format);
    later("contacts", *contacts == was.contacts);
    later("features_off", *features_off == was.features_off);
    found
}

fn limits_that_differ(old: &Limits, new: &Limits) -> Vec<String> {
    // As the fields are printed: the names are the ones in the file, and every one is there.
    let fields = |limits: &Limits| {
        let text = format!("{limits:#?}");
        text.lines().filter_map(|line| line.trim().split_once(": ")).fold(
            Vec::new(),
            |mut all: Vec<(String, String)>, (name, value)| {
                all.push((name.to_owned(), value.to_owned()));
                all
            },
        )
    };
    let pairs = fields(old).into_iter().zip(fields(new));
    let differing = pairs.filter(|(was, is)| was != is);
    differing.map(|(_, (name, _))| format!("limits.{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_can_change_and_what_cannot_are_told_apart() {
        let old = Config::quick_start();
        let mut new = old.clone();
        new.settings.registration = whoelse_core::settings::Registration::Closed;
        new.settings.limits.blocks = 7;
        new.settings.limits.probe = Duration::from_secs(9);
        new.log.level = Some("debug".to_owned());
        new.log.format = crate::config::LogFormat::Json;
        new.listen.clear();

        let found = differences(&old, &new);

        let changed = ["log.level", "registration", "limits.probe", "limits.blocks"];
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
