//! A process as `ProcessInfo`, whole or in parts, and as the items of `process_info/2`.

use crate::payload::to_value;
use crate::process::options;
use crate::status::{bad_argument, failure};
use crate::time::timestamp_ms;
use arsenal_observe::process_variables::{HEADER_NAMES, NAMES, ProcessView};
use arsenal_proto::v1;
use arsenal_runtime::info::{Header, Status as Does};
use arsenal_runtime::limits::MailboxLimit;
use arsenal_runtime::{Behaviour, Node, OwnedId, Pid, Priority, ProcessKind, ProcessRef, Term};
use prost_types::FieldMask;
use std::time::Duration;
use tonic::{Code, Status};

/// Which fields of `ProcessInfo` are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fields(u64);

impl Fields {
    /// Every field.
    pub(super) const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// None but these.
    pub(super) fn of(names: &[&str]) -> Self {
        Self(NAMES.iter().zip(0..).filter(|(name, _)| names.contains(name)).map(|(_, at)| 1 << at).sum())
    }

    /// What lists answer where nothing else is asked for: what the header tells, and the names.
    pub(super) fn of_lists() -> Self {
        Self::of(&HEADER_NAMES).with(&["registered_name", "global_names", "hooks"])
    }

    /// These too.
    pub(super) fn with(self, names: &[&str]) -> Self {
        Self(self.0 | Self::of(names).0)
    }

    /// What a mask names; `default` where there is none, everything for `*`.
    ///
    /// # Errors
    /// `BADARG` for a path that is no field.
    pub(super) fn read(mask: Option<&FieldMask>, default: Self) -> Result<Self, Status> {
        let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else { return Ok(default) };
        if let Some(path) = mask.paths.iter().find(|path| *path != "*" && !NAMES.contains(&path.as_str())) {
            return Err(bad_argument(
                "read_mask",
                format!("`read_mask` has `{path}`, which is no field of ProcessInfo"),
            ));
        }
        if mask.paths.iter().any(|path| path == "*") {
            return Ok(Self::ALL);
        }
        Ok(Self::of(&mask.paths.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    pub(super) fn has(self, name: &str) -> bool {
        NAMES.iter().position(|known| *known == name).is_some_and(|at| self.0 & 1 << at != 0)
    }

    /// Whether any of them is the body's to tell.
    pub(super) fn need_body(self) -> bool {
        self.0 & Self::of(&["memory", "current_function", "state_name", "event_handlers"]).0 != 0
    }
}

/// How long a look at a process waits for the end of its turn.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// Looks at a process between two of its turns; of one that comes to none within [`PATIENCE`], as far as can be told
/// without. Whoever yields now and then is met.
pub(super) async fn look<R>(
    node: &Node,
    process: &ProcessRef,
    look: impl FnOnce(&ProcessView<'_>) -> R,
) -> R {
    let sight = node.sight(process, PATIENCE).await;
    look(&ProcessView::of_sight(node, process, sight))
}

/// The fields of a process that are asked for.
pub(super) fn process_info(node: &Node, view: &ProcessView<'_>, fields: Fields) -> v1::ProcessInfo {
    let mut process = v1::ProcessInfo::default();
    fill_header(&mut process, node, view, fields);
    fill_state(&mut process, view, fields);
    fill_body(&mut process, view, fields);
    process
}

fn fill_header(process: &mut v1::ProcessInfo, node: &Node, view: &ProcessView<'_>, fields: Fields) {
    let header = view.header();
    let has = |name| fields.has(name);
    process.pid = if has("pid") { header.pid.to_string() } else { String::new() };
    process.node = if has("node") { node.name().to_string() } else { String::new() };
    process.kind = if has("kind") { kind(header) as i32 } else { 0 };
    process.module = if has("module") { header.code.name.to_string() } else { String::new() };
    process.behaviour = if has("behaviour") { behaviour(header.code.behaviour) as i32 } else { 0 };
    process.status = if has("status") { status(header.status) as i32 } else { 0 };
    process.priority = if has("priority") { priority(header.priority) as i32 } else { 0 };
    process.message_queue_len =
        has("message_queue_len").then(|| u32::try_from(header.queue_len).unwrap_or(u32::MAX));
    process.reductions = has("reductions").then_some(header.reductions);
    process.turns = has("turns").then_some(u64::from(header.turns));
    process.trap_exit = has("trap_exit").then_some(header.trap_exit);
    process.scheduler = header.scheduler.filter(|_| has("scheduler"));
    process.pinned_scheduler = header.pinned.filter(|_| has("pinned_scheduler"));
    process.hibernating = has("hibernating").then_some(header.hibernating);
    process.start_time = has("start_time").then(|| timestamp_ms(node, header.started_ms));
    process.initial_call = text(view, fields, "initial_call");
    process.parent = text(view, fields, "parent");
    process.hooks = texts(view, fields, "hooks");
}

fn fill_state(process: &mut v1::ProcessInfo, view: &ProcessView<'_>, fields: Fields) {
    process.registered_name = text(view, fields, "registered_name");
    process.global_names = texts(view, fields, "global_names");
    process.mailbox_bytes = fields.has("mailbox_bytes").then(|| view.bytes().mailbox as u64);
    process.links = texts(view, fields, "links");
    process.group_leader = text(view, fields, "group_leader");
    process.ancestors = texts(view, fields, "ancestors");
    process.holds = texts(view, fields, "holds");
    let limits = fields.has("limits").then(|| view.limits()).flatten();
    process.limits = limits.map(|(mailbox, memory)| options::encode_limits(Some(mailbox), Some(memory)));
    process.key = text(view, fields, "key");
    process.groups = texts(view, fields, "groups");
    process.application = text(view, fields, "application");
    process.incarnation = view
        .incarnation()
        .filter(|_| fields.has("incarnation"))
        .map(|life| u32::try_from(life).unwrap_or(u32::MAX));
    let Some(info) = view.info().filter(|_| {
        ["monitors", "monitored_by", "dictionary", "labels"].into_iter().any(|name| fields.has(name))
    }) else {
        return;
    };
    if fields.has("monitors") {
        process.monitors = info.monitors.iter().map(monitor).collect();
    }
    if fields.has("monitored_by") {
        process.monitored_by = info.monitored_by.iter().map(monitor).collect();
    }
    if fields.has("dictionary") {
        process.dictionary =
            info.dictionary.iter().map(|(key, value)| (key.to_string(), to_value(value))).collect();
    }
    if fields.has("labels") {
        process.labels =
            info.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    }
}

fn fill_body(process: &mut v1::ProcessInfo, view: &ProcessView<'_>, fields: Fields) {
    process.memory = fields.has("memory").then(|| view.memory() as u64);
    process.current_function = text(view, fields, "current_function");
    if fields.has("state_name") {
        process.state_name = view.glimpse().and_then(|seen| seen.state_name.as_ref()).map(to_value);
    }
    process.event_handlers = texts(view, fields, "event_handlers");
}

fn text(view: &ProcessView<'_>, fields: Fields, name: &str) -> String {
    let value = fields.has(name).then(|| view.value(name)).flatten();
    value.as_ref().and_then(Term::as_str).unwrap_or_default().to_owned()
}

fn texts(view: &ProcessView<'_>, fields: Fields, name: &str) -> Vec<String> {
    let value = fields.has(name).then(|| view.value(name)).flatten();
    let terms = value.as_ref().and_then(Term::as_list).unwrap_or_default();
    terms.iter().filter_map(|term| term.as_str().map(str::to_owned)).collect()
}

/// One end of a monitor.
pub(super) fn monitor((id, pid): &(OwnedId, Pid)) -> v1::MonitorReference {
    let of = pid.some();
    v1::MonitorReference {
        monitor: id.to_string(),
        pid: of.map(|pid| pid.to_string()).unwrap_or_default(),
        name: String::new(),
        node: of.map(|pid| format!("n{}", pid.node)).unwrap_or_default(),
    }
}

/// Fields that proto3 JSON writes as strings, as JavaScript's numbers end at 2^53.
const WIDE: [&str; 4] = ["mailbox_bytes", "reductions", "turns", "memory"];

/// The items that are asked for, in that order. What no key needs is not computed.
///
/// # Errors
/// `BAD_KEY` for a key that there is not.
pub(super) fn check_keys(keys: &[String]) -> Result<(), Status> {
    match keys.iter().find(|key| *key != "messages" && !NAMES.contains(&key.as_str())) {
        Some(key) => {
            let message = format!(
                "`keys` has `{key}`, which is no item of a process; `messages` is one, and each field of ProcessInfo"
            );
            Err(failure(Code::InvalidArgument, "BAD_KEY", message).field("keys").status())
        }
        None => Ok(()),
    }
}

/// As [`check_keys`] has let them through.
pub(super) fn items(
    node: &Node,
    view: &ProcessView<'_>,
    process: &ProcessRef,
    keys: &[String],
) -> Vec<v1::ProcessInfoItem> {
    let of = |key: &String| {
        let value = match key.as_str() {
            "messages" => {
                Term::list(node.mailbox(process, |_, message| Some(message.to_term(process.pid()))))
            }
            "limits" => view.limits().map_or(Term::Null, limits_item),
            key => view.value(key).unwrap_or_default(),
        };
        let value = match value.as_int() {
            Some(number) if WIDE.contains(&key.as_str()) => Term::from(number.to_string()),
            _ => value,
        };
        v1::ProcessInfoItem { key: key.clone(), value: Some(to_value(&value)) }
    };
    keys.iter().map(of).collect()
}

/// Limits as proto3 JSON writes them.
fn limits_item((mailbox, memory): (MailboxLimit, u64)) -> Term {
    Term::map([
        ("mailboxMessagesMax", Term::from(mailbox.messages_max.to_string())),
        ("mailboxBytesMax", Term::from(mailbox.bytes_max.to_string())),
        ("memoryBytesMax", Term::from(memory.to_string())),
    ])
}

pub(super) fn kind(header: &Header) -> v1::process_info::Kind {
    match header.code.kind {
        _ if header.session => v1::process_info::Kind::Session,
        ProcessKind::Native => v1::process_info::Kind::Native,
        ProcessKind::Guest => v1::process_info::Kind::Guest,
        ProcessKind::External => v1::process_info::Kind::External,
        ProcessKind::Session => v1::process_info::Kind::Session,
    }
}

pub(super) fn behaviour(behaviour: Behaviour) -> v1::process_info::Behaviour {
    match behaviour {
        Behaviour::Plain => v1::process_info::Behaviour::Plain,
        Behaviour::GenServer => v1::process_info::Behaviour::GenServer,
        Behaviour::GenStatem => v1::process_info::Behaviour::GenStatem,
        Behaviour::GenEvent => v1::process_info::Behaviour::GenEvent,
        Behaviour::Supervisor => v1::process_info::Behaviour::Supervisor,
    }
}

pub(super) fn status(does: Does) -> v1::process_info::Status {
    match does {
        Does::Waiting => v1::process_info::Status::Waiting,
        Does::Runnable => v1::process_info::Status::Runnable,
        Does::Running => v1::process_info::Status::Running,
        Does::Suspended => v1::process_info::Status::Suspended,
        Does::Blocked => v1::process_info::Status::Blocked,
        Does::Exited => v1::process_info::Status::Exiting,
    }
}

fn priority(priority: Priority) -> v1::priority::Level {
    match priority {
        Priority::Low => v1::priority::Level::Low,
        Priority::Normal => v1::priority::Level::Normal,
        Priority::High => v1::priority::Level::High,
        Priority::Max => v1::priority::Level::Max,
    }
}
