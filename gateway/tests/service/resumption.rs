//! Streams of services that call the fields by which they are resumed as they like.

use std::collections::HashMap;

use arsenal_gateway::{
    BuildError, Config, Gateway,
    config::{ResumeFields, Resumption},
};
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;

use crate::{
    canned::{Canned, Recorder},
    protos,
};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
service News {
  rpc Follow(Ask) returns (stream Item) { option (google.api.http) = { get: "/v1/news:follow" }; }
}
message Ask { Options options = 1; uint64 after = 2; }
message Options { string since = 1; }
message Item { Head head = 1; uint64 sequence = 2; sint32 mark = 3; }
message Head { string version = 1; }
"#;

fn build(resumption: Resumption) -> Result<Gateway, BuildError> {
    let config = Config { resumption, ..Config::default() };
    Gateway::builder(protos::descriptor_set(PROTO).unwrap()).config(config).build()
}

fn listed(fields: Option<(&str, &str)>) -> Resumption {
    let fields = fields.map(|(id, after)| ResumeFields { id: id.to_owned(), after: after.to_owned() });
    Resumption { methods: HashMap::from([("t.News.Follow".to_owned(), fields)]), ..Resumption::default() }
}

/// The events of a stream with one item, and what its service was asked.
async fn follow(resumption: Resumption) -> (String, Vec<u8>) {
    // head.version "v7", sequence 9, mark -2
    let item = vec![0x0a, 4, 0x0a, 2, b'v', b'7', 0x10, 9, 0x18, 3];
    let upstream = Recorder::new(Canned { messages: vec![item], ..Canned::default() });
    let service = build(resumption).unwrap().service(upstream.clone());
    let request =
        Request::get("/v1/news:follow").header("accept", "text/event-stream").header("last-event-id", "5");
    let body = service.handle(request.body(Body::empty()).unwrap()).await.into_body();
    let events = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
    (events, upstream.asked().pop().unwrap().messages.concat())
}

#[tokio::test]
async fn a_stream_is_resumed_by_the_fields_that_are_listed_for_it_and_else_by_the_usual_ones() {
    let (events, asked) = follow(listed(Some(("head.version", "options.since")))).await;
    assert!(events.starts_with("id: v7\n"), "{events}");
    assert_eq!(asked, [0x0a, 3, 0x0a, 1, b'5']);
    let (events, asked) = follow(Resumption::default()).await;
    assert!(events.starts_with("id: 9\n"), "{events}");
    assert_eq!(asked, [0x10, 5]);
    let (events, asked) = follow(listed(Some(("mark", "after")))).await;
    assert!(events.starts_with("id: -2\n"), "{events}");
    assert_eq!(asked, [0x10, 5]);
}

#[tokio::test]
async fn a_stream_that_is_listed_as_none_to_resume_is_none() {
    let (events, asked) = follow(listed(None)).await;
    assert!(events.starts_with("data: "), "{events}");
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn fields_that_cannot_resume_a_stream_and_streams_that_are_none_are_named_at_the_start() {
    let error = |resumption| build(resumption).unwrap_err().to_string();
    assert!(error(listed(Some(("head", "after")))).contains("`head` is no integer or string of `t.Item`"));
    assert!(error(listed(Some(("sequence", "nope")))).contains("`nope`"));
    let methods = HashMap::from([("t.News.Folow".to_owned(), None)]);
    assert!(error(Resumption { methods, ..Resumption::default() }).contains("`t.News.Folow`"));
}

/// The answer to who had an item, or had none, and may be told of the end.
async fn events(items: usize, had: Option<&str>, format: &str, sse_end: bool) -> (u16, String) {
    let item = vec![0x10, 9];
    let upstream = Recorder::new(Canned { messages: vec![item; items], ..Canned::default() });
    let config = Config { sse_end, ..Config::default() };
    let gateway = Gateway::builder(protos::descriptor_set(PROTO).unwrap()).config(config).build().unwrap();
    let mut request = Request::get("/v1/news:follow").header("accept", format);
    if let Some(id) = had {
        request = request.header("last-event-id", id);
    }
    let answer = gateway.service(upstream).handle(request.body(Body::empty()).unwrap()).await;
    let (parts, body) = answer.into_parts();
    assert_eq!(parts.status != 204, parts.headers.contains_key("content-type"));
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_browser_that_comes_back_to_a_stream_with_nothing_left_is_told_not_to_come_again() {
    const SSE: &str = "text/event-stream";
    assert_eq!(events(0, Some("9"), SSE, false).await, (204, String::new()));
    // whoever has had nothing, or is no browser, has an empty stream
    assert_eq!(events(0, None, SSE, false).await, (200, String::new()));
    assert_eq!(events(0, Some(""), SSE, false).await, (200, String::new()));
    assert_eq!(events(0, Some("9"), "application/x-ndjson", false).await, (200, String::new()));
    let (status, text) = events(1, Some("8"), SSE, false).await;
    assert!(status == 200 && text.starts_with("id: 9\n"), "{status} {text}");
}

#[tokio::test]
async fn an_event_says_that_a_stream_ended_well_where_that_is_asked_for() {
    let end = "event: end\ndata: {}\n\n";
    assert!(events(2, None, "text/event-stream", true).await.1.ends_with(&format!("}}\n\n{end}")));
    assert_eq!(events(0, None, "text/event-stream", true).await.1, end);
    assert!(!events(2, None, "application/x-ndjson", true).await.1.contains("event"));
}
