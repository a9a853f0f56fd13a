//! `whoelse user add|passwd|remove|block|unblock|kick|devices|list`: manages the accounts of a running
//! server (XEP-0133 and docs/protocol.md).

mod devices;

use std::net::IpAddr;

use whoelse_client::{Link, RequestError, admin};
use whoelse_xmpp::BareJid;

use super::{Fault, ask, say, socket, users};
use crate::cli::{self, Running, UserAction};
use crate::commands;
use crate::say::text;

/// Runs the command.
pub async fn run(options: cli::User) -> Result<(), Fault> {
    let running = &options.running;
    match options.action {
        UserAction::Add { name } => {
            ready_to_ask(running, &name).await?;
            let password = ask::new_password().await?;
            change(running, &name, async |link, account| {
                admin::add_user(link, account, &password).await
            })
            .await
        }
        UserAction::Passwd { name } => {
            ready_to_ask(running, &name).await?;
            let password = ask::new_password().await?;
            change(running, &name, async |link, account| {
                admin::set_password(link, account, &password).await
            })
            .await
        }
        UserAction::Remove { name, yes } => {
            ready_to_ask(running, &name).await?;
            let question = format!("Remove {} and everything kept for them?", text::line(&name));
            ask::confirm(yes, question, "nothing was removed").await?;
            change(running, &name, async |link, account| admin::remove_user(link, account).await)
                .await
        }
        UserAction::Block { name, seconds } => {
            change(running, &name, async |link, account| {
                let done = admin::block_user(link, account, seconds).await;
                // The server tells the end to the millisecond; this repeats what was asked for.
                let in_seconds = |seconds| format!("{} is blocked for {seconds} s", local(account));
                done.map(|said| seconds.map_or(said, in_seconds))
            })
            .await
        }
        UserAction::Unblock { name } if is_address(&name) => {
            let said = socket::with(running, None, async |link| {
                Ok(admin::unblock_address(link, &name).await?)
            });
            say(text::line(&said.await?))
        }
        UserAction::Unblock { name } => {
            change(running, &name, async |link, account| admin::unblock_user(link, account).await)
                .await
        }
        UserAction::Kick { name, resource } => {
            change(running, &name, async |link, account| {
                admin::end_sessions(link, account, resource.as_deref()).await
            })
            .await
        }
        UserAction::Devices(options) => devices::run(running, &options).await,
        UserAction::List { json } => list(running, json).await,
    }
}

/// Changes an account, and prints the server's answer.
pub(super) async fn change(
    running: &Running,
    name: &str,
    errand: impl AsyncFnOnce(&mut Link, &BareJid) -> Result<String, RequestError>,
) -> Result<(), Fault> {
    let said = socket::with(running, None, async |link| {
        let account = commands::address(name, link.me().domain())?;
        Ok(errand(link, &account).await?)
    });
    say(text::line(&said.await?))
}

async fn list(running: &Running, json: bool) -> Result<(), Fault> {
    let (listed, networks, domain) = socket::with(running, None, async |link| {
        let listed = admin::list_users(link).await?;
        Ok((listed, admin::blocked_networks(link).await?, link.me().domain().to_owned()))
    })
    .await?;
    match json {
        true => users::objects(&listed, &networks, &domain).into_iter().try_for_each(say),
        false => say(users::table(&listed, &networks, &domain)),
    }
}

/// Returns whether a text is an address, or a network or site as the list shows it, and no name. A user
/// whose name looks like an address is written with the domain.
fn is_address(text: &str) -> bool {
    let address = ["/64", "/56", "/48"].iter().find_map(|suffix| text.strip_suffix(suffix));
    address.unwrap_or(text).parse::<IpAddr>().is_ok()
}

/// Checks, before asking the user anything, that the answer could be used.
async fn ready_to_ask(running: &Running, name: &str) -> Result<(), Fault> {
    commands::address(name, "localhost")?;
    socket::check(running).await
}

/// Returns the name of an account of the server's own domain.
fn local(account: &BareJid) -> &str {
    account.local().unwrap_or(account.as_str())
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn an_address_is_told_from_a_name_in_every_form_that_the_list_shows() {
        for address in
            ["192.0.2.7", "::1", "2001:db8::7", "2001:db8:1:2::/64", "2001:db8:1:200::/56"]
        {
            assert!(is_address(address), "{address}");
        }
        for name in ["bob", "bob@example.org", "192.0.2.7@example.org", "2001:db8::/52", "/48"] {
            assert!(!is_address(name), "{name}");
        }
    }
}
