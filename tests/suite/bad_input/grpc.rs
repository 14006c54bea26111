//! What only gRPC can get wrong: frames, encodings, content types.

use super::still_serves;
use arsenal_proto::v1::StartProcessRequest;
use arsenal_tests::{DEADLINE, Transport, on};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use std::net::SocketAddr;

const START: &str = "/arsenal.v1.ProcessService/StartProcess";
const OK: u32 = 0;
const OUT_OF_RANGE: u32 = 11;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;

/// What came back: the HTTP status, and gRPC's if there is one.
#[derive(Debug, PartialEq)]
struct Answer {
    http: u16,
    grpc: Option<u32>,
}

async fn post(address: SocketAddr, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", content_type)
        .header("te", "trailers")
        .body(Full::new(body.into()));
    let exchange = async {
        let response = client.request(request.unwrap()).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let trailers = body.collect().await.expect("a whole answer").trailers().cloned().unwrap_or_default();
        let status = parts.headers.get("grpc-status").or(trailers.get("grpc-status"));
        let grpc = status.map(|status| status.to_str().unwrap().parse().unwrap());
        Answer { http: parts.status.as_u16(), grpc }
    };
    tokio::time::timeout(DEADLINE, exchange).await.expect("an answer in time")
}

/// A message behind its prefix.
fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

fn request() -> Vec<u8> {
    StartProcessRequest { module: "counter".into(), ..Default::default() }.encode_to_vec()
}

#[test]
fn broken_frames_get_a_status() {
    let whole = frame(0, &request());
    let frames: &[(&str, Vec<u8>, u32)] = &[
        ("a whole one", whole.clone(), OK),
        ("none", Vec::new(), INTERNAL),
        ("half a prefix", whole[..3].to_vec(), INTERNAL),
        ("half a message", whole[..whole.len() - 2].to_vec(), INTERNAL),
        ("an unknown flag", frame(7, &request()), INTERNAL),
        ("no protobuf", frame(0, &[0xff; 20]), INTERNAL),
        ("text that is no UTF-8", frame(0, &[0x12, 2, 0xff, 0xfe]), INTERNAL),
        ("a length of four gigabytes", [&[0, 0xff, 0xff, 0xff, 0xff][..], &request()].concat(), OUT_OF_RANGE),
        ("more than the limit", frame(0, &vec![0; 5 << 20]), OUT_OF_RANGE),
    ];
    on(Transport::Grpc, |sandbox, api| async move {
        for (what, body, status) in frames {
            let answer = post(sandbox.grpc(), START, "application/grpc", body.clone()).await;
            assert_eq!(answer, Answer { http: 200, grpc: Some(*status) }, "{what}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn compression_that_was_not_offered_is_unimplemented() {
    on(Transport::Grpc, |sandbox, api| async move {
        let answer = post(sandbox.grpc(), START, "application/grpc", frame(1, &request())).await;
        assert!(matches!(answer.grpc, Some(INTERNAL | UNIMPLEMENTED)), "{answer:?}");
        still_serves(&api).await;
    });
}

#[test]
fn unknown_fields_are_passed_over_as_protobuf_has_it() {
    on(Transport::Grpc, |sandbox, api| async move {
        // field 2,000, a varint
        let message = [request(), vec![0x80, 0x7d, 1]].concat();
        let answer = post(sandbox.grpc(), START, "application/grpc", frame(0, &message)).await;
        assert_eq!(answer, Answer { http: 200, grpc: Some(OK) });
        still_serves(&api).await;
    });
}

#[test]
fn unknown_methods_and_services_are_unimplemented() {
    on(Transport::Grpc, |sandbox, api| async move {
        for path in ["/arsenal.v1.ProcessService/NoSuch", "/no.such.Service/Call", "/", "/%ff/%ff"] {
            let answer = post(sandbox.grpc(), path, "application/grpc", frame(0, b"")).await;
            assert_eq!(answer, Answer { http: 200, grpc: Some(UNIMPLEMENTED) }, "{path}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn another_content_type_is_unsupported() {
    on(Transport::Grpc, |sandbox, api| async move {
        for content_type in ["application/json", "text/html", "application/grpcx"] {
            let answer = post(sandbox.grpc(), START, content_type, frame(0, &request())).await;
            assert_eq!(answer.http, 415, "{content_type}: {answer:?}");
        }
        assert_eq!(sandbox.node().process_count(), 0);
        still_serves(&api).await;
    });
}

#[test]
fn a_deadline_that_is_none_is_refused_or_ignored() {
    on(Transport::Grpc, |_, api| async move {
        let strange = api.with_header("grpc-timeout", "soon");
        // tonic, as gRPC's own servers, goes on without a deadline
        let outcome = strange.call("GetSystemInfo", serde_json::json!({})).await;
        assert!(outcome.is_ok() || outcome.is_err_and(|failure| failure.code == "INTERNAL"));
        still_serves(&api).await;
    });
}
