//! The settings file: any bytes give a configuration or a message, which names the file and cannot
//! act on a terminal.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use crate::choices::Choices;
use whoelse_server::Config;

/// Every setting there is, as people write it.
const EXAMPLE: &str = include_str!("../../whoelse.example.toml");
const VALUES: &[&str] = &[
    "0",
    "-1",
    "1",
    "65536",
    "99999999999999999999",
    "1.5",
    "\"\"",
    "\"open\"",
    "\"1y\"",
    "\"0s\"",
    "\"off\"",
    "\"99999999999999999999y\"",
    "\"256 KiB\"",
    "\"-1 MB\"",
    "\"127.0.0.1:0\"",
    "\"[::1]\"",
    "\":\"",
    "\"bob@localhost\"",
    "\"\\u001b[2J\"",
    "\"\\u202e\"",
    "[]",
    "[\"\"]",
    "[1, \"x\"]",
    "{}",
    "true",
    "1979-05-27",
    "\"\"\"\n\n\"\"\"",
    "",
];
const PIECES: &[&str] =
    &["\n", "=", "[", "]", "[[", "\"", "'", "#", "\0", "\u{1b}", "\u{feff}", ".", "é", "\r"];

thread_local! {
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// A settings file described by `data`.
pub fn file(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut text = match choices.below(4) {
        0 => choices.rest().to_vec(),
        1 => EXAMPLE.as_bytes().to_vec(),
        _ => settings(&mut choices).into_bytes(),
    };
    for _ in 0..choices.below(3) {
        let at = choices.below(text.len().clamp(1, 65_536));
        match choices.below(3) {
            0 => text.truncate(at),
            1 => drop(
                text.splice(at.min(text.len())..at.min(text.len()), choices.pick(PIECES).bytes()),
            ),
            _ => text.insert(at.min(text.len()), choices.byte()),
        }
    }
    let folder = FOLDER.take().unwrap_or_else(|| tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("whoelse.toml");
    fs::write(&path, &text).expect("a file");
    read(&path);
    FOLDER.set(Some(folder));
}

/// A few settings of the example, whether it has them commented out or not, with other values.
fn settings(choices: &mut Choices<'_>) -> String {
    let names: Vec<&str> = EXAMPLE
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once(" = "))
        .map(|(name, _)| name)
        .filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        .collect();
    let tables: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| line.trim_start_matches(['#', ' ']))
        .filter(|l| l.starts_with('['))
        .collect();
    let mut text = String::new();
    for _ in 0..=choices.below(6) {
        if !tables.is_empty() && choices.once_in(4) {
            text.push_str(choices.pick(&tables));
            text.push('\n');
        }
        let (name, value) = (choices.pick(&names), choices.pick(VALUES));
        text.push_str(&format!("{name} = {value}\n"));
    }
    text
}

fn read(path: &Path) {
    match Config::from_file(path) {
        Ok(config) => {
            for problem in config.check() {
                let problem = problem.to_string();
                assert!(problem.len() > 10, "a word is no message: {problem}");
                assert!(!problem.contains(char::is_control), "acts on a terminal: {problem:?}");
            }
            assert!(!config.summary().is_empty());
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("whoelse.toml"), "which file? {message}");
            assert!(message.len() > path.as_os_str().len() + 10, "a name is no message: {message}");
            assert!(!message.contains(char::is_control), "acts on a terminal: {message:?}");
        }
    }
}
