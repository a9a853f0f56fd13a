//! Runs lines one after the other until the input ends, for a person at the keyboard or a script.

use std::time::Duration;

use whoelse_client::rooms::Rooms;
use whoelse_client::{Client, ConnectError, LoginError, Password};
use whoelse_p2p::PrivateChats;

use super::asking::Typed;
use super::face::Face;
use super::input::Input;
use super::login::{Dialogue, Outcome, Remember, enter, enter_as_remembered};
use super::options::Given;
use super::said::Said;
use super::undone::{self, AtWork, Connection};
use crate::commands::ids::Ids;
use crate::commands::{self, Answer, Fault, Obeyed, Seat};
use crate::output;
use crate::say::certificate::Reader;
use crate::say::{condition, words};

/// How long the end of the input waits, without a message, for stanzas in flight.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long it waits in all, after saying so.
const SETTLE: Duration = Duration::from_secs(10);
/// The loop that runs lines.
pub struct Terminal {
    pub(super) client: Client,
    pub(super) private: PrivateChats,
    pub(super) rooms: Rooms,
    pub(super) input: Input,
    pub(super) face: Face,
    pub(super) ids: Ids,
    pub(super) given: Given,
    pub(super) connection: Connection,
    /// The line that runs now.
    pub(super) at_work: Option<AtWork>,
}

impl Terminal {
    /// Runs until the end of the input, `quit` or Ctrl-C. Fails if there is no server, or the
    /// login on the command line is wrong.
    pub async fn run(&mut self, server: String) -> Result<(), String> {
        let connected = self.client.connect().await;
        if connected.is_ok() {
            self.face.tell(&Said::Connected { server });
        }
        let begun = match (connected, self.given.password.clone()) {
            // Nobody can be asked here. A changed server may prove itself, and is still refused.
            (Ok(()), Some(password)) => {
                self.log_in_given(password, Reader::Gone).await?;
                self.input.keep_ahead().await;
                Ok(None)
            }
            // The dialogue warns about a changed certificate, over which the server may prove
            // itself. Nothing is asked before an unknown certificate is accepted; `trust`
            // continues.
            (
                connected @ (Ok(())
                | Err(ConnectError::Changed { .. } | ConnectError::Unknown { .. })),
                None,
            ) => self.ask(connected, self.given.user.clone()).await,
            (Err(why), _) => return Err(self.no_server(&why)),
        };
        let how = match begun {
            Err(how) => how,
            Ok(next) => self.obey_lines(next).await,
        };
        self.name_undone();
        // Lines that were typed before the end of the input are still delivered.
        self.settle().await;
        match how {
            Typed::Failed(why) => Err(output::not_read(why)),
            Typed::Line(_) | Typed::End => Ok(()),
        }
    }

    /// Reports to programs that there is no server; people read it when the program ends.
    fn no_server(&self, why: &ConnectError) -> String {
        let words = words::connect_error_for(why, Reader::Gone);
        if self.face.objects {
            self.fail(condition::of_connect(why), words.clone());
        }
        words
    }

    fn fail(&self, condition: &'static str, words: String) {
        self.face.tell(&Said::Failed { command: None, id: None, condition, words });
    }

    /// Names the lines that were typed and will not be run.
    pub fn name_undone(&mut self) {
        self.give_up();
        let lines = self.input.take_ahead();
        undone::name(&lines, &self.face);
    }

    /// Reports that nobody waits for the running line any more.
    pub(super) fn give_up(&mut self) {
        if let Some(at_work) = self.at_work.take() {
            at_work.give_up(&self.connection, &self.face);
        }
    }

    async fn settle(&self) {
        if self.is_settled(AT_ONCE).await {
            return;
        }
        self.face.tell(&Said::Notice(
            "waiting for the server to store what was sent; Ctrl-C ends at once",
        ));
        if !self.is_settled(SETTLE).await {
            self.face
                .tell(&Said::Notice("the server has not acknowledged everything that was sent"));
        }
    }

    /// Waits until all that was said is told in its room, or stored. Returns whether that was in time.
    async fn is_settled(&self, within: Duration) -> bool {
        let told = tokio::time::timeout(within, self.rooms.settle()).await;
        told.is_ok() && self.client.settle(within).await
    }

    /// Logs in with the arguments of the command line. Makes no account, because a wrong name is a
    /// mistake.
    async fn log_in_given(&self, password: Password, reader: Reader) -> Result<(), String> {
        let name = self.given.user.as_deref().unwrap_or_default();
        match self.enter_given(name, password).await {
            Ok(()) => Ok(()),
            Err(why) => {
                let condition = condition::of_login(&why);
                let words = words::login_error_for(&why, name, reader);
                if self.face.objects {
                    let words = words.clone();
                    self.face.tell(&Said::Failed {
                        command: Some("login"),
                        id: None,
                        condition,
                        words,
                    });
                }
                Err(words)
            }
        }
    }

    /// Logs in with what is remembered, if the login is to be remembered and is, and otherwise with the
    /// password.
    async fn enter_given(&self, name: &str, password: Password) -> Result<(), LoginError> {
        match self.given.remember {
            true => enter_as_remembered(&self.client, &self.face, name, password, true).await,
            false => enter(&self.client, &self.face, name, password, false).await,
        }
    }

    /// Connects, and asks for what is missing. Returns a command that was typed instead of a name,
    /// or how the input ended.
    async fn log_in(&mut self, name: Option<String>) -> Result<Option<String>, Typed> {
        self.input.expect_questions().await;
        let connected = self.client.connect().await;
        self.ask(connected, name).await
    }

    async fn ask(
        &mut self,
        connected: Result<(), ConnectError>,
        name: Option<String>,
    ) -> Result<Option<String>, Typed> {
        match connected {
            // The dialogue warns, and the server may prove itself.
            Ok(()) | Err(ConnectError::Changed { .. }) => {}
            Err(why) => {
                let words = words::connect_error(&why);
                let condition = condition::of_connect(&why);
                self.face.tell(&Said::Failed {
                    command: Some("login"),
                    id: None,
                    condition,
                    words,
                });
                return Ok(None);
            }
        }
        let remember = Remember::of(&self.given, &self.face);
        let Terminal { client, input, face, .. } = self;
        match (Dialogue { client, input, face, remember }).run(name).await {
            Outcome::In | Outcome::Out => Ok(None),
            Outcome::Command(line) => Ok(Some(line)),
            Outcome::End(how) => Err(how),
        }
    }

    /// Runs lines until the input ends, and returns how it did.
    async fn obey_lines(&mut self, mut next: Option<String>) -> Typed {
        loop {
            self.face.screen.room_for_answers().await;
            let typed = match next.take() {
                Some(urgent) => Typed::Line(urgent),
                None => self.input.command().await,
            };
            let Typed::Line(line) = typed else { return typed };
            // Whoever types has seen what is shown by then.
            if commands::split(&line).is_some() {
                self.rooms.read();
            }
            let obeyed = match self.obey(&line).await {
                Done::Obeyed(None) => continue,
                Done::Obeyed(Some(obeyed)) => obeyed,
                Done::Urgent(line) => {
                    self.give_up();
                    next = Some(line);
                    continue;
                }
                Done::Ended(how) => return how,
            };
            self.tell(&obeyed);
            let begun = match obeyed.outcome {
                Ok(Answer::Login(name)) => self.log_in_again(name).await,
                Ok(Answer::Trusted(_)) => self.log_in_again(self.given.user.clone()).await,
                Ok(Answer::AskPasswords) => self.change_password().await,
                Ok(Answer::AskRoom(question)) => self.ask_about_room(&question).await,
                Ok(Answer::Quit) => return Typed::End,
                _ => Ok(None),
            };
            match begun {
                Ok(command) => next = command,
                Err(how) => return how,
            }
        }
    }

    /// Shows the result of a line.
    pub(super) fn tell(&mut self, obeyed: &Obeyed) {
        self.face.tell(&Said::of(obeyed));
        if let (Ok(Answer::NewPassword(new)), Some(given)) =
            (&obeyed.outcome, &mut self.given.password)
        {
            // The password from the command line is no longer right.
            *given = Password::new(&new.0).unwrap_or_else(|_| given.clone());
        }
    }

    /// Asks for the passwords and changes them. Returns an urgent command, or how the input ended.
    async fn change_password(&mut self) -> Result<Option<String>, Typed> {
        let Some(change) = self.ask_passwords().await? else { return Ok(None) };
        let changing = async |seat: &Seat<'_>| commands::password::change(seat, &change).await;
        self.finish(commands::password::COMMAND.name, changing).await
    }

    /// Does what the answers of a dialogue are for. What is typed meanwhile is kept if that succeeds;
    /// otherwise it may be the secret once more. Returns an urgent command, or how the input ended.
    pub(super) async fn finish(
        &mut self,
        command: &'static str,
        deed: impl AsyncFnOnce(&Seat<'_>) -> Result<Answer, Fault>,
    ) -> Result<Option<String>, Typed> {
        let seat = seat(&self.client, &self.private, &self.rooms, (&self.ids, &self.face));
        let doing = async {
            let outcome = deed(&seat).await;
            Some(Obeyed { command: Some(command), id: None, outcome })
        };
        self.at_work = Some(AtWork::new(command, &self.connection));
        match attend(&mut self.input, doing).await {
            Done::Obeyed(obeyed) => {
                self.at_work = None;
                if obeyed.as_ref().is_some_and(|obeyed| obeyed.outcome.is_ok()) {
                    self.input.keep_ahead().await;
                }
                obeyed.iter().for_each(|obeyed| self.tell(obeyed));
                Ok(None)
            }
            Done::Urgent(line) => {
                self.give_up();
                Ok(Some(line))
            }
            Done::Ended(how) => Err(how),
        }
    }

    /// Logs in with the given password if the command line had one, and then only reports a
    /// refusal; otherwise asks.
    async fn log_in_again(&mut self, name: Option<String>) -> Result<Option<String>, Typed> {
        match self.given.password.clone() {
            Some(password) if name.is_none() || name == self.given.user => {
                if let Err(words) = self.log_in_given(password, Reader::Typing).await
                    && !self.face.objects
                {
                    self.face.tell(&Said::Words(words));
                }
                Ok(None)
            }
            _ => self.log_in(name).await,
        }
    }

    /// Runs a line.
    async fn obey(&mut self, line: &str) -> Done {
        let seat = seat(&self.client, &self.private, &self.rooms, (&self.ids, &self.face));
        let is_object = self.face.objects && line.trim_start().starts_with('{');
        let command = async {
            loop {
                let obeyed = match is_object {
                    true => Some(commands::obey_object(line, &seat).await),
                    false => commands::obey(line, &seat).await,
                };
                // The domain was renamed, so the line is parsed again with the new name.
                if !obeyed.as_ref().is_some_and(Obeyed::is_outdated) {
                    return obeyed;
                }
            }
        };
        self.at_work = Some(AtWork::new(line, &self.connection));
        let done = attend(&mut self.input, command).await;
        if let Done::Obeyed(_) = done {
            self.at_work = None;
        }
        done
    }
}

/// What a command works with.
fn seat<'a>(
    client: &'a Client,
    private: &'a PrivateChats,
    rooms: &'a Rooms,
    (ids, face): (&'a Ids, &Face),
) -> Seat<'a> {
    Seat { client, private, rooms, may_ask: !face.objects, ids }
}

/// Waits for a command, and takes input meanwhile: the command may wait for the connection, but
/// `quit` must not.
async fn attend(input: &mut Input, command: impl Future<Output = Option<Obeyed>>) -> Done {
    tokio::pin!(command);
    loop {
        tokio::select! {
            biased;
            obeyed = &mut command => return Done::Obeyed(obeyed),
            typed = input.meanwhile() => match typed {
                Typed::Line(line) if is_urgent(&line) => return Done::Urgent(line),
                Typed::Line(line) => input.keep(line),
                ended => return Done::Ended(ended),
            }
        }
    }
}

/// The result of a line.
enum Done {
    /// It was obeyed, if it said anything.
    Obeyed(Option<Obeyed>),
    /// This line was typed meanwhile and is urgent.
    Urgent(String),
    /// The input ended meanwhile.
    Ended(Typed),
}

/// Returns whether a line ends whatever is going on.
fn is_urgent(line: &str) -> bool {
    let command = commands::split(line).and_then(|(name, _)| commands::find(name));
    command.is_some_and(|command| matches!(command.name, "quit" | "logout"))
}
