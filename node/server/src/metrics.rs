//! `/metrics`: what is counted, in Prometheus' text format. The names stand here, but for those of the gateway, which are
//! its own.

use crate::listener::Tally;
use arsenal_metrics::{CONTENT_TYPE as TEXT, Kind, Text};
use arsenal_runtime::Node;
use arsenal_runtime::info::SchedulerInfo;
use arsenal_services::wire::{CODES, Table};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::fmt;
use std::sync::Arc;

/// gRPC's codes by number, as its specification writes them.
const CODE_NAMES: [&str; CODES] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What is told, by whoever counts it; clones tell the same.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Vec<Source>);

type Source = Arc<dyn Fn(&mut Text) + Send + Sync>;

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("sources", &self.0.len()).finish()
    }
}

impl Metrics {
    /// Tells this too.
    #[must_use]
    pub(crate) fn with(mut self, source: impl Fn(&mut Text) + Send + Sync + 'static) -> Self {
        self.0.push(Arc::new(source));
        self
    }

    /// Serves `/metrics`.
    pub(crate) fn router(&self) -> Router {
        let metrics = self.clone();
        let handler = move || {
            let text = metrics.text();
            async move { ([(CONTENT_TYPE, TEXT)], text) }
        };
        Router::new().route("/metrics", get(handler))
    }

    fn text(&self) -> String {
        let mut text = Text::default();
        for source in &self.0 {
            source(&mut text);
        }
        text.into_string()
    }
}

/// What a node of a cluster knows of it.
pub(crate) fn of_cluster(leader: Option<u32>, text: &mut Text) {
    let help = "Number of the node that leads the cluster; 0 where none is known.";
    text.one("arsenal_cluster_leader", Kind::Gauge, help, f64::from(leader.unwrap_or_default()));
}

/// A number of each scheduler: its name, kind and meaning, and where it stands.
type OfScheduler = (&'static str, Kind, &'static str, fn(&SchedulerInfo) -> f64);

/// What a node counts of its processes.
pub(crate) fn of_node(node: &Node, text: &mut Text) {
    let numbers: [(&'static str, Kind, &str, u64); 8] = [
        ("arsenal_processes", Kind::Gauge, "Live processes.", node.process_count() as u64),
        (
            "arsenal_processes_max",
            Kind::Gauge,
            "Live processes that the node takes.",
            node.limits().processes_max as u64,
        ),
        (
            "arsenal_waiting_requests",
            Kind::Gauge,
            "Requests that wait for a process.",
            node.waiting_requests() as u64,
        ),
        ("arsenal_timers", Kind::Gauge, "Pending timers.", node.timer_count() as u64),
        (
            "arsenal_late_replies_total",
            Kind::Counter,
            "Answers whose caller had given up.",
            node.late_replies(),
        ),
        ("arsenal_events_total", Kind::Counter, "Events recorded.", node.events().last_sequence()),
        ("arsenal_dead_letters", Kind::Gauge, "Dead letters kept.", node.dead_letters().count() as u64),
        (
            "arsenal_dead_letters_dropped_total",
            Kind::Counter,
            "Dead letters that made room for younger ones.",
            node.dead_letters().dropped(),
        ),
    ];
    for (name, kind, help, value) in numbers {
        text.one(name, kind, help, value as f64);
    }
    let schedulers = node.scheduler_info();
    let ids: Vec<String> = schedulers.iter().map(|info| info.id.to_string()).collect();
    let numbers: [OfScheduler; 5] = [
        ("arsenal_scheduler_turns_total", Kind::Counter, "Turns run.", |info| info.turns as f64),
        ("arsenal_scheduler_reductions_total", Kind::Counter, "Reductions used.", |info| {
            info.reductions as f64
        }),
        ("arsenal_scheduler_steals_total", Kind::Counter, "Processes taken from others.", |info| {
            info.steals as f64
        }),
        ("arsenal_scheduler_busy_seconds_total", Kind::Counter, "Time with work.", |info| {
            info.busy_ns as f64 / 1e9
        }),
        ("arsenal_scheduler_run_queue", Kind::Gauge, "Processes that wait to run.", |info| {
            info.queues.iter().sum::<usize>() as f64
        }),
    ];
    for (name, kind, help, value) in numbers {
        let mut family = text.family(name, kind, help);
        for (id, info) in ids.iter().zip(&schedulers) {
            family.sample(&[("scheduler", id)], value(info));
        }
    }
}

/// What a node counts of its RPCs, with the names of OpenTelemetry's conventions. One that was never called is left out.
pub(crate) fn of_rpcs(table: &Table, text: &mut Text) {
    let named = table.rpcs().map(|rpc| (rpc.path.strip_prefix('/').unwrap_or("_OTHER"), &rpc.calls));
    let mut rpcs: Vec<_> = named.filter(|(_, calls)| calls.is_used()).collect();
    rpcs.sort_unstable_by_key(|(method, _)| *method);
    let mut family = text.family("rpc_server_calls_total", Kind::Counter, "Calls that have ended.");
    for (method, calls) in &rpcs {
        for (code, count) in CODE_NAMES.iter().zip(calls.ended()).filter(|(_, count)| *count > 0) {
            family.sample(&[("rpc_method", method), ("rpc_response_status_code", code)], count as f64);
        }
    }
    let mut family = text.family("rpc_server_active_calls", Kind::Gauge, "Calls that have not ended.");
    for (method, calls) in &rpcs {
        family.sample(&[("rpc_method", method)], calls.under_way() as f64);
    }
    let help = "How long calls took, streams to their end.";
    let mut family = text.family("rpc_server_call_duration_seconds", Kind::Histogram, help);
    for (method, calls) in &rpcs {
        family.histogram(&[("rpc_method", method)], calls.durations());
    }
}

/// What is counted of the connections to these ports.
pub(crate) fn of_connections(ports: &[(&'static str, Arc<Tally>)], text: &mut Text) {
    let mut family = text.family("arsenal_connections", Kind::Gauge, "Open connections.");
    for (port, tally) in ports {
        family.sample(&[("port", port)], tally.open() as f64);
    }
    let mut family = text.family("arsenal_connections_total", Kind::Counter, "Connections that were let in.");
    for (port, tally) in ports {
        family.sample(&[("port", port)], tally.admitted() as f64);
    }
    let help = "Connections that were closed at once: their address has as many as it may have, or the handshake failed.";
    let mut family = text.family("arsenal_connections_refused_total", Kind::Counter, help);
    for (port, tally) in ports {
        for (reason, count) in tally.refused() {
            family.sample(&[("port", port), ("reason", reason)], count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_at_its_number() {
        for (number, name) in CODE_NAMES.iter().enumerate() {
            let code = tonic::Code::from_i32(number as i32);
            let squeezed = name.replace('_', "").to_lowercase();
            assert_eq!(format!("{code:?}").to_lowercase(), squeezed, "{number}");
        }
    }
}
