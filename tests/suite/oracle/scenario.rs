//! Scenarios, what Erlang did, and where it is not followed: read from a folder.

use super::compare::Difference;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What one scenario says.
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) nodes: u64,
    /// How long the effects of a step are waited for, in milliseconds.
    pub(super) settle_ms: Option<u64>,
    /// Whether the order of events of different processes counts.
    pub(super) total_order: bool,
    /// Logs whose order does not count.
    pub(super) unordered_logs: BTreeSet<String>,
    pub(super) steps: Vec<Value>,
}

/// A folder of scenarios.
pub(super) struct Oracle {
    pub(super) folder: PathBuf,
    /// By name.
    pub(super) scenarios: Vec<Scenario>,
    pub(super) expected: BTreeMap<String, Value>,
    /// By the name of the scenario.
    pub(super) deviations: BTreeMap<String, Deviation>,
}

/// Why a scenario differs on purpose, and where.
#[derive(serde::Deserialize)]
pub(super) struct Deviation {
    pub(super) reason: String,
    /// The only places in which it may; none for one with a step that is not offered.
    #[serde(default)]
    pub(super) places: BTreeSet<String>,
}

impl Deviation {
    /// Whether it differs nowhere else.
    pub(super) fn explains(&self, differences: &[Difference]) -> bool {
        differences.iter().all(|difference| self.places.contains(&difference.place))
    }
}

impl Oracle {
    /// A folder of the tests' own data.
    pub(super) fn data(folder: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(folder)
    }

    /// Reads a folder of scenarios.
    pub(super) fn load(folder: PathBuf) -> Self {
        let entries = std::fs::read_dir(folder.join("scenarios"));
        let entries = entries.unwrap_or_else(|error| panic!("{}/scenarios: {error}", folder.display()));
        let mut scenarios: Vec<Scenario> =
            entries.map(|entry| Scenario::read(&entry.unwrap().path())).collect();
        scenarios.sort_by(|a, b| a.name.cmp(&b.name));
        let expected = text(&folder.join("expected.jsonl"));
        let expected = expected.lines().filter(|line| !line.trim().is_empty()).map(|line| {
            let outcome: Value = serde_json::from_str(line).unwrap();
            (outcome["name"].as_str().unwrap().to_owned(), outcome)
        });
        let expected = expected.collect();
        let deviations = serde_json::from_str(&text(&Self::data("oracle").join("deviations.json"))).unwrap();
        Self { folder, scenarios, expected, deviations }
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Scenario {
    fn read(path: &Path) -> Self {
        let json: Value =
            serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let texts = |value: &Value| {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            name: json["name"].as_str().unwrap().to_owned(),
            topic: json["topic"].as_str().unwrap().to_owned(),
            nodes: json["nodes"].as_u64().unwrap_or(1),
            settle_ms: json["settle_ms"].as_u64(),
            total_order: json["lifecycle_order"] == "total",
            unordered_logs: texts(&json["unordered_logs"]),
            steps: json["steps"].as_array().cloned().unwrap_or_default(),
        }
    }
}
