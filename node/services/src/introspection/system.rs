//! The node itself: identity, limits, counts, schedulers, memory.

use crate::Shared;
use crate::time::{timestamp, to_proto};
use crate::walk::blocking;
use arsenal_observe::memory::{node_bytes, system_bytes};
use arsenal_proto::v1;
use arsenal_proto::v1::get_system_info_response::{Build, Counts, OperatingSystem};
use arsenal_runtime::info::{SchedulerInfo, Status as Does};
use arsenal_runtime::{Behaviour, Node, Priority};
use std::time::Duration;
use tonic::Status;

/// What this build can do.
const FEATURES: [&str; 5] = ["native_modules", "behaviours", "sessions", "global_names", "groups"];

pub(super) async fn info(shared: &Shared) -> Result<v1::GetSystemInfoResponse, Status> {
    let node = &shared.node;
    let counted = node.clone();
    let counts = blocking(move || counts(&counted)).await?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(v1::GetSystemInfoResponse {
        node: node.name().to_string(),
        incarnation: u64::from(node.incarnation()),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime: Some(to_proto(Duration::from_nanos(node.now_ns()))),
        start_time: Some(timestamp(node, 0)),
        limits: shared.limits.iter().map(|(name, limit)| (name.clone(), *limit)).collect(),
        counts: Some(counts),
        features: FEATURES.map(str::to_owned).to_vec(),
        operating_system: Some(OperatingSystem {
            name: std::env::consts::OS.into(),
            architecture: std::env::consts::ARCH.into(),
            version: kernel.trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, |cores| count(cores.get())),
            process_id: std::process::id(),
        }),
        build: Some(Build {
            compiler: env!("ARSENAL_COMPILER").into(),
            profile: env!("ARSENAL_PROFILE").into(),
            commit: env!("ARSENAL_COMMIT").into(),
        }),
        schedulers: count(node.scheduler_info().len()),
    })
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn counts(node: &Node) -> Counts {
    let (mut processes, mut supervisors, mut sessions, mut monitors) = (0, 0, 0, 0);
    node.visit_processes(0, |process| {
        let header = node.header(process);
        processes += 1;
        supervisors += usize::from(header.code.behaviour == Behaviour::Supervisor);
        sessions += usize::from(header.session);
        monitors += node.monitor_count(process);
        true
    });
    let of_here = |pid: &arsenal_runtime::Pid| node.is_local(*pid);
    let groups = node.read_registry(|state| {
        state.groups().values().filter(|group| group.members.keys().any(of_here)).count()
    });
    Counts {
        processes: count(processes),
        registered_names: count(node.registered().len()),
        supervisors: count(supervisors),
        sessions: count(sessions),
        timers: count(node.timer_count()),
        monitors: count(monitors),
        groups: count(groups),
        modules: count(node.modules().len()),
        applications: 0,
        holds: count(node.holds().len()),
    }
}

/// How long schedulers are watched to tell how busy they are.
const WINDOW: Duration = Duration::from_millis(100);

/// What there is to count of a scheduler's processes.
#[derive(Clone, Copy, Default)]
struct OfScheduler {
    pinned: usize,
    /// Runnable ones of low priority: they wait in one queue with the normal ones.
    low: usize,
}

pub(super) async fn schedulers(node: &Node) -> Result<v1::GetSchedulerInfoResponse, Status> {
    let before = node.scheduler_info();
    tokio::time::sleep(WINDOW).await;
    let after = node.scheduler_info();
    let visited = node.clone();
    let (of, blocking_processes) = blocking(move || {
        let mut of = vec![OfScheduler::default(); visited.scheduler_info().len() + 1];
        let mut blocked = 0;
        visited.visit_processes(0, |process| {
            let header = visited.header(process);
            blocked += usize::from(header.status == Does::Blocked);
            let at = |scheduler: Option<u32>| scheduler.map_or(0, |id| id as usize).min(of.len() - 1);
            let (pinned, last) = (at(header.pinned), at(header.scheduler));
            of[pinned].pinned += 1;
            of[last].low += usize::from(header.status == Does::Runnable && header.priority == Priority::Low);
            true
        });
        (of, blocked)
    })
    .await?;
    let schedulers =
        before.iter().zip(&after).map(|(before, after)| scheduler(before, after, of[after.id as usize]));
    Ok(v1::GetSchedulerInfoResponse {
        node: node.name().to_string(),
        schedulers: schedulers.collect(),
        blocking_threads: count(node.blocking_threads()),
        blocking_processes: count(blocking_processes),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a share of nanoseconds")]
fn scheduler(before: &SchedulerInfo, after: &SchedulerInfo, of: OfScheduler) -> v1::SchedulerInfo {
    let busy = after.busy_ns.saturating_sub(before.busy_ns);
    let window = busy + after.idle_ns.saturating_sub(before.idle_ns);
    let [max, high, both] = after.queues;
    let low = of.low.min(both);
    let queues = [
        (v1::priority::Level::Max, max),
        (v1::priority::Level::High, high),
        (v1::priority::Level::Normal, both - low),
        (v1::priority::Level::Low, low),
    ];
    let queue = |(priority, length): (v1::priority::Level, usize)| v1::scheduler_info::RunQueue {
        priority: priority as i32,
        length: count(length),
    };
    v1::SchedulerInfo {
        id: after.id,
        run_queues: queues.map(queue).to_vec(),
        current_process: after.current.map(|pid| pid.to_string()).unwrap_or_default(),
        turns: after.turns,
        steals: after.steals,
        utilization: if window == 0 { 0.0 } else { busy as f64 / window as f64 },
        reductions: after.reductions,
        window: Some(to_proto(Duration::from_nanos(window))),
        pinned_processes: count(of.pinned),
    }
}

pub(super) async fn memory(node: &Node) -> Result<v1::GetMemoryInfoResponse, Status> {
    let counted = node.clone();
    let (bytes, system) =
        blocking(move || (node_bytes(&counted), system_bytes().unwrap_or_default())).await?;
    // without an allocator that counts, what no file backs is what it holds
    let total = system.anonymous.max(bytes.sum());
    Ok(v1::GetMemoryInfoResponse {
        node: node.name().to_string(),
        total,
        processes: bytes.processes,
        mailboxes: bytes.mailboxes,
        states: bytes.states,
        registry: bytes.registry,
        timers: bytes.timers,
        modules: bytes.modules,
        history: bytes.history,
        resident: system.resident,
        resident_max: system.resident_max,
        allocator: system.figures.into_iter().collect(),
        other: total - bytes.sum(),
    })
}
