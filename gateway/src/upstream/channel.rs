//! One open HTTP/2 connection, and the calls on it.
//!
//! It stands on `h2` itself, not on a client above it: a call costs no task and no channel, and what only the connection
//! knows is known here: how many calls the server takes at a time, and which it says that it never took.
//!
//! A request whose body is there whole is written with it; any other has a task that writes it as the server has room, and
//! that ends with the call. A connection with calls under way on which nothing is heard is pinged; one that does not
//! answer is given up, and its calls with it.

mod writing;

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use arsenal_tls::Stream;
use axum::body::Body;
use bytes::Bytes;
use h2::{
    Ping, PingPong, Reason, RecvStream,
    client::{Builder, Connection, ResponseFuture, SendRequest},
};
use http::{HeaderName, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::oneshot;
use tower::BoxError;

use writing::{First, write};

use super::{BrokeOff, Unreadable, Unsent, remote::RemoteConfig};

/// Bytes of one stream that may be under way or wait for their reader.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes of all on a connection: those of 256 readers that have stopped, which is more than servers take calls by default.
const CONNECTION_WINDOW_BYTES: u32 = 256 * STREAM_WINDOW_BYTES;
/// Calls at a time until the server has said how many it takes.
const CALLS_AT_FIRST: usize = 100;
/// Bytes of one frame: a large message comes in few pieces. `h2` takes as many frames of headers as would be enough were
/// they of this size, and servers send smaller ones.
const FRAME_BYTES_MAX: u32 = 64 << 10;
/// Bytes of headers, or of trailers. An error may say in message and details what a whole request said; one that cannot be
/// read would look like a broken connection.
const HEADER_BYTES_MAX: u32 = 16 << 20;

/// Headers that are about a connection of HTTP/1, which HTTP/2 forbids (RFC 9113, 8.2.2).
const OF_A_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// See the module.
pub(super) struct Channel {
    requests: SendRequest<Bytes>,
    calls: Arc<Calls>,
}

/// What is known of the calls on a connection.
#[derive(Debug, Default)]
struct Calls {
    under_way: AtomicUsize,
    /// Something came since the last look.
    heard: AtomicBool,
    /// The connection has ended.
    ended: AtomicBool,
}

/// What became of the try to begin a call.
pub(super) enum Begun {
    /// It is under way.
    Call(Call),
    /// It was not sent: the server takes no more at a time.
    Full(Request<Body>),
    /// It was not sent: the connection has ended, or the server wants no more calls on it.
    Ended(Request<Body>),
    /// It was not sent, and is lost.
    Lost(h2::Error),
}

/// A call whose answer is to come. Dropping it cancels it.
pub(super) struct Call {
    answer: ResponseFuture,
    under_way: UnderWay,
}

/// What is held while a call is under way.
struct UnderWay {
    calls: Arc<Calls>,
    /// Nothing if the body was whole.
    writing: Option<Writing>,
}

/// What is known of the task that writes a body.
struct Writing {
    /// The body broke off.
    broke_off: Arc<AtomicBool>,
    /// Dropped when nobody is left who wants the call.
    _wanted: oneshot::Sender<()>,
}

impl UnderWay {
    /// Whether the call failed since its request did.
    fn broke_off(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.broke_off.load(Ordering::Acquire))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.calls.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Channel {
    /// Begins to speak HTTP/2 on a connection.
    pub(super) async fn open(stream: Stream, config: &RemoteConfig) -> Result<Self, BoxError> {
        let mut protocol = Builder::new();
        protocol
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_max_send_streams(CALLS_AT_FIRST)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(HEADER_BYTES_MAX);
        let (requests, connection) = protocol.handshake(stream).await?;
        let calls = Arc::<Calls>::default();
        tokio::spawn(drive(connection, Arc::clone(&calls), config.ping_interval, config.ping_max));
        Ok(Self { requests, calls })
    }

    /// Whether the connection has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.calls.ended.load(Ordering::Relaxed)
    }

    /// Sends a request, if that is possible now.
    pub(super) fn begin(&mut self, request: Request<Body>) -> Begun {
        if self.calls.under_way.load(Ordering::Relaxed) >= self.requests.current_max_send_streams() {
            return Begun::Full(request);
        }
        // of its own for each call: one that was used remembers the call that waits for its turn, and would take its waker
        let mut requests = self.requests.clone();
        if let Poll::Ready(Err(_)) = requests.poll_ready(&mut Context::from_waker(Waker::noop())) {
            return Begun::Ended(request);
        }
        let (mut head, mut body) = request.into_parts();
        for name in OF_A_CONNECTION {
            head.headers.remove(name);
        }
        let first = First::of(&mut body);
        let whole = matches!(first, First::Data(_)) && body.is_end_stream();
        let empty = matches!(first, First::End);
        let (answer, mut sending) = match requests.send_request(Request::from_parts(head, ()), empty) {
            Ok(begun) => begun,
            Err(error) => return Begun::Lost(error),
        };
        self.calls.under_way.fetch_add(1, Ordering::Relaxed);
        let writing = match first {
            First::End => None,
            First::Data(data) if whole => {
                // one that fails has its answer tell why
                let _ = sending.send_data(data, true);
                None
            }
            first => {
                let (wanted, unwanted) = oneshot::channel();
                let broke_off = Arc::<AtomicBool>::default();
                tokio::spawn(write(body, first, sending, Arc::clone(&broke_off), unwanted));
                Some(Writing { broke_off, _wanted: wanted })
            }
        };
        Begun::Call(Call { answer, under_way: UnderWay { calls: Arc::clone(&self.calls), writing } })
    }
}

impl Call {
    /// Waits for the answer's headers.
    pub(super) async fn answer(self) -> Result<Response<Body>, BoxError> {
        let Self { answer, under_way } = self;
        match answer.await {
            Ok(response) => {
                under_way.calls.heard.store(true, Ordering::Relaxed);
                Ok(response.map(|receiving| Body::new(Answer { receiving, data_ended: false, under_way })))
            }
            Err(_) if under_way.broke_off() => Err(BrokeOff.into()),
            Err(error) if was_refused(&error) => Err(Unsent::new(error).by_busy().into()),
            Err(error) if came_too_late(&error) => Err(Unsent::new(error).into()),
            Err(error) => Err(broken(error)),
        }
    }
}

/// How an answer breaks off. What came and is not taken says nothing of whether the server is there.
fn broken(error: h2::Error) -> BoxError {
    if error.is_library() { Unreadable(error).into() } else { error.into() }
}

/// The server says that it did nothing with a call, since it takes no more now (RFC 9113, 8.7).
fn was_refused(error: &h2::Error) -> bool {
    error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)
}

/// The server goes away, and did nothing with what came later than what it names. `h2` fails no other calls with its GOAWAY.
fn came_too_late(error: &h2::Error) -> bool {
    error.is_remote() && error.is_go_away()
}

/// The body of an answer.
struct Answer {
    receiving: RecvStream,
    data_ended: bool,
    under_way: UnderWay,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if !this.data_ended {
            match ready!(this.receiving.poll_data(context)) {
                Some(Ok(data)) => {
                    this.under_way.calls.heard.store(true, Ordering::Relaxed);
                    // a stream that has ended needs no room
                    let _ = this.receiving.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(error)))),
                None => this.data_ended = true,
            }
        }
        let trailers = ready!(this.receiving.poll_trailers(context)).transpose();
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers).map_err(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.receiving.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Drives a connection until it ends, or is found dead.
async fn drive(
    mut connection: Connection<Stream, Bytes>,
    calls: Arc<Calls>,
    interval: Duration,
    max: Duration,
) {
    let pings = connection.ping_pong();
    {
        let mut watching = pin!(watch(pings, &calls, interval, max));
        let mut connection = pin!(&mut connection);
        tokio::select! {
            biased;
            // it tells its end to the calls on it
            _ = &mut connection => {}
            () = &mut watching => {}
        }
    }
    calls.ended.store(true, Ordering::Relaxed);
}

/// Returns when a ping was not answered in time.
async fn watch(pings: Option<PingPong>, calls: &Calls, interval: Duration, max: Duration) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(interval).await;
        if calls.under_way.load(Ordering::Relaxed) == 0 || calls.heard.swap(false, Ordering::Relaxed) {
            continue;
        }
        let answered = async {
            pings.send_ping(Ping::opaque()).map_err(io::Error::other)?;
            poll_fn(|context| pings.poll_pong(context)).await.map_err(io::Error::other)
        };
        if !matches!(tokio::time::timeout(max, answered).await, Ok(Ok(_))) {
            return;
        }
    }
}
