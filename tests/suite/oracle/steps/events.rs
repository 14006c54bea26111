//! Event managers and their handlers.

use crate::oracle::driver::{Driver, Outcome, Trouble, badarg};
use crate::oracle::terms::duration;
use arsenal_tests::api::Failure;
use arsenal_tests::modules::{HANDLER_MODULE, ID, MANAGER};
use serde_json::{Value, json};

/// Carries out a step on an event manager.
pub(super) async fn perform(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    let manager = driver.target(step, "mgr");
    match step["op"].as_str().unwrap_or_default() {
        "add_handler" => add(driver, step, manager, performer).await,
        "swap_handler" => swap(driver, step, manager, performer).await,
        "delete_handler" => {
            let argument = if step["arg"].is_null() { json!("args") } else { driver.outgoing(&step["arg"]) };
            let request = json!({"process": manager, "handler": step["handler"], "args": argument});
            let answer = driver.api.call("DeleteEventHandler", request).await;
            replied(driver, answer, "module_not_found")
        }
        "which_handlers" => {
            let answer = driver.api.call("ListEventHandlers", json!({"process": manager})).await;
            let answer = answer.map_err(|failure| no_manager(driver, &failure))?;
            let handlers = answer["handlers"].as_array().into_iter().flatten();
            let ids: Vec<Value> = handlers.map(|handler| json!({"handler": handler["handler"]})).collect();
            Ok(json!({"list": ids}))
        }
        "event_call" => {
            let timeout = duration(step["timeout"].as_i64().unwrap_or(1_000));
            let message = driver.outgoing(&step["msg"]);
            let request = json!({"process": manager, "handler": step["handler"], "message": message, "timeout": timeout});
            match driver.api.call("CallEventHandler", request).await {
                Err(failure) if failure.reason == "NOPROC" => Err(driver.call_exit(&failure)),
                answer => replied(driver, answer, "bad_module"),
            }
        }
        operation => {
            let sync = operation == "sync_notify";
            let mut request =
                json!({"process": manager, "message": driver.outgoing(&step["event"]), "sync": sync});
            if let Some(performer) = performer {
                request["from"] = performer.into();
            }
            match driver.api.call("NotifyEventManager", request).await {
                Ok(_) => Ok("ok".into()),
                Err(failure) if failure.reason == "NOPROC" && !sync => Err(badarg()),
                Err(failure) => Err(no_manager(driver, &failure)),
            }
        }
    }
}

/// What a handler's init sees: the ids that it logs under, and how it is to end.
fn init_args(step: &Value, handler: &Value) -> Value {
    let manager = step["mgr_id"].as_str().or_else(|| step["mgr"].as_str()).unwrap_or_default();
    let manager = manager.split('#').next().unwrap_or_default();
    json!({ID: handler, MANAGER: manager, "init": step["init"]})
}

async fn add(driver: &Driver, step: &Value, manager: String, performer: Option<&str>) -> Outcome {
    let mut request = json!({
        "process": manager,
        "handler": step["handler"],
        "module": HANDLER_MODULE,
        "args": init_args(step, &step["handler"]),
    });
    supervise(driver, &mut request, step, performer);
    installed(driver, driver.api.call("AddEventHandler", request).await)
}

async fn swap(driver: &Driver, step: &Value, manager: String, performer: Option<&str>) -> Outcome {
    let argument = if step["arg"].is_null() { json!("swap") } else { driver.outgoing(&step["arg"]) };
    let mut request = json!({
        "process": manager,
        "handler": step["handler"],
        "args": argument,
        "toHandler": step["to_handler"],
        "module": HANDLER_MODULE,
        "toArgs": init_args(step, &step["to_handler"]),
    });
    supervise(driver, &mut request, step, performer);
    installed(driver, driver.api.call("SwapEventHandler", request).await)
}

fn supervise(driver: &Driver, request: &mut Value, step: &Value, performer: Option<&str>) {
    if step["sup"] == true {
        request["supervised"] = true.into();
        request["owner"] = driver.acting(performer).into();
    }
}

/// The answer to an installation: `ok`, `{error, Reason}`, or what a failed init was.
fn installed(driver: &Driver, answer: Result<Value, Failure>) -> Outcome {
    let Err(failure) = answer else { return Ok("ok".into()) };
    let reason = driver.reason(&failure);
    match failure.reason.as_str() {
        "HANDLER_REFUSED" => Ok(json!(["error", reason])),
        "HANDLER_CRASHED" => Ok(json!(["EXIT", reason])),
        _ => Err(no_manager(driver, &failure)),
    }
}

/// The answer of one handler, `missing` in `{error, _}` if it is not there.
fn replied(driver: &Driver, answer: Result<Value, Failure>, missing: &str) -> Outcome {
    answer.map(|answer| driver.incoming(&answer["reply"])).or_else(|failure| match failure.reason.as_str() {
        "NO_HANDLER" => Ok(json!(["error", missing])),
        // a crash is what `catch` makes of it; a bad return value stands there as it is
        "HANDLER_CRASHED" => Ok(match driver.reason(&failure) {
            crash if crash.get("crash").is_some() => json!(["error", ["EXIT", crash]]),
            value => json!(["error", value]),
        }),
        _ => Err(no_manager(driver, &failure)),
    })
}

/// A manager that is not there is told plainly; one that does not answer as any server.
fn no_manager(driver: &Driver, failure: &Failure) -> Trouble {
    match failure.reason.as_str() {
        "NOPROC" => Trouble::Raised("exit", "noproc".into()),
        _ => driver.call_exit(failure),
    }
}
