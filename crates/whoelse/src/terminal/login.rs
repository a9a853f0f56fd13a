//! The login dialogue (docs/behaviour.md, Log in): asks for a name and a password, and for a new
//! name twice for a password.
//!
//! A login that is remembered on this computer takes the place of the password, and only of that one
//! name's. Whether to remember one is asked where a person sees it, before it begins.
//!
//! Every refusal is reported once. After a wrong password it asks again, whatever the server does
//! about it. An error that asking again cannot fix ends the dialogue, and the prompt returns. So
//! does an empty line at any question.

use whoelse_client::{Client, ConnectError, LoginError, Password, Probe, RegisterError};
use whoelse_xmpp::BareJid;

use super::asking::{Ask, Typed};
use super::face::Face;
use super::input::Input;
use super::options::Given;
use super::said::Said;
use crate::commands;
use crate::say::{condition, text, words};

/// How the dialogue ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Logged in.
    In,
    /// Not logged in; `login` begins again.
    Out,
    /// Not logged in: a command was typed in place of a name, and must be run.
    Command(String),
    /// The input has ended, in this way.
    End(Typed),
}

/// The dialogue's input and output.
pub struct Dialogue<'a> {
    pub client: &'a Client,
    pub input: &'a mut Input,
    pub face: &'a Face,
    pub remember: Remember,
}

/// Whether a login is remembered on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remember {
    /// The command line says so.
    Always,
    /// Whoever logs in is asked.
    Ask,
    /// Nobody is there to be asked.
    Never,
}

impl Remember {
    /// Returns what the command line and the kind of input say.
    pub fn of(given: &Given, face: &Face) -> Remember {
        match (given.remember, face.for_people) {
            (true, _) => Remember::Always,
            (false, true) => Remember::Ask,
            (false, false) => Remember::Never,
        }
    }
}

/// Why the dialogue stops.
enum Stop {
    /// An empty line.
    Back,
    /// A command in place of a name.
    Command(String),
    /// The input has ended.
    Ended(Typed),
}

impl Dialogue<'_> {
    /// Asks for what is missing, and logs in.
    pub async fn run(&mut self, name: Option<String>) -> Outcome {
        match self.ask_all(name).await {
            Ok(true) => Outcome::In,
            Ok(false) => Outcome::Out,
            Err(Stop::Back) => {
                self.fail("empty", "not logged in; `login` asks again".to_owned());
                Outcome::Out
            }
            Err(Stop::Command(line)) => Outcome::Command(line),
            Err(Stop::Ended(how)) => Outcome::End(how),
        }
    }

    async fn ask_all(&mut self, name: Option<String>) -> Result<bool, Stop> {
        let name = match name {
            Some(name) => name,
            None => self.ask_name().await?,
        };
        let name = match own_name(&name, &self.client.domain()) {
            Ok(name) => name.to_owned(),
            Err(mistake) => {
                self.fail("bad-name", mistake);
                return Ok(false);
            }
        };
        match self.client.login_remembered(&name).await {
            Ok(_) => return Ok(true),
            // A changed certificate is found once more below, and warned about.
            Err(LoginError::NotRemembered | LoginError::Connect(ConnectError::Changed { .. })) => {}
            Err(why) => {
                self.fail(condition::of_login(&why), words::login_error(&why, &name));
                if !matches!(why, LoginError::TokenRefused { .. }) {
                    return Ok(false);
                }
            }
        }
        match self.client.probe(&name).await {
            Ok(Probe::Free) => self.new_account(&name).await,
            Ok(Probe::Known | Probe::Closed) => self.known_account(&name).await,
            Err(RegisterError::Connect(fault @ ConnectError::Changed { .. })) => {
                self.fail(condition::of_connect(&fault), words::connect_error(&fault));
                self.face.tell(&Said::Words(
                    "Or type your password: it is not told to the server, which can prove by it \
                     that it knows you; an empty line goes back"
                        .to_owned(),
                ));
                self.changed_server(&name).await
            }
            Err(fault) => {
                self.fail(condition::of_register(&fault), words::register_error(&fault, &name));
                Ok(false)
            }
        }
    }

    /// Asks for a name. A line that begins with the name of a command is that command.
    async fn ask_name(&mut self) -> Result<String, Stop> {
        let typed = self.line(Ask::Line("Username: ")).await?;
        match commands::split(&typed) {
            Some((name, _)) if commands::find(name).is_some() => Err(Stop::Command(typed)),
            _ => Ok(typed.trim().to_owned()),
        }
    }

    async fn known_account(&mut self, name: &str) -> Result<bool, Stop> {
        let mut remember = None;
        loop {
            let typed = self.line(Ask::Secret("Password: ")).await?;
            let password = match Password::new(&typed) {
                Ok(password) => password,
                Err(why) => {
                    self.fail("bad-password", why.to_string());
                    continue;
                }
            };
            let remember = match remember {
                Some(answer) => answer,
                None => *remember.insert(self.ask_to_remember(name).await?),
            };
            match self.enter(name, password, remember).await {
                Err(
                    why @ (LoginError::WrongPassword { .. } | LoginError::FormerPassword { .. }),
                ) => {
                    self.fail(condition::of_login(&why), words::login_error(&why, name));
                }
                entering => return Ok(self.end(name, entering).await),
            }
        }
    }

    /// The warning was shown. The server is not told the password, but it can prove that it knows
    /// it. There is one attempt only, because an impostor learns something from each.
    async fn changed_server(&mut self, name: &str) -> Result<bool, Stop> {
        let mut typed = self.line(Ask::Secret("Password: ")).await?;
        // A user who has read the warning may expect a yes-or-no question.
        while matches!(typed.trim().to_lowercase().as_str(), "y" | "yes" | "n" | "no") {
            self.fail(
                "bad-password",
                "nothing is trusted yet: type your password, by which the server can prove itself; \
                 an empty line goes back"
                    .to_owned(),
            );
            typed = self.line(Ask::Secret("Password: ")).await?;
        }
        let password = match Password::new(&typed) {
            Ok(password) => password,
            Err(why) => {
                self.fail("bad-password", why.to_string());
                return Ok(false);
            }
        };
        match self.client.login(name, password.clone()).await {
            // The old certificate has come back meanwhile.
            Ok(_) => Ok(self.end(name, Ok(())).await),
            Err(why @ LoginError::NewPin { fingerprint }) => {
                self.fail(condition::of_login(&why), words::login_error(&why, name));
                let answer = self.line(Ask::Line("Trust it from now on (yes or no)? ")).await?;
                if answer.trim() != "yes" {
                    self.fail("untrusted", "not trusted; `login` asks again".to_owned());
                    return Ok(false);
                }
                self.client.trust(fingerprint).await;
                let Dialogue { client, face, .. } = self;
                let remember = self.remember == Remember::Always;
                let entering = enter_as_remembered(client, face, name, password, remember).await;
                Ok(self.end(name, entering).await)
            }
            Err(why) => {
                self.fail(condition::of_login(&why), words::login_error(&why, name));
                self.fail("untrusted", "the server did not prove itself".to_owned());
                Ok(false)
            }
        }
    }

    async fn new_account(&mut self, name: &str) -> Result<bool, Stop> {
        self.face.tell(&Said::Words(format!("{} is new here", text::line(name))));
        let password = loop {
            let first = self.line(Ask::Secret("New password: ")).await?;
            let password = match Password::new(&first) {
                Ok(password) => password,
                Err(why) => {
                    self.fail("bad-password", why.to_string());
                    continue;
                }
            };
            if self.line(Ask::Secret("Repeat password: ")).await? == first {
                break password;
            }
            self.fail("bad-password", "the two passwords are not the same".to_owned());
        };
        let remember = self.ask_to_remember(name).await?;
        if let Err(why) = self.client.register(name, password.clone()).await {
            self.fail(condition::of_register(&why), words::register_error(&why, name));
            return Ok(false);
        }
        let entering = self.enter(name, password, remember).await;
        Ok(self.end(name, entering).await)
    }

    /// Returns whether to remember the login.
    async fn ask_to_remember(&mut self, name: &str) -> Result<bool, Stop> {
        match self.remember {
            Remember::Always => return Ok(true),
            Remember::Ask if self.client.can_remember(name).await => {}
            Remember::Ask | Remember::Never => return Ok(false),
        }
        match self.input.answer(Ask::Choice("Stay logged in on this computer? [y/N] ")).await {
            Typed::Line(line) => Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes")),
            ended => Err(Stop::Ended(ended)),
        }
    }

    async fn enter(
        &self,
        name: &str,
        password: Password,
        remember: bool,
    ) -> Result<(), LoginError> {
        enter(self.client, self.face, name, password, remember).await
    }

    /// Ends the dialogue with a login by a password. Returns whether it let in.
    async fn end(&mut self, name: &str, entering: Result<(), LoginError>) -> bool {
        match &entering {
            // The password is typed, so what was typed after it is no secret. After a login that asks for
            // none, it may be one.
            Ok(()) => self.input.keep_ahead().await,
            Err(why) => self.fail(condition::of_login(why), words::login_error(why, name)),
        }
        entering.is_ok()
    }

    fn fail(&self, condition: &'static str, words: String) {
        self.face.tell(&Said::Failed { command: Some("login"), id: None, condition, words });
    }

    async fn line(&mut self, ask: Ask) -> Result<String, Stop> {
        match self.input.answer(ask).await {
            Typed::Line(line) if line.trim().is_empty() => Err(Stop::Back),
            Typed::Line(line) => Ok(line),
            ended => Err(Stop::Ended(ended)),
        }
    }
}

/// Logs in by a password. If the login was to be remembered and is not, that is said.
pub async fn enter(
    client: &Client,
    face: &Face,
    name: &str,
    password: Password,
    remember: bool,
) -> Result<(), LoginError> {
    match remember {
        true => client.login_and_remember(name, password).await?,
        false => client.login(name, password).await?,
    };
    if remember && !client.is_remembered() {
        face.tell(&Said::Notice("this login cannot be remembered here"));
    }
    Ok(())
}

/// Logs in by what is remembered, and by the password if that is nothing or no good any more.
pub async fn enter_as_remembered(
    client: &Client,
    face: &Face,
    name: &str,
    password: Password,
    remember: bool,
) -> Result<(), LoginError> {
    match client.login_remembered(name).await {
        Err(LoginError::NotRemembered | LoginError::TokenRefused { .. }) => {
            enter(client, face, name, password, remember).await
        }
        entered => entered.map(drop),
    }
}

/// Returns the name of an account here; the user may have typed the whole address.
fn own_name<'a>(typed: &'a str, domain: &str) -> Result<&'a str, String> {
    match typed.split_once('@') {
        // If it is not an address, the server will refuse it as a name.
        Some(_) if BareJid::parse(typed).is_err() => Ok(typed),
        None => Ok(typed),
        Some((name, at)) if at.eq_ignore_ascii_case(domain) => Ok(name),
        Some((_, at)) => Err(format!(
            "this is {}; for {} start `whoelse client --user {}`",
            text::line(domain),
            text::line(at),
            text::line(typed)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_typed_with_the_own_domain_and_with_no_other() {
        assert_eq!(own_name("bob", "a.example"), Ok("bob"));
        assert_eq!(own_name("bob@A.example", "a.example"), Ok("bob"));
        assert!(own_name("bob@b.example", "a.example").is_err());
        assert_eq!(own_name("a@b@c", "a.example"), Ok("a@b@c"));
    }
}
