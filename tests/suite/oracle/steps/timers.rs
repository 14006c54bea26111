//! Timers.

use crate::oracle::driver::{Driver, Outcome};
use crate::oracle::terms::{duration, milliseconds};
use serde_json::{Value, json};

/// Carries out a step on timers.
pub(super) async fn perform(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    let operation = step["op"].as_str().unwrap_or_default();
    if let "cancel_timer" | "read_timer" = operation {
        return look(driver, operation, driver.reference(step, "timer")).await;
    }
    let mut request = json!({
        "process": driver.target(step, "to"),
        "message": driver.outgoing(&step["msg"]),
        "after": duration(step["ms"].as_i64().unwrap_or(0)),
        "withReference": operation == "start_timer",
    });
    if let Some(performer) = performer {
        request["from"] = performer.into();
    }
    let answer = driver.api.call("SendMessageAfter", request).await;
    let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
    Ok(driver.name_reference(step, &answer["timer"]))
}

/// What is left of a timer, in whole milliseconds, or `false`.
async fn look(driver: &Driver, operation: &str, timer: String) -> Outcome {
    let rpc = if operation == "cancel_timer" { "CancelTimer" } else { "GetTimer" };
    match driver.api.call(rpc, json!({"timer": timer})).await {
        Ok(answer) => {
            let remaining = answer.get("remaining").unwrap_or(&answer["timer"]["remaining"]);
            Ok(milliseconds(remaining).into())
        }
        Err(failure) if failure.code == "NOT_FOUND" => Ok(false.into()),
        Err(failure) => Err(driver.unexpected(&failure)),
    }
}
