//! The bare relay: this very program, in a process of its own.

use std::path::Path;
use std::process::Stdio;

use super::{Process, Running, Setup, says_where};
use crate::Failed;

pub(super) async fn start(place: &Setup, directory: &Path, tls: bool) -> Result<Running, Failed> {
    let program = std::env::current_exe()?;
    let mut words = vec!["relay".to_owned()];
    if tls {
        for (name, file) in [("--certificate", place.certificate()), ("--key", place.key())] {
            words.extend([name.to_owned(), file.to_string_lossy().into_owned()]);
        }
    }
    let program = program.to_string_lossy();
    let process = Process::start(&program, &words, directory, &[], Stdio::piped())?;
    says_where(process, None, directory).await
}
