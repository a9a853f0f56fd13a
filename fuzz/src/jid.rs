//! RFC 7622, addresses: the fast path against the profiles, normalising twice against once, and our
//! reading of ASCII against the `jid` crate's.

use whoelse_xmpp::{BareJid, FullJid, Jid};

use crate::choices::Choices;

const PARTS: &[&str] = &[
    "a",
    "bob",
    "Bob",
    "example.org",
    "EXAMPLE.ORG",
    "@",
    "/",
    ".",
    "-",
    "_",
    "a.b",
    "xn--",
    "xn--bcher-kva",
    "[::1]",
    "127.0.0.1",
    " ",
    "\"",
    "&",
    "'",
    ":",
    "<",
    ">",
    "\\20",
    "!",
    "~",
    "\u{7f}",
    "\0",
    "\t",
    "\u{80}",
    "ß",
    "é",
    "e\u{301}",
    "Å",
    "\u{212b}",
    "ｂ",
    "＠",
    "／",
    "。",
    "σ",
    "ς",
    "Σ",
    "İ",
    "ı",
    "א",
    "א1",
    "1א",
    "\u{200d}",
    "\u{200c}",
    "\u{ad}",
    "\u{202e}",
    "\u{fe0f}",
    "😀",
    "🤖",
    "🫠",
    "日本",
    "ﬁ",
    "Ⅳ",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{e000}",
    "\u{fffd}",
    "\u{feff}",
    "ab--c",
    "a-",
    "-a",
    "ǅ",
    "\u{345}",
    "ᾳ",
    "क्\u{200d}",
];

/// Reads an address described by `data`.
pub fn address(data: &[u8]) {
    let mut choices = Choices::new(data);
    let text = if choices.once_in(4) {
        String::from_utf8_lossy(choices.rest()).into_owned()
    } else {
        let mut text = String::new();
        while !choices.is_empty() && text.len() < 200 {
            text.push_str(choices.pick(PARTS));
        }
        if choices.once_in(2) { text } else { format!("bob@{text}/x") }
    };
    check(&text);
    let long = "a".repeat(1015 + usize::from(data.first().copied().unwrap_or(0) % 16));
    check(&format!("{long}@x"));
    check(&format!("x/{long}{text}"));
}

fn check(text: &str) {
    let parsed = Jid::parse(text);
    let slow = Jid::parse_slowly(text);
    assert_eq!(parsed, slow, "the fast path is the slow one: {text:?}");
    let agreed = text.is_ascii().then(|| jid::Jid::new(text));

    let Ok(jid) = parsed else {
        if let Some(Ok(other)) = agreed {
            // It looks up less of what a domain may be.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            let domain = other.domain().as_str();
            let puny = domain.split('.').any(|label| label.starts_with("xn--"));
            assert!(puny || !domain.chars().all(plain), "the jid crate accepts {text:?}");
        }
        return;
    };
    assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid), "normalising twice is once: {text:?}");
    for part in [jid.local().unwrap_or("x"), jid.domain(), jid.resource().unwrap_or("x")] {
        assert!((1..=1023).contains(&part.len()), "{text:?}");
        assert!(!part.chars().any(char::is_control), "{text:?}");
    }
    let together = [
        jid.local().map(|local| format!("{local}@")).unwrap_or_default(),
        jid.domain().to_owned(),
        jid.resource().map(|resource| format!("/{resource}")).unwrap_or_default(),
    ];
    assert_eq!(together.concat(), jid.as_str());

    let bare = jid.to_bare();
    assert_eq!(BareJid::parse(jid.bare()).as_ref(), Ok(&bare));
    assert_eq!(BareJid::new(jid.local(), jid.domain()).as_ref(), Ok(&bare));
    if let Some(resource) = jid.resource() {
        assert_eq!(bare.with_resource(resource).ok(), FullJid::parse(text).ok());
    }
    if let Some(local) = jid.local()
        && let Ok(new) = BareJid::of_new_account(local, jid.domain())
    {
        assert_eq!(new, bare);
    }
    if let Some(other) = agreed {
        let puny = |label: &str| label.get(2..4) == Some("--");
        match other {
            Ok(other) if jid.domain().is_ascii() && !jid.domain().starts_with('[') => {
                // RFC 7622, 3.2: a final dot of the domain goes. It keeps some.
                let (bare, resource) = (jid.bare(), jid.resource());
                let resource = resource.map(|resource| format!("/{resource}")).unwrap_or_default();
                let with_dot = format!("{bare}.{resource}");
                let is_same = [jid.as_str(), with_dot.as_str()].contains(&other.as_str());
                assert!(is_same, "{text:?}: {other}, and not {jid}");
            }
            Ok(_) => {}
            Err(error) => {
                assert!(
                    jid.domain().split('.').any(puny),
                    "the jid crate refuses {text:?}: {error}"
                );
            }
        }
    }
}
