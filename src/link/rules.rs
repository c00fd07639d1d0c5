//! The rules for links as data: read, checked, and found again by host (docs/links.md).
//!
//! A file is taken whole or refused whole, with the line and the reason. Patterns are linear-time regular expressions of
//! bounded size; those of the built-in file are compiled when they are first needed (a test compiles them all).
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use toml::Spanned;

use super::clearurls::ClearUrls;
use crate::suffix;

/// The rules that come with the program.
const BUILT_IN: &str = include_str!("rules.toml");
/// The format this version reads.
const VERSION: i64 = 1;
/// In characters: nobody can check a longer pattern by eye.
const MAX_PATTERN: usize = 300;
/// In bytes, of a compiled pattern.
const MAX_COMPILED: usize = 256 * 1024;

/// What is wrong with a file of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RulesError {
    /// As it was named.
    pub file: String,
    /// From 1, where it is known.
    pub line: Option<usize>,
    /// Lower case, no full stop.
    pub reason: String,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read the link rules in `{}`", self.file)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A pattern that is compiled when it is first asked.
#[derive(Debug)]
pub(super) struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    fn new(source: String) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// Why it cannot be used, if so.
    fn check(&self) -> Result<(), String> {
        if self.source.chars().count() > MAX_PATTERN {
            return Err(format!("the pattern is longer than {MAX_PATTERN} characters"));
        }
        compile(&self.source).map(drop)
    }

    /// `None` only for a pattern that [`check`](Self::check) was not asked about and that is wrong.
    pub(super) fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.source).ok()).as_ref()
    }

    fn is_match(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }
}

pub(super) fn compile(source: &str) -> Result<Regex, String> {
    RegexBuilder::new(source).size_limit(MAX_COMPILED).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("the pattern needs more than {limit} bytes"),
        error => {
            // The last line of the crate's drawing is the reason.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("the pattern is wrong: {reason}")
        }
    })
}

/// Where a rule counts, besides its hosts.
#[derive(Debug, Default)]
pub(super) struct Where {
    path: Option<Pattern>,
    contains: Vec<String>,
}

impl Where {
    pub(super) fn matches(&self, url: &url::Url) -> bool {
        self.path.as_ref().is_none_or(|path| path.is_match(url.path()))
            && (self.contains.is_empty() || self.contains.iter().any(|part| url.as_str().contains(part.as_str())))
    }
}

/// A set of parameter names: exact or with one `*` at the end, without case.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, u16>,
    prefixes: Vec<(Box<str>, u16)>,
}

impl Names {
    fn add(&mut self, name: &str, rule: u16) {
        let name = name.to_lowercase();
        match name.strip_suffix('*') {
            Some(prefix) => self.prefixes.push((prefix.into(), rule)),
            None => {
                self.exact.entry(name.into()).or_insert(rule);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// The rule that a name, in lower case, was given by.
    pub(super) fn rule(&self, name: &str) -> Option<u16> {
        self.exact
            .get(name)
            .copied()
            .or_else(|| self.prefixes.iter().find(|(prefix, _)| name.starts_with(&**prefix)).map(|&(_, rule)| rule))
    }
}

/// Drops parameters.
#[derive(Debug)]
pub(super) struct Strip {
    pub(super) id: String,
    pub(super) why: String,
    pub(super) place: Where,
    pub(super) names: Names,
    /// Only where the value is the page's own host or the forum's.
    pub(super) own_host: bool,
    pub(super) cut_path: Option<Pattern>,
}

/// Protects parameters; all, where it names none.
#[derive(Debug)]
pub(super) struct Keep {
    pub(super) place: Where,
    pub(super) names: Names,
}

/// How a target is written inside its wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encoding {
    #[default]
    Percent,
    Base64url,
    /// Behind the letters `a1`.
    Base64urlAfterA1,
    ProofpointV2,
    ProofpointV3,
}

/// Takes a target out of its wrapper.
#[derive(Debug)]
pub(super) struct Unwrap {
    pub(super) id: String,
    pub(super) why: String,
    pub(super) place: Where,
    pub(super) params: Vec<String>,
    pub(super) rest: Option<Pattern>,
    pub(super) to: Option<String>,
    pub(super) encoding: Encoding,
    /// Put before a target without one.
    pub(super) scheme: Option<String>,
    pub(super) same_site: bool,
    pub(super) cut_after_last: Option<String>,
    pub(super) also_strip: Names,
}

/// Another address of the same page.
#[derive(Debug)]
pub(super) struct Canonical {
    pub(super) id: String,
    pub(super) why: String,
    pub(super) rest: Option<Pattern>,
    pub(super) to: Option<String>,
    pub(super) host: Option<String>,
    pub(super) drop_label: Option<String>,
}

/// A shortener.
#[derive(Debug)]
pub(super) struct Expand {
    pub(super) id: String,
    pub(super) why: String,
    pub(super) place: Where,
    /// May its parameters be stripped before it is asked?
    pub(super) strip: bool,
    /// May its answer be a page that names the target?
    pub(super) meta: bool,
}

/// A rule that is only a place and a reason.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) why: String,
    pub(super) place: Where,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Strip,
    Keep,
    Unwrap,
    Canonical,
    Secure,
    Expand,
    Refuse,
    Landing,
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The host and all below it.
    Below,
    /// Only what is below it.
    OnlyBelow,
    Exact,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    index: u16,
    reach: Reach,
    /// Of `consent.google.*`: `consent`.
    before: Option<Box<str>>,
}

/// The rules that count on one host, by kind and in the order of the files.
#[derive(Debug, Default)]
pub(super) struct OnHost<'r> {
    pub(super) strips: Vec<(u16, &'r Strip)>,
    pub(super) keeps: Vec<&'r Keep>,
    pub(super) unwraps: Vec<&'r Unwrap>,
    pub(super) canonicals: Vec<&'r Canonical>,
    pub(super) secure: Option<&'r Mark>,
    pub(super) expand: Option<&'r Expand>,
    pub(super) refuse: Option<&'r Mark>,
    pub(super) landings: Vec<&'r Mark>,
    pub(super) leave: Option<&'r Mark>,
}

/// All rules in force. Made once and shared.
#[derive(Debug, Default)]
pub struct Rules {
    strips: Vec<Strip>,
    keeps: Vec<Keep>,
    unwraps: Vec<Unwrap>,
    canonicals: Vec<Canonical>,
    secures: Vec<Mark>,
    expands: Vec<Expand>,
    refuses: Vec<Mark>,
    landings: Vec<Mark>,
    leaves: Vec<Mark>,
    /// Names that are dropped on every host: of strip rules without any condition.
    global: Names,
    /// An address that has one of these is signed.
    signed: Names,
    by_host: HashMap<Box<str>, Vec<Entry>>,
    by_name: HashMap<Box<str>, Vec<Entry>>,
    by_first_label: HashMap<Box<str>, Vec<Entry>>,
    everywhere: Vec<(Kind, u16)>,
    pub(super) foreign: Option<ClearUrls>,
    /// What is said of the version in `oyez check`: `built-in 2026-11-27`, and each further file.
    pub(super) versions: Vec<String>,
    ids: HashSet<String>,
}

/// One example of a rule: what goes in and what comes out; nothing comes out of what is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The rule's id.
    pub rule: String,
    /// Its line in the file.
    pub line: usize,
    /// An address.
    pub input: String,
    /// What it becomes.
    pub output: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: i64,
    updated: Option<String>,
    #[serde(default)]
    strip: Vec<Spanned<RawStrip>>,
    #[serde(default)]
    keep: Vec<Spanned<RawKeep>>,
    #[serde(default)]
    signed: Vec<Spanned<RawSigned>>,
    #[serde(default)]
    unwrap: Vec<Spanned<RawUnwrap>>,
    #[serde(default)]
    canonical: Vec<Spanned<RawCanonical>>,
    #[serde(default)]
    secure: Vec<Spanned<RawMark>>,
    #[serde(default)]
    expand: Vec<Spanned<RawExpand>>,
    #[serde(default)]
    refuse: Vec<Spanned<RawMark>>,
    #[serde(default)]
    landing: Vec<Spanned<RawMark>>,
    #[serde(default)]
    leave: Vec<Spanned<RawMark>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawStrip {
    id: String,
    why: String,
    #[serde(default)]
    #[serde(deserialize_with = "some")]
    hosts: Vec<String>,
    path: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    value: Option<String>,
    cut_path: Option<String>,
    example: [String; 2],
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawKeep {
    id: String,
    why: String,
    #[serde(default)]
    hosts: Vec<String>,
    path: Option<String>,
    #[serde(default)]
    contains: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    example: [String; 2],
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawSigned {
    id: String,
    why: String,
    names: Vec<String>,
    example: [String; 2],
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawUnwrap {
    id: String,
    why: String,
    #[serde(default)]
    hosts: Vec<String>,
    path: Option<String>,
    #[serde(default)]
    param: Vec<String>,
    rest: Option<String>,
    to: Option<String>,
    #[serde(default)]
    encoding: Encoding,
    scheme: Option<String>,
    #[serde(default)]
    same_site: bool,
    cut_after_last: Option<String>,
    #[serde(default)]
    also_strip: Vec<String>,
    example: [String; 2],
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawCanonical {
    id: String,
    why: String,
    hosts: Vec<String>,
    rest: Option<String>,
    to: Option<String>,
    host: Option<String>,
    drop_label: Option<String>,
    example: [String; 2],
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawExpand {
    id: String,
    why: String,
    hosts: Vec<String>,
    path: Option<String>,
    #[serde(default = "yes")]
    strip: bool,
    #[serde(default)]
    meta: bool,
    example: [String; 2],
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawMark {
    id: String,
    why: String,
    hosts: Vec<String>,
    path: Option<String>,
    example: [String; 2],
}

/// A list that is written has something in it: without `hosts` a rule counts everywhere, and an empty list says nothing.
fn some<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::deserialize(from)?;
    if list.is_empty() { Err(serde::de::Error::custom("an empty list")) } else { Ok(list) }
}

fn yes() -> bool {
    true
}

/// A mistake in one rule.
struct Wrong {
    rule: String,
    reason: String,
}

impl Rules {
    /// The built-in rules alone. Read once, when they are first asked for.
    pub fn built_in() -> Arc<Rules> {
        static RULES: LazyLock<Arc<Rules>> = LazyLock::new(|| {
            let mut rules = Rules::default();
            // Their test reads the same bytes; rules that cannot be read would be a program without any.
            rules.add(BUILT_IN, "built-in", false).expect("the built-in rules are checked by a test");
            Arc::new(rules)
        });
        Arc::clone(&RULES)
    }

    /// The built-in rules and further files on top, in order, each with its name: of the same format, or ClearURLs'
    /// `data.min.json`.
    ///
    /// # Errors
    /// The first file that is wrong, with line and reason. Then none of them counts.
    pub fn with<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Result<Arc<Rules>, RulesError> {
        let mut rules = Rules::default();
        rules.add(BUILT_IN, "built-in", false)?;
        for (file, text) in files {
            let wrong = |reason: String| RulesError { file: file.to_owned(), line: None, reason };
            if text.trim_start().starts_with('{') {
                if rules.foreign.is_some() {
                    return Err(wrong("there is a ClearURLs file already: one is enough".to_owned()));
                }
                rules.foreign = Some(ClearUrls::parse(text).map_err(wrong)?);
                rules.versions.push(format!("{file} (ClearURLs)"));
            } else {
                rules.add(text, file, true)?;
            }
        }
        Ok(Arc::new(rules))
    }

    /// `built-in 2026-11-27` and what was added.
    pub fn versions(&self) -> &[String] {
        &self.versions
    }

    /// The examples of a file, so that somebody can try them.
    ///
    /// # Errors
    /// As [`Rules::with`].
    pub fn examples(text: &str, file: &str) -> Result<Vec<Example>, RulesError> {
        let raw = read(text, file)?;
        let mut examples = Vec::new();
        let mut add = |at: std::ops::Range<usize>, id: &str, [input, output]: &[String; 2]| {
            examples.push(Example {
                rule: id.to_owned(),
                line: line_of(text, at.start),
                input: input.clone(),
                output: Some(output.clone()).filter(|output| !output.is_empty()),
            });
        };
        macro_rules! each {
            ($rules:expr) => {
                $rules.iter().for_each(|rule| add(rule.span(), &rule.get_ref().id, &rule.get_ref().example));
            };
        }
        each!(raw.strip);
        each!(raw.keep);
        each!(raw.signed);
        each!(raw.unwrap);
        each!(raw.canonical);
        each!(raw.expand);
        for marks in [&raw.secure, &raw.refuse, &raw.leave] {
            each!(marks);
        }
        Ok(examples)
    }

    /// The built-in file's text.
    pub fn built_in_text() -> &'static str {
        BUILT_IN
    }

    /// Adds one file; `checked` compiles its patterns at once.
    pub(super) fn add(&mut self, text: &str, file: &str, checked: bool) -> Result<(), RulesError> {
        let raw = read(text, file)?;
        let at = |span: std::ops::Range<usize>, wrong: Wrong| RulesError {
            file: file.to_owned(),
            line: Some(line_of(text, span.start)),
            reason: format!("rule `{}`: {}", wrong.rule, wrong.reason),
        };
        let updated = raw.updated.as_deref().unwrap_or("without a date");
        self.versions.push(format!("{file} {updated}"));
        macro_rules! each {
            ($rules:expr, $method:ident) => {
                for rule in $rules {
                    let span = rule.span();
                    let id = &rule.get_ref().id;
                    // Who reads `rule utm` in an explanation must find one of that name.
                    if !self.ids.insert(id.clone()) {
                        let reason = "there is a rule of this name already".to_owned();
                        return Err(at(span, Wrong { rule: id.clone(), reason }));
                    }
                    self.$method(rule.into_inner(), checked).map_err(|wrong| at(span, wrong))?;
                }
            };
        }
        each!(raw.strip, add_strip);
        each!(raw.keep, add_keep);
        each!(raw.signed, add_signed);
        each!(raw.unwrap, add_unwrap);
        each!(raw.canonical, add_canonical);
        each!(raw.secure, add_secure);
        each!(raw.expand, add_expand);
        each!(raw.refuse, add_refuse);
        each!(raw.landing, add_landing);
        each!(raw.leave, add_leave);
        Ok(())
    }

    fn add_strip(&mut self, raw: RawStrip, checked: bool) -> Result<(), Wrong> {
        let check = Check::new(&raw.id, &raw.why, checked)?;
        if raw.names.is_empty() && raw.cut_path.is_none() {
            return Err(check.wrong("it names nothing to drop"));
        }
        let own_host = match raw.value.as_deref() {
            None => false,
            Some("own-host") => true,
            Some(other) => return Err(check.wrong(&format!("`value` can only be `own-host`, not `{other}`"))),
        };
        let index = check.index(self.strips.len())?;
        let is_global = raw.hosts.is_empty() && raw.path.is_none() && !own_host && raw.cut_path.is_none();
        let names = check.names(&raw.names, index)?;
        if is_global {
            for name in &raw.names {
                self.global.add(name, index);
            }
        } else {
            self.place(&check, Kind::Strip, index, &raw.hosts, Reach::Below)?;
        }
        self.strips.push(Strip {
            place: Where { path: check.pattern(raw.path)?, contains: Vec::new() },
            cut_path: check.pattern(raw.cut_path)?,
            id: raw.id,
            why: raw.why,
            names,
            own_host,
        });
        Ok(())
    }

    fn add_keep(&mut self, raw: RawKeep, checked: bool) -> Result<(), Wrong> {
        let check = Check::new(&raw.id, &raw.why, checked)?;
        if raw.hosts.is_empty() && raw.path.is_none() && raw.contains.is_empty() {
            return Err(check.wrong("without hosts, a path or words it would keep everything everywhere"));
        }
        let index = check.index(self.keeps.len())?;
        self.place(&check, Kind::Keep, index, &raw.hosts, Reach::Below)?;
        self.keeps.push(Keep {
            place: Where { path: check.pattern(raw.path)?, contains: raw.contains },
            names: check.names(&raw.names, index)?,
        });
        Ok(())
    }

    fn add_signed(&mut self, raw: RawSigned, checked: bool) -> Result<(), Wrong> {
        let check = Check::new(&raw.id, &raw.why, checked)?;
        check.names(&raw.names, 0)?;
        for name in &raw.names {
            self.signed.add(name, 0);
        }
        Ok(())
    }

    fn add_unwrap(&mut self, raw: RawUnwrap, checked: bool) -> Result<(), Wrong> {
        let check = Check::new(&raw.id, &raw.why, checked)?;
        if raw.hosts.is_empty() && raw.path.is_none() {
            return Err(check.wrong("an unwrap rule needs hosts, or at least a path"));
        }
        if raw.param.is_empty() == raw.rest.is_none() {
            return Err(check.wrong("it needs either `param` or `rest`"));
        }
        if raw.to.is_some() && raw.rest.is_none() {
            return Err(check.wrong("`to` needs `rest`"));
        }
        if let Some(scheme) = raw.scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https")) {
            return Err(check.wrong(&format!("`scheme` can be http or https, not `{scheme}`")));
        }
        let index = check.index(self.unwraps.len())?;
        self.place(&check, Kind::Unwrap, index, &raw.hosts, Reach::Below)?;
        self.unwraps.push(Unwrap {
            place: Where { path: check.pattern(raw.path)?, contains: Vec::new() },
            params: raw.param,
            rest: check.pattern_with_group(raw.rest)?,
            also_strip: check.names(&raw.also_strip, index)?,
            id: raw.id,
            why: raw.why,
            to: raw.to,
            encoding: raw.encoding,
            scheme: raw.scheme,
            same_site: raw.same_site,
            cut_after_last: raw.cut_after_last,
        });
        Ok(())
    }

    fn add_canonical(&mut self, raw: RawCanonical, checked: bool) -> Result<(), Wrong> {
        let check = Check::new(&raw.id, &raw.why, checked)?;
        let ways = [raw.to.is_some(), raw.host.is_some(), raw.drop_label.is_some()];
        if ways.iter().filter(|way| **way).count() != 1 {
            return Err(check.wrong("it needs one of `to`, `host` and `drop-label`"));
        }
        if raw.to.is_some() != raw.rest.is_some() {
            return Err(check.wrong("`rest` and `to` belong together"));
        }
        if raw.hosts.is_empty() {
            return Err(check.wrong("it needs hosts"));
        }
        let index = check.index(self.canonicals.len())?;
        self.place(&check, Kind::Canonical, index, &raw.hosts, Reach::Below)?;
        self.canonicals.push(Canonical {
            rest: check.pattern_with_group(raw.rest)?,
            id: raw.id,
            why: raw.why,
            to: raw.to,
            host: raw.host,
            drop_label: raw.drop_label,
        });
        Ok(())
    }

    fn add_expand(&mut self, raw: RawExpand, checked: bool) -> Result<(), Wrong> {
        let check = Check::new(&raw.id, &raw.why, checked)?;
        if raw.hosts.is_empty() {
            return Err(check.wrong("it needs hosts"));
        }
        let index = check.index(self.expands.len())?;
        // A shortener's subdomains are often somebody else's (`maps.app.goo.gl`).
        self.place(&check, Kind::Expand, index, &raw.hosts, Reach::Exact)?;
        self.expands.push(Expand {
            place: Where { path: check.pattern(raw.path)?, contains: Vec::new() },
            id: raw.id,
            why: raw.why,
            strip: raw.strip,
            meta: raw.meta,
        });
        Ok(())
    }

    fn add_secure(&mut self, raw: RawMark, checked: bool) -> Result<(), Wrong> {
        let index = self.secures.len();
        let mark = self.mark(raw, checked, Kind::Secure, index, Reach::Below)?;
        self.secures.push(mark);
        Ok(())
    }

    fn add_refuse(&mut self, raw: RawMark, checked: bool) -> Result<(), Wrong> {
        let index = self.refuses.len();
        let mark = self.mark(raw, checked, Kind::Refuse, index, Reach::Below)?;
        self.refuses.push(mark);
        Ok(())
    }

    fn add_landing(&mut self, raw: RawMark, checked: bool) -> Result<(), Wrong> {
        let index = self.landings.len();
        let mark = self.mark(raw, checked, Kind::Landing, index, Reach::Below)?;
        self.landings.push(mark);
        Ok(())
    }

    fn add_leave(&mut self, raw: RawMark, checked: bool) -> Result<(), Wrong> {
        let index = self.leaves.len();
        let mark = self.mark(raw, checked, Kind::Leave, index, Reach::Exact)?;
        self.leaves.push(mark);
        Ok(())
    }

    fn mark(&mut self, raw: RawMark, checked: bool, kind: Kind, index: usize, reach: Reach) -> Result<Mark, Wrong> {
        let check = Check::new(&raw.id, &raw.why, checked)?;
        if raw.hosts.is_empty() {
            return Err(check.wrong("it needs hosts"));
        }
        let index = check.index(index)?;
        self.place(&check, kind, index, &raw.hosts, reach)?;
        Ok(Mark { why: raw.why, place: Where { path: check.pattern(raw.path)?, contains: Vec::new() } })
    }

    /// Files a rule under its hosts; `plain` is what a host without a sign means for this kind.
    fn place(&mut self, check: &Check, kind: Kind, index: u16, hosts: &[String], plain: Reach) -> Result<(), Wrong> {
        if hosts.is_empty() {
            self.everywhere.push((kind, index));
        }
        for host in hosts {
            let host = host.to_lowercase();
            let is_host = |part: &str| {
                !part.is_empty()
                    && part.split('.').all(|label| {
                        !label.is_empty()
                            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                    })
            };
            let wrong = || check.wrong(&format!("`{host}` is not a host (international names as `xn--…`)"));
            let entry = |reach, before| Entry { kind, index, reach, before };
            if let Some(first) = host.strip_suffix(".**") {
                if !is_host(first) || first.contains('.') {
                    return Err(wrong());
                }
                self.by_first_label.entry(first.into()).or_default().push(entry(Reach::Below, None));
            } else if let Some(name) = host.strip_suffix(".*") {
                if !is_host(name) {
                    return Err(wrong());
                }
                let (before, label) = match name.rsplit_once('.') {
                    Some((before, label)) => (Some(before.into()), label),
                    None => (None, name),
                };
                self.by_name.entry(label.into()).or_default().push(entry(Reach::Below, before));
            } else {
                let (reach, bare) = if let Some(bare) = host.strip_prefix('=') {
                    (Reach::Exact, bare)
                } else if let Some(bare) = host.strip_prefix("*.") {
                    (Reach::OnlyBelow, bare)
                } else {
                    (plain, host.as_str())
                };
                if !is_host(bare) {
                    return Err(wrong());
                }
                self.by_host.entry(bare.into()).or_default().push(entry(reach, None));
            }
        }
        Ok(())
    }

    /// The rules that count on a host (lower case, no root dot).
    pub(super) fn on_host(&self, host: &str) -> OnHost<'_> {
        let mut found: Vec<(Kind, u16)> = self.everywhere.clone();
        let mut rest = host;
        let mut is_whole = true;
        loop {
            if let Some(entries) = self.by_host.get(rest) {
                let counts = |reach| match reach {
                    Reach::Below => true,
                    Reach::Exact => is_whole,
                    Reach::OnlyBelow => !is_whole,
                };
                found.extend(entries.iter().filter(|e| counts(e.reach)).map(|e| (e.kind, e.index)));
            }
            let Some((label, below)) = rest.split_once('.') else { break };
            if let Some(entries) = self.by_name.get(label) {
                let is_suffix = suffix::is_registry(below);
                let before = host[..host.len() - rest.len()].trim_end_matches('.');
                found.extend(
                    entries
                        .iter()
                        .filter(|e| {
                            is_suffix
                                && e.before.as_deref().is_none_or(|want| {
                                    before == want || before.strip_suffix(want).is_some_and(|r| r.ends_with('.'))
                                })
                        })
                        .map(|e| (e.kind, e.index)),
                );
            }
            if is_whole && let Some(entries) = self.by_first_label.get(label) {
                found.extend(entries.iter().map(|e| (e.kind, e.index)));
            }
            is_whole = false;
            rest = below;
        }
        // `www.bit.ly` answers as `bit.ly` does.
        let bare = host.strip_prefix("www.").and_then(|bare| self.by_host.get(bare));
        let is_exact = |entry: &&Entry| entry.kind == Kind::Expand && entry.reach == Reach::Exact;
        found.extend(bare.into_iter().flatten().filter(is_exact).map(|e| (e.kind, e.index)));
        let mut on = OnHost::default();
        for (kind, index) in found {
            let at = usize::from(index);
            match kind {
                Kind::Strip => on.strips.push((index, &self.strips[at])),
                Kind::Keep => on.keeps.push(&self.keeps[at]),
                Kind::Unwrap => on.unwraps.push(&self.unwraps[at]),
                Kind::Canonical => on.canonicals.push(&self.canonicals[at]),
                Kind::Secure => on.secure = Some(&self.secures[at]),
                Kind::Expand => on.expand = Some(&self.expands[at]),
                Kind::Refuse => on.refuse = Some(&self.refuses[at]),
                Kind::Landing => on.landings.push(&self.landings[at]),
                Kind::Leave => on.leave = Some(&self.leaves[at]),
            }
        }
        on
    }

    /// The strip rule that drops a name, in lower case, everywhere.
    pub(super) fn global(&self, name: &str) -> Option<u16> {
        self.global.rule(name)
    }

    /// Does a name, in lower case, say that the address is signed?
    pub(super) fn is_signature(&self, name: &str) -> bool {
        self.signed.rule(name).is_some()
    }

    pub(super) fn strip(&self, index: u16) -> &Strip {
        &self.strips[usize::from(index)]
    }
}

/// What is checked of every rule.
struct Check {
    rule: String,
    checked: bool,
}

impl Check {
    fn new(id: &str, why: &str, checked: bool) -> Result<Self, Wrong> {
        let check = Self { rule: id.to_owned(), checked };
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(check.wrong("an id has lower-case letters, digits and `-`"));
        }
        if why.trim().is_empty() {
            return Err(check.wrong("it gives no reason"));
        }
        Ok(check)
    }

    fn wrong(&self, reason: &str) -> Wrong {
        Wrong { rule: self.rule.clone(), reason: reason.to_owned() }
    }

    fn index(&self, index: usize) -> Result<u16, Wrong> {
        u16::try_from(index).map_err(|_| self.wrong("there are too many rules of this kind"))
    }

    fn names(&self, list: &[String], rule: u16) -> Result<Names, Wrong> {
        let mut names = Names::default();
        for name in list {
            let bare = name.strip_suffix('*').unwrap_or(name);
            if bare.contains('*') || bare.len() < 2 && name.ends_with('*') || bare.is_empty() {
                return Err(self.wrong(&format!("`{name}`: a name is exact, or has one `*` after two letters or more")));
            }
            names.add(name, rule);
        }
        Ok(names)
    }

    fn pattern(&self, source: Option<String>) -> Result<Option<Pattern>, Wrong> {
        let Some(source) = source else { return Ok(None) };
        let pattern = Pattern::new(source);
        if self.checked {
            pattern.check().map_err(|reason| self.wrong(&reason))?;
        }
        Ok(Some(pattern))
    }

    fn pattern_with_group(&self, source: Option<String>) -> Result<Option<Pattern>, Wrong> {
        let pattern = self.pattern(source)?;
        let groups = pattern.as_ref().filter(|_| self.checked).and_then(Pattern::regex).map(Regex::captures_len);
        match groups {
            Some(0 | 1) => Err(self.wrong("the pattern has no group for the target")),
            Some(_) | None => Ok(pattern),
        }
    }
}

fn read(text: &str, file: &str) -> Result<File, RulesError> {
    let raw: File = toml::from_str(text).map_err(|error| RulesError {
        file: file.to_owned(),
        line: error.span().map(|span| line_of(text, span.start)),
        reason: error.message().to_owned(),
    })?;
    if raw.version != VERSION {
        let reason = format!("it is of version {}, and this program reads version {VERSION}", raw.version);
        return Err(RulesError { file: file.to_owned(), line: None, reason });
    }
    let is_date = |text: &str| text.parse::<jiff::civil::Date>().is_ok();
    if let Some(updated) = raw.updated.as_deref().filter(|text| !is_date(text)) {
        let reason = format!("`updated` is a date like 2026-11-29, not `{updated}`");
        return Err(RulesError { file: file.to_owned(), line: None, reason });
    }
    Ok(raw)
}

fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}
