//! The delivery rules (RFC 6121, 8): who gets a stanza that is addressed to a local account, as one
//! pure function.

use std::sync::Arc;

use smallvec::SmallVec;
use whoelse_xmpp::Kind;

use crate::account::Account;
use crate::session::Session;

/// The sessions a stanza goes to.
pub type Sessions = SmallVec<[Arc<Session>; 4]>;

/// What becomes of a stanza.
#[derive(Debug)]
pub enum Recipients {
    /// It goes to these sessions; the list is never empty.
    Deliver(Sessions),
    /// No session is there to take it; [`crate::storage_policy`] decides whether it waits in the
    /// log.
    NobodyThere,
    /// It is dropped in silence.
    Ignore,
    /// The sender gets `service-unavailable`.
    Unavailable,
    /// The server answers on behalf of the account (RFC 6121, 8.5.2.1.3).
    Answer,
}

/// Decides by the kind and type of the stanza and the resource it names, if any.
pub fn who_gets(
    kind: Kind,
    type_: Option<&str>,
    resource: Option<&str>,
    to: &Account,
) -> Recipients {
    if let Some(resource) = resource {
        // RFC 6121, 8.5.3.1: a matching resource gets it, available or only connected.
        if let Some(session) = to.session(resource) {
            let mut one = Sessions::new();
            one.push(session);
            return Recipients::Deliver(one);
        }
        // RFC 6121, 8.5.3.2: no resource matches.
        return match (kind, type_) {
            (Kind::Message, Some("chat")) => who_gets(kind, type_, None, to),
            (Kind::Message, Some("error")) => Recipients::Ignore,
            (Kind::Message, Some("headline")) => Recipients::Ignore,
            (Kind::Message, _) => Recipients::Unavailable,
            (Kind::Presence, _) => Recipients::Ignore,
            (Kind::Iq, Some("get" | "set")) => Recipients::Unavailable,
            (Kind::Iq | Kind::Other, _) => Recipients::Ignore,
        };
    }
    // RFC 6121, 8.5.2: a bare address.
    match (kind, type_) {
        (Kind::Message, Some("error")) => Recipients::Ignore,
        (Kind::Message, Some("groupchat")) => Recipients::Unavailable,
        (Kind::Message, Some("headline")) => taking_messages(to).or(Recipients::Ignore),
        (Kind::Message, _) => taking_messages(to).or(Recipients::NobodyThere),
        (Kind::Presence, None | Some("unavailable")) => available(to).or(Recipients::Ignore),
        (Kind::Presence, _) => Recipients::Answer,
        (Kind::Iq, Some("get" | "set")) => Recipients::Answer,
        (Kind::Iq | Kind::Other, _) => Recipients::Ignore,
    }
}

fn available(to: &Account) -> Sessions {
    those(to, Session::is_available)
}

fn taking_messages(to: &Account) -> Sessions {
    those(to, Session::takes_messages)
}

fn those(to: &Account, wanted: impl Fn(&Session) -> bool) -> Sessions {
    let mut found = Sessions::new();
    to.each_session(|session| {
        if wanted(session) {
            found.push(session.clone());
        }
    });
    found
}

/// Delivers to these sessions, or if there are none, returns the other result.
trait Or {
    fn or(self, otherwise: Recipients) -> Recipients;
}

impl Or for Sessions {
    fn or(self, otherwise: Recipients) -> Recipients {
        if self.is_empty() { otherwise } else { Recipients::Deliver(self) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::{Moment, Steady, Time};
    use crate::principal::{Principal, Rights};
    use whoelse_xmpp::{BareJid, Class, Outgoing};

    /// Makes the account otto with these resources; one with `None` has not sent presence.
    fn otto(resources: &[(&str, Option<i8>)]) -> Arc<Account> {
        let jid = BareJid::parse("otto@a.example").unwrap();
        let otto = Arc::new(Account::new(1, 1, jid.clone(), Vec::new(), 0));
        let principal = Principal::of(&otto, Rights::Own);
        let now = Moment { wall: Time(0), steady: Steady(0) };
        for (id, (name, priority)) in resources.iter().enumerate() {
            let full = jid.with_resource(name).unwrap();
            let session =
                Session::new(id as u64, full, Some(otto.clone()), &principal, 1 << 20, now);
            let session = Arc::new(session);
            let presence = Outgoing::from_encoded(
                Kind::Presence,
                "<presence></presence>".into(),
                Class::Presence,
            );
            session.set_presence(priority.map(|priority| (presence, priority)));
            otto.session_list.add_if(&session, |_| true);
        }
        otto
    }

    fn names(verdict: Recipients) -> String {
        match verdict {
            Recipients::Deliver(sessions) => {
                let names: Vec<_> = sessions.iter().map(|s| s.resource().to_owned()).collect();
                names.join(" ")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_cell_of_the_table_for_a_bare_address() {
        let cells = [
            (Kind::Message, None, "desk phone", "NobodyThere"),
            (Kind::Message, Some("normal"), "desk phone", "NobodyThere"),
            (Kind::Message, Some("chat"), "desk phone", "NobodyThere"),
            (Kind::Message, Some("headline"), "desk phone", "Ignore"),
            (Kind::Message, Some("groupchat"), "Unavailable", "Unavailable"),
            (Kind::Message, Some("error"), "Ignore", "Ignore"),
            (Kind::Presence, None, "desk phone shy", "Ignore"),
            (Kind::Presence, Some("unavailable"), "desk phone shy", "Ignore"),
            (Kind::Presence, Some("probe"), "Answer", "Answer"),
            (Kind::Presence, Some("subscribe"), "Answer", "Answer"),
            (Kind::Iq, Some("get"), "Answer", "Answer"),
            (Kind::Iq, Some("set"), "Answer", "Answer"),
            (Kind::Iq, Some("result"), "Ignore", "Ignore"),
            (Kind::Iq, Some("error"), "Ignore", "Ignore"),
        ];
        let here =
            otto(&[("desk", Some(5)), ("phone", Some(0)), ("shy", Some(-1)), ("connected", None)]);
        let away = otto(&[("connected", None)]);
        for (kind, type_, with, without) in cells {
            assert_eq!(names(who_gets(kind, type_, None, &here)), with, "{kind:?} {type_:?}");
            assert_eq!(names(who_gets(kind, type_, None, &away)), without, "{kind:?} {type_:?}");
        }
    }

    #[test]
    fn every_cell_of_the_table_for_a_full_address() {
        let cells = [
            (Kind::Message, None, "Unavailable"),
            (Kind::Message, Some("normal"), "Unavailable"),
            (Kind::Message, Some("chat"), "phone"),
            (Kind::Message, Some("headline"), "Ignore"),
            (Kind::Message, Some("groupchat"), "Unavailable"),
            (Kind::Message, Some("error"), "Ignore"),
            (Kind::Presence, None, "Ignore"),
            (Kind::Presence, Some("unavailable"), "Ignore"),
            (Kind::Iq, Some("get"), "Unavailable"),
            (Kind::Iq, Some("set"), "Unavailable"),
            (Kind::Iq, Some("result"), "Ignore"),
            (Kind::Iq, Some("error"), "Ignore"),
        ];
        let otto = otto(&[("phone", Some(0)), ("shy", Some(-1)), ("connected", None)]);
        for (kind, type_, unmatched) in cells {
            for there in ["phone", "shy", "connected"] {
                let verdict = who_gets(kind, type_, Some(there), &otto);
                assert_eq!(names(verdict), there, "{kind:?} {type_:?}");
            }
            let verdict = who_gets(kind, type_, Some("gone"), &otto);
            assert_eq!(names(verdict), unmatched, "{kind:?} {type_:?}");
        }
    }

    #[test]
    fn a_message_waits_when_all_priorities_are_negative() {
        let otto = otto(&[("shy", Some(-1))]);

        assert_eq!(names(who_gets(Kind::Message, Some("chat"), None, &otto)), "NobodyThere");
    }

    #[test]
    fn no_message_of_any_type_to_the_account_reaches_a_negative_priority() {
        let types = [None, Some("normal"), Some("chat"), Some("headline"), Some("groupchat")];
        let types = types.into_iter().chain([Some("error"), Some("of a later time")]);
        for type_ in types {
            for others in [&[][..], &[("desk", Some(0))]] {
                let shy = [("shy", Some(-1)), ("shyer", Some(-128))];
                let otto = otto(&[others, &shy].concat());
                // For some types, a resource that is not there stands for the account.
                for resource in [None, Some("gone")] {
                    let got = names(who_gets(Kind::Message, type_, resource, &otto));
                    assert!(!got.contains("shy"), "{type_:?} {resource:?}: {got}");
                }
            }
        }
    }
}
