//! The settings of a scene: those of the quick start, unless it says otherwise.

use crate::scene::{Setting, duration};
use whoelse_core::settings::{
    Broadcast, Contacts, Registration, Relaying, Sessions, Settings, ShortPasswords,
};
use whoelse_xmpp::BareJid;

/// Reads the settings of a scene; lists are separated by blanks.
pub fn settings(written: &[Setting]) -> Result<Settings, String> {
    let mut settings = Settings::default();
    for setting in written {
        set(&mut settings, setting).map_err(|why| format!("{}: {why}", setting.key))?;
    }
    Ok(settings)
}

fn set(settings: &mut Settings, Setting { key, value }: &Setting) -> Result<(), String> {
    let unknown = || Err(format!("what is `{value}`?"));
    let time = || duration(value).ok_or(format!("`{value}` is no time"));
    match (key.as_str(), value.as_str()) {
        ("registration", "open") => settings.registration = Registration::Open,
        ("registration", "closed") => settings.registration = Registration::Closed,
        ("contacts", "everyone") => settings.contacts = Contacts::Everyone,
        ("contacts", "roster") => settings.contacts = Contacts::Roster,
        ("sessions", "one") => settings.sessions = Sessions::One,
        ("sessions", "many") => settings.sessions = Sessions::Many,
        ("broadcast", "everyone") => settings.broadcast = Broadcast::Everyone,
        ("broadcast", "administrators") => settings.broadcast = Broadcast::Administrators,
        ("history", "off") => settings.history = None,
        ("registration" | "contacts" | "sessions" | "broadcast", _) => return unknown(),
        ("history", _) => settings.history = Some(time()?),
        // No setting of a file: a server with one refuses them.
        ("short_passwords", "refused") => settings.short_passwords = ShortPasswords::Refused,
        ("short_passwords", _) => return unknown(),
        ("block_duration", _) => settings.block_duration = time()?,
        ("timeout", _) => settings.idle_timeout = time()?,
        ("private.relay", "auto") => settings.relay = Relaying::Auto,
        ("private.relay", "never") => settings.relay = Relaying::Never,
        ("private.relay", _) => return unknown(),
        ("features_off", names) => {
            settings.features_off = names.split(' ').map(str::to_owned).collect();
        }
        ("admins", names) => {
            let admin = |name: &str| match name.contains('@') {
                true => BareJid::parse(name),
                false => BareJid::new(Some(name), "localhost"),
            };
            let admins = names.split(' ').map(admin).collect::<Result<_, _>>();
            settings.admins = admins.map_err(|_| format!("`{names}` are no names"))?;
        }
        _ => return limit(settings, key, value),
    }
    Ok(())
}

fn limit(settings: &mut Settings, key: &str, value: &str) -> Result<(), String> {
    let limits = &mut settings.limits;
    let time = || duration(value).ok_or(format!("`{value}` is no time"));
    fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
        value.parse().map_err(|_| format!("`{value}` is no number"))
    }
    match key {
        "session_bytes" => limits.session_bytes = number(value)?,
        "resumption" => limits.resumption = time()?,
        "ack_every" => limits.ack_every = number(value)?,
        "ack_wait" => limits.ack_wait = time()?,
        "negotiation" => limits.negotiation = time()?,
        "half_open_per_place" => limits.half_open_per_place = number(value)?,
        "half_open" => limits.half_open = number(value)?,
        "waiting_per_network" => limits.waiting_per_network = number(value)?,
        "own_networks" => {
            let networks = value.split(' ').map(str::parse).collect::<Result<_, _>>();
            limits.own_networks = networks?;
        }
        "sessions_per_account" => limits.sessions_per_account = number(value)?,
        "undelivered_messages" => limits.undelivered_messages = number(value)?,
        "undelivered_bytes" => limits.undelivered_bytes = number(value)?,
        "request" => limits.request = time()?,
        "probe" => limits.probe = time()?,
        "password_min" => limits.password_min = number(value)?,
        "blocks" => limits.blocks = number(value)?,
        "roster_contacts" => limits.roster_contacts = number(value)?,
        "roster_bytes" => limits.roster_bytes = number(value)?,
        "roster_groups" => limits.roster_groups = number(value)?,
        "roster_name" => limits.roster_name = number(value)?,
        "roster_requests" => limits.roster_requests = number(value)?,
        "roster_request_bytes" => limits.roster_request_bytes = number(value)?,
        "directed_presences" => limits.directed_presences = number(value)?,
        _ => return Err("there is no such setting in scenes".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn read(key: &str, value: &str) -> Result<Settings, String> {
        settings(&[Setting { key: key.to_owned(), value: value.to_owned() }])
    }

    #[test]
    fn settings_are_read_by_the_names_of_the_configuration() {
        assert_eq!(read("sessions", "many").unwrap().sessions, Sessions::Many);
        assert_eq!(read("timeout", "10 s").unwrap().idle_timeout, Duration::from_secs(10));
        assert_eq!(read("history", "off").unwrap().history, None);
        assert_eq!(read("undelivered_messages", "3").unwrap().limits.undelivered_messages, 3);
        assert_eq!(read("admins", "bob carol").unwrap().admins.len(), 2);
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        assert!(read("sessions", "some").is_err());
        assert!(read("colour", "red").is_err());
        assert!(read("timeout", "soon").is_err());
    }
}
