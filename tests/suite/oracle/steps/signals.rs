//! Links, monitors, exit signals, flags, and scheduling.

use crate::oracle::driver::{Driver, LEASE, Outcome, Trouble, badarg};
use arsenal_tests::modules::COMMAND;
use serde_json::{Value, json};

/// Carries out one of them.
pub(super) async fn perform(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    let to = driver.target(step, "to");
    let by = driver.acting(performer);
    match step["op"].as_str().unwrap_or_default() {
        "link" => link(driver, &to, by).await,
        "unlink" => {
            let answer = driver.api.call("UnlinkProcesses", json!({"process": to, "from": by})).await;
            answer.map(|_| true.into()).map_err(|failure| driver.unexpected(&failure))
        }
        "monitor" => {
            let answer = driver.api.call("MonitorProcess", json!({"process": to, "watcher": by})).await;
            let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
            Ok(driver.name_reference(step, &answer["monitor"]))
        }
        "demonitor" => demonitor(driver, step, by).await,
        "exit_signal" => exit_signal(driver, &to, by, &step["reason"]).await,
        "kill" => exit_signal(driver, &to, by, &"kill".into()).await,
        "raise" => {
            let class = step["class"].as_str().unwrap_or_default();
            driver.raise(performer.unwrap_or_default(), class, &step["reason"]).await;
            Ok("ok".into())
        }
        "trap_exit" => {
            let request = json!({"process": by, "trapExit": step["value"]});
            let answer = driver.api.call("SetTrapExit", request).await;
            let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
            Ok((answer["oldTrapExit"] == true).into())
        }
        "priority" => {
            let level = step["value"].as_str().unwrap_or_default().to_uppercase();
            let answer =
                driver.api.call("SetProcessPriority", json!({"process": by, "priority": level})).await;
            let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
            Ok(answer["oldPriority"].as_str().unwrap_or_default().to_lowercase().into())
        }
        "suspend" => suspend(driver, step, &to, by).await,
        _ => {
            let answer =
                driver.api.call("ResumeProcessScheduling", json!({"process": to, "holder": by})).await;
            answer
                .map(|_| true.into())
                .map_err(|failure| driver.performer_trouble(&failure).unwrap_or_else(badarg))
        }
    }
}

async fn link(driver: &Driver, to: &str, by: &str) -> Outcome {
    let answer = driver.api.call("LinkProcesses", json!({"process": to, "from": by})).await;
    answer.map(|_| true.into()).map_err(|failure| match failure.reason.as_str() {
        "NOPROC" => Trouble::Raised("error", "noproc".into()),
        _ => driver.unexpected(&failure),
    })
}

async fn demonitor(driver: &Driver, step: &Value, by: &str) -> Outcome {
    let asked =
        |option: &str| step["opts"].as_array().is_some_and(|options| options.iter().any(|o| *o == option));
    let request = json!({
        "monitor": driver.reference(step, "monitor"),
        "from": by,
        "flush": asked("flush"),
        "info": asked("info"),
    });
    match driver.api.call("Demonitor", request).await {
        Ok(answer) => Ok((answer["found"] == true).into()),
        // to OTP a monitor of another process is one that is not there
        Err(failure) if failure.reason == "NOT_WATCHER" => Ok((!asked("info")).into()),
        Err(failure) => Err(driver.unexpected(&failure)),
    }
}

async fn exit_signal(driver: &Driver, to: &str, by: &str, reason: &Value) -> Outcome {
    let request = json!({"process": to, "from": by, "reason": driver.outgoing(reason)});
    let answer = driver.api.call("ExitProcess", request).await;
    answer.map(|_| true.into()).map_err(|failure| driver.unexpected(&failure))
}

async fn suspend(driver: &Driver, step: &Value, to: &str, by: &str) -> Outcome {
    let unless =
        step["opts"].as_array().is_some_and(|options| options.iter().any(|o| *o == "unless_suspending"));
    let request = json!({"process": to, "holder": by, "lease": LEASE, "unlessSuspending": unless});
    match driver.api.call("PauseProcessScheduling", request).await {
        Ok(answer) => Ok((answer["paused"] == true).into()),
        Err(failure) => Err(driver.performer_trouble(&failure).unwrap_or_else(badarg)),
    }
}

impl Driver {
    /// Has a process fail by itself.
    pub(in crate::oracle) async fn raise(&self, process: &str, class: &str, reason: &Value) {
        let command = json!([COMMAND, "raise", class, self.outgoing(reason)]);
        self.api.ok("CastMessage", json!({"process": process, "message": command})).await;
    }
}
