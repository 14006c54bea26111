//! What a client demands of the state that it changes, and that one state is told in one form.

use arsenal_gateway::{Config, JsonOptions};
use http::{Request, header, request::Builder};
use prost::Message;

use super::{Shelf, answering, ask, reason, shelf};
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
