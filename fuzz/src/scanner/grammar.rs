//! Streams described by decisions: mostly valid, now and then slightly broken, and often exactly
//! at a limit or one beside it.

use whoelse_xmpp::Limits;

use crate::choices::Choices;

/// The usual beginning of a stream.
pub const PLAIN_HEADER: &str = "<stream:stream to='x' version='1.0' xmlns='jabber:client' \
                                xmlns:stream='http://etherx.jabber.org/streams'>";

const NAMES: &[&str] = &[
    "message",
    "presence",
    "iq",
    "body",
    "x",
    "a",
    "message",
    "b-c",
    "d.e",
    "_f",
    "message",
    "n0",
    "long-name-that-does-not-fit-inline-anywhere",
    "stream",
];
const BAD_NAMES: &[&str] =
    &["1a", "-a", ".a", "é", "a\u{300}", "", "a:b:c", ":a", "a:", "a\0", "a<", "xmlns", "Ⅳ"];
const PREFIXES: &[&str] = &["p", "q", "p2", "stream", "s", "h", "xml", "xmlns", "undeclared"];
const NAMESPACES: &[&str] = &[
    "jabber:client",
    "urn:x",
    "urn:xmpp:receipts",
    "",
    "urn:x",
    "jabber:server",
    "urn:y",
    "urn:invented-namespace-that-is-long-enough-to-be-allocated",
    "http://etherx.jabber.org/streams",
    "http://www.w3.org/XML/1998/namespace",
    "http://www.w3.org/2000/xmlns/",
    "urn:x&amp;y",
    "urn:\tx",
    "urn:x&#58;y",
    "é",
    "jabber:client ",
];
const ATTRIBUTES: &[&str] =
    &["to", "from", "id", "type", "xml:lang", "a", "b", "mechanism", "lang"];
const TEXTS: &[&str] = &[
    "hello",
    "a b\tc\n",
    "alice@example.org/desk",
    "&lt;&amp;&gt;",
    "&apos;&quot;",
    "&#64;",
    "&#x1F600;",
    "é😀",
    "\u{fffd}",
    "\u{7f}\u{85}",
    "]]",
    "] ]>",
    "=/",
    "&#9;&#10;&#13;",
    "0123456789abcdef0123456789abcdef",
    "",
];
const BAD_TEXTS: &[&str] = &[
    "&",
    "&lol;",
    "&#0;",
    "&#xD800;",
    "&#xFFFF;",
    "&#00000000064;",
    "\0",
    "\u{1}",
    "\u{b}",
    "\u{fffe}",
    "\u{ffff}",
    "]]>",
    "<",
    "\r",
    "\r\n",
    "<!-- x -->",
    "<?pi x?>",
    "<!DOCTYPE x>",
    "<![CDATA[",
    "&lt",
    "&#x;",
    "&;",
    "&averyveryverylongname;",
    "</x>",
    "&#X40;",
];
const SPACES: &[&str] = &[" ", " ", " ", " ", "\n", "\t", "  ", " \n\t"];

/// Small limits, so that small inputs reach them.
pub fn limits(choices: &mut Choices<'_>) -> Limits {
    let bytes = [400, 250, 700, 256 << 10][choices.below(4)];
    let elements = [8, 3, 1, 16 << 10][choices.below(4)];
    let depth = [5, 2, 1, 32][choices.below(4)];
    Limits { bytes, elements, depth }
}

/// A stream.
pub fn stream(choices: &mut Choices<'_>, limits: Limits) -> Vec<u8> {
    let mut out = Vec::new();
    let name = header(choices, &mut out);
    for _ in 0..choices.below(5) {
        match choices.below(10) {
            0 => out.extend_from_slice(choices.pick(SPACES).as_bytes()),
            1 => at_limit(choices, limits, &mut out),
            2 if choices.once_in(8) => out.extend_from_slice(choices.pick(BAD_TEXTS).as_bytes()),
            _ => element(choices, 0, &mut out),
        }
    }
    if choices.once_in(4) {
        out.extend_from_slice(format!("</{name}>").as_bytes());
    }
    if choices.once_in(3) {
        for _ in 0..=choices.below(3) {
            damage(choices, &mut out);
        }
    }
    out
}

/// Writes a header; the name of the stream element.
fn header(choices: &mut Choices<'_>, out: &mut Vec<u8>) -> String {
    if !choices.once_in(4) {
        out.extend_from_slice(PLAIN_HEADER.as_bytes());
        return "stream:stream".to_owned();
    }
    let declaration = choices.pick(&[
        "",
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\" encoding='utf-8'?>\n",
        "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>",
        "\n ",
        " <?xml version='1.0'?>",
        "<?xml version='1.1'?>",
        "<?xml encoding='UTF-8'?>",
        "<?xml version='1.0' encoding='x'?>",
        "<?xml version='1.0'standalone='yes'?>",
        "<?xml version = '1.0'  encoding\t=\n\"uTf-8\"?>",
        "<?xml version='1.0' standalone='YES'?>",
        "<?xmlversion='1.0'?>",
        "<?xml version='1.0'? >",
        "<?xml version='1.0' encoding='UTF-8' encoding='UTF-8'?>",
        "\u{feff}",
        "<?x?>",
        "<?xml",
        "<?xml version='1.0&#32;'?>",
        "<?xml version='1.0' a='?>'?>",
    ]);
    out.extend_from_slice(declaration.as_bytes());
    let prefix = choices.pick(&["stream", "stream", "s", "h", ""]);
    let name = if prefix.is_empty() { "stream".to_owned() } else { format!("{prefix}:stream") };
    out.extend_from_slice(format!("<{name}").as_bytes());
    if !prefix.is_empty() && !choices.once_in(10) {
        out.extend_from_slice(
            format!(" xmlns:{prefix}='http://etherx.jabber.org/streams'").as_bytes(),
        );
    }
    if !choices.once_in(10) {
        out.extend_from_slice(b" xmlns='jabber:client'");
    }
    if choices.once_in(2) {
        out.extend_from_slice(b" xmlns:h='urn:of:the:header'");
    }
    attributes(choices, out);
    out.push(b'>');
    name
}

fn element(choices: &mut Choices<'_>, depth: usize, out: &mut Vec<u8>) {
    let mut name = String::new();
    let declared = choices.once_in(4);
    if declared || choices.once_in(12) {
        name.push_str(if declared { "p" } else { choices.pick(PREFIXES) });
        name.push(':');
    }
    name.push_str(if choices.once_in(40) { choices.pick(BAD_NAMES) } else { choices.pick(NAMES) });
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    if declared {
        out.extend_from_slice(b" xmlns:p='urn:declared'");
    }
    attributes(choices, out);
    if choices.once_in(4) {
        out.extend_from_slice(b"/>");
        return;
    }
    out.push(b'>');
    for _ in 0..choices.below(4) {
        match choices.below(5) {
            0 => out.extend_from_slice(choices.pick(TEXTS).as_bytes()),
            1 if choices.once_in(4) => cdata(choices, out),
            2 if choices.once_in(16) => out.extend_from_slice(choices.pick(BAD_TEXTS).as_bytes()),
            _ if depth < 8 => element(choices, depth + 1, out),
            _ => {}
        }
    }
    if choices.once_in(60) {
        return;
    }
    out.extend_from_slice(b"</");
    out.extend_from_slice(if choices.once_in(60) { b"other" } else { name.as_bytes() });
    if choices.once_in(10) {
        out.extend_from_slice(choices.pick(SPACES).as_bytes());
    }
    out.push(b'>');
}

fn cdata(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let text =
        choices.pick(&["", "<a>&lol;", "]", "]]", "]]]", "\u{1}", "\r\n\r", "é", "]>", "\u{fffe}"]);
    out.extend_from_slice(format!("<![CDATA[{text}]]>").as_bytes());
}

fn attributes(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    for _ in 0..choices.below(5) {
        out.extend_from_slice(choices.pick(SPACES).as_bytes());
        let value = match choices.below(8) {
            0 => {
                out.extend_from_slice(b"xmlns");
                choices.pick(NAMESPACES)
            }
            1 => {
                let prefix = if choices.once_in(8) {
                    choices.pick(PREFIXES)
                } else {
                    choices.pick(&["p", "q"])
                };
                out.extend_from_slice(format!("xmlns:{prefix}").as_bytes());
                choices.pick(NAMESPACES)
            }
            2 if choices.once_in(2) => {
                let prefix = choices.pick(&["p", "q", "h", "undeclared", "xml"]);
                let name = choices.pick(&["a", "to", "lang"]);
                out.extend_from_slice(format!("{prefix}:{name}").as_bytes());
                choices.pick(TEXTS)
            }
            3 if choices.once_in(20) => {
                out.extend_from_slice(choices.pick(BAD_NAMES).as_bytes());
                choices.pick(TEXTS)
            }
            _ => {
                out.extend_from_slice(choices.pick(ATTRIBUTES).as_bytes());
                if choices.once_in(20) { choices.pick(BAD_TEXTS) } else { choices.pick(TEXTS) }
            }
        };
        if choices.once_in(10) {
            out.extend_from_slice(choices.pick(SPACES).as_bytes());
        }
        out.push(b'=');
        if choices.once_in(10) {
            out.extend_from_slice(choices.pick(SPACES).as_bytes());
        }
        let quote = choices.pick(b"'\"");
        out.push(quote);
        out.extend_from_slice(value.as_bytes());
        if choices.once_in(60) {
            continue;
        }
        out.push(quote);
    }
    if choices.once_in(8) {
        out.extend_from_slice(choices.pick(SPACES).as_bytes());
    }
}

/// An element at a limit, one below it or one above it.
fn at_limit(choices: &mut Choices<'_>, limits: Limits, out: &mut Vec<u8>) {
    let beside = |n: usize, choices: &mut Choices<'_>| (n + choices.below(3)).saturating_sub(1);
    let text = match choices.below(5) {
        0 if limits.bytes <= 1000 => {
            let length = beside(limits.bytes, choices);
            let (before, behind) = choices.pick(&[
                ("<a>", "</a>"),
                ("<a b='", "'/>"),
                ("<", "/>"),
                ("<a><![CDATA[", "]]></a>"),
                ("<message><body>", "</body></message>"),
                ("<a x", "=''/>"),
                ("<p:", " xmlns:p='u'/>"),
            ]);
            format!("{before}{}{behind}", "x".repeat(length - before.len() - behind.len()))
        }
        1 if limits.elements <= 100 => {
            let elements = beside(limits.elements, choices);
            format!("<a>{}</a>", "<b/>".repeat(elements.saturating_sub(1)))
        }
        2 => {
            let depth = beside(limits.depth, choices);
            format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))
        }
        3 => {
            // Attributes, with a prefix or without.
            let count = beside(64, choices);
            let prefix = choices.pick(&["", "p:"]);
            let declaration = if prefix.is_empty() { "" } else { " xmlns:p='u'" };
            let count = count - usize::from(!prefix.is_empty());
            let list: String = (0..count).map(|i| format!(" {prefix}a{i}=''")).collect();
            format!("<a{declaration}{list}/>")
        }
        _ => {
            // Declarations, all on one element or one inside.
            let count = beside(64, choices);
            let list: String = (1..count).map(|i| format!(" xmlns:p{i}='u'")).collect();
            format!("<a{list}><b xmlns='v'/><p1:c/></a>")
        }
    };
    out.extend_from_slice(text.as_bytes());
}

/// Changes a few bytes behind the beginning.
fn damage(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let at = choices.below(out.len().clamp(1, 65_536)).min(out.len().saturating_sub(1));
    if out.is_empty() {
        return;
    }
    match choices.below(6) {
        0 => out[at] = choices.byte(),
        1 => {
            out.remove(at);
        }
        2 => out.insert(at, choices.pick(b"<>/'\"=&;!?[]: \r\n\0\xff\xc3\xefxa")),
        3 => {
            let end = (at + choices.below(20)).min(out.len());
            out.drain(at..end);
        }
        4 => {
            let end = (at + choices.below(20)).min(out.len());
            let copy = out[at..end].to_vec();
            out.splice(at..at, copy);
        }
        _ => out.truncate(at),
    }
}
