//! XEP-0421, Occupant Identifiers: who says something in a room is one and the same, whatever the
//! nickname.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use whoelse_xmpp::ns;
use whoelse_xmpp::write::Element;

/// Returns the id, in a room with this secret, of the occupant who has this account here. It is of the
/// account's number: a name that is given anew inherits nothing. It tells nothing of who it is, and is
/// another one in every room.
pub(super) fn of(secret: &[u8], account: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    // No address begins like that; people of other servers will have an id by theirs.
    let id = hmac::sign(&key, format!("#{account}").as_bytes());
    URL_SAFE_NO_PAD.encode(id.as_ref())
}

/// The element that goes with everything that an occupant says.
pub(super) fn element(id: &str) -> Element {
    Element::new("occupant-id").xmlns(ns::OCCUPANT_ID).attr("id", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_person_in_one_room() {
        let ids = [of(b"one", 1), of(b"one", 2), of(b"two", 1)];

        for (place, id) in ids.iter().enumerate() {
            assert!(id.len() <= 128 && !ids[..place].contains(id), "{id}");
        }
        assert_eq!(of(b"one", 1), ids[0]);
    }
}
