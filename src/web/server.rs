//! Serves a router with limits that a stranger cannot stretch: connections, time for a request's head, time altogether.
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The limits of one listener.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections at one time; the next ones wait in the system's queue.
    connections: usize,
    /// From the first byte of a request (or the end of the last one) to the end of its head.
    head: Duration,
    /// One connection may be used for this long; then it ends with the request it is in.
    life: Duration,
    /// What runs may take this long to end after that, and at shutdown.
    goodbye: Duration,
}

const LIMITS: Limits = Limits {
    connections: 64,
    head: Duration::from_secs(10),
    life: Duration::from_secs(120),
    goodbye: Duration::from_secs(10),
};

/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// After an accept that failed because the system has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `shutdown` is done; then takes no more connections, lets running requests end within ten seconds, and
/// returns. HTTP/1 without TLS: a proxy in front has that.
///
/// # Errors
/// None today; the listener's own failures are waited out.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    serve_within(LIMITS, listener, router, shutdown).await
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let free = Arc::new(Semaphore::new(limits.connections));
    let (closing, closed) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &free) => accepted,
            // Keeps the set small; a connection that panicked has been told about by the panic itself.
            Some(_) = tasks.join_next() => continue,
        };
        match accepted {
            Ok((stream, permit)) => {
                let (router, closed) = (router.clone(), closed.clone());
                tasks.spawn(async move {
                    connection(limits, stream, router, closed).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Nobody listens any more: then there is nobody to tell.
    let _ = closing.send(true);
    let _ = tokio::time::timeout(limits.goodbye, async { while tasks.join_next().await.is_some() {} }).await;
    tasks.shutdown().await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn connection(limits: Limits, stream: TcpStream, router: Router, mut closed: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log(ended),
        () = sleep(limits.life) => {}
        // An error means that the server is gone, which is a shutdown too.
        _ = closed.wait_for(|closed| *closed) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => log(ended),
        () = sleep(limits.goodbye) => {}
    }
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    const MS: Duration = Duration::from_millis(1);

    /// A server with short limits; dropping the sender shuts it down.
    async fn start(limits: Limits) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "hi")).route(
            "/slow",
            get(async || {
                sleep(50 * MS).await;
                "slow"
            }),
        );
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            serve_within(limits, listener, router, async { drop(stopped.await) }).await.unwrap();
        });
        (address, stop, task)
    }

    fn limits() -> Limits {
        Limits { connections: 4, head: 5_000 * MS, life: 5_000 * MS, goodbye: 5_000 * MS }
    }

    async fn ask(address: std::net::SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // The other side may cut the line: what came before is the answer.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_slow_head_is_cut_and_makes_room() {
        let (address, _stop, _) = start(Limits { connections: 1, head: 50 * MS, ..limits() }).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET / HTT").await.unwrap();
        let started = Instant::now();
        let answer = ask(address, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(started.elapsed() < limits().life, "it was not the head's limit that made room");
    }

    #[tokio::test]
    async fn an_idle_connection_is_cut() {
        let (address, _stop, _) = start(Limits { head: 50 * MS, ..limits() }).await;
        let started = Instant::now();
        let answer = ask(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.ends_with("hi"), "{answer}");
        assert_eq!(ask(address, b"").await, "");
        assert!(started.elapsed() < limits().life, "it was not the idle limit that cut it");
    }

    #[tokio::test]
    async fn a_long_life_ends() {
        let (address, _stop, _) = start(Limits { life: 50 * MS, ..limits() }).await;
        assert_eq!(ask(address, b"").await, "");
        assert!(ask(address, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.ends_with("slow"));
    }

    #[tokio::test]
    async fn a_huge_head_is_refused() {
        let (address, _stop, _) = start(limits()).await;
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    }

    #[tokio::test]
    async fn a_shutdown_lets_the_running_request_end() {
        let (address, stop, task) = start(limits()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let idle = TcpStream::connect(address).await.unwrap();
        // Let the server read the request before it is told to stop.
        assert!(ask(address, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ends_with("hi"));
        stop.send(()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("slow"), "{answer}");
        task.await.unwrap();
        drop(idle);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
