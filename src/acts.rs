//! What the team may ask and do. The command line, and later the desk and chat, all come through [`Desk::execute`]: there
//! is no second path to a veto.
//!
//! An act only records and decides. What needs the network is done by the service on its own beat.
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
use crate::plan::{self, Plan};
use crate::render::Templates;
use crate::store::{Change, CommitError, JournalFilter, Note, Store};
use crate::wording;

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
            TeamAct::Veto | TeamAct::Approve { .. } | TeamAct::Reinstate | TeamAct::Retract => Value::Null,
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
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Self::failed(format!("the store cannot be used: {error}"), None)
    }
}

/// Where the documents of an answer go.
pub type Sink<'a> = &'a mut dyn FnMut(Value) -> std::io::Result<()>;

/// The one module of team actions.
pub struct Desk {
    store: Store,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    templates: Arc<Templates>,
    /// Wakes the service after an act, so that what was approved for now leaves now.
    wake: Option<Arc<tokio::sync::Notify>>,
}

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
        templates: Arc<Templates>,
        wake: Option<Arc<tokio::sync::Notify>>,
    ) -> Self {
        Self { store, clock, config, templates, wake }
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
                emit(sink, queue_object(&item?, &plan))?;
            }
            return Ok(());
        }
        let mut items = self.store.active()?;
        let active: std::collections::BTreeSet<Number> = items.iter().map(|item| item.number).collect();
        items.extend(self.store.items_with_attention()?.into_iter().filter(|item| !active.contains(&item.number)));
        // What leaves first stands first; what waits for a person's word stands at the end.
        items.sort_by_key(|item| (plan.until(item).unwrap_or(Timestamp::MAX), item.number));
        for item in &items {
            emit(sink, queue_object(item, &plan))?;
        }
        Ok(())
    }

    fn show(&self, item: &str, sink: Sink<'_>) -> Result<(), Failure> {
        let number = self.one(item)?;
        let item = self.must(number)?;
        let plan = plan::make(&self.store, &self.config, self.clock.now())?;
        let mut document = queue_object(&item, &plan);
        let journal: Vec<Value> = self
            .store
            .journal(filter(Some(number)))
            .map(|entry| entry.map(|entry| entry.to_json()))
            .collect::<Result<_, _>>()?;
        let object = document.as_object_mut().expect("a queue object is an object");
        object.insert("item".into(), item_object(&item));
        object.insert("policy".into(), json!(item.verdict));
        object.insert("posts".into(), json!(posts_object(&item, &self.config)));
        object.insert("links".into(), json!(wording::links(item.found())));
        object.insert("alarms".into(), json!(item.alarms));
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
        let mut refusals = Vec::new();
        for number in &numbers {
            match self.act_on(*number, actor, act, reason) {
                Ok(document) => emit(sink, document)?,
                Err(failure) => refusals.push(failure),
            }
        }
        if let Some(wake) = &self.wake {
            wake.notify_one();
        }
        match refusals.len() {
            0 => Ok(()),
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
    fn act_on(&self, number: Number, actor: &str, act: &TeamAct, reason: Option<&str>) -> Result<Value, Failure> {
        for _ in 0..CONFLICT_TRIES {
            let item = self.must(number)?;
            let now = self.clock.now();
            let rules = Rules {
                now,
                hold: hold::for_kind(&self.config.hold, &item.kind),
                zone: &self.config.service.time_zone,
                give_up: self.config.delivery.give_up,
                patience: Patience::default(),
            };
            let (life_act, text) = self.prepare(&item, act, now)?;
            let applied = life::act(&item, &life_act, actor, &rules)
                .map_err(|refused| Failure::failed(refused.why, refused.hint))?;
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
            let after = self.must(number)?;
            let plan = plan::make(&self.store, &self.config, now)?;
            let mut document = queue_object(&after, &plan);
            let object = document.as_object_mut().expect("a queue object is an object");
            if matches!(act, TeamAct::Veto | TeamAct::Retract | TeamAct::Skip { .. }) {
                object.insert("too_late".into(), json!(applied.too_late));
            }
            object.insert("changed".into(), json!(applied.changed));
            let mut hints = applied.warnings;
            if !self.is_served() && needs_service(&after) {
                hints.push("no service is running: what needs the network is done when `oyez run` starts".into());
            }
            object.insert("hints".into(), json!(hints));
            return Ok(document);
        }
        Err(Failure::failed(
            format!("item {number} is being changed by somebody else all the time"),
            Some("try again".into()),
        ))
    }

    /// Makes the life's act of the team's: renders and measures what has to be rendered. Also the text for the journal.
    fn prepare(&self, item: &Item, act: &TeamAct, now: Timestamp) -> Result<(Act, Option<String>), Failure> {
        Ok(match act {
            TeamAct::Veto => (Act::Veto, None),
            TeamAct::Skip { account } => (Act::Skip { account: account.clone() }, None),
            TeamAct::Approve { now: false } => (Act::Approve, None),
            TeamAct::Approve { now: true } => (Act::ApproveNow { posts: self.all_worded(item)? }, None),
            TeamAct::Snooze { seconds } => {
                let until = now.checked_add(Duration::from_secs(*seconds));
                let until = until.map_err(|_| Failure::usage("nobody snoozes for that long", None))?;
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
            TeamAct::Reinstate => (Act::Reinstate { posts: self.all_worded(item)? }, None),
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
                            Some(text) => self.edited(item, &name, text)?,
                            None => self.worded(item, &name)?,
                        };
                        Ok((name, post))
                    })
                    .collect::<Result<_, Failure>>()?;
                (Act::Amend { posts }, text.clone())
            }
            TeamAct::ResolveSent { account, url } => {
                let id = self.account(account).ok().and_then(|a| crate::platform::id_in_url(a.platform(), url));
                (Act::ResolveSent { account: account.clone(), url: url.to_string(), id }, None)
            }
            TeamAct::ResolveNotSent { account } => (Act::ResolveNotSent { account: account.clone() }, None),
        })
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
        let text = text.trim_end();
        if text.trim().is_empty() {
            return Err(Failure::usage(
                "the new text is empty",
                Some("to stop the post, use `oyez skip` or `oyez veto`".into()),
            ));
        }
        let mut post = item.posts.get(&account.name).cloned().unwrap_or_default();
        post.text = text.to_owned();
        post.limit = limits.max_length;
        post.length = crate::render::measure(text, &limits).0;
        post.warnings.clear();
        if post.length > post.limit {
            return Err(Failure::failed(
                format!("the text is {} long, {} allows {}", post.length, account.name, post.limit),
                Some(format!("`oyez count --platform {}` counts as it does", account.platform())),
            ));
        }
        Ok(post)
    }

    fn worded(&self, item: &Item, account: &str) -> Result<crate::item::Post, Failure> {
        let account = self.account(account)?;
        wording::word(item, account, &self.config, &self.templates, &wording::limits(&self.store, account)?)
            .map_err(|error| Failure::failed(format!("cannot word a post for {}: {error}", account.name), None))
    }

    fn all_worded(&self, item: &Item) -> Result<std::collections::BTreeMap<String, crate::item::Post>, Failure> {
        Ok(wording::word_all(&self.store, item, &self.config, &self.templates)?.0)
    }

    fn forget(&self, actor: &str, items: &[String], reason: &str, sink: Sink<'_>) -> Result<(), Failure> {
        let numbers = self.several(items)?;
        for number in numbers {
            let item = self.must(number)?;
            if item.is_active() && item.deliveries.values().any(|d| !d.progress.is_end()) {
                return Err(Failure::failed(
                    format!("item {number} is still on its way"),
                    Some(format!("`oyez veto {number}` first")),
                ));
            }
            self.store
                .forget(number, actor, Some(reason), self.clock.now())
                .map_err(|error| Failure::failed(error.to_string(), None))?;
            let plan = plan::make(&self.store, &self.config, self.clock.now())?;
            emit(sink, queue_object(&self.must(number)?, &plan))?;
        }
        Ok(())
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
        self.store.export(lines).map_err(|error| Failure::failed(format!("the export is not complete: {error}"), None))
    }

    fn backup(&self, to: &std::path::Path, sink: Sink<'_>) -> Result<(), Failure> {
        self.store.backup(to).map_err(|error| Failure::failed(format!("no backup was made: {error}"), None))?;
        emit(sink, json!({"backup": to}))
    }

    fn must(&self, number: Number) -> Result<Item, Failure> {
        self.store.item(number)?.ok_or_else(|| Failure::nothing(format!("there is no item {number}")))
    }

    fn one(&self, selector: &str) -> Result<Number, Failure> {
        let numbers = self.several(&[selector.to_owned()])?;
        match numbers.as_slice() {
            [number] => Ok(*number),
            _ => {
                Err(Failure::usage("name one item", Some("a number such as `42`, or the address of the topic".into())))
            }
        }
    }

    /// Numbers, lists, ranges and addresses to numbers, in order, without repeats. A range passes over numbers that do
    /// not exist, a number named by itself must.
    fn several(&self, selectors: &[String]) -> Result<Vec<Number>, Failure> {
        let mut numbers = Vec::new();
        for selector in selectors {
            if selector.contains("://") {
                numbers.push(self.by_address(selector)?);
                continue;
            }
            for part in selector.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let bad = || {
                    Failure::usage(
                        format!("`{part}` names no item"),
                        Some("write a number, a list `42,50`, a range `50-61`, or the address of the topic".into()),
                    )
                };
                match part.split_once('-') {
                    Some((from, to)) => {
                        let from: Number = from.trim().parse().map_err(|_| bad())?;
                        let to: Number = to.trim().parse().map_err(|_| bad())?;
                        if to < from {
                            return Err(bad());
                        }
                        if to - from >= MOST_ITEMS as u64 {
                            return Err(Failure::usage(format!("a range of more than {MOST_ITEMS} items"), None));
                        }
                        let before = numbers.len();
                        for number in from..=to {
                            if self.store.item(number)?.is_some() {
                                numbers.push(number);
                            }
                        }
                        if numbers.len() == before {
                            return Err(Failure::nothing(format!("there is no item from {from} to {to}")));
                        }
                    }
                    None => {
                        let number: Number = part.trim_start_matches('#').parse().map_err(|_| bad())?;
                        self.must(number)?;
                        numbers.push(number);
                    }
                }
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        numbers.retain(|number| seen.insert(*number));
        if numbers.is_empty() {
            return Err(Failure::usage("no item was named", None));
        }
        Ok(numbers)
    }

    fn by_address(&self, address: &str) -> Result<Number, Failure> {
        let url: Url =
            address.parse().map_err(|error| Failure::usage(format!("`{address}` is not an address: {error}"), None))?;
        for key in crate::link::identity_keys(&url) {
            if let Some(number) = self.store.by_key(&key)? {
                return Ok(number);
            }
        }
        Err(Failure::nothing(format!("no item came from `{address}`")))
    }
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
    item.deliveries.values().any(|d| d.amend || d.now || matches!(d.progress, Progress::Retracting { .. }))
}

fn emit(sink: Sink<'_>, document: Value) -> Result<(), Failure> {
    sink(document).map_err(|error| Failure::failed(format!("the answer could not be written: {error}"), None))
}

/// The object of `oyez queue --json`.
pub fn queue_object(item: &Item, plan: &Plan) -> Value {
    let found = item.found();
    json!({
        "number": item.number,
        "kind": item.kind,
        "title": found.title,
        "url": found.url,
        "state": item.state().name(),
        "of": match &item.phase { crate::item::Phase::Duplicate { of } => Some(*of), _ => None },
        "window_end": item.window_end,
        "until": plan.until(item),
        "needs_approval": item.needs_approval(),
        "attention": item.attention(),
        "alarms": item.alarms,
        "seen_by": item.seen_by,
        "origins": item.origins.iter().map(|origin| origin.source.as_str()).collect::<Vec<_>>(),
        "deliveries": item.deliveries.iter().map(|(account, delivery)| {
            let url = match &delivery.progress {
                Progress::Sent { url, .. } | Progress::Retracting { url, .. } => url.clone(),
                Progress::Queued | Progress::Sending { .. } | Progress::Waiting { .. } | Progress::Unsure { .. }
                | Progress::Failed { .. } | Progress::Cancelled | Progress::Retracted { .. } => None,
            };
            json!({
                "account": account,
                "state": delivery.progress.name(),
                "not_before": plan.slot(item.number, account).or(delivery.not_before),
                "attempts": delivery.attempts,
                "url": url,
                "error": delivery.error,
            })
        }).collect::<Vec<_>>(),
    })
}

/// The `item` of `oyez preview --json` and `oyez show --json`.
pub fn item_object(item: &Item) -> Value {
    found_object(item.found(), &item.kind)
}

/// The `item` of a reading.
pub fn found_object(found: &crate::item::Found, kind: &str) -> Value {
    json!({
        "kind": kind,
        "source_key": found.key,
        "title": found.title,
        "url": found.url,
        "author": found.author.as_ref().map(|author| author.name.as_str()),
        "published": found.published,
        "text": found.text,
        "images": found.images,
        "tags": found.tags,
        "links": found.links,
        "category": found.category,
        "event": found.event,
        "persons": found.persons,
        "language": found.language,
    })
}

fn posts_object(item: &Item, config: &Config) -> Vec<Value> {
    item.posts
        .iter()
        .map(|(account, post)| {
            let platform = config.accounts.iter().find(|a| &a.name == account).map(|a| a.platform());
            post_object(account, platform, post)
        })
        .collect()
}

/// One of `posts` of `oyez preview --json`.
pub fn post_object(account: &str, platform: Option<&str>, post: &crate::item::Post) -> Value {
    json!({
        "account": account,
        "platform": platform,
        "text": post.text,
        "length": post.length,
        "limit": post.limit,
        "fits": post.length <= post.limit,
        "language": post.language,
        "media": post.media,
        "card": Value::Null,
        "warnings": post.warnings,
        "edited_by": post.edited_by,
        "outdated_edit": post.outdated_edit,
    })
}
