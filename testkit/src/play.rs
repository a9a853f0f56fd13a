//! Plays a scene: executes it step by step, and compares what is received.
//!
//! After every step the world comes to rest, so "hears nothing" is a fact and not a timeout. At
//! the end nobody may have received more than the scene says.

mod logins;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::actor::Actor;
use crate::pattern::{self, Names};
use crate::scene::{Act, Cast, Expected, Goal, Login, Scene, Server, Step, Verb};
use crate::tokens;
use crate::tree::Heard;
use crate::world::{self, Kind, World};

/// A scene that did not go as written.
#[derive(Debug)]
pub struct Failure {
    /// The scene's file.
    pub path: PathBuf,
    /// The line of the step; zero before the first.
    pub line: usize,
    /// The step.
    pub step: String,
    /// What was different.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.path.display(), self.line, self.step)?;
        f.write_str(&self.why)
    }
}

/// Plays it.
pub fn play(scene: &Scene, kind: Kind) -> Result<(), Failure> {
    let failure = |line, step: &str, why| Failure {
        path: scene.path.clone(),
        line,
        step: step.to_owned(),
        why,
    };
    let world = world::make(kind, scene).map_err(|why| failure(0, "the server starts", why))?;
    let mut play = Play { world, actors: BTreeMap::new(), names: Names::new(), asked: 0 };
    for step in &scene.steps {
        play.step(step).map_err(|why| failure(step.line, &step.text, why))?;
    }
    play.nobody_heard_more().map_err(|why| failure(0, "at the end", why))
}

/// A running scene.
struct Play {
    // Dropped before the world they run in.
    actors: BTreeMap<String, Actor>,
    names: Names,
    /// Signs of progress requested so far.
    asked: u32,
    world: Box<dyn World>,
}

impl Play {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.act {
            Act::Here(cast) => self.here(cast)?,
            Act::Pass(time) => {
                let Play { actors, world, .. } = self;
                world.pass(*time, &mut |world| rest(world, actors))?;
            }
            Act::SetClock(set) => self.world.set_clock(*set)?,
            Act::Server(what) => self.server(*what)?,
            Act::Actor(name, verb) => {
                self.verb(name, verb)?;
            }
        }
        if acts(&step.act) {
            self.settle();
        }
        for (name, actor) in &self.actors {
            if let Some(id) = actor.managed.as_ref().and_then(|managed| managed.id.clone()) {
                self.names.insert(format!("{name}-session"), id);
            }
        }
        Ok(())
    }

    fn actor(&mut self, name: &str) -> &mut Actor {
        self.actors.entry(name.to_owned()).or_insert_with(Actor::new)
    }

    fn here(&mut self, cast: &[Cast]) -> Result<(), String> {
        for Cast { actor, priority } in cast {
            self.logs_in(actor, &Login::usual(), Goal::Available(*priority))?;
        }
        self.settle();
        self.actors.values_mut().for_each(|actor| actor.inbox.clear());
        Ok(())
    }

    fn server(&mut self, what: Server) -> Result<(), String> {
        self.world.server(what)?;
        rest(&mut *self.world, &mut self.actors);
        if what == Server::Crashes {
            self.actors.values_mut().for_each(Actor::drop_line);
        }
        Ok(())
    }

    fn verb(&mut self, name: &str, verb: &Verb) -> Result<(), String> {
        match verb {
            Verb::Connects { way, from, injected } => {
                let line = self.world.connect(*way, *from, injected)?;
                self.actor(name).take_line(line);
            }
            Verb::OpensStream => self.opens_stream(name)?,
            Verb::LogsIn(login, goal) => self.logs_in(name, login, *goal)?,
            Verb::CannotLogIn(login, refused) => self.cannot_log_in(name, login, refused)?,
            Verb::BeginsToLogIn(login) => self.begins_to_log_in(name, login)?,
            Verb::IsIn => self.is_in(name)?,
            Verb::IsRefused(refused) => self.is_refused(name, refused)?,
            Verb::Resumes { h, handled } => self.resumes(name, *h, *handled)?,
            Verb::CannotResume => self.cannot_resume(name)?,
            Verb::Sends(text, times) => {
                for n in 1..=*times {
                    self.names.insert("n".to_owned(), n.to_string());
                    let text = self.filled(name, text)?;
                    self.connected(name)?.send(text.as_bytes());
                }
                self.names.remove("n");
            }
            Verb::SendsAndBreaks(text) => {
                let text = self.filled(name, text)?;
                self.connected(name)?.send_and_break(text.as_bytes());
            }
            Verb::SendsBytes(bytes) => self.connected(name)?.send(bytes),
            Verb::Fetches(path, parts) => {
                let answer = self.world.fetch(path)?;
                if let Some(missing) = parts.iter().find(|part| !answer.contains(part.as_str())) {
                    return Err(format!(
                        "`{missing}` is not in what {path} is answered:\n{answer}"
                    ));
                }
            }
            Verb::Hears { expected, any_order, times } => {
                for n in 1..=*times {
                    self.names.insert("n".to_owned(), n.to_string());
                    self.hears(name, expected, *any_order)?;
                }
                self.names.remove("n");
            }
            Verb::HearsNothing => self.heard_nothing(name)?,
            Verb::Ignores => self.actor(name).inbox.clear(),
            Verb::IsDisconnected => self.is_disconnected(name)?,
            Verb::Breaks => self.actor(name).drop_line(),
            Verb::Closes => self.connected(name)?.send(b"</stream:stream>"),
            Verb::StopsReading => self.reads(name, false)?,
            Verb::ReadsAgain => self.reads(name, true)?,
            Verb::StopsAcknowledging => self.actor(name).acknowledging = false,
            Verb::Acknowledges => {
                let actor = self.connected(name)?;
                actor.acknowledging = true;
                actor.acknowledge();
            }
            Verb::IsAsked(expected) => {
                let asked = std::mem::take(&mut self.actor(name).asked);
                if asked != *expected {
                    let not = if asked { "" } else { "not " };
                    return Err(format!("{name} was {not}asked for an acknowledgement"));
                }
            }
        }
        Ok(())
    }

    /// Fills in what stands for something else in what an actor sends.
    fn filled(&mut self, name: &str, text: &str) -> Result<String, String> {
        let channel = self.connected(name)?.line.as_ref().map(|line| line.channel.clone());
        let text = tokens::fill(text, &self.names, &channel.unwrap_or_default())?;
        Ok(pattern::fill(&text, &self.names))
    }

    fn connected(&mut self, name: &str) -> Result<&mut Actor, String> {
        let actor = self.actor(name);
        match actor.line {
            Some(_) => Ok(actor),
            None => Err(format!("{name} is not connected")),
        }
    }

    fn reads(&mut self, name: &str, reads: bool) -> Result<(), String> {
        if let Some(line) = &self.connected(name)?.line {
            line.read(reads);
        }
        Ok(())
    }

    // --- what is heard ---

    fn hears(&mut self, name: &str, expected: &[Expected], any_order: bool) -> Result<(), String> {
        self.await_inbox(name, |actor| actor.inbox.len() >= expected.len());
        for (i, wanted) in expected.iter().enumerate() {
            let rest = expected.len() - i;
            let Play { actors, names, .. } = self;
            let Some(actor) = actors.get_mut(name) else { return Err("nobody".to_owned()) };
            let look_at = if any_order { rest } else { 1 };
            let mut reasons = Vec::new();
            let fits = |(_, heard): &(usize, &Heard)| match fits(wanted, heard, names) {
                Ok(()) => true,
                Err(why) => {
                    reasons.push(why);
                    false
                }
            };
            let found = actor.inbox.iter().take(look_at).enumerate().find(fits);
            match found.map(|(place, _)| place) {
                Some(place) => drop(actor.inbox.remove(place)),
                None => return Err(self.otherwise(name, wanted, &reasons.join("; "))),
            }
        }
        Ok(())
    }

    fn otherwise(&mut self, name: &str, wanted: &Expected, why: &str) -> String {
        let names = self.names.clone();
        let actor = self.actor(name);
        let wanted = pattern::fill(&wanted.to_string(), &names);
        let mut text = format!("{name} was to hear:\n{}", indented(&wanted));
        if actor.inbox.is_empty() {
            let ended = if actor.ended { ", and is disconnected" } else { "" };
            return text + &format!("but heard nothing{ended}.");
        }
        text += "but heard:\n";
        for heard in actor.inbox.iter().take(5) {
            text += &indented(&heard.to_string());
        }
        if actor.inbox.len() > 5 {
            text += &format!("    … and {} more\n", actor.inbox.len() - 5);
        }
        text + why
    }

    fn heard_nothing(&mut self, name: &str) -> Result<(), String> {
        let actor = self.actor(name);
        let Some(first) = actor.inbox.front() else { return Ok(()) };
        let more = actor.inbox.len() - 1;
        let more = if more == 0 { String::new() } else { format!("    … and {more} more\n") };
        Err(format!("{name} has heard:\n{}{more}", indented(&first.to_string())))
    }

    fn is_disconnected(&mut self, name: &str) -> Result<(), String> {
        self.await_inbox(name, |actor| actor.ended);
        let actor = self.actor(name);
        if actor.inbox.front() == Some(&Heard::Close) {
            actor.inbox.pop_front();
        }
        let ended = actor.ended;
        self.heard_nothing(name)?;
        if ended { Ok(()) } else { Err(format!("{name} is still connected")) }
    }

    fn nobody_heard_more(&mut self) -> Result<(), String> {
        self.settle();
        let names: Vec<String> = self.actors.keys().cloned().collect();
        names.iter().try_for_each(|name| self.heard_nothing(name))
    }

    // --- rest ---

    /// Over sockets, waits for what an actor must receive; in memory it is there already.
    fn await_inbox(&mut self, name: &str, enough: impl Fn(&Actor) -> bool) {
        loop {
            let Play { actors, world, .. } = self;
            let Some(actor) = actors.get_mut(name) else { return };
            actor.listen();
            let Some(line) = &actor.line else { return };
            if enough(actor) || actor.ended || !world.wait_for(line) {
                return;
            }
        }
    }

    /// Lets the world come to rest, and every actor receive.
    fn settle(&mut self) {
        rest(&mut *self.world, &mut self.actors);
        if self.world.is_exact() {
            return;
        }
        // Twice: what one connection has sent may still be on its way to another.
        for _ in 0..2 {
            let signs = self.ask_for_signs();
            for sign in signs {
                self.await_sign(&sign);
            }
            rest(&mut *self.world, &mut self.actors);
        }
    }

    /// Asks the server for a sign of progress on every connection.
    fn ask_for_signs(&mut self) -> Vec<Sign> {
        let mut signs = Vec::new();
        for (name, actor) in &mut self.actors {
            actor.listen();
            if !actor.can_ask() {
                continue;
            }
            self.asked += 1;
            let id = format!("sign-{}", self.asked);
            let kind = match actor.managed {
                Some(_) => SignKind::Ack(acks(actor)),
                None => SignKind::Answer(id.clone()),
            };
            actor.send(
                match &kind {
                    SignKind::Ack(_) => "<r xmlns='urn:xmpp:sm:3'/>".to_owned(),
                    SignKind::Answer(id) => {
                        format!("<iq type='get' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>")
                    }
                }
                .as_bytes(),
            );
            signs.push(Sign { actor: name.clone(), kind });
        }
        signs
    }

    /// Waits for a sign, and removes it from the inbox.
    fn await_sign(&mut self, sign: &Sign) {
        self.await_inbox(&sign.actor, |actor| sign.place(actor).is_some());
        let actor = self.actor(&sign.actor);
        if let Some(place) = sign.place(actor) {
            actor.inbox.remove(place);
        }
    }
}

/// A sign that the server has read everything that an actor sent up to a point.
struct Sign {
    actor: String,
    kind: SignKind,
}

enum SignKind {
    /// One acknowledgement more than this many; the request for it is not counted.
    Ack(usize),
    /// The answer to the ping with this id.
    Answer(String),
}

impl Sign {
    fn place(&self, actor: &Actor) -> Option<usize> {
        match &self.kind {
            SignKind::Ack(before) if acks(actor) > *before => actor.inbox.iter().rposition(is_ack),
            SignKind::Ack(_) => None,
            SignKind::Answer(id) => actor.inbox.iter().position(|heard| match heard {
                Heard::Element(tree) => tree.name == "iq" && tree.attribute("id") == Some(id),
                _ => false,
            }),
        }
    }
}

fn acks(actor: &Actor) -> usize {
    actor.inbox.iter().filter(|heard| is_ack(heard)).count()
}

/// Returns whether a step can cause anything; otherwise there is nothing to wait for.
fn acts(act: &Act) -> bool {
    let Act::Actor(_, verb) = act else { return true };
    !matches!(
        verb,
        Verb::Hears { .. }
            | Verb::HearsNothing
            | Verb::Ignores
            | Verb::IsDisconnected
            | Verb::IsAsked(_)
            | Verb::StopsAcknowledging
            | Verb::StopsReading
    )
}

/// Lets the world do what it can without the clock, and every actor receive and answer.
fn rest(world: &mut dyn World, actors: &mut BTreeMap<String, Actor>) {
    loop {
        world.settle();
        let answered = actors.values_mut().fold(false, |any, actor| actor.listen() | any);
        if !answered {
            return;
        }
    }
}

fn is_ack(heard: &Heard) -> bool {
    matches!(heard, Heard::Element(tree) if tree.is("a", "urn:xmpp:sm:3"))
}

fn fits(expected: &Expected, heard: &Heard, names: &mut Names) -> Result<(), String> {
    match (expected, heard) {
        (Expected::Header(wanted), Heard::Header(tree))
        | (Expected::Element(wanted), Heard::Element(tree)) => {
            pattern::matches(wanted, tree, names)
        }
        (Expected::Close, Heard::Close) => Ok(()),
        _ => Err("something else".to_owned()),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
