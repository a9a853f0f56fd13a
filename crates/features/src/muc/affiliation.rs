//! XEP-0045, 5: affiliations, which last, and roles, which an occupant has while they are there; and
//! who may make whom what, as pure functions.

use whoelse_xmpp::{Condition, StanzaError};

use crate::words::words;

words! {
    /// What somebody is to a room, whether they are in it or not. The order is that of their rank.
    Affiliation {
        /// Must not enter.
        Outcast = "outcast",
        /// Nothing.
        None = "none",
        /// Enters a room for members alone.
        Member = "member",
        /// Decides who is a member, and who must not enter.
        Admin = "admin",
        /// Decides everything else.
        Owner = "owner",
    }
}

words! {
    /// What an occupant is while they are in the room. The order is that of their rank.
    Role {
        /// Not in it.
        None = "none",
        /// Hears, and does not speak to all.
        Visitor = "visitor",
        /// Speaks.
        Participant = "participant",
        /// Decides who speaks, and who leaves.
        Moderator = "moderator",
    }
}

impl Affiliation {
    /// 5.1.2: what somebody of this affiliation enters as.
    pub fn role(self, moderated: bool) -> Role {
        match self {
            Affiliation::Outcast => Role::None,
            Affiliation::None if moderated => Role::Visitor,
            Affiliation::None | Affiliation::Member => Role::Participant,
            Affiliation::Admin | Affiliation::Owner => Role::Moderator,
        }
    }

    /// Whether a row of the list says so: it lists nobody who is nothing.
    pub fn is_listed(self) -> bool {
        self != Affiliation::None
    }

    /// Whether it is a friend of the room: a member, or more.
    pub fn belongs(self) -> bool {
        self >= Affiliation::Member
    }

    /// Whether it decides over others.
    pub fn governs(self) -> bool {
        self >= Affiliation::Admin
    }
}

/// What somebody is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// To the room.
    pub affiliation: Affiliation,
    /// In it.
    pub role: Role,
}

/// 8 and 9.6: whether `who` may change the role of `whom` to this.
pub(crate) fn may_change_role(who: Standing, whom: Standing, to: Role) -> Result<(), StanzaError> {
    if who.role != Role::Moderator {
        return Err(refused(Condition::Forbidden));
    }
    // 9.6 and 9.7: who moderates is decided by admins.
    if (to == Role::Moderator || whom.role == Role::Moderator && to != Role::None)
        && !who.affiliation.governs()
        && to != whom.role
    {
        return Err(refused(match to {
            Role::Moderator => Condition::Forbidden,
            _ => Condition::NotAllowed,
        }));
    }
    // 8.2: nobody decides over somebody of a higher rank, and nobody takes from an admin what belongs
    // to an admin.
    let takes = to < whom.role;
    let keeps_it = whom.affiliation.governs() && to != Role::None;
    match takes && (whom.affiliation > who.affiliation || keeps_it) {
        true => Err(refused(Condition::NotAllowed)),
        false => Ok(()),
    }
}

/// 9 and 10: whether somebody of one affiliation may change another's to this.
pub(crate) fn may_change_affiliation(
    who: Affiliation,
    whom: Affiliation,
    to: Affiliation,
) -> Result<(), StanzaError> {
    match who {
        Affiliation::Owner => Ok(()),
        Affiliation::Admin if to.governs() => Err(refused(Condition::Forbidden)),
        Affiliation::Admin if whom.governs() => Err(refused(Condition::NotAllowed)),
        Affiliation::Admin => Ok(()),
        _ => Err(refused(Condition::Forbidden)),
    }
}

fn refused(condition: Condition) -> StanzaError {
    let error = StanzaError::new(condition);
    match condition {
        Condition::Forbidden => error.with_text("that is for others in this room"),
        _ => error.with_text("nobody changes those of a higher rank in this room"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use Affiliation::{Admin, Member, Outcast, Owner};

    /// What comes of it: allowed, forbidden, or not allowed.
    fn came(of: Result<(), StanzaError>) -> char {
        match of.map_err(|error| error.condition) {
            Ok(()) => '+',
            Err(Condition::Forbidden) => 'f',
            Err(Condition::NotAllowed) => 'n',
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_cell_of_who_changes_whose_affiliation_to_what() {
        // Of each who: for each whom (outcast, none, member, admin, owner), to each of the same.
        for (who, table) in [
            (Outcast, ["fffff", "fffff", "fffff", "fffff", "fffff"]),
            (Affiliation::None, ["fffff", "fffff", "fffff", "fffff", "fffff"]),
            (Member, ["fffff", "fffff", "fffff", "fffff", "fffff"]),
            (Admin, ["+++ff", "+++ff", "+++ff", "nnnff", "nnnff"]),
            (Owner, ["+++++", "+++++", "+++++", "+++++", "+++++"]),
        ] {
            for (whom, expected) in Affiliation::ALL.iter().zip(table) {
                let found: String = Affiliation::ALL
                    .iter()
                    .map(|to| came(may_change_affiliation(who, *whom, *to)))
                    .collect();
                assert_eq!(found, expected, "{who:?} {whom:?}");
            }
        }
    }

    #[test]
    fn every_cell_of_what_a_moderator_does_to_whose_role() {
        // Of each who: for each whom, to none, visitor, participant, moderator.
        let whom = [
            (Affiliation::None, Role::Visitor),
            (Affiliation::None, Role::Participant),
            (Affiliation::None, Role::Moderator),
            (Member, Role::Visitor),
            (Member, Role::Participant),
            (Member, Role::Moderator),
            (Admin, Role::Moderator),
            (Owner, Role::Moderator),
        ];
        for (who, table) in [
            (Affiliation::None, ["+++f", "+++f", "+nn+", "n++f", "nn+f", "nnn+", "nnn+", "nnn+"]),
            (Member, ["+++f", "+++f", "+nn+", "+++f", "+++f", "+nn+", "nnn+", "nnn+"]),
            (Admin, ["++++", "++++", "++++", "++++", "++++", "++++", "+nn+", "nnn+"]),
            (Owner, ["++++", "++++", "++++", "++++", "++++", "++++", "+nn+", "+nn+"]),
        ] {
            for ((affiliation, role), expected) in whom.iter().zip(table) {
                let who = Standing { affiliation: who, role: Role::Moderator };
                let whom = Standing { affiliation: *affiliation, role: *role };
                let found: String =
                    Role::ALL.iter().map(|to| came(may_change_role(who, whom, *to))).collect();
                assert_eq!(found, expected, "{who:?} {whom:?}");
            }
        }
    }

    #[test]
    fn who_does_not_moderate_changes_no_role() {
        for affiliation in Affiliation::ALL {
            for role in [Role::None, Role::Visitor, Role::Participant] {
                let who = Standing { affiliation: *affiliation, role };
                let whom = Standing { affiliation: Affiliation::None, role: Role::Participant };
                for to in Role::ALL {
                    assert_eq!(came(may_change_role(who, whom, *to)), 'f', "{who:?} {to:?}");
                }
            }
        }
    }

    #[test]
    fn the_initial_role_follows_from_the_affiliation() {
        for (affiliation, moderated, open) in [
            (Outcast, Role::None, Role::None),
            (Affiliation::None, Role::Visitor, Role::Participant),
            (Member, Role::Participant, Role::Participant),
            (Admin, Role::Moderator, Role::Moderator),
            (Owner, Role::Moderator, Role::Moderator),
        ] {
            assert_eq!((affiliation.role(true), affiliation.role(false)), (moderated, open));
        }
    }
}
