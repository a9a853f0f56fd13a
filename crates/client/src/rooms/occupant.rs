//! XEP-0045, 5: who is in a room, and what they are there: an affiliation, which lasts, and a role,
//! which they have while they are there.

use whoelse_xmpp::BareJid;

/// What somebody is to a room, whether they are in it or not. The order is that of their rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Affiliation {
    /// May not enter.
    Outcast,
    /// Nothing in particular.
    #[default]
    None,
    /// Enters a room that is for members alone.
    Member,
    /// Decides who is a member, and who may not enter.
    Admin,
    /// Decides everything.
    Owner,
}

/// What somebody may do while they are in a room. The order is that of their rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Role {
    /// Is not there.
    None,
    /// Hears, and does not speak.
    Visitor,
    /// Speaks.
    #[default]
    Participant,
    /// Decides who speaks, and who leaves.
    Moderator,
}

impl Affiliation {
    /// All of them, by rank.
    pub const ALL: [Affiliation; 5] = [
        Affiliation::Outcast,
        Affiliation::None,
        Affiliation::Member,
        Affiliation::Admin,
        Affiliation::Owner,
    ];

    /// Returns the word on the wire, which people type, too.
    pub fn word(self) -> &'static str {
        match self {
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
            Affiliation::Member => "member",
            Affiliation::Admin => "admin",
            Affiliation::Owner => "owner",
        }
    }

    /// Returns the affiliation of this word.
    pub fn of(word: &str) -> Option<Affiliation> {
        Affiliation::ALL.into_iter().find(|it| it.word() == word)
    }
}

impl Role {
    /// All of them, by rank.
    pub const ALL: [Role; 4] = [Role::None, Role::Visitor, Role::Participant, Role::Moderator];

    /// Returns the word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Visitor => "visitor",
            Role::Participant => "participant",
            Role::Moderator => "moderator",
        }
    }

    /// Returns the role of this word.
    pub fn of(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// Somebody who is in a room, by their nickname there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// The nickname.
    pub nick: String,
    /// The account, if the room shows it.
    pub who: Option<BareJid>,
    /// What they are to the room.
    pub affiliation: Affiliation,
    /// What they are in it.
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_what_it_is_written_for() {
        for it in Affiliation::ALL {
            assert_eq!(Affiliation::of(it.word()), Some(it));
        }
        for it in Role::ALL {
            assert_eq!(Role::of(it.word()), Some(it));
        }
        assert!(Affiliation::of("king").is_none() && Role::of("").is_none());
        assert!(Affiliation::ALL.is_sorted() && Role::ALL.is_sorted());
    }
}
