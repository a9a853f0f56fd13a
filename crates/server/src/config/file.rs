//! The settings file: TOML in which every key is checked. Every error is reported with its line,
//! not only the first.

use super::problem::Problem;
use super::table::{self, Row};
use super::{Config, Source, check};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use strsim::osa_distance;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use whoelse_core::settings::{ShortPasswords, Written};

/// The line of each setting in the file, by its key (`limits.blocks`).
pub(super) type Lines = BTreeMap<String, usize>;

/// The most one-letter edits at which a name is suggested for another one. A short name allows
/// half as many as it has letters.
const NEAR: usize = 3;

/// The most lines that are not TOML; with more of them, the file is not TOML at all.
const MOST_UNREADABLE: usize = 50;

/// Reads the text of a file: returns the settings that can be read, and the errors.
pub(super) fn read(path: &Path, text: &str) -> (Config, Vec<Problem>) {
    let mut config = Config::quick_start();
    table::table().iter().for_each(|row| row.begin_file(&mut config));
    config.settings.short_passwords = ShortPasswords::Refused;
    config.source = Source::File(path.to_owned());
    let mut reading = Reading { path, text, config, found: Vec::new() };

    let readable = reading.without_what_is_no_toml();
    let root = DeTable::parse(&readable).map(Spanned::into_inner).unwrap_or_default();
    reading.table("", &root);
    let Reading { mut config, mut found, .. } = reading;
    found.extend(check::fit(&mut config));
    found.sort_by_key(|(line, _)| *line);
    let problem = |(line, text)| Problem::new(text).in_file(path, Some(line));
    (config, found.into_iter().map(problem).collect())
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    config: Config,
    /// The errors, each with its line.
    found: Vec<(usize, String)>,
}

impl Reading<'_> {
    fn table(&mut self, table: &str, content: &DeTable<'_>) {
        for (key, value) in content {
            let (name, line) = (key.get_ref().as_ref(), self.line(&key.span()));
            let said = match (table::find(table, name), value.get_ref()) {
                (Some(row), _) => self.setting(row, name, line, value).err(),
                (None, DeValue::Table(inner)) if table.is_empty() && is_table(name) => {
                    self.table(name, inner);
                    None
                }
                (None, _) if table.is_empty() && is_table(name) => Some(format!(
                    "`{name}` must be a table: write [{name}], and its settings below"
                )),
                (None, _) => Some(no_such(table, name)),
            };
            // TOML's own error for this line is already reported.
            if let Some(said) = said.filter(|_| !self.found.iter().any(|(known, _)| *known == line))
            {
                self.found.push((line, said));
            }
        }
    }

    fn setting(
        &mut self,
        row: &Row,
        name: &str,
        line: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        let key = row.key();
        if self.config.lines.insert(key.clone(), line).is_some() {
            return Err(format!(
                "`{name}` is an older name of `{key}`, which stands there as well"
            ));
        }
        let written = match written(value.get_ref()) {
            // A relative path in the file is relative to the file, wherever the server is started.
            Written::Text(named) if row.about().is_path() => {
                let folder = self.path.parent().map_or_else(PathBuf::new, Path::to_owned);
                Written::Text(folder.join(named).to_string_lossy().into_owned())
            }
            written => written,
        };
        row.set(&mut self.config, &written)
    }

    /// The line of a byte range, from 1.
    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.get(..at.start.min(self.text.len())).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    /// Returns the text with blanks in place of the lines that are not TOML. Each of those becomes
    /// an error, and the remaining lines are still checked.
    fn without_what_is_no_toml(&mut self) -> String {
        let mut text = self.text.to_owned();
        for _ in 0..MOST_UNREADABLE {
            let Err(error) = DeTable::parse(&text) else { return text };
            let at = error.span().unwrap_or(0..0);
            self.found.push((self.line(&at), unreadable(error.message(), text.get(at.clone()))));
            let start = text.get(..at.start).and_then(|it| it.rfind('\n')).map_or(0, |end| end + 1);
            let rest = text.get(start..).unwrap_or_default();
            let line = rest.lines().next().unwrap_or_default();
            if line.trim().is_empty() {
                // Something is not terminated: the lines below may be part of it.
                return String::new();
            }
            // After a broken [table] it is unknown which table the settings below belong to.
            let end = if line.trim_start().starts_with('[') { rest.len() } else { line.len() };
            text.replace_range(start..start + end, &" ".repeat(end));
        }
        String::new()
    }
}

/// Rewords a message of TOML's, which is for programmers.
fn unreadable(message: &str, text: Option<&str>) -> String {
    match text {
        Some(key) if message.starts_with("duplicate key") => {
            format!("`{key}` stands there twice; take one of them out")
        }
        _ => "this is not TOML: write `setting = value`, texts in quotes, lists in [ ]".to_owned(),
    }
}

fn is_table(name: &str) -> bool {
    !name.is_empty() && table::table().iter().any(|row| row.table() == name)
}

/// Returns the message for an unknown name: the table it belongs to, or the nearest known name.
fn no_such(table: &str, name: &str) -> String {
    let rows = || table::table().iter();
    if let Some(row) = rows().find(|row| row.name() == name) {
        return match row.table() {
            "" => format!("`{name}` must stand at the top of the file, before the first [table]"),
            other => format!("`{name}` must stand below [{other}]"),
        };
    }
    let here = rows().filter(|row| row.table() == table).map(Row::name);
    let tables = rows().map(Row::table).filter(|name| table.is_empty() && !name.is_empty());
    let near = here.chain(tables).map(|known| (osa_distance(name, known), known)).min();
    match near.filter(|(distance, _)| *distance <= NEAR.min(name.len() / 2)) {
        Some((_, near)) => format!("there is no setting `{name}`; did you mean `{near}`?"),
        None => format!("there is no setting `{name}`"),
    }
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
