//! What crosses beside messages: request ids, and the metadata of a call's end as headers or trailers.

use arsenal_gateway::{Config, Gateway, GatewayService, Peer};
use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;

use crate::{
    canned::{Canned, Recorder},
    library, protos,
};

fn service(canned: Canned) -> (GatewayService, Recorder) {
    let upstream = Recorder::new(canned);
    let gateway = Gateway::builder(protos::descriptor_set(library::PROTO).unwrap());
    (gateway.config(Config::default()).build().unwrap().service(upstream.clone()), upstream)
}

fn ending(trailers: &[(&str, &str)]) -> Canned {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Canned { messages: vec![vec![]], trailers: Some(trailers.iter().map(own).collect()), ..Canned::default() }
}

async fn get(
    service: &GatewayService,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, Option<HeaderMap>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = service.handle(request.body(Body::empty()).unwrap()).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    (parts.status.as_u16(), parts.headers, body.trailers().cloned())
}

const BOOK: &str = "/v1/shelves/1/books/2";
const EVENTS: &str = "/v1/events:watch";

#[tokio::test]
async fn a_request_is_known_by_the_same_id_on_both_sides() {
    for (path, code) in [(BOOK, "0"), (BOOK, "5"), (EVENTS, "0")] {
        let (service, upstream) = service(ending(&[("grpc-status", code)]));
        let (_, given, _) = get(&service, path, &[("x-request-id", "mine-1")]).await;
        let (_, made, _) = get(&service, path, &[]).await;
        let told: Vec<_> =
            upstream.asked().iter().map(|asked| asked.metadata["x-request-id"].clone()).collect();
        assert_eq!(given["x-request-id"], "mine-1");
        assert_eq!(told, [given["x-request-id"].clone(), made["x-request-id"].clone()]);
        assert_eq!(made["x-request-id"].len(), 32);
    }
}

#[tokio::test]
async fn what_proves_who_a_client_is_reaches_the_service_and_what_nobody_listed_does_not() {
    let (service, upstream) = service(ending(&[("grpc-status", "0")]));
    let crossing = [
        ("authorization", "Bearer abc"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("idempotency-key", "k"),
    ];
    let staying =
        [("cookie", "id=1"), ("x-secret", "s"), ("connection", "close"), ("proxy-authorization", "x")];
    let renamed = [("grpc-metadata-x-tenant", "t")];
    get(&service, BOOK, &[&crossing[..], &staying[..], &renamed[..]].concat()).await;
    let metadata = upstream.asked()[0].metadata.clone();
    for (name, value) in crossing {
        assert_eq!(metadata[name], value);
    }
    assert_eq!(metadata["x-tenant"], "t");
    for (name, _) in staying {
        assert!(!metadata.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_service_hears_whom_a_call_comes_from_by_its_connection() {
    for content_type in ["application/json", "application/grpc"] {
        let (service, upstream) = service(ending(&[("grpc-status", "0")]));
        let path =
            if content_type == "application/grpc" { "/t.Library/Send" } else { "/v1/processes/a:send" };
        let mut request = Request::post(format!("https://own.test{path}"))
            .version(http::Version::HTTP_2)
            .header("content-type", content_type)
            .header("x-forwarded-for", "1.2.3.4")
            .header("x-forwarded-proto", "gopher")
            .header("x-forwarded-client-cert", "Hash=0")
            .header("grpc-metadata-x-forwarded-client-cert", "Hash=0")
            .header("forwarded", "for=1.2.3.4")
            .body(Body::from(if content_type == "application/grpc" { "\0\0\0\0\0" } else { "{}" }))
            .unwrap();
        request.extensions_mut().insert(Peer::new("9.9.9.9:1".parse().unwrap(), true));
        service.handle(request).await;
        let metadata = upstream.asked()[0].metadata.clone();
        let told =
            ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| metadata[name].clone());
        assert_eq!(told, ["9.9.9.9", "https", "own.test"], "{content_type}");
        assert!(!metadata.contains_key("x-forwarded-client-cert"), "{content_type}");
        assert!(!metadata.contains_key("forwarded"), "{content_type}");
    }
}

#[tokio::test]
async fn what_a_failure_says_beside_its_status_becomes_headers() {
    let (service, _) = service(ending(&[("grpc-status", "14"), ("retry-after", "3"), ("secret", "x")]));
    let (status, headers, _) = get(&service, BOOK, &[]).await;
    assert_eq!((status, &headers["retry-after"]), (503, &"3".parse().unwrap()));
    assert!(!headers.contains_key("secret") && !headers.contains_key("grpc-status"));
}

#[tokio::test]
async fn a_stream_s_end_comes_as_trailers_to_who_takes_them() {
    for code in ["0", "8"] {
        let (service, _) = service(ending(&[("grpc-status", code), ("retry-after", "3"), ("secret", "x")]));
        let (_, headers, trailers) = get(&service, EVENTS, &[("te", "deflate, Trailers")]).await;
        let trailers = trailers.unwrap();
        assert_eq!((&trailers["retry-after"], trailers.len()), (&"3".parse().unwrap(), 1));
        assert!(headers["trailer"].to_str().unwrap().contains("retry-after"));
        let (_, headers, trailers) = get(&service, EVENTS, &[]).await;
        assert_eq!((headers.get("trailer"), trailers), (None, None));
    }
}
