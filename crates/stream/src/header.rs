//! RFC 6120, 4.7, the stream header: what both ends write in it, and what the accepting end checks.

use whoelse_xmpp::{Jid, StreamCondition, StreamError, StreamHeader};

/// The attributes of a header that we write.
#[derive(Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
    pub(crate) lang: &'a str,
}

/// Returns the domain that a header asks for, out of those served here. Without `to` it is the only
/// one. A client that asks for a former name of the first domain is told its present name.
pub(crate) fn domain(
    header: &StreamHeader,
    served: &[String],
    former: &[String],
) -> Result<String, StreamError> {
    let Some(to) = &header.to else {
        return match served {
            [only] => Ok(only.clone()),
            _ => Err(StreamError::new(StreamCondition::HostUnknown)),
        };
    };
    // RFC 6120, 4.9.3.7 and 4.9.3.6.
    let to = Jid::parse(to).map_err(|_| StreamError::new(StreamCondition::ImproperAddressing))?;
    let fits = |domain: &&String| to.is_bare() && to.local().is_none() && to.domain() == *domain;
    if let Some(found) = served.iter().find(fits) {
        return Ok(found.clone());
    }
    Err(match (former.iter().find(fits), served) {
        (Some(_), [present, ..]) => StreamError::renamed(present),
        _ => StreamError::new(StreamCondition::HostUnknown),
    })
}

/// Checks the version. RFC 6120, 4.7.5: a header without one is of a stream before 1.0, which has
/// neither features nor TLS; a higher minor number is accepted.
pub(crate) fn check_version(header: &StreamHeader) -> Result<(), StreamError> {
    let major = header.version.as_deref().and_then(|version| version.split_once('.'));
    match major {
        Some(("1", minor)) if !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(())
        }
        _ => Err(StreamError::new(StreamCondition::UnsupportedVersion)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header(to: Option<&str>, version: Option<&str>) -> StreamHeader {
        StreamHeader {
            to: to.map(Into::into),
            version: version.map(Into::into),
            ..StreamHeader::default()
        }
    }

    fn asked(to: Option<&str>, served: &[&str]) -> Result<String, StreamCondition> {
        let served: Vec<String> = served.iter().map(|d| (*d).to_owned()).collect();
        domain(&header(to, None), &served, &[]).map_err(|error| error.condition)
    }

    #[test]
    fn a_header_names_one_of_the_domains() {
        assert_eq!(asked(Some("B.example"), &["a.example", "b.example"]), Ok("b.example".into()));
        assert_eq!(asked(None, &["a.example"]), Ok("a.example".into()));
    }

    #[test]
    fn a_domain_that_is_not_served_is_unknown() {
        for to in [Some("c.example"), Some("bob@a.example"), Some("a.example/x"), None] {
            assert_eq!(asked(to, &["a.example", "b.example"]), Err(StreamCondition::HostUnknown));
        }
    }

    #[test]
    fn a_name_that_the_domain_had_before_is_answered_with_the_present_one() {
        let served = ["b.example".to_owned()];
        let former = ["a.example".to_owned(), "b.example".to_owned()];
        let asked = |to| domain(&header(Some(to), None), &served, &former);

        assert_eq!(asked("A.example"), Err(StreamError::renamed("b.example")));
        assert_eq!(asked("b.example"), Ok("b.example".to_owned()));
        let unknown = Err(StreamError::new(StreamCondition::HostUnknown));
        for other in ["c.example", "bob@a.example", "a.example/x"] {
            assert_eq!(asked(other), unknown, "{other}");
        }
    }

    #[test]
    fn a_to_that_is_no_address_is_improper() {
        for to in ["", "@", "a b", "bob@"] {
            assert_eq!(asked(Some(to), &["a.example"]), Err(StreamCondition::ImproperAddressing));
        }
    }

    #[test]
    fn only_version_one_is_spoken() {
        for good in ["1.0", "1.1", "1.99"] {
            assert!(check_version(&header(None, Some(good))).is_ok());
        }
        for bad in [
            None,
            Some(""),
            Some("1"),
            Some("0.9"),
            Some("2.0"),
            Some("1."),
            Some("1.x"),
            Some("10.0"),
        ] {
            assert!(check_version(&header(None, bad)).is_err(), "{bad:?}");
        }
    }
}
