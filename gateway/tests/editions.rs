//! Descriptor sets with files of an edition, as protoc writes them: each feature is heeded on either path, or the file is
//! refused by its name. What is expected was said by protobuf's own Python runtime.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "support/canned.rs"]
mod canned;

use arsenal_gateway::{Config, Gateway, config::Transcoder};
use axum::body::Body;
use canned::{Canned, Recorder};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

const SHOP: &[u8] = include_bytes!("data/editions/shop.bin");
const CLOSED: &[u8] = include_bytes!("data/editions/closed.bin");
const MIXED: &[u8] = include_bytes!("data/editions/mixed.bin");

/// An order with everything set, to its default where it has one.
const ORDER: &str = "0a001800220301020028032800330a0167343a060a001202010242080a016112030a01624801580062250b0a01690c12080a\
                     016b12030a01761b0a016d1c1b1c2202010028072808380042030a01706a00";

fn order() -> Value {
    json!({
        "title": "", "needed": 0, "packed": [1, 2, 0], "expanded": [3, 0], "group": {"name": "g"},
        "item": {"name": "", "data": "AQI="}, "items": {"a": {"name": "b"}}, "color": "GREEN", "right": false,
        "implied": {
            "inner": {"name": "i"}, "innerMap": {"k": {"name": "v"}}, "many": [{"name": "m"}, {}],
            "flags": [true, false], "numbers": [7, 8], "explicit": 0, "prefixed": {"name": "p"},
        },
        "withDefault": "",
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn gateway(set: &'static [u8], transcoder: Transcoder) -> Result<Gateway, String> {
    let config = Config { transcoder, ..Config::default() };
    Gateway::builder(set).config(config).build().map_err(|error| error.to_string())
}

/// What upstream is asked by `request`, and the JSON of its `answer`.
async fn cross(gateway: Gateway, request: Request<Body>, answer: Vec<u8>) -> (Vec<u8>, Value) {
    let upstream = Recorder::new(Canned { messages: vec![answer], ..Canned::default() });
    let response = gateway.service(upstream.clone()).handle(request).await;
    let json = response.into_body().collect().await.unwrap().to_bytes();
    (upstream.asked().pop().unwrap().messages.remove(0), serde_json::from_slice(&json).unwrap())
}

#[tokio::test]
async fn what_an_edition_says_of_presence_packing_and_groups_is_heeded_both_ways() {
    let mut told = order();
    // without presence, the default is not told
    told["count"] = json!(0);
    told["implied"]["implicit"] = json!(0);
    for transcoder in [Transcoder::Plan, Transcoder::Reference] {
        let request = Request::post("/v1/orders:echo").body(Body::from(told.to_string())).unwrap();
        let (asked, answer) = cross(gateway(SHOP, transcoder).unwrap(), request, bytes(ORDER)).await;
        assert_eq!(answer, order(), "{transcoder:?}");
        // members come in the order of their names, so fields do too
        let schema = gateway(SHOP, transcoder).unwrap();
        let descriptor = schema.schema().pool().get_message_by_name("t.Order").unwrap();
        let decoded =
            |bytes: &[u8]| prost_reflect::DynamicMessage::decode(descriptor.clone(), bytes).unwrap();
        assert_eq!(decoded(&asked), decoded(&bytes(ORDER)), "{transcoder:?}");
        assert_eq!(asked.len(), bytes(ORDER).len(), "{transcoder:?}");
    }
}

#[tokio::test]
async fn an_enum_need_not_begin_at_zero() {
    for transcoder in [Transcoder::Plan, Transcoder::Reference] {
        let request = Request::get("/v1/orders/a?size=LARGE&packed=1&packed=2").body(Body::empty()).unwrap();
        // the second size is the default, and set
        let answer = bytes("0a0010011a020000");
        let (asked, told) = cross(gateway(CLOSED, transcoder).unwrap(), request, answer).await;
        assert_eq!(told, json!({"title": "", "size": "SMALL", "packed": [0, 0]}), "{transcoder:?}");
        let mut asked = asked;
        asked.sort_unstable();
        let mut wanted = bytes("1002180118020a0161");
        wanted.sort_unstable();
        assert_eq!(asked, wanted, "{transcoder:?}");
    }
}

#[test]
fn a_file_that_cannot_be_served_is_named() {
    let refused = gateway(MIXED, Transcoder::Plan).unwrap_err();
    assert!(refused.contains("`mixed.proto`") && refused.contains("`count`"), "{refused}");
    // EDITION_2023 to a later one
    let place = SHOP.windows(3).position(|bytes| bytes == [0x70, 0xe8, 0x07]).unwrap();
    for (number, name) in [([0xea, 0x07], "2025"), ([0xe4, 0x00], "100")] {
        let mut set = SHOP.to_vec();
        set[place + 1..place + 3].copy_from_slice(&number);
        let refused = Gateway::builder(set).build().unwrap_err().to_string();
        assert!(refused.contains(".proto`") && refused.contains(name), "{refused}");
    }
}

#[test]
fn a_set_without_editions_is_taken_as_it_is() {
    let set = arsenal_proto::FILE_DESCRIPTOR_SET;
    assert!(Gateway::builder(set).build().is_ok());
    let mut cut = SHOP.to_vec();
    for length in [1, 100, cut.len() / 2, cut.len() - 1] {
        cut.truncate(length);
        assert!(Gateway::builder(cut.clone()).build().is_err(), "{length}");
        cut = SHOP.to_vec();
    }
}
