//! The dialogue of `password`: the present one, and the new one twice.
//!
//! All three are asked for before any of them is judged. A script that has one wrong would have the
//! others obeyed as commands otherwise, and told as unknown ones.

use super::asking::{Ask, Typed};
use super::obey::Terminal;
use super::said::Said;
use crate::commands::password::{COMMAND, Change, Secret};

const UNCHANGED: &str = "your password is what it was";

impl Terminal {
    /// What was typed, unless it makes no sense, or a person has gone back with an empty line.
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
