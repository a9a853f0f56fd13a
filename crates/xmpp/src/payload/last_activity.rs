//! XEP-0012, Last Activity: how long ago a user went offline, or was active; how long a server has
//! run.

use xso::{AsXml, FromXml};

use crate::ns;

/// The request, without seconds, and its answer.
#[derive(FromXml, AsXml, Debug, Clone, Default, PartialEq, Eq)]
#[xml(namespace = ns::LAST, name = "query")]
pub struct LastActivity {
    /// The number of seconds, in an answer.
    #[xml(attribute(default))]
    pub seconds: Option<u64>,
    /// The status text with which the user went offline.
    #[xml(text)]
    pub status: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::payload::encode;

    #[test]
    fn the_examples_of_the_specification_are_read_and_written() {
        for (xml, seconds, status) in [
            ("<query xmlns='jabber:iq:last'/>", None, ""),
            ("<query xmlns='jabber:iq:last' seconds='903'/>", Some(903), ""),
            (
                "<query xmlns='jabber:iq:last' seconds='903'>Heading Home</query>",
                Some(903),
                "Heading Home",
            ),
        ] {
            let read: LastActivity = xso::from_bytes(xml.as_bytes()).unwrap();
            assert_eq!((read.seconds, read.status.as_str()), (seconds, status));
            assert_eq!(xso::from_bytes::<LastActivity>(&encode(&read)).unwrap(), read);
        }
        let bad = b"<query xmlns='jabber:iq:last' seconds='soon'/>";
        assert!(xso::from_bytes::<LastActivity>(bad).is_err());
    }
}
