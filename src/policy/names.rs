//! The names in a rule: which of them do not exist, where they stand, and what was probably meant.
use std::collections::BTreeSet;
use std::ops::Range;

use minijinja::{Expression, context};

use super::{ENGINE, FIELDS, Flaw};

/// The filters that a rule may well want; there are more, see [`is_known`].
const FILTERS: [&str; 13] = [
    "lower", "upper", "length", "first", "last", "replace", "default", "trim", "select", "reject", "join", "split",
    "int",
];
/// The tests that a rule may well want.
const TESTS: [&str; 9] = ["defined", "none", "startingwith", "endingwith", "number", "string", "in", "lower", "upper"];

/// Fields, parts of fields, filters and tests that do not exist.
pub(super) fn unknown(when: &str, expression: &Expression<'_, '_>) -> Vec<Flaw> {
    let words = words(when);
    let place = |name: &str, roles: &[Role]| {
        words
            .iter()
            .find(|word| roles.contains(&word.role) && &when[word.range.clone()] == name)
            .map(|w| w.range.clone())
    };
    let mut flaws = Vec::new();
    let used: BTreeSet<String> = expression.undeclared_variables(true).into_iter().collect();
    for path in &used {
        let (name, part) = path.split_once('.').map_or((path.as_str(), None), |(name, part)| (name, Some(part)));
        let range = place(name, &[Role::Name, Role::Call]);
        if !FIELDS.contains(&name) {
            let call = range.is_some() && range == place(name, &[Role::Call]);
            let what = if call { format!("unknown function `{name}`") } else { format!("unknown field `{name}`") };
            let hint = match nearest(name, FIELDS) {
                _ if call => "rules have no functions, only filters and tests".to_owned(),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the fields are {}; a text is written in quotes", FIELDS.join(", ")),
            };
            flaws.push(Flaw { what, hint: Some(hint), range });
        } else if let Some(part) = part {
            let part = part.split('.').next().unwrap_or(part);
            let hint = if is_known(part, "filter") {
                format!("to apply the filter, write `{name} | {part}`")
            } else {
                "no field has parts".to_owned()
            };
            flaws.push(Flaw { what: format!("`{name}` has no `{part}`"), hint: Some(hint), range });
        }
    }
    for word in &words {
        let name = &when[word.range.clone()];
        let role = match word.role {
            Role::Filter => "filter",
            Role::Test => "test",
            Role::Name | Role::Call | Role::Other => continue,
        };
        if !is_known(name, role) {
            let hint = if role == "filter" { nearest(name, FILTERS) } else { nearest(name, TESTS) };
            flaws.push(Flaw {
                what: format!("unknown {role} `{name}`"),
                hint: hint.map(|near| format!("did you mean `{near}`?")),
                range: Some(word.range.clone()),
            });
        }
    }
    flaws
}

/// Asks the engine itself, so that the answer is right whatever its version.
fn is_known(name: &str, role: &'static str) -> bool {
    let question = ENGINE.compile_expression(if role == "filter" { "name is filter" } else { "name is test" });
    question.and_then(|question| question.eval(context! { name => name })).is_ok_and(|answer| answer.is_true())
}

/// What a word of an expression is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A field, as far as it goes.
    Name,
    /// The same with an opening bracket after it.
    Call,
    /// After `|`.
    Filter,
    /// After `is` or `is not`.
    Test,
    /// A keyword, a part after a dot, the name of an argument.
    Other,
}

struct Word {
    range: Range<usize>,
    role: Role,
}

/// The words of an expression outside its texts, in order. The engine shows no syntax tree; this is only asked about
/// expressions that it has accepted, and only for places and for the names of filters and tests.
fn words(when: &str) -> Vec<Word> {
    let bytes = when.as_bytes();
    let mut words: Vec<Word> = Vec::new();
    let mut before = b' ';
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            quote @ (b'"' | b'\'') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                before = quote;
            }
            byte if byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii() => {
                while at < bytes.len()
                    && (bytes[at] == b'_' || bytes[at].is_ascii_alphanumeric() || !bytes[at].is_ascii())
                {
                    at += 1;
                }
                let word = &when[start..at];
                let follows = when[at..].trim_start();
                let last = |n: usize| words.len().checked_sub(n).map(|index| &when[words[index].range.clone()]);
                let after_is =
                    before == b'w' && (last(1) == Some("is") || (last(1) == Some("not") && last(2) == Some("is")));
                let role = if before == b'.' || byte.is_ascii_digit() {
                    Role::Other
                } else if before == b'|' {
                    Role::Filter
                } else if after_is && word != "not" {
                    Role::Test
                } else if [
                    "and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None",
                ]
                .contains(&word)
                    || (follows.starts_with('=') && !follows.starts_with("=="))
                {
                    Role::Other
                } else if follows.starts_with('(') {
                    Role::Call
                } else {
                    Role::Name
                };
                words.push(Word { range: start..at, role });
                before = b'w';
            }
            byte => {
                at += 1;
                if !byte.is_ascii_whitespace() {
                    before = byte;
                }
            }
        }
    }
    words
}

/// The known name that differs least, if it differs little.
fn nearest<const N: usize>(name: &str, known: [&'static str; N]) -> Option<&'static str> {
    // Other words for the same thing, which no distance finds.
    let meant = match name {
        "tag" => Some("tags"),
        "host" | "domain" | "domains" | "links" => Some("hosts"),
        "user" | "username" => Some("author"),
        "body" | "content" => Some("text"),
        "image" | "images" => Some("has_image"),
        "startswith" => Some("startingwith"),
        "endswith" => Some("endingwith"),
        "len" | "size" => Some("length"),
        _ => None,
    };
    if let Some(meant) = meant.filter(|meant| known.contains(meant)) {
        return Some(meant);
    }
    let by_distance = known.into_iter().map(|other| (distance(name, other), other));
    by_distance.min().filter(|(distance, _)| *distance <= 2 && distance * 2 < name.len()).map(|(_, other)| other)
}

/// How many letters must be put in, left out or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
