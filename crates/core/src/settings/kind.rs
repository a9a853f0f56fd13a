//! The kinds of settings: how a value is read from a file, its bounds, and how it is shown to the
//! person who wrote it. The words are those of the file, never those of a library.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::label::{Label, NotALabel};
use super::units::{SIZES, TIMES, read_scaled, say_scaled};

/// A value as it was written, whatever the format of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A whole number.
    Number(i128),
    /// A text in quotes.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// A list.
    List(Vec<Written>),
    /// A value that no setting can be, in words: "a table".
    Other(&'static str),
}

/// The most characters of a value that an error message repeats.
const REPEATED: usize = 60;

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => format!("\"{text}\""),
            Written::Flag(flag) => flag.to_string(),
            Written::List(list) => {
                let items: Vec<String> = list.iter().map(Written::to_string).collect();
                format!("[{}]", items.join(", "))
            }
            Written::Other(what) => (*what).to_owned(),
        };
        match text.char_indices().nth(REPEATED) {
            Some((end, _)) => write!(f, "{}…", text.get(..end).unwrap_or_default()),
            None => f.write_str(&text),
        }
    }
}

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is of another kind; the setting says which kind it must be.
    Kind,
    /// It is of the right kind; this sentence says what is wrong with it.
    Because(String),
}

/// The kind of a setting: which values it takes, and when a change takes effect.
#[derive(Debug, Clone, Copy)]
pub struct About {
    what: What,
    /// An example value as a file has it, for operators who do not know how to write one.
    pub like: &'static str,
    least: u64,
    most: u64,
    /// Whether a change takes effect only at the next start, because it is used there.
    pub at_start: bool,
    /// Names that the setting had in older versions; they are still read.
    pub older: &'static [&'static str],
    refuses: &'static [(&'static str, &'static str)],
}

/// The form of a value.
#[derive(Debug, Clone, Copy)]
enum What {
    Number,
    Size,
    Duration,
    DurationOrOff,
    Choice(fn() -> Vec<&'static str>),
    /// Anything that these words describe.
    Said(&'static str),
    /// A path, relative to the folder of the file.
    Path,
    /// A list of what these words describe.
    List(&'static str),
}

impl About {
    /// Says what a value must be, to follow "must be".
    pub fn expected(&self) -> String {
        let like = self.like;
        match self.what {
            What::Number => format!("a whole number{}", self.range("")),
            What::Size => format!("a size{}, like {like} or a number of bytes", self.range(" of")),
            What::Duration => {
                format!("a duration{}, like {like} or a number of seconds", self.range(" of"))
            }
            What::DurationOrOff => format!("a duration like {like}, or \"off\""),
            What::Choice(names) => {
                let names: Vec<String> = names().iter().map(|name| format!("\"{name}\"")).collect();
                names.join(" or ")
            }
            What::Said(words) if like.is_empty() => words.to_owned(),
            What::Said(words) => format!("{words}, like {like}"),
            What::Path => format!("a path in quotes, like {like}"),
            What::List(words) => format!("a list of {words}, like {like}"),
        }
    }

    /// Says which values it takes, in as few words as a table has room for.
    pub fn in_short(&self) -> String {
        match self.what {
            What::Number | What::Size | What::Duration => match self.is_bounded_above() {
                true => format!("{} to {}", self.say(self.least), self.say(self.most)),
                false => format!("{} or more", self.say(self.least)),
            },
            What::DurationOrOff => "a duration, or `\"off\"`".to_owned(),
            What::Choice(names) => {
                let names: Vec<String> =
                    names().iter().map(|name| format!("`\"{name}\"`")).collect();
                names.join(" or ")
            }
            What::Said(words) => words.to_owned(),
            What::Path => "a path".to_owned(),
            What::List(words) => format!("a list of {words}"),
        }
    }

    /// Says its bounds, unless they only say that it is not zero.
    pub fn bounds(&self) -> Option<String> {
        let has_bounds = matches!(self.what, What::Number | What::Size | What::Duration);
        match self.is_bounded_above() {
            _ if !has_bounds => None,
            true => Some(format!("From {} to {}", self.say(self.least), self.say(self.most))),
            false if self.least > 1 => Some(format!("At least {}", self.say(self.least))),
            false => None,
        }
    }

    /// Whether the value is a path, relative to the folder of the file.
    pub fn is_path(&self) -> bool {
        matches!(self.what, What::Path)
    }

    /// Whether a value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.what, What::List(_))
    }

    /// Whether a value may be a number of seconds.
    pub fn is_time(&self) -> bool {
        matches!(self.what, What::Duration | What::DurationOrOff)
    }

    /// Says what is wrong with a value, in a whole sentence.
    pub(super) fn sentence(&self, key: &str, written: &Written, wrong: Wrong) -> String {
        let refused = self.refuses.iter().find(|(text, _)| match written {
            Written::Text(written) => written == text,
            _ => false,
        });
        match (refused, wrong) {
            (Some((text, why)), _) => format!("`{key}`: \"{text}\" {why}"),
            (None, Wrong::Because(why)) => format!("`{key}`: {why}"),
            (None, Wrong::Kind) => format!("`{key}` must be {}, not {written}", self.expected()),
        }
    }

    fn is_bounded_above(&self) -> bool {
        self.most < u64::from(u32::MAX)
    }

    fn range(&self, of: &str) -> String {
        match self.is_bounded_above() {
            true => format!(" from {} to {}", self.say(self.least), self.say(self.most)),
            false if of.is_empty() => format!(", {} or more", self.say(self.least)),
            false => format!("{of} {} or more", self.say(self.least)),
        }
    }

    fn say(&self, bound: u64) -> String {
        match self.what {
            What::Size => say_scaled(bound, &SIZES),
            What::Duration | What::DurationOrOff => say_scaled(bound, &TIMES),
            _ => bound.to_string(),
        }
    }
}

/// The type of a setting: how a value is read and shown. It stands beside the name and default of a
/// setting in [`settings!`](crate::settings!).
pub struct Kind<T: 'static> {
    /// The values that it takes.
    pub about: About,
    read: fn(&Written) -> Result<T, Wrong>,
    say: fn(&T) -> String,
    measure: fn(&T) -> Option<u64>,
    in_a_file: Option<fn() -> T>,
}

impl<T> Kind<T> {
    /// Makes a type of its own: `words` describe it, `read` and `say` convert it. `say` returns
    /// what a file would have; nothing, if a file would leave it out.
    pub const fn new(
        words: &'static str,
        read: fn(&Written) -> Result<T, Wrong>,
        say: fn(&T) -> String,
    ) -> Kind<T> {
        Kind::of(What::Said(words), "", read, say)
    }

    const fn of(
        what: What,
        like: &'static str,
        read: fn(&Written) -> Result<T, Wrong>,
        say: fn(&T) -> String,
    ) -> Kind<T> {
        let (at_start, older, refuses) = (false, &[], &[]);
        let about = About { what, like, least: 0, most: u64::MAX, at_start, older, refuses };
        Kind { about, read, say, measure: |_| None, in_a_file: None }
    }

    /// Adds an example value as a file has it, quotes included, for operators who do not know how
    /// to write one.
    pub const fn like(mut self, example: &'static str) -> Kind<T> {
        self.about.like = example;
        self
    }

    /// Sets the least value: a number, bytes or seconds.
    pub const fn from(mut self, least: u64) -> Kind<T> {
        self.about.least = least;
        self
    }

    /// Sets the greatest value.
    pub const fn to(mut self, most: u64) -> Kind<T> {
        self.about.most = most;
        self
    }

    /// Marks a text as a path, relative to the folder of the file.
    pub const fn of_a_path(mut self) -> Kind<T> {
        self.about.what = What::Path;
        self
    }

    /// Marks that a change takes effect at the next start. All others take effect at once, also
    /// when the configuration is reloaded.
    pub const fn at_start(mut self) -> Kind<T> {
        self.about.at_start = true;
        self
    }

    /// Adds names that it had in older versions.
    pub const fn older(mut self, names: &'static [&'static str]) -> Kind<T> {
        self.about.older = names;
        self
    }

    /// Adds texts that are refused for a special reason, which follows the text in a sentence.
    pub const fn refuses(mut self, texts: &'static [(&'static str, &'static str)]) -> Kind<T> {
        self.about.refuses = texts;
        self
    }

    /// Sets the default for a server with a configuration file, if it differs from that of the
    /// quick start.
    pub const fn in_a_file(mut self, value: fn() -> T) -> Kind<T> {
        self.in_a_file = Some(value);
        self
    }

    /// Reads a value, without checking the bounds.
    pub fn read(&self, written: &Written) -> Result<T, Wrong> {
        (self.read)(written)
    }

    /// Returns a value as a file would have it; nothing, if a file would leave it out.
    pub fn say(&self, value: &T) -> String {
        (self.say)(value)
    }

    /// Whether a value is within the bounds.
    pub fn is_within(&self, value: &T) -> bool {
        (self.measure)(value).is_none_or(|n| (self.about.least..=self.about.most).contains(&n))
    }

    /// The default for a server with a configuration file, if it has one of its own there.
    pub fn value_in_a_file(&self) -> Option<T> {
        self.in_a_file.map(|value| value())
    }
}

/// A whole number of some width.
pub trait Number: Copy + TryFrom<u64> + TryInto<u64> + 'static {
    /// The greatest value of the type.
    const GREATEST: u64;
}

impl Number for u32 {
    const GREATEST: u64 = u32::MAX as u64;
}

impl Number for u64 {
    const GREATEST: u64 = u64::MAX;
}

impl Number for usize {
    const GREATEST: u64 = usize::MAX as u64;
}

/// A count: 1 or more, unless stated otherwise.
pub const fn count<T: Number>() -> Kind<T> {
    let mut kind = Kind::of(
        What::Number,
        "",
        |written| match written {
            Written::Number(number) => of_number(*number),
            _ => Err(Wrong::Kind),
        },
        |number: &T| measured(number).to_string(),
    );
    kind.measure = |number| Some(measured(number));
    kind.from(1).to(T::GREATEST)
}

/// Bytes, 1 or more unless stated otherwise: a number, or a text with a unit.
pub const fn size<T: Number>() -> Kind<T> {
    let mut kind = Kind::of(
        What::Size,
        "\"5 MiB\"",
        |written| match written {
            Written::Number(number) => of_number(*number),
            Written::Text(text) => {
                read_scaled(text, &SIZES).and_then(|n| T::try_from(n).ok()).ok_or(Wrong::Kind)
            }
            _ => Err(Wrong::Kind),
        },
        |size: &T| format!("\"{}\"", say_scaled(measured(size), &SIZES)),
    );
    kind.measure = |size| Some(measured(size));
    kind.from(1).to(T::GREATEST)
}

/// A duration from a second to a day, unless stated otherwise: seconds, or a text with a unit.
pub const fn duration() -> Kind<Duration> {
    let mut kind = Kind::of(What::Duration, "\"10m\"", read_duration, |duration: &Duration| {
        match duration.as_secs() {
            0 => "0".to_owned(),
            seconds => format!("\"{}\"", say_scaled(seconds, &TIMES)),
        }
    });
    kind.measure = |duration| Some(duration.as_secs());
    kind.from(1).to(86_400)
}

/// A duration, or `"off"`.
pub const fn duration_or_off() -> Kind<Option<Duration>> {
    let mut kind = Kind::of(
        What::DurationOrOff,
        "\"1y\"",
        |written| match written {
            Written::Text(text) if text == "off" => Ok(None),
            written => read_duration(written).map(Some),
        },
        |duration: &Option<Duration>| match duration {
            None => "\"off\"".to_owned(),
            Some(duration) => format!("\"{}\"", say_scaled(duration.as_secs(), &TIMES)),
        },
    );
    kind.measure = |duration| duration.map(|duration| duration.as_secs());
    kind.from(1).to(LONGEST)
}

/// An enumeration of words.
pub trait Choice: Copy + PartialEq + 'static {
    /// The words, each with its value.
    const WORDS: &'static [(&'static str, Self)];

    /// Returns the word for a value.
    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, choice)| *choice == self);
        found.map_or("", |(word, _)| word)
    }
}

/// Makes the type of an enumeration of words.
pub const fn choice<T: Choice>() -> Kind<T> {
    let names: fn() -> Vec<&'static str> = || T::WORDS.iter().map(|(word, _)| *word).collect();
    Kind::of(
        What::Choice(names),
        "",
        |written| {
            let Written::Text(text) = written else { return Err(Wrong::Kind) };
            let found = T::WORDS.iter().find(|(word, _)| word == text);
            found.map(|(_, choice)| *choice).ok_or(Wrong::Kind)
        },
        |choice: &T| format!("\"{}\"", choice.word()),
    )
}

/// `true` or `false`.
pub const fn flag() -> Kind<bool> {
    Kind::of(
        What::Said("true or false"),
        "",
        |written| match written {
            Written::Flag(flag) => Ok(*flag),
            _ => Err(Wrong::Kind),
        },
        bool::to_string,
    )
}

/// A text in quotes, or nothing: what `words` describe.
pub const fn text(words: &'static str) -> Kind<Option<String>> {
    Kind::of(
        What::Said(words),
        "",
        |written| match written {
            Written::Text(text) => Ok(Some(text.clone())),
            _ => Err(Wrong::Kind),
        },
        |text: &Option<String>| text.as_deref().map(quoted).unwrap_or_default(),
    )
}

/// The path of a file or folder, relative to the folder of the configuration file; or nothing.
pub const fn path<T>() -> Kind<T>
where
    T: From<PathBuf> + Clone + Into<Option<PathBuf>>,
{
    Kind::of(
        What::Path,
        "",
        |written| match written {
            Written::Text(text) => Ok(T::from(PathBuf::from(text))),
            _ => Err(Wrong::Kind),
        },
        |path: &T| {
            let path: Option<PathBuf> = path.clone().into();
            path.map(|path| quoted(&path.to_string_lossy())).unwrap_or_default()
        },
    )
}

/// A list without order of what `words` describe, each a text in quotes.
pub const fn list<L, T>(words: &'static str) -> Kind<L>
where
    L: FromIterator<T> + Clone + IntoIterator<Item = T> + 'static,
    T: FromStr + ToString,
    T::Err: fmt::Display,
{
    Kind::of(
        What::List(words),
        "[\"a\", \"b\"]",
        |written| {
            let Written::List(items) = written else { return Err(Wrong::Kind) };
            let read = |item: &Written| match item {
                Written::Text(text) => {
                    text.parse().map_err(|why: T::Err| Wrong::Because(why.to_string()))
                }
                _ => Err(Wrong::Kind),
            };
            items.iter().map(read).collect()
        },
        |list: &L| {
            let mut items: Vec<String> =
                list.clone().into_iter().map(|item| quoted(&item.to_string())).collect();
            items.sort_unstable();
            format!("[{}]", items.join(", "))
        },
    )
}

/// One label of a domain name, in quotes.
pub const fn label() -> Kind<Label> {
    Kind::of(
        What::Said("one label of a domain name"),
        "\"chat\"",
        |written| match written {
            Written::Text(text) => {
                text.parse().map_err(|why: NotALabel| Wrong::Because(why.to_string()))
            }
            _ => Err(Wrong::Kind),
        },
        |label: &Label| quoted(label.as_str()),
    )
}

/// Writes a text as a file has it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The longest duration: longer than anybody plans, shorter than what time can be counted in.
const LONGEST: u64 = 100 * 365 * 86_400;

fn read_duration(written: &Written) -> Result<Duration, Wrong> {
    let seconds = match written {
        Written::Number(number) => u64::try_from(*number).ok(),
        Written::Text(text) => read_scaled(text, &TIMES),
        _ => None,
    };
    seconds.filter(|n| *n <= LONGEST).map(Duration::from_secs).ok_or(Wrong::Kind)
}

fn of_number<T: Number>(number: i128) -> Result<T, Wrong> {
    u64::try_from(number).ok().and_then(|n| T::try_from(n).ok()).ok_or(Wrong::Kind)
}

fn measured<T: Number>(number: &T) -> u64 {
    (*number).try_into().unwrap_or(u64::MAX)
}
