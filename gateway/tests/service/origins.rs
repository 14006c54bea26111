//! Pages of other origins: what they may read, and what they may not do.

use arsenal_gateway::{Config, Gateway, Hosts, Peer};
use axum::body::Body;
use http::{HeaderMap, Method, Request, Version, header};
use http_body_util::BodyExt as _;

use crate::{
    canned::{Canned, Recorder},
    library, protos,
};

const BOOK: &str = "/v1/shelves/1/books/2";
const SEND: &str = "/v1/processes/a:send";
const PAGE: &str = "https://page.example";

/// Status and headers of an answer, and whether upstream was called.
async fn ask(
    origins: &[&str],
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, bool) {
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let config =
        Config { origins: origins.iter().map(|&origin| origin.to_owned()).collect(), ..Config::default() };
    let gateway =
        Gateway::builder(protos::descriptor_set(library::PROTO).unwrap()).config(config).build().unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", "api.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = gateway.service(upstream.clone()).handle(request.body(Body::empty()).unwrap()).await;
    (response.status().as_u16(), response.headers().clone(), !upstream.asked().is_empty())
}

#[tokio::test]
async fn a_foreign_page_changes_nothing_and_reads_nothing() {
    let foreign = [("origin", PAGE)];
    let (status, headers, called) = ask(&[], Method::POST, SEND, &foreign).await;
    assert_eq!((status, called), (403, false));
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    let (status, headers, _) = ask(&["https://other.example"], Method::GET, BOOK, &foreign).await;
    assert_eq!((status, &headers[header::VARY]), (200, &"origin".parse().unwrap()));
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    for origin in ["null", "https://api.example.evil.example", "api.example"] {
        assert_eq!(ask(&[], Method::POST, SEND, &[("origin", origin)]).await.0, 403, "{origin}");
    }
}

#[tokio::test]
async fn the_own_page_and_who_is_no_page_may_do_what_they_like() {
    assert_eq!(ask(&[], Method::POST, SEND, &[]).await.0, 200);
    assert_eq!(ask(&[], Method::POST, SEND, &[("origin", "https://api.example")]).await.0, 200);
    // behind a proxy the host is another, but the browser says it
    let through = [("origin", PAGE), ("sec-fetch-site", "same-origin")];
    assert_eq!(ask(&[], Method::POST, SEND, &through).await.0, 200);
    for own in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
        let page = [("origin", own), ("sec-fetch-site", "same-origin")];
        assert_eq!(ask(&[], Method::POST, SEND, &page).await.0, 200, "{own}");
    }
    let claimed = [("origin", "https://api.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(ask(&[], Method::POST, SEND, &claimed).await.0, 403);
}

#[tokio::test]
async fn a_domain_that_was_pointed_at_the_gateway_is_foreign_though_it_is_the_same_origin_to_the_browser() {
    let pointed = [("origin", "http://api.example"), ("sec-fetch-site", "same-origin")];
    let (status, _, called) = ask(&[], Method::POST, SEND, &pointed).await;
    assert_eq!((status, called), (403, false));
    assert_eq!(ask(&[], Method::POST, SEND, &pointed[..1]).await.0, 403);
    assert_eq!(ask(&["http://api.example"], Method::POST, SEND, &pointed).await.0, 200);
}

#[tokio::test]
async fn a_named_page_is_let_in_after_it_asked_and_may_read_what_crosses() {
    let preflight = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-grpc-web"),
    ];
    let (status, headers, called) = ask(&[PAGE], Method::OPTIONS, SEND, &preflight).await;
    assert_eq!((status, called), (204, false));
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_METHODS], "POST");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "content-type,x-grpc-web");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    let (status, headers, called) = ask(&[PAGE], Method::POST, SEND, &[("origin", PAGE)]).await;
    assert_eq!((status, called), (200, true));
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
    assert!(headers[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("etag"));
    let (_, headers, _) = ask(&["*"], Method::POST, SEND, &[("origin", PAGE)]).await;
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    let (_, headers, _) = ask(&["https://other.example"], Method::OPTIONS, SEND, &preflight).await;
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn a_gateway_for_its_own_machine_answers_to_no_name_that_nobody_told_it() {
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let hosts = Hosts::local(["known.example"]);
    let config = Config { hosts, ..Config::default() };
    let gateway = Gateway::builder(protos::descriptor_set(library::PROTO).unwrap()).config(config);
    let service = gateway.build().unwrap().service(upstream.clone());
    let paths = [
        (Method::GET, BOOK),
        (Method::GET, "/openapi.json"),
        (Method::GET, "/healthz"),
        (Method::POST, SEND),
    ];
    for (method, path) in paths {
        for (host, answered) in [
            ("localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("known.example", true),
            ("evil.example:8080", false),
        ] {
            let request = Request::builder().method(method.clone()).uri(path).header("host", host);
            let before = upstream.asked().len();
            let (parts, body) = service.handle(request.body(Body::from("{}")).unwrap()).await.into_parts();
            let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            assert_eq!(parts.status != 421, answered, "{path} {host}: {text}");
            if !answered {
                assert!(text.contains("HOST_NOT_ALLOWED") && text.contains("gateway.hosts"), "{text}");
                assert_eq!(upstream.asked().len(), before);
            }
        }
    }
}

#[tokio::test]
async fn a_request_of_a_connection_names_one_host_and_in_its_target_before_its_header() {
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let config = Config { hosts: Hosts::local([]), ..Config::default() };
    let gateway = Gateway::builder(protos::descriptor_set(library::PROTO).unwrap()).config(config);
    let service = gateway.build().unwrap().service(upstream.clone());
    let absolute = format!("http://evil.test{BOOK}");
    for (uri, version, hosts, status) in [
        (BOOK, Version::HTTP_11, ["localhost"].as_slice(), 200),
        (BOOK, Version::HTTP_11, &["localhost", "localhost"], 400),
        (BOOK, Version::HTTP_2, &["localhost", "evil.test"], 400),
        (BOOK, Version::HTTP_11, &[], 400),
        (BOOK, Version::HTTP_10, &[], 200),
        (&absolute, Version::HTTP_11, &["localhost"], 421),
        (&absolute, Version::HTTP_2, &["localhost"], 421),
    ] {
        let mut request = Request::get(uri).version(version);
        for host in hosts {
            request = request.header("host", *host);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::new("127.0.0.1:1".parse().unwrap(), false));
        assert_eq!(service.handle(request).await.status().as_u16(), status, "{uri} {version:?} {hosts:?}");
    }
    // whoever calls in this process names none
    let inside = Request::get(BOOK).body(Body::empty()).unwrap();
    assert_eq!(service.handle(inside).await.status().as_u16(), 200);
}

#[tokio::test]
async fn options_of_no_resource_is_answered_as_the_ping_that_it_is() {
    let (status, _, called) = ask(&[], Method::OPTIONS, "*", &[]).await;
    assert_eq!((status, called), (204, false));
}
