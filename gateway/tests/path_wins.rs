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
    };
  }
}
message M {
  string name = 1; google.protobuf.Timestamp when = 2; google.protobuf.Duration how_long = 3;
  google.protobuf.Int32Value count = 4; M inner = 5; oneof o { string left = 6; string right = 7; } int32 number = 8;
}
"#;

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
