//! The Unix socket: `oyez veto 42` asks the running service, in lines of JSON.
//!
//! One request a connection: a line with [`crate::acts::Request`], then lines back, each a [`Line`], the last one `end` or
//! `error`. Who asks is taken from the socket's peer credentials, never from the request.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::acts::{Desk, Failure, Request};

/// In bytes: an edit is at most a post; nothing a person types comes near.
const MAX_REQUEST_BYTES: u64 = 1 << 20;
/// An answer that takes longer is not coming: a service that is frozen or has no processor left. What copies or rewrites
/// the store is waited for.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// A client that says nothing for this long is hung up on.
const PATIENCE: Duration = Duration::from_secs(10);

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// A document of the answer.
    Document(Value),
    /// It is complete.
    End,
    /// It failed, after the documents that came before.
    Error(Failure),
}

/// Listens on `path` (0660, so that a group can be given the right to act). A socket nobody answers on any more, left by
/// a crash, is replaced; one that is answered on is an error.
pub fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    if path.exists() {
        use std::os::unix::fs::FileTypeExt;
        if !std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            anyhow::bail!(
                "`{}` is there already, and is no socket: `service.socket` must name a place of its own",
                path.display()
            );
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => anyhow::bail!("another oyez already listens on `{}`", path.display()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot tell who listens on `{}`", path.display()));
            }
        }
        std::fs::remove_file(path).with_context(|| format!("cannot remove the stale socket `{}`", path.display()))?;
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen on `{}`", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the permissions of `{}`", path.display()))?;
    Ok(listener)
}

/// Answers until `stop` resolves; then waits for nobody: an unfinished client sees the line cut and asks again.
pub async fn serve(listener: UnixListener, desk: Arc<Desk>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let desk = Arc::clone(&desk);
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, &desk).await {
                            tracing::debug!("a client of the socket went away: {error:#}");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept on the socket: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

async fn answer(stream: UnixStream, desk: &Arc<Desk>) -> anyhow::Result<()> {
    let uid = stream.peer_cred().context("cannot read the peer's credentials")?.uid();
    let actor = format!("cli:{}", user_name(uid));
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(MAX_REQUEST_BYTES));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await.context("no request came")??;
    let request: Result<Request, _> = serde_json::from_str(&line);
    let (sender, mut documents) = mpsc::channel::<Line>(64);
    let desk = Arc::clone(desk);
    // The desk's work is short but synchronous, and an export is long: neither belongs on the async threads.
    let work = tokio::task::spawn_blocking(move || {
        let end = match request {
            Ok(request) => {
                let mut sink = |document: Value| {
                    sender.blocking_send(Line::Document(document)).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
                };
                match desk.execute(&actor, request, &mut sink) {
                    Ok(()) => Line::End,
                    Err(failure) => Line::Error(failure),
                }
            }
            Err(error) => Line::Error(Failure::usage(
                format!("the service does not understand this request: {error}"),
                Some("the command and the service are of different versions: restart the service".into()),
            )),
        };
        // A client that has gone away needs no last line.
        let _ = sender.blocking_send(end);
    });
    while let Some(line) = documents.recv().await {
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        write.write_all(&bytes).await?;
    }
    write.shutdown().await?;
    work.await?;
    Ok(())
}

/// Asks the service that listens on `path`. `Ok(None)`: none does.
pub fn ask(
    path: &Path,
    request: &Request,
    sink: &mut dyn FnMut(Value) -> std::io::Result<()>,
) -> anyhow::Result<Option<Result<(), Failure>>> {
    use std::io::{BufRead, Write};
    let stream = match std::os::unix::net::UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => return Ok(None),
            _ => return Err(error).with_context(|| format!("cannot reach the service at `{}`", path.display())),
        },
    };
    let may_take_long = matches!(
        request,
        Request::Export | Request::Backup { .. } | Request::Forget { .. } | Request::Verify | Request::Log { .. }
    );
    stream.set_read_timeout((!may_take_long).then_some(ANSWER_PATIENCE)).context("cannot set a limit of time")?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    (&stream).write_all(&line).map_err(hung_up)?;
    for line in std::io::BufReader::new(&stream).lines() {
        match serde_json::from_str(&line.map_err(hung_up)?).context("the service answered nonsense")? {
            Line::Document(document) => sink(document)?,
            Line::End => return Ok(Some(Ok(()))),
            Line::Error(failure) => return Ok(Some(Err(failure))),
        }
    }
    Err(hung_up(std::io::ErrorKind::UnexpectedEof.into()))
}

/// In words only: a broken pipe as such would pass for a reader of our output who has seen enough, which is no failure.
fn hung_up(error: std::io::Error) -> anyhow::Error {
    if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) {
        let silent =
            format!("the service has not answered within {} s, and may still do it", ANSWER_PATIENCE.as_secs());
        let hint = "`oyez health` tells whether it is well; once it is, `oyez show` tells what became of it";
        return Failure::failed(silent, Some(hint.to_owned())).into();
    }
    anyhow::anyhow!("the service hung up before it had answered ({error}): look with `oyez show` what became of it")
}

/// The name of a user of this machine, or the number where it has none.
pub fn user_name(uid: u32) -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid))
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name)
}

/// Who runs this process, as an actor of the journal.
pub fn own_actor() -> String {
    format!("cli:{}", user_name(nix::unistd::Uid::current().as_raw()))
}

/// Removes the socket when the service ends.
#[derive(Debug)]
pub struct Cleanup(pub PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        // It may have been removed by hand; nothing depends on it.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the pipe's error in it, `oyez veto` would end as if all were well.
    #[test]
    fn promise_02_a_service_that_dies_under_a_request_is_a_failure_and_no_broken_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("oyez.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let service = std::thread::spawn(move || drop(listener.accept().unwrap()));
        // Larger than what the system takes in for a service that does not read.
        let request = Request::Show { item: "x".repeat(8 << 20) };
        let error = ask(&path, &request, &mut |_| Ok(())).unwrap_err();
        service.join().unwrap();
        assert!(error.to_string().contains("hung up"), "{error:#}");
        assert!(error.chain().all(|cause| cause.downcast_ref::<std::io::Error>().is_none()), "{error:?}");
    }
}
