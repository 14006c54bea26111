//! From a gRPC request to the RPC that its path names, and back.
//!
//! The path is looked up once, in a table made at start; what it says of the RPC goes along with the request through the
//! layers, so that none of them looks anything up, and a layer that has nothing to do with a request hands it on without
//! an allocation. Messages are read and written here rather than by tonic's codec: a message that came in one piece is
//! not copied before it is decoded, an answer is one buffer of its own size, and what is wrong with a message is told
//! by a status of ours.

mod ahead;
mod answer;
mod budget;
mod frame;
mod half_open;
mod relay;
mod rpc;
mod streaming;
mod unary;

pub use ahead::Ahead;
pub(crate) use ahead::{FieldOne, Search, field_one};
pub(crate) use answer::Whole;
pub(crate) use budget::Answers;
pub(crate) use relay::{
    Unfinished, encode_one, read_answer, read_message, read_whole, whole_message, write_answer,
};
pub(crate) use rpc::Relayed;
pub use rpc::{Answering, CODES, Call, Facts, Rpc, Run, Table};

use axum::body::Body;
use budget::Budget;
use bytes::Bytes;
use half_open::{Bounded, Bounds, Pace};
use http::{Request, Response};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{BoxError, Layer, Service};

/// Limits of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// Bytes of one message that is received.
    pub message_bytes_max: usize,
    /// Bytes of one message that is sent.
    pub response_bytes_max: usize,
    /// For how long the bytes of a message may stop coming.
    pub request_idle_max: Duration,
    /// Bytes of a message that must come in a second of waiting for them, on the whole; 0 for any.
    pub request_bytes_per_second_min: u32,
    /// Bytes of all messages together that are still coming.
    pub requests_bytes_max: usize,
    /// Bytes of all answers together that are not read.
    pub answers_bytes_max: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            response_bytes_max: 64 << 20,
            request_idle_max: Duration::from_secs(30),
            request_bytes_per_second_min: 1 << 10,
            requests_bytes_max: 128 << 20,
            answers_bytes_max: 256 << 20,
        }
    }
}

/// All RPCs of a node, behind the layers that each call passes.
#[derive(Clone, Debug)]
pub struct Wire<S> {
    table: Arc<Table>,
    bounds: Option<Bounds>,
    inner: S,
}

impl<S> Wire<S> {
    /// Requests for the RPCs of `table` go to `inner`.
    pub fn new(table: Table, limits: WireLimits, inner: S) -> Self {
        let pace = Pace {
            idle_max: limits.request_idle_max,
            bytes_per_second_min: limits.request_bytes_per_second_min,
        };
        let bounds = Bounds { pace, budget: Budget::new(limits.requests_bytes_max) };
        Self { table: Arc::new(table), bounds: Some(bounds), inner }
    }

    /// The RPCs, by path.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// With another layer outside of those that are there.
    pub fn layer<L: Layer<S>>(self, layer: &L) -> Wire<L::Service> {
        let Self { table, bounds, inner } = self;
        Wire { table, bounds, inner: layer.layer(inner) }
    }

    /// For callers who bound by themselves how a request may come, or have it whole.
    #[must_use]
    pub fn in_process(mut self) -> Self {
        self.bounds = None;
        self
    }
}

impl<S, B> Service<Request<B>> for Wire<S>
where
    S: Service<Call, Response = Response<Body>>,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let rpc = self.table.find(request.uri().path());
        let request = match &self.bounds {
            Some(bounds) => request.map(|body| Body::new(Bounded::new(body, bounds, rpc.client_streaming))),
            None => request.map(Body::new),
        };
        self.inner.call(Call { rpc, request, ahead: Ahead::default() })
    }
}
