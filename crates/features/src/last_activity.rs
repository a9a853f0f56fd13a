//! XEP-0012, Last Activity: how long ago somebody went and with which words, how long the server
//! runs; what a device says of itself is the device's to say.
//!
//! Only for those who may see the other's presence, whether it is answered here or there: anything
//! else would tell strangers who is online (9).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
        w.account(|_, _| std::future::ready(Ok(PartingWords::default())));
        w.get(EVERYWHERE, last);
        w.presence(listen);
        w.online(note);
    },
    ..Feature::PLAIN
};

/// 3 and 4: also where the asker may see nobody, of which a device is not even told.
const EVERYWHERE: At =
    &[Target::Server, Target::Own, Target::Other, Target::Hidden, Target::HiddenDevice];
/// Characters kept of what somebody says in going: a line, not a letter.
const LONGEST: usize = 1_000;

/// In the slot of an account: what its user said in the last presence that took a session away.
/// Held for a look or a swap.
#[derive(Default)]
struct PartingWords(Mutex<String>);

impl PartingWords {
    fn replace(&self, words: String) -> String {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), words)
    }
}

fn listen(session: &Session, presence: &Stanza) {
    if presence.type_() == Some("unavailable") {
        let words = presence.child_text("status", ns::CLIENT).unwrap_or_default();
        let words = words.chars().take(LONGEST).collect();
        session.account.look(|last: &PartingWords| last.replace(words));
    }
}

async fn last(cx: Cx, _: LastActivity) -> Answer {
    match cx.target {
        Target::Server => {
            let running = cx.node.clock.steady().since(cx.node.started.steady);
            return seconds(running, String::new());
        }
        Target::Hidden | Target::HiddenDevice => return Err(cx.hidden()),
        Target::Own | Target::Other => {}
    }
    let subject = &cx.subject;
    // 3, but for a resource that is only connected: nobody can see it, and clients stay connected
    // for days after their user has gone.
    if subject.sessions().iter().any(|session| session.is_available() && !session.is_trusted()) {
        return seconds(Duration::ZERO, String::new());
    }
    // Who has just gone may not be written down yet.
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
    // The server itself, as which an administrator acts, has no such slot and is never gone.
    let last = account.look(|last: &PartingWords| last.replace(String::new()));
    let (Some(words), false) = (last, online) else { return };
    let (id, writer) = (account.id, node.clone());
    node.keeper.submit(Touches::AtMost(1), move |tx| {
        Box::pin(async move {
            tx.departed(id, writer.even_time().0, &words).await?;
            Ok(((), Vec::new()))
        })
    });
}
