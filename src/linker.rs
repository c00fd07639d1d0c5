//! The rewriter as a configuration sets it up: its rules, the operator's own sites, what is kept.
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use url::Url;

use crate::config::{AccountSpec, Config, SourceSpec};
use crate::guard::Guard;
use crate::http::Http;
use crate::link;
use crate::link::gate::Gate;
use crate::link::rewrite::{Context, MAX_HOPS, Opened, Rewrite, has_web_scheme, nothing_opened};
use crate::link::rules::{Rules, RulesError};

/// Why what [`Linker::refused_in`] finds is refused, in words for the team.
pub(crate) const REFUSED: &str = "it is a link shortener's, holds a user name or password, or leads to no public place";

/// Rewrites links for one configuration. Cheap to ask; made once.
#[derive(Debug)]
pub struct Linker {
    /// The built-in ones alone are read when the first link comes: nothing can be wrong with them.
    rules: OnceLock<Arc<Rules>>,
    gate: Gate,
    keep: Vec<String>,
    referrers: Vec<String>,
    expand: bool,
}

impl Linker {
    /// Reads the files of rules that the configuration names.
    ///
    /// # Errors
    /// The first file that is wrong.
    pub fn new(config: &Config) -> Result<Self, RulesError> {
        let servers = config.accounts.iter().filter_map(|account| match &account.spec {
            AccountSpec::Mastodon { server, .. } => Some(server),
            AccountSpec::File { .. } => None,
        });
        let own = config.sources.iter().map(|source| source.spec.url()).chain(servers).filter_map(link::host).collect();
        let is_read = |spec: &SourceSpec| matches!(spec, SourceSpec::Discourse { .. } | SourceSpec::Feed { .. });
        let referrers = config
            .sources
            .iter()
            .filter(|source| is_read(&source.spec))
            .filter_map(|source| Some(source.spec.url().host_str()?.to_owned()))
            .collect();
        let gate = Gate::new(Guard::new(&config.network.allow_private), own);
        Ok(Self {
            rules: match config.links.rules.as_slice() {
                [] => OnceLock::new(),
                paths => OnceLock::from(rules(paths, &gate)?),
            },
            gate,
            keep: config.links.keep.clone(),
            referrers,
            expand: config.links.expand,
        })
    }

    /// Without a configuration: the built-in rules.
    pub fn built_in() -> Self {
        Self { rules: OnceLock::new(), gate: Gate::default(), keep: Vec::new(), referrers: Vec::new(), expand: true }
    }

    /// Whoever names this address by hand means it: its site counts as named in the configuration.
    pub fn trust(&mut self, url: &Url) {
        self.gate.trust(url);
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        self.rules.get_or_init(Rules::built_in)
    }

    /// May shorteners be asked?
    pub fn expands(&self) -> bool {
        self.expand
    }

    /// What becomes of a link. `kept`: a person wants it as it was written.
    pub fn rewrite(&self, input: &str, kept: bool, opened: &dyn Fn(&str) -> Option<Opened>) -> Rewrite {
        let context = Context { gate: &self.gate, keep: &self.keep, kept, referrers: &self.referrers, opened };
        self.rules().rewrite(input, &context)
    }

    /// Asks the network whatever stands between a link and its target, hop by hop, at most [`MAX_HOPS`] times; what was
    /// learnt is added to `known`. Returns the rewrite with it.
    pub async fn open(
        &self,
        http: &Http,
        input: &str,
        known: &mut BTreeMap<String, Result<Opened, String>>,
    ) -> Rewrite {
        for _ in 0..=MAX_HOPS {
            let rewrite = self.rewrite(input, false, &|short| known.get(short).and_then(|one| one.clone().ok()));
            let Some(short) = rewrite.unopened.clone().filter(|short| self.expand && !known.contains_key(short)) else {
                return rewrite;
            };
            let Ok(url) = Url::parse(&short) else { return rewrite };
            let answer = http.open_short(&url, self.rules().may_answer_pages(&url)).await;
            known.insert(short, answer);
        }
        self.rewrite(input, false, &|short| known.get(short).and_then(|one| one.clone().ok()))
    }

    /// What may stand in no post: the short links of known shorteners, also inside a wrapper and without a scheme, and
    /// addresses that hold a password. Nothing with one leaves. Looks closer than [`link::find`]: a link that we do not
    /// take for one may still be one to a network.
    pub fn refused_in(&self, text: &str) -> Vec<String> {
        let mut refused: Vec<String> = Vec::new();
        let mut refuse = |shown: &str| {
            if !refused.iter().any(|known| known == shown) {
                refused.push(shown.to_owned());
            }
        };
        for range in link::find(text) {
            let shown = &text[range];
            if Url::parse(shown).is_ok_and(|url| self.gate.judge(&url).is_err()) || self.hides_short(shown) {
                refuse(shown);
            }
        }
        let is_edge = |c: char| {
            c.is_whitespace()
                || c.is_control()
                || matches!(c, '<' | '>' | '"' | '\'' | '`' | '(' | ')' | '[' | ']' | '{' | '}')
        };
        // As much as an address may be long: a longer word is looked at in pieces, so that it takes no longer.
        let start_of = |word| crate::text::cut(word, link::gate::MAX_URL_BYTES);
        for word in text.split(is_edge) {
            let in_scheme = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            for (at, _) in word.match_indices("://") {
                let length: usize = word[..at].chars().rev().take_while(in_scheme).count();
                let written = start_of(&word[at - length..]);
                // `https://git@…` and `ssh://git@…` are how a repository is named; a page needs neither name nor password.
                let is_closed = |url: Url| match url.scheme() {
                    "http" | "https" => url.password().is_some() || !matches!(url.username(), "" | "git"),
                    scheme => scheme == "ftp" && url.password().is_some(),
                };
                if Url::parse(written).is_ok_and(is_closed) {
                    refuse(written);
                }
                // `out.https://…` is no scheme of anybody's: networks see the address behind it.
                let mut ends = ["https", "http"].into_iter().filter_map(|s| word.get(at.checked_sub(s.len())?..));
                if let Some(address) = ends.find(|rest| has_web_scheme(rest)).map(start_of)
                    && self.hides_short(address)
                {
                    refuse(address);
                }
            }
            // `bit.ly/abc` is a link on some networks.
            for (slash, _) in word.match_indices('/') {
                let length: usize = word[..slash].chars().rev().take_while(in_scheme).count();
                let (before, bare) = word.split_at(slash - length);
                // A part of a path is no host: `by-name/gi/git.io/package.nix`.
                let is_host = bare[..length].contains('.') && !before.ends_with('/');
                if is_host && self.is_short(&format!("https://{}", start_of(bare))) {
                    refuse(bare);
                }
            }
        }
        refused
    }

    fn is_short(&self, address: &str) -> bool {
        Url::parse(address).is_ok_and(|url| self.rules().is_short(&url))
    }

    fn hides_short(&self, address: &str) -> bool {
        Url::parse(address).is_ok_and(|url| self.rules().hides_short(&url, &self.gate))
    }
}

/// In bytes: no honest file of rules is larger (ClearURLs': 106 kB).
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads files of rules and puts them on top of the built-in ones.
///
/// # Errors
/// The first file that is wrong, or one of whose rules does not do what its example says.
fn rules(paths: &[PathBuf], gate: &Gate) -> Result<Arc<Rules>, RulesError> {
    let mut files = Vec::new();
    for path in paths {
        let file = path.display().to_string();
        let mut text = String::new();
        let read =
            std::fs::File::open(path).and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
        let reason = match read {
            Err(error) => error.to_string(),
            Ok(bytes) if bytes as u64 > MAX_FILE_BYTES => format!("it is larger than {MAX_FILE_BYTES} bytes"),
            Ok(_) => {
                files.push((file, text));
                continue;
            }
        };
        return Err(RulesError { file, line: None, reason });
    }
    let rules = Rules::with(files.iter().map(|(file, text)| (file.as_str(), text.as_str())))?;
    let context = Context { gate, keep: &[], kept: false, referrers: &[], opened: &nothing_opened };
    for (file, text) in files.iter().filter(|(_, text)| !text.trim_start().starts_with('{')) {
        for example in Rules::examples(text, file)? {
            let becomes = rules.rewrite(&example.input, &context).output;
            if becomes != example.output {
                let shown =
                    |output: Option<String>| output.map_or("nothing".to_owned(), |output| format!("`{output}`"));
                let reason = format!(
                    "rule `{}`: its example `{}` becomes {}, not {}",
                    example.rule,
                    example.input,
                    shown(becomes),
                    shown(example.output)
                );
                return Err(RulesError { file: file.clone(), line: Some(example.line), reason });
            }
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_08_no_short_link_and_no_password_stands_in_a_text_in_any_writing() {
        let linker = Linker::built_in();
        for refused in [
            "It is out.https://bit.ly/abc",
            "見てhttps://bit.ly/abcを見てください",
            "Жhttps://bit.ly/abc",
            "https://nixos.org/x,https://bit.ly/ghi",
            "https://nixos.org/a。「https://bit.ly/abc」",
            "“https://nixos.org/x”“https://bit.ly/abc”",
            "https://https://bit.ly/abc",
            "HTTPS://BIT.LY/abc",
            "see bit.ly/abc, or www.bit.ly/abc.",
            "見てbit.ly/abc",
            "and/or、bit.ly/abc",
            "https://nixos.org/x、bit.ly/abc",
            "https://www.google.com/url?q=https://bit.ly/jkl",
            "https://l.facebook.com/l.php?u=https%3A%2F%2Fbit.ly%2Fx",
            "https://user:pw@cred.example.org/",
            "(ftp://user:pw@files.example.org/a)",
        ] {
            assert_ne!(linker.refused_in(refused), Vec::<String>::new(), "{refused}");
        }
        for fine in [
            "https://nixos.org/blog?q=1 and https://web.archive.org/web/2020/https://nixos.org/",
            "flake.nix, lib/default.nix, pkgs/by-name/he/hello/package.nix, github.com/NixOS/nixpkgs",
            "https://youtu.be/dQw4w9WgXcQ https://doi.org/10.1000/182",
            "mail ida@example.org, ssh://git@example.com, https://git@github.com/NixOS/nixpkgs, localhost:8080/x",
            "postgres://user:pw@localhost/db, and/or, 24/7, a/b/c.nix, pkgs/by-name/gi/git.io/package.nix",
        ] {
            assert_eq!(linker.refused_in(fine), Vec::<String>::new());
        }
    }

    /// What is said of a file with these rules; `None`: nothing, it is read.
    fn refused(text: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.toml");
        std::fs::write(&path, text).unwrap();
        rules(&[path], &Gate::default()).err().map(|error| format!("line {:?}: {}", error.line, error.reason))
    }

    fn strip(id: &str, rest: &str) -> String {
        format!("version = 1\n\n[[strip]]\nid = \"{id}\"\nwhy = \"says who shared it\"\nnames = [\"zz\"]\n{rest}\n")
    }

    #[test]
    fn a_rule_does_what_its_example_says() {
        let right = "example = [\"https://example.org/?zz=1&id=2\", \"https://example.org/?id=2\"]";
        assert_eq!(refused(&strip("here", right)), None);
        let said = refused(&strip("here", &right.replace("\"https://example.org/?id=2\"", "\"https://example.org/\"")));
        let said = said.unwrap();
        assert!(said.starts_with("line Some(3): rule `here`: its example"), "{said}");
        assert!(said.contains("becomes `https://example.org/?id=2`, not `https://example.org/`"), "{said}");
        let elsewhere = refused(&strip("here", &format!("hosts = [\"other.example\"]\n{right}"))).unwrap();
        assert!(elsewhere.contains("its example"), "{elsewhere}");
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let example = "example = [\"https://example.org/?zz=1\", \"https://example.org/\"]";
        let again = refused(&strip("utm", example)).unwrap();
        assert!(again.contains("a rule of this name already"), "{again}");
        let nowhere = refused(&strip("here", &format!("hosts = []\n{example}"))).unwrap();
        assert!(nowhere.contains("an empty list"), "{nowhere}");
        let dated = strip("here", example).replace("version = 1", "version = 1\nupdated = \"yesterday\"");
        assert!(refused(&dated).unwrap().contains("a date like"), "{dated}");
    }
}
