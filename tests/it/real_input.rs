//! The main job on real input: the real binary asks a forum, a channel and a conference that answer with captured bytes,
//! and a Mastodon receives the posts after the hold.
//!
//! What is real and what is put together here:
//! - The list of a Discourse category, the topics, the channel's feed, the list of conferences and the conference are
//!   captured answers, byte for byte. The captured topics come from four forums, so a list that leads to them and a
//!   `site.json` that has their categories are written here. One event of a conference is cut out of its capture, since
//!   none of them was captured alone.
//! - The announcements of NixOS are captured as Markdown; they are cooked here and posted to the pretend forum.
//! - There are no captures of security notices: those are written here.
//!
//! The snapshot is read like a timeline, and it is committed, so it holds little of what others wrote: the posts about
//! announcements of NixOS whole (quotations of a few sentences with title, date and link; NixOS contributors,
//! CC-BY-SA-4.0), of talks and videos the facts (title, names, link) without the words about them, and nothing of the
//! forum captures, which are under the GPL or without a licence: of those only properties are asserted.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use oyez::clock::{Clock, SystemClock};
use oyez::count;
use oyez::pretend::forum::{Forum, Topic, Writer};
use oyez::pretend::mastodon::{Flavour, Mastodon, TOKEN};
use oyez::pretend::video::{Channel, Conferences};
use serde_json::{Value, json};

use crate::corpus;

const CHANNEL: &str = "UCsXVk37bltHxD1rDPwtNM8Q";
const CHANNEL_NAME: &str = "Kurzgesagt – In a Nutshell";
const CONFERENCE: &str = "oscal19";
const CONFERENCE_NAME: &str = "Open Source Conference Albania 2019";
/// Captured topics: file, id, category.
const TOPICS: [(&str, u64, u64); 4] = [
    ("core-t-9.json", 9, 1),
    ("core-t-280.json", 280, 2),
    ("perceval-discourse_topic_1148.json", 1148, 111),
    ("api-gem-topic.json", 57, 13),
];
const JSON: &str = "application/json; charset=utf-8";
/// How long the team could object.
const WINDOW: Duration = Duration::from_secs(2);

struct Loopback {
    corpus: PathBuf,
    forum: Forum,
    channel: Channel,
    conferences: Conferences,
    mastodon: Mastodon,
    dir: tempfile::TempDir,
}

impl Loopback {
    async fn start(corpus: PathBuf) -> Self {
        let clock = Arc::new(SystemClock::new());
        let forum = Forum::start(clock.clone()).await.unwrap();
        let channel = Channel::start(CHANNEL, CHANNEL_NAME, clock.clone()).await.unwrap();
        let conferences = Conferences::start(clock.clone()).await.unwrap();
        let mastodon = Mastodon::start(Flavour::Mastodon, clock).await.unwrap();
        // The pictures of the captures are on the internet, which no test asks.
        mastodon.limit_media(0);
        let security = forum.add_category("Security", "security", None);
        let dir = tempfile::tempdir().unwrap();
        let toml = format!(
            r#"
[service]
state = "{state}"
[links]
wait-for-mirror = "none"
[[source]]
name = "announcements"
type = "discourse"
url = "{forum}"
category = 8
[[source]]
name = "security"
type = "discourse"
url = "{forum}"
category = {security}
kind = "security"
[[source]]
name = "captured"
type = "discourse"
url = "{forum}"
category = 1
subcategories = true
[[source]]
name = "channel"
type = "feed"
url = "{feed}"
kind = "talk"
[[source]]
name = "conference"
type = "media-ccc-de"
url = "{ccc}"
conferences = ["{CONFERENCE}"]
kind = "talk"
[hold]
window = "{window}s"
settle = "0s"
quiet-hours = "none"
spacing = "0s"
at-most = "none"
stale = "none"
[[account]]
name = "mastodon"
platform = "mastodon"
server = "{mastodon}"
token = {{ env = "OYEZ_TEST_TOKEN" }}
hashtags = ["NixOS"]
"#,
            state = dir.path().join("state").display(),
            forum = forum.base(),
            feed = channel.feed_url(),
            ccc = conferences.url(),
            mastodon = mastodon.url(),
            window = WINDOW.as_secs(),
        );
        std::fs::write(dir.path().join("oyez.toml"), toml).unwrap();
        Self { corpus, forum, channel, conferences, mastodon, dir }
    }

    fn capture(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.corpus.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The program, as a person or a timer calls it; the objects it prints.
    async fn oyez(&self, arguments: &[&str]) -> Vec<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oyez"));
        command.env_clear().env("OYEZ_TEST_TOKEN", TOKEN).env("HOME", self.dir.path()).current_dir("/");
        command.arg("--config").arg(self.dir.path().join("oyez.toml")).args(arguments).arg("--json");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {:?} {errors}", output.status);
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    async fn round(&self, arguments: &[&str]) -> Value {
        let round = self.oyez(&[&["run", "--once"], arguments].concat()).await.remove(0);
        assert_eq!(round["failed_sources"], json!([]), "{round}");
        round
    }

    /// What was there before anybody listened: a captured list, and otherwise nothing.
    fn before(&self) {
        let list = "/c/bug/1/l/latest.json";
        let empty = r#"{"users":[],"topic_list":{"per_page":30,"topics":[]}}"#;
        self.forum.serve(list, empty, JSON);
        self.forum.serve(
            &format!("{list}?order=created"),
            self.capture("discourse-list/core-c-bug-l-latest.json"),
            JSON,
        );
        let category = |id: u64, slug: &str, parent: Option<u64>| json!({"id": id, "slug": slug, "name": slug, "parent_category_id": parent, "topic_url": null});
        let categories = [category(1, "bug", None)]
            .into_iter()
            .chain(TOPICS[1..].iter().map(|(_, _, id)| category(*id, &format!("c{id}"), Some(1))));
        self.forum.serve("/site.json", json!({"categories": categories.collect::<Vec<_>>()}).to_string(), JSON);
        self.conferences.add_conference("elsewhere");
    }

    /// Everything captured appears.
    fn appear(&self) {
        let mut listed = Vec::new();
        for (file, id, category) in TOPICS {
            let bytes = self.capture(&format!("discourse-topic/{file}"));
            let topic: Value = serde_json::from_slice(&bytes).unwrap();
            let mut entry = json!({"id": id, "category_id": category, "archetype": "regular", "visible": true});
            for key in ["title", "slug", "created_at", "posts_count"] {
                entry[key] = topic[key].clone();
            }
            listed.push(entry);
            self.forum.serve(&format!("/t/{id}.json"), bytes, JSON);
        }
        let list = json!({"users": [], "topic_list": {"per_page": 30, "topics": listed}});
        self.forum.serve("/c/bug/1/l/latest.json?order=created", list.to_string(), JSON);

        for (title, date, markdown) in self.announcements() {
            let cooked = cooked(&markdown);
            self.forum.publish(Topic { title, cooked, created: Some(date), ..Topic::default() });
        }
        for (title, text) in SECURITY {
            let writer = Writer { name: "Sec Example".into(), username: "sec".into(), ..Writer::default() };
            self.forum.publish(Topic {
                title: (*title).into(),
                cooked: cooked(text),
                category: 9,
                writer,
                ..Topic::default()
            });
        }

        let feed = self.channel.feed_url();
        let feed = &feed[url::Position::BeforePath..];
        self.channel.serve(feed, self.capture("youtube-feed/channel-kurzgesagt-2026.xml"), "text/xml; charset=UTF-8");

        let conference = self.capture(&format!("mediaccc-api/conference-{CONFERENCE}.json"));
        let value: Value = serde_json::from_slice(&conference).unwrap();
        for event in value["events"].as_array().unwrap() {
            let path = format!("/public/events/{}", event["guid"].as_str().unwrap());
            self.conferences.serve(&path, event.to_string(), JSON);
        }
        self.conferences.serve(&format!("/public/conferences/{CONFERENCE}"), conference, JSON);
        self.conferences.serve("/public/conferences", self.capture("mediaccc-api/conferences.json"), JSON);
    }

    /// Title, date and Markdown of the announcements on nixos.org, oldest first.
    fn announcements(&self) -> Vec<(String, Timestamp, String)> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.corpus.join("nixos-announcements-md")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let mut parts = text.splitn(3, "---\n").skip(1);
            let (head, body) = (parts.next().unwrap(), parts.next().unwrap());
            let field = |name: &str| {
                let value = head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                value.trim().trim_matches(['"', '\'']).to_owned()
            };
            // Some name the day alone.
            let date: Timestamp = format!("{}T12:00:00Z", &field("date:")[..10]).parse().unwrap();
            all.push((field("title:"), date, body.to_owned()));
        }
        all.sort_by_key(|(_, date, _)| *date);
        all
    }
}

/// In the manner of the notices on the forum.
const SECURITY: &[(&str, &str)] = &[
    (
        "Security advisory: privilege escalation in the build daemon (CVE-2026-0001)",
        "Hello everyone,\n\nA local user could obtain the rights of the daemon through a crafted derivation. All versions \
         before 2.31.4 are affected. The fix is in nixos-25.11 and nixos-unstable since this morning; please update.\n\n\
         ## Am I affected?\n\nYes, if several people share a machine.",
    ),
    (
        "Update your hydra instances",
        "TL;DR: update. An attacker who could open a pull request was able to read secrets of the evaluator. See \
         https://security.example/notes for details.\n\n- patched: 2026-11-20\n- disclosed: 2026-11-22",
    ),
];

/// Markdown as a forum cooks it: as much as announcements use.
fn cooked(markdown: &str) -> String {
    let mut html = String::new();
    for block in markdown.split("\n\n").map(str::trim_end).filter(|block| !block.trim().is_empty()) {
        let first = block.trim_start();
        if first.starts_with("```") || first.starts_with('|') {
            html.push_str(&format!("<pre><code>{}</code></pre>\n", escape(block)));
        } else if first.starts_with('#') {
            html.push_str(&format!("<h2>{}</h2>\n", inline(first.trim_start_matches('#').trim())));
        } else if first.starts_with("- ") || first.starts_with("* ") {
            let mut items: Vec<String> = Vec::new();
            for line in block.lines() {
                match line.trim_start().strip_prefix("- ").or_else(|| line.trim_start().strip_prefix("* ")) {
                    Some(item) => items.push(item.to_owned()),
                    None => items.last_mut().unwrap().push_str(&format!(" {}", line.trim())),
                }
            }
            let items: Vec<String> = items.iter().map(|item| format!("<li>{}</li>", inline(item))).collect();
            html.push_str(&format!("<ul>\n{}\n</ul>\n", items.join("\n")));
        } else if let Some(quote) = first.strip_prefix("> ") {
            html.push_str(&format!("<blockquote>\n<p>{}</p>\n</blockquote>\n", inline(&quote.replace("\n> ", "\n"))));
        } else {
            html.push_str(&format!("<p>{}</p>\n", inline(block)));
        }
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Links, images, bold, code; a line break is a space, as on a forum without hard breaks.
fn inline(text: &str) -> String {
    let text = escape(text);
    let mut html = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['[', '`', '*']) {
        let (before, from) = rest.split_at(at);
        html.push_str(before.strip_suffix('!').filter(|_| from.starts_with('[')).unwrap_or(before));
        let paired = |sign: &str| from.strip_prefix(sign).and_then(|inside| inside.split_once(sign));
        if let Some((words, address, after)) = link(from) {
            if before.ends_with('!') {
                html.push_str(&format!("<img src=\"{address}\" alt=\"{words}\">"));
            } else {
                html.push_str(&format!("<a href=\"{address}\">{}</a>", inline_once(words)));
            }
            rest = after;
        } else if let Some((code, after)) = paired("`") {
            html.push_str(&format!("<code>{code}</code>"));
            rest = after;
        } else if let Some((bold, after)) = paired("**") {
            html.push_str(&format!("<strong>{}</strong>", inline_once(bold)));
            rest = after;
        } else {
            html.push_str(&from[..1]);
            rest = &from[1..];
        }
    }
    html.push_str(rest);
    html
}

/// Inside a link or bold words: an image or a link, no more.
fn inline_once(text: &str) -> String {
    match text.find('[').and_then(|at| Some((at, link(&text[at..])?))) {
        Some((at, (words, address, after))) if text[..at].ends_with('!') => {
            format!("{}<img src=\"{address}\" alt=\"{words}\">{after}", &text[..at - 1])
        }
        Some((at, (words, address, after))) => format!("{}<a href=\"{address}\">{words}</a>{after}", &text[..at]),
        None => text.to_owned(),
    }
}

/// `[words](address)rest` at the start of a text; the words may hold an image of their own.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let mut depth = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        (depth == 0).then_some(at)
    })?;
    let words = text.get(1..end)?;
    let (address, rest) = text[end + 1..].strip_prefix('(')?.split_once(')')?;
    Some((words, address, rest))
}

/// What a follower would be glad of, in every post.
fn amiss(text: &str) -> Vec<String> {
    let urls = count::urls(text);
    let link = urls.last().map(|url| &text[url.clone()]).unwrap_or_default();
    let mut all = corpus::blemishes(text, link, text);
    if urls.len() != 1 {
        all.push(format!("{} links", urls.len()));
    }
    if !text.ends_with("#NixOS")
        || text.matches('#').count() > 1 + link.matches('#').count() + text.matches("C#").count()
    {
        all.push("hashtags are not at the end".into());
    }
    let paragraphs: Vec<&str> = text.split("\n\n").collect();
    let title = paragraphs[0].trim_start_matches("🎬 ").trim_start_matches("Security: ");
    if paragraphs[1..].iter().any(|p| p.contains(title) && title.split_whitespace().count() > 3) {
        all.push("the title twice".into());
    }
    let lower = text.to_lowercase();
    for words in
        ["read more", "read full topic", "click here", "hello everyone", "hi all", "subscribe", "tl;dr", "](", "**"]
    {
        if lower.contains(words) {
            all.push(format!("`{words}`"));
        }
    }
    if count::mastodon(text, "", 23) > 500 {
        all.push("too long".into());
    }
    all.into_iter().map(|what| format!("{what} in {text:?}")).collect()
}

/// A talk's post without the words that somebody wrote about it.
fn facts(text: &str) -> String {
    let is_fact = |paragraph: &str, first: bool| {
        first
            || paragraph.starts_with('#')
            || paragraph.starts_with("https://")
            || paragraph.starts_with("By ")
            || paragraph == CHANNEL_NAME
            || paragraph.ends_with(CONFERENCE_NAME)
    };
    let paragraphs = text.split("\n\n").enumerate().map(|(at, paragraph)| {
        if is_fact(paragraph, at == 0) {
            paragraph.to_owned()
        } else {
            format!("(summary of {} characters)", paragraph.chars().count())
        }
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// A source that waits for its turn at a host must not wait for the next round: a timer may call only once an hour.
#[tokio::test(flavor = "multi_thread")]
async fn one_round_asks_every_source_of_a_host() {
    let world = Loopback::start(PathBuf::new()).await;
    world.forum.serve("/site.json", r#"{"categories":[{"id":1,"slug":"bug","name":"bug"}]}"#, JSON);
    let list = r#"{"users":[],"topic_list":{"per_page":30,"topics":[]}}"#;
    world.forum.serve("/c/bug/1/l/latest.json", list, JSON);
    world.conferences.add_conference("elsewhere");
    let met = world.round(&["--all"]).await;
    assert_eq!(met["polled"], 5, "{met}");
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_forums_and_channels_become_a_timeline() {
    let Some(corpus) = corpus::sources() else { return };
    let world = Loopback::start(corpus).await;
    world.before();
    let met = world.round(&["--all"]).await;
    assert_eq!((met["seen"].as_u64(), world.mastodon.posts().len()), (Some(0), 0), "first contact is quiet: {met}");

    let appeared = SystemClock::new().now();
    world.appear();
    let heard = world.round(&["--all"]).await;
    assert!(heard["seen"].as_u64() > Some(40), "{heard}");
    // What is older than first contact with a place that showed nothing then asks, so somebody says yes; the notices of
    // today ask nobody.
    let queue = world.oyez(&["queue"]).await;
    let asking: Vec<&Value> = queue.iter().filter(|item| item["needs_approval"] == true).collect();
    assert!(asking.len() > 20 && asking.len() + SECURITY.len() <= queue.len(), "{heard}");
    assert!(!asking.iter().any(|item| item["kind"] == "security"), "{asking:?}");
    let asking: Vec<String> = asking.iter().map(|item| item["number"].to_string()).collect();
    let numbers: Vec<&str> = asking.iter().map(String::as_str).collect();
    world.oyez(&[&["approve", "--reason", "read and liked"], numbers.as_slice()].concat()).await;
    for _ in 0..60 {
        let waiting = world.oyez(&["queue"]).await;
        if waiting.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.round(&[]).await;
    }
    let left: Vec<String> = world.oyez(&["queue"]).await.iter().map(Value::to_string).collect();
    assert!(left.is_empty(), "{}", left.join("\n"));

    let posts = world.mastodon.posts();
    assert_eq!(posts.len(), world.mastodon.created().len(), "none was taken back");
    let early: Vec<_> =
        posts.iter().filter(|post| post.created_at.duration_since(appeared) < WINDOW.try_into().unwrap()).collect();
    assert!(early.is_empty(), "{early:?}");
    let mut timeline: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    let mut faults = Vec::new();
    for post in &posts {
        let text = post.text.replace(world.forum.base().as_str(), "https://forum.example.org/");
        faults.extend(amiss(&text));
        let urls = count::urls(&text);
        let link = urls.last().map(|url| text[url.clone()].to_owned()).unwrap_or_default();
        let number = link.rsplit('/').next().and_then(|id| id.parse::<u64>().ok());
        let section = if link.starts_with("https://forum.example.org/") {
            if TOPICS.iter().any(|(_, id, _)| Some(*id) == number) { "captured" } else { "forum" }
        } else {
            "talks"
        };
        timeline.entry(section).or_default().push((link, text));
    }
    // For reading all of it: the snapshot holds only what may be published.
    if let Some(report) = std::env::var_os("OYEZ_TIMELINE") {
        let all: Vec<String> = timeline.values().flatten().map(|(_, text)| text.clone()).collect();
        std::fs::write(report, all.join("\n――――――\n")).unwrap();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    timeline.values_mut().for_each(|posts| posts.sort());

    assert_eq!(timeline["captured"].len(), TOPICS.len(), "{:?}", timeline["captured"]);
    assert!(!posts.iter().any(|post| post.text.contains("Category definition")), "a category's own topic");
    assert_eq!(timeline["forum"].len(), world.announcements().len() + SECURITY.len());
    let mut shown = String::new();
    for (_, text) in &timeline["forum"] {
        shown.push_str(&format!("{text}\n――――――\n"));
    }
    for (_, text) in &timeline["talks"] {
        shown.push_str(&format!("{}\n――――――\n", facts(text)));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(
        "Excerpts of announcements on nixos.org: NixOS contributors, CC-BY-SA-4.0. Of talks and videos, facts only.",
    );
    settings.bind(|| insta::assert_snapshot!("timeline", shown));
}
