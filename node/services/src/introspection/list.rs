//! Lists of processes: which, in which order, which page.
//!
//! Invariants: without an order a page goes by places of the process table, so that a process that lives throughout the
//! paging appears exactly once, however many start and die; a filter computes only what it refers to, and only what is
//! on the page is encoded.

use super::process_info::{Fields, look, process_info};
use crate::listing::{Order, bad_filter};
use crate::page;
use crate::status::bad_argument;
use crate::walk;
use arsenal_observe::predicate::PredicateError;
use arsenal_observe::process_filter::ProcessFilter;
use arsenal_observe::process_variables::{NAMES, ProcessView};
use arsenal_proto::v1;
use arsenal_runtime::timer::TimerTarget;
use arsenal_runtime::{Behaviour, Node, Pid, ProcessRef, Term};
use prost_types::FieldMask;
use std::collections::HashSet;
use tonic::Status;

/// Which processes a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    Registered,
    Of(Behaviour),
    Isolated,
}

/// What is asked of a list.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) filter: String,
    pub(super) order_by: String,
    pub(super) page_size: i32,
    pub(super) page_token: String,
    pub(super) read_mask: Option<FieldMask>,
}

/// One page and the token of the next.
pub(super) type Page = (Vec<v1::ProcessInfo>, String);

/// The page that is asked for.
///
/// # Errors
/// `BAD_FILTER`, `BAD_PAGE_TOKEN`, or `BADARG` for an order, a mask or a page size.
pub(super) async fn list(node: &Node, selection: Selection, query: Query) -> Result<Page, Status> {
    let filter = match query.filter.as_str() {
        "" => None,
        source => Some(ProcessFilter::compile(source).map_err(|error| bad_filter(&error))?),
    };
    let list = List {
        node: node.clone(),
        selection,
        timed: if selection == Selection::Isolated { timed(node) } else { HashSet::new() },
        filter,
        fields: Fields::read(query.read_mask.as_ref(), default_fields(selection))?,
        order: Order::parse(&query.order_by, &NAMES)?,
        size: page::size(query.page_size)?,
        query,
    };
    let fields = list.fields;
    let (processes, token) = walk::over_processes(node, move |_| list.page()).await??;
    let rows = processes.into_iter().map(|row| async move {
        match row {
            Row::Encoded(process) => *process,
            Row::Looked(process) => look(node, &process, |view| process_info(node, view, fields)).await,
        }
    });
    // all at once, so that bodies in mid turn are waited for together
    Ok((futures_util::future::join_all(rows).await, token))
}

/// One process of a page.
enum Row {
    Encoded(Box<v1::ProcessInfo>),
    /// Its body is asked, which may have to be waited for.
    Looked(ProcessRef),
}

fn default_fields(selection: Selection) -> Fields {
    match selection {
        Selection::Of(Behaviour::GenEvent) => Fields::of_lists().with(&["event_handlers"]),
        Selection::Of(Behaviour::GenStatem) => Fields::of_lists().with(&["state_name"]),
        _ => Fields::of_lists(),
    }
}

/// Processes that a pending timer is for.
fn timed(node: &Node) -> HashSet<Pid> {
    let targets = node.pending_timers().into_iter().filter_map(|timer| match timer.target {
        TimerTarget::Process(pid) => Some(pid),
        TimerTarget::Name(name) => node.whereis(&name),
    });
    targets.collect()
}

struct List {
    node: Node,
    selection: Selection,
    timed: HashSet<Pid>,
    filter: Option<ProcessFilter>,
    fields: Fields,
    order: Order,
    size: usize,
    query: Query,
}

impl List {
    fn page(&self) -> Result<(Vec<Row>, String), Status> {
        let selection = format!("{:?}", self.selection);
        let bound = [self.query.filter.as_str(), self.query.order_by.as_str(), selection.as_str()];
        let place = match page::position(&bound, &self.query.page_token)? {
            None => 0,
            Some(place) => {
                place.parse().map_err(|_| bad_argument("page_token", "`page_token` is no place"))?
            }
        };
        let (processes, next) =
            if self.order.is_own() { self.in_table(place)? } else { self.in_order(place)? };
        let next = next.map(|place| page::token(&bound, &place.to_string())).unwrap_or_default();
        Ok((processes.into_iter().map(|process| self.row(process)).collect(), next))
    }

    /// From a place of the table on.
    fn in_table(&self, place: usize) -> Result<(Vec<ProcessRef>, Option<usize>), Status> {
        let mut found = Vec::new();
        let mut failed = None;
        let next = self.node.visit_processes(place, |process| match self.admits(process) {
            Ok(admitted) => {
                if admitted {
                    found.push(process.clone());
                }
                found.len() < self.size
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        failed.map_or(Ok((found, next)), |error| Err(bad_filter(&error)))
    }

    /// All of them in the order asked for, skipping those of the pages before.
    fn in_order(&self, skip: usize) -> Result<(Vec<ProcessRef>, Option<usize>), Status> {
        let mut found = Vec::new();
        let mut failed = None;
        self.node.visit_processes(0, |process| match self.admits(process) {
            Ok(admitted) => {
                if admitted {
                    let view = ProcessView::new(&self.node, process);
                    let key = self.order.key(|name| view.value(name).unwrap_or_default());
                    found.push((key, process.clone()));
                }
                true
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        if let Some(error) = failed {
            return Err(bad_filter(&error));
        }
        let first = |a: &(Vec<Term>, ProcessRef), b: &(Vec<Term>, ProcessRef)| {
            self.order.compare(&a.0, &b.0).then_with(|| a.1.pid().cmp(&b.1.pid()))
        };
        found.sort_by(first);
        let next = skip + self.size;
        let more = found.len() > next;
        let page = found.into_iter().skip(skip).take(self.size).map(|(_, process)| process).collect();
        Ok((page, more.then_some(next)))
    }

    fn admits(&self, process: &ProcessRef) -> Result<bool, PredicateError> {
        let view = ProcessView::new(&self.node, process);
        let selected = match self.selection {
            Selection::All => true,
            Selection::Registered => self.node.is_registered(process),
            Selection::Of(behaviour) => view.has_behaviour(behaviour),
            Selection::Isolated => view.is_isolated() && !self.timed.contains(&view.pid()),
        };
        if !selected {
            return Ok(false);
        }
        self.filter.as_ref().map_or(Ok(true), |filter| filter.admits(&view))
    }

    fn row(&self, process: ProcessRef) -> Row {
        if self.fields.need_body() {
            return Row::Looked(process);
        }
        Row::Encoded(Box::new(process_info(&self.node, &ProcessView::new(&self.node, &process), self.fields)))
    }
}

#[cfg(test)]
mod tests;
