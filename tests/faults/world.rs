//! A forum, a network and the real program between them, with everything that can be made to fail; and the question that
//! is always the same at the end.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use oyez::clock::Clock;
use oyez::item::{Progress, State};
use oyez::pretend::forum::Forum;
use oyez::pretend::mastodon::{Flavour, Mastodon};
use oyez::store::Store;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Stage;
use crate::program::{Printed, came_true, printed};
use crate::shim::Control;
use crate::wire::Line;

/// The world's clock usually begins here: a Monday in a week without a change of clocks.
pub const MONDAY: &str = "2026-11-02T09:00:00Z";
/// By the world's clock.
pub const WINDOW: SignedDuration = SignedDuration::from_secs(20);

/// What a world is made with.
#[derive(Debug, Clone)]
pub struct Plan {
    pub flavour: Flavour,
    /// How much faster than ours its clock goes.
    pub speed: i64,
    pub start: &'static str,
    pub zone: &'static str,
    pub window: SignedDuration,
    /// As it stands in `[hold]`.
    pub quiet: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self { flavour: Flavour::Mastodon, speed: 20, start: MONDAY, zone: "UTC", window: WINDOW, quiet: "\"none\"" }
    }
}

/// What may have become of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Said exactly once.
    Said,
    /// A veto was acknowledged before a request had left: never said.
    Vetoed,
    /// A veto was answered with "too late", or its answer was lost: at most once.
    Either,
}

#[derive(Debug, Clone)]
pub struct Topic {
    pub id: u64,
    pub published: Timestamp,
    pub fate: Fate,
}

/// What came of it all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub items: usize,
    pub delivered: usize,
    pub twice: usize,
    pub lost: usize,
    pub early: usize,
    pub vetoes: usize,
    pub vetoes_broken: usize,
    pub unsure: usize,
    pub entries: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Outcome) {
        self.items += other.items;
        self.delivered += other.delivered;
        self.twice += other.twice;
        self.lost += other.lost;
        self.early += other.early;
        self.vetoes += other.vetoes;
        self.vetoes_broken += other.vetoes_broken;
        self.unsure += other.unsure;
        self.entries += other.entries;
    }
}

pub struct World {
    pub forum: Forum,
    pub mastodon: Mastodon,
    pub line: Line,
    pub clock: Arc<Control>,
    pub topics: Vec<Topic>,
    pub plan: Plan,
    pub token: String,
    dir: TempDir,
    shim: PathBuf,
    program: PathBuf,
    trace: Option<PathBuf>,
    /// The doubles live on it; dropped last.
    _runtime: Arc<Runtime>,
}

impl World {
    pub fn new(stage: &Stage, plan: Plan) -> Self {
        let runtime = &stage.runtime;
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Control::new(dir.path().join("control"), plan.start.parse().unwrap(), plan.speed));
        let (forum, mastodon, line) = runtime.block_on(async {
            let forum = Forum::start(clock.clone()).await.unwrap();
            let mastodon = Mastodon::start(plan.flavour, clock.clone()).await.unwrap();
            let line = Line::start(mastodon.address(), clock.clone()).await;
            (forum, mastodon, line)
        });
        let world = Self {
            forum,
            mastodon,
            line,
            clock,
            topics: Vec::new(),
            plan,
            token: "first".into(),
            dir,
            shim: stage.shim.clone(),
            program: stage.program.clone(),
            trace: None,
            _runtime: Arc::clone(runtime),
        };
        world.configure(&world.state());
        world
    }

    /// Writes the configuration, with the store there.
    pub fn configure(&self, state: &Path) {
        let plan = &self.plan;
        let config = format!(
            "[service]\nstate = \"{}\"\nlisten = \"127.0.0.1:0\"\ntime-zone = \"{}\"\n[network]\ntimeout = \"2m\"\n\
             [[source]]\nname = \"announcements\"\ntype = \"discourse\"\nurl = \"{}\"\ncategory = \"announcements\"\n\
             every = \"{}s\"\n[[account]]\nname = \"mastodon\"\nplatform = \"mastodon\"\nserver = \"{}\"\n\
             token = {{ env = \"TOKEN\" }}\n[hold]\nwindow = \"{}s\"\nsettle = \"0s\"\nsettle-at-most = \"0s\"\n\
             grace = \"1s\"\nquiet-hours = {}\nspacing = \"0s\"\nat-most = \"none\"\n",
            state.display(),
            plan.zone,
            self.forum.base(),
            if plan.speed > 1 { 5 } else { 1 },
            self.line.url(),
            plan.window.as_secs(),
            plan.quiet,
        );
        fs::write(self.dir.path().join("oyez.toml"), config).unwrap();
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("state")
    }

    /// Records every change of the store's files there.
    pub fn trace(&mut self) -> PathBuf {
        let path = self.dir.path().join("trace");
        self.trace = Some(path.clone());
        path
    }

    /// The program over the shim. `killable`: its changes are counted, recorded, and it obeys a kill.
    pub fn command(&self, args: &[&str], killable: bool) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path());
        command.env("TOKEN", &self.token).env("LD_PRELOAD", &self.shim);
        command.env("FAULTS_CONTROL", self.clock.path()).env("FAULTS_DIR", self.state());
        if killable {
            command.env("FAULTS_KILLABLE", "1");
            if let Some(trace) = &self.trace {
                command.env("FAULTS_TRACE", trace);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn oyez(&self, args: &[&str]) -> Printed {
        printed(self.command(args, false))
    }

    pub fn spawn(&self) -> Service {
        let log = fs::File::options().create(true).append(true).open(self.dir.path().join("service.log")).unwrap();
        let child = self.command(&["run"], true).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Service { child }
    }

    /// A service that answers on its socket.
    pub fn serve(&self) -> Service {
        let mut service = self.spawn();
        let up = came_true(Duration::from_secs(60), || {
            service.ended().is_some() || std::os::unix::net::UnixStream::connect(self.state().join("oyez.sock")).is_ok()
        });
        assert!(up && service.ended().is_none(), "the service does not start: {}", self.log());
        service
    }

    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("service.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// First contact, which is quiet.
    pub fn meet(&self) {
        let met = self.oyez(&["run", "--once", "--json"]).ok().object();
        assert_eq!(met["failed_sources"], serde_json::json!([]), "{met}");
    }

    pub fn announce(&mut self, n: usize) {
        for _ in 0..n {
            let published = self.clock.now();
            let title = format!("News number {}", self.topics.len() + 1);
            let id = self.forum.announce(&title, "<p>There is news.</p>");
            self.topics.push(Topic { id, published, fate: Fate::Said });
        }
    }

    /// Vetoes the topic with this index, by its address, and remembers what was answered. Says whether it was acknowledged.
    pub fn veto(&mut self, index: usize) -> bool {
        let url = self.forum.topic_url(self.topics[index].id);
        let answer = self.oyez(&["veto", &url, "--reason", "no", "--json"]);
        let topic = &mut self.topics[index];
        if topic.fate == Fate::Vetoed {
            return true;
        }
        match answer.code {
            Some(0) => {
                let answer = answer.object();
                let late = answer["too_late"].as_array().is_some_and(|late| !late.is_empty());
                let vetoed = answer["state"] == "vetoed";
                topic.fate = if vetoed && !late { Fate::Vetoed } else { Fate::Either };
            }
            // Refused or unknown: nothing was decided.
            Some(3) => {}
            // It is out already, or the service died under it, or the store was in use.
            _ => {
                let refused = answer.stderr.contains("already") || answer.stderr.contains("in use");
                if !refused {
                    topic.fate = Fate::Either;
                }
            }
        }
        topic.fate == Fate::Vetoed
    }

    /// How many statuses there are about each topic, and when the first was made.
    pub fn said(&self) -> BTreeMap<u64, (usize, Timestamp, String)> {
        let mut said: BTreeMap<u64, (usize, Timestamp, String)> = BTreeMap::new();
        let base = self.forum.base().as_str().trim_end_matches('/').to_owned();
        for status in self.mastodon.created() {
            let words = status.text.split_whitespace().filter(|word| word.starts_with(&base));
            for id in words.filter_map(|word| word.rsplit('/').next()?.parse().ok()) {
                said.entry(id).or_insert((0, status.created_at, status.text.clone())).0 += 1;
            }
        }
        said
    }

    /// Is everything out that must be?
    pub fn all_out(&self) -> bool {
        let said = self.said();
        self.topics.iter().all(|topic| topic.fate != Fate::Said || said.contains_key(&topic.id))
    }

    pub fn queue(&self) -> Vec<Value> {
        self.oyez(&["queue", "--json"]).ok().lines()
    }

    /// The cause is mended: serves until everything is out and the queue empty, stops, and looks.
    #[track_caller]
    pub fn finish(&mut self, longest: Duration) -> Outcome {
        self.clock.kill_at(0, crate::shim::How::Before);
        let mut service = self.serve();
        let out = polled(longest, || service.ended().is_some() || self.all_out());
        assert!(service.ended().is_none(), "the service ended: {}", self.log());
        // What has an alarm for people stays in the queue, though nothing is left to be done about it.
        let ended = |item: &Value| {
            let mut deliveries = item["deliveries"].as_array().into_iter().flatten();
            deliveries.all(|d| matches!(d["state"].as_str(), Some("sent" | "cancelled")))
        };
        let done = polled(longest, || self.queue().iter().all(ended));
        if !(out && done) {
            let (said, mut missing) = (self.said(), String::new());
            for topic in self.topics.iter().filter(|t| t.fate == Fate::Said && !said.contains_key(&t.id)).take(3) {
                let shown = self.oyez(&["show", &self.forum.topic_url(topic.id), "--json"]);
                let _ = writeln!(missing, "{topic:?}: {shown:?}");
            }
            let queue = self.queue();
            panic!(
                "it did not come out: {} in the queue, first {:?}\nmissing {missing}\n{}",
                queue.len(),
                queue.first(),
                self.log()
            );
        }
        let (ended, _) = service.terminate();
        assert!(ended.success(), "{ended:?}: {}", self.log());
        self.look()
    }

    /// Counts what must never be. The service must have stopped.
    #[track_caller]
    pub fn look(&self) -> Outcome {
        let verified = self.oyez(&["log", "--verify", "--json"]).ok().object();
        assert_eq!(verified["verified"], true, "{verified}");
        let store = Store::open(&self.state()).unwrap();
        let said = self.said();
        let mut outcome = Outcome { items: self.topics.len(), entries: store.head().seq, ..Outcome::default() };
        for topic in &self.topics {
            let (times, first) = said.get(&topic.id).map_or((0, None), |(times, first, _)| (*times, Some(*first)));
            outcome.delivered += usize::from(times > 0);
            outcome.twice += times.saturating_sub(1);
            let key = oyez::source::discourse::topic_key(self.forum.base(), topic.id);
            let item = store.by_key(&key).unwrap().and_then(|number| store.item(number).unwrap());
            let recorded = item.as_ref().and_then(|item| Some(&item.deliveries.get("mastodon")?.progress));
            match topic.fate {
                Fate::Said => {
                    let done = item.as_ref().is_some_and(|item| item.state() == State::Done);
                    let sent = matches!(recorded, Some(Progress::Sent { .. }));
                    outcome.lost += usize::from(times == 0 || !done || !sent);
                }
                Fate::Vetoed => {
                    outcome.vetoes += 1;
                    outcome.vetoes_broken += usize::from(times > 0);
                    outcome.lost += usize::from(item.is_none());
                }
                Fate::Either => outcome.lost += usize::from(item.is_none()),
            }
            // By two clocks: the window counted from its publication, and the end that the store promised.
            let promised = item.as_ref().and_then(|item| item.window_end);
            let too_early = |first: Timestamp| first < topic.published + self.plan.window;
            outcome.early += usize::from(first.is_some_and(too_early));
            if let (Some(first), Some(promised)) = (first, promised)
                && matches!(recorded, Some(Progress::Sent { .. }))
                && first < promised
            {
                outcome.early += 1;
            }
            if let Some(item) = item {
                let doubts = oyez::store::JournalFilter { item: Some(item.number), after: 0 };
                outcome.unsure += usize::from(store.journal(doubts).any(|entry| entry.unwrap().entry.what == "unsure"));
            }
        }
        outcome
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // For whoever must find out why: the configuration, the store, the log.
            self.dir.disable_cleanup(true);
            eprintln!("faults: kept {}", self.dir.path().display());
        }
    }
}

/// Looks now and then, for so long at most.
pub fn polled(longest: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > longest {
            return false;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A running `oyez run`; killed with the test.
pub struct Service {
    child: Child,
}

impl Service {
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end, for so long at most; then `kill -9`. Was it dead before?
    pub fn wait_or_kill(mut self, longest: Duration) -> (bool, ExitStatus) {
        let died = came_true(longest, || self.ended().is_some());
        if !died {
            self.child.kill().unwrap();
        }
        (died, self.child.wait().unwrap())
    }

    pub fn kill(self) {
        self.wait_or_kill(Duration::ZERO);
    }

    /// SIGTERM, and how it ended after how long by our clock.
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let begun = Instant::now();
        // It may have ended by itself.
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        came_true(Duration::from_secs(40), || self.ended().is_some());
        let ended = self.ended().unwrap_or_else(|| ExitStatus::from_raw(9));
        (ended, begun.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has usually ended already; nothing is to be done about one that cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a directory with everything in it, as a process that is killed at this moment leaves it.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
