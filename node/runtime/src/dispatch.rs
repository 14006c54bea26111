//! Any operation, called from inside: plans, benchmarks, sagas and gathers name an operation and hand over its request.

use std::future::Future;
use std::pin::Pin;

/// An operation's answer: the encoded response, or the status that a client would get.
pub type Dispatched = Pin<Box<dyn Future<Output = Result<bytes::Bytes, DispatchError>> + Send>>;

/// Implemented by whoever serves the operations.
pub trait Dispatch: Send + Sync + 'static {
    /// Runs `operation` (its name in the catalogue, or `Service/Method`) on an encoded request.
    fn dispatch(&self, operation: &str, request: bytes::Bytes) -> Dispatched;
}

/// Why an operation failed, in the terms of the interface that a client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DispatchError {
    /// The status code's number.
    pub code: i32,
    /// The status message.
    pub message: String,
}
