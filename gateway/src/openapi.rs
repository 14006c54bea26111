//! The OpenAPI 3.1 document of a gateway, generated from its descriptors once, at load.
//!
//! Every binding is an operation. Comments become descriptions; a comment line that begins with a gRPC code
//! (`NOT_FOUND NOPROC: the process is not alive.`) documents an error response. Schemas are JSON Schema of the
//! canonical JSON, as the gateway is configured to read and write it.

mod comments;
mod errors;
mod examples;
mod headers;
mod info;
mod items;
mod names;
mod operation;
mod path;
mod schemas;
mod stream;

use bytes::Bytes;
use comments::Comments;
use items::Items;
use names::{Operations, Services};
use path::Paths;
use schemas::Schemas;
use serde_json::{Value, json};

use crate::{config::Config, method::Method, route::Table, schema::Schema};

/// What the parts of the document are made from.
struct Context<'a> {
    schema: &'a Schema,
    config: &'a Config,
    comments: Comments,
    services: Services,
    /// What the component of an error body is called.
    error: &'static str,
}

/// The document as JSON.
pub(crate) fn document(schema: &Schema, routes: &Table<Method>, config: &Config) -> Bytes {
    let context = Context {
        schema,
        config,
        comments: Comments::of(schema.pool()),
        services: Services::of(routes.routes()),
        error: errors::component(schema.pool()),
    };
    let mut schemas = Schemas::new(&context);
    let (mut paths, mut items, mut ids) = (Paths::default(), Items::default(), Operations::default());
    for method in routes.routes() {
        let id = ids.id(context.services.name(method.descriptor.parent_service()), method);
        let path = paths.place(method);
        let operation = operation::describe(&context, &mut schemas, method, &path, &id);
        items.put(path.text, &method.http_method, operation);
    }
    let (schemes, security) = security(config);
    let document = json!({
        "openapi": "3.1.0",
        "info": info::of(&context, routes),
        // beside the document itself, wherever the router is nested
        "servers": [{"url": "."}],
        "tags": tags(&context, routes),
        "paths": items.finish(),
        "components": {
            "schemas": schemas.finish(),
            "parameters": headers::parameters(&context),
            "headers": headers::components(),
            "responses": errors::responses(&context),
            "securitySchemes": schemes,
        },
        "security": security,
    });
    Bytes::from(document.to_string())
}

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
        let name = context.services.name(service);
        if tags.iter().all(|tag| tag["name"] != name) {
            let description = context.comments.of_service(service);
            tags.push(json!({"name": name, "description": description}));
        }
    }
    tags
}
