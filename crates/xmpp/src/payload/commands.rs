//! XEP-0050, Ad-Hoc Commands: commands run in one step, or in several with a form each.

use xmpp_parsers::data_forms::DataForm;
use xso::error::Error;
use xso::{AsXml, AsXmlText, FromXml, FromXmlText};

use std::borrow::Cow;

use crate::ns;

/// Declares an enumeration that is the text of an attribute.
macro_rules! texts {
    ($(#[$doc:meta])* $type:ident { $($(#[$note:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$note])* $variant,)+ }

        impl $type {
            /// The text on the wire.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $text,)+ }
            }
        }

        impl FromXmlText for $type {
            fn from_xml_text(text: String) -> Result<$type, Error> {
                match text.as_str() {
                    $($text => Ok($type::$variant),)+
                    _ => Err(Error::Other(concat!("unknown value for ", stringify!($type)))),
                }
            }
        }

        impl AsXmlText for $type {
            fn as_xml_text(&self) -> Result<Cow<'_, str>, Error> {
                Ok(Cow::Borrowed(self.name()))
            }
        }
    };
}

texts! {
    /// The action that the requester wants.
    Action {
        /// Start, or continue with the default action.
        Execute = "execute",
        /// Cancel the command.
        Cancel = "cancel",
        /// Go back one stage.
        Prev = "prev",
        /// Go to the next stage.
        Next = "next",
        /// Finish.
        Complete = "complete",
    }
}

texts! {
    /// The status of a command.
    Status {
        /// It waits for the requester.
        Executing = "executing",
        /// It has finished.
        Completed = "completed",
        /// It was cancelled.
        Canceled = "canceled",
    }
}

texts! {
    /// How serious a note is.
    NoteType {
        /// Nothing went wrong.
        Info = "info",
        /// Something did not go as it should.
        Warn = "warn",
        /// It failed.
        Error = "error",
    }
}

/// A note about what happened.
#[derive(FromXml, AsXml, Debug, Clone, PartialEq, Eq)]
#[xml(namespace = ns::COMMANDS, name = "note")]
pub struct Note {
    /// Its severity; absent means [`NoteType::Info`].
    #[xml(attribute(name = "type", default))]
    pub type_: Option<NoteType>,
    /// The text, for people.
    #[xml(text)]
    pub text: String,
}

/// The actions allowed at this stage, besides cancelling.
#[derive(FromXml, AsXml, Debug, Clone, Default, PartialEq, Eq)]
#[xml(namespace = ns::COMMANDS, name = "actions")]
pub struct Actions {
    /// The action that `execute` stands for.
    #[xml(attribute(default))]
    pub execute: Option<Action>,
    /// Whether [`Action::Prev`] is allowed.
    #[xml(flag)]
    pub prev: bool,
    /// Whether [`Action::Next`] is allowed.
    #[xml(flag)]
    pub next: bool,
    /// Whether [`Action::Complete`] is allowed.
    #[xml(flag)]
    pub complete: bool,
}

/// A request to run or continue a command, or the answer to one.
#[derive(FromXml, AsXml, Debug, Clone, PartialEq)]
#[xml(namespace = ns::COMMANDS, name = "command", on_unknown_child = Discard)]
pub struct Command {
    /// The command's node.
    #[xml(attribute)]
    pub node: String,
    /// The id of this run; the responder assigns it.
    #[xml(attribute(default))]
    pub sessionid: Option<String>,
    /// The action that the requester wants; absent means [`Action::Execute`].
    #[xml(attribute(default))]
    pub action: Option<Action>,
    /// The status of the command; only in answers.
    #[xml(attribute(default))]
    pub status: Option<Status>,
    /// The actions allowed next; only in answers.
    #[xml(child(default))]
    pub actions: Option<Actions>,
    /// Notes; only in answers.
    #[xml(child(n = ..))]
    pub notes: Vec<Note>,
    /// A form to fill in, filled in, or of results.
    #[xml(child(default))]
    pub form: Option<DataForm>,
}

impl Command {
    /// Makes a request to run a command.
    pub fn execute(node: impl Into<String>) -> Command {
        Command { action: Some(Action::Execute), ..Command::of(node.into()) }
    }

    /// Makes the answer to this request, with the command in `status`.
    pub fn answer(&self, sessionid: impl Into<String>, status: Status) -> Command {
        Command {
            sessionid: Some(sessionid.into()),
            status: Some(status),
            ..Command::of(self.node.clone())
        }
    }

    /// Adds a form.
    #[must_use]
    pub fn with_form(mut self, form: DataForm) -> Command {
        self.form = Some(form);
        self
    }

    /// Adds a note.
    #[must_use]
    pub fn with_note(mut self, type_: NoteType, text: impl Into<String>) -> Command {
        self.notes.push(Note { type_: Some(type_), text: text.into() });
        self
    }

    fn of(node: String) -> Command {
        Command {
            node,
            sessionid: None,
            action: None,
            status: None,
            actions: None,
            notes: Vec::new(),
            form: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::payload::encode;
    use crate::{Condition, Stanza, StanzaError};

    /// Reads the command of a stanza, and checks that writing and reading it again changes nothing.
    fn command(stanza: &str) -> Command {
        let read = try_command(stanza).unwrap();
        let again = format!("<iq>{}</iq>", String::from_utf8(encode(&read)).unwrap());
        assert_eq!(try_command(&again).unwrap(), read);
        read
    }

    fn try_command(stanza: &str) -> Result<Command, StanzaError> {
        let stanza = Stanza::try_from(stanza).unwrap();
        stanza.payload(&stanza.children()[0])
    }

    #[test]
    fn a_request_to_execute_is_read() {
        let read = command(
            "<iq type='set' to='responder@domain' id='exec1'>
               <command xmlns='http://jabber.org/protocol/commands'
                        node='list'
                        action='execute'/>
             </iq>",
        );

        assert_eq!(read, Command::execute("list"));
    }

    #[test]
    fn a_result_with_a_table_is_read() {
        let read = command(
            "<iq type='result' from='responder@domain' to='requester@domain' id='exec1'>
               <command xmlns='http://jabber.org/protocol/commands'
                        sessionid='list:20020923T213616Z-700'
                        node='list'
                        status='completed'>
                 <x xmlns='jabber:x:data' type='result'>
                   <title>Available Services</title>
                   <reported>
                     <field var='service' label='Service'/>
                     <field var='runlevel-1' label='Single-User mode'/>
                   </reported>
                   <item>
                     <field var='service'><value>httpd</value></field>
                     <field var='runlevel-1'><value>off</value></field>
                   </item>
                 </x>
               </command>
             </iq>",
        );

        assert_eq!(read.status, Some(Status::Completed));
        assert_eq!(read.sessionid.as_deref(), Some("list:20020923T213616Z-700"));
        assert_eq!(read.form.unwrap().title.as_deref(), Some("Available Services"));
    }

    #[test]
    fn a_stage_with_a_form_is_read() {
        let read = command(
            "<iq type='result' from='responder@domain' to='requester@domain' id='exec2'>
               <command xmlns='http://jabber.org/protocol/commands'
                        sessionid='config:20020923T213616Z-700'
                        node='config'
                        status='executing'>
                 <actions execute='complete'>
                   <prev/>
                   <complete/>
                 </actions>
                 <x xmlns='jabber:x:data' type='form'>
                   <title>Configure Service</title>
                   <instructions>
                     Please select the run modes and state for 'httpd'.
                   </instructions>
                   <field var='runlevel' label='Run Modes' type='list-multi'>
                     <value>3</value>
                     <value>5</value>
                     <option label='Single-User'><value>1</value></option>
                     <option label='X-Window'><value>5</value></option>
                   </field>
                 </x>
               </command>
             </iq>",
        );

        let expected =
            Actions { execute: Some(Action::Complete), prev: true, next: false, complete: true };
        assert_eq!(read.actions, Some(expected));
        assert_eq!(read.form.unwrap().fields[0].values, ["3", "5"]);
    }

    #[test]
    fn a_note_is_read() {
        let read = command(
            "<iq type='result' from='responder@domain' to='requester@domain' id='exec3'>
               <command xmlns='http://jabber.org/protocol/commands'
                        sessionid='config:20020923T213616Z-700'
                        node='config'
                        status='completed'>
                 <note type='info'>Service 'httpd' has been configured.</note>
               </command>
             </iq>",
        );

        let expected = Command::execute("config")
            .answer("config:20020923T213616Z-700", Status::Completed)
            .with_note(NoteType::Info, "Service 'httpd' has been configured.");
        assert_eq!(read, expected);
    }

    #[test]
    fn going_back_and_cancelling_are_read() {
        for (action, expected) in [("prev", Action::Prev), ("cancel", Action::Cancel)] {
            let read = command(&format!(
                "<iq type='set' to='responder@domain' id='exec2'>
                   <command xmlns='http://jabber.org/protocol/commands'
                            sessionid='config:20020923T213616Z-700'
                            node='config'
                            action='{action}'/>
                 </iq>"
            ));
            assert_eq!(read.action, Some(expected));
        }
    }

    #[test]
    fn what_does_not_fit_is_a_bad_request() {
        for command in [
            "<command xmlns='http://jabber.org/protocol/commands'/>",
            "<command xmlns='http://jabber.org/protocol/commands' node='x' action='jump'/>",
            "<command xmlns='http://jabber.org/protocol/commands' node='x' status='lost'/>",
            "<command xmlns='http://jabber.org/protocol/commands' node='x'><note type='z'/></command>",
            "<command xmlns='http://jabber.org/protocol/other' node='x'/>",
        ] {
            let error = try_command(&format!("<iq>{command}</iq>")).unwrap_err();
            assert_eq!(error.condition, Condition::BadRequest, "{command}");
        }
    }

    #[test]
    fn other_payloads_beside_the_form_are_ignored() {
        let read = command(
            "<iq><command xmlns='http://jabber.org/protocol/commands' node='x'>\
             <other xmlns='urn:other'/></command></iq>",
        );
        assert_eq!(read.form, None);
    }
}
