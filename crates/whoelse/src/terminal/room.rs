//! The questions about a room: whether to make it, its password, whether to destroy it.
//!
//! A script's line that is a command and no answer means no, and is obeyed after that.

use super::asking::{Ask, Typed};
use super::obey::Terminal;
use super::said::Said;
use crate::commands::join::{self, Asked, Join, Question};
use crate::commands::password::Secret;
use crate::commands::{self, Answer, Fault, Seat, destroy};

impl Terminal {
    /// Asks, and does what follows. Returns a command that was typed in place of an answer or was
    /// urgent, or how the input ended.
    pub(super) async fn ask_about_room(
        &mut self,
        question: &Question,
    ) -> Result<Option<String>, Typed> {
        self.face.tell(&Said::Words(question.words.clone()));
        let (ask, command) = match &question.asked {
            Asked::Make(_) => (Ask::Line("Make it? [y/N] "), join::COMMAND.name),
            Asked::Password(_) => (Ask::Secret("Its password: "), join::COMMAND.name),
            Asked::Destroy(_) => (Ask::Line("Destroy it? [y/N] "), destroy::COMMAND.name),
        };
        let line = match self.input.answer(ask).await {
            Typed::Line(line) => line,
            ended => return Err(ended),
        };
        // Only after a password may what is typed next be one.
        if !matches!(question.asked, Asked::Password(_)) {
            self.input.keep_ahead().await;
        }
        let agreed = matches!(line.trim().to_lowercase().as_str(), "y" | "yes");
        let wanted = match &question.asked {
            Asked::Password(_) if line.is_empty() => None,
            Asked::Password(wanted) => {
                Some(Asked::Make(Join { password: Some(Secret(line.clone())), ..wanted.clone() }))
            }
            asked => agreed.then(|| asked.clone()),
        };
        let Some(wanted) = wanted else {
            let is_command = commands::split(&line).and_then(|(name, _)| commands::find(name));
            let words = match &question.asked {
                Asked::Make(_) => "nothing is made",
                Asked::Password(_) => "nothing is entered",
                Asked::Destroy(_) => "nothing is destroyed",
            };
            self.face.tell(&Said::Words(words.to_owned()));
            return Ok(is_command.map(|_| line));
        };
        let doing = async |seat: &Seat<'_>| {
            let outcome = match wanted {
                Asked::Make(wanted) | Asked::Password(wanted) => join::join(seat, wanted).await,
                Asked::Destroy(room) => destroy::destroy(seat, &room).await,
            };
            // What is asked again is told, and not asked without end.
            outcome.and_then(|answer| match answer {
                Answer::AskRoom(question) => Err(Fault::say("not-authorized", question.words)),
                answer => Ok(answer),
            })
        };
        self.finish(command, doing).await
    }
}
