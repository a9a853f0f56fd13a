//! Finds circles of modules: children of one parent that depend on each other. A module and its
//! own children count as one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module by its path.
type Module = Vec<String>;

/// The dependencies among the children of each parent.
type Needs = BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>;

/// Modules that depend on each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    /// The module whose children they are, as in `whoelse::terminal`.
    pub parent: String,
    /// Their names, sorted.
    pub members: Vec<String>,
}

/// Returns the circles in a crate, by its folder, without tests.
pub fn in_crate(name: &str, folder: &Path, files: &[std::path::PathBuf]) -> Vec<Circle> {
    let source = folder.join("src");
    let text = |file| fs::read_to_string(file).unwrap_or_default();
    let modules = files.iter().filter_map(|file| {
        let module = module(file.strip_prefix(&source).ok()?);
        (!module.iter().any(|name| name == "tests")).then(|| (module, text(file)))
    });
    in_modules(name, &modules.collect())
}

/// Returns the module of a file, by its path under `src`.
fn module(file: &Path) -> Module {
    let names = file.with_extension("");
    let mut names: Module = names.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    if matches!(names.last().map(String::as_str), Some("mod")) {
        names.pop();
    }
    match names.as_slice() {
        [root] if root == "lib" || root == "main" => Vec::new(),
        _ => names,
    }
}

fn in_modules(name: &str, modules: &BTreeMap<Module, String>) -> Vec<Circle> {
    let mut needs = Needs::new();
    for (module, text) in modules {
        for mut needed in needed(module, text) {
            while !needed.is_empty() && !modules.contains_key(&needed) {
                needed.pop();
            }
            // Counted where the two paths part; a module above or below does not count.
            let shared = module.iter().zip(&needed).take_while(|(one, other)| one == other).count();
            if let (Some(one), Some(other)) = (module.get(shared), needed.get(shared)) {
                let of_parent = needs.entry(module[..shared].to_vec()).or_default();
                of_parent.entry(one.clone()).or_default().insert(other.clone());
            }
        }
    }
    let mut circles = Vec::new();
    for (parent, graph) in &needs {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            graph.keys().map(|from| (from.as_str(), reached(graph, from))).collect();
        let mut left: BTreeSet<&str> = reached.keys().copied().collect();
        while let Some(one) = left.pop_first() {
            let back = |other: &&str| reached.get(other).is_some_and(|it| it.contains(one));
            let mut members: Vec<&str> = reached[one].iter().copied().filter(back).collect();
            members.retain(|member| *member != one);
            left.retain(|other| !members.contains(other));
            if !members.is_empty() {
                members.push(one);
                members.sort_unstable();
                let parent: Vec<&str> =
                    [name].into_iter().chain(parent.iter().map(String::as_str)).collect();
                let members = members.into_iter().map(str::to_owned).collect();
                circles.push(Circle { parent: parent.join("::"), members });
            }
        }
    }
    circles
}

/// Returns everything that a module depends on, directly or indirectly.
fn reached<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = graph.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(one) = next.pop() {
        if found.insert(one) {
            next.extend(graph.get(one).into_iter().flatten().map(String::as_str));
        }
    }
    found
}

/// Returns the modules of its own crate that a file names.
fn needed(module: &Module, text: &str) -> Vec<Module> {
    // Tests are last in a file.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> =
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
                paths(&mut &code[at..], &[], &mut found);
            }
        }
    }
    found.into_iter().map(|path| from_root(module, path)).collect()
}

fn from_root(module: &Module, path: Module) -> Module {
    let supers = path.iter().take_while(|name| *name == "super").count();
    let base = match path.first().map(String::as_str) {
        Some("crate") => Vec::new(),
        _ => module[..module.len().saturating_sub(supers)].to_vec(),
    };
    base.into_iter().chain(path.into_iter().skip(supers.max(1))).collect()
}

/// Reads a path, or a tree of paths: `crate::a::{b, c::{d, e as f}}`.
fn paths(text: &mut &str, before: &[&str], found: &mut Vec<Module>) {
    *text = text.trim_start();
    if let Some(inside) = text.strip_prefix('{') {
        *text = inside;
        loop {
            *text = text.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(after) = text.strip_prefix('}') {
                *text = after;
                return;
            }
            if text.is_empty() {
                return;
            }
            paths(text, before, found);
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        // A star, or the end of something that is not a path.
        *text = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
        return found.push(before.iter().map(|it| (*it).to_owned()).collect());
    }
    *text = rest;
    let path: Vec<&str> = before.iter().copied().chain([name]).collect();
    if let Some(after) = rest.trim_start().strip_prefix("::")
        && !after.trim_start().starts_with('<')
    {
        *text = after;
        return paths(text, &path, found);
    }
    if let Some(after) = rest.trim_start().strip_prefix("as ") {
        *text = after.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    }
    found.push(path.into_iter().map(str::to_owned).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(modules: &[(&str, &str)]) -> Vec<Circle> {
        let modules =
            modules.iter().map(|(file, text)| (module(Path::new(file)), (*text).to_owned()));
        in_modules("house", &modules.collect())
    }

    fn circle(parent: &str, members: &[&str]) -> Circle {
        let members = members.iter().map(|it| (*it).to_owned()).collect();
        Circle { parent: parent.to_owned(), members }
    }

    #[test]
    fn two_files_that_need_each_other_are_a_circle_however_they_say_it() {
        for (one, other) in [
            ("use crate::b::B;", "use super::a::A;"),
            ("use crate::{x, b::{self, C as D}};", "fn f(a: &crate::a::A) {}"),
            ("use crate::b::*;", "use crate::{x::{y, z}, a};"),
        ] {
            let found = circles(&[("a.rs", one), ("b.rs", other), ("x.rs", "")]);
            assert_eq!(found, [circle("house", &["a", "b"])], "{one} {other}");
        }
    }

    #[test]
    fn a_way_round_through_a_third_or_through_a_child_is_a_circle_too() {
        let third =
            [("a.rs", "use crate::b;"), ("b.rs", "use crate::c;"), ("c.rs", "use crate::a;")];
        assert_eq!(circles(&third), [circle("house", &["a", "b", "c"])]);
        let child = [("a.rs", "use crate::b;"), ("b/mod.rs", ""), ("b/d.rs", "use crate::a;")];
        assert_eq!(circles(&child), [circle("house", &["a", "b"])]);
        let inside = [("a/b.rs", "use super::c;"), ("a/c.rs", "use super::b;"), ("a.rs", "")];
        assert_eq!(circles(&inside), [circle("house::a", &["b", "c"])]);
    }

    #[test]
    fn a_module_with_its_children_and_what_tests_and_comments_say_are_none() {
        let family = [("a.rs", "use self::b::B;"), ("a/b.rs", "use super::A; use crate::a::C;")];
        assert_eq!(circles(&family), []);
        let comments = [("a.rs", "use crate::b;"), ("b.rs", "// crate::a\n/// [`A`](crate::a::A)")];
        assert_eq!(circles(&comments), []);
        let tests =
            [("a.rs", "use crate::b;"), ("b.rs", "#[cfg(test)]\nmod tests { use crate::a; }")];
        assert_eq!(circles(&tests), []);
    }
}
