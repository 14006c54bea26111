//! Trees and lines: the whole hierarchy, the tree of one supervisor, ancestors and descendants.

use super::process_info::behaviour;
use super::relations::name_of;
use crate::reference;
use crate::status::{failure, of_call};
use crate::supervisor::spec::encode_child;
use crate::walk::blocking;
use arsenal_behaviours::supervisor::core::ChildState;
use arsenal_behaviours::supervisor::model::ModelChild;
use arsenal_behaviours::supervisor::{ChildSpec, SupervisorModel, SupervisorReply, SupervisorRequest};
use arsenal_observe::tree::Forest;
use arsenal_proto::v1;
use arsenal_proto::v1::find_process_ancestors_response::{Ancestor, ancestor};
use arsenal_proto::v1::find_process_descendants_response::{Descendant, descendant};
use arsenal_runtime::request::CallError;
use arsenal_runtime::{Behaviour, Node, Pid, Term};
use futures_util::StreamExt as _;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};

/// Processes in one tree at most.
const NODES_MAX: usize = 100_000;
/// Levels in one tree at most: protobuf's readers stop at a hundred messages within each other, and a spec has some.
const LEVELS_MAX: usize = 64;
/// How long a supervisor is waited for; one that is busy is shown by what is known of its children without it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Supervisors asked at a time.
const ASKED_MAX: usize = 64;

fn levels(depth_max: u32) -> usize {
    if depth_max == 0 { usize::MAX } else { depth_max as usize }
}

fn too_many(what: &str) -> Status {
    let message = format!("{what}; ask for a `depth_max`");
    failure(Code::ResourceExhausted, "TOO_MANY", message).status()
}

fn check(size: usize, height: usize, depth_max: usize) -> Result<(), Status> {
    if size > NODES_MAX {
        return Err(too_many(&format!("the tree has {size} processes, more than {NODES_MAX}")));
    }
    if height.min(depth_max) > LEVELS_MAX {
        return Err(too_many(&format!("the tree has {height} levels, more than {LEVELS_MAX}")));
    }
    Ok(())
}

pub(super) async fn process_tree(
    node: &Node,
    request: &v1::BuildProcessTreeRequest,
) -> Result<v1::BuildProcessTreeResponse, Status> {
    let depth_max = levels(request.depth_max);
    let visited = node.clone();
    let (forest, supervisors) = blocking(move || {
        let mut supervisors = Vec::new();
        visited.visit_processes(0, |process| {
            if visited.header(process).code.behaviour == Behaviour::Supervisor {
                supervisors.push(process.pid());
            }
            true
        });
        (Forest::of(&visited), supervisors)
    })
    .await?;
    let size = forest.roots.iter().map(|root| forest.size(*root, depth_max.min(LEVELS_MAX + 1))).sum();
    let height = forest.roots.iter().map(|root| forest.height(*root)).max().unwrap_or_default();
    check(size, height, depth_max)?;
    let specs = if request.include_specs { specs_of(node, &supervisors).await } else { HashMap::new() };
    let node = node.clone();
    blocking(move || {
        let picture = Picture { node: &node, forest: &forest, specs: &specs };
        let mut count = 0;
        let roots = forest.roots.iter().map(|root| picture.below(*root, depth_max, &mut count)).collect();
        v1::BuildProcessTreeResponse {
            applications: Vec::new(),
            roots,
            count,
            unreached: Vec::new(),
            node: node.name().to_string(),
        }
    })
    .await
}

/// The specs of all running children.
async fn specs_of(node: &Node, supervisors: &[Pid]) -> HashMap<Pid, ChildSpec> {
    let models = ask(node, supervisors).await;
    let children = models.into_values().filter_map(Result::ok).flat_map(|model| model.children);
    children.filter_map(|child| Some((child.state.pid()?, child.spec))).collect()
}

/// Asks supervisors for all that they know of their children.
async fn ask(node: &Node, supervisors: &[Pid]) -> HashMap<Pid, Result<SupervisorModel, CallError>> {
    let model = |pid: Pid| async move {
        let answer = node.call(pid, SupervisorRequest::GetModel.to_term(), Some(PATIENCE), 0).await;
        let model = answer.and_then(|term| match SupervisorRequest::read_reply(&term) {
            Some(Ok(SupervisorReply::Model(model))) => Ok(*model),
            // another module's supervisor, that answers in its own way
            _ => Err(CallError::NoHook { process: pid, hook: "get_model".to_owned() }),
        });
        (pid, model)
    };
    futures_util::stream::iter(supervisors.iter().copied())
        .map(model)
        .buffer_unordered(ASKED_MAX)
        .collect()
        .await
}

/// What the whole tree is drawn from.
struct Picture<'a> {
    node: &'a Node,
    forest: &'a Forest,
    specs: &'a HashMap<Pid, ChildSpec>,
}

impl Picture<'_> {
    fn below(&self, pid: Pid, levels: usize, count: &mut u32) -> v1::ProcessTreeNode {
        *count += 1;
        let mut drawn = draw(self.node, pid);
        drawn.spec = self.specs.get(&pid).map(encode_child);
        let children = self.forest.children(pid);
        if levels <= 1 {
            drawn.children_cut = u32::try_from(children.len()).unwrap_or(u32::MAX);
        } else {
            drawn.children = children.iter().map(|child| self.below(*child, levels - 1, count)).collect();
        }
        drawn
    }
}

/// One process without what stands below it.
fn draw(node: &Node, pid: Pid) -> v1::ProcessTreeNode {
    let mut drawn =
        v1::ProcessTreeNode { pid: pid.to_string(), node: format!("n{}", pid.node), ..Default::default() };
    if let Some(process) = node.process(pid) {
        let header = node.header(&process);
        drawn.name = name_of(node, &process);
        drawn.module = header.code.name.to_string();
        drawn.behaviour = behaviour(header.code.behaviour) as i32;
        drawn.id = node.child_id_of(&process).as_ref().map(id_text).unwrap_or_default();
    }
    drawn
}

fn id_text(id: &Term) -> String {
    match id.view() {
        // an instance has no id of its own
        Term::Pid(_) => String::new(),
        id => id.as_str().map_or_else(|| id.to_string(), str::to_owned),
    }
}

pub(super) async fn supervision_tree(
    node: &Node,
    request: &v1::BuildSupervisionTreeRequest,
) -> Result<v1::BuildSupervisionTreeResponse, Status> {
    let root = reference::process(node, "supervisor", &request.supervisor)?;
    let root = root.pid();
    if !is_supervisor(node, root) {
        let message = format!("process {root} is no supervisor");
        let failure = failure(Code::FailedPrecondition, "NOT_A_SUPERVISOR", message);
        return Err(failure.precondition("BEHAVIOUR", "supervisor").status());
    }
    let depth_max = levels(request.depth_max);
    let mut models: HashMap<Pid, SupervisorModel> = HashMap::new();
    let (mut level, mut depth, mut size) = (vec![root], 1, 1);
    while !level.is_empty() && depth < depth_max {
        let mut next = Vec::new();
        for (pid, answer) in ask(node, &level).await {
            let model = match answer {
                Ok(model) => model,
                Err(error) if pid == root => return Err(of_call(node, &error)),
                // it is busy, or ended meanwhile; the next reading shows what it has come to
                Err(_) => continue,
            };
            size += model.children.len();
            let running = model.children.iter().filter_map(|child| child.state.pid());
            next.extend(running.filter(|child| is_supervisor(node, *child)));
            models.insert(pid, model);
        }
        depth += 1;
        check(size, depth, depth_max)?;
        level = next;
    }
    let mut count = 0;
    let tree = supervised(node, &models, draw(node, root), root, depth_max, &mut count);
    Ok(v1::BuildSupervisionTreeResponse { tree: Some(tree), count, unreached: Vec::new() })
}

fn is_supervisor(node: &Node, pid: Pid) -> bool {
    let process = node.process(pid);
    process.is_some_and(|process| node.header(&process).code.behaviour == Behaviour::Supervisor)
}

/// `drawn` with the children that the supervisor `pid` tells of, those that do not run too.
fn supervised(
    node: &Node,
    models: &HashMap<Pid, SupervisorModel>,
    mut drawn: v1::ProcessTreeNode,
    pid: Pid,
    levels: usize,
    count: &mut u32,
) -> v1::ProcessTreeNode {
    *count += 1;
    match models.get(&pid) {
        Some(model) => {
            let child = |child: &ModelChild| {
                let drawn = child_of(node, child);
                match child.state.pid() {
                    Some(pid) => supervised(node, models, drawn, pid, levels.saturating_sub(1), count),
                    None => drawn,
                }
            };
            drawn.children = model.children.iter().map(child).collect();
        }
        None if is_supervisor(node, pid) => {
            drawn.children_cut = u32::try_from(Forest::of(node).children(pid).len()).unwrap_or(u32::MAX);
        }
        None => {}
    }
    drawn
}

fn child_of(node: &Node, child: &ModelChild) -> v1::ProcessTreeNode {
    let restarting =
        matches!(child.state, ChildState::Restarting(_) | ChildState::Owed(_) | ChildState::Starting);
    let mut drawn = match child.state.pid() {
        Some(pid) => draw(node, pid),
        None => v1::ProcessTreeNode {
            node: node.name().to_string(),
            module: child.spec.module.to_string(),
            ..Default::default()
        },
    };
    drawn.id = id_text(&child.spec.id);
    drawn.spec = Some(encode_child(&child.spec));
    drawn.restarting = restarting;
    drawn
}

pub(super) fn ancestors(
    node: &Node,
    request: &v1::FindProcessAncestorsRequest,
) -> Result<v1::FindProcessAncestorsResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let mut below = process.pid();
    let line = node.ancestors_of(&process);
    let ancestors = line.into_iter().zip(1..).map(|(pid, depth)| {
        let ancestor = ancestor_of(node, pid, below, depth);
        below = pid;
        ancestor
    });
    Ok(v1::FindProcessAncestorsResponse { pid: process.pid().to_string(), ancestors: ancestors.collect() })
}

fn ancestor_of(node: &Node, pid: Pid, below: Pid, depth: u32) -> Ancestor {
    let (name, code, alive) = match node.process(pid) {
        Some(process) => (name_of(node, &process), Some(node.header(&process).code), true),
        None => {
            let record = node.events().exit_of(pid);
            let name =
                record.as_ref().and_then(|record| record.name.as_deref()).unwrap_or_default().to_owned();
            (name, record.map(|record| record.code), false)
        }
    };
    let supervises =
        code.as_ref().is_some_and(|code| code.behaviour == Behaviour::Supervisor) && is_child(node, below);
    Ancestor {
        pid: pid.to_string(),
        name,
        module: code.map(|code| code.name.to_string()).unwrap_or_default(),
        relation: if supervises { ancestor::Relation::Supervisor } else { ancestor::Relation::Starter }
            as i32,
        alive,
        depth,
        node: format!("n{}", pid.node),
    }
}

/// Whether a process is, or was, started as a supervisor's child.
fn is_child(node: &Node, pid: Pid) -> bool {
    match node.process(pid) {
        Some(process) => node.child_id_of(&process).is_some(),
        None => node.events().exit_of(pid).is_some_and(|record| record.child_id.is_some()),
    }
}

pub(super) async fn descendants(
    node: &Node,
    request: &v1::FindProcessDescendantsRequest,
) -> Result<v1::FindProcessDescendantsResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let (pid, depth_max, node) = (process.pid(), levels(request.depth_max), node.clone());
    blocking(move || {
        let found = arsenal_observe::tree::descendants(&node, pid, depth_max);
        let descendants = found.into_iter().map(|found| {
            let of = found.process.pid();
            let supervised = node.child_id_of(&found.process).is_some();
            Descendant {
                pid: of.to_string(),
                parent: found.parent.to_string(),
                depth: u32::try_from(found.depth).unwrap_or(u32::MAX),
                name: name_of(&node, &found.process),
                module: node.header(&found.process).code.name.to_string(),
                relation: if supervised {
                    descendant::Relation::Supervised
                } else {
                    descendant::Relation::Started
                } as i32,
                node: format!("n{}", of.node),
            }
        });
        v1::FindProcessDescendantsResponse {
            pid: pid.to_string(),
            descendants: descendants.collect(),
            unreached: Vec::new(),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_no_reader_takes_is_refused_unless_a_depth_cuts_it() {
        assert!(check(NODES_MAX, LEVELS_MAX, usize::MAX).is_ok());
        assert_eq!(check(NODES_MAX + 1, 2, usize::MAX).unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(check(200, LEVELS_MAX + 1, usize::MAX).unwrap_err().code(), Code::ResourceExhausted);
        assert!(check(200, LEVELS_MAX + 1, LEVELS_MAX).is_ok());
    }
}
