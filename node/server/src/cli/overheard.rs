//! A connection that remembers how it broke. A server that refuses a client's certificate says so after the handshake, and
//! what makes the calls tells only that they were cancelled.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the other side had against a connection, once it has said so.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    /// What was said last.
    pub(super) fn said(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers an error of TLS; others are the network's.
    pub(super) fn note(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::InvalidData {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Overheard<IO> {
    stream: IO,
    refusal: Refusal,
}

impl<IO> Overheard<IO> {
    pub(super) fn new(stream: IO, refusal: Refusal) -> Self {
        Self { stream, refusal }
    }
}

impl<IO: AsyncRead + Unpin> Overheard<IO> {
    /// The other side closed, and may have said why before it did.
    fn hear_why(&mut self, context: &mut Context<'_>) {
        let mut last = [0; 64];
        let read = Pin::new(&mut self.stream).poll_read(context, &mut ReadBuf::new(&mut last));
        if let Poll::Ready(Err(error)) = read {
            self.refusal.note(&error);
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Overheard<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        Poll::Ready(read.inspect_err(|error| self.refusal.note(error)))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Overheard<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(written.inspect_err(|_| self.hear_why(context)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(flushed.inspect_err(|_| self.hear_why(context)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
