//! Connections that can be cut at a chosen place of an answer, as a crash or a bad line would cut them.
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Where an answer ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Not a byte of it arrives.
    BeforeHead,
    /// The status line and the headers arrive.
    AfterHead,
    /// Half of the body arrives.
    InBody,
}

/// The scissors for one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Wire {
    cut: Arc<Mutex<Option<Cut>>>,
}

impl Wire {
    /// Cuts what is written next.
    pub(super) fn cut(&self, at: Cut) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
}

impl Connected<IncomingStream<'_, Wires>> for Wire {
    fn connect_info(stream: IncomingStream<'_, Wires>) -> Self {
        stream.io().wire.clone()
    }
}

/// Accepts connections with scissors.
pub(super) struct Wires(pub(super) TcpListener);

impl Listener for Wires {
    type Io = WiredStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (WiredStream, SocketAddr) {
        let (stream, addr) = Listener::accept(&mut self.0).await;
        (WiredStream { stream, wire: Wire::default() }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

pub(super) struct WiredStream {
    stream: TcpStream,
    wire: Wire,
}

impl AsyncRead for WiredStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for WiredStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let cut = *self.wire.cut.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cut) = cut else { return Pin::new(&mut self.stream).poll_write(cx, bytes) };
        // Answers are small: head and body come in one piece, because vectored writing is not offered.
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let kept = match cut {
            Cut::BeforeHead => 0,
            Cut::AfterHead => head,
            Cut::InBody => head + (bytes.len() - head) / 2,
        };
        if kept > 0 {
            // What the socket does not take at once is lost too: the line is being cut anyway.
            let _ = self.stream.try_write(&bytes[..kept]);
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
