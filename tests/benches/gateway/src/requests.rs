//! One request without a socket: as hyper hands it over, through the gateway and the service beneath it, through the
//! service alone, or through the bare echo.

use crate::messages::Size;
use crate::{bare, echo, servers};
use arsenal_gateway::config::Transcoder;
use arsenal_gateway::{GatewayService, upstream};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use std::fmt::Debug;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// What answers requests, and what they are.
pub struct Answering {
    runtime: Runtime,
    gateway: GatewayService,
    bare: Router,
    size: Size,
    json: Bytes,
    frame: Bytes,
}

/// Answers one request.
pub type Answer = fn(&Answering);

/// Who answers.
pub const ANSWERING: [(&str, Answer); 3] =
    [("embedded", Answering::by_gateway), ("axum", Answering::by_axum), ("tonic", Answering::by_tonic)];

impl Answering {
    pub fn new(size: Size) -> Self {
        Self {
            runtime: bench_load::current_thread(),
            gateway: servers::gateway(Transcoder::Plan).service(upstream::service(echo::service())),
            bare: bare::router(),
            size,
            json: size.json().into(),
            frame: servers::frame(size),
        }
    }

    fn by_gateway(&self) {
        let answer = self.gateway.handle(self.post());
        let (answer, length) = self.runtime.block_on(async { read(answer.await).await });
        assert!(answer.status.is_success() && length == self.json.len(), "the request failed: {answer:?}");
    }

    fn by_axum(&self) {
        let answer = self.bare.clone().oneshot(self.post());
        let (answer, length) = self.runtime.block_on(async {
            let Ok(answer) = answer.await;
            read(answer).await
        });
        assert!(answer.status.is_success() && length == self.json.len(), "the request failed: {answer:?}");
    }

    fn by_tonic(&self) {
        let request = Request::post(self.size.call())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::from(self.frame.clone()));
        let answer = echo::service().oneshot(request.expect("a request"));
        let (answer, length) = self.runtime.block_on(async {
            let Ok(answer) = answer.await;
            read(answer).await
        });
        assert!(answer.status.is_success() && length == self.frame.len(), "the call failed: {answer:?}");
    }

    fn post(&self) -> Request<Body> {
        let request = Request::post(self.size.path())
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .header("content-length", self.json.len())
            .body(Body::from(self.json.clone()));
        request.expect("a request")
    }
}

/// An answer's head, and how many bytes its body has.
async fn read<B>(answer: Response<B>) -> (http::response::Parts, usize)
where
    B: http_body::Body<Data = Bytes, Error: Debug>,
{
    let (head, body) = answer.into_parts();
    (head, body.collect().await.expect("a whole body").to_bytes().len())
}
