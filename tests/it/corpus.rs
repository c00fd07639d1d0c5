//! Real documents through the real program: every file of the corpus, and thousands of damaged ones.
//!
//! The corpus is no part of this repository: `OYEZ_CORPUS` names a folder with `sources/` in it, and without it these
//! tests say that they are skipped.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use oyez::count;
use oyez::item::Found;
use oyez::platform::{Limits, file};
use oyez::render::{Compose, Templates, compose};
use oyez::source::document;
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

/// Limits of the file account, in grapheme clusters: short, so that much is cut.
const SHORT: usize = 240;
/// Processes at a time.
const WORKERS: usize = 4;
/// Damaged documents.
const VARIANTS: u64 = 3_000;
/// In bytes. Larger files are damaged no further: what they hold, smaller ones hold as well.
const VARIED_BYTES: usize = 96 * 1024;

/// The folder of the captures, or a word that there is none.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn sources() -> Option<PathBuf> {
    let folder = std::env::var_os("OYEZ_CORPUS").map(|corpus| PathBuf::from(corpus).join("sources"));
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("skipped: OYEZ_CORPUS names no folder with `sources` in it");
    }
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// What a reader, or the owner of a name in it, would take amiss in a post. `source`: everything its item says.
pub fn blemishes(text: &str, link: &str, source: &str) -> Vec<String> {
    let mut all = Vec::new();
    let urls = count::urls(text);
    let in_url = |at: usize| urls.iter().any(|url| url.contains(&at));
    for (at, sign) in text.match_indices(['@', '＠', '﹫']) {
        let before = text[..at].chars().next_back();
        let after = text[at + sign.len()..].chars().next();
        if !in_url(at)
            && !before.is_some_and(|c| c.is_ascii_alphanumeric())
            && after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        {
            all.push(format!("pings at {at}"));
        }
    }
    for (at, _) in text.match_indices('<') {
        let tag = text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        if tag && text[at..].contains('>') {
            all.push(format!("a tag at {at}"));
        }
    }
    if text.to_lowercase().contains("upload://") {
        all.push("an inner address".into());
    }
    // Braces that the source itself writes are its words; ours would be a template that was not rendered.
    for mark in ["{{", "}}", "{%", "%}", "{#"] {
        if text.contains(mark) && !source.contains(mark) {
            all.push(format!("template syntax `{mark}`"));
        }
    }
    let is_hidden = |c: char| {
        c != '\n' && c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{200b}' | '\u{feff}')
    };
    all.extend(text.chars().filter(|c| is_hidden(*c)).map(|c| format!("hidden {c:?}")));
    if text.lines().any(|line| line.trim_end() != line) || text.trim() != text {
        all.push("white space at an end".into());
    }
    if text.contains("\n\n\n") {
        all.push("two blank lines".into());
    }
    if !text.contains(link) {
        all.push("its link is missing".into());
    }
    // Whole addresses only: each is the item's, or stands in the source as it is.
    let known: BTreeSet<&str> = count::urls(source).into_iter().map(|url| &source[url]).collect();
    for url in &urls {
        let url = &text[url.clone()];
        if url != link && !link.starts_with(url) && !known.contains(url) {
            all.push(format!("an address that is in no source: {url}"));
        }
    }
    // What stands before an ellipsis is a start of the source that ends between two grapheme clusters.
    for line in text.lines() {
        let Some(start) = line.strip_suffix('…') else { continue };
        let word = start.split_whitespace().next_back().unwrap_or_default();
        let ends: Vec<usize> = source.match_indices(word).map(|(at, found)| at + found.len()).collect();
        let whole = |end: &usize| *end == source.len() || source.grapheme_indices(true).any(|(at, _)| at == *end);
        if !word.is_empty() && !ends.is_empty() && !ends.iter().any(whole) {
            all.push(format!("cut inside a letter: {word}"));
        }
    }
    all
}

struct Config(tempfile::TempDir);

impl Config {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let toml = format!(
            r#"
[service]
state = "{}"
[[account]]
name = "mastodon"
platform = "mastodon"
server = "https://social.example"
token = {{ env = "OYEZ_TEST_TOKEN" }}
hashtags = ["NixOS"]
[[account]]
name = "short"
platform = "file"
path = "-"
limit = {SHORT}
hashtags = ["NixOS"]
"#,
            dir.path().join("state").display()
        );
        std::fs::write(dir.path().join("oyez.toml"), toml).unwrap();
        Self(dir)
    }

    /// `config`: with it; else in a folder without any.
    fn preview(&self, document: &Path, config: bool) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oyez"));
        command.env_clear().env("OYEZ_TEST_TOKEN", "x").env("HOME", self.0.path());
        if config {
            command.arg("--config").arg(self.0.path().join("oyez.toml"));
            command.current_dir("/");
        } else {
            let empty = self.0.path().join("empty");
            std::fs::create_dir_all(&empty).unwrap();
            command.current_dir(empty);
        }
        command.args(["preview", "--json", "--file"]).arg(document).output().unwrap()
    }
}

#[derive(Default)]
struct Tally {
    read: usize,
    refused: usize,
    items: usize,
    posts: usize,
    faults: Vec<String>,
    rewrites: BTreeMap<String, BTreeSet<String>>,
}

impl Tally {
    /// Every link that is changed or refused, by its host and what was done with it.
    fn note_rewrites(&mut self, links: &Value) {
        for link in links.as_array().into_iter().flatten().filter(|link| link["input"] != link["output"]) {
            let input = link["input"].as_str().unwrap_or_default();
            let host =
                url::Url::parse(input).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
            let steps = link["steps"].as_array().into_iter().flatten();
            let done: Vec<String> = steps
                .map(|step| {
                    format!("{}: {}", step["kind"].as_str().unwrap_or("?"), step["why"].as_str().unwrap_or("?"))
                })
                .collect();
            let end = link["output"].as_str().or(link["refused"].as_str()).unwrap_or_default();
            // What wrappers carry may be a person's.
            let cut: String = input.chars().take(110).collect();
            let shown = format!("{cut}{}\n    -> {end}", if cut == input { "" } else { "…" });
            self.rewrites.entry(format!("{host}, {}", done.join("; "))).or_default().insert(shown);
        }
    }

    /// One example of each kind, with how many there are.
    fn rewrites_shown(&self) -> String {
        let shown = self.rewrites.iter().map(|(what, all)| {
            format!("{what}\n  {} times, such as {}\n", all.len(), all.first().map_or("", String::as_str))
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    fn take(&mut self, name: &str, output: &Output) {
        let errors = String::from_utf8_lossy(&output.stderr);
        let mut fault = |what: String| self.faults.push(format!("{name}: {what}"));
        match output.status.code() {
            Some(0) => self.read += 1,
            Some(1) => {
                self.refused += 1;
                let told: Option<Value> = serde_json::from_str(errors.trim()).ok();
                let message = told.as_ref().and_then(|error| error["error"].as_str()).unwrap_or_default();
                if message.trim().is_empty() || message.contains('\n') || message.len() > 1_500 {
                    fault(format!("refused with {errors:?}"));
                }
                if !output.stdout.is_empty() {
                    fault("refused, and printed something".into());
                }
                return;
            }
            other => return fault(format!("ended with {other:?}: {errors}")),
        }
        for line in String::from_utf8(output.stdout.clone()).expect("UTF-8 on stdout").lines() {
            let Ok(document) = serde_json::from_str::<Value>(line) else {
                self.faults.push(format!("{name}: not JSON: {line}"));
                continue;
            };
            self.items += 1;
            self.note_rewrites(&document["links"]);
            self.faults.extend(misshapen(&document).into_iter().map(|what| format!("{name}: {what}")));
            for post in document["posts"].as_array().into_iter().flatten() {
                self.posts += 1;
                self.faults.extend(
                    wrong(&document["item"], &document["links"], post)
                        .into_iter()
                        .map(|what| format!("{name}: {what}")),
                );
            }
        }
    }
}

/// Everything an item says: what a post may be made of.
fn said(item: &Value) -> String {
    let mut all = String::new();
    for key in ["title", "text", "url", "author", "event"] {
        all.push_str(item[key].as_str().unwrap_or_default());
        all.push('\n');
    }
    for key in ["links", "persons"] {
        for word in item[key].as_array().into_iter().flatten() {
            all.push_str(word.as_str().unwrap_or_default());
            all.push('\n');
        }
    }
    all
}

/// The fields that scripts rely on.
fn misshapen(document: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut want = |pointer: &str, holds: fn(&Value) -> bool| {
        if !document.pointer(pointer).is_some_and(holds) {
            wrong.push(format!("`{pointer}` is {:?}", document.pointer(pointer)));
        }
    };
    let text_or_null = |value: &Value| value.is_null() || value.is_string();
    for key in ["kind", "source_key", "title", "url", "text"] {
        want(&format!("/item/{key}"), Value::is_string);
    }
    for key in ["/item/author", "/item/published", "/policy/rule", "/policy/because"] {
        want(key, text_or_null);
    }
    for key in ["/item/images", "/item/tags", "/item/links", "/links", "/posts"] {
        want(key, Value::is_array);
    }
    want("/policy/verdict", Value::is_string);
    for (at, _) in document["posts"].as_array().into_iter().flatten().enumerate() {
        for key in ["account", "platform", "text"] {
            want(&format!("/posts/{at}/{key}"), Value::is_string);
        }
        for key in ["length", "limit"] {
            want(&format!("/posts/{at}/{key}"), Value::is_u64);
        }
        want(&format!("/posts/{at}/fits"), Value::is_boolean);
        want(&format!("/posts/{at}/card"), |_| true);
        for key in ["media", "warnings"] {
            want(&format!("/posts/{at}/{key}"), Value::is_array);
        }
    }
    for (at, _) in document["links"].as_array().into_iter().flatten().enumerate() {
        want(&format!("/links/{at}/input"), Value::is_string);
        want(&format!("/links/{at}/output"), text_or_null);
        want(&format!("/links/{at}/refused"), text_or_null);
        want(&format!("/links/{at}/steps"), Value::is_array);
    }
    wrong
}

/// What is wrong with a post of `item`, whose addresses became `links`.
fn wrong(item: &Value, links: &Value, post: &Value) -> Vec<String> {
    let text = post["text"].as_str().unwrap_or_default();
    let length = match post["platform"].as_str() {
        Some("mastodon") => count::mastodon(text, "", 23),
        _ => text.graphemes(true).count(),
    };
    let mut all = Vec::new();
    if Some(length as u64) != post["length"].as_u64() {
        all.push(format!("counts {length} and says {}", post["length"]));
    }
    if post["fits"] != true || Some(length as u64) > post["limit"].as_u64() {
        all.push(format!("does not fit: {length} of {}", post["limit"]));
    }
    let own = links.as_array().into_iter().flatten().find(|link| link["input"] == item["url"]);
    let Some(link) = own.and_then(|link| link["output"].as_str()) else {
        all.push(format!("a post without a link: {own:?}"));
        return all;
    };
    all.extend(blemishes(text, link, &said(item)));
    all.into_iter().map(|what| format!("{what} in {text:?}")).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are part of the result")]
fn every_document_of_the_corpus_is_previewed_or_refused_in_words() {
    let Some(folder) = sources() else { return };
    let started = std::time::Instant::now();
    let files = files(&folder);
    let config = Config::new();
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let at = files.iter().position(|f| f == file).unwrap();
                    let name = file.strip_prefix(&folder).unwrap().display().to_string();
                    let output = config.preview(file, true);
                    tally.lock().unwrap().take(&name, &output);
                    // Without a configuration the answer is the same kind of answer.
                    if at % 5 == 0 {
                        let bare = config.preview(file, false);
                        let mut other = Tally::default();
                        other.take(&format!("{name} without a configuration"), &bare);
                        let mut tally = tally.lock().unwrap();
                        if bare.status.code() != output.status.code() {
                            tally.faults.push(format!("{name}: another end without a configuration"));
                        }
                        tally.faults.extend(other.faults);
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    eprintln!(
        "{} files: {} read, {} refused; {} items, {} posts, {} faults in {} s",
        files.len(),
        tally.read,
        tally.refused,
        tally.items,
        tally.posts,
        tally.faults.len(),
        started.elapsed().as_secs()
    );
    assert!(tally.faults.is_empty(), "{}", tally.faults[..tally.faults.len().min(40)].join("\n"));
    assert!(tally.read > 0 && tally.posts > 0, "the corpus holds nothing that can be read");
    // Read by a human eye: each is right.
    insta::assert_snapshot!("link_rewrites", tally.rewrites_shown());
}

/// A small generator of its own, so that a failure names the seed that repeats it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

/// Cut, with flipped bits, with a piece doubled or taken out, or with hostile words put in.
fn damaged(bytes: &[u8], seed: u64) -> Vec<u8> {
    const WORDS: [&str; 14] = [
        "<b>",
        "</p>",
        "]]>",
        "&#x202e;",
        "\u{202e}",
        "@everyone ",
        "upload://x.png",
        "{{ link }}",
        "{% if %}",
        "\"",
        "\\ud800",
        "\u{0}",
        "https://user:pw@127.0.0.1/",
        "\\n\\n@ida@host.example",
    ];
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut out = bytes.to_vec();
    for _ in 0..=dice.below(2) {
        if out.is_empty() {
            break;
        }
        let at = dice.below(out.len());
        let end = (at + dice.below(200)).min(out.len());
        match dice.below(9) {
            0 => out.truncate(at),
            1 | 2 => out[at] ^= 1 << dice.below(8),
            3 => drop(out.drain(at..end)),
            4 => {
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            _ => drop(out.splice(at..at, WORDS[dice.below(WORDS.len())].bytes())),
        }
    }
    out
}

fn said_by(found: &Found) -> String {
    let author = found.author.as_ref().map(|author| author.name.as_str());
    let mut all = [Some(found.title.as_str()), Some(&found.text), Some(&found.url), author, found.event.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n");
    for word in found.links.iter().chain(&found.persons) {
        all.push('\n');
        all.push_str(word);
    }
    all
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are part of the result")]
fn damaged_documents_are_read_or_refused_and_never_worse() {
    let Some(folder) = sources() else { return };
    let started = std::time::Instant::now();
    let documents: Vec<(PathBuf, Vec<u8>)> = files(&folder)
        .into_iter()
        .map(|file| (file.clone(), std::fs::read(file).unwrap()))
        .filter(|(file, bytes)| bytes.len() <= VARIED_BYTES && document::recognise(bytes, file.to_str()).is_ok())
        .collect();
    let templates = Templates::default();
    let hashtags = ["NixOS".to_owned()];
    let limits = [("mastodon", Limits::mastodon()), ("file", file::usual_limits(SHORT))];
    let (mut read, mut posts) = (0, 0);
    for seed in 0..VARIANTS {
        let (file, bytes) = &documents[usize::try_from(seed).unwrap() % documents.len()];
        let bytes = damaged(bytes, seed);
        let case = format!("{} with seed {seed}", file.display());
        let Ok(all) = document::recognise(&bytes, file.file_name().and_then(|name| name.to_str())) else { continue };
        read += 1;
        for found in all.iter().take(6) {
            for (platform, limits) in &limits {
                let kind = ["announcement", "talk", "security"][usize::try_from(seed % 3).unwrap()];
                let input = Compose {
                    found,
                    link: &found.url,
                    kind,
                    mark: None,
                    hashtags: &hashtags,
                    language: None,
                    platform,
                    limits,
                };
                let post = match compose(&input, &templates) {
                    Ok(post) => post,
                    // An address that nobody should be sent to, or one longer than a post.
                    Err(error) => {
                        assert!(!error.to_string().is_empty(), "{case}");
                        continue;
                    }
                };
                posts += 1;
                assert!(post.length <= limits.max_length, "{case}: {} of {}", post.length, limits.max_length);
                let link = url::Url::parse(&found.url).unwrap();
                let blemishes = blemishes(&post.text, link.as_str(), &said_by(found));
                assert!(blemishes.is_empty(), "{case}: {blemishes:?} in {:?}", post.text);
            }
        }
    }
    eprintln!(
        "{VARIANTS} damaged variants of {} documents: {read} read, {posts} posts in {} s",
        documents.len(),
        started.elapsed().as_secs()
    );
}
