//! What this server can do, as its descriptor tells it.

use super::schema;
use crate::listing::{Query, Row, names};
use crate::operations::{Effect, Operation, all, extension};
use crate::payload::to_struct;
use crate::status::bad_argument;
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1;
use arsenal_proto::v1::operation_description::Binding;
use arsenal_runtime::Term;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tonic::Status;

/// Request fields by which a caller guards himself.
const GUARDS: [&str; 4] = ["dry_run", "expected_count", "etag", "token"];

const SCHEMAS: [&str; 2] = ["request_schema", "response_schema"];

struct Described(Operation);

impl Described {
    fn field_name(&self) -> String {
        let options = self.0.method.options();
        let operation = extension(&options, "arsenal.v1.operation");
        operation.and_then(|operation| text_of(&operation, "field")).unwrap_or_default()
    }

    fn bindings(&self) -> Vec<Binding> {
        let options = self.0.method.options();
        let rule = extension(&options, "google.api.http");
        let more = |rule: &DynamicMessage| match rule.get_field_by_name("additional_bindings").as_deref() {
            Some(Value::List(rules)) => rules.iter().filter_map(Value::as_message).cloned().collect(),
            _ => Vec::new(),
        };
        let rules: Vec<DynamicMessage> = rule
            .into_iter()
            .flat_map(|rule| {
                let more = more(&rule);
                std::iter::once(rule).chain(more)
            })
            .collect();
        let bodies = rules.iter().map(|rule| text_of(rule, "body").unwrap_or_default());
        let binding = |((method, path), body): (&(String, String), String)| Binding {
            method: method.clone(),
            path: path.clone(),
            body,
        };
        self.0.bindings.iter().zip(bodies).map(binding).collect()
    }

    fn guards(&self) -> Vec<String> {
        let input = self.0.method.input();
        let has = |guard: &&str| input.get_field_by_name(guard).is_some();
        GUARDS.iter().copied().filter(has).map(str::to_owned).collect()
    }

    fn effect(&self) -> v1::operation::Effect {
        match self.0.effect {
            Effect::Read => v1::operation::Effect::Read,
            Effect::Write => v1::operation::Effect::Write,
            Effect::Destructive => v1::operation::Effect::Destructive,
        }
    }

    fn encode(&self, wanted: impl Fn(&str) -> bool) -> v1::OperationDescription {
        let method = &self.0.method;
        let texts = |name, text: fn(&Self) -> String| if wanted(name) { text(self) } else { String::new() };
        let schema = |name, message: prost_reflect::MessageDescriptor| {
            wanted(name).then(|| to_struct(&Term::from_json(&schema::of(&message))))
        };
        v1::OperationDescription {
            name: texts("name", |it| it.0.name.clone()),
            also: if wanted("also") { self.0.also.clone() } else { Vec::new() },
            service: texts("service", |it| it.0.method.parent_service().full_name().to_owned()),
            rpc: texts("rpc", |it| it.0.method.name().to_owned()),
            bindings: if wanted("bindings") { self.bindings() } else { Vec::new() },
            summary: texts("summary", |it| it.0.summary()),
            description: texts("description", |it| it.0.comment.clone()),
            request_schema: schema("request_schema", method.input()),
            response_schema: schema("response_schema", method.output()),
            route: if wanted("route") {
                v1::operation::Route::from_str_name(self.0.route.as_str()).unwrap_or_default() as i32
            } else {
                0
            },
            field: texts("field", Self::field_name),
            effect: if wanted("effect") { self.effect() as i32 } else { 0 },
            idempotent: wanted("idempotent") && self.0.idempotent,
            client_streaming: wanted("client_streaming") && method.is_client_streaming(),
            server_streaming: wanted("server_streaming") && method.is_server_streaming(),
            guards: if wanted("guards") { self.guards() } else { Vec::new() },
        }
    }
}

fn text_of(message: &DynamicMessage, field: &str) -> Option<String> {
    message.descriptor().get_field_by_name(field)?;
    message.get_field_by_name(field)?.as_str().map(str::to_owned)
}

impl Row for Described {
    const FIELDS: &'static [Field] = &[
        ("name", FieldType::Text),
        ("also", FieldType::List),
        ("service", FieldType::Text),
        ("rpc", FieldType::Text),
        ("bindings", FieldType::List),
        ("summary", FieldType::Text),
        ("description", FieldType::Text),
        ("request_schema", FieldType::Map),
        ("response_schema", FieldType::Map),
        ("route", FieldType::Text),
        ("field", FieldType::Text),
        ("effect", FieldType::Text),
        ("idempotent", FieldType::Flag),
        ("client_streaming", FieldType::Flag),
        ("server_streaming", FieldType::Flag),
        ("guards", FieldType::List),
    ];

    fn field(&self, name: &str) -> Term {
        let described = || self.encode(|wanted| wanted == name);
        let texts = |texts: Vec<String>| Term::list(texts.into_iter().map(Term::from));
        match name {
            "name" => Term::from(self.0.name.clone()),
            "also" => texts(self.0.also.clone()),
            "service" => Term::from(described().service),
            "rpc" => Term::from(described().rpc),
            "bindings" => Term::list(self.bindings().into_iter().map(|binding| {
                Term::map([
                    ("method", binding.method.into()),
                    ("path", binding.path.into()),
                    ("body", binding.body.into()),
                ])
            })),
            "summary" => Term::from(described().summary),
            "description" => Term::from(described().description),
            "request_schema" => Term::from_json(&schema::of(&self.0.method.input())),
            "response_schema" => Term::from_json(&schema::of(&self.0.method.output())),
            "route" => Term::from(self.0.route.as_str()),
            "field" => Term::from(self.field_name()),
            "effect" => Term::from(self.effect().as_str_name()),
            "idempotent" => self.0.idempotent.into(),
            "client_streaming" => self.0.method.is_client_streaming().into(),
            "server_streaming" => self.0.method.is_server_streaming().into(),
            "guards" => texts(self.guards()),
            _ => Term::Null,
        }
    }
}

pub(super) fn list(request: &v1::ListOperationsRequest) -> Result<v1::ListOperationsResponse, Status> {
    let paths = request.read_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if let Some(path) =
        paths.iter().find(|path| *path != "*" && !names(Described::FIELDS).contains(&path.as_str()))
    {
        let message = format!("`read_mask` has `{path}`, which is no field of OperationDescription");
        return Err(bad_argument("read_mask", message));
    }
    let wanted = |name: &str| match paths {
        [] => !SCHEMAS.contains(&name),
        paths => paths.iter().any(|path| path == "*" || path == name),
    };
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: "",
    };
    let (operations, next_page_token) = query.page(all().into_iter().map(Described).collect())?;
    let operations = operations.iter().map(|operation| operation.encode(wanted)).collect();
    Ok(v1::ListOperationsResponse { operations, next_page_token })
}
