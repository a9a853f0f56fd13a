//! What a start looks at before it changes anything, and a restore before it replaces anything: an
//! operator who has made a mistake is told so while everything is as it was.

use std::fs::File;
use std::path::Path;

use whoelse_core::node;
use whoelse_store::Domain;

use crate::config::Config;
use crate::server::StartError;
use crate::tls::{OwnFiles, Tls};

/// Looks whether a server could start with these settings in this data directory, over a database
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
    let domain = node::name_to_serve(domains, wanted).map_err(StartError::Node)?;
    let own = OwnFiles::of(data);
    let files = match &config.certificate {
        Some(files) => Some((&files.certificate, &files.key)),
        // Without them, they are made.
        None => {
            (own.certificate.exists() || own.key.exists()).then_some((&own.certificate, &own.key))
        }
    };
    if let Some((certificate, key)) = files {
        Tls::open(certificate, key).map_err(StartError::Tls)?;
    }
    if let Some(file) = &config.credentials
        && file.required
    {
        let unreadable = |error| StartError::Credentials(file.path.clone(), error);
        File::open(&file.path).map_err(unreadable)?;
    }
    Ok(domain)
}

/// The same before a backup is restored that holds these domains, into a server that serves `now`.
/// The error is a sentence.
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

    fn domain(name: &str) -> Domain {
        Domain { id: 1, name: name.to_owned() }
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
        // However it is written in the configuration.
        assert_eq!(restore(Some("Chat.Example"), &chat, "chat.example"), Ok(()));
        let both = [domain("old.example"), domain("chat.example")];
        assert_eq!(restore(Some("chat.example"), &both, "chat.example"), Ok(()));

        for (wanted, held, now) in [
            (None, &chat[..], "localhost"),
            (Some("localhost"), &chat, "localhost"),
            // It was renamed and the configuration does not know yet.
            (Some("localhost"), &chat, "chat.example"),
            (None, &both, "chat.example"),
            (None, &[], "localhost"),
        ] {
            let refused = restore(wanted, held, now).unwrap_err();
            assert!(refused.contains("nothing was replaced"), "{refused}");
        }
    }
}
