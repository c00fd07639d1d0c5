//! ClearURLs' rules, read at run time from a file of the operator's: what they strip, and nothing else.
//!
//! Its redirections are not run: they lead to targets that nobody checks, and some fire on any page (links.md 1.4). Nor are
//! its raw rules, its blocking, and its removal of `ref`. The format is not documented as it is run; links.md 1.3 says how.
use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::Deserialize;

/// In bytes, of the compiled patterns of one provider, and of all address patterns together.
const MAX_COMPILED: usize = 8 * 1024 * 1024;
/// In bytes, of what is remembered while matching.
const MAX_CACHE: usize = 4 * 1024 * 1024;
/// Names that its global rules take for trackers and that mean something on many sites (links.md 1.4 and 1.10).
const NEVER_GLOBAL: [&str; 24] = [
    "ref", "referrer", "source", "src", "from", "s", "t", "si", "cid", "id", "e", "tag", "share", "form", "keywords",
    "q", "u", "mc", "amc", "smc", "aid", "elq", "p", "v",
];

#[derive(Deserialize)]
struct File {
    providers: BTreeMap<String, Provider>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    url_pattern: String,
    #[serde(default)]
    complete_provider: bool,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    exceptions: Vec<String>,
}

/// Patterns that are compiled when they are first asked.
#[derive(Debug)]
struct Set {
    sources: Vec<String>,
    compiled: OnceLock<Option<RegexSet>>,
}

impl Set {
    fn new(sources: Vec<String>) -> Self {
        Self { sources, compiled: OnceLock::new() }
    }

    fn get(&self) -> Option<&RegexSet> {
        self.compiled
            .get_or_init(|| {
                RegexSetBuilder::new(&self.sources)
                    .case_insensitive(true)
                    // The patterns name letters of addresses, which are ASCII by now.
                    .unicode(false)
                    .size_limit(MAX_COMPILED)
                    .dfa_size_limit(MAX_CACHE)
                    .build()
                    .inspect_err(|error| tracing::warn!(%error, "rules of the ClearURLs file cannot be used"))
                    .ok()
            })
            .as_ref()
    }

    fn is_match(&self, text: &str) -> bool {
        !self.sources.is_empty() && self.get().is_some_and(|set| set.is_match(text.as_bytes()))
    }
}

/// What one provider drops.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) provider: String,
    names: Set,
    exceptions: Set,
}

impl Names {
    /// Does it drop a parameter of this name?
    pub(super) fn drops(&self, name: &str) -> bool {
        self.names.is_match(name)
    }
}

/// A file in force.
#[derive(Debug)]
pub(super) struct ClearUrls {
    addresses: Set,
    providers: Vec<Names>,
}

impl ClearUrls {
    /// Reads a file; a pattern that is none refuses it whole. Patterns are compiled later, where they are needed.
    ///
    /// # Errors
    /// In words, with the provider.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| format!("it is no ClearURLs file: {error}"))?;
        let mut addresses = Vec::new();
        let mut providers = Vec::new();
        for (name, provider) in file.providers {
            let check = |pattern: &String| match regex_syntax::ast::parse::Parser::new().parse(pattern) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("provider `{name}`: the pattern `{pattern}` is wrong: {}", error.kind())),
            };
            check(&provider.url_pattern)?;
            provider.rules.iter().chain(&provider.exceptions).try_for_each(check)?;
            if provider.complete_provider || provider.rules.is_empty() {
                continue;
            }
            let is_global = provider.url_pattern == ".*";
            let rules = provider
                .rules
                .iter()
                .filter(|rule| !is_global || !takes_too_much(rule))
                .map(|rule| format!("^(?:{rule})$"))
                .collect();
            addresses.push(provider.url_pattern);
            providers.push(Names { provider: name, names: Set::new(rules), exceptions: Set::new(provider.exceptions) });
        }
        Ok(Self { addresses: Set::new(addresses), providers })
    }

    /// The providers whose rules count for an address.
    pub(super) fn on<'c>(&'c self, address: &str) -> Vec<&'c Names> {
        let Some(addresses) = self.addresses.get() else { return Vec::new() };
        let on = addresses.matches(address.as_bytes()).into_iter().map(|index| &self.providers[index]);
        on.filter(|provider| !provider.exceptions.is_match(address)).collect()
    }
}

fn takes_too_much(rule: &str) -> bool {
    let pattern = format!("(?i)^(?:{rule})$");
    super::rules::compile(&pattern).is_ok_and(|regex| NEVER_GLOBAL.iter().any(|name| regex.is_match(name)))
}
