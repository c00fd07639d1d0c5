//! From an item to its posts: which accounts, which templates, which limits. The words themselves are [`crate::render`]'s.
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Value, json};
use url::Url;

use crate::config::{AccountConfig, AccountSpec, Config, MirrorKind};
use crate::item::{Found, Item, MirrorWord, Post};
use crate::link;
use crate::link::rewrite::{Opened, Rewrite, Step, StepKind, nothing_opened};
use crate::linker::{Linker, REFUSED};
use crate::platform::{self, Limits};
use crate::policy::Policy;
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

/// What of a configuration can be read again while the service runs.
#[derive(Debug)]
pub struct Rulebook {
    /// How posts are worded.
    pub templates: Templates,
    /// What becomes of links.
    pub linker: Linker,
    /// What is ignored and what asks.
    pub policy: Policy,
}

/// How posts are worded with one configuration.
#[derive(Debug)]
pub struct Wording {
    config: Arc<Config>,
    rulebook: RwLock<Arc<Rulebook>>,
}

impl Wording {
    /// Puts them together.
    pub fn new(config: Arc<Config>, rulebook: Rulebook) -> Self {
        Self { config, rulebook: RwLock::new(Arc::new(rulebook)) }
    }

    /// What is in force. Held by whoever asks for as long as one decision takes.
    pub fn rulebook(&self) -> Arc<Rulebook> {
        Arc::clone(&self.rulebook.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this is in force. Posts that are worded already stay as they are (`lifecycle.md` section 2).
    pub fn replace(&self, rulebook: Rulebook) {
        *self.rulebook.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rulebook);
    }

    /// The one link of an item's posts: what its address becomes, with what is known of shorteners so far, and of other
    /// places of the same video.
    pub fn link(&self, item: &Item) -> Rewrite {
        let mut rewrite = self.link_of(item, &item.found().url);
        let video = rewrite.output.as_deref().and_then(|url| Url::parse(url).ok());
        let Some(video) = video.filter(|url| link::youtube_id(url).is_some()) else { return rewrite };
        if item.kept.contains(&rewrite.input) {
            return rewrite;
        }
        match self.mirror_of(item) {
            Some((mirror, why)) => {
                if link::youtube::offset(&video).is_some() {
                    rewrite
                        .flags
                        .push("the moment in the video is left out: recordings begin at different ones".into());
                }
                let step = Step { kind: StepKind::Mirror, from: video.into(), to: mirror.clone(), why };
                rewrite.steps.push(step);
                rewrite.output = Some(mirror);
            }
            None if self.config.links.mirrors.is_empty() => {}
            None => rewrite.flags.push("it is only on YouTube: no mirror is proven".to_owned()),
        }
        rewrite
    }

    /// Where an item's posts lead instead of to YouTube, if another place of the video is proven.
    pub fn mirror(&self, item: &Item) -> Option<String> {
        let rewrite = self.link(item);
        rewrite.steps.last().filter(|step| step.kind == StepKind::Mirror)?;
        rewrite.output
    }

    /// A person's word first, then the places of the item itself in the order of `links.mirrors`: that they are one talk
    /// was proven when they were joined (keys 1 to 4 of sources.md 7.2).
    fn mirror_of(&self, item: &Item) -> Option<(String, String)> {
        let rulebook = self.rulebook();
        let is_rejected =
            |url: &str| item.mirrors.iter().any(|m| m.url == url && matches!(m.word, MirrorWord::Rejected { .. }));
        let clean = |url: &str| {
            rulebook
                .linker
                .rewrite(url, false, &nothing_opened)
                .output
                .filter(|clean| !is_rejected(clean) && !is_rejected(url))
        };
        let accepted = item.mirrors.iter().rev().find_map(|mirror| match &mirror.word {
            MirrorWord::Accepted { by } => Some((clean(&mirror.url)?, format!("the same video, says {by}"))),
            MirrorWord::Offered { .. } | MirrorWord::Rejected { .. } => None,
        });
        if accepted.is_some() {
            return accepted;
        }
        self.config.links.mirrors.iter().find_map(|kind| {
            let at_origin = item.origins.iter().filter(|origin| origin.gone.is_none()).find_map(|origin| {
                let source = self.config.source(&origin.source)?;
                let is_kind = source.spec.mirror() == Some(*kind);
                is_kind.then(|| clean(&origin.found.url)).flatten()
            });
            let named = || {
                let first = item.found().text.lines().next().unwrap_or_default().trim();
                let is_talk = *kind == MirrorKind::MediaCcc
                    && Url::parse(first).is_ok_and(|url| {
                        link::identity_keys(&url).first().is_some_and(|key| key.starts_with("media-ccc-de:"))
                    });
                is_talk.then(|| clean(first)).flatten()
            };
            match at_origin {
                Some(url) => Some((url, format!("the same talk was heard at {}", kind.name()))),
                None => Some((named()?, "the description begins with it, as its publisher writes it".to_owned())),
            }
        })
    }

    fn link_of(&self, item: &Item, input: &str) -> Rewrite {
        let kept = item.kept.iter().any(|kept| kept == input);
        self.rulebook()
            .linker
            .rewrite(input, kept, &|short| item.opened.get(short).and_then(|asked| asked.answer.clone()))
    }

    /// The post of one account for an item as it is now.
    pub fn word(&self, item: &Item, account: &AccountConfig, limits: &Limits) -> Result<Post, ComposeError> {
        let source = item.origins.first().and_then(|origin| self.config.source(&origin.source));
        let mark = source.and_then(|source| source.mark.as_deref());
        self.compose(item.found(), &self.link(item), &item.kind, mark, account, limits)
    }

    /// The post of one account for a reading that is no item yet (`oyez preview`); `opened` knows shorteners.
    pub fn word_found(
        &self,
        found: &Found,
        kind: &str,
        mark: Option<&str>,
        account: &AccountConfig,
        limits: &Limits,
        opened: &dyn Fn(&str) -> Option<Opened>,
    ) -> Result<Post, ComposeError> {
        self.compose(found, &self.rulebook().linker.rewrite(&found.url, false, opened), kind, mark, account, limits)
    }

    fn compose(
        &self,
        found: &Found,
        link: &Rewrite,
        kind: &str,
        mark: Option<&str>,
        account: &AccountConfig,
        limits: &Limits,
    ) -> Result<Post, ComposeError> {
        let address = match (&link.output, &link.unopened) {
            (Some(_), None) if link.conceals.is_some() => {
                let why = link.conceals.clone().unwrap_or_default();
                return Err(ComposeError::Link { link: link.input.clone(), why });
            }
            (Some(address), None) => address,
            (_, Some(short)) => {
                let why = "it is a link shortener's, and nobody knows yet where it leads".to_owned();
                return Err(ComposeError::Link { link: short.clone(), why });
            }
            (None, None) => {
                let why = link.refused.clone().unwrap_or_default();
                return Err(ComposeError::Link { link: link.input.clone(), why });
            }
        };
        let rulebook = self.rulebook();
        let mut post = render::compose(
            &Compose {
                found,
                link: address,
                kind,
                mark,
                hashtags: &account.hashtags,
                language: account.language.as_deref(),
                platform: account.platform(),
                limits,
            },
            &rulebook.templates,
        )?;
        post.warnings.extend(link.flags.iter().map(|flag| format!("the link: {flag}")));
        let refused = rulebook.linker.refused_in(&post.text);
        if let Some(link) = refused.into_iter().next() {
            let why = REFUSED.to_owned();
            return Err(ComposeError::Link { link, why });
        }
        Ok(post)
    }

    /// The posts of every account that takes the item. One that cannot be worded does not stop the others.
    pub fn word_all(&self, store: &Store, item: &Item) -> Result<Worded, StoreError> {
        let mut posts = BTreeMap::new();
        let mut problems = BTreeMap::new();
        for account in self.config.accounts_for(&item.kind) {
            match self.word(item, account, &limits(store, account)?) {
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

    /// The `links` of `oyez preview --json`: every link found, and what becomes of it.
    pub fn links(&self, found: &Found, opened: &dyn Fn(&str) -> Option<Opened>) -> Vec<Value> {
        let rulebook = self.rulebook();
        addresses(found).map(|input| link_object(&rulebook.linker.rewrite(input, false, opened))).collect()
    }

    /// The `links` of `oyez show --json`: as [`Wording::links`], of all its places, and which of them a person wants kept
    /// as they are.
    pub fn links_of(&self, item: &Item) -> Vec<Value> {
        let mut seen: Vec<&str> = Vec::new();
        let mut links = Vec::new();
        for input in item.origins.iter().flat_map(|origin| addresses(&origin.found)) {
            if seen.contains(&input) {
                continue;
            }
            seen.push(input);
            let is_own = input == item.found().url;
            let mut link = link_object(&if is_own { self.link(item) } else { self.link_of(item, input) });
            link["kept"] = json!(item.kept.iter().any(|kept| kept == input));
            links.push(link);
        }
        links
    }
}

/// Posts by account, and for the accounts that could not be worded the reason.
pub type Worded = (BTreeMap<String, Post>, BTreeMap<String, String>);

/// The addresses in a thing's text, in order, and its own where it is not among them: the one its posts lead to.
pub fn addresses(found: &Found) -> impl Iterator<Item = &str> {
    let own = Some(found.url.as_str()).filter(|url| !found.links.iter().any(|link| link == url));
    found.links.iter().map(String::as_str).chain(own)
}

/// One object of `oyez link --json`.
pub fn link_object(rewrite: &Rewrite) -> Value {
    let steps: Vec<Value> = rewrite
        .steps
        .iter()
        .map(|step| json!({"kind": step.kind, "from": step.from, "to": step.to, "why": step.why}))
        .collect();
    json!({
        "input": rewrite.input, "output": rewrite.output, "refused": rewrite.refused,
        "steps": steps, "flags": rewrite.flags,
    })
}
