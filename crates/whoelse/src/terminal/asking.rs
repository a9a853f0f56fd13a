//! What is asked of whoever types, and what comes of it: between the input and its reader.

use std::io;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A command.
    Command,
    /// A line, with this prompt.
    Line(&'static str),
    /// A password, with this prompt: not echoed, not remembered.
    Secret(&'static str),
}

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A line, without its end.
    Line(String),
    /// The end of the input.
    End,
    /// The input cannot be read.
    Failed(io::ErrorKind),
}

/// What the reader at a terminal is told.
#[derive(Debug)]
pub enum Instruction {
    /// To ask this, in place of what was being asked.
    Ask(Ask),
    /// That what was typed ahead is no secret.
    KeepAhead,
    /// That what is typed ahead are answers to questions, and no commands.
    ExpectQuestions,
}
