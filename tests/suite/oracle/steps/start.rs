//! Starting processes and supervisors.

use crate::oracle::driver::{Driver, Outcome, Trouble};
use crate::oracle::spec;
use crate::oracle::terms::duration;
use arsenal_tests::api::Failure;
use serde_json::{Value, json};

pub(super) async fn spawn(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    let args = driver.outgoing(&spec::args(&step["id"], &step["args"]));
    let mut request = json!({"module": spec::module(&step["behaviour"]), "args": args});
    spec::set_name(&mut request, &step["name"]);
    if let Some(timeout) = step["args"]["start_timeout"].as_i64() {
        request["timeout"] = duration(timeout).into();
    }
    let (rpc, linked) = match (step["spawn_monitor"] == true, performer) {
        (true, performer) => {
            request["watcher"] = driver.acting(performer).into();
            ("StartMonitorProcess", false)
        }
        (false, Some(parent)) => {
            request["parent"] = parent.into();
            ("StartLinkProcess", true)
        }
        (false, None) => ("StartProcess", false),
    };
    let answer = driver.api.call(rpc, request).await;
    if let (Ok(answer), true) = (&answer, step["spawn_monitor"] == true)
        && answer["ignored"] != true
    {
        return Ok(json!([
            driver.pid_value(&answer["pid"]),
            driver.name_reference(step, &answer["monitor"])
        ]));
    }
    started(driver, answer, linked)
}

pub(super) async fn supervisor(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    let mut request = json!({"parent": driver.acting(performer)});
    spec::set_name(&mut request, &step["name"]);
    let says_all = step["init"].is_null() && spec::set_supervisor(&mut request, step).is_some();
    let answer = if says_all {
        let id = step["id"].as_str().unwrap_or_default();
        driver.chronicle.expect_supervisor(id);
        let answer = driver.api.call("StartSupervisorLink", driver.outgoing(&request)).await;
        if answer.as_ref().is_err_and(|failure| failure.reason == "BAD_SPEC") {
            driver.chronicle.refused(id);
        }
        answer
    } else {
        let mut request = json!({
            "parent": driver.acting(performer),
            "module": "supervisor",
            "args": driver.outgoing(&spec::supervisor_term(step)),
        });
        spec::set_name(&mut request, &step["name"]);
        driver.api.call("StartLinkProcess", request).await
    };
    started(driver, answer, true)
}

/// The result of a start: a pid, `ignore`, `{error, Reason}`.
fn started(driver: &Driver, answer: Result<Value, Failure>, linked: bool) -> Outcome {
    match answer {
        Ok(answer) if answer["ignored"] == true => Ok("ignore".into()),
        Ok(answer) => Ok(driver.pid_value(&answer["pid"])),
        Err(failure) => match (driver.performer_trouble(&failure), failure.reason.as_str()) {
            (Some(trouble), _) => Err(trouble),
            (None, "NOPROC") if linked => Err(Trouble::PerformerDied("noproc".into())),
            (None, "TIMEOUT") => Ok(json!(["error", "timeout"])),
            (None, _) => Ok(json!(["error", driver.reason(&failure)])),
        },
    }
}
