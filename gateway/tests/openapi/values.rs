//! How values are described: as the gateway reads and prints them, examples too.

use arsenal_gateway::{
    Config, JsonOptions,
    config::{ErrorFormat, StreamFormat},
};
use serde_json::{Value, json};

use super::{names, of, protos};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
service S {
  rpc Find(M) returns (M) { option (google.api.http) = { get: "/v1/find/{kind}" }; }
  rpc Sized(M) returns (M) { option (google.api.http) = { get: "/v1/sized/{known_size}" }; }
  rpc Change(M) returns (M) { option (google.api.http) = { post: "/v1/change" body: "*" }; }
  rpc Watch(M) returns (stream M) { option (google.api.http) = { get: "/v1/watch" }; }
  rpc Raw(google.api.HttpBody) returns (google.api.HttpBody) { option (google.api.http) = { post: "/v1/raw" body: "*" }; }
  rpc Class(N) returns (N) { option (google.api.http) = { get: "/v1/{name=class/*/address/*}" }; }
}
message N { string name = 1; }
message M {
  // The size, such as `41`.
  int64 size = 1;
  // The size if it is known, such as `42`.
  google.protobuf.UInt64Value known_size = 2;
  // All sizes: `[1, 2]`.
  repeated fixed64 all_sizes = 3;
  // The kind, such as `GOOD`.
  Kind kind = 4;
  // The kind, such as `NONE_OF_THEM`.
  Kind other_kind = 5;
  // Bytes, such as `AQI=`.
  bytes bytes = 6;
  // Bytes, such as `*`.
  bytes no_bytes = 7;
  // By number: `{"1": 2}`.
  map<int32, uint64> by_number = 8;
  map<bool, string> by_truth = 9;
  // Anything: `{"a": 1}`.
  google.protobuf.Struct st = 10;
  // Anything, such as `a text`.
  google.protobuf.Value any_value = 11;
  // A list: `[1, "a"]`.
  google.protobuf.ListValue lv = 12;
  google.protobuf.Any any = 13;
  repeated google.protobuf.Value values = 14;
  // Half of it, such as `0.5`.
  double half = 15;
  oneof one_of_two { string first_one = 16; string second_one = 17; }
  // As it is: `{"firstOne": "a", "size": 3}`.
  M within = 18;
  // It is null: `null`.
  string no_text = 19;
  // It is on: `true`.
  bool on = 20;
}
enum Kind { KIND_UNSPECIFIED = 0; GOOD = 1; }
"#;

fn document(config: Config) -> Value {
    of(protos::descriptor_set(PROTO).unwrap(), config)
}

fn parameter<'d>(document: &'d Value, name: &str) -> &'d Value {
    let parameters = document["paths"]["/v1/find/{kind}"]["get"]["parameters"].as_array().unwrap();
    parameters.iter().find(|parameter| parameter["name"] == name).unwrap()
}

#[test]
fn a_parameter_that_is_json_says_so_and_one_that_nobody_can_send_is_not_there() {
    let document = document(Config::default());
    for (name, example) in [("st", json!({"a": 1})), ("anyValue", json!("a text")), ("lv", json!([1, "a"]))] {
        let content = &parameter(&document, name)["content"]["application/json"];
        assert_eq!(content["example"], example, "{name}");
        assert!(parameter(&document, name).get("schema").is_none(), "{name}");
    }
    let items = &parameter(&document, "values")["schema"]["items"];
    assert_eq!((&items["type"], &items["contentMediaType"]), (&json!("string"), &json!("application/json")));
    let operation = &document["paths"]["/v1/find/{kind}"]["get"];
    assert!(!names(&document, operation).contains(&"any".to_owned()));
}

#[test]
fn an_example_is_what_the_gateway_prints_of_it() {
    let document = document(Config::default());
    let properties = &document["components"]["schemas"]["t.M"]["properties"];
    let example = |name: &str| properties[name]["examples"].clone();
    assert_eq!(example("size"), json!(["41"]));
    assert_eq!(example("knownSize"), json!(["42"]));
    assert_eq!(example("allSizes"), json!([["1", "2"]]));
    assert_eq!(example("byNumber"), json!([{"1": "2"}]));
    assert_eq!(
        (example("kind"), example("bytes"), example("half")),
        (json!(["GOOD"]), json!(["AQI="]), json!([0.5]))
    );
    assert_eq!(example("within"), json!([{"size": "3", "firstOne": "a"}]));
    assert_eq!(example("on"), json!([true]));
    // what it would not read is none
    for name in ["otherKind", "noBytes", "noText"] {
        let none = if name == "noText" { json!(["null"]) } else { Value::Null };
        assert_eq!(example(name), none, "{name}");
    }
    assert_eq!(parameter(&document, "kind")["example"], "GOOD");
}

#[test]
fn examples_follow_the_options_of_json() {
    let json = JsonOptions { enum_numbers: true, proto_names: true, ..JsonOptions::default() };
    let document = document(Config { json, ..Config::default() });
    let message = &document["components"]["schemas"]["t.M"];
    assert_eq!(message["properties"]["kind"]["examples"], json!([1]));
    assert_eq!(message["properties"]["within"]["examples"], json!([{"size": "3", "first_one": "a"}]));
    assert!(message["description"].as_str().unwrap().contains("At most one of `first_one`, `second_one`"));
}

#[test]
fn keys_of_maps_are_of_their_type() {
    let document = document(Config::default());
    let properties = &document["components"]["schemas"]["t.M"]["properties"];
    assert_eq!(properties["byTruth"]["propertyNames"], json!({"enum": ["true", "false"]}));
    assert!(properties["byNumber"]["propertyNames"]["pattern"].is_string());
}

#[test]
fn an_enum_says_that_it_may_be_a_number() {
    let kind = &document(Config::default())["components"]["schemas"]["t.Kind"];
    assert!(kind["description"].as_str().unwrap().contains("integer"), "{kind}");
}

#[test]
fn a_wrapper_in_a_path_is_never_null() {
    let document = document(Config::default());
    let sized = &document["paths"]["/v1/sized/{known_size}"]["get"]["parameters"][0];
    assert_eq!(sized["schema"], json!({"type": "string", "format": "uint64"}), "{sized}");
    let within = &document["components"]["schemas"]["t.M"]["properties"]["knownSize"];
    assert_eq!(within["anyOf"][1], json!({"type": "null"}));
}

#[test]
fn a_raw_body_is_of_any_type_and_has_no_schema() {
    let document = document(Config::default());
    let raw = &document["paths"]["/v1/raw"]["post"];
    assert_eq!(raw["requestBody"]["content"], json!({"*/*": {}}));
    assert_eq!(raw["responses"]["200"]["content"], json!({"*/*": {}}));
}

#[test]
fn a_stream_is_listed_as_what_comes_to_a_client_that_asks_for_no_form() {
    let watch = |config: Config| document(config)["paths"]["/v1/watch"]["get"]["responses"]["200"].clone();
    let of = |stream_format| watch(Config { stream_format, ..Config::default() });
    let schema = |answer: &Value, media_type: &str| answer["content"][media_type]["schema"].clone();
    for format in [StreamFormat::Ndjson, StreamFormat::Sse] {
        let answer = of(format);
        assert_eq!(schema(&answer, "application/json"), Value::Null, "an array would not come unasked");
        assert_eq!(answer["x-forms"]["application/json"]["schema"]["type"], "array");
        for media_type in ["application/x-ndjson", "text/event-stream"] {
            let text = schema(&answer, media_type);
            assert_eq!((&text["type"], &text["contentMediaType"]), (&"string".into(), &media_type.into()));
            assert_eq!(text["contentSchema"]["anyOf"][0]["$ref"], "#/components/schemas/t.M");
        }
    }
    let array = of(StreamFormat::JsonArray);
    assert_eq!(schema(&array, "application/json")["items"]["$ref"], "#/components/schemas/t.M");
    assert_eq!(array["x-forms"], Value::Null);
    let lines = schema(&of(StreamFormat::GatewayResult), "application/json");
    assert_eq!(lines["anyOf"][0]["properties"]["result"]["$ref"], "#/components/schemas/t.M");
}

#[test]
fn a_stream_tells_what_becomes_of_an_error_in_each_form() {
    let of = |stream_format, error_format| {
        let document = document(Config { stream_format, error_format, ..Config::default() });
        document["paths"]["/v1/watch"]["get"]["responses"]["200"].clone()
    };
    let told = |stream_format| {
        let answer = of(stream_format, ErrorFormat::Envelope);
        answer["description"].as_str().unwrap().contains("an array breaks off unfinished")
    };
    assert_eq!([StreamFormat::Ndjson, StreamFormat::GatewayResult].map(told), [true, false]);
    let answer = of(StreamFormat::Ndjson, ErrorFormat::Status);
    let last =
        |media_type: &str| answer["content"][media_type]["schema"]["contentSchema"]["anyOf"][1].clone();
    assert_eq!(
        last("application/x-ndjson")["required"],
        json!(["error"]),
        "a bare status would look like an item"
    );
    assert!(last("text/event-stream")["$ref"].is_string());
}

#[test]
fn the_headers_and_refusals_of_the_gateway_itself_are_told() {
    let document = document(Config::default());
    let (find, change) =
        (&document["paths"]["/v1/find/{kind}"]["get"], &document["paths"]["/v1/change"]["post"]);
    assert!(names(&document, find).ends_with(&["Request-Timeout".to_owned(), "X-Request-Id".to_owned()]));
    assert!(names(&document, change).contains(&"Idempotency-Key".to_owned()));
    let statuses = ["406", "408", "413", "415", "429", "503"];
    let told = |operation: &Value| statuses.map(|status| operation["responses"].get(status).is_some());
    assert_eq!(told(change), [true; 6]);
    assert_eq!(told(find), [true, false, false, false, true, true]);
    let unavailable = &document["components"]["responses"]["Unavailable"]["headers"];
    assert!(unavailable.get("Retry-After").is_some() && unavailable.get("X-Request-Id").is_some());
    let quiet = self::document(Config { request_id: false, ..Config::default() });
    assert!(!quiet.to_string().contains("X-Request-Id"));
}

#[test]
fn a_variable_for_a_wildcard_is_called_after_the_collection_before_it() {
    let document = document(Config::default());
    assert!(document["paths"].get("/v1/class/{classId}/address/{addressId}").is_some());
}
