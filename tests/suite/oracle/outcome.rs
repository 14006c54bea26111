//! The end of a scenario: who lives, how the others ended, what was logged, and in which order it all happened.

use super::driver::Driver;
use super::steps::{count_children, which_children};
use arsenal_tests::modules::Happening;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long a supervisor may take to tell of its children: one that is ending for ever does not.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The member `final` of an outcome.
pub(super) async fn of(driver: &Driver) -> Value {
    let happenings = driver.chronicle.happenings();
    let exit_of = |pid| {
        happenings.iter().find_map(|(of, happening)| match happening {
            Happening::Exited(reason) if *of == pid => Some(driver.incoming(&reason.to_json())),
            _ => None,
        })
    };
    let (mut processes, mut supervisors) = (Map::new(), Map::new());
    for (id, life) in driver.chronicle.lives() {
        if life.pids.last().is_some_and(|pid| driver.is_gone(*pid)) {
            processes.insert(id, json!({"node_down": true, "incarnation": life.pids.len()}));
            continue;
        }
        let exits: Vec<Value> = life.pids.iter().filter_map(|pid| exit_of(*pid)).collect();
        let living = life.pids.last().filter(|pid| exit_of(**pid).is_none());
        processes.insert(
            id.clone(),
            json!({
                "alive": living.is_some(),
                "attempts": life.attempts,
                "exits": exits,
                "incarnation": life.pids.len(),
            }),
        );
        if let Some(pid) = living
            && let Some(children) = children(driver, &pid.to_string()).await
        {
            supervisors.insert(id, children);
        }
    }
    // what a node saw goes with it
    let seen = happenings.iter().filter(|(pid, _)| !driver.is_gone(*pid));
    let lifecycle = seen.map(|(pid, happening)| match happening {
        Happening::Started => json!(["start", driver.key(*pid)]),
        Happening::Terminated(reason) => {
            json!(["terminate", driver.key(*pid), driver.incoming(&reason.to_json())])
        }
        Happening::Exited(reason) => json!(["exit", driver.key(*pid), driver.incoming(&reason.to_json())]),
    });
    let logs = driver.chronicle.logs().into_iter();
    let logs = logs.filter(|(key, _)| !driver.chronicle.pid(key).is_some_and(|pid| driver.is_gone(pid)));
    let logs = logs.map(|(key, log)| {
        let entries: Vec<Value> = log.iter().map(|entry| driver.incoming(&entry.to_json())).collect();
        (key, Value::from(entries))
    });
    json!({
        "processes": processes,
        "logs": logs.collect::<Map<_, _>>(),
        "supervisors": supervisors,
        "lifecycle": lifecycle.collect::<Vec<_>>(),
    })
}

/// What a living supervisor says of its children; nothing of a process that is none.
async fn children(driver: &Driver, pid: &str) -> Option<Value> {
    let info = driver.api.call("GetProcessInfo", json!({"process": pid})).await.ok()?;
    if info["process"]["behaviour"] != "SUPERVISOR" {
        return None;
    }
    let asked =
        async { Some((which_children(driver, pid).await.ok()?, count_children(driver, pid).await.ok()?)) };
    let (which, count) = tokio::time::timeout(ANSWER_MAX, asked).await.ok()??;
    Some(json!({"which_children": which, "count_children": count}))
}
