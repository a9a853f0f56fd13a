//! Tests of the configuration: every default, and every refusal with its words.
#![allow(clippy::unwrap_used)]
use super::*;
use whoelse_core::settings::Limits;

const EXAMPLE: &str = include_str!("../../../../whoelse.example.toml");

fn parse(text: &str) -> Result<Config, String> {
    file::parse(Path::new("conf/whoelse.toml"), text).map_err(|error| error.to_string())
}

/// A file whose first line is sound.
fn sound(more: &str) -> Result<Config, String> {
    parse(&format!("contacts = \"roster\"\n{more}"))
}

fn refused(more: &str) -> String {
    sound(more).expect_err(more)
}

#[test]
fn the_quick_start_is_as_behaviour_says() {
    let config = Config::quick_start();

    assert!(config.listen.iter().all(|address| address.ip().is_loopback()));
    assert_eq!(config.settings.registration, Registration::Open);
    assert_eq!(config.settings.sessions, Sessions::One);
    assert_eq!(config.settings.broadcast, Broadcast::Everyone);
    assert_eq!(config.settings.block_duration, Duration::from_secs(60));
    assert!(config.settings.idle_timeout.is_zero());
    assert!(!config.credentials.as_ref().unwrap().required);
    assert_eq!(config.check(), []);
    assert_eq!(
        config.summary(),
        "quick start: listen 127.0.0.1:5222 [::1]:5222, registration open, contacts everyone, \
         sessions one, broadcast everyone, block 60 s, timeout never, history 1y, data \
         whoelse-data"
    );
}

#[test]
fn a_file_begins_from_other_defaults() {
    let config = sound("").unwrap();

    assert_eq!(config.settings.registration, Registration::Closed);
    assert_eq!(config.settings.sessions, Sessions::Many);
    assert_eq!(config.settings.broadcast, Broadcast::Administrators);
    assert_eq!(config.credentials, None);
    assert_eq!(config.check(), []);
}

#[test]
fn the_example_holds_every_setting_with_its_default() {
    let example = parse(EXAMPLE).unwrap();
    let nothing_said = sound("").unwrap();

    assert_eq!(format!("{example:?}"), format!("{nothing_said:?}"));
    assert_eq!(example.check(), []);
    for (table, least) in
        [("", 22), ("[limits]", 27), ("[private]", 1), ("[metrics]", 2), ("[log]", 2)]
    {
        let keys = file::known_keys(table);
        assert_eq!(keys.len(), least, "{keys:?}");
        for key in keys {
            let written = EXAMPLE.lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{key} = ")) || line == format!("[{key}]")
            });
            assert!(written, "{key}");
        }
    }
}

#[test]
fn the_database_may_be_on_a_server_and_its_password_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p"), "sesame\n").unwrap();
    let of = |text: &str| {
        let text = format!("contacts = \"everyone\"\n{text}");
        file::parse(&dir.path().join("whoelse.toml"), &text)
    };

    let config =
        of("database = \"postgres://bob@db/chat\"\ndatabase_password_file = \"p\"").unwrap();
    assert!(config.database.as_ref().unwrap().has_password());
    assert!(config.summary().ends_with(", database postgres://bob@db/chat"));
    assert!(!format!("{config:?}").contains("sesame"));

    for (text, why) in [
        ("database = \"whoelse.db\"", "postgres://user@host"),
        ("database_password_file = \"p\"", "needs `database`"),
        (
            "database = \"postgres://bob:x@db/chat\"\ndatabase_password_file = \"p\"",
            "take one of them out",
        ),
        ("database = \"postgres://bob@db/chat\"\ndatabase_password_file = \"q\"", "cannot read"),
    ] {
        let said = of(text).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn metrics_beyond_loopback_must_be_meant() {
    let listen =
        |more: &str| sound(&format!("[metrics]\nlisten = \"0.0.0.0:9105\"\n{more}")).unwrap();

    let problems: Vec<String> = listen("").check().iter().map(Problem::to_string).collect();
    assert!(problems.len() == 1 && problems[0].contains("public = true"), "{problems:?}");
    assert_eq!(listen("public = true").check(), []);
    let near = sound("[metrics]\nlisten = \"127.0.0.1\"").unwrap();
    assert_eq!(near.check(), []);
    assert_eq!(near.metrics.unwrap().listen.port(), METRICS_PORT);
}

#[test]
fn a_log_is_text_or_json() {
    assert_eq!(sound("[log]\nformat = \"json\"").unwrap().log.format, LogFormat::Json);
    assert!(refused("[log]\nformat = \"xml\"").contains("\"text\" or \"json\""));
}

#[test]
fn what_the_command_line_said_is_said_again_when_the_file_is_read_again() {
    let mut config = Config::quick_start();
    config.apply(Overrides { timeout: Some(7), ..Overrides::default() }).unwrap();

    let again = config.read_again().unwrap();

    assert_eq!(again.settings.idle_timeout, Duration::from_secs(7));
    assert_eq!(again.overrides, config.overrides);
}

#[test]
fn every_limit_can_be_set() {
    let config = sound(
        "[limits]\nsession_bytes = \"1 MiB\"\nresumption = 1\nack_every = 2\nack_wait = \"3s\"\n\
         negotiation = 4\nhalf_open_per_place = 5\nhalf_open = 6\nsessions_per_account = 7\n\
         waiting_per_network = 24\nown_networks = [\"192.0.2.0/24\", \"2001:db8::/48\"]\n\
         undelivered_messages = 8\nundelivered_bytes = 9000000\nrequest = 10\nprobe = 11\n\
         idle_accounts = 12\nblocks = 13\nroster_contacts = 14\nroster_bytes = 1500\n\
         roster_groups = 16\nroster_name = 17\nroster_requests = 18\n\
         roster_request_bytes = 1900\ndirected_presences = 20\nrelay_rate = 21000\n\
         relay_clients = 22\nrelay_per_account = 23\npassword_min = 24\n",
    );
    let Limits {
        session_bytes,
        resumption,
        ack_every,
        ack_wait,
        negotiation,
        half_open_per_place,
        half_open,
        waiting_per_network,
        own_networks,
        sessions_per_account,
        undelivered_messages,
        undelivered_bytes,
        request,
        probe,
        idle_accounts,
        blocks,
        roster_contacts,
        roster_bytes,
        roster_groups,
        roster_name,
        roster_requests,
        roster_request_bytes,
        directed_presences,
        relay_rate,
        relay_clients,
        relay_per_account,
        password_min,
    } = config.unwrap().settings.limits;

    let sizes = [session_bytes as u64, undelivered_bytes];
    assert_eq!(sizes, [1 << 20, 9_000_000]);
    let durations = [resumption, ack_wait, negotiation, request, probe].map(|d| d.as_secs());
    assert_eq!(durations, [1, 3, 4, 10, 11]);
    let counts = [half_open_per_place, half_open, sessions_per_account, idle_accounts, blocks];
    assert_eq!(counts, [5, 6, 7, 12, 13]);
    assert_eq!((ack_every, undelivered_messages, waiting_per_network), (2, 8, 24));
    assert!(own_networks[0].contains("192.0.2.7".parse().unwrap()));
    assert!(own_networks[1].contains("2001:db8:0:7::7".parse().unwrap()));
    let rosters = [roster_contacts, roster_bytes, roster_groups, roster_name];
    assert_eq!(rosters, [14, 1500, 16, 17]);
    assert_eq!([roster_requests, roster_request_bytes, directed_presences], [18, 1900, 20]);
    assert_eq!((relay_rate, relay_clients, relay_per_account), (21_000, 22, 23));
    assert_eq!(password_min, 24);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_near_one() {
    assert_eq!(
        refused("sessons = \"one\""),
        "conf/whoelse.toml, line 2: there is no setting `sessons`; did you mean `sessions`?"
    );
    assert_eq!(
        refused("\n[limits]\nhalf_opened = 3"),
        "conf/whoelse.toml, line 4: there is no setting `half_opened`; did you mean `half_open`?"
    );
    assert_eq!(
        refused("colour = \"green\""),
        "conf/whoelse.toml, line 2: there is no setting `colour`"
    );
}

#[test]
fn a_file_means_roster_unless_it_says_everyone() {
    assert_eq!(parse("").unwrap().settings.contacts, Contacts::Roster);
    assert_eq!(parse("contacts = \"roster\"").unwrap().settings.contacts, Contacts::Roster);
    assert_eq!(parse("contacts = \"everyone\"").unwrap().settings.contacts, Contacts::Everyone);
    assert!(parse("contacts = \"nobody\"").unwrap_err().contains("not \"nobody\""));
}

#[test]
fn a_roster_that_no_session_could_hold_is_refused() {
    let limits = |more: &str| parse(&format!("[limits]\nsession_bytes = \"1 MiB\"\n{more}"));

    let refused = limits("roster_bytes = \"1 MiB\"").unwrap_err();

    assert!(refused.contains("limits.roster_bytes must be 262144 bytes or less"), "{refused}");
    assert_eq!(limits("").unwrap().settings.limits.roster_bytes, 256 << 10);
}

#[test]
fn every_bad_value_is_refused_by_the_name_of_its_setting() {
    for (line, words) in [
        ("registration = \"invite\"", "not available in this version"),
        ("registration = \"yes\"", "registration must be \"open\" or \"closed\", not \"yes\""),
        ("sessions = \"two\"", "sessions must be \"one\" or \"many\", not \"two\""),
        (
            "[private]\nrelay = \"only\"",
            "private.relay must be \"auto\" or \"never\", not \"only\"",
        ),
        ("broadcast = \"bob\"", "broadcast must be \"everyone\" or \"administrators\""),
        ("listen = \"localhost\"", "`localhost` is not an address to listen on"),
        ("listen = 5222", "`listen` must be an address in quotes, or a list of them"),
        ("direct_tls = [\"x\"]", "`x` is not an address"),
        ("block_duration = 0", "block_duration must be from 1 to 86400 seconds, not 0"),
        ("block_duration = \"2d\"", "block_duration must be from 1 to 86400 seconds"),
        ("timeout = \"8d\"", "timeout must be from 0 to 604800 seconds, not 691200"),
        ("timeout = \"soon\"", "`soon` is not a duration"),
        ("timeout = -1", "`-1` is not a duration"),
        ("history = \"never\"", "`never` is not a duration like \"1y\" or \"30d\", or \"off\""),
        ("history = 0", "`0` is not a duration"),
        ("certificate = \"a.pem\"", "`certificate` needs `key`"),
        ("key = \"a.pem\"", "`key` needs `certificate`"),
        ("admins = \"bob\"", "`admins` must be a list, as in [\"a\", \"b\"]"),
        ("admins = [1]", "`admins` must be a text in quotes"),
        ("domain = 5", "`domain` must be a text in quotes"),
        ("key = true", "`key` must be a text in quotes"),
        ("timeout = 1.5", "`timeout` must be a duration: whole seconds"),
        ("[metrics]\npublic = \"yes\"", "`public` must be true or false"),
        ("[limits]\nblocks = -1", "`blocks` must be a whole number"),
        ("[limits]\nack_every = 99999999999", "`ack_every` must be a whole number"),
        ("[limits]\nsession_bytes = []", "`session_bytes` must be a size: whole bytes"),
        ("metrics = 1", "`metrics` must be a table"),
        ("domain = \"a\"\ndomain = \"b\"", "`domain` stands there twice"),
        ("domain = chat.example", "this is not TOML: write `setting = value`, texts in quotes"),
        ("domain = \"chat.example", "this is not TOML"),
        ("just words", "this is not TOML"),
        ("[limits", "this is not TOML"),
        ("[limits]\nsession_bytes = 1000", "limits.session_bytes must be 524288 bytes or more"),
        ("[limits]\nundelivered_bytes = \"1 KiB\"", "limits.undelivered_bytes must be"),
        ("[limits]\nack_wait = 0", "limits.ack_wait must be from 1 to 86400 seconds"),
        ("[limits]\nhalf_open = 0", "limits.half_open must be 1 or more"),
        ("[limits]\npassword_min = 0", "limits.password_min must be 1 or more"),
        ("[limits]\npassword_min = 65", "limits.password_min must be 64 or less, not 65"),
        ("[limits]\nwaiting_per_network = 0", "limits.waiting_per_network must be 1 or more"),
        ("[limits]\nown_networks = [\"school\"]", "`school` is not a network like"),
        ("[limits]\nown_networks = [\"10.0.0.1/8\"]", "write its first address"),
        ("[limits]\nown_networks = \"10.0.0.0/8\"", "`own_networks` must be a list"),
        ("[limits]\nack_every = 0", "limits.ack_every must be 1 or more"),
        ("[limits]\nundelivered_messages = 0", "limits.undelivered_messages must be 1 or more"),
        ("domain = ", "line 2"),
    ] {
        let sentence = refused(line);
        assert!(sentence.contains(words), "{line}: {sentence}");
        assert!(
            sentence.starts_with("conf/whoelse.toml") && !sentence.contains('\n'),
            "{sentence}"
        );
    }
}

#[test]
fn open_doors_to_strangers_are_refused_by_the_names_of_both_settings() {
    let said = |more: &str| {
        let text = format!("contacts = \"everyone\"\n{more}");
        let problems = parse(&text).unwrap().check();
        problems.iter().map(Problem::to_string).collect::<Vec<_>>()
    };

    for public in [
        "listen = \"0.0.0.0\"",
        "listen = [\"127.0.0.1\", \"[::]:5222\"]",
        "direct_tls = \"192.0.2.1\"",
    ] {
        let problems = said(&format!("registration = \"open\"\n{public}"));
        assert_eq!(problems.len(), 1, "{public}");
        assert!(problems[0].contains("contacts = \"everyone\""), "{problems:?}");
        assert!(problems[0].contains("registration = \"open\""), "{problems:?}");
    }
    assert!(said("registration = \"open\"").is_empty());
    assert!(said("listen = \"0.0.0.0\"").is_empty());
    // Who has to be agreed to is not shown to strangers.
    let roster = sound("registration = \"open\"\nlisten = \"0.0.0.0\"").unwrap();
    assert_eq!(roster.check(), []);
    assert!(said("registration = \"open\"\nlisten = \"[::ffff:127.0.0.1]:1\"").is_empty());
}

#[test]
fn settings_that_make_no_sense_are_problems() {
    for (line, words) in [
        ("listen = []", "nobody could connect"),
        ("domain = \"not a domain\"", "is not a domain name"),
        ("admins = [\"bob\", \"b b\"]", "\"b b\" is neither a name nor an address"),
        ("features_off = [\"nonsense\"]", "there is no feature \"nonsense\""),
    ] {
        let problems = sound(line).unwrap().check();
        assert!(problems.len() == 1 && problems[0].to_string().contains(words), "{problems:?}");
    }
}

#[test]
fn the_command_line_wins_over_the_file() {
    let mut config = sound("block_duration = 5\ntimeout = 5\ndomain = \"a.example\"").unwrap();

    let overrides = Overrides {
        port: Some(7000),
        block_duration: Some(10),
        timeout: Some(20),
        data: Some("elsewhere".into()),
        credentials: Some("people.txt".into()),
        listen: vec!["127.0.0.1".into(), "127.0.0.1:1".into()],
        domain: Some("b.example".into()),
        migrate_without_copy: true,
    };
    config.apply(overrides).unwrap();

    assert_eq!(config.listen, ["127.0.0.1:7000".parse().unwrap()]);
    assert_eq!(config.settings.block_duration, Duration::from_secs(10));
    assert_eq!(config.settings.idle_timeout, Duration::from_secs(20));
    assert_eq!(config.data, Path::new("elsewhere"));
    assert_eq!(
        config.credentials,
        Some(CredentialsFile { path: "people.txt".into(), required: true })
    );
    assert_eq!(config.domain.as_deref(), Some("b.example"));
    assert!(config.migrate_without_copy);
}

#[test]
fn a_command_line_that_says_nothing_changes_nothing() {
    let before = sound("domain = \"a.example\"").unwrap();
    let mut after = before.clone();

    after.apply(Overrides::default()).unwrap();

    assert_eq!(format!("{after:?}"), format!("{before:?}"));
}

#[test]
fn paths_in_a_file_are_seen_from_its_folder() {
    let config = sound("data = \"d\"\ncertificate = \"c\"\nkey = \"/k\"\ncredentials = \"p\"");
    let config = config.unwrap();

    assert_eq!(config.data, Path::new("conf/d"));
    let certificate = config.certificate.unwrap();
    assert_eq!(certificate.certificate, Path::new("conf/c"));
    assert_eq!(certificate.key, Path::new("/k"));
    assert_eq!(config.credentials.unwrap().path, Path::new("conf/p"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::from_file(Path::new("/nonexistent/whoelse.toml")).unwrap_err();

    assert!(error.to_string().starts_with("cannot read /nonexistent/whoelse.toml: "), "{error}");
}
