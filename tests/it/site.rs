//! A web site on loopback that answers what it is told to, remembers who asked for what, and counts how many asked at
//! the same time.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use oyez::clock::{Clock, ManualClock};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What stands at a path.
#[derive(Clone, Default)]
pub struct Page {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Page {
    pub fn xml(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: vec![("content-type", "application/xml".into())], body: body.into() }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn says(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }
}

/// A request and what it was answered with.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub status: u16,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

#[derive(Default)]
struct Inner {
    clock: Option<Arc<ManualClock>>,
    pages: BTreeMap<String, Page>,
    asked: Vec<Asked>,
    now: usize,
    most: usize,
}

pub struct Site {
    base: String,
    inner: Arc<Mutex<Inner>>,
    server: JoinHandle<()>,
}

impl Site {
    pub async fn start(clock: Arc<ManualClock>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner { clock: Some(clock), ..Inner::default() }));
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, inner, server }
    }

    /// The address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What stands at a path (with its query) from now on.
    pub fn put(&self, path: &str, page: Page) {
        self.inner().pages.insert(path.to_owned(), page);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner().asked.clone()
    }

    /// How many were asking at the same time, at most.
    pub fn most_at_once(&self) -> usize {
        self.inner().most
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    {
        let mut inner = inner.lock().unwrap();
        inner.now += 1;
        inner.most = inner.most.max(inner.now);
    }
    // Long enough for another request of the same process to arrive, if there is one.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let mut inner = inner.lock().unwrap();
    inner.now -= 1;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let page = inner.pages.get(&path).cloned().unwrap_or(Page { status: 404, ..Page::default() });
    let asks = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let same = |condition: &str, validator: &str| {
        asks(condition).is_some_and(|asked| page.says(validator).is_some_and(|has| has == asked))
    };
    let is_known = same("if-none-match", "etag")
        || (asks("if-none-match").is_none() && same("if-modified-since", "last-modified"));
    let status = if is_known { 304 } else { page.status };
    inner.asked.push(Asked { path, headers: request.headers().clone(), status });
    // Not the time of this machine, which the service would take for a clock that is off.
    let now = inner.clock.as_ref().map(|clock| clock.now()).unwrap_or_default();
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut response = Response::builder().status(status).header("date", date);
    for (name, value) in &page.headers {
        response = response.header(*name, value);
    }
    response.body(if is_known { Body::empty() } else { Body::from(page.body) }).unwrap()
}

/// An entry of [`feed`]: id and title, published at `at`.
pub fn entry(base: &str, id: &str, title: &str, at: &str) -> String {
    format!(
        "<entry><id>{base}/{id}</id><title>{title}</title><link rel=\"alternate\" href=\"{base}/{id}\"/>\
         <published>{at}</published><updated>{at}</updated><content type=\"text\">Words about {id}.</content></entry>"
    )
}

/// An Atom feed.
pub fn feed(entries: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\"?><feed xmlns=\"http://www.w3.org/2005/Atom\"><id>urn:feed</id><title>A blog</title>\
         <updated>2026-11-01T00:00:00Z</updated>{}</feed>",
        entries.concat()
    )
}
