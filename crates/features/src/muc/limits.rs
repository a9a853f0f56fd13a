//! The bounds of rooms, and what an operator says about them.

use whoelse_core::settings;
use whoelse_core::settings::{Choice, Label, Setting, choice, count, label, size};

/// The longest nickname, in bytes: it goes with everything that its owner says.
pub(super) const LONGEST_NICKNAME: usize = 200;
/// What each who is told of a presence counts as, in bytes.
pub(super) const BYTES_OF_ONE: u64 = 64;
/// What it counts as, in bytes, that one is told of one other where everybody is told of everybody: less,
/// since it is done at once.
pub(super) const BYTES_OF_A_MEETING: u64 = 4;
/// The longest message that sets a subject, in bytes: whoever enters is told it.
pub(super) const LONGEST_SUBJECT: usize = 8 << 10;
/// The most bytes of the addresses and nicknames in the lists of one room: all of one kind are told in one
/// answer, which has to fit where others wait.
pub(super) const LIST_BYTES: usize = 1 << 20;
/// The most items of one `muc#admin` request: each is a row, and everybody waits for them.
pub(super) const MOST_ITEMS: usize = 100;
/// The most requests to occupants that one session waits for: more than a client asks that enters.
pub(super) const MOST_ASKED: usize = 50;
/// The longest reason that is passed on, in bytes.
pub(super) const LONGEST_REASON: usize = 1_000;

/// Who may make rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Makers {
    /// Everybody who has an account here.
    Everyone,
    /// Administrators.
    Administrators,
}

impl Choice for Makers {
    const WORDS: &'static [(&'static str, Makers)] =
        &[("everyone", Makers::Everyone), ("administrators", Makers::Administrators)];
}

settings! {
    /// Rooms: where many talk to each other.
    pub(super) struct Limits in "rooms" {
        /// What stands before the domain in the address of a room: lunch@conference.example.org.
        /// Clients look for this name, and bookmarks have it.
        label: Label = Label::fixed("conference"), label().at_start();
        /// Who may make rooms: "everyone" who has an account here, or "administrators". Strangers from
        /// elsewhere may not.
        create: Makers = Makers::Everyone, choice();
        /// Rooms that one account has made and that are still there: more than a person looks after.
        made: u64 = 50, count().older(&["owned"]);
        /// Occupants of one room. Whoever enters is told of each of them, and each of what one says.
        occupants: usize = 2_000, count();
        /// People who are something in one room, or must not enter it: all of them are in memory while
        /// somebody is there.
        affiliations: usize = 10_000, count();
        /// Bytes of a room's vCard, with its photos as Base64: a picture of some hundred pixels.
        vcard_bytes: u64 = 100 << 10, size();
    }
}

/// What an operator can set.
pub(super) const SETTINGS: &[Setting] = Limits::SETTINGS;
