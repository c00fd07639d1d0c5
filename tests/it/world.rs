//! A world on loopback: a forum, a Mastodon, the whole service between them, and a clock that stands still until it is
//! told to move. The parts are the real ones; only the networks are played.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oyez::acts::{Failure, Request, TeamAct};
use oyez::app::App;
use oyez::clock::{Clock, ManualClock};
use oyez::config::{Config, Env};
use oyez::item::{Item, Number, State};
use oyez::life::Patience;
use oyez::pretend::forum::Forum;
use oyez::pretend::mastodon::{Flavour, Mastodon, TOKEN};
use oyez::store::Store;
use oyez::{deliver, poll};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// Monday 2026-11-02 10:00 in Berlin: a waking hour with the week before it.
pub const MONDAY: &str = "2026-11-02T09:00:00Z";

/// What a world is made with.
pub struct Plan {
    /// More of `oyez.toml`; `{forum}` and `{mastodon}` stand for the addresses.
    pub extra: String,
    /// `[hold]`.
    pub hold: String,
    /// `[network]`.
    pub network: String,
    /// The account's own settings.
    pub account: String,
    pub flavour: Flavour,
    /// Another account, `second`, on a server of its own, with these settings.
    pub second: Option<(Flavour, String)>,
    pub patience: Patience,
    /// When the story begins.
    pub start: &'static str,
    /// The shortest time between two polls.
    pub every: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            extra: String::new(),
            hold: "quiet-hours = \"none\"\nspacing = \"0s\"\nat-most = \"none\"".into(),
            network: "timeout = \"2s\"".into(),
            account: String::new(),
            flavour: Flavour::Mastodon,
            second: None,
            patience: Patience::default(),
            start: MONDAY,
            every: "1h",
        }
    }
}

/// The machine's clock, which may be off the world's.
pub struct Skewed {
    truth: Arc<ManualClock>,
    by: Mutex<SignedDuration>,
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.truth.now() + *self.by.lock().unwrap()
    }
}

pub struct World {
    pub clock: Arc<ManualClock>,
    machine: Arc<Skewed>,
    pub forum: Forum,
    pub mastodon: Mastodon,
    pub second: Option<Mastodon>,
    pub dir: TempDir,
    pub toml: String,
    patience: Patience,
    app: Option<App>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Plan::default()).await
    }

    pub async fn with(plan: Plan) -> Self {
        let clock = Arc::new(ManualClock::new(plan.start.parse().unwrap()));
        let machine = Arc::new(Skewed { truth: clock.clone(), by: Mutex::default() });
        let forum = Forum::start(clock.clone()).await.unwrap();
        let mastodon = Mastodon::start(plan.flavour, clock.clone()).await.unwrap();
        let mut second = None;
        let mut second_toml = String::new();
        if let Some((flavour, account)) = &plan.second {
            let server = Mastodon::start(*flavour, clock.clone()).await.unwrap();
            second_toml = format!(
                "[[account]]\nname = \"second\"\nplatform = \"mastodon\"\nserver = \"{}\"\ntoken = {{ env = \"TOKEN\" }}\n{account}",
                server.url()
            );
            second = Some(server);
        }
        let dir = tempfile::tempdir().unwrap();
        let toml = format!(
            r#"
[service]
state = "{state}"
time-zone = "Europe/Berlin"
[network]
{network}
[[source]]
name = "announcements"
type = "discourse"
url = "{forum}"
category = "announcements"
every = "{every}"
[[account]]
name = "mastodon"
platform = "mastodon"
server = "{mastodon}"
token = {{ env = "TOKEN" }}
hashtags = ["NixOS"]
{account}
{second_toml}
[hold]
{hold}
{extra}
"#,
            state = dir.path().join("state").display(),
            forum = forum.base(),
            mastodon = mastodon.url(),
            account = plan.account,
            hold = plan.hold,
            network = plan.network,
            every = plan.every,
            extra = plan.extra.replace("{forum}", forum.base().as_str()).replace("{mastodon}", mastodon.url().as_str()),
        );
        let mut world = Self { clock, machine, forum, mastodon, second, dir, toml, patience: plan.patience, app: None };
        world.start();
        // As at the start of `oyez run`; a restart knows them from the store.
        world.app().deliverer().learn_limits().await.unwrap();
        world
    }

    /// Starts the service on the store that is there, as after a crash or a restart.
    pub fn start(&mut self) {
        let config = Config::parse(&self.toml, "the world's oyez.toml", &Env::of([("TOKEN", TOKEN)]))
            .unwrap_or_else(|errors| panic!("{errors}"))
            .config;
        let store = Store::open(&config.service.state).unwrap();
        let app = App::build_with(Arc::new(config), store, self.machine.clone(), self.patience).unwrap();
        app.deliverer().start(false).unwrap();
        self.app = Some(app);
    }

    /// The service is gone from one moment to the next. What was not stored is lost.
    pub fn stop(&mut self) {
        self.app = None;
    }

    /// Stops as on SIGTERM and starts again at once.
    pub fn restart(&mut self) {
        self.app().store().set_alive(self.machine.now()).unwrap();
        self.stop();
        self.start();
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().expect("the service runs")
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// From now on the machine's clock is that far ahead of the world's.
    pub fn skew(&self, by: SignedDuration) {
        *self.machine.by.lock().unwrap() = by;
    }

    /// Only moves the clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Asks every source now.
    pub async fn poll(&self) -> poll::Tally {
        self.app().poller().tick(true).await.unwrap()
    }

    /// One beat of the delivering half.
    pub async fn deliver(&self) -> deliver::Tally {
        self.app().deliverer().tick().await.unwrap()
    }

    /// One beat in a task of its own, to be watched or ended half way.
    pub fn delivering(&self) -> JoinHandle<deliver::Tally> {
        let deliverer = Arc::clone(self.app().deliverer());
        tokio::spawn(async move { deliverer.tick().await.unwrap() })
    }

    /// The process dies in the middle of a beat, and is started again.
    pub async fn crash(&mut self, beat: JoinHandle<deliver::Tally>) {
        beat.abort();
        // It was told to end: how it does is of no interest.
        let _ended = beat.await;
        self.stop();
        self.start();
    }

    /// Lets time pass as the service lives through it: each beat at its moment, polls when due.
    pub async fn pass(&self, by: Duration) {
        let until = self.now() + by;
        for _ in 0..20_000 {
            self.app().poller().tick(false).await.unwrap();
            let tally = self.deliver().await;
            let next = [self.app().poller().next_due(), tally.next].into_iter().flatten().min().unwrap_or(until);
            let next = next.max(self.now() + Duration::from_millis(10));
            if next > until {
                self.clock.set(until);
                return;
            }
            self.clock.set(next);
        }
        panic!("time does not pass: the service is in a busy loop");
    }

    /// First contact with the forum, which is quiet.
    pub async fn meet(&self) -> poll::Tally {
        let tally = self.poll().await;
        assert_eq!(tally.failed, Vec::<String>::new());
        tally
    }

    /// Announces on the forum and lets the service hear it. Returns the item's number.
    pub async fn announce(&self, title: &str, cooked: &str) -> Number {
        let topic = self.forum.announce(title, cooked);
        self.poll().await;
        self.number_of(topic)
    }

    pub fn number_of(&self, topic: u64) -> Number {
        let key = oyez::source::discourse::topic_key(self.forum.base(), topic);
        self.app().store().by_key(&key).unwrap().unwrap_or_else(|| panic!("topic {topic} is not known"))
    }

    pub fn item(&self, number: Number) -> Item {
        self.app().store().item(number).unwrap().unwrap()
    }

    pub fn state(&self, number: Number) -> State {
        self.item(number).state()
    }

    pub fn delivery(&self, number: Number) -> String {
        self.progress(number, "mastodon")
    }

    pub fn progress(&self, number: Number, account: &str) -> String {
        self.item(number).deliveries[account].progress.name().to_owned()
    }

    /// Asks the desk as the command line does; every document of the answer.
    pub fn ask(&self, request: Request) -> Result<Vec<Value>, Failure> {
        let mut documents = Vec::new();
        self.app().desk().execute("cli:ida", request, &mut |document| {
            documents.push(document);
            Ok(())
        })?;
        Ok(documents)
    }

    pub fn act(&self, number: Number, act: TeamAct) -> Result<Value, Failure> {
        let request = Request::Act { items: vec![number.to_string()], act, reason: Some("because".into()) };
        self.ask(request).map(|mut documents| documents.remove(0))
    }

    /// The texts on the timeline, oldest first.
    pub fn texts(&self) -> Vec<String> {
        self.mastodon.posts().into_iter().map(|status| status.text).collect()
    }

    /// The words of the journal about one item, oldest first.
    pub fn journal(&self, number: Number) -> Vec<String> {
        let entries = self.ask(Request::Log { item: Some(number) }).unwrap();
        entries.iter().map(|entry| entry["what"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Whatever the story was, the journal of it verifies.
        if let Some(app) = &self.app
            && !std::thread::panicking()
        {
            app.store().verify().expect("the journal is unaltered");
        }
    }
}
