//! `client.toml`: the user's settings for every start of the client. The command line wins over
//! it.

use std::path::{Path, PathBuf};

use whoelse_core::settings;
use whoelse_core::settings::{Kind, Setting, Written, Wrong};
use whoelse_p2p::Relaying;
use whoelse_server::config::toml_text;
use whoelse_xmpp::in_words;

use crate::device;
use crate::say::text;

settings! {
    /// The settings.
    pub struct Settings in "" of Settings {
        /// What this device is called: everybody who sees me online can read it.
        device: Option<String> = None, named();
    }
    with {
        /// Those of private chats.
        private: Private = Private::default();
    }
}

settings! {
    /// Private chats.
    pub struct Private in "private" of Settings.private {
        /// Which ways they may take.
        relay: Relaying = Relaying::Auto, relaying();
    }
}

const fn named() -> Kind<Option<String>> {
    Kind::new(
        "a name in quotes",
        |written| match written {
            Written::Text(name) => match device::check(name) {
                Ok(name) => Ok(Some(name.to_owned())),
                Err(why) => Err(Wrong::Because(why)),
            },
            _ => Err(Wrong::Kind),
        },
        |name| name.as_ref().map_or_else(String::new, |name| format!("\"{name}\"")),
    )
    .like("\"laptop\"")
}

const fn relaying() -> Kind<Relaying> {
    Kind::new(
        "\"auto\", \"only\" or \"never\"",
        |written| match written {
            Written::Text(word) => Relaying::parse(word).ok_or(Wrong::Kind),
            _ => Err(Wrong::Kind),
        },
        |relaying| format!("\"{}\"", format!("{relaying:?}").to_lowercase()),
    )
}

/// Reads the user's settings; without a file, the defaults.
pub fn read() -> Result<Settings, String> {
    let Some(file) = user_directory("XDG_CONFIG_HOME", ".config") else {
        return Ok(Settings::default());
    };
    let file: PathBuf = file.join("client.toml");
    match std::fs::read_to_string(&file) {
        Ok(text) => parse(&text, &file),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
        Err(why) => {
            let file = text::line(&file.to_string_lossy());
            Err(format!("cannot read {file}: {}", in_words(&why)))
        }
    }
}

fn parse(text: &str, file: &Path) -> Result<Settings, String> {
    let table: Vec<&Setting<Settings>> =
        [Settings::SETTINGS, Private::SETTINGS].into_iter().flatten().collect();
    let known: Vec<_> = table.iter().map(|setting| (setting.table, setting.name)).collect();
    let (found, mut wrong) = toml_text::read(text, &known);
    let mut settings = Settings::default();
    for placed in found {
        let is_it = |it: &&&Setting<Settings>| (it.table, it.name) == (&placed.table, &placed.name);
        let done = match table.iter().find(is_it) {
            Some(setting) => setting.set(&mut settings, &placed.value),
            None => Err(toml_text::no_such(&known, &placed.table, &placed.name)),
        };
        if let Err(why) = done {
            wrong.add(placed.line, why);
        }
    }
    let wrong: Vec<String> =
        wrong.sorted().into_iter().map(|(line, why)| format!("line {line}: {why}")).collect();
    match wrong.is_empty() {
        true => Ok(settings),
        false => Err(text::line(&format!("{}: {}", file.display(), wrong.join("; ")))),
    }
}

/// Returns the user's directory for this program (XDG base directory specification).
pub fn user_directory(variable: &str, otherwise: &str) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set(variable).filter(|path| path.is_absolute());
    base.or_else(|| set("HOME").map(|home| home.join(otherwise))).map(|it| it.join("whoelse"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(text: &str) -> Result<Settings, String> {
        parse(text, Path::new("/home/bob/client.toml"))
    }

    #[test]
    fn a_device_has_a_name_that_people_can_read() {
        let device = |text| of(text).map(|it| it.device);
        assert_eq!(device("device = \"laptop\""), Ok(Some("laptop".to_owned())));
        assert!(device("device = \"\"").is_err_and(|why| why.contains("1 to 32 characters")));
        assert!(device("device = 3").is_err_and(|why| why.ends_with("like \"laptop\", not 3")));
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        for nothing in ["", "# nothing\n", "[private]\n"] {
            let settings = of(nothing).unwrap();
            assert_eq!((settings.private.relay, settings.device), (Relaying::Auto, None));
        }
    }

    #[test]
    fn private_relay_is_auto_only_or_never() {
        let relay = |text| of(text).map(|it| it.private.relay);
        assert_eq!(relay("private.relay = \"only\""), Ok(Relaying::Only));
        assert_eq!(relay("[private]\nrelay = \"never\""), Ok(Relaying::Never));
    }

    #[test]
    fn all_mistakes_are_told_in_one_line_with_the_file_and_their_lines() {
        let said = of("divice = \"x\"\nrelay = \"only\"\ndevice\n[private]\nrelay = \"maybe\"\n");

        let words = [
            "/home/bob/client.toml: line 1: there is no setting `divice`; did you mean `device`?",
            "line 2: `relay` must stand below [private]",
            "line 3: a `=` is missing after `device`: write `device = ` and its value",
            "line 5: `private.relay` must be \"auto\", \"only\" or \"never\", not \"maybe\"",
        ];
        assert_eq!(said.err(), Some(words.join("; ")));
    }
}
