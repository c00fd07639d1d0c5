//! What the pure core costs, in instructions: `cargo bench --bench core`. They are the same on a busy machine and on an idle
//! one, so a regression is seen. `docs/performance.md` keeps the results.
//!
//! Each work is done by this program itself, started again under `valgrind --tool=callgrind` and counted from the first
//! round on; one round before it fills what is compiled or read once. Where there is no valgrind, only times are told.
//!
//! `cargo bench --bench core -- links` tells the time that one link takes, with `OYEZ_CORPUS` also with ClearURLs' file.
#![expect(clippy::print_stdout, reason = "the table is the result")]
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use oyez::config::{Config, Env, PolicyRule};
use oyez::item::{Delivery, Found, Item, Origin, Phase, Post, VerdictKind};
use oyez::link::gate::Gate;
use oyez::link::rewrite::{Context, nothing_opened};
use oyez::link::rules::Rules;
use oyez::platform::Limits;
use oyez::policy::{Fields, Policy};
use oyez::render::{Compose, Templates, compose};
use oyez::source::{discourse, feed};
use url::Url;

/// Rounds that are counted.
const ROUNDS: usize = 20;

/// A piece of work with a name; the work is prepared first and then done as often as asked.
type Work = (&'static str, fn() -> Box<dyn FnMut()>);

const WORKS: [Work; 9] = [
    ("a feed of 25 entries is read", a_feed),
    ("a Discourse topic is read", a_topic),
    ("cooked HTML becomes text", cooked),
    ("the policy is asked about an item", a_policy),
    ("a post is worded and fitted", a_post),
    ("the queue of 200 held items is planned", a_plan),
    ("links are found in a long text", find_links),
    ("ten links are cleaned", clean_links),
    ("the words of a journal entry are hashed", a_hash),
];

const HTML: &str = "<p>We are happy to announce <a href=\"https://example.org/a?utm_source=x\">the release</a> of <strong>26.11</strong>. \
    It has a <code>new installer</code>.</p><ul><li>one</li><li>two</li></ul><aside class=\"quote\"><blockquote>What?</blockquote></aside>\
    <p>There is more in the <a href=\"https://forum.example/t/a/1\">topic</a>. <img src=\"/uploads/a.png\" alt=\"A picture\"></p>";

fn base() -> Url {
    Url::parse("https://forum.example/").unwrap()
}

fn a_feed() -> Box<dyn FnMut()> {
    let entries: String = (0..25)
        .map(|n| {
            format!(
                "<entry><id>urn:{n}</id><title>Entry {n}</title><link href=\"https://forum.example/{n}\"/><updated>2026-11-01T00:00:00Z\
                 </updated><content type=\"html\">{}</content></entry>",
                HTML.replace('&', "&amp;").replace('<', "&lt;")
            )
        })
        .collect();
    let document =
        format!("<feed xmlns=\"http://www.w3.org/2005/Atom\"><id>urn:f</id><title>F</title>{entries}</feed>");
    Box::new(move || drop(black_box(feed::parse(document.as_bytes(), &base(), None).unwrap())))
}

fn a_topic() -> Box<dyn FnMut()> {
    let topic = serde_json::json!({
        "id": 42, "title": "A release", "slug": "a-release", "category_id": 8, "tags": ["news"], "visible": true,
        "created_at": "2026-11-01T00:00:00.000Z", "archetype": "regular", "posts_count": 1,
        "post_stream": {"posts": [{"id": 1, "post_number": 1, "username": "ida", "name": "Ida", "cooked": HTML, "version": 1,
            "created_at": "2026-11-01T00:00:00.000Z", "updated_at": "2026-11-01T00:00:00.000Z"}]}
    });
    let bytes = topic.to_string().into_bytes();
    Box::new(move || drop(black_box(discourse::parse_topic(&bytes, &base()).unwrap())))
}

fn cooked() -> Box<dyn FnMut()> {
    Box::new(|| drop(black_box(oyez::text::from_html(HTML, &base()))))
}

fn found() -> Found {
    Found {
        key: "discourse:forum.example/t/42".into(),
        url: "https://forum.example/t/a-release/42".into(),
        title: "A release of something with a title of the usual length".into(),
        text: oyez::text::from_html(HTML, &base()).text.repeat(5),
        tags: vec!["news".into()],
        ..Found::default()
    }
}

fn a_policy() -> Box<dyn FnMut()> {
    let rule = |when: &str, then| PolicyRule { when: when.to_owned(), then, because: None };
    let rules = [
        rule("'no-social' in tags", VerdictKind::Ignore),
        rule("title | lower is containing('cve')", VerdictKind::Ask),
    ];
    let policy = Policy::compile(&rules)
        .or_else(|_| Policy::compile(&rules[..1]))
        .unwrap_or_else(|_| panic!("the rule is a rule"));
    let found = found();
    Box::new(move || drop(black_box(policy.evaluate(&Fields::new(&found, "forum", "announcement")))))
}

fn a_post() -> Box<dyn FnMut()> {
    let (found, limits, templates) = (found(), Limits::mastodon(), Templates::new(&BTreeMap::new()));
    Box::new(move || {
        let input = Compose {
            found: &found,
            link: &found.url,
            kind: "announcement",
            mark: None,
            hashtags: &[],
            language: None,
            platform: "mastodon",
            limits: &limits,
        };
        drop(black_box(compose(&input, &templates).unwrap()));
    })
}

fn a_plan() -> Box<dyn FnMut()> {
    let toml = "[[source]]\nname = \"f\"\ntype = \"feed\"\nurl = \"https://forum.example/a.xml\"\n[[account]]\nname = \"a\"\nplatform = \
                \"file\"\npath = \"-\"\n[service]\nstate = \"/nowhere\"\n";
    let config = Config::parse(toml, "oyez.toml", &Env::default()).unwrap().config;
    let now: Timestamp = "2026-11-02T09:00:00Z".parse().unwrap();
    let items: Vec<Item> = (1..=200)
        .map(|number| Item {
            number,
            kind: "announcement".into(),
            phase: Phase::Held,
            origins: vec![Origin {
                source: "f".into(),
                contact: "feed:forum.example".into(),
                first_seen: now,
                found: found(),
                gone: None,
            }],
            first_seen: now,
            last_change: now,
            window_end: Some(now),
            posts: [("a".to_owned(), Post::default())].into(),
            deliveries: [("a".to_owned(), Delivery::default())].into(),
            ..Item::default()
        })
        .collect();
    let dir = std::env::temp_dir().join(format!("oyez-bench-{}", std::process::id()));
    let store = oyez::store::Store::open(&dir).unwrap();
    Box::new(move || {
        drop(black_box(oyez::plan::of(&items, &store, &config, now, &|_| None).unwrap()));
        // Removed while it is open: nothing more is written to it.
        let _ = std::fs::remove_dir_all(&dir);
    })
}

fn find_links() -> Box<dyn FnMut()> {
    let text =
        "Some words about https://nixos.org/blog/a_(b). And more of them, with no address at all in them. ".repeat(40);
    Box::new(move || drop(black_box(oyez::link::find(&text))))
}

/// Ten links as announcements have them.
const LINKS: &str = include_str!("links.txt");

fn clean_links() -> Box<dyn FnMut()> {
    let (rules, gate) = (Rules::built_in(), Gate::default());
    Box::new(move || LINKS.lines().for_each(|link| drop(black_box(clean(&rules, &gate, link)))))
}

fn clean(rules: &Rules, gate: &Gate, link: &str) -> oyez::link::rewrite::Rewrite {
    rules.rewrite(link, &Context { gate, keep: &[], kept: false, referrers: &[], opened: &nothing_opened })
}

fn a_hash() -> Box<dyn FnMut()> {
    let text = "a title of the usual length, with who did it and why ".repeat(8);
    Box::new(move || {
        let _ = black_box(oyez::journal::Digest::of(text.as_bytes()));
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}

/// The median over the links of the median over many rounds.
fn per_link(rules: &Rules) -> (Duration, Duration) {
    let gate = Gate::default();
    let mut medians: Vec<Duration> = LINKS
        .lines()
        .map(|link| {
            for _ in 0..200 {
                drop(black_box(clean(rules, &gate, link)));
            }
            let times = (0..2_000).map(|_| {
                let began = Instant::now();
                drop(black_box(clean(rules, &gate, link)));
                began.elapsed()
            });
            median(times.collect())
        })
        .collect();
    medians.sort();
    (medians[medians.len() / 2], medians[medians.len() - 1])
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

fn links() {
    println!("| links | measured | goal |\n|---|--:|--:|");
    let (before, began) = (resident(), Instant::now());
    let rules = Rules::built_in();
    println!(
        "| the built-in rules are read, once, when the first link comes | {:.1} ms | 5 ms |",
        began.elapsed().as_secs_f64() * 1e3
    );
    let (usual, worst) = per_link(&rules);
    println!("| one link, built-in rules: median of ten, the slowest | {}, {} | 5 µs |", micros(usual), micros(worst));
    println!("| memory of the built-in rules | {:.1} MiB | |", resident() - before);
    let Some(corpus) = std::env::var_os("OYEZ_CORPUS") else { return };
    let path = std::path::PathBuf::from(corpus).join("links/clearurls/data.min.json");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let (before, began) = (resident(), Instant::now());
    let rules = Rules::with([("data.min.json", text.as_str())]).unwrap();
    println!("| ClearURLs' file is read as well | {:.1} ms | |", began.elapsed().as_secs_f64() * 1e3);
    let began = Instant::now();
    drop(black_box(clean(&rules, &Gate::default(), LINKS.lines().nth(2).unwrap_or_default())));
    println!("| the first link, which compiles its patterns | {:.1} ms | |", began.elapsed().as_secs_f64() * 1e3);
    let (usual, worst) = per_link(&rules);
    println!(
        "| one link, with ClearURLs' rules: median of ten, the slowest | {}, {} | 20 µs |",
        micros(usual),
        micros(worst)
    );
    println!("| memory of ClearURLs' rules | {:.1} MiB | |", resident() - before);
}

/// Instructions of one work, by starting this program again under callgrind.
fn instructions(index: usize, rounds: usize) -> Option<u64> {
    let out = std::env::temp_dir().join(format!("oyez-callgrind-{}-{index}", std::process::id()));
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().ok()?)
        .args(["--work", &index.to_string(), &rounds.to_string()])
        .output()
        .ok()?;
    let text = std::fs::read_to_string(&out).ok();
    let _ = std::fs::remove_file(&out);
    let told = text.filter(|_| done.status.success())?;
    let line = told.lines().find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")))?;
    line.split_whitespace().next()?.parse().ok()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == "--work") {
        let mut work = WORKS[args[1].parse::<usize>().unwrap()].1();
        let rounds: usize = args[2].parse().unwrap();
        (0..rounds).for_each(|_| work());
        return;
    }
    if args.iter().any(|arg| arg == "links") {
        return links();
    }
    println!("| work | instructions a round | time a round |\n|---|--:|--:|");
    let has_valgrind = Command::new("valgrind").arg("--version").output().is_ok_and(|done| done.status.success());
    for (index, (what, prepare)) in WORKS.iter().enumerate() {
        let mut work = prepare();
        work();
        let times = (0..ROUNDS * 5).map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        });
        let time = micros(median(times.collect()));
        // The difference of two runs: what is done once (starting, preparing, compiling) is in both.
        let counted = has_valgrind.then(|| {
            let one = instructions(index, 1)?;
            let many = instructions(index, 1 + ROUNDS)?;
            Some(many.saturating_sub(one) / ROUNDS as u64)
        });
        let counted =
            counted.flatten().map_or_else(|| "not counted: no valgrind".to_owned(), |count| count.to_string());
        println!("| {what} | {counted} | {time} |");
    }
}
