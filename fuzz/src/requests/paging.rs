//! XEP-0059 over XEP-0313: every page of an archive equals the same page of a plain list, and an
//! invalid request is refused (security row 31).

use std::cell::RefCell;
use std::time::Duration;

use crate::choices::Choices;
use crate::house::{BEGIN, HISTORY, House, PEERS};
use whoelse_core::Time;
use whoelse_xmpp::{Child, Stanza, StanzaError, ns};

/// What a request asks for; `None` for an invalid part.
#[derive(Default)]
struct Asked {
    xml: String,
    is_senseless: bool,
    peer: Option<Option<usize>>,
    start: Option<Time>,
    end: Option<Time>,
    after: Option<usize>,
    before: Option<usize>,
    backwards: bool,
    max: Option<usize>,
}

/// The most that the server puts on a page.
const MOST: usize = 250;
/// Ids that no archive has given out.
const STRANGE: &[&str] = &[
    "",
    "0",
    "nonsense",
    "00000000000000000000000000000000",
    "' OR 1=1 --",
    "\u{1f600}",
    "-1",
    "9223372036854775807",
];

thread_local! {
    /// The ids of alice's archive, as the house of this thread gives them out.
    static IDS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A page of an archive, asked for as `data` says.
pub fn archive(data: &[u8]) {
    let mut choices = Choices::new(data);
    House::with(|house| {
        let ids = learn(house);
        while !choices.is_empty() {
            let asked = question(&mut choices, &ids);
            let (answer, heard) = house.ask("m", &asked.xml);
            check(&asked, &answer, &heard, &ids);
        }
    });
}

/// The ids of the whole archive, oldest first.
fn learn(house: &mut House) -> Vec<String> {
    let known = IDS.take();
    let probe = "<iq type='set' id='l'><query xmlns='urn:xmpp:mam:2'><set \
                 xmlns='http://jabber.org/protocol/rsm'><max>1</max></set></query></iq>";
    let is_same = |heard: &[Stanza]| ids_of(heard).first() == known.first();
    let ids = match !known.is_empty() && is_same(&house.ask("l", probe).1) {
        true => known,
        false => {
            let all = "<iq type='set' id='l'><query xmlns='urn:xmpp:mam:2'/></iq>";
            ids_of(&house.ask("l", all).1)
        }
    };
    assert_eq!(ids.len(), HISTORY);
    IDS.set(ids.clone());
    ids
}

fn question(choices: &mut Choices<'_>, ids: &[String]) -> Asked {
    let mut asked = Asked::default();
    let mut fields = String::new();
    if choices.once_in(2) {
        let with = choices.pick(&[PEERS[0], PEERS[1], PEERS[2], "nobody@localhost", "@", ""]);
        asked.is_senseless |= with.len() < 2;
        asked.peer = Some(PEERS.iter().position(|peer| *peer == with));
        fields.push_str(&format!("<field var='with'><value>{with}</value></field>"));
    }
    for var in ["start", "end"] {
        if !choices.once_in(3) {
            continue;
        }
        let time = BEGIN.after(Duration::from_millis(500 * choices.below(2 * HISTORY + 4) as u64));
        let (text, time) = match choices.once_in(8) {
            true => ("yesterday' OR '1'='1".replace('\'', "&apos;"), None),
            false => (time.stamp(), Some(time)),
        };
        asked.is_senseless |= time.is_none();
        match var {
            "start" => asked.start = time,
            _ => asked.end = time,
        }
        fields.push_str(&format!("<field var='{var}'><value>{text}</value></field>"));
    }
    let mut set = String::new();
    if choices.once_in(2) {
        let max = choices.pick(&[
            "0",
            "1",
            "2",
            "3",
            "7",
            "39",
            "40",
            "250",
            "251",
            "65535",
            "-1",
            "",
            "x",
            "1e1",
            "99999999999999999999",
        ]);
        asked.is_senseless |= max.parse::<usize>().is_err();
        asked.max = max.parse().ok();
        set.push_str(&format!("<max>{max}</max>"));
    }
    for name in ["after", "before"] {
        if !choices.once_in(3) {
            continue;
        }
        let (id, place) = match choices.once_in(6) {
            true => (choices.pick(STRANGE).replace('\'', "&apos;"), None),
            false => {
                let place = choices.below(ids.len());
                (ids[place].clone(), Some(place))
            }
        };
        // `<before/>` asks for the last page.
        asked.is_senseless |= place.is_none() && !(name == "before" && id.is_empty());
        match name {
            "after" => asked.after = place,
            _ => (asked.before, asked.backwards) = (place, true),
        }
        set.push_str(&format!("<{name}>{id}</{name}>"));
    }
    if choices.once_in(16) {
        set.push_str("<index>1</index>");
        asked.is_senseless = true;
    }
    let form = match fields.is_empty() {
        true => fields,
        false => format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>\
             urn:xmpp:mam:2</value></field>{fields}</x>"
        ),
    };
    if !set.is_empty() {
        set = format!("<set xmlns='http://jabber.org/protocol/rsm'>{set}</set>");
    }
    asked.xml =
        format!("<iq type='set' id='m'><query xmlns='urn:xmpp:mam:2'>{form}{set}</query></iq>");
    asked
}

fn check(asked: &Asked, answer: &Stanza, heard: &[Stanza], ids: &[String]) {
    if asked.is_senseless {
        assert!(StanzaError::read(answer).is_some(), "{} was taken", asked.xml);
        assert!(heard.is_empty(), "{} was answered: {heard:?}", asked.xml);
        return;
    }
    let sent = |n: usize| BEGIN.after(Duration::from_secs(n as u64));
    let matching: Vec<usize> = (0..HISTORY)
        .filter(|n| asked.peer.is_none_or(|peer| peer == Some(n % PEERS.len())))
        .filter(|n| asked.start.is_none_or(|start| sent(*n) >= start))
        .filter(|n| asked.end.is_none_or(|end| sent(*n) <= end))
        .collect();
    let within: Vec<usize> = matching
        .iter()
        .copied()
        .filter(|n| asked.after.is_none_or(|after| *n > after))
        .filter(|n| asked.before.is_none_or(|before| *n < before))
        .collect();
    let limit = asked.max.unwrap_or(MOST).min(MOST);
    let skipped = if asked.backwards { within.len().saturating_sub(limit) } else { 0 };
    let page: Vec<&String> = within.iter().skip(skipped).take(limit).map(|n| &ids[*n]).collect();

    let found = ids_of(heard);
    assert_eq!(found.iter().collect::<Vec<_>>(), page, "{}", asked.xml);
    let fin = answer.child("fin", ns::MAM).unwrap_or_else(|| panic!("{}: no end", asked.xml));
    let complete = answer.child_attr(fin, "complete").is_some_and(|text| text == "true");
    match limit {
        // XEP-0059, 2.7: only the count is wanted.
        0 => assert_eq!(complete, matching.is_empty(), "{}", asked.xml),
        _ => assert_eq!(complete, within.len() <= limit, "{}", asked.xml),
    }
    let set = part(answer, fin, "set").unwrap_or_else(|| panic!("{}: no set", asked.xml));
    let text = |name| part(answer, &set, name).map(|it| answer.text_of(&it).to_string());
    assert_eq!(text("count"), Some(matching.len().to_string()), "{}", asked.xml);
    assert_eq!(text("first").as_ref(), page.first().copied(), "{}", asked.xml);
    assert_eq!(text("last").as_ref(), page.last().copied(), "{}", asked.xml);
}

fn ids_of(heard: &[Stanza]) -> Vec<String> {
    let results = heard.iter().filter_map(|stanza| {
        let result = stanza.child("result", ns::MAM)?;
        Some(stanza.child_attr(result, "id")?.to_string())
    });
    results.collect()
}

fn part(stanza: &Stanza, of: &Child, name: &str) -> Option<Child> {
    stanza.grandchildren(of).into_iter().find(|child| child.is(name, ns::RSM))
}
