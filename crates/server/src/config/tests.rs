//! Tests of the configuration: every default, and every refusal with its words.
#![allow(clippy::unwrap_used)]
use super::*;
use whoelse_core::settings::{Contacts, Registration, Sessions};
use whoelse_features::broadcast::Broadcast;

/// What is wrong with a file, a sentence each.
fn problems(text: &str) -> Vec<String> {
    let (_, problems) = file::read(Path::new("conf/whoelse.toml"), text);
    problems.iter().map(Problem::to_string).collect()
}

fn parse(text: &str) -> Result<Config, String> {
    match problems(text).as_slice() {
        [] => Ok(file::read(Path::new("conf/whoelse.toml"), text).0),
        problems => Err(problems.join(" | ")),
    }
}

/// A file whose first line is sound.
fn sound(more: &str) -> Result<Config, String> {
    parse(&format!("contacts = \"roster\"\n{more}"))
}

fn refused(more: &str) -> String {
    sound(more).expect_err(more)
}

fn broadcast(config: &Config) -> Broadcast {
    config.settings.of::<broadcast::Settings>().broadcast
}

#[test]
fn the_quick_start_is_as_behaviour_says() {
    let config = Config::quick_start();

    assert!(config.listen.iter().all(|address| address.ip().is_loopback()));
    assert_eq!(config.settings.registration, Registration::Open);
    assert_eq!(config.settings.sessions, Sessions::One);
    assert_eq!(broadcast(&config), Broadcast::Everyone);
    assert_eq!(config.settings.block_duration, Duration::from_secs(60));
    assert!(config.settings.timeout.is_zero());
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
    assert_eq!(broadcast(&config), Broadcast::Administrators);
    assert_eq!(config.credentials, None);
    assert_eq!(config.check(), []);
}

#[test]
fn the_database_may_be_on_a_server_and_its_password_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p"), "sesame\n").unwrap();
    let of = |text: &str| {
        let text = format!("contacts = \"everyone\"\n{text}");
        let (config, problems) = file::read(&dir.path().join("whoelse.toml"), &text);
        ConfigError::of(problems).map(|()| config)
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
    assert_eq!(near.metrics.listen.unwrap().port(), METRICS_PORT);
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

    assert_eq!(again.settings.timeout, Duration::from_secs(7));
    assert_eq!(again.overrides, config.overrides);
}

#[test]
fn what_is_said_of_a_setting_is_read_again() {
    for row in table() {
        let default = row.say(&sound("").unwrap());
        let value = if default.is_empty() { row.about().like } else { default.as_str() };
        let line = match row.table() {
            "" => format!("{} = {value}", row.name()),
            table => format!("[{table}]\n{} = {value}", row.name()),
        };

        let (read, problems) = file::read(Path::new("whoelse.toml"), &line);

        // Some need another setting, which is missing here.
        let mut problems = problems.iter().map(Problem::to_string);
        let alone = problems.find(|problem| !problem.contains("` needs `"));
        assert_eq!(alone, None, "{line}");
        assert_eq!(row.say(&read), value, "{line}");
    }
}

/// Whatever is written, the sentence says what the value must be and what it is, in the words of
/// the file and never in those of a library.
#[test]
fn a_value_of_a_wrong_kind_is_refused_in_the_words_of_the_file() {
    const VALUES: [&str; 10] = [
        "-1",
        "99999999999999999999999999999999999999999",
        "1.5",
        "\"\"",
        "\"\\u001b[2J\"",
        "true",
        "[1, [true]]",
        "1979-05-27",
        "{ a = 1 }",
        "\"such a text as nobody would ever mean it, and long as well\"",
    ];
    const THEIRS: [&str; 15] = [
        "invalid", "expected", "sequence", "string", "integer", "u32", "u64", "usize", "i64",
        "boolean", "variant", "struct", "serde", "parse", "float",
    ];
    let mut refusals = 0;
    for row in table() {
        let (name, key) = (row.name(), row.key());
        for value in VALUES {
            let text = match row.table() {
                "" => format!("# one\n{name} = {value}\n"),
                table => format!("[{table}]\n{name} = {value}\n"),
            };
            for sentence in problems(&text) {
                refusals += 1;
                let said = sentence.strip_prefix("conf/whoelse.toml, line 2: ").unwrap_or_default();
                let said = said.replace(value, "");
                assert!(
                    said.contains(&format!("`{key}`")) || said.contains(&format!("`{name}`")),
                    "{text}{sentence}"
                );
                assert!(!said.contains(char::is_control), "{sentence:?}");
                let theirs = THEIRS.into_iter().find(|word| said.contains(word));
                assert_eq!(theirs, None, "{sentence}");
            }
        }
        let takes_a_table = problems(&match row.table() {
            "" => format!("{name} = {{ a = 1 }}"),
            table => format!("[{table}]\n{name} = {{ a = 1 }}"),
        });
        assert!(!takes_a_table.is_empty(), "{key} takes a table");
    }
    assert!(refusals > table().len() * 5, "{refusals}");
}

#[test]
fn a_number_stays_within_its_bounds() {
    let sentence = |line: &str| refused(&format!("[limits]\n{line}"));

    assert_eq!(
        sentence("blocks = 0"),
        "conf/whoelse.toml, line 3: `limits.blocks` must be a whole number, 1 or more, not 0"
    );
    assert_eq!(
        sentence("ack_wait = \"2d\""),
        "conf/whoelse.toml, line 3: `limits.ack_wait` must be a duration from 1s to 1d, like \"10m\" \
         or a number of seconds, not \"2d\""
    );
    assert_eq!(
        sentence("session_bytes = 1000"),
        "conf/whoelse.toml, line 3: `limits.session_bytes` must be a size of 512 KiB or more, like \
         \"5 MiB\" or a number of bytes, not 1000"
    );
}

#[test]
fn all_that_is_wrong_with_a_file_is_said_at_once_with_its_lines() {
    let found = problems(
        "admins = \"alice\"\nsesions = \"one\"\nblocks = 3\nwhat is this\ntimeout = \"8d\"\n\
         certificate = \"a.pem\"\n[limits]\nhalf_open = 0\nhistory = \"1y\"\n[metric]\nlisten = 1\n",
    );

    let expected = [
        "line 1: `admins` must be a list of names or addresses, like [\"alice\"], not \"alice\"",
        "line 2: there is no setting `sesions`; did you mean `sessions`?",
        "line 3: `blocks` must stand below [limits]",
        "line 4: a `=` is missing after `what`: write `what = ` and its value",
        "line 5: `timeout` must be a duration from 0s to 1w, like \"10m\" or a number of seconds, not \
         \"8d\"",
        "line 6: `certificate` needs `key` as well",
        "line 8: `limits.half_open` must be a whole number, 1 or more, not 0",
        "line 9: `history` must stand at the top of the file, before the first [table]",
        "line 10: there is no setting `metric`; did you mean `metrics`?",
    ];
    assert_eq!(found, expected.map(|line| format!("conf/whoelse.toml, {line}")));
}

#[test]
fn several_problems_are_one_line_for_whoever_wants_one() {
    let (_, found) = file::read(Path::new("whoelse.toml"), "a = 1\nb = 2\nc = 3");

    let said = ConfigError::of(found).unwrap_err().to_string();

    let end = "there is no setting `a` (and 2 more: `whoelse config check` says all of them)";
    assert_eq!(said, format!("whoelse.toml, line 1: {end}"));
}

#[test]
fn an_older_name_of_a_setting_is_still_read() {
    let per_network = |text: &str| sound(text).map(|it| it.settings.limits.half_open_per_network);

    assert_eq!(per_network("[limits]\nhalf_open_per_place = 5"), Ok(5));
    assert_eq!(per_network("[limits]\nhalf_open_per_network = 6"), Ok(6));
    let both = per_network("[limits]\nhalf_open_per_place = 5\nhalf_open_per_network = 6");
    assert!(both.unwrap_err().contains("which stands there as well"));
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

    assert!(refused.contains("`limits.roster_bytes` must be 262144 bytes or less"), "{refused}");
    assert_eq!(limits("").unwrap().settings.limits.roster_bytes, 256 << 10);
}

#[test]
fn every_bad_value_is_refused_by_the_name_of_its_setting() {
    for (line, words) in [
        (
            "registration = \"invite\"",
            "`registration`: \"invite\" is not available in this version",
        ),
        ("registration = \"yes\"", "`registration` must be \"open\" or \"closed\", not \"yes\""),
        ("sessions = \"two\"", "`sessions` must be \"one\" or \"many\", not \"two\""),
        ("contacts = \"some\"", "`contacts` stands there twice"),
        ("listen = \"localhost\"", "`localhost` is not an address to listen on"),
        ("listen = 5222", "`listen` must be an address in quotes, or a list of them, like [\"0."),
        ("listen = [5222]", "not [5222]"),
        ("timeout = \"soon\"", "not \"soon\""),
        (
            "history = \"never\"",
            "`history` must be a duration like \"1y\", or \"off\", not \"never\"",
        ),
        ("history = 0", "`history` must be a duration"),
        ("certificate = \"a.pem\"", "`certificate` needs `key`"),
        ("key = \"a.pem\"", "`key` needs `certificate`"),
        (
            "admins = \"bob\"",
            "`admins` must be a list of names or addresses, like [\"alice\"], not \"bob\"",
        ),
        ("admins = [1]", "like [\"alice\"], not [1]"),
        (
            "domain = 5",
            "`domain` must be a domain name in quotes, like \"chat.example.org\", not 5",
        ),
        ("key = true", "`key` must be a path in quotes, like \"privkey.pem\", not true"),
        ("timeout = 1.5", "not a number with a fraction"),
        ("[metrics]\npublic = \"yes\"", "`metrics.public` must be true or false, not \"yes\""),
        (
            "[log]\nlevel = 3",
            "`log.level` must be a level of the log in quotes, like \"info\", not 3",
        ),
        (
            "[limits]\nack_every = 99999999999",
            "`limits.ack_every` must be a whole number, 1 or more",
        ),
        ("metrics = 1", "`metrics` must be a table: write [metrics]"),
        ("domain = \"a\"\ndomain = \"b\"", "line 3: `domain` stands there twice"),
        (
            "database = [\"postgres://whoelse:s3cret@db/x\"]",
            "`database`: write the address as one text in quotes",
        ),
        (
            "domain = chat.example",
            "the text in column 10 stands in no quotes: write `domain = \"…\"`",
        ),
        ("domain = \"chat.example", "the text that begins in column 10 has no \" at its end"),
        ("just words", "a `=` is missing after `just`"),
        ("[limits", "write `[limits]`"),
        ("[limits]\nundelivered_bytes = \"1 KiB\"", "`limits.undelivered_bytes` must be"),
        ("[limits]\npassword_min = 65", "must be a whole number from 1 to 64, not 65"),
        ("[limits]\nown_networks = [\"school\"]", "`school` is not a network like"),
        ("[limits]\nown_networks = [\"10.0.0.1/8\"]", "write its first address"),
        ("[limits]\nown_networks = \"10.0.0.0/8\"", "`limits.own_networks` must be a list"),
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
    // Strangers do not see a person whose roster needs consent.
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
        ("features_off = [\"offline\"]", "there is no feature \"offline\" to switch off"),
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
    assert_eq!(config.settings.timeout, Duration::from_secs(20));
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
    let certificate = config.certificate_files().unwrap();
    assert_eq!(certificate.certificate, Path::new("conf/c"));
    assert_eq!(certificate.key, Path::new("/k"));
    assert_eq!(config.credentials.unwrap().path, Path::new("conf/p"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::from_file(Path::new("/nonexistent/whoelse.toml")).unwrap_err();

    assert!(error.to_string().starts_with("cannot read /nonexistent/whoelse.toml: "), "{error}");
}
