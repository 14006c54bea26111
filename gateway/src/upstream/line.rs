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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Body;
use futures_util::future::{FutureExt as _, Shared};
use http::{Request, Response, Uri};
use tokio::sync::oneshot;
use tower::BoxError;

use super::{
    Unsent,
    channel::{Begun, Call, Channel},
    dial::Dial,
    dice::Dice,
    redial::Redial,
    remote::RemoteConfig,
};

/// How long a connection may rest and still be used.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// See the module.
pub(super) struct Line {
    dial: Dial,
    server: Uri,
    config: RemoteConfig,
    dice: Dice,
    state: Mutex<State>,
    redial: Mutex<Redial<Refused>>,
}

/// A connection to come, for all that wait for it.
type Opening = Shared<oneshot::Receiver<Result<(), Refused>>>;

enum State {
    Closed,
    Opening(Opening),
    Open { channel: Channel, used: Instant },
}

/// What a line has for a request.
enum Put {
    Call(Call),
    /// It is to come again with this when the connection is there.
    Opening(Request<Body>, Opening),
    /// Nothing was sent, and this is why nothing can be.
    Refused(Request<Body>, BoxError),
    Full(Request<Body>),
    Lost(BoxError),
}

/// How a line answers.
pub(super) enum Answered {
    Call(Result<Response<Body>, BoxError>),
    /// The server takes no more calls on this connection now.
    Full(Request<Body>),
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
    pub(super) fn new(dial: Dial, server: Uri, config: RemoteConfig) -> Arc<Self> {
        let (state, redial) = (Mutex::new(State::Closed), Mutex::default());
        Arc::new(Self { dial, server, config, dice: Dice::new(), state, redial })
    }

    /// Makes a call.
    pub(super) async fn call(self: &Arc<Self>, request: Request<Body>) -> Answered {
        let mut request = request;
        // one that was open is not always alive; one that was just opened is
        for _ in 0..3 {
            match self.put(request) {
                Put::Call(call) => return Answered::Call(call.answer().await),
                Put::Full(request) => return Answered::Full(request),
                Put::Lost(why) => return Answered::Call(Err(Unsent::new(why).into())),
                Put::Refused(request, why) => {
                    return Answered::Call(Err(Unsent::with(why, request).into()));
                }
                Put::Opening(waiting, opening) => {
                    request = waiting;
                    let why: BoxError = match opening.await {
                        Ok(Ok(())) => continue,
                        Ok(Err(refused)) => refused.into(),
                        Err(stopped) => stopped.into(),
                    };
                    return Answered::Call(Err(Unsent::with(why, request).into()));
                }
            }
        }
        Answered::Call(Err(Unsent::with("the connection ended", request).into()))
    }

    /// Sends a request over the connection that is there, or begins to open one.
    fn put(self: &Arc<Self>, request: Request<Body>) -> Put {
        let mut state = self.state();
        let request = match &mut *state {
            State::Open { channel, used } if !channel.has_ended() && used.elapsed() <= IDLE_MAX => {
                match channel.begin(request) {
                    Begun::Call(call) => {
                        *used = Instant::now();
                        return Put::Call(call);
                    }
                    Begun::Full(request) => return Put::Full(request),
                    Begun::Lost(error) => return Put::Lost(error.into()),
                    Begun::Ended(request) => request,
                }
            }
            State::Opening(opening) => return Put::Opening(request, opening.clone()),
            _ => request,
        };
        if let Some(refused) = self.redial().refusal(Instant::now()) {
            *state = State::Closed;
            return Put::Refused(request, refused.into());
        }
        let (tell, opening) = oneshot::channel();
        let (line, opening) = (Arc::clone(self), opening.shared());
        *state = State::Opening(opening.clone());
        // a task, so that it is opened though whoever called first goes away
        tokio::spawn(async move {
            // nobody may be left to be told
            let _ = tell.send(line.open().await);
        });
        Put::Opening(request, opening)
    }

    /// Opens the connection, for at most twice as long as it may take to be there.
    async fn open(&self) -> Result<(), Refused> {
        let opened = async {
            let stream = self.dial.open(self.server.clone()).await?;
            Channel::open(stream, &self.config).await
        };
        let opened = opened.await.map_err(|error: BoxError| Refused(Arc::new(error)));
        let mut state = self.state();
        let (now, mut redial) = (Instant::now(), self.redial());
        match opened {
            Ok(channel) => {
                redial.succeed();
                *state = State::Open { channel, used: now };
                Ok(())
            }
            Err(refused) => {
                redial.fail(refused.clone(), now, self.dice.fraction());
                *state = State::Closed;
                Err(refused)
            }
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
        let line = Line::new(Dial::new(None, None, config.connect_max), server, config);
        // as if in a while that does not end during the test
        let down = Refused(Arc::new("it was down".into()));
        line.redial().fail(down, Instant::now() + Duration::from_secs(3_600), 0.0);
        let Answered::Call(Err(error)) = line.call(Request::new(Body::empty())).await else {
            panic!("it was called")
        };
        assert_eq!(error.to_string(), "no connection: it was down");
        assert!(error.is::<Unsent>());
        assert!(listener.accept().now_or_never().is_none(), "it was dialled");
    }
}
