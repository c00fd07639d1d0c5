//! What the program costs, measured on the real binary in a world on loopback: `cargo bench --bench service`. Words choose
//! by a part of the name. `docs/performance.md` keeps the results.
//!
//! Not a library of benchmarks: what an operator pays is whole processes, from their start to their end, so these are
//! started, timed and asked for their use of the processor as a shell would. Each is run several times; the median stands.
#![expect(clippy::print_stdout, reason = "the table is the result")]
#[path = "../tests/it/program.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod program;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use futures_util::StreamExt;
use nix::sys::resource::{UsageWho, getrusage};
use oyez::clock::SystemClock;
use oyez::item::{Delivery, Found, Item, Origin, Phase, Post, Progress};
use oyez::pretend::forum::Forum;
use oyez::pretend::mastodon::{Flavour, Mastodon, TOKEN};
use oyez::store::{Change, Note, Store, Which};
use program::Program;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Runs of each measurement, of which the median is told.
const RUNS: usize = 5;
/// Entries of a feed.
const ENTRIES: usize = 25;

/// Serves feeds: each has its own address in 127.0.0.0/8, since one host is asked one thing at a time.
#[derive(Default)]
struct Feeds {
    /// Entries that every feed has beside the first ones.
    more: AtomicUsize,
    /// Bytes of bodies sent.
    sent: AtomicU64,
}

impl Feeds {
    fn document(&self, feed: usize) -> String {
        let mut entries = String::new();
        for entry in (0..ENTRIES + self.more.load(Ordering::Relaxed)).rev() {
            let at = jiff::Timestamp::from_second(1_790_000_000 + i64::try_from(entry).unwrap()).unwrap();
            let url = format!("https://blog-{feed}.example/{entry}");
            let _ = write!(
                entries,
                "<entry><id>{url}</id><title>Entry {entry} of feed {feed}</title><link href=\"{url}\"/><published>{at}</published>\
                 <updated>{at}</updated><content type=\"html\">&lt;p&gt;Something happened, and here is what. It is told in a few \
                 sentences, as announcements are.&lt;/p&gt;&lt;p&gt;There is a second paragraph with a \
                 &lt;a href=\"https://example.org/{entry}\"&gt;link&lt;/a&gt;.&lt;/p&gt;</content></entry>"
            );
        }
        format!(
            "<?xml version=\"1.0\"?><feed xmlns=\"http://www.w3.org/2005/Atom\"><id>urn:feed:{feed}</id><title>Feed {feed}</title>\
             <updated>2026-11-01T00:00:00Z</updated>{entries}</feed>"
        )
    }

    async fn answer(State(feeds): State<Arc<Feeds>>, Path(feed): Path<usize>, headers: HeaderMap) -> Response {
        let tag = format!("\"{}\"", feeds.more.load(Ordering::Relaxed));
        let same = headers.get(header::IF_NONE_MATCH).is_some_and(|asked| asked.as_bytes() == tag.as_bytes());
        let response =
            Response::builder().header(header::ETAG, &tag).header(header::CONTENT_TYPE, "application/atom+xml");
        if same {
            return response.status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap();
        }
        let body = feeds.document(feed);
        feeds.sent.fetch_add(body.len() as u64, Ordering::Relaxed);
        response.body(Body::from(body)).unwrap()
    }
}

fn address(feed: usize, port: u16) -> String {
    format!("http://127.{}.{}.{}:{port}/{feed}", 1 + feed / 62_500, feed / 250 % 250, 1 + feed % 250)
}

/// The feeds of one world, in a process of their own, so that they do not count.
struct World {
    runtime: Runtime,
    feeds: Arc<Feeds>,
    port: u16,
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let feeds = Arc::new(Feeds::default());
        let listener = runtime.block_on(TcpListener::bind("0.0.0.0:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/{feed}", get(Feeds::answer)).with_state(feeds.clone());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { runtime, feeds, port }
    }

    /// A configuration with so many feeds.
    fn toml(&self, feeds: usize, account: &str) -> String {
        let mut toml = format!(
            "[service]\nstate = \"{{dir}}/state\"\nlisten = \"127.0.0.1:0\"\ntime-zone = \"UTC\"\n[hold]\nwindow = \"0s\"\nsettle = \
             \"0s\"\nsettle-at-most = \"0s\"\nquiet-hours = \"none\"\nspacing = \"0s\"\nat-most = \"none\"\n[[account]]\nname = \
             \"a\"\n{account}\n"
        );
        for feed in 0..feeds {
            let url = address(feed, self.port);
            let _ = writeln!(toml, "[[source]]\nname = \"f{feed}\"\ntype = \"feed\"\nurl = \"{url}\"\nevery = \"1h\"");
        }
        toml
    }
}

const TO_FILE: &str = "platform = \"file\"\npath = \"posts.jsonl\"";

/// What a process cost.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

/// Times children, one after the other.
fn timed(run: impl FnOnce()) -> Cost {
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let time = usage.user_time() + usage.system_time();
        Duration::from_micros(u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap())
    };
    let (before, started) = (cpu(), Instant::now());
    run();
    Cost { wall: started.elapsed(), cpu: cpu() - before }
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.partial_cmp(b).unwrap());
    costs[costs.len() / 2]
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

fn row(what: &str, got: &str, goal: &str) {
    println!("| {what} | {got} | {goal} |");
}

/// From the start of the process to its end, when nothing changed: beside a loop of the same libraries that keeps nothing.
fn idle(world: &World, feeds: usize, goal: &str) {
    let program = Program::new(&world.toml(feeds, TO_FILE));
    program.oyez(&["run", "--once", "--all"]).ok();
    let sent = world.feeds.sent.load(Ordering::Relaxed);
    let ours = median((0..RUNS).map(|_| timed(|| drop(program.oyez(&["run", "--once", "--all"]).ok()))).collect());
    assert_eq!(world.feeds.sent.load(Ordering::Relaxed), sent, "nothing changed, and bodies were sent");
    let bare = median(
        (0..RUNS)
            .map(|_| {
                timed(|| {
                    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
                    let status =
                        command.args(["--bare", &feeds.to_string(), &world.port.to_string()]).status().unwrap();
                    assert!(status.success());
                })
            })
            .collect(),
    );
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    row(
        &format!("idle cycle of {feeds} feeds, cold start to end"),
        &format!("{} ({} of processor)", ms(ours.wall), ms(ours.cpu)),
        goal,
    );
    row(
        &format!("the same by a bare reqwest + feed-rs loop that reads all of them ({feeds})"),
        &format!("{} ({} of processor)", ms(bare.wall), ms(bare.cpu)),
        "",
    );
    row(
        &format!("ours to the bare loop's ({feeds})"),
        &format!("{:.2} in time, {:.2} in processor", ratio(ours.wall, bare.wall), ratio(ours.cpu, bare.cpu)),
        "at most 1.3",
    );
}

/// Fetches and parses, keeps nothing: what the libraries alone cost.
fn bare(feeds: usize, port: u16) {
    let runtime = Runtime::new().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let parsed = runtime.block_on(
        futures_util::stream::iter(0..feeds)
            .map(|feed| {
                let client = client.clone();
                async move {
                    let bytes = client.get(address(feed, port)).send().await.unwrap().bytes().await.unwrap();
                    feed_rs::parser::parse(&bytes[..]).unwrap().entries.len()
                }
            })
            .buffer_unordered(8)
            .fold(0, async |sum, entries| sum + entries),
    );
    assert!(parsed >= feeds * ENTRIES);
}

/// A thousand new entries of one feed, published.
fn deliver(world: &World, account: &str, items: usize, what: &str, goal: &str, published: impl Fn() -> usize) {
    let program = Program::new(&world.toml(1, account));
    world.feeds.more.store(0, Ordering::Relaxed);
    program.oyez(&["run", "--once", "--all"]).ok();
    world.feeds.more.store(items, Ordering::Relaxed);
    let before = published();
    let cost = timed(|| drop(program.oyez(&["run", "--once", "--all"]).ok()));
    world.feeds.more.store(0, Ordering::Relaxed);
    let lines = std::fs::read_to_string(program.path("posts.jsonl")).map_or(0, |posts| posts.lines().count());
    assert_eq!((published() - before).max(lines), items, "not all were delivered");
    row(what, &format!("{} ({} of processor)", ms(cost.wall), ms(cost.cpu)), goal);
}

/// In MiB: what the system says the process holds.
fn resident(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// A service that has polled everything once, whose memory no longer changes.
fn memory(world: &World, feeds: usize, goal: &str) {
    let program = Program::new(&world.toml(feeds, TO_FILE));
    program.oyez(&["run", "--once", "--all"]).ok();
    let service = program.serve();
    let mut last = 0.0;
    let started = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = resident(service.child.id());
        if (now - last).abs() < 0.05 || started.elapsed() > Duration::from_secs(20) {
            break;
        }
        last = now;
    }
    let rss = resident(service.child.id());
    row(&format!("resident memory of the service at rest, {feeds} feeds"), &format!("{rss:.1} MiB"), goal);
}

/// A service that keeps getting webhooks: 100 a second, with valid signatures, each about another topic.
fn webhooks(world: &World, seconds: usize) {
    const A_SECOND: usize = 100;
    let forum = world.runtime.block_on(Forum::start(Arc::new(SystemClock::new()))).unwrap();
    let source = format!(
        "[[source]]\nname = \"forum\"\ntype = \"discourse\"\nurl = \"{}\"\ncategory = \"announcements\"\nwebhook-secret = {{ env = \
         \"TOKEN\" }}\n",
        forum.base()
    );
    // Free a moment ago; the program cannot tell which one it was given.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let toml = (world.toml(0, TO_FILE) + &source).replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let program = Program::new(&toml);
    program.oyez(&["run", "--once", "--all"]).ok();
    let _service = program.serve();
    let url = format!("http://127.0.0.1:{port}/hooks/forum");
    // It is not needed on loopback, but no client is built without one; a second call finds the first's.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut times: Vec<Duration> = world.runtime.block_on(async {
        let started = Instant::now();
        let mut asked = Vec::new();
        for n in 0..A_SECOND * seconds {
            let at = started + Duration::from_secs(1) * u32::try_from(n).unwrap() / u32::try_from(A_SECOND).unwrap();
            tokio::time::sleep_until(at.into()).await;
            let body = format!("{{\"topic\":{{\"id\":{},\"category_id\":8,\"title\":\"Topic {n}\"}}}}", n + 1);
            let signature = signature(body.as_bytes());
            let request = client
                .post(&url)
                .header("content-type", "application/json")
                .header("x-discourse-event", "topic_created")
                .header("x-discourse-event-type", "topic")
                .header("x-discourse-event-id", n.to_string())
                .header("x-discourse-event-signature", signature)
                .body(body);
            asked.push(tokio::spawn(async move {
                let began = Instant::now();
                let status = request.send().await.unwrap().status();
                assert!(status.is_success(), "answered {status}");
                began.elapsed()
            }));
        }
        let mut times = Vec::new();
        for one in asked {
            times.push(one.await.unwrap());
        }
        times
    });
    times.sort();
    let at = |share: usize| fine(times[(times.len() * share / 1000).min(times.len() - 1)]);
    let told = format!("median {}, 99th percentile {}, longest {}", at(500), at(990), fine(*times.last().unwrap()));
    row(&format!("webhook answered, {A_SECOND} a second for {seconds} s"), &told, "p99 20 ms");
}

/// As a Discourse signs its webhooks.
fn signature(body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn fine(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// A store with so many items, all but a few of them published long ago.
fn filled(store: &Store, items: u64) {
    let at = |n: u64| jiff::Timestamp::from_second(1_700_000_000 + i64::try_from(n).unwrap() * 60).unwrap();
    let text = "Something happened, and here is what. It is told in a few sentences, as announcements are. ".repeat(6);
    for first in (0..items).step_by(500) {
        let items = (first..(first + 500).min(items)).map(|n| {
            let url = format!("https://blog.example/{n}");
            let found = Found {
                key: format!("feed:blog.example#{n}"),
                url: url.clone(),
                title: format!("Entry {n} of a long history"),
                text: text.clone(),
                published: Some(at(n)),
                ..Found::default()
            };
            let origin = Origin {
                source: "blog".into(),
                contact: "feed:blog.example".into(),
                first_seen: at(n),
                found,
                gone: None,
            };
            let is_held = n + 20 >= items;
            let progress = match is_held {
                true => Progress::Queued,
                false => Progress::Sent { at: at(n), id: Some(n.to_string()), url: Some(url) },
            };
            let post =
                Post { text: format!("Entry {n}\n\n{}", &text[..180]), length: 200, limit: 500, ..Post::default() };
            Item {
                kind: "announcement".into(),
                phase: Phase::Held,
                origins: vec![origin],
                first_seen: at(n),
                last_change: at(n),
                settled: Some(at(n)),
                window_end: Some(jiff::Timestamp::from_second(4_000_000_000).unwrap())
                    .filter(|_| is_held)
                    .or(Some(at(n))),
                posts: [("a".to_owned(), post)].into(),
                deliveries: [("a".to_owned(), Delivery { progress, ..Delivery::default() })].into(),
                ..Item::default()
            }
        });
        let items: Vec<Item> = items.collect();
        let notes = items
            .iter()
            .enumerate()
            .map(|(i, item)| Note {
                item: Some(Which::New(i)),
                text: Some(item.found().title.clone()),
                ..Note::new(item.first_seen, None, "oyez", "seen")
            })
            .collect();
        store.commit(Change { items, notes, ..Change::default() }).unwrap();
    }
    store.sync().unwrap();
}

/// What commands and a start cost with a long history.
fn history(world: &World, items: u64) {
    let source = "[[source]]\nname = \"blog\"\ntype = \"feed\"\nurl = \"http://127.0.0.1:9/\"\n";
    let program = Program::new(&(world.toml(0, TO_FILE) + source));
    let started = Instant::now();
    let store = Store::open(&program.path("state")).unwrap();
    filled(&store, items);
    drop(store);
    row(&format!("{items} items: made"), &ms(started.elapsed()), "");
    let command = |what: &str, args: &[&str], goal: &str| {
        let costs = (0..3).map(|_| timed(|| drop(program.oyez(args).ok()))).collect();
        row(&format!("{items} items: {what}"), &ms(median(costs).wall), goal);
    };
    command("`oyez queue`", &["queue"], "does not grow");
    command("`oyez queue --all --json`", &["queue", "--all", "--json"], "linear");
    command("`oyez show`", &["show", &(items / 2).to_string()], "does not grow");
    command("`oyez log --item`", &["log", "--item", &(items / 2).to_string()], "does not grow");
    let export = program.path("export.jsonl");
    let export = export.to_str().unwrap();
    let cost = timed(|| drop(program.oyez(&["export", "--output", export]).ok()));
    row(&format!("{items} items: `oyez export`"), &ms(cost.wall), "linear");
    let other = Program::new(&(world.toml(0, TO_FILE) + source));
    let cost = timed(|| drop(other.oyez(&["import", export]).ok()));
    row(&format!("{items} items: `oyez import`"), &ms(cost.wall), "linear");
    let mut times = Vec::new();
    let mut rss = 0.0;
    for _ in 0..3 {
        let began = Instant::now();
        let service = program.serve();
        times.push(began.elapsed());
        std::thread::sleep(Duration::from_secs(1));
        rss = resident(service.child.id());
    }
    times.sort();
    row(&format!("{items} items: `oyez run` until it listens"), &ms(times[1]), "does not grow");
    row(&format!("{items} items: resident memory of the service"), &format!("{rss:.1} MiB"), "does not grow");
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == "--bare") {
        return bare(args[1].parse().unwrap(), args[2].parse().unwrap());
    }
    args.retain(|arg| !arg.starts_with("--"));
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| name.contains(arg.as_str()));
    let world = World::new();
    println!("| what | measured | goal |\n|---|--:|--:|");
    for (feeds, goal) in [(1, "10 ms"), (100, "50 ms"), (1_000, "500 ms"), (10_000, "")] {
        // Ten thousand take minutes: only when they are named.
        let named = args.iter().any(|arg| arg == "idle-10000");
        if feeds <= 1_000 && wanted("idle") || feeds > 1_000 && named {
            idle(&world, feeds, goal);
        }
    }
    if wanted("memory") {
        memory(&world, 1, "25 MiB");
        memory(&world, 1_000, "30 MiB");
    }
    if args.iter().any(|arg| arg == "idle-10000") {
        memory(&world, 10_000, "");
    }
    if wanted("webhook") {
        webhooks(&world, 20);
    }
    if wanted("history") {
        for items in [1_000, 10_000, 100_000] {
            history(&world, items);
        }
    }
    if wanted("deliver") {
        deliver(&world, TO_FILE, 1_000, "1,000 new items into a file", "1 s", || 0);
        let server = world.runtime.block_on(Mastodon::start(Flavour::Mastodon, Arc::new(SystemClock::new()))).unwrap();
        let account = format!("platform = \"mastodon\"\nserver = \"{}\"\ntoken = {{ env = \"TOKEN\" }}", server.url());
        deliver(&world, &account, 1_000, "1,000 new items to a pretend Mastodon", "1 s", || server.posts().len());
    }
}
