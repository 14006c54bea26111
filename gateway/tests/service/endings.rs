//! How calls end that upstream ends without a word, or does not end, and those whose client has all the time in the world.

use std::time::Duration;

use arsenal_gateway::{
    Config, Gateway, GatewayService, Limits,
    upstream::{Answer, Upstream},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;

use super::{
    DEADLINE,
    canned::{Canned, Recorder, frame},
    library, protos,
};

const BOOK: &str = "/v1/shelves/1/books/2";
const EVENTS: &str = "/v1/events:watch";

fn service(config: Config, upstream: impl Upstream) -> GatewayService {
    let descriptors = protos::descriptor_set(library::PROTO).unwrap();
    Gateway::builder(descriptors).config(config).build().unwrap().service(upstream)
}

async fn get(service: &GatewayService, path: &str, timeout: &str) -> (u16, String) {
    let request = Request::get(path).header("request-timeout", timeout).body(Body::empty()).unwrap();
    let asking = async {
        let (parts, body) = service.handle(request).await.into_parts();
        (parts.status.as_u16(), body.collect().await.unwrap().to_bytes())
    };
    let (status, bytes) = tokio::time::timeout(DEADLINE, asking).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn trailers_that_tell_no_status_are_no_success() {
    for trailers in [vec![], vec![("x-other".to_owned(), "1".to_owned())]] {
        let canned = Canned { messages: vec![vec![]], trailers: Some(trailers), ..Canned::default() };
        let service = service(Config::default(), Recorder::new(canned));
        let (status, text) = get(&service, BOOK, "10").await;
        assert_eq!(status, 500, "{text}");
        assert!(text.contains("without a status") && text.contains("UPSTREAM_BROKEN"), "{text}");
        let (status, text) = get(&service, EVENTS, "10").await;
        let told = text.lines().filter(|line| line.contains("without a status")).count();
        assert_eq!((status, text.lines().count(), told), (200, 2, 1), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_say_how_it_is_does_not_serve() {
    struct Hung;
    impl Upstream for Hung {
        fn call(&self, _: Request<Body>) -> Answer {
            Box::pin(std::future::pending())
        }
    }
    let service = service(Config::default(), Hung);
    let asking = service.handle(Request::get("/healthz").body(Body::empty()).unwrap());
    let (parts, body) = tokio::time::timeout(DEADLINE, asking).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!((parts.status.as_u16(), &*body), (503, &br#"{"status":"NOT_SERVING"}"#[..]));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_always_has_one_more_item_ends_at_its_deadline() {
    struct Endless;
    impl Upstream for Endless {
        fn call(&self, _: Request<Body>) -> Answer {
            let items = futures_util::stream::repeat_with(|| {
                // time passes, and nobody comes to run timers
                let _ = tokio::time::advance(Duration::from_millis(1)).now_or_never();
                Ok::<Bytes, std::io::Error>(frame(b""))
            });
            let response = Response::builder().header("content-type", "application/grpc");
            Box::pin(async { Ok(response.body(Body::from_stream(items))?) })
        }
    }
    let (status, text) = get(&service(Config::default(), Endless), EVENTS, "0.05").await;
    let last = text.lines().last().unwrap();
    assert!(status == 200 && last.contains("DEADLINE_EXCEEDED"), "{last}");
}

#[tokio::test]
async fn a_client_may_say_that_it_has_more_time_than_a_clock_can_tell() {
    for timeout_max in [None, Some(Duration::from_secs(7 * 24 * 3_600))] {
        let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
        let service = service(Config { timeout_max, ..Config::default() }, upstream.clone());
        for path in [BOOK, EVENTS] {
            assert_eq!(get(&service, path, "1e19").await.0, 200, "{path} {timeout_max:?}");
        }
        let told = upstream.asked()[0].metadata.get("grpc-timeout").cloned();
        assert_eq!(told, timeout_max.map(|_| "604800S".parse().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_stream_counts_from_its_request_and_not_from_its_headers() {
    struct Late;
    impl Upstream for Late {
        fn call(&self, _: Request<Body>) -> Answer {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(4)).await;
                // an item at 4 s, one at 6 s, and so on
                let items = futures_util::stream::unfold(0, async |after| {
                    tokio::time::sleep(Duration::from_secs(after)).await;
                    Some((Ok::<Bytes, std::io::Error>(frame(b"")), 2))
                });
                let response = Response::builder().header("content-type", "application/grpc");
                Ok(response.body(Body::from_stream(items))?)
            })
        }
    }
    let (status, text) = get(&service(Config::default(), Late), EVENTS, "5").await;
    let lines: Vec<&str> = text.lines().collect();
    assert!(status == 200 && lines.len() == 2 && lines[1].contains("DEADLINE_EXCEEDED"), "{text}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_told_as_one_to_be_asked_for_again() {
    let limits = Limits { response_bytes_max: 8, ..Limits::default() };
    let upstream =
        Recorder::new(Canned { messages: vec![vec![0x0a, 8, 0, 0, 0, 0, 0, 0, 0, 0]], ..Canned::default() });
    let (status, text) = get(&service(Config { limits, ..Config::default() }, upstream), BOOK, "10").await;
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("RESOURCE_EXHAUSTED") && text.contains("RESPONSE_TOO_LARGE"), "{text}");
}
