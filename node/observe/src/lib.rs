//! Looking into a node: predicates, trees, graphs, analyses. Knows the runtime, no wire format.

pub mod graph;
pub mod mailbox;
pub mod memory;
pub mod predicate;
pub mod process_filter;
pub mod process_variables;
pub mod queue_history;
pub mod tree;
