//! RFC 5280: the self-signed certificate of a first start, made for one domain and this machine.

use super::Tls;
use super::files::{self, Fingerprint, TlsError};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The common name that marks a certificate of our own making.
const MARK: &str = "whoelse self-signed";
/// How the names of certificates and keys begin that are kept from former names of the domain.
const FORMER: &str = "former-";
/// The one name that means this machine, whatever its addresses are.
const LOCALHOST: &str = "localhost";
/// Long, because nobody renews it: clients pin it and ask no authority.
const VALID: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Validity begins this much earlier than now, because clocks differ.
const EARLIER: Duration = Duration::from_secs(86_400);

/// Where the server's own certificate and key lie.
#[derive(Debug, Clone)]
pub struct OwnFiles {
    /// `certificate.pem`.
    pub certificate: PathBuf,
    /// `key.pem`, readable by its owner alone.
    pub key: PathBuf,
}

impl OwnFiles {
    /// In a data directory.
    pub fn of(data: &Path) -> OwnFiles {
        OwnFiles { certificate: data.join("certificate.pem"), key: data.join("key.pem") }
    }
}

/// How the server comes by its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// It was there.
    There,
    /// It was made.
    Made,
    /// The domain had this name before, and its certificate of then was found again. Clients that
    /// know it by its fingerprint know the server again.
    FoundAgain,
}

/// Makes certificate and key for a domain unless the files exist and name it. What they replace is
/// kept beside them, and found again when the domain is named so again.
///
/// Files that are not our own, for instance signed by an authority, are never touched.
pub fn ensure(files: &OwnFiles, domain: &str) -> Result<Ensured, TlsError> {
    if !is_to_make(files, domain)? {
        return Ok(Ensured::There);
    }
    keep_former(files)?;
    if let Some(former) = find_former(files, domain) {
        copy(&former, files)?;
        return Ok(Ensured::FoundAgain);
    }
    let (certificate, key) = make(domain)?;
    // The key first: a certificate without its key would be found and kept.
    replace(&files.key, key.as_bytes())?;
    replace(&files.certificate, certificate.as_bytes())?;
    Ok(Ensured::Made)
}

/// Copies certificate and key, if they can be used together, to names that tell which certificate
/// it is. After a crash between the two writes they cannot: then the pair is kept already.
fn keep_former(files: &OwnFiles) -> Result<(), TlsError> {
    if !files.certificate.exists() || !files.key.exists() {
        return Ok(());
    }
    // One that cannot be read now may be good, and is not to be replaced.
    read(&files.key)?;
    if Tls::open(&files.certificate, &files.key).is_err() {
        return Ok(());
    }
    let Some(own) = files::chain(&files.certificate)?.into_iter().next() else { return Ok(()) };
    let fingerprint = Fingerprint::of(&own).to_string().replace(':', "");
    let short = fingerprint.get(..16).unwrap_or(&fingerprint);
    let folder = files.certificate.with_file_name("");
    let former = OwnFiles {
        certificate: folder.join(format!("{FORMER}{short}.certificate.pem")),
        key: folder.join(format!("{FORMER}{short}.key.pem")),
    };
    copy(files, &former)
}

/// Copies a pair, the key first. The source stays: a crash in between takes nothing away.
fn copy(from: &OwnFiles, to: &OwnFiles) -> Result<(), TlsError> {
    let (key, certificate) = (read(&from.key)?, read(&from.certificate)?);
    replace(&to.key, &key)?;
    replace(&to.certificate, &certificate)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::unread(path, &error))
}

/// Finds a former certificate of this domain that can be used with its key.
fn find_former(files: &OwnFiles, domain: &str) -> Option<OwnFiles> {
    let folder = fs::read_dir(files.certificate.with_file_name("")).ok()?;
    folder.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let short = name.strip_prefix(FORMER)?.strip_suffix(".certificate.pem")?;
        let key = entry.path().with_file_name(format!("{FORMER}{short}.key.pem"));
        let former = OwnFiles { certificate: entry.path(), key };
        let chain = files::chain(&former.certificate).ok()?;
        let is_of = chain.first().is_some_and(|own| is_ours(own) && names(own, domain));
        (is_of && Tls::open(&former.certificate, &former.key).is_ok()).then_some(former)
    })
}

/// Checks that [`ensure`] will succeed and its files can be used, as far as can be told without a
/// change.
pub(crate) fn can_ensure(files: &OwnFiles, domain: &str) -> Result<(), TlsError> {
    if !is_to_make(files, domain)? {
        return Tls::open(&files.certificate, &files.key).map(drop);
    }
    make(domain)?;
    for path in [&files.key, &files.certificate] {
        let fresh = fresh(path);
        let written = write(&fresh, b"");
        let removed = written.and_then(|()| fs::remove_file(&fresh));
        removed.map_err(|error| TlsError::unwritable(path, &error))?;
    }
    Ok(())
}

fn is_to_make(files: &OwnFiles, domain: &str) -> Result<bool, TlsError> {
    if !files.certificate.exists() && !files.key.exists() {
        return Ok(true);
    }
    Ok(match files::chain(&files.certificate)?.as_slice() {
        [own] if is_ours(own) => !names(own, domain) || is_half_replaced(files, domain),
        _ => false,
    })
}

/// Whether a crash has left the key of another domain with the certificate of this one, which is
/// kept with its own key.
fn is_half_replaced(files: &OwnFiles, domain: &str) -> bool {
    Tls::open(&files.certificate, &files.key).is_err() && find_former(files, domain).is_some()
}

/// A certificate and its key, both PEM.
fn make(domain: &str) -> Result<(String, String), TlsError> {
    let failed = |_: rcgen::Error| TlsError::unmade(domain);
    let mut names = vec![in_ascii(domain)];
    if domain == LOCALHOST {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, MARK);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = rcgen::date_time_ymd(1970, 1, 1) + since;
    params.not_before = now - EARLIER;
    params.not_after = now + VALID;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Returns a domain as certificates carry it: an address without brackets, an internationalised
/// name in its ASCII form (RFC 5890).
fn in_ascii(domain: &str) -> String {
    let bare = domain.trim_matches(['[', ']']);
    idna::domain_to_ascii(bare).unwrap_or_else(|_| bare.to_owned())
}

/// Writes a file whole or not at all, readable by its owner alone.
fn replace(path: &Path, content: &[u8]) -> Result<(), TlsError> {
    let fresh = fresh(path);
    let placed = write(&fresh, content).and_then(|()| fs::rename(&fresh, path));
    placed.map_err(|error| {
        // The temporary file is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&fresh);
        TlsError::unwritable(path, &error)
    })
}

/// Returns where a file is written before it is renamed into place.
fn fresh(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn is_ours(certificate: &CertificateDer<'_>) -> bool {
    certificate.windows(MARK.len()).any(|window| window == MARK.as_bytes())
}

pub(super) fn names(certificate: &CertificateDer<'_>, domain: &str) -> bool {
    let Ok(name) = ServerName::try_from(in_ascii(domain)) else { return true };
    ParsedCertificate::try_from(certificate)
        .and_then(|parsed| verify_server_name(&parsed, &name))
        .is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn files() -> (tempfile::TempDir, OwnFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = OwnFiles::of(dir.path());
        (dir, files)
    }

    #[test]
    fn a_certificate_is_made_once_and_names_the_domain() {
        let (_dir, files) = files();

        assert_eq!(ensure(&files, "localhost"), Ok(Ensured::Made));
        assert_eq!(ensure(&files, "localhost"), Ok(Ensured::There));

        let chain = files::chain(&files.certificate).unwrap();
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(names(&chain[0], name), "{name}");
        }
        assert!(!names(&chain[0], "chat.example"));
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_renamed_domain_gets_a_new_certificate() {
        let (_dir, files) = files();
        ensure(&files, "localhost").unwrap();

        assert_eq!(ensure(&files, "büro.example"), Ok(Ensured::Made));

        let chain = files::chain(&files.certificate).unwrap();
        assert!(names(&chain[0], "xn--bro-hoa.example"));
        assert_eq!(ensure(&files, "büro.example"), Ok(Ensured::There));
    }

    #[test]
    fn a_domain_that_is_named_as_before_gets_its_certificate_of_then() {
        let (dir, files) = files();
        let fingerprint = || Fingerprint::of(&files::chain(&files.certificate).unwrap()[0]);
        ensure(&files, "localhost").unwrap();
        let first = fingerprint();
        ensure(&files, "b.example").unwrap();
        let second = fingerprint();
        assert_ne!(first, second);

        for (domain, known) in [("localhost", first), ("b.example", second), ("localhost", first)] {
            assert_eq!(ensure(&files, domain), Ok(Ensured::FoundAgain));
            assert_eq!(fingerprint(), known);
            assert!(Tls::open(&files.certificate, &files.key).is_ok());
        }
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        }

        // One that cannot be used is not taken.
        ensure(&files, "b.example").unwrap();
        for entry in fs::read_dir(dir.path()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().ends_with(".key.pem") {
                fs::write(entry.path(), "no key").unwrap();
            }
        }
        assert_eq!(ensure(&files, "localhost"), Ok(Ensured::Made));
    }

    #[test]
    fn a_crash_between_key_and_certificate_takes_no_pair_away() {
        for next in ["localhost", "b.example"] {
            let (_dir, files) = files();
            let fingerprint = || Fingerprint::of(&files::chain(&files.certificate).unwrap()[0]);
            ensure(&files, "localhost").unwrap();
            let (first, key) = (fingerprint(), fs::read(&files.key).unwrap());
            ensure(&files, "b.example").unwrap();
            let second = fingerprint();
            // On the way back to localhost, only its key has come.
            keep_former(&files).unwrap();
            fs::write(&files.key, key).unwrap();

            let other = if next == "localhost" { "b.example" } else { "localhost" };
            for domain in [next, other, next] {
                assert!(can_ensure(&files, domain).is_ok());
                assert_eq!(ensure(&files, domain), Ok(Ensured::FoundAgain), "{next}, {domain}");
                assert_eq!(fingerprint(), if domain == "localhost" { first } else { second });
                assert!(Tls::open(&files.certificate, &files.key).is_ok());
            }
        }
    }

    #[test]
    fn a_missing_key_is_made_anew_and_one_that_cannot_be_read_is_named() {
        let (dir, files) = files();
        ensure(&files, "localhost").unwrap();
        fs::remove_file(&files.key).unwrap();
        assert_eq!(ensure(&files, "b.example"), Ok(Ensured::Made));
        assert!(Tls::open(&files.certificate, &files.key).is_ok());

        fs::remove_file(&files.key).unwrap();
        fs::create_dir(&files.key).unwrap();
        let said = ensure(&files, "c.example").unwrap_err().to_string();
        let wanted = format!("cannot read {}: ", dir.path().join("key.pem").display());
        assert!(said.starts_with(&wanted), "{said}");
    }

    #[test]
    fn a_certificate_of_an_authority_is_never_replaced() {
        let (_dir, files) = files();
        let key = KeyPair::generate().unwrap();
        let theirs = CertificateParams::new(["a.example".to_owned()]).unwrap();
        fs::write(&files.certificate, theirs.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();

        assert_eq!(ensure(&files, "b.example"), Ok(Ensured::There));
    }
}
