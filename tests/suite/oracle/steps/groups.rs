//! Process groups.

use crate::oracle::driver::{Driver, Outcome};
use serde_json::{Value, json};

/// Carries out a step on groups.
pub(super) async fn perform(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    let group = &group_name(&step["group"]);
    let api = &driver.api;
    match step["op"].as_str().unwrap_or_default() {
        "pg_join" => {
            let request = json!({"group": group, "processes": members(driver, step)});
            match api.call("JoinProcessGroup", request).await {
                Ok(_) => Ok("ok".into()),
                // OTP lets the dead join, and takes them out at once
                Err(failure) if failure.reason == "NOPROC" => Ok("ok".into()),
                Err(failure) => Err(driver.unexpected(&failure)),
            }
        }
        "pg_leave" => {
            let request = json!({"group": group, "processes": members(driver, step)});
            match api.call("LeaveProcessGroup", request).await {
                Ok(answer) if answer["pids"].as_array().is_some_and(|pids| !pids.is_empty()) => {
                    Ok("ok".into())
                }
                Ok(_) => Ok("not_joined".into()),
                Err(failure) if failure.code == "NOT_FOUND" => Ok("not_joined".into()),
                Err(failure) => Err(driver.unexpected(&failure)),
            }
        }
        "pg_members" => list(driver, json!({"group": group, "pageSize": 1000})).await,
        "pg_local_members" => {
            list(driver, json!({"group": group, "node": driver.node, "pageSize": 1000})).await
        }
        "pg_groups" => {
            let answer = api.call("ListProcessGroups", json!({"pageSize": 1000})).await;
            let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
            let groups = answer["groups"].as_array().into_iter().flatten();
            Ok(json!({"set": groups.map(|group| driver.incoming(&group["group"])).collect::<Vec<_>>()}))
        }
        "pg_monitor" => {
            let request = json!({"group": group, "watcher": driver.acting(performer)});
            let answer = api.call("MonitorGroup", request).await;
            let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
            let members = answer["members"].as_array().cloned().unwrap_or_default();
            let reference = driver.name_reference(step, &answer["monitor"]);
            Ok(json!([reference, {"list": driver.incoming(&members.into())}]))
        }
        _ => {
            let monitor = driver.reference(step, "monitor");
            let request = json!({"monitor": monitor, "from": driver.acting(performer), "info": true});
            let answer = api.call("Demonitor", request).await;
            let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
            Ok(if answer["found"] == true { "ok".into() } else { false.into() })
        }
    }
}

/// A group's name: a group that is no atom has its term as text.
fn group_name(group: &Value) -> Value {
    if group.is_string() { group.clone() } else { group.to_string().into() }
}

/// The processes that join or leave.
fn members(driver: &Driver, step: &Value) -> Vec<String> {
    match step["ids"].as_array() {
        Some(ids) => ids.iter().filter_map(Value::as_str).map(|id| driver.pid(id)).collect(),
        None => vec![driver.target(step, "id")],
    }
}

async fn list(driver: &Driver, request: Value) -> Outcome {
    match driver.api.call("ListGroupMembers", request).await {
        Ok(answer) => {
            let pids = answer["pids"].as_array().cloned().unwrap_or_default();
            Ok(json!({"set": driver.incoming(&pids.into())}))
        }
        Err(failure) if failure.code == "NOT_FOUND" => Ok(json!({"set": []})),
        Err(failure) => Err(driver.unexpected(&failure)),
    }
}
