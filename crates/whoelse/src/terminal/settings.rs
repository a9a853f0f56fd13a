//! `client.toml`: the user's settings for every start of the client. The command line wins over
//! it.

use std::path::{Path, PathBuf};

use crate::slip::Slip;
use serde::Deserialize;
use whoelse_p2p::Relaying;
use whoelse_xmpp::in_words;

use crate::device;
use crate::say::text;

/// The content of the file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    device: Option<String>,
    private: Private,
}

/// Settings of private chats.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Private {
    relay: Option<String>,
}

/// The settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which ways private chats may take (`private.relay`).
    pub relaying: Relaying,
    /// What this device is called (`device`).
    pub device: Option<String>,
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
    let wrong = |why: &str| {
        let file = file.to_string_lossy();
        Err(format!("{}: {}", text::line(&file), text::line(why)))
    };
    let found: File = match toml::from_str(text) {
        Ok(found) => found,
        Err(why) => {
            return wrong(&match Slip::of(why.message(), &[]) {
                Slip::Unknown { key, near: Some(near) } => {
                    format!("there is no setting `{key}`; did you mean `{near}`?")
                }
                Slip::Unknown { key, near: None } => format!("there is no setting `{key}`"),
                Slip::Kind(kind) => format!("a value must be {kind}"),
                Slip::Twice(_) => "a setting stands there twice".to_owned(),
                Slip::Missing(_) | Slip::Said(_) | Slip::Unreadable => {
                    "this is not TOML: write `[private]`, and below it `relay = \"auto\"`"
                        .to_owned()
                }
            });
        }
    };
    let relaying = match found.private.relay.as_deref().map(Relaying::parse) {
        Some(None) => return wrong("private.relay must be \"auto\", \"only\" or \"never\""),
        Some(Some(relaying)) => relaying,
        None => Relaying::default(),
    };
    match found.device.as_deref().map(device::check) {
        Some(Err(why)) => wrong(&why),
        _ => Ok(Settings { relaying, device: found.device }),
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
    use super::*;

    fn of(text: &str) -> Result<Settings, String> {
        parse(text, Path::new("/home/bob/client.toml"))
    }

    fn settled(relaying: Relaying) -> Settings {
        Settings { relaying, device: None }
    }

    #[test]
    fn a_device_has_a_name_that_people_can_read() {
        let named = Settings { device: Some("laptop".to_owned()), ..Settings::default() };
        assert_eq!(of("device = \"laptop\""), Ok(named));
        assert!(of("device = \"\"").is_err());
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        for nothing in ["", "# nothing\n", "[private]\n"] {
            assert_eq!(of(nothing), Ok(settled(Relaying::Auto)));
        }
    }

    #[test]
    fn private_relay_is_auto_only_or_never() {
        assert_eq!(of("private.relay = \"only\""), Ok(settled(Relaying::Only)));
        assert_eq!(of("[private]\nrelay = \"never\""), Ok(settled(Relaying::Never)));
    }

    #[test]
    fn a_mistake_is_one_line_that_names_the_file() {
        for mistake in
            ["private.relay = \"maybe\"", "private.relais = \"only\"", "private", "x = 1"]
        {
            let words = of(mistake).err().unwrap_or_default();
            assert!(words.starts_with("/home/bob/client.toml: "), "{mistake}: {words}");
            assert!(!words.contains('\n'), "{words}");
        }
    }
}
