//! What nodes say of themselves, by grpc.health.v1: one that stops is no longer asked, and one that is back is found
//! without a client's call.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use axum::body::Body;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::BodyExt as _;
use tower::BoxError;

use super::{Node, Shared};
use crate::{
    code::Code,
    failure::GRPC_STATUS,
    grpc::{Deframer, PREFIX},
    transcode::wire::{Reader, WireType},
    upstream::Upstream,
};

/// A health answer has a few bytes.
const ANSWER_BYTES_MAX: usize = 1024;

/// grpc.health.v1.HealthCheckResponse.ServingStatus.
const SERVING: u64 = 1;

/// Asks those that are there, and those that come later.
pub(super) async fn watch(shared: &Arc<Shared>) {
    let mut changes = shared.nodes.subscribe();
    let mut watching = FuturesUnordered::new();
    loop {
        let nodes = changes.borrow_and_update().clone();
        let fresh = nodes.iter().filter(|node| !node.watched.swap(true, Ordering::Relaxed));
        for node in fresh {
            watching.push(watch_node(shared, node.clone()));
        }
        tokio::select! {
            // the pool has the sender
            _ = changes.changed() => {}
            Some(()) = watching.next() => {}
        }
    }
}

/// Ends once the node is no longer one of the pool's.
async fn watch_node(shared: &Shared, node: Arc<Node>) {
    while shared.nodes.borrow().iter().any(|there| Arc::ptr_eq(there, &node)) {
        let told = tokio::time::timeout(shared.config.health_timeout, check(&*node.upstream)).await;
        match told.unwrap_or_else(|late| Err(late.into())) {
            Ok(serving) => {
                node.serving.store(serving, Ordering::Relaxed);
                node.circuit().succeed();
            }
            Err(error) => {
                // back once it says so, and not at the cost of a client's call that tries
                node.serving.store(false, Ordering::Relaxed);
                shared.fail(&node, &*error);
            }
        }
        tokio::time::sleep(spread(shared.config.health_interval, shared.dice.fraction())).await;
    }
}

/// Gateways that started together do not ask together.
fn spread(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(0.8 + 0.4 * chance)
}

/// Whether a node serves. One that has no health service does.
async fn check(upstream: &dyn Upstream) -> Result<bool, BoxError> {
    let mut request = Request::new(Body::from(vec![0; PREFIX]));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let (parts, body) = upstream.call(request).await?.into_parts();
    if let Some(code) = code_of(&parts.headers) {
        return Ok(code == Code::Unimplemented);
    }
    let collected = http_body_util::Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    if let Some(code) = collected.trailers().and_then(code_of).filter(|code| *code != Code::Ok) {
        return Ok(code == Code::Unimplemented);
    }
    let mut deframer = Deframer::default();
    deframer.push(collected.to_bytes());
    let message = deframer.next(ANSWER_BYTES_MAX)?.unwrap_or_default();
    Ok(status_of(&message) == Some(SERVING))
}

fn code_of(status: &HeaderMap) -> Option<Code> {
    Some(Code::from_number(status.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()?))
}

fn status_of(message: &[u8]) -> Option<u64> {
    let (mut reader, mut status) = (Reader::new(message), 0);
    while !reader.is_empty() {
        match reader.tag().ok()? {
            (1, WireType::Varint) => status = reader.varint().ok()?,
            (field, wire_type) => reader.skip(field, wire_type, 10).ok()?,
        }
    }
    Some(status)
}
