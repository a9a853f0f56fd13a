//! Streams described by decisions: mostly valid, some slightly broken, and often exactly at a limit
//! or one beside it.

use whoelse_xmpp::{Limits, ns};

use crate::choices::Choices;

/// The usual beginning of a stream with this content namespace.
pub fn plain_header(content: &str) -> String {
    format!(
        "<stream:stream to='x' version='1.0' xmlns='{content}' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

const DECLARATIONS: &[&str] = &[
    "<?xml version='1.0'?>",
    "<?xml version=\"1.0\" encoding='utf-8'?>\n",
    "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>",
    "<?xml version = '1.0'  encoding\t=\n\"uTf-8\"?>",
    "\n ",
    " <?xml version='1.0'?>",
    "<?xml version='1.1'?>",
    "<?xml encoding='UTF-8'?>",
    "<?xml version='1.0' encoding='x'?>",
    "<?xml version='1.0'standalone='yes'?>",
    "<?xml version='1.0' standalone='YES'?>",
    "<?xml version='1.0' encoding='UTF-8' encoding='UTF-8'?>",
    "<?xmlversion='1.0'?>",
    "<?xml version='1.0'? >",
    "<?xml version='1.0&#32;'?>",
    "<?xml version='1.0' a='?>'?>",
    "<?xml version='1>0'?>",
    "<?x?>",
    "<?xml",
    "\u{feff}",
];
const STANZAS: &[&str] = &["message", "presence", "iq"];
const NAMES: &[&str] = &[
    "body",
    "x",
    "a",
    "b-c",
    "d.e",
    "_f",
    "n0",
    "message",
    "stream",
    "long-name-that-does-not-fit-inline-anywhere",
];
const BAD_NAMES: &[&str] = &[
    "1a",
    "-a",
    ".a",
    "é",
    "a\u{300}",
    "",
    "a:b:c",
    ":a",
    "a:",
    "a\0",
    "a<",
    "xmlns",
    "Ⅳ",
    "xml:a",
    "xmlns:a",
    "undeclared:a",
    "stream:a",
    "s:a",
    "h:a",
];
const NAMESPACES: &[&str] = &[
    "jabber:client",
    "urn:x",
    "urn:xmpp:receipts",
    "urn:x",
    "jabber:server",
    "urn:y",
    "é",
    "urn:invented-namespace-that-is-long-enough-to-be-allocated",
    "jabber:client ",
    "http://etherx.jabber.org/streams",
];
const BAD_NAMESPACES: &[&str] = &[
    "",
    "http://www.w3.org/XML/1998/namespace",
    "http://www.w3.org/2000/xmlns/",
    "urn:x&amp;y",
    "urn:\tx",
    "urn:x&#58;y",
    "\u{ffff}",
];
const ATTRIBUTES: &[&str] =
    &["to", "from", "id", "type", "xml:lang", "a", "b", "mechanism", "lang", "xmln"];
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
    "ｆ",
    "0123456789abcdef0123456789abcdef",
    "",
    ">",
];
const BAD_TEXTS: &[&str] = &[
    "&",
    "&lol;",
    "&#0;",
    "&#xD800;",
    "&#xFFFF;",
    "&#00000000064;",
    "&#00000064;",
    "&#0000064;",
    "\0",
    "\u{1}",
    "\u{b}",
    "\u{1f}",
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
    "&#x110000;",
    "&averyveryverylongname;",
    "</x>",
    "&#X40;",
    "'",
    "\"",
];
const SECTIONS: &[&str] = &["", "<a>&lol;", "]", "]]", "]]]", "\r\n\r", "é", "]>", "\n", "'\">"];
const BAD_SECTIONS: &[&str] = &["\u{1}", "\u{fffe}", "]]>", "\0"];
const SPACES: &[&str] = &[" ", " ", " ", " ", "\n", "\t", "  ", " \n\t"];

/// Small limits, so that small inputs reach them; half of the time large ones.
pub fn limits(choices: &mut Choices<'_>) -> Limits {
    let large = Limits::AFTER_LOGIN;
    Limits {
        bytes: choices.pick(&[400, 250, 700, large.bytes, large.bytes, large.bytes]),
        elements: choices.pick(&[8, 3, 1, large.elements, large.elements, large.elements]),
        depth: choices.pick(&[5, 2, 1, large.depth, large.depth, large.depth]),
    }
}

/// A stream with this content namespace.
pub fn stream(choices: &mut Choices<'_>, content: &str, limits: Limits) -> Vec<u8> {
    let odds = choices.pick(&[0, 0, 150, 30]);
    let damaged = odds == 0 && choices.once_in(2);
    let mut writer = Writer { choices, out: Vec::new(), odds, scope: Vec::new() };
    writer.stream(content, limits);
    let mut out = writer.out;
    if damaged {
        for _ in 0..=choices.below(2) {
            damage(choices, &mut out);
        }
    }
    out
}

struct Writer<'c, 'b> {
    choices: &'c mut Choices<'b>,
    out: Vec<u8>,
    /// How seldom something is wrong; never if 0.
    odds: usize,
    /// The prefixes declared here.
    scope: Vec<&'static str>,
}

impl Writer<'_, '_> {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn put_one(&mut self, of: &[&str]) {
        let text = self.choices.pick(of);
        self.put(text);
    }

    /// Whether something is to be wrong here.
    fn is_bad(&mut self) -> bool {
        self.odds > 0 && self.choices.once_in(self.odds)
    }

    /// One of the good ones, or of the bad.
    fn mostly(&mut self, good: &[&'static str], bad: &[&'static str]) -> &'static str {
        if self.is_bad() { self.choices.pick(bad) } else { self.choices.pick(good) }
    }

    fn stream(&mut self, content: &str, limits: Limits) {
        let name = self.header(content);
        for _ in 0..=self.choices.below(4) {
            match self.choices.below(12) {
                0 => self.put_one(SPACES),
                1 => self.at_limit(limits),
                _ if self.is_bad() => self.put_one(BAD_TEXTS),
                _ => self.element(1),
            }
        }
        if self.choices.once_in(4) {
            self.put(&format!("</{name}>"));
        }
    }

    /// Writes a header; the name of the stream element.
    fn header(&mut self, content: &str) -> String {
        if !self.choices.once_in(4) {
            self.put(&plain_header(content));
            return "stream:stream".to_owned();
        }
        if self.choices.once_in(2) {
            self.put_one(DECLARATIONS);
        }
        let prefix = self.choices.pick(&["stream", "stream", "s", "h", ""]);
        let name = if prefix.is_empty() { "stream".into() } else { format!("{prefix}:stream") };
        self.put(&format!("<{name}"));
        if !prefix.is_empty() && !self.is_bad() {
            self.put(&format!(" xmlns:{prefix}='http://etherx.jabber.org/streams'"));
        }
        if !self.is_bad() {
            self.put(&format!(" xmlns='{content}'"));
        }
        if self.choices.once_in(2) && prefix != "h" {
            self.put(" xmlns:h='urn:of:the:header'");
        }
        self.attributes(&["xmlns", "xmlns:stream", "xmlns:s", "xmlns:h"]);
        self.put(">");
        // What the header declares is good for no stanza.
        self.scope.clear();
        name
    }

    fn element(&mut self, depth: usize) {
        let outside = self.scope.len();
        let declares = self.choices.once_in(4).then(|| self.choices.pick(&["p", "q", "stream"]));
        self.scope.extend(declares);
        let prefix = if declares.is_some() || self.choices.once_in(6) {
            self.scope.last().copied()
        } else {
            None
        };
        let local = match self.choices.below(3) {
            0 if depth > 1 => self.mostly(STANZAS, BAD_NAMES),
            _ if depth > 1 => self.mostly(NAMES, BAD_NAMES),
            0 => self.mostly(NAMES, BAD_NAMES),
            _ => self.mostly(STANZAS, BAD_NAMES),
        };
        let name = prefix.map_or(local.to_owned(), |prefix| format!("{prefix}:{local}"));
        self.put(&format!("<{name}"));
        match declares {
            Some(prefix) => {
                self.put(&format!(" xmlns:{prefix}='urn:declared'"));
                self.attributes(&[&format!("xmlns:{prefix}")]);
            }
            None => self.attributes(&[]),
        }
        if self.choices.once_in(4) {
            self.put("/>");
        } else {
            self.put(">");
            self.content(depth);
            if !self.is_bad() {
                let name = if self.is_bad() { "other" } else { &name };
                self.put(&format!("</{name}"));
                if self.choices.once_in(10) {
                    self.put_one(SPACES);
                }
                self.put(">");
            }
        }
        self.scope.truncate(outside);
    }

    fn content(&mut self, depth: usize) {
        for _ in 0..self.choices.below(5) {
            match self.choices.below(6) {
                0 | 1 => {
                    let text = self.mostly(TEXTS, BAD_TEXTS);
                    self.put(text);
                }
                2 if self.choices.once_in(3) => {
                    let text = self.mostly(SECTIONS, BAD_SECTIONS);
                    self.put(&format!("<![CDATA[{text}]]>"));
                }
                _ if depth < 8 => self.element(depth + 1),
                _ => {}
            }
        }
    }

    /// Attributes none of which is called as one in `used`.
    fn attributes(&mut self, used: &[&str]) {
        let mut used: Vec<String> = used.iter().map(|name| (*name).to_owned()).collect();
        for _ in 0..self.choices.below(5) {
            let (name, value) = self.attribute();
            if used.contains(&name) && !self.is_bad() {
                continue;
            }
            self.put_one(SPACES);
            self.put(&name);
            used.push(name);
            for text in ["=", ""] {
                if self.choices.once_in(10) {
                    self.put_one(SPACES);
                }
                self.put(text);
            }
            let quote = self.choices.pick(&["'", "\""]);
            self.put(quote);
            self.put(value);
            if !self.is_bad() {
                self.put(quote);
            }
        }
        if self.choices.once_in(8) {
            self.put_one(SPACES);
        }
    }

    fn attribute(&mut self) -> (String, &'static str) {
        match self.choices.below(8) {
            0 => ("xmlns".to_owned(), self.mostly(NAMESPACES, BAD_NAMESPACES)),
            1 => {
                let prefix = self.mostly(&["p2", "q2", "h2"], &["xml", "xmlns", "", "1", "é"]);
                self.scope.push(prefix);
                (format!("xmlns:{prefix}"), self.mostly(NAMESPACES, BAD_NAMESPACES))
            }
            2 if !self.scope.is_empty() => {
                let prefix = self.choices.pick(&self.scope);
                let prefix = if self.is_bad() { "undeclared" } else { prefix };
                let name = self.choices.pick(&["a", "to", "from", "lang"]);
                (format!("{prefix}:{name}"), self.mostly(TEXTS, BAD_TEXTS))
            }
            _ => {
                let name = self.mostly(ATTRIBUTES, BAD_NAMES).to_owned();
                (name, self.mostly(TEXTS, BAD_TEXTS))
            }
        }
    }

    /// An element at a limit, one below it or one above it.
    fn at_limit(&mut self, limits: Limits) {
        let beside = self.choices.below(3);
        let beside = |limit: usize| (limit + beside).saturating_sub(1);
        let text = match self.choices.below(5) {
            0 if limits.bytes <= 1000 => {
                let (before, after) = self.choices.pick(&[
                    ("<a>", "</a>"),
                    ("<a b='", "'/>"),
                    ("<", "/>"),
                    ("<a><![CDATA[", "]]></a>"),
                    ("<message><body>", "</body></message>"),
                    ("<a x", "=''/>"),
                    ("<p:", " xmlns:p='u'/>"),
                ]);
                let inside = beside(limits.bytes) - before.len() - after.len();
                format!("{before}{}{after}", "x".repeat(inside))
            }
            1 if limits.elements <= 100 => {
                format!("<a>{}</a>", "<b/>".repeat(beside(limits.elements).saturating_sub(1)))
            }
            2 => {
                let depth = beside(limits.depth);
                format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))
            }
            3 => {
                let list = |count: usize, prefix: &str| -> String {
                    (0..count).map(|i| format!(" {prefix}a{i}=''")).collect()
                };
                if self.choices.once_in(2) {
                    format!("<a{}/>", list(beside(64), ""))
                } else {
                    // At 64, and at 24 of them, where a scanner once fell over.
                    let count = beside(self.choices.pick(&[64, 24]));
                    format!("<a xmlns:p='u'{}/>", list(count - 1, "p:"))
                }
            }
            _ => {
                let list: String = (1..beside(64)).map(|i| format!(" xmlns:p{i}='u'")).collect();
                format!("<a{list}><b xmlns='v'/><p1:c/></a>")
            }
        };
        self.put(&text);
    }
}

/// Changes a few bytes somewhere.
fn damage(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    // Mostly after the header.
    let from = if choices.once_in(8) { 0 } else { plain_header(ns::CLIENT).len().min(out.len()) };
    let at = from + choices.below((out.len() - from).clamp(1, 65_536));
    if at >= out.len() {
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
