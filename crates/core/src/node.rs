//! One node: everything the rules need, wired together at start.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard as Look};
use compact_str::CompactString;
use parking_lot::Mutex;
use whoelse_store::{AccountRow, Domain, RepeatKey, Store, Tx};
use whoelse_xmpp::{BareJid, Condition, Jid, JidError, StanzaError, StreamError};

use crate::account::Account;
use crate::accounts::Accounts;
use crate::administrators::Administrators;
use crate::archive_id::ArchiveKey;
use crate::asked::Asked;
use crate::audience;
use crate::audit::{Audit, Deed};
use crate::clock::{Clock, Moment, Time};
use crate::counters::{Census, Counters};
use crate::growth::Growth;
use crate::hashing::Hashing;
use crate::hosts::{Host, Hosts};
use crate::in_progress::InProgress;
use crate::keeper::{Keeper, Touches};
use crate::kit::{Service, Wiring};
use crate::known_networks::KnownNetworks;
use crate::lasting::Lasting;
use crate::ledger::Ledger;
use crate::login_throttle::LoginThrottle;
use crate::mailbox::{Load, Relation};
use crate::online::Online;
use crate::recent_logins::RecentLogins;
use crate::rewriting;
use crate::roster::Roster;
use crate::roster::everybody::Everybody;
use crate::session::Session;
use crate::session_list::SessionList;
use crate::settings::{Contacts, Label, Settings};
use crate::slots::Slots;
use crate::turns::Turns;
use crate::watch::Watch;

pub use crate::accounts::Seek;

/// A running server without its sockets.
pub struct Node {
    /// The present settings; see [`Node::settings`].
    pub(crate) settings: ArcSwap<Settings>,
    /// Who sees whom: a setting that only a start changes, which each stanza asks for.
    pub contacts: Contacts,
    /// The source of the time.
    pub clock: Clock,
    /// When the node was started.
    pub started: Moment,
    /// The database; changed through the keeper alone.
    pub store: Store,
    /// The handlers and taps of the features.
    pub wiring: Wiring,
    /// Through which everything in the store is changed.
    pub keeper: Arc<Keeper>,
    /// Limits how often a password may be tried.
    pub throttle: Arc<LoginThrottle>,
    /// The counters for the operator.
    pub counters: Counters,
    /// The conditions that last, such as a full disk.
    pub lasting: Lasting,
    /// The audit log of what administrators did.
    pub audit: Arc<Audit>,
    /// What features remember of the server.
    pub slots: Slots,
    pub(crate) accounts: Accounts,
    pub(crate) served: ArcSwap<Served>,
    /// The label of each service before the domain, with its key.
    pub(crate) service_labels: Vec<(Label, &'static str)>,
    /// The sessions of the server itself, as which an administrator acts over the admin socket.
    pub(crate) own_sessions: SessionList,
    /// Sessions that are ending: in no list any more, while what they leave is still to be posted.
    pub(crate) ends: Arc<InProgress>,
    /// The accounts with an available session.
    pub(crate) online: Online,
    /// The items of the shared roster.
    pub everybody: Everybody,
    /// Sessions that can be resumed, by token. Held for a look or a change, never across an await;
    /// taken before an account's list of sessions, never after.
    pub(crate) resumptions: Mutex<HashMap<String, Weak<Session>>>,
    pub(crate) secret: Vec<u8>,
    pub(crate) archive_key: ArchiveKey,
    /// The key by which repeats of messages are recognised.
    pub(crate) repeat_key: RepeatKey,
    /// Who is an administrator.
    pub(crate) administrators: Administrators,
    pub(crate) next_session: AtomicU64,
    /// Where passwords are hashed.
    pub(crate) hashing: Hashing,
    /// Limits how many sessions read the log at once.
    pub(crate) log_readers: tokio::sync::Semaphore,
    /// Asked for when a session begins: a look at what all of them hold.
    pub(crate) held: Asked,
    /// Whether every account has a verifier of every hash; once true, it stays true.
    pub(crate) complete: AtomicBool,
    /// Logins that are not written down yet.
    pub(crate) recent_logins: RecentLogins,
    /// Asked for when an account is removed: see [`crate::removals`].
    pub(crate) removals: Asked,
    /// Where somebody has logged in from lately.
    pub(crate) known_networks: KnownNetworks,
    /// What accounts and networks have spent lately.
    pub(crate) ledger: Ledger,
    /// By how much archives have grown lately.
    pub(crate) growth: Growth,
    /// The state of the wall clock: whether it is believed.
    pub(crate) watch: Watch,
}

/// The domain that this node serves.
pub(crate) struct Served {
    domain: Domain,
    name: CompactString,
    own: Vec<Domain>,
    /// The labels that services have, or had, before an own domain.
    labels: Vec<String>,
    /// The domains for which this node answers.
    hosts: Hosts,
    /// The names that this domain had before.
    former: Vec<String>,
    /// The domain's own address, which is the server's.
    address: BareJid,
    /// The address of each service, with its key.
    services: Vec<(BareJid, &'static str)>,
}

impl Node {
    // --- what is logged ---

    /// Writes down what an administrator did; see [`Audit::record`].
    pub async fn record(&self, deed: Deed) {
        self.audit.record(deed).await;
    }

    /// Logs a failure that may repeat; see [`Lasting::failing`].
    pub fn failing(&self, event: &'static str, account: Option<&dyn Display>, error: &dyn Display) {
        self.lasting.failing(event, account, error);
    }

    /// Logs a failure of the store; see [`Lasting::store_failing`].
    pub fn store_failing(
        &self,
        event: &'static str,
        account: Option<&dyn Display>,
        error: &whoelse_store::Error,
    ) {
        self.lasting.store_failing(event, account, error);
    }

    /// Notes that what had failed under this name works again.
    pub fn works(&self, condition: &'static str) {
        self.lasting.works(condition);
    }

    /// The time that the wall would show if nobody had set it since the start. For times that
    /// others are told and that must still count down correctly.
    pub fn unset_time(&self) -> Time {
        self.started.wall.after(self.clock.steady().since(self.started.steady))
    }

    // --- the settings ---

    /// Returns the present settings. It takes no lock. Hold the result briefly, since the next call
    /// may return other settings.
    pub fn settings(&self) -> Look<Arc<Settings>> {
        self.settings.load()
    }

    /// Replaces the settings while the node runs, all at once. The next call of [`Node::settings`]
    /// sees them; open sessions keep their budget.
    ///
    /// What is built at the start does not change: the caller must leave [`Settings::features_off`]
    /// and [`Settings::contacts`] ([`Node::contacts`]) as they are.
    pub fn change_settings(&self, settings: Settings) {
        self.accounts.keep_idle(settings.limits.idle_accounts);
        self.administrators.set_named(self.served.load().keys_of(&settings.admins));
        self.settings.store(Arc::new(settings));
    }

    /// The namespaces that service discovery names for the server, sorted.
    pub fn disco(&self) -> Vec<&'static str> {
        let wiring = &self.wiring;
        let mut all: Vec<_> = wiring.disco().iter().copied().chain(wiring.disco_of(self)).collect();
        all.sort_unstable();
        all
    }

    // --- the domain ---

    /// The domain's name.
    pub fn domain_name(&self) -> CompactString {
        self.served.load().name.clone()
    }

    /// Returns what this address refers to.
    pub fn host_of<'a>(&self, jid: &'a Jid) -> Host<'a> {
        self.served.load().hosts.find(jid)
    }

    /// Returns the address of a service that is wired, by its key.
    pub fn service_address(&self, key: &str) -> Option<BareJid> {
        let served = self.served.load();
        served.services.iter().find(|(_, of)| *of == key).map(|(address, _)| address.clone())
    }

    /// Lists the services, each with its address.
    pub fn services(&self) -> Vec<(BareJid, &'static Service)> {
        let served = self.served.load();
        let found = |(address, key): &(BareJid, &'static str)| {
            Some((address.clone(), self.wiring.service_of(key)?))
        };
        served.services.iter().filter_map(found).collect()
    }

    /// The names that the domain had before, for clients that still ask for them.
    pub fn former_names(&self) -> Vec<String> {
        self.served.load().former.clone()
    }

    /// All names that the server has for this and other domains, and the earlier names of this one.
    pub(crate) fn own_names(&self) -> Vec<String> {
        let served = self.served.load();
        let own = served.own.iter().map(|domain| &domain.name);
        own.chain(&served.former).cloned().collect()
    }

    /// The domain.
    pub fn domain(&self) -> Domain {
        self.served.load().domain.clone()
    }

    /// The domain's own address, which is the server's.
    pub fn address(&self) -> BareJid {
        self.served.load().address.clone()
    }

    /// Renames the domain. Every session ends and has to log in again under the new name.
    pub async fn rename_domain(
        self: &Arc<Node>,
        old: String,
        new: String,
    ) -> Result<(), whoelse_store::Error> {
        // However many contacts name a stranger's domain that becomes ours: every session ends, so
        // nobody waits for it.
        let change = self.keeper.change(Touches::All, move |tx| {
            Box::pin(async move {
                tx.rename_domain(&old, &new).await?;
                let own = tx.domains().await?;
                let former = tx.former_names().await?;
                let then: crate::keeper::After = vec![Box::new(move |node: &Arc<Node>| {
                    let id = node.domain().id;
                    let served = own.iter().find(|domain| domain.id == id).cloned();
                    let (labels, services) =
                        (node.served.load().labels.clone(), &node.service_labels);
                    let served =
                        served.map(|domain| Served::new(domain, own, labels, former, services));
                    let Some(Ok(served)) = served else { return };
                    node.end_all(&StreamError::renamed(&served.name));
                    node.served.store(Arc::new(served));
                    node.accounts.forget_all();
                    node.everybody.forget();
                })];
                Ok(((), then))
            })
        });
        change.await
    }

    /// The domains of this server, as the store numbers them.
    pub(crate) fn own_domains(&self) -> Vec<Domain> {
        self.served.load().own.clone()
    }

    /// Returns an address as it is stored: without the text of the own domain.
    pub fn key_of(&self, jid: &str) -> String {
        self.served.load().key_of(jid)
    }

    /// Returns the address of a stored key and a resource, under the domain's present name.
    pub fn address_of(&self, key: &str, resource: &str) -> String {
        let bare = whoelse_store::from_key(key, &self.served.load().own);
        rewriting::full(&bare.unwrap_or_else(|| key.to_owned()), resource)
    }

    /// Returns the public form of a number in an archive: it cannot be predicted, and reveals
    /// nothing.
    pub fn archive_id(&self, archive: i64, seq: i64) -> String {
        self.archive_key.seal(archive, seq)
    }

    /// Returns the number of a public form, if it is one of this archive.
    pub fn archive_seq(&self, archive: i64, id: &str) -> Option<i64> {
        self.archive_key.open(id).filter(|(of, _)| *of == archive).map(|(_, seq)| seq)
    }

    // --- accounts ---

    /// Looks an account up without waiting.
    pub fn seek(&self, jid: &BareJid) -> Seek {
        self.accounts.seek(jid, self.clock.steady())
    }

    /// Returns an account, and loads it if necessary: one load, however many callers ask.
    pub async fn account(
        &self,
        jid: &BareJid,
    ) -> Result<Option<Arc<Account>>, whoelse_store::Error> {
        match self.seek(jid) {
            Seek::Here(account) => Ok(Some(account)),
            Seek::Missing => Ok(None),
            Seek::NotLoaded => {
                self.accounts.load(jid, &self.clock, || self.read_account(jid)).await
            }
        }
    }

    /// Reads an account from the store, with everything the features remember of it.
    async fn read_account(
        &self,
        jid: &BareJid,
    ) -> Result<Option<Arc<Account>>, whoelse_store::Error> {
        let Some(row) = self.account_row(jid).await? else { return Ok(None) };
        let mut slots = self.wiring.load_slots(&self.store, row.id).await?;
        let roster = Roster::load(&self.store, row.id, &self.own_domains()).await?;
        slots.push((TypeId::of::<Roster>(), Arc::new(roster)));
        // This was confirmed before the account was dropped from memory, and is not saved yet.
        let unsaved = self.keeper.unsaved_cursor(row.archive).unwrap_or(0);
        let cursor = self.store.cursor(row.archive).await?.max(unsaved);
        let account = Arc::new(Account::new(row.id, row.archive, jid.clone(), slots, cursor));
        account.last_active.store(row.last_active, Ordering::Release);
        account.note_generation(row.generation);
        account.note_new_until(self.new_until(row.registered_at));
        self.recount(&account).await?;
        Ok(Some(account))
    }

    /// Like [`Node::account`], for a request that is answered: the details of an error are only
    /// logged.
    pub async fn look_up(&self, jid: &BareJid) -> Result<Option<Arc<Account>>, StanzaError> {
        self.account(jid).await.map_err(|error| {
            self.store_failing("account_not_loaded", Some(jid), &error);
            StanzaError::new(Condition::InternalServerError)
        })
    }

    /// Returns the domain number and the name under which an account of this address is stored, if
    /// it can be stored. `None` for an address elsewhere, or the domain's own.
    pub fn stored_at<'a>(&self, jid: &'a BareJid) -> Option<(i64, &'a str)> {
        let served = self.served.load();
        let name = jid.local().filter(|_| jid.domain() == served.name)?;
        Some((served.domain.id, name))
    }

    /// Returns the number of the account of an address, as a transaction sees it.
    pub async fn account_number(
        &self,
        tx: &mut Tx,
        jid: &BareJid,
    ) -> Result<Option<i64>, whoelse_store::Error> {
        let Some((domain, name)) = self.stored_at(jid) else { return Ok(None) };
        Ok(tx.find_account(domain, name).await?.map(|account| account.id))
    }

    /// Reads the row of an account from the store.
    pub async fn account_row(
        &self,
        jid: &BareJid,
    ) -> Result<Option<AccountRow>, whoelse_store::Error> {
        match self.stored_at(jid) {
            Some((domain, name)) => self.store.find_account(domain, name).await,
            None => Ok(None),
        }
    }

    pub(crate) fn forget_account(&self, jid: &BareJid) {
        self.accounts.forget(jid);
    }

    pub(crate) fn refresh_account(&self, jid: &BareJid) -> Option<Arc<Account>> {
        self.accounts.refresh(jid)
    }

    /// Returns an account, if it is in memory. An account that is not has no session.
    pub fn here(&self, jid: &BareJid) -> Option<Arc<Account>> {
        match self.seek(jid) {
            Seek::Here(account) => Some(account),
            Seek::Missing | Seek::NotLoaded => None,
        }
    }

    /// Returns the session of this full address, if it is one of this server's.
    pub fn session_at(&self, jid: &Jid) -> Option<Arc<Session>> {
        self.here(&jid.to_bare())?.session(jid.resource()?)
    }

    /// Reads one piece of much from the store, when it is its turn among all who read much
    /// ([`Turns::piece`]).
    pub async fn piece<T>(&self, reading: impl Future<Output = T>) -> T {
        self.slots.get_or_default::<Turns>().piece(async {}, reading).await
    }

    /// Whether this can be the address of an account of this server; the account need not exist.
    pub fn is_local(&self, jid: &BareJid) -> bool {
        jid.local().is_some() && self.served.load().hosts.is_own(jid.domain())
    }

    /// Whether this is the address of the server itself.
    pub fn is_server(&self, jid: &Jid) -> bool {
        jid.local().is_none() && self.served.load().hosts.is_own(jid.domain())
    }

    /// Whether an account of this address has an available session.
    pub fn is_online(&self, jid: &BareJid) -> bool {
        self.here(jid).is_some_and(|account| account.is_online())
    }

    /// The sessions of an account, or of the server itself, which is none.
    pub(crate) fn sessions_of<'a>(&'a self, account: Option<&'a Account>) -> &'a SessionList {
        account.map_or(&self.own_sessions, |account| &account.session_list)
    }

    /// Lists every session of every account in memory, and of the server itself.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.own_sessions.all();
        self.accounts.each(|account| sessions.extend(account.sessions()));
        sessions
    }

    /// Counts who is connected, for the metrics. It looks at every session.
    pub fn census(&self) -> Census {
        let mut census = Census {
            online: self.online.count(),
            blocked: self.throttle.blocked(self.clock.steady()),
            ..Census::default()
        };
        let mut sessions = self.own_sessions.all();
        self.accounts.each(|account| {
            census.accounts += 1;
            sessions.extend(account.sessions());
        });
        for session in sessions {
            match session.is_attached() {
                true => census.attached += 1,
                false => census.detached += 1,
            }
            census.queued_bytes += session.held_bytes();
        }
        census
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts what waits in a mailbox afresh, and of whom.
    pub(crate) async fn recount(&self, account: &Account) -> Result<(), whoelse_store::Error> {
        let confirmed = account.confirmed.load(Ordering::Acquire);
        let before = account.mailbox().clone();
        let counted = self.store.count_undelivered(account.archive, confirmed).await?;
        let counted: Vec<_> = counted
            .into_iter()
            .filter_map(|(peer, messages, bytes)| {
                let address = BareJid::parse(&self.address_of(&peer, "")).ok()?;
                let is = self.relation(account, &address);
                let [messages, bytes] = [messages, bytes].map(|it| it.max(0).unsigned_abs());
                Some((address, is, Load { messages, bytes }))
            })
            .collect();
        account.mailbox().counted(&before, confirmed, counted);
        Ok(())
    }

    /// What a sender is to the owner of a mailbox.
    pub(crate) fn relation(&self, owner: &Account, sender: &Jid) -> Relation {
        if sender.bare() == owner.jid().as_str() || self.is_server(sender) {
            Relation::Oneself
        } else if audience::lists(self, owner, sender) {
            Relation::Known
        } else {
            Relation::Stranger
        }
    }
}

impl Served {
    /// Of each service: the label before the domain, and its key.
    pub fn new(
        domain: Domain,
        own: Vec<Domain>,
        labels: Vec<String>,
        former: Vec<Domain>,
        services: &[(Label, &'static str)],
    ) -> Result<Served, JidError> {
        let address = BareJid::new(None, &domain.name)?;
        let former = former.into_iter().filter(|it| it.id == domain.id).map(|it| it.name).collect();
        let name = CompactString::from(domain.name.as_str());
        let addresses = services.iter().map(|(label, key)| {
            let address = BareJid::new(None, &format!("{label}.{name}"))?;
            Ok((address, *key))
        });
        let services: Vec<_> = addresses.collect::<Result<_, JidError>>()?;
        let domains = services.iter().map(|(address, key)| (address.domain().into(), *key));
        let hosts = Hosts::new([name.clone()], domains);
        Ok(Served { name, domain, own, labels, hosts, former, address, services })
    }

    /// See [`Node::key_of`].
    fn key_of(&self, jid: &str) -> String {
        whoelse_store::to_key(jid, &self.own, &self.labels)
    }

    pub fn keys_of(&self, jids: &HashSet<BareJid>) -> HashSet<String> {
        jids.iter().map(|jid| self.key_of(jid.as_str())).collect()
    }
}
