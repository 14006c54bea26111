//! A request of another node, held while this one is cut off from that one on purpose: of a new one nothing is carried out, a
//! stream that is there stands still.

use crate::cluster::INTERNAL_PATH;
use arsenal_membership::Crossing;
use arsenal_services::status::failure;
use axum::body::Body;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use std::convert::Infallible;
use tonic::Code;
use tower::Service;

/// Whether a path leads to the service that makes and ends cuts: its answers have to leave though it has just made one. The
/// node that asks holds its own cuts.
pub(super) fn passes(path: &str) -> bool {
    path.strip_prefix(INTERNAL_PATH).is_some_and(|service| service.starts_with("v1.ChaosService/"))
}

/// The answer to a request of another node. One that comes while nothing of that node does is refused once it could hear
/// that: nothing was carried out.
pub(super) fn cross<S>(
    crossing: Crossing,
    service: &mut S,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<Response<Body>, Infallible>>
where
    S: Service<Request<tonic::body::Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    if crossing.is_cut() {
        let refused = async move {
            crossing.healed().await;
            let message = format!("this node was cut off from n{} on purpose", crossing.other());
            Ok(failure(Code::Unavailable, "CUT_OFF", message).status().into_http())
        };
        return refused.boxed();
    }
    let answer = service.call(request.map(|body| tonic::body::Body::new(crossing.inward(body))));
    let crossed = async move {
        let (parts, body) = answer.await?.into_parts();
        Ok(Response::from_parts(parts, Body::new(crossing.outward(body).await)))
    };
    crossed.boxed()
}
