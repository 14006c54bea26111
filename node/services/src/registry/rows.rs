//! Names, groups and members as lists have them: domain values until they are encoded.

use crate::listing::Row;
use crate::{payload, time};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1::{self, name_scope::Scope};
use arsenal_runtime::names::NameEntry;
use arsenal_runtime::registry::{GlobalName, Group, split_group_key};
use arsenal_runtime::{Node, Pid, Term};
use prost_types::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// A name and who holds it.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    name: Arc<str>,
    global: bool,
    pid: Pid,
    metadata: Term,
    version: u64,
    token: u64,
    registered: Timestamp,
}

impl Registration {
    /// A local name of this node.
    pub(super) fn local(node: &Node, name: &str, entry: NameEntry) -> Self {
        Self {
            name: name.into(),
            global: false,
            pid: entry.pid,
            metadata: entry.metadata,
            version: entry.version,
            token: 0,
            registered: time::timestamp(node, entry.registered_ns),
        }
    }

    /// A global name.
    pub(super) fn global(name: &Arc<str>, entry: &GlobalName) -> Self {
        Self {
            name: Arc::clone(name),
            global: true,
            pid: entry.pid,
            metadata: entry.metadata.clone(),
            version: entry.version,
            token: entry.token,
            registered: timestamp(entry.registered_ms),
        }
    }

    /// Its metadata.
    pub(super) fn metadata(&self) -> &Term {
        &self.metadata
    }

    /// Its version: what an etag says.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// What lists are ordered by where nothing else is asked for.
    pub(super) fn order(&self) -> (&str, bool, u32) {
        (&self.name, self.global, self.pid.node)
    }

    fn scope(&self) -> Scope {
        if self.global { Scope::Global } else { Scope::Local }
    }

    /// For the wire.
    pub(super) fn encode(&self) -> v1::NameRegistration {
        v1::NameRegistration {
            name: self.name.to_string(),
            scope: self.scope().into(),
            pid: self.pid.to_string(),
            node: node_of(self.pid),
            metadata: (!self.metadata.is_null()).then(|| payload::to_struct(&self.metadata)),
            etag: self.version.to_string(),
            token: self.token,
            register_time: Some(self.registered),
        }
    }
}

impl Row for Registration {
    const FIELDS: &'static [Field] = &[
        ("name", FieldType::Text),
        ("scope", FieldType::Text),
        ("pid", FieldType::Text),
        ("node", FieldType::Text),
        ("metadata", FieldType::Map),
        ("etag", FieldType::Text),
        ("token", FieldType::Number),
        ("register_time", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        match name {
            "name" => Term::Str(Arc::clone(&self.name)),
            "scope" => self.scope().as_str_name().into(),
            "pid" => self.pid.into(),
            "node" => node_of(self.pid).into(),
            // a name without metadata has none of any key
            "metadata" if self.metadata.is_null() => Term::map::<&str>([]),
            "metadata" => self.metadata.clone(),
            "etag" => self.version.to_string().into(),
            "token" => integer(self.token),
            _ => Term::from(self.registered.to_string()),
        }
    }
}

/// A group without its members.
#[derive(Clone, Debug)]
pub(super) struct GroupRow {
    key: Arc<str>,
    created: bool,
    metadata: Term,
    members_max: Option<u32>,
    member_count: u32,
    node_counts: BTreeMap<u32, u32>,
    version: u64,
    created_ms: u64,
}

impl GroupRow {
    /// The group with this key.
    pub(super) fn of(key: &Arc<str>, group: &Group) -> Self {
        let mut node_counts = BTreeMap::new();
        for (pid, count) in &group.members {
            *node_counts.entry(pid.node).or_default() += count;
        }
        Self {
            key: Arc::clone(key),
            created: group.created,
            metadata: group.metadata.clone(),
            members_max: group.members_max,
            member_count: group.member_count(),
            node_counts,
            version: group.version,
            created_ms: group.created_ms,
        }
    }

    /// For the wire.
    pub(super) fn encode(&self) -> v1::ProcessGroup {
        let (scope, group) = split_group_key(&self.key);
        let node_counts = self.node_counts.iter();
        v1::ProcessGroup {
            group: group.to_owned(),
            scope: scope.to_owned(),
            created: self.created,
            metadata: (!self.metadata.is_null()).then(|| payload::to_struct(&self.metadata)),
            max_members: self.members_max.unwrap_or_default(),
            member_count: self.member_count,
            node_counts: node_counts
                .map(|(node, count)| v1::process_group::NodeCount { node: format!("n{node}"), count: *count })
                .collect(),
            etag: self.version.to_string(),
            create_time: self.created.then(|| timestamp(self.created_ms)),
        }
    }
}

impl Row for GroupRow {
    const FIELDS: &'static [Field] = &[
        ("group", FieldType::Text),
        ("scope", FieldType::Text),
        ("created", FieldType::Flag),
        ("metadata", FieldType::Map),
        ("max_members", FieldType::Number),
        ("member_count", FieldType::Number),
        ("node_counts", FieldType::List),
        ("etag", FieldType::Text),
        ("create_time", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        let (scope, group) = split_group_key(&self.key);
        match name {
            "group" => Term::str(group),
            "scope" => Term::str(scope),
            "created" => self.created.into(),
            "metadata" if self.metadata.is_null() => Term::map::<&str>([]),
            "metadata" => self.metadata.clone(),
            "max_members" => integer(self.members_max.unwrap_or_default()),
            "member_count" => integer(self.member_count),
            "node_counts" => Term::list(self.node_counts.iter().map(|(node, count)| {
                Term::map([("node", Term::from(format!("n{node}"))), ("count", integer(*count))])
            })),
            "etag" => self.version.to_string().into(),
            _ if self.created => Term::from(timestamp(self.created_ms).to_string()),
            _ => Term::Null,
        }
    }
}

/// A process in a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberRow {
    /// The process.
    pub(super) pid: Pid,
    /// How often it joined.
    pub(super) count: u32,
}

impl MemberRow {
    /// For the wire.
    pub(super) fn encode(self) -> v1::list_group_members_response::Member {
        v1::list_group_members_response::Member {
            pid: self.pid.to_string(),
            node: node_of(self.pid),
            count: self.count,
        }
    }
}

impl Row for MemberRow {
    const FIELDS: &'static [Field] =
        &[("pid", FieldType::Text), ("node", FieldType::Text), ("count", FieldType::Number)];

    fn field(&self, name: &str) -> Term {
        match name {
            "pid" => self.pid.into(),
            "node" => node_of(self.pid).into(),
            _ => integer(self.count),
        }
    }
}

/// The name of the node that a process lives on.
pub(super) fn node_of(pid: Pid) -> String {
    format!("n{}", pid.node)
}

/// The pids as texts.
pub(super) fn texts(pids: &[Pid]) -> Vec<String> {
    pids.iter().map(Pid::to_string).collect()
}

fn timestamp(unix_ms: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(unix_ms))
}

fn integer(number: impl Into<u64>) -> Term {
    Term::Int(i64::try_from(number.into()).unwrap_or(i64::MAX))
}
