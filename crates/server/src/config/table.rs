//! The table of all settings: the server's own, the rules', and those that features declare.

use super::{Config, LogConfig, MetricsConfig, WebConfig};
use std::sync::LazyLock;
use whoelse_core::settings::{About, Setting, Settings, Written};

/// A setting of either kind.
#[derive(Clone, Copy)]
pub enum Row {
    /// Declared by the server.
    Server(&'static Setting<Config>),
    /// Declared by the rules or a feature.
    Rules(&'static Setting),
}

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let server =
        [Config::SETTINGS, WebConfig::SETTINGS, MetricsConfig::SETTINGS, LogConfig::SETTINGS];
    let server = server.into_iter().flatten().map(Row::Server);
    let features = whoelse_features::ALL.iter().flat_map(|feature| feature.settings).copied();
    let rules = Settings::OF_RULES.into_iter().chain(features).flatten().map(Row::Rules);
    let mut all: Vec<Row> = server.chain(rules).collect();
    // Groups settings by table; those of the top level come first.
    let mut tables = vec![""];
    tables.extend(all.iter().map(Row::table));
    all.sort_by_key(|row| tables.iter().position(|table| *table == row.table()));
    all
});

/// Every setting, in the order in which a file would have them.
pub fn table() -> &'static [Row] {
    &TABLE
}

/// Finds the setting of this name in a table, or the one that had this name in an older version.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Row> {
    let is_it = |row: &&Row| {
        row.table() == table && (row.name() == name || row.about().older.contains(&name))
    };
    TABLE.iter().find(is_it)
}

/// Delegates to what both kinds of settings have.
macro_rules! of_either {
    ($row:expr, $setting:ident => $call:expr) => {
        match $row {
            Row::Server($setting) => $call,
            Row::Rules($setting) => $call,
        }
    };
}

impl Row {
    /// The table in which it stands, "" for the top of the file.
    pub fn table(&self) -> &'static str {
        of_either!(self, setting => setting.table)
    }

    /// What the table is for.
    pub fn table_help(&self) -> &'static str {
        of_either!(self, setting => setting.table_help.trim())
    }

    /// Its key in that table.
    pub fn name(&self) -> &'static str {
        of_either!(self, setting => setting.name)
    }

    /// Its key with that of its table: `limits.blocks`.
    pub fn key(&self) -> String {
        of_either!(self, setting => setting.key())
    }

    /// What it is, and the reason for its default.
    pub fn help(&self) -> &'static str {
        of_either!(self, setting => setting.help())
    }

    /// Which values it takes, and when a change takes effect.
    pub fn about(&self) -> &'static About {
        of_either!(self, setting => &setting.about)
    }

    /// Its value as the file writes it; empty if the file would leave it out.
    pub fn say(&self, config: &Config) -> String {
        match self {
            Row::Server(setting) => setting.say(config),
            Row::Rules(setting) => setting.say(&config.settings),
        }
    }

    /// Sets it. Fails with a sentence.
    pub(super) fn set(&self, config: &mut Config, written: &Written) -> Result<(), String> {
        match self {
            Row::Server(setting) => setting.set(config, written),
            Row::Rules(setting) => setting.set(&mut config.settings, written),
        }
    }

    /// Copies the value from another configuration.
    pub(crate) fn keep(&self, config: &mut Config, other: &Config) {
        match self {
            Row::Server(setting) => setting.keep(config, other),
            Row::Rules(setting) => setting.keep(&mut config.settings, &other.settings),
        }
    }

    /// Sets it to its default in a server that has a file.
    pub(super) fn begin_file(&self, config: &mut Config) {
        match self {
            Row::Server(setting) => setting.begin_file(config),
            Row::Rules(setting) => setting.begin_file(&mut config.settings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_settings_have_one_name() {
        let mut seen = HashSet::new();
        for row in table() {
            for name in [row.name()].iter().chain(row.about().older) {
                assert!(seen.insert((row.table(), *name)), "{}", row.key());
            }
        }
    }

    #[test]
    fn every_setting_says_what_it_is_and_which_values_it_takes() {
        for row in table() {
            let help = row.help();
            assert!(help.ends_with('.') && help.len() > 20, "{}: {help}", row.key());
            assert!(!row.table_help().is_empty() && !row.about().in_short().is_empty());
            // A setting whose default is empty needs an example.
            let default = row.say(&Config::quick_start());
            assert!(!default.is_empty() || !row.about().like.is_empty(), "{}", row.key());
        }
    }
}
