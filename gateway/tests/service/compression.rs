//! Compressed answers: what they hold of memory, and what is said of them without their bodies.

use std::io::Read as _;

use arsenal_gateway::{Config, GatewayService, Limits, Metrics};
use arsenal_metrics::Text;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt as _;

use super::{
    canned::{Canned, Recorder},
    gateway,
};

const BOOK: &str = "/v1/shelves/1/books/2";
const EVENTS: &str = "/v1/events:watch";
const STEP: usize = 64 << 10;

/// A message of one text that halves when it is compressed, `letters` long.
fn message(field: u8, letters: usize) -> Vec<u8> {
    let mut state = 1u32;
    let text = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"0123456789abcdef"[(state >> 28) as usize]
    });
    let mut message = vec![field << 3 | 2];
    prost::encoding::encode_varint(letters as u64, &mut message);
    message.extend(text.take(letters));
    message
}

fn service(messages: Vec<Vec<u8>>, answers_bytes_max: usize) -> (GatewayService, Metrics) {
    let limits = Limits { answers_bytes_max, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let metrics = config.metrics.clone();
    let headers = vec![("etag".to_owned(), "\"v1\"".to_owned())];
    (gateway(config).service(Recorder::new(Canned { headers, messages, ..Canned::default() })), metrics)
}

/// Bytes that answers hold.
fn held(metrics: &Metrics) -> usize {
    let mut text = Text::default();
    metrics.write(&mut text);
    let text = text.into_string();
    let line = text.lines().find_map(|line| line.strip_prefix("gateway_held_answer_bytes "));
    line.unwrap().parse::<f64>().unwrap() as usize
}

async fn ask(service: &GatewayService, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.handle(request.body(Body::empty()).unwrap()).await
}

fn plain(coding: &str, compressed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => drop(flate2::read::MultiGzDecoder::new(compressed).read_to_end(&mut plain).unwrap()),
        _ => zstd::stream::copy_decode(compressed, &mut plain).unwrap(),
    }
    plain
}

#[tokio::test]
async fn a_compressed_answer_counts_until_it_was_read() {
    let (service, metrics) = service(vec![message(2, 20 * STEP)], 64 << 20);
    for coding in ["gzip", "zstd"] {
        let response = ask(&service, "GET", BOOK, &[("accept-encoding", coding)]).await;
        assert_eq!(response.headers()["content-encoding"], coding);
        let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        assert_eq!(held(&metrics), length.next_multiple_of(STEP), "{coding}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(plain(coding, &body).ends_with(b"\"}"));
        drop(body);
        assert_eq!(held(&metrics), 0, "{coding}");
    }
}

#[tokio::test]
async fn without_room_for_both_an_answer_stays_as_it_is() {
    let (service, metrics) = service(vec![message(2, 3 * STEP)], 4 * STEP);
    let response = ask(&service, "GET", BOOK, &[("accept-encoding", "gzip")]).await;
    assert_eq!(response.headers().get("content-encoding"), None);
    assert_eq!(response.headers()["vary"], "accept-encoding");
    assert_eq!(held(&metrics), 4 * STEP);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes().len(),
        3 * STEP + r#"{"title":""}"#.len()
    );
    assert_eq!(held(&metrics), 0);
}

async fn next(body: &mut Body) -> Bytes {
    body.frame().await.expect("no end").expect("no error").into_data().expect("data")
}

#[tokio::test]
async fn a_compressed_item_counts_until_it_was_read_and_no_stream_ends_for_want_of_room_for_both() {
    for room in [64, 20] {
        let (service, metrics) = service(vec![message(2, 20 * STEP - 1_000); 2], room * STEP);
        let mut body = ask(&service, "GET", EVENTS, &[("accept-encoding", "gzip")]).await.into_body();
        let first = next(&mut body).await;
        // where there is no room for both, it is the plain one that counts
        let plain_counts = held(&metrics) == 20 * STEP;
        assert!(held(&metrics) > 0 && plain_counts == (room == 20), "{} of {room} steps", held(&metrics));
        let mut all = first.to_vec();
        drop(first);
        all.extend(body.collect().await.unwrap().to_bytes());
        assert_eq!(plain("gzip", &all).split(|byte| *byte == b'\n').count(), 3);
        assert_eq!(held(&metrics), 0);
    }
}

/// What is said of the form of an answer.
fn form(headers: &HeaderMap) -> [Option<&str>; 4] {
    [header::ETAG, header::VARY, header::CONTENT_ENCODING, header::CONTENT_LENGTH]
        .map(|name| headers.get(name).map(|value| value.to_str().unwrap()))
}

#[tokio::test]
async fn head_says_nothing_of_the_form_that_get_does_not() {
    let (service, _) = service(vec![message(2, 5_000)], 64 << 20);
    for coding in ["gzip", "zstd", "br"] {
        let asked = [("accept-encoding", coding)];
        let (get, head) =
            (ask(&service, "GET", BOOK, &asked).await, ask(&service, "HEAD", BOOK, &asked).await);
        let [etag, vary, encoding, length] = form(head.headers());
        let of_get = form(get.headers());
        assert_eq!([etag, vary, encoding], of_get[..3], "{coding}");
        assert!(length.is_none() || length == of_get[3], "{coding}: {length:?}");
        assert_eq!(
            etag,
            Some(&*if coding == "br" { "\"v1\"".to_owned() } else { format!("\"v1;{coding}\"") })
        );
    }
}

#[tokio::test]
async fn a_304_has_the_tag_and_the_vary_of_the_answer_that_it_stands_for() {
    let (service, _) = service(vec![message(2, 5_000)], 64 << 20);
    for (coding, tag) in [("gzip", "\"v1;gzip\""), ("br", "\"v1\"")] {
        for method in ["GET", "HEAD"] {
            let asked = [("accept-encoding", coding), ("if-none-match", tag)];
            let response = ask(&service, method, BOOK, &asked).await;
            assert_eq!(response.status(), 304);
            assert_eq!(
                form(response.headers()),
                [Some(tag), Some("accept-encoding"), None, None],
                "{coding}"
            );
            assert_eq!(response.headers().get("content-type"), None);
        }
    }
}
