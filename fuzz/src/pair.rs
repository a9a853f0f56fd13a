//! Both stream machines with an attacker in between, who cuts the bytes anywhere and changes what
//! the server offers: the client is logged in only if it saw what the server sent (XEP-0474), and
//! no machine sends anything after its end.

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};

use whoelse_stream::c2s::{self, LookupAnswer, Step};
use whoelse_stream::sasl::{Condition, Mechanism, Refusal};
use whoelse_stream::scram::{Hash, Verifier};
use whoelse_stream::{ChannelBindings, Password, Transport, client};
use whoelse_xmpp::{FullJid, StanzaError};

use crate::choices::Choices;

/// Verifiers of the one password, made with the fewest turns that a client takes.
static VERIFIERS: LazyLock<[Verifier; 3]> = LazyLock::new(|| {
    let turns = NonZeroU32::new(4096).expect("not zero");
    Hash::ALL.map(|hash| Verifier::derive(hash, &password(), b"salt", turns))
});

/// What the attacker removes from the server's bytes, or inserts.
const CHANGES: &[(&str, &str)] = &[
    ("<mechanism>SCRAM-SHA-512-PLUS</mechanism>", ""),
    ("<mechanism>SCRAM-SHA-256-PLUS</mechanism>", ""),
    ("<mechanism>SCRAM-SHA-1-PLUS</mechanism>", ""),
    ("<mechanism>SCRAM-SHA-512</mechanism>", ""),
    ("<mechanism>SCRAM-SHA-256</mechanism>", ""),
    ("<mechanism>SCRAM-SHA-1</mechanism>", ""),
    ("<mechanism>PLAIN</mechanism>", ""),
    ("<mechanism>PLAIN</mechanism>", "<mechanism>X-OTHER</mechanism>"),
    ("<channel-binding type='tls-exporter'/>", ""),
    ("<channel-binding type='tls-server-end-point'/>", ""),
    ("tls-exporter", "tls-unique"),
    ("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>", "<x xmlns='urn:x'>"),
    ("</sasl-channel-binding>", "</x>"),
    ("urn:xmpp:sasl-cb:0", "urn:xmpp:sasl-cb:1"),
];

/// Runs a login that `data` tampers with.
pub fn tampered(data: &[u8]) {
    let mut choices = Choices::new(data);
    let bindings = |choices: &mut Choices<'_>| ChannelBindings {
        exporter: (!choices.once_in(3)).then_some([7; 32]),
        server_end_point: (!choices.once_in(3)).then(|| vec![8; 32]),
    };
    let (ours, theirs) = (bindings(&mut choices), bindings(&mut choices));
    let changes: Vec<_> = (0..choices.below(4)).map(|_| choices.pick(CHANGES)).collect();
    let hashes = Hash::ALL[choices.below(3)..].to_vec();
    let config = c2s::Config { transport: Transport::Tls, hashes, ..c2s::Config::new("a.example") };
    let mut server = c2s::Machine::new(Arc::new(config), Some(theirs));
    let config = client::Config {
        transport: Transport::Tls,
        never_plain: true,
        want_sm: false,
        sasl2: choices.once_in(2).then(client::Sasl2::default),
        ..client::Config::new("a.example")
    };
    let mut client = client::Machine::new(config, Some(ours));
    let mut was_changed = false;
    let mut opened = None;

    for _ in 0..64 {
        let up = client.take_output();
        for piece in pieces(&up, &mut choices) {
            server.push(piece);
            while let Some(step) = server.poll() {
                serve(&mut server, step);
            }
        }
        let said = String::from_utf8(server.output().take()).expect("a machine says UTF-8");
        let down = changes.iter().fold(said.clone(), |text, (from, to)| text.replace(from, to));
        was_changed |= down != said;
        for piece in pieces(down.as_bytes(), &mut choices) {
            client.push(piece);
            while let Some(step) = client.poll() {
                match step {
                    // Without a mechanism to try, that was all.
                    client::Step::Ready(_) => drop(client.login("bob", password())),
                    client::Step::Open(_) => opened = client.mechanism(),
                    _ => {}
                }
            }
        }
        if up.is_empty() && down.is_empty() {
            break;
        }
    }

    if let Some(mechanism) = opened {
        assert!(matches!(mechanism, Mechanism::Scram { .. }), "a password was told");
        assert!(!was_changed, "logged in with {} through {changes:?}", mechanism.name());
    }
    // If nobody interferes and both ends have a common mechanism, the login succeeds.
    let (is_over, server_is_over) = (client.is_over(), server.is_over());
    assert!(opened.is_none() || server.is_open() && !is_over && !server_is_over);
    ends(&mut client, &mut server);
}

/// Checks that a machine sends nothing after its end, whatever arrives.
fn ends(client: &mut client::Machine, server: &mut c2s::Machine) {
    client.close(None);
    server.close(None);
    client.take_output();
    server.output().take();
    client.push(b"<message/>");
    server.push(b"<message/>");
    assert!(client.poll().is_none() && server.poll().is_none());
    assert!(client.take_output().is_empty() && server.output().take().is_empty());
}

/// The bytes in pieces of any size.
fn pieces<'a>(bytes: &'a [u8], choices: &mut Choices<'_>) -> impl Iterator<Item = &'a [u8]> {
    let size = match choices.below(4) {
        0 => 1 + choices.below(7),
        1 => 1 + choices.below(200),
        _ => usize::MAX,
    };
    bytes.chunks(size)
}

fn serve(server: &mut c2s::Machine, step: Step) {
    match step {
        Step::Lookup { mechanism: Mechanism::Scram { hash, .. }, .. } => {
            let verifier = VERIFIERS.iter().find(|verifier| verifier.hash == hash);
            server.lookup(LookupAnswer::Verifier(verifier.expect("of every hash").clone()));
        }
        Step::AuthSucceeded => server.succeeded(),
        Step::Complete => server.completed(b""),
        Step::AuthFailed { .. } | Step::FormerPassword { .. } => {
            server.failed(&Refusal::new(Condition::NotAuthorized))
        }
        Step::Bind { .. } => match FullJid::parse("bob@a.example/x") {
            Ok(jid) => server.bound(&jid),
            Err(_) => server.bind_refused(&StanzaError::new(whoelse_xmpp::Condition::Conflict)),
        },
        Step::Closed => server.close(None),
        Step::Open | Step::Error(_) => {}
        other => panic!("the client said what it should not: {other:?}"),
    }
}

fn password() -> Password {
    Password::new("pencil").expect("a password")
}
