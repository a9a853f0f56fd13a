//! Questions to the user and their answers: the messages between the input and its reader.

use std::io;

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A command.
    Command,
    /// A line, with this prompt.
    Line(&'static str),
    /// A password, with this prompt: neither echoed nor remembered.
    Secret(&'static str),
    /// A line, with this prompt, that nobody has to answer: it is empty, and not asked for, where
    /// something was typed ahead or the input has ended.
    Choice(&'static str),
}

/// The user's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A line, without its end.
    Line(String),
    /// The end of the input.
    End,
    /// The input cannot be read.
    Failed(io::ErrorKind),
}

/// An instruction to the reader at a terminal.
#[derive(Debug)]
pub enum Instruction {
    /// Asks this, in place of the present question.
    Ask(Ask),
    /// Keeps what was typed ahead, since it is no secret.
    KeepAhead,
    /// Treats what is typed ahead as answers to questions, not as commands.
    ExpectQuestions,
}
