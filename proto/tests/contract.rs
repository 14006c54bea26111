//! Walks the descriptor set: what every operation must carry, and that it agrees with the catalogue.

#![expect(clippy::unwrap_used, reason = "a descriptor set that does not decode is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage, Value};

const PACKAGE: &str = "arsenal.v1";

/// Services of which some operations came before their time, since the proofs of others need them.
const BEGUN: [&str; 1] = ["RecoveryService"];

fn pool() -> DescriptorPool {
    DescriptorPool::decode(arsenal_proto::FILE_DESCRIPTOR_SET).unwrap()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services()
        .filter(|service| service.package_name() == PACKAGE)
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

/// The message in a method option; None where the method does not carry it.
fn option(method: &MethodDescriptor, extension: &str) -> Option<DynamicMessage> {
    let extension = method.parent_pool().get_extension_by_name(extension).unwrap();
    let options = method.options();
    options.has_extension(&extension).then(|| options.get_extension(&extension).as_message().unwrap().clone())
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).unwrap().as_str().unwrap().to_owned()
}

fn texts(message: &DynamicMessage, field: &str) -> Vec<String> {
    let list = message.get_field_by_name(field).unwrap();
    list.as_list().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn enum_name(message: &DynamicMessage, field: &str) -> String {
    let field = message.descriptor().get_field_by_name(field).unwrap();
    let number = message.get_field(&field).as_enum_number().unwrap();
    field.kind().as_enum().unwrap().get_value(number).unwrap().name().to_owned()
}

/// One binding as the catalogue writes it, `POST /v1/processes`, and its body.
struct Binding {
    rule: String,
    body: String,
}

fn bindings(method: &MethodDescriptor) -> Vec<Binding> {
    let Some(rule) = option(method, "google.api.http") else { return Vec::new() };
    let further = rule.get_field_by_name("additional_bindings").unwrap();
    let further: Vec<_> =
        further.as_list().unwrap().iter().filter_map(Value::as_message).map(binding).collect();
    [binding(&rule)].into_iter().chain(further).collect()
}

fn binding(rule: &DynamicMessage) -> Binding {
    let verbs = ["get", "put", "post", "delete", "patch"];
    let verb = verbs.into_iter().find(|verb| rule.has_field_by_name(verb)).unwrap();
    Binding { rule: format!("{} {}", verb.to_uppercase(), text(rule, verb)), body: text(rule, "body") }
}

/// The comment that stands before a method.
fn comment(method: &MethodDescriptor) -> String {
    let file = method.parent_file();
    let locations = &file.file_descriptor_proto().source_code_info.as_ref().unwrap().location;
    let location = locations.iter().find(|location| location.path == method.path());
    location.and_then(|location| location.leading_comments.clone()).unwrap_or_default()
}

/// Service, RPC and HTTP rule of each operation in the catalogue.
fn catalogue() -> BTreeMap<String, [String; 3]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/catalogue.tsv");
    let rows = fs::read_to_string(path).unwrap();
    rows.lines()
        .skip(1)
        .map(|row| {
            let columns: Vec<_> = row.split('\t').collect();
            (columns[2].to_owned(), [4, 5, 6].map(|column: usize| columns[column].to_owned()))
        })
        .collect()
}

#[test]
fn every_rpc_has_an_http_rule_an_operation_and_a_comment_that_tells_its_errors() {
    let pool = pool();
    let mut missing = Vec::new();
    for method in methods(&pool) {
        let name = method.full_name();
        if option(&method, "google.api.http").is_none() {
            missing.push(format!("{name}: no google.api.http"));
        }
        if option(&method, "arsenal.v1.operation").is_none() {
            missing.push(format!("{name}: no arsenal.v1.operation"));
        }
        let comment = comment(&method);
        let (effect, errors) = comment.split_once("Errors:").unwrap_or_default();
        if effect.trim().is_empty() || errors.trim().is_empty() {
            missing.push(format!("{name}: its comment does not say its effect and then `Errors:`"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_operation_of_the_catalogue_has_the_service_rpc_and_http_rule_of_its_row() {
    let pool = pool();
    let mut rows = catalogue();
    let mut wrong = Vec::new();
    let services: BTreeSet<_> =
        methods(&pool).iter().map(|method| method.parent_service().name().to_owned()).collect();
    for method in methods(&pool) {
        let operation = option(&method, "arsenal.v1.operation").unwrap();
        let rules: Vec<_> = bindings(&method).into_iter().map(|binding| binding.rule).collect();
        let names = [text(&operation, "name")].into_iter().chain(texts(&operation, "also"));
        for name in names.filter(|name| name.contains('/')) {
            let Some([service, rpc, http]) = rows.remove(&name) else {
                wrong.push(format!("{name}: no such row, or two RPCs claim it"));
                continue;
            };
            if service != method.parent_service().name() || rpc != method.name() {
                wrong.push(format!("{name}: the catalogue has {service}.{rpc}, not {}", method.full_name()));
            }
            if !rules.contains(&http) {
                wrong.push(format!("{name}: the catalogue has `{http}`, the rules are {rules:?}"));
            }
        }
    }
    // a service is built whole: what is left may only belong to services that do not exist yet
    let is_whole = |service: &String| services.contains(service) && !BEGUN.contains(&&**service);
    let unserved = rows.iter().filter(|(_, [service, ..])| is_whole(service));
    wrong.extend(unserved.map(|(name, [service, rpc, _])| format!("{name}: {service}.{rpc} is not defined")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_operation_says_where_it_is_answered_and_what_it_does() {
    let pool = pool();
    let mut wrong = Vec::new();
    for method in methods(&pool) {
        let operation = option(&method, "arsenal.v1.operation").unwrap();
        let name = text(&operation, "name");
        let (route, effect) = (enum_name(&operation, "route"), enum_name(&operation, "effect"));
        if name.is_empty() || route == "ROUTE_UNSPECIFIED" || effect == "EFFECT_UNSPECIFIED" {
            wrong.push(format!("{}: name `{name}`, route {route}, effect {effect}", method.full_name()));
        }
        let field = text(&operation, "field");
        let first = method.input().get_field(1).map(|first| first.name().to_owned()).unwrap_or_default();
        if !field.is_empty() && field != first {
            wrong.push(format!("{name}: routes by `{field}`, but field 1 is `{first}`"));
        }
        if field.is_empty() && ["PROCESS", "OWNER"].contains(&route.as_str()) {
            wrong.push(format!("{name}: route {route} needs a field"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn get_and_delete_take_no_body_post_and_put_the_rest_and_patch_the_resource() {
    let pool = pool();
    let mut wrong = Vec::new();
    for method in methods(&pool) {
        for Binding { rule, body } in bindings(&method) {
            let verb = rule.split(' ').next().unwrap_or_default();
            let fits = match verb {
                "GET" | "DELETE" => body.is_empty(),
                "POST" | "PUT" => body == "*",
                _ => {
                    let input = method.input();
                    let is_message = input
                        .get_field_by_name(&body)
                        .is_some_and(|field| field.kind().as_message().is_some() && !field.is_map());
                    is_message && input.get_field_by_name("update_mask").is_some()
                }
            };
            if !fits {
                wrong.push(format!("{}: {rule} with body `{body}`", method.full_name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_path_variable_is_a_field_of_the_request() {
    let pool = pool();
    let mut wrong = Vec::new();
    for method in methods(&pool) {
        for Binding { rule, .. } in bindings(&method) {
            let variables = rule.split('{').skip(1).filter_map(|rest| rest.split(['}', '=']).next());
            for variable in variables.filter(|variable| method.input().get_field_by_name(variable).is_none())
            {
                wrong.push(format!("{}: {rule} binds `{variable}`", method.full_name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_rpcs_share_an_http_rule() {
    let pool = pool();
    let mut seen = BTreeMap::new();
    for method in methods(&pool) {
        for Binding { rule, .. } in bindings(&method) {
            if let Some(other) = seen.insert(rule.clone(), method.full_name().to_owned()) {
                panic!("`{rule}` leads to {other} and to {}", method.full_name());
            }
        }
    }
}

#[test]
fn every_message_field_and_enum_value_of_the_contract_is_explained_or_zero() {
    let pool = pool();
    let mut bare = Vec::new();
    for file in pool.files().filter(|file| file.package_name() == PACKAGE) {
        let proto = file.file_descriptor_proto();
        let explained: BTreeSet<_> = proto
            .source_code_info
            .as_ref()
            .unwrap()
            .location
            .iter()
            .filter(|location| location.leading_comments.is_some() || location.trailing_comments.is_some())
            .map(|location| location.path.clone())
            .collect();
        let messages =
            pool.all_messages().filter(|message| message.parent_file() == file && !message.is_map_entry());
        for message in messages {
            let fields = message.fields().map(|field| (field.path().to_vec(), field.full_name().to_owned()));
            let itself = (message.path().to_vec(), message.full_name().to_owned());
            bare.extend([itself].into_iter().chain(fields).filter(|(path, _)| !explained.contains(path)));
        }
        for kind in pool.all_enums().filter(|kind| kind.parent_file() == file) {
            let values = kind.values().filter(|value| value.number() != 0);
            let values = values.map(|value| (value.path().to_vec(), value.full_name().to_owned()));
            let itself = (kind.path().to_vec(), kind.full_name().to_owned());
            bare.extend([itself].into_iter().chain(values).filter(|(path, _)| !explained.contains(path)));
        }
    }
    let bare: Vec<_> = bare.into_iter().map(|(_, name)| name).collect();
    assert!(bare.is_empty(), "no comment on:\n{}", bare.join("\n"));
}
