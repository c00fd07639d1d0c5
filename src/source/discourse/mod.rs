//! A Discourse category, read by its JSON; by its RSS where the JSON is refused.
//!
//! The list is asked for by creation time, in which order no pin and no reply moves an old topic up. Once a day the list
//! by activity is read as well, which shows topics that were moved into the category. What lies further back than first
//! contact could record is remembered (`Floor`), so that no list, in whatever order, makes an old topic news.
mod answer;
mod category;
mod list;
mod poll;
mod read;
mod rss;
mod topic;
mod webhook;

use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

pub use category::{Category, parse_category};
pub use list::{List, ListedTopic, parse_list};
pub use rss::{Rss, RssTopic, parse_rss};
pub use topic::parse_topic;
pub(crate) use webhook::sign;
pub use webhook::{Hint, parse_webhook, verify_signature};

use self::answer::{Fault, check_json, check_rss};
use self::category::{Resolved, Wanted};
use self::read::gone;
use crate::http::{Answer, Get, Http};
use crate::item::Found;
use crate::source::{PollContext, Polled, Reread, Sighting, Source, SourceError};

/// What identifies a forum in keys: lower-case host, a port that is not the usual one, and the path it lives under.
fn place(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default().to_lowercase();
    let port = base.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{host}{port}{}", base.path().trim_end_matches('/'))
}

/// The key of a topic: `discourse:HOST/t/ID`.
pub fn topic_key(base: &Url, topic: u64) -> String {
    format!("discourse:{}/t/{topic}", place(base))
}

/// The address people are sent to. The slug is the forum's word: whatever could end the path is taken out of it.
fn topic_url(base: &Url, slug: &str, topic: u64) -> String {
    let slug: String = slug.chars().filter(|c| !matches!(c, '/' | '\\' | '?' | '#') && !c.is_control()).collect();
    // Any slug leads to the topic; one that is longer than Discourse makes them would make an address too long to post.
    let slug = if slug.chars().all(|c| c == '.') || slug.len() > 255 { "-" } else { &slug };
    address(base, &format!("t/{slug}/{topic}")).to_string()
}

/// `path` below the forum, whether or not its address was written with a slash at the end.
fn address(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

/// A category of a forum.
#[derive(Debug)]
pub struct Discourse {
    base: Url,
    host: String,
    category: String,
    wanted: Wanted,
    subcategories: bool,
    headers: Vec<(String, SecretString)>,
    shared: Mutex<Shared>,
}

/// What a poll found out and a re-reading between two polls needs as well.
#[derive(Debug, Clone, Default)]
struct Shared {
    category: Option<Resolved>,
    now: Timestamp,
}

/// The two orders of a list that are asked for.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Created,
    Activity,
}

impl Discourse {
    /// A category as `[[source]]` names it. `api`: the key, and the user it speaks for unless the key itself says.
    pub fn new(base: &Url, category: &str, subcategories: bool, api: Option<(SecretString, Option<String>)>) -> Self {
        let mut headers = Vec::new();
        if let Some((key, user)) = api {
            headers.push(("Api-Key".to_owned(), key));
            headers.extend(user.map(|u| ("Api-Username".to_owned(), SecretString::from(u))));
        }
        let port = base.port().map(|p| format!(":{p}")).unwrap_or_default();
        Self {
            base: base.clone(),
            host: format!("{}{port}", base.host_str().unwrap_or_default().to_lowercase()),
            category: category.trim().to_owned(),
            wanted: Wanted::read(category),
            subcategories,
            headers,
            shared: Mutex::default(),
        }
    }

    fn contact(&self, category: u64) -> String {
        format!("discourse:{}/c/{category}", place(&self.base))
    }

    fn topic_id(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&format!("discourse:{}/t/", place(&self.base)))?.parse().ok()
    }

    fn share(&self, category: &Resolved) {
        self.shared.lock().expect("no holder of this lock can panic").category = Some(category.clone());
    }

    fn shared(&self) -> Shared {
        self.shared.lock().expect("no holder of this lock can panic").clone()
    }

    async fn ask(&self, http: &Http, path: &str, json: bool, key: bool, now: Timestamp) -> Result<Answer, Fault> {
        let accept =
            if json { "application/json" } else { "application/rss+xml, application/xml;q=0.9, text/xml;q=0.8" };
        let headers = if key { self.headers.clone() } else { Vec::new() };
        let get = Get { accept: Some(accept), headers, ..Get::default() };
        Ok(http.get(&address(&self.base, path), get, now).await?)
    }

    async fn json(&self, http: &Http, path: &str, now: Timestamp) -> Result<Answer, Fault> {
        let answer = self.ask(http, path, true, true, now).await?;
        match check_json(&answer, &self.host) {
            // A key that was revoked is refused with the very words used for a topic that may not be seen. What
            // anybody is told decides then: a dead key must not look like a hundred withdrawn announcements.
            Err(Fault::Absent(why)) if answer.status == 403 && !self.headers.is_empty() => {
                let answer = self.ask(http, path, true, false, now).await?;
                match check_json(&answer, &self.host) {
                    Ok(()) => Err(Fault::Later { reason: format!("the api-key is refused: {why}"), after: None }),
                    Err(fault) => Err(fault),
                }
            }
            Ok(()) => Ok(answer),
            Err(fault) => Err(fault),
        }
    }

    async fn list(
        &self,
        http: &Http,
        category: &Resolved,
        order: Order,
        page: usize,
        now: Timestamp,
    ) -> Result<List, Fault> {
        let none = if self.subcategories { "" } else { "/none" };
        let mut path = format!("c/{}/{}{none}/l/latest.json", category.path, category.id);
        let mut query = Vec::new();
        if order == Order::Created {
            query.push("order=created".to_owned());
        }
        if page > 0 {
            query.push(format!("page={page}"));
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let answer = self.json(http, &path, now).await?;
        Ok(parse_list(&answer.body)?)
    }

    async fn topic(&self, http: &Http, id: u64, now: Timestamp) -> Result<topic::Topic, Fault> {
        let answer = self.json(http, &format!("t/{id}.json"), now).await?;
        let topic = topic::read(&answer.body, &self.base)?;
        if topic.listed.id != id {
            // Merged into another topic, and the forum led us there: what was announced is not there any more.
            return Err(Fault::Absent(format!("it was merged into topic {}", topic.listed.id)));
        }
        Ok(topic)
    }

    /// Asks the forum which category the configuration means.
    async fn resolve(&self, http: &Http, now: Timestamp) -> Result<Resolved, Fault> {
        if let (Wanted::Id(id), false) = (&self.wanted, self.subcategories) {
            return self.resolve_id(http, *id, now).await;
        }
        // `site.json` has them all at once; forums with very many categories leave some out of it.
        for path in ["site.json", "categories.json?include_subcategories=true"] {
            let all = match self.json(http, path, now).await {
                Ok(answer) => parse_category(&answer.body)?,
                Err(Fault::Absent(_)) => continue,
                Err(fault) => return Err(fault),
            };
            if let Some(found) = Resolved::pick(&self.wanted, self.subcategories, &all).map_err(Fault::from_pick)? {
                return Ok(found);
            }
        }
        match &self.wanted {
            Wanted::Id(id) => self.resolve_id(http, *id, now).await,
            Wanted::Slug { .. } => Err(self.no_such_category()),
        }
    }

    async fn resolve_id(&self, http: &Http, id: u64, now: Timestamp) -> Result<Resolved, Fault> {
        let mut all: Vec<Category> = Vec::new();
        let mut next = Some(id);
        // The parents are needed for the address alone; the bound is against a circle.
        while let (Some(wanted), true) = (next, all.len() < 5) {
            match self.json(http, &format!("c/{wanted}/show.json"), now).await {
                Ok(answer) => all.extend(parse_category(&answer.body)?),
                Err(Fault::Absent(_)) if all.is_empty() => return Err(self.no_such_category()),
                Err(Fault::Absent(_)) => break,
                Err(fault) => return Err(fault),
            }
            next = all.last().and_then(|c| c.parent).filter(|p| all.iter().all(|c| c.id != *p));
        }
        let found = Resolved::pick(&Wanted::Id(id), false, &all).map_err(Fault::from_pick)?;
        found.ok_or_else(|| self.no_such_category())
    }

    fn no_such_category(&self) -> Fault {
        Fault::Absent(format!("there is no category `{}` on `{}` that may be read", self.category, self.host))
    }

    fn rss_path(&self, category: Option<&Resolved>) -> String {
        match (category, &self.wanted) {
            (Some(category), _) => format!("c/{}/{}.rss", category.path, category.id),
            (None, Wanted::Id(id)) => format!("c/{id}.rss"),
            (None, Wanted::Slug { parent: Some(parent), slug }) => format!("c/{parent}/{slug}.rss"),
            (None, Wanted::Slug { parent: None, slug }) => format!("c/{slug}.rss"),
        }
    }

    async fn rss(&self, http: &Http, category: Option<&Resolved>, now: Timestamp) -> Result<Rss, Fault> {
        let answer = self.ask(http, &self.rss_path(category), false, true, now).await?;
        check_rss(&answer, &self.host)?;
        let mut rss = parse_rss(&answer.body, &self.base)?;
        let name = category.and_then(Resolved::itself).map(|c| c.name.as_str()).filter(|n| !n.is_empty());
        if !self.subcategories {
            let own: Vec<bool> = rss.topics.iter().map(|t| rss.is_own(t, name)).collect();
            let mut own = own.into_iter();
            rss.topics.retain(|_| own.next().unwrap_or(false));
        }
        if let Some(category) = category {
            for topic in &mut rss.topics {
                // The feed names categories for people; rules compare the word that the JSON would have given.
                let named = |c: &&Category| topic.category.as_ref() == Some(&c.name);
                if let Some(c) = category.family.iter().find(named) {
                    topic.found.category = Some(category.word(c.id));
                }
            }
        }
        Ok(rss)
    }
}

#[async_trait]
impl Source for Discourse {
    fn host(&self) -> &str {
        &self.host
    }

    async fn poll(&self, context: &PollContext<'_>) -> Result<Polled, SourceError> {
        let mut memory = self.recall(context);
        let mut polled = match self.poll_json(context, &mut memory).await {
            Ok(polled) => polled,
            Err(Fault::Refused { status, reason }) => match self.poll_rss(context, &mut memory).await {
                Ok(polled) => polled,
                // The feed asks for patience: that is worth knowing. Else the first refusal is the one to tell.
                Err(Fault::Later { reason, after }) => return Err(SourceError::Later { reason, after }),
                Err(Fault::Broken(feed)) => return Err(SourceError::Broken(format!("{reason}; its feed: {feed}"))),
                Err(Fault::Refused { .. } | Fault::Absent(_)) => return Err(Fault::Refused { status, reason }.into()),
            },
            Err(fault) => return Err(fault.into()),
        };
        polled.memory = serde_json::to_value(&memory).unwrap_or(Value::Null);
        Ok(polled)
    }

    async fn sight(&self, context: &PollContext<'_>, topic: u64) -> Result<Option<Sighting>, SourceError> {
        self.hinted(context, topic).await
    }

    async fn read(&self, http: &Http, found: &Found, now: Timestamp) -> Result<Reread, SourceError> {
        let Some(id) = self.topic_id(&found.key) else { return Ok(Reread::Unknown) };
        let topic = match self.topic(http, id, now).await {
            Ok(topic) => topic,
            Err(Fault::Absent(why)) => return Ok(Reread::Gone(gone(&why))),
            Err(Fault::Refused { status: _, reason }) => {
                return match self.read_rss(http, id, found, now).await {
                    Ok(reread) => Ok(reread),
                    Err(_) => Err(SourceError::Later { reason, after: None }),
                };
            }
            Err(fault) => return Err(fault.into()),
        };
        match self.check_place(http, topic, now).await {
            Ok(found) => Ok(Reread::Present(Box::new(found))),
            // Not knowing where it belongs is being out of reach, never a reason to withdraw.
            Err(Fault::Absent(reason) | Fault::Refused { reason, .. }) => {
                Err(SourceError::Later { reason, after: None })
            }
            Err(fault) => Err(fault.into()),
        }
    }
}

impl Fault {
    /// An ambiguous name is the configuration's fault, whoever was asked.
    fn from_pick(error: SourceError) -> Self {
        Fault::Absent(error.to_string())
    }
}

#[cfg(test)]
mod tests;
