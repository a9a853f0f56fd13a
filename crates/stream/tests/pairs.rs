//! Both machines, and a wire in memory that splits what it carries and can break.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use whoelse_stream::c2s::{self, LookupAnswer, RegisterAnswer, RegisterRequest, Registration};
use whoelse_stream::client::{self, HeldToken, Opening, Probe, Resumption};
use whoelse_stream::fast::Given;
use whoelse_stream::ht::{Binding, Token};
use whoelse_stream::sasl::{Condition as Sasl, Mechanism, Refusal};
use whoelse_stream::sasl2::{Bind, Inline, UserAgent, UserAgentId};
use whoelse_stream::scram::{Hash, ScramError, Verifier};
use whoelse_stream::sm::{self, Handled, Sent};
use whoelse_stream::{ChannelBindings, Password, Transport};
use whoelse_xmpp::{BareJid, Condition, StanzaError, ns};

const DOMAIN: &str = "a.example";

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

fn channel() -> ChannelBindings {
    ChannelBindings { exporter: Some([7; 32]), server_end_point: Some(vec![8; 32]) }
}

/// The ways in which a client logs in: by RFC 6120, by SASL2 with binding after it, and with Bind 2.
fn ways() -> [client::Config; 3] {
    let user_agent = UserAgent { id: Some(UserAgentId::fresh()), ..UserAgent::default() };
    let bind = Bind { tag: Some("whoelse".into()), features: Vec::new() };
    let way = |sasl2| client::Config { sasl2, ..client::Config::new(DOMAIN) };
    [
        way(None),
        way(Some(client::Sasl2 { user_agent: user_agent.clone(), bind: None })),
        way(Some(client::Sasl2 { user_agent, bind: Some(bind) })),
    ]
}

/// What a server offers to do along with a login.
fn inline() -> Inline {
    let tokens = Mechanism::OF_TOKENS.map(|mechanism| mechanism.name().to_owned());
    Inline { resume: true, bind: Some(vec![ns::SM.to_owned()]), fast: tokens.to_vec() }
}

/// What the server remembers beyond a connection.
#[derive(Default)]
struct Memory {
    accounts: HashMap<String, Vec<Verifier>>,
    taken: Vec<String>,
    sessions: HashMap<String, Counted>,
    /// The token of the one device, and its mechanism.
    token: Option<(Token, Mechanism)>,
    /// Whether the token is due to be replaced.
    replaces: bool,
}

impl Memory {
    fn with(name: &str, text: &str) -> Memory {
        let mut memory = Memory::default();
        memory.create(name, &password(text));
        memory
    }

    fn create(&mut self, name: &str, password: &Password) {
        let verifiers = Hash::ALL.map(|hash| Verifier::fresh(hash, password)).to_vec();
        self.accounts.insert(name.to_owned(), verifiers);
    }
}

/// A session with counted stanzas, at either end.
#[derive(Default)]
struct Counted {
    handled: Handled,
    sent: Sent<String>,
    /// The bodies that came in, in order.
    heard: Vec<String>,
}

impl Counted {
    fn hear(&mut self, stanza: &whoelse_xmpp::Stanza) {
        let ticket = self.handled.received();
        self.heard.push(stanza.child_text("body", "jabber:client").unwrap().into());
        self.handled.done(ticket);
    }

    fn say(&mut self, body: &str) -> String {
        let stanza = format!("<message><body>{body}</body></message>");
        self.sent.push(stanza.clone(), stanza.len());
        stanza
    }

    fn again(&self) -> String {
        self.sent.resend().cloned().collect()
    }
}

/// Two machines on a wire that carries at most `piece` bytes at once.
struct Pair {
    client: client::Machine,
    server: c2s::Machine,
    memory: Memory,
    piece: usize,
    /// The client's steps that need a person.
    steps: Vec<client::Step>,
    ends: Ends,
    session: Counted,
    /// What the application of each side still wants to say.
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    asked: Vec<String>,
    /// What the client has said, in all.
    said: String,
    /// Somebody in between, who takes these texts out of what the server says.
    taken_out: Vec<&'static str>,
}

/// The channel as each end sees it.
#[derive(Clone)]
struct Ends {
    client: ChannelBindings,
    server: ChannelBindings,
}

impl Pair {
    fn new(memory: Memory) -> Pair {
        Pair::with(memory, client::Config::new(DOMAIN), 1 << 20)
    }

    fn with(memory: Memory, config: client::Config, piece: usize) -> Pair {
        let ends = Ends { client: channel(), server: channel() };
        Pair::over(memory, config, piece, ends)
    }

    fn over(memory: Memory, config: client::Config, piece: usize, ends: Ends) -> Pair {
        let server = c2s::Config {
            transport: config.transport,
            registration: Registration::Open,
            sasl2: Some(inline()),
            ..c2s::Config::new(DOMAIN)
        };
        let tls = |bindings: &ChannelBindings| {
            (config.transport == Transport::Tls).then(|| bindings.clone())
        };
        Pair {
            server: c2s::Machine::new(Arc::new(server), tls(&ends.server)),
            client: client::Machine::new(config.clone(), tls(&ends.client)),
            memory,
            piece,
            steps: Vec::new(),
            ends,
            session: Counted::default(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            asked: Vec::new(),
            said: String::new(),
            taken_out: Vec::new(),
        }
    }

    /// The server offers SCRAM with these hashes alone.
    fn offer_only(&mut self, hashes: &[Hash]) {
        let config = c2s::Config { hashes: hashes.to_vec(), ..c2s::Config::new(DOMAIN) };
        self.server = c2s::Machine::new(Arc::new(config), None);
    }

    /// Carries bytes to and fro until both ends are silent.
    fn run(&mut self) -> Vec<client::Step> {
        loop {
            self.to_server.extend(self.client.take_output());
            let up = std::mem::take(&mut self.to_server);
            self.said.push_str(&String::from_utf8_lossy(&up));
            for piece in up.chunks(self.piece) {
                assert!(self.server.wants_bytes() || self.server.is_over());
                self.server.push(piece);
                while let Some(step) = self.server.poll() {
                    self.serve(step);
                }
            }
            self.to_client.splice(0..0, self.server.output().take());
            let mut down = std::mem::take(&mut self.to_client);
            for text in &self.taken_out {
                down = String::from_utf8(down).unwrap().replace(text, "").into_bytes();
            }
            for piece in down.chunks(self.piece) {
                self.client.push(piece);
                while let Some(step) = self.client.poll() {
                    match step {
                        client::Step::StartTls => self.client.tls_started(self.ends.client.clone()),
                        step => self.steps.push(step),
                    }
                }
            }
            if up.is_empty() && down.is_empty() {
                return std::mem::take(&mut self.steps);
            }
        }
    }

    /// What a server would do.
    fn serve(&mut self, step: c2s::Step) {
        use c2s::Step;
        let Pair { server, memory, .. } = self;
        match step {
            Step::StartTls => server.tls_started(self.ends.server.clone()),
            Step::Lookup { account, mechanism } => {
                self.asked.push(mechanism.name().to_owned());
                let hash = Hash::ALL
                    .into_iter()
                    .find(|hash| mechanism.name().trim_end_matches("-PLUS") == hash.mechanism())
                    .unwrap_or(Hash::Sha256);
                let known = memory.accounts.get(account.local().unwrap());
                let verifier = known.and_then(|v| v.iter().find(|v| v.hash == hash));
                server.lookup(match verifier {
                    Some(verifier) => LookupAnswer::Verifier(verifier.clone()),
                    None => LookupAnswer::Fake(Verifier::fake(hash, b"secret", account.as_str())),
                });
            }
            Step::Derive { password, verifier } => server.derived(&verifier.derive_like(&password)),
            Step::AuthFailed { .. } | Step::FormerPassword { .. } => {
                server.failed(&Refusal::new(Sasl::NotAuthorized))
            }
            Step::AuthSucceeded => server.succeeded(),
            Step::External { authzid } => {
                let root = BareJid::new(Some("root"), DOMAIN).unwrap();
                server.succeeded_as(authzid.unwrap_or(root));
            }
            Step::Register(RegisterRequest::Fields) => {
                server.registered(Ok(RegisterAnswer::Fields { instructions: "Go on.".into() }));
            }
            Step::Register(RegisterRequest::Name(account)) => {
                let known = memory.accounts.contains_key(account.local().unwrap());
                let condition = if known { Condition::Conflict } else { Condition::NotAcceptable };
                server.registered(Err(StanzaError::new(condition)));
            }
            Step::Register(RegisterRequest::Create { account, password }) => {
                memory.create(account.local().unwrap(), &password);
                server.registered(Ok(RegisterAnswer::Done));
            }
            Step::Bind { resource } => {
                let resource = resource.unwrap_or_else(|| "made-up".into());
                if memory.taken.contains(&resource) {
                    server.bind_refused(&StanzaError::new(Condition::Conflict));
                } else {
                    let bare = server.address().unwrap().clone();
                    server.bound(&bare.with_resource(&resource).unwrap());
                    memory.taken.push(resource);
                }
            }
            Step::Resume { previd, h } => match memory.sessions.remove(&previd) {
                Some(mut session) => {
                    session.sent.ack(h).unwrap();
                    server.resumed(session.handled.h());
                    self.to_client.extend(session.again().into_bytes());
                    self.session = session;
                }
                None => server.resume_failed(None, Condition::ItemNotFound),
            },
            Step::Sm(sm::Element::Enable { resume, .. }) => {
                self.session = Counted::default();
                let enabled =
                    sm::Enabled { id: Some("s1".into()), resume, ..sm::Enabled::default() };
                self.to_client.extend(sm::Element::Enabled(enabled).encode());
            }
            Step::Sm(sm::Element::Request) => {
                self.to_client.extend(sm::Element::Ack { h: self.session.handled.h() }.encode());
            }
            Step::Sm(sm::Element::Ack { h }) => {
                self.session.sent.ack(h).unwrap();
            }
            Step::Stanza(stanza) => self.session.hear(&stanza),
            Step::Closed => server.close(None),
            Step::Open | Step::Error(_) => {}
            Step::BindInline(Bind { tag, features }) => {
                let bare = server.address().unwrap().clone();
                let jid = bare.with_resource(&format!("{}/made-up", tag.unwrap())).unwrap();
                let mut inside = Vec::new();
                if let [Some(Ok(sm::Element::Enable { resume, .. }))] =
                    features.iter().map(sm::Element::read).collect::<Vec<_>>()[..]
                {
                    self.session = Counted::default();
                    let enabled =
                        sm::Enabled { id: Some("s1".into()), resume, ..sm::Enabled::default() };
                    inside = sm::Element::Enabled(enabled).encode();
                }
                server.bound_inline(&jid, &inside);
            }
            Step::Token(login) => match &memory.token {
                Some((token, mechanism))
                    if *mechanism == login.mechanism && login.proof.is_by(token) =>
                {
                    let answer = login.proof.respond(token);
                    if login.fast.invalidate {
                        memory.token = None;
                    }
                    server.token_accepted(answer);
                }
                _ => server.failed(&Refusal::new(Sasl::CredentialsExpired)),
            },
            Step::Complete => {
                let due = memory.token.as_ref().filter(|_| memory.replaces).map(|(_, it)| *it);
                let given = server.requested_token().or(due).map(|mechanism| {
                    let token = Token::fresh();
                    memory.token = Some((token.clone(), mechanism));
                    Given { token, expiry: String::new() }.encode()
                });
                server.completed(&given.unwrap_or_default());
            }
            Step::Sm(_) | Step::Element(_) => panic!("{step:?}"),
        }
    }
}

fn opened(steps: &[client::Step]) -> &Opening {
    match steps {
        [.., client::Step::Open(opening)] => opening,
        _ => panic!("not open: {steps:?}"),
    }
}

fn bound(steps: &[client::Step]) -> String {
    match opened(steps) {
        Opening::Bound { jid, .. } => jid.to_string(),
        Opening::Resumed { .. } => panic!("resumed"),
    }
}

/// The address, and the last mechanism.
fn bound_as<'a>(steps: &[client::Step], asked: &'a [String]) -> (String, &'a str) {
    (bound(steps), asked.last().unwrap())
}

#[test]
fn a_login_from_the_first_byte_in_pieces_of_any_size() {
    let resources = ["desk", "desk", "whoelse/made-up"];
    for (way, resource) in ways().into_iter().zip(resources) {
        for piece in [1, 2, 3, 5, 7, 16, 61, 1 << 20] {
            let config = client::Config { resource: Some("desk".into()), ..way.clone() };
            let mut pair = Pair::with(Memory::with("bob", "pencil"), config, piece);
            let steps = pair.run();
            assert!(matches!(&steps[..], [client::Step::Ready(features)] if features.register));

            pair.client.login("bob", password("pencil")).unwrap();
            let steps = pair.run();

            assert_eq!(bound(&steps), format!("bob@a.example/{resource}"));
            assert!(matches!(opened(&steps), Opening::Bound { sm: Some(sm), .. } if sm.resume));
            assert_eq!(pair.asked, ["SCRAM-SHA-512-PLUS"]);
            assert!(pair.client.proved_channel());
            assert!(pair.server.is_open());
        }
    }
}

#[test]
fn a_wire_that_splits_at_every_single_place_changes_nothing() {
    // The client's and the server's bytes of a whole login, cut in two at every place in turn.
    for at in 1..700 {
        let config =
            client::Config { transport: Transport::Trusted, ..client::Config::new(DOMAIN) };
        let mut pair = Pair::with(Memory::default(), config, at);
        pair.run();
        pair.client.login_external(Some("bob@a.example")).unwrap();
        assert_eq!(bound(&pair.run()), "bob@a.example/made-up");
    }
}

#[test]
fn every_mechanism_logs_in() {
    let none = ChannelBindings::default;
    let certificate = || ChannelBindings { exporter: None, ..channel() };
    for (ends, expected) in [
        (Ends { client: channel(), server: channel() }, "SCRAM-SHA-512-PLUS"),
        (Ends { client: certificate(), server: certificate() }, "SCRAM-SHA-512-PLUS"),
        (Ends { client: certificate(), server: channel() }, "SCRAM-SHA-512-PLUS"),
        (Ends { client: none(), server: channel() }, "SCRAM-SHA-512"),
        (Ends { client: channel(), server: none() }, "SCRAM-SHA-512"),
        (Ends { client: none(), server: none() }, "SCRAM-SHA-512"),
    ] {
        for transport in [Transport::StartTls, Transport::Tls] {
            for way in ways() {
                let config = client::Config { transport, ..way };
                let memory = Memory::with("bob", "pencil");
                let mut pair = Pair::over(memory, config, 1 << 20, ends.clone());
                pair.run();
                pair.client.login("bob", password("pencil")).unwrap();

                assert!(bound(&pair.run()).ends_with("made-up"));
                assert_eq!(pair.asked, [expected]);
                assert_eq!(pair.client.proved_channel(), expected.ends_with("-PLUS"));
            }
        }
    }
}

const SHA_512_PLUS: &str = "<mechanism>SCRAM-SHA-512-PLUS</mechanism>";
const SHA_512: &str = "<mechanism>SCRAM-SHA-512</mechanism>";
const SHA_256_PLUS: &str = "<mechanism>SCRAM-SHA-256-PLUS</mechanism>";
const SHA_1_PLUS: &str = "<mechanism>SCRAM-SHA-1-PLUS</mechanism>";
const SHA_256: &str = "<mechanism>SCRAM-SHA-256</mechanism>";
const SHA_1: &str = "<mechanism>SCRAM-SHA-1</mechanism>";
const BINDINGS: &str = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding \
                        type='tls-exporter'/><channel-binding type='tls-server-end-point'/>\
                        </sasl-channel-binding>";

#[test]
fn the_weaker_mechanisms_log_in_where_there_is_nothing_better() {
    let none = Ends { client: ChannelBindings::default(), server: ChannelBindings::default() };
    let bound = Ends { client: channel(), server: channel() };
    for (ends, hashes, expected) in [
        (&bound, &[Hash::Sha256, Hash::Sha1][..], "SCRAM-SHA-256-PLUS"),
        (&bound, &[Hash::Sha1], "SCRAM-SHA-1-PLUS"),
        (&none, &[Hash::Sha256, Hash::Sha1], "SCRAM-SHA-256"),
        (&none, &[Hash::Sha1], "SCRAM-SHA-1"),
        (&none, &[], "PLAIN"),
    ] {
        let mut pair = Pair::over(
            Memory::with("bob", "pencil"),
            client::Config::new(DOMAIN),
            1 << 20,
            ends.clone(),
        );
        pair.offer_only(hashes);
        pair.run();
        pair.client.trust_channel();
        pair.client.login("bob", password("pencil")).unwrap();

        assert_eq!(bound_as(&pair.run(), &pair.asked), ("bob@a.example/made-up".into(), expected));
    }
}

/// Somebody in between takes these texts out, and the client tries to log in.
fn stripped(way: client::Config, taken_out: &[&'static str], ends: Ends) -> Pair {
    let memory = Memory::with("bob", "pencil");
    let mut pair = Pair::over(memory, way, 1 << 20, ends);
    pair.taken_out = taken_out.to_vec();
    pair.run();
    pair.client.trust_channel();
    pair
}

#[test]
fn whoever_takes_a_mechanism_out_is_noticed_by_the_client() {
    let none = Ends { client: ChannelBindings::default(), server: channel() };
    let both = Ends { client: channel(), server: channel() };
    for (taken_out, ends) in [
        (&[SHA_512_PLUS][..], &both),
        (&[SHA_512_PLUS, SHA_256_PLUS], &both),
        (&[SHA_512], &none),
        (&[SHA_512, SHA_256], &none),
        // Of no use to this client, and still seen.
        (&[SHA_1], &both),
        (&["<mechanism>PLAIN</mechanism>"], &both),
    ] {
        for way in ways() {
            let mut pair = stripped(way, taken_out, ends.clone());
            gives_up(&mut pair, taken_out);
        }
    }
}

/// The client notices that something was taken out, and goes.
#[track_caller]
fn gives_up(pair: &mut Pair, taken_out: &[&str]) {
    pair.client.login("bob", password("pencil")).unwrap();

    let steps = pair.run();

    let expected = client::Reason::Scram(ScramError::Downgrade);
    assert!(
        matches!(&steps[..], [client::Step::GaveUp(reason)] if *reason == expected),
        "{taken_out:?} {steps:?}"
    );
}

#[test]
fn whoever_takes_a_type_of_channel_binding_out_is_noticed_by_the_client() {
    let (exporter, end_point) = (
        "<channel-binding type='tls-exporter'/>",
        "<channel-binding type='tls-server-end-point'/>",
    );
    for taken_out in [&[exporter][..], &[end_point], &[exporter, end_point], &[BINDINGS]] {
        for way in ways() {
            let ends = Ends { client: channel(), server: channel() };
            let mut pair = stripped(way, taken_out, ends);
            gives_up(&mut pair, taken_out);
        }
    }
}

#[test]
fn whoever_leaves_nothing_but_plain_gets_no_password_that_was_safe_before() {
    let all = [SHA_512_PLUS, SHA_256_PLUS, SHA_1_PLUS, SHA_512, SHA_256, SHA_1, BINDINGS];
    for way in ways() {
        let memory = Memory::with("bob", "pencil");
        let config = client::Config { never_plain: true, ..way };
        let mut pair = Pair::with(memory, config, 1 << 20);
        pair.taken_out = all.to_vec();
        pair.run();
        pair.client.trust_channel();

        assert_eq!(pair.client.login("bob", password("pencil")), Err(client::Denied::OnlyPlain));
        assert!(pair.client.take_output().is_empty());
    }
}

#[test]
fn whoever_hides_channel_binding_is_noticed_by_one_of_the_ends() {
    let all = vec![SHA_512_PLUS, SHA_256_PLUS, SHA_1_PLUS];
    // By the client, if the types of XEP-0440 are left standing.
    let mut pair = Pair::new(Memory::with("bob", "pencil"));
    pair.taken_out = all.clone();
    pair.run();
    let denied = pair.client.login("bob", password("pencil"));
    assert_eq!(denied, Err(client::Denied::Downgrade));

    // By the server, if they are not.
    let mut pair = Pair::new(Memory::with("bob", "pencil"));
    pair.taken_out = all;
    pair.taken_out.push(BINDINGS);
    pair.run();
    pair.client.login("bob", password("pencil")).unwrap();
    let steps = pair.run();
    assert!(matches!(&steps[..], [client::Step::AuthFailed(_)]), "{steps:?}");
    assert!(pair.asked.is_empty());
}

#[test]
fn whoever_hides_starttls_gets_nothing_in_clear() {
    let mut pair = Pair::new(Memory::with("bob", "pencil"));
    pair.taken_out =
        vec!["<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"];

    let steps = pair.run();

    assert!(matches!(&steps[..], [client::Step::GaveUp(client::Reason::NoTls)]));
}

#[test]
fn a_login_over_two_channels_with_somebody_in_between_fails() {
    let theirs = ChannelBindings { exporter: Some([9; 32]), server_end_point: Some(vec![9; 32]) };
    let ends = Ends { client: theirs, server: channel() };
    for way in ways() {
        let mut pair = Pair::over(Memory::with("bob", "pencil"), way, 1 << 20, ends.clone());
        pair.run();

        pair.client.login("bob", password("pencil")).unwrap();
        let steps = pair.run();

        let is_refused = |r: &Refusal| r.condition == Sasl::NotAuthorized;
        assert!(matches!(&steps[..], [client::Step::AuthFailed(r)] if is_refused(r)));
        assert!(!pair.client.proved_channel());
    }
}

#[test]
fn three_wrong_passwords_and_then_the_right_one() {
    for way in ways() {
        let mut pair = Pair::with(Memory::with("bob", "pencil"), way, 1 << 20);
        pair.run();

        for wrong in ["pencils", "Pencil", "p"] {
            pair.client.login("bob", password(wrong)).unwrap();
            let steps = pair.run();
            assert!(matches!(&steps[..], [client::Step::AuthFailed(_)]), "{steps:?}");
        }

        pair.client.login("Bob", password("pencil")).unwrap();
        assert!(bound(&pair.run()).starts_with("bob@a.example/"));
    }
}

/// Logs in with a server that offers to do this along with it, and returns how it went.
fn offered(inline: Option<Inline>, config: client::Config) -> (Pair, Vec<client::Step>) {
    logs_in(Memory::with("bob", "pencil"), inline, config)
}

fn logs_in(
    memory: Memory,
    inline: Option<Inline>,
    config: client::Config,
) -> (Pair, Vec<client::Step>) {
    let mut pair = Pair::with(memory, config, 1 << 20);
    let config = c2s::Config { sasl2: inline, ..c2s::Config::new(DOMAIN) };
    pair.server = c2s::Machine::new(Arc::new(config), None);
    pair.run();
    pair.client.login("bob", password("pencil")).unwrap();
    let steps = pair.run();
    (pair, steps)
}

#[test]
fn what_a_server_does_not_do_along_with_a_login_is_done_after_it() {
    let [_, _, way] = ways();
    let counted = |opening: &Opening| matches!(opening, Opening::Bound { sm: Some(_), .. });
    for (inline, resource, asks_to_bind, asks_to_count) in [
        (Some(inline()), "whoelse/made-up", false, false),
        (Some(Inline { bind: Some(vec![]), ..inline() }), "whoelse/made-up", false, true),
        (Some(Inline { bind: None, ..inline() }), "made-up", true, true),
        (Some(Inline::default()), "made-up", true, true),
        (None, "made-up", true, true),
    ] {
        let (pair, steps) = offered(inline.clone(), way.clone());

        assert_eq!(bound(&steps), format!("bob@a.example/{resource}"), "{inline:?}");
        assert!(counted(opened(&steps)), "{inline:?}");
        let (_, after) = pair.said.rsplit_once("</response>").unwrap();
        assert_eq!(after.contains("<iq "), asks_to_bind, "{after}");
        assert_eq!(after.contains("<enable "), asks_to_count, "{after}");
        assert_eq!(pair.said.contains("<auth "), inline.is_none());
        // The stream goes on, unless it is of RFC 6120.
        assert_eq!(after.contains("<stream:stream"), inline.is_none());
    }
}

#[test]
fn a_feature_that_cannot_be_had_while_binding_keeps_the_client_from_it() {
    let [_, _, way] = ways();
    let mut sasl2 = way.sasl2.clone().unwrap();
    let wish = whoelse_xmpp::Stanza::parse("<wish xmlns='urn:x:1'/>").unwrap();
    sasl2.bind.as_mut().unwrap().features.push(wish);
    let config = client::Config { sasl2: Some(sasl2), ..way };

    let (pair, steps) = offered(Some(inline()), config.clone());
    assert_eq!(bound(&steps), "bob@a.example/made-up");
    assert!(!pair.said.contains("urn:x:1"));

    let knows = vec![ns::SM.to_owned(), "urn:x:1".to_owned()];
    let (pair, steps) = offered(Some(Inline { bind: Some(knows), ..inline() }), config);
    assert_eq!(bound(&steps), "bob@a.example/whoelse/made-up");
    assert!(pair.said.contains("<wish xmlns='urn:x:1'/><enable "), "{}", pair.said);
}

/// Logs in to resume the session `s1`, which the server may have.
fn resumes_with(inline: Inline, way: client::Config, has: bool) -> (Pair, Vec<client::Step>) {
    let mut memory = Memory::with("bob", "pencil");
    if has {
        let mut session = Counted::default();
        session.say("missed");
        memory.sessions.insert("s1".into(), session);
    }
    let resume = Some(Resumption { previd: "s1".into(), h: 0 });
    logs_in(memory, Some(inline), client::Config { resume, ..way })
}

fn resumes(way: client::Config, has: bool) -> (Pair, Vec<client::Step>) {
    resumes_with(inline(), way, has)
}

#[test]
fn a_session_is_resumed_in_every_way_and_what_it_missed_follows() {
    for way in ways() {
        let (pair, steps) = resumes(way, true);

        let [client::Step::Open(Opening::Resumed { h: 0 }), client::Step::Stanza(missed)] =
            &steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!(missed.child_text("body", ns::CLIENT).unwrap(), "missed");
        assert!(pair.server.is_open() && !pair.said.contains("<iq "));
    }
}

#[test]
fn a_session_that_can_be_resumed_only_after_a_login_is_not_replaced_along_with_it() {
    let after = || Inline { resume: false, ..inline() };
    for way in ways() {
        let (pair, steps) = resumes_with(after(), way.clone(), true);
        let is_resumed = |it: &Opening| matches!(it, Opening::Resumed { h: 0 });
        assert!(
            matches!(&steps[..], [client::Step::Open(it), client::Step::Stanza(_)] if is_resumed(it))
        );
        assert!(!pair.said.contains(ns::BIND2), "{}", pair.said);

        let (pair, steps) = resumes_with(after(), way, false);
        assert!(matches!(&steps[..], [client::Step::NotResumed { h: None }, _]), "{steps:?}");
        assert_eq!(bound(&steps), "bob@a.example/made-up");
        assert!(!pair.said.contains(ns::BIND2), "{}", pair.said);
    }
}

#[test]
fn where_the_session_is_gone_a_new_one_is_begun_in_every_way() {
    for way in ways() {
        let (pair, steps) = resumes(way, false);

        assert!(matches!(&steps[..], [client::Step::NotResumed { h: None }, _]), "{steps:?}");
        assert!(bound(&steps).starts_with("bob@a.example/"));
        assert_eq!(pair.said.matches("<resume ").count(), 1);
    }
}

#[test]
fn a_wrong_password_takes_no_session_away() {
    for way in ways() {
        let mut memory = Memory::with("bob", "pencil");
        memory.sessions.insert("s1".into(), Counted::default());
        let resume = Some(Resumption { previd: "s1".into(), h: 0 });
        let mut pair = Pair::with(memory, client::Config { resume, ..way }, 1 << 20);
        pair.run();

        pair.client.login("bob", password("wrong")).unwrap();
        assert!(matches!(&pair.run()[..], [client::Step::AuthFailed(_)]));
        pair.client.login("bob", password("pencil")).unwrap();

        assert!(matches!(opened(&pair.run()), Opening::Resumed { .. }));
    }
}

/// Logs in by password, and asks for a token.
fn remembered(way: client::Config) -> (HeldToken, Memory) {
    let mut pair = Pair::with(Memory::with("bob", "pencil"), way, 1 << 20);
    pair.run();
    pair.client.trust_channel();
    pair.client.want_token(true);
    pair.client.login("bob", password("pencil")).unwrap();
    bound(&pair.run());
    let held = pair.client.take_token().unwrap();
    assert!(pair.client.take_token().is_none());
    pair.memory.taken.clear();
    (held, pair.memory)
}

#[test]
fn a_token_lets_in_where_it_was_asked_for_and_its_password_is_not_looked_at() {
    for way in &ways()[1..] {
        let (held, memory) = remembered(way.clone());
        assert_eq!(held.mechanism, Mechanism::HashedToken(Binding::Exporter));

        let mut pair = Pair::with(memory, way.clone(), 1 << 20);
        pair.run();
        pair.client.login_by_token("bob", &held).unwrap();

        assert!(bound(&pair.run()).starts_with("bob@a.example/"));
        assert!(pair.asked.is_empty() && pair.client.proved_channel());
        assert!(pair.client.take_token().is_none());
        assert!(!pair.said.contains("<request-token"));
        assert!(!pair.said.contains(held.token.reveal()));
    }
}

#[test]
fn a_session_is_resumed_by_a_token() {
    for way in &ways()[1..] {
        let (held, mut memory) = remembered(way.clone());
        memory.sessions.insert("s1".into(), Counted::default());
        let resume = Some(Resumption { previd: "s1".into(), h: 0 });
        let mut pair = Pair::with(memory, client::Config { resume, ..way.clone() }, 1 << 20);
        pair.run();

        pair.client.login_by_token("bob", &held).unwrap();

        assert!(matches!(opened(&pair.run()), Opening::Resumed { h: 0 }));
    }
}

#[test]
fn the_next_token_comes_unasked_and_takes_the_place_of_the_one_before() {
    let [_, way, _] = ways();
    let (held, mut memory) = remembered(way.clone());
    memory.replaces = true;
    let mut pair = Pair::with(memory, way.clone(), 1 << 20);
    pair.run();
    pair.client.login_by_token("bob", &held).unwrap();
    bound(&pair.run());
    let next = pair.client.take_token().unwrap();
    assert_eq!(next.mechanism, held.mechanism);

    let mut memory = pair.memory;
    memory.taken.clear();
    let mut pair = Pair::with(memory, way, 1 << 20);
    pair.run();
    pair.client.login_by_token("bob", &held).unwrap();
    assert!(matches!(&pair.run()[..], [client::Step::AuthFailed(_)]));
    pair.client.login_by_token("bob", &next).unwrap();
    bound(&pair.run());
}

#[test]
fn after_a_token_that_is_no_good_a_password_is_asked_for_on_the_same_stream() {
    let [_, way, _] = ways();
    let (mut held, memory) = remembered(way.clone());
    held.token = Token::fresh();
    let mut pair = Pair::with(memory, way, 1 << 20);
    pair.run();

    pair.client.login_by_token("bob", &held).unwrap();
    let steps = pair.run();
    let is_expired = |it: &Refusal| it.condition == Sasl::CredentialsExpired;
    assert!(matches!(&steps[..], [client::Step::AuthFailed(it)] if is_expired(it)));
    pair.client.login("bob", password("pencil")).unwrap();

    assert!(bound(&pair.run()).starts_with("bob@a.example/"));
}

#[test]
fn a_token_is_taken_back_by_a_login_that_begins_nothing() {
    for way in &ways()[1..] {
        let (held, mut memory) = remembered(way.clone());
        memory.sessions.insert("s1".into(), Counted::default());
        let resume = Some(Resumption { previd: "s1".into(), h: 0 });
        let config = client::Config { resume, ..way.clone() };
        let mut pair = Pair::with(memory, config, 1 << 20);
        pair.run();

        pair.client.revoke_token("bob", &held).unwrap();

        assert!(matches!(&pair.run()[..], [client::Step::Proved]));
        assert!(pair.memory.token.is_none() && pair.memory.sessions.contains_key("s1"));
        assert!(!pair.client.is_open() && !pair.client.is_over());
    }
}

#[test]
fn a_token_is_neither_asked_for_nor_used_where_somebody_could_take_it() {
    let [older, way, _] = ways();
    let (held, memory) = remembered(way.clone());
    let unbound = HeldToken { mechanism: Mechanism::HashedToken(Binding::None), ..held.clone() };
    let mut pair = Pair::with(memory, way, 1 << 20);
    pair.run();

    // Nobody vouches for the certificate.
    pair.client.want_token(true);
    assert!(!pair.client.gives_tokens());
    assert_eq!(pair.client.login_by_token("bob", &unbound), Err(client::Denied::Untrusted));
    assert!(pair.client.take_output().is_empty());
    pair.client.login("bob", password("pencil")).unwrap();
    bound(&pair.run());
    assert!(!pair.said.contains("<request-token") && pair.client.take_token().is_none());

    // SASL2 is not wanted.
    let mut pair = Pair::new(Memory::default());
    pair.run();
    assert_eq!(pair.client.login_by_token("bob", &held), Err(client::Denied::NoMechanism));
    let mut pair = Pair::with(Memory::default(), older, 1 << 20);
    pair.run();
    pair.client.trust_channel();
    assert!(!pair.client.gives_tokens());
    assert_eq!(pair.client.login_by_token("bob", &held), Err(client::Denied::NoMechanism));
}

#[test]
fn over_a_certificate_known_by_sight_a_token_is_bound_to_it() {
    let [_, way, _] = ways();
    for (ends, gives) in [(channel(), true), (ChannelBindings::default(), false)] {
        let memory = Memory::with("bob", "pencil");
        let ends = Ends { client: ends.clone(), server: ends };
        let mut pair = Pair::over(memory, way.clone(), 1 << 20, ends);
        pair.run();
        pair.client.trust_channel_to_register();
        assert_eq!(pair.client.gives_tokens(), gives);
        pair.client.trust_channel();
        assert!(pair.client.gives_tokens());
    }
}

#[test]
fn a_stream_is_opened_in_a_name_only_where_nobody_listens() {
    let from = BareJid::parse("bob@a.example").unwrap();
    for way in ways() {
        let config = client::Config { from: Some(from.clone()), ..way };
        let mut pair = Pair::with(Memory::with("bob", "pencil"), config, 1 << 20);
        pair.run();
        pair.client.login("bob", password("pencil")).unwrap();
        pair.run();

        let mut headers = pair.said.split("<stream:stream").skip(1);
        let names =
            |header: &str| header.split('>').next().unwrap().contains(" from='bob@a.example'");
        assert!(!names(headers.next().unwrap()), "in clear");
        assert!(headers.all(names));
    }
}

#[test]
fn an_unknown_name_fails_like_a_wrong_password() {
    let mut pair = Pair::new(Memory::with("bob", "pencil"));
    pair.run();

    pair.client.login("nobody", password("pencil")).unwrap();

    assert!(matches!(&pair.run()[..], [client::Step::AuthFailed(_)]));
}

#[test]
fn a_newcomer_asks_registers_and_logs_in_on_one_stream() {
    let mut pair = Pair::new(Memory::with("alice", "x"));
    pair.run();
    pair.client.trust_channel();

    pair.client.probe("alice").unwrap();
    assert!(matches!(&pair.run()[..], [client::Step::Probed(Probe::Known)]));
    pair.client.probe("bob").unwrap();
    assert!(matches!(&pair.run()[..], [client::Step::Probed(Probe::Free)]));
    pair.client.register("bob", &password("a <b> & 'c'")).unwrap();
    assert!(matches!(&pair.run()[..], [client::Step::Registered(Ok(()))]));
    pair.client.login("bob", password("a <b> & 'c'")).unwrap();

    assert_eq!(bound(&pair.run()), "bob@a.example/made-up");
}

#[test]
fn a_resource_that_is_taken_can_be_changed() {
    let mut memory = Memory::with("bob", "pencil");
    memory.taken.push("desk".into());
    let config = client::Config { resource: Some("desk".into()), ..client::Config::new(DOMAIN) };
    let mut pair = Pair::with(memory, config, 1 << 20);
    pair.run();
    pair.client.login("bob", password("pencil")).unwrap();
    let steps = pair.run();
    assert!(
        matches!(&steps[..], [client::Step::BindRefused(e)] if e.condition == Condition::Conflict)
    );

    pair.client.bind(Some("sofa")).unwrap();

    assert_eq!(bound(&pair.run()), "bob@a.example/sofa");
}

#[test]
fn either_side_can_close() {
    let mut pair = Pair::new(Memory::default());
    pair.run();
    pair.client.close(None);
    pair.run();
    assert!(pair.client.is_over() && pair.server.is_over());

    let mut pair = Pair::new(Memory::default());
    pair.run();
    pair.server.close(None);
    assert!(matches!(&pair.run()[..], [client::Step::Closed]));
    assert!(pair.client.is_over());
}

/// Two sessions that talk while the wire breaks again and again, after any number of bytes.
#[test]
fn a_broken_wire_loses_and_doubles_nothing() {
    for cut in (1..1200).step_by(7) {
        let mut memory = Memory::default();
        let mut mine = Counted::default();
        let mut resume = None;
        for round in 0..4 {
            let config = client::Config {
                transport: Transport::Trusted,
                resume: resume.clone(),
                ..client::Config::new(DOMAIN)
            };
            let mut pair = Pair::with(memory, config, 1 << 20);
            pair.run();
            pair.client.login_external(Some("bob@a.example")).unwrap();
            let steps = pair.run();
            // On resumption the server's stanzas follow at once.
            for step in steps {
                match step {
                    client::Step::Open(Opening::Resumed { h }) => {
                        mine.sent.ack(h).unwrap();
                        pair.to_server.extend(mine.again().into_bytes());
                    }
                    client::Step::Stanza(stanza) => mine.hear(&stanza),
                    client::Step::Ready(_) | client::Step::Open(_) => {}
                    step => panic!("{step:?}"),
                }
            }

            // Both talk; the wire gives out in the middle of it.
            for n in 0..3 {
                pair.to_server.extend(mine.say(&format!("up {round}.{n}")).into_bytes());
                let down = pair.session.say(&format!("down {round}.{n}"));
                pair.to_client.extend(down.into_bytes());
            }
            if round < 3 {
                pair.to_server.truncate(cut);
                pair.to_client.truncate(cut / 2);
            }
            for step in pair.run() {
                if let client::Step::Stanza(stanza) = step {
                    mine.hear(&stanza);
                }
            }

            memory = pair.memory;
            memory.sessions.insert("s1".into(), pair.session);
            memory.taken.clear();
            resume = Some(Resumption { previd: "s1".into(), h: mine.handled.h() });
        }

        let theirs = memory.sessions.remove("s1").unwrap();
        let all = |way: &str| -> Vec<String> {
            (0..4).flat_map(|round| (0..3).map(move |n| format!("{way} {round}.{n}"))).collect()
        };
        assert_eq!(theirs.heard, all("up"), "cut after {cut}");
        assert_eq!(mine.heard, all("down"), "cut after {cut}");
    }
}
