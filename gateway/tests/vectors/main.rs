//! Runs the transcoding vectors: `cargo test -p arsenal-gateway vectors`.
//!
//! The file is tests/data/vectors.jsonl, or what TRANSCODE_VECTORS names; its first line is the schema. Each vector of
//! level `must` or `should` has to hold; an `option` one where the option exists; `peer` is information, and run too.
//! What is skipped is named with the reason, and the last line counts.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

mod call_vectors;
#[path = "../support/canned.rs"]
mod canned;
mod http_vectors;
mod json_vectors;
mod options;
#[path = "../support/protos.rs"]
mod protos;
mod route_vectors;
mod web_vectors;

use std::{io::Write as _, panic::AssertUnwindSafe};

use arsenal_gateway::config::Transcoder;
use futures_util::FutureExt as _;
use serde_json::Value;

/// What became of a vector.
pub(crate) enum Outcome {
    /// It holds.
    Passed,
    /// It does not, and why.
    Failed(String),
    /// It was not run, and why.
    Skipped(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Outcome::Passed,
            Err(reason) => Outcome::Failed(reason),
        }
    }
}

/// One line of the file.
pub(crate) struct Vector {
    /// Its id.
    pub(crate) id: String,
    /// Its kind.
    pub(crate) kind: String,
    /// What is given.
    pub(crate) input: Value,
    /// What is wanted.
    pub(crate) expect: Value,
    /// How much it counts.
    pub(crate) level: String,
}

fn read(path: &str) -> Vec<Vector> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut protos = Value::Null;
    let vectors = lines.map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let named = value["input"]["proto"].as_str().and_then(|proto| proto.strip_prefix('@'));
        if let Some(shared) = named.map(|name| protos[name].clone()) {
            value["input"]["proto"] = shared;
        }
        if value["kind"] == "schema" {
            protos = value["input"]["protos"].take();
        }
        Vector {
            id: text(&value, "id"),
            kind: text(&value, "kind"),
            level: text(&value, "level"),
            input: value["input"].take(),
            expect: value["expect"].take(),
        }
    });
    vectors.filter(|vector| vector.kind != "schema").collect()
}

/// What one peer does holds where this project does the same; where it does not, that is told and no failure. A vector that
/// makes the runner panic, such as one without what its kind needs, fails alone.
async fn run(vector: &Vector) -> Outcome {
    let outcome = AssertUnwindSafe(run_kind(vector)).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_| Outcome::Failed("the runner panicked".to_owned()));
    match (vector.level.as_str(), outcome) {
        ("peer", Outcome::Failed(reason)) => {
            let reason: String = reason.chars().take(120).collect();
            Outcome::Skipped(format!("one peer's behaviour, from which this project differs: {reason}"))
        }
        (_, outcome) => outcome,
    }
}

async fn run_kind(vector: &Vector) -> Outcome {
    // an option that the gateway does not have
    if let Err(reason) = options::config(&vector.input["options"], Transcoder::Plan) {
        return Outcome::Skipped(reason);
    }
    match vector.kind.as_str() {
        "template_parse" => route_vectors::template_parse(vector).into(),
        "path_match" => route_vectors::path_match(vector),
        "rule_validate" => route_vectors::rule_validate(vector).into(),
        "json_decode" => json_vectors::decode(vector).into(),
        "json_encode" => json_vectors::encode(vector).into(),
        "json_roundtrip" => json_vectors::roundtrip(vector).into(),
        "field_mask_from_body" => json_vectors::field_mask(vector).into(),
        "grpc_frame" => web_vectors::grpc_frame(vector).into(),
        _ => http_vectors::run(vector).await,
    }
}

/// Runs a file; tells what failed, and what was skipped if that is asked for. Gives how many passed, failed, were skipped.
async fn run_all(path: &str, skipped_too: bool) -> [usize; 3] {
    let mut counts = [0; 3];
    // Straight to stderr: the harness captures what is printed, and the count is to be seen.
    let mut report = std::io::stderr().lock();
    for vector in read(path) {
        let about = format!("{} ({}, {})", vector.id, vector.kind, vector.level);
        match run(&vector).await {
            Outcome::Passed => counts[0] += 1,
            Outcome::Failed(reason) => {
                counts[1] += 1;
                writeln!(report, "FAILED {about}: {reason}").unwrap();
            }
            Outcome::Skipped(reason) => {
                counts[2] += 1;
                if skipped_too {
                    writeln!(report, "skipped {about}: {reason}").unwrap();
                }
            }
        }
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn all_vectors_hold() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors.jsonl").to_owned();
    let path = std::env::var("TRANSCODE_VECTORS").unwrap_or(default);
    let [passed, failed, skipped] = run_all(&path, true).await;
    writeln!(std::io::stderr(), "{passed} passed, {failed} failed, {skipped} skipped").unwrap();
    assert_eq!(failed, 0, "vectors that do not hold");
}

/// Three thousand of our own and of the peers' test suites, beside those; `@` before a proto's name stands for one that the
/// file's first line has.
#[tokio::test(start_paused = true)]
async fn the_siblings_hold_too() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/siblings.jsonl");
    let [passed, failed, skipped] = run_all(path, false).await;
    assert!(
        failed == 0 && passed > 3000 && skipped < 10,
        "{passed} passed, {failed} failed, {skipped} skipped"
    );
}
