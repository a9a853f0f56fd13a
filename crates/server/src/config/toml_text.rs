//! TOML as people write it: the settings that can be read of a text, and what is wrong with the
//! rest, in the words of whoever writes it and each with its line. The server's configuration and
//! the client's settings are both read so.

use std::ops::Range;

use strsim::osa_distance;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use whoelse_core::settings::Written;

/// The most one-letter edits at which a name is suggested for another one. A short name allows
/// half as many as it has letters.
const NEAR: usize = 3;

/// The most lines that are not TOML; with more of them, the file is not TOML at all.
const MOST_UNREADABLE: usize = 50;

/// A setting as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The table in which it stands, "" for the top of the file.
    pub table: String,
    /// Its key.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its value.
    pub value: Written,
}

/// The errors of a file, each with its line.
#[derive(Debug, Default)]
pub struct Wrong(Vec<(usize, String)>);

impl Wrong {
    /// Adds an error, unless something is known to be wrong with this line already.
    pub fn add(&mut self, line: usize, sentence: String) {
        if !self.0.iter().any(|(known, _)| *known == line) {
            self.0.push((line, sentence));
        }
    }

    /// Returns all of them, in the order of the lines.
    pub fn sorted(mut self) -> Vec<(usize, String)> {
        self.0.sort_by_key(|(line, _)| *line);
        self.0
    }
}

/// Reads a text of these known settings, each by its table and its name. A table that none of them
/// has is left to the caller: it is returned as a setting of the top, with the value "a table".
pub fn read(text: &str, known: &[(&str, &str)]) -> (Vec<Placed>, Wrong) {
    let mut wrong = Wrong::default();
    let readable = without_what_is_no_toml(text, &mut wrong);
    let root = DeTable::parse(&readable).map(Spanned::into_inner).unwrap_or_default();
    let mut settings = Vec::new();
    for (key, value) in &root {
        let (name, line) = (key.get_ref().as_ref(), line_of(text, &key.span()));
        match value.get_ref() {
            DeValue::Table(inner) if known.iter().any(|(table, _)| *table == name) => {
                settings.extend(inner.iter().map(|(key, value)| Placed {
                    table: name.to_owned(),
                    name: key.get_ref().to_string(),
                    line: line_of(text, &key.span()),
                    value: written(value.get_ref()),
                }));
            }
            value => settings.push(Placed {
                table: String::new(),
                name: name.to_owned(),
                line,
                value: written(value),
            }),
        }
    }
    (settings, wrong)
}

/// Says that there is no setting of this name in this table: where it belongs, or the nearest one
/// that is known.
pub fn no_such(known: &[(&str, &str)], table: &str, name: &str) -> String {
    if table.is_empty() && known.iter().any(|(table, _)| *table == name) {
        return format!("`{name}` must be a table: write [{name}], and its settings below");
    }
    if let Some((table, _)) = known.iter().find(|(_, known)| *known == name) {
        return match *table {
            "" => format!("`{name}` must stand at the top of the file, before the first [table]"),
            other => format!("`{name}` must stand below [{other}]"),
        };
    }
    let here = known.iter().filter(|(of, _)| *of == table).map(|(_, name)| *name);
    let tables =
        known.iter().map(|(of, _)| *of).filter(|name| table.is_empty() && !name.is_empty());
    let near = here.chain(tables).map(|known| (osa_distance(name, known), known)).min();
    match near.filter(|(distance, _)| *distance <= NEAR.min(name.len() / 2)) {
        Some((_, near)) => format!("there is no setting `{name}`; did you mean `{near}`?"),
        None => format!("there is no setting `{name}`"),
    }
}

/// The line of a byte range, from 1.
fn line_of(text: &str, at: &Range<usize>) -> usize {
    let before = text.get(..at.start.min(text.len())).unwrap_or_default();
    before.matches('\n').count() + 1
}

/// Returns the text with blanks in place of the lines that are not TOML. Each of those becomes an
/// error, and the remaining lines can still be read.
fn without_what_is_no_toml(text: &str, wrong: &mut Wrong) -> String {
    let mut readable = text.to_owned();
    for _ in 0..MOST_UNREADABLE {
        let Err(error) = DeTable::parse(&readable) else { return readable };
        let at = error.span().unwrap_or(0..0);
        let begin = readable.get(..at.start).and_then(|it| it.rfind('\n')).map_or(0, |end| end + 1);
        let rest = readable.get(begin..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        let sentence = match readable.get(at.clone()) {
            Some(key) if error.message().starts_with("duplicate key") => {
                format!("`{key}` stands there twice; take one of them out")
            }
            _ => mistake(line),
        };
        wrong.add(line_of(text, &at), sentence);
        if line.trim().is_empty() {
            // Something is not terminated: the lines below may be part of it.
            return String::new();
        }
        // After a broken [table] it is unknown which table the settings below belong to.
        let end = if line.trim_start().starts_with('[') { rest.len() } else { line.len() };
        readable.replace_range(begin..begin + end, &" ".repeat(end));
    }
    String::new()
}

/// Says what is wrong with a line that is no TOML: the words of the parser are for programmers, so
/// this looks for the usual mistakes by itself. It repeats no value: it may be a password, and what
/// is said here stands in the log.
fn mistake(line: &str) -> String {
    let said = line.trim();
    if said.is_empty() {
        return "a list or a text that begins above does not end: its `]` or its quote is missing"
            .to_owned();
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if said.starts_with('[') && !said.contains(']') {
        let name = said.trim_start_matches('[').split(|c| !is_plain(c)).next().unwrap_or_default();
        return format!("the name of a table ends with `]`: write `[{name}]`");
    }
    let Some((before, value)) = line.split_once('=') else {
        let word = said.split(|c| !is_plain(c)).next().unwrap_or_default();
        return match word {
            "" => other_mistake(),
            word => format!("a `=` is missing after `{word}`: write `{word} = ` and its value"),
        };
    };
    let name = before.trim();
    if name.is_empty() || !name.chars().all(is_plain) {
        return other_mistake();
    }
    let blanks = value.len() - value.trim_start().len();
    let column = line.chars().count() - value.get(blanks..).map_or(0, |it| it.chars().count()) + 1;
    mistake_of_value(name, value.trim(), column)
}

/// Says the same of the value of this setting, which begins in this column.
fn mistake_of_value(name: &str, value: &str, column: usize) -> String {
    match value.chars().next() {
        None | Some('#') => {
            format!("there is no value after the `=`: write `{name} = ` and its value")
        }
        Some(quote @ ('"' | '\'')) => match end_of_text(value, quote) {
            None => format!("the text that begins in column {column} has no {quote} at its end"),
            Some(end) if is_comment(value.get(end..).unwrap_or_default()) => format!(
                "the text that begins in column {column} has a `\\` in it: write each as `\\\\`"
            ),
            Some(_) => format!(
                "something follows the text that begins in column {column}; a comment begins with #"
            ),
        },
        Some('[') if !value.contains(']') => {
            format!("the list that begins in column {column} has no `]` at its end")
        }
        Some('[') => format!(
            "the list that begins in column {column} is none: write [\"one\", \"two\"], with commas \
             between and texts in quotes"
        ),
        Some(first) if first.is_alphanumeric() || "./".contains(first) => {
            let text = value.split('#').next().unwrap_or_default().trim_end();
            match text.contains(['"', '\'', '\\']) {
                true => format!("the text in column {column} has no quote at its beginning"),
                false => format!(
                    "the text in column {column} stands in no quotes: write `{name} = \"…\"`"
                ),
            }
        }
        Some(_) => other_mistake(),
    }
}

/// Returns the byte after the quote that ends this text.
fn end_of_text(value: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in value.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            c if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

fn is_comment(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

fn other_mistake() -> String {
    "this is not TOML: write `setting = value`, texts in quotes, lists in [ ]".to_owned()
}

fn written(value: &DeValue<'_>) -> Written {
    match value {
        DeValue::String(text) => Written::Text(text.clone().into_owned()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Written::Other("a number beyond all bounds"), Written::Number),
        DeValue::Boolean(flag) => Written::Flag(*flag),
        DeValue::Array(list) => {
            Written::List(list.iter().map(|item| written(item.get_ref())).collect())
        }
        DeValue::Float(_) => Written::Other("a number with a fraction"),
        DeValue::Datetime(_) => Written::Other("a date or a time"),
        DeValue::Table(_) => Written::Other("a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(&str, &str)] =
        &[("", "listen"), ("", "registration"), ("", "admins"), ("limits", "blocks")];

    fn wrong(text: &str) -> Vec<(usize, String)> {
        read(text, KNOWN).1.sorted()
    }

    #[test]
    fn a_usual_mistake_is_told_with_its_place_and_what_to_write() {
        for (line, words) in [
            ("registration = \"open", "the text that begins in column 16 has no \" at its end"),
            ("registration = 'open", "the text that begins in column 16 has no ' at its end"),
            ("registration = open\"", "the text in column 16 has no quote at its beginning"),
            (
                "registration = open # yes",
                "the text in column 16 stands in no quotes: write `registration = \"…\"`",
            ),
            ("timeout=10m", "the text in column 9 stands in no quotes: write `timeout = \"…\"`"),
            (
                "listen = 127.0.0.1:5222",
                "the text in column 10 stands in no quotes: write `listen = \"…\"`",
            ),
            (
                "registration \"open\"",
                "a `=` is missing after `registration`: write `registration = ` and its value",
            ),
            (
                "registration",
                "a `=` is missing after `registration`: write `registration = ` and its value",
            ),
            (
                "registration: open",
                "a `=` is missing after `registration`: write `registration = ` and its value",
            ),
            (
                "registration = # later",
                "there is no value after the `=`: write `registration = ` and its value",
            ),
            (
                "registration = \"open\" \"closed\"",
                "something follows the text that begins in column 16; a comment begins with #",
            ),
            (
                "data = \"C:\\x\"",
                "the text that begins in column 8 has a `\\` in it: write each as `\\\\`",
            ),
            (
                "registration = \"a\"\nregistration = \"b\"",
                "`registration` stands there twice; take one of them out",
            ),
            ("[limits", "the name of a table ends with `]`: write `[limits]`"),
            (
                "admins = [\"alice\" \"bob\"]",
                "the list that begins in column 10 is none: write [\"one\", \"two\"], with commas \
                 between and texts in quotes",
            ),
            ("= 3", "this is not TOML: write `setting = value`, texts in quotes, lists in [ ]"),
            ("!?", "this is not TOML: write `setting = value`, texts in quotes, lists in [ ]"),
        ] {
            let found = wrong(line);
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert_eq!(found[0].1, words, "{line}");
        }
    }

    #[test]
    fn no_mistake_repeats_a_value() {
        let url = "postgres://whoelse:s3cret@db/x";
        for line in [
            format!("database = {url}"),
            format!("database = {url} # s3cret"),
            format!("database = \"{url}"),
            format!("database = \"{url}\" s3cret"),
            format!("database = {url}\""),
            format!("database = [\"{url}\""),
            format!("database = [{url}]"),
            format!("database: {url}"),
            format!("database {url}"),
            format!("database =\n{url}"),
            format!("database = \n\"{url}\""),
            format!("[\"{url}\""),
            format!("[database = \"{url}\""),
            format!("database = \"x\"\ndatabase = \"{url}\""),
            format!("= {url}"),
        ] {
            let found = wrong(&line);
            assert!(!found.is_empty(), "{line}");
            assert!(!format!("{found:?}").contains("s3cret"), "{line}: {found:?}");
        }
    }

    #[test]
    fn whatever_is_cut_off_somewhere_is_told_once_and_panics_nowhere() {
        let whole = "listen = [\"[::]:5222\", 'ü']\nregistration = \"ö\\u00e4\" # ß\n[limits]\nblocks = 3\n";
        for (end, _) in whole.char_indices() {
            let cut = &whole[..end];
            assert!(wrong(cut).len() <= 1, "{cut}");
            for (begin, _) in cut.char_indices() {
                wrong(&cut[begin..]);
            }
        }
    }

    #[test]
    fn what_can_be_read_is_read_beside_what_cannot() {
        let (settings, wrong) = read("listen = x y\nadmins = []\n[limits]\nblocks = 3\n", KNOWN);

        let names: Vec<_> = settings.iter().map(|it| (&*it.table, &*it.name, it.line)).collect();
        assert_eq!(names, [("", "admins", 2), ("limits", "blocks", 4)]);
        assert_eq!(wrong.sorted().len(), 1);
    }
}
