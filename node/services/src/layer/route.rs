//! Where a request is answered: here, or on the node that has the process, the id or the place it names. Then it goes
//! there as the bytes that came, and the answer comes back as the bytes that it was.
//!
//! Only field 1 of the first message is looked at, and only in a cluster of several nodes. Invariants: a request that came
//! from another node goes no further, save one that was sent on for its `arsenal-node` header alone; a reference is
//! resolved once, by the node that was asked, and the node that answers takes the process so meant; what belongs here
//! is handed on without an allocation.

mod cursor;
mod forward;
mod gather;
mod interleave;
mod merge;
mod origin;
mod placement;
mod sessions;

pub(crate) use origin::ask_for;

use crate::operations::{self, Route};
use crate::reference::unknown_node;
use crate::shared::Shared;
use crate::status::failure;
use crate::wire::{Ahead, Answering, Answers, Call, FieldOne, Search, Table, WireLimits, field_one};
use arsenal_runtime::Pid;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use forward::Hop;
use futures_util::future::Either;
use http::{HeaderMap, HeaderName, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use placement::Place;
use prost_reflect::MethodDescriptor;
use sessions::Renewed;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tonic::{Code, Status};
use tower::{BoxError, Layer, Service};

/// The request header that names the node on which a bare name is local, and on which is answered what names no node.
pub const NODE_HEADER: &str = "arsenal-node";
const NODE: HeaderName = HeaderName::from_static(NODE_HEADER);
const SESSION: HeaderName = HeaderName::from_static(crate::caller::SESSION_HEADER);

/// Puts what continues the present trace into the headers of a request to another node.
pub type Propagate = Arc<dyn Fn(&mut HeaderMap) + Send + Sync>;

/// In a request's extensions: its session is of another node, which alone knows whether it lives.
#[derive(Clone, Copy, Debug)]
pub struct ForeignSession;

/// Sends requests to where they are answered.
#[derive(Clone)]
pub struct RouteLayer {
    router: Arc<Router>,
}

struct Router {
    shared: Shared,
    message_bytes_max: usize,
    response_bytes_max: usize,
    /// What other nodes have answered and is not read.
    answers: Answers,
    propagate: Propagate,
    /// The RPCs that all nodes may be asked for, by path.
    gathered: HashMap<String, MethodDescriptor>,
    renewed: Renewed,
}

impl RouteLayer {
    /// Routes requests for the RPCs of `table` among the nodes of a cluster.
    pub fn new(shared: Shared, limits: WireLimits, table: &Table, propagate: Propagate) -> Self {
        let operations = operations::all().into_iter();
        let gathered =
            operations.filter(|operation| matches!(operation.route, Route::Fanout | Route::Everywhere));
        let router = Router {
            shared,
            message_bytes_max: limits.message_bytes_max,
            response_bytes_max: limits.response_bytes_max,
            answers: table.answers().clone(),
            propagate,
            gathered: gathered.map(|operation| (operation.path(), operation.method)).collect(),
            renewed: Renewed::default(),
        };
        Self { router: Arc::new(router) }
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = RouteService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RouteService { router: Arc::clone(&self.router), inner }
    }
}

/// See [`RouteLayer`].
#[derive(Clone)]
pub struct RouteService<S> {
    router: Arc<Router>,
    inner: S,
}

impl<S> Service<Call> for RouteService<S>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Answering>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        Router::take_principal(&mut call);
        let place = match self.router.glance(&mut call) {
            Some(Ok(Place::Here)) if self.router.unsure_of(&call).is_none() => {
                return Either::Left(self.inner.call(call));
            }
            place => place,
        };
        // the one that was made ready goes on with the request, its clone waits for the next
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        let router = Arc::clone(&self.router);
        Either::Right(Box::pin(async move {
            let since = Instant::now();
            let place = match place {
                Some(place) => place,
                None => router.read_on(&mut call).await,
            };
            Ok(router.answer(inner, call, place, since).await.unwrap_or_else(Status::into_http))
        }))
    }
}

impl Router {
    /// Has a request answered where it is to be.
    async fn answer<S>(
        &self,
        mut inner: S,
        call: Call,
        place: Result<Place, Status>,
        since: Instant,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync,
    {
        let place = place?;
        let there = match place {
            Place::There { node, .. } => Some(node),
            Place::Here | Place::Everywhere => None,
        };
        if let Some(elsewhere) = self.use_session(&call, there)? {
            self.renew_there(elsewhere).await?;
        }
        match place {
            Place::Here => {
                let Ok(response) = inner.call(call).await;
                Ok(response)
            }
            Place::Everywhere => self.gather(inner, call).await,
            Place::There { node, meant, hops_left } => {
                Ok(self.forward(call, Hop { node, meant, hops_left, since }).await)
            }
        }
    }

    /// Where a request is answered, by what has come of it; nothing if that is too little to tell.
    fn glance(&self, call: &mut Call) -> Option<Result<Place, Status>> {
        let at = match self.named(call.request.headers()) {
            Ok(at) => at,
            Err(status) => return Some(Err(status)),
        };
        if !self.is_clustered() {
            return Some(Ok(Place::Here));
        }
        self.mark_session(call);
        if self.is_last_hop(call) {
            call.ahead.meant = origin::meant(call.request.headers());
            if call.rpc.route != Route::Process || !self.shared.node.has_relays() {
                return Some(Ok(Place::Here));
            }
            if let Some(meant) = call.ahead.meant {
                return Some(Ok(self.followed(meant)));
            }
        }
        match call.rpc.route {
            Route::Everywhere => return Some(Ok(Place::Everywhere)),
            Route::Local | Route::Leader => return Some(Ok(self.unnamed(at))),
            Route::Process | Route::Node | Route::Owner | Route::Fanout => {}
        }
        if call.ahead.head.is_empty() {
            take_what_is_there(call);
        }
        self.place(call, at)
    }

    /// Whether another node has sent this request here to be answered here.
    fn is_last_hop(&self, call: &Call) -> bool {
        self.is_sent_on(call) && !origin::may_go_on(call.request.headers())
    }

    /// Where a request is answered, once enough of it has come.
    async fn read_on(&self, call: &mut Call) -> Result<Place, Status> {
        let mut come = BytesMut::from(&*std::mem::take(&mut call.ahead.head));
        let mut search = Search::default();
        loop {
            let next = call.request.body_mut().frame().await;
            let ended = next.is_none();
            if let Some(frame) = next {
                let frame = frame.map_err(|error| Status::from_error(error.into()))?;
                if let Ok(data) = frame.into_data() {
                    come.extend_from_slice(&data);
                }
            }
            if ended || search.look(&come, self.message_bytes_max) != FieldOne::Unknown {
                break;
            }
        }
        call.ahead.head = come.freeze();
        let at = self.named(call.request.headers())?;
        // a request that ended too early is for its handler to refuse
        self.place(call, at).unwrap_or(Ok(Place::Here))
    }

    fn place(&self, call: &Call, at: Option<u32>) -> Option<Result<Place, Status>> {
        match field_one(&call.ahead.head, self.message_bytes_max) {
            FieldOne::Text(text) if self.is_last_hop(call) => {
                Some(Ok(self.followed_reference(call.rpc.route, text)))
            }
            FieldOne::Text(text) => Some(Ok(self.told(call, self.placed(call.rpc.route, text, at)))),
            FieldOne::None => Some(Ok(Place::Here)),
            FieldOne::Unknown => None,
        }
    }

    /// Here, for what a signal tells: who links to or monitors a process of a node that is down hears `noconnection`, as
    /// in OTP.
    fn told(&self, call: &Call, place: Place) -> Place {
        const BY_SIGNAL: [&str; 2] =
            ["/arsenal.v1.ProcessService/LinkProcesses", "/arsenal.v1.ProcessService/MonitorProcess"];
        match place {
            Place::There { node, .. } if !self.shared.is_up(node) && BY_SIGNAL.contains(&&*call.rpc.path) => {
                Place::Here
            }
            place => place,
        }
    }

    /// Whether there are other nodes.
    fn is_clustered(&self) -> bool {
        self.shared.is_clustered()
    }

    /// The number of a node of the cluster.
    fn numbered(&self, name: &str) -> Result<u32, Status> {
        self.shared.numbered(name).ok_or_else(|| unknown_node(name))
    }

    /// The other node that the header `arsenal-node` names; nothing if it names this one, or there is none.
    fn named(&self, headers: &HeaderMap) -> Result<Option<u32>, Status> {
        let Some(name) = headers.get(&NODE) else { return Ok(None) };
        let node = self.numbered(&String::from_utf8_lossy(name.as_bytes()))?;
        Ok(Some(node).filter(|node| *node != self.shared.node.id()))
    }
}

/// Takes what has come of a request's body without waiting for more. A body that yields nothing yet is asked again by
/// whoever waits for it.
fn take_what_is_there(call: &mut Call) {
    let body = call.request.body_mut();
    match Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => {
            // trailers of a request say nothing to anybody
            call.ahead = Ahead { head: frame.into_data().unwrap_or_default(), meant: call.ahead.meant };
        }
        Poll::Ready(Some(Err(error))) => *body = Body::new(Broken(Some(error.into()))),
        Poll::Ready(None) | Poll::Pending => {}
    }
}

/// A body that broke before its handler read it.
struct Broken(Option<BoxError>);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// `UNAVAILABLE NOCONNECTION`: nothing was sent.
fn never_sent(node: u32, why: &str) -> Status {
    let message = format!("nothing was sent to n{node}: {why}");
    failure(Code::Unavailable, "NOCONNECTION", message).resource("node", &format!("n{node}")).status()
}

/// `ABORTED OUTCOME_UNKNOWN`: what was sent may have been done.
fn outcome_unknown(node: u32, why: &str) -> Status {
    let message =
        format!("the connection to n{node} was lost, and what became of the request is not known: {why}");
    failure(Code::Aborted, "OUTCOME_UNKNOWN", message)
        .exit(&arsenal_runtime::Term::Atom("noconnection"), Pid::NONE, None)
        .resource("node", &format!("n{node}"))
        .status()
}
