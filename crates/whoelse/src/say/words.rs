//! Errors, refusals and endings in plain words (docs/behaviour.md). Pure functions, whose results
//! are safe for a terminal and for any interface.

use whoelse_client::{
    ConnectError, Ending, LoginError, Refusal, RegisterError, RequestError, Stranger,
};
use whoelse_xmpp::BareJid;

use super::certificate::{self, Reader};
use super::fold::quoted;
use super::{name, text};

/// The message after the password has been changed.
pub const NEW_PASSWORD: &str = "your password is changed";

/// Advice about a new domain name that nobody has proved.
pub fn said_renamed(domain: &str) -> String {
    format!(
        "whoever answers says, without proof, that this server is now {}; still trying",
        text::line(domain)
    )
}

/// Says that the fate of a message stays unknown.
pub fn unconfirmed(to: &BareJid, domain: &str) -> String {
    format!("nobody knows whether your message to {} arrived", name::of(to, domain))
}

/// Says that the program ends before this was sent: a message, or the stanza of this command.
pub fn not_sent(command: Option<&str>, to: &BareJid, domain: &str) -> String {
    let name = name::of(to, domain);
    match command {
        None => format!("your message to {name} was not sent"),
        Some(command) => format!("not sent: {command} {name}"),
    }
}

/// Says why somebody was not reached.
pub fn refusal(why: &Refusal, name: &str, their_domain: &str) -> String {
    match why {
        Refusal::BlockedYou => format!("{name} has blocked you"),
        Refusal::BlockedByYou => format!("you have blocked {name}"),
        Refusal::NoSuchUser => format!("there is no user {name}"),
        Refusal::MailboxFull => format!("{name}'s mailbox is full"),
        Refusal::RemoteServer => format!("cannot reach {}", text::line(their_domain)),
        Refusal::Unreachable => format!("{name} cannot be reached"),
        Refusal::NotAllowed(None) => "you are not allowed to do that".to_owned(),
        Refusal::NotAllowed(Some(words)) | Refusal::Other(words) => {
            format!("{name} was not reached: {}", text::line(words))
        }
    }
}

/// Says why a request failed. `whom` is the person it was about, as shown.
pub fn request_error(why: &RequestError, whom: Option<&str>) -> String {
    match why {
        RequestError::Refused(error) => match (Refusal::of(error), whom) {
            (Refusal::NotAllowed(words), _) => {
                let words = words.as_deref().map(text::line);
                words.unwrap_or_else(|| "you are not allowed to do that".to_owned())
            }
            (Refusal::Other(words), _) => format!("the server refused: {}", text::line(&words)),
            (Refusal::MailboxFull, _) => {
                let words = error.text.as_deref().map(text::line);
                words.unwrap_or_else(|| "the server has no room for that".to_owned())
            }
            (why, Some(whom)) => refusal(&why, whom, whom),
            (_, None) => match &error.text {
                Some(words) => format!("the server refused: {}", text::line(words)),
                None => "the server does not offer that".to_owned(),
            },
        },
        RequestError::TimedOut => "the server did not answer in time".to_owned(),
        RequestError::ConnectionLost => {
            "the connection was lost before the answer came; try again".to_owned()
        }
        RequestError::NotLoggedIn => "log in first".to_owned(),
        RequestError::Renamed => "the server has another name now; try again".to_owned(),
        RequestError::TooMany => "too many lines wait for the connection".to_owned(),
        RequestError::Unreadable => "the server's answer makes no sense".to_owned(),
    }
}

/// Says why a session ended.
pub fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Asked => "logged out".to_owned(),
        Ending::Idle(Some(words)) => text::line(words),
        Ending::Idle(None) => "logged out without activity".to_owned(),
        Ending::Replaced => "logged out: this account logged in elsewhere".to_owned(),
        Ending::NewPassword => "logged out: your password was changed elsewhere".to_owned(),
        Ending::Revoked => "logged out: this device was logged out elsewhere".to_owned(),
        Ending::Refused(words) | Ending::Server(words) => {
            format!("logged out: {}", text::line(words))
        }
        Ending::Untrusted(why) => format!("logged out: {}", connect_error(why)),
    }
}

/// Says why there is no connection.
pub fn connect_error(why: &ConnectError) -> String {
    connect_error_for(why, Reader::Typing)
}

/// Says the same to a reader at this place.
pub fn connect_error_for(why: &ConnectError, reader: Reader) -> String {
    match why {
        ConnectError::Refused { address } => {
            format!("no server answers at {}; start one with `whoelse server`", text::line(address))
        }
        ConnectError::Unreachable { address, why } => {
            format!("cannot reach {}: {}", text::line(address), text::line(why))
        }
        ConnectError::TimedOut { address } => {
            format!("{} does not answer", text::line(address))
        }
        ConnectError::NotOffered { domain } => {
            let domain = text::line(domain);
            format!("{domain} says that it has no server for clients; --host names one")
        }
        ConnectError::Renamed { domain } => {
            let domain = text::line(domain);
            format!(
                "this server says that it is {domain} now: log in as NAME@{domain}, with \
                 `whoelse client --user NAME@{domain}`, and with --host and PORT if that name does \
                 not lead here"
            )
        }
        ConnectError::NoEncryption => {
            "the server offers no encryption, so nothing was sent to it".to_owned()
        }
        ConnectError::Handshake(words) => format!("no encryption: {}", text::line(words)),
        ConnectError::Busy(words) | ConnectError::Server(words) => text::line(words),
        ConnectError::Ended => "the server closed the connection".to_owned(),
        ConnectError::Stranger { address, who } => {
            let address = text::line(address);
            match who {
                Stranger::Http => format!("{address} is a web server (HTTP), not an XMPP server"),
                Stranger::Ssh => format!("{address} is an SSH server, not an XMPP server"),
                Stranger::Greeter => {
                    format!("{address} is a server of mail or files, not an XMPP server")
                }
                Stranger::Tls => format!(
                    "{address} wants TLS from the first byte on; `--direct-tls` begins with it"
                ),
                Stranger::StartTls => format!(
                    "{address} does not begin with TLS; leave `--direct-tls` out, and it is asked for"
                ),
                Stranger::Unknown => format!("{address} does not speak XMPP"),
            }
        }
        ConnectError::Unknown { fingerprint, fault } => {
            certificate::unknown(*fingerprint, fault, reader)
        }
        ConnectError::Changed { fingerprint, pinned } => {
            certificate::changed(*fingerprint, *pinned, reader)
        }
        ConnectError::State(words) => {
            format!(
                "cannot keep the server's certificate in mind: {} (--state-dir names another place)",
                text::line(words)
            )
        }
    }
}

/// Says why a login failed. `who` is the name as typed.
pub fn login_error(why: &LoginError, who: &str) -> String {
    login_error_for(why, who, Reader::Typing)
}

/// Says the same to a reader at this place.
pub fn login_error_for(why: &LoginError, who: &str, reader: Reader) -> String {
    match why {
        LoginError::Connect(why) => connect_error_for(why, reader),
        LoginError::WrongPassword { text: words } => {
            words.as_deref().map_or_else(|| "wrong password".to_owned(), text::line)
        }
        LoginError::FormerPassword { text: words } => {
            let said = words.as_deref().map(text::line);
            said.unwrap_or_else(|| "the password of this account was changed".to_owned())
        }
        LoginError::TokenRefused { text: Some(words) } => {
            format!("you are not logged in here any more: {}", text::line(words))
        }
        LoginError::TokenRefused { text: None } | LoginError::NotRemembered => {
            "you are not logged in here any more".to_owned()
        }
        LoginError::Refused { text: words } | LoginError::NotNow { text: words } => {
            text::line(words)
        }
        LoginError::AlreadyLoggedIn => format!("{} is already logged in", text::line(who)),
        LoginError::NotOverThisChannel => "the server's certificate is not trusted, and the \
             server cannot prove over this connection that it knows your password; nothing was \
             sent"
            .to_owned(),
        LoginError::NewPin { fingerprint } => certificate::proved(*fingerprint),
        LoginError::OnlyPlain { fingerprint } => certificate::only_plain(*fingerprint, reader),
        LoginError::NotAName => format!("{} is not a name", quoted(who)),
        LoginError::LoggedInAlready => "you are logged in already".to_owned(),
    }
}

/// Says why an account was not made.
pub fn register_error(why: &RegisterError, who: &str) -> String {
    match why {
        RegisterError::Connect(why) => connect_error(why),
        RegisterError::Taken => format!("there is a user {} already", text::line(who)),
        RegisterError::Refused(words) => text::line(words),
        RegisterError::NotAName => format!("{} is not a name", quoted(who)),
        RegisterError::Untrusted => {
            "no account is made over a certificate that is not trusted".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whoelse_xmpp::{Condition, StanzaError};

    #[test]
    fn the_servers_words_are_made_safe_too() {
        let error = StanzaError::new(Condition::BadRequest).with_text("no\n* eve logged in\u{9b}");

        let words = request_error(&RequestError::Refused(error), None);

        assert_eq!(words, "the server refused: no\\u{a}* eve logged in\\u{9b}");
        let words = "blocked\u{1b}".to_owned();
        assert_eq!(login_error(&LoginError::Refused { text: words }, "bob"), "blocked\\u{1b}");
    }

    #[test]
    fn a_login_that_fails_says_so() {
        let wrong = LoginError::WrongPassword { text: None };
        assert_eq!(login_error(&wrong, "bob"), "wrong password");
        assert_eq!(login_error(&LoginError::AlreadyLoggedIn, "bob"), "bob is already logged in");
        let text = Some("the password was changed".to_owned());
        assert_eq!(
            login_error(&LoginError::TokenRefused { text }, "bob"),
            "you are not logged in here any more: the password was changed"
        );
    }

    #[test]
    fn a_missing_server_is_told_with_what_to_do() {
        let why = ConnectError::Refused { address: "localhost:5222".to_owned() };

        assert_eq!(
            connect_error(&why),
            "no server answers at localhost:5222; start one with `whoelse server`"
        );
    }
}
