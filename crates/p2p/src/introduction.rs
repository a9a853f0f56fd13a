//! XEP-0353 and XEP-0166 for private chats: from a request to two ends that know each other's
//! transport.
//!
//! Sans-IO: stanzas, orders and the time go in; [`Action`]s come out. There is at most one
//! introduction with each person. This device reveals its addresses only after a person has
//! agreed, and then only to the one device that agreed. `arrivals` checks what others say.
//!
//! ```text
//! asking --proceed--> meeting --both transports--> connecting --line--> (gone from here)
//! asked  --accept---> meeting
//! ```

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use whoelse_client::token;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Jid, Outgoing};

mod arrivals;
mod rings;

use crate::device::KeyStatus;
use crate::events::{Asked, Failure, Happening, Refused};
use crate::jingle::{self, Transport, Why, Word};
use rings::Rings;

/// A request expires after this time, on both sides.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Time from the answer until both ends know each other's transport.
const MEET_WITHIN: Duration = Duration::from_secs(30);
/// Time from there to a line.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Requests of others that may wait for an answer; further ones are answered `busy`.
const MAX_REQUESTS: usize = 20;
/// Recently ended sessions, for stanzas that arrive late.
const MAX_ENDED: usize = 32;

/// What the caller must do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this stanza, and report a refusal under this id.
    Send { stanza: Outgoing, mine: Option<(String, BareJid)> },
    /// Send presence to a device (XEP-0353, 3 and 4), so that servers pass on its requests.
    Show(FullJid),
    /// Send this request to a device. If it refuses or nobody answers, call
    /// [`Introductions::handle_unanswered`].
    Ask { of: FullJid, sid: String, payload: Element },
    /// Find out the addresses of this device, then call [`Introductions::handle_gathered`].
    Gather { whom: BareJid, sid: String },
    /// Make a line: the two ends know each other's transport.
    Connect { whom: BareJid, sid: String, initiator: bool, theirs: Transport },
    /// Remember this new device of theirs.
    Remember { whom: BareJid, theirs: Transport },
    /// Remember this device, whose key has changed, if the user trusts it.
    Distrust { whom: BareJid, theirs: Transport },
    /// Report an event.
    Tell(Happening),
}

/// Compares the device of somebody with what is known, and returns its code.
pub(crate) type Judge<'a> = &'a dyn Fn(&BareJid, &Transport) -> (KeyStatus, String);

/// All introductions.
#[derive(Debug)]
pub(crate) struct Introductions {
    me: FullJid,
    under_way: HashMap<BareJid, Introduction>,
    rings: Rings,
    ended: VecDeque<(BareJid, String)>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
struct Introduction {
    sid: String,
    stage: Stage,
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    /// I have asked all their devices.
    Asking,
    /// This device of theirs has asked me.
    Asked { by: FullJid },
    /// One device of each has agreed, and they exchange their transports.
    Meeting(Meeting),
    /// Both know, and the line with this device is being made. A new device is remembered after it
    /// has proved its key.
    Connecting { with: FullJid, new: Option<New> },
}

/// A device that was not known.
#[derive(Debug)]
struct New {
    theirs: Transport,
    first: bool,
    code: String,
}

#[derive(Debug)]
struct Meeting {
    with: FullJid,
    initiator: bool,
    mine: Option<Transport>,
    theirs: Option<Transport>,
    new: Option<New>,
    /// Whether my transport was sent.
    said: bool,
}

impl Introductions {
    pub(crate) fn new(me: FullJid) -> Introductions {
        Introductions {
            me,
            under_way: HashMap::new(),
            rings: Rings::default(),
            ended: VecDeque::new(),
            actions: VecDeque::new(),
        }
    }

    /// Returns the next action.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes over the address of a new session, by which other devices know us.
    pub(crate) fn renew(&mut self, me: FullJid) {
        self.me = me;
    }

    /// Returns whether there is an introduction with somebody that I have agreed to.
    pub(crate) fn is_wanted(&self, whom: &BareJid) -> bool {
        let stage = self.under_way.get(whom).map(|it| &it.stage);
        matches!(stage, Some(Stage::Asking | Stage::Meeting(_) | Stage::Connecting { .. }))
    }

    /// Returns whether somebody waits for my answer.
    pub(crate) fn is_asked_by(&self, whom: &BareJid) -> bool {
        self.request_of(whom).is_some()
    }

    /// Returns whether a line with somebody is being made in this session.
    pub(crate) fn is_connecting(&self, whom: &BareJid, sid: &str) -> bool {
        matches!(self.found(whom, sid), Some(Stage::Connecting { .. }))
    }

    /// Returns whether anything needs the addresses of this device.
    pub(crate) fn needs_place(&self) -> bool {
        let needs = |stage: &Stage| matches!(stage, Stage::Meeting(_) | Stage::Connecting { .. });
        self.under_way.values().any(|it| needs(&it.stage))
    }

    // ---- wishes ----

    /// Asks somebody. If they have asked me, this accepts.
    pub(crate) fn ask(&mut self, whom: &BareJid, now: Instant) -> Result<Asked, Refused> {
        if self.is_wanted(whom) {
            return Err(Refused::AlreadyAsked);
        }
        if self.under_way.contains_key(whom) {
            return self.accept(whom, now).map(|()| Asked::Accepted);
        }
        // The message has the session's id, so that its refusal can be related.
        let sid = token();
        let stanza = jingle::say(&Jid::from(whom.clone()), &sid, &sid, Word::Propose);
        let mine = Some((sid.clone(), whom.clone()));
        self.actions.push_back(Action::Send { stanza, mine });
        self.begin(whom, sid, Stage::Asking, now + ANSWER_WITHIN);
        Ok(Asked::New)
    }

    /// Accepts the request of somebody.
    pub(crate) fn accept(&mut self, whom: &BareJid, now: Instant) -> Result<(), Refused> {
        let (sid, by) = self.request_of(whom).ok_or(Refused::NoRequest)?;
        self.actions.push_back(Action::Show(by.clone()));
        self.say(&Jid::from(by.clone()), &sid, Word::Proceed);
        self.tell_own_devices(&sid, Word::Proceed);
        self.meet(whom, sid, by, false, now);
        Ok(())
    }

    /// Declines the request of somebody.
    pub(crate) fn decline(&mut self, whom: &BareJid) -> Result<(), Refused> {
        let (sid, by) = self.request_of(whom).ok_or(Refused::NoRequest)?;
        let no = Word::Reject(Why::Decline);
        self.say(&Jid::from(by), &sid, no);
        self.tell_own_devices(&sid, no);
        self.end(whom);
        Ok(())
    }

    /// Withdraws my request to somebody, if there is one.
    pub(crate) fn withdraw(&mut self, whom: &BareJid) -> Result<(), Refused> {
        if !self.is_wanted(whom) {
            return Err(Refused::NoneOpen);
        }
        self.give_up(whom, Why::Cancel);
        Ok(())
    }

    /// Withdraws everything, since the session with the server ends.
    pub(crate) fn withdraw_all(&mut self) {
        let all: Vec<BareJid> = self.under_way.keys().cloned().collect();
        for whom in &all {
            if self.is_wanted(whom) {
                self.give_up(whom, Why::Cancel);
            } else {
                self.end(whom);
            }
        }
    }

    /// Ends everything: without a session nothing can be sent any more.
    pub(crate) fn handle_logged_out(&mut self) {
        for (whom, introduction) in std::mem::take(&mut self.under_way) {
            self.tell(match introduction.stage {
                Stage::Asked { .. } => Happening::Lapsed(whom),
                _ => Happening::NotOpened { whom, why: Failure::LoggedOut },
            });
        }
        self.actions.retain(|action| matches!(action, Action::Tell(_)));
    }

    /// Ends the introduction with somebody whom I have blocked; they are not told.
    pub(crate) fn handle_blocked(&mut self, whom: &BareJid) {
        self.end(whom);
    }

    // ---- what other tasks found out ----

    /// Takes the addresses of this device, or the failure to find them.
    pub(crate) fn handle_gathered(
        &mut self,
        whom: &BareJid,
        sid: &str,
        mine: Result<Transport, String>,
        now: Instant,
    ) {
        if !matches!(self.found(whom, sid), Some(Stage::Meeting(_))) {
            return;
        }
        match (mine, self.under_way.get_mut(whom).map(|it| &mut it.stage)) {
            (Ok(mine), Some(Stage::Meeting(meeting))) => {
                meeting.mine = Some(mine);
                self.advance(whom, now);
            }
            (Err(words), _) => {
                self.give_up(whom, Why::Failed);
                let why = Failure::Local(words);
                self.tell(Happening::NotOpened { whom: whom.clone(), why });
            }
            _ => {}
        }
    }

    /// Ends an introduction: there is a line on which the peer has proved its key.
    pub(crate) fn handle_connected(&mut self, whom: &BareJid, sid: &str) {
        if !self.is_connecting(whom, sid) {
            return;
        }
        if let Some(Introduction { stage: Stage::Connecting { new: Some(new), .. }, .. }) =
            self.under_way.remove(whom)
        {
            let New { theirs, first, code } = new;
            self.actions.push_back(Action::Remember { whom: whom.clone(), theirs });
            self.tell(Happening::NewDevice { whom: whom.clone(), first, code });
        }
    }

    /// Ends an introduction: no line could be made.
    pub(crate) fn handle_not_connected(&mut self, whom: &BareJid, sid: &str) {
        if matches!(self.found(whom, sid), Some(Stage::Connecting { .. })) {
            self.give_up(whom, Why::Connectivity);
            self.tell(Happening::NotOpened { whom: whom.clone(), why: Failure::NoWay });
        }
    }

    // ---- the time ----

    /// Returns when [`Introductions::handle_time`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.under_way.values().map(|it| it.deadline).min()
    }

    /// Ends what has taken too long.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        let late = self.under_way.iter().filter(|(_, it)| it.deadline <= now);
        let late: Vec<BareJid> = late.map(|(whom, _)| whom.clone()).collect();
        for whom in late {
            match self.under_way.get(&whom).map(|it| &it.stage) {
                Some(Stage::Asking) => {
                    self.give_up(&whom, Why::Timeout);
                    self.tell(Happening::NoAnswer(whom));
                }
                Some(Stage::Asked { .. }) => {
                    self.end(&whom);
                    self.tell(Happening::Lapsed(whom));
                }
                Some(Stage::Meeting(_)) => {
                    self.give_up(&whom, Why::Timeout);
                    self.tell(Happening::NotOpened { whom, why: Failure::TimedOut });
                }
                Some(Stage::Connecting { .. }) => {
                    self.give_up(&whom, Why::Connectivity);
                    self.tell(Happening::NotOpened { whom, why: Failure::NoWay });
                }
                None => {}
            }
        }
    }

    // ---- steps ----

    fn begin(&mut self, whom: &BareJid, sid: String, stage: Stage, deadline: Instant) {
        self.under_way.insert(whom.clone(), Introduction { sid, stage, deadline });
    }

    fn meet(&mut self, whom: &BareJid, sid: String, with: FullJid, initiator: bool, now: Instant) {
        let meeting = Meeting { with, initiator, mine: None, theirs: None, new: None, said: false };
        self.begin(whom, sid.clone(), Stage::Meeting(meeting), now + MEET_WITHIN);
        self.actions.push_back(Action::Gather { whom: whom.clone(), sid });
    }

    /// Sends my transport when it is my turn, and connects when both know.
    fn advance(&mut self, whom: &BareJid, now: Instant) {
        let Some(introduction) = self.under_way.get_mut(whom) else { return };
        let sid = introduction.sid.clone();
        let Stage::Meeting(meeting) = &mut introduction.stage else { return };
        let Some(mine) = &meeting.mine else { return };
        if let Some(theirs) = &meeting.theirs
            && !mine.has_way_to(theirs)
        {
            self.give_up(whom, Why::Connectivity);
            let why = Failure::NoCommonWay;
            return self.tell(Happening::NotOpened { whom: whom.clone(), why });
        }
        let turn = meeting.initiator || meeting.theirs.is_some();
        if turn && !meeting.said {
            meeting.said = true;
            let payload = match meeting.initiator {
                true => jingle::initiate(&sid, &self.me, mine),
                false => jingle::accept(&sid, &self.me, mine),
            };
            let of = meeting.with.clone();
            self.actions.push_back(Action::Ask { of, sid: sid.clone(), payload });
        }
        if let (true, Some(theirs)) = (meeting.said, meeting.theirs.take()) {
            let (with, initiator) = (meeting.with.clone(), meeting.initiator);
            let stage = Stage::Connecting { with, new: meeting.new.take() };
            let whom = whom.clone();
            self.begin(&whom, sid.clone(), stage, now + CONNECT_WITHIN);
            self.actions.push_back(Action::Connect { whom, sid, initiator, theirs });
        }
    }

    /// Ends an introduction, and tells everybody who knows of it.
    fn give_up(&mut self, whom: &BareJid, why: Why) {
        let Some(introduction) = self.under_way.get(whom) else { return };
        let sid = introduction.sid.clone();
        match &introduction.stage {
            Stage::Asking => self.say(&Jid::from(whom.clone()), &sid, Word::Retract(why)),
            Stage::Asked { .. } => {}
            Stage::Meeting(it) if it.said || it.theirs.is_some() => {
                let of = it.with.clone();
                self.terminate(of, sid, why);
            }
            Stage::Meeting(it) => {
                let to = Jid::from(it.with.clone());
                self.say(&to, &sid, Word::Finish(why));
            }
            Stage::Connecting { with, .. } => {
                let of = with.clone();
                self.terminate(of, sid, why);
            }
        }
        self.end(whom);
    }

    fn terminate(&mut self, of: FullJid, sid: String, why: Why) {
        let payload = jingle::terminate(&sid, why);
        self.actions.push_back(Action::Ask { of, sid, payload });
    }

    fn end(&mut self, whom: &BareJid) {
        if let Some(introduction) = self.under_way.remove(whom) {
            if self.ended.len() == MAX_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back((whom.clone(), introduction.sid));
        }
    }

    /// Returns the stage of this session with somebody.
    fn found(&self, whom: &BareJid, sid: &str) -> Option<&Stage> {
        self.under_way.get(whom).filter(|it| it.sid == sid).map(|it| &it.stage)
    }

    fn request_of(&self, whom: &BareJid) -> Option<(String, FullJid)> {
        match self.under_way.get(whom) {
            Some(Introduction { sid, stage: Stage::Asked { by }, .. }) => {
                Some((sid.clone(), by.clone()))
            }
            _ => None,
        }
    }

    fn requests(&self) -> usize {
        self.under_way.values().filter(|it| matches!(it.stage, Stage::Asked { .. })).count()
    }

    fn say(&mut self, to: &Jid, sid: &str, word: Word) {
        let stanza = jingle::say(to, &token(), sid, word);
        self.actions.push_back(Action::Send { stanza, mine: None });
    }

    /// Tells my other devices to stop ringing.
    fn tell_own_devices(&mut self, sid: &str, word: Word) {
        let own = Jid::from(self.me.to_bare());
        self.say(&own, sid, word);
    }

    fn tell(&mut self, happening: Happening) {
        self.actions.push_back(Action::Tell(happening));
    }
}

#[cfg(test)]
mod tests;
