//! What a stanza counts as, besides its bytes, and what a fan-out does.

use whoelse_xmpp::{Kind, Stanza};

use crate::presence;
use crate::storage_policy;

/// What is read at once, at least: a byte in a record of its own costs as much as many.
const READ: u64 = 128;

/// The way of a stanza through the server, which costs the same however short it is.
const STANZA: u64 = 128;
/// A body and two rows that are written in a transaction shared with others.
const KEPT: u64 = 512;
/// A message that is written for somebody else than whom it was sent to.
pub const KEPT_MESSAGE: u64 = STANZA + KEPT;
/// A change of what is remembered, often in a transaction of its own, of which every device is told.
pub const CHANGE: u64 = 4096;
/// Such a change for two accounts, and a word to somebody who perhaps does not want to hear it.
const SUBSCRIPTION: u64 = 2 * CHANGE;

/// A row that a change writes or removes beyond its first.
const ROW: u64 = 128;

/// An account that is not in memory, and is read with everything that is remembered of it, or that
/// nobody has.
pub(crate) const LOADING: u64 = 2048;

/// Bytes that count as one more fan-out. Large ones would fill the queues of clients that read
/// slowly.
const FAN_OUT_BYTES: usize = 4096;

/// Returns what so many bytes count as that a connection has read at once.
pub fn of_read(bytes: usize) -> u64 {
    READ.max(bytes as u64)
}

/// Returns what a stanza of a session counts as, in bytes, besides its own.
pub fn of_stanza(stanza: &Stanza) -> u64 {
    STANZA
        + match stanza.kind() {
            Kind::Message if storage_policy::has_content(stanza) => KEPT,
            // What is for a device passes the server by.
            Kind::Iq if stanza.type_() == Some("set") && !is_for_device(stanza) => CHANGE,
            Kind::Presence if presence::is_for_account(stanza) => SUBSCRIPTION,
            _ => 0,
        }
}

fn is_for_device(stanza: &Stanza) -> bool {
    stanza.to().is_some_and(|to| to.contains('/'))
}

/// Returns what a change of many rows counts as, besides what it counts as a change.
pub fn of_rows(rows: u64) -> u64 {
    ROW * rows.saturating_sub(1)
}

/// Returns what so many bytes count as that are read, and encoded or decoded, for whoever has asked: an
/// eighth of what as many cost that somebody sends.
pub fn of_reading(bytes: usize) -> u64 {
    bytes as u64 / 8
}

/// Returns what a fan-out of a stanza of this length counts as.
pub(crate) fn of_fan_out(bytes: usize) -> f64 {
    (1 + bytes / FAN_OUT_BYTES) as f64
}

/// Returns what a presence to everybody counts as. Who has just become available is told of
/// everybody as well.
pub(crate) fn of_presence(bytes: usize, becomes_available: bool) -> f64 {
    of_fan_out(bytes) + if becomes_available { 1.0 } else { 0.0 }
}

/// What a login counts as. It pays for the session that it begins or resumes, if it does, and for the
/// end of that, which nobody can be made to wait for.
pub(crate) const OF_LOGIN: f64 = 1.0;

/// What a new password counts as: it is hashed for each mechanism, and the old one is compared.
pub(crate) const OF_PASSWORD: f64 = 4.0;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stanza_counts_as_what_it_makes_the_server_do() {
        for (xml, cost) in [
            ("<message to='a@b'/>", 128),
            ("<message to='a@b'><body>x</body></message>", 640),
            (
                "<message to='a@b'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
                128,
            ),
            ("<presence/>", 128),
            ("<presence to='a@b/c'/>", 128),
            ("<presence to='a@b' type='subscribe'/>", 8_320),
            ("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", 128),
            ("<iq type='set' id='1'><query xmlns='jabber:iq:roster'/></iq>", 4_224),
            ("<iq type='set' id='1' to='a@b'><query xmlns='jabber:iq:roster'/></iq>", 4_224),
            (
                "<iq type='set' id='1' to='a@b/c'><data xmlns='http://jabber.org/protocol/ibb'/></iq>",
                128,
            ),
            ("<iq type='result' id='1' to='a@b'/>", 128),
        ] {
            assert_eq!(of_stanza(&Stanza::parse(xml).unwrap()), cost, "{xml}");
        }
    }

    #[test]
    fn a_byte_that_comes_alone_counts_as_much_as_many() {
        assert_eq!([1, 128, 129, 16_384].map(of_read), [128, 128, 129, 16_384]);
    }

    #[test]
    fn a_change_counts_by_its_rows_beyond_the_first_and_an_answer_by_its_bytes() {
        assert_eq!([0, 1, 2, 1_000].map(of_rows), [0, 0, 128, 127_872]);
        assert_eq!([7, 8, 1 << 20].map(of_reading), [0, 1, 128 << 10]);
    }

    #[test]
    fn a_large_fan_out_counts_as_many_and_the_first_presence_as_one_more() {
        for (bytes, becomes_available, cost) in
            [(0, false, 1.0), (4_095, false, 1.0), (4_096, false, 2.0), (262_144, true, 66.0)]
        {
            assert_eq!(of_presence(bytes, becomes_available), cost, "{bytes}");
        }
    }
}
