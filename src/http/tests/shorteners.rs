//! Link shorteners are strangers too: what they answer is an address at most, judged like any other, and costs little.
use super::*;
use crate::config::{Config, Env};
use crate::link::rewrite::{MAX_HOPS, Opened, Rewrite};
use crate::linker::Linker;

/// A linker for which `short.example.org` is a shortener that may answer with pages. That its pretend address is listed
/// is for the client alone to know.
fn linker() -> Linker {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("links.toml");
    let rule = "version = 1\n[[expand]]\nid = \"here\"\nwhy = \"a link shortener\"\nhosts = [\"short.example.org\"]\n\
                meta = true\nexample = [\"https://short.example.org/a\", \"https://short.example.org/a\"]\n";
    std::fs::write(&rules, rule).unwrap();
    let toml = format!("[links]\nrules = [\"{}\"]\n", rules.display());
    let config = Config::parse(&toml, "a test's oyez.toml", &Env::of([])).unwrap_or_else(|errors| panic!("{errors}"));
    Linker::new(&config.config).unwrap()
}

/// Names lead to 127.0.0.1, the pretend public internet, the first time, and to 127.0.0.2 from then on.
fn turncoat() -> Http {
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    Http::with_lookup(&network(&["127.0.0.1/32"], LONG), None, script).unwrap()
}

fn steady(timeout: Duration) -> Http {
    Http::with_lookup(&network(&["127.0.0.1/32"], timeout), None, Script::new(&[&["127.0.0.1"]])).unwrap()
}

async fn open(http: &Http, url: &Url) -> (Rewrite, Vec<Result<Opened, String>>) {
    let mut known = std::collections::BTreeMap::new();
    let rewrite = linker().open(http, url.as_str(), &mut known).await;
    (rewrite, known.into_values().collect())
}

#[tokio::test]
async fn where_a_shortener_leads_is_judged_and_never_asked() {
    let private = Server::start("127.0.0.2", |_| ok("secret")).await;
    let port = private.port;
    let refused = [
        format!("http://127.0.0.2:{port}/"),
        format!("//127.0.0.2:{port}/"),
        format!("http://2130706434:{port}/"),
        format!("http://0x7f.2:{port}/"),
        format!("http://[::ffff:127.0.0.2]:{port}/"),
        format!("http://[::127.0.0.2]:{port}/"),
        format!("/\\127.0.0.2:{port}/"),
        format!("\\\\127.0.0.2:{port}\\"),
        format!("http:/\\127.0.0.2:{port}/"),
        format!("ht\ttp://127.0.0.2:{port}/"),
        format!("http://127.0.0.2\t:{port}/"),
        format!("http://u:p@127.0.0.2:{port}/"),
        format!("http://www.nixos.org:80@127.0.0.2:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://inside.internal:{port}/"),
        "javascript:alert(1)".to_owned(),
        "data:text/html,x".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://".to_owned(),
        "http://%".to_owned(),
    ];
    let locations = refused.clone();
    let server = Server::start("127.0.0.1", move |path| match path.trim_start_matches('/').split_once('-') {
        Some(("head", n)) => to(302, &locations[n.parse::<usize>().unwrap()]),
        Some((_, n)) => {
            let target = locations[n.parse::<usize>().unwrap()].replace('"', "&quot;");
            let page = format!("<html><head><meta http-equiv=\"refresh\" content=\"0; url={target}\"></head></html>");
            with_body("Content-Type: text/html\r\n", page.as_bytes())
        }
        None => ok("x"),
    })
    .await;
    for (n, location) in refused.iter().enumerate() {
        for form in ["head", "page"] {
            let short = server.named("short.example.org", &format!("/{form}-{n}"));
            let (rewrite, _) = open(&steady(LONG), &short).await;
            let leads = rewrite.output.as_deref().filter(|_| rewrite.is_ready());
            assert_eq!(leads, None, "{form} {location:?}: {rewrite:?}");
        }
    }
    assert_eq!(private.contacts(), 0);
}

#[tokio::test]
async fn a_shortener_whose_name_changes_its_mind_gains_nothing() {
    let private = Server::start("127.0.0.2", |_| to(302, "https://example.org/secret")).await;
    let port = private.port;
    let server = Server::start("127.0.0.1", move |path| match path {
        "/same-port" => to(302, "/b"),
        _ => to(302, &format!("http://short.example.org:{port}/b")),
    })
    .await;
    for path in ["/same-port", "/other-port"] {
        let (rewrite, answers) = open(&turncoat(), &server.named("short.example.org", path)).await;
        assert!(!rewrite.is_ready(), "{rewrite:?}");
        let refused = |answer: &Result<Opened, String>| {
            answer.as_ref().is_err_and(|why| why.contains("127.0.0.2 is not a public address"))
        };
        assert!(answers.iter().any(refused), "{answers:?}");
    }
    assert_eq!((server.contacts(), private.contacts()), (2, 0));
}

#[tokio::test]
async fn chains_and_circles_of_shorteners_end() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/circle-a" => to(301, "/circle-b"),
        "/circle-b" => to(301, "/circle-a"),
        "/self" => to(301, "/self"),
        hop => to(301, &format!("/{}", hop.trim_start_matches('/').parse::<u32>().unwrap() + 1)),
    })
    .await;
    let mut contacts = 0;
    for path in ["/1", "/circle-a", "/self"] {
        let (rewrite, _) = open(&steady(LONG), &server.named("short.example.org", path)).await;
        assert!(!rewrite.is_ready(), "{path}: {rewrite:?}");
        assert!(server.contacts() - contacts <= MAX_HOPS + 1, "{path}: {} contacts", server.contacts() - contacts);
        contacts = server.contacts();
    }
}

#[tokio::test]
async fn a_shortener_costs_bounded_time_and_bytes() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";
    let server = Server::start("127.0.0.1", move |path| match path {
        "/flood" => Act::Flood(format!("{html}Content-Length: 1073741824\r\n\r\n").into_bytes()),
        "/flood-without-length" => Act::Flood(format!("{html}\r\n").into_bytes()),
        "/bomb" => with_body("Content-Type: text/html\r\nContent-Encoding: gzip\r\n", &gzip_of_zeros()),
        "/drip-head" => Act::Drip(b"HTTP/1.1 302 Found\r\nX: ".to_vec()),
        "/drip-body" => Act::Drip(format!("{html}\r\n").into_bytes()),
        "/huge-location" => to(302, &format!("https://example.org/{}", "a".repeat(100_000))),
        _ => Act::Stall(Vec::new()),
    })
    .await;
    let started = Instant::now();
    let http = steady(SHORT);
    for path in ["/flood", "/flood-without-length", "/bomb", "/drip-head", "/drip-body", "/huge-location", "/nothing"] {
        let (rewrite, answers) = open(&http, &server.named("short.example.org", path)).await;
        assert!(!rewrite.is_ready(), "{path}: {rewrite:?}");
        assert!(!matches!(answers[..], [Ok(Opened::To(_))]), "{path}: {answers:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert!(server.flooded() < 64 << 20, "{} bytes were taken", server.flooded());
}
