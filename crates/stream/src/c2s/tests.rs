//! Tests of the accepting machine: they feed a client's text and look at the server's text.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::sasl::Condition as Sasl;
use crate::scram::client::{self, Binding};
use crate::scram::downgrade::Offer;
use crate::scram::{Hash, Verifier};
use crate::secret::Password;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::cell::Cell;
use whoelse_xmpp::{Condition, FullJid, StanzaError};

mod binding;
mod bodies;
mod headers;
mod inline;
mod login;
mod registration;
mod security;
mod token;
mod websocket;

thread_local! {
    /// The profile in which the client of the present test speaks.
    static SPEAKS: Cell<Profile> = const { Cell::new(Profile::Rfc6120) };
}

/// Runs a test once with a client of either profile.
fn in_both_profiles(test: impl Fn()) {
    for profile in [Profile::Rfc6120, Profile::Sasl2] {
        SPEAKS.set(profile);
        test();
    }
}

const DOMAIN: &str = "a.example";
const HEADER: &str = "<stream:stream to='a.example' version='1.0' xml:lang='de' \
                      xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fn bob() -> BareJid {
    BareJid::parse("bob@a.example").unwrap()
}

fn channel() -> ChannelBindings {
    ChannelBindings { exporter: Some([7; 32]), server_end_point: Some(vec![8; 32]) }
}

fn config(transport: Transport) -> Config {
    Config { transport, ..Config::new(DOMAIN) }
}

/// A machine, with its output and steps since the last look.
struct World {
    machine: Machine,
    said: String,
    steps: Vec<String>,
}

impl World {
    fn new(config: Config, channel: Option<ChannelBindings>) -> World {
        let machine = Machine::new(Arc::new(config), channel);
        World { machine, said: String::new(), steps: Vec::new() }
    }

    /// Makes a stream in clear text, with the header exchanged: STARTTLS is offered.
    fn clear() -> World {
        let mut world = World::new(config(Transport::StartTls), None);
        world.send(HEADER);
        world
    }

    /// Makes a stream under TLS, with the header exchanged: login is offered.
    fn tls() -> World {
        World::tls_with(config(Transport::Tls))
    }

    fn tls_with(config: Config) -> World {
        let mut world = World::new(config, Some(channel()));
        world.send(HEADER);
        world
    }

    fn trusted() -> World {
        let mut world = World::new(config(Transport::Trusted), None);
        world.send(HEADER);
        world
    }

    /// Logs in as bob, with the header exchanged: binding is offered.
    fn logged_in() -> World {
        let mut world = World::trusted();
        world.send(&auth("EXTERNAL", Some("")));
        world.machine.succeeded_as(bob());
        world.send(HEADER);
        world.steps.clear();
        world
    }

    /// Makes a stream that is bound as bob@a.example/desk.
    fn open() -> World {
        let mut world = World::logged_in();
        world.send(BIND);
        world.machine.bound(&FullJid::parse("bob@a.example/desk").unwrap());
        world.settle();
        world.said.clear();
        world.steps.clear();
        world
    }

    /// Sends text, and returns the machine's output.
    fn send(&mut self, text: &str) -> String {
        self.machine.push(text.as_bytes());
        self.settle()
    }

    /// Takes all steps, and returns the machine's output since the last look.
    fn settle(&mut self) -> String {
        while let Some(step) = self.machine.poll() {
            self.steps.extend(name(&step));
            match step {
                Step::Closed => self.machine.close(None),
                // Nobody has anything to add, unless a test says so.
                Step::Complete => self.machine.completed(b""),
                _ => {}
            }
        }
        let said = String::from_utf8(self.machine.output().take()).unwrap();
        self.said.push_str(&said);
        said
    }

    /// Returns what a client sees on offer that nobody has tampered with.
    fn offer(&self) -> Offer {
        self.machine.offer()
    }

    /// Returns the steps since the last look.
    fn steps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.steps)
    }

    /// Sends something that ends the stream, and returns the condition.
    fn ends(&mut self, text: &str) -> String {
        let said = self.send(text);
        assert!(said.ends_with("</stream:error></stream:stream>"), "{said}");
        assert!(self.machine.is_over() && !self.machine.wants_bytes());
        let steps = self.steps();
        assert!(steps.last().is_some_and(|step| step.starts_with("error ")), "{steps:?}");
        let at = said.find("<stream:error><").unwrap() + "<stream:error><".len();
        said[at..].split([' ', '/', '>']).next().unwrap().to_owned()
    }
}

const BIND: &str = "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                    <resource>desk</resource></bind></iq>";

fn auth(mechanism: &str, data: Option<&str>) -> String {
    let xmlns = SPEAKS.get().ns();
    match (SPEAKS.get(), data) {
        (Profile::Rfc6120, data) => {
            let data = match data {
                None => String::new(),
                Some("") => "=".to_owned(),
                Some(data) => STANDARD.encode(data),
            };
            format!("<auth xmlns='{xmlns}' mechanism='{mechanism}'>{data}</auth>")
        }
        (Profile::Sasl2, None) => {
            format!("<authenticate xmlns='{xmlns}' mechanism='{mechanism}'/>")
        }
        (Profile::Sasl2, Some(data)) => format!(
            "<authenticate xmlns='{xmlns}' mechanism='{mechanism}'><initial-response>{}\
             </initial-response></authenticate>",
            STANDARD.encode(data)
        ),
    }
}

fn response(data: &str) -> String {
    raw_response(&STANDARD.encode(data))
}

fn raw_response(data: &str) -> String {
    format!("<response xmlns='{}'>{data}</response>", SPEAKS.get().ns())
}

fn abort() -> String {
    format!("<abort xmlns='{}'/>", SPEAKS.get().ns())
}

fn failure(condition: &str) -> String {
    match SPEAKS.get() {
        Profile::Rfc6120 => {
            format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>")
        }
        Profile::Sasl2 => format!(
            "<failure xmlns='urn:xmpp:sasl:2'><{condition} \
             xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
        ),
    }
}

/// Returns the first text, which is base64, of an element.
fn data(element: &str) -> String {
    let texts = element.split('>').skip(1).filter_map(|part| part.split('<').next());
    let inside = texts.into_iter().find(|text| !text.is_empty()).unwrap();
    String::from_utf8(STANDARD.decode(inside).unwrap()).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

/// Returns the name of an account of the only domain.
fn name_of(account: &BareJid) -> &str {
    assert_eq!(account.domain(), DOMAIN);
    account.local().unwrap()
}

/// Returns a step in a few words, without what differs from run to run. `None` for the last step of
/// any login of SASL2.
fn name(step: &Step) -> Option<String> {
    Some(match step {
        Step::Complete => return None,
        Step::StartTls => "starttls".into(),
        Step::Lookup { account, mechanism } => {
            format!("lookup {} {}", name_of(account), mechanism.name())
        }
        Step::Token(login) => {
            format!("token {} {}", name_of(&login.account), login.mechanism.name())
        }
        Step::Derive { .. } => "derive".into(),
        Step::AuthFailed { account, compared: true } => format!("failed {}", name_of(account)),
        Step::AuthFailed { account, compared: false } => {
            format!("failed {} unseen", name_of(account))
        }
        Step::FormerPassword { account, which } => format!("former {} {which}", name_of(account)),
        Step::AuthSucceeded => "succeeded".into(),
        Step::External { authzid } => format!("external {authzid:?}"),
        Step::Register(RegisterRequest::Fields) => "fields".into(),
        Step::Register(RegisterRequest::Name(account)) => format!("name {}", name_of(account)),
        Step::Register(RegisterRequest::Create { account, password }) => {
            let password = std::str::from_utf8(password.reveal()).unwrap();
            format!("create {} {password}", name_of(account))
        }
        Step::Bind { resource } => format!("bind {resource:?}"),
        Step::BindInline(bind) => format!("bind inline {:?}", bind.tag),
        Step::Resume { previd, h } => format!("resume {previd} {h}"),
        Step::Open => "open".into(),
        Step::Stanza(stanza) => format!("stanza {}", stanza.name()),
        Step::Sm(element) => format!("sm {element:?}"),
        Step::Element(element) => format!("element {}", element.name()),
        Step::Closed => "closed".into(),
        Step::Error(error) => format!("error {}", error.condition.name()),
    })
}
