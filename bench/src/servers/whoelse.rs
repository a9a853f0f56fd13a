//! Our own server, as `cargo build --profile dist` makes it.

use std::path::Path;
use std::process::Stdio;

use super::{Process, Running, Setting, Setup, configure, says_where, web_port};
use crate::Failed;
use crate::load::client::{PASSWORD, name};

/// Its configuration.
const CONFIGURATION: &str = include_str!("../../peers/whoelse.toml");

pub(super) async fn start(
    place: &Setup,
    directory: &Path,
    setting: Setting,
) -> Result<Running, Failed> {
    let (web, file) = (web_port(setting)?, directory.join("whoelse.toml"));
    let listen = web.map(|port| format!("[web]\nlisten = \"127.0.0.1:{port}\"\n"));
    let values = [
        ("certificate", place.certificate().display().to_string()),
        ("key", place.key().display().to_string()),
        ("contacts", if setting.everyone { "everyone" } else { "roster" }.to_owned()),
        ("history", if setting.history { "1y" } else { "off" }.to_owned()),
        ("web", listen.unwrap_or_default()),
    ];
    configure(&file, CONFIGURATION, &values)?;
    let accounts: String =
        (0..place.accounts).map(|account| format!("{} {PASSWORD}\n", name(account))).collect();
    std::fs::write(directory.join("credentials.txt"), accounts)?;
    let words = ["server", "0", "--config", &file.to_string_lossy()].map(str::to_owned);
    let program = std::fs::canonicalize(&place.program)?;
    let program = program.to_string_lossy();
    let processors = if setting.two { "0,1" } else { "0" };
    let process = Process::start_on(processors, &program, &words, directory, &[], Stdio::piped())?;
    says_where(process, web, directory).await
}

pub(super) fn version(place: &Setup) -> Option<String> {
    let output = std::process::Command::new(&place.program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
