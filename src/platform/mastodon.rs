//! Mastodon and the servers that speak its API: GoToSocial, Pleroma, Akkoma, Takahē, Mitra (platforms.md 1, 2, 14).
//!
//! What every request is allowed to mean is decided in [`answer`]; this file only strings them together. Three rules
//! keep a post from going out twice:
//! - every status carries the claim's `Idempotency-Key`;
//! - a request with a used key is made only where [`Platform::may_repeat`] agrees, and whatever it is answered but a
//!   status leaves the first attempt open: [`SendError::Unsure`], so that the account's own posts are read next. That
//!   is also the answer to servers that say 500 to a repeat although the post is there. Only a server that says when
//!   to come back is obeyed first; the lifecycle keeps the delivery of a repeat open through [`SendError::Retry`];
//! - `scheduled_at` is never sent: it makes Mastodon ignore the key and Mitra and Takahē publish at once.
mod answer;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod instance;
mod media;
mod readback;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use self::answer::{Answer, Deed, Silence, ask, lost};
use self::instance::{Instance, Software};
use self::readback::{Likeness, Wanted};
use super::{Claim, Limits, Platform, Published, ReadBack, SendError, StillWanted};
use crate::http::{Guarded, Http};
use crate::item::{Media, Post};

/// Mastodon keeps a key for an hour (platforms.md 1.4). Five minutes are left for a slow request and a clock that is
/// not quite right.
const KEY_KEPT: Duration = Duration::from_secs(55 * 60);
/// How long the server's limits are believed.
const LIMITS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a server that did not tell its limits is left alone.
const LIMITS_RETRY: Duration = Duration::from_secs(10 * 60);
/// For one request that writes. Longer than reading: each one that is given up leaves a post nobody is sure of.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// For all images of a post together, from fetching the first to processing the last. The delivery waits three minutes
/// for a whole [`Platform::send`], and what it gives up counts as perhaps posted: so images that take longer are left
/// out of the post while there is time for the post itself. 16 MiB in a minute are 2.2 Mbit/s.
const MEDIA_PATIENCE: Duration = Duration::from_secs(60);
/// For one request that reads, and for all that ask for the server's limits before a post.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A post's limits, images and status end well within the delivery's three minutes.
const _: () = assert!(READ_TIMEOUT.as_secs() + MEDIA_PATIENCE.as_secs() + WRITE_TIMEOUT.as_secs() <= 150);
/// Answers other than a page of statuses.
const MAX_ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// A page of forty statuses.
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// Pages read back at most: a thousand posts in the time since the attempt. Beyond it a person is asked.
const MAX_PAGES: usize = 25;
/// How often an upload's processing is asked after, at most: about a minute in all.
const MAX_POLLS: u32 = 9;
/// Statuses with the item's link in other words whose source is asked for.
const MAX_SOURCES: usize = 5;
/// How far the server's clock may be behind ours when its posts are compared with the time of an attempt.
const CLOCK_SLACK: Duration = Duration::from_secs(10 * 60);

/// Fetches a poster's image: the guarded client, or a test's own table.
pub(crate) type Images = Arc<dyn Fn(Url, usize) -> BoxFuture<'static, Result<Guarded, String>> + Send + Sync>;

/// One account on one server.
pub struct Mastodon {
    server: Url,
    token: SecretString,
    visibility: String,
    client: reqwest::Client,
    images: Images,
    /// The first pause between two looks at an upload's processing, and between two pages.
    pace: Duration,
    /// [`MEDIA_PATIENCE`], less in tests.
    media_patience: Duration,
    /// What the server said of itself, and until when that is believed. Never locked across a request.
    known: Mutex<Option<Known>>,
    /// Who the token belongs to. It cannot change: another account has another token.
    me: Mutex<Option<Me>>,
}

#[derive(Debug, Clone)]
struct Known {
    instance: Instance,
    until: Timestamp,
}

#[derive(Debug, Clone)]
struct Me {
    id: String,
    name: String,
}

impl fmt::Debug for Mastodon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token stays out, as it stays out of every error.
        f.debug_struct("Mastodon")
            .field("server", &self.server.as_str())
            .field("visibility", &self.visibility)
            .finish_non_exhaustive()
    }
}

impl Mastodon {
    /// An account as configured: `visibility` is `public`, `unlisted`, `private` or `direct`. Asks nothing yet.
    pub fn new(server: Url, token: SecretString, visibility: String, http: Http) -> Self {
        let client = http.api().clone();
        let images: Images = Arc::new(move |url, max_bytes| {
            let http = http.clone();
            async move { http.get_guarded(&url, max_bytes).await }.boxed()
        });
        Self::with_client(server, token, visibility, client, images)
    }

    /// The same with the two ways to the network given one by one.
    pub(crate) fn with_client(
        server: Url,
        token: SecretString,
        visibility: String,
        client: reqwest::Client,
        images: Images,
    ) -> Self {
        Self {
            server,
            token,
            visibility,
            client,
            images,
            pace: Duration::from_millis(500),
            media_patience: MEDIA_PATIENCE,
            known: Mutex::new(None),
            me: Mutex::new(None),
        }
    }

    /// Asks the server for its limits, now. `oyez check --online` shows the error; [`Platform::limits`] never fails.
    pub async fn ask_limits(&self) -> Result<Limits, SendError> {
        let (instance, nonsense) = self.ask_instance().await?;
        if nonsense.is_empty() {
            Ok(instance.limits)
        } else {
            Err(SendError::Refused {
                reason: format!("the server announces limits that cannot be: {}", nonsense.join(", ")),
            })
        }
    }

    async fn ask_instance(&self) -> Result<(Instance, Vec<String>), SendError> {
        let mut answer = self.read(self.url(&["api", "v2", "instance"]), MAX_ANSWER_BYTES).await;
        if answer.as_ref().is_ok_and(|a| a.status == 404) {
            answer = self.read(self.url(&["api", "v1", "instance"]), MAX_ANSWER_BYTES).await;
        }
        let json = self.expect_json(answer, Deed::Again)?;
        Instance::read(&json).map_err(|reason| SendError::Refused { reason })
    }

    /// What the server said of itself, at most a day ago where it can be asked.
    async fn instance(&self, now: Timestamp) -> Instance {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.as_ref().filter(|k| now < k.until) {
            return known.instance.clone();
        }
        // It may take two requests. Together they get the time of one: a post is waiting.
        let asked = tokio::time::timeout(READ_TIMEOUT, self.ask_instance()).await.unwrap_or_else(|_| {
            Err(SendError::Retry { after: None, reason: format!("no answer within {} s", READ_TIMEOUT.as_secs()) })
        });
        let (instance, kept) = match asked {
            Ok((instance, nonsense)) => {
                if !nonsense.is_empty() {
                    tracing::error!(
                        server = %self.server,
                        nonsense = %nonsense.join(", "),
                        "the server announces limits that cannot be; the built-in ones are used instead"
                    );
                }
                (instance, LIMITS_KEPT)
            }
            Err(error) => {
                tracing::warn!(server = %self.server, %error, "the server does not tell its limits");
                // What it said yesterday is better than what we assume.
                (known.map(|k| k.instance).unwrap_or_default(), LIMITS_RETRY)
            }
        };
        let until = now.checked_add(kept).unwrap_or(Timestamp::MAX);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known { instance: instance.clone(), until });
        instance
    }

    async fn me(&self) -> Result<Me, SendError> {
        let known = self.me.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(me) => Ok(me),
            None => self.ask_me().await,
        }
    }

    /// Asks the server: also whether the token works.
    async fn ask_me(&self) -> Result<Me, SendError> {
        let answer = self.read(self.url(&["api", "v1", "accounts", "verify_credentials"]), MAX_ANSWER_BYTES).await;
        let json = self.expect_json(answer, Deed::Again)?;
        let text = |name: &str| json.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
        let (Some(id), Some(name)) = (text("id"), text("username").or_else(|| text("acct"))) else {
            return Err(SendError::Retry { after: None, reason: "the server does not say who we are".into() });
        };
        let me = Me { id, name };
        *self.me.lock().unwrap_or_else(PoisonError::into_inner) = Some(me.clone());
        Ok(me)
    }

    /// An address on the server. Ids are the server's words: as path segments they cannot become another path.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.server.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.client
            .request(method, url)
            .bearer_auth(self.token.expose_secret())
            .header(reqwest::header::ACCEPT, "application/json")
    }

    async fn read(&self, url: Url, max_bytes: usize) -> Result<Answer, Silence> {
        ask(self.request(Method::GET, url).timeout(READ_TIMEOUT), max_bytes).await
    }

    /// The JSON of a successful answer, or what it means that there is none.
    fn expect_json(&self, answer: Result<Answer, Silence>, deed: Deed) -> Result<Value, SendError> {
        let answer = answer.map_err(|silence| silence.into_error(deed))?;
        if !answer.is_success() {
            return Err(answer.into_error(deed, &self.token));
        }
        answer.json().ok_or_else(|| lost(deed, format!("the answer is no JSON (HTTP {})", answer.status)))
    }

    async fn publish(
        &self,
        claim: &Claim,
        instance: &Instance,
        wanted: StillWanted<'_>,
    ) -> Result<Published, SendError> {
        let post = claim.post();
        let (media_ids, warnings) = self.upload_all(&post.media, instance).await?;
        // The images took their time. Those of a post that is not wanted any more are swept up by the server.
        if !wanted() {
            return Err(SendError::stopped_in_time());
        }
        let mut body = json!({ "status": post.text, "visibility": self.visibility });
        if !media_ids.is_empty() {
            body["media_ids"] = json!(media_ids);
        }
        if let Some(language) = &post.language {
            body["language"] = json!(language);
        }
        say_plain(&mut body, instance);
        let request = self
            .request(Method::POST, self.url(&["api", "v1", "statuses"]))
            .header("Idempotency-Key", claim.key())
            .timeout(WRITE_TIMEOUT)
            .json(&body);
        let status = self.expect_json(ask(request, MAX_ANSWER_BYTES).await, Deed::Publish)?;
        published(&status, warnings).ok_or_else(|| SendError::Unsure { reason: "the answer is no status".into() })
    }

    /// Uploads what can be had in time. Nothing is posted yet, so an error here is never `Unsure`; and an image that
    /// cannot be had is a warning, not an error. What stops the post is what would stop the status as well.
    async fn upload_all(&self, media: &[Media], instance: &Instance) -> Result<(Vec<String>, Vec<String>), SendError> {
        let (mut ids, mut warnings) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + self.media_patience;
        for medium in media {
            if ids.len() >= instance.limits.max_media {
                let max = instance.limits.max_media;
                warnings.push(format!("left out `{}`: the server takes {max} images", shown(&medium.url)));
                continue;
            }
            let too_late = || Ok(Err("the time for the post's images is over".to_owned()));
            let uploaded = if Instant::now() < deadline {
                tokio::time::timeout_at(deadline, self.upload(medium, instance)).await.unwrap_or_else(|_| too_late())
            } else {
                too_late()
            };
            match uploaded? {
                Ok(id) => ids.push(id),
                Err(why) => {
                    let image = shown(&medium.url);
                    tracing::warn!(server = %self.server, %image, %why, "an image is left out");
                    warnings.push(format!("left out `{image}`: {why}"));
                }
            }
        }
        Ok((ids, warnings))
    }

    /// The outer error stops the post for now, the inner one is why this image is left out.
    async fn upload(&self, medium: &Media, instance: &Instance) -> Result<Result<String, String>, SendError> {
        let picture = match self.fetch(medium, instance).await {
            Ok(picture) => picture,
            Err(why) => return Ok(Err(why)),
        };
        // Mastodon answers 500 when a thumbnail could not be made, which may pass: the upload is tried twice.
        let mut why = String::new();
        for _ in 0..2 {
            let part = reqwest::multipart::Part::bytes(picture.bytes.clone())
                .file_name(picture.file_name)
                .mime_str(picture.mime)
                .expect("the types we tell images by are well-formed");
            let mut form = reqwest::multipart::Form::new().part("file", part);
            if let Some(alt) = medium.alt.as_deref().filter(|alt| !alt.trim().is_empty()) {
                form = form.text("description", media::fit_alt(alt, instance.limits.max_alt));
            }
            let request =
                self.request(Method::POST, self.url(&["api", "v2", "media"])).timeout(MEDIA_PATIENCE).multipart(form);
            let answer = match ask(request, MAX_ANSWER_BYTES).await {
                Ok(answer) => answer,
                Err(Silence::NotSent(reason)) => return Err(SendError::Retry { after: None, reason }),
                Err(silence @ Silence::NoAnswer(_)) => {
                    why = format!("the upload was not answered: {}", silence.into_words());
                    continue;
                }
            };
            if answer.is_success() {
                let id = answer.json().and_then(|json| Some(json.get("id")?.as_str()?.to_owned()));
                let Some(id) = id else {
                    return Ok(Err("the server's answer to the upload is no attachment".into()));
                };
                return if answer.status == 202 { self.processed(id).await } else { Ok(Ok(id)) };
            }
            match (answer.status, answer.into_error(Deed::Again, &self.token)) {
                // A token without `write:media` may still post.
                (403, SendError::Locked { reason }) => return Ok(Err(reason)),
                (401 | 400, locked @ SendError::Locked { .. }) => return Err(locked),
                (429 | 503, retry @ SendError::Retry { after: Some(_), .. }) => return Err(retry),
                (429, retry @ SendError::Retry { .. }) => return Err(retry),
                (status, SendError::Retry { reason, .. }) => {
                    why = reason;
                    if status < 500 {
                        break;
                    }
                }
                (_, error @ (SendError::Refused { .. } | SendError::Locked { .. } | SendError::Unsure { .. })) => {
                    return Ok(Err(error.to_string()));
                }
            }
        }
        Ok(Err(why))
    }

    async fn fetch(&self, medium: &Media, instance: &Instance) -> Result<media::Picture, String> {
        let url = Url::parse(&medium.url).map_err(|e| format!("its address is none: {e}"))?;
        let fetched = (self.images)(url, media::max_bytes(instance)).await?;
        media::look_at(fetched.body, instance)
    }

    /// Waits until an upload may be attached, for about a minute at most: then [`MEDIA_PATIENCE`] is over as well.
    async fn processed(&self, id: String) -> Result<Result<String, String>, SendError> {
        let mut pause = self.pace;
        for _ in 0..MAX_POLLS {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.pace * 20);
            match self.read(self.url(&["api", "v1", "media", &id]), MAX_ANSWER_BYTES).await {
                Ok(answer) if answer.status == 206 => {}
                Ok(answer) if answer.is_success() => return Ok(Ok(id)),
                Ok(answer) if answer.status == 429 => return Err(answer.into_error(Deed::Again, &self.token)),
                Ok(answer) if answer.status < 500 => return Ok(Err(answer.words(&self.token))),
                // A hiccup while waiting is not the end of the wait.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(Err("the server did not finish processing it".into()))
    }

    async fn look_for(&self, post: &Post, item_url: &str, since: Timestamp) -> Result<ReadBack, String> {
        let me = self.me().await.map_err(|e| e.to_string())?;
        let since = since.checked_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN);
        let wanted = Wanted::new(&post.text, item_url);
        let mut max_id: Option<String> = None;
        let mut alike = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut url = self.url(&["api", "v1", "accounts", &me.id, "statuses"]);
            url.query_pairs_mut().append_pair("limit", "40").append_pair("exclude_reblogs", "true");
            if let Some(id) = &max_id {
                url.query_pairs_mut().append_pair("max_id", id);
                tokio::time::sleep(self.pace).await;
            }
            let page =
                self.expect_json(self.read(url, MAX_PAGE_BYTES).await, Deed::Again).map_err(|e| e.to_string())?;
            let page = page.as_array().ok_or("the account's posts came as something else than a list")?;
            let mut oldest = None;
            for status in page {
                let (id, created) = id_and_time(status).ok_or("one of the account's posts has no id or no time")?;
                oldest = Some((id, created));
                if created < since || status.get("reblog").is_some_and(|r| !r.is_null()) {
                    continue;
                }
                let content = status.get("content").and_then(Value::as_str).unwrap_or_default();
                match wanted.in_content(content).ok_or("one of the account's posts is too large to be compared")? {
                    Likeness::Same => return Ok(found(status)),
                    // Perhaps this server changes more in a text than we know of: ask it for what it was sent.
                    Likeness::SameLink => {
                        if alike.len() < MAX_SOURCES
                            && self.source(id).await.is_some_and(|text| wanted.is_source(&text))
                        {
                            return Ok(found(status));
                        }
                        alike.push(status.get("url").and_then(Value::as_str).unwrap_or(id).to_owned());
                    }
                    Likeness::Other => {}
                }
            }
            match oldest {
                Some((id, _)) if max_id.as_deref() == Some(id) => {
                    return Err("the server gives the same page of posts again and again".into());
                }
                Some((id, created)) if created >= since => max_id = Some(id.to_owned()),
                Some(_) | None => {
                    return match alike.first() {
                        Some(post) => Err(format!("`{post}` has the item's link, but not this text")),
                        None => Ok(ReadBack::Absent),
                    };
                }
            }
        }
        Err(format!("the account has more than {} posts since the attempt", MAX_PAGES * 40))
    }

    async fn source(&self, id: &str) -> Option<String> {
        let answer = self.read(self.url(&["api", "v1", "statuses", id, "source"]), MAX_ANSWER_BYTES).await.ok()?;
        if !answer.is_success() {
            return None;
        }
        Some(answer.json()?.get("text")?.as_str()?.to_owned())
    }
}

/// GoToSocial and Pleroma read the text as Markdown where the account's owner set that as the default.
fn say_plain(body: &mut Value, instance: &Instance) {
    match instance.software {
        Software::GoToSocial | Software::Pleroma => body["content_type"] = json!("text/plain"),
        Software::Mastodon | Software::Takahe | Software::Mitra | Software::Unknown => {}
    }
}

/// A poster's address in a sentence of ours: bounded.
fn shown(url: &str) -> String {
    crate::text::one_line(url).chars().take(200).collect()
}

fn id_and_time(status: &Value) -> Option<(&str, Timestamp)> {
    Some((status.get("id")?.as_str()?, status.get("created_at")?.as_str()?.parse().ok()?))
}

fn found(status: &Value) -> ReadBack {
    match published(status, Vec::new()) {
        Some(published) => ReadBack::Found(published),
        None => ReadBack::Undecided("the post is there, but its id cannot be read".into()),
    }
}

fn published(status: &Value, warnings: Vec<String>) -> Option<Published> {
    let id = status.get("id").and_then(Value::as_str).filter(|id| !id.is_empty())?.to_owned();
    // `url` is the web page, but may be null; `uri` is the post's name in the federation and mostly leads there too.
    // It ends up in a link on our pages, so only an address of the web is one.
    let url = [status.get("url"), status.get("uri")]
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|text| Url::parse(text).is_ok_and(|u| matches!(u.scheme(), "http" | "https")))
        .map(str::to_owned);
    Some(Published { id: Some(id), url, warnings })
}

/// A repeat that brought no status says nothing about the first attempt. Credentials and the pause a server asks for
/// are another matter: they concern the account, and whoever hears of them knows that the claim was a repeat. Reading
/// back before such a pause is over would only be turned away as well.
fn still_open(error: SendError) -> SendError {
    match error {
        paused @ SendError::Retry { after: Some(_), .. } => paused,
        SendError::Retry { after: None, reason } | SendError::Refused { reason } | SendError::Unsure { reason } => {
            SendError::Unsure { reason: format!("whether the first attempt arrived is still open: {reason}") }
        }
        locked @ SendError::Locked { .. } => locked,
    }
}

#[async_trait]
impl Platform for Mastodon {
    async fn limits(&self, now: Timestamp) -> Limits {
        self.instance(now).await.limits
    }

    async fn identity(&self) -> Result<String, SendError> {
        // Asked anew: what was true once does not tell whether a refused token works again.
        let me = self.ask_me().await?;
        // The names' domain may differ from the server's; without it the host is the best there is.
        let domain = match self.ask_instance().await {
            Ok((instance, _)) => instance.domain,
            Err(_) => None,
        };
        let host = domain.unwrap_or_else(|| self.server.host_str().unwrap_or_default().to_owned());
        Ok(format!("@{}@{host}", me.name))
    }

    async fn send(&self, claim: &Claim, now: Timestamp, wanted: StillWanted<'_>) -> Result<Published, SendError> {
        if !claim.is_repeat() {
            let instance = self.instance(now).await;
            return self.publish(claim, &instance, wanted).await;
        }
        if !self.may_repeat(claim.first_use(), now).await {
            return Err(SendError::Unsure { reason: "a repeat could post it twice here".into() });
        }
        let instance = self.instance(now).await;
        self.publish(claim, &instance, wanted).await.map_err(still_open)
    }

    async fn may_repeat(&self, first_use: Timestamp, now: Timestamp) -> bool {
        // A first use in the future means that a clock was set back: then nobody knows how old the key is.
        let age = Duration::try_from(now.duration_since(first_use));
        age.is_ok_and(|age| age < KEY_KEPT) && self.instance(now).await.limits.keeps_keys
    }

    async fn read_back(&self, post: &Post, item_url: &str, since: Timestamp) -> ReadBack {
        self.look_for(post, item_url, since).await.unwrap_or_else(ReadBack::Undecided)
    }

    async fn amend(&self, id: &str, post: &Post) -> Result<Published, SendError> {
        let url = self.url(&["api", "v1", "statuses", id]);
        let status = self.expect_json(self.read(url.clone(), MAX_ANSWER_BYTES).await, Deed::Again)?;
        // What an edit leaves out is cleared on some servers and kept on others: so all of it is sent again.
        let media: Vec<&Value> =
            status.get("media_attachments").and_then(Value::as_array).map(|m| m.iter().collect()).unwrap_or_default();
        let mut body = json!({
            "status": post.text,
            "spoiler_text": status.get("spoiler_text").and_then(Value::as_str).unwrap_or_default(),
            "sensitive": status.get("sensitive").and_then(Value::as_bool).unwrap_or_default(),
            "media_ids": media.iter().filter_map(|m| m.get("id")).collect::<Vec<_>>(),
            "media_attributes": media
                .iter()
                .filter_map(|m| Some(json!({ "id": m.get("id")?, "description": m.get("description").and_then(Value::as_str)? })))
                .collect::<Vec<_>>(),
        });
        let language = post.language.as_deref().or_else(|| status.get("language").and_then(Value::as_str));
        if let Some(language) = language {
            body["language"] = json!(language);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(known) => say_plain(&mut body, &known.instance),
            None => say_plain(&mut body, &self.ask_instance().await?.0),
        }
        let request = self.request(Method::PUT, url).timeout(WRITE_TIMEOUT).json(&body);
        let status = self.expect_json(ask(request, MAX_ANSWER_BYTES).await, Deed::Again)?;
        published(&status, Vec::new())
            .ok_or_else(|| SendError::Retry { after: None, reason: "the answer is no status".into() })
    }

    async fn retract(&self, id: &str) -> Result<(), SendError> {
        let request = self.request(Method::DELETE, self.url(&["api", "v1", "statuses", id])).timeout(WRITE_TIMEOUT);
        let answer = ask(request, MAX_ANSWER_BYTES).await.map_err(|silence| silence.into_error(Deed::Again))?;
        if answer.is_success() || matches!(answer.status, 404 | 410) {
            Ok(())
        } else {
            Err(answer.into_error(Deed::Again, &self.token))
        }
    }
}

#[cfg(test)]
mod tests;
