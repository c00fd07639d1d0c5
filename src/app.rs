//! The wiring: configuration to store, sources, platforms and tasks; start and stop. Imported by the command line, the
//! demo and the tests, by nothing else.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::acts::{Desk, Failure};
use crate::clock::Clock;
use crate::config::{AccountConfig, AccountSpec, Config, SourceConfig, SourceSpec};
use crate::deliver::{self, Deliverer};
use crate::http::Http;
use crate::life::Patience;
use crate::linker::Linker;
use crate::platform::Platform;
use crate::platform::file::File;
use crate::platform::mastodon::Mastodon;
use crate::policy::Policy;
use crate::poll::{self, Hint, Poller, Watched};
use crate::progress::{Half, Progress, Supervisor};
use crate::render::Templates;
use crate::socket;
use crate::source::discourse::Discourse;
use crate::source::feed::Feed;
use crate::source::media_ccc::MediaCcc;
use crate::source::peertube::PeerTube;
use crate::source::{Source, SourceError};
use crate::store::{Change, Note, Store};
use crate::web::health::Health;
use crate::web::hint::{HintReceiver, Report};
use crate::web::{self, Hooks};
use crate::wording::{Rulebook, Wording};

/// How long what is under way at SIGTERM may take to finish; then it is parked: a claim becomes unsure at the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Distinct topics hinted at and not yet looked at; beyond it the next poll finds them.
const MOST_HINTS: usize = 1024;

/// What keeps a configuration from being served, beyond what its parser can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Failure::usage(problems.to_string(), None)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// The built-in templates with the operator's own in their place. Reads `[templates] dir`; every `*.txt` in it counts.
pub fn load_templates(config: &Config) -> Result<Templates, Problems> {
    let mut own = BTreeMap::new();
    if let Some(dir) = &config.templates_dir {
        let entries = std::fs::read_dir(dir)
            .map_err(|error| Problems(vec![format!("cannot read the templates in `{}`: {error}", dir.display())]))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !name.ends_with(".txt") {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Problems(vec![format!("cannot read the template `{}`: {error}", path.display())]))?;
            own.insert(name.to_owned(), text);
        }
    }
    Ok(Templates::new(&own))
}

/// Templates, link rules and policy, read, and the templates tried. All problems at once.
pub fn load_rulebook(config: &Config) -> Result<Rulebook, Problems> {
    let mut problems = Vec::new();
    let templates = load_templates(config).map_err(|p| problems.extend(p.0)).ok();
    if let Some(templates) = &templates {
        problems.extend(templates.check().iter().map(ToString::to_string));
    }
    let linker = Linker::new(config).map_err(|error| problems.push(error.to_string())).ok();
    let policy = compile_policy(config).map_err(|p| problems.extend(p.0)).ok();
    match (templates, linker, policy) {
        (Some(templates), Some(linker), Some(policy)) if problems.is_empty() => {
            Ok(Rulebook { templates, linker, policy })
        }
        _ => Err(Problems(problems)),
    }
}

/// As [`load_rulebook`], for wording posts.
pub fn load_wording(config: &Arc<Config>) -> Result<Wording, Problems> {
    Ok(Wording::new(Arc::clone(config), load_rulebook(config)?))
}

/// `[[policy]]`, compiled.
pub fn compile_policy(config: &Config) -> Result<Policy, Problems> {
    Policy::compile(&config.policy).map_err(|problems| {
        let told = problems.iter().map(|problem| {
            let hint = problem.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            format!("policy rule {}: {}{hint}", problem.index + 1, problem.message)
        });
        Problems(told.collect())
    })
}

/// The code that reads a source.
pub fn source(config: &SourceConfig) -> Result<Arc<dyn Source>, SourceError> {
    Ok(match &config.spec {
        SourceSpec::Discourse { url, category, subcategories, api_key, api_user, .. } => {
            let api = api_key.as_ref().map(|key| (key.0.clone(), api_user.clone()));
            Arc::new(Discourse::new(url, category, *subcategories, api))
        }
        SourceSpec::Feed { url } => Arc::new(Feed::new(url.clone())),
        SourceSpec::MediaCcc { url, conferences } => Arc::new(MediaCcc::new(url.clone(), conferences)?),
        SourceSpec::PeerTube { url, channel } => Arc::new(PeerTube::new(url.clone(), channel)),
    })
}

/// The code that publishes through an account.
pub fn platform(config: &AccountConfig, http: &Http) -> Arc<dyn Platform> {
    match &config.spec {
        AccountSpec::Mastodon { server, token, visibility } => {
            Arc::new(Mastodon::new(server.clone(), token.0.clone(), visibility.clone(), http.clone()))
        }
        AccountSpec::File { path, limit } => Arc::new(File::new(path, *limit)),
    }
}

/// What one `oyez run --once` did.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Of polling.
    pub polled: poll::Tally,
    /// Of delivering.
    pub delivered: deliver::Tally,
    /// When a source is due again.
    pub next_poll: Option<jiff::Timestamp>,
}

impl Round {
    /// The object of `oyez run --once --json`.
    pub fn to_json(&self) -> Value {
        json!({
            "polled": self.polled.polled,
            "failed_sources": self.polled.failed,
            "known": self.polled.known,
            "seen": self.polled.seen,
            "held": self.polled.held,
            "ignored": self.polled.ignored,
            "sent": self.delivered.sent,
            "failed": self.delivered.failed,
            "unsure": self.delivered.unsure,
            "next": (self.delivered.next.into_iter().chain(self.next_poll).min()),
            "stopped": self.delivered.stopped,
        })
    }
}

/// A service put together, not yet running.
pub struct App {
    config: Arc<Config>,
    store: Store,
    clock: Arc<dyn Clock>,
    poller: Arc<Poller>,
    deliverer: Arc<Deliverer>,
    wording: Arc<Wording>,
    desk: Arc<Desk>,
    /// Rings when there may be something to deliver.
    wake: Arc<Notify>,
    /// Rings when a source became due early.
    hurry: Notify,
    /// The beats of the two halves.
    progress: Arc<Progress>,
    /// What was counted in this process, where somebody counts.
    counted: Option<PrometheusHandle>,
}

impl App {
    /// Puts it together.
    ///
    /// # Errors
    /// All problems of the configuration at once (exit code 2: trying again is of no use), or that the store failed (1).
    pub fn build(config: Arc<Config>, store: Store, clock: Arc<dyn Clock>) -> Result<App, Failure> {
        Self::build_with(config, store, clock, Patience::default())
    }

    /// As [`App::build`], with another patience for lost answers: the demo has no hour.
    pub fn build_with(
        config: Arc<Config>,
        store: Store,
        clock: Arc<dyn Clock>,
        patience: Patience,
    ) -> Result<App, Failure> {
        let mut problems = Vec::new();
        let wording = load_wording(&config).map_err(|p| problems.extend(p.0)).ok();
        let http = Http::new(&config.network, config.service.contact.as_deref())
            .map_err(|error| problems.push(format!("{error:#}")))
            .ok();
        let (Some(wording), Some(http)) = (wording, http) else {
            return Err(Problems(problems).into());
        };
        for source in &config.sources {
            if let Some(was) = &source.was {
                store.rename_source(was, &source.name)?;
            }
        }
        for account in &config.accounts {
            if let Some(was) = &account.was {
                store.rename_account(was, &account.name).map_err(|error| Failure::failed(error.to_string(), None))?;
            }
        }
        let wording = Arc::new(wording);
        let wake = Arc::new(Notify::new());
        let mut watched = Vec::new();
        for config in &config.sources {
            let told = |error| Problems(vec![format!("source {}: {error}", config.name)]);
            let source = source(config).map_err(told)?;
            watched.push(Watched { config: config.clone(), source });
        }
        let poller = Poller::new(
            store.clone(),
            Arc::clone(&clock),
            http.clone(),
            Arc::clone(&config),
            Arc::clone(&wording),
            watched,
        );
        let poller = Arc::new(poller?);
        let platforms =
            config.accounts.iter().filter(|a| a.enabled).map(|a| (a.name.clone(), platform(a, &http))).collect();
        let deliverer = Arc::new(Deliverer::new(
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&config),
            Arc::clone(&wording),
            Arc::clone(&poller),
            platforms,
            patience,
        ));
        let desk = Arc::new(Desk::new(
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&config),
            Arc::clone(&wording),
            Some(Arc::clone(&wake)),
        ));
        Ok(App {
            config,
            store,
            clock,
            poller,
            deliverer,
            wording,
            desk,
            wake,
            hurry: Notify::new(),
            progress: Arc::default(),
            counted: None,
        })
    }

    /// With figures for `/metrics`, counted by this recorder.
    pub fn counting(self, counted: Option<PrometheusHandle>) -> Self {
        Self { counted, ..self }
    }

    /// Puts templates, link rules and policy of a configuration that was read anew in force: all, or none where one is
    /// wrong. The rest of the configuration counts at the next start.
    pub fn reload(&self, config: &Config) -> Result<(), Problems> {
        let rulebook = load_rulebook(config)?;
        tracing::info!(
            rules = rulebook.linker.rules().versions().join(", "),
            "templates, link rules and policy are read anew"
        );
        self.wording.replace(rulebook);
        let waits = changed(&self.config, config);
        if !waits.is_empty() {
            tracing::warn!("{} changed as well: that counts after a restart", waits.join(", "));
        }
        Ok(())
    }

    /// The team's acts on this service.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The polling half.
    pub fn poller(&self) -> &Arc<Poller> {
        &self.poller
    }

    /// The delivering half.
    pub fn deliverer(&self) -> &Arc<Deliverer> {
        &self.deliverer
    }

    /// One poll-and-deliver round. `all`: also sources that are not due. Who wants to veto meanwhile is heard: the round listens on the socket as the service does, where it can.
    pub async fn once(&self, all: bool) -> anyhow::Result<Round> {
        let path = &self.config.service.socket;
        match socket::bind(path) {
            Ok(listener) => {
                let _cleanup = socket::Cleanup(path.clone());
                let never = std::future::pending();
                tokio::select! {
                    round = self.round(all) => round,
                    () = socket::serve(listener, Arc::clone(&self.desk), never) => {
                        anyhow::bail!("the socket ended by itself")
                    }
                }
            }
            Err(error) => {
                tracing::debug!("nobody can act during this round: {error:#}");
                self.round(all).await
            }
        }
    }

    async fn round(&self, all: bool) -> anyhow::Result<Round> {
        self.deliverer.start(true)?;
        self.deliverer.learn_limits().await?;
        let polled = self.poller.tick(all).await?;
        let delivered = self.deliverer.tick().await?;
        self.store.sync()?;
        Ok(Round { polled, delivered, next_poll: self.poller.next_due() })
    }

    /// Serves until `stop` resolves: polls, delivers, listens for webhooks and on the socket. A half that ends by itself
    /// takes the process with it, so that the supervisor restarts it.
    pub async fn run(&self, supervisor: &Supervisor, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let listener = tokio::net::TcpListener::bind(self.config.service.listen).await.map_err(|error| {
            let why = format!("cannot listen on `{}`: {error}", self.config.service.listen);
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "another program listens there: `ss -ltnp` shows which, or set another `service.listen`"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 are the system's: set another `service.listen`"
                }
                _ => "`service.listen` is one of this machine's own addresses, and a port",
            };
            Failure::failed(why, Some(hint.to_owned()))
        })?;
        self.run_on(listener, supervisor, stop).await
    }

    /// As [`App::run`], on a listener that is already bound.
    pub async fn run_on(
        &self,
        listener: tokio::net::TcpListener,
        supervisor: &Supervisor,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let unix = socket::bind(&self.config.service.socket)?;
        let _cleanup = socket::Cleanup(self.config.service.socket.clone());
        let address = listener.local_addr().context("cannot tell the address listened on")?;
        let (stopping, stopped) = tokio::sync::watch::channel(false);
        let until_stopped = || {
            let mut stopped = stopped.clone();
            async move {
                // An error means that the sender is gone, which is a stop as well.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        self.deliverer.start(false)?;
        tracing::info!(
            sources = self.config.sources.iter().filter(|s| s.enabled).count(),
            accounts = self.config.accounts.iter().filter(|a| a.enabled).count(),
            listen = %address,
            socket = %self.config.service.socket.display(),
            "oyez is running"
        );
        let (hints, hinted) = web::hint::queue(MOST_HINTS);
        let (report, reports) = mpsc::channel(64);
        let hooked = self.config.sources.iter().filter(|s| s.enabled).filter_map(|s| match &s.spec {
            SourceSpec::Discourse { webhook_secret, .. } => {
                Some((s.name.clone(), webhook_secret.as_ref().map(|secret| secret.0.clone())))
            }
            SourceSpec::Feed { .. } | SourceSpec::MediaCcc { .. } | SourceSpec::PeerTube { .. } => None,
        });
        let hooks = Hooks::new(hooked.collect(), hints, report);
        let health = Health {
            store: self.store.clone(),
            config: Arc::clone(&self.config),
            progress: Arc::clone(&self.progress),
            clock: Arc::clone(&self.clock),
            counted: self.counted.clone(),
        };
        let web = web::serve(listener, web::router(hooks, health), until_stopped());
        let socket = socket::serve(unix, Arc::clone(&self.desk), until_stopped());
        let polling = self.poll_loop(until_stopped());
        let hearing = self.hint_loop(hinted, reports, until_stopped());
        let delivering = self.deliver_loop(until_stopped());
        let work = async {
            tokio::try_join!(
                async { polling.await.context("polling ended") },
                async { hearing.await.context("hearing webhooks ended") },
                async { delivering.await.context("delivering ended") },
                async { web.await.context("serving webhooks ended") },
                async {
                    socket.await;
                    Ok(())
                },
            )
            .map(|_| ())
        };
        tokio::pin!(work);
        tokio::pin!(stop);
        // Both front doors are open: the listener and the socket are bound.
        supervisor.tell("READY=1\nSTATUS=listening");
        let ended = tokio::select! {
            ended = &mut work => ended,
            never = supervisor.keep_fed(&self.progress) => match never {},
            () = &mut stop => {
                supervisor.tell("STOPPING=1");
                tracing::info!("stopping: what is under way is finished first");
                stopping.send_replace(true);
                match tokio::time::timeout(STOP_PATIENCE, &mut work).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        tracing::warn!("not everything finished in time: it is looked into at the next start");
                        Ok(())
                    }
                }
            }
        };
        self.deliverer.end()?;
        self.store.sync()?;
        ended
    }

    async fn poll_loop(&self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let heard = |tally: &poll::Tally| {
            if tally.seen > 0 || tally.known > 0 {
                tracing::info!(
                    seen = tally.seen,
                    held = tally.held,
                    ignored = tally.ignored,
                    known = tally.known,
                    "heard"
                );
                self.wake.notify_one();
            }
        };
        Ok(self.poller.watch(&self.hurry, stop, heard, || self.progress.beat(Half::Poll)).await?)
    }

    async fn hint_loop(
        &self,
        mut hints: HintReceiver,
        mut reports: mpsc::Receiver<Report>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        tokio::pin!(stop);
        let mut invented = None;
        loop {
            tokio::select! {
                hint = hints.next() => {
                    let hint = self.hint(hint);
                    tracing::info!(source = hint.source, key = hint.key, "a webhook hinted");
                    self.poller.hinted(&hint).await?;
                    self.hurry.notify_one();
                    self.wake.notify_one();
                }
                Some(report) = reports.recv() => {
                    tracing::warn!(hook = report.name, "a webhook was not acted on: {}", report.trouble);
                    // Names that strangers invent must not grow the journal: one entry an hour tells that there are some.
                    if self.config.source(&report.name).is_none() {
                        let now = self.clock.now();
                        if invented.is_some_and(|at: jiff::Timestamp| now < at + Duration::from_secs(3600)) {
                            continue;
                        }
                        invented = Some(now);
                    }
                    let reason = report.trouble.to_string();
                    let note = Note {
                        reason: Some(reason),
                        detail: json!({"hook": report.name}),
                        ..Note::new(self.clock.now(), None, "oyez", "webhook-refused")
                    };
                    self.store.commit(Change { notes: vec![note], ..Change::default() })?;
                }
                () = &mut stop => return Ok(()),
            }
        }
    }

    fn hint(&self, hint: web::hint::Hint) -> Hint {
        let key = hint.topic.and_then(|topic| match &self.config.source(&hint.source)?.spec {
            SourceSpec::Discourse { url, .. } => Some(crate::source::discourse::topic_key(url, topic)),
            SourceSpec::Feed { .. } | SourceSpec::MediaCcc { .. } | SourceSpec::PeerTube { .. } => None,
        });
        Hint { source: hint.source, key, topic: hint.topic }
    }

    async fn deliver_loop(&self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.deliverer.learn_limits().await?;
        Ok(self.deliverer.serve(&self.wake, stop, || self.progress.beat(Half::Deliver)).await?)
    }
}

/// The parts of a configuration that differ and are not read anew while the service runs.
fn changed(ours: &Config, theirs: &Config) -> Vec<&'static str> {
    // As they are shown: of secrets only that there is one.
    fn differ<T: fmt::Debug>(a: &T, b: &T) -> bool {
        format!("{a:?}") != format!("{b:?}")
    }
    let links = |config: &Config| {
        let links = &config.links;
        (links.mirrors.clone(), links.archive.clone(), links.wait_for_mirror)
    };
    let parts = [
        ("[service]", differ(&ours.service, &theirs.service)),
        ("[network]", differ(&ours.network, &theirs.network)),
        ("[[source]]", differ(&ours.sources, &theirs.sources)),
        ("[[account]]", differ(&ours.accounts, &theirs.accounts)),
        ("[hold]", differ(&ours.hold, &theirs.hold)),
        ("[delivery]", differ(&ours.delivery, &theirs.delivery)),
        ("links.mirrors", differ(&links(ours), &links(theirs))),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}

/// What the system and people tell a process: to stop (SIGTERM, Ctrl-C), to read its configuration again (SIGHUP).
///
/// Made before anything else: until then each of them ends the process, a hang-up among them.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on, inside a runtime. What comes before somebody waits for it is kept.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves when the process is to stop; at a hang-up `reload` is called.
    pub async fn until_stop(mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => reload(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::signal::{self, raise};

    use super::*;

    #[test]
    fn what_a_reload_leaves_out_is_named() {
        let config = |more: &str| {
            let toml = format!("[[source]]\nname = \"blog\"\ntype = \"feed\"\nurl = \"https://blog.example/\"\n{more}");
            Config::parse(&toml, "oyez.toml", &crate::config::Env::of([])).unwrap().config
        };
        let ours = config("");
        assert!(changed(&ours, &config("")).is_empty());
        assert!(changed(&ours, &config("[links]\nkeep = [\"example.org\"]\n")).is_empty(), "that is read anew");
        assert_eq!(changed(&ours, &config("every = \"2h\"\n[hold]\nwindow = \"2d\"\n")), ["[[source]]", "[hold]"]);
    }

    /// Without a handler either of them ends the process, and this test with it.
    #[tokio::test]
    async fn a_signal_before_anybody_waits_is_kept() {
        let signals = Signals::listen().unwrap();
        raise(signal::Signal::SIGHUP).unwrap();
        let reloaded = AtomicBool::new(false);
        let reload = || {
            reloaded.store(true, Ordering::Relaxed);
            raise(signal::Signal::SIGTERM).unwrap();
        };
        signals.until_stop(reload).await;
        assert!(reloaded.load(Ordering::Relaxed));
    }
}
