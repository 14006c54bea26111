//! One step of a scenario: which operation it is. The groups below carry them out.
//!
//! An operation that the service does not offer is `Trouble::Unsupported`: counted and named, never passed over.

mod events;
mod groups;
mod names;
mod nodes;
mod servers;
mod signals;
mod start;
mod supervisors;
mod timers;

pub(super) use supervisors::{count_children, which_children};

use super::driver::{Driver, Outcome, Trouble};
use arsenal_tests::api::Failure;
use serde_json::{Value, json};
use std::time::Duration;

impl Driver {
    /// Carries out a step; `performer` is the pid of the process that performs it, if it is not the driver.
    pub(super) async fn operation(&self, step: &Value, performer: Option<&str>) -> Outcome {
        match step["op"].as_str().unwrap_or_default() {
            "spawn" => start::spawn(self, step, performer).await,
            "start_supervisor" => start::supervisor(self, step, performer).await,
            "start_child" | "terminate_child" | "restart_child" | "delete_child" | "get_childspec" => {
                supervisors::manage(self, step).await
            }
            "which_children" => which_children(self, &self.target(step, "sup")).await,
            "count_children" => count_children(self, &self.target(step, "sup")).await,
            "link" | "unlink" | "monitor" | "demonitor" | "exit_signal" | "kill" | "raise" | "trap_exit"
            | "priority" | "suspend" | "resume" => signals::perform(self, step, performer).await,
            "send" | "send_many" | "call" | "cast" | "stop" | "sys_suspend" | "sys_resume" | "get_state"
            | "set_state" | "receive" | "hibernate" => servers::perform(self, step, performer).await,
            "process_info" => servers::process_info(self, step).await,
            "is_alive" => Ok(self.is_alive(&self.target(step, "id")).await.into()),
            "alive_count" => {
                let mut alive = 0;
                for id in step["ids"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    alive += i64::from(self.is_alive(&self.pid(id)).await);
                }
                Ok(alive.into())
            }
            "register" | "unregister" | "whereis" | "global_register" | "global_re_register"
            | "global_unregister" | "global_whereis" | "global_names" => names::perform(self, step).await,
            "pg_join" | "pg_leave" | "pg_members" | "pg_local_members" | "pg_groups" | "pg_monitor"
            | "pg_demonitor" => groups::perform(self, step, performer).await,
            "send_after" | "start_timer" | "cancel_timer" | "read_timer" => {
                timers::perform(self, step, performer).await
            }
            "add_handler" | "delete_handler" | "swap_handler" | "which_handlers" | "notify"
            | "sync_notify" | "event_call" => events::perform(self, step, performer).await,
            "sleep_ms" => {
                tokio::time::sleep(Duration::from_millis(step["ms"].as_u64().unwrap_or(0))).await;
                Ok("ok".into())
            }
            "node_kill" | "node_disconnect" | "node_connect" | "nodes" | "monitor_node" | "multi_call"
            | "global_agree" => nodes::perform(self, step, performer).await,
            _ => Err(Trouble::Unsupported),
        }
    }

    /// The reason in a failure's `ExitDetail`, in the scenario's words; else the stable word in small letters.
    fn reason(&self, failure: &Failure) -> Value {
        match &failure.exit {
            Some(reason) => self.incoming(reason),
            None => failure.reason.to_lowercase().into(),
        }
    }

    /// What every failure of a step by a process may be: that process is not, or no longer, there.
    fn performer_trouble(&self, failure: &Failure) -> Option<Trouble> {
        match failure.reason.as_str() {
            "CALLER_NOPROC" => Some(Trouble::PerformerDied("noproc".into())),
            "CALLER_DIED" => Some(Trouble::PerformerDied(self.reason(failure))),
            _ => None,
        }
    }

    /// Why a synchronous request got no answer.
    fn no_answer(&self, failure: &Failure) -> Value {
        match failure.reason.as_str() {
            "NOPROC" => "noproc".into(),
            "TIMEOUT" => "timeout".into(),
            "CALLING_SELF" => "calling_self".into(),
            "NOCONNECTION" | "OUTCOME_UNKNOWN" => json!(["nodedown", {"node": "b"}]),
            _ => self.reason(failure),
        }
    }

    /// A synchronous request that failed: `exit({R, {Module, Function, Args}})` in Erlang.
    fn call_exit(&self, failure: &Failure) -> Trouble {
        let trouble = self.performer_trouble(failure);
        trouble.unwrap_or_else(|| Trouble::Raised("exit", json!({"call_exit": self.no_answer(failure)})))
    }

    /// A failure that stands for nothing in the scenarios: told as it is, so that it is seen.
    fn unexpected(&self, failure: &Failure) -> Trouble {
        let trouble = self.performer_trouble(failure);
        trouble.unwrap_or_else(|| {
            let words = format!("{} {}: {}", failure.code, failure.reason, failure.message);
            Trouble::Raised("error", words.into())
        })
    }
}
