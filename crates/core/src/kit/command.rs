//! XEP-0050, ad-hoc commands as features declare them: a node, a name, a form and a function.

use whoelse_xmpp::StanzaError;

use super::{BoxFuture, SessionCx};

/// A command that any client can run. Declared as `COMMAND` in the file of its feature.
pub struct Command {
    /// The node, unique on this server.
    pub node: &'static str,
    /// What a client shows in its list of commands.
    pub name: &'static str,
    /// Who may see and run it.
    pub right: Right,
    /// The fields of its form: none if it runs at once.
    pub fields: &'static [Field],
    /// Runs it with the values of its fields.
    pub run: fn(SessionCx, Values) -> BoxFuture<'static, Result<CommandDone, StanzaError>>,
}

/// Who may run a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Everybody.
    Everybody,
    /// Administrators, to look at something.
    Look,
    /// Administrators, to change something: this is written to the audit log.
    Change,
}

impl Right {
    /// Whether it is for administrators alone.
    pub fn is_an_administrators(self) -> bool {
        self != Right::Everybody
    }
}

/// One field of a command's form.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in the form.
    pub var: &'static str,
    /// What a person reads beside it.
    pub label: &'static str,
    /// How it is shown and checked (XEP-0004, 3.3).
    pub kind: FieldKind,
    /// Whether the command refuses to run without it.
    pub required: bool,
}

/// The types of XEP-0004 that our commands use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// One line.
    TextSingle,
    /// One line that is not shown as it is typed.
    TextPrivate,
    /// Several lines.
    TextMulti,
    /// One address (JID).
    JidSingle,
    /// Several addresses (JIDs).
    JidMulti,
    /// One of these: the label that a person reads, and the value.
    ListSingle(&'static [(&'static str, &'static str)]),
    /// A value that is not shown, and is sent back as it is.
    Hidden,
}

/// The submitted form: each variable with its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(pub Vec<(String, Vec<String>)>);

impl Values {
    /// The first value of a variable; an empty one counts as absent.
    pub fn get(&self, var: &str) -> Option<&str> {
        self.all(var).first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of a variable.
    pub fn all(&self, var: &str) -> &[String] {
        self.0.iter().find(|(name, _)| name == var).map_or(&[], |(_, values)| values)
    }

    /// The first value of a required field, or `bad-request` that names the field.
    pub fn need(&self, var: &str) -> Result<&str, StanzaError> {
        self.get(var).ok_or_else(|| {
            StanzaError::new(whoelse_xmpp::Condition::BadRequest)
                .with_text(format!("the field `{var}` is missing"))
        })
    }
}

/// How a command ended.
#[derive(Debug, Clone, Default)]
pub struct CommandDone {
    /// A line for a person.
    pub note: Option<CommandNote>,
    /// Fields of a result form.
    pub fields: Vec<(&'static str, FieldKind, Vec<String>)>,
    /// Rows of a result form (XEP-0004, 3.4): the columns, then a value for each.
    pub table: Option<Table>,
}

/// A result of many rows.
#[derive(Debug, Clone)]
pub struct Table {
    /// Variable and label of each column.
    pub columns: &'static [(&'static str, &'static str)],
    /// One value per column.
    pub rows: Vec<Vec<String>>,
}

/// The type of a note (XEP-0050, 4.3): how grave it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandNote {
    /// For information.
    Info(String),
    /// Something did not go as wished.
    Warn(String),
}

impl CommandDone {
    /// Returns a completed command with a line for a person.
    pub fn info(text: impl Into<String>) -> CommandDone {
        CommandDone { note: Some(CommandNote::Info(text.into())), ..CommandDone::default() }
    }

    /// Returns a completed command with a warning.
    pub fn warn(text: impl Into<String>) -> CommandDone {
        CommandDone { note: Some(CommandNote::Warn(text.into())), ..CommandDone::default() }
    }

    /// Returns a completed command with one field in a result form.
    pub fn field(var: &'static str, kind: FieldKind, values: Vec<String>) -> CommandDone {
        CommandDone { fields: vec![(var, kind, values)], ..CommandDone::default() }
    }
}
