//! RFC 7622: tests of addresses, valid, invalid and borderline.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use super::*;

#[test]
fn the_three_parts_are_found() {
    let jid = Jid::parse("bob@example.org/desk/top@home").unwrap();

    assert_eq!(jid.local(), Some("bob"));
    assert_eq!(jid.domain(), "example.org");
    assert_eq!(jid.resource(), Some("desk/top@home"));
    assert_eq!(jid.bare(), "bob@example.org");
    assert_eq!(jid.to_bare(), BareJid::parse("bob@example.org").unwrap());
    assert_eq!(jid.to_full().unwrap().resource(), "desk/top@home");
}

#[test]
fn a_domain_alone_is_an_address() {
    let jid = Jid::parse("example.org").unwrap();

    assert_eq!((jid.local(), jid.domain(), jid.resource()), (None, "example.org", None));
    assert!(jid.is_bare());
    assert_eq!(Jid::parse("example.org/x").unwrap().resource(), Some("x"));
}

#[test]
fn the_examples_of_rfc_7622_are_addresses() {
    for text in [
        "juliet@example.com",
        "juliet@example.com/foo",
        "juliet@example.com/foo bar",
        "juliet@example.com/foo@bar",
        "foo\\20bar@example.com",
        "fussball@example.com",
        "fußball@example.com",
        "π@example.com",
        "king@example.com/♚",
        "example.com",
        "example.com/foobar",
        "a.example.com/b@example.net",
    ] {
        assert_eq!(Jid::parse(text).unwrap().as_str(), text);
    }
    assert_eq!(Jid::parse("Σ@example.com/foo").unwrap(), "σ@example.com/foo");
}

#[test]
fn the_counterexamples_of_rfc_7622_are_none() {
    for (text, error) in [
        ("\"juliet\"@example.com", JidError::Localpart),
        ("foo bar@example.com", JidError::Localpart),
        ("@example.com/", JidError::Localpart),
        ("henry\u{2163}@example.com", JidError::Localpart),
        ("♚@example.com", JidError::Localpart),
        ("juliet@", JidError::Empty),
        ("/foobar", JidError::Empty),
    ] {
        assert_eq!(Jid::parse(text), Err(error), "{text}");
    }
}

#[test]
fn case_folds_before_the_slash_and_stays_behind_it() {
    assert_eq!(Jid::parse("Bob@EXAMPLE.org/Desk").unwrap(), "bob@example.org/Desk");
    assert_eq!(Jid::parse("Ärger@x").unwrap(), "ärger@x");
}

#[test]
fn a_domain_has_one_spelling() {
    for (text, normal) in [
        ("example.org.", "example.org"),
        ("EXAMPLE.org", "example.org"),
        ("bücher.example", "bücher.example"),
        ("xn--bcher-kva.example", "bücher.example"),
        ("XN--BCHER-KVA.example.", "bücher.example"),
        ("b\u{fc}cher。example", "bücher.example"),
        ("weiß.example", "weiß.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"),
        ("my_host", "my_host"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(Jid::parse(text).unwrap(), normal, "{text}");
        assert_eq!(Jid::parse(normal).unwrap(), normal);
    }
}

#[test]
fn what_cannot_be_a_domain_is_refused() {
    let long = format!("{}.org", "a".repeat(64));
    let longer = ["a".repeat(60).as_str(); 5].join(".");
    for domain in [
        "a@b",
        "-a",
        "a-",
        "a.-b",
        "a..b",
        ".",
        ".a",
        "a..",
        "a b",
        "a&b",
        "a'b",
        "a\"b",
        "a<b",
        "a:5222",
        "[::1",
        "::1]",
        "[1.2.3.4]",
        "[fe80::1%eth0]",
        "a\u{2f}b",
        "a／b",
        "a＠b",
        "xn--zzzzzzz99999",
        "\u{200d}",
        "a\0",
        "a\u{1}b",
        "😀\u{fe0f}\u{200d}",
        &long,
        &longer,
    ] {
        let with_local = format!("x@{domain}");
        if domain.contains('/') {
            continue;
        }
        assert!(Jid::parse(&with_local).is_err(), "{domain}");
    }
}

fn localpart(text: &str) -> Result<String, JidError> {
    let jid = BareJid::new(Some(text), "a.example")?;
    Ok(jid.local().unwrap().to_owned())
}

#[test]
fn what_cannot_be_a_localpart_is_refused() {
    for local in [
        "",
        "a b",
        "a\"b",
        "a&b",
        "a'b",
        "a:b",
        "a<b",
        "a>b",
        "a\tb",
        "a\0b",
        "a\u{7f}b",
        "😀",
        "a\u{200d}b",
        "\u{ad}",
        "a\u{202e}b",
    ] {
        assert_eq!(localpart(local), Err(JidError::Localpart), "{local:?}");
    }
    assert_eq!(localpart("a/b"), Err(JidError::Localpart));
    assert_eq!(localpart("a@b"), Err(JidError::Localpart));
}

#[test]
fn a_wide_letter_cannot_smuggle_a_forbidden_one() {
    // UsernameCaseMapped maps U+FF20 to an at-sign before anything else.
    for local in ["a＠b", "a／b", "a：b", "a＜b", "＆"] {
        assert_eq!(localpart(local), Err(JidError::Localpart), "{local}");
    }
    assert_eq!(localpart("ｂｏｂ").unwrap(), "bob");
}

#[test]
fn a_new_account_is_named_alike_by_old_and_new_rules() {
    let new = |name| BareJid::of_new_account(name, "x");
    assert_eq!(new("Bob").unwrap(), "bob@x");
    assert_eq!(new("ärger").unwrap(), "ärger@x");
    // The older rule turns it into "fussball"; the newer one leaves it unchanged.
    assert_eq!(new("fußball"), Err(JidError::Localpart));
    assert!(localpart("fußball").is_ok());
    assert_eq!(new("a b"), Err(JidError::Localpart));
}

#[test]
fn a_resource_may_be_almost_anything() {
    let bob = BareJid::parse("bob@x").unwrap();
    for resource in ["Desk", "a b", "😀", "🤖", "🫠", "ß", "Å", "日本", "@", "/", "&<>'\""]
    {
        let full = bob.with_resource(resource).unwrap();
        assert_eq!(full.resource(), resource);
        assert_eq!(FullJid::parse(full.as_str()).unwrap(), full);
    }
}

#[test]
fn a_resource_has_no_control_characters() {
    let bob = BareJid::parse("bob@x").unwrap();
    for resource in ["", "a\0", "a\nb", "\t", "\u{7f}", "\u{9b}31m", "\u{202e}", "\u{feff}"] {
        assert_eq!(bob.with_resource(resource), Err(JidError::Resource), "{resource:?}");
    }
    assert_eq!(Jid::parse("bob@x/"), Err(JidError::Resource));
}

#[test]
fn a_part_has_at_most_1023_bytes() {
    let longest = "a".repeat(1023);
    let text = format!("{longest}@example.org/{longest}");
    let jid = Jid::parse(&text).unwrap();
    assert_eq!((jid.local(), jid.resource()), (Some(&*longest), Some(&*longest)));
    assert_eq!(jid.domain(), "example.org");

    let wide = "é".repeat(512);
    assert_eq!(Jid::parse(&format!("a{longest}@x")), Err(JidError::TooLong));
    assert_eq!(Jid::parse(&format!("a@x/b{longest}")), Err(JidError::TooLong));
    assert_eq!(Jid::parse(&format!("a@x/{wide}")), Err(JidError::TooLong));
    assert_eq!(Jid::parse(&format!("{wide}@x")), Err(JidError::TooLong));
    assert!(Jid::parse(&format!("a@{longest}")).is_err());
}

#[test]
fn a_map_of_addresses_can_be_asked_with_text() {
    let mut map = HashMap::new();
    map.insert(BareJid::parse("Bob@x").unwrap(), 1);

    assert_eq!(map.get("bob@x"), Some(&1));
    assert_eq!(map.get("bob@y"), None);
}

#[test]
fn bare_and_full_refuse_each_other() {
    assert_eq!(BareJid::parse("a@x/y"), Err(JidError::Resource));
    assert_eq!(FullJid::parse("a@x"), Err(JidError::Resource));
    assert_eq!(BareJid::new(Some("A"), "X.").unwrap(), "a@x");
    assert_eq!(BareJid::new(None, ""), Err(JidError::Empty));
    assert_eq!(BareJid::new(Some(""), "x"), Err(JidError::Localpart));
}

#[test]
fn addresses_pass_to_xmpp_parsers_and_back() {
    let jid = Jid::parse("bob@x/desk").unwrap();
    assert_eq!(Jid::from_parsers(&jid.to_parsers().unwrap()).unwrap(), jid);
    // This is the reason for a type of our own.
    assert_eq!(Jid::parse("bob@x/😀").unwrap().to_parsers(), Err(JidError::Resource));
}
