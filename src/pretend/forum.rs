//! A Discourse on loopback: categories, topics, their lists, feeds and webhooks, and the ways in which a real one fails.
mod pages;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use crate::clock::Clock;

/// An edit by the author within this time after posting makes no new version.
const GRACE_PERIOD: Duration = Duration::from_secs(300);
/// The forum remembers this many requests.
const REQUESTS_MAX: usize = 10_000;

/// A running forum. It stops when dropped.
pub struct Forum {
    base: Url,
    world: Arc<Mutex<World>>,
    gate: Arc<watch::Sender<Gate>>,
    server: JoinHandle<()>,
}

/// Who writes.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Without `@`.
    pub username: String,
    /// The full name; may be empty.
    pub name: String,
    /// 0 to 4.
    pub trust_level: u8,
    /// Moderator.
    pub staff: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self { username: "ada".into(), name: "Ada Example".into(), trust_level: 2, staff: false }
    }
}

/// A topic with its first post. Fill in what matters and leave the rest to `Default`.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Given by the forum.
    pub id: u64,
    /// Plain text.
    pub title: String,
    /// HTML of the first post.
    pub cooked: String,
    /// Where; 0: the forum's first category.
    pub category: u64,
    /// Plain names.
    pub tags: Vec<String>,
    /// Who wrote it.
    pub writer: Writer,
    /// When; `None`: now.
    pub created: Option<Timestamp>,
    /// Last reply or edit.
    pub bumped: Option<Timestamp>,
    /// `updated_at` of the first post.
    pub updated: Option<Timestamp>,
    /// Of the first post.
    pub version: u64,
    /// `regular`, `banner`, `private_message`.
    pub archetype: String,
    /// Pinned in its category.
    pub pinned: bool,
    /// Nobody can answer.
    pub closed: bool,
    /// Not in any list, but readable by its address.
    pub unlisted: bool,
    /// The first post was hidden by flags.
    pub hidden: bool,
    /// 404 for everybody.
    pub deleted: bool,
    /// Absolute.
    pub image_url: Option<String>,
    /// The address a link topic is about.
    pub featured_link: Option<String>,
    /// Answers to it.
    pub replies: u64,
}

impl Default for Topic {
    fn default() -> Self {
        Self {
            id: 0,
            title: "An announcement".into(),
            cooked: "<p>There is news.</p>".into(),
            category: 0,
            tags: Vec::new(),
            writer: Writer::default(),
            created: None,
            bumped: None,
            updated: None,
            version: 1,
            archetype: "regular".into(),
            pinned: false,
            closed: false,
            unlisted: false,
            hidden: false,
            deleted: false,
            image_url: None,
            featured_link: None,
            replies: 0,
        }
    }
}

/// A way to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 429 of the middleware: plain text.
    SlowDownText {
        /// `Retry-After`, in seconds.
        retry_after_s: u64,
    },
    /// 429 of the application: JSON.
    SlowDownJson {
        /// `Retry-After`, in seconds.
        retry_after_s: u64,
    },
    /// 403 with a page that wants a browser.
    Challenge,
    /// 200 with a page.
    Page,
    /// The same challenge, for JSON only: the feeds are served.
    JsonRefused,
    /// 403 `not_logged_in`.
    MembersOnly,
    /// 503 with a page.
    Down,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When, by the forum's clock.
    pub at: Timestamp,
    /// `GET`…
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A signed event, ready to be sent.
#[derive(Debug, Clone)]
pub struct Event {
    /// To be sent with it.
    pub headers: Vec<(&'static str, String)>,
    /// Exact bytes: the signature is over these.
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Category {
    id: u64,
    slug: String,
    name: String,
    parent: Option<u64>,
    definition: u64,
    private: bool,
}

#[derive(Debug, Clone)]
struct Raw {
    path: String,
    body: Vec<u8>,
    content_type: String,
}

/// Whether requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
    /// Closed, and a request waits.
    Held,
}

struct World {
    base: Url,
    clock: Arc<dyn Clock>,
    categories: Vec<Category>,
    topics: Vec<Topic>,
    next_topic: u64,
    next_category: u64,
    events: u64,
    fault: Option<Fault>,
    /// By path, without the query.
    faults: Vec<(String, Fault)>,
    raw: Vec<Raw>,
    api_key: Option<String>,
    seen: Vec<Seen>,
}

impl Forum {
    /// Starts a forum on a free port of 127.0.0.1 with one category, "Announcements" (8), and its definition topic.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base = format!("http://{}/", listener.local_addr()?);
        let base: Url = base.parse().map_err(std::io::Error::other)?;
        let world = Arc::new(Mutex::new(World {
            base: base.clone(),
            clock,
            categories: Vec::new(),
            topics: Vec::new(),
            next_topic: 100,
            next_category: 8,
            events: 83_629,
            fault: None,
            faults: Vec::new(),
            raw: Vec::new(),
            api_key: None,
            seen: Vec::new(),
        }));
        let gate = Arc::new(watch::Sender::new(Gate::Open));
        let router = Router::new().fallback(answer).with_state((world.clone(), gate.clone()));
        let server = tokio::spawn(async move {
            // It ends only with the task, which the handle aborts; an error of one connection is that connection's.
            let _ended = axum::serve(listener, router).await;
        });
        let forum = Self { base, world, gate, server };
        forum.add_category("Announcements", "announcements", None);
        Ok(forum)
    }

    /// Where it is.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A further category with its pinned "About the … category" topic. `parent`: it is a sub-category.
    pub fn add_category(&self, name: &str, slug: &str, parent: Option<u64>) -> u64 {
        let mut world = self.world();
        let id = world.next_category;
        world.next_category += 1;
        let definition = world.publish(Topic {
            title: format!("About the {name} category"),
            cooked: "<p>What belongs here.</p>".into(),
            category: id,
            pinned: true,
            writer: Writer { username: "system".into(), name: "system".into(), trust_level: 4, staff: true },
            ..Topic::default()
        });
        let (name, slug) = (name.to_owned(), slug.to_owned());
        world.categories.push(Category { id, slug, name, parent, definition, private: false });
        id
    }

    /// Only members may see this category from now on.
    pub fn make_private(&self, category: u64) {
        if let Some(c) = self.world().categories.iter_mut().find(|c| c.id == category) {
            c.private = true;
        }
    }

    /// Makes a category a sub-category of `parent`, or one of its own.
    pub fn put_below(&self, category: u64, parent: Option<u64>) {
        if let Some(c) = self.world().categories.iter_mut().find(|c| c.id == category) {
            c.parent = parent;
        }
    }

    /// Posts a topic and tells its id.
    pub fn publish(&self, topic: Topic) -> u64 {
        self.world().publish(topic)
    }

    /// Posts a topic of these words by the usual writer.
    pub fn announce(&self, title: &str, cooked: &str) -> u64 {
        self.publish(Topic { title: title.to_owned(), cooked: cooked.to_owned(), ..Topic::default() })
    }

    /// Changes anything about a topic behind the forum's back: no version, no new times.
    pub fn change(&self, id: u64, change: impl FnOnce(&mut Topic)) {
        if let Some(topic) = self.world().topics.iter_mut().find(|t| t.id == id) {
            change(topic);
        }
    }

    /// The author edits title or body. Within five minutes of posting that makes no new version, as on a real forum.
    pub fn edit(&self, id: u64, change: impl FnOnce(&mut Topic)) {
        let now = self.now();
        self.change(id, |topic| {
            change(topic);
            let age = topic.created.map_or(Duration::MAX, |c| now.duration_since(c).unsigned_abs());
            if age > GRACE_PERIOD {
                topic.version += 1;
            }
            topic.updated = Some(now);
            if topic.replies == 0 {
                topic.bumped = Some(now);
            }
        });
    }

    /// Somebody answers: the topic moves up in the list by activity.
    pub fn reply(&self, id: u64) {
        let now = self.now();
        self.change(id, |topic| {
            topic.replies += 1;
            topic.bumped = Some(now);
        });
    }

    /// The forum renders the post anew: `updated_at` moves, nothing else.
    pub fn rebake(&self, id: u64) {
        let now = self.now();
        self.change(id, |topic| topic.updated = Some(now));
    }

    /// Deleted: 404 from now on.
    pub fn delete(&self, id: u64) {
        self.change(id, |topic| topic.deleted = true);
    }

    /// Moved to another category.
    pub fn move_to(&self, id: u64, category: u64) {
        self.change(id, |topic| topic.category = category);
    }

    /// Fails like this from now on; `None`: is well again.
    pub fn fail(&self, fault: Option<Fault>) {
        self.world().fault = fault;
    }

    /// Fails like this for one path (without its query) from now on; `None`: answers it again.
    pub fn fail_at(&self, path: &str, fault: Option<Fault>) {
        let mut world = self.world();
        world.faults.retain(|(at, _)| at != path);
        world.faults.extend(fault.map(|fault| (path.to_owned(), fault)));
    }

    /// From now on requests wait, until [`Forum::release`]: each is answered with what is there then.
    pub fn hold(&self) {
        self.gate.send_replace(Gate::Closed);
    }

    /// Answers the held requests, and the later ones at once.
    pub fn release(&self) {
        self.gate.send_replace(Gate::Open);
    }

    /// Waits until a request is being held.
    pub async fn held(&self) {
        // The sender lives in `self`: it cannot be gone.
        let _ = self.gate.subscribe().wait_for(|gate| *gate == Gate::Held).await;
    }

    /// Serves these bytes for this path (with its query, or without for any query) instead of what it would say itself.
    pub fn serve(&self, path: &str, body: impl Into<Vec<u8>>, content_type: &str) {
        let mut world = self.world();
        world.raw.retain(|r| r.path != path);
        world.raw.push(Raw { path: path.to_owned(), body: body.into(), content_type: content_type.to_owned() });
    }

    /// Shows itself only to those who come with this key.
    pub fn require_api_key(&self, key: &str) {
        self.world().api_key = Some(key.to_owned());
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.world().seen.clone()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.world().seen.clear();
    }

    /// The address of a topic, for people.
    pub fn topic_url(&self, id: u64) -> String {
        let world = self.world();
        let slug = world.topics.iter().find(|t| t.id == id).map(|t| pages::slug(&t.title)).unwrap_or_default();
        format!("{}t/{slug}/{id}", self.base)
    }

    /// The event (`topic_created`, `topic_edited`, `topic_destroyed`, `post_created`…) a hook with this secret gets for
    /// a topic, or for its first post if the name begins with `post`.
    pub fn event(&self, event: &str, id: u64, secret: &str) -> Event {
        let mut world = self.world();
        world.events += 1;
        let kind = if event.starts_with("post") { "post" } else { "topic" };
        let body = match world.topics.iter().find(|t| t.id == id) {
            Some(topic) => world.event_body(kind, topic),
            None => serde_json::json!({ "ping": "OK" }),
        };
        let body = body.to_string().into_bytes();
        Event {
            headers: vec![
                ("content-type", "application/json".into()),
                ("user-agent", "Discourse/2026.11.0".into()),
                ("x-discourse-instance", self.base.as_str().trim_end_matches('/').to_owned()),
                ("x-discourse-event-id", world.events.to_string()),
                ("x-discourse-event-type", kind.into()),
                ("x-discourse-event", event.to_owned()),
                ("x-discourse-event-signature", crate::source::discourse::sign(secret.as_bytes(), &body)),
            ],
            body,
        }
    }

    /// Sends an event to a hook and tells the status of its answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn deliver(&self, client: &reqwest::Client, hook: &Url, event: Event) -> reqwest::Result<u16> {
        let mut request = client.post(hook.clone()).body(event.body);
        for (name, value) in event.headers {
            request = request.header(name, value);
        }
        Ok(request.send().await?.status().as_u16())
    }

    fn now(&self) -> Timestamp {
        self.world().clock.now()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no holder of this lock can panic")
    }
}

impl Drop for Forum {
    fn drop(&mut self) {
        self.release();
        self.server.abort();
    }
}

impl World {
    fn publish(&mut self, mut topic: Topic) -> u64 {
        let now = self.clock.now();
        topic.id = self.next_topic;
        self.next_topic += 1;
        if topic.category == 0 {
            topic.category = self.categories.first().map_or(8, |c| c.id);
        }
        let created = topic.created.unwrap_or(now);
        topic.created = Some(created);
        topic.bumped = topic.bumped.or(Some(created));
        topic.updated = topic.updated.or(Some(created));
        let id = topic.id;
        self.topics.push(topic);
        id
    }
}

/// Waits while the gate is closed.
async fn pass(gate: &watch::Sender<Gate>) {
    gate.send_if_modified(|gate| {
        let first = *gate == Gate::Closed;
        if first {
            *gate = Gate::Held;
        }
        first
    });
    // The caller has the sender: it cannot be gone.
    let _ = gate.subscribe().wait_for(|gate| *gate == Gate::Open).await;
}

type Shared = (Arc<Mutex<World>>, Arc<watch::Sender<Gate>>);

async fn answer(State((world, gate)): State<Shared>, request: Request) -> Response {
    pass(&gate).await;
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let mut world = world.lock().expect("no holder of this lock can panic");
    let at = world.clock.now();
    if world.seen.len() < REQUESTS_MAX {
        world.seen.push(Seen {
            at,
            method: request.method().to_string(),
            path: path.clone(),
            headers: headers.clone(),
        });
    }
    let page = world.answer(&path, &headers);
    let mut response = Response::builder()
        .status(page.status)
        .header("content-type", page.content_type)
        .header("cache-control", "no-cache, no-store")
        .header("date", pages::http_date(at));
    if let Some(seconds) = page.retry_after_s {
        response = response.header("retry-after", seconds);
    }
    if let Some(location) = page.location {
        response = response.header("location", location);
    }
    response.body(Body::from(page.body)).expect("the parts of a page are legal headers")
}
