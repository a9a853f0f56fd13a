//! Commands that end in a text: which words are options, and which are text.

use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::ErrorKind;
use strsim::osa_distance;

use super::Cli;

/// The commands that end in a text.
pub const TEXTS: &[&str] = &["send", "announce"];

/// The words of one of [`TEXTS`], its options first: whatever is none of them is text, which may
/// begin with a dash. A long option that is one slip away from one of them is a mistake, not text.
pub fn sorted(command: &str, words: Vec<OsString>) -> Result<Vec<OsString>, clap::Error> {
    let mut all = Cli::command();
    all.build();
    let known: Vec<String> = all
        .find_subcommand(command)
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|it| it.get_long().map(|long| format!("--{long}")))
        .collect();
    let mut words = words.into_iter();
    let mut options: Vec<OsString> = words.by_ref().take(2).collect();
    let mut text = vec![OsString::from("--")];
    while let Some(word) = words.next() {
        let long = word.to_str().filter(|word| word.starts_with("--"));
        let name = long.and_then(|word| word.split('=').next()).unwrap_or_default();
        if word == "--" {
            text.extend(words.by_ref());
        } else if word == "-h" || known.iter().any(|it| it == name) {
            // Every one but help takes a value, in the same word or in the next.
            let apart = long == Some(name) && name != "--help";
            options.push(word);
            options.extend(if apart { words.next() } else { None });
        } else if let Some(near) = known.iter().find(|it| osa_distance(it, name) <= 2) {
            let words = format!(
                "there is no option {name}; did you mean {near}? Text that begins so stands after --"
            );
            return Err(clap::Error::raw(ErrorKind::UnknownArgument, words));
        } else {
            text.push(word);
        }
    }
    options.extend(text);
    Ok(options)
}
