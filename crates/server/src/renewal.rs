//! Certificates renewed while the server runs: the files are checked once a minute and reloaded
//! when they have changed. The operator is warned before a certificate expires.
//!
//! Open connections keep the certificate they began with. A new pair that is broken or half
//! written leaves the old one in use, and is tried again when the files change again.

use crate::ingress::Connections;
use crate::tls::Tls;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use whoelse_core::Time;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// Days before expiry at which the operator is warned: when renewing has evidently failed, and
/// when it is urgent.
const WARNINGS: [u32; 3] = [14, 3, 0];

/// Identifies one version of a file.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

/// Watches over the certificate in use.
struct Watcher<'a> {
    tls: &'a Tls,
    seen: (Stamp, Stamp),
    /// The expiry that the operator was warned of, and at how many days.
    told: Option<(Time, u32)>,
}

/// Watches until the server shuts down.
pub(crate) async fn watch(connections: Arc<Connections>) {
    let Some(certificate) = connections.certificate() else { return };
    let clock = connections.node().clock.clone();
    let mut watcher = Watcher::new(&certificate.tls);
    loop {
        watcher.warn(clock.now());
        tokio::select! {
            () = connections.closing() => return,
            () = clock.sleep(LOOK) => watcher.look(),
        }
    }
}

impl Watcher<'_> {
    fn new(tls: &Tls) -> Watcher<'_> {
        let (certificate, key) = tls.files();
        Watcher { tls, seen: (stamp(&certificate), stamp(&key)), told: None }
    }

    fn look(&mut self) {
        let (certificate, key) = self.tls.files();
        let now = (stamp(&certificate), stamp(&key));
        if now != self.seen {
            self.seen = now;
            // The result is in the log either way.
            let _ = take_over(self.tls, &certificate, &key);
        }
    }

    /// Warns once at each of [`WARNINGS`] how long the certificate is still valid. Returns the
    /// days it named.
    fn warn(&mut self, now: Time) -> Option<u32> {
        let end = self.tls.end()?;
        let left = end.since(now);
        let due = WARNINGS.into_iter().filter(|days| left <= DAY * *days).min()?;
        let known = self.told.is_some_and(|(told, days)| told == end && days <= due);
        if known {
            return None;
        }
        self.told = Some((end, due));
        let (certificate, _) = self.tls.files();
        let (end, file) = (end.stamp(), certificate.display());
        match due {
            0 => tracing::error!(%file, end, "certificate_expired"),
            _ => tracing::warn!(%file, end, days = left.as_secs() / 86_400, "certificate_expires"),
        }
        Some(due)
    }
}

/// Loads a certificate and logs the result. Returns whether it differs from the one before.
pub(crate) fn take_over(
    tls: &Tls,
    certificate: &Path,
    key: &Path,
) -> Result<bool, crate::tls::TlsError> {
    let before = tls.fingerprint();
    let taken = tls.replace(certificate, key);
    match &taken {
        Ok(()) if tls.fingerprint() == before => {}
        Ok(()) => {
            let end = tls.end().map(Time::stamp).unwrap_or_default();
            tracing::info!(fingerprint = %tls.fingerprint(), end, "certificate_renewed");
        }
        Err(error) => tracing::error!(%error, "certificate_kept"),
    }
    taken.map(|()| tls.fingerprint() != before)
}

fn stamp(path: &Path) -> Stamp {
    let about = fs::metadata(path).ok()?;
    Some((about.dev(), about.ino(), about.mtime(), about.mtime_nsec(), about.size()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::time::{SystemTime, UNIX_EPOCH};

    struct Files(tempfile::TempDir);

    impl Files {
        fn new(days: u32) -> Files {
            let files = Files(tempfile::tempdir().unwrap());
            files.write(days);
            files
        }

        fn write(&self, days: u32) {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since + DAY * days;
            fs::write(self.at("c.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
            fs::write(self.at("k.pem"), key.serialize_pem()).unwrap();
        }

        fn at(&self, name: &str) -> std::path::PathBuf {
            self.0.path().join(name)
        }

        fn open(&self) -> Tls {
            Tls::open(&self.at("c.pem"), &self.at("k.pem")).unwrap()
        }
    }

    fn now() -> Time {
        whoelse_core::Clock::system().now()
    }

    #[test]
    fn a_renewed_certificate_is_taken_over_and_a_broken_one_is_not() {
        let files = Files::new(90);
        let tls = files.open();
        let first = tls.fingerprint();
        let mut watcher = Watcher::new(&tls);
        watcher.look();
        assert_eq!(tls.fingerprint(), first);

        fs::write(files.at("c.pem"), "half a certif").unwrap();
        watcher.look();
        assert_eq!(tls.fingerprint(), first);

        files.write(90);
        watcher.look();
        assert_ne!(tls.fingerprint(), first);
    }

    #[test]
    fn a_key_that_does_not_fit_changes_nothing() {
        let files = Files::new(90);
        let tls = files.open();
        let first = tls.fingerprint();
        let mut watcher = Watcher::new(&tls);

        fs::write(files.at("k.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        watcher.look();

        assert_eq!(tls.fingerprint(), first);
    }

    #[test]
    fn the_operator_is_told_fourteen_and_three_days_before_the_end_and_at_it() {
        let files = Files::new(90);
        let tls = files.open();
        let mut watcher = Watcher::new(&tls);
        let in_days = |days| now().after(DAY * days);

        assert_eq!(watcher.warn(now()), None);
        assert_eq!(watcher.warn(in_days(77)), Some(14));
        assert_eq!(watcher.warn(in_days(78)), None);
        assert_eq!(watcher.warn(in_days(88)), Some(3));
        assert_eq!(watcher.warn(in_days(88)), None);
        assert_eq!(watcher.warn(in_days(91)), Some(0));
        assert_eq!(watcher.warn(in_days(92)), None);

        files.write(10);
        watcher.look();
        assert_eq!(watcher.warn(now()), Some(14));
    }
}
