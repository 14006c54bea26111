//! Arsenal's own contract can be served: every annotation is read, no two routes collide, every row has its route.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use arsenal_gateway::Gateway;

fn gateway() -> Gateway {
    Gateway::builder(arsenal_proto::FILE_DESCRIPTOR_SET).build().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_method_with_a_rule_has_a_route() {
    let gateway = gateway();
    let routed: BTreeSet<&str> = gateway.methods().map(|method| method.descriptor.full_name()).collect();
    let pool = gateway.schema().pool();
    let arsenal = pool.services().filter(|service| service.full_name().starts_with("arsenal.v1."));
    let missing: Vec<String> = arsenal
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        // A stream of both sides has no REST form.
        .filter(|method| !method.is_client_streaming() && !routed.contains(method.full_name()))
        .map(|method| method.full_name().to_owned())
        .collect();
    assert!(missing.is_empty(), "no route: {missing:?}");
}

#[test]
fn the_openapi_document_has_an_operation_for_every_binding() {
    let gateway = gateway();
    let document: serde_json::Value = serde_json::from_slice(gateway.openapi()).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let operations: usize = items.map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(operations, gateway.methods().count());
    if let Ok(path) = std::env::var("OPENAPI_OUT") {
        std::fs::write(path, gateway.openapi()).unwrap();
    }
}
