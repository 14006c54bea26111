//! Runs the transcoding vectors: `cargo test -p arsenal-gateway vectors`.
//!
//! The file is tests/data/vectors.jsonl, or what TRANSCODE_VECTORS names; its first line is the schema. Each vector of
//! level `must` or `should` has to hold; an `option` one where the option exists; `peer` is information. What is skipped
//! is named with the reason, and the last line counts.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "../support/canned.rs"]
mod canned;
mod http_vectors;
mod json_vectors;
mod options;
#[path = "../support/protos.rs"]
mod protos;
mod route_vectors;

use std::io::Write as _;

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

fn read() -> Vec<Vector> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors.jsonl").to_owned();
    let path = std::env::var("TRANSCODE_VECTORS").unwrap_or(default);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let vectors = lines.map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
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

async fn run(vector: &Vector) -> Outcome {
    if vector.level == "peer" {
        return Outcome::Skipped("one peer's behaviour, from which this project differs".to_owned());
    }
    match vector.kind.as_str() {
        "template_parse" => route_vectors::template_parse(vector).into(),
        "path_match" => route_vectors::path_match(vector),
        "rule_validate" => route_vectors::rule_validate(vector).into(),
        "json_decode" => json_vectors::decode(vector).into(),
        "json_encode" => json_vectors::encode(vector).into(),
        "json_roundtrip" => json_vectors::roundtrip(vector).into(),
        "field_mask_from_body" => json_vectors::field_mask(vector).into(),
        "grpc_frame" => http_vectors::grpc_frame(vector).into(),
        _ => http_vectors::run(vector).await,
    }
}

#[tokio::test]
async fn all_vectors_hold() {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    // Straight to stderr: the harness captures what is printed, and the count is to be seen.
    let mut report = std::io::stderr().lock();
    for vector in read() {
        match run(&vector).await {
            Outcome::Passed => passed += 1,
            Outcome::Failed(reason) => {
                failed += 1;
                writeln!(report, "FAILED {} ({}, {}): {reason}", vector.id, vector.kind, vector.level)
                    .unwrap();
            }
            Outcome::Skipped(reason) => {
                skipped += 1;
                writeln!(report, "skipped {} ({}, {}): {reason}", vector.id, vector.kind, vector.level)
                    .unwrap();
            }
        }
    }
    writeln!(report, "{passed} passed, {failed} failed, {skipped} skipped").unwrap();
    assert_eq!(failed, 0, "vectors that do not hold");
}
