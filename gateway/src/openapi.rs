//! The OpenAPI 3.1 document of a gateway, generated from its descriptors once, at load.
//!
//! Every binding is an operation. Comments become descriptions; a comment line that begins with a gRPC code
//! (`NOT_FOUND NOPROC: the process is not alive.`) documents an error response. Schemas are JSON Schema of the
//! canonical JSON, as the gateway is configured to read and write it.

mod comments;
mod errors;
mod examples;
mod operation;
mod path;
mod schemas;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    config::Config,
    method::Method,
    route::{ANY_METHOD, Table},
    schema::Schema,
};
use comments::Comments;
use path::Paths;
use schemas::Schemas;

/// What the parts of the document are made from.
struct Context<'a> {
    schema: &'a Schema,
    config: &'a Config,
    comments: Comments,
}

/// The document as JSON.
pub(crate) fn document(schema: &Schema, routes: &Table<Method>, config: &Config) -> Bytes {
    let context = Context { schema, config, comments: Comments::of(schema.pool()) };
    let mut schemas = Schemas::new(&context);
    let mut paths = Paths::default();
    let mut operations: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut bindings: BTreeMap<&str, usize> = BTreeMap::new();
    for method in routes.routes() {
        let binding = bindings.entry(method.descriptor.full_name()).or_default();
        let path = paths.place(method);
        let operation = operation::describe(&context, &mut schemas, method, &path, *binding);
        *binding += 1;
        // OpenAPI has no word for "any method"; POST is what such a rule is called by most.
        let verb = if method.http_method == ANY_METHOD {
            "post".to_owned()
        } else {
            method.http_method.to_lowercase()
        };
        if !STANDARD_METHODS.contains(&&*verb) {
            continue;
        }
        operations.entry(path.text).or_default().entry(verb).or_insert(operation);
    }
    let (schemes, security) = security(config);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": config.info.title,
            "version": config.info.version,
            "description": config.info.description,
        },
        "servers": [{"url": "/"}],
        "tags": tags(&context, routes),
        "paths": operations,
        "components": {
            "schemas": schemas.finish(),
            "responses": errors::responses(),
            "securitySchemes": schemes,
        },
        "security": security,
    });
    Bytes::from(document.to_string())
}

/// The methods that a path item can have.
const STANDARD_METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// How a client says who it is, and what of that it must. Whether credentials are needed is upstream's decision, and the
/// gateway passes them through; a certificate is asked for before there is a request.
fn security(config: &Config) -> (Value, Value) {
    let bearer = json!({"type": "http", "scheme": "bearer"});
    if !config.mutual_tls {
        return (json!({"bearer": bearer}), json!([{}, {"bearer": []}]));
    }
    let certificate =
        json!({"type": "mutualTLS", "description": "A certificate of an authority that the gateway trusts."});
    let schemes = json!({"bearer": bearer, "certificate": certificate});
    (schemes, json!([{"certificate": []}, {"bearer": [], "certificate": []}]))
}

fn tags(context: &Context<'_>, routes: &Table<Method>) -> Vec<Value> {
    let mut tags: Vec<Value> = Vec::new();
    for method in routes.routes() {
        let service = method.descriptor.parent_service();
        if tags.iter().all(|tag| tag["name"] != service.name()) {
            let description = context.comments.of_service(service);
            tags.push(json!({"name": service.name(), "description": description}));
        }
    }
    tags
}
