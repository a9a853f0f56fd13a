//! `whoelse user add|passwd|remove|block|unblock|list`: looking after the accounts of a running
//! server (XEP-0133 and docs/protocol.md).

use std::net::IpAddr;

use whoelse_client::{Link, RequestError, admin};
use whoelse_xmpp::BareJid;

use super::{Fault, ask, say, socket, users};
use crate::cli::{self, Running, UserAction};
use crate::commands;
use crate::terminal::text;

/// Does what was asked for.
pub async fn run(options: cli::User) -> Result<(), Fault> {
    let running = options.running;
    match options.action {
        UserAction::Add { name } => add(&running, &name).await,
        UserAction::Passwd { name } => passwd(&running, &name).await,
        UserAction::Remove { name, yes } => remove(&running, &name, yes).await,
        UserAction::Block { name, seconds } => {
            let (mut link, account) = reach(&running, &name).await?;
            let done = admin::block_user(&mut link, &account, seconds).await;
            // The server says until when, to the millisecond; this is what was asked for.
            let in_seconds = |seconds| format!("{} is blocked for {seconds} s", local(&account));
            finish(link, done.map(|said| seconds.map_or(said, in_seconds))).await
        }
        UserAction::Unblock { name } if is_address(&name) => {
            let mut link = socket::open(&running, None).await?;
            let done = admin::unblock_address(&mut link, &name).await;
            finish(link, done).await
        }
        UserAction::Unblock { name } => {
            let (mut link, account) = reach(&running, &name).await?;
            let done = admin::unblock_user(&mut link, &account).await;
            finish(link, done).await
        }
        UserAction::List => list(&running).await,
    }
}

async fn add(running: &Running, name: &str) -> Result<(), Fault> {
    ready_to_ask(running, name).await?;
    let password = ask::new_password().await?;
    let (mut link, account) = reach(running, name).await?;
    let done = admin::add_user(&mut link, &account, &password).await;
    finish(link, done).await
}

async fn passwd(running: &Running, name: &str) -> Result<(), Fault> {
    ready_to_ask(running, name).await?;
    let password = ask::new_password().await?;
    let (mut link, account) = reach(running, name).await?;
    let done = admin::set_password(&mut link, &account, &password).await;
    finish(link, done).await
}

async fn remove(running: &Running, name: &str, is_sure: bool) -> Result<(), Fault> {
    ready_to_ask(running, name).await?;
    let question = format!("Remove {} and everything kept for them?", text::line(name));
    if !is_sure && !ask::is_meant(question).await? {
        return Err(Fault::say("nothing was removed"));
    }
    let (mut link, account) = reach(running, name).await?;
    let done = admin::remove_user(&mut link, &account).await;
    finish(link, done).await
}

async fn list(running: &Running) -> Result<(), Fault> {
    let mut link = socket::open(running, None).await?;
    let domain = link.me().domain().to_owned();
    let listed = admin::list_users(&mut link).await;
    let networks = admin::blocked_networks(&mut link).await;
    link.close().await;
    say(users::table(&listed?, &networks?, &domain))
}

/// Whether an address is meant, or a network as it is listed, and no name. A name that looks like
/// one is written with its domain.
fn is_address(text: &str) -> bool {
    text.strip_suffix("/64").unwrap_or(text).parse::<IpAddr>().is_ok()
}

/// Nobody is asked a question whose answer could not be used.
async fn ready_to_ask(running: &Running, name: &str) -> Result<(), Fault> {
    commands::address(name, "localhost")?;
    socket::check(running).await
}

/// An open session, and the account a name means there.
async fn reach(running: &Running, name: &str) -> Result<(Link, BareJid), Fault> {
    let link = socket::open(running, None).await?;
    let account = commands::address(name, link.me().domain())?;
    Ok((link, account))
}

/// The name of an account of the server's own domain.
fn local(account: &BareJid) -> &str {
    account.local().unwrap_or(account.as_str())
}

/// Says goodbye, and then what the server said.
async fn finish(link: Link, done: Result<String, RequestError>) -> Result<(), Fault> {
    link.close().await;
    say(text::line(&done?))
}
