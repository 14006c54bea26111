//! The RPCs of a service, listed to whoever serves them.
//!
//! The functions that list them, `v1::list_process_service` and its like, are generated beside tonic's code: one call for
//! each RPC, with its path and what runs it. tonic's own servers find an RPC by comparing paths one by one, and answer
//! through buffers and boxes of their own; a server that knows each RPC as a function needs neither.

use std::future::Future;
use std::sync::Arc;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Takes the RPCs of a service, one by one: the path (`/package.Service/Method`), the service, and what runs the RPC.
pub trait Rpcs {
    /// An RPC of one request and one answer.
    fn unary<T, C, Q, R, F>(&mut self, path: &'static str, service: &Arc<T>, call: C)
    where
        T: Send + Sync + 'static,
        C: Fn(Arc<T>, Request<Q>) -> F + Send + Sync + Copy + 'static,
        F: Future<Output = Result<Response<R>, Status>> + Send + 'static,
        Q: prost::Message + Default + Send + 'static,
        R: prost::Message + Send + 'static;

    /// An RPC of one request and many answers.
    fn server_streaming<T, C, Q, R, S, F>(&mut self, path: &'static str, service: &Arc<T>, call: C)
    where
        T: Send + Sync + 'static,
        C: Fn(Arc<T>, Request<Q>) -> F + Send + Sync + Copy + 'static,
        F: Future<Output = Result<Response<S>, Status>> + Send + 'static,
        S: Stream<Item = Result<R, Status>> + Send + 'static,
        Q: prost::Message + Default + Send + 'static,
        R: prost::Message + Send + 'static;

    /// An RPC of many requests and many answers.
    fn streaming<T, C, Q, R, S, F>(&mut self, path: &'static str, service: &Arc<T>, call: C)
    where
        T: Send + Sync + 'static,
        C: Fn(Arc<T>, Request<Streaming<Q>>) -> F + Send + Sync + Copy + 'static,
        F: Future<Output = Result<Response<S>, Status>> + Send + 'static,
        S: Stream<Item = Result<R, Status>> + Send + 'static,
        Q: prost::Message + Default + Send + 'static,
        R: prost::Message + Send + 'static;
}
