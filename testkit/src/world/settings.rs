//! The settings of a scene: the quick start's, unless the scene changes them. A scene can set
//! every setting of the rules and the features, by its key or, below `[limits]`, by its name
//! alone.

use crate::scene::{Setting, duration};
use whoelse_core::settings::{Choice, Settings, ShortPasswords, Written};
use whoelse_server::config::{Row, table};
use whoelse_xmpp::BareJid;

/// Reads the settings of a scene; lists are separated by blanks. Values may exceed the bounds of a
/// configuration file, so that few messages reach a limit.
pub fn settings(written: &[Setting]) -> Result<Settings, String> {
    let mut settings = Settings::default();
    for setting in written {
        set(&mut settings, setting).map_err(|why| format!("{}: {why}", setting.key))?;
    }
    Ok(settings)
}

fn set(settings: &mut Settings, Setting { key, value }: &Setting) -> Result<(), String> {
    match key.as_str() {
        // A server computes these two; no file has them in this form.
        "short_passwords" => {
            let word = ShortPasswords::WORDS.iter().find(|(word, _)| word == value);
            settings.short_passwords = word.ok_or(format!("what is `{value}`?"))?.1;
            return Ok(());
        }
        "admins" => {
            let admin = |name: &str| match name.contains('@') {
                true => BareJid::parse(name),
                false => BareJid::new(Some(name), "localhost"),
            };
            let admins = value.split(' ').map(admin).collect::<Result<_, _>>();
            settings.admins = admins.map_err(|_| format!("`{value}` are no names"))?;
            return Ok(());
        }
        _ => {}
    }
    let known = table().iter().find_map(|row| match row {
        Row::Rules(known) if known.key() == *key => Some(known),
        Row::Rules(known) if known.table == "limits" && known.name == key => Some(known),
        _ => None,
    });
    let known = known.ok_or("there is no such setting in scenes")?;
    let written = match duration(value) {
        _ if known.about.is_list() => {
            Written::List(value.split(' ').map(|item| Written::Text(item.to_owned())).collect())
        }
        Some(time) if known.about.is_time() => Written::Number(time.as_secs().into()),
        _ => value.parse().map_or_else(|_| Written::Text(value.clone()), Written::Number),
    };
    known.set_unbounded(settings, &written)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use whoelse_core::settings::Sessions;

    fn read(key: &str, value: &str) -> Result<Settings, String> {
        settings(&[Setting { key: key.to_owned(), value: value.to_owned() }])
    }

    #[test]
    fn settings_are_read_by_the_names_of_the_configuration() {
        assert_eq!(read("sessions", "many").unwrap().sessions, Sessions::Many);
        assert_eq!(read("timeout", "10 s").unwrap().timeout, Duration::from_secs(10));
        assert_eq!(read("history", "off").unwrap().history, None);
        assert_eq!(read("undelivered_messages", "3").unwrap().limits.undelivered_messages, 3);
        assert_eq!(read("admins", "bob carol").unwrap().admins.len(), 2);
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        assert!(read("sessions", "some").is_err());
        assert!(read("colour", "red").is_err());
        assert!(read("timeout", "soon").is_err());
        assert!(read("listen", "127.0.0.1").is_err());
    }
}
