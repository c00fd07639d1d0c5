//! The pretend world of the demo and the real service in it.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use super::Pace;
use super::home::Home;
use super::script;
use crate::acts::{Failure, Request};
use crate::app::App;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Env};
use crate::http::Http;
use crate::item::Item;
use crate::life::Patience;
use crate::pretend::forum::Forum;
use crate::pretend::mastodon::{Flavour, Mastodon, TOKEN};
use crate::pretend::video::{Channel, Conferences};
use crate::progress::Supervisor;
use crate::socket;
use crate::source::discourse::topic_key;
use crate::store::Store;

/// Between two looks at what the service has done.
const LOOK: Duration = Duration::from_millis(20);
/// A start, a stop or a poll that takes longer than this is a failure of the demo, on any machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Signs the forum's events.
const HOOK_SECRET: &str = "a secret between a pretend forum and a demo";

/// Everything there is.
pub(super) struct World {
    clock: Arc<dyn Clock>,
    pub(super) forum: Forum,
    pub(super) channel: Channel,
    pub(super) talks: Conferences,
    pub(super) mastodon: Mastodon,
    config: Arc<Config>,
    service: Option<Service>,
    home: Home,
}

/// A running service.
struct Service {
    store: Store,
    hooks: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    /// Sets it up, with the past in it; the service does not run yet.
    pub(super) async fn new(pace: Pace) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let forum = Forum::start(Arc::clone(&clock)).await?;
        let channel = Channel::start(script::CHANNEL, "A pretend channel", Arc::clone(&clock)).await?;
        let talks = Conferences::start(Arc::clone(&clock)).await?;
        let mastodon = Mastodon::start(Flavour::Mastodon, Arc::clone(&clock)).await?;
        let home = Home::new().context("cannot make a directory for the demo")?;
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
        };
        write("token", TOKEN)?;
        write("hook-secret", HOOK_SECRET)?;
        let text = configuration(home.path(), pace, forum.base(), &channel.feed_url(), &talks.url(), &mastodon.url());
        write("oyez.toml", &text)?;
        let parsed = Config::parse(&text, "the demo's oyez.toml", &Env::of_process())
            .map_err(|errors| anyhow::anyhow!("{errors}"))?;
        let world =
            Self { clock, forum, channel, talks, mastodon, config: Arc::new(parsed.config), service: None, home };
        script::past(&world);
        Ok(world)
    }

    /// Starts the service on whatever store is there, as `oyez run` does, and returns when it can be asked.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        let store = self.open().await?;
        // Lost answers are looked into after half a minute elsewhere; here somebody is watching.
        let hurried = Patience {
            repeat_after: Duration::from_secs(1),
            absent_after: Duration::from_secs(1),
            absent_gap: Duration::from_secs(1),
        };
        let app = App::build_with(Arc::clone(&self.config), store.clone(), Arc::clone(&self.clock), hurried)
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("no port can be had")?;
        let hooks = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            app.run_on(listener, &Supervisor::default(), async {
                // A sender that is gone is a stop as well.
                let _ = stopped.await;
            })
            .await
        });
        self.service = Some(Service { store, hooks, stop, task });
        let socket = self.config.service.socket.clone();
        self.until(PATIENCE, |_| Ok(std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(())))
            .await?
            .context("the service did not start")
    }

    /// The store; a command in a second terminal may have it for a moment while no service runs.
    async fn open(&self) -> anyhow::Result<Store> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let dir = self.config.service.state.clone();
            match tokio::task::spawn_blocking(move || Store::open(&dir)).await? {
                Ok(store) => return Ok(store),
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    return Err(anyhow::Error::new(error).context("cannot open the demo's store"));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Ends the service at once, in the middle of whatever it does: nothing is finished, nothing is said goodbye to.
    pub(super) async fn pull_the_plug(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.task.abort();
            // Either it was cancelled, as asked for, or it had ended before.
            let _ = (&mut service.task).await;
        }
    }

    /// Stops everything and hands over the directory, which is removed when that is dropped.
    pub(super) async fn end(mut self) -> Home {
        // A service that waits for an answer gets it now.
        self.mastodon.release();
        if let Some(Service { store, stop, mut task, .. }) = self.service.take() {
            // It may have ended by itself already.
            let _ = stop.send(());
            if tokio::time::timeout(PATIENCE, &mut task).await.is_err() {
                task.abort();
            }
            drop(store);
        }
        self.home
    }

    /// What the service remembers.
    pub(super) fn store(&self) -> anyhow::Result<&Store> {
        Ok(&self.service.as_ref().context("no service is running")?.store)
    }

    /// An item by its number.
    pub(super) fn item(&self, number: u64) -> anyhow::Result<Item> {
        self.store()?.item(number)?.with_context(|| format!("item {number} is lost"))
    }

    /// The item of a topic, once the service has seen it.
    pub(super) fn by_topic(&self, topic: u64) -> anyhow::Result<Option<Item>> {
        self.by_key(&topic_key(self.forum.base(), topic))
    }

    /// The item of a key, once the service has seen it.
    pub(super) fn by_key(&self, key: &str) -> anyhow::Result<Option<Item>> {
        let store = self.store()?;
        store.by_key(key)?.map_or(Ok(None), |number| Ok(store.item(number)?))
    }

    /// Looks until there is something to see. `None`: there was nothing within `limit`.
    pub(super) async fn until<T>(
        &mut self,
        limit: Duration,
        mut look: impl FnMut(&World) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            if let Some(seen) = look(self)? {
                return Ok(Some(seen));
            }
            if let Some(service) = &mut self.service
                && service.task.is_finished()
            {
                match (&mut service.task).await {
                    Ok(Ok(())) => bail!("the service ended by itself"),
                    Ok(Err(error)) => return Err(error.context("the service ended by itself")),
                    Err(error) => return Err(anyhow::Error::new(error).context("the service ended by itself")),
                }
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks the service through its socket, exactly as `oyez veto 9` in a second terminal does.
    pub(super) async fn ask(&self, request: Request) -> anyhow::Result<Result<Vec<Value>, Failure>> {
        let socket = self.config.service.socket.clone();
        let asking = tokio::task::spawn_blocking(move || {
            let mut documents = Vec::new();
            let answer = socket::ask(&socket, &request, &mut |document| {
                documents.push(document);
                Ok(())
            })?;
            match answer {
                Some(Ok(())) => Ok(Ok(documents)),
                Some(Err(failure)) => Ok(Err(failure)),
                None => bail!("the service does not answer on its socket"),
            }
        });
        asking.await?
    }

    /// The forum sends an event about a topic to the service's webhook.
    pub(super) async fn webhook(&self, event: &str, topic: u64) -> anyhow::Result<u16> {
        let service = self.service.as_ref().context("no service is running")?;
        let hook: Url = format!("http://{}/hooks/{}", service.hooks, script::SOURCE).parse()?;
        let client = Http::new(&self.config.network, None)?;
        let event = self.forum.event(event, topic, HOOK_SECRET);
        self.forum.deliver(client.api(), &hook, event).await.context("the forum could not reach the webhook")
    }

    /// Now, as everybody in this world has it.
    pub(super) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// A whole command for a second terminal.
    pub(super) fn command(&self, words: &str) -> String {
        // Without the program's own path its name must do.
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("oyez"));
        let config = self.home.path().join("oyez.toml");
        format!("{} --config {} {words}", quoted(&program), quoted(&config))
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// An oyez.toml like any other, with everything that takes hours elsewhere in seconds.
fn configuration(home: &Path, pace: Pace, forum: &Url, feed: &Url, talks: &Url, mastodon: &Url) -> String {
    let path = |name: &str| toml::Value::String(home.join(name).to_string_lossy().into_owned());
    let (state, socket) = (path("state"), path("socket"));
    let (secret, token) = (path("hook-secret"), path("token"));
    let window = pace.seconds(28.0, 6);
    let settle = pace.seconds(2.0, 1);
    let grace = pace.seconds(4.0, 2);
    let source = script::SOURCE;
    format!(
        r#"# The demo's configuration. Real ones have hours where this has seconds: `oyez init` writes one.
[service]
state = {state}
socket = {socket}
listen = "127.0.0.1:0"

[network]
allow-private = ["127.0.0.0/8"]   # the pretend forum's pictures are on this machine

[[source]]
name = "{source}"
type = "discourse"
url = "{forum}"
category = "announcements"
every = "1s"
webhook-secret = {{ file = {secret} }}

[[source]]
name = "videos"
type = "feed"
url = "{feed}"
kind = "talk"
every = "1s"

[[source]]
name = "talks"
type = "media-ccc-de"
url = "{talks}"
conferences = ["nixcon*"]
kind = "talk"
every = "1s"

[hold]
window = "{window}s"
settle = "{settle}s"
settle-at-most = "{settle}s"
grace = "{grace}s"
quiet-hours = "none"
spacing = "0s"
at-most = "none"
stale = "none"

[hold.talk]
spacing = "0s"
at-most = "none"

[[account]]
name = "mastodon"
platform = "mastodon"
server = "{mastodon}"
token = {{ file = {token} }}
hashtags = ["NixOS"]
"#
    )
}
