//! What a node's memory is for: by kind, as the runtime counts it, and as the operating system sees it.
//!
//! The kinds are counted from what is there, at the cost of a walk over the process table; what they do not account for
//! (the allocator's own, code, buffers) is told as what is left, never spread over them.

use arsenal_runtime::module::Description;
use arsenal_runtime::{Message, Node};
use std::collections::BTreeMap;

/// Bytes of a node, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeBytes {
    /// Processes, without mailboxes and states.
    pub processes: u64,
    /// Messages that wait, and the room for them.
    pub mailboxes: u64,
    /// States, as far as processes tell them.
    pub states: u64,
    /// Names and groups.
    pub registry: u64,
    /// Pending timers, without what their messages hold.
    pub timers: u64,
    /// What is known of modules.
    pub modules: u64,
    /// Event log and exit records.
    pub history: u64,
}

impl NodeBytes {
    /// All kinds together.
    pub const fn sum(&self) -> u64 {
        self.processes
            + self.mailboxes
            + self.states
            + self.registry
            + self.timers
            + self.modules
            + self.history
    }
}

/// Counts a node's bytes. States of processes in mid turn are left out.
pub fn node_bytes(node: &Node) -> NodeBytes {
    // a map's entry beside key and value, an estimate
    const ENTRY: u64 = 48;
    const TIMER: u64 = size_of::<Message>() as u64 + 2 * ENTRY;
    let mut bytes = NodeBytes::default();
    node.visit_processes(0, |process| {
        let of = node.bytes_of(process);
        bytes.processes += (of.control + of.dictionary) as u64;
        bytes.mailboxes += of.mailbox as u64;
        bytes.states += of.state.unwrap_or_default() as u64;
        true
    });
    let names = node.registered().iter().map(|(name, _)| ENTRY + name.len() as u64).sum::<u64>();
    bytes.registry = names
        + node.read_registry(|state| {
            let names: u64 = state.names().keys().map(|name| 2 * ENTRY + name.len() as u64).sum();
            let of_group = |members: usize| ENTRY * (1 + 2 * members as u64);
            let groups: u64 = state.groups().values().map(|group| of_group(group.members.len())).sum();
            names + groups
        });
    bytes.timers = node.timer_count() as u64 * TIMER;
    bytes.modules = node.modules().len() as u64 * (ENTRY + size_of::<Description>() as u64);
    bytes.history = node.events().bytes() as u64;
    bytes
}

/// What the operating system says of this process's memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemBytes {
    /// Resident set.
    pub resident: u64,
    /// Highest resident set so far.
    pub resident_max: u64,
    /// Of the resident set, what no file backs: what the allocator has handed out or keeps.
    pub anonymous: u64,
    /// Every figure in bytes, under the system's own names.
    pub figures: BTreeMap<String, u64>,
}

/// Asks the operating system; nothing where it has no `/proc`.
pub fn system_bytes() -> Option<SystemBytes> {
    std::fs::read_to_string("/proc/self/status").ok().map(|text| read_status(&text))
}

fn read_status(text: &str) -> SystemBytes {
    let mut figures = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(':')
            && let Some(kilobytes) =
                value.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok())
        {
            figures.insert(name.to_owned(), kilobytes * 1024);
        }
    }
    let figure = |name: &str| figures.get(name).copied().unwrap_or_default();
    SystemBytes {
        resident: figure("VmRSS"),
        resident_max: figure("VmHWM"),
        anonymous: figure("RssAnon"),
        figures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_runtime::{NodeConfig, Pid, Term};

    #[test]
    fn the_figures_of_the_system_are_read_in_bytes() {
        let text = "Name:\tarsenal\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nRssAnon:\t 512 kB\nThreads:\t5\n";
        let bytes = read_status(text);
        assert_eq!((bytes.resident, bytes.resident_max, bytes.anonymous), (1 << 20, 2 << 20, 1 << 19));
        assert_eq!(bytes.figures.len(), 3);
    }

    #[test]
    fn what_is_recorded_shows_as_history() {
        let node = Node::deterministic(NodeConfig::default());
        let before = node_bytes(&node);
        for _ in 0..100 {
            node.record("test", Pid::NONE, Pid::NONE, Term::from("x".repeat(1000)), 0);
        }
        let after = node_bytes(&node);
        assert!(after.history >= before.history + 100_000);
        assert_eq!(after.mailboxes, before.mailboxes);
    }
}
