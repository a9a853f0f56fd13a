//! `password`: changes my own password. Passwords are asked for separately, so that they are
//! neither echoed nor kept in the history.

use std::fmt;

use serde::Deserialize;
use whoelse_client::{Password, PasswordError, RequestError, password};

use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::condition;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "password",
    usage: "password",
    help: "Change your password; you are asked for the present one and the new one.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

/// Both passwords, as they were typed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The present password.
    pub present: Secret,
    /// The new password.
    pub new: Secret,
}

/// A password as typed; its `Debug` prints `Secret(…)`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Returns whether a line has a password as an argument, where none belongs; it is not kept in the
/// history.
pub fn holds_a_secret(line: &str) -> bool {
    super::split(line).is_some_and(|(name, rest)| {
        let command = super::find(name).map(|command| command.name);
        command == Some(COMMAND.name) && rest.end().is_err()
    })
}

async fn run(_seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    Ok(Answer::AskPasswords)
}

/// Changes it.
pub async fn change(seat: &Seat<'_>, wanted: &Change) -> Result<Answer, Fault> {
    seat.me()?;
    let unchanged = |why: &str| format!("{why}; your password is what it was");
    let wrong = || Fault::say("wrong-password", unchanged("that is not your present password"));
    let Ok(present) = Password::new(&wanted.present.0) else { return Err(wrong()) };
    let new = Password::new(&wanted.new.0)
        .map_err(|why| Fault::say("bad-password", unchanged(&why.to_string())))?;
    match password::change(seat.client, &present, new).await {
        Ok(()) => Ok(Answer::NewPassword(wanted.new.clone())),
        Err(PasswordError::Wrong) => Err(wrong()),
        Err(PasswordError::Request(why @ RequestError::ConnectionLost)) => Err(Fault::say(
            condition::of_request(&why),
            "the connection was lost before the answer came; nobody knows whether your password \
             was changed",
        )),
        Err(PasswordError::Request(why)) => Err(Fault::of(why, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_typed_after_the_command_is_a_secret_too() {
        for line in ["password x", "/password\tx y", "  password old new new"] {
            assert!(holds_a_secret(line), "{line}");
        }
        for line in ["password", "password ", "help password", "message bob password x", ""] {
            assert!(!holds_a_secret(line), "{line}");
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        let change = Change { present: Secret("old".to_owned()), new: Secret("new".to_owned()) };
        let printed = format!("{change:?} {:?}", Answer::NewPassword(change.new.clone()));
        assert!(!printed.contains("old") && !printed.contains("\"new"), "{printed}");
    }
}
