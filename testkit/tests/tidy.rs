//! The rules of this tree that a machine can check: the levels of the crates, the first line of
//! every file, the derived documents, and more.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use whoelse_server::Config;
use whoelse_server::config::table;
use whoelse_testkit::world::Kind;
use whoelse_testkit::{reference, scene, signatures, xeps};

#[path = "tidy/circles.rs"]
mod circles;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of a crate of the product.
fn crate_folder(name: &str) -> PathBuf {
    root().join("crates").join(name)
}

/// The crates in the order of docs/architecture.md, the program first: each may use those below it.
fn levels() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| level |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let names = rows.filter_map(|row| row.split('`').nth(1).map(str::to_owned));
    names.collect()
}

/// Returns our crates that a manifest names, except for dev-dependencies.
fn uses(manifest: &toml::Table) -> Vec<String> {
    let mut tables = vec![manifest.get("dependencies"), manifest.get("build-dependencies")];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().map(|target| target.get("dependencies")));
    }
    let names =
        tables.into_iter().flatten().filter_map(toml::Value::as_table).flat_map(|t| t.keys());
    names.filter_map(|name| name.strip_prefix("whoelse-")).map(str::to_owned).collect()
}

fn manifest(folder: &Path) -> Option<toml::Table> {
    let text = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    Some(text.parse().unwrap())
}

#[test]
fn a_crate_uses_only_crates_below_it() {
    let levels = levels();
    assert!(levels.len() >= 8, "docs/architecture.md has no table of crates: {levels:?}");
    let place: HashMap<&str, usize> =
        levels.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    for name in &levels {
        // A planned crate has no manifest yet.
        let Some(manifest) = manifest(&crate_folder(name)) else { continue };
        for used in uses(&manifest) {
            let below = place.get(used.as_str()).is_some_and(|used| *used > place[name.as_str()]);
            assert!(below, "{name} uses {used}, which does not stand below it");
        }
    }
}

/// Returns the circles that docs/architecture.md names, each with its reason: the parent, and
/// which of its children.
fn natural_circles() -> Vec<circles::Circle> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| circle in |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        assert!(cells.len() == 3 && cells[2].trim().len() > 10, "a circle without a reason: {row}");
        let names = |cell: &str| -> Vec<String> {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        circles::Circle { parent: names(cells[0]).concat(), members: names(cells[1]) }
    });
    rows.collect()
}

#[test]
fn files_that_need_each_other_in_turn_are_named_with_a_reason() {
    let natural = natural_circles();
    let in_crate = |name: &String| {
        let folder = crate_folder(name);
        circles::in_crate(name, &folder, &rust_files(&folder.join("src")))
    };
    let found: Vec<circles::Circle> = levels().iter().flat_map(in_crate).collect();
    let new: Vec<_> = found.iter().filter(|circle| !natural.contains(circle)).collect();
    assert!(
        new.is_empty(),
        "files need each other in turn: {new:?}. Open the circle, or name it with its reason in \
         docs/architecture.md, \"Circles\""
    );
    let open: Vec<_> = natural.iter().filter(|circle| !found.contains(circle)).collect();
    assert!(open.is_empty(), "docs/architecture.md still names these circles: {open:?}");
}

#[test]
fn every_crate_of_the_product_has_a_level() {
    let workspace = manifest(&root()).unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let members: Vec<_> = members.iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(members, ["crates/*", "testkit", "bench", "fuzz"]);
    let levels = levels();
    for folder in fs::read_dir(root().join("crates")).unwrap().filter_map(Result::ok) {
        let name = folder.file_name().into_string().unwrap();
        assert!(levels.contains(&name), "{name} has no level");
    }
}

#[test]
fn the_rules_touch_no_socket() {
    for name in ["core", "features", "stream", "store", "xmpp"] {
        let files = rust_files(&crate_folder(name).join("src"));
        // The proxy between a store and its database in tests is network code.
        let files =
            files.iter().filter(|file| !file.ends_with("crates/store/src/scratch/between.rs"));
        for file in files {
            let text = fs::read_to_string(file).unwrap();
            for word in ["tokio::net", "std::net::Tcp", "std::net::Udp", "std::os::unix::net"] {
                assert!(!text.contains(word), "{} says {word}", file.display());
            }
        }
    }
}

/// Security row 60. A tree of elements that is encoded anew writes a namespace that was declared once
/// on each of them. Typed payloads hold no elements of strangers (`whoelse_xmpp::payload`), and
/// whatever else can make a tree is not named outside of the crate `xmpp`.
#[test]
fn nothing_of_strangers_is_encoded_anew_through_a_tree() {
    for name in levels().iter().filter(|name| *name != "xmpp") {
        for file in rust_files(&crate_folder(name).join("src")) {
            let code = code(&file);
            for word in words(&code) {
                let makes_trees = ["minidom", "xso", "AsXml", "forwarding"];
                assert!(!makes_trees.contains(&word), "{} says {word}", file.display());
            }
            for named in code.split("xmpp_parsers").skip(1) {
                let named = named.split(';').next().unwrap_or_default();
                let tree = words(named).find(|word| ["pubsub", "pep"].contains(word));
                assert_eq!(tree, None, "{}", file.display());
            }
        }
    }
    let payloads = fs::read_to_string(crate_folder("xmpp").join("src/payload.rs")).unwrap();
    let list = payloads.split("payloads! {").nth(1).unwrap();
    for tree in ["forwarding", "Result_", "Received", "Sent", "pubsub", "pep"] {
        assert!(!list.contains(tree), "{tree} holds elements of others");
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Security row 31. sqlx accepts a text that is not a literal only inside `AssertSqlSafe`, so only
/// in these files could input become part of a statement.
#[test]
fn statements_are_made_of_our_own_words_alone() {
    let makes_statements = |file: &Path| {
        let text = fs::read_to_string(file).unwrap();
        // Tests are last in a file.
        text.split("#[cfg(test)]").next().unwrap_or_default().contains("AssertSqlSafe")
    };
    // The migrations; fixed texts in several sizes, and with the journal; those for a whole table out
    // of our own list; and databases that tests make.
    let known = [
        "schema.rs",
        "rows.rs",
        "log_reader.rs",
        "transfer.rs",
        "scratch.rs",
        "testing.rs",
        "history/tests.rs",
        "log/size.rs",
    ];
    let folders = fs::read_dir(root().join("crates")).unwrap().filter_map(Result::ok);
    for file in folders.flat_map(|folder| rust_files(&folder.path().join("src"))) {
        let name = file.to_string_lossy().replace('\\', "/");
        let is_known = known.iter().any(|known| name.ends_with(&format!("/store/src/{known}")));
        assert!(is_known || !makes_statements(&file), "{name} makes statements");
    }
}

/// docs/design/subscriptions-and-audience.md: one file decides who sees whom and whose roster it
/// is.
#[test]
fn only_audience_decides_by_contacts() {
    for file in ["core", "features"].iter().flat_map(|name| rust_files(&crate_folder(name))) {
        if file.ends_with("core/src/audience.rs") || file.ends_with("core/src/settings.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["Contacts::Everyone", "Contacts::Roster", "contacts ==", "contacts !="] {
            assert!(!code.contains(word), "{} says {word}", file.display());
        }
    }
}

/// With two providers linked and none named, rustls panics. aws-lc-rs is named everywhere.
#[test]
fn every_use_of_tls_names_its_provider() {
    let folders = fs::read_dir(root()).unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let folders = folders.filter(|path| path.is_dir() && !path.ends_with("target"));
    // In two halves, so that this file does not match itself.
    let unnamed = ["Config::", "builder()"].concat();
    let other = ["ring::", "default_provider"].concat();
    for file in folders.flat_map(|folder| rust_files(&folder)) {
        let text = fs::read_to_string(&file).unwrap();
        for kind in ["Client", "Server"] {
            let said = text.contains(&format!("{kind}{unnamed}"));
            assert!(!said, "{} names no provider for its {kind}Config", file.display());
        }
        assert!(!text.contains(&other), "{} uses ring", file.display());
    }
}

/// Returns the text up to the end of a call whose beginning is before this text.
fn arguments(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// An error that may occur with each message, connection or second would fill a log, so it goes
/// through `core::lasting`, which logs it once. The errors listed here cannot repeat by
/// themselves.
#[test]
fn an_error_that_may_come_again_and_again_is_logged_in_one_place() {
    let once = [
        // At the start, at the end, or when the database is given up.
        ("crates/core/src/keeper.rs", "keeper_failed"),
        ("crates/core/src/keeper/away.rs", "commit_undecided"),
        ("crates/server/src/relay/discovery.rs", "discovery_not_offered"),
        ("crates/server/src/server.rs", "clients_did_not_go"),
        ("crates/server/src/server.rs", "database_not_closed"),
        ("crates/server/src/server.rs", "storing_took_too_long"),
        ("crates/server/src/health.rs", "no_sign_of_life"),
        // After an administrator or the owner of the machine has done something.
        ("crates/server/src/server.rs", "not_restored"),
        ("crates/server/src/server.rs", "restore_refused"),
        ("crates/server/src/maintenance.rs", "restore_refused"),
        ("crates/server/src/maintenance.rs", "not_backed_up"),
        ("crates/store/src/transfer/aside.rs", "backup_refused"),
        ("crates/store/src/upgrade.rs", "migration_begins"),
        ("crates/core/src/login_throttle/stored.rs", "login_count_unreadable"),
        // Once for each time that the clock is set back.
        ("crates/core/src/keeper/stamps.rs", "archive_stamps_go_back"),
        ("crates/core/src/watch.rs", "clock_doubted"),
        ("crates/server/src/reload.rs", "restart_to_apply"),
        ("crates/server/src/reload.rs", "settings_not_reloaded"),
        ("crates/server/src/admin.rs", "admin_refused"),
        ("crates/server/src/renewal.rs", "certificate_kept"),
        ("crates/server/src/ingress.rs", "certificate_not_made"),
        // Once for each certificate, and once for each account.
        ("crates/server/src/renewal.rs", "certificate_expired"),
        ("crates/server/src/renewal.rs", "certificate_expires"),
        ("crates/core/src/passwords.rs", "password_short"),
        // Once for each million messages, where there are six million a day.
        ("crates/store/src/repeats.rs", "repeats_forgotten_early"),
    ];
    for krate in ["xmpp", "store", "stream", "core", "features", "server"] {
        let folder = crate_folder(krate).join("src");
        for file in
            rust_files(&folder).iter().filter(|file| !file.ends_with("crates/core/src/lasting.rs"))
        {
            let text = fs::read_to_string(file).unwrap();
            let logged = ["tracing::error!(", "tracing::warn!("];
            for said in logged.iter().flat_map(|macro_| text.split(macro_).skip(1)) {
                let event = arguments(said).rsplit('"').nth(1).unwrap_or_default();
                let known = once.iter().any(|(at, name)| file.ends_with(at) && *name == event);
                assert!(known, "{}: `{event}` is to go through core::lasting", file.display());
            }
        }
    }
}

/// Returns the code of a file before its tests, without comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the names that this code declares with a type: parameters and fields.
fn declared(code: &str) -> impl Iterator<Item = &str> {
    let colons = code.match_indices(": ").map(|(at, _)| &code[..at]);
    colons.map(|before| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        before.rsplit(|c| !is_part(c)).next().unwrap_or_default()
    })
}

/// A localpart identifies nobody: two domains may both have it, and so may two successive
/// accounts. Before authentication there is an address, after it a principal; only the store
/// separates the parts of an address.
#[test]
fn nobody_is_known_by_a_localpart_alone() {
    let names = ["localpart", "local", "username", "user_name", "account_name"];
    // The files where the parts of an address become a query.
    let asks =
        ["crates/core/src/node.rs", "crates/core/src/login.rs", "crates/core/src/account_life.rs"];
    for krate in ["core", "features", "server"] {
        for file in rust_files(&crate_folder(krate).join("src")) {
            let code = code(&file);
            let named = declared(&code).find(|name| names.contains(name));
            assert_eq!(named, None, "{} wants an address (BareJid)", file.display());
            for call in ["find_account(", ".verifier(", "tx.create_account("] {
                let may = asks.iter().any(|ask| file.ends_with(ask));
                assert!(may || !code.contains(call), "{} asks by a name", file.display());
            }
        }
    }
}

/// Everybody waits for what the lane does (docs/design/lane.md), so a command says how many rows it
/// touches, and whatever may be more goes in pieces.
#[test]
fn only_the_renaming_of_the_domain_touches_any_number_of_rows() {
    // Where it is declared, and where it is asked for.
    let may = [
        "crates/core/src/keeper/change.rs",
        "crates/core/src/keeper/sharing.rs",
        "crates/core/src/node.rs",
        // Tests.
        "crates/core/src/keeper/tests.rs",
    ];
    for krate in ["core", "features", "server"] {
        for file in rust_files(&crate_folder(krate).join("src")) {
            let asks = code(&file).matches("Touches::All").count();
            let may = may.iter().any(|may| file.ends_with(may));
            assert!(asks == 0 || may, "{} touches any number of rows", file.display());
            assert!(asks <= 1 || !file.ends_with("node.rs"), "{} does so twice", file.display());
        }
    }
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let folders = fs::read_dir(root()).unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let folders = folders.filter(|path| path.is_dir() && !path.ends_with("target"));
    let silent = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_none_or(|said| said.len() <= 10)
    };
    let silent: Vec<PathBuf> = folders.flat_map(|f| rust_files(&f)).filter(silent).collect();
    assert!(
        silent.is_empty(),
        "files that do not say in their first line what they are for: {silent:#?}"
    );
}

/// Returns the repository's own Markdown files.
fn documents() -> Vec<PathBuf> {
    let in_folder = |folder: PathBuf| {
        let entries = fs::read_dir(folder).unwrap().filter_map(Result::ok).map(|it| it.path());
        entries.filter(|path| path.extension().is_some_and(|it| it == "md")).collect::<Vec<_>>()
    };
    let folders = [root(), root().join("docs"), root().join("docs/design"), root().join("scenes")];
    folders.into_iter().chain([root().join("tests")]).flat_map(in_folder).collect()
}

#[test]
fn a_file_that_a_document_names_is_there() {
    let folders = ["crates/", "docs/", "tests/", "testkit/", "scenes/", "bench/", "fuzz/"];
    let crates: Vec<String> = levels().into_iter().map(|name| format!("{name}/src/")).collect();
    let mut missing = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        let linked = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let linked = linked.filter(|link| !link.is_empty() && !link.contains(':'));
        let linked = linked.map(|link| document.parent().unwrap().join(link));
        // Capitals, a star or braces mark a placeholder.
        let exact = |path: &&str| {
            path.bytes().all(|c| c.is_ascii_lowercase() || b"_-./0123456789".contains(&c))
        };
        let named = quoted.filter(exact).filter_map(|path| {
            if crates.iter().any(|start| path.starts_with(start)) {
                return Some(root().join("crates").join(path));
            }
            let ours = folders.iter().any(|start| path.starts_with(start));
            ours.then(|| root().join(path))
        });
        for path in named
            .chain(linked)
            .filter(|path| !path.exists() && !path.with_extension("scene").exists())
        {
            missing.push(format!("{}: {}", document.display(), path.display()));
        }
    }
    assert!(missing.is_empty(), "named and not there:\n{}", missing.join("\n"));
}

/// Returns the files of a module of core: `name.rs` and the folder of that name.
fn part_of_core(name: &str) -> Vec<PathBuf> {
    let source = crate_folder("core").join("src");
    let mut files = rust_files(&source.join(name));
    files.extend(Some(source.join(format!("{name}.rs"))).filter(|file| file.exists()));
    assert!(!files.is_empty(), "there is no {name} in core");
    files
}

fn stands_in(file: &Path, folder: &str) -> bool {
    file.strip_prefix(root()).is_ok_and(|path| path.starts_with(folder))
}

/// docs/design/route.md: only `route` puts what somebody says into another account's queue.
#[test]
fn nothing_but_route_delivers() {
    let delivers = [
        "push_queued(",
        "push_addressed(",
        "push_to_available(",
        "push_message(",
        "push_ahead_of_log(",
    ];
    let may = [
        ("crates/core/src/route", "it is the way"),
        ("crates/core/src/delivery", "its end"),
        ("crates/core/src/delivery.rs", "its end"),
        ("crates/core/src/session", "where the queue is"),
        ("crates/core/src/account.rs", "where the queues of an account are reached"),
        (
            "crates/core/src/presence.rs",
            "a session that comes or goes hears of itself and of others",
        ),
        ("crates/core/src/presence/directed.rs", "the recipient's half of an end of presence"),
    ];
    for krate in ["core", "features", "server"] {
        for file in rust_files(&crate_folder(krate).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            let is_one = may.iter().any(|(folder, _)| stands_in(&file, folder));
            for word in delivers.iter().filter(|_| !is_one) {
                assert!(!product.contains(word), "{} delivers: {word}", file.display());
            }
        }
    }
}

/// docs/design/route.md: a stanza between two people has two halves, and neither sees the account
/// of the other. Counts parameters and fields; a method also has what its type holds.
#[test]
fn nothing_has_two_accounts() {
    let devices = "an account and the devices of it that get something";
    let known = [
        ("route/passing.rs", "pass", devices),
        ("route/passing.rs", "push", devices),
        ("route/passing.rs", "taken", devices),
        ("carbon_tap.rs", "Received", devices),
        ("carbon_tap.rs", "Received::is_known_to", devices),
        ("carbon_tap.rs", "Received::copy", devices),
        ("carbon_tap.rs", "Sent::is_known_to", devices),
        ("carbon_tap.rs", "Sent::copy", devices),
        ("carbon_tap.rs", "of_received", devices),
        ("route/fan_out.rs", "Listeners", "both questions are about the recipient's device"),
        ("roster/entry.rs", "Entry::done", "what it calls is given the entry itself"),
    ];
    let source = crate_folder("core").join("src");
    let mut files: Vec<PathBuf> =
        ["route", "delivery", "roster"].into_iter().flat_map(part_of_core).collect();
    files.extend(["carbon_tap.rs", "kit/taps.rs"].map(|file| source.join(file)));
    let mut found = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let name = file.strip_prefix(&source).unwrap().to_string_lossy().replace('\\', "/");
        found.extend(signatures::of(&text).into_iter().map(|one| (name.clone(), one)));
    }
    assert!(found.len() > 80, "only {} signatures were found", found.len());
    let (names, found): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let counts = signatures::count(&found, &["Account", "Session", "Hold", "SessionCx"]);
    let two: Vec<_> = names.into_iter().zip(counts).filter(|(_, (_, count))| *count > 1).collect();
    let two: Vec<_> = two.into_iter().map(|(file, (name, _))| (file, name)).collect();
    let known: Vec<_> = known.iter().map(|(f, name, _)| ((*f).into(), (*name).into())).collect();
    let new: Vec<&(String, String)> = two.iter().filter(|it| !known.contains(it)).collect();
    assert!(new.is_empty(), "these have two accounts: {new:?}");
    let gone: Vec<_> = known.iter().filter(|it| !two.contains(it)).collect();
    assert!(gone.is_empty(), "these have two accounts no more: {gone:?}");
}

/// The recipient's half carries the origin of a stanza, but does not look into it.
#[test]
fn the_half_of_the_recipient_does_not_look_who_speaks() {
    for name in ["to_account.rs", "to_server.rs", "kept.rs", "passing.rs"] {
        let text = fs::read_to_string(crate_folder("core").join("src/route").join(name)).unwrap();
        for word in ["Origin::Session", "Ticket", "address()"] {
            assert!(!text.contains(word), "route/{name} says {word}");
        }
    }
}

#[test]
fn every_scene_can_be_read_and_says_what_it_shows() {
    let files = scene::find(&root().join("scenes")).unwrap();
    assert!(files.len() > 100);
    for file in files {
        let scene = scene::Scene::open(&file);
        let scene = scene.unwrap_or_else(|fault| panic!("{}, {fault}", file.display()));
        assert!(scene.title.ends_with('.'), "{}: the first line is no sentence", file.display());
    }
}

/// Over sockets time is real: a second may have gone before somebody is told how long to wait.
#[test]
fn no_scene_over_sockets_says_exactly_how_long_to_wait() {
    for file in scene::find(&root().join("scenes")).unwrap() {
        let text = fs::read_to_string(&file).unwrap();
        let mut waits = text.split("again in ").skip(1);
        let is_exact = waits.any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_played = scene::Scene::open(&file).unwrap().skipped(Kind::Sockets).is_none();
        assert!(!(is_exact && is_played), "{}: say {{any}} s", file.display());
    }
}

#[test]
fn every_xep_that_is_claimed_has_its_scenes() {
    let page = xeps::page().unwrap();
    for number in page.lines().filter_map(|line| line.strip_prefix("| [")?.split_once(']')) {
        let folder = root().join("scenes").join(format!("xep-{}", number.0));
        let scenes = scene::find(&folder).unwrap_or_default();
        assert!(!scenes.is_empty(), "there is no scene in {}", folder.display());
    }
}

#[test]
fn the_table_of_xeps_is_up_to_date() {
    derived("docs/xeps.md", &xeps::page().unwrap());
}

/// Compares a derived page with the stored one, or writes it.
fn derived(path: &str, page: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, page).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "{path} is out of date: UPDATE=1 cargo test -p whoelse-testkit");
}

fn empty_file() -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whoelse.toml");
    fs::write(&file, "").unwrap();
    Config::from_file(&file).unwrap()
}

#[test]
fn the_example_of_a_configuration_is_up_to_date_and_says_nothing_new() {
    let page = reference::example(&empty_file());
    derived("whoelse.example.toml", &page);

    let example = Config::from_file(&root().join("whoelse.example.toml")).unwrap();
    for row in table() {
        assert_eq!(row.say(&example), row.say(&empty_file()), "{}", row.key());
    }
}

#[test]
fn the_tables_of_settings_and_metrics_are_up_to_date() {
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let page = reference::between(&page, "settings", &reference::settings(&empty_file())).unwrap();
    let page = reference::between(&page, "metrics", &reference::metrics()).unwrap();
    derived("docs/operating.md", &page);
}

/// If no feature lists a group, the code would use its settings but no file could set them, or
/// count its counters but no monitor could see them.
#[test]
fn every_feature_lists_the_settings_and_counters_that_it_declares() {
    for file in rust_files(&crate_folder("features").join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        for (declares, listed_as) in [("settings! {", "SETTINGS"), ("counters! {", "GROUP")] {
            for group in text.split(declares).skip(1) {
                let (_, name) = group.split_once("struct ").unwrap();
                let listed = format!("{}::{listed_as}", name.split(' ').next().unwrap());
                assert!(text.contains(&listed), "{} does not list {listed}", file.display());
            }
        }
    }
}

/// Feature names that core may mention, each with the reason. The test fails if core no longer
/// mentions one.
const WORDS_OF_THE_RULES: &[(&str, &str)] = &[
    ("session", "RFC 6120, 7: a bound resource"),
    ("roster", "RFC 6121, 2: contacts and subscriptions are rules"),
    ("time", "the rules are handed the time"),
    ("version", "RFC 6121, 2.6: a roster has versions"),
    ("activity", "docs/behaviour.md, TIMEOUT: who is idle is logged out"),
    ("last activity", "when that was"),
    ("archive", "the log is numbered for each archive"),
    ("offline", "RFC 6121, 4.5: an account without an available session"),
    ("broadcast", "RFC 6121, 4.2.2: presence without an address"),
    ("registration", "RFC 6120: whoever has no account yet has no session for a feature"),
    ("commands", "the kit says how an ad-hoc command is declared"),
    ("ping", "a session that may be dead is asked whether it is there"),
    ("whoelse", "the name of the program"),
    ("blocking", "tokio's word for what holds up a thread"),
    ("discovery", "the kit collects what features announce there"),
    ("administration", "the audit log is about it"),
    ("XEP-0004", "the fields of such a command's form"),
    ("XEP-0050", "the same"),
    ("XEP-0077", "as for registration"),
    ("XEP-0203", "a stanza that waited says since when"),
    ("XEP-0313", "the public form of a number in the log"),
    ("XEP-0359", "the same, as a stanza carries it"),
    ("ns::DELAY", "as for XEP-0203"),
    ("ns::PING", "as for ping"),
    ("ns::STANZA_ID", "as for XEP-0359"),
];

/// Returns the names by which core could mention a feature: in prose, in code and as a type; its
/// specifications; the namespaces that it announces.
fn words_of(feature: &whoelse_core::kit::Feature, namespaces: &[(String, String)]) -> Vec<String> {
    let prose = feature.name.replace('-', " ");
    let type_ = feature.name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
    let mut words = vec![prose, feature.name.replace('-', "_"), type_.collect()];
    words.extend(feature.xeps.iter().map(|(number, _)| format!("XEP-{number:04}")));
    let announced = namespaces.iter().filter(|(_, value)| feature.disco.contains(&value.as_str()));
    words.extend(announced.map(|(name, _)| format!("ns::{name}")));
    words
}

/// Returns whether a text contains a word, not as part of a longer one.
fn says(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric();
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

/// docs/design/kit.md: a feature is one file or folder of the crate `features`, and whatever core
/// offers to it is open to other features.
#[test]
fn no_file_of_core_names_a_feature() {
    let constants = fs::read_to_string(crate_folder("xmpp").join("src/ns.rs")).unwrap();
    let namespaces: Vec<(String, String)> = constants
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.strip_suffix("\";"))
        .filter_map(|constant| constant.split_once(": &str = \""))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(namespaces.len() > 50, "{namespaces:?}");
    let files: Vec<(PathBuf, String)> = rust_files(&crate_folder("core").join("src"))
        .into_iter()
        .map(|file| (file.clone(), fs::read_to_string(file).unwrap()))
        .collect();
    let is_excused = |word: &str| {
        WORDS_OF_THE_RULES.iter().any(|(excused, _)| {
            let type_: String =
                excused.split(' ').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
            *excused == word || excused.replace(' ', "_") == word || type_ == word
        })
    };
    let mut said = Vec::new();
    for feature in whoelse_features::ALL {
        for word in words_of(feature, &namespaces).iter().filter(|word| !is_excused(word)) {
            for (file, _) in files.iter().filter(|(_, text)| says(text, word)) {
                said.push(format!(
                    "{} says {word}, of the feature {}",
                    file.display(),
                    feature.name
                ));
            }
        }
    }
    assert!(said.is_empty(), "{}", said.join("\n"));
    for (word, _) in WORDS_OF_THE_RULES {
        let is_said =
            files.iter().any(|(_, text)| says(text, word) || says(text, &word.replace(' ', "_")));
        assert!(is_said, "no file of core says {word} any more: take it off the list");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|e| e.path())
    {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}
