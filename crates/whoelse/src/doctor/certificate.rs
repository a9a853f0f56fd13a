//! The certificate: whether it exists, is readable, matches its key and the domain, and is not
//! about to expire.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use whoelse_core::Time;
use whoelse_server::Config;
use whoelse_server::config::CertificateFiles;
use whoelse_server::tls::{OwnFiles, Tls};

use super::Finding;

const DAY: Duration = Duration::from_secs(86_400);
/// Days before expiry at which it should have been renewed.
const SOON: u32 = 14;

/// Checks the certificate of the configuration, or the server's own.
pub fn check(config: &Config, domain: &str) -> Vec<Finding> {
    let own = config.certificate.is_none();
    let files = match config.certificate_files() {
        Some(CertificateFiles { certificate, key }) => OwnFiles { certificate, key },
        None => OwnFiles::of(&config.data),
    };
    match files.certificate.try_exists() {
        Ok(false) if own => {
            return vec![Finding::ok("certificate", "will be made at the first start")];
        }
        Ok(_) => {}
        Err(error) => return vec![Finding::unseen("certificate", &files.certificate, &error)],
    }
    let mut findings = Vec::new();
    let tls = match Tls::open(&files.certificate, &files.key) {
        Ok(tls) => tls,
        Err(error) => {
            let fix = "the file must be PEM, with the whole chain, and readable for the server";
            return vec![Finding::problem("certificate", error.to_string(), fix)];
        }
    };
    let shown = files.certificate.display();
    match tls.names(domain) {
        true => findings.push(Finding::ok("certificate", format!("{shown} is for {domain}"))),
        false => findings.push(Finding::problem(
            "certificate",
            format!("{shown} is not for {domain}"),
            format!("get one that names {domain}"),
        )),
    }
    findings.extend(tls.end().map(|end| expiry(end, whoelse_core::Clock::system().now())));
    if fs::metadata(&files.key).is_ok_and(|about| about.permissions().mode() & 0o007 != 0) {
        let key = files.key.display();
        findings.push(Finding::warning(
            "certificate",
            format!("everybody on this machine can read the key {key}"),
            format!("`chmod o= {key}`"),
        ));
    }
    let beyond = config.listen.iter().chain(&config.direct_tls);
    if own && beyond.clone().any(|address| !address.ip().is_loopback()) {
        findings.push(Finding::warning(
            "certificate",
            "the server has made it itself, so every client has to be told to trust it",
            "get one from an authority (docs/operating.md) and name it with `certificate` and `key`",
        ));
    }
    findings
}

fn expiry(end: Time, now: Time) -> Finding {
    let days = end.since(now).as_secs() / DAY.as_secs();
    let (end, fix) = (end.stamp(), "renew it; the server takes the new one over by itself");
    match end_state(days, now >= Time::parse_stamp(&end).unwrap_or(Time::NEVER)) {
        End::Past => Finding::problem("certificate", format!("has expired on {end}"), fix),
        End::Soon => Finding::warning("certificate", format!("expires on {end}"), fix),
        End::Far => Finding::ok("certificate", format!("is good until {end}")),
    }
}

enum End {
    Past,
    Soon,
    Far,
}

fn end_state(days: u64, past: bool) -> End {
    match past {
        true => End::Past,
        false if days <= u64::from(SOON) => End::Soon,
        false => End::Far,
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn an_end_is_past_or_soon_or_far() {
        let now = whoelse_core::Clock::system().now();
        let state = |days: u32| expiry(now.after(DAY * days), now).state;

        assert_eq!(expiry(now.before(DAY), now).state, State::Problem);
        assert_eq!(expiry(now, now).state, State::Problem);
        assert_eq!((state(1), state(13)), (State::Warning, State::Warning));
        assert_eq!((state(16), state(90)), (State::Ok, State::Ok));
    }
}
