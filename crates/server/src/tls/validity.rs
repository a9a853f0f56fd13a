//! RFC 5280, 4.1.2.5: the end of a certificate's validity.
//!
//! The libraries that verify certificates do not tell it, and one date is no reason for another
//! library: this skips three values and reads the two forms of a date.

use whoelse_core::Time;
use whoelse_stream::der::{self, SEQUENCE};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`: the version of the certificate.
const VERSION: u8 = 0xa0;

/// Returns the end of a certificate in DER; `None` if it is not a certificate.
pub(super) fn end(certificate: &[u8]) -> Option<Time> {
    let (certificate, _) = der::value(certificate, SEQUENCE)?;
    let (signed, _) = der::value(certificate, SEQUENCE)?;
    let rest = der::value(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = der::value(rest, INTEGER)?;
    let (_algorithm, rest) = der::value(rest, SEQUENCE)?;
    let (_issuer, rest) = der::value(rest, SEQUENCE)?;
    let (validity, _) = der::value(rest, SEQUENCE)?;
    let (_, after) = date(validity)?;
    let (end, _) = date(after)?;
    Some(end)
}

/// Reads a date; returns it with what follows it.
fn date(der: &[u8]) -> Option<(Time, &[u8])> {
    if let Some((short, rest)) = der::value(der, UTC_TIME) {
        let text = std::str::from_utf8(short).ok()?;
        // 4.1.2.5.1: two digits mean 1950 to 2049.
        let century = if text.get(..2)?.parse::<u8>().ok()? >= 50 { "19" } else { "20" };
        return Some((time(&format!("{century}{text}"))?, rest));
    }
    let (long, rest) = der::value(der, GENERALIZED_TIME)?;
    Some((time(std::str::from_utf8(long).ok()?)?, rest))
}

/// Reads `YYYYMMDDHHMMSSZ`, the form that the profile requires.
fn time(text: &str) -> Option<Time> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14)?;
    let part = |range: std::ops::Range<usize>| digits.get(range);
    Time::parse_stamp(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made(year: i32) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 2, 3);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        for year in [2026, 2049, 2050, 2100] {
            let expected = Time::parse_stamp(&format!("{year}-02-03T00:00:00Z"));
            assert_eq!(end(&made(year)), expected, "{year}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let der = made(2030);
        for cut in 0..der.len().min(120) {
            assert_eq!(end(&der[..cut]), None);
        }
        assert_eq!(time("20300203000000"), None);
        assert_eq!(time("2030020300000+Z"), None);
    }
}
