//! From an item to its posts: which accounts, which templates, which limits. The words themselves are [`crate::render`]'s.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::{AccountConfig, AccountSpec, Config};
use crate::item::{Found, Item, Post};
use crate::platform::{self, Limits};
use crate::render::{self, Compose, ComposeError, Templates};
use crate::store::{Store, StoreError};

/// The limits of an account: what its server last said, else what its platform usually allows.
pub fn limits(store: &Store, account: &AccountConfig) -> Result<Limits, StoreError> {
    let stored = store.account(&account.name)?.limits;
    Ok(stored.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_else(|| usual_limits(account)))
}

/// What the platform usually allows, before its server was asked.
pub fn usual_limits(account: &AccountConfig) -> Limits {
    match &account.spec {
        AccountSpec::Mastodon { .. } => Limits::mastodon(),
        AccountSpec::File { limit, .. } => platform::file::usual_limits(*limit),
    }
}

/// The post of one account for an item as it is now.
pub fn word(
    item: &Item,
    account: &AccountConfig,
    config: &Config,
    templates: &Templates,
    limits: &Limits,
) -> Result<Post, ComposeError> {
    let mark = item.origins.first().and_then(|origin| config.source(&origin.source)).and_then(|s| s.mark.as_deref());
    word_found(item.found(), &item.kind, mark, account, templates, limits)
}

/// The post of one account for a reading that is no item yet (`oyez preview`).
pub fn word_found(
    found: &Found,
    kind: &str,
    mark: Option<&str>,
    account: &AccountConfig,
    templates: &Templates,
    limits: &Limits,
) -> Result<Post, ComposeError> {
    render::compose(
        &Compose {
            found,
            kind,
            mark,
            hashtags: &account.hashtags,
            language: account.language.as_deref(),
            platform: account.platform(),
            limits,
        },
        templates,
    )
}

/// Posts by account, and for the accounts that could not be worded the reason.
pub type Worded = (BTreeMap<String, Post>, BTreeMap<String, String>);

/// The posts of every account that takes the item. One that cannot be worded does not stop the others.
pub fn word_all(store: &Store, item: &Item, config: &Config, templates: &Templates) -> Result<Worded, StoreError> {
    let mut posts = BTreeMap::new();
    let mut problems = BTreeMap::new();
    for account in config.accounts_for(&item.kind) {
        match word(item, account, config, templates, &limits(store, account)?) {
            Ok(post) => {
                posts.insert(account.name.clone(), post);
            }
            Err(error) => {
                problems.insert(account.name.clone(), error.to_string());
            }
        }
    }
    Ok((posts, problems))
}

/// The `links` of `oyez preview --json`: every link found and what becomes of it. Nothing is rewritten yet; a link the
/// gate refuses is named with the reason.
pub fn links(found: &Found) -> Vec<Value> {
    found.links.iter().map(|input| link_object(input)).collect()
}

/// The `links` of `oyez show --json`: as [`links`], and which of them a person wants kept as they are.
pub fn links_of(item: &Item) -> Vec<Value> {
    let mut links = links(item.found());
    for link in &mut links {
        link["kept"] = json!(item.kept.iter().any(|kept| link["input"] == *kept));
    }
    links
}

/// One object of `oyez link --json`.
pub fn link_object(input: &str) -> Value {
    match crate::link::examine(input) {
        Ok(output) => json!({"input": input, "output": output, "refused": null, "steps": []}),
        Err(refused) => json!({"input": input, "output": null, "refused": refused, "steps": []}),
    }
}
