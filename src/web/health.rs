//! `GET /health`: is the service well? For machines; with the reasons, by source and account. It shows no title, text or
//! name of anybody: who can reach the address may see it.
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};

use crate::acts::DISTRUST;
use crate::clock::Clock;
use crate::config::Config;
use crate::item::{Delivery, Item, Progress};
use crate::progress::{self, Half};
use crate::store::{Store, StoreError};

/// What the answer is made from.
#[derive(Clone)]
pub struct Health {
    /// The store.
    pub store: Store,
    /// Names the sources and accounts.
    pub config: Arc<Config>,
    /// The beats of the two halves.
    pub progress: Arc<progress::Progress>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What was counted, where somebody counts.
    pub counted: Option<PrometheusHandle>,
}

/// The route.
pub fn router(health: Health) -> Router {
    Router::new().route("/health", get(answer)).route("/metrics", get(figures)).with_state(health)
}

/// In Prometheus' text format.
async fn figures(State(health): State<Health>) -> Response {
    let Some(counted) = &health.counted else {
        return (StatusCode::NOT_FOUND, "nothing is counted here\n").into_response();
    };
    if let Err(error) = aside(&health, crate::metrics::look).await {
        tracing::error!("metrics cannot be told: {error}");
        return (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n").into_response();
    }
    counted.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], counted.render()).into_response()
}

/// Reads what is on its way from the store: not on the threads that deliver.
async fn aside<T: Send + 'static>(health: &Health, look: fn(&Health) -> Result<T, StoreError>) -> anyhow::Result<T> {
    let health = health.clone();
    Ok(tokio::task::spawn_blocking(move || look(&health)).await??)
}

async fn answer(State(health): State<Health>) -> Response {
    match aside(&health, report).await {
        // Degraded is no reason to restart it: what is wrong is at the other end.
        Ok((status, document)) if status != "failing" => Json(document).into_response(),
        Ok((_, document)) => (StatusCode::SERVICE_UNAVAILABLE, Json(document)).into_response(),
        Err(error) => {
            tracing::error!("health cannot be told: {error}");
            let document = json!({"status": "failing", "reasons": ["the store cannot be read"]});
            (StatusCode::SERVICE_UNAVAILABLE, Json(document)).into_response()
        }
    }
}

/// A post that was tried more than once and is still not out: one answer gone wrong is nobody's trouble.
fn failing_post<'a>(active: &'a [Item], account: &str) -> Option<&'a Delivery> {
    let is_failing = |delivery: &&Delivery| {
        let waits = matches!(delivery.progress, Progress::Queued | Progress::Sending { .. } | Progress::Unsure { .. });
        waits && delivery.attempts > 1 && delivery.error.is_some()
    };
    active.iter().filter_map(|item| item.deliveries.get(account)).find(is_failing)
}

/// `ok`; `degraded`: a source or an account does not do its part; `failing`: nothing gets done, or nothing may leave.
fn report(health: &Health) -> Result<(&'static str, Value), StoreError> {
    let mut failing = Vec::new();
    let mut degraded = Vec::new();
    for half in health.progress.stuck() {
        failing.push(format!("{} makes no progress", half.name()));
    }
    if let Some(why) = health.store.meta(DISTRUST)?.and_then(|why| why.as_str().map(str::to_owned)) {
        failing.push(format!("nothing leaves: {why}"));
    }
    let mut sources = Map::new();
    for source in health.config.sources.iter().filter(|source| source.enabled) {
        let record = health.store.source(&source.name)?;
        let status = match (&record.stopped, &record.last_error) {
            (Some(_), _) => "stopped",
            (None, Some(_)) => "failing",
            (None, None) => "ok",
        };
        if status != "ok" {
            degraded.push(format!("source {} is {status}", source.name));
        }
        sources.insert(
            source.name.clone(),
            json!({
                "status": status,
                "last_success": record.last_success,
                "failures": record.failures,
                "error": record.stopped.or(record.last_error),
            }),
        );
    }
    let mut accounts = Map::new();
    let active = health.store.active()?;
    for account in health.config.accounts.iter().filter(|account| account.enabled) {
        let record = health.store.account(&account.name)?;
        let failing = failing_post(&active, &account.name);
        let (status, error) = match (record.locked, failing) {
            (Some(locked), _) => ("stopped", Some(locked.reason)),
            (None, Some(failing)) => ("failing", failing.error.clone()),
            (None, None) => ("ok", None),
        };
        if status != "ok" {
            degraded.push(format!("account {} is {status}", account.name));
        }
        accounts.insert(
            account.name.clone(),
            json!({
                "status": status,
                "last_sent": record.last_sent,
                "error": error,
            }),
        );
    }
    let status = match (failing.is_empty(), degraded.is_empty()) {
        (false, _) => "failing",
        (true, false) => "degraded",
        (true, true) => "ok",
    };
    failing.append(&mut degraded);
    let beat = |half: Half| json!({"seconds_since": health.progress.since(half).as_secs()});
    let document = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "reasons": failing,
        "sources": sources,
        "accounts": accounts,
        "loops": {"poll": beat(Half::Poll), "deliver": beat(Half::Deliver)},
    });
    Ok((status, document))
}
