//! The real program as scripts and people use it: what it prints where, and how it exits.
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use oyez::clock::SystemClock;
use oyez::pretend::forum::{Fault, Forum};
use oyez::pretend::mastodon::{Flavour, Mastodon, TOKEN};
use serde_json::{Value, json};

use crate::program::{Printed, Program, fixture, printed, toml, wait_until};

const HOLD: &str = "window = \"1h\"\nsettle = \"0s\"\nsettle-at-most = \"0s\"\nquiet-hours = \"none\"\nspacing = \"0s\"\n\
                    at-most = \"none\"";

struct Scene {
    forum: Forum,
    mastodon: Mastodon,
    program: Program,
}

impl Scene {
    async fn new() -> Self {
        let clock = Arc::new(SystemClock::new());
        let forum = Forum::start(clock.clone()).await.unwrap();
        let mastodon = Mastodon::start(Flavour::Mastodon, clock).await.unwrap();
        let program = Program::new(&toml(forum.base(), &mastodon.url(), HOLD));
        Self { forum, mastodon, program }
    }

    /// After first contact, with so many items held.
    async fn with_items(items: usize) -> Self {
        let scene = Self::new().await;
        scene.program.oyez(&["run", "--once"]).ok();
        for number in 1..=items {
            scene.forum.announce(&format!("News {number}"), "<p>There is news.</p>");
        }
        let round = scene.program.oyez(&["run", "--once", "--all", "--json"]).ok().object();
        assert_eq!(round["held"], items, "{round}");
        scene
    }

    fn oyez(&self, args: &[&str]) -> Printed {
        self.program.oyez(args)
    }
}

#[track_caller]
fn fields(object: &Value, want: &[&str]) {
    let object = object.as_object().unwrap_or_else(|| panic!("no object: {object}"));
    for name in want {
        assert!(object.contains_key(*name), "no `{name}` in {object:?}");
    }
}

const QUEUE: [&str; 12] = [
    "number",
    "kind",
    "title",
    "url",
    "state",
    "window_end",
    "until",
    "needs_approval",
    "attention",
    "seen_by",
    "origins",
    "deliveries",
];
const DELIVERY: [&str; 6] = ["account", "state", "not_before", "attempts", "url", "error"];
const ITEM: [&str; 10] =
    ["kind", "source_key", "title", "url", "author", "published", "text", "images", "tags", "links"];
const POST: [&str; 9] = ["account", "platform", "text", "length", "limit", "fits", "media", "card", "warnings"];
const LINK: [&str; 4] = ["input", "output", "refused", "steps"];
const ENTRY: [&str; 6] = ["seq", "at", "item", "actor", "what", "reason"];

/// Both ways of asking: the same exit code, the error on stderr alone, in words and as JSON.
#[track_caller]
fn exits(program: &Program, args: &[&str], code: i32, says: &str) {
    let words = program.oyez(args);
    assert_eq!(words.code, Some(code), "{args:?}: {words:?}");
    assert!(words.stderr.contains(says), "{args:?}: {words:?}");
    let mut with_json = args.to_vec();
    with_json.push("--json");
    let asked = program.oyez(&with_json);
    assert_eq!(asked.code, Some(code), "{with_json:?}: {asked:?}");
    let last = asked.stderr.lines().last().unwrap_or_default();
    let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{with_json:?}: {asked:?}"));
    fields(&error, &["error", "hint"]);
    let told = format!("{} {}", error["error"].as_str().unwrap(), error["hint"].as_str().unwrap_or_default());
    assert!(told.contains(says), "{with_json:?}: {asked:?}");
    if code != 1 {
        assert_eq!(asked.stdout, "", "{with_json:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_tell_failed_from_wrong_from_absent() {
    let scene = Scene::with_items(2).await;
    let program = &scene.program;
    program.oyez(&["--version"]).ok();
    program.oyez(&["--help"]).ok();
    program.oyez(&["veto", "--help"]).ok();
    // The call is wrong.
    assert_eq!(program.oyez(&[]).code, Some(2));
    exits(program, &["dance"], 2, "dance");
    exits(program, &["veto"], 2, "required");
    exits(program, &["snooze", "1", "soon"], 2, "soon");
    exits(program, &["count", "--platform", "friendster"], 2, "friendster");
    exits(program, &["resolve", "1", "--account", "mastodon"], 2, "--sent");
    exits(program, &["run", "--all"], 2, "--once");
    exits(program, &["veto", "one"], 2, "`one` names no item");
    exits(program, &["veto", "2-1"], 2, "names no item");
    exits(program, &["skip", "1", "--account", "nobody"], 2, "nobody");
    exits(program, &["resolve", "1", "--account", "nobody", "--not-sent"], 2, "accounts: mastodon");
    exits(program, &["edit", "1", "--account", "nobody", "--text", "x"], 2, "accounts: mastodon");
    exits(program, &["edit", "1", "--account", "mastodon", "--text", " "], 2, "empty");
    exits(program, &["preview", "--file", "x", "--account", "nobody"], 2, "accounts: mastodon");
    // Nothing there.
    exits(program, &["show", "99"], 3, "there is no item 99");
    exits(program, &["veto", "99"], 3, "there is no item 99");
    exits(program, &["veto", "98-99"], 3, "98");
    exits(program, &["log", "--item", "99"], 3, "there is no item 99");
    exits(program, &["show", &format!("{}t/none/4711", scene.forum.base())], 3, "no item came from");
    // It failed.
    exits(program, &["reinstate", "1"], 1, "");
    exits(program, &["edit", "1", "--account", "mastodon", "--text", &"x".repeat(501)], 1, "501");
    exits(program, &["preview", "--file", "missing.json"], 1, "missing.json");
    exits(program, &["import", "missing.jsonl"], 1, "missing.jsonl");
    exits(program, &["preview", &format!("{}t/none/4711", scene.forum.base())], 1, "cannot preview");
    // Done, also what was done already, also by address.
    program.oyez(&["veto", "1,2", "--reason", "no"]).ok();
    program.oyez(&["veto", "1-2"]).ok();
    program.oyez(&["show", &scene.forum.topic_url(101)]).ok();
    program.oyez(&["log", "--verify"]).ok();
    // Some of several: what was done is printed, what was not is told.
    let some = program.oyez(&["approve", "1,2", "--json"]);
    assert_eq!((some.code, some.stdout.as_str()), (Some(1), ""));

    let fresh = Program::new(&toml(scene.forum.base(), &scene.mastodon.url(), HOLD));
    exits(&fresh, &["veto", "1"], 3, "no store");
    exits(&fresh, &["show", "1"], 3, "no store");
    exits(&fresh, &["queue"], 3, "no store");
    exits(&fresh, &["log"], 3, "no store");
    std::fs::remove_file(fresh.config()).unwrap();
    exits(&fresh, &["run", "--once"], 2, "oyez init");
    exits(&fresh, &["queue", "--config", "elsewhere.toml"], 2, "elsewhere.toml");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_the_promised_names() {
    let scene = Scene::with_items(1).await;
    let round = scene.oyez(&["run", "--once", "--all", "--json"]).ok().object();
    fields(
        &round,
        &["polled", "failed_sources", "known", "seen", "held", "ignored", "sent", "failed", "unsure", "next"],
    );
    scene.forum.fail(Some(Fault::Down));
    let failing = scene.oyez(&["run", "--once", "--all", "--json"]).ok().object();
    assert_eq!(failing["failed_sources"], json!(["announcements"]));
    let queue = scene.oyez(&["queue", "--json"]).ok();
    assert_eq!(queue.object()["state"], "held", "every line is an item");
    let trouble: Value = serde_json::from_str(&queue.stderr).unwrap();
    fields(&trouble, &["error", "hint", "since"]);
    assert!(trouble["error"].as_str().unwrap().starts_with("source announcements is failing: "), "{trouble}");
    assert_eq!(scene.oyez(&["queue", "--all", "--json"]).ok().stderr, queue.stderr);
    scene.forum.fail(None);

    let held = scene.oyez(&["queue", "--json"]).ok().object();
    fields(&held, &QUEUE);
    fields(&held["deliveries"][0], &DELIVERY);
    assert_eq!((&held["state"], &held["deliveries"][0]["state"]), (&json!("held"), &json!("queued")));
    assert_eq!((&held["window_end"], &held["origins"]), (&held["until"], &json!(["announcements"])));
    assert!(held["until"].as_str().unwrap().ends_with('Z'), "{held}");

    let shown = scene.oyez(&["show", "1", "--json"]).ok().object();
    fields(&shown, &QUEUE);
    fields(&shown, &["item", "posts", "links", "journal"]);
    fields(&shown["item"], &ITEM);
    fields(&shown["posts"][0], &POST);
    fields(&shown["journal"][0], &ENTRY);

    let acted = scene.oyez(&["veto", "1", "--reason", "wrong date", "--json"]).ok().object();
    fields(&acted, &QUEUE);
    assert_eq!((&acted["state"], &acted["too_late"]), (&json!("vetoed"), &json!([])));

    let entries = scene.oyez(&["log", "--json"]).ok().lines();
    let seqs: Vec<u64> = entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=entries.len() as u64).collect::<Vec<_>>(), "oldest first, none missing");
    entries.iter().for_each(|entry| fields(entry, &ENTRY));
    let veto = entries.iter().find(|entry| entry["what"] == "veto").unwrap();
    assert_eq!((&veto["item"], &veto["reason"]), (&json!(1), &json!("wrong date")));
    assert!(veto["actor"].as_str().unwrap().starts_with("cli:"), "{veto}");
    let verified = scene.oyez(&["log", "--verify", "--json"]).ok().object();
    assert_eq!((&verified["verified"], &verified["entries"]), (&json!(true), &json!(entries.len())));

    // Without a configuration, a store or a service.
    std::fs::remove_file(scene.program.config()).unwrap();
    for file in [
        "discourse/topic.json",
        "discourse/list.json",
        "youtube/channel.xml",
        "feeds/feed.json",
        "media_ccc/conference.json",
        "peertube/list.json",
    ] {
        let previews = scene.oyez(&["preview", "--json", "--file", &fixture(file)]).ok().lines();
        assert!(!previews.is_empty(), "{file}");
        for preview in previews {
            fields(&preview, &["item", "policy", "links", "posts"]);
            fields(&preview["item"], &ITEM);
            fields(&preview["policy"], &["verdict", "rule", "because"]);
            fields(&preview["posts"][0], &POST);
            preview["links"].as_array().unwrap().iter().for_each(|link| fields(link, &LINK));
        }
    }
    let topic = std::fs::read(fixture("discourse/topic.json")).unwrap();
    let piped = scene.program.oyez_with(&topic, &["preview", "--json", "--file", "-"]).ok().object();
    assert_eq!(piped["item"]["title"], "NixOS 26.11 released");
    let live = scene.oyez(&["preview", "--json", &scene.forum.topic_url(101)]).ok().object();
    assert_eq!((&live["item"]["title"], &live["posts"][0]["fits"]), (&json!("News 1"), &json!(true)));
}

#[test]
fn links_are_answered_in_their_order() {
    let program = Program::new("");
    let links =
        program.oyez(&["link", "--json", "--offline", "https://b.example/", "javascript:1", "https://a.example/"]);
    let links = links.ok().lines();
    links.iter().for_each(|link| fields(link, &LINK));
    let inputs: Vec<_> = links.iter().map(|link| link["input"].as_str().unwrap()).collect();
    assert_eq!(inputs, ["https://b.example/", "javascript:1", "https://a.example/"]);
    assert!(links[1]["output"].is_null() && links[1]["refused"].is_string(), "{}", links[1]);
    assert!(links[0]["output"].is_string() && links[0]["refused"].is_null(), "{}", links[0]);
    let broken =
        program.oyez_with(b"https://a.example/\xff\xfe\nhttps://b.example/\n", &["link", "--json"]).ok().lines();
    assert!(broken[0]["output"].is_null() && broken[0]["refused"].is_string(), "{broken:?}");
    assert_eq!(broken[1]["output"], "https://b.example/", "one line spoils no other");
    let lines = program.oyez_with(b"https://b.example/\n\n https://a.example/ \n", &["link", "--json"]).ok().lines();
    assert_eq!((lines.len(), &lines[1]["input"]), (2, &json!("https://a.example/")));
}

#[test]
fn count_counts_stdin_byte_for_byte() {
    #[track_caller]
    fn check(stdin: &str, more: &[&str], want: Value) {
        let program = Program::new("");
        let mut args = vec!["count", "--platform", "mastodon", "--json"];
        args.extend(more);
        assert_eq!(program.oyez_with(stdin.as_bytes(), &args).ok().object(), want, "{stdin:?}");
    }
    let counted = |length: usize, limit: usize| json!({"platform": "mastodon", "length": length, "limit": limit, "fits": length <= limit});
    check("ab", &[], counted(2, 500));
    check("ab\n", &[], counted(3, 500));
    check("", &[], counted(0, 500));
    check("👩‍👩‍👧‍👦 https://example.org/a/very/long/address/that/counts/less", &[], counted(25, 500));
    check("ab", &["--warning", "cd", "--limit", "3"], counted(4, 3));
    let program = Program::new("");
    assert_eq!(program.oyez_with(b"ab\n", &["count", "--platform", "mastodon"]).ok().stdout, "3 of 500\n");
    assert_eq!(program.oyez_with(b"\xff", &["count", "--platform", "mastodon"]).code, Some(1));
}

/// Without what differs from item to item and from moment to moment.
fn alike(printed: &Printed, number: u64) -> (Option<i32>, String, String) {
    let mut object = printed.object();
    for field in ["number", "title", "url", "window_end", "until"] {
        assert!(object.as_object_mut().unwrap().remove(field).is_some());
    }
    for delivery in object["deliveries"].as_array_mut().unwrap() {
        delivery["not_before"] = Value::Null;
    }
    let text = object.to_string().replace(&format!("oyez retract {number}"), "oyez retract N");
    (printed.code, text, printed.stderr.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_service_and_without_the_same_is_printed() {
    let scene = Scene::with_items(4).await;
    let mut alone = Vec::new();
    let acts: [&[&str]; 6] = [
        &["snooze", "N", "4h", "--json"],
        &["edit", "N", "--account", "mastodon", "--text", "Better words", "--json"],
        &["edit", "N", "--account", "mastodon", "--reset", "--json"],
        &["approve", "N", "--json"],
        &["veto", "N", "--reason", "no", "--json"],
        &["reinstate", "N", "--json"],
    ];
    let put = |act: &[&str], number: &str| -> Vec<String> {
        act.iter().map(|word| if *word == "N" { number.to_owned() } else { (*word).to_owned() }).collect()
    };
    let ask = |act: &[&str], number: u64| {
        let words = put(act, &number.to_string());
        alike(&scene.oyez(&words.iter().map(String::as_str).collect::<Vec<_>>()), number)
    };
    for act in acts {
        alone.push(ask(act, 1));
    }
    let facts: [&[&str]; 12] = [
        &["queue"],
        &["queue", "--json"],
        &["queue", "--all", "--json"],
        &["show", "1"],
        &["show", "1", "--json"],
        &["log"],
        &["log", "--json"],
        &["log", "--item", "2", "--json"],
        &["log", "--verify"],
        &["show", "99", "--json"],
        &["veto", "99"],
        &["skip", "1", "--account", "nobody", "--json"],
    ];
    let plainly = |args: &&[&str]| {
        let said = scene.oyez(args);
        (said.code, said.stdout, said.stderr)
    };
    // A forum that says nothing new: the journal stands still while it is read.
    let without: Vec<_> = facts.iter().map(plainly).collect();
    let service = scene.program.serve();
    let with: Vec<_> = facts.iter().map(plainly).collect();
    for ((without, with), args) in without.iter().zip(&with).zip(facts) {
        assert_eq!(without, with, "{args:?}");
    }
    for (act, alone) in acts.iter().zip(alone) {
        assert_eq!(alone, ask(act, 2), "{act:?}");
    }
    // An act in one is seen by the other.
    scene.oyez(&["veto", "3"]).ok();
    assert!(service.terminate().0.success());
    assert_eq!(scene.oyez(&["show", "3", "--json"]).ok().object()["state"], "vetoed");
    // What needs the network waits for a service, and says so only where none runs.
    let waits = scene.oyez(&["approve", "4", "--now", "--json"]).ok().object();
    assert!(waits["hints"][0].as_str().unwrap().contains("no service is running"), "{waits}");
    assert!(scene.mastodon.created().is_empty());
    let service = scene.program.serve();
    wait_until("it leaves now", Duration::from_secs(30), || scene.mastodon.created().len() == 1);
    assert!(service.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_service_a_store_and_it_stops_when_told() {
    let scene = Scene::with_items(1).await;
    let service = scene.program.serve();
    let started = std::time::Instant::now();
    for args in [&["run"][..], &["run", "--once"]] {
        let second = scene.oyez(args);
        assert_eq!(second.code, Some(1), "{second:?}");
        let last: Vec<_> = second.stderr.lines().filter(|line| line.starts_with("error:")).collect();
        assert!(last.len() == 1 && last[0].contains("in use by another process"), "{second:?}");
        assert!(!second.stderr.contains("check `service.socket`"), "the socket is not what is wrong: {second:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    // Another state, the same socket.
    let text = std::fs::read_to_string(scene.program.config()).unwrap();
    let state = scene.program.state().display().to_string();
    let other = text
        .replace(&state, &format!("{state}2"))
        .replace("[network]", &format!("socket = \"{}\"\n[network]", scene.program.socket().display()));
    std::fs::write(scene.program.path("other.toml"), other).unwrap();
    let third = scene.oyez(&["run", "--config", "other.toml"]);
    assert!(third.code == Some(1) && third.stderr.contains("another oyez already listens"), "{third:?}");
    assert!(scene.program.socket().exists(), "the other's socket is left alone");
    scene.oyez(&["queue"]).ok();

    let (status, took) = service.terminate();
    assert!(status.success() && took < Duration::from_secs(10), "{status:?} after {took:?}");
    assert!(!scene.program.socket().exists());
    scene.oyez(&["queue"]).ok();

    // A socket nobody answers on any more.
    scene.program.serve().kill();
    assert!(scene.program.socket().exists());
    scene.oyez(&["veto", "1"]).ok();
    let service = scene.program.serve();
    scene.oyez(&["queue"]).ok();
    // Also while a request hangs and the forum does.
    assert!(service.terminate().0.success());
    assert!(!scene.program.socket().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_hangs_keeps_nobody_from_stopping_nor_a_veto_from_coming() {
    let scene = Scene::with_items(6).await;
    scene.mastodon.hold(oyez::pretend::mastodon::On::Post, oyez::pretend::mastodon::Hold::Before);
    scene.oyez(&["approve", "1", "--now"]).ok();
    let service = scene.program.serve();
    let posts = || scene.mastodon.requests().iter().filter(|request| request.method == "POST").count();
    wait_until("the post arrives", Duration::from_secs(30), || posts() == 1);
    // A veto that comes while it stops is no less a veto.
    let (status, took) = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| service.terminate());
        wait_until("it stops", Duration::from_secs(5), || scene.program.log().contains("stopping"));
        let late = scene.oyez(&["veto", "2", "--json"]).ok().object();
        assert_eq!(late["state"], "vetoed");
        stopping.join().unwrap()
    });
    assert!(status.success() && took < Duration::from_secs(10), "{status:?} after {took:?}");
    scene.mastodon.release();
    // What it did not see the end of is looked into, not repeated blindly.
    let state = scene.oyez(&["show", "1", "--json"]).ok().object()["deliveries"][0]["state"].clone();
    assert!(state == "sending" || state == "unsure", "{state}");
    // So is one that comes while it starts, or while others act.
    let service = scene.program.spawn();
    std::thread::scope(|scope| {
        for number in ["3", "4", "5", "6"] {
            let scene = &scene;
            scope.spawn(move || scene.oyez(&["veto", number]).ok());
        }
    });
    scene.oyez(&["veto", "2-6"]).ok();
    let answers = || std::os::unix::net::UnixStream::connect(scene.program.socket()).is_ok();
    wait_until("the service has started all the same", Duration::from_secs(30), answers);
    assert!(service.terminate().0.success());
    let vetoed = scene.oyez(&["queue", "--all", "--json"]).ok().lines();
    assert_eq!(vetoed.iter().filter(|item| item["state"] == "vetoed").count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let scene = Scene::with_items(60).await;
    let links: Vec<String> = (0..2000).map(|n| format!("https://example.org/{n}")).collect();
    let mut link = vec!["link", "--json"];
    link.extend(links.iter().map(String::as_str));
    let list = fixture("discourse/list.json");
    let check = |args: &[&str]| {
        let mut child = scene.program.command(args).stdin(Stdio::null()).spawn().unwrap();
        // As `| head -0`: nobody will read a byte.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""), "{:?}", &args[..args.len().min(3)]);
    };
    let all: [&[&str]; 11] = [
        &["queue"],
        &["queue", "--json"],
        &["log"],
        &["log", "--json"],
        &["show", "1"],
        &["show", "1", "--json"],
        &["export"],
        &link,
        &["preview", "--file", &list],
        &["completions", "bash"],
        &["--help"],
    ];
    all.iter().for_each(|args| check(args));
    let service = scene.program.serve();
    all.iter().for_each(|args| check(args));
    // All of an act is done, whoever reads of it.
    check(&["veto", "1-50", "--json"]);
    check(&["snooze", "51-60", "1h", "--json"]);
    let states = scene.oyez(&["queue", "--all", "--json"]).ok().lines();
    assert_eq!(states.iter().filter(|item| item["state"] == "vetoed").count(), 50);
    // A real pipe, closed after the first line.
    let mut shell = std::process::Command::new("sh");
    let line = format!("{} log --json | head -n 1", env!("CARGO_BIN_EXE_oyez"));
    shell.args(["-c", &line]).current_dir(scene.program.dir.path()).env("TOKEN", TOKEN);
    let first = printed(shell);
    assert_eq!((first.lines().len(), first.stderr.as_str()), (1, ""));
    assert!(service.terminate().0.success());
}

#[test]
fn completions_know_every_command() {
    let program = Program::new("");
    for shell in ["bash", "zsh", "fish"] {
        let script = program.oyez(&["completions", shell]).ok().stdout;
        for word in ["oyez", "veto", "reinstate", "preview", "--config"] {
            assert!(script.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
    }
    assert_eq!(program.oyez(&["completions", "abacus"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_writes_what_check_accepts_and_overwrites_nothing() {
    let scene = Scene::new().await;
    scene.forum.announce("News 1", "<p>There is news.</p>");
    let at = format!("{}c/announcements/8", scene.forum.base());
    let refused = scene.oyez(&["init", &at]);
    assert!(refused.code == Some(2) && refused.stderr.contains("there already"), "{refused:?}");
    std::fs::remove_file(scene.program.config()).unwrap();

    // An address that leads nowhere leaves no file behind.
    assert_eq!(scene.oyez(&["init", &format!("{}t/no-category/1", scene.forum.base())]).code, Some(2));
    assert_eq!(scene.oyez(&["init", &format!("{}c/nowhere/4711", scene.forum.base())]).code, Some(1));
    assert!(!scene.program.config().exists());

    let made = scene.oyez(&["init", &at]).ok();
    assert!(made.stdout.contains("News 1") && made.stdout.contains("Nothing was posted"), "{made:?}");
    let written = std::fs::read_to_string(scene.program.config()).unwrap();
    scene.oyez(&["check"]).ok();
    scene.oyez(&["check", "--online"]).ok();
    assert!(!scene.program.path("posts.jsonl").exists(), "nothing was posted");
    assert_eq!(scene.oyez(&["init", &at]).code, Some(2));
    assert_eq!(std::fs::read_to_string(scene.program.config()).unwrap(), written);
    assert_eq!(scene.oyez(&["init", &at, "--output", "-"]).ok().stdout.trim(), written.trim());
    let elsewhere = scene.oyez(&["init", &at, "-o", "second.toml", "--json"]).ok().object();
    assert_eq!(elsewhere["written"], "second.toml");
    let path = scene.program.path("second.toml");
    scene.oyez(&["check", "--config", path.to_str().unwrap()]).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_online_says_what_was_tried_and_what_to_do() {
    let scene = Scene::new().await;
    scene.forum.announce("News 1", "<p>There is news.</p>");
    let good = scene.oyez(&["check", "--online", "--json"]).ok().lines();
    good.iter().for_each(|finding| fields(finding, &["severity", "tried", "got", "do_this"]));
    let about = |findings: &[Value], tried: &str| {
        findings.iter().find(|finding| finding["tried"] == tried).cloned().unwrap_or_else(|| panic!("{findings:?}"))
    };
    assert_eq!(about(&good, "account mastodon")["severity"], "fine");
    assert!(about(&good, "source announcements")["got"].as_str().unwrap().contains("News 1"));

    let mut wrong = scene.program.command(&["check", "--online", "--json"]);
    wrong.env("TOKEN", "a-wrong-token");
    let wrong = printed(wrong);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let account = about(&wrong.lines(), "account mastodon");
    assert!(account["severity"] == "error" && account["do_this"].is_string(), "{account}");
    assert!(!wrong.stdout.contains("a-wrong-token") && !wrong.stderr.contains("a-wrong-token"));

    let text = std::fs::read_to_string(scene.program.config()).unwrap();
    scene.program.configure(&text.replace("category = \"announcements\"", "category = \"nowhere\""));
    scene.oyez(&["check"]).ok();
    let wrong = scene.oyez(&["check", "--online", "--json"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let source = about(&wrong.lines(), "source announcements");
    assert!(source["severity"] == "error" && source["do_this"].is_string(), "{source}");
    assert!(scene.mastodon.created().is_empty(), "a check posts nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_import_and_backup_while_it_runs() {
    let scene = Scene::with_items(3).await;
    scene.oyez(&["veto", "2", "--reason", "no"]).ok();
    let service = scene.program.serve();
    let whole = scene.oyez(&["export"]).ok().stdout;
    assert!(whole.lines().count() > 5);
    whole.lines().for_each(|line| assert!(serde_json::from_str::<Value>(line).unwrap().is_object()));
    let told = scene.oyez(&["export", "-o", "all.jsonl", "--json"]).ok().object();
    assert_eq!(told["export"], "all.jsonl");
    exits(&scene.program, &["export", "-o", "all.jsonl"], 1, "all.jsonl");
    scene.oyez(&["backup", "copy"]).ok();
    exits(&scene.program, &["backup", "copy"], 1, "is there already");
    exits(&scene.program, &["import", "all.jsonl"], 1, "running");
    assert!(service.terminate().0.success());
    exits(&scene.program, &["import", "all.jsonl"], 1, "not empty");

    let text = std::fs::read_to_string(scene.program.config()).unwrap();
    let state = scene.program.state().display().to_string();
    for (name, dir) in
        [("new.toml", format!("{state}-new")), ("copy.toml", scene.program.path("copy").display().to_string())]
    {
        std::fs::write(scene.program.path(name), text.replace(&state, &dir)).unwrap();
    }
    let now = scene.oyez(&["export"]).ok().stdout;
    let made =
        scene.program.oyez_with(now.as_bytes(), &["import", "-", "--config", "new.toml", "--json"]).ok().object();
    assert_eq!(made["items"], 3);
    assert_eq!(scene.oyez(&["export", "--config", "new.toml"]).ok().stdout, now, "byte for byte");
    for config in ["new.toml", "copy.toml"] {
        scene.oyez(&["log", "--verify", "--config", config]).ok();
        assert_eq!(scene.oyez(&["show", "2", "--json", "--config", config]).ok().object()["state"], "vetoed");
    }
    // Cut off or altered it is refused, and leaves nothing.
    let cut = &now[..now.len() / 2];
    std::fs::write(scene.program.path("cut.toml"), text.replace(&state, &format!("{state}-cut"))).unwrap();
    let refused = scene.program.oyez_with(cut.as_bytes(), &["import", "-", "--config", "cut.toml"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(!scene.program.path("state-cut").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_on_in_another_place_as_the_store_would_have() {
    let scene = Scene::with_items(3).await;
    scene.oyez(&["veto", "2", "--reason", "no"]).ok();
    scene.oyez(&["approve", "1", "--now"]).ok();
    scene.oyez(&["run", "--once", "--all"]).ok();
    assert_eq!(scene.mastodon.created().len(), 1);
    let export = scene.oyez(&["export"]).ok().stdout;
    scene.oyez(&["backup", "copy"]).ok();

    // As the manual says it: the state directory away, the copy in its place; here on another machine's path as well.
    let elsewhere = tempfile::tempdir().unwrap();
    let state = elsewhere.path().join("restored");
    std::fs::rename(scene.program.path("copy"), &state).unwrap();
    std::fs::rename(scene.program.state(), scene.program.path("away")).unwrap();
    let text = std::fs::read_to_string(scene.program.config()).unwrap();
    let old = scene.program.state().display().to_string();
    scene.program.configure(&text.replace(&old, &state.display().to_string()));
    assert_eq!(scene.oyez(&["export"]).ok().stdout, export, "state, journal and digests, byte for byte");
    let verified = scene.oyez(&["log", "--verify", "--json"]).ok().object();
    fields(&verified, &["head"]);

    // What was out is not sent again, the veto stands, and what is new gets the next number.
    scene.forum.announce("News 4", "<p>There is news.</p>");
    scene.oyez(&["run", "--once", "--all"]).ok();
    scene.oyez(&["approve", "3-4", "--now"]).ok();
    scene.oyez(&["run", "--once", "--all"]).ok();
    let titles: Vec<String> = scene.mastodon.created().into_iter().map(|status| status.text).collect();
    assert_eq!(titles.len(), 3, "{titles:?}");
    for (title, times) in [("News 1", 1), ("News 2", 0), ("News 3", 1), ("News 4", 1)] {
        assert_eq!(titles.iter().filter(|text| text.contains(title)).count(), times, "{title}: {titles:?}");
    }
    assert!(!scene.program.state().exists(), "nothing went back to the old place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_named_before_after_or_by_the_environment() {
    let scene = Scene::with_items(1).await;
    let moved = scene.program.path("elsewhere.toml");
    std::fs::rename(scene.program.config(), &moved).unwrap();
    let moved = moved.to_str().unwrap();
    let want = scene.oyez(&["queue", "--json", "--config", moved]).ok().stdout;
    assert_eq!(scene.oyez(&["--config", moved, "--json", "queue"]).ok().stdout, want);
    let mut by_environment = scene.program.command(&["queue", "--json"]);
    by_environment.env("OYEZ_CONFIG", moved);
    assert_eq!(printed(by_environment).ok().stdout, want);
    // The argument wins over the environment.
    let mut both = scene.program.command(&["queue", "--json", "--config", moved]);
    both.env("OYEZ_CONFIG", "/nowhere.toml");
    assert_eq!(printed(both).ok().stdout, want);
    assert_eq!(scene.oyez(&["queue"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_comes_through_a_pipe() {
    let scene = Scene::with_items(1).await;
    let words = "Two lines,\nwith an ünïcode 🎬\n";
    scene.program.oyez_with(words.as_bytes(), &["edit", "1", "--account", "mastodon"]).ok();
    let shown = scene.oyez(&["show", "1", "--json"]).ok().object();
    assert_eq!(shown["posts"][0]["text"], words.trim_end());
    assert!(shown["posts"][0]["edited_by"].as_str().unwrap().starts_with("cli:"), "{shown}");
    let empty = scene.program.oyez_with(b"\n", &["edit", "1", "--account", "mastodon"]);
    assert_eq!(empty.code, Some(2), "{empty:?}");
    scene.oyez(&["edit", "1", "--account", "mastodon", "--reset"]).ok();
    assert_ne!(scene.oyez(&["show", "1", "--json"]).ok().object()["posts"][0]["text"], words.trim_end());
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let program = Program::new(
        "[service]\nlisten = \"everywhere\"\n[hold]\nwindow = \"soon\"\n[[account]]\nname = \"m\"\n\
         platform = \"mastodon\"\nserver = \"https://m.example\"\ntoken = \"abcdef\"\ncolour = \"red\"\n",
    );
    for command in [&["run"][..], &["queue"]] {
        for mistake in ["everywhere", "window", "token", "colour"] {
            exits(&program, command, 2, mistake);
        }
    }
    let told = program.oyez(&["check"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""));
    for mistake in ["everywhere", "window", "token", "colour"] {
        assert!(told.stderr.contains(mistake), "{mistake}: {told:?}");
    }
    assert!(told.stderr.contains("oyez.toml") && told.stderr.contains('4'), "file and line: {told:?}");
    assert!(!told.stderr.contains("abcdef"), "a token written into the file is not repeated: {told:?}");
    // For `check` they are the answer, one by one.
    let findings = program.oyez(&["check", "--json"]);
    assert_eq!(findings.code, Some(2), "{findings:?}");
    let tried: Vec<_> =
        findings.lines().iter().map(|f| f["tried"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect();
    let want = ["2, `service.listen`", "4, `hold.window`", "9, `account m.token`", "10, `account m.colour`"];
    assert_eq!(tried, want.map(|place| format!("oyez.toml line {place}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_02_a_configuration_that_is_being_changed_keeps_no_veto_from_the_running_service() {
    let scene = Scene::with_items(2).await;
    let service = scene.program.serve();
    let whole = std::fs::read_to_string(scene.program.config()).unwrap();
    for (number, half) in
        [("1", format!("{whole}\n[[account]\n")), ("2", format!("{whole}\n[hold.talk]\nwindow = \"soon\"\n"))]
    {
        std::fs::write(scene.program.config(), half).unwrap();
        let vetoed = scene.oyez(&["veto", number, "--json"]).ok().object();
        assert_eq!(vetoed["state"], "vetoed", "{vetoed}");
    }
    drop(service);
    let refused = scene.oyez(&["veto", "1"]);
    assert_eq!(refused.code, Some(2), "without a service the file decides: {refused:?}");
}

#[test]
fn a_file_where_the_socket_should_be_is_left_alone() {
    let program =
        Program::new("[service]\nstate = \"{dir}/state\"\nlisten = \"127.0.0.1:0\"\nsocket = \"{dir}/notes.txt\"\n");
    std::fs::write(program.path("notes.txt"), "mine").unwrap();
    let refused = program.oyez(&["run"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("is no socket"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(program.path("notes.txt")).unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_objects_with_fields_when_that_is_asked_for() {
    let scene = Scene::with_items(1).await;
    scene.forum.fail(Some(Fault::Down));
    for (args, env) in [
        (&["run", "--once", "--all", "-v", "--log-format", "json"][..], None),
        (&["run", "--once", "--all", "-v"], Some("json")),
    ] {
        let mut command = scene.program.command(args);
        command.envs(env.map(|format| ("OYEZ_LOG_FORMAT", format)));
        let said = printed(command).ok();
        let objects: Vec<Value> = said.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        objects.iter().for_each(|object| fields(object, &["timestamp", "level", "target", "message"]));
        let failure = objects.iter().find(|object| object["source"] == "announcements");
        assert!(failure.is_some_and(|object| object["level"] == "WARN"), "{said:?}");
    }
    // For people it is none, and what ends the program is an object as the rest is.
    let people = scene.oyez(&["run", "--once", "--all", "-v"]).ok();
    assert!(people.stderr.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{people:?}");
    let last = scene.oyez(&["show", "99", "--log-format", "json"]);
    let object: Value = serde_json::from_str(last.stderr.trim()).unwrap();
    assert_eq!(last.code, Some(3));
    fields(&object, &["error", "hint"]);
    exits(&scene.program, &["queue", "--log-format", "xml"], 2, "text, json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_ever_printed_or_stored() {
    let scene = Scene::with_items(2).await;
    let secret = "s3cr3t-0f-th3-h00k";
    std::fs::write(scene.program.path("hook"), secret).unwrap();
    let text = std::fs::read_to_string(scene.program.config()).unwrap();
    let hook = scene.program.path("hook");
    scene
        .program
        .configure(&text.replace("every = \"1s\"", &format!("every = \"1s\"\nwebhook-secret = {{ file = {hook:?} }}")));
    let mut all = String::new();
    let mut hear = |printed: Printed| {
        all.push_str(&printed.stdout);
        all.push_str(&printed.stderr);
    };
    scene.oyez(&["approve", "1", "--now"]).ok();
    hear(scene.oyez(&["run", "--once", "--all", "-vv"]).ok());
    assert_eq!(scene.mastodon.created().len(), 1);
    scene.mastodon.fault(oyez::pretend::mastodon::On::Post, oyez::pretend::mastodon::Fault::Unauthorised);
    scene.oyez(&["approve", "2", "--now"]).ok();
    let mut loud = scene.program.command(&["run", "--once", "--all", "-vv"]);
    loud.env("OYEZ_LOG", "trace");
    hear(printed(loud).ok());
    for args in [
        &["check", "--online", "-vv"][..],
        &["queue", "--all"],
        &["show", "1"],
        &["show", "2", "--json"],
        &["log", "--json"],
        &["export"],
        &["preview", "--file", &fixture("discourse/topic.json"), "-vv"],
    ] {
        hear(scene.oyez(args));
    }
    let mut wrong = scene.program.command(&["check", "--online", "-vv"]);
    wrong.env("TOKEN", format!("{TOKEN}\u{1}"));
    hear(printed(wrong));
    assert!(all.contains("News 1"));
    for planted in [TOKEN, secret] {
        let at = all.find(planted);
        assert!(at.is_none(), "…{}…", &all[at.unwrap().saturating_sub(300)..at.unwrap() + 30]);
    }
}

/// Only where the tests run as root.
#[test]
fn what_root_imports_belongs_to_the_user_of_the_directory() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    const USER: u32 = 54_321;
    let config = |state: &str| {
        format!(
            "[service]\nstate = \"{{dir}}/{state}\"\n[[account]]\nname = \"a\"\nplatform = \"file\"\npath = \"-\"\n"
        )
    };
    let program = Program::new(&config("state"));
    program.oyez(&["run", "--once"]).ok();
    program.oyez(&["export", "--output", "all.jsonl"]).ok();
    program.configure(&config("other"));
    std::fs::create_dir(program.path("other")).unwrap();
    chown(program.path("other"), Some(USER), Some(USER)).unwrap();
    program.oyez(&["import", "all.jsonl"]).ok();
    let mut dirs = vec![program.path("other")];
    let mut seen = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(std::fs::symlink_metadata(&path).unwrap().uid(), USER, "{}", path.display());
            seen += 1;
            dirs.extend(Some(path).filter(|path| path.is_dir()));
        }
    }
    assert!(seen > 3, "{seen} files");
}
