//! One HTTP/2 connection to a server: opened by whoever calls first, and again once it has ended.
//!
//! Those that call while it is opened wait for the same try, and fail with it, and so do those that come soon after
//! ([`Redial`]): a server that is not there is not knocked at by a crowd. A call whose connection ends before the call has
//! left it goes over the next one. One that nothing was called over for long is not trusted: whatever lies between may have
//! forgotten it without a word.
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

use super::{Unsent, dial::Dial, dice::Dice, redial::Redial, remote::RemoteConfig};

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
    dice: Dice,
    state: Mutex<State>,
    redial: Mutex<Redial<Refused>>,
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
        let (state, redial) = (Mutex::new(State::Closed), Mutex::default());
        Self { dial, server, protocol, dice: Dice::new(), state, redial }
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
            } else if let Some(refused) = self.redial().refusal(Instant::now()) {
                return Err(refused);
            } else {
                let opening = self.connect().boxed().shared();
                *state = State::Opening(opening.clone());
                opening
            }
        };
        let opened = opening.clone().await;
        let mut state = self.state();
        if matches!(&*state, State::Opening(pending) if pending.ptr_eq(&opening)) {
            let (now, mut redial) = (Instant::now(), self.redial());
            *state = match &opened {
                Ok(sender) => {
                    redial.succeed();
                    State::Open { sender: sender.clone(), used: now }
                }
                Err(refused) => {
                    redial.fail(refused.clone(), now, self.dice.fraction());
                    State::Closed
                }
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

    /// Locked behind the state, where both are.
    fn redial(&self) -> MutexGuard<'_, Redial<Refused>> {
        self.redial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::FutureExt as _;
    use http::Request;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_that_just_could_not_be_reached_is_not_dialled_again_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let config = RemoteConfig::default();
        let line = Line::new(Dial::new(None, None, config.connect_max), server, &config);
        // as if in a while that does not end during the test
        let down = Refused(Arc::new("it was down".into()));
        line.redial().fail(down, Instant::now() + Duration::from_secs(3_600), 0.0);
        let error = line.call(Request::new(Body::empty())).await.unwrap_err();
        assert_eq!(error.to_string(), "no connection: it was down");
        assert!(error.is::<Unsent>());
        assert!(listener.accept().now_or_never().is_none(), "it was dialled");
    }
}
