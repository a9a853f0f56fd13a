//! Prosody, as Debian packages it.

use std::path::Path;
use std::process::Stdio;

use super::{Process, Running, Setting, Setup, configure, free_port, listening};
use crate::Failed;

/// Its configuration.
const CONFIGURATION: &str = include_str!("../../peers/prosody.cfg.lua");

pub(super) async fn start(
    place: &Setup,
    directory: &Path,
    setting: Setting,
) -> Result<Running, Failed> {
    let (port, file) = (free_port()?, directory.join("prosody.cfg.lua"));
    std::fs::create_dir_all(directory.join("data"))?;
    let values = [
        ("directory", directory.display().to_string()),
        ("port", port.to_string()),
        ("certificate", place.certificate().display().to_string()),
        ("key", place.key().display().to_string()),
        ("modules", if setting.history { ", \"mam\"" } else { "" }.to_owned()),
    ];
    configure(&file, CONFIGURATION, &values)?;
    let words = ["-F", "--config", &file.to_string_lossy()].map(str::to_owned);
    let process = Process::start("prosody", &words, directory, &[], Stdio::null())?;
    listening(process, port, directory).await
}
