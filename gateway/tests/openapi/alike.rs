//! Two of one name, or of one path: each is in the document, and none twice.

use std::collections::HashSet;

use arsenal_gateway::Config;
use serde_json::{Value, json};

use super::{of, protos};

const FIRST: &str = r#"
syntax = "proto3";
// Sells things.
package p.v1;
import "google/api/annotations.proto";
// The first shop.
service Shop {
  rpc Get(Item) returns (Item) {
    option (google.api.http) = { get: "/v1/items/{id}" additional_bindings { get: "/v1/item/{id}" } };
  }
  rpc Get_2(Item) returns (Item) { option (google.api.http) = { get: "/v1/second/{id}" }; }
  rpc All(Item) returns (Item) { option (google.api.http) = { get: "/v1/items/{id=**}" }; }
  rpc Any(Item) returns (Item) { option (google.api.http) = { custom: { kind: "*" path: "/v1/any" } }; }
  rpc Post(Item) returns (Item) { option (google.api.http) = { post: "/v1/any" }; }
}
message Item { string id = 1; }
"#;

const SECOND: &str = r#"
syntax = "proto3";
package p.v2;
import "google/api/annotations.proto";
service Shop { rpc Get(Item) returns (Item) { option (google.api.http) = { get: "/v2/items/{id}" }; } }
service Till { rpc Get(Item) returns (Item) { option (google.api.http) = { get: "/v2/tills/{id}" }; } }
message Item { string id = 1; }
"#;

/// What has no package, and a name that the gateway has for its own.
const BARE: &str = r#"
syntax = "proto3";
import "google/api/annotations.proto";
service Bare { rpc Get(Error) returns (Error) { option (google.api.http) = { get: "/v1/bare" }; } }
message Error { string own = 1; }
"#;

fn document() -> Value {
    of(protos::descriptor_set_of(&[FIRST, SECOND, BARE]).unwrap(), Config::default())
}

/// All operations, with those that stand in others.
fn operations(document: &Value) -> Vec<&Value> {
    let items = document["paths"].as_object().unwrap().values();
    let mut found: Vec<&Value> = items.flat_map(|item| item.as_object().unwrap().values()).collect();
    let within: Vec<&Value> =
        found.iter().filter_map(|operation| operation.get("x-also")?.as_array()).flatten().collect();
    found.extend(within);
    found
}

#[test]
fn every_binding_has_an_operation_with_an_id_of_its_own() {
    let document = document();
    let operations = operations(&document);
    let ids: HashSet<&str> =
        operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!((operations.len(), ids.len()), (9, 9), "{ids:?}");
    for id in
        ["p_v1_Shop_Get", "p_v2_Shop_Get", "p_v1_Shop_Get_2", "p_v1_Shop_Get_2_2", "Till_Get", "Bare_Get"]
    {
        assert!(ids.contains(id), "{id} {ids:?}");
    }
}

#[test]
fn services_of_one_name_are_tags_of_their_own() {
    let document = document();
    let tags: Vec<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(tags, ["p.v1.Shop", "p.v2.Shop", "Till", "Bare"]);
    assert_eq!(document["tags"][0]["description"], "The first shop.");
    for operation in operations(&document) {
        assert!(tags.contains(&operation["tags"][0].as_str().unwrap()), "{operation}");
    }
}

#[test]
fn what_shares_a_path_with_another_stands_within_it() {
    let document = document();
    let items = &document["paths"]["/v1/items/{id}"]["get"];
    assert_eq!(items["x-grpc-method"], "/p.v1.Shop/Get");
    let also = &items["x-also"][0];
    assert_eq!(
        (&also["x-grpc-method"], &also["x-path-template"]),
        (&json!("/p.v1.Shop/All"), &json!("/v1/items/{id=**}"))
    );
    let many = &also["parameters"][0];
    assert_eq!(
        (&many["x-multi-segment"], &items["parameters"][0]["x-multi-segment"]),
        (&json!(true), &Value::Null)
    );
    assert!(many["description"].as_str().unwrap().contains("`%2F`"), "{many}");
}

#[test]
fn a_rule_for_any_method_hides_none_of_a_single_one() {
    let document = document();
    let item = &document["paths"]["/v1/any"];
    assert_eq!(item["post"]["x-grpc-method"], "/p.v1.Shop/Post");
    assert_eq!(item["get"]["x-grpc-method"], "/p.v1.Shop/Any");
}

#[test]
fn a_message_called_error_is_not_taken_for_the_gateways() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert!(schemas["Error"]["properties"].get("own").is_some());
    let error =
        &document["components"]["responses"]["Error"]["content"]["application/json"]["schema"]["$ref"];
    let gateways = document.pointer(&error.as_str().unwrap()[1..]).unwrap();
    assert!(gateways["properties"].get("error").is_some());
}

#[test]
fn what_nobody_says_of_the_whole_comes_from_the_descriptors() {
    assert_eq!(document()["info"], json!({"title": "API", "version": "1", "description": "Sells things."}));
    let two = of(protos::descriptor_set_of(&[FIRST, SECOND]).unwrap(), Config::default());
    assert_eq!(two["info"]["title"], "p");
    let one = of(protos::descriptor_set_of(&[FIRST]).unwrap(), Config::default());
    assert_eq!(one["info"], json!({"title": "Shop", "version": "v1", "description": "Sells things."}));
    assert_eq!(one["servers"], json!([{"url": "."}]));
}
