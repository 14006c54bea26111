//! What a client demands of the state that it changes, and that one state is told in one form.

use arsenal_gateway::{Config, JsonOptions};
use http::{Request, header, request::Builder};
use prost::Message;

use super::{Around, Shelf, answering, ask, reason, refusing, shelf};
use crate::canned::Canned;

#[tokio::test]
async fn a_weak_tag_is_that_of_no_state_to_who_demands_it() {
    let weak = |builder: Builder| builder.header("if-match", "W/\"v7\"");
    for text in ["v7", "W/\"v7\""] {
        let canned = || answering(&[shelf("shelves/1", text)]);
        for request in [Request::delete("/v1/shelves/1"), Request::put("/v1/shelves/1")] {
            let got = ask(Config::default(), canned(), weak(request), "{}").await;
            assert_eq!((got.status, reason(&got)), (412, "PRECONDITION_FAILED".into()), "{text}");
            assert_eq!(got.asked.len(), 0, "the service is not asked");
        }
        let got = ask(Config::default(), canned(), weak(Request::get("/v1/shelves/1")), "").await;
        assert_eq!((got.status, reason(&got)), (412, "PRECONDITION_FAILED".into()), "{text}");
    }
}

/// A shelf that is worth to be compressed.
fn long(etag: &str) -> Shelf {
    shelf(&"shelves/1".repeat(300), etag)
}

#[tokio::test]
async fn what_was_read_compressed_is_changed_under_the_tag_that_came_with_it() {
    let around = || Canned {
        messages: vec![Around { name: String::new(), shelf: Some(long("v7")) }.encode_to_vec()],
        ..Canned::default()
    };
    for (path, body) in
        [("/v1/shelves/1", r#"{"etag":"v7"}"#), ("/v1/around/a", r#"{"shelf":{"etag":"v7"}}"#)]
    {
        let canned = || if body.contains("shelf") { around() } else { answering(&[long("v7")]) };
        for coding in ["gzip", "zstd"] {
            let read = Request::get(path).header("accept-encoding", coding);
            let read = ask(Config::default(), canned(), read, "").await;
            let tag = read.headers[header::ETAG].to_str().unwrap().to_owned();
            assert_eq!(read.headers[header::CONTENT_ENCODING], coding);
            assert!(tag.starts_with("\"v7;") && tag.ends_with(&format!(";{coding}\"")), "{tag}");
            let put = || Request::put(path).header("if-match", &tag);
            for body in [body, "{}"] {
                let got = ask(Config::default(), canned(), put(), body.to_owned()).await;
                assert_eq!(got.status, 200, "{tag}");
                let asked = String::from_utf8_lossy(&got.asked[0]).into_owned();
                assert!(asked.contains("\u{2}v7"), "what the service compares: {asked:?}");
            }
            // the service has another
            let got = ask(Config::default(), refusing("10"), put(), "{}").await;
            assert_eq!(got.status, 412, "{tag}");
            let weak = Request::put(path).header("if-match", format!("W/{tag}"));
            let got = ask(Config::default(), canned(), weak, "{}").await;
            assert_eq!((got.status, got.asked.len()), (412, 0), "{tag}");
            for (demanded, status) in [(tag.as_str(), 200), ("\"v6;gzip\"", 412), ("\"v7;br\"", 412)] {
                let get = Request::get(path).header("if-match", demanded);
                assert_eq!(ask(Config::default(), canned(), get, "").await.status, status, "{demanded}");
            }
        }
    }
}

#[tokio::test]
async fn only_a_form_that_the_client_would_be_given_is_one_that_it_has() {
    for (accepted, known, told) in [
        ("gzip", "\"v7;gzip\"", Some("\"v7;gzip\"")),
        ("gzip", "\"v6\", W/\"v7;gzip\"", Some("\"v7;gzip\"")),
        ("gzip", "\"v7\"", Some("\"v7\"")),
        ("gzip", "*", Some("\"v7;gzip\"")),
        ("br", "\"v7\"", Some("\"v7\"")),
        ("br", "\"v7;gzip\"", None),
        ("zstd", "\"v7;gzip\"", None),
        ("gzip", "\"v6;gzip\"", None),
    ] {
        for method in ["GET", "HEAD"] {
            let read = Request::builder().method(method).uri("/v1/shelves/1");
            let read = read.header("accept-encoding", accepted).header("if-none-match", known);
            let got = ask(Config::default(), answering(&[long("v7")]), read, "").await;
            let expected = if told.is_some() { 304 } else { 200 };
            assert_eq!(got.status, expected, "{method} of {known} in {accepted}");
            if let Some(told) = told {
                assert_eq!(got.headers[header::ETAG], told, "{known} in {accepted}");
            }
        }
    }
}

#[tokio::test]
async fn two_states_that_are_demanded_at_once_are_refused_and_named() {
    let canned = || answering(&[shelf("shelves/1", "v8")]);
    let guarded = |builder: Builder| builder.header("if-match", "\"v7\"");
    let asked = [
        (Request::delete("/v1/shelves/1?etag=v6"), "", "`etag` demands `v6`"),
        (Request::put("/v1/shelves/1"), r#"{"etag":"\"v6\""}"#, "`shelf.etag` demands `\\\"v6\\\"`"),
        (Request::put("/v1/around/a"), r#"{"shelf":{"etag":"v6"}}"#, "`shelf.etag` demands `v6`"),
    ];
    for (request, body, named) in asked {
        let got = ask(Config::default(), canned(), guarded(request), body).await;
        assert_eq!((got.status, reason(&got), got.asked.len()), (400, "INVALID_HEADER".into(), 0), "{named}");
        let text = String::from_utf8_lossy(&got.bytes).into_owned();
        assert!(text.contains("`if-match` demands `v7`") && text.contains(named), "{named}: {text}");
    }
    for (request, body) in [
        (Request::delete("/v1/shelves/1?etag=v7"), ""),
        (Request::put("/v1/shelves/1"), r#"{"etag":"\"v7\""}"#),
        (Request::put("/v1/shelves/1"), r#"{"etag":""}"#),
    ] {
        let got = ask(Config::default(), canned(), guarded(request), body).await;
        assert_eq!(got.status, 200, "{body}");
    }
}

/// A resource, with a shelf that has a name alone.
#[derive(Clone, PartialEq, Message)]
struct Hall {
    #[prost(string, tag = "2")]
    etag: String,
    #[prost(message, tag = "3")]
    shelf: Option<Shelf>,
}

/// A list of them.
#[derive(Clone, PartialEq, Message)]
struct Halls {
    #[prost(message, repeated, tag = "1")]
    halls: Vec<Hall>,
}

#[tokio::test]
async fn a_resource_is_told_in_part_only_where_a_mask_asks_for_part_of_it() {
    let hall = Hall { etag: "v1".into(), shelf: Some(shelf("a", "")) };
    let config = || Config {
        json: JsonOptions { emit_defaults: true, ..JsonOptions::default() },
        ..Config::default()
    };
    let asked = async |request: Builder, body: &'static str| {
        let canned = Canned { messages: vec![hall.encode_to_vec()], ..Canned::default() };
        let got = ask(config(), canned, request, body).await;
        (got.headers[header::ETAG].clone(), String::from_utf8_lossy(&got.bytes).into_owned())
    };
    let changed = asked(Request::patch("/v1/halls/a"), "{}").await;
    assert!(changed.1.contains(r#""shelf":{"name":"a","etag":""}"#), "{changed:?}");
    for whole in ["/v1/halls/a", "/v1/halls/a?readMask=", "/v1/halls/a?readMask=*"] {
        assert_eq!(asked(Request::get(whole), "").await, changed, "{whole}: one etag, one form");
    }
    let part = asked(Request::get("/v1/halls/a?readMask=shelf.name"), "").await;
    assert!(part.1.contains(r#""shelf":{"name":"a"}"#), "{part:?}");
    // what a list leaves out unasked is not to look as if it had been read
    let canned =
        Canned { messages: vec![Halls { halls: vec![hall.clone()] }.encode_to_vec()], ..Canned::default() };
    let got = ask(config(), canned, Request::get("/v1/halls"), "").await;
    assert_eq!(got.bytes, r#"{"halls":[{"etag":"v1","shelf":{"name":"a"}}]}"#);
}
