//! Uploads: client streams of google.api.HttpBody, which take any body as it comes.

use std::time::Duration;

use arsenal_gateway::{Config, Gateway, config::Limits};
use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Request;
use prost::Message;
use tokio::time::timeout;

use crate::{
    canned::{Canned, Recorder},
    protos,
};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
service Files {
  rpc Put(stream File) returns (File) { option (google.api.http) = { put: "/v1/{name=files/**}" body: "content" }; }
  rpc Many(stream File) returns (File) { option (google.api.http) = { post: "/v1/many" body: "*" }; }
  rpc Raw(stream google.api.HttpBody) returns (File) { option (google.api.http) = { post: "/v1/raw" body: "*" }; }
}
message File { string name = 1; google.api.HttpBody content = 2; bool keep = 3; }
"#;

#[derive(Clone, PartialEq, Message)]
struct HttpBody {
    #[prost(string, tag = "1")]
    content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, tag = "2")]
    content: Option<HttpBody>,
    #[prost(bool, tag = "3")]
    keep: bool,
}

type Pieces = Vec<Result<Bytes, std::io::Error>>;

fn pieces(pieces: &[&'static [u8]]) -> Pieces {
    pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect()
}

/// The status, and the messages that upstream got.
async fn send(method: &str, path: &str, content_type: Option<&str>, body: Pieces) -> (u16, Vec<Vec<u8>>) {
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let limits = Limits { request_bytes_max: 6, ..Limits::default() };
    let gateway = Gateway::builder(protos::descriptor_set(PROTO).unwrap());
    let service =
        gateway.config(Config { limits, ..Config::default() }).build().unwrap().service(upstream.clone());
    let mut request = Request::builder().method(method).uri(path);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let response = service.handle(request.body(Body::from_stream(stream::iter(body))).unwrap()).await;
    (response.status().as_u16(), upstream.asked().pop().map(|asked| asked.messages).unwrap_or_default())
}

fn piece(content_type: &str, data: &[u8]) -> HttpBody {
    HttpBody { content_type: content_type.to_owned(), data: data.to_vec() }
}

#[tokio::test]
async fn each_piece_of_an_upload_is_a_message_and_the_first_tells_its_type() {
    let body = pieces(&[b"ab", b"", b"cdefghij"]);
    let (status, messages) = send("PUT", "/v1/files/a/b.png?keep=true", Some("image/png"), body).await;
    assert_eq!(status, 200);
    let got: Vec<File> = messages.iter().map(|message| File::decode(&**message).unwrap()).collect();
    let file = |content| File { name: "files/a/b.png".into(), content: Some(content), keep: true };
    // no message is larger than the limit
    assert_eq!(got, [piece("image/png", b"ab"), piece("", b"cdefgh"), piece("", b"ij")].map(file));
}

#[tokio::test]
async fn an_upload_of_nothing_is_one_message() {
    let (status, messages) = send("POST", "/v1/raw", Some("text/plain"), Vec::new()).await;
    let got: Vec<HttpBody> = messages.iter().map(|message| HttpBody::decode(&**message).unwrap()).collect();
    assert_eq!((status, got), (200, vec![piece("text/plain", b"")]));
    let (status, messages) = send("POST", "/v1/raw", None, pieces(&[b"{"])).await;
    assert_eq!((status, HttpBody::decode(&*messages[0]).unwrap()), (200, piece("", b"{")));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stops_coming_is_given_up_and_a_stream_of_messages_only_within_one() {
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let limits = Limits { body_grace: Duration::ZERO, ..Limits::default() };
    let gateway = Gateway::builder(protos::descriptor_set(PROTO).unwrap());
    let service =
        gateway.config(Config { limits, ..Config::default() }).build().unwrap().service(upstream.clone());
    let begun = |path: &str, text: &'static str| {
        let body = stream::iter(pieces(&[text.as_bytes()])).chain(stream::pending());
        service.handle(Request::post(path).body(Body::from_stream(body)).unwrap())
    };
    for (path, text) in [("/v1/raw", "ab"), ("/v1/many", r#"[{"name":"a"},{"name""#)] {
        let response = begun(path, text).await;
        assert_eq!(response.status(), 408, "{path}");
    }
    for text in ["", "[", r#"[{"name":"a"} "#, r#"[{"name":"a"},"#] {
        let paused = begun("/v1/many", text);
        assert!(timeout(Duration::from_millis(100), paused).await.is_err(), "`{text}` must not be a hurry");
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_no_upload() {
    let mut body = pieces(&[b"ab"]);
    body.push(Err(std::io::Error::other("gone")));
    let (status, _) = send("POST", "/v1/raw", None, body).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn bytes_of_somebody_else_s_are_taken_for_no_other_type_and_the_own_page_stands_in_no_frame() {
    let proto = r#"
        syntax = "proto3";
        package t;
        import "google/api/annotations.proto";
        import "google/api/httpbody.proto";
        message Named { string name = 1; }
        service Files {
          rpc Get(Named) returns (google.api.HttpBody) { option (google.api.http) = { get: "/v1/{name}" }; }
          rpc Follow(Named) returns (stream google.api.HttpBody) { option (google.api.http) = { get: "/v1/{name}:follow" }; }
        }"#;
    let message = piece("text/plain", b"<script>").encode_to_vec();
    let upstream = Recorder::new(Canned { messages: vec![message], ..Canned::default() });
    let service = Gateway::builder(protos::descriptor_set(proto).unwrap()).build().unwrap().service(upstream);
    for path in ["/v1/a", "/v1/a:follow", "/docs", "/openapi.json"] {
        let response = service.handle(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
        let framed = response.headers().get("content-security-policy");
        assert_eq!(framed.is_some_and(|policy| policy == "frame-ancestors 'none'"), path == "/docs");
    }
}
