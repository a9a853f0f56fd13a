//! What the command line is taken for, and what is said about mistakes on it.

#![allow(clippy::unwrap_used)]
use super::mistake::explain;
use super::*;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Cli, String> {
    let words = line.split(' ').map(OsString::from).collect();
    Cli::read(words).map_err(|mistake| explain(&mistake))
}

#[test]
fn the_declaration_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_server_needs_no_argument_and_takes_three_numbers() {
    let Action::Server(server) = parse("whoelse server").unwrap().action else { panic!() };
    assert_eq!((server.port, server.block_duration, server.timeout), (None, None, None));

    let line = "whoelse server 0 86400 604800";
    let Action::Server(server) = parse(line).unwrap().action else { panic!() };
    assert_eq!(server.port, Some(0));
    assert_eq!(server.block_duration, Some(86_400));
    assert_eq!(server.timeout, Some(604_800));
}

#[test]
fn a_number_out_of_range_is_named_with_its_range_in_one_line() {
    for (line, sentence) in [
        ("server 65536", "PORT must be a whole number from 0 to 65535, not '65536'"),
        ("client x", "PORT must be a whole number from 0 to 65535, not 'x'"),
        ("client -1", "PORT must be a whole number from 0 to 65535, not '-1'"),
        ("server +5", "PORT must be a whole number from 0 to 65535, not '+5'"),
        ("server 1 0", "BLOCK_DURATION must be a whole number from 1 to 86400, not '0'"),
        ("server 1 86401", "BLOCK_DURATION must be a whole number from 1 to 86400, not '86401'"),
        ("server 1 1 604801", "TIMEOUT must be a whole number from 0 to 604800, not '604801'"),
        ("server 1 1 1.5", "TIMEOUT must be a whole number from 0 to 604800, not '1.5'"),
        ("server 1 \u{1b}", "BLOCK_DURATION must be a whole number from 1 to 86400, not '\\u{1b}'"),
    ] {
        assert_eq!(parse(&format!("whoelse {line}")).unwrap_err(), sentence);
    }
}

#[test]
fn any_other_mistake_is_one_line_too() {
    for line in [
        "whoelse",
        "whoelse chat",
        "whoelse client --nonsense",
        "whoelse send",
        "whoelse server 1 1 1 1",
    ] {
        let sentence = parse(line).unwrap_err();
        assert!(!sentence.is_empty() && !sentence.contains('\n'), "{line}: {sentence}");
    }
}

#[test]
fn a_mistake_is_told_in_our_words() {
    for (line, sentence) in [
        ("chat", "there is no command chat"),
        ("sever", "there is no command sever; did you mean server?"),
        ("client --nonsense", "there is no option --nonsense here"),
        ("client --hots x", "there is no option --hots here; did you mean --host?"),
        ("server 1 1 1 1", "1 is one word too many"),
        ("client --host", "--host <NAME[:PORT]> needs a value"),
        ("client --host a --host b", "--host <NAME[:PORT]> can be given once"),
        ("client --json=yes", "--json takes no value"),
        ("completions tcsh", "<SHELL> must be one of bash, "),
    ] {
        let said = parse(&format!("whoelse {line}")).unwrap_err();
        assert!(said.starts_with(sentence), "{line}: {said}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (line, sentence) in [
        (
            "whoelse",
            "say what to do: server, client, send, announce, user, room, admin, sessions, domain, doctor, \
             clock, reload, config, backup, restore, store, completions, manual",
        ),
        (
            "whoelse user",
            "say what to do: add, passwd, remove, block, unblock, kick, devices, list",
        ),
        ("whoelse admin", "say what to do: grant, revoke, list"),
        ("whoelse domain", "say what to do: rename (`whoelse domain --help` tells more)"),
        ("whoelse user add", "<NAME> is missing"),
        ("whoelse send", "<USER> and <TEXT>... are missing"),
    ] {
        let said = parse(line).unwrap_err();
        assert!(said.starts_with(sentence), "{line}: {said}");
    }
}

#[test]
fn the_client_connects_to_the_usual_port_unless_told_otherwise() {
    let Action::Client(client) = parse("whoelse client").unwrap().action else { panic!() };
    assert_eq!((client.port, client.host), (None, None));
}

#[test]
fn a_host_may_name_its_port() {
    let host = |text: &str| match parse(&format!("whoelse client --host {text}")) {
        Ok(Cli { action: Action::Client(Client { host: Some(it), .. }) }) => Ok((it.name, it.port)),
        Ok(other) => panic!("{other:?}"),
        Err(sentence) => Err(sentence),
    };

    for (text, name, port) in [
        ("a.example", "a.example", None),
        ("a.example:5223", "a.example", Some(5223)),
        ("127.0.0.1:1", "127.0.0.1", Some(1)),
        ("::1", "::1", None),
        ("[::1]", "[::1]", None),
        ("[2001:db8::1]:65535", "[2001:db8::1]", Some(65535)),
    ] {
        assert_eq!(host(text), Ok((name.to_owned(), port)), "{text}");
    }
    for bad in ["a:", "a:0", "a:65536", "a:x", ":5222", "[::1]:+1", "[::1", "::1]", "[[::1]]"] {
        let sentence = host(bad).unwrap_err();
        assert!(sentence.contains("--host"), "{bad}: {sentence}");
    }
}

#[test]
fn a_block_has_an_end_or_none() {
    let block = |line: &str| match parse(line).map(|cli| cli.action) {
        Ok(Action::User(User { action: UserAction::Block { seconds, .. }, .. })) => Ok(seconds),
        Ok(other) => panic!("{other:?}"),
        Err(sentence) => Err(sentence),
    };

    assert_eq!(block("whoelse user block bob"), Ok(None));
    assert_eq!(block("whoelse user block bob 60"), Ok(Some(60)));
    for bad in ["0", "-1", "1.5", "4294967296", "soon"] {
        let sentence = format!("SECONDS must be a whole number from 1 to 4294967295, not '{bad}'");
        assert_eq!(block(&format!("whoelse user block bob {bad}")), Err(sentence));
    }
}

#[test]
fn a_device_has_a_number() {
    let revoke = |number: &str| match parse(&format!("whoelse user devices bob --revoke {number}"))
        .map(|cli| cli.action)
    {
        Ok(Action::User(User { action: UserAction::Devices(it), .. })) => Ok(it.revoke),
        Ok(other) => panic!("{other:?}"),
        Err(sentence) => Err(sentence),
    };

    assert_eq!(revoke("3"), Ok(Some(3)));
    for bad in ["0", "-1", "x"] {
        let sentence = format!("NUMBER must be a whole number from 1 to 4294967295, not '{bad}'");
        assert_eq!(revoke(bad), Err(sentence));
    }
}

#[test]
fn the_data_directory_may_be_named_anywhere_on_the_line() {
    for line in ["whoelse user --data /d list", "whoelse user list --data /d"] {
        let Action::User(user) = parse(line).unwrap().action else { panic!("{line}") };
        assert_eq!(user.running.data, PathBuf::from("/d"), "{line}");
    }
}

#[test]
fn a_message_on_the_command_line_may_have_many_words() {
    let Action::Send(send) = parse("whoelse send bob how are you").unwrap().action else {
        panic!()
    };
    assert_eq!(send.text.join(" "), "how are you");
}

#[test]
fn what_is_no_option_of_announce_is_text() {
    let told = |line: &str| match parse(&format!("whoelse announce {line}")).unwrap().action {
        Action::Announce(it) => (it.text.join(" "), it.running.data),
        other => panic!("{other:?}"),
    };

    for text in ["-5 degrees", "-", "--force is wrong", "back at 5 --ish"] {
        assert_eq!(told(text), (text.to_owned(), PathBuf::from("whoelse-data")));
    }
    assert_eq!(told("-5 --data /d"), ("-5".to_owned(), PathBuf::from("/d")));
    assert_eq!(told("-- --data /d").0, "--data /d");
}

#[test]
fn what_is_no_option_of_send_is_text() {
    let sent = |line: &str| match parse(&format!("whoelse send {line}")).map(|it| it.action) {
        Ok(Action::Send(it)) => Ok((it.to, it.text.join(" "), it.from, it.running.data)),
        Ok(other) => panic!("{other:?}"),
        Err(sentence) => Err(sentence),
    };
    let usual = PathBuf::from("whoelse-data");
    let to_bob = |text: &str| Ok(("bob".to_owned(), text.to_owned(), None, usual.clone()));

    for text in ["-5 degrees", "- milk", "-- milk", "--force is wrong", "-x", "-", "a -b --c"] {
        let typed = format!("bob {text}");
        let expected = if text == "-- milk" { "milk" } else { text };
        assert_eq!(sent(&typed), to_bob(expected), "{text}");
    }
    assert_eq!(sent("bob -- --from alice"), to_bob("--from alice"));
    let from = Some("alice".to_owned());
    for line in ["bob -1 --from alice", "--from alice bob -1", "bob --from=alice -1"] {
        let sent = sent(line).unwrap();
        assert_eq!(sent, ("bob".to_owned(), "-1".to_owned(), from.clone(), usual.clone()));
    }
    assert_eq!(sent("bob hi --data /d").unwrap().3, PathBuf::from("/d"));
    assert!(sent("bob hi --form alice").unwrap_err().contains("did you mean --from?"));
    assert!(sent("bob").unwrap_err().contains("standard input"));
    assert!(sent("bob hi --from").is_err());
}
