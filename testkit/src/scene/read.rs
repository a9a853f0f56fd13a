//! Parses the text of a scene into steps.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::login::{Goal, Login, Refused, address};
use super::words::Words;
use super::{Act, Cast, ClockSet, Expected, Scene, Server, Setting, Step, Verb, Way};
use crate::pattern;
use crate::tree::Tree;
use whoelse_core::Time;

/// A mistake in a scene file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line.
    pub line: usize,
    /// What is wrong there.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// Abbreviations of scenes; see `scenes/README.md`.
const SHORT: &[(&str, &str)] = &[
    ("{stanzas}", "urn:ietf:params:xml:ns:xmpp-stanzas"),
    ("{streams}", "urn:ietf:params:xml:ns:xmpp-streams"),
    ("{sasl}", "urn:ietf:params:xml:ns:xmpp-sasl"),
    ("{bind}", "urn:ietf:params:xml:ns:xmpp-bind"),
    ("{commands}", "http://jabber.org/protocol/commands"),
    ("{muc}", "http://jabber.org/protocol/muc"),
    ("{occupant}", "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{any}'/>"),
    ("{archived}", "<stanza-id xmlns='urn:xmpp:sid:0' id='{any}' by='{any}'/>"),
    ("{delay}", "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='{any}'/>"),
];
/// The placeholder for the stanza-id of a message in somebody's archive.
const STANZA_ID: &str = "{stanza-id of ";

/// A line at the left edge, with the indented ones below it.
struct Paragraph<'a> {
    line: usize,
    head: &'a str,
    block: String,
}

impl Scene {
    /// Reads the text of a scene.
    pub fn read(path: &Path, text: &str) -> Result<Scene, Fault> {
        let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let Some(title) = title else {
            let text = "the first line says, after `# `, what the scene shows".to_owned();
            return Err(Fault { line: 1, text });
        };
        let mut scene = Scene {
            path: path.to_owned(),
            title: title.to_owned(),
            settings: Vec::new(),
            accounts: Vec::new(),
            begins: None,
            only_in_memory: None,
            only_over_sockets: None,
            not_over_the_web: None,
            not_over_bosh: None,
            steps: Vec::new(),
        };
        for paragraph in paragraphs(text) {
            let line = paragraph.line;
            scene.paragraph(&paragraph).map_err(|text| Fault { line, text })?;
        }
        Ok(scene)
    }

    fn paragraph(&mut self, paragraph: &Paragraph<'_>) -> Result<(), String> {
        let head = paragraph.head;
        let list = |text: &str| -> Vec<String> {
            text.split(',').map(|item| item.trim().to_owned()).filter(|i| !i.is_empty()).collect()
        };
        if let Some(settings) = head.strip_prefix("settings:") {
            for setting in list(settings) {
                let (key, value) =
                    setting.split_once('=').ok_or(format!("`{setting}` has no `=`"))?;
                let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                self.settings.push(Setting { key, value });
            }
            return Ok(());
        }
        if let Some(accounts) = head.strip_prefix("accounts:") {
            self.accounts = list(accounts);
            return Ok(());
        }
        if let Some(stamp) = head.strip_prefix("begins:") {
            let begins = Time::parse_stamp(stamp.trim());
            self.begins = Some(begins.ok_or(format!("`{stamp}` is no moment"))?);
            return Ok(());
        }
        if let Some(why) = head.strip_prefix("only in memory:") {
            self.only_in_memory = Some(why.trim().to_owned());
            return Ok(());
        }
        if let Some(why) = head.strip_prefix("only over sockets:") {
            self.only_over_sockets = Some(why.trim().to_owned());
            return Ok(());
        }
        if let Some(why) = head.strip_prefix("not over BOSH:") {
            self.not_over_bosh = Some(why.trim().to_owned());
            return Ok(());
        }
        if let Some(why) = head.strip_prefix("not over the web:") {
            self.not_over_the_web = Some(why.trim().to_owned());
            return Ok(());
        }
        let act = match head.strip_prefix("here:") {
            Some(cast) => {
                Act::Here(list(cast).iter().map(|one| read_cast(one)).collect::<Result<_, _>>()?)
            }
            None => act(head, &paragraph.block)?,
        };
        if paragraph.block.is_empty() == needs_block(&act) {
            return Err(match needs_block(&act) {
                true => "what? Indented lines below must say it".to_owned(),
                false => "the lines below belong to nothing".to_owned(),
            });
        }
        self.steps.push(Step { line: paragraph.line, text: head.to_owned(), act });
        Ok(())
    }
}

fn needs_block(act: &Act) -> bool {
    let Act::Actor(_, verb) = act else { return false };
    match verb {
        Verb::Sends(..)
        | Verb::SendsAndBreaks(_)
        | Verb::SendsBytes(_)
        | Verb::Fetches(..)
        | Verb::Hears { .. } => true,
        Verb::Connects { injected, .. } => !injected.is_empty(),
        _ => false,
    }
}

fn paragraphs(text: &str) -> Vec<Paragraph<'_>> {
    let mut paragraphs: Vec<Paragraph<'_>> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with('#') || text.trim().is_empty() {
            continue;
        }
        match paragraphs.last_mut() {
            Some(last) if text.starts_with([' ', '\t']) => {
                if !last.block.is_empty() {
                    last.block.push('\n');
                }
                last.block.push_str(text.trim());
            }
            _ => paragraphs.push(Paragraph { line, head: text.trim(), block: String::new() }),
        }
    }
    paragraphs
}

fn read_cast(text: &str) -> Result<Cast, String> {
    let mut words = Words(text);
    let actor = words.word().ok_or("who is here?")?.to_owned();
    let priority = match words.take("at") {
        true => Some(words.number().ok_or("`at` which priority?")?),
        false => None,
    };
    if words.is_empty() { Ok(Cast { actor, priority }) } else { Err(unknown(words.0)) }
}

fn unknown(text: &str) -> String {
    format!("what is `{text}`?")
}

fn act(head: &str, block: &str) -> Result<Act, String> {
    match head {
        "the server stops" => return Ok(Act::Server(Server::Stops)),
        "the server starts" => return Ok(Act::Server(Server::Starts)),
        "the server restarts" => return Ok(Act::Server(Server::Restarts)),
        "the server crashes" => return Ok(Act::Server(Server::Crashes)),
        "the clock is synchronised" => return Ok(Act::SetClock(ClockSet::Synchronised)),
        _ => {}
    }
    let mut words = Words(head);
    if let Some(span) = head.strip_suffix(" pass").or_else(|| head.strip_suffix(" passes")) {
        return Ok(Act::Pass(duration(span).ok_or(format!("`{span}` is no time"))?));
    }
    if let Some(set) = head.strip_prefix("the clock is set ") {
        return clock_set(set).map(Act::SetClock).ok_or(format!("set to what is `{set}`?"));
    }
    let actor = words.word().ok_or("who?")?;
    let (actor, verb) = match actor.strip_suffix("'s") {
        Some(actor) => (actor, possessive(&mut words)?),
        None => (actor, verb(&mut words, block)?),
    };
    if !words.is_empty() {
        return Err(unknown(words.0));
    }
    Ok(Act::Actor(actor.to_owned(), verb))
}

/// Reads `400 days ahead` or `2 h back`.
fn clock_set(text: &str) -> Option<ClockSet> {
    let ahead = text.strip_suffix(" ahead").and_then(duration).map(ClockSet::Ahead);
    ahead.or_else(|| text.strip_suffix(" back").and_then(duration).map(ClockSet::Back))
}

fn possessive(words: &mut Words<'_>) -> Result<Verb, String> {
    if words.take("connection breaks") { Ok(Verb::Breaks) } else { Err(unknown(words.0)) }
}

fn verb(words: &mut Words<'_>, block: &str) -> Result<Verb, String> {
    let plain: &[(&str, Verb)] = &[
        ("opens the stream", Verb::OpensStream),
        ("is in", Verb::IsIn),
        ("hears nothing", Verb::HearsNothing),
        ("ignores what came", Verb::Ignores),
        ("is disconnected", Verb::IsDisconnected),
        ("closes the stream", Verb::Closes),
        ("cannot resume", Verb::CannotResume),
        ("stops reading", Verb::StopsReading),
        ("reads again", Verb::ReadsAgain),
        ("stops acknowledging", Verb::StopsAcknowledging),
        ("acknowledges", Verb::Acknowledges),
        ("is asked to acknowledge", Verb::IsAsked(true)),
        ("is not asked to acknowledge", Verb::IsAsked(false)),
    ];
    for (text, verb) in plain {
        if words.take(text) {
            return Ok(verb.clone());
        }
    }
    if words.take("connects") {
        return connects(words, block);
    }
    if words.take("logs in") {
        let (login, _) = Login::read(words)?;
        return Ok(Verb::LogsIn(login, Goal::Open));
    }
    if words.take("comes online") {
        let (login, priority) = Login::read(words)?;
        return Ok(Verb::LogsIn(login, Goal::Available(priority)));
    }
    if words.take("authenticates") {
        let (login, _) = Login::read(words)?;
        return Ok(Verb::LogsIn(login, Goal::Authenticated));
    }
    if words.take("begins to log in") {
        let (login, _) = Login::read(words)?;
        return Ok(Verb::BeginsToLogIn(login));
    }
    if words.take("cannot log in") {
        let (login, _) = Login::read(words)?;
        return Ok(Verb::CannotLogIn(login, Refused::read(words)?));
    }
    if words.take("is refused") {
        return Ok(Verb::IsRefused(Refused::read(words)?));
    }
    if words.take("resumes") {
        return resumes(words);
    }
    if words.take("fetches") {
        let path = words.word().ok_or("`fetches` what?")?.to_owned();
        return Ok(Verb::Fetches(path, block.lines().map(|line| line.trim().to_owned()).collect()));
    }
    if words.take("sends bytes") {
        return Ok(Verb::SendsBytes(bytes(block)?));
    }
    if words.take("sends, and the connection breaks") {
        return Ok(Verb::SendsAndBreaks(lengthen(block)));
    }
    if words.take("sends") {
        return Ok(Verb::Sends(lengthen(block), times(words)?));
    }
    if words.take("hears") {
        let any_order = words.take("in any order");
        let times = times(words)?;
        return Ok(Verb::Hears { expected: expected(block)?, any_order, times });
    }
    Err(unknown(words.0))
}

fn connects(words: &mut Words<'_>, block: &str) -> Result<Verb, String> {
    let way = match () {
        () if words.take("in clear") => Way::Clear,
        () if words.take("over the admin socket") => Way::Admin,
        () if words.take("with direct TLS where STARTTLS is offered") => Way::DirectAtStartTls,
        () if words.take("with direct TLS") => Way::Direct,
        () if words.take("over a WebSocket") => Way::WebSocket,
        () if words.take("over BOSH") => Way::Bosh,
        () => Way::Encrypted,
    };
    let from = match words.take("from") {
        true => Some(address(words)?),
        false => None,
    };
    let injected = match words.take("with this after STARTTLS") {
        true => lengthen(block),
        false => String::new(),
    };
    Ok(Verb::Connects { way, from, injected })
}

fn resumes(words: &mut Words<'_>) -> Result<Verb, String> {
    let h = match words.take("with h") {
        true => Some(words.number().ok_or("which h?")?),
        false => None,
    };
    let handled = match words.colon() {
        true => {
            let handled = words.number().ok_or("how many were handled?")?;
            if !words.take("handled") {
                return Err(unknown(words.0));
            }
            Some(handled)
        }
        false => None,
    };
    Ok(Verb::Resumes { h, handled })
}

/// Reads `40 times`.
fn times(words: &mut Words<'_>) -> Result<usize, String> {
    match words.number() {
        None => Ok(1),
        Some(times) if words.take("times") => Ok(times),
        Some(_) => Err("how many times?".to_owned()),
    }
}

/// Reads `60 s`, `10 min`, `2 h` or `3 days`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    let unit = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "day" | "days" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

/// Replaces the abbreviations.
fn lengthen(block: &str) -> String {
    let mut text =
        SHORT.iter().fold(block.to_owned(), |text, (short, long)| text.replace(short, long));
    while let Some(at) = text.find(STANZA_ID) {
        let Some(end) = text[at..].find('}').map(|end| at + end) else { break };
        let owner = &text[at + STANZA_ID.len()..end];
        let id = format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{owner}@localhost' id='{{any}}'/>");
        text.replace_range(at..=end, &id);
    }
    text
}

fn expected(block: &str) -> Result<Vec<Expected>, String> {
    let text = lengthen(block);
    let mut rest = text.trim();
    let mut expected = Vec::new();
    if rest.starts_with("<stream:stream") {
        let (tag, after) = rest.split_once('>').ok_or("a tag that does not end")?;
        let tag = tag.strip_suffix('/').unwrap_or(tag);
        let mut header = Tree::parse_all(&format!("{tag}/>"))?;
        expected.extend(header.pop().map(Expected::Header));
        rest = after.trim();
    }
    let closes = rest.strip_suffix("</stream:stream>");
    let trees = Tree::parse_all(closes.unwrap_or(rest))?;
    if trees.iter().any(pattern::has_stray_text) {
        return Err("text beside elements; is a tag or `{anything}` meant?".to_owned());
    }
    expected.extend(trees.into_iter().map(Expected::Element));
    if closes.is_some() {
        expected.push(Expected::Close);
    }
    Ok(expected)
}

/// Reads bytes: unescapes `\xFF`, `\n` and `\\`, and joins lines without a separator.
fn bytes(block: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut text = block.chars().filter(|c| *c != '\n');
    while let Some(c) = text.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match text.next() {
            Some('n') => bytes.push(b'\n'),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = text.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16);
                bytes.push(byte.map_err(|_| format!("`\\x{digits}` is no byte"))?);
            }
            other => return Err(format!("what is `\\{}`?", other.unwrap_or(' '))),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::world::Kind;

    fn read(text: &str) -> Result<Scene, Fault> {
        Scene::read(Path::new("scenes/x/y.scene"), text)
    }

    fn fault(lines: &str) -> Fault {
        read(&format!("# A scene.\n{lines}")).unwrap_err()
    }

    #[test]
    fn a_scene_is_read_with_its_lines() {
        let scene = read(
            "# RFC 0: all of it.\n\
             settings: sessions = many, timeout = 10 s\n\
             accounts: alice, bob\n\
             \n\
             here: alice, bob/phone at -1\n\
             # A remark.\n\
             alice sends\n\
             \x20   <message to='{bob/phone}'>\n\
             \x20     <body>hi</body>\n\
             \x20   </message>\n\
             bob/phone hears in any order\n\
             \x20   <presence/>\n\
             \x20   <presence type='unavailable'/>\n\
             1.5 min pass\n\
             alice cannot log in with password \"x\" from 127.0.0.2: not-authorized \"no\"\n\
             bob's connection breaks\n",
        )
        .unwrap();

        assert_eq!(scene.name(), "x/y");
        assert_eq!(scene.title, "RFC 0: all of it.");
        assert_eq!(scene.accounts, ["alice", "bob"]);
        assert_eq!(scene.settings[1], Setting { key: "timeout".into(), value: "10 s".into() });
        let lines: Vec<usize> = scene.steps.iter().map(|step| step.line).collect();
        assert_eq!(lines, [5, 7, 11, 14, 15, 16]);
        let Act::Actor(who, Verb::Hears { expected, any_order: true, times: 1 }) =
            &scene.steps[2].act
        else {
            panic!("{:?}", scene.steps[2])
        };
        assert_eq!((who.as_str(), expected.len()), ("bob/phone", 2));
        assert!(matches!(scene.steps[3].act, Act::Pass(time) if time == Duration::from_secs(90)));
        assert_eq!(scene.skipped(Kind::Sockets), Some("it moves the clock".to_owned()));
        assert_eq!(scene.skipped(Kind::Memory), None);
    }

    #[test]
    fn a_stream_is_expected_with_its_header_and_its_end() {
        let expected = expected("<stream:stream id='{id}'>\n<stream:features/>\n</stream:stream>");

        let expected = expected.unwrap();
        assert!(matches!(&expected[0], Expected::Header(header) if header.name == "stream"));
        assert!(matches!(&expected[1], Expected::Element(features) if features.name == "features"));
        assert!(matches!(expected[2], Expected::Close));
    }

    #[test]
    fn short_names_are_written_out() {
        assert_eq!(lengthen("{stanzas}"), "urn:ietf:params:xml:ns:xmpp-stanzas");
        assert_eq!(
            lengthen("{stanza-id of bob}"),
            "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@localhost' id='{any}'/>"
        );
    }

    #[test]
    fn bytes_are_sent_as_they_are_written() {
        assert_eq!(bytes("a\\xFF\n\\n\\\\é").unwrap(), b"a\xff\n\\\xc3\xa9");
        assert!(bytes("\\q").is_err());
        assert!(bytes("\\xZZ").is_err());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        assert_eq!(read("alice sends").unwrap_err().line, 1);
        for (lines, line, word) in [
            ("alice dances", 2, "dances"),
            ("\nalice sends", 3, "Indented"),
            ("alice hears nothing\n  <x/>", 2, "belong"),
            ("alice hears\n  <x>", 2, ""),
            ("alice hears\n  <x>t<y/></x>", 2, "beside"),
            ("alice hears nothing more", 2, "more"),
            ("soon pass", 2, "time"),
            ("settings: x", 2, "="),
            ("alice logs in with password pencil", 2, "quotes"),
            ("alice cannot log in", 2, "colon"),
        ] {
            let fault = fault(lines);
            assert_eq!(fault.line, line, "{lines}: {fault}");
            assert!(fault.text.contains(word), "{lines}: {fault}");
        }
    }
}
