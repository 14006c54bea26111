//! One process, looked into: its state, its stack, its bytes.

use super::process_info::{behaviour, look, status};
use crate::payload::to_value;
use crate::status::{failure, no_process, of_call};
use crate::time::timestamp_ms;
use arsenal_observe::process_variables::ProcessView;
use arsenal_proto::v1;
use arsenal_proto::v1::get_process_state_response::{Handler, Payload, handler};
use arsenal_runtime::glimpse::WaitPoint;
use arsenal_runtime::info::Status as Does;
use arsenal_runtime::{Behaviour, Node, OwnedId, ProcessRef, Term};
use std::time::Duration;
use tonic::{Code, Status};

/// How long a state is waited for where nothing is said.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// The state between two messages (`sys:get_state`).
///
/// # Errors
/// `NOPROC`, `NO_HOOK`, `HELD`, `TIMEOUT`, `EXITED`.
pub(super) async fn state(
    node: &Node,
    process: &ProcessRef,
    timeout: Duration,
) -> Result<v1::GetProcessStateResponse, Status> {
    let pid = process.pid();
    if let Some(hold) = ProcessView::new(node, process).pause() {
        return Err(held(pid, hold));
    }
    let answer = node.system_request(pid, Term::Atom("get_state"), Some(timeout)).await;
    let answer = answer.map_err(|error| of_call(node, &error))?;
    let part = |name| answer.get(name).cloned().unwrap_or_default();
    let behaves = node.header(process).code.behaviour;
    let (state, handlers) = match behaves {
        Behaviour::GenEvent => {
            (None, part("state").as_list().unwrap_or_default().iter().map(handler_state).collect())
        }
        // a state machine's state is the pair of its state's name and its data
        Behaviour::GenStatem => (part("state").as_list().and_then(|pair| pair.get(1)).cloned(), Vec::new()),
        _ => (Some(part("state")), Vec::new()),
    };
    Ok(v1::GetProcessStateResponse {
        pid: pid.to_string(),
        behaviour: behaviour(behaves) as i32,
        payload: state.map(|state| match state.view() {
            Term::Bytes(bytes) => Payload::StateBytes(bytes.as_ref().clone()),
            state => Payload::State(to_value(state)),
        }),
        state_name: (behaves == Behaviour::GenStatem).then(|| to_value(&part("state_name"))),
        handlers,
    })
}

/// `[module, id, state]`; the id of a handler without one is `false`.
fn handler_state(term: &Term) -> Handler {
    let part = |at: usize| term.as_list().and_then(|terms| terms.get(at)).cloned().unwrap_or_default();
    let text = |term: &Term| term.as_str().map_or_else(|| term.to_string(), str::to_owned);
    let (module, id) = (text(&part(0)), part(1));
    Handler {
        handler: if id.as_bool() == Some(false) { module.clone() } else { text(&id) },
        module,
        payload: Some(match part(2).view() {
            Term::Bytes(bytes) => handler::Payload::StateBytes(bytes.as_ref().clone()),
            state => handler::Payload::State(to_value(state)),
        }),
    }
}

fn held(pid: arsenal_runtime::Pid, hold: OwnedId) -> Status {
    let message = format!("the scheduling of process {pid} is paused by hold {hold}");
    failure(Code::FailedPrecondition, "HELD", message).precondition("HOLD", &hold.to_string()).status()
}

/// Where a process is.
///
/// # Errors
/// `NOPROC` if it ends meanwhile.
pub(super) async fn backtrace(
    node: &Node,
    process: &ProcessRef,
) -> Result<v1::GetProcessBacktraceResponse, Status> {
    let pid = process.pid();
    let response = look(node, process, |view| {
        let info = view.info()?;
        let does = info.header.status;
        let frames = match view.glimpse() {
            Some(seen) if !seen.frames.is_empty() => {
                seen.frames.iter().map(|frame| frame_of(frame)).collect()
            }
            // code in mid turn that does not yield, or says nothing of itself
            _ => vec![v1::StackFrame {
                function: if does == Does::Waiting { "receive" } else { "step" }.into(),
                module: info.header.code.name.to_string(),
                ..Default::default()
            }],
        };
        let wait_point = match (view.pause(), does) {
            (Some(hold), _) => format!("hold {hold}"),
            (None, Does::Blocked) => "blocking work".to_owned(),
            (None, Does::Waiting) => {
                let timed = node.receive_deadline(process).is_some();
                words(node.wait_point(process), timed)
            }
            (None, _) => String::new(),
        };
        let since = node.in_slice_since(process).map(|ms| timestamp_ms(node, ms));
        Some(v1::GetProcessBacktraceResponse {
            pid: pid.to_string(),
            status: status(does) as i32,
            frames,
            wait_point,
            message: view.glimpse().and_then(|seen| seen.message.as_ref().map(to_value)),
            since,
        })
    });
    response.await.ok_or_else(|| no_process(node, pid))
}

/// Native code names a function by its path.
fn frame_of(frame: &str) -> v1::StackFrame {
    let (module, function) = frame.rsplit_once("::").unwrap_or(("", frame));
    v1::StackFrame { function: function.into(), module: module.into(), ..Default::default() }
}

fn words(point: WaitPoint, timed: bool) -> String {
    match point {
        WaitPoint::NoMessage if timed => "timeout".to_owned(),
        WaitPoint::AnyMessage => "any message".to_owned(),
        WaitPoint::ChosenMessages => "chosen messages".to_owned(),
        WaitPoint::NoMessage => "no message".to_owned(),
        WaitPoint::Reference(reference, Some(_)) => format!("reply {reference}"),
        WaitPoint::Reference(reference, None) => format!("message {reference}"),
    }
}

/// What a process weighs; a state that cannot be told is absent.
pub(super) async fn memory(node: &Node, process: &ProcessRef) -> v1::GetProcessMemoryInfoResponse {
    let pid = process.pid();
    look(node, process, |view| {
        let bytes = view.bytes();
        v1::GetProcessMemoryInfoResponse {
            pid: pid.to_string(),
            total: view.memory() as u64,
            mailbox: Some(bytes.mailbox as u64),
            state: bytes.state.map(|state| state as u64),
            stack: None,
            dictionary: Some(bytes.dictionary as u64),
            process: Some(bytes.control as u64),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_behaviours::functions::body;
    use arsenal_runtime::body::Step;
    use arsenal_runtime::module::Description;
    use arsenal_runtime::{NodeConfig, StartOptions};
    use std::sync::Arc;
    use std::sync::mpsc;

    #[test]
    fn a_look_at_code_that_never_yields_needs_no_thread_to_wait_on() {
        let node = Node::start(NodeConfig::default()).unwrap();
        let (begun, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let ends = std::sync::Mutex::new(ends);
        let stuck = body(move |_, _| {
            begun.send(()).unwrap();
            let _ = ends.lock().unwrap().recv();
            Step::Exit(Term::NORMAL)
        });
        let description = Arc::new(Description::native("stuck", Behaviour::Plain));
        let process = node.spawn(&description, stuck, StartOptions::default()).unwrap();
        begins.recv().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        // the only thread for blocking work is taken
        let (give_back, taken) = mpsc::channel::<()>();
        let occupied = runtime.spawn_blocking(move || taken.recv());
        let seen = runtime.block_on(async {
            let looks = (0..100).map(|_| backtrace(&node, &process));
            let all = futures_util::future::join_all(looks);
            tokio::time::timeout(std::time::Duration::from_secs(60), all).await
        });
        drop(give_back);
        runtime.block_on(occupied).unwrap().unwrap_err();
        drop(end);
        let seen = seen.expect("the looks do not end");
        assert!(seen.iter().all(|seen| seen.as_ref().is_ok_and(|seen| seen.frames[0].function == "step")));
        node.close();
    }
}
