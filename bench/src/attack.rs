//! Somebody does what costs a server much, as fast as they can: what people who have nothing to do
//! with it notice (docs/security.md, rows 50 to 53 and 57).

mod archives;
mod bystanders;
mod changes;
mod door;
mod field;
mod logins;
mod messages;
mod removal;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::Failed;
use crate::load::client::{Entrance, Language};
use crate::load::latency::Times;
use crate::server::Server;
use bystanders::Noticed;
use field::Field;

/// Which attacks, how large, and for how long.
#[derive(Args)]
pub struct Options {
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Attack>,
    /// How many seconds the others are watched, before the attack and from its beginning.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How many messages a second two of them write to each other.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// How many messages are in the archives that are read or removed.
    #[arg(long, default_value_t = 300_000)]
    messages: usize,
}

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Attack {
    /// Two connections log in again and again, and send presence to everybody each time.
    Logins,
    /// Four fill the mailbox of one who is absent, and the queue of one who reads.
    Messages,
    /// An account with a large archive is removed.
    Removal,
    /// Nineteen sessions ask for pages of large archives, and for what is not in them.
    Archives,
    /// Twenty sessions make changes of a thousand rows.
    Changes,
    /// Ten thousand silent connections from five hundred networks.
    Door,
}

const SETTINGS: &str = "listen = \"127.0.0.1\"\ncontacts = \"everyone\"\nregistration = \"closed\"\n\
                        sessions = \"many\"\n";

/// Measures, and prints two lines for each attack.
pub async fn run(program: &Path, options: &Options) -> Result<(), Failed> {
    let all = Attack::value_variants().to_vec();
    let attacks = if options.only.is_empty() { all } else { options.only.clone() };
    for attack in attacks {
        measure(program, attack, options).await?;
    }
    Ok(())
}

async fn measure(program: &Path, attack: Attack, options: &Options) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    field::fill(&directory, attack.archives(), options.messages).await?;
    let server = Server::start_in(program, directory, SETTINGS).await?;
    let field = Arc::new(Field::new(Entrance::new(server.port, Language::Xmpp)?));
    let length = Duration::from_secs(options.seconds);
    let rate = f64::from(options.rate);

    let quiet = bystanders::watch(&field, rate, length, async {}).await?;
    println!("{attack:?}, before: {}", line(quiet));

    let (cpu, begun) = (server.cpu()?, tokio::time::Instant::now());
    let attacked = bystanders::watch(&field, rate, length, attack.run(&field)).await?;
    let share = (server.cpu()? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!(
        "{attack:?}, while {} {}: {}; {:.0} % of a processor",
        field.deeds(),
        attack.deeds(),
        line(attacked),
        share * 100.0
    );
    Ok(())
}

impl Attack {
    /// Which accounts have an archive before it begins.
    fn archives(self) -> std::ops::Range<usize> {
        match self {
            Attack::Removal => field::ATTACKERS.start..field::ATTACKERS.start + 1,
            Attack::Archives => archives::OWNERS,
            Attack::Logins | Attack::Messages | Attack::Changes | Attack::Door => 0..0,
        }
    }

    /// Attacks, for as long as it is polled.
    async fn run(self, field: &Arc<Field>) {
        match self {
            Attack::Logins => logins::run(field).await,
            Attack::Messages => messages::run(field).await,
            Attack::Removal => removal::run(field).await,
            Attack::Archives => archives::run(field).await,
            Attack::Changes => changes::run(field).await,
            Attack::Door => door::run(field).await,
        }
    }

    /// What was done so many times.
    fn deeds(self) -> &'static str {
        match self {
            Attack::Logins => "logins came",
            Attack::Messages => "messages were sent",
            Attack::Removal => "accounts were removed",
            Attack::Archives => "pages were read",
            Attack::Changes => "changes of many rows were made",
            Attack::Door => "silent connections came",
        }
    }
}

fn line(noticed: Noticed) -> String {
    let Noticed { mut messages, mut logins, mut newcomers, lost, refused } = noticed;
    let three = |times: &mut Times| {
        let mut part = |percent| times.percentile(percent).unwrap_or_default();
        format!("{:.2}, {:.2}, {:.1} ms", part(50.0), part(99.0), part(100.0))
    };
    format!(
        "a message took {} (median, 99 %, worst), a login {}, one from a new network {}; {lost} \
         were cut off, {refused} logins failed",
        three(&mut messages),
        three(&mut logins),
        three(&mut newcomers)
    )
}
