//! XEP-0060, 4: who may do what at a node, as pure functions over its models and what the asker is
//! to it and to its owner.

use whoelse_xmpp::{Condition, StanzaError};

use super::refusal::{because, forbidden, stranger};
use crate::words::words;

words! {
    /// 4.5: who may subscribe to a node and read its items.
    AccessModel {
        Authorize = "authorize",
        Open = "open",
        Presence = "presence",
        Roster = "roster",
        Whitelist = "whitelist",
    }
}

words! {
    /// Who may publish to a node besides its owners and publishers.
    PublishModel {
        Publishers = "publishers",
        Subscribers = "subscribers",
        Open = "open",
    }
}

words! {
    /// 4.1: what somebody is at a node.
    Affiliation {
        Owner = "owner",
        Publisher = "publisher",
        PublishOnly = "publish-only",
        Member = "member",
        None = "none",
        Outcast = "outcast",
    }
}

words! {
    /// 4.2: whether somebody is subscribed to a node by their own wish.
    Subscription {
        None = "none",
        Pending = "pending",
        Subscribed = "subscribed",
    }
}

/// What somebody is to the owner of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The account whose nodes these are; at the service, an administrator.
    Oneself,
    /// Subscribed to the owner's presence; `in_group`: and in one of the groups of the owner's
    /// roster that the node allows.
    Contact {
        /// Whether it is in such a group.
        in_group: bool,
    },
    /// Anybody else.
    Stranger,
}

/// What somebody is at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub affiliation: Affiliation,
    pub subscription: Subscription,
    pub relation: Relation,
}

/// The models of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Models {
    pub access: AccessModel,
    pub publish: PublishModel,
}

/// Why somebody may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The affiliation does not allow it.
    Forbidden,
    /// One has to see the owner's presence.
    PresenceRequired,
    /// One has to be in a group of the owner's roster.
    NotInGroup,
    /// One has to be on a list.
    Closed,
    /// One has to be subscribed.
    NotSubscribed,
    /// An owner has still to agree.
    Pending,
}

impl Refusal {
    /// What whoever asked is told.
    pub fn error(self) -> StanzaError {
        match self {
            Refusal::Forbidden => forbidden(),
            Refusal::PresenceRequired => stranger(),
            Refusal::NotInGroup => because(Condition::NotAuthorized, "not-in-roster-group"),
            Refusal::Closed => because(Condition::NotAllowed, "closed-node"),
            Refusal::NotSubscribed => because(Condition::NotAuthorized, "not-subscribed"),
            Refusal::Pending => because(Condition::NotAuthorized, "pending-subscription"),
        }
    }
}

impl Asker {
    /// The affiliation that counts: the account is the owner of its nodes, whatever a list says.
    pub fn affiliation(self) -> Affiliation {
        match self.relation {
            Relation::Oneself => Affiliation::Owner,
            Relation::Contact { .. } | Relation::Stranger => self.affiliation,
        }
    }

    /// Whether somebody owns the node: they may configure, purge and delete it.
    pub fn owns(self) -> Result<(), Refusal> {
        match self.affiliation() {
            Affiliation::Owner => Ok(()),
            _ => Err(Refusal::Forbidden),
        }
    }

    /// Whether somebody may read the items of a node, and so hears of them.
    pub fn reads(self, access: AccessModel) -> Result<(), Refusal> {
        match self.affiliation() {
            Affiliation::Owner | Affiliation::Publisher | Affiliation::Member => return Ok(()),
            Affiliation::PublishOnly | Affiliation::Outcast => return Err(Refusal::Forbidden),
            Affiliation::None => {}
        }
        match (access, self.relation) {
            (AccessModel::Open, _) => Ok(()),
            (AccessModel::Authorize, _) => match self.subscription {
                Subscription::Subscribed => Ok(()),
                Subscription::None | Subscription::Pending => Err(Refusal::NotSubscribed),
            },
            (AccessModel::Whitelist, _) => Err(Refusal::Closed),
            (AccessModel::Presence | AccessModel::Roster, Relation::Stranger) => {
                Err(Refusal::PresenceRequired)
            }
            (AccessModel::Roster, Relation::Contact { in_group: false }) => {
                Err(Refusal::NotInGroup)
            }
            (AccessModel::Presence | AccessModel::Roster, _) => Ok(()),
        }
    }

    /// Which state a subscription has that somebody asks for now.
    pub fn subscribes(self, access: AccessModel) -> Result<Subscription, Refusal> {
        match (self.reads(access), self.subscription) {
            (Err(Refusal::NotSubscribed), Subscription::Pending) => Err(Refusal::Pending),
            (Err(Refusal::NotSubscribed), _) => Ok(Subscription::Pending),
            (may, _) => may.map(|()| Subscription::Subscribed),
        }
    }

    /// Whether somebody may publish.
    pub fn publishes(self, models: Models) -> Result<(), Refusal> {
        match (self.affiliation(), models.publish) {
            (Affiliation::Owner | Affiliation::Publisher | Affiliation::PublishOnly, _) => Ok(()),
            (Affiliation::Outcast, _) | (_, PublishModel::Publishers) => Err(Refusal::Forbidden),
            (Affiliation::Member | Affiliation::None, PublishModel::Open) => Ok(()),
            (Affiliation::Member | Affiliation::None, PublishModel::Subscribers) => {
                match self.is_subscribed(models.access) {
                    true => Ok(()),
                    false => Err(Refusal::Forbidden),
                }
            }
        }
    }

    /// Whether somebody may change or retract an item. Whoever only publishes what others may read
    /// has a right to nothing but their own (4.1).
    pub fn changes(self, models: Models, is_own: bool) -> Result<(), Refusal> {
        match self.affiliation() {
            Affiliation::Owner | Affiliation::Publisher => Ok(()),
            _ if is_own => self.publishes(models),
            _ => Err(Refusal::Forbidden),
        }
    }

    /// 9.1: whoever sees the owner's presence is subscribed to what they may read there.
    fn is_subscribed(self, access: AccessModel) -> bool {
        let is_contact = matches!(self.relation, Relation::Contact { .. });
        let by_presence =
            is_contact && !matches!(access, AccessModel::Authorize | AccessModel::Whitelist);
        (self.subscription == Subscription::Subscribed || by_presence) && self.reads(access).is_ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A stranger, a contact, one in a group, and the account itself.
    const RELATIONS: [Relation; 4] = [
        Relation::Stranger,
        Relation::Contact { in_group: false },
        Relation::Contact { in_group: true },
        Relation::Oneself,
    ];

    /// A letter for each result.
    fn letter<T: PartialEq + From<Subscription>>(result: Result<T, Refusal>) -> char {
        match result {
            Ok(state) if state == T::from(Subscription::Pending) => '?',
            Ok(_) => '+',
            Err(Refusal::Forbidden) => 'f',
            Err(Refusal::PresenceRequired) => 'p',
            Err(Refusal::NotInGroup) => 'g',
            Err(Refusal::Closed) => 'c',
            Err(Refusal::NotSubscribed) => 's',
            Err(Refusal::Pending) => 'w',
        }
    }

    /// What may be done at all, for a right that has no states.
    #[derive(PartialEq)]
    struct Done(bool);

    impl From<Subscription> for Done {
        fn from(_: Subscription) -> Done {
            Done(false)
        }
    }

    fn done(result: Result<(), Refusal>) -> char {
        letter(result.map(|()| Done(true)))
    }

    /// Writes one row for each affiliation, with a group of letters for each model: those who have no
    /// subscription, a pending one and a real one, and of each the relations.
    fn table(models: &[AccessModel], may: impl Fn(Asker, AccessModel) -> char) -> String {
        let mut rows = String::new();
        for affiliation in Affiliation::ALL {
            rows += &format!("{:<13}", affiliation.word());
            for access in models {
                rows.push(' ');
                for subscription in Subscription::ALL {
                    for relation in RELATIONS {
                        let (affiliation, subscription) = (*affiliation, *subscription);
                        rows.push(may(Asker { affiliation, subscription, relation }, *access));
                    }
                }
            }
            rows.push('\n');
        }
        rows
    }

    #[test]
    fn every_cell_of_who_may_read() {
        let found = table(AccessModel::ALL, |asker, access| done(asker.reads(access)));

        //             authorize    open         presence     roster       whitelist
        let expected = "\
owner         ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publisher     ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publish-only  fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
member        ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
none          sss+sss+++++ ++++++++++++ p+++p+++p+++ pg++pg++pg++ ccc+ccc+ccc+
outcast       fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
";
        assert_eq!(found, expected, "\n{found}");
    }

    #[test]
    fn every_cell_of_who_may_subscribe() {
        let found = table(AccessModel::ALL, |asker, access| letter(asker.subscribes(access)));

        let expected = "\
owner         ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publisher     ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publish-only  fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
member        ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
none          ???+www+++++ ++++++++++++ p+++p+++p+++ pg++pg++pg++ ccc+ccc+ccc+
outcast       fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
";
        assert_eq!(found, expected, "\n{found}");
    }

    #[test]
    fn every_cell_of_who_may_publish() {
        let all = |publish| {
            table(AccessModel::ALL, move |asker, access| {
                done(asker.publishes(Models { access, publish }))
            })
        };

        let publishers = "\
owner         ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publisher     ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publish-only  ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
member        fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
none          fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
outcast       fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
";
        let subscribers = "\
owner         ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publisher     ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publish-only  ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
member        fff+fff+++++ f+++f+++++++ f+++f+++++++ f+++f+++++++ fff+fff+++++
none          fff+fff+++++ f+++f+++++++ f+++f+++f+++ ff++ff++ff++ fff+fff+fff+
outcast       fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
";
        let open = "\
owner         ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publisher     ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
publish-only  ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
member        ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
none          ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++ ++++++++++++
outcast       fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+ fff+fff+fff+
";
        for (publish, expected) in [
            (PublishModel::Publishers, publishers),
            (PublishModel::Subscribers, subscribers),
            (PublishModel::Open, open),
        ] {
            let found = all(publish);
            assert_eq!(found, expected, "{publish:?}\n{found}");
        }
    }

    #[test]
    fn who_may_only_publish_changes_nothing_of_others() {
        let models = Models { access: AccessModel::Open, publish: PublishModel::Open };
        for (affiliation, own, others) in [
            (Affiliation::Owner, true, true),
            (Affiliation::Publisher, true, true),
            (Affiliation::PublishOnly, true, false),
            (Affiliation::Member, true, false),
            (Affiliation::None, true, false),
            (Affiliation::Outcast, false, false),
        ] {
            let (subscription, relation) = (Subscription::Subscribed, Relation::Stranger);
            let asker = Asker { affiliation, subscription, relation };
            assert_eq!(asker.changes(models, true).is_ok(), own, "{affiliation:?}");
            assert_eq!(asker.changes(models, false).is_ok(), others, "{affiliation:?}");
            assert_eq!(asker.owns().is_ok(), affiliation == Affiliation::Owner);
        }
    }

    #[test]
    fn every_word_is_read_as_it_was_written() {
        for model in AccessModel::ALL {
            assert_eq!(AccessModel::of(model.word()), Some(*model));
        }
        for affiliation in Affiliation::ALL {
            assert_eq!(Affiliation::of(affiliation.word()), Some(*affiliation));
            assert_eq!(Affiliation::of_number(affiliation.number()), Some(*affiliation));
        }
        assert_eq!(Subscription::of("unconfigured"), None);
        assert_eq!(Subscription::of_number(3), None);
    }
}
