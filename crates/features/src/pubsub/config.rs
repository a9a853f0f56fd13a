//! XEP-0060, 8.2 and 16.4.4: how a node is configured.
//!
//! A configuration is read from a form, shown as one, and kept as lines of `name=value`. What is not
//! written has the value of [`Config::BASE`], so that never changes.

use whoelse_core::kit::command::Values;
use whoelse_xmpp::{Condition, StanzaError, ns};

use super::access::{AccessModel, Models, PublishModel};
use super::refusal::{because, not_acceptable, precondition_not_met};
use crate::words::words;

words! {
    /// When somebody is told the last item without asking.
    SendLast {
        Never = "never",
        OnSubscription = "on_sub",
        OnPresence = "on_sub_and_presence",
    }
}

words! {
    /// 7.1.2.5: what is done when a node has as many items as it is to have.
    WhenFull {
        RetractOldest = "retract-oldest",
        DiscardOldest = "discard-oldest",
        Reject = "reject",
    }
}

words! {
    /// To whom one answers about an item: its publisher is told to the subscribers, or not.
    ItemReply {
        Owner = "owner",
        Publisher = "publisher",
    }
}

words! {
    /// The type of the messages.
    NotificationType {
        Normal = "normal",
        Headline = "headline",
    }
}

/// How many items a node keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxItems {
    /// So many; the oldest give way.
    Number(u32),
    /// As many as the server lets it: then no more are taken, so nothing is lost.
    Max,
}

/// The configuration of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub access_model: AccessModel,
    pub publish_model: PublishModel,
    pub roster_groups_allowed: Vec<String>,
    pub persist_items: bool,
    pub max_items: MaxItems,
    pub when_full: WhenFull,
    pub send_last: SendLast,
    pub deliver_notifications: bool,
    pub deliver_payloads: bool,
    pub notify_config: bool,
    pub notify_delete: bool,
    pub notify_retract: bool,
    pub notification_type: NotificationType,
    pub item_reply: ItemReply,
    pub subscribe: bool,
    pub title: String,
    pub description: String,
    pub type_: String,
    pub language: String,
}

/// The nodes of an account that nobody else sees, whoever makes them: bookmarks hold passwords of
/// rooms, and what was read when is nobody's business (XEP-0402, XEP-0048, XEP-0490).
const PRIVATE: [&str; 3] = [ns::BOOKMARKS, ns::BOOKMARKS_LIST, ns::MDS_DISPLAYED];

impl Config {
    /// How a node of an account begins (XEP-0163, 5).
    const BASE: Config = Config {
        access_model: AccessModel::Presence,
        publish_model: PublishModel::Publishers,
        roster_groups_allowed: Vec::new(),
        persist_items: true,
        max_items: MaxItems::Number(1),
        when_full: WhenFull::RetractOldest,
        send_last: SendLast::OnPresence,
        deliver_notifications: true,
        deliver_payloads: true,
        notify_config: false,
        notify_delete: true,
        notify_retract: true,
        notification_type: NotificationType::Headline,
        item_reply: ItemReply::Owner,
        subscribe: true,
        title: String::new(),
        description: String::new(),
        type_: String::new(),
        language: String::new(),
    };

    /// Returns the configuration with which a node of an account begins.
    pub fn of_account(node: &str) -> Config {
        match PRIVATE.contains(&node) {
            true => Config {
                access_model: AccessModel::Whitelist,
                max_items: MaxItems::Max,
                send_last: SendLast::Never,
                ..Config::BASE
            },
            false => Config::BASE,
        }
    }

    /// Returns the configuration with which a node of the service begins.
    pub fn of_service() -> Config {
        Config {
            access_model: AccessModel::Open,
            max_items: MaxItems::Max,
            send_last: SendLast::OnSubscription,
            ..Config::BASE
        }
    }

    /// The models of the node.
    pub fn models(&self) -> Models {
        Models { access: self.access_model, publish: self.publish_model }
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

    /// Returns what a node keeps of its configuration.
    pub fn written(&self) -> Vec<u8> {
        let mut text = String::new();
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

    /// Changes what a submitted form changes; what it does not name stays (XEP-0004, 3.2), and what
    /// nobody knows is ignored. `not-acceptable` names a field whose value cannot be.
    pub fn change(&mut self, form: &Values) -> Result<(), StanzaError> {
        for (var, values) in &form.0 {
            match (field(var), fixed(var)) {
                (Some(field), _) => {
                    (field.set)(self, values).map_err(|Unfit| unfit(var))?;
                    if (field.get)(self).iter().any(|value| value.contains(['\n', '\r'])) {
                        return Err(unfit(var));
                    }
                }
                (None, Some(only)) if !only.is(values) => return Err(unfit(var)),
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// 7.1.5: checks what a publisher takes for granted of a node that is there.
    pub fn meets(&self, options: &Values) -> Result<(), StanzaError> {
        let mut wanted = self.clone();
        known(options)?;
        wanted.change(options).map_err(|_| precondition_not_met())?;
        match wanted == *self {
            true => Ok(()),
            false => Err(precondition_not_met()),
        }
    }

    /// 7.1.5: configures a node that is made by a publication as its publisher wants it.
    pub fn begin_with(&mut self, options: &Values) -> Result<(), StanzaError> {
        known(options)?;
        self.change(options)
    }
}

/// 7.1.5: a field of which nobody knows what it asks for fails.
fn known(options: &Values) -> Result<(), StanzaError> {
    let unknown =
        |var: &str| var != crate::form::FORM_TYPE && field(var).is_none() && fixed(var).is_none();
    match options.0.iter().any(|(var, _)| unknown(var)) {
        true => Err(precondition_not_met()),
        false => Ok(()),
    }
}

fn unfit(var: &str) -> StanzaError {
    if var == "pubsub#access_model" {
        return unsupported_access_model();
    }
    not_acceptable(format!("the value of `{var}` is not possible here"))
}

/// 8.1.2: nobody's nodes have this access model, or not this owner's.
pub(super) fn unsupported_access_model() -> StanzaError {
    because(Condition::NotAcceptable, "unsupported-access-model")
}

/// A value that a field cannot have.
pub(super) struct Unfit;

/// How a field is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Yes or no.
    Boolean,
    /// One of these words.
    OneOf(fn() -> Vec<&'static str>),
    /// A line.
    Line,
    /// Several lines.
    Lines,
}

/// One value of a configuration, by its name without `pubsub#`.
pub(super) struct Field {
    pub name: &'static str,
    /// What a person reads beside it.
    pub label: &'static str,
    pub kind: Kind,
    pub get: fn(&Config) -> Vec<String>,
    set: fn(&mut Config, &[String]) -> Result<(), Unfit>,
}

impl Field {
    /// The value in a line of what is kept, if it is this field's.
    fn value_of<'a>(&self, line: &'a str) -> Option<&'a str> {
        line.strip_prefix(self.name)?.strip_prefix('=')
    }
}

/// What precedes the names in a form.
pub(super) const PREFIX: &str = "pubsub#";

fn field(var: &str) -> Option<&'static Field> {
    let name = var.strip_prefix(PREFIX)?;
    FIELDS.iter().find(|field| field.name == name)
}

fn fixed(var: &str) -> Option<&'static Only> {
    let name = var.strip_prefix(PREFIX)?;
    FIXED.iter().find(|only| only.name == name)
}

/// A field that has one value here: whoever asks for another is told that it cannot be.
struct Only {
    name: &'static str,
    value: &'static str,
}

impl Only {
    fn is(&self, values: &[String]) -> bool {
        let [value] = values else { return values.is_empty() };
        match boolean(values) {
            Ok(value) => self.value == word(value),
            Err(Unfit) => value == self.value,
        }
    }
}

const FIXED: &[Only] = &[
    Only { name: "node_type", value: "leaf" },
    Only { name: "item_expire", value: "max" },
    Only { name: "presence_based_delivery", value: "false" },
    Only { name: "purge_offline", value: "false" },
    Only { name: "tempsub", value: "false" },
];

fn word(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn boolean(values: &[String]) -> Result<bool, Unfit> {
    match one(values)?.as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Unfit),
    }
}

fn one(values: &[String]) -> Result<&String, Unfit> {
    match values {
        [value] => Ok(value),
        _ => Err(Unfit),
    }
}

fn line(values: &[String]) -> Result<String, Unfit> {
    match values {
        [] => Ok(String::new()),
        [value] if value.len() <= LONGEST_LINE => Ok(value.clone()),
        _ => Err(Unfit),
    }
}

/// The longest title or description, in bytes: it goes into every list of the owner's nodes.
const LONGEST_LINE: usize = 1_000;
/// The most groups of a roster that a node can name.
const MOST_GROUPS: usize = 50;

/// Declares a field that is one of some words.
macro_rules! one_of {
    ($name:literal, $label:literal, $field:ident: $type:ident) => {
        Field {
            name: $name,
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

/// Declares a field that is yes or no.
macro_rules! yes_or_no {
    ($name:ident, $label:literal) => {
        Field {
            name: stringify!($name),
            label: $label,
            kind: Kind::Boolean,
            get: |config| vec![word(config.$name).to_owned()],
            set: |config, values| {
                config.$name = boolean(values)?;
                Ok(())
            },
        }
    };
}

/// Declares a field that is a line of text, which may be empty.
macro_rules! text {
    ($name:literal, $label:literal, $field:ident) => {
        Field {
            name: $name,
            label: $label,
            kind: Kind::Line,
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

/// All fields, in the order in which they are shown.
pub(super) const FIELDS: &[Field] = &[
    text!("title", "A name for the node", title),
    text!("description", "What the node is about", description),
    text!("type", "The kind of its items, as a namespace", type_),
    text!("language", "The language of its items", language),
    one_of!("access_model", "Who may subscribe and read items", access_model: AccessModel),
    Field {
        name: "roster_groups_allowed",
        label: "The groups of the owner's roster that may subscribe and read items",
        kind: Kind::Lines,
        get: |config| config.roster_groups_allowed.clone(),
        set: |config, values| {
            let too_long = values.iter().any(|value| value.len() > LONGEST_LINE);
            if values.len() > MOST_GROUPS || too_long {
                return Err(Unfit);
            }
            config.roster_groups_allowed = values.to_vec();
            Ok(())
        },
    },
    one_of!("publish_model", "Who may publish besides owners and publishers", publish_model: PublishModel),
    yes_or_no!(persist_items, "Keep items"),
    Field {
        name: "max_items",
        label: "The most items that are kept; `max` for as many as the server allows",
        kind: Kind::Line,
        get: |config| {
            vec![match config.max_items {
                MaxItems::Max => "max".to_owned(),
                MaxItems::Number(number) => number.to_string(),
            }]
        },
        set: |config, values| {
            config.max_items = match one(values)?.as_str() {
                "max" => MaxItems::Max,
                number => MaxItems::Number(number.parse().ok().filter(|it| *it > 0).ok_or(Unfit)?),
            };
            Ok(())
        },
    },
    one_of!("publish_node_full", "What to do when there are as many", when_full: WhenFull),
    one_of!("send_last_published_item", "When to send the last item", send_last: SendLast),
    yes_or_no!(deliver_notifications, "Tell of what happens"),
    yes_or_no!(deliver_payloads, "Tell items with their content"),
    yes_or_no!(notify_config, "Tell of a new configuration"),
    yes_or_no!(notify_delete, "Tell when the node is deleted"),
    yes_or_no!(notify_retract, "Tell when items are removed"),
    one_of!("notification_type", "The type of the messages", notification_type: NotificationType),
    one_of!("itemreply", "To whom answers go; the publisher is told with an item", item_reply: ItemReply),
    yes_or_no!(subscribe, "Let people subscribe"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Values {
        let field = |(name, value): &(&str, &str)| {
            (format!("{PREFIX}{name}"), value.split('|').map(str::to_owned).collect())
        };
        Values(fields.iter().map(field).collect())
    }

    #[test]
    fn a_configuration_is_read_as_it_was_written() {
        let mut config = Config::of_account("x");
        assert!(config.written().is_empty());
        let changes = form(&[
            ("title", "a=b & c"),
            ("access_model", "roster"),
            ("roster_groups_allowed", "Friends|Family"),
            ("publish_model", "open"),
            ("persist_items", "0"),
            ("max_items", "max"),
            ("publish_node_full", "reject"),
            ("send_last_published_item", "never"),
            ("deliver_notifications", "false"),
            ("notify_config", "1"),
            ("notification_type", "normal"),
            ("itemreply", "publisher"),
            ("subscribe", "0"),
        ]);

        config.change(&changes).unwrap();

        assert_eq!(Config::read(&config.written()), config);
        assert_eq!(config.roster_groups_allowed, ["Friends", "Family"]);
        assert_eq!(config.max_items, MaxItems::Max);
        assert!(!config.persist_items && config.notify_config && config.deliver_payloads);
        let bookmarks = Config::of_account("storage:bookmarks");
        assert_eq!(Config::read(&bookmarks.written()), bookmarks);
        assert_eq!(Config::read(b"nonsense\nmax_items=none\n"), Config::BASE);
    }

    #[test]
    fn what_only_its_owner_needs_is_shown_to_nobody_whoever_makes_it() {
        for node in PRIVATE {
            let config = Config::of_account(node);
            assert_eq!(config.access_model, AccessModel::Whitelist, "{node}");
            assert_eq!((config.max_items, config.send_last), (MaxItems::Max, SendLast::Never));
        }
        let other = Config::of_account("urn:xmpp:avatar:metadata");
        assert_eq!(other.access_model, AccessModel::Presence);
        assert_eq!(Config::of_service().access_model, AccessModel::Open);
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_and_an_unknown_field_ignored() {
        for (name, value) in [
            ("access_model", "everybody"),
            ("access_model", "open|presence"),
            ("max_items", "0"),
            ("max_items", "-1"),
            ("max_items", "many"),
            ("persist_items", "yes"),
            ("title", "two\nlines"),
            ("roster_groups_allowed", "a\nb"),
            ("title", &"x".repeat(LONGEST_LINE + 1)),
            ("node_type", "collection"),
            ("item_expire", "60"),
            ("tempsub", "1"),
        ] {
            let mut config = Config::BASE;
            let refused = config.change(&form(&[(name, value)])).unwrap_err();
            assert_eq!(refused.condition, Condition::NotAcceptable, "{name} {value}");
        }
        for (name, value) in [
            ("title", &*"x".repeat(LONGEST_LINE)),
            ("node_type", "leaf"),
            ("tempsub", "0"),
            ("collection", "blogs"),
        ] {
            let mut config = Config::BASE;
            assert!(config.change(&form(&[(name, value)])).is_ok(), "{name} {value}");
        }
        let groups = |count| form(&[("roster_groups_allowed", &vec!["g"; count].join("|"))]);
        assert!(Config::BASE.clone().change(&groups(MOST_GROUPS)).is_ok());
        assert!(Config::BASE.clone().change(&groups(MOST_GROUPS + 1)).is_err());
    }

    #[test]
    fn every_precondition_is_met_or_the_publication_fails() {
        let config = Config::of_account("urn:xmpp:bookmarks:1");
        for (options, met) in [
            (form(&[]), true),
            (form(&[("persist_items", "1"), ("access_model", "whitelist")]), true),
            (form(&[("persist_items", "true"), ("max_items", "max")]), true),
            (form(&[("item_expire", "max")]), true),
            (form(&[("access_model", "open")]), false),
            (form(&[("access_model", "nonsense")]), false),
            (form(&[("max_items", "10")]), false),
            (form(&[("item_expire", "60")]), false),
            (form(&[("nobody_knows", "this")]), false),
            (Values(vec![("FORM_TYPE".to_owned(), vec!["x".to_owned()])]), true),
            (Values(vec![("access_model".to_owned(), vec!["whitelist".to_owned()])]), false),
        ] {
            assert_eq!(config.meets(&options).is_ok(), met, "{options:?}");
        }
        let refused = config.meets(&form(&[("access_model", "open")])).unwrap_err();
        assert_eq!(refused, precondition_not_met());
    }

    #[test]
    fn a_node_begins_as_its_first_publisher_wants_it() {
        let mut config = Config::of_account("urn:xmpp:avatar:data");
        config.begin_with(&form(&[("access_model", "open")])).unwrap();
        assert_eq!(config.access_model, AccessModel::Open);
        assert_eq!(config.max_items, MaxItems::Number(1));
        assert!(config.begin_with(&form(&[("nobody_knows", "this")])).is_err());
        assert!(config.begin_with(&form(&[("max_items", "none")])).is_err());
    }
}
