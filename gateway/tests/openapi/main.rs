//! The OpenAPI document of a small service: what a reader and a generator need is in it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

mod alike;
#[path = "../support/protos.rs"]
mod protos;
mod values;

use arsenal_gateway::{Config, Gateway, Info};
use serde_json::{Value, json};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/duration.proto";
import "google/api/field_behavior.proto";

// Books and shelves.
service Library {
  // Gives a book, by `name`. Also its age.
  //
  // Errors:
  // NOT_FOUND NO_BOOK: there is none.
  // PERMISSION_DENIED: not for you.
  rpc GetBook(GetBookRequest) returns (Book) {
    option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}" additional_bindings { get: "/v1/book/{name}" } };
  }
  // Moves a book.
  rpc MoveBook(MoveRequest) returns (Book) { option (google.api.http) = { post: "/v1/books/{id}:move" body: "*" }; }
  rpc GetCard(GetBookRequest) returns (Card) { option (google.api.http) = { get: "/v1/cards/{name}" }; }
  rpc DropCard(DropRequest) returns (Card) { option (google.api.http) = { delete: "/v1/cards/{name}" }; }
  // Lends a book.
  rpc Lend(Loan) returns (Loan) { option (google.api.http) = { post: "/v1/loans/{id}" body: "*" }; }
  // Follows a shelf.
  rpc Watch(WatchRequest) returns (stream Event) { option (google.api.http) = { get: "/v1/books/{other_id}:watch" }; }
}
message GetBookRequest { string name = 1; View view = 2; Filter filter = 3; repeated int64 years = 4; map<string, string> labels = 5; }
message Filter { string author = 1; GetBookRequest again = 2; }
// How much to show.
enum View { SHORT = 0; /* all of it */ FULL = 1; }
// A book.
message Book {
  // Where it stands.
  string name = 1;
  int64 pages = 2;
  google.protobuf.Timestamp printed = 3;
  google.protobuf.Value extra = 4;
  repeated Book sequels = 5;
  oneof owner { string person = 6; string club = 7; }
  message Cover { bool hard = 1; }
  Cover cover = 8;
  Shelf.Mark mark = 9;
  ShelfMark shelf_mark = 10;
  Error misprint = 11;
}
message Shelf { enum Mark { NONE = 0; } }
message ShelfMark {}
message Error {}
message MoveRequest { string id = 1; string to = 2; }
message Loan {
  // Who reads it, such as `Ada`.
  string reader = 1 [(google.api.field_behavior) = REQUIRED];
  // How long: `1.5s`.
  google.protobuf.Duration time = 2;
  // Anything: `{"a": 1}`.
  google.protobuf.Value note = 3 [(google.api.field_behavior) = INPUT_ONLY];
  // How often it was lent: `3`.
  int32 times = 4 [(google.api.field_behavior) = OUTPUT_ONLY, (google.api.field_behavior) = OPTIONAL];
  // Absent for `none`.
  string shelf = 5;
  // Which: `red`.
  string id = 6;
}
message Card { string name = 1; string etag = 2; }
message DropRequest { string name = 1; string etag = 2; }
message WatchRequest { string other_id = 1; uint64 after = 2; }
message Event { uint64 sequence = 1; Book book = 2; }
"#;

fn document() -> Value {
    let info = Info { title: "Library".into(), version: "2".into(), description: "Books.".into() };
    of(protos::descriptor_set(PROTO).unwrap(), Config { info, ..Config::default() })
}

fn of(descriptors: Vec<u8>, config: Config) -> Value {
    let gateway = Gateway::builder(descriptors).config(config).build().unwrap();
    serde_json::from_slice(gateway.openapi()).unwrap()
}

/// The names of an operation's parameters, with those of the headers that any has behind them.
fn names(document: &Value, operation: &Value) -> Vec<String> {
    let name = |parameter: &Value| {
        let shared =
            parameter["$ref"].as_str().map(|target| &document.pointer(&target[1..]).unwrap()["name"]);
        shared.unwrap_or(&parameter["name"]).as_str().unwrap().to_owned()
    };
    operation["parameters"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_capture_over_segments_becomes_a_variable_for_each_wildcard() {
    let document = document();
    let operation = &document["paths"]["/v1/shelves/{shelvesId}/books/{booksId}"]["get"];
    assert_eq!(names(&document, operation)[..2], ["shelvesId", "booksId"]);
    assert_eq!(operation["operationId"], "Library_GetBook");
    assert_eq!(document["paths"]["/v1/book/{name}"]["get"]["operationId"], "Library_GetBook_2");
}

#[test]
fn comments_become_summary_description_and_error_responses() {
    let document = document();
    let operation = &document["paths"]["/v1/book/{name}"]["get"];
    assert_eq!(operation["summary"], "Gives a book, by `name`");
    assert_eq!(operation["description"], "Gives a book, by `name`. Also its age.");
    assert_eq!(operation["responses"]["404"]["description"], "- NOT_FOUND NO_BOOK: there is none.");
    assert_eq!(operation["responses"]["403"]["description"], "- PERMISSION_DENIED not for you.");
    assert_eq!(document["tags"][0], json!({"name": "Library", "description": "Books and shelves."}));
    assert_eq!(
        document["components"]["schemas"]["t.Book"]["properties"]["name"]["description"],
        "Where it stands."
    );
}

#[test]
fn query_parameters_are_the_fields_that_neither_path_nor_body_sets() {
    let document = document();
    let operation = &document["paths"]["/v1/book/{name}"]["get"];
    assert_eq!(
        names(&document, operation),
        ["name", "view", "filter.author", "years", "labels", "Request-Timeout", "X-Request-Id"]
    );
    assert_eq!(
        names(&document, &document["paths"]["/v1/books/{id}:move"]["post"]),
        ["id", "Request-Timeout", "Idempotency-Key", "X-Request-Id"]
    );
    let body = &document["paths"]["/v1/books/{id}:move"]["post"]["requestBody"]["content"]["application/json"]
        ["schema"];
    assert_eq!(body["properties"], json!({"to": {"type": "string"}}));
}

#[test]
fn schemas_are_those_of_canonical_json() {
    let document = document();
    let book = &document["components"]["schemas"]["t.Book"];
    assert_eq!(book["properties"]["pages"], json!({"type": "string", "format": "int64"}));
    assert_eq!(book["properties"]["printed"], json!({"type": "string", "format": "date-time"}));
    assert_eq!(book["properties"]["sequels"]["items"], json!({"$ref": "#/components/schemas/t.Book"}));
    assert!(book["description"].as_str().unwrap().contains("At most one of `person`, `club`"));
    assert_eq!(document["components"]["schemas"]["t.View"]["enum"], json!(["SHORT", "FULL"]));
}

#[test]
fn a_schema_has_the_short_name_as_its_title_unless_another_has_it_too() {
    let document = document();
    let title = |name: &str| document["components"]["schemas"][name]["title"].clone();
    assert_eq!((title("t.Book"), title("t.Book.Cover")), (json!("Book"), json!("Book.Cover")));
    // Without dots both would be `ShelfMark`; and one would be taken for the gateway's own `Error`.
    assert_eq!((title("t.Shelf.Mark"), title("t.ShelfMark"), title("t.Error")), Default::default());
}

#[test]
fn what_may_be_done_with_a_field_is_told() {
    let document = document();
    let loan = &document["components"]["schemas"]["t.Loan"];
    assert_eq!(loan["required"], json!(["reader"]));
    let properties = &loan["properties"];
    assert_eq!(
        (&properties["times"]["readOnly"], &properties["note"]["writeOnly"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&properties["reader"]["readOnly"], &properties["times"]["writeOnly"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn an_operation_tells_which_conditions_it_takes() {
    let document = document();
    let (get, drop) =
        (&document["paths"]["/v1/cards/{name}"]["get"], &document["paths"]["/v1/cards/{name}"]["delete"]);
    assert!(names(&document, get).contains(&"If-None-Match".to_owned()));
    assert!(names(&document, drop).contains(&"If-Match".to_owned()));
    let told = |operation: &Value| ["304", "412"].map(|status| operation["responses"].get(status).is_some());
    assert_eq!((told(get), told(drop)), ([true, true], [false, true]));
    assert_eq!(get["responses"]["200"]["headers"]["ETag"]["schema"]["type"], "string");
    assert!(
        !names(&document, &document["paths"]["/v1/book/{name}"]["get"]).contains(&"If-None-Match".to_owned())
    );
}

#[test]
fn what_a_comment_ends_in_is_an_example() {
    let document = document();
    let properties = &document["components"]["schemas"]["t.Loan"]["properties"];
    assert_eq!(properties["note"]["examples"], json!([{"a": 1}]));
    assert_eq!(properties["shelf"]["examples"], Value::Null);
    let lend = &document["paths"]["/v1/loans/{id}"]["post"];
    assert_eq!(lend["parameters"][0]["example"], "red");
    let body = &lend["requestBody"]["content"]["application/json"]["example"];
    assert_eq!(*body, json!({"reader": "Ada", "time": "1.500s", "note": {"a": 1}}));
    let answer =
        &document["paths"]["/v1/book/{name}"]["get"]["responses"]["404"]["content"]["application/json"];
    let error = &answer["examples"]["NO_BOOK"]["value"]["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!(404), &json!("NOT_FOUND")));
    assert_eq!(error["message"], "there is none");
}

#[test]
fn a_stream_is_offered_in_its_three_forms_and_can_be_resumed() {
    let document = document();
    let watch = &document["paths"]["/v1/books/{other_id}:watch"]["get"];
    let forms =
        |listed: &str| watch["responses"]["200"][listed].as_object().unwrap().keys().cloned().collect();
    let [listed, others]: [Vec<String>; 2] = ["content", "x-forms"].map(forms);
    assert_eq!(listed, ["application/x-ndjson", "text/event-stream"], "what generated clients can read");
    assert_eq!(others, ["application/json"]);
    assert_eq!(
        names(&document, watch),
        ["other_id", "after", "Last-Event-ID", "Request-Timeout", "X-Request-Id"]
    );
}

#[test]
fn every_reference_leads_to_a_schema() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(target) = map.get("$ref").and_then(Value::as_str) {
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some_and(|found| !found.is_null()), "{target}");
                }
                map.values().for_each(|value| walk(value, document));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn a_stream_says_how_it_is_resumed_and_spoken_to_through_a_websocket() {
    let document = document();
    let watch = &document["paths"]["/v1/books/{other_id}:watch"]["get"];
    let resume = json!({"id": "sequence", "parameter": "after", "header": "Last-Event-ID"});
    assert_eq!(watch["x-resume"], resume);
    assert_eq!(watch["x-websocket"]["subprotocol"], "grpc-json.v1");
    assert_eq!(watch["x-websocket"]["clientFrames"], "none");
    let get = &document["paths"]["/v1/book/{name}"]["get"];
    assert_eq!((&get["x-resume"], &get["x-websocket"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_certificate_is_asked_for_only_where_clients_have_to_show_one() {
    let open = document();
    assert_eq!(open["security"], json!([{}, {"bearer": []}]));
    assert_eq!(open["components"]["securitySchemes"].as_object().unwrap().len(), 1);
    let config = Config { mutual_tls: true, ..Config::default() };
    let closed = of(protos::descriptor_set(PROTO).unwrap(), config);
    let schemes = &closed["components"]["securitySchemes"];
    assert_eq!(schemes["certificate"]["type"], "mutualTLS");
    // a client that shows none is nowhere let in
    for way in closed["security"].as_array().unwrap() {
        assert!(way.get("certificate").is_some(), "{way}");
    }
}
