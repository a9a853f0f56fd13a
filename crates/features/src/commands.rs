//! XEP-0050, Ad-Hoc Commands: the requests that run the [`Command`]s of other features.
//!
//! A command has at most one form. A request without the form gets it, and the session remembers
//! the run. A request with the form, or for a command without fields, runs at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use whoelse_core::audit::{Deed, UnderWay};
use whoelse_core::kit::command::{Command, CommandDone, CommandNote, FieldKind, Right, Values};
use whoelse_core::kit::{Answer, Feature, Reply, SERVER, SessionCx, Verb};
use whoelse_xmpp::payload::commands::{Action, Command as Request};
use whoelse_xmpp::payload::xmpp_parsers::data_forms::DataFormType;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Condition, ErrorType, Kind, Stanza, StanzaError, ns};

use crate::form;

/// XEP-0050, and the forms of XEP-0004 that it uses.
pub const FEATURE: Feature = Feature {
    name: "commands",
    xeps: &[(4, "2.13.2"), (50, "1.3.0")],
    disco: &[ns::COMMANDS, ns::DATA],
    wire: |w| {
        w.on(Verb::Set, SERVER, (ns::COMMANDS, "command"), read);
        // A user who runs a command is active (behaviour.md, TIMEOUT).
        w.activity(|stanza| stanza.kind() == Kind::Iq && stanza.has("command", ns::COMMANDS));
    },
    ..Feature::PLAIN
};

/// XEP-0050, 4.4: an unknown action has a condition of its own.
async fn read(cx: SessionCx, stanza: Stanza, command: Child) -> Answer {
    let action = stanza.child_attr(&command, "action");
    let known = ["cancel", "complete", "execute", "next", "prev"];
    if action.is_some_and(|action| !known.contains(&&*action)) {
        return Err(bad("malformed-action"));
    }
    run(cx, stanza.payload(&command)?).await
}

async fn run(cx: SessionCx, request: Request) -> Answer {
    let found = cx.node.wiring.commands().iter().find(|command| command.node == request.node);
    let command: &'static Command =
        found.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
    if command.right.is_an_administrators() {
        cx.admin().map_err(|refused| refused.with_type(ErrorType::Cancel))?;
    }
    let run = Run { cx, command };
    let known = match &request.sessionid {
        Some(id) => {
            if !run.waiting().remove(&run.key(id)) {
                return Err(bad("bad-sessionid"));
            }
            id.clone()
        }
        None => whoelse_stream::token::token(),
    };
    match request.action.unwrap_or(Action::Execute) {
        Action::Cancel => return Ok(run.answer(&known, "canceled").reply()),
        // There is never a stage before or after the one form.
        Action::Prev | Action::Next => return Err(bad("bad-action")),
        Action::Execute | Action::Complete => {}
    }
    let first = request.sessionid.is_none();
    match request.form {
        Some(form) if form.type_ == DataFormType::Submit => {
            run.finish(&known, form::values(form)).await
        }
        Some(form) if form.type_ == DataFormType::Cancel => {
            Ok(run.answer(&known, "canceled").reply())
        }
        Some(_) => Err(bad("bad-payload")),
        None if command.fields.is_empty() => run.finish(&known, Default::default()).await,
        None if first => run.ask(&known),
        None => Err(bad("bad-payload")),
    }
}

/// A run: the node of its command, and the id of the run.
type Key = (&'static str, String);

/// Runs of one session that wait for their forms.
const WAITING: usize = 64;

/// In the slot of a session: its runs that wait for their forms. Held for a look or a change.
#[derive(Default)]
struct Waiting(Mutex<BTreeSet<Key>>);

impl Waiting {
    /// Remembers a run. Returns false if the most that may wait do so already.
    fn add(&self, run: Key) -> bool {
        let mut waiting = self.0.lock();
        waiting.len() < WAITING && waiting.insert(run)
    }

    /// Forgets a run. Returns whether it was waiting.
    fn remove(&self, run: &Key) -> bool {
        self.0.lock().remove(run)
    }
}

/// A run of a command.
struct Run {
    cx: SessionCx,
    command: &'static Command,
}

impl Run {
    fn waiting(&self) -> Arc<Waiting> {
        self.cx.session.slots.get_or_default()
    }

    fn key(&self, id: &str) -> Key {
        (self.command.node, id.to_owned())
    }

    fn ask(&self, id: &str) -> Answer {
        if !self.waiting().add(self.key(id)) {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .with_text("too many commands wait for their forms; cancel one"));
        }
        let actions =
            Element::new("actions").attr("execute", "complete").child(Element::new("complete"));
        let answer = self.answer(id, "executing");
        let form = form::to_fill_in(self.command.name, self.about(), self.command.fields);
        Ok(Running(answer.0.child(actions).child(form)).reply())
    }

    /// XEP-0133: the FORM_TYPE of the forms of its commands.
    fn about(&self) -> Option<&'static str> {
        self.command.node.starts_with(ns::ADMIN).then_some(ns::ADMIN)
    }

    async fn finish(self, id: &str, values: Values) -> Answer {
        let about = self.about();
        if about.is_some() && values.get(form::FORM_TYPE).is_some_and(|it| Some(it) != about) {
            return Err(bad("bad-payload"));
        }
        for field in self.command.fields.iter().filter(|field| field.required) {
            values.need(field.var).map_err(|e| e.with_app("bad-payload", ns::COMMANDS))?;
        }
        let answer = self.answer(id, "completed");
        let deed = (self.command.right == Right::Change).then(|| self.deed(&values));
        let done = (self.command.run)(self.cx, values).await;
        if let Some(deed) = deed {
            deed.end(outcome(&done)).await;
        }
        Ok(answer.with(&done?, about).reply())
    }

    /// Returns the deed for the audit log: the command and what it concerns, but no secret and no
    /// body of a message.
    fn deed(&self, values: &Values) -> UnderWay {
        let node = self.command.node;
        let what = node.rsplit('#').next().unwrap_or(node);
        let mut deed = Deed::by(&self.cx.session, what, self.cx.now);
        for field in self.command.fields {
            let is_shown = !matches!(field.kind, FieldKind::TextPrivate | FieldKind::TextMulti);
            if is_shown {
                deed = deed.about(field.var, values.all(field.var));
            }
        }
        UnderWay::new(self.cx.node.audit.clone(), deed)
    }

    fn answer(&self, id: &str, status: &str) -> Running {
        let element = Element::new("command")
            .xmlns(ns::COMMANDS)
            .attr("node", self.command.node)
            .attr("sessionid", id)
            .attr("status", status);
        Running(element)
    }
}

/// Describes in a sentence how a command ended.
fn outcome(done: &Result<CommandDone, StanzaError>) -> Result<String, String> {
    match done {
        Ok(done) => Ok(match &done.note {
            Some(CommandNote::Info(text) | CommandNote::Warn(text)) => text.clone(),
            None => "done".to_owned(),
        }),
        Err(error) => Err(error.text.clone().unwrap_or_else(|| error.condition.name().to_owned())),
    }
}

/// An answer that is being written.
struct Running(Element);

impl Running {
    fn with(self, done: &CommandDone, about: Option<&str>) -> Running {
        let mut element = self.0;
        if let Some(note) = &done.note {
            let (type_, text) = match note {
                CommandNote::Info(text) => ("info", text),
                CommandNote::Warn(text) => ("warn", text),
            };
            element = element.child(Element::new("note").attr("type", type_).text(text));
        }
        if let Some(form) = form::of_results(done, about) {
            element = element.child(form);
        }
        Running(element)
    }

    fn reply(self) -> Reply {
        Reply::encoded(self.0.finish())
    }
}

/// XEP-0050, 4.5.
fn bad(condition: &'static str) -> StanzaError {
    StanzaError::new(Condition::BadRequest).with_app(condition, ns::COMMANDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_runs_wait_for_their_forms_as_there_is_room_for_and_each_is_continued_once() {
        let waiting = Waiting::default();
        let run = |id: usize| ("node", id.to_string());

        assert!((0..WAITING).all(|id| waiting.add(run(id))));
        assert!(!waiting.add(run(WAITING)));
        assert!(!waiting.remove(&("another", "0".to_owned())));
        assert!(waiting.remove(&run(0)) && !waiting.remove(&run(0)));
        assert!(waiting.add(run(WAITING)));
    }
}
