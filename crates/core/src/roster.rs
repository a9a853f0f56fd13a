//! RFC 6121, 2 and 3: the roster of an account: its contacts, the subscriptions to and from each,
//! and the requests that wait for an answer.
//!
//! A roster in memory is a snapshot that is never changed, only replaced: by its owner's half of a
//! change ([`outbound`]) or by what a contact says (`inbound`). Rows in the store hold own domains
//! by number; here, addresses have domain names.

mod arrival;
mod entry;
pub mod everybody;
mod inbound;
pub mod item;
pub(crate) mod missed;
mod nobodys;
pub mod outbound;
mod removal;
pub mod transition;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use whoelse_store::{Domain, Holder, RosterRow, RosterVersion, Store, from_key};
use whoelse_xmpp::BareJid;

use crate::account::Account;
use crate::node::Node;

pub(crate) use arrival::take_requests;
pub(crate) use inbound::{addressed, plain};
pub(crate) use nobodys::void_approvals;
pub(crate) use removal::{forget_contact, tell_holders};
pub use transition::{State, Step, SubscriptionType, Way, step};

/// In the slot of a session that has requested the roster and so gets roster pushes: an *interested
/// resource* (RFC 6121, 2.2).
pub struct Interested;

/// In the slot of a session that misses pushes: the roster as it was when the first of them found no
/// room, or later. Whoever its client may have, and has not been told of, is in it or came later.
///
/// It is taken when the first push is due, after the changes of that commit: these have removed fewer
/// contacts of one roster than are remembered.
struct AsItWas(Arc<Roster>);

/// The relation between the owner of a roster and one address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// Whether it is a contact in the roster that the owner sees. If not, it only asks to see the
    /// owner's presence, or is the trace of a removed contact.
    pub listed: bool,
    /// The owner's name for it; empty: none.
    pub name: String,
    /// The owner's groups that it is in.
    pub groups: Vec<String>,
    /// The subscriptions.
    pub state: State,
    /// Its subscription request, without addresses; empty unless it waits for an answer.
    pub request: Bytes,
    /// The version of the roster in which it last changed; 0: it was never a contact.
    pub version: i64,
    /// Whether the owner has approved in advance a name that nobody had, and that somebody has
    /// registered since: it looks approved, and is not.
    pub approved_nobody: bool,
}

impl Contact {
    /// Whether it looks approved in advance.
    pub(crate) fn looks_approved(&self) -> bool {
        self.state.approved || self.approved_nobody
    }

    /// Whether the owner would see a difference.
    fn looks_like(&self, other: &Contact) -> bool {
        // A roster does not show whether a contact asks (RFC 6121, A.1).
        let seen = |contact: &Contact| {
            let approved = contact.looks_approved();
            State { asked: false, approved, ..contact.state }
        };
        let same = self.name == other.name && self.groups == other.groups;
        self.listed == other.listed && (!self.listed || same && seen(self) == seen(other))
    }

    fn is_nothing(&self) -> bool {
        !self.listed && !self.state.asked && self.version == 0
    }

    fn of(row: RosterRow) -> Contact {
        let asked = !row.request.is_empty();
        let RosterRow { to, from, ask, approved, .. } = row;
        Contact {
            listed: row.listed,
            name: row.name,
            groups: row.groups,
            state: State { to, from, ask, asked, approved },
            request: row.request,
            version: row.version,
            approved_nobody: row.approved_nobody,
        }
    }

    fn to_row(&self, key: &str) -> RosterRow {
        let State { to, from, ask, approved, .. } = self.state;
        RosterRow {
            contact: key.to_owned(),
            listed: self.listed,
            name: self.name.clone(),
            groups: self.groups.clone(),
            to,
            from,
            ask,
            approved,
            approved_nobody: self.approved_nobody,
            request: self.request.clone(),
            version: self.version,
        }
    }
}

/// The roster of an account, as it was at one moment.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    contacts: BTreeMap<BareJid, Arc<Contact>>,
    version: RosterVersion,
}

impl Roster {
    /// Reads an account's roster.
    pub(crate) async fn load(
        store: &Store,
        account: i64,
        own: &[Domain],
    ) -> Result<Roster, whoelse_store::Error> {
        let (rows, version) = store.roster(account).await?;
        let contact = |row: RosterRow| {
            // A key without an address is of a domain that is gone: nobody can be reached there.
            let jid = BareJid::parse(&from_key(&row.contact, own)?).ok()?;
            Some((jid, Arc::new(Contact::of(row))))
        };
        Ok(Roster { contacts: rows.into_iter().filter_map(contact).collect(), version })
    }

    /// Returns the relation between the owner and this address, if there is any.
    pub fn get(&self, jid: &BareJid) -> Option<&Contact> {
        self.contacts.get(jid).map(Arc::as_ref)
    }

    /// Returns the contacts as the owner sees them, by address.
    pub fn contacts(&self) -> impl Iterator<Item = (&BareJid, &Contact)> {
        self.all().filter(|(_, contact)| contact.listed)
    }

    /// Returns those who see the owner's presence.
    pub fn subscribers(&self) -> impl Iterator<Item = &BareJid> {
        self.all().filter(|(_, contact)| contact.state.from).map(|(jid, _)| jid)
    }

    /// Returns those whose presence the owner sees.
    pub fn subscriptions(&self) -> impl Iterator<Item = &BareJid> {
        self.all().filter(|(_, contact)| contact.state.to).map(|(jid, _)| jid)
    }

    /// Returns those who have asked to see the owner's presence and wait for an answer.
    pub fn requests(&self) -> impl Iterator<Item = (&BareJid, &Contact)> {
        self.all().filter(|(_, contact)| contact.state.asked)
    }

    /// Whether this address sees the owner's presence.
    pub fn shows_to(&self, viewer: &BareJid) -> bool {
        self.contacts.get(viewer).is_some_and(|contact| contact.state.from)
    }

    /// Returns the number of the last change; 0: there was none.
    pub fn version(&self) -> i64 {
        self.version.last
    }

    /// RFC 6121, 2.6: returns what changed after this version, oldest first, including the traces
    /// of removed contacts. `None` if that is no longer known, or the version is not one of this
    /// roster's.
    pub fn changed_since(&self, version: i64) -> Option<Vec<(&BareJid, &Contact)>> {
        if version < self.version.known_since || version > self.version.last {
            return None;
        }
        Some(self.after(version))
    }

    fn all(&self) -> impl Iterator<Item = (&BareJid, &Contact)> {
        self.contacts.iter().map(|(jid, contact)| (jid, contact.as_ref()))
    }

    /// Returns the versions from which changes will be known when the roster goes from version
    /// `known` to `last`: the traces of [`REMAINS`] removed contacts are remembered.
    fn versions(&self, known: RosterVersion, last: i64) -> RosterVersion {
        let gone = |(_, contact): &(_, &Contact)| !contact.listed && contact.version > 0;
        let mut gone: Vec<i64> = self.all().filter(gone).map(|(_, it)| it.version).collect();
        let known_since = match gone.len().checked_sub(REMAINS) {
            Some(over) => {
                gone.sort_unstable();
                // The index is below the length, because `REMAINS` is not zero.
                gone[over]
            }
            None => match known.last {
                // A client may hold the roster of an earlier account of this name.
                0 => last - 1,
                _ => known.known_since,
            },
        };
        RosterVersion { last, known_since }
    }

    /// Returns a copy in which this is the relation between the owner and `jid`.
    fn with(&self, jid: &BareJid, contact: Contact, version: Option<RosterVersion>) -> Roster {
        let mut roster = self.clone();
        match contact.is_nothing() {
            true => roster.contacts.remove(jid),
            false => roster.contacts.insert(jid.clone(), Arc::new(contact)),
        };
        if let Some(version) = version {
            roster.version = version;
            // As in the store: older traces of removed contacts are dropped.
            let forgotten = |it: &Contact| !it.listed && it.version <= version.known_since;
            roster.contacts.retain(|_, it| !forgotten(it) || it.state.asked);
        }
        roster
    }
}

/// Returns the owner of a roster, if they are in memory.
fn here(node: &Node, holder: &Holder) -> Option<Arc<Account>> {
    let domain = node.domain();
    let jid = BareJid::new(Some(&holder.localpart), &domain.name).ok()?;
    node.refresh_account(&jid).filter(|_| holder.domain == domain.id)
}

/// How many removed contacts are remembered, so that a client with an older version is told of
/// each. A client that was away for longer gets the whole roster.
const REMAINS: usize = 100;

impl Account {
    /// The roster.
    pub fn roster(&self) -> Arc<Roster> {
        self.get().unwrap_or_default()
    }

    /// Whether the owner sees this bare address in the roster.
    pub(crate) fn lists(&self, jid: &str) -> bool {
        let lists = |roster: &Roster| roster.contacts.get(jid).is_some_and(|it| it.listed);
        self.look(lists).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_store::Location;

    fn jid(name: &str) -> BareJid {
        BareJid::parse(&format!("{name}@a.example")).unwrap()
    }

    fn listed(version: i64) -> Contact {
        Contact { listed: true, version, ..Contact::default() }
    }

    fn put(roster: &Roster, name: &str, contact: Contact) -> Roster {
        let version = roster.versions(roster.version, contact.version);
        roster.with(&jid(name), contact, Some(version))
    }

    fn names(roster: &Roster, since: i64) -> Option<String> {
        let changed = roster.changed_since(since)?;
        let names: Vec<_> = changed.iter().map(|(jid, _)| jid.local().unwrap()).collect();
        Some(names.join(" "))
    }

    #[test]
    fn what_changed_since_a_version_is_known_in_order() {
        let mut roster = put(&Roster::default(), "bob", listed(10));
        for (name, version) in [("eve", 11), ("ada", 12), ("bob", 13)] {
            roster = put(&roster, name, listed(version));
        }
        roster = put(&roster, "eve", Contact { listed: false, ..listed(14) });

        assert_eq!(names(&roster, 14).as_deref(), Some(""));
        assert_eq!(names(&roster, 12).as_deref(), Some("bob eve"));
        assert_eq!(names(&roster, 9).as_deref(), Some("ada bob eve"));
        // A version from before the first change, and one from the future.
        assert_eq!(names(&roster, 8), None);
        assert_eq!(names(&roster, 15), None);
    }

    #[test]
    fn a_bounded_number_of_contacts_that_went_is_remembered() {
        let mut roster = put(&Roster::default(), "bob", listed(1));
        for n in 0..300 {
            roster = put(&roster, &format!("n{n}"), listed(10 + 2 * n));
            let gone = Contact { version: 11 + 2 * n, ..Contact::default() };
            roster = put(&roster, &format!("n{n}"), gone);
        }

        assert!(roster.contacts.len() <= REMAINS + 2, "{}", roster.contacts.len());
        assert_eq!(names(&roster, 0), None);
        let last = roster.version();
        assert_eq!(names(&roster, last - 1).as_deref(), Some("n299"));
    }

    #[test]
    fn a_request_is_no_contact_and_leaves_nothing_behind() {
        let asked = Contact {
            state: State { asked: true, ..State::default() },
            request: Bytes::from_static(b"<presence/>"),
            ..Contact::default()
        };
        let roster = Roster::default().with(&jid("eve"), asked, None);

        assert_eq!(roster.contacts().count(), 0);
        assert_eq!(roster.requests().count(), 1);
        assert_eq!(names(&roster, 0).as_deref(), Some(""));
        let roster = roster.with(&jid("eve"), Contact::default(), None);
        assert!(roster.get(&jid("eve")).is_none());
    }

    #[tokio::test]
    async fn contacts_go_by_the_present_name_of_their_domain() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("old.example").await.unwrap();
        let bob = tx.create_account(domain, "bob", &[], 1).await.unwrap().unwrap();
        let request = Bytes::from_static(b"<presence type='subscribe'></presence>");
        for row in [
            Contact { state: State { from: true, ..State::default() }, ..listed(1) }
                .to_row(&format!("eve@#{domain}")),
            Contact { request: request.clone(), ..Contact::default() }
                .to_row(&format!("ada@#{domain}")),
            listed(2).to_row("mona@far.example"),
        ] {
            tx.write_roster_row(bob, &row).await.unwrap();
        }
        tx.rename_domain("old.example", "new.example").await.unwrap();
        tx.commit().await.unwrap();

        let roster = Roster::load(&store, bob, &store.domains().await.unwrap()).await.unwrap();

        assert!(roster.shows_to(&BareJid::parse("eve@new.example").unwrap()));
        let contacts: Vec<_> = roster.contacts().map(|(jid, _)| jid.as_str()).collect();
        assert_eq!(contacts, ["eve@new.example", "mona@far.example"]);
        let asks: Vec<_> = roster.requests().map(|(jid, it)| (jid.as_str(), &it.request)).collect();
        assert_eq!(asks, [("ada@new.example", &request)]);
    }
}
