//! XEP-0045, 10.1.3 and 15.5.3: how a room is configured.
//!
//! A configuration is read from a form, shown as one, and kept as lines of `name=value`. What is not
//! written has the value of [`Config::BASE`], so that never changes.

use whoelse_core::kit::command::Values;
use whoelse_store::RoomConfig;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, StanzaError, ns};

use super::affiliation::Role;
use crate::form::{begun, field};
use crate::words::words;

words! {
    /// Who sees the real address behind a nickname.
    Whois {
        Moderators = "moderators",
        Anyone = "anyone",
    }
}

words! {
    /// Who may write to one occupant alone.
    PrivateMessages {
        Anyone = "anyone",
        Participants = "participants",
        Moderators = "moderators",
        Nobody = "none",
    }
}

/// The configuration of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub name: String,
    pub description: String,
    pub language: String,
    /// Whether strangers find it.
    pub public: bool,
    /// Whether it stays when nobody is in it.
    pub persistent: bool,
    pub members_only: bool,
    /// Whether those who are nothing enter without a voice.
    pub moderated: bool,
    /// What one has to know to enter; empty: nothing.
    pub password: String,
    pub whois: Whois,
    pub private_messages: PrivateMessages,
    /// Whether those who speak also say what the subject is.
    pub change_subject: bool,
    /// Whether those who are no moderators invite others.
    pub invites: bool,
    /// The roles of whose occupants others are told that they are there.
    pub broadcast: Vec<Role>,
    /// The most occupants; `None`: as many as the server lets in.
    pub most_occupants: Option<u32>,
    /// Whether what is said is kept in the room's archive, where the server keeps history.
    pub logging: bool,
    /// The most messages that somebody who enters is sent of what was said before.
    pub history: u32,
}

/// The longest name, password or other line, in bytes: a name goes into every list of rooms.
const LONGEST_LINE: usize = 500;
/// The most messages of history that can be asked for; no more are in memory.
pub(super) const MOST_HISTORY: u32 = 20;

impl Config {
    /// How a room begins that somebody makes by entering it.
    pub const BASE: Config = Config {
        name: String::new(),
        description: String::new(),
        language: String::new(),
        public: false,
        persistent: false,
        members_only: false,
        moderated: false,
        password: String::new(),
        whois: Whois::Moderators,
        private_messages: PrivateMessages::Anyone,
        change_subject: false,
        invites: true,
        broadcast: Vec::new(),
        most_occupants: None,
        logging: true,
        history: MOST_HISTORY,
    };

    /// Whether it is told that somebody of this role is there. Without a word about it, of everybody.
    pub fn tells_of(&self, role: Role) -> bool {
        self.broadcast.is_empty() || self.broadcast.contains(&role)
    }

    /// Whether by this instead of another one, many may be told of many: who comes into sight, goes out of
    /// it, or has to leave.
    pub fn shows_otherwise(&self, other: &Config) -> bool {
        self.broadcast != other.broadcast || self.members_only && !other.members_only
    }

    /// Whether everybody sees the real addresses.
    pub fn is_non_anonymous(&self) -> bool {
        self.whois == Whois::Anyone
    }

    /// Reads what [`Config::written`] has written. What cannot be read, which nobody has written, is
    /// as it began.
    pub fn read(written: &[u8]) -> Config {
        let text = std::str::from_utf8(written).unwrap_or_default();
        let mut config = Config::BASE;
        for field in FIELDS {
            let values: Vec<String> =
                text.lines().filter_map(|line| field.value_of(line)).map(str::to_owned).collect();
            if !values.is_empty() {
                let _ = (field.set)(&mut config, &values);
            }
        }
        config
    }

    /// Returns what a room keeps of its configuration. It is not empty: a room that keeps nothing was
    /// never configured ([`is_written`]).
    pub fn written(&self) -> Vec<u8> {
        let mut text = "configured=1\n".to_owned();
        for field in FIELDS {
            let values = (field.get)(self);
            if values != (field.get)(&Config::BASE) {
                for value in values {
                    text.extend([field.name, "=", value.as_str(), "\n"]);
                }
            }
        }
        text.into_bytes()
    }

    /// What the store has of a room that is configured so, of which `written` is all.
    pub fn stored<'a>(&'a self, written: &'a [u8]) -> RoomConfig<'a> {
        let (persistent, listed, title) = (self.persistent, self.public, self.name.as_str());
        RoomConfig { persistent, listed, title, bytes: written }
    }

    /// Changes what a submitted form changes; what it does not name stays (XEP-0004, 3.2), and what
    /// nobody knows is ignored. `not-acceptable` names a field whose value cannot be (10.1.3).
    pub fn change(&mut self, form: &Values) -> Result<(), StanzaError> {
        for (var, values) in &form.0 {
            if let Some(field) = FIELDS.iter().find(|field| field.var == var) {
                (field.set)(self, values).map_err(|Unfit| unfit(var))?;
            }
        }
        // A room that asks for a password and has none would let everybody in.
        let asks = form.all("muc#roomconfig_passwordprotectedroom");
        match asks.first().map(String::as_str) {
            Some("1" | "true") if self.password.is_empty() => {
                Err(unfit("muc#roomconfig_roomsecret"))
            }
            Some("0" | "false") => {
                self.password.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Its names and values, for an operator: of a password, only whether there is one.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let value = |field: &Field| match field.kind {
            Kind::Password => if self.password.is_empty() { "no" } else { "yes" }.to_owned(),
            Kind::Boolean => match (field.get)(self).first().map(String::as_str) {
                Some("1") => "yes".to_owned(),
                _ => "no".to_owned(),
            },
            _ => (field.get)(self).join(" "),
        };
        FIELDS.iter().map(|field| (field.name, value(field))).collect()
    }

    /// The form to fill in, with what is so now.
    pub fn form(&self, title: &str) -> Element {
        let form = begun("form", Some(title), Some(ns::MUC_CONFIG));
        FIELDS.iter().fold(form, |form, field| {
            let form = form.child(field.shown(self));
            match field.name {
                // Old clients show the password only beside this.
                "moderated" => form.child(asks_for_password(self)),
                _ => form,
            }
        })
    }
}

/// Whether this was written by [`Config::written`]: its room was configured.
pub(super) fn is_written(config: &[u8]) -> bool {
    !config.is_empty()
}

fn asks_for_password(config: &Config) -> Element {
    let var = "muc#roomconfig_passwordprotectedroom";
    field(var, "boolean", "A password is needed to enter", word(!config.password.is_empty()))
}

fn unfit(var: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable)
        .with_text(format!("the value of `{var}` is not possible here"))
}

/// A value that a field cannot have.
struct Unfit;

/// How a field is shown.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Boolean,
    /// One of these words.
    OneOf(fn() -> Vec<&'static str>),
    /// Some of these words.
    SomeOf(fn() -> Vec<&'static str>),
    Line,
    Password,
}

/// One value of a configuration.
struct Field {
    /// Its name where it is kept.
    name: &'static str,
    /// Its name in the form.
    var: &'static str,
    /// What a person reads beside it.
    label: &'static str,
    kind: Kind,
    get: fn(&Config) -> Vec<String>,
    set: fn(&mut Config, &[String]) -> Result<(), Unfit>,
}

impl Field {
    /// The value in a line of what is kept, if it is this field's.
    fn value_of<'a>(&self, line: &'a str) -> Option<&'a str> {
        line.strip_prefix(self.name)?.strip_prefix('=')
    }

    fn shown(&self, config: &Config) -> Element {
        let (type_, options) = match self.kind {
            Kind::Boolean => ("boolean", Vec::new()),
            Kind::OneOf(words) => ("list-single", words()),
            Kind::SomeOf(words) => ("list-multi", words()),
            Kind::Line => ("text-single", Vec::new()),
            Kind::Password => ("text-private", Vec::new()),
        };
        let element = Element::new("field")
            .attr("var", self.var)
            .attr("type", type_)
            .attr("label", self.label);
        let values = (self.get)(config);
        let element =
            values.iter().fold(element, |element, value| element.text_child("value", value));
        options.iter().fold(element, |element, word| {
            element.child(Element::new("option").attr("label", word).text_child("value", word))
        })
    }
}

fn word(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}

fn boolean(values: &[String]) -> Result<bool, Unfit> {
    match one(values)? {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Unfit),
    }
}

fn one(values: &[String]) -> Result<&str, Unfit> {
    match values {
        [value] => Ok(value),
        _ => Err(Unfit),
    }
}

/// A line of text, which may be empty. What stands in several lines becomes one.
fn line(values: &[String]) -> Result<String, Unfit> {
    let whole = values.join(" ");
    let whole = whole.split(['\n', '\r']).filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let line = whole.join(" ");
    if line.len() <= LONGEST_LINE { Ok(line) } else { Err(Unfit) }
}

/// Declares a field that is yes or no.
macro_rules! yes_or_no {
    ($name:literal, $var:literal, $label:literal, $field:ident) => {
        Field {
            name: $name,
            var: $var,
            label: $label,
            kind: Kind::Boolean,
            get: |config| vec![word(config.$field).to_owned()],
            set: |config, values| {
                config.$field = boolean(values)?;
                Ok(())
            },
        }
    };
}

/// Declares a field that is a line of text, which may be empty.
macro_rules! text {
    ($name:literal, $var:literal, $label:literal, $kind:ident, $field:ident) => {
        Field {
            name: $name,
            var: $var,
            label: $label,
            kind: Kind::$kind,
            get: |config| match config.$field.is_empty() {
                true => Vec::new(),
                false => vec![config.$field.clone()],
            },
            set: |config, values| {
                config.$field = line(values)?;
                Ok(())
            },
        }
    };
}

/// Declares a field that is one of some words.
macro_rules! one_of {
    ($name:literal, $var:literal, $label:literal, $field:ident: $type:ident) => {
        Field {
            name: $name,
            var: $var,
            label: $label,
            kind: Kind::OneOf(|| $type::ALL.iter().map(|it| it.word()).collect()),
            get: |config| vec![config.$field.word().to_owned()],
            set: |config, values| {
                config.$field = $type::of(one(values)?).ok_or(Unfit)?;
                Ok(())
            },
        }
    };
}

/// The roles of which others can be told.
const TOLD: [Role; 3] = [Role::Moderator, Role::Participant, Role::Visitor];

/// All fields, in the order in which they are shown.
const FIELDS: &[Field] = &[
    text!("name", "muc#roomconfig_roomname", "The name of the room", Line, name),
    text!("description", "muc#roomconfig_roomdesc", "What it is about", Line, description),
    text!("language", "muc#roomconfig_lang", "The language that is spoken", Line, language),
    yes_or_no!("public", "muc#roomconfig_publicroom", "Strangers find it", public),
    yes_or_no!(
        "persistent",
        "muc#roomconfig_persistentroom",
        "It stays when nobody is in it",
        persistent
    ),
    yes_or_no!(
        "members_only",
        "muc#roomconfig_membersonly",
        "Only members may enter",
        members_only
    ),
    yes_or_no!(
        "moderated",
        "muc#roomconfig_moderatedroom",
        "Whoever is no member has to be given a voice",
        moderated
    ),
    text!("password", "muc#roomconfig_roomsecret", "The password", Password, password),
    one_of!("whois", "muc#roomconfig_whois", "Who sees the real addresses", whois: Whois),
    one_of!(
        "private_messages",
        "muc#roomconfig_allowpm",
        "Who may write to one occupant alone",
        private_messages: PrivateMessages
    ),
    yes_or_no!(
        "change_subject",
        "muc#roomconfig_changesubject",
        "Whoever may speak may change the subject",
        change_subject
    ),
    yes_or_no!(
        "invites",
        "muc#roomconfig_allowinvites",
        "Whoever is in it may invite others",
        invites
    ),
    Field {
        name: "broadcast",
        var: "muc#roomconfig_presencebroadcast",
        label: "Of whom others are told that they are there",
        kind: Kind::SomeOf(|| TOLD.iter().map(|role| role.word()).collect()),
        get: |config| {
            let told = TOLD.iter().filter(|role| config.tells_of(**role));
            told.map(|role| role.word().to_owned()).collect()
        },
        set: |config, values| {
            let roles = values.iter().map(|word| Role::of(word).filter(|role| TOLD.contains(role)));
            let roles: Vec<Role> = roles.collect::<Option<_>>().ok_or(Unfit)?;
            // A room of which nobody hears who is there would say so of nobody.
            if roles.is_empty() {
                return Err(Unfit);
            }
            let all = TOLD.iter().all(|role| roles.contains(role));
            config.broadcast = if all { Vec::new() } else { roles };
            Ok(())
        },
    },
    Field {
        name: "most_occupants",
        var: "muc#roomconfig_maxusers",
        label: "The most occupants, or `none`",
        kind: Kind::Line,
        get: |config| {
            vec![config.most_occupants.map_or("none".to_owned(), |most| most.to_string())]
        },
        set: |config, values| {
            config.most_occupants = match one(values)? {
                "" | "none" => None,
                most => Some(most.parse().ok().filter(|most| *most > 0).ok_or(Unfit)?),
            };
            Ok(())
        },
    },
    yes_or_no!(
        "logging",
        "muc#roomconfig_enablelogging",
        "What is said is kept, to be read again",
        logging
    ),
    Field {
        name: "history",
        var: "muc#maxhistoryfetch",
        label: "The most messages of what was said before that whoever enters is sent",
        kind: Kind::Line,
        get: |config| vec![config.history.to_string()],
        set: |config, values| {
            let most: u32 = one(values)?.parse().map_err(|_| Unfit)?;
            config.history = most.min(MOST_HISTORY);
            Ok(())
        },
    },
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn values(fields: &[(&str, &[&str])]) -> Values {
        let owned = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect();
        Values(fields.iter().map(|(var, values)| ((*var).to_owned(), owned(values))).collect())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let config = Config {
            name: "Lunch = at 12".into(),
            password: "open sesame".into(),
            whois: Whois::Anyone,
            broadcast: vec![Role::Moderator, Role::Participant],
            most_occupants: Some(7),
            public: true,
            history: 3,
            ..Config::BASE
        };

        assert_eq!(Config::read(&config.written()), config);
        assert!(is_written(&Config::BASE.written()) && !is_written(b""));
        assert_eq!(Config::read(b"nobody knows=this\n\xff"), Config::BASE);
    }

    #[test]
    fn a_form_changes_what_it_names_and_what_nobody_knows_is_ignored() {
        let mut config = Config { public: true, ..Config::BASE };

        config
            .change(&values(&[
                ("FORM_TYPE", &[ns::MUC_CONFIG]),
                ("muc#roomconfig_roomname", &["Lunch\nat 12"]),
                ("muc#roomconfig_membersonly", &["true"]),
                ("muc#roomconfig_presencebroadcast", &["moderator", "participant", "visitor"]),
                ("muc#roomconfig_color", &["blue"]),
            ]))
            .unwrap();

        let expected =
            Config { name: "Lunch at 12".into(), public: true, members_only: true, ..Config::BASE };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_by_its_name() {
        for (var, value) in [
            ("muc#roomconfig_membersonly", &["maybe"][..]),
            ("muc#roomconfig_membersonly", &[]),
            ("muc#roomconfig_whois", &["none"]),
            ("muc#roomconfig_allowpm", &["everybody"]),
            ("muc#roomconfig_maxusers", &["0"]),
            ("muc#roomconfig_presencebroadcast", &["none"]),
            ("muc#roomconfig_presencebroadcast", &[]),
            ("muc#maxhistoryfetch", &["many"]),
            ("muc#roomconfig_roomname", &[&"x".repeat(501)]),
        ] {
            let refused = Config::BASE.clone().change(&values(&[(var, value)])).unwrap_err();
            assert_eq!(refused.condition, Condition::NotAcceptable);
            assert!(refused.text.unwrap().contains(var), "{var}");
        }
    }

    #[test]
    fn a_room_that_asks_for_a_password_has_one() {
        let asks = |yes: &str, password: &[&str]| {
            let mut config = Config { password: "old".into(), ..Config::BASE };
            let changed = config.change(&values(&[
                ("muc#roomconfig_passwordprotectedroom", &[yes]),
                ("muc#roomconfig_roomsecret", password),
            ]));
            changed.map(|()| config.password)
        };

        assert_eq!(asks("1", &["new"]).unwrap(), "new");
        assert!(asks("1", &[""]).is_err());
        assert_eq!(asks("0", &["new"]).unwrap(), "");
    }
}
