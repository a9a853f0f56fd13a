//! Tests with devices of two or three people and a server in memory, which delivers stanzas as a
//! real server does; the test moves the clock.

#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::HashSet;
use std::net::SocketAddr;
use whoelse_client::Refusal;
use whoelse_xmpp::{Class, Stanza, ns};

const ALICE: &str = "alice@a.example/desk";
const BOB: &str = "bob@a.example/phone";
const BOB_TOO: &str = "bob@a.example/desk";
const EVE: &str = "eve@a.example/x";

/// One device.
struct Device {
    at: FullJid,
    is: Introductions,
    told: Vec<Happening>,
    /// The connections that it was told to make, and its role.
    connects: Vec<(String, bool, Transport)>,
    remembered: Vec<String>,
    distrusted: Vec<String>,
    key_status: KeyStatus,
    place: Result<Transport, String>,
    /// Whether it finds its addresses at once.
    gathers: bool,
    gathering: Vec<(BareJid, String)>,
}

/// All devices.
struct World {
    devices: Vec<Device>,
    now: Instant,
    /// Every delivered stanza, in order.
    carried: Vec<String>,
    /// Who has sent presence to whom.
    shown: Vec<(String, String)>,
    /// Which messages are lost.
    lost: fn(&Stanza) -> bool,
}

fn jid(text: &str) -> FullJid {
    FullJid::parse(text).unwrap()
}

fn bare(text: &str) -> BareJid {
    jid(text).to_bare()
}

fn place_of(device: u8) -> Transport {
    Transport {
        device: format!("d{device}"),
        key: crate::key::Key::of([device; 32]),
        addresses: vec![SocketAddr::from(([192, 0, 2, device], 4_000))],
        relay: true,
    }
}

impl World {
    fn new(who: &[&str]) -> World {
        let device = |(n, at): (usize, &&str)| Device {
            at: jid(at),
            is: Introductions::new(jid(at)),
            told: Vec::new(),
            connects: Vec::new(),
            remembered: Vec::new(),
            distrusted: Vec::new(),
            key_status: KeyStatus::Known,
            place: Ok(place_of(u8::try_from(n).unwrap() + 1)),
            gathers: true,
            gathering: Vec::new(),
        };
        let devices = who.iter().enumerate().map(device).collect();
        World {
            devices,
            now: Instant::now(),
            carried: Vec::new(),
            shown: Vec::new(),
            lost: |_| false,
        }
    }

    fn of(&mut self, at: &str) -> &mut Device {
        self.devices.iter_mut().find(|device| device.at.as_str() == at).unwrap()
    }

    fn told(&mut self, at: &str) -> Vec<Happening> {
        std::mem::take(&mut self.of(at).told)
    }

    fn ask(&mut self, by: &str, whom: &str) -> Result<Asked, Refused> {
        let now = self.now;
        let done = self.of(by).is.ask(&bare(whom), now);
        self.settle();
        done
    }

    fn accept(&mut self, by: &str, whom: &str) -> Result<(), Refused> {
        let now = self.now;
        let done = self.of(by).is.accept(&bare(whom), now);
        self.settle();
        done
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.devices.iter_mut().for_each(|device| device.is.handle_time(now));
        self.settle();
    }

    /// Delivers a stanza that our client would not send.
    fn forged(&mut self, from: &str, to: &str, xml: &str) {
        self.deliver(from, to, xml.to_owned());
        self.settle();
    }

    /// Delivers until nobody sends anything.
    fn settle(&mut self) {
        while let Some((n, action)) = self.next_action() {
            self.act(n, action);
        }
    }

    fn next_action(&mut self) -> Option<(usize, Action)> {
        let mut devices = self.devices.iter_mut().enumerate();
        devices.find_map(|(n, device)| device.is.poll_action().map(|action| (n, action)))
    }

    fn act(&mut self, n: usize, action: Action) {
        let now = self.now;
        let from = self.devices[n].at.to_string();
        match action {
            Action::Send { stanza, .. } => {
                let text = String::from_utf8(stanza.bytes.to_vec()).unwrap();
                let stanza = Stanza::parse(text.clone().into_bytes()).unwrap();
                self.deliver(&from, stanza.to().unwrap(), text);
            }
            Action::Ask { of, sid, payload } => {
                let iq = Element::new("iq").attr("type", "set").attr("id", "q");
                let iq = iq.attr("to", of.as_str()).child(payload).finish();
                let known = self.devices.iter().any(|device| device.at == of);
                let text = String::from_utf8(iq.to_vec()).unwrap();
                if !known || !self.request(&from, of.as_str(), &text) {
                    self.devices[n].is.handle_unanswered(&of, &sid);
                }
            }
            Action::Show(whom) => self.shown.push((from, whom.to_string())),
            Action::Gather { whom, sid } => {
                let device = &mut self.devices[n];
                if device.gathers {
                    device.is.handle_gathered(&whom, &sid, device.place.clone(), now);
                } else {
                    device.gathering.push((whom, sid));
                }
            }
            Action::Connect { sid, initiator, theirs, .. } => {
                self.devices[n].connects.push((sid, initiator, theirs));
            }
            Action::Remember { theirs, .. } => self.devices[n].remembered.push(theirs.device),
            Action::Distrust { theirs, .. } => self.devices[n].distrusted.push(theirs.device),
            Action::Tell(happening) => self.devices[n].told.push(happening),
        }
    }

    /// Delivers as a server does: a bare address means every device, and the sender is stamped.
    fn deliver(&mut self, from: &str, to: &str, text: String) {
        let stamped = text.replacen("<message ", &format!("<message from='{from}' "), 1);
        self.carried.push(stamped.clone());
        let stanza = Stanza::parse(stamped.into_bytes()).unwrap();
        if (self.lost)(&stanza) {
            return;
        }
        let Some(said) = jingle::said(&stanza) else { return };
        let now = self.now;
        let own = |device: &Device| device.at.as_str() == from;
        for device in self.devices.iter_mut().filter(|device| !own(device)) {
            if device.at.as_str() == to || device.at.to_bare().as_str() == to {
                device.is.handle_said(&said, now);
            }
        }
    }

    /// Delivers a request to a device, which answers. Returns whether it agrees.
    fn request(&mut self, from: &str, to: &str, text: &str) -> bool {
        let stamped = text.replacen("<iq ", &format!("<iq from='{from}' "), 1);
        self.carried.push(stamped.clone());
        let stanza = Stanza::parse(stamped.into_bytes()).unwrap();
        let now = self.now;
        let device = self.of(to);
        let status = device.key_status;
        device.is.handle_request(&stanza, &|_, _| (status, "12345".to_owned()), now);
        // Its other stanzas come after the answer.
        let mut rest = Vec::new();
        let mut answer = None;
        while let Some(action) = device.is.poll_action() {
            match action {
                Action::Send { stanza, .. } if stanza.class == Class::IqAnswer => {
                    answer = Some(Stanza::parse(stanza.bytes.to_vec()).unwrap());
                }
                action => rest.push(action),
            }
        }
        let n = self.devices.iter().position(|device| device.at.as_str() == to).unwrap();
        for action in rest {
            self.act(n, action);
        }
        answer.expect("every request is answered").type_() == Some("result")
    }

    /// Delivers an earlier stanza again.
    fn again(&mut self, n: usize) {
        let messages = self.carried.iter().filter(|text| text.starts_with("<message "));
        let messages: Vec<&String> = messages.collect();
        let Some(text) = messages.get(n % messages.len().max(1)).map(|it| (*it).clone()) else {
            return;
        };
        let stanza = Stanza::parse(text.clone().into_bytes()).unwrap();
        let (from, to) = (stanza.from().unwrap().to_owned(), stanza.to().unwrap().to_owned());
        let bare = text.replacen(&format!(" from='{from}'"), "", 1);
        self.deliver(&from, &to, bare);
    }

    fn carried(&self, what: &str) -> usize {
        self.carried.iter().filter(|text| text.contains(what)).count()
    }
}

fn not_opened(by: &str, why: Failure) -> Vec<Happening> {
    vec![Happening::NotOpened { whom: bare(by), why }]
}

/// Alice has asked, and Bob's phone has accepted.
fn connected() -> World {
    let mut world = World::new(&[ALICE, BOB, BOB_TOO]);
    world.ask(ALICE, BOB).unwrap();
    world.accept(BOB, ALICE).unwrap();
    world
}

#[test]
fn a_request_rings_every_device_and_the_one_that_accepts_learns_where_the_other_is() {
    let mut world = World::new(&[ALICE, BOB, BOB_TOO]);

    assert_eq!(world.ask(ALICE, BOB), Ok(Asked::New));
    for device in [BOB, BOB_TOO] {
        assert_eq!(world.told(device), [Happening::Asks(bare(ALICE))]);
    }
    world.accept(BOB, ALICE).unwrap();

    let (alice, bob) = (place_of(1), place_of(2));
    let [(sid, true, theirs)] = world.of(ALICE).connects.as_slice() else { panic!() };
    let sid = sid.clone();
    assert_eq!(*theirs, bob);
    assert_eq!(world.of(BOB).connects, [(sid.clone(), false, alice)]);
    assert_eq!(world.told(BOB_TOO), [Happening::AnsweredElsewhere(bare(ALICE))]);
    assert!(world.of(BOB_TOO).connects.is_empty());
    for device in [ALICE, BOB] {
        let whom = if device == ALICE { bare(BOB) } else { bare(ALICE) };
        world.of(device).is.handle_connected(&whom, &sid);
        assert!(world.of(device).is.next_deadline().is_none());
    }
}

#[test]
fn no_address_is_said_before_somebody_has_agreed_and_then_to_one_device_alone() {
    let mut world = World::new(&[ALICE, BOB, BOB_TOO]);

    world.ask(ALICE, BOB).unwrap();
    assert_eq!(world.carried("192.0.2."), 0);
    world.accept(BOB, ALICE).unwrap();

    let telling: Vec<&String> =
        world.carried.iter().filter(|text| text.contains("192.0.2.")).collect();
    assert_eq!(telling.len(), 2);
    for text in telling {
        assert!(text.starts_with("<iq "), "never in a message: {text}");
        assert!(text.contains(&format!("to='{BOB}'")) || text.contains(&format!("to='{ALICE}'")));
    }
}

#[test]
fn the_two_devices_that_agree_show_themselves_to_each_other_and_no_others_do() {
    let world = connected();

    let shown = [(BOB, ALICE), (ALICE, BOB)].map(|(by, to)| (by.to_owned(), to.to_owned()));
    assert_eq!(world.shown, shown);
}

#[test]
fn a_request_is_dead_after_a_minute_on_both_sides() {
    let mut world = World::new(&[ALICE, BOB]);
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB);

    world.after(Duration::from_secs(59));
    assert!(world.told(ALICE).is_empty() && world.told(BOB).is_empty());
    world.after(Duration::from_secs(1));

    assert_eq!(world.told(ALICE), [Happening::NoAnswer(bare(BOB))]);
    // He is told that it was withdrawn or has lapsed, whichever comes first.
    assert_eq!(world.told(BOB).len(), 1);
    assert_eq!(world.accept(BOB, ALICE), Err(Refused::NoRequest));
    assert_eq!(world.ask(ALICE, BOB), Ok(Asked::New));
}

#[test]
fn a_request_lapses_by_itself_if_nobody_takes_it_back() {
    let mut world = World::new(&[ALICE, BOB]);
    world.lost = |stanza| stanza.has("retract", ns::JINGLE_MESSAGE);
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB);

    world.after(Duration::from_secs(60));

    assert_eq!(world.told(BOB), [Happening::Lapsed(bare(ALICE))]);
}

#[test]
fn declining_stops_every_device_from_ringing() {
    let mut world = World::new(&[ALICE, BOB, BOB_TOO]);
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB_TOO);

    world.of(BOB).is.decline(&bare(ALICE)).unwrap();
    world.settle();

    assert_eq!(world.told(ALICE), [Happening::Declined(bare(BOB))]);
    assert_eq!(world.told(BOB_TOO), [Happening::AnsweredElsewhere(bare(ALICE))]);
    assert_eq!(world.of(BOB).is.decline(&bare(ALICE)), Err(Refused::NoRequest));
}

#[test]
fn a_request_can_be_taken_back() {
    let mut world = World::new(&[ALICE, BOB]);
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB);

    world.of(ALICE).is.withdraw(&bare(BOB)).unwrap();
    world.settle();

    assert_eq!(world.told(BOB), [Happening::TookBack(bare(ALICE))]);
    assert_eq!(world.of(ALICE).is.withdraw(&bare(BOB)), Err(Refused::NoneOpen));
}

#[test]
fn a_second_wish_waits_for_the_first() {
    let mut world = World::new(&[ALICE, BOB]);

    world.ask(ALICE, BOB).unwrap();

    assert_eq!(world.ask(ALICE, BOB), Err(Refused::AlreadyAsked));
}

#[test]
fn whoever_asks_somebody_who_asks_has_answered() {
    let mut world = World::new(&[ALICE, BOB]);
    world.ask(ALICE, BOB).unwrap();

    assert_eq!(world.ask(BOB, ALICE), Ok(Asked::Accepted));

    assert_eq!(world.of(ALICE).connects.len(), 1);
    assert_eq!(world.of(BOB).connects.len(), 1);
}

#[test]
fn two_requests_that_cross_become_one_chat() {
    // Chance decides which of the two counts; both must occur.
    let mut initiators = HashSet::new();
    for _ in 0..32 {
        let mut world = World::new(&[ALICE, BOB, BOB_TOO]);
        let now = world.now;
        world.of(ALICE).is.ask(&bare(BOB), now).unwrap();
        world.of(BOB).is.ask(&bare(ALICE), now).unwrap();
        world.settle();

        let [(sid, initiator, _)] = world.of(ALICE).connects.clone().try_into().unwrap();
        let [(theirs, other, _)] = world.of(BOB).connects.clone().try_into().unwrap();
        assert_eq!(sid, theirs);
        assert_ne!(initiator, other);
        assert!(world.told(ALICE).is_empty() && world.told(BOB).is_empty());
        assert!(world.of(BOB_TOO).is.under_way.is_empty(), "nothing rings any more");
        initiators.insert(initiator);
    }
    assert_eq!(initiators.len(), 2);
}

#[test]
fn a_server_that_refuses_a_request_ends_it() {
    let mut world = World::new(&[ALICE]);
    world.ask(ALICE, BOB).unwrap();
    let sid = world.of(ALICE).is.under_way[&bare(BOB)].sid.clone();

    let alice = &mut world.of(ALICE).is;
    alice.handle_refused("other", &bare(BOB), Refusal::NoSuchUser);
    alice.handle_refused(&sid, &bare(BOB), Refusal::BlockedYou);
    world.settle();

    let why = Refusal::BlockedYou;
    assert_eq!(world.told(ALICE), [Happening::NotAsked { whom: bare(BOB), why }]);
    assert!(world.of(ALICE).is.under_way.is_empty());
}

#[test]
fn two_devices_that_accept_in_the_same_moment_end_as_one() {
    let mut world = World::new(&[ALICE, BOB, BOB_TOO]);
    world.ask(ALICE, BOB).unwrap();
    let now = world.now;

    // Neither has received the other's answer.
    world.of(BOB).is.accept(&bare(ALICE), now).unwrap();
    world.of(BOB_TOO).is.accept(&bare(ALICE), now).unwrap();
    world.told(BOB);
    world.told(BOB_TOO);
    world.settle();

    assert_eq!(world.of(ALICE).connects.len(), 1);
    let lines = [BOB, BOB_TOO].map(|at| world.of(at).connects.len());
    assert_eq!(lines.iter().sum::<usize>(), 1);
    let late = if lines[0] == 0 { BOB } else { BOB_TOO };
    assert_eq!(world.told(late), [Happening::AnsweredElsewhere(bare(ALICE))]);
}

#[test]
fn a_session_that_nobody_has_agreed_to_is_unknown() {
    let mut world = World::new(&[ALICE, BOB, EVE]);
    world.ask(ALICE, BOB).unwrap();
    let sid = world.of(ALICE).is.under_way[&bare(BOB)].sid.clone();
    let said = |sid: &str, place: &Transport| {
        let payload = jingle::initiate(sid, &jid(EVE), place);
        let iq = Element::new("iq").attr("type", "set").attr("id", "q").child(payload).finish();
        String::from_utf8(iq.to_vec()).unwrap()
    };

    // Before he has agreed; from somebody else who has guessed the id; and without any request.
    assert!(!world.request(ALICE, BOB, &said(&sid, &place_of(1))));
    assert!(!world.request(EVE, BOB, &said(&sid, &place_of(3))));
    assert!(!world.request(EVE, BOB, &said("blue", &place_of(3))));
    world.accept(BOB, ALICE).unwrap();
    assert!(!world.request(EVE, BOB, &said(&sid, &place_of(3))));

    let connects: Vec<_> = world.of(BOB).connects.iter().map(|it| it.2.key).collect();
    assert_eq!(connects, [place_of(1).key]);
}

#[test]
fn somebody_elses_yes_or_no_counts_for_nothing() {
    let mut world = World::new(&[ALICE, BOB, EVE]);
    world.ask(ALICE, BOB).unwrap();
    let sid = world.of(ALICE).is.under_way[&bare(BOB)].sid.clone();
    world.told(BOB);

    for word in ["proceed", "reject", "retract", "finish"] {
        for to in [ALICE, BOB] {
            let xml = format!(
                "<message to='{to}'><{word} xmlns='urn:xmpp:jingle-message:0' id='{sid}'/></message>"
            );
            world.forged(EVE, to, &xml);
        }
    }

    assert!(world.told(ALICE).is_empty() && world.told(BOB).is_empty());
    assert!(world.of(ALICE).connects.is_empty());
    assert_eq!(world.carried("192.0.2."), 0);
    world.accept(BOB, ALICE).unwrap();
    assert_eq!(world.of(ALICE).connects.len(), 1);
}

#[test]
fn a_replayed_yes_changes_nothing() {
    let mut world = connected();
    let sid = world.of(ALICE).connects[0].0.clone();
    let proceed = format!(
        "<message to='{ALICE}'><proceed xmlns='urn:xmpp:jingle-message:0' id='{sid}'/></message>"
    );

    // While the line is being made, and after everything is over.
    world.forged(BOB, ALICE, &proceed);
    world.of(ALICE).is.handle_connected(&bare(BOB), &sid);
    world.forged(BOB, ALICE, &proceed);

    assert_eq!(world.of(ALICE).connects.len(), 1);
    assert!(world.of(ALICE).is.under_way.is_empty());
    assert!(world.told(ALICE).is_empty());
}

#[test]
fn each_end_says_once_where_it_is_and_the_initiator_first() {
    let mut world = World::new(&[ALICE, BOB]);
    world.ask(ALICE, BOB).unwrap();
    world.of(ALICE).gathers = false;
    world.accept(BOB, ALICE).unwrap();
    let sid = world.of(ALICE).gathering[0].1.clone();
    let iq = |payload: Element| {
        let iq = Element::new("iq").attr("type", "set").attr("id", "q").child(payload).finish();
        String::from_utf8(iq.to_vec()).unwrap()
    };

    // He accepts what was not offered, and offers in her place.
    assert!(!world.request(BOB, ALICE, &iq(jingle::accept(&sid, &jid(BOB), &place_of(2)))));
    assert!(!world.request(BOB, ALICE, &iq(jingle::initiate(&sid, &jid(BOB), &place_of(2)))));
    assert!(world.of(ALICE).connects.is_empty());

    let (whom, now) = (bare(BOB), world.now);
    world.of(ALICE).is.handle_gathered(&whom, &sid, Ok(place_of(1)), now);
    world.settle();
    assert_eq!(world.of(ALICE).connects.len(), 1);
    assert!(!world.request(ALICE, BOB, &iq(jingle::initiate(&sid, &jid(ALICE), &place_of(9)))));
    assert_eq!(world.of(BOB).connects[0].2, place_of(1));
}

#[test]
fn a_new_device_is_remembered_once_it_has_proved_its_key() {
    let mut world = World::new(&[ALICE, BOB]);
    world.of(ALICE).key_status = KeyStatus::New { first: true };
    world.ask(ALICE, BOB).unwrap();

    world.accept(BOB, ALICE).unwrap();

    // A key that was only claimed belongs to nobody.
    assert!(world.told(ALICE).is_empty() && world.of(ALICE).remembered.is_empty());
    let sid = world.of(ALICE).connects[0].0.clone();
    world.of(ALICE).is.handle_connected(&bare(BOB), &sid);
    world.settle();
    let code = "12345".to_owned();
    let happening = Happening::NewDevice { whom: bare(BOB), first: true, code };
    assert_eq!(world.told(ALICE), [happening]);
    assert_eq!(world.of(ALICE).remembered, ["d2"]);
}

#[test]
fn a_new_device_that_never_came_is_not_remembered() {
    let mut world = World::new(&[ALICE, BOB]);
    world.of(ALICE).key_status = KeyStatus::New { first: true };
    world.ask(ALICE, BOB).unwrap();
    world.accept(BOB, ALICE).unwrap();

    world.after(CONNECT_WITHIN);

    assert!(world.of(ALICE).remembered.is_empty());
    assert_eq!(world.told(ALICE), not_opened(BOB, Failure::NoWay));
}

#[test]
fn a_changed_key_is_refused_on_either_side() {
    for wary in [ALICE, BOB] {
        let other = if wary == ALICE { BOB } else { ALICE };
        let mut world = World::new(&[ALICE, BOB]);
        world.of(wary).key_status = KeyStatus::Changed;
        world.ask(ALICE, BOB).unwrap();
        world.told(BOB);

        world.accept(BOB, ALICE).unwrap();

        let changed = Failure::KeyChanged { code: "12345".to_owned() };
        assert_eq!(world.told(wary), not_opened(other, changed), "{wary}");
        assert_eq!(world.told(other), not_opened(wary, Failure::NotTrusted), "{wary}");
        assert!(world.of(wary).connects.is_empty());
        assert!(world.of(wary).remembered.is_empty());
        assert_eq!(world.of(wary).distrusted.len(), 1);
    }
}

#[test]
fn nonsense_is_refused_and_ends_it() {
    let mut world = World::new(&[ALICE, BOB]);
    world.of(ALICE).place = Ok(Transport { device: "a b".to_owned(), ..place_of(1) });
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB);

    world.accept(BOB, ALICE).unwrap();

    assert_eq!(world.told(BOB), not_opened(ALICE, Failure::Nonsense));
    assert_eq!(world.told(ALICE), not_opened(BOB, Failure::Gone));
}

#[test]
fn two_ends_without_a_common_way_part_at_once() {
    let mut world = World::new(&[ALICE, BOB]);
    world.of(ALICE).place = Ok(Transport { addresses: vec![], ..place_of(1) });
    world.of(BOB).place = Ok(Transport { relay: false, ..place_of(2) });
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB);

    world.accept(BOB, ALICE).unwrap();

    assert_eq!(world.told(BOB), not_opened(ALICE, Failure::NoCommonWay));
    assert_eq!(world.told(ALICE), not_opened(BOB, Failure::NoWay));
}

#[test]
fn a_device_that_cannot_use_the_network_says_so_on_both_sides() {
    for broken in [ALICE, BOB] {
        let mut world = World::new(&[ALICE, BOB]);
        world.of(broken).place = Err("no socket".to_owned());
        world.ask(ALICE, BOB).unwrap();
        world.told(BOB);

        world.accept(BOB, ALICE).unwrap();

        let other = if broken == ALICE { BOB } else { ALICE };
        let local = Failure::Local("no socket".to_owned());
        assert_eq!(world.told(broken), not_opened(other, local), "{broken}");
        assert_eq!(world.told(other), not_opened(broken, Failure::GivenUp), "{broken}");
    }
}

#[test]
fn an_end_that_does_not_go_on_is_given_up() {
    let mut world = World::new(&[ALICE, BOB]);
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB);
    world.of(ALICE).gathers = false;
    world.accept(BOB, ALICE).unwrap();

    world.after(MEET_WITHIN);

    assert_eq!(world.told(BOB).len(), 1);
    assert_eq!(world.told(ALICE).len(), 1);
    assert!(world.of(ALICE).is.under_way.is_empty() && world.of(BOB).is.under_way.is_empty());
}

#[test]
fn a_line_that_does_not_come_is_given_up() {
    let mut world = connected();
    world.told(BOB);

    world.after(CONNECT_WITHIN);

    let (alice, bob) = (world.told(ALICE), world.told(BOB));
    assert_eq!(alice, not_opened(BOB, Failure::NoWay));
    assert_eq!(bob, not_opened(ALICE, Failure::NoWay));
}

#[test]
fn what_was_blocked_hears_nothing_more() {
    let mut world = connected();
    let carried = world.carried.len();

    world.of(BOB).is.handle_blocked(&bare(ALICE));
    world.settle();

    assert_eq!(world.carried.len(), carried);
    assert!(world.of(BOB).is.under_way.is_empty());
}

#[test]
fn a_session_that_ends_ends_what_was_under_way() {
    let mut world = World::new(&[ALICE, BOB]);
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB);

    for device in [ALICE, BOB] {
        world.of(device).is.handle_logged_out();
    }
    world.settle();

    assert_eq!(world.told(ALICE), not_opened(BOB, Failure::LoggedOut));
    assert_eq!(world.told(BOB), [Happening::Lapsed(bare(ALICE))]);
}

#[test]
fn leaving_takes_back_what_was_asked() {
    let mut world = World::new(&[ALICE, BOB]);
    world.ask(ALICE, BOB).unwrap();
    world.told(BOB);

    world.of(ALICE).is.withdraw_all();
    world.settle();

    assert_eq!(world.told(BOB), [Happening::TookBack(bare(ALICE))]);
}

#[test]
fn nobody_can_ring_without_end() {
    let mut world = World::new(&[BOB, EVE]);
    let propose = |n: u32| {
        format!(
            "<message to='bob@a.example'><propose xmlns='urn:xmpp:jingle-message:0' id='s{n}'>\
             <description xmlns='urn:whoelse:private:0'/></propose></message>"
        )
    };
    for n in 0..1_000 {
        world.forged(EVE, "bob@a.example", &propose(n));
    }

    assert_eq!(world.told(BOB).len(), 5);
    assert_eq!(world.of(BOB).is.under_way.len(), 1);
    world.after(Duration::from_secs(61));
    world.told(BOB);
    world.forged(EVE, "bob@a.example", &propose(1_001));
    assert_eq!(world.told(BOB), [Happening::Asks(bare(EVE))]);
}

#[test]
fn many_who_ask_at_once_are_bounded_and_told() {
    let mut world = World::new(&[BOB]);
    for n in 0..30 {
        let from = format!("eve{n}@a.example/x");
        let propose = "<message to='bob@a.example'><propose xmlns='urn:xmpp:jingle-message:0' \
                       id='s'><description xmlns='urn:whoelse:private:0'/></propose></message>";
        world.forged(&from, "bob@a.example", propose);
    }

    assert_eq!(world.told(BOB).len(), 20);
    assert_eq!(world.carried("<busy/>"), 10);
}

#[test]
fn a_request_of_jingle_that_is_none_is_answered() {
    let mut world = World::new(&[ALICE]);
    for payload in [
        "<jingle xmlns='urn:xmpp:jingle:1'/>",
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate'/>",
        "<jingle xmlns='urn:xmpp:jingle:1' action='dance' sid='s'/>",
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s'/>",
    ] {
        let iq = format!("<iq type='set' id='q'>{payload}</iq>");
        assert!(!world.request(EVE, ALICE, &iq), "{payload}");
    }
    assert!(world.told(ALICE).is_empty());
}

#[test]
fn of_a_session_that_stands_a_ping_is_answered_and_a_novelty_refused() {
    let mut world = connected();
    let sid = world.of(ALICE).connects[0].0.clone();
    let iq = |action: &str| {
        format!(
            "<iq type='set' id='q'><jingle xmlns='urn:xmpp:jingle:1' action='{action}' \
             sid='{sid}'/></iq>"
        )
    };

    assert!(world.request(BOB, ALICE, &iq("session-info")));
    assert!(!world.request(BOB, ALICE, &iq("content-add")));
}

/// Whatever is lost, duplicated or requested in any order: nobody learns the addresses of a device
/// without having agreed, no introduction makes two lines, and nothing is left over.
#[test]
fn whatever_happens_to_their_words_it_comes_to_an_end_and_no_line_is_made_without_both() {
    for seed in 1_u64..=300 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut below = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let mut world = World::new(&[ALICE, BOB, BOB_TOO]);
        for _ in 0..60 {
            let (by, whom) =
                [(ALICE, BOB), (BOB, ALICE), (BOB_TOO, ALICE)][usize::try_from(below(3)).unwrap()];
            let now = world.now;
            world.lost = if below(4) == 0 { |_| true } else { |_| false };
            match below(7) {
                0 => drop(world.of(by).is.ask(&bare(whom), now)),
                1 => drop(world.of(by).is.accept(&bare(whom), now)),
                2 => drop(world.of(by).is.decline(&bare(whom))),
                3 => drop(world.of(by).is.withdraw(&bare(whom))),
                4 => world.after(Duration::from_secs(below(40))),
                5 => world.again(usize::try_from(below(1_000)).unwrap()),
                _ => {}
            }
            world.settle();
        }
        for _ in 0..3 {
            world.after(Duration::from_secs(61));
        }

        for device in &world.devices {
            assert!(device.is.under_way.is_empty(), "seed {seed}: {:?}", device.is);
        }
        let lines = |at: &str, world: &mut World| world.of(at).connects.clone();
        let alice = lines(ALICE, &mut world);
        let sids: HashSet<&String> = alice.iter().map(|(sid, ..)| sid).collect();
        assert_eq!(sids.len(), alice.len(), "seed {seed}: one line for each introduction");
        let bob = [lines(BOB, &mut world), lines(BOB_TOO, &mut world)].concat();
        for (sid, initiator, theirs) in &bob {
            assert_eq!(*theirs, place_of(1), "seed {seed}");
            let other = alice.iter().find(|(it, ..)| it == sid);
            assert!(other.is_none_or(|(_, it, _)| it != initiator), "seed {seed}");
        }
    }
}
