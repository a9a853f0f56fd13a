//! docs/scripting.md: the client for programs, one JSON object a line.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Client, Home, Proxy, Server, password};
use serde_json::{Value, json};

/// A client that is read by a program.
struct Script(Client);

impl Script {
    /// Starts a client that logs in with a password from a file.
    fn start(server: &Server, name: &str) -> Script {
        Script::start_at(server, server.address, name)
    }

    fn start_at(server: &Server, to: std::net::SocketAddr, name: &str) -> Script {
        let file = server.home.write(&format!("{name}.password"), &password(name));
        let file = file.to_str().unwrap().to_owned();
        let args = ["--json", "--user", name, "--password-file", &file];
        let mut script = Script(Client::start_with(&server.home, to, &args));
        let connected =
            json!({"event": "connected", "server": script.server(to), "domain": "localhost"});
        assert_eq!(script.next(), connected);
        let welcome = script.next();
        assert_eq!((&welcome["event"], &welcome["user"]), (&json!("welcome"), &json!(name)));
        script
    }

    fn server(&self, to: std::net::SocketAddr) -> String {
        format!("localhost:{}", to.port())
    }

    /// Returns the next object.
    #[track_caller]
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.0.lines.next()).unwrap()
    }

    /// Returns the next object of this kind.
    #[track_caller]
    fn until(&mut self, kind: &str) -> Value {
        let begin = format!("{{\"event\":\"{kind}\"");
        serde_json::from_str(&self.0.lines.wait_for(kind, |line| line.starts_with(&begin))).unwrap()
    }

    /// Types a line, and expects this object next.
    #[track_caller]
    fn says(&mut self, line: &str, answer: Value) {
        self.0.say(line);
        assert_eq!(self.next(), answer);
    }
}

#[test]
fn a_message_is_sent_and_acknowledged_and_arrives_exactly() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = Script::start(&server, "bob");
    let mut alice = Script::start(&server, "alice");
    assert_eq!(bob.next(), json!({"event": "online", "user": "alice"}));

    alice.says(
        r#"{"message":{"to":"bob","text":"two\nlines \u001b[2J","id":"m1"}}"#,
        json!({"event": "sent", "id": "m1", "to": "bob"}),
    );
    assert_eq!(alice.next(), json!({"event": "acknowledged", "id": "m1", "to": "bob"}));

    let heard = bob.next();
    assert_eq!((&heard["event"], &heard["from"]), (&json!("message"), &json!("alice")));
    // XML has no escape character, so another one replaces it.
    assert_eq!(heard["text"], "two\nlines \u{fffd}[2J");
    assert_eq!((&heard["private"], &heard["delayed"]), (&json!(false), &json!(false)));
    assert!(heard["id"].is_string() && heard["at"].as_str().unwrap().ends_with('Z'));
    alice.0.say("broadcast lunch?");
    assert_eq!(alice.next(), json!({"event": "answer", "command": "broadcast"}));
    let heard = bob.next();
    assert_eq!((&heard["event"], &heard["text"]), (&json!("broadcast"), &json!("lunch?")));
    assert_eq!(alice.0.end().code(), Some(0));
    assert_eq!(bob.next(), json!({"event": "offline", "user": "alice"}));
}

#[test]
fn a_session_has_a_name_that_people_can_read() {
    let server = Server::of(&["alice"]);
    let file = server.home.write("alice.password", &password("alice"));
    let args = |device: &'static [&str]| {
        let given = ["--json", "--user", "alice", "--password-file", file.to_str().unwrap()];
        given.into_iter().chain(device.iter().copied()).map(str::to_owned).collect::<Vec<_>>()
    };
    for (device, name) in [
        (&[][..], "alice@localhost/whoelse/"),
        (&["--device", "laptop"], "alice@localhost/whoelse.laptop/"),
    ] {
        let args = args(device);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut alice = Script(Client::start_with(&server.home, server.address, &args));

        let address = alice.until("welcome")["address"].clone();

        assert!(address.as_str().unwrap().starts_with(name), "{address}");
        assert_eq!(alice.0.end().code(), Some(0));
    }
}

#[test]
fn a_message_that_is_refused_fails_once_under_its_id() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = Script::start(&server, "bob");
    bob.says(
        "block alice",
        json!({"event": "answer", "command": "block", "text": "alice is blocked"}),
    );
    let mut alice = Script::start(&server, "alice");

    alice.0.say(r#"{"message":{"to":"bob","text":"hello?","id":"m1"}}"#);
    alice.0.say(r#"{"message":{"to":"nobody","text":"hello?","id":"m2"}}"#);
    alice.0.say(r#"{"message":{"to":"carol@other.example","text":"hello?","id":"m3"}}"#);

    let mut told: Vec<Value> = (0..6).map(|_| alice.next()).collect();
    told.sort_by_key(|it| (it["id"].to_string(), it["event"].to_string()));
    let conditions: Vec<_> =
        told.iter().map(|it| (&it["id"], &it["event"], &it["condition"])).collect();
    let failed = |id: &str, condition: &str| (json!(id), json!("failed"), json!(condition));
    let sent = |id: &str| (json!(id), json!("sent"), Value::Null);
    let expected = [
        failed("m1", "blocked-you"),
        sent("m1"),
        failed("m2", "no-such-user"),
        sent("m2"),
        failed("m3", "remote-server-not-found"),
        sent("m3"),
    ];
    let expected: Vec<_> = expected.iter().map(|(a, b, c)| (a, b, c)).collect();
    assert_eq!(conditions, expected);
    // Nothing follows: each message has its verdict.
    alice.says("blocked", json!({"event": "answer", "command": "blocked", "users": []}));
}

#[test]
fn a_line_that_is_refused_and_never_sent_is_known_by_its_id() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = Script::start(&server, "alice");
    let long = "x".repeat(10_001);
    for (line, command, condition) in [
        (r#"{"message":{"to":"bob","text":" ","id":"m1"}}"#, json!("message"), "empty"),
        (r#"{"message":{"to":"alice","text":"x","id":"m1"}}"#, json!("message"), "is-me"),
        (r#"{"message":{"to":"a/b","text":"x","id":"m1"}}"#, json!("message"), "bad-name"),
        (
            &format!(r#"{{"message":{{"to":"bob","text":"{long}","id":"m1"}}}}"#),
            json!("message"),
            "too-long",
        ),
        (r#"{"private":{"to":"bob","text":"x","id":"m1"}}"#, json!("private"), "none-open"),
        (r#"{"message":{"to":"bob","id":"m1"}}"#, Value::Null, "bad-object"),
        (r#"{"broadcast":{"text":"x","id":"m1"}}"#, Value::Null, "bad-object"),
        (r#"{"dance":{"id":"m1"}}"#, Value::Null, "bad-object"),
    ] {
        alice.0.say(line);
        let failed = alice.next();
        assert_eq!((&failed["event"], &failed["id"]), (&json!("failed"), &json!("m1")), "{line}");
        assert_eq!((&failed["command"], &failed["condition"]), (&command, &json!(condition)));
        assert_eq!(failed["to"], Value::Null);
    }
    let bad = r#"{"message":{"to":"bob","text":"x","id":""}}"#;
    alice.0.say(bad);
    let failed = alice.next();
    assert_eq!((&failed["id"], &failed["condition"]), (&json!(""), &json!("bad-id")));
    alice.0.say("logout");
    alice.until("logged_out");
    alice.0.say(r#"{"message":{"to":"bob","text":"x","id":"m1"}}"#);
    let failed = alice.next();
    assert_eq!((&failed["id"], &failed["condition"]), (&json!("m1"), &json!("not-logged-in")));

    // The id is still free.
    alice.0.say("login");
    alice.until("welcome");
    alice.says(
        r#"{"message":{"to":"bob","text":"x","id":"m1"}}"#,
        json!({"event": "sent", "id": "m1", "to": "bob"}),
    );
}

#[test]
fn an_id_used_twice_is_refused_until_its_message_came_back() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = Script::start(&server, "alice");
    let send = |to: &str| format!(r#"{{"message":{{"to":"{to}","text":"x","id":"m1"}}}}"#);
    alice.says(&send("bob"), json!({"event": "sent", "id": "m1", "to": "bob"}));
    alice.until("acknowledged");

    for to in ["bob", "nobody"] {
        alice.0.say(&send(to));
        let failed = alice.next();
        let told = (&failed["id"], &failed["command"], &failed["condition"]);
        assert_eq!(told, (&json!("m1"), &json!("message"), &json!("used-id")));
    }

    // A refused message may be sent again under the same id.
    for _ in 0..2 {
        alice.0.say(r#"{"message":{"to":"nobody","text":"x","id":"m2"}}"#);
        assert_eq!(alice.until("failed")["condition"], "no-such-user");
    }
}

#[test]
fn lines_are_answered_with_arrays_and_mistakes_with_their_conditions() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = Script::start(&server, "bob");
    let mut alice = Script::start(&server, "alice");
    bob.until("online");

    alice.says("whoelse", json!({"event": "answer", "command": "whoelse", "users": ["bob"]}));
    bob.0.say("message alice hi");
    assert_eq!(alice.next()["text"], "hi");
    alice.0.say("history bob");
    let answer = alice.next();
    assert_eq!((&answer["command"], &answer["with"]), (&json!("history"), &json!("bob")));
    assert_eq!(answer["messages"][0]["text"], "hi");
    for (line, command, condition) in [
        ("message bob", json!("message"), "usage"),
        ("message alice me", json!("message"), "is-me"),
        ("dance", Value::Null, "unknown-command"),
        ("{\"dance\":{}}", Value::Null, "bad-object"),
        ("{\"message\":{\"to\":\"bob\",\"text\":\" \"}}", json!("message"), "empty"),
        ("history bob 0", json!("history"), "bad-number"),
        ("unblock bob", json!("unblock"), "not-blocked"),
        ("private bob hi", json!("private"), "none-open"),
    ] {
        alice.0.say(line);
        let failed = alice.next();
        assert_eq!(failed["event"], "failed", "{line}");
        assert_eq!((&failed["command"], &failed["condition"]), (&command, &json!(condition)));
        assert!(failed["text"].is_string());
    }
    alice.0.say("");
    alice.0.say("logout");
    let out = json!({"event": "logged_out", "reason": "asked", "text": "logged out"});
    assert_eq!(alice.next(), out);
    alice.0.say("whoelse");
    assert_eq!(alice.next()["condition"], "not-logged-in");
    // It uses the given login, and asks nothing.
    alice.0.say("login");
    assert_eq!(alice.next()["event"], "welcome");
}

#[test]
fn without_a_password_questions_are_objects() {
    let server = Server::of(&["alice"]);
    let mut alice = Script(Client::start_with(&server.home, server.address, &["--json"]));
    assert_eq!(alice.next()["event"], "connected");

    assert_eq!(alice.next(), json!({"event": "prompt", "ask": "username"}));
    alice.says("alice", json!({"event": "prompt", "ask": "password"}));
    alice.0.say("not it");
    let failed = alice.next();
    assert_eq!(
        (&failed["command"], &failed["condition"]),
        (&json!("login"), &json!("wrong-password"))
    );
    assert_eq!(alice.next(), json!({"event": "prompt", "ask": "password"}));
    alice.0.say(&password("alice"));
    assert_eq!(alice.next()["event"], "welcome");
    assert_eq!(alice.0.end().code(), Some(0));
}

#[test]
fn a_connection_that_comes_back_is_told_and_what_was_said_meanwhile_is_acknowledged() {
    let server = Server::of(&["alice", "bob"]);
    let wire = Proxy::to(server.address);
    let mut alice = Script::start_at(&server, wire.address, "alice");
    wire.pull();
    assert_eq!(alice.next(), json!({"event": "connection_lost"}));

    alice.says(
        r#"{"message":{"to":"bob","text":"later","id":"m1"}}"#,
        json!({"event": "sent", "id": "m1", "to": "bob"}),
    );
    wire.mend();

    assert_eq!(alice.next(), json!({"event": "resumed"}));
    assert_eq!(alice.next(), json!({"event": "acknowledged", "id": "m1", "to": "bob"}));
}

#[test]
fn what_ends_the_program_is_told_by_its_status() {
    let server = Server::of(&["alice"]);
    let port = server.port().to_string();
    let state = server.home.state();
    let state = state.to_str().unwrap();
    let run = |args: &[&str], password: Option<&str>| {
        let mut command = server.home.command(&["client", &port, "--state-dir", state]);
        command.args(args).env_remove("WHOELSE_PASSWORD").stdin(Stdio::null());
        password.into_iter().for_each(|secret| {
            command.env("WHOELSE_PASSWORD", secret);
        });
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };

    let (status, out, _) = run(&["--json", "--user", "alice"], Some(&password("alice")));
    assert_eq!(status, Some(0), "{out}");
    assert!(out.contains("\"welcome\""), "{out}");

    let (status, out, err) = run(&["--json", "--user", "alice"], Some("not it"));
    assert_eq!((status, err.as_str()), (Some(1), "whoelse: wrong password\n"), "{out}");
    assert!(out.contains("\"condition\":\"wrong-password\""), "{out}");
    // An unknown name is not registered, though registration is open.
    let (status, _, err) = run(&["--user", "alcie"], Some("not it"));
    assert_eq!((status, err.as_str()), (Some(1), "whoelse: wrong password\n"));
    let (status, _, _) = run(&["--json", "--password-file", "x"], None);
    assert_eq!(status, Some(2));
    let (status, _, err) = run(&["--user", "alice", "--password-file", "nowhere"], None);
    assert_eq!(status, Some(2));
    assert!(err.contains("nowhere"), "{err}");

    let home = Home::new();
    let (nobody, _listener) = nobody_listens();
    let ran = home.run(&["client", &nobody, "--json", "--user", "alice"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.out.contains("\"condition\":\"no-server\""), "{}", ran.out);
    assert!(ran.err.contains("no server answers"), "{}", ran.err);
}

/// Returns an address whose port is taken but does not listen.
fn nobody_listens() -> (String, std::net::TcpStream) {
    // Both ends of one connection: its port cannot be given to another program, and does not
    // listen.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (taken.local_addr().unwrap().port().to_string(), taken)
}

#[test]
fn a_password_file_that_others_may_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::of(&["alice"]);
    let file = server.home.write("password", &password("alice"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let args = ["--user", "alice", "--password-file", file.to_str().unwrap()];

    let mut alice = Client::start_with(&server.home, server.address, &args);

    alice.lines.wait_for("a warning", |line| line.contains("others may read"));
    alice.wait("Welcome");
}

#[test]
fn a_program_whose_output_nobody_reads_any_more_obeys_to_the_end_of_its_input() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = server.online("bob");
    let port = server.port().to_string();
    let state = server.home.state();
    let mut command = server.home.command(&["client", &port, "--json", "--user", "alice"]);
    command.args(["--state-dir", state.to_str().unwrap()]);
    let (reader, output) = common::read_output();
    command.env("WHOELSE_PASSWORD", password("alice")).stdin(Stdio::piped()).stdout(output);
    let mut child = command.spawn().unwrap();
    let mut keys = child.stdin.take().unwrap();
    bob.expect("* alice logged in");

    reader.shutdown(std::net::Shutdown::Both).unwrap();
    bob.say("message alice hello?");
    keys.write_all(b"message bob nobody hears you\n").unwrap();
    bob.lines.wait_for("what alice was told", |line| line.ends_with("nobody hears you"));
    drop(keys);

    assert_eq!(common::ended(&mut child).code(), Some(1));
}

#[test]
fn a_private_chat_is_told_in_objects() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = Script::start(&server, "bob");
    let mut alice = Script::start(&server, "alice");
    bob.until("online");

    alice.0.say("startprivate bob");
    assert_eq!(bob.until("private_request")["user"], "alice");
    bob.0.say("accept alice");
    let codes = [&mut alice, &mut bob].map(|script| script.until("private_device")["code"].clone());
    assert_eq!(codes[0], codes[1]);
    for script in [&mut alice, &mut bob] {
        assert_eq!(script.until("private_open")["path"], "direct");
    }
    alice.0.say(r#"{"private":{"to":"bob","text":"two\nlines","id":"p1"}}"#);
    let message = bob.until("message");
    assert_eq!((&message["text"], &message["private"]), (&json!("two\nlines"), &json!(true)));
    for kind in ["sent", "acknowledged"] {
        assert_eq!(alice.next(), json!({"event": kind, "id": "p1", "to": "bob"}));
    }
    alice.0.say("fingerprint bob");
    assert_eq!(alice.next()["fingerprints"][0]["code"], codes[0]);
    alice.0.say("stopprivate bob\nstopprivate bob");
    // The chat is closed before or after the second line; both lines are answered.
    let mut told = [alice.next(), alice.next()];
    told.sort_by_key(|it| it["event"].to_string());
    let [failed, closed] = told;
    assert_eq!(closed["reason"], "asked");
    assert!(["closing", "none-open"].map(Value::from).contains(&failed["condition"]), "{failed}");
    assert_eq!(bob.until("private_closed")["reason"], "closed");
    alice.0.say(r#"{"private":{"to":"bob","text":"too late"}}"#);
    assert_eq!(alice.next()["condition"], "none-open");
}
