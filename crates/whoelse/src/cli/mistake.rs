//! A mistake on the command line, in one sentence of ours.

use clap::error::ErrorKind;

use crate::say::text;

/// A mistake in one line.
pub fn explain(mistake: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    match mistake.kind() {
        // Our own sentences need nothing around them.
        ErrorKind::ValueValidation => {
            if let Some(sentence) = std::error::Error::source(mistake) {
                return text::line(&sentence.to_string());
            }
        }
        ErrorKind::MissingRequiredArgument => {
            if let Some(ContextValue::Strings(names)) = mistake.get(ContextKind::InvalidArg) {
                let is = if names.len() == 1 { "is" } else { "are" };
                let names = names.join(" and ");
                if names == "<TEXT>..." {
                    return format!("{names} is missing; - reads it from the standard input");
                }
                return format!("{names} {is} missing (`whoelse --help` tells more)");
            }
        }
        ErrorKind::MissingSubcommand => {
            if let (Some(ContextValue::String(command)), Some(ContextValue::Strings(actions))) = (
                mistake.get(ContextKind::InvalidSubcommand),
                mistake.get(ContextKind::ValidSubcommand),
            ) {
                let actions = actions.join(", ");
                return format!("say what to do: {actions} (`{command} --help` tells more)");
            }
        }
        _ => {}
    }
    text::line(&in_our_words(mistake)) + " (`whoelse --help` tells more)"
}

/// What is left: the words of clap are for whoever knows it.
fn in_our_words(mistake: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let named = |kind| match mistake.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" and "),
        _ => String::new(),
    };
    // Of several the last is the nearest.
    let near = |kind| match mistake.get(kind) {
        Some(ContextValue::String(near)) => format!("; did you mean {near}?"),
        Some(ContextValue::Strings(all)) => {
            all.last().map_or_else(String::new, |near| format!("; did you mean {near}?"))
        }
        _ => String::new(),
    };
    // Without a context it is a sentence of ours that clap only carries.
    if mistake.context().next().is_none() {
        let said = mistake.to_string();
        let first = said.lines().next().unwrap_or_default();
        return first.strip_prefix("error: ").unwrap_or(first).to_owned();
    }
    let argument = named(ContextKind::InvalidArg);
    match mistake.kind() {
        ErrorKind::InvalidSubcommand => {
            let near = near(ContextKind::SuggestedSubcommand);
            format!("there is no command {}{near}", named(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("there is no option {argument} here{}", near(ContextKind::SuggestedArg))
        }
        ErrorKind::UnknownArgument => format!("{argument} is one word too many"),
        ErrorKind::TooManyValues => format!("{argument} takes no value"),
        ErrorKind::InvalidValue if named(ContextKind::InvalidValue).is_empty() => {
            format!("{argument} needs a value")
        }
        ErrorKind::InvalidValue => {
            let values = named(ContextKind::ValidValue).replace(" and ", ", ");
            format!("{argument} must be one of {values}")
        }
        ErrorKind::NoEquals | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{argument} needs a value")
        }
        ErrorKind::ArgumentConflict => {
            format!("{argument} can be given once, and not with {}", named(ContextKind::PriorArg))
        }
        ErrorKind::InvalidUtf8 => "the command line is not UTF-8".to_owned(),
        _ => "this command line cannot be understood".to_owned(),
    }
}
