//! What only gRPC can get wrong: frames, encodings, content types.

use super::still_serves;
use arsenal_proto::Value;
use arsenal_proto::google::rpc;
use arsenal_proto::v1::start_process_request::Payload;
use arsenal_proto::v1::{ReceiveMessagesRequest, StartProcessRequest};
use arsenal_tests::{DEADLINE, Transport, on};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use std::net::SocketAddr;
use tonic::Status;

const START: &str = "/arsenal.v1.ProcessService/StartProcess";
const OPEN_SESSION: &str = "/arsenal.v1.SessionService/OpenSession";
/// Status and reason of a message beyond the limit.
const TOO_LARGE: (u32, &str) = (RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE");
const OK: u32 = 0;
const INVALID_ARGUMENT: u32 = 3;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;

/// What came back: the HTTP status, and gRPC's with the reason of its `ErrorInfo` if there is one.
#[derive(Debug, PartialEq)]
struct Answer {
    http: u16,
    grpc: Option<u32>,
    reason: String,
}

impl Answer {
    fn of_grpc(status: u32, reason: &str) -> Self {
        Self { http: 200, grpc: Some(status), reason: reason.into() }
    }
}

/// The reason of the `ErrorInfo` among a status's details.
fn reason_of(headers: &http::HeaderMap) -> String {
    let status = Status::from_header_map(headers);
    let details = status.map(|status| rpc::Status::decode(status.details()).unwrap().details);
    let info = details.unwrap_or_default().into_iter().find(|any| any.type_url.ends_with("ErrorInfo"));
    info.map(|info| rpc::ErrorInfo::decode(&*info.value).unwrap().reason).unwrap_or_default()
}

async fn post(address: SocketAddr, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
    let request = http::Request::post(format!("http://{address}{path}")).header("content-type", content_type);
    send(request.body(Full::new(body.into())).unwrap()).await
}

/// Sends a request without a client that has a mind of its own about deadlines and encodings.
async fn send(mut request: http::Request<Full<Bytes>>) -> Answer {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let exchange = async {
        let response = client.request(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let trailers = body.collect().await.expect("a whole answer").trailers().cloned().unwrap_or_default();
        let headers = if parts.headers.contains_key("grpc-status") { &parts.headers } else { &trailers };
        let grpc = headers.get("grpc-status").map(|status| status.to_str().unwrap().parse().unwrap());
        Answer { http: parts.status.as_u16(), grpc, reason: reason_of(headers) }
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
    let frames: &[(&str, Vec<u8>, u32, &str)] = &[
        ("a whole one", whole.clone(), OK, ""),
        ("none", Vec::new(), UNIMPLEMENTED, "MESSAGE_COUNT"),
        ("two", whole.repeat(2), UNIMPLEMENTED, "MESSAGE_COUNT"),
        ("half a prefix", whole[..3].to_vec(), INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
        ("half a message", whole[..whole.len() - 2].to_vec(), INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
        ("an unknown flag", frame(7, &request()), INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
        ("no protobuf", frame(0, &[0xff; 20]), INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
        ("no UTF-8", frame(0, &[0x12, 2, 0xff, 0xfe]), INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
        ("four gigabytes", [&[0, 0xff, 0xff, 0xff, 0xff][..], &request()].concat(), TOO_LARGE.0, TOO_LARGE.1),
        ("more than the limit", frame(0, &vec![0; 5 << 20]), TOO_LARGE.0, TOO_LARGE.1),
    ];
    on(Transport::Grpc, |sandbox, api| async move {
        for (what, body, status, reason) in frames {
            let answer = post(sandbox.grpc(), START, "application/grpc", body.clone()).await;
            assert_eq!(answer, Answer::of_grpc(*status, reason), "{what}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn a_number_that_json_does_not_have_is_refused_however_deep_it_lies() {
    on(Transport::Grpc, |sandbox, api| async move {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(number)) };
            let list = prost_types::ListValue { values: vec![value.clone()] };
            let list = prost_types::Value { kind: Some(prost_types::value::Kind::ListValue(list)) };
            for value in [value, list] {
                let args = Payload::Args(Value::from_raw(value.encode_to_vec().into()));
                let start =
                    StartProcessRequest { module: "kv".into(), payload: Some(args), ..Default::default() };
                let answer =
                    post(sandbox.grpc(), START, "application/grpc", frame(0, &start.encode_to_vec())).await;
                assert_eq!(answer, Answer::of_grpc(INVALID_ARGUMENT, "MALFORMED_MESSAGE"), "{number}");
            }
        }
        still_serves(&api).await;
    });
}

#[test]
fn broken_frames_on_a_stream_end_it_with_the_same_status() {
    let frames: &[(&str, Vec<u8>, u32, &str)] = &[
        ("an unknown flag", frame(7, b""), INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
        ("no protobuf", frame(0, &[0xff; 20]), INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
        ("half a message", frame(0, b"1234")[..7].to_vec(), INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
        ("more than the limit", frame(0, &vec![0; 5 << 20]), TOO_LARGE.0, TOO_LARGE.1),
    ];
    on(Transport::Grpc, |sandbox, api| async move {
        for (what, body, status, reason) in frames {
            let answer = post(sandbox.grpc(), OPEN_SESSION, "application/grpc", body.clone()).await;
            assert_eq!(answer, Answer::of_grpc(*status, reason), "{what}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn compression_that_was_not_offered_is_refused() {
    on(Transport::Grpc, |sandbox, api| async move {
        let answer = post(sandbox.grpc(), START, "application/grpc", frame(1, &request())).await;
        assert_eq!(answer, Answer::of_grpc(INTERNAL, "UNEXPECTED_COMPRESSION"));
        let compressing = api.with_header("grpc-encoding", "gzip");
        let failure = compressing.err("GetSystemInfo", serde_json::json!({})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("UNIMPLEMENTED", "UNSUPPORTED_COMPRESSION"));
        still_serves(&api).await;
    });
}

#[test]
fn unknown_fields_are_passed_over_as_protobuf_has_it() {
    on(Transport::Grpc, |sandbox, api| async move {
        // field 2,000, a varint
        let message = [request(), vec![0x80, 0x7d, 1]].concat();
        let answer = post(sandbox.grpc(), START, "application/grpc", frame(0, &message)).await;
        assert_eq!(answer, Answer::of_grpc(OK, ""));
        still_serves(&api).await;
    });
}

#[test]
fn unknown_methods_and_services_are_unimplemented() {
    on(Transport::Grpc, |sandbox, api| async move {
        for path in ["/arsenal.v1.ProcessService/NoSuch", "/no.such.Service/Call", "/", "/%ff/%ff"] {
            let answer = post(sandbox.grpc(), path, "application/grpc", frame(0, b"")).await;
            assert_eq!(answer, Answer::of_grpc(UNIMPLEMENTED, "UNKNOWN_METHOD"), "{path}");
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
fn a_deadline_that_is_none_is_ignored_as_grpc_s_own_servers_do() {
    on(Transport::Grpc, |_, api| async move {
        let strange = api.with_header("grpc-timeout", "soon");
        strange.ok("GetSystemInfo", serde_json::json!({})).await;
        still_serves(&api).await;
    });
}

#[test]
fn a_call_without_an_answer_by_its_deadline_says_so() {
    on(Transport::Grpc, |sandbox, api| async move {
        let session = api.ok("CreateSession", serde_json::json!({})).await["session"].clone();
        let receive = ReceiveMessagesRequest {
            session: session.as_str().unwrap().to_owned(),
            timeout: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
            ..Default::default()
        };
        let path = "/arsenal.v1.SessionService/ReceiveMessages";
        let request = http::Request::post(format!("http://{}{path}", sandbox.grpc()))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "50m")
            .body(Full::new(frame(0, &receive.encode_to_vec()).into()));
        // nothing comes for the session: it is the header that ends the wait, not the request's own timeout
        let answer = send(request.unwrap()).await;
        assert_eq!(answer, Answer::of_grpc(DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"));
        still_serves(&api).await;
    });
}

#[test]
fn grpc_web_over_http_1_has_its_status_behind_the_message() {
    on(Transport::Grpc, |sandbox, api| async move {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let body = async |message: Vec<u8>| {
            let request = http::Request::post(format!("http://{}{START}", sandbox.grpc()))
                .header("content-type", "application/grpc-web+proto")
                .body(Full::new(frame(0, &message).into()));
            let response = client.request(request.unwrap()).await.expect("an answer");
            assert_eq!(response.headers()["content-type"], "application/grpc-web+proto");
            response.into_body().collect().await.expect("a whole answer").to_bytes()
        };
        let answer = tokio::time::timeout(DEADLINE, body(request())).await.expect("an answer in time");
        assert_eq!(sandbox.node().process_count(), 1);
        let length = u32::from_be_bytes(*answer[1..].first_chunk().unwrap()) as usize;
        let trailers = &answer[5 + length..];
        // the flag of a frame that holds trailers
        assert_eq!((answer[0], trailers[0]), (0, 0x80));
        assert!(trailers[5..].starts_with(b"grpc-status:0"), "{}", trailers.escape_ascii());
        still_serves(&api).await;
    });
}
