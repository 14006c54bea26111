//! Managing the children of a supervisor.

use crate::oracle::driver::{Driver, Outcome};
use crate::oracle::spec;
use crate::oracle::terms::{integer, milliseconds};
use arsenal_tests::api::Failure;
use arsenal_tests::modules::ID;
use serde_json::{Value, json};

/// Carries out a step on a child.
pub(super) async fn manage(driver: &Driver, step: &Value) -> Outcome {
    let supervisor = driver.target(step, "sup");
    let child = match step["child_pid"].as_str() {
        Some(id) => driver.pid(id).into(),
        None => step["child"].clone(),
    };
    let request = json!({"supervisor": supervisor, "child": child});
    let api = &driver.api;
    let answer = match step["op"].as_str().unwrap_or_default() {
        "start_child" => return start_child(driver, step, supervisor).await,
        "terminate_child" => api.call("TerminateChild", request).await.map(|_| "ok".into()),
        "delete_child" => api.call("DeleteChild", request).await.map(|_| "ok".into()),
        "restart_child" => api.call("RestartChild", request).await.map(|answer| started(driver, &answer)),
        _ => api.call("GetChildSpec", request).await.map(|spec| shown(&spec)),
    };
    refused(driver, answer)
}

async fn start_child(driver: &Driver, step: &Value, supervisor: String) -> Outcome {
    if !step["instance"].is_null() {
        let request = json!({"supervisor": supervisor, "args": {ID: step["instance"]}});
        let answer = driver.api.call("AddDynamicChild", request).await;
        return refused(driver, answer.map(|answer| started(driver, &answer)));
    }
    if let Some(spec) = spec::child(&step["child"]) {
        let request = json!({"supervisor": supervisor, "spec": driver.outgoing(&spec)});
        let answer = driver.api.call("StartChild", request).await;
        return refused(driver, answer.map(|answer| started(driver, &answer)));
    }
    // what no request can say a supervisor can still be asked, as any gen_server
    let message = json!(["start_child", driver.outgoing(&spec::child_term(&step["child"]))]);
    let answer = driver.api.call("CallProcess", json!({"process": supervisor, "message": message})).await;
    match answer {
        Ok(answer) => Ok(match &answer["reply"] {
            Value::Array(reply) if reply.len() == 2 && reply[0] == "ok" && reply[1] != "undefined" => {
                driver.incoming(&reply[1])
            }
            reply => driver.incoming(reply),
        }),
        Err(failure) => Err(driver.call_exit(&failure)),
    }
}

/// A child that was started, or ignored.
fn started(driver: &Driver, answer: &Value) -> Value {
    if answer["ignored"] == true { json!(["ok", "undefined"]) } else { driver.pid_value(&answer["pid"]) }
}

/// A refusal is `{error, Reason}`; no answer at all is an exception.
fn refused(driver: &Driver, answer: Result<Value, Failure>) -> Outcome {
    answer.or_else(|failure| match failure.reason.as_str() {
        "NOPROC" | "TIMEOUT" | "EXITED" => Err(driver.call_exit(&failure)),
        _ => Ok(json!(["error", driver.reason(&failure)])),
    })
}

/// A specification as `get_childspec` shows it.
fn shown(spec: &Value) -> Value {
    let word = |field: &str, default: &str| spec[field].as_str().unwrap_or(default).to_lowercase();
    let kind = word("type", "worker");
    let shutdown = match (spec["brutalKill"] == true, spec["infinity"] == true, spec["shutdown"].as_str()) {
        (true, ..) => "brutal_kill".into(),
        (_, true, _) => "infinity".into(),
        (.., Some(_)) => milliseconds(&spec["shutdown"]).into(),
        _ => Value::Null,
    };
    json!({
        "id": spec["id"],
        "restart": word("restart", "permanent"),
        "shutdown": shutdown,
        "significant": spec["significant"] == true,
        "type": kind,
    })
}

/// `which_children`: id, pid and type of each, in OTP's order.
pub(in crate::oracle) async fn which_children(driver: &Driver, supervisor: &str) -> Outcome {
    let request = json!({"supervisor": supervisor, "pageSize": 1000});
    let answer =
        driver.api.call("WhichChildren", request).await.map_err(|failure| driver.call_exit(&failure))?;
    let children = answer["children"].as_array().into_iter().flatten().map(|child| {
        let id = child["id"].as_str().filter(|id| !id.is_empty()).unwrap_or("undefined");
        let pid = match child["state"].as_str() {
            Some("RUNNING") => driver.pid_value(&child["pid"]),
            Some(state) => state.to_lowercase().into(),
            None => Value::Null,
        };
        json!([id, pid, child["type"].as_str().unwrap_or_default().to_lowercase()])
    });
    Ok(children.collect())
}

/// `count_children`.
pub(in crate::oracle) async fn count_children(driver: &Driver, supervisor: &str) -> Outcome {
    let answer = driver.api.call("CountChildren", json!({"supervisor": supervisor})).await;
    let answer = answer.map_err(|failure| driver.call_exit(&failure))?;
    let count = |field: &str| integer(&answer[field]);
    Ok(json!({
        "specs": count("specs"),
        "active": count("active"),
        "supervisors": count("supervisors"),
        "workers": count("workers"),
    }))
}
