//! Hours of faults in a few seconds: clients on bad connections, a store that fails, and a server
//! that is restarted and killed. Everything is decided by a seed, so that a failure can be
//! reproduced.
//!
//! It runs over a world in memory, with the server's own connection driver and a clock that
//! advances only when nothing else happens. The wire ([`device`]) delays and splits bytes, stalls,
//! silently loses one direction, and breaks anywhere. A [`Witness`] records everything sent and
//! received, and knows what must be true of it; its [`Lists`] do so of what is published, and its
//! [`Talk`] of what is said in a room.

mod device;
mod lists;
mod talk;
mod witness;

pub use lists::Lists;
pub use talk::Talk;
pub use witness::Witness;

use std::time::Duration;

use whoelse_core::settings::{Contacts, Sessions, Settings};
use whoelse_fuzz::random::Random;
use whoelse_store::faults::{Fault, Step};

use crate::scene::Server;
use crate::world::World;
use crate::world::memory::Memory;
use device::Device;
use talk::ROOM;

/// Which faults to play.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Decides everything that happens.
    pub seed: u64,
    /// How many events happen.
    pub steps: usize,
    /// Devices of each account.
    pub accounts: &'static [usize],
    /// Whether connections fail.
    pub wires: bool,
    /// Whether the store is slow and fails.
    pub disk: bool,
    /// Whether the server is stopped and started again.
    pub restarts: bool,
    /// Whether it is killed.
    pub crashes: bool,
    /// Whether messages are kept after their delivery.
    pub history: bool,
    /// Whether people see those alone who are in their rosters; which are all.
    pub rosters: bool,
}

/// Figures of a run.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    /// Time that has passed by the world's clock.
    pub passed: Duration,
    /// Messages that were acknowledged or refused.
    pub messages: usize,
    /// Those of them that were refused.
    pub refused: usize,
    /// Messages that a later session of a device got again.
    pub repeats: usize,
    /// Lists of devices that were accepted.
    pub lists: usize,
    /// Times that one was read.
    pub looks: usize,
    /// Times that a device was told of one.
    pub events: usize,
    /// Messages to a room that were acknowledged, how often one was heard, and how many were taken back.
    pub talk: (usize, usize, usize),
    /// Connections that opened a session or resumed one.
    pub logins: usize,
    /// Connections that resumed one.
    pub resumed: usize,
}

/// Plays it. The error says what is not true, and what led to it.
pub fn run(plan: &Plan) -> Result<Tally, String> {
    Storm::new(plan)?.blow().map_err(|why| format!("{plan:?}\n{why}"))
}

/// Rounds that anybody who can connect waits at most.
const PATIENCE: usize = 40;

struct Storm {
    // Dropped before the world they run in.
    devices: Vec<Device>,
    witness: Witness,
    random: Random,
    plan: Plan,
    world: Memory,
    logins: usize,
    resumed: usize,
}

impl Storm {
    fn new(plan: &Plan) -> Result<Storm, String> {
        let mut settings = Settings { sessions: Sessions::Many, ..Settings::default() };
        if !plan.history {
            settings.history = None;
        }
        let names: Vec<String> = (0..plan.accounts.len()).map(name).collect();
        if plan.rosters {
            settings.contacts = Contacts::Roster;
        }
        let mut world = Memory::with(settings, &names, plan.crashes)?;
        if plan.rosters {
            world.befriend(&names)?;
            world.server(Server::Restarts)?;
        }
        let mut devices = Vec::new();
        for (account, count) in plan.accounts.iter().enumerate() {
            devices.extend((0..*count).map(|number| Device::new(account, number)));
        }
        let witness = Witness::new(plan.accounts, plan.disk, plan.history);
        let random = Random::new(plan.seed);
        let plan = *plan;
        Ok(Storm { devices, witness, random, plan, world, logins: 0, resumed: 0 })
    }

    fn blow(mut self) -> Result<Tally, String> {
        self.found_room()?;
        let begin = self.world.now();
        for _ in 0..self.plan.steps {
            self.something_happens()?;
            self.settle()?;
        }
        self.calm()?;
        self.witness.check()?;
        self.empty()?;
        let (messages, refused, repeats) = self.witness.counts();
        let (lists, looks, events) = self.witness.lists.counts();
        Ok(Tally {
            passed: self.world.now().since(begin),
            messages,
            refused,
            repeats,
            lists,
            looks,
            events,
            talk: self.witness.talk.counts(),
            logins: self.logins,
            resumed: self.resumed,
        })
    }

    // --- what happens ---

    fn something_happens(&mut self) -> Result<(), String> {
        let chosen = self.random.below(self.devices.len());
        match self.random.below(100) {
            0..22 => self.speak(chosen),
            22..38 => self.talk(chosen),
            38..46 => self.publish(chosen),
            46..60 => self.move_about(chosen),
            60..75 if self.plan.wires => {
                self.devices[chosen].trouble(&mut self.random);
                Ok(())
            }
            75..85 => {
                let most = [50, 2_000, 30_000, 400_000][self.random.below(4)];
                let time = Duration::from_millis(self.random.number() % most);
                self.pass(time)
            }
            85..88 if self.plan.disk => {
                self.change_faults();
                Ok(())
            }
            88 if self.plan.crashes && self.random.below(2) == 0 => self.server(Server::Crashes),
            89 if self.plan.restarts && self.random.below(2) == 0 => self.server(Server::Restarts),
            _ => self.speak(chosen),
        }
    }

    /// A device with a session sends something; one without logs in.
    fn speak(&mut self, chosen: usize) -> Result<(), String> {
        if !self.devices[chosen].is_connected() {
            return self.connect(chosen);
        }
        if !self.devices[chosen].is_open() {
            return Ok(());
        }
        for _ in 0..=self.random.below(6) {
            let to = self.random.below(self.plan.accounts.len());
            let device = (self.random.below(4) == 0)
                .then(|| self.random.below(self.plan.accounts[to].max(1)));
            let origin = self.random.below(4) > 0;
            let message = self.witness.write(chosen, to, device, origin);
            self.devices[chosen].say(message, self.witness.xml(message));
        }
        Ok(())
    }

    /// A device makes the room in which all talk, before anything goes wrong.
    fn found_room(&mut self) -> Result<(), String> {
        self.connect(0)?;
        self.settle()?;
        self.devices[0].enter();
        self.settle()?;
        self.devices[0].ask(format!(
            "<iq type='set' id='found' to='{ROOM}'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_persistentroom'>\
             <value>1</value></field></x></query></iq>"
        ));
        self.settle()?;
        match self.witness.talk.is_here(0) {
            true => Ok(()),
            false => Err("nobody could make a room".to_owned()),
        }
    }

    /// A device enters the room or leaves it, speaks there, or, as a moderator, takes something back or
    /// puts somebody out.
    fn talk(&mut self, chosen: usize) -> Result<(), String> {
        if !self.devices[chosen].is_connected() {
            return self.connect(chosen);
        }
        if !self.devices[chosen].is_open() {
            return Ok(());
        }
        let account = self.devices[chosen].account();
        let (device, talk) = (&mut self.devices[chosen], &mut self.witness.talk);
        let is_here = talk.is_here(chosen);
        if !is_here {
            device.enter();
        }
        match self.random.below(12) {
            // It need not wait to be told that it is there.
            _ if !is_here => {
                let (number, xml) = talk.say(account, chosen);
                device.speak(number, xml);
            }
            0 => device.present(&format!(
                "<presence type='unavailable' to='{ROOM}/{}'/>",
                talk::nickname(account)
            )),
            1 if account == 0 => {
                if let Some(request) = talk.moderate(self.random.below(1_000)) {
                    device.ask(request);
                }
            }
            2 if account == 0 => {
                let whom = talk::nickname(self.random.below(self.plan.accounts.len()));
                device.ask(format!(
                    "<iq type='set' id='kick' to='{ROOM}'>\
                     <query xmlns='http://jabber.org/protocol/muc#admin'>\
                     <item nick='{whom}' role='none'/></query></iq>"
                ));
            }
            _ => {
                for _ in 0..=self.random.below(4) {
                    let (number, xml) = talk.say(account, chosen);
                    device.speak(number, xml);
                }
            }
        }
        Ok(())
    }

    /// A device publishes lists of its account, and reads them, without waiting for an answer.
    fn publish(&mut self, chosen: usize) -> Result<(), String> {
        if !self.devices[chosen].is_connected() {
            return self.connect(chosen);
        }
        if !self.devices[chosen].is_open() {
            return Ok(());
        }
        for _ in 0..=self.random.below(3) {
            let (device, lists) = (&mut self.devices[chosen], &mut self.witness.lists);
            let request = match self.random.below(2) {
                0 => lists.publish(device.account(), chosen),
                _ => lists.look(device.account(), chosen),
            };
            device.ask(request);
        }
        Ok(())
    }

    /// Changes somebody's presence, or logs somebody in or out.
    fn move_about(&mut self, chosen: usize) -> Result<(), String> {
        let device = &mut self.devices[chosen];
        if !device.is_connected() {
            return self.connect(chosen);
        }
        match self.random.below(8) {
            0 => device.present("<presence type='unavailable'/>"),
            1 => device.appear("<priority>-1</priority>"),
            2..5 => device.appear(""),
            5 => device.leave(),
            6 => device.count(),
            _ => device.confirm(self.witness.heard(chosen)),
        }
        Ok(())
    }

    fn connect(&mut self, chosen: usize) -> Result<(), String> {
        let from = std::net::IpAddr::from([127, 0, 2, 1 + chosen as u8]);
        let line = self.world.connect(crate::scene::Way::Encrypted, Some(from), "")?;
        self.devices[chosen].connect(line, &mut self.random);
        Ok(())
    }

    /// Makes the store fail sometimes, always, or never.
    fn change_faults(&mut self) {
        let (often, mut random) = (self.random.below(4), Random::new(self.random.number()));
        let odds = match often {
            0 => return self.world.store().clear_faults(),
            1 => 2,
            2 => 10,
            _ => 50,
        };
        self.world.store().set_faults(move |step| match random.below(2 * odds) {
            0 => Fault::Fails,
            1 if step != Step::Statement => Fault::Slow(Duration::from_millis(1)),
            _ => Fault::None,
        });
    }

    fn server(&mut self, what: Server) -> Result<(), String> {
        if what == Server::Restarts {
            // A server that cannot read its database would not start.
            self.world.store().clear_faults();
        }
        self.world.server(what)?;
        self.witness.server_ended(self.world.now(), what == Server::Crashes);
        self.listen()?;
        self.devices.iter_mut().for_each(Device::hang_up);
        self.settle()
    }

    fn pass(&mut self, time: Duration) -> Result<(), String> {
        // In several pieces, so that every device gets a turn whenever something may have
        // happened.
        let mut left = time;
        while !left.is_zero() {
            let piece = left.min(Duration::from_secs(5));
            left -= piece;
            self.world.pass(piece, &mut |_| {})?;
            self.settle()?;
        }
        Ok(())
    }

    /// Runs until nobody has anything to send.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..1000 {
            self.world.settle();
            if !self.listen()? {
                return Ok(());
            }
        }
        Err("it never comes to rest".to_owned())
    }

    /// Lets every device receive and send. Returns whether anything happened.
    fn listen(&mut self) -> Result<bool, String> {
        let (mut moved, now) = (false, self.world.now());
        for (number, device) in self.devices.iter_mut().enumerate() {
            let heard = device.turn(&mut self.random, number, now, &mut self.witness)?;
            moved |= heard.moved;
            self.logins += usize::from(heard.opened);
            self.resumed += usize::from(heard.resumed);
        }
        Ok(moved)
    }

    // --- the end ---

    /// Ends all faults: every device reconnects and receives everything.
    fn calm(&mut self) -> Result<(), String> {
        self.world.store().clear_faults();
        self.devices.iter_mut().for_each(Device::recover);
        for _ in 0..PATIENCE {
            for chosen in 0..self.devices.len() {
                if !self.devices[chosen].is_connected() {
                    self.connect(chosen)?;
                }
            }
            self.settle()?;
            for device in self.devices.iter_mut().filter(|device| device.is_open()) {
                device.appear("");
                device.count();
            }
            self.settle()?;
            let open = self.devices.iter().all(|it| it.is_open() && it.has_nothing_to_say());
            if open && self.witness.is_complete() && self.witness.lists.is_quiet() {
                return self.look();
            }
            // A network with too many failures waits for its turn, and a lost session for its end.
            self.pass(Duration::from_secs(20))?;
        }
        let stuck: Vec<String> =
            self.devices.iter().filter(|it| !it.is_open()).map(|it| it.words()).collect();
        let missing = self.witness.missing();
        Err(format!("after the storm these are not in: {stuck:?}; missing: {missing}"))
    }

    /// Everybody reads the list of their account, and has been told it; and somebody reads what was said
    /// in the room.
    fn look(&mut self) -> Result<(), String> {
        while let Some(request) = self.witness.talk.next_page() {
            let before = request.clone();
            self.devices[0].ask(request);
            self.settle()?;
            if self.witness.talk.next_page().is_some_and(|next| next == before) {
                return Err("the archive of the room is not read to its end".to_owned());
            }
        }
        self.witness.talk.check()?;
        for (chosen, device) in self.devices.iter_mut().enumerate() {
            device.ask(self.witness.lists.look(device.account(), chosen));
        }
        self.settle()?;
        if !self.witness.lists.is_quiet() {
            return Err("a list was asked for, and nobody has answered".to_owned());
        }
        for (number, device) in self.devices.iter().enumerate() {
            for account in 0..self.plan.accounts.len() {
                if self.plan.rosters || account == device.account() {
                    self.witness.lists.check_told(number, account)?;
                }
            }
        }
        Ok(())
    }

    /// Logs everybody out, and checks that nothing is left.
    fn empty(&mut self) -> Result<(), String> {
        self.devices.iter_mut().for_each(Device::leave);
        self.settle()?;
        // Sessions lost during the faults can be resumed for ten minutes.
        self.pass(Duration::from_secs(11 * 60))?;
        match self.world.sessions() {
            0 => self.world.server(Server::Stops),
            left => Err(format!("{left} sessions are left when everybody has gone")),
        }
    }
}

fn name(account: usize) -> String {
    format!("user{account}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_login_is_two_commits_and_a_logout_is_one() {
        let plan = Plan {
            seed: 1,
            steps: 0,
            accounts: &[1],
            wires: false,
            disk: false,
            restarts: false,
            crashes: false,
            history: true,
            rosters: false,
        };
        let mut storm = Storm::new(&plan).unwrap();
        storm.settle().unwrap();
        let commits = Arc::new(AtomicUsize::new(0));
        let counted = commits.clone();
        storm.world.store().set_faults(move |step| {
            counted.fetch_add(usize::from(step == Step::Commit), Ordering::Relaxed);
            Fault::None
        });

        storm.connect(0).unwrap();
        storm.settle().unwrap();
        assert!(storm.devices[0].is_open());
        storm.devices[0].present("<presence/>");
        storm.settle().unwrap();
        storm.pass(Duration::from_secs(2)).unwrap();

        // The interval in which they are online; and, with all logins of the same second, from where
        // and when they came.
        assert_eq!(commits.swap(0, Ordering::Relaxed), 2);
        storm.devices[0].leave();
        storm.settle().unwrap();
        storm.pass(Duration::from_secs(2)).unwrap();

        assert_eq!(storm.world.sessions(), 0);
        // The end of the interval, and the last words.
        assert_eq!(commits.load(Ordering::Relaxed), 1);
    }
}
