//! The operations as the descriptor tells them: name, RPC, HTTP rules, route, effect, words. The command line, the
//! layers and the coverage test read this; adding an operation needs no line here.

use arsenal_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ServiceDescriptor, Value};
use std::sync::LazyLock;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the descriptor set is embedded at build time, and a test decodes it"
    )]
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the embedded descriptor set")
});

/// Every message and service of the contract.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// What an operation does to the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    Read,
    /// Changes something.
    Write,
    /// Ends, drops or freezes something.
    Destructive,
}

impl Effect {
    /// Its name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }
}

/// Where an operation is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Route {
    /// On the node of the process that field 1 names.
    Process,
    /// On the node that field 1 names, or the node asked.
    Node,
    /// On the node that owns the id in field 1.
    Owner,
    /// Through the replicated state machine, from whichever node is asked.
    Leader,
    /// On every node, answers merged, where field 1 is `-`; otherwise as [`Route::Node`].
    Fanout,
    /// On every node, answers merged: a fan-out that no field routes.
    Everywhere,
    /// On the node asked.
    #[default]
    Local,
}

impl Route {
    /// Its name in the contract and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "PROCESS",
            Self::Node => "NODE",
            Self::Owner => "OWNER",
            Self::Leader => "LEADER",
            Self::Fanout | Self::Everywhere => "FANOUT",
            Self::Local => "LOCAL",
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name in the catalogue, `start_process/3`; a companion's has no arity.
    pub name: String,
    /// Further names that it serves.
    pub also: Vec<String>,
    /// The RPC.
    pub method: MethodDescriptor,
    /// Verb and path template of each HTTP binding; the first is the primary one.
    pub bindings: Vec<(String, String)>,
    /// The body of the primary binding: `*`, a field's name, or empty.
    pub body: String,
    /// What it does.
    pub effect: Effect,
    /// Where it is answered.
    pub route: Route,
    /// Whether a repeat does no more than the first call.
    pub idempotent: bool,
    /// The RPC's comment, errors included.
    pub comment: String,
}

impl Operation {
    /// The path of the RPC: `/arsenal.v1.ProcessService/StartProcess`.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.method.parent_service().full_name(), self.method.name())
    }

    /// Whether it is one of the 300 rather than a companion.
    pub fn is_catalogued(&self) -> bool {
        self.name.contains('/')
    }

    /// The first sentence of the comment.
    pub fn summary(&self) -> String {
        let text = self.comment.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let end = text.find(". ").map_or(text.len(), |end| end + 1);
        text[..end].trim().to_owned()
    }
}

/// The services of the contract.
fn services() -> impl Iterator<Item = ServiceDescriptor> {
    POOL.services().filter(|service| service.package_name() == "arsenal.v1")
}

/// Their full names, in the contract's order.
pub fn service_names() -> Vec<String> {
    services().map(|service| service.full_name().to_owned()).collect()
}

/// All operations that the contract has, in its order.
pub fn all() -> Vec<Operation> {
    services().flat_map(|service| service.methods().collect::<Vec<_>>()).filter_map(read).collect()
}

/// The operation with this name: the catalogue's with or without arity, or the RPC's.
pub fn find(name: &str) -> Option<Operation> {
    let wanted = name.split('/').next().unwrap_or(name);
    let is = |candidate: &str| candidate == name || candidate.split('/').next() == Some(wanted);
    let mut operations = all();
    let by_name = operations.iter().position(|op| is(&op.name) || op.also.iter().any(|also| is(also)));
    let at =
        by_name.or_else(|| operations.iter().position(|op| op.method.name().eq_ignore_ascii_case(name)))?;
    Some(operations.swap_remove(at))
}

fn read(method: MethodDescriptor) -> Option<Operation> {
    let options = method.options();
    let operation = extension(&options, "arsenal.v1.operation")?;
    let text = |field: &str| {
        operation
            .get_field_by_name(field)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let number = |field: &str| operation.get_field_by_name(field).and_then(|value| value.as_enum_number());
    let also = match operation.get_field_by_name("also").as_deref() {
        Some(Value::List(names)) => {
            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    let effect = match number("effect") {
        Some(2) => Effect::Write,
        Some(3) => Effect::Destructive,
        _ => Effect::Read,
    };
    let route = match number("route") {
        Some(1) => Route::Process,
        Some(2) => Route::Node,
        Some(3) => Route::Owner,
        Some(4) => Route::Leader,
        Some(5) if text("field").is_empty() => Route::Everywhere,
        Some(5) => Route::Fanout,
        _ => Route::Local,
    };
    let idempotent =
        operation.get_field_by_name("idempotent").and_then(|value| value.as_bool()).unwrap_or_default();
    let rule = extension(&options, "google.api.http");
    let bindings = rule.as_ref().map(bindings).unwrap_or_default();
    let body = rule
        .and_then(|rule| rule.get_field_by_name("body").and_then(|body| body.as_str().map(str::to_owned)));
    let body = body.unwrap_or_default();
    Some(Operation {
        name: text("name"),
        also,
        bindings,
        body,
        effect,
        route,
        idempotent,
        comment: comment(&method),
        method,
    })
}

pub(crate) fn extension(options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = POOL.get_extension_by_name(name)?;
    options
        .has_extension(&extension)
        .then(|| options.get_extension(&extension).as_message().cloned())
        .flatten()
}

fn bindings(rule: &DynamicMessage) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for verb in ["get", "put", "post", "delete", "patch"] {
        if let Some(path) = rule.get_field_by_name(verb).and_then(|path| path.as_str().map(str::to_owned))
            && !path.is_empty()
        {
            found.push((verb.to_uppercase(), path));
        }
    }
    if let Some(Value::List(more)) = rule.get_field_by_name("additional_bindings").as_deref() {
        found.extend(more.iter().filter_map(Value::as_message).flat_map(bindings));
    }
    found
}

fn comment(method: &MethodDescriptor) -> String {
    let file = method.parent_file();
    let source = file.file_descriptor_proto().source_code_info.as_ref();
    let location =
        source.and_then(|info| info.location.iter().find(|location| location.path == method.path()));
    let text = location.and_then(|location| location.leading_comments.as_deref()).unwrap_or_default();
    text.lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_found_by_each_of_its_names() {
        for name in ["start_process/3", "start_process", "StartProcess", "startprocess"] {
            assert_eq!(find(name).unwrap().method.name(), "StartProcess");
        }
        assert_eq!(find("get_process_info/2").unwrap().method.name(), "GetProcessInfo");
        assert!(find("no_such_thing").is_none());
    }

    #[test]
    fn every_operation_says_what_it_does() {
        for operation in all() {
            assert!(!operation.summary().is_empty(), "{}", operation.name);
            assert!(!operation.bindings.is_empty(), "{}", operation.name);
        }
    }
}
