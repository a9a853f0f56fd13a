//! The settings file: TOML in which every key is checked. Every error is reported with its line,
//! not only the first.

use super::problem::Problem;
use super::table::{self, Row};
use super::toml_text::{self, Placed};
use super::{Config, Source, check};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use whoelse_core::settings::{ShortPasswords, Written};

/// The line of each setting in the file, by its key (`limits.blocks`).
pub(super) type Lines = BTreeMap<String, usize>;

/// Reads the text of a file: returns the settings that can be read, and the errors.
pub(super) fn read(path: &Path, text: &str) -> (Config, Vec<Problem>) {
    let mut config = Config::quick_start();
    table::table().iter().for_each(|row| row.begin_file(&mut config));
    config.settings.short_passwords = ShortPasswords::Refused;
    config.source = Source::File(path.to_owned());

    let known: Vec<_> = table::table().iter().map(|row| (row.table(), row.name())).collect();
    let (settings, mut wrong) = toml_text::read(text, &known);
    for placed in settings {
        let line = placed.line;
        let done = match table::find(&placed.table, &placed.name) {
            Some(row) => set(&mut config, row, path, placed),
            None => Err(toml_text::no_such(&known, &placed.table, &placed.name)),
        };
        if let Err(why) = done {
            wrong.add(line, why);
        }
    }
    for (line, why) in check::fit(&mut config) {
        wrong.add(line, why);
    }
    let problem = |(line, text)| Problem::new(text).in_file(path, Some(line));
    (config, wrong.sorted().into_iter().map(problem).collect())
}

fn set(config: &mut Config, row: &Row, path: &Path, placed: Placed) -> Result<(), String> {
    let key = row.key();
    let Placed { name, line, value, .. } = placed;
    if config.lines.insert(key.clone(), line).is_some() {
        return Err(format!("`{name}` is an older name of `{key}`, which stands there as well"));
    }
    let written = match value {
        // A relative path in the file is relative to the file, wherever the server is started.
        Written::Text(named) if row.about().is_path() => {
            let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
            Written::Text(folder.join(named).to_string_lossy().into_owned())
        }
        written => written,
    };
    row.set(config, &written)
}
