//! What HTTP knows and gRPC does not: entity tags and conditions, content codings, paths of the gateway's own.

mod conditions;

use std::io::{Read as _, Write as _};

use arsenal_gateway::{Config, EtagFields, Gateway, Limits};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, header, request::Builder};
use http_body_util::BodyExt as _;
use prost::Message;
use serde_json::Value;

use crate::{
    DEADLINE,
    canned::{Canned, Recorder},
    protos,
};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";
service Shelves {
  rpc Get(Named) returns (Shelf) { option (google.api.http) = { get: "/v1/{name=shelves/*}" }; }
  rpc Replace(Change) returns (Shelf) { option (google.api.http) = { put: "/v1/{shelf.name=shelves/*}" body: "shelf" }; }
  rpc Delete(Named) returns (Shelf) { option (google.api.http) = { delete: "/v1/{name=shelves/*}" }; }
  rpc Dust(Plain) returns (Shelf) { option (google.api.http) = { post: "/v1/{name=shelves/*}:dust" body: "*" }; }
  rpc Watch(Plain) returns (stream Shelf) { option (google.api.http) = { get: "/v1/{name=shelves/*}:watch" }; }
  rpc Read(Plain) returns (Only) { option (google.api.http) = { get: "/v1/only/{name}" }; }
  rpc ReadMore(Plain) returns (Around) { option (google.api.http) = { get: "/v1/around/{name}" }; }
  rpc ReadPart(Plain) returns (Around) { option (google.api.http) = { get: "/v1/part/{name}" response_body: "shelf" }; }
  rpc Put(PutRequest) returns (Around) { option (google.api.http) = { put: "/v1/around/{name}" body: "*" }; }
  rpc Build(PutRequest) returns (Around) { option (google.api.http) = { post: "/v1/around/{name}" body: "*" }; }
  rpc Swap(Two) returns (Two) { option (google.api.http) = { put: "/v1/two/{name}" body: "*" }; }
  rpc Look(Masked) returns (Hall) { option (google.api.http) = { get: "/v1/{name=halls/*}" }; }
  rpc Alter(Changed) returns (Hall) { option (google.api.http) = { patch: "/v1/{hall.name=halls/*}" body: "hall" }; }
  rpc List(Masked) returns (Halls) { option (google.api.http) = { get: "/v1/halls" }; }
  rpc Fill(stream Shelf) returns (Shelf) { option (google.api.http) = { post: "/v1/shelves:fill" body: "*" }; }
}
message Named { string name = 1; string etag = 2; }
message Plain { string name = 1; }
message Change { Shelf shelf = 1; }
message Shelf { string name = 1; string etag = 2; }
message Only { Shelf shelf = 3; }
message Around { Shelf shelf = 3; uint64 readers = 4; }
message PutRequest { string name = 1; Shelf shelf = 3; }
message Hall { string name = 1; string etag = 2; Shelf shelf = 3; }
message Halls { repeated Hall halls = 1; }
message Masked { string name = 1; google.protobuf.FieldMask read_mask = 2; }
message Changed { Hall hall = 1; }
message Two { string name = 1; Shelf shelf = 3; Shelf other = 4; }
"#;

#[derive(Clone, PartialEq, Message)]
struct Shelf {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    etag: String,
}

#[derive(Clone, PartialEq, Message)]
struct Change {
    #[prost(message, tag = "1")]
    shelf: Option<Shelf>,
}

fn shelf(name: &str, etag: &str) -> Shelf {
    Shelf { name: name.to_owned(), etag: etag.to_owned() }
}

fn answering(shelves: &[Shelf]) -> Canned {
    Canned { messages: shelves.iter().map(Message::encode_to_vec).collect(), ..Canned::default() }
}

fn refusing(code: &str) -> Canned {
    Canned { trailers: Some(vec![("grpc-status".into(), code.into())]), ..Canned::default() }
}

struct Got {
    status: u16,
    headers: HeaderMap,
    bytes: Bytes,
    /// What upstream was asked, unframed.
    asked: Vec<Vec<u8>>,
}

async fn ask(config: Config, canned: Canned, request: Builder, body: impl Into<Body>) -> Got {
    let upstream = Recorder::new(canned);
    let gateway = Gateway::builder(protos::descriptor_set(PROTO).unwrap()).config(config).build().unwrap();
    let response = gateway.service(upstream.clone()).handle(request.body(body.into()).unwrap()).await;
    let (parts, body) = response.into_parts();
    let bytes = tokio::time::timeout(DEADLINE, body.collect()).await.unwrap().unwrap().to_bytes();
    let asked = upstream.asked().into_iter().flat_map(|asked| asked.messages).collect();
    Got { status: parts.status.as_u16(), headers: parts.headers, bytes, asked }
}

fn reason(got: &Got) -> Value {
    serde_json::from_slice::<Value>(&got.bytes).unwrap()["error"]["details"][0]["reason"].clone()
}

#[tokio::test]
async fn a_field_etag_is_the_answer_s_etag_and_answers_conditional_reads() {
    let canned = || answering(&[shelf("shelves/1", "v7")]);
    let get = || Request::get("/v1/shelves/1");
    let got = ask(Config::default(), canned(), get(), "").await;
    assert_eq!((got.status, &got.headers[header::ETAG]), (200, &"\"v7\"".parse().unwrap()));
    for known in ["\"v7\"", "\"v6\", W/\"v7\"", "*"] {
        let got = ask(Config::default(), canned(), get().header("if-none-match", known), "").await;
        assert_eq!((got.status, got.bytes.len()), (304, 0), "{known}");
        assert_eq!(got.headers[header::ETAG], "\"v7\"");
    }
    let got = ask(Config::default(), canned(), get().header("if-none-match", "\"v6\""), "").await;
    assert_eq!(got.status, 200);
    let got = ask(Config::default(), canned(), get().header("if-match", "\"v6\""), "").await;
    assert_eq!((got.status, reason(&got)), (412, "PRECONDITION_FAILED".into()));
    let quoted = || answering(&[shelf("shelves/1", "\"v7\"")]);
    let got = ask(Config::default(), quoted(), get(), "").await;
    assert_eq!(got.headers[header::ETAG], "\"v7\"");
    let got = ask(Config::default(), answering(&[shelf("shelves/1", "a\nb")]), get(), "").await;
    assert_eq!((got.status, got.headers.get(header::ETAG)), (200, None));
}

#[tokio::test]
async fn if_match_reaches_the_field_that_upstream_checks() {
    let canned = || answering(&[shelf("shelves/1", "v8")]);
    let put = Request::put("/v1/shelves/1").header("if-match", "\"v7\"");
    let got = ask(Config::default(), canned(), put, r#"{"name":"x"}"#).await;
    assert_eq!((got.status, &got.headers[header::ETAG]), (200, &"\"v8\"".parse().unwrap()));
    let change = Change::decode(&*got.asked[0]).unwrap();
    assert_eq!(change.shelf, Some(shelf("shelves/1", "v7")));
    let quoted = Config { etag_fields: EtagFields::Quoted, ..Config::default() };
    let delete = Request::delete("/v1/shelves/1").header("if-match", "W/\"v6\", \"v7\"");
    let got = ask(quoted, canned(), delete, "").await;
    assert_eq!(Shelf::decode(&*got.asked[0]).unwrap(), shelf("shelves/1", "\"v7\""));
    let any = Request::delete("/v1/shelves/1?etag=v7").header("if-match", "*");
    let got = ask(Config::default(), canned(), any, "").await;
    assert_eq!(Shelf::decode(&*got.asked[0]).unwrap(), shelf("shelves/1", "v7"));
}

/// A message with a shelf in field 3.
#[derive(Clone, PartialEq, Message)]
struct Around {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, tag = "3")]
    shelf: Option<Shelf>,
}

#[tokio::test]
async fn the_etag_of_the_one_resource_in_an_answer_is_the_answer_s() {
    let around = Around { name: String::new(), shelf: Some(shelf("a", "v7")) };
    let canned = || Canned { messages: vec![around.encode_to_vec()], ..Canned::default() };
    let got = ask(Config::default(), canned(), Request::get("/v1/part/a"), "").await;
    assert_eq!((got.status, &got.headers[header::ETAG]), (200, &"\"v7\"".parse().unwrap()));
    // what else is in an answer may change while the etag does not
    for path in ["/v1/only/a", "/v1/around/a"] {
        let got = ask(Config::default(), canned(), Request::get(path), "").await;
        let tag = got.headers[header::ETAG].clone();
        assert!(tag.to_str().unwrap().starts_with("\"v7;"), "{tag:?}");
        let known = || Request::get(path).header("if-none-match", &tag);
        assert_eq!(ask(Config::default(), canned(), known(), "").await.status, 304, "{path}");
        let other = Around { shelf: Some(shelf("b", "v7")), ..around.clone() };
        let other = Canned { messages: vec![other.encode_to_vec()], ..Canned::default() };
        assert_eq!(ask(Config::default(), other, known(), "").await.status, 200, "{path}");
        let put = Request::put("/v1/around/a").header("if-match", &tag);
        let got = ask(Config::default(), canned(), put, "{}").await;
        let sent = Around::decode(&*got.asked[0]).unwrap();
        assert_eq!(sent.shelf.unwrap().etag, "v7");
    }
    for request in [Request::put("/v1/around/a"), Request::post("/v1/around/a")] {
        let got = ask(Config::default(), canned(), request, "{}").await;
        assert_eq!(got.headers[header::ETAG], "\"v7\"");
    }
    let got = ask(Config::default(), canned(), Request::put("/v1/two/a"), "{}").await;
    assert_eq!(got.headers.get(header::ETAG), None);
}

#[tokio::test]
async fn if_match_guards_the_one_resource_of_a_replacement() {
    let canned = || Canned { messages: vec![Vec::new()], ..Canned::default() };
    let guarded = |builder: Builder| builder.header("if-match", "\"v7\"");
    let put = guarded(Request::put("/v1/around/a"));
    let got = ask(Config::default(), canned(), put, r#"{"shelf":{"name":"x","etag":"v7"}}"#).await;
    let sent = Around { name: "a".into(), shelf: Some(shelf("x", "v7")) };
    assert_eq!((got.status, Around::decode(&*got.asked[0]).unwrap()), (200, sent));
    let got = ask(Config::default(), refusing("10"), guarded(Request::put("/v1/around/a")), "{}").await;
    assert_eq!(got.status, 412);
    // what is made has no state yet, and of two nobody knows which is meant
    for request in [Request::post("/v1/around/a"), Request::put("/v1/two/a")] {
        let got = ask(Config::default(), canned(), guarded(request), "{}").await;
        assert_eq!((got.status, reason(&got)), (400, "INVALID_HEADER".into()));
    }
}

#[tokio::test]
async fn what_is_refused_before_a_call_has_an_id_too() {
    let asked = || Request::get("/nowhere").header("x-request-id", "mine");
    let got = ask(Config::default(), Canned::default(), asked(), "").await;
    assert_eq!((got.status, &got.headers["x-request-id"]), (404, &"mine".parse().unwrap()));
    let got = ask(Config::default(), Canned::default(), Request::put("/v1/only/a"), "").await;
    assert_eq!((got.status, got.headers["x-request-id"].len()), (405, 32));
    let none = Config { request_id: false, ..Config::default() };
    let got = ask(none, Canned::default(), asked(), "").await;
    assert_eq!(got.headers.get("x-request-id"), None);
}

#[tokio::test]
async fn a_condition_that_did_not_hold_is_412_and_one_that_nobody_can_check_is_refused() {
    for (code, guarded, plain) in [("10", 412, 409), ("9", 412, 400), ("5", 404, 404)] {
        let delete = || Request::delete("/v1/shelves/1");
        let got = ask(Config::default(), refusing(code), delete().header("if-match", "\"a\""), "").await;
        assert_eq!(got.status, guarded, "{code}");
        assert_eq!(ask(Config::default(), refusing(code), delete(), "").await.status, plain, "{code}");
    }
    let dust = || Request::post("/v1/shelves/1:dust");
    let put = || Request::put("/v1/shelves/1");
    for request in [
        dust().header("if-match", "\"a\""),
        put().header("if-none-match", "*"),
        put().header("if-match", "\"a\", \"b\""),
        put().header("if-match", "bare"),
    ] {
        let got = ask(Config::default(), answering(&[shelf("", "")]), request, "{}").await;
        assert_eq!((got.status, got.asked.len()), (400, 0));
        assert_eq!(reason(&got), "INVALID_HEADER");
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> String {
    let mut plain = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut plain).unwrap();
    plain
}

#[tokio::test]
async fn an_answer_is_pressed_for_who_accepts_it_if_it_is_large() {
    let long = "x".repeat(5000);
    let canned = || answering(&[shelf(&long, "v7")]);
    let get = |accept| Request::get("/v1/shelves/1").header("accept-encoding", accept);
    let plain = ask(Config::default(), canned(), get("identity"), "").await;
    assert_eq!(
        (plain.headers.get("content-encoding"), &plain.headers["vary"]),
        (None, &"accept-encoding".parse().unwrap())
    );
    assert_eq!(plain.headers[header::ETAG], "\"v7\"");
    let got = ask(Config::default(), canned(), get("gzip"), "").await;
    assert_eq!(
        (&got.headers["content-encoding"], &got.headers[header::ETAG]),
        (&"gzip".parse().unwrap(), &"\"v7;gzip\"".parse().unwrap())
    );
    assert_eq!(got.headers["content-length"], got.bytes.len().to_string());
    assert!(got.bytes.len() < 200);
    assert_eq!(gunzip(&got.bytes).as_bytes(), plain.bytes);
    let got = ask(Config::default(), canned(), get("gzip, zstd"), "").await;
    assert_eq!(got.headers["content-encoding"], "zstd");
    assert_eq!(zstd::decode_all(&*got.bytes).unwrap(), plain.bytes);
    let small = ask(Config::default(), answering(&[shelf("a", "")]), get("gzip"), "").await;
    assert_eq!((small.headers.get("content-encoding"), small.headers.get("vary")), (None, None));
    let never = Config { compress_bytes_min: None, ..Config::default() };
    assert_eq!(ask(never, canned(), get("gzip"), "").await.bytes, plain.bytes);
    let page =
        ask(Config::default(), canned(), Request::get("/openapi.json").header("accept-encoding", "gzip"), "")
            .await;
    assert!(gunzip(&page.bytes).contains("\"3.1.0\""));
}

#[tokio::test]
async fn each_item_of_a_pressed_stream_can_be_read_when_it_is_sent() {
    for coding in ["gzip", "zstd"] {
        let canned = answering(&[shelf("first", ""), shelf("second", "")]);
        let gateway = Gateway::builder(protos::descriptor_set(PROTO).unwrap()).build().unwrap();
        let request = Request::get("/v1/shelves/1:watch").header("accept-encoding", coding);
        let service = gateway.service(Recorder::new(canned));
        let response = service.handle(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()["content-encoding"], coding);
        let mut body = response.into_body();
        let first = tokio::time::timeout(DEADLINE, body.frame()).await.unwrap().unwrap().unwrap();
        let mut pressed = first.into_data().unwrap().to_vec();
        // what came so far, read as far as it goes
        let mut plain = Vec::new();
        let _ = match coding {
            "gzip" => flate2::read::GzDecoder::new(&*pressed).read_to_end(&mut plain),
            _ => zstd::Decoder::new(&*pressed).unwrap().read_to_end(&mut plain),
        };
        assert_eq!(String::from_utf8(plain).unwrap(), "{\"name\":\"first\"}\n");
        pressed.extend_from_slice(&body.collect().await.unwrap().to_bytes());
        let whole = if coding == "gzip" {
            gunzip(&pressed)
        } else {
            String::from_utf8(zstd::decode_all(&*pressed).unwrap()).unwrap()
        };
        assert_eq!(whole.lines().count(), 2);
    }
}

#[tokio::test]
async fn a_pressed_body_is_taken_whole_and_as_a_stream_and_never_beyond_the_limit() {
    let canned = || answering(&[shelf("", "")]);
    let dust = |coding: &str| Request::put("/v1/shelves/1").header("content-encoding", coding);
    let json = br#"{"etag":"abc"}"#;
    for (coding, body) in
        [("gzip", gzip(json)), ("x-gzip", gzip(json)), ("zstd", zstd::encode_all(&json[..], 1).unwrap())]
    {
        let got = ask(Config::default(), canned(), dust(coding), body).await;
        assert_eq!(
            Change::decode(&*got.asked[0]).unwrap().shelf,
            Some(shelf("shelves/1", "abc")),
            "{coding}"
        );
    }
    let fill = Request::post("/v1/shelves:fill").header("content-encoding", "gzip");
    let got = ask(Config::default(), canned(), fill, gzip(b"{\"name\":\"a\"}\n{\"name\":\"b\"}")).await;
    assert_eq!((got.status, got.asked.len()), (200, 2));
    let limits = Limits { request_bytes_max: 1000, ..Limits::default() };
    let config = || Config { limits, ..Config::default() };
    let got = ask(config(), canned(), dust("gzip"), gzip(&[b' '; 100_000])).await;
    assert_eq!((got.status, reason(&got)), (413, "BODY_TOO_LARGE".into()));
    let got = ask(config(), canned(), dust("gzip"), "{}").await;
    assert_eq!((got.status, reason(&got)), (400, "INVALID_BODY".into()));
    let got = ask(config(), canned(), dust("br"), "{}").await;
    assert_eq!((got.status, &got.headers["accept-encoding"]), (415, &"gzip, zstd".parse().unwrap()));
}

#[test]
fn a_rule_on_a_path_of_the_gateway_s_own_is_named_at_the_start() {
    let rule = |path: &str| {
        let proto = PROTO.replace("/v1/{name=shelves/*}:watch", path);
        Gateway::builder(protos::descriptor_set(&proto).unwrap())
            .config(Config { taken_paths: vec!["/metrics".to_owned()], ..Config::default() })
            .build()
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    for path in ["/docs", "/openapi.json", "/healthz", "/metrics"] {
        let wanted = format!("method `t.Shelves.Watch` and the gateway itself both answer GET {path}");
        assert_eq!(rule(path), Err(wanted));
    }
    assert_eq!(rule("/{name}"), Ok(()));
}

#[tokio::test]
async fn the_gateway_s_own_pages_are_there_for_get_alone() {
    for page in ["/docs", "/openapi.json", "/healthz"] {
        for method in ["POST", "DELETE", "PUT"] {
            let request = Request::builder().method(method).uri(page);
            let got = ask(Config::default(), Canned::default(), request, "").await;
            assert_eq!((got.status, reason(&got)), (405, "METHOD_NOT_ALLOWED".into()), "{method} {page}");
            assert_eq!(got.headers["allow"], "GET, HEAD, OPTIONS");
        }
        let options = Request::builder().method("OPTIONS").uri(page);
        let got = ask(Config::default(), Canned::default(), options, "").await;
        assert_eq!((got.status, &got.headers["allow"]), (204, &"GET, HEAD, OPTIONS".parse().unwrap()));
    }
}
