//! ejabberd, as Debian packages it. Erlang runs it directly: as a node without a network, so that
//! nothing of it stays behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Process, Running, Setting, Setup, configure, free_port, listening, web_port};
use crate::Failed;

/// Its configuration.
const CONFIGURATION: &str = include_str!("../../peers/ejabberd.yml");
/// With a history: of every message, for both sides.
const ARCHIVE: &str = "  mod_mam:\n    default: always\n    db_type: mnesia\n";

/// Rooms, which everybody makes.
const ROOMS: &str = "  mod_muc:
    host: conference.localhost
    access_create: all
    max_users: 2000
    default_room_options:
      mam: {mam}
      max_users: 2000
      allow_query_users: true
";

/// The listener for WebSockets.
const WEBSOCKETS: &str = "  -
    port: {web}
    ip: \"127.0.0.1\"
    module: ejabberd_http
    tls: true
    protocol_options: [no_sslv3, no_tlsv1, no_tlsv1_1, no_tlsv1_2]
    request_handlers:
      /xmpp-websocket: ejabberd_http_ws
";

pub(super) async fn start(
    place: &Setup,
    directory: &Path,
    setting: Setting,
) -> Result<Running, Failed> {
    let (port, web) = (free_port()?, web_port(setting)?);
    let file = directory.join("ejabberd.yml");
    let listener = web.map(|port| WEBSOCKETS.replace("{web}", &port.to_string()));
    let mut modules = if setting.history { ARCHIVE } else { "" }.to_owned();
    if setting.rooms {
        modules += &ROOMS.replace("{mam}", &setting.history.to_string());
    }
    let values = [
        ("port", port.to_string()),
        ("pem", place.directory("both.pem").display().to_string()),
        ("web", listener.unwrap_or_default()),
        ("modules", modules),
    ];
    configure(&file, CONFIGURATION, &values)?;
    let code = code().ok_or("ejabberd's code is not where Debian puts it")?;
    // Its schedulers do not spin while they have nothing to do: on one processor that is only
    // taken from others, and it would count as work.
    let options = "+K true +P 1000000 +Q 65536 +sbwt none +sbwtdcpu none +sbwtdio none -noinput";
    let mut words: Vec<String> = options.split(' ').map(str::to_owned).collect();
    words.extend(["-pa".to_owned(), code.to_string_lossy().into_owned()]);
    let mnesia = format!("\"{}\"", directory.join("database").display());
    words.extend(["-mnesia", "dir", &mnesia, "-s", "ejabberd"].map(str::to_owned));
    let environment = [
        ("EJABBERD_CONFIG_PATH", file.to_string_lossy().into_owned()),
        ("EJABBERD_LOG_PATH", directory.join("ejabberd.log").to_string_lossy().into_owned()),
    ];
    let process = Process::start("erl", &words, directory, &environment, Stdio::null())?;
    listening(process, port, web, directory).await
}

/// Where its code lies: `/usr/lib/TRIPLET/ejabberd-VERSION/ebin`.
fn code() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let inside = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten();
    let inside = inside.filter_map(Result::ok).map(|entry| entry.path().join("ebin"));
    inside.filter(|path| path.join("ejabberd_app.beam").exists()).max()
}
