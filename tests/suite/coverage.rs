//! Walks the catalogue: every row of the services that exist has its RPC and a test that covers it, and what is not
//! built yet is counted and printed.

use arsenal_services::operations;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CATALOGUE: &str = include_str!("../data/catalogue.tsv");

/// The services that are built.
const SERVICES: [&str; 6] = [
    "ClusterService",
    "ProcessService",
    "SupervisorService",
    "IntrospectionService",
    "MessagingService",
    "RegistryService",
];

/// Rows that are built of services that are not.
const BEGUN: [&str; 1] = ["simulate_network_partition/0"];

fn is_built(row: &Row) -> bool {
    SERVICES.contains(&row.service) || BEGUN.contains(&row.operation)
}

struct Row {
    operation: &'static str,
    service: &'static str,
    rpc: &'static str,
}

fn rows() -> Vec<Row> {
    let rows = CATALOGUE.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    rows.map(|cells| Row { operation: cells[2], service: cells[4], rpc: cells[5] }).collect()
}

#[test]
fn every_built_row_has_its_rpc() {
    let operations = operations::all();
    let built: Vec<Row> = rows().into_iter().filter(is_built).collect();
    assert_eq!(built.len(), 129);
    for Row { operation, rpc, .. } in built {
        let found = operations.iter().find(|candidate| {
            candidate.name == operation || candidate.also.iter().any(|also| also == operation)
        });
        let found = found.unwrap_or_else(|| panic!("{operation} has no RPC"));
        assert_eq!(found.method.name(), rpc, "{operation}");
        assert!(found.comment.contains("Errors:"), "{operation} does not say how it fails");
    }
    let missing: Vec<&str> = rows().iter().filter(|row| !is_built(row)).map(|row| row.operation).collect();
    // past the capture of tests that pass: what is missing is told each time
    let told =
        format!("{} of {} rows are not built yet: {}\n", missing.len(), rows().len(), missing.join(", "));
    std::io::Write::write_all(&mut std::io::stdout(), told.as_bytes()).unwrap();
}

/// The suite's files, submodules too.
fn sources(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match (path.is_dir(), path.extension()) {
        (true, _) => sources(&path),
        (false, Some(extension)) if extension == "rs" => vec![fs::read_to_string(path).unwrap()],
        _ => Vec::new(),
    };
    entries.flat_map(read).collect()
}

#[test]
fn every_built_row_has_a_test_that_covers_it() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("suite"));
    let covered: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.trim().strip_prefix("// covers:"))
        .flat_map(|names| names.split(',').map(str::trim))
        .collect();
    let uncovered: Vec<&str> = rows()
        .iter()
        .filter(|row| is_built(row) && !covered.contains(row.operation))
        .map(|row| row.operation)
        .collect();
    assert!(uncovered.is_empty(), "{} rows have no test: {}", uncovered.len(), uncovered.join(", "));
}
