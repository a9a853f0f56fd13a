//! RFC 6121, 2.3 to 2.5 and 3: how rosters change. A subscription between two accounts of this
//! server is one command of the keeper over both rosters, so the two never disagree.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_store::{RosterVersion, Tx};
use whoelse_xmpp::write::{Element, escape};
use whoelse_xmpp::{BareJid, Class, Condition, Kind, Outgoing, StanzaError};

use super::{Contact, Interested, State, SubscriptionType, exchange, item};
use crate::account::Account;
use crate::keeper::After;
use crate::node::Node;
use crate::presence;
use crate::settings::Limits;

/// What an account wishes to change about one contact.
pub enum Wish {
    /// It sends this word. The presence as it was sent, without addresses.
    Say(SubscriptionType, Bytes),
    /// RFC 6121, 2.3 and 2.4: the contact is added, or called and filed otherwise.
    Set {
        /// What it is called; empty: nothing.
        name: String,
        /// The groups it is in.
        groups: Vec<String>,
    },
    /// RFC 6121, 2.5: the contact goes, and with it both subscriptions.
    Remove,
}

/// Changes what stands between `account` and `contact`: on both sides where the contact is the
/// account `other` of this server, else on its own. The caller holds both, so they stay in memory.
///
/// Refused: `resource-constraint` when a roster is full, `item-not-found` when there is nothing to
/// remove, `not-allowed` to the server itself, which has no roster. Returns when the change is on disk and everybody has been told.
pub async fn change(
    node: &Arc<Node>,
    account: &Arc<Account>,
    contact: &BareJid,
    other: Option<Arc<Account>>,
    wish: Wish,
) -> Result<(), StanzaError> {
    if account.is_server() {
        return Err(StanzaError::new(Condition::NotAllowed));
    }
    let command = Command {
        node: node.clone(),
        own: Side::new(node, account.clone(), contact.clone()),
        theirs: other.map(|other| Side::new(node, other, account.jid().clone())),
        heard: Vec::new(),
        wish,
    };
    let done = node.keeper.change(move |tx| Box::pin(command.run(tx)));
    done.await.unwrap_or_else(|error| {
        Err(StanzaError::new(match error.is_full() {
            true => Condition::ResourceConstraint,
            false => Condition::InternalServerError,
        }))
    })
}

/// A change under way.
struct Command {
    node: Arc<Node>,
    own: Side,
    theirs: Option<Side>,
    /// The words that reach a person: who hears them.
    heard: Vec<(Hears, SubscriptionType)>,
    wish: Wish,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hears {
    Contact,
    Owner,
}

/// One roster and the contact in it that changes.
struct Side {
    account: Arc<Account>,
    contact: BareJid,
    key: String,
    before: Contact,
    /// What the owner has asked for and got in the same step, as it stood in between.
    between: Option<Contact>,
    after: Contact,
    version: Option<RosterVersion>,
}

type Done = Result<(Result<(), StanzaError>, After), whoelse_store::Error>;

impl Command {
    async fn run(mut self, tx: &mut Tx) -> Done {
        if self.own.account.is_removed() {
            return refused(StanzaError::new(Condition::NotAuthorized));
        }
        // It can have been removed while this waited for its turn.
        self.theirs = self.theirs.take().filter(|theirs| !theirs.account.is_removed());
        // Address order, whoever begins: two commands that meet take the rows in the same order.
        let (first, second) = self.sides();
        first.read(tx).await?;
        if let Some(second) = second {
            second.read(tx).await?;
        }
        if let Err(error) = self.decide() {
            return refused(error);
        }
        let now = self.node.clock.now().0;
        let (first, second) = self.sides();
        first.write(tx, now).await?;
        if let Some(second) = second {
            second.write(tx, now).await?;
        }
        let then: After = vec![Box::new(move |node: &Arc<Node>| self.apply(node))];
        Ok((Ok(()), then))
    }

    fn sides(&mut self) -> (&mut Side, Option<&mut Side>) {
        let own = &mut self.own;
        match &mut self.theirs {
            Some(theirs) => match theirs.account.jid() < own.account.jid() {
                true => (theirs, Some(own)),
                false => (own, Some(theirs)),
            },
            None => (own, None),
        }
    }

    /// What the wish means for both sides.
    fn decide(&mut self) -> Result<(), StanzaError> {
        let State { to, from, ask, .. } = self.own.before.state;
        match &self.wish {
            Wish::Say(word, _) => self.say(*word)?,
            Wish::Set { name, groups } => {
                let own = &mut self.own.after;
                (own.listed, own.name, own.groups) = (true, name.clone(), groups.clone());
            }
            Wish::Remove => {
                if !self.own.before.listed {
                    return Err(StanzaError::new(Condition::ItemNotFound));
                }
                // RFC 6121, 2.5.2.
                if to || ask {
                    self.say(SubscriptionType::Unsubscribe)?;
                }
                if from {
                    self.say(SubscriptionType::Unsubscribed)?;
                }
                let own = &mut self.own.after;
                let asked = own.state.asked;
                *own = Contact {
                    state: State { asked, ..State::default() },
                    request: own.request.clone(),
                    ..Contact::default()
                };
            }
        }
        self.own.check(&self.node.settings().limits)
    }

    /// One word from the owner to the contact, and what comes back at once.
    fn say(&mut self, word: SubscriptionType) -> Result<(), StanzaError> {
        let theirs = self.theirs.as_ref().map(|theirs| theirs.after.state);
        let said = exchange(self.own.after.state, theirs, word);
        if said.answered {
            self.own.take(said.said, &Bytes::new());
            self.own.between = Some(self.own.after.clone());
        }
        self.own.take(said.own, &Bytes::new());
        let (Some(theirs), Some(state)) = (&mut self.theirs, said.theirs) else { return Ok(()) };
        let request = match &self.wish {
            Wish::Say(_, request) => request.clone(),
            Wish::Set { .. } | Wish::Remove => Bytes::new(),
        };
        let settings = self.node.settings();
        let limits = &settings.limits;
        if state.asked && !theirs.after.state.asked {
            if theirs.account.roster().requests().count() >= limits.roster_requests {
                return Err(StanzaError::new(Condition::ResourceConstraint)
                    .with_text("too many requests wait for an answer there"));
            }
            if request.len() > limits.roster_request_bytes {
                return Err(StanzaError::new(Condition::PolicyViolation)
                    .with_text("a request to subscribe must be shorter"));
            }
        }
        theirs.take(state, &request);
        if said.reaches {
            self.heard.push((Hears::Contact, word));
        }
        if said.answered {
            self.heard.push((Hears::Owner, SubscriptionType::Subscribed));
        }
        Ok(())
    }

    /// After the commit: the snapshots, then the words and the pushes, then presence.
    fn apply(self, node: &Arc<Node>) {
        self.own.swap();
        let Some(theirs) = &self.theirs else {
            self.own.push(node, false);
            return;
        };
        theirs.swap();
        let (own, other) = (&self.own.account, &theirs.account);
        // Who has blocked the other, or is blocked, hears nothing (XEP-0191).
        let open = node.wiring.shows(own, other.jid()) && node.wiring.shows(other, own.jid());
        self.own.push_between(node);
        for (who, word) in self.heard.iter().filter(|_| open) {
            let (from, to) = if *who == Hears::Contact { (own, other) } else { (other, own) };
            let said = match &self.wish {
                Wish::Say(said, bytes) if said == word => bytes.clone(),
                _ => Element::new("presence").attr("type", word.name()).finish(),
            };
            tell(to, *word, &addressed(said, from.jid(), to.jid()));
        }
        self.own.push(node, true);
        theirs.push(node, true);
        if open && !node.settings().contacts.are_shared() {
            self.own.show(node, theirs);
            theirs.show(node, &self.own);
        }
    }
}

fn refused(error: StanzaError) -> Done {
    Ok((Err(error), After::new()))
}

impl Side {
    fn new(node: &Node, account: Arc<Account>, contact: BareJid) -> Side {
        let key = node.key_of(contact.as_str());
        let (before, after) = (Contact::default(), Contact::default());
        Side { account, contact, key, before, between: None, after, version: None }
    }

    async fn read(&mut self, tx: &mut Tx) -> Result<(), whoelse_store::Error> {
        let row = tx.roster_row(self.account.id, &self.key).await?;
        self.before = row.map(Contact::of).unwrap_or_default();
        self.after = self.before.clone();
        Ok(())
    }

    /// The state after a step; `request` is what the contact said, should it wait for an answer.
    fn take(&mut self, state: State, request: &Bytes) {
        let contact = &mut self.after;
        match (contact.state.asked, state.asked) {
            (false, true) => contact.request = request.clone(),
            (_, false) => contact.request = Bytes::new(),
            (true, true) => {}
        }
        contact.state = state;
        // RFC 6121, 3.1.2 and 3.4.2: whoever is asked, granted or approved is in the roster.
        contact.listed |= state.to || state.from || state.ask || state.approved;
    }

    fn check(&self, limits: &Limits) -> Result<(), StanzaError> {
        if !self.after.listed {
            return Ok(());
        }
        let full =
            |text: String| Err(StanzaError::new(Condition::ResourceConstraint).with_text(text));
        let roster = self.account.roster();
        let most = limits.roster_contacts;
        if !self.before.listed && roster.contacts().count() >= most {
            return full(format!("a roster holds {most} contacts at most"));
        }
        let (before, after) =
            (weight(&self.contact, &self.before), weight(&self.contact, &self.after));
        let others = roster.contacts().filter(|(jid, _)| **jid != self.contact);
        let others: usize = others.map(|(jid, contact)| weight(jid, contact)).sum();
        // Who is over the bound already, because it was lowered, can still make it less.
        if after > before && others + after > limits.roster_bytes {
            return full("the names and groups of this roster are too long together".to_owned());
        }
        Ok(())
    }

    /// Writes what has changed, with a new version if the owner would see it.
    async fn write(&mut self, tx: &mut Tx, now: i64) -> Result<(), whoelse_store::Error> {
        let id = self.account.id;
        self.between = self.between.take().filter(|between| !between.looks_like(&self.before));
        if !self.after.looks_like(&self.before) {
            let roster = self.account.roster();
            let mut version = roster.next_version(now);
            if let Some(between) = &mut self.between {
                // Whoever hears of this one and then no more has missed the next.
                between.version = version;
                version += 1;
            }
            self.after.version = version;
            self.version = Some(roster.versions(version));
        }
        if self.after == self.before {
            return Ok(());
        }
        if self.after.is_nothing() {
            tx.remove_roster_row(id, &self.key).await?;
        } else {
            tx.write_roster_row(id, &self.after.to_row(&self.key)).await?;
        }
        match self.version {
            Some(version) => tx.set_roster_version(id, version).await,
            None => Ok(()),
        }
    }

    fn swap(&self) {
        if self.after != self.before {
            let roster =
                self.account.roster().with(&self.contact, self.after.clone(), self.version);
            self.account.put(Arc::new(roster));
        }
    }

    /// `exists`: the contact is an account of this server.
    fn push(&self, node: &Node, exists: bool) {
        if self.version.is_some() {
            item::push(node, &self.account, &self.contact, &self.after, exists);
        }
    }

    /// RFC 6121, 3.1.2: that the owner has asked is pushed before the answer, however fast it is.
    fn push_between(&self, node: &Node) {
        if let Some(between) = &self.between {
            item::push(node, &self.account, &self.contact, between, true);
        }
    }

    /// Shows the owner's presence to a contact that has just been allowed to see it, and takes it
    /// away from one that no longer is (RFC 6121, 3.1.5, 3.2.2 and 3.3.3).
    fn show(&self, node: &Node, contact: &Side) {
        match (self.before.state.from, self.after.state.from) {
            (false, true) => {
                presence::show(node, &self.account, contact.account.jid());
            }
            (true, false) => presence::take_away(node, &self.account, contact.account.jid()),
            _ => {}
        }
    }
}

/// About the bytes of a contact as it goes out: the item, each group, and what has to be escaped.
fn weight(jid: &BareJid, contact: &Contact) -> usize {
    const ITEM: usize = 64;
    const GROUP: usize = 15;
    let text = |text: &str| -> usize {
        text.bytes().map(|b| if b"&<>'\"".contains(&b) { 6 } else { 1 }).sum()
    };
    if !contact.listed {
        return 0;
    }
    let groups: usize = contact.groups.iter().map(|group| GROUP + text(group)).sum();
    ITEM + text(jid.as_str()) + text(&contact.name) + groups
}

/// A presence without addresses as it reaches somebody.
pub(crate) fn addressed(said: Bytes, from: &BareJid, to: &BareJid) -> Outgoing {
    let mut attributes = Vec::new();
    for (name, jid) in [(" from='", from), (" to='", to)] {
        attributes.extend_from_slice(name.as_bytes());
        escape(&mut attributes, jid.as_str());
        attributes.push(b'\'');
    }
    Outgoing::from_encoded(Kind::Presence, said, Class::Presence).with_attributes(&attributes)
}

/// RFC 6121, 3.1.3: a request goes to every available device; 3.1.6, 3.2.3 and 3.3.3: the rest to
/// those that have asked for the roster.
fn tell(to: &Account, word: SubscriptionType, presence: &Outgoing) {
    for session in to.sessions() {
        let hears = match word {
            SubscriptionType::Subscribe => session.is_available(),
            SubscriptionType::Unsubscribe
            | SubscriptionType::Subscribed
            | SubscriptionType::Unsubscribed => session.slots.has::<Interested>(),
        };
        if hears {
            session.push(presence.clone());
        }
    }
}
