//! One HTTP/2 connection to a server: opened by whoever calls first, and again once it has ended.
//!
//! Those that call while it is opened wait for the same try, and fail with it: a server that is not there is not knocked
//! at by a crowd. A call whose connection ends before the call has left it goes over the next one. One that nothing was
//! called over for long is not trusted: whatever lies between may have forgotten it without a word.
//!
//! What a client does not read waits here, up to a window for each stream, and takes of the window that all on the
//! connection share: were both the same, one slow reader would stop everybody else's answers.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Body;
use futures_util::future::{FutureExt as _, Shared};
use http::{Request, Response, Uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::{BoxError, Service as _};

use super::{Unsent, dial::Dial, remote::RemoteConfig};

/// Bytes of one stream that may be under way or wait for its reader.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes of all on a connection: those of 64 readers that have stopped.
const CONNECTION_WINDOW_BYTES: u32 = 64 * STREAM_WINDOW_BYTES;

/// How long a connection may rest and still be used.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// See the module.
pub(super) struct Line {
    dial: Dial,
    server: Uri,
    protocol: Builder<TokioExecutor>,
    state: Mutex<State>,
}

/// Where calls are put.
type Sender = SendRequest<Body>;

/// A connection to come, for all that wait for it.
type Opening = Shared<Pin<Box<dyn Future<Output = Result<Sender, Refused>> + Send>>>;

enum State {
    Closed,
    Opening(Opening),
    Open { sender: Sender, used: Instant },
}

impl State {
    /// Where a call can be put now, if anywhere.
    fn sender(&mut self) -> Option<Sender> {
        match self {
            State::Open { sender, used } if !sender.is_closed() && used.elapsed() <= IDLE_MAX => {
                *used = Instant::now();
                Some(sender.clone())
            }
            _ => None,
        }
    }
}

/// Why there is no connection, as all that waited for it are told.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(#[source] Arc<BoxError>);

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Line {
    /// A connection to `server`, which is not opened yet.
    pub(super) fn new(dial: Dial, server: Uri, config: &RemoteConfig) -> Self {
        let mut protocol = Builder::new(TokioExecutor::new());
        protocol
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .timer(TokioTimer::new())
            .keep_alive_interval(config.ping_interval)
            .keep_alive_timeout(config.ping_max);
        Self { dial, server, protocol, state: Mutex::new(State::Closed) }
    }

    /// Makes a call.
    pub(super) async fn call(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let mut request = request;
        let mut ended = None;
        // one that was open is not always alive; one that was just opened is
        for _ in 0..2 {
            let open = self.state().sender();
            let mut sender = match open {
                Some(sender) => sender,
                None => self.opening().await.map_err(|refused| Unsent(refused.into()))?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response.map(Body::new)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        request = unsent;
                        ended = Some(error.into_error());
                        self.forget();
                    }
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let why = ended.map_or_else(|| "the connection ended".into(), BoxError::from);
        Err(Unsent(why).into())
    }

    /// Begins to open it, or waits for whoever has begun.
    async fn opening(&self) -> Result<Sender, Refused> {
        let opening = {
            let mut state = self.state();
            // somebody else may have been quicker
            if let Some(sender) = state.sender() {
                return Ok(sender);
            }
            if let State::Opening(opening) = &*state {
                opening.clone()
            } else {
                let opening = self.connect().boxed().shared();
                *state = State::Opening(opening.clone());
                opening
            }
        };
        let opened = opening.clone().await;
        let mut state = self.state();
        if matches!(&*state, State::Opening(pending) if pending.ptr_eq(&opening)) {
            *state = match &opened {
                Ok(sender) => State::Open { sender: sender.clone(), used: Instant::now() },
                Err(_) => State::Closed,
            };
        }
        opened
    }

    fn connect(&self) -> impl Future<Output = Result<Sender, Refused>> + Send + use<> {
        let (mut dial, server, protocol) = (self.dial.clone(), self.server.clone(), self.protocol.clone());
        async move {
            let refused = |error: BoxError| Refused(Arc::new(error));
            let stream = dial.call(server).await.map_err(refused)?;
            let (sender, connection) =
                protocol.handshake(stream).await.map_err(|error| refused(error.into()))?;
            // it tells its end to the calls on it
            tokio::spawn(connection.map(drop));
            Ok(sender)
        }
    }

    /// Lets a connection go that has ended.
    fn forget(&self) {
        let mut state = self.state();
        if matches!(&*state, State::Open { sender, .. } if sender.is_closed()) {
            *state = State::Closed;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
