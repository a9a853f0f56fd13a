//! docs/operating.md: metrics, health, logs, systemd, reloads, certificates, the doctor.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::Arc;

use common::{Client, Home, PATIENCE, Raw, Server, Terminal, eventually, password};
use rustix::process::Signal;
use serde_json::Value;

/// The page that describes every metric.
const OPERATING: &str = include_str!("../docs/operating.md");

/// A server with a configuration file and the listener for operators.
fn server(more: &str, names: &[&str]) -> Server {
    let home = Home::with_people(names);
    write_config(&home, more);
    home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"])
}

fn write_config(home: &Home, more: &str) {
    let text = format!("contacts = \"everyone\"\n{more}\n[metrics]\nlisten = \"127.0.0.1:0\"\n");
    home.write("whoelse.toml", &text);
}

/// Returns the address of the listener for operators.
fn site(server: &Server) -> SocketAddr {
    let line = eventually("the server says where it answers", || {
        server.lines.all().into_iter().find(|line| line.starts_with("answering http://"))
    });
    line.trim_start_matches("answering http://").split('/').next().unwrap().parse().unwrap()
}

/// Sends bytes, and returns the answer until the peer closes.
fn exchange(site: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(site).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server that refuses may close before everything is written.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn get(site: SocketAddr, path: &str) -> (String, String) {
    let answer = exchange(site, &format!("GET {path} HTTP/1.1\r\nHost: monitor\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Returns the value of one line of the metrics.
fn metric(site: SocketAddr, name: &str) -> f64 {
    let (_, page) = get(site, "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn has(answer: &str, status: &str) -> bool {
    answer.lines().next().is_some_and(|line| line.contains(status))
}

#[test]
fn every_metric_is_described_and_every_description_is_of_one() {
    let server = server("", &["alice"]);
    let _alice = Raw::online(server.address, "alice");

    let (head, page) = get(site(&server), "/metrics");

    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(page.ends_with("# EOF\n"));
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut exposed: Vec<String> = kinds
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect();
    exposed.sort();
    let rows = OPERATING.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split(['`', '{']).next());
    let mut described: Vec<String> = names
        .filter(|name| name.starts_with("whoelse_") || name.starts_with("process_"))
        .map(str::to_owned)
        .collect();
    described.sort();
    assert_eq!(exposed, described);
}

#[test]
fn what_people_do_is_counted_and_nobody_is_named() {
    let server = server("", &["alice", "bob"]);
    let site = site(&server);
    let mut alice = Raw::online(server.address, "alice");
    let _bob = Raw::online(server.address, "bob");
    let wrong = Raw::connect(server.address, None).unwrap().try_log_in("alice", "no").unwrap();
    assert!(wrong.is_err());

    alice.send("<message to='bob@localhost' type='chat' id='m'><body>hi</body></message>").unwrap();
    eventually("the message is counted", || {
        (metric(site, "whoelse_messages_total{outcome=\"kept\"}") == 1.0).then_some(())
    });

    assert_eq!(metric(site, "whoelse_sessions{state=\"attached\"}"), 2.0);
    assert_eq!(metric(site, "whoelse_accounts_online"), 2.0);
    assert_eq!(metric(site, "whoelse_stanzas_total{kind=\"message\",direction=\"in\"}"), 1.0);
    assert!(metric(site, "whoelse_keeper_commit_seconds_count") >= 1.0);
    let all = "whoelse_keeper_commit_seconds_bucket{le=\"+Inf\"}";
    assert_eq!(metric(site, all), metric(site, "whoelse_keeper_commit_seconds_count"));
    assert!(metric(site, "whoelse_bytes_total{direction=\"in\"}") > 1000.0);
    assert!(metric(site, "process_resident_memory_bytes") > 1e6);
    assert!(metric(site, "process_open_fds") > 5.0);
    assert!(metric(site, "whoelse_certificate_end_timestamp_seconds") > 1.7e9);
    assert!(metric(site, "whoelse_data_free_bytes") > 0.0);
    let (_, page) = get(site, "/metrics");
    let outcomes = |outcome: &str| {
        let label = format!("outcome=\"{outcome}\"");
        page.lines().any(|line| line.starts_with("whoelse_logins_total") && line.contains(&label))
    };
    assert!(outcomes("ok") && outcomes("wrong"), "{page}");
    for stranger in ["alice", "bob", "127.0.0.1", "localhost"] {
        assert!(!page.contains(stranger), "{stranger}: {page}");
    }

    assert_eq!(metric(site, "whoelse_keeper_waiting"), 0.0);
    drop(alice);
    eventually("alice's session waits no more, or is gone", || {
        (metric(site, "whoelse_sessions{state=\"attached\"}") == 1.0).then_some(())
    });
}

#[test]
fn a_server_that_is_well_says_so_with_every_check() {
    let server = server("", &[]);

    let (head, body) = get(site(&server), "/health");

    assert!(has(&head, "200 OK") && head.contains("application/json"), "{head}");
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["status"], "ok");
    for check in ["database", "keeper", "listeners", "certificate", "running"] {
        assert_eq!(health["checks"][check], "ok", "{health}");
    }
}

#[test]
fn nothing_but_two_questions_is_answered() {
    let server = server("", &[]);
    let site = site(&server);

    assert!(has(&get(site, "/").0, "404"));
    assert!(has(&get(site, "/metrics/../health").0, "404"));
    let post = "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    assert!(has(&exchange(site, post), "405"));
    // A head that is too long, one that is invalid, and a second request on one connection.
    let long = format!("GET /health HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    assert!(!has(&exchange(site, &long), "200"));
    assert!(!has(&exchange(site, "\u{1}\u{2}\r\n\r\n"), "200"));
    let twice = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    assert_eq!(exchange(site, &twice).matches("HTTP/1.1 ").count(), 1);
    assert!(has(&get(site, "/health").0, "200"));
}

#[test]
fn who_opens_connections_and_says_nothing_is_let_go_of() {
    let server = server("", &[]);
    let site = site(&server);
    let mut silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(site).unwrap()).collect();

    // Some are closed at once, the others by their deadline; every one ends.
    for stream in &mut silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }

    assert!(has(&get(site, "/health").0, "200"));
}

#[test]
fn answers_beyond_loopback_must_be_meant() {
    let home = Home::new();
    let text = "contacts = \"everyone\"\n[metrics]\nlisten = \"0.0.0.0:0\"\n";
    home.write("whoelse.toml", text);

    let start = ["server", "0", "--config", "whoelse.toml"];
    home.run(&start).failed(1, &["metrics.listen", "public = true"]);

    assert!(!home.data().exists());
}

/// Logs in, is refused, sends and leaves.
fn live(server: &Server) {
    let mut alice = Raw::online(server.address, "alice");
    let _ = Raw::connect(server.address, None).unwrap().try_log_in("bob", "a wrong pass");
    let mut bob = Raw::online(server.address, "bob");
    let said = "<message to='bob@localhost' type='chat'><body>words for two</body></message>";
    alice.send(said).unwrap();
    bob.stanza(|stanza| stanza.has("body", "jabber:client")).unwrap();
}

#[test]
fn a_log_in_json_has_an_object_a_line_and_no_secret_at_any_level() {
    let config = "[log]\nformat = \"json\"\nlevel = \"trace\"\n";
    let mut server = server(config, &["alice", "bob"]);
    live(&server);
    assert!(server.stop().success());

    let rest = server.lines.rest();

    let logged: Vec<Value> =
        server.lines.all().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let event = |name: &str| logged.iter().find(|event| event["message"] == name);
    assert!(event("login").is_some_and(|event| event["account"] == "alice@localhost"));
    assert!(event("login_refused").is_some_and(|event| event["network"] == "127.0.0.1"));
    let closed = event("stream_closed").unwrap();
    for field in ["session", "account", "address", "reason", "timestamp", "level"] {
        assert!(!closed[field].is_null(), "{field}: {closed}");
    }
    for line in server.lines.all().iter().chain(&rest) {
        for secret in ["words for two", "a wrong pass", &password("alice"), &password("bob")] {
            assert!(!line.contains(secret), "{secret}: {line}");
        }
    }
}

#[test]
fn the_journal_gets_priorities_and_no_times() {
    let home = Home::with_people(&["alice"]);
    let journal = fs::File::create(home.path().join("journal")).unwrap();
    let about = journal.metadata().unwrap();
    let mut command = home.command(&["server", "0"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()));
    command.stderr(Stdio::from(journal));
    let mut server = Server::run_alone(home.clone(), &mut command);
    drop(Raw::online(server.address, "alice"));
    assert!(server.stop().success());

    let log = fs::read_to_string(home.path().join("journal")).unwrap();

    assert!(log.lines().any(|line| line.starts_with("<6>") && line.contains("stream_opened")));
    assert!(log.lines().all(|line| line.starts_with('<') && !line.contains("20:")), "{log}");
}

#[test]
fn systemd_hears_of_readiness_life_reloads_and_the_end() {
    let home = Home::new();
    // With a file and without one.
    let path = home.path().join("notify");
    let name = format!("whoelse-{}", path.display());
    let abstract_address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    systemd_hears(UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap());
    systemd_hears(UnixDatagram::bind_addr(&abstract_address).unwrap(), &format!("@{name}"));
}

fn systemd_hears(notify: UnixDatagram, socket: &str) {
    let home = Home::new();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = |words: &str| {
        let mut bytes = [0; 1024];
        loop {
            let length = notify.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line == words) {
                return text;
            }
        }
    };
    let mut command = home.command(&["server", "0"]);
    command.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "2000000");
    let mut server = Server::run_alone(home.clone(), &mut command);

    assert!(hear("READY=1").contains("STATUS=serving localhost"));
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    server.signal(Signal::HUP);
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    server.signal(Signal::TERM);
    hear("STOPPING=1");
    assert!(server.wait().success());
}

#[test]
fn what_can_change_does_and_what_cannot_is_named() {
    let server = server("registration = \"closed\"\n", &["alice"]);
    let home = server.home.clone();
    let mut alice = Raw::online(server.address, "alice");
    write_config(&home, "registration = \"open\"\ntimeout = 900\nlisten = \"127.0.0.9\"\n");

    let ran = home.run(&["reload"]);

    assert_eq!(ran.status, Some(0), "{ran:?}");
    for line in
        ["registration has changed", "timeout has changed", "listen has changed: restart to apply"]
    {
        assert!(ran.out.lines().any(|said| said == line), "{line}: {ran:?}");
    }
    // Open sessions stay, and the new settings are in effect.
    alice.ping();
    let mut carol = Client::start(&server);
    carol.expect("Username:");
    carol.say("carol");
    carol.expect("carol is new here");
    // A second reload finds nothing new except what needs a restart.
    let ran = home.run(&["reload"]);
    assert_eq!(ran.out.trim(), "listen has changed: restart to apply", "{ran:?}");
}

#[test]
fn a_broken_file_changes_nothing_and_its_line_is_named() {
    let mut server = server("registration = \"closed\"\n", &[]);
    let home = server.home.clone();
    home.write("whoelse.toml", "contacts = \"everyone\"\nregistration = \"open\"\nsessons = 1\n");

    home.run(&["reload"]).failed(1, &["whoelse.toml, line 3", "sessons"]);
    server.signal(Signal::HUP);
    server.lines.wait_for("the log names it", |line| {
        line.contains("settings_not_reloaded") && line.contains("line 3")
    });

    write_config(&home, "registration = \"closed\"\n");
    let ran = home.run(&["reload"]);
    assert_eq!(ran.out.trim(), "nothing has changed", "{ran:?}");
}

#[test]
fn the_level_of_the_log_changes_with_the_file() {
    let mut server = server("[log]\nlevel = \"error\"\n", &["alice"]);
    drop(Raw::online(server.address, "alice"));
    write_config(&server.home, "[log]\nlevel = \"info\"\n");

    server.home.run(&["reload"]);

    server.lines.wait_for("it is logged", |line| line.contains("settings_reloaded"));
    assert!(!server.lines.all().iter().any(|line| line.contains("login")));
    drop(Raw::online(server.address, "alice"));
    server.lines.wait_for("logins are logged", |line| line.contains("login"));
}

/// A certificate and a key of another server, under these names in a home.
fn certificate(home: &Home) {
    let other = Home::new();
    assert!(other.start(&[]).stop().success());
    fs::copy(other.data().join("certificate.pem"), home.path().join("c.pem")).unwrap();
    fs::copy(other.data().join("key.pem"), home.path().join("k.pem")).unwrap();
}

#[test]
fn a_renewed_certificate_is_shown_to_who_comes_and_nobody_is_thrown_out() {
    let files = "certificate = \"c.pem\"\nkey = \"k.pem\"\n";
    let home = Home::with_people(&["alice"]);
    certificate(&home);
    write_config(&home, files);
    let mut server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut alice = Raw::online(server.address, "alice");

    certificate(&home);
    let ran = home.run(&["reload"]);

    assert_eq!(ran.out.trim(), "the certificate itself has changed", "{ran:?}");
    let newcomer = Raw::connect(server.address, None).unwrap();
    assert_ne!(newcomer.certificate(), alice.certificate());
    alice.ping();

    // A pair that does not match keeps the old one in use.
    fs::write(home.path().join("k.pem"), fs::read(home.path().join("c.pem")).unwrap()).unwrap();
    home.run(&["reload"]).failed(1, &["nothing has changed", "k.pem"]);
    let later = Raw::connect(server.address, None).unwrap();
    assert_eq!(later.certificate(), newcomer.certificate());
    assert!(server.is_running());
}

/// Returns the doctor's findings (`--json`), and whether all is well.
fn doctor(home: &Arc<Home>, args: &[&str]) -> (bool, Vec<Value>) {
    let ran = home.run(&[&["doctor", "--json"], args].concat());
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.status == Some(0), said["ok"] == true, "{ran:?}");
    (said["ok"] == true, said["findings"].as_array().unwrap().clone())
}

fn says(findings: &[Value], state: &str, about: &str, words: &str) -> bool {
    findings.iter().any(|it| {
        it["state"] == state
            && it["about"] == about
            && it["text"].as_str().is_some_and(|text| text.contains(words))
    })
}

fn files_of(home: &Home) -> Vec<(String, u64)> {
    let entries = fs::read_dir(home.path()).unwrap().chain(
        home.data().exists().then(|| fs::read_dir(home.data()).unwrap()).into_iter().flatten(),
    );
    let mut files: Vec<(String, u64)> = entries
        .map(|entry| entry.unwrap())
        .map(|it| (it.path().display().to_string(), it.metadata().unwrap().len()))
        .collect();
    files.sort();
    files
}

#[test]
fn how_the_clock_stands_is_told_and_the_operators_word_for_it_counts() {
    let home = Home::new();
    let mut server = home.start(&[]);

    // A first start has no earlier time to compare with, unless the system vouches for the clock.
    let told = home.run(&["clock"]);
    assert_eq!((told.status, told.err.as_str()), (Some(0), ""));
    assert!(told.out.starts_with("the clock says 2"), "{}", told.out);
    for args in [&["clock", "trust"][..], &["clock"]] {
        let told = home.run(args);
        assert_eq!((told.status, told.err.as_str()), (Some(0), ""));
        assert!(told.out.trim_end().ends_with("and is believed"), "{}", told.out);
    }
    assert!(server.stop().success());
}

#[test]
fn the_doctor_works_before_during_and_after_a_server_and_changes_nothing() {
    let home = Home::with_people(&["alice"]);
    let port = common::ports::lasting();
    let config = format!("contacts = \"everyone\"\nlisten = \"127.0.0.1:{port}\"\n");
    home.write("whoelse.toml", &config);
    let with = ["--config", "whoelse.toml"];

    let before = files_of(&home);
    let (well, findings) = doctor(&home, &with);
    assert!(well, "{findings:#?}");
    assert!(says(&findings, "ok", "server", "none runs"), "{findings:#?}");
    assert!(says(&findings, "ok", "listen", "is free"), "{findings:#?}");
    assert!(says(&findings, "ok", "database", "first start"), "{findings:#?}");
    assert_eq!(files_of(&home), before);

    let mut server = home.start_at(port, &with);
    let (well, findings) = doctor(&home, &with);
    assert!(well, "{findings:#?}");
    assert!(says(&findings, "ok", "server", "runs, version"), "{findings:#?}");
    assert!(says(&findings, "ok", "listen", "answers"), "{findings:#?}");
    assert!(says(&findings, "ok", "database", "sound"), "{findings:#?}");
    assert!(says(&findings, "ok", "certificate", "is for localhost"), "{findings:#?}");

    assert!(server.stop().success());
    let before = files_of(&home);
    let (well, findings) = doctor(&home, &with);
    assert!(well, "{findings:#?}");
    assert!(says(&findings, "ok", "database", "sound"), "{findings:#?}");
    assert_eq!(files_of(&home), before);
}

#[test]
fn the_doctor_says_what_is_wrong_and_how_to_mend_it() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    home.write(
        "whoelse.toml",
        &format!(
            "contacts = \"everyone\"\nlisten = \"{address}\"\ncertificate = \"none.pem\"\n\
             key = \"none.pem\"\ncredentials = \"people.txt\"\n"
        ),
    );
    let people = home.write("people.txt", "alice secret\n");
    fs::set_permissions(&people, fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(home.data()).unwrap();
    fs::set_permissions(home.data(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.data().join("whoelse.db"), "no database ".repeat(1000)).unwrap();

    let (well, findings) = doctor(&home, &["--config", "whoelse.toml"]);

    assert!(!well);
    for (state, about, words) in [
        ("problem", "listen", "in use by another program"),
        ("problem", "certificate", "none.pem"),
        ("problem", "database", "cannot be read"),
        ("warning", "credentials", "read by others"),
        ("warning", "data", "others can look"),
    ] {
        assert!(says(&findings, state, about, words), "{about}: {findings:#?}");
    }
    let unwell = findings.iter().filter(|finding| finding["state"] != "ok");
    assert!(unwell.clone().all(|finding| finding["fix"].is_string()), "{findings:#?}");
    let ran = home.run(&["doctor", "--config", "whoelse.toml"]);
    assert!(ran.out.lines().any(|line| line.starts_with("problem  listen: ")), "{ran:?}");
    assert!(!ran.out.contains("secret"));
}

#[test]
fn a_broken_configuration_is_what_the_doctor_finds_first() {
    let home = Home::new();
    home.write("whoelse.toml", "contacts = \"everyone\"\nsessons = \"one\"\n");

    let (well, findings) = doctor(&home, &["--config", "whoelse.toml"]);

    assert!(!well && findings.len() == 1);
    assert!(says(&findings, "problem", "configuration", "line 2"), "{findings:#?}");
}

#[test]
fn a_doctor_who_is_not_heard_does_not_wait_for_ever() {
    let home = Home::new();
    let mut server = home.start(&[]);
    server.signal(Signal::STOP);

    let (well, findings) = doctor(&home, &[]);

    server.signal(Signal::CONT);
    assert!(!well);
    assert!(says(&findings, "problem", "server", "does not answer"), "{findings:#?}");
    assert!(server.stop().success());
}

#[test]
fn the_doctor_tells_another_server_on_the_port_from_its_own() {
    let (home, other) = (Home::new(), Home::new());
    let mut stranger = other.start(&["--domain", "other.example"]);
    let config = format!("contacts = \"everyone\"\nlisten = \"127.0.0.1:{}\"\n", stranger.port());
    home.write("whoelse.toml", &config);
    let with = ["--config", "whoelse.toml"];

    let (well, findings) = doctor(&home, &with);
    assert!(!well);
    let words = "in use by another XMPP server, which serves other.example";
    assert!(says(&findings, "problem", "listen", words), "{findings:#?}");

    // Its own server runs on another port; here another program still answers.
    let own = home.start(&["--config", "whoelse.toml"]);
    let (well, findings) = doctor(&home, &with);
    assert!(!well);
    assert!(says(&findings, "ok", "server", "runs, version"), "{findings:#?}");
    assert!(says(&findings, "problem", "listen", words), "{findings:#?}");

    assert!(stranger.stop().success());
    let (_, findings) = doctor(&home, &with);
    let elsewhere = format!("listens on {}", own.address);
    assert!(says(&findings, "warning", "listen", &elsewhere), "{findings:#?}");
}

#[test]
fn on_a_terminal_an_event_is_a_row() {
    let home = Home::with_people(&["alice"]);
    let port = common::ports::lasting();
    let mut terminal = Terminal::run(&home, &["server", &port.to_string()]);
    terminal.until("it serves", |screen| {
        screen.lines().iter().any(|line| line.starts_with("serving localhost"))
    });
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    drop(Raw::online(address, "alice"));
    terminal.until("she is gone", |screen| {
        screen.lines().iter().any(|line| line.contains("stream_closed"))
    });
    terminal.press("\u{3}");
    assert!(terminal.ends().success());

    let written = terminal.written();
    // What goes to the standard output may be longer.
    let is_event = |line: &&str| line.get(2..3) == Some(":") && line.get(5..6) == Some(":");
    let events: Vec<&str> =
        written.lines().map(|line| line.trim_end_matches('\r')).filter(is_event).collect();
    assert!(events.iter().any(|line| line.contains("session_bound")), "{written}");
    assert!(events.iter().all(|line| line.chars().count() <= 80), "{events:#?}");
    assert!(events.iter().any(|line| line.ends_with('…')), "{events:#?}");
}

#[test]
fn a_shell_learns_the_commands_and_man_the_page() {
    let home = Home::new();

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = home.run(&["completions", shell]);
        assert!(ran.status == Some(0) && ran.out.contains("sessions"), "{ran:?}");
    }
    let page = home.run(&["manual"]);
    assert!(page.status == Some(0) && page.out.starts_with(".TH WHOELSE 1"), "{page:?}");
}
