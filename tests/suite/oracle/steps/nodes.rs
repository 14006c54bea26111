//! Nodes: their ends, who hears of them, and what is asked of all.

use super::names::whereis_globally;
use crate::oracle::driver::{Driver, Outcome, Trouble};
use crate::oracle::terms::node_name;
use serde_json::{Value, json};

/// Carries out a step on nodes.
pub(super) async fn perform(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    match step["op"].as_str().unwrap_or_default() {
        // no scenario kills the node that it is told from
        "node_kill" if step["node"] == "b" => {
            driver.kill_member().await;
            Ok("ok".into())
        }
        // cut off for longer than its lease, which is what being disconnected comes to
        "node_disconnect" => {
            driver.pair().ok_or(Trouble::Unsupported)?.part().await;
            Ok(true.into())
        }
        "node_connect" => {
            driver.pair().ok_or(Trouble::Unsupported)?.rejoin().await;
            Ok(true.into())
        }
        "nodes" => nodes(driver).await,
        "monitor_node" => monitor(driver, step, performer).await,
        "multi_call" => multi_call(driver, step).await,
        _ => {
            let (here, there) = (whereis_globally(driver, &step["name"]).await?, &step["name"]);
            let there = match driver.other() {
                Some(other) => whereis_globally(other, there).await?,
                None => here.clone(),
            };
            Ok(json!(["agree", here == there, here["pid"].is_string()]))
        }
    }
}

/// The other nodes that are up.
async fn nodes(driver: &Driver) -> Outcome {
    if driver.pair().is_none() {
        return Ok(json!({"list": []}));
    }
    let answer = driver.api.call("ListConnectedNodes", json!({"pageSize": 1000})).await;
    let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
    let nodes = answer["nodes"].as_array().into_iter().flatten();
    let up = nodes.filter(|node| node["state"] == "UP" && node["node"] != *driver.node);
    let names = up.map(|node| json!({"node": node_name(node["node"].as_str().unwrap_or_default())}));
    Ok(json!({"list": names.collect::<Vec<_>>()}))
}

async fn monitor(driver: &Driver, step: &Value, performer: Option<&str>) -> Outcome {
    let node = format!("n{}", Driver::number_of(&step["peer"]));
    let rpc = if step["flag"] == false { "DemonitorNode" } else { "MonitorNode" };
    let request = json!({"watcher": driver.acting(performer), "node": node});
    let answer = driver.api.call(rpc, request).await;
    answer.map(|_| true.into()).map_err(|failure| driver.unexpected(&failure))
}

async fn multi_call(driver: &Driver, step: &Value) -> Outcome {
    let on = step["on"].as_array().into_iter().flatten();
    let nodes: Vec<String> = on.map(|node| format!("n{}", Driver::number_of(node))).collect();
    let request = json!({"name": step["name"], "nodes": nodes, "message": driver.outgoing(&step["msg"])});
    let answer = driver.api.call("MultiCallProcesses", request).await;
    let answer = answer.map_err(|failure| driver.unexpected(&failure))?;
    let named = |entry: &Value| json!({"node": node_name(entry["node"].as_str().unwrap_or_default())});
    let replies = answer["replies"].as_array().into_iter().flatten();
    let replies: Vec<Value> =
        replies.map(|reply| json!([named(reply), driver.incoming(&reply["reply"])])).collect();
    let bad: Vec<Value> = answer["bad"].as_array().into_iter().flatten().map(named).collect();
    Ok(json!([{"list": replies}, {"list": bad}]))
}
