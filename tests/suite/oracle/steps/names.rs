//! Local and global names.

use crate::oracle::driver::{Driver, Outcome, badarg};
use serde_json::{Value, json};

/// Carries out a step on names.
pub(super) async fn perform(driver: &Driver, step: &Value) -> Outcome {
    let name = &step["name"];
    let api = &driver.api;
    let process = || driver.target(step, "id");
    match step["op"].as_str().unwrap_or_default() {
        "register" => {
            let answer = api.call("RegisterProcess", json!({"process": process(), "name": name})).await;
            answer.map(|_| true.into()).map_err(|_| badarg())
        }
        "unregister" => {
            let answer = api.call("UnregisterProcess", json!({"name": name})).await;
            answer.map(|_| true.into()).map_err(|_| badarg())
        }
        "whereis" => match api.call("WhereisProcess", json!({"name": name})).await {
            Ok(answer) => Ok(driver.pid_value(&answer["pid"])),
            Err(failure) if failure.code == "NOT_FOUND" => Ok("undefined".into()),
            Err(failure) => Err(driver.unexpected(&failure)),
        },
        "global_register" => register_globally(driver, json!({"name": name, "process": process()})).await,
        "global_re_register" => {
            register_globally(driver, json!({"name": name, "process": process(), "replace": true})).await
        }
        "global_unregister" => match api.call("UnregisterProcessGlobally", json!({"name": name})).await {
            Ok(_) => Ok("ok".into()),
            // to OTP a name that nobody has is as good as free
            Err(failure) if failure.code == "NOT_FOUND" => Ok("ok".into()),
            Err(failure) => Err(driver.unexpected(&failure)),
        },
        "global_whereis" => whereis_globally(driver, name).await,
        _ => {
            let answer = api.call("ListGlobalNames", json!({"pageSize": 1000})).await;
            let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
            Ok(json!({"set": answer["names"].as_array().cloned().unwrap_or_default()}))
        }
    }
}

/// Who has a global name, as the driver's node sees it.
pub(super) async fn whereis_globally(driver: &Driver, name: &Value) -> Outcome {
    match driver.api.call("GlobalWhereisName", json!({"name": name})).await {
        Ok(answer) => Ok(driver.pid_value(&answer["pid"])),
        Err(failure) if failure.code == "NOT_FOUND" => Ok("undefined".into()),
        Err(failure) => Err(driver.unexpected(&failure)),
    }
}

async fn register_globally(driver: &Driver, request: Value) -> Outcome {
    let name = json!({"name": request["name"]});
    match driver.api.call("RegisterProcessGlobally", request).await {
        Ok(_) => Ok("yes".into()),
        Err(failure) if failure.code == "UNAVAILABLE" => Err(driver.unexpected(&failure)),
        // OTP lets the dead have a name that nobody has, and frees it at once
        Err(failure) if failure.reason == "NOPROC" => {
            let taken = driver.api.call("GlobalWhereisName", name).await.is_ok();
            Ok(if taken { "no" } else { "yes" }.into())
        }
        Err(_) => Ok("no".into()),
    }
}
