//! Supervisors and children of a scenario as the service's requests, or, where a request cannot say what the scenario
//! says (a restart type that there is not), as the terms that a supervisor understands.

use super::terms::duration;
use arsenal_tests::modules::{ID, INIT};
use serde_json::{Map, Value, json};

/// The module of a behaviour.
pub(super) fn module(behaviour: &Value) -> String {
    match behaviour.as_str().unwrap_or_default() {
        "supervisor" => "supervisor".to_owned(),
        behaviour => format!("oracle_{behaviour}"),
    }
}

/// The args of a process with this id.
pub(super) fn args(id: &Value, args: &Value) -> Value {
    let mut args = args.as_object().cloned().unwrap_or_default();
    args.insert(ID.to_owned(), id.clone());
    args.into()
}

/// Adds a name (`foo`, `global:foo`) to a request.
pub(super) fn set_name(request: &mut Value, name: &Value) {
    match name.as_str().map(|name| name.strip_prefix("global:").ok_or(name)) {
        Some(Ok(global)) => {
            request["name"] = global.into();
            request["nameScope"] = "GLOBAL".into();
        }
        Some(Err(local)) => request["name"] = local.into(),
        None => {}
    }
}

/// The value of an enum in a request, if it is one of these.
fn value_of(value: &Value, known: &[&str]) -> Option<String> {
    value.as_str().filter(|value| known.contains(value)).map(str::to_uppercase)
}

/// Adds the flags and children of a supervisor to a request; nothing if it cannot say them.
pub(super) fn set_supervisor(request: &mut Value, scenario: &Value) -> Option<()> {
    const STRATEGIES: [&str; 4] = ["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"];
    const AUTO_SHUTDOWNS: [&str; 3] = ["never", "any_significant", "all_significant"];
    if !scenario["strategy"].is_null() {
        request["strategy"] = value_of(&scenario["strategy"], &STRATEGIES)?.into();
    }
    if !scenario["auto_shutdown"].is_null() {
        request["autoShutdown"] = value_of(&scenario["auto_shutdown"], &AUTO_SHUTDOWNS)?.into();
    }
    if !scenario["intensity"].is_null() {
        request["intensity"] = scenario["intensity"].as_u64()?.into();
    }
    if !scenario["period"].is_null() {
        request["period"] =
            duration(scenario["period"].as_i64().filter(|period| *period > 0)? * 1_000).into();
    }
    let children = scenario["children"].as_array().into_iter().flatten();
    request["children"] = children.map(child).collect::<Option<Vec<_>>>()?.into();
    Some(())
}

/// A child specification; nothing if a request cannot say it.
pub(super) fn child(scenario: &Value) -> Option<Value> {
    let mut spec = json!({"id": scenario["id"]});
    if scenario["behaviour"] == "supervisor" {
        if !scenario["init"].is_null() {
            return None;
        }
        spec["supervisor"] = json!({});
        set_supervisor(&mut spec["supervisor"], scenario)?;
        set_name(&mut spec, &scenario["name"]);
    } else {
        spec["module"] = module(&scenario["behaviour"]).into();
        spec["args"] = args(&scenario["id"], &scenario["args"]);
    }
    if !scenario["restart"].is_null() {
        spec["restart"] = value_of(&scenario["restart"], &["permanent", "transient", "temporary"])?.into();
    }
    if !scenario["type"].is_null() {
        spec["type"] = value_of(&scenario["type"], &["worker", "supervisor"])?.into();
    }
    match &scenario["shutdown"] {
        Value::Null => {}
        Value::String(kind) if kind == "brutal_kill" => spec["brutalKill"] = true.into(),
        Value::String(kind) if kind == "infinity" => spec["infinity"] = true.into(),
        ms => spec["shutdown"] = duration(ms.as_i64().filter(|ms| *ms >= 0)?).into(),
    }
    match &scenario["significant"] {
        Value::Null => {}
        significant => spec["significant"] = significant.as_bool()?.into(),
    }
    let args = &scenario["args"];
    set_name(&mut spec, &args["name"]);
    if let Some(timeout) = args["start_timeout"].as_i64() {
        spec["startTimeout"] = duration(timeout).into();
    }
    Some(spec)
}

/// A supervisor as the term that its init reads.
pub(super) fn supervisor_term(scenario: &Value) -> Value {
    let mut term = Map::from_iter([(ID.to_owned(), scenario["id"].clone())]);
    for flag in ["strategy", "intensity", "period", "auto_shutdown"] {
        if !scenario[flag].is_null() {
            term.insert(flag.to_owned(), scenario[flag].clone());
        }
    }
    if !scenario["init"].is_null() {
        term.insert(INIT.to_owned(), scenario["init"].clone());
    }
    let children = scenario["children"].as_array().into_iter().flatten();
    term.insert("children".to_owned(), children.map(child_term).collect());
    term.into()
}

/// A child specification as the term that a supervisor reads.
pub(super) fn child_term(scenario: &Value) -> Value {
    let supervises = scenario["behaviour"] == "supervisor";
    let mut term = json!({"id": scenario["id"], "module": module(&scenario["behaviour"])});
    term["args"] =
        if supervises { supervisor_term(scenario) } else { args(&scenario["id"], &scenario["args"]) };
    for field in ["restart", "shutdown", "type", "significant"] {
        if !scenario[field].is_null() {
            term[field] = scenario[field].clone();
        }
    }
    let name = if supervises { &scenario["name"] } else { &scenario["args"]["name"] };
    match name.as_str().map(|name| name.strip_prefix("global:").ok_or(name)) {
        Some(Ok(global)) => term["name"] = json!({"name": global, "global": true}),
        Some(Err(local)) => term["name"] = local.into(),
        None => {}
    }
    if !scenario["args"]["start_timeout"].is_null() {
        term["start_timeout"] = scenario["args"]["start_timeout"].clone();
    }
    term
}
