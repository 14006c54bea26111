//! One binding as an OpenAPI operation: parameters, body, answers.

use serde_json::{Map, Value, json};

use super::{Context, errors, headers, path::OpenApiPath, schemas::Schemas, stream::Forms};
use crate::{
    method::{Body, Method},
    schema::{Cardinality, Field, Form, MessageId},
    transcode::query,
};

/// How deep query parameters reach into messages.
const QUERY_DEPTH_MAX: usize = 3;

/// The operation of a binding, by its id.
pub(super) fn describe(
    context: &Context<'_>,
    schemas: &mut Schemas<'_>,
    method: &Method,
    path: &OpenApiPath,
    id: &str,
) -> Value {
    let comment = context.comments.of_method(&method.descriptor);
    let service = method.descriptor.parent_service();
    let mut parameters = path_parameters(context, schemas, method, path);
    if !method.scope.nothing {
        let bound = bound_by_path(context, method);
        query_parameters(context, schemas, method, method.input, &mut Vec::new(), &bound, &mut parameters);
    }
    if method.resume.after.is_some() {
        parameters.push(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event seen; the stream goes on behind it.",
            "schema": {"type": "string"},
        }));
    }
    parameters.extend(conditions(method));
    parameters.extend(headers::of_method(context, method));
    let mut operation = json!({
        "operationId": id,
        "tags": [context.services.name(service)],
        "summary": comment.summary,
        "description": comment.description,
        "parameters": parameters,
        "responses": responses(context, schemas, method, &comment.errors),
        "x-grpc-method": method.grpc_path.path(),
        "x-path-template": method.template_text,
    });
    let members = [
        ("requestBody", request_body(context, schemas, method)),
        ("x-resume", resumption(method)),
        ("x-websocket", socket(method)),
    ];
    if let Some(operation) = operation.as_object_mut() {
        let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        operation.extend(members);
    }
    operation
}

/// The headers by which a client says which state it knows, or wants to change.
fn conditions(method: &Method) -> Vec<Value> {
    let header = |name: &str, description: &str| json!({"name": name, "in": "header", "description": description, "schema": {"type": "string"}});
    let knows = method.http_method == "GET" && !method.etag.numbers.is_empty();
    let known =
        header("If-None-Match", "The `ETag` of the answer that is known; 304 if it is still the one.");
    let wanted = header("If-Match", "The `ETag` of the state that is to be changed; 412 if it is another.");
    let conditions = [(knows, known), (method.guard.is_some() && method.http_method != "GET", wanted)];
    conditions.into_iter().filter_map(|(applies, header)| applies.then_some(header)).collect()
}

/// How a stream that broke off is taken up again: which member of an item is its id, and which of the request, or which
/// header, says behind which id to go on.
fn resumption(method: &Method) -> Option<Value> {
    let (id, after) = (method.resume.id.as_ref()?, method.resume.after.as_ref()?);
    Some(json!({"id": id.name, "parameter": after.name, "header": "Last-Event-ID"}))
}

/// How the method is spoken to through a WebSocket; OpenAPI has no words for one.
fn socket(method: &Method) -> Option<Value> {
    let client = match method.body {
        body if method.client_streaming && body.is_raw() => "many, binary; an empty text frame ends them",
        _ if method.client_streaming => "many; an empty frame ends them",
        Body::None => "none",
        _ => "one",
    };
    let streams = method.client_streaming || method.server_streaming;
    streams.then(|| {
        json!({
            "subprotocol": crate::stream::websocket::PROTOCOL,
            "clientFrames": client,
            "serverFrames": if method.server_streaming { "many" } else { "one" },
            "errors": "a last frame with the member `error`, and a close code of 4000 and the gRPC code",
        })
    })
}

fn path_parameters(
    context: &Context<'_>,
    schemas: &mut Schemas<'_>,
    method: &Method,
    path: &OpenApiPath,
) -> Vec<Value> {
    let mut parameters = Vec::new();
    for variable in &path.variables {
        let field =
            variable.field.as_ref().and_then(|field| query::resolve(context.schema, method.input, field));
        let leaf = field.as_ref().and_then(|path| path.last()).copied();
        let described =
            leaf.map(|(message, _, field)| (schemas.comment(message, field), schemas.text_value(field)));
        let (description, schema) = match described {
            Some((comment, schema)) if variable.whole => (comment, schema),
            Some((comment, _)) => {
                let field = variable.field.as_deref().unwrap_or_default();
                (format!("Part of `{field}`. {comment}"), json!({"type": "string"}))
            }
            None => (String::new(), json!({"type": "string"})),
        };
        let mut parameter = variable.parameter(schema, &description);
        let example = leaf.filter(|_| variable.whole);
        let example = example.and_then(|(message, _, field)| schemas.example(message, field));
        if let (Some(example), Some(parameter)) = (example, parameter.as_object_mut()) {
            parameter.insert("example".to_owned(), example);
        }
        parameters.push(parameter);
    }
    parameters
}

/// The fields that the path sets, by JSON names: they are no parameters.
fn bound_by_path(context: &Context<'_>, method: &Method) -> Vec<Vec<String>> {
    let paths = method.template.variables.iter().map(|variable| variable.field_path.join("."));
    let resolved = paths.filter_map(|path| query::resolve(context.schema, method.input, &path));
    resolved.map(|path| path.iter().map(|(_, _, field)| field.json_name.to_string()).collect()).collect()
}

fn query_parameters(
    context: &Context<'_>,
    schemas: &mut Schemas<'_>,
    method: &Method,
    message: MessageId,
    above: &mut Vec<String>,
    bound: &[Vec<String>],
    out: &mut Vec<Value>,
) {
    for (index, field) in context.schema.message(message).fields.iter().enumerate() {
        if above.is_empty() && method.scope.body == Some(index) {
            continue;
        }
        above.push(field.json_name.to_string());
        if bound.contains(above) {
            above.pop();
            continue;
        }
        let form = field.kind.message().map(|id| context.schema.message(id).form);
        let inner = field.kind.message().filter(|_| form == Some(Form::Object));
        match (inner, field.cardinality) {
            // what neither text nor parameters within can say
            _ if form == Some(Form::Any) => {}
            (_, Cardinality::Map) => out.push(query_parameter(context, schemas, message, field, above)),
            (None, _) => out.push(query_parameter(context, schemas, message, field, above)),
            (Some(inner), Cardinality::Singular)
                if above.len() < QUERY_DEPTH_MAX && inner != method.input =>
            {
                query_parameters(context, schemas, method, inner, above, bound, out);
            }
            // A list of messages, or one too deep, has no parameter.
            _ => {}
        }
        above.pop();
    }
}

fn query_parameter(
    context: &Context<'_>,
    schemas: &mut Schemas<'_>,
    message: MessageId,
    field: &Field,
    path: &[String],
) -> Value {
    let mut parameter = json!({
        "name": path.join("."),
        "in": "query",
        "description": schemas.comment(message, field),
    });
    if path.len() == 1 && schemas.is_required(message, field) {
        parameter["required"] = true.into();
    }
    let value = match field.cardinality {
        Cardinality::Map => field.kind.message().and_then(|id| context.schema.message(id).fields.last()),
        _ => Some(field),
    };
    let form = value.and_then(|value| value.kind.message()).map(|id| context.schema.message(id).form);
    let is_json = matches!(form, Some(Form::Struct | Form::Value | Form::ListValue));
    let example = schemas.example(message, field);
    if is_json && field.cardinality == Cardinality::Singular {
        let mut content = json!({"schema": schemas.field(field)});
        if let Some(example) = example {
            content["example"] = example;
        }
        parameter["content"] = json!({"application/json": content});
        return parameter;
    }
    parameter["schema"] = match (value, field.cardinality) {
        (Some(value), Cardinality::Repeated { .. }) if is_json => {
            json!({"type": "array", "items": json_text(schemas.value(value))})
        }
        (Some(value), Cardinality::Map) if is_json => {
            json!({"type": "object", "additionalProperties": json_text(schemas.value(value))})
        }
        _ => schemas.field(field),
    };
    if field.cardinality == Cardinality::Map {
        parameter["style"] = "deepObject".into();
    }
    if field.cardinality != Cardinality::Singular {
        parameter["explode"] = true.into();
    }
    if let Some(example) = example.filter(|_| !is_json) {
        parameter["example"] = example;
    }
    parameter
}

/// JSON where only text can stand.
fn json_text(schema: Value) -> Value {
    json!({"type": "string", "contentMediaType": "application/json", "contentSchema": schema})
}

fn request_body(context: &Context<'_>, schemas: &mut Schemas<'_>, method: &Method) -> Option<Value> {
    let field = |index: usize| &context.schema.message(method.input).fields[index];
    let schema = match method.body {
        Body::None => return None,
        Body::RawMessage | Body::RawField(_) => {
            return Some(json!({"content": {"*/*": {}}}));
        }
        Body::Field(index) => schemas.field(field(index)),
        Body::Message => schemas.without_path(method),
    };
    let example = match method.body {
        Body::Message => schemas.example_of(method.input, &schemas.bound(method)),
        Body::Field(index) => field(index).kind.message().and_then(|id| schemas.example_of(id, &[])),
        _ => None,
    };
    let required = matches!(method.body, Body::Field(_));
    if method.client_streaming {
        return Some(json!({"required": true, "content": {
            "application/x-ndjson": {"schema": schema},
            "application/json": {"schema": {"type": "array", "items": schema}},
        }}));
    }
    let mut content = json!({"schema": schema});
    if let (Some(example), Some(content)) = (example, content.as_object_mut()) {
        content.insert("example".to_owned(), example);
    }
    Some(json!({"required": required, "content": {"application/json": content}}))
}

fn responses(
    context: &Context<'_>,
    schemas: &mut Schemas<'_>,
    method: &Method,
    errors: &[(String, String)],
) -> Map<String, Value> {
    let schema = match method.response_body {
        Some(index) => schemas.field(&context.schema.message(method.output).fields[index]),
        None => schemas.message(method.output),
    };
    let mut success = if method.raw_response {
        json!({"description": "Success.", "content": {"*/*": {}}})
    } else if method.server_streaming {
        let Forms { description, content, others } = Forms::of(context, &schema);
        let mut success = json!({"description": description, "content": content});
        if let Some(others) = others {
            success["x-forms"] = others;
        }
        success
    } else {
        json!({"description": "Success.", "content": {"application/json": {"schema": schema}}})
    };
    let mut responses = Map::new();
    let mut headers = headers::of_answer(context);
    if !method.etag.numbers.is_empty() {
        let etag = json!({"description": "The state of the resource.", "schema": {"type": "string"}});
        headers.insert("ETag".to_owned(), etag);
    }
    success["headers"] = headers.into();
    responses.insert("200".to_owned(), success);
    let read = method.http_method == "GET" && !method.etag.numbers.is_empty();
    if read {
        let told = json!({"description": "The state is one that `If-None-Match` names."});
        responses.insert("304".to_owned(), told);
    }
    if read || method.guard.is_some() {
        responses.insert(
            "412".to_owned(),
            errors::response(context, "The state is not the one that `If-Match` names."),
        );
    }
    errors::of_method(context, method, errors, &mut responses);
    responses
}
