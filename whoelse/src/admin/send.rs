//! `whoelse send USER TEXT`: one message, and out; status 0 means that the server has stored it.

use whoelse_client::SendError;
use whoelse_xmpp::BareJid;

use super::{Fault, socket};
use crate::cli;
use crate::commands::{address, message::check_text};
use crate::terminal::render;

/// Sends the message.
pub async fn run(options: cli::Send) -> Result<(), Fault> {
    let text = options.text.join(" ");
    check_text(&text)?;
    let mut link = socket::open(&options.running, options.from.as_deref()).await?;
    let me = link.me().to_bare();
    let to = address(&options.to, me.domain())?;
    if to == me {
        return Err(Fault::say("you cannot send a message to yourself"));
    }
    let sent = link.send_acknowledged(&to, &text).await;
    link.close().await;
    sent.map_err(|why| Fault::Say(not_sent(&why, &to, me.domain())))
}

/// Why the server has not stored the message, or why nobody knows.
fn not_sent(why: &SendError, to: &BareJid, domain: &str) -> String {
    match why {
        SendError::Refused(why) => render::refusal(why, &render::name(to, domain), to.domain()),
        SendError::ConnectionLost => "the connection was lost before the server said whether it \
                                      has stored the message"
            .to_owned(),
        SendError::TimedOut => {
            "the server did not say in time whether it has stored the message".to_owned()
        }
        SendError::NotCounted => "not sent: this server does not say what it has stored".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_client::Refusal;

    #[test]
    fn a_refusal_is_worded_as_in_the_client() {
        let bob = BareJid::parse("bob@a.example").unwrap();
        let said = |why| not_sent(&SendError::Refused(why), &bob, "a.example");

        assert_eq!(said(Refusal::NoSuchUser), "there is no user bob");
        assert_eq!(said(Refusal::BlockedYou), "bob has blocked you");
        assert_eq!(said(Refusal::MailboxFull), "bob's mailbox is full");
        let far = BareJid::parse("bob@b.example").unwrap();
        let why = SendError::Refused(Refusal::RemoteServer);
        assert_eq!(not_sent(&why, &far, "a.example"), "cannot reach b.example");
    }

    #[test]
    fn what_nobody_knows_is_not_said_to_have_failed() {
        let bob = BareJid::parse("bob@a.example").unwrap();
        for why in [SendError::ConnectionLost, SendError::TimedOut] {
            assert!(not_sent(&why, &bob, "a.example").contains("whether it has stored"));
        }
    }
}
