//! `whoelse domain rename OLD NEW`: renames the domain of a running server, with its accounts.

use whoelse_client::{RequestError, admin};
use whoelse_xmpp::BareJid;

use super::{Fault, say, socket};
use crate::cli::{self, DomainAction, Running};
use crate::say::text;

/// Runs the command.
pub async fn run(options: cli::Domain) -> Result<(), Fault> {
    match options.action {
        DomainAction::Rename { old, new } => rename(&options.running, &old, &new).await,
    }
}

async fn rename(running: &Running, old: &str, new: &str) -> Result<(), Fault> {
    let (old, new) = (name(old)?, name(new)?);
    let mut link = socket::open(running, None).await?;
    let done = admin::rename_domain(&mut link, &old, &new).await;
    link.close().await;
    match done {
        Ok(_) => {}
        // Renaming ends every session, ours too, and its end may have overtaken the answer.
        Err(RequestError::ConnectionLost) if serves(running, &new).await? => {}
        Err(why) => return Err(why.into()),
    }
    say(text::line(&format!(
        "{old} is now {new}; everybody logs in again, as NAME@{new}, and private chats end: their \
         codes are compared again. If a configuration file says `domain`, change it there too"
    )))
}

/// Returns whether the server has this domain now.
async fn serves(running: &Running, domain: &str) -> Result<bool, Fault> {
    socket::with(running, None, async |link| Ok(link.me().domain() == domain)).await
}

/// Normalises a domain's name as the server does.
fn name(typed: &str) -> Result<String, Fault> {
    let parsed = BareJid::new(None, typed);
    parsed
        .map(|jid| jid.domain().to_owned())
        .map_err(|_| Fault::Say(format!("'{}' is not a domain name", text::line(typed))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_domain_is_named_as_the_server_writes_it() {
        assert_eq!(name("Chat.Example").unwrap(), "chat.example");
        for bad in ["", "a b", "bob@a.example", "a/b", "\u{1}"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
