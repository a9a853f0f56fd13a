//! `whoelse completions SHELL` and `whoelse manual`: files that packages ship beside the program,
//! generated from the declaration of the command line, so that they always agree with it.

use std::process::ExitCode;

use clap::{Arg, Command, CommandFactory};

use crate::cli::{self, Cli};
use crate::output;

/// The other sections of the manual page, in roff (man(7)).
const REST: &str = include_str!("manual.roff");

/// Prints the completion of a shell.
pub fn completions(options: cli::Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "whoelse", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page.
pub fn page() -> ExitCode {
    print(&roff())
}

fn print(text: &str) -> ExitCode {
    match output::result(text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            output::complain(why);
            ExitCode::FAILURE
        }
    }
}

fn roff() -> String {
    let mut program = Cli::command();
    // Fills in names and help as clap prints them.
    program.build();
    let about = program.get_about().map(ToString::to_string).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH WHOELSE 1 \"\" \"whoelse {version}\"\n.SH NAME\nwhoelse \\- {}\n\
         .SH SYNOPSIS\n.B whoelse\n.I COMMAND\n[OPTIONS]\n.SH COMMANDS\n",
        escaped(about.trim_end_matches('.'))
    );
    for command in program.get_subcommands() {
        add(&mut page, "whoelse", command);
    }
    page + REST
}

/// Adds a command with its arguments, or its subcommands.
fn add(page: &mut String, above: &str, command: &Command) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{above} {}", command.get_name());
    if command.has_subcommands() {
        return command.get_subcommands().for_each(|below| add(page, &name, below));
    }
    let arguments =
        || command.get_arguments().filter(|it| it.get_id() != "help" && it.get_id() != "version");
    let words: Vec<String> = arguments().filter(|it| it.is_positional()).map(shown).collect();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let line = [name, words.join(" ")].join(" ");
    page.push_str(&format!(".SS {}\n{}\n", escaped(line.trim_end()), escaped(&about)));
    for argument in arguments() {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        page.push_str(&format!(".TP\n.B {}\n{}\n", escaped(&shown(argument)), escaped(&help)));
    }
}

/// An argument as it is written on the command line.
fn shown(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default();
    let value = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match argument.get_long() {
        Some(long) if argument.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None if argument.is_required_set() => value,
        None => format!("[{value}]"),
    }
}

/// Escapes what roff would take for a request or an escape: a backslash, a dash, and a dot or
/// quote at the beginning of a line.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_and_every_option() {
        let page = roff();

        for words in [
            ".TH WHOELSE 1",
            ".SS whoelse server [PORT] [BLOCK_DURATION] [TIMEOUT]",
            ".SS whoelse user kick NAME [RESOURCE]",
            ".B \\-\\-password\\-file FILE",
            ".SH FILES",
            ".SH EXIT STATUS",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        let mut program = Cli::command();
        program.build();
        for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
            let named = format!(".SS whoelse {}", escaped(command.get_name()));
            assert!(page.contains(&named), "{named}");
        }
    }

    #[test]
    fn nothing_of_a_text_is_a_word_of_roff() {
        assert_eq!(escaped("a\\b --c"), "a\\eb \\-\\-c");
        assert_eq!(escaped(".db"), "\\&.db");
        // Every roff request in the page is one that we wrote.
        let known =
            [".TH", ".SH", ".SS", ".TP", ".B", ".I", ".BR", ".PP", ".RS", ".RE", ".nf", ".fi"];
        for line in roff().lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(known.contains(&line.split(' ').next().unwrap_or_default()), "{line}");
        }
    }

    #[test]
    fn every_shell_is_offered_every_command() {
        for shell in
            [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish]
        {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "whoelse", &mut script);
            let script = String::from_utf8_lossy(&script);
            for word in ["sessions", "announce", "kick", "doctor"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
