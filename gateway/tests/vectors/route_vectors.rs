//! Vectors about templates, rules and routes.

use arsenal_gateway::{
    Gateway, method, path,
    route::{Miss, Table},
    template::Template,
};
use serde_json::json;

use crate::{Outcome, Vector, options, protos};

pub(crate) fn template_parse(vector: &Vector) -> Result<(), String> {
    let text = vector.input["template"].as_str().unwrap();
    let valid = vector.expect["valid"].as_bool().unwrap();
    let template = match Template::parse(text) {
        Err(_) if !valid => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(_) if !valid => return Err("accepted".to_owned()),
        Ok(template) => template,
    };
    let segments = |segments: &[_]| json!(segments.iter().map(ToString::to_string).collect::<Vec<_>>());
    let variables = template.variables.iter().map(|variable| {
        json!({
            "field": variable.field_path.join("."),
            "start": variable.start,
            "end": variable.end,
            "segments": segments(template.captured(variable)),
            "multi": variable.multi,
        })
    });
    let found = json!({
        "valid": true,
        "segments": segments(&template.segments),
        "verb": template.verb,
        "variables": variables.collect::<Vec<_>>(),
    });
    if found == vector.expect { Ok(()) } else { Err(format!("found {found}")) }
}

pub(crate) fn rule_validate(vector: &Vector) -> Result<(), String> {
    let descriptors =
        protos::descriptor_set(vector.input["proto"].as_str().unwrap()).map_err(|e| e.to_string())?;
    let built = Gateway::builder(descriptors).build();
    let valid = vector.expect["valid"].as_bool().unwrap();
    match built {
        Ok(_) if !valid => Err("accepted".to_owned()),
        Err(error) if valid => Err(error.to_string()),
        Err(error) if !error.to_string().contains("t.S.") => Err(format!("names no method: {error}")),
        _ => Ok(()),
    }
}

pub(crate) fn path_match(vector: &Vector) -> Outcome {
    let wanted = &vector.input["options"];
    let mut table = Table::default();
    for rule in vector.input["rules"].as_array().unwrap() {
        let text = |name: &str| rule[name].as_str().unwrap().to_owned();
        let template = match Template::parse(&text("template")) {
            Ok(template) => template,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        if table.insert(&text("method"), &template, (text("id"), template.clone())).is_err() {
            return Outcome::Failed(format!("conflict at {}", text("id")));
        }
    }
    let request = &vector.input["request"];
    let mut path = request["path"].as_str().unwrap().split('?').next().unwrap();
    // a server refuses a target without the first slash by itself
    if !path.starts_with('/') && vector.expect["http"] == 400 {
        return Outcome::Passed;
    }
    if wanted["trailing_slash"] == "ignore" {
        path = path::without_trailing_slash(path);
    }
    let strict = wanted["match_unregistered_verb"].as_bool().unwrap_or_default();
    let found = match table.find(request["method"].as_str().unwrap(), path, strict) {
        Err(miss) => return check_miss(vector, &miss).into(),
        Ok(found) => found,
    };
    let unescape = options::unescape(wanted["unescape"].as_str().unwrap_or("slash_kept")).unwrap();
    let (id, template) = found.route;
    let path = &path[..path.len() - found.verb_length];
    let mut bindings = Vec::new();
    for variable in &template.variables {
        let raw = method::capture(template, variable, path);
        let decoded = if variable.multi { path::decode_multi(raw, unescape) } else { path::decode_all(raw) };
        match decoded {
            Ok(value) => bindings.push(json!([variable.field_path.join("."), value])),
            Err(error) if vector.expect["error"] == "INVALID_ARGUMENT" => {
                let _ = error;
                return Outcome::Passed;
            }
            Err(error) => return Outcome::Failed(error.to_string()),
        }
    }
    let found = json!({"rule": id, "bindings": bindings});
    if found == vector.expect { Outcome::Passed } else { Outcome::Failed(format!("found {found}")) }
}

fn check_miss(vector: &Vector, miss: &Miss) -> Result<(), String> {
    let wanted_http = vector.expect["http"].as_u64();
    let http = if *miss == Miss::NotFound { 404 } else { 405 };
    let missing = match vector.expect.get("rule") {
        Some(rule) => rule.is_null(),
        None => wanted_http.is_some(),
    };
    if missing && wanted_http.is_none_or(|wanted| wanted == http) { Ok(()) } else { Err(format!("{miss:?}")) }
}
