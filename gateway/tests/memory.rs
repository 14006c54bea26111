//! The memory of a gateway that serves request after request. A test program of its own, since it looks at what is
//! resident: nothing else runs in it.

#![expect(clippy::unwrap_used, reason = "in a test")]

#[path = "support/protos.rs"]
mod protos;

use std::convert::Infallible;

use arsenal_gateway::{Gateway, GatewayService, upstream};
use axum::body::Body;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
service Echo {
  rpc Say(Message) returns (Message) { option (google.api.http) = { post: "/say/{name}" body: "*" }; }
}
message Message { string name = 1; repeated string tags = 2; map<string, int64> sizes = 3; }
"#;

/// Requests without `GATEWAY_REQUESTS` in the environment.
const REQUESTS: u64 = 20_000;

/// What may come and go: a page table here, an arena there.
const SLACK_BYTES: u64 = 4 << 20;

/// Answers with the frame that it is sent.
async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let frame = request.into_body().collect().await.unwrap().to_bytes();
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let frames = [Ok::<_, Infallible>(Frame::data(frame)), Ok(Frame::trailers(trailers))];
    let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

/// Each request is another: its path, its size, and every tenth is refused.
async fn ask(gateway: &GatewayService, number: u64) {
    let tags = vec![format!(r#""tag-{number}""#); (number % 50) as usize].join(",");
    let unknown = number.is_multiple_of(10);
    let field = if unknown { "unknown" } else { "tags" };
    let body = format!(r#"{{"{field}":[{tags}],"sizes":{{"{number}":"{number}"}}}}"#);
    let request = Request::post(format!("/say/{number}")).header("content-type", "application/json");
    let answer = gateway.handle(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(answer.status(), if unknown { 400 } else { 200 });
    let text = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap();
    assert!(unknown || text.contains(&format!(r#""name":"{number}""#)), "{text}");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn memory_stays_as_it_is_however_many_requests_come() {
    let requests = std::env::var("GATEWAY_REQUESTS").map_or(REQUESTS, |text| text.parse().unwrap());
    let set = protos::descriptor_set(PROTO).unwrap();
    let gateway = Gateway::builder(set).build().unwrap().service(upstream::service(tower::service_fn(echo)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let warm_up = requests / 10;
        for number in 0..warm_up {
            ask(&gateway, number).await;
        }
        let before = resident_bytes();
        for number in warm_up..requests {
            ask(&gateway, number).await;
        }
        let after = resident_bytes();
        assert!(
            after <= before + SLACK_BYTES,
            "{before} bytes after {warm_up} requests, {after} after {requests}"
        );
        println!("{before} bytes resident after {warm_up} requests, {after} after {requests}");
    });
}
