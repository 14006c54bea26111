//! Lists of processes through a CEL condition, as ListAllProcesses makes them: what is compiled to a test of the header,
//! and what is interpreted for each process.

use crate::bodies::{Idle, spawn};
use crate::{Measured, node};
use arsenal_observe::process_filter::ProcessFilter;
use arsenal_observe::process_variables::ProcessView;
use std::time::Instant;

const LISTED: usize = 100_000;

/// 100,000 processes, of which the condition is true of each.
fn listed(condition: &str) -> Measured {
    let node = node(0);
    let _all: Vec<_> = (0..LISTED).map(|_| spawn(&node, Idle)).collect();
    let filter = ProcessFilter::compile(condition).expect("a condition");
    let begin = Instant::now();
    let mut found = 0;
    node.visit_processes(0, |process| {
        found += usize::from(filter.admits(&ProcessView::new(&node, process)).expect("a condition"));
        true
    });
    assert_eq!(found, LISTED);
    Measured { value: begin.elapsed().as_secs_f64() * 1e3, unit: "ms" }
}

pub fn compiled() -> Measured {
    listed("module == 'bench' && message_queue_len < 1")
}

pub fn interpreted() -> Measured {
    listed("module.startsWith('ben') && message_queue_len < 1")
}

pub fn of_signal_state() -> Measured {
    listed("size(links) == 0")
}
