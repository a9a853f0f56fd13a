//! SCRAM and PLAIN messages: whatever a peer sends, it is read or refused, and it proves nothing.

use whoelse_stream::plain::Plain;
use whoelse_stream::scram::client::{self, Binding};
use whoelse_stream::scram::downgrade::Offer;
use whoelse_stream::scram::message::{
    ClientFinal, ClientFirst, ServerFirst, escape, parse_server_final,
};
use whoelse_stream::scram::{Hash, Verifier, server};
use whoelse_stream::{ChannelBindings, Password};

use crate::choices::Choices;

const PIECES: &[&str] = &[
    "n,,",
    "y,,",
    "p=tls-exporter,,",
    "p=tls-unique,,",
    "n,a=bob,",
    "n=bob",
    "n=",
    "r=abc",
    "r=",
    "s=QSXCR+Q6sek8bf92",
    "i=4096",
    "i=1",
    "i=99999999999",
    "c=biws",
    "c=",
    "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    "p=",
    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    "e=other-error",
    "m=x",
    "x=1",
    ",",
    "=",
    "=2C",
    "=3D",
    "=2c",
    "\0",
    "é",
    "\u{200b}",
    "AAAA",
    "%",
    " ",
];

/// Messages described by `data`, and `data` itself, read as every message there is.
pub fn messages(data: &[u8]) {
    read(data);
    let mut choices = Choices::new(data);
    let mut message = String::new();
    while !choices.is_empty() && message.len() < 4096 {
        message.push_str(choices.pick(PIECES));
        if !choices.once_in(3) {
            message.push(',');
        }
    }
    let message = message.trim_end_matches(',').as_bytes();
    read(message);
    play_server(message);
    play_client(message);
}

fn read(message: &[u8]) {
    if let Ok(first) = ClientFirst::parse(message) {
        // Both ends sign these bytes, so nothing may be lost between the parts.
        assert_eq!([first.header.as_bytes(), first.bare.as_bytes()].concat(), message);
        let again = format!("n,,n={},r={}", escape(&first.username), first.nonce);
        let again = ClientFirst::parse(again.as_bytes()).expect("what was read can be written");
        assert_eq!((again.username, again.nonce), (first.username, first.nonce));
    }
    if let Ok(first) = ServerFirst::parse(message) {
        assert_eq!(ServerFirst::parse(first.write().as_bytes()), Ok(first));
    }
    if let Ok(last) = ClientFinal::parse(message) {
        assert!(message.starts_with(last.without_proof.as_bytes()));
    }
    let _ = parse_server_final(message);
    if let Ok(plain) = Plain::parse(message) {
        assert!(!plain.authcid.is_empty() && !plain.authcid.contains('\0'));
    }
}

/// The message as both of a client's: nobody gets in.
fn play_server(message: &[u8]) {
    let channel = ChannelBindings { exporter: Some([7; 32]), server_end_point: None };
    for plus in [false, true] {
        let Ok(first) = ClientFirst::parse(message) else { return };
        let Ok(started) = server::Started::new(first, plus, true, &channel) else { continue };
        let (challenged, _) =
            started.challenge(Verifier::fake(Hash::Sha1, b"x", "bob"), true, &offer());
        assert!(challenged.finish(message).is_err());
    }
}

/// The message as both of a server's: nobody is believed.
fn play_client(message: &[u8]) {
    let password = Password::new("pencil").expect("a password");
    let (started, first) =
        client::Started::new(Hash::Sha1, "bob", password, &Binding::None, offer()).expect("a name");
    let nonce = first.rsplit("r=").next().unwrap_or_default();
    // With the right nonce now and then, so that the rest is reached; deriving is slow.
    let text = String::from_utf8_lossy(message).replace("r=abc", &format!("r={nonce}+"));
    if let Ok((proved, _)) = started.respond(text.as_bytes()) {
        assert!(proved.verify(message).is_err());
    }
}

fn offer() -> Offer {
    Offer::new(["SCRAM-SHA-1"], Some(["tls-exporter"]))
}
