//! `whoelse send USER TEXT`: sends one message; status 0 means that the server has stored it.

use std::io::{self, Read};

use whoelse_client::SendError;
use whoelse_client::message::MAX_TEXT;
use whoelse_xmpp::{BareJid, in_words};

use super::{Fault, socket};
use crate::cli;
use crate::commands::{address, message::check_text};
use crate::say::{name, words};

/// Longest input in bytes; no text that may be sent is longer.
const LONGEST: usize = 4 * MAX_TEXT + 2;
/// Stands for the standard input.
const INPUT: &str = "-";

/// Sends the message.
pub async fn run(options: cli::Send) -> Result<(), Fault> {
    let text = text(&options.text).await?;
    socket::with(&options.running, options.from.as_deref(), async |link| {
        let me = link.me().to_bare();
        let to = address(&options.to, me.domain())?;
        if to == me {
            return Err(Fault::say("you cannot send a message to yourself"));
        }
        let sent = link.send_acknowledged(&to, &text).await;
        sent.map_err(|why| Fault::Say(not_sent(&why, &to, me.domain())))
    })
    .await
}

/// Returns the text of these words, or of the standard input.
pub(super) async fn text(words: &[String]) -> Result<String, Fault> {
    let text = match words {
        [only] if only == INPUT => {
            let read = tokio::task::spawn_blocking(|| read(&mut io::stdin().lock())).await;
            read.unwrap_or_else(|_| Err(not_read(&io::Error::other("try again"))))?
        }
        words => words.join(" "),
    };
    check_text(&text)?;
    Ok(text)
}

/// Reads a text, without the line end after it.
fn read(from: &mut impl Read) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    let most = LONGEST as u64 + 1;
    from.take(most).read_to_end(&mut bytes).map_err(|why| not_read(&why))?;
    if bytes.len() > LONGEST {
        let words = format!("the text is too long: at most {MAX_TEXT} characters are allowed");
        return Err(Fault::Say(words));
    }
    let text = String::from_utf8(bytes).map_err(|_| Fault::say("the text is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn not_read(why: &io::Error) -> Fault {
    Fault::Say(format!("cannot read the text from the standard input: {}", in_words(why)))
}

/// Says why the server has not stored the message, or why that is unknown.
fn not_sent(why: &SendError, to: &BareJid, domain: &str) -> String {
    match why {
        SendError::Refused(why) => words::refusal(why, &name::of(to, domain), to.domain()),
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
    fn a_text_is_read_to_its_end_and_no_further_than_one_may_be_long() {
        let of = |mut bytes: &[u8]| read(&mut bytes);

        assert_eq!(of(b"two\nlines\n"), Ok("two\nlines".to_owned()));
        assert_eq!(of(b"no end"), Ok("no end".to_owned()));
        assert_eq!(of(b"a\xff"), Err(Fault::say("the text is not UTF-8")));
        assert_eq!(of("漢".repeat(MAX_TEXT).as_bytes()), Ok("漢".repeat(MAX_TEXT)));
        let Err(Fault::Say(words)) = of(&[b'x'; LONGEST + 1]) else { panic!("it was read") };
        assert!(words.contains("too long"), "{words}");
    }

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
