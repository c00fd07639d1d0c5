//! The documents that answers are made of. Field names are a contract: scripts rely on them.
use serde_json::{Value, json};

use crate::config::Config;
use crate::item::{Item, Progress};
use crate::plan::Plan;

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
        "alarms": item.alarms.iter().map(|alarm| alarm.text.as_str()).collect::<Vec<_>>(),
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
pub(super) fn item_object(item: &Item) -> Value {
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

pub(super) fn posts_object(item: &Item, config: &Config) -> Vec<Value> {
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
        "summary": post.summary,
        "edited_by": post.edited_by,
        "outdated_edit": post.outdated_edit,
    })
}
