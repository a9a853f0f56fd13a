//! The kit: how a feature is attached to the server.
//!
//! A feature is a [`Feature`]: a name, the specifications it implements, what service discovery
//! says about it, and a `wire` function that registers its handlers and taps in a [`Wiring`]. The
//! rest of the server knows no feature by name.

pub mod about;
pub mod command;
mod context;
pub mod service;
pub mod taps;

pub use crate::boxed_future::BoxFuture;
pub use about::AboutAccounts;
pub use command::{Command, CommandDone, CommandNote};
pub use context::{
    ANY_SERVICE, ANYWHERE, AdminCx, At, Cx, OWN, SERVER, SERVER_OR_OWN, SessionCx, Target,
};
pub use service::Service;
pub use taps::{Flow, Passing, When};

use std::any::TypeId;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use whoelse_store::{Store, Tx};
use whoelse_xmpp::payload::xmpp_parsers::data_forms::DataForm;
use whoelse_xmpp::{BareJid, Child, Jid, Outgoing, Payload, Stanza, StanzaError};

use crate::account::Account;
use crate::counters::CounterGroup;
use crate::node::Node;
use crate::session::{Session, Whose};
use crate::settings::{Label, Setting, Settings};
use crate::slots::Slot;
use crate::storage_policy::{StoragePolicy, storage_policy, storage_policy_in_room};

/// One thing the server can do. Declared as `FEATURE` in a file of its own.
#[derive(Clone, Copy)]
pub struct Feature {
    /// The name by which the configuration can switch it off.
    pub name: &'static str,
    /// The XEPs it implements, each with the version it was written against.
    pub xeps: &'static [(u16, &'static str)],
    /// The namespaces it adds to the answers of service discovery.
    pub disco: &'static [&'static str],
    /// The settings that it declares ([`settings!`](crate::settings!)), valid also while it is
    /// switched off.
    pub settings: &'static [&'static [Setting]],
    /// The counters that it declares ([`counters!`](crate::counters!)).
    pub counters: &'static [CounterGroup],
    /// Whether the rules do its work and it only announces it: then it cannot be switched off.
    pub is_of_the_rules: bool,
    /// Registers its handlers and taps.
    pub wire: fn(&mut Wiring),
}

impl Feature {
    /// The defaults of a declaration: nothing.
    pub const PLAIN: Feature = Feature {
        name: "",
        xeps: &[],
        disco: &[],
        settings: &[],
        counters: &[],
        is_of_the_rules: false,
        wire: |_| {},
    };
}

/// The answer to a request: a result with or without a payload, or an error.
pub type Answer = Result<Reply, StanzaError>;

/// The answer to a request that succeeded.
pub enum Reply {
    /// A result with this payload, encoded; it may be empty.
    Result(Vec<u8>),
    /// Many stanzas, and then a result.
    Pages(Pages),
    /// Nothing: the handler has sent the answer itself.
    Sent,
}

/// An answer in many stanzas. Whoever owns the asker's queue takes one after the other as there is
/// room, so the asker's reading sets the pace.
pub struct Pages {
    /// The stanzas before the result, addressed to the asker.
    pub before: Box<dyn Iterator<Item = Outgoing> + Send>,
    /// The payload of the result.
    pub result: Vec<u8>,
    /// The part of the asker's own archive that they show, if they show all of it: what is after the
    /// first number, up to the second.
    pub shows: Option<(i64, i64)>,
}

impl Reply {
    /// Returns a result without a payload.
    pub fn empty() -> Reply {
        Reply::Result(Vec::new())
    }

    /// Returns a result with a typed payload.
    pub fn of<T: Payload>(payload: &T) -> Reply {
        Reply::Result(whoelse_xmpp::payload::encode(payload))
    }

    /// Returns a result with a payload that is already encoded.
    pub fn encoded(bytes: impl Into<Vec<u8>>) -> Reply {
        Reply::Result(bytes.into())
    }

    /// Returns no result: the handler has sent it.
    pub fn sent() -> Reply {
        Reply::Sent
    }
}

/// A function that answers requests in the context `C`.
type Handle<C> = Box<dyn Fn(C, Stanza, Child) -> BoxFuture<'static, Answer> + Send + Sync>;

/// The handler of a request.
pub enum Handler {
    /// For anybody who may ask: answers on behalf of an account, wherever the asker is.
    Anybody(Handle<Cx>),
    /// For users who are logged in here.
    Session(Handle<SessionCx>),
}

/// A context that a handler can take; its type says whom the handler answers.
pub trait Context: Sized + 'static {
    /// Wraps a handler function that takes this context.
    fn handler(handle: Handle<Self>) -> Handler;
}

impl Context for Cx {
    fn handler(handle: Handle<Cx>) -> Handler {
        Handler::Anybody(handle)
    }
}

impl Context for SessionCx {
    fn handler(handle: Handle<SessionCx>) -> Handler {
        Handler::Session(handle)
    }
}

type OutgoingTap = fn(&mut Passing<'_>) -> Flow;
type OfferedIf = fn(&Settings) -> bool;
type ThereIf = fn(&Node) -> bool;
type ServerForm = fn(&Node) -> Option<DataForm>;
type LoadServer =
    Box<dyn Fn(Store) -> BoxFuture<'static, Result<Slot, whoelse_store::Error>> + Send + Sync>;
type Load =
    Box<dyn Fn(Store, i64) -> BoxFuture<'static, Result<Slot, whoelse_store::Error>> + Send + Sync>;

/// Whether a request gets or sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `type='get'`.
    Get,
    /// `type='set'`.
    Set,
}

pub(crate) struct Route {
    pub at: At,
    pub handler: Handler,
}

/// Everything that the features have registered: built once at start, then only read.
#[derive(Default)]
pub struct Wiring {
    requests: HashMap<(&'static str, &'static str), HashMap<Verb, Route>>,
    server: Vec<(TypeId, LoadServer)>,
    loads: Vec<(TypeId, Load)>,
    outgoing: Vec<(When, OutgoingTap)>,
    incoming: Vec<(When, OutgoingTap)>,
    copies: Vec<(taps::WantsCopies, taps::SentTap, taps::ReceivedTap)>,
    visibility: Vec<taps::VisibilityTap>,
    storage: Vec<taps::StorageTap>,
    archive: Vec<taps::ArchiveTap>,
    replace: Vec<taps::ReplaceTap>,
    activity: Vec<taps::ActivityTap>,
    beside_requests: Vec<&'static str>,
    presence: Vec<taps::PresenceTap>,
    amend: Vec<taps::AmendTap>,
    elements: Vec<((&'static str, &'static str), taps::ElementTap)>,
    online: Vec<taps::OnlineTap>,
    available: Vec<taps::SessionTap>,
    missed: Vec<taps::MissedTap>,
    shown: Vec<taps::ShownTap>,
    wants_more: Vec<taps::WantsMoreTap>,
    binds: Vec<((&'static str, &'static str), taps::BindTap)>,
    bound: Vec<taps::BoundTap>,
    accounts: Vec<taps::AccountTap>,
    names_gone: Vec<taps::NameTap>,
    names_taken: Vec<taps::NameTap>,
    barred: Vec<taps::BarredTap>,
    started: Vec<taps::Periodic>,
    periodic: Vec<(Duration, taps::Periodic)>,
    offers: Vec<(OfferedIf, &'static str)>,
    made_offers: Vec<fn(&Node) -> Vec<u8>>,
    commands: Vec<&'static Command>,
    services: Vec<&'static Service>,
    disco: Vec<&'static str>,
    disco_if: Vec<(ThereIf, &'static str)>,
    account_disco: Vec<&'static str>,
    server_forms: Vec<ServerForm>,
    about_accounts: Option<&'static AboutAccounts>,
    faults: Vec<String>,
}

impl Wiring {
    /// Wires every feature that is not switched off.
    /// Fails with one line when two features claim the same request, or when `off` names an unknown
    /// feature or one that cannot be switched off.
    /// one that cannot be switched off.
    pub fn of(
        features: &[Feature],
        off: &std::collections::HashSet<String>,
    ) -> Result<Wiring, String> {
        let mut wiring = Wiring::default();
        for name in off {
            match features.iter().find(|feature| feature.name == name) {
                None => wiring.faults.push(format!("there is no feature `{name}` to switch off")),
                Some(feature) if feature.is_of_the_rules => {
                    wiring.faults.push(format!("the feature `{name}` cannot be switched off"));
                }
                Some(_) => {}
            }
        }
        for feature in features.iter().filter(|feature| !off.contains(feature.name)) {
            wiring.disco.extend(feature.disco);
            (feature.wire)(&mut wiring);
        }
        wiring.outgoing.sort_by_key(|(when, _)| *when);
        wiring.incoming.sort_by_key(|(when, _)| *when);
        wiring.disco.sort_unstable();
        wiring.disco.dedup();
        match wiring.faults.is_empty() {
            true => Ok(wiring),
            false => Err(wiring.faults.join("; ")),
        }
    }

    /// Answers requests of type `get` whose payload is a `P`. A handler that takes a [`Cx`] answers
    /// anybody who may ask; one that takes a [`SessionCx`] answers users who are logged in here.
    pub fn get<C, P, F>(&mut self, at: At, handler: fn(C, P) -> F)
    where
        C: Context,
        P: Payload + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        self.route(Verb::Get, at, handler);
    }

    /// Answers requests of type `set` whose payload is a `P`.
    pub fn set<C, P, F>(&mut self, at: At, handler: fn(C, P) -> F)
    where
        C: Context,
        P: Payload + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        self.route(Verb::Set, at, handler);
    }

    /// Answers requests by the namespace and name of their payload, for payloads that have several
    /// shapes under one name: the handler reads the child itself.
    pub fn on<C, F>(
        &mut self,
        verb: Verb,
        at: At,
        (ns, name): (&'static str, &'static str),
        handler: fn(C, Stanza, Child) -> F,
    ) where
        C: Context,
        F: Future<Output = Answer> + Send + 'static,
    {
        let boxed: Handle<C> =
            Box::new(move |cx, stanza, child| Box::pin(handler(cx, stanza, child)));
        self.insert(verb, (ns, name), Route { at, handler: C::handler(boxed) });
    }

    fn route<C, P, F>(&mut self, verb: Verb, at: At, handler: fn(C, P) -> F)
    where
        C: Context,
        P: Payload + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let boxed: Handle<C> =
            Box::new(move |cx, stanza, child| match stanza.payload::<P>(&child) {
                Ok(payload) => Box::pin(handler(cx, payload)),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            });
        self.insert(verb, (P::NS, P::NAME), Route { at, handler: C::handler(boxed) });
    }

    fn insert(&mut self, verb: Verb, (ns, name): (&'static str, &'static str), route: Route) {
        if self.requests.entry((ns, name)).or_default().insert(verb, route).is_some() {
            self.faults.push(format!("two features answer {verb:?} {{{ns}}}{name}"));
        }
    }

    /// Gives the server a typed slot, filled by `load` before anybody can connect.
    pub fn server<T, F>(&mut self, load: fn(Store) -> F)
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, whoelse_store::Error>> + Send + 'static,
    {
        let boxed: LoadServer = Box::new(move |store| {
            let loading = load(store);
            Box::pin(async move { Ok(Arc::new(loading.await?) as Slot) })
        });
        self.server.push((TypeId::of::<T>(), boxed));
    }

    /// Gives every account a typed slot in its snapshot, filled by `load` when the account is
    /// loaded.
    pub fn account<T, F>(&mut self, load: fn(Store, i64) -> F)
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, whoelse_store::Error>> + Send + 'static,
    {
        let boxed: Load = Box::new(move |store, id| {
            let loading = load(store, id);
            Box::pin(async move { Ok(Arc::new(loading.await?) as Slot) })
        });
        self.loads.push((TypeId::of::<T>(), boxed));
    }

    /// Looks at stanzas that a user sends, before anybody else does.
    pub fn outgoing(&mut self, when: When, tap: OutgoingTap) {
        self.outgoing.push((when, tap));
    }

    /// Looks at stanzas that reach an account, before they are stored or delivered.
    pub fn incoming(&mut self, when: When, tap: OutgoingTap) {
        self.incoming.push((when, tap));
    }

    /// Makes copies of messages, sent or received by an account, for the sessions that want them.
    /// Called only when `wants` is true of the account; `wants` is called for every message.
    pub fn copies(
        &mut self,
        wants: taps::WantsCopies,
        sent: taps::SentTap,
        received: taps::ReceivedTap,
    ) {
        self.copies.push((wants, sent, received));
    }

    /// Adds a rule on whether one account may see another.
    pub fn visibility(&mut self, tap: taps::VisibilityTap) {
        self.visibility.push(tap);
    }

    /// Adds a rule on whether and how long a message is kept.
    pub fn storage(&mut self, tap: taps::StorageTap) {
        self.storage.push(tap);
    }

    /// Adds a rule on what an account keeps in its archive. What its owner does not keep, and receives,
    /// waits until it is delivered and no longer.
    pub fn archive(&mut self, tap: taps::ArchiveTap) {
        self.archive.push(tap);
    }

    /// Lets messages that are kept take the place of earlier ones.
    pub fn replace(&mut self, tap: taps::ReplaceTap) {
        self.replace.push(tap);
    }

    /// Says which stanzas count as activity of a person, besides messages with content.
    pub fn activity(&mut self, tap: taps::ActivityTap) {
        self.activity.push(tap);
    }

    /// Allows elements of this namespace beside the one payload of a request (RFC 6120, 8.2.3).
    pub fn beside_requests(&mut self, namespace: &'static str) {
        self.beside_requests.push(namespace);
    }

    /// Observes the broadcast presence of the sessions of accounts.
    pub fn presence(&mut self, tap: taps::PresenceTap) {
        self.presence.push(tap);
    }

    /// Changes the available presence of the sessions of accounts, before anybody gets it. When what it
    /// adds has changed, it is said again by [`crate::presence::say_again`].
    pub fn amend_presence(&mut self, tap: taps::AmendTap) {
        self.amend.push(tap);
    }

    /// Handles an element of this namespace and name that is not a stanza, from a session. It is
    /// neither counted (XEP-0198) nor answered.
    pub fn element(&mut self, (ns, name): (&'static str, &'static str), tap: taps::ElementTap) {
        if self.elements.iter().any(|(known, _)| *known == (ns, name)) {
            self.faults.push(format!("two features take the element {{{ns}}}{name}"));
        }
        self.elements.push(((ns, name), tap));
    }

    /// Called when an account's first session becomes available and when its last one goes.
    pub fn online(&mut self, tap: taps::OnlineTap) {
        self.online.push(tap);
    }

    /// Called for every session that has become available, after its presence went out.
    pub fn available(&mut self, tap: taps::SessionTap) {
        self.available.push(tap);
    }

    /// Called when a session that had no room for events has room again: it is to be told anew what
    /// these accounts tell.
    pub fn missed(&mut self, tap: taps::MissedTap) {
        self.missed.push(tap);
    }

    /// Called when somebody gets an account's presence from now on, after it was sent: they were
    /// granted a subscription, or its owner has unblocked them.
    pub fn shown(&mut self, tap: taps::ShownTap) {
        self.shown.push(tap);
    }

    /// Called when the client of an available session wants to hear of more than before: it has said
    /// something new of itself, or what it can do was found out after it became available.
    pub fn wants_more(&mut self, tap: taps::WantsMoreTap) {
        self.wants_more.push(tap);
    }

    /// Handles an element of this namespace and name inside the request to bind that comes along with
    /// a login (XEP-0386): the new session begins with what it asks for. The namespace is offered
    /// there.
    pub fn bind(&mut self, (ns, name): (&'static str, &'static str), tap: taps::BindTap) {
        if self.binds.iter().any(|(known, _)| *known == (ns, name)) {
            self.faults.push(format!("two features take {{{ns}}}{name} of a request to bind"));
        }
        self.binds.push(((ns, name), tap));
    }

    /// Adds children to `<bound/>`, the answer to such a request.
    pub fn bound<F>(&mut self, say: fn(Arc<Node>, Arc<Session>) -> F)
    where
        F: Future<Output = Vec<u8>> + Send + 'static,
    {
        self.bound.push(Box::new(move |node, session| Box::pin(say(node, session))));
    }

    /// Called when accounts are made and removed.
    pub fn accounts(&mut self, tap: taps::AccountTap) {
        self.accounts.push(tap);
    }

    /// Called in pieces after an account was removed, until nothing is left: no account gets its name
    /// before that.
    pub fn name_gone(&mut self, tap: taps::NameTap) {
        self.names_gone.push(tap);
    }

    /// Called in pieces before somebody registers a name that nobody has, until nothing is left: what
    /// the name was given counts for nobody.
    pub fn name_taken(&mut self, tap: taps::NameTap) {
        self.names_taken.push(tap);
    }

    /// Called when what an account has open beside its sessions has to end: it was removed, blocked
    /// by an administrator, or has a new password.
    pub fn barred(&mut self, tap: taps::BarredTap) {
        self.barred.push(tap);
    }

    /// Runs a function once, before anybody can connect.
    pub fn started(&mut self, tap: taps::Periodic) {
        self.started.push(tap);
    }

    /// Runs a function at start and then repeatedly, this long after it last finished.
    pub fn every(&mut self, period: Duration, tap: taps::Periodic) {
        self.periodic.push((period, tap));
    }

    /// Adds an element to the stream features after login.
    pub fn offer(&mut self, xml: &'static str) {
        self.offer_if(|_| true, xml);
    }

    /// Adds an element to the stream features after login, while the settings ask for it.
    pub fn offer_if(&mut self, when: OfferedIf, xml: &'static str) {
        self.offers.push((when, xml));
    }

    /// Adds an element to the stream features after login that is made from the node's state.
    pub fn offer_made(&mut self, make: fn(&Node) -> Vec<u8>) {
        self.made_offers.push(make);
    }

    /// Adds a namespace to the server's service discovery, while a condition holds.
    pub fn disco_if(&mut self, there: ThereIf, namespace: &'static str) {
        self.disco_if.push((there, namespace));
    }

    /// Adds a namespace to the service discovery of accounts.
    pub fn account_disco(&mut self, namespace: &'static str) {
        self.account_disco.push(namespace);
    }

    /// Adds a form to the server's answer to service discovery (XEP-0128), while there is something
    /// to say.
    pub fn server_form(&mut self, form: ServerForm) {
        self.server_forms.push(form);
    }

    /// Says what accounts are, and answers what nodes they have, in service discovery. One feature
    /// has nodes at accounts.
    pub fn about_accounts(&mut self, about: &'static AboutAccounts) {
        if self.about_accounts.replace(about).is_some() {
            self.faults.push("two features have nodes at accounts".to_owned());
        }
    }

    /// Adds an ad-hoc command (XEP-0050).
    pub fn command(&mut self, command: &'static Command) {
        if self.commands.iter().any(|known| known.node == command.node) {
            self.faults.push(format!("two features define the command {}", command.node));
        }
        self.commands.push(command);
    }

    /// Returns the ad-hoc commands, in the order of the features.
    pub fn commands(&self) -> &[&'static Command] {
        &self.commands
    }

    /// Gives the server a service: an address of its own below the domain.
    pub fn service(&mut self, service: &'static Service) {
        if service.key.is_empty() || self.services.iter().any(|known| known.key == service.key) {
            self.faults
                .push(format!("two services have the key `{}`, or it is empty", service.key));
        }
        self.services.push(service);
    }

    /// Returns the service of this key.
    pub fn service_of(&self, key: &str) -> Option<&'static Service> {
        self.services.iter().find(|service| service.key == key).copied()
    }

    /// Returns the label of each service before the domain, with its key. Fails with one line when
    /// two services have the same label.
    pub(crate) fn service_labels(
        &self,
        settings: &Settings,
    ) -> Result<Vec<(Label, &'static str)>, String> {
        let mut labels: Vec<(Label, &'static str)> = Vec::new();
        for service in &self.services {
            let label = (service.label)(settings);
            if let Some((_, other)) = labels.iter().find(|(other, _)| *other == label) {
                return Err(format!("the services {other} and {} are both `{label}`", service.key));
            }
            labels.push((label, service.key));
        }
        Ok(labels)
    }

    /// Returns the requests that have handlers, by the namespace and name of their payload.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, &'static str, Verb)> + '_ {
        let verbs = |(&(ns, name), routes): (&(_, _), &HashMap<Verb, Route>)| {
            routes.keys().map(|verb| (ns, name, *verb)).collect::<Vec<_>>()
        };
        self.requests.iter().flat_map(verbs)
    }

    /// Returns the namespaces that service discovery names, sorted.
    pub fn disco(&self) -> &[&'static str] {
        &self.disco
    }

    /// Returns the namespaces that it names for the server alone, while their conditions hold.
    pub(crate) fn disco_of<'a>(
        &'a self,
        node: &'a Node,
    ) -> impl Iterator<Item = &'static str> + 'a {
        self.disco_if.iter().filter(|(there, _)| there(node)).map(|(_, namespace)| *namespace)
    }

    /// Returns the namespaces that it names for accounts alone.
    pub fn disco_of_accounts(&self) -> &[&'static str] {
        &self.account_disco
    }

    /// Returns the forms of the server's answer to service discovery.
    pub fn server_forms(&self, node: &Node) -> Vec<DataForm> {
        self.server_forms.iter().filter_map(|form| form(node)).collect()
    }

    /// Returns what is said of accounts, beside what is said of the whole server.
    pub fn of_accounts(&self) -> Option<&'static AboutAccounts> {
        self.about_accounts
    }

    /// Returns the stream features after login, encoded.
    pub fn offers(&self, node: &Node) -> Vec<u8> {
        let settings = node.settings();
        let offers = self.offers.iter().filter(|(when, _)| when(&settings));
        let mut offers: Vec<u8> = offers.flat_map(|(_, xml)| xml.bytes()).collect();
        offers.extend(self.made_offers.iter().flat_map(|make| make(node)));
        offers
    }

    pub(crate) fn request<'a>(&'a self, verb: Verb, child: &'a Child) -> Option<&'a Route> {
        // The look-up's lifetime is no longer than the child's; the table's keys are shortened to
        // it.
        let requests: &HashMap<(&str, &str), HashMap<Verb, Route>> = &self.requests;
        requests.get(&(child.ns(), child.name()))?.get(&verb)
    }

    pub(crate) async fn load_server(
        &self,
        store: &Store,
    ) -> Result<Vec<(TypeId, Slot)>, whoelse_store::Error> {
        let mut slots = Vec::with_capacity(self.server.len());
        for (type_id, load) in &self.server {
            slots.push((*type_id, load(store.clone()).await?));
        }
        Ok(slots)
    }

    pub(crate) async fn load_slots(
        &self,
        store: &Store,
        account: i64,
    ) -> Result<Vec<(TypeId, Slot)>, whoelse_store::Error> {
        // With room for the one of the rules.
        let mut slots = Vec::with_capacity(self.loads.len() + 1);
        for (type_id, load) in &self.loads {
            slots.push((*type_id, load(store.clone(), account).await?));
        }
        Ok(slots)
    }

    pub(crate) async fn tell_started(&self, node: &Arc<Node>) {
        for tap in &self.started {
            tap(node.clone()).await;
        }
    }

    pub(crate) fn periodic(&self) -> &[(Duration, taps::Periodic)] {
        &self.periodic
    }

    pub(crate) fn run_outgoing(&self, passing: &mut Passing<'_>) -> Flow {
        run(&self.outgoing, passing)
    }

    pub(crate) fn run_incoming(&self, passing: &mut Passing<'_>) -> Flow {
        run(&self.incoming, passing)
    }

    /// Decides how a message is kept.
    pub fn storage_policy(&self, message: &Stanza) -> StoragePolicy {
        storage_policy(message, |message, policy| self.storage_by_taps(message, policy))
    }

    /// Decides how a message to all in a room is kept.
    pub(crate) fn storage_policy_in_room(&self, message: &Stanza) -> StoragePolicy {
        storage_policy_in_room(message, |message, policy| self.storage_by_taps(message, policy))
    }

    fn storage_by_taps(&self, message: &Stanza, policy: StoragePolicy) -> StoragePolicy {
        self.storage.iter().fold(policy, |policy, tap| tap(message, policy))
    }

    /// Whether an account keeps in its archive what passes between it and this address.
    pub fn archives(&self, node: &Node, own: &Account, other: &Jid) -> bool {
        self.archive.iter().all(|tap| tap(node, own, other))
    }

    /// Returns what a message that is about to be kept replaces.
    pub(crate) fn replaces(
        &self,
        node: &Node,
        message: &Stanza,
    ) -> Option<Box<dyn taps::Replacing>> {
        self.replace.iter().find_map(|tap| tap(node, message))
    }

    pub(crate) fn is_activity(&self, stanza: &Stanza) -> bool {
        self.activity.iter().any(|tap| tap(stanza))
    }

    pub(crate) fn may_stand_beside(&self, child: &Child) -> bool {
        self.beside_requests.contains(&child.ns())
    }

    pub(crate) fn tell_presence(
        &self,
        node: &Arc<Node>,
        session: &Arc<Session>,
        presence: &Stanza,
    ) {
        self.presence.iter().for_each(|tap| tap(node, session, presence));
    }

    /// Returns an available presence as features let it be said. What they make of it that cannot be
    /// read is not said.
    pub(crate) fn amend(
        &self,
        session: &Session,
        presence: Stanza,
        occasion: taps::Occasion,
    ) -> Stanza {
        self.amend.iter().fold(presence, |presence, tap| {
            let amended = tap(session, &presence, occasion);
            amended.and_then(|amended| Stanza::parse(amended).ok()).unwrap_or(presence)
        })
    }

    pub(crate) fn element_tap(&self, element: &Stanza) -> Option<taps::ElementTap> {
        let wanted = (element.ns(), element.name());
        self.elements.iter().find(|(known, _)| *known == wanted).map(|(_, tap)| *tap)
    }

    pub(crate) fn run_sent(&self, sent: &crate::carbon_tap::Sent<'_>) {
        self.copies.iter().for_each(|(_, tap, _)| tap(sent));
    }

    pub(crate) fn run_received(&self, received: &crate::carbon_tap::Received<'_>) {
        self.copies.iter().for_each(|(.., tap)| tap(received));
    }

    /// Whether any feature wants copies made of what this account sends or gets.
    pub(crate) fn wants_copies(&self, account: &Account) -> bool {
        self.copies.iter().any(|(wants, ..)| wants(account))
    }

    /// Whether every feature lets somebody of this address, or this device of theirs, see what
    /// `subject` does.
    pub fn shows(&self, subject: &Account, viewer: &Jid) -> bool {
        self.visibility.iter().all(|tap| tap(subject, viewer))
    }

    pub(crate) fn tell_online(&self, node: &Arc<Node>, account: &Arc<Account>, online: bool) {
        self.online.iter().for_each(|tap| tap(node, account, online));
    }

    pub(crate) fn tell_available(&self, node: &Arc<Node>, session: &Arc<Session>) {
        self.available.iter().for_each(|tap| tap(node, session));
    }

    pub(crate) fn tell_missed(&self, node: &Arc<Node>, session: &Arc<Session>, whose: &Whose) {
        self.missed.iter().for_each(|tap| tap(node, session, whose));
    }

    pub(crate) fn tell_shown(&self, node: &Arc<Node>, subject: &Arc<Account>, viewer: &BareJid) {
        self.shown.iter().for_each(|tap| tap(node, subject, viewer));
    }

    /// Tells features what the client of an available session wants to hear of, beyond what it wanted
    /// before.
    pub fn tell_wants_more(&self, node: &Arc<Node>, session: &Arc<Session>, names: &[&str]) {
        self.wants_more.iter().for_each(|tap| tap(node, session, names));
    }

    /// Returns the namespaces of what can be asked for in a request to bind that comes along with a
    /// login, sorted.
    pub fn offered_in_bind(&self) -> Vec<&'static str> {
        let mut all: Vec<_> = self.binds.iter().map(|((ns, _), _)| *ns).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Begins what an element of such a request asks for, if a feature knows it.
    pub(crate) fn begin_in_bind(&self, session: &Session, wish: &Stanza) {
        let wanted = (wish.ns(), wish.name());
        let taps = self.binds.iter().filter(|(known, _)| *known == wanted);
        taps.for_each(|(_, tap)| tap(session));
    }

    /// Returns what the features say in the answer to it, encoded.
    pub(crate) async fn say_bound(&self, node: &Arc<Node>, session: &Arc<Session>) -> Vec<u8> {
        let mut said = Vec::new();
        for say in &self.bound {
            said.extend(say(node.clone(), session.clone()).await);
        }
        said
    }

    /// Lets the features forget the name of a removed account, in at most so many rows; returns
    /// whether nothing of it is left.
    pub(crate) async fn forget_name(
        &self,
        node: &Arc<Node>,
        tx: &mut Tx,
        key: &str,
        most: u64,
    ) -> Result<bool, whoelse_store::Error> {
        about_name(&self.names_gone, node, (tx, key), most).await
    }

    /// Lets the features void what a name was given that somebody is about to register, in at most so
    /// many rows; returns whether nothing of it is left.
    pub(crate) async fn void_name(
        &self,
        node: &Arc<Node>,
        tx: &mut Tx,
        key: &str,
        most: u64,
    ) -> Result<bool, whoelse_store::Error> {
        about_name(&self.names_taken, node, (tx, key), most).await
    }

    pub(crate) fn tell_barred(&self, node: &Node, account: &Account) {
        self.barred.iter().for_each(|tap| tap(node, account));
    }

    pub(crate) fn tell_account(&self, node: &Arc<Node>, account: &Arc<Account>, exists: bool) {
        self.accounts.iter().for_each(|tap| tap(node, account, exists));
    }
}

/// Calls these for a name, for at most so many rows in all; returns whether nothing is left.
async fn about_name(
    taps: &[taps::NameTap],
    node: &Arc<Node>,
    (tx, key): (&mut Tx, &str),
    most: u64,
) -> Result<bool, whoelse_store::Error> {
    let mut left = most;
    for tap in taps {
        let changed = tap(node, tx, key, left).await?;
        if changed >= left {
            return Ok(false);
        }
        left -= changed;
    }
    Ok(true)
}

fn run(taps: &[(When, OutgoingTap)], passing: &mut Passing<'_>) -> Flow {
    for (_, tap) in taps {
        match tap(passing) {
            Flow::On => {}
            stop => return stop,
        }
    }
    Flow::On
}
