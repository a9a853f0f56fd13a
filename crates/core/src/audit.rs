//! The audit log: what administrators did, to whom, from where, when, and with what result.
//!
//! A [`Deed`] is written before the administrator hears the result. The program decides where it is
//! written ([`Node::audit`](crate::Node)). It goes to the server log as well, which somebody who
//! has only an administrator's password cannot reach.

use std::sync::{Arc, OnceLock};

use crate::boxed_future::BoxFuture;
use crate::clock::Time;
use crate::session::Session;

/// The most values of one deed that are written; of further ones only their number.
const VALUES: usize = 50;
/// The most characters of one value.
const LENGTH: usize = 300;

/// Writes a deed to permanent storage.
pub type Writer = Box<dyn Fn(&Deed) -> BoxFuture<'static, ()> + Send + Sync>;

/// One thing that an administrator did, or tried to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// When it was begun.
    pub at: Time,
    /// Whose rights were used: an account, or the server's own address over the admin socket.
    pub who: String,
    /// Where they came from: an address, or the admin socket with the user of the system.
    pub from: String,
    /// What was done, in a word: the name of a command.
    pub what: String,
    /// What it concerns: names and values, in their order. No secret is among them.
    pub about: Vec<(String, String)>,
    /// The result in words, or why there is none.
    pub end: Result<String, String>,
}

impl Deed {
    /// Begins a deed of the user who holds this session.
    pub fn by(session: &Session, what: &str, now: Time) -> Deed {
        Deed::of(session.jid.bare(), &session.address(), what, now)
    }

    /// Begins a deed.
    pub fn of(who: &str, from: &str, what: &str, now: Time) -> Deed {
        let (who, from, what) = (who.to_owned(), from.to_owned(), what.to_owned());
        Deed { at: now, who, from, what, about: Vec::new(), end: Err("it broke off".to_owned()) }
    }

    /// Adds a subject of the deed. Cuts long values, and only counts the rest of many.
    pub fn about(mut self, name: &str, values: &[String]) -> Deed {
        let room = VALUES.saturating_sub(self.about.len());
        for value in values.iter().take(room) {
            let cut: String = value.chars().take(LENGTH).collect();
            self.about.push((name.to_owned(), cut));
        }
        if values.len() > room {
            self.about.push(("more".to_owned(), (values.len() - room).to_string()));
        }
        self
    }
}

/// The audit log of what administrators did; a world in memory has no file of it.
#[derive(Default)]
pub struct Audit(OnceLock<Writer>);

impl Audit {
    /// Hands every deed to this writer from now on. Returns the writer if there was one before.
    pub fn set(&self, writer: Writer) -> Result<(), Writer> {
        self.0.set(writer)
    }

    /// Writes down what was done. Returns after it is written.
    pub async fn record(&self, deed: Deed) {
        let about: Vec<String> =
            deed.about.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (about, at) = (about.join(" "), deed.at.stamp());
        let (Deed { who, from, what, .. }, end) = (&deed, deed.end.as_deref());
        match end {
            Ok(end) => tracing::info!(who, from, what, about, at, end, "administration"),
            Err(why) => tracing::info!(who, from, what, about, at, refused = why, "administration"),
        }
        if let Some(write) = self.0.get() {
            write(&deed).await;
        }
    }
}

/// A deed under way. If its task ends first, that is written down.
pub struct UnderWay {
    audit: Arc<Audit>,
    deed: Option<Deed>,
}

impl UnderWay {
    /// Begins the deed.
    pub fn new(audit: Arc<Audit>, deed: Deed) -> UnderWay {
        UnderWay { audit, deed: Some(deed) }
    }

    /// Runs the deed and writes down how it ended, even if the caller goes away before. `None`: it
    /// panicked.
    pub async fn to_its_end<T: Send + 'static>(
        self,
        doing: impl Future<Output = T> + Send + 'static,
        in_words: fn(&T) -> Result<String, String>,
    ) -> Option<T> {
        let doing = tokio::spawn(async move {
            let done = doing.await;
            self.end(in_words(&done)).await;
            done
        });
        doing.await.ok()
    }

    /// Ends the deed with this result.
    pub async fn end(mut self, end: Result<String, String>) {
        if let Some(deed) = self.deed.take() {
            self.audit.record(Deed { end, ..deed }).await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // A runtime that ends drops its tasks as well.
        if let (Some(deed), Ok(runtime)) = (self.deed.take(), tokio::runtime::Handle::try_current())
        {
            let audit = self.audit.clone();
            runtime.spawn(async move { audit.record(deed).await });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::sync::{mpsc, oneshot};

    #[tokio::test]
    async fn a_deed_goes_to_its_end_when_nobody_waits_for_it_any_more() {
        let (write, mut written) = mpsc::unbounded_channel();
        let audit = Arc::new(Audit::default());
        let set = audit.set(Box::new(move |deed| -> BoxFuture<'static, ()> {
            write.send(deed.clone()).unwrap();
            Box::pin(async {})
        }));
        assert!(set.is_ok());
        let deed = Deed::of("root@a.example", "::1", "trust-clock", Time(0));
        let under_way = UnderWay::new(audit, deed.clone());
        let (go, gone) = oneshot::channel::<()>();

        let waiting = under_way.to_its_end(gone, |_| Ok("it is done".to_owned()));
        tokio::select! {
            biased;
            _ = waiting => panic!("nothing has happened yet"),
            () = async {} => {}
        }
        assert!(written.try_recv().is_err());
        go.send(()).unwrap();

        let end = Ok("it is done".to_owned());
        assert_eq!(written.recv().await, Some(Deed { end, ..deed }));
    }

    #[test]
    fn what_a_deed_is_about_is_bounded() {
        let many: Vec<String> = (0..70).map(|n| format!("user{n}")).collect();

        let deed = Deed::of("root@a.example", "::1", "delete-user", Time(0))
            .about("accountjids", &many)
            .about("note", &["x".repeat(1000)]);

        assert_eq!(deed.about.len(), VALUES + 2);
        assert_eq!(deed.about[VALUES], ("more".to_owned(), "20".to_owned()));
        assert!(deed.about.iter().all(|(_, value)| value.len() <= LENGTH));
    }
}
