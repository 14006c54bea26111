//! The conformance oracle: what a real Erlang/OTP 25 did, compared with what Arsenal does.
//!
//! Each scenario of `tests/data/oracle/scenarios` (another folder by `ORACLE_DIR`), and of `tests/data/oracle_generated`,
//! where those of `tests/e2e/erlang` are kept that found something or stand for their topic, is driven through the public gRPC API,
//! on a node of its own, or on a single voter and a member, and its outcome compared with the line of the same name in
//! `expected.jsonl`. What differs on purpose stands with its reason in `tests/data/oracle/deviations.json`; a deviation that
//! no longer differs fails too.
//! Steps by an acting process carry its pid (`from`, `parent`, `watcher`, `holder`, `owner`) where the API has a field
//! for it, and are commands to the tests' own modules where it has none (raise, receive, hibernate).
//!
//! A scenario that is not as it should be is run again when all others are done, some times: its pauses are those of an idle
//! machine.

mod compare;
mod driver;
mod outcome;
mod report;
mod scenario;
mod spec;
mod steps;
mod terms;

use compare::Difference;
use driver::Driver;
use report::Report;
use scenario::{Oracle, Scenario};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Scenarios that run at a time: most of them wait most of the time.
const WORKERS: usize = 12;

/// How often a scenario is run until it is as it should be. One that differs for another reason than a machine that was busy at
/// the wrong moment does so each time.
const TRIES_MAX: usize = 8;

/// How a scenario ended.
enum Verdict {
    Agrees,
    /// In these places.
    Differs(Vec<Difference>),
    /// These operations are not offered.
    Unsupported(Vec<String>),
    /// It was not run.
    Skipped(&'static str),
}

#[test]
fn oracle_scenarios_end_as_they_do_in_erlang() {
    let folder = std::env::var_os("ORACLE_DIR").map_or_else(|| Oracle::data("oracle"), PathBuf::from);
    all_agree(Oracle::load(folder));
}

#[test]
fn oracle_generated_scenarios_end_as_they_do_in_erlang() {
    all_agree(Oracle::load(Oracle::data("oracle_generated")));
}

/// Runs all scenarios of a folder; fails where one differs in a way that nobody has explained.
fn all_agree(oracle: Oracle) {
    let oracle = Arc::new(oracle);
    assert!(!oracle.scenarios.is_empty(), "{} holds no scenarios", oracle.folder.display());
    let mut verdicts = run(&oracle, (0..oracle.scenarios.len()).collect(), WORKERS);
    for _ in 1..TRIES_MAX {
        let deviation = |at: usize| oracle.deviations.get(&oracle.scenarios[at].name);
        let wrong = verdicts.iter().filter(|(at, verdict)| !report::is_good(verdict, deviation(**at)));
        let again: Vec<usize> = wrong.map(|(at, _)| *at).collect();
        if again.is_empty() {
            break;
        }
        println!("{} scenarios are not as they should be and run once more, one at a time", again.len());
        verdicts.extend(run(&oracle, again, 1));
    }
    let mut report = Report::default();
    for (at, verdict) in &verdicts {
        let scenario = &oracle.scenarios[*at];
        report.add(scenario, verdict, oracle.deviations.get(&scenario.name));
    }
    report.print();
    let failed = report.failed();
    assert!(failed.is_empty(), "{} scenarios differ from Erlang: {}", failed.len(), failed.join(", "));
}

/// Runs scenarios by number, `workers` at a time.
fn run(oracle: &Arc<Oracle>, numbers: Vec<usize>, workers: usize) -> BTreeMap<usize, Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..workers.min(numbers.len()) {
            scope.spawn(|| {
                while let Some(&at) = numbers.get(next.fetch_add(1, Relaxed)) {
                    let judged = std::panic::catch_unwind(AssertUnwindSafe(|| {
                        // one each: with it goes all that a scenario has left running
                        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                        runtime.unwrap().block_on(judge(oracle, &oracle.scenarios[at]))
                    }));
                    // what panicked has been told
                    let verdict = judged.unwrap_or_else(|_| Verdict::Differs(vec![Difference::of_a_panic()]));
                    verdicts.lock().unwrap().insert(at, verdict);
                }
            });
        }
    });
    verdicts.into_inner().unwrap()
}

/// Runs one scenario and compares.
async fn judge(oracle: &Oracle, scenario: &Scenario) -> Verdict {
    let Some(expected) = oracle.expected.get(&scenario.name) else {
        return Verdict::Skipped("have no expectation");
    };
    let actual = Driver::start(scenario.nodes).await.run(scenario).await;
    let unsupported = unsupported_steps(&actual);
    if unsupported.is_empty() {
        let differences = compare::differences(scenario, expected, &actual);
        return if differences.is_empty() { Verdict::Agrees } else { Verdict::Differs(differences) };
    }
    Verdict::Unsupported(unsupported)
}

fn unsupported_steps(outcome: &Value) -> Vec<String> {
    let steps = outcome["steps"].as_array().into_iter().flatten();
    let unsupported = steps.filter(|step| step["r"]["unsupported"] == true);
    unsupported.map(|step| step["op"].as_str().unwrap_or_default().to_owned()).collect()
}
