//! How a setting is declared: once, with its type, default, kind and help, where it is used.
//!
//! [`settings!`](crate::settings!) makes the struct whose fields are read, and the descriptions
//! from which the rest is derived: how files are read, what a reload may change, what
//! `whoelse config check` says, the example of a file, the settings of scenes, the documents.

use super::Settings;
use super::kind::{About, Written, Wrong};

/// The description of a setting. `R` is the struct it is a part of: the rules' [`Settings`], or a
/// server's own.
pub struct Setting<R: 'static = Settings> {
    /// The table in which it is, "" for the top of the file.
    pub table: &'static str,
    /// What the table is for.
    pub table_help: &'static str,
    /// Its key in that table.
    pub name: &'static str,
    /// The help for the operator: what it is, and the reason for its default or its bounds.
    pub help: &'static str,
    /// The values that it takes.
    pub about: About,
    /// Sets it, without checking the bounds.
    #[doc(hidden)]
    pub put: fn(&mut R, &Written) -> Result<(), Wrong>,
    /// Returns its value as a file has it.
    #[doc(hidden)]
    pub say: fn(&R) -> String,
    #[doc(hidden)]
    pub is_within: fn(&R) -> bool,
    /// Copies the value from other settings.
    #[doc(hidden)]
    pub keep: fn(&mut R, &R),
    #[doc(hidden)]
    pub begin_file: fn(&mut R),
}

impl<R> Setting<R> {
    /// Its name with that of its table: `limits.blocks`.
    pub fn key(&self) -> String {
        match self.table {
            "" => self.name.to_owned(),
            table => format!("{table}.{}", self.name),
        }
    }

    /// The help: what it is, and why.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// Sets it. Fails with a sentence that says what the value must be.
    pub fn set(&self, root: &mut R, written: &Written) -> Result<(), String> {
        self.set_unbounded(root, written)?;
        match (self.is_within)(root) {
            true => Ok(()),
            false => Err(self.about.sentence(&self.key(), written, Wrong::Kind)),
        }
    }

    /// Sets it without checking the bounds, for tests.
    pub fn set_unbounded(&self, root: &mut R, written: &Written) -> Result<(), String> {
        (self.put)(root, written).map_err(|wrong| self.about.sentence(&self.key(), written, wrong))
    }

    /// Returns its value as a file has it; nothing, if a file would leave it out.
    pub fn say(&self, root: &R) -> String {
        (self.say)(root)
    }

    /// Copies the value from `other`.
    pub fn keep(&self, root: &mut R, other: &R) {
        (self.keep)(root, other);
    }

    /// Sets it to its default for a server with a configuration file.
    pub fn begin_file(&self, root: &mut R) {
        (self.begin_file)(root);
    }
}

/// Declares settings and the struct that holds them.
///
/// ```
/// use whoelse_core::settings::{Settings, count, duration};
///
/// whoelse_core::settings! {
///     /// Bounds of polls.
///     pub struct Limits in "limits" {
///         /// Answers that one poll may have: more than fit on a screen.
///         poll_answers: usize = 50, count();
///         /// How long a poll is open.
///         poll_open: std::time::Duration = std::time::Duration::from_secs(60), duration();
///     }
/// }
///
/// assert_eq!(Limits::SETTINGS[0].key(), "limits.poll_answers");
/// assert_eq!(Settings::default().of::<Limits>().poll_answers, 50);
/// ```
///
/// A feature lists `Limits::SETTINGS` in its `FEATURE`; that is all. The comment of a field is the
/// help that operators read. `in "limits" of Settings.limits` is for a struct that is a field of
/// [`Settings`], or of a server's own settings; `with { … }` adds fields that nobody can set.
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $group:ident in $table:literal $(of $root:ident $(. $path:ident)?)? {
            $(
                $(#[doc = $help:literal])+
                $name:ident : $type:ty = $default:expr, $kind:expr;
            )*
        }
        $(with {
            $( $(#[doc = $other_help:literal])+ $other:ident : $other_type:ty = $other_default:expr; )*
        })?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        $vis struct $group {
            $( $(#[doc = $help])+ pub $name: $type, )*
            $( $( $(#[doc = $other_help])+ pub $other: $other_type, )* )?
        }

        impl Default for $group {
            fn default() -> $group {
                $group { $( $name: $default, )* $( $( $other: $other_default, )* )? }
            }
        }

        impl $group {
            const ABOUT: &'static str = concat!($($about),+);

            /// The descriptions of the settings.
            pub const SETTINGS: &'static [$crate::settings::Setting<
                <$group as $crate::settings::Group>::Root,
            >] = &[
                $( {
                    type Root = <$group as $crate::settings::Group>::Root;
                    const KIND: $crate::settings::Kind<$type> = $kind;
                    $crate::settings::Setting {
                        table: $table,
                        table_help: $group::ABOUT,
                        name: stringify!($name),
                        help: concat!($($help),+),
                        about: KIND.about,
                        put: |root: &mut Root, written| {
                            let value = KIND.read(written)?;
                            <$group as $crate::settings::Group>::change(root, |group| group.$name = value);
                            Ok(())
                        },
                        say: |root: &Root| KIND.say(&<$group as $crate::settings::Group>::of(root).$name),
                        is_within: |root: &Root| KIND.is_within(&<$group as $crate::settings::Group>::of(root).$name),
                        keep: |root: &mut Root, other: &Root| {
                            let value = <$group as $crate::settings::Group>::of(other).$name.clone();
                            <$group as $crate::settings::Group>::change(root, |group| group.$name = value);
                        },
                        begin_file: |root: &mut Root| {
                            if let Some(value) = KIND.value_in_a_file() {
                                <$group as $crate::settings::Group>::change(root, |group| group.$name = value);
                            }
                        },
                    }
                }, )*
            ];
        }

        $crate::settings!(@group $group $($root $(. $path)?)?);
    };
    (@group $group:ident) => {
        impl $crate::settings::Group for $group {
            type Root = $crate::settings::Settings;

            fn of(root: &$crate::settings::Settings) -> &$group {
                root.of()
            }

            fn change(root: &mut $crate::settings::Settings, change: impl FnOnce(&mut $group)) {
                root.change(change);
            }
        }

        impl $crate::settings::OfFeature for $group {
            fn by_default() -> &'static $group {
                static DEFAULT: std::sync::LazyLock<$group> =
                    std::sync::LazyLock::new($group::default);
                &DEFAULT
            }
        }
    };
    (@group $group:ident $root:ident) => {
        impl $crate::settings::Group for $group {
            type Root = $root;

            fn of(root: &$root) -> &$group {
                root
            }

            fn change(root: &mut $root, change: impl FnOnce(&mut $group)) {
                change(root);
            }
        }
    };
    (@group $group:ident $root:ident . $path:ident) => {
        impl $crate::settings::Group for $group {
            type Root = $root;

            fn of(root: &$root) -> &$group {
                &root.$path
            }

            fn change(root: &mut $root, change: impl FnOnce(&mut $group)) {
                change(&mut root.$path);
            }
        }
    };
}

/// A struct of settings that are declared together, and the root that they are part of.
pub trait Group: Sized {
    /// The root that they are part of.
    type Root: 'static;

    /// Returns those of a root.
    fn of(root: &Self::Root) -> &Self;

    /// Returns those of a root, to be changed.
    fn change(root: &mut Self::Root, change: impl FnOnce(&mut Self));
}

/// Settings that a feature declares. The rules store them without knowing what they are.
pub trait OfFeature: Group<Root = Settings> + Clone + Send + Sync + 'static {
    /// The defaults, while nobody has set any of them.
    fn by_default() -> &'static Self;
}
