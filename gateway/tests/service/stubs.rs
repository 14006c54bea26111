//! Clients that have stubs, on the gateway's own port: what passes in gRPC and gRPC-Web, and what does not.

use arsenal_gateway::{Config, GatewayService, Peer, config::GrpcCalls, upstream};
use axum::{body::Body, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version, header};
use http_body_util::BodyExt as _;

use super::{
    canned::{Canned, Recorder},
    gateway, library,
};

const GET_BOOK: &str = "/t.Library/GetBook";
const WEB: &str = "application/grpc-web+proto";
const WEB_TEXT: &str = "application/grpc-web-text";
const GRPC: &str = "application/grpc";

/// Status, headers, body and trailers of a call with an empty message.
async fn call(
    service: &GatewayService,
    path: &str,
    content_type: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Bytes, HeaderMap) {
    let frame = if content_type == WEB_TEXT { "AAAAAAA=" } else { "\0\0\0\0\0" };
    let mut request = Request::post(path).header("host", "own.test").header("content-type", content_type);
    if content_type == GRPC {
        request = request.version(Version::HTTP_2);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(frame)).unwrap();
    request.extensions_mut().insert(Peer::new("9.9.9.9:1".parse().unwrap(), true));
    let (parts, body) = service.handle(request).await.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    (parts.status, parts.headers, body.to_bytes(), trailers)
}

fn answering() -> Recorder {
    Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() })
}

#[tokio::test]
async fn the_error_of_a_plain_tonic_service_reaches_a_grpc_web_client_behind_a_body_of_no_told_length() {
    // a trailers-only answer, of which axum's router says that it has no bytes
    let refuse = || async { tonic::Status::not_found("no book").into_http::<Body>() };
    let routes = tonic::service::Routes::from(axum::Router::new().route(GET_BOOK, post(refuse)));
    let service = gateway(Config::default()).service(upstream::service(routes.prepare()));
    for content_type in [WEB, WEB_TEXT] {
        let (status, headers, body, _) = call(&service, GET_BOOK, content_type, &[]).await;
        assert_eq!((status, headers.get(header::CONTENT_LENGTH)), (StatusCode::OK, None), "{content_type}");
        let plain = if content_type == WEB_TEXT { STANDARD.decode(&body).unwrap() } else { body.to_vec() };
        assert_eq!(plain[0], 0x80, "{content_type}");
        let trailers = String::from_utf8(plain[5..].to_vec()).unwrap();
        assert!(trailers.contains("grpc-status:5\r\n"), "{content_type}: {trailers}");
        assert!(trailers.contains("grpc-message:no%20book\r\n"), "{content_type}: {trailers}");
    }
}

#[tokio::test]
async fn what_a_client_says_of_its_connection_stays_on_it() {
    for content_type in [WEB, GRPC] {
        let upstream = answering();
        let service = gateway(Config::default()).service(upstream.clone());
        let hops = [
            ("connection", "close, X-Hop, x-forwarded-for"),
            ("x-hop", "secret"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
        ];
        call(&service, GET_BOOK, content_type, &[&hops[..], &[("x-own", "mine")]].concat()).await;
        let metadata = upstream.asked()[0].metadata.clone();
        for (name, _) in hops {
            assert!(!metadata.contains_key(name), "{content_type}: {name}");
        }
        assert_eq!(metadata["x-own"], "mine");
        // nobody hides by a name in `connection`
        assert_eq!(metadata["x-forwarded-for"], "9.9.9.9");
    }
}

#[tokio::test]
async fn a_method_that_the_descriptors_do_not_have_is_called_only_where_all_may_be() {
    let described = ("/t.Library/Count", "0");
    let health = "/grpc.health.v1.Health/Check";
    let channelz = ("/grpc.channelz.v1.Channelz/GetTopChannels", "12");
    let no_health = Config { health_path: None, ..Config::default() };
    let all = Config { grpc: GrpcCalls::All, ..Config::default() };
    for (config, expected) in [
        (Config::default(), [described, channelz, (health, "0"), ("/t.Library/Steal", "12")]),
        (no_health, [described, channelz, (health, "12"), ("/t.Nobody/Count", "12")]),
        (all, [described, (channelz.0, "0"), (health, "0"), ("/t.Library/Steal", "0")]),
    ] {
        for ((path, code), content_type) in expected.into_iter().flat_map(|one| [(one, WEB), (one, GRPC)]) {
            let upstream = answering();
            let service = gateway(config.clone()).service(upstream.clone());
            let (status, headers, body, trailers) = call(&service, path, content_type, &[]).await;
            let told = headers.get("grpc-status").or_else(|| trailers.get("grpc-status"));
            let code_of_web = || String::from_utf8_lossy(&body).into_owned();
            let found =
                told.map_or_else(code_of_web, |code| format!("grpc-status:{}\r", code.to_str().unwrap()));
            assert!(found.contains(&format!("grpc-status:{code}\r")), "{content_type} {path}: {found}");
            assert_eq!(
                (status, upstream.asked().len()),
                (StatusCode::OK, usize::from(code == "0")),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn no_call_passes_where_none_may() {
    let upstream = answering();
    let config = Config { grpc: GrpcCalls::None, ..Config::default() };
    let service = gateway(config).service(upstream.clone());
    assert_eq!(call(&service, GET_BOOK, WEB, &[]).await.0, StatusCode::NOT_FOUND);
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn grpc_over_http_1_is_told_that_its_status_could_not_come_back() {
    let upstream = answering();
    let service = gateway(Config::default()).service(upstream.clone());
    let request = Request::post(GET_BOOK).header("content-type", GRPC).body(Body::from("\0\0\0\0\0"));
    let response = service.handle(request.unwrap()).await;
    assert_eq!(response.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn a_refusal_says_in_ascii_what_it_has_to_say() {
    let service = gateway(Config::default()).service(answering());
    let (_, headers, ..) = call(&service, "/t.Library/100%25%C3%A9", GRPC, &[]).await;
    let message = headers["grpc-message"].to_str().unwrap();
    assert_eq!(message, "the gateway serves no method `/t.Library/100%2525%25C3%25A9`");
}

#[tokio::test]
async fn every_answer_tells_the_id_of_its_request() {
    let upstream = answering();
    let service = gateway(Config::default()).service(upstream.clone());
    let id = [("x-request-id", "mine-1")];
    for content_type in [WEB, GRPC] {
        let (_, headers, ..) = call(&service, GET_BOOK, content_type, &id).await;
        assert_eq!(headers["x-request-id"], "mine-1");
        assert_eq!(call(&service, GET_BOOK, content_type, &[]).await.1["x-request-id"].len(), 32);
    }
    assert!(upstream.asked().iter().all(|asked| asked.metadata.contains_key("x-request-id")));
    let preflight = [("origin", "https://page.example"), ("access-control-request-method", "GET")].as_slice();
    for (method, path, headers) in [
        ("GET", "/openapi.json", [].as_slice()),
        ("GET", "/docs", &[]),
        ("GET", "/healthz", &[]),
        ("GET", "/nowhere", &[]),
        ("OPTIONS", "/v1/events:watch", &[]),
        ("OPTIONS", "/v1/events:watch", preflight),
    ] {
        let mut request = Request::builder().method(method).uri(path).header("x-request-id", "mine-2");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = service.handle(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()["x-request-id"], "mine-2", "{method} {path}");
    }
    let silent = gateway(Config { request_id: false, ..Config::default() }).service(answering());
    assert!(!call(&silent, GET_BOOK, WEB, &id).await.1.contains_key("x-request-id"));
    let router = library::router(library::Counters::default());
    let refused = gateway(Config::default()).service(upstream::service(router));
    assert!(call(&refused, "/t.Library/Nothing", WEB, &[]).await.1.contains_key("x-request-id"));
}
