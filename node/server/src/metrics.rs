//! `/metrics`: the node's counters in Prometheus' text format.

use arsenal_runtime::Node;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::fmt::Write as _;

/// Serves `/metrics`.
pub fn router(node: Node) -> Router {
    let handler = move || {
        let text = text(&node);
        async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text) }
    };
    Router::new().route("/metrics", get(handler))
}

/// The metrics as text.
pub fn text(node: &Node) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
        let _ = writeln!(text, "# HELP arsenal_{name} {help}\n# TYPE arsenal_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "arsenal_{name}{labels} {value}");
        }
    };
    let one = |value: usize| [(String::new(), value as f64)];
    metric("processes", "gauge", "Live processes.", &one(node.process_count()));
    metric(
        "processes_max",
        "gauge",
        "Live processes that the node takes.",
        &one(node.limits().processes_max),
    );
    metric("waiting_requests", "gauge", "Requests that wait for a process.", &one(node.waiting_requests()));
    metric("timers", "gauge", "Pending timers.", &one(node.timer_count()));
    metric(
        "late_replies_total",
        "counter",
        "Answers whose caller had given up.",
        &one(node.late_replies() as usize),
    );
    metric("events_total", "counter", "Events recorded.", &one(node.events().last_sequence() as usize));
    metric("dead_letters", "gauge", "Dead letters kept.", &one(node.dead_letters().count()));
    metric(
        "dead_letters_dropped_total",
        "counter",
        "Dead letters that made room for younger ones.",
        &one(node.dead_letters().dropped() as usize),
    );
    let schedulers = node.scheduler_info();
    let each = |value: &dyn Fn(&arsenal_runtime::info::SchedulerInfo) -> f64| -> Vec<(String, f64)> {
        schedulers.iter().map(|info| (format!("{{scheduler=\"{}\"}}", info.id), value(info))).collect()
    };
    metric("scheduler_turns_total", "counter", "Turns run.", &each(&|info| info.turns as f64));
    metric(
        "scheduler_reductions_total",
        "counter",
        "Reductions used.",
        &each(&|info| info.reductions as f64),
    );
    metric(
        "scheduler_steals_total",
        "counter",
        "Processes taken from others.",
        &each(&|info| info.steals as f64),
    );
    metric(
        "scheduler_busy_seconds_total",
        "counter",
        "Time with work.",
        &each(&|info| info.busy_ns as f64 / 1e9),
    );
    let queued = |info: &arsenal_runtime::info::SchedulerInfo| info.queues.iter().sum::<usize>() as f64;
    metric("scheduler_run_queue", "gauge", "Processes that wait to run.", &each(&queued));
    text
}
