//! The stream machines: whatever a peer sends, in pieces of any size, and in whatever order the
//! driver answers, they do not panic or keep much, send only well-formed XML and nothing after
//! their end, and skip no required step.

use std::sync::Arc;

use whoelse_stream::c2s::{self, LookupAnswer, RegisterAnswer, Registration, Step};
use whoelse_stream::client::HeldToken;
use whoelse_stream::ht::{Binding, Token};
use whoelse_stream::sasl::{Condition as Sasl, Mechanism, Refusal};
use whoelse_stream::sasl2::Bind;
use whoelse_stream::scram::{Hash, Verifier};
use whoelse_stream::{ChannelBindings, Framing, Password, Transport, client};
use whoelse_xmpp::{
    BareJid, Condition, Frame, FullJid, Limits, Scanner, StanzaError, StreamCondition, StreamError,
    ns,
};

use crate::choices::Choices;

const FROM_CLIENT: &[&str] = &[
    "<stream:stream to='a.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:stream from='bob@a.example' xml:lang='de' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:stream to='b.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1ib2Iscj1hYmM=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGJvYgBwZW5jaWw=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGJvYgBwZW5jaWw=</response>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>?</response>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
    "<iq type='set' id='2'><query xmlns='jabber:iq:register'><username>bob</username></query></iq>",
    "<iq type='set' id='3'><query xmlns='jabber:iq:register'><username>bob</username><password>pencil</password></query></iq>",
    "<iq type='set' id='4'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    "<iq type='set' id='5'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>&lt;'</resource></bind></iq>",
    "<resume xmlns='urn:xmpp:sm:3' previd='&lt;&apos;' h='1'/>",
    "<enable xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<a xmlns='urn:xmpp:sm:3' h='-1'/>",
    "<message to='alice@a.example'><body>hi</body></message>",
    "<presence/>",
    "<x xmlns='urn:x'/>",
    "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "</stream:stream>",
    "<?xml version='1.0'?>",
    " ",
    "<",
    "]]>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGJvYgBwZW5jaWw=</initial-response><bind xmlns='urn:xmpp:bind:0'><tag>phone</tag><enable xmlns='urn:xmpp:sm:3'/></bind></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGJvYgBwZW5jaWw=</initial-response><resume xmlns='urn:xmpp:sm:3' previd='&lt;&apos;' h='1'/><bind xmlns='urn:xmpp:bind:0'/></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>biwsbj1ib2Iscj1hYmM=</initial-response><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>Ym9iAAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f</initial-response><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/><bind xmlns='urn:xmpp:bind:0'/><fast xmlns='urn:xmpp:fast:0' count='1'/><request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/></authenticate>",
    "<response xmlns='urn:xmpp:sasl:2'>AGJvYgBwZW5jaWw=</response>",
    "<abort xmlns='urn:xmpp:sasl:2'/>",
];

/// The place of the first `<authenticate/>` among them, and the place after the last.
const AUTHENTICATE: std::ops::Range<usize> = 29..34;

const FROM_SERVER: &[&str] = &[
    "<stream:stream from='a.example' id='x' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1hYmMscz1lQT09LGk9NDA5Ng==</challenge>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1lQT09</success>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='x' h='1'/>",
    "<failed xmlns='urn:xmpp:sm:3' h='1'/>",
    "<enabled xmlns='urn:xmpp:sm:3' id='x' resume='true'/>",
    "<message><body>hi</body></message>",
    "<iq type='result' id='x'/>",
    "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "</stream:stream>",
    "<?xml version='1.0'?>",
    " ",
    "<",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind><fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication></stream:features>",
    "<stream:features/>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>bob@a.example</authorization-identifier><resumed xmlns='urn:xmpp:sm:3' previd='x' h='1'/></success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>bob@a.example/x</authorization-identifier><failed xmlns='urn:xmpp:sm:3' h='1'/><bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='x' resume='true'/></bound><token xmlns='urn:xmpp:fast:0' token='y' expiry=''/></success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>bob@a.example</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>",
    "<success xmlns='urn:xmpp:sasl:2'><additional-data>AAAA</additional-data><authorization-identifier>bob@a.example</authorization-identifier></success>",
    "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
];

/// What a well-behaved peer says, in order.
type Good = std::vec::IntoIter<&'static str>;

/// The words that lead to an open stream over this transport; those at the end are what follows.
fn good(words: &[&'static str], with_tls: &[usize], without: &[usize], tls: bool) -> Good {
    let places = if tls { with_tls } else { without };
    places.iter().filter_map(|place| words.get(*place).copied()).collect::<Vec<_>>().into_iter()
}

/// Puts what a client says on a stream into messages of a WebSocket, most of them as it should be.
fn over_websocket(choices: &mut Choices<'_>, said: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(said);
    let open = format!("<open xmlns='{}'", ns::FRAMING);
    let text = match text.contains("<stream:stream") {
        true => {
            text.replace("<stream:stream", &open).replace("xmlns='jabber:client'", "") + "</open>"
        }
        false => text.replace("</stream:stream>", &format!("<close xmlns='{}'/>", ns::FRAMING)),
    };
    let (one, two) = text.as_bytes().split_at(choices.below(text.len() + 1).min(text.len()));
    let mut bytes = Vec::new();
    let mut frame = |first: u8, payload: &[u8]| {
        bytes.push(first);
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
        }
        bytes.extend([7; 4]);
        bytes.extend(payload.iter().map(|byte| byte ^ 7));
    };
    match choices.below(24) {
        0 => frame(0x82, one),
        1 => frame(0x01, one),
        2 => frame(0x88, b""),
        3 => frame(0x81, b" "),
        4..=12 => {
            frame(0x01, one);
            frame(0x89, b"?");
            frame(0x80, two);
        }
        _ => frame(0x81, text.as_bytes()),
    }
    bytes
}

/// Puts what a client says on a stream into a body of BOSH, most of them as it should be.
fn in_a_body(choices: &mut Choices<'_>, said: &[u8]) -> Vec<u8> {
    let body = format!(
        "<body xmlns='{}' xmlns:xmpp='{}' xmlns:stream='{}' rid='1'",
        ns::BOSH,
        ns::XBOSH,
        ns::STREAM
    );
    let said = String::from_utf8_lossy(said);
    match (said.contains("<stream:stream"), choices.below(20)) {
        (_, 0) => format!("{body}>{said}"),
        (_, 1) => format!("{body} sid='x'/>"),
        (_, 2) => format!("{body} sid='x' type='terminate'>{said}</body>"),
        (true, 3..=10) => format!("{body} to='a.example' xmpp:version='1.0'/>"),
        (true, _) => format!("{body} to='a.example' sid='x' xmpp:restart='true'/>"),
        (false, _) => format!("{body} sid='x'>{said}</body>"),
    }
    .into_bytes()
}

/// Reads what a machine says for a body of BOSH: elements, and at most one mark of the end.
fn read_body(said: &[u8]) {
    let said = match said.split_last() {
        Some((&(Framing::END | Framing::FAULT), said)) => said,
        _ => said,
    };
    let mut scanner = Scanner::in_bodies(Limits::FROM_SERVER);
    scanner.push(format!("<body xmlns='{}'>", ns::BOSH).as_bytes());
    scanner.push(said);
    scanner.push(b"</body>");
    let mut closed = false;
    while let Some(frame) = scanner.next().expect("a machine says well-formed XML") {
        closed = matches!(frame, Frame::Close);
    }
    assert!(closed, "a machine says whole elements");
}

/// Reads what a machine says over a WebSocket: every text is an element that stands alone.
fn read_messages(mut said: &[u8]) {
    assert!(said.len() < 1 << 16, "a machine says little at once");
    let mut scanner = Scanner::alone(Limits::FROM_SERVER);
    while let [first, second, rest @ ..] = said {
        let (length, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            short => (usize::from(*short), rest),
        };
        let (payload, after) = rest.split_at(length);
        if *first == 0x81 {
            scanner.push(payload);
            let found = scanner.next().expect("a machine says well-formed XML");
            let Some(Frame::Element(element)) = found else { panic!("not an element") };
            assert!(element.bytes().windows(6).any(|six| six == b" xmlns"));
            scanner.end_frame().expect("a machine says one element a message");
        } else {
            assert!(matches!(first, 0x88 | 0x8A) && payload.len() <= 125);
        }
        said = after;
    }
}

/// Reads what a machine says as its peer would, and fails if that is not well-formed.
struct Reader(Scanner, Framing);

impl Reader {
    fn new(framing: Framing) -> Reader {
        let limits = Limits { bytes: 1 << 20, ..Limits::AFTER_LOGIN };
        Reader(Scanner::new(ns::CLIENT, limits), framing)
    }

    fn read(&mut self, said: &[u8]) {
        match self.1 {
            Framing::Stream => {}
            Framing::WebSocket => return read_messages(said),
            Framing::Bodies => return read_body(said),
        }
        let text = std::str::from_utf8(said).expect("a machine says UTF-8");
        assert!(text.len() < 1 << 16, "a machine says little at once");
        for (i, part) in text.split("<?xml version='1.0'?>").enumerate() {
            if i > 0 {
                self.0.restart();
            }
            self.0.push(part.as_bytes());
            while self.0.next().expect("a machine says well-formed XML").is_some() {}
        }
    }
}

/// Returns the next bytes on the wire: mostly what a well-behaved peer would send (so that every
/// stage is reached), otherwise something else that a peer could send, a piece of it, or anything.
fn next_bytes<'a>(choices: &mut Choices<'a>, words: &[&'static str], good: &mut Good) -> &'a [u8] {
    if let Some(word) = good.next()
        && !choices.once_in(5)
    {
        return word.as_bytes();
    }
    let word = choices.pick(words).as_bytes();
    match choices.below(16) {
        0 => &word[..choices.below(word.len())],
        1 => {
            let rest = choices.rest();
            &rest[..choices.below(8).min(rest.len())]
        }
        _ => word,
    }
}

/// The same, with more of it in the same breath at times.
fn several(choices: &mut Choices<'_>, words: &[&'static str], good: &mut Good) -> Vec<u8> {
    let mut bytes = next_bytes(choices, words, good).to_vec();
    while bytes.len() < 4096 && choices.once_in(4) {
        bytes.extend_from_slice(next_bytes(choices, words, good));
    }
    bytes
}

/// A server's end of a stream, its client and its driver described by `data`.
pub fn accepting(data: &[u8]) {
    let mut choices = Choices::new(data);
    let transport = choices.pick(&[Transport::StartTls, Transport::Tls, Transport::Trusted]);
    let registration = choices.pick(&[Registration::Open, Registration::Closed]);
    let framing = match transport {
        Transport::Tls => choices.pick(&[Framing::Stream, Framing::WebSocket, Framing::Bodies]),
        Transport::StartTls | Transport::Trusted => Framing::Stream,
    };
    let config = c2s::Config { transport, framing, registration, ..c2s::Config::new("a.example") };
    let (before, after) = (config.before_login.bytes, config.after_login.bytes);
    let channel = ChannelBindings { exporter: Some([7; 32]), server_end_point: None };
    let mut machine = c2s::Machine::new(Arc::new(config), Some(channel.clone()));
    let mut reader = Reader::new(framing);
    let mut safe = transport != Transport::StartTls;
    let classic = [0, choices.pick(&[5, 7, 4]), 1, choices.pick(&[14, 15, 16]), 14, 20, 17, 21, 18];
    let first = AUTHENTICATE.start + choices.below(AUTHENTICATE.len());
    let fast = [0, first, 20, 17, 21, 18];
    let mut good = good(
        FROM_CLIENT,
        &[0, 3, 0, 13, choices.pick(&[5, first]), 0, 14, 20, 17, 21],
        if choices.once_in(2) { &classic } else { &fast },
        transport == Transport::StartTls,
    );
    let mut logged_in = false;
    let verifier = Verifier::fake(Hash::Sha1, b"x", "bob");

    while !choices.is_empty() {
        let bytes = match framing {
            Framing::Stream => several(&mut choices, FROM_CLIENT, &mut good),
            Framing::WebSocket => {
                let word = next_bytes(&mut choices, FROM_CLIENT, &mut good);
                over_websocket(&mut choices, word)
            }
            Framing::Bodies => {
                let word = next_bytes(&mut choices, FROM_CLIENT, &mut good);
                in_a_body(&mut choices, word)
            }
        };
        let (first, second) = bytes.split_at(choices.below(bytes.len() + 1));
        machine.push(first);
        if choices.once_in(2) {
            unasked(&mut machine, &mut choices, &verifier);
        }
        if machine.is_over() {
            machine.push(second);
            machine.close(Some(StreamError::new(StreamCondition::Reset)));
            assert!(machine.poll().is_none() && machine.output().take().is_empty());
        } else if !choices.once_in(8) {
            // Else the rest never comes, or the driver is slow to look.
            machine.push(second);
        }
        while let Some(step) = machine.poll() {
            match step {
                Step::StartTls => {
                    // Sent in clear, so it must not count.
                    machine.push(choices.pick(FROM_CLIENT).as_bytes());
                    reader.read(&machine.output().take());
                    machine.tls_started(channel.clone());
                    assert!(machine.poll().is_none() && machine.output().take().is_empty());
                    safe = true;
                }
                Step::Lookup { .. } => {
                    assert!(safe && !logged_in);
                    machine.lookup(match choices.below(4) {
                        0 => LookupAnswer::Refused(Refusal::new(Sasl::AccountDisabled)),
                        1 => LookupAnswer::Fake(verifier.clone()),
                        _ => LookupAnswer::Verifier(verifier.clone()),
                    });
                }
                Step::Derive { .. } => {
                    let other = Verifier::fake(Hash::Sha1, b"y", "bob");
                    let right = choices.once_in(2);
                    machine.derived(if right { &verifier } else { &other });
                }
                Step::AuthFailed { .. } | Step::FormerPassword { .. } => {
                    let refusal = Refusal::new(Sasl::NotAuthorized).with_text("\u{7}<&'\"]]>");
                    machine.failed(&refusal);
                }
                Step::Token(login) => {
                    assert!(safe && !logged_in);
                    let token = Token::fresh();
                    // Nobody has one, whoever the driver lets in.
                    assert!(!login.proof.is_by(&token));
                    logged_in = choices.once_in(2);
                    match logged_in {
                        true => machine.token_accepted(login.proof.respond(&token)),
                        false => machine.failed(&Refusal::new(Sasl::CredentialsExpired)),
                    }
                }
                Step::AuthSucceeded => {
                    assert!(safe);
                    if choices.once_in(3) {
                        machine.refused(&Refusal::new(Sasl::TemporaryAuthFailure).and_close());
                    } else {
                        machine.succeeded();
                        logged_in = true;
                    }
                }
                Step::External { .. } => {
                    assert_eq!(transport, Transport::Trusted);
                    machine.succeeded_as(address("bob@a.example"));
                    logged_in = true;
                }
                Step::Register(_) => {
                    assert!(safe && !logged_in && registration == Registration::Open);
                    machine.registered(match choices.below(3) {
                        0 => Err(StanzaError::new(Condition::Conflict).with_text("\u{1}&<")),
                        1 => Ok(RegisterAnswer::Fields { instructions: "\u{1}&<".into() }),
                        _ => Ok(RegisterAnswer::Done),
                    });
                }
                Step::Bind { .. } => {
                    assert!(logged_in);
                    match FullJid::parse("bob@a.example/&lt;<'") {
                        Ok(jid) if !choices.once_in(3) => machine.bound(&jid),
                        _ => machine.bind_refused(&StanzaError::new(Condition::Conflict)),
                    }
                }
                Step::BindInline(_) => {
                    assert!(logged_in && !machine.is_open());
                    match FullJid::parse("bob@a.example/&lt;<'") {
                        Ok(jid) if !choices.once_in(3) => machine.bound_inline(&jid, b"<x/>"),
                        _ if choices.once_in(2) => {
                            machine.refused(&Refusal::new(Sasl::NotAuthorized));
                            logged_in = false;
                        }
                        _ => machine.close(Some(StreamError::new(StreamCondition::Conflict))),
                    }
                }
                Step::Complete => {
                    assert!(logged_in && !machine.is_open());
                    machine.completed(b"<token xmlns='urn:xmpp:fast:0'/>");
                }
                Step::Resume { .. } => {
                    assert!(logged_in);
                    if choices.once_in(2) {
                        machine.resumed(7);
                    } else {
                        machine.resume_failed(Some(7), Condition::ItemNotFound);
                    }
                }
                Step::Open | Step::Stanza(_) | Step::Sm(_) | Step::Element(_) => {
                    assert!(logged_in && machine.is_open());
                }
                Step::Closed => {
                    assert!(machine.is_over());
                    machine.close(None);
                }
                Step::Error(_) => assert!(machine.is_over()),
            }
            reader.read(&machine.output().take());
        }
        let most = if machine.is_open() { after } else { before };
        assert!(machine.buffered() <= most + (64 << 10));
        reader.read(&machine.output().take());
        if choices.once_in(200) {
            machine.close(Some(StreamError::new(StreamCondition::SystemShutdown)));
            reader.read(&machine.output().take());
        }
    }
}

fn address(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}

/// Gives an answer that nobody waits for, which must change nothing. (Every step that was taken
/// has its answer.)
fn unasked(machine: &mut c2s::Machine, choices: &mut Choices<'_>, verifier: &Verifier) {
    let before = (machine.is_open(), machine.is_over(), machine.address().cloned());
    match choices.below(13) {
        0 => machine.lookup(LookupAnswer::Verifier(verifier.clone())),
        1 => machine.derived(verifier),
        2 => machine.failed(&Refusal::new(Sasl::NotAuthorized)),
        3 => machine.succeeded(),
        4 => machine.succeeded_as(address("eve@a.example")),
        5 => machine.refused(&Refusal::new(Sasl::NotAuthorized).and_close()),
        6 => machine.registered(Ok(RegisterAnswer::Done)),
        7 => machine.resumed(1),
        8 => machine.resume_failed(None, Condition::ItemNotFound),
        11 => machine.bound_inline(&FullJid::parse("eve@a.example/x").expect("an address"), b""),
        12 => machine.completed(b"<x/>"),
        9 => machine.bind_refused(&StanzaError::new(Condition::Conflict)),
        _ => machine.bound(&FullJid::parse("eve@a.example/x").expect("an address")),
    }
    let said = machine.output().take();
    assert!(said.is_empty(), "said {:?} unasked", String::from_utf8_lossy(&said));
    let now = (machine.is_open(), machine.is_over(), machine.address().cloned());
    assert_eq!(now, before);
}

/// A client's end of a stream, its server described by `data`.
pub fn connecting(data: &[u8]) {
    let mut choices = Choices::new(data);
    let transport = choices.pick(&[Transport::StartTls, Transport::Tls, Transport::Trusted]);
    let resume = choices.once_in(2).then(|| client::Resumption { previd: "x".into(), h: 3 });
    let bind = choices.once_in(2).then(Bind::default);
    let sasl2 = choices.once_in(2).then(|| client::Sasl2 { bind, ..client::Sasl2::default() });
    let config = client::Config { transport, resume, sasl2, ..client::Config::new("a.example") };
    let mut machine = client::Machine::new(config, Some(ChannelBindings::default()));
    // Whether somebody vouches for the certificate: then the password may be told under TLS.
    let trusted = choices.once_in(2);
    if trusted {
        machine.trust_channel();
        machine.want_token(choices.once_in(2));
    }
    let mut reader = Reader::new(Framing::Stream);
    let mut safe = transport != Transport::StartTls;
    let classic = [0, choices.pick(&[3, 4]), 8, 0, 5, choices.pick(&[11, 12]), 14, 13];
    let inline = [0, 21, choices.pick(&[23, 24, 25]), choices.pick(&[22, 5]), 14, 13];
    let mut good = good(
        FROM_SERVER,
        &[0, 1, 6, 0, 2, 7, 10],
        if choices.once_in(2) { &classic } else { &inline },
        transport == Transport::StartTls,
    );

    while !choices.is_empty() {
        let bytes = several(&mut choices, FROM_SERVER, &mut good);
        let (first, second) = bytes.split_at(choices.below(bytes.len() + 1));
        machine.push(first);
        if choices.once_in(4) {
            // Asked for at the wrong moment, most of the time.
            let _ = match choices.below(3) {
                0 => machine.bind(Some("x")),
                1 => machine.login_external(Some("eve")),
                _ => machine.probe("eve"),
            };
        }
        machine.push(second);
        if machine.is_over() {
            machine.close(Some(StreamError::new(StreamCondition::Reset)));
            assert!(machine.poll().is_none() && machine.take_output().is_empty());
        }
        while let Some(step) = machine.poll() {
            match step {
                client::Step::StartTls => {
                    // Sent in clear, so it must not count.
                    machine.push(choices.pick(FROM_SERVER).as_bytes());
                    machine.tls_started(ChannelBindings::default());
                    assert!(machine.poll().is_none());
                    safe = true;
                }
                client::Step::Ready(_) => assert!(safe),
                client::Step::Open(_) => assert!(safe && machine.is_open()),
                client::Step::BindRefused(_) => {
                    let _ = machine.bind(None);
                }
                client::Step::GaveUp(_) | client::Step::Closed | client::Step::Error(_) => {
                    assert!(machine.is_over());
                }
                _ => {}
            }
        }
        if machine.is_ready() {
            let password = Password::new("pencil").expect("a password");
            let mechanism = Mechanism::HashedToken(Binding::None);
            let held = HeldToken { token: Token::fresh(), mechanism };
            let _ = match choices.below(8) {
                0 => machine.probe("<bob>"),
                1 => machine.register("bob", &password),
                2 => machine.login_external(None),
                3 => machine.login_by_token("bob", &held),
                4 => machine.revoke_token("bob", &held),
                _ => machine.login("bob", password),
            };
        }
        let said = machine.take_output();
        if transport != Transport::Trusted && !(trusted && safe) {
            // Neither in clear nor as PLAIN writes it.
            let shown = |secret: &[u8]| said.windows(secret.len()).any(|part| part == secret);
            assert!(!shown(b"pencil") && !shown(b"AGJvYgBwZW5jaWw="));
        }
        reader.read(&said);
    }
}
