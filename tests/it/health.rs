//! `oyez health`, as a container's health check calls it: against a listener that answers as told.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::program::{Printed, Program};

fn program(listen: SocketAddr) -> Program {
    Program::new(&format!("[service]\nstate = \"{{dir}}/state\"\nlisten = \"{listen}\"\n"))
}

/// Calls `oyez health ARGS` with a listener that answers one request with this.
#[track_caller]
fn ask(status: &str, body: &str, args: &[&str]) -> Printed {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let program = program(listener.local_addr().unwrap());
    let args: Vec<&str> = ["health"].into_iter().chain(args.iter().copied()).collect();
    let bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        reader.get_mut().write_all(bytes.as_bytes()).unwrap();
        // Until the program hangs up, so that its answer is not cut.
        let _ = reader.read(&mut [0]);
        first
    });
    let printed = program.oyez(&args);
    assert_eq!(server.join().unwrap(), "GET /health HTTP/1.1\r\n");
    printed
}

#[test]
fn a_service_that_is_well_is_said_to_be() {
    let people = ask("200 OK", r#"{"status":"ok","reasons":[]}"#, &[]).ok();
    assert!(people.stdout.ends_with(": ok\n"), "{people:?}");
    let machines = ask("200 OK", r#"{"status":"ok","reasons":[]}"#, &["--json"]).ok();
    assert_eq!(machines.object(), json!({"status": "ok", "reasons": []}));
}

#[test]
fn one_that_does_its_part_while_another_does_not_is_well_and_the_reason_is_said() {
    let body = r#"{"status":"degraded","reasons":["source news is failing"]}"#;
    let people = ask("200 OK", body, &[]).ok();
    assert!(people.stdout.ends_with(": degraded\n  source news is failing\n"), "{people:?}");
}

#[test]
fn one_that_is_not_well_says_why_and_the_exit_code_is_1() {
    let body = r#"{"status":"failing","reasons":["poll makes no progress"]}"#;
    let people = ask("503 Service Unavailable", body, &[]);
    assert_eq!(people.code, Some(1));
    assert!(people.stdout.ends_with(": failing\n  poll makes no progress\n"), "{people:?}");
    let machines = ask("503 Service Unavailable", body, &["--json"]);
    assert_eq!((machines.code, machines.object()), (Some(1), serde_json::from_str(body).unwrap()));
    let error: Value = serde_json::from_str(&machines.stderr).unwrap();
    assert!(error["error"].as_str().unwrap().contains("503"), "{error}");
}

#[test]
fn nobody_there_is_a_failure_with_a_hint() {
    // A port that is taken and not listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let printed = program(socket.local_addr().unwrap()).oyez(&["health"]);
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(1), ""));
    assert!(printed.stderr.contains("does not answer") && printed.stderr.contains("hint: "), "{printed:?}");
}

/// What a datagram says, within ten seconds.
fn hear(socket: &std::os::unix::net::UnixDatagram) -> String {
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer).expect("the supervisor is told");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_tells_its_supervisor_and_says_by_http_how_it_is() {
    let clock = std::sync::Arc::new(oyez::clock::SystemClock::new());
    let forum = oyez::pretend::forum::Forum::start(clock.clone()).await.unwrap();
    let server =
        oyez::pretend::mastodon::Mastodon::start(oyez::pretend::mastodon::Flavour::Mastodon, clock).await.unwrap();
    // A port that was free a moment ago: the service must have one that it can be asked at.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let toml = crate::program::toml(forum.base(), &server.url(), "window = \"1h\"");
    let program = Program::new(&toml.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    program.oyez(&["run", "--once"]).ok();
    let supervisor = std::os::unix::net::UnixDatagram::bind(program.path("notify")).unwrap();
    let mut command = program.command(&["run"]);
    command.env("NOTIFY_SOCKET", program.path("notify")).env("WATCHDOG_USEC", "200000");
    let mut service = crate::program::Service { child: command.spawn().unwrap() };
    assert_eq!(hear(&supervisor), "READY=1\nSTATUS=listening");
    assert_eq!(hear(&supervisor), "WATCHDOG=1");

    let well = program.oyez(&["health", "--json"]).ok().object();
    assert_eq!((&well["status"], &well["sources"]["announcements"]["status"]), (&json!("ok"), &json!("ok")), "{well}");
    assert!(well["loops"]["poll"]["seconds_since"].as_u64().unwrap() < 60, "{well}");
    forum.fail(Some(oyez::pretend::forum::Fault::Down));
    let mut seen = Value::Null;
    crate::program::wait_until("the failing source is told", std::time::Duration::from_secs(60), || {
        // Degraded is well enough: what is wrong is at the other end.
        seen = program.oyez(&["health", "--json"]).ok().object();
        seen["status"] == "degraded"
    });
    assert_eq!(seen["reasons"], json!(["source announcements is failing"]));
    assert!(!seen.to_string().contains(oyez::pretend::mastodon::TOKEN), "{seen}");

    // What is counted, under the names that the rules and the dashboard use.
    let metrics = http_get(port, "/metrics");
    for line in [
        "oyez_build_info{version=\"",
        "# TYPE oyez_polls_total counter",
        "oyez_polls_total{source=\"announcements\",result=\"failed\"} ",
        "oyez_items{state=\"held\"} 0",
        // A rule that looks for an increase misses the first one of a series that was not there at 0.
        "oyez_posts_total{account=\"mastodon\",result=\"failed\"} 0",
        "oyez_webhooks_total{result=\"refused\"} 0",
        "oyez_deliveries{account=\"mastodon\",state=\"failed\"} 0",
        "oyez_source_failures{source=\"announcements\"} ",
        "oyez_account_locked{account=\"mastodon\"} 0",
        "oyez_beat_timestamp_seconds{loop=\"poll\"} ",
        "oyez_poll_duration_seconds_bucket{le=\"0.05\"} ",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(line), "no `{line}` in {metrics}");
    }
    assert!(!metrics.contains(oyez::pretend::mastodon::TOKEN) && !metrics.contains("nan"), "{metrics}");

    let id = nix::unistd::Pid::from_raw(i32::try_from(service.child.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    while hear(&supervisor) != "STOPPING=1" {}
    assert!(service.child.wait().unwrap().success());
}

fn http_get(port: u16, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

/// The words in a file that look like metrics of ours.
fn metrics_named_in(path: &str) -> std::collections::BTreeSet<String> {
    let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let bare = words.filter(|word| word.starts_with("oyez_") || word.starts_with("process_"));
    bare.map(|word| ["_bucket", "_sum", "_count"].iter().fold(word, |word, end| word.trim_end_matches(end)).to_owned())
        .collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_there_are() {
    let known: Vec<&str> = oyez::metrics::NAMES.iter().map(|(name, _)| *name).collect();
    let mut used = std::collections::BTreeSet::new();
    for path in ["deploy/monitoring/alerts.yml", "deploy/monitoring/grafana-dashboard.json"] {
        let named = metrics_named_in(path);
        assert!(named.len() > 5, "{path}: {named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "{path} names what is not there: {unknown:?}");
        used.extend(named);
    }
    let manual = metrics_named_in("docs/operating.md");
    let untold: Vec<_> = known.iter().filter(|name| !manual.contains(**name)).collect();
    assert!(untold.is_empty(), "docs/operating.md does not say what these are: {untold:?}");
}
