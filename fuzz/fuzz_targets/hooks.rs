//! The HTTP front door: `METHOD PATH`, header lines (`sign` stands for the right signature), an empty line, the body.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use oyez::clock::SystemClock;
use oyez::config::{Config, Env};
use oyez::progress::Progress;
use oyez::source::discourse::verify_signature;
use oyez::store::Store;
use oyez::web::hint::{HintReceiver, queue};
use oyez::web::{Hooks, health::Health, router};
use tower::ServiceExt as _;

const SECRET: &str = "my_lovely_secret_for_web_hook";

struct Door {
    runtime: tokio::runtime::Runtime,
    router: Router,
    hints: HintReceiver,
    reports: tokio::sync::mpsc::Receiver<oyez::web::hint::Report>,
    _dir: tempfile::TempDir,
}

thread_local! {
    static DOOR: RefCell<Door> = RefCell::new(Door::open());
}

impl Door {
    fn open() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = oyez::config::init::render(&"https://forum.example".parse().expect("an address"), "8", "news");
        let config = Config::parse(&config, "oyez.toml", &Env::default()).expect("what init writes").config;
        let (sender, hints) = queue(8);
        let (report, reports) = tokio::sync::mpsc::channel(8);
        let sources =
            vec![("news".into(), Some(SECRET.into())), ("bare".into(), None), ("empty".into(), Some("".into()))];
        let health = Health {
            store: Store::open(&dir.path().join("store")).expect("a store"),
            config: Arc::new(config),
            progress: Arc::new(Progress::default()),
            clock: Arc::new(SystemClock::new()),
            counted: None,
        };
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
            router: router(Hooks::new(sources, sender, report), health),
            hints,
            reports,
            _dir: dir,
        }
    }
}

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

fuzz_target!(|data: &[u8]| {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (method, path) = first.split_once(' ').unwrap_or(("POST", &first));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let Ok(uri) = path.parse::<Uri>() else { return };
    let path = uri.path().to_owned();
    if !path.starts_with('/') {
        return;
    }
    let mut request = Request::builder().method(method.clone()).uri(uri);
    let mut signatures = Vec::new();
    for line in lines.take(20) {
        let right = signature(body);
        let (name, value) = match line {
            b"sign" => (&b"x-discourse-event-signature"[..], right.as_bytes()),
            line => match line.iter().position(|byte| *byte == b':') {
                Some(at) => (&line[..at], &line[at + 1..]),
                None => continue,
            },
        };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            if name == "x-discourse-event-signature" {
                signatures.push(value.clone());
            }
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
    DOOR.with_borrow_mut(|door| {
        let answer = door.runtime.block_on(door.router.clone().oneshot(request)).expect("it cannot fail");
        let status = answer.status().as_u16();
        // Discourse switches a hook off at 404 and 410.
        if method == Method::POST && (path == "/hooks" || path.starts_with("/hooks/")) {
            assert!(matches!(status, 200 | 202 | 403 | 413), "{status} at {path}");
        } else {
            // A store that nothing runs beside is "failing" or not by its beats.
            assert!(matches!(status, 200 | 404 | 405 | 503), "{status} at {path}");
        }
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let signed = matches!(&signatures[..], [one] if one.to_str().is_ok_and(|one| verify_signature(SECRET.as_bytes(), body, one)));
        let to_news = method == Method::POST && path.starts_with("/hooks/") && status == 200;
        assert!(!to_news || signed, "believed without a signature: {path}");
        while let Some(hint) = door.hints.try_next() {
            assert!(to_news, "a hint from {method} {path}, {status}");
            assert_eq!(hint.source, "news");
            assert!(hint.topic != Some(0));
        }
        while let Ok(report) = door.reports.try_recv() {
            assert!(report.name.chars().count() <= oyez::web::hint::MAX_NAME_CHARS && !report.name.contains(char::is_control), "{:?}", report.name);
        }
    });
});
