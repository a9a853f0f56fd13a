//! XEP-0484: logins that are remembered on this computer, each by a token, never by its password.
//!
//! They are in the user's state directory, in files that only the user can read. An account has a few
//! places there, each with an installation (XEP-0388) and a token of its own, and a place belongs to one
//! process at a time: two terminals of one account are two devices to the server, since each would end
//! the other's session if they were one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use whoelse_stream::client::HeldToken;
use whoelse_stream::ht::Token;
use whoelse_stream::sasl::Mechanism;
use whoelse_stream::sasl2::UserAgentId;
use whoelse_xmpp::BareJid;

use crate::state;

/// Places of one account with one server: more than anybody has terminals open. Who finds none free is
/// not remembered.
const PLACES: usize = 16;

/// The directory in the state directory.
const DIRECTORY: &str = "logins";

/// The first lines of a file, so that whoever looks at it knows what it is.
const ACCOUNT: &str = "account ";
const SERVER: &str = "server ";
const INSTALLATION: &str = "installation ";
const MECHANISM: &str = "mechanism ";
const TOKEN: &str = "token ";

/// A place for a login, which belongs to this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    file: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
    account: BareJid,
    server: String,
    installation: UserAgentId,
    held: Option<HeldToken>,
}

/// Which place of an account is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// One with a token.
    Remembered,
    /// One with a token, or else an empty one.
    Any,
}

impl Place {
    /// Takes a place of an account with the server at this address; `None` if there is none that is
    /// wanted and free.
    pub(crate) fn take(
        state: &Path,
        server: &str,
        account: &BareJid,
        wanted: Wanted,
    ) -> io::Result<Option<Place>> {
        let directory = state.join(DIRECTORY);
        let name = state::name_of(&format!("{account}\0{server}"));
        let file = |n: usize| directory.join(format!("{name}-{n}"));
        let is_there = |n: &usize| file(*n).exists();
        let empty = (0..PLACES).filter(|n| wanted == Wanted::Any && !is_there(n));
        for n in (0..PLACES).filter(is_there).chain(empty) {
            let place = Place::lock(file(n), server, account)?;
            let fits = |place: &Place| wanted == Wanted::Any || place.held.is_some();
            if let Some(place) = place.filter(fits) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Takes this place; `None` if another process has it.
    fn lock(file: PathBuf, server: &str, account: &BareJid) -> io::Result<Option<Place>> {
        let Some(lock) = state::lock(&file)? else { return Ok(None) };
        let text = state::read(&file)?.unwrap_or_default();
        let (installation, held) = read(&text).unzip();
        Ok(Some(Place {
            file,
            _lock: lock,
            account: account.clone(),
            server: server.to_owned(),
            installation: installation.unwrap_or_else(UserAgentId::fresh),
            held,
        }))
    }

    /// The installation that the server knows by this place.
    pub(crate) fn installation(&self) -> UserAgentId {
        self.installation
    }

    /// The token.
    pub(crate) fn held(&self) -> Option<&HeldToken> {
        self.held.as_ref()
    }

    /// Keeps the token that a login was given, if it was given one. If it cannot be written, the one
    /// before is kept: it is good until the new one has been used (XEP-0484, 3.5).
    pub(crate) fn renew(&mut self, given: Option<HeldToken>) {
        let _ = given.map(|held| self.keep(held));
    }

    /// Keeps a token, in place of the one before.
    fn keep(&mut self, held: HeldToken) -> io::Result<()> {
        let Place { account, server, installation, .. } = self;
        let (mechanism, token) = (held.mechanism.name(), held.token.reveal());
        let text = format!(
            "{ACCOUNT}{account}\n{SERVER}{server}\n{INSTALLATION}{installation}\n\
             {MECHANISM}{mechanism}\n{TOKEN}{token}\n"
        );
        state::replace(&self.file, &text)?;
        self.held = Some(held);
        Ok(())
    }

    /// Forgets the token. The next one is that of another device.
    pub(crate) fn forget(&mut self) -> io::Result<()> {
        self.held = None;
        self.installation = UserAgentId::fresh();
        match std::fs::remove_file(&self.file) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
            _ => Ok(()),
        }
    }
}

/// Reads the installation and its token, if both are there.
fn read(text: &str) -> Option<(UserAgentId, HeldToken)> {
    let line = |name| text.lines().find_map(|line| line.strip_prefix(name));
    let token = Token::of(line(TOKEN)?.to_owned());
    let mechanism = Mechanism::from_name(line(MECHANISM)?)?;
    Some((UserAgentId::parse(line(INSTALLATION)?)?, HeldToken { token, mechanism }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_stream::ht::Binding;

    fn bob() -> BareJid {
        BareJid::parse("bob@a.example").unwrap()
    }

    fn take(state: &Path, wanted: Wanted) -> Option<Place> {
        Place::take(state, "a.example:5222", &bob(), wanted).unwrap()
    }

    fn token(text: &str) -> HeldToken {
        let mechanism = Mechanism::HashedToken(Binding::Exporter);
        HeldToken { token: Token::of(text.to_owned()), mechanism }
    }

    fn text(place: &Place) -> Option<&str> {
        place.held().map(|held| held.token.reveal())
    }

    #[test]
    fn a_token_is_there_for_the_next_process_with_its_installation() {
        let state = tempfile::tempdir().unwrap();
        assert!(take(state.path(), Wanted::Remembered).is_none());
        let mut place = take(state.path(), Wanted::Any).unwrap();
        assert!(place.held().is_none());
        place.keep(token("one")).unwrap();
        place.keep(token("two")).unwrap();
        let installation = place.installation();
        drop(place);

        for wanted in [Wanted::Remembered, Wanted::Any] {
            let place = take(state.path(), wanted).unwrap();
            assert_eq!((text(&place), place.installation()), (Some("two"), installation));
            assert_eq!(place.held().unwrap().mechanism.name(), "HT-SHA-256-EXPR");
        }
    }

    #[test]
    fn processes_that_run_at_once_have_a_place_each_and_no_more_than_there_are() {
        let state = tempfile::tempdir().unwrap();
        let mut first = take(state.path(), Wanted::Any).unwrap();
        first.keep(token("first")).unwrap();

        assert!(take(state.path(), Wanted::Remembered).is_none());
        let mut second = take(state.path(), Wanted::Any).unwrap();
        second.keep(token("second")).unwrap();
        assert_ne!(first.installation(), second.installation());
        drop(first);
        assert_eq!(text(&take(state.path(), Wanted::Remembered).unwrap()), Some("first"));

        let all: Vec<_> = std::iter::from_fn(|| take(state.path(), Wanted::Any)).collect();
        assert_eq!(all.len(), PLACES - 1);
    }

    #[test]
    fn a_place_is_of_one_account_with_one_server() {
        let state = tempfile::tempdir().unwrap();
        take(state.path(), Wanted::Any).unwrap().keep(token("bob's")).unwrap();

        let of = |server, account| {
            let account = BareJid::parse(account).unwrap();
            Place::take(state.path(), server, &account, Wanted::Remembered).unwrap()
        };
        assert!(of("a.example:5222", "alice@a.example").is_none());
        assert!(of("a.example:5223", "bob@a.example").is_none());
        assert!(of("a.example:5222", "bob@a.example").is_some());
    }

    #[test]
    fn what_is_forgotten_is_gone_and_so_is_the_installation() {
        let state = tempfile::tempdir().unwrap();
        let mut place = take(state.path(), Wanted::Any).unwrap();
        place.keep(token("one")).unwrap();
        let before = place.installation();

        place.forget().unwrap();
        place.forget().unwrap();

        assert!(place.held().is_none() && place.installation() != before);
        drop(place);
        assert!(take(state.path(), Wanted::Remembered).is_none());
    }

    #[test]
    fn a_damaged_file_remembers_nothing() {
        let state = tempfile::tempdir().unwrap();
        let mut place = take(state.path(), Wanted::Any).unwrap();
        place.keep(token("one")).unwrap();
        let whole = std::fs::read_to_string(&place.file).unwrap();
        let file = place.file.clone();
        drop(place);

        for damaged in [
            String::new(),
            whole.replace("token ", "tokens "),
            whole.replace("HT-SHA-256-EXPR", "PLAIN-TEXT"),
            whole.replace("installation ", "installation x"),
        ] {
            std::fs::write(&file, damaged).unwrap();
            assert!(take(state.path(), Wanted::Remembered).is_none());
            assert!(take(state.path(), Wanted::Any).unwrap().held().is_none());
        }
    }

    #[test]
    fn nobody_but_its_owner_can_read_a_token_and_it_is_never_printed() {
        let state = tempfile::tempdir().unwrap();
        let mut place = take(&state.path().join("new"), Wanted::Any).unwrap();
        place.keep(token("secret")).unwrap();

        assert!(!format!("{place:?}").contains("secret"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&place.file), 0o600);
            assert_eq!(mode(place.file.parent().unwrap()), 0o700);
        }
    }
}
