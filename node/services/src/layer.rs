//! What every RPC needs, once, as tower layers around [`Run`](crate::wire::Run): the session, the operation id, the answers
//! to repeats, the way to another node, the deadline, the span, the counting. A layer that has nothing to do with a call
//! hands it on as it is.

pub mod deadline;
mod ending;
pub mod guard;
pub mod idempotency;
pub mod meter;
pub mod route;
pub mod session;
pub mod trace;

pub use deadline::DeadlineLayer;
pub use guard::{Guard, GuardLayer};
pub use idempotency::IdempotencyLayer;
pub use meter::MeterLayer;
pub use route::{Propagate, RouteLayer};
pub use session::ActingSession;
pub use trace::TraceLayer;

use crate::caller::Operation;
use crate::wire::Call;
use arsenal_runtime::{Node, OwnedId};
use http::{HeaderName, HeaderValue, Response};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower::{Layer, Service};

/// The response header with the id of a mutation; the event log and the resource's getter show the same.
pub const OPERATION_HEADER: &str = "arsenal-operation-id";

/// Gives each request for an operation that changes something a number, and answers with its id.
#[derive(Clone, Debug)]
pub struct OperationLayer {
    node: Node,
}

impl OperationLayer {
    /// Numbers the operations of this node.
    pub fn new(node: Node) -> Self {
        Self { node }
    }
}

impl<S> Layer<S> for OperationLayer {
    type Service = OperationService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OperationService { node: self.node.clone(), inner }
    }
}

/// See [`OperationLayer`].
#[derive(Clone, Debug)]
pub struct OperationService<S> {
    node: Node,
    inner: S,
}

impl<S, R> Service<Call> for OperationService<S>
where
    S: Service<Call, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Numbered<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        let id = call.rpc.changes.then(|| self.node.new_id(b'o'));
        if let Some(id) = id {
            call.request.extensions_mut().insert(Operation(id.number()));
        }
        Numbered { answer: self.inner.call(call), id }
    }
}

pin_project! {
    /// An answer to come, to which the operation's id is added.
    pub struct Numbered<F> {
        #[pin]
        answer: F,
        id: Option<OwnedId>,
    }
}

impl<F, R, E> Future for Numbered<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        const NAME: HeaderName = HeaderName::from_static(OPERATION_HEADER);
        let this = self.project();
        let mut answer = ready!(this.answer.poll(context));
        if let Some(id) = this.id
            && let Ok(response) = &mut answer
            && let Ok(value) = HeaderValue::try_from(id.to_string())
        {
            response.headers_mut().insert(NAME, value);
        }
        Poll::Ready(answer)
    }
}
