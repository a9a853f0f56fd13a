//! The line editor without a terminal: keys and questions in, answers and the row to show out.
//!
//! Keys that are pressed while nothing is asked wait, unseen, for the next question. During a
//! dialogue they may be a secret: then only a secret question takes them, and any other question
//! discards them, unless the dialogue has succeeded ([`Editor::keep_ahead`]).
//!
//! A password may arrive in other ways than at its question: pasted together with the name, or
//! typed once more than it is asked for. It is neither part of the name nor a command.

use std::collections::VecDeque;

use super::history::History;
use super::keys::Key;
use super::line::Line;
use super::row::{self, Row};
use crate::commands::password::{Secret, holds_a_secret};
use crate::say::text;
use crate::terminal::asking::{Ask, Typed};

/// Bytes of keys that wait; above it no more are read, and the terminal keeps them.
const MOST_AHEAD: usize = 1 << 20;

/// The answer to a question, and what stays of it on the screen; nothing if that is empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub to: Ask,
    pub typed: Typed,
    pub echo: String,
}

/// The line being typed, or none.
#[derive(Debug, Default)]
pub struct Editor {
    ask: Option<Ask>,
    prompt: String,
    /// The command being typed; it is kept while a question is asked.
    command: Line,
    /// The answer to a question.
    answer: Line,
    history: History,
    search: Option<Search>,
    /// Keys pressed while nothing was asked.
    ahead: VecDeque<Key>,
    ahead_bytes: usize,
    /// Whether keys pressed ahead may be a secret.
    guarded: bool,
    /// Whether questions are expected: then keys pressed ahead are answers, not commands.
    is_expecting: bool,
    /// The last secret, until the next command. A user who types ahead for a new account types the
    /// password twice, but is asked once if the account exists.
    answered: Option<Secret>,
    /// How the input has ended.
    ended: Option<Typed>,
}

/// The search of Ctrl-R.
#[derive(Debug, Default)]
struct Search {
    what: String,
    at: Option<usize>,
    /// The text before the search.
    before: String,
}

impl Editor {
    /// Makes an editor with this prompt for commands.
    pub fn new(prompt: &str) -> Editor {
        // At the start of the program, a name and a password are typed.
        Editor { prompt: prompt.to_owned(), is_expecting: true, ..Editor::default() }
    }

    /// Changes the prompt for commands.
    pub fn set_prompt(&mut self, prompt: String) {
        self.prompt = prompt;
    }

    /// Returns whether more keys may come.
    pub fn has_room(&self) -> bool {
        self.ahead_bytes < MOST_AHEAD
    }

    /// Asks, in place of the present question; returns the answer if it was typed ahead.
    pub fn ask(&mut self, ask: Ask) -> Option<Answer> {
        // Whoever has typed on did not wait for it: what follows is no answer to this, and perhaps the
        // password once more.
        if let Ask::Choice(_) = ask
            && (!self.ahead.is_empty() || self.ended.is_some())
        {
            let typed = Typed::Line(String::new());
            return Some(Answer { to: ask, typed, echo: String::new() });
        }
        let takes_all = match ask {
            Ask::Secret(_) => true,
            Ask::Line(_) | Ask::Choice(_) => !self.guarded,
            Ask::Command => !self.guarded && !self.is_expecting,
        };
        self.is_expecting = false;
        if !takes_all {
            self.ahead.clear();
            self.ahead_bytes = 0;
        }
        self.guarded = ask != Ask::Command;
        self.search = None;
        self.answer = Line::default();
        self.ask = Some(ask);
        while let Some(key) = self.ahead.pop_front() {
            self.ahead_bytes = self.ahead_bytes.saturating_sub(size(&key));
            if let Some(answer) = self.press_asked(key) {
                return Some(answer);
            }
        }
        self.end_asked()
    }

    /// A dialogue has succeeded: what was typed ahead is for what follows it.
    pub fn keep_ahead(&mut self) {
        self.guarded = false;
        self.is_expecting = false;
    }

    /// A dialogue begins. If it ends before it has asked anything, for instance because the
    /// server's certificate is not trusted, keys typed ahead still count as its answers.
    pub fn expect_questions(&mut self) {
        self.is_expecting = true;
    }

    /// Takes a key; returns the answer, if this key has finished it.
    pub fn press(&mut self, key: Key) -> Option<Answer> {
        if self.ask.is_none() {
            self.ahead_bytes += size(&key);
            self.ahead.push_back(key);
            return None;
        }
        self.press_asked(key)
    }

    /// Ends the input, for this reason.
    pub fn end(&mut self, how: Typed) -> Option<Answer> {
        self.ended = Some(how);
        self.end_asked()
    }

    /// Stops asking; returns what stays of the row.
    pub fn close(&mut self) -> Option<String> {
        // The result of a search was not entered.
        if let Some(search) = self.search.take() {
            self.command.set(&search.before);
        }
        let row = self.ask.is_some().then(|| self.echo());
        self.ask = None;
        row
    }

    /// Returns the row of the present question, if there is one.
    pub fn row(&self, columns: usize) -> Option<Row> {
        let ask = self.ask.as_ref()?;
        Some(match (ask, &self.search) {
            (Ask::Command, Some(search)) => {
                let prompt = format!("(search) {}: ", text::line(&search.what));
                let found = self.command.text();
                let at = found.find(&search.what).unwrap_or(0);
                row::of(&prompt, found, at, columns)
            }
            (Ask::Command, None) => {
                row::of(&self.prompt, self.command.text(), self.command.cursor(), columns)
            }
            (Ask::Line(prompt) | Ask::Choice(prompt), _) => {
                row::of(prompt, self.answer.text(), self.answer.cursor(), columns)
            }
            (Ask::Secret(prompt), _) => row::of(prompt, "", 0, columns),
        })
    }

    fn end_asked(&mut self) -> Option<Answer> {
        let how = self.ended.clone().filter(|_| self.ask.is_some())?;
        self.finish(how)
    }

    fn press_asked(&mut self, key: Key) -> Option<Answer> {
        let is_command = self.ask == Some(Ask::Command);
        if self.search.is_some() && self.press_searching(&key) {
            return None;
        }
        let line = if is_command { &mut self.command } else { &mut self.answer };
        match key {
            Key::Enter if is_command => {
                let text = line.take();
                if self.answered.take().is_some_and(|secret| secret.0 == text) {
                    return None;
                }
                match holds_a_secret(&text) {
                    true => self.history.leave(),
                    false => self.history.add(&text),
                }
                return self.finish(Typed::Line(text));
            }
            Key::Enter => {
                let text = line.take();
                return self.finish(Typed::Line(text));
            }
            // An answer is one line: pasted text after it is for the next question.
            Key::Text(text) if !is_command && text.contains('\n') => {
                let (answer, rest) = text.split_once('\n').unwrap_or((&text, ""));
                line.press(&Key::Text(answer.to_owned()));
                if !rest.is_empty() {
                    let rest = Key::Text(rest.to_owned());
                    self.ahead_bytes += size(&rest);
                    self.ahead.push_front(rest);
                }
                return self.press_asked(Key::Enter);
            }
            Key::Ctrl('d') if line.text().is_empty() => return self.finish(Typed::End),
            Key::Up | Key::Ctrl('p') if is_command => {
                if let Some(older) = self.history.older(line.text()) {
                    line.set(older);
                }
            }
            Key::Down | Key::Ctrl('n') if is_command => {
                if let Some(newer) = self.history.newer() {
                    line.set(newer);
                }
            }
            Key::Ctrl('r') if is_command => {
                self.search = Some(Search { before: line.take(), ..Search::default() });
            }
            key => {
                let held = is_command && holds_a_secret(line.text());
                line.press(&key);
                if held {
                    line.forget_erased();
                }
            }
        }
        None
    }

    /// Returns whether the key belongs to the search. Any other key accepts the result.
    fn press_searching(&mut self, key: &Key) -> bool {
        let Some(search) = &mut self.search else { return false };
        let below = match key {
            Key::Text(text) => {
                search.what.push_str(text);
                search.at.map(|at| at + 1)
            }
            Key::Backspace => {
                search.what.pop();
                None
            }
            Key::Ctrl('r') => search.at,
            Key::Ctrl('g') => {
                let before = std::mem::take(&mut search.before);
                self.command.set(&before);
                self.search = None;
                return true;
            }
            _ => {
                self.search = None;
                return false;
            }
        };
        if let Some((at, found)) = self.history.find(&search.what, below) {
            search.at = Some(at);
            self.command.set(found);
        }
        true
    }

    fn finish(&mut self, typed: Typed) -> Option<Answer> {
        let mut echo = self.echo();
        let is_shown = matches!(self.ask, Some(Ask::Command | Ask::Line(_) | Ask::Choice(_)));
        if let (Typed::Line(line), true) = (&typed, is_shown) {
            echo.push_str(&text::lines(line));
        }
        if let (Typed::Line(line), Some(Ask::Secret(_))) = (&typed, &self.ask) {
            self.answered = Some(Secret(line.clone())).filter(|secret| !secret.0.is_empty());
        }
        self.search = None;
        self.answer = Line::default();
        self.ask.take().map(|to| Answer { to, typed, echo })
    }

    /// Returns the prompt with what has been typed and may be shown.
    fn echo(&self) -> String {
        match self.ask {
            Some(Ask::Command) => format!("{}{}", self.prompt, text::lines(self.command.text())),
            Some(Ask::Line(prompt) | Ask::Choice(prompt)) => {
                format!("{prompt}{}", text::lines(self.answer.text()))
            }
            Some(Ask::Secret(prompt)) => prompt.to_owned(),
            None => String::new(),
        }
    }
}

fn size(key: &Key) -> usize {
    match key {
        Key::Text(text) => size_of::<Key>() + text.len(),
        _ => size_of::<Key>(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NAME: Ask = Ask::Line("Username: ");
    const SECRET: Ask = Ask::Secret("Password: ");

    fn editor() -> Editor {
        Editor::new("> ")
    }

    /// Types text as keys, at the question or ahead of it; a line break is Enter.
    fn type_in(editor: &mut Editor, text: &str) -> Vec<Answer> {
        let pieces = text.split_inclusive('\n').flat_map(|piece| {
            let text = Key::Text(piece.trim_end_matches('\n').to_owned());
            [Some(text), piece.ends_with('\n').then_some(Key::Enter)]
        });
        pieces.flatten().filter_map(|key| editor.press(key)).collect()
    }

    fn typed(answer: Option<Answer>) -> String {
        match answer.unwrap().typed {
            Typed::Line(line) => line,
            other => panic!("{other:?}"),
        }
    }

    fn shown(editor: &Editor) -> String {
        editor.row(80).map(|row| row.shown).unwrap_or_default()
    }

    #[test]
    fn a_name_and_a_password_typed_ahead_are_the_answers_and_the_password_is_not_shown() {
        let mut editor = editor();
        assert!(type_in(&mut editor, "alice\nsecret\nmessage bob hi\nhel").is_empty());
        assert_eq!(shown(&editor), "");

        let name = editor.ask(NAME).unwrap();
        assert_eq!(name.echo, "Username: alice");
        assert_eq!(typed(Some(name)), "alice");
        let secret = editor.ask(SECRET).unwrap();
        assert_eq!(secret.echo, "Password: ");
        assert_eq!(typed(Some(secret)), "secret");

        // The password was right, so what follows was meant as commands.
        editor.keep_ahead();
        assert_eq!(typed(editor.ask(Ask::Command)), "message bob hi");
        assert_eq!(editor.ask(Ask::Command), None);
        assert_eq!(shown(&editor), "> hel");
    }

    #[test]
    fn what_may_be_a_password_is_never_shown_nor_run_nor_remembered() {
        // The questions before: only the name; the name and a wrong password; a password twice.
        for questions in [&[NAME][..], &[NAME, SECRET], &[SECRET, SECRET]] {
            for next in [Ask::Command, NAME, Ask::Line("Trust it from now on (yes or no)? ")] {
                let mut editor = editor();
                for question in questions {
                    assert_eq!(editor.ask(question.clone()), None);
                    assert_eq!(type_in(&mut editor, "x\n").len(), 1);
                }
                type_in(&mut editor, "secret\nsecret\nsec");

                assert_eq!(editor.ask(next.clone()), None, "{next:?} after {questions:?}");
                assert!(!shown(&editor).contains("sec"), "{next:?} after {questions:?}");
                type_in(&mut editor, "\n");
                editor.ask(Ask::Command);
                editor.press(Key::Up);
                assert_eq!(shown(&editor), "> ");
            }
        }
    }

    #[test]
    fn answers_to_a_dialogue_that_asked_nothing_are_no_commands() {
        let at_start = Editor::new("> ");
        let mut later = editor();
        later.ask(Ask::Command);
        assert_eq!(type_in(&mut later, "trust ab\n").len(), 1);
        later.expect_questions();
        for mut editor in [at_start, later] {
            type_in(&mut editor, "alice\nsecret\nsec");

            assert_eq!(editor.ask(Ask::Command), None);

            assert_eq!(shown(&editor), "> ");
            editor.press(Key::Up);
            assert!(!shown(&editor).contains("sec"));
        }

        // Nothing had to be asked, so they are commands.
        let mut editor = Editor::new("> ");
        type_in(&mut editor, "help\n");
        editor.keep_ahead();
        assert_eq!(typed(editor.ask(Ask::Command)), "help");
    }

    #[test]
    fn a_password_that_is_asked_again_is_taken_from_what_was_typed_ahead() {
        let mut editor = editor();
        editor.ask(SECRET);
        type_in(&mut editor, "wrong\nright\n");
        assert_eq!(typed(editor.ask(SECRET)), "right");
    }

    #[test]
    fn a_question_that_comes_while_a_command_is_typed_leaves_it_for_later() {
        let mut editor = editor();
        editor.ask(Ask::Command);
        type_in(&mut editor, "message bob ha");

        assert_eq!(editor.ask(SECRET), None);
        assert_eq!(shown(&editor), "Password: ");
        let answers = type_in(&mut editor, "secret\n");
        assert_eq!((answers.len(), &answers[0].to), (1, &SECRET));

        editor.ask(Ask::Command);
        assert_eq!(shown(&editor), "> message bob ha");
        editor.press(Key::Up);
        assert_eq!(shown(&editor), "> message bob ha");
    }

    #[test]
    fn the_end_of_the_input_answers_whatever_is_asked_after_what_was_typed() {
        let mut editor = editor();
        editor.keep_ahead();
        type_in(&mut editor, "quit\n");
        assert_eq!(editor.end(Typed::End), None);

        assert_eq!(typed(editor.ask(Ask::Command)), "quit");
        assert_eq!(editor.ask(Ask::Command).unwrap().typed, Typed::End);
        assert_eq!(editor.ask(SECRET).unwrap().typed, Typed::End);
    }

    #[test]
    fn ctrl_d_ends_the_input_on_an_empty_line_alone() {
        let mut editor = editor();
        editor.ask(Ask::Command);
        type_in(&mut editor, "ab");
        for key in [Key::Ctrl('d'), Key::Home, Key::Ctrl('d'), Key::Ctrl('d')] {
            assert_eq!(editor.press(key), None);
        }
        assert_eq!(editor.press(Key::Ctrl('d')).unwrap().typed, Typed::End);
    }

    #[test]
    fn what_is_pasted_with_a_line_break_waits_for_enter() {
        let mut editor = editor();
        editor.ask(Ask::Command);
        assert_eq!(editor.press(Key::Text("message bob one\ntwo".to_owned())), None);
        assert_eq!(shown(&editor), "> message bob one↵two");
        let answer = editor.press(Key::Enter).unwrap();
        assert_eq!(answer.echo, "> message bob one\n    two");
        assert_eq!(typed(Some(answer)), "message bob one\ntwo");
    }

    #[test]
    fn a_line_break_in_a_pasted_answer_is_enter_and_the_rest_is_for_what_is_asked_next() {
        let pasted = || Key::Text("alice\nsecret\nmessage bob hi".to_owned());
        let mut at_the_question = editor();
        assert_eq!(at_the_question.ask(NAME), None);
        let name = at_the_question.press(pasted());
        let mut ahead = editor();
        assert_eq!(ahead.press(pasted()), None);
        let name_ahead = ahead.ask(NAME);
        for (mut editor, name) in [(at_the_question, name), (ahead, name_ahead)] {
            // Typed after the paste.
            assert!(type_in(&mut editor, " there\n").is_empty());
            assert_eq!(shown(&editor), "");
            let name = name.unwrap();
            assert_eq!((name.echo.as_str(), &name.to), ("Username: alice", &NAME));
            assert_eq!(typed(Some(name)), "alice");
            let secret = editor.ask(SECRET).unwrap();
            assert_eq!(secret.echo, "Password: ");
            assert_eq!(typed(Some(secret)), "secret");
            editor.keep_ahead();
            assert_eq!(typed(editor.ask(Ask::Command)), "message bob hi there");
        }

        // Only a secret question takes what follows a name.
        let mut editor = editor();
        editor.ask(NAME);
        editor.press(pasted()).unwrap();
        assert_eq!(editor.ask(NAME), None);
        assert_eq!(shown(&editor), "Username: ");
        assert_eq!(editor.ahead_bytes, 0);
    }

    #[test]
    fn a_password_typed_once_more_than_asked_is_no_command() {
        let mut editor = editor();
        type_in(&mut editor, "alice\nsecret\nsecret\nhelp\n");
        editor.ask(NAME).unwrap();
        editor.ask(SECRET).unwrap();
        editor.keep_ahead();

        let answer = editor.ask(Ask::Command).unwrap();
        assert_eq!(answer.echo, "> help");
        assert_eq!(typed(Some(answer)), "help");
        editor.ask(Ask::Command);
        for remembered in ["> help", "> help"] {
            editor.press(Key::Up);
            assert_eq!(shown(&editor), remembered);
        }

        // Only the first command is compared: what is typed later is answered anyway.
        editor.press(Key::Ctrl('u'));
        let answers = type_in(&mut editor, "secret\n");
        assert_eq!(answers.len(), 1);
    }

    #[test]
    fn a_password_after_its_command_is_brought_back_by_no_key() {
        let mut editor = editor();
        for line in ["help\n", "password old new\n"] {
            editor.ask(Ask::Command);
            type_in(&mut editor, line);
        }
        editor.ask(Ask::Command);
        editor.press(Key::Up);
        assert_eq!(shown(&editor), "> help");
        for (keys, erase) in [("password old new", 'w'), ("password old new", 'u')] {
            editor.press(Key::Ctrl('u'));
            type_in(&mut editor, keys);
            editor.press(Key::Ctrl(erase));
            editor.press(Key::Ctrl('u'));
            editor.press(Key::Ctrl('y'));
            assert!(!shown(&editor).contains("new"), "Ctrl-{erase}");
            editor.press(Key::Ctrl('u'));
        }
    }

    #[test]
    fn ctrl_r_finds_what_was_typed_and_ctrl_g_gives_back_what_was_being_typed() {
        let mut editor = editor();
        for line in ["message bob a\n", "help\n", "message bob b\n"] {
            editor.ask(Ask::Command);
            type_in(&mut editor, line);
        }
        editor.ask(Ask::Command);
        type_in(&mut editor, "draft");

        editor.press(Key::Ctrl('r'));
        type_in(&mut editor, "bob");
        assert_eq!(shown(&editor), "(search) bob: message bob b");
        editor.press(Key::Ctrl('r'));
        assert_eq!(shown(&editor), "(search) bob: message bob a");
        editor.press(Key::Ctrl('g'));
        assert_eq!(shown(&editor), "> draft");

        editor.press(Key::Ctrl('r'));
        type_in(&mut editor, "help");
        assert_eq!(typed(editor.press(Key::Enter)), "help");
    }

    #[test]
    fn what_is_found_when_the_program_ends_does_not_look_entered() {
        let mut editor = editor();
        editor.ask(Ask::Command);
        type_in(&mut editor, "message bob a");
        editor.press(Key::Enter);
        editor.ask(Ask::Command);
        type_in(&mut editor, "draft");
        editor.press(Key::Ctrl('r'));
        type_in(&mut editor, "bob");

        assert_eq!(editor.close().as_deref(), Some("> draft"));
    }

    #[test]
    fn keys_that_wait_have_a_bound() {
        let mut editor = editor();
        while editor.has_room() {
            editor.press(Key::Text("x".repeat(1_000)));
        }
        assert!(editor.ahead_bytes < MOST_AHEAD + 2_000);
        editor.ask(Ask::Command);
        assert!(editor.has_room());
    }

    #[test]
    fn a_choice_is_not_put_to_whoever_has_typed_on() {
        const CHOICE: Ask = Ask::Choice("Stay? ");
        for ahead in ["secret\n", "help\n", "he"] {
            let mut editor = Editor::new("> ");
            editor.ask(NAME);
            type_in(&mut editor, "alice\n");
            editor.ask(SECRET);
            type_in(&mut editor, &format!("secret\n{ahead}"));

            let answer = editor.ask(CHOICE).unwrap();

            assert_eq!((typed(Some(answer)), editor.row(80)), ("".to_owned(), None));
            editor.keep_ahead();
            let next = editor.ask(Ask::Command);
            match ahead {
                "help\n" => assert_eq!(typed(next), "help"),
                _ => assert_eq!(next, None),
            }
        }
    }

    #[test]
    fn a_choice_is_shown_and_answered_where_nothing_was_typed() {
        const CHOICE: Ask = Ask::Choice("Stay? ");
        let mut editor = Editor::new("> ");
        assert_eq!(editor.ask(CHOICE), None);
        assert!(editor.row(80).unwrap().shown.contains("Stay? "));

        let answers = type_in(&mut editor, "y\n");
        assert_eq!((answers.len(), answers[0].echo.as_str()), (1, "Stay? y"));

        editor.end(Typed::End);
        assert_eq!(typed(editor.ask(CHOICE)), "");
        assert_eq!(editor.ask(NAME).unwrap().typed, Typed::End);
    }
}
