//! Secrets are planted everywhere one can be, everything that can fail is made to, and all that the real program writes is
//! searched for them: its log at its most talkative, answers by HTTP and on the socket, stdout, stderr, and what it stores.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oyez::clock::SystemClock;
use oyez::pretend::forum::Forum;
use oyez::pretend::mastodon::{Flavour, Mastodon, TOKEN};
use serde_json::Value;

use crate::program::{Program, Service, wait_until};

const WRONG_TOKEN: &str = "pl4nted-unw3lcome-tok3n";
const LOST_TOKEN: &str = "pl4nted-t0ken-for-nobody";
const TLS_TOKEN: &str = "pl4nted-t0ken-behind-tls";
const API_KEY: &str = "pl4nted-api-k3y";
const TLS_KEY: &str = "pl4nted-api-k3y-behind-tls";
const LOST_KEY: &str = "pl4nted-api-k3y-for-nobody";
const HOOK: &str = "pl4nted-h00k-s3cret";
const PLANTED: [&str; 8] = [TOKEN, WRONG_TOKEN, LOST_TOKEN, TLS_TOKEN, API_KEY, TLS_KEY, LOST_KEY, HOOK];

#[track_caller]
fn holds_none(what: &str, bytes: &[u8], planted: &[&str]) {
    for secret in planted {
        let at = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
        if let Some(at) = at {
            let around = &bytes[at.saturating_sub(300)..bytes.len().min(at + 60)];
            panic!("{what} tells `{secret}`: …{}…", String::from_utf8_lossy(around));
        }
    }
}

/// What a server answers to these bytes, up to its end.
fn answer(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Every file below, whole. How many there were.
fn files_hold_none(dir: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files += files_hold_none(&path);
        } else if path.is_file() {
            holds_none(&path.display().to_string(), &std::fs::read(&path).unwrap(), &PLANTED);
            files += 1;
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failure_makes_the_service_tell_a_secret() {
    let clock = Arc::new(SystemClock::new());
    let forum = Forum::start(clock.clone()).await.unwrap();
    let server = Mastodon::start(Flavour::Mastodon, clock).await.unwrap();
    forum.require_api_key(API_KEY);
    // A port that is taken and not listened on refuses; one that answers plain HTTP is no TLS.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", nobody.local_addr().unwrap());
    let no_tls = format!("https://{}", server.address());
    let source = |name: &str, url: &str, key: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"discourse\"\nurl = \"{url}\"\ncategory = \"announcements\"\n\
             every = \"1s\"\napi-key = {{ file = \"{{dir}}/{key}\" }}\napi-user = \"crier\"\n"
        )
    };
    let account = |name: &str, url: &str| {
        format!(
            "[[account]]\nname = \"{name}\"\nplatform = \"mastodon\"\nserver = \"{url}\"\n\
             token = {{ file = \"{{dir}}/{name}\" }}\n"
        )
    };
    let toml = [
        "[service]\nstate = \"{dir}/state\"\nlisten = \"127.0.0.1:0\"\n[network]\ntimeout = \"5s\"\n".to_owned(),
        source("announcements", forum.base().as_str(), "key"),
        "webhook-secret = { file = \"{dir}/hook\" }\n".to_owned(),
        source("no-tls", &no_tls, "tls-key"),
        source("nobody", &nobody, "lost-key"),
        account("good", server.url().as_str()),
        account("unwelcome", server.url().as_str()),
        account("away", &nobody),
        account("plain", &no_tls),
        "[hold]\nwindow = \"1h\"\nsettle = \"0s\"\nsettle-at-most = \"0s\"\nquiet-hours = \"none\"\nspacing = \"0s\"\n\
         at-most = \"none\"\n"
            .to_owned(),
    ];
    let program = Program::new(&toml.concat());
    let secrets = [
        ("key", API_KEY),
        ("tls-key", TLS_KEY),
        ("lost-key", LOST_KEY),
        ("hook", HOOK),
        ("good", TOKEN),
        ("unwelcome", WRONG_TOKEN),
        ("away", LOST_TOKEN),
        ("plain", TLS_TOKEN),
    ];
    for (name, secret) in secrets {
        std::fs::write(program.path(name), secret).unwrap();
    }
    program.oyez(&["run", "--once"]).ok();
    let topic = forum.announce("News 1", "<p>There is news.</p>");
    program.oyez(&["run", "--once", "--all"]).ok();
    program.oyez(&["approve", "1", "--now"]).ok();

    let log = std::fs::File::create(program.path("service.log")).unwrap();
    let mut command = program.command(&["run"]);
    command.env("OYEZ_LOG", "trace").env("OYEZ_LOG_FORMAT", "json").env("RUST_LOG", "trace");
    let service = Service { child: command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap() };
    let mut listen = String::new();
    wait_until("the service says where it listens", Duration::from_secs(60), || {
        let lines = program.log();
        let objects = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        listen = objects.filter_map(|object| object["listen"].as_str().map(str::to_owned)).next().unwrap_or_default();
        !listen.is_empty()
    });
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        answer(TcpStream::connect(&listen).unwrap(), &request)
    };
    // Everything has failed in its own way, and what can work has worked.
    let mut shown = Value::Null;
    wait_until("all failures are there", Duration::from_secs(60), || {
        let health = get("/health");
        shown = serde_json::from_str(health.split_once("\r\n\r\n").unwrap().1).unwrap();
        holds_none("/health", health.as_bytes(), &PLANTED);
        let tried = |account: &str| get("/metrics").contains(&format!("oyez_posts_total{{account=\"{account}\","));
        shown["accounts"]["unwelcome"]["status"] == "stopped"
            && ["no-tls", "nobody"].iter().all(|source| shown["sources"][source]["status"] == "failing")
            && ["good", "away", "plain"].iter().all(|account| tried(account))
    });
    assert_eq!(shown["sources"]["announcements"]["status"], "ok", "the forum takes the key: {shown}");
    assert_eq!(server.created().len(), 1, "the server takes the token");

    let post = |secret: &str| {
        let event = forum.event("topic_edited", topic, secret);
        let headers: String = event.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let body = String::from_utf8(event.body).unwrap();
        let length = body.len();
        let request = format!(
            "POST /hooks/announcements HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        answer(TcpStream::connect(&listen).unwrap(), &request)
    };
    let (signed, forged) = (post(HOOK), post("another-secret"));
    assert!(signed.starts_with("HTTP/1.1 200 ") && forged.starts_with("HTTP/1.1 403 "), "{signed}{forged}");
    holds_none("the hook", forged.as_bytes(), &PLANTED);
    for path in ["/health", "/metrics"] {
        holds_none(path, get(path).as_bytes(), &PLANTED);
    }
    for (request, last) in [
        (r#"{"do":"show","item":"1"}"#, r#""end""#),
        (r#"{"do":"queue","all":true}"#, r#""end""#),
        (r#"{"do":"export"}"#, r#""end""#),
        (r#"{"do":"show","item":"99"}"#, "\"error\""),
        ("what?", "\"error\""),
    ] {
        let said = answer(std::os::unix::net::UnixStream::connect(program.socket()).unwrap(), &format!("{request}\n"));
        assert!(said.lines().last().unwrap().contains(last), "{request}: {said}");
        holds_none(request, said.as_bytes(), &PLANTED);
    }
    for args in [
        &["queue", "--all"][..],
        &["queue", "--all", "--json"],
        &["show", "1", "--json"],
        &["log", "--json"],
        &["check", "--online", "-vv"],
        &["check", "--online", "--json"],
        &["export"],
        &["backup", "copy"],
    ] {
        let said = program.oyez(args);
        holds_none(args[0], said.stdout.as_bytes(), &PLANTED);
        holds_none(args[0], said.stderr.as_bytes(), &PLANTED);
    }
    assert!(service.terminate().0.success());

    let log = program.log();
    // The search would see what it looks for: the lines of the lowest level and of the HTTP client are there.
    for (what, there) in [
        ("the lowest level", log.contains("\"level\":\"TRACE\"")),
        ("the HTTP client", log.contains("hyper")),
        ("the refused token", log.contains("unwelcome")),
        ("the forged webhook", program.oyez(&["log", "--json"]).ok().stdout.contains("webhook-refused")),
    ] {
        assert!(there, "nothing of {what} was written");
    }
    holds_none("the log", log.as_bytes(), &PLANTED);
    for dir in ["state", "copy"] {
        assert!(files_hold_none(&program.path(dir)) > 0);
    }
}

/// Whoever puts a password into an address, however wrong the rest of it is, does not find it in the journal of the system.
#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let password = "pl4nted-passw0rd";
    for address in [
        "https://crier:{}@forum.example/",
        "ftp://crier:{}@forum.example/",
        "https://crier:{}@forum.example:door/",
        "https://crier:{}@/",
        "crier:{}@forum.example",
        "//crier:{}@forum.example",
    ] {
        let address = address.replace("{}", password);
        let program = Program::new(&format!(
            "[[source]]\nname = \"a\"\ntype = \"discourse\"\nurl = \"{address}\"\ncategory = \"c\"\n[[source]]\nname = \"f\"\n\
             type = \"feed\"\nurl = \"{address}\"\n[[account]]\nname = \"m\"\nplatform = \"mastodon\"\nserver = \"{address}\"\n\
             token = {{ env = \"TOKEN\" }}\n"
        ));
        for args in [&["check"][..], &["check", "--json"], &["run"]] {
            let said = program.oyez(args);
            assert_eq!(said.code, Some(2), "{address}: {said:?}");
            for key in ["url", "server"] {
                assert!(said.stderr.contains(key) || said.stdout.contains(key), "{said:?}");
            }
            holds_none(args[0], said.stdout.as_bytes(), &[password]);
            holds_none(args[0], said.stderr.as_bytes(), &[password]);
        }
    }
}

/// A token that was written where the name of its variable belongs.
#[test]
fn a_token_in_the_place_of_a_name_or_file_is_not_repeated() {
    let token = "pl4nted-t0ken_Abc";
    let check = |place: &str, name: &str| {
        let account = "[[account]]\nname = \"m\"\nplatform = \"mastodon\"\nserver = \"https://a.example/\"\n";
        let said = Program::new(&format!("{account}token = {{ {place} = \"{name}\" }}\n")).oyez(&["check"]);
        assert!(said.code != Some(0), "{said:?}");
        holds_none("stdout", said.stdout.as_bytes(), &[token]);
        holds_none("stderr", said.stderr.as_bytes(), &[token]);
        said.stdout + &said.stderr
    };
    for (place, said) in [
        ("env", "not the name of a variable"),
        ("file", "the file named there: No such file"),
        ("credential", "$CREDENTIALS_DIRECTORY is not set"),
    ] {
        let all = check(place, token);
        assert!(all.contains(said), "{place}: {all}");
    }
    // What is a place is named.
    for (place, name) in [("env", "NO_SUCH_TOKEN"), ("file", "/no/such/token"), ("file", "../no-such-token")] {
        let all = check(place, name);
        assert!(all.contains(name), "{place}: {all}");
    }
}
