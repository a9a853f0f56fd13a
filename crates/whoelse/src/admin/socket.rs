//! Architecture, decision 12: finds the admin socket of a running server, and logs in over it.
//!
//! The operating system vouches for the user (SASL EXTERNAL), so no password is asked for. A user
//! who is neither the server's own nor root is told who may use it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use whoelse_client::{ConnectError, Credentials, Link, LoginError};
use whoelse_server::admin::{NAME, address_of};
use whoelse_xmpp::in_words;

use super::Fault;
use crate::cli::Running;
use crate::say::words;

/// Logs in to the server, as the server itself or on behalf of one of its accounts.
pub async fn open(running: &Running, actor: Option<&str>) -> Result<Link, Fault> {
    let stream = connect(&running.data).await?;
    let who = Credentials::External { authzid: actor.map(str::to_owned) };
    // The server knows its domain.
    let opened = Link::open(stream, "", who).await;
    opened.map_err(|why| Fault::Say(not_let_in(&running.data, &why, actor)))
}

/// Runs a closure over such a session, and closes it however that ends.
pub async fn with<T>(
    running: &Running,
    actor: Option<&str>,
    errand: impl AsyncFnOnce(&mut Link) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut link = open(running, actor).await?;
    let done = errand(&mut link).await;
    link.close().await;
    done
}

/// Checks that a server lets us in, for commands that first ask the user something.
pub async fn check(running: &Running) -> Result<(), Fault> {
    with(running, None, async |_| Ok(())).await
}

async fn connect(data: &Path) -> Result<UnixStream, Fault> {
    let path = data.join(NAME);
    let connected = match address_of(&path) {
        Ok(address) => UnixStream::connect(address).await,
        Err(error) => Err(error),
    };
    connected.map_err(|error| Fault::Say(no_server(data, &error, owner(data))))
}

/// Returns the user who runs the server, as far as the file system tells.
fn owner(data: &Path) -> Option<u32> {
    let socket = fs::metadata(data.join(NAME));
    socket.or_else(|_| fs::metadata(data)).ok().map(|it| it.uid())
}

/// Says why no server can be reached.
fn no_server(data: &Path, error: &io::Error, owner: Option<u32>) -> String {
    let shown = shown(data);
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => format!(
            "no server runs on {shown}; start one with `whoelse server`, or name its data \
             directory with --data"
        ),
        ErrorKind::PermissionDenied => {
            let uid = owner.map(|uid| format!(" (uid {uid})")).unwrap_or_default();
            format!(
                "only the user who runs the server on {shown}{uid} and root may talk to it; try \
                 again with sudo"
            )
        }
        _ => format!("cannot talk to the server on {shown}: {}", in_words(error)),
    }
}

/// Says why the server refuses the login.
fn not_let_in(data: &Path, why: &LoginError, actor: Option<&str>) -> String {
    let shown = shown(data);
    match (why, actor) {
        (LoginError::Connect(ConnectError::TimedOut { .. }), _) => {
            format!("the server on {shown} does not answer")
        }
        (LoginError::Connect(ConnectError::Ended), _) => format!(
            "the server on {shown} hung up: it is stopping, or you are neither its user nor root"
        ),
        // An account of another domain: SASL has no other word for it.
        (LoginError::Refused { text }, Some(actor)) if text == "invalid-authzid" => {
            format!("there is no user {actor} here")
        }
        (why, actor) => words::login_error(why, actor.unwrap_or_default()),
    }
}

/// Writes a path so that it is recognised as one.
fn shown(data: &Path) -> String {
    let plain = data.components().count() == 1 && data.is_relative() && !data.starts_with("..");
    let path = if plain { PathBuf::from(".").join(data) } else { data.to_owned() };
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(data: &str, kind: ErrorKind) -> String {
        no_server(Path::new(data), &kind.into(), Some(998))
    }

    #[test]
    fn where_no_server_runs_it_is_said_how_to_start_one() {
        let sentence = "no server runs on ./whoelse-data; start one with `whoelse server`, or \
                        name its data directory with --data";

        for kind in [ErrorKind::NotFound, ErrorKind::ConnectionRefused, ErrorKind::NotADirectory] {
            assert_eq!(said("whoelse-data", kind), sentence);
        }
    }

    #[test]
    fn who_may_not_talk_to_the_server_is_told_who_may() {
        assert_eq!(
            said("/var/lib/whoelse", ErrorKind::PermissionDenied),
            "only the user who runs the server on /var/lib/whoelse (uid 998) and root may talk \
             to it; try again with sudo"
        );
    }

    #[test]
    fn a_path_is_shown_as_one() {
        for (path, as_shown) in [
            ("whoelse-data", "./whoelse-data"),
            ("./whoelse-data", "./whoelse-data"),
            ("..", ".."),
            ("a/b", "a/b"),
            ("/a", "/a"),
        ] {
            assert_eq!(shown(Path::new(path)), as_shown);
        }
    }

    #[test]
    fn a_server_that_hangs_up_or_says_nothing_is_told_apart() {
        let of = |why| not_let_in(Path::new("d"), &LoginError::Connect(why), None);

        assert!(of(ConnectError::Ended).starts_with("the server on ./d hung up"));
        let late = ConnectError::TimedOut { address: String::new() };
        assert_eq!(of(late), "the server on ./d does not answer");
        let words = "the server is shutting down".to_owned();
        assert_eq!(of(ConnectError::Server(words.clone())), words);
    }

    #[test]
    fn one_can_act_only_as_an_account_that_is_there() {
        let of = |text: &str| {
            let why = LoginError::Refused { text: text.to_owned() };
            not_let_in(Path::new("d"), &why, Some("eve@b.example"))
        };

        assert_eq!(of("invalid-authzid"), "there is no user eve@b.example here");
        assert_eq!(of("there is no user eve"), "there is no user eve");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_to_is_no_server() {
        let dir = tempfile::tempdir().unwrap();
        std::mem::drop(std::os::unix::net::UnixListener::bind(dir.path().join(NAME)).unwrap());

        let refused = connect(dir.path()).await.unwrap_err();

        let Fault::Say(words) = refused else { panic!("{refused:?}") };
        assert!(words.starts_with("no server runs on "), "{words}");
    }
}
