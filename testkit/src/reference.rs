//! Documents derived from the settings and the metrics: `whoelse.example.toml`, and the tables in
//! `docs/operating.md`.

use std::fmt::Write;

use whoelse_server::config::table;
use whoelse_server::{Config, metrics};

/// Characters of a line of the example.
const WIDTH: usize = 100;

/// The beginning of the example.
const HEAD: &str = "\
# The settings of a whoelse server: every one of them, with its default and the reason for it.
#
#   whoelse server --config whoelse.toml
#   whoelse config check whoelse.toml
#
# A setting that is left out has the value written here. Paths are seen from the folder of this
# file. A duration is a number of seconds or a text like \"90s\", \"10m\", \"2h\", \"30d\", \"1y\"; a size is
# a number of bytes or a text like \"5 MiB\". What the command line says wins over this file.
";

/// Returns the example of a file: every setting, with its value in a server with an empty file.
pub fn example(empty: &Config) -> String {
    let mut page = HEAD.to_owned();
    let mut last = "";
    for row in table() {
        if row.table() != last {
            last = row.table();
            page.push('\n');
            comment(&mut page, row.table_help());
            // Writing to a string cannot fail.
            let _ = writeln!(page, "[{last}]");
        }
        page.push('\n');
        let bounds = row.about().bounds().map(|bounds| format!(" {bounds}.")).unwrap_or_default();
        let (name, value) = (row.name(), row.say(empty));
        let like = match value.as_str() {
            "[]" | "\"off\"" => format!(" Like {}.", row.about().like),
            _ => String::new(),
        };
        comment(&mut page, &format!("{}{bounds}{like}", row.help()));
        let _ = match value.is_empty() || row.about().is_path() {
            true => writeln!(page, "# {name} = {}", row.about().like),
            false => writeln!(page, "{name} = {value}"),
        };
    }
    page
}

/// Returns the table of settings in the operators' page.
pub fn settings(empty: &Config) -> String {
    let mut rows =
        "| setting | default | values | a change holds |\n|---|---|---|---|\n".to_owned();
    for row in table() {
        let default = Some(row.say(empty)).filter(|value| !value.is_empty());
        let default = default.map_or("–".to_owned(), |value| format!("`{value}`"));
        let (key, values) = (row.key(), row.about().in_short());
        let holds = if row.about().at_start { "after a restart" } else { "at once" };
        let _ = writeln!(rows, "| `{key}` | {default} | {values} | {holds} |");
    }
    rows
}

/// Returns the table of metrics in the operators' page.
pub fn metrics() -> String {
    let mut rows = "| metric | what it is | act when |\n|---|---|---|\n".to_owned();
    for metric in metrics::described() {
        let act = if metric.act.is_empty() { "–" } else { metric.act };
        let _ = writeln!(rows, "| `{}` | {} | {act} |", metric.name, metric.help);
    }
    rows
}

/// Replaces the text between two marks of a page. Fails if there are no marks.
pub fn between(page: &str, name: &str, text: &str) -> Result<String, String> {
    let begin =
        format!("<!-- {name}: written by a test, UPDATE=1 cargo test -p whoelse-testkit -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let none = || format!("there is no place for {name}: {begin}{end}");
    let (before, rest) = page.split_once(&begin).ok_or_else(none)?;
    let (_, after) = rest.split_once(&end).ok_or_else(none)?;
    Ok(format!("{before}{begin}{text}{end}{after}"))
}

fn comment(page: &mut String, text: &str) {
    let mut line = "#".to_owned();
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > 1 {
            let _ = writeln!(page, "{line}");
            line = "#".to_owned();
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(page, "{line}");
}
