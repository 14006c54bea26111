//! What every RPC needs, once, as tower layers: the operation id, and the answers to repeats.

pub mod idempotency;
pub mod trace;

pub use idempotency::IdempotencyLayer;
pub use trace::TraceLayer;

use crate::caller::Operation;
use arsenal_runtime::Node;
use http::{HeaderValue, Request, Response};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// The response header with the id of a mutation; the event log and the resource's getter show the same.
pub const OPERATION_HEADER: &str = "arsenal-operation-id";

/// Gives each request for an operation that changes something a number, and answers with its id.
#[derive(Clone)]
pub struct OperationLayer {
    node: Node,
    mutations: Arc<HashMap<String, ()>>,
}

impl OperationLayer {
    /// `mutations` are the paths (`/arsenal.v1.ProcessService/StartProcess`) of the RPCs that change something.
    pub fn new(node: Node, mutations: impl IntoIterator<Item = String>) -> Self {
        Self { node, mutations: Arc::new(mutations.into_iter().map(|path| (path, ())).collect()) }
    }
}

impl<S> Layer<S> for OperationLayer {
    type Service = OperationService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OperationService { layer: self.clone(), inner }
    }
}

/// See [`OperationLayer`].
#[derive(Clone)]
pub struct OperationService<S> {
    layer: OperationLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for OperationService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if !self.layer.mutations.contains_key(request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        let id = self.layer.node.new_id(b'o');
        request.extensions_mut().insert(Operation(id.number()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
                response.headers_mut().insert(OPERATION_HEADER, value);
            }
            Ok(response)
        })
    }
}
