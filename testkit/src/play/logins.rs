//! How actors log in, resume, and are refused: drives the connecting machine as far as wanted.

use super::{Play, rest};
use crate::actor::{Managed, Reached};
use crate::pattern;
use crate::scene::{Goal, Login, Refused, Way};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use whoelse_stream::client::{Config, Machine, Opening, Resumption};
use whoelse_stream::{Password, Transport};

/// The resource of an actor whose name has none.
const RESOURCE: &str = "desk";

impl Play {
    /// Sends a stream header, and discards the header and features that answer it.
    pub(super) fn opens_stream(&mut self, name: &str) -> Result<(), String> {
        self.connected(name)?.send(
            b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xml:lang='en' \
              xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        );
        rest(&mut *self.world, &mut self.actors);
        self.await_inbox(name, |actor| actor.inbox.len() >= 2);
        let actor = self.actor(name);
        match actor.inbox.len() {
            2 => {
                actor.inbox.clear();
                Ok(())
            }
            n => Err(format!("{name} heard {n} things in answer to a header")),
        }
    }

    pub(super) fn logs_in(&mut self, name: &str, login: &Login, goal: Goal) -> Result<(), String> {
        self.actor(name).stops_before_bind = goal == Goal::Authenticated;
        if login.inline {
            self.logs_in_with_bind_2(name, login)?;
            return self.becomes_available(name, goal);
        }
        self.begins_to_log_in(name, login)?;
        if goal == Goal::Authenticated {
            return match self.reach(name) {
                Some(Reached::Authenticated) => Ok(()),
                other => Err(instead(name, "authenticated", other)),
            };
        }
        self.is_in(name)?;
        self.becomes_available(name, goal)
    }

    /// Sends presence, if that is the goal, and forgets what presence comes by it.
    fn becomes_available(&mut self, name: &str, goal: Goal) -> Result<(), String> {
        let Goal::Available(priority) = goal else { return Ok(()) };
        self.actor(name).send(
            match priority {
                Some(priority) => format!("<presence><priority>{priority}</priority></presence>"),
                None => "<presence/>".to_owned(),
            }
            .as_bytes(),
        );
        self.settle();
        let is_presence = |heard: &crate::tree::Heard| match heard {
            crate::tree::Heard::Element(tree) => tree.name == "presence",
            _ => false,
        };
        self.actor(name).inbox.retain(|heard| !is_presence(heard));
        Ok(())
    }

    /// Logs in by PLAIN, and binds along with that: the tag is the resource, without an installation.
    fn logs_in_with_bind_2(&mut self, name: &str, login: &Login) -> Result<(), String> {
        let (actor_account, actor_resource) = halves(name);
        let account = login.account.as_deref().unwrap_or(actor_account);
        let tag = login.resource.as_deref().or(actor_resource).unwrap_or(RESOURCE).to_owned();
        let plain = STANDARD.encode(format!("\0{account}\0{}", login.password));
        let line = self.world.connect(login.way, login.from, "")?;
        self.actor(name).take_line(line);
        self.opens_stream(name)?;
        let enable = match login.managed {
            true => "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
            false => "",
        };
        let request = format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>{plain}\
             </initial-response><bind xmlns='urn:xmpp:bind:0'><tag>{tag}</tag>{enable}</bind>\
             </authenticate>"
        );
        self.connected(name)?.send(request.as_bytes());
        rest(&mut *self.world, &mut self.actors);
        // The success and the features.
        self.await_inbox(name, |actor| actor.inbox.len() >= 2);
        let actor = self.actor(name);
        match actor.jid.clone().filter(|_| actor.open) {
            Some(jid) => {
                actor.inbox.clear();
                self.names.insert(name.to_owned(), jid);
                Ok(())
            }
            None => Err(format!("{name} is not in, but heard {:?}", actor.inbox)),
        }
    }

    pub(super) fn begins_to_log_in(&mut self, name: &str, login: &Login) -> Result<(), String> {
        self.machine_at(name, login, None)?;
        let (actor_account, actor_resource) = halves(name);
        let account = login.account.as_deref().unwrap_or(actor_account);
        let resource = login.resource.as_deref().or(actor_resource).unwrap_or(RESOURCE).to_owned();
        let password = Password::new(&login.password).map_err(|error| error.to_string())?;
        let Some(machine) = &mut self.actor(name).machine else {
            return Err(format!("{name} cannot log in here"));
        };
        let asked = match (machine.is_ready(), login.way) {
            // The resource was refused; asks for another.
            (false, _) => machine.bind(Some(&resource)),
            (true, Way::Admin) => {
                let whom = login.account.as_ref().map(|account| format!("{account}@localhost"));
                machine.login_external(whom.as_deref())
            }
            (true, _) => machine.login(account, password),
        };
        asked.map_err(|denied| denied.to_string())?;
        let actor = self.actor(name);
        actor.send_machine();
        rest(&mut *self.world, &mut self.actors);
        Ok(())
    }

    /// Connects, unless there is a connection on which a login is still possible, and runs until
    /// the server wants a name and a password.
    fn machine_at(
        &mut self,
        name: &str,
        login: &Login,
        resume: Option<Resumption>,
    ) -> Result<(), String> {
        let (_, actor_resource) = halves(name);
        let resource = login.resource.as_deref().or(actor_resource).unwrap_or(RESOURCE).to_owned();
        let actor = self.actor(name);
        if actor.machine.is_some() && !actor.ended && resume.is_none() {
            return Ok(());
        }
        let fresh = actor.line.is_some() && !actor.ended && !actor.open && actor.inbox.is_empty();
        if !fresh || resume.is_some() {
            let line = self.world.connect(login.way, login.from, "")?;
            self.actor(name).take_line(line);
        }
        let actor = self.actor(name);
        let Some(line) = &actor.line else { return Err(format!("{name} is not connected")) };
        let mut config = Config::new("localhost");
        config.transport = match login.way {
            Way::Admin => Transport::Trusted,
            Way::Encrypted | Way::Direct | Way::DirectAtStartTls | Way::Clear => Transport::Tls,
            Way::WebSocket | Way::Bosh => Transport::Tls,
        };
        config.resource = match login.way {
            Way::Admin if login.resource.is_none() => None,
            _ => Some(resource),
        };
        config.want_sm = login.managed;
        config.resume = resume;
        actor.machine = Some(Machine::new(config, Some(line.channel.clone())));
        actor.send_machine();
        match self.reach(name) {
            Some(Reached::Ready) => Ok(()),
            other => Err(instead(name, "ready to log in", other)),
        }
    }

    pub(super) fn is_in(&mut self, name: &str) -> Result<(), String> {
        match self.reach(name) {
            Some(Reached::Open(Opening::Bound { jid, sm })) => {
                let actor = self.actor(name);
                actor.open = true;
                actor.jid = Some(jid.to_string());
                actor.managed = sm.map(|sm| Managed { id: sm.id, received: 0 });
                self.names.insert(name.to_owned(), jid.to_string());
                Ok(())
            }
            other => Err(instead(name, "in", other)),
        }
    }

    pub(super) fn cannot_log_in(
        &mut self,
        name: &str,
        login: &Login,
        refused: &Refused,
    ) -> Result<(), String> {
        self.actor(name).stops_before_bind = false;
        self.begins_to_log_in(name, login)?;
        self.is_refused(name, refused)
    }

    pub(super) fn is_refused(&mut self, name: &str, refused: &Refused) -> Result<(), String> {
        let (condition, text) = match self.reach(name) {
            Some(Reached::Refused(condition, text)) => (condition, text.unwrap_or_default()),
            other => return Err(instead(name, "refused", other)),
        };
        if condition != refused.condition {
            return Err(format!("{name} is refused with {condition}: {text}"));
        }
        match &refused.text {
            Some(wanted) => pattern::text(wanted, &text, &mut self.names)
                .map_err(|why| format!("the text of the refusal is {why}")),
            None => Ok(()),
        }
    }

    /// Resumes on a new connection, which replaces the old one.
    pub(super) fn resumes(
        &mut self,
        name: &str,
        h: Option<u32>,
        handled: Option<u32>,
    ) -> Result<(), String> {
        match self.asks_to_resume(name, h)? {
            Some(Reached::Open(Opening::Resumed { h })) => {
                self.actor(name).open = true;
                match handled.filter(|handled| *handled != h) {
                    Some(wanted) => Err(format!("{h} stanzas were handled, not {wanted}")),
                    None => Ok(()),
                }
            }
            other => Err(instead(name, "resumed", other)),
        }
    }

    pub(super) fn cannot_resume(&mut self, name: &str) -> Result<(), String> {
        match self.asks_to_resume(name, None)? {
            Some(Reached::NotResumed) => self.is_in(name),
            other => Err(instead(name, "refused to resume", other)),
        }
    }

    fn asks_to_resume(&mut self, name: &str, h: Option<u32>) -> Result<Option<Reached>, String> {
        let managed = self.actor(name).managed.clone();
        let managed = managed.ok_or(format!("{name} has no session to resume"))?;
        let previd = managed.id.ok_or(format!("{name}'s session cannot be resumed"))?;
        let resume = Resumption { previd, h: h.unwrap_or(managed.received) };
        let jid = self.actor(name).jid.clone().unwrap_or_default();
        let account = jid.split('@').next().unwrap_or_default().to_owned();
        let login = Login { managed: true, account: Some(account), ..Login::usual() };
        self.actor(name).stops_before_bind = false;
        self.machine_at(name, &login, Some(resume))?;
        self.begins_to_log_in(name, &login)?;
        Ok(self.reach(name))
    }

    /// Waits for the next stage of an actor's login; `None`: it is not reached yet.
    fn reach(&mut self, name: &str) -> Option<Reached> {
        rest(&mut *self.world, &mut self.actors);
        self.await_inbox(name, |actor| !actor.reached.is_empty());
        self.actor(name).reached.pop_front()
    }
}

/// Returns the account and the resource in the name of an actor.
fn halves(name: &str) -> (&str, Option<&str>) {
    match name.split_once('/') {
        Some((account, resource)) => (account, Some(resource)),
        None => (name, None),
    }
}

fn instead(name: &str, wanted: &str, reached: Option<Reached>) -> String {
    match reached {
        None => format!("{name} is not {wanted} yet"),
        Some(Reached::Refused(condition, text)) => {
            format!(
                "{name} is not {wanted}, but refused: {condition}, {}",
                text.unwrap_or_default()
            )
        }
        Some(Reached::Over(why)) => format!("{name} is not {wanted}: {why}"),
        Some(other) => format!("{name} is not {wanted}, but {other:?}"),
    }
}
