//! `WatchProcesses`: a snapshot of the processes that a filter matches, then what changes among them.
//!
//! Changes are read from the node's event log, whose numbers are the items' `sequence`: a watch that goes on after one
//! needs nothing kept for it. Invariants: nothing is held per process but the pids that match the filter; a reader that
//! is too slow loses items of the log, is told how many, and gets a new snapshot.

use super::process_info::{Fields, process_info};
use crate::listing::bad_filter;
use crate::payload::to_value;
use crate::status::failure;
use crate::time::timestamp;
use arsenal_observe::predicate::Bindings;
use arsenal_observe::process_filter::ProcessFilter;
use arsenal_observe::process_variables::ProcessView;
use arsenal_proto::v1;
use arsenal_proto::v1::watch_processes_response::Kind;
use arsenal_runtime::events::EventRecord;
use arsenal_runtime::{Node, Pid, ProcessRef, Term};
use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tonic::{Code, Status};

/// Open watches at most.
const WATCHES_MAX: usize = 1_000;
/// Processes or events that are read at a time.
const BATCH: usize = 256;
/// Batches of events that are read before others have the thread: about as many as the log of a scheduler has.
const ROW_MAX: u32 = 64;

/// The items of a watch.
pub(super) type Stream =
    Pin<Box<dyn futures_util::Stream<Item = Result<v1::WatchProcessesResponse, Status>> + Send>>;

pub(super) fn watch(
    node: &Node,
    watches: &Arc<AtomicUsize>,
    request: &v1::WatchProcessesRequest,
) -> Result<Stream, Status> {
    let filter = match request.filter.as_str() {
        "" => None,
        source => Some(ProcessFilter::compile(source).map_err(|error| bad_filter(&error))?),
    };
    let fields = Fields::read(request.read_mask.as_ref(), Fields::of_lists())?;
    let slot = Slot::take(watches)?;
    let mut watch = Watch {
        node: node.clone(),
        filter,
        fields: fields.with(&["pid"]),
        position: node.events().last_sequence(),
        phase: Phase::Snapshot(0),
        matching: HashSet::new(),
        resumed_at: 0,
        items: VecDeque::new(),
        in_a_row: 0,
        _slot: slot,
    };
    if request.after > 0 {
        watch.go_on(request.after);
    }
    Ok(Box::pin(futures_util::stream::unfold(watch, |mut watch| async move {
        let item = watch.next().await;
        Some((Ok(item), watch))
    })))
}

/// A place among the watches that a node serves.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(watches: &Arc<AtomicUsize>) -> Result<Self, Status> {
        let slot = Self(Arc::clone(watches));
        if watches.fetch_add(1, Relaxed) < WATCHES_MAX {
            return Ok(slot);
        }
        let message = format!("the node serves {WATCHES_MAX} watches, its maximum");
        Err(failure(Code::ResourceExhausted, "TOO_MANY_WATCHES", message).status())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

enum Phase {
    /// What the filter is true of is found, from this place of the process table on, and told of nobody.
    Recall(usize),
    /// From this place of the process table on.
    Snapshot(usize),
    Changes,
}

struct Watch {
    node: Node,
    filter: Option<ProcessFilter>,
    fields: Fields,
    /// The last event that was looked at.
    position: u64,
    phase: Phase,
    /// What the filter was true of when it was last looked at; kept only with a filter.
    matching: HashSet<Pid>,
    /// What ended up to this event did so while nobody watched.
    resumed_at: u64,
    items: VecDeque<v1::WatchProcessesResponse>,
    /// Batches of events that were read since others had the thread.
    in_a_row: u32,
    _slot: Slot,
}

impl Watch {
    /// Goes on after an item, if the log still has what followed it.
    fn go_on(&mut self, after: u64) {
        let last = self.node.events().last_sequence();
        let dropped = self.node.events().after(after, 1).dropped;
        if after > last || dropped > 0 {
            return self.lost(dropped);
        }
        self.position = after;
        self.phase = if self.filter.is_some() { Phase::Recall(0) } else { Phase::Changes };
    }

    /// Some events are gone: says so and begins anew.
    fn lost(&mut self, dropped: u64) {
        self.position = self.node.events().last_sequence();
        self.phase = Phase::Snapshot(0);
        self.matching.clear();
        self.items.push_back(v1::WatchProcessesResponse { dropped, ..self.item(Kind::Dropped) });
    }

    async fn next(&mut self) -> v1::WatchProcessesResponse {
        loop {
            if let Some(item) = self.items.pop_front() {
                return item;
            }
            match self.phase {
                Phase::Recall(place) => self.recall(place),
                Phase::Snapshot(place) => self.snapshot(place),
                Phase::Changes => {
                    self.changes().await;
                    // what is there is told before the stop of the node is, if it is seen to be there
                    self.in_a_row = (self.in_a_row + 1) % ROW_MAX;
                    if self.in_a_row > 0 {
                        continue;
                    }
                }
            }
            // a batch without an item for the reader may be one of many: others have their turn between them
            if self.items.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn item(&self, kind: Kind) -> v1::WatchProcessesResponse {
        v1::WatchProcessesResponse {
            sequence: self.position,
            kind: kind as i32,
            time: Some(timestamp(&self.node, self.node.now_ns())),
            node: self.node.name().to_string(),
            ..Default::default()
        }
    }

    /// The next processes of the table, and where those behind them begin.
    fn batch(&self, place: usize) -> (Vec<ProcessRef>, Option<usize>) {
        let mut found = Vec::new();
        let next = self.node.visit_processes(place, |process| {
            found.push(process.clone());
            found.len() < BATCH
        });
        (found, next)
    }

    fn recall(&mut self, place: usize) {
        let (found, next) = self.batch(place);
        for process in found {
            self.matches(&process);
        }
        self.phase = next.map_or(Phase::Changes, Phase::Recall);
        self.resumed_at = self.node.events().last_sequence();
    }

    fn snapshot(&mut self, place: usize) {
        let (found, next) = self.batch(place);
        for process in found {
            if self.matches(&process) {
                let process = Some(self.encode(&process));
                self.items.push_back(v1::WatchProcessesResponse { process, ..self.item(Kind::Snapshot) });
            }
        }
        match next {
            Some(place) => self.phase = Phase::Snapshot(place),
            None => {
                self.items.push_back(self.item(Kind::SnapshotEnd));
                self.phase = Phase::Changes;
            }
        }
    }

    async fn changes(&mut self) {
        let node = self.node.clone();
        let _following = node.events().follow();
        let news = node.events().changed();
        let read = node.events().after(self.position, BATCH);
        if read.dropped > 0 {
            return self.lost(read.dropped);
        }
        if read.events.is_empty() {
            return news.await;
        }
        for event in read.events {
            self.position = event.sequence;
            self.change(&event);
        }
    }

    fn change(&mut self, event: &EventRecord) {
        let kind = match event.kind {
            "process.started" => Kind::Started,
            "process.exited" => return self.exited(event),
            "name.registered" => Kind::Named,
            "name.unregistered" => Kind::Unnamed,
            kind if kind.starts_with("process.") || kind.starts_with("hold.") => Kind::Changed,
            _ => return,
        };
        let known = self.filter.is_some() && self.matching.contains(&event.pid);
        let Some(process) = self.node.process(event.pid).filter(ProcessRef::is_alive) else {
            // it has ended meanwhile; its start is told all the same, as far as what is kept of it tells that it matches
            if kind == Kind::Started && self.matched_at_end(event.pid) == Some(true) {
                if self.filter.is_some() {
                    self.matching.insert(event.pid);
                }
                let process = Some(self.last_picture(event.pid));
                self.tell(event, kind, process);
            }
            return;
        };
        let kind = match (self.matches(&process), known) {
            (false, false) => return,
            (false, true) => Kind::Unmatched,
            // what a snapshot has shown does not start again, and what comes to match has only changed
            (true, true) if kind == Kind::Started => return,
            (true, false) if self.filter.is_some() && kind != Kind::Started => Kind::Changed,
            (true, _) => kind,
        };
        let process = Some(self.encode(&process));
        self.tell(event, kind, process);
    }

    fn exited(&mut self, event: &EventRecord) {
        // Of one that ended while nobody watched the reader is told unless its record says no: to hear of a stranger's end
        // does no harm.
        let unknown = event.sequence <= self.resumed_at;
        let matched = self.matching.remove(&event.pid) || self.matched_at_end(event.pid).unwrap_or(unknown);
        if !matched {
            return;
        }
        let process = Some(self.last_picture(event.pid));
        self.tell(event, Kind::Exited, process);
    }

    fn tell(&mut self, event: &EventRecord, kind: Kind, process: Option<v1::ProcessInfo>) {
        // a global name is told as `["global", name]`
        let name = event.detail.as_list().and_then(|terms| terms.last()).unwrap_or(&event.detail);
        self.items.push_back(v1::WatchProcessesResponse {
            sequence: event.sequence,
            kind: kind as i32,
            process,
            reason: (kind == Kind::Exited).then(|| to_value(&event.detail)),
            name: match kind {
                Kind::Named | Kind::Unnamed => name.as_str().unwrap_or_default().to_owned(),
                _ => String::new(),
            },
            dropped: 0,
            time: Some(timestamp(&self.node, event.at_ns)),
            node: self.node.name().to_string(),
            operation_id: match event.operation {
                0 => String::new(),
                operation => self.node.owned(b'o', operation).to_string(),
            },
        });
    }

    /// Whether the filter is true of a process, and remembers it.
    fn matches(&mut self, process: &ProcessRef) -> bool {
        let Some(filter) = &self.filter else { return true };
        let matches = filter.admits(&ProcessView::new(&self.node, process)).unwrap_or(false);
        if matches {
            self.matching.insert(process.pid());
        } else {
            self.matching.remove(&process.pid());
        }
        matches
    }

    fn encode(&self, process: &ProcessRef) -> v1::ProcessInfo {
        process_info(&self.node, &ProcessView::new(&self.node, process), self.fields)
    }

    /// Whether the filter was true of a process that has ended, as far as its exit record tells.
    fn matched_at_end(&self, pid: Pid) -> Option<bool> {
        let Some(filter) = &self.filter else { return Some(true) };
        let record = self.node.events().exit_of(pid)?;
        let text = |text: Option<Arc<str>>| text.map_or(Term::Atom(""), Term::Str);
        let values = Bindings::default()
            .set("pid", Term::from(pid.to_string()))
            .set("node", Term::Str(Arc::clone(self.node.name())))
            .set("module", Term::Str(Arc::clone(&record.code.name)))
            .set("behaviour", super::process_info::behaviour(record.code.behaviour).as_str_name())
            .set("registered_name", text(record.name))
            .set("key", text(record.key));
        filter.admits_values(&values)
    }

    /// What is still known of a process that has ended.
    fn last_picture(&self, pid: Pid) -> v1::ProcessInfo {
        let record = self.node.events().exit_of(pid);
        let text = |text: Option<&Arc<str>>| text.map(|text| text.to_string()).unwrap_or_default();
        v1::ProcessInfo {
            pid: pid.to_string(),
            node: self.node.name().to_string(),
            module: record.as_ref().map(|record| record.code.name.to_string()).unwrap_or_default(),
            behaviour: record
                .as_ref()
                .map_or(0, |record| super::process_info::behaviour(record.code.behaviour) as i32),
            status: v1::process_info::Status::Exiting as i32,
            registered_name: text(record.as_ref().and_then(|record| record.name.as_ref())),
            key: text(record.as_ref().and_then(|record| record.key.as_ref())),
            parent: record
                .and_then(|record| record.parent.some())
                .map(|pid| pid.to_string())
                .unwrap_or_default(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests;
