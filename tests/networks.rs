//! Private chats across networks, each in a namespace: on one network, between two NATs of the
//! easy and of the hard kind, with the direct path cut during the chat, and with the relay forced
//! or forbidden. Each test counts the packets of both clients to anybody but the server and the
//! peer.
//!
//! Needs Linux, root, `ip` and `nft`, and runs if `WHOELSE_TEST_NETWORKS` demands it
//! (`tests/networks`, a lane of `./check --all`); otherwise it says loudly that it was skipped.
//! Arguments filter the tests: `tests/networks hard`.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use common::{BINARY, Client, Home, Lines, eventually, password};

/// The server's address, on the network that both NATs are on.
const SERVER: &str = "203.0.113.10";
const DIRECTLY: &str = "connected directly";
const RELAYED: &str = "connected through the server's relay";

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("two_on_one_network_are_connected_directly", one_network),
    ("two_behind_easy_nats_are_connected_directly", || between(Nat::Easy, Nat::Easy, DIRECTLY)),
    ("behind_an_easy_and_no_nat_they_are_connected_directly", || {
        between(Nat::Easy, Nat::None, DIRECTLY);
    }),
    ("two_behind_hard_nats_go_through_the_relay", || between(Nat::Hard, Nat::Hard, RELAYED)),
    ("a_chat_whose_direct_way_is_cut_goes_on_through_the_relay", cut),
    ("who_hides_is_never_reached_directly_and_sends_nothing_directly", hidden),
    ("without_a_relay_two_behind_hard_nats_are_told_that_there_is_no_way", no_way),
    ("a_relayed_chat_outlives_a_restart_of_the_server", restart),
];

fn main() -> ExitCode {
    let filter: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    if std::env::args().any(|it| it == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("WHOELSE_TEST_NETWORKS").is_none() {
        eprintln!("\n*** SKIPPED: private chats across networks; `tests/networks` runs them ***\n");
        return ExitCode::SUCCESS;
    }
    if let Err(why) = can_be_made() {
        eprintln!("\n*** No networks can be made here: {why} ***\n");
        return ExitCode::FAILURE;
    }
    let wanted =
        |name: &str| filter.is_empty() || filter.iter().any(|it| name.contains(it.as_str()));
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| wanted(name)) {
        // Destructors clean up, also when a test fails.
        let good = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
        failed += usize::from(!good);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Checks that namespaces, links between them and packet filters can be made.
fn can_be_made() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make networks".to_owned());
    }
    let world = catch_unwind(|| {
        let namespace = Namespace::new("probe");
        namespace.filter("add table inet whoelse");
    });
    world.map_err(|_| "`ip` and `nft`, or what they need of the kernel, are not there".to_owned())
}

// ---- networks ----

/// A network namespace; dropping it removes it with all of its links.
struct Namespace {
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nat {
    /// The client is on the server's network.
    None,
    /// Every destination sees the same port.
    Easy,
    /// Every destination sees another port.
    Hard,
}

fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).output();
    let ran = ran.unwrap_or_else(|why| panic!("{program}: {why}"));
    let words = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {arguments:?}: {words}");
}

impl Namespace {
    fn new(what: &str) -> Namespace {
        let name = format!("whoelse-{}-{what}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let namespace = Namespace { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `ip` in it.
    fn ip(&self, words: &str) {
        let mut arguments = vec!["-n", &self.name];
        arguments.extend(words.split(' '));
        run("ip", &arguments);
    }

    /// Runs `nft` in it.
    fn filter(&self, rule: &str) {
        run("ip", &["netns", "exec", &self.name, "nft", rule]);
    }

    /// Links an interface of this namespace to one of another.
    fn link(&self, here: &str, other: &Namespace, there: &str) {
        let words = format!("link add {here} type veth peer name {there} netns {}", other.name);
        self.ip(&words);
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }

    /// Turns on forwarding.
    fn forward(&self) {
        let setting = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run("ip", &["netns", "exec", &self.name, "sh", "-c", setting]);
    }

    /// Counts outgoing packets to anybody but these.
    fn count_strangers(&self, known: &str) {
        for rule in [
            "add table inet whoelse",
            "add counter inet whoelse strangers",
            "add chain inet whoelse out { type filter hook output priority 0; }",
            "flush chain inet whoelse out",
            "add rule inet whoelse out oifname lo accept",
            &format!("add rule inet whoelse out ip daddr {{ {known} }} accept"),
            // Neighbours and routers of the link itself.
            "add rule inet whoelse out ip6 daddr { fe80::/10, ff02::/16 } accept",
            "add rule inet whoelse out counter name strangers",
        ] {
            self.filter(rule);
        }
    }

    fn strangers(&self) -> u64 {
        let list = ["netns", "exec", &self.name, "nft", "list", "counter", "inet", "whoelse"];
        let out = Command::new("ip").args(list).arg("strangers").output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).unwrap().parse().unwrap()
    }

    fn command(&self, home: &Home) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, BINARY]);
        home.prepare(&mut command);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// The server, two people, and the networks between them, in the order of their end.
struct World {
    alice: Client,
    bob: Client,
    server: Running,
    homes: [Namespace; 2],
    nats: Vec<Namespace>,
    _middle: Namespace,
    _server_net: Namespace,
    home: Arc<Home>,
}

/// A server in a namespace.
struct Running {
    child: Child,
    lines: Lines,
    fingerprint: String,
}

impl Running {
    fn start(home: &Home, namespace: &Namespace) -> Running {
        let mut command = namespace.command(home);
        command.args(["server", "--config", "whoelse.toml", "--credentials", "credentials.txt"]);
        let mut child = command.spawn().unwrap();
        let mut lines = Lines::of(child.stdout.take().unwrap());
        lines.add(child.stderr.take().unwrap());
        let shows = |line: &str| line.contains("fingerprint");
        let line = lines.wait_for("the fingerprint", shows);
        let fingerprint = line.split_whitespace().last().unwrap().to_owned();
        lines.wait_for("the server is ready", |line| line.starts_with("serving "));
        Running { child, lines, fingerprint }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said: {:#?}", self.lines.all());
        }
    }
}

impl World {
    /// Puts Alice behind one NAT and Bob behind another; the server is between them.
    fn between(of_alice: Nat, of_bob: Nat, options: [&[&str]; 2]) -> World {
        let middle = middle();
        let server = Namespace::new("server");
        attach(&middle, &server, SERVER);
        let mut nats = Vec::new();
        let homes = [("alice", of_alice, 1), ("bob", of_bob, 2)].map(|(who, nat, n)| {
            let home = Namespace::new(who);
            let outside = format!("203.0.113.{n}");
            if nat == Nat::None {
                attach(&middle, &home, &outside);
                return home;
            }
            let router = Namespace::new(&format!("nat-{who}"));
            attach(&middle, &router, &outside);
            home.link("eth0", &router, "inside");
            home.ip(&format!("addr add 10.{n}.0.2/24 dev eth0"));
            router.ip(&format!("addr add 10.{n}.0.1/24 dev inside"));
            home.ip(&format!("route add default via 10.{n}.0.1"));
            router.forward();
            masquerade(&router, nat);
            nats.push(router);
            home
        });
        World::with(middle, server, homes, nats, options)
    }

    fn with(
        middle: Namespace,
        server_net: Namespace,
        homes: [Namespace; 2],
        nats: Vec<Namespace>,
        options: [&[&str]; 2],
    ) -> World {
        for home in &homes {
            home.count_strangers("203.0.113.1, 203.0.113.2, 203.0.113.10, 10.1.0.2, 10.2.0.2");
        }
        let home = Home::with_people(&["alice", "bob"]);
        let settings = format!(
            "domain = \"chat.example\"\nlisten = [\"{SERVER}:5222\"]\ncontacts = \"everyone\"\n\
             registration = \"closed\"\n"
        );
        home.write("whoelse.toml", &settings);
        let server = Running::start(&home, &server_net);
        let [alice, bob] = [("alice", 0), ("bob", 1)].map(|(name, n)| {
            let mut command = homes[n].command(&home);
            command.args(["client", "5222", "--host", SERVER, "--trust", &server.fingerprint]);
            command.arg("--user").arg(format!("{name}@chat.example"));
            command.arg("--state-dir").arg(home.state()).args(options[n]);
            let mut client = Client::run(command.stdin(Stdio::piped()));
            client.expect("Password:");
            client.say(&password(name));
            client.expect("Welcome");
            client
        });
        let mut world = World {
            alice,
            bob,
            server,
            homes,
            nats,
            _middle: middle,
            _server_net: server_net,
            home,
        };
        world.alice.wait("* bob logged in");
        world
    }

    /// Alice asks and Bob accepts.
    #[track_caller]
    fn ask(&mut self) {
        self.alice.say("startprivate bob");
        self.bob.wait("* alice asks for a private chat: accept alice, or decline alice");
        self.bob.say("accept alice");
    }

    /// Checks that both are told how they are connected, and that they can talk.
    #[track_caller]
    fn connected(&mut self, how: &str) {
        for (client, whom) in [(&mut self.alice, "bob"), (&mut self.bob, "alice")] {
            let start = format!("* private chat with {whom}: {how}");
            client.lines.wait_for(&start, |line| line.starts_with(&start));
        }
        self.talk();
    }

    #[track_caller]
    fn talk(&mut self) {
        self.alice.say("private bob can you hear me?");
        self.bob.wait("[private] alice: can you hear me?");
        self.bob.say("private alice I can");
        self.alice.wait("[private] bob: I can");
    }

    /// Checks that nobody else was sent anything.
    #[track_caller]
    fn nobody_else_was_contacted(&self) {
        assert_eq!([self.homes[0].strangers(), self.homes[1].strangers()], [0, 0]);
    }
}

/// The network of the server and the NATs.
fn middle() -> Namespace {
    let middle = Namespace::new("middle");
    middle.ip("link add bridge type bridge");
    middle.ip("link set bridge up");
    middle
}

fn attach(middle: &Namespace, namespace: &Namespace, address: &str) {
    let (_, last) = address.rsplit_once('.').unwrap();
    let port = format!("port{last}");
    namespace.link("outside", middle, &port);
    middle.ip(&format!("link set {port} master bridge"));
    namespace.ip(&format!("addr add {address}/24 dev outside"));
    // Packets to any other address leave the computer as well, and are counted.
    namespace.ip("route add default via 203.0.113.254");
}

fn masquerade(router: &Namespace, nat: Nat) {
    let how = if nat == Nat::Hard { "masquerade random,fully-random" } else { "masquerade" };
    for rule in [
        "add table ip nat",
        "add chain ip nat out { type nat hook postrouting priority 100; }",
        &format!("add rule ip nat out oifname outside {how}"),
        // Nobody outside reaches what nobody inside has contacted.
        "add table inet firewall",
        "add chain inet firewall pass { type filter hook forward priority 0; policy drop; }",
        "add rule inet firewall pass iifname inside accept",
        "add rule inet firewall pass ct state established,related accept",
        // Nor the router itself: like a home router, it drops unrequested packets silently.
        "add chain inet firewall self { type filter hook input priority 0; policy drop; }",
        "add rule inet firewall self ct state established,related accept",
        "add chain inet firewall cut { type filter hook forward priority 1; }",
    ] {
        router.filter(rule);
    }
}

// ---- tests ----

fn one_network() {
    let middle = middle();
    let server = Namespace::new("server");
    attach(&middle, &server, SERVER);
    let homes = [("alice", "203.0.113.1"), ("bob", "203.0.113.2")].map(|(who, address)| {
        let home = Namespace::new(who);
        attach(&middle, &home, address);
        home
    });
    let mut world = World::with(middle, server, homes, Vec::new(), [&[], &[]]);
    world.ask();
    world.connected(DIRECTLY);
    world.nobody_else_was_contacted();
}

fn between(of_alice: Nat, of_bob: Nat, how: &str) {
    let mut world = World::between(of_alice, of_bob, [&[], &[]]);
    world.ask();
    world.connected(how);
    world.nobody_else_was_contacted();
}

fn cut() {
    let mut world = World::between(Nat::Easy, Nat::Easy, [&[], &[]]);
    world.ask();
    world.connected(DIRECTLY);

    for nat in &world.nats {
        nat.filter(
            "add rule inet firewall cut ip daddr != 203.0.113.10 ip saddr != 203.0.113.10 drop",
        );
    }
    // Sent before anybody has noticed.
    world.alice.say("private bob mind the gap");
    world.bob.wait("[private] alice: mind the gap");
    world.connected_now(RELAYED);
    world.talk();
    world.nobody_else_was_contacted();
}

fn hidden() {
    let mut world = World::between(Nat::Easy, Nat::Easy, [&["--private-relay", "only"], &[]]);
    // Not even the peer.
    world.homes[0].count_strangers(SERVER);
    world.ask();
    world.connected(RELAYED);
    world.talk();
    world.nobody_else_was_contacted();
}

fn no_way() {
    let mut world = World::between(
        Nat::Hard,
        Nat::Hard,
        [&["--private-relay", "never"], &["--private-relay", "never"]],
    );
    world.ask();
    for (client, whom) in [(&mut world.alice, "bob"), (&mut world.bob, "alice")] {
        let start = format!("* no private chat with {whom}: there is no way");
        client.lines.wait_for(&start, |line| line.starts_with(&start));
    }
    world.nobody_else_was_contacted();
}

fn restart() {
    let mut world = World::between(Nat::Hard, Nat::Hard, [&[], &[]]);
    world.ask();
    world.connected(RELAYED);

    let _ = world.server.child.kill();
    let _ = world.server.child.wait();
    world.server = Running::start(&world.home, &world._server_net);
    world.alice.say("private bob still there?");
    world.bob.wait("[private] alice: still there?");
    world.talk();
}

impl World {
    /// Checks that both are told of the new path.
    #[track_caller]
    fn connected_now(&mut self, how: &str) {
        for (client, whom) in [(&mut self.alice, "bob"), (&mut self.bob, "alice")] {
            let start = format!("* private chat with {whom}: now {how}");
            eventually("the other way is told", || {
                client.lines.all().iter().any(|line| line.starts_with(&start)).then_some(())
            });
        }
    }
}
