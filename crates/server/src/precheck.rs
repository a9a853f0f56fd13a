//! Checks before a start changes anything and before a restore replaces anything: an operator's
//! mistake is reported while everything is as it was.

use std::path::Path;

use whoelse_core::start;
use whoelse_store::Domain;

use crate::admin;
use crate::config::Config;
use crate::credentials;
use crate::start_error::StartError;
use crate::tls::{self, OwnFiles, Tls};

/// Checks whether a server could start with these settings in this data directory, over a database
/// that holds these domains. Returns the domain that it would serve.
pub(crate) fn check(
    config: &Config,
    data: &Path,
    domains: &[Domain],
) -> Result<String, StartError> {
    let problems = config.check();
    if !problems.is_empty() {
        return Err(StartError::Settings(problems));
    }
    let wanted = config.domain.as_deref();
    let domain = start::name_to_serve(domains, wanted).map_err(StartError::Node)?;
    match config.certificate_files() {
        Some(files) => Tls::open(&files.certificate, &files.key).map(drop),
        None => tls::can_ensure(&OwnFiles::of(data), &domain),
    }
    .map_err(StartError::Tls)?;
    if let Some(file) = &config.credentials
        && file.is_read()
    {
        let unreadable = |error| StartError::Credentials(file.path.clone(), error);
        credentials::readable(&file.path).map_err(unreadable)?;
    }
    admin::can_bind(data).map_err(|error| StartError::Admin(data.join(admin::NAME), error))?;
    Ok(domain)
}

/// Checks the same before restoring a backup that holds these domains into a server that serves
/// `now`. The error is a sentence.
pub(crate) fn check_restore(
    config: &Config,
    data: &Path,
    domains: &[Domain],
    now: &str,
) -> Result<(), String> {
    if domains.iter().all(|domain| domain.name != now) {
        let other = domains.first().map_or("no domain", |domain| &domain.name);
        return Err(format!(
            "the backup is of {other}, and this server serves {now}; nothing was replaced. To \
             restore it here, let this server serve {other} first: `whoelse domain rename {now} \
             {other}`, and `domain` in the configuration, if it stands there"
        ));
    }
    match check(config, data, domains) {
        Ok(domain) if domain == now => Ok(()),
        Ok(domain) => Err(format!(
            "after that this server would serve {domain} instead of {now}; nothing was replaced"
        )),
        Err(why) => {
            Err(format!("the server could not start again, and nothing was replaced: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::CredentialsFile;

    fn domain(name: &str) -> Domain {
        Domain { id: 1, name: name.to_owned() }
    }

    /// What `check` says about a data directory in which this was done.
    fn checked(make: impl FnOnce(&Path)) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let config = Config {
            credentials: Some(CredentialsFile {
                path: dir.path().join("credentials.txt"),
                required: false,
            }),
            ..Config::quick_start()
        };
        let before = std::fs::read_dir(dir.path()).unwrap().count();
        let said = check(&config, dir.path(), &[]).map_err(|why| why.to_string());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before);
        said
    }

    #[test]
    fn whatever_a_start_reads_or_makes_is_tried_before_anything_is_changed() {
        use std::fs::{File, create_dir};

        assert_eq!(checked(|_| {}), Ok("localhost".to_owned()));
        let refused = |make: &dyn Fn(&Path)| checked(|data| make(data)).unwrap_err();

        let said = refused(&|data| create_dir(data.join("credentials.txt")).unwrap());
        assert!(said.contains("it is a directory"), "{said}");
        let said = refused(&|data| {
            File::create(data.join("credentials.txt")).unwrap().set_len((16 << 20) + 1).unwrap();
        });
        assert!(said.contains("larger than 16 MiB"), "{said}");
        for name in ["certificate.new", "certificate.pem", "key.new", "key.pem"] {
            let said = refused(&|data| create_dir(data.join(name)).unwrap());
            assert!(said.contains(&data_file(name)), "{name}: {said}");
        }
        let said = refused(&|data| create_dir(data.join(admin::NAME)).unwrap());
        assert!(said.contains("it is a directory"), "{said}");
    }

    /// Returns the file that the error names if this one is blocked. A key alone is useless
    /// without its certificate.
    fn data_file(name: &str) -> String {
        let stem = name.split('.').next().unwrap_or_default();
        match name {
            "key.pem" => "certificate.pem".to_owned(),
            _ => format!("{stem}.pem"),
        }
    }

    #[test]
    fn a_backup_is_restored_where_its_domain_is_served_now_and_after_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let restore = |wanted: Option<&str>, held: &[Domain], now: &str| {
            let config = Config { domain: wanted.map(str::to_owned), ..Config::quick_start() };
            check_restore(&config, dir.path(), held, now)
        };
        let chat = [domain("chat.example")];

        assert_eq!(restore(None, &chat, "chat.example"), Ok(()));
        // In whatever case the configuration writes it.
        assert_eq!(restore(Some("Chat.Example"), &chat, "chat.example"), Ok(()));
        let both = [domain("old.example"), domain("chat.example")];
        assert_eq!(restore(Some("chat.example"), &both, "chat.example"), Ok(()));

        for (wanted, held, now) in [
            (None, &chat[..], "localhost"),
            (Some("localhost"), &chat, "localhost"),
            // The domain was renamed, and the configuration still has the old name.
            (Some("localhost"), &chat, "chat.example"),
            (None, &both, "chat.example"),
            (None, &[], "localhost"),
        ] {
            let refused = restore(wanted, held, now).unwrap_err();
            assert!(refused.contains("nothing was replaced"), "{refused}");
        }
    }
}
