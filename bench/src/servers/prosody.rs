//! Prosody, as Debian packages it.

use std::path::Path;
use std::process::Stdio;

use super::{Process, Running, Setting, Setup, configure, free_port, listening, web_port};
use crate::Failed;

/// Rooms, which everybody makes; with a history, each keeps one.
const ROOMS: &str = "Component \"conference.localhost\" \"muc\"
    restrict_room_creation = false
    muc_room_default_persistent = false
    modules_enabled = { {archive} }
    muc_log_by_default = true
";
/// Its configuration.
const CONFIGURATION: &str = include_str!("../../peers/prosody.cfg.lua");

pub(super) async fn start(
    place: &Setup,
    directory: &Path,
    setting: Setting,
) -> Result<Running, Failed> {
    let (port, web) = (free_port()?, web_port(setting)?);
    let file = directory.join("prosody.cfg.lua");
    let mut modules = String::new();
    for (module, is_on) in [("mam", setting.history), ("websocket", setting.web)] {
        modules.push_str(&if is_on { format!(", \"{module}\"") } else { String::new() });
    }
    let archive = if setting.history { "\"muc_mam\"" } else { "" };
    let rooms = if setting.rooms { ROOMS.replace("{archive}", archive) } else { String::new() };
    std::fs::create_dir_all(directory.join("data"))?;
    let values = [
        ("directory", directory.display().to_string()),
        ("port", port.to_string()),
        ("certificate", place.certificate().display().to_string()),
        ("key", place.key().display().to_string()),
        ("web", web.map(|port| port.to_string()).unwrap_or_default()),
        ("modules", modules),
        ("rooms", rooms),
    ];
    configure(&file, CONFIGURATION, &values)?;
    let words = ["-F", "--config", &file.to_string_lossy()].map(str::to_owned);
    let process = Process::start("prosody", &words, directory, &[], Stdio::null())?;
    listening(process, port, web, directory).await
}
