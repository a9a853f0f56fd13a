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
    let holds = |name: &str| domains.iter().any(|domain| domain.name == name);
    let wanted = config.domain.as_deref().unwrap_or(now);
    if let Some(other) = domains.first()
        && !(holds(now) && holds(wanted))
    {
        let (other, served) = (&other.name, if holds(now) { wanted } else { now });
        return Err(format!(
            "the backup is of {other}, and this server serves {served}; nothing was replaced. To \
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
