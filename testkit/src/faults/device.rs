//! A device on a bad connection: a correct client (RFC 6120, XEP-0198), and everything that can
//! happen to its bytes.

use std::collections::VecDeque;

use whoelse_core::Time;
use whoelse_fuzz::random::Random;
use whoelse_stream::client::{Config, Machine, Opening, Resumption, Step};
use whoelse_stream::sm::Element as Sm;
use whoelse_stream::{Password, Transport};
use whoelse_xmpp::{Kind, Stanza, ns};

use super::Witness;
use super::lists::{CAPABILITIES, INFO};
use super::talk::{self, ROOM};
use crate::line::Line;
use crate::scene::PASSWORD;

/// What happens to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// They arrive.
    Fair,
    /// They arrive in small pieces, and sometimes late.
    Drip,
    /// They are delayed, in both directions.
    Stalled,
    /// The server's bytes are lost.
    Deaf,
    /// All bytes are lost.
    Swallows,
}

/// A stanza that was sent and is not acknowledged.
#[derive(Debug)]
struct Unacknowledged {
    /// Its number in the witness, if it is a message.
    message: Option<usize>,
    /// Its number in what was said in the room, if it is that.
    speech: Option<usize>,
    xml: String,
}

/// One device of an account.
pub(super) struct Device {
    account: usize,
    number: usize,
    line: Option<Line>,
    machine: Option<Machine>,
    wire: Wire,
    open: bool,
    leaving: bool,
    /// The bytes to send.
    out: Vec<u8>,
    /// The id to resume the session with.
    session: Option<String>,
    /// Stanzas received in it.
    received: u32,
    /// Stanzas sent in it that the server has acknowledged.
    counted: u32,
    outbox: VecDeque<Unacknowledged>,
    /// Requests whose answer proves that the server knows what was received until then: their
    /// number, and how many messages that were.
    proofs: VecDeque<(u32, usize)>,
    asked: u32,
}

/// The result of a turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Whether bytes went in either direction.
    pub moved: bool,
    pub opened: bool,
    pub resumed: bool,
    /// Whether an `<r/>` is answered and then followed by a request that proves it.
    asks: bool,
}

impl Device {
    pub fn new(account: usize, number: usize) -> Device {
        Device {
            account,
            number,
            line: None,
            machine: None,
            wire: Wire::Fair,
            open: false,
            leaving: false,
            out: Vec::new(),
            session: None,
            received: 0,
            counted: 0,
            outbox: VecDeque::new(),
            proofs: VecDeque::new(),
            asked: 0,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    /// Returns whether a session is open, as far as it knows.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Returns whose device it is.
    pub fn account(&self) -> usize {
        self.account
    }

    /// Returns whether everything it sent was acknowledged.
    pub fn has_nothing_to_say(&self) -> bool {
        self.outbox.iter().all(|it| it.message.is_none())
    }

    /// Describes its state, to find out why it does not get in.
    pub fn words(&self) -> String {
        let Device { account, number, wire, open, .. } = self;
        let (connected, out) = (self.is_connected(), self.out.len());
        format!("user{account}/d{number}: {connected} {open} {wire:?}, {out} bytes to send")
    }

    // --- the wire ---

    /// Takes a new connection, perhaps for the session of an earlier one.
    pub fn connect(&mut self, line: Line, random: &mut Random) {
        if random.below(3) == 0 {
            self.session = None;
        }
        let resume = self.session.clone().map(|previd| Resumption { previd, h: self.received });
        let config = Config {
            transport: Transport::Tls,
            resource: Some(format!("d{}", self.number)),
            resume,
            ..Config::new("localhost")
        };
        self.machine = Some(Machine::new(config, Some(line.channel.clone())));
        self.line = Some(line);
        self.wire = Wire::Fair;
    }

    /// Drops the connection with the bytes in flight in both directions.
    pub fn hang_up(&mut self) {
        (self.line, self.machine) = (None, None);
        (self.open, self.leaving, self.wire) = (false, false, Wire::Fair);
        self.out.clear();
        self.proofs.clear();
    }

    /// Makes something happen to the wire.
    pub fn trouble(&mut self, random: &mut Random) {
        let Some(line) = &self.line else { return };
        match random.below(9) {
            0 => self.hang_up(),
            // It breaks after what was sent, or in the middle of it.
            1 | 2 => {
                let sent = random.below(self.out.len() + 1);
                let out = std::mem::take(&mut self.out);
                if let Some(line) = self.line.take() {
                    line.break_behind(&out[..sent]);
                }
                self.hang_up();
            }
            // Bytes that were lost do not come back on this wire.
            _ if matches!(self.wire, Wire::Deaf | Wire::Swallows) => {}
            3 => {
                line.read(false);
                self.wire = Wire::Stalled;
            }
            4 => self.wire = Wire::Deaf,
            5 => self.wire = Wire::Swallows,
            6 | 7 => {
                line.read(true);
                self.wire = Wire::Drip;
            }
            _ => self.mend(),
        }
    }

    fn mend(&mut self) {
        if let Some(line) = &self.line {
            line.read(true);
        }
        self.wire = Wire::Fair;
    }

    /// Repairs the wire; replaces it if it has lost bytes.
    pub fn recover(&mut self) {
        match self.wire {
            Wire::Deaf | Wire::Swallows => self.hang_up(),
            Wire::Fair | Wire::Drip | Wire::Stalled => self.mend(),
        }
    }

    // --- what it says ---

    /// Sends a message.
    pub fn say(&mut self, message: usize, xml: String) {
        self.post(Some(message), xml);
    }

    /// Becomes available, and says what it wants to be told.
    pub fn appear(&mut self, more: &str) {
        self.present(&format!("<presence>{more}{CAPABILITIES}</presence>"));
    }

    /// Enters the room.
    pub fn enter(&mut self) {
        let nick = talk::nickname(self.account);
        self.present(&format!(
            "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'>\
             <history maxstanzas='0'/></x></presence>"
        ));
    }

    /// Says something in the room.
    pub fn speak(&mut self, number: usize, xml: String) {
        self.post(None, xml);
        if let Some(said) = self.outbox.back_mut() {
            said.speech = Some(number);
        }
    }

    /// Sends presence.
    pub fn present(&mut self, xml: &str) {
        if self.open {
            self.post(None, xml.to_owned());
        }
    }

    /// Sends a request.
    pub fn ask(&mut self, xml: String) {
        self.post(None, xml);
    }

    /// Sends `<r/>`.
    pub fn count(&mut self) {
        if self.open {
            self.out.extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
        }
    }

    /// Acknowledges what was received, and sends a request whose answer proves that it was
    /// understood.
    pub fn confirm(&mut self, heard: usize) {
        if !self.open {
            return;
        }
        self.acknowledge();
        self.asked += 1;
        self.proofs.push_back((self.asked, heard));
        let xml = format!(
            "<iq type='get' id='proof{}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
            self.asked
        );
        self.post(None, xml);
    }

    fn acknowledge(&mut self) {
        self.out.extend_from_slice(&Sm::Ack { h: self.received }.encode());
    }

    /// Closes its session cleanly.
    pub fn leave(&mut self) {
        if self.open {
            self.out.extend_from_slice(b"</stream:stream>");
            self.leaving = true;
            self.open = false;
            self.session = None;
        }
    }

    fn post(&mut self, message: Option<usize>, xml: String) {
        self.out.extend_from_slice(xml.as_bytes());
        self.outbox.push_back(Unacknowledged { message, speech: None, xml });
    }

    // --- a turn ---

    /// Receives and sends as far as the wire allows.
    pub fn turn(
        &mut self,
        random: &mut Random,
        me: usize,
        now: Time,
        witness: &mut Witness,
    ) -> Result<Turn, String> {
        let mut turn = Turn { asks: random.below(4) == 0, ..Turn::default() };
        let Some(line) = &self.line else { return Ok(turn) };
        if self.wire == Wire::Stalled {
            return Ok(turn);
        }
        let (bytes, ended) = line.take();
        turn.moved = !bytes.is_empty() || ended;
        if !matches!(self.wire, Wire::Deaf | Wire::Swallows) {
            if let Some(machine) = &mut self.machine {
                machine.push(&bytes);
            }
            while let Some(step) = self.machine.as_mut().and_then(Machine::poll) {
                self.step(step, me, now, witness, &mut turn)
                    .map_err(|why| format!("user{}/d{}: {why}", self.account, self.number))?;
            }
        }
        if ended {
            self.hang_up();
            return Ok(turn);
        }
        if let Some(machine) = &mut self.machine {
            self.out.extend(machine.take_output());
        }
        turn.moved |= self.send(random);
        Ok(turn)
    }

    fn send(&mut self, random: &mut Random) -> bool {
        let Some(line) = self.line.as_ref().filter(|_| !self.out.is_empty()) else { return false };
        match self.wire {
            Wire::Fair | Wire::Deaf => line.write(&std::mem::take(&mut self.out)),
            Wire::Swallows => self.out.clear(),
            Wire::Stalled => return false,
            Wire::Drip => {
                let piece = match random.below(10) {
                    0 => return false,
                    1..4 => 1,
                    _ => 1 + random.below(200),
                };
                let rest = self.out.split_off(piece.min(self.out.len()));
                line.write(&std::mem::replace(&mut self.out, rest));
            }
        }
        true
    }

    fn step(
        &mut self,
        step: Step,
        me: usize,
        now: Time,
        witness: &mut Witness,
        turn: &mut Turn,
    ) -> Result<(), String> {
        match step {
            Step::Ready(_) => {
                let password = Password::new(PASSWORD).map_err(|error| error.to_string())?;
                let machine = self.machine.as_mut().ok_or("there is no machine")?;
                let name = super::name(self.account);
                machine.login(&name, password).map_err(|denied| denied.to_string())?;
            }
            Step::Open(Opening::Bound { sm, .. }) => {
                turn.opened = true;
                witness.session_began(me);
                witness.lists.session_lost(me);
                witness.talk.session_lost(me);
                self.session = sm.and_then(|sm| sm.id);
                (self.received, self.counted, self.open) = (0, 0, true);
                // A message that may have arrived is repeated only if the server recognises
                // repeats.
                self.outbox.retain(|it| it.message.is_some_and(|it| witness.session_lost(it)));
                self.say_again();
            }
            Step::Open(Opening::Resumed { h }) => {
                (turn.opened, turn.resumed, self.open) = (true, true, true);
                self.acknowledged(h, witness)?;
                self.say_again();
            }
            Step::Stanza(stanza) => {
                self.received = self.received.wrapping_add(1);
                self.hear(&stanza, me, now, witness)?;
            }
            Step::Sm(Sm::Ack { h }) => self.acknowledged(h, witness)?,
            // The answer to that request is asked to be acknowledged as well, so this must end.
            Step::Sm(Sm::Request) if turn.asks => {
                turn.asks = false;
                self.confirm(witness.heard(me));
            }
            Step::Sm(Sm::Request) => self.acknowledge(),
            Step::Closed | Step::Error(_) | Step::GaveUp(_) => {
                // The server has ended the session, so it cannot be resumed.
                self.session = None;
                self.hang_up();
            }
            Step::AuthFailed(_) | Step::BindRefused(_) => self.hang_up(),
            Step::NotResumed { .. } => {}
            other => return Err(format!("hears {other:?}")),
        }
        Ok(())
    }

    fn hear(
        &mut self,
        stanza: &Stanza,
        me: usize,
        now: Time,
        witness: &mut Witness,
    ) -> Result<(), String> {
        let id = stanza.id().unwrap_or_default();
        if witness.talk.heard(me, stanza)? {
            return Ok(());
        }
        match (stanza.kind(), stanza.type_()) {
            (Kind::Message, Some("error")) => witness.refused(me, id),
            (Kind::Message, _) if stanza.child("body", ns::CLIENT).is_none() => {
                witness.lists.told(me, stanza)
            }
            (Kind::Message, _) => {
                let body = stanza.child_text("body", ns::CLIENT).unwrap_or_default();
                witness.received(me, stanza.to(), &body, now)
            }
            (Kind::Iq, Some("result" | "error")) => {
                witness.lists.answered(stanza)?;
                let proof = id.strip_prefix("proof").and_then(|number| number.parse::<u32>().ok());
                while let Some((number, heard)) = self.proofs.front().copied()
                    && proof.is_some_and(|proof| number <= proof)
                {
                    self.proofs.pop_front();
                    witness.confirmed(me, heard, now);
                }
                Ok(())
            }
            (Kind::Iq, Some("get")) if stanza.has("query", ns::DISCO_INFO) => {
                self.post(None, format!("<iq type='result' id='{id}' to='localhost'>{INFO}</iq>"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn acknowledged(&mut self, h: u32, witness: &mut Witness) -> Result<(), String> {
        let new = h.wrapping_sub(self.counted) as usize;
        if new > self.outbox.len() {
            let known = self.outbox.len();
            return Err(format!("the server counts {new} more, and {known} were said"));
        }
        self.counted = h;
        for it in self.outbox.drain(..new) {
            it.message.into_iter().for_each(|message| witness.acknowledged(message));
            it.speech.into_iter().for_each(|number| witness.talk.acknowledged(number));
        }
        Ok(())
    }

    fn say_again(&mut self) {
        for it in &self.outbox {
            self.out.extend_from_slice(it.xml.as_bytes());
        }
    }
}
