//! One connection's bytes: plain, or out of TLS. Until its first bytes have said what it speaks, a deadline runs.

use super::addresses::Admitted;
use super::places::Place;
use super::tally::Counted;
use arsenal_tls::Stream;
use futures_util::future::FutureExt as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What an HTTP/2 client says first. Until it has said the whole of it, nobody else watches the time.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An accepted connection, which holds what is held for it until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    greeting: Option<Greeting>,
    _held: Held,
}

/// A place among all connections, one among those of its client, and that it is counted as open.
#[derive(Debug)]
pub(super) struct Held {
    _place: Place,
    _admitted: Admitted,
    _counted: Counted,
}

impl Held {
    pub(super) fn new(place: Place, admitted: Admitted, counted: Counted) -> Self {
        Self { _place: place, _admitted: admitted, _counted: counted }
    }
}

/// What a connection has said so far, and until when it must have said more.
#[derive(Debug)]
struct Greeting {
    deadline: Pin<Box<Sleep>>,
    /// How many bytes of the preface have come, and nothing else.
    of_preface: usize,
}

impl Connection {
    pub(super) fn new(stream: Stream, first_byte: Duration, held: Held) -> Self {
        let greeting = Greeting { deadline: Box::pin(tokio::time::sleep(first_byte)), of_preface: 0 };
        Self { stream, greeting: Some(greeting), _held: held }
    }
}

impl Greeting {
    /// Whether it has said what it speaks: the whole preface, or something else, which HTTP/1 bounds by itself.
    fn is_over(&mut self, said: &[u8]) -> bool {
        let rest = &PREFACE[self.of_preface..];
        self.of_preface += said.len().min(rest.len());
        said.len() >= rest.len() || !rest.starts_with(said)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, greeting, .. } = &mut *self;
        let filled = buffer.filled().len();
        let read = Pin::new(stream).poll_read(context, buffer);
        let Some(begun) = greeting else { return read };
        if read.is_pending() {
            ready!(begun.deadline.poll_unpin(context));
            let late = "nothing came on a new connection, or not enough to tell what it speaks";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, late)));
        }
        if begun.is_over(&buffer.filled()[filled..]) {
            *greeting = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_whole_preface_or_something_else_ends_the_greeting() {
        let over = |pieces: &[&[u8]]| {
            let mut greeting =
                Greeting { deadline: Box::pin(tokio::time::sleep(Duration::ZERO)), of_preface: 0 };
            pieces.iter().any(|piece| greeting.is_over(piece))
        };
        assert!(!over(&[b"P"]));
        assert!(!over(&[b"PRI", b" * HTTP/2.0\r\n\r\nSM\r\n\r"]));
        assert!(over(&[b"PRI", &PREFACE[3..]]));
        assert!(over(&[PREFACE, b"\0\0"]));
        assert!(over(&[b"P", b"OST / HTTP/1.1"]));
        assert!(over(&[b"GET"]));
    }
}
