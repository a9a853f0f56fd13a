//! The dialogue of `password`: asks for the present password, and twice for the new one.
//!
//! All three are read before any of them is checked. Otherwise the remaining lines of a script
//! with a wrong one would run as commands, and errors would print them.

use super::asking::{Ask, Typed};
use super::obey::Terminal;
use super::said::Said;
use crate::commands::password::{COMMAND, Change, Secret};

const UNCHANGED: &str = "your password is what it was";

impl Terminal {
    /// Returns what was typed, unless it is invalid, or a person has gone back with an empty line.
    pub(super) async fn ask_passwords(&mut self) -> Result<Option<Change>, Typed> {
        let mut typed = Vec::new();
        for question in ["Present password: ", "New password: ", "Repeat password: "] {
            match self.input.answer(Ask::Secret(question)).await {
                Typed::Line(line) if line.is_empty() && !self.input.is_script() => {
                    self.face.tell(&Said::Words(UNCHANGED.to_owned()));
                    return Ok(None);
                }
                Typed::Line(line) => typed.push(Secret(line)),
                ended => return Err(ended),
            }
        }
        match <[Secret; 3]>::try_from(typed) {
            Ok([present, new, repeated]) if new == repeated => Ok(Some(Change { present, new })),
            _ => {
                self.face.tell(&Said::Failed {
                    command: Some(COMMAND.name),
                    id: None,
                    condition: "bad-password",
                    words: format!("the two new passwords are not the same; {UNCHANGED}"),
                });
                Ok(None)
            }
        }
    }
}
