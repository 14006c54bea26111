//! Whatever a client sends gets an answer that says what is wrong: no panic, no 500, and nothing reaches upstream that
//! is not a message of the method.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "support/canned.rs"]
mod canned;
#[path = "support/protos.rs"]
mod protos;

use std::sync::LazyLock;

use arsenal_gateway::{Config, Gateway, GatewayService, upstream::Upstream};
use axum::body::Body;
use canned::{Canned, Recorder};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use prost_reflect::DynamicMessage;

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
service S {
  rpc Call(M) returns (M) {
    option (google.api.http) = {
      get: "/v1/{name=a/*}/{rest=**}"
      additional_bindings { post: "/v1/{name}:do" body: "*" }
      additional_bindings { patch: "/v1/{inner.name}" body: "inner" }
      additional_bindings { get: "/v1/at/{when}" }
    };
  }
}
message M {
  string name = 1; string rest = 2; M inner = 3; google.protobuf.Value value = 4; google.protobuf.Timestamp when = 5;
  repeated int32 numbers = 6; map<string, bool> flags = 7; bytes data = 8; oneof o { string left = 9; double right = 10; }
  google.protobuf.Any any = 11;
}
"#;

fn service(upstream: impl Upstream) -> (GatewayService, prost_reflect::MessageDescriptor) {
    static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| {
        let set = protos::descriptor_set(PROTO).expect("the proto is valid");
        Gateway::builder(set).config(Config::default()).build().expect("its rules are valid")
    });
    let gateway = &*GATEWAY;
    let descriptor = gateway.schema().pool().get_message_by_name("t.M").expect("it has the message");
    (gateway.service(upstream), descriptor)
}

fn send(
    method: Method,
    target: &str,
    headers: &[(&str, String)],
    body: Vec<u8>,
) -> Result<(), TestCaseError> {
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let (service, descriptor) = service(upstream.clone());
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    // What hyper itself would refuse never comes this far.
    let Ok(request) = builder.body(Body::from(body)) else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (status, text) = runtime.block_on(async {
        let (parts, body) = service.handle(request).await.into_parts();
        (parts.status.as_u16(), body.collect().await.expect("a whole body").to_bytes())
    });
    let known = [200, 204, 304, 400, 404, 405, 406, 413, 414, 415, 504];
    prop_assert!(known.contains(&status), "{status}: {}", String::from_utf8_lossy(&text));
    for asked in upstream.asked() {
        prop_assert_eq!(asked.path, "/t.S/Call");
        prop_assert_eq!(asked.metadata.get_all("te").iter().collect::<Vec<_>>(), ["trailers"]);
    }
    for message in upstream.asked().iter().flat_map(|asked| &asked.messages) {
        prop_assert!(DynamicMessage::decode(descriptor.clone(), &**message).is_ok(), "{message:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_target_gets_an_answer(
        method in prop::sample::select(vec!["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"]),
        path in "/v1(/(a|at|[a-z%:@.0-9A-F~*\\-]{0,6})){0,4}(:do)?",
        query in "(\\?([a-z.\\[\\]%+&=0-9A-F]|inner\\.|name=|numbers=|value=|flags\\[){0,12})?",
    ) {
        send(method.parse().expect("a method"), &format!("{path}{query}"), &[], Vec::new())?;
    }

    #[test]
    fn any_body_gets_an_answer(
        body in prop_oneof![
            any::<Vec<u8>>(),
            "(\\{|\\}|\\[|\\]|,|:|\"|\\\\u00|\"(name|inner|value|when|numbers|flags|data|left|right|any|@type)\":|\"x/(t.M|google.protobuf.(Any|Value))\"|[0-9]|e|-|null|true){0,24}"
                .prop_map(String::into_bytes),
        ],
        patch: bool,
    ) {
        let (method, target) = if patch { (Method::PATCH, "/v1/x") } else { (Method::POST, "/v1/x:do") };
        send(method, target, &[("content-type", "application/json".to_owned())], body)?;
    }

    #[test]
    fn any_header_gets_an_answer(
        name in prop::sample::select(vec![
            "accept", "content-type", "content-encoding", "grpc-timeout", "request-timeout", "last-event-id",
            "if-none-match", "grpc-metadata-a-bin", "grpc-metadata-te", "traceparent", "x-forwarded-for",
        ]),
        value in "[ -~]{0,20}",
    ) {
        send(Method::POST, "/v1/x:do", &[(name, value)], b"{}".to_vec())?;
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(50_000), close.repeat(50_000));
    for body in [
        deep(r#"{"inner":"#, "}"),
        format!(r#"{{"value":{}}}"#, deep("[", "]")),
        deep(r#"{"value":{"a":"#, "}}"),
        format!(r#"{{"any":{}}}"#, deep(r#"{"@type":"x/google.protobuf.Any","value":"#, "}")),
        format!(r#"{{"any":{}}}"#, deep(r#"{"value":"#, r#","@type":"x/google.protobuf.Any"}"#)),
    ] {
        send(Method::POST, "/v1/x:do", &[], body.into_bytes()).expect("an answer");
    }
    let query = vec!["inner"; 2_000].join(".");
    send(Method::GET, &format!("/v1/a/b/c?{query}.name=x"), &[], Vec::new()).expect("an answer");
}
