//! Refuses a breaking change of the contract: the listing of what it defines is kept in `golden/descriptor.txt`.
//!
//! A line that is gone or altered breaks clients; a new one is wanted, and is recorded by `UPDATE_GOLDEN=1`. Before
//! the first release a break may be recorded too, by `UPDATE_GOLDEN=breaking`.

#![expect(clippy::unwrap_used, reason = "a descriptor set that does not decode is a failed test")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use prost_reflect::{DynamicMessage, MethodDescriptor};

const PACKAGE: &str = "arsenal.v1";
const ADVICE: &str = "UPDATE_GOLDEN=1 cargo test -p arsenal-proto --test golden";

fn golden_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/descriptor.txt")
}

/// One line a service, method, message, field, enum and value, sorted: the order in a file means nothing.
fn listing() -> BTreeSet<String> {
    let pool = DescriptorPool::decode(arsenal_proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut lines = BTreeSet::new();
    for service in pool.services().filter(|service| service.package_name() == PACKAGE) {
        lines.insert(format!("service {}", service.full_name()));
        lines.extend(service.methods().map(|method| method_line(&method)));
    }
    for message in pool.all_messages().filter(|message| message.package_name() == PACKAGE) {
        lines.extend(message_lines(&message));
    }
    for kind in pool.all_enums().filter(|kind| kind.package_name() == PACKAGE) {
        lines.extend(enum_lines(&kind));
    }
    lines
}

fn method_line(method: &MethodDescriptor) -> String {
    let stream = |is_stream| if is_stream { "stream " } else { "" };
    let options: Vec<_> = ["google.api.http", "arsenal.v1.operation"]
        .into_iter()
        .map(|name| option_text(method, name))
        .collect();
    format!(
        "rpc {} ({}{}) returns ({}{}) {}",
        method.full_name(),
        stream(method.is_client_streaming()),
        method.input().full_name(),
        stream(method.is_server_streaming()),
        method.output().full_name(),
        options.join(" "),
    )
}

fn option_text(method: &MethodDescriptor, name: &str) -> String {
    let extension = method.parent_pool().get_extension_by_name(name).unwrap();
    let options: DynamicMessage = method.options();
    format!("{name}={}", options.get_extension(&extension))
}

fn message_lines(message: &MessageDescriptor) -> Vec<String> {
    if message.is_map_entry() {
        return Vec::new();
    }
    let fields = message.fields().map(|field| field_line(&field));
    [format!("message {}", message.full_name())].into_iter().chain(fields).collect()
}

fn field_line(field: &FieldDescriptor) -> String {
    let label = match field.cardinality() {
        _ if field.is_map() => "map ",
        Cardinality::Repeated => "repeated ",
        _ if field.supports_presence() && field.kind().as_message().is_none() => "optional ",
        _ => "",
    };
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    let oneof = oneof.map(|oneof| format!(" oneof {}", oneof.name())).unwrap_or_default();
    format!("field {} = {} {label}{}{oneof}", field.full_name(), field.number(), type_name(&field.kind()))
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) if message.is_map_entry() => {
            let (key, value) = (message.map_entry_key_field(), message.map_entry_value_field());
            format!("<{}, {}>", type_name(&key.kind()), type_name(&value.kind()))
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(kind) => kind.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

fn enum_lines(kind: &EnumDescriptor) -> Vec<String> {
    let values = kind
        .values()
        .map(|value| format!("value {}.{} = {}", kind.full_name(), value.name(), value.number()));
    [format!("enum {}", kind.full_name())].into_iter().chain(values).collect()
}

#[test]
fn the_contract_loses_and_alters_nothing_that_the_golden_listing_has() {
    let now = listing();
    let recorded = fs::read_to_string(golden_path()).unwrap_or_default();
    let recorded: BTreeSet<String> = recorded.lines().map(str::to_owned).collect();
    let gone: Vec<_> = recorded.difference(&now).cloned().collect();
    let new: Vec<_> = now.difference(&recorded).cloned().collect();
    let update = env::var("UPDATE_GOLDEN").unwrap_or_default();
    assert!(
        gone.is_empty() || update == "breaking",
        "breaking change: these lines are gone or altered; give what is new a new name or number\n{}",
        gone.join("\n"),
    );
    if !update.is_empty() {
        let lines: Vec<_> = now.into_iter().collect();
        fs::write(golden_path(), lines.join("\n") + "\n").unwrap();
        return;
    }
    assert!(new.is_empty(), "not recorded yet; run `{ADVICE}` and commit the file\n{}", new.join("\n"));
}
