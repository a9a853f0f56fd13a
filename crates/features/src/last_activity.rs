//! XEP-0012, Last Activity: how long ago a user went offline and with which status text, and how
//! long the server has run. A device answers for itself.
//!
//! Only those who may see the user's presence get an answer, from here or from a device: anything
//! else would tell strangers who is online (9).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use whoelse_core::account::Account;
use whoelse_core::keeper::Touches;
use whoelse_core::kit::{Answer, At, Cx, Feature, Reply, Target};
use whoelse_core::session::Session;
use whoelse_core::{Node, Time};
use whoelse_xmpp::payload::last_activity::LastActivity;
use whoelse_xmpp::{Condition, Stanza, StanzaError, ns};

/// XEP-0012.
pub const FEATURE: Feature = Feature {
    name: "last-activity",
    xeps: &[(12, "2.0")],
    disco: &[ns::LAST],
    wire: |w| {
        w.get(EVERYWHERE, last);
        w.presence(listen);
        w.online(note);
    },
    ..Feature::PLAIN
};

/// Sections 3 and 4: all targets, also those that the asker may not see; a device never gets such a
/// request.
const EVERYWHERE: At =
    &[Target::Server, Target::Own, Target::Other, Target::Hidden, Target::HiddenDevice];
/// The most characters kept of a status text: a line, not a letter.
const LONGEST: usize = 1_000;

/// In the slot of an account: the status text of the last unavailable presence of any of its
/// sessions. Held for a look or a swap.
#[derive(Default)]
struct PartingWords(Mutex<String>);

impl PartingWords {
    fn replace(&self, words: String) -> String {
        std::mem::replace(&mut *self.0.lock(), words)
    }
}

fn listen(_: &Arc<Node>, session: &Arc<Session>, presence: &Stanza) {
    let Some(account) = &session.account else { return };
    if presence.type_() == Some("unavailable") {
        let words = presence.child_text("status", ns::CLIENT).unwrap_or_default();
        let words = words.chars().take(LONGEST).collect();
        account.get_or_default::<PartingWords>().replace(words);
    }
}

async fn last(cx: Cx, _: LastActivity) -> Answer {
    match cx.target {
        Target::Server => {
            let running = cx.node.clock.steady().since(cx.node.started.steady);
            return seconds(running, String::new());
        }
        Target::Hidden | Target::HiddenDevice | Target::Service(_) => return Err(cx.hidden()),
        Target::Own | Target::Other => {}
    }
    let subject = cx.subject()?;
    // Section 3, except that a resource that is only connected does not count: nobody can see it,
    // and clients stay connected for days after their user has gone.
    if subject.sessions().iter().any(|session| session.is_available() && !session.is_trusted()) {
        return seconds(Duration::ZERO, String::new());
    }
    // The departure of a user who has just gone may not be stored yet.
    cx.node.keeper.caught_up().await;
    match cx.node.store.departure(subject.id).await {
        Ok(Some(gone)) => seconds(cx.node.even_time().since(Time(gone.at)), gone.status),
        Ok(None) => Err(StanzaError::new(Condition::ItemNotFound)
            .with_text(format!("{} has never been here", subject.name()))),
        Err(error) => {
            cx.node.store_failing("departure_unreadable", Some(subject.jid()), &error);
            Err(StanzaError::new(Condition::InternalServerError))
        }
    }
}

fn seconds(since: Duration, status: String) -> Answer {
    Ok(Reply::of(&LastActivity { seconds: Some(since.as_secs()), status }))
}

fn note(node: &Arc<Node>, account: &Arc<Account>, online: bool) {
    let last = account.look(|last: &PartingWords| last.replace(String::new()));
    if online {
        return;
    }
    let words = last.unwrap_or_default();
    let (id, writer) = (account.id, node.clone());
    node.keeper.submit(Touches::AtMost(1), move |tx| {
        Box::pin(async move {
            tx.departed(id, writer.even_time().0, &words).await?;
            Ok(((), Vec::new()))
        })
    });
}
