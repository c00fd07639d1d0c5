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
    let people = ask("200 OK", r#"{"ok":true}"#, &[]).ok();
    assert!(people.stdout.ends_with(" is well\n"), "{people:?}");
    let machines = ask("200 OK", r#"{"ok":true}"#, &["--json"]).ok();
    assert_eq!(machines.object(), json!({"ok": true}));
}

#[test]
fn one_that_is_not_well_says_why_and_the_exit_code_is_1() {
    let body = r#"{"ok":false,"reasons":["account mastodon: refuses its token"]}"#;
    let people = ask("503 Service Unavailable", body, &[]);
    assert_eq!(people.code, Some(1));
    assert!(people.stdout.contains("account mastodon: refuses its token"), "{people:?}");
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
