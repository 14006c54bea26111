//! One connection's bytes: plain, or out of TLS. Until its first bytes have said what it speaks, a deadline runs, and so one
//! does while its client takes nothing of what is written to it: it would else hold its place, and all that waits to be
//! read, for as long as it likes.

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

/// How long a client may go on sending after its last answer. A body that is refused is not read: closed at once, its
/// connection would be reset, and take the answer from a client that has not read it yet.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// What of it is thrown away at a time.
const UNWANTED_BYTES: usize = 4 << 10;

/// How often before others have their turn.
const UNWANTED_MAX: usize = 16;

/// What an HTTP/2 client says first. Until it has said the whole of it, nobody else watches the time.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An accepted connection, which holds what is held for it until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    greeting: Option<Greeting>,
    /// How long its client may take nothing of what is written.
    write_idle: Duration,
    /// Until when it must take something, while something waits.
    unwritten: Option<Pin<Box<Sleep>>>,
    /// Until when it may go on to send what nobody wants, once this end has closed.
    lingering: Option<Pin<Box<Sleep>>>,
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

/// How long is waited for the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a handshake, and for the first bytes after it.
    pub(super) first_byte: Duration,
    /// Until it takes something of what is written to it.
    pub(super) write_idle: Duration,
}

/// What a connection has said so far, and until when it must have said more.
#[derive(Debug)]
struct Greeting {
    deadline: Pin<Box<Sleep>>,
    /// How many bytes of the preface have come, and nothing else.
    of_preface: usize,
}

impl Connection {
    pub(super) fn new(stream: Stream, patience: Patience, held: Held) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience.first_byte));
        let greeting = Some(Greeting { deadline, of_preface: 0 });
        Self {
            stream,
            greeting,
            write_idle: patience.write_idle,
            unwritten: None,
            lingering: None,
            _held: held,
        }
    }

    /// What a write gave, or that the client has taken nothing for too long.
    fn in_time<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.unwritten = None;
            return written;
        }
        let write_idle = self.write_idle;
        let late = self.unwritten.get_or_insert_with(|| Box::pin(tokio::time::sleep(write_idle)));
        ready!(late.poll_unpin(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing of what is written",
        )))
    }
}

impl Connection {
    /// Throws away what a client sends that sends still, until it closes too. One that is silent is not waited for.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // looked at first, for who sends quickly always has something there
        if self.lingering.as_mut().is_some_and(|late| late.poll_unpin(context).is_ready()) {
            return Poll::Ready(());
        }
        let mut unwanted = [0; UNWANTED_BYTES];
        for _ in 0..UNWANTED_MAX {
            let mut buffer = ReadBuf::new(&mut unwanted);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER_MAX)));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    return match &mut self.lingering {
                        Some(late) => late.poll_unpin(context),
                        None => Poll::Ready(()),
                    };
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
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
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        // without encryption nothing is kept back, so that this says nothing of the client
        if matches!(self.stream, Stream::Plain(_)) { flushed } else { self.in_time(context, flushed) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        self.poll_linger(context).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{addresses::Addresses, places::Places, tally::Tally};
    use super::*;
    use std::future::poll_fn;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    /// A connection, and the client's end of it.
    async fn connected(patience: Patience) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let admitted = Addresses::new(0, Arc::default()).admit(address.ip()).unwrap();
        let held = Held::new(Places::new(1).take().await, admitted, Arc::<Tally>::default().admit());
        (Connection::new(Stream::Plain(stream), patience, held), client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let patience =
            Patience { first_byte: Duration::from_secs(10), write_idle: Duration::from_millis(20) };
        let (mut connection, _client) = connected(patience).await;
        let error = loop {
            if let Err(error) = connection.write_all(&[0; 64 << 10]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    }

    #[tokio::test]
    async fn a_client_that_takes_something_is_waited_for_anew() {
        let hour = Duration::from_secs(3_600);
        let (mut connection, mut client) = connected(Patience { first_byte: hour, write_idle: hour }).await;
        let mut written = 0;
        poll_fn(|context| {
            while let Poll::Ready(bytes) = Pin::new(&mut connection).poll_write(context, &[0; 64 << 10]) {
                written += bytes.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        assert!(connection.unwritten.is_some(), "{written} bytes were all taken");
        // without encryption a flush says nothing
        connection.flush().await.unwrap();
        assert!(connection.unwritten.is_some());
        client.read_exact(&mut vec![0; written]).await.unwrap();
        connection.write_all(&[0]).await.unwrap();
        assert!(connection.unwritten.is_none());
    }

    #[tokio::test]
    async fn a_client_that_is_still_sending_when_it_is_answered_can_send_all_and_reads_its_answer() {
        let hour = Duration::from_secs(3_600);
        let (mut connection, mut client) = connected(Patience { first_byte: hour, write_idle: hour }).await;
        // more than lies between the two
        let sending = tokio::spawn(async move {
            client.write_all(&vec![0; 32 << 20]).await?;
            client.shutdown().await?;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.map(|_| answer)
        });
        connection.read_exact(&mut [0; 10]).await.unwrap();
        connection.write_all(b"no").await.unwrap();
        connection.shutdown().await.unwrap();
        drop(connection);
        assert_eq!(sending.await.unwrap().unwrap(), "no");
    }

    #[tokio::test]
    async fn a_client_that_always_has_more_to_send_is_cut_off_when_its_time_is_over() {
        let hour = Duration::from_secs(3_600);
        let (mut connection, mut client) = connected(Patience { first_byte: hour, write_idle: hour }).await;
        // as much as lies between the two
        poll_fn(|context| {
            while Pin::new(&mut client).poll_write(context, &[0; 64 << 10]).is_ready() {}
            Poll::Ready(())
        })
        .await;
        client.shutdown().await.unwrap();
        connection.read_exact(&mut [0; 10]).await.unwrap();
        let ended =
            poll_fn(|context| Poll::Ready(Pin::new(&mut connection).poll_shutdown(context).is_ready()));
        assert!(!ended.await, "all was read in one turn");
        let late = connection.lingering.as_mut().unwrap();
        late.as_mut().reset(Instant::now());
        late.await;
        let ended =
            poll_fn(|context| Poll::Ready(Pin::new(&mut connection).poll_shutdown(context).is_ready()));
        assert!(ended.await, "it is read from beyond its time");
        assert!(connection.read(&mut [0; 10]).await.unwrap() > 0, "its last byte was waited for");
    }

    #[tokio::test]
    async fn a_client_that_is_silent_is_not_waited_for() {
        let hour = Duration::from_secs(3_600);
        let (mut connection, _client) = connected(Patience { first_byte: hour, write_idle: hour }).await;
        connection.shutdown().await.unwrap();
        assert!(connection.lingering.is_none());
    }

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
