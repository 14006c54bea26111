//! The gateway in front of a small service, in process and over the wire.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "../../../tls/tests/support/authority.rs"]
mod authority;
mod bodies;
#[path = "../support/canned.rs"]
mod canned;
mod compression;
mod connections;
mod crossing;
mod deaths;
mod discovery;
mod endings;
mod library;
mod live;
mod origins;
mod pool;
#[path = "../support/protos.rs"]
mod protos;
mod rest;
mod resumption;
mod secure;
mod stubs;
mod upload;

use std::{sync::atomic::Ordering, time::Duration};

use arsenal_gateway::{
    Config, Gateway, GatewayService, Limits,
    upstream::{self, Remote},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, StatusCode, request::Builder};
use http_body_util::BodyExt as _;
use library::Counters;
use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn gateway(config: Config) -> Gateway {
    let descriptors = protos::descriptor_set(library::PROTO).unwrap();
    Gateway::builder(descriptors).config(config).build().unwrap()
}

fn embedded(config: Config) -> (GatewayService, Counters) {
    let counters = Counters::default();
    (gateway(config).service(upstream::service(library::router(counters.clone()))), counters)
}

/// The same service behind a socket.
async fn over_the_wire(config: Config) -> (GatewayService, Counters) {
    let counters = Counters::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let router = library::router(counters.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (gateway(config).service(Remote::new(&address, 2).unwrap()), counters)
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

async fn get(service: &GatewayService, request: Builder, body: &'static str) -> Got {
    let response = service.handle(request.body(Body::from(body)).unwrap()).await;
    let (parts, body) = response.into_parts();
    let bytes = tokio::time::timeout(DEADLINE, body.collect()).await.unwrap().unwrap().to_bytes();
    Got { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

#[tokio::test]
async fn a_unary_call_answers_alike_in_process_and_over_the_wire() {
    for service in [embedded(Config::default()).0, over_the_wire(Config::default()).await.0] {
        let got = get(&service, Request::get("/v1/shelves/1/books/n1.7.42"), "").await;
        assert_eq!(got.status, StatusCode::OK);
        assert_eq!(got.headers["etag"], "\"7\"");
        assert_eq!(got.text, r#"{"name":"shelves/1/books/n1.7.42","title":"Dune","tags":["a","b"]}"#);
        let got = get(&service, Request::get("/v1/shelves/1/books/missing"), "").await;
        assert_eq!(got.status, StatusCode::NOT_FOUND);
        let error = json!({"code": 404, "message": "no book there", "status": "NOT_FOUND", "details": []});
        assert_eq!(got.json(), json!({ "error": error }));
        assert!(!got.headers.contains_key("grpc-status"));
    }
}

#[tokio::test]
async fn a_process_reference_with_dots_colons_and_at_signs_reaches_the_service_whole() {
    let (service, _) = embedded(Config::default());
    let json = |request: Builder| request.header("content-type", "application/json");
    for (path, process) in
        [("n1.7.42", "n1.7.42"), ("foo@n2", "foo@n2"), ("a:b", "a:b"), ("a%3Asend", "a:send")]
    {
        let request = json(Request::post(format!("/v1/processes/{path}:send")));
        let got =
            get(&service, request.header("request-timeout", "2.5"), r#"{"word":"hi","process":"other"}"#)
                .await;
        assert_eq!(got.json(), json!({"name": process, "title": "hi", "tags": ["2500000u"]}), "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_precisely() {
    let (service, _) = embedded(Config::default());
    let book = "/v1/shelves/1/books/2";
    let status = |got: &Got| got.status.as_u16();
    let got = get(&service, Request::get(format!("{book}?pageSiez=1")), "").await;
    assert_eq!(status(&got), 400);
    let error = &got.json()["error"];
    assert_eq!(error["message"], "unknown query parameter `pageSiez`, did you mean `pageSize`?");
    assert_eq!(error["details"][0]["reason"], "UNKNOWN_QUERY_PARAMETER");
    assert_eq!(error["details"][1]["fieldViolations"][0]["field"], "pageSiez");
    let got = get(&service, Request::delete(book), "").await;
    assert_eq!((status(&got), &got.headers["allow"]), (405, &"GET, HEAD, OPTIONS, PATCH".parse().unwrap()));
    let got = get(&service, Request::options(book), "").await;
    assert_eq!((status(&got), &*got.text), (204, ""));
    assert_eq!(status(&get(&service, Request::get(format!("{book}/")), "").await), 404);
    assert_eq!(status(&get(&service, Request::get(book).header("accept", "image/png"), "").await), 406);
    assert_eq!(status(&get(&service, Request::get(book).header("if-none-match", "W/\"7\""), "").await), 304);
    let got = get(&service, Request::head(book), "").await;
    assert_eq!((status(&got), &*got.text), (200, ""));
    assert_ne!(got.headers["content-length"], "0");
    let form =
        Request::post("/v1/processes/a:send").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(status(&get(&service, form, "{}").await), 415);
    let got = get(&service, Request::patch(book), r#"{"titel":"x"}"#).await;
    assert_eq!(
        got.json()["error"]["message"],
        "body: field `book`: `t.Book` has no field `titel`, did you mean `title`? at byte 9"
    );
    for (path, body, member) in [
        (Request::patch(book), r#"{"titel":"x"}"#, "book.titel"),
        (Request::post("/v1/processes/a:send"), r#"{"mesage":"x"}"#, "mesage"),
    ] {
        let got = get(&service, path, body).await;
        assert_eq!(got.json()["error"]["details"][1]["fieldViolations"][0]["field"], member);
    }
    assert_eq!(status(&get(&service, Request::get(format!("/v1/{}", "x".repeat(20_000))), "").await), 414);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_or_grows_too_large_is_given_up() {
    let limits =
        Limits { body_idle_max: Duration::from_millis(20), request_bytes_max: 64, ..Limits::default() };
    let (service, _) = embedded(Config { limits, ..Config::default() });
    let request = |body| Request::post("/v1/processes/a:send").body(body).unwrap();
    let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let response = service.handle(request(Body::from_stream(never))).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    // Without a length: only reading finds out, and stops there.
    let endless =
        futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"          ")));
    let response = service.handle(request(Body::from_stream(endless))).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
    assert_eq!(service.handle(request(Body::from_stream(broken))).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_patch_without_a_mask_changes_the_fields_it_holds() {
    let (service, _) = embedded(Config::default());
    let book = "/v1/shelves/1/books/2";
    let got = get(&service, Request::patch(book), r#"{"title":"x","tags":[]}"#).await;
    assert_eq!(got.json(), json!({"name": "shelves/1/books/2", "title": "x", "tags": ["title", "tags"]}));
    let got = get(&service, Request::patch(format!("{book}?update_mask=tags")), r#"{"title":"x"}"#).await;
    assert_eq!(got.json()["tags"], json!(["tags"]));
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_item_keeps_its_http_status() {
    for service in [embedded(Config::default()).0, over_the_wire(Config::default()).await.0] {
        let got = get(&service, Request::get("/v1/events:watch?fail=true"), "").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN);
        assert_eq!(got.json()["error"]["message"], "not for you");
    }
}

#[tokio::test]
async fn lines_carry_items_and_then_the_error() {
    for service in [embedded(Config::default()).0, over_the_wire(Config::default()).await.0] {
        let got = get(&service, Request::get("/v1/events:watch?count=2&fail=true"), "").await;
        assert_eq!(
            (got.status, &got.headers["content-type"]),
            (StatusCode::OK, &"application/x-ndjson".parse().unwrap())
        );
        let lines: Vec<Value> = got.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1]["sequence"], "2");
        assert_eq!(lines[2]["error"]["status"], "RESOURCE_EXHAUSTED");
    }
}

#[tokio::test]
async fn events_carry_ids_and_resume_behind_the_last_one_seen() {
    let (service, _) = embedded(Config { sse_retry: Some(Duration::from_secs(2)), ..Config::default() });
    let sse =
        || Request::get("/v1/events:watch?count=2&after=1&fail=true").header("accept", "text/event-stream");
    let got = get(&service, sse().header("last-event-id", "5"), "").await;
    assert_eq!(got.headers["content-type"], "text/event-stream");
    let events: Vec<&str> = got.text.split("\n\n").collect();
    assert_eq!(events[0], "retry: 2000");
    assert!(events[1].starts_with("id: 6\ndata: {\"sequence\":\"6\""), "{}", events[1]);
    assert!(events[2].starts_with("id: 7\n"), "{}", events[2]);
    assert!(events[3].starts_with("event: error\ndata: {\"error\":{\"code\":429,"), "{}", events[3]);
}

async fn next_frame(body: &mut Body) -> Bytes {
    let frame = tokio::time::timeout(DEADLINE, body.frame()).await.expect("a frame in time");
    frame.expect("no end").expect("no error").into_data().expect("data")
}

#[tokio::test(start_paused = true)]
async fn a_quiet_event_stream_shows_that_it_lives() {
    let (service, _) = embedded(Config { heartbeat: Duration::from_millis(10), ..Config::default() });
    let request = Request::get("/v1/events:watch?count=1&hang=true").header("accept", "text/event-stream");
    let mut body = service.handle(request.body(Body::empty()).unwrap()).await.into_body();
    assert!(next_frame(&mut body).await.starts_with(b"id: 1"));
    assert_eq!(next_frame(&mut body).await, ":\n\n");
    assert_eq!(next_frame(&mut body).await, ":\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_of_lines_shows_that_it_lives_only_where_that_is_asked_for() {
    let heartbeat = Duration::from_millis(10);
    let request = || {
        let request =
            Request::get("/v1/events:watch?count=1&hang=true").header("accept", "application/x-ndjson");
        request.body(Body::empty()).unwrap()
    };
    let (service, _) = embedded(Config { heartbeat, heartbeat_lines: true, ..Config::default() });
    let mut body = service.handle(request()).await.into_body();
    assert!(next_frame(&mut body).await.ends_with(b"}\n"));
    assert_eq!(next_frame(&mut body).await, "\n");
    let (silent, _) = embedded(Config { heartbeat, ..Config::default() });
    let mut quiet = silent.handle(request()).await.into_body();
    assert!(next_frame(&mut quiet).await.ends_with(b"}\n"));
    // in the time of three beats of the other
    for _ in 0..3 {
        assert_eq!(next_frame(&mut body).await, "\n");
    }
    assert!(quiet.frame().now_or_never().is_none());
}

#[tokio::test]
async fn a_slow_reader_holds_the_producer_back_and_a_gone_one_ends_it() {
    for (service, counters, bound) in [
        {
            let (service, counters) = embedded(Config::default());
            (service, counters, 5)
        },
        // A window of HTTP/2 may be under way.
        {
            let (service, counters) = over_the_wire(Config::default()).await;
            (service, counters, 60_000)
        },
    ] {
        let request = Request::get("/v1/events:watch").body(Body::empty()).unwrap();
        let mut body = service.handle(request).await.into_body();
        for _ in 0..3 {
            next_frame(&mut body).await;
        }
        // Whoever could run ahead has every chance to.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let produced = counters.produced.load(Ordering::SeqCst);
        assert!(produced <= bound, "{produced} events for a reader of 3");
        drop(body);
        tokio::time::timeout(DEADLINE, counters.dropped.notified())
            .await
            .expect("the watch ends with its reader");
    }
}

#[tokio::test]
async fn slow_readers_hold_up_no_other_call_on_their_connection() {
    let (service, _) = over_the_wire(Config::default()).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let request = Request::get("/v1/events:watch").body(Body::empty()).unwrap();
        let mut body = service.handle(request).await.into_body();
        next_frame(&mut body).await;
        slow.push(body);
    }
    // whatever has room fills
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        let read = get(&service, Request::get("/v1/shelves/1/books/2"), "");
        let got = tokio::time::timeout(DEADLINE, read).await.expect("an answer beside the slow readers");
        assert_eq!(got.status, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_mid_stream_ends_it_with_an_error() {
    let (service, _) = embedded(Config::default());
    let request = Request::get("/v1/events:watch?count=1&hang=true").header("grpc-timeout", "50m");
    let got = get(&service, request, "").await;
    let lines: Vec<Value> = got.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1]["error"]["status"], "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_client_stream_is_counted_and_a_bad_element_is_named() {
    for service in [embedded(Config::default()).0, over_the_wire(Config::default()).await.0] {
        let got =
            get(&service, Request::post("/v1/books:count"), r#"[{"title":"a"},{},{"title":"c"}]"#).await;
        assert_eq!(got.json()["sequence"], "3");
        let got = get(&service, Request::post("/v1/books:count"), "{}\n{}\n").await;
        assert_eq!(got.json()["sequence"], "2");
        let got = get(&service, Request::post("/v1/books:count"), r#"[{"title":"a"},{"title":2}]"#).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST);
        assert_eq!(got.json()["error"]["details"][1]["fieldViolations"][0]["field"], "title");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_unavailable() {
    // Bound, so that nobody else gets the port, and listened to by nobody.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap()).parse().unwrap();
    let service = gateway(Config::default()).service(Remote::new(&address, 1).unwrap());
    let got = get(&service, Request::get("/v1/shelves/1/books/2"), "").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.json()["error"]["details"][0]["reason"], "UPSTREAM_UNAVAILABLE");
}
