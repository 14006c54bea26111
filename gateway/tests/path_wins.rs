//! What the path says wins over body and query, wholly: nothing of the other value is left in the merged message.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "support/canned.rs"]
mod canned;
#[path = "support/protos.rs"]
mod protos;

use arsenal_gateway::Gateway;
use axum::body::Body;
use canned::{Canned, Recorder};
use http::Request;
use http_body_util::BodyExt as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
service S {
  rpc Call(M) returns (M) {
    option (google.api.http) = {
      post: "/v1/at/{when}/{how_long}/{count}/{inner.name}/{left}" body: "*"
      additional_bindings { get: "/v1/{name}/{number}" }
      additional_bindings { get: "/v1/one/of/{left}" }
    };
  }
}
message M {
  string name = 1; google.protobuf.Timestamp when = 2; google.protobuf.Duration how_long = 3;
  google.protobuf.Int32Value count = 4; M inner = 5; oneof o { string left = 6; string right = 7; } int32 number = 8;
  map<int32, string> labels = 9; map<int32, M> inners = 10;
}
"#;

async fn refused(target: &str) -> (u16, Value) {
    let gateway = Gateway::builder(protos::descriptor_set(PROTO).unwrap()).build().unwrap();
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let request = Request::get(target).body(Body::empty()).unwrap();
    let response = gateway.service(upstream.clone()).handle(request).await;
    let status = response.status().as_u16();
    assert!(upstream.asked().is_empty(), "{target}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn sent(request: Request<Body>) -> Value {
    let gateway = Gateway::builder(protos::descriptor_set(PROTO).unwrap()).build().unwrap();
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let response = gateway.service(upstream.clone()).handle(request).await;
    assert_eq!(response.status(), 200);
    let asked = upstream.asked().remove(0);
    assert_eq!(&*asked.path, "/t.S/Call");
    assert!(!asked.metadata.is_empty(), "the request's id at least");
    let descriptor = gateway.schema().pool().get_message_by_name("t.M").unwrap();
    serde_json::to_value(DynamicMessage::decode(descriptor, &*asked.messages[0]).unwrap()).unwrap()
}

#[tokio::test]
async fn nothing_of_the_bodys_value_is_left_under_the_paths() {
    let body = json!({
        "when": "2020-01-01T00:00:00.5Z", "howLong": "7.25s", "count": 9, "inner": {"name": "body", "number": 1},
        "right": "body", "number": 3,
    });
    let path = "/v1/at/1970-01-01T00:00:00Z/0s/0/path/";
    let request = Request::post(format!("{path}x")).body(Body::from(body.to_string())).unwrap();
    let wanted = json!({
        "when": "1970-01-01T00:00:00Z", "howLong": "0s", "count": 0, "inner": {"name": "path", "number": 1},
        "left": "x", "number": 3,
    });
    assert_eq!(sent(request).await, wanted);
}

#[tokio::test]
async fn a_zero_in_the_path_overrides_the_query() {
    let request = Request::get("/v1/path/0?name=query&number=5").body(Body::empty()).unwrap();
    assert_eq!(sent(request).await, json!({"name": "path"}));
}

#[tokio::test]
async fn a_parameter_of_the_oneof_that_the_path_sets_is_refused() {
    let (status, body) = refused("/v1/one/of/a?right=b").await;
    assert_eq!(status, 400);
    assert_eq!(body["error"]["details"][0]["reason"], "PATH_COLLISION");
    let request = Request::get("/v1/one/of/a?left=b").body(Body::empty()).unwrap();
    assert_eq!(sent(request).await, json!({"left": "a"}));
}

#[tokio::test]
async fn a_key_of_a_map_that_comes_twice_is_refused_however_it_is_spelled() {
    for query in ["labels[1]=a&labels[1]=b", "labels[0]=a&labels[-0]=b", "inners[0].name=a&inners[-0].name=b"]
    {
        let (status, body) = refused(&format!("/v1/a/1?{query}")).await;
        assert_eq!(status, 400, "{query}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("given twice"), "{query}: {message}");
    }
    let target = "/v1/a/1?labels[1]=a&labels[2]=b&inners[0].name=c&inners[-0].number=2";
    let sent = sent(Request::get(target).body(Body::empty()).unwrap()).await;
    assert_eq!(sent["labels"], json!({"1": "a", "2": "b"}));
    assert_eq!(sent["inners"], json!({"0": {"name": "c", "number": 2}}));
}
