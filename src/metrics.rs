//! `GET /metrics`: figures for Prometheus. Counted where things happen, through the `metrics` facade, which does nothing
//! where no recorder is installed (commands, tests); what is a state is looked up when somebody asks, at a cost that grows
//! with what is configured and on its way, never with history.
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::acts::DISTRUST;
use crate::item::{Progress, State};
use crate::progress::Half;
use crate::store::StoreError;
use crate::web::health::Health;

/// Every name, with what it means. Rules and dashboards in `deploy/` use no other.
pub const NAMES: [(&str, &str); 20] = [
    ("oyez_build_info", "1, with the version"),
    ("oyez_items", "Items on their way, by state"),
    ("oyez_items_attention", "Items that a person should look at"),
    ("oyez_items_needs_approval", "Items that leave only with an approval"),
    ("oyez_deliveries", "Deliveries of items on their way, by account and state"),
    ("oyez_posts_total", "Answers to posts, by account and result: sent, failed, unsure, retried"),
    ("oyez_polls_total", "Polls, by source and result: ok, failed"),
    ("oyez_source_failures", "Failed polls in a row"),
    ("oyez_source_stopped", "1: gone for good, and not asked any more"),
    ("oyez_source_last_success_timestamp_seconds", "When the source last answered as it should"),
    ("oyez_account_locked", "1: the server refuses the credentials"),
    ("oyez_account_last_sent_timestamp_seconds", "When something last went out"),
    ("oyez_delivering_stopped", "1: nothing leaves, since the clock is not believed"),
    ("oyez_webhooks_total", "Webhooks, by result: heard, refused, unknown"),
    ("oyez_beat_timestamp_seconds", "When the loop last came round"),
    ("oyez_poll_duration_seconds", "How long polls took"),
    ("oyez_delivery_duration_seconds", "How long posts took, by account"),
    ("oyez_store_size_bytes", "The store's files"),
    ("process_resident_memory_bytes", "Memory the process holds"),
    ("process_start_time_seconds", "When the process was started"),
];

/// Upper bounds of the histograms, in seconds: from an answer out of a cache to the longest that is waited for.
const BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

/// Begins to count in this process; `None` where somebody does already.
pub fn install() -> Option<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    for (name, help) in NAMES {
        // The kind is told where it is counted.
        if name.ends_with("_total") {
            metrics::describe_counter!(name, help);
        } else if name.ends_with("_duration_seconds") {
            metrics::describe_histogram!(name, help);
        } else {
            metrics::describe_gauge!(name, help);
        }
    }
    Some(handle)
}

/// A source was asked.
pub fn polled(source: &str, ok: bool, took: Duration) {
    let result = if ok { "ok" } else { "failed" };
    counter!("oyez_polls_total", "source" => source.to_owned(), "result" => result).increment(1);
    histogram!("oyez_poll_duration_seconds").record(took);
}

/// A post was answered, or not.
pub fn posted(account: &str, result: &'static str, took: Duration) {
    counter!("oyez_posts_total", "account" => account.to_owned(), "result" => result).increment(1);
    histogram!("oyez_delivery_duration_seconds", "account" => account.to_owned()).record(took);
}

/// A webhook came.
pub fn hooked(result: &'static str) {
    counter!("oyez_webhooks_total", "result" => result).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; no count here comes near 2^52")]
fn figure(number: impl TryInto<i64>) -> f64 {
    number.try_into().unwrap_or(i64::MAX) as f64
}

/// What is a state, as it is now.
pub fn look(health: &Health) -> Result<(), StoreError> {
    gauge!("oyez_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    // Counters are there at 0 from the first look: a rule that looks for an increase would miss the first of each.
    for result in ["heard", "refused", "unknown"] {
        counter!("oyez_webhooks_total", "result" => result).increment(0);
    }
    let items = health.store.active()?;
    let mut states: BTreeMap<&'static str, i64> =
        [State::Settling, State::Held, State::Publishing].iter().map(|state| (state.name(), 0)).collect();
    let mut deliveries: BTreeMap<(&str, &'static str), i64> = BTreeMap::new();
    for account in health.config.accounts.iter().filter(|account| account.enabled) {
        for state in Progress::NAMES {
            deliveries.insert((account.name.as_str(), state), 0);
        }
        for result in ["sent", "failed", "unsure", "retried"] {
            counter!("oyez_posts_total", "account" => account.name.clone(), "result" => result).increment(0);
        }
    }
    for item in &items {
        *states.entry(item.state().name()).or_default() += 1;
        for (account, delivery) in &item.deliveries {
            *deliveries.entry((account, delivery.progress.name())).or_default() += 1;
        }
    }
    // What had some a moment ago may have none now.
    for (state, count) in states {
        gauge!("oyez_items", "state" => state).set(figure(count));
    }
    for ((account, state), count) in deliveries {
        gauge!("oyez_deliveries", "account" => account.to_owned(), "state" => state).set(figure(count));
    }
    gauge!("oyez_items_attention").set(figure(health.store.items_with_attention()?.len()));
    gauge!("oyez_items_needs_approval").set(figure(items.iter().filter(|item| item.needs_approval()).count()));
    for source in health.config.sources.iter().filter(|source| source.enabled) {
        let record = health.store.source(&source.name)?;
        let name = || source.name.clone();
        for result in ["ok", "failed"] {
            counter!("oyez_polls_total", "source" => name(), "result" => result).increment(0);
        }
        gauge!("oyez_source_failures", "source" => name()).set(f64::from(record.failures));
        gauge!("oyez_source_stopped", "source" => name()).set(f64::from(u8::from(record.stopped.is_some())));
        if let Some(at) = record.last_success {
            gauge!("oyez_source_last_success_timestamp_seconds", "source" => name()).set(figure(at.as_second()));
        }
    }
    for account in health.config.accounts.iter().filter(|account| account.enabled) {
        let record = health.store.account(&account.name)?;
        let name = || account.name.clone();
        gauge!("oyez_account_locked", "account" => name()).set(f64::from(u8::from(record.locked.is_some())));
        if let Some(at) = record.last_sent {
            gauge!("oyez_account_last_sent_timestamp_seconds", "account" => name()).set(figure(at.as_second()));
        }
    }
    let stopped = health.store.meta(DISTRUST)?.is_some_and(|why| why.is_string());
    gauge!("oyez_delivering_stopped").set(f64::from(u8::from(stopped)));
    let now = health.clock.now();
    for half in [Half::Poll, Half::Deliver] {
        let at = now - health.progress.since(half);
        gauge!("oyez_beat_timestamp_seconds", "loop" => half.name()).set(figure(at.as_second()));
    }
    // Reckoned once: at the edge of a second it would come out differently from one time to the next, and every change counts
    // as a restart.
    static STARTED: OnceLock<i64> = OnceLock::new();
    let started = STARTED.get_or_init(|| (now - health.progress.age()).as_second());
    gauge!("process_start_time_seconds").set(figure(*started));
    gauge!("oyez_store_size_bytes").set(figure(size_of(&health.config.service.state)));
    if let Some(bytes) = resident() {
        gauge!("process_resident_memory_bytes").set(figure(bytes));
    }
    Ok(())
}

/// In bytes, of a directory and those in it; what cannot be read counts nothing.
fn size_of(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// In bytes; `None` where the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
