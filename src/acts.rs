//! What the team may ask and do. The command line, and later the desk and chat, all come through [`Desk::execute`]: there
//! is no second path to a veto.
//!
//! An act only records and decides. What needs the network is done by the service on its own beat.
mod join;
mod keep;
mod mirror;
mod object;
mod select;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::clock::Clock;
use crate::config::Config;
use crate::hold;
use crate::item::{Item, Number, Progress};
use crate::life::{self, Act, Patience, Rules};
use crate::linker::REFUSED;
use crate::plan::{self, Plan};
use crate::store::{Change, CommitError, ExportError, ForgetError, JournalFilter, Note, OpenError, Store};
use crate::wording::{self, Wording};

pub use object::{found_object, post_object, queue_object};
use object::{item_object, posts_object};

/// Everything that can be asked of the store and the team's acts on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// What is held and until when.
    Queue {
        /// Known and ended items too.
        all: bool,
    },
    /// One item whole.
    Show {
        /// A number or an address.
        item: String,
    },
    /// An act on one or several items.
    Act {
        /// Numbers, lists, ranges, addresses.
        items: Vec<String>,
        /// What.
        act: TeamAct,
        /// Why.
        reason: Option<String>,
    },
    /// Two items are one thing: the higher number becomes a duplicate of the lower.
    Join {
        /// A number or an address.
        item: String,
        /// The other one.
        other: String,
        /// Why.
        reason: Option<String>,
    },
    /// A duplicate was another thing after all.
    Split {
        /// The duplicate: a number.
        item: String,
        /// Why.
        reason: Option<String>,
    },
    /// A link of the item stays as its author wrote it.
    Keep {
        /// A number or an address.
        item: String,
        /// The link, as it stands among the item's.
        url: String,
        /// Why.
        reason: Option<String>,
    },
    /// A person's word on another place of the item's video.
    Mirror {
        /// A number or an address.
        item: String,
        /// The other place.
        url: String,
        /// Is it the same video?
        accept: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Erase an item's words.
    Forget {
        /// Numbers, lists, ranges, addresses.
        items: Vec<String>,
        /// Why: required, stands in the journal.
        reason: String,
    },
    /// The journal.
    Log {
        /// Only this item's.
        item: Option<Number>,
    },
    /// Is the journal's chain unaltered?
    Verify,
    /// The whole store.
    Export,
    /// A consistent copy.
    Backup {
        /// A directory that does not exist yet, absolute.
        to: PathBuf,
    },
}

/// What a person may do to an item: `lifecycle.md` section 2.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is documented as its command")]
pub enum TeamAct {
    Veto,
    Skip { account: String },
    Approve { now: bool },
    Snooze { seconds: u64 },
    Edit { account: String, text: String },
    Reset { account: String },
    Reinstate,
    Seen,
    Retract,
    Amend { account: Option<String>, text: Option<String> },
    ResolveSent { account: String, url: Url },
    ResolveNotSent { account: String },
}

impl TeamAct {
    /// The word for the journal and for messages.
    pub fn name(&self) -> &'static str {
        match self {
            TeamAct::Veto => "veto",
            TeamAct::Skip { .. } => "skip",
            TeamAct::Approve { now: false } => "approve",
            TeamAct::Approve { now: true } => "approve-now",
            TeamAct::Snooze { .. } => "snooze",
            TeamAct::Edit { .. } => "edit",
            TeamAct::Reset { .. } => "reset",
            TeamAct::Reinstate => "reinstate",
            TeamAct::Seen => "seen",
            TeamAct::Retract => "retract",
            TeamAct::Amend { .. } => "amend",
            TeamAct::ResolveSent { .. } => "resolve-sent",
            TeamAct::ResolveNotSent { .. } => "resolve-not-sent",
        }
    }
}

impl TeamAct {
    /// What belongs in the journal beside the word: facts, no words of anybody's.
    fn detail(&self) -> Value {
        match self {
            TeamAct::Veto | TeamAct::Approve { .. } | TeamAct::Reinstate | TeamAct::Seen | TeamAct::Retract => {
                Value::Null
            }
            TeamAct::Snooze { seconds } => json!({"seconds": seconds}),
            TeamAct::Skip { account }
            | TeamAct::Edit { account, .. }
            | TeamAct::Reset { account }
            | TeamAct::ResolveNotSent { account } => json!({"account": account}),
            TeamAct::Amend { account, .. } => json!({"account": account}),
            TeamAct::ResolveSent { account, url } => json!({"account": account, "url": url}),
        }
    }
}

/// Why a request came to nothing: for people, for scripts (`code` is the exit code), never with internals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Exit code: 1 it failed, 2 the call is wrong, 3 nothing there.
    pub code: u8,
    /// What is wrong, lower case, one sentence.
    pub error: String,
    /// A way out, where one is known.
    pub hint: Option<String>,
}

impl Failure {
    /// It failed (exit 1).
    pub fn failed(error: impl Into<String>, hint: Option<String>) -> Self {
        Self { code: 1, error: error.into(), hint }
    }

    /// The call is wrong (exit 2).
    pub fn usage(error: impl Into<String>, hint: Option<String>) -> Self {
        Self { code: 2, error: error.into(), hint }
    }

    /// Nothing there (exit 3).
    pub fn nothing(error: impl Into<String>) -> Self {
        Self { code: 3, error: error.into(), hint: Some("`oyez queue --all` lists every item".into()) }
    }

    /// Whoever asked has seen enough (`oyez log | head`): the end of the work, not worth words, exit 0.
    pub fn unread() -> Self {
        Self { code: 0, error: String::new(), hint: None }
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Self::failed(format!("the store cannot be used: {error}"), None)
    }
}

/// An act that was done, and what to say of it beside the item as it is now.
struct Done {
    number: Number,
    changed: bool,
    hints: Vec<String>,
    more: Option<(&'static str, Value)>,
}

/// Where the documents of an answer go.
pub type Sink<'a> = &'a mut dyn FnMut(Value) -> std::io::Result<()>;

/// The one module of team actions.
pub struct Desk {
    store: Store,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    wording: Arc<Wording>,
    /// Wakes the service after an act, so that what was approved for now leaves now.
    wake: Option<Arc<tokio::sync::Notify>>,
}

/// Where the deliverer leaves word that the clock is not believed, in the store's small values.
pub(crate) const DISTRUST: &str = "distrust";
/// How often an act is tried again when somebody else changed the item in between.
const CONFLICT_TRIES: usize = 20;
/// Items one call may name: a slip of the finger must not veto a conference's archive.
const MOST_ITEMS: usize = 1000;

impl Desk {
    /// A desk over a store. `wake`: the service's bell, where one is running.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        config: Arc<Config>,
        wording: Arc<Wording>,
        wake: Option<Arc<tokio::sync::Notify>>,
    ) -> Self {
        Self { store, clock, config, wording, wake }
    }

    /// Is a service there that will do what needs the network?
    pub fn is_served(&self) -> bool {
        self.wake.is_some()
    }

    /// Does it, as `actor` (`cli:USER`, `web:NAME`…), and hands each document of the answer to `sink`.
    pub fn execute(&self, actor: &str, request: Request, sink: Sink<'_>) -> Result<(), Failure> {
        match request {
            Request::Queue { all } => self.queue(all, sink),
            Request::Show { item } => self.show(&item, sink),
            Request::Act { items, act, reason } => self.act(actor, &items, &act, reason.as_deref(), sink),
            Request::Join { item, other, reason } => self.join(actor, &item, &other, reason.as_deref(), sink),
            Request::Split { item, reason } => self.split(actor, &item, reason.as_deref(), sink),
            Request::Mirror { item, url, accept, reason } => {
                self.mirror(actor, &item, &url, accept, reason.as_deref(), sink)
            }
            Request::Keep { item, url, reason } => self.keep(actor, &item, &url, reason.as_deref(), sink),
            Request::Forget { items, reason } => self.forget(actor, &items, &reason, sink),
            Request::Log { item } => self.log(item, sink),
            Request::Verify => self.verify(sink),
            Request::Export => self.export(sink),
            Request::Backup { to } => self.backup(&to, sink),
        }
    }

    fn queue(&self, all: bool, sink: Sink<'_>) -> Result<(), Failure> {
        let plan = plan::make(&self.store, &self.config, self.clock.now())?;
        if all {
            for item in self.store.items(..) {
                emit(sink, self.document(&item?, &plan)?)?;
            }
        } else {
            let mut items = self.store.active()?;
            let active: std::collections::BTreeSet<Number> = items.iter().map(|item| item.number).collect();
            items.extend(self.store.items_with_attention()?.into_iter().filter(|item| !active.contains(&item.number)));
            // What leaves first stands first; what waits for a person's word stands at the end.
            items.sort_by_key(|item| (plan.until(item).unwrap_or(Timestamp::MAX), item.number));
            for item in &items {
                emit(sink, self.document(item, &plan)?)?;
            }
        }
        for trouble in self.troubles()? {
            emit(sink, trouble)?;
        }
        Ok(())
    }

    /// What keeps things from being heard or said that is no item's own matter: `{"trouble": …}`. The command line shows
    /// them under the queue; with `--json`, where every line is an item, on stderr.
    fn troubles(&self) -> Result<Vec<Value>, Failure> {
        let mut troubles = Vec::new();
        if let Some(why) = self.store.meta(DISTRUST)?.and_then(|why| why.as_str().map(str::to_owned)) {
            troubles.push(json!({"trouble": format!("nothing leaves: {why}")}));
        }
        for source in self.config.sources.iter().filter(|source| source.enabled) {
            let record = self.store.source(&source.name)?;
            let name = &source.name;
            if let Some(why) = &record.stopped {
                troubles.push(json!({"trouble": format!("source {name} is not asked any more: {why}")}));
            } else if let Some(why) = &record.last_error {
                troubles
                    .push(json!({"trouble": format!("source {name} is failing: {why}"), "since": record.last_success}));
            }
            if let Some(gap) = &record.gap {
                troubles.push(json!({"trouble": format!("source {name}: {gap}")}));
            }
        }
        for account in self.config.accounts.iter().filter(|account| account.enabled) {
            if let Some(locked) = self.store.account(&account.name)?.locked {
                troubles.push(json!({
                    "trouble": format!("account {} is stopped: {}", account.name, locked.reason),
                    "since": locked.at,
                }));
            }
        }
        Ok(troubles)
    }

    fn show(&self, item: &str, sink: Sink<'_>) -> Result<(), Failure> {
        let number = self.one(item)?;
        let item = self.must(number)?;
        let plan = plan::make(&self.store, &self.config, self.clock.now())?;
        let mut document = self.document(&item, &plan)?;
        let journal: Vec<Value> = self
            .store
            .journal(filter(Some(number)))
            .map(|entry| entry.map(|entry| entry.to_json()))
            .collect::<Result<_, _>>()?;
        let object = document.as_object_mut().expect("a queue object is an object");
        object.insert("item".into(), item_object(&item));
        object.insert("policy".into(), json!(item.verdict));
        object.insert("posts".into(), json!(posts_object(&item, &self.config)));
        object.insert("links".into(), json!(self.wording.links_of(&item)));
        object.insert("mirrors".into(), json!(item.mirrors));
        object.insert("ask".into(), json!(item.ask));
        object.insert("approval".into(), json!(item.approval));
        object.insert("snoozed".into(), json!(item.snoozed));
        object.insert("settled".into(), json!(item.settled));
        object.insert("first_seen".into(), json!(item.first_seen));
        object.insert("journal".into(), Value::Array(journal));
        emit(sink, document)
    }

    fn act(
        &self,
        actor: &str,
        items: &[String],
        act: &TeamAct,
        reason: Option<&str>,
        sink: Sink<'_>,
    ) -> Result<(), Failure> {
        let numbers = self.several(items)?;
        let done = self.each(&numbers, sink, |number| self.act_on(number, actor, act, reason));
        self.wake();
        done
    }

    /// The service has something to look at.
    fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake.notify_one();
        }
    }

    fn rules<'a>(&'a self, item: &Item, now: Timestamp) -> Rules<'a> {
        Rules {
            now,
            hold: hold::for_kind(&self.config.hold, &item.kind),
            zone: &self.config.service.time_zone,
            give_up: self.config.delivery.give_up,
            patience: Patience::default(),
        }
    }

    /// What is shown after acts: each queue object as it is now, whether anything changed, what to know. One plan serves
    /// all of them, since making it costs as much as the whole queue. A document that cannot be written keeps none of the
    /// others back.
    fn tell(&self, done: Vec<Done>, sink: Sink<'_>) -> Result<(), Failure> {
        let plan = plan::make(&self.store, &self.config, self.clock.now())?;
        let mut told = Ok(());
        for Done { number, changed, mut hints, more } in done {
            let after = self.must(number)?;
            let mut document = self.document(&after, &plan)?;
            let object = document.as_object_mut().expect("a queue object is an object");
            object.insert("changed".into(), json!(changed));
            if !self.is_served() && needs_service(&after) {
                hints.push("no service is running: what needs the network is done when `oyez run` starts".into());
            }
            object.insert("hints".into(), json!(hints));
            object.extend(more.map(|(name, value)| (name.to_owned(), value)));
            if let Err(unwritten) = emit(sink, document) {
                told = Err(unwritten);
            }
        }
        told
    }

    /// Does it to each, then shows what was done. One that is refused keeps nobody else from being served, and is told at
    /// the end.
    fn each(
        &self,
        numbers: &[Number],
        sink: Sink<'_>,
        one: impl Fn(Number) -> Result<Done, Failure>,
    ) -> Result<(), Failure> {
        let (mut done, mut refusals) = (Vec::new(), Vec::new());
        for number in numbers {
            match one(*number) {
                Ok(one) => done.push(one),
                Err(failure) => refusals.push(failure),
            }
        }
        let told = if done.is_empty() { Ok(()) } else { self.tell(done, sink) };
        match refusals.len() {
            0 => told,
            1 => Err(refusals.remove(0)),
            n => Err(Failure {
                code: refusals.iter().map(|r| r.code).min().unwrap_or(1),
                error: format!(
                    "{n} of {} were refused: {}",
                    numbers.len(),
                    refusals.iter().map(|r| r.error.as_str()).collect::<Vec<_>>().join("; ")
                ),
                hint: refusals.into_iter().find_map(|r| r.hint),
            }),
        }
    }

    /// One act on one item: read, decide, and store in one transaction that fails when the item changed in between.
    fn act_on(&self, number: Number, actor: &str, act: &TeamAct, reason: Option<&str>) -> Result<Done, Failure> {
        for _ in 0..CONFLICT_TRIES {
            let item = self.must(number)?;
            let now = self.clock.now();
            let Prepared { act: life_act, text, problems } = self.prepare(&item, actor, act, now)?;
            let applied = life::act(&item, &life_act, actor, &self.rules(&item, now))?;
            if applied.changed {
                let mut entries = vec![Note {
                    text,
                    reason: reason.map(str::to_owned),
                    detail: act.detail(),
                    ..Note::new(now, Some(number), actor, act.name())
                }];
                entries.extend(crate::deliver::notes(&applied, now, number));
                let change =
                    Change { items: vec![applied.item.clone()], notes: entries, durable: true, ..Change::default() };
                match self.store.commit(change) {
                    Ok(_) => {}
                    Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => continue,
                    Err(CommitError::Store(error)) => return Err(error.into()),
                }
            }
            let hints = applied.warnings.into_iter().chain(problems).collect();
            let stops = matches!(act, TeamAct::Veto | TeamAct::Retract | TeamAct::Skip { .. });
            let more = stops.then(|| ("too_late", json!(applied.too_late)));
            return Ok(Done { number, changed: applied.changed, hints, more });
        }
        Err(busy(number))
    }

    /// Makes the life's act of the team's: renders and measures what has to be rendered.
    fn prepare(&self, item: &Item, actor: &str, act: &TeamAct, now: Timestamp) -> Result<Prepared, Failure> {
        let mut problems = Vec::new();
        let (act, text) = match act {
            TeamAct::Veto => (Act::Veto, None),
            TeamAct::Skip { account } => (Act::Skip { account: self.named(item, account)? }, None),
            TeamAct::Approve { now: false } => (Act::Approve, None),
            TeamAct::Approve { now: true } => (Act::ApproveNow { posts: self.all_worded(item, &mut problems)? }, None),
            TeamAct::Snooze { seconds } => {
                let until = now.checked_add(Duration::from_secs(*seconds)).map_err(|_| {
                    Failure::usage("a snooze of that length has no end", Some("for good, `oyez veto` stops it".into()))
                })?;
                (Act::Snooze { until }, None)
            }
            TeamAct::Edit { account, text } => {
                let post = self.edited(item, account, text)?;
                (Act::Edit { account: account.clone(), post }, Some(text.clone()))
            }
            TeamAct::Reset { account } => {
                let post = self.worded(item, account)?;
                let text = post.text.clone();
                (Act::Reset { account: account.clone(), post }, Some(text))
            }
            TeamAct::Seen => (Act::Seen, None),
            TeamAct::Reinstate => (Act::Reinstate { posts: self.all_worded(item, &mut problems)? }, None),
            TeamAct::Retract => (Act::Retract, None),
            TeamAct::Amend { account, text } => {
                let accounts: Vec<String> = match account {
                    Some(account) => vec![account.clone()],
                    None => item
                        .deliveries
                        .iter()
                        .filter(|(_, d)| matches!(d.progress, Progress::Sent { .. }))
                        .map(|(name, _)| name.clone())
                        .collect(),
                };
                let posts = accounts
                    .into_iter()
                    .map(|name| {
                        let post = match text {
                            Some(text) => crate::item::Post {
                                edited_by: Some(actor.to_owned()),
                                outdated_edit: false,
                                ..self.edited(item, &name, text)?
                            },
                            None => self.worded(item, &name)?,
                        };
                        Ok((name, post))
                    })
                    .collect::<Result<_, Failure>>()?;
                (Act::Amend { posts }, text.clone())
            }
            TeamAct::ResolveSent { account, url } => {
                if !matches!(url.scheme(), "http" | "https") {
                    return Err(Failure::usage(format!("`{url}` is no web address"), None));
                }
                let id = self.account(account).ok().and_then(|a| crate::platform::id_in_url(a.platform(), url));
                (Act::ResolveSent { account: self.named(item, account)?, url: url.to_string(), id }, None)
            }
            TeamAct::ResolveNotSent { account } => (Act::ResolveNotSent { account: self.named(item, account)? }, None),
        };
        Ok(Prepared { act, text, problems })
    }

    /// An account that the item or the configuration knows: one taken out of the configuration can still be spoken of.
    fn named(&self, item: &Item, name: &str) -> Result<String, Failure> {
        if !item.deliveries.contains_key(name) {
            self.account(name)?;
        }
        Ok(name.to_owned())
    }

    fn account(&self, name: &str) -> Result<&crate::config::AccountConfig, Failure> {
        self.config.accounts.iter().find(|a| a.name == name).ok_or_else(|| {
            let names: Vec<_> = self.config.accounts.iter().map(|a| a.name.as_str()).collect();
            Failure::usage(format!("there is no account `{name}`"), Some(format!("accounts: {}", names.join(", "))))
        })
    }

    /// A team member's text, measured. Refused when it would not fit: a platform's no after the window is too late.
    fn edited(&self, item: &Item, account: &str, text: &str) -> Result<crate::item::Post, Failure> {
        let account = self.account(account)?;
        let limits = wording::limits(&self.store, account)?;
        // What nobody can see, or what turns the reading direction, is no part of a text that was meant.
        let text = crate::text::clean(text);
        let text = text.trim_end();
        if text.trim().is_empty() {
            return Err(Failure::usage(
                "the new text is empty",
                Some("to stop the post, use `oyez skip` or `oyez veto`".into()),
            ));
        }
        let mut post = match item.posts.get(&account.name) {
            Some(post) => post.clone(),
            // Before it has settled the template's picture and language are still to be found; a template that fails
            // must not keep a person from writing the text.
            None => self.worded(item, &account.name).unwrap_or_default(),
        };
        post.text = text.to_owned();
        post.limit = limits.max_length;
        post.length = crate::render::measure(text, &limits).0;
        post.warnings.clear();
        post.summary = None;
        if let Some(link) = self.wording.rulebook().linker.refused_in(text).first() {
            return Err(Failure::failed(
                format!("`{link}` cannot be posted: {REFUSED}"),
                Some(format!("`oyez link {link}` tells where it leads")),
            ));
        }
        if crate::render::pings(text) {
            post.warnings.push("it mentions an account with `@`, which is told of it".to_owned());
        }
        if post.length > post.limit {
            return Err(Failure::failed(
                format!("the text is {} long, {} allows {}", post.length, account.name, post.limit),
                (account.platform() == "mastodon")
                    .then(|| "`oyez count --platform mastodon` counts as it does".to_owned()),
            ));
        }
        Ok(post)
    }

    fn worded(&self, item: &Item, account: &str) -> Result<crate::item::Post, Failure> {
        let account = self.account(account)?;
        self.wording
            .word(item, account, &wording::limits(&self.store, account)?)
            .map_err(|error| Failure::failed(format!("cannot word a post for {}: {error}", account.name), None))
    }

    /// The posts of all accounts; `problems` says which could not be worded.
    fn all_worded(
        &self,
        item: &Item,
        problems: &mut Vec<String>,
    ) -> Result<std::collections::BTreeMap<String, crate::item::Post>, Failure> {
        let (posts, failed) = self.wording.word_all(&self.store, item)?;
        problems.extend(failed.into_iter().map(|(account, why)| format!("there is no post for {account}: {why}")));
        Ok(posts)
    }

    fn forget(&self, actor: &str, items: &[String], reason: &str, sink: Sink<'_>) -> Result<(), Failure> {
        let numbers = self.several(items)?;
        let any = std::cell::Cell::new(false);
        let told = self.each(&numbers, sink, |number| {
            let changed = self.forget_one(number, actor, reason)?;
            any.set(any.get() || changed);
            Ok(Done { number, changed, hints: Vec::new(), more: None })
        });
        if !any.get() {
            return told;
        }
        // The words are gone from the store; now, once for all, also from the old pages of its files.
        crate::opened::clear(&self.store)?;
        self.store.compact().map_err(|error| {
            Failure::failed(
                format!("the words are forgotten, but old blocks of the store's files still hold them: {error}"),
                Some("the next start of `oyez run` tries again; it needs room for a second copy of the store".into()),
            )
        })?;
        told
    }

    /// `false`: it was forgotten before.
    fn forget_one(&self, number: Number, actor: &str, reason: &str) -> Result<bool, Failure> {
        let item = self.must(number)?;
        if item.forgotten {
            return Ok(false);
        }
        if let crate::item::Phase::Duplicate { of } = item.phase {
            let hint = format!("`oyez forget {of}` forgets both; `oyez split {number}` first, to keep the other");
            return Err(Failure::failed(
                format!("item {number} is one with item {of}, which has its words"),
                Some(hint),
            ));
        }
        // An unsure one is looked for by its text, a retraction is watched: neither may lose its words yet.
        let open = item.deliveries.iter().find(|(_, d)| !d.progress.is_end());
        if let Some((account, delivery)) = open.filter(|_| item.is_active()) {
            let hint = match &delivery.progress {
                Progress::Queued | Progress::Sending { .. } => format!("`oyez veto {number}` first"),
                Progress::Unsure { .. } | Progress::Waiting { .. } => {
                    format!("`oyez resolve {number} --account {account}` first")
                }
                Progress::Retracting { .. } => "wait until it is retracted".to_owned(),
                Progress::Sent { .. } | Progress::Failed { .. } | Progress::Cancelled | Progress::Retracted { .. } => {
                    format!("see `oyez show {number}`")
                }
            };
            let state = delivery.progress.name();
            return Err(Failure::failed(format!("item {number} is still {state} on {account}"), Some(hint)));
        }
        match self.store.forget(number, actor, Some(reason), self.clock.now()) {
            Ok(_) => Ok(true),
            Err(ForgetError::Unknown(number)) => Err(missing(number)),
            Err(error @ ForgetError::OnItsWay { .. }) => {
                Err(Failure::failed(error.to_string(), Some(format!("`oyez veto {number}` first"))))
            }
            Err(ForgetError::Store(error)) => Err(error.into()),
        }
    }

    fn log(&self, item: Option<Number>, sink: Sink<'_>) -> Result<(), Failure> {
        if let Some(number) = item {
            self.must(number)?;
        }
        for entry in self.store.journal(filter(item)) {
            emit(sink, entry?.to_json())?;
        }
        Ok(())
    }

    fn verify(&self, sink: Sink<'_>) -> Result<(), Failure> {
        match self.store.verify() {
            Ok(verified) => emit(sink, json!({"verified": true, "entries": verified.entries, "head": verified.head})),
            Err(broken) => Err(Failure::failed(
                format!("the journal was altered at entry {}: {}", broken.seq, broken.why),
                Some("compare with a backup: `oyez log --verify` there names the last entry that is sound".into()),
            )),
        }
    }

    fn export(&self, sink: Sink<'_>) -> Result<(), Failure> {
        // A line goes as the text it is: its digest is over the bytes.
        let lines = Lines { sink, rest: Vec::new() };
        self.store.export(lines).map_err(|error| match error {
            ExportError::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Failure::unread(),
            error => Failure::failed(format!("the export is not complete: {error}"), None),
        })
    }

    fn backup(&self, to: &std::path::Path, sink: Sink<'_>) -> Result<(), Failure> {
        self.store.backup(to).map_err(|error| {
            let hint = match error {
                ExportError::Exists(_) => {
                    Some("name a directory that does not exist yet, like one with the date in its name".to_owned())
                }
                ExportError::Copy(OpenError::Io(_)) | ExportError::Io(_) => {
                    let state = self.config.service.state.display();
                    Some(format!("a service writes it with its own rights, which may reach no further than `{state}`"))
                }
                ExportError::Copy(_) | ExportError::Store(_) => None,
            };
            Failure::failed(format!("no backup was made: {error}"), hint)
        })?;
        emit(sink, json!({"backup": to}))
    }

    /// The queue object, with the reason where a delivery waits for something that only a person can mend.
    fn document(&self, item: &Item, plan: &Plan) -> Result<Value, Failure> {
        let mut document = queue_object(item, plan);
        let mut stuck = false;
        for delivery in document["deliveries"].as_array_mut().into_iter().flatten() {
            let name = delivery["account"].as_str().unwrap_or_default().to_owned();
            if delivery["state"] == "queued"
                && let Some(why) = self.stuck(item, &name)?
            {
                stuck = true;
                if delivery["error"].is_null() {
                    delivery["error"] = why.into();
                }
            }
        }
        if stuck {
            document["attention"] = true.into();
        }
        Ok(document)
    }

    /// Why a queued delivery does not leave by itself, where it is not the item that says so.
    fn stuck(&self, item: &Item, account: &str) -> Result<Option<String>, Failure> {
        let number = item.number;
        let settled = item.phase == crate::item::Phase::Held;
        let post = item.posts.get(account);
        Ok(match self.config.account(account) {
            None => Some(format!("there is no account `{account}` in the configuration any more")),
            Some(account) if !account.enabled => Some("the account is switched off".to_owned()),
            Some(_) => match (self.store.account(account)?.locked, post) {
                (Some(locked), _) => Some(format!("the account is stopped: {}", locked.reason)),
                (None, None) if settled => {
                    Some(format!("no post could be worded: `oyez edit {number} --account {account}` writes one"))
                }
                (None, Some(post)) if post.outdated_edit => Some(format!(
                    "the author changed the item under this text: edit it, `oyez edit {number} --account {account} --reset`, or approve it"
                )),
                (None, Some(_) | None) => None,
            },
        })
    }
}

/// A team's act made ready for the item's life.
struct Prepared {
    act: Act,
    /// For the journal.
    text: Option<String>,
    /// What could not be made ready and does not stop the act.
    problems: Vec<String>,
}

impl From<life::Refused> for Failure {
    fn from(refused: life::Refused) -> Self {
        Self::failed(refused.why, refused.hint)
    }
}

fn missing(number: Number) -> Failure {
    Failure::nothing(format!("there is no item {number}"))
}

fn busy(number: Number) -> Failure {
    Failure::failed(format!("item {number} is being changed by somebody else all the time"), Some("try again".into()))
}

fn filter(item: Option<Number>) -> JournalFilter {
    JournalFilter { item, ..JournalFilter::default() }
}

/// Hands on what is written to it line by line.
struct Lines<'a> {
    sink: Sink<'a>,
    rest: Vec<u8>,
}

impl std::io::Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8(line).map_err(std::io::Error::other)?;
            (self.sink)(Value::String(line.trim_end_matches('\n').to_owned()))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Would the service have something to do for this item right now?
fn needs_service(item: &Item) -> bool {
    item.deliveries.values().any(|d| {
        d.amend || (d.now && d.progress == Progress::Queued) || matches!(d.progress, Progress::Retracting { .. })
    })
}

fn emit(sink: Sink<'_>, document: Value) -> Result<(), Failure> {
    sink(document).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::unread(),
        _ => Failure::failed(format!("the answer could not be written: {error}"), None),
    })
}
