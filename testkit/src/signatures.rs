//! Reads the functions and structs of a Rust source well enough to count the types in them, for
//! rules about parameters and fields. It is no parser: it knows brackets, words and commas.

use std::collections::HashMap;

/// A function, a function type, or a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Its name; of a method, with the type before it.
    pub name: String,
    /// Whether it is a struct.
    pub is_struct: bool,
    /// The type whose method it is, if it takes `self`.
    pub receiver: Option<String>,
    /// The types of its parameters or fields.
    pub parts: Vec<String>,
}

/// Reads the signatures of a source, without what follows `#[cfg(test)]`.
pub fn of(source: &str) -> Vec<Signature> {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let words = words(&without_texts(product));
    let (mut found, mut depth, mut impls) = (Vec::new(), 0, Vec::<(usize, String)>::new());
    let mut at = 0;
    while at < words.len() {
        match words[at].as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                impls.retain(|(begun, _)| *begun < depth + 1);
            }
            // Not `impl Trait` as a type, which has no block of its own.
            "impl" if at == 0 || matches!(words[at - 1].as_str(), "}" | ";" | "]") => {
                let end = (at..words.len()).find(|i| words[*i] == "{").unwrap_or(words.len());
                impls.push((depth + 1, implemented(&words[at + 1..end])));
                at = end;
                continue;
            }
            "struct" => {
                let name = words.get(at + 1).cloned().unwrap_or_default();
                let open = (at..words.len()).find(|i| matches!(&*words[*i], "{" | "(" | ";"));
                if let Some(open) = open.filter(|open| words[*open] != ";") {
                    let (parts, end) = parts(&words, open);
                    let parts = match words[open].as_str() {
                        "{" => parts.iter().map(|part| after_colon(part)).collect(),
                        _ => parts.iter().map(|part| part.join(" ")).collect(),
                    };
                    found.push(Signature { name, is_struct: true, receiver: None, parts });
                    at = end;
                    continue;
                }
            }
            "fn" => {
                let is_named = words.get(at + 1).is_some_and(|word| word != "(");
                let name = if is_named { words[at + 1].clone() } else { "fn".to_owned() };
                if let Some(open) = parameters(&words, at + 1) {
                    let (parts, end) = parts(&words, open);
                    let (receivers, parts): (Vec<_>, Vec<_>) =
                        parts.into_iter().partition(|part| part.contains(&"self".to_owned()));
                    let own = impls.last().map(|(_, own)| own.clone());
                    let receiver = own.clone().filter(|_| !receivers.is_empty());
                    let name = own.map_or(name.clone(), |own| format!("{own}::{name}"));
                    let parts = match is_named {
                        true => parts.iter().map(|part| after_colon(part)).collect(),
                        false => parts.iter().map(|part| part.join(" ")).collect(),
                    };
                    found.push(Signature { name, is_struct: false, receiver, parts });
                    at = end;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Counts how often some types occur in each signature. A struct that holds one of them counts as
/// one where it occurs. A struct that holds several is reported itself, and does not count again
/// where it occurs.
pub fn count(signatures: &[Signature], types: &[&str]) -> Vec<(String, usize)> {
    let mut weights: HashMap<&str, usize> = types.iter().map(|name| (*name, 1)).collect();
    // Structs are nested; a few rounds are more than their depth.
    for _ in 0..4 {
        for one in signatures.iter().filter(|one| one.is_struct) {
            let weight = weigh(&one.parts, &weights);
            if !types.contains(&one.name.as_str()) && weight > 0 {
                weights.insert(&one.name, 1);
            }
        }
    }
    let count = |one: &Signature| {
        let receiver = one.receiver.as_deref().and_then(|own| weights.get(own));
        weigh(&one.parts, &weights) + receiver.copied().unwrap_or_default()
    };
    signatures.iter().map(|one| (one.name.clone(), count(one))).collect()
}

fn weigh(parts: &[String], weights: &HashMap<&str, usize>) -> usize {
    let words = parts.iter().flat_map(|part| part.split(' '));
    words.filter_map(|word| weights.get(word)).sum()
}

/// Returns the type of an `impl`: the one after `for`, or the first, without generics.
fn implemented(words: &[String]) -> String {
    let mut depth = 0;
    let mut name = String::new();
    for word in words {
        match word.as_str() {
            "<" => depth += 1,
            ">" => depth -= 1,
            "where" => break,
            "for" if depth == 0 => name.clear(),
            word if depth == 0 && word.starts_with(|c: char| c.is_alphabetic()) => {
                name = word.to_owned();
            }
            _ => {}
        }
    }
    name
}

/// Returns where the parameters open, after a name and its generics.
fn parameters(words: &[String], from: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(from) {
        match word.as_str() {
            "<" => depth += 1,
            ">" => depth -= 1,
            "(" if depth == 0 => return Some(at),
            "{" | "}" | ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Returns the parts between a bracket and its counterpart, separated by commas, and where it
/// ends.
fn parts(words: &[String], open: usize) -> (Vec<Vec<String>>, usize) {
    let (mut parts, mut part, mut depth) = (Vec::new(), Vec::new(), 0);
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.as_str() {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            parts.push(part);
            parts.retain(|part: &Vec<String>| !part.is_empty());
            return (parts, at + 1);
        }
        if depth == 1 && word == "," {
            parts.push(std::mem::take(&mut part));
        } else if at > open {
            part.push(word.clone());
        }
    }
    (parts, words.len())
}

/// Returns the type of a parameter or field: what follows its single colon.
fn after_colon(part: &[String]) -> String {
    let mut depth = 0;
    for (at, word) in part.iter().enumerate() {
        match word.as_str() {
            "(" | "[" | "<" => depth += 1,
            ")" | "]" | ">" => depth -= 1,
            ":" if depth == 0 => return part[at + 1..].join(" "),
            _ => {}
        }
    }
    String::new()
}

/// Splits a text into names and signs. `->`, `=>` and `::` are one sign each.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::<String>::new();
    let mut before = ' ';
    for c in text.chars() {
        let in_name = c.is_alphanumeric() || c == '_';
        let goes_on = in_name && (before.is_alphanumeric() || before == '_');
        let pair = matches!((before, c), ('-', '>') | ('=', '>') | (':', ':'));
        match words.last_mut() {
            Some(last) if goes_on || pair && last.len() == 1 => last.push(c),
            _ if c.is_whitespace() => {}
            _ => words.push(c.into()),
        }
        before = c;
    }
    words
}

/// Removes comments and the content of string literals.
fn without_texts(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => {
                let mut escaped = false;
                let end = rest.char_indices().skip(1).find(|(_, c)| {
                    let ends = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                });
                end.map_or(rest.len(), |(at, _)| at + 1)
            }
            // A character literal, not a lifetime.
            '\'' if rest.starts_with("'\\") => {
                rest.get(2..).and_then(|it| it.find('\'')).map_or(rest.len(), |at| at + 3)
            }
            '\'' if rest.chars().nth(2) == Some('\'') => {
                rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at)
            }
            c => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[skipped..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        //! fn in_a_comment(one: &Account, other: &Account)
        struct Pair { one: Arc<Account>, others: Vec<(u8, Session)> }
        struct Name(String, Option<Session>);
        pub type Tap = fn(&Arc<Node>, &Account) -> bool;
        impl<'a> From<Pair> for Name<'a> {
            fn from(pair: Pair) -> Name { let text = "fn (x: Account, {"; '{'; todo() }
        }
        impl Name {
            pub(crate) async fn tell<F: Fn(&u8) -> u8>(
                &self,
                (node, own): (&Node, &Session),
                map: HashMap<Account, u8>,
            ) -> Account { fn_call(self.one) }
            fn alone() {}
        }
        fn free(names: &[Name], text: &str) {}
        #[cfg(test)]
        fn not_ours(one: Account) {}
    "#;

    fn counts() -> Vec<(String, usize)> {
        count(&of(SOURCE), &["Account", "Session"])
    }

    #[test]
    fn every_function_and_struct_is_found_with_its_types() {
        let names: Vec<_> = counts().into_iter().map(|(name, _)| name).collect();

        assert_eq!(
            names,
            ["Pair", "Name", "fn", "Name::from", "Name::tell", "Name::alone", "free"]
        );
        assert_eq!(of(SOURCE)[4].parts, ["( & Node , & Session )", "HashMap < Account , u8 >"]);
    }

    #[test]
    fn what_a_struct_holds_counts_where_the_struct_goes_in() {
        let counts: Vec<_> = counts().into_iter().map(|(_, count)| count).collect();

        // The receiver is one, and two are parameters.
        assert_eq!(counts, [2, 1, 1, 1, 3, 0, 1]);
    }
}
