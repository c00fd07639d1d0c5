//! The borders of `ARCHITECTURE.md`, read off the source: the core does no I/O, one place each knows the storage format,
//! writes to stdout and reads the clock.
//!
//! A file is read as tokens: comments, literals and whatever stands under `#[cfg(test)]` do not count, the trees of `use`
//! are taken apart and `super` and `self` resolved, so that no spelling of a path escapes.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that decide and do no I/O.
const CORE: [&str; 12] =
    ["item", "life", "hold", "outbox", "policy", "text", "link", "count", "render", "journal", "schedule", "suffix"];

/// What the core may name of the rest: settings and plain values, nothing that does anything.
const VALUES: [&str; 8] = [
    "crate::config",
    "crate::guard::Guard",
    "crate::guard::MAX_URL_BYTES",
    "crate::guard::is_inside",
    "crate::platform::Limits",
    "crate::platform::Published",
    "crate::platform::ReadBack",
    "crate::platform::SendError",
];

/// Inside `config`: what reads files and the environment.
const READERS: [&str; 4] =
    ["crate::config::Env", "crate::config::Config::load", "crate::config::Config::locate", "crate::config::init"];

/// Files of tests that are modules of their own: their `#[cfg(test)]` stands where they are declared.
const TEST_FILES: [&str; 4] = ["/tests.rs", "src/life/cells.rs", "src/life/model.rs", "src/hold/worked_examples.rs"];

/// Roots of the world outside.
const WORLD: [&str; 14] = [
    "tokio",
    "reqwest",
    "axum",
    "hyper",
    "hyper_util",
    "sled",
    "nix",
    "rand",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
];

const CLOCKS: [&str; 2] = ["std::time::SystemTime", "std::time::Instant"];

#[test]
fn the_core_does_no_io() {
    let files = sources();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for file in &files {
        if let Some(module) = CORE.into_iter().find(|name| *name == file.modules[0]) {
            seen.insert(module);
            found.extend(file.breaches(breaks_core));
        }
    }
    assert_eq!(seen.len(), CORE.len(), "every core module is there: {seen:?}");
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn only_the_store_knows_the_storage_format() {
    let outside = sources().into_iter().filter(|file| file.modules[0] != "store");
    let found: Vec<_> = outside.flat_map(|file| file.breaches(|path| under(path, "sled"))).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn only_the_command_line_writes_to_stdout() {
    // A `file` account whose path is `-` is the one that publishes there.
    let elsewhere = |file: &Source| file.modules[0] != "cli" && file.name != "src/platform/file.rs";
    let found: Vec<_> = sources().into_iter().filter(elsewhere).flat_map(|file| file.breaches(is_stdout)).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn only_the_clock_reads_the_clock() {
    let elsewhere = sources().into_iter().filter(|file| file.modules[0] != "clock");
    let found: Vec<_> = elsewhere.flat_map(|file| file.breaches(reads_clock)).collect();
    assert_eq!(found, Vec::<String>::new());
}

/// May a core module not name this?
fn breaks_core(path: &str) -> bool {
    let world = WORLD.iter().any(|root| under(path, root) || above(path, root));
    let ours = under(path, "crate") && {
        let core = CORE.iter().any(|name| under(path, &format!("crate::{name}")));
        let value = VALUES.iter().any(|value| under(path, value)) && !READERS.iter().any(|name| under(path, name));
        !core && !value
    };
    world || ours || path == "std" || is_stdout(path) || reads_clock(path)
}

fn is_stdout(path: &str) -> bool {
    path == "println!" || path == "print!" || path.ends_with("::stdout") || path == "std::io::*"
}

fn reads_clock(path: &str) -> bool {
    // `std::time` by itself would bring both under another name.
    let named = CLOCKS.iter().any(|clock| under(path, clock)) || path == "std::time" || path == "std::time::*";
    named || ["Timestamp::now", "Zoned::now", "SystemTime::now"].iter().any(|call| ends_with(path, call))
}

/// Is it this path or one below it?
fn under(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Is it a `use` of a module that holds the root, by which it could be reached under a shorter name?
fn above(path: &str, root: &str) -> bool {
    path.strip_suffix("::*").is_some_and(|path| under(root, path))
}

fn ends_with(path: &str, tail: &str) -> bool {
    path.strip_suffix(tail).is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
}

/// A source file and every path it names outside of tests.
struct Source {
    name: String,
    /// Where in the crate it stands; never empty.
    modules: Vec<String>,
    /// With the lines they stand in.
    paths: Vec<(usize, String)>,
}

impl Source {
    fn of(name: &str, text: &str) -> Self {
        let inside = name.strip_prefix("src/").and_then(|name| name.strip_suffix(".rs")).expect("a source file");
        let mut modules: Vec<String> = inside.split('/').map(str::to_owned).collect();
        if modules.len() > 1 {
            modules.pop_if(|last| *last == "mod");
        }
        let paths = paths(&without_tests(tokens(text)), &modules);
        Self { name: name.to_owned(), modules, paths }
    }

    fn breaches(&self, breaks: impl Fn(&str) -> bool) -> Vec<String> {
        let broken = self.paths.iter().filter(|(_, path)| breaks(path));
        broken.map(|(line, path)| format!("{}:{line}: {path}", self.name)).collect()
    }
}

/// All of `src` that is not a file of tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).expect("it was found below").to_string_lossy().into_owned();
        if !name.contains("/tests/") && !TEST_FILES.iter().any(|test| name.ends_with(test)) {
            sources.push(Source::of(&name, &fs::read_to_string(&file).unwrap()));
        }
    }
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A word, `::`, or one other character, with its line.
type Token = (usize, String);

/// Comments and literals are left out.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let is = |at: usize, want: &str| want.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let (mut at, mut line, mut tokens) = (0, 1, Vec::new());
    while let Some(&c) = chars.get(at) {
        let begin = at;
        if is(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if is(at, "/*") {
            let mut depth = 0;
            loop {
                if is(at, "/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if is(at, "*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if let Some(hashes) = raw_string(&chars, at) {
            let end: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            at = (at..).find(|at| chars[*at] == '"').expect("it begins") + 1;
            while at < chars.len() && !is(at, &end) {
                at += 1;
            }
            at += end.len();
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' && (is(at + 1, "\\") || chars.get(at + 2) == Some(&'\'')) {
            // A character, no lifetime: both quotes are there. An escape may itself be a quote.
            at += if is(at + 1, "\\") { 3 } else { 2 };
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else if c.is_alphanumeric() || c == '_' {
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            tokens.push((line, chars[begin..at].iter().collect()));
        } else if is(at, "::") {
            at += 2;
            tokens.push((line, "::".to_owned()));
        } else {
            at += 1;
            if !c.is_whitespace() {
                tokens.push((line, c.to_string()));
            }
        }
        at = at.min(chars.len());
        line += chars[begin..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// How many `#` a raw string that begins here has. `r#name` is none.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).and_then(|at| chars.get(at));
    if before.is_some_and(|c| c.is_alphanumeric() || *c == '_') {
        return None;
    }
    let prefix =
        ["r", "br", "cr"].into_iter().find(|p| p.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c)));
    let from = at + prefix?.len();
    let hashes = chars[from..].iter().take_while(|c| **c == '#').count();
    (chars.get(from + hashes) == Some(&'"')).then_some(hashes)
}

/// Leaves out what stands under `#[cfg(test)]`: to the `;` or the closing brace of the item.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let is =
        |at: usize, want: &[&str]| want.iter().enumerate().all(|(i, w)| tokens.get(at + i).is_some_and(|t| t.1 == *w));
    let (mut at, mut kept) = (0, Vec::new());
    while at < tokens.len() {
        if !is(at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0usize;
        at += 7;
        while let Some((_, token)) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break;
                    }
                }
                ")" | "]" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// Every path that is named, in full; macros end in `!`.
fn paths(tokens: &[Token], modules: &[String]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (line, token) = &tokens[at];
        if token == "use" && tokens.get(at + 1).is_some_and(|t| t.1 != "<") {
            let mut tree = Vec::new();
            at = use_tree(tokens, at + 1, &[], &mut tree);
            found.extend(tree.iter().map(|path| (*line, resolved(path, modules))));
        } else if token == "::" || token.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            let mut path = Vec::new();
            let skip = usize::from(token == "::");
            at += skip;
            while let Some((_, word)) = tokens.get(at) {
                if !word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                    break;
                }
                path.push(word.clone());
                at += 1;
                if tokens.get(at).is_none_or(|t| t.1 != "::") {
                    break;
                }
                at += 1;
            }
            // `pub(crate)` names nothing.
            if let [alone] = path.as_slice()
                && matches!(alone.as_str(), "crate" | "super" | "self")
            {
                continue;
            }
            let mut path = resolved(&path, modules);
            if tokens.get(at).is_some_and(|t| t.1 == "!") && tokens.get(at + 1).is_none_or(|t| t.1 != "=") {
                path.push('!');
            }
            found.push((*line, path));
        } else {
            at += 1;
        }
    }
    found
}

/// Takes the tree of a `use` apart; where it ends.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    while let Some((_, token)) = tokens.get(at) {
        match token.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t.1 != "}") {
                    at = use_tree(tokens, at, &path, found);
                    at += usize::from(tokens.get(at).is_some_and(|t| t.1 == ","));
                }
                return at + 1;
            }
            "as" => at += 2,
            "," | "}" | ";" => break,
            "self" if !path.is_empty() => at += 1,
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
    }
    found.push(path);
    at
}

/// With `self` and `super` replaced by where they lead. Modules inside a file count as the file.
fn resolved(path: &[String], modules: &[String]) -> String {
    let mut from = modules.to_vec();
    let mut rest = path;
    let mut relative = false;
    while let [first, more @ ..] = rest {
        match first.as_str() {
            "super" => drop(from.pop()),
            "self" if !more.is_empty() => {}
            _ => break,
        }
        (relative, rest) = (true, more);
    }
    if !relative {
        return path.join("::");
    }
    let root = std::iter::once("crate").chain(from.iter().map(String::as_str));
    root.chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

#[track_caller]
fn check(text: &str, want: &[&str]) {
    let source = Source::of("src/life/act.rs", text);
    let got: Vec<_> =
        source.breaches(breaks_core).iter().map(|found| found.rsplit(": ").next().unwrap().to_owned()).collect();
    assert_eq!(got, want, "{text}");
}

#[test]
fn a_planted_violation_is_caught() {
    check("use tokio::sync::Notify;", &["tokio::sync::Notify"]);
    check("fn f() { let x = ::reqwest::get(\"x\"); }", &["reqwest::get"]);
    check("use std::{fmt, fs::File as F, collections::{BTreeMap, BTreeSet}};", &["std::fs::File"]);
    check("use std::{self, fmt};", &["std"]);
    check("use std as s;", &["std"]);
    check("use std::*;", &["std::*"]);
    check("use std::time::{self, Duration};", &["std::time"]);
    check("use std :: time :: Instant;", &["std::time::Instant"]);
    check("fn f() { std::thread::sleep(d) }", &["std::thread::sleep"]);
    check("fn f() -> Timestamp { jiff::Timestamp::now() }", &["jiff::Timestamp::now"]);
    check("fn f() { Timestamp::now() }", &["Timestamp::now"]);
    check("use crate::store::Store;", &["crate::store::Store"]);
    check("use crate::{item::Item, poll::{self, Tally}};", &["crate::poll", "crate::poll::Tally"]);
    check("use super::super::deliver;", &["crate::deliver"]);
    check("use super::*; use crate::*;", &["crate::*"]);
    check("use crate::platform::{Limits, Platform};", &["crate::platform::Platform"]);
    check("use crate::platform;", &["crate::platform"]);
    check("use crate::config::{Env, HoldSettings};", &["crate::config::Env"]);
    check("fn f() { println!(\"{}\", 1) }", &["println!"]);
    check("fn f() { writeln!(std::io::stdout(), \"x\") }", &["std::io::stdout"]);
    check("const A: &str = r#\"\"#; use std::env;", &["std::env"]);
    check("const A: char = '\"'; use std::env; const B: char = '\"';", &["std::env"]);
    check("fn f<'a>(a: &'a str) { std::env::var(a) } // '", &["std::env::var"]);
    check("#[cfg(test)]\nmod tests { fn f() {} }\nuse std::env;", &["std::env"]);
    check("#[cfg(not(test))]\nuse std::env;", &["std::env"]);
    let line = Source::of("src/item.rs", "/* a\nb */\n\"c\nd\"\nuse sled;").breaches(|path| under(path, "sled"));
    assert_eq!(line, ["src/item.rs:5: sled"]);
}

#[test]
fn what_is_allowed_is_let_through() {
    check("use std::time::Duration; use std::{fmt, collections::BTreeMap};", &[]);
    check("use super::{Act, Applied}; use super::super::item::Item; use self::time::later;", &[]);
    check("use crate::{item::{Item, Phase}, hold, platform::{Limits, SendError}};", &[]);
    check("use crate::config::HoldSettings; fn f(now: Timestamp) { rules.now; tokens(now) }", &[]);
    check("// use std::fs;\n/* use tokio; /* nested */ use sled; */ /// `std::env`", &[]);
    check("const A: &str = \"use std::fs; \\\" println!\"; const B: &[u8] = br##\"\"# std::env\"##;", &[]);
    check("#[cfg(test)] mod tests { use std::fs; fn f() { println!(\"{}\", '}') } }", &[]);
    check("#[cfg(test)] use std::fs; #[cfg(test)]\nmod cells;", &[]);
    check("#[cfg(test)] #[derive(Debug)] struct A { a: std::fs::File }", &[]);
    check("fn f() { if a != b { stdout_of(a) } }", &[]);
}
