//! Counts each call: that it began, with which code it ended, how long it took. What is counted is the RPC's own
//! ([`Rpc::calls`](crate::wire::Rpc)), so that a call costs a few atomics and neither a lock nor a look-up nor an
//! allocation.
//!
//! A call has ended with its status: with its answer, or with the last item of a stream. One that its client gives up is
//! CANCELLED.

use super::ending::{self, Ending as _};
use crate::wire::{CODES, Call, Relayed, Rpc};
use arsenal_metrics::{Calls, Timed};
use axum::body::Body;
use http::{HeaderMap, HeaderName, Response};
use pin_project_lite::pin_project;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Code;
use tower::{Layer, Service};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Counts the calls of all RPCs.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeterLayer;

impl<S> Layer<S> for MeterLayer {
    type Service = MeterService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MeterService { inner }
    }
}

/// See [`MeterLayer`].
#[derive(Clone, Debug)]
pub struct MeterService<S> {
    inner: S,
}

impl<S> Service<Call> for MeterService<S>
where
    S: Service<Call, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Metered<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let ending = Ending(Timed::begin(Of(Arc::clone(&call.rpc)), Code::Cancelled as usize));
        let unary = call.rpc.is_unary();
        Metered { answer: self.inner.call(call), ending: Some(ending), unary }
    }
}

/// The calls of an RPC.
#[derive(Debug)]
struct Of(Arc<Rpc>);

impl Deref for Of {
    type Target = Calls<CODES>;

    fn deref(&self) -> &Self::Target {
        &self.0.calls
    }
}

/// A call whose end is waited for.
#[derive(Debug)]
struct Ending(Timed<Of, CODES>);

impl ending::Ending for Ending {
    fn tell(&mut self, headers: &HeaderMap) -> bool {
        let Some(status) = headers.get(GRPC_STATUS) else { return false };
        self.0.end(Code::from_bytes(status.as_bytes()) as usize);
        true
    }

    fn break_off(&mut self) {
        self.0.end(Code::Unknown as usize);
    }
}

pin_project! {
    /// An answer to come.
    pub struct Metered<F> {
        #[pin]
        answer: F,
        ending: Option<Ending>,
        unary: bool,
    }
}

impl<F, E> Future for Metered<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        let (Ok(response), Some(mut ending)) = (&answer, this.ending.take()) else {
            return Poll::Ready(answer);
        };
        // what is answered here by one message fails, if it does, before there is an answer
        if *this.unary && response.extensions().get::<Relayed>().is_none() {
            if !ending.tell(response.headers()) {
                ending.0.end(Code::Ok as usize);
            }
            return Poll::Ready(answer);
        }
        Poll::Ready(answer.map(|response| ending::follow(response, ending)))
    }
}
