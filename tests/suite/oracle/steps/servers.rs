//! Sending, calling, stopping, looking at processes.

use crate::oracle::driver::{Driver, LEASE, Outcome, Trouble, badarg};
use crate::oracle::terms::{duration, integer};
use arsenal_runtime::Term;
use arsenal_tests::Failure;
use arsenal_tests::modules::COMMAND;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Carries out one of them.
pub(super) async fn perform(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    let to = driver.target(step, "to");
    match step["op"].as_str().unwrap_or_default() {
        "send" => send(driver, step, &to, performer, &step["msg"]).await,
        "send_many" => {
            for number in 1..=step["count"].as_i64().unwrap_or(0) {
                send(driver, step, &to, performer, &json!(["n", number])).await?;
            }
            Ok("ok".into())
        }
        "call" => call(driver, step, &to, performer).await,
        "cast" => {
            let mut request = json!({"process": to, "message": driver.outgoing(&step["msg"])});
            set_from(&mut request, performer);
            match driver.api.call("CastMessage", request).await {
                // as for a send
                Err(failure) if failure.reason != "NOCONNECTION" => Err(driver.unexpected(&failure)),
                _ => Ok("ok".into()),
            }
        }
        "stop" => stop(driver, step, &to, performer).await,
        "sys_suspend" => {
            let request = json!({"process": to, "holder": driver.acting(performer), "lease": LEASE});
            let answer = driver.api.call("SuspendProcess", request).await;
            answer.map(|_| "ok".into()).map_err(|failure| driver.call_exit(&failure))
        }
        "sys_resume" => {
            let request = json!({"process": to, "holder": driver.acting(performer)});
            let answer = driver.api.call("ResumeProcess", request).await;
            answer.map(|_| "ok".into()).map_err(|failure| driver.call_exit(&failure))
        }
        "get_state" => get_state(driver, &to).await,
        "set_state" => set_state(driver, &to, &step["value"]).await,
        "hibernate" => {
            let request = json!({"process": driver.pid(step["id"].as_str().unwrap_or_default())});
            let message = json!([COMMAND, "hibernate"]);
            driver.api.ok("CastMessage", json!({"process": request["process"], "message": message})).await;
            Ok("ok".into())
        }
        _ => receive(driver, step, performer.unwrap_or_default()).await,
    }
}

/// Names the acting process, if it is not the driver.
fn set_from(request: &mut Value, performer: Option<&str>) {
    if let Some(performer) = performer {
        request["from"] = performer.into();
    }
}

async fn send(driver: &Driver, step: &Value, to: &str, performer: Option<&str>, message: &Value) -> Outcome {
    let mut request = json!({"process": to, "message": driver.outgoing(message)});
    set_from(&mut request, performer);
    let global = step["to"].as_str().and_then(|to| to.strip_prefix("global:"));
    match (driver.api.call("SendMessage", request).await, global) {
        (Ok(answer), Some(_)) => Ok(driver.pid_value(&answer["pid"])),
        (Ok(_), None) => Ok("ok".into()),
        (Err(failure), Some(name)) if failure.reason == "NOPROC" => {
            Err(Trouble::Raised("exit", json!(["badarg", [name, message]])))
        }
        (Err(failure), None) if failure.reason == "NOPROC" => Err(badarg()),
        // the API says that nothing was sent; OTP says nothing
        (Err(failure), None) if failure.reason == "NOCONNECTION" => Ok("ok".into()),
        (Err(failure), _) => Err(driver.unexpected(&failure)),
    }
}

async fn call(driver: &Driver, step: &Value, to: &str, performer: Option<&str>) -> Outcome {
    let mut request = json!({"process": to, "message": driver.outgoing(&step["msg"])});
    request["timeout"] = match &step["timeout"] {
        Value::Null => duration(5_000).into(),
        timeout => timeout.as_i64().map_or(LEASE.to_owned(), duration).into(),
    };
    set_from(&mut request, performer);
    let call = driver.api.call("CallProcess", request);
    let answer = match performer {
        None => call.await,
        // a caller that dies waits no longer
        Some(caller) => tokio::select! {
            answer = call => answer,
            record = driver.api.call("AwaitExit", json!({"process": caller})) => {
                let record = record.map_err(|failure| driver.unexpected(&failure))?;
                return Err(Trouble::PerformerDied(driver.incoming(&record["reason"])));
            }
        },
    };
    answer.map(|answer| driver.incoming(&answer["reply"])).map_err(|failure| driver.call_exit(&failure))
}

async fn stop(driver: &Driver, step: &Value, to: &str, performer: Option<&str>) -> Outcome {
    let reason = if step["reason"].is_null() { json!("normal") } else { driver.outgoing(&step["reason"]) };
    let timeout = step["timeout"].as_i64().map_or(LEASE.to_owned(), duration);
    let mut request = json!({"process": to, "reason": reason, "timeout": timeout, "onTimeout": "LEAVE"});
    set_from(&mut request, performer);
    match driver.api.call("ShutdownProcess", request).await {
        Ok(answer) if answer["outcome"] == "PENDING" => Err(Trouble::Raised("exit", "timeout".into())),
        Ok(_) => Ok("ok".into()),
        Err(failure) => {
            let trouble = driver.performer_trouble(&failure);
            Err(trouble.unwrap_or_else(|| Trouble::Raised("exit", driver.no_answer(&failure))))
        }
    }
}

async fn get_state(driver: &Driver, to: &str) -> Outcome {
    match driver.api.call("GetProcessState", json!({"process": to})).await {
        Ok(answer) if answer["stateName"].is_null() => Ok(driver.incoming(&answer["state"])),
        Ok(answer) => Ok(json!([driver.incoming(&answer["stateName"]), driver.incoming(&answer["state"])])),
        Err(failure) => Err(driver.call_exit(&failure)),
    }
}

/// The one step that goes past the API: `sys:replace_state` is an operation of the StateService, which is not built yet.
async fn set_state(driver: &Driver, to: &str, value: &Value) -> Outcome {
    let noproc = || {
        let detail = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "NOPROC"});
        Failure::new("NOT_FOUND".into(), format!("{to} is not alive"), vec![detail])
    };
    let node = driver.runtime();
    let pid = to
        .parse()
        .ok()
        .or_else(|| node.whereis(to.split('@').next().unwrap_or(to)))
        .ok_or_else(|| driver.call_exit(&noproc()))?;
    let request = Term::list([Term::from("replace_state"), Term::from_json(&driver.outgoing(value))]);
    let answer = node.system_request(pid, request, Some(Duration::from_secs(5))).await;
    answer.map(|_| value.clone()).map_err(|_| driver.call_exit(&noproc()))
}

async fn receive(driver: &Driver, step: &Value, process: &str) -> Outcome {
    let tag = if step["match"].is_null() { json!("any") } else { step["match"].clone() };
    let timeout = step["timeout"].as_i64().unwrap_or(0);
    let message = json!([COMMAND, "receive", tag, timeout]);
    let request = json!({"process": process, "message": message, "timeout": duration(timeout + 5_000)});
    let answer = driver.api.call("CallProcess", request).await;
    answer.map(|answer| driver.incoming(&answer["reply"])).map_err(|failure| match failure.reason.as_str() {
        "EXITED" => Trouble::PerformerDied(driver.reason(&failure)),
        _ => driver.unexpected(&failure),
    })
}

/// `process_info` of the keys that the step names.
pub(super) async fn process_info(driver: &Driver, step: &Value) -> Outcome {
    let pid = driver.target(step, "id");
    let Ok(answer) = driver.api.call("GetProcessInfo", json!({"process": pid})).await else {
        return Ok("undefined".into());
    };
    let info = &answer["process"];
    let mut items = Map::new();
    for key in step["keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let value = match key {
            "status" | "priority" => info[key].as_str().unwrap_or_default().to_lowercase().into(),
            "message_queue_len" => integer(&info["messageQueueLen"]).into(),
            "messages" => messages(driver, &pid).await?,
            "links" => keys(driver, &info["links"], |link| link),
            // a monitor by name is one of the name in OTP, whoever holds it
            "monitors" => keys(driver, &info["monitors"], |monitor| match &monitor["name"] {
                Value::String(name) if !name.is_empty() => &Value::Null,
                _ => &monitor["pid"],
            }),
            "monitored_by" => keys(driver, &info["monitoredBy"], |monitor| &monitor["pid"]),
            "trap_exit" => (info["trapExit"] == true).into(),
            "hibernating" => (info["hibernating"] == true).into(),
            "registered_name" => match info["registeredName"].as_str() {
                Some(name) if !name.is_empty() => name.into(),
                _ => Value::Null,
            },
            _ => return Err(Trouble::Unsupported),
        };
        items.insert(key.to_owned(), value);
    }
    Ok(items.into())
}

async fn messages(driver: &Driver, pid: &str) -> Outcome {
    let request = json!({"process": pid, "keys": ["messages"]});
    let answer = driver.api.call("GetProcessInfo", request).await;
    let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
    Ok(driver.incoming(&answer["items"][0]["value"]))
}

/// The scenario's processes among those listed, sorted, as often as they are there.
fn keys(driver: &Driver, list: &Value, pid: impl Fn(&Value) -> &Value) -> Value {
    let pids = list.as_array().into_iter().flatten().filter_map(|entry| pid(entry).as_str()?.parse().ok());
    let mut keys: Vec<String> = pids.filter_map(|pid| driver.chronicle.key(pid)).collect();
    keys.sort();
    keys.into()
}
