//! Who leaves when: the store's open items, put before [`crate::hold::forecast`]. The same answer decides what is due and
//! is shown as `until`; it is stored nowhere.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Config, Period};
use crate::hold::{self, Counted, Forecast, Leaving, Waiting};
use crate::item::{Item, Number, Phase, Progress};
use crate::store::{Store, StoreError};

/// What leaves when, as things stand.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    forecast: Forecast,
    now: Timestamp,
}

impl Plan {
    /// The earliest slot of an item over its accounts. `None`: nothing of it is waiting for a slot.
    pub fn until(&self, item: &Item) -> Option<Timestamp> {
        self.forecast.until(item.number)
    }

    /// The slot of one delivery.
    pub fn slot(&self, number: Number, account: &str) -> Option<Timestamp> {
        self.forecast.slot(number, account)
    }

    /// What leaves now, first things first.
    pub fn due(&self) -> &[Leaving] {
        self.forecast.due(self.now)
    }

    /// The next slot after now.
    pub fn next(&self) -> Option<Timestamp> {
        self.forecast.order().iter().map(|leaving| leaving.at).find(|at| *at > self.now)
    }
}

/// Works it out from the store.
pub fn make(store: &Store, config: &Config, now: Timestamp) -> Result<Plan, StoreError> {
    let items = store.active()?;
    of(&items, store, config, now, &|_| None)
}

/// As far as one delivery needs it, which asks right before it leaves. Where nothing paces it, no other item has a say in its
/// slot, and it is planned alone: a thousand posts that leave in a row do not plan the whole queue a thousand times.
pub fn for_delivery(
    item: &Item,
    account: &str,
    store: &Store,
    config: &Config,
    now: Timestamp,
) -> Result<Plan, StoreError> {
    let is_free =
        config.account(account).is_some_and(|account| hold::pacing(&config.hold, &item.kind, account).is_free());
    if !is_free {
        return make(store, config, now);
    }
    let waiting = waiting(std::slice::from_ref(item), store, config, &|_| None)?;
    let forecast =
        hold::forecast(now, &config.hold, &config.accounts, &waiting, &BTreeMap::new(), &config.service.time_zone);
    Ok(Plan { forecast, now })
}

/// Works it out for items already at hand: those the store calls active. `put_off`: until when an item is not tried
/// (its origin is out of reach), so that it lets the next one pass.
pub fn of(
    items: &[Item],
    store: &Store,
    config: &Config,
    now: Timestamp,
    put_off: &dyn Fn(Number) -> Option<Timestamp>,
) -> Result<Plan, StoreError> {
    let waiting = waiting(items, store, config, put_off)?;
    if waiting.is_empty() {
        return Ok(Plan { now, ..Plan::default() });
    }
    let since = now - look_back(config);
    let mut history: BTreeMap<String, Vec<Counted>> = BTreeMap::new();
    for account in config.accounts.iter().filter(|account| account.enabled) {
        let counted = store.counted(&account.name, since)?;
        history.insert(
            account.name.clone(),
            counted.into_iter().map(|c| Counted { at: c.at, kind: c.kind, author: c.author }).collect(),
        );
    }
    let forecast = hold::forecast(now, &config.hold, &config.accounts, &waiting, &history, &config.service.time_zone);
    Ok(Plan { forecast, now })
}

/// Is it a video that is only on YouTube, with a configured place where a mirror of it may appear?
fn waits_for_mirror(item: &Item, config: &Config) -> bool {
    let can_come = || {
        let kinds = config.sources.iter().filter(|source| source.enabled).filter_map(|source| source.spec.mirror());
        kinds.into_iter().any(|kind| config.links.mirrors.contains(&kind))
    };
    let is_youtube = || crate::link::youtube_id_of(&item.found().url).is_some();
    item.mirror.is_none() && can_come() && is_youtube()
}

/// What waits for a slot.
fn waiting<'a>(
    items: &'a [Item],
    store: &Store,
    config: &Config,
    put_off: &dyn Fn(Number) -> Option<Timestamp>,
) -> Result<Vec<Waiting<'a>>, StoreError> {
    let mut waiting = Vec::new();
    for item in items {
        if !matches!(item.phase, Phase::Settling | Phase::Held) {
            continue;
        }
        let Some(window_end) = item.window_end else { continue };
        let found = item.found();
        for (account, delivery) in &item.deliveries {
            // What waits for a person's word (an approval, a choice, a text) holds no slot: it lets the next one pass.
            let post = item.posts.get(account);
            let asks = item.needs_approval()
                || post.is_some_and(|post| post.outdated_edit)
                || (post.is_none() && item.phase == Phase::Held);
            if delivery.progress != Progress::Queued || (asks && !delivery.now) {
                continue;
            }
            let wait = config.links.wait_for_mirror.filter(|_| waits_for_mirror(item, config));
            let ready = hold::ready(window_end, item.first_seen, wait).max(item.snoozed.unwrap_or(Timestamp::MIN));
            waiting.push(Waiting {
                number: item.number,
                account,
                kind: &item.kind,
                author: hold::author_of(item),
                published: found.published.unwrap_or(item.first_seen),
                ready,
                not_before: delivery.not_before.max(put_off(item.number)),
                priority: hold::for_kind(&config.hold, &item.kind).priority,
                now: delivery.now,
            });
        }
    }
    // What cannot leave has no time at which it would.
    let mut locked = std::collections::BTreeSet::new();
    for account in &config.accounts {
        if store.account(&account.name)?.locked.is_some() {
            locked.insert(account.name.as_str());
        }
    }
    waiting.retain(|waiting| !locked.contains(waiting.account));
    Ok(waiting)
}

/// How far back a post can still push another away.
fn look_back(config: &Config) -> Duration {
    let day = Duration::from_secs(86_400);
    let base = std::iter::once(&config.hold.base).chain(config.hold.kinds.values().map(|kind| &kind.merged));
    let kinds = base.flat_map(|settings| [Some(settings.spacing), settings.at_most.map(|rate| period(rate.period))]);
    let accounts =
        config.accounts.iter().flat_map(|a| [a.spacing, a.at_most.flatten().map(|rate| period(rate.period))]);
    // Two days more: a calendar day may have begun 25 hours ago.
    kinds.chain(accounts).flatten().max().unwrap_or(day) + 2 * day
}

fn period(period: Period) -> Duration {
    match period {
        Period::Day => Duration::from_secs(86_400),
        Period::Rolling(length) => length,
    }
}
