//! The client's command line: where its server is, and the login.

use whoelse_client::{Begin, Config, Fingerprint, Password};

use super::settings::user_directory;
use crate::commands::{self, Fault};
use crate::{admin, cli};

/// The variable that may hold the password, which is then not asked for.
const PASSWORD: &str = "WHOELSE_PASSWORD";
/// The login that the command line gives.
#[derive(Debug, Default)]
pub struct Given {
    pub user: Option<String>,
    /// If it is set, nothing is asked.
    pub password: Option<Password>,
    /// Whether the login is remembered without a question.
    pub remember: bool,
}

/// Returns the client's settings and the login, from the command line.
pub fn of(options: cli::Client) -> Result<(Config, Given), String> {
    let password = match (&options.user, &options.password_file) {
        (None, _) => None,
        (_, Some(file)) => Some(admin::ask::password_in(file)?),
        (_, None) => match std::env::var(PASSWORD) {
            Ok(secret) => Some(Password::new(&secret).map_err(|why| format!("{PASSWORD}: {why}"))?),
            Err(std::env::VarError::NotPresent) => None,
            Err(_) => return Err(format!("{PASSWORD} is not UTF-8 text")),
        },
    };
    if let Some(user) = &options.user
        && let Err(Fault::Say { words, .. }) = commands::address(user, "localhost")
    {
        return Err(words);
    }
    let (user, domain) = match options.user.as_deref().map(|user| user.split_once('@')) {
        Some(Some((name, domain))) => (Some(name.to_owned()), Some(domain.to_owned())),
        _ => (options.user, None),
    };
    // SRV records are not needed if the server's place is given.
    let records = options.host.is_none() && options.port.is_none();
    let (host, port) = options.host.map_or((None, None), |host| (Some(host.name), host.port));
    let port = match (options.port, port) {
        (Some(one), Some(other)) if one != other => {
            return Err(format!("PORT is {one}, and --host says {other}: which is it?"));
        }
        (one, other) => one.or(other).unwrap_or(5222),
    };
    let host = host.or_else(|| domain.clone()).unwrap_or_else(|| "localhost".to_owned());
    let mut config = Config::new(&host, port);
    config.records = records;
    if let Some(domain) = domain {
        config.domain = domain;
    }
    if options.direct_tls {
        config.begin = Begin::Direct;
    }
    config.accepted = match options.trust.as_deref() {
        None => None,
        Some(text) => Some(Fingerprint::parse(text).ok_or("--trust takes 64 hexadecimal digits")?),
    };
    config.state = options.state_dir.or_else(|| user_directory("XDG_STATE_HOME", ".local/state"));
    config.name.clone_from(&user);
    config.verdicts = options.json;
    Ok((config, Given { user, password, remember: options.remember }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::{Action, Cli};
    use clap::Parser;

    fn of(line: &str) -> Result<(Config, Given), String> {
        let Action::Client(options) = Cli::try_parse_from(line.split(' ')).unwrap().action else {
            panic!("not the client")
        };
        super::of(options)
    }

    #[test]
    fn without_arguments_it_is_the_server_on_this_computer() {
        let (config, Given { user, .. }) = of("whoelse client").unwrap();

        assert_eq!(
            (config.address().as_str(), config.domain.as_str()),
            ("localhost:5222", "localhost")
        );
        assert_eq!(user, None);
    }

    #[test]
    fn a_whole_address_names_the_domain_and_the_host() {
        let (config, Given { user, .. }) = of("whoelse client --user bob@a.example").unwrap();
        assert_eq!((config.host.as_str(), config.domain.as_str()), ("a.example", "a.example"));
        assert_eq!(user.as_deref(), Some("bob"));

        let (config, _) = of("whoelse client --user bob@a.example --host 127.0.0.1").unwrap();
        assert_eq!((config.host.as_str(), config.domain.as_str()), ("127.0.0.1", "a.example"));
    }

    #[test]
    fn the_records_of_a_domain_are_asked_for_unless_the_server_is_named() {
        let asks = |line| of(line).unwrap().0.records;

        assert!(asks("whoelse client --user bob@a.example"));
        assert!(!asks("whoelse client --user bob@a.example --host b.example"));
        assert!(!asks("whoelse client 5333 --user bob@a.example"));
        assert!(!asks("whoelse client --host b.example"));
    }

    #[test]
    fn a_port_is_given_once() {
        let address = |line: &str| of(line).map(|(config, _)| config.address());

        let of_host = address("whoelse client --host [::1]:5223");
        assert_eq!(of_host.as_deref(), Ok("[::1]:5223"));
        assert_eq!(address("whoelse client 5223 --host a:5223").as_deref(), Ok("a:5223"));
        assert!(address("whoelse client 5222 --host a:5223").is_err());
    }

    #[test]
    fn a_password_file_without_a_name_to_log_in_under_is_a_mistake() {
        let line = "whoelse client --password-file x";
        assert!(Cli::try_parse_from(line.split(' ')).is_err());
    }

    #[test]
    fn a_password_file_that_is_not_there_is_named() {
        let mistake = of("whoelse client --user bob --password-file /nowhere/x").unwrap_err();
        assert!(mistake.contains("/nowhere/x"), "{mistake}");
    }

    #[test]
    fn a_user_that_cannot_be_one_is_refused_before_anything_is_sent() {
        for nobody in ["b\u{a0}d", "bob@", "a@b@c", "@localhost", "@", "bob/x"] {
            let mistake = of(&format!("whoelse client --user {nobody}")).unwrap_err();
            assert!(mistake.ends_with("is not a name"), "{nobody}: {mistake}");
        }
    }

    #[test]
    fn a_fingerprint_that_is_none_is_refused() {
        assert!(of("whoelse client --trust nonsense").is_err());
    }
}
